#include "tests/unit/automation_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"

void publish(world *w, const char *rules) {
    uint64_t n;
    buf error;
    buf_init(&error, 0);
    assert_int_equal(store_begin(w->v.s), SATCHEL_OK);
    int rc = automation_publish(w->v.s, "automation.sql", rules, w->v.now_ms, &n, &error);
    buf_put_byte(&error, 0);
    if (rc) fail_msg("%s", (const char *)error.p);
    assert_int_equal(store_commit(w->v.s), SATCHEL_OK);
    buf_fini(&error);
}

const char COPY[] =
    "INSERT INTO automation(name, tbl, event, columns, condition, actions) VALUES('copy', 'item', 'put', 'n, l', 'new.n > 1',\n"
    " 'INSERT INTO line(qty, what) SELECT new.n, coalesce(old.l, ''-'')||''>''||coalesce(new.l, ''-'') FROM new, old');";

void run_timer(world *w, const char *name, bool failed) {
    bool has_failed;
    buf error;
    buf_init(&error, 0);
    assert_int_equal(store_begin(w->v.s), SATCHEL_OK);
    assert_int_equal(automation_run(w->v.g, name, w->v.now_ms, &has_failed, &error), SATCHEL_OK);
    assert_int_equal(store_commit(w->v.s), SATCHEL_OK);
    assert_int_equal(has_failed, failed);
    buf_fini(&error);
}

void switch_rule(world *w, const char *name, bool on) {
    buf error;
    buf_init(&error, 0);
    assert_int_equal(store_begin(w->v.s), SATCHEL_OK);
    assert_int_equal(automation_switch(w->v.s, name, on, w->v.now_ms, &error), SATCHEL_OK);
    assert_int_equal(store_commit(w->v.s), SATCHEL_OK);
    buf_fini(&error);
}

const char *try_rule(world *w, const char *name, const char *table, const char *key) {
    static char text[2000];
    buf report, error;
    buf_init(&report, 0);
    buf_init(&error, 0);
    assert_int_equal(store_begin(w->v.s), SATCHEL_OK);
    assert_int_equal(automation_try(w->v.g, name, table, key, w->v.now_ms, &report, &error), SATCHEL_OK);
    assert_int_equal(store_commit(w->v.s), SATCHEL_OK);
    snprintf(text, sizeof text, "%.*s", (int)report.n, (const char *)report.p);
    buf_fini(&report);
    buf_fini(&error);
    return text;
}

const char *alerts(world *w) {
    static char text[2000];
    buf lines;
    buf_init(&lines, 0);
    ingest_alerts(w->v.g, &lines);
    snprintf(text, sizeof text, "%.*s", (int)lines.n, (const char *)lines.p);
    buf_fini(&lines);
    return text;
}
