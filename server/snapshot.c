#include "server/snapshot.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocol/crypto.h"
#include "protocol/db.h"
#include "protocol/delta.h"
#include "protocol/message.h"
#include "protocol/satchel_rc.h"
#include "server/row_query.h"

#define PAGES_A_STEP 8u
/* A snapshot is used for new devices until this share of its rows has changed since. */
#define STALE_SHARE 10u
#define STALE_LEAST 2000u

typedef struct builder {
    sqlite3 *db; /* its open read transaction pins the seq */
    const schema *schema;
    view *view;
    view_sets *sets;
    snapshot_info info;
    uint64_t high_stamp;
    unsigned table; /* place in schema->table */
    sqlite3_stmt *q;
    bool row_ready; /* q stands on a row that the last page had no room for */
    bool has_from;
    buf last_key; /* value_put bytes of the last row's key: where the next range begins */
    delta_row row;
} builder;

struct snapshots {
    pthread_mutex_t mutex;
    sqlite3 *db;
    db_cache cache;
    char *store_path;
    builder *building;
    bool stepping; /* a step makes pages of it without the mutex */
};

/* What one that failed has left, or a process before this one. */
#define FORGET_UNFINISHED                                                                                                        \
    "DELETE FROM page WHERE id IN (SELECT id FROM snapshot WHERE NOT done);"                                                     \
    "DELETE FROM snapshot WHERE NOT done;"

static const char LAYOUT[] =
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
    "CREATE TABLE IF NOT EXISTS snapshot(made INTEGER PRIMARY KEY, id INT UNIQUE, epoch BLOB, schema_epoch INT, view INT, seq INT,"
    " rows INT, pages INT, done INT);"
    "CREATE TABLE IF NOT EXISTS page(id INT, n INT, last INT, frame BLOB, PRIMARY KEY(id,n));" FORGET_UNFINISHED;

/* What an older version left is of no use. */
static int drop_old_layout(sqlite3 *db) {
    int sq = sqlite3_exec(db, "SELECT made FROM snapshot LIMIT 0", NULL, NULL, NULL);
    return sq == SQLITE_ERROR ? sqlite3_exec(db, "DROP TABLE IF EXISTS snapshot; DROP TABLE IF EXISTS page", NULL, NULL, NULL)
                              : sq;
}

static int open_file(snapshots *s, const char *path) {
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0) close(fd);
    int sq = sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (sq == SQLITE_OK) sq = drop_old_layout(s->db);
    if (sq == SQLITE_OK) sq = sqlite3_exec(s->db, LAYOUT, NULL, NULL, NULL);
    return sq;
}

int snapshots_open(const char *path, const char *store_path, snapshots **out, buf *error) {
    *out = NULL;
    snapshots *s = calloc(1, sizeof *s);
    if (!s) return SATCHEL_E_NOMEM;
    pthread_mutex_init(&s->mutex, NULL);
    s->store_path = strdup(store_path);
    int sq = open_file(s, path);
    if (db_rc(sq) == SATCHEL_E_CORRUPT || db_rc(sq) == SATCHEL_E_NOT_A_DATABASE) {
        /* A cache that is damaged is made anew. */
        sqlite3_close(s->db);
        unlink(path);
        sq = open_file(s, path);
    }
    if (sq != SQLITE_OK || !s->store_path) {
        db_explain(s->db, path, error);
        snapshots_close(s);
        return sq == SQLITE_OK ? SATCHEL_E_NOMEM : db_rc(sq);
    }
    db_cache_init(&s->cache, s->db);
    *out = s;
    return SATCHEL_OK;
}

static void builder_free(builder *b) {
    if (!b) return;
    sqlite3_finalize(b->q);
    view_sets_free(b->sets);
    view_release(b->view);
    sqlite3_close(b->db);
    buf_fini(&b->last_key);
    free(b);
}

void snapshots_close(snapshots *s) {
    if (!s) return;
    builder_free(s->building);
    db_cache_fini(&s->cache);
    sqlite3_close(s->db);
    pthread_mutex_destroy(&s->mutex);
    free(s->store_path);
    free(s);
}

/* ---- finding ---- */

/* Of those that are not done the one that is being built is of use. */
#define COLUMNS "id,seq,rows,pages,done"
#define IS_OF_USE "(done OR id=?)"

static int64_t building_id(const snapshots *s) {
    return s->building ? (int64_t)s->building->info.id : -1;
}

static bool read_info(snapshots *s, sqlite3_stmt *q, snapshot_info *out) {
    if (db_next(&s->cache, q) != 1) return false;
    *out = (snapshot_info){.id = (uint64_t)sqlite3_column_int64(q, 0),
                           .seq = (uint64_t)sqlite3_column_int64(q, 1),
                           .rows = (uint64_t)sqlite3_column_int64(q, 2),
                           .pages = (uint32_t)sqlite3_column_int64(q, 3),
                           .done = sqlite3_column_int(q, 4) != 0};
    sqlite3_reset(q);
    return true;
}

bool snapshots_current(snapshots *s, const snapshot_kind *kind, uint64_t floor, uint64_t head, snapshot_info *out) {
    pthread_mutex_lock(&s->mutex);
    sqlite3_stmt *q =
        db_prepare(&s->cache, "SELECT " COLUMNS " FROM snapshot WHERE epoch=? AND schema_epoch=? AND view=? AND seq>=?"
                              " AND seq<=? AND " IS_OF_USE " ORDER BY seq DESC LIMIT 1");
    db_bind(q, "biiiii", kind->epoch, sizeof kind->epoch, (int64_t)kind->schema_epoch, (int64_t)kind->view, (int64_t)floor,
            (int64_t)head, building_id(s));
    bool found = read_info(s, q, out);
    pthread_mutex_unlock(&s->mutex);
    uint64_t stale = found && out->rows / STALE_SHARE > STALE_LEAST ? out->rows / STALE_SHARE : STALE_LEAST;
    return found && head - out->seq <= stale;
}

bool snapshots_find(snapshots *s, uint64_t id, const snapshot_kind *kind, snapshot_info *out) {
    pthread_mutex_lock(&s->mutex);
    sqlite3_stmt *q = db_prepare(&s->cache, "SELECT " COLUMNS
                                            " FROM snapshot WHERE id=? AND epoch=? AND schema_epoch=? AND view=? AND " IS_OF_USE);
    db_bind(q, "ibiii", (int64_t)id, kind->epoch, sizeof kind->epoch, (int64_t)kind->schema_epoch, (int64_t)kind->view,
            building_id(s));
    bool found = read_info(s, q, out);
    pthread_mutex_unlock(&s->mutex);
    return found;
}

int snapshots_page(snapshots *s, uint64_t id, uint32_t page, frame **out, bool *last) {
    *out = NULL;
    pthread_mutex_lock(&s->mutex);
    sqlite3_stmt *q = db_prepare(&s->cache, "SELECT frame,last FROM page WHERE id=? AND n=?");
    db_bind(q, "ii", (int64_t)id, (int64_t)page);
    int rc = db_next(&s->cache, q);
    if (rc == 1) {
        *out = frame_of_bytes(sqlite3_column_blob(q, 0), (size_t)sqlite3_column_bytes(q, 0));
        *last = sqlite3_column_int(q, 1) != 0;
        sqlite3_reset(q);
        rc = *out ? SATCHEL_OK : SATCHEL_E_NOMEM;
    } else if (rc == 0) {
        rc = SATCHEL_E_NOT_FOUND;
    }
    pthread_mutex_unlock(&s->mutex);
    return rc;
}

/* ---- building ---- */

static int one_integer(sqlite3 *db, const char *sql, uint64_t *out) {
    sqlite3_stmt *q = NULL;
    int sq = sqlite3_prepare_v2(db, sql, -1, &q, NULL);
    if (sq == SQLITE_OK && sqlite3_step(q) == SQLITE_ROW) *out = (uint64_t)sqlite3_column_int64(q, 0);
    sqlite3_finalize(q);
    return db_rc(sq);
}

/* Rows of one table that the view holds. */
static int count_held(builder *b, const schema_table *t) {
    sqlite3_stmt *q = NULL;
    char *sql = sqlite3_mprintf("SELECT satchel_set,count(*) FROM \"%w\" GROUP BY satchel_set", t->name);
    int sq = sql ? sqlite3_prepare_v2(b->db, sql, -1, &q, NULL) : SQLITE_NOMEM, holds = 0;
    sqlite3_free(sql);
    while (sq == SQLITE_OK && holds >= 0 && (sq = sqlite3_step(q)) == SQLITE_ROW) {
        sq = SQLITE_OK;
        holds = view_holds(b->view, b->sets, (uint32_t)sqlite3_column_int64(q, 0));
        if (holds == 1) b->info.rows += (uint64_t)sqlite3_column_int64(q, 1);
    }
    sqlite3_finalize(q);
    return holds < 0 ? holds : db_rc(sq);
}

static int count_all(builder *b, const schema_table *t) {
    char *sql = sqlite3_mprintf("SELECT count(*) FROM \"%w\"", t->name);
    uint64_t n = 0;
    int rc = sql ? one_integer(b->db, sql, &n) : SATCHEL_E_NOMEM;
    sqlite3_free(sql);
    b->info.rows += n;
    return rc;
}

static int count_rows(builder *b) {
    int rc = SATCHEL_OK;
    for (unsigned i = 0; !rc && i < b->schema->ntable; i++) {
        const schema_table *t = &b->schema->table[i];
        if (t->until == SCHEMA_NEVER) rc = view_is_everything(b->view) ? count_all(b, t) : count_held(b, t);
    }
    return rc;
}

static int load_view(builder *b, uint64_t id) {
    db_cache cache;
    db_cache_init(&cache, b->db);
    int rc = view_load(&cache, id, &b->view);
    db_cache_fini(&cache);
    return rc ? rc : view_sets_new(b->db, &b->sets);
}

static int builder_new(const char *store_path, const schema *shape, uint64_t view_id, builder **out) {
    builder *b = calloc(1, sizeof *b);
    if (!b) return SATCHEL_E_NOMEM;
    b->schema = shape;
    int sq = sqlite3_open_v2(store_path, &b->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (sq == SQLITE_OK) sq = sqlite3_exec(b->db, "PRAGMA query_only=1; PRAGMA busy_timeout=10000; BEGIN", NULL, NULL, NULL);
    int rc = db_rc(sq);
    if (!rc) rc = one_integer(b->db, "SELECT seq FROM satchel_server", &b->info.seq);
    if (!rc) rc = one_integer(b->db, "SELECT high_stamp FROM satchel_server", &b->high_stamp);
    if (!rc) rc = load_view(b, view_id);
    if (!rc) rc = count_rows(b);
    if (!rc) rc = crypto_random(&b->info.id, sizeof b->info.id);
    b->info.id &= INT64_MAX;
    if (rc) {
        builder_free(b);
        return rc;
    }
    *out = b;
    return SATCHEL_OK;
}

/* Without memory not even a transaction of before was rolled back. */
static int forget_unfinished(snapshots *s) {
    int rc = sqlite3_get_autocommit(s->db) ? SATCHEL_OK : db_end(&s->cache, "ROLLBACK");
    return rc ? rc : db_rc(sqlite3_exec(s->db, FORGET_UNFINISHED, NULL, NULL, NULL));
}

int snapshots_start(snapshots *s, const snapshot_kind *kind, const schema *shape) {
    pthread_mutex_lock(&s->mutex);
    builder *b = NULL;
    int rc = s->building ? SATCHEL_E_BUSY : forget_unfinished(s);
    if (!rc) rc = builder_new(s->store_path, shape, kind->view, &b);
    if (!rc) {
        sqlite3_stmt *q =
            db_prepare(&s->cache, "INSERT INTO snapshot(id,epoch,schema_epoch,view,seq,rows,pages,done) VALUES(?,?,?,?,?,?,0,0)");
        db_bind(q, "ibiiii", (int64_t)b->info.id, kind->epoch, sizeof kind->epoch, (int64_t)shape->epoch, (int64_t)kind->view,
                (int64_t)b->info.seq, (int64_t)b->info.rows);
        rc = q ? db_run(q) : SATCHEL_E_INTERNAL;
        if (rc)
            builder_free(b);
        else
            s->building = b;
    }
    pthread_mutex_unlock(&s->mutex);
    return rc;
}

static const schema_table *current_table(const builder *b) {
    return b->table < b->schema->ntable ? &b->schema->table[b->table] : NULL;
}

static int skip_dropped(builder *b) {
    while (current_table(b) && current_table(b)->until != SCHEMA_NEVER) b->table++;
    if (!current_table(b) || b->q) return SATCHEL_OK;
    b->has_from = false;
    return row_query_prepare(b->db, current_table(b), b->view, "", true, &b->q, &b->row);
}

static void load_key(const builder *b, const buf *bytes, value *out) {
    const uint8_t *p = bytes->p, *end = p + bytes->n;
    for (unsigned i = 0; i < b->row.nkey; i++) value_get(&p, end, &out[i]);
}

/* Steps to the next row of the view: SQLITE_ROW, SQLITE_DONE, or in *rc what went wrong. */
static int step_held(builder *b, int *rc) {
    int step, holds = 0;
    while ((step = sqlite3_step(b->q)) == SQLITE_ROW && !view_is_everything(b->view)) {
        holds = view_holds(b->view, b->sets, row_query_set(b->q));
        if (holds) break;
    }
    *rc = holds < 0 ? holds : db_rc(step);
    return step;
}

/* 1 with the next row in b->row, 0 at the table's end, or an error. */
static int next_row(builder *b, size_t *size) {
    int rc = SATCHEL_OK, step = b->row_ready ? SQLITE_ROW : step_held(b, &rc);
    b->row_ready = false;
    *size = 0;
    if (rc || step != SQLITE_ROW) return rc;
    *size = row_query_take(b->q, &b->row);
    return 1;
}

/* Fills one range from the current table until the page is full or the table ends; true in *ended then. `before`: bytes in the page already. */
static int fill_range(builder *b, delta_writer *w, size_t before, bool *ended) {
    *ended = false;
    while (before + delta_size(w) < LIMIT_PAGE_BYTES) {
        size_t size;
        int more = next_row(b, &size);
        if (more < 0) return more;
        *ended = !more;
        if (!more) break;
        /* A page that holds something takes no row with which it would not fit a frame. */
        b->row_ready = before + delta_size(w) && before + delta_size(w) + size > LIMIT_ROW_BYTES;
        if (b->row_ready) break;
        delta_put_row(w, &b->row);
        buf_clear(&b->last_key);
        for (unsigned i = 0; i < b->row.nkey; i++) value_put(&b->last_key, &b->row.key[i]);
    }
    return b->last_key.rc;
}

/* One range more on the page; *full when a row is left that it has no room for. */
static int put_range(builder *b, delta_writer *w, buf *body, bool *full) {
    buf from, delta;
    buf_init(&from, 0);
    buf_init(&delta, 0);
    buf_put(&from, b->last_key.p, b->last_key.n);
    bool ended;
    int rc = fill_range(b, w, body->n, &ended);
    *full = b->row_ready;
    if (!rc && *full && delta_size(w) == 0) goto out; /* nothing of this table was put: its range begins on the next page */
    if (!rc) rc = delta_finish(w, &delta);
    static _Thread_local snapshot_range r;
    r.table = current_table(b)->id;
    r.has_from = b->has_from;
    r.has_to = !ended;
    r.nkey = b->row.nkey;
    r.delta = delta.p;
    r.ndelta = delta.n;
    if (!rc && r.has_from) load_key(b, &from, r.from);
    if (!rc && r.has_to) load_key(b, &b->last_key, r.to);
    if (!rc) snapshot_put_range(&r, body);
    b->has_from = true;
    if (ended) {
        sqlite3_finalize(b->q);
        b->q = NULL;
        b->table++;
    }
out:
    buf_fini(&from);
    buf_fini(&delta);
    return rc ? rc : body->rc;
}

static int make_page(builder *b, frame **out, bool *last) {
    buf body, message;
    buf_init(&body, LIMIT_MESSAGE_BYTES);
    buf_init(&message, LIMIT_MESSAGE_BYTES);
    delta_writer w;
    delta_writer_init(&w);
    uint64_t ranges = 0;
    bool full = false;
    int rc = skip_dropped(b);
    while (!rc && !full && current_table(b) && body.n < LIMIT_PAGE_BYTES) {
        size_t before = body.n;
        rc = put_range(b, &w, &body, &full);
        if (body.n > before) ranges++;
        if (!rc) rc = skip_dropped(b);
    }
    *last = !current_table(b);
    msg_snapshot head = {.id = b->info.id,
                         .seq = b->info.seq,
                         .page = b->info.pages,
                         .last = *last,
                         .total_rows = b->info.rows,
                         .high_stamp = b->high_stamp,
                         .view = view_id(b->view),
                         .ranges = ranges};
    snapshot_begin(&head, &message);
    buf_put(&message, body.p, body.n);
    if (!rc) rc = message.rc;
    if (!rc && !(*out = frame_of_message(&message))) rc = SATCHEL_E_NOMEM;
    delta_writer_fini(&w);
    buf_fini(&body);
    buf_fini(&message);
    return rc;
}

static int keep_page(snapshots *s, const builder *b, const frame *f, bool last) {
    int rc = db_exec(&s->cache, "INSERT INTO page(id,n,last,frame) VALUES(?,?,?,?)", "iiib", (int64_t)b->info.id,
                     (int64_t)b->info.pages, (int64_t)last, f->p, f->n);
    return rc ? rc
              : db_exec(&s->cache, "UPDATE snapshot SET pages=?,done=? WHERE id=?", "iii", (int64_t)b->info.pages + 1,
                        (int64_t)last, (int64_t)b->info.id);
}

/* Those that nobody needs. A device that is away for a moment may be in the middle of the one before the newest; newest by the order in which they were made,
 * since clocks are set back. */
#define NEEDLESS                                                                                                                 \
    "SELECT id FROM (SELECT id,row_number() OVER (PARTITION BY view ORDER BY made DESC) AS place,"                               \
    "row_number() OVER (ORDER BY made DESC) AS of_all FROM snapshot) WHERE place>2 OR of_all>?"

static int drop_needless(snapshots *s, const uint64_t *used, size_t n) {
    int rc, more = 0;
    sqlite3_stmt *q = db_prepare(&s->cache, NEEDLESS);
    db_bind(q, "i", (int64_t)SNAPSHOTS_KEPT);
    rc = q ? SATCHEL_OK : db_rc(sqlite3_extended_errcode(s->db));
    while (!rc && (more = db_next(&s->cache, q)) == 1) {
        uint64_t id = (uint64_t)sqlite3_column_int64(q, 0);
        bool in_use = false;
        for (size_t i = 0; i < n && !in_use; i++) in_use = used[i] == id;
        if (!in_use) rc = db_exec(&s->cache, "DELETE FROM snapshot WHERE id=?", "i", (int64_t)id);
    }
    if (q) sqlite3_reset(q);
    if (more < 0) rc = more;
    return rc ? rc : db_exec(&s->cache, "DELETE FROM page WHERE id NOT IN (SELECT id FROM snapshot)", "");
}

static void drop(snapshots *s) {
    builder_free(s->building);
    s->building = NULL;
    forget_unfinished(s); /* where that fails, too, the next one begins with it */
}

/* Makes up to PAGES_A_STEP pages; they are made without the mutex, so that pages of another snapshot go out meanwhile. */
static int make_pages(builder *b, frame **made, unsigned *n, bool *last) {
    int rc = SATCHEL_OK;
    *last = false;
    for (*n = 0; !rc && !*last && *n < PAGES_A_STEP; b->info.pages += !rc, *n += !rc) rc = make_page(b, &made[*n], last);
    return rc;
}

static int keep_pages(snapshots *s, builder *b, frame *const *made, unsigned n, bool last, const uint64_t *used, size_t nused) {
    int rc = db_exec(&s->cache, "BEGIN", "");
    b->info.pages -= n;
    for (unsigned i = 0; i < n && !rc; i++) {
        rc = keep_page(s, b, made[i], last && i + 1 == n);
        b->info.pages++;
    }
    if (!rc && last) rc = drop_needless(s, used, nused);
    if (!rc) rc = db_exec(&s->cache, "COMMIT", "");
    if (rc && !sqlite3_get_autocommit(s->db)) db_end(&s->cache, "ROLLBACK");
    return rc;
}

int snapshots_step(snapshots *s, const uint64_t *used, size_t nused) {
    frame *made[PAGES_A_STEP] = {NULL};
    unsigned n = 0;
    bool last = false;
    pthread_mutex_lock(&s->mutex);
    builder *b = s->stepping ? NULL : s->building;
    s->stepping = s->stepping || b;
    pthread_mutex_unlock(&s->mutex);
    if (!b) return 0;
    int rc = make_pages(b, made, &n, &last);
    pthread_mutex_lock(&s->mutex);
    if (!rc) rc = keep_pages(s, b, made, n, last, used, nused);
    if (rc) {
        drop(s);
    } else if (last) {
        builder_free(b);
        s->building = NULL;
    }
    s->stepping = false;
    bool more = s->building != NULL;
    pthread_mutex_unlock(&s->mutex);
    for (unsigned i = 0; i < n; i++) frame_release(made[i]);
    return rc ? rc : more;
}
