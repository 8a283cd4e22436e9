/* What may not commit past capture: taken hooks and triggers, tables that cannot be read right, other databases. */
#include "tests/support/faults.h"
#include "tests/unit/capture_fixture.h"

#define FILE_NAME "test_capture_guard.db"
const char capture_file[] = FILE_NAME;

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

/* FTS5 writes its tables when it is asked to sync, which comes after capture was. */
static void C3_change_past_the_triggers_after_the_flush_ends_in_a_veto(void **state) {
    (void)state;
    exec(x.db, "CREATE VIRTUAL TABLE words USING fts5(word)");
    captured_refresh(&x, (const char *[]){"contact", "words_data", NULL});
    exec(x.db, "DROP TRIGGER satchel_2_insert; DROP TRIGGER satchel_2_update; DROP TRIGGER satchel_2_delete");
    exec(x.db, "BEGIN; INSERT INTO contact VALUES(1, 'a', 1, NULL); INSERT INTO words VALUES('late')");
    assert_refused("COMMIT", SATCHEL_E_UNFLUSHED, "past the capture triggers");
    assert_int_equal(query(x.db, "SELECT count(*) FROM contact"), 0);
}

static void C3_check_finds_the_virtual_table_dropped_or_changed(void **state) {
    (void)state;
    exec(x.db, "DROP TABLE satchel_tap");
    check_says(SATCHEL_E_UNFLUSHED, "satchel_tap was dropped");
    exec(x.db, "CREATE VIRTUAL TABLE satchel_tap USING satchel_tap(1)");
    check_says(SATCHEL_E_UNFLUSHED, "satchel_tap was changed");
}

static void C3_virtual_table_itself_is_empty_and_read_only(void **state) {
    (void)state;
    assert_int_equal(query(x.db, "SELECT count(*) FROM satchel_tap"), 0);
    exec_fails(x.db, "INSERT INTO satchel_tap VALUES(1)", SQLITE_READONLY);
    assert_non_null(strstr(sqlite3_errmsg(x.db), "holds no rows"));
}

static void C3_triggers_whose_names_only_resemble_ours_are_left_alone(void **state) {
    (void)state;
    exec(x.db, "CREATE TABLE t(a); CREATE TRIGGER satchel_7x AFTER INSERT ON t BEGIN SELECT 1; END;"
               "CREATE TRIGGER satchel_7_insert9 AFTER INSERT ON t BEGIN SELECT 1; END;"
               "CREATE TRIGGER satchel_7_replace AFTER INSERT ON t BEGIN SELECT 1; END;"
               "CREATE TRIGGER satchel_7_insert AFTER INSERT ON t BEGIN SELECT 1; END");
    captured_refresh(&x, (const char *[]){"contact", NULL});
    assert_int_equal(query(x.db, "SELECT count(*) FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 't'"), 3);
}

static void C3_triggers_of_a_table_that_a_migration_dropped_are_dropped(void **state) {
    (void)state;
    exec(x.db, "CREATE TABLE t(a PRIMARY KEY)");
    captured_refresh(&x, (const char *[]){"contact", "t", NULL});
    x.schema->table[1].until = 2;
    buf error = {0};
    assert_int_equal(capture_install(x.db, x.schema, &error), SATCHEL_OK);
    assert_int_equal(query(x.db, "SELECT count(*) FROM sqlite_schema WHERE type = 'trigger'"), 3);
    check_says(SATCHEL_OK, "");
    buf_fini(&error);
}

/* The table `t` is made anew by `sql` behind the back of a schema that knows t(id INTEGER PRIMARY KEY, a, b). */
static void assert_misfit(const char *sql, const char *words) {
    open_with("CREATE TABLE t(id INTEGER PRIMARY KEY, a, b)", "t");
    exec(x.db, "DROP TABLE t");
    exec(x.db, sql);
    check_says(SATCHEL_E_TABLE_SHAPE, words);
    captured_close(&x);
}

static void C3_check_names_what_is_wrong_with_a_table(void **state) {
    (void)state;
    assert_misfit("CREATE TABLE u(id)", "it does not exist");
    assert_misfit("CREATE TABLE t(id INTEGER PRIMARY KEY, a)", "its columns are not those of the schema");
    assert_misfit("CREATE TABLE t(id INTEGER PRIMARY KEY, a, b, c)", "its columns are not those of the schema");
    assert_misfit("CREATE TABLE t(id INTEGER PRIMARY KEY, a, c)", "its columns are not those of the schema");
    assert_misfit("CREATE TABLE t(id INTEGER, a, b, PRIMARY KEY(a))", "its primary key is not that of the schema");
    assert_misfit("CREATE TABLE t(id INTEGER PRIMARY KEY, v AS (a) VIRTUAL, a, c)", "virtual generated column");
}

static void C3_schema_beyond_the_limits_is_refused(void **state) {
    (void)state;
    schema_table *t = &x.schema->table[0];
    static const struct { unsigned ncol, nkey; } shapes[] = {{0, 1}, {LIMIT_COLUMNS + 1, 1}, {4, 0}, {4, LIMIT_KEY_COLUMNS + 1}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        t->ncol = shapes[i].ncol;
        t->nkey = shapes[i].nkey;
        check_says(SATCHEL_E_TABLE_SHAPE, "no primary key, or too many columns");
    }
    t->ncol = 4;
    t->nkey = 1;
}

static void C3_table_that_no_longer_fits_is_refused_at_its_commit_in_words(void **state) {
    (void)state;
    exec(x.db, "ALTER TABLE contact RENAME COLUMN age TO years");
    capture_set_schema(x.capture, x.schema);
    assert_refused("INSERT INTO contact VALUES(1, 'a', 1, NULL)", SATCHEL_E_TABLE_SHAPE,
                   "table \"contact\" cannot be synced: its columns are not those of the schema");
}

static int begin_nothing(void *ctx, bool again) {
    (void)ctx, (void)again;
    return SATCHEL_OK;
}

static int keep_part(void *ctx, unsigned number, bool last, const void *changeset, size_t n) {
    (void)number, (void)last;
    buf_put(ctx, changeset, n);
    return SATCHEL_OK;
}

/* The database gets its encoding after capture was opened on it, so that set_schema alone can tell how its texts are to be read. */
static void C3_schema_that_could_not_be_read_refuses_every_change(void **state) {
    (void)state;
    for (fault_loop l = {0}; faults_next(&l);) {
        sqlite3 *db;
        capture *c;
        buf changes;
        buf_init(&changes, 0);
        capture_sink sink = {.ctx = &changes, .begin = begin_nothing, .part = keep_part};
        assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
        assert_int_equal(capture_open(db, &sink, &c), SATCHEL_OK);
        exec(db, "PRAGMA encoding = 'UTF-16'; CREATE TABLE t(k TEXT PRIMARY KEY)");
        schema *s = captured_schema(db, (const char *[]){"t", NULL});
        faults_at(l.n, l.all);
        capture_set_schema(c, s);
        faults_at(0, false);
        exec(db, "BEGIN; INSERT INTO t VALUES('key')");
        int rc = capture_flush(c);
        if (rc) assert_int_equal(rc, SATCHEL_E_NOMEM);
        if (!rc) assert_non_null(memmem(changes.p, changes.n, "key", 3));
        exec(db, "ROLLBACK");
        capture_close(c);
        captured_schema_free(s);
        sqlite3_close(db);
        buf_fini(&changes);
    }
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

static void C6_commit_hook_that_was_taken_off_is_put_back(void **state) {
    (void)state;
    sqlite3_commit_hook(x.db, NULL, NULL);
    exec(x.db, "INSERT INTO contact VALUES(1, 'a', 1, NULL)");
    assert_string_equal(outbox_last(&x), "I contact(1,'a',1,NULL)");
    exec(x.db, "DELETE FROM outbox; DROP TRIGGER satchel_1_insert");
    assert_refused("INSERT INTO contact VALUES(2, 'b', 2, NULL)", SATCHEL_E_UNFLUSHED, "past the capture triggers");
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

/* What the triggers of a check ask about a row that does not satisfy it. */
static void satchel_refuse_refuses_only_where_capture_is_on(void **state) {
    open_contact(state);
    assert_int_equal(query(x.db, "SELECT satchel_refuse('AGE: too young')"), 1);
    assert_int_equal(capture_error_code(x.capture), SATCHEL_E_CHECK);
    assert_string_equal(capture_error(x.capture), "AGE: too young");
    capture_unchecked(x.capture, true);
    assert_int_equal(query(x.db, "SELECT satchel_refuse('AGE: too young')"), 0);
    capture_unchecked(x.capture, false);
    capture_enable(x.capture, false);
    assert_int_equal(query(x.db, "SELECT satchel_refuse('AGE: too young')"), 0);
    assert_int_equal(capture_error_code(x.capture), SATCHEL_OK);
    capture_close(x.capture);
    x.capture = NULL;
    assert_int_equal(query(x.db, "SELECT satchel_refuse('AGE: too young')"), 0);
    close_all(state);
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

static void other_rollback_hook(void *arg) {
    (void)arg;
}

static void C6_open_with_a_foreign_hook_is_refused(void **state) {
    (void)state;
    for (int hook = 0; hook < 3; hook++) {
        sqlite3 *db;
        sqlite3_session *session = NULL;
        capture *c;
        assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
        if (hook == 0) assert_int_equal(sqlite3session_create(db, "main", &session), SQLITE_OK);
        if (hook == 1) sqlite3_commit_hook(db, other_commit_hook, db);
        if (hook == 2) sqlite3_rollback_hook(db, other_rollback_hook, db);
        capture_sink sink = captured_sink(&x);
        assert_int_equal(capture_open(db, &sink, &c), SATCHEL_E_HOOK);
        assert_null(c);
        sqlite3_close(db);
        sqlite3_free(session);
    }
}

static void capture_closed_within_a_transaction_lets_it_roll_back(void **state) {
    (void)state;
    open_contact(state);
    exec(x.db, "BEGIN; INSERT INTO contact VALUES(1, 'a', 1, NULL); SAVEPOINT s; INSERT INTO contact VALUES(2, 'b', 2, NULL)");
    capture_close(x.capture);
    x.capture = NULL;
    exec(x.db, "ROLLBACK TO s; RELEASE s; ROLLBACK");
    assert_int_equal(query(x.db, "SELECT count(*) FROM contact"), 0);
    close_all(state);
}

int main(void) {
    faults_install();
    const struct CMUnitTest tests[] = {
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
        ON_CONTACT(C3_change_past_the_triggers_after_the_flush_ends_in_a_veto),
        ON_CONTACT(C3_check_finds_the_virtual_table_dropped_or_changed),
        ON_CONTACT(C3_virtual_table_itself_is_empty_and_read_only),
        ON_CONTACT(C3_triggers_whose_names_only_resemble_ours_are_left_alone),
        ON_CONTACT(C3_triggers_of_a_table_that_a_migration_dropped_are_dropped),
        cmocka_unit_test(C3_check_names_what_is_wrong_with_a_table),
        ON_CONTACT(C3_schema_beyond_the_limits_is_refused),
        ON_CONTACT(C3_table_that_no_longer_fits_is_refused_at_its_commit_in_words),
        cmocka_unit_test(C3_schema_that_could_not_be_read_refuses_every_change),
        cmocka_unit_test(C4_without_rowid_table_whose_numbers_would_be_misread_is_refused),
        ON_CONTACT(C6_temp_and_attached_tables_of_the_same_name_are_not_captured),
        ON_FILE(C6_synced_table_of_an_attached_satchel_file_cannot_be_written),
        ON_CONTACT(C6_other_session_on_the_connection_vetoes_the_commit),
        ON_CONTACT(C6_session_created_within_the_transaction_vetoes_the_commit),
        ON_CONTACT(C6_session_that_came_and_went_between_statements_loses_nothing),
        ON_CONTACT(C6_other_commit_hook_vetoes_the_commit),
        ON_CONTACT(C6_commit_hook_that_was_taken_off_is_put_back),
        ON_CONTACT(C10_check_refuses_user_triggers_without_satchel_local),
        ON_CONTACT(C10_satchel_local_tells_whether_capture_is_on),
        cmocka_unit_test(capture_closed_within_a_transaction_lets_it_roll_back),
        cmocka_unit_test(satchel_refuse_refuses_only_where_capture_is_on),
        cmocka_unit_test(capture_close_leaves_a_connection_that_cannot_write_synced_tables),
        cmocka_unit_test(C6_open_with_a_foreign_hook_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
