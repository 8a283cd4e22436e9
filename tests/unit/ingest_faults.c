#include "tests/unit/ingest_faults.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"
#include "tests/support/faults.h"

push_txn pushed;
buf said;
static buf delta;

/* ---- a store with something of everything ---- */

static void furnish(world *w) {
    known(w,
          "+ item('a') l='x', amount=1, currency='EUR', mx=5, mn=5, n=1, st='open', ok=1; + item('b') l='x'; + item('c') l='c';"
          "+ item('d'); + note('n') body='one'; + line(1) qty=1; + line(2); + pref(1,'mail') allowed=1; + person(1) code='p';"
          "+ person(2) code='q'; + phone(1) person=1; + phone(2) code='q'; + strict(x'01') u='a'");
    takes(
        w, &w->tablet, w->base, 20,
        "~ item('a') l='theirs', amount=2, mx=9, n+=4, st:'open'>'solved', ok=0; ~ note('n') body='two'; - item('b'); ~ item('d') l='live';"
        "- line(2); ~ pref(1,'mail') label='theirs'");
    refuses(w, &w->phone, w->base, 0, "+ person(9); + strict(x'02') c=100", SATCHEL_E_CHECK, "");
}

void set_delta(world *w, const char *words) {
    buf_clear(&delta);
    serving_delta(store_schema(w->v.s), words, &delta);
    pushed.delta = delta.p;
    pushed.ndelta = delta.n;
}

void make(world *w, const char *words) {
    pushed = make_txn(&w->phone, w->base, 10);
    pushed.schema_epoch = 1;
    set_delta(w, words);
}

int run_push(world *w) {
    buf_fini(&w->v.last.hold);
    int rc = ingest_push(w->v.g, &w->phone.a, &pushed, w->v.now_ms, &w->v.last);
    if (!rc) rc = ingest_author_save(w->v.g, &w->phone.a);
    const msg_result *r = &w->v.last.result;
    if (!rc && !w->v.last.staged)
        buf_printf(&said, "%d %llu %llu %.*s", r->rc, (unsigned long long)r->seq, (unsigned long long)r->effective, (int)r->ntext,
                   r->ntext ? r->text : "");
    return rc;
}

/* ---- the loop ---- */

static void look(world *w, buf *out) {
    sqlite3 *db = store_db(w->v.s);
    sqlite3_stmt *tables, *q;
    buf_clear(out);
    assert_int_equal(
        sqlite3_prepare_v2(
            db,
            "SELECT name FROM sqlite_schema WHERE type='table' AND name NOT IN ('satchel_enrol', 'satchel_epoch') ORDER BY name",
            -1, &tables, NULL),
        SQLITE_OK);
    while (sqlite3_step(tables) == SQLITE_ROW) {
        char *text = sqlite3_mprintf("SELECT * FROM \"%w\"", sqlite3_column_text(tables, 0));
        assert_int_equal(sqlite3_prepare_v2(db, text, -1, &q, NULL), SQLITE_OK);
        buf_printf(out, "\n%s: ", text + 14);
        while (sqlite3_step(q) == SQLITE_ROW)
            for (int i = 0; i < sqlite3_column_count(q); i++) {
                value v = value_of_column(q, i);
                if (v.type == VALUE_NULL)
                    buf_put_byte(out, '~');
                else
                    value_put_literal(out, &v);
                buf_put_byte(out, ' ');
            }
        assert_int_equal(sqlite3_finalize(q), SQLITE_OK);
        sqlite3_free(text);
    }
    assert_int_equal(sqlite3_finalize(tables), SQLITE_OK);
    store_position p = store_where(w->v.s);
    buf_printf(out, "\nat %llu %llu", (unsigned long long)p.seq, (unsigned long long)p.high_stamp);
    buf_put_byte(out, 0);
}

static void assert_same(const buf *want, const buf *is, const char *what, unsigned n) {
    if (want->n == is->n && (!is->n || memcmp(want->p, is->p, is->n) == 0)) return;
    size_t i = 0;
    while (i < want->n && i < is->n && want->p[i] == is->p[i]) i++;
    i = i > 60 ? i - 60 : 0;
    fail_msg("%s %u: ...%.200s\nis not ...%.200s", what, n, is->n > i ? (const char *)is->p + i : "",
             want->n > i ? (const char *)want->p + i : "");
}

static void faults_at_allocation(unsigned n) {
    faults_at(n, false);
}

/* Allocations first. */
static void (*const FAULT[])(unsigned n) = {faults_at_allocation, faults_at_prepare, faults_at_step, faults_at_write};

/* As the hub does it: after a failure everything since store_begin is given up, what is known of authors too. */
static int run_all(world *w, const operation *op) {
    device phone = w->phone;
    uint64_t conflicts = w->v.g ? ingest_conflicts(w->v.g) : 0;
    int rc = (op->flags & OWN_TRANSACTIONS) ? SATCHEL_OK : store_begin(w->v.s);
    if (!rc) rc = op->run(w);
    if (!(op->flags & OWN_TRANSACTIONS)) {
        if (!rc) rc = store_commit(w->v.s);
        if (rc) store_rollback(w->v.s);
    }
    if (rc) w->phone = phone;
    if (!rc) buf_printf(&said, ", %llu conflicts", (unsigned long long)(ingest_conflicts(w->v.g) - conflicts));
    return rc;
}

/* 0: nothing failed; 1: something did, and the operation did without; else its code. */
static int run(world *w, const operation *op, void (*fault)(unsigned n), unsigned n) {
    buf_clear(&said);
    fault(n);
    int rc = run_all(w, op);
    fault(0);
    bool failed = n && faults_happened();
    if (rc && !failed) fail_msg("%s: %s %s", op->name, satchel_rc_name(rc), store_error(w->v.s));
    return rc ? rc : failed;
}

static void copy(sqlite3 *from, sqlite3 *to) {
    sqlite3_backup *b = sqlite3_backup_init(to, "main", from, "main");
    assert_non_null(b);
    assert_int_equal(sqlite3_backup_step(b, -1), SQLITE_DONE);
    assert_int_equal(sqlite3_backup_finish(b), SQLITE_OK);
}

/* A store to go back to. */
typedef struct point {
    sqlite3 *db; /* in memory */
    world w;     /* devices */
} point;

static void keep(world *w, point *p) {
    assert_int_equal(sqlite3_open(":memory:", &p->db), SQLITE_OK);
    copy(store_db(w->v.s), p->db);
    p->w = *w;
}

static void go_back(world *w, const point *p) {
    copy(p->db, store_db(w->v.s));
    serving_reopen(&w->v);
    w->phone = p->w.phone;
    w->tablet = p->w.tablet;
    w->base = p->w.base;
}

typedef struct ends {
    buf before, after, said;
} ends;

static void fail_each(world *w, const point *begin, const operation *op, void (*fault)(unsigned n), const ends *want) {
    buf is;
    buf_init(&is, 0);
    int rc = 1;
    go_back(w, begin);
    for (unsigned n = 1; rc; n++) {
        /* Statements that are kept are not prepared again, nor is memory that is kept asked for. */
        if (rc != 1 && (fault == faults_at_allocation || fault == faults_at_prepare)) serving_reopen(&w->v);
        rc = run(w, op, fault, n);
        look(w, &is);
        assert_same(rc >= 0 ? &want->after : &want->before, &is, op->name, n);
        if (rc >= 0) assert_same(&want->said, &said, op->name, n);
        if (rc == 1) go_back(w, begin);
    }
    buf_fini(&is);
}

static void fail_at_each_instant(world *w, const operation *op) {
    ends want = {0};
    point begin;
    if (op->before) op->before(w);
    keep(w, &begin);
    go_back(w, &begin);
    look(w, &want.before);
    assert_int_equal(run(w, op, faults_at_step, 0), SATCHEL_OK);
    look(w, &want.after);
    buf_put(&want.said, said.p, said.n);
    for (unsigned i = 0; i < sizeof FAULT / sizeof FAULT[0]; i++) fail_each(w, &begin, op, FAULT[i], &want);
    sqlite3_close(begin.db);
    buf_fini(&want.before);
    buf_fini(&want.after);
    buf_fini(&want.said);
}

void fail_each_instant(world *w, const operation *operations, unsigned n) {
    faults_of_sqlite(false);
    furnish(w);
    fail_each_instant_here(w, operations, n);
}

void fail_each_instant_here(world *w, const operation *operations, unsigned n) {
    point furnished;
    faults_of_sqlite(false);
    keep(w, &furnished);
    for (unsigned i = 0; i < n; i++) {
        go_back(w, &furnished);
        fail_at_each_instant(w, &operations[i]);
    }
    sqlite3_close(furnished.db);
    buf_fini(&said);
    buf_fini(&delta);
}
