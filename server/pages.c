#include "server/pages.h"

#include <string.h>

#include "protocol/limits.h"
#include "protocol/message.h"
#include "protocol/satchel_rc.h"

/* Rows of the log that one call looks at before others come. */
#define SCAN_ROWS 50000u

int pages_open(pages *r, const char *path, buf *error) {
    memset(r, 0, sizeof *r);
    int sq = sqlite3_open_v2(path, &r->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (sq == SQLITE_OK) sq = sqlite3_exec(r->db, "PRAGMA query_only=1; PRAGMA busy_timeout=10000", NULL, NULL, NULL);
    int rc = sq == SQLITE_OK ? view_sets_new(r->db, &r->sets) : db_rc(sq);
    if (rc) {
        db_explain(r->db, path, error);
        sqlite3_close(r->db);
        r->db = NULL;
        return rc;
    }
    db_cache_init(&r->cache, r->db);
    return SATCHEL_OK;
}

void pages_close(pages *r) {
    for (unsigned i = 0; i < PAGES_VIEWS; i++) view_release(r->views[i]);
    view_sets_free(r->sets);
    db_cache_fini(&r->cache);
    sqlite3_close(r->db);
    memset(r, 0, sizeof *r);
}

int pages_view(pages *r, uint64_t id, view **out) {
    view **kept = &r->views[id % PAGES_VIEWS];
    if (!*kept || view_id(*kept) != id) {
        view *v;
        int rc = view_load(&r->cache, id, &v);
        if (rc) return rc;
        view_release(*kept);
        *kept = v;
    }
    *out = *kept;
    return SATCHEL_OK;
}

int pages_check_floor(pages *r, uint64_t cursor) {
    int64_t floor;
    int rc = db_integer(&r->cache, "SELECT floor FROM satchel_server", 0, &floor);
    return !rc && cursor < (uint64_t)floor ? SATCHEL_E_NOT_FOUND : rc;
}

typedef struct making {
    pages *r;
    view *v;
    sqlite3_stmt *q;
    uint64_t behind; /* the log is read from here on */
    unsigned looked; /* at so many rows of it */
    uint64_t seq;    /* where q stands, */
    uint32_t row;
    page_commit entry; /* and what the view gets of it */
    uint64_t gathered; /* the commit that is in `commit`, 0: none yet */
    buf filtered, commit, body;
    uint32_t entries; /* in `commit` */
    msg_page head;
} making;

/* What q stands on: 1 if the view gets something of it, 0, or an error. */
static int take_entry(making *m) {
    sqlite3_stmt *q = m->q;
    int rc = view_hears(m->v, m->r->sets, (uint32_t)sqlite3_column_int64(q, 1), (uint32_t)sqlite3_column_int64(q, 2));
    if (rc != 1) return rc;
    m->entry = (page_commit){.seq = m->seq,
                             .author = (uint32_t)sqlite3_column_int64(q, 3),
                             .stamp = (uint64_t)sqlite3_column_int64(q, 4),
                             .delta = sqlite3_column_blob(q, 5),
                             .ndelta = (size_t)sqlite3_column_bytes(q, 5)};
    if (!view_has_masks(m->v)) return 1;
    buf_clear(&m->filtered);
    rc = view_filter(m->v, m->entry.delta, m->entry.ndelta, &m->filtered);
    m->entry.delta = m->filtered.p;
    m->entry.ndelta = m->filtered.n;
    return rc ? rc : m->filtered.n > 0;
}

/* More was looked at than one call should, and a place between two commits is reached. */
#define ENOUGH 2

/* Moves to the next entry that the view gets something of. 1, 0 at the end, ENOUGH, or an error. */
static int advance(making *m) {
    int rc = 0, more = 1;
    while (!rc && (more = db_next(&m->r->cache, m->q)) == 1) {
        m->looked++;
        m->seq = (uint64_t)sqlite3_column_int64(m->q, 0) >> 24;
        m->row = (uint32_t)(sqlite3_column_int64(m->q, 0) & 0xffffff);
        rc = take_entry(m);
        if (!rc && m->looked >= SCAN_ROWS && m->seq != m->gathered && m->seq > m->behind + 1) rc = ENOUGH;
    }
    return rc ? rc : more;
}

/* Takes what the view gets of the commit on whose first entry q stands, or as much as fits a page: then *cut, and q stands on what is left. As advance. */
static int take_commit(making *m, bool *cut) {
    int more = 1;
    buf_clear(&m->commit);
    m->gathered = m->seq;
    m->entries = 0;
    *cut = false;
    while (more == 1 && m->seq == m->gathered) {
        *cut = m->entries && m->commit.n + m->entry.ndelta > LIMIT_PAGE_BYTES;
        if (*cut) return 1;
        page_put_commit(&m->entry, &m->commit);
        m->entries++;
        more = advance(m);
    }
    return m->commit.rc ? m->commit.rc : more;
}

static void put_commit(making *m) {
    buf_put(&m->body, m->commit.p, m->commit.n);
    m->head.commits += m->entries;
    m->head.to = m->gathered;
}

/* Gathers commits until the page is full; `part`: that many of the first it has already. *to_head: there was nothing more. */
static int gather(making *m, uint32_t part, bool *to_head) {
    int more = advance(m);
    while (more == 1) {
        bool cut;
        if ((more = take_commit(m, &cut)) < 0) return more;
        /* A page that holds something takes no commit with which it would not fit a frame; one in parts is alone on its pages. */
        bool alone = cut || part;
        if (m->head.commits && (alone || m->body.n + m->commit.n > LIMIT_ROW_BYTES)) {
            m->head.to = m->gathered - 1;
            return SATCHEL_OK;
        }
        put_commit(m);
        m->head.part = part;
        m->head.more = cut;
        if (alone || (m->body.n >= LIMIT_PAGE_BYTES && more == 1)) return SATCHEL_OK;
    }
    if (more == ENOUGH) m->head.to = m->seq - 1;
    *to_head = more == 0;
    return more < 0 ? more : SATCHEL_OK;
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
static int read_log(making *m, uint64_t view_id, const page_place *place, uint64_t head, bool *to_head) {
    int rc = pages_check_floor(m->r, place->cursor);
    if (!rc) rc = pages_view(m->r, view_id, &m->v);
    if (rc) return rc;
    uint64_t first = place->part ? place->part_seq << 24 | place->rows : (m->behind + 1) << 24;
    m->q =
        db_prepare(&m->r->cache, "SELECT id,bucket,besides,author,stamp,delta FROM satchel_log WHERE id>=? AND id<? ORDER BY id");
    if (!m->q) return db_rc(sqlite3_extended_errcode(m->r->db));
    db_bind(m->q, "ii", (int64_t)first, (int64_t)((head + 1) << 24));
    rc = gather(m, place->part, to_head);
    sqlite3_reset(m->q);
    if (!rc && *to_head) m->head.to = head;
    return rc;
}

int pages_next(pages *r, uint64_t view_id, page_place *place, uint64_t head, uint64_t high_stamp, bool due, frame **out,
               bool *full) {
    *out = NULL;
    making m = {.r = r, .head = {.from = place->cursor, .to = place->cursor, .high_stamp = high_stamp}};
    m.behind = place->scanned > place->cursor ? place->scanned : place->cursor;
    bool to_head = false;
    /* One view of floor and log, though the writer prunes meanwhile. */
    int rc = db_exec(&r->cache, "BEGIN", "");
    if (!rc) rc = read_log(&m, view_id, place, head, &to_head);
    if (!sqlite3_get_autocommit(r->db)) db_end(&r->cache, "COMMIT");
    bool quiet = !m.head.commits && view_id && !due;
    if (!rc && !quiet) rc = finish(&m, out);
    if (!rc) {
        *full = !to_head;
        if (m.head.more)
            *place = (page_place){.cursor = place->cursor, .part_seq = m.gathered, .part = m.head.part + 1, .rows = m.row};
        else
            *place = (page_place){.cursor = quiet ? place->cursor : m.head.to, .scanned = m.head.to};
    }
    buf_fini(&m.filtered);
    buf_fini(&m.commit);
    buf_fini(&m.body);
    return rc;
}
