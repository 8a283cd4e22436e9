/* The audit log: what a row has, and that whatever is done to it later is found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"
#include "server/audit.h"
#include "tests/support/serving.h"

static const char SQL[] =
    "CREATE TABLE thing(id INTEGER PRIMARY KEY, name TEXT); INSERT INTO satchel_table(name) VALUES('thing');";

static int make_store(void **state) {
    serving *v = calloc(1, sizeof *v);
    serving_open(v, SQL, NULL);
    *state = v;
    return 0;
}

static int drop_store(void **state) {
    serving_fini(*state);
    free(*state);
    return 0;
}

static audit_entry append(serving *v, const char *action, const char *subject, int rc) {
    audit_entry e = {.at_ms = 1790000000000 + v->now_ms++,
                     .actor = "user:ann",
                     .peer = "192.0.2.7",
                     .action = action,
                     .subject = subject,
                     .rc = rc};
    assert_int_equal(store_begin(v->s), 0);
    assert_int_equal(audit_append(v->s, &e), 0);
    assert_int_equal(store_commit(v->s), 0);
    return e;
}

static audit_found verify_from(serving *v, const audit_entry *head) {
    audit_found f = {0};
    buf error = {0};
    if (head) {
        f.expected = true;
        f.head = head->id;
        memcpy(f.hash, head->hash, sizeof f.hash);
    }
    assert_int_equal(audit_verify(v->path, NULL, &f, &error), 0);
    buf_fini(&error);
    return f;
}

/* The row that does not fit, 0 if all do; and words that have `words` in them. */
static uint64_t wrong(serving *v, const char *words) {
    audit_found f = verify_from(v, NULL);
    if (f.wrong && !strstr((const char *)f.words.p, words)) fail_msg("%s", (const char *)f.words.p);
    buf_fini(&f.words);
    return f.wrong;
}

static void fill(serving *v) {
    append(v, "device.add", "{\"name\":\"till-07\"}", 0);
    append(v, "device.pause", "{\"name\":\"till-07\"}", 0);
    append(v, "device.wipe", "{\"name\":\"till-08\"}", SATCHEL_E_NOT_FOUND);
    append(v, "sql", "{\"text\":\"DELETE FROM thing\"}", 0);
}

static void verify_untouched_log_all_fit(void **state) {
    serving *v = *state;
    audit_found empty = verify_from(v, NULL);
    assert_int_equal(empty.rows, 0);
    fill(v);
    audit_found f = verify_from(v, NULL);
    assert_int_equal(f.rows, 4);
    assert_int_equal(f.wrong, 0);
    assert_int_equal(f.head, 4);
}

static void verify_changed_field_names_the_row(void **state) {
    static const char *const changes[] = {"at_ms=at_ms+1",        "actor='user:eve'", "peer='192.0.2.8'",
                                          "action='device.show'", "subject='{}'",     "rc=-1",
                                          "rc=rc+4294967296",     "hash=zeroblob(32)"};
    serving *v = *state;
    fill(v);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        char text[160];
        snprintf(text, sizeof text,
                 "CREATE TEMP TABLE kept AS SELECT * FROM satchel_audit; UPDATE satchel_audit SET %s WHERE id=2", changes[i]);
        sql_exec(v, text);
        if (wrong(v, "row 2 is not what was written") != 2) fail_msg("%s", changes[i]);
        sql_exec(v, "DELETE FROM satchel_audit; INSERT INTO satchel_audit SELECT * FROM kept; DROP TABLE kept");
        assert_int_equal(wrong(v, ""), 0);
    }
}

static void verify_bytes_behind_a_zero_are_found(void **state) {
    serving *v = *state;
    fill(v);
    sql_exec(v, "UPDATE satchel_audit SET subject=subject||char(0)||'more' WHERE id=1");
    assert_int_equal(wrong(v, "row 1 is not"), 1);
}

static void verify_moved_border_between_fields_is_found(void **state) {
    serving *v = *state;
    append(v, "ab", "{}", 0);
    sql_exec(v, "UPDATE satchel_audit SET peer=peer||'a', action='b'");
    assert_int_equal(wrong(v, "row 1 is not"), 1);
}

static void verify_removed_row_is_missed_wherever_it_stood(void **state) {
    for (int id = 1; id <= 4; id++) {
        serving *v = *state;
        char text[64];
        sql_exec(v, "DELETE FROM satchel_audit; DELETE FROM sqlite_sequence WHERE name='satchel_audit'");
        fill(v);
        snprintf(text, sizeof text, "DELETE FROM satchel_audit WHERE id=%d", id);
        sql_exec(v, text);
        assert_int_equal(wrong(v, "is missing"), (uint64_t)id);
    }
}

static void verify_removed_last_row_is_missed_after_more_were_written(void **state) {
    serving *v = *state;
    fill(v);
    sql_exec(v, "DELETE FROM satchel_audit WHERE id=4");
    audit_entry next = append(v, "status", "{}", 0);
    assert_int_equal(next.id, 5);
    assert_int_equal(wrong(v, "row 4 is missing"), 4);
}

static void verify_row_put_between_is_found(void **state) {
    serving *v = *state;
    fill(v);
    sql_exec(
        v,
        "UPDATE satchel_audit SET id=5 WHERE id=4; INSERT INTO satchel_audit SELECT 4,at_ms,actor,peer,action,subject,rc,hash FROM satchel_audit WHERE id=3");
    assert_int_equal(wrong(v, "row 4 is not"), 4);
}

static void verify_log_made_anew_is_found_by_a_noted_head(void **state) {
    serving *v = *state;
    fill(v);
    audit_entry noted = append(v, "device.revoke", "{\"name\":\"till-09\"}", 0);
    audit_found f = verify_from(v, &noted);
    assert_true(f.expected);
    assert_int_equal(f.wrong, 0);
    sql_exec(v, "DELETE FROM satchel_audit; DELETE FROM sqlite_sequence WHERE name='satchel_audit'");
    fill(v);
    assert_int_equal(wrong(v, ""), 0);
    f = verify_from(v, &noted);
    assert_int_equal(f.wrong, 5);
    buf_fini(&f.words);
    append(v, "device.show", "{\"name\":\"till-09\"}", 0);
    f = verify_from(v, &noted);
    assert_int_equal(f.wrong, 5);
    assert_false(f.expected);
    buf_fini(&f.words);
}

static void append_undone_leaves_no_gap(void **state) {
    serving *v = *state;
    fill(v);
    audit_entry e = {.actor = "user:ann", .peer = "", .action = "x", .subject = "{}"};
    assert_int_equal(store_begin(v->s), 0);
    assert_int_equal(audit_append(v->s, &e), 0);
    store_rollback(v->s);
    append(v, "y", "{}", 0);
    assert_int_equal(wrong(v, ""), 0);
    assert_string_equal(sql(v, "SELECT max(id) FROM satchel_audit"), "5");
}

static int note_id(void *ctx, const audit_entry *e) {
    char *at = ctx;
    snprintf(at + strlen(at), 32, "%d:%s ", (int)e->id, e->action);
    return 0;
}

static void list_is_newest_first_and_goes_on_before(void **state) {
    serving *v = *state;
    char ids[200] = "";
    db_cache cache;
    fill(v);
    db_cache_init(&cache, store_db(v->s));
    assert_int_equal(audit_list(&cache, 0, 2, note_id, ids), 0);
    assert_string_equal(ids, "4:sql 3:device.wipe ");
    ids[0] = 0;
    assert_int_equal(audit_list(&cache, 3, 10, note_id, ids), 0);
    assert_string_equal(ids, "2:device.pause 1:device.add ");
    db_cache_fini(&cache);
}

/* ---- what stands in it of a request ---- */

static void subject_is(const char *request, const char *expected) {
    json_t *o = json_loads(request, 0, NULL);
    buf out = {0};
    assert_non_null(o);
    assert_int_equal(audit_subject(o, &out), 0);
    buf_put_byte(&out, 0);
    assert_string_equal((const char *)out.p, expected);
    buf_fini(&out);
    json_decref(o);
}

static void subject_has_no_secret(void **state) {
    (void)state;
    subject_is(
        "{\"command\":\"user.add\",\"name\":\"ann\",\"password\":\"correct horse\",\"secret\":\"s\",\"code\":\"c\",\"token\":\"t\",\"progress\":true}",
        "{\"name\":\"ann\"}");
    subject_is("{\"command\":\"scope.grant\",\"table\":\"thing\",\"key\":\"7\"}", "{\"key\":\"7\",\"table\":\"thing\"}");
    subject_is("{}", "{}");
}

static void subject_long_member_is_its_beginning_and_sum(void **state) {
    (void)state;
    char *text = calloc(1, 4000);
    json_t *rows = json_array(), *o;
    buf out = {0};
    for (int i = 0; i < 1500; i++) strcat(text, "\xc3\xa4");
    for (int i = 0; i < 500; i++) json_array_append_new(rows, json_integer(i));
    o = json_pack("{ss so ss}", "text", text, "rows", rows, "table", "thing");
    assert_int_equal(audit_subject(o, &out), 0);
    json_t *kept = json_loadb((const char *)out.p, out.n, 0, NULL);
    json_t *member = json_object_get(kept, "text");
    assert_int_equal(json_integer_value(json_object_get(member, "bytes")), 3000);
    assert_int_equal(json_string_length(json_object_get(member, "begins")), AUDIT_TEXT_BYTES);
    assert_int_equal(json_string_length(json_object_get(member, "sha256")), 64);
    assert_true(json_is_object(json_object_get(kept, "rows")));
    assert_string_equal(json_string_value(json_object_get(kept, "table")), "thing");
    json_decref(kept);
    json_decref(o);
    buf_fini(&out);
    free(text);
}

/* Each member is short, and there are as many as a body takes. */
static void subject_of_many_members_is_their_sum(void **state) {
    (void)state;
    char name[900];
    json_t *o = json_object();
    buf out = {0};
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "%0800d", i);
        json_object_set_new(o, name, json_integer(i));
    }
    assert_int_equal(audit_subject(o, &out), 0);
    assert_in_range(out.n, 1, AUDIT_SUBJECT_BYTES);
    json_t *kept = json_loadb((const char *)out.p, out.n, 0, NULL);
    assert_int_equal(json_object_size(kept), 2);
    assert_true(json_integer_value(json_object_get(kept, "bytes")) > 800000);
    assert_int_equal(json_string_length(json_object_get(kept, "sha256")), 64);
    json_decref(kept);
    json_decref(o);
    buf_fini(&out);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, make_store, drop_store)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(verify_untouched_log_all_fit),
        CASE(verify_changed_field_names_the_row),
        CASE(verify_bytes_behind_a_zero_are_found),
        CASE(verify_moved_border_between_fields_is_found),
        CASE(verify_removed_row_is_missed_wherever_it_stood),
        CASE(verify_removed_last_row_is_missed_after_more_were_written),
        CASE(verify_row_put_between_is_found),
        CASE(verify_log_made_anew_is_found_by_a_noted_head),
        CASE(append_undone_leaves_no_gap),
        CASE(list_is_newest_first_and_goes_on_before),
        cmocka_unit_test(subject_has_no_secret),
        cmocka_unit_test(subject_long_member_is_its_beginning_and_sum),
        cmocka_unit_test(subject_of_many_members_is_their_sum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
