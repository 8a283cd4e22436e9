/* A disk that is almost full: changes wait, pages are served, and it ends by itself. And what a backup lets devices forget. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"
#include "server/hub_private.h"
#include "tests/unit/hub_fixture.h"

#define RESERVE 1000u

static uint64_t disk_free, disk_all;

static bool fake_disk(void *ctx, uint64_t *free_bytes, uint64_t *all_bytes) {
    (void)ctx;
    *free_bytes = disk_free;
    *all_bytes = disk_all;
    return true;
}

/* The hub looks once a second. */
static hub_stats look(world *w, uint64_t free_bytes) {
    hub_stats st;
    disk_free = free_bytes;
    w->now_ms += 1000;
    settle(w);
    hub_get_stats(w->h, &st);
    return st;
}

static void begin(world *w) {
    disk_all = 1u << 30;
    w->h->config.disk = fake_disk;
    w->h->config.disk_reserve = RESERVE;
    assert_true(look(w, RESERVE).writable);
}

static void low_disk_push_is_not_taken_and_told_once_pages_are_served(void **state) {
    world *w = *state;
    begin(w);
    link *phone = online(w, &w->phone, "phone"), *tablet = dial(w, &w->tablet, "tablet");
    PUSH(phone, 0, "+ item(7)");
    settle(w);
    said(phone);
    hub_stats st = look(w, RESERVE - 1);
    assert_false(st.writable);
    assert_true(st.disk_low);
    assert_int_equal(st.disk_free, RESERVE - 1);
    /* It has not pulled yet: it is not told before it has what there is. */
    hello(w, tablet);
    settle(w);
    PUSH(tablet, 1, "+ item(8)");
    settle(w);
    assert_false(tablet->closed);
    pull(w, tablet, 4);
    settle(w);
    assert_non_null(strstr(said(tablet), "error(E_FULL later) closed"));
    assert_true(tablet->snap.seq == 1 || tablet->pages);
    assert_string_equal(sql(&w->v, "SELECT id FROM item WHERE id>6"), "7");
    assert_string_equal(sql(&w->v, "SELECT count(*) FROM satchel_result"), "1");
    /* The numbers were not taken either: they come again when there is room. */
    assert_true(look(w, 2 * RESERVE).writable);
    w->tablet.number = 0;
    tablet = online(w, &w->tablet, "tablet");
    PUSH(tablet, 1, "+ item(8)");
    settle(w);
    assert_non_null(strstr(said(tablet), "results(1:OK@3)"));
}

static void low_disk_device_that_does_not_pull_is_told_in_the_end(void **state) {
    world *w = *state;
    begin(w);
    link *phone = dial(w, &w->phone, "phone");
    hello(w, phone);
    settle(w);
    look(w, 0);
    PUSH(phone, 0, "+ item(7)");
    settle(w);
    look(w, 0);
    assert_false(phone->closed);
    w->now_ms += 20000;
    look(w, 0);
    assert_true(phone->closed);
}

static void low_disk_what_comes_behind_a_held_push_is_held_even_when_there_is_room_again(void **state) {
    world *w = *state;
    begin(w);
    link *phone = dial(w, &w->phone, "phone");
    hello(w, phone);
    settle(w);
    look(w, 0);
    PUSH(phone, 0, "+ item(7)");
    settle(w);
    disk_free = 2 * RESERVE;
    w->now_ms += 1000;
    PUSH(phone, 1, "+ item(8)");
    settle(w);
    assert_true(phone->closed);
    assert_string_equal(sql(&w->v, "SELECT id FROM item WHERE id>6"), "");
}

static void low_disk_state_does_not_flutter_and_is_logged_once(void **state) {
    world *w = *state;
    begin(w);
    w->log[0] = 0;
    assert_false(look(w, RESERVE - 1).writable);
    assert_false(look(w, RESERVE).writable);
    assert_false(look(w, RESERVE + RESERVE / 4 - 1).writable);
    assert_null(strstr(w->log, "room on the disk again"));
    assert_true(look(w, RESERVE + RESERVE / 4).writable);
    assert_true(look(w, RESERVE).writable);
    const char *low = strstr(w->log, "almost full");
    assert_non_null(low);
    assert_null(strstr(low + 1, "almost full"));
    assert_non_null(strstr(low, "room on the disk again"));
}

static void low_disk_reserve_is_a_tenth_of_a_small_disk(void **state) {
    world *w = *state;
    begin(w);
    disk_all = RESERVE;
    assert_true(look(w, RESERVE / 10).writable);
    hub_stats st = look(w, RESERVE / 10 - 1);
    assert_false(st.writable);
    assert_int_equal(st.disk_reserve, RESERVE / 10);
    w->h->config.disk_reserve = 0;
    assert_true(look(w, 0).writable);
}

typedef struct bulk {
    hub_job job;
    bool ran;
    int got;
} bulk;

static int run_bulk(hub_job *job, store *s, ingest *g, uint64_t now_ms) {
    (void)s, (void)g, (void)now_ms;
    ((bulk *)job)->ran = true;
    return SATCHEL_OK;
}

static void bulk_done(hub_job *job, int rc) {
    ((bulk *)job)->got = rc;
}

static void low_disk_small_jobs_run_and_bulk_is_refused(void **state) {
    world *w = *state;
    begin(w);
    look(w, 0);
    bulk big = {.job = {.run = run_bulk, .done = bulk_done, .own_transaction = true}, .got = 1};
    bulk small = {.job = {.run = run_bulk, .done = bulk_done}, .got = 1};
    assert_true(hub_submit(w->h, &big.job) && hub_submit(w->h, &small.job));
    settle(w);
    assert_false(big.ran);
    assert_int_equal(big.got, SATCHEL_E_FULL);
    assert_true(small.ran);
    assert_int_equal(small.got, SATCHEL_OK);
}

static void N7_device_that_never_goes_hears_of_the_backup_within_a_day_or_so(void **state) {
    world *w = *state;
    link *phone = online(w, &w->phone, "phone");
    assert_int_equal(phone->welcome.backup_seq, 0);
    assert_int_equal(store_begin(w->v.s), SATCHEL_OK);
    assert_int_equal(store_backed_up(w->v.s, 1, "/backup", w->now_ms), SATCHEL_OK);
    assert_int_equal(store_commit(w->v.s), SATCHEL_OK);
    w->now_ms += 23 * 3600000u;
    settle(w);
    assert_false(phone->closed);
    w->now_ms += 6 * 3600000u;
    settle(w);
    assert_true(phone->closed);
    phone = online(w, &w->phone, "phone");
    assert_int_equal(phone->welcome.backup_seq, 1);
}

/* Thousands who are told E_FULL and come back would fill the reserve with notes of that. */
static void low_disk_connections_are_noted_when_there_is_room_again(void **state) {
    world *w = *state;
    begin(w);
    link *phone = online(w, &w->phone, "phone"), *tablet = online(w, &w->tablet, "tablet");
    assert_true(look(w, RESERVE - 1).disk_low);
    hub_disconnect(w->h, phone->session);
    settle(w);
    w->now_ms += 5000;
    hub_disconnect(w->h, tablet->session);
    settle(w);
    w->now_ms += 5000;
    settle(w);
    assert_string_equal(sql(&w->v, "SELECT count(*) FROM satchel_sync"), "0");
    assert_true(look(w, 2 * RESERVE).writable);
    w->now_ms += 5000;
    settle(w);
    assert_string_equal(sql(&w->v, "SELECT count(*) FROM satchel_sync"), "2");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(low_disk_push_is_not_taken_and_told_once_pages_are_served),
        TEST(low_disk_device_that_does_not_pull_is_told_in_the_end),
        TEST(low_disk_what_comes_behind_a_held_push_is_held_even_when_there_is_room_again),
        TEST(low_disk_state_does_not_flutter_and_is_logged_once),
        TEST(low_disk_reserve_is_a_tenth_of_a_small_disk),
        TEST(N7_device_that_never_goes_hears_of_the_backup_within_a_day_or_so),
        TEST(low_disk_connections_are_noted_when_there_is_room_again),
        TEST(low_disk_small_jobs_run_and_bulk_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
