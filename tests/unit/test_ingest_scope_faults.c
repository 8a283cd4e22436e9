/* Pushes whose rows lie in buckets, change hands or may not be written, with a fault at each instant. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"
#include "server/scope.h"
#include "tests/support/faults.h"
#include "tests/unit/ingest_faults.h"

/* Of a deleted trip nothing is kept, so that it cannot come again for what names it. */
static const char SCHEMA[] = "CREATE TABLE account(id TEXT PRIMARY KEY, terr INTEGER, name TEXT);\n"
                             "INSERT INTO satchel_table(name) VALUES('account');\n"
                             "CREATE TABLE trip(id TEXT PRIMARY KEY, terr INTEGER);\n"
                             "INSERT INTO satchel_table(name, wins) VALUES('trip', 'delete');\n"
                             "CREATE TABLE contact(id TEXT PRIMARY KEY, account TEXT, trip TEXT, name TEXT);\n"
                             "INSERT INTO satchel_table(name) VALUES('contact');\n"
                             "CREATE TABLE note(id TEXT PRIMARY KEY, contact TEXT, body TEXT);\n"
                             "INSERT INTO satchel_table(name) VALUES('note');\n";
/* Of the least number there is no abs: where an account has it, the rule cannot be worked out. */
static const char RULES[] = "INSERT INTO scope_bucket(tbl,name,value,condition) VALUES\n"
                            "  ('account','terr','abs(terr)',NULL), ('trip','terr','terr',NULL);\n"
                            "INSERT INTO scope_parent(tbl,parent,columns,condition,missing) VALUES\n"
                            "  ('contact','account','account',NULL,'revive'),\n"
                            "  ('contact','trip','trip',NULL,'revive'),\n"
                            "  ('note','contact','contact',NULL,'park');\n"
                            "INSERT INTO scope_profile(name,buckets) VALUES('rep','SELECT ''terr'',1');\n"
                            "INSERT INTO scope_write(profile,tbl,ops,columns,anywhere) VALUES\n"
                            "  ('rep','account','insert,update,delete',NULL,0),\n"
                            "  ('rep','contact','insert,update,delete',NULL,0),\n"
                            "  ('rep','note','insert,update,delete',NULL,0);\n";
#define LEAST "-9223372036854775808"

static void look_at_view(world *w, const device *d) {
    uint64_t id;
    serving_begin(&w->v);
    assert_int_equal(scope_device_view(ingest_scope(w->v.g), d->a.device, w->v.now_ms, &id), SATCHEL_OK);
    serving_commit(&w->v);
}

/* The phone has territory 1. 'd' and 't' were there when it wrote, and were deleted since; and one contact of its own was refused. */
static int scoped_setup(void **state) {
    world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    serving_init(&w->v);
    serving_write(&w->v, "schema/001_first.sql", SCHEMA);
    serving_write(&w->v, "schema/scope.sql", RULES);
    serving_reopen(&w->v);
    sql_exec(&w->v, "PRAGMA synchronous=OFF");
    w->phone = serving_device(&w->v, "phone");
    w->tablet = serving_device(&w->v, "tablet");
    sql_exec(&w->v, "UPDATE satchel_device SET profile='rep' WHERE name='phone'");
    known(w, "+ account('a') terr=1, name='x'; + account('b') terr=1; + account('d') terr=1, name='dead'; + account('z') terr=2;"
             "+ trip('t') terr=1; + contact('a1') account='a'; + contact('a2') account='a'; + contact('a3') account='a';"
             "+ contact('b1') account='b'; + contact('d1') account='d'; + note('na1') contact='a1'; + note('nb1') contact='b1'");
    look_at_view(w, &w->phone);
    w->base = head(w);
    takes(w, &w->tablet, w->base, 20, "- account('d'); - trip('t')");
    refuses(w, &w->phone, w->base, 0, "+ contact('z1') account='z'", SATCHEL_E_SCOPE, "");
    *state = w;
    return 0;
}

/* An account and all below it go to another territory; of what is deleted, some was made or changed before, and some comes again. */
static void before_moving(world *w) {
    make(w, "+ contact('a9') account='a'; + note('na9') contact='a9'; - contact('a1'); ~ contact('a2') name='y'; - contact('a2');"
            "+ contact('a8') account='a'; - contact('a8'); - contact('a3'); + contact('a3') account='b'; - contact('a3');"
            "~ contact('b1') account='a'; ~ account('a') terr=2");
}

static void before_child_that_comes_first(world *w) {
    make(w, "+ note('n8') contact='b8'; + contact('b8') account='b'");
}

static void before_child_of_a_deleted_row(world *w) {
    make(w, "+ contact('d2') account='d'; ~ contact('d1') name='y'");
}

static void before_child_of_what_it_deletes(world *w) {
    make(w, "- account('b'); + contact('b2') account='b'");
}

static void before_writing_what_it_does_not_hold(world *w) {
    make(w, "~ account('a') name='y'; ~ account('z') name='y'");
}

static void before_making_what_it_does_not_hold(world *w) {
    make(w, "~ account('a') name='y'; + contact('z2') account='z'");
}

static void before_orphan(world *w) {
    make(w, "+ note('n5') contact='nobody'");
}

static void before_orphan_of_what_was_refused(world *w) {
    make(w, "+ note('n6') contact='z1'");
}

static void before_orphan_of_what_nothing_is_kept_of(world *w) {
    make(w, "+ contact('t1') account='a', trip='t'");
}

static void before_row_that_a_rule_fails_over(world *w) {
    make(w, "~ account('a') name='y'; + account('e') terr=" LEAST);
}

static void before_move_that_a_rule_fails_over(world *w) {
    make(w, "~ account('a') terr=" LEAST);
}

static const operation OPERATION[] = {
    {"moving", before_moving, run_push, 0},
    {"child that comes first", before_child_that_comes_first, run_push, 0},
    {"child of a deleted row", before_child_of_a_deleted_row, run_push, 0},
    {"child of what it deletes", before_child_of_what_it_deletes, run_push, 0},
    {"writing what it does not hold", before_writing_what_it_does_not_hold, run_push, 0},
    {"making what it does not hold", before_making_what_it_does_not_hold, run_push, 0},
    {"orphan", before_orphan, run_push, 0},
    {"orphan of what was refused", before_orphan_of_what_was_refused, run_push, 0},
    {"orphan of what nothing is kept of", before_orphan_of_what_nothing_is_kept_of, run_push, 0},
    {"row that a rule fails over", before_row_that_a_rule_fails_over, run_push, 0},
    {"move that a rule fails over", before_move_that_a_rule_fails_over, run_push, 0},
};

static void push_in_scope_that_fails_leaves_the_store_as_it_was_and_succeeds_when_done_again(void **state) {
    fail_each_instant_here(*state, OPERATION, sizeof OPERATION / sizeof OPERATION[0]);
}

int main(void) {
    faults_install();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(push_in_scope_that_fails_leaves_the_store_as_it_was_and_succeeds_when_done_again,
                                        scoped_setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
