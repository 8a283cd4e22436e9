/* GET /v1/admin/profiles: who has which profile, who has not heard of the rules in force, and how much such a device is to hold. The last is an estimate: of a few devices of each
 * profile, chosen by a hash of their number, every row of the store is counted once, by its set. */
#include <stdlib.h>
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/console_private.h"

#define N(array) (sizeof(array) / sizeof *(array))
#define ASKED 10u
#define TABLES_AT_ONCE 256u

typedef struct holds {
    int64_t rows;
    double bytes;
} holds;

/* The last one is "full", of which every device holds the same. */
typedef struct profile {
    char name[LIMIT_NAME_BYTES + 1];
    view *view[ASKED];
    holds holds[ASKED];
    unsigned n;
} profile;

typedef struct estimate {
    const console *k;
    profile *profile;
    size_t n;
} estimate;

static void fini(estimate *e) {
    for (size_t i = 0; e->profile && i < e->n; i++)
        for (unsigned j = 0; j < e->profile[i].n; j++) view_release(e->profile[i].view[j]);
    free(e->profile);
}

/* ---- whom it is asked for ---- */

static int add_view(profile *p, db_cache *cache, uint64_t id) {
    int rc = view_load(cache, id, &p->view[p->n]);
    if (!rc) p->n++;
    return rc;
}

static int load_views(const estimate *e, profile *p) {
    db_cache *cache = &e->k->file->cache;
    uint64_t id[ASKED];
    unsigned n = 0;
    sqlite3_stmt *q = db_prepare(
        cache,
        "SELECT (SELECT h.view FROM satchel_held h WHERE h.device=d.id ORDER BY h.seq DESC LIMIT 1) AS held FROM satchel_device d"
        " WHERE d.state IN (1,4) AND d.profile=? AND held IS NOT NULL ORDER BY d.id*2654435761%4294967296 LIMIT ?");
    db_bind(q, "si", p->name, (int64_t)ASKED);
    int rc;
    while ((rc = db_next(cache, q)) == 1) id[n++] = (uint64_t)sqlite3_column_int64(q, 0);
    for (unsigned i = 0; !rc && i < n; i++) rc = add_view(p, cache, id[i]);
    return rc;
}

static int load_profiles(estimate *e) {
    db_cache *cache = &e->k->file->cache;
    int64_t n = 0;
    size_t at = 0;
    int rc = db_integer(cache, "SELECT count(*) FROM satchel_profile", 0, &n);
    if (rc) return rc;
    e->n = (size_t)n + 1;
    e->profile = calloc(e->n, sizeof *e->profile);
    if (!e->profile) return SATCHEL_E_NOMEM;
    sqlite3_stmt *q = db_prepare(cache, "SELECT name FROM satchel_profile ORDER BY name");
    while ((rc = db_next(cache, q)) == 1)
        sqlite3_snprintf(sizeof e->profile->name, e->profile[at++].name, "%s", sqlite3_column_text(q, 0));
    for (size_t i = 0; !rc && i < at; i++) rc = load_views(e, &e->profile[i]);
    sqlite3_snprintf(sizeof e->profile->name, e->profile[at].name, "full");
    return rc ? rc : add_view(&e->profile[at], cache, 0);
}

/* ---- counting ---- */

/* Of the tables from *at on, as many as one SELECT may have. */
static void put_counting(const schema *s, unsigned *at, buf *sql) {
    const char *between = "SELECT lies,sum(rows),total(bytes) FROM (";
    for (unsigned n = 0; *at < s->ntable && n < TABLES_AT_ONCE; ++*at) {
        const schema_table *t = &s->table[*at];
        if (t->until != SCHEMA_NEVER) continue;
        buf_printf(sql, "%sSELECT satchel_set AS lies,count(*) AS rows,count(*)*", between);
        console_put_row_bytes(sql, t);
        buf_printf(sql, " AS bytes FROM ");
        scope_put_name(sql, t->name);
        buf_printf(sql, " GROUP BY 1");
        between = " UNION ALL ";
        n++;
    }
    if (sql->n) buf_printf(sql, ") GROUP BY lies");
}

static int add_rows(profile *p, view_sets *sets, uint32_t set, int64_t rows, double bytes) {
    int rc = SATCHEL_OK;
    for (unsigned i = 0; rc >= 0 && i < p->n; i++) {
        rc = view_holds(p->view[i], sets, set);
        if (rc != 1) continue;
        p->holds[i].rows += rows;
        p->holds[i].bytes += bytes;
    }
    return rc < 0 ? rc : SATCHEL_OK;
}

static int count_some(estimate *e, const buf *sql) {
    sqlite3_stmt *q = NULL;
    int rc = sql->rc ? sql->rc : db_rc(sqlite3_prepare_v2(e->k->file->db, (const char *)sql->p, (int)sql->n, &q, NULL));
    int step = SQLITE_DONE;
    while (!rc && (step = sqlite3_step(q)) == SQLITE_ROW)
        for (size_t i = 0; !rc && i < e->n; i++)
            rc = add_rows(&e->profile[i], e->k->file->sets, (uint32_t)sqlite3_column_int64(q, 0), sqlite3_column_int64(q, 1),
                          sqlite3_column_double(q, 2));
    if (!rc && step != SQLITE_DONE) rc = db_rc(step);
    sqlite3_finalize(q);
    return rc;
}

static int count_rows(estimate *e) {
    buf sql = {0};
    int rc = SATCHEL_OK;
    for (unsigned at = 0; !rc && at < e->k->schema->ntable;) {
        buf_clear(&sql);
        put_counting(e->k->schema, &at, &sql);
        if (sql.n || sql.rc) rc = count_some(e, &sql);
    }
    buf_fini(&sql);
    return rc;
}

/* ---- telling ---- */

static void put_profile(const profile *p, buf *out) {
    holds all = {0}, most = {0};
    for (unsigned i = 0; i < p->n; i++) {
        const holds *h = &p->holds[i];
        all.rows += h->rows;
        all.bytes += h->bytes;
        if (h->rows > most.rows) most.rows = h->rows;
        if (h->bytes > most.bytes) most.bytes = h->bytes;
    }
    buf_printf(out, "{\"asked\":%u", p->n);
    console_put_text(out, "name", p->name);
    if (p->n) {
        console_put_integer(out, "rows", all.rows / p->n);
        console_put_integer(out, "rows_most", most.rows);
        console_put_integer(out, "bytes", (int64_t)(all.bytes / p->n));
        console_put_integer(out, "bytes_most", (int64_t)most.bytes);
    }
    buf_put_byte(out, '}');
}

#define OF_PROFILE "satchel_device d WHERE d.state IN (1,4) AND coalesce(d.profile,'full')=value->>'name'"
#define MEMBER(name, type)                                                                                                       \
    { #name, "value->>'" #name "'", type, 0 }
static const console_column PROFILE[] = {
    {"name", "value->>'name'", CONSOLE_TEXT, CONSOLE_SEARCHED},
    {"devices", "(SELECT count(*) FROM " OF_PROFILE ")", CONSOLE_INTEGER, 0},
    {"unsettled", "(SELECT count(*) FROM " OF_PROFILE " AND " CONSOLE_UNSETTLED ")", CONSOLE_INTEGER, 0},
    {"horizon_days", "(SELECT p.horizon_days FROM satchel_profile p WHERE p.name=value->>'name')", CONSOLE_INTEGER, 0},
    MEMBER(rows, CONSOLE_INTEGER),
    MEMBER(rows_most, CONSOLE_INTEGER),
    MEMBER(bytes, CONSOLE_INTEGER),
    MEMBER(bytes_most, CONSOLE_INTEGER),
    MEMBER(asked, CONSOLE_INTEGER)};
static const console_source PROFILES = {"json_each(?5)", PROFILE, N(PROFILE), {"key"}, ""};

void console_profiles(api_call *c, api_reader *r) {
    console *k = console_begin(c, r);
    buf list = {0};
    if (!k) return;
    estimate e = {.k = k};
    int rc = load_profiles(&e);
    if (!rc) rc = count_rows(&e);
    for (size_t i = 0; !rc && i < e.n; i++) {
        buf_put_byte(&list, i ? ',' : '[');
        put_profile(&e.profile[i], &list);
    }
    buf_printf(&list, "]");
    buf_put_byte(&list, 0);
    if (!rc) rc = list.rc;
    if (rc)
        console_end(c, r, k, rc, NULL);
    else
        console_answer(c, r, k, &PROFILES, 0, (const char *)list.p);
    fini(&e);
    buf_fini(&list);
}
