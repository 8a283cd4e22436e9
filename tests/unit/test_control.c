/* The admin's socket: requests as lines, answers in order, and what it refuses. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "protocol/satchel_rc.h"
#include "server/control.h"
#include "tests/support/outside.h"

#define SCHEMA                                                                                                                   \
    "CREATE TABLE note(id INTEGER PRIMARY KEY, words TEXT NOT NULL) WITHOUT ROWID;\n"                                            \
    "INSERT INTO satchel_table(name, mode, wins, key) VALUES('note', 'rows', 'update', 'unique');\n"

typedef struct world {
    outside o;
    control *control;
    char path[100]; /* of the socket */
    int fd;
    buf in;
} world;

static int connect_to(const world *w) {
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    snprintf(to.sun_path, sizeof to.sun_path, "%s", w->path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static int make_world(void **state) {
    world *w = calloc(1, sizeof *w);
    buf error = {0};
    outside_open(&w->o, SCHEMA);
    assert_int_equal(control_open(&w->o.service, &w->o.data, &w->control, &error), 0);
    snprintf(w->path, sizeof w->path, "%s/%s", w->o.path, CONTROL_SOCKET);
    w->fd = connect_to(w);
    *state = w;
    return 0;
}

static int drop_world(void **state) {
    world *w = *state;
    close(w->fd);
    outside_settle(&w->o);
    control_close(w->control);
    outside_settle(&w->o);
    loop_end(&w->o.loop);
    uv_run(&w->o.loop.uv, UV_RUN_DEFAULT);
    control_free(w->control);
    outside_close(&w->o);
    buf_fini(&w->in);
    free(w);
    return 0;
}

/* False if the server has closed the connection. */
static bool try_send(world *w, const char *text) {
    for (size_t n = strlen(text); n;) {
        ssize_t done = send(w->fd, text, n, MSG_NOSIGNAL);
        if (done < 0 && errno == EAGAIN) {
            outside_settle(&w->o);
            continue;
        }
        if (done < 0 && errno == EPIPE) return false;
        assert_true(done > 0);
        text += done;
        n -= (size_t)done;
    }
    return true;
}

static void send_text(world *w, const char *text) {
    assert_true(try_send(w, text));
}

/* The next answer; NULL if the connection was closed. */
static json_t *receive(world *w) {
    for (int turns = 0; turns < 12000; turns++) {
        uint8_t *end = w->in.n ? memchr(w->in.p, '\n', w->in.n) : NULL;
        if (end) {
            size_t n = (size_t)(end - w->in.p) + 1;
            json_t *o = json_loadb((const char *)w->in.p, n, 0, NULL);
            memmove(w->in.p, w->in.p + n, w->in.n - n);
            w->in.n -= n;
            assert_non_null(o);
            return o;
        }
        outside_settle(&w->o);
        ssize_t n = recv(w->fd, buf_reserve(&w->in, 65536), 65536, 0);
        if (!n || (n < 0 && errno == ECONNRESET)) return NULL;
        if (n > 0) w->in.n += (size_t)n;
        /* A work runs in a thread. */
        if (n < 0) poll(&(struct pollfd){.fd = w->fd, .events = POLLIN}, 1, 5);
    }
    fail_msg("no answer");
    return NULL;
}

static json_t *call(world *w, const char *line) {
    send_text(w, line);
    send_text(w, "\n");
    return receive(w);
}

static void expect_ok(world *w, const char *line) {
    json_t *o = call(w, line);
    if (!json_is_true(json_object_get(o, "ok"))) fail_msg("%s: %s", line, json_dumps(o, 0));
    json_decref(o);
}

static void expect_code(world *w, const char *line, const char *code, const char *words) {
    json_t *o = call(w, line);
    assert_true(json_is_false(json_object_get(o, "ok")));
    assert_string_equal(json_string_value(json_object_get(o, "code")), code);
    if (!strstr(json_string_value(json_object_get(o, "message")), words)) fail_msg("%s", json_dumps(o, 0));
    json_decref(o);
}

static void open_makes_a_socket_for_the_owner_alone(void **state) {
    world *w = *state;
    struct stat st;
    assert_int_equal(stat(w->path, &st), 0);
    assert_true(S_ISSOCK(st.st_mode));
    assert_int_equal(st.st_mode & 07777, 0600);
}

static void device_add_answers_a_code_that_decodes(void **state) {
    world *w = *state;
    enrol_code code;
    json_t *o = call(w, "{\"command\":\"device.add\",\"name\":\"till-07\"}");
    assert_int_equal(enrol_code_decode(json_string_value(json_object_get(o, "enrolment_code")), &code), 0);
    assert_string_equal(code.host, "crm.example.test");
    assert_int_equal(code.port, 8443);
    assert_memory_equal(code.pin, w->o.identity.pin, sizeof code.pin);
    json_decref(o);
    expect_code(w, "{\"command\":\"device.add\",\"name\":\"\"}", "E_MISUSE", "name");
    expect_code(w, "{\"command\":\"device.add\",\"name\":\"a\\u001b[2J\"}", "E_MISUSE", "printable");
    expect_code(w, "{\"command\":\"device.add\"}", "E_MISUSE", "name");
}

/* Enrols the device whose code the admin was given last. */
static void redeem(world *w, uint8_t seed) {
    sqlite3 *db = store_db(w->o.store);
    char *insert = sqlite3_mprintf("INSERT INTO satchel_device(name,fingerprint,state,enrolled_ms,profile,user,store)"
                                   " SELECT name,cast(zeroblob(31)||x'%02x' AS BLOB),1,5,profile,user,store FROM satchel_enrol;"
                                   "DELETE FROM satchel_enrol",
                                   seed);
    assert_int_equal(sqlite3_exec(db, insert, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_free(insert);
}

static const char *shown(world *w, const char *name, const char *member) {
    static char text[200];
    char line[200];
    snprintf(line, sizeof line, "{\"command\":\"device.show\",\"name\":\"%s\"}", name);
    json_t *o = call(w, line);
    const char *found = json_string_value(json_object_get(json_object_get(o, "device"), member));
    snprintf(text, sizeof text, "%s", found ? found : "-");
    json_decref(o);
    return text;
}

static void device_add_and_set_want_a_profile_once_there_are_rules(void **state) {
    world *w = *state;
    sqlite3 *db = store_db(w->o.store);
    expect_code(w, "{\"command\":\"device.add\",\"name\":\"a\",\"profile\":\"rep\"}", "E_MISUSE", "no profile rep");
    expect_ok(w, "{\"command\":\"device.add\",\"name\":\"a\",\"profile\":\"full\"}");
    expect_ok(w, "{\"command\":\"device.add\",\"name\":\"a\"}");
    redeem(w, 1);
    assert_string_equal(shown(w, "a", "profile"), "full");
    sqlite3_exec(db, "INSERT INTO satchel_profile(name,horizon_days) VALUES('till',90),('rep',30)", NULL, NULL, NULL);
    expect_code(w, "{\"command\":\"device.add\",\"name\":\"b\"}", "E_MISUSE", "rep, till and full");
    expect_code(w, "{\"command\":\"device.add\",\"name\":\"b\",\"profile\":\"king\"}", "E_MISUSE", "rep, till and full");
    expect_code(w, "{\"command\":\"device.add\",\"name\":\"b\",\"profile\":\"rep\",\"user\":\"abc\"}", "E_MISUSE",
                "user is a value in SQL");
    expect_code(w, "{\"command\":\"device.add\",\"name\":\"b\",\"profile\":\"rep\",\"store\":\"7;DROP\"}", "E_MISUSE",
                "store is a value");
    expect_ok(w, "{\"command\":\"device.add\",\"name\":\"b\",\"profile\":\"rep\",\"user\":\"x'0A1b'\",\"store\":\"-7\"}");
    redeem(w, 2);
    assert_string_equal(shown(w, "b", "profile"), "rep");
    assert_string_equal(shown(w, "b", "user"), "x'0a1b'");
    assert_string_equal(shown(w, "b", "store"), "-7");
    expect_ok(w, "{\"command\":\"device.set\",\"name\":\"b\",\"user\":\"'it''s'\"}");
    assert_string_equal(shown(w, "b", "user"), "'it''s'");
    assert_string_equal(shown(w, "b", "profile"), "rep");
    expect_ok(w, "{\"command\":\"device.set\",\"name\":\"b\",\"profile\":\"full\",\"store\":\"\"}");
    assert_string_equal(shown(w, "b", "profile"), "full");
    assert_string_equal(shown(w, "b", "store"), "-");
    expect_code(w, "{\"command\":\"device.set\",\"name\":\"b\"}", "E_MISUSE", "which profile");
    expect_code(w, "{\"command\":\"device.set\",\"name\":\"b\",\"profile\":\"king\"}", "E_MISUSE", "no profile king");
    expect_code(w, "{\"command\":\"device.set\",\"name\":\"c\",\"profile\":\"rep\"}", "E_NOT_FOUND", "c");
}

static void device_is_paused_resumed_renamed_revoked_and_wiped_by_name_or_key(void **state) {
    world *w = *state;
    expect_ok(w, "{\"command\":\"device.add\",\"name\":\"a\"}");
    redeem(w, 1);
    expect_ok(w, "{\"command\":\"device.pause\",\"name\":\"a\"}");
    assert_string_equal(shown(w, "a", "state"), "paused");
    expect_ok(w, "{\"command\":\"device.resume\",\"name\":\"a\"}");
    expect_ok(w, "{\"command\":\"device.rename\",\"name\":\"a\",\"to\":\"b\"}");
    expect_code(w, "{\"command\":\"device.rename\",\"name\":\"b\",\"to\":\"\\u001b\"}", "E_MISUSE", "printable");
    expect_code(w, "{\"command\":\"device.rename\",\"name\":\"b\"}", "E_MISUSE", "printable");
    expect_ok(w, "{\"command\":\"device.resnapshot\",\"name\":\"b\"}");
    expect_ok(w, "{\"command\":\"device.verify\",\"name\":\"b\"}");
    expect_ok(w, "{\"command\":\"device.rotate_key\",\"name\":\"b\"}");
    expect_ok(w, "{\"command\":\"device.revoke\",\"name\":\"b\"}");
    expect_code(w, "{\"command\":\"device.resume\",\"name\":\"b\"}", "E_MISUSE", "b is revoked: only a paused");
    expect_code(w, "{\"command\":\"device.verify\",\"name\":\"b\"}", "E_MISUSE", "b is revoked: only an active or paused");
    expect_code(w, "{\"command\":\"device.rotate_key\",\"name\":\"b\"}", "E_MISUSE", "b is revoked: only an active or paused");
    expect_code(w, "{\"command\":\"device.rotate_key\",\"name\":\"c\"}", "E_NOT_FOUND", "no device named c");
    expect_ok(w, "{\"command\":\"device.add\",\"name\":\"b\"}");
    redeem(w, 2);
    /* The name is another's now. */
    char line[200], key[65];
    snprintf(key, sizeof key, "%062d01", 0);
    snprintf(line, sizeof line, "{\"command\":\"device.wipe\",\"name\":\"%s\"}", key);
    expect_ok(w, line);
    assert_string_equal(shown(w, key, "state"), "to be wiped");
    assert_string_equal(shown(w, "b", "state"), "active");
    snprintf(line, sizeof line, "{\"command\":\"device.remove\",\"name\":\"%s\"}", key);
    expect_code(w, line, "E_MISUSE", "to be wiped: only a device that is revoked");
    expect_code(w, "{\"command\":\"device.remove\",\"name\":\"b\"}", "E_MISUSE", "revoke or wipe it first");
    expect_ok(w, "{\"command\":\"device.revoke\",\"name\":\"b\"}");
    expect_ok(w, "{\"command\":\"device.remove\",\"name\":\"b\"}");
    expect_code(w, "{\"command\":\"device.remove\",\"name\":\"b\"}", "E_MISUSE", "to be wiped");
    snprintf(key, sizeof key, "%062d02", 0);
    snprintf(line, sizeof line, "{\"command\":\"device.wipe\",\"name\":\"%s\"}", key);
    expect_code(w, line, "E_NOT_FOUND", "no device");
}

static void commands_on_what_is_not_there_say_so(void **state) {
    world *w = *state;
    expect_code(w, "{\"command\":\"device.show\",\"name\":\"nobody\"}", "E_NOT_FOUND", "nobody");
    expect_code(w, "{\"command\":\"device.revoke\",\"name\":\"nobody\"}", "E_NOT_FOUND", "nobody");
    expect_code(w, "{\"command\":\"rejected.discard\",\"device\":\"nobody\",\"number\":3}", "E_NOT_FOUND", "3");
    expect_code(w, "{\"command\":\"rejected.discard\",\"device\":\"nobody\"}", "E_MISUSE", "which");
    expect_code(w, "{\"command\":\"rejected.show\",\"device\":\"nobody\",\"number\":3}", "E_NOT_FOUND", "3");
    expect_code(w, "{\"command\":\"rejected.show\",\"number\":3}", "E_MISUSE", "which");
    expect_code(w, "{\"command\":\"rejected.retry\",\"device\":\"nobody\",\"number\":3}", "E_NOT_FOUND", "3");
    expect_code(w, "{\"command\":\"rejected.retry\",\"device\":\"nobody\",\"number\":3,\"edits\":{}}", "E_MISUSE", "array");
    expect_code(w, "{\"command\":\"conflicts\",\"limit\":0}", "E_MISUSE", "limit");
    expect_code(w, "{\"command\":\"format.disk\"}", "E_MISUSE", "no such command");
    expect_code(w, "{}", "E_MISUSE", "no such command");
}

static void sql_runs_and_reports(void **state) {
    world *w = *state;
    json_t *o = call(
        w,
        "{\"command\":\"sql\",\"text\":\"BEGIN; INSERT INTO note(id,words) VALUES(1,'a'),(2,'b'); COMMIT; INSERT INTO note(id,words) VALUES(3,'c');\"}");
    assert_true(json_is_true(json_object_get(o, "ok")));
    assert_int_equal(json_integer_value(json_object_get(o, "transactions")), 2);
    assert_int_equal(json_integer_value(json_object_get(o, "rows")), 3);
    json_decref(o);
    o = call(w, "{\"command\":\"sql\",\"text\":\"INSERT INTO note(id,words) VALUES(4,'d');\\nINSERT INTO nothing VALUES(1);\"}");
    assert_true(json_is_false(json_object_get(o, "ok")));
    assert_int_equal(json_integer_value(json_object_get(o, "transactions")), 1);
    assert_memory_equal(json_string_value(json_object_get(o, "message")), "line 2:", 7);
    json_decref(o);
    o = call(w, "{\"command\":\"digest\"}");
    assert_memory_equal(json_string_value(json_object_get(o, "digest")), "note 4 ", 7);
    json_decref(o);
    o = call(w, "{\"command\":\"verify\"}");
    assert_int_equal(json_integer_value(json_object_get(o, "problems")), 0);
    json_decref(o);
}

static void listings_of_an_empty_store_are_empty_arrays(void **state) {
    world *w = *state;
    static const char *const lines[][2] = {{"{\"command\":\"device.list\"}", "devices"},
                                           {"{\"command\":\"conflicts\"}", "conflicts"},
                                           {"{\"command\":\"rejected\",\"all\":true}", "rejected"}};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        json_t *o = call(w, lines[i][0]);
        assert_true(json_is_array(json_object_get(o, lines[i][1])));
        assert_int_equal(json_array_size(json_object_get(o, lines[i][1])), 0);
        json_decref(o);
    }
    expect_ok(w, "{\"command\":\"status\"}");
}

static void requests_sent_together_are_answered_in_order(void **state) {
    world *w = *state;
    send_text(w, "{\"command\":\"device.add\",\"name\":\"a\"}\n{\"command\":\"nope\"}\n\n{\"command\":\"device.list\"}\n{\"comm");
    json_t *o = receive(w);
    assert_non_null(json_object_get(o, "enrolment_code"));
    json_decref(o);
    o = receive(w);
    assert_string_equal(json_string_value(json_object_get(o, "code")), "E_MISUSE");
    json_decref(o);
    o = receive(w);
    assert_string_equal(json_string_value(json_object_get(o, "code")), "E_MALFORMED");
    json_decref(o);
    o = receive(w);
    assert_true(json_is_array(json_object_get(o, "devices")));
    json_decref(o);
    expect_ok(w, "and\":\"device.list\"}");
}

static void request_over_the_limit_is_refused_and_closed(void **state) {
    world *w = *state;
    size_t n = 1u << 20;
    char *piece = malloc(n + 1);
    memset(piece, 'x', n);
    piece[n] = 0;
    for (size_t sent = 0; sent <= CONTROL_LINE_BYTES && try_send(w, piece);) sent += n;
    json_t *o = receive(w);
    assert_string_equal(json_string_value(json_object_get(o, "code")), "E_LIMIT");
    json_decref(o);
    assert_null(receive(w));
    free(piece);
}

static void peer_that_goes_while_its_call_runs_is_forgotten(void **state) {
    world *w = *state;
    send_text(w, "{\"command\":\"device.add\",\"name\":\"gone\"}\n");
    uv_run(&w->o.loop.uv, UV_RUN_NOWAIT);
    uv_run(&w->o.loop.uv, UV_RUN_NOWAIT);
    close(w->fd);
    uv_run(&w->o.loop.uv, UV_RUN_NOWAIT);
    outside_settle(&w->o);
    w->fd = connect_to(w);
    expect_ok(w, "{\"command\":\"device.list\"}");
}

static void call_while_draining_is_refused(void **state) {
    world *w = *state;
    w->o.service.draining = true;
    expect_code(w, "{\"command\":\"device.list\"}", "E_CLOSED", "shutting down");
    w->o.service.draining = false;
}

/* Two notes, one of which somebody has changed behind the server's back. */
static void spoil(world *w) {
    expect_ok(w, "{\"command\":\"sql\",\"text\":\"INSERT INTO note(id,words) VALUES(1,'a'),(2,'b');\"}");
    assert_int_equal(sqlite3_exec(store_db(w->o.store), "UPDATE note SET words='x' WHERE id=1", NULL, NULL, NULL), SQLITE_OK);
}

static void S6_rows_that_verify_puts_right_are_told_to_the_hub(void **state) {
    world *w = *state;
    hub_stats stats;
    spoil(w);
    json_t *o = call(w, "{\"command\":\"verify\",\"repair\":true}");
    assert_int_equal(json_integer_value(json_object_get(o, "repaired")), 1);
    json_decref(o);
    hub_get_stats(w->o.hub, &stats);
    assert_int_equal(stats.checksum_healed, 1);
    o = call(w, "{\"command\":\"verify\",\"repair\":true}");
    assert_int_equal(json_integer_value(json_object_get(o, "problems")), 0);
    assert_null(json_object_get(o, "repaired"));
    json_decref(o);
}

#define THREADS 4 /* libuv's */

typedef struct waiting {
    uv_work_t thread[THREADS];
    uv_sem_t go;
    int ended;
} waiting;

static void wait_there(uv_work_t *thread) {
    uv_sem_wait(&((waiting *)thread->data)->go);
}

static void count_ended(uv_work_t *thread, int status) {
    (void)status;
    ((waiting *)thread->data)->ended++;
}

/* All threads are taken until the server drains, so that the work ends after that; what it found is not used, and freed. */
static void work_that_ends_while_draining_is_refused(void **state) {
    world *w = *state;
    waiting busy = {0};
    spoil(w);
    assert_int_equal(uv_sem_init(&busy.go, 0), 0);
    for (int i = 0; i < THREADS; i++) {
        busy.thread[i].data = &busy;
        assert_int_equal(uv_queue_work(&w->o.loop.uv, &busy.thread[i], wait_there, count_ended), 0);
    }
    send_text(w, "{\"command\":\"verify\",\"repair\":true}\n");
    outside_settle(&w->o);
    w->o.service.draining = true;
    for (int i = 0; i < THREADS; i++) uv_sem_post(&busy.go);
    json_t *o = receive(w);
    assert_string_equal(json_string_value(json_object_get(o, "code")), "E_CLOSED");
    assert_int_equal(json_integer_value(json_object_get(o, "problems")), 1);
    json_decref(o);
    w->o.service.draining = false;
    while (busy.ended < THREADS) outside_settle(&w->o);
    uv_sem_destroy(&busy.go);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, make_world, drop_world)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(open_makes_a_socket_for_the_owner_alone),
        CASE(device_add_answers_a_code_that_decodes),
        CASE(device_add_and_set_want_a_profile_once_there_are_rules),
        CASE(device_is_paused_resumed_renamed_revoked_and_wiped_by_name_or_key),
        CASE(commands_on_what_is_not_there_say_so),
        CASE(sql_runs_and_reports),
        CASE(listings_of_an_empty_store_are_empty_arrays),
        CASE(requests_sent_together_are_answered_in_order),
        CASE(request_over_the_limit_is_refused_and_closed),
        CASE(peer_that_goes_while_its_call_runs_is_forgotten),
        CASE(call_while_draining_is_refused),
        CASE(S6_rows_that_verify_puts_right_are_told_to_the_hub),
        CASE(work_that_ends_while_draining_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
