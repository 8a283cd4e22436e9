/* store_verify: each kind of damage is planted in a store with some history, and found in its own words and no others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"
#include "tests/support/serving.h"

static const char FIRST[] =
    "CREATE TABLE item(id INTEGER PRIMARY KEY, a TEXT, b INTEGER CHECK(b IS NULL OR b < 1000));\nINSERT INTO satchel_table(name) VALUES('item');\n"
    "CREATE TABLE line(id INTEGER PRIMARY KEY, item INTEGER REFERENCES item, q INTEGER);\n"
    "INSERT INTO satchel_table(name, wins) VALUES('line', 'delete');\n";

static int setup(void **state) {
    serving *v = calloc(1, sizeof *v);
    assert_non_null(v);
    *state = v;
    return 0;
}

static int teardown(void **state) {
    serving_fini(*state);
    free(*state);
    return 0;
}

static const char *verify(serving *v, unsigned *problems) {
    static buf report;
    buf_clear(&report);
    assert_int_equal(store_verify(v->s, &report, problems), SATCHEL_OK);
    buf_put_byte(&report, 0);
    return (const char *)report.p;
}

/* A store with some history, in which `damage` is planted: verify finds it in these words and nothing else. */
static void finds(serving *v, const char *damage, const char *words) {
    serving_open(v, FIRST, NULL);
    device d = serving_device(v, "phone");
    device other = serving_device(v, "tablet");
    assert_int_equal(push(v, &d, 0, 0, "+ item(1) a='x'; + item(2) a='y'; + item(3); + line(1) item=1, q=1"), SATCHEL_OK);
    assert_int_equal(push(v, &d, 1, 1, "~ item(1) a='z', b=2"), SATCHEL_OK);
    assert_int_equal(push(v, &other, 1, 2, "~ item(1) a='zz'; - item(3)"), SATCHEL_OK);
    assert_int_equal(push(v, &other, 1, 2, "+ item(9) a='1'; ~ item(9) a='2'; + item(8); - item(8)"), SATCHEL_OK);
    assert_int_equal(push(v, &d, 1, 3, "+ line(5) item=44"), SATCHEL_E_FOREIGN_KEY);
    unsigned problems;
    const char *report = verify(v, &problems);
    if (problems) fail_msg("%s", report);
    sql_exec(v, damage);
    report = verify(v, &problems);
    if (!strstr(report, words)) fail_msg("%s: %s", damage, report);
    assert_int_equal(problems, 1);
}

#define FINDS(name, damage, words)                                                                                               \
    static void verify_finds_##name(void **state) {                                                                              \
        finds(*state, damage, words);                                                                                            \
    }

FINDS(clock_that_cannot_be_read, "UPDATE item SET satchel_clock=x'00' WHERE id=2", "table item: row 2 has no readable clock")
FINDS(clock_ahead_of_the_store, "UPDATE item SET satchel_clock=x'00000000000000010063' WHERE id=2",
      "written by a commit that does not exist")
FINDS(tombstone_with_a_live_row, "INSERT INTO satchel_tombstone VALUES(1,x'010000000000000002',3,1,1,NULL)",
      "there and deleted at once")
FINDS(log_that_cannot_be_read, "INSERT INTO satchel_log VALUES((3<<24)+1,1,1,1,1,x'81',0)", "commit 3 cannot be read")
FINDS(log_ahead_of_the_store, "INSERT INTO satchel_log VALUES(99<<24,1,1,1,1,x'80',0)", "commit 99 lies ahead")
FINDS(log_below_the_floor, "INSERT INTO satchel_log VALUES(0,1,1,1,1,x'80',0)", "commit 0 lies below")
FINDS(row_that_was_changed_past_the_log, "UPDATE item SET b=3 WHERE id=1", "does not hold what commit 2 wrote")
FINDS(row_that_is_gone, "DELETE FROM item WHERE id=2", "commit 1 wrote is neither there nor deleted")
FINDS(
    row_that_came_back,
    "INSERT INTO item(id,satchel_clock) VALUES(3,x'00000000000000010101'); DELETE FROM satchel_tombstone WHERE key=x'010000000000000003'",
    "there that commit 3 deleted")
FINDS(reference_to_nothing, "UPDATE line SET item=77,satchel_clock=x'00000000000000010100'", "refers to one that does not exist")

FINDS(clock_of_an_author_that_there_is_not, "UPDATE item SET satchel_clock=x'00000000000000010901' WHERE id=2",
      "row 2 was written by an author that there is not")
FINDS(clock_with_a_stamp_that_was_never_given, "UPDATE item SET satchel_clock=x'7f000000000000010101' WHERE id=2",
      "row 2 has a stamp above the highest")
FINDS(clock_of_a_column_that_there_is_not, "UPDATE item SET satchel_clock=x'0000000000000001010163000100' WHERE id=2",
      "row 2 has a clock for a column that there is not")
FINDS(removed_log_of_an_insert, "DELETE FROM satchel_log WHERE id=4<<24",
      "row 9 was made by a commit that the log has nothing of")
FINDS(log_of_an_author_that_there_is_not, "UPDATE satchel_log SET author=77 WHERE id=2<<24", "commit 2 is of an author")
FINDS(log_that_lacks_a_part, "INSERT INTO satchel_log VALUES((3<<24)+2,1,1,1,1,x'80',0)", "commit 3 lacks a part")
FINDS(log_for_no_set, "UPDATE satchel_log SET bucket=9 WHERE id=2<<24", "commit 2 is for a set of buckets")
FINDS(log_with_a_stamp_that_was_never_given, "UPDATE satchel_log SET stamp=1<<62 WHERE id=2<<24", "commit 2 has a stamp above")
FINDS(tombstone_of_an_author_that_there_is_not, "UPDATE satchel_tombstone SET author=77 WHERE key=x'010000000000000003'",
      "a tombstone was written by an author")
FINDS(tombstone_without_a_key, "INSERT INTO satchel_tombstone VALUES(1,x'0100',3,1,1,NULL)", "a tombstone has no readable key")
FINDS(set_of_buckets_that_there_are_not, "INSERT INTO satchel_set VALUES(7,x'0000000100000063')",
      "set 7 is not a list of buckets")
FINDS(view_that_cannot_be_read, "INSERT INTO satchel_view VALUES(3,'rep','',x'000001')", "view 3 is not a list of buckets")
FINDS(device_that_held_what_there_is_not, "INSERT INTO satchel_held VALUES(1,1,9)", "device 1 was to hold what there is not")
FINDS(row_that_lay_nowhere, "INSERT INTO satchel_left VALUES(1,x'010000000000000002',2,9)",
      "table number 1 has a row that lay in a set")
FINDS(grant_for_nobody, "INSERT INTO satchel_grant VALUES(1,99,1,x'010000000000000002',5,'',1)",
      "grant 1 is for a device that there is not")
FINDS(row_in_a_set_without_rules, "UPDATE item SET satchel_set=0 WHERE id=2", "row 2 lies in set 0, and the rules say 1")
FINDS(result_of_an_author_that_there_is_not,
      "INSERT INTO satchel_result SELECT 77,50,id,rc,seq,effective,depends,tbl,key,message,at_ms,root FROM"
      " satchel_result WHERE rc=0 LIMIT 1",
      "the result of transaction 50 is of an author")
FINDS(result_of_a_commit_to_come, "UPDATE satchel_result SET seq=99 WHERE rc=0 AND author=1 AND number=1",
      "the result of transaction 1 names a commit")
FINDS(result_above_its_author_s_last_one, "UPDATE satchel_author SET last_number=2 WHERE author=1", "transaction 3 has a result")
FINDS(refusal_that_is_gone, "DELETE FROM satchel_refused; DELETE FROM satchel_refused_row",
      "transaction 3 was refused and is not kept")
FINDS(refusal_whose_changes_cannot_be_read, "UPDATE satchel_refused SET delta=x'81'",
      "changes of transaction 3 that are kept cannot be read")
FINDS(refusal_that_is_settled_and_still_holds_rows, "UPDATE satchel_refused SET state='discarded'",
      "refused transaction 3 is not open")
FINDS(part_that_cannot_be_read, "INSERT INTO satchel_stage VALUES(1,9,0,x'00',x'81',NULL)",
      "changes of transaction 9 that are kept")
FINDS(part_of_an_author_that_there_is_not, "INSERT INTO satchel_stage VALUES(77,9,0,x'00',x'80',NULL)",
      "parts of transaction 9 are of an author")
FINDS(conflict_that_cannot_be_read,
      "INSERT INTO satchel_conflict VALUES(5,1,1,1,x'010000000000000001',2,0,x'ff',NULL,1,1,1,1,1,'open',NULL)",
      "conflict 5 cannot be read")
FINDS(conflict_of_an_author_that_there_is_not,
      "INSERT INTO satchel_conflict VALUES(5,1,1,1,x'010000000000000001',2,0,NULL,NULL,1,77,1,1,1,'open',NULL)",
      "conflict 5 names a commit or an author")
FINDS(device_that_has_more_than_there_is, "UPDATE satchel_device SET acked_seq=99 WHERE id=1", "device 1 has more than there is")
FINDS(author_without_a_device, "INSERT INTO satchel_author(author,device,incarnation) VALUES(9,88,1)",
      "table satchel_author: a row refers to one that does not exist")
FINDS(epoch_that_begins_in_the_future, "INSERT INTO satchel_epoch(epoch,start_seq,at_ms) VALUES(x'0102030405060708',99,1)",
      "epoch 2 begins where it cannot")
FINDS(backup_of_the_future, "UPDATE satchel_server SET backup_seq=99", "lies behind the log's floor or the newest backup")
FINDS(migration_that_is_gone, "UPDATE satchel_migration SET epoch=2", "migration 2 does not follow")
FINDS(column_that_is_nobody_s, "ALTER TABLE item ADD COLUMN stray", "column stray is not the schema's")
FINDS(
    value_that_a_check_forbids,
    "PRAGMA ignore_check_constraints=1; UPDATE line SET q=5 WHERE 0; UPDATE item SET b=5000,satchel_clock=x'00000000000000010100' WHERE id=2;"
    "PRAGMA ignore_check_constraints=0",
    "CHECK")

static void verify_of_files_sees_the_same_through_its_own_connection(void **state) {
    serving *v = *state;
    serving_open(v, FIRST, NULL);
    device d = serving_device(v, "phone");
    assert_int_equal(push(v, &d, 0, 0, "+ item(1) a='x'"), SATCHEL_OK);
    buf report = {0}, error = {0};
    unsigned problems = 9;
    assert_int_equal(store_verify_files(v->path, NULL, NULL, &report, &problems, NULL, &error), SATCHEL_OK);
    assert_int_equal(problems, 0);
    sql_exec(v, "UPDATE item SET a='y'");
    assert_int_equal(store_verify_files(v->path, v->path, NULL, &report, &problems, NULL, &error), SATCHEL_OK);
    assert_int_equal(problems, 1);
    assert_non_null(strstr((const char *)report.p, "a row's a does not hold what commit 1 wrote last"));
    buf_fini(&report);
    buf_fini(&error);
}

static bool no_more(void *ctx, const char *what, uint64_t done, uint64_t total) {
    (void)ctx, (void)what, (void)done, (void)total;
    return false;
}

static void verify_of_files_is_given_up_when_nobody_waits(void **state) {
    serving *v = *state;
    serving_open(v, FIRST, NULL);
    device d = serving_device(v, "phone");
    char words[64];
    for (int i = 1; i <= 300; i++) {
        snprintf(words, sizeof words, "+ item(%d)", i);
        assert_int_equal(push(v, &d, 0, i, words), SATCHEL_OK);
    }
    buf report = {0}, error = {0};
    unsigned problems = 0;
    progress watch = {.tell = no_more};
    assert_int_equal(store_verify_files(v->path, NULL, &watch, &report, &problems, NULL, &error), SATCHEL_E_CLOSED);
    assert_non_null(strstr((const char *)error.p, "given up"));
    buf_fini(&report);
    buf_fini(&error);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(verify_finds_clock_that_cannot_be_read),
        TEST(verify_finds_clock_ahead_of_the_store),
        TEST(verify_finds_tombstone_with_a_live_row),
        TEST(verify_finds_log_that_cannot_be_read),
        TEST(verify_finds_log_ahead_of_the_store),
        TEST(verify_finds_log_below_the_floor),
        TEST(verify_finds_row_that_was_changed_past_the_log),
        TEST(verify_finds_row_that_is_gone),
        TEST(verify_finds_row_that_came_back),
        TEST(verify_finds_reference_to_nothing),
        TEST(verify_finds_clock_of_an_author_that_there_is_not),
        TEST(verify_finds_clock_with_a_stamp_that_was_never_given),
        TEST(verify_finds_clock_of_a_column_that_there_is_not),
        TEST(verify_finds_removed_log_of_an_insert),
        TEST(verify_finds_log_of_an_author_that_there_is_not),
        TEST(verify_finds_log_that_lacks_a_part),
        TEST(verify_finds_log_for_no_set),
        TEST(verify_finds_log_with_a_stamp_that_was_never_given),
        TEST(verify_finds_tombstone_of_an_author_that_there_is_not),
        TEST(verify_finds_tombstone_without_a_key),
        TEST(verify_finds_set_of_buckets_that_there_are_not),
        TEST(verify_finds_view_that_cannot_be_read),
        TEST(verify_finds_device_that_held_what_there_is_not),
        TEST(verify_finds_row_that_lay_nowhere),
        TEST(verify_finds_grant_for_nobody),
        TEST(verify_finds_row_in_a_set_without_rules),
        TEST(verify_finds_result_of_an_author_that_there_is_not),
        TEST(verify_finds_result_of_a_commit_to_come),
        TEST(verify_finds_result_above_its_author_s_last_one),
        TEST(verify_finds_refusal_that_is_gone),
        TEST(verify_finds_refusal_whose_changes_cannot_be_read),
        TEST(verify_finds_refusal_that_is_settled_and_still_holds_rows),
        TEST(verify_finds_part_that_cannot_be_read),
        TEST(verify_finds_part_of_an_author_that_there_is_not),
        TEST(verify_finds_conflict_that_cannot_be_read),
        TEST(verify_finds_conflict_of_an_author_that_there_is_not),
        TEST(verify_finds_device_that_has_more_than_there_is),
        TEST(verify_finds_author_without_a_device),
        TEST(verify_finds_epoch_that_begins_in_the_future),
        TEST(verify_finds_backup_of_the_future),
        TEST(verify_finds_migration_that_is_gone),
        TEST(verify_finds_column_that_is_nobody_s),
        TEST(verify_finds_value_that_a_check_forbids),
        TEST(verify_of_files_sees_the_same_through_its_own_connection),
        TEST(verify_of_files_is_given_up_when_nobody_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
