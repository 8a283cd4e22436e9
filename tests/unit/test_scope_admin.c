/* Publishing, trying and explaining rules; rules and migrations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"
#include "server/store_private.h"
#include "tests/unit/scope_fixture.h"

static const char ROWS[] = "INSERT INTO account(id,terr,name,secret) VALUES('a',1,'x','s'),('b',2,'hot','t'),('n',NULL,'x',NULL);"
                           "INSERT INTO contact(id,account,name) VALUES('ca','a','x'),('cb','b','y');"
                           "INSERT INTO note(id,contact,account) VALUES('n1','ca','b'),('n2','cb',NULL)";

/* Territories are one higher. */
static char *shifted(void) {
    char *text = sqlite3_mprintf("%s", COMPANY_RULES), *at = strstr(text, "'terr','terr',NULL");
    char *out = sqlite3_mprintf("%.*s'terr','terr+1',NULL%s", (int)(at - text), text, at + strlen("'terr','terr',NULL"));
    sqlite3_free(text);
    return out;
}

static void publish(company *c, const char *text, uint64_t moved_wanted) {
    buf error = {0};
    uint64_t moved;
    assert_int_equal(store_begin(c->v.s), SATCHEL_OK);
    int rc = scope_publish(c->v.s, "new.sql", text, c->v.now_ms, &moved, &error);
    if (rc) fail_msg("%.*s", (int)error.n, (const char *)error.p);
    assert_int_equal(store_commit(c->v.s), SATCHEL_OK);
    assert_int_equal(moved, moved_wanted);
    buf_fini(&error);
}

static void other_rules_move_rows_as_one_commit(void **state) {
    company *c = *state;
    company_sql(c, ROWS);
    company_check(c);
    uint64_t head = company_head(c);
    char *text = shifted();
    publish(c, text, 6);
    assert_int_equal(company_head(c), head + 1);
    assert_string_equal(company_buckets(c, "account", "t.id='a'"), "terr:2");
    assert_string_equal(company_buckets(c, "note", "t.id='n1'"), "hot terr:2 terr:3");
    for (unsigned i = 0; i < 3; i++) scope_replay(&c->v, company_view(c, i == 0 ? &c->ann : i == 1 ? &c->bob : &c->boss));
    company_sql(c, "INSERT INTO account(id,terr) VALUES('later',1)");
    assert_string_equal(company_buckets(c, "account", "t.id='later'"), "terr:2");
    publish(c, text, 0);
    assert_int_equal(company_head(c), head + 2);
    publish(c, COMPANY_RULES, 7);
    company_check(c);
    SCOPE_SQL("SELECT version,name FROM satchel_scope ORDER BY version DESC LIMIT 1", "4|new.sql");
    SCOPE_SQL("SELECT name,horizon_days FROM satchel_profile ORDER BY name", "clerk|30 ; rep|30");
    sqlite3_free(text);
}

static void other_rules_are_in_force_at_once_for_devices_too(void **state) {
    company *c = *state;
    uint64_t before = company_view(c, &c->clerk);
    char *text = sqlite3_mprintf("%sINSERT INTO scope_mask VALUES('clerk','account','level');", COMPANY_RULES);
    publish(c, text, 0);
    assert_int_not_equal(company_view(c, &c->clerk), before);
    publish(c, COMPANY_RULES, 0);
    assert_int_equal(company_view(c, &c->clerk), before);
    /* What was undone was never in force. */
    buf error = {0};
    uint64_t moved;
    assert_int_equal(store_begin(c->v.s), SATCHEL_OK);
    assert_int_equal(scope_publish(c->v.s, "undone", text, c->v.now_ms, &moved, &error), SATCHEL_OK);
    assert_true(scope_is_on(ingest_scope(c->v.g)));
    store_rollback(c->v.s);
    assert_int_equal(company_view(c, &c->clerk), before);
    buf_fini(&error);
    sqlite3_free(text);
}

static void rules_after_some_that_were_undone_are_taken_for_themselves(void **state) {
    company *c = *state;
    buf error = {0};
    uint64_t moved, base = company_head(c);
    company_view(c, &c->ann);
    char *text = sqlite3_mprintf("%sINSERT INTO scope_write(profile,tbl,ops) VALUES('rep','account','insert');", COMPANY_RULES);
    assert_int_equal(store_begin(c->v.s), SATCHEL_OK);
    assert_int_equal(scope_publish(c->v.s, "undone", text, c->v.now_ms, &moved, &error), SATCHEL_OK);
    assert_true(scope_is_on(ingest_scope(c->v.g)));
    store_rollback(c->v.s);
    publish(c, COMPANY_RULES, 0);
    assert_int_equal(push(&c->v, &c->ann, base, 7200, "+ account('n') terr=1"), SATCHEL_E_SCOPE);
    sqlite3_free(text);
}

static void first_rules_place_every_row_and_tell_nobody(void **state) {
    company *c = *state;
    serving_remove(&c->v, "schema/scope.sql");
    sql_exec(&c->v, "DELETE FROM satchel_scope");
    serving_reopen(&c->v);
    company_sql(c, ROWS);
    SCOPE_SQL("SELECT DISTINCT satchel_set FROM contact", "1");
    uint64_t head = company_head(c);
    publish(c, COMPANY_RULES, 7);
    assert_int_equal(company_head(c), head);
    company_check_sets(c);
}

static void children_are_found_by_an_index(void **state) {
    company *c = *state;
    SCOPE_SQL("SELECT count(*) FROM sqlite_schema WHERE type='index' AND name GLOB 'satchel_scope_*'", "4");
    char *text = sqlite3_mprintf("%s", COMPANY_RULES), *line = strstr(text, "  ('note','contact','contact',NULL,'keep'),\n");
    memset(line, ' ', strlen("  ('note','contact','contact',NULL,'keep'),"));
    publish(c, text, 0);
    SCOPE_SQL("SELECT count(*) FROM sqlite_schema WHERE type='index' AND name GLOB 'satchel_scope_*'", "3");
    sqlite3_free(text);
}

static const char *dry_run(company *c, const char *text, bool json) {
    static char out[2000];
    buf report = {0}, error = {0};
    store_position before = store_where(c->v.s);
    uint64_t held = strtoull(sql(&c->v, "SELECT count(*) FROM satchel_held"), NULL, 10);
    int rc = scope_dry_run(c->v.s, "new.sql", text, c->v.now_ms, json, &report, &error);
    if (rc) fail_msg("%.*s", (int)error.n, (const char *)error.p);
    snprintf(out, sizeof out, "%.*s", (int)report.n, (const char *)report.p);
    store_position after = store_where(c->v.s);
    assert_int_equal(before.seq, after.seq);
    assert_int_equal(held, strtoull(sql(&c->v, "SELECT count(*) FROM satchel_held"), NULL, 10));
    company_check_sets(c);
    buf_fini(&report);
    buf_fini(&error);
    return out;
}

static void dry_run_tells_what_each_device_would_get_and_lose(void **state) {
    company *c = *state;
    company_sql(c, ROWS);
    company_check(c);
    char *text = shifted();
    assert_string_equal(dry_run(c, text, false),
                        "rows that lie elsewhere: 6\n"
                        "ann (rep, user 'ann'): gets 0, loses 3 (account 1, contact 1, note 1)\n"
                        "bob (rep, user 'bob'): gets 2 (account 1, contact 1), loses 3 (account 1, contact 1, note 1)\n"
                        "boss (everything): gets 0, loses 0\n"
                        "clerk (clerk, user 'carl'): gets 0, loses 0\n");
    assert_non_null(strstr(dry_run(c, text, true),
                           "\"device\":\"ann\",\"gets\":{},\"known\":true,\"loses\":{\"account\":1,\"contact\":1,\"note\":1}"));
    assert_string_equal(
        dry_run(c, COMPANY_RULES, true),
        "{\"devices\":[{\"device\":\"ann\",\"gets\":{},\"known\":true,\"loses\":{},\"masks_change\":false,\"profile\":\"rep\",\"user\":\"'ann'\"},"
        "{\"device\":\"bob\",\"gets\":{},\"known\":true,\"loses\":{},\"masks_change\":false,\"profile\":\"rep\",\"user\":\"'bob'\"},"
        "{\"device\":\"boss\",\"gets\":{},\"known\":true,\"loses\":{},\"masks_change\":false,\"profile\":null,\"user\":null},"
        "{\"device\":\"clerk\",\"gets\":{},\"known\":true,\"loses\":{},\"masks_change\":false,\"profile\":\"clerk\",\"user\":\"'carl'\"}],\"moved\":0}");
    /* What was tried was not published: rows go on as they were. */
    company_sql(c, "UPDATE account SET terr=2 WHERE id='a'");
    company_check(c);
    sqlite3_free(text);
}

static const char *explain(company *c, const char *who, const char *table, const char *key, int wanted) {
    static char out[3000];
    buf report = {0}, error = {0};
    assert_int_equal(store_begin(c->v.s), SATCHEL_OK);
    int rc = scope_explain(c->v.s, ingest_scope(c->v.g), who, table, key, c->v.now_ms, false, &report, &error);
    assert_int_equal(store_commit(c->v.s), SATCHEL_OK);
    const buf *said = rc ? &error : &report;
    snprintf(out, sizeof out, "%.*s", (int)said->n, said->p ? (const char *)said->p : "");
    assert_int_equal(rc, wanted);
    buf_fini(&report);
    buf_fini(&error);
    return out;
}

static void explain_says_why_a_row_is_or_is_not_there(void **state) {
    company *c = *state;
    company_sql(c, ROWS);
    char wanted[2000];
    const char *file = sql(&c->v, "SELECT name FROM satchel_scope");
    snprintf(wanted, sizeof wanted,
             "note 'n1' is on device ann.\n"
             "The row lies in: hot, terr:1, terr:2\n"
             "  note 'n1': follows account 'b' (%s:8)\n"
             "  note 'n1': follows contact 'ca' (%s:9)\n"
             "  account 'b': terr:2 (%s:4)\n"
             "  account 'b': hot (%s:5)\n"
             "  contact 'ca': follows account 'a' (%s:7)\n"
             "  account 'a': terr:1 (%s:4)\n"
             "The device has the profile rep and holds: all, terr:1\n"
             "In common: terr:1\n"
             "Masked columns: none\n"
             "Writes to note:\n"
             "  may insert, update (%s:19)\n",
             file, file, file, file, file, file, file);
    const char *said = explain(c, "ann", "note", "'n1'", SATCHEL_OK);
    assert_int_equal(strncmp(said, "note 'n1' is on device ann.\nThe row lies in: ", 45), 0);
    if (!strstr(said, strstr(wanted, "  note 'n1': follows account"))) fail_msg("%s", said);
    said = explain(c, "ann", "account", "'b'", SATCHEL_OK);
    assert_int_equal(strncmp(said, "account 'b' is not on device ann.\n", 34), 0);
    assert_non_null(
        strstr(said, "In common: nothing\nMasked columns: secret\nWrites to account:\n  may update: name, amount, currency"));
    assert_non_null(strstr(explain(c, "boss", "account", "'b'", SATCHEL_OK), "account 'b' is on device boss.\n"));
    assert_string_equal(explain(c, "nina", "account", "'b'", SATCHEL_E_NOT_FOUND), "there is no device nina");
    assert_string_equal(explain(c, "ann", "acount", "'b'", SATCHEL_E_NOT_FOUND), "there is no synced table acount");
    assert_string_equal(explain(c, "ann", "account", "'z'", SATCHEL_E_NOT_FOUND), "the table has no row with the key 'z'");
    assert_non_null(strstr(explain(c, "ann", "account", "1,2", SATCHEL_E_NOT_FOUND), "1,2 is not a key of the table"));
    assert_non_null(strstr(explain(c, "ann", "account", "(SELECT", SATCHEL_E_NOT_FOUND), "(SELECT is not a key of the table"));
}

static void rules_in_force_outlive_another_file(void **state) {
    company *c = *state;
    bool differs;
    char dir[96];
    snprintf(dir, sizeof dir, "%s/schema", c->v.dir);
    assert_int_equal(store_scope_differs(c->v.s, dir, &differs), SATCHEL_OK);
    assert_false(differs);
    char *text = shifted();
    serving_write(&c->v, "schema/scope.sql", text);
    serving_reopen(&c->v);
    SCOPE_SQL("SELECT count(*) FROM satchel_scope", "1");
    assert_int_equal(store_scope_differs(c->v.s, dir, &differs), SATCHEL_OK);
    assert_true(differs);
    serving_remove(&c->v, "schema/scope.sql");
    assert_int_equal(store_scope_differs(c->v.s, dir, &differs), SATCHEL_OK);
    assert_false(differs);
    sqlite3_free(text);
}

static void reopen_fails(company *c, const char *words) {
    buf error = {0};
    serving_close(&c->v);
    assert_int_equal(serving_try(&c->v, &error), SATCHEL_E_RULE);
    buf_put_byte(&error, 0);
    if (!strstr((const char *)error.p, words)) fail_msg("wanted '%s' in '%s'", words, (const char *)error.p);
    buf_fini(&error);
}

static void bad_rules_keep_a_new_store_from_opening(void **state) {
    company *c = *state;
    sql_exec(&c->v, "DELETE FROM satchel_scope");
    serving_write(&c->v, "schema/scope.sql", "INSERT INTO scope_bucket(tbl,name) VALUES\n('acount','x');");
    reopen_fails(c, "schema/scope.sql:2: there is no synced table acount");
    serving_write(&c->v, "schema/scope.sql", COMPANY_RULES);
    serving_reopen(&c->v);
    SCOPE_SQL("SELECT count(*) FROM satchel_scope", "1");
}

static void new_table_lies_nowhere_until_it_has_rules(void **state) {
    company *c = *state;
    serving_write(&c->v, "schema/002_more.sql",
                  "CREATE TABLE more(id INTEGER PRIMARY KEY, account TEXT);\nINSERT INTO satchel_table(name) VALUES('more');\n");
    serving_write(&c->v, "schema/002_more.data.sql", "INSERT INTO more(id,account) VALUES(1,'a');\n");
    serving_reopen(&c->v);
    company_sql(c, ROWS);
    SCOPE_SQL("SELECT satchel_set FROM more", "0");
    company_check(c);
    char *text =
        sqlite3_mprintf("%sINSERT INTO scope_parent(tbl,parent,columns) VALUES('more','account','account');", COMPANY_RULES);
    publish(c, text, 1);
    assert_string_equal(company_buckets(c, "more", "1"), "terr:1");
    company_check(c);
    sqlite3_free(text);
}

static void migration_that_the_rules_do_not_fit_needs_others(void **state) {
    company *c = *state;
    company_sql(c, ROWS);
    serving_write(&c->v, "schema/002_rename.sql", "ALTER TABLE account RENAME COLUMN terr TO region;\n");
    reopen_fails(c, "the rules of scope do not fit this migration:");
    char *text = sqlite3_mprintf("%s", COMPANY_RULES), *at = strstr(text, "'terr','terr',NULL");
    char *fits = sqlite3_mprintf("%.*s'terr','region',NULL%s", (int)(at - text), text, at + strlen("'terr','terr',NULL"));
    serving_write(&c->v, "schema/scope.sql", fits);
    serving_reopen(&c->v);
    SCOPE_SQL("SELECT count(*) FROM satchel_scope", "2");
    assert_string_equal(company_buckets(c, "account", "t.id='a'"), "terr:1");
    company_sql(c, "UPDATE account SET region=2 WHERE id='a'");
    assert_string_equal(company_buckets(c, "note", "t.id='n1'"), "hot terr:2");
    sqlite3_free(text);
    sqlite3_free(fits);
}

static void verify_finds_a_row_that_lies_elsewhere(void **state) {
    company *c = *state;
    buf report = {0};
    unsigned problems;
    company_sql(c, ROWS);
    assert_int_equal(store_verify(c->v.s, &report, &problems), SATCHEL_OK);
    if (problems) fail_msg("%.*s", (int)report.n, (const char *)report.p);
    sql_exec(&c->v, "UPDATE contact SET satchel_set=0 WHERE id='ca'; UPDATE account SET terr=66 WHERE id='b'");
    assert_int_equal(store_verify(c->v.s, &report, &problems), SATCHEL_OK);
    buf_put_byte(&report, 0);
    assert_non_null(strstr((const char *)report.p, "table contact: row 'ca' lies in set 0, and the rules say "));
    assert_non_null(strstr((const char *)report.p, "table account: row 'b' lies in set "));
    assert_non_null(strstr((const char *)report.p, ", and the rules say another"));
    SCOPE_SQL("SELECT count(*) FROM satchel_bucket WHERE name='terr:66'", "0");
    buf_clear(&report);
    buf error = {0};
    assert_int_equal(store_verify_files(c->v.path, NULL, NULL, &report, &problems, NULL, &error), SATCHEL_OK);
    assert_true(problems >= 2);
    buf_fini(&report);
    buf_fini(&error);
}

static void grant_of_what_there_is_not_is_refused(void **state) {
    company *c = *state;
    buf error = {0};
    int64_t id;
    company_sql(c, ROWS);
    static const struct {
        const char *who, *table, *key;
        int rc;
        const char *words;
    } TRY[] = {{"nina", "account", "'a'", SATCHEL_E_NOT_FOUND, "there is no device nina"},
               {"boss", "account", "'a'", SATCHEL_E_MISUSE, "device boss has no profile: it holds everything"},
               {"ann", "account", "'zz'", SATCHEL_E_NOT_FOUND, "the table has no row with the key 'zz'"}};
    for (size_t i = 0; i < sizeof TRY / sizeof *TRY; i++) {
        buf_clear(&error);
        assert_int_equal(store_begin(c->v.s), SATCHEL_OK);
        assert_int_equal(scope_grant(c->v.s, ingest_scope(c->v.g), TRY[i].who, TRY[i].table, TRY[i].key, c->v.now_ms + 1, "",
                                     c->v.now_ms, &id, &error),
                         TRY[i].rc);
        store_rollback(c->v.s);
        buf_put_byte(&error, 0);
        assert_string_equal((const char *)error.p, TRY[i].words);
    }
    buf_fini(&error);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        SCOPE_TEST(other_rules_move_rows_as_one_commit),
        SCOPE_TEST(other_rules_are_in_force_at_once_for_devices_too),
        SCOPE_TEST(rules_after_some_that_were_undone_are_taken_for_themselves),
        SCOPE_TEST(first_rules_place_every_row_and_tell_nobody),
        SCOPE_TEST(children_are_found_by_an_index),
        SCOPE_TEST(dry_run_tells_what_each_device_would_get_and_lose),
        SCOPE_TEST(explain_says_why_a_row_is_or_is_not_there),
        SCOPE_TEST(rules_in_force_outlive_another_file),
        SCOPE_TEST(bad_rules_keep_a_new_store_from_opening),
        SCOPE_TEST(new_table_lies_nowhere_until_it_has_rules),
        SCOPE_TEST(migration_that_the_rules_do_not_fit_needs_others),
        SCOPE_TEST(verify_finds_a_row_that_lies_elsewhere),
        SCOPE_TEST(grant_of_what_there_is_not_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
