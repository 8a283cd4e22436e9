#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"
#include "tests/support/captured.h"

static captured x;

#define CONTACT "CREATE TABLE contact(id INTEGER PRIMARY KEY, name TEXT, age, UNIQUE_TAG TEXT);"

static int open_contact(void **state) {
    (void)state;
    captured_open(&x, ":memory:", CONTACT, (const char *[]){"contact", NULL});
    return 0;
}

static int close_all(void **state) {
    (void)state;
    captured_close(&x);
    return 0;
}

#define FILE_NAME "test_capture.db"

static void remove_file(void) {
    unlink(FILE_NAME);
    unlink(FILE_NAME "-journal");
    unlink(FILE_NAME "-wal");
    unlink(FILE_NAME "-shm");
}

static int open_contact_file(void **state) {
    (void)state;
    remove_file();
    captured_open(&x, FILE_NAME, CONTACT, (const char *[]){"contact", NULL});
    return 0;
}

static int close_file(void **state) {
    close_all(state);
    remove_file();
    return 0;
}

/* Opens a database for one test body; the body closes it with close_all. */
static void open_with(const char *sql, const char *table) {
    captured_open(&x, ":memory:", sql, (const char *[]){table, NULL});
}

/* What sqlite3_errmsg said of the last refusal. */
static char refusal[512];

static void assert_refused(const char *sql, int code, const char *words) {
    exec_fails(x.db, sql, SQLITE_CONSTRAINT);
    snprintf(refusal, sizeof refusal, "%s", sqlite3_errmsg(x.db));
    assert_int_equal(capture_error_code(x.capture), code);
    if (!strstr(capture_error(x.capture), words)) fail_msg("\"%s\" does not say \"%s\"", capture_error(x.capture), words);
    assert_true(sqlite3_get_autocommit(x.db));
    assert_int_equal(outbox_count(&x), 0);
}

/* ---- plain capture ---- */

static void capture_autocommit_statements_are_one_changeset_each(void **state) {
    (void)state;
    exec(x.db, "INSERT INTO contact VALUES(1, 'Ada', 36, NULL)");
    assert_string_equal(outbox_last(&x), "I contact(1,'Ada',36,NULL)");
    exec(x.db, "UPDATE contact SET age = 37.5 WHERE id = 1");
    assert_string_equal(outbox_last(&x), "U contact(1) 2:36>37.5000");
    exec(x.db, "DELETE FROM contact");
    assert_string_equal(outbox_last(&x), "D contact(1,'Ada',37.5000,NULL)");
    assert_int_equal(outbox_count(&x), 3);
    assert_int_equal(x.committed, 3);
}

static void capture_transaction_is_one_changeset(void **state) {
    (void)state;
    exec(x.db, "BEGIN; INSERT INTO contact VALUES(1, 'a', 1, NULL); INSERT INTO contact VALUES(2, 'b', 2, NULL); COMMIT");
    assert_string_equal(outbox_last(&x), "I contact(1,'a',1,NULL) I contact(2,'b',2,NULL)");
    assert_int_equal(outbox_count(&x), 1);
    assert_int_equal(query(x.db, "SELECT last FROM outbox"), 1);
}

static void capture_rollback_leaves_nothing(void **state) {
    (void)state;
    exec(x.db, "BEGIN; INSERT INTO contact VALUES(1, 'a', 1, NULL); ROLLBACK");
    exec(x.db, "BEGIN; INSERT INTO contact VALUES(2, 'b', 2, NULL); COMMIT");
    assert_string_equal(outbox_last(&x), "I contact(2,'b',2,NULL)");
}

static void capture_statement_without_effect_writes_no_outbox(void **state) {
    (void)state;
    exec(x.db, "INSERT INTO contact VALUES(1, 'a', 1, NULL)");
    exec(
        x.db,
        "UPDATE contact SET name = 'a'; DELETE FROM contact WHERE id = 9; INSERT OR IGNORE INTO contact VALUES(1, 'b', 2, NULL)");
    exec(x.db, "BEGIN; UPDATE contact SET name = 'b'; UPDATE contact SET name = 'a'; COMMIT");
    exec(x.db, "BEGIN; INSERT INTO contact VALUES(2, 'a', 1, NULL); DELETE FROM contact WHERE id = 2; COMMIT");
    assert_int_equal(outbox_count(&x), 1);
}

static void capture_sink_refusal_vetoes_the_commit(void **state) {
    (void)state;
    x.refuse = SATCHEL_E_FULL;
    exec_fails(x.db, "INSERT INTO contact VALUES(1, 'a', 1, NULL)", SQLITE_FULL);
    assert_string_equal(sqlite3_errmsg(x.db), satchel_rc_text(SATCHEL_E_FULL));
    assert_int_equal(capture_error_code(x.capture), SATCHEL_E_FULL);
    assert_int_equal(query(x.db, "SELECT count(*) FROM contact"), 0);
    assert_int_equal(x.rolled_back, 1);
    x.refuse = SATCHEL_OK;
    exec(x.db, "INSERT INTO contact VALUES(2, 'a', 1, NULL)");
    assert_string_equal(outbox_last(&x), "I contact(2,'a',1,NULL)");
    assert_string_equal(capture_error(x.capture), "");
}

static void capture_sink_that_fills_the_disk_ends_the_transaction(void **state) {
    (void)state;
    exec(x.db, "INSERT INTO contact VALUES(1, 'a', 1, NULL)");
    char sql[64];
    snprintf(sql, sizeof sql, "PRAGMA max_page_count = %d", (int)query(x.db, "PRAGMA page_count") + 12);
    exec(x.db, sql);
    exec(x.db, "BEGIN; INSERT INTO contact VALUES(2, zeroblob(30000), 2, NULL)");
    exec_fails(x.db, "COMMIT", SQLITE_FULL);
    assert_int_equal(capture_error_code(x.capture), SATCHEL_E_FULL);
    assert_true(sqlite3_get_autocommit(x.db));
    assert_int_equal(query(x.db, "SELECT count(*) FROM contact"), 1);
    exec(x.db, "UPDATE contact SET age = 3");
    assert_string_equal(outbox_last(&x), "U contact(1) 2:1>3");
    assert_int_equal(outbox_count(&x), 2);
}

static unsigned opened;

static int open_and_learn(captured *c) {
    opened++;
    capture_set_schema(c->capture, c->schema);
    return c->refuse;
}

static void capture_sink_open_may_set_the_schema_before_anything_is_recorded(void **state) {
    (void)state;
    captured_open(&x, ":memory:", CONTACT "CREATE TABLE late(id INTEGER PRIMARY KEY)", (const char *[]){"contact", "late", NULL});
    capture_set_schema(x.capture, NULL);
    x.on_open = open_and_learn;
    opened = 0;
    exec(x.db, "INSERT INTO late VALUES(1)");
    assert_string_equal(outbox_last(&x), "I late(1)");
    exec(x.db,
         "BEGIN; CREATE TEMP TABLE junk(a); INSERT INTO late VALUES(2); SAVEPOINT s; CREATE TEMP TABLE more(a); ROLLBACK TO s;"
         "INSERT INTO contact VALUES(3, 'c', 1, NULL); COMMIT");
    assert_string_equal(outbox_last(&x), "I late(2) I contact(3,'c',1,NULL)");
    assert_int_equal(opened, 2);
    x.refuse = SATCHEL_E_SCHEMA;
    exec_fails(x.db, "INSERT INTO late VALUES(4)", SQLITE_CONSTRAINT);
    assert_string_equal(sqlite3_errmsg(x.db), satchel_rc_text(SATCHEL_E_SCHEMA));
    x.refuse = SATCHEL_OK;
    exec(x.db, "INSERT INTO late VALUES(5)");
    assert_string_equal(outbox_last(&x), "I late(5)");
    close_all(state);
}

/* ---- C1 ---- */

static void C1_rollback_to_outermost_savepoint_forgets_everything(void **state) {
    (void)state;
    exec(x.db, "SAVEPOINT s; INSERT INTO contact VALUES(1, 'a', 1, NULL); ROLLBACK TO s;"
               "INSERT INTO contact VALUES(2, 'b', 2, NULL); RELEASE s");
    assert_string_equal(outbox_last(&x), "I contact(2,'b',2,NULL)");
}

static void C1_savepoints_opened_before_the_first_write_forget_it_on_rollback(void **state) {
    (void)state;
    exec(x.db, "BEGIN; SAVEPOINT a; SAVEPOINT b; SAVEPOINT c; INSERT INTO contact VALUES(1, 'a', 1, NULL); ROLLBACK TO b;"
               "INSERT INTO contact VALUES(2, 'b', 2, NULL); RELEASE a; COMMIT");
    assert_string_equal(outbox_last(&x), "I contact(2,'b',2,NULL)");
}

static void C1_marks_of_one_transaction_do_not_reach_the_next(void **state) {
    (void)state;
    exec(
        x.db,
        "BEGIN; INSERT INTO contact VALUES(1, 'a', 1, NULL); SAVEPOINT a; SAVEPOINT b; INSERT INTO contact VALUES(2, 'b', 2, NULL);"
        "COMMIT");
    exec(
        x.db,
        "BEGIN; SAVEPOINT a; SAVEPOINT b; INSERT INTO contact VALUES(3, 'c', 3, NULL), (4, 'd', 4, NULL); ROLLBACK TO a; COMMIT");
    assert_int_equal(outbox_count(&x), 1);
}

static void C1_nested_savepoints_roll_back_and_release_level_by_level(void **state) {
    (void)state;
    exec(x.db,
         "BEGIN; INSERT INTO contact VALUES(1, 'a', 1, NULL); SAVEPOINT a; INSERT INTO contact VALUES(2, 'b', 2, NULL);"
         "SAVEPOINT b; INSERT INTO contact VALUES(3, 'c', 3, NULL); ROLLBACK TO b; INSERT INTO contact VALUES(4, 'd', 4, NULL);"
         "ROLLBACK TO b; INSERT INTO contact VALUES(5, 'e', 5, NULL); RELEASE b; SAVEPOINT c;"
         "INSERT INTO contact VALUES(6, 'f', 6, NULL); ROLLBACK TO c; COMMIT");
    assert_string_equal(outbox_last(&x), "I contact(1,'a',1,NULL) I contact(2,'b',2,NULL) I contact(5,'e',5,NULL)");
}

static void C1_schema_change_in_the_transaction_keeps_the_marks(void **state) {
    (void)state;
    exec(x.db, "BEGIN; SAVEPOINT a; CREATE TEMP TABLE one(a); INSERT INTO contact VALUES(1, 'a', 1, NULL); ROLLBACK TO a;"
               "SAVEPOINT b; INSERT INTO contact VALUES(2, 'b', 2, NULL); SAVEPOINT c; CREATE TEMP TABLE two(a);"
               "INSERT INTO contact VALUES(3, 'c', 3, NULL); ROLLBACK TO c; INSERT INTO contact VALUES(4, 'd', 4, NULL);"
               "ROLLBACK TO c; INSERT INTO contact VALUES(5, 'e', 5, NULL); COMMIT");
    assert_string_equal(outbox_last(&x), "I contact(2,'b',2,NULL) I contact(5,'e',5,NULL)");
    assert_int_equal(x.begun, 1);
    assert_int_equal(x.committed, 1);
}

static void C1_deeper_savepoints_than_the_limit_are_refused(void **state) {
    (void)state;
    exec(x.db, "BEGIN; INSERT INTO contact VALUES(1, 'a', 1, NULL)");
    for (int i = 0; i <= LIMIT_SAVEPOINTS; i++) exec(x.db, "SAVEPOINT s");
    assert_refused("COMMIT", SATCHEL_E_TOO_LARGE, "larger than the limit");
}

/* ---- C2 ---- */

/* The connection commits in rollback-journal mode while another reads: BUSY after xSync has run. */
static sqlite3 *make_busy(void) {
    sqlite3 *reader;
    assert_int_equal(sqlite3_open(FILE_NAME, &reader), SQLITE_OK);
    exec(reader, "BEGIN; SELECT count(*) FROM outbox");
    return reader;
}

static void C2_commit_after_busy_hands_over_the_whole_record_once(void **state) {
    (void)state;
    sqlite3 *reader = make_busy();
    exec(x.db, "BEGIN; INSERT INTO contact VALUES(1, 'a', 1, NULL)");
    exec_fails(x.db, "COMMIT", SQLITE_BUSY);
    exec(x.db, "INSERT INTO contact VALUES(2, 'b', 2, NULL)");
    exec_fails(x.db, "COMMIT", SQLITE_BUSY);
    sqlite3_close(reader);
    exec(x.db, "COMMIT");
    assert_int_equal(x.begun, 3);
    assert_int_equal(x.begun_again, 2);
    assert_int_equal(outbox_count(&x), 1);
    assert_string_equal(outbox_last(&x), "I contact(1,'a',1,NULL) I contact(2,'b',2,NULL)");
    assert_int_equal(x.committed, 1);
}

static void C2_rollback_to_after_busy_restores_what_the_savepoint_took(void **state) {
    (void)state;
    sqlite3 *reader = make_busy();
    exec(x.db, "BEGIN; INSERT INTO contact VALUES(1, 'a', 1, NULL); SAVEPOINT s");
    exec_fails(x.db, "COMMIT", SQLITE_BUSY);
    exec(x.db, "ROLLBACK TO s"); /* takes the outbox row away with it */
    sqlite3_close(reader);
    exec(x.db, "COMMIT");
    assert_string_equal(outbox_last(&x), "I contact(1,'a',1,NULL)");
}

static void C2_record_that_became_empty_after_busy_takes_its_outbox_row_back(void **state) {
    (void)state;
    sqlite3 *reader = make_busy();
    exec(x.db, "BEGIN; INSERT INTO contact VALUES(1, 'a', 1, NULL)");
    exec_fails(x.db, "COMMIT", SQLITE_BUSY);
    exec(x.db, "DELETE FROM contact");
    sqlite3_close(reader);
    exec(x.db, "COMMIT");
    assert_int_equal(outbox_count(&x), 0);
    assert_int_equal(x.begun_again, 1);
}

static void C2_rollback_after_busy_leaves_nothing(void **state) {
    (void)state;
    sqlite3 *reader = make_busy();
    exec(x.db, "BEGIN; INSERT INTO contact VALUES(1, 'a', 1, NULL)");
    exec_fails(x.db, "COMMIT", SQLITE_BUSY);
    exec(x.db, "ROLLBACK");
    sqlite3_close(reader);
    exec(x.db, "INSERT INTO contact VALUES(2, 'b', 2, NULL)");
    assert_int_equal(outbox_count(&x), 1);
    assert_string_equal(outbox_last(&x), "I contact(2,'b',2,NULL)");
    assert_int_equal(x.rolled_back, 1);
}

static void C2_autocommit_that_is_busy_leaves_nothing(void **state) {
    (void)state;
    sqlite3 *reader = make_busy();
    exec_fails(x.db, "INSERT INTO contact VALUES(1, 'a', 1, NULL)", SQLITE_BUSY);
    sqlite3_close(reader);
    exec(x.db, "INSERT INTO contact VALUES(2, 'b', 2, NULL)");
    assert_string_equal(outbox_last(&x), "I contact(2,'b',2,NULL)");
    assert_int_equal(outbox_count(&x), 1);
}

/* ---- C3 ---- */

static int blob_write(const char *text) {
    sqlite3_blob *blob;
    assert_int_equal(sqlite3_blob_open(x.db, "main", "contact", "name", 1, 1, &blob), SQLITE_OK);
    assert_int_equal(sqlite3_blob_write(blob, text, 1, 0), SQLITE_OK);
    return sqlite3_blob_close(blob);
}

static void C3_blob_write_alone_is_refused_in_words(void **state) {
    (void)state;
    exec(x.db, "INSERT INTO contact VALUES(1, 'abc', 1, NULL); DELETE FROM outbox");
    assert_int_equal(blob_write("X") & 0xff, SQLITE_CONSTRAINT);
    assert_int_equal(capture_error_code(x.capture), SATCHEL_E_BLOB_WRITE);
    assert_non_null(strstr(capture_error(x.capture), "sqlite3_blob_write"));
    assert_int_equal(query(x.db, "SELECT name = 'abc' FROM contact"), 1);
    exec(x.db, "UPDATE contact SET age = 2");
    assert_string_equal(outbox_last(&x), "U contact(1) 2:1>2");
}

static void C3_blob_write_among_other_changes_is_refused_in_words(void **state) {
    (void)state;
    exec(x.db, "INSERT INTO contact VALUES(1, 'abc', 1, NULL); DELETE FROM outbox; BEGIN; UPDATE contact SET age = 2");
    assert_int_equal(blob_write("X"), SQLITE_OK);
    assert_refused("COMMIT", SATCHEL_E_BLOB_WRITE, "use UPDATE");
    assert_non_null(strstr(refusal, "use UPDATE"));
    assert_int_equal(query(x.db, "SELECT name = 'abc' AND age = 1 FROM contact"), 1);
}

static void C3_dropped_trigger_ends_in_a_veto(void **state) {
    (void)state;
    exec(x.db, "DROP TRIGGER satchel_1_insert");
    assert_refused("INSERT INTO contact VALUES(1, 'a', 1, NULL)", SATCHEL_E_UNFLUSHED, "past the capture triggers");
    exec(x.db, "BEGIN; INSERT INTO contact VALUES(1, 'a', 1, NULL)");
    assert_refused("COMMIT", SATCHEL_E_UNFLUSHED, "past the capture triggers");
    assert_int_equal(query(x.db, "SELECT count(*) FROM contact"), 0);
}

static void C3_change_past_the_triggers_before_a_guarded_one_is_refused(void **state) {
    (void)state;
    exec(x.db, "INSERT INTO contact VALUES(1, 'a', 1, NULL); DELETE FROM outbox; DROP TRIGGER satchel_1_insert");
    exec(
        x.db,
        "BEGIN; SAVEPOINT s; INSERT INTO contact VALUES(2, 'b', 2, NULL); UPDATE contact SET age = 5 WHERE id = 1; ROLLBACK TO s");
    assert_refused("COMMIT", SATCHEL_E_UNFLUSHED, "past the capture triggers");
}

static void C3_rollback_of_a_change_past_the_triggers_forgets_it(void **state) {
    (void)state;
    exec(x.db, "DROP TRIGGER satchel_1_insert; BEGIN; INSERT INTO contact VALUES(1, 'a', 1, NULL); ROLLBACK");
    exec(x.db, "CREATE TABLE other(a); INSERT INTO other VALUES(1)");
    assert_int_equal(outbox_count(&x), 0);
}

static void C3_disabled_triggers_end_in_a_veto(void **state) {
    (void)state;
    sqlite3_db_config(x.db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    assert_refused("INSERT INTO contact VALUES(1, 'a', 1, NULL)", SATCHEL_E_UNFLUSHED, "past the capture triggers");
    assert_refused("BEGIN; INSERT INTO contact VALUES(1, 'a', 1, NULL); COMMIT", SATCHEL_E_UNFLUSHED,
                   "past the capture triggers");
}

static void C3_triggers_removed_by_writable_schema_end_in_a_veto(void **state) {
    (void)state;
    exec(x.db, "PRAGMA writable_schema = ON; DELETE FROM sqlite_schema WHERE type = 'trigger'; PRAGMA writable_schema = RESET");
    assert_refused("INSERT INTO contact VALUES(1, 'a', 1, NULL)", SATCHEL_E_UNFLUSHED, "past the capture triggers");
}

static void C3_rebuilt_table_ends_in_a_veto(void **state) {
    (void)state;
    exec(x.db, "INSERT INTO contact VALUES(1, 'a', 1, NULL); DELETE FROM outbox");
    assert_refused(
        "BEGIN; CREATE TABLE new_contact(id INTEGER PRIMARY KEY, name TEXT, age, UNIQUE_TAG TEXT);"
        "DROP TABLE contact; ALTER TABLE new_contact RENAME TO contact; INSERT INTO contact VALUES(2, 'b', 2, NULL); COMMIT",
        SATCHEL_E_UNFLUSHED, "past the capture triggers");
    assert_int_equal(query(x.db, "SELECT id FROM contact"), 1);
}

static void check_says(int code, const char *text) {
    buf error = {0};
    assert_int_equal(capture_check(x.db, x.schema, &error), code);
    buf_put_byte(&error, 0);
    if (!strstr((const char *)error.p, text)) fail_msg("\"%s\" does not say \"%s\"", (const char *)error.p, text);
    buf_fini(&error);
}

static void C3_check_finds_dropped_and_changed_triggers(void **state) {
    (void)state;
    check_says(SATCHEL_OK, "");
    exec(x.db, "DROP TRIGGER satchel_1_update");
    check_says(SATCHEL_E_UNFLUSHED, "satchel_1_update on table \"contact\" was dropped");
    exec(x.db,
         "CREATE TRIGGER satchel_1_update AFTER UPDATE OF name ON contact WHEN 0 BEGIN INSERT INTO satchel_tap VALUES(1); END");
    check_says(SATCHEL_E_UNFLUSHED, "satchel_1_update on table \"contact\" was changed");
    captured_refresh(&x, (const char *[]){"contact", NULL});
    check_says(SATCHEL_OK, "");
    sqlite3_db_config(x.db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    check_says(SATCHEL_E_UNFLUSHED, "switched off");
}

static void C3_check_finds_a_table_that_is_not_as_described(void **state) {
    (void)state;
    exec(x.db, "ALTER TABLE contact ADD COLUMN more");
    check_says(SATCHEL_E_TABLE_SHAPE, "table \"contact\" cannot be synced: its columns are not those of the schema");
}

static void C3_columns_changed_under_capture_end_in_a_veto(void **state) {
    (void)state;
    exec(x.db, "ALTER TABLE contact ADD COLUMN more");
    assert_refused("INSERT INTO contact VALUES(1, 'a', 1, NULL, 2)", SATCHEL_E_TABLE_SHAPE, "contact");
}

static void C3_plain_connection_fails_on_write_and_reads_freely(void **state) {
    (void)state;
    exec(x.db, "INSERT INTO contact VALUES(1, 'a', 1, NULL)");
    sqlite3 *plain;
    assert_int_equal(sqlite3_open(FILE_NAME, &plain), SQLITE_OK);
    assert_int_equal(query(plain, "SELECT count(*) FROM contact"), 1);
    exec_fails(plain, "INSERT INTO contact VALUES(2, 'b', 2, NULL)", SQLITE_ERROR);
    assert_non_null(strstr(sqlite3_errmsg(plain), "satchel_tap"));
    exec_fails(plain, "DELETE FROM contact", SQLITE_ERROR);
    sqlite3_close(plain);
}

static void C3_trusted_schema_off_changes_nothing(void **state) {
    (void)state;
    exec(x.db, "PRAGMA trusted_schema = OFF");
    exec(x.db, "INSERT INTO contact VALUES(1, 'a', 1, NULL)");
    assert_string_equal(outbox_last(&x), "I contact(1,'a',1,NULL)");
}

static void C3_install_again_changes_nothing_and_drops_triggers_of_gone_tables(void **state) {
    (void)state;
    exec(x.db, "CREATE TABLE t(a PRIMARY KEY)");
    captured_refresh(&x, (const char *[]){"contact", "t", NULL});
    int64_t version = query(x.db, "PRAGMA schema_version");
    captured_refresh(&x, (const char *[]){"contact", "t", NULL});
    assert_int_equal(query(x.db, "PRAGMA schema_version"), version);
    assert_int_equal(query(x.db, "SELECT count(*) FROM sqlite_schema WHERE type = 'trigger'"), 6);
    captured_refresh(&x, (const char *[]){"contact", NULL});
    assert_int_equal(query(x.db, "SELECT count(*) FROM sqlite_schema WHERE type = 'trigger'"), 3);
    exec(x.db, "INSERT INTO t VALUES(1)");
    assert_int_equal(outbox_count(&x), 0);
}

/* ---- C4 ---- */

static void C4_stored_generated_columns_and_the_row_clock_are_left_out(void **state) {
    (void)state;
    open_with("CREATE TABLE t(a INT, twice AS (a * 2) STORED, id TEXT PRIMARY KEY, satchel_clock BLOB, r REAL,"
              " shout TEXT AS (upper(id)) STORED, z)",
              "t");
    exec(x.db, "INSERT INTO t(a, id, satchel_clock, r, z) VALUES(4, 'k', x'01', 2, 'last')");
    assert_string_equal(outbox_last(&x), "I t(4,'k',2.00000,'last')");
    exec(x.db, "UPDATE t SET a = 5, z = 'end'");
    assert_string_equal(outbox_last(&x), "U t('k') 0:4>5 3:'last'>'end'");
    exec(x.db, "UPDATE t SET satchel_clock = x'02'");
    assert_int_equal(outbox_count(&x), 2);
    exec(x.db, "DELETE FROM t");
    assert_string_equal(outbox_last(&x), "D t(5,'k',2.00000,'end')");
    close_all(state);
}

static void C4_virtual_generated_column_is_refused(void **state) {
    (void)state;
    open_contact(state);
    exec(x.db, "CREATE TABLE v(id PRIMARY KEY, twice AS (id * 2))");
    schema *s = captured_schema(x.db, (const char *[]){"v", NULL});
    buf error = {0};
    assert_int_equal(capture_install(x.db, s, &error), SATCHEL_E_TABLE_SHAPE);
    buf_put_byte(&error, 0);
    assert_non_null(strstr((const char *)error.p, "STORED"));
    buf_fini(&error);
    captured_schema_free(s);
    close_all(state);
}

static void C4_without_rowid_table_whose_numbers_would_be_misread_is_refused(void **state) {
    (void)state;
    open_contact(state);
    exec(x.db, "CREATE TABLE bad(r REAL, n INTEGER, k INTEGER PRIMARY KEY) WITHOUT ROWID;"
               "CREATE TABLE fine(r REAL, k TEXT PRIMARY KEY, n INTEGER) WITHOUT ROWID");
    schema *s = captured_schema(x.db, (const char *[]){"bad", NULL});
    buf error = {0};
    assert_int_equal(capture_install(x.db, s, &error), SATCHEL_E_TABLE_SHAPE);
    buf_put_byte(&error, 0);
    assert_non_null(strstr((const char *)error.p, "key columns first"));
    buf_fini(&error);
    captured_schema_free(s);
    captured_refresh(&x, (const char *[]){"fine", NULL});
    exec(x.db, "INSERT INTO fine VALUES(2, 'k', 3)");
    assert_string_equal(outbox_last(&x), "I fine(2.00000,'k',3)");
    exec(x.db, "UPDATE fine SET r = 4, n = 5");
    assert_string_equal(outbox_last(&x), "U fine('k') 0:2.00000>4.00000 2:3>5");
    exec(x.db, "DELETE FROM fine");
    assert_string_equal(outbox_last(&x), "D fine(4.00000,'k',5)");
    close_all(state);
}

/* ---- C6 ---- */

static void C6_last_insert_rowid_is_what_plain_sqlite_gives(void **state) {
    (void)state;
    exec(x.db, "CREATE TABLE pad(a); INSERT INTO pad VALUES(1), (2), (3)");
    exec(x.db, "INSERT INTO contact VALUES(77, 'a', 1, NULL)");
    assert_int_equal(sqlite3_last_insert_rowid(x.db), 77);
    exec(x.db, "BEGIN; INSERT INTO contact VALUES(88, 'a', 1, NULL); COMMIT");
    assert_int_equal(sqlite3_last_insert_rowid(x.db), 88);
}

static void C6_changes_of_an_autocommit_statement_is_what_plain_sqlite_gives(void **state) {
    (void)state;
    exec(x.db, "INSERT INTO contact VALUES(1, 'a', 1, NULL), (2, 'b', 2, NULL), (3, 'c', 3, NULL)");
    assert_int_equal(sqlite3_changes(x.db), 3);
    exec(x.db, "UPDATE contact SET age = 0 WHERE id < 3");
    assert_int_equal(sqlite3_changes(x.db), 2);
    exec(x.db, "BEGIN; DELETE FROM contact");
    assert_int_equal(sqlite3_changes(x.db), 3);
    exec(x.db, "COMMIT");
}

static void C6_temp_and_attached_tables_of_the_same_name_are_not_captured(void **state) {
    (void)state;
    exec(
        x.db,
        "ATTACH ':memory:' AS other; CREATE TABLE other.contact(id INTEGER PRIMARY KEY, name);"
        "CREATE TEMP TABLE contact(id, name); INSERT INTO temp.contact VALUES(1, 'a'); INSERT INTO other.contact VALUES(2, 'b')");
    exec(x.db, "BEGIN; UPDATE temp.contact SET name = 'z'; DELETE FROM other.contact; COMMIT");
    assert_int_equal(outbox_count(&x), 0);
    exec(x.db, "INSERT INTO main.contact VALUES(1, 'm', 1, NULL)");
    assert_string_equal(outbox_last(&x), "I contact(1,'m',1,NULL)");
}

static void C6_synced_table_of_an_attached_satchel_file_cannot_be_written(void **state) {
    (void)state;
    sqlite3 *other;
    assert_int_equal(sqlite3_open(":memory:", &other), SQLITE_OK);
    assert_int_equal(capture_functions(other, true), SATCHEL_OK);
    exec(other, "ATTACH '" FILE_NAME "' AS a");
    exec_fails(other, "INSERT INTO a.contact VALUES(1, 'a', 1, NULL)", SQLITE_ERROR);
    sqlite3_close(other);
    captured second;
    captured_open(&second, ":memory:", CONTACT, (const char *[]){"contact", NULL});
    exec(second.db, "ATTACH '" FILE_NAME "' AS a");
    exec_fails(second.db, "INSERT INTO a.contact VALUES(1, 'a', 1, NULL)", SQLITE_ERROR);
    assert_non_null(strstr(sqlite3_errmsg(second.db), "attached"));
    exec(second.db, "INSERT INTO contact VALUES(1, 'a', 1, NULL)");
    assert_int_equal(outbox_count(&second), 1);
    captured_close(&second);
}

static void C6_other_session_on_the_connection_vetoes_the_commit(void **state) {
    (void)state;
    sqlite3_session *session;
    assert_int_equal(sqlite3session_create(x.db, "main", &session), SQLITE_OK);
    sqlite3session_attach(session, NULL);
    assert_refused("INSERT INTO contact VALUES(1, 'a', 1, NULL)", SATCHEL_E_HOOK, "replaced the preupdate hook");
    assert_non_null(strstr(refusal, "preupdate"));
    sqlite3session_delete(session);
    exec(x.db, "INSERT INTO contact VALUES(1, 'a', 1, NULL)");
    assert_string_equal(outbox_last(&x), "I contact(1,'a',1,NULL)");
}

static void C6_session_created_within_the_transaction_vetoes_the_commit(void **state) {
    (void)state;
    sqlite3_session *session;
    exec(x.db, "BEGIN; INSERT INTO contact VALUES(1, 'a', 1, NULL)");
    assert_int_equal(sqlite3session_create(x.db, "main", &session), SQLITE_OK);
    sqlite3session_attach(session, "contact");
    exec(x.db, "INSERT INTO contact VALUES(2, 'b', 2, NULL)");
    sqlite3session_delete(session);
    exec(x.db, "INSERT INTO contact VALUES(3, 'c', 3, NULL)");
    assert_refused("COMMIT", SATCHEL_E_HOOK, "replaced the preupdate hook");
}

static void C6_session_that_came_and_went_between_statements_loses_nothing(void **state) {
    (void)state;
    sqlite3_session *session;
    exec(x.db, "BEGIN; INSERT INTO contact VALUES(1, 'a', 1, NULL)");
    assert_int_equal(sqlite3session_create(x.db, "main", &session), SQLITE_OK);
    sqlite3session_delete(session); /* leaves the session's own hook behind, with our argument */
    exec(x.db, "INSERT INTO contact VALUES(2, 'b', 2, NULL); COMMIT");
    assert_string_equal(outbox_last(&x), "I contact(1,'a',1,NULL) I contact(2,'b',2,NULL)");
}

static int other_commit_hook(void *arg) {
    (void)arg;
    return 0;
}

static void C6_other_commit_hook_vetoes_the_commit(void **state) {
    (void)state;
    int arg;
    sqlite3_commit_hook(x.db, other_commit_hook, &arg);
    assert_refused("INSERT INTO contact VALUES(1, 'a', 1, NULL)", SATCHEL_E_HOOK, "hook");
}

static void C6_changes_of_one_row_are_consolidated(void **state) {
    (void)state;
    exec(x.db, "INSERT INTO contact VALUES(1, 'a', 1, NULL), (2, 'b', 2, NULL), (3, 'c', 3, NULL)");
    exec(x.db, "BEGIN; UPDATE contact SET name = 'x' WHERE id = 1; UPDATE contact SET name = 'y', age = 9 WHERE id = 1;"
               "INSERT INTO contact VALUES(4, 'd', 4, NULL); UPDATE contact SET name = 'dd' WHERE id = 4;"
               "UPDATE contact SET age = 5 WHERE id = 2; DELETE FROM contact WHERE id = 2;"
               "DELETE FROM contact WHERE id = 3; INSERT INTO contact VALUES(3, 'c', 33, NULL); COMMIT");
    assert_string_equal(outbox_last(&x),
                        "U contact(1) 1:'a'>'y' 2:1>9 I contact(4,'dd',4,NULL) D contact(2,'b',2,NULL) U contact(3) 2:3>33");
}

static void C6_delete_and_insert_of_an_equal_row_is_nothing(void **state) {
    (void)state;
    exec(x.db, "INSERT INTO contact VALUES(1, 'a', 1, NULL); DELETE FROM outbox");
    exec(x.db, "BEGIN; UPDATE contact SET age = 7; DELETE FROM contact; INSERT INTO contact VALUES(1, 'a', 1, NULL); COMMIT");
    exec(x.db, "REPLACE INTO contact VALUES(1, 'a', 1, NULL)");
    assert_int_equal(outbox_count(&x), 0);
}

static void C6_integer_and_real_are_a_change(void **state) {
    (void)state;
    exec(x.db, "INSERT INTO contact VALUES(1, 'a', 1, NULL); UPDATE contact SET age = 1.0");
    assert_string_equal(outbox_last(&x), "U contact(1) 2:1>1.00000");
}

static void C6_replace_and_upsert_are_updates(void **state) {
    (void)state;
    exec(x.db, "INSERT INTO contact VALUES(1, 'a', 1, NULL); REPLACE INTO contact VALUES(1, 'b', 1, NULL)");
    assert_string_equal(outbox_last(&x), "U contact(1) 1:'a'>'b'");
    exec(x.db, "INSERT INTO contact VALUES(1, 'c', 9, NULL) ON CONFLICT DO UPDATE SET name = excluded.name");
    assert_string_equal(outbox_last(&x), "U contact(1) 1:'b'>'c'");
    exec(x.db, "INSERT INTO contact VALUES(1, 'd', 9, NULL) ON CONFLICT DO NOTHING");
    assert_int_equal(outbox_count(&x), 3);
}

static void C6_replace_of_another_rows_unique_value_deletes_that_row(void **state) {
    (void)state;
    exec(x.db, "CREATE UNIQUE INDEX tag ON contact(UNIQUE_TAG)");
    exec(x.db,
         "INSERT INTO contact VALUES(1, 'a', 1, 't'), (2, 'b', 2, 'u'); INSERT OR REPLACE INTO contact VALUES(3, 'c', 3, 't')");
    assert_string_equal(outbox_last(&x), "D contact(1,'a',1,'t') I contact(3,'c',3,'t')");
    exec(x.db, "UPDATE OR REPLACE contact SET UNIQUE_TAG = 'u' WHERE id = 3");
    assert_string_equal(outbox_last(&x), "D contact(2,'b',2,'u') U contact(3) 3:'t'>'u'");
}

static void C6_returning_is_captured_at_its_end(void **state) {
    (void)state;
    sqlite3_stmt *stmt;
    sqlite3_prepare_v2(x.db, "INSERT INTO contact VALUES(1, 'a', 1, NULL), (2, 'b', 2, NULL) RETURNING id", -1, &stmt, NULL);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    assert_int_equal(sqlite3_step(stmt), SQLITE_DONE);
    sqlite3_finalize(stmt);
    assert_string_equal(outbox_last(&x), "I contact(1,'a',1,NULL) I contact(2,'b',2,NULL)");
}

static void C6_foreign_key_actions_are_captured(void **state) {
    (void)state;
    captured_open(&x, ":memory:",
                  "CREATE TABLE p(id INTEGER PRIMARY KEY);"
                  "CREATE TABLE c(id INTEGER PRIMARY KEY, p REFERENCES p ON DELETE CASCADE ON UPDATE SET NULL)",
                  (const char *[]){"p", "c", NULL});
    exec(x.db, "PRAGMA foreign_keys = ON; INSERT INTO p VALUES(1), (2); INSERT INTO c VALUES(10, 1), (20, 2)");
    exec(x.db, "DELETE FROM p WHERE id = 1");
    assert_string_equal(outbox_last(&x), "D p(1) D c(10,1)");
    exec(x.db, "UPDATE p SET id = 3");
    assert_string_equal(outbox_last(&x), "D p(2) I p(3) U c(20) 1:2>NULL");
    close_all(state);
}

static void C6_statement_abort_takes_back_its_own_rows_alone(void **state) {
    (void)state;
    exec(x.db, "BEGIN; INSERT INTO contact VALUES(1, 'a', 1, NULL)");
    exec_fails(x.db, "INSERT INTO contact VALUES(2, 'b', 2, NULL), (1, 'x', 1, NULL)", SQLITE_CONSTRAINT);
    exec_fails(x.db, "INSERT OR FAIL INTO contact VALUES(3, 'c', 3, NULL), (1, 'x', 1, NULL)", SQLITE_CONSTRAINT);
    exec(x.db, "INSERT OR IGNORE INTO contact VALUES(1, 'x', 1, NULL), (4, 'd', 4, NULL)");
    exec(x.db, "COMMIT");
    assert_string_equal(outbox_last(&x), "I contact(1,'a',1,NULL) I contact(3,'c',3,NULL) I contact(4,'d',4,NULL)");
}

static void C6_statement_rollback_takes_back_the_transaction(void **state) {
    (void)state;
    exec(x.db, "BEGIN; INSERT INTO contact VALUES(1, 'a', 1, NULL)");
    exec_fails(x.db, "INSERT OR ROLLBACK INTO contact VALUES(2, 'b', 2, NULL), (1, 'x', 1, NULL)", SQLITE_CONSTRAINT);
    exec_fails(x.db, "INSERT INTO contact VALUES(2, 'b', 2, NULL), (2, 'x', 1, NULL)", SQLITE_CONSTRAINT);
    exec_fails(x.db, "INSERT OR FAIL INTO contact VALUES(3, 'c', 3, NULL), (3, 'x', 1, NULL)", SQLITE_CONSTRAINT);
    assert_int_equal(outbox_count(&x), 1);
    assert_string_equal(outbox_last(&x), "I contact(3,'c',3,NULL)");
}

static void C6_user_triggers_rows_are_captured(void **state) {
    (void)state;
    exec(x.db, "CREATE TABLE log(id INTEGER PRIMARY KEY, what)");
    captured_refresh(&x, (const char *[]){"contact", "log", NULL});
    exec(x.db, "CREATE TRIGGER u AFTER INSERT ON contact WHEN satchel_local() BEGIN INSERT INTO log(what) VALUES(new.name); END");
    exec(x.db, "INSERT INTO contact VALUES(1, 'a', 1, NULL)");
    assert_string_equal(outbox_last(&x), "I contact(1,'a',1,NULL) I log(1,'a')");
    capture_enable(x.capture, false);
    exec(x.db, "INSERT INTO contact VALUES(2, 'b', 2, NULL)");
    assert_int_equal(query(x.db, "SELECT count(*) FROM log"), 1);
}

/* ---- groups ---- */

static void capture_touched_group_travels_whole(void **state) {
    (void)state;
    open_with("CREATE TABLE d(id INTEGER PRIMARY KEY, g1_amount REAL, note, g1_currency TEXT)", "d");
    exec(x.db, "INSERT INTO d VALUES(1, 5, 'n', 'EUR'); UPDATE d SET g1_amount = 6");
    assert_string_equal(outbox_last(&x), "U d(1) 1:5.00000>6.00000 3:'EUR'>'EUR'");
    exec(x.db, "UPDATE d SET note = 'm'");
    assert_string_equal(outbox_last(&x), "U d(1) 2:'n'>'m'");
    exec(x.db, "BEGIN; UPDATE d SET g1_amount = 7; UPDATE d SET g1_currency = 'USD'; UPDATE d SET g1_amount = 6; COMMIT");
    assert_string_equal(outbox_last(&x), "U d(1) 1:6.00000>6.00000 3:'EUR'>'USD'");
    exec(x.db, "DELETE FROM outbox; BEGIN; UPDATE d SET g1_amount = 7; UPDATE d SET g1_amount = 6; COMMIT");
    assert_int_equal(outbox_count(&x), 0);
    exec(x.db, "BEGIN; DELETE FROM d; INSERT INTO d VALUES(1, 6, 'm', 'GBP'); COMMIT");
    assert_string_equal(outbox_last(&x), "U d(1) 1:6.00000>6.00000 3:'USD'>'GBP'");
    close_all(state);
}

/* ---- C7 ---- */

static void C7_large_transaction_comes_in_parts_each_a_changeset(void **state) {
    (void)state;
    exec(x.db, "WITH RECURSIVE i(n) AS (VALUES(1) UNION ALL SELECT n + 1 FROM i WHERE n < 4000)"
               "INSERT INTO contact SELECT n, printf('%0500d', n), n, NULL FROM i");
    assert_int_equal(outbox_count(&x), 1);
    assert_true(query(x.db, "SELECT count(*) FROM outbox") >= 8);
    assert_int_equal(query(x.db, "SELECT sum(last) FROM outbox"), 1);
    assert_int_equal(query(x.db, "SELECT last FROM outbox ORDER BY part DESC"), 1);
    assert_int_equal(query(x.db, "SELECT max(part) + 1 = count(*) FROM outbox"), 1);
    assert_true(query(x.db, "SELECT max(length(changes)) FROM outbox") <= LIMIT_PART_BYTES + 1024);
    const char *text = outbox_last(&x);
    unsigned rows = 0;
    for (; (text = strstr(text, "I contact(")); text++) rows++;
    assert_int_equal(rows, 4000);
}

static void C7_spilled_record_follows_savepoints(void **state) {
    (void)state;
    static const char fill[] = "WITH RECURSIVE i(n) AS (VALUES(1) UNION ALL SELECT n + 1 FROM i WHERE n < 300)"
                               "INSERT INTO contact SELECT n + 1000 * %d, zeroblob(30000), %d, NULL FROM i";
    char sql[256];
    exec(x.db, "BEGIN");
    for (int i = 0; i < 4; i++) {
        snprintf(sql, sizeof sql, "SAVEPOINT s%d", i);
        exec(x.db, sql);
        snprintf(sql, sizeof sql, fill, i, i);
        exec(x.db, sql);
    }
    exec(x.db, "ROLLBACK TO s2"); /* from about 36 MB back to 18 MB */
    exec(x.db, "INSERT INTO contact VALUES(-1, 'after', 1, NULL); UPDATE contact SET age = 100 WHERE id = 1; COMMIT");
    const char *text = outbox_last(&x);
    unsigned rows = 0;
    for (const char *p = text; (p = strstr(p, "I contact(")); p++) rows++;
    assert_int_equal(rows, 601);
    assert_non_null(strstr(text, "I contact(-1,'after',1,NULL)"));
    assert_non_null(strstr(text, ",100,NULL)"));
    exec(x.db, "UPDATE contact SET age = 7 WHERE id = -1");
    assert_string_equal(outbox_last(&x), "U contact(-1) 2:1>7");
}

static void C7_spill_that_fails_vetoes_the_commit(void **state) {
    (void)state;
    struct rlimit was, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    small = (struct rlimit){.rlim_cur = 100000, .rlim_max = was.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    exec(x.db, "PRAGMA temp_store = MEMORY; BEGIN; INSERT INTO contact VALUES(0, 'a', 1, NULL)");
    exec(x.db, "WITH RECURSIVE i(n) AS (VALUES(1) UNION ALL SELECT n + 1 FROM i WHERE n < 300)"
               "INSERT INTO contact SELECT n, zeroblob(30000), n, NULL FROM i");
    exec_fails(x.db, "COMMIT", SQLITE_IOERR);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
    assert_int_equal(capture_error_code(x.capture), SATCHEL_E_IO);
    assert_int_equal(query(x.db, "SELECT count(*) FROM contact"), 0);
    exec(x.db, "INSERT INTO contact VALUES(1, 'a', 1, NULL)");
    assert_int_equal(outbox_count(&x), 1);
    assert_string_equal(outbox_last(&x), "I contact(1,'a',1,NULL)");
}

/* ---- C8 ---- */

static void C8_connections_capture_their_own_changes(void **state) {
    (void)state;
    captured other;
    captured_open(&other, FILE_NAME, NULL, (const char *[]){"contact", NULL});
    exec(x.db, "INSERT INTO contact VALUES(1, 'a', 1, NULL)");
    exec(other.db, "UPDATE contact SET name = 'b'");
    assert_string_equal(outbox_last(&x), "U contact(1) 1:'a'>'b'");
    exec(x.db, "BEGIN; UPDATE contact SET age = 2");
    exec_fails(other.db, "UPDATE contact SET age = 3", SQLITE_BUSY);
    exec(x.db, "COMMIT");
    exec(other.db, "UPDATE contact SET age = 3");
    assert_string_equal(outbox_last(&x), "U contact(1) 2:2>3");
    assert_int_equal(outbox_count(&x), 4);
    assert_int_equal(x.committed, 2);
    captured_close(&other);
}

/* ---- C9 ---- */

static void C9_any_key_shape_is_captured(void **state) {
    (void)state;
    captured_open(
        &x, ":memory:",
        "CREATE TABLE composite(a, b TEXT, c, PRIMARY KEY(c, b));"
        "CREATE TABLE texts(k TEXT PRIMARY KEY, v); CREATE TABLE blobs(k BLOB PRIMARY KEY, v) WITHOUT ROWID;"
        "CREATE TABLE reals(v, k REAL PRIMARY KEY); CREATE TABLE wide(v, a INT, b INT, PRIMARY KEY(b, a)) WITHOUT ROWID",
        (const char *[]){"composite", "texts", "blobs", "reals", "wide", NULL});
    exec(x.db, "INSERT INTO composite VALUES(1, 'b', x'00'); UPDATE composite SET a = 2");
    assert_string_equal(outbox_last(&x), "U composite('b',x'00') 0:1>2");
    exec(x.db, "INSERT INTO texts VALUES('', 1); UPDATE texts SET v = 2");
    assert_string_equal(outbox_last(&x), "U texts('') 1:1>2");
    exec(x.db, "INSERT INTO blobs VALUES(x'', 1); UPDATE blobs SET v = 2");
    assert_string_equal(outbox_last(&x), "U blobs(x'') 1:1>2");
    exec(x.db, "INSERT INTO reals VALUES('v', 3); UPDATE reals SET v = 'w'");
    assert_string_equal(outbox_last(&x), "U reals(3.00000) 0:'v'>'w'");
    exec(x.db, "INSERT INTO wide VALUES(1, 2, 3); UPDATE wide SET v = 2");
    assert_string_equal(outbox_last(&x), "U wide(2,3) 0:1>2");
    exec(x.db, "DELETE FROM wide");
    assert_string_equal(outbox_last(&x), "D wide(2,2,3)");
    close_all(state);
}

static void C9_update_of_the_key_is_delete_and_insert(void **state) {
    (void)state;
    exec(x.db, "INSERT INTO contact VALUES(1, 'a', 1, NULL), (2, 'b', 2, NULL); UPDATE contact SET id = 5 WHERE id = 1");
    assert_string_equal(outbox_last(&x), "D contact(1,'a',1,NULL) I contact(5,'a',1,NULL)");
    exec(
        x.db,
        "BEGIN; UPDATE contact SET id = 9 WHERE id = 2; UPDATE contact SET id = 2 WHERE id = 5; UPDATE contact SET id = 5 WHERE id = 9;"
        "COMMIT");
    assert_string_equal(outbox_last(&x), "U contact(2) 1:'b'>'a' 2:2>1 U contact(5) 1:'a'>'b' 2:1>2");
}

static void C9_null_key_is_refused_in_words(void **state) {
    (void)state;
    open_with("CREATE TABLE t(k TEXT PRIMARY KEY, v)", "t");
    assert_refused("INSERT INTO t VALUES(NULL, 1)", SATCHEL_E_NULL_KEY, "table \"t\", column \"k\"");
    assert_non_null(strstr(refusal, "NULL in its primary key"));
    assert_refused("BEGIN; INSERT INTO t VALUES('a', 1); UPDATE t SET k = NULL; COMMIT", SATCHEL_E_NULL_KEY, "table \"t\"");
    exec(x.db, "BEGIN; INSERT INTO t VALUES('a', 1); SAVEPOINT s; INSERT INTO t VALUES(NULL, 1); ROLLBACK TO s; COMMIT");
    assert_string_equal(outbox_last(&x), "I t('a',1)");
    close_all(state);
}

static void C9_value_over_the_limit_is_refused_in_words(void **state) {
    (void)state;
    char sql[128];
    snprintf(sql, sizeof sql, "INSERT INTO contact VALUES(1, zeroblob(%u), 1, NULL)", LIMIT_VALUE_BYTES + 1);
    assert_refused(sql, SATCHEL_E_TOO_LARGE, "table \"contact\", column \"name\"");
    snprintf(sql, sizeof sql, "INSERT INTO contact VALUES(1, zeroblob(%u), zeroblob(%u), NULL)", LIMIT_VALUE_BYTES,
             LIMIT_VALUE_BYTES);
    assert_refused(sql, SATCHEL_E_TOO_LARGE, "table \"contact\"");
    snprintf(sql, sizeof sql, "INSERT INTO contact VALUES(1, zeroblob(%u), 1, NULL)", LIMIT_VALUE_BYTES);
    exec(x.db, sql);
    assert_int_equal(outbox_count(&x), 1);
}

static void C9_key_over_the_limit_is_refused_in_words(void **state) {
    (void)state;
    open_with("CREATE TABLE t(k TEXT PRIMARY KEY, v)", "t");
    char sql[128];
    snprintf(sql, sizeof sql, "INSERT INTO t VALUES(printf('%%0%ud', 1), 1)", LIMIT_KEY_BYTES);
    assert_refused(sql, SATCHEL_E_TOO_LARGE, "table \"t\"");
    close_all(state);
}

static void C9_text_that_is_no_utf8_is_refused_in_words(void **state) {
    (void)state;
    assert_refused("INSERT INTO contact VALUES(1, CAST(x'61ff' AS TEXT), 1, NULL)", SATCHEL_E_UTF8,
                   "table \"contact\", column \"name\"");
    exec(x.db, "INSERT INTO contact VALUES(1, x'61ff', 1, NULL)");
    assert_string_equal(outbox_last(&x), "I contact(1,x'61ff',1,NULL)");
}

static void C9_text_of_a_utf16_database_comes_as_utf8(void **state) {
    (void)state;
    remove_file();
    sqlite3 *db;
    assert_int_equal(sqlite3_open(FILE_NAME, &db), SQLITE_OK);
    exec(db, "PRAGMA encoding = 'UTF-16'; CREATE TABLE outbox(id INTEGER PRIMARY KEY, n, part, last, changes);"
             "CREATE TABLE t(k TEXT PRIMARY KEY, v TEXT)");
    sqlite3_close(db);
    captured_open(&x, FILE_NAME, NULL, (const char *[]){"t", NULL});
    exec(x.db, "INSERT INTO t VALUES('na\xc3\xafve', ''); UPDATE t SET v = '\xf0\x9f\x8e\x92'");
    assert_string_equal(outbox_last(&x), "U t('na\xc3\xafve') 1:''>'\xf0\x9f\x8e\x92'");
    close_file(state);
}

static void C9_reals_that_sqlite_stores_as_integers_come_as_reals(void **state) {
    (void)state;
    open_with("CREATE TABLE t(k INTEGER PRIMARY KEY, r REAL, d DOUBLE PRECISION, n NUMERIC, a)", "t");
    exec(x.db, "INSERT INTO t VALUES(1, 2, 3.0, 4.0, 5.0)");
    assert_string_equal(outbox_last(&x), "I t(1,2.00000,3.00000,4,5.00000)");
    exec(x.db, "UPDATE t SET r = 6, d = 7, n = 8, a = 9");
    assert_string_equal(outbox_last(&x), "U t(1) 1:2.00000>6.00000 2:3.00000>7.00000 3:4>8 4:5.00000>9");
    exec(x.db, "UPDATE t SET r = 6.0");
    assert_int_equal(outbox_count(&x), 2);
    exec(x.db, "DELETE FROM t");
    assert_string_equal(outbox_last(&x), "D t(1,6.00000,7.00000,8,9)");
    close_all(state);
}

static void C9_key_that_changes_from_integer_to_real_is_deleted_before_it_is_inserted(void **state) {
    (void)state;
    open_with("CREATE TABLE t(k PRIMARY KEY, v)", "t");
    exec(x.db, "INSERT INTO t VALUES(1, 'a'); UPDATE t SET k = 1.0");
    assert_string_equal(outbox_last(&x), "D t(1,'a') I t(1.00000,'a')");
    close_all(state);
}

/* ---- C10 and the functions ---- */

static void C10_check_refuses_user_triggers_without_satchel_local(void **state) {
    (void)state;
    exec(
        x.db,
        "CREATE TABLE log(a); CREATE TRIGGER mine AFTER INSERT ON contact WHEN satchel_local() BEGIN INSERT INTO log VALUES(1); END");
    check_says(SATCHEL_OK, "");
    exec(x.db, "CREATE TRIGGER yours AFTER DELETE ON Contact BEGIN INSERT INTO log VALUES(1); END");
    check_says(SATCHEL_E_TABLE_SHAPE, "trigger \"yours\" on table \"contact\"");
}

static void C10_satchel_local_tells_whether_capture_is_on(void **state) {
    (void)state;
    assert_int_equal(query(x.db, "SELECT satchel_local()"), 1);
    capture_enable(x.capture, false);
    assert_int_equal(query(x.db, "SELECT satchel_local()"), 0);
    capture_enable(x.capture, true);
    assert_int_equal(query(x.db, "SELECT satchel_local()"), 1);
    sqlite3 *plain;
    assert_int_equal(sqlite3_open(":memory:", &plain), SQLITE_OK);
    assert_int_equal(capture_functions(plain, false), SATCHEL_OK);
    assert_int_equal(query(plain, "SELECT satchel_local()"), 0);
    assert_int_equal(capture_functions(plain, true), SATCHEL_OK);
    assert_int_equal(query(plain, "SELECT satchel_local()"), 1);
    sqlite3_close(plain);
}

static void capture_enable_off_lets_changes_through_unrecorded(void **state) {
    (void)state;
    capture_enable(x.capture, false);
    exec(x.db, "BEGIN; INSERT INTO contact VALUES(1, 'a', 1, NULL); SAVEPOINT s; DELETE FROM contact; ROLLBACK TO s; COMMIT");
    exec(x.db, "DROP TRIGGER satchel_1_insert; INSERT INTO contact VALUES(2, 'a', 1, NULL)");
    assert_int_equal(query(x.db, "SELECT count(*) FROM contact"), 2);
    assert_int_equal(outbox_count(&x), 0);
    capture_enable(x.capture, true);
    captured_refresh(&x, (const char *[]){"contact", NULL});
    exec(x.db, "DELETE FROM contact WHERE id = 1");
    assert_string_equal(outbox_last(&x), "D contact(1,'a',1,NULL)");
}

static void capture_set_schema_null_captures_nothing(void **state) {
    (void)state;
    capture_set_schema(x.capture, NULL);
    exec(x.db, "INSERT INTO contact VALUES(1, 'a', 1, NULL)");
    assert_int_equal(outbox_count(&x), 0);
}

static void capture_close_leaves_a_connection_that_cannot_write_synced_tables(void **state) {
    (void)state;
    open_contact(state);
    capture_close(x.capture);
    x.capture = NULL;
    exec_fails(x.db, "INSERT INTO contact VALUES(1, 'a', 1, NULL)", SQLITE_ERROR);
    assert_non_null(strstr(sqlite3_errmsg(x.db), "capture is closed"));
    assert_int_equal(query(x.db, "SELECT satchel_local()"), 0);
    exec(x.db, "CREATE TABLE free(a); INSERT INTO free VALUES(1)");
    close_all(state);
}

static void capture_open_with_a_foreign_hook_is_refused(void **state) {
    (void)state;
    sqlite3 *db;
    sqlite3_session *session;
    capture *c;
    assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
    assert_int_equal(sqlite3session_create(db, "main", &session), SQLITE_OK);
    capture_sink sink = captured_sink(&x);
    assert_int_equal(capture_open(db, &sink, &c), SATCHEL_E_HOOK);
    assert_null(c);
    sqlite3_close(db);
    sqlite3_free(session);
}

static void capture_flush_without_the_virtual_table_gives_and_clears_the_record(void **state) {
    (void)state;
    sqlite3 *db;
    assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
    captured server = {.db = db};
    exec(db, "CREATE TABLE outbox(id INTEGER PRIMARY KEY, n, part, last, changes);" CONTACT);
    capture_sink sink = captured_sink(&server);
    assert_int_equal(capture_open(db, &sink, &server.capture), SATCHEL_OK);
    server.schema = captured_schema(db, (const char *[]){"contact", NULL});
    capture_set_schema(server.capture, server.schema);
    sqlite3_prepare_v2(db, "INSERT INTO outbox(n, part, last, changes) VALUES(?1, ?2, ?3, ?4)", -1, &server.insert, NULL);
    sqlite3_prepare_v2(db, "SELECT 1", -1, &server.next, NULL);
    exec(db, "BEGIN; INSERT INTO contact VALUES(1, 'a', 1, NULL); UPDATE contact SET age = 2");
    assert_int_equal(capture_flush(server.capture), SATCHEL_OK);
    assert_string_equal(outbox_last(&server), "I contact(1,'a',2,NULL)");
    exec(db, "ROLLBACK; BEGIN; INSERT INTO contact VALUES(2, CAST(x'ff' AS TEXT), 1, NULL)");
    assert_int_equal(capture_flush(server.capture), SATCHEL_E_UTF8);
    assert_non_null(strstr(capture_error(server.capture), "contact"));
    exec(db, "ROLLBACK; BEGIN; INSERT INTO contact VALUES(3, 'c', 1, NULL)");
    capture_reset(server.capture);
    assert_int_equal(capture_flush(server.capture), SATCHEL_OK);
    assert_int_equal(server.parts, 1);
    exec(db, "INSERT INTO contact VALUES(4, 'd', 1, NULL)");
    exec_fails(db, "COMMIT", SQLITE_CONSTRAINT);
    captured_close(&server);
}

static void uuid7_is_version_7_and_ascends(void **state) {
    (void)state;
    sqlite3_stmt *stmt;
    uint8_t last[16] = {0};
    int64_t now = query(x.db, "SELECT CAST(unixepoch('subsec') AS INT)");
    if (now < 1600000000) now = query(x.db, "SELECT unixepoch()");
    sqlite3_prepare_v2(x.db, "SELECT uuid7()", -1, &stmt, NULL);
    for (int i = 0; i < 20000; i++) {
        assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
        assert_int_equal(sqlite3_column_bytes(stmt, 0), 16);
        const uint8_t *u = sqlite3_column_blob(stmt, 0);
        assert_true(memcmp(last, u, 16) < 0);
        memcpy(last, u, 16);
        assert_int_equal(u[6] >> 4, 7);
        assert_int_equal(u[8] >> 6, 2);
        sqlite3_reset(stmt);
    }
    sqlite3_finalize(stmt);
    int64_t ms = 0;
    for (int i = 0; i < 6; i++) ms = ms << 8 | last[i];
    assert_in_range(ms / 1000, now - 1, now + 60);
    exec(
        x.db,
        "PRAGMA trusted_schema = OFF; CREATE TABLE u(id BLOB PRIMARY KEY DEFAULT (uuid7()), v) WITHOUT ROWID; INSERT INTO u(v) VALUES(1)");
}

#define ON_CONTACT(f) cmocka_unit_test_setup_teardown(f, open_contact, close_all)
#define ON_FILE(f) cmocka_unit_test_setup_teardown(f, open_contact_file, close_file)

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_CONTACT(capture_autocommit_statements_are_one_changeset_each),
        ON_CONTACT(capture_transaction_is_one_changeset),
        ON_CONTACT(capture_rollback_leaves_nothing),
        ON_CONTACT(capture_statement_without_effect_writes_no_outbox),
        ON_CONTACT(capture_sink_refusal_vetoes_the_commit),
        ON_FILE(capture_sink_that_fills_the_disk_ends_the_transaction),
        cmocka_unit_test(capture_sink_open_may_set_the_schema_before_anything_is_recorded),
        ON_CONTACT(C1_rollback_to_outermost_savepoint_forgets_everything),
        ON_CONTACT(C1_savepoints_opened_before_the_first_write_forget_it_on_rollback),
        ON_CONTACT(C1_marks_of_one_transaction_do_not_reach_the_next),
        ON_CONTACT(C1_nested_savepoints_roll_back_and_release_level_by_level),
        ON_CONTACT(C1_schema_change_in_the_transaction_keeps_the_marks),
        ON_CONTACT(C1_deeper_savepoints_than_the_limit_are_refused),
        ON_FILE(C2_commit_after_busy_hands_over_the_whole_record_once),
        ON_FILE(C2_rollback_to_after_busy_restores_what_the_savepoint_took),
        ON_FILE(C2_record_that_became_empty_after_busy_takes_its_outbox_row_back),
        ON_FILE(C2_rollback_after_busy_leaves_nothing),
        ON_FILE(C2_autocommit_that_is_busy_leaves_nothing),
        ON_CONTACT(C3_blob_write_alone_is_refused_in_words),
        ON_CONTACT(C3_blob_write_among_other_changes_is_refused_in_words),
        ON_CONTACT(C3_dropped_trigger_ends_in_a_veto),
        ON_CONTACT(C3_change_past_the_triggers_before_a_guarded_one_is_refused),
        ON_CONTACT(C3_rollback_of_a_change_past_the_triggers_forgets_it),
        ON_CONTACT(C3_disabled_triggers_end_in_a_veto),
        ON_CONTACT(C3_triggers_removed_by_writable_schema_end_in_a_veto),
        ON_CONTACT(C3_rebuilt_table_ends_in_a_veto),
        ON_CONTACT(C3_check_finds_dropped_and_changed_triggers),
        ON_CONTACT(C3_check_finds_a_table_that_is_not_as_described),
        ON_CONTACT(C3_columns_changed_under_capture_end_in_a_veto),
        ON_FILE(C3_plain_connection_fails_on_write_and_reads_freely),
        ON_CONTACT(C3_trusted_schema_off_changes_nothing),
        ON_CONTACT(C3_install_again_changes_nothing_and_drops_triggers_of_gone_tables),
        cmocka_unit_test(C4_stored_generated_columns_and_the_row_clock_are_left_out),
        cmocka_unit_test(C4_virtual_generated_column_is_refused),
        cmocka_unit_test(C4_without_rowid_table_whose_numbers_would_be_misread_is_refused),
        ON_CONTACT(C6_last_insert_rowid_is_what_plain_sqlite_gives),
        ON_CONTACT(C6_changes_of_an_autocommit_statement_is_what_plain_sqlite_gives),
        ON_CONTACT(C6_temp_and_attached_tables_of_the_same_name_are_not_captured),
        ON_FILE(C6_synced_table_of_an_attached_satchel_file_cannot_be_written),
        ON_CONTACT(C6_other_session_on_the_connection_vetoes_the_commit),
        ON_CONTACT(C6_session_created_within_the_transaction_vetoes_the_commit),
        ON_CONTACT(C6_session_that_came_and_went_between_statements_loses_nothing),
        ON_CONTACT(C6_other_commit_hook_vetoes_the_commit),
        ON_CONTACT(C6_changes_of_one_row_are_consolidated),
        ON_CONTACT(C6_delete_and_insert_of_an_equal_row_is_nothing),
        ON_CONTACT(C6_integer_and_real_are_a_change),
        ON_CONTACT(C6_replace_and_upsert_are_updates),
        ON_CONTACT(C6_replace_of_another_rows_unique_value_deletes_that_row),
        ON_CONTACT(C6_returning_is_captured_at_its_end),
        cmocka_unit_test(C6_foreign_key_actions_are_captured),
        ON_CONTACT(C6_statement_abort_takes_back_its_own_rows_alone),
        ON_CONTACT(C6_statement_rollback_takes_back_the_transaction),
        ON_CONTACT(C6_user_triggers_rows_are_captured),
        cmocka_unit_test(capture_touched_group_travels_whole),
        ON_CONTACT(C7_large_transaction_comes_in_parts_each_a_changeset),
        ON_CONTACT(C7_spilled_record_follows_savepoints),
        ON_CONTACT(C7_spill_that_fails_vetoes_the_commit),
        ON_FILE(C8_connections_capture_their_own_changes),
        cmocka_unit_test(C9_any_key_shape_is_captured),
        ON_CONTACT(C9_update_of_the_key_is_delete_and_insert),
        cmocka_unit_test(C9_null_key_is_refused_in_words),
        ON_CONTACT(C9_value_over_the_limit_is_refused_in_words),
        cmocka_unit_test(C9_key_over_the_limit_is_refused_in_words),
        ON_CONTACT(C9_text_that_is_no_utf8_is_refused_in_words),
        cmocka_unit_test(C9_text_of_a_utf16_database_comes_as_utf8),
        cmocka_unit_test(C9_reals_that_sqlite_stores_as_integers_come_as_reals),
        cmocka_unit_test(C9_key_that_changes_from_integer_to_real_is_deleted_before_it_is_inserted),
        ON_CONTACT(C10_check_refuses_user_triggers_without_satchel_local),
        ON_CONTACT(C10_satchel_local_tells_whether_capture_is_on),
        ON_CONTACT(capture_enable_off_lets_changes_through_unrecorded),
        ON_CONTACT(capture_set_schema_null_captures_nothing),
        cmocka_unit_test(capture_close_leaves_a_connection_that_cannot_write_synced_tables),
        cmocka_unit_test(capture_open_with_a_foreign_hook_is_refused),
        cmocka_unit_test(capture_flush_without_the_virtual_table_gives_and_clears_the_record),
        ON_CONTACT(uuid7_is_version_7_and_ascends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
