/* SQL functions of both sides. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/functions.h"
#include "protocol/satchel_rc.h"

static const struct {
    const char *expression, *result;
} CASE[] = {
    /* satchel_id: the first half of SHA-256 over 03 01 61 (the text 'a'), and over 01 and eight bytes of an integer. */
    {"hex(satchel_id('a'))", "427849C99E9A8A452315A4BC96BA286C"},
    {"length(satchel_id())", "16"},
    {"satchel_id('a', 'b') = satchel_id('a', 'b')", "1"},
    {"satchel_id('ab', 'c') = satchel_id('a', 'bc')", "0"},
    {"satchel_id(1) = satchel_id('1')", "0"},
    {"satchel_id(x'61') = satchel_id('a')", "0"},
    {"satchel_id(NULL) = satchel_id()", "0"},
    {"typeof(satchel_id(1, 2.5, NULL))", "blob"},
    {"day_of(0)", "1970-01-01"},
    {"day_of(86399999)", "1970-01-01"},
    {"day_of(86400000)", "1970-01-02"},
    {"day_of(-1)", "1969-12-31"},
    {"day_of(951782400000)", "2000-02-29"},
    {"day_of(253402300799999)", "9999-12-31"},
    {"day_of(253402300800000)", NULL},
    {"day_of(-62167219200000)", "0000-01-01"},
    {"day_of(-62167219200001)", NULL},
    {"day_of(-62162121600000)", "0000-02-29"},
    {"day_of(-62162035200000)", "0000-03-01"},
    {"day_of(-62135596800001)", "0000-12-31"},
    {"day_of(-2203977600000)", "1900-02-28"},
    {"day_of(-2203891200000)", "1900-03-01"},
    {"day_of(1e3)", "1970-01-01"},
    {"day_of('86400000')", "1970-01-02"},
    {"day_of('monday')", NULL},
    {"day_of(NULL)", NULL},
    {"month_of(951782400000)", "2000-02"},
    {"month_of(-1)", "1969-12"},
    {"month_of(NULL)", NULL},
    {"fold('ÀÉÎÕÜ Straße')", "aeiou strasse"},
    {"fold('İstanbul')", "istanbul"},
    {"fold('ΣΊΣΥΦΟΣ')", "σισυφοσ"},
    {"fold('e' || char(0x301))", "e"},
    {"fold(char(0xff21) || 'ﬁ')", "afi"},
    {"fold('Ёлка')", "елка"},
    {"fold('')", ""},
    {"fold(12)", "12"},
    {"fold(NULL)", NULL},
    {"hex(fold(CAST(x'41ff' AS TEXT)))", "41FF"},
};

static void function_gives_what_the_header_says(void **state) {
    (void)state;
    sqlite3 *db;
    assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
    assert_int_equal(functions_register(db), SATCHEL_OK);
    for (unsigned i = 0; i < sizeof CASE / sizeof *CASE; i++) {
        sqlite3_stmt *q;
        char *sql = sqlite3_mprintf("SELECT %s", CASE[i].expression);
        assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &q, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_step(q), SQLITE_ROW);
        const char *is = (const char *)sqlite3_column_text(q, 0), *wanted = CASE[i].result;
        if (!is != !wanted || (is && strcmp(is, wanted) != 0)) fail_msg("%s: %s", CASE[i].expression, is ? is : "NULL");
        sqlite3_finalize(q);
        sqlite3_free(sql);
    }
    sqlite3_close(db);
}

/* An index may be over them. */
static void functions_may_stand_in_an_index(void **state) {
    (void)state;
    sqlite3 *db;
    assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
    assert_int_equal(functions_register(db), SATCHEL_OK);
    assert_int_equal(
        sqlite3_exec(
            db,
            "CREATE TABLE a(x); CREATE INDEX b ON a(fold(x), day_of(x), month_of(x), satchel_id(x)); INSERT INTO a VALUES('É')",
            NULL, NULL, NULL),
        SQLITE_OK);
    sqlite3_close(db);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(function_gives_what_the_header_says),
        cmocka_unit_test(functions_may_stand_in_an_index),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
