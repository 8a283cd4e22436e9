/* People: users in the store, tries, sessions, and what the HTTPS port admits whom to. What a browser does is tested end to end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "protocol/satchel_rc.h"
#include "server/api.h"
#include "server/audit.h"
#include "server/control.h"
#include "server/people.h"
#include "tests/support/outside.h"

#define HOUR_MS 3600000ull
#define PASSWORD "correct horse battery"

static const char SQL[] =
    "CREATE TABLE thing(id INTEGER PRIMARY KEY, name TEXT); INSERT INTO satchel_table(name) VALUES('thing');";

typedef struct world {
    outside o;
    http *http;
    control *control;
    char cookie[160], csrf[64];
    const char *site, *origin, *type, *bearer;
    int ready;
} world;

/* ---- the store ---- */

static people_user add(world *w, const char *name, people_role role) {
    people_user u;
    char hash[PEOPLE_HASH_BYTES];
    assert_int_equal(people_hash(PASSWORD, true, hash), 0);
    assert_int_equal(store_begin(w->o.store), 0);
    assert_int_equal(people_add(w->o.store, name, role, hash, outside_now_ms, &u), 0);
    assert_int_equal(store_commit(w->o.store), 0);
    return u;
}

/* A session, without the slow way to it; *secret is what its cookie has. */
static people_login sign_in(world *w, const people_user *u, const char *secret) {
    people_login l = {
        .user = u->id, .created_ms = outside_now_ms, .seen_ms = outside_now_ms, .expires_ms = outside_now_ms + PEOPLE_SESSION_MS};
    int64_t ended;
    crypto_sha256(secret, strlen(secret), l.hash);
    memset(l.csrf, 'c', PEOPLE_CSRF_BYTES);
    assert_int_equal(store_begin(w->o.store), 0);
    assert_int_equal(people_login_add(w->o.store, &l, &ended), 0);
    assert_int_equal(store_commit(w->o.store), 0);
    return l;
}

static void open_http(world *w) {
    buf error = {0};
    assert_int_equal(http_new(&w->o.service, &w->http), 0);
    assert_int_equal(control_open(&w->o.service, &w->o.data, &w->control, &error), 0);
}

static int make_world(void **state) {
    world *w = calloc(1, sizeof *w);
    outside_open(&w->o, SQL);
    w->site = w->origin = w->bearer = "";
    w->type = "application/json";
    *state = w;
    return 0;
}

static int drop_world(void **state) {
    world *w = *state;
    outside_settle(&w->o);
    control_close(w->control);
    uv_run(&w->o.loop.uv, UV_RUN_NOWAIT);
    loop_end(&w->o.loop);
    uv_run(&w->o.loop.uv, UV_RUN_DEFAULT);
    http_free(w->http);
    control_free(w->control);
    outside_close(&w->o);
    free(w);
    return 0;
}

static int64_t number(world *w, const char *sql) {
    sqlite3_stmt *q = NULL;
    assert_int_equal(sqlite3_prepare_v2(store_db(w->o.store), sql, -1, &q, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(q), SQLITE_ROW);
    int64_t n = sqlite3_column_int64(q, 0);
    sqlite3_finalize(q);
    return n;
}

static void tries_lock_from_the_fifth_on_and_double(void **state) {
    (void)state;
    people_tries t = {0};
    uint64_t now_ms = OUTSIDE_NOW_MS;
    for (int i = 0; i < PEOPLE_TRIES - 1; i++) people_tries_wrong(&t, now_ms += 1000);
    assert_int_equal(people_tries_wait(&t, now_ms), 0);
    uint64_t lock_ms = PEOPLE_LOCK_MS;
    for (int i = 0; i < 20; i++) {
        people_tries_wrong(&t, now_ms);
        assert_int_equal(people_tries_wait(&t, now_ms), lock_ms);
        assert_int_equal(people_tries_wait(&t, now_ms + lock_ms - 1), 1);
        now_ms += lock_ms;
        assert_int_equal(people_tries_wait(&t, now_ms), 0);
        lock_ms = lock_ms * 2 < PEOPLE_LOCK_MOST_MS ? lock_ms * 2 : PEOPLE_LOCK_MOST_MS;
    }
    assert_int_equal(lock_ms, PEOPLE_LOCK_MOST_MS);
    now_ms += PEOPLE_TRIES_MS + 1;
    people_tries_wrong(&t, now_ms);
    assert_int_equal(t.failures, 1);
    assert_int_equal(people_tries_wait(&t, now_ms), 0);
}

static void tries_far_apart_never_lock(void **state) {
    (void)state;
    people_tries t = {0};
    for (uint64_t i = 1; i < 50; i++) {
        people_tries_wrong(&t, OUTSIDE_NOW_MS + i * (PEOPLE_TRIES_MS + 1));
        assert_int_equal(people_tries_wait(&t, OUTSIDE_NOW_MS + i * (PEOPLE_TRIES_MS + 1)), 0);
    }
}

static void clock_that_is_put_back_neither_locks_for_long_nor_keeps_a_session(void **state) {
    (void)state;
    people_tries t = {0};
    people_login l = {.created_ms = OUTSIDE_NOW_MS, .seen_ms = OUTSIDE_NOW_MS, .expires_ms = OUTSIDE_NOW_MS + PEOPLE_SESSION_MS};
    for (int i = 0; i < PEOPLE_TRIES; i++) people_tries_wrong(&t, OUTSIDE_NOW_MS);
    assert_int_equal(people_tries_wait(&t, OUTSIDE_NOW_MS - 1000), PEOPLE_LOCK_MS + 1000);
    assert_int_equal(people_tries_wait(&t, OUTSIDE_NOW_MS - 24 * HOUR_MS), 0);
    people_tries_wrong(&t, OUTSIDE_NOW_MS - 24 * HOUR_MS);
    assert_int_equal(people_tries_wait(&t, OUTSIDE_NOW_MS - 24 * HOUR_MS), 2 * PEOPLE_LOCK_MS);
    assert_false(people_login_ended(&l, OUTSIDE_NOW_MS - 1000));
    assert_true(people_login_ended(&l, OUTSIDE_NOW_MS - 24 * HOUR_MS));
}

static void hash_is_argon2id_and_is_of_one_password(void **state) {
    (void)state;
    char hash[PEOPLE_HASH_BYTES], other[PEOPLE_HASH_BYTES];
    assert_int_equal(people_hash(PASSWORD, false, hash), 0);
    assert_int_equal(strncmp(hash, "$argon2id$v=19$m=262144,t=3,p=1$", 32), 0);
    assert_int_equal(people_verify(hash, PASSWORD), 0);
    people_cost_little();
    assert_int_equal(people_hash(PASSWORD, true, hash), 0);
    assert_int_equal(people_hash(PASSWORD, true, other), 0);
    assert_string_not_equal(hash, other);
    assert_int_equal(people_verify(hash, PASSWORD " "), SATCHEL_E_AUTH);
}

static void random_passwords_differ_and_are_long(void **state) {
    (void)state;
    buf a = {0}, b = {0};
    assert_int_equal(people_random_password(&a), 0);
    assert_int_equal(people_random_password(&b), 0);
    assert_int_equal(a.n, 34);
    assert_int_equal(b.n, 34);
    assert_memory_not_equal(a.p, b.p, 34);
    buf_fini(&a);
    buf_fini(&b);
}

static int change(world *w, people_user *u, buf *error) {
    buf_clear(error);
    assert_int_equal(store_begin(w->o.store), 0);
    int rc = u->removed ? people_remove(w->o.store, u, error) : people_change(w->o.store, u, error);
    assert_int_equal(store_commit(w->o.store), 0);
    return rc;
}

static void last_admin_can_neither_go_nor_be_locked_nor_lose_the_role(void **state) {
    world *w = *state;
    buf error = {0};
    people_user ann = add(w, "ann", PEOPLE_ADMIN), bob = add(w, "bob", PEOPLE_VIEWER), x = ann;
    x.role = PEOPLE_MANAGER;
    assert_int_equal(change(w, &x, &error), SATCHEL_E_MISUSE);
    assert_non_null(strstr((const char *)error.p, "last admin"));
    x = ann;
    x.locked = true;
    assert_int_equal(change(w, &x, &error), SATCHEL_E_MISUSE);
    x = ann;
    x.removed = true;
    assert_int_equal(change(w, &x, &error), SATCHEL_E_MISUSE);
    bob.locked = true;
    assert_int_equal(change(w, &bob, &error), 0);
    bob.role = PEOPLE_ADMIN; /* who is locked does not count */
    assert_int_equal(change(w, &bob, &error), 0);
    assert_int_equal(change(w, &x, &error), SATCHEL_E_MISUSE);
    bob.locked = false;
    assert_int_equal(change(w, &bob, &error), 0);
    assert_int_equal(change(w, &x, &error), 0);
    assert_int_equal(number(w, "SELECT count(*) FROM satchel_user"), 1);
    buf_fini(&error);
}

static void user_of_a_name_that_is_there_is_refused(void **state) {
    world *w = *state;
    people_user u = add(w, "ann", PEOPLE_ADMIN);
    assert_int_equal(store_begin(w->o.store), 0);
    assert_int_equal(people_add(w->o.store, "ann", PEOPLE_VIEWER, u.hash, outside_now_ms, &u), SATCHEL_E_KEY_TAKEN);
    assert_int_equal(people_find(w->o.store, "Ann", &u), SATCHEL_E_NOT_FOUND);
    store_rollback(w->o.store);
}

static void another_password_or_a_lock_ends_the_sessions_and_a_role_does_not(void **state) {
    world *w = *state;
    buf error = {0};
    add(w, "root", PEOPLE_ADMIN);
    people_user u = add(w, "ann", PEOPLE_ADMIN);
    sign_in(w, &u, "one");
    u.role = PEOPLE_VIEWER;
    assert_int_equal(change(w, &u, &error), 0);
    assert_int_equal(number(w, "SELECT count(*) FROM satchel_login"), 1);
    assert_int_equal(people_hash("another one here", true, u.hash), 0);
    assert_int_equal(change(w, &u, &error), 0);
    assert_int_equal(number(w, "SELECT count(*) FROM satchel_login"), 0);
    sign_in(w, &u, "two");
    u.locked = true;
    assert_int_equal(change(w, &u, &error), 0);
    assert_int_equal(number(w, "SELECT count(*) FROM satchel_login"), 0);
    buf_fini(&error);
}

static void session_over_the_bound_ends_the_oldest(void **state) {
    world *w = *state;
    people_user u = add(w, "ann", PEOPLE_ADMIN), other = add(w, "bob", PEOPLE_VIEWER);
    char secret[16];
    int64_t first = sign_in(w, &u, "first").id;
    sign_in(w, &other, "other");
    for (int i = 0; i < PEOPLE_SESSIONS; i++) {
        snprintf(secret, sizeof secret, "s%d", i);
        outside_now_ms++;
        sign_in(w, &u, secret);
    }
    assert_int_equal(number(w, "SELECT count(*) FROM satchel_login"), PEOPLE_SESSIONS + 1);
    char query[64];
    snprintf(query, sizeof query, "SELECT count(*) FROM satchel_login WHERE id=%lld", (long long)first);
    assert_int_equal(number(w, query), 0);
}

static int keep(void *ctx, const char *password) {
    snprintf(ctx, 64, "%s", password);
    return SATCHEL_OK;
}

static int cannot_keep(void *ctx, const char *password) {
    (void)ctx, (void)password;
    return SATCHEL_E_IO;
}

static void session_never_has_the_id_of_one_that_ended(void **state) {
    world *w = *state;
    people_user ann = add(w, "ann", PEOPLE_VIEWER);
    people_login first = sign_in(w, &ann, "first");
    assert_int_equal(store_begin(w->o.store), 0);
    assert_int_equal(people_login_end(w->o.store, first.id), 0);
    assert_int_equal(store_commit(w->o.store), 0);
    people_login second = sign_in(w, &ann, "second");
    assert_true(second.id > first.id);
}

static void first_admin_is_made_once_and_only_if_the_password_was_kept(void **state) {
    world *w = *state;
    char password[64] = "", again[64] = "";
    people_user u;
    assert_int_equal(people_first(w->o.store, outside_now_ms, cannot_keep, NULL), SATCHEL_E_IO);
    assert_int_equal(number(w, "SELECT count(*) FROM satchel_user"), 0);
    assert_int_equal(people_first(w->o.store, outside_now_ms, keep, password), 0);
    assert_int_equal(people_first(w->o.store, outside_now_ms, keep, again), 0);
    assert_string_equal(again, "");
    assert_int_equal(people_find(w->o.store, PEOPLE_FIRST_NAME, &u), 0);
    assert_int_equal(u.role, PEOPLE_ADMIN);
    assert_int_equal(people_verify(u.hash, password), 0);
    assert_int_equal(number(w, "SELECT count(*) FROM satchel_audit WHERE action='user.add' AND actor='server'"), 1);
}

/* ---- over HTTP ---- */

static void count_ready(void *owner) {
    ((world *)owner)->ready++;
}

/* The caller ends it. */
static http_exchange *ask(world *w, http_method method, const char *path, const char *body, unsigned status) {
    http_request r = {.method = method,
                      .path = path,
                      .peer = "192.0.2.7",
                      .authorization = w->bearer,
                      .idempotency_key = "",
                      .cookie = w->cookie,
                      .csrf = w->csrf,
                      .fetch_site = w->site,
                      .origin = w->origin,
                      .host = "crm.example.test:8443",
                      .content_type = w->type,
                      .agent = "a browser"};
    http_exchange *x = http_begin(w->http, &r, count_ready, w);
    assert_non_null(x);
    if (body) http_body(x, body, strlen(body));
    http_finish(x);
    while (!http_answered(x)) outside_settle(&w->o);
    const http_answer *a = http_answered(x);
    if (a->status != status)
        fail_msg("%s %s: %u %.*s", path, body ? body : "", a->status, (int)a->body.n, (const char *)a->body.p);
    return x;
}

static void get(world *w, const char *path, unsigned status) {
    http_end(ask(w, HTTP_GET, path, NULL, status));
}

static void post(world *w, const char *path, const char *body, unsigned status) {
    http_end(ask(w, HTTP_POST, path, body, status));
}

#define PAUSE "/v1/admin/commands/device.pause"
#define SECRET "0123456789012345678901234567890123456789abc"

/* The browser has the session's cookie and knows its csrf. */
static void hold_session(world *w) {
    snprintf(w->cookie, sizeof w->cookie, "theme=dark; __Host-satchel=%s; x=y", SECRET);
    memset(w->csrf, 'c', PEOPLE_CSRF_BYTES);
    w->csrf[PEOPLE_CSRF_BYTES] = 0;
}

static void with_session(world *w, people_role role) {
    people_user u = add(w, "ann", role);
    sign_in(w, &u, SECRET);
    hold_session(w);
    open_http(w);
}

static void session_is_found_by_its_cookie_alone(void **state) {
    world *w = *state;
    with_session(w, PEOPLE_MANAGER);
    http_exchange *x = ask(w, HTTP_GET, "/v1/session", NULL, 200);
    const http_answer *a = http_answered(x);
    assert_non_null(strstr((const char *)a->body.p, "{\"name\":\"ann\",\"role\":\"manager\",\"csrf\":\"cccc"));
    assert_string_equal(a->set_cookie, "");
    http_end(x);
    static const char *const others[] = {"",
                                         "__Host-satchel=",
                                         "__Host-satchel=" SECRET "0",
                                         "__Host-satche=" SECRET,
                                         "Host-satchel=" SECRET,
                                         "__Host-satchel=1123456789012345678901234567890123456789abc"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        snprintf(w->cookie, sizeof w->cookie, "%s", others[i]);
        get(w, "/v1/session", 401);
    }
}

static void session_ends_by_age_and_by_silence(void **state) {
    world *w = *state;
    with_session(w, PEOPLE_VIEWER);
    for (int i = 0; i < 12; i++) {
        get(w, "/v1/session", 200);
        outside_now_ms += HOUR_MS - 1000;
    }
    get(w, "/v1/session", 200);
    outside_now_ms += 12000;
    get(w, "/v1/session", 401);
    people_user u;
    assert_int_equal(people_find(w->o.store, "ann", &u), 0);
    sign_in(w, &u, "another");
    outside_now_ms += PEOPLE_SILENT_MS;
    snprintf(w->cookie, sizeof w->cookie, "__Host-satchel=another");
    get(w, "/v1/session", 401);
}

static void use_of_a_session_is_noted_now_and_then(void **state) {
    world *w = *state;
    with_session(w, PEOPLE_VIEWER);
    uint64_t first = outside_now_ms;
    for (int i = 0; i < 3; i++) {
        get(w, "/v1/session", 200);
        outside_settle(&w->o);
        outside_now_ms += 1000;
    }
    assert_int_equal(number(w, "SELECT seen_ms FROM satchel_login"), first);
    outside_now_ms += 60000;
    get(w, "/v1/session", 200);
    outside_settle(&w->o);
    assert_int_equal(number(w, "SELECT seen_ms FROM satchel_login"), first + 63000);
}

static void post_by_cookie_takes_csrf_own_site_and_json(void **state) {
    world *w = *state;
    with_session(w, PEOPLE_ADMIN);
    post(w, PAUSE, "{\"name\":\"nobody\"}", 404);
    char good[sizeof w->csrf];
    strcpy(good, w->csrf);
    static const char *const wrong[] = {"", "c", "ccccccccccccccccccccccccccccccccccccccccccd",
                                        "cccccccccccccccccccccccccccccccccccccccccccc"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        strcpy(w->csrf, wrong[i]);
        post(w, PAUSE, "{}", 403);
    }
    strcpy(w->csrf, good);
    static const char *const sites[] = {"cross-site", "same-site", "none", "?"};
    for (size_t i = 0; i < sizeof sites / sizeof *sites; i++) {
        w->site = sites[i];
        post(w, PAUSE, "{}", 403);
    }
    w->site = "same-origin";
    static const char *const origins[] = {"https://evil.example", "null", "http://crm.example.test:8443",
                                          "https://crm.example.test", "https://crm.example.test:8443.evil.example"};
    for (size_t i = 0; i < sizeof origins / sizeof *origins; i++) {
        w->origin = origins[i];
        post(w, PAUSE, "{}", 403);
    }
    w->origin = "https://CRM.example.test:8443";
    static const char *const types[] = {"", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data",
                                        "application/jsonx"};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        w->type = types[i];
        post(w, PAUSE, "{}", 415);
    }
    w->type = "application/json; charset=utf-8";
    post(w, PAUSE, "{\"name\":\"nobody\"}", 404);
    outside_settle(&w->o);
    assert_int_equal(number(w, "SELECT count(*) FROM satchel_audit WHERE action='device.pause' AND actor='user:ann' AND rc=-33"),
                     18);
    assert_int_equal(number(w, "SELECT count(*) FROM satchel_audit WHERE action='device.pause' AND rc=-98"), 2);
}

static void viewer_who_asks_for_an_admins_command_is_refused_and_noted(void **state) {
    world *w = *state;
    with_session(w, PEOPLE_VIEWER);
    post(w, "/v1/admin/commands/status", "{}", 200);
    post(w, "/v1/admin/commands/device.add", "{\"name\":\"till-07\"}", 403);
    post(w, "/v1/admin/commands/sql", "{\"text\":\"DELETE FROM thing\"}", 403);
    post(w, "/v1/admin/commands/backup", "{\"target\":\"/tmp/x\"}", 403);
    post(w, "/v1/admin/commands/token.list", "{}", 403);
    post(w, "/v1/admin/commands/export", "{}", 403);
    post(w, "/v1/admin/commands/nothing", "{}", 404);
    post(w, "/v1/transactions", "{}", 403);
    assert_int_equal(number(w, "SELECT count(*) FROM satchel_enrol"), 0);
    assert_int_equal(number(w, "SELECT count(*) FROM satchel_audit"), 5);
    assert_int_equal(number(w, "SELECT count(*) FROM satchel_audit WHERE rc=-33 AND actor='user:ann' AND peer='192.0.2.7'"), 5);
    assert_int_equal(
        number(w, "SELECT count(*) FROM satchel_audit WHERE action='sql' AND subject='{\"text\":\"DELETE FROM thing\"}'"), 1);
}

static bool is_there(world *w, const char *name) {
    char path[200];
    snprintf(path, sizeof path, "%s/%s", w->o.path, name);
    return !access(path, F_OK);
}

static void backup_over_https_has_a_plain_name_in_the_data_directory(void **state) {
    world *w = *state;
    char body[200], elsewhere[80];
    with_session(w, PEOPLE_ADMIN);
    snprintf(elsewhere, sizeof elsewhere, "%s.stolen", w->o.path);
    const char *const names[] = {elsewhere, "", ".", "..", "../stolen", "a/b", ".hidden", "-x", "a.part", "a b"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(body, sizeof body, "{\"target\":\"%s\",\"replace\":true}", names[i]);
        post(w, "/v1/admin/commands/backup", body, 422);
    }
    assert_int_equal(access(elsewhere, F_OK), -1);
    assert_false(is_there(w, "backups"));
    post(w, "/v1/admin/commands/backup", "{\"target\":\"2026-11-23.a_b\"}", 200);
    assert_true(is_there(w, "backups/2026-11-23.a_b/manifest.json"));
    post(w, "/v1/admin/commands/backup", "{\"target\":\"2026-11-23.a_b\"}", 422);
    post(w, "/v1/admin/commands/backup", "{\"target\":\"2026-11-23.a_b\",\"replace\":true}", 200);
    assert_int_equal(number(w, "SELECT count(*) FROM satchel_audit WHERE action='backup' AND rc=0 AND"
                               " json_extract(subject,'$.target') LIKE '/%/backups/2026-11-23.a_b'"),
                     2);
}

static void command_and_its_note_are_one_transaction(void **state) {
    world *w = *state;
    with_session(w, PEOPLE_ADMIN);
    post(w, "/v1/admin/commands/token.add", "{\"name\":\"erp\"}", 200);
    post(w, "/v1/admin/commands/token.add", "{\"name\":\"erp\"}", 409);
    post(w, "/v1/admin/commands/sql", "{\"text\":\"INSERT INTO thing(id,name) VALUES(1,'a')\"}", 200);
    post(w, "/v1/admin/commands/sql", "{\"text\":\"INSERT INTO nothing VALUES(1)\"}", 422);
    post(w, "/v1/admin/commands/device.add", "[1]", 400);
    assert_int_equal(number(w, "SELECT count(*) FROM satchel_token"), 1);
    assert_int_equal(number(w, "SELECT count(*) FROM thing"), 1);
    assert_int_equal(number(w, "SELECT count(*) FROM satchel_audit WHERE action='token.add' AND rc=0"), 1);
    assert_int_equal(number(w, "SELECT count(*) FROM satchel_audit WHERE action='token.add' AND rc=-44"), 1);
    assert_int_equal(number(w, "SELECT count(*) FROM satchel_audit WHERE action='sql' AND rc=0"), 2);
    assert_int_equal(number(w, "SELECT count(*) FROM satchel_audit WHERE action='sql' AND rc<>0"), 1);
}

static void command_that_fails_half_way_leaves_its_note_alone(void **state) {
    world *w = *state;
    with_session(w, PEOPLE_ADMIN);
    static const char FAULT[] = "CREATE TRIGGER fault BEFORE INSERT ON satchel_token BEGIN SELECT RAISE(ABORT, 'fault'); END";
    assert_int_equal(sqlite3_exec(store_db(w->o.store), FAULT, NULL, NULL, NULL), SQLITE_OK);
    post(w, "/v1/admin/commands/token.add", "{\"name\":\"erp\"}", 422);
    assert_int_equal(number(w, "SELECT count(*) FROM satchel_device"), 0);
    assert_int_equal(number(w, "SELECT count(*) FROM satchel_audit WHERE action='token.add' AND rc=-47"), 1);
}

static void own_password_takes_the_old_one_and_ends_the_sessions(void **state) {
    world *w = *state;
    with_session(w, PEOPLE_VIEWER);
    post(w, "/v1/admin/commands/user.own_password", "{\"password\":\"another horse\"}", 422);
    post(w, "/v1/admin/commands/user.own_password", "{\"old\":\"" PASSWORD "!\",\"password\":\"another horse\"}", 403);
    post(w, "/v1/admin/commands/user.own_password", "{\"old\":\"" PASSWORD "\",\"password\":\"short\"}", 422);
    get(w, "/v1/session", 200);
    post(w, "/v1/admin/commands/user.own_password", "{\"old\":\"" PASSWORD "\",\"password\":\"another horse\"}", 200);
    get(w, "/v1/session", 401);
    people_user u;
    assert_int_equal(people_find(w->o.store, "ann", &u), 0);
    assert_int_equal(people_verify(u.hash, "another horse"), 0);
    assert_int_equal(number(w, "SELECT count(*) FROM satchel_audit WHERE action='user.own_password'"), 4);
    assert_int_equal(number(w, "SELECT count(*) FROM satchel_audit WHERE subject LIKE '%horse%'"), 0);
}

static void own_password_is_not_found_out_by_trying(void **state) {
    world *w = *state;
    with_session(w, PEOPLE_VIEWER);
    for (int i = 0; i < PEOPLE_TRIES; i++) /* what could not be tried does not count */
        post(w, "/v1/admin/commands/user.own_password", "{\"old\":\"" PASSWORD "\",\"password\":\"short\"}", 422);
    for (int i = 0; i < PEOPLE_TRIES - 1; i++)
        post(w, "/v1/admin/commands/user.own_password", "{\"old\":\"" PASSWORD "!\",\"password\":\"another horse\"}", 403);
    /* One that does not wait for the answer counts. */
    static const char WRONG[] = "{\"old\":\"" PASSWORD "!\",\"password\":\"another horse\"}";
    http_request r = {.method = HTTP_POST,
                      .path = "/v1/admin/commands/user.own_password",
                      .peer = "192.0.2.7",
                      .authorization = "",
                      .idempotency_key = "",
                      .cookie = w->cookie,
                      .csrf = w->csrf,
                      .content_type = w->type};
    while (number(w, "SELECT count(*) FROM satchel_audit") < 2 * PEOPLE_TRIES) { /* until it came as far as being tried */
        http_exchange *x = http_begin(w->http, &r, count_ready, w);
        http_body(x, WRONG, strlen(WRONG));
        http_finish(x);
        for (int i = 0; i < 20; i++) {
            usleep(1000);
            uv_run(&w->o.loop.uv, UV_RUN_NOWAIT);
        }
        http_end(x);
        /* Long enough that it was never tried if it does not count by then: two that are tried at once would lock for twice as long. */
        for (int i = 0; i < 3000 && number(w, "SELECT count(*) FROM satchel_audit") < 2 * PEOPLE_TRIES; i++) {
            usleep(1000);
            outside_settle(&w->o);
        }
    }
    post(w, "/v1/admin/commands/user.own_password", "{\"old\":\"" PASSWORD "\",\"password\":\"another horse\"}", 429);
    post(w, "/v1/login", "{\"name\":\"ann\",\"password\":\"" PASSWORD "\"}", 429);
    outside_now_ms += PEOPLE_LOCK_MS;
    post(w, "/v1/admin/commands/user.own_password", "{\"old\":\"" PASSWORD "\",\"password\":\"another horse\"}", 200);
    post(w, "/v1/login", "{\"name\":\"ann\",\"password\":\"another horse\"}", 200);
}

static void refused_commands_and_reads_of_one_are_bounded_in_a_minute(void **state) {
    world *w = *state;
    with_session(w, PEOPLE_VIEWER);
    for (int i = 0; i < 60; i++) post(w, "/v1/admin/commands/status", "{}", 200);
    post(w, "/v1/admin/commands/status", "{}", 429);
    outside_now_ms += 60000;
    post(w, "/v1/admin/commands/status", "{}", 200);
    for (int i = 0; i < 30; i++) post(w, "/v1/admin/commands/device.add", "{\"name\":\"till-07\"}", 403);
    w->site = "cross-site";
    for (int i = 0; i < 40; i++) post(w, PAUSE, "{\"name\":\"till-07\"}", 403);
    w->site = "";
    post(w, "/v1/admin/commands/device.add", "{\"name\":\"till-07\"}", 429);
    post(w, "/v1/admin/commands/status", "{}", 429);
    outside_settle(&w->o);
    assert_int_equal(number(w, "SELECT count(*) FROM satchel_audit"), 60);
    outside_now_ms += 60000;
    post(w, "/v1/admin/commands/device.add", "{\"name\":\"till-07\"}", 403);
    /* Why a row is on a device is worked out by the writer, too. */
    outside_now_ms += 60000;
    static const char *const WHY[] = {"device=till-07", "table=thing", "key=1", NULL};
    for (int i = 0; i <= 60; i++) {
        http_request r = {.method = HTTP_GET,
                          .path = "/v1/admin/explain",
                          .peer = "192.0.2.7",
                          .authorization = "",
                          .idempotency_key = "",
                          .cookie = w->cookie,
                          .narg = 3,
                          .arg = WHY};
        http_exchange *x = http_begin(w->http, &r, count_ready, w);
        http_finish(x);
        while (!http_answered(x)) outside_settle(&w->o);
        assert_int_equal(http_answered(x)->status == 429, i == 60);
        http_end(x);
    }
    /* Reads that have connections of their own go on. */
    for (int i = 0; i < 100; i++) get(w, "/v1/admin/devices", 200);
}

static http_exchange *begin_list(world *w, const char *path, const char *argument) {
    const char *const arg[] = {argument, NULL};
    http_request r = {.method = HTTP_GET,
                      .path = path,
                      .peer = "192.0.2.7",
                      .authorization = "",
                      .idempotency_key = "",
                      .cookie = w->cookie,
                      .narg = argument ? 1 : 0,
                      .arg = arg};
    http_exchange *x = http_begin(w->http, &r, count_ready, w);
    http_finish(x);
    return x;
}

static void end_lists(world *w, http_exchange **x, unsigned n, unsigned taken) {
    for (unsigned i = 0; i < n; i++) {
        while (!http_answered(x[i])) outside_settle(&w->o);
        assert_int_equal(http_answered(x[i])->status, i < taken ? 200 : 503);
    }
    for (unsigned i = 0; i < n; i++) http_end(x[i]);
}

static void requests_of_one_at_one_time_are_bounded_and_whole_lists_more(void **state) {
    world *w = *state;
    with_session(w, PEOPLE_VIEWER);
    http_exchange *x[40];
    for (int turn = 0; turn < 2; turn++) {
        for (int i = 0; i < 40; i++) x[i] = begin_list(w, "/v1/admin/devices", NULL);
        end_lists(w, x, 40, 32);
        for (int i = 0; i < 5; i++) x[i] = begin_list(w, "/v1/admin/devices", "format=csv");
        end_lists(w, x, 5, 2);
    }
}

static void reads_of_one_do_not_wait_behind_all_those_of_another(void **state) {
    world *w = *state;
    static const char BOBS[] = "9876543210987654321098765432109876543210abc";
    people_user ann = add(w, "ann", PEOPLE_VIEWER), bob = add(w, "bob", PEOPLE_VIEWER);
    http_exchange *x[21];
    unsigned before = 0;
    sign_in(w, &ann, SECRET);
    sign_in(w, &bob, BOBS);
    open_http(w);
    hold_session(w);
    for (int i = 0; i < 20; i++) x[i] = begin_list(w, "/v1/admin/devices", NULL);
    snprintf(w->cookie, sizeof w->cookie, "__Host-satchel=%s", BOBS);
    x[20] = begin_list(w, "/v1/admin/devices", NULL);
    while (!http_answered(x[20])) uv_run(&w->o.loop.uv, UV_RUN_NOWAIT);
    for (int i = 0; i < 20; i++) before += http_answered(x[i]) != NULL;
    assert_in_range(before, 0, 10);
    end_lists(w, x, 21, 21);
}

static void answers_of_one_in_a_minute_are_bounded(void **state) {
    world *w = *state;
    http_exchange *x;
    with_session(w, PEOPLE_ADMIN);
    static const char MANY[] = "WITH RECURSIVE i(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM i WHERE n<225)"
                               " INSERT INTO thing(id,name) SELECT n,hex(zeroblob(50000)) FROM i";
    post(w, "/v1/admin/commands/sql", "{\"text\":\"INSERT INTO thing(id,name) VALUES(0,'a')\"}", 200);
    assert_int_equal(sqlite3_exec(store_db(w->o.store), MANY, NULL, NULL, NULL), SQLITE_OK);
    unsigned taken = 0;
    for (; taken < 20; taken++) {
        x = begin_list(w, "/v1/admin/tables/thing/rows", "format=csv");
        while (!http_answered(x)) outside_settle(&w->o);
        unsigned status = http_answered(x)->status;
        http_end(x);
        if (status != 200) break;
    }
    assert_int_equal(taken, 6);
    post(w, "/v1/admin/commands/device.add", "{\"name\":\"till-07\"}", 503);
    outside_now_ms += 60000;
    x = begin_list(w, "/v1/admin/tables/thing/rows", "format=csv");
    end_lists(w, &x, 1, 1);
}

static void command_whose_asker_has_gone_is_done_and_a_work_ends(void **state) {
    world *w = *state;
    with_session(w, PEOPLE_ADMIN);
    for (int turns = 0; turns < 4; turns++) {
        static const char *const commands[] = {"/v1/admin/commands/device.add", "/v1/admin/commands/verify"};
        for (size_t i = 0; i < 2; i++) {
            http_request r = {.method = HTTP_POST,
                              .path = commands[i],
                              .peer = "192.0.2.7",
                              .authorization = "",
                              .idempotency_key = "",
                              .cookie = w->cookie,
                              .csrf = w->csrf,
                              .content_type = w->type};
            http_exchange *x = http_begin(w->http, &r, count_ready, w);
            http_body(x, "{\"name\":\"till-07\"}", 18);
            http_finish(x);
            for (int k = 0; k < turns; k++) {
                usleep(1000);
                uv_run(&w->o.loop.uv, UV_RUN_NOWAIT);
                if (k == 2) http_timeout(x);
            }
            http_end(x);
            outside_settle(&w->o);
        }
    }
    for (int i = 0; i < 200 && number(w, "SELECT count(*) FROM satchel_audit WHERE action='verify'") < 1; i++) {
        usleep(2000);
        outside_settle(&w->o);
    }
    assert_int_equal(number(w, "SELECT count(*) FROM satchel_enrol"), 1);
}

static void login_gives_a_new_session_and_wrong_passwords_lock_the_name(void **state) {
    world *w = *state;
    add(w, "ann", PEOPLE_MANAGER);
    open_http(w);
    hold_session(w); /* set before, by somebody */
    char fixed[sizeof w->cookie];
    strcpy(fixed, w->cookie);
    http_exchange *x = ask(w, HTTP_POST, "/v1/login", "{\"name\":\"ann\",\"password\":\"" PASSWORD "\"}", 200);
    const http_answer *a = http_answered(x);
    assert_non_null(strstr(a->set_cookie, "; Path=/; Secure; HttpOnly; SameSite=Strict"));
    assert_int_equal(strncmp(a->set_cookie, "__Host-satchel=", 15), 0);
    snprintf(w->cookie, sizeof w->cookie, "%.*s", (int)strcspn(a->set_cookie, ";"), a->set_cookie);
    json_t *o = json_loadb((const char *)a->body.p, a->body.n, 0, NULL);
    snprintf(w->csrf, sizeof w->csrf, "%s", json_string_value(json_object_get(o, "csrf")));
    assert_string_equal(json_string_value(json_object_get(o, "role")), "manager");
    json_decref(o);
    http_end(x);
    get(w, "/v1/session", 200);
    char session[sizeof w->cookie];
    strcpy(session, w->cookie);
    strcpy(w->cookie, fixed);
    get(w, "/v1/session", 401);
    strcpy(w->cookie, session);
    post(w, "/v1/logout", "", 200);
    get(w, "/v1/session", 401);
    assert_int_equal(number(w, "SELECT count(*) FROM satchel_login"), 0);
    assert_int_equal(
        number(w, "SELECT count(*) FROM satchel_audit WHERE actor='user:ann' AND action IN ('login','logout') AND rc=0"), 2);

    post(w, "/v1/login", "{\"name\":\"ann\",\"password\":\"" PASSWORD "!\"}", 401);
    post(w, "/v1/login", "{\"name\":\"" PASSWORD "\",\"password\":\"x\"}", 401);
    assert_int_equal(number(w, "SELECT failures FROM satchel_user"), 1);
    assert_int_equal(number(w, "SELECT count(*) FROM satchel_audit WHERE actor='user:ann' AND rc=-32"), 1);
    assert_int_equal(number(w, "SELECT count(*) FROM satchel_audit WHERE actor='user:?' AND rc=-32"), 1);
    assert_int_equal(number(w, "SELECT count(*) FROM satchel_audit WHERE actor||subject LIKE '%horse%'"), 0);
}

static void login_of_a_locked_name_is_told_to_wait_known_or_not(void **state) {
    world *w = *state;
    people_user u = add(w, "ann", PEOPLE_MANAGER);
    for (int i = 0; i < PEOPLE_TRIES; i++) people_tries_wrong(&u.tries, outside_now_ms);
    assert_int_equal(store_begin(w->o.store), 0);
    assert_int_equal(people_tried(w->o.store, &u), 0);
    assert_int_equal(store_commit(w->o.store), 0);
    open_http(w);
    http_exchange *x = ask(w, HTTP_POST, "/v1/login", "{\"name\":\"ann\",\"password\":\"" PASSWORD "\"}", 429);
    assert_in_range(http_answered(x)->retry_after_s, PEOPLE_LOCK_MS / 1000, PEOPLE_LOCK_MS / 1000 + 1);
    http_end(x);
    /* So many at once are no way round: each counts from its beginning. */
    http_exchange *many[PEOPLE_TRIES + 1];
    for (int i = 0; i <= PEOPLE_TRIES; i++) {
        char peer[24];
        snprintf(peer, sizeof peer, "192.0.2.%d", 100 + i / 4);
        http_request r = {.method = HTTP_POST,
                          .path = "/v1/login",
                          .peer = peer,
                          .authorization = "",
                          .idempotency_key = "",
                          .content_type = w->type};
        many[i] = http_begin(w->http, &r, count_ready, w);
        http_body(many[i], "{\"name\":\"bob\",\"password\":\"x\"}", 29);
        http_finish(many[i]);
    }
    assert_non_null(http_answered(many[PEOPLE_TRIES]));
    assert_int_equal(http_answered(many[PEOPLE_TRIES])->status, 429);
    for (int i = 0; i <= PEOPLE_TRIES; i++) http_end(many[i]);
    while (number(w, "SELECT count(*) FROM satchel_audit WHERE actor='user:?'") < PEOPLE_TRIES) outside_settle(&w->o);
}

static void login_from_another_site_or_as_a_form_is_refused(void **state) {
    world *w = *state;
    open_http(w);
    w->site = "cross-site";
    post(w, "/v1/login", "{\"name\":\"ann\",\"password\":\"x\"}", 403);
    w->site = "";
    w->origin = "https://evil.example";
    post(w, "/v1/login", "{\"name\":\"ann\",\"password\":\"x\"}", 403);
    w->origin = "";
    w->type = "text/plain";
    post(w, "/v1/login", "{\"name\":\"ann\",\"password\":\"x\"}", 415);
    w->type = "application/json";
    static const char *const bodies[] = {
        "", "[]", "{}", "{\"name\":\"ann\"}", "{\"name\":1,\"password\":\"x\"}", "{\"name\":\"ann\",\"password\":null}"};
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) post(w, "/v1/login", bodies[i], 400);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, make_world, drop_world)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tries_lock_from_the_fifth_on_and_double),
        cmocka_unit_test(tries_far_apart_never_lock),
        cmocka_unit_test(clock_that_is_put_back_neither_locks_for_long_nor_keeps_a_session),
        cmocka_unit_test(hash_is_argon2id_and_is_of_one_password),
        cmocka_unit_test(random_passwords_differ_and_are_long),
        CASE(last_admin_can_neither_go_nor_be_locked_nor_lose_the_role),
        CASE(user_of_a_name_that_is_there_is_refused),
        CASE(another_password_or_a_lock_ends_the_sessions_and_a_role_does_not),
        CASE(session_over_the_bound_ends_the_oldest),
        CASE(session_never_has_the_id_of_one_that_ended),
        CASE(first_admin_is_made_once_and_only_if_the_password_was_kept),
        CASE(session_is_found_by_its_cookie_alone),
        CASE(session_ends_by_age_and_by_silence),
        CASE(use_of_a_session_is_noted_now_and_then),
        CASE(post_by_cookie_takes_csrf_own_site_and_json),
        CASE(viewer_who_asks_for_an_admins_command_is_refused_and_noted),
        CASE(backup_over_https_has_a_plain_name_in_the_data_directory),
        CASE(command_and_its_note_are_one_transaction),
        CASE(command_that_fails_half_way_leaves_its_note_alone),
        CASE(own_password_takes_the_old_one_and_ends_the_sessions),
        CASE(own_password_is_not_found_out_by_trying),
        CASE(refused_commands_and_reads_of_one_are_bounded_in_a_minute),
        CASE(requests_of_one_at_one_time_are_bounded_and_whole_lists_more),
        CASE(reads_of_one_do_not_wait_behind_all_those_of_another),
        CASE(answers_of_one_in_a_minute_are_bounded),
        CASE(command_whose_asker_has_gone_is_done_and_a_work_ends),
        CASE(login_gives_a_new_session_and_wrong_passwords_lock_the_name),
        CASE(login_of_a_locked_name_is_told_to_wait_known_or_not),
        CASE(login_from_another_site_or_as_a_form_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
