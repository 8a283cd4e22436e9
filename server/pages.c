#include "server/pages.h"

#include <string.h>

#include "protocol/limits.h"
#include "protocol/message.h"
#include "protocol/satchel_rc.h"

int pages_open(pages *r, const char *path, buf *error) {
    memset(r, 0, sizeof *r);
    int sq = sqlite3_open_v2(path, &r->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (sq == SQLITE_OK) sq = sqlite3_exec(r->db, "PRAGMA query_only=1; PRAGMA busy_timeout=10000", NULL, NULL, NULL);
    if (sq != SQLITE_OK) {
        db_explain(r->db, path, error);
        sqlite3_close(r->db);
        return db_rc(sq);
    }
    db_cache_init(&r->cache, r->db);
    return SATCHEL_OK;
}

void pages_close(pages *r) {
    db_cache_fini(&r->cache);
    sqlite3_close(r->db);
    memset(r, 0, sizeof *r);
}

typedef struct making {
    sqlite3_stmt *q;
    msg_page head;
    buf body, delta; /* delta: of the commit that is held back to see what follows it */
    page_commit held;
    uint32_t held_part;
    bool holding;
} making;

static int hold_row(making *m) {
    sqlite3_stmt *q = m->q;
    uint64_t id = (uint64_t)sqlite3_column_int64(q, 0);
    buf_clear(&m->delta);
    buf_put(&m->delta, sqlite3_column_blob(q, 3), (size_t)sqlite3_column_bytes(q, 3));
    m->held = (page_commit){.seq = id >> 24,
                            .author = (uint32_t)sqlite3_column_int64(q, 1),
                            .stamp = (uint64_t)sqlite3_column_int64(q, 2),
                            .delta = m->delta.p,
                            .ndelta = m->delta.n};
    m->held_part = (uint32_t)(id & 0xffffff);
    m->holding = true;
    return m->delta.rc;
}

static void put_held(making *m) {
    page_put_commit(&m->held, &m->body);
    m->head.commits++;
    m->holding = false;
}

/* Reads the next row; *same tells that it belongs to the held commit. 1, 0 at the end, or an error. */
static int peek(pages *r, making *m, bool *same) {
    int rc = db_next(&r->cache, m->q);
    *same = rc == 1 && (uint64_t)sqlite3_column_int64(m->q, 0) >> 24 == m->held.seq;
    return rc;
}

/* Gathers commits until the page is full. *to_head: there was nothing more. */
static int gather(pages *r, making *m, bool *to_head) {
    *to_head = false;
    int more = db_next(&r->cache, m->q);
    while (more == 1) {
        int rc = hold_row(m);
        if (rc) return rc;
        bool same;
        more = peek(r, m, &same);
        if (more < 0) return more;
        if (same || m->held_part) { /* a commit in parts: alone on its pages */
            if (m->head.commits) {
                m->head.to = m->held.seq - 1;
                return SATCHEL_OK;
            }
            m->head.part = m->held_part;
            m->head.more = same;
            m->head.to = m->held.seq;
            put_held(m);
            return SATCHEL_OK;
        }
        /* A page that holds something takes no commit with which it would not fit a frame. */
        if (m->head.commits && m->body.n + m->held.ndelta > LIMIT_ROW_BYTES) return SATCHEL_OK;
        m->head.to = m->held.seq;
        put_held(m);
        if (m->body.n >= LIMIT_PAGE_BYTES && more == 1) return SATCHEL_OK;
    }
    if (more < 0) return more;
    *to_head = true;
    return SATCHEL_OK;
}

static int finish(making *m, frame **out) {
    buf message;
    buf_init(&message, LIMIT_MESSAGE_BYTES);
    page_begin(&m->head, &message);
    buf_put(&message, m->body.p, m->body.n);
    int rc = message.rc ? message.rc : m->body.rc;
    if (!rc) {
        *out = frame_of_message(&message);
        if (!*out) rc = SATCHEL_E_NOMEM;
    }
    buf_fini(&message);
    return rc;
}

/* The commits after *place, or the rest of the one that it stands in. SATCHEL_E_NOT_FOUND if the log does not go back so far. */
static int read_log(pages *r, making *m, const page_place *place, uint64_t head, bool *to_head) {
    int64_t floor;
    int rc = db_integer(&r->cache, "SELECT floor FROM satchel_server", 0, &floor);
    if (!rc && place->cursor < (uint64_t)floor) rc = SATCHEL_E_NOT_FOUND;
    if (rc) return rc;
    uint64_t first = place->part ? place->part_seq << 24 | place->part : (place->cursor + 1) << 24;
    m->q = db_prepare(&r->cache, "SELECT id,author,stamp,delta FROM satchel_log WHERE id>=? AND id<? ORDER BY id");
    if (!m->q) return db_rc(sqlite3_extended_errcode(r->db));
    db_bind(m->q, "ii", (int64_t)first, (int64_t)((head + 1) << 24));
    rc = gather(r, m, to_head);
    sqlite3_reset(m->q);
    return rc;
}

int pages_next(pages *r, page_place *place, uint64_t head, uint64_t high_stamp, frame **out, bool *full) {
    *out = NULL;
    making m = {.head = {.from = place->cursor, .to = place->cursor, .high_stamp = high_stamp}};
    bool to_head = false;
    /* One view of floor and log, though the writer prunes meanwhile. */
    int rc = db_exec(&r->cache, "BEGIN", "");
    if (!rc) rc = read_log(r, &m, place, head, &to_head);
    if (!sqlite3_get_autocommit(r->db)) db_exec(&r->cache, "COMMIT", "");
    if (!rc && to_head) m.head.to = head;
    if (!rc) rc = finish(&m, out);
    if (!rc) {
        *full = !to_head;
        *place = m.head.more ? (page_place){.cursor = place->cursor, .part_seq = m.held.seq, .part = m.head.part + 1}
                             : (page_place){.cursor = m.head.to};
    }
    buf_fini(&m.body);
    buf_fini(&m.delta);
    return rc;
}
