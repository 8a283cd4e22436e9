/* What rows must satisfy (satchel_check): the same on both sides, looked at where a row is inserted or changed and nowhere else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/capture.h"
#include "protocol/satchel_rc.h"
#include "tests/support/faults.h"

/* A database on one side. A device's is the app's connection, with `local` set, or the one that applies. */
typedef struct side {
    sqlite3 *db;
    schema_side side;
    bool local;
    uint32_t epoch;
    buf error;
} side;

static void is_local(sqlite3_context *ctx, int n, sqlite3_value **args) {
    (void)n, (void)args;
    sqlite3_result_int(ctx, *(bool *)sqlite3_user_data(ctx));
}

static const char SCHEMA[] = "CREATE TABLE form(kind TEXT PRIMARY KEY, least INTEGER, options TEXT) WITHOUT ROWID;\n"
                             "INSERT INTO satchel_table(name, mode) VALUES('form', 'server');\n"
                             "CREATE TABLE point(id INTEGER PRIMARY KEY, kind TEXT, value TEXT, note TEXT);\n"
                             "INSERT INTO satchel_table(name) VALUES('point');\n"
                             "CREATE TABLE local_one(id INTEGER PRIMARY KEY);\n";
#define EMAIL                                                                                                                           \
    "INSERT INTO satchel_check(tbl, col, check_sql, code, words) VALUES('point', 'value', 'kind <> ''email'' OR value LIKE ''_%@_%'''," \
    " 'EMAIL_FORM', 'it''s no address');\n"

static int migrate(side *s, const char *sql) {
    char name[32];
    snprintf(name, sizeof name, "%03u.sql", s->epoch + 1);
    buf_clear(&s->error);
    int rc = schema_migrate(s->db, s->side, s->epoch + 1, name, sql, &s->error);
    if (!rc) s->epoch++;
    return rc;
}

static void must(side *s, const char *sql) {
    int rc = migrate(s, sql);
    if (rc) fail_msg("%s: %.*s", satchel_rc_name(rc), (int)s->error.n, (const char *)s->error.p);
}

static void open_side(side *s, schema_side which, const char *checks) {
    *s = (side){.side = which, .local = which == SCHEMA_REPLICA};
    buf_init(&s->error, 0);
    assert_int_equal(sqlite3_open(":memory:", &s->db), SQLITE_OK);
    assert_int_equal(capture_functions(s->db, false), SATCHEL_OK);
    sqlite3_create_function(s->db, "satchel_local", 0, SQLITE_UTF8, &s->local, is_local, NULL, NULL);
    sqlite3_create_function(s->db, "satchel_refuse", 1, SQLITE_UTF8, &s->local, is_local, NULL, NULL);
    assert_int_equal(schema_init(s->db, &s->error), SATCHEL_OK);
    must(s, SCHEMA);
    if (checks) must(s, checks);
}

static void close_side(side *s) {
    buf_fini(&s->error);
    assert_int_equal(sqlite3_close(s->db), SQLITE_OK);
}

static void takes(side *s, const char *sql) {
    char *message = NULL;
    if (sqlite3_exec(s->db, sql, NULL, NULL, &message) != SQLITE_OK) fail_msg("side %d: %s: %s", s->side, sql, message);
}

static void refuses(side *s, const char *sql, const char *words) {
    int rc = sqlite3_exec(s->db, sql, NULL, NULL, NULL);
    if (rc != SQLITE_CONSTRAINT) fail_msg("side %d: %s gives %d: %s", s->side, sql, rc, sqlite3_errmsg(s->db));
    assert_int_equal(sqlite3_extended_errcode(s->db), SQLITE_CONSTRAINT_TRIGGER);
    assert_string_equal(sqlite3_errmsg(s->db), words);
}

static int number(side *s, const char *sql) {
    sqlite3_stmt *st = NULL;
    assert_int_equal(sqlite3_prepare_v2(s->db, sql, -1, &st, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    int n = sqlite3_column_int(st, 0);
    sqlite3_finalize(st);
    return n;
}

#define BOTH_SIDES(s, checks)                                                                                                    \
    for (int at_ = SCHEMA_REPLICA; at_ <= SCHEMA_SERVER; close_side(&(s)), at_++)                                                \
        if (open_side(&(s), (schema_side)at_, checks), true)

/* ---- what is looked at ---- */

static void check_insert_and_update_that_fail_it_are_refused_with_code_and_words(void **state) {
    (void)state;
    side s;
    BOTH_SIDES(s, EMAIL) {
        takes(&s, "INSERT INTO point(id, kind, value, note) VALUES(1, 'email', 'a@b', NULL), (2, 'phone', '1', NULL)");
        refuses(&s, "INSERT INTO point(id, kind, value, note) VALUES(3, 'email', '@', NULL)", "EMAIL_FORM: it's no address");
        refuses(&s, "UPDATE point SET value = 'nothing' WHERE id = 1", "EMAIL_FORM: it's no address");
        refuses(&s, "UPDATE point SET kind = 'email'", "EMAIL_FORM: it's no address");
        refuses(&s, "INSERT INTO point(id, kind, value, note) VALUES(2, 'x', 'y', NULL) ON CONFLICT DO UPDATE SET kind = 'email'",
                "EMAIL_FORM: it's no address");
        refuses(&s, "REPLACE INTO point(id, kind, value, note) VALUES(1, 'email', '', NULL)", "EMAIL_FORM: it's no address");
        assert_int_equal(number(&s, "SELECT count(*) FROM point WHERE value IN ('a@b', '1')"), 2);
    }
}

static void check_that_fails_undoes_its_statement_and_leaves_the_transaction_open(void **state) {
    (void)state;
    side s;
    BOTH_SIDES(s, EMAIL) {
        takes(&s, "BEGIN; INSERT INTO point(id, kind, value, note) VALUES(1, 'email', 'a@b', NULL)");
        refuses(&s, "INSERT INTO point(id, kind, value, note) VALUES(2, 'email', 'c@d', NULL), (3, 'email', 'c', NULL)",
                "EMAIL_FORM: it's no address");
        takes(&s, "INSERT INTO point(id, kind, value, note) VALUES(4, 'email', 'e@f', NULL); COMMIT");
        assert_int_equal(number(&s, "SELECT sum(id) FROM point"), 5);
    }
}

/* As a CHECK, one that is NULL holds. */
static void check_of_NULL_holds(void **state) {
    (void)state;
    side s;
    BOTH_SIDES(s, EMAIL)
    takes(&s, "INSERT INTO point(id, kind, value, note) VALUES(1, 'email', NULL, NULL), (2, NULL, 'x', NULL)");
}

static void check_given_later_leaves_old_rows_alone_until_what_it_reads_is_changed(void **state) {
    (void)state;
    side s;
    BOTH_SIDES(s, NULL) {
        takes(&s, "INSERT INTO point(id, kind, value, note) VALUES(1, 'email', 'old', NULL)");
        must(&s, EMAIL);
        takes(&s, "UPDATE point SET note = 'n', value = value, kind = 'email'");
        refuses(&s, "UPDATE point SET value = 'older'", "EMAIL_FORM: it's no address");
        refuses(&s, "UPDATE point SET id = 7", "EMAIL_FORM: it's no address"); /* is another row */
        must(&s, "ALTER TABLE point ADD COLUMN more INTEGER NOT NULL DEFAULT 5;");
        takes(&s, "UPDATE point SET value = 'a@b'");
    }
}

static void check_is_not_looked_at_where_rows_are_applied(void **state) {
    (void)state;
    side s;
    open_side(&s, SCHEMA_REPLICA, EMAIL);
    s.local = false;
    takes(&s, "INSERT INTO point(id, kind, value, note) VALUES(1, 'email', 'x', NULL); UPDATE point SET value = 'y'");
    close_side(&s);
}

static void check_reads_tables_that_only_the_server_writes(void **state) {
    (void)state;
    side s;
    BOTH_SIDES(s,
               "INSERT INTO satchel_check(tbl, check_sql, code, words) VALUES('point',\n"
               " 'NOT EXISTS(SELECT 1 FROM form f WHERE f.kind = point.kind AND (length(value) < f.least OR f.options IS NOT NULL"
               " AND NOT EXISTS(SELECT 1 FROM json_each(f.options) o WHERE o.value = point.value)))', 'FORM', 'no');") {
        takes(&s, "INSERT INTO form(kind, least, options) VALUES('long', 3, NULL), ('one', 0, '[\"a\", \"b\"]')");
        takes(
            &s,
            "INSERT INTO point(id, kind, value, note) VALUES(1, 'long', 'abc', NULL), (2, 'one', 'b', NULL), (3, 'other', '', NULL)");
        refuses(&s, "UPDATE point SET value = 'ab' WHERE id = 1", "FORM: no");
        refuses(&s, "INSERT INTO point(id, kind, value, note) VALUES(4, 'one', 'c', NULL)", "FORM: no");
        takes(&s, "UPDATE form SET least = 9, options = '[]'; UPDATE point SET note = 'n'");
        refuses(&s, "UPDATE point SET value = 'a' WHERE id = 2", "FORM: no");
    }
}

static void check_on_change_of_its_column_leaves_other_updates_alone(void **state) {
    (void)state;
    side s;
    BOTH_SIDES(s, "INSERT INTO satchel_check(tbl, col, on_change, check_sql, code, words) VALUES('point', 'kind', 1,\n"
                  " 'NOT EXISTS(SELECT 1 FROM form f WHERE f.kind = point.kind AND length(value) < f.least)', 'FORM', 'no');") {
        takes(&s, "INSERT INTO point(id, kind, value) VALUES(1, 'long', 'abc')");
        takes(&s, "INSERT INTO form(kind, least) VALUES('long', 5), ('short', 1)");
        takes(&s, "UPDATE point SET value = 'a', note = 'n'");
        refuses(&s, "INSERT INTO point(id, kind, value) VALUES(2, 'long', 'abc')", "FORM: no");
        takes(&s, "UPDATE point SET kind = 'short'");
        refuses(&s, "UPDATE point SET kind = 'long', value = 'abcd'", "FORM: no");
        takes(&s, "UPDATE point SET kind = 'long', value = 'abcde'");
    }
}

/* As text of the column beside a number, as a CHECK would have it. */
static void check_compares_as_the_column_does(void **state) {
    (void)state;
    side s;
    BOTH_SIDES(s, "INSERT INTO satchel_check(tbl, check_sql, code, words) VALUES('point', 'note <> 5', 'FIVE', 'no five');")
    refuses(&s, "INSERT INTO point(id, note) VALUES(1, '5')", "FIVE: no five");
}

/* ---- what is no check ---- */

static void check_that_cannot_be_one_is_refused_with_its_place(void **state) {
    (void)state;
    static const struct {
        const char *values, *text;
    } NO[] = {
        {"'point', NULL, 'value = ', 'C', 'w'", "check C of point: near"},
        {"'point', NULL, 'val = 1', 'C', 'w'", "no such column: val"},
        {"'point', NULL, 'value = nosuch(1)', 'C', 'w'", "no such function: nosuch"},
        {"'point', NULL, 'value = 1) OR (id = 1', 'C', 'w'", "check C of point: near"},
        {"'point', NULL, 'value, id', 'C', 'w'", "row value misused"},
        {"'point', NULL, 'value = 1 FROM point --', 'C', 'w'", "check C of point"},
        {"'point', NULL, '1; DELETE FROM point', 'C', 'w'", "more than one expression"},
        {"'point', NULL, 'value = ?1', 'C', 'w'", "parameter"},
        {"'point', NULL, '1 = 1', 'C', 'w'", "reads no column"},
        {"'point', NULL, 'value <> random()', 'C', 'w'", "random is a function that does not always give the same"},
        {"'point', NULL, 'satchel_local() OR value', 'C', 'w'", "satchel_local is a function"},
        {"'point', NULL, 'value < current_date', 'C', 'w'", "current_date is a function"},
        {"'point', NULL, 'value < date(''now'')', 'C', 'w'", "date is a function that may tell the time of day"},
        {"'point', NULL, 'value < unixepoch()', 'C', 'w'", "unixepoch is a function"},
        {"'point', NULL, 'value < StrfTime(''%Y'', ''now'')', 'C', 'w'", "is a function that may"},
        {"'point', NULL, 'satchel_clock IS value', 'C', 'w'", "no such column: satchel_clock"},
        {"'point', NULL, 'value IN (SELECT id FROM local_one)', 'C', 'w'",
         "local_one is not a table that only the server writes"},
        {"'point', NULL, 'NOT EXISTS(SELECT 1 FROM point p WHERE p.value = point.value)', 'C', 'w'",
         "point is not a table that only"},
        {"'point', NULL, 'value IN (SELECT name FROM sqlite_schema)', 'C', 'w'", "is not a table that only"},
        {"'point', NULL, 'value IN (SELECT name FROM satchel_table)', 'C', 'w'", "satchel_table is not a table that only"},
        {"'point', 'nosuch', 'value', 'C', 'w'", "no such column to point at"},
        {"'local_one', NULL, 'id', 'C', 'w'", "no such synced table"},
        {"'nosuch', NULL, 'id', 'C', 'w'", "no such synced table"},
        {"'point', NULL, 'value', 'small', 'w'", "A-Z, 0-9 and _"},
        {"'point', NULL, 'value', '', 'w'", "A-Z, 0-9 and _"},
        {"'point', NULL, 'value', 'C', ''", "1 to 400 bytes"},
        {"'point', NULL, 'value', 'C', 'w'), ('point', NULL, 'kind', 'C', 'w'", "UNIQUE constraint failed"},
    };
    side s;
    BOTH_SIDES(s, NULL)
    for (size_t i = 0; i < sizeof NO / sizeof *NO; i++) {
        char sql[400];
        snprintf(sql, sizeof sql,
                 "CREATE VIEW v AS SELECT 1;\nINSERT INTO satchel_check(tbl, col, check_sql, code, words) VALUES(%s);",
                 NO[i].values);
        int rc = migrate(&s, sql);
        buf_put_byte(&s.error, 0);
        const char *words = (const char *)s.error.p;
        if ((rc != SATCHEL_E_RULE && rc != SATCHEL_E_MIGRATION) || strncmp(words, "002.sql:2: ", 11) ||
            !strstr(words, NO[i].text))
            fail_msg("side %d: (%s): %s %s", s.side, NO[i].values, satchel_rc_name(rc), words);
        assert_int_equal(number(&s, "SELECT count(*) FROM satchel_check"), 0);
        assert_int_equal(number(&s, "SELECT count(*) FROM sqlite_schema WHERE type IN ('trigger', 'view')"), 0);
    }
}

/* ---- what becomes of it ---- */

static void check_follows_renames_of_what_it_reads(void **state) {
    (void)state;
    side s;
    BOTH_SIDES(
        s,
        EMAIL "INSERT INTO satchel_check(tbl, check_sql, code, words) VALUES('point',"
              " 'NOT EXISTS(SELECT 1 FROM form f WHERE f.kind = point.kind AND length(point.value) < f.least)', 'FORM', 'no');") {
        must(
            &s,
            "ALTER TABLE point RENAME COLUMN value TO text;\nALTER TABLE form RENAME COLUMN least TO shortest;\nALTER TABLE form RENAME TO shape;\n"
            "ALTER TABLE point RENAME TO spot;");
        takes(
            &s,
            "INSERT INTO shape(kind, shortest, options) VALUES('long', 3, NULL); INSERT INTO spot(id, kind, text, note) VALUES(1, 'long', 'abc', NULL)");
        refuses(&s, "INSERT INTO spot(id, kind, text, note) VALUES(2, 'email', 'x', NULL)", "EMAIL_FORM: it's no address");
        refuses(&s, "UPDATE spot SET text = 'x'", "FORM: no");
        assert_int_equal(number(&s, "SELECT count(*) FROM satchel_check WHERE tbl = 'spot' AND (code = 'FORM' OR col = 'text')"),
                         2);
    }
}

static void check_keeps_what_it_reads_from_being_dropped_and_goes_with_its_table(void **state) {
    (void)state;
    side s;
    BOTH_SIDES(s, "INSERT INTO satchel_check(tbl, col, check_sql, code, words) VALUES('point', 'note',"
                  " 'NOT EXISTS(SELECT 1 FROM form f WHERE f.kind = point.kind AND length(value) < f.least)', 'FORM', 'no');") {
        assert_int_equal(migrate(&s, "ALTER TABLE point DROP COLUMN value;"), SATCHEL_E_MIGRATION);
        assert_non_null(strstr((const char *)s.error.p, "satchel_check_insert_FORM"));
        assert_int_equal(migrate(&s, "\nDROP TABLE form;"), SATCHEL_E_RULE);
        assert_non_null(strstr((const char *)s.error.p, "003.sql:2: check FORM of point: no such table: main.form"));
        assert_int_equal(migrate(&s, "ALTER TABLE form DROP COLUMN least;"), SATCHEL_E_MIGRATION);
        must(&s, "ALTER TABLE point DROP COLUMN note;");
        assert_int_equal(number(&s, "SELECT count(*) FROM satchel_check WHERE col IS NULL"), 1);
        must(&s, "DROP TABLE point;\nDROP TABLE form;");
        assert_int_equal(
            number(&s,
                   "SELECT (SELECT count(*) FROM satchel_check) + (SELECT count(*) FROM sqlite_schema WHERE type = 'trigger')"),
            0);
    }
}

static void check_is_taken_back_and_given_anew_by_a_later_migration(void **state) {
    (void)state;
    side s;
    BOTH_SIDES(s, EMAIL) {
        must(&s, "DELETE FROM satchel_check WHERE code = 'EMAIL_FORM';");
        takes(&s, "INSERT INTO point(id, kind, value, note) VALUES(1, 'email', 'x', NULL)");
        must(&s, "INSERT INTO satchel_check(tbl, check_sql, code, words) VALUES('point', 'value <> ''y''', 'EMAIL_FORM', 'y');");
        refuses(&s, "UPDATE point SET value = 'y'", "EMAIL_FORM: y");
        must(
            &s,
            "INSERT OR REPLACE INTO satchel_check(tbl, check_sql, code, words) VALUES('point', 'value <> ''z''', 'EMAIL_FORM', 'z');");
        takes(&s, "UPDATE point SET value = 'y'");
        refuses(&s, "UPDATE point SET value = 'z'", "EMAIL_FORM: z");
        assert_int_equal(migrate(&s, "DELETE FROM satchel_rule;"), SATCHEL_E_MIGRATION);
        assert_int_equal(migrate(&s, "DELETE FROM point;"), SATCHEL_E_MIGRATION);
        assert_int_equal(migrate(&s, "UPDATE satchel_check SET words = 'x';"), SATCHEL_E_MIGRATION);
    }
}

/* A file or store of before there were checks. */
static void check_table_is_added_to_a_registry_without_it(void **state) {
    (void)state;
    side s;
    BOTH_SIDES(s, NULL) {
        takes(&s, "DROP TABLE satchel_check");
        assert_int_equal(schema_init(s.db, &s.error), SATCHEL_OK);
        must(&s, EMAIL);
        refuses(&s, "INSERT INTO point(id, kind, value, note) VALUES(3, 'email', '@', NULL)", "EMAIL_FORM: it's no address");
    }
}

static void fail_allocation(unsigned n) {
    faults_at(n, false);
}

/* Memory of Satchel's own, SQLite's while it prepares, a step that is interrupted. */
static void N10_check_that_fails_at_an_instant_leaves_nothing_and_can_be_given_again(void **state) {
    (void)state;
    static void (*const KIND[])(unsigned) = {fail_allocation, faults_at_prepare, faults_at_step};
    static const char TEXT[] =
        EMAIL "INSERT INTO satchel_check(tbl, check_sql, code, words) VALUES('point', 'note <> ''x''', 'OTHER', 'other');\n"
              "ALTER TABLE point RENAME COLUMN value TO text;\nDELETE FROM satchel_check WHERE code = 'OTHER';\n";
    side s;
    for (unsigned kind = 0; kind < 3; kind++)
        for (unsigned n = 1, more = 1; more; n++) {
            open_side(&s, n % 2 ? SCHEMA_SERVER : SCHEMA_REPLICA, NULL);
            KIND[kind](n);
            int rc = migrate(&s, TEXT);
            KIND[kind](0);
            more = faults_happened();
            if (rc) {
                assert_true(more);
                assert_int_equal(number(&s, "SELECT count(*) FROM satchel_check"), 0);
                assert_int_equal(number(&s, "SELECT count(*) FROM sqlite_schema WHERE type = 'trigger'"), 0);
                must(&s, TEXT);
            }
            assert_int_equal(number(&s, "SELECT count(*) FROM sqlite_schema WHERE type = 'trigger'"), 2);
            refuses(&s, "INSERT INTO point(id, kind, text) VALUES(3, 'email', '@')", "EMAIL_FORM: it's no address");
            close_side(&s);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_insert_and_update_that_fail_it_are_refused_with_code_and_words),
        cmocka_unit_test(check_that_fails_undoes_its_statement_and_leaves_the_transaction_open),
        cmocka_unit_test(check_of_NULL_holds),
        cmocka_unit_test(check_given_later_leaves_old_rows_alone_until_what_it_reads_is_changed),
        cmocka_unit_test(check_is_not_looked_at_where_rows_are_applied),
        cmocka_unit_test(check_reads_tables_that_only_the_server_writes),
        cmocka_unit_test(check_on_change_of_its_column_leaves_other_updates_alone),
        cmocka_unit_test(check_compares_as_the_column_does),
        cmocka_unit_test(check_that_cannot_be_one_is_refused_with_its_place),
        cmocka_unit_test(check_follows_renames_of_what_it_reads),
        cmocka_unit_test(check_keeps_what_it_reads_from_being_dropped_and_goes_with_its_table),
        cmocka_unit_test(check_is_taken_back_and_given_anew_by_a_later_migration),
        cmocka_unit_test(check_table_is_added_to_a_registry_without_it),
        cmocka_unit_test(N10_check_that_fails_at_an_instant_leaves_nothing_and_can_be_given_again),
    };
    faults_install();
    faults_of_sqlite(false);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
