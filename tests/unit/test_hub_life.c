/* What a device is told in each of its states, and when a snapshot is ordered for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"
#include "server/store_keys.h"
#include "server/version.h"
#include "tests/unit/hub_fixture.h"

static void move(world *w, device_state to) {
    assert_int_equal(store_begin(w->v.s), SATCHEL_OK);
    assert_int_equal(store_device_move(w->v.s, w->phone.a.device, to, w->now_ms), SATCHEL_OK);
    assert_int_equal(store_commit(w->v.s), SATCHEL_OK);
}

static device_info phone(world *w) {
    device_info d;
    assert_int_equal(store_device_by_name(w->v.s, "phone", &d), SATCHEL_OK);
    return d;
}

static link *greet(world *w) {
    link *l = dial(w, &w->phone, "phone");
    hello(w, l);
    settle(w);
    return l;
}

static void say_error_of(world *w, link *l, int rc) {
    msg_error m = {.rc = rc};
    buf out;
    buf_init(&out, 0);
    error_encode(&m, &out);
    send_message(w, l, &out, false);
    settle(w);
}

static void paused_device_is_asked_to_come_back_later_and_served_again_after_resume(void **state) {
    world *w = *state;
    move(w, DEVICE_PAUSED);
    SAID(greet(w), "error(E_PAUSED later) closed");
    move(w, DEVICE_ACTIVE);
    assert_non_null(strstr(said(greet(w)), "welcome"));
}

static void device_to_be_wiped_is_told_so_at_hello_and_nothing_is_taken_from_it(void **state) {
    world *w = *state;
    move(w, DEVICE_WIPE);
    link *l = dial(w, &w->phone, "phone");
    settle(w);
    SAID(l, "");
    hello(w, l);
    PUSH(l, 0, "~ item(1) a='late'");
    settle(w);
    SAID(l, "error(E_WIPED) closed");
    assert_string_equal(sql(&w->v, "SELECT a FROM item"), "one");
    assert_int_equal(phone(w).state, DEVICE_WIPE);
}

static void T12_wipe_is_acknowledged_by_the_device_s_own_word_and_answered_when_it_is_noted(void **state) {
    world *w = *state;
    move(w, DEVICE_WIPE);
    link *l = dial(w, &w->phone, "phone");
    say_error_of(w, l, SATCHEL_E_WIPED);
    SAID(l, "error(E_WIPED)");
    assert_int_equal(phone(w).state, DEVICE_WIPED);
    assert_int_equal(phone(w).state_ms, w->now_ms);
    assert_string_equal(sql(&w->v, "SELECT kind FROM satchel_event ORDER BY id DESC LIMIT 1"), "wiped");
    /* Its answer was lost: it says so again, and is answered again. */
    link *again = dial(w, &w->phone, "phone");
    settle(w);
    SAID(again, "error(E_WIPED) closed");
}

/* The store was put back to before the wipe was ordered: one copy of the file had heard of it, the other is served. */
static void T12_copy_that_is_connected_while_the_other_says_that_it_has_erased_itself_is_told_to(void **state) {
    world *w = *state;
    link *copy = greet(w);
    said(copy);
    link *l = dial(w, &w->phone, "phone");
    say_error_of(w, l, SATCHEL_E_WIPED);
    SAID(l, "error(E_WIPED)");
    assert_int_equal(phone(w).state, DEVICE_WIPED);
    SAID(copy, "error(E_WIPED) closed");
}

static void removed_device_is_told_that_it_is_revoked(void **state) {
    world *w = *state;
    move(w, DEVICE_REVOKED);
    move(w, DEVICE_REMOVED);
    SAID(greet(w), "error(E_REVOKED) closed");
    assert_string_equal(sql(&w->v, "SELECT group_concat(kind) FROM satchel_event"), "revoked,removed");
}

/* It erased itself, the answer was lost, and an admin was quick: any last word of the server's lets it go of its key. */
static void wiped_device_that_was_removed_meanwhile_gets_a_last_word(void **state) {
    world *w = *state;
    move(w, DEVICE_WIPED);
    move(w, DEVICE_REMOVED);
    link *l = dial(w, &w->phone, "phone");
    say_error_of(w, l, SATCHEL_E_WIPED);
    SAID(l, "error(E_REVOKED) closed");
    uint8_t key[CRYPTO_FINGERPRINT_BYTES];
    serving_fingerprint("phone", key);
    assert_int_equal(hub_orders(w->h, key), 0);
}

/* ---- ordered a new key ---- */

static unsigned orders_of(world *w, const char *key) {
    uint8_t fingerprint[CRYPTO_FINGERPRINT_BYTES];
    serving_fingerprint(key, fingerprint);
    return hub_orders(w->h, fingerprint);
}

static void order(world *w, device_order what) {
    device_info d = phone(w);
    assert_int_equal(store_begin(w->v.s), SATCHEL_OK);
    assert_int_equal(store_device_order(w->v.s, d.id, what, w->now_ms), SATCHEL_OK);
    assert_int_equal(store_commit(w->v.s), SATCHEL_OK);
    hub_order_device(w->h, d.id, d.fingerprint, what);
}

/* As a renewal does. */
static void offer_key(world *w, const char *shown, const char *offered) {
    uint8_t was[CRYPTO_FINGERPRINT_BYTES], is[CRYPTO_FINGERPRINT_BYTES];
    serving_fingerprint(shown, was);
    serving_fingerprint(offered, is);
    assert_int_equal(store_begin(w->v.s), SATCHEL_OK);
    assert_int_equal(store_key_offer(w->v.s, w->phone.a.device, is), SATCHEL_OK);
    assert_int_equal(store_commit(w->v.s), SATCHEL_OK);
    hub_offer_key(w->h, was, is);
}

static void device_ordered_a_new_key_is_sent_away_and_told_by_its_old_one_until_the_new_one_is_here(void **state) {
    world *w = *state;
    link *l = greet(w);
    said(l);
    assert_int_equal(orders_of(w, "phone"), 0);
    order(w, ORDER_ROTATE_KEY);
    order(w, ORDER_VERIFY);
    /* At once, and by what the store has. */
    for (int i = 0; i < 3; i++) {
        assert_int_equal(orders_of(w, "phone"), ORDER_ROTATE_KEY | ORDER_VERIFY);
        if (i == 0) settle(w);
        if (i == 0) SAID(l, "error(E_CLOSED later) closed");
        if (i == 1) reopen_hub(w);
    }
    greet(w);
    assert_int_equal(phone(w).rotate_key_ms, w->now_ms);
    /* The new key is not told to make another one, but all else. */
    offer_key(w, "phone", "phone's new key");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(orders_of(w, "phone's new key"), ORDER_VERIFY);
        assert_int_equal(orders_of(w, "phone"), ORDER_ROTATE_KEY | ORDER_VERIFY);
        if (i == 0) settle(w);
        if (i == 1) reopen_hub(w);
    }
    assert_int_equal(phone(w).rotate_key_ms, w->now_ms);
    l = dial(w, &w->phone, "phone's new key");
    hello(w, l);
    settle(w);
    assert_non_null(strstr(said(l), "welcome"));
    assert_int_equal(phone(w).rotate_key_ms, 0);
    assert_int_equal(phone(w).verify_ms, w->now_ms);
    reopen_hub(w);
    assert_int_equal(orders_of(w, "phone's new key"), ORDER_VERIFY);
    assert_int_equal(orders_of(w, "phone"), 0);
    assert_string_equal(sql(&w->v, "SELECT group_concat(kind) FROM satchel_event"), "rotate-key,verify,rekeyed");
    /* It can be ordered again. */
    order(w, ORDER_ROTATE_KEY);
    assert_int_equal(orders_of(w, "phone's new key"), ORDER_ROTATE_KEY | ORDER_VERIFY);
}

static void device_that_is_not_to_come_has_no_orders(void **state) {
    world *w = *state;
    move(w, DEVICE_PAUSED);
    order(w, ORDER_ROTATE_KEY);
    SAID(greet(w), "error(E_PAUSED later) closed");
    assert_int_equal(orders_of(w, "phone"), ORDER_ROTATE_KEY);
    move(w, DEVICE_REVOKED);
    assert_int_equal(phone(w).rotate_key_ms, 0);
    hub_drop_device(w->h, w->phone.a.device, SATCHEL_E_REVOKED);
    settle(w);
    assert_int_equal(orders_of(w, "phone"), 0);
    assert_int_equal(store_begin(w->v.s), SATCHEL_OK);
    assert_int_equal(store_device_order(w->v.s, w->phone.a.device, ORDER_ROTATE_KEY, w->now_ms), SATCHEL_E_MISUSE);
    assert_int_equal(store_commit(w->v.s), SATCHEL_OK);
    move(w, DEVICE_WIPE);
    reopen_hub(w);
    assert_int_equal(orders_of(w, "phone"), ORDER_WIPE);
}

static link *greet_with(world *w, const char *software) {
    link *l = dial(w, &w->phone, "phone");
    msg_hello m = make_hello(w, l);
    m.software = software;
    m.nsoftware = strlen(software);
    hello_as(w, l, &m);
    settle(w);
    return l;
}

static void older_satchel_than_the_least_is_refused_at_hello_and_let_in_again_when_it_is_updated(void **state) {
    world *w = *state;
    link *before = greet_with(w, "acme/1 satchel/0.1.9");
    said(before);
    hub_set_min_version(w->h, version_parse("0.2.0", 5));
    settle(w);
    SAID(before, "error(E_VERSION) closed");
    link *l = greet_with(w, "acme/1 satchel/0.1.9");
    SAID(l, "error(E_VERSION) closed");
    PUSH(l, 0, "~ item(1) a='late'");
    settle(w);
    assert_string_equal(sql(&w->v, "SELECT a FROM item"), "one");
    assert_non_null(strstr(said(greet_with(w, "acme/1 satchel/0.2.0")), "welcome"));
    assert_string_equal(phone(w).software, "acme/1 satchel/0.2.0");
    /* Who does not tell is not the library. */
    assert_non_null(strstr(said(greet_with(w, "another/0.1")), "welcome"));
    hub_set_min_version(w->h, 0);
    assert_non_null(strstr(said(greet_with(w, "satchel/0.0.1")), "welcome"));
}

/* Each its own, though the device's row has the last alone by then. */
static void connection_keeps_what_its_own_hello_told(void **state) {
    world *w = *state;
    link *l[5];
    l[0] = greet_with(w, "acme/1 satchel/0.1.9 (Linux 6.1; x86_64)");
    hub_set_min_version(w->h, version_parse("0.2.0", 5));
    l[4] = greet_with(w, "acme/1 satchel/0.1.9"); /* refused */
    l[1] = dial(w, &w->phone, "phone");
    msg_hello m = make_hello(w, l[1]);
    m.now_ms -= 70000;
    m.software = "acme/2 satchel/0.2.0";
    m.nsoftware = strlen(m.software);
    hello_as(w, l[1], &m);
    l[2] = dial(w, &w->phone, "phone");
    settle(w);
    l[3] = greet_with(w, "");
    for (int i = 0; i < 5; i++) hub_disconnect(w->h, l[i]->session);
    settle(w);
    w->now_ms += 5000;
    settle(w);
    assert_string_equal(phone(w).software, "");
    assert_string_equal(sql(&w->v,
                            "SELECT group_concat(coalesce(software||' '||schema_epoch||' '||clock_offset_ms,'nothing'),';')"
                            " FROM (SELECT * FROM satchel_sync ORDER BY software IS NULL,software DESC)"),
                        "acme/2 satchel/0.2.0 1 -70000;acme/1 satchel/0.1.9 1 0; 1 0;nothing;nothing");
}

static void device_that_closes_for_another_reason_is_not_wiped(void **state) {
    world *w = *state;
    move(w, DEVICE_WIPE);
    link *l = dial(w, &w->phone, "phone");
    say_error_of(w, l, SATCHEL_E_CLOSED);
    SAID(l, "error(E_CLOSED later) closed");
    assert_int_equal(phone(w).state, DEVICE_WIPE);
}

static void resnapshot(world *w) {
    assert_int_equal(store_begin(w->v.s), SATCHEL_OK);
    assert_int_equal(store_device_resnapshot(w->v.s, w->phone.a.device, w->now_ms), SATCHEL_OK);
    assert_int_equal(store_commit(w->v.s), SATCHEL_OK);
}

/* A hello of a device that stands at the head; whether welcome calls for a snapshot. */
static bool is_told_of_snapshot(world *w, link **out) {
    link *l = dial(w, &w->phone, "phone");
    l->cursor = store_where(w->v.s).seq;
    hello(w, l);
    settle(w);
    *out = l;
    return strstr(said(l), "welcome(snapshot)") != NULL;
}

static void resnapshot_is_told_at_each_hello_until_a_cursor_is_acknowledged(void **state) {
    world *w = *state;
    link *l;
    assert_false(is_told_of_snapshot(w, &l));
    resnapshot(w);
    assert_true(phone(w).resnapshot);
    assert_true(is_told_of_snapshot(w, &l));
    hub_disconnect(w->h, l->session);
    settle(w);
    assert_true(is_told_of_snapshot(w, &l));
    assert_true(phone(w).resnapshot);
    assert_int_equal(store_begin(w->v.s), SATCHEL_OK);
    assert_int_equal(store_device_acked(w->v.s, w->phone.a.device, 1, w->now_ms), SATCHEL_OK);
    assert_int_equal(store_commit(w->v.s), SATCHEL_OK);
    assert_false(phone(w).resnapshot);
    assert_false(is_told_of_snapshot(w, &l));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(paused_device_is_asked_to_come_back_later_and_served_again_after_resume),
        TEST(device_to_be_wiped_is_told_so_at_hello_and_nothing_is_taken_from_it),
        TEST(T12_wipe_is_acknowledged_by_the_device_s_own_word_and_answered_when_it_is_noted),
        TEST(T12_copy_that_is_connected_while_the_other_says_that_it_has_erased_itself_is_told_to),
        TEST(removed_device_is_told_that_it_is_revoked),
        TEST(wiped_device_that_was_removed_meanwhile_gets_a_last_word),
        TEST(device_ordered_a_new_key_is_sent_away_and_told_by_its_old_one_until_the_new_one_is_here),
        TEST(device_that_is_not_to_come_has_no_orders),
        TEST(older_satchel_than_the_least_is_refused_at_hello_and_let_in_again_when_it_is_updated),
        TEST(connection_keeps_what_its_own_hello_told),
        TEST(device_that_closes_for_another_reason_is_not_wiped),
        TEST(resnapshot_is_told_at_each_hello_until_a_cursor_is_acknowledged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
