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

typedef struct comparing {
    pages *r;
    const schema *shape;
    view *v;
    msg_sums head;
    msg_repair answer;
    buf body;                     /* ranges of the answer */
    uint32_t moved[LIMIT_TABLES]; /* tables with commits for the view behind the cursor */
    unsigned nmoved;
    uint64_t log; /* commits in it */
    bool may_look;
    checksum_outcome *outcome;
    delta_row row;
} comparing;

/* ---- what the device has not heard yet ---- */

static bool has_moved(const comparing *c, uint32_t table) {
    for (unsigned i = 0; i < c->nmoved; i++)
        if (c->moved[i] == table) return true;
    return false;
}

static int note_tables(comparing *c, const uint8_t *delta, size_t n) {
    static _Thread_local delta_reader reader;
    wire w;
    int more;
    wire_open(&w, delta, n);
    delta_open(&reader, &w);
    while ((more = delta_next(&reader, &c->row)) == 1)
        if (!has_moved(c, c->row.table) && c->nmoved < LIMIT_TABLES) c->moved[c->nmoved++] = c->row.table;
    return more;
}

/* Fills c->moved. *far: the device is too far behind, or ahead. */
static int look_behind(comparing *c, bool *far) {
    int64_t seq = 0, floor = 0;
    int rc = db_integer(&c->r->cache, "SELECT seq FROM satchel_server", 0, &seq);
    if (!rc) rc = db_integer(&c->r->cache, "SELECT floor FROM satchel_server", 0, &floor);
    c->log = (uint64_t)(seq - floor);
    *far = c->head.cursor > (uint64_t)seq || c->head.cursor < (uint64_t)floor;
    if (rc || *far) return rc;
    sqlite3_stmt *q = db_prepare(&c->r->cache, "SELECT bucket,besides,delta FROM satchel_log WHERE id>=? ORDER BY id");
    db_bind(q, "i", (int64_t)((c->head.cursor + 1) << 24));
    int more = 0;
    for (unsigned i = 0; !rc && !*far && (more = db_next(&c->r->cache, q)) == 1; i++) {
        int hears = view_hears(c->v, c->r->sets, (uint32_t)sqlite3_column_int64(q, 0), (uint32_t)sqlite3_column_int64(q, 1));
        if (hears == 1) rc = note_tables(c, sqlite3_column_blob(q, 2), (size_t)sqlite3_column_bytes(q, 2));
        if (hears < 0) rc = hears;
        *far = i == BEHIND_MOST;
    }
    if (q) sqlite3_reset(q);
    return rc ? rc : more < 0 ? more : SATCHEL_OK;
}

/* ---- rows ---- */

static int prepare_rows(comparing *c, const schema_table *t, const snapshot_range *range, sqlite3_stmt **q) {
    sqlite3_str *where = sqlite3_str_new(NULL);
    digest_put_range(where, t, range->has_from, range->has_to);
    sqlite3_str_appendall(where, " ");
    char *text = sqlite3_str_finish(where);
    int rc = text ? row_query_prepare(c->r->db, t, c->v, text, true, q, &c->row) : SATCHEL_E_NOMEM;
    sqlite3_free(text);
    if (!rc) digest_bind_range(*q, t, range);
    return rc;
}

/* Steps to the next row of the view, into c->row. 1, 0 at the end, or an error. */
static int next_row(comparing *c, sqlite3_stmt *q, size_t *size) {
    int step, holds = 1;
    *size = 0;
    while ((step = sqlite3_step(q)) == SQLITE_ROW && !view_is_everything(c->v)) {
        holds = view_holds(c->v, c->r->sets, row_query_set(q));
        if (holds) break;
    }
    if (holds < 0) return holds;
    if (step != SQLITE_ROW) return db_rc(step);
    *size = row_query_take(q, &c->row);
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

static int digest_range(comparing *c, const schema_table *t, const snapshot_range *range, digest_rows *d) {
    sqlite3_stmt *q = NULL;
    size_t size;
    int more = 0;
    digest_begin(d);
    int rc = prepare_rows(c, t, range, &q);
    while (!rc && (more = next_row(c, q, &size)) == 1) rc = add_row(d, t, &c->row);
    sqlite3_finalize(q);
    digest_end(d);
    return rc ? rc : more;
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
    *end = !c->may_look || (o->looked && o->looked + c->log > LOOK_MOST);
    if (*end) return SATCHEL_OK;
    o->looked += c->log;
    buf_init(&report, 0);
    int rc = checksum_store_range(c->r->db, c->shape, &asked->range, false, &report, &wrong);
    *end = wrong > 0;
    if (wrong) {
        sums_begin(&(msg_sums){.cursor = c->head.cursor, .ranges = 1}, &o->heal);
        sums_put(asked, &o->heal);
    }
    buf_fini(&report);
    return rc ? rc : o->heal.rc;
}

/* One range: *end when no further one is to be compared. */
static int compare_range(comparing *c, sums_range *asked, bool *end) {
    const schema_table *t = table_of(c, &asked->range);
    digest_rows d;
    if (!t) return SATCHEL_E_MALFORMED;
    *end = has_moved(c, t->id);
    if (*end) return SATCHEL_OK;
    int rc = digest_range(c, t, &asked->range, &d);
    if (rc) return rc;
    if (d.rows != asked->rows || memcmp(d.digest, asked->digest, sizeof d.digest) != 0) {
        rc = look_at_store(c, asked, end);
        if (rc || *end) return rc;
        bool none = c->body.n >= LIMIT_PAGE_BYTES;
        snapshot_range range = asked->range;
        if (!none) rc = put_range(c, t, &range, &none);
        *end = none || c->answer.cut;
        if (none) c->answer.cut = false;
        if (rc || none) return rc;
        note_found(c, t, asked, d.rows);
    }
    c->answer.compared++;
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

int checksum_answer(pages *r, const schema *shape, uint64_t view_number, bool may_look, const void *message, size_t n,
                    checksum_outcome *outcome, frame **out) {
    sums_reader reader;
    static _Thread_local comparing c;
    c = (comparing){.r = r, .shape = shape, .may_look = may_look, .outcome = outcome};
    *out = NULL;
    *outcome = (checksum_outcome){0};
    int rc = sums_open(&reader, message, n, &c.head);
    if (rc) return rc;
    c.answer.seq = c.head.cursor;
    if (c.head.view == view_number) {
        rc = db_exec(&r->cache, "BEGIN", "");
        if (!rc) rc = pages_view(r, view_number, &c.v);
        if (!rc) rc = compare_all(&c, &reader);
        if (!sqlite3_get_autocommit(r->db)) db_exec(&r->cache, "COMMIT", "");
    }
    outcome->compared = (unsigned)c.answer.compared;
    if (!rc) rc = finish(&c.answer, &c.body, out);
    buf_fini(&c.body);
    return rc;
}

frame *checksum_later(uint64_t cursor) {
    frame *f = NULL;
    finish(&(msg_repair){.seq = cursor}, &(buf){0}, &f);
    return f;
}
