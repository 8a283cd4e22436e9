/* What a device shows: its own edits until they are answered, and never less than it has shown before.
 *
 * Looked at whenever its app begins a transaction. A file that lost power, was put back or copied, or met a server that was put back, begins anew;
 * while it gives that server again what it had accepted, its own edits are not looked at. */
#include "tests/sim/sim.h"

#define A 0u /* column `a` of item, whose values are unique: 'a' and the transaction's number */

/* Items are never deleted: an edit of a column that has no result yet, or whose result has not come in a page, is what the app sees. */
static void check_own(sim *s, unsigned i, unsigned epoch, const reads_pending *pending, unsigned n) {
    for (unsigned row = 0; row < SIM_ROWS; row++) {
        model_value key;
        const model_value *own[MODEL_COLUMNS] = {0};
        snprintf(key.text, sizeof key.text, "'i%u'", row);
        for (unsigned k = 0; k < n; k++) {
            for (unsigned f = 0; f < pending[k].f->n; f++) {
                const fact *one = &pending[k].f->fact[f];
                if (one->table != MODEL_ITEM || strcmp(one->key.text, key.text) != 0) continue;
                for (unsigned c = 0; c < MODEL_COLUMNS; c++)
                    if (one->changed >> c & 1) own[c] = &one->now[c];
            }
        }
        const model_value *shown = facts_shown(MODEL_ITEM, &key);
        for (unsigned c = 0; shown && c < MODEL_COLUMNS; c++) {
            const model_column *column = &MODEL[MODEL_ITEM].column[c];
            if (!own[c] || column->rule == MODEL_COUNTER || !model_has(column, epoch)) continue;
            s->figures.reads++;
            if (strcmp(own[c]->text, shown[c].text) != 0)
                sim_fail(s, "device %u shows %s in %s of i%u, and has written %s", i, shown[c].text, column->name, row,
                         own[c]->text);
        }
    }
}

static void check_cursor(sim *s, unsigned i, uint64_t cursor, unsigned life) {
    sim_reads *r = &s->device[i].reads;
    if (r->begun && r->life == life && cursor < r->cursor)
        sim_fail(s, "the cursor of device %u went back from %" PRIu64 " to %" PRIu64, i, r->cursor, cursor);
    if (r->life != life) memset(r, 0, sizeof *r);
    r->begun = true;
    r->life = life;
    r->cursor = cursor;
}

/* Which transaction's value a row shows, when it is confirmed; -1 if none's. */
static int confirmed_value(unsigned row, const reads_pending *pending, unsigned n) {
    model_value key;
    int number = -1;
    snprintf(key.text, sizeof key.text, "'i%u'", row);
    for (unsigned k = 0; k < n; k++)
        for (unsigned f = 0; f < pending[k].f->n; f++)
            if (!strcmp(pending[k].f->fact[f].key.text, key.text) && pending[k].f->fact[f].changed >> A & 1) return -1;
    const model_value *shown = facts_shown(MODEL_ITEM, &key);
    return shown && sscanf(shown[A].text, "'a%d'", &number) == 1 ? number : -1;
}

static void note_steps(sim *s, unsigned i, const reads_pending *pending, unsigned n) {
    sim_reads *r = &s->device[i].reads;
    for (unsigned row = 0; row < SIM_ROWS; row++) {
        int now = confirmed_value(row, pending, n);
        if (now < 0) continue;
        if (r->shown[row] && r->shown[row] != now + 1 && s->nsteps < SIM_STEPS)
            s->step[s->nsteps++] = (sim_step){.device = i,
                                              .row = row,
                                              .from = (unsigned)r->shown[row] - 1,
                                              .to = (unsigned)now,
                                              .life = r->life,
                                              .cursor = r->shown_at[row]};
        r->shown_at[row] = r->cursor;
        r->shown[row] = now + 1;
    }
}

/* What a server that was put back is given again is pending once more, though the app had seen what became of it. */
static bool any_again(const reads_pending *pending, unsigned n) {
    for (unsigned k = 0; k < n; k++)
        if (pending[k].again) return true;
    return false;
}

void check_reads_now(sim *s, unsigned i, unsigned epoch, const reads_pending *pending, unsigned n) {
    uint64_t cursor = (uint64_t)sim_ask(s, satchel_db(s->device[i].s), "SELECT cursor FROM satchel_state");
    check_cursor(s, i, cursor, facts_life_of(s, i));
    if (!any_again(pending, n)) check_own(s, i, epoch, pending, n);
    note_steps(s, i, pending, n);
}

void check_reads_anew(sim *s, unsigned i) {
    s->device[i].reads = (sim_reads){0};
}

/* At rest the commits are known: each step was to a later one. Of a life that was lost, those are that it has in common with the last one. What a device
 * showed first may be of a lost life still: that life's news had not replaced it, and this one took it later. */
void check_reads(sim *s, const uint64_t seq[SIM_TXNS]) {
    for (unsigned i = 0; i < s->nsteps; i++) {
        const sim_step *p = &s->step[i];
        uint64_t common = facts_common(s, p->life, s->nlives - 1);
        if (!seq[p->from] || !seq[p->to] || seq[p->from] > common || seq[p->to] > common) continue;
        if (p->life && seq[p->from] > p->cursor) continue;
        s->figures.reads++;
        if (seq[p->to] < seq[p->from])
            sim_fail(s, "device %u showed t%u (commit %" PRIu64 ") in i%u, and then t%u (commit %" PRIu64 ")", p->device, p->from,
                     seq[p->from], p->row, p->to, seq[p->to]);
    }
}
