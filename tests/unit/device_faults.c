#include "tests/unit/device_faults.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"

buf said;

/* ---- a file with something of everything ---- */

static void give(fixture *x, uint64_t seq, const delta_row *rows, unsigned n) {
    assert_int_equal(page_apply(x, seq, rows, n), SATCHEL_OK);
}

delta_row pair_row(delta_op op, int64_t a, const char *b) {
    delta_row r = {.table = PAIR, .op = op, .nkey = 2};
    r.key[0] = text_of(b);
    r.key[1] = value_integer(a);
    if (op != DELTA_DELETE) row_set(&r, PAIR_V, value_real(1.5));
    return r;
}

static void furnish(fixture *x) {
    delta_row tag = row_of(TAG, DELTA_PUT, "t");
    row_set(&tag, TAG_LABEL, text_of("red"));
    give(x, 10,
         (delta_row[]){item_put("a", "Ann", 5, 100), item_put("b", "Bob", 5, 100), item_put("c", "Cid", 5, 100),
                       item_put("d", "Dan", 5, 100), item_put("e", "Eve", 5, 100), tag, pair_row(DELTA_PUT, 1, "x")},
         7);
    app_sql(
        x,
        "UPDATE item SET name='mine', stock=stock+1 WHERE id='a'; UPDATE item SET name='mine' WHERE id='b';"
        "DELETE FROM item WHERE id='c'; INSERT INTO item(id, note) VALUES('long', hex(zeroblob(2000)));"
        "BEGIN; UPDATE tag SET label='blue'; UPDATE pair SET v=2; COMMIT;"
        "UPDATE item SET price=1, stock=stock+7 WHERE id='d'; DELETE FROM item WHERE id='e'; INSERT INTO item(id) VALUES('h')");
    refuse_with(x, 6, SATCHEL_E_CHECK, "no");
    refuse_with(x, 7, SATCHEL_E_CHECK, "no");
    assert_int_equal(outbox_discard(x->f, 7), SATCHEL_OK);
    accept_at(x, 8, 15);
    give(x, 15, (delta_row[]){item_set("b", ITEM_NAME, text_of("theirs")), row_of(ITEM, DELTA_PUT, "h")}, 2);
    accept_at(x, 1, 21);
    assert_int_equal(file_begin(x->f), SATCHEL_OK);
    x->f->state.sent_number = 8;
    x->f->state.backup_seq = 12;
    assert_int_equal(file_end(x->f, SATCHEL_OK), SATCHEL_OK);
    app_sql(x, "INSERT INTO item(id, note) VALUES('x', 'unsent'); UPDATE item SET stock=stock+3, price=9 WHERE id='b'");
}

/* ---- the loop ---- */

/* Everything that is in the file. */
static void put_all(fixture *x, buf *out) {
    sqlite3_stmt *tables, *q;
    assert_int_equal(
        sqlite3_prepare_v2(
            x->app, "SELECT name FROM main.sqlite_schema WHERE type='table' AND sql NOT LIKE 'CREATE VIRTUAL%' ORDER BY name", -1,
            &tables, NULL),
        SQLITE_OK);
    while (sqlite3_step(tables) == SQLITE_ROW) {
        char *sql = sqlite3_mprintf("SELECT * FROM main.\"%w\"", sqlite3_column_text(tables, 0));
        assert_int_equal(sqlite3_prepare_v2(x->app, sql, -1, &q, NULL), SQLITE_OK);
        buf_printf(out, "\n%s: ", sql + 19);
        while (sqlite3_step(q) == SQLITE_ROW)
            for (int i = 0; i < sqlite3_column_count(q); i++) {
                value v = value_of_column(q, i);
                if (v.type == VALUE_NULL)
                    buf_put_byte(out, '~');
                else if (sqlite3_column_bytes(q, i) > 100)
                    buf_printf(out, "[%u bytes, %llx]", v.n, (unsigned long long)value_hash(v.u.p, v.n, 0));
                else
                    value_put_literal(out, &v);
                buf_put_byte(out, ' ');
            }
        assert_int_equal(sqlite3_finalize(q), SQLITE_OK);
        sqlite3_free(sql);
    }
    assert_int_equal(sqlite3_finalize(tables), SQLITE_OK);
    buf_put_byte(out, 0);
    assert_int_equal(out->rc, SATCHEL_OK);
}

static void assert_same(const buf *want, const buf *is, const char *what, unsigned n) {
    if (want->n != is->n || (is->n && memcmp(want->p, is->p, is->n) != 0)) {
        size_t i = 0;
        while (i < want->n && i < is->n && want->p[i] == is->p[i]) i++;
        i = i > 60 ? i - 60 : 0;
        fail_msg("%s %u: ...%.200s\nis not ...%.200s", what, n, is->n > i ? (const char *)is->p + i : "",
                 want->n > i ? (const char *)want->p + i : "");
    }
}

static void faults_at_allocation(unsigned n) {
    faults_at(n, false);
}

static void (*const FAULT[])(unsigned n) = {faults_at_allocation, faults_at_prepare, faults_at_step, faults_at_write};

static void copy(sqlite3 *from, sqlite3 *to) {
    sqlite3_backup *b = sqlite3_backup_init(to, "main", from, "main");
    assert_non_null(b);
    assert_int_equal(sqlite3_backup_step(b, -1), SQLITE_DONE);
    assert_int_equal(sqlite3_backup_finish(b), SQLITE_OK);
}

sqlite3 *device_keep(fixture *x) {
    sqlite3 *db;
    assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
    copy(x->app, db);
    return db;
}

void device_go_back(fixture *x, sqlite3 *to) {
    copy(to, x->app);
    fixture_reopen(x);
}

int device_try(fixture *x, const fault_loop *l, sqlite3 *begin, int (*run)(fixture *x)) {
    if (begin)
        device_go_back(x, begin);
    else
        fixture_reopen(x);
    faults_at(l->n, l->all);
    int rc = run(x);
    faults_at(0, false);
    if (rc) assert_int_equal(rc, SATCHEL_E_NOMEM);
    return rc;
}

typedef struct ends {
    buf before, after, said;
} ends;

static void look(fixture *x, buf *out) {
    buf_clear(out);
    put_all(x, out);
}

/* 0: nothing failed; 1: something did, and the operation did without; else its code. */
static int run(fixture *x, const operation *op, void (*fault)(unsigned n), unsigned n) {
    x->random = 1;
    buf_clear(&said);
    fault(n);
    int rc = op->run(x);
    bool failed = n && faults_happened();
    fault(0);
    if (rc && !failed) fail_msg("%s: %d %s", op->name, rc, (const char *)x->f->error.p);
    return rc ? rc : failed;
}

static void fail_each(fixture *x, sqlite3 *begin, const operation *op, void (*fault)(unsigned n), const ends *want) {
    buf is;
    buf_init(&is, 0);
    int rc = 1;
    device_go_back(x, begin);
    for (unsigned n = 1; rc; n++) {
        /* Statements that are kept are not prepared again, nor is memory that is kept asked for. */
        if (rc != 1 && (fault == faults_at_allocation || fault == faults_at_prepare)) fixture_reopen(x);
        rc = run(x, op, fault, n);
        look(x, &is);
        assert_same(rc >= 0 ? &want->after : &want->before, &is, op->name, n);
        if (rc >= 0) assert_same(&want->said, &said, op->name, n);
        if (rc == 1) device_go_back(x, begin);
    }
    if (!(op->flags & FAULTS_UNSOUND)) assert_sound(x);
    buf_fini(&is);
}

static void fail_at_each_instant(fixture *x, const operation *op) {
    ends want = {0};
    if (op->before) op->before(x);
    sqlite3 *begin = device_keep(x);
    fixture_reopen(x);
    look(x, &want.before);
    assert_int_equal(run(x, op, faults_at_step, 0), SATCHEL_OK);
    look(x, &want.after);
    buf_put(&want.said, said.p, said.n);
    for (unsigned i = 0; i < sizeof FAULT / sizeof FAULT[0]; i++)
        if (FAULT[i] != faults_at_write || !(op->flags & FAULTS_TWO_FILES)) fail_each(x, begin, op, FAULT[i], &want);
    sqlite3_close(begin);
    buf_fini(&want.before);
    buf_fini(&want.after);
    buf_fini(&want.said);
}

void fail_each_instant(fixture *x, const operation *operations, unsigned n) {
    faults_of_sqlite(false);
    furnish(x);
    sqlite3 *furnished = device_keep(x);
    for (unsigned i = 0; i < n; i++) {
        device_go_back(x, furnished);
        fail_at_each_instant(x, &operations[i]);
    }
    sqlite3_close(furnished);
    buf_fini(&said);
}
