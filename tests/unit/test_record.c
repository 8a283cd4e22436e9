/* Rows as JSON: what each column takes, what comes out, and the words for what does not fit. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"
#include "server/record.h"

static const char SQL[] =
    "CREATE TABLE thing(a TEXT, n INTEGER, whole INTEGER, amount REAL, name TEXT, bytes BLOB, num NUMERIC, extra, hits INTEGER, state TEXT,"
    " PRIMARY KEY(n, a));"
    "CREATE TABLE move(f TEXT, t TEXT, PRIMARY KEY(f, t)) WITHOUT ROWID;"
    "INSERT INTO satchel_table(name) VALUES('thing');"
    "INSERT INTO satchel_rule(tbl, col, rule) VALUES('thing', 'hits', 'counter'), ('thing', 'state', 'guard:move');";

typedef struct world {
    sqlite3 *db;
    schema *shape;
    const schema_table *t;
    record r;
    json_t *json;
} world;

static int make_world(void **state) {
    world *w = calloc(1, sizeof *w);
    buf error = {0};
    assert_int_equal(sqlite3_open(":memory:", &w->db), SQLITE_OK);
    assert_int_equal(schema_init(w->db, &error), 0);
    if (schema_migrate(w->db, SCHEMA_SERVER, 1, "001.sql", SQL, &error)) fail_msg("%s", (const char *)error.p);
    assert_int_equal(schema_load(w->db, &w->shape, &error), 0);
    w->t = schema_table_by_name(w->shape, "thing");
    record_init(&w->r);
    buf_fini(&error);
    *state = w;
    return 0;
}

static int drop_world(void **state) {
    world *w = *state;
    json_decref(w->json);
    record_fini(&w->r);
    schema_free(w->shape);
    sqlite3_close(w->db);
    free(w);
    return 0;
}

static json_t *parse(world *w, const char *text) {
    json_error_t where;
    json_decref(w->json);
    w->json = json_loads(text, RECORD_JSON_FLAGS, &where);
    if (!w->json) fail_msg("%s: %s", text, where.text);
    return w->json;
}

static int values(world *w, delta_op op, const char *text) {
    record_begin(&w->r, w->t, op);
    return record_values(&w->r, parse(w, text));
}

static uint32_t id_of(const world *w, const char *name) {
    for (unsigned i = 0; i < w->t->ncol; i++)
        if (!strcmp(w->t->col[i]->name, name)) return w->t->col[i]->id;
    fail_msg("no column %s", name);
    return 0;
}

static const value *value_of(const world *w, const char *name) {
    for (unsigned i = 0; i < w->r.row.ncol; i++)
        if (w->r.row.col[i].id == id_of(w, name)) return &w->r.row.v[i];
    fail_msg("no value of %s", name);
    return NULL;
}

static void expect_json(const value *v, const char *text) {
    buf out = {0};
    record_put_value(&out, v);
    buf_put_byte(&out, 0);
    assert_int_equal(out.rc, 0);
    assert_string_equal((const char *)out.p, text);
    buf_fini(&out);
}

static void values_of_every_type_are_taken_and_ids_ascend(void **state) {
    world *w = *state;
    assert_int_equal(
        values(
            w, DELTA_PUT,
            "{\"state\":\"x\",\"extra\":{\"base64\":\"AP8=\"},\"num\":2.0,\"bytes\":{\"base64\":\"AAEC\"},\"name\":\"\\u0000\xc3\xa9\","
            "\"amount\":3,\"whole\":true,\"hits\":-9223372036854775808}"),
        0);
    assert_int_equal(w->r.row.ncol, 8);
    for (unsigned i = 1; i < w->r.row.ncol; i++) assert_true(w->r.row.col[i].id > w->r.row.col[i - 1].id);
    assert_true(value_of(w, "hits")->u.i == INT64_MIN);
    assert_int_equal(value_of(w, "whole")->u.i, 1);
    assert_int_equal(value_of(w, "amount")->type, VALUE_REAL);
    assert_int_equal(value_of(w, "num")->type, VALUE_INTEGER);
    assert_int_equal(value_of(w, "name")->n, 3);
    assert_memory_equal(value_of(w, "bytes")->u.p, "\0\1\2", 3);
    assert_memory_equal(value_of(w, "extra")->u.p, "\0\xff", 2);
}

static void sums_and_moves_are_for_updates_of_their_columns(void **state) {
    world *w = *state;
    assert_int_equal(values(w, DELTA_UPDATE, "{\"state\":{\"from\":\"a\",\"to\":\"b\"},\"hits\":{\"add\":-2}}"), 0);
    assert_int_equal(w->r.row.col[0].kind, DELTA_ADD);
    assert_int_equal(w->r.row.v[0].u.i, -2);
    assert_int_equal(w->r.row.col[1].kind, DELTA_MOVE);
    assert_memory_equal(w->r.row.seen[1].u.p, "a", 1);
    assert_memory_equal(w->r.row.v[1].u.p, "b", 1);
    assert_int_equal(values(w, DELTA_PUT, "{\"hits\":{\"add\":1}}"), SATCHEL_E_TYPE);
    assert_int_equal(values(w, DELTA_UPDATE, "{\"whole\":{\"add\":1}}"), SATCHEL_E_TYPE);
    assert_int_equal(values(w, DELTA_UPDATE, "{\"hits\":{\"add\":\"1\"}}"), SATCHEL_E_TYPE);
    assert_int_equal(values(w, DELTA_UPDATE, "{\"name\":{\"from\":\"a\",\"to\":\"b\"}}"), SATCHEL_E_TYPE);
    assert_int_equal(values(w, DELTA_PUT, "{\"state\":{\"from\":\"a\",\"to\":\"b\"}}"), SATCHEL_E_TYPE);
}

static void expect_refused(world *w, const char *text, int rc, const char *column, const char *words) {
    assert_int_equal(values(w, DELTA_UPDATE, text), rc);
    if (!strstr((const char *)w->r.error.p, words)) fail_msg("%s: %s", text, (const char *)w->r.error.p);
    if (column)
        assert_string_equal(w->r.wrong->name, column);
    else
        assert_null(w->r.wrong);
}

static void what_a_column_does_not_take_is_told_with_its_name(void **state) {
    world *w = *state;
    expect_refused(w, "{\"whole\":\"1\"}", SATCHEL_E_TYPE, "whole", "column whole takes an integer or null, not a string");
    expect_refused(w, "{\"whole\":1.5}", SATCHEL_E_TYPE, "whole", "not a number with a fraction");
    expect_refused(w, "{\"amount\":\"1\"}", SATCHEL_E_TYPE, "amount", "a number");
    expect_refused(w, "{\"name\":1}", SATCHEL_E_TYPE, "name", "a string");
    expect_refused(w, "{\"name\":true}", SATCHEL_E_TYPE, "name", "a string");
    expect_refused(w, "{\"bytes\":\"AAEC\"}", SATCHEL_E_TYPE, "bytes", "base64");
    expect_refused(w, "{\"bytes\":{\"base64\":\"A\"}}", SATCHEL_E_TYPE, "bytes", "base64");
    expect_refused(w, "{\"bytes\":{\"base64\":1}}", SATCHEL_E_TYPE, "bytes", "base64");
    expect_refused(w, "{\"extra\":{\"base64\":\"\",\"x\":1}}", SATCHEL_E_TYPE, "extra", "an object");
    expect_refused(w, "{\"extra\":[]}", SATCHEL_E_TYPE, "extra", "an array");
    expect_refused(w, "{\"nothing\":1}", SATCHEL_E_UNKNOWN_COLUMN, NULL, "no column \"nothing\"");
    expect_refused(w, "{\"satchel_clock\":1}", SATCHEL_E_UNKNOWN_COLUMN, NULL, "no column");
    expect_refused(w, "{\"n\":1}", SATCHEL_E_UNKNOWN_COLUMN, NULL, "part of the key");
    expect_refused(w, "[]", SATCHEL_E_TYPE, NULL, "must be an object");
}

static void value_over_the_limit_is_refused(void **state) {
    world *w = *state;
    char *text = malloc(LIMIT_VALUE_BYTES + 64);
    size_t n = (size_t)sprintf(text, "{\"name\":\"");
    memset(text + n, 'x', LIMIT_VALUE_BYTES + 1);
    strcpy(text + n + LIMIT_VALUE_BYTES + 1, "\"}");
    expect_refused(w, text, SATCHEL_E_TOO_LARGE, "name", "over the limit");
    text[n + LIMIT_VALUE_BYTES] = '"';
    strcpy(text + n + LIMIT_VALUE_BYTES + 1, "}");
    assert_int_equal(values(w, DELTA_UPDATE, text), 0);
    free(text);
}

static int key(world *w, const char *text) {
    record_begin(&w->r, w->t, DELTA_UPDATE);
    return record_key(&w->r, parse(w, text));
}

static void key_needs_every_column_in_any_order(void **state) {
    world *w = *state;
    buf out = {0};
    assert_int_equal(key(w, "{\"a\":\"x\",\"n\":7}"), 0);
    assert_int_equal(w->r.row.key[0].u.i, 7);
    assert_memory_equal(w->r.row.key[1].u.p, "x", 1);
    record_put_key(&out, w->t, w->r.row.key);
    buf_put_byte(&out, 0);
    assert_string_equal((const char *)out.p, "{\"n\":7,\"a\":\"x\"}");
    buf_fini(&out);
    assert_int_equal(key(w, "{\"a\":\"x\"}"), SATCHEL_E_KEY_MISSING);
    assert_string_equal(w->r.wrong->name, "n");
    assert_int_equal(key(w, "{\"a\":null,\"n\":1}"), SATCHEL_E_KEY_MISSING);
    assert_int_equal(key(w, "{\"a\":\"x\",\"n\":\"1\"}"), SATCHEL_E_TYPE);
    assert_int_equal(key(w, "{\"a\":\"x\",\"n\":1,\"name\":\"y\"}"), SATCHEL_E_UNKNOWN_COLUMN);
    assert_int_equal(key(w, "[1]"), SATCHEL_E_KEY_MISSING);
}

static void whole_row_takes_key_and_values_in_one(void **state) {
    world *w = *state;
    record_begin(&w->r, w->t, DELTA_PUT);
    assert_int_equal(record_whole(&w->r, parse(w, "{\"name\":\"y\",\"bytes\":{\"base64\":\"AAEC\"},\"a\":\"x\",\"n\":1}")), 0);
    assert_int_equal(w->r.row.ncol, 2);
    assert_int_equal(w->r.row.key[0].u.i, 1);
    record_begin(&w->r, w->t, DELTA_PUT);
    assert_int_equal(record_whole(&w->r, parse(w, "{\"name\":\"y\",\"n\":1}")), SATCHEL_E_KEY_MISSING);
}

/* Key first and values after it: neither moves the other's bytes. */
static void blobs_stay_where_they_are(void **state) {
    world *w = *state;
    char text[4096], blob[3000];
    memset(blob, 'A', sizeof blob - 1);
    blob[sizeof blob - 5] = 0;
    snprintf(text, sizeof text, "{\"bytes\":{\"base64\":\"%.*s\"},\"extra\":{\"base64\":\"%.800s\"}}", 2000, blob, blob);
    assert_int_equal(values(w, DELTA_UPDATE, text), 0);
    assert_int_equal(value_of(w, "bytes")->n, 1500);
    assert_int_equal(value_of(w, "extra")->n, 600);
    for (unsigned i = 0; i < 600; i++) assert_int_equal(value_of(w, "extra")->u.p[i], 0);
}

static void values_are_written_so_that_they_read_back(void **state) {
    (void)state;
    value v = value_integer(INT64_MIN);
    expect_json(&v, "-9223372036854775808");
    v = value_real(0.1);
    expect_json(&v, "0.1");
    v = value_real(3);
    expect_json(&v, "3.0");
    v = value_real(1e300);
    expect_json(&v, "1e+300");
    v = value_real(1.0 / 3);
    expect_json(&v, "0.3333333333333333");
    v = value_real(-INFINITY);
    expect_json(&v, "{\"real\":\"-Infinity\"}");
    v = value_null();
    expect_json(&v, "null");
    v = value_blob("\0\xff", 2);
    expect_json(&v, "{\"base64\":\"AP8=\"}");
    v = value_blob("", 0);
    expect_json(&v, "{\"base64\":\"\"}");
    v = value_text("", 0);
    expect_json(&v, "\"\"");
    v = value_text("a\"\\\n\0\x7f\xc3\xa9\xf0\x9f\x98\x80", 12);
    expect_json(&v, "\"a\\\"\\\\\\n\\u0000\\u007f\xc3\xa9\xf0\x9f\x98\x80\"");
    v = value_text("\xff"
                   "a\xc3",
                   3);
    expect_json(&v, "\"\xef\xbf\xbd"
                    "a\xef\xbf\xbd\"");
}

static void infinity_is_taken_as_it_is_given(void **state) {
    world *w = *state;
    assert_int_equal(values(w, DELTA_UPDATE, "{\"amount\":{\"real\":\"-Infinity\"},\"extra\":{\"real\":\"Infinity\"}}"), 0);
    assert_true(isinf(value_of(w, "amount")->u.r) && value_of(w, "amount")->u.r < 0);
    expect_refused(w, "{\"amount\":{\"real\":\"NaN\"}}", SATCHEL_E_TYPE, "amount", "a number");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(values_of_every_type_are_taken_and_ids_ascend, make_world, drop_world),
        cmocka_unit_test_setup_teardown(sums_and_moves_are_for_updates_of_their_columns, make_world, drop_world),
        cmocka_unit_test_setup_teardown(what_a_column_does_not_take_is_told_with_its_name, make_world, drop_world),
        cmocka_unit_test_setup_teardown(value_over_the_limit_is_refused, make_world, drop_world),
        cmocka_unit_test_setup_teardown(key_needs_every_column_in_any_order, make_world, drop_world),
        cmocka_unit_test_setup_teardown(whole_row_takes_key_and_values_in_one, make_world, drop_world),
        cmocka_unit_test_setup_teardown(blobs_stay_where_they_are, make_world, drop_world),
        cmocka_unit_test(values_are_written_so_that_they_read_back),
        cmocka_unit_test_setup_teardown(infinity_is_taken_as_it_is_given, make_world, drop_world),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
