#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"
#include "server/pages.h"
#include "server/snapshot.h"
#include "tests/support/faults.h"
#include "tests/support/serving.h"

static const char SCHEMA[] =
    "CREATE TABLE item(id INTEGER PRIMARY KEY, a TEXT, b BLOB);\nINSERT INTO satchel_table(name) VALUES('item');\n"
    "CREATE TABLE gone(id INTEGER PRIMARY KEY);\nINSERT INTO satchel_table(name) VALUES('gone');\nDROP TABLE gone;\n"
    "CREATE TABLE pair(x TEXT, y INTEGER, v TEXT, PRIMARY KEY(x, y)) WITHOUT ROWID;\nINSERT INTO satchel_table(name) VALUES('pair');\n"
    "CREATE TABLE empty(id INTEGER PRIMARY KEY);\nINSERT INTO satchel_table(name) VALUES('empty');\n";

typedef struct world {
    serving v;
    device d;
    pages r;
    snapshots *snaps;
    char snapshot_path[128];
} world;

static int setup(void **state) {
    world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    serving_open(&w->v, SCHEMA, NULL);
    sql_exec(&w->v, "PRAGMA synchronous=OFF");
    w->d = serving_device(&w->v, "phone");
    buf error;
    buf_init(&error, 0);
    assert_int_equal(pages_open(&w->r, w->v.path, &error), SATCHEL_OK);
    snprintf(w->snapshot_path, sizeof w->snapshot_path, "%s/snapshots.db", w->v.dir);
    assert_int_equal(snapshots_open(w->snapshot_path, w->v.path, &w->snaps, &error), SATCHEL_OK);
    buf_fini(&error);
    *state = w;
    return 0;
}

static int teardown(void **state) {
    world *w = *state;
    pages_close(&w->r);
    snapshots_close(w->snaps);
    serving_fini(&w->v);
    free(w);
    return 0;
}

static uint64_t head(world *w) {
    return store_where(w->v.s).seq;
}

static void put(world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(world *w, const char *format, ...) {
    static char words[1 << 16];
    va_list args;
    va_start(args, format);
    vsnprintf(words, sizeof words, format, args);
    va_end(args);
    assert_int_equal(push(&w->v, &w->d, head(w), 0, words), SATCHEL_OK);
}

/* A row of `n` bytes that do not compress, in a transaction of its own or as a part of one. */
static void put_noise(world *w, push_txn *part, int id, size_t n, int op) {
    static delta_row row;
    uint8_t *noise = malloc(n ? n : 1);
    assert_non_null(noise);
    for (size_t i = 0; i < n; i++) noise[i] = (uint8_t)rand();
    delta_writer writer;
    buf delta;
    buf_init(&delta, 0);
    delta_writer_init(&writer);
    row = (delta_row){.table = 1, .op = (delta_op)op, .nkey = 1, .ncol = 1};
    row.key[0] = value_integer(id);
    row.col[0].id = 3;
    row.v[0] = value_blob(noise, n);
    delta_put_row(&writer, &row);
    assert_int_equal(delta_finish(&writer, &delta), SATCHEL_OK);
    push_txn whole = {0};
    if (!part) {
        whole = make_txn(&w->d, head(w), 0);
        part = &whole;
    }
    part->delta = delta.p;
    part->ndelta = delta.n;
    assert_int_equal(push_txn_raw(&w->v, &w->d, part, NULL), SATCHEL_OK);
    assert_int_equal(w->v.last.staged ? SATCHEL_OK : w->v.last.result.rc, SATCHEL_OK);
    delta_writer_fini(&writer);
    buf_fini(&delta);
    free(noise);
}

/* ---- pages ---- */

/* What a device would see of one page. */
typedef struct seen_page {
    msg_page head;
    uint64_t first, last; /* seq of its commits, 0: none */
    size_t frame;
    bool full;
    char text[4096]; /* of its deltas, cut */
} seen_page;

static void read_page(world *w, const frame *f, seen_page *out) {
    buf message;
    buf_init(&message, 0);
    out->frame = f->n;
    assert_true(f->n <= LIMIT_FRAME_BYTES);
    assert_int_equal(frame_unpack(f->p, f->n, &message), SATCHEL_OK);
    assert_int_equal(message_check(message.p, message.n), SATCHEL_OK);
    page_reader r;
    page_commit c;
    assert_int_equal(page_open(&r, message.p, message.n, &out->head), SATCHEL_OK);
    out->first = out->last = 0;
    out->text[0] = 0;
    int more;
    for (uint64_t n = 0; (more = page_next(&r, &c)) == 1; n++) {
        if (!out->first) out->first = c.seq;
        if (out->last) assert_true(c.seq >= out->last);
        out->last = c.seq;
        if (c.ndelta < 2000)
            snprintf(out->text + strlen(out->text), sizeof out->text - strlen(out->text), "[%s]",
                     serving_delta_text(store_schema(w->v.s), c.delta, c.ndelta));
    }
    assert_int_equal(more, 0);
    buf_fini(&message);
}

static seen_page *next_page(world *w, page_place *place, uint64_t to) {
    static seen_page p;
    frame *f = NULL;
    uint64_t from = place->cursor;
    int rc = pages_next(&w->r, 0, place, to, store_where(w->v.s).high_stamp, false, &f, &p.full);
    if (rc) fail_msg("%s", satchel_rc_name(rc));
    read_page(w, f, &p);
    assert_int_equal(p.head.from, from);
    assert_int_equal(p.head.high_stamp, store_where(w->v.s).high_stamp);
    frame_release(f);
    return &p;
}

static void pages_cover_all_commits_exactly_once(void **state) {
    world *w = *state;
    for (int i = 1; i <= 400; i++) put(w, "+ item(%d) a='%02000d'", i, i);
    page_place at = {0};
    uint64_t seen = 0;
    unsigned pages_made = 0;
    while (at.cursor < head(w)) {
        seen_page *p = next_page(w, &at, head(w));
        assert_int_equal(p->first, seen + 1);
        assert_int_equal(p->head.to, p->last);
        assert_int_equal(p->head.commits, p->last - p->first + 1);
        assert_int_equal(p->full, p->last < head(w));
        seen = p->last;
        pages_made++;
    }
    assert_int_equal(seen, 400);
    assert_int_equal(pages_made, 4);
}

static void pages_look_no_further_than_the_head_they_are_given(void **state) {
    world *w = *state;
    put(w, "+ item(1) a='x'");
    put(w, "+ item(2) a='y'");
    page_place at = {0};
    seen_page *p = next_page(w, &at, 1);
    assert_int_equal(at.cursor, 1);
    assert_false(p->full);
    assert_string_equal(p->text, "[+ item(1) a='x' b=NULL]");
    p = next_page(w, &at, 2);
    assert_string_equal(p->text, "[+ item(2) a='y' b=NULL]");
}

static void pages_empty_commits_move_the_cursor(void **state) {
    world *w = *state;
    put(w, "+ item(1) a='x'");
    put(w, "- item(1)");
    put(w, "- item(1)");
    put(w, "- item(1)");
    page_place at = {.cursor = 2};
    seen_page *p = next_page(w, &at, head(w));
    assert_int_equal(p->head.commits, 0);
    assert_int_equal(p->head.to, 4);
    assert_int_equal(at.cursor, 4);
    put(w, "+ item(2) a='y'");
    at.cursor = 2;
    p = next_page(w, &at, head(w));
    assert_int_equal(p->first, 5);
    assert_int_equal(at.cursor, 5);
}

/* One commit of `n` rows of 300 bytes, in parts as a device sends them. */
static void put_large(world *w, int first, int n) {
    static char words[1 << 16];
    push_txn t = make_txn(&w->d, head(w), 0);
    for (int id = first; id < first + n; t.part++) {
        size_t at = 0;
        for (int i = 0; i < 150 && id < first + n; i++, id++)
            at += (size_t)snprintf(words + at, sizeof words - at, "+ item(%d) a='%0300d';", id, id);
        t.last = id >= first + n;
        assert_int_equal(push_txn_raw(&w->v, &w->d, &t, words), SATCHEL_OK);
    }
    assert_int_equal(w->v.last.result.rc, SATCHEL_OK);
}

static void pages_large_commit_comes_in_parts_alone(void **state) {
    world *w = *state;
    put(w, "+ item(1) a='x'");
    put_large(w, 1000, 2100);
    put(w, "+ item(2) a='y'");
    page_place at = {0};
    seen_page *p = next_page(w, &at, head(w));
    assert_int_equal(p->head.to, 1);
    assert_int_equal(p->head.commits, 1);
    assert_true(p->full);
    uint32_t part = 0;
    do {
        assert_int_equal(at.cursor, 1);
        p = next_page(w, &at, head(w));
        assert_int_equal(p->head.part, part++);
        assert_int_equal(p->head.commits, 1);
        assert_int_equal(p->first, 2);
        assert_int_equal(p->head.to, 2);
        assert_true(p->full);
    } while (p->head.more);
    assert_int_equal(part, 3);
    assert_int_equal(at.cursor, 2);
    assert_int_equal(at.part, 0);
    p = next_page(w, &at, head(w));
    assert_string_equal(p->text, "[+ item(2) a='y' b=NULL]");
    /* A device that comes back with its cursor begins the commit anew. */
    at = (page_place){.cursor = 1};
    p = next_page(w, &at, head(w));
    assert_int_equal(p->head.part, 0);
    assert_true(p->head.more);
}

static void pages_of_values_that_do_not_compress_fit_a_frame(void **state) {
    world *w = *state;
    for (int i = 0; i < 6; i++) put_noise(w, NULL, i, i % 2 ? LIMIT_VALUE_BYTES - 64 : 230000, DELTA_PUT);
    push_txn t = make_txn(&w->d, head(w), 0);
    for (int i = 6; i < 12; i++, t.part++) {
        t.last = i == 11;
        put_noise(w, &t, i, i % 2 ? LIMIT_VALUE_BYTES - 64 : 230000, DELTA_PUT);
    }
    page_place at = {0};
    uint64_t commits = 0;
    while (at.cursor < head(w)) {
        seen_page *p = next_page(w, &at, head(w));
        commits += p->head.commits;
    }
    assert_true(commits > 7);
}

static void pages_below_the_floor_are_refused(void **state) {
    world *w = *state;
    put(w, "+ item(1)");
    put(w, "+ item(2)");
    uint64_t removed;
    assert_int_equal(store_begin(w->v.s), SATCHEL_OK);
    assert_int_equal(store_device_acked(w->v.s, w->d.a.device, 1, 1), SATCHEL_OK);
    assert_int_equal(store_prune(w->v.s, w->v.now_ms + 1, 0, UINT64_C(1) << 50, &removed), SATCHEL_OK);
    assert_int_equal(store_commit(w->v.s), SATCHEL_OK);
    page_place at = {0};
    frame *f;
    bool full;
    assert_int_equal(pages_next(&w->r, 0, &at, 2, 0, false, &f, &full), SATCHEL_E_NOT_FOUND);
    at.cursor = 1;
    assert_string_equal(next_page(w, &at, 2)->text, "[+ item(2) a=NULL b=NULL]");
}

/* ---- pages of a view ---- */

static uint32_t set_of(world *w, uint32_t a, uint32_t b) {
    db_cache c;
    uint32_t set;
    db_cache_init(&c, store_db(w->v.s));
    assert_int_equal(view_intern_set(&c, (const uint32_t[]){a, b}, b ? 2 : 1, &set), SATCHEL_OK);
    db_cache_fini(&c);
    return set;
}

static uint64_t view_of(world *w, const char *masks, uint32_t a, uint32_t b) {
    db_cache c;
    uint64_t id;
    db_cache_init(&c, store_db(w->v.s));
    assert_int_equal(view_intern(&c, "rep", masks, (const uint32_t[]){a, b}, b ? 2 : 1, &id), SATCHEL_OK);
    db_cache_fini(&c);
    return id;
}

/* An entry of the log as the rules would make it. */
static void log_entry(world *w, uint64_t seq, unsigned part, uint32_t set, uint32_t besides, const char *words) {
    db_cache c;
    buf delta;
    buf_init(&delta, 0);
    serving_delta(store_schema(w->v.s), words, &delta);
    db_cache_init(&c, store_db(w->v.s));
    assert_int_equal(db_exec(&c, "INSERT INTO satchel_log(id,bucket,besides,author,stamp,at_ms,delta) VALUES(?,?,?,0,1,1,?)",
                             "iiib", (int64_t)(seq << 24 | part), (int64_t)set, (int64_t)besides, delta.p, delta.n),
                     SATCHEL_OK);
    db_cache_fini(&c);
    buf_fini(&delta);
}

/* NULL: nothing for the view. */
static seen_page *view_page(world *w, uint64_t view_id, page_place *place, uint64_t to, bool due) {
    static seen_page p;
    frame *f = NULL;
    uint64_t from = place->cursor;
    assert_int_equal(pages_next(&w->r, view_id, place, to, 1, due, &f, &p.full), SATCHEL_OK);
    if (!f) return NULL;
    read_page(w, f, &p);
    assert_int_equal(p.head.from, from);
    assert_int_equal(p.head.view, 0);
    frame_release(f);
    return &p;
}

static void pages_of_a_view_hold_what_it_hears_of_each_commit_together(void **state) {
    world *w = *state;
    uint32_t a = set_of(w, 2, 0), b = set_of(w, 3, 0), both = set_of(w, 2, 3);
    uint64_t rep = view_of(w, "", 2, 0), other = view_of(w, "", 3, 0), two = view_of(w, "", 2, 3);
    log_entry(w, 1, 0, a, 0, "+ item(1) a='a'");
    log_entry(w, 1, 1, b, 0, "+ item(2) a='b'");
    log_entry(w, 1, 2, both, 0, "+ item(3) a='c'");
    log_entry(w, 2, 0, b, 0, "~ item(2) a='d'");
    log_entry(w, 3, 0, b, 0, "+ item(1) a='a'");
    log_entry(w, 3, 1, a, b, "- item(1)");
    page_place at = {0};
    assert_string_equal(view_page(w, rep, &at, 3, false)->text, "[+ item(1) a='a' b=NULL][+ item(3) a='c' b=NULL][- item(1)]");
    assert_int_equal(at.cursor, 3);
    at = (page_place){0};
    assert_string_equal(view_page(w, other, &at, 3, false)->text,
                        "[+ item(2) a='b' b=NULL][+ item(3) a='c' b=NULL][~ item(2) a='d'][+ item(1) a='a' b=NULL]");
    at = (page_place){0};
    seen_page *p = view_page(w, two, &at, 3, false);
    assert_int_equal(p->head.commits, 5);
    assert_null(strstr(p->text, "- item"));
    /* Everything: what is put, and no leave. */
    at = (page_place){0};
    p = view_page(w, 0, &at, 3, false);
    assert_int_equal(p->head.commits, 5);
    assert_null(strstr(p->text, "- item"));
}

static void pages_for_which_there_is_nothing_are_left_out_unless_due(void **state) {
    world *w = *state;
    uint32_t b = set_of(w, 3, 0), a = set_of(w, 2, 0);
    uint64_t rep = view_of(w, "1:2", 2, 0);
    for (uint64_t seq = 1; seq <= 5; seq++) log_entry(w, seq, 0, b, 0, "+ item(1)");
    log_entry(w, 6, 0, a, 0, "~ item(1) a='masked'");
    page_place at = {0};
    assert_null(view_page(w, rep, &at, 4, false));
    assert_int_equal(at.cursor, 0);
    assert_int_equal(at.scanned, 4);
    assert_null(view_page(w, rep, &at, 6, false));
    assert_int_equal(at.scanned, 6);
    log_entry(w, 7, 0, a, 0, "~ item(1) b=x'01'");
    seen_page *p = view_page(w, rep, &at, 8, false);
    assert_string_equal(p->text, "[~ item(1) b=x'01']");
    assert_int_equal(p->head.to, 8);
    assert_int_equal(at.cursor, 8);
    at = (page_place){.cursor = 1, .scanned = 4};
    p = view_page(w, rep, &at, 6, true);
    assert_int_equal(p->head.commits, 0);
    assert_int_equal(p->head.to, 6);
}

static void pages_of_a_large_commit_are_numbered_for_the_view(void **state) {
    world *w = *state;
    static char words[1 << 16];
    uint32_t a = set_of(w, 2, 0), b = set_of(w, 3, 0);
    uint64_t rep = view_of(w, "", 2, 0);
    log_entry(w, 1, 0, a, 0, "+ item(1)");
    size_t at_words = 0;
    for (int i = 0; i < 110; i++)
        at_words += (size_t)snprintf(words + at_words, sizeof words - at_words, "+ item(%d) a='%0500d';", i, i);
    for (unsigned part = 0; part < 20; part++) log_entry(w, 2, part, part % 2 ? a : b, 0, words);
    log_entry(w, 3, 0, a, 0, "+ item(2)");
    page_place at = {0};
    seen_page *p = view_page(w, rep, &at, 3, false);
    assert_int_equal(p->head.to, 1);
    uint64_t entries = 0;
    uint32_t part = 0;
    do {
        p = view_page(w, rep, &at, 3, false);
        assert_int_equal(p->head.part, part++);
        assert_int_equal(p->head.to, 2);
        assert_true(p->full);
        entries += p->head.commits;
    } while (p->head.more);
    assert_int_equal(entries, 10);
    assert_int_equal(part, 3);
    assert_int_equal(at.cursor, 2);
    assert_string_equal(view_page(w, rep, &at, 3, false)->text, "[+ item(2) a=NULL b=NULL]");
    /* One that fits goes with others. */
    uint64_t none = view_of(w, "", 9, 0);
    at = (page_place){0};
    assert_null(view_page(w, none, &at, 3, false));
}

/* ---- snapshots ---- */

static snapshot_kind kind_of(world *w, uint64_t view_id) {
    store_position p = store_where(w->v.s);
    snapshot_kind kind = {.schema_epoch = p.schema_epoch, .view = view_id};
    memcpy(kind.epoch, p.epoch, sizeof kind.epoch);
    return kind;
}

static int step(world *w) {
    int rc = snapshots_step(w->snaps, NULL, 0);
    if (rc < 0) fail_msg("%s", satchel_rc_name(rc));
    return rc;
}

static void start_of(world *w, uint64_t view_id) {
    snapshot_kind kind = kind_of(w, view_id);
    assert_int_equal(snapshots_start(w->snaps, &kind, store_schema(w->v.s)), SATCHEL_OK);
}

static void start(world *w) {
    start_of(w, 0);
}

static bool current_of(world *w, uint64_t view_id, snapshot_info *out) {
    store_position p = store_where(w->v.s);
    snapshot_kind kind = kind_of(w, view_id);
    return snapshots_current(w->snaps, &kind, p.floor, p.seq, out);
}

static bool current(world *w, snapshot_info *out) {
    return current_of(w, 0, out);
}

/* Reads the pages from `page` on and appends their rows to `rows` as text; checks the ranges: each table from open end to open end without a gap. */
typedef struct snapshot_check {
    buf rows;
    uint32_t table; /* of the open range */
    buf from;       /* where it must go on */
    uint64_t nrows, bytes;
    uint32_t pages;
} snapshot_check;

static void put_keys(buf *out, unsigned n, const value *v) {
    buf_clear(out);
    for (unsigned i = 0; i < n; i++) value_put(out, &v[i]);
}

static void check_range(world *w, snapshot_check *c, const snapshot_range *r) {
    if (r->has_from) {
        buf from;
        buf_init(&from, 0);
        put_keys(&from, r->nkey, r->from);
        assert_int_equal(r->table, c->table);
        assert_int_equal(from.n, c->from.n);
        assert_memory_equal(from.p, c->from.p, from.n);
        buf_fini(&from);
    } else {
        assert_int_equal(c->table, 0);
    }
    c->table = r->has_to ? r->table : 0;
    if (r->has_to) put_keys(&c->from, r->nkey, r->to);
    delta_reader d;
    static delta_row row;
    wire at;
    wire_open(&at, r->delta, r->ndelta);
    delta_open(&d, &at);
    while (delta_next(&d, &row) == 1) c->nrows++;
    if (r->ndelta < 1 << 15) buf_printf(&c->rows, "%s\n", serving_delta_text(store_schema(w->v.s), r->delta, r->ndelta));
}

static bool check_page(world *w, snapshot_check *c, const snapshot_info *info, uint32_t page) {
    frame *f = NULL;
    bool last, last_said;
    assert_int_equal(snapshots_page(w->snaps, info->id, page, &f, &last), SATCHEL_OK);
    assert_true(f->n <= LIMIT_FRAME_BYTES);
    buf message;
    buf_init(&message, 0);
    assert_int_equal(frame_unpack(f->p, f->n, &message), SATCHEL_OK);
    assert_int_equal(message_check(message.p, message.n), SATCHEL_OK);
    static snapshot_range r;
    snapshot_reader reader;
    msg_snapshot h;
    assert_int_equal(snapshot_open(&reader, message.p, message.n, &h), SATCHEL_OK);
    assert_int_equal(h.id, info->id);
    assert_int_equal(h.seq, info->seq);
    assert_int_equal(h.page, page);
    assert_int_equal(h.total_rows, info->rows);
    last_said = h.last;
    assert_int_equal(last_said, last);
    int more;
    while ((more = snapshot_next(&reader, &r)) == 1) check_range(w, c, &r);
    assert_int_equal(more, 0);
    c->bytes += f->n;
    buf_fini(&message);
    frame_release(f);
    return last;
}

static void check_all(world *w, const snapshot_info *info, snapshot_check *c) {
    memset(c, 0, sizeof *c);
    while (!check_page(w, c, info, c->pages++)) continue;
    assert_int_equal(c->table, 0);
    assert_int_equal(c->pages, info->pages);
    assert_int_equal(c->nrows, info->rows);
}

static void check_free(snapshot_check *c) {
    buf_fini(&c->rows);
    buf_fini(&c->from);
}

static void snapshot_covers_all_rows_and_every_table(void **state) {
    world *w = *state;
    put(w, "+ item(2) a='y'; + item(1) a='x'; + pair('b',1) v='p'; + pair('a',2) v='q'; + item(3)");
    put(w, "- item(3)");
    start(w);
    while (step(w)) continue;
    snapshot_info info;
    assert_true(current(w, &info));
    assert_true(info.done);
    assert_int_equal(info.seq, 2);
    assert_int_equal(info.rows, 4);
    snapshot_check c;
    check_all(w, &info, &c);
    buf_put_byte(&c.rows, 0);
    assert_string_equal((char *)c.rows.p,
                        "+ item(1) a='x' b=NULL; + item(2) a='y' b=NULL\n+ pair('a',2) v='q'; + pair('b',1) v='p'\n\n");
    check_free(&c);
}

static void snapshot_of_nothing_is_one_page(void **state) {
    world *w = *state;
    start(w);
    while (step(w)) continue;
    snapshot_info info;
    assert_true(current(w, &info));
    snapshot_check c;
    check_all(w, &info, &c);
    assert_int_equal(info.pages, 1);
    check_free(&c);
}

static void snapshot_is_as_of_its_seq_though_writes_go_on(void **state) {
    world *w = *state;
    for (int i = 0; i < 40; i++) put_large(w, 1 + i * 300, 300);
    uint64_t seq = head(w);
    start(w);
    snapshot_info info;
    unsigned steps = 0;
    for (int more = 1; more; steps++) {
        put(w, "+ item(%u) a='new'; ~ item(1) a='changed'; - item(%u)", 50000 + steps, 12000 - steps);
        more = step(w);
        assert_true(current(w, &info));
        assert_int_equal(info.done, !more);
        if (more) assert_int_equal(info.pages, 8 * (steps + 1));
    }
    assert_true(steps > 1);
    assert_int_equal(info.seq, seq);
    assert_int_equal(info.rows, 12000);
    snapshot_check c;
    check_all(w, &info, &c);
    check_free(&c);
    /* Any page is the same when it is read again: a device resumes there. */
    frame *a = NULL, *b = NULL;
    bool last;
    assert_int_equal(snapshots_page(w->snaps, info.id, 3, &a, &last), SATCHEL_OK);
    assert_int_equal(snapshots_page(w->snaps, info.id, 3, &b, &last), SATCHEL_OK);
    assert_int_equal(a->n, b->n);
    assert_memory_equal(a->p, b->p, a->n);
    frame_release(a);
    frame_release(b);
    assert_int_equal(snapshots_page(w->snaps, info.id, info.pages, &a, &last), SATCHEL_E_NOT_FOUND);
    assert_int_equal(snapshots_page(w->snaps, info.id + 1, 0, &a, &last), SATCHEL_E_NOT_FOUND);
}

static void snapshot_pages_of_values_that_do_not_compress_fit_a_frame(void **state) {
    world *w = *state;
    for (int i = 0; i < 8; i++) put_noise(w, NULL, i, i % 2 ? LIMIT_VALUE_BYTES - 64 : 250000, DELTA_PUT);
    put(w, "+ pair('a',1) v='x'");
    start(w);
    while (step(w)) continue;
    snapshot_info info;
    assert_true(current(w, &info));
    snapshot_check c;
    check_all(w, &info, &c);
    assert_int_equal(c.pages, 5 + 4);
    check_free(&c);
}

static void snapshot_one_is_built_at_a_time(void **state) {
    world *w = *state;
    put_large(w, 1, 6000);
    start(w);
    snapshot_kind kind = kind_of(w, 0);
    assert_int_equal(snapshots_start(w->snaps, &kind, store_schema(w->v.s)), SATCHEL_E_BUSY);
    while (step(w)) continue;
    start(w);
}

/* Also where there is no memory to put away what was made of it: a session is given one that is whole, or begins one. */
static void snapshot_that_fails_without_memory_is_made_anew(void **state) {
    world *w = *state;
    snapshot_kind kind = kind_of(w, 0);
    snapshot_info info;
    int id = 0;
    for (fault_loop l = {0}; faults_next(&l);) {
        put(w, "+ item(%d)", id++);
        faults_at(l.n, l.all);
        if (!snapshots_start(w->snaps, &kind, store_schema(w->v.s)))
            while (snapshots_step(w->snaps, NULL, 0) == 1) continue;
        faults_at(0, false);
        if (!current(w, &info) || info.seq < head(w)) {
            start(w);
            while (step(w)) continue;
            assert_true(current(w, &info));
        }
        assert_true(info.done);
    }
}

static void snapshot_of_another_epoch_or_schema_or_too_old_is_not_used(void **state) {
    world *w = *state;
    put(w, "+ item(1)");
    start(w);
    while (step(w)) continue;
    snapshot_kind kind = kind_of(w, 0), other = kind, migrated = kind, part = kind;
    other.epoch[0] ^= 1;
    migrated.schema_epoch++;
    part.view = 1;
    snapshot_info info, found;
    assert_true(snapshots_current(w->snaps, &kind, 0, 1, &info));
    assert_false(snapshots_current(w->snaps, &other, 0, 1, &found));
    assert_false(snapshots_current(w->snaps, &migrated, 0, 1, &found));
    assert_false(snapshots_current(w->snaps, &part, 0, 1, &found));
    assert_false(snapshots_current(w->snaps, &kind, 2, 9, &found));
    assert_false(snapshots_current(w->snaps, &kind, 0, 0, &found));
    assert_true(snapshots_current(w->snaps, &kind, 1, 2001, &found));
    assert_false(snapshots_current(w->snaps, &kind, 1, 2002, &found));
    assert_true(snapshots_find(w->snaps, info.id, &kind, &found));
    assert_false(snapshots_find(w->snaps, info.id, &other, &found));
    assert_false(snapshots_find(w->snaps, info.id, &migrated, &found));
    assert_false(snapshots_find(w->snaps, info.id, &part, &found));
}

static void snapshot_of_a_view_has_its_rows_without_masked_columns(void **state) {
    world *w = *state;
    uint32_t a = set_of(w, 2, 0), b = set_of(w, 3, 0);
    uint64_t rep = view_of(w, "1:3", 2, 0);
    char text[128];
    put(w, "+ item(1) a='x', b=x'01'; + item(2) a='y', b=x'02'; + item(3) a='z'; + pair('a',1) v='p'; + pair('b',2) v='q'");
    snprintf(text, sizeof text, "UPDATE item SET satchel_set=CASE id WHEN 2 THEN %u ELSE %u END", b, a);
    sql_exec(&w->v, text);
    snprintf(text, sizeof text, "UPDATE pair SET satchel_set=%u WHERE y=2", a);
    sql_exec(&w->v, text);
    start_of(w, rep);
    while (step(w)) continue;
    snapshot_info info;
    assert_false(current(w, &info));
    assert_true(current_of(w, rep, &info));
    assert_int_equal(info.rows, 3);
    snapshot_check c;
    check_all(w, &info, &c);
    buf_put_byte(&c.rows, 0);
    assert_string_equal((char *)c.rows.p, "+ item(1) a='x'; + item(3) a='z'\n+ pair('b',2) v='q'\n\n");
    check_free(&c);
}

static void snapshots_in_use_are_kept_beyond_the_newest(void **state) {
    world *w = *state;
    snapshot_info info, found;
    uint64_t first = 0;
    put(w, "+ item(1)");
    for (uint32_t i = 0; i < SNAPSHOTS_KEPT + 3; i++) {
        uint64_t view_id = view_of(w, "", 10 + i, 0);
        start_of(w, view_id);
        while (snapshots_step(w->snaps, &first, 1) == 1) continue;
        assert_true(current_of(w, view_id, &info));
        if (!i) first = info.id;
    }
    unsigned kept = 0;
    for (uint32_t i = 0; i < SNAPSHOTS_KEPT + 3; i++) kept += current_of(w, view_of(w, "", 10 + i, 0), &found);
    assert_int_equal(kept, SNAPSHOTS_KEPT + 1);
    assert_true(current_of(w, view_of(w, "", 10, 0), &found));
    assert_int_equal(found.id, first);
}

static void snapshot_newest_two_are_kept(void **state) {
    world *w = *state;
    snapshot_info info[3], found;
    snapshot_kind kind = kind_of(w, 0);
    for (int i = 0; i < 3; i++) {
        put(w, "+ item(%d)", i);
        start(w);
        while (step(w)) continue;
        assert_true(current(w, &info[i]));
        assert_int_equal(info[i].seq, i + 1);
    }
    assert_false(snapshots_find(w->snaps, info[0].id, &kind, &found));
    assert_true(snapshots_find(w->snaps, info[1].id, &kind, &found));
    assert_true(snapshots_find(w->snaps, info[2].id, &kind, &found));
}

static void reopen(world *w) {
    buf error;
    buf_init(&error, 0);
    snapshots_close(w->snaps);
    assert_int_equal(snapshots_open(w->snapshot_path, w->v.path, &w->snaps, &error), SATCHEL_OK);
    buf_fini(&error);
}

static void snapshot_file_keeps_finished_ones_and_is_made_anew_when_damaged(void **state) {
    world *w = *state;
    snapshot_info info, found;
    put_large(w, 1, 9000);
    start(w);
    while (step(w)) continue;
    assert_true(current(w, &info));
    start(w);
    step(w);
    reopen(w);
    assert_true(current(w, &found));
    assert_int_equal(found.id, info.id);
    assert_true(found.done);
    snapshots_close(w->snaps);
    char text[1024];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = 0;
    serving_write(&w->v, "snapshots.db", text);
    buf error;
    buf_init(&error, 0);
    assert_int_equal(snapshots_open(w->snapshot_path, w->v.path, &w->snaps, &error), SATCHEL_OK);
    assert_false(current(w, &found));
    buf_fini(&error);
}

int main(void) {
    faults_install();
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(pages_cover_all_commits_exactly_once),
        TEST(pages_look_no_further_than_the_head_they_are_given),
        TEST(pages_empty_commits_move_the_cursor),
        TEST(pages_large_commit_comes_in_parts_alone),
        TEST(pages_of_values_that_do_not_compress_fit_a_frame),
        TEST(pages_below_the_floor_are_refused),
        TEST(pages_of_a_view_hold_what_it_hears_of_each_commit_together),
        TEST(pages_for_which_there_is_nothing_are_left_out_unless_due),
        TEST(pages_of_a_large_commit_are_numbered_for_the_view),
        TEST(snapshot_covers_all_rows_and_every_table),
        TEST(snapshot_of_nothing_is_one_page),
        TEST(snapshot_is_as_of_its_seq_though_writes_go_on),
        TEST(snapshot_pages_of_values_that_do_not_compress_fit_a_frame),
        TEST(snapshot_one_is_built_at_a_time),
        TEST(snapshot_that_fails_without_memory_is_made_anew),
        TEST(snapshot_of_another_epoch_or_schema_or_too_old_is_not_used),
        TEST(snapshot_of_a_view_has_its_rows_without_masked_columns),
        TEST(snapshots_in_use_are_kept_beyond_the_newest),
        TEST(snapshot_newest_two_are_kept),
        TEST(snapshot_file_keeps_finished_ones_and_is_made_anew_when_damaged),
    };
    return cmocka_run_group_tests_name("pages", tests, NULL, NULL);
}
