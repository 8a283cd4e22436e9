/* rows_in.h, rows_out.h: what is read is what is there, and what is written is read again. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"
#include "tools/rows_in.h"
#include "tools/rows_out.h"

static FILE *memory_file(const void *p, size_t n) {
    FILE *f = tmpfile();
    assert_non_null(f);
    assert_int_equal(fwrite(p, 1, n, f), n);
    rewind(f);
    return f;
}

/* All rows as text: "line|field|field;", '~' for an absent field, "line!" for a fault. */
static void read_all(const void *p, size_t n, rows_format format, char separator, buf *out) {
    FILE *f = memory_file(p, n);
    rows_in *r = rows_open(f, format, separator);
    rows_row row;
    int more;
    assert_non_null(r);
    while ((more = rows_next(r, &row)) == 1) {
        buf_printf(out, "%llu", (unsigned long long)row.line);
        if (row.fault) buf_put_byte(out, '!');
        for (size_t i = 0; !row.fault && i < row.n; i++) {
            buf_put_byte(out, '|');
            if (row.field[i].absent) buf_put_byte(out, '~');
            buf_put(out, row.field[i].p, row.field[i].n);
        }
        if (format == ROWS_JSONL) buf_put(out, row.text, row.ntext);
        buf_put_byte(out, ';');
    }
    if (more < 0) buf_printf(out, "error: %s", rows_error(r));
    buf_put_byte(out, 0);
    rows_close(r);
    fclose(f);
}

static void expect(const char *text, rows_format format, const char *wanted) {
    buf out = {0};
    read_all(text, strlen(text), format, ',', &out);
    assert_string_equal((const char *)out.p, wanted);
    buf_fini(&out);
}

static void csv_of_rfc_4180_gives_its_fields_and_lines(void **state) {
    (void)state;
    expect("", ROWS_CSV, "");
    expect("a,b\n1,2\n", ROWS_CSV, "1|a|b;2|1|2;");
    expect("a,b\r\n1,2", ROWS_CSV, "1|a|b;2|1|2;");
    expect("a\r1\r\r2\r", ROWS_CSV, "1|a;2|1;4|2;");
    expect("\xef\xbb\xbf"
           "a\n\"x\"\n",
           ROWS_CSV, "1|a;2|x;");
    expect("a,,\"\"\n", ROWS_CSV, "1|a|~|;");
    expect("\"a,b\",\"c\"\"d\"\n", ROWS_CSV, "1|a,b|c\"d;");
    expect("\"1\n2\r\n3\",x\ny\n", ROWS_CSV, "1|1\n2\r\n3|x;4|y;");
    expect("\n\r\n\na\n\n\nb\n", ROWS_CSV, "4|a;7|b;");
    expect("  a , b\n", ROWS_CSV, "1|  a | b;");
    expect(",\n", ROWS_CSV, "1|~|~;");
}

static void csv_that_is_broken_gives_a_fault_and_goes_on(void **state) {
    (void)state;
    expect("a\nb\"c\nd\n", ROWS_CSV, "1|a;2!;3|d;");
    expect("\"a\"b\nc\n", ROWS_CSV, "1!;2|c;");
    expect("a\n\"b\nc\n", ROWS_CSV, "1|a;2!;");
    expect("\xff\xfe"
           "a\0",
           ROWS_CSV, "error: this is UTF-16; save it as UTF-8");
}

static void jsonl_gives_a_line_each(void **state) {
    (void)state;
    expect("{}\n\n  \r\n{\"a\":1}\r\nx", ROWS_JSONL, "1{};4{\"a\":1};5x;");
}

static void a_row_over_the_limit_is_a_fault_and_the_next_is_read(void **state) {
    (void)state;
    size_t n = ROWS_TEXT_BYTES + 100;
    char *text = malloc(n + 3), wanted[] = "1!;2|b;";
    assert_non_null(text);
    memset(text, 'a', n);
    memcpy(text + n, "\nb\n", 3);
    buf out = {0};
    read_all(text, n + 3, ROWS_CSV, ',', &out);
    assert_string_equal((const char *)out.p, wanted);
    buf_fini(&out);
    free(text);
}

static void any_bytes_end_and_their_lines_ascend(void **state) {
    (void)state;
    static const char ALPHABET[] = "\",\n\r\"a,b\n\0\xff \xef\xbb\xbf{}";
    char text[200];
    srand(7);
    for (int round = 0; round < 3000; round++) {
        size_t n = (size_t)rand() % sizeof text;
        for (size_t i = 0; i < n; i++) text[i] = ALPHABET[(size_t)rand() % (sizeof ALPHABET - 1)];
        FILE *f = memory_file(text, n);
        rows_in *r = rows_open(f, round % 2 ? ROWS_CSV : ROWS_JSONL, ',');
        rows_row row;
        uint64_t line = 0;
        unsigned rows = 0;
        while (rows_next(r, &row) == 1 && rows++ < 1000) {
            assert_true(row.line > line);
            line = row.line;
        }
        assert_true(rows < 1000);
        rows_close(r);
        fclose(f);
    }
}

static const rows_column COLUMNS[] = {{"id", false}, {"na\"me", false}, {"loose", true}};

static FILE *write_row(rows_format format, const value v[3], int wanted_rc) {
    rows_out o = {.to = tmpfile(), .format = format, .separator = ',', .column = COLUMNS, .n = 3};
    assert_non_null(o.to);
    rows_out_names(&o);
    assert_int_equal(rows_out_row(&o, v), wanted_rc);
    buf_fini(&o.line);
    rewind(o.to);
    return o.to;
}

static void expect_written(rows_format format, const value v[3], const char *wanted) {
    char text[400];
    FILE *f = write_row(format, v, SATCHEL_OK);
    size_t n = fread(text, 1, sizeof text - 1, f);
    text[n] = 0;
    fclose(f);
    assert_string_equal(text, wanted);
}

static void values_are_written_as_the_header_says(void **state) {
    (void)state;
    value v[3] = {value_integer(INT64_MIN), value_text("a\"b\n", 4), value_text("12", 2)};
    expect_written(ROWS_CSV, v, "id,\"na\"\"me\",loose\r\n-9223372036854775808,\"a\"\"b\n\",'12'\r\n");
    expect_written(ROWS_JSONL, v, "{\"id\":-9223372036854775808,\"na\\\"me\":\"a\\\"b\\u000a\",\"loose\":\"12\"}\n");
    v[0] = value_real(0.1);
    v[1] = value_null();
    v[2] = value_blob("\1\2", 2);
    expect_written(ROWS_CSV, v, "id,\"na\"\"me\",loose\r\n0.1,,x'0102'\r\n");
    expect_written(ROWS_JSONL, v, "{\"id\":0.1,\"na\\\"me\":null,\"loose\":{\"base64\":\"AQI=\"}}\n");
    v[0] = value_blob("\xff\xfe\xfd", 3);
    v[1] = value_text("", 0);
    v[2] = value_real(2);
    expect_written(ROWS_CSV, v, "id,\"na\"\"me\",loose\r\n//79,\"\",2.0\r\n");
    v[0] = value_blob("", 0);
    expect_written(ROWS_CSV, v, "id,\"na\"\"me\",loose\r\nx'',\"\",2.0\r\n");
    v[0] = value_real(-INFINITY);
    expect_written(ROWS_CSV, v, "id,\"na\"\"me\",loose\r\n-1e999,\"\",2.0\r\n");
    expect_written(ROWS_JSONL, v, "{\"id\":{\"real\":\"-Infinity\"},\"na\\\"me\":\"\",\"loose\":2.0}\n");
}

static void a_text_that_is_no_utf8_is_refused(void **state) {
    (void)state;
    value v[3] = {value_integer(1), value_text("\xff", 1), value_null()};
    fclose(write_row(ROWS_CSV, v, SATCHEL_E_UTF8));
    fclose(write_row(ROWS_JSONL, v, SATCHEL_E_UTF8));
}

static void texts_written_as_csv_are_read_again(void **state) {
    (void)state;
    static const char ALPHABET[] = "ab\",\n\r ;'";
    srand(11);
    for (int round = 0; round < 500; round++) {
        char text[2][20];
        size_t n[2];
        for (int k = 0; k < 2; k++) {
            n[k] = (size_t)rand() % sizeof text[k];
            for (size_t i = 0; i < n[k]; i++) text[k][i] = ALPHABET[(size_t)rand() % (sizeof ALPHABET - 1)];
        }
        value v[3] = {value_text(text[0], n[0]), value_text(text[1], n[1]), value_null()};
        FILE *f = write_row(ROWS_CSV, v, SATCHEL_OK);
        rows_in *r = rows_open(f, ROWS_CSV, ',');
        rows_row row;
        assert_int_equal(rows_next(r, &row), 1);
        assert_int_equal(rows_next(r, &row), 1);
        assert_int_equal(row.n, 3);
        for (int k = 0; k < 2; k++) {
            assert_int_equal(row.field[k].n, n[k]);
            assert_memory_equal(row.field[k].p, text[k], n[k]);
            assert_false(row.field[k].absent);
        }
        assert_true(row.field[2].absent);
        assert_int_equal(rows_next(r, &row), 0);
        rows_close(r);
        fclose(f);
    }
}

static void formats_are_known_by_name(void **state) {
    (void)state;
    rows_format f;
    assert_true(rows_format_of(NULL, "a.csv", &f) && f == ROWS_CSV);
    assert_true(rows_format_of(NULL, "a.jsonl", &f) && f == ROWS_JSONL);
    assert_true(rows_format_of(NULL, NULL, &f) && f == ROWS_CSV);
    assert_true(rows_format_of("jsonl", "a.csv", &f) && f == ROWS_JSONL);
    assert_false(rows_format_of("xml", "a.csv", &f));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(csv_of_rfc_4180_gives_its_fields_and_lines),
        cmocka_unit_test(csv_that_is_broken_gives_a_fault_and_goes_on),
        cmocka_unit_test(jsonl_gives_a_line_each),
        cmocka_unit_test(a_row_over_the_limit_is_a_fault_and_the_next_is_read),
        cmocka_unit_test(any_bytes_end_and_their_lines_ascend),
        cmocka_unit_test(values_are_written_as_the_header_says),
        cmocka_unit_test(a_text_that_is_no_utf8_is_refused),
        cmocka_unit_test(texts_written_as_csv_are_read_again),
        cmocka_unit_test(formats_are_known_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
