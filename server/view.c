#include "server/view.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/delta.h"
#include "protocol/satchel_rc.h"

typedef struct mask {
    uint32_t table, column;
} mask;

struct view {
    uint64_t id;
    mask *masks; /* ascending */
    size_t nmask;
    size_t nbucket;
    uint32_t bucket[]; /* ascending */
};

/* Of nobody: it is not freed. */
static view everything = {.id = 0};

/* ---- lists of ids as bytes ---- */

#define ID_BYTES 4u

static uint32_t get_id(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put_ids(const uint32_t *id, size_t n, buf *out) {
    for (size_t i = 0; i < n; i++)
        buf_put(out, (const uint8_t[]){(uint8_t)(id[i] >> 24), (uint8_t)(id[i] >> 16), (uint8_t)(id[i] >> 8), (uint8_t)id[i]},
                ID_BYTES);
}

static bool is_in(const uint32_t *list, size_t n, uint32_t id) {
    size_t low = 0;
    while (low < n) {
        size_t half = low + (n - low) / 2;
        if (list[half] == id) return true;
        if (list[half] < id)
            low = half + 1;
        else
            n = half;
    }
    return false;
}

/* ---- sets ---- */

/* Numbers are dense; one that lies far out is read each time. */
#define MEMO_SETS (1u << 20)

typedef struct bucket_set {
    size_t n;
    uint32_t bucket[];
} bucket_set;

struct view_sets {
    sqlite3 *db;
    sqlite3_stmt *q;
    bucket_set **known; /* by number; NULL: not read yet */
    size_t nknown;
    bucket_set *unkept; /* the last that was read and not kept */
};

int view_sets_new(sqlite3 *db, view_sets **out) {
    *out = NULL;
    view_sets *s = calloc(1, sizeof *s);
    if (!s) return SATCHEL_E_NOMEM;
    s->db = db;
    int sq = sqlite3_prepare_v3(db, "SELECT buckets FROM satchel_set WHERE id=?", -1, SQLITE_PREPARE_PERSISTENT, &s->q, NULL);
    if (sq != SQLITE_OK) {
        free(s);
        return db_rc(sq);
    }
    *out = s;
    return SATCHEL_OK;
}

void view_sets_free(view_sets *s) {
    if (!s) return;
    sqlite3_finalize(s->q);
    for (size_t i = 0; i < s->nknown; i++) free(s->known[i]);
    free(s->known);
    free(s->unkept);
    free(s);
}

static int read_set(view_sets *s, uint32_t set, bucket_set **out) {
    sqlite3_bind_int64(s->q, 1, set);
    int sq = sqlite3_step(s->q), rc = SATCHEL_OK;
    *out = NULL;
    if (sq == SQLITE_ROW) {
        const uint8_t *p = sqlite3_column_blob(s->q, 0);
        size_t n = (size_t)sqlite3_column_bytes(s->q, 0) / ID_BYTES;
        bucket_set *b = malloc(sizeof *b + n * sizeof *b->bucket);
        if (b) {
            b->n = n;
            for (size_t i = 0; i < n; i++) b->bucket[i] = get_id(p + ID_BYTES * i);
        }
        *out = b;
        rc = b ? SATCHEL_OK : SATCHEL_E_NOMEM;
    } else {
        rc = sq == SQLITE_DONE ? SATCHEL_E_CORRUPT : db_rc(sq);
    }
    sqlite3_reset(s->q);
    return rc;
}

static int keep_set(view_sets *s, uint32_t set, bucket_set *b) {
    if (set >= s->nknown) {
        size_t n = (size_t)set + 64;
        bucket_set **more = realloc(s->known, n * sizeof *more);
        if (!more) return SATCHEL_E_NOMEM;
        memset(more + s->nknown, 0, (n - s->nknown) * sizeof *more);
        s->known = more;
        s->nknown = n;
    }
    s->known[set] = b;
    return SATCHEL_OK;
}

static int find_set(view_sets *s, uint32_t set, const bucket_set **out) {
    if (set < s->nknown && s->known[set]) {
        *out = s->known[set];
        return SATCHEL_OK;
    }
    bucket_set *b;
    int rc = read_set(s, set, &b);
    if (rc) return rc;
    *out = b;
    /* The number of a set that a write transaction made may be given to another if that is undone. */
    if (set < MEMO_SETS && sqlite3_txn_state(s->db, NULL) != SQLITE_TXN_WRITE && !keep_set(s, set, b)) return SATCHEL_OK;
    free(s->unkept);
    s->unkept = b;
    return SATCHEL_OK;
}

/* ---- views ---- */

/* One number of a masks text, and what follows it. */
static bool get_number(const char **p, uint32_t *out) {
    char *end;
    unsigned long n = strtoul(*p, &end, 10);
    if (end == *p || **p < '0' || **p > '9' || n > UINT32_MAX) return false;
    *p = end;
    *out = (uint32_t)n;
    return true;
}

static int parse_masks(view *v, const char *p) {
    size_t room = 0;
    for (const char *c = p; *c; c++) room += *c == ':' || *c == ',';
    v->masks = room ? calloc(room, sizeof *v->masks) : NULL;
    if (room && !v->masks) return SATCHEL_E_NOMEM;
    while (*p) {
        uint32_t table, column;
        if (!get_number(&p, &table) || *p != ':') return SATCHEL_E_CORRUPT;
        do {
            p++;
            if (!get_number(&p, &column)) return SATCHEL_E_CORRUPT;
            v->masks[v->nmask++] = (mask){.table = table, .column = column};
        } while (*p == ',');
        if (*p && *p++ != ';') return SATCHEL_E_CORRUPT;
    }
    return SATCHEL_OK;
}

void view_release(view *v) {
    if (!v || v == &everything) return;
    free(v->masks);
    free(v);
}

static int read_view(sqlite3_stmt *q, uint64_t id, view **out) {
    const char *masks = (const char *)sqlite3_column_text(q, 0);
    const uint8_t *p = sqlite3_column_blob(q, 1);
    size_t n = (size_t)sqlite3_column_bytes(q, 1) / ID_BYTES;
    view *v = masks ? calloc(1, sizeof *v + n * sizeof *v->bucket) : NULL;
    if (!v) return SATCHEL_E_NOMEM;
    v->id = id;
    v->nbucket = n;
    for (size_t i = 0; i < n; i++) v->bucket[i] = get_id(p + ID_BYTES * i);
    int rc = parse_masks(v, masks);
    if (rc)
        view_release(v);
    else
        *out = v;
    return rc;
}

int view_load(db_cache *c, uint64_t id, view **out) {
    *out = id ? NULL : &everything;
    if (!id) return SATCHEL_OK;
    if (id > INT64_MAX) return SATCHEL_E_NOT_FOUND;
    sqlite3_stmt *q = db_prepare(c, "SELECT masks,buckets FROM satchel_view WHERE id=?");
    db_bind(q, "i", (int64_t)id);
    int rc = db_next(c, q);
    if (rc != 1) return rc ? rc : SATCHEL_E_NOT_FOUND;
    rc = read_view(q, id, out);
    sqlite3_reset(q);
    return rc;
}

uint64_t view_id(const view *v) {
    return v->id;
}

bool view_is_everything(const view *v) {
    return v->id == 0;
}

int view_holds(const view *v, view_sets *sets, uint32_t set) {
    const bucket_set *b;
    if (view_is_everything(v)) return 1;
    if (!set) return 0;
    int rc = find_set(sets, set, &b);
    if (rc) return rc;
    for (size_t i = 0; i < b->n; i++)
        if (is_in(v->bucket, v->nbucket, b->bucket[i])) return 1;
    return 0;
}

int view_hears(const view *v, view_sets *sets, uint32_t set, uint32_t besides) {
    if (view_is_everything(v)) return besides == 0;
    int holds = view_holds(v, sets, set);
    if (holds != 1 || !besides || besides == VIEW_NOWHERE) return holds;
    int spared = view_holds(v, sets, besides);
    return spared < 0 ? spared : !spared;
}

/* ---- masks ---- */

bool view_masks(const view *v, uint32_t table, uint32_t column) {
    for (size_t i = 0; i < v->nmask; i++)
        if (v->masks[i].table == table && v->masks[i].column == column) return true;
    return false;
}

bool view_has_masks(const view *v) {
    return v->nmask > 0;
}

bool view_same_masks(const view *a, const view *b) {
    if (a->nmask != b->nmask) return false;
    for (size_t i = 0; i < a->nmask; i++)
        if (a->masks[i].table != b->masks[i].table || a->masks[i].column != b->masks[i].column) return false;
    return true;
}

static void drop_masked(const view *v, delta_row *row) {
    unsigned kept = 0;
    for (unsigned i = 0; i < row->ncol; i++) {
        if (view_masks(v, row->table, row->col[i].id)) continue;
        row->col[kept] = row->col[i];
        row->v[kept] = row->v[i];
        row->seen[kept++] = row->seen[i];
    }
    row->ncol = kept;
}

int view_filter(const view *v, const uint8_t *delta, size_t n, buf *out) {
    if (!view_has_masks(v)) {
        buf_put(out, delta, n);
        return out->rc;
    }
    static _Thread_local delta_reader r;
    static _Thread_local delta_row row;
    delta_writer writer;
    wire w;
    wire_open(&w, delta, n);
    delta_open(&r, &w);
    delta_writer_init(&writer);
    int more;
    while ((more = delta_next(&r, &row)) == 1) {
        drop_masked(v, &row);
        if (row.op != DELTA_UPDATE || row.ncol) delta_put_row(&writer, &row);
    }
    int rc = more;
    if (!rc && (writer.groups || writer.nitems)) rc = delta_finish(&writer, out);
    delta_writer_fini(&writer);
    return rc;
}

/* ---- interning ---- */

static int find_id(db_cache *c, sqlite3_stmt *q, int64_t *id) {
    int rc = db_next(c, q);
    if (rc != 1) return rc;
    *id = sqlite3_column_int64(q, 0);
    sqlite3_reset(q);
    return 1;
}

int view_intern(db_cache *c, const char *profile, const char *masks, const uint32_t *bucket, size_t n, uint64_t *id) {
    buf list;
    int64_t found = 0;
    buf_init(&list, 0);
    put_ids(bucket, n, &list);
    buf_put_byte(&list, 0); /* so that an empty list is a blob too */
    int rc = list.rc;
    if (!rc) {
        sqlite3_stmt *q = db_prepare(c, "SELECT id FROM satchel_view WHERE profile=? AND masks=? AND buckets=?");
        db_bind(q, "ssb", profile, masks, list.p, list.n - 1);
        rc = find_id(c, q, &found);
    }
    if (rc == 0) {
        rc = db_exec(c, "INSERT INTO satchel_view(profile,masks,buckets) VALUES(?,?,?)", "ssb", profile, masks, list.p,
                     list.n - 1);
        found = sqlite3_last_insert_rowid(c->db);
    }
    buf_fini(&list);
    *id = (uint64_t)found;
    return rc < 0 ? rc : SATCHEL_OK;
}

int view_intern_set(db_cache *c, const uint32_t *bucket, size_t n, uint32_t *set) {
    *set = 0;
    if (!n) return SATCHEL_OK;
    buf list;
    int64_t found = 0;
    buf_init(&list, 0);
    put_ids(bucket, n, &list);
    int rc = list.rc;
    if (!rc) {
        sqlite3_stmt *q = db_prepare(c, "SELECT id FROM satchel_set WHERE buckets=?");
        db_bind(q, "b", list.p, list.n);
        rc = find_id(c, q, &found);
    }
    if (rc == 0) {
        rc = db_exec(c, "INSERT INTO satchel_set(buckets) VALUES(?)", "b", list.p, list.n);
        found = sqlite3_last_insert_rowid(c->db);
    }
    buf_fini(&list);
    *set = (uint32_t)found;
    return rc < 0 ? rc : SATCHEL_OK;
}
