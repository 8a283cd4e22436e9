/* The HTTP API without a socket: tokens, answers that are kept, calls that nobody waits for any more. What it answers is tested end to end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"
#include "server/api_private.h"
#include "tests/support/outside.h"

#define DAY_MS 86400000ull

static const char SQL[] = "CREATE TABLE thing(id INTEGER PRIMARY KEY, name TEXT, n INTEGER NOT NULL DEFAULT 0);"
                          "INSERT INTO satchel_table(name) VALUES('thing');"
                          "INSERT INTO satchel_rule(tbl, col, rule) VALUES('thing', 'n', 'counter');";

typedef struct world {
    outside o;
    http *http;
    api_token token;
    char bearer[128];
    int ready;
} world;

typedef struct token_job {
    service_job job;
    const char *name;
    unsigned rights; /* 0: revoke */
    buf text;
    api_token token;
} token_job;

static int run_token(service_job *job, store *s, ingest *g, uint64_t now_ms) {
    token_job *j = (token_job *)job;
    (void)g;
    return j->rights ? api_token_add(s, j->name, j->rights, now_ms, &j->text, &j->token)
                     : api_token_revoke(s, j->name, now_ms, &j->token);
}

static void token_done(service_job *job) {
    token_job *j = (token_job *)job;
    if (!job->rc) api_token_changed(job->service->api, &j->token);
}

static int change_token(world *w, const char *name, unsigned rights) {
    token_job j = {.name = name, .rights = rights};
    j.job.run = run_token;
    j.job.done = token_done;
    assert_true(service_submit(&w->o.service, &j.job, false));
    outside_settle(&w->o);
    if (!j.job.rc && rights) {
        w->token = j.token;
        snprintf(w->bearer, sizeof w->bearer, "Bearer %s", (const char *)j.text.p);
    }
    buf_fini(&j.text);
    return j.job.rc;
}

static int make_world(void **state) {
    world *w = calloc(1, sizeof *w);
    outside_open(&w->o, SQL);
    assert_int_equal(http_new(&w->o.service, &w->http), 0);
    assert_int_equal(change_token(w, "shop", API_READ | API_WRITE), 0);
    *state = w;
    return 0;
}

static int drop_world(void **state) {
    world *w = *state;
    outside_settle(&w->o);
    uv_run(&w->o.loop.uv, UV_RUN_NOWAIT);
    loop_end(&w->o.loop);
    uv_run(&w->o.loop.uv, UV_RUN_DEFAULT);
    http_free(w->http);
    outside_close(&w->o);
    free(w);
    return 0;
}

static void count_ready(void *owner) {
    ((world *)owner)->ready++;
}

static http_exchange *begin(world *w, http_method method, const char *path, const char *arg, const char *key) {
    http_request r = {.method = method,
                      .path = path,
                      .peer = "192.0.2.7",
                      .authorization = w->bearer,
                      .idempotency_key = key,
                      .narg = arg != NULL,
                      .arg = &arg};
    http_exchange *x = http_begin(w->http, &r, count_ready, w);
    assert_non_null(x);
    return x;
}

static const http_answer *wait_for(world *w, http_exchange *x) {
    while (!http_answered(x)) outside_settle(&w->o);
    return http_answered(x);
}

/* The caller ends it. */
static http_exchange *get(world *w, const char *path, const char *arg, unsigned status) {
    http_exchange *x = begin(w, HTTP_GET, path, arg, "");
    http_finish(x);
    const http_answer *a = wait_for(w, x);
    if (a->status != status) fail_msg("%s %s: %u %.*s", path, arg ? arg : "", a->status, (int)a->body.n, (const char *)a->body.p);
    return x;
}

static http_exchange *post(world *w, const char *key, const char *body) {
    http_exchange *x = begin(w, HTTP_POST, "/v1/transactions", NULL, key);
    http_body(x, body, strlen(body));
    http_finish(x);
    return x;
}

static bool write_thing(world *w, const char *key, const char *body, unsigned status) {
    http_exchange *x = post(w, key, body);
    const http_answer *a = wait_for(w, x);
    if (a->status != status) fail_msg("%s: %u %.*s", body, a->status, (int)a->body.n, (const char *)a->body.p);
    bool replayed = a->replayed;
    http_end(x);
    return replayed;
}

static int64_t number(world *w, const char *sql) {
    sqlite3_stmt *q = NULL;
    assert_int_equal(sqlite3_prepare_v2(store_db(w->o.store), sql, -1, &q, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(q), SQLITE_ROW);
    int64_t n = sqlite3_column_int64(q, 0);
    sqlite3_finalize(q);
    return n;
}

#define ADD "{\"changes\":[{\"table\":\"thing\",\"op\":\"upsert\",\"key\":{\"id\":1},\"values\":{\"n\":{\"add\":1}}}]}"

static void token_is_kept_as_its_hash_and_its_name_is_free_when_revoked(void **state) {
    world *w = *state;
    assert_int_equal(strlen(w->bearer), strlen("Bearer ") + strlen(API_TOKEN_PREFIX) + 43);
    assert_int_equal(change_token(w, "shop", API_READ), SATCHEL_E_KEY_TAKEN);
    assert_int_equal(change_token(w, "shop", 0), 0);
    assert_int_equal(change_token(w, "shop", 0), SATCHEL_E_NOT_FOUND);
    http_end(get(w, "/v1/tables", NULL, 401));
    uint32_t before = w->token.author;
    assert_int_equal(change_token(w, "shop", API_READ), 0);
    assert_int_not_equal(w->token.author, before);
    http_end(get(w, "/v1/tables", NULL, 200));
    buf report = {0};
    unsigned problems = 0;
    assert_int_equal(store_verify(w->o.store, &report, &problems), 0);
    assert_int_equal(problems, 0);
    buf_fini(&report);
}

static void wrong_tokens_and_wrong_codes_share_one_bound(void **state) {
    world *w = *state;
    char good[sizeof w->bearer];
    strcpy(good, w->bearer);
    strcpy(w->bearer, "Bearer satchel_wrong");
    for (int i = 0; i < ENROL_TRIES; i++) http_end(get(w, "/v1/tables", NULL, 401));
    http_exchange *x = get(w, "/v1/tables", NULL, 429);
    assert_in_range(http_answered(x)->retry_after_s, 1, ENROL_WINDOW_MS / 1000 + 1);
    http_end(x);
    http_request r = {.method = HTTP_POST, .path = "/v1/enroll", .peer = "192.0.2.7", .authorization = "", .idempotency_key = ""};
    x = http_begin(w->http, &r, count_ready, w);
    http_finish(x);
    assert_int_equal(wait_for(w, x)->status, 429);
    http_end(x);
    strcpy(w->bearer, good);
    http_end(get(w, "/v1/tables", NULL, 200));
}

static void answer_is_kept_for_its_days_and_not_longer(void **state) {
    world *w = *state;
    assert_false(write_thing(w, "k", ADD, 200));
    outside_now_ms += API_ANSWER_DAYS * DAY_MS - 1000;
    assert_true(write_thing(w, "k", ADD, 200));
    assert_int_equal(number(w, "SELECT n FROM thing"), 1);
    outside_now_ms += 2000;
    assert_false(write_thing(w, "other", ADD, 200));
    outside_now_ms += 100000;
    assert_false(write_thing(w, "k", ADD, 200));
    assert_int_equal(number(w, "SELECT n FROM thing"), 3);
    assert_int_equal(number(w, "SELECT count(*) FROM satchel_request"), 2);
}

static void use_of_a_token_is_noted_now_and_then(void **state) {
    world *w = *state;
    uint64_t first = outside_now_ms;
    for (int i = 0; i < 3; i++) {
        http_end(get(w, "/v1/tables", NULL, 200));
        outside_now_ms += 1000;
    }
    outside_settle(&w->o);
    assert_int_equal(number(w, "SELECT max(last_seen_ms) FROM satchel_device WHERE state=3"), first);
    outside_now_ms += 60000;
    http_end(get(w, "/v1/tables", NULL, 200));
    outside_settle(&w->o);
    assert_int_equal(number(w, "SELECT max(last_seen_ms) FROM satchel_device WHERE state=3"), first + 63000);
}

/* Wherever the call is when its client goes: waiting, with a worker, with the writer. */
static void calls_that_nobody_waits_for_end_quietly_and_writes_still_count(void **state) {
    world *w = *state;
    http_exchange *x[20];
    for (int i = 0; i < 20; i++) {
        x[i] = begin(w, HTTP_GET, "/v1/tables/thing/rows", NULL, "");
        http_finish(x[i]);
    }
    for (int i = 0; i < 20; i++) http_end(x[i]);
    for (int steps = 0; steps < 4; steps++) {
        char key[8] = {(char)('a' + steps)};
        http_exchange *y = post(w, key, ADD);
        for (int i = 0; i < steps; i++) {
            usleep(1000);
            uv_run(&w->o.loop.uv, UV_RUN_NOWAIT);
        }
        http_end(y);
        outside_settle(&w->o);
    }
    int64_t counted = number(w, "SELECT count(*) FROM satchel_request");
    assert_int_equal(counted ? number(w, "SELECT n FROM thing") : 0, counted);
    assert_int_equal(w->ready, 0);
}

static void call_that_takes_too_long_is_told_and_its_write_is_found_by_its_key(void **state) {
    world *w = *state;
    http_exchange *x = post(w, "slow", ADD);
    http_timeout(x);
    const http_answer *a = http_answered(x);
    assert_int_equal(a->status, 503);
    assert_non_null(strstr((const char *)a->body.p, "same Idempotency-Key"));
    while (!number(w, "SELECT count(*) FROM thing")) outside_settle(&w->o);
    http_end(x);
    assert_true(write_thing(w, "slow", ADD, 200));
    assert_int_equal(number(w, "SELECT n FROM thing"), 1);
}

static void wait_for_a_change_ends_with_it_or_with_its_client(void **state) {
    world *w = *state;
    http_exchange *gone = begin(w, HTTP_GET, "/v1/changes", "wait=60", ""), *x = begin(w, HTTP_GET, "/v1/changes", "wait=60", "");
    assert_in_range(http_patience_s(x), API_WAIT_MAX_S, 2 * API_WAIT_MAX_S);
    http_finish(gone);
    http_finish(x);
    for (int i = 0; i < 20; i++) uv_run(&w->o.loop.uv, UV_RUN_ONCE);
    assert_null(http_answered(x));
    http_end(gone);
    assert_false(write_thing(w, "k", ADD, 200));
    assert_non_null(strstr((const char *)wait_for(w, x)->body.p, "\"author\":\"shop\""));
    http_end(x);
    x = begin(w, HTTP_GET, "/v1/changes", "wait=60", "");
    http_finish(x);
    wait_for(w, x);
    http_end(x);
}

static void end_of_the_server_ends_waits_and_takes_nothing_new(void **state) {
    world *w = *state;
    http_exchange *x = begin(w, HTTP_GET, "/v1/changes", "wait=60", "");
    http_finish(x);
    for (int i = 0; i < 5; i++) uv_run(&w->o.loop.uv, UV_RUN_ONCE);
    w->o.service.draining = true;
    assert_int_equal(wait_for(w, x)->status, 200);
    http_end(x);
    assert_false(write_thing(w, "k", ADD, 503));
    http_end(get(w, "/v1/tables", NULL, 503));
    assert_int_equal(number(w, "SELECT count(*) FROM thing"), 0);
}

static void changes_that_were_pruned_are_gone(void **state) {
    world *w = *state;
    assert_false(write_thing(w, "a", ADD, 200));
    http_end(get(w, "/v1/changes", "since=0", 200));
    outside_now_ms += 3 * DAY_MS;
    assert_false(write_thing(w, "b", ADD, 200));
    outside_settle(&w->o);
    assert_int_equal(number(w, "SELECT floor FROM satchel_server"), 1);
    http_exchange *x = get(w, "/v1/changes", "since=0", 410);
    assert_non_null(strstr((const char *)http_answered(x)->body.p, "read the tables again"));
    http_end(x);
}

static void more_calls_than_may_wait_are_told_to_come_back(void **state) {
    world *w = *state;
    http_exchange *x[API_WAITING + API_READERS + 5];
    unsigned told = 0;
    for (size_t i = 0; i < sizeof x / sizeof *x; i++) {
        x[i] = begin(w, HTTP_GET, "/v1/tables", NULL, "");
        http_finish(x[i]);
        if (http_answered(x[i]) && http_answered(x[i])->status == 503) told++;
    }
    assert_int_equal(told, 5);
    for (size_t i = 0; i < sizeof x / sizeof *x; i++) {
        wait_for(w, x[i]);
        http_end(x[i]);
    }
    assert_int_equal(w->ready, API_WAITING + API_READERS);
}

static void body_over_the_limit_is_refused_at_once(void **state) {
    world *w = *state;
    http_exchange *x = begin(w, HTTP_POST, "/v1/transactions", NULL, "k");
    http_expect(x, API_BODY_BYTES);
    assert_null(http_answered(x));
    http_expect(x, API_BODY_BYTES + 1);
    assert_int_equal(http_answered(x)->status, 413);
    http_finish(x);
    http_end(x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(token_is_kept_as_its_hash_and_its_name_is_free_when_revoked, make_world, drop_world),
        cmocka_unit_test_setup_teardown(wrong_tokens_and_wrong_codes_share_one_bound, make_world, drop_world),
        cmocka_unit_test_setup_teardown(answer_is_kept_for_its_days_and_not_longer, make_world, drop_world),
        cmocka_unit_test_setup_teardown(use_of_a_token_is_noted_now_and_then, make_world, drop_world),
        cmocka_unit_test_setup_teardown(calls_that_nobody_waits_for_end_quietly_and_writes_still_count, make_world, drop_world),
        cmocka_unit_test_setup_teardown(call_that_takes_too_long_is_told_and_its_write_is_found_by_its_key, make_world,
                                        drop_world),
        cmocka_unit_test_setup_teardown(wait_for_a_change_ends_with_it_or_with_its_client, make_world, drop_world),
        cmocka_unit_test_setup_teardown(end_of_the_server_ends_waits_and_takes_nothing_new, make_world, drop_world),
        cmocka_unit_test_setup_teardown(changes_that_were_pruned_are_gone, make_world, drop_world),
        cmocka_unit_test_setup_teardown(more_calls_than_may_wait_are_told_to_come_back, make_world, drop_world),
        cmocka_unit_test_setup_teardown(body_over_the_limit_is_refused_at_once, make_world, drop_world),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
