/* The rules of protocol/merge.md as ingest applies them to rows; M1 and so on are their numbers there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/hlc.h"
#include "protocol/satchel_rc.h"
#include "protocol/unseen.h"
#include "tests/unit/ingest_fixture.h"

/* ---- columns ---- */

static void m1_lww_later_stamp_wins_in_either_order(void **state) {
    world *w = *state;
    known(w, "+ item('a') l='111'; + item('b') l='111'");
    takes(w, &w->tablet, w->base, 300, "~ item('a') l='333'");
    LOGGED("~ item('a') l='333'");
    CONFLICTS("");
    takes(w, &w->phone, w->base, 0, "~ item('a') l='222'");
    CONFLICTS("item('a').l lww kept '333' lost '222' of 1");
    LOGGED("");
    takes(w, &w->phone, w->base, 0, "~ item('b') l='222'");
    takes(w, &w->tablet, w->base, 300, "~ item('b') l='333'");
    CONFLICTS("item('b').l lww kept '333' lost '222' of 1");
    SQL("SELECT id,l FROM item", "a|333 ; b|333");
}

static void m1_lww_other_columns_of_the_row_are_no_conflict(void **state) {
    world *w = *state;
    known(w, "+ item('a') l='x', r=1.5");
    takes(w, &w->phone, w->base, 0, "~ item('a') l='y'");
    takes(w, &w->tablet, w->base, 10, "~ item('a') r=2");
    SQL("SELECT l,r FROM item", "y|2.0");
    CONFLICTS("");
    LOGGED("~ item('a') r=2.0");
}

static void m2_group_is_one_writers_whole_set(void **state) {
    world *w = *state;
    known(w, "+ item('a') amount=100, currency='EUR'");
    takes(w, &w->tablet, w->base, 300, "~ item('a') amount=130, currency='USD'");
    takes(w, &w->phone, w->base, 0, "~ item('a') amount=120, currency='EUR'");
    SQL("SELECT amount,currency FROM item", "130|USD");
    CONFLICTS("item('a').amount group kept 130 lost 120 of 1; item('a').currency group kept 'USD' lost 'EUR' of 1");
}

static void m2_group_logs_only_the_columns_that_differ(void **state) {
    world *w = *state;
    known(w, "+ item('a') amount=100, currency='EUR', l='q'");
    takes(w, &w->phone, w->base, 0, "~ item('a') amount=120, currency='EUR'");
    takes(w, &w->tablet, w->base, 300, "~ item('a') amount=130, currency='EUR'");
    SQL("SELECT amount,currency FROM item", "130|EUR");
    CONFLICTS("item('a').amount group kept 130 lost 120 of 1");
    LOGGED("~ item('a') amount=130");
}

static void m3_max_greater_value_wins_whatever_the_stamp(void **state) {
    world *w = *state;
    known(w, "+ item('a') mx=1");
    takes(w, &w->tablet, w->base, 300, "~ item('a') mx=2");
    takes(w, &w->phone, w->base, 0, "~ item('a') mx=3");
    CONFLICTS("item('a').mx max kept 3 lost 2 of 2");
    takes(w, &w->tablet, head(w), 3600, "~ item('a') mx=1");
    CONFLICTS("item('a').mx max kept 3 lost 1 of 2");
    SQL("SELECT mx FROM item", "3");
}

static void m4_min_smaller_value_wins_and_null_is_nothing_yet(void **state) {
    world *w = *state;
    known(w, "+ item('a')");
    takes(w, &w->phone, w->base, 0, "~ item('a') mn=1000");
    takes(w, &w->tablet, w->base, 0, "~ item('a') mn=900");
    CONFLICTS("item('a').mn min kept 900 lost 1000 of 1");
    takes(w, &w->phone, head(w), 10, "~ item('a') mn=NULL");
    SQL("SELECT mn FROM item", "900");
    CONFLICTS("item('a').mn min kept 900 lost NULL of 1");
}

static void m5_counter_adds_differences(void **state) {
    world *w = *state;
    known(w, "+ item('a') n=10");
    takes(w, &w->phone, w->base, 0, "~ item('a') n+=2");
    takes(w, &w->tablet, w->base, -60, "~ item('a') n+=1");
    LOGGED("~ item('a') n=13");
    takes(w, &w->till, w->base, 60, "~ item('a') n+=-3");
    SQL("SELECT n FROM item", "10");
    CONFLICTS("");
}

static void m5_counter_out_of_range_or_no_number_is_refused(void **state) {
    world *w = *state;
    known(w, "+ item('a') n=9223372036854775806");
    refuses(w, &w->phone, w->base, 0, "~ item('a') l='x', n+=2", SATCHEL_E_RANGE, "item.n");
    refuses(w, &w->phone, w->base, 0, "~ item('a') n+='x'", SATCHEL_E_TYPE, "must be a number");
    refuses(w, &w->phone, w->base, 0, "~ item('a') n+=0.5", SATCHEL_E_TYPE, "item.n");
    SQL("SELECT n,l FROM item", "9223372036854775806|NULL");
}

static void m6_first_accepted_value_stays(void **state) {
    world *w = *state;
    known(w, "+ item('a')");
    takes(w, &w->phone, w->base, 0, "~ item('a') f='fair'");
    takes(w, &w->tablet, w->base, -300, "~ item('a') f='web'");
    SQL("SELECT f FROM item", "fair");
    CONFLICTS("item('a').f first kept 'fair' lost 'web' of 2");
    takes(w, &w->phone, head(w), 60, "~ item('a') f='other'");
    CONFLICTS("item('a').f first kept 'fair' lost 'other' of 1");
}

static void m7_server_column_refuses_a_device_unless_equal(void **state) {
    world *w = *state;
    known(w, "+ item('a') sv=40");
    refuses(w, &w->phone, w->base, 0, "~ item('a') sv=90, l='x'", SATCHEL_E_SERVER_OWNED, "item.sv");
    takes(w, &w->phone, w->base, 0, "~ item('a') sv=40, l='x'");
    SQL("SELECT sv,l FROM item", "40|x");
    refuses(w, &w->phone, w->base, 0, "+ item('b') sv=6", SATCHEL_E_SERVER_OWNED, "item.sv");
    takes(w, &w->phone, w->base, 0, "+ item('b') sv=5; + item('c') sv=NULL");
    SQL("SELECT sv FROM item WHERE id<>'a'", "5 ; 5");
    CONFLICTS("");
}

static void m7_server_table_refuses_every_change_of_a_device(void **state) {
    world *w = *state;
    refuses(w, &w->phone, w->base, 0, "+ move('a','b')", SATCHEL_E_SERVER_OWNED, "table move");
    refuses(w, &w->phone, w->base, 0, "- move('open','waiting')", SATCHEL_E_SERVER_OWNED, "table move");
}

static void m8_guard_moves_are_judged_in_commit_order(void **state) {
    world *w = *state;
    known(w, "+ item('a') st='open'; + item('b') st='open'; + item('c') st='open'");
    takes(w, &w->tablet, w->base, 0, "~ item('a') st:'open'>'waiting'");
    takes(w, &w->phone, w->base, -10, "~ item('a') st:'open'>'solved'");
    CONFLICTS("item('a').st guard kept 'solved' lost 'waiting' of 2");
    takes(w, &w->phone, w->base, 0, "~ item('b') st:'open'>'solved'");
    takes(w, &w->tablet, w->base, 10, "~ item('b') st:'open'>'waiting'");
    CONFLICTS("item('b').st guard kept 'solved' lost 'waiting' of 2");
    refuses(w, &w->till, w->base, 0, "~ item('c') st:'open'>'closed'", SATCHEL_E_GUARD, "item.st");
    SQL("SELECT id,st FROM item", "a|solved ; b|solved ; c|open");
}

static void m8_guard_server_moves_freely(void **state) {
    world *w = *state;
    known(w, "+ item('a') st='open'");
    known(w, "~ item('a') st:'open'>'closed'");
    SQL("SELECT st FROM item", "closed");
}

static void m9_bounded_cannot_be_declared(void **state) {
    world *w = *state;
    buf error;
    buf_init(&error, 0);
    serving_write(&w->v, "schema/002_bounded.sql",
                  "CREATE TABLE b(id INTEGER PRIMARY KEY, n INTEGER);\nINSERT INTO satchel_table(name) VALUES('b');\n"
                  "INSERT INTO satchel_rule(tbl, col, rule) VALUES('b','n','bounded');\n");
    serving_close(&w->v);
    assert_int_equal(serving_try(&w->v, &error), SATCHEL_E_RULE);
    assert_non_null(strstr((char *)error.p, "002_bounded.sql:3"));
    buf_fini(&error);
}

static void m10_keep_concurrent_text_becomes_a_copy_row(void **state) {
    world *w = *state;
    known(w, "+ note('n') body='a', title='t'; + note('m') body='a'");
    takes(w, &w->phone, w->base, 0, "~ note('n') body='a, b'");
    CONFLICTS("");
    takes(w, &w->tablet, w->base, 300, "~ note('n') body='a, c'");
    CONFLICTS("note('n').body keep kept 'a, c' lost 'a, b' of 1");
    SQL("SELECT body,copy_of,title,length(id) FROM note WHERE id<>'m' ORDER BY copy_of", "a, c|NULL|t|1 ; a, b|n|t|32");
    /* The incoming one loses. */
    takes(w, &w->tablet, w->base, 300, "~ note('m') body='later'");
    takes(w, &w->phone, w->base, 0, "~ note('m') body='earlier'");
    CONFLICTS("note('m').body keep kept 'later' lost 'earlier' of 1");
    SQL("SELECT body FROM note WHERE copy_of='m'", "earlier");
    SQL("SELECT body FROM note WHERE id='m'", "later");
    assert_non_null(strstr(logged(&w->v), "body='earlier' copy_of='m'"));
}

static void m10_keep_knowing_change_makes_no_copy(void **state) {
    world *w = *state;
    known(w, "+ note('n') body='a'");
    takes(w, &w->phone, w->base, 0, "~ note('n') body='b'");
    takes(w, &w->tablet, head(w), -300, "~ note('n') body='c'");
    SQL("SELECT body FROM note", "c");
    CONFLICTS("");
}

static void m11_strict_restriction_wins_and_knowing_change_loosens(void **state) {
    world *w = *state;
    known(w, "+ item('a')");
    takes(w, &w->phone, w->base, 300, "~ item('a') ok=1");
    takes(w, &w->tablet, w->base, 0, "~ item('a') ok=0");
    CONFLICTS("item('a').ok strict kept 0 lost 1 of 1");
    takes(w, &w->till, w->base, 600, "~ item('a') ok=1");
    CONFLICTS("item('a').ok strict kept 0 lost 1 of 3");
    takes(w, &w->phone, head(w), 900, "~ item('a') ok=1");
    SQL("SELECT ok FROM item", "1");
    CONFLICTS("");
}

static void m12_append_table_takes_inserts_only(void **state) {
    world *w = *state;
    takes(w, &w->till, w->base, 0, "+ entry(5) points=10");
    refuses(w, &w->till, w->base, 1, "~ entry(5) points=20", SATCHEL_E_APPEND_ONLY, "entry");
    refuses(w, &w->phone, head(w), 1, "- entry(5)", SATCHEL_E_APPEND_ONLY, "entry");
    refuses(w, &w->phone, head(w), 1, "+ entry(5) points=11", SATCHEL_E_KEY_TAKEN, "entry");
    takes(w, &w->phone, head(w), 1, "+ entry(5) points=10");
    SQL("SELECT id,points FROM entry", "5|10");
    LOGGED("");
}

static void m12_append_table_may_be_changed_by_the_server(void **state) {
    world *w = *state;
    takes(w, &w->till, w->base, 0, "+ entry(5) points=10");
    known(w, "- entry(5)");
    SQL("SELECT count(*) FROM entry", "0");
}

/* ---- rows ---- */

static void m13_delete_wins_over_concurrent_update_in_either_order(void **state) {
    world *w = *state;
    known(w, "+ line(1) qty=1, what='x'; + line(2) qty=1");
    takes(w, &w->phone, w->base, 0, "~ line(1) qty=5");
    takes(w, &w->tablet, w->base, -3000, "- line(1)");
    CONFLICTS("line(1).qty lww kept - lost 5 of 1");
    LOGGED("- line(1)");
    takes(w, &w->tablet, w->base, -3000, "- line(2)");
    CONFLICTS("");
    takes(w, &w->phone, w->base, 0, "~ line(2) qty=5, n+=2");
    CONFLICTS("line(2).qty lww kept - lost 5 of 1; line(2).n counter kept - lost 2 of 1");
    LOGGED("");
    SQL("SELECT count(*) FROM line", "0");
}

static void m13_update_by_one_who_knew_of_the_deletion_is_refused(void **state) {
    world *w = *state;
    known(w, "+ line(1) qty=1");
    takes(w, &w->tablet, w->base, 0, "- line(1)");
    refuses(w, &w->phone, head(w), 10, "~ line(1) qty=5", SATCHEL_E_ROW_MISSING, "line");
    takes(w, &w->phone, head(w), 10, "- line(1)");
    takes(w, &w->phone, w->base, 10, "- line(1)");
    CONFLICTS("");
}

static void m13_concurrent_insert_of_a_deleted_key_is_lost_value_by_value(void **state) {
    world *w = *state;
    known(w, "+ line(1) qty=1");
    takes(w, &w->tablet, w->base, 0, "- line(1)");
    takes(w, &w->phone, w->base, 10, "+ line(1) qty=7, what='y'");
    CONFLICTS("line(1) row kept - lost - of 1; line(1).qty lww kept - lost 7 of 1; line(1).what lww kept - lost 'y' of 1");
    SQL("SELECT count(*) FROM line", "0");
    takes(w, &w->phone, head(w), 20, "+ line(1) qty=8");
    SQL("SELECT qty FROM line", "8");
    SQL("SELECT count(*) FROM satchel_tombstone", "0");
}

static void m14_delete_loses_to_concurrent_update_and_is_logged(void **state) {
    world *w = *state;
    known(w, "+ person(1) name='x', code='c'");
    takes(w, &w->phone, w->base, 0, "~ person(1) name='y'");
    takes(w, &w->tablet, w->base, 300, "- person(1)");
    SQL("SELECT name FROM person", "y");
    CONFLICTS("person(1) row kept - lost - of 2");
    LOGGED("");
    SQL("SELECT count(*) FROM satchel_tombstone", "0");
}

static void m14_concurrent_update_revives_the_row_whole(void **state) {
    world *w = *state;
    known(w, "+ person(1) name='x', code='c'");
    takes(w, &w->tablet, w->base, 300, "- person(1)");
    LOGGED("- person(1)");
    SQL("SELECT count(*) FROM satchel_tombstone", "1");
    takes(w, &w->phone, w->base, 0, "~ person(1) name='y'");
    SQL("SELECT name,code FROM person", "y|c");
    CONFLICTS("person(1) row kept - lost - of 2");
    LOGGED("+ person(1) name='y' code='c'");
    SQL("SELECT count(*) FROM satchel_tombstone", "0");
    /* Who knew of the deletion cannot revive it. */
    takes(w, &w->tablet, head(w), 400, "- person(1)");
    refuses(w, &w->phone, head(w), 500, "~ person(1) name='z'", SATCHEL_E_ROW_MISSING, "person");
}

static void m14_revived_row_is_merged_by_its_columns_clocks(void **state) {
    world *w = *state;
    known(w, "+ item('a') l='x', n=4, st='open'");
    takes(w, &w->till, w->base, 600, "~ item('a') l='later'");
    uint64_t base = head(w);
    takes(w, &w->tablet, base, 700, "- item('a')");
    takes(w, &w->phone, w->base, 0, "~ item('a') l='earlier', n+=3");
    SQL("SELECT l,n FROM item", "later|7");
    CONFLICTS("item('a') row kept - lost - of 2; item('a').l lww kept 'later' lost 'earlier' of 1");
}

static void m14_insert_of_a_deleted_key_puts_the_row_anew(void **state) {
    world *w = *state;
    known(w, "+ person(1) name='x', code='c'");
    takes(w, &w->tablet, w->base, 0, "- person(1)");
    takes(w, &w->phone, w->base, 0, "+ person(1) name='new'");
    SQL("SELECT name,code FROM person", "new|NULL");
    CONFLICTS("");
}

static void m15_natural_inserts_merge_and_others_are_refused(void **state) {
    world *w = *state;
    takes(w, &w->phone, w->base, 0, "+ pref(7,'mail') allowed=1, label='a'");
    takes(w, &w->tablet, w->base, 10, "+ pref(7,'mail') allowed=0");
    SQL("SELECT allowed,label,n FROM pref", "0|a|5");
    CONFLICTS("pref(7,'mail').allowed strict kept 0 lost 1 of 1");
    LOGGED("~ pref(7,'mail') allowed=0");
    takes(w, &w->phone, w->base, 0, "+ person(1) name='x'");
    refuses(w, &w->tablet, w->base, 10, "+ person(1) name='x'", SATCHEL_E_KEY_TAKEN, "person");
}

/* Three inserts of one key, pushed in every order, end in one row. */
static void m15_natural_merge_does_not_depend_on_the_order_of_pushes(void **state) {
    world *w = *state;
    static const char *const INSERT[3] = {"+ pref(%u,'m') label='early', amount=7, f='fair'",
                                          "+ pref(%u,'m') n=7, st='waiting', allowed=1", "+ pref(%u,'m') n=6, mx=2"};
    static const int ORDER[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    for (unsigned i = 0; i < 6; i++) {
        device *by[3] = {&w->phone, &w->tablet, &w->till};
        for (unsigned k = 0; k < 3; k++) {
            char words[128];
            unsigned which = (unsigned)ORDER[i][k];
            snprintf(words, sizeof words, INSERT[which], i);
            takes(w, by[which], w->base, (int)which * 100, words);
        }
    }
    SQL("SELECT DISTINCT allowed,label,n,amount,currency,st,mx,f FROM pref", "1|early|8|7|EUR|waiting|2|fair");
    CONFLICTS("");
}

/* An update by one whose own insert said nothing of the column counts, whichever insert came first. */
static void m15_update_of_what_nobody_said_wins_over_a_later_default(void **state) {
    world *w = *state;
    takes(w, &w->tablet, w->base, 300, "+ pref(1,'m')");
    takes(w, &w->phone, w->base, 0, "+ pref(1,'m')");
    takes(w, &w->phone, w->base, 10, "~ pref(1,'m') label='x', allowed=1");
    takes(w, &w->phone, w->base, 0, "+ pref(2,'m')");
    takes(w, &w->phone, w->base, 10, "~ pref(2,'m') label='x', allowed=1");
    takes(w, &w->tablet, w->base, 300, "+ pref(2,'m')");
    SQL("SELECT label,allowed FROM pref", "x|1 ; x|1");
    CONFLICTS("");
    /* A default that an update said is said. */
    takes(w, &w->tablet, head(w), 400, "~ pref(1,'m') label=NULL");
    takes(w, &w->till, w->base, 350, "+ pref(1,'m') label='late'");
    CONFLICTS("pref(1,'m').label lww kept NULL lost 'late' of 3");
}

static void m15_guard_of_a_natural_row_still_guards_updates(void **state) {
    world *w = *state;
    takes(w, &w->phone, w->base, 0, "+ pref(1,'m')");
    refuses(w, &w->phone, head(w), 1, "~ pref(1,'m') st:'open'>'closed'", SATCHEL_E_GUARD, "pref.st");
    takes(w, &w->phone, head(w), 1, "~ pref(1,'m') st:'open'>'solved'");
    refuses(w, &w->tablet, w->base, 10, "+ pref(1,'m') st='waiting'", SATCHEL_E_GUARD, "pref.st");
}

/* ---- time and knowledge ---- */

static void m16_own_and_known_values_are_overwritten_without_a_conflict(void **state) {
    world *w = *state;
    known(w, "+ item('a') l='x'");
    takes(w, &w->phone, w->base, 0, "~ item('a') l='1'");
    takes(w, &w->phone, w->base, 10, "~ item('a') l='2'");
    CONFLICTS("");
    takes(w, &w->tablet, head(w), 20, "~ item('a') l='3'");
    CONFLICTS("");
    takes(w, &w->till, w->base, 30, "~ item('a') l='4'");
    CONFLICTS("item('a').l lww kept '4' lost '3' of 2");
}

static void m16_base_beyond_the_head_counts_as_the_head(void **state) {
    world *w = *state;
    known(w, "+ item('a') l='x'");
    takes(w, &w->phone, w->base, 0, "~ item('a') l='1'");
    takes(w, &w->tablet, 1000000, 10, "~ item('a') l='2'");
    takes(w, &w->till, 1000000, 20, "- item('a')");
    SQL("SELECT count(*) FROM item", "0");
    CONFLICTS("");
}

static void m17_stamp_far_ahead_is_clamped_and_own_order_kept(void **state) {
    world *w = *state;
    known(w, "+ item('a') l='x'");
    uint64_t limit = hlc_of_ms(w->v.now_ms + LIMIT_CLOCK_AHEAD_MS);
    takes(w, &w->tablet, w->base, 86400, "~ item('a') l='1'");
    assert_true(w->v.last.clamped);
    assert_int_equal(w->v.last.result.effective, limit);
    takes(w, &w->tablet, w->base, 86401, "~ item('a') l='2'");
    assert_int_equal(w->v.last.result.effective, limit + 1);
    takes(w, &w->tablet, w->base, 0, "~ item('a') l='3'");
    assert_false(w->v.last.clamped);
    assert_int_equal(w->v.last.result.effective, limit + 2);
    assert_int_equal(store_where(w->v.s).high_stamp, limit + 2);
    SQL("SELECT l FROM item", "3");
    /* One whose clock is behind loses, and it is logged. */
    takes(w, &w->till, w->base, -86400, "~ item('a') l='4'");
    CONFLICTS("item('a').l lww kept '3' lost '4' of 3");
}

static void m18_conflict_entry_tells_who_when_and_which_transaction(void **state) {
    world *w = *state;
    known(w, "+ item('a') l='x'");
    takes(w, &w->tablet, w->base, 300, "~ item('a') l='1'");
    takes(w, &w->phone, w->base, 0, "~ item('a') l='2'");
    char expected[160];
    snprintf(expected, sizeof expected, "%llu|%llu|%llu|2|%llu|1|1", (unsigned long long)head(w), (unsigned long long)w->v.now_ms,
             (unsigned long long)stamp_at(300), (unsigned long long)stamp_at(0));
    SQL("SELECT seq,at_ms,kept_stamp,kept_author,lost_stamp,lost_author,lost_number FROM satchel_conflict", expected);
    SQL("SELECT count(*) FROM satchel_conflict", "1");
}

/* ---- M16: what a pending edit of his own hid from the author ---- */

/* Pushes words whose author had seen columns of one row (0 ends the list; the first may be 0) only up to w->base, though he stood at the head. */
static int push_unseen(world *w, device *d, int seconds, const char *words, uint32_t table, const char *key, unsigned n,
                       const uint32_t *column) {
    buf k, body, item;
    buf_init(&k, 0);
    buf_init(&body, 0);
    buf_init(&item, 0);
    value v = value_text(key, strlen(key));
    value_put(&k, &v);
    unseen_put_row(&body, table, k.p, k.n, n);
    for (unsigned i = 0; i < n; i++) unseen_put_column(&body, column[i], w->base);
    unseen_finish(1, &body, &item);
    push_txn t = make_txn(d, head(w), seconds);
    t.unseen = item.p;
    t.nunseen = item.n;
    int rc = push_txn_raw(&w->v, d, &t, words);
    buf_fini(&item);
    buf_fini(&body);
    buf_fini(&k);
    return rc ? rc : w->v.last.result.rc;
}

static uint32_t column_of(world *w, const char *table, const char *name) {
    const schema_table *t = schema_table_by_name(store_schema(w->v.s), table);
    for (unsigned i = 0; i < t->ncol; i++)
        if (!strcmp(t->col[i]->name, name)) return t->col[i]->id;
    fail_msg("no column %s", name);
    return 0;
}

static uint32_t table_of(world *w, const char *name) {
    return schema_table_by_name(store_schema(w->v.s), name)->id;
}

static void M16_overwriting_a_hidden_value_is_concurrent(void **state) {
    world *w = *state;
    known(w, "+ item('a') l='111', ok=1");
    takes(w, &w->tablet, w->base, 300, "~ item('a') l='333', ok=0");
    takes(w, &w->phone, w->base, 0, "~ item('a') l='222'");
    CONFLICTS("item('a').l lww kept '333' lost '222' of 1");
    const uint32_t l = column_of(w, "item", "l");
    assert_int_equal(push_unseen(w, &w->phone, 600, "~ item('a') l='444', ok=1", table_of(w, "item"), "a", 1, &l), SATCHEL_OK);
    /* It had seen the tablet's 0: that is overwritten knowingly. */
    CONFLICTS("item('a').l lww kept '444' lost '333' of 2");
    SQL("SELECT l, ok FROM item", "444|1");
}

static void M16_hidden_column_of_a_group_hides_the_group(void **state) {
    world *w = *state;
    known(w, "+ item('a') amount=100, currency='EUR'");
    takes(w, &w->tablet, w->base, 300, "~ item('a') amount=130, currency='USD'");
    const uint32_t amount = column_of(w, "item", "amount");
    assert_int_equal(
        push_unseen(w, &w->phone, 600, "~ item('a') amount=150, currency='CHF'", table_of(w, "item"), "a", 1, &amount),
        SATCHEL_OK);
    CONFLICTS("item('a').amount group kept 150 lost 130 of 2; item('a').currency group kept 'CHF' lost 'USD' of 2");
}

static void M16_deleting_over_a_hidden_value_is_concurrent(void **state) {
    world *w = *state;
    known(w, "+ item('a') l='111'");
    takes(w, &w->tablet, w->base, 300, "~ item('a') l='333'");
    const uint32_t l = column_of(w, "item", "l");
    assert_int_equal(push_unseen(w, &w->phone, 600, "- item('a')", table_of(w, "item"), "a", 1, &l), SATCHEL_OK);
    CONFLICTS("item('a') row kept - lost - of 1");
    SQL("SELECT l FROM item", "333");
}

static void M16_update_over_a_hidden_deletion_revives(void **state) {
    world *w = *state;
    known(w, "+ item('a') l='111'");
    takes(w, &w->tablet, w->base, 300, "- item('a')");
    const uint32_t row = 0;
    assert_int_equal(push_unseen(w, &w->phone, 600, "~ item('a') l='222'", table_of(w, "item"), "a", 1, &row), SATCHEL_OK);
    CONFLICTS("item('a') row kept - lost - of 2");
    SQL("SELECT l FROM item", "222");
}

/* A column that was hidden says nothing of the row's being there; one that was seen as late as all else hides nothing. */
static void M16_hidden_column_does_not_hide_a_deletion(void **state) {
    world *w = *state;
    known(w, "+ item('a') l='111'; + item('b') l='111'");
    const uint32_t l = column_of(w, "item", "l");
    assert_int_equal(push_unseen(w, &w->phone, 500, "~ item('b') l='222'", table_of(w, "item"), "b", 1, &l), SATCHEL_OK);
    CONFLICTS("");
    takes(w, &w->tablet, w->base, 300, "- item('a')");
    assert_int_equal(push_unseen(w, &w->phone, 600, "~ item('a') l='222'", table_of(w, "item"), "a", 1, &l),
                     SATCHEL_E_ROW_MISSING);
    SQL("SELECT id,l FROM item", "b|222");
}

static void M16_hidden_row_that_the_delta_lacks_is_malformed(void **state) {
    world *w = *state;
    known(w, "+ item('a') l='111'; + item('b') l='111'");
    const uint32_t l = column_of(w, "item", "l");
    assert_int_equal(push_unseen(w, &w->phone, 600, "~ item('a') l='222'", table_of(w, "item"), "b", 1, &l), SATCHEL_E_MALFORMED);
    SQL("SELECT l FROM item", "111 ; 111");
}

/* Fields that several wrote while somebody deleted the row: each value that is there is lost by name. */
static void deletion_of_what_several_wrote_logs_each_value(void **state) {
    world *w = *state;
    known(w, "+ line(1) qty=1, what='w'; + item('a') l='x', mx=1");
    takes(w, &w->tablet, w->base, 30, "~ line(1) qty=2; ~ item('a') l='later'");
    takes(w, &w->till, w->base, 20, "~ line(1) what=NULL, n+=3; ~ item('a') mx=9");
    takes(w, &w->phone, w->base, 10, "- line(1)");
    CONFLICTS("line(1).qty lww kept - lost 2 of 2; line(1).n counter kept - lost 3 of 3");
    SQL("SELECT count(*) FROM line", "0");
    /* Where updates win, the deletion is what is lost, to the latest of them. */
    takes(w, &w->phone, w->base, 11, "- item('a')");
    CONFLICTS("item('a') row kept - lost - of 1");
    SQL("SELECT l,mx FROM item", "later|9");
}

static void numbers_out_of_the_integers_range_stay_reals(void **state) {
    world *w = *state;
    takes(w, &w->phone, w->base, 0,
          "+ strict(x'01') x=1e300; + strict(x'02') x=-1e300; + strict(x'03') x=2.0; + strict(x'04') x=2.5");
    SQL("SELECT typeof(x),x FROM strict", "real|1.0e+300 ; real|-1.0e+300 ; integer|2 ; real|2.5");
}

/* M15: what an insert adds beyond the default must be a number that there is. */
static void M15_insert_on_a_row_whose_counter_has_no_difference_is_refused(void **state) {
    world *w = *state;
    known(w, "+ pref(1,'mail') n=7");
    refuses(w, &w->phone, w->base, 0, "+ pref(1,'mail') n=-9223372036854775808", SATCHEL_E_RANGE, "pref.n");
}

/* Who retries has seen the row and says again what his insert said; who did not know of it means another row. */
static void M15_insert_of_a_retry_is_merged_with_a_row_that_its_author_knew(void **state) {
    world *w = *state;
    known(w, "+ item('a') l='was', n=1");
    uint64_t before = w->base;
    takes(w, &w->tablet, w->base, 0, "+ item('b') l='theirs', n=1");
    refuses(w, &w->phone, before, 1, "+ item('b') l='mine', n=5", SATCHEL_E_KEY_TAKEN, "");
    for (unsigned i = 0; i < 3; i++) {
        push_txn t = make_txn(&w->phone, i == 1 ? before : head(w), 2);
        t.resolves = i < 2 ? 1 : 0;
        assert_int_equal(push_txn_raw(&w->v, &w->phone, &t, i == 2 ? "+ item('b') l='last'" : "+ item('b') l='mine', n=5"),
                         SATCHEL_OK);
        if (i == 0) sql_exec(&w->v, "UPDATE satchel_refused SET state='open'");
        assert_int_equal(w->v.last.result.rc, i == 0 ? SATCHEL_OK : SATCHEL_E_KEY_TAKEN);
        SQL("SELECT l,n FROM item WHERE id='b'", "mine|6");
    }
    /* Where it is gone the insert makes it. */
    push_txn t = make_txn(&w->phone, head(w), 3);
    t.resolves = 1;
    sql_exec(&w->v, "UPDATE satchel_refused SET state='open'");
    assert_int_equal(push_txn_raw(&w->v, &w->phone, &t, "+ item('c') l='mine', n=5"), SATCHEL_OK);
    SQL("SELECT l,n FROM item WHERE id='c'", "mine|5");
    /* Rows that are only appended stay as they are. */
    takes(w, &w->tablet, w->base, 4, "+ entry(1) points=1");
    t = make_txn(&w->phone, head(w), 5);
    t.resolves = 77;
    assert_int_equal(push_txn_raw(&w->v, &w->phone, &t, "+ entry(1) points=2"), SATCHEL_OK);
    assert_int_equal(w->v.last.result.rc, SATCHEL_E_KEY_TAKEN);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(deletion_of_what_several_wrote_logs_each_value),
        TEST(numbers_out_of_the_integers_range_stay_reals),
        TEST(M15_insert_on_a_row_whose_counter_has_no_difference_is_refused),
        TEST(M15_insert_of_a_retry_is_merged_with_a_row_that_its_author_knew),
        TEST(m1_lww_later_stamp_wins_in_either_order),
        TEST(m1_lww_other_columns_of_the_row_are_no_conflict),
        TEST(m2_group_is_one_writers_whole_set),
        TEST(m2_group_logs_only_the_columns_that_differ),
        TEST(m3_max_greater_value_wins_whatever_the_stamp),
        TEST(m4_min_smaller_value_wins_and_null_is_nothing_yet),
        TEST(m5_counter_adds_differences),
        TEST(m5_counter_out_of_range_or_no_number_is_refused),
        TEST(m6_first_accepted_value_stays),
        TEST(m7_server_column_refuses_a_device_unless_equal),
        TEST(m7_server_table_refuses_every_change_of_a_device),
        TEST(m8_guard_moves_are_judged_in_commit_order),
        TEST(m8_guard_server_moves_freely),
        TEST(m9_bounded_cannot_be_declared),
        TEST(m10_keep_concurrent_text_becomes_a_copy_row),
        TEST(m10_keep_knowing_change_makes_no_copy),
        TEST(m11_strict_restriction_wins_and_knowing_change_loosens),
        TEST(m12_append_table_takes_inserts_only),
        TEST(m12_append_table_may_be_changed_by_the_server),
        TEST(m13_delete_wins_over_concurrent_update_in_either_order),
        TEST(m13_update_by_one_who_knew_of_the_deletion_is_refused),
        TEST(m13_concurrent_insert_of_a_deleted_key_is_lost_value_by_value),
        TEST(m14_delete_loses_to_concurrent_update_and_is_logged),
        TEST(m14_concurrent_update_revives_the_row_whole),
        TEST(m14_revived_row_is_merged_by_its_columns_clocks),
        TEST(m14_insert_of_a_deleted_key_puts_the_row_anew),
        TEST(m15_natural_inserts_merge_and_others_are_refused),
        TEST(m15_natural_merge_does_not_depend_on_the_order_of_pushes),
        TEST(m15_update_of_what_nobody_said_wins_over_a_later_default),
        TEST(m15_guard_of_a_natural_row_still_guards_updates),
        TEST(m16_own_and_known_values_are_overwritten_without_a_conflict),
        TEST(m16_base_beyond_the_head_counts_as_the_head),
        TEST(m17_stamp_far_ahead_is_clamped_and_own_order_kept),
        TEST(m18_conflict_entry_tells_who_when_and_which_transaction),
        TEST(M16_overwriting_a_hidden_value_is_concurrent),
        TEST(M16_hidden_column_of_a_group_hides_the_group),
        TEST(M16_deleting_over_a_hidden_value_is_concurrent),
        TEST(M16_update_over_a_hidden_deletion_revives),
        TEST(M16_hidden_column_does_not_hide_a_deletion),
        TEST(M16_hidden_row_that_the_delta_lacks_is_malformed),
    };
    return cmocka_run_group_tests_name("ingest_merge", tests, NULL, NULL);
}
