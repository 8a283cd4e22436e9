/* Connections and figures that are kept: minutes that are added to, hours that are made of them, and what is forgotten. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"
#include "server/history.h"
#include "tests/support/serving.h"

#define MINUTE UINT64_C(60000)
#define HOUR (60 * MINUTE)
/* The beginning of an hour. */
#define NOW (UINT64_C(1790000000000) / HOUR * HOUR)

static int setup(void **state) {
    serving *v = calloc(1, sizeof *v);
    assert_non_null(v);
    serving_open(v, "CREATE TABLE item(id INTEGER PRIMARY KEY, n INTEGER);\nINSERT INTO satchel_table(name) VALUES('item');\n",
                 NULL);
    *state = v;
    return 0;
}

static int teardown(void **state) {
    serving_fini(*state);
    free(*state);
    return 0;
}

static double number(serving *v, const char *sql) {
    sqlite3_stmt *q = NULL;
    assert_int_equal(sqlite3_prepare_v2(store_db(v->s), sql, -1, &q, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(q), SQLITE_ROW);
    double n = sqlite3_column_double(q, 0);
    sqlite3_finalize(q);
    return n;
}

static void put(serving *v, uint64_t at_ms, double pushed, double online, double p95) {
    double figure[HISTORY_NFIGURES];
    for (int i = 0; i < HISTORY_NFIGURES; i++) figure[i] = -1;
    figure[HISTORY_PUSHED] = pushed;
    figure[HISTORY_ONLINE] = online;
    figure[HISTORY_SYNC_P95] = p95;
    assert_int_equal(history_put_figures(v->s, at_ms, figure), SATCHEL_OK);
}

static void figures_of_one_minute_are_summed_replaced_and_the_highest(void **state) {
    serving *v = *state;
    store_begin(v->s);
    put(v, NOW, 3, 7, 40);
    put(v, NOW + 59999, 4, 2, 30);
    put(v, NOW + MINUTE, 1, -1, -1);
    assert_int_equal(store_commit(v->s), SATCHEL_OK);
    assert_int_equal(number(v, "SELECT value FROM satchel_sample WHERE name='pushed' ORDER BY minute LIMIT 1"), 7);
    assert_int_equal(number(v, "SELECT value FROM satchel_sample WHERE name='online' ORDER BY minute LIMIT 1"), 2);
    assert_int_equal(number(v, "SELECT value FROM satchel_sample WHERE name='sync_p95_ms' ORDER BY minute LIMIT 1"), 40);
    assert_int_equal(number(v, "SELECT count(*) FROM satchel_sample"), 4);
}

static void prune_old_minutes_become_hours_as_their_kind_is(void **state) {
    serving *v = *state;
    store_begin(v->s);
    for (uint64_t i = 0; i < 120; i++) put(v, NOW + i * MINUTE, 2, (double)(i % 60), (double)i);
    assert_int_equal(history_prune(v->s, NOW + HISTORY_MINUTES_MS + HOUR + MINUTE), SATCHEL_OK);
    assert_int_equal(store_commit(v->s), SATCHEL_OK);
    /* The first hour is over; the second began less than two days ago. */
    assert_int_equal(number(v, "SELECT count(*) FROM satchel_sample WHERE name='pushed'"), 61);
    assert_int_equal(number(v, "SELECT value FROM satchel_sample WHERE name='pushed' ORDER BY minute LIMIT 1"), 120);
    assert_true(number(v, "SELECT value FROM satchel_sample WHERE name='online' ORDER BY minute LIMIT 1") == 29.5);
    assert_int_equal(number(v, "SELECT value FROM satchel_sample WHERE name='sync_p95_ms' ORDER BY minute LIMIT 1"), 59);
    assert_int_equal(number(v, "SELECT sum(value) FROM satchel_sample WHERE name='pushed'"), 240);
    store_begin(v->s);
    assert_int_equal(history_prune(v->s, NOW + HISTORY_MINUTES_MS + 3 * HOUR), SATCHEL_OK);
    assert_int_equal(history_prune(v->s, NOW + HISTORY_MINUTES_MS + 3 * HOUR), SATCHEL_OK);
    assert_int_equal(store_commit(v->s), SATCHEL_OK);
    assert_int_equal(number(v, "SELECT count(*) FROM satchel_sample WHERE name='pushed'"), 2);
    assert_int_equal(number(v, "SELECT sum(value) FROM satchel_sample WHERE name='pushed'"), 240);
    store_begin(v->s);
    assert_int_equal(history_prune(v->s, NOW + HISTORY_HOURS_MS + HOUR), SATCHEL_OK);
    assert_int_equal(store_commit(v->s), SATCHEL_OK);
    assert_int_equal(number(v, "SELECT count(*) FROM satchel_sample WHERE name='pushed'"), 1);
}

static void connections_of_a_device_are_bounded_in_number_and_age(void **state) {
    serving *v = *state;
    store_begin(v->s);
    for (uint64_t i = 0; i < HISTORY_SYNCS_OF_DEVICE + 50; i++) {
        history_sync y = {.device = 5, .begun_ms = NOW + i, .ended_ms = NOW + i + 1, .peer = "192.0.2.1"};
        assert_int_equal(history_put_sync(v->s, &y), SATCHEL_OK);
    }
    history_sync other = {.device = 6,
                          .begun_ms = NOW,
                          .ended_ms = NOW + 9,
                          .current_ms = NOW + 4,
                          .end_rc = SATCHEL_E_REVOKED,
                          .end_text = "gone"};
    assert_int_equal(history_put_sync(v->s, &other), SATCHEL_OK);
    assert_int_equal(store_commit(v->s), SATCHEL_OK);
    assert_int_equal(number(v, "SELECT count(*) FROM satchel_sync WHERE device=5"), HISTORY_SYNCS_OF_DEVICE);
    assert_true((uint64_t)number(v, "SELECT min(begun_ms) FROM satchel_sync WHERE device=5") == NOW + 50);
    assert_int_equal(number(v, "SELECT end_text='gone' AND current_ms=begun_ms+4 FROM satchel_sync WHERE device=6"), 1);
    store_begin(v->s);
    assert_int_equal(history_prune(v->s, NOW + HISTORY_SYNCS_MS + 1), SATCHEL_OK);
    assert_int_equal(store_commit(v->s), SATCHEL_OK);
    assert_int_equal(number(v, "SELECT count(*) FROM satchel_sync WHERE device=6"), 0);
    assert_int_equal(number(v, "SELECT count(*) FROM satchel_sync WHERE device=5"), HISTORY_SYNCS_OF_DEVICE);
}

static void connection_tells_what_its_hello_told_or_nothing(void **state) {
    serving *v = *state;
    history_sync y = {.device = 5,
                      .begun_ms = NOW,
                      .ended_ms = NOW + 1,
                      .hello = {.taken = true, .schema_epoch = 0, .clock_offset_ms = -70000, .software = "acme/2 satchel/0.1.0"}};
    store_begin(v->s);
    assert_int_equal(history_put_sync(v->s, &y), SATCHEL_OK);
    y.device = 6;
    y.hello.taken = false;
    assert_int_equal(history_put_sync(v->s, &y), SATCHEL_OK);
    assert_int_equal(store_commit(v->s), SATCHEL_OK);
    assert_int_equal(number(v, "SELECT clock_offset_ms=-70000 AND schema_epoch=0 AND software='acme/2 satchel/0.1.0'"
                               " FROM satchel_sync WHERE device=5"),
                     1);
    assert_int_equal(number(v, "SELECT coalesce(clock_offset_ms,schema_epoch,software) IS NULL FROM satchel_sync WHERE device=6"),
                     1);
}

static void percentile_is_one_of_the_numbers(void **state) {
    static const uint64_t MS[] = {1, 2, 3, 4, 100};
    (void)state;
    assert_true(history_percentile(MS, 5, 500) == 3);
    assert_true(history_percentile(MS, 5, 990) == 100);
    assert_true(history_percentile(MS, 1, 500) == 1);
    assert_true(history_percentile(MS, 0, 500) < 0);
}

static void measure_tells_lag_of_those_that_are_behind(void **state) {
    serving *v = *state;
    double figure[HISTORY_NFIGURES];
    for (int i = 0; i < HISTORY_NFIGURES; i++) figure[i] = -1;
    device a = serving_device(v, "a");
    serving_device(v, "b");
    assert_int_equal(push(v, &a, 0, 1, "+ item(1) n=1"), SATCHEL_OK);
    store_begin(v->s);
    uint64_t seq = store_where(v->s).seq;
    device_seen seen = {.now_ms = v->now_ms, .pending = 4};
    for (int64_t id = 1; id <= 2; id++) {
        assert_int_equal(store_device_seen(v->s, id, &seen), SATCHEL_OK);
        assert_int_equal(store_device_acked(v->s, id, seq - (id == 2), v->now_ms), SATCHEL_OK);
    }
    assert_int_equal(history_measure(v->s, v->now_ms, v->now_ms + 5000, figure), SATCHEL_OK);
    assert_int_equal(store_commit(v->s), SATCHEL_OK);
    assert_int_equal(figure[HISTORY_PENDING], 8);
    assert_int_equal(figure[HISTORY_LAG_P50], 0);
    assert_true(figure[HISTORY_LAG_P99] >= 5000);
    assert_true(figure[HISTORY_STORE_BYTES] > 10000);
}

static int steps_of_scans(serving *v, const char *of) {
    int n = 0;
    for (sqlite3_stmt *q = NULL; (q = sqlite3_next_stmt(store_db(v->s), q));)
        if (strstr(sqlite3_sql(q), of)) n += sqlite3_stmt_status(q, SQLITE_STMTSTATUS_FULLSCAN_STEP, 0);
    return n;
}

static void measure_passes_settled_refusals_by(void **state) {
    serving *v = *state;
    double figure[HISTORY_NFIGURES];
    sql_exec(
        v,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<1000) INSERT INTO satchel_refused(author,number,id,state)"
        " SELECT 1,i,x'00',iif(i<998,'dropped','open') FROM n");
    assert_int_equal(history_measure(v->s, v->now_ms, v->now_ms, figure), SATCHEL_OK);
    assert_int_equal(figure[HISTORY_REFUSALS_OPEN], 3);
    assert_in_range(steps_of_scans(v, "satchel_refused"), 0, 10);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(figures_of_one_minute_are_summed_replaced_and_the_highest),
        TEST(prune_old_minutes_become_hours_as_their_kind_is),
        TEST(connections_of_a_device_are_bounded_in_number_and_age),
        TEST(connection_tells_what_its_hello_told_or_nothing),
        cmocka_unit_test(percentile_is_one_of_the_numbers),
        TEST(measure_tells_lag_of_those_that_are_behind),
        TEST(measure_passes_settled_refusals_by),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
