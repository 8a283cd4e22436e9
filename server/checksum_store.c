#include "server/checksum_store.h"

#include <inttypes.h>
#include <stdlib.h>

#include "protocol/clock.h"
#include "protocol/db.h"
#include "protocol/satchel_rc.h"

/* What the log says is gathered in a database in memory: a row's last put and where it lay then, and each column's value with who wrote it. A commit may mention a
 * column several times: each of its values counts as said, the last is the one that is put in place. */
static const char LAYOUT[] =
    "CREATE TABLE said(id INTEGER PRIMARY KEY, tbl INT, key BLOB, state INT, bucket INT, seq INT, stamp INT, author INT,"
    " UNIQUE(tbl,key));"
    "CREATE TABLE col(n INTEGER PRIMARY KEY, row INT, id INT, seq INT, stamp INT, author INT, v BLOB);"
    "CREATE INDEX col_row ON col(row,id);";

/* Of `state`. PARTLY: it was put below the floor. */
enum { SAID_NOTHING, SAID_PARTLY, SAID_WHOLE, SAID_DELETED };

struct checksum_truth {
    sqlite3 *db;
    db_cache cache;
    unsigned wanted;
    size_t bytes; /* of values that the log gave */
    buf key;
    delta_row row;
};

int checksum_truth_new(checksum_truth **out) {
    checksum_truth *k = *out = calloc(1, sizeof *k);
    if (!k) return SATCHEL_E_NOMEM;
    int sq = sqlite3_open(":memory:", &k->db);
    if (sq == SQLITE_OK) sq = sqlite3_exec(k->db, LAYOUT, NULL, NULL, NULL);
    db_cache_init(&k->cache, k->db);
    return db_rc(sq);
}

void checksum_truth_free(checksum_truth *k) {
    if (!k) return;
    db_cache_fini(&k->cache);
    sqlite3_close(k->db);
    buf_fini(&k->key);
    free(k);
}

unsigned checksum_truth_wanted(const checksum_truth *k) {
    return k->wanted;
}

static int put_key(checksum_truth *k, const delta_row *row) {
    buf_clear(&k->key);
    for (unsigned i = 0; i < row->nkey; i++) value_put(&k->key, &row->key[i]);
    return k->key.rc;
}

/* The row whose key is in k->key. */
static int add_row(checksum_truth *k, uint32_t table) {
    if (k->wanted == CHECKSUM_ROWS || k->bytes > CHECKSUM_BYTES) return SATCHEL_OK;
    int rc =
        db_exec(&k->cache, "INSERT OR IGNORE INTO said(tbl,key,state) VALUES(?,?,0)", "ib", (int64_t)table, k->key.p, k->key.n);
    k->wanted += (unsigned)sqlite3_changes(k->db);
    return rc;
}

int checksum_truth_want(checksum_truth *k, const delta_row *row) {
    int rc = put_key(k, row);
    return rc ? rc : add_row(k, row->table);
}

/* ---- reading the log ---- */

/* One entry of the log. */
typedef struct said_by {
    int64_t seq, author, stamp, bucket;
} said_by;

static int compare_keys(const delta_row *row, const value *key) {
    int c = 0;
    for (unsigned i = 0; !c && i < row->nkey; i++) c = value_compare(&row->key[i], &key[i]);
    return c;
}

static bool in_range(const delta_row *row, const snapshot_range *range) {
    return range && row->table == range->table && (!range->has_from || compare_keys(row, range->from) > 0) &&
           (!range->has_to || compare_keys(row, range->to) <= 0);
}

/* The row's number in `said`; 0: it is not wanted. */
static int find_row(checksum_truth *k, const snapshot_range *range, int64_t *id) {
    int rc = put_key(k, &k->row);
    *id = 0;
    if (!rc && in_range(&k->row, range)) rc = add_row(k, k->row.table);
    if (rc) return rc;
    sqlite3_stmt *q = db_prepare(&k->cache, "SELECT id FROM said WHERE tbl=? AND key=?");
    db_bind(q, "ib", (int64_t)k->row.table, k->key.p, k->key.n);
    rc = db_next(&k->cache, q);
    if (rc == 1) *id = sqlite3_column_int64(q, 0);
    if (rc == 1) sqlite3_reset(q);
    return rc < 0 ? rc : SATCHEL_OK;
}

static int put_column(checksum_truth *k, int64_t id, unsigned i, const said_by *by) {
    buf v;
    buf_init(&v, 0);
    value_put(&v, &k->row.v[i]);
    k->bytes += v.n;
    int rc = v.rc;
    int64_t column = k->row.col[i].id;
    if (!rc) rc = db_exec(&k->cache, "DELETE FROM col WHERE row=? AND id=? AND seq<?", "iii", id, column, by->seq);
    if (!rc)
        rc = db_exec(&k->cache, "INSERT INTO col(row,id,seq,stamp,author,v) VALUES(?,?,?,?,?,?)", "iiiiib", id, column, by->seq,
                     by->stamp, by->author, v.p, v.n);
    buf_fini(&v);
    return rc;
}

static int take_row(checksum_truth *k, int64_t id, const said_by *by) {
    int rc = SATCHEL_OK;
    switch (k->row.op) {
    case DELTA_LEAVE:
        return SATCHEL_OK;
    case DELTA_DELETE:
        rc = db_exec(&k->cache, "DELETE FROM col WHERE row=?", "i", id);
        return rc ? rc : db_exec(&k->cache, "UPDATE said SET state=3,seq=? WHERE id=?", "ii", by->seq, id);
    case DELTA_PUT:
        rc = db_exec(&k->cache, "UPDATE said SET state=2,bucket=?,seq=?,stamp=?,author=? WHERE id=?", "iiiii", by->bucket,
                     by->seq, by->stamp, by->author, id);
        break;
    default:
        rc = db_exec(&k->cache, "UPDATE said SET state=1 WHERE id=? AND state IN (0,3)", "i", id);
    }
    for (unsigned i = 0; !rc && i < k->row.ncol; i++) rc = put_column(k, id, i, by);
    return rc;
}

static int take_entry(checksum_truth *k, sqlite3_stmt *q, const snapshot_range *range) {
    said_by by = {.seq = sqlite3_column_int64(q, 0) >> 24,
                  .author = sqlite3_column_int64(q, 1),
                  .stamp = sqlite3_column_int64(q, 2),
                  .bucket = sqlite3_column_int64(q, 3)};
    static _Thread_local delta_reader r;
    wire w;
    int rc = SATCHEL_OK, more = 0;
    wire_open(&w, sqlite3_column_blob(q, 4), (size_t)sqlite3_column_bytes(q, 4));
    delta_open(&r, &w);
    while (!rc && (more = delta_next(&r, &k->row)) == 1) {
        int64_t id;
        rc = find_row(k, range, &id);
        if (!rc && id) rc = take_row(k, id, &by);
    }
    return rc ? rc : more;
}

int checksum_truth_read(checksum_truth *k, sqlite3 *db, const snapshot_range *range) {
    sqlite3_stmt *q = NULL;
    int step = SQLITE_DONE;
    int rc = db_rc(sqlite3_prepare_v2(db, "SELECT id,author,stamp,bucket,delta FROM satchel_log ORDER BY id", -1, &q, NULL));
    if (!rc) rc = db_exec(&k->cache, "BEGIN", "");
    while (!rc && (step = sqlite3_step(q)) == SQLITE_ROW) rc = take_entry(k, q, range);
    if (!rc) rc = db_rc(step);
    if (!rc) rc = db_exec(&k->cache, "COMMIT", "");
    sqlite3_finalize(q);
    return rc;
}

/* ---- comparing ---- */

/* A row of the store, and what the log says of it. */
typedef struct judging {
    checksum_truth *k;
    sqlite3 *db;
    const schema_table *t;
    scope *heal;
    buf *report;
    int64_t id, state, bucket;
    field_clock put;
    value key[LIMIT_KEY_COLUMNS];
    row_clock clock;
    bool wrong;
} judging;

static int run_on_key(judging *j, sqlite3_str *sql, const value *v, unsigned n) {
    sqlite3_stmt *q = NULL;
    char *text = sqlite3_str_finish(sql);
    int rc = text ? db_rc(sqlite3_prepare_v2(j->db, text, -1, &q, NULL)) : SATCHEL_E_NOMEM;
    sqlite3_free(text);
    for (unsigned i = 0; !rc && i < n; i++) value_bind(q, (int)i + 1, &v[i]);
    for (unsigned i = 0; !rc && i < j->t->nkey; i++) value_bind(q, (int)(n + i) + 1, &j->key[i]);
    if (!rc) rc = db_run(q);
    sqlite3_finalize(q);
    return rc;
}

static void put_where(sqlite3_str *sql, const schema_table *t) {
    for (unsigned i = 0; i < t->nkey; i++) sqlite3_str_appendf(sql, "%s\"%w\"=?", i ? " AND " : " WHERE ", t->key[i]->name);
}

static void tell(judging *j, const char *what, const char *column) {
    buf key;
    buf_init(&key, 0);
    for (unsigned i = 0; i < j->t->nkey; i++) {
        if (i) buf_put_byte(&key, ',');
        value_put_literal(&key, &j->key[i]);
    }
    j->wrong = true;
    buf_printf(j->report, "table %s, row %.*s: %s%s%s%s\n", j->t->name, (int)(key.n < 90 ? key.n : 90),
               key.p ? (const char *)key.p : "?", column, *column ? " " : "", what,
               j->heal ? "; it was put right from the log" : "");
    buf_fini(&key);
}

/* The values that the log's last commit on the column has of it: 1 and whether `here` is one of them; 0: it says nothing. *v: the last, a view until the
 * next call. */
static int said_of(judging *j, uint32_t column, const value *here, bool *is_one, value *v, field_clock *by) {
    sqlite3_stmt *q = db_prepare(&j->k->cache, "SELECT v,seq,stamp,author FROM col WHERE row=? AND id=? ORDER BY n");
    db_bind(q, "ii", j->id, (int64_t)column);
    int rc, found = 0;
    *is_one = false;
    while ((rc = db_next(&j->k->cache, q)) == 1) {
        const uint8_t *p = sqlite3_column_blob(q, 0);
        buf_clear(&j->k->key);
        buf_put(&j->k->key, p, (size_t)sqlite3_column_bytes(q, 0));
        p = j->k->key.p;
        if (j->k->key.rc || value_get(&p, p + j->k->key.n, v)) return SATCHEL_E_NOMEM;
        *by = (field_clock){.seq = (uint64_t)sqlite3_column_int64(q, 1),
                            .stamp = (uint64_t)sqlite3_column_int64(q, 2),
                            .author = (uint32_t)sqlite3_column_int64(q, 3)};
        found = 1;
        if (here && value_equal(v, here)) *is_one = true;
    }
    return rc < 0 ? rc : found;
}

static int judge_column(judging *j, const schema_column *c, const value *here) {
    value said;
    field_clock by;
    bool same;
    int rc = said_of(j, c->id, here, &same, &said, &by);
    /* What was written by a later commit than the log has of the column is not for it to judge. */
    if (rc != 1 || same || clock_get(&j->clock, c->unit).seq > by.seq) return rc < 0 ? rc : SATCHEL_OK;
    tell(j, "does not hold what the log says", c->name);
    if (!j->heal) return SATCHEL_OK;
    sqlite3_str *sql = sqlite3_str_new(NULL);
    sqlite3_str_appendf(sql, "UPDATE \"%w\" SET \"%w\"=?", j->t->name, c->name);
    put_where(sql, j->t);
    return run_on_key(j, sql, &said, 1);
}

static int judge_present(judging *j, sqlite3_stmt *q) {
    if (j->state == SAID_DELETED) {
        tell(j, "is there, and the log says that it was deleted", "");
        if (!j->heal) return SATCHEL_OK;
        sqlite3_reset(q);
        sqlite3_str *sql = sqlite3_str_new(NULL);
        sqlite3_str_appendf(sql, "DELETE FROM \"%w\"", j->t->name);
        put_where(sql, j->t);
        return run_on_key(j, sql, NULL, 0);
    }
    int rc = SATCHEL_OK;
    if (clock_decode(&j->clock, sqlite3_column_blob(q, 0), (size_t)sqlite3_column_bytes(q, 0)))
        clock_init(&j->clock, (field_clock){0});
    for (unsigned i = 0; !rc && i < j->t->ncol; i++) {
        value here = value_of_column(q, (int)i + 1);
        if (!j->t->col[i]->key) rc = judge_column(j, j->t->col[i], &here);
    }
    return rc;
}

/* Clocks as the log has them: of the put, and of columns that were written since. */
static int put_clock(judging *j, const schema_column *c, const field_clock *by) {
    return by->seq > j->put.seq ? clock_set(&j->clock, c->unit, *by) : SATCHEL_OK;
}

static int insert_row(judging *j) {
    static _Thread_local value v[LIMIT_COLUMNS];
    buf clock;
    sqlite3_str *sql = sqlite3_str_new(NULL);
    sqlite3_stmt *q = NULL;
    buf_init(&clock, 0);
    clock_init(&j->clock, j->put);
    sqlite3_str_appendf(sql, "INSERT INTO \"%w\"(satchel_clock,satchel_set", j->t->name);
    for (unsigned i = 0; i < j->t->ncol; i++) sqlite3_str_appendf(sql, ",\"%w\"", j->t->col[i]->name);
    sqlite3_str_appendall(sql, ") VALUES(?,?");
    for (unsigned i = 0; i < j->t->ncol; i++) sqlite3_str_appendall(sql, ",?");
    sqlite3_str_appendall(sql, ")");
    char *text = sqlite3_str_finish(sql);
    int rc = text ? db_rc(sqlite3_prepare_v2(j->db, text, -1, &q, NULL)) : SATCHEL_E_NOMEM;
    sqlite3_free(text);
    for (unsigned i = 0; !rc && i < j->t->ncol; i++) {
        const schema_column *c = j->t->col[i];
        field_clock by;
        bool same;
        v[i] = c->key ? j->key[c->key - 1] : c->default_value;
        int said = c->key ? 0 : said_of(j, c->id, NULL, &same, &v[i], &by);
        if (said == 1) rc = put_clock(j, c, &by);
        if (!rc && said < 0) rc = said;
        if (!rc) rc = db_rc(value_bind_copy(q, (int)i + 3, &v[i]));
    }
    clock_encode(&j->clock, &clock);
    if (!rc) rc = clock.rc;
    if (!rc) {
        sqlite3_bind_blob(q, 1, clock.p, (int)clock.n, SQLITE_STATIC);
        sqlite3_bind_int64(q, 2, j->bucket);
        rc = db_run(q);
    }
    sqlite3_finalize(q);
    buf_fini(&clock);
    return rc;
}

/* The rules may have been published since the log had the row. */
static int place_row(judging *j) {
    uint32_t set;
    bool orphan;
    int rc = scope_set_of_row(j->heal, j->t, j->key, &set, &orphan);
    return rc ? rc : scope_put_set(j->heal, j->t, j->key, set);
}

static int judge_missing(judging *j) {
    if (j->state != SAID_WHOLE) return SATCHEL_OK;
    tell(j, "is missing", "");
    int rc = j->heal ? insert_row(j) : SATCHEL_OK;
    return rc || !j->heal || !scope_is_on(j->heal) ? rc : place_row(j);
}

static int judge(judging *j) {
    sqlite3_stmt *q = NULL;
    sqlite3_str *sql = sqlite3_str_new(NULL);
    sqlite3_str_appendall(sql, "SELECT satchel_clock");
    for (unsigned i = 0; i < j->t->ncol; i++) sqlite3_str_appendf(sql, ",\"%w\"", j->t->col[i]->name);
    sqlite3_str_appendf(sql, " FROM \"%w\"", j->t->name);
    put_where(sql, j->t);
    char *text = sqlite3_str_finish(sql);
    int rc = text ? db_rc(sqlite3_prepare_v2(j->db, text, -1, &q, NULL)) : SATCHEL_E_NOMEM;
    sqlite3_free(text);
    for (unsigned i = 0; !rc && i < j->t->nkey; i++) value_bind(q, (int)i + 1, &j->key[i]);
    int step = rc ? SQLITE_DONE : sqlite3_step(q);
    if (!rc && step == SQLITE_ROW)
        rc = judge_present(j, q);
    else if (!rc)
        rc = step == SQLITE_DONE ? judge_missing(j) : db_rc(step);
    sqlite3_finalize(q);
    return rc;
}

/* The live table and key of what q stands on; false: neither is of this schema. */
static bool take_said(judging *j, const schema *shape, sqlite3_stmt *q, buf *key) {
    const schema_table *t = schema_table_by_id(shape, (uint32_t)sqlite3_column_int64(q, 1));
    buf_clear(key);
    buf_put(key, sqlite3_column_blob(q, 2), (size_t)sqlite3_column_bytes(q, 2));
    const uint8_t *p = key->p, *end = key->p + key->n;
    if (!t || t->until != SCHEMA_NEVER || key->rc) return false;
    for (unsigned i = 0; i < t->nkey; i++)
        if (value_get(&p, end, &j->key[i])) return false;
    j->t = t;
    j->id = sqlite3_column_int64(q, 0);
    j->state = sqlite3_column_int64(q, 3);
    j->bucket = sqlite3_column_int64(q, 4);
    j->put = (field_clock){.seq = (uint64_t)sqlite3_column_int64(q, 5),
                           .stamp = (uint64_t)sqlite3_column_int64(q, 6),
                           .author = (uint32_t)sqlite3_column_int64(q, 7)};
    j->wrong = false;
    return true;
}

int checksum_truth_compare(checksum_truth *k, sqlite3 *db, const schema *shape, scope *heal, buf *report, unsigned *wrong) {
    judging *j = calloc(1, sizeof *j);
    buf key;
    int rc = j ? SATCHEL_OK : SATCHEL_E_NOMEM, more = 0;
    *wrong = 0;
    if (rc) return rc;
    buf_init(&key, 0);
    *j = (judging){.k = k, .db = db, .heal = heal, .report = report};
    sqlite3_stmt *q =
        db_prepare(&k->cache, "SELECT id,tbl,key,state,bucket,seq,stamp,author FROM said WHERE state>0 ORDER BY id");
    while (!rc && (more = db_next(&k->cache, q)) == 1) {
        if (!take_said(j, shape, q, &key)) continue;
        rc = judge(j);
        *wrong += j->wrong;
    }
    if (q) sqlite3_reset(q);
    buf_fini(&key);
    free(j);
    return rc ? rc : more < 0 ? more : report->rc;
}

int checksum_store_range(sqlite3 *db, const schema *shape, const snapshot_range *range, scope *heal, buf *report,
                         unsigned *wrong) {
    checksum_truth *k;
    *wrong = 0;
    int rc = checksum_truth_new(&k);
    if (!rc) rc = checksum_truth_read(k, db, range);
    if (!rc) rc = checksum_truth_compare(k, db, shape, heal, report, wrong);
    checksum_truth_free(k);
    return rc;
}
