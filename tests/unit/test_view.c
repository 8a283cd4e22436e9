/* view.h: what a view holds and hears, which columns it masks; on tables that the test fills by SQL. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"
#include "server/view.h"
#include "tests/support/serving.h"

static const char SCHEMA[] =
    "CREATE TABLE item(id INTEGER PRIMARY KEY, a TEXT, n INTEGER, b BLOB);\nINSERT INTO satchel_table(name) VALUES('item');\n"
    "CREATE TABLE other(k TEXT PRIMARY KEY, a TEXT);\nINSERT INTO satchel_table(name) VALUES('other');\n";

typedef struct world {
    serving v;
    db_cache cache;
    view_sets *sets;
} world;

static int setup(void **state) {
    world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    serving_open(&w->v, SCHEMA, "");
    db_cache_init(&w->cache, store_db(w->v.s));
    assert_int_equal(view_sets_new(store_db(w->v.s), &w->sets), SATCHEL_OK);
    *state = w;
    return 0;
}

static int teardown(void **state) {
    world *w = *state;
    view_sets_free(w->sets);
    db_cache_fini(&w->cache);
    serving_fini(&w->v);
    free(w);
    return 0;
}
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define LIST(...) (const uint32_t[]){__VA_ARGS__}, sizeof(uint32_t[]){__VA_ARGS__} / sizeof(uint32_t)

static uint32_t set_of(world *w, const uint32_t *bucket, size_t n) {
    uint32_t set;
    assert_int_equal(view_intern_set(&w->cache, bucket, n, &set), SATCHEL_OK);
    return set;
}

static view *view_of(world *w, const char *masks, const uint32_t *bucket, size_t n) {
    uint64_t id;
    view *v;
    assert_int_equal(view_intern(&w->cache, "rep", masks, bucket, n, &id), SATCHEL_OK);
    assert_int_equal(view_load(&w->cache, id, &v), SATCHEL_OK);
    assert_int_equal(view_id(v), id);
    return v;
}

static void intern_gives_the_same_list_the_same_number(void **state) {
    world *w = *state;
    assert_int_equal(set_of(w, NULL, 0), 0);
    assert_int_equal(set_of(w, LIST(1)), 1);
    uint32_t ab = set_of(w, LIST(300, 70000));
    assert_int_equal(set_of(w, LIST(300, 70000)), ab);
    assert_int_not_equal(set_of(w, LIST(300)), ab);
    assert_string_equal(sql(&w->v, "SELECT hex(buckets) FROM satchel_set WHERE id=2"), "0000012C00011170");
    uint64_t a, b, c;
    assert_int_equal(view_intern(&w->cache, "rep", "", LIST(1), &a), SATCHEL_OK);
    assert_int_equal(view_intern(&w->cache, "rep", "1:3", LIST(1), &b), SATCHEL_OK);
    assert_int_equal(view_intern(&w->cache, "rep", "", NULL, 0, &c), SATCHEL_OK);
    assert_true(a && b && c && a != b && b != c && a != c);
    assert_int_equal(view_intern(&w->cache, "rep", "", NULL, 0, &b), SATCHEL_OK);
    assert_int_equal(b, c);
    assert_int_equal(view_intern(&w->cache, "rep", "", LIST(1), &b), SATCHEL_OK);
    assert_int_equal(b, a);
}

static void load_of_an_unknown_view_is_not_found(void **state) {
    world *w = *state;
    view *v;
    assert_int_equal(view_load(&w->cache, 4711, &v), SATCHEL_E_NOT_FOUND);
    assert_int_equal(view_load(&w->cache, UINT64_MAX, &v), SATCHEL_E_NOT_FOUND);
    sql_exec(&w->v, "INSERT INTO satchel_view VALUES(7,'rep','1:2,;',x'')");
    assert_int_equal(view_load(&w->cache, 7, &v), SATCHEL_E_CORRUPT);
}

static void holds_what_shares_a_bucket(void **state) {
    world *w = *state;
    uint32_t ab = set_of(w, LIST(2, 5)), c = set_of(w, LIST(9));
    view *v = view_of(w, "", LIST(3, 4, 5, 8)), *none = view_of(w, "", NULL, 0);
    assert_int_equal(view_holds(v, w->sets, ab), 1);
    assert_int_equal(view_holds(v, w->sets, c), 0);
    assert_int_equal(view_holds(v, w->sets, 1), 0);
    assert_int_equal(view_holds(v, w->sets, 0), 0);
    assert_int_equal(view_holds(none, w->sets, ab), 0);
    assert_int_equal(view_holds(v, w->sets, 4711), SATCHEL_E_CORRUPT);
    view_release(v);
    view_release(none);
}

static void everything_holds_and_hears_any_set_and_no_leave(void **state) {
    world *w = *state;
    view *v;
    assert_int_equal(view_load(&w->cache, 0, &v), SATCHEL_OK);
    assert_true(view_is_everything(v));
    assert_int_equal(view_holds(v, w->sets, 0), 1);
    assert_int_equal(view_hears(v, w->sets, 0, 0), 1);
    assert_int_equal(view_hears(v, w->sets, 4711, 0), 1);
    assert_int_equal(view_hears(v, w->sets, 1, 4711), 0);
    assert_int_equal(view_hears(v, w->sets, 1, VIEW_NOWHERE), 0);
    view_release(v);
}

static void hears_leaves_unless_it_holds_where_the_row_went(void **state) {
    world *w = *state;
    uint32_t a = set_of(w, LIST(2)), b = set_of(w, LIST(3)), ab = set_of(w, LIST(2, 3));
    view *only_a = view_of(w, "", LIST(2)), *both = view_of(w, "", LIST(2, 3)), *only_b = view_of(w, "", LIST(3));
    assert_int_equal(view_hears(only_a, w->sets, a, b), 1);
    assert_int_equal(view_hears(only_a, w->sets, a, ab), 0);
    assert_int_equal(view_hears(only_a, w->sets, a, VIEW_NOWHERE), 1);
    assert_int_equal(view_hears(both, w->sets, a, b), 0);
    assert_int_equal(view_hears(both, w->sets, b, 0), 1);
    assert_int_equal(view_hears(only_b, w->sets, a, b), 0);
    assert_int_equal(view_hears(only_b, w->sets, ab, a), 1);
    view_release(only_a);
    view_release(both);
    view_release(only_b);
}

/* The number of a set that was undone is given to another. */
static void holds_after_a_rollback_what_the_number_means_now(void **state) {
    world *w = *state;
    view *v = view_of(w, "", LIST(2));
    assert_int_equal(store_begin(w->v.s), SATCHEL_OK);
    uint32_t set = set_of(w, LIST(2));
    assert_int_equal(view_holds(v, w->sets, set), 1);
    store_rollback(w->v.s);
    assert_int_equal(set_of(w, LIST(3)), set);
    assert_int_equal(view_holds(v, w->sets, set), 0);
    view_release(v);
}

static const char *filtered(world *w, const view *v, const char *words) {
    const schema *s = store_schema(w->v.s);
    buf delta = {0}, out = {0};
    serving_delta(s, words, &delta);
    assert_int_equal(view_filter(v, delta.p, delta.n, &out), SATCHEL_OK);
    const char *text = out.n ? serving_delta_text(s, out.p, out.n) : "nothing";
    buf_fini(&delta);
    buf_fini(&out);
    return text;
}

static void filter_drops_masked_columns_and_updates_without_others(void **state) {
    world *w = *state;
    view *v = view_of(w, "1:2,4;2:2", LIST(1)), *plain = view_of(w, "", LIST(1)), *same = view_of(w, "1:2,4;2:2", LIST(2));
    assert_true(view_has_masks(v) && !view_has_masks(plain));
    assert_true(view_masks(v, 1, 4) && view_masks(v, 2, 2));
    assert_false(view_masks(v, 1, 3) || view_masks(v, 3, 2) || view_masks(plain, 1, 2));
    assert_true(view_same_masks(v, same) && !view_same_masks(v, plain));
    assert_string_equal(filtered(w, v, "+ item(1) a='secret', n=5, b=x'00'"), "+ item(1) n=5");
    assert_string_equal(filtered(w, v, "~ item(1) a='x'; ~ item(2) n=2; - item(3)"), "~ item(2) n=2; - item(3)");
    assert_string_equal(filtered(w, v, "~ item(1) a='x', n=3; ~ other('k') a='y'"), "~ item(1) n=3");
    assert_string_equal(filtered(w, v, "~ other('k') a='y'"), "nothing");
    assert_string_equal(filtered(w, plain, "~ item(1) a='x', n=3"), "~ item(1) a='x' n=3");
    buf out = {0};
    assert_int_equal(view_filter(v, (const uint8_t[]){0x81}, 1, &out), SATCHEL_E_MALFORMED);
    buf_fini(&out);
    view_release(v);
    view_release(plain);
    view_release(same);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(intern_gives_the_same_list_the_same_number),
        TEST(load_of_an_unknown_view_is_not_found),
        TEST(holds_what_shares_a_bucket),
        TEST(everything_holds_and_hears_any_set_and_no_leave),
        TEST(hears_leaves_unless_it_holds_where_the_row_went),
        TEST(holds_after_a_rollback_what_the_number_means_now),
        TEST(filter_drops_masked_columns_and_updates_without_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
