#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"
#include "protocol/value.h"

static value text(const char *s) {
    return value_text(s, strlen(s));
}

static int sign(int c) {
    return (c > 0) - (c < 0);
}

/* A sample with every type, every length of length prefix that matters, and the extremes. */
static uint8_t long_blob[70000];
static size_t samples(value *out) {
    memset(long_blob, 0x5a, sizeof long_blob);
    const value all[] = {
        value_null(),
        value_integer(0),
        value_integer(1),
        value_integer(-1),
        value_integer(INT64_MIN),
        value_integer(INT64_MAX),
        value_real(0.5),
        value_real(-1e300),
        value_real(DBL_MIN),
        value_real(DBL_TRUE_MIN),
        value_real(HUGE_VAL),
        value_real(-HUGE_VAL),
        text(""),
        text("a"),
        text("na\xc3\xafve \xf0\x9f\x8e\x92"),
        value_blob("", 0),
        value_blob("\0\0", 2),
        value_blob(long_blob, 127),
        value_blob(long_blob, 128),
        value_blob(long_blob, 16383),
        value_blob(long_blob, 16384),
        value_blob(long_blob, sizeof long_blob),
    };
    memcpy(out, all, sizeof all);
    return sizeof all / sizeof *all;
}

#define SAMPLES_MAX 32

static void value_equal_compares_type_and_content(void **state) {
    (void)state;
    value v[SAMPLES_MAX];
    size_t n = samples(v);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) assert_int_equal(value_equal(&v[i], &v[j]), i == j);
}

static void value_equal_tells_integer_from_real_and_text_from_blob(void **state) {
    (void)state;
    value i = value_integer(1), r = value_real(1.0), t = text("1"), b = value_blob("1", 1);
    assert_false(value_equal(&i, &r));
    assert_false(value_equal(&t, &b));
    value plus = value_real(0.0), minus = value_real(-0.0);
    assert_false(value_equal(&plus, &minus));
    value absent = {0}, absent_too = {0}, null = value_null();
    assert_true(value_equal(&absent, &absent_too));
    assert_false(value_equal(&absent, &null));
}

static void value_compare_integer_real_edges(void **state) {
    (void)state;
    static const struct {
        int64_t i;
        double r;
        int expected;
    } edges[] = {
        {0, 0.0, 0},
        {0, -0.0, 0},
        {1, 1.0, 0},
        {-1, -1.0, 0},
        {1, 0.5, 1},
        {0, 0.5, -1},
        {0, -0.5, 1},
        {-1, -0.5, -1},
        {-1, -1.5, 1},
        {-2, -1.5, -1},
        {0, 5e-324, -1},
        {0, -5e-324, 1},
        {9007199254740993, 9007199254740992.0, 1}, /* 2^53 + 1 would round to 2^53 as a real */
        {9007199254740992, 9007199254740992.0, 0},
        {9007199254740991, 9007199254740992.0, -1},
        {INT64_MAX, 9223372036854775808.0, -1}, /* 2^63, which INT64_MAX would round to */
        {INT64_MAX, 9223372036854774784.0, 1},
        {INT64_MIN, -9223372036854775808.0, 0},
        {INT64_MIN, -9223372036854777856.0, 1},
        {INT64_MIN + 1, -9223372036854775808.0, 1},
        {INT64_MAX, HUGE_VAL, -1},
        {INT64_MIN, -HUGE_VAL, 1},
    };
    for (size_t k = 0; k < sizeof edges / sizeof *edges; k++) {
        value i = value_integer(edges[k].i), r = value_real(edges[k].r);
        assert_int_equal(sign(value_compare(&i, &r)), edges[k].expected);
        assert_int_equal(sign(value_compare(&r, &i)), -edges[k].expected);
    }
}

static void value_compare_nan_counts_as_null(void **state) {
    (void)state;
    value not_a_number = value_real((double)NAN), null = value_null(), low = value_integer(INT64_MIN),
          inf = value_real(-HUGE_VAL);
    assert_int_equal(value_compare(&not_a_number, &null), 0);
    assert_true(value_compare(&not_a_number, &low) < 0);
    assert_true(value_compare(&low, &not_a_number) > 0);
    assert_true(value_compare(&not_a_number, &inf) < 0);
}

/* SQLite itself is asked: sorts two values as ORDER BY does. */
static int sqlite_order(sqlite3 *db, const value *a, const value *b) {
    sqlite3_stmt *s;
    assert_int_equal(
        sqlite3_prepare_v2(db, "SELECT k FROM (SELECT ?1 AS v, 1 AS k UNION ALL SELECT ?2, 2) ORDER BY v, k", -1, &s, NULL), 0);
    assert_int_equal(value_bind(s, 1, a), SQLITE_OK);
    assert_int_equal(value_bind_copy(s, 2, b), SQLITE_OK);
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    int first = sqlite3_column_int(s, 0);
    sqlite3_finalize(s);
    return first == 1 ? -1 : 1;
}

static void value_compare_agrees_with_order_by(void **state) {
    (void)state;
    value v[SAMPLES_MAX];
    size_t n = samples(v);
    sqlite3 *db;
    assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(value_compare(&v[i], &v[i]), 0);
        for (size_t j = 0; j < n; j++)
            if (i != j) assert_int_equal(sign(value_compare(&v[i], &v[j])), sqlite_order(db, &v[i], &v[j]));
    }
    sqlite3_close(db);
}

static void value_compare_prefix_is_smaller(void **state) {
    (void)state;
    value a = text("ab"), b = text("abc"), c = text("\xff"), d = text("a");
    assert_true(value_compare(&a, &b) < 0);
    assert_true(value_compare(&b, &a) > 0);
    assert_true(value_compare(&c, &d) > 0); /* bytes are unsigned */
}

static void value_bind_and_column_round_trip(void **state) {
    (void)state;
    value v[SAMPLES_MAX];
    size_t n = samples(v);
    sqlite3 *db;
    sqlite3_stmt *s;
    assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT ?1, ?2", -1, &s, NULL), SQLITE_OK);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(value_bind(s, 1, &v[i]), SQLITE_OK);
        assert_int_equal(value_bind_copy(s, 2, &v[i]), SQLITE_OK);
        assert_int_equal(sqlite3_step(s), SQLITE_ROW);
        value first = value_of_column(s, 0), second = value_of_sqlite(sqlite3_column_value(s, 1));
        assert_true(value_equal(&v[i], &first));
        assert_true(value_equal(&v[i], &second));
        sqlite3_reset(s);
    }
    sqlite3_finalize(s);
    sqlite3_close(db);
}

static void value_bind_of_absent_is_null_and_of_too_large_is_toobig(void **state) {
    (void)state;
    sqlite3 *db;
    sqlite3_stmt *s;
    assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT ?1", -1, &s, NULL), SQLITE_OK);
    value absent = {0}, huge = {.type = VALUE_TEXT, .n = UINT32_MAX, .u.p = long_blob};
    assert_int_equal(value_bind(s, 1, &absent), SQLITE_OK);
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    assert_int_equal(value_of_column(s, 0).type, VALUE_NULL);
    sqlite3_reset(s);
    assert_int_equal(value_bind(s, 1, &huge), SQLITE_TOOBIG);
    huge.type = VALUE_BLOB;
    assert_int_equal(value_bind(s, 1, &huge), SQLITE_TOOBIG);
    sqlite3_finalize(s);
    sqlite3_close(db);
}

static void value_put_and_get_round_trip(void **state) {
    (void)state;
    value v[SAMPLES_MAX] = {{0}};
    size_t n = samples(v) + 1; /* and one absent */
    buf b;
    buf_init(&b, 0);
    for (size_t i = 0; i < n; i++) value_put(&b, &v[i]);
    assert_int_equal(b.rc, SATCHEL_OK);
    const uint8_t *p = b.p, *end = b.p + b.n;
    for (size_t i = 0; i < n; i++) {
        value got;
        assert_int_equal(value_get(&p, end, &got), SATCHEL_OK);
        assert_true(value_equal(&v[i], &got));
    }
    assert_ptr_equal(p, end);
    buf_fini(&b);
}

static void value_get_truncated_is_corrupt_at_every_cut(void **state) {
    (void)state;
    const value v[] = {value_integer(7), value_real(7.5), text("seven"), value_blob(long_blob, 200)};
    for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
        buf b;
        buf_init(&b, 0);
        value_put(&b, &v[i]);
        for (size_t n = 0; n < b.n; n++) {
            /* An allocation of exactly n bytes, so that the sanitizer sees a read beyond. */
            uint8_t *cut = malloc(n ? n : 1);
            memcpy(cut, b.p, n);
            const uint8_t *p = cut;
            value got;
            assert_int_equal(value_get(&p, cut + n, &got), SATCHEL_E_CORRUPT);
            free(cut);
        }
        buf_fini(&b);
    }
}

static void value_get_of_bad_bytes_is_corrupt(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
    } bad[] = {
        {"\x06", 1}, /* no such type */
        {"\xff", 1},
        {"\x03\x80\x80\x80\x80\x80\x01", 7}, /* length over five bytes */
        {"\x03\x9f\xff\xff\xff\x7f", 6},     /* length over 32 bits */
        {"\x03\x90\x80\x80\x80\x01"
         "a",
         7}, /* 2^32 + 1, which is 1 in 32 bits */
        {"\x03\x8f\xff\xff\xff\x7f"
         "a",
         7}, /* 4 GiB promised, one byte there */
        {"\x04\x02"
         "a",
         3},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const uint8_t *p = (const uint8_t *)bad[i].bytes;
        value got;
        assert_int_equal(value_get(&p, p + bad[i].n, &got), SATCHEL_E_CORRUPT);
    }
}

static void exec(sqlite3 *db, const char *sql) {
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
}

static void insert(sqlite3 *db, int key, const value *v) {
    sqlite3_stmt *s;
    assert_int_equal(sqlite3_prepare_v2(db, "INSERT INTO t VALUES(?1, ?2)", -1, &s, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_bind_int(s, 1, key), SQLITE_OK);
    assert_int_equal(value_bind(s, 2, v), SQLITE_OK);
    assert_int_equal(sqlite3_step(s), SQLITE_DONE);
    sqlite3_finalize(s);
}

/* A changeset of one insert into t(k PRIMARY KEY, v): 'T', 2 columns, key flags, name, operation, indirect, then two values. */
static const uint8_t insert_header[] = {'T', 2, 1, 0, 't', 0, SQLITE_INSERT, 0};

static void value_put_writes_what_the_session_extension_writes(void **state) {
    (void)state;
    value v[SAMPLES_MAX];
    size_t n = samples(v);
    sqlite3 *db;
    assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
    exec(db, "CREATE TABLE t(k INTEGER PRIMARY KEY, v)");
    for (size_t i = 0; i < n; i++) {
        sqlite3_session *session;
        void *changeset;
        int size;
        assert_int_equal(sqlite3session_create(db, "main", &session), SQLITE_OK);
        assert_int_equal(sqlite3session_attach(session, "t"), SQLITE_OK);
        insert(db, (int)i, &v[i]);
        assert_int_equal(sqlite3session_changeset(session, &size, &changeset), SQLITE_OK);
        buf b;
        buf_init(&b, 0);
        buf_put(&b, insert_header, sizeof insert_header);
        value key = value_integer((int64_t)i);
        value_put(&b, &key);
        value_put(&b, &v[i]);
        assert_int_equal(b.n, size);
        assert_memory_equal(b.p, changeset, b.n);
        buf_fini(&b);
        sqlite3_free(changeset);
        sqlite3session_delete(session);
    }
    sqlite3_close(db);
}

static void value_put_is_read_by_the_session_extension(void **state) {
    (void)state;
    value v[SAMPLES_MAX];
    size_t n = samples(v);
    buf b;
    buf_init(&b, 0);
    buf_put(&b, insert_header, 6);
    for (size_t i = 0; i < n; i++) {
        buf_put(&b, insert_header + 6, 2);
        value key = value_integer((int64_t)i);
        value_put(&b, &key);
        value_put(&b, &v[i]);
    }
    sqlite3_changeset_iter *it;
    assert_int_equal(sqlite3changeset_start(&it, (int)b.n, b.p), SQLITE_OK);
    for (size_t i = 0; i < n; i++) {
        sqlite3_value *k, *got;
        assert_int_equal(sqlite3changeset_next(it), SQLITE_ROW);
        assert_int_equal(sqlite3changeset_new(it, 0, &k), SQLITE_OK);
        assert_int_equal(sqlite3changeset_new(it, 1, &got), SQLITE_OK);
        value key = value_of_sqlite(k), read = value_of_sqlite(got);
        assert_int_equal(key.u.i, i);
        assert_true(value_equal(&read, &v[i]));
    }
    assert_int_equal(sqlite3changeset_next(it), SQLITE_DONE);
    assert_int_equal(sqlite3changeset_finalize(it), SQLITE_OK);
    buf_fini(&b);
}

static void value_utf8_table(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        bool valid;
    } table[] = {
        {"", true},
        {"plain", true},
        {"eight by", true},
        {"eight bytes and more", true},
        {"\x7f", true},
        {"\xc2\x80", true},         /* U+0080, the first of two bytes */
        {"\xdf\xbf", true},         /* U+07FF */
        {"\xe0\xa0\x80", true},     /* U+0800 */
        {"\xed\x9f\xbf", true},     /* U+D7FF, the last before the surrogates */
        {"\xee\x80\x80", true},     /* U+E000, the first after them */
        {"\xef\xbf\xbf", true},     /* U+FFFF */
        {"\xf0\x90\x80\x80", true}, /* U+10000 */
        {"\xf4\x8f\xbf\xbf", true}, /* U+10FFFF, the last */
        {"eight by\xc3\xa4", true},
        {"seven b\xc3\xa4 and so on", true},
        {"\x80", false}, /* a follower without lead */
        {"\xbf", false},
        {"\xc0\x80", false},         /* overlong U+0000 */
        {"\xc1\xbf", false},         /* overlong U+007F */
        {"\xe0\x9f\xbf", false},     /* overlong U+07FF */
        {"\xf0\x8f\xbf\xbf", false}, /* overlong U+FFFF */
        {"\xed\xa0\x80", false},     /* U+D800 */
        {"\xed\xbf\xbf", false},     /* U+DFFF */
        {"\xf4\x90\x80\x80", false}, /* U+110000 */
        {"\xf5\x80\x80\x80", false},
        {"\xfe", false},
        {"\xff", false},
        {"\xc3", false}, /* cut short */
        {"\xe2\x82", false},
        {"\xf0\x9f\x8e", false},
        {"\xc3(", false}, /* no follower where one must be */
        {"\xe2(\xac", false},
        {"\xe2\x82(", false},
        {"\xf0\x9f(\x92", false},
        {"\xf0\x9f\x8e(", false},
        {"eight by\xff", false},
        {"seven b\xff and so on", false},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        size_t n = strlen(table[i].bytes);
        uint8_t *exact = malloc(n ? n : 1);
        memcpy(exact, table[i].bytes, n);
        assert_int_equal(value_utf8_valid(exact, n), table[i].valid);
        free(exact);
    }
    assert_true(value_utf8_valid(NULL, 0));
    assert_true(value_utf8_valid((const uint8_t *)"a\0b", 3));
}

/* Decodes by the definition: every code point from its bits, refused if not the shortest form. */
static bool utf8_by_definition(const uint8_t *p, size_t n) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    for (size_t i = 0; i < n;) {
        uint8_t lead = p[i];
        size_t length = lead < 0x80 ? 1 : lead >> 5 == 6 ? 2 : lead >> 4 == 14 ? 3 : lead >> 3 == 30 ? 4 : 0;
        if (!length || n - i < length) return false;
        uint32_t point = length == 1 ? lead : lead & (0x7fu >> length);
        for (size_t k = 1; k < length; k++) {
            if (p[i + k] >> 6 != 2) return false;
            point = point << 6 | (p[i + k] & 0x3fu);
        }
        if (point < least[length] || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) return false;
        i += length;
    }
    return true;
}

static void value_utf8_agrees_with_the_definition_on_all_short_strings(void **state) {
    (void)state;
    for (unsigned v = 0; v < 1u << 16; v++) {
        uint8_t two[2] = {(uint8_t)(v >> 8), (uint8_t)v};
        assert_int_equal(value_utf8_valid(two, 2), utf8_by_definition(two, 2));
        uint8_t four[4] = {0xf4, two[0], two[1], 0x80}, three[3] = {(uint8_t)(0xe0 | (v & 15)), two[0], 0x80};
        assert_int_equal(value_utf8_valid(four, 4), utf8_by_definition(four, 4));
        assert_int_equal(value_utf8_valid(three, 3), utf8_by_definition(three, 3));
    }
}

static void value_size_of_each_length_is_that_of_its_varint(void **state) {
    (void)state;
    static const struct {
        uint32_t n;
        size_t head;
    } cases[] = {{0, 2},        {127, 2},       {128, 3}, {(1u << 14) - 1, 3}, {1u << 14, 4}, {1u << 21, 5}, {(1u << 28) - 1, 5},
                 {1u << 28, 6}, {UINT32_MAX, 6}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        value v = value_blob(NULL, cases[i].n);
        assert_int_equal(value_size(&v), cases[i].head + cases[i].n);
    }
}

static void value_put_into_a_full_buffer_is_limit(void **state) {
    (void)state;
    value v = value_integer(1);
    buf b;
    buf_init(&b, 8);
    value_put(&b, &v);
    assert_int_equal(b.rc, SATCHEL_E_LIMIT);
    assert_int_equal(b.n, 0);
    buf_fini(&b);
}

static void value_put_real_is_the_shortest_that_reads_back(void **state) {
    (void)state;
    static const struct {
        double r;
        const char *text;
    } cases[] = {{1, "1.0"},
                 {-0.0, "-0.0"},
                 {0.1, "0.1"},
                 {1e300, "1e+300"},
                 {0.1 + 0.2, "0.30000000000000004"},
                 {1.0 / 3, "0.3333333333333333"},
                 {INFINITY, "inf"},
                 {-INFINITY, "-inf"},
                 {NAN, "nan"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        buf b;
        buf_init(&b, 0);
        value_put_real(&b, cases[i].r);
        assert_string_equal((const char *)b.p, cases[i].text);
        buf_fini(&b);
    }
}

static void value_put_literals_are_sql_and_end_at_what_is_no_value(void **state) {
    (void)state;
    const value values[] = {value_integer(-7), value_real(1), value_text("it's", 4), value_blob("\x0f\xf0", 2), value_null()};
    buf bytes, text;
    buf_init(&bytes, 0);
    buf_init(&text, 0);
    for (size_t i = 0; i < 5; i++) value_put(&bytes, &values[i]);
    buf_put_byte(&bytes, VALUE_TEXT); /* and nothing more */
    for (size_t more = 0; more < 2; more++) {
        value_put_literals(&text, bytes.p, bytes.n - more);
        assert_string_equal((const char *)text.p, "-7,1.0,'it''s',x'0ff0',NULL");
        buf_clear(&text);
    }
    value_put_literals(&text, NULL, 0);
    assert_int_equal(text.n, 0);
    buf_fini(&bytes);
    buf_fini(&text);
}

static void value_hash_depends_on_bytes_and_seed(void **state) {
    (void)state;
    assert_true(value_hash("abc", 3, 1) == value_hash("abc", 3, 1));
    assert_true(value_hash("abc", 3, 1) != value_hash("abc", 3, 2));
    assert_true(value_hash("abc", 3, 1) != value_hash("abd", 3, 1));
    assert_true(value_hash(NULL, 0, 1) == value_hash("", 0, 1));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(value_equal_compares_type_and_content),
        cmocka_unit_test(value_equal_tells_integer_from_real_and_text_from_blob),
        cmocka_unit_test(value_compare_integer_real_edges),
        cmocka_unit_test(value_compare_nan_counts_as_null),
        cmocka_unit_test(value_compare_agrees_with_order_by),
        cmocka_unit_test(value_compare_prefix_is_smaller),
        cmocka_unit_test(value_bind_and_column_round_trip),
        cmocka_unit_test(value_bind_of_absent_is_null_and_of_too_large_is_toobig),
        cmocka_unit_test(value_put_and_get_round_trip),
        cmocka_unit_test(value_get_truncated_is_corrupt_at_every_cut),
        cmocka_unit_test(value_get_of_bad_bytes_is_corrupt),
        cmocka_unit_test(value_put_writes_what_the_session_extension_writes),
        cmocka_unit_test(value_put_is_read_by_the_session_extension),
        cmocka_unit_test(value_utf8_table),
        cmocka_unit_test(value_utf8_agrees_with_the_definition_on_all_short_strings),
        cmocka_unit_test(value_hash_depends_on_bytes_and_seed),
        cmocka_unit_test(value_size_of_each_length_is_that_of_its_varint),
        cmocka_unit_test(value_put_into_a_full_buffer_is_limit),
        cmocka_unit_test(value_put_real_is_the_shortest_that_reads_back),
        cmocka_unit_test(value_put_literals_are_sql_and_end_at_what_is_no_value),
    };
    return cmocka_run_group_tests_name("value", tests, NULL, NULL);
}
