/* The loop and the thread of the replica's API against a real satcheld: when it connects, waits, gives up, tries again, and makes room for others. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "replica/handle.h"
#include "replica/satchel.h"
#include "replica/stream.h"

#define PATIENCE_MS 60000

typedef struct world {
    char dir[64];
    pid_t server;
    int sync_port, https_port;
    satchel *a, *b;
    atomic_uint changes;
} world;

static void path_of(const world *w, const char *name, char out[128]) {
    snprintf(out, 128, "%s/%s", w->dir, name);
}

static void become_server(const world *w) {
    char data[128], migrations[128], sync[8], https[8];
    path_of(w, "data", data);
    path_of(w, "schema", migrations);
    snprintf(sync, sizeof sync, "%d", w->sync_port);
    snprintf(https, sizeof https, "%d", w->https_port);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(open("/dev/null", O_WRONLY), 1);
    dup2(1, 2);
    execl(SATCHELD, "satcheld", "--data", data, "--schema", migrations, "--sync-port", sync, "--https-port", https, (char *)NULL);
    _exit(1);
}

/* Reads the ports once the server that we started has written them; it listens then. */
static bool read_ports(world *w) {
    char path[128], text[512] = "";
    int pid = 0;
    path_of(w, "data/ports.json", path);
    FILE *f = fopen(path, "r");
    if (!f) return false;
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = 0;
    const char *at = strstr(text, "\"pid\":"), *sync = strstr(text, "\"sync_port\":"), *https = strstr(text, "\"https_port\":");
    if (!at || !sync || !https) return false;
    pid = atoi(at + 6);
    w->sync_port = atoi(sync + 12);
    w->https_port = atoi(https + 13);
    return pid == w->server;
}

static void start_server(world *w) {
    w->server = fork();
    if (!w->server) become_server(w);
    for (int i = 0; i < PATIENCE_MS / 10; i++) {
        if (read_ports(w)) return;
        usleep(10000);
    }
    fail_msg("satcheld does not start");
}

static void kill_server(world *w) {
    if (w->server <= 0) return;
    kill(w->server, SIGKILL);
    waitpid(w->server, NULL, 0);
    w->server = 0;
}

static void ctl(const world *w, const char *arguments, char *answer, size_t room) {
    char command[512];
    snprintf(command, sizeof command, "%s --data %s/data %s 2>/dev/null", SATCHELCTL, w->dir, arguments);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    size_t n = fread(answer, 1, room - 1, f);
    answer[n] = 0;
    answer[strcspn(answer, "\n")] = 0;
    assert_int_equal(pclose(f), 0);
}

static satchel *open_file(const world *w, const char *name) {
    char path[128];
    satchel *s;
    path_of(w, name, path);
    if (satchel_open(path, NULL, &s)) fail_msg("%s", satchel_errmsg(s));
    return s;
}

static satchel *open_device(const world *w, const char *name) {
    char arguments[64], code[1024];
    satchel *s = open_file(w, name);
    snprintf(arguments, sizeof arguments, "device add %s", name);
    ctl(w, arguments, code, sizeof code);
    if (satchel_enroll(s, code, name)) fail_msg("%s", satchel_errmsg(s));
    return s;
}

static int set_up(void **state) {
    char path[128];
    world *w = calloc(1, sizeof *w);
    *state = w;
    snprintf(w->dir, sizeof w->dir, "/tmp/satchel-poll-XXXXXX");
    if (!mkdtemp(w->dir)) return -1;
    path_of(w, "schema", path);
    if (mkdir(path, 0700)) return -1;
    path_of(w, "schema/001_item.sql", path);
    FILE *f = fopen(path, "w");
    if (!f) return -1;
    fputs("CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT);\nINSERT INTO satchel_table(name) VALUES('item');\n", f);
    fclose(f);
    start_server(w);
    return 0;
}

static int tear_down(void **state) {
    world *w = *state;
    char command[128];
    satchel_close(w->a);
    satchel_close(w->b);
    kill_server(w);
    snprintf(command, sizeof command, "rm -rf '%s'", w->dir);
    int status = system(command);
    free(w);
    return status;
}

static void run_sql(satchel *s, const char *sql) {
    if (sqlite3_exec(satchel_db(s), sql, NULL, NULL, NULL)) fail_msg("%s: %s", sql, sqlite3_errmsg(satchel_db(s)));
}

static int64_t ask(satchel *s, const char *sql) {
    sqlite3_stmt *stmt;
    int64_t answer = -1;
    /* The table may not have come yet. */
    if (sqlite3_prepare_v2(satchel_db(s), sql, -1, &stmt, NULL)) return -1;
    if (sqlite3_step(stmt) == SQLITE_ROW) answer = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    return answer;
}

static satchel_status_info status_of(satchel *s) {
    satchel_status_info info = {.size = sizeof info};
    assert_int_equal(satchel_get_status(s, &info), 0);
    return info;
}

/* Fails with what the status says. */
static void give_up(satchel *s) {
    satchel_status_info i = status_of(s);
    fail_msg("state %d, cursor %llu of %llu, pending %llu, accepted %llu, schema %u, last error %d %s", (int)i.state,
             (unsigned long long)i.cursor, (unsigned long long)i.head, (unsigned long long)i.pending,
             (unsigned long long)i.accepted, i.schema_epoch, i.last_error, i.last_error_text);
}

static void poll_in_step(satchel *s) {
    uint64_t until = stream_clock_ms() + PATIENCE_MS;
    int rc;
    while (!(rc = satchel_poll(s, 200)))
        if (stream_clock_ms() > until) give_up(s);
    if (rc != 1) fail_msg("%d: %s", rc, satchel_errmsg(s));
}

static void wait_count(satchel *s, int64_t rows) {
    uint64_t until = stream_clock_ms() + PATIENCE_MS;
    while (ask(s, "SELECT count(*) FROM item") != rows) {
        if (stream_clock_ms() > until) give_up(s);
        usleep(2000);
    }
}

static void satchel_poll_without_enrolment_is_not_enrolled(void **state) {
    world *w = *state;
    w->a = open_file(w, "a");
    assert_int_equal(satchel_poll(w->a, 0), SATCHEL_E_NOT_ENROLLED);
    assert_int_equal(satchel_poll(w->a, -1), SATCHEL_E_NOT_ENROLLED);
    assert_int_equal(satchel_errcode(w->a), SATCHEL_E_NOT_ENROLLED);
}

static void satchel_poll_carries_commits_between_devices(void **state) {
    world *w = *state;
    w->a = open_device(w, "a");
    w->b = open_device(w, "b");
    poll_in_step(w->a);
    poll_in_step(w->b);
    run_sql(w->a, "INSERT INTO item VALUES(1, 'one'), (2, 'two')");
    poll_in_step(w->a);
    uint64_t until = stream_clock_ms() + PATIENCE_MS;
    while (ask(w->b, "SELECT count(*) FROM item") != 2) assert_true(satchel_poll(w->b, 200) >= 0 && stream_clock_ms() < until);
    assert_int_equal(status_of(w->a).state, SATCHEL_IN_STEP);
}

static void satchel_poll_in_step_waits_for_its_timeout(void **state) {
    world *w = *state;
    w->a = open_device(w, "a");
    poll_in_step(w->a);
    uint64_t before, took = UINT64_MAX;
    for (int i = 0; i < 5 && took >= 2000; i++) { /* a busy machine may take some of it, and once all */
        before = stream_clock_ms();
        assert_int_equal(satchel_poll(w->a, 0), 1);
        took = stream_clock_ms() - before;
    }
    assert_true(took < 2000);
    before = stream_clock_ms();
    assert_int_equal(satchel_poll(w->a, 150), 1);
    assert_true(stream_clock_ms() - before >= 150);
}

static void on_change(void *ctx, const char *table) {
    world *w = ctx;
    if (!strcmp(table, "item")) atomic_fetch_add(&w->changes, 1);
}

static void satchel_start_commits_travel_from_thread_to_thread(void **state) {
    world *w = *state;
    w->a = open_device(w, "a");
    w->b = open_device(w, "b");
    satchel_on_change(w->b, on_change, w);
    assert_int_equal(satchel_start(w->a), 0);
    assert_int_equal(satchel_start(w->a), 0);
    assert_int_equal(satchel_start(w->b), 0);
    assert_int_equal(satchel_poll(w->a, 0), SATCHEL_E_MISUSE);
    wait_count(w->a, 0);
    wait_count(w->b, 0);
    for (int i = 0; i < 20; i++) run_sql(w->a, "INSERT INTO item(name) VALUES('from a thread')");
    wait_count(w->b, 20);
    assert_true(atomic_load(&w->changes) > 0);
    satchel_stop(w->a);
    satchel_stop(w->a);
    assert_int_equal(status_of(w->a).state, SATCHEL_OFFLINE);
    poll_in_step(w->a);
    /* b is closed with its thread running. */
}

static atomic_uint connections;

static void count_connections(void *ctx, const satchel_event *e) {
    (void)ctx;
    if (e->type == SATCHEL_EVENT_STATE && e->state == SATCHEL_CONNECTING) atomic_fetch_add(&connections, 1);
}

static void satchel_start_before_enrolment_syncs_after_it(void **state) {
    world *w = *state;
    char code[1024];
    w->a = open_file(w, "a");
    atomic_store(&connections, 0);
    satchel_on_event(w->a, count_connections, NULL);
    assert_int_equal(satchel_start(w->a), 0);
    usleep(50000);
    ctl(w, "device add a", code, sizeof code);
    assert_int_equal(satchel_enroll(w->a, code, "a"), 0);
    uint64_t before = stream_clock_ms();
    while (!atomic_load(&connections)) {
        assert_true(stream_clock_ms() - before < 4000);
        usleep(2000);
    }
    wait_count(w->a, 0);
}

static void C8_poll_second_handle_is_busy_until_the_first_lets_go(void **state) {
    world *w = *state;
    w->a = open_device(w, "a");
    poll_in_step(w->a);
    w->b = open_file(w, "a");
    uint64_t before = stream_clock_ms();
    assert_int_equal(satchel_poll(w->b, 100), SATCHEL_E_BUSY);
    assert_true(stream_clock_ms() - before >= 100);
    assert_int_equal(status_of(w->b).state, SATCHEL_OFFLINE);
    /* What the second one commits is sent by the first. */
    run_sql(w->b, "INSERT INTO item VALUES(7, 'by the other handle')");
    uint64_t until = stream_clock_ms() + PATIENCE_MS;
    while (status_of(w->b).pending) assert_true(satchel_poll(w->a, 100) >= 0 && stream_clock_ms() < until);
    satchel_close(w->a);
    w->a = NULL;
    poll_in_step(w->b);
}

/* Else it would tell a cursor that the other took in and that no disk has. */
static void N2_what_another_handle_took_in_is_synced_by_the_next_that_syncs(void **state) {
    world *w = *state;
    w->a = open_device(w, "a");
    assert_int_equal(satchel_start(w->a), 0);
    wait_count(w->a, 0);
    satchel_stop(w->a);
    assert_int_equal(file_sync(w->a->file), SATCHEL_OK);
    assert_false(w->a->file->unsynced);
    w->b = open_file(w, "a");
    poll_in_step(w->b);
    satchel_close(w->b);
    w->b = NULL;
    kill_server(w);
    assert_int_equal(satchel_poll(w->a, 10), 0);
    assert_true(w->a->file->unsynced && w->a->file->unproven);
}

/* Be it a new certificate, or another server: the handle that syncs goes on with it. */
static void C8_enrolment_by_another_handle_is_seen_by_the_one_that_syncs(void **state) {
    world *w = *state;
    char old[128], data[128], code[1024];
    w->a = open_device(w, "a");
    poll_in_step(w->a);
    kill_server(w);
    path_of(w, "data", data);
    path_of(w, "old", old);
    assert_int_equal(rename(data, old), 0);
    w->sync_port = w->https_port = 0;
    start_server(w);
    ctl(w, "device add a", code, sizeof code);
    w->b = open_file(w, "a");
    assert_int_equal(satchel_enroll(w->b, code, "a"), 0);
    run_sql(w->b, "INSERT INTO item VALUES(1, 'for the new server')");
    uint64_t until = stream_clock_ms() + PATIENCE_MS;
    while (status_of(w->b).pending) {
        int rc = satchel_poll(w->a, 100);
        assert_true((rc >= 0 || satchel_rc_class(rc) == SATCHEL_CLASS_RETRY) && stream_clock_ms() < until);
    }
}

static int try_sql(satchel *s, const char *sql) {
    return sqlite3_exec(satchel_db(s), sql, NULL, NULL, NULL);
}

static void C8_transaction_beside_another_handles_is_busy(void **state) {
    world *w = *state;
    w->a = open_device(w, "a");
    poll_in_step(w->a);
    w->b = open_file(w, "a");
    sqlite3_busy_timeout(satchel_db(w->b), 20);
    run_sql(w->a, "BEGIN IMMEDIATE; INSERT INTO item VALUES(1, 'by a')");
    assert_int_equal(try_sql(w->b, "INSERT INTO item VALUES(2, 'by b')"), SQLITE_BUSY);
    run_sql(w->a, "COMMIT");
    run_sql(w->b, "INSERT INTO item VALUES(2, 'by b')");
    /* What was read is old by the time of the write: no waiting helps. */
    run_sql(w->b, "BEGIN; SELECT * FROM item");
    run_sql(w->a, "UPDATE item SET name = 'by a' WHERE id = 2");
    sqlite3_busy_timeout(satchel_db(w->b), PATIENCE_MS);
    assert_int_equal(try_sql(w->b, "UPDATE item SET name = 'by b' WHERE id = 2"), SQLITE_BUSY_SNAPSHOT);
    run_sql(w->b, "ROLLBACK; BEGIN IMMEDIATE; UPDATE item SET name = 'by b' WHERE id = 2; COMMIT");
}

static void C8_errmsg_is_a_copy_of_its_own(void **state) {
    world *w = *state;
    w->a = open_file(w, "a");
    w->b = open_file(w, "b");
    assert_int_equal(satchel_poll(w->a, 0), SATCHEL_E_NOT_ENROLLED);
    const char *words = satchel_errmsg(w->a);
    assert_string_equal(words, satchel_rc_text(SATCHEL_E_NOT_ENROLLED));
    assert_int_equal(satchel_discard(w->a, 9), SATCHEL_E_NOT_FOUND);
    assert_string_equal(words, satchel_rc_text(SATCHEL_E_NOT_ENROLLED));
    assert_string_not_equal(satchel_errmsg(w->a), satchel_rc_text(SATCHEL_E_NOT_ENROLLED));
    assert_string_equal(satchel_errmsg(w->b), "");
}

static void satchel_poll_killed_server_is_no_error_and_is_found_again(void **state) {
    world *w = *state;
    w->a = open_device(w, "a");
    poll_in_step(w->a);
    kill_server(w);
    run_sql(w->a, "INSERT INTO item VALUES(1, 'offline')");
    assert_int_equal(satchel_poll(w->a, 300), 0);
    satchel_status_info info = status_of(w->a);
    assert_int_equal(info.pending, 1);
    assert_int_equal(satchel_rc_class(info.last_error), SATCHEL_CLASS_RETRY);
    assert_true(strlen(info.last_error_text) > 10);
    start_server(w);
    poll_in_step(w->a);
    assert_int_equal(status_of(w->a).pending, 0);
    assert_int_equal(status_of(w->a).last_error, 0);
}

static void satchel_poll_revoked_device_is_told_and_does_not_hammer(void **state) {
    world *w = *state;
    char answer[256];
    int rc;
    w->a = open_device(w, "a");
    poll_in_step(w->a);
    ctl(w, "device revoke a", answer, sizeof answer);
    uint64_t until = stream_clock_ms() + PATIENCE_MS;
    while ((!(rc = satchel_poll(w->a, 200)) || rc == 1) && stream_clock_ms() < until) continue;
    assert_int_equal(rc, SATCHEL_E_REVOKED);
    atomic_store(&connections, 0);
    satchel_on_event(w->a, count_connections, NULL);
    for (int i = 0; i < 5; i++) assert_int_equal(satchel_poll(w->a, 20), SATCHEL_E_REVOKED);
    assert_int_equal(atomic_load(&connections), 0);
    assert_non_null(strstr(satchel_errmsg(w->a), "revoked"));
    assert_int_equal(status_of(w->a).state, SATCHEL_STOPPED);
    run_sql(w->a, "INSERT INTO item VALUES(1, 'still works offline')");
}

static void satchel_poll_makes_the_key_that_is_ordered_before_it_is_in_step(void **state) {
    world *w = *state;
    char answer[256];
    w->a = open_device(w, "a");
    poll_in_step(w->a);
    satchel_status_info before = status_of(w->a);
    satchel_close(w->a);
    ctl(w, "device rotate-key a", answer, sizeof answer);
    w->a = open_file(w, "a");
    run_sql(w->a, "INSERT INTO item VALUES(1, 'one')");
    poll_in_step(w->a);
    satchel_status_info after = status_of(w->a);
    assert_string_not_equal(after.device, before.device);
    assert_int_equal(after.pending, 0);
    /* While it is connected, and once for each order. */
    ctl(w, "device rotate-key a", answer, sizeof answer);
    uint64_t until = stream_clock_ms() + PATIENCE_MS;
    while (!strcmp(status_of(w->a).device, after.device)) assert_true(satchel_poll(w->a, 200) >= 0 && stream_clock_ms() < until);
    poll_in_step(w->a);
    after = status_of(w->a);
    satchel_close(w->a);
    w->a = open_file(w, "a");
    poll_in_step(w->a);
    assert_string_equal(status_of(w->a).device, after.device);
}

/* Between failures the pauses grow: in 1.5 seconds there is room for a few tries, not for hundreds. */
static void satchel_poll_absent_server_is_tried_with_pauses(void **state) {
    world *w = *state;
    w->a = open_device(w, "a");
    kill_server(w);
    atomic_store(&connections, 0);
    satchel_on_event(w->a, count_connections, NULL);
    uint64_t until = stream_clock_ms() + 1500;
    while (stream_clock_ms() < until) assert_int_equal(satchel_poll(w->a, 50), 0);
    unsigned tries = atomic_load(&connections);
    if (tries > 4) fail_msg("%u tries", tries);
    until = stream_clock_ms() + PATIENCE_MS;
    while (atomic_load(&connections) < 2 && stream_clock_ms() < until) assert_int_equal(satchel_poll(w->a, 50), 0);
    assert_true(atomic_load(&connections) >= 2);
}

static bool is_there(const world *w, const char *name) {
    char path[128];
    path_of(w, name, path);
    return access(path, F_OK) == 0;
}

static int poll_to_its_end(satchel *s) {
    uint64_t until = stream_clock_ms() + PATIENCE_MS;
    int rc;
    while ((rc = satchel_poll(s, 200)) >= 0)
        if (stream_clock_ms() > until) give_up(s);
    return rc;
}

/* Another handle has a transaction open and keeps the database from being emptied: what it commits there would be lost in silence. */
static void T12_wiped_device_every_handle_says_so_and_no_commit_is_lost_in_silence(void **state) {
    world *w = *state;
    char answer[256];
    w->a = open_device(w, "a");
    poll_in_step(w->a);
    run_sql(w->a, "INSERT INTO item VALUES(1, 'one')");
    /* With nothing to say: what it says it writes down first, which it cannot while the other handle writes. */
    poll_in_step(w->a);
    w->b = open_file(w, "a");
    run_sql(w->b, "BEGIN; INSERT INTO item VALUES(2, 'two')");
    ctl(w, "device wipe a", answer, sizeof answer);
    assert_int_equal(poll_to_its_end(w->a), SATCHEL_E_WIPED);
    assert_false(is_there(w, "a"));
    assert_false(is_there(w, "a-wal"));
    assert_false(is_there(w, "a-satchel"));
    assert_false(is_there(w, "a-wipe"));
    assert_int_not_equal(sqlite3_exec(satchel_db(w->b), "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(satchel_errcode(w->b), SATCHEL_E_WIPED);
    satchel_status_info info = {.size = sizeof info};
    assert_int_equal(satchel_get_status(w->a, &info), SATCHEL_E_WIPED);
    assert_int_equal(satchel_get_status(w->b, &info), SATCHEL_E_WIPED);
    assert_int_equal(satchel_poll(w->b, 0), SATCHEL_E_WIPED);
    assert_int_equal(satchel_poll(w->a, 0), SATCHEL_E_WIPED);
    assert_int_equal(satchel_enroll(w->b, "satchel1.", "b"), SATCHEL_E_WIPED);
    /* A new device under the old name and file; what the old handles still do does not touch it. */
    satchel *again = open_device(w, "a");
    poll_in_step(again);
    run_sql(again, "INSERT INTO item VALUES(3, 'three')");
    satchel_close(w->a);
    satchel_close(w->b);
    w->a = again;
    w->b = NULL;
    assert_int_equal(ask(w->a, "SELECT max(id) FROM item"), 3);
    poll_in_step(w->a);
}

static void T12_wiped_device_with_a_thread_stops_and_can_be_closed(void **state) {
    world *w = *state;
    char answer[256];
    w->a = open_device(w, "a");
    assert_int_equal(satchel_start(w->a), 0);
    wait_count(w->a, 0);
    ctl(w, "device wipe a", answer, sizeof answer);
    uint64_t until = stream_clock_ms() + PATIENCE_MS;
    while (is_there(w, "a") || is_there(w, "a-satchel") || is_there(w, "a-wipe")) {
        assert_true(stream_clock_ms() < until);
        usleep(2000);
    }
    assert_int_equal(sqlite3_exec(satchel_db(w->a), "INSERT INTO item VALUES(1, 'one')", NULL, NULL, NULL), SQLITE_ERROR);
    assert_non_null(strstr(sqlite3_errmsg(satchel_db(w->a)), "no such"));
    satchel_stop(w->a);
    assert_int_equal(satchel_errcode(w->a), SATCHEL_E_WIPED);
}

/* ---- signing out ---- */

typedef struct late {
    satchel *s;
    atomic_bool counted; /* signing out has looked for what was not sent */
    atomic_uint commits;
} late;

/* The server cannot be told: that comes after the count, and before anything is erased. */
static void on_leave_failed(void *ctx, int rc, const char *line) {
    (void)rc, (void)line;
    atomic_store(&((late *)ctx)->counted, true);
}

static void *commit_late(void *ctx) {
    late *l = ctx;
    while (!atomic_load(&l->counted)) usleep(100);
    while (!sqlite3_exec(satchel_db(l->s), "INSERT INTO item(name) VALUES('late')", NULL, NULL, NULL))
        atomic_fetch_add(&l->commits, 1);
    return NULL;
}

static void T13_sign_out_lets_nobody_commit_after_it_has_counted(void **state) {
    world *w = *state;
    late l = {0};
    char path[128];
    pthread_t thread;
    w->a = open_device(w, "a");
    poll_in_step(w->a);
    satchel_close(w->a);
    kill_server(w);
    path_of(w, "a", path);
    satchel_options o = {.size = sizeof o, .log = on_leave_failed, .log_ctx = &l};
    assert_int_equal(satchel_open(path, &o, &w->a), SATCHEL_OK);
    l.s = w->b = open_file(w, "a");
    assert_int_equal(pthread_create(&thread, NULL, commit_late, &l), 0);
    assert_int_equal(satchel_sign_out(w->a, 0, NULL), SATCHEL_OK);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(atomic_load(&l.commits), 0);
}

static void T13_sign_out_in_another_directory_erases_the_file_that_was_opened(void **state) {
    world *w = *state;
    char here[4096], elsewhere[128], path[128];
    assert_non_null(getcwd(here, sizeof here));
    path_of(w, "elsewhere", elsewhere);
    path_of(w, "elsewhere/a", path);
    assert_int_equal(mkdir(elsewhere, 0700), 0);
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(chdir(w->dir), 0);
    int opened = satchel_open("a", NULL, &w->a);
    assert_int_equal(chdir(elsewhere), 0);
    int rc = opened ? opened : satchel_sign_out(w->a, 0, NULL);
    assert_int_equal(chdir(here), 0);
    assert_int_equal(rc, SATCHEL_OK);
    assert_false(is_there(w, "a"));
    assert_true(is_there(w, "elsewhere/a"));
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(satchel_poll_without_enrolment_is_not_enrolled),
        CASE(satchel_poll_carries_commits_between_devices),
        CASE(satchel_poll_in_step_waits_for_its_timeout),
        CASE(satchel_start_commits_travel_from_thread_to_thread),
        CASE(satchel_start_before_enrolment_syncs_after_it),
        CASE(C8_poll_second_handle_is_busy_until_the_first_lets_go),
        CASE(N2_what_another_handle_took_in_is_synced_by_the_next_that_syncs),
        CASE(C8_enrolment_by_another_handle_is_seen_by_the_one_that_syncs),
        CASE(C8_transaction_beside_another_handles_is_busy),
        CASE(C8_errmsg_is_a_copy_of_its_own),
        CASE(satchel_poll_killed_server_is_no_error_and_is_found_again),
        CASE(satchel_poll_revoked_device_is_told_and_does_not_hammer),
        CASE(satchel_poll_makes_the_key_that_is_ordered_before_it_is_in_step),
        CASE(satchel_poll_absent_server_is_tried_with_pauses),
        CASE(T12_wiped_device_every_handle_says_so_and_no_commit_is_lost_in_silence),
        CASE(T12_wiped_device_with_a_thread_stops_and_can_be_closed),
        CASE(T13_sign_out_lets_nobody_commit_after_it_has_counted),
        CASE(T13_sign_out_in_another_directory_erases_the_file_that_was_opened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
