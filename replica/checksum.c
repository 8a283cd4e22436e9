#include "replica/checksum.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/digest.h"
#include "protocol/satchel_rc.h"
#include "replica/arena.h"
#include "replica/outbox.h"
#include "replica/overlay.h"
#include "replica/rows.h"

/* A range ends at a row whose key says so, about each 256th: so a row that comes or goes moves no other range's end, and the server, which remembers ranges,
 * need read but one again. And at so many rows, or bytes of values: what one wrong value costs to repair. */
#define RANGE_END 256u
#define RANGE_ROWS 1024u
#define RANGE_BYTES (128u << 10)
/* Rows in one message: what is read in one go. */
#define MESSAGE_ROWS 8192u

void checksum_reset(checksum_walk *w) {
    buf_fini(&w->from);
    buf_fini(&w->asked);
    *w = (checksum_walk){0};
}

/* Every row shows what is confirmed, as of a cursor, and nothing is on its way here. */
static int at_rest(file *f, bool *rests) {
    const file_state *st = &f->state;
    outbox_txn t;
    *rests = st->has_epoch && st->placed && !st->snapshot && !st->stage_seq && !overlay_size(f->overlay);
    if (!*rests) return SATCHEL_OK;
    int rc = outbox_next(f, 0, &t);
    *rests = rc == 0;
    return rc < 0 ? rc : SATCHEL_OK;
}

/* ---- asking ---- */

typedef struct asking {
    file *f;
    checksum_walk *w;
    const schema_table *t;
    sqlite3_stmt *q;
    sums_range range; /* the open one */
    digest_rows d;
    size_t bytes; /* of its values */
    buf last;     /* key bytes of its last row */
    buf body;
    uint64_t ranges, rows;
} asking;

static const schema_table *current_table(const asking *a) {
    const schema *s = a->f->schema;
    while (a->w->table < s->ntable && s->table[a->w->table].until != SCHEMA_NEVER) a->w->table++;
    return a->w->table < s->ntable ? &s->table[a->w->table] : NULL;
}

static int prepare_rest(asking *a) {
    const schema_table *t = a->t;
    snapshot_range *range = &a->range.range;
    range->table = t->id;
    range->nkey = t->nkey;
    range->has_from = a->w->from.n > 0;
    range->has_to = false;
    int rc = range->has_from ? rows_key_values(t, a->w->from.p, a->w->from.n, range->from) : SATCHEL_OK;
    sqlite3_str *sql = sqlite3_str_new(NULL);
    for (unsigned i = 0; i < t->ncol; i++) sqlite3_str_appendf(sql, "%s\"%w\"", i ? "," : "SELECT ", t->col[i]->name);
    sqlite3_str_appendf(sql, " FROM main.\"%w\"", t->name);
    digest_put_range(sql, t, range->has_from, false);
    for (unsigned i = 0; i < t->nkey; i++) sqlite3_str_appendf(sql, "%s\"%w\"", i ? "," : " ORDER BY ", t->key[i]->name);
    char *text = sqlite3_str_finish(sql);
    if (!rc) rc = text ? db_rc(sqlite3_prepare_v2(a->f->db, text, -1, &a->q, NULL)) : SATCHEL_E_NOMEM;
    sqlite3_free(text);
    if (!rc) rc = digest_bind_range(a->q, t, range);
    return rc ? file_db_error(a->f, "cannot read a table") : SATCHEL_OK;
}

/* Writes the open range, which ends at its last row, or with the table. */
static int end_range(asking *a, bool open_end) {
    snapshot_range *range = &a->range.range;
    int rc = a->last.rc;
    range->has_to = !open_end;
    if (!rc && !open_end) rc = rows_key_values(a->t, a->last.p, a->last.n, range->to);
    a->range.rows = a->d.rows;
    memcpy(a->range.digest, a->d.digest, sizeof a->range.digest);
    sums_put(&a->range, &a->body);
    a->ranges++;
    a->rows += a->d.rows;
    digest_end(&a->d);
    digest_begin(&a->d);
    a->bytes = 0;
    /* The next one begins where it ends. */
    range->has_from = true;
    memcpy(range->from, range->to, sizeof range->from);
    buf_clear(&a->w->from);
    if (!open_end) buf_put(&a->w->from, a->last.p, a->last.n);
    return rc ? rc : a->body.rc ? a->body.rc : a->w->from.rc;
}

static int take_row(asking *a) {
    static _Thread_local value v[LIMIT_COLUMNS];
    value key[LIMIT_KEY_COLUMNS];
    for (unsigned i = 0; i < a->t->ncol; i++) {
        v[i] = value_of_column(a->q, (int)i);
        a->bytes += value_size(&v[i]);
        if (a->t->col[i]->key) key[a->t->col[i]->key - 1] = v[i];
    }
    buf_clear(&a->last);
    rows_key_bytes(a->t, key, &a->last);
    return digest_add(&a->d, a->t, v);
}

static bool is_end(const asking *a) {
    return value_hash(a->last.p, a->last.n, 0) % RANGE_END == 0 || a->d.rows == RANGE_ROWS || a->bytes >= RANGE_BYTES;
}

static bool is_full(const asking *a) {
    return a->ranges == LIMIT_SUMS || a->rows >= MESSAGE_ROWS;
}

/* The rest of a table, or as much as the message takes. */
static int ask_table(asking *a) {
    int rc = prepare_rest(a), step = SQLITE_DONE;
    digest_begin(&a->d);
    while (!rc && !is_full(a) && (step = sqlite3_step(a->q)) == SQLITE_ROW) {
        rc = take_row(a);
        /* `from` of the range to come is read from w->from again: a's own points into memory that has moved. */
        if (!rc && is_end(a)) {
            rc = end_range(a, false);
            if (!rc) rc = rows_key_values(a->t, a->w->from.p, a->w->from.n, a->range.range.from);
        }
    }
    bool ended = !rc && step == SQLITE_DONE && !is_full(a);
    if (!rc && step != SQLITE_ROW && step != SQLITE_DONE) rc = file_db_error(a->f, "cannot read a table");
    if (ended) rc = end_range(a, true);
    if (ended && !rc) a->w->table++;
    sqlite3_finalize(a->q);
    a->q = NULL;
    digest_end(&a->d);
    a->bytes = 0;
    return rc;
}

static int ask(file *f, checksum_walk *w) {
    asking a = {.f = f, .w = w};
    int rc = SATCHEL_OK;
    while (!rc && !is_full(&a) && (a.t = current_table(&a))) rc = ask_table(&a);
    buf_clear(&w->asked);
    if (!rc && a.ranges) {
        sums_begin(&(msg_sums){.cursor = f->state.cursor, .view = f->state.view, .ranges = a.ranges}, &w->asked);
        buf_put(&w->asked, a.body.p, a.body.n);
        rc = w->asked.rc;
    }
    buf_fini(&a.body);
    buf_fini(&a.last);
    return rc ? rc : a.ranges > 0;
}

int checksum_ask(file *f, checksum_walk *w) {
    bool rests;
    int rc = file_begin(f);
    if (rc) return rc;
    rc = at_rest(f, &rests);
    if (!rc && !rests) rc = SATCHEL_E_BUSY;
    if (rc) return file_end(f, rc);
    rc = ask(f, w);
    int end = file_end(f, rc < 0 ? rc : SATCHEL_OK);
    /* It stands behind ranges that nobody will be asked about. */
    if (end) checksum_reset(w);
    return end ? end : rc;
}

/* ---- the answer ---- */

/* Where the walk goes on. */
static int place(file *f, checksum_walk *w, uint32_t table, bool has, const value *key) {
    const schema_table *t = schema_table_by_id(f->schema, table);
    if (!t || t->until != SCHEMA_NEVER) return SATCHEL_E_MALFORMED;
    w->table = (unsigned)(t - f->schema->table);
    buf_clear(&w->from);
    if (has) rows_key_bytes(t, key, &w->from);
    return w->from.rc;
}

/* Behind a range. */
static int move_on(file *f, checksum_walk *w, const snapshot_range *range) {
    int rc = place(f, w, range->table, range->has_to, range->to);
    if (!range->has_to) w->table++;
    return rc;
}

/* The ranges that were asked about and not compared are asked about again. */
static int pass_compared(file *f, checksum_walk *w, uint64_t compared) {
    static _Thread_local sums_range one;
    sums_reader r;
    msg_sums head;
    int rc = sums_open(&r, w->asked.p, w->asked.n, &head);
    if (!rc && compared > head.ranges) rc = SATCHEL_E_MALFORMED;
    for (; !rc && compared; compared--) {
        if ((rc = sums_next(&r, &one)) != 1) return rc ? rc : SATCHEL_E_MALFORMED;
        w->rows += one.rows;
        rc = move_on(f, w, &one.range);
    }
    return rc;
}

/* Nothing was compared: the walk goes back to where the message began. */
static int put_back(file *f, checksum_walk *w) {
    static _Thread_local sums_range one;
    sums_reader r;
    msg_sums head;
    int rc = sums_open(&r, w->asked.p, w->asked.n, &head);
    if (!rc) rc = sums_next(&r, &one);
    if (rc == 1) rc = place(f, w, one.range.table, one.range.has_from, one.range.from);
    return rc ? rc : SATCHEL_E_BUSY;
}

int checksum_pass(file *f, checksum_walk *w, uint32_t *table) {
    static _Thread_local sums_range one;
    sums_reader r;
    msg_sums head;
    int rc = sums_open(&r, w->asked.p, w->asked.n, &head);
    if (!rc) rc = sums_next(&r, &one);
    if (rc != 1) return rc ? rc : SATCHEL_E_MALFORMED;
    *table = one.range.table;
    return move_on(f, w, &one.range);
}

typedef struct taking {
    file *f;
    rows rows;
    arena arena;
    delta_row row;
    snapshot_range range;
} taking;

static int count_range(file *f, const schema_table *t, const snapshot_range *range, int64_t *count) {
    sqlite3_stmt *q = NULL;
    sqlite3_str *sql = sqlite3_str_new(NULL);
    sqlite3_str_appendf(sql, "SELECT count(*) FROM main.\"%w\"", t->name);
    digest_put_range(sql, t, range->has_from, range->has_to);
    char *text = sqlite3_str_finish(sql);
    int rc = text ? db_rc(sqlite3_prepare_v2(f->db, text, -1, &q, NULL)) : SATCHEL_E_NOMEM;
    sqlite3_free(text);
    if (!rc) rc = digest_bind_range(q, t, range);
    if (!rc && sqlite3_step(q) == SQLITE_ROW) *count = sqlite3_column_int64(q, 0);
    /* Of a step that failed it tells the code again. */
    int sq = sqlite3_finalize(q);
    return rc || sq ? file_db_error(f, "cannot read a table") : SATCHEL_OK;
}

/* Whether the row stands here as it was sent; a column that was not sent is at its default. */
static int is_same(taking *k, const schema_table *t, bool *same) {
    static _Thread_local value here[LIMIT_COLUMNS];
    const delta_row *row = &k->row;
    arena_reset(&k->arena);
    int rc = rows_read(&k->rows, t, row->key, &k->arena, here);
    *same = rc == 1;
    for (unsigned i = 0, n = 0; *same && i < t->ncol; i++) {
        const schema_column *c = t->col[i];
        if (c->key) continue;
        while (n < row->ncol && row->col[n].id < c->id) n++;
        bool sent = n < row->ncol && row->col[n].id == c->id;
        value there = rows_normal(c, sent ? &row->v[n] : &c->default_value);
        *same = value_equal(&there, &here[i]);
    }
    return rc < 0 ? rc : SATCHEL_OK;
}

/* Rows that are right are not written again: the app is told of those that were wrong. *again: one is not what was sent even now. */
static int apply_rows(taking *k, const schema_table *t, uint64_t *wrong, bool *again) {
    wire w;
    delta_reader reader;
    int rc = SATCHEL_OK, more = 0;
    wire_open(&w, k->range.delta, k->range.ndelta);
    delta_open(&reader, &w);
    while (!rc && (more = delta_next(&reader, &k->row)) == 1) {
        bool same;
        rc = is_same(k, t, &same);
        if (rc || same) continue;
        rc = overlay_apply_snapshot(k->f->overlay, &k->row, k->f->state.cursor);
        if (!rc) rc = is_same(k, t, &same);
        *again |= !same;
        ++*wrong;
    }
    return rc ? rc : more;
}

static int apply_range(taking *k, bool cut, checksum_repair *told) {
    file *f = k->f;
    const schema_table *t = schema_table_by_id(f->schema, k->range.table);
    int64_t before = 0, after = 0;
    bool again = false;
    *told = (checksum_repair){.table = k->range.table};
    if (!t || t->until != SCHEMA_NEVER) return SATCHEL_E_MALFORMED;
    int rc = count_range(f, t, &k->range, &before);
    if (!rc) rc = overlay_clear_range(f->overlay, &k->range, f->state.cursor, f->state.view ? DELTA_LEAVE : DELTA_DELETE);
    if (!rc) rc = count_range(f, t, &k->range, &after);
    told->rows = (uint64_t)(before - after);
    if (!rc) rc = apply_rows(k, t, &told->rows, &again);
    /* Where nothing was wrong the digests differ of what is the same; or what is wrong comes behind the cut. */
    if (again || (!told->rows && !cut)) told->rc = SATCHEL_E_INTERNAL;
    return rc;
}

/* An answer, and how much of it is taken. */
typedef struct answer {
    msg_repair head;
    snapshot_reader ranges;
    unsigned most; /* ranges; the next one is passed over */
    int refused;   /* why the next one could not be taken */
    checksum_repair *told;
    unsigned *n;
} answer;

static bool begins_alike(const snapshot_range *a, const snapshot_range *b) {
    bool same = a->table == b->table && a->has_from == b->has_from;
    for (unsigned i = 0; same && a->has_from && i < a->nkey; i++) same = i < b->nkey && value_equal(&a->from[i], &b->from[i]);
    return same;
}

/* The walk goes on behind the range that was asked about where k->range begins. */
static int pass_refused(taking *k, checksum_walk *w) {
    static _Thread_local sums_range one;
    sums_reader r;
    msg_sums head;
    int more = 0, rc = sums_open(&r, w->asked.p, w->asked.n, &head);
    while (!rc && (more = sums_next(&r, &one)) == 1) {
        if (begins_alike(&one.range, &k->range)) return move_on(k->f, w, &one.range);
        w->rows += one.rows;
    }
    return rc ? rc : more ? more : SATCHEL_E_MALFORMED;
}

static int take_ranges(taking *k, checksum_walk *w, answer *a) {
    int more;
    while ((more = snapshot_next(&a->ranges, &k->range)) == 1 && *a->n < a->most) {
        bool cut = a->head.cut && *a->n + 1 == a->head.ranges;
        a->refused = apply_range(k, cut, &a->told[*a->n]);
        if (a->refused) return a->refused;
        ++*a->n;
    }
    if (more < 0) return more;
    if (more) return pass_refused(k, w);
    int rc = pass_compared(k->f, w, a->head.compared);
    return !rc && a->head.cut ? move_on(k->f, w, &k->range) : rc;
}

static int take(file *f, checksum_walk *w, answer *a) {
    taking *k = calloc(1, sizeof *k);
    if (!k) return SATCHEL_E_NOMEM;
    k->f = f;
    rows_init(&k->rows, f->db);
    arena_init(&k->arena);
    int rc = take_ranges(k, w, a);
    rows_fini(&k->rows);
    arena_fini(&k->arena);
    free(k);
    return rc;
}

/* Rows are given as of the cursor and for the view that were told with the question. */
static int still_fits(file *f, const checksum_walk *w, const msg_repair *head, bool *fits) {
    sums_reader r;
    msg_sums asked;
    int rc = sums_open(&r, w->asked.p, w->asked.n, &asked);
    if (!rc) rc = at_rest(f, fits);
    *fits = !rc && *fits && head->seq == asked.cursor && f->state.cursor == asked.cursor && f->state.view == asked.view;
    return rc;
}

static int take_message(file *f, checksum_walk *w, const void *message, size_t nmessage, answer *a) {
    bool fits = true;
    *a->n = 0;
    a->refused = 0;
    int rc = repair_open(&a->ranges, message, nmessage, &a->head);
    if (rc) return rc;
    if ((rc = file_begin(f))) return rc == SATCHEL_E_BUSY ? put_back(f, w) : rc;
    if (a->head.ranges) rc = still_fits(f, w, &a->head, &fits);
    bool takes = !rc && fits && a->head.compared;
    rc = file_end(f, takes ? take(f, w, a) : rc);
    return rc == SATCHEL_E_BUSY || (!rc && !takes) ? put_back(f, w) : rc;
}

/* It fails again however often it is tried. */
static bool is_lasting(int rc) {
    satchel_class class = satchel_rc_class(rc);
    return class == SATCHEL_CLASS_REFUSED || class == SATCHEL_CLASS_PERMANENT || rc == SATCHEL_E_CORRUPT;
}

int checksum_take(file *f, checksum_walk *w, const void *message, size_t nmessage, checksum_repair *told, unsigned *n) {
    answer a = {.most = LIMIT_SUMS, .told = told, .n = n};
    int rc = take_message(f, w, message, nmessage, &a), refused = a.refused;
    if (refused && is_lasting(refused)) {
        uint32_t table = told[*n].table;
        a.most = *n;
        rc = take_message(f, w, message, nmessage, &a);
        if (!rc) told[(*n)++] = (checksum_repair){.table = table, .rc = refused};
    }
    if (rc) *n = 0;
    if (rc && rc != SATCHEL_E_BUSY) checksum_reset(w);
    return rc;
}
