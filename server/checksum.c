#include "server/checksum.h"

#include <stdio.h>
#include <string.h>

#include "protocol/digest.h"
#include "protocol/limits.h"
#include "protocol/message.h"
#include "protocol/satchel_rc.h"
#include "server/checksum_store.h"
#include "server/row_query.h"

/* Entries of the log behind the device's cursor that are looked through; with more the device is too far behind. */
#define BEHIND_MOST 1000
/* Commits of the log that one answer looks through, if there is more than one range to look for. */
#define LOOK_MOST 20000u
/* Rows that commits have touched since a memo was kept; with more the range is computed. */
#define TOUCHED_MOST 1000u
/* What is read for one answer before it ends behind a range: rows of the view count 8, others that are passed over 1. */
#define READ_MOST (8u * 40000u)

typedef struct comparing {
    pages *r;
    const schema *shape;
    view *v;
    msg_sums head;
    msg_repair answer;
    buf body;                     /* ranges of the answer */
    uint32_t moved[LIMIT_TABLES]; /* tables with commits for the view behind the cursor */
    unsigned nmoved;
    uint64_t seq, floor; /* of the state that is read */
    /* Rows of the log behind `touched_from`, for the view: (seq, table, key)*. touched_from 0: they were not gathered; touched_many: there are too many. */
    uint64_t touched_from, turn;
    bool touched_many;
    unsigned ntouched;
    buf touched;
    const checksum_asker *by;
    checksum_outcome *outcome;
    delta_row row;
} comparing;

/* ---- what the device has not heard yet ---- */

static bool has_moved(const comparing *c, uint32_t table) {
    for (unsigned i = 0; i < c->nmoved; i++)
        if (c->moved[i] == table) return true;
    return false;
}

static void note_table(comparing *c) {
    if (!has_moved(c, c->row.table) && c->nmoved < LIMIT_TABLES) c->moved[c->nmoved++] = c->row.table;
}

static void note_touched(comparing *c, uint64_t seq) {
    buf_put_varint(&c->touched, seq);
    buf_put_varint(&c->touched, c->row.table);
    buf_put_varint(&c->touched, c->row.nkey);
    for (unsigned i = 0; i < c->row.nkey; i++) value_put(&c->touched, &c->row.key[i]);
    c->ntouched++;
}

static int note_rows(comparing *c, uint64_t seq, const void *delta, size_t n, bool touched) {
    static _Thread_local delta_reader reader;
    wire w;
    int more;
    wire_open(&w, delta, n);
    delta_open(&reader, &w);
    while ((more = delta_next(&reader, &c->row)) == 1 && c->ntouched < TOUCHED_MOST)
        if (touched)
            note_touched(c, seq);
        else
            note_table(c);
    return more < 0 ? more : c->touched.rc;
}

/* Notes what the view hears of the commits behind `from`: rows into c->touched, or tables into c->moved. *many: there is too much. */
static int read_behind(comparing *c, uint64_t from, bool touched, bool *many) {
    int rc = SATCHEL_OK, more = 0;
    sqlite3_stmt *q = db_prepare(&c->r->cache, "SELECT id,bucket,besides,delta FROM satchel_log WHERE id>=? ORDER BY id");
    db_bind(q, "i", (int64_t)((from + 1) << 24));
    for (unsigned i = 0; !rc && !*many && (more = db_next(&c->r->cache, q)) == 1; i++) {
        int hears = view_hears(c->v, c->r->sets, (uint32_t)sqlite3_column_int64(q, 1), (uint32_t)sqlite3_column_int64(q, 2));
        if (hears == 1)
            rc = note_rows(c, (uint64_t)sqlite3_column_int64(q, 0) >> 24, sqlite3_column_blob(q, 3),
                           (size_t)sqlite3_column_bytes(q, 3), touched);
        if (hears < 0) rc = hears;
        *many = i == BEHIND_MOST || c->ntouched == TOUCHED_MOST;
    }
    if (q) sqlite3_reset(q);
    return rc ? rc : more < 0 ? more : SATCHEL_OK;
}

/* Fills c->moved. *far: the device is too far behind, or ahead. */
static int look_behind(comparing *c, bool *far) {
    int64_t seq = 0, floor = 0;
    int rc = db_integer(&c->r->cache, "SELECT seq FROM satchel_server", 0, &seq);
    if (!rc) rc = db_integer(&c->r->cache, "SELECT floor FROM satchel_server", 0, &floor);
    c->seq = (uint64_t)seq;
    c->floor = (uint64_t)floor;
    *far = c->head.cursor > c->seq || c->head.cursor < c->floor;
    return rc || *far ? rc : read_behind(c, c->head.cursor, false, far);
}

/* ---- rows ---- */

static int prepare_rows(comparing *c, const schema_table *t, const snapshot_range *range, sqlite3_stmt **q) {
    sqlite3_str *where = sqlite3_str_new(NULL);
    digest_put_range(where, t, range->has_from, range->has_to);
    sqlite3_str_appendall(where, " ");
    char *text = sqlite3_str_finish(where);
    int rc = text ? row_query_prepare(c->r->db, t, c->v, text, true, q, &c->row) : SATCHEL_E_NOMEM;
    sqlite3_free(text);
    if (!rc) rc = digest_bind_range(*q, t, range);
    return rc;
}

/* Steps to the next row of the view, into c->row. 1, 0 at the end, or an error. */
static int next_row(comparing *c, sqlite3_stmt *q, size_t *size) {
    int step, holds = 1;
    *size = 0;
    while ((step = sqlite3_step(q)) == SQLITE_ROW && !view_is_everything(c->v)) {
        holds = view_holds(c->v, c->r->sets, row_query_set(q));
        if (holds) break;
        c->outcome->read++;
    }
    if (holds < 0) return holds;
    if (step != SQLITE_ROW) return db_rc(step);
    *size = row_query_take(q, &c->row);
    c->outcome->read += 8;
    return 1;
}

/* The row as the device shows it: every live column, a masked one with its default. */
static int add_row(digest_rows *d, const schema_table *t, const delta_row *row) {
    static _Thread_local value v[LIMIT_COLUMNS];
    for (unsigned i = 0, k = 0; i < t->ncol; i++) {
        const schema_column *col = t->col[i];
        if (col->key)
            v[i] = row->key[col->key - 1];
        else if (k < row->ncol && row->col[k].id == col->id)
            v[i] = row->v[k++];
        else
            v[i] = col->default_value;
    }
    return digest_add(d, t, v);
}

/* Of no more rows than one above those that the device has: then the range differs whatever it holds. */
static int digest_range(comparing *c, const schema_table *t, const sums_range *asked, digest_rows *d) {
    sqlite3_stmt *q = NULL;
    size_t size;
    int more = 0;
    digest_begin(d);
    int rc = prepare_rows(c, t, &asked->range, &q);
    while (!rc && d->rows <= asked->rows && (more = next_row(c, q, &size)) == 1) rc = add_row(d, t, &c->row);
    sqlite3_finalize(q);
    digest_end(d);
    return rc ? rc : more < 0 ? more : SATCHEL_OK;
}

/* ---- what was computed before ---- */

static bool is_in(const schema_table *t, const snapshot_range *range, const value *key) {
    int from = 0, to = 0;
    for (unsigned i = 0; range->has_from && !from && i < t->nkey; i++) from = value_compare(&key[i], &range->from[i]);
    for (unsigned i = 0; range->has_to && !to && i < t->nkey; i++) to = value_compare(&key[i], &range->to[i]);
    return (!range->has_from || from > 0) && (!range->has_to || to <= 0);
}

/* Whether the rows that commits have touched since lie outside the range. What cannot be told counts as inside. */
static bool is_untouched(const comparing *c, const schema_table *t, const snapshot_range *range, uint64_t since) {
    const uint8_t *p = c->touched.p, *end = p + c->touched.n;
    uint64_t seq, table, nkey;
    value key[LIMIT_KEY_COLUMNS];
    while (p < end) {
        if (!buf_get_varint(&p, end, &seq) || !buf_get_varint(&p, end, &table) || !buf_get_varint(&p, end, &nkey)) return false;
        for (unsigned i = 0; i < nkey; i++)
            if (value_get(&p, end, &key[i])) return false;
        if (seq > since && table == t->id && (nkey != t->nkey || is_in(t, range, key))) return false;
    }
    return true;
}

/* Whether *k, found in the memo, still holds. */
static int still_holds(comparing *c, const schema_table *t, const snapshot_range *range, const checksum_known *k, bool *holds) {
    int rc = SATCHEL_OK;
    *holds = k->seq >= c->floor && k->seq <= c->seq;
    if (!*holds || k->seq == c->seq) return rc;
    if (!c->touched_from) {
        c->touched_from = k->seq;
        rc = read_behind(c, k->seq, true, &c->touched_many);
    }
    *holds = !rc && !c->touched_many && k->seq >= c->touched_from && is_untouched(c, t, range, k->seq);
    return rc;
}

/* Whether the range is known to be what the device has. */
static int is_known(comparing *c, const schema_table *t, const sums_range *asked, checksum_known *k, bool *same) {
    bool holds = false;
    *same = false;
    int rc = checksum_memo_name(c->head.view, &asked->range, k);
    if (rc || !checksum_memo_find(c->by->memo, k, c->by->device, c->by->now_ms)) return rc;
    rc = still_holds(c, t, &asked->range, k, &holds);
    *same = holds && k->rows == asked->rows && memcmp(k->digest, asked->digest, sizeof k->digest) == 0;
    k->seq = c->seq;
    if (*same) checksum_memo_keep(c->by->memo, k, c->turn);
    c->outcome->known += *same;
    return rc;
}

static void keep(comparing *c, const digest_rows *d, checksum_known *k) {
    k->rows = d->rows;
    memcpy(k->digest, d->digest, sizeof k->digest);
    k->seq = c->seq;
    k->device = c->by->device;
    k->made_ms = c->by->now_ms;
    checksum_memo_keep(c->by->memo, k, c->turn);
}

/* ---- what differs ---- */

static void tell_end(buf *words, const char *before, const value *key, unsigned n) {
    buf_printf(words, "%s", before);
    for (unsigned i = 0; i < n; i++) {
        if (i) buf_put_byte(words, ',');
        value_put_literal(words, &key[i]);
    }
}

static void tell_range(const snapshot_range *range, char *out, size_t room) {
    buf words;
    buf_init(&words, 0);
    if (range->has_from) tell_end(&words, " after ", range->from, range->nkey);
    if (range->has_to) tell_end(&words, " up to ", range->to, range->nkey);
    snprintf(out, room, "%.*s", (int)words.n, words.n ? (const char *)words.p : "");
    buf_fini(&words);
}

static void note_found(comparing *c, const schema_table *t, const sums_range *asked, uint64_t store_rows) {
    checksum_found *f = &c->outcome->found[c->outcome->nfound++];
    *f = (checksum_found){.t = t, .device_rows = asked->rows, .store_rows = store_rows};
    tell_range(&asked->range, f->range, sizeof f->range);
}

/* Writes the rows of a range until the answer is full: then the range ends at the last one, which is kept in `hold`. */
static int write_rows(comparing *c, sqlite3_stmt *q, delta_writer *w, buf *hold) {
    size_t size;
    int more;
    while ((more = next_row(c, q, &size)) == 1) {
        size_t have = c->body.n + delta_size(w);
        c->answer.cut = have && (have >= LIMIT_PAGE_BYTES || have + size > LIMIT_ROW_BYTES);
        if (c->answer.cut) return hold->rc;
        delta_put_row(w, &c->row);
        buf_clear(hold);
        for (unsigned i = 0; i < c->row.nkey; i++) value_put(hold, &c->row.key[i]);
    }
    return more ? more : hold->rc;
}

static void end_at(snapshot_range *range, const buf *key, unsigned nkey) {
    const uint8_t *p = key->p, *end = key->p + key->n;
    range->has_to = true;
    range->nkey = nkey;
    for (unsigned i = 0; i < nkey; i++) value_get(&p, end, &range->to[i]);
}

/* Puts the range's rows into the answer. *none: there was no room for any of them. */
static int put_range(comparing *c, const schema_table *t, snapshot_range *range, bool *none) {
    sqlite3_stmt *q = NULL;
    delta_writer w;
    buf hold, delta;
    delta_writer_init(&w);
    buf_init(&hold, 0);
    buf_init(&delta, 0);
    int rc = prepare_rows(c, t, range, &q);
    if (!rc) rc = write_rows(c, q, &w, &hold);
    *none = c->answer.cut && !hold.n;
    if (!rc && !*none) rc = delta_finish(&w, &delta);
    if (!rc && !*none) {
        if (c->answer.cut) end_at(range, &hold, t->nkey);
        range->nkey = t->nkey;
        range->delta = delta.p;
        range->ndelta = delta.n;
        snapshot_put_range(range, &c->body);
        c->answer.ranges++;
        rc = c->body.rc;
    }
    sqlite3_finalize(q);
    delta_writer_fini(&w);
    buf_fini(&hold);
    buf_fini(&delta);
    return rc;
}

/* ---- all ranges ---- */

/* The live table of a range whose ends fit its key; NULL: the device made it up. */
static const schema_table *table_of(const comparing *c, const snapshot_range *range) {
    const schema_table *t = schema_table_by_id(c->shape, range->table);
    bool fits = t && t->until == SCHEMA_NEVER && (!range->nkey || range->nkey == t->nkey);
    return fits ? t : NULL;
}

/* Who is wrong? *end: not the device, or that cannot be told now. */
static int look_at_store(comparing *c, const sums_range *asked, bool *end) {
    checksum_outcome *o = c->outcome;
    unsigned wrong = 0;
    buf report;
    uint64_t log = c->seq - c->floor;
    *end = !c->by->may_look || (o->looked && o->looked + log > LOOK_MOST);
    if (*end) return SATCHEL_OK;
    o->looked += log;
    buf_init(&report, 0);
    int rc = checksum_store_range(c->r->db, c->shape, &asked->range, NULL, &report, &wrong);
    *end = wrong > 0;
    if (wrong) {
        sums_begin(&(msg_sums){.cursor = c->head.cursor, .ranges = 1}, &o->heal);
        sums_put(asked, &o->heal);
    }
    buf_fini(&report);
    return rc ? rc : o->heal.rc;
}

/* A range that differs: gives it again. */
static int answer_range(comparing *c, const schema_table *t, const sums_range *asked, uint64_t store_rows, bool *end) {
    int rc = look_at_store(c, asked, end);
    if (rc || *end) return rc;
    bool none = c->body.n >= LIMIT_PAGE_BYTES;
    snapshot_range range = asked->range;
    if (!none) rc = put_range(c, t, &range, &none);
    *end = none || c->answer.cut;
    if (none) c->answer.cut = false;
    if (rc || none) return rc;
    note_found(c, t, asked, store_rows);
    c->answer.compared++;
    return SATCHEL_OK;
}

/* One range: *end when no further one is to be compared. */
static int compare_range(comparing *c, sums_range *asked, bool *end) {
    const schema_table *t = table_of(c, &asked->range);
    checksum_known k;
    digest_rows d;
    bool same;
    if (!t) return SATCHEL_E_MALFORMED;
    if (asked->rows > LIMIT_SUM_ROWS) return SATCHEL_E_LIMIT;
    *end = has_moved(c, t->id);
    if (*end) return SATCHEL_OK;
    int rc = is_known(c, t, asked, &k, &same);
    if (!rc && !same) {
        rc = digest_range(c, t, asked, &d);
        if (rc) return rc;
        same = d.rows == asked->rows && memcmp(d.digest, asked->digest, sizeof d.digest) == 0;
        if (!same) return answer_range(c, t, asked, d.rows, end);
        keep(c, &d, &k);
    }
    if (rc) return rc;
    c->answer.compared++;
    *end = c->outcome->read >= READ_MOST;
    return SATCHEL_OK;
}

static int compare_all(comparing *c, sums_reader *reader) {
    static _Thread_local sums_range asked;
    bool end = false;
    int rc = look_behind(c, &end), more = 0;
    while (!rc && !end && (more = sums_next(reader, &asked)) == 1) rc = compare_range(c, &asked, &end);
    return rc ? rc : more < 0 ? more : SATCHEL_OK;
}

static int finish(const msg_repair *answer, const buf *body, frame **out) {
    buf message;
    buf_init(&message, LIMIT_MESSAGE_BYTES);
    repair_begin(answer, &message);
    buf_put(&message, body->p, body->n);
    int rc = message.rc;
    if (!rc && !(*out = frame_of_message(&message))) rc = SATCHEL_E_NOMEM;
    buf_fini(&message);
    return rc;
}

int checksum_answer(pages *r, const schema *shape, uint64_t view_number, const checksum_asker *by, const void *message, size_t n,
                    checksum_outcome *outcome, frame **out) {
    sums_reader reader;
    static _Thread_local comparing c;
    c = (comparing){.r = r, .shape = shape, .by = by, .outcome = outcome, .turn = checksum_memo_turn(by->memo)};
    *out = NULL;
    *outcome = (checksum_outcome){0};
    int rc = sums_open(&reader, message, n, &c.head);
    if (rc) return rc;
    c.answer.seq = c.head.cursor;
    if (c.head.view == view_number) {
        rc = db_exec(&r->cache, "BEGIN", "");
        if (!rc) rc = pages_view(r, view_number, &c.v);
        if (!rc) rc = compare_all(&c, &reader);
        if (!sqlite3_get_autocommit(r->db)) db_end(&r->cache, "COMMIT");
    }
    outcome->compared = (unsigned)c.answer.compared;
    outcome->cut = c.answer.cut;
    if (!rc) rc = finish(&c.answer, &c.body, out);
    buf_fini(&c.body);
    buf_fini(&c.touched);
    return rc;
}

frame *checksum_later(uint64_t cursor) {
    frame *f = NULL;
    finish(&(msg_repair){.seq = cursor}, &(buf){0}, &f);
    return f;
}
