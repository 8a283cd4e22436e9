/* Opening: what satchel_open says of files that it cannot take, and what it makes of those that it can. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"
#include "replica/satchel.h"
#include "tests/support/replica_fixture.h"

#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

static int open_says(const char *path, unsigned flags, char *words, size_t n) {
    satchel *s;
    satchel_options o = {.size = sizeof o, .flags = flags, .busy_timeout_ms = 50};
    int rc = satchel_open(path, &o, &s);
    snprintf(words, n, "%s", satchel_errmsg(s));
    assert_int_equal(satchel_errcode(s), rc);
    assert_int_equal(satchel_db(s) != NULL, rc == 0);
    satchel_close(s);
    return rc;
}

/* A second file beside the fixture's. */
static const char *beside(fixture *x, const char *name) {
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", x->dir, name);
    return path;
}

static void remove_beside(fixture *x, const char *name) {
    char path[160];
    static const char *const ends[] = {"", "-wal", "-shm"};
    for (unsigned i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s%s", x->dir, name, ends[i]);
        unlink(path);
    }
}

static void make_database(const char *path, const char *sql) {
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void open_new_file_makes_it(void **state) {
    fixture *x = *state;
    char words[256];
    assert_int_equal(open_says(beside(x, "new"), SATCHEL_OPEN_EXISTING, words, sizeof words), SATCHEL_E_NOT_FOUND);
    assert_int_equal(open_says(beside(x, "new"), 0, words, sizeof words), SATCHEL_OK);
    assert_int_equal(open_says(beside(x, "new"), SATCHEL_OPEN_EXISTING, words, sizeof words), SATCHEL_OK);
    assert_string_equal(words, "");
    remove_beside(x, "new");
}

static void open_text_file_is_not_a_database(void **state) {
    fixture *x = *state;
    char words[256];
    FILE *f = fopen(beside(x, "text"), "w");
    for (unsigned i = 0; i < 200; i++) fputs("this is no database\n", f);
    fclose(f);
    assert_int_equal(open_says(beside(x, "text"), 0, words, sizeof words), SATCHEL_E_NOT_A_DATABASE);
    assert_non_null(strstr(words, "not a database"));
    remove_beside(x, "text");
}

static void open_foreign_file_is_refused_and_left_as_it_is(void **state) {
    fixture *x = *state;
    char words[256];
    const char *path = beside(x, "foreign");
    make_database(path, "CREATE TABLE t(a); PRAGMA application_id=77");
    assert_int_equal(open_says(path, SATCHEL_OPEN_ADOPT, words, sizeof words), SATCHEL_E_FOREIGN_FILE);
    assert_non_null(strstr(words, "another program"));
    remove_beside(x, "foreign");
}

static void open_plain_database_needs_to_be_adopted(void **state) {
    fixture *x = *state;
    char words[256];
    const char *path = beside(x, "plain");
    make_database(path, "CREATE TABLE t(a); INSERT INTO t VALUES(5)");
    assert_int_equal(open_says(path, 0, words, sizeof words), SATCHEL_E_FOREIGN_FILE);
    assert_non_null(strstr(words, "SATCHEL_OPEN_ADOPT"));
    assert_int_equal(open_says(path, SATCHEL_OPEN_ADOPT, words, sizeof words), SATCHEL_OK);
    assert_int_equal(open_says(path, 0, words, sizeof words), SATCHEL_OK);
    remove_beside(x, "plain");
}

static void open_newer_format_is_refused(void **state) {
    fixture *x = *state;
    char words[256];
    app_sql(x, "UPDATE satchel_state SET format=9");
    assert_int_equal(open_says(x->path, 0, words, sizeof words), SATCHEL_E_NEWER_FILE);
    assert_non_null(strstr(words, "format 9"));
    app_sql(x, "UPDATE satchel_state SET format=1");
}

/* What a device makes that encrypts; see tests/atrest. */
static void open_encrypted_file_asks_for_its_key(void **state) {
    fixture *x = *state;
    char words[256];
    static const unsigned char head[24] = {0x9c, 0x51, [16] = 0x10, 0, 2, 2, 32, 64, 32, 32};
    FILE *f = fopen(beside(x, "encrypted"), "w");
    for (unsigned i = 0; i < 200; i++) fwrite(head, 1, sizeof head, f);
    fclose(f);
    assert_int_equal(open_says(beside(x, "encrypted"), 0, words, sizeof words), SATCHEL_E_KEY);
    assert_non_null(strstr(words, "it is encrypted, and no key was given"));
    remove_beside(x, "encrypted");
}

static void open_with_a_key_makes_nothing_where_sqlite_cannot_encrypt(void **state) {
    fixture *x = *state;
    satchel *s;
    satchel_options o = {.size = sizeof o, .key = "key", .key_bytes = 3};
#ifdef SQLITE3MC_VERSION_MAJOR
    skip();
#endif
    assert_int_equal(satchel_open(beside(x, "secret"), &o, &s), SATCHEL_E_MISUSE);
    assert_non_null(strstr(satchel_errmsg(s), "cannot encrypt"));
    satchel_close(s);
    assert_int_not_equal(access(beside(x, "secret"), F_OK), 0);
}

static void open_damaged_file_is_named(void **state) {
    fixture *x = *state;
    char words[256];
    const char *path = beside(x, "damaged");
    assert_int_equal(open_says(path, 0, words, sizeof words), SATCHEL_OK);
    make_database(path, "PRAGMA wal_checkpoint(TRUNCATE)");
    FILE *f = fopen(path, "r+");
    fseek(f, 100, SEEK_SET);
    for (unsigned i = 0; i < 3000; i++) fputc(0xa5, f);
    fclose(f);
    assert_int_equal(open_says(path, 0, words, sizeof words), SATCHEL_E_CORRUPT);
    assert_non_null(strstr(words, path));
    assert_non_null(strstr(words, "malformed"));
    remove_beside(x, "damaged");
}

static void open_where_nothing_can_be_written_says_so(void **state) {
    (void)state;
    char words[256];
    assert_int_equal(open_says("/nonexistent/satchel.db", 0, words, sizeof words), SATCHEL_E_READONLY);
    assert_non_null(strstr(words, "/nonexistent/satchel.db"));
    assert_non_null(strstr(words, "unable to open"));
}

static void open_locked_file_is_busy(void **state) {
    fixture *x = *state;
    char words[256];
    sqlite3 *db;
    const char *path = beside(x, "held");
    assert_int_equal(open_says(path, 0, words, sizeof words), SATCHEL_OK);
    make_database(path, "PRAGMA journal_mode=DELETE");
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN EXCLUSIVE", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(open_says(path, 0, words, sizeof words), SATCHEL_E_BUSY);
    sqlite3_close(db);
    remove_beside(x, "held");
}

static void open_with_a_missing_trigger_names_it_C3(void **state) {
    fixture *x = *state;
    char words[512];
    char name[64];
    snprintf(name, sizeof name, "%s",
             app_text(x, "SELECT name FROM sqlite_schema WHERE type='trigger' AND tbl_name='item' LIMIT 1"));
    char sql[128];
    snprintf(sql, sizeof sql, "DROP TRIGGER \"%s\"", name);
    app_sql(x, sql);
    assert_int_equal(open_says(x->path, 0, words, sizeof words), SATCHEL_E_UNFLUSHED);
    assert_non_null(strstr(words, x->path));
    assert_non_null(strstr(words, "item"));
}

static void handle_that_failed_to_open_answers_every_call(void **state) {
    (void)state;
    satchel *s;
    satchel_status_info info = {.size = sizeof info};
    char *report;
    assert_int_equal(satchel_open("/nonexistent/x", NULL, &s), SATCHEL_E_READONLY);
    assert_int_equal(satchel_get_status(s, &info), SATCHEL_E_MISUSE);
    assert_int_equal(satchel_discard(s, 1), SATCHEL_E_MISUSE);
    assert_int_equal(satchel_retry(s, 1), SATCHEL_E_MISUSE);
    assert_int_equal(satchel_verify(s, &report), SATCHEL_E_MISUSE);
    assert_string_equal(satchel_errmsg(s), "the database is not open");
    satchel_close(s);
    satchel_close(NULL);
    assert_int_equal(satchel_open(NULL, NULL, &s), SATCHEL_E_MISUSE);
    satchel_close(s);
}

static void status_counts_what_the_views_show(void **state) {
    fixture *x = *state;
    satchel *s;
    satchel_status_info info = {.size = sizeof info};
    app_sql(x, "INSERT INTO item(id) VALUES('a'); INSERT INTO item(id) VALUES('b')");
    refuse_with(x, 1, SATCHEL_E_CHECK, "no");
    assert_int_equal(satchel_open(x->path, NULL, &s), SATCHEL_OK);
    assert_int_equal(satchel_get_status(s, &info), SATCHEL_OK);
    assert_int_equal(info.pending, 1);
    assert_int_equal(info.refused, 1);
    assert_int_equal(info.enrolled, 0);
    assert_int_equal(info.schema_epoch, 1);
    assert_int_equal(info.state, SATCHEL_OFFLINE);
    assert_string_equal(app_text(x, "SELECT pending||refused||accepted||conflicts FROM satchel_status"), "1100");
    info = (satchel_status_info){.size = offsetof(satchel_status_info, accepted)};
    info.accepted = 99;
    assert_int_equal(satchel_get_status(s, &info), SATCHEL_OK);
    assert_int_equal(info.accepted, 99);
    satchel_close(s);
}

static void errmsg_tells_why_a_commit_was_refused(void **state) {
    fixture *x = *state;
    satchel *s;
    assert_int_equal(satchel_open(x->path, NULL, &s), SATCHEL_OK);
    assert_int_not_equal(sqlite3_exec(satchel_db(s), "INSERT INTO item(name) VALUES('no key')", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(satchel_errcode(s), SATCHEL_E_NULL_KEY);
    assert_non_null(strstr(satchel_errmsg(s), "item"));
    assert_int_equal(sqlite3_exec(satchel_db(s), "INSERT INTO item(id) VALUES('a')", NULL, NULL, NULL), SQLITE_OK);
    assert_string_equal(satchel_errmsg(s), "");
    satchel_close(s);
}

static void plain_connection_reads_but_cannot_write(void **state) {
    fixture *x = *state;
    sqlite3 *db;
    app_sql(x, "INSERT INTO item(id) VALUES('a')");
    assert_int_equal(sqlite3_open(x->path, &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(db, "SELECT * FROM item; SELECT * FROM satchel_status; SELECT * FROM satchel_rejected", NULL, NULL, NULL),
        SQLITE_OK);
    assert_int_not_equal(sqlite3_exec(db, "UPDATE item SET name='x'", NULL, NULL, NULL), SQLITE_OK);
    assert_non_null(strstr(sqlite3_errmsg(db), "satchel_tap"));
    sqlite3_close(db);
}

static void verify_finds_a_row_that_was_changed_past_the_overlay(void **state) {
    fixture *x = *state;
    buf report;
    delta_row r = item_put("a", "Ann", 1, 1);
    buf_init(&report, 0);
    assert_int_equal(page_apply(x, 10, &r, 1), SATCHEL_OK);
    app_sql(x, "UPDATE item SET name='mine'");
    r = item_set("a", ITEM_PRICE, value_integer(2));
    assert_int_equal(page_apply(x, 11, &r, 1), SATCHEL_OK);
    assert_int_equal(file_verify(x->f, &report), SATCHEL_OK);
    assert_int_equal(sqlite3_exec(x->f->db, "UPDATE item SET price=77", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(file_verify(x->f, &report), SATCHEL_E_CORRUPT);
    buf_put_byte(&report, 0);
    assert_non_null(strstr((const char *)report.p, "overlay: table 1, key a"));
    buf_fini(&report);
}

/* A disk that is full when the migration commits: the next hello must tell the hash of the schema that the file has. */
static void P1_migration_that_is_rolled_back_leaves_the_schema_as_it_was(void **state) {
    fixture *x = *state;
    static const char sql[] = "ALTER TABLE item ADD COLUMN extra TEXT";
    uint8_t hash[8];
    memcpy(hash, x->f->schema->hash, sizeof hash);
    msg_schema m = {.epoch = x->f->schema->epoch + 1, .name = "002_more.sql", .nname = 12, .sql = sql, .nsql = strlen(sql)};
    assert_int_equal(file_begin(x->f), SATCHEL_OK);
    assert_int_equal(file_migrate(x->f, &m), SATCHEL_OK);
    assert_int_equal(file_end(x->f, SATCHEL_E_FULL), SATCHEL_E_FULL);
    assert_int_equal(file_read_state(x->f), SATCHEL_OK);
    assert_int_equal(x->f->schema->epoch, m.epoch - 1);
    assert_memory_equal(x->f->schema->hash, hash, sizeof hash);
    assert_int_equal(fixture_migrate(x, sql), SATCHEL_OK);
    assert_int_equal(x->f->schema->epoch, m.epoch);
}

/* SQLite looks through every view when a column goes. */
static void P1_migration_goes_through_views_that_ask_for_the_time(void **state) {
    fixture *x = *state;
    assert_int_equal(fixture_migrate(x, "ALTER TABLE item ADD COLUMN extra TEXT;"
                                        "CREATE VIEW late AS SELECT id, satchel_now() AS at FROM item;"
                                        "CREATE VIEW later AS SELECT id FROM late WHERE at > 0"),
                     SATCHEL_OK);
    assert_int_equal(fixture_migrate(x, "ALTER TABLE item DROP COLUMN extra"), SATCHEL_OK);
}

static const char *platform_of(const char *system, const char *release, const char *machine) {
    static char out[ENV_PLATFORM_BYTES];
    env_name_platform(system, release, machine, out);
    return out;
}

static void platform_is_system_release_and_machine_without_odd_bytes(void **state) {
    (void)state;
    assert_string_equal(platform_of("Linux", "6.1.0-18-amd64", "x86_64"), "Linux 6.1; x86_64");
    assert_string_equal(platform_of("Darwin", "22", "arm64"), "Darwin 22; arm64");
    assert_string_equal(platform_of("FreeBSD", "13.2-RELEASE", "amd64"), "FreeBSD 13.2; amd64");
    assert_string_equal(platform_of("L(in)u\\x\r\n", "(6)", "x;\xc3\xa9 86\""), "Linux ; x86");
    assert_string_equal(platform_of("ASystemWithALongName", "1234567.890", "amachinewithalongname"),
                        "ASystemWithA 1234567; amachinewith");
}

static void software_names_the_platform_behind_its_products(void **state) {
    fixture *x = *state;
    char app[100];
    file *f;
    memset(app, 'a', sizeof app);
    app[sizeof app - 1] = 0;
    file_options o = {.env = fixture_env(x), .software = "acme/2.1"};
    assert_int_equal(file_open(beside(x, "new"), &o, &f), SATCHEL_OK);
    assert_string_equal(f->software, "acme/2.1 satchel/" SATCHEL_VERSION);
    file_close(f);
    memset(o.env.platform, 'p', sizeof o.env.platform - 1);
    o.software = app;
    assert_int_equal(file_open(beside(x, "new"), &o, &f), SATCHEL_OK);
    assert_true(strlen(f->software) < LIMIT_NAME_BYTES);
    assert_string_equal(f->software + 64, " satchel/" SATCHEL_VERSION " (ppppppppppppppppppppppppppppppppppp)");
    file_close(f);
    remove_beside(x, "new");
}

static void env_default_tells_a_platform(void **state) {
    (void)state;
    env e = env_default();
    assert_non_null(strstr(e.platform, "; "));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        T(open_new_file_makes_it),
        T(open_text_file_is_not_a_database),
        T(open_foreign_file_is_refused_and_left_as_it_is),
        T(open_plain_database_needs_to_be_adopted),
        T(open_newer_format_is_refused),
        T(open_encrypted_file_asks_for_its_key),
        T(open_with_a_key_makes_nothing_where_sqlite_cannot_encrypt),
        T(open_damaged_file_is_named),
        T(open_where_nothing_can_be_written_says_so),
        T(open_locked_file_is_busy),
        T(open_with_a_missing_trigger_names_it_C3),
        T(handle_that_failed_to_open_answers_every_call),
        T(status_counts_what_the_views_show),
        T(errmsg_tells_why_a_commit_was_refused),
        T(plain_connection_reads_but_cannot_write),
        T(verify_finds_a_row_that_was_changed_past_the_overlay),
        T(P1_migration_that_is_rolled_back_leaves_the_schema_as_it_was),
        T(P1_migration_goes_through_views_that_ask_for_the_time),
        T(platform_is_system_release_and_machine_without_odd_bytes),
        T(software_names_the_platform_behind_its_products),
        T(env_default_tells_a_platform),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
