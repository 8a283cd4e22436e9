/* S6 on the server: what a device tells of its rows is compared with those of its view, and only the ranges that differ are given again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/digest.h"
#include "protocol/satchel_rc.h"
#include "server/checksum_memo.h"
#include "server/checksum_store.h"
#include "server/hub_private.h"
#include "tests/unit/hub_scoped.h"

static hub_stats stats(world *w) {
    hub_stats st;
    hub_get_stats(w->h, &st);
    return st;
}

/* What each asks about is what the phone holds. */
static link *asking(link *l) {
    said(l);
    return l;
}

static void wrong(const char *sql) {
    assert_int_equal(sqlite3_exec(phone.db, sql, NULL, NULL, NULL), SQLITE_OK);
}

static void put_sum(buf *m, const schema_table *t, bool has_from, int64_t from, bool has_to, int64_t to) {
    static sums_range r;
    static value v[LIMIT_COLUMNS];
    digest_rows d;
    sqlite3_stmt *q;
    r = (sums_range){.range = {.table = t->id, .nkey = t->nkey, .has_from = has_from, .has_to = has_to}};
    r.range.from[0] = value_integer(from);
    r.range.to[0] = value_integer(to);
    sqlite3_str *query = sqlite3_str_new(NULL);
    sqlite3_str_appendf(query, "SELECT * FROM \"%w\"", t->name);
    digest_put_range(query, t, has_from, has_to);
    sqlite3_str_appendf(query, " ORDER BY \"%w\"", t->key[0]->name);
    char *text = sqlite3_str_finish(query);
    assert_int_equal(sqlite3_prepare_v2(phone.db, text, -1, &q, NULL), SQLITE_OK);
    sqlite3_free(text);
    digest_bind_range(q, t, &r.range);
    digest_begin(&d);
    while (sqlite3_step(q) == SQLITE_ROW) {
        for (unsigned i = 0; i < t->ncol; i++) v[i] = value_of_column(q, (int)i);
        assert_int_equal(digest_add(&d, t, v), SATCHEL_OK);
    }
    sqlite3_finalize(q);
    digest_end(&d);
    r.rows = d.rows;
    memcpy(r.digest, d.digest, sizeof r.digest);
    sums_put(&r, m);
}

/* The items up to 2, and those behind. */
static void send_sums(world *w, link *l) {
    const schema_table *t = schema_table_by_name(store_schema(w->v.s), "item");
    buf m;
    buf_init(&m, 0);
    sums_begin(&(msg_sums){.cursor = l->cursor, .view = phone.view, .ranges = 2}, &m);
    put_sum(&m, t, false, 0, true, 2);
    put_sum(&m, t, true, 2, false, 0);
    send_message(w, l, &m, true);
}

#define COMPARED(l, expected)                                                                                                    \
    do {                                                                                                                         \
        send_sums(w, l);                                                                                                         \
        settle(w);                                                                                                               \
        SAID(l, expected);                                                                                                       \
    } while (0)

static void S6_same_rows_get_no_range(void **state) {
    world *w = *state;
    link *l = asking(connect_phone(w, NULL));
    COMPARED(l, "repair(2)");
    assert_null(strstr(w->log, "checksum"));
}

static void S6_wrong_missing_and_extra_rows_get_their_range_alone(void **state) {
    world *w = *state;
    link *l = asking(connect_phone(w, NULL));
    wrong("UPDATE item SET n=7 WHERE id=1");
    COMPARED(l, "repair(2 item:1,2)");
    assert_non_null(strstr(w->log, "checksum"));
    wrong("UPDATE item SET n=1 WHERE id=1; UPDATE item SET b=x'0505' WHERE id=4");
    COMPARED(l, "repair(2 item:3,4)");
    wrong("UPDATE item SET b=x'04' WHERE id=4; DELETE FROM item WHERE id=3");
    COMPARED(l, "repair(2 item:3,4)");
    wrong("INSERT INTO item SELECT 3,a,3,x'03' FROM item LIMIT 0");
    wrong("INSERT INTO item(id,a,n) VALUES(0,'ann',1)");
    COMPARED(l, "repair(2 item:1,2 item:3,4)");
    wrong("UPDATE item SET n='1' WHERE id=1");
    COMPARED(l, "repair(2 item:1,2 item:3,4)");
}

static void S6_rows_outside_the_view_and_masked_columns_are_neither_compared_nor_sent(void **state) {
    world *w = *state;
    publish(w, RULES(MASK));
    link *l = asking(connect_phone(w, NULL));
    assert_string_equal(holding_sql(&phone, "SELECT id,a,n,b FROM item"), "1|ann|1|- 3|ann|3|-");
    COMPARED(l, "repair(2)");
    wrong("UPDATE item SET n=9 WHERE id=1");
    COMPARED(l, "repair(2 item:1)");
    wrong("UPDATE item SET n=1 WHERE id=1; UPDATE item SET b=x'03' WHERE id=3");
    COMPARED(l, "repair(2 item:3)");
    assert_int_equal(l->repaired_columns, 2); /* a and n */
    /* One who names another view than the one that it was given gets nothing. */
    phone.view = 0;
    COMPARED(l, "repair(0)");
}

static void S6_nothing_is_compared_that_a_page_is_still_to_bring(void **state) {
    world *w = *state;
    link *l = asking(connect_phone(w, NULL));
    uint64_t cursor = l->cursor;
    server(w, "UPDATE item SET n=8 WHERE id=4");
    assert_string_equal(holding_sql(&phone, "SELECT n FROM item WHERE id=4"), "8");
    said(l);
    uint64_t now = l->cursor;
    l->cursor = cursor;
    COMPARED(l, "repair(0)");
    l->cursor = now;
    COMPARED(l, "repair(2)");
    l->cursor = now + 5;
    COMPARED(l, "repair(0)");
}

static void S6_second_question_before_the_answer_is_an_error(void **state) {
    world *w = *state;
    link *l = asking(connect_phone(w, NULL));
    send_sums(w, l);
    send_sums(w, l);
    settle(w);
    assert_non_null(strstr(said(l), "error(E_ORDER)"));
}

static void S6_store_that_is_not_what_its_log_says_is_put_right_and_the_device_is_not(void **state) {
    world *w = *state;
    link *l = asking(connect_phone(w, NULL));
    sql_exec(&w->v, "UPDATE item SET n=70 WHERE id=1");
    sql_exec(&w->v, "DELETE FROM item WHERE id=3");
    COMPARED(l, "repair(0)"); /* the first range */
    assert_non_null(strstr(w->log, "n does not hold what the log says"));
    assert_string_equal(sql(&w->v, "SELECT n FROM item WHERE id=1"), "1");
    COMPARED(l, "repair(1)");
    assert_non_null(strstr(w->log, "is missing"));
    COMPARED(l, "repair(2)");
    /* Its clock is what it was. */
    server(w, "UPDATE item SET n=n+1");
    assert_string_equal(holding_sql(&phone, "SELECT id,n FROM item ORDER BY id"), "1|2 2|3 3|4 4|5");
    said(l);
    COMPARED(l, "repair(2)");
}

/* How many of its ranges were compared without reading them, when this device has asked about all. */
static unsigned known(world *w, link *l) {
    uint64_t before = stats(w).checksum_known;
    send_sums(w, l);
    settle(w);
    SAID(l, "repair(2)");
    return (unsigned)(stats(w).checksum_known - before);
}

static void S6_range_that_was_read_for_one_device_is_not_read_for_the_next(void **state) {
    world *w = *state;
    link *l = asking(connect_phone(w, NULL)), *other = asking(connect_tablet(w, NULL));
    assert_int_equal(known(w, l), 0);
    assert_int_equal(known(w, other), 2);
    assert_int_equal(known(w, l), 0); /* not for whom it was read */
    /* A commit in one of them. */
    server(w, "UPDATE item SET n=8 WHERE id=4");
    said(l), said(other);
    assert_int_equal(known(w, other), 1);
    assert_int_equal(known(w, l), 1);
    /* In another table, and none. */
    server(w, "INSERT INTO long(k) VALUES('o')");
    said(l), said(other);
    assert_int_equal(known(w, other), 1);
    server(w, "DELETE FROM item WHERE id=1; INSERT INTO item(id,a,n) VALUES(0,'x',0)");
    said(l), said(other);
    assert_int_equal(known(w, other), 0);
}

static void S6_range_that_was_read_long_ago_or_of_another_view_is_read(void **state) {
    world *w = *state;
    link *l = asking(connect_phone(w, NULL)), *other = asking(connect_tablet(w, NULL));
    assert_int_equal(known(w, l), 0);
    for (unsigned i = 0; i < 3; i++) {
        w->now_ms += CHECKSUM_MEMO_MS / 2 - 1000;
        assert_int_equal(known(w, other), i < 2 ? 2 : 0);
    }
    publish(w, RULES(MASK)); /* what was read until now was of all rows; the phone holds two */
    assert_string_equal(holding_sql(&phone, "SELECT id,a,n,b FROM item"), "1|ann|1|- 3|ann|3|-");
    said(l);
    /* It has what it had before, and may not. */
    wrong(
        "DELETE FROM item; INSERT INTO item(id,a,n,b) VALUES(1,'ann',1,x'01'),(2,'bob',2,x'02'),(3,'ann',3,x'03'),(4,'cid',4,x'04')");
    COMPARED(l, "repair(2 item:1 item:3)");
    wrong("UPDATE item SET b=NULL; DELETE FROM item WHERE id IN (2,4)");
    assert_int_equal(known(w, l), 0);
}

static void S6_device_or_store_that_is_wrong_is_found_whatever_was_read_before(void **state) {
    world *w = *state;
    link *l = asking(connect_phone(w, NULL)), *other = asking(connect_tablet(w, NULL));
    assert_int_equal(known(w, l), 0);
    wrong("UPDATE item SET n=7 WHERE id=1");
    COMPARED(other, "repair(2 item:1,2)");
    wrong("UPDATE item SET n=1 WHERE id=1");
    assert_int_equal(known(w, other), 2);
    /* One that has what a commit has overwritten. */
    server(w, "UPDATE item SET n=5 WHERE id=4");
    said(l), said(other);
    wrong("UPDATE item SET n=4 WHERE id=4");
    COMPARED(other, "repair(2 item:3,4)");
    wrong("UPDATE item SET n=5 WHERE id=4");
    assert_int_equal(known(w, l), 0);
    sql_exec(&w->v, "UPDATE item SET n=70 WHERE id=1");
    COMPARED(l, "repair(0)"); /* for which it was read */
    assert_string_equal(sql(&w->v, "SELECT n FROM item WHERE id=1"), "1");
    assert_int_equal(known(w, other), 0);
}

/* A repair, and what a reader finds between it and its commit: the rows as they were. */
typedef struct repair_job {
    hub_job job;
    hub *h;
    bool done;
} repair_job;

static int run_repair(hub_job *job, store *s, ingest *g, uint64_t at) {
    checksum_memo *memo = ((repair_job *)job)->h->memo;
    checksum_known k = {.name = {1}, .rows = 1, .seq = 1, .device = 7, .made_ms = at};
    (void)s, (void)g;
    checksum_memo_keep(memo, &k, checksum_memo_turn(memo));
    return SATCHEL_OK;
}

static void done_repair(hub_job *job, int rc) {
    repair_job *j = (repair_job *)job;
    assert_int_equal(rc, SATCHEL_OK);
    hub_tell_healed(j->h, &(buf){0}, 1);
    j->done = true;
}

static void S6_range_that_was_read_before_the_repair_was_committed_is_not_remembered(void **state) {
    world *w = *state;
    repair_job j = {.job = {.run = run_repair, .done = done_repair}, .h = w->h};
    checksum_known k = {.name = {1}};
    assert_true(hub_submit(w->h, &j.job));
    settle(w);
    assert_true(j.done);
    assert_false(checksum_memo_find(w->h->memo, &k, 8, w->now_ms));
}

static void S6_row_that_is_put_back_lies_where_the_rules_say_today(void **state) {
    world *w = *state;
    publish(w, RULES(MASK)); /* when the log had the rows, there were no rules */
    link *l = asking(connect_phone(w, NULL));
    sql_exec(&w->v, "CREATE TEMP TABLE lay AS SELECT id,satchel_set s FROM main.item");
    sql_exec(&w->v, "DELETE FROM item WHERE id=1");
    COMPARED(l, "repair(0)");
    assert_string_equal(sql(&w->v, "SELECT count(*) FROM item JOIN lay ON item.id=lay.id AND satchel_set=s"), "4");
    COMPARED(l, "repair(2)");
    /* And another's row is not given to it. */
    sql_exec(&w->v, "DELETE FROM item WHERE id=4");
    COMPARED(l, "repair(2)");
    assert_string_equal(sql(&w->v, "SELECT count(*) FROM item"), "3");
}

static void S6_row_deleted_and_made_again_elsewhere_in_one_commit_is_not_taken_for_wrong(void **state) {
    world *w = *state;
    unsigned wrong_rows = 1;
    buf report;
    publish(w, RULES(MASK));
    link *l = asking(connect_phone(w, NULL));
    server(w,
           "INSERT INTO item(id,a,n) VALUES(9,'dan',1); UPDATE item SET n=5 WHERE id=4; DELETE FROM item WHERE id=1;"
           "INSERT INTO item(id,a,n) VALUES(1,'dan',2); DELETE FROM item WHERE id=2; INSERT INTO item(id,a,n) VALUES(2,'ann',2);"
           "UPDATE item SET a='bob' WHERE id=2; UPDATE item SET a='ann',n=6 WHERE id=4; DELETE FROM item WHERE id=3;"
           "INSERT INTO item(id,a,n) VALUES(3,'ann',30); DELETE FROM item WHERE id=3");
    assert_string_equal(holding_sql(&phone, "SELECT id,a,n,b FROM item"), "4|ann|6|-");
    said(l);
    const schema_table *t = schema_table_by_name(store_schema(w->v.s), "item");
    buf_init(&report, 0);
    assert_int_equal(checksum_store_range(store_db(w->v.s), store_schema(w->v.s), &(snapshot_range){.table = t->id, .nkey = 1},
                                          NULL, &report, &wrong_rows),
                     SATCHEL_OK);
    assert_int_equal(wrong_rows, 0);
    buf_fini(&report);
    COMPARED(l, "repair(2)");
}

/* Reading for a device that asks on and on ends after a while, and goes on when time has passed. */
static void S6_device_that_asks_without_end_is_told_to_wait(void **state) {
    world *w = *state;
    unsigned answered = 0;
    server(w, "WITH k(i) AS (SELECT 10 UNION ALL SELECT i+1 FROM k WHERE i<15000) INSERT INTO item(id,a) SELECT i,'x' FROM k");
    link *l = asking(connect_phone(w, NULL));
    const char *answer = "repair(2)";
    for (; answered < 100 && strcmp(answer, "repair(2)") == 0; answered++) {
        send_sums(w, l);
        settle(w);
        answer = said(l);
    }
    assert_string_equal(answer, "repair(0)");
    assert_in_range(answered, 3, 20);
    w->now_ms += 20000;
    COMPARED(l, "repair(2)");
}

/* One look at the log is paid for with some time until the next. */
static void S6_clock_that_is_set_back_puts_no_look_at_the_log_off(void **state) {
    world *w = *state;
    for (unsigned i = 0; i < 100; i++) server(w, "UPDATE item SET n=n+1 WHERE id=4");
    link *l = asking(connect_phone(w, NULL));
    wrong("UPDATE item SET n=7 WHERE id=1");
    COMPARED(l, "repair(2 item:1,2)");
    w->now_ms -= UINT64_C(86400000) * 3650;
    settle(w);
    l = asking(connect_phone(w, l));
    COMPARED(l, "repair(2 item:1,2)");
}

static void S6_range_of_more_rows_than_the_limit_is_an_error(void **state) {
    world *w = *state;
    link *l = asking(connect_phone(w, NULL));
    const schema_table *t = schema_table_by_name(store_schema(w->v.s), "item");
    buf m;
    buf_init(&m, 0);
    sums_begin(&(msg_sums){.cursor = l->cursor, .ranges = 1}, &m);
    sums_put(&(sums_range){.range = {.table = t->id, .nkey = 1}, .rows = LIMIT_SUM_ROWS + 1}, &m);
    send_message(w, l, &m, true);
    settle(w);
    assert_non_null(strstr(said(l), "error(E_LIMIT)"));
}

/* ---- what came out of all of it ---- */

enum { LOW = 1, HIGH = 2, LONG = 4, ALL = LOW | HIGH | LONG };

/* A question about the items up to 2, those behind, and all of `long`, the last table. */
static void ask(world *w, link *l, unsigned which) {
    const schema_table *item = schema_table_by_name(store_schema(w->v.s), "item");
    buf m;
    buf_init(&m, 0);
    sums_begin(&(msg_sums){.cursor = l->cursor, .view = phone.view, .ranges = (uint64_t)__builtin_popcount(which)}, &m);
    if (which & LOW) put_sum(&m, item, false, 0, true, 2);
    if (which & HIGH) put_sum(&m, item, true, 2, false, 0);
    if (which & LONG) put_sum(&m, schema_table_by_name(store_schema(w->v.s), "long"), false, 0, false, 0);
    send_message(w, l, &m, true);
    settle(w);
    said(l);
}

/* rows/ranges/differed/passed of the phone's last whole comparison; "" if there was none since the last call. */
static const char *came_out(world *w) {
    static char text[100];
    static uint64_t before_ms;
    device_info d;
    assert_int_equal(store_device_by_name(w->v.s, "phone", &d), SATCHEL_OK);
    const device_compared *c = &d.compared;
    snprintf(text, sizeof text, "%d/%d/%d/%d", (int)c->rows, (int)c->ranges, (int)c->differed, (int)c->passed);
    if (!c->ended_ms || c->ended_ms == before_ms) return "";
    assert_true(c->begun_ms <= c->ended_ms);
    before_ms = c->ended_ms;
    w->now_ms += 1000;
    return text;
}

static void S6_whole_comparison_is_noted_with_what_came_out_and_where(void **state) {
    world *w = *state;
    link *l = asking(connect_phone(w, NULL));
    assert_string_equal(came_out(w), "");
    ask(w, l, ALL);
    assert_string_equal(came_out(w), "4/3/0/0");
    assert_string_equal(sql(&w->v, "SELECT found FROM satchel_comparison"), "[]");
    wrong("UPDATE item SET n=7 WHERE id=4");
    ask(w, l, ALL);
    assert_string_equal(came_out(w), "4/3/1/0");
    assert_string_equal(sql(&w->v, "SELECT found FROM satchel_comparison"),
                        "[{\"table\":\"item\",\"keys\":\"after 2\",\"device_rows\":2,\"store_rows\":2}]");
    wrong("UPDATE item SET n=4 WHERE id=4");
    /* A part of it is none. */
    ask(w, l, LOW);
    ask(w, l, HIGH);
    assert_string_equal(came_out(w), "");
    ask(w, l, LONG);
    assert_string_equal(came_out(w), "4/3/0/0");
    /* The device's own affair: where it stands is kept for a connection. */
    ask(w, l, LOW | HIGH);
    hub_disconnect(w->h, l->session);
    settle(w);
    l = asking(connect_phone(w, l));
    ask(w, l, LONG);
    assert_string_equal(came_out(w), "");
}

static void S6_answer_that_the_device_did_not_take_counts_once(void **state) {
    world *w = *state;
    link *l = asking(connect_phone(w, NULL));
    wrong("UPDATE item SET n=7 WHERE id=4; UPDATE item SET n=7 WHERE id=1");
    ask(w, l, LOW);
    ask(w, l, HIGH);
    ask(w, l, HIGH);
    ask(w, l, HIGH | LONG);
    assert_string_equal(came_out(w), "4/3/2/0");
    assert_string_equal(sql(&w->v, "SELECT json_array_length(found) FROM satchel_comparison"), "2");
    ask(w, l, HIGH | LONG);
    assert_string_equal(came_out(w), "4/3/2/0");
    wrong("UPDATE item SET n=n-7+id");
}

static void S6_rows_that_the_device_went_past_are_told(void **state) {
    world *w = *state;
    link *l = asking(connect_phone(w, NULL));
    ask(w, l, LOW);
    ask(w, l, LONG);
    assert_string_equal(came_out(w), "2/2/0/1");
    /* Also the first ones; that it asked for them is where it began. */
    uint64_t cursor = l->cursor;
    l->cursor = cursor + 5;
    ask(w, l, LOW);
    l->cursor = cursor;
    ask(w, l, HIGH);
    ask(w, l, LONG);
    assert_string_equal(came_out(w), "2/2/0/1");
}

static bool is_asked(world *w) {
    uint8_t fingerprint[CRYPTO_FINGERPRINT_BYTES];
    serving_fingerprint("phone", fingerprint);
    return hub_orders(w->h, fingerprint) == ORDER_VERIFY;
}

static void order(world *w) {
    device_info d;
    assert_int_equal(store_device_by_name(w->v.s, "phone", &d), SATCHEL_OK);
    assert_int_equal(store_begin(w->v.s), SATCHEL_OK);
    assert_int_equal(store_device_order(w->v.s, d.id, ORDER_VERIFY, w->now_ms), SATCHEL_OK);
    assert_int_equal(store_commit(w->v.s), SATCHEL_OK);
    hub_order_device(w->h, d.id, d.fingerprint, ORDER_VERIFY);
    settle(w);
}

static void S6_ordered_comparison_is_asked_for_until_one_has_ended_that_began_since(void **state) {
    world *w = *state;
    link *l = asking(connect_phone(w, NULL));
    assert_false(is_asked(w));
    ask(w, l, LOW);
    w->now_ms += 1000;
    order(w);
    assert_true(is_asked(w));
    SAID(l, "error(E_CLOSED later) closed");
    /* A restart forgets nothing. */
    l = asking(connect_phone(w, l));
    ask(w, l, LOW);
    assert_true(is_asked(w));
    device_info d;
    assert_int_equal(store_device_by_name(w->v.s, "phone", &d), SATCHEL_OK);
    assert_int_equal(d.verify_ms, w->now_ms);
    /* One that began before does not end it. */
    assert_int_equal(store_begin(w->v.s), SATCHEL_OK);
    assert_int_equal(store_device_order(w->v.s, d.id, ORDER_VERIFY, w->now_ms + 1000), SATCHEL_OK);
    assert_int_equal(store_commit(w->v.s), SATCHEL_OK);
    w->now_ms += 2000;
    ask(w, l, HIGH | LONG);
    assert_string_equal(came_out(w), "4/3/0/0");
    assert_true(is_asked(w));
    ask(w, l, ALL);
    assert_string_equal(came_out(w), "4/3/0/0");
    assert_false(is_asked(w));
    assert_string_equal(sql(&w->v, "SELECT group_concat(kind||'@'||text,' ') FROM satchel_event WHERE kind='verified'"),
                        "verified@it has compared 4 rows in 3 ranges: 0 differed and were given again, 0 passed over");
    assert_string_equal(sql(&w->v, "SELECT verify_ms FROM satchel_device WHERE name='phone'"), "0");
}

/* A clock that was put right since: what was ordered while it was ahead was ordered before. */
static void S6_comparison_that_was_ordered_under_a_clock_ahead_ends_with_the_next(void **state) {
    world *w = *state;
    w->now_ms += UINT64_C(86400000) * 365;
    order(w);
    w->now_ms -= UINT64_C(86400000) * 365;
    link *l = asking(connect_phone(w, NULL));
    assert_true(is_asked(w));
    ask(w, l, ALL);
    assert_false(is_asked(w));
}

static void S6_device_that_is_not_to_come_is_not_ordered_to_compare(void **state) {
    world *w = *state;
    device_info d;
    assert_int_equal(store_device_by_name(w->v.s, "phone", &d), SATCHEL_OK);
    assert_int_equal(store_begin(w->v.s), SATCHEL_OK);
    assert_int_equal(store_device_order(w->v.s, 999, ORDER_VERIFY, w->now_ms), SATCHEL_E_NOT_FOUND);
    assert_int_equal(store_device_move(w->v.s, d.id, DEVICE_PAUSED, w->now_ms), SATCHEL_OK);
    assert_int_equal(store_device_order(w->v.s, d.id, ORDER_VERIFY, w->now_ms), SATCHEL_OK);
    assert_int_equal(store_device_move(w->v.s, d.id, DEVICE_REVOKED, w->now_ms), SATCHEL_OK);
    assert_int_equal(store_device_order(w->v.s, d.id, ORDER_VERIFY, w->now_ms), SATCHEL_E_MISUSE);
    assert_int_equal(store_device_by_name(w->v.s, "phone", &d), SATCHEL_OK);
    assert_int_equal(d.verify_ms, 0);
    assert_int_equal(store_commit(w->v.s), SATCHEL_OK);
    reopen_hub(w);
    assert_false(is_asked(w));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(S6_same_rows_get_no_range),
        TEST(S6_wrong_missing_and_extra_rows_get_their_range_alone),
        TEST(S6_rows_outside_the_view_and_masked_columns_are_neither_compared_nor_sent),
        TEST(S6_nothing_is_compared_that_a_page_is_still_to_bring),
        TEST(S6_second_question_before_the_answer_is_an_error),
        TEST(S6_store_that_is_not_what_its_log_says_is_put_right_and_the_device_is_not),
        TEST(S6_range_that_was_read_for_one_device_is_not_read_for_the_next),
        TEST(S6_range_that_was_read_long_ago_or_of_another_view_is_read),
        TEST(S6_device_or_store_that_is_wrong_is_found_whatever_was_read_before),
        TEST(S6_range_that_was_read_before_the_repair_was_committed_is_not_remembered),
        TEST(S6_row_that_is_put_back_lies_where_the_rules_say_today),
        TEST(S6_row_deleted_and_made_again_elsewhere_in_one_commit_is_not_taken_for_wrong),
        TEST(S6_device_that_asks_without_end_is_told_to_wait),
        TEST(S6_clock_that_is_set_back_puts_no_look_at_the_log_off),
        TEST(S6_range_of_more_rows_than_the_limit_is_an_error),
        TEST(S6_whole_comparison_is_noted_with_what_came_out_and_where),
        TEST(S6_answer_that_the_device_did_not_take_counts_once),
        TEST(S6_rows_that_the_device_went_past_are_told),
        TEST(S6_ordered_comparison_is_asked_for_until_one_has_ended_that_began_since),
        TEST(S6_comparison_that_was_ordered_under_a_clock_ahead_ends_with_the_next),
        TEST(S6_device_that_is_not_to_come_is_not_ordered_to_compare),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
