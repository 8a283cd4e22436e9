/* The schema directories of the tree run on both sides, and the sample company fits the CRM's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/capture.h"
#include "protocol/satchel_rc.h"
#include "protocol/schema.h"
#include "tools/company_make.h"

static const char *const CRM[] = {"001_people",  "002_customers",    "003_activity",        "004_sales",
                                  "005_service", "006_commerce",     "007_customer_detail", "008_leads",
                                  "009_deals",   "010_service_desk", "011_views",           "012_reassignment",
                                  NULL};
static const char *const MUSIC[] = {"001_catalogue", "002_shop", NULL};
static const char *const TRADE[] = {"001_trade", NULL};
static const char *const SONGS[] = {"001_songs", NULL};

static char *read_file(const char *dir, const char *name, const char *suffix) {
    char path[512];
    snprintf(path, sizeof path, SOURCE_DIR "/%s/%s%s", dir, name, suffix);
    FILE *f = fopen(path, "re");
    if (!f) return NULL;
    char *text = calloc(1, LIMIT_MIGRATION_BYTES);
    size_t n = fread(text, 1, LIMIT_MIGRATION_BYTES - 1, f);
    assert_true(n > 0);
    fclose(f);
    return text;
}

static void exec(sqlite3 *db, const char *sql) {
    char *message = NULL;
    if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK) fail_msg("%s", message);
}

static int64_t number(sqlite3 *db, const char *sql) {
    sqlite3_stmt *st = NULL;
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
    int64_t n = sqlite3_step(st) == SQLITE_ROW ? sqlite3_column_int64(st, 0) : -1;
    sqlite3_finalize(st);
    return n;
}

static void set_local(sqlite3_context *ctx, int n, sqlite3_value **args) {
    (void)n, (void)args;
    sqlite3_result_int(ctx, *(int *)sqlite3_user_data(ctx));
}

/* Runs the directory; `*local` is what satchel_local() says. */
static sqlite3 *run(schema_side side, const char *dir, const char *const *names, int *local) {
    sqlite3 *db = NULL;
    buf error;
    buf_init(&error, 0);
    assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
    sqlite3_create_function(db, "satchel_local", 0, SQLITE_UTF8, local, set_local, NULL, NULL);
    sqlite3_create_function(db, "satchel_refuse", 1, SQLITE_UTF8, local, set_local, NULL, NULL);
    assert_int_equal(schema_init(db, &error), SATCHEL_OK);
    for (uint32_t epoch = 1; names[epoch - 1]; epoch++) {
        char *sql = read_file(dir, names[epoch - 1], ".sql"), *data = read_file(dir, names[epoch - 1], ".data.sql");
        assert_non_null(sql);
        if (schema_migrate(db, side, epoch, names[epoch - 1], sql, &error)) fail_msg("%s", (const char *)error.p);
        if (side == SCHEMA_SERVER && data) exec(db, data);
        free(sql);
        free(data);
    }
    buf_fini(&error);
    return db;
}

static schema *load(sqlite3 *db) {
    schema *s = NULL;
    buf error;
    buf_init(&error, 0);
    if (schema_load(db, &s, &error)) fail_msg("%s", (const char *)error.p);
    buf_fini(&error);
    return s;
}

static void same_on_both_sides(const char *dir, const char *const *names, unsigned ntable) {
    int local = 0;
    sqlite3 *server = run(SCHEMA_SERVER, dir, names, &local), *replica = run(SCHEMA_REPLICA, dir, names, &local);
    schema *a = load(server), *b = load(replica);
    assert_int_equal(a->ntable, ntable);
    assert_int_equal(b->ntable, ntable);
    assert_memory_equal(a->hash, b->hash, sizeof a->hash);
    for (unsigned i = 0; i < ntable; i++) {
        assert_string_equal(a->table[i].name, b->table[i].name);
        assert_int_equal(a->table[i].nall, b->table[i].nall);
        for (unsigned j = 0; j < a->table[i].nall; j++) {
            assert_string_equal(a->table[i].all[j].name, b->table[i].all[j].name);
            assert_int_equal(a->table[i].all[j].rule, b->table[i].all[j].rule);
        }
    }
    assert_int_equal(number(server, "SELECT count(*) FROM pragma_foreign_key_check"), 0);
    schema_free(a);
    schema_free(b);
    sqlite3_close(server);
    sqlite3_close(replica);
}

static void crm_gives_both_sides_one_schema(void **state) {
    (void)state;
    same_on_both_sides("server/crm", CRM, 64);
}

static void music_gives_both_sides_one_schema(void **state) {
    (void)state;
    same_on_both_sides("tests/schemas/music", MUSIC, 10);
}

static void public_shapes_give_both_sides_one_schema(void **state) {
    (void)state;
    same_on_both_sides("tests/schemas/trade", TRADE, 11);
    same_on_both_sides("tests/schemas/songs", SONGS, 11);
}

static void music_uses_every_rule(void **state) {
    (void)state;
    int local = 0;
    unsigned used = 0;
    sqlite3 *db = run(SCHEMA_SERVER, "tests/schemas/music", MUSIC, &local);
    schema *s = load(db);
    for (unsigned i = 0; i < s->ntable; i++)
        for (unsigned j = 0; j < s->table[i].ncol; j++) used |= 1u << s->table[i].col[j]->rule;
    for (merge_rule rule = RULE_LWW; rule <= RULE_STRICT; rule++)
        if (rule != RULE_BOUNDED) assert_true(used & 1u << rule);
    schema_free(s);
    sqlite3_close(db);
}

/* The search index is kept up by the app's own writes and by applied rows alike, however they are written. */
static void music_search_follows_local_and_applied_rows(void **state) {
    (void)state;
    int local = 1;
    sqlite3 *db = run(SCHEMA_REPLICA, "tests/schemas/music", MUSIC, &local);
    exec(db, "INSERT INTO artist(artist_no, name) VALUES(1, 'Amália')");
    local = 0;
    exec(db, "INSERT INTO artist(artist_no, name) VALUES(2, 'Django'), (3, 'Nina')");
    exec(db, "REPLACE INTO artist(artist_no, name) VALUES(1, 'Amália Rodrigues')");
    exec(db, "INSERT INTO artist(artist_no, name) VALUES(2, 'x') ON CONFLICT DO UPDATE SET name = 'Django Reinhardt'");
    exec(db, "UPDATE artist SET artist_no = 4 WHERE artist_no = 3");
    assert_int_equal(number(db, "SELECT rowid FROM artist_search('rodrigues')"), 1);
    assert_int_equal(number(db, "SELECT rowid FROM artist_search('reinhardt')"), 2);
    assert_int_equal(number(db, "SELECT rowid FROM artist_search('nina')"), 4);
    exec(db, "DELETE FROM artist WHERE artist_no < 3");
    assert_int_equal(number(db, "SELECT count(*) FROM artist_search"), 1);
    exec(db, "INSERT INTO artist_search(artist_search) VALUES('integrity-check')");
    sqlite3_close(db);
}

static int sink_begin(void *ctx, bool again) {
    (void)ctx, (void)again;
    return SATCHEL_OK;
}

static int sink_part(void *ctx, unsigned part, bool last, const void *changeset, size_t n) {
    (void)part, (void)last, (void)changeset, (void)n;
    ++*(int *)ctx;
    return SATCHEL_OK;
}

/* One migration as a device runs it: capture off, then its triggers brought up to date. */
static void migrate_captured(sqlite3 *db, capture *c, uint32_t epoch, const char *sql, schema **s) {
    buf error;
    buf_init(&error, 0);
    capture_enable(c, false);
    if (schema_migrate(db, SCHEMA_REPLICA, epoch, "test.sql", sql, &error)) fail_msg("%s", (const char *)error.p);
    capture_set_schema(c, NULL);
    schema_free(*s);
    *s = load(db);
    exec(db, "BEGIN");
    assert_int_equal(capture_install(db, *s, &error), SATCHEL_OK);
    exec(db, "COMMIT");
    if (capture_check(db, *s, &error)) fail_msg("%s", (const char *)error.p);
    capture_set_schema(c, *s);
    capture_enable(c, true);
    buf_fini(&error);
}

/* ALTER TABLE compiles every trigger again, those of capture included, and C5's rewriting fires them. */
static void schema_migrate_runs_over_tables_under_capture(void **state) {
    (void)state;
    int parts = 0;
    sqlite3 *db = NULL;
    capture *c = NULL;
    schema *s = NULL;
    capture_sink sink = {.ctx = &parts, .begin = sink_begin, .part = sink_part};
    buf error;
    buf_init(&error, 0);
    assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
    assert_int_equal(schema_init(db, &error), SATCHEL_OK);
    assert_int_equal(capture_open(db, &sink, &c), SATCHEL_OK);
    for (uint32_t epoch = 1; MUSIC[epoch - 1]; epoch++) {
        char *sql = read_file("tests/schemas/music", MUSIC[epoch - 1], ".sql");
        migrate_captured(db, c, epoch, sql, &s);
        free(sql);
        if (epoch == 1)
            exec(db, "INSERT INTO track(isrc, artist_no, album_title, title, seconds) VALUES('PT1', 1, 'A', 'B', 61)");
    }
    assert_int_equal(parts, 1);
    migrate_captured(db, c, 3,
                     "ALTER TABLE track ADD COLUMN side TEXT NOT NULL DEFAULT 'A';\nALTER TABLE track DROP COLUMN extra;\n"
                     "ALTER TABLE track RENAME TO song;\nALTER TABLE song RENAME COLUMN plays TO played;\nDROP TABLE review;\n"
                     "DROP TABLE artist_search;\nDROP TRIGGER artist_search_insert;\nDROP TRIGGER artist_search_update;\n"
                     "DROP TRIGGER artist_search_delete;\n",
                     &s);
    assert_int_equal(parts, 1);
    exec(db, "UPDATE song SET played = 1 WHERE side = 'A' AND disc = 1 AND length = '1:01'");
    assert_int_equal(parts, 2);
    capture_close(c);
    schema_free(s);
    buf_fini(&error);
    sqlite3_close(db);
}

static char *company(uint32_t contacts, uint64_t seed, size_t *n) {
    char *text = NULL;
    FILE *f = open_memstream(&text, n);
    company_size size = {seed, contacts, 3, 4, contacts / 2, contacts * 4};
    assert_true(company_write(&size, f) > contacts * 10);
    fclose(f);
    return text;
}

static void company_write_same_seed_same_bytes(void **state) {
    (void)state;
    size_t na, nb, nc;
    char *a = company(200, 7, &na), *b = company(200, 7, &nb), *c = company(200, 8, &nc);
    assert_int_equal(na, nb);
    assert_memory_equal(a, b, na);
    assert_true(na != nc || memcmp(a, c, na) != 0);
    free(a);
    free(b);
    free(c);
}

static void company_write_fits_the_crm(void **state) {
    (void)state;
    int local = 1;
    size_t n;
    for (uint32_t contacts = 1; contacts <= 1000; contacts *= 10) {
        sqlite3 *db = run(SCHEMA_SERVER, "server/crm", CRM, &local);
        char *sql = company(contacts, 1, &n);
        exec(db, "PRAGMA foreign_keys = ON");
        exec(db, sql);
        assert_true(sqlite3_get_autocommit(db));
        assert_int_equal(number(db, "SELECT count(*) FROM contact"), contacts);
        assert_int_equal(number(db, "SELECT count(*) FROM loyalty_entry"), contacts / 2 ? contacts * 4 : 0);
        assert_int_equal(number(db, "SELECT count(*) FROM (SELECT 1 FROM loyalty_entry GROUP BY card_id HAVING sum(points) < 0)"),
                         0);
        assert_int_equal(
            number(db, "SELECT count(*) FROM contact WHERE status NOT IN (SELECT from_status FROM contact_status_move)"), 0);
        free(sql);
        sqlite3_close(db);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crm_gives_both_sides_one_schema),
        cmocka_unit_test(music_gives_both_sides_one_schema),
        cmocka_unit_test(public_shapes_give_both_sides_one_schema),
        cmocka_unit_test(music_uses_every_rule),
        cmocka_unit_test(music_search_follows_local_and_applied_rows),
        cmocka_unit_test(schema_migrate_runs_over_tables_under_capture),
        cmocka_unit_test(company_write_same_seed_same_bytes),
        cmocka_unit_test(company_write_fits_the_crm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
