/* The normative vectors of protocol/vectors/: valid bytes decode to the content that stands beside them and encode to the same bytes
 * again; invalid ones are refused with the error that is named. */
#include <dirent.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/message.h"
#include "protocol/satchel_rc.h"
#include "protocol/unseen.h"
#include "tests/property/reencode.h"

/* ---- decoded content as JSON, in the form of vectors/README.md ---- */

static json_t *json_hex(const void *p, size_t n) {
    static const char digit[] = "0123456789abcdef";
    const uint8_t *b = p;
    buf text;
    buf_init(&text, 0);
    for (size_t i = 0; i < n; i++) {
        buf_put_byte(&text, (uint8_t)digit[b[i] >> 4]);
        buf_put_byte(&text, (uint8_t)digit[b[i] & 15]);
    }
    json_t *hex = json_stringn(text.n ? (const char *)text.p : "", text.n);
    buf_fini(&text);
    return hex;
}

static json_t *json_value(const value *v) {
    char number[40];
    switch (v->type) {
    case VALUE_INTEGER:
        return json_integer(v->u.i);
    case VALUE_REAL:
        snprintf(number, sizeof number, "%.17g", v->u.r);
        return json_pack("{s:s}", "real", number);
    case VALUE_TEXT:
        return json_stringn((const char *)v->u.p, v->n);
    case VALUE_BLOB:
        return json_pack("{s:o}", "blob", json_hex(v->u.p, v->n));
    default:
        return json_null();
    }
}

static json_t *json_u64(uint64_t v) {
    return json_integer((json_int_t)v);
}

static json_t *json_optional(uint64_t v) {
    return v ? json_u64(v) : json_null();
}

static json_t *json_text(const char *p, size_t n) {
    return json_stringn(p ? p : "", n);
}

static json_t *json_values(const value *v, unsigned n) {
    json_t *list = json_array();
    for (unsigned i = 0; i < n; i++) json_array_append_new(list, json_value(&v[i]));
    return list;
}

static json_t *json_key(const uint8_t *p, size_t n) {
    const uint8_t *end = p + n;
    json_t *list = json_array();
    value v;
    while (p < end && value_get(&p, end, &v) == SATCHEL_OK) json_array_append_new(list, json_value(&v));
    return list;
}

static json_t *json_column(const delta_row *row, unsigned i) {
    json_t *id = json_u64(row->col[i].id), *v = json_value(&row->v[i]);
    switch (row->col[i].kind) {
    case DELTA_SET:
        return json_pack("{s:o, s:o}", "id", id, "set", v);
    case DELTA_ADD:
        return json_pack("{s:o, s:o}", "id", id, "add", v);
    case DELTA_MOVE:
        return json_pack("{s:o, s:o, s:o}", "id", id, "seen", json_value(&row->seen[i]), "new", v);
    }
    return NULL;
}

static json_t *json_row(const delta_row *row) {
    static const char *const op[] = {"put", "update", "delete", "leave"};
    json_t *columns = json_array();
    for (unsigned i = 0; i < row->ncol; i++) json_array_append_new(columns, json_column(row, i));
    return json_pack("{s:o, s:s, s:o, s:o}", "table", json_u64(row->table), "op", op[row->op], "key",
                     json_values(row->key, row->nkey), "columns", columns);
}

static json_t *json_delta(const uint8_t *p, size_t n) {
    static delta_reader r;
    static delta_row row;
    wire at;
    json_t *rows = json_array();
    wire_open(&at, p, n);
    delta_open(&r, &at);
    while (delta_next(&r, &row) == 1) json_array_append_new(rows, json_row(&row));
    return rows;
}

static json_t *json_past(const msg_hello *m) {
    json_t *list = json_array();
    for (unsigned i = 0; i < m->npast; i++)
        json_array_append_new(
            list, json_pack("{s:o, s:o}", "epoch", json_hex(m->past[i].epoch, EPOCH_BYTES), "seq", json_u64(m->past[i].seq)));
    return list;
}

static json_t *json_waiting(const msg_hello *m) {
    json_t *list = json_array();
    for (unsigned i = 0; i < m->nwaiting; i++)
        json_array_append_new(
            list, json_pack("{s:o, s:o}", "table", json_u64(m->waiting[i].table), "changes", json_u64(m->waiting[i].changes)));
    return list;
}

static json_t *json_hello(const void *p, size_t n) {
    msg_hello m;
    assert_int_equal(hello_decode(p, n, &m), SATCHEL_OK);
    json_t *o =
        json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "type", "hello", "version",
                  json_u64(m.version), "incarnation", json_u64(m.incarnation), "epoch",
                  m.has_epoch ? json_hex(m.epoch, sizeof m.epoch) : json_null(), "cursor", json_u64(m.cursor), "schema_epoch",
                  json_u64(m.schema_epoch), "schema_hash", json_hex(m.schema_hash, sizeof m.schema_hash), "last_number",
                  json_u64(m.last_number), "settled_number", json_u64(m.settled_number), "loss_cursor", json_u64(m.loss_cursor),
                  "now_ms", json_u64(m.now_ms), "pending", json_u64(m.pending), "snapshot", json_optional(m.snapshot),
                  "snapshot_page", json_u64(m.snapshot_page), "software", json_text(m.software, m.nsoftware));
    if (m.npast || m.has_view) json_object_set_new(o, "past", json_past(&m));
    if (m.has_view) json_object_set_new(o, "view", json_u64(m.view));
    if (m.nwaiting || m.room_bytes) json_object_set_new(o, "waiting", json_waiting(&m));
    if (m.room_bytes)
        json_object_set_new(o, "storage",
                            json_pack("{s:o, s:o}", "held", json_u64(m.held_bytes), "room", json_u64(m.room_bytes)));
    return o;
}

static json_t *json_welcome(const void *p, size_t n) {
    msg_welcome m;
    assert_int_equal(welcome_decode(p, n, &m), SATCHEL_OK);
    return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:o*}", "type", "welcome", "version",
                     json_u64(m.version), "epoch", json_hex(m.epoch, sizeof m.epoch), "epoch_start", json_u64(m.epoch_start),
                     "head", json_u64(m.head), "schema_epoch", json_u64(m.schema_epoch), "known_number", json_u64(m.known_number),
                     "known_id", m.has_known_id ? json_hex(m.known_id, sizeof m.known_id) : json_null(), "now_ms",
                     json_u64(m.now_ms), "backup_seq", json_u64(m.backup_seq), "snapshot", m.snapshot, "view",
                     m.has_view ? json_u64(m.view) : NULL);
}

static json_t *json_schema(const void *p, size_t n) {
    msg_schema m;
    assert_int_equal(schema_decode(p, n, &m), SATCHEL_OK);
    return json_pack("{s:s, s:o, s:o, s:o}", "type", "schema", "epoch", json_u64(m.epoch), "name", json_text(m.name, m.nname),
                     "sql", json_text(m.sql, m.nsql));
}

static json_t *json_unseen(const push_txn *t) {
    unseen_reader r;
    unseen_row row;
    json_t *rows = json_array();
    unseen_open(&r, t->unseen, t->nunseen);
    while (unseen_next(&r, &row) == 1) {
        uint32_t column;
        uint64_t base;
        json_t *columns = json_array();
        while (unseen_column(&row, &column, &base))
            json_array_append_new(columns, json_pack("{s:o, s:o}", "id", json_u64(column), "base", json_u64(base)));
        json_array_append_new(rows, json_pack("{s:o, s:o, s:o}", "table", json_u64(row.table), "key", json_key(row.key, row.nkey),
                                              "columns", columns));
    }
    return rows;
}

static json_t *json_push(const void *p, size_t n) {
    push_reader r;
    push_txn t;
    json_t *list = json_array();
    assert_int_equal(push_open(&r, p, n), SATCHEL_OK);
    while (push_next(&r, &t) == 1)
        json_array_append_new(list,
                              json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:o, s:o*}", "number", json_u64(t.number),
                                        "id", json_hex(t.id, sizeof t.id), "stamp", json_u64(t.stamp), "base", json_u64(t.base),
                                        "schema_epoch", json_u64(t.schema_epoch), "resolves", json_optional(t.resolves),
                                        "effective", json_optional(t.effective), "part", json_u64(t.part), "last", t.last,
                                        "delta", json_delta(t.delta, t.ndelta), "unseen", t.nunseen ? json_unseen(&t) : NULL));
    return json_pack("{s:s, s:o, s:o}", "type", "push", "incarnation", json_u64(r.incarnation), "transactions", list);
}

static json_t *json_results(const void *p, size_t n) {
    results_reader r;
    msg_result m;
    json_t *list = json_array();
    assert_int_equal(results_open(&r, p, n), SATCHEL_OK);
    while (results_next(&r, &m) == 1)
        json_array_append_new(list, json_pack("{s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o}", "number", json_u64(m.number), "rc",
                                              satchel_rc_name(m.rc), "seq", json_u64(m.seq), "effective", json_u64(m.effective),
                                              "depends", json_u64(m.depends), "table", json_u64(m.table), "key",
                                              json_key(m.key, m.nkey), "text", json_text(m.text, m.ntext)));
    return json_pack("{s:s, s:o}", "type", "results", "results", list);
}

static json_t *json_pull(const void *p, size_t n) {
    msg_pull m;
    assert_int_equal(pull_decode(p, n, &m), SATCHEL_OK);
    return json_pack("{s:s, s:o, s:o, s:o}", "type", "pull", "cursor", json_u64(m.cursor), "credit", json_u64(m.credit),
                     "loss_cursor", json_u64(m.loss_cursor));
}

static json_t *json_page(const void *p, size_t n) {
    page_reader r;
    msg_page m;
    page_commit c;
    json_t *list = json_array();
    assert_int_equal(page_open(&r, p, n, &m), SATCHEL_OK);
    while (page_next(&r, &c) == 1)
        json_array_append_new(list, json_pack("{s:o, s:o, s:o, s:o}", "seq", json_u64(c.seq), "author", json_u64(c.author),
                                              "stamp", json_u64(c.stamp), "delta", json_delta(c.delta, c.ndelta)));
    return json_pack("{s:s, s:o, s:o, s:o, s:o, s:b, s:o*, s:o}", "type", "page", "from", json_u64(m.from), "to", json_u64(m.to),
                     "high_stamp", json_u64(m.high_stamp), "part", json_u64(m.part), "more", m.more, "view",
                     m.view ? json_u64(m.view) : NULL, "commits", list);
}

static void json_ranges(snapshot_reader *r, json_t *list) {
    static snapshot_range g;
    while (snapshot_next(r, &g) == 1)
        json_array_append_new(list, json_pack("{s:o, s:o, s:o, s:o}", "table", json_u64(g.table), "from",
                                              g.has_from ? json_values(g.from, g.nkey) : json_null(), "to",
                                              g.has_to ? json_values(g.to, g.nkey) : json_null(), "delta",
                                              json_delta(g.delta, g.ndelta)));
}

static json_t *json_sums(const void *p, size_t n) {
    sums_reader r;
    msg_sums m;
    static sums_range g;
    json_t *list = json_array();
    assert_int_equal(sums_open(&r, p, n, &m), SATCHEL_OK);
    while (sums_next(&r, &g) == 1)
        json_array_append_new(list, json_pack("{s:o, s:o, s:o, s:o, s:o}", "table", json_u64(g.range.table), "from",
                                              g.range.has_from ? json_values(g.range.from, g.range.nkey) : json_null(), "to",
                                              g.range.has_to ? json_values(g.range.to, g.range.nkey) : json_null(), "rows",
                                              json_u64(g.rows), "digest", json_hex(g.digest, sizeof g.digest)));
    return json_pack("{s:s, s:o, s:o, s:o}", "type", "sums", "cursor", json_u64(m.cursor), "view", json_u64(m.view), "ranges",
                     list);
}

static json_t *json_repair(const void *p, size_t n) {
    snapshot_reader r;
    msg_repair m;
    json_t *list = json_array();
    assert_int_equal(repair_open(&r, p, n, &m), SATCHEL_OK);
    json_ranges(&r, list);
    return json_pack("{s:s, s:o, s:o, s:b, s:o}", "type", "repair", "seq", json_u64(m.seq), "compared", json_u64(m.compared),
                     "cut", m.cut, "ranges", list);
}

static json_t *json_snapshot(const void *p, size_t n) {
    snapshot_reader r;
    msg_snapshot m;
    json_t *list = json_array();
    assert_int_equal(snapshot_open(&r, p, n, &m), SATCHEL_OK);
    json_ranges(&r, list);
    return json_pack("{s:s, s:o, s:o, s:o, s:b, s:o, s:o, s:o*, s:o}", "type", "snapshot", "id", json_u64(m.id), "seq",
                     json_u64(m.seq), "page", json_u64(m.page), "last", m.last, "total_rows", json_u64(m.total_rows),
                     "high_stamp", json_u64(m.high_stamp), "view", m.view ? json_u64(m.view) : NULL, "ranges", list);
}

static json_t *json_losses(const void *p, size_t n) {
    losses_reader r;
    msg_loss m;
    json_t *list = json_array();
    assert_int_equal(losses_open(&r, p, n), SATCHEL_OK);
    while (losses_next(&r, &m) == 1)
        json_array_append_new(list, json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "id",
                                              json_u64(m.id), "seq", json_u64(m.seq), "number", json_u64(m.number), "table",
                                              json_u64(m.table), "column", json_u64(m.column), "rule", json_u64(m.rule), "key",
                                              json_key(m.key, m.nkey), "kept", json_value(&m.kept), "lost", json_value(&m.lost),
                                              "kept_stamp", json_u64(m.kept_stamp), "lost_stamp", json_u64(m.lost_stamp),
                                              "kept_author", json_u64(m.kept_author)));
    return json_pack("{s:s, s:o}", "type", "losses", "losses", list);
}

static json_t *json_forked(const void *p, size_t n) {
    uint32_t incarnation;
    uint64_t from_number;
    assert_int_equal(forked_decode(p, n, &incarnation, &from_number), SATCHEL_OK);
    return json_pack("{s:s, s:o, s:o}", "type", "forked", "incarnation", json_u64(incarnation), "from_number",
                     json_u64(from_number));
}

static json_t *json_resolve(const void *p, size_t n) {
    msg_resolve m;
    assert_int_equal(resolve_decode(p, n, &m), SATCHEL_OK);
    return json_pack("{s:s, s:o, s:o}", "type", "resolve", "number", json_u64(m.number), "action", json_u64(m.action));
}

static json_t *json_error(const void *p, size_t n) {
    msg_error m;
    assert_int_equal(error_decode(p, n, &m), SATCHEL_OK);
    return json_pack("{s:s, s:s, s:o, s:o}", "type", "error", "rc", satchel_rc_name(m.rc), "retry_after_ms",
                     json_u64(m.retry_after_ms), "text", json_text(m.text, m.ntext));
}

static json_t *json_message(const void *p, size_t n) {
    static json_t *(*const by_type[])(const void *, size_t) = {
        [MSG_HELLO] = json_hello,     [MSG_WELCOME] = json_welcome, [MSG_SCHEMA] = json_schema,   [MSG_PUSH] = json_push,
        [MSG_RESULTS] = json_results, [MSG_PULL] = json_pull,       [MSG_PAGE] = json_page,       [MSG_SNAPSHOT] = json_snapshot,
        [MSG_LOSSES] = json_losses,   [MSG_FORKED] = json_forked,   [MSG_RESOLVE] = json_resolve, [MSG_ERROR] = json_error,
        [MSG_SUMS] = json_sums,       [MSG_REPAIR] = json_repair,
    };
    message_type type = message_peek(p, n);
    return type ? by_type[type](p, n) : NULL;
}

/* ---- running the files ---- */

static unsigned hex_digit(char c) {
    return (unsigned)(c >= 'a' ? c - 'a' + 10 : c - '0');
}

/* The bytes of a vector in an allocation of exactly their size, so that a sanitizer sees a read behind them. */
static uint8_t *unhex(const json_t *hex, size_t *n) {
    const char *text = json_string_value(hex);
    assert_non_null(text);
    *n = strlen(text) / 2;
    uint8_t *p = malloc(*n ? *n : 1);
    assert_non_null(p);
    for (size_t i = 0; i < *n; i++) p[i] = (uint8_t)(hex_digit(text[2 * i]) << 4 | hex_digit(text[2 * i + 1]));
    return p;
}

static void check_same(const char *name, const json_t *expected, json_t *got) {
    if (!json_equal(expected, got)) {
        char *text = json_dumps(got, JSON_ENCODE_ANY);
        fail_msg("%s: decoded as %s", name, text);
    }
    json_decref(got);
}

static void check_refused(const char *name, const json_t *vector, int rc) {
    const char *expected = json_string_value(json_object_get(vector, "error"));
    assert_non_null(expected);
    if (strcmp(satchel_rc_name(rc), expected) != 0) fail_msg("%s: %s, not %s", name, satchel_rc_name(rc), expected);
}

static void check_message(const char *name, const json_t *vector, const uint8_t *p, size_t n) {
    const json_t *expected = json_object_get(vector, "message");
    int rc = message_check(p, n);
    if (!expected) {
        check_refused(name, vector, rc);
        return;
    }
    if (rc) fail_msg("%s: %s", name, satchel_rc_name(rc));
    check_same(name, expected, json_message(p, n));
    buf again;
    buf_init(&again, 0);
    assert_int_equal(reencode(p, n, &again), SATCHEL_OK);
    if (again.n != n || memcmp(again.p, p, n) != 0) fail_msg("%s: encoded otherwise", name);
    buf_fini(&again);
}

static void check_value(const char *name, const json_t *vector, const uint8_t *p, size_t n) {
    wire w;
    wire_open(&w, p, n);
    value v = wire_get_value(&w);
    int rc = wire_close(&w);
    const json_t *expected = json_object_get(vector, "value");
    if (!expected) {
        check_refused(name, vector, rc);
        return;
    }
    if (rc) fail_msg("%s: %s", name, satchel_rc_name(rc));
    check_same(name, expected, json_value(&v));
    buf again;
    buf_init(&again, 0);
    wire_put_value(&again, &v);
    if (again.n != n || memcmp(again.p, p, n) != 0) fail_msg("%s: encoded otherwise", name);
    buf_fini(&again);
}

static void check_frame(const char *name, const json_t *vector, const uint8_t *p, size_t n) {
    buf message;
    buf_init(&message, 0);
    int rc = frame_unpack(p, n, &message);
    const json_t *expected = json_object_get(vector, "unpacked");
    if (!expected) {
        check_refused(name, vector, rc);
    } else {
        if (rc) fail_msg("%s: %s", name, satchel_rc_name(rc));
        json_t *got = json_hex(message.p, message.n);
        check_same(name, expected, got);
    }
    buf_fini(&message);
}

static size_t run_file(const char *path) {
    json_error_t error;
    json_t *file = json_load_file(path, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &error);
    if (!file) fail_msg("%s:%d: %s", path, error.line, error.text);
    const char *of = json_string_value(json_object_get(file, "of"));
    assert_non_null(of);
    size_t i, count = json_array_size(json_object_get(file, "vectors"));
    json_t *vector;
    json_array_foreach(json_object_get(file, "vectors"), i, vector) {
        const char *name = json_string_value(json_object_get(vector, "name"));
        size_t n;
        uint8_t *p = unhex(json_object_get(vector, "hex"), &n);
        if (strcmp(of, "message") == 0)
            check_message(name, vector, p, n);
        else if (strcmp(of, "value") == 0)
            check_value(name, vector, p, n);
        else if (strcmp(of, "frame") == 0)
            check_frame(name, vector, p, n);
        else
            fail_msg("%s: vectors of an unknown kind", path);
        free(p);
    }
    json_decref(file);
    return count;
}

static void vectors_every_file_holds(void **state) {
    (void)state;
    size_t files = 0, count = 0;
    DIR *dir = opendir(VECTORS_DIR);
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        char path[4096];
        size_t n = strlen(e->d_name);
        if (n < 5 || strcmp(e->d_name + n - 5, ".json") != 0) continue;
        snprintf(path, sizeof path, "%s/%s", VECTORS_DIR, e->d_name);
        count += run_file(path);
        files++;
    }
    closedir(dir);
    /* One for each type, of which an older release has fewer; invalid, values, values_invalid, frames. */
    assert_in_range(files, MSG_ERROR + 4, MSG_REPAIR + 4);
    assert_true(count > 200);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(vectors_every_file_holds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
