#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"
#include "server/store_private.h"
#include "tests/support/serving.h"

static const uint8_t SECRET[16] = "a secret of 16 b", OTHER[16] = "another secret b";

static int setup(void **state) {
    serving *v = calloc(1, sizeof *v);
    assert_non_null(v);
    serving_open(v, "CREATE TABLE item(id INTEGER PRIMARY KEY);\nINSERT INTO satchel_table(name) VALUES('item');\n", NULL);
    *state = v;
    return 0;
}

static int teardown(void **state) {
    serving_fini(*state);
    free(*state);
    return 0;
}

/* ---- enrolment ---- */

static void enrol_redeem_makes_a_device_once(void **state) {
    serving *v = *state;
    uint8_t key[32], other_key[32];
    serving_fingerprint("phone", key);
    serving_fingerprint("another", other_key);
    device_info d, again;
    serving_begin(v);
    assert_int_equal(store_enrol_offer(v->s, "phone", SECRET, 1000), SATCHEL_OK);
    assert_int_equal(store_enrol_redeem(v->s, OTHER, key, 900, &d), SATCHEL_E_ENROL_CODE);
    assert_int_equal(store_enrol_redeem(v->s, SECRET, key, 900, &d), SATCHEL_OK);
    assert_string_equal(d.name, "phone");
    assert_int_equal(d.state, DEVICE_ACTIVE);
    assert_int_equal(d.enrolled_ms, 900);
    assert_memory_equal(d.fingerprint, key, 32);
    /* The answer was lost: the same key gets the same device, even late. Another key does not. */
    assert_int_equal(store_enrol_redeem(v->s, SECRET, key, 5000, &again), SATCHEL_OK);
    assert_int_equal(again.id, d.id);
    assert_int_equal(store_enrol_redeem(v->s, SECRET, other_key, 900, &again), SATCHEL_E_ENROL_USED);
    serving_commit(v);
    assert_string_equal(sql(v, "SELECT count(*) FROM satchel_device"), "1");
    assert_string_equal(sql(v, "SELECT count(*) FROM satchel_enrol WHERE secret_hash=x'61207365637265742066203136206200'"), "0");
}

static void enrol_expired_or_replaced_code_is_refused(void **state) {
    serving *v = *state;
    uint8_t key[32];
    serving_fingerprint("phone", key);
    device_info d;
    serving_begin(v);
    assert_int_equal(store_enrol_offer(v->s, "phone", SECRET, 1000), SATCHEL_OK);
    assert_int_equal(store_enrol_redeem(v->s, SECRET, key, 1001, &d), SATCHEL_E_EXPIRED);
    assert_int_equal(store_enrol_offer(v->s, "phone", OTHER, 2000), SATCHEL_OK);
    assert_int_equal(store_enrol_redeem(v->s, SECRET, key, 900, &d), SATCHEL_E_ENROL_CODE);
    assert_int_equal(store_enrol_redeem(v->s, OTHER, key, 1500, &d), SATCHEL_OK);
    assert_int_equal(store_enrol_offer(v->s, "phone", SECRET, 9000), SATCHEL_E_KEY_TAKEN);
    assert_non_null(strstr(store_error(v->s), "active device"));
    serving_commit(v);
}

static void enrol_known_key_comes_back_under_its_id_unless_revoked(void **state) {
    serving *v = *state;
    device first = serving_device(v, "phone");
    uint8_t key[32];
    serving_fingerprint("phone", key);
    device_info d;
    serving_begin(v);
    assert_int_equal(store_enrol_offer(v->s, "again", SECRET, 1000), SATCHEL_OK);
    assert_int_equal(store_enrol_redeem(v->s, SECRET, key, 900, &d), SATCHEL_OK);
    assert_int_equal(d.id, first.a.device);
    assert_string_equal(d.name, "phone");
    assert_int_equal(store_device_move(v->s, d.id, DEVICE_REVOKED, 5), SATCHEL_OK);
    assert_int_equal(store_device_move(v->s, 777, DEVICE_REVOKED, 5), SATCHEL_E_NOT_FOUND);
    assert_int_equal(store_enrol_offer(v->s, "phone", OTHER, 1000), SATCHEL_OK);
    assert_int_equal(store_enrol_redeem(v->s, OTHER, key, 900, &d), SATCHEL_E_REVOKED);
    serving_commit(v);
    assert_int_equal(store_device_by_fingerprint(v->s, key, &d), SATCHEL_OK);
    assert_int_equal(d.state, DEVICE_REVOKED);
    /* The name is free for another key, and then names that one. */
    uint8_t key2[32];
    serving_fingerprint("phone 2", key2);
    serving_begin(v);
    assert_int_equal(store_enrol_redeem(v->s, OTHER, key2, 900, &d), SATCHEL_OK);
    serving_commit(v);
    assert_int_equal(store_device_by_name(v->s, "phone", &d), SATCHEL_OK);
    assert_memory_equal(d.fingerprint, key2, 32);
    assert_int_equal(store_device_by_name(v->s, "nobody", &d), SATCHEL_E_NOT_FOUND);
}

/* ---- devices and their incarnations ---- */

static int move(serving *v, int64_t id, device_state to, uint64_t now_ms) {
    serving_begin(v);
    int rc = store_device_move(v->s, id, to, now_ms);
    serving_commit(v);
    return rc;
}

static void device_moves_between_states_only_as_it_may_and_each_is_an_event(void **state) {
    serving *v = *state;
    /* A row: from; a column: to, in this order. */
    static const device_state states[] = {DEVICE_ACTIVE, DEVICE_PAUSED, DEVICE_REVOKED,
                                          DEVICE_WIPE,   DEVICE_WIPED,  DEVICE_REMOVED};
    static const char *const may[] = {"+++++-", "+++++-", "--++++", "---++-", "---+++"};
    device_info d;
    for (unsigned from = 0; from < 5; from++) {
        for (unsigned to = 0; to < 6; to++) {
            uint8_t key[CRYPTO_FINGERPRINT_BYTES];
            char name[16];
            snprintf(name, sizeof name, "d%u%u", from, to);
            int64_t id = serving_device(v, name).a.device;
            serving_begin(v);
            sql_exec(v, "DELETE FROM satchel_event");
            char text[80];
            snprintf(text, sizeof text, "UPDATE satchel_device SET state=%d WHERE id=%lld", (int)states[from], (long long)id);
            sql_exec(v, text);
            serving_commit(v);
            bool refused = may[from][to] == '-';
            assert_int_equal(move(v, id, states[to], 77), refused ? SATCHEL_E_MISUSE : SATCHEL_OK);
            serving_fingerprint(name, key);
            assert_int_equal(store_device_by_fingerprint(v->s, key, &d), SATCHEL_OK);
            assert_int_equal(d.state, states[refused ? from : to]);
            assert_string_equal(sql(v, "SELECT count(*) FROM satchel_event"), refused || from == to ? "0" : "1");
            assert_int_equal(d.state_ms, refused || from == to ? 0 : 77);
        }
    }
    assert_int_equal(move(v, 777, DEVICE_WIPE, 1), SATCHEL_E_NOT_FOUND);
}

static int note_name(void *ctx, const device_info *d) {
    char *names = ctx;
    snprintf(names + strlen(names), 64 - strlen(names), "%s ", d->name);
    return 0;
}

static void removed_device_is_found_by_its_key_alone_and_its_name_is_free(void **state) {
    serving *v = *state;
    device phone = serving_device(v, "phone");
    int64_t id = phone.a.device;
    serving_device(v, "tablet");
    uint8_t key[CRYPTO_FINGERPRINT_BYTES], other[CRYPTO_FINGERPRINT_BYTES];
    char names[64] = "";
    device_info d;
    store_counts counts;
    serving_fingerprint("phone", key);
    serving_fingerprint("other", other);
    assert_int_equal(push(v, &phone, 0, 0, "+ item(1)"), SATCHEL_OK);
    assert_int_equal(move(v, id, DEVICE_REVOKED, 4), SATCHEL_OK);
    serving_begin(v);
    assert_int_equal(store_enrol_offer(v->s, "phone", SECRET, 1000), SATCHEL_OK);
    sql_exec(v, "INSERT INTO satchel_grant(device,tbl,key,until_ms,reason,at_ms) VALUES(1,1,x'',99,'',1),(2,1,x'',99,'',1)");
    sql_exec(v,
             "INSERT INTO satchel_silence(rule,subject,until_ms,by) VALUES('device-silent',1,99,''),('device-silent',2,99,'')");
    serving_commit(v);
    assert_int_equal(move(v, id, DEVICE_REMOVED, 5), SATCHEL_OK);
    assert_int_equal(store_device_by_name(v->s, "phone", &d), SATCHEL_E_NOT_FOUND);
    assert_int_equal(store_devices(v->s, note_name, names), SATCHEL_OK);
    assert_string_equal(names, "tablet ");
    assert_int_equal(store_count(v->s, 6, &counts), SATCHEL_OK);
    assert_int_equal(counts.devices, 1);
    assert_string_equal(sql(v, "SELECT group_concat(device||':'||until_ms) FROM satchel_grant"), "1:5,2:99");
    assert_string_equal(sql(v, "SELECT group_concat(subject) FROM satchel_silence"), "2");
    /* Nothing is done with it any more. */
    assert_int_equal(move(v, id, DEVICE_REMOVED, 7), SATCHEL_E_NOT_FOUND);
    assert_int_equal(move(v, id, DEVICE_WIPE, 7), SATCHEL_E_NOT_FOUND);
    serving_begin(v);
    assert_int_equal(store_device_rename(v->s, id, "x", 7), SATCHEL_E_NOT_FOUND);
    assert_int_equal(store_device_resnapshot(v->s, id, 7), SATCHEL_E_NOT_FOUND);
    /* The code ended, and its key comes in by no other. */
    assert_int_equal(store_enrol_redeem(v->s, SECRET, other, 7, &d), SATCHEL_E_ENROL_CODE);
    assert_int_equal(store_enrol_offer(v->s, "phone", OTHER, 1000), SATCHEL_OK);
    assert_int_equal(store_enrol_redeem(v->s, OTHER, key, 7, &d), SATCHEL_E_REVOKED);
    assert_int_equal(store_enrol_redeem(v->s, OTHER, other, 7, &d), SATCHEL_OK);
    serving_commit(v);
    assert_int_equal(store_device_by_name(v->s, "phone", &d), SATCHEL_OK);
    assert_memory_equal(d.fingerprint, other, sizeof other);
    assert_int_equal(store_device_by_fingerprint(v->s, key, &d), SATCHEL_OK);
    assert_int_equal(d.state, DEVICE_REMOVED);
    assert_string_equal(d.name, "phone");
}

static void device_with_an_open_refusal_is_not_removed(void **state) {
    serving *v = *state;
    device phone = serving_device(v, "phone");
    int64_t id = phone.a.device;
    assert_int_equal(push(v, &phone, 0, 0, "+ item(1)"), SATCHEL_OK);
    serving_begin(v);
    sql_exec(v, "INSERT INTO satchel_refused(author,number,id) SELECT author,9,x'00' FROM satchel_author");
    serving_commit(v);
    assert_int_equal(move(v, id, DEVICE_REVOKED, 4), SATCHEL_OK);
    assert_int_equal(move(v, id, DEVICE_REMOVED, 5), SATCHEL_E_MISUSE);
    assert_non_null(strstr(store_error(v->s), "retry or discard"));
    serving_begin(v);
    sql_exec(v, "UPDATE satchel_refused SET state='discarded'");
    serving_commit(v);
    assert_int_equal(move(v, id, DEVICE_REMOVED, 5), SATCHEL_OK);
}

static void device_of_any_state_but_active_and_paused_does_not_enrol_again(void **state) {
    static const device_state states[] = {DEVICE_PAUSED, DEVICE_REVOKED, DEVICE_WIPE, DEVICE_WIPED, DEVICE_REMOVED};
    serving *v = *state;
    device phone = serving_device(v, "phone");
    uint8_t key[32];
    serving_fingerprint("phone", key);
    device_info d;
    serving_begin(v);
    assert_int_equal(store_enrol_offer(v->s, "again", SECRET, 1000), SATCHEL_OK);
    serving_commit(v);
    for (unsigned i = 5; i-- > 0;) {
        serving_begin(v);
        char text[80];
        snprintf(text, sizeof text, "UPDATE satchel_device SET state=%d WHERE id=%lld", (int)states[i],
                 (long long)phone.a.device);
        sql_exec(v, text);
        assert_int_equal(store_enrol_redeem(v->s, SECRET, key, 900, &d), i ? SATCHEL_E_REVOKED : SATCHEL_OK);
        serving_commit(v);
    }
}

static void rename_takes_no_name_that_is_in_use_and_gives_the_old_one_free(void **state) {
    serving *v = *state;
    int64_t phone = serving_device(v, "phone").a.device, tablet = serving_device(v, "tablet").a.device;
    device_info d;
    assert_int_equal(move(v, tablet, DEVICE_PAUSED, 5), SATCHEL_OK);
    serving_begin(v);
    assert_int_equal(store_enrol_offer(v->s, "offered", SECRET, 1000), SATCHEL_OK);
    assert_int_equal(store_device_rename(v->s, phone, "tablet", 5), SATCHEL_E_KEY_TAKEN);
    assert_int_equal(store_device_rename(v->s, phone, "offered", 5), SATCHEL_E_KEY_TAKEN);
    assert_int_equal(store_enrol_offer(v->s, "tablet", OTHER, 1000), SATCHEL_E_KEY_TAKEN);
    assert_int_equal(store_device_rename(v->s, phone, "Ann's", 5), SATCHEL_OK);
    assert_int_equal(store_device_rename(v->s, 777, "x", 5), SATCHEL_E_NOT_FOUND);
    assert_int_equal(store_enrol_offer(v->s, "phone", OTHER, 1000), SATCHEL_OK);
    serving_commit(v);
    assert_int_equal(store_device_by_name(v->s, "Ann's", &d), SATCHEL_OK);
    assert_int_equal(d.id, phone);
    assert_string_equal(sql(v, "SELECT text FROM satchel_event WHERE kind='renamed'"), "renamed from phone to Ann's");
}

static void scope_of_a_code_becomes_the_device_s_and_set_changes_only_what_is_given(void **state) {
    serving *v = *state;
    uint8_t key[32];
    serving_fingerprint("phone", key);
    buf seven = {0}, text = {0};
    value number = value_integer(7), words = value_text("it's", 4);
    value_put(&seven, &number);
    value_put(&text, &words);
    device_info d;
    serving_begin(v);
    assert_int_equal(store_enrol_offer(v->s, "phone", SECRET, 1000), SATCHEL_OK);
    assert_int_equal(
        store_enrol_set_scope(
            v->s, "phone",
            &(device_scope){.given = DEVICE_PROFILE | DEVICE_USER, .profile = "rep", .user = seven.p, .nuser = seven.n}),
        SATCHEL_OK);
    assert_int_equal(store_enrol_redeem(v->s, SECRET, key, 900, &d), SATCHEL_OK);
    assert_false(d.everything);
    assert_string_equal(d.profile, "rep");
    assert_string_equal(d.user, "7");
    assert_string_equal(d.store, "");
    assert_int_equal(
        store_device_set_scope(v->s, d.id, &(device_scope){.given = DEVICE_STORE, .store = text.p, .nstore = text.n}, 9),
        SATCHEL_OK);
    assert_int_equal(store_device_by_name(v->s, "phone", &d), SATCHEL_OK);
    assert_string_equal(d.profile, "rep");
    assert_string_equal(d.user, "7");
    assert_string_equal(d.store, "'it''s'");
    assert_int_equal(store_device_set_scope(v->s, d.id, &(device_scope){.given = DEVICE_PROFILE | DEVICE_USER}, 9), SATCHEL_OK);
    assert_int_equal(store_device_by_name(v->s, "phone", &d), SATCHEL_OK);
    assert_true(d.everything);
    assert_string_equal(d.user, "");
    assert_string_equal(d.store, "'it''s'");
    assert_int_equal(store_device_set_scope(v->s, 777, &(device_scope){.given = DEVICE_USER}, 9), SATCHEL_E_NOT_FOUND);
    serving_commit(v);
    /* The same key with another code holds what that one says, and nothing else changes at the same code again. */
    serving_begin(v);
    assert_int_equal(store_enrol_offer(v->s, "phone again", OTHER, 1000), SATCHEL_OK);
    device_scope till = {.given = DEVICE_PROFILE | DEVICE_USER, .profile = "till", .user = seven.p, .nuser = seven.n};
    assert_int_equal(store_enrol_set_scope(v->s, "phone again", &till), SATCHEL_OK);
    assert_int_equal(store_enrol_redeem(v->s, OTHER, key, 900, &d), SATCHEL_OK);
    assert_string_equal(d.name, "phone");
    assert_false(d.everything);
    assert_string_equal(d.profile, "till");
    assert_string_equal(d.user, "7");
    assert_string_equal(d.store, "");
    assert_int_equal(store_device_set_scope(v->s, d.id, &(device_scope){.given = DEVICE_PROFILE, .profile = "rep"}, 9),
                     SATCHEL_OK);
    assert_int_equal(store_enrol_redeem(v->s, OTHER, key, 900, &d), SATCHEL_OK);
    assert_string_equal(d.profile, "rep");
    serving_commit(v);
    assert_string_equal(sql(v, "SELECT count(*) FROM satchel_event WHERE kind='scope'"), "3");
    buf_fini(&seven);
    buf_fini(&text);
}

static void authors_are_made_once_and_forks_count_up(void **state) {
    serving *v = *state;
    device phone = serving_device(v, "phone");
    author_info a;
    serving_begin(v);
    assert_int_equal(store_author(v->s, phone.a.device, 1, &a), SATCHEL_OK);
    assert_int_equal(a.author, phone.a.author);
    assert_int_equal(store_author(v->s, phone.a.device, 0, &a), SATCHEL_E_NOT_FOUND);
    assert_int_equal(store_author_fork(v->s, phone.a.device, 5, &a), SATCHEL_OK);
    assert_int_equal(a.incarnation, 2);
    assert_int_not_equal(a.author, phone.a.author);
    /* One that a restored store no longer knows. */
    assert_int_equal(store_author(v->s, phone.a.device, 9, &a), SATCHEL_OK);
    assert_int_equal(store_author_fork(v->s, phone.a.device, 5, &a), SATCHEL_OK);
    assert_int_equal(a.incarnation, 10);
    assert_int_equal(a.last_number, 0);
    serving_commit(v);
    device_info d;
    assert_int_equal(store_device_by_name(v->s, "phone", &d), SATCHEL_OK);
    assert_int_equal(d.incarnations, 4);
    assert_string_equal(sql(v, "SELECT count(*) FROM satchel_event WHERE kind='fork'"), "2");
}

static void assert_waiting(serving *v, int64_t id, const char *json, uint64_t told_ms) {
    buf waiting = {0};
    uint64_t ms;
    assert_int_equal(store_device_waiting(&v->s->cache, id, &waiting, &ms), SATCHEL_OK);
    buf_put_byte(&waiting, 0);
    assert_string_equal((const char *)waiting.p, json);
    assert_int_equal(ms, told_ms);
    buf_fini(&waiting);
}

static void seen(serving *v, int64_t id, const device_seen *seen) {
    serving_begin(v);
    assert_int_equal(store_device_seen(v->s, id, seen), SATCHEL_OK);
    serving_commit(v);
}

static void device_seen_keeps_what_waits_by_table_until_it_is_answered(void **state) {
    serving *v = *state;
    int64_t id = serving_device(v, "phone").a.device;
    const table_waiting told[] = {{.table = 1, .changes = 5}, {.table = 9, .changes = 2}};
    assert_waiting(v, id, "[]", 0);
    seen(v, id, &(device_seen){.now_ms = 9, .pending = 3, .waiting = told, .nwaiting = 2});
    assert_waiting(v, id, "[{\"table\":\"item\",\"changes\":5}]", 9); /* table 9 is none of the schema's */
    serving_begin(v);
    assert_int_equal(store_device_answered(v->s, id, 2), SATCHEL_OK);
    assert_int_equal(store_device_present(v->s, id, 20, 1), SATCHEL_OK);
    serving_commit(v);
    assert_waiting(v, id, "[{\"table\":\"item\",\"changes\":5}]", 9);
    serving_begin(v);
    assert_int_equal(store_device_answered(v->s, id, 1), SATCHEL_OK);
    serving_commit(v);
    assert_waiting(v, id, "[]", 9);
    seen(v, id, &(device_seen){.now_ms = 30, .pending = 1});
    assert_waiting(v, id, "null", 30);
    seen(v, id, &(device_seen){.now_ms = 40});
    assert_waiting(v, id, "[]", 40);
}

static void device_seen_tells_what_may_be_forgotten(void **state) {
    serving *v = *state;
    device phone = serving_device(v, "phone");
    device_info d;
    device_seen seen = {
        .now_ms = 9, .acked_seq = 40, .clock_offset_ms = -70, .schema_epoch = 1, .software = "test/1 and more", .nsoftware = 6};
    serving_begin(v);
    assert_int_equal(store_device_seen(v->s, phone.a.device, &seen), SATCHEL_OK);
    assert_int_equal(store_device_acked(v->s, phone.a.device, 50, 10), SATCHEL_OK);
    assert_int_equal(store_device_acked(v->s, phone.a.device, 45, 11), SATCHEL_OK);
    serving_commit(v);
    assert_int_equal(store_device_by_name(v->s, "phone", &d), SATCHEL_OK);
    assert_int_equal(d.acked_seq, 50);
    assert_int_equal(d.last_seen_ms, 11);
    assert_int_equal(d.clock_offset_ms, -70);
    assert_string_equal(d.software, "test/1");
    /* A file that was put back stands lower than the device did. */
    seen.acked_seq = 30;
    seen.software = NULL;
    serving_begin(v);
    assert_int_equal(store_device_seen(v->s, phone.a.device, &seen), SATCHEL_OK);
    serving_commit(v);
    assert_int_equal(store_device_by_name(v->s, "phone", &d), SATCHEL_OK);
    assert_int_equal(d.acked_seq, 30);
    assert_string_equal(d.software, "test/1");
    /* With edits that wait on it, made before it stood there, nothing more may be forgotten yet. */
    seen.acked_seq = 60;
    seen.pending = 2;
    serving_begin(v);
    assert_int_equal(store_device_seen(v->s, phone.a.device, &seen), SATCHEL_OK);
    serving_commit(v);
    assert_int_equal(store_device_by_name(v->s, "phone", &d), SATCHEL_OK);
    assert_int_equal(d.acked_seq, 30);
    assert_int_equal(d.pending, 2);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(enrol_redeem_makes_a_device_once),
        TEST(enrol_expired_or_replaced_code_is_refused),
        TEST(enrol_known_key_comes_back_under_its_id_unless_revoked),
        TEST(device_moves_between_states_only_as_it_may_and_each_is_an_event),
        TEST(removed_device_is_found_by_its_key_alone_and_its_name_is_free),
        TEST(device_with_an_open_refusal_is_not_removed),
        TEST(device_of_any_state_but_active_and_paused_does_not_enrol_again),
        TEST(rename_takes_no_name_that_is_in_use_and_gives_the_old_one_free),
        TEST(scope_of_a_code_becomes_the_device_s_and_set_changes_only_what_is_given),
        TEST(authors_are_made_once_and_forks_count_up),
        TEST(device_seen_tells_what_may_be_forgotten),
        TEST(device_seen_keeps_what_waits_by_table_until_it_is_answered),
    };
    return cmocka_run_group_tests_name("store_device", tests, NULL, NULL);
}
