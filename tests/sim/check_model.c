/* The model of merge.md predicts every field of the server, and every entry of its conflict log.
 *
 * Which transactions are on the server, and in which order, the rows of their witnesses say: stamp, author and commit are in their clocks.
 *
 * Not claimed:
 * - rows of a transaction that was retried on a device whose file was copied or put back, or where the server was put back, as it cannot be told which of
 *   the two was accepted;
 * - rows of a transaction that was to be discarded and came back all the same, as after a loss of power;
 * - rows of a transaction whose base counts in a life of the server that was lost: how much of it counts in this one depends on which lives the
 *   device has met;
 * - rows that were written after their deletion, with a base below the log's floor at the end: the deletion may have been forgotten when the write came;
 * - rows on which one of several pending edits of a device showed just what came beneath them (M16): which of them the app showed then is not known;
 * - rows that were written over an edit that a server which was put back is given once more: what the app had seen beneath it when it was confirmed is not noted;
 * - the rows of ev (M12), which check_transactions.c counts, and what was refused (check_refusals.c). */
#include "protocol/value.h"
#include "tests/sim/sim.h"

typedef struct accepted {
    const sim_txn *t;
    model_clock c;
} accepted;

typedef struct comparison {
    sim *s;
    model m;
    accepted txn[SIM_TXNS];
    unsigned n, epoch;
} comparison;

static comparison *the;

/* ---- what the store has ---- */

/* The base of a row's clock: eight bytes of stamp, and two numbers of seven bits a byte, the low ones first. */
static model_clock decode_clock(const uint8_t *p, int n) {
    model_clock c = {0};
    const uint8_t *end = p + n;
    uint64_t number[2] = {0};
    for (unsigned i = 0; i < 8 && p < end; i++) c.stamp = c.stamp << 8 | *p++;
    for (unsigned k = 0; k < 2; k++)
        if (!buf_get_varint(&p, end, &number[k])) return (model_clock){0};
    c.author = (uint32_t)number[0];
    c.seq = number[1];
    return c;
}

static sqlite3_stmt *ask(sim *s, const char *sql) {
    sqlite3_stmt *q = NULL;
    if (sqlite3_prepare_v2(store_db(s->store), sql, -1, &q, NULL)) sim_fail(s, "%s: %s", sql, sqlite3_errmsg(store_db(s->store)));
    return q;
}

static int by_seq(const void *a, const void *b) {
    const accepted *x = a, *y = b;
    return x->c.seq < y->c.seq ? -1 : x->c.seq > y->c.seq;
}

static void list_accepted(comparison *k) {
    sqlite3_stmt *q = ask(k->s, "SELECT id,satchel_clock FROM ev WHERE id<4096");
    while (sqlite3_step(q) == SQLITE_ROW)
        k->txn[k->n++] = (accepted){.t = &k->s->txn[sqlite3_column_int(q, 0)],
                                    .c = decode_clock(sqlite3_column_blob(q, 1), sqlite3_column_bytes(q, 1))};
    sqlite3_finalize(q);
    qsort(k->txn, k->n, sizeof *k->txn, by_seq);
}

/* M17: an incarnation's stamps ascend with its commits, clamped or not; and a file that has no copy is taken in its own order. */
static void check_order(comparison *k) {
    static const accepted *last_of_author[1024];
    const accepted *last_of_device[SIM_DEVICES] = {0};
    memset(last_of_author, 0, sizeof last_of_author);
    for (unsigned i = 0; i < k->n; i++) {
        const accepted *a = &k->txn[i], **last = &last_of_author[a->c.author % 1024];
        if (*last && (*last)->c.author == a->c.author && (*last)->c.stamp >= a->c.stamp)
            sim_fail(k->s, "author %u: commit %" PRIu64 " has stamp %" PRIx64 ", and commit %" PRIu64 " before it %" PRIx64,
                     a->c.author, a->c.seq, a->c.stamp, (*last)->c.seq, (*last)->c.stamp);
        *last = a;
        if (a->t->author == SIM_SERVER || k->s->device[a->t->author].copied || k->s->device[a->t->author].doubtful ||
            !a->t->facts || a->t->facts->next)
            continue;
        last = &last_of_device[a->t->author];
        if (*last && (*last)->t->at >= a->t->at)
            sim_fail(k->s,
                     "device %u: transaction %" PRIu64 " is commit %" PRIu64 ", and transaction %" PRIu64 " commit %" PRIu64,
                     a->t->author, a->t->at, a->c.seq, (*last)->t->at, (*last)->c.seq);
        *last = a;
    }
}

static void check_taken_stamps(const comparison *k) {
    static const sim_txn *taken[SIM_TXNS];
    static model_clock clock[SIM_TXNS];
    for (unsigned i = 0; i < k->n; i++) {
        taken[i] = k->txn[i].t;
        clock[i] = k->txn[i].c;
    }
    check_stamps(k->s, taken, clock, k->n);
}

static model_clock first_clock(comparison *k) {
    sqlite3_stmt *q = ask(k->s, "SELECT satchel_clock FROM item WHERE id='i0'");
    model_clock c = {0};
    if (sqlite3_step(q) == SQLITE_ROW) c = decode_clock(sqlite3_column_blob(q, 0), sqlite3_column_bytes(q, 0));
    sqlite3_finalize(q);
    return c;
}

/* ---- merging ---- */

static void give_up(comparison *k, const facts *f) {
    for (unsigned i = 0; i < f->n; i++) model_find(&k->m, f->fact[i].table, &f->fact[i].key, true)->unclear = true;
}

/* A life that the present one does not go on from: a device that missed others in between cannot name the last commit in common, and an earlier one counts. */
static bool is_of_lost_life(const sim *s, const facts *f) {
    unsigned life = s->nlives - 1;
    while (life > f->life) life = s->life[life].parent;
    return f->device != SIM_SERVER && life != f->life;
}

/* A copy does not hold up the pruning of what the other has acknowledged, and who is fenced holds up nothing: a deletion that he did not know may be
 * forgotten when he comes. */
static void doubt_deletions(comparison *k, const facts *f) {
    if (!f || f->device == SIM_SERVER || f->base >= store_where(k->s->store).floor) return;
    for (unsigned i = 0; i < f->n; i++) {
        model_row *row = model_find(&k->m, f->fact[i].table, &f->fact[i].key, true);
        if (!row->there) row->unclear = true;
    }
}

/* The last that its device did, or what an admin did in its place: whose the commit is, says its clock. *clear: nothing else may have been taken instead. */
static const facts *find_taken(comparison *k, const accepted *a, bool *clear) {
    bool open = k->s->restored || (a->t->author != SIM_SERVER && k->s->device[a->t->author].copied), by_server = !a->c.author;
    const facts *found = NULL;
    *clear = by_server || !a->t->given_up;
    for (const facts *f = a->t->facts; f; f = f->next) {
        if ((f->device == SIM_SERVER) != by_server) continue;
        *clear = *clear && !(found && open);
        found = f;
    }
    /* What an admin has retried, and nobody had followed until it was refused. */
    *clear = *clear && (!found || found->n || a->t->author == SIM_SERVER);
    return found;
}

static void merge_one(comparison *k, const accepted *a) {
    bool clear;
    const facts *f = find_taken(k, a, &clear);
    doubt_deletions(k, f);
    if (!clear) {
        for (f = a->t->facts; f; f = f->next) give_up(k, f);
    } else if (f && is_of_lost_life(k->s, f)) {
        give_up(k, f);
    } else if (f && !model_apply(&k->m, f, a->c,
                                 f->device == SIM_SERVER ? UINT64_MAX : facts_common(k->s, f->life, k->s->nlives - 1))) {
        sim_fail(k->s, "t%u (commit %" PRIu64 "): %s", (unsigned)(a->t - k->s->txn), a->c.seq, k->m.why);
    }
}

/* ---- fields ---- */

/* For whoever has to find out: who wrote the row, and what they had seen. */
static void explain(comparison *k, model_table t, const model_value *key) {
    for (unsigned i = 0; i < k->n; i++) {
        const facts *f = k->txn[i].t->facts;
        for (unsigned n = 0; f && n < f->n; n++) {
            const fact *one = &f->fact[n];
            char text[160] = "";
            size_t at = 0;
            if (one->table != t || strcmp(one->key.text, key->text) != 0) continue;
            for (unsigned c = 0; c < MODEL[t].n && at < sizeof text - 1; c++)
                if (one->changed >> c & 1)
                    at += (size_t)snprintf(text + at, sizeof text - at, " %s=%s (%s, seen %" PRIu64 ")", MODEL[t].column[c].name,
                                           one->now[c].text, one->was[c].text, one->seen[c]);
            sim_say(k->s,
                    "commit %" PRIu64 " t%u author %u stamp %" PRIx64 " base %" PRIu64 " of life %u, row seen %" PRIu64 ": %s%s",
                    k->txn[i].c.seq, (unsigned)(k->txn[i].t - k->s->txn), k->txn[i].c.author, k->txn[i].c.stamp, f->base, f->life,
                    one->seen[MODEL_ROW],
                    one->op == FACT_INSERT   ? "insert"
                    : one->op == FACT_UPDATE ? "update"
                                             : "delete",
                    text);
        }
    }
}

/* What an unclear row's text became a copy of is not clear either. */
static bool is_unclear_copy(comparison *k, model_table t, const model_value *copy_of) {
    const model_row *original = t == MODEL_ITEM ? model_find(&k->m, t, copy_of, false) : NULL;
    return original && original->unclear;
}

static void compare_row(void *ctx, model_table t, const model_value *key, const model_value *v) {
    comparison *k = ctx;
    model_row *row = model_find(&k->m, t, key, true);
    if (row->unclear || is_unclear_copy(k, t, &v[MODEL_COPY_OF])) return;
    if (!row->there) explain(k, t, key);
    if (!row->there) sim_fail(k->s, "%s %s is there; by the rules it is not", MODEL[t].name, key->text);
    row->there = false;
    for (unsigned i = 0; i < MODEL[t].n; i++) {
        if (!model_has(&MODEL[t].column[i], k->epoch)) continue;
        k->s->figures.fields++;
        if (!strcmp(row->cell[i].v.text, v[i].text)) continue;
        explain(k, t, key);
        sim_fail(k->s, "%s.%s of %s is %s; by the rules it is %s", MODEL[t].name, MODEL[t].column[i].name, key->text, v[i].text,
                 row->cell[i].v.text);
    }
}

static void compare_rows(comparison *k) {
    facts_of_store(k->s, k->epoch, compare_row, k);
    for (unsigned i = 0; i < k->m.nrow; i++) {
        const model_row *row = &k->m.row[i];
        if (!row->there || row->unclear || is_unclear_copy(k, row->table, &row->cell[MODEL_COPY_OF].v)) continue;
        explain(k, row->table, &row->key);
        sim_fail(k->s, "%s %s is gone; by the rules it is there", MODEL[row->table].name, row->key.text);
    }
}

/* ---- losses ---- */

static void read_literal(sqlite3_stmt *q, int column, bool key, model_value *out) {
    buf b;
    const uint8_t *p = sqlite3_column_blob(q, column), *end = p + sqlite3_column_bytes(q, column);
    value v = value_null();
    buf_init(&b, 0);
    if (key)
        value_put_literals(&b, p, (size_t)(end - p));
    else if (!p || !value_get(&p, end, &v))
        value_put_literal(&b, &v);
    snprintf(out->text, sizeof out->text, "%.*s", (int)b.n, (const char *)b.p);
    buf_fini(&b);
}

static bool same_loss(const model_loss *a, const model_loss *b) {
    return a->seq == b->seq && a->table == b->table && a->column == b->column && a->stamp == b->stamp && a->author == b->author &&
           !strcmp(a->key.text, b->key.text) && !strcmp(a->lost.text, b->lost.text);
}

static void find_loss(comparison *k, const model_loss *l) {
    const model_row *row = model_find(&k->m, l->table, &l->key, false);
    if (row && row->unclear) return;
    for (unsigned i = 0; i < k->m.nloss; i++) {
        if (k->m.loss[i].found || !same_loss(&k->m.loss[i], l)) continue;
        k->m.loss[i].found = true;
        k->s->figures.losses++;
        return;
    }
    explain(k, l->table, &l->key);
    sim_fail(k->s, "commit %" PRIu64 ", %s %s, column %u: the conflict log has %s of author %u, which was not lost", l->seq,
             MODEL[l->table].name, l->key.text, l->column, l->lost.text, l->author);
}

static void compare_losses(comparison *k) {
    sqlite3_stmt *q = ask(k->s, "SELECT seq,tbl,key,col,lost,lost_stamp,lost_author FROM satchel_conflict ORDER BY id");
    while (sqlite3_step(q) == SQLITE_ROW) {
        model_loss l = {.seq = (uint64_t)sqlite3_column_int64(q, 0),
                        .column = (unsigned)sqlite3_column_int(q, 3),
                        .stamp = (uint64_t)sqlite3_column_int64(q, 5),
                        .author = (uint32_t)sqlite3_column_int(q, 6)};
        unsigned id = (unsigned)sqlite3_column_int(q, 1);
        l.table = model_by_id(id);
        if (l.table == MODEL_TABLES) sim_fail(k->s, "the conflict log names table %u", id);
        read_literal(q, 2, true, &l.key);
        read_literal(q, 4, false, &l.lost);
        find_loss(k, &l);
    }
    sqlite3_finalize(q);
    for (unsigned i = 0; i < k->m.nloss; i++) {
        const model_loss *l = &k->m.loss[i];
        if (l->found || model_find(&k->m, l->table, &l->key, true)->unclear) continue;
        explain(k, l->table, &l->key);
        sim_fail(k->s, "commit %" PRIu64 ", %s %s, column %u: %s of author %u was lost and is not in the conflict log", l->seq,
                 MODEL[l->table].name, l->key.text, l->column, l->lost.text, l->author);
    }
}

/* Whether all that was done is known for certain: then nothing is given up but what M16 hides. */
static bool is_certain(const sim *s) {
    bool certain = !s->restored;
    for (unsigned i = 0; i < s->ndevices; i++) certain = certain && !s->device[i].copied && !s->device[i].doubtful;
    return certain;
}

/* Who compares nothing proves nothing: the items that are never deleted have at least so many columns at any epoch. */
static void check_amount(comparison *k) {
    unsigned clear = 0, unclear = 0;
    for (unsigned row = 0; row < SIM_ROWS; row++) {
        model_value key;
        snprintf(key.text, sizeof key.text, "'i%u'", row);
        const model_row *r = model_find(&k->m, MODEL_ITEM, &key, true);
        clear += !r->unclear;
        if (r->unclear && !r->mixed && is_certain(k->s))
            sim_fail(k->s, "the model gave up item i%u of a world that is certain", row);
    }
    for (unsigned i = 0; i < k->m.nrow; i++) unclear += k->m.row[i].unclear;
    sim_say(k->s, "the model predicted %" PRIu64 " fields, and gave up %u of %u rows", k->s->figures.fields, unclear, k->m.nrow);
    if (k->s->figures.fields < clear * 13) sim_fail(k->s, "the model predicted %" PRIu64 " fields", k->s->figures.fields);
    k->s->figures.modelled += k->s->figures.fields > 0;
}

void check_model(sim *s) {
    the = calloc(1, sizeof *the);
    if (!the) abort();
    the->s = s;
    the->epoch = s->migrated;
    disk_look(true);
    list_accepted(the);
    check_order(the);
    check_taken_stamps(the);
    model_begin(&the->m, first_clock(the), s->migrated_at);
    static uint64_t seq[SIM_TXNS];
    memset(seq, 0, sizeof seq);
    for (unsigned i = 0; i < the->n; i++) seq[the->txn[i].t - s->txn] = the->txn[i].c.seq;
    check_reads(s, seq);
    check_rights(s, seq);
    for (unsigned i = 0; i < the->n; i++) merge_one(the, &the->txn[i]);
    compare_rows(the);
    compare_losses(the);
    check_amount(the);
    disk_look(false);
    model_end(&the->m);
    free(the);
}
