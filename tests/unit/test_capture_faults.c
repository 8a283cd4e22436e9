/* Capture without memory, without a temporary file, without randomness: a transaction is captured whole, or refused and undone. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>

#include "protocol/capture_internal.h"
#include "protocol/changeset.h"
#include "tests/support/faults.h"
#include "tests/unit/capture_fixture.h"

const char capture_file[] = "test_capture_faults.db";

static sqlite3 *open_memory(void) {
    sqlite3 *db;
    assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
    return db;
}

/* ---- memory ---- */

static void open_without_memory_is_refused_and_leaves_the_connection_usable(void **state) {
    (void)state;
    captured none = {0};
    capture_sink sink = captured_sink(&none);
    for (fault_loop l = {0}; faults_next(&l);) {
        sqlite3 *db = open_memory();
        capture *c;
        faults_at(l.n, l.all);
        int rc = capture_open(db, &sink, &c);
        faults_at(0, false);
        if (rc) {
            assert_int_equal(rc, SATCHEL_E_NOMEM);
            assert_null(c);
        }
        exec(db, "CREATE TABLE t(a); INSERT INTO t VALUES(1)");
        capture_close(c);
        sqlite3_close(db);
    }
}

static void functions_without_memory_are_refused(void **state) {
    (void)state;
    for (fault_loop l = {0}; faults_next(&l);) {
        sqlite3 *db = open_memory();
        faults_at(l.n, l.all);
        int rc = capture_functions(db, true);
        faults_at(0, false);
        if (rc) assert_int_equal(rc, SATCHEL_E_NOMEM);
        if (!rc) assert_int_equal(query(db, "SELECT satchel_local() + length(uuid7())"), 17);
        sqlite3_close(db);
    }
}

static const char *const contact[] = {"contact", NULL};

/* One trigger is missing, one is another, and one is of a table that is gone. */
#define DISORDER                                                                                                                 \
    "DROP TRIGGER satchel_1_insert; DROP TRIGGER satchel_1_delete; CREATE TABLE gone(a);"                                        \
    "CREATE TRIGGER satchel_1_delete AFTER DELETE ON contact WHEN 0 BEGIN SELECT 1; END;"                                        \
    "CREATE TRIGGER satchel_9_insert AFTER INSERT ON gone WHEN 0 BEGIN SELECT 1; END"

static void C3_install_without_memory_is_refused_and_can_be_done_again(void **state) {
    captured_open(&x, ":memory:", "PRAGMA encoding = 'UTF-16'; " CONTACT, contact);
    for (fault_loop l = {0}; faults_next(&l);) {
        buf error = {0};
        if (sqlite3_get_autocommit(x.db)) exec(x.db, "BEGIN; " DISORDER);
        exec(x.db, "SAVEPOINT before");
        faults_at(l.n, l.all);
        int rc = capture_install(x.db, x.schema, &error);
        faults_at(0, false);
        buf_fini(&error);
        if (rc) assert_int_equal(rc, SATCHEL_E_NOMEM);
        if (!rc) check_says(SATCHEL_OK, "");
        if (!rc) assert_int_equal(query(x.db, "SELECT count(*) FROM sqlite_schema WHERE type = 'trigger'"), 3);
        if (!sqlite3_get_autocommit(x.db)) exec(x.db, "ROLLBACK TO before; RELEASE before");
    }
    close_all(state);
}

static void C3_first_install_without_memory_is_refused_and_leaves_nothing(void **state) {
    (void)state;
    captured none = {0};
    capture_sink sink = captured_sink(&none);
    capture *c;
    sqlite3 *db = open_memory();
    exec(db, CONTACT);
    schema *s = captured_schema(db, contact);
    assert_int_equal(capture_open(db, &sink, &c), SATCHEL_OK);
    for (fault_loop l = {0}; faults_next(&l);) {
        buf error = {0};
        exec(db, "BEGIN");
        faults_at(l.n, l.all);
        int rc = capture_install(db, s, &error);
        faults_at(0, false);
        buf_fini(&error);
        assert_int_equal(rc, faults_happened() && rc ? SATCHEL_E_NOMEM : SATCHEL_OK);
        if (!sqlite3_get_autocommit(db)) exec(db, "ROLLBACK");
        assert_int_equal(query(db, "SELECT count(*) FROM sqlite_schema WHERE name GLOB 'satchel_*'"), 0);
    }
    capture_close(c);
    captured_schema_free(s);
    sqlite3_close(db);
}

static void C3_check_without_memory_never_finds_what_is_not_there(void **state) {
    open_contact(state);
    exec(x.db, "CREATE TRIGGER mine AFTER INSERT ON contact WHEN satchel_local() BEGIN SELECT 1; END");
    for (fault_loop l = {0}; faults_next(&l);) {
        buf error = {0};
        faults_at(l.n, l.all);
        int rc = capture_check(x.db, x.schema, &error);
        faults_at(0, false);
        buf_fini(&error);
        if (rc) assert_int_equal(rc, SATCHEL_E_NOMEM);
        check_says(SATCHEL_OK, "");
    }
    close_all(state);
}

static void C10_check_without_memory_never_passes_a_wrong_trigger(void **state) {
    captured_open(&x, ":memory:", "PRAGMA encoding = 'UTF-16'; " CONTACT, contact);
    exec(x.db, "CREATE TRIGGER yours AFTER DELETE ON contact BEGIN SELECT 1; END");
    for (fault_loop l = {0}; faults_next(&l);) {
        buf error = {0};
        faults_at(l.n, l.all);
        int rc = capture_check(x.db, x.schema, &error);
        faults_at(0, false);
        buf_fini(&error);
        if (rc != SATCHEL_E_TABLE_SHAPE) assert_int_equal(rc, SATCHEL_E_NOMEM);
    }
    close_all(state);
}

static void C3_virtual_table_without_memory_cannot_be_read(void **state) {
    (void)state;
    for (fault_loop l = {0}; faults_next(&l);) {
        faults_at(l.n, l.all);
        int failed = sqlite3_exec(x.db, "SELECT * FROM satchel_tap", NULL, NULL, NULL);
        faults_at(0, false);
        if (failed) assert_int_equal(failed, SQLITE_NOMEM);
    }
}

/* Whether the words or the memory fail it, it fails. */
static void C9_refusal_without_memory_is_a_refusal(void **state) {
    (void)state;
    faults_of_sqlite(false);
    for (fault_loop l = {0}; faults_next(&l);) {
        open_contact(state);
        faults_at(l.n, l.all);
        int failed = sqlite3_exec(x.db, "INSERT INTO contact VALUES(1, CAST(x'61ff' AS TEXT), 1, NULL)", NULL, NULL, NULL);
        faults_at(0, false);
        assert_int_not_equal(failed, SQLITE_OK);
        assert_int_equal(capture_error_code(x.capture), faults_happened() ? SATCHEL_E_NOMEM : SATCHEL_E_UTF8);
        assert_int_equal(query(x.db, "SELECT count(*) FROM contact"), 0);
        close_all(state);
    }
    faults_of_sqlite(true);
}

/* What an application does, after `before`, in one transaction; what takes long runs without memory of capture's own alone. */
static const struct work {
    bool large;
    const char *tables, *before, *sql;
} works[] = {
    {false, CONTACT, "", "INSERT INTO contact VALUES(1, 'a', 1, NULL)"},
    {false, CONTACT, "INSERT INTO contact VALUES(1, 'a', 1, NULL)", "UPDATE contact SET id = 9"},
    {false, CONTACT, "INSERT INTO contact VALUES(1, 'a', 1, x'01'), (2, 'b', 2.5, NULL), (3, 'c', 3, NULL)",
     "BEGIN; UPDATE contact SET name = 'z' WHERE id = 1; DELETE FROM contact WHERE id = 2; UPDATE contact SET id = 9 WHERE id = 3;"
     "SAVEPOINT s; UPDATE contact SET age = 7; ROLLBACK TO s; UPDATE contact SET age = 8 WHERE id = 1; COMMIT"},
    {true, CONTACT, "",
     "BEGIN; SAVEPOINT a; SAVEPOINT b; SAVEPOINT c; SAVEPOINT d; SAVEPOINT e; SAVEPOINT f; SAVEPOINT g; SAVEPOINT h;"
     "SAVEPOINT i; SAVEPOINT j; SAVEPOINT k; SAVEPOINT l; SAVEPOINT m; SAVEPOINT n; SAVEPOINT o; SAVEPOINT p;"
     "SAVEPOINT q; SAVEPOINT r; INSERT INTO contact VALUES(1, 'a', 1, NULL); SAVEPOINT s; DELETE FROM contact;"
     "ROLLBACK TO s; COMMIT"},
    {true, CONTACT, "",
     "WITH RECURSIVE i(n) AS (VALUES(1) UNION ALL SELECT n + 1 FROM i WHERE n < 150)"
     "INSERT INTO contact SELECT n, 'n' || n, n, NULL FROM i"},
    {true, CONTACT, "",
     "BEGIN; INSERT INTO contact VALUES(1, zeroblob(300000), 1, NULL), (2, zeroblob(300000), 1, NULL);"
     "UPDATE contact SET name = zeroblob(290000) WHERE id = 1; COMMIT"},
    {false, "PRAGMA encoding = 'UTF-16'; " CONTACT, "INSERT INTO contact VALUES(1, 'a', 1, NULL)",
     "BEGIN; UPDATE contact SET name = 'na\xc3\xafve'; INSERT INTO contact VALUES(2, zeroblob(9), 'text', NULL); COMMIT"},
};

static const char *content(void) {
    static char text[20000];
    sqlite3_stmt *all;
    sqlite3_prepare_v2(x.db,
                       "SELECT coalesce(group_concat(id || quote(substr(name, 1, 9)) || length(name) || quote(age)), '')"
                       " FROM (SELECT * FROM contact ORDER BY id)",
                       -1, &all, NULL);
    assert_int_equal(sqlite3_step(all), SQLITE_ROW);
    snprintf(text, sizeof text, "%s", (const char *)sqlite3_column_text(all, 0));
    sqlite3_finalize(all);
    return text;
}

/* What it comes to when nothing fails. */
typedef struct effect {
    char *before, *after, *changes;
} effect;

static void open_work(const struct work *w) {
    captured_open(&x, ":memory:", w->tables, contact);
    capture_enable(x.capture, false);
    exec(x.db, w->before);
    capture_enable(x.capture, true);
}

/* True if it was captured whole, or else it was undone. */
static bool try_work(const struct work *w, const effect *e, const fault_loop *l) {
    faults_at(l->n, l->all);
    bool failed = sqlite3_exec(x.db, w->sql, NULL, NULL, NULL) != SQLITE_OK;
    faults_at(0, false);
    if (!sqlite3_get_autocommit(x.db)) exec(x.db, "ROLLBACK");
    if (failed) assert_true(faults_happened());
    assert_string_equal(content(), failed ? e->before : e->after);
    assert_int_equal(outbox_count(&x), !failed);
    if (!failed) assert_string_equal(outbox_last(&x), e->changes);
    return !failed;
}

/* Capture's own memory: it keeps what it once got, so each time a new connection. */
static void try_without_own_memory(const struct work *w, const effect *e) {
    faults_of_sqlite(false);
    for (fault_loop l = {0}; faults_next(&l);) {
        open_work(w);
        try_work(w, e, &l);
        exec(x.db, "INSERT INTO contact VALUES(777, 'later', 1, NULL)");
        assert_string_equal(outbox_last(&x), "I contact(777,'later',1,NULL)");
        captured_close(&x);
    }
    faults_of_sqlite(true);
}

static void try_without_memory(const struct work *w, const effect *e) {
    open_work(w);
    for (fault_loop l = {0}; faults_next(&l);) {
        if (!try_work(w, e, &l)) continue;
        captured_close(&x);
        open_work(w);
    }
    captured_close(&x);
}

static void C3_commit_without_memory_is_captured_whole_or_undone(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof works / sizeof *works; i++) {
        effect e;
        open_work(&works[i]);
        e.before = strdup(content());
        exec(x.db, works[i].sql);
        e.after = strdup(content());
        e.changes = strdup(outbox_last(&x));
        captured_close(&x);
        try_without_own_memory(&works[i], &e);
        if (!works[i].large) try_without_memory(&works[i], &e);
        free(e.before);
        free(e.after);
        free(e.changes);
    }
}

/* ---- the temporary file ---- */

#define FILLED                                                                                                                   \
    "WITH RECURSIVE i(n) AS (VALUES(1) UNION ALL SELECT n + 1 FROM i WHERE n < 10)" /* above LIMIT_CAPTURE_BYTES */              \
    "INSERT INTO contact SELECT n, zeroblob(500000), n, NULL FROM i"

static void C7_temporary_file_that_cannot_be_had_or_written_refuses_the_transaction(void **state) {
    (void)state;
    static const struct {
        fault_call call;
        int error, rc;
    } troubles[] = {
        {FAULT_MKOSTEMP, EACCES, SATCHEL_E_IO}, {FAULT_MKOSTEMP, ENOSPC, SATCHEL_E_FULL}, {FAULT_PWRITE, EIO, SATCHEL_E_IO},
        {FAULT_PWRITE, ENOSPC, SATCHEL_E_FULL}, {FAULT_PWRITE, EDQUOT, SATCHEL_E_FULL},   {FAULT_MMAP, ENOMEM, SATCHEL_E_NOMEM},
        {FAULT_MMAP, EIO, SATCHEL_E_IO},
    };
    for (size_t i = 0; i < sizeof troubles / sizeof *troubles; i++) {
        faults_of_call(troubles[i].call, 100, troubles[i].error);
        assert_int_not_equal(sqlite3_exec(x.db, FILLED, NULL, NULL, NULL), SQLITE_OK);
        faults_of_call(troubles[i].call, 0, 0);
        assert_int_equal(capture_error_code(x.capture), troubles[i].rc);
        assert_int_equal(query(x.db, "SELECT count(*) FROM contact"), 0);
        assert_int_equal(outbox_count(&x), 0);
    }
}

static void C7_spill_in_memory_that_cannot_be_had_refuses_the_transaction(void **state) {
    (void)state;
    captured c;
    captured_open(&c, ":memory:", "PRAGMA temp_store=MEMORY;" CONTACT, contact);
    faults_of_call(FAULT_MEMFD, 1, EMFILE);
    exec_fails(c.db, FILLED, SQLITE_IOERR);
    faults_of_call(FAULT_MEMFD, 0, 0);
    assert_int_equal(capture_error_code(c.capture), SATCHEL_E_IO);
    assert_int_equal(query(c.db, "SELECT count(*) FROM contact"), 0);
    assert_int_equal(outbox_count(&c), 0);
    exec(c.db, FILLED);
    assert_int_equal(outbox_count(&c), 1);
    captured_close(&c);
}

static void C7_end_of_the_record_that_cannot_be_written_refuses_the_commit(void **state) {
    (void)state;
    exec(x.db, "BEGIN; " FILLED);
    faults_of_call(FAULT_PWRITE, 1, EIO);
    exec_fails(x.db, "COMMIT", SQLITE_IOERR);
    assert_int_equal(query(x.db, "SELECT count(*) FROM contact"), 0);
}

static void C7_interrupted_and_short_writes_and_second_choices_lose_nothing(void **state) {
    (void)state;
    char was[4096] = "", longer[2000];
    if (getenv("TMPDIR")) snprintf(was, sizeof was, "%s", getenv("TMPDIR"));
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    setenv("TMPDIR", longer, 1);
    faults_of_call(FAULT_MKOSTEMP, 1, EACCES);
    exec(x.db, "BEGIN");
    faults_of_call(FAULT_PWRITE, 3, EINTR);
    exec(x.db, FILLED);
    faults_of_call(FAULT_PWRITE, 3, 0); /* short */
    exec(x.db, "COMMIT");
    if (*was)
        setenv("TMPDIR", was, 1);
    else
        unsetenv("TMPDIR");
    assert_int_equal(query(x.db, "SELECT sum(length(changes)) > 5000000 FROM outbox"), 1);
    assert_non_null(strstr(outbox_last(&x), "I contact(10,[500000 bytes],10,NULL)"));
}

static void C2_spilled_record_is_handed_over_again_after_busy(void **state) {
    (void)state;
    sqlite3 *reader;
    assert_int_equal(sqlite3_open(capture_file, &reader), SQLITE_OK);
    exec(reader, "BEGIN; SELECT count(*) FROM outbox");
    exec(x.db, "BEGIN; " FILLED);
    exec_fails(x.db, "COMMIT", SQLITE_BUSY);
    exec_fails(x.db, "COMMIT", SQLITE_BUSY); /* with nothing to write in between */
    exec(x.db, "INSERT INTO contact VALUES(11, 'more', 11, NULL)");
    sqlite3_close(reader);
    exec(x.db, "COMMIT");
    assert_int_equal(outbox_count(&x), 1);
    assert_non_null(strstr(outbox_last(&x), "I contact(11,'more',11,NULL)"));
}

static int open_files(void) {
    int n = 0;
    for (int fd = 0; fd < 256; fd++) n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static void C7_capture_closed_with_a_spilled_record_leaves_no_file_open(void **state) {
    exec(x.db, "BEGIN; " FILLED);
    int before = open_files();
    capture_close(x.capture);
    x.capture = NULL;
    assert_int_equal(open_files(), before - 1);
    exec(x.db, "ROLLBACK");
    close_all(state);
}

static int count_part(void *ctx, unsigned number, bool last, const void *changeset, size_t n) {
    (void)number, (void)last, (void)changeset, (void)n;
    ++*(unsigned *)ctx;
    return SATCHEL_OK;
}

/* An entry of row 1 as the hook makes it, with `end` bytes of its change left, and the next byte beyond any type. */
static void append_entry(capture_record *r, uint8_t op, unsigned end) {
    buf change;
    buf_init(&change, 0);
    changeset_put_op(&change, op, 0);
    for (unsigned i = 0; i < (op == SQLITE_UPDATE ? 8u : 4u); i++) {
        value v = i % 4 == 1 ? value_text("name", 4) : value_integer(i % 4 ? 7 : 1);
        value_put(&change, &v);
    }
    if (end < change.n) change.p[end] = 9;
    capture_entry *e = capture_record_append(r, (sizeof *e + change.n + 7) & ~(size_t)7);
    assert_non_null(e);
    *e = (capture_entry){.size = (uint32_t)((sizeof *e + change.n + 7) & ~(size_t)7), .change_n = (uint32_t)change.n};
    if (end < change.n) e->change_n = end + 1;
    memcpy(e + 1, change.p, change.n);
    buf_fini(&change);
}

/* Two entries of one row, the second cut and wrong at its end. */
static int run_damaged(uint8_t op, unsigned end, unsigned *parts) {
    capture_tables tables;
    capture_record r;
    capture_net net;
    *parts = 0;
    assert_int_equal(capture_tables_load(x.db, x.schema, &tables), SATCHEL_OK);
    capture_record_init(&r);
    capture_net_init(&net);
    net.part = count_part;
    net.ctx = parts;
    append_entry(&r, SQLITE_UPDATE, UINT_MAX);
    append_entry(&r, op, end);
    int rc = capture_net_run(&net, &tables, &r);
    capture_net_fini(&net);
    capture_record_fini(&r);
    capture_tables_free(&tables);
    return rc;
}

/* A temporary file is only a disk: what comes back from it may be anything. */
static void C7_record_that_comes_back_damaged_is_corrupt_and_never_read_past(void **state) {
    (void)state;
    static const struct {
        uint8_t op;
        unsigned size;
    } entries[] = {{SQLITE_INSERT, 35}, {SQLITE_UPDATE, 68}, {SQLITE_DELETE, 35}};
    unsigned parts;
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
        for (unsigned end = 2; end < entries[i].size; end++) {
            int rc = run_damaged(entries[i].op, end, &parts);
            if (rc) assert_int_equal(rc, SATCHEL_E_CORRUPT);
            assert_int_equal(parts, !rc);
        }
        assert_int_equal(run_damaged(entries[i].op, UINT_MAX, &parts), SATCHEL_OK);
    }
}

/* ---- the functions ---- */

static void uuid7_without_randomness_is_an_error(void **state) {
    (void)state;
    faults_of_call(FAULT_GETENTROPY, 1, EIO);
    exec_fails(x.db, "SELECT uuid7()", SQLITE_ERROR);
    assert_string_equal(sqlite3_errmsg(x.db), "uuid7(): the system has no randomness");
    exec(x.db, "SELECT uuid7()");
}

int main(void) {
    faults_install();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(open_without_memory_is_refused_and_leaves_the_connection_usable),
        cmocka_unit_test(functions_without_memory_are_refused),
        cmocka_unit_test(C3_install_without_memory_is_refused_and_can_be_done_again),
        cmocka_unit_test(C3_first_install_without_memory_is_refused_and_leaves_nothing),
        cmocka_unit_test(C3_check_without_memory_never_finds_what_is_not_there),
        cmocka_unit_test(C10_check_without_memory_never_passes_a_wrong_trigger),
        ON_CONTACT(C3_virtual_table_without_memory_cannot_be_read),
        cmocka_unit_test(C9_refusal_without_memory_is_a_refusal),
        cmocka_unit_test(C3_commit_without_memory_is_captured_whole_or_undone),
        ON_CONTACT(C7_temporary_file_that_cannot_be_had_or_written_refuses_the_transaction),
        ON_CONTACT(C7_spill_in_memory_that_cannot_be_had_refuses_the_transaction),
        ON_CONTACT(C7_end_of_the_record_that_cannot_be_written_refuses_the_commit),
        ON_CONTACT(C7_interrupted_and_short_writes_and_second_choices_lose_nothing),
        ON_FILE(C2_spilled_record_is_handed_over_again_after_busy),
        cmocka_unit_test_setup(C7_capture_closed_with_a_spilled_record_leaves_no_file_open, open_contact),
        ON_CONTACT(C7_record_that_comes_back_damaged_is_corrupt_and_never_read_past),
        ON_CONTACT(uuid7_without_randomness_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
