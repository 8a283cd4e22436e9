/* The users of devices: GET /v1/admin/device_users lists who has which devices; GET /v1/admin/holds tells how much a device of somebody's would be to hold, whether he has one or not. A
 * user is what devices and codes carry as `user`, with a store and a profile: devices that share all three are to hold the same, but for grants and rules that ask for a device's name. */
#include <stdlib.h>
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/console_private.h"
#include "server/field.h"

#define N(array) (sizeof(array) / sizeof *(array))

/* ---- GET /v1/admin/device_users ---- */

#define NAMED(column)                                                                                                            \
    "'" #column "',console_literals(" #column "),'" #column "_table',console_table(console_home(" #column "))"                   \
    ",'" #column "_label',console_label(console_home(" #column ")," #column ")"
/* Devices that may come, and codes that may still be used. */
static const char USERS_SQL[] = "SELECT json_group_array(json_object(" NAMED(user) "," NAMED(
    store) ",'profile',coalesce(profile,'full'),"
           "'devices',devices,'codes',codes,'online',online,'silent',silent,'last_seen_ms',seen,"
           "'silent_days',round((?1-iif(user IS NULL,seen,user_seen))/86400000.0,1),"
           "'of_user',iif(user IS NULL,NULL,of_user),'limit',iif(user IS NULL,NULL,nullif(?2,0))))"
           " FROM (SELECT user,store,profile,sum(device) AS devices,sum(1-device) AS codes,sum(online) AS online,"
           "count(*) FILTER(WHERE active AND seen<?1-" CONSOLE_MS(
               CONSOLE_SILENT_MS) ") AS silent,max(seen) AS seen,"
                                  "max(max(seen)) OVER one AS user_seen,sum(count(*)) OVER one AS of_user FROM ("
                                  "SELECT user,store,profile,1 AS device,state=1 AS active,console_online(id) AS online,"
                                  "iif(console_online(id),?1,nullif(last_seen_ms,0)) AS seen FROM satchel_device WHERE state IN (1,4)"
                                  " UNION ALL SELECT user,store,profile,0,0,0,NULL FROM satchel_enrol WHERE fingerprint IS NULL AND expires_ms>=?1)"
                                  " GROUP BY user,store,profile WINDOW one AS (PARTITION BY user))";

#define MEMBER(name, type, flags)                                                                                                \
    { #name, "value->>'" #name "'", type, flags }
static const console_column USER[] = {MEMBER(user, CONSOLE_TEXT, CONSOLE_SEARCHED),
                                      MEMBER(user_table, CONSOLE_TEXT, 0),
                                      MEMBER(user_label, CONSOLE_TEXT, CONSOLE_SEARCHED),
                                      MEMBER(store, CONSOLE_TEXT, CONSOLE_SEARCHED),
                                      MEMBER(store_table, CONSOLE_TEXT, 0),
                                      MEMBER(store_label, CONSOLE_TEXT, CONSOLE_SEARCHED),
                                      MEMBER(profile, CONSOLE_TEXT, CONSOLE_SEARCHED),
                                      MEMBER(devices, CONSOLE_INTEGER, 0),
                                      MEMBER(codes, CONSOLE_INTEGER, 0),
                                      MEMBER(online, CONSOLE_INTEGER, 0),
                                      MEMBER(silent, CONSOLE_INTEGER, 0),
                                      MEMBER(last_seen_ms, CONSOLE_INTEGER, 0),
                                      MEMBER(silent_days, CONSOLE_REAL, 0),
                                      MEMBER(of_user, CONSOLE_INTEGER, 0),
                                      MEMBER(limit, CONSOLE_INTEGER, 0)};
#undef MEMBER
static const console_source USERS = {"json_each(?5)", USER, N(USER), {"key"}, "user_label"};

static int read_users(const console *k, buf *out) {
    sqlite3_stmt *q = NULL;
    int rc = db_rc(sqlite3_prepare_v2(k->file->db, USERS_SQL, -1, &q, NULL));
    if (!rc) rc = db_rc(sqlite3_bind_int64(q, 1, k->now_ms));
    if (!rc) rc = db_rc(sqlite3_bind_int64(q, 2, atomic_load(&k->service->devices_per_user)));
    int step = rc ? SQLITE_DONE : sqlite3_step(q);
    if (step == SQLITE_ROW)
        buf_put(out, sqlite3_column_text(q, 0), (size_t)sqlite3_column_bytes(q, 0) + 1);
    else if (!rc)
        rc = db_rc(step);
    sqlite3_finalize(q);
    return rc ? rc : out->rc;
}

void console_device_users(api_call *c, api_reader *r) {
    console *k = console_begin(c, r);
    buf list = {0};
    if (!k) return;
    int rc = read_users(k, &list);
    if (rc)
        console_end(c, r, k, rc, NULL);
    else
        console_answer(c, r, k, &USERS, 0, (const char *)list.p);
    buf_fini(&list);
}

/* ---- GET /v1/admin/holds ---- */

/* Whose eyes: what a profile's query is asked with. */
typedef struct eyes {
    const char *profile;
    value user, store;
    buf hold; /* what the values point into */
} eyes;

static int take_value(api_call *c, const char *name, eyes *e, value *out, buf *words) {
    static const schema_column any = {.affinity = AFFINITY_ANY};
    const char *text = api_arg(c, name), *wanted;
    *out = value_null();
    if (!text || !*text) return SATCHEL_OK;
    int rc = field_of_text(&any, text, strlen(text), &e->hold, out, &wanted);
    if (!rc && out->type == VALUE_TEXT && *text != '\'') rc = SATCHEL_E_TYPE;
    if (rc == SATCHEL_E_TYPE) {
        buf_printf(words, "%s is a value in SQL, such as 7, 'abc' or x'0a1b'", name);
        rc = SATCHEL_E_MISUSE;
    }
    return rc;
}

static int take_eyes(api_call *c, eyes *e, buf *words) {
    const char *user = api_arg(c, "user"), *shop = api_arg(c, "store");
    e->profile = api_arg(c, "profile");
    if (!e->profile) buf_printf(words, "which profile? \"full\" holds everything");
    if (!e->profile) return SATCHEL_E_MISUSE;
    if (!buf_reserve(&e->hold, (user ? strlen(user) : 0) + (shop ? strlen(shop) : 0) + 2)) return e->hold.rc;
    int rc = take_value(c, "user", e, &e->user, words);
    return rc ? rc : take_value(c, "store", e, &e->store, words);
}

static int bind_eyes(sqlite3_stmt *q, const eyes *e, int64_t now_ms) {
    value nobody = value_null(), now = value_integer(now_ms);
    const struct {
        const char *name;
        const value *v;
    } GIVEN[] = {{":device", &nobody}, {":user", &e->user}, {":store", &e->store}, {":now", &now}};
    int rc = SATCHEL_OK;
    for (size_t i = 0; !rc && i < N(GIVEN); i++) {
        int at = sqlite3_bind_parameter_index(q, GIVEN[i].name);
        if (at) rc = db_rc(value_bind(q, at, GIVEN[i].v));
    }
    return rc;
}

/* What the profile's query gives, into rules->ids. Grants are a device's. */
static int find_buckets(scope *rules, const scope_profile *p, const eyes *e, int64_t now_ms) {
    int rc = bind_eyes(p->buckets, e, now_ms), step = SQLITE_DONE;
    while (!rc && (step = sqlite3_step(p->buckets)) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(p->buckets, 0);
        value v = value_of_column(p->buckets, 1);
        uint32_t id;
        if (!name || !strcmp(name, "grant")) continue;
        rc = scope_bucket_id(rules, name, &v, &id);
        if (!rc) rc = scope_ids_add(&rules->ids, id);
    }
    if (!rc && step != SQLITE_DONE) rc = db_rc(step);
    sqlite3_reset(p->buckets);
    scope_ids_order(&rules->ids);
    return rc;
}

/* Whether the set has one of rules->ids; both are in order. 1, 0, or a code. */
static int shares(scope *rules, uint32_t set) {
    const uint32_t *in;
    size_t n, i = 0, j = 0;
    int rc = scope_buckets_of(rules, set, &in, &n);
    while (!rc && i < n && j < rules->ids.n) {
        if (in[i] == rules->ids.id[j]) return 1;
        in[i] < rules->ids.id[j] ? i++ : j++;
    }
    return rc;
}

static int count_shared(const console *k, scope *rules, const schema_table *t, int64_t *rows, int64_t *bytes) {
    sqlite3_stmt *q = NULL;
    buf sql = {0};
    buf_printf(&sql, "SELECT satchel_set,count(*),");
    console_put_row_bytes(&sql, t);
    buf_printf(&sql, " FROM ");
    scope_put_name(&sql, t->name);
    buf_printf(&sql, " GROUP BY 1");
    int rc = sql.rc ? sql.rc : db_rc(sqlite3_prepare_v2(k->file->db, (const char *)sql.p, (int)sql.n, &q, NULL));
    int step = SQLITE_DONE;
    while (!rc && (step = sqlite3_step(q)) == SQLITE_ROW) {
        int in = shares(rules, (uint32_t)sqlite3_column_int64(q, 0));
        if (in < 0) rc = in;
        if (in != 1) continue;
        *rows += sqlite3_column_int64(q, 1);
        *bytes = (int64_t)((double)*rows * sqlite3_column_double(q, 2));
    }
    if (!rc && step != SQLITE_DONE) rc = db_rc(step);
    sqlite3_finalize(q);
    buf_fini(&sql);
    return rc;
}

/* rules NULL: everything. */
static int count_table(const console *k, const schema_table *t, void *rules, int64_t *rows, int64_t *bytes) {
    return rules ? count_shared(k, rules, t, rows, bytes) : console_count_rows(k, t, 0, rows, bytes);
}

static int open_rules(console *k, const eyes *e, scope **rules, const scope_profile **p, buf *words) {
    int rc = scope_open_reader(k->file->db, k->schema, rules, words);
    /* It has taken the name for a time of its own, which the reader's views are not to go by. */
    int back = scope_register_now(k->file->db, &k->now_ms);
    *p = NULL;
    if (rc || back) return rc ? rc : back;
    if (!strcmp(e->profile, "full")) return SATCHEL_OK;
    *p = scope_profile_by_name(*rules, e->profile);
    if (!*p) buf_printf(words, "there is no profile %.128s", e->profile);
    return *p ? SATCHEL_OK : SATCHEL_E_NOT_FOUND;
}

static int put_holds(console *k, const eyes *e, buf *out, buf *words) {
    scope *rules = NULL;
    const scope_profile *p;
    int rc = open_rules(k, e, &rules, &p, words);
    if (!rc && p) rc = find_buckets(rules, p, e, k->now_ms);
    if (!rc) rc = console_put_tables(k, count_table, p ? rules : NULL, out);
    scope_free(rules);
    return rc;
}

void console_holds(api_call *c, api_reader *r) {
    eyes e = {0};
    buf words = {0};
    console *k = console_begin(c, r);
    if (!k) return;
    int rc = take_eyes(c, &e, &words);
    if (!rc) {
        api_answer(c, 200);
        rc = put_holds(k, &e, &c->out.body, &words);
    }
    console_end(c, r, k, rc, &words);
    buf_fini(&e.hold);
    buf_fini(&words);
}
