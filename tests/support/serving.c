#include "tests/support/serving.h"

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

#include "protocol/delta.h"
#include "protocol/hlc.h"
#include "protocol/merge.h"
#include "protocol/satchel_rc.h"

#define TEN_O_CLOCK UINT64_C(1760000400000)

/* ---- the directory ---- */

void serving_init(serving *v) {
    memset(v, 0, sizeof *v);
    v->now_ms = TEN_O_CLOCK + 3600 * 1000;
    /* In memory where there is such a place: a store syncs its file at every commit. */
    snprintf(v->dir, sizeof v->dir, "%s/satchel-serving-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    assert_non_null(mkdtemp(v->dir));
    snprintf(v->path, sizeof v->path, "%s/store.db", v->dir);
    char path[96];
    snprintf(path, sizeof path, "%s/schema", v->dir);
    assert_int_equal(mkdir(path, 0700), 0);
}

void serving_write(const serving *v, const char *name, const char *text) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", v->dir, name);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    assert_int_equal(fclose(f), 0);
}

void serving_remove(const serving *v, const char *name) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", v->dir, name);
    assert_int_equal(unlink(path), 0);
}

int serving_try(serving *v, buf *error) {
    char schema_dir[96];
    snprintf(schema_dir, sizeof schema_dir, "%s/schema", v->dir);
    store_config c = {.path = v->path, .schema_dir = schema_dir, .now_ms = v->now_ms};
    buf_clear(error);
    return store_open(&c, &v->s, error);
}

void serving_open(serving *v, const char *sql_text, const char *data) {
    serving_init(v);
    serving_write(v, "schema/001_first.sql", sql_text);
    if (data) serving_write(v, "schema/001_first.data.sql", data);
    serving_reopen(v);
}

void serving_close(serving *v) {
    ingest_free(v->g);
    store_close(v->s);
    v->g = NULL;
    v->s = NULL;
}

void serving_reopen(serving *v) {
    buf error;
    buf_init(&error, 0);
    serving_close(v);
    int rc = serving_try(v, &error);
    if (rc) fail_msg("%s: %.*s", satchel_rc_name(rc), (int)error.n, (const char *)error.p);
    buf_fini(&error);
    assert_int_equal(ingest_new(v->s, &v->g), SATCHEL_OK);
}

void serving_begin(serving *v) {
    assert_int_equal(store_begin(v->s), SATCHEL_OK);
}

void serving_commit(serving *v) {
    assert_int_equal(store_commit(v->s), SATCHEL_OK);
}

void serving_fini(serving *v) {
    char command[128];
    serving_close(v);
    buf_fini(&v->last.hold);
    snprintf(command, sizeof command, "rm -rf %s", v->dir);
    assert_int_equal(system(command), 0);
}

/* ---- devices ---- */

void serving_fingerprint(const char *name, uint8_t out[CRYPTO_FINGERPRINT_BYTES]) {
    crypto_sha256(name, strlen(name), out);
}

device serving_device(serving *v, const char *name) {
    static uint8_t next_secret;
    uint8_t secret[16] = {1}, fingerprint[CRYPTO_FINGERPRINT_BYTES];
    secret[1] = ++next_secret;
    memcpy(secret + 2, name, strlen(name) < 14 ? strlen(name) : 14);
    serving_fingerprint(name, fingerprint);
    device d = {0};
    device_info info;
    serving_begin(v);
    assert_int_equal(store_enrol_offer(v->s, name, secret, v->now_ms + 1000), SATCHEL_OK);
    assert_int_equal(store_enrol_redeem(v->s, secret, fingerprint, v->now_ms, &info), SATCHEL_OK);
    assert_int_equal(store_author(v->s, info.id, 1, &d.a), SATCHEL_OK);
    serving_commit(v);
    d.ids = (uint64_t)info.id << 32;
    return d;
}

/* ---- words to delta ---- */

typedef struct reader {
    const schema *s;
    const char *p;
    uint8_t hold[1 << 16]; /* texts and blobs */
    size_t held;
} reader;

static void blank(reader *r) {
    while (*r->p == ' ' || *r->p == ',' || *r->p == '\n') r->p++;
}

static bool take(reader *r, const char *what) {
    size_t n = strlen(what);
    if (strncmp(r->p, what, n) != 0) return false;
    r->p += n;
    return true;
}

static void get_name(reader *r, char out[64]) {
    size_t n = strcspn(r->p, " (=:+>;,)");
    assert_true(n && n < 64);
    memcpy(out, r->p, n);
    out[n] = 0;
    r->p += n;
}

static uint8_t hex(char c) {
    return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static value get_bytes(reader *r, bool blob) {
    uint8_t *at = r->hold + r->held;
    size_t n = 0;
    while (*r->p && !(*r->p == '\'' && r->p[1] != '\'')) {
        assert_true(r->held + n < sizeof r->hold);
        if (*r->p == '\'') r->p++;
        at[n++] = (uint8_t)(blob ? hex(r->p[0]) * 16 + hex(r->p[1]) : *r->p);
        r->p += blob ? 2 : 1;
    }
    assert_true(take(r, "'"));
    r->held += n;
    return blob ? value_blob(at, n) : value_text((const char *)at, n);
}

static value get_value(reader *r) {
    if (take(r, "NULL")) return value_null();
    if (take(r, "x'")) return get_bytes(r, true);
    if (take(r, "'")) return get_bytes(r, false);
    size_t n = strcspn(r->p, " ,;)>");
    bool real = memchr(r->p, '.', n) != NULL || memchr(r->p, 'e', n) != NULL;
    value v = real ? value_real(strtod(r->p, NULL)) : value_integer(strtoll(r->p, NULL, 10));
    r->p += n;
    return v;
}

static const schema_table *find_table(reader *r, const char *what, delta_row *row) {
    if (what[0] == '#') {
        row->table = (uint32_t)strtoul(what + 1, NULL, 10);
        return NULL;
    }
    const schema_table *t = schema_table_by_name(r->s, what);
    if (!t) fail_msg("no table %s", what);
    row->table = t->id;
    return t;
}

static uint32_t find_column(const schema_table *t, const char *what) {
    if (what[0] == '#') return (uint32_t)strtoul(what + 1, NULL, 10);
    for (unsigned i = t ? t->nall : 0; i-- > 0;)
        if (strcmp(t->all[i].name, what) == 0) return t->all[i].id;
    fail_msg("no column %s", what);
    return 0;
}

/* Puts a column in ascending order of ids; one that is there already is replaced. */
static void set_column(delta_row *row, uint32_t id, delta_kind kind, value seen, value v) {
    unsigned at = 0;
    while (at < row->ncol && row->col[at].id < id) at++;
    if (at == row->ncol || row->col[at].id != id) {
        for (unsigned i = row->ncol++; i > at; i--) {
            row->col[i] = row->col[i - 1];
            row->v[i] = row->v[i - 1];
            row->seen[i] = row->seen[i - 1];
        }
    }
    row->col[at] = (delta_column){.id = id, .kind = kind};
    row->seen[at] = seen;
    row->v[at] = v;
}

static void get_column(reader *r, const schema_table *t, delta_row *row) {
    char what[64];
    get_name(r, what);
    uint32_t id = find_column(t, what);
    value seen = {0};
    if (take(r, "+=")) {
        set_column(row, id, DELTA_ADD, seen, get_value(r));
    } else if (take(r, ":")) {
        seen = get_value(r);
        assert_true(take(r, ">"));
        set_column(row, id, DELTA_MOVE, seen, get_value(r));
    } else {
        assert_true(take(r, "="));
        set_column(row, id, DELTA_SET, seen, get_value(r));
    }
}

static void get_row(reader *r, delta_row *row) {
    char what[64];
    row->op = take(r, "+") ? DELTA_PUT : take(r, "~") ? DELTA_UPDATE : take(r, "-") ? DELTA_DELETE : DELTA_LEAVE;
    blank(r);
    get_name(r, what);
    const schema_table *t = find_table(r, what, row);
    row->nkey = row->ncol = 0;
    assert_true(take(r, "("));
    for (; !take(r, ")"); blank(r)) row->key[row->nkey++] = get_value(r);
    for (unsigned i = 0; t && row->op == DELTA_PUT && i < t->ncol; i++)
        if (!t->col[i]->key) set_column(row, t->col[i]->id, DELTA_SET, (value){0}, t->col[i]->default_value);
    for (blank(r); *r->p && *r->p != ';'; blank(r)) get_column(r, t, row);
}

void serving_delta(const schema *s, const char *words, buf *out) {
    static reader r;
    static delta_row row;
    delta_writer w;
    delta_writer_init(&w);
    r.s = s;
    r.held = 0;
    r.p = words;
    for (blank(&r); *r.p; blank(&r)) {
        get_row(&r, &row);
        delta_put_row(&w, &row);
        if (*r.p == ';') r.p++;
    }
    assert_int_equal(delta_finish(&w, out), SATCHEL_OK);
    delta_writer_fini(&w);
}

/* ---- delta to words ---- */

static void put_row_text(const schema *s, buf *out, const delta_row *row) {
    const schema_table *t = schema_table_by_id(s, row->table);
    assert_non_null(t);
    buf_printf(out, "%s%c %s(", out->n ? "; " : "", "+~-<"[row->op], t -> name);
    for (unsigned i = 0; i < row->nkey; i++) {
        if (i) buf_put_byte(out, ',');
        value_put_literal(out, &row->key[i]);
    }
    buf_put_byte(out, ')');
    for (unsigned i = 0; i < row->ncol; i++) {
        buf_printf(out, " %s=", schema_column_by_id(t, row->col[i].id)->name);
        value_put_literal(out, &row->v[i]);
    }
}

const char *serving_delta_text(const schema *s, const void *delta, size_t n) {
    static buf out;
    static delta_row row;
    static delta_reader r;
    wire w;
    buf_clear(&out);
    wire_open(&w, delta, n);
    delta_open(&r, &w);
    int more;
    while ((more = delta_next(&r, &row)) == 1) put_row_text(s, &out, &row);
    assert_int_equal(more, 0);
    buf_put_byte(&out, 0);
    return (const char *)out.p;
}

/* ---- pushing ---- */

uint64_t stamp_at(int seconds) {
    return hlc_of_ms((uint64_t)((int64_t)TEN_O_CLOCK + (int64_t)seconds * 1000));
}

push_txn make_txn(device *d, uint64_t base, int seconds) {
    push_txn t = {.number = ++d->number, .stamp = stamp_at(seconds), .base = base, .last = true};
    uint64_t id = d->ids + d->number;
    memcpy(t.id, &id, sizeof t.id);
    return t;
}

int push_txn_raw(serving *v, device *d, push_txn *t, const char *words) {
    buf delta;
    buf_init(&delta, 0);
    if (words) {
        serving_delta(store_schema(v->s), words, &delta);
        t->delta = delta.p;
        t->ndelta = delta.n;
    }
    if (!t->schema_epoch) t->schema_epoch = store_schema(v->s)->epoch;
    serving_begin(v);
    int rc = ingest_push(v->g, &d->a, t, v->now_ms, &v->last);
    if (!rc) rc = ingest_author_save(v->g, &d->a);
    if (rc)
        store_rollback(v->s);
    else
        serving_commit(v);
    buf_fini(&delta);
    return rc;
}

int push(serving *v, device *d, uint64_t base, int seconds, const char *words) {
    push_txn t = make_txn(d, base, seconds);
    int rc = push_txn_raw(v, d, &t, words);
    if (rc) fail_msg("%s: %s", words, satchel_rc_name(rc));
    return v->last.result.rc;
}

/* ---- looking ---- */

const char *sql(serving *v, const char *query) {
    static buf ring[4];
    static unsigned at;
    buf *out = &ring[at++ % 4];
    buf_clear(out);
    sqlite3_stmt *q = NULL;
    if (sqlite3_prepare_v2(store_db(v->s), query, -1, &q, NULL) != SQLITE_OK)
        fail_msg("%s: %s", query, sqlite3_errmsg(store_db(v->s)));
    for (bool first = true; sqlite3_step(q) == SQLITE_ROW; first = false) {
        if (!first) buf_printf(out, " ; ");
        for (int i = 0; i < sqlite3_column_count(q); i++) {
            value x = value_of_column(q, i);
            if (i) buf_put_byte(out, '|');
            if (x.type == VALUE_TEXT)
                buf_put(out, x.u.p, x.n);
            else
                value_put_literal(out, &x);
        }
    }
    assert_int_equal(sqlite3_finalize(q), SQLITE_OK);
    buf_put_byte(out, 0);
    return (const char *)out->p;
}

void sql_exec(serving *v, const char *text) {
    char *message = NULL;
    if (sqlite3_exec(store_db(v->s), text, NULL, NULL, &message) != SQLITE_OK) fail_msg("%s: %s", text, message);
}

static void put_stored(buf *out, sqlite3_stmt *q, int column) {
    size_t n = (size_t)sqlite3_column_bytes(q, column);
    if (n)
        value_put_literals(out, sqlite3_column_blob(q, column), n);
    else
        buf_put_byte(out, '-');
}

static void put_conflict(serving *v, sqlite3_stmt *q, buf *out) {
    const schema_table *t = schema_table_by_id(store_schema(v->s), (uint32_t)sqlite3_column_int64(q, 1));
    const schema_column *c = t ? schema_column_by_id(t, (uint32_t)sqlite3_column_int64(q, 3)) : NULL;
    buf_printf(out, "%s%s(", out->n ? "; " : "", t ? t->name : "?");
    value_put_literals(out, sqlite3_column_blob(q, 2), (size_t)sqlite3_column_bytes(q, 2));
    if (c)
        buf_printf(out, ").%s %s kept ", c->name, merge_rule_name((merge_rule)sqlite3_column_int(q, 4)));
    else
        buf_printf(out, ") row kept ");
    put_stored(out, q, 5);
    buf_printf(out, " lost ");
    put_stored(out, q, 6);
    buf_printf(out, " of %lld", (long long)sqlite3_column_int64(q, 7));
    v->conflict = sqlite3_column_int64(q, 0);
}

const char *conflicts(serving *v) {
    static buf out;
    buf_clear(&out);
    sqlite3_stmt *q = NULL;
    assert_int_equal(
        sqlite3_prepare_v2(store_db(v->s),
                           "SELECT id,tbl,key,col,rule,kept,lost,lost_author FROM satchel_conflict WHERE id>? ORDER BY id", -1,
                           &q, NULL),
        SQLITE_OK);
    sqlite3_bind_int64(q, 1, v->conflict);
    while (sqlite3_step(q) == SQLITE_ROW) put_conflict(v, q, &out);
    sqlite3_finalize(q);
    buf_put_byte(&out, 0);
    return (const char *)out.p;
}

const char *logged(serving *v) {
    static char text[1 << 16];
    sqlite3_stmt *q = NULL;
    assert_int_equal(sqlite3_prepare_v2(store_db(v->s), "SELECT delta FROM satchel_log WHERE id>>24=? ORDER BY id", -1, &q, NULL),
                     SQLITE_OK);
    sqlite3_bind_int64(q, 1, (int64_t)store_where(v->s).seq);
    text[0] = 0;
    while (sqlite3_step(q) == SQLITE_ROW) {
        const char *part = serving_delta_text(store_schema(v->s), sqlite3_column_blob(q, 0), (size_t)sqlite3_column_bytes(q, 0));
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", text[0] ? "; " : "", part);
    }
    sqlite3_finalize(q);
    return text;
}
