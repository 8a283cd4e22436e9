/* Where SQL text may be cut in two. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tools/sqlcut.h"

/* In `marked` a '^' stands for each place to cut; the text is what is left without them. */
static void check(const char *marked) {
    sqlcut s = {0};
    for (const char *p = marked; *p; p++) {
        if (*p == '^') fail_msg("no cut where one is, before: %s", p);
        bool cut = sqlcut_next(&s, *p);
        if (cut != (p[1] == '^')) fail_msg("%s after '%c' in: %s", cut ? "a cut" : "no cut", *p, marked);
        if (cut) p++;
    }
}

static void next_after_single_statements_cuts(void **state) {
    (void)state;
    check("INSERT INTO t VALUES(1);^ UPDATE t SET a = 1;^");
    check(";^;^");
    check("SELECT 1");
}

static void next_inside_a_transaction_does_not_cut(void **state) {
    (void)state;
    check("BEGIN; INSERT INTO t VALUES(1); COMMIT;^ INSERT INTO t VALUES(2);^");
    check("begin immediate; insert into t values(1); end transaction;^");
    check("BEGIN; DELETE FROM t; ROLLBACK;^");
    check("BEGIN; SAVEPOINT a; ROLLBACK TO a; ROLLBACK TRANSACTION TO SAVEPOINT a; COMMIT;^");
}

static void next_inside_quotes_does_not_cut(void **state) {
    (void)state;
    check("INSERT INTO t VALUES('a;b''c;');^ SELECT \"x;y\", `a;b`, [c;d];^");
    check("INSERT INTO t VALUES('COMMIT;');^");
    check("BEGIN; INSERT INTO t VALUES(';COMMIT;'); COMMIT;^");
    check("SELECT 'never closed ; ");
}

static void next_inside_comments_does_not_cut(void **state) {
    (void)state;
    check("-- one; two\nSELECT 1;^");
    check("/* a; /* b; */ SELECT 1 -- ' ;\n;^");
    check("/*/ ; */ SELECT 1;^");
    check("-- BEGIN;\nSELECT 2;^");
    check("SELECT 1 - 1;^ SELECT 4 / 2 * 1;^");
}

static void next_takes_only_the_first_word(void **state) {
    (void)state;
    check("INSERT INTO log(begin) VALUES(1);^");
    check("UPDATE t SET a = 'x' WHERE b = begin;^ SELECT 1;^");
    check("/* c */ BEGIN; SELECT 1; COMMIT;^");
    check("BEGINNING;^ SELECT 1;^");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(next_after_single_statements_cuts), cmocka_unit_test(next_inside_a_transaction_does_not_cut),
        cmocka_unit_test(next_inside_quotes_does_not_cut),   cmocka_unit_test(next_inside_comments_does_not_cut),
        cmocka_unit_test(next_takes_only_the_first_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
