/* A firing that failed: run again once, dismissed, or refused with what to do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"
#include "tests/unit/automation_fixture.h"

/* The code, and its words, which are valid until the next call. */
static int replay(world *w, uint64_t id, bool unconditional, automation_replayed *out, const char **words) {
    static char text[LIMIT_TEXT_BYTES];
    buf error;
    buf_init(&error, 0);
    assert_int_equal(store_begin(w->v.s), SATCHEL_OK);
    int rc = automation_replay(w->v.g, id, unconditional, w->v.now_ms, out, &error);
    if (rc)
        store_rollback(w->v.s);
    else
        assert_int_equal(store_commit(w->v.s), SATCHEL_OK);
    snprintf(text, sizeof text, "%.*s", (int)error.n, (const char *)error.p);
    *words = text;
    buf_fini(&error);
    return rc;
}

static void replays(world *w, uint64_t id, uint64_t as, uint64_t wrote, unsigned commits, bool failed) {
    automation_replayed out;
    const char *words;
    uint64_t before = head(w);
    int rc = replay(w, id, false, &out, &words);
    if (rc) fail_msg("%s: %s", satchel_rc_name(rc), words);
    assert_int_equal(out.id, as);
    assert_int_equal(out.wrote, wrote);
    assert_int_equal(out.failed, failed);
    assert_int_equal(head(w), before + commits);
}

static void no_replay(world *w, uint64_t id, int code, const char *says) {
    automation_replayed out;
    const char *words, *before = "SELECT count(*),(SELECT seq FROM satchel_server) FROM satchel_automation_run";
    char was[64];
    snprintf(was, sizeof was, "%s", sql(&w->v, before));
    uint64_t at = head(w);
    int rc = replay(w, id, false, &out, &words);
    assert_int_equal(head(w), at);
    if (rc != code || !strstr(words, says)) fail_msg("%s: %s", satchel_rc_name(rc), words);
    SQL(before, was);
}

/* "id" of each that counts as failed, oldest first, as the lists have it. */
static int add_failed(void *ctx, const automation_run_info *r) {
    char *text = ctx, more[64];
    if (r->rc && !r->settled_ms) {
        snprintf(more, sizeof more, "%llu %s", (unsigned long long)r->id, text);
        strcpy(text, more);
    }
    return 0;
}

static int add_count(void *ctx, const automation_info *a) {
    *(uint64_t *)ctx += a->failed;
    return 0;
}

static void assert_failed(world *w, const char *expected, uint64_t count) {
    char text[64] = "";
    uint64_t failed = 0;
    buf error = {0};
    assert_int_equal(automation_history(w->v.s, NULL, 100, add_failed, text), SATCHEL_OK);
    assert_string_equal(text, expected);
    assert_int_equal(automation_list(w->v.s, add_count, &failed, &error), SATCHEL_OK);
    assert_int_equal(failed, count);
    buf_fini(&error);
}

static void what_failed_is_run_again_once_for_the_row_as_it_is_and_the_event_as_it_was(void **state) {
    world *w = *state;
    publish(
        w,
        "INSERT INTO automation(name, tbl, event, condition, actions) VALUES('ring', 'item', 'put', 'new.n > 1',\n"
        " 'INSERT INTO line(qty, what) SELECT new.n, event.device||event.author||'' ''||coalesce(old.n, ''-'')||'' ''||event.seq FROM new, old, event;\n"
        "  INSERT INTO phone(id, person) SELECT 1, 99'),\n"
        "('next', 'phone', 'insert', NULL, 'INSERT INTO note(id, title) SELECT ''n''||event.seq, event.author FROM event');");
    takes(w, &w->phone, w->base, 0, "+ item('a') n=2");
    takes(w, &w->tablet, head(w), 1, "~ item('a') n+=3");
    uint64_t cause = head(w);
    assert_failed(w, "1 2 ", 2);
    known(w, "+ person(99)");
    replays(w, 2, 3, 2, 2, false);
    char line[64];
    snprintf(line, sizeof line, "5|tablet2 5 %llu", (unsigned long long)cause);
    SQL("SELECT qty,what FROM line", line);
    SQL("SELECT title FROM note", "0"); /* what follows from it is the server's */
    SQL("SELECT author FROM satchel_log WHERE id>>24=(SELECT seq-1 FROM satchel_server)", "0");
    snprintf(line, sizeof line, "0|2|%llu", (unsigned long long)cause);
    SQL("SELECT rc,replays,seq FROM satchel_automation_run WHERE id=3", line);
    assert_failed(w, "1 ", 1);
    no_replay(w, 2, SATCHEL_E_RESOLVED, "entry 2 was run again before, and entry 3 says");
    alerts(w);
    replays(w, 1, 5, 0, 0, true); /* the phone is there now */
    assert_non_null(strstr(alerts(w), "automation ring has failed: "));
    assert_failed(w, "5 ", 1);
    no_replay(w, 1, SATCHEL_E_RESOLVED, "entry 5");
    known(w, "- phone(1)");
    serving_reopen(&w->v);
    no_replay(w, 1, SATCHEL_E_RESOLVED, "entry 5");
    replays(w, 5, 6, 2, 2, false);
    SQL("SELECT substr(what,1,8) FROM line ORDER BY id DESC LIMIT 1", "phone1 -");
    assert_failed(w, "", 0);
    SQL("SELECT sum(replays) FROM satchel_automation_run", "8");
}

/* It has run again all the same. */
static void what_failed_and_has_nothing_to_write_any_more_is_noted(void **state) {
    world *w = *state;
    publish(w, "INSERT INTO automation(name, tbl, event, actions) VALUES('ring', 'item', 'insert',"
               " 'INSERT INTO phone(id, person) SELECT mx, 99 FROM new WHERE mx IS NOT NULL');");
    takes(w, &w->phone, w->base, 0, "+ item('a') mx=1");
    known(w, "+ item('b')");
    assert_failed(w, "1 ", 1);
    sql_exec(&w->v, "UPDATE item SET mx=NULL");
    replays(w, 1, 2, 0, 0, false);
    assert_failed(w, "", 0);
    SQL("SELECT rc,wrote,words FROM satchel_automation_run WHERE id=2", "0|0|NULL");
}

static int dismiss(world *w, uint64_t id, const char *says) {
    buf error;
    buf_init(&error, 0);
    assert_int_equal(store_begin(w->v.s), SATCHEL_OK);
    int rc = automation_dismiss(w->v.s, id, w->v.now_ms, &error);
    assert_int_equal(store_commit(w->v.s), SATCHEL_OK);
    buf_put_byte(&error, 0);
    if (!strstr((const char *)error.p, says)) fail_msg("%s: %s", satchel_rc_name(rc), (const char *)error.p);
    buf_fini(&error);
    return rc;
}

static void what_failed_is_dismissed_once_instead_and_a_timers_is_settled_when_it_has_run(void **state) {
    world *w = *state;
    publish(
        w,
        "INSERT INTO automation(name, tbl, event, actions) VALUES('ring', 'item', 'insert', 'INSERT INTO phone(id, person) SELECT 1, 99');"
        "INSERT INTO automation(name, every, actions) VALUES('tick', '1d', 'INSERT INTO phone(id, person) SELECT 2, 98');");
    takes(w, &w->phone, w->base, 0, "+ item('a') n=2; + item('b') n=3");
    run_timer(w, "tick", true);
    run_timer(w, "tick", true);
    assert_failed(w, "1 2 3 4 ", 4);
    uint64_t before = head(w);
    assert_int_equal(dismiss(w, 1, ""), SATCHEL_OK);
    assert_failed(w, "2 3 4 ", 3);
    assert_int_equal(head(w), before);
    assert_int_equal(dismiss(w, 1, "entry 1 is settled: somebody has dismissed it"), SATCHEL_E_RESOLVED);
    assert_int_equal(dismiss(w, 99, "has no entry 99"), SATCHEL_E_NOT_FOUND);
    known(w, "+ person(99); + person(98)");
    no_replay(w, 1, SATCHEL_E_RESOLVED, "entry 1 is settled");
    replays(w, 2, 5, 1, 1, false);
    assert_int_equal(dismiss(w, 2, "entry 2 was run again before"), SATCHEL_E_RESOLVED);
    assert_int_equal(dismiss(w, 5, "entry 5 has not failed"), SATCHEL_E_MISUSE);
    assert_failed(w, "3 4 ", 2);
    run_timer(w, "tick", false);
    assert_failed(w, "", 0);
    assert_int_equal(dismiss(w, 4, "its timer has run since"), SATCHEL_E_RESOLVED);
}

static void what_cannot_be_run_again_is_refused_with_what_to_do(void **state) {
    world *w = *state;
    static const char BAD[] =
        "INSERT INTO automation(name, tbl, event, condition, actions) VALUES\n"
        "('bad', 'item', 'put', 'new.n > 1', 'INSERT INTO phone(id, person) SELECT 1, 99'),\n"
        "('moved', 'item', 'update', 'new.n <> old.n', 'INSERT INTO phone(id, person) SELECT 2, 99'),\n"
        "('gone', 'item', 'delete', NULL, 'INSERT INTO phone(id, person) SELECT 3, 99'),\n"
        "('good', 'item', 'insert', NULL, 'INSERT INTO line(qty) SELECT 1');\n"
        "INSERT INTO automation(name, every, actions) VALUES('tick', '1d', 'INSERT INTO phone(id, person) SELECT 4, 99');";
    publish(w, BAD);
    takes(w, &w->phone, w->base, 0, "+ item('a') n=2");  /* 1 bad, 2 good */
    takes(w, &w->phone, head(w), 1, "~ item('a') n+=1"); /* 3 bad, 4 moved */
    takes(w, &w->phone, head(w), 2, "+ item('b')");      /* 5 good */
    takes(w, &w->phone, head(w), 3, "- item('b')");      /* 6 gone */
    run_timer(w, "tick", true);                          /* 7 */
    assert_failed(w, "1 3 4 6 7 ", 5);
    no_replay(w, 99, SATCHEL_E_NOT_FOUND, "has no entry 99");
    no_replay(w, 2, SATCHEL_E_MISUSE, "entry 2 has not failed");
    no_replay(w, 6, SATCHEL_E_MISUSE, "gone fired for a row that is deleted");
    no_replay(w, 7, SATCHEL_E_MISUSE, "tick is a timer");
    no_replay(w, 4, SATCHEL_E_MISUSE, "the condition of moved does not hold");
    switch_rule(w, "bad", false);
    no_replay(w, 1, SATCHEL_E_MISUSE, "bad is off; switch it on");
    switch_rule(w, "bad", true);
    takes(w, &w->phone, head(w), 4, "~ item('a') n+=-3");
    no_replay(w, 1, SATCHEL_E_MISUSE, "the condition of bad does not hold");
    known(w, "+ person(99)");
    automation_replayed out;
    const char *words;
    assert_int_equal(replay(w, 4, true, &out, &words), SATCHEL_OK);
    SQL("SELECT id FROM phone", "2");
    takes(w, &w->phone, head(w), 5, "- item('a')");
    no_replay(w, 1, SATCHEL_E_NOT_FOUND, "item has no row with this key any more");
    publish(
        w,
        "INSERT INTO automation(name, tbl, event, actions) VALUES('bad', 'item', 'update', 'DELETE FROM line'), ('gone', 'line', 'put', 'DELETE FROM item');");
    no_replay(w, 1, SATCHEL_E_MISUSE, "bad fires at another event by now");
    publish(w, "INSERT INTO automation(name, tbl, event, actions) VALUES('bad', 'line', 'put', 'DELETE FROM line');");
    no_replay(w, 1, SATCHEL_E_MISUSE, "bad is about another table by now");
    publish(w, COPY);
    no_replay(w, 1, SATCHEL_E_NOT_FOUND, "there is no automation bad any more; publish it");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(what_failed_is_run_again_once_for_the_row_as_it_is_and_the_event_as_it_was),
        TEST(what_failed_and_has_nothing_to_write_any_more_is_noted),
        TEST(what_failed_is_dismissed_once_instead_and_a_timers_is_settled_when_it_has_run),
        TEST(what_cannot_be_run_again_is_refused_with_what_to_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
