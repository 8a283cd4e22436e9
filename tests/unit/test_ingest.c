/* What becomes of a transaction besides the merge: numbers, refusals, parts, the server's own SQL. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"
#include "server/record.h"
#include "server/refusal.h"
#include "server/store_private.h"
#include "tests/unit/ingest_fixture.h"

/* ---- numbers ---- */

static void N3_known_number_and_id_gets_its_result_and_no_second_effect(void **state) {
    world *w = *state;
    known(w, "+ item('a') n=0");
    push_txn t = make_txn(&w->phone, w->base, 0);
    assert_int_equal(push_txn_raw(&w->v, &w->phone, &t, "~ item('a') n+=1"), SATCHEL_OK);
    msg_result first = w->v.last.result;
    uint64_t seq = head(w);
    assert_int_equal(push_txn_raw(&w->v, &w->phone, &t, "~ item('a') n+=1"), SATCHEL_OK);
    assert_int_equal(w->v.last.result.seq, first.seq);
    assert_int_equal(w->v.last.result.effective, first.effective);
    assert_int_equal(head(w), seq);
    SQL("SELECT n FROM item", "1");
    assert_false(w->v.last.fork);
}

static void N3_refused_transaction_pushed_again_gets_its_refusal(void **state) {
    world *w = *state;
    push_txn t = make_txn(&w->phone, w->base, 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(push_txn_raw(&w->v, &w->phone, &t, "~ item('nobody') l='x'"), SATCHEL_OK);
        assert_int_equal(w->v.last.result.rc, SATCHEL_E_ROW_MISSING);
        assert_int_equal(w->v.last.result.table, 2);
        assert_int_equal(w->v.last.result.nkey, 8);
        assert_memory_equal(w->v.last.result.key, "\3\6nobody", 8);
        assert_true(w->v.last.result.ntext > 0);
    }
    SQL("SELECT count(*) FROM satchel_refused", "1");
}

static void N3_known_number_with_another_id_is_a_fork_and_does_nothing(void **state) {
    world *w = *state;
    known(w, "+ item('a') n=0");
    push_txn t = make_txn(&w->phone, w->base, 0);
    assert_int_equal(push_txn_raw(&w->v, &w->phone, &t, "~ item('a') n+=1"), SATCHEL_OK);
    uint64_t seq = head(w);
    t.id[7] ^= 1;
    assert_int_equal(push_txn_raw(&w->v, &w->phone, &t, "~ item('a') n+=10"), SATCHEL_OK);
    assert_true(w->v.last.fork);
    assert_int_equal(head(w), seq);
    SQL("SELECT n FROM item", "1");
}

static void N3_number_that_was_skipped_is_a_fork(void **state) {
    world *w = *state;
    push_txn skipped = make_txn(&w->phone, w->base, 0);
    takes(w, &w->phone, w->base, 0, "+ entry(1)");
    assert_int_equal(push_txn_raw(&w->v, &w->phone, &skipped, "+ entry(2)"), SATCHEL_OK);
    assert_true(w->v.last.fork);
}

static void N3_transaction_of_an_earlier_incarnation_is_found_elsewhere(void **state) {
    world *w = *state;
    known(w, "+ item('a') n=0");
    push_txn t = make_txn(&w->phone, w->base, 0);
    assert_int_equal(push_txn_raw(&w->v, &w->phone, &t, "~ item('a') n+=1"), SATCHEL_OK);
    uint64_t accepted = w->v.last.result.seq;
    device copy = w->phone;
    assert_int_equal(store_begin(w->v.s), SATCHEL_OK);
    assert_int_equal(store_author_fork(w->v.s, w->phone.a.device, w->v.now_ms, &copy.a), SATCHEL_OK);
    assert_int_equal(store_commit(w->v.s), SATCHEL_OK);
    assert_int_equal(copy.a.incarnation, 2);
    assert_int_equal(push_txn_raw(&w->v, &copy, &t, "~ item('a') n+=1"), SATCHEL_OK);
    assert_false(w->v.last.fork);
    assert_int_equal(w->v.last.result.seq, accepted);
    assert_int_equal(copy.a.last_number, t.number);
    SQL("SELECT n FROM item", "1");
    copy.ids += 1000;
    takes(w, &copy, w->base, 10, "~ item('a') n+=5");
    SQL("SELECT n FROM item", "6");
    SQL("SELECT kind FROM satchel_event", "fork");
}

/* A restored server has forgotten both; the copy comes back before the file it was made of. */
static void N3_transaction_that_a_later_incarnation_gave_first_is_found(void **state) {
    world *w = *state;
    known(w, "+ item('a') n=0");
    device copy = w->phone;
    push_txn t = make_txn(&w->phone, w->base, 0);
    assert_int_equal(store_begin(w->v.s), SATCHEL_OK);
    assert_int_equal(store_author(w->v.s, w->phone.a.device, 2, &copy.a), SATCHEL_OK);
    assert_int_equal(store_author(w->v.s, w->phone.a.device, 1, &w->phone.a), SATCHEL_OK);
    assert_int_equal(store_commit(w->v.s), SATCHEL_OK);
    assert_int_equal(push_txn_raw(&w->v, &copy, &t, "~ item('a') n+=1"), SATCHEL_OK);
    uint64_t accepted = w->v.last.result.seq;
    assert_int_equal(push_txn_raw(&w->v, &w->phone, &t, "~ item('a') n+=1"), SATCHEL_OK);
    assert_int_equal(w->v.last.result.seq, accepted);
    SQL("SELECT n FROM item", "1");
}

/* A copy of the phone's file, of which the server heard first when it had `number` transactions. */
static device copy_of_phone(world *w, uint64_t number) {
    device copy = w->phone;
    assert_int_equal(store_begin(w->v.s), SATCHEL_OK);
    assert_int_equal(store_author_fork(w->v.s, w->phone.a.device, w->v.now_ms, &copy.a), SATCHEL_OK);
    assert_int_equal(store_author_shares(w->v.s, &copy.a, number), SATCHEL_OK);
    assert_int_equal(store_commit(w->v.s), SATCHEL_OK);
    return copy;
}

/* The phone says hello after that. */
static device copy_that_the_phone_hears_of(world *w, uint64_t number) {
    device copy = copy_of_phone(w, number);
    assert_int_equal(store_begin(w->v.s), SATCHEL_OK);
    assert_int_equal(store_author(w->v.s, w->phone.a.device, 1, &w->phone.a), SATCHEL_OK);
    assert_int_equal(store_commit(w->v.s), SATCHEL_OK);
    return copy;
}

static void forget_results(world *w, uint64_t floor) {
    sql_exec(&w->v, "DELETE FROM satchel_result WHERE rc=0");
    w->v.s->committed.floor = floor;
}

static void N3_shared_transaction_of_which_the_result_may_be_forgotten_is_refused(void **state) {
    world *w = *state;
    known(w, "+ item('a') n=0");
    push_txn t = make_txn(&w->phone, w->base, 0), own = make_txn(&w->phone, w->base, 1);
    assert_int_equal(push_txn_raw(&w->v, &w->phone, &t, "~ item('a') n+=1"), SATCHEL_OK);
    device copy = copy_of_phone(w, t.number);
    forget_results(w, w->base + 1);
    assert_int_equal(push_txn_raw(&w->v, &copy, &t, "~ item('a') n+=1"), SATCHEL_OK);
    assert_int_equal(w->v.last.result.rc, SATCHEL_E_FORGOTTEN);
    SQL("SELECT n FROM item", "1");
    /* What was written after they parted cannot have been given before. */
    assert_int_equal(push_txn_raw(&w->v, &copy, &own, "+ entry(1)"), SATCHEL_OK);
    assert_int_equal(w->v.last.result.rc, SATCHEL_OK);
}

/* The file that keeps its incarnation shares what it had when the other one parted from it. */
static void N3_shared_transaction_of_the_original_is_refused_too(void **state) {
    world *w = *state;
    known(w, "+ item('a') n=0");
    assert_int_equal(store_begin(w->v.s), SATCHEL_OK);
    assert_int_equal(store_author_shares(w->v.s, &w->phone.a, 0), SATCHEL_OK);
    assert_int_equal(store_commit(w->v.s), SATCHEL_OK);
    push_txn t = make_txn(&w->phone, w->base, 0);
    device copy = copy_of_phone(w, t.number);
    assert_int_equal(push_txn_raw(&w->v, &copy, &t, "~ item('a') n+=1"), SATCHEL_OK);
    forget_results(w, w->base + 1);
    assert_int_equal(store_begin(w->v.s), SATCHEL_OK);
    assert_int_equal(store_author(w->v.s, w->phone.a.device, 1, &w->phone.a), SATCHEL_OK);
    assert_int_equal(store_commit(w->v.s), SATCHEL_OK);
    assert_int_equal(push_txn_raw(&w->v, &w->phone, &t, "~ item('a') n+=1"), SATCHEL_OK);
    assert_int_equal(w->v.last.result.rc, SATCHEL_E_FORGOTTEN);
    SQL("SELECT n FROM item", "1");
}

/* A file may have copies that go on under the same incarnation, and of these the oldest may be the first to say hello after another copy has got one of its own. */
static void N3_shared_transaction_is_refused_whichever_file_of_the_incarnation_has_said_hello(void **state) {
    world *w = *state;
    known(w, "+ item('a') n=0");
    w->phone.number = 1;
    push_txn t = make_txn(&w->phone, w->base, 0);
    device copy = copy_of_phone(w, t.number);
    assert_int_equal(push_txn_raw(&w->v, &copy, &t, "~ item('a') n+=1"), SATCHEL_OK);
    assert_int_equal(w->v.last.result.rc, SATCHEL_OK);
    forget_results(w, w->base + 1);
    assert_int_equal(store_begin(w->v.s), SATCHEL_OK);
    assert_int_equal(store_author(w->v.s, w->phone.a.device, 1, &w->phone.a), SATCHEL_OK);
    assert_int_equal(store_author_shares(w->v.s, &w->phone.a, t.number - 1), SATCHEL_OK);
    assert_int_equal(store_commit(w->v.s), SATCHEL_OK);
    assert_int_equal(push_txn_raw(&w->v, &w->phone, &t, "~ item('a') n+=1"), SATCHEL_OK);
    assert_int_equal(w->v.last.result.rc, SATCHEL_E_FORGOTTEN);
    SQL("SELECT n FROM item", "1");
}

static void N3_parts_that_were_staged_go_when_it_was_given_elsewhere(void **state) {
    world *w = *state;
    push_txn t = make_txn(&w->phone, w->base, 0);
    device copy = copy_that_the_phone_hears_of(w, t.number);
    t.last = false;
    assert_int_equal(push_txn_raw(&w->v, &w->phone, &t, "+ entry(1)"), SATCHEL_OK);
    SQL("SELECT count(*) FROM satchel_stage", "1");
    t.last = true;
    assert_int_equal(push_txn_raw(&w->v, &copy, &t, "+ entry(1)"), SATCHEL_OK);
    t.part = 1;
    assert_int_equal(push_txn_raw(&w->v, &w->phone, &t, "+ entry(2)"), SATCHEL_OK);
    assert_true(w->v.last.known);
    SQL("SELECT count(*) FROM satchel_stage", "0");
}

/* The connection may end before its last part: the result counts from the first one on. */
static void N3_first_part_of_what_was_given_elsewhere_is_its_authors_last(void **state) {
    world *w = *state;
    push_txn t = make_txn(&w->phone, w->base, 0);
    device copy = copy_that_the_phone_hears_of(w, t.number);
    assert_int_equal(push_txn_raw(&w->v, &copy, &t, "+ entry(1)"), SATCHEL_OK);
    t.last = false;
    assert_int_equal(push_txn_raw(&w->v, &w->phone, &t, "+ entry(1)"), SATCHEL_OK);
    assert_true(w->v.last.known && w->v.last.staged);
    SQL("SELECT count(*),total(r.number>a.last_number) FROM satchel_result r JOIN satchel_author a USING(author)", "2|0.0");
    t.last = true;
    t.part = 1;
    assert_int_equal(push_txn_raw(&w->v, &w->phone, &t, "+ entry(2)"), SATCHEL_OK);
    assert_true(w->v.last.known && !w->v.last.staged);
    SQL("SELECT count(*) FROM entry", "1");
}

static void N3_shared_transaction_that_was_given_by_nobody_is_taken(void **state) {
    world *w = *state;
    known(w, "+ item('a') n=0");
    push_txn t = make_txn(&w->phone, w->base, 0);
    device copy = copy_of_phone(w, t.number);
    forget_results(w, w->base + 1);
    assert_int_equal(push_txn_raw(&w->v, &copy, &t, "~ item('a') n+=1"), SATCHEL_OK);
    assert_int_equal(w->v.last.result.rc, SATCHEL_OK);
    SQL("SELECT n FROM item", "1");
}

static void N3_shared_transaction_with_a_base_above_the_floor_is_taken(void **state) {
    world *w = *state;
    known(w, "+ item('a') n=0");
    takes(w, &w->phone, w->base, 0, "+ entry(1)");
    push_txn t = {0};
    device copy = copy_of_phone(w, 1);
    copy.number = 0;
    t = make_txn(&copy, w->base, 0);
    forget_results(w, w->base);
    assert_int_equal(push_txn_raw(&w->v, &copy, &t, "~ item('a') n+=1"), SATCHEL_OK);
    assert_int_equal(w->v.last.result.rc, SATCHEL_OK);
}

/* The deletion of the row may be forgotten by now: he who changes it lost to that, and who deletes it has what he wanted. */
static void row_that_is_missing_to_who_comes_from_below_the_floor_is_taken_as_deleted(void **state) {
    world *w = *state;
    known(w, "+ item('a') l='x'");
    uint64_t below = w->base;
    known(w, "- item('a')");
    sql_exec(&w->v, "DELETE FROM satchel_tombstone");
    refuses(w, &w->tablet, below, 0, "- item('a')", SATCHEL_E_ROW_MISSING, "");
    forget_results(w, below + 1);
    takes(w, &w->phone, below, 1, "- item('a')");
    CONFLICTS("");
    takes(w, &w->phone, below, 2, "~ item('a') l='mine'");
    CONFLICTS("item('a').l lww kept - lost 'mine' of 1");
    SQL("SELECT count(*) FROM item", "0");
}

static void N7_given_again_after_a_restore_keeps_its_effective_stamp(void **state) {
    world *w = *state;
    known(w, "+ item('a') l='x'");
    push_txn t = make_txn(&w->phone, w->base, 0);
    t.effective = stamp_at(120);
    assert_int_equal(push_txn_raw(&w->v, &w->phone, &t, "~ item('a') l='1'"), SATCHEL_OK);
    assert_int_equal(w->v.last.result.effective, stamp_at(120));
    takes(w, &w->tablet, w->base, 60, "~ item('a') l='2'");
    SQL("SELECT l FROM item", "1");
}

/* ---- refusals ---- */

static void N6_later_transaction_on_the_refused_row_depends_on_it(void **state) {
    world *w = *state;
    refuses(w, &w->phone, w->base, 0, "+ person(1) name='x'; + person(2) name='y'; + strict(x'01') c=100", SATCHEL_E_CHECK,
            "c < 100");
    refuses(w, &w->phone, w->base, 1, "~ person(2) name='z'", SATCHEL_E_DEPENDS, "depends on transaction 1");
    assert_int_equal(w->v.last.result.depends, 1);
    refuses(w, &w->phone, w->base, 2, "+ phone(5) person=1", SATCHEL_E_DEPENDS, "depends on transaction 1");
    assert_int_equal(w->v.last.result.depends, 1);
    /* The chain goes on; others are not concerned. */
    refuses(w, &w->phone, w->base, 3, "~ phone(5) nr='1'", SATCHEL_E_DEPENDS, "depends on transaction 3");
    refuses(w, &w->tablet, w->base, 4, "~ person(2) name='z'", SATCHEL_E_ROW_MISSING, "person");
    takes(w, &w->phone, w->base, 5, "+ person(3) name='free'");
}

static void N6_refusal_does_not_touch_what_stands_without_it(void **state) {
    world *w = *state;
    known(w, "+ person(1) name='x'");
    refuses(w, &w->phone, w->base, 0, "~ person(1) name='y'; + strict(x'01') c=100", SATCHEL_E_CHECK, "");
    takes(w, &w->phone, w->base, 1, "~ person(1) code='c'");
    SQL("SELECT name,code FROM person", "x|c");
}

/* Else SQLite would end the whole group's transaction, or put the row in the place of another, before anything is judged. */
static void N6_what_the_schema_says_of_conflicts_is_not_for_what_is_pushed(void **state) {
    world *w = *state;
    serving_write(
        &w->v, "schema/002_clash.sql",
        "CREATE TABLE clash(id INTEGER PRIMARY KEY ON CONFLICT REPLACE, m TEXT NOT NULL ON CONFLICT ROLLBACK, n INTEGER);\n"
        "INSERT INTO satchel_table(name) VALUES('clash');\n");
    serving_reopen(&w->v);
    w->base = head(w);
    known(w, "+ clash(1) m='x', n=1");
    uint64_t base = w->base;
    refuses(w, &w->phone, base, 0, "+ person(1) name='x'; + clash(2) m=NULL", SATCHEL_E_NOT_NULL, "");
    refuses(w, &w->phone, base, 1, "~ clash(1) m=NULL", SATCHEL_E_NOT_NULL, "");
    SQL("SELECT count(*) FROM person", "0");
    refuses(w, &w->phone, base, 2, "+ clash(1) m='y'", SATCHEL_E_KEY_TAKEN, "");
    SQL("SELECT id,m,n FROM clash", "1|x|1");
}

static void N6_retry_settles_the_refusal_once(void **state) {
    world *w = *state;
    refuses(w, &w->phone, w->base, 0, "+ person(1) name='x'; + strict(x'01') c=100", SATCHEL_E_CHECK, "");
    push_txn t = make_txn(&w->phone, w->base, 1);
    t.resolves = 1;
    assert_int_equal(push_txn_raw(&w->v, &w->phone, &t, "+ person(1) name='x'; + strict(x'01') c=99"), SATCHEL_OK);
    assert_int_equal(w->v.last.result.rc, SATCHEL_OK);
    SQL("SELECT state FROM satchel_refused", "retried");
    SQL("SELECT count(*) FROM satchel_refused_row", "0");
    t = make_txn(&w->phone, w->base, 2);
    t.resolves = 1;
    assert_int_equal(push_txn_raw(&w->v, &w->phone, &t, "+ person(2) name='x'"), SATCHEL_OK);
    assert_int_equal(w->v.last.result.rc, SATCHEL_E_RESOLVED);
    SQL("SELECT count(*) FROM person", "1");
}

/* As the admin asks for it: in a transaction that is undone when it fails. */
static int retry_here(world *w, uint64_t number, const char *edits, const char *words) {
    uint64_t seq = 0;
    buf error = {0};
    json_t *o = edits ? json_loads(edits, 0, NULL) : NULL;
    assert_true(!edits || o);
    assert_int_equal(store_begin(w->v.s), SATCHEL_OK);
    int rc = refusal_retry(w->v.s, w->v.g, w->phone.a.author, number, o, w->v.now_ms, &seq, &error);
    if (rc)
        store_rollback(w->v.s);
    else
        assert_int_equal(store_commit(w->v.s), SATCHEL_OK);
    if (!rc) assert_int_equal(seq, head(w));
    if (words && !strstr(error.n ? (char *)error.p : "", words)) fail_msg("%.*s", (int)error.n, (char *)error.p);
    buf_fini(&error);
    json_decref(o);
    return rc;
}

static void N6_admin_makes_a_refusal_in_parts_his_own_with_other_values(void **state) {
    world *w = *state;
    known(w, "+ item('a') l='was', n=5");
    push_txn t = make_txn(&w->phone, w->base, 1);
    t.last = false;
    assert_int_equal(push_txn_raw(&w->v, &w->phone, &t, "~ item('a') l='mine', n+=2; + person(1) name='x'"), SATCHEL_OK);
    t.part = 1;
    t.last = true;
    assert_int_equal(push_txn_raw(&w->v, &w->phone, &t, "+ strict(x'03') c=100"), SATCHEL_OK);
    assert_int_equal(w->v.last.result.rc, SATCHEL_E_CHECK);
    uint64_t number = t.number;
    buf json = {0};
    assert_int_equal(refusal_show(w->v.s, w->phone.a.author, number, &json), SATCHEL_OK);
    json_t *shown = json_loadb((char *)json.p, json.n, 0, NULL), *changes = json_object_get(shown, "changes");
    assert_int_equal(json_array_size(changes), 3);
    json_t *server = json_object_get(json_array_get(changes, 0), "server");
    assert_string_equal(json_string_value(json_object_get(server, "l")), "was");
    assert_int_equal(json_integer_value(json_object_get(server, "n")), 5);
    assert_true(json_is_null(json_object_get(json_array_get(changes, 2), "server")));
    json_decref(shown);
    buf_fini(&json);
    assert_int_equal(retry_here(w, number, NULL, "refused again"), SATCHEL_E_CHECK);
    assert_int_equal(retry_here(w, number + 1, NULL, NULL), SATCHEL_E_NOT_FOUND);
    assert_int_equal(
        retry_here(w, number, "[{\"table\":\"strict\",\"key\":{\"id\":{\"base64\":\"BA==\"}},\"values\":{\"c\":9}}]", "neither"),
        SATCHEL_E_MISUSE);
    SQL("SELECT l,n FROM item", "was|5");
    SQL("SELECT state FROM satchel_refused", "open");
    assert_int_equal(retry_here(w, number,
                                "[{\"table\":\"strict\",\"key\":{\"id\":{\"base64\":\"Aw==\"}},\"values\":{\"c\":9}},"
                                "{\"table\":\"item\",\"key\":{\"id\":\"a\"},\"values\":{\"n\":{\"add\":3},\"l\":\"ours\"}}]",
                                NULL),
                     SATCHEL_OK);
    SQL("SELECT l,n FROM item", "ours|8");
    SQL("SELECT name FROM person", "x");
    SQL("SELECT c FROM strict", "9");
    SQL("SELECT state FROM satchel_refused", "retried");
    SQL("SELECT count(*) FROM satchel_refused_row", "0");
    assert_int_equal(retry_here(w, number, NULL, NULL), SATCHEL_E_RESOLVED);
}

/* What a device of a later schema, or none of ours, sent: its columns have no names here. */
static void N6_refusal_of_columns_that_are_not_known_is_shown_and_not_edited_over_the_limit(void **state) {
    world *w = *state;
    buf words = {0}, json = {0};
    known(w, "+ item('a') l='was'");
    refuses(w, &w->phone, w->base, 0, "~ item('a') #98=3, #99=4", SATCHEL_E_UNKNOWN_COLUMN, "98");
    assert_int_equal(refusal_show(w->v.s, w->phone.a.author, 1, &json), SATCHEL_OK);
    json_t *shown = json_loadb((char *)json.p, json.n, RECORD_JSON_FLAGS, NULL);
    assert_non_null(shown);
    json_decref(shown);
    buf_fini(&json);
    buf_printf(&words, "~ item('a')");
    for (unsigned i = 0; i < LIMIT_COLUMNS; i++) buf_printf(&words, "%s #%u=1", i ? "," : "", 1000 + i);
    refuses(w, &w->phone, w->base, 0, (char *)words.p, SATCHEL_E_UNKNOWN_COLUMN, "1000");
    buf_fini(&words);
    assert_int_equal(retry_here(w, 2, "[{\"table\":\"item\",\"key\":{\"id\":\"a\"},\"values\":{\"l\":\"ours\"}}]", "columns"),
                     SATCHEL_E_LIMIT);
    SQL("SELECT l FROM item", "was");
    SQL("SELECT state FROM satchel_refused", "open ; open");
}

static void N6_retry_of_what_an_admin_discarded_is_refused(void **state) {
    world *w = *state;
    refuses(w, &w->phone, w->base, 0, "+ strict(x'01') c=100", SATCHEL_E_CHECK, "");
    assert_int_equal(store_begin(w->v.s), SATCHEL_OK);
    assert_int_equal(refusal_discard(w->v.s, w->phone.a.author, 2, 1), SATCHEL_E_NOT_FOUND);
    assert_int_equal(refusal_discard(w->v.s, w->phone.a.author, 1, 1), SATCHEL_OK);
    assert_int_equal(refusal_discard(w->v.s, w->phone.a.author, 1, 2), SATCHEL_E_RESOLVED);
    assert_int_equal(store_commit(w->v.s), SATCHEL_OK);
    push_txn t = make_txn(&w->phone, w->base, 1);
    t.resolves = 1;
    assert_int_equal(push_txn_raw(&w->v, &w->phone, &t, "+ strict(x'01') c=9"), SATCHEL_OK);
    assert_int_equal(w->v.last.result.rc, SATCHEL_E_RESOLVED);
    /* To nobody is what came too late something to be settled in its turn. */
    SQL("SELECT number,state FROM satchel_refused", "1|discarded ; 2|discarded");
    SQL("SELECT count(*) FROM satchel_refused_row", "0");
    assert_int_equal(retry_here(w, 2, NULL, NULL), SATCHEL_E_RESOLVED);
    t = make_txn(&w->phone, w->base, 2);
    t.resolves = 2;
    assert_int_equal(push_txn_raw(&w->v, &w->phone, &t, "+ strict(x'01') c=9"), SATCHEL_OK);
    assert_int_equal(w->v.last.result.rc, SATCHEL_E_RESOLVED);
    SQL("SELECT count(*) FROM strict", "0");
}

static void N6_retry_that_is_refused_stands_in_the_place_of_what_it_retried(void **state) {
    world *w = *state;
    known(w, "+ item('a') n=1");
    refuses(w, &w->phone, w->base, 0, "~ item('a') n+=5; + strict(x'01') c=100", SATCHEL_E_CHECK, "");
    push_txn t = make_txn(&w->phone, w->base, 1);
    t.resolves = 1;
    assert_int_equal(push_txn_raw(&w->v, &w->phone, &t, "~ item('a') n+=5; + strict(x'01') c=200"), SATCHEL_OK);
    assert_int_equal(w->v.last.result.rc, SATCHEL_E_CHECK);
    SQL("SELECT number,state FROM satchel_refused", "1|retried ; 2|open");
    SQL("SELECT DISTINCT number FROM satchel_refused_row", "2");
    assert_int_equal(retry_here(w, 1, NULL, NULL), SATCHEL_E_RESOLVED);
    t = make_txn(&w->phone, w->base, 2);
    t.resolves = 2;
    assert_int_equal(push_txn_raw(&w->v, &w->phone, &t, "~ item('a') n+=5; + strict(x'01') c=9"), SATCHEL_OK);
    assert_int_equal(w->v.last.result.rc, SATCHEL_OK);
    SQL("SELECT n FROM item", "6");
    SQL("SELECT number,state FROM satchel_refused", "1|retried ; 2|retried");
}

/* Of a retry's refusal a server that was put back knows nothing: the next one names what it has open, so that nobody makes that as well. */
static void N6_retry_of_a_retry_settles_the_first_where_the_second_is_lost(void **state) {
    world *w = *state;
    known(w, "+ item('a') n=1");
    refuses(w, &w->phone, w->base, 0, "~ item('a') n+=5; + strict(x'01') c=100", SATCHEL_E_CHECK, "");
    w->phone.number++; /* it was refused by the server that is no more */
    push_txn t = make_txn(&w->phone, w->base, 1);
    t.resolves = 1;
    assert_int_equal(push_txn_raw(&w->v, &w->phone, &t, "~ item('a') n+=5"), SATCHEL_OK);
    SQL("SELECT number,state FROM satchel_refused", "1|retried");
    assert_int_equal(retry_here(w, 1, NULL, NULL), SATCHEL_E_RESOLVED);
    SQL("SELECT n FROM item", "6");
}

/* Where it is known the next one that names the first means the last of them. */
static void N6_first_of_several_retries_means_the_one_that_stands_in_its_place(void **state) {
    world *w = *state;
    refusal of;
    known(w, "+ item('a') n=1");
    refuses(w, &w->phone, w->base, 0, "~ item('a') n+=5; + strict(x'01') c=100", SATCHEL_E_CHECK, "");
    for (unsigned i = 0; i < 2; i++) {
        push_txn t = make_txn(&w->phone, w->base, 1);
        t.resolves = 1;
        assert_int_equal(push_txn_raw(&w->v, &w->phone, &t, "~ item('a') n+=5; + strict(x'01') c=200"), SATCHEL_OK);
        assert_int_equal(w->v.last.result.rc, SATCHEL_E_CHECK);
    }
    SQL("SELECT number,state,root FROM satchel_refused JOIN satchel_result USING(author,number)",
        "1|retried|NULL ; 2|retried|1 ; 3|open|1");
    assert_int_equal(refusal_of(w->v.s, w->phone.a.author, 1, NULL, true, &of), SATCHEL_OK);
    assert_true(of.number == 3 && of.open);
    /* An admin settles it; the device that knows of it says the first's number. */
    assert_int_equal(store_begin(w->v.s), SATCHEL_OK);
    assert_int_equal(refusal_discard(w->v.s, w->phone.a.author, 3, 1), SATCHEL_OK);
    assert_int_equal(refusal_of(w->v.s, w->phone.a.author, 1, NULL, true, &of), SATCHEL_OK);
    assert_true(of.number == 3 && !of.open);
    SQL("SELECT untold FROM satchel_refused WHERE number=3", "1");
    assert_int_equal(refusal_settle(w->v.s, w->phone.a.author, &of, "discarded", 2), SATCHEL_OK);
    SQL("SELECT untold FROM satchel_refused WHERE number=3", "2");
    assert_int_equal(store_commit(w->v.s), SATCHEL_OK);
    push_txn t = make_txn(&w->phone, w->base, 2);
    t.resolves = 1;
    assert_int_equal(push_txn_raw(&w->v, &w->phone, &t, "~ item('a') n+=5"), SATCHEL_OK);
    assert_int_equal(w->v.last.result.rc, SATCHEL_E_RESOLVED);
    SQL("SELECT n FROM item", "1");
}

/* What two files have in common is settled for both, be it as a retry that the other one has not; be that first lost by a server that was put back. */
static void N6_copy_that_retries_means_the_retry_of_the_other(void **state) {
    world *w = *state;
    known(w, "+ item('a') n=1");
    refuses(w, &w->phone, w->base, 0, "~ item('a') n+=5; + strict(x'01') c=100", SATCHEL_E_CHECK, "");
    device copy = copy_of_phone(w, 1);
    push_txn t = make_txn(&w->phone, w->base, 1);
    t.resolves = 1;
    assert_int_equal(push_txn_raw(&w->v, &w->phone, &t, "~ item('a') n+=5; + strict(x'01') c=200"), SATCHEL_OK);
    assert_int_equal(w->v.last.result.rc, SATCHEL_E_CHECK);
    sql_exec(&w->v, "DELETE FROM satchel_refused WHERE number=1");
    assert_int_equal(
        retry_here(w, 2, "[{\"table\":\"strict\",\"key\":{\"id\":{\"base64\":\"AQ==\"}},\"values\":{\"c\":9}}]", NULL),
        SATCHEL_OK);
    copy.number = 1;
    t = make_txn(&copy, w->base, 2);
    t.id[0] ^= 1;
    t.resolves = 1;
    assert_int_equal(push_txn_raw(&w->v, &copy, &t, "~ item('a') n+=5"), SATCHEL_OK);
    assert_int_equal(w->v.last.result.rc, SATCHEL_E_RESOLVED);
    SQL("SELECT n FROM item", "6");
}

/* A retry of the phone's, of a refusal that a server which was put back has lost: its id begins with that of what it retries. */
static push_txn retry_of(device *d, uint64_t base, const push_txn *first) {
    push_txn t = make_txn(d, base, 3);
    memcpy(t.id, first->id, TXN_LINE_BYTES);
    t.resolves = first->number;
    return t;
}

static int pushed(world *w, device *d, push_txn *t, const char *words) {
    assert_int_equal(push_txn_raw(&w->v, d, t, words), SATCHEL_OK);
    return w->v.last.result.rc;
}

/* The one file has had a transaction refused by a server that is no more and retries it, the other gives it as it was: one of them is taken. */
static void N6_transaction_that_a_copy_gives_is_known_by_the_retry_of_the_other(void **state) {
    world *w = *state;
    known(w, "+ item('a') n=1");
    push_txn first = make_txn(&w->phone, w->base, 0), retry = retry_of(&w->phone, w->base, &first);
    device copy = copy_that_the_phone_hears_of(w, 1);
    assert_int_equal(pushed(w, &w->phone, &retry, "~ item('a') n+=5"), SATCHEL_OK);
    push_txn given = first;
    assert_int_equal(pushed(w, &copy, &given, "~ item('a') n+=5"), SATCHEL_E_RESOLVED);
    SQL("SELECT n FROM item", "6");
    SQL("SELECT number,state FROM satchel_refused", "1|discarded");
    /* Another of the same number is another. */
    push_txn other = make_txn(&copy, w->base, 4);
    other.number = 2;
    assert_int_equal(pushed(w, &copy, &other, "~ item('a') n+=1"), SATCHEL_OK);
    SQL("SELECT n FROM item", "7");
}

static void N6_retry_of_what_a_copy_has_given_is_too_late(void **state) {
    world *w = *state;
    known(w, "+ item('a') n=1");
    push_txn first = make_txn(&w->phone, w->base, 0), retry = retry_of(&w->phone, w->base, &first);
    device copy = copy_that_the_phone_hears_of(w, 1);
    assert_int_equal(pushed(w, &copy, &first, "~ item('a') n+=5"), SATCHEL_OK);
    assert_int_equal(pushed(w, &w->phone, &retry, "~ item('a') n+=5"), SATCHEL_E_RESOLVED);
    SQL("SELECT n FROM item", "6");
}

/* Of both the same is open to nobody any more, whichever was refused and whichever is taken. */
static void N6_refused_retry_is_settled_by_the_transaction_that_a_copy_gives(void **state) {
    world *w = *state;
    known(w, "+ item('a') n=1");
    for (unsigned taken = 0; taken < 2; taken++) {
        push_txn first = make_txn(&w->phone, w->base, 0), retry = retry_of(&w->phone, w->base, &first);
        device copy = copy_that_the_phone_hears_of(w, first.number);
        assert_int_equal(pushed(w, &w->phone, &retry, "~ item('a') n+=5; + strict(x'01') c=100"), SATCHEL_E_CHECK);
        assert_int_equal(pushed(w, &copy, &first, taken ? "~ item('a') n+=5" : "+ strict(x'01') c=100"),
                         taken ? SATCHEL_OK : SATCHEL_E_CHECK);
        SQL("SELECT count(*) FROM satchel_refused WHERE state='open'", taken ? "0" : "1");
        push_txn again = retry_of(&w->phone, w->base, &first);
        assert_int_equal(pushed(w, &w->phone, &again, "~ item('a') n+=5"), taken ? SATCHEL_E_RESOLVED : SATCHEL_OK);
        SQL("SELECT count(*) FROM satchel_refused WHERE state='open'", "0");
        SQL("SELECT n FROM item", taken ? "11" : "6");
    }
}

/* As its device would: the insert says again what it said of a row that is there. */
static void N6_admin_makes_a_refused_retry_his_own_with_an_insert_that_meets_a_row(void **state) {
    world *w = *state;
    known(w, "+ item('a') l='theirs', n=1");
    refuses(w, &w->phone, 0, 0, "+ item('a') l='mine', n=5", SATCHEL_E_KEY_TAKEN, "");
    assert_int_equal(retry_here(w, 1, NULL, "refused again"), SATCHEL_E_KEY_TAKEN);
    push_txn t = make_txn(&w->phone, head(w), 1);
    t.resolves = 1;
    assert_int_equal(push_txn_raw(&w->v, &w->phone, &t, "+ item('a') l='mine', n=5; + strict(x'01') c=100"), SATCHEL_OK);
    assert_int_equal(w->v.last.result.rc, SATCHEL_E_CHECK);
    assert_int_equal(
        retry_here(w, 2, "[{\"table\":\"strict\",\"key\":{\"id\":{\"base64\":\"AQ==\"}},\"values\":{\"c\":9}}]", NULL),
        SATCHEL_OK);
    SQL("SELECT l,n FROM item", "mine|6");
    /* Who did not know of the row when he retried meant another. */
    t = make_txn(&w->phone, 0, 2);
    t.resolves = 77;
    assert_int_equal(push_txn_raw(&w->v, &w->phone, &t, "+ item('a') l='other'"), SATCHEL_OK);
    assert_int_equal(w->v.last.result.rc, SATCHEL_E_KEY_TAKEN);
    assert_int_equal(retry_here(w, t.number, NULL, "refused again"), SATCHEL_E_KEY_TAKEN);
}

/* Copies of a file give the same numbers: each means its own. */
static void N6_retry_settles_the_refusal_of_its_own_incarnation(void **state) {
    world *w = *state;
    author_info fresh;
    refuses(w, &w->phone, w->base, 0, "+ strict(x'01') c=100", SATCHEL_E_CHECK, "");
    assert_int_equal(store_begin(w->v.s), SATCHEL_OK);
    assert_int_equal(refusal_discard(w->v.s, w->phone.a.author, 1, 1), SATCHEL_OK);
    assert_int_equal(store_author_fork(w->v.s, w->phone.a.device, 1, &fresh), SATCHEL_OK);
    assert_int_equal(store_commit(w->v.s), SATCHEL_OK);
    sql_exec(
        &w->v,
        "INSERT INTO satchel_result SELECT 9,number,x'0909090909090909',rc,seq,effective,depends,tbl,key,message,at_ms,root FROM satchel_result WHERE rc<>0");
    char text[200];
    snprintf(
        text, sizeof text,
        "UPDATE satchel_result SET author=%u WHERE author=9; INSERT INTO satchel_refused(author,number,id) VALUES(%u,1,x'0909090909090909')",
        fresh.author, fresh.author);
    sql_exec(&w->v, text);
    refusal of;
    assert_int_equal(refusal_of(w->v.s, w->phone.a.author, 1, NULL, true, &of), SATCHEL_OK);
    assert_true(of.author == w->phone.a.author && !of.open);
    assert_int_equal(refusal_of(w->v.s, fresh.author, 1, NULL, true, &of), SATCHEL_OK);
    assert_true(of.author == fresh.author && of.open);
    assert_int_equal(refusal_of(w->v.s, fresh.author, 2, NULL, true, &of), SATCHEL_OK);
    assert_int_equal(of.author, 0);
}

static int64_t found(world *w, const char *name, uint64_t number, const author_info *wanted) {
    int64_t author, by = wanted ? wanted->author : 0;
    int rc = refusal_find(w->v.s, name, number, wanted ? &by : NULL, &author);
    if (rc) assert_int_equal(rc, SATCHEL_E_NOT_FOUND);
    return rc ? -1 : author;
}

/* Of several with one name and one number that one is settled which is meant by its author, and the others stand. */
static void N6_refusal_among_several_of_a_name_and_a_number_is_settled_by_its_author(void **state) {
    world *w = *state;
    device copy = copy_of_phone(w, 0);
    copy.ids = 1000;
    refuses(w, &w->phone, w->base, 0, "+ strict(x'01') c=100", SATCHEL_E_CHECK, "");
    refuses(w, &copy, w->base, 0, "+ strict(x'02') c=200", SATCHEL_E_CHECK, "");
    refuses(w, &w->tablet, w->base, 0, "+ strict(x'03') c=300", SATCHEL_E_CHECK, "");
    /* The phone was revoked, and the tablet has its name. */
    sql_exec(&w->v,
             "UPDATE satchel_device SET state=2 WHERE name='phone'; UPDATE satchel_device SET name='phone' WHERE name='tablet'");
    assert_int_equal(found(w, "phone", 1, NULL), w->tablet.a.author);
    assert_int_equal(found(w, "phone", 1, &w->phone.a), w->phone.a.author);
    assert_int_equal(found(w, "phone", 1, &copy.a), copy.a.author);
    assert_int_equal(found(w, "phone", 2, &copy.a), -1);
    assert_int_equal(found(w, "tablet", 1, &w->tablet.a), -1);
    assert_int_equal(store_begin(w->v.s), SATCHEL_OK);
    assert_int_equal(refusal_discard(w->v.s, copy.a.author, 1, 1), SATCHEL_OK);
    assert_int_equal(refusal_discard(w->v.s, copy.a.author, 1, 1), SATCHEL_E_RESOLVED);
    assert_int_equal(store_commit(w->v.s), SATCHEL_OK);
    SQL("SELECT state FROM satchel_refused ORDER BY delta", "open ; discarded ; open");
    const char *mend = "[{\"table\":\"strict\",\"key\":{\"id\":{\"base64\":\"AQ==\"}},\"values\":{\"c\":9}}]";
    assert_int_equal(retry_here(w, 1, mend, NULL), SATCHEL_OK);
    SQL("SELECT hex(id),c FROM strict", "01|9");
    SQL("SELECT state,untold FROM satchel_refused ORDER BY delta", "retried|1 ; discarded|1 ; open|0");
}

/* What was written after they parted is another transaction under the same number. */
static void N6_refusal_of_another_copy_is_meant_only_up_to_where_they_parted(void **state) {
    world *w = *state;
    device copy = copy_of_phone(w, 0);
    refuses(w, &w->phone, w->base, 0, "+ strict(x'01') c=100", SATCHEL_E_CHECK, "");
    refusal of;
    assert_int_equal(refusal_of(w->v.s, copy.a.author, 1, NULL, true, &of), SATCHEL_OK);
    assert_int_equal(of.author, 0);
    copy.number++; /* its own first was refused there, and is edited */
    push_txn t = make_txn(&copy, w->base, 1);
    t.resolves = 1;
    assert_int_equal(push_txn_raw(&w->v, &copy, &t, "+ person(1) name='x'"), SATCHEL_OK);
    assert_int_equal(w->v.last.result.rc, SATCHEL_OK);
    SQL("SELECT number,state FROM satchel_refused", "1|open");
    device later = copy_of_phone(w, 1);
    assert_int_equal(refusal_of(w->v.s, later.a.author, 1, NULL, true, &of), SATCHEL_OK);
    assert_true(of.author == w->phone.a.author && of.open);
}

/* Both that its result may be forgotten and that somebody was first: then it is nothing to be settled in its turn, or its changes would be made twice. */
static void N6_retry_that_may_be_forgotten_is_refused_as_too_late_if_an_admin_was_first(void **state) {
    world *w = *state;
    known(w, "+ item('a') n=1");
    refuses(w, &w->phone, w->base, 0, "~ item('a') n+=5; + strict(x'01') c=100", SATCHEL_E_CHECK, "");
    push_txn own = make_txn(&w->phone, w->base, 1);
    assert_int_equal(push_txn_raw(&w->v, &w->phone, &own, "+ person(1) name='x'"), SATCHEL_OK);
    assert_int_equal(w->v.last.result.rc, SATCHEL_OK);
    device copy = copy_of_phone(w, own.number);
    assert_int_equal(
        retry_here(w, 1, "[{\"table\":\"strict\",\"key\":{\"id\":{\"base64\":\"AQ==\"}},\"values\":{\"c\":9}}]", NULL),
        SATCHEL_OK);
    SQL("SELECT n FROM item", "6");
    forget_results(w, w->base + 1);
    push_txn t = own;
    t.id[0] ^= 1;
    t.resolves = 1;
    assert_int_equal(push_txn_raw(&w->v, &copy, &t, "~ item('a') n+=5"), SATCHEL_OK);
    assert_int_equal(w->v.last.result.rc, SATCHEL_E_RESOLVED);
    SQL("SELECT number,state FROM satchel_refused", "1|retried ; 2|discarded");
    t = make_txn(&copy, w->base, 2);
    t.resolves = own.number;
    assert_int_equal(push_txn_raw(&w->v, &copy, &t, "~ item('a') n+=5"), SATCHEL_OK);
    assert_int_equal(w->v.last.result.rc, SATCHEL_E_RESOLVED);
    SQL("SELECT n FROM item", "6");
}

static void N6_retry_of_a_refusal_that_a_restored_server_forgot_is_judged_by_itself(void **state) {
    world *w = *state;
    push_txn t = make_txn(&w->phone, w->base, 1);
    t.resolves = 77;
    assert_int_equal(push_txn_raw(&w->v, &w->phone, &t, "+ person(1) name='x'"), SATCHEL_OK);
    assert_int_equal(w->v.last.result.rc, SATCHEL_OK);
    t = make_txn(&w->phone, w->base, 2);
    t.resolves = 78;
    assert_int_equal(push_txn_raw(&w->v, &w->phone, &t, "+ strict(x'01') c=100"), SATCHEL_OK);
    assert_int_equal(w->v.last.result.rc, SATCHEL_E_CHECK);
    SQL("SELECT number,state FROM satchel_refused", "2|open");
}

static void refused_for_names_and_types(void **state) {
    world *w = *state;
    known(w, "+ strict(x'01')");
    refuses(w, &w->phone, w->base, 0, "+ person(9) name='x'; + #99(1) #2=3", SATCHEL_E_UNKNOWN_TABLE, "99");
    refuses(w, &w->phone, w->base, 0, "+ person(9) name='x'; ~ strict(x'01') #99=3", SATCHEL_E_UNKNOWN_COLUMN, "99");
    refuses(w, &w->phone, w->base, 0, "+ person(9); ~ strict(x'01') #1=3", SATCHEL_E_UNKNOWN_COLUMN, "1");
    refuses(w, &w->phone, w->base, 0, "+ person(9) name='x'; ~ strict(x'01') c='x'", SATCHEL_E_TYPE,
            "strict.c takes INTEGER, not TEXT");
    refuses(w, &w->phone, w->base, 0, "+ person(9) name=1", SATCHEL_E_TYPE, "person.name");
    refuses(w, &w->phone, w->base, 0, "+ person('9')", SATCHEL_E_TYPE, "person.id");
    refuses(w, &w->phone, w->base, 0, "+ person(9); + pref(1)", SATCHEL_E_KEY_MISSING, "pref");
    takes(w, &w->phone, w->base, 0, "~ strict(x'01') any='x', r=1, x=2.0");
    SQL("SELECT any,r,x,typeof(x) FROM strict", "x|1.0|2|integer");
    LOGGED("~ strict(x'01') x=2 any='x' r=1.0");
}

static void refused_for_constraints(void **state) {
    world *w = *state;
    known(w, "+ strict(x'01') u='a'");
    refuses(w, &w->phone, w->base, 0, "+ person(9); + strict(x'02') m=NULL", SATCHEL_E_NOT_NULL, "strict.m");
    refuses(w, &w->phone, w->base, 0, "+ person(9); ~ strict(x'01') m=NULL", SATCHEL_E_NOT_NULL, "strict.m");
    refuses(w, &w->phone, w->base, 0, "+ person(9); ~ strict(x'01') c=100", SATCHEL_E_CHECK, "CHECK");
    refuses(w, &w->phone, w->base, 0, "+ person(9); + strict(x'02') u='a'", SATCHEL_E_UNIQUE, "strict.u");
    refuses(w, &w->phone, w->base, 0, "+ person(9); + strict(x'02') u='b'; ~ strict(x'02') u='a'", SATCHEL_E_UNIQUE, "strict.u");
    SQL("SELECT count(*) FROM satchel_result WHERE rc<>0", "5");
}

static void refused_for_references(void **state) {
    world *w = *state;
    known(w, "+ person(1) name='x', code='c'; + phone(1) person=1; + phone(2) code='c'");
    refuses(w, &w->phone, w->base, 0, "+ phone(3) person=2", SATCHEL_E_FOREIGN_KEY, "person");
    refuses(w, &w->phone, w->base, 0, "~ phone(1) person=2", SATCHEL_E_FOREIGN_KEY, "person");
    refuses(w, &w->phone, w->base, 0, "- person(1)", SATCHEL_E_FOREIGN_KEY, "still refers");
    refuses(w, &w->phone, w->base, 0, "~ person(1) code='d'", SATCHEL_E_FOREIGN_KEY, "still refers");
    takes(w, &w->phone, w->base, 0, "+ phone(3) person=2; + person(2)");
    takes(w, &w->phone, w->base, 0, "+ phone(4) person=3; - phone(4)");
    takes(w, &w->phone, w->base, 0, "~ person(1) name='y'");
    takes(w, &w->phone, w->base, 0, "~ phone(2) code=NULL; ~ person(1) code='d'");
    takes(w, &w->phone, w->base, 0, "- person(2); - phone(3)");
    SQL("SELECT (SELECT group_concat(id) FROM person),(SELECT group_concat(id) FROM phone)", "1|1,2");
}

static void revived_child_of_a_deleted_parent_is_refused(void **state) {
    world *w = *state;
    known(w, "+ person(1); + phone(1) person=1");
    takes(w, &w->tablet, w->base, 0, "- phone(1); - person(1)");
    refuses(w, &w->phone, w->base, 10, "~ phone(1) nr='5'", SATCHEL_E_FOREIGN_KEY, "person");
}

static void refused_for_size(void **state) {
    world *w = *state;
    char *big = malloc(LIMIT_VALUE_BYTES + 2);
    memset(big, 'x', LIMIT_VALUE_BYTES + 1);
    const schema *s = store_schema(w->v.s);
    delta_row *row = calloc(1, sizeof *row);
    delta_writer writer;
    static const struct {
        size_t key, text, title;
        int code;
    } CASE[] = {{1, LIMIT_VALUE_BYTES + 1, 0, SATCHEL_E_LIMIT},
                {LIMIT_KEY_BYTES, 1, 0, SATCHEL_E_TOO_LARGE},
                {2, LIMIT_ROW_BYTES / 2, LIMIT_ROW_BYTES / 2, SATCHEL_E_TOO_LARGE},
                {LIMIT_KEY_BYTES - 3, LIMIT_VALUE_BYTES, 0, SATCHEL_OK}};
    for (unsigned i = 0; i < sizeof CASE / sizeof CASE[0]; i++) {
        buf delta;
        buf_init(&delta, 0);
        delta_writer_init(&writer);
        *row = (delta_row){.table = schema_table_by_name(s, "note")->id, .op = DELTA_PUT, .nkey = 1, .ncol = 1};
        row->key[0] = value_text(big, CASE[i].key);
        row->col[0].id = 2;
        row->v[0] = value_text(big, CASE[i].text);
        if (CASE[i].title) {
            row->col[row->ncol].id = 4;
            row->v[row->ncol++] = value_text(big, CASE[i].title);
        }
        delta_put_row(&writer, row);
        assert_int_equal(delta_finish(&writer, &delta), SATCHEL_OK);
        push_txn t = make_txn(&w->phone, w->base, 0);
        t.delta = delta.p;
        t.ndelta = delta.n;
        int rc = push_txn_raw(&w->v, &w->phone, &t, NULL);
        assert_int_equal(rc ? rc : w->v.last.result.rc, CASE[i].code);
        if (CASE[i].key == LIMIT_KEY_BYTES) assert_int_equal(w->v.last.result.nkey, 0);
        delta_writer_fini(&writer);
        buf_fini(&delta);
    }
    /* Two authors together must not make a row that fits no page. */
    buf delta;
    buf_init(&delta, 0);
    delta_writer_init(&writer);
    row->op = DELTA_UPDATE;
    row->col[0].id = 4;
    row->v[0] = value_text(big, 200000);
    delta_put_row(&writer, row);
    assert_int_equal(delta_finish(&writer, &delta), SATCHEL_OK);
    push_txn t = make_txn(&w->phone, w->base, 0);
    t.delta = delta.p;
    t.ndelta = delta.n;
    assert_int_equal(push_txn_raw(&w->v, &w->phone, &t, NULL), SATCHEL_OK);
    assert_int_equal(w->v.last.result.rc, SATCHEL_E_TOO_LARGE);
    delta_writer_fini(&writer);
    buf_fini(&delta);
    free(row);
    free(big);
}

static void real_key_written_as_integer_is_the_same_row(void **state) {
    world *w = *state;
    takes(w, &w->phone, w->base, 0, "+ real(1) v='a'");
    takes(w, &w->tablet, head(w), 0, "~ real(1.0) v='b'");
    takes(w, &w->tablet, head(w), 0, "- real(1)");
    takes(w, &w->tablet, head(w), 0, "+ real(1.0) v='c'");
    SQL("SELECT count(*) FROM satchel_tombstone", "0");
    SQL("SELECT k,v FROM real", "1.0|c");
}

/* A column of type REAL keeps no sign of a zero, one without a type does: the log says what stands there, and what is the same is no change. */
static void zero_with_a_sign_is_logged_as_it_is_kept(void **state) {
    world *w = *state;
    buf report = {0};
    unsigned problems = 1;
    takes(w, &w->phone, w->base, 0, "+ strict(x'01') any=-0.0, r=-0.0, x=-0.0; + real(-0.0) v='a'");
    assert_int_equal(store_verify(w->v.s, &report, &problems), SATCHEL_OK);
    if (problems) fail_msg("%.*s", (int)report.n, (const char *)report.p);
    takes(w, &w->tablet, w->base, 0, "~ strict(x'01') r=0.0, x=0");
    SQL("SELECT count(*) FROM satchel_conflict", "0");
    takes(w, &w->tablet, head(w), 0, "- real(0.0)");
    assert_int_equal(store_verify(w->v.s, &report, &problems), SATCHEL_OK);
    if (problems) fail_msg("%.*s", (int)report.n, (const char *)report.p);
    buf_fini(&report);
}

/* ---- bytes that make no sense ---- */

static void malformed_delta_is_a_wire_error_and_no_refusal(void **state) {
    world *w = *state;
    static const struct {
        const char *bytes;
        size_t n;
        int code;
    } CASE[] = {
        {"\x81\x85\x02\x01\x01\x80", 6, SATCHEL_E_MALFORMED},             /* ends early */
        {"\x81\x85\x02\x09\x01\x80\x81\x01", 8, SATCHEL_E_MALFORMED},     /* no such operation */
        {"\x81\x85\x02\x03\x01\x80\x81\x61\x61", 9, SATCHEL_E_MALFORMED}, /* LEAVE is the server's word */
        {"\x81\x85\x02\x02\x01\x80\x81\xf6", 8, SATCHEL_E_MALFORMED},     /* NULL in a key */
        {"\x81\x85\x02\x02\x01\x80\x81\x61\xff", 9, SATCHEL_E_UTF8},
        {"\x81\x85\x18\x02\x02\x01\x80\x81\x61\x61", 10, SATCHEL_E_NOT_DETERMINISTIC},
        {"\x81\x85\x02\x02\x18\x40\x80\x81\x61\x61", 10, SATCHEL_E_LIMIT}, /* 64 key columns */
    };
    for (unsigned i = 0; i < sizeof CASE / sizeof CASE[0]; i++) {
        push_txn t = make_txn(&w->phone, w->base, 0);
        t.delta = (const uint8_t *)CASE[i].bytes;
        t.ndelta = CASE[i].n;
        int rc = push_txn_raw(&w->v, &w->phone, &t, NULL);
        if (rc != CASE[i].code) fail_msg("case %u: %s", i, satchel_rc_name(rc));
    }
    SQL("SELECT (SELECT count(*) FROM satchel_refused),(SELECT count(*) FROM satchel_result)", "0|0");
}

/* ---- dropped columns ---- */

static void P1_value_for_a_dropped_column_is_logged_and_lands_nowhere_else(void **state) {
    world *w = *state;
    known(w, "+ person(1) name='x'; + line(1) qty=1, what='w'");
    serving_write(&w->v, "schema/002_drop.sql",
                  "ALTER TABLE line DROP COLUMN what;\nALTER TABLE line ADD COLUMN hue TEXT DEFAULT 'red';\n");
    serving_reopen(&w->v);
    w->base = head(w);
    takes(w, &w->phone, w->base, 0, "~ line(1) qty=2, #4='lost'");
    CONFLICTS("line(1).what lww kept - lost 'lost' of 1");
    takes(w, &w->phone, w->base, 0, "+ line(2) #4='also'");
    CONFLICTS("line(2).what lww kept - lost 'also' of 1");
    takes(w, &w->phone, w->base, 0, "~ line(1) #4='alone'");
    CONFLICTS("line(1).what lww kept - lost 'alone' of 1");
    SQL("SELECT qty,hue FROM line", "2|red ; NULL|red");
    const char *text = logged(&w->v);
    assert_string_equal(text, "");
}

static void P1_tombstone_of_an_older_epoch_revives_with_new_defaults(void **state) {
    world *w = *state;
    known(w, "+ person(1) name='x', code='c'");
    takes(w, &w->tablet, w->base, 0, "- person(1)");
    uint64_t base = w->base;
    serving_write(&w->v, "schema/002_add.sql", "ALTER TABLE person ADD COLUMN hue TEXT DEFAULT 'red';\n");
    serving_reopen(&w->v);
    takes(w, &w->phone, base, 10, "~ person(1) name='y'");
    SQL("SELECT name,code,hue FROM person", "y|c|red");
}

/* ---- parts ---- */

static int push_part(world *w, push_txn *t, uint32_t part, bool last, const char *words) {
    t->part = part;
    t->last = last;
    return push_txn_raw(&w->v, &w->phone, t, words);
}

static void parts_are_staged_and_ingested_at_the_last(void **state) {
    world *w = *state;
    push_txn t = make_txn(&w->phone, w->base, 0);
    uint64_t seq = head(w);
    assert_int_equal(push_part(w, &t, 0, false, "+ person(1) name='a'"), SATCHEL_OK);
    assert_true(w->v.last.staged);
    assert_int_equal(push_part(w, &t, 1, false, "+ phone(1) person=1"), SATCHEL_OK);
    SQL("SELECT count(*) FROM person", "0");
    assert_int_equal(head(w), seq);
    assert_int_equal(push_part(w, &t, 2, true, "~ person(1) code='c'"), SATCHEL_OK);
    assert_false(w->v.last.staged);
    assert_int_equal(w->v.last.result.seq, seq + 1);
    SQL("SELECT name,code FROM person", "a|c");
    SQL("SELECT count(*) FROM satchel_stage", "0");
    /* The last part again: the result again. */
    assert_int_equal(push_part(w, &t, 1, false, "+ phone(1) person=1"), SATCHEL_OK);
    assert_true(w->v.last.staged);
    assert_int_equal(push_part(w, &t, 2, true, "~ person(1) code='c'"), SATCHEL_OK);
    assert_int_equal(w->v.last.result.seq, seq + 1);
    assert_int_equal(head(w), seq + 1);
}

/* The phone's file was put back after parts of a large transaction had gone, and gives its number to another one. */
static void N6_refusal_has_no_parts_of_what_the_file_had_begun_to_send_before_it_was_put_back(void **state) {
    world *w = *state;
    push_txn lost = make_txn(&w->phone, w->base, 0);
    assert_int_equal(push_part(w, &lost, 0, false, "+ person(7) name='lost'"), SATCHEL_OK);
    push_txn t = lost;
    t.id[7] ^= 1;
    assert_int_equal(push_part(w, &t, 0, true, "+ person(8) name='x'; + strict(x'01') c=100"), SATCHEL_OK);
    assert_int_equal(w->v.last.result.rc, SATCHEL_E_CHECK);
    assert_int_equal(
        retry_here(w, t.number, "[{\"table\":\"strict\",\"key\":{\"id\":{\"base64\":\"AQ==\"}},\"values\":{\"c\":9}}]", NULL),
        SATCHEL_OK);
    SQL("SELECT id,name FROM person", "8|x");
    SQL("SELECT count(*) FROM satchel_stage", "0");
}

static void parts_out_of_order_are_e_order(void **state) {
    world *w = *state;
    push_txn t = make_txn(&w->phone, w->base, 0);
    assert_int_equal(push_part(w, &t, 1, false, "+ person(1)"), SATCHEL_E_ORDER);
    assert_int_equal(push_part(w, &t, 0, false, "+ person(1)"), SATCHEL_OK);
    assert_int_equal(push_part(w, &t, 2, true, "+ person(2)"), SATCHEL_E_ORDER);
    push_txn other = t;
    other.id[7] ^= 1;
    assert_int_equal(push_part(w, &other, 1, true, "+ person(2)"), SATCHEL_E_ORDER);
    assert_int_equal(push_part(w, &t, 1, true, "+ person(2)"), SATCHEL_OK);
    SQL("SELECT count(*) FROM person", "2");
}

static void parts_begun_anew_forget_the_earlier_try(void **state) {
    world *w = *state;
    push_txn t = make_txn(&w->phone, w->base, 0);
    assert_int_equal(push_part(w, &t, 0, false, "+ person(1)"), SATCHEL_OK);
    assert_int_equal(push_part(w, &t, 1, false, "+ person(2)"), SATCHEL_OK);
    assert_int_equal(push_part(w, &t, 0, false, "+ person(1)"), SATCHEL_OK);
    assert_int_equal(push_part(w, &t, 1, true, "+ person(2)"), SATCHEL_OK);
    assert_int_equal(w->v.last.result.rc, SATCHEL_OK);
    SQL("SELECT count(*) FROM person", "2");
}

static int first_changes(void *ctx, const refused_info *f) {
    snprintf(ctx, 256, "%s %llu %s", f->device, (unsigned long long)f->number, f->changes);
    return 1;
}

static void parts_of_a_refused_transaction_are_kept(void **state) {
    world *w = *state;
    push_txn t = make_txn(&w->phone, w->base, 0);
    assert_int_equal(push_part(w, &t, 0, false, "+ person(1) name='a'"), SATCHEL_OK);
    assert_int_equal(push_part(w, &t, 1, true, "+ strict(x'01') c=100"), SATCHEL_OK);
    assert_int_equal(w->v.last.result.rc, SATCHEL_E_CHECK);
    SQL("SELECT count(*) FROM person", "0");
    SQL("SELECT count(*) FROM satchel_stage", "2");
    refuses(w, &w->phone, w->base, 1, "~ person(1) name='b'", SATCHEL_E_DEPENDS, "");
    t = make_txn(&w->phone, w->base, 2);
    assert_int_equal(push_part(w, &t, 0, false, "+ person(3)"), SATCHEL_OK);
    SQL("SELECT count(*) FROM satchel_stage", "3");
    char text[256];
    assert_int_equal(store_refused(w->v.s, false, first_changes, text), SATCHEL_OK);
    assert_non_null(
        strstr(text, "phone 1 [{\"op\":\"insert\",\"table\":\"person\",\"key\":[\"1\"],\"columns\":{\"name\":\"'a'\""));
}

static void large_transaction_is_logged_in_parts(void **state) {
    world *w = *state;
    push_txn t = make_txn(&w->phone, w->base, 0);
    static char words[60000];
    int part = 0;
    for (int id = 0; id < 3600;) {
        size_t n = 0;
        for (int i = 0; i < 300; i++, id++)
            n += (size_t)snprintf(words + n, sizeof words - n, "+ note('%d') body='%0100d', title='%0100d';", id, id, id) - 90;
        n = 0;
        for (int i = 0, k = id - 300; i < 300; i++, k++)
            n += (size_t)snprintf(words + n, sizeof words - n, "+ note('%d') body='%0150d';", k, k);
        assert_int_equal(push_part(w, &t, (uint32_t)part++, id >= 3600, words), SATCHEL_OK);
    }
    assert_int_equal(w->v.last.result.rc, SATCHEL_OK);
    SQL("SELECT count(*),max(length(delta))<300000,max(id&0xffffff)+1=count(*),count(DISTINCT id>>24) FROM satchel_log WHERE id>>24>1",
        "3|1|1|1");
    SQL("SELECT count(*) FROM note", "3600");
}

/* ---- the server's own SQL ---- */

static void server_sql_is_merged_and_logged_as_author_0(void **state) {
    world *w = *state;
    known(w, "+ item('a') n=1, st='open'");
    buf error;
    buf_init(&error, 0);
    uint64_t transactions, rows;
    int rc = ingest_sql(
        w->v.g,
        "INSERT INTO person(id,name) VALUES(1,'x'); -- one\nBEGIN; UPDATE item SET n=n+4, sv=9, st='closed';\nDELETE FROM person; COMMIT;",
        w->v.now_ms, &transactions, &rows, &error);
    assert_int_equal(rc, SATCHEL_OK);
    assert_int_equal(transactions, 2);
    assert_int_equal(rows, 3);
    SQL("SELECT n,sv,st FROM item", "5|9|closed");
    LOGGED("~ item('a') n=5 sv=9 st='closed'; - person(1)");
    SQL("SELECT DISTINCT author FROM satchel_log", "0");
    CONFLICTS("");
    buf_fini(&error);
}

static void server_sql_stops_at_a_mistake_and_names_its_line(void **state) {
    world *w = *state;
    static const struct {
        const char *text, *words;
        int code;
    } CASE[] = {
        {"INSERT INTO person(id) VALUES(1);\n\nINSERT INTO phone(id,person) VALUES(1,77);", "line 3", SATCHEL_E_FOREIGN_KEY},
        {"BEGIN;\nINSERT INTO person(id) VALUES(2);\nINSERT INTO persn VALUES(3);\nCOMMIT;", "line 3", SATCHEL_E_MISUSE},
        {"BEGIN;\nINSERT INTO person(id) VALUES(2);", "COMMIT is missing", SATCHEL_E_MISUSE},
        {"CREATE TABLE x(y);", "line 1", SATCHEL_E_MISUSE},
        {"DELETE FROM satchel_log;", "line 1", SATCHEL_E_MISUSE},
        {"PRAGMA user_version=9;", "line 1", SATCHEL_E_MISUSE},
        {"COMMIT;", "line 1", SATCHEL_E_MISUSE},
    };
    for (unsigned i = 0; i < sizeof CASE / sizeof CASE[0]; i++) {
        buf error;
        buf_init(&error, 0);
        uint64_t transactions, rows;
        int rc = ingest_sql(w->v.g, CASE[i].text, w->v.now_ms, &transactions, &rows, &error);
        if (rc != CASE[i].code || !error.p || !strstr((char *)error.p, CASE[i].words))
            fail_msg("%s: %s %.*s", CASE[i].text, satchel_rc_name(rc), (int)error.n, error.p ? (char *)error.p : "");
        assert_true(sqlite3_get_autocommit(store_db(w->v.s)));
        buf_fini(&error);
    }
    SQL("SELECT id FROM person", "1");
    takes(w, &w->phone, head(w), 0, "+ person(5)");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(N3_known_number_and_id_gets_its_result_and_no_second_effect),
        TEST(N3_refused_transaction_pushed_again_gets_its_refusal),
        TEST(N3_known_number_with_another_id_is_a_fork_and_does_nothing),
        TEST(N3_number_that_was_skipped_is_a_fork),
        TEST(N3_transaction_of_an_earlier_incarnation_is_found_elsewhere),
        TEST(N3_transaction_that_a_later_incarnation_gave_first_is_found),
        TEST(N3_shared_transaction_of_which_the_result_may_be_forgotten_is_refused),
        TEST(N3_shared_transaction_of_the_original_is_refused_too),
        TEST(N3_shared_transaction_is_refused_whichever_file_of_the_incarnation_has_said_hello),
        TEST(N3_parts_that_were_staged_go_when_it_was_given_elsewhere),
        TEST(N3_first_part_of_what_was_given_elsewhere_is_its_authors_last),
        TEST(N3_shared_transaction_that_was_given_by_nobody_is_taken),
        TEST(N3_shared_transaction_with_a_base_above_the_floor_is_taken),
        TEST(row_that_is_missing_to_who_comes_from_below_the_floor_is_taken_as_deleted),
        TEST(N7_given_again_after_a_restore_keeps_its_effective_stamp),
        TEST(N6_later_transaction_on_the_refused_row_depends_on_it),
        TEST(N6_refusal_does_not_touch_what_stands_without_it),
        TEST(N6_what_the_schema_says_of_conflicts_is_not_for_what_is_pushed),
        TEST(N6_retry_settles_the_refusal_once),
        TEST(N6_admin_makes_a_refusal_in_parts_his_own_with_other_values),
        TEST(N6_refusal_of_columns_that_are_not_known_is_shown_and_not_edited_over_the_limit),
        TEST(N6_retry_of_what_an_admin_discarded_is_refused),
        TEST(N6_retry_that_is_refused_stands_in_the_place_of_what_it_retried),
        TEST(N6_retry_of_a_retry_settles_the_first_where_the_second_is_lost),
        TEST(N6_first_of_several_retries_means_the_one_that_stands_in_its_place),
        TEST(N6_copy_that_retries_means_the_retry_of_the_other),
        TEST(N6_transaction_that_a_copy_gives_is_known_by_the_retry_of_the_other),
        TEST(N6_retry_of_what_a_copy_has_given_is_too_late),
        TEST(N6_refused_retry_is_settled_by_the_transaction_that_a_copy_gives),
        TEST(N6_admin_makes_a_refused_retry_his_own_with_an_insert_that_meets_a_row),
        TEST(N6_retry_settles_the_refusal_of_its_own_incarnation),
        TEST(N6_refusal_among_several_of_a_name_and_a_number_is_settled_by_its_author),
        TEST(N6_refusal_of_another_copy_is_meant_only_up_to_where_they_parted),
        TEST(N6_retry_that_may_be_forgotten_is_refused_as_too_late_if_an_admin_was_first),
        TEST(N6_retry_of_a_refusal_that_a_restored_server_forgot_is_judged_by_itself),
        TEST(refused_for_names_and_types),
        TEST(refused_for_constraints),
        TEST(refused_for_references),
        TEST(revived_child_of_a_deleted_parent_is_refused),
        TEST(refused_for_size),
        TEST(real_key_written_as_integer_is_the_same_row),
        TEST(zero_with_a_sign_is_logged_as_it_is_kept),
        TEST(malformed_delta_is_a_wire_error_and_no_refusal),
        TEST(P1_value_for_a_dropped_column_is_logged_and_lands_nowhere_else),
        TEST(P1_tombstone_of_an_older_epoch_revives_with_new_defaults),
        TEST(parts_are_staged_and_ingested_at_the_last),
        TEST(N6_refusal_has_no_parts_of_what_the_file_had_begun_to_send_before_it_was_put_back),
        TEST(parts_out_of_order_are_e_order),
        TEST(parts_begun_anew_forget_the_earlier_try),
        TEST(parts_of_a_refused_transaction_are_kept),
        TEST(large_transaction_is_logged_in_parts),
        TEST(server_sql_is_merged_and_logged_as_author_0),
        TEST(server_sql_stops_at_a_mistake_and_names_its_line),
    };
    return cmocka_run_group_tests_name("ingest", tests, NULL, NULL);
}
