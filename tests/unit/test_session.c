/* The device's side of the conversation, frame by frame: N2, N5, and what it does with a server that errs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "protocol/hlc.h"
#include "protocol/satchel_rc.h"
#include "tests/support/disk_log.h"
#include "tests/unit/session_fixture.h"

/* ---- hello and welcome ---- */

static void hello_tells_where_the_file_stands(void **state) {
    talk *t = *state;
    msg_hello m;
    app_sql(t->x, "INSERT INTO item(id) VALUES('a'); INSERT INTO item(id) VALUES('b')");
    accept_at(t->x, 1, 11);
    assert_int_equal(session_begin(t->s, NOW), SATCHEL_OK);
    assert_int_equal(sent(t), MSG_HELLO);
    assert_int_equal(hello_decode(t->frame.p, t->frame.n, &m), SATCHEL_OK);
    assert_int_equal(m.incarnation, 1);
    assert_false(m.has_epoch);
    assert_int_equal(m.last_number, 2);
    assert_int_equal(m.settled_number, 1);
    assert_int_equal(m.pending, 1);
    assert_int_equal(m.schema_epoch, 1);
    assert_int_equal(m.now_ms, NOW);
    assert_true(m.has_view);
    assert_int_equal(m.view, 0);
    assert_int_equal(sent(t), 0);
    assert_string_equal(t->events, "state 1;");
}

/* What was accepted waits for nothing but its page; of a table that is gone nothing is told. */
static void hello_tells_what_waits_by_table(void **state) {
    talk *t = *state;
    msg_hello m;
    app_sql(
        t->x,
        "INSERT INTO tag(id) VALUES('accepted'); INSERT INTO pair(a, b) VALUES(1, 'b');"
        "BEGIN; INSERT INTO item(id) VALUES('a'); INSERT INTO item(id) VALUES('b'); COMMIT; UPDATE item SET price=1 WHERE id='a'");
    accept_at(t->x, 1, 11);
    assert_int_equal(fixture_migrate(t->x, "DROP TABLE pair"), SATCHEL_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(session_begin(t->s, NOW), SATCHEL_OK);
        assert_int_equal(sent(t), MSG_HELLO);
        assert_int_equal(hello_decode(t->frame.p, t->frame.n, &m), SATCHEL_OK);
        assert_int_equal(m.pending, 3);
        assert_int_equal(m.nwaiting, 1);
        assert_int_equal(m.waiting[0].table, ITEM);
        assert_int_equal(m.waiting[0].changes, 3);
        session_end(t->s, SATCHEL_E_CLOSED, NULL, NOW);
    }
    app_sql(t->x, "INSERT INTO tag(id) VALUES('t')");
    assert_int_equal(session_begin(t->s, NOW), SATCHEL_OK);
    assert_int_equal(sent(t), MSG_HELLO);
    assert_int_equal(hello_decode(t->frame.p, t->frame.n, &m), SATCHEL_OK);
    assert_int_equal(m.nwaiting, 2);
    assert_int_equal(m.waiting[1].changes, 1);
}

/* It is a figure for people. */
static void hello_while_the_app_writes_goes_without_what_waits(void **state) {
    talk *t = *state;
    msg_hello m;
    assert_int_equal(file_sync(t->x->f), SATCHEL_OK);
    app_sql(t->x, "INSERT INTO item(id) VALUES('a'); BEGIN; INSERT INTO item(id) VALUES('b')");
    assert_int_equal(session_begin(t->s, NOW), SATCHEL_OK);
    assert_int_equal(sent(t), MSG_HELLO);
    assert_int_equal(hello_decode(t->frame.p, t->frame.n, &m), SATCHEL_OK);
    assert_int_equal(m.pending, 1);
    assert_int_equal(m.nwaiting, 0);
    app_sql(t->x, "COMMIT");
}

static void hello_tells_what_its_files_take_and_can_come_to(void **state) {
    talk *t = *state;
    msg_hello m;
    struct stat data, log;
    char path[4096];
    assert_int_equal(session_begin(t->s, NOW), SATCHEL_OK);
    assert_int_equal(sent(t), MSG_HELLO);
    assert_int_equal(hello_decode(t->frame.p, t->frame.n, &m), SATCHEL_OK);
    snprintf(path, sizeof path, "%s-wal", t->x->f->path);
    assert_int_equal(stat(t->x->f->path, &data) | stat(path, &log), 0);
    assert_true(log.st_size > 0);
    assert_int_equal(m.held_bytes, data.st_size + log.st_size);
    assert_true(m.room_bytes > m.held_bytes);
}

static void hello_of_a_file_that_was_removed_tells_no_storage(void **state) {
    talk *t = *state;
    msg_hello m;
    assert_int_equal(unlink(t->x->f->path), 0);
    assert_int_equal(session_begin(t->s, NOW), SATCHEL_OK);
    assert_int_equal(sent(t), MSG_HELLO);
    assert_int_equal(hello_decode(t->frame.p, t->frame.n, &m), SATCHEL_OK);
    assert_int_equal(m.room_bytes, 0);
}

static msg_hello hello_again(talk *t) {
    msg_hello m;
    session_end(t->s, SATCHEL_E_CLOSED, NULL, NOW);
    assert_int_equal(session_begin(t->s, NOW), SATCHEL_OK);
    assert_int_equal(sent(t), MSG_HELLO);
    assert_int_equal(hello_decode(t->frame.p, t->frame.n, &m), SATCHEL_OK);
    return m;
}

/* Also when the server lets a snapshot follow without having announced it. */
static void S4_hello_tells_the_view_that_is_held(void **state) {
    talk *t = *state;
    delta_row row = item_put("a", "a", 1, 1);
    open_talk(t);
    page_build(t->x, &(msg_page){.to = 11, .view = 3}, 11, &row, 1, &t->message);
    assert_int_equal(say(t, NOW), SATCHEL_OK);
    msg_hello m = hello_again(t);
    assert_int_equal(m.view, 3);
    assert_int_equal(m.cursor, 11);
    assert_true(m.has_epoch);
    msg_welcome w = welcome(t);
    assert_int_equal(say_welcome(t, &w), SATCHEL_OK);
    snapshot_begin(&(msg_snapshot){.id = 7, .seq = 50, .view = 4}, &t->message);
    assert_int_equal(say(t, NOW), SATCHEL_OK);
    m = hello_again(t);
    assert_int_equal(m.view, 3);
    assert_int_equal(m.snapshot, 7);
    assert_false(m.has_epoch);
    w.snapshot = true;
    assert_int_equal(say_welcome(t, &w), SATCHEL_OK);
    snapshot_begin(&(msg_snapshot){.id = 7, .seq = 50, .page = 1, .last = true, .view = 4}, &t->message);
    assert_int_equal(say(t, NOW), SATCHEL_OK);
    m = hello_again(t);
    assert_int_equal(m.view, 4);
    assert_int_equal(m.cursor, 50);
    assert_true(m.has_epoch);
}

static void welcome_opens_with_credit_and_pushes(void **state) {
    talk *t = *state;
    push_txn first, last;
    app_sql(t->x, "INSERT INTO item(id) VALUES('a'); INSERT INTO item(id) VALUES('b')");
    open_talk(t);
    assert_int_equal(sent(t), MSG_PUSH);
    assert_int_equal(read_push(t, &first, &last), 2);
    assert_int_equal(sent(t), MSG_PULL);
    assert_int_equal(read_pull(t).credit, 4);
    assert_int_equal(sent(t), 0);
    assert_int_equal(session_state(t->s), SATCHEL_SYNCING);
    assert_true(t->x->f->state.placed);
}

static void welcome_of_another_version_is_refused(void **state) {
    talk *t = *state;
    msg_welcome m = welcome(t);
    m.version = 9;
    assert_int_equal(session_begin(t->s, NOW), SATCHEL_OK);
    sent(t);
    assert_int_equal(say_welcome(t, &m), SATCHEL_E_VERSION);
    assert_int_equal(sent(t), MSG_ERROR);
}

static void welcome_of_an_older_schema_is_refused(void **state) {
    talk *t = *state;
    msg_welcome m = welcome(t);
    m.schema_epoch = 0;
    assert_int_equal(session_begin(t->s, NOW), SATCHEL_OK);
    sent(t);
    assert_int_equal(say_welcome(t, &m), SATCHEL_E_SCHEMA);
}

static void wrong_clock_is_told(void **state) {
    talk *t = *state;
    msg_welcome m = welcome(t);
    m.now_ms = NOW + 3600000;
    open_with(t, &m);
    assert_non_null(strstr(t->events, "event 7"));
    assert_int_equal(t->x->f->state.clock_offset_ms, 3600000);
}

static void migrations_come_before_anything_else(void **state) {
    talk *t = *state;
    msg_welcome m = welcome(t);
    static const char first[] = "ALTER TABLE item ADD COLUMN colour TEXT;", second[] = "CREATE TABLE later(id TEXT PRIMARY KEY);";
    m.schema_epoch = 3;
    app_sql(t->x, "INSERT INTO item(id) VALUES('a')");
    begin_with(t, &m);
    assert_int_equal(sent(t), 0);
    schema_encode(&(msg_schema){.epoch = 2, .name = "002.sql", .nname = 7, .sql = first, .nsql = strlen(first)}, &t->message);
    assert_int_equal(say(t, NOW), SATCHEL_OK);
    assert_int_equal(sent(t), 0);
    schema_encode(&(msg_schema){.epoch = 3, .name = "003.sql", .nname = 7, .sql = second, .nsql = strlen(second)}, &t->message);
    assert_int_equal(say(t, NOW), SATCHEL_OK);
    assert_int_equal(say_told(t), SATCHEL_OK);
    assert_int_equal(sent(t), MSG_PUSH);
    assert_int_equal(t->x->f->state.schema_epoch, 3);
    assert_non_null(strstr(t->events, "event 4 2 ;event 4 3 ;"));
}

static void bad_migration_changes_nothing_and_says_where(void **state) {
    talk *t = *state;
    msg_welcome m = welcome(t);
    static const char bad[] = "ALTER TABLE item ADD COLUMN colour TEXT;\nCREATE GARBAGE;";
    m.schema_epoch = 2;
    begin_with(t, &m);
    schema_encode(&(msg_schema){.epoch = 2, .name = "002.sql", .nname = 7, .sql = bad, .nsql = strlen(bad)}, &t->message);
    assert_int_equal(say(t, NOW), SATCHEL_E_MIGRATION);
    assert_non_null(strstr(session_error(t->s), "002.sql:2"));
    assert_int_equal(app_integer(t->x, "SELECT count(*) FROM pragma_table_info('item') WHERE name='colour'"), 0);
    assert_int_equal(app_integer(t->x, "SELECT schema_epoch FROM satchel_state"), 1);
}

/* ---- pushing ---- */

/* What could be sent is on the disk as sent before it is: read past the session's own connection. */
static void N2_number_is_durable_before_it_is_sent(void **state) {
    talk *t = *state;
    open_talk(t);
    while (sent(t)) continue;
    app_sql(t->x, "INSERT INTO item(id) VALUES('a')");
    unsigned before = disk_syncs;
    assert_int_equal(session_wake(t->s, NOW), SATCHEL_OK);
    assert_true(disk_syncs > before);
    assert_int_equal(app_integer(t->x, "SELECT sent_number FROM satchel_state"), 1);
    assert_int_equal(sent(t), MSG_PUSH);
    assert_false(t->x->f->unsynced);
}

/* After the loss of a frame in it SQLite ends the log there. */
static void N2_what_a_failed_sync_gave_up_is_written_again_before_a_number_is_sent(void **state) {
    talk *t = *state;
    open_talk(t);
    while (sent(t)) continue;
    disk_log_watch(t->x->path);
    app_sql(t->x, "PRAGMA synchronous=NORMAL; INSERT INTO item(id) VALUES('a'); INSERT INTO item(id) VALUES('b')");
    disk_log_fails = 1;
    assert_int_equal(session_wake(t->s, NOW), SATCHEL_E_IO);
    assert_int_equal(disk_log_fails, 0);
    session_end(t->s, SATCHEL_E_IO, NULL, NOW);
    open_talk(t);
    while (sent(t) != MSG_PUSH) continue;
    assert_int_equal(disk_log_missing(), 0);
}

static void N2_what_a_failed_sync_gave_up_is_written_again_before_a_cursor_is_told(void **state) {
    talk *t = *state;
    msg_welcome m = welcome(t);
    m.head = 10;
    open_with(t, &m);
    while (sent(t)) continue;
    disk_log_watch(t->x->path);
    disk_log_fails = 1;
    assert_int_equal(say_page(t, 0, 10, item_put("a", "Ann", 1, 1)), SATCHEL_OK);
    assert_int_equal(sent(t), MSG_PULL);
    assert_int_equal(disk_log_fails, 0);
    assert_int_equal(read_pull(t).cursor, 0);
    session_end(t->s, SATCHEL_E_CLOSED, NULL, NOW);
    assert_int_equal(session_begin(t->s, NOW), SATCHEL_OK);
    assert_int_equal(disk_log_missing(), 0);
}

/* What a commit of the app's gives up are frames of others', too. */
static void N2_what_a_failed_commit_of_the_app_gave_up_is_written_again_by_the_next(void **state) {
    talk *t = *state;
    open_talk(t);
    while (sent(t)) continue;
    disk_log_watch(t->x->path);
    app_sql(t->x, "PRAGMA synchronous=NORMAL; INSERT INTO item(id) VALUES('a'); PRAGMA synchronous=FULL");
    disk_log_fails = 1;
    assert_int_equal(sqlite3_exec(t->x->app, "INSERT INTO item(id) VALUES('b')", NULL, NULL, NULL), SQLITE_IOERR_FSYNC);
    assert_int_equal(disk_log_fails, 0);
    app_sql(t->x, "INSERT INTO item(id) VALUES('c')");
    assert_int_equal(disk_log_missing(), 0);
}

/* SQLite says nothing of it, and the next checkpoint would copy pages from a log that is not on the disk. */
static void N2_what_a_failed_checkpoint_gave_up_is_written_again_before_the_next(void **state) {
    talk *t = *state;
    open_talk(t);
    while (sent(t)) continue;
    app_sql(t->x, "PRAGMA synchronous=NORMAL");
    disk_log_watch(t->x->path);
    disk_log_fails = 1;
    app_sql(t->x, "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c WHERE i<1200)"
                  "INSERT INTO item(id, note) SELECT 'k'||i, hex(randomblob(2000)) FROM c");
    assert_int_equal(disk_log_fails, 0);
    assert_true(disk_log_missing() > 1000 * 4096);
    app_sql(t->x, "INSERT INTO item(id) VALUES('a')");
    assert_int_equal(disk_log_missing(), 0);
}

/* The process that had seen it is gone. */
static void N2_what_a_failed_sync_gave_up_before_the_file_was_opened_is_written_again(void **state) {
    talk *t = *state;
    file_options o = {.env = fixture_env(t->x)};
    file *f;
    open_talk(t);
    while (sent(t)) continue;
    disk_log_watch(t->x->path);
    app_sql(t->x, "PRAGMA synchronous=NORMAL; INSERT INTO item(id) VALUES('a')");
    disk_log_fails = 1;
    assert_int_equal(session_wake(t->s, NOW), SATCHEL_E_IO);
    assert_int_equal(file_open(t->x->path, &o, &f), SATCHEL_OK);
    assert_int_equal(file_sync(f), SATCHEL_OK);
    assert_int_equal(disk_log_missing(), 0);
    file_close(f);
}

static void wake_pushes_what_the_app_committed(void **state) {
    talk *t = *state;
    push_txn first, last;
    open_talk(t);
    while (sent(t)) continue;
    assert_int_equal(session_wake(t->s, NOW), SATCHEL_OK);
    assert_int_equal(sent(t), 0);
    app_sql(t->x, "INSERT INTO item(id) VALUES('a')");
    assert_int_equal(session_wake(t->s, NOW + 5), SATCHEL_OK);
    assert_int_equal(sent(t), MSG_PUSH);
    assert_int_equal(read_push(t, &first, &last), 1);
    app_sql(t->x, "INSERT INTO item(id) VALUES('b')");
    assert_int_equal(session_wake(t->s, NOW + 6), SATCHEL_OK);
    assert_int_equal(sent(t), MSG_PUSH);
    assert_int_equal(read_push(t, &first, &last), 1);
    assert_int_equal(first.number, 2);
}

static void pushes_stop_at_the_window_and_go_on_with_results(void **state) {
    talk *t = *state;
    push_txn first, last;
    size_t bytes = 0;
    msg_result r[1024];
    unsigned n = 0;
    app_sql(t->x, "CREATE TABLE seed(i)");
    for (unsigned i = 0; i < 40; i++)
        app_sql(t->x, "INSERT INTO item(id, note) VALUES(hex(randomblob(8)), hex(randomblob(60000)))");
    open_talk(t);
    while (sent(t) == MSG_PUSH) {
        bytes += t->frame.n;
        n += read_push(t, &first, &last);
    }
    assert_true(bytes >= LIMIT_PUSH_WINDOW_BYTES && bytes < LIMIT_PUSH_WINDOW_BYTES + LIMIT_FRAME_BYTES);
    assert_true(n < 40);
    for (unsigned i = 0; i < n; i++) r[i] = (msg_result){.number = i + 1, .seq = i + 1, .effective = 1};
    assert_int_equal(say_result(t, r, n), SATCHEL_OK);
    assert_int_equal(sent(t), MSG_PUSH);
    read_push(t, &first, &last);
    assert_int_equal(first.number, n + 1);
}

/* A transaction larger than the window goes on when the server answers its parts with results that hold none. */
static void parts_are_answered_by_empty_results(void **state) {
    talk *t = *state;
    push_txn first, last = {0};
    unsigned rounds = 0;
    app_sql(t->x, "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c WHERE i<60)"
                  "INSERT INTO item(id, note) SELECT 'k'||i, hex(randomblob(60000)) FROM c");
    open_talk(t);
    while (!last.last && rounds++ < 100) {
        while (sent(t) == MSG_PUSH) read_push(t, &first, &last);
        if (!last.last) assert_int_equal(say_result(t, NULL, 0), SATCHEL_OK);
    }
    assert_true(last.last);
    assert_true(rounds > 2);
}

static void N5_nothing_is_sent_and_nothing_in_step_until_the_server_has_told_all(void **state) {
    talk *t = *state;
    push_txn first, last;
    msg_welcome m = welcome(t);
    app_sql(t->x, "INSERT INTO item(id) VALUES('a'); INSERT INTO item(id) VALUES('b'); INSERT INTO item(id) VALUES('c')");
    begin_with(t, &m);
    assert_int_equal(sent(t), MSG_PULL);
    assert_int_equal(sent(t), 0);
    msg_result r[] = {{.number = 1, .seq = 5, .effective = 9}, {.number = 2, .rc = SATCHEL_E_CHECK, .text = "no", .ntext = 2}};
    assert_int_equal(say_result(t, r, 2), SATCHEL_OK);
    assert_int_equal(sent(t), 0);
    assert_non_null(strstr(t->events, "event 2 2 ;"));
    assert_non_null(strstr(t->changed, "item;"));
    assert_int_equal(say_told(t), SATCHEL_OK);
    assert_int_equal(sent(t), MSG_PUSH);
    assert_int_equal(read_push(t, &first, &last), 1);
    assert_int_equal(first.number, 3);
}

static void in_step_once_the_server_has_told_all(void **state) {
    talk *t = *state;
    msg_welcome m = welcome(t);
    begin_with(t, &m);
    assert_int_equal(session_wake(t->s, NOW), SATCHEL_OK);
    assert_false(session_in_step(t->s));
    assert_int_equal(say_told(t), SATCHEL_OK);
    assert_true(session_in_step(t->s));
}

static void server_that_never_has_told_all_is_not_awaited_for_ever(void **state) {
    talk *t = *state;
    msg_welcome m = welcome(t);
    begin_with(t, &m);
    assert_int_equal(session_deadline(t->s), NOW + 60000);
    assert_int_equal(session_wake(t->s, NOW + 59999), SATCHEL_OK);
    assert_int_equal(session_wake(t->s, NOW + 60000), SATCHEL_E_TIMEOUT);
}

static void error_that_is_fatal_to_the_server_or_unknown_is_none_to_the_device(void **state) {
    talk *t = *state;
    static const int code[] = {SATCHEL_E_CORRUPT, SATCHEL_E_INTERNAL, -9999};
    for (unsigned i = 0; i < sizeof code / sizeof *code; i++) {
        open_talk(t);
        error_encode(&(msg_error){.rc = code[i], .text = "why", .ntext = 3}, &t->message);
        assert_int_equal(say(t, NOW), SATCHEL_E_CLOSED);
        session_end(t->s, SATCHEL_E_CLOSED, "", NOW);
        while (sent(t)) continue;
    }
}

/* ---- pages ---- */

static void each_page_gives_its_credit_back(void **state) {
    talk *t = *state;
    open_talk(t);
    assert_int_equal(sent(t), MSG_PULL);
    assert_int_equal(say_page(t, 0, 10, item_put("a", "Ann", 1, 1)), SATCHEL_OK);
    assert_int_equal(say_page(t, 10, 11, item_put("b", "Bob", 1, 1)), SATCHEL_OK);
    assert_int_equal(sent(t), MSG_PULL);
    assert_int_equal(read_pull(t).credit, 2);
    assert_int_equal(read_pull(t).cursor, 11);
    assert_string_equal(t->changed, "item;item;");
    assert_int_equal(sent(t), 0);
}

/* While pages stream in the server is told the old cursor; the one it is told at rest is on the disk. */
static void N2_cursor_is_durable_before_it_is_told(void **state) {
    talk *t = *state;
    msg_welcome m = welcome(t);
    m.head = 11;
    open_with(t, &m);
    assert_int_equal(sent(t), MSG_PULL);
    unsigned before = disk_syncs;
    assert_int_equal(say_page(t, 0, 10, item_put("a", "Ann", 1, 1)), SATCHEL_OK);
    assert_true(t->x->f->unsynced);
    assert_int_equal(disk_syncs, before);
    assert_int_equal(sent(t), MSG_PULL);
    assert_int_equal(read_pull(t).cursor, 0);
    assert_int_equal(say_page(t, 10, 11, item_put("b", "Bob", 1, 1)), SATCHEL_OK);
    assert_int_equal(sent(t), MSG_PULL);
    assert_true(disk_syncs > before);
    assert_int_equal(read_pull(t).cursor, 11);
    assert_false(t->x->f->unsynced);
}

static void in_step_when_all_is_sent_answered_and_seen(void **state) {
    talk *t = *state;
    msg_welcome m = welcome(t);
    m.head = 10;
    app_sql(t->x, "INSERT INTO item(id, name, price, stock) VALUES('a', 'Ann', 1, 1)");
    open_with(t, &m);
    assert_int_equal(say_page(t, 0, 10, item_put("b", "Bob", 1, 1)), SATCHEL_OK);
    assert_false(session_in_step(t->s));
    assert_int_equal(say_result(t, &(msg_result){.number = 1, .seq = 11, .effective = 9}, 1), SATCHEL_OK);
    assert_false(session_in_step(t->s));
    assert_int_equal(say_page(t, 10, 11, item_put("a", "Ann", 1, 1)), SATCHEL_OK);
    assert_true(session_in_step(t->s));
    assert_string_equal(t->events, "state 1;state 2;state 3;");
    assert_int_equal(app_integer(t->x, "SELECT last_sync_ms FROM satchel_status"), (int64_t)NOW);
    app_sql(t->x, "UPDATE item SET price=2 WHERE id='a'");
    assert_int_equal(session_wake(t->s, NOW), SATCHEL_OK);
    assert_false(session_in_step(t->s));
    session_end(t->s, SATCHEL_E_NETWORK, "the cable", NOW);
    assert_false(session_in_step(t->s));
    assert_string_equal(app_text(t->x, "SELECT last_error_text FROM satchel_status"), "the cable");
}

static void not_in_step_before_the_view_has_come_that_the_welcome_told(void **state) {
    talk *t = *state;
    delta_row row = item_put("a", "a", 1, 1);
    msg_welcome m = welcome(t);
    m.has_view = true;
    m.view = 3;
    open_with(t, &m);
    assert_int_equal(session_wake(t->s, NOW), SATCHEL_OK);
    assert_false(session_in_step(t->s));
    assert_int_equal(say_page(t, 0, 11, row), SATCHEL_OK);
    assert_false(session_in_step(t->s));
    page_build(t->x, &(msg_page){.from = 11, .to = 11, .more = true, .view = 3}, 11, &row, 1, &t->message);
    assert_int_equal(say(t, NOW), SATCHEL_OK);
    assert_false(session_in_step(t->s));
    page_build(t->x, &(msg_page){.from = 11, .to = 11, .part = 1, .view = 3}, 11, &row, 1, &t->message);
    assert_int_equal(say(t, NOW), SATCHEL_OK);
    assert_true(session_in_step(t->s));
    m.view = 0;
    session_end(t->s, SATCHEL_E_CLOSED, NULL, NOW);
    open_with(t, &m);
    assert_int_equal(session_wake(t->s, NOW), SATCHEL_OK);
    assert_false(session_in_step(t->s));
    snapshot_begin(&(msg_snapshot){.id = 7, .seq = 11, .last = true}, &t->message);
    assert_int_equal(say(t, NOW), SATCHEL_OK);
    assert_true(session_in_step(t->s));
    session_end(t->s, SATCHEL_E_CLOSED, NULL, NOW);
    open_with(t, &m);
    session_end(t->s, SATCHEL_E_CLOSED, NULL, NOW);
    open_talk(t);
    assert_int_equal(session_wake(t->s, NOW), SATCHEL_OK);
    assert_true(session_in_step(t->s));
}

static void snapshot_tells_its_progress_and_places_the_cursor(void **state) {
    talk *t = *state;
    msg_welcome m = welcome(t);
    m.snapshot = true;
    m.head = 50;
    open_with(t, &m);
    assert_false(t->x->f->state.placed);
    for (uint32_t page = 0; page < 2; page++) {
        snapshot_begin(&(msg_snapshot){.id = 7, .seq = 50, .page = page, .last = page == 1, .total_rows = 2}, &t->message);
        assert_int_equal(say(t, NOW), SATCHEL_OK);
    }
    assert_non_null(strstr(t->events, "event 6"));
    assert_true(t->x->f->state.placed);
    assert_true(session_in_step(t->s));
}

static void loss_becomes_a_readable_conflict(void **state) {
    talk *t = *state;
    buf key;
    value k = text_of("a");
    buf_init(&key, 0);
    value_put(&key, &k);
    msg_loss l = {.id = 4,
                  .seq = 9,
                  .number = 3,
                  .table = ITEM,
                  .column = ITEM_NAME,
                  .rule = RULE_LWW,
                  .key = key.p,
                  .nkey = key.n,
                  .kept = text_of("theirs"),
                  .lost = text_of("mine"),
                  .kept_stamp = hlc_of_ms(20),
                  .lost_stamp = hlc_of_ms(10),
                  .kept_author = 2};
    open_talk(t);
    while (sent(t)) continue;
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(losses_encode(&l, 1, &t->message), SATCHEL_OK);
        assert_int_equal(say(t, NOW), SATCHEL_OK);
    }
    assert_string_equal(app_text(t->x, "SELECT n||tbl||col||key||kept||lost||rule||kept_ms||lost_ms FROM satchel_conflicts"),
                        "3itemnameatheirsminelww2010");
    assert_int_equal(t->x->f->state.loss_cursor, 4);
    buf_fini(&key);
}

/* ---- servers that err ---- */

static void message_out_of_order_ends_the_conversation(void **state) {
    talk *t = *state;
    assert_int_equal(session_begin(t->s, NOW), SATCHEL_OK);
    assert_int_equal(sent(t), MSG_HELLO);
    assert_int_equal(say_page(t, 0, 10, item_put("a", "Ann", 1, 1)), SATCHEL_E_ORDER);
    assert_int_equal(sent(t), MSG_ERROR);
    assert_int_equal(say_page(t, 0, 10, item_put("a", "Ann", 1, 1)), SATCHEL_E_MISUSE);
    assert_int_equal(app_integer(t->x, "SELECT count(*) FROM item"), 0);
}

static void frame_that_is_no_message_is_malformed(void **state) {
    talk *t = *state;
    open_talk(t);
    assert_int_equal(session_receive(t->s, "\xff\xff", 2, NOW), SATCHEL_E_MALFORMED);
    session_end(t->s, SATCHEL_E_MALFORMED, session_error(t->s), NOW);
    assert_int_equal(session_state(t->s), SATCHEL_OFFLINE);
    open_talk(t);
    assert_int_equal(say_page(t, 5, 10, item_put("a", "Ann", 1, 1)), SATCHEL_E_ORDER);
}

static void error_of_the_server_comes_back_as_its_code(void **state) {
    talk *t = *state;
    open_talk(t);
    error_encode(&(msg_error){.rc = SATCHEL_E_OVERLOAD, .retry_after_ms = 7000, .text = "busy", .ntext = 4}, &t->message);
    while (sent(t)) continue;
    assert_int_equal(say(t, NOW), SATCHEL_E_OVERLOAD);
    assert_int_equal(session_retry_after_ms(t->s), 7000);
    assert_string_equal(session_error(t->s), "the server says: busy");
    assert_int_equal(sent(t), 0);
}

static void server_that_does_not_answer_times_out(void **state) {
    talk *t = *state;
    assert_int_equal(session_begin(t->s, NOW), SATCHEL_OK);
    assert_int_equal(session_deadline(t->s), NOW + 30000);
    assert_int_equal(session_wake(t->s, NOW + 29999), SATCHEL_OK);
    assert_int_equal(session_wake(t->s, NOW + 30000), SATCHEL_E_TIMEOUT);
    session_end(t->s, SATCHEL_E_TIMEOUT, "", NOW);
    assert_int_equal(session_deadline(t->s), UINT64_MAX);
    app_sql(t->x, "INSERT INTO item(id) VALUES('a')");
    open_talk(t);
    assert_int_equal(session_deadline(t->s), NOW + 60000);
    assert_int_equal(session_wake(t->s, NOW + 60000), SATCHEL_E_TIMEOUT);
}

/* Every message that a server may send, cut at every byte: an error, and nothing half done. */
static void cut_messages_are_refused(void **state) {
    talk *t = *state;
    buf page;
    delta_row row = item_put("a", "Ann", 1, 1);
    buf_init(&page, 0);
    page_build(t->x, &(msg_page){.from = 0, .to = 10}, 10, &row, 1, &page);
    for (size_t n = 1; n < page.n; n++) {
        open_talk(t);
        int rc = session_receive(t->s, page.p, n, NOW);
        assert_true(rc < 0);
        assert_true(strlen(session_error(t->s)) > 0);
        session_end(t->s, rc, "", NOW);
    }
    assert_int_equal(app_integer(t->x, "SELECT count(*) FROM item"), 0);
    buf_fini(&page);
}

#define T(name) cmocka_unit_test_setup_teardown(name, session_setup, session_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(hello_tells_where_the_file_stands),
        T(hello_tells_what_waits_by_table),
        T(hello_while_the_app_writes_goes_without_what_waits),
        T(hello_tells_what_its_files_take_and_can_come_to),
        T(hello_of_a_file_that_was_removed_tells_no_storage),
        T(S4_hello_tells_the_view_that_is_held),
        T(not_in_step_before_the_view_has_come_that_the_welcome_told),
        T(welcome_opens_with_credit_and_pushes),
        T(welcome_of_another_version_is_refused),
        T(welcome_of_an_older_schema_is_refused),
        T(wrong_clock_is_told),
        T(migrations_come_before_anything_else),
        T(bad_migration_changes_nothing_and_says_where),
        T(N2_number_is_durable_before_it_is_sent),
        T(N2_what_a_failed_sync_gave_up_is_written_again_before_a_number_is_sent),
        T(N2_what_a_failed_sync_gave_up_is_written_again_before_a_cursor_is_told),
        T(N2_what_a_failed_commit_of_the_app_gave_up_is_written_again_by_the_next),
        T(N2_what_a_failed_checkpoint_gave_up_is_written_again_before_the_next),
        T(N2_what_a_failed_sync_gave_up_before_the_file_was_opened_is_written_again),
        T(N2_cursor_is_durable_before_it_is_told),
        T(wake_pushes_what_the_app_committed),
        T(pushes_stop_at_the_window_and_go_on_with_results),
        T(parts_are_answered_by_empty_results),
        T(N5_nothing_is_sent_and_nothing_in_step_until_the_server_has_told_all),
        T(in_step_once_the_server_has_told_all),
        T(server_that_never_has_told_all_is_not_awaited_for_ever),
        T(error_that_is_fatal_to_the_server_or_unknown_is_none_to_the_device),
        T(each_page_gives_its_credit_back),
        T(in_step_when_all_is_sent_answered_and_seen),
        T(snapshot_tells_its_progress_and_places_the_cursor),
        T(loss_becomes_a_readable_conflict),
        T(message_out_of_order_ends_the_conversation),
        T(frame_that_is_no_message_is_malformed),
        T(error_of_the_server_comes_back_as_its_code),
        T(server_that_does_not_answer_times_out),
        T(cut_messages_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
