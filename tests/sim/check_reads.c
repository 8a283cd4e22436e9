/* What a device shows: its own edits until they are answered, and never less than it has shown before.
 *
 * Looked at whenever its app begins a transaction, and while something waits when anything has come. A file that lost power, was put back or copied, or met a server that was put back, begins anew;
 * while it gives that server again what it had accepted, its own edits are not looked at. */
#include "tests/sim/sim.h"

#define OWN_ROWS 512u /* what is more is not looked at */
#define A 0u          /* column `a` of item, whose values are unique: 'a' and the transaction's number */

/* What an app has written into one row, and has no result of yet, or none that has come in a page. */
typedef struct own_row {
    model_table table;
    const model_value *key;
    bool made, deleted;
    const model_value *own[MODEL_COLUMNS];
} own_row;

static own_row *own_row_of(own_row *rows, unsigned *n, const fact *one) {
    for (unsigned k = 0; k < *n; k++)
        if (rows[k].table == one->table && !strcmp(rows[k].key->text, one->key.text)) return &rows[k];
    if (*n == OWN_ROWS) return NULL;
    rows[*n] = (own_row){.table = one->table, .key = &one->key};
    return &rows[(*n)++];
}

static unsigned own_rows(own_row rows[OWN_ROWS], const reads_pending *pending, unsigned n) {
    unsigned nrows = 0;
    for (unsigned k = 0; k < n; k++) {
        for (unsigned f = 0; f < pending[k].f->n; f++) {
            const fact *one = &pending[k].f->fact[f];
            own_row *r = own_row_of(rows, &nrows, one);
            if (!r) continue;
            if (one->op != FACT_UPDATE) {
                r->made = one->op == FACT_INSERT;
                r->deleted = !r->made;
                memset(r->own, 0, sizeof r->own);
            }
            for (unsigned c = 0; c < MODEL_COLUMNS; c++)
                if (one->changed >> c & 1) r->own[c] = &one->now[c];
        }
    }
    return nrows;
}

/* What it has made or changed is what the app sees; what it has deleted it does not see. What it has only changed, others may delete. */
static void check_own(sim *s, unsigned i, unsigned epoch, const reads_pending *pending, unsigned n) {
    static own_row rows[OWN_ROWS];
    unsigned nrows = own_rows(rows, pending, n);
    for (unsigned k = 0; k < nrows; k++) {
        const own_row *r = &rows[k];
        const model_schema *table = &MODEL[r->table];
        const model_value *shown = facts_shown(r->table, r->key);
        s->figures.reads++;
        if (shown && r->deleted) sim_fail(s, "device %u shows %s %s, which it has deleted", i, table->name, r->key->text);
        if (!shown && r->made) sim_fail(s, "device %u does not show %s %s, which it has made", i, table->name, r->key->text);
        for (unsigned c = 0; shown && c < table->n; c++) {
            const model_column *column = &table->column[c];
            if (!r->own[c] || column->rule == MODEL_COUNTER || !model_has(column, epoch)) continue;
            s->figures.reads++;
            if (strcmp(r->own[c]->text, shown[c].text) != 0)
                sim_fail(s, "device %u shows %s in %s of %s %s, and has written %s", i, shown[c].text, column->name, table->name,
                         r->key->text, r->own[c]->text);
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
