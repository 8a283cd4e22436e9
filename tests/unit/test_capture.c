/* What is captured of which SQL, and what savepoints and a commit that fails leave of it. */
#include "tests/unit/capture_fixture.h"

#define FILE_NAME "test_capture.db"
const char capture_file[] = FILE_NAME;

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

static void capture_sink_refusal_becomes_the_code_that_sqlite_has_for_it(void **state) {
    (void)state;
    static const struct {
        int refuse, code;
    } cases[] = {{SATCHEL_E_BUSY, SQLITE_BUSY},        {SATCHEL_E_NOMEM, SQLITE_NOMEM},     {SATCHEL_E_FULL, SQLITE_FULL},
                 {SATCHEL_E_IO, SQLITE_IOERR},         {SATCHEL_E_CORRUPT, SQLITE_CORRUPT}, {SATCHEL_E_READONLY, SQLITE_READONLY},
                 {SATCHEL_E_SCHEMA, SQLITE_CONSTRAINT}};
    for (size_t i = 0; i < 2 * sizeof cases / sizeof *cases; i++) {
        *(i % 2 ? &x.refuse : &x.refuse_begin) = cases[i / 2].refuse;
        exec(x.db, "BEGIN; INSERT INTO contact VALUES(1, 'a', 1, NULL)");
        exec_fails(x.db, "COMMIT", cases[i / 2].code);
        assert_int_equal(capture_error_code(x.capture), cases[i / 2].refuse);
        assert_int_equal(!sqlite3_get_autocommit(x.db), cases[i / 2].code == SQLITE_BUSY);
        if (!sqlite3_get_autocommit(x.db)) exec(x.db, "ROLLBACK");
        x.refuse = x.refuse_begin = SATCHEL_OK;
        assert_int_equal(query(x.db, "SELECT count(*) FROM contact"), 0);
        assert_int_equal(outbox_count(&x), 0);
    }
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
    exec(x.db, "ROLLBACK TO s"); /* which has no mark */
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

static void C2_savepoint_that_takes_the_record_back_after_busy_leaves_nothing(void **state) {
    (void)state;
    sqlite3 *reader = make_busy();
    exec(x.db, "BEGIN; SAVEPOINT s; INSERT INTO contact VALUES(1, 'a', 1, NULL)");
    exec_fails(x.db, "COMMIT", SQLITE_BUSY);
    exec(x.db, "ROLLBACK TO s");
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

static void C6_keys_that_hash_alike_stay_apart(void **state) {
    (void)state;
    /* An integer is hashed by its eight bytes, of whichever end. */
    open_with("CREATE TABLE t(k PRIMARY KEY, v)", "t");
    exec(
        x.db,
        "INSERT INTO t VALUES(1, 'a'), (x'0100000000000000', 'b'), (x'0000000000000001', 'c'), (1.5, 'd'), ('12345678', 'e'), (x'3132333435363738', 'f')");
    exec(x.db, "BEGIN; UPDATE t SET v = v || 1; UPDATE t SET v = v || 2; COMMIT");
    assert_string_equal(outbox_last(&x),
                        "U t(1) 1:'a'>'a12' U t(x'0100000000000000') 1:'b'>'b12' U t(x'0000000000000001') 1:'c'>'c12'"
                        " U t(1.50000) 1:'d'>'d12' U t('12345678') 1:'e'>'e12' U t(x'3132333435363738') 1:'f'>'f12'");
    close_all(state);
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

/* ---- C10 and the functions ---- */

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

static void capture_set_schema_of_no_table_captures_nothing(void **state) {
    (void)state;
    schema empty = {.epoch = 1};
    capture_set_schema(x.capture, &empty);
    exec(x.db, "INSERT INTO contact VALUES(2, 'b', 1, NULL)");
    assert_int_equal(outbox_count(&x), 0);
    capture_set_schema(x.capture, NULL);
    exec(x.db, "INSERT INTO contact VALUES(1, 'a', 1, NULL)");
    assert_int_equal(outbox_count(&x), 0);
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

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_CONTACT(capture_autocommit_statements_are_one_changeset_each),
        ON_CONTACT(capture_transaction_is_one_changeset),
        ON_CONTACT(capture_rollback_leaves_nothing),
        ON_CONTACT(capture_statement_without_effect_writes_no_outbox),
        ON_CONTACT(capture_sink_refusal_vetoes_the_commit),
        ON_CONTACT(capture_sink_refusal_becomes_the_code_that_sqlite_has_for_it),
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
        ON_FILE(C2_savepoint_that_takes_the_record_back_after_busy_leaves_nothing),
        ON_FILE(C2_rollback_after_busy_leaves_nothing),
        ON_FILE(C2_autocommit_that_is_busy_leaves_nothing),
        ON_CONTACT(C6_last_insert_rowid_is_what_plain_sqlite_gives),
        ON_CONTACT(C6_changes_of_an_autocommit_statement_is_what_plain_sqlite_gives),
        ON_CONTACT(C6_changes_of_one_row_are_consolidated),
        cmocka_unit_test(C6_keys_that_hash_alike_stay_apart),
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
        ON_CONTACT(capture_enable_off_lets_changes_through_unrecorded),
        ON_CONTACT(capture_set_schema_of_no_table_captures_nothing),
        cmocka_unit_test(capture_flush_without_the_virtual_table_gives_and_clears_the_record),
        ON_CONTACT(uuid7_is_version_7_and_ascends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
