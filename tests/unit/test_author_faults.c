/* What programs and the server's own SQL write, and how ingest begins, with a fault at each instant. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"
#include "tests/support/faults.h"
#include "tests/unit/ingest_faults.h"

static void before_refused(world *w) {
    make(w, "~ item('a') l='mine'; + person(3); + strict(x'03') c=100");
}

static int run_program(world *w) {
    ingest_program_txn t = {
        .author = 2, .writes_server = true, .base = store_where(w->v.s).seq, .delta = pushed.delta, .ndelta = pushed.ndelta};
    int rc = ingest_program(w->v.g, &t, w->v.now_ms, &w->v.last);
    if (!rc) buf_printf(&said, "%d %llu", w->v.last.result.rc, (unsigned long long)w->v.last.result.seq);
    return rc;
}

static void before_program(world *w) {
    make(w, "~ item('a') l='theirs now', sv=9; + person(3); - line(1)");
}

static int run_text(world *w, const char *text) {
    uint64_t transactions, rows;
    buf error;
    buf_init(&error, 0);
    int rc = ingest_sql(w->v.g, text, w->v.now_ms, &transactions, &rows, &error);
    buf_fini(&error);
    return rc;
}

static int run_statement(world *w) {
    return run_text(w, "UPDATE item SET n=n+1, l='all'");
}

static int run_sql(world *w) {
    return run_text(w, "BEGIN; UPDATE item SET sv=7; INSERT INTO person(id) VALUES(3); DELETE FROM line; COMMIT");
}

static int run_sql_inside(world *w) {
    buf error;
    buf_init(&error, 0);
    int rc = ingest_sql_inside(w->v.g, "UPDATE item SET n=n+1; INSERT INTO person(id) VALUES(3)", w->v.now_ms, &error);
    buf_fini(&error);
    return rc;
}

static int run_new(world *w) {
    ingest_free(w->v.g);
    return ingest_new(w->v.s, &w->v.g);
}

static int run_has_row(world *w) {
    value key = value_text("a", 1);
    int rc = ingest_has_row(w->v.g, schema_table_by_name(store_schema(w->v.s), "item"), &key, 0, UINT64_MAX);
    return rc == 1 ? SATCHEL_OK : rc;
}

static void before_has_deleted(world *w) {
    make(w, "- item('a')");
    assert_int_equal(push_txn_raw(&w->v, &w->phone, &pushed, NULL), SATCHEL_OK);
}

static int run_has_deleted(world *w) {
    value key = value_text("a", 1);
    int rc = ingest_has_row(w->v.g, schema_table_by_name(store_schema(w->v.s), "item"), &key, 77, 0);
    return rc == 1 ? SATCHEL_OK : rc ? rc : SATCHEL_E_NOT_FOUND;
}

static int run_has_long(world *w) {
    static char text[3000];
    memset(text, 'x', sizeof text);
    value key = value_text(text, sizeof text);
    return ingest_has_row(w->v.g, schema_table_by_name(store_schema(w->v.s), "item"), &key, 77, 0);
}

static const operation OPERATION[] = {
    {"program", before_program, run_program, 0},
    {"program refused", before_refused, run_program, 0},
    {"statement", NULL, run_statement, OWN_TRANSACTIONS},
    {"SQL", NULL, run_sql, OWN_TRANSACTIONS},
    {"SQL inside", NULL, run_sql_inside, 0},
    {"new", NULL, run_new, OWN_TRANSACTIONS},
    {"has row", NULL, run_has_row, 0},
    {"has deleted row", before_has_deleted, run_has_deleted, 0},
    {"has no row with a long key", before_has_deleted, run_has_long, 0},
};

static void author_that_fails_leaves_the_store_as_it_was_and_succeeds_when_done_again(void **state) {
    fail_each_instant(*state, OPERATION, sizeof OPERATION / sizeof OPERATION[0]);
}

int main(void) {
    faults_install();
    const struct CMUnitTest tests[] = {
        TEST(author_that_fails_leaves_the_store_as_it_was_and_succeeds_when_done_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
