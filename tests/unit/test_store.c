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

static void opens_first(serving *v) {
    serving_write(v, "schema/001_first.sql", FIRST);
    serving_reopen(v);
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
    assert_int_equal(p.epoch_start, 0);
    assert_true(store_epoch_known(v->s, old, &end));
    assert_int_equal(end, 0);
    old[0] ^= 1;
    assert_false(store_epoch_known(v->s, old, &end));
    buf_fini(&error);
}

/* Put back by hand, it may have gone on for a while before somebody said so: what it took then lies above what devices have in common with it. */
static void open_restored_file_of_which_nobody_knows_since_when_begins_at_the_backup_before(void **state) {
    serving *v = *state;
    opens_first(v);
    device d = serving_device(v, "phone");
    assert_int_equal(push(v, &d, 0, 0, "+ item(1)"), SATCHEL_OK);
    assert_int_equal(store_begin(v->s), SATCHEL_OK);
    assert_int_equal(store_backed_up(v->s, 1, "b", 1), SATCHEL_OK);
    assert_int_equal(store_commit(v->s), SATCHEL_OK);
    assert_int_equal(push(v, &d, 1, 0, "+ item(2)"), SATCHEL_OK);
    uint8_t bundle[EPOCH_BYTES] = {1, 2, 3, 4, 5, 6, 7, 8};
    static const uint64_t START[] = {1, 2, 2};
    for (unsigned i = 0; i < 3; i++) {
        serving_close(v);
        buf error = {0};
        store_config c = {.path = v->path, .now_ms = v->now_ms, .restored = true, .restored_as = i == 1 ? bundle : NULL};
        assert_int_equal(store_open(&c, &v->s, &error), SATCHEL_OK);
        assert_int_equal(store_where(v->s).seq, 2);
        assert_int_equal(store_where(v->s).epoch_start, START[i]); /* never before the last epoch */
        buf_fini(&error);
    }
}

/* ---- migrations ---- */

static void byte_order_mark_before_a_migration_is_not_handed_on(void **state) {
    serving *v = *state;
    char text[4096];
    snprintf(text, sizeof text, "\xef\xbb\xbf%s", FIRST);
    serving_write(v, "schema/001_first.sql", text);
    serving_reopen(v);
    assert_string_equal(sql(v, "SELECT instr(CAST(sql AS BLOB),x'EFBBBF') FROM satchel_migration"), "0");
    serving_reopen(v);
}

static void migrations_run_in_order_and_only_once(void **state) {
    serving *v = *state;
    serving_write(v, "schema/001_first.sql", FIRST);
    serving_write(v, "schema/002_second.sql", SECOND);
    serving_write(v, "schema/notes.txt", "no migration");
    serving_reopen(v);
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
    serving_reopen(v);
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

/* ---- transactions ---- */

/* As SQLite does by itself where the disk is full. */
static void commit_of_a_transaction_that_has_ended_writes_nothing(void **state) {
    serving *v = *state;
    opens_first(v);
    store_position before = store_where(v->s);
    serving_begin(v);
    assert_true(store_is_open(v->s));
    assert_int_equal(store_backed_up(v->s, 77, "b", 1), SATCHEL_OK);
    assert_int_equal(sqlite3_exec(store_db(v->s), "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    assert_false(store_is_open(v->s));
    assert_int_equal(store_commit(v->s), SATCHEL_E_IO);
    assert_string_equal(sql(v, "SELECT backup_seq FROM satchel_server"), "0");
    assert_int_equal(store_where(v->s).seq, before.seq);
    serving_begin(v);
    serving_commit(v);
}

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
    serving_begin(v);
    assert_int_equal(ingest_push(v->g, &d.a, &t, v->now_ms, &v->last), SATCHEL_OK);
    assert_int_equal(store_where(v->s).seq, 1);
    store_rollback(v->s);
    assert_int_equal(store_where(v->s).seq, 0);
    assert_int_equal(store_where(v->s).high_stamp, 0);
    assert_string_equal(sql(v, "SELECT count(*) FROM item"), "0");
    serving_begin(v);
    assert_int_equal(store_savepoint(v->s), SATCHEL_OK);
    sql_exec(v, "INSERT INTO item(id) VALUES(1)");
    assert_int_equal(store_savepoint(v->s), SATCHEL_OK);
    sql_exec(v, "INSERT INTO item(id) VALUES(2)");
    store_savepoint_rollback(v->s);
    assert_string_equal(sql(v, "SELECT count(*) FROM item"), "1");
    assert_int_equal(store_savepoint_release(v->s), SATCHEL_OK);
    serving_commit(v);
    assert_string_equal(sql(v, "SELECT count(*) FROM item"), "1");
    buf_fini(&delta);
}

/* ---- pruning ---- */

static uint64_t prune(serving *v, uint64_t now_ms, uint64_t history_ms) {
    uint64_t removed;
    serving_begin(v);
    assert_int_equal(store_prune(v->s, now_ms, history_ms, UINT64_C(1) << 50, &removed), SATCHEL_OK);
    serving_commit(v);
    return removed;
}

static void acked(serving *v, const device *d, uint64_t seq) {
    serving_begin(v);
    assert_int_equal(store_device_acked(v->s, d->a.device, seq, 1), SATCHEL_OK);
    serving_commit(v);
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
    serving_begin(v);
    assert_int_equal(store_device_move(v->s, tablet.a.device, DEVICE_REVOKED, 1), SATCHEL_OK);
    serving_commit(v);
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
    serving_begin(v);
    assert_int_equal(store_backed_up(v->s, 2, "/backups/monday", v->now_ms), SATCHEL_OK);
    assert_int_equal(store_backed_up(v->s, 1, "/backups/older", v->now_ms + 5), SATCHEL_OK);
    serving_commit(v);
    assert_int_equal(store_released(v->s), 2);
    assert_int_equal(store_where(v->s).backup_seq, 2);
    uint64_t at_ms, removed;
    assert_int_equal(store_last_backup(v->s, &at_ms), SATCHEL_OK);
    assert_int_equal(at_ms, v->now_ms + 5);
    /* The device has acknowledged nothing, so the log stays; but commit 3 is older than the history, which is two seconds. */
    serving_begin(v);
    assert_int_equal(store_prune(v->s, v->now_ms + 1500, 2000, UINT64_C(1) << 50, &removed), SATCHEL_OK);
    serving_commit(v);
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
        assert_int_equal(p.epoch_start, p.seq);
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
        TEST(byte_order_mark_before_a_migration_is_not_handed_on),
        TEST(migrations_with_a_gap_are_refused_before_anything_runs),
        TEST(migrations_with_one_number_twice_are_refused),
        TEST(migrations_misnamed_or_missing_are_refused),
        TEST(migration_changed_after_it_ran_is_refused),
        TEST(migration_that_ran_and_is_gone_is_refused),
        TEST(migration_with_a_mistake_names_file_and_line_and_leaves_nothing),
        TEST(migration_data_is_written_by_the_server_as_one_commit),
        TEST(rollback_and_savepoints_put_position_and_rows_back),
        TEST(prune_stops_at_the_slowest_device_and_at_the_history),
        TEST(prune_of_very_much_goes_step_by_step),
        TEST(prune_without_devices_keeps_the_history_alone),
        TEST(prune_revoked_device_holds_nothing_back),
        TEST(prune_keeps_refusals),
        TEST(open_conflicts_are_listed_without_a_look_at_the_others),
        TEST(listings_show_devices_conflicts_and_refusals_in_words),
        TEST(N7_devices_may_let_go_of_what_a_backup_has_or_what_is_older_than_the_history),
        TEST(open_restored_file_of_which_nobody_knows_since_when_begins_at_the_backup_before),
        TEST(restored_as_an_epoch_that_has_begun_goes_on_from_there),
        TEST(tidy_gives_free_pages_back_and_cuts_the_log),
        TEST(digest_is_equal_for_equal_content_alone),
    };
    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
