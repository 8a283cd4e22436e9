/* What automations do, with a fault at each instant: what follows is there once, with its cause, or neither is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"
#include "server/automation.h"
#include "tests/support/faults.h"
#include "tests/unit/ingest_faults.h"

/* A rule that works and is followed by others, one whose value gives way, and those that fail: by their SQL, by what they write, by a row that is not there. */
static const char RULES[] =
    "INSERT INTO automation(name, tbl, event, condition, actions) VALUES\n"
    "('copy', 'item', 'put', 'new.n > 0', 'INSERT INTO line(id, qty) SELECT 100 + (SELECT count(*) FROM line), new.n FROM new; UPDATE line SET what=''x'' WHERE id=2'),\n"
    "('next', 'line', 'put', NULL, 'INSERT INTO entry(id, points) SELECT new.id, new.qty FROM new'),\n"
    "('fill', 'item', 'update', NULL, 'UPDATE item SET l=''auto'', f=''auto'' WHERE id IN (SELECT id FROM new)'),\n"
    "('error', 'item', 'put', NULL, 'UPDATE note SET title=abs(-9223372036854775807 - 1)'),\n"
    "('type', 'item', 'update', NULL, 'INSERT INTO person(id) SELECT 50; UPDATE item SET n=''x'' WHERE id IN (SELECT id FROM new)'),\n"
    "('orphan', 'item', 'insert', NULL, 'INSERT INTO phone(id, person) SELECT 50, 99'),\n"
    "('gone', 'line', 'delete', NULL, 'DELETE FROM pref');\n"
    "INSERT INTO automation(name, every, actions) VALUES('tick', '1h', 'UPDATE item SET sv=sv + 1');\n";

static int publish(world *w) {
    uint64_t n;
    buf error;
    buf_init(&error, 0);
    int rc = automation_publish(w->v.s, "automation.sql", RULES, w->v.now_ms, &n, &error);
    buf_fini(&error);
    return rc;
}

static void with_rules(world *w) {
    assert_int_equal(store_begin(w->v.s), SATCHEL_OK);
    assert_int_equal(publish(w), SATCHEL_OK);
    assert_int_equal(store_commit(w->v.s), SATCHEL_OK);
    make(w, "~ item('a') n+=2; + item('z') n=4; - line(1)");
}

/* What goes to the log goes there with the transaction. How long a rule took is another each time, and so is the stamp of what was undone. */
static int finish(world *w, int rc) {
    static const char ALIKE[] = "UPDATE satchel_automation_run SET ms=0; UPDATE satchel_automation_text SET stamp=99";
    buf lines;
    buf_init(&lines, 0);
    ingest_alerts(w->v.g, &lines);
    if (!rc) buf_put(&said, lines.p, lines.n);
    if (!rc) rc = lines.rc;
    buf_fini(&lines);
    return rc ? rc : sqlite3_exec(store_db(w->v.s), ALIKE, NULL, NULL, NULL) ? SATCHEL_E_IO : SATCHEL_OK;
}

static int run_publish(world *w) {
    return finish(w, publish(w));
}

static int run_cause(world *w) {
    return finish(w, run_push(w));
}

/* The cause is a transaction of the server's own. What it counted is not counted when what follows from it fails. */
static int run_sql_cause(world *w) {
    uint64_t rows = ingest_rows(w->v.g);
    buf error;
    buf_init(&error, 0);
    int rc = ingest_sql_inside(w->v.g, "UPDATE item SET n=n+2 WHERE id='a'; DELETE FROM line WHERE id=1", w->v.now_ms, &error);
    buf_fini(&error);
    if (rc) assert_int_equal(ingest_rows(w->v.g), rows);
    return finish(w, rc);
}

static int run_due_timers(world *w) {
    bool due;
    uint64_t now_ms = w->v.now_ms + 7200000;
    int rc = automation_due(w->v.g, now_ms, &due);
    return finish(w, rc ? rc : automation_timers(w->v.g, now_ms));
}

static int run_try(world *w) {
    buf error;
    buf_init(&error, 0);
    int rc = automation_try(w->v.g, "copy", "item", "'a'", w->v.now_ms, &said, &error);
    buf_fini(&error);
    return finish(w, rc);
}

static uint64_t orphan, type; /* entries of the history */

static uint64_t entry_of(world *w, const char *rule) {
    char text[128];
    snprintf(text, sizeof text, "SELECT max(id) FROM satchel_automation_run WHERE rc<>0 AND name='%s'", rule);
    return strtoull(sql(&w->v, text), NULL, 10);
}

/* Of a rule that had nobody to refer to, who is there now; and of one that fails again. */
static void with_failures(world *w) {
    with_rules(w);
    assert_int_equal(store_begin(w->v.s), SATCHEL_OK);
    assert_int_equal(run_push(w), SATCHEL_OK);
    assert_int_equal(store_commit(w->v.s), SATCHEL_OK);
    known(w, "+ person(99)");
    orphan = entry_of(w, "orphan");
    type = entry_of(w, "type");
    assert_true(orphan && type);
}

static int replay(world *w, uint64_t id, bool failed) {
    automation_replayed done;
    buf error;
    buf_init(&error, 0);
    int rc = automation_replay(w->v.g, id, false, w->v.now_ms, &done, &error);
    if (!rc) assert_int_equal(done.failed, failed);
    buf_fini(&error);
    return rc;
}

static int run_replay(world *w) {
    int rc = replay(w, orphan, false);
    return finish(w, rc ? rc : replay(w, type, true));
}

static int run_dismiss(world *w) {
    buf error;
    buf_init(&error, 0);
    int rc = automation_dismiss(w->v.s, orphan, w->v.now_ms, &error);
    buf_fini(&error);
    return finish(w, rc);
}

static int run_switch(world *w) {
    buf error;
    buf_init(&error, 0);
    int rc = automation_switch(w->v.s, "copy", false, w->v.now_ms, &error);
    buf_fini(&error);
    return rc ? rc : run_cause(w);
}

static const operation OPERATION[] = {
    {"cause", with_rules, run_cause, 0},       {"cause by SQL", with_rules, run_sql_cause, 0},
    {"timers", with_rules, run_due_timers, 0}, {"try", with_rules, run_try, 0},
    {"publish", NULL, run_publish, 0},         {"switch", with_rules, run_switch, 0},
    {"replay", with_failures, run_replay, 0},  {"dismiss", with_failures, run_dismiss, 0},
};

static void N10_automations_that_fail_at_an_instant_leave_nothing_and_have_their_effect_once_when_done_again(void **state) {
    fail_each_instant(*state, OPERATION, sizeof OPERATION / sizeof OPERATION[0]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(N10_automations_that_fail_at_an_instant_leave_nothing_and_have_their_effect_once_when_done_again)};
    faults_install();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
