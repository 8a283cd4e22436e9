#include "server/view_change.h"

#include <stdlib.h>

#include "protocol/limits.h"
#include "protocol/message.h"
#include "protocol/satchel_rc.h"
#include "server/row_query.h"

/* What is counted of a key that is remembered, beside its bytes. */
#define KEY_COSTS 32u

typedef struct making {
    pages *r;
    const schema *shape;
    view *from, *to;
    int64_t device;
    uint64_t cursor, high_stamp;
    size_t most_bytes;
    bool too_much;
    view_change *c;
    buf body; /* commits of the open part */
    uint64_t commits;
    delta_writer rows; /* of the open commit */
    delta_row row;
    db_cache keys; /* on a database in memory, once a row is strange */
    size_t key_bytes;
    buf key;
} making;

/* ---- parts ---- */

static int keep_part(view_change *c, const buf *message) {
    if (c->n == c->room) {
        unsigned room = c->room ? c->room * 2 : 16;
        frame **more = realloc(c->part, room * sizeof(frame *));
        if (!more) return SATCHEL_E_NOMEM;
        c->part = more;
        c->room = room;
    }
    frame *f = frame_of_message(message);
    if (!f) return SATCHEL_E_NOMEM;
    c->part[c->n++] = f;
    c->bytes += f->n;
    return SATCHEL_OK;
}

static int close_part(making *m, bool more) {
    msg_page head = {.from = m->cursor,
                     .to = m->c->to,
                     .high_stamp = m->high_stamp,
                     .part = m->c->n,
                     .more = more,
                     .view = m->c->view,
                     .commits = m->commits};
    buf message;
    buf_init(&message, LIMIT_MESSAGE_BYTES);
    page_begin(&head, &message);
    buf_put(&message, m->body.p, m->body.n);
    int rc = message.rc ? message.rc : m->body.rc;
    if (!rc) rc = keep_part(m->c, &message);
    buf_fini(&message);
    buf_clear(&m->body);
    m->commits = 0;
    m->too_much = m->too_much || m->c->bytes > m->most_bytes;
    return rc;
}

/* The last part is closed when it is known to be the last. */
static int put_commit(making *m, const page_commit *commit) {
    int rc = SATCHEL_OK;
    if (m->commits && m->body.n + commit->ndelta > LIMIT_PAGE_BYTES) rc = close_part(m, true);
    page_put_commit(commit, &m->body);
    m->commits++;
    return rc;
}

/* What was gathered row by row, as a commit. */
static int put_rows(making *m, page_commit *commit) {
    if (!m->rows.groups && !m->rows.nitems) return SATCHEL_OK;
    buf delta;
    buf_init(&delta, 0);
    int rc = delta_finish(&m->rows, &delta);
    commit->delta = delta.p;
    commit->ndelta = delta.n;
    if (!rc) rc = put_commit(m, commit);
    buf_fini(&delta);
    return rc;
}

/* ---- rows that the device never had ---- */

/* The old view holds them now, or did for a while; the device was not told of them, and is told no key of theirs (S1). Those that it has ever lost something in
 * are not strange: it wrote them itself, and may have heard what was kept there, which goes when they leave (S5). Keys of both are remembered; if they are more
 * than most_bytes, a snapshot tells of none. */
static int remember(making *m, int64_t table, const void *key, size_t n, bool strange) {
    int rc = db_exec(&m->keys, "INSERT OR IGNORE INTO key VALUES(?,?,?)", "ibi", table, key, n, (int64_t)strange);
    if (!rc && sqlite3_changes(m->keys.db)) m->key_bytes += n + KEY_COSTS;
    m->too_much = m->too_much || m->key_bytes > m->most_bytes;
    return rc;
}

static int remember_losses(making *m) {
    sqlite3_stmt *q = db_prepare(&m->r->cache, "SELECT tbl,key FROM satchel_conflict WHERE lost_author IN"
                                               " (SELECT author FROM satchel_author WHERE device=?)");
    db_bind(q, "i", m->device);
    int rc = SATCHEL_OK, more = 0;
    while (!rc && !m->too_much && (more = db_next(&m->r->cache, q)) == 1)
        rc = remember(m, sqlite3_column_int64(q, 0), sqlite3_column_blob(q, 1), (size_t)sqlite3_column_bytes(q, 1), false);
    if (q) sqlite3_reset(q);
    return more < 0 ? more : rc;
}

static int open_keys(making *m) {
    sqlite3 *db = NULL;
    if (m->keys.db) return SATCHEL_OK;
    int sq = sqlite3_open(":memory:", &db);
    if (sq == SQLITE_OK)
        sq = sqlite3_exec(db, "CREATE TABLE key(tbl INT, key BLOB, strange INT, PRIMARY KEY(tbl,key)) WITHOUT ROWID", NULL, NULL,
                          NULL);
    if (sq != SQLITE_OK) {
        sqlite3_close(db);
        return db_rc(sq);
    }
    db_cache_init(&m->keys, db);
    return remember_losses(m);
}

static void close_keys(making *m) {
    sqlite3 *db = m->keys.db;
    if (!db) return;
    db_cache_fini(&m->keys);
    sqlite3_close(db);
}

static int put_key(making *m) {
    buf_clear(&m->key);
    for (unsigned i = 0; i < m->row.nkey; i++) value_put(&m->key, &m->row.key[i]);
    return m->key.rc;
}

/* 1 or 0, of the row at hand. */
static int is_strange(making *m) {
    if (!m->keys.db) return 0;
    int rc = put_key(m);
    if (rc) return rc;
    sqlite3_stmt *q = db_prepare(&m->keys, "SELECT 1 FROM key WHERE tbl=? AND key=? AND strange");
    db_bind(q, "ib", (int64_t)m->row.table, m->key.p, m->key.n);
    rc = db_next(&m->keys, q);
    if (rc == 1) sqlite3_reset(q);
    return rc;
}

/* A row that was put: one that has only moved within the old view the device had before. */
static int note_put(making *m, uint64_t seq) {
    int had = 0, rc = put_key(m);
    if (rc) return rc;
    sqlite3_stmt *q = db_prepare(&m->r->cache, "SELECT bucket_set FROM satchel_left WHERE tbl=? AND key=? AND seq=?");
    db_bind(q, "ibi", (int64_t)m->row.table, m->key.p, m->key.n, (int64_t)seq);
    rc = db_next(&m->r->cache, q);
    if (rc == 1) {
        had = view_holds(m->from, m->r->sets, (uint32_t)sqlite3_column_int64(q, 0));
        sqlite3_reset(q);
    }
    if (rc < 0 || had) return rc < 0 ? rc : had < 0 ? had : SATCHEL_OK;
    rc = open_keys(m);
    return rc ? rc : remember(m, (int64_t)m->row.table, m->key.p, m->key.n, true);
}

/* Rows that the device is told of are strange no more. */
static int forget_strange(making *m, const page_commit *commit) {
    static _Thread_local delta_reader reader;
    wire w;
    int rc = SATCHEL_OK, more = 0;
    if (!m->keys.db) return rc;
    wire_open(&w, commit->delta, commit->ndelta);
    delta_open(&reader, &w);
    while (!rc && (more = delta_next(&reader, &m->row)) == 1) {
        if (m->row.op != DELTA_PUT) continue;
        rc = put_key(m);
        if (!rc)
            rc = db_exec(&m->keys, "DELETE FROM key WHERE tbl=? AND key=? AND strange", "ib", (int64_t)m->row.table, m->key.p,
                         m->key.n);
    }
    return rc ? rc : more;
}

/* ---- the log in between ---- */

static int put_if_gone(making *m, uint64_t seq) {
    if (m->row.op == DELTA_PUT) return note_put(m, seq);
    if (m->row.op == DELTA_UPDATE) return SATCHEL_OK;
    int strange = is_strange(m);
    if (!strange) delta_put_row(&m->rows, &m->row);
    return strange < 0 ? strange : SATCHEL_OK;
}

/* Of what the old view alone hears, only that rows are gone. */
static int put_gone(making *m, page_commit *commit) {
    static _Thread_local delta_reader reader;
    wire w;
    wire_open(&w, commit->delta, commit->ndelta);
    delta_open(&reader, &w);
    int rc = SATCHEL_OK, more = 0;
    while (!rc && !m->too_much && (more = delta_next(&reader, &m->row)) == 1) rc = put_if_gone(m, commit->seq);
    return rc ? rc : more < 0 ? more : put_rows(m, commit);
}

static int put_filtered(making *m, page_commit *commit) {
    if (!view_has_masks(m->to)) return put_commit(m, commit);
    buf delta;
    buf_init(&delta, 0);
    int rc = view_filter(m->to, commit->delta, commit->ndelta, &delta);
    commit->delta = delta.p;
    commit->ndelta = delta.n;
    if (!rc && delta.n) rc = put_commit(m, commit);
    buf_fini(&delta);
    return rc;
}

static int put_entry(making *m, sqlite3_stmt *q) {
    uint32_t set = (uint32_t)sqlite3_column_int64(q, 1), besides = (uint32_t)sqlite3_column_int64(q, 2);
    int old = view_hears(m->from, m->r->sets, set, besides);
    if (old != 1) return old;
    int both = view_hears(m->to, m->r->sets, set, besides);
    if (both < 0) return both;
    page_commit commit = {.seq = (uint64_t)sqlite3_column_int64(q, 0) >> 24,
                          .author = (uint32_t)sqlite3_column_int64(q, 3),
                          .stamp = (uint64_t)sqlite3_column_int64(q, 4),
                          .delta = sqlite3_column_blob(q, 5),
                          .ndelta = (size_t)sqlite3_column_bytes(q, 5)};
    if (!both) return put_gone(m, &commit);
    int rc = forget_strange(m, &commit);
    return rc ? rc : put_filtered(m, &commit);
}

static int put_log(making *m) {
    sqlite3_stmt *q =
        db_prepare(&m->r->cache, "SELECT id,bucket,besides,author,stamp,delta FROM satchel_log WHERE id>=? AND id<? ORDER BY id");
    db_bind(q, "ii", (int64_t)((m->cursor + 1) << 24), (int64_t)((m->c->to + 1) << 24));
    int rc = SATCHEL_OK, more = 0;
    while (!rc && !m->too_much && (more = db_next(&m->r->cache, q)) == 1) rc = put_entry(m, q);
    if (q) sqlite3_reset(q);
    return more < 0 ? more : rc;
}

/* ---- rows ---- */

static int put_row(making *m, size_t size) {
    page_commit commit = {.seq = m->c->to};
    int rc = m->row.op == DELTA_LEAVE ? is_strange(m) : 0;
    if (rc) return rc < 0 ? rc : SATCHEL_OK;
    if (delta_size(&m->rows) && delta_size(&m->rows) + size > LIMIT_PAGE_BYTES) rc = put_rows(m, &commit);
    delta_put_row(&m->rows, &m->row);
    return rc;
}

/* Rows in sets that `yes` holds and `no` does not. One look at each row: there may be thousands of sets. */
static int put_held(making *m, const view *yes, const view *no, sqlite3_stmt *q) {
    int rc = SATCHEL_OK, sq = SQLITE_DONE;
    while (!rc && !m->too_much && (sq = sqlite3_step(q)) == SQLITE_ROW) {
        uint32_t set = row_query_set(q);
        int holds = view_holds(yes, m->r->sets, set), held = holds == 1 ? view_holds(no, m->r->sets, set) : 0;
        if (holds < 0 || held < 0) return holds < 0 ? holds : held;
        if (holds && !held) rc = put_row(m, row_query_take(q, &m->row));
    }
    return rc || sq == SQLITE_ROW ? rc : db_rc(sq);
}

static int put_table(making *m, const schema_table *t, bool leaves) {
    sqlite3_stmt *q = NULL;
    int rc =
        leaves ? row_query_prepare_keys(m->r->db, t, &q, &m->row) : row_query_prepare(m->r->db, t, m->to, "", false, &q, &m->row);
    if (!rc) rc = leaves ? put_held(m, m->from, m->to, q) : put_held(m, m->to, m->from, q);
    sqlite3_finalize(q);
    return rc;
}

static int put_tables(making *m, bool leaves) {
    int rc = SATCHEL_OK;
    for (unsigned i = 0; !rc && !m->too_much && i < m->shape->ntable; i++)
        if (m->shape->table[i].until == SCHEMA_NEVER) rc = put_table(m, &m->shape->table[i], leaves);
    return rc;
}

/* ---- all ---- */

static int make(making *m) {
    page_commit commit = {.seq = m->c->to};
    int rc = put_log(m);
    if (!rc) rc = put_tables(m, false);
    if (!rc) rc = put_tables(m, true);
    if (!rc) rc = put_rows(m, &commit);
    if (!rc && !m->too_much) rc = close_part(m, false);
    return rc;
}

/* Before the first rules the log is for whoever holds the bucket 'all', and they moved rows without a word: who held everything behind their cursor would miss what
 * came since to rows of its own, and be sent some of others'. */
static int is_before_rules(making *m, bool *before) {
    int64_t first = 0;
    int rc = db_integer(&m->r->cache, "SELECT seq FROM satchel_scope ORDER BY version LIMIT 1", 0, &first);
    *before = m->cursor < (uint64_t)first;
    return rc;
}

/* Whether commits can do it at all: then m knows the state that it reads. */
static int begin(making *m, uint64_t from_view, uint64_t to_view, bool *can) {
    *can = false;
    int rc = pages_check_floor(m->r, m->cursor);
    if (rc) return rc == SATCHEL_E_NOT_FOUND ? SATCHEL_OK : rc;
    /* Two views at one place of the reader would push each other out. */
    rc = view_load(&m->r->cache, from_view, &m->from);
    if (!rc) rc = view_load(&m->r->cache, to_view, &m->to);
    int64_t seq = 0, high_stamp = 0;
    if (!rc) rc = db_integer(&m->r->cache, "SELECT seq FROM satchel_server", 0, &seq);
    if (!rc) rc = db_integer(&m->r->cache, "SELECT high_stamp FROM satchel_server", 0, &high_stamp);
    bool before_rules = false;
    if (!rc) rc = is_before_rules(m, &before_rules);
    if (rc) return rc;
    m->high_stamp = (uint64_t)high_stamp;
    m->c->to = (uint64_t)seq;
    m->c->view = to_view;
    *can = !before_rules && !view_is_everything(m->to) && view_same_masks(m->from, m->to);
    return SATCHEL_OK;
}

int view_change_make(pages *r, const schema *shape, int64_t device, uint64_t from_view, uint64_t to_view, uint64_t cursor,
                     size_t most_bytes, view_change **out) {
    *out = NULL;
    making *m = calloc(1, sizeof *m);
    view_change *c = calloc(1, sizeof *c);
    bool can = false;
    int rc = m && c ? SATCHEL_OK : SATCHEL_E_NOMEM;
    if (!rc) {
        *m = (making){.r = r, .shape = shape, .device = device, .cursor = cursor, .most_bytes = most_bytes, .c = c};
        delta_writer_init(&m->rows);
        rc = db_exec(&r->cache, "BEGIN", "");
        if (!rc) rc = begin(m, from_view, to_view, &can);
        if (!rc && can) rc = make(m);
        if (!sqlite3_get_autocommit(r->db)) db_end(&r->cache, "COMMIT");
        if (m->too_much) can = false;
        delta_writer_fini(&m->rows);
        buf_fini(&m->body);
        buf_fini(&m->key);
        close_keys(m);
        view_release(m->from);
        view_release(m->to);
    }
    free(m);
    if (rc || !can)
        view_change_free(c);
    else
        *out = c;
    return rc;
}

void view_change_free(view_change *c) {
    if (!c) return;
    for (unsigned i = 0; i < c->n; i++) frame_release(c->part[i]);
    free(c->part);
    free(c);
}
