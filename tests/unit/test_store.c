#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "protocol/clock.h"
#include "protocol/satchel_rc.h"
#include "tests/support/serving.h"

static const char FIRST[] =
    "CREATE TABLE item(id INTEGER PRIMARY KEY, a TEXT, b INTEGER);\nINSERT INTO satchel_table(name) VALUES('item');\n"
    "CREATE TABLE line(id INTEGER PRIMARY KEY, item INTEGER REFERENCES item, q INTEGER);\n"
    "INSERT INTO satchel_table(name, wins) VALUES('line', 'delete');\n";
static const char SECOND[] = "ALTER TABLE item ADD COLUMN c TEXT DEFAULT 'x';\n";

static int setup(void **state) {
    serving *v = calloc(1, sizeof *v);
    assert_non_null(v);
    serving_init(v);
    *state = v;
    return 0;
}

static int teardown(void **state) {
    serving_fini(*state);
    free(*state);
    return 0;
}

/* Opening fails with this code, and the words hold each of these. */
static void fails(serving *v, int code, const char *word, const char *other) {
    buf error;
    buf_init(&error, 0);
    int rc = serving_try(v, &error);
    const char *said = error.n ? (const char *)error.p : "";
    if (rc != code || !strstr(said, word) || !strstr(said, other))
        fail_msg("wanted %s with '%s' and '%s', got %s: %s", satchel_rc_name(code), word, other, satchel_rc_name(rc), said);
    assert_null(v->s);
    buf_fini(&error);
}

static void opens(serving *v) {
    buf error;
    buf_init(&error, 0);
    int rc = serving_try(v, &error);
    if (rc) fail_msg("%s: %.*s", satchel_rc_name(rc), (int)error.n, (const char *)error.p);
    buf_fini(&error);
    assert_int_equal(ingest_new(v->s, &v->g), SATCHEL_OK);
}

static void opens_first(serving *v) {
    serving_write(v, "schema/001_first.sql", FIRST);
    opens(v);
}

/* ---- the file ---- */

static void open_new_file_makes_a_private_store(void **state) {
    serving *v = *state;
    opens_first(v);
    struct stat st;
    assert_int_equal(stat(v->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    store_position p = store_where(v->s);
    assert_int_equal(p.seq, 0);
    assert_int_equal(p.floor, 0);
    assert_int_equal(p.epoch_start, 0);
    assert_int_equal(p.schema_epoch, 1);
    assert_memory_equal(p.schema_hash, store_schema(v->s)->hash, 8);
    assert_string_equal(sql(v, "PRAGMA journal_mode"), "wal");
    uint8_t nothing[EPOCH_BYTES] = {0};
    assert_memory_not_equal(p.epoch, nothing, EPOCH_BYTES);
}

static void open_again_finds_everything_as_it_was(void **state) {
    serving *v = *state;
    opens_first(v);
    device d = serving_device(v, "phone");
    assert_int_equal(push(v, &d, 0, 0, "+ item(1) a='x'"), SATCHEL_OK);
    store_position before = store_where(v->s);
    serving_reopen(v);
    store_position after = store_where(v->s);
    assert_memory_equal(before.epoch, after.epoch, EPOCH_BYTES);
    assert_int_equal(after.seq, 1);
    assert_int_equal(before.high_stamp, after.high_stamp);
    assert_string_equal(sql(v, "SELECT id,a FROM item"), "1|x");
}

static void open_foreign_database_is_refused_and_left_untouched(void **state) {
    serving *v = *state;
    sqlite3 *db;
    assert_int_equal(sqlite3_open(v->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "CREATE TABLE theirs(x)", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    serving_write(v, "schema/001_first.sql", FIRST);
    fails(v, SATCHEL_E_FOREIGN_FILE, "store.db", "not a Satchel store");
    char wal[128];
    snprintf(wal, sizeof wal, "%s-wal", v->path);
    assert_int_not_equal(access(wal, F_OK), 0);
    assert_int_equal(sqlite3_open(v->path, &db), SQLITE_OK);
    sqlite3_stmt *q;
    assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA journal_mode", -1, &q, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(q), SQLITE_ROW);
    assert_string_equal((const char *)sqlite3_column_text(q, 0), "delete");
    sqlite3_finalize(q);
    sqlite3_close(db);
}

static void open_empty_file_of_another_application_is_refused(void **state) {
    serving *v = *state;
    sqlite3 *db;
    assert_int_equal(sqlite3_open(v->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA application_id=7", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    serving_write(v, "schema/001_first.sql", FIRST);
    fails(v, SATCHEL_E_FOREIGN_FILE, "store.db", "");
}

static void open_file_of_a_newer_version_is_refused(void **state) {
    serving *v = *state;
    opens_first(v);
    sql_exec(v, "PRAGMA user_version=99");
    serving_close(v);
    fails(v, SATCHEL_E_NEWER_FILE, "format 99", "store.db");
}

static void open_what_is_no_database_is_refused(void **state) {
    serving *v = *state;
    char text[2048];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = 0;
    serving_write(v, "store.db", text);
    fails(v, SATCHEL_E_NOT_A_DATABASE, "store.db", "not a database");
}

static void open_damaged_store_is_refused(void **state) {
    serving *v = *state;
    opens_first(v);
    serving_close(v);
    FILE *f = fopen(v->path, "r+e");
    assert_non_null(f);
    char junk[4096];
    memset(junk, 0xa5, sizeof junk);
    fseek(f, 4096, SEEK_SET);
    for (int i = 0; i < 8; i++) fwrite(junk, 1, sizeof junk, f);
    fclose(f);
    fails(v, SATCHEL_E_CORRUPT, "store.db", "");
}

static void open_store_without_its_tables_is_corrupt(void **state) {
    serving *v = *state;
    opens_first(v);
    sql_exec(v, "DROP TABLE satchel_epoch");
    serving_close(v);
    fails(v, SATCHEL_E_CORRUPT, "store.db", "damaged");
}

static void open_read_only_file_is_refused(void **state) {
    serving *v = *state;
    opens_first(v);
    serving_close(v);
    assert_int_equal(chmod(v->dir, 0755), 0);
    assert_int_equal(chmod(v->path, 0444), 0);
    bool root = geteuid() == 0;
    if (root) assert_int_equal(seteuid(65534), 0);
    fails(v, SATCHEL_E_READONLY, "store.db", "Permission denied");
    if (root) assert_int_equal(seteuid(0), 0);
}

static void open_restored_file_begins_a_new_epoch(void **state) {
    serving *v = *state;
    opens_first(v);
    device d = serving_device(v, "phone");
    assert_int_equal(push(v, &d, 0, 0, "+ item(1)"), SATCHEL_OK);
    uint8_t old[EPOCH_BYTES];
    memcpy(old, store_where(v->s).epoch, sizeof old);
    uint64_t end;
    assert_true(store_epoch_known(v->s, old, &end));
    assert_true(end == UINT64_MAX);
    serving_close(v);
    buf error;
    buf_init(&error, 0);
    store_config c = {.path = v->path, .now_ms = v->now_ms, .restored = true};
    assert_int_equal(store_open(&c, &v->s, &error), SATCHEL_OK);
    store_position p = store_where(v->s);
    assert_memory_not_equal(p.epoch, old, EPOCH_BYTES);
    assert_int_equal(p.epoch_start, 1);
    assert_true(store_epoch_known(v->s, old, &end));
    assert_int_equal(end, 1);
    old[0] ^= 1;
    assert_false(store_epoch_known(v->s, old, &end));
    buf_fini(&error);
}

/* ---- migrations ---- */

static void migrations_run_in_order_and_only_once(void **state) {
    serving *v = *state;
    serving_write(v, "schema/001_first.sql", FIRST);
    serving_write(v, "schema/002_second.sql", SECOND);
    serving_write(v, "schema/notes.txt", "no migration");
    opens(v);
    assert_int_equal(store_where(v->s).schema_epoch, 2);
    assert_string_equal(sql(v, "SELECT epoch,name FROM satchel_migration"), "1|001_first.sql ; 2|002_second.sql");
    serving_write(v, "schema/003_third.sql", "CREATE TABLE local(x);\n");
    serving_reopen(v);
    assert_int_equal(store_where(v->s).schema_epoch, 3);
}

static void migrations_with_a_gap_are_refused_before_anything_runs(void **state) {
    serving *v = *state;
    serving_write(v, "schema/001_first.sql", FIRST);
    serving_write(v, "schema/003_second.sql", SECOND);
    fails(v, SATCHEL_E_MIGRATION, "003_second.sql", "migration 002 is missing");
    serving_remove(v, "schema/003_second.sql");
    opens(v);
    assert_int_equal(store_where(v->s).schema_epoch, 1);
}

static void migrations_with_one_number_twice_are_refused(void **state) {
    serving *v = *state;
    serving_write(v, "schema/001_first.sql", FIRST);
    serving_write(v, "schema/001_again.sql", SECOND);
    fails(v, SATCHEL_E_MIGRATION, "001_first.sql", "001_again.sql");
}

static void migrations_misnamed_or_missing_are_refused(void **state) {
    serving *v = *state;
    fails(v, SATCHEL_E_MIGRATION, "schema", "holds no migration");
    serving_write(v, "schema/001_first.sql", FIRST);
    serving_write(v, "schema/2_second.sql", SECOND);
    fails(v, SATCHEL_E_MIGRATION, "2_second.sql", "NNN_name.sql");
    serving_remove(v, "schema/2_second.sql");
    serving_write(v, "schema/002_second.data.sql", "SELECT 1;");
    fails(v, SATCHEL_E_MIGRATION, "002_second.data.sql", "no migration of this number");
}

static void migration_changed_after_it_ran_is_refused(void **state) {
    serving *v = *state;
    opens_first(v);
    serving_close(v);
    char text[512];
    snprintf(text, sizeof text, "%s-- a comment\n", FIRST);
    serving_write(v, "schema/001_first.sql", text);
    fails(v, SATCHEL_E_MIGRATION, "001_first.sql", "changed after it had run");
}

static void migration_that_ran_and_is_gone_is_refused(void **state) {
    serving *v = *state;
    opens_first(v);
    serving_close(v);
    serving_remove(v, "schema/001_first.sql");
    fails(v, SATCHEL_E_MIGRATION, "001", "not there");
}

static void migration_with_a_mistake_names_file_and_line_and_leaves_nothing(void **state) {
    serving *v = *state;
    opens_first(v);
    char objects[32], again[32];
    snprintf(objects, sizeof objects, "%s", sql(v, "SELECT count(*) FROM sqlite_schema"));
    serving_close(v);
    serving_write(v, "schema/002_bad.sql", "CREATE TABLE good(id INTEGER PRIMARY KEY);\n\nCREATE TABEL bad(x);\n");
    fails(v, SATCHEL_E_MIGRATION, "002_bad.sql:3", "TABEL");
    /* what devices could not capture */
    serving_write(
        v, "schema/002_bad.sql",
        "CREATE TABLE w(r REAL, id INTEGER PRIMARY KEY) WITHOUT ROWID;\nINSERT INTO satchel_table(name) VALUES('w');\n");
    fails(v, SATCHEL_E_TABLE_SHAPE, "002_bad.sql", "key columns first");
    serving_write(v, "schema/002_bad.sql", "CREATE TABLE local(id);\n");
    serving_write(v, "schema/002_bad.data.sql", "INSERT INTO item(id) VALUES(1);\n\nINSERT INTO itm(id) VALUES(2);\n");
    fails(v, SATCHEL_E_MIGRATION, "002_bad.data.sql:3:", "itm");
    serving_write(v, "schema/002_bad.data.sql", "INSERT INTO line(id,item) VALUES(1,7);\n");
    fails(v, SATCHEL_E_MIGRATION, "002_bad.data.sql", "E_FOREIGN_KEY");
    serving_write(v, "schema/002_bad.data.sql", "INSERT INTO local(id) VALUES(1);\n");
    fails(v, SATCHEL_E_MIGRATION, "002_bad.data.sql:1:", "not one that syncs");
    store_config c = {.path = v->path, .now_ms = v->now_ms};
    buf error;
    buf_init(&error, 0);
    assert_int_equal(store_open(&c, &v->s, &error), SATCHEL_OK);
    snprintf(again, sizeof again, "%s", sql(v, "SELECT count(*) FROM sqlite_schema"));
    assert_string_equal(objects, again);
    assert_int_equal(store_where(v->s).seq, 0);
    assert_int_equal(store_where(v->s).schema_epoch, 1);
    buf_fini(&error);
}

static void migration_data_is_written_by_the_server_as_one_commit(void **state) {
    serving *v = *state;
    serving_write(v, "schema/001_first.data.sql",
                  "INSERT INTO item(id,a) VALUES(1,'x');\nINSERT INTO item(id,a) VALUES(2,'y');\n");
    opens_first(v);
    assert_int_equal(store_where(v->s).seq, 1);
    assert_string_equal(sql(v, "SELECT id>>24,author FROM satchel_log"), "1|0");
    assert_string_equal(logged(v), "+ item(1) a='x' b=NULL; + item(2) a='y' b=NULL");
    serving_reopen(v);
    assert_int_equal(store_where(v->s).seq, 1);
}

/* ---- enrolment and devices ---- */

static const uint8_t SECRET[16] = "a secret of 16 b", OTHER[16] = "another secret b";

static void begin(serving *v) {
    assert_int_equal(store_begin(v->s), SATCHEL_OK);
}

static void commit(serving *v) {
    assert_int_equal(store_commit(v->s), SATCHEL_OK);
}

/* As SQLite does by itself where the disk is full. */
static void commit_of_a_transaction_that_has_ended_writes_nothing(void **state) {
    serving *v = *state;
    opens_first(v);
    store_position before = store_where(v->s);
    assert_int_equal(store_begin(v->s), SATCHEL_OK);
    assert_true(store_is_open(v->s));
    assert_int_equal(store_backed_up(v->s, 77, "b", 1), SATCHEL_OK);
    assert_int_equal(sqlite3_exec(store_db(v->s), "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    assert_false(store_is_open(v->s));
    assert_int_equal(store_commit(v->s), SATCHEL_E_IO);
    assert_string_equal(sql(v, "SELECT backup_seq FROM satchel_server"), "0");
    assert_int_equal(store_where(v->s).seq, before.seq);
    assert_int_equal(store_begin(v->s), SATCHEL_OK);
    assert_int_equal(store_commit(v->s), SATCHEL_OK);
}

static void enrol_redeem_makes_a_device_once(void **state) {
    serving *v = *state;
    opens_first(v);
    uint8_t key[32], other_key[32];
    serving_fingerprint("phone", key);
    serving_fingerprint("another", other_key);
    device_info d, again;
    begin(v);
    assert_int_equal(store_enrol_offer(v->s, "phone", SECRET, 1000), SATCHEL_OK);
    assert_int_equal(store_enrol_redeem(v->s, OTHER, key, 900, &d), SATCHEL_E_ENROL_CODE);
    assert_int_equal(store_enrol_redeem(v->s, SECRET, key, 900, &d), SATCHEL_OK);
    assert_string_equal(d.name, "phone");
    assert_int_equal(d.state, DEVICE_ACTIVE);
    assert_int_equal(d.enrolled_ms, 900);
    assert_memory_equal(d.fingerprint, key, 32);
    /* The answer was lost: the same key gets the same device, even late. Another key does not. */
    assert_int_equal(store_enrol_redeem(v->s, SECRET, key, 5000, &again), SATCHEL_OK);
    assert_int_equal(again.id, d.id);
    assert_int_equal(store_enrol_redeem(v->s, SECRET, other_key, 900, &again), SATCHEL_E_ENROL_USED);
    commit(v);
    assert_string_equal(sql(v, "SELECT count(*) FROM satchel_device"), "1");
    assert_string_equal(sql(v, "SELECT count(*) FROM satchel_enrol WHERE secret_hash=x'61207365637265742066203136206200'"), "0");
}

static void enrol_expired_or_replaced_code_is_refused(void **state) {
    serving *v = *state;
    opens_first(v);
    uint8_t key[32];
    serving_fingerprint("phone", key);
    device_info d;
    begin(v);
    assert_int_equal(store_enrol_offer(v->s, "phone", SECRET, 1000), SATCHEL_OK);
    assert_int_equal(store_enrol_redeem(v->s, SECRET, key, 1001, &d), SATCHEL_E_EXPIRED);
    assert_int_equal(store_enrol_offer(v->s, "phone", OTHER, 2000), SATCHEL_OK);
    assert_int_equal(store_enrol_redeem(v->s, SECRET, key, 900, &d), SATCHEL_E_ENROL_CODE);
    assert_int_equal(store_enrol_redeem(v->s, OTHER, key, 1500, &d), SATCHEL_OK);
    assert_int_equal(store_enrol_offer(v->s, "phone", SECRET, 9000), SATCHEL_E_KEY_TAKEN);
    assert_non_null(strstr(store_error(v->s), "active device"));
    commit(v);
}

static void enrol_known_key_comes_back_under_its_id_unless_revoked(void **state) {
    serving *v = *state;
    opens_first(v);
    device first = serving_device(v, "phone");
    uint8_t key[32];
    serving_fingerprint("phone", key);
    device_info d;
    begin(v);
    assert_int_equal(store_enrol_offer(v->s, "again", SECRET, 1000), SATCHEL_OK);
    assert_int_equal(store_enrol_redeem(v->s, SECRET, key, 900, &d), SATCHEL_OK);
    assert_int_equal(d.id, first.a.device);
    assert_string_equal(d.name, "phone");
    assert_int_equal(store_device_move(v->s, d.id, DEVICE_REVOKED, 5), SATCHEL_OK);
    assert_int_equal(store_device_move(v->s, 777, DEVICE_REVOKED, 5), SATCHEL_E_NOT_FOUND);
    assert_int_equal(store_enrol_offer(v->s, "phone", OTHER, 1000), SATCHEL_OK);
    assert_int_equal(store_enrol_redeem(v->s, OTHER, key, 900, &d), SATCHEL_E_REVOKED);
    commit(v);
    assert_int_equal(store_device_by_fingerprint(v->s, key, &d), SATCHEL_OK);
    assert_int_equal(d.state, DEVICE_REVOKED);
    /* The name is free for another key, and then names that one. */
    uint8_t key2[32];
    serving_fingerprint("phone 2", key2);
    begin(v);
    assert_int_equal(store_enrol_redeem(v->s, OTHER, key2, 900, &d), SATCHEL_OK);
    commit(v);
    assert_int_equal(store_device_by_name(v->s, "phone", &d), SATCHEL_OK);
    assert_memory_equal(d.fingerprint, key2, 32);
    assert_int_equal(store_device_by_name(v->s, "nobody", &d), SATCHEL_E_NOT_FOUND);
}

static int move(serving *v, int64_t id, device_state to, uint64_t now_ms) {
    begin(v);
    int rc = store_device_move(v->s, id, to, now_ms);
    commit(v);
    return rc;
}

static void device_moves_between_states_only_as_it_may_and_each_is_an_event(void **state) {
    serving *v = *state;
    opens_first(v);
    /* A row: from; a column: to, in this order. */
    static const device_state states[] = {DEVICE_ACTIVE, DEVICE_PAUSED, DEVICE_REVOKED,
                                          DEVICE_WIPE,   DEVICE_WIPED,  DEVICE_REMOVED};
    static const char *const may[] = {"+++++-", "+++++-", "--++++", "---++-", "---+++"};
    device_info d;
    for (unsigned from = 0; from < 5; from++) {
        for (unsigned to = 0; to < 6; to++) {
            uint8_t key[CRYPTO_FINGERPRINT_BYTES];
            char name[16];
            snprintf(name, sizeof name, "d%u%u", from, to);
            int64_t id = serving_device(v, name).a.device;
            begin(v);
            sql_exec(v, "DELETE FROM satchel_event");
            char text[80];
            snprintf(text, sizeof text, "UPDATE satchel_device SET state=%d WHERE id=%lld", (int)states[from], (long long)id);
            sql_exec(v, text);
            commit(v);
            bool refused = may[from][to] == '-';
            assert_int_equal(move(v, id, states[to], 77), refused ? SATCHEL_E_MISUSE : SATCHEL_OK);
            serving_fingerprint(name, key);
            assert_int_equal(store_device_by_fingerprint(v->s, key, &d), SATCHEL_OK);
            assert_int_equal(d.state, states[refused ? from : to]);
            assert_string_equal(sql(v, "SELECT count(*) FROM satchel_event"), refused || from == to ? "0" : "1");
            assert_int_equal(d.state_ms, refused || from == to ? 0 : 77);
        }
    }
    assert_int_equal(move(v, 777, DEVICE_WIPE, 1), SATCHEL_E_NOT_FOUND);
}

static int note_name(void *ctx, const device_info *d) {
    char *names = ctx;
    snprintf(names + strlen(names), 64 - strlen(names), "%s ", d->name);
    return 0;
}

static void removed_device_is_found_by_its_key_alone_and_its_name_is_free(void **state) {
    serving *v = *state;
    opens_first(v);
    device phone = serving_device(v, "phone");
    int64_t id = phone.a.device;
    serving_device(v, "tablet");
    uint8_t key[CRYPTO_FINGERPRINT_BYTES], other[CRYPTO_FINGERPRINT_BYTES];
    char names[64] = "";
    device_info d;
    store_counts counts;
    serving_fingerprint("phone", key);
    serving_fingerprint("other", other);
    assert_int_equal(push(v, &phone, 0, 0, "+ item(1)"), SATCHEL_OK);
    assert_int_equal(move(v, id, DEVICE_REVOKED, 4), SATCHEL_OK);
    begin(v);
    assert_int_equal(store_enrol_offer(v->s, "phone", SECRET, 1000), SATCHEL_OK);
    sql_exec(v, "INSERT INTO satchel_grant(device,tbl,key,until_ms,reason,at_ms) VALUES(1,1,x'',99,'',1),(2,1,x'',99,'',1)");
    sql_exec(v,
             "INSERT INTO satchel_silence(rule,subject,until_ms,by) VALUES('device-silent',1,99,''),('device-silent',2,99,'')");
    commit(v);
    assert_int_equal(move(v, id, DEVICE_REMOVED, 5), SATCHEL_OK);
    assert_int_equal(store_device_by_name(v->s, "phone", &d), SATCHEL_E_NOT_FOUND);
    assert_int_equal(store_devices(v->s, note_name, names), SATCHEL_OK);
    assert_string_equal(names, "tablet ");
    assert_int_equal(store_count(v->s, 6, &counts), SATCHEL_OK);
    assert_int_equal(counts.devices, 1);
    assert_string_equal(sql(v, "SELECT group_concat(device||':'||until_ms) FROM satchel_grant"), "1:5,2:99");
    assert_string_equal(sql(v, "SELECT group_concat(subject) FROM satchel_silence"), "2");
    /* Nothing is done with it any more. */
    assert_int_equal(move(v, id, DEVICE_REMOVED, 7), SATCHEL_E_NOT_FOUND);
    assert_int_equal(move(v, id, DEVICE_WIPE, 7), SATCHEL_E_NOT_FOUND);
    begin(v);
    assert_int_equal(store_device_rename(v->s, id, "x", 7), SATCHEL_E_NOT_FOUND);
    assert_int_equal(store_device_resnapshot(v->s, id, 7), SATCHEL_E_NOT_FOUND);
    /* The code ended, and its key comes in by no other. */
    assert_int_equal(store_enrol_redeem(v->s, SECRET, other, 7, &d), SATCHEL_E_ENROL_CODE);
    assert_int_equal(store_enrol_offer(v->s, "phone", OTHER, 1000), SATCHEL_OK);
    assert_int_equal(store_enrol_redeem(v->s, OTHER, key, 7, &d), SATCHEL_E_REVOKED);
    assert_int_equal(store_enrol_redeem(v->s, OTHER, other, 7, &d), SATCHEL_OK);
    commit(v);
    assert_int_equal(store_device_by_name(v->s, "phone", &d), SATCHEL_OK);
    assert_memory_equal(d.fingerprint, other, sizeof other);
    assert_int_equal(store_device_by_fingerprint(v->s, key, &d), SATCHEL_OK);
    assert_int_equal(d.state, DEVICE_REMOVED);
    assert_string_equal(d.name, "phone");
}

static void device_with_an_open_refusal_is_not_removed(void **state) {
    serving *v = *state;
    opens_first(v);
    device phone = serving_device(v, "phone");
    int64_t id = phone.a.device;
    assert_int_equal(push(v, &phone, 0, 0, "+ item(1)"), SATCHEL_OK);
    begin(v);
    sql_exec(v, "INSERT INTO satchel_refused(author,number,id) SELECT author,9,x'00' FROM satchel_author");
    commit(v);
    assert_int_equal(move(v, id, DEVICE_REVOKED, 4), SATCHEL_OK);
    assert_int_equal(move(v, id, DEVICE_REMOVED, 5), SATCHEL_E_MISUSE);
    assert_non_null(strstr(store_error(v->s), "retry or discard"));
    begin(v);
    sql_exec(v, "UPDATE satchel_refused SET state='discarded'");
    commit(v);
    assert_int_equal(move(v, id, DEVICE_REMOVED, 5), SATCHEL_OK);
}

static void device_of_any_state_but_active_and_paused_does_not_enrol_again(void **state) {
    static const device_state states[] = {DEVICE_PAUSED, DEVICE_REVOKED, DEVICE_WIPE, DEVICE_WIPED, DEVICE_REMOVED};
    serving *v = *state;
    opens_first(v);
    device phone = serving_device(v, "phone");
    uint8_t key[32];
    serving_fingerprint("phone", key);
    device_info d;
    begin(v);
    assert_int_equal(store_enrol_offer(v->s, "again", SECRET, 1000), SATCHEL_OK);
    commit(v);
    for (unsigned i = 5; i-- > 0;) {
        begin(v);
        char text[80];
        snprintf(text, sizeof text, "UPDATE satchel_device SET state=%d WHERE id=%lld", (int)states[i],
                 (long long)phone.a.device);
        sql_exec(v, text);
        assert_int_equal(store_enrol_redeem(v->s, SECRET, key, 900, &d), i ? SATCHEL_E_REVOKED : SATCHEL_OK);
        commit(v);
    }
}

static void rename_takes_no_name_that_is_in_use_and_gives_the_old_one_free(void **state) {
    serving *v = *state;
    opens_first(v);
    int64_t phone = serving_device(v, "phone").a.device, tablet = serving_device(v, "tablet").a.device;
    device_info d;
    assert_int_equal(move(v, tablet, DEVICE_PAUSED, 5), SATCHEL_OK);
    begin(v);
    assert_int_equal(store_enrol_offer(v->s, "offered", SECRET, 1000), SATCHEL_OK);
    assert_int_equal(store_device_rename(v->s, phone, "tablet", 5), SATCHEL_E_KEY_TAKEN);
    assert_int_equal(store_device_rename(v->s, phone, "offered", 5), SATCHEL_E_KEY_TAKEN);
    assert_int_equal(store_enrol_offer(v->s, "tablet", OTHER, 1000), SATCHEL_E_KEY_TAKEN);
    assert_int_equal(store_device_rename(v->s, phone, "Ann's", 5), SATCHEL_OK);
    assert_int_equal(store_device_rename(v->s, 777, "x", 5), SATCHEL_E_NOT_FOUND);
    assert_int_equal(store_enrol_offer(v->s, "phone", OTHER, 1000), SATCHEL_OK);
    commit(v);
    assert_int_equal(store_device_by_name(v->s, "Ann's", &d), SATCHEL_OK);
    assert_int_equal(d.id, phone);
    assert_string_equal(sql(v, "SELECT text FROM satchel_event WHERE kind='renamed'"), "renamed from phone to Ann's");
}

static void scope_of_a_code_becomes_the_device_s_and_set_changes_only_what_is_given(void **state) {
    serving *v = *state;
    opens_first(v);
    uint8_t key[32];
    serving_fingerprint("phone", key);
    buf seven = {0}, text = {0};
    value number = value_integer(7), words = value_text("it's", 4);
    value_put(&seven, &number);
    value_put(&text, &words);
    device_info d;
    begin(v);
    assert_int_equal(store_enrol_offer(v->s, "phone", SECRET, 1000), SATCHEL_OK);
    assert_int_equal(
        store_enrol_set_scope(
            v->s, "phone",
            &(device_scope){.given = DEVICE_PROFILE | DEVICE_USER, .profile = "rep", .user = seven.p, .nuser = seven.n}),
        SATCHEL_OK);
    assert_int_equal(store_enrol_redeem(v->s, SECRET, key, 900, &d), SATCHEL_OK);
    assert_false(d.everything);
    assert_string_equal(d.profile, "rep");
    assert_string_equal(d.user, "7");
    assert_string_equal(d.store, "");
    assert_int_equal(
        store_device_set_scope(v->s, d.id, &(device_scope){.given = DEVICE_STORE, .store = text.p, .nstore = text.n}, 9),
        SATCHEL_OK);
    assert_int_equal(store_device_by_name(v->s, "phone", &d), SATCHEL_OK);
    assert_string_equal(d.profile, "rep");
    assert_string_equal(d.user, "7");
    assert_string_equal(d.store, "'it''s'");
    assert_int_equal(store_device_set_scope(v->s, d.id, &(device_scope){.given = DEVICE_PROFILE | DEVICE_USER}, 9), SATCHEL_OK);
    assert_int_equal(store_device_by_name(v->s, "phone", &d), SATCHEL_OK);
    assert_true(d.everything);
    assert_string_equal(d.user, "");
    assert_string_equal(d.store, "'it''s'");
    assert_int_equal(store_device_set_scope(v->s, 777, &(device_scope){.given = DEVICE_USER}, 9), SATCHEL_E_NOT_FOUND);
    commit(v);
    /* The same key with another code holds what that one says, and nothing else changes at the same code again. */
    begin(v);
    assert_int_equal(store_enrol_offer(v->s, "phone again", OTHER, 1000), SATCHEL_OK);
    device_scope till = {.given = DEVICE_PROFILE | DEVICE_USER, .profile = "till", .user = seven.p, .nuser = seven.n};
    assert_int_equal(store_enrol_set_scope(v->s, "phone again", &till), SATCHEL_OK);
    assert_int_equal(store_enrol_redeem(v->s, OTHER, key, 900, &d), SATCHEL_OK);
    assert_string_equal(d.name, "phone");
    assert_false(d.everything);
    assert_string_equal(d.profile, "till");
    assert_string_equal(d.user, "7");
    assert_string_equal(d.store, "");
    assert_int_equal(store_device_set_scope(v->s, d.id, &(device_scope){.given = DEVICE_PROFILE, .profile = "rep"}, 9),
                     SATCHEL_OK);
    assert_int_equal(store_enrol_redeem(v->s, OTHER, key, 900, &d), SATCHEL_OK);
    assert_string_equal(d.profile, "rep");
    commit(v);
    assert_string_equal(sql(v, "SELECT count(*) FROM satchel_event WHERE kind='scope'"), "3");
    buf_fini(&seven);
    buf_fini(&text);
}

static void authors_are_made_once_and_forks_count_up(void **state) {
    serving *v = *state;
    opens_first(v);
    device phone = serving_device(v, "phone");
    author_info a;
    begin(v);
    assert_int_equal(store_author(v->s, phone.a.device, 1, &a), SATCHEL_OK);
    assert_int_equal(a.author, phone.a.author);
    assert_int_equal(store_author(v->s, phone.a.device, 0, &a), SATCHEL_E_NOT_FOUND);
    assert_int_equal(store_author_fork(v->s, phone.a.device, 5, &a), SATCHEL_OK);
    assert_int_equal(a.incarnation, 2);
    assert_int_not_equal(a.author, phone.a.author);
    /* One that a restored store no longer knows. */
    assert_int_equal(store_author(v->s, phone.a.device, 9, &a), SATCHEL_OK);
    assert_int_equal(store_author_fork(v->s, phone.a.device, 5, &a), SATCHEL_OK);
    assert_int_equal(a.incarnation, 10);
    assert_int_equal(a.last_number, 0);
    commit(v);
    device_info d;
    assert_int_equal(store_device_by_name(v->s, "phone", &d), SATCHEL_OK);
    assert_int_equal(d.incarnations, 4);
    assert_string_equal(sql(v, "SELECT count(*) FROM satchel_event WHERE kind='fork'"), "2");
}

static void device_seen_tells_what_may_be_forgotten(void **state) {
    serving *v = *state;
    opens_first(v);
    device phone = serving_device(v, "phone");
    device_info d;
    device_seen seen = {
        .now_ms = 9, .acked_seq = 40, .clock_offset_ms = -70, .schema_epoch = 1, .software = "test/1 and more", .nsoftware = 6};
    begin(v);
    assert_int_equal(store_device_seen(v->s, phone.a.device, &seen), SATCHEL_OK);
    assert_int_equal(store_device_acked(v->s, phone.a.device, 50, 10), SATCHEL_OK);
    assert_int_equal(store_device_acked(v->s, phone.a.device, 45, 11), SATCHEL_OK);
    commit(v);
    assert_int_equal(store_device_by_name(v->s, "phone", &d), SATCHEL_OK);
    assert_int_equal(d.acked_seq, 50);
    assert_int_equal(d.last_seen_ms, 11);
    assert_int_equal(d.clock_offset_ms, -70);
    assert_string_equal(d.software, "test/1");
    /* A file that was put back stands lower than the device did. */
    seen.acked_seq = 30;
    seen.software = NULL;
    begin(v);
    assert_int_equal(store_device_seen(v->s, phone.a.device, &seen), SATCHEL_OK);
    commit(v);
    assert_int_equal(store_device_by_name(v->s, "phone", &d), SATCHEL_OK);
    assert_int_equal(d.acked_seq, 30);
    assert_string_equal(d.software, "test/1");
    /* With edits that wait on it, made before it stood there, nothing more may be forgotten yet. */
    seen.acked_seq = 60;
    seen.pending = 2;
    begin(v);
    assert_int_equal(store_device_seen(v->s, phone.a.device, &seen), SATCHEL_OK);
    commit(v);
    assert_int_equal(store_device_by_name(v->s, "phone", &d), SATCHEL_OK);
    assert_int_equal(d.acked_seq, 30);
    assert_int_equal(d.pending, 2);
}

/* ---- transactions ---- */

static void rollback_and_savepoints_put_position_and_rows_back(void **state) {
    serving *v = *state;
    opens_first(v);
    device d = serving_device(v, "phone");
    push_txn t = make_txn(&d, 0, 0);
    buf delta;
    buf_init(&delta, 0);
    serving_delta(store_schema(v->s), "+ item(1)", &delta);
    t.delta = delta.p;
    t.ndelta = delta.n;
    t.schema_epoch = 1;
    begin(v);
    assert_int_equal(ingest_push(v->g, &d.a, &t, v->now_ms, &v->last), SATCHEL_OK);
    assert_int_equal(store_where(v->s).seq, 1);
    store_rollback(v->s);
    assert_int_equal(store_where(v->s).seq, 0);
    assert_int_equal(store_where(v->s).high_stamp, 0);
    assert_string_equal(sql(v, "SELECT count(*) FROM item"), "0");
    begin(v);
    assert_int_equal(store_savepoint(v->s), SATCHEL_OK);
    sql_exec(v, "INSERT INTO item(id) VALUES(1)");
    assert_int_equal(store_savepoint(v->s), SATCHEL_OK);
    sql_exec(v, "INSERT INTO item(id) VALUES(2)");
    store_savepoint_rollback(v->s);
    assert_string_equal(sql(v, "SELECT count(*) FROM item"), "1");
    assert_int_equal(store_savepoint_release(v->s), SATCHEL_OK);
    commit(v);
    assert_string_equal(sql(v, "SELECT count(*) FROM item"), "1");
    buf_fini(&delta);
}

/* ---- pruning ---- */

static uint64_t prune(serving *v, uint64_t now_ms, uint64_t history_ms) {
    uint64_t removed;
    begin(v);
    assert_int_equal(store_prune(v->s, now_ms, history_ms, UINT64_C(1) << 50, &removed), SATCHEL_OK);
    commit(v);
    return removed;
}

static void acked(serving *v, const device *d, uint64_t seq) {
    begin(v);
    assert_int_equal(store_device_acked(v->s, d->a.device, seq, 1), SATCHEL_OK);
    commit(v);
}

static void prune_stops_at_the_slowest_device_and_at_the_history(void **state) {
    serving *v = *state;
    opens_first(v);
    device phone = serving_device(v, "phone"), tablet = serving_device(v, "tablet");
    for (int i = 1; i <= 4; i++) {
        char words[32];
        snprintf(words, sizeof words, "+ item(%d)", i);
        assert_int_equal(push(v, &phone, 0, i, words), SATCHEL_OK);
        v->now_ms += 1000;
    }
    assert_int_equal(push(v, &phone, 4, 10, "- item(1)"), SATCHEL_OK);
    uint64_t late = v->now_ms + 100000;
    assert_int_equal(prune(v, late, 0), 0);
    acked(v, &phone, 5);
    assert_int_equal(prune(v, late, 0), 0);
    acked(v, &tablet, 2);
    assert_int_equal(prune(v, late, 0), 2);
    assert_int_equal(store_where(v->s).floor, 2);
    assert_string_equal(sql(v, "SELECT group_concat(id>>24) FROM satchel_log"), "3,4,5");
    acked(v, &tablet, 5);
    assert_int_equal(prune(v, v->now_ms, 1500), 1);
    assert_int_equal(store_where(v->s).floor, 3);
    assert_string_equal(sql(v, "SELECT count(*) FROM satchel_tombstone"), "1");
    assert_int_equal(prune(v, late, 0), 2);
    assert_int_equal(store_where(v->s).floor, 5);
    assert_string_equal(sql(v, "SELECT (SELECT count(*) FROM satchel_tombstone),(SELECT count(*) FROM satchel_result)"), "0|0");
    serving_reopen(v);
    assert_int_equal(store_where(v->s).floor, 5);
}

static void prune_of_very_much_goes_step_by_step(void **state) {
    serving *v = *state;
    opens_first(v);
    sql_exec(
        v,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<25000) INSERT INTO satchel_log SELECT i<<24,1,0,1,1,x'80',0 FROM n;"
        "UPDATE satchel_server SET seq=25000");
    serving_reopen(v);
    assert_int_equal(prune(v, v->now_ms, 0), 20001);
    assert_int_equal(store_where(v->s).floor, 20001);
    assert_int_equal(prune(v, v->now_ms, 0), 4999);
    assert_int_equal(store_where(v->s).floor, 25000);
}

static void prune_without_devices_keeps_the_history_alone(void **state) {
    serving *v = *state;
    serving_write(v, "schema/001_first.data.sql", "INSERT INTO item(id) VALUES(1);");
    opens_first(v);
    assert_int_equal(prune(v, v->now_ms, 1000), 0);
    assert_int_equal(prune(v, v->now_ms + 2000, 1000), 1);
    assert_int_equal(store_where(v->s).floor, 1);
    assert_int_equal(prune(v, v->now_ms + 2000, 1000), 0);
}

static void prune_revoked_device_holds_nothing_back(void **state) {
    serving *v = *state;
    opens_first(v);
    device phone = serving_device(v, "phone"), tablet = serving_device(v, "tablet");
    assert_int_equal(push(v, &phone, 0, 0, "+ item(1)"), SATCHEL_OK);
    acked(v, &phone, 1);
    assert_int_equal(prune(v, v->now_ms + 1, 0), 0);
    begin(v);
    assert_int_equal(store_device_move(v->s, tablet.a.device, DEVICE_REVOKED, 1), SATCHEL_OK);
    commit(v);
    assert_int_equal(prune(v, v->now_ms + 1, 0), 1);
}

static void prune_keeps_refusals(void **state) {
    serving *v = *state;
    opens_first(v);
    device phone = serving_device(v, "phone");
    assert_int_equal(push(v, &phone, 0, 0, "+ item(1)"), SATCHEL_OK);
    assert_int_equal(push(v, &phone, 0, 0, "~ item(2) a='x'"), SATCHEL_E_ROW_MISSING);
    acked(v, &phone, 1);
    prune(v, v->now_ms + 1, 0);
    assert_string_equal(sql(v, "SELECT number FROM satchel_result"), "2");
}

/* ---- listings ---- */

static int count_devices(void *ctx, const device_info *d) {
    (void)d;
    ++*(int *)ctx;
    return 0;
}

static int show_conflict(void *ctx, const conflict_info *c) {
    snprintf(ctx, 256, "%s.%s[%s] %s %s>%s %s>%s", c->table, c->column, c->key, c->rule, c->kept, c->lost, c->kept_device,
             c->lost_device);
    return 1;
}

static int show_refused(void *ctx, const refused_info *f) {
    snprintf(ctx, 512, "%s/%u #%llu %s %s %s %s %s", f->device, f->incarnation, (unsigned long long)f->number,
             satchel_rc_name(f->rc), f->table, f->key, f->state, f->changes);
    return 0;
}

static int count_conflict(void *ctx, const conflict_info *c) {
    (void)c;
    ++*(int *)ctx;
    return 0;
}

static void open_conflicts_are_listed_without_a_look_at_the_others(void **state) {
    serving *v = *state;
    int n = 0, steps = 0;
    opens_first(v);
    sql_exec(v,
             "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<2000) INSERT INTO"
             " satchel_conflict(seq,at_ms,tbl,key,col,rule,state) SELECT i,i,1,x'00',0,0,iif(i%1000,'accepted','open') FROM n");
    assert_int_equal(store_conflicts(v->s, &(conflict_which){.open = true}, count_conflict, &n), SATCHEL_OK);
    assert_int_equal(n, 2);
    for (sqlite3_stmt *q = NULL; (q = sqlite3_next_stmt(store_db(v->s), q));)
        if (strstr(sqlite3_sql(q), "FROM satchel_conflict c")) steps += sqlite3_stmt_status(q, SQLITE_STMTSTATUS_VM_STEP, 0);
    assert_in_range(steps, 1, 1000);
    n = 0;
    assert_int_equal(store_conflicts(v->s, &(conflict_which){.limit = 5}, count_conflict, &n), SATCHEL_OK);
    assert_int_equal(n, 5);
    n = 0;
    assert_int_equal(store_conflicts(v->s, &(conflict_which){.id = 7, .open = true}, count_conflict, &n), SATCHEL_OK);
    assert_int_equal(n, 0);
}

static void listings_show_devices_conflicts_and_refusals_in_words(void **state) {
    serving *v = *state;
    opens_first(v);
    device phone = serving_device(v, "phone"), tablet = serving_device(v, "tablet");
    assert_int_equal(push(v, &phone, 0, 0, "+ item(1) a='it''s'"), SATCHEL_OK);
    assert_int_equal(push(v, &tablet, 0, 5, "~ item(1) a='new'"), SATCHEL_OK);
    assert_int_equal(push(v, &tablet, 0, 6, "~ item(2) a='\"q\"', b=2"), SATCHEL_E_ROW_MISSING);
    char text[512];
    int devices = 0;
    assert_int_equal(store_devices(v->s, count_devices, &devices), SATCHEL_OK);
    assert_int_equal(devices, 2);
    assert_int_equal(store_conflicts(v->s, &(conflict_which){.limit = 10}, show_conflict, text), SATCHEL_OK);
    assert_string_equal(text, "item.a[1] lww 'new'>'it''s' tablet>phone");
    assert_int_equal(store_refused(v->s, false, show_refused, text), SATCHEL_OK);
    assert_string_equal(
        text,
        "tablet/1 #2 E_ROW_MISSING item 2 open [{\"op\":\"update\",\"table\":\"item\",\"key\":[\"2\"],\"columns\":{\"a\":\"'\\\"q\\\"'\","
        "\"b\":\"2\"}}]");
    device_info d;
    assert_int_equal(store_device_by_name(v->s, "phone", &d), SATCHEL_OK);
    assert_int_equal(d.conflicts, 1);
    assert_int_equal(store_device_by_name(v->s, "tablet", &d), SATCHEL_OK);
    assert_int_equal(d.rejected_open, 1);
    store_counts c;
    assert_int_equal(store_count(v->s, v->now_ms, &c), SATCHEL_OK);
    assert_int_equal(c.devices, 2);
    assert_int_equal(c.rows, 1);
    assert_int_equal(c.conflicts, 1);
    assert_int_equal(c.rejected_open, 1);
    assert_int_equal(c.log_rows, 2);
}

/* ---- backups and upkeep ---- */

static void N7_devices_may_let_go_of_what_a_backup_has_or_what_is_older_than_the_history(void **state) {
    serving *v = *state;
    opens_first(v);
    device d = serving_device(v, "phone");
    for (int i = 1; i <= 4; i++) {
        char words[40];
        snprintf(words, sizeof words, "+ item(%d)", i);
        v->now_ms += 1000;
        assert_int_equal(push(v, &d, 0, i, words), SATCHEL_OK);
    }
    assert_int_equal(store_released(v->s), 0);
    begin(v);
    assert_int_equal(store_backed_up(v->s, 2, "/backups/monday", v->now_ms), SATCHEL_OK);
    assert_int_equal(store_backed_up(v->s, 1, "/backups/older", v->now_ms + 5), SATCHEL_OK);
    commit(v);
    assert_int_equal(store_released(v->s), 2);
    assert_int_equal(store_where(v->s).backup_seq, 2);
    uint64_t at_ms, removed;
    assert_int_equal(store_last_backup(v->s, &at_ms), SATCHEL_OK);
    assert_int_equal(at_ms, v->now_ms + 5);
    /* The device has acknowledged nothing, so the log stays; but commit 3 is older than the history, which is two seconds. */
    begin(v);
    assert_int_equal(store_prune(v->s, v->now_ms + 1500, 2000, UINT64_C(1) << 50, &removed), SATCHEL_OK);
    commit(v);
    assert_int_equal(removed, 0);
    assert_int_equal(store_where(v->s).floor, 0);
    assert_int_equal(store_released(v->s), 3);
    serving_reopen(v);
    assert_int_equal(store_released(v->s), 2);
}

static void restored_as_an_epoch_that_has_begun_goes_on_from_there(void **state) {
    serving *v = *state;
    opens_first(v);
    uint8_t epoch[EPOCH_BYTES] = {1, 2, 3, 4, 5, 6, 7, 8};
    for (int i = 0; i < 2; i++) {
        serving_close(v);
        char schema_dir[96];
        snprintf(schema_dir, sizeof schema_dir, "%s/schema", v->dir);
        store_config c = {.path = v->path, .schema_dir = schema_dir, .now_ms = v->now_ms, .restored = true, .restored_as = epoch};
        buf error = {0};
        assert_int_equal(store_open(&c, &v->s, &error), SATCHEL_OK);
        buf_fini(&error);
        store_position p = store_where(v->s);
        assert_memory_equal(p.epoch, epoch, EPOCH_BYTES);
        assert_string_equal(sql(v, "SELECT count(*) FROM satchel_epoch"), "2");
    }
}

static void tidy_gives_free_pages_back_and_cuts_the_log(void **state) {
    serving *v = *state;
    opens_first(v);
    sql_exec(v, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<4000)"
                " INSERT INTO satchel_event(at_ms,kind,text) SELECT 1,'x',hex(randomblob(1000)) FROM n");
    sql_exec(v, "DELETE FROM satchel_event");
    long before = strtol(sql(v, "PRAGMA page_count"), NULL, 10);
    bool more = true;
    int steps = 0;
    for (; more; steps++) assert_int_equal(store_tidy(v->s, 0, &more), SATCHEL_OK);
    assert_true(steps > 1);
    assert_true(strtol(sql(v, "PRAGMA page_count"), NULL, 10) < before / 4);
    char wal[128];
    struct stat st;
    snprintf(wal, sizeof wal, "%s-wal", v->path);
    assert_int_equal(stat(wal, &st), 0);
    assert_true(st.st_size > 0);
    assert_int_equal(store_tidy(v->s, UINT64_C(1) << 40, &more), SATCHEL_OK);
    assert_int_equal(stat(wal, &st), 0);
    assert_int_equal(st.st_size, 0);
}

/* ---- digest ---- */

static void digest_is_equal_for_equal_content_alone(void **state) {
    serving *v = *state;
    opens_first(v);
    device d = serving_device(v, "phone");
    buf a, b;
    buf_init(&a, 0);
    buf_init(&b, 0);
    assert_int_equal(push(v, &d, 0, 0, "+ item(1) a='x'"), SATCHEL_OK);
    assert_int_equal(store_digest(v->s, &a), SATCHEL_OK);
    assert_int_equal(memcmp(a.p, "item 1 ", 7), 0);
    assert_int_equal(push(v, &d, 0, 1, "~ item(1) a='y'"), SATCHEL_OK);
    assert_int_equal(store_digest(v->s, &b), SATCHEL_OK);
    assert_true(a.n == b.n && memcmp(a.p, b.p, a.n) != 0);
    assert_int_equal(push(v, &d, 0, 2, "~ item(1) a='x'"), SATCHEL_OK);
    buf_clear(&b);
    assert_int_equal(store_digest(v->s, &b), SATCHEL_OK);
    assert_int_equal(a.n, b.n);
    assert_memory_equal(a.p, b.p, a.n);
    buf_fini(&a);
    buf_fini(&b);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(open_new_file_makes_a_private_store),
        TEST(open_again_finds_everything_as_it_was),
        TEST(commit_of_a_transaction_that_has_ended_writes_nothing),
        TEST(open_foreign_database_is_refused_and_left_untouched),
        TEST(open_empty_file_of_another_application_is_refused),
        TEST(open_file_of_a_newer_version_is_refused),
        TEST(open_what_is_no_database_is_refused),
        TEST(open_damaged_store_is_refused),
        TEST(open_store_without_its_tables_is_corrupt),
        TEST(open_read_only_file_is_refused),
        TEST(open_restored_file_begins_a_new_epoch),
        TEST(migrations_run_in_order_and_only_once),
        TEST(migrations_with_a_gap_are_refused_before_anything_runs),
        TEST(migrations_with_one_number_twice_are_refused),
        TEST(migrations_misnamed_or_missing_are_refused),
        TEST(migration_changed_after_it_ran_is_refused),
        TEST(migration_that_ran_and_is_gone_is_refused),
        TEST(migration_with_a_mistake_names_file_and_line_and_leaves_nothing),
        TEST(migration_data_is_written_by_the_server_as_one_commit),
        TEST(enrol_redeem_makes_a_device_once),
        TEST(enrol_expired_or_replaced_code_is_refused),
        TEST(enrol_known_key_comes_back_under_its_id_unless_revoked),
        TEST(device_moves_between_states_only_as_it_may_and_each_is_an_event),
        TEST(removed_device_is_found_by_its_key_alone_and_its_name_is_free),
        TEST(device_with_an_open_refusal_is_not_removed),
        TEST(device_of_any_state_but_active_and_paused_does_not_enrol_again),
        TEST(rename_takes_no_name_that_is_in_use_and_gives_the_old_one_free),
        TEST(scope_of_a_code_becomes_the_device_s_and_set_changes_only_what_is_given),
        TEST(authors_are_made_once_and_forks_count_up),
        TEST(device_seen_tells_what_may_be_forgotten),
        TEST(rollback_and_savepoints_put_position_and_rows_back),
        TEST(prune_stops_at_the_slowest_device_and_at_the_history),
        TEST(prune_of_very_much_goes_step_by_step),
        TEST(prune_without_devices_keeps_the_history_alone),
        TEST(prune_revoked_device_holds_nothing_back),
        TEST(prune_keeps_refusals),
        TEST(open_conflicts_are_listed_without_a_look_at_the_others),
        TEST(listings_show_devices_conflicts_and_refusals_in_words),
        TEST(N7_devices_may_let_go_of_what_a_backup_has_or_what_is_older_than_the_history),
        TEST(restored_as_an_epoch_that_has_begun_goes_on_from_there),
        TEST(tidy_gives_free_pages_back_and_cuts_the_log),
        TEST(digest_is_equal_for_equal_content_alone),
    };
    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
