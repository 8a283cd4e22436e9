/* How large, which keys and which values: what comes through unchanged, and what is refused in words. */
#include <signal.h>
#include <sys/resource.h>

#include "tests/unit/capture_fixture.h"

#define FILE_NAME "test_capture_values.db"
const char capture_file[] = FILE_NAME;

/* ---- C7 ---- */

/* Byte by byte: AddressSanitizer's strstr measures the whole text at each call. */
static unsigned count_inserts(const char *text) {
    unsigned rows = 0;
    for (; *text; text++) rows += *text == 'I' && strncmp(text, "I contact(", 10) == 0;
    return rows;
}

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
    assert_int_equal(count_inserts(outbox_last(&x)), 4000);
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
    assert_int_equal(count_inserts(text), 601);
    assert_non_null(strstr(text, "I contact(-1,'after',1,NULL)"));
    assert_non_null(strstr(text, ",100,NULL)"));
    exec(x.db, "UPDATE contact SET age = 7 WHERE id = -1");
    assert_string_equal(outbox_last(&x), "U contact(-1) 2:1>7");
}

static void C7_large_row_changed_twice_is_one_change(void **state) {
    (void)state;
    exec(x.db, "INSERT INTO contact VALUES(1, zeroblob(700000), 1, NULL)");
    exec(x.db, "BEGIN; UPDATE contact SET name = zeroblob(600000); UPDATE contact SET name = zeroblob(650000), age = 2; COMMIT");
    assert_string_equal(outbox_last(&x), "U contact(1) 1:[700000 bytes]>[650000 bytes] 2:1>2");
}

/* The record has more entries than one pass consolidates, of two tables. */
static void C7_refusal_of_the_first_of_many_parts_ends_the_work(void **state) {
    (void)state;
    exec(x.db, "CREATE TABLE other(id INTEGER PRIMARY KEY)");
    captured_refresh(&x, (const char *[]){"contact", "other", NULL});
    x.refuse = SATCHEL_E_FULL;
    exec_fails(x.db,
               "BEGIN; WITH RECURSIVE i(n) AS (VALUES(1) UNION ALL SELECT n + 1 FROM i WHERE n < 200000)"
               "INSERT INTO contact SELECT n, 'abcdefgh', n, NULL FROM i; INSERT INTO other VALUES(1), (2); COMMIT",
               SQLITE_FULL);
    assert_int_equal(x.parts, 1);
    x.refuse = SATCHEL_OK;
    assert_int_equal(query(x.db, "SELECT count(*) FROM contact"), 0);
    exec(x.db, "INSERT INTO other VALUES(1)");
    assert_string_equal(outbox_last(&x), "I other(1)");
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

static unsigned open_memory_files(void) {
    unsigned n = 0;
    for (int fd = 3; fd < 256; fd++) {
        char link[32], target[64] = "";
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        if (readlink(link, target, sizeof target - 1) > 0) n += strncmp(target, "/memfd:satchel", 14) == 0;
    }
    return n;
}

static void C7_spill_stays_in_memory_where_temp_store_says_so(void **state) {
    (void)state;
    captured c;
    captured_open(&c, ":memory:", "PRAGMA temp_store=MEMORY;" CONTACT, (const char *[]){"contact", NULL});
    exec(c.db, "BEGIN; WITH RECURSIVE i(n) AS (VALUES(1) UNION ALL SELECT n + 1 FROM i WHERE n < 300)"
               "INSERT INTO contact SELECT n, zeroblob(30000), n, NULL FROM i");
    assert_int_equal(open_memory_files(), 1);
    exec(c.db, "COMMIT");
    assert_int_equal(open_memory_files(), 0);
    assert_int_equal(outbox_count(&c), 1);
    captured_close(&c);
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

static void C9_update_to_or_from_a_row_over_the_limit_is_refused_in_words(void **state) {
    (void)state;
    exec(x.db, "INSERT INTO contact VALUES(1, 'a', 'a', 't'); DELETE FROM outbox");
    char sql[128];
    snprintf(sql, sizeof sql, "UPDATE contact SET name = zeroblob(%u)", LIMIT_VALUE_BYTES + 1);
    assert_refused(sql, SATCHEL_E_TOO_LARGE, "table \"contact\", column \"name\"");
    assert_refused("UPDATE contact SET UNIQUE_TAG = CAST(x'ff' AS TEXT)", SATCHEL_E_UTF8, "column \"UNIQUE_TAG\"");
    snprintf(sql, sizeof sql, "UPDATE contact SET name = zeroblob(%u), age = zeroblob(%u)", LIMIT_ROW_BYTES / 2,
             LIMIT_ROW_BYTES / 2);
    assert_refused(sql, SATCHEL_E_TOO_LARGE, "table \"contact\"");
    /* What was there before capture. */
    capture_enable(x.capture, false);
    exec(x.db, sql);
    capture_enable(x.capture, true);
    assert_refused("UPDATE contact SET name = 'b', age = 'b'", SATCHEL_E_TOO_LARGE, "table \"contact\"");
    capture_enable(x.capture, false);
    snprintf(sql, sizeof sql, "UPDATE contact SET name = zeroblob(%u), age = 1", LIMIT_VALUE_BYTES + 1);
    exec(x.db, sql);
    capture_enable(x.capture, true);
    assert_refused("UPDATE contact SET name = 'b'", SATCHEL_E_TOO_LARGE, "column \"name\"");
    exec(x.db, "UPDATE contact SET age = 2");
    assert_string_equal(outbox_last(&x), "U contact(1) 2:1>2");
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

static void C9_each_declared_type_comes_as_sqlite_gives_it(void **state) {
    (void)state;
    open_with("CREATE TABLE t(k INTEGER PRIMARY KEY, a VARCHAR(9), b CLOB, c FLOAT, d BLOB, e CHARINT, f DECIMAL)", "t");
    exec(x.db, "INSERT INTO t VALUES(1, 2, 2, 2, 2, 2, 2)");
    assert_string_equal(outbox_last(&x), "I t(1,'2','2',2.00000,2,2,2)");
    close_all(state);
}

static void C9_table_of_many_columns_is_captured(void **state) {
    (void)state;
    buf sql;
    buf_init(&sql, 0);
    buf_printf(&sql, "CREATE TABLE t(k INTEGER PRIMARY KEY");
    for (unsigned i = 1; i < LIMIT_COLUMNS; i++) buf_printf(&sql, ", c%u", i);
    buf_printf(&sql, ")");
    open_with((const char *)sql.p, "t");
    exec(x.db, "INSERT INTO t(k, c511) VALUES(1, 'last'); UPDATE t SET c511 = 'new'");
    assert_string_equal(outbox_last(&x), "U t(1) 511:'last'>'new'");
    buf_fini(&sql);
    close_all(state);
}

static void C9_key_column_named_to_a_group_stays_key(void **state) {
    (void)state;
    open_with("CREATE TABLE t(g1_k TEXT PRIMARY KEY, g1_a, g1_b)", "t");
    exec(x.db, "INSERT INTO t VALUES('k', 1, 2); UPDATE t SET g1_a = 3");
    assert_string_equal(outbox_last(&x), "U t('k') 1:1>3 2:2>2");
    close_all(state);
    open_with("CREATE TABLE t(g1_a, g1_k TEXT PRIMARY KEY, g1_b)", "t");
    exec(x.db, "INSERT INTO t VALUES(1, 'k', 2); UPDATE t SET g1_b = 3");
    assert_string_equal(outbox_last(&x), "U t('k') 0:1>1 2:2>3");
    close_all(state);
}

static void C9_key_that_changes_from_integer_to_real_is_deleted_before_it_is_inserted(void **state) {
    (void)state;
    open_with("CREATE TABLE t(k PRIMARY KEY, v)", "t");
    exec(x.db, "INSERT INTO t VALUES(1, 'a'); UPDATE t SET k = 1.0");
    assert_string_equal(outbox_last(&x), "D t(1,'a') I t(1.00000,'a')");
    close_all(state);
}

/* As a retry says again what stands there already. */
static void N7_what_is_said_of_a_row_is_recorded_without_a_difference(void **state) {
    (void)state;
    static capture_said said;
    open_with("CREATE TABLE t(k TEXT PRIMARY KEY, g1_a, g1_b, v, w); CREATE TABLE u(k TEXT PRIMARY KEY, v)", "t");
    exec(x.db, "INSERT INTO t VALUES('k', 1, 2, 3, 4), ('l', 1, 2, 3, 4)");
    said = (capture_said){.table = schema_table_by_name(x.schema, "t"), .key = {value_text("k", 1)}};
    said.column[3] = true;
    capture_say(x.capture, &said);
    exec(x.db, "UPDATE t SET v = 3");
    assert_string_equal(outbox_last(&x), "U t('k') 3:3>3");
    exec(x.db, "UPDATE t SET w = 5 WHERE k = 'k'");
    assert_string_equal(outbox_last(&x), "U t('k') 3:3>3 4:4>5");
    exec(x.db, "DELETE FROM t WHERE k = 'l'");
    assert_string_equal(outbox_last(&x), "D t('l',1,2,3,4)");
    exec(x.db, "BEGIN; DELETE FROM t WHERE k = 'k'; INSERT INTO t VALUES('k', 1, 2, 3, 4); UPDATE t SET v = 3; COMMIT");
    assert_string_equal(outbox_last(&x), "U t('k') 3:3>3 4:5>4");
    said.column[2] = true;
    exec(x.db, "UPDATE t SET w = 4");
    assert_string_equal(outbox_last(&x), "U t('k') 1:1>1 2:2>2 3:3>3");
    int64_t n = outbox_count(&x);
    schema *other = captured_schema(x.db, (const char *const[]){"t", "u", NULL});
    said.table = schema_table_by_name(other, "u");
    exec(x.db, "UPDATE t SET v = 3");
    assert_int_equal(outbox_count(&x), n);
    captured_schema_free(other);
    close_all(state);
}

static void N7_what_is_said_stays_said_when_the_row_is_changed_again(void **state) {
    (void)state;
    static capture_said said;
    open_with("CREATE TABLE t(k TEXT PRIMARY KEY, v, w)", "t");
    exec(x.db, "INSERT INTO t VALUES('k', 3, 4)");
    said = (capture_said){.table = schema_table_by_name(x.schema, "t"), .key = {value_text("k", 1)}};
    said.column[1] = true;
    for (unsigned insert = 0; insert < 2; insert++) {
        said.insert = insert;
        exec(x.db, "BEGIN");
        capture_say(x.capture, &said);
        exec(x.db, "UPDATE t SET v = 3");
        capture_say(x.capture, NULL);
        exec(x.db, "UPDATE t SET w = w + 1; COMMIT");
        assert_string_equal(outbox_last(&x), insert ? "P t('k') 1:3>3 2:5>6" : "U t('k') 1:3>3 2:4>5");
    }
    /* What is taken back was not said; an insert's is, since without it there may be no row. */
    int64_t n = outbox_count(&x);
    for (unsigned insert = 0; insert < 2; insert++) {
        said.insert = insert;
        exec(x.db, "BEGIN");
        capture_say(x.capture, &said);
        exec(x.db, "UPDATE t SET v = 9");
        capture_say(x.capture, NULL);
        exec(x.db, "UPDATE t SET v = 3; COMMIT");
        assert_int_equal(outbox_count(&x), n + insert);
    }
    assert_string_equal(outbox_last(&x), "P t('k') 1:3>3");
    memset(said.column, 0, sizeof said.column);
    capture_say(x.capture, &said);
    exec(x.db, "UPDATE t SET k = k");
    assert_string_equal(outbox_last(&x), "P t('k')");
    exec(x.db, "BEGIN; UPDATE t SET k = k; UPDATE t SET k = k; COMMIT");
    assert_string_equal(outbox_last(&x), "P t('k')");
    exec(x.db, "BEGIN; UPDATE t SET k = k; DELETE FROM t; COMMIT");
    assert_string_equal(outbox_last(&x), "D t('k',3,6)");
    close_all(state);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_CONTACT(C7_large_transaction_comes_in_parts_each_a_changeset),
        ON_CONTACT(C7_spilled_record_follows_savepoints),
        ON_CONTACT(C7_large_row_changed_twice_is_one_change),
        ON_CONTACT(C7_refusal_of_the_first_of_many_parts_ends_the_work),
        ON_CONTACT(C7_spill_that_fails_vetoes_the_commit),
        cmocka_unit_test(C7_spill_stays_in_memory_where_temp_store_says_so),
        ON_FILE(C8_connections_capture_their_own_changes),
        cmocka_unit_test(C9_any_key_shape_is_captured),
        ON_CONTACT(C9_update_of_the_key_is_delete_and_insert),
        cmocka_unit_test(C9_null_key_is_refused_in_words),
        ON_CONTACT(C9_value_over_the_limit_is_refused_in_words),
        ON_CONTACT(C9_update_to_or_from_a_row_over_the_limit_is_refused_in_words),
        cmocka_unit_test(C9_key_over_the_limit_is_refused_in_words),
        ON_CONTACT(C9_text_that_is_no_utf8_is_refused_in_words),
        cmocka_unit_test(C9_text_of_a_utf16_database_comes_as_utf8),
        cmocka_unit_test(C9_reals_that_sqlite_stores_as_integers_come_as_reals),
        cmocka_unit_test(C9_each_declared_type_comes_as_sqlite_gives_it),
        cmocka_unit_test(C9_table_of_many_columns_is_captured),
        cmocka_unit_test(C9_key_column_named_to_a_group_stays_key),
        cmocka_unit_test(N7_what_is_said_of_a_row_is_recorded_without_a_difference),
        cmocka_unit_test(N7_what_is_said_stays_said_when_the_row_is_changed_again),
        cmocka_unit_test(C9_key_that_changes_from_integer_to_real_is_deleted_before_it_is_inserted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
