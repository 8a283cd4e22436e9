/* Lists that an admin looks through: pages, order, filters, search, CSV; and that nothing of a request becomes SQL. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "protocol/satchel_rc.h"
#include "server/console_list.h"

static const console_column COLUMN[] = {
    {"id", "t.id", CONSOLE_INTEGER, 0},
    {"name", "t.name", CONSOLE_TEXT, CONSOLE_SEARCHED},
    {"n", "t.n", CONSOLE_INTEGER, 0},
    {"on", "t.is_on", CONSOLE_BOOL, 0},
    {"twice", "2*t.n+?1", CONSOLE_INTEGER, 0},
    {"any", "t.any", CONSOLE_VALUE, CONSOLE_NESTED | CONSOLE_SEARCHED},
    {"name", "upper(t.name)", CONSOLE_VALUE, CONSOLE_NESTED},
};
#define COLUMNS (sizeof COLUMN / sizeof *COLUMN)
static const console_source LIST = {"t", COLUMN, COLUMNS, {"t.id"}, ""};
static const console_source PAIRS = {
    "p", (const console_column[]){{"a", "p.a", CONSOLE_TEXT, 0}, {"b", "p.b", CONSOLE_INTEGER, 0}}, 2, {"p.a", "p.b"}, "b"};
static const console_source KEYLESS = {
    "(SELECT id,name FROM t ORDER BY id)",
    (const console_column[]){{"id", "id", CONSOLE_VALUE, 0}, {"name", "name", CONSOLE_VALUE, CONSOLE_SEARCHED}},
    2,
    {NULL},
    ""};

static void run(sqlite3 *db, const char *sql) {
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
}

static int set_up(void **state) {
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
    run(db,
        "CREATE TABLE t(id INTEGER PRIMARY KEY,name TEXT,n INT,is_on INT NOT NULL DEFAULT 0,any);"
        "CREATE TABLE p(a TEXT,b INT,PRIMARY KEY(a,b)) WITHOUT ROWID;"
        "INSERT INTO t(id,name,n,is_on,any) VALUES(1,'Ann',30,1,'x'),(2,'bob',10,0,5),(3,'Cleo',NULL,1,x'0a0b'),(4,'ann',10,0,NULL),"
        "(5,'50% off_',20,1,2.5),(6,NULL,NULL,0,'5'),(7,'=cmd|''x''!A1',10,1,'a,\"b\"')");
    *state = db;
    return 0;
}

static int tear_down(void **state) {
    assert_int_equal(sqlite3_close(*state), SQLITE_OK);
    return 0;
}

static int ask(sqlite3 *db, const console_source *s, console_ask a, json_t **out, buf *words) {
    buf text = {0};
    if (!a.limit) a.limit = 100;
    a.param[0] = value_integer(1000);
    a.nparam = 1;
    int rc = console_list(db, s, &a, &text, words);
    *out = NULL;
    if (!rc) {
        buf_put_byte(&text, '}');
        *out = json_loadb((const char *)text.p, text.n, 0, NULL);
        assert_non_null(*out);
    }
    buf_fini(&text);
    return rc;
}

/* The ids of a page, as "1,2,3"; and where it goes on, which the caller frees, or NULL. */
static char *page(sqlite3 *db, const console_source *s, console_ask a, char ids[256]) {
    json_t *o, *item;
    size_t i, n = 0;
    buf words = {0};
    assert_int_equal(ask(db, s, a, &o, &words), SATCHEL_OK);
    ids[0] = 0;
    json_array_foreach(json_object_get(o, "items"), i, item) {
        json_t *id = json_object_get(item, "id");
        if (!id) id = json_object_get(item, "b");
        n += (size_t)snprintf(ids + n, 256 - n, "%s%lld", i ? "," : "", (long long)json_integer_value(id));
    }
    const char *next = json_string_value(json_object_get(o, "next"));
    char *copy = next ? strdup(next) : NULL;
    json_decref(o);
    buf_fini(&words);
    return copy;
}

static void assert_ids(sqlite3 *db, console_ask a, const char *expected) {
    char ids[256];
    char *next = page(db, &LIST, a, ids);
    assert_string_equal(ids, expected);
    assert_null(next);
}

/* Every item once, page by page. */
static void assert_pages(sqlite3 *db, const console_source *s, console_ask a, const char *expected) {
    char ids[256], all[512] = "";
    char *next = NULL;
    do {
        a.after = next;
        char *more = page(db, s, a, ids);
        free(next);
        next = more;
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", all[0] && ids[0] ? "," : "", ids);
    } while (next);
    assert_string_equal(all, expected);
}

static void list_first_page_has_items_total_and_next(void **state) {
    json_t *o;
    buf words = {0};
    assert_int_equal(ask(*state, &LIST, (console_ask){.limit = 2}, &o, &words), SATCHEL_OK);
    assert_int_equal(json_integer_value(json_object_get(o, "total")), 7);
    assert_true(json_is_string(json_object_get(o, "next")));
    json_t *first = json_array_get(json_object_get(o, "items"), 0), *values = json_object_get(first, "values");
    assert_int_equal(json_object_size(first), 6);
    assert_string_equal(json_string_value(json_object_get(first, "name")), "Ann");
    assert_true(json_is_true(json_object_get(first, "on")));
    assert_int_equal(json_integer_value(json_object_get(first, "twice")), 1060);
    assert_string_equal(json_string_value(json_object_get(values, "name")), "ANN");
    json_decref(o);
}

static void list_any_order_every_item_once_null_last(void **state) {
    for (unsigned long long limit = 1; limit <= 8; limit++) {
        assert_pages(*state, &LIST, (console_ask){.limit = limit}, "1,2,3,4,5,6,7");
        assert_pages(*state, &LIST, (console_ask){.limit = limit, .sort = "-id"}, "7,6,5,4,3,2,1");
        assert_pages(*state, &LIST, (console_ask){.limit = limit, .sort = "n"}, "2,4,7,5,1,3,6");
        assert_pages(*state, &LIST, (console_ask){.limit = limit, .sort = "-n"}, "1,5,7,4,2,6,3");
        assert_pages(*state, &LIST, (console_ask){.limit = limit, .sort = "name"}, "5,7,1,4,2,3,6");
        assert_pages(*state, &LIST, (console_ask){.limit = limit, .sort = "-name"}, "3,2,4,1,7,5,6");
        assert_pages(*state, &LIST, (console_ask){.limit = limit, .sort = "any"}, "5,2,6,7,1,3,4");
        assert_pages(*state, &LIST, (console_ask){.limit = limit, .sort = "values.name"}, "5,7,1,4,2,3,6");
        assert_pages(*state, &KEYLESS, (console_ask){.limit = limit}, "1,2,3,4,5,6,7");
    }
}

static void list_key_of_two_columns_every_item_once(void **state) {
    run(*state, "INSERT INTO p VALUES('x',1),('x',2),('y',1),('y',2),('z',3)");
    for (unsigned long long limit = 1; limit <= 6; limit++) {
        assert_pages(*state, &PAIRS, (console_ask){.limit = limit}, "1,1,2,2,3");
        assert_pages(*state, &PAIRS, (console_ask){.limit = limit, .sort = "-b"}, "3,2,2,1,1");
    }
}

static void list_changed_between_pages_neither_repeats_nor_hides(void **state) {
    char ids[256];
    char *next = page(*state, &LIST, (console_ask){.limit = 3, .sort = "n"}, ids);
    assert_string_equal(ids, "2,4,7");
    /* What was told goes, what comes before is new, and what stood at the page's end is another's. */
    run(*state, "DELETE FROM t WHERE id IN (2,7); INSERT INTO t(id,name,n) VALUES(8,'new',5),(9,'new',15)");
    free(page(*state, &LIST, (console_ask){.limit = 10, .sort = "n", .after = next}, ids));
    assert_string_equal(ids, "9,5,1,3,6");
    free(next);
}

static void list_filters_by_type_and_together(void **state) {
    assert_ids(*state, (console_ask){.nfilter = 1, .filter = {{"n", "10"}}}, "2,4,7");
    assert_ids(*state, (console_ask){.nfilter = 1, .filter = {{"n", "15..30"}}}, "1,5");
    assert_ids(*state, (console_ask){.nfilter = 1, .filter = {{"n", "20.."}}}, "1,5");
    assert_ids(*state, (console_ask){.nfilter = 1, .filter = {{"n", "..10"}}}, "2,4,7");
    assert_ids(*state, (console_ask){.nfilter = 1, .filter = {{"n", ""}}}, "3,6");
    assert_ids(*state, (console_ask){.nfilter = 1, .filter = {{"twice", "1020"}}}, "2,4,7");
    assert_ids(*state, (console_ask){.nfilter = 1, .filter = {{"name", "Ann"}}}, "1");
    assert_ids(*state, (console_ask){.nfilter = 1, .filter = {{"on", "true"}}}, "1,3,5,7");
    assert_ids(*state, (console_ask){.nfilter = 2, .filter = {{"on", "false"}, {"n", "10"}}}, "2,4");
    assert_ids(*state, (console_ask){.nfilter = 1, .filter = {{"any", "5"}}}, "2,6");
    assert_ids(*state, (console_ask){.nfilter = 1, .filter = {{"any", "x'0a0b'"}}}, "3");
    assert_ids(*state, (console_ask){.nfilter = 2, .filter = {{"any", "x'0a0b'"}, {"values.name", "CLEO"}}}, "3");
}

static void list_search_finds_any_case_and_takes_no_pattern(void **state) {
    assert_ids(*state, (console_ask){.q = "ann"}, "1,4");
    assert_ids(*state, (console_ask){.q = "%"}, "5");
    assert_ids(*state, (console_ask){.q = "_"}, "5");
    assert_ids(*state, (console_ask){.q = "\\"}, "");
    assert_ids(*state, (console_ask){.q = "B\""}, "7");
    assert_ids(*state, (console_ask){.q = ""}, "1,2,3,4,5,6,7");
    json_t *o;
    buf words = {0};
    assert_int_equal(ask(*state, &LIST, (console_ask){.q = "ann", .limit = 1}, &o, &words), SATCHEL_OK);
    assert_int_equal(json_integer_value(json_object_get(o, "total")), 2);
    json_decref(o);
}

/* As "value:count", with commas between. */
static void assert_counts(sqlite3 *db, const console_source *s, console_ask a, const char *expected) {
    json_t *o, *item;
    size_t i;
    buf words = {0}, said = {0};
    assert_int_equal(ask(db, s, a, &o, &words), SATCHEL_OK);
    json_array_foreach(json_object_get(o, "counts"), i, item) {
        char *of = json_dumps(json_object_get(item, "value"), JSON_ENCODE_ANY);
        buf_printf(&said, "%s%s:%lld", i ? "," : "", of, (long long)json_integer_value(json_object_get(item, "count")));
        free(of);
    }
    buf_put_byte(&said, 0);
    assert_string_equal((const char *)said.p, expected);
    buf_fini(&said);
    json_decref(o);
}

static void list_counts_are_of_all_pages_and_all_other_filters(void **state) {
    assert_counts(*state, &LIST, (console_ask){.limit = 1, .counts = "n"}, "10:3,null:2,20:1,30:1");
    assert_counts(*state, &LIST, (console_ask){.limit = 1, .counts = "on"}, "true:4,false:3");
    assert_counts(*state, &LIST, (console_ask){.counts = "n", .nfilter = 2, .filter = {{"n", "30"}, {"on", "true"}}},
                  "null:1,10:1,20:1,30:1");
    assert_counts(*state, &LIST, (console_ask){.counts = "n", .q = "ann"}, "10:1,30:1");
    assert_counts(*state, &LIST, (console_ask){.counts = "n", .q = "nobody"}, "");
    assert_counts(*state, &LIST, (console_ask){.counts = "any", .nfilter = 1, .filter = {{"n", ""}}},
                  "\"5\":1,{\"base64\": \"Cgs=\"}:1");
    assert_counts(*state, &KEYLESS, (console_ask){.counts = "name", .nfilter = 1, .filter = {{"id", "2"}}}, "\"bob\":1");
    run(*state,
        "WITH RECURSIVE m(i) AS (SELECT 100 UNION ALL SELECT i+1 FROM m WHERE i<399) INSERT INTO t(id,n) SELECT i,i FROM m");
    json_t *o;
    buf words = {0};
    assert_int_equal(ask(*state, &LIST, (console_ask){.limit = 1, .counts = "n"}, &o, &words), SATCHEL_OK);
    assert_int_equal(json_array_size(json_object_get(o, "counts")), CONSOLE_COUNTS);
    json_decref(o);
}

static void list_names_and_values_that_are_sql_stay_words(void **state) {
    static const char *const NAMES[] = {"nobody", "id\" OR 1=1 --", "id; DROP TABLE t", "t.id",     "satchel_k0",
                                        "-",      "--id",           "(SELECT 1)",       "values.id"};
    json_t *o;
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        buf words = {0};
        if (strcmp(NAMES[i], "-")) {
            assert_int_equal(ask(*state, &LIST, (console_ask){.sort = NAMES[i]}, &o, &words), SATCHEL_E_MISUSE);
            assert_true(words.n > 0);
        }
        buf_clear(&words);
        assert_int_equal(ask(*state, &LIST, (console_ask){.nfilter = 1, .filter = {{NAMES[i], "1"}}}, &o, &words),
                         SATCHEL_E_MISUSE);
        assert_true(words.n > 0);
        buf_fini(&words);
    }
    assert_ids(*state, (console_ask){.nfilter = 1, .filter = {{"name", "' OR 1=1 --"}}}, "");
    assert_ids(*state, (console_ask){.nfilter = 1, .filter = {{"any", "') OR 1=1 --"}}}, "");
    assert_ids(*state, (console_ask){.q = "' OR 1=1 --"}, "");
    run(*state, "SELECT count(*) FROM t");
}

static void assert_misuse(sqlite3 *db, console_ask a) {
    json_t *o;
    buf words = {0};
    assert_int_equal(ask(db, &LIST, a, &o, &words), SATCHEL_E_MISUSE);
    assert_true(words.n > 0);
    buf_fini(&words);
}

static void list_wrong_values_and_places_are_told(void **state) {
    char ids[256];
    assert_misuse(*state, (console_ask){.nfilter = 1, .filter = {{"n", "ten"}}});
    assert_misuse(*state, (console_ask){.nfilter = 1, .filter = {{"n", "1..ten"}}});
    assert_misuse(*state, (console_ask){.nfilter = 1, .filter = {{"on", "yes"}}});
    assert_misuse(*state, (console_ask){.counts = "n) FROM t --"});
    assert_misuse(*state, (console_ask){.after = "AAAA"});
    assert_misuse(*state, (console_ask){.after = "%%"});
    assert_misuse(*state, (console_ask){.after = ""});
    char *next = page(*state, &LIST, (console_ask){.limit = 1, .sort = "n"}, ids);
    assert_misuse(*state, (console_ask){.after = next});
    assert_misuse(*state, (console_ask){.after = next, .sort = "-n"});
    assert_misuse(*state, (console_ask){.after = next, .sort = "name"});
    free(next);
}

static void list_of_json_is_paged_sorted_and_told_as_it_is(void **state) {
    static const console_column OF_JSON[] = {{"id", "value->>'id'", CONSOLE_INTEGER, 0},
                                             {"n", "value->>'n'", CONSOLE_INTEGER, 0},
                                             {"of", "value->'of'", CONSOLE_JSON, CONSOLE_SEARCHED}};
    static const console_source JSON = {"json_each(?2)", OF_JSON, 3, {"value->>'id'", "-key"}, "-"};
    static const char TEXT[] =
        "[{\"id\":4,\"n\":1,\"of\":{\"a\":\"=x\"}},{\"id\":4,\"n\":2,\"of\":[1.50]},{\"id\":2,\"n\":1,\"of\":null},{\"id\":1}]";
    char all[512] = "";
    char *next = NULL;
    buf out = {0}, words = {0};
    console_ask a = {.limit = 1, .nparam = 2, .param = {value_null(), value_text(TEXT, sizeof TEXT - 1)}};
    for (unsigned i = 0; i < 2; i++) {
        a.sort = i ? "n" : NULL;
        do {
            buf_clear(&out);
            a.after = next;
            assert_int_equal(console_list(*state, &JSON, &a, &out, &words), SATCHEL_OK);
            buf_printf(&out, "}");
            json_t *o = json_loadb((const char *)out.p, out.n, 0, NULL);
            char *item = json_dumps(json_array_get(json_object_get(o, "items"), 0), JSON_COMPACT);
            snprintf(all + strlen(all), sizeof all - strlen(all), "%s", item);
            free(item);
            free(next);
            next = json_is_string(json_object_get(o, "next")) ? strdup(json_string_value(json_object_get(o, "next"))) : NULL;
            json_decref(o);
        } while (next);
        assert_string_equal(
            all, i ? "{\"id\":2,\"n\":1,\"of\":null}{\"id\":4,\"n\":1,\"of\":{\"a\":\"=x\"}}{\"id\":4,\"n\":2,\"of\":[1.5]}"
                     "{\"id\":1,\"n\":null,\"of\":null}"
                   : "{\"id\":4,\"n\":1,\"of\":{\"a\":\"=x\"}}{\"id\":4,\"n\":2,\"of\":[1.5]}{\"id\":2,\"n\":1,\"of\":null}"
                     "{\"id\":1,\"n\":null,\"of\":null}");
        all[0] = 0;
    }
    a = (console_ask){.csv = true, .q = "=x", .nparam = 2, .param = {value_null(), a.param[1]}};
    buf_clear(&out);
    assert_int_equal(console_list(*state, &JSON, &a, &out, &words), SATCHEL_OK);
    buf_put_byte(&out, 0);
    assert_string_equal((const char *)out.p, "id,n,of\r\n4,1,\"{\"\"a\"\":\"\"=x\"\"}\"\r\n");
    buf_fini(&out);
}

static void list_csv_is_whole_quoted_and_no_formula(void **state) {
    static const char EXPECTED[] =
        "id,name,n,on,twice,any,name\r\n1,Ann,30,true,1060,x,ANN\r\n5,50% off_,20,true,1040,2.5,50% OFF_\r\n"
        "7,\"'=cmd|'x'!A1\",10,true,1020,\"a,\"\"b\"\"\",\"'=CMD|'X'!A1\"\r\n3,Cleo,,true,,x'0a0b',CLEO\r\n";
    buf out = {0}, words = {0};
    console_ask a = {.csv = true, .limit = 1, .sort = "-n", .nfilter = 1, .filter = {{"on", "true"}}, .nparam = 1};
    a.param[0] = value_integer(1000);
    assert_int_equal(console_list(*state, &LIST, &a, &out, &words), SATCHEL_OK);
    buf_put_byte(&out, 0);
    assert_string_equal((const char *)out.p, EXPECTED);
    buf_fini(&out);
}

static void list_csv_is_whole_however_long_or_is_refused(void **state) {
    static const console_column ROW[] = {{"n", "s.n", CONSOLE_INTEGER, 0}, {"text", "printf('%.*c',?1,'x')", CONSOLE_TEXT, 0}};
    static const console_source MANY = {
        "(WITH RECURSIVE c(n) AS (VALUES(1) UNION ALL SELECT n+1 FROM c WHERE n<100500) SELECT n FROM c) s", ROW, 2, {"s.n"}, ""};
    buf out = {0}, words = {0};
    size_t lines = 0;
    console_ask a = {.csv = true, .limit = 1, .nparam = 1};
    a.param[0] = value_integer(1);
    assert_int_equal(console_list(*state, &MANY, &a, &out, &words), SATCHEL_OK);
    for (size_t i = 0; i < out.n; i++) lines += out.p[i] == '\n';
    assert_int_equal(lines, 1 + 100500);
    buf_clear(&out);
    a.param[0] = value_integer(1000);
    assert_int_equal(console_list(*state, &MANY, &a, &out, &words), SATCHEL_E_LIMIT);
    buf_put_byte(&words, 0);
    assert_non_null(strstr((const char *)words.p, "filter it"));
    buf_fini(&out);
    buf_fini(&words);
}

static void item_of_parameter_alone_or_none(void **state) {
    static const console_source ONE = {"t WHERE t.id=?1", COLUMN, COLUMNS, {"t.id"}, ""};
    buf out = {0};
    value id = value_integer(2);
    assert_int_equal(console_item(*state, &ONE, &id, 1, &out), 1);
    buf_put_byte(&out, 0);
    assert_string_equal((const char *)out.p,
                        "{\"id\":2,\"name\":\"bob\",\"n\":10,\"on\":false,\"twice\":22,\"values\":{\"any\":5,\"name\":\"BOB\"}}");
    buf_clear(&out);
    id = value_integer(99);
    assert_int_equal(console_item(*state, &ONE, &id, 1, &out), 0);
    assert_int_equal(out.n, 0);
    buf_fini(&out);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static void page_of_large_items_ends_before_its_limit_and_goes_on(void **state) {
    char ids[256];
    run(*state, "UPDATE t SET any=hex(zeroblob(1000000))");
    char *next = page(*state, &LIST, (console_ask){0}, ids);
    assert_string_equal(ids, "1,2,3");
    free(next);
    assert_pages(*state, &LIST, (console_ask){.sort = "-id"}, "7,6,5,4,3,2,1");
    assert_pages(*state, &LIST, (console_ask){.sort = "n", .limit = 3}, "2,4,7,5,1,3,6");
    run(*state, "UPDATE t SET name=any");
    assert_pages(*state, &KEYLESS, (console_ask){0}, "1,2,3,4,5,6,7");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(list_first_page_has_items_total_and_next),
        TEST(list_any_order_every_item_once_null_last),
        TEST(list_key_of_two_columns_every_item_once),
        TEST(list_changed_between_pages_neither_repeats_nor_hides),
        TEST(list_filters_by_type_and_together),
        TEST(list_search_finds_any_case_and_takes_no_pattern),
        TEST(list_counts_are_of_all_pages_and_all_other_filters),
        TEST(list_names_and_values_that_are_sql_stay_words),
        TEST(list_wrong_values_and_places_are_told),
        TEST(list_of_json_is_paged_sorted_and_told_as_it_is),
        TEST(list_csv_is_whole_quoted_and_no_formula),
        TEST(list_csv_is_whole_however_long_or_is_refused),
        TEST(item_of_parameter_alone_or_none),
        TEST(page_of_large_items_ends_before_its_limit_and_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
