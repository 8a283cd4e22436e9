#include "tests/unit/hub_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"

static const char SCHEMA[] =
    "CREATE TABLE item(id INTEGER PRIMARY KEY, a TEXT, n INTEGER DEFAULT 0 CHECK(n < 1000), b BLOB);\n"
    "INSERT INTO satchel_table(name) VALUES('item');\nINSERT INTO satchel_rule(tbl, col, rule) VALUES('item','n','counter');\n"
    "CREATE TABLE long(k TEXT PRIMARY KEY, a TEXT);\nINSERT INTO satchel_table(name) VALUES('long');\n";

static uint64_t now_ms(void *ctx) {
    return ((world *)ctx)->now_ms;
}

static void on_wake(void *ctx) {
    ((world *)ctx)->wakes++;
}

static void on_log(void *ctx, const log_fields *f, const char *text) {
    world *w = ctx;
    size_t n = strlen(w->log);
    snprintf(w->log + n, sizeof w->log - n, "%c %s: %s event=%s txn=%llu reason=%s\n", f->level, f->device ? f->device : "-",
             text, f->event ? f->event : "-", (unsigned long long)f->txn, satchel_rc_name(f->rc));
}

static void open_hub(world *w) {
    static char snapshots[160];
    snprintf(snapshots, sizeof snapshots, "%s/snapshots.db", w->v.dir);
    hub_config c = {.store = w->v.s,
                    .watched = true,
                    .store_path = w->v.path,
                    .snapshot_path = snapshots,
                    .readers = 2,
                    .change_bytes = w->change_bytes,
                    .history_ms = 1000000000,
                    .horizon_ms = 1000000000,
                    .now_ms = now_ms,
                    .wake = on_wake,
                    .log = on_log,
                    .ctx = w};
    buf error;
    buf_init(&error, 0);
    int rc = hub_open(&c, &w->h, &error);
    if (rc) fail_msg("%s %.*s", satchel_rc_name(rc), (int)error.n, (const char *)error.p);
    buf_fini(&error);
}

void reopen_hub(world *w) {
    hub_close(w->h);
    for (unsigned i = 0; i < w->links; i++) w->link[i]->session = 0;
    open_hub(w);
}

int setup(void **state) {
    world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    serving_open(&w->v, SCHEMA, "INSERT INTO item(id,a) VALUES(1,'one');\n");
    sql_exec(&w->v, "PRAGMA synchronous=OFF");
    w->phone = serving_device(&w->v, "phone");
    w->tablet = serving_device(&w->v, "tablet");
    w->now_ms = w->v.now_ms;
    ingest_free(w->v.g);
    w->v.g = NULL;
    open_hub(w);
    *state = w;
    return 0;
}

static void link_free(link *l) {
    buf_fini(&l->said);
    free(l);
}

void drop_link(world *w, unsigned i) {
    link_free(w->link[i]);
    w->link[i] = w->link[--w->links];
}

int teardown(void **state) {
    world *w = *state;
    hub_close(w->h);
    for (unsigned i = 0; i < w->links; i++) link_free(w->link[i]);
    serving_fini(&w->v);
    free(w);
    return 0;
}

/* ---- a device by hand ---- */

static void say_results(link *l, const void *p, size_t n) {
    results_reader r;
    msg_result x;
    assert_int_equal(results_open(&r, p, n), SATCHEL_OK);
    buf_printf(&l->said, "results(");
    for (unsigned i = 0; results_next(&r, &x) == 1; i++) {
        if (i > 2) continue;
        buf_printf(&l->said, "%s%llu:%s", i ? "," : "", (unsigned long long)x.number, satchel_rc_name(x.rc));
        if (!x.rc) buf_printf(&l->said, "@%llu", (unsigned long long)x.seq);
    }
    buf_printf(&l->said, ") ");
}

static void say_losses(link *l, const void *p, size_t n) {
    losses_reader r;
    msg_loss x;
    unsigned count = 0;
    assert_int_equal(losses_open(&r, p, n), SATCHEL_OK);
    if (!r.count) {
        l->told++;
        return;
    }
    while (losses_next(&r, &x) == 1) {
        l->loss_cursor = x.id;
        if (!count++) {
            buf_printf(&l->said, "losses(");
            value_put_literal(&l->said, &x.kept);
            buf_printf(&l->said, ">");
            value_put_literal(&l->said, &x.lost);
        }
    }
    buf_printf(&l->said, " %u) ", count);
}

static void say_page(link *l, const void *p, size_t n) {
    page_reader r;
    assert_int_equal(page_open(&r, p, n, &l->page), SATCHEL_OK);
    assert_int_equal(l->page.from, l->cursor);
    if (l->holds) holding_page(l->holds, &l->page, p, n);
    if (!l->page.more) l->cursor = l->page.to;
    l->pages++;
    buf_printf(&l->said, "page(%llu-%llu) ", (unsigned long long)l->page.from, (unsigned long long)l->page.to);
}

static void say_snapshot(link *l, const void *p, size_t n) {
    snapshot_reader r;
    assert_int_equal(snapshot_open(&r, p, n, &l->snap), SATCHEL_OK);
    if (l->snap.id != l->snapshot) l->snapshot_page = 0;
    l->snapshot = l->snap.id;
    assert_int_equal(l->snap.page, l->snapshot_page);
    if (l->holds) holding_snapshot(l->holds, &l->snap, p, n);
    l->snapshot_page++;
    if (l->snap.last) {
        l->cursor = l->snap.seq;
        l->snapshot = l->snapshot_page = 0;
    }
    l->pages++;
    buf_printf(&l->said, "snapshot(%u%s) ", l->snap.page, l->snap.last ? " last" : "");
}

/* How many ranges were compared, and of each that differs the table and the first value of its keys. */
static void say_repair(link *l, const void *p, size_t n) {
    static snapshot_range range;
    static delta_row row;
    snapshot_reader r;
    msg_repair m;
    assert_int_equal(repair_open(&r, p, n, &m), SATCHEL_OK);
    buf_printf(&l->said, "repair(%llu%s", (unsigned long long)m.compared, m.cut ? " cut" : "");
    while (snapshot_next(&r, &range) == 1) {
        delta_reader rows;
        wire w;
        wire_open(&w, range.delta, range.ndelta);
        delta_open(&rows, &w);
        const schema_table *t = schema_table_by_id(l->holds->shape, range.table);
        assert_non_null(t);
        buf_printf(&l->said, " %s:", t->name);
        for (unsigned i = 0; delta_next(&rows, &row) == 1; i++) {
            if (i) buf_put_byte(&l->said, ',');
            value_put_literal(&l->said, &row.key[0]);
            l->repaired_columns = row.ncol;
        }
    }
    buf_printf(&l->said, ") ");
}

static void say_error(link *l, const void *p, size_t n) {
    msg_error e;
    assert_int_equal(error_decode(p, n, &e), SATCHEL_OK);
    buf_printf(&l->said, "error(%s%s) ", satchel_rc_name(e.rc), e.retry_after_ms ? " later" : "");
}

static void hear(link *l, const hub_frame *f) {
    buf m;
    uint64_t number;
    msg_schema s;
    buf_init(&m, 0);
    assert_int_equal(frame_unpack(f->p, f->n, &m), SATCHEL_OK);
    assert_int_equal(message_check(m.p, m.n), SATCHEL_OK);
    switch (message_peek(m.p, m.n)) {
    case MSG_WELCOME:
        assert_int_equal(welcome_decode(m.p, m.n, &l->welcome), SATCHEL_OK);
        buf_printf(&l->said, "welcome%s ", l->welcome.snapshot ? "(snapshot)" : "");
        break;
    case MSG_SCHEMA:
        assert_int_equal(schema_decode(m.p, m.n, &s), SATCHEL_OK);
        buf_printf(&l->said, "schema(%u) ", s.epoch);
        break;
    case MSG_RESULTS:
        say_results(l, m.p, m.n);
        break;
    case MSG_PAGE:
        say_page(l, m.p, m.n);
        break;
    case MSG_SNAPSHOT:
        say_snapshot(l, m.p, m.n);
        break;
    case MSG_LOSSES:
        say_losses(l, m.p, m.n);
        break;
    case MSG_FORKED:
        assert_int_equal(forked_decode(m.p, m.n, &l->forked, &number), SATCHEL_OK);
        buf_printf(&l->said, "forked(%u from %llu) ", l->forked, (unsigned long long)number);
        break;
    case MSG_REPAIR:
        say_repair(l, m.p, m.n);
        break;
    case MSG_ERROR:
        say_error(l, m.p, m.n);
        break;
    default:
        fail_msg("a message of type %d", (int)message_peek(m.p, m.n));
    }
    buf_fini(&m);
}

void drain(world *w) {
    for (uint64_t id; (id = hub_ready(w->h));) {
        for (unsigned i = 0; i < w->links; i++) {
            link *l = w->link[i];
            hub_frame f;
            bool close = false;
            if (l->session != id) continue;
            while (hub_output(w->h, id, &f, &close)) {
                hear(l, &f);
                hub_output_done(w->h, id);
            }
            if (close && !l->closed) {
                l->closed = true;
                buf_printf(&l->said, "closed ");
            }
        }
    }
}

void settle(world *w) {
    bool worked = true;
    for (unsigned i = 0; worked; i++) {
        worked = hub_write_step(w->h);
        worked = hub_read_step(w->h, i % 2) || worked;
        drain(w);
        assert_true(i < 100000);
    }
}

const char *said(link *l) {
    static char text[2048];
    snprintf(text, sizeof text, "%.*s", (int)l->said.n, l->said.n ? (const char *)l->said.p : "");
    if (text[0]) text[strlen(text) - 1] = 0;
    buf_clear(&l->said);
    return text;
}

link *dial(world *w, device *d, const char *name) {
    link *l = calloc(1, sizeof *l);
    uint8_t fingerprint[CRYPTO_FINGERPRINT_BYTES];
    assert_non_null(l);
    serving_fingerprint(name, fingerprint);
    l->d = d;
    l->name = name;
    l->incarnation = 1;
    l->session = hub_connect(w->h, fingerprint);
    assert_int_not_equal(l->session, 0);
    assert_true(w->links < sizeof w->link / sizeof w->link[0]);
    w->link[w->links++] = l;
    return l;
}

void send_message(world *w, link *l, buf *m, bool pack) {
    buf frame;
    buf_init(&frame, 0);
    assert_int_equal(m->rc, SATCHEL_OK);
    if (pack) {
        assert_int_equal(frame_pack(m->p, m->n, &frame), SATCHEL_OK);
        hub_receive(w->h, l->session, frame.p, frame.n);
    } else {
        hub_receive(w->h, l->session, m->p, m->n);
    }
    buf_fini(&frame);
    buf_fini(m);
}

void hello_as(world *w, link *l, const msg_hello *m) {
    buf out;
    buf_init(&out, 0);
    assert_int_equal(hello_encode(m, &out), SATCHEL_OK);
    send_message(w, l, &out, true);
}

msg_hello make_hello(world *w, const link *l) {
    store_position p = store_where(w->v.s);
    msg_hello m = {.version = PROTOCOL_VERSION,
                   .incarnation = l->incarnation,
                   .cursor = l->cursor,
                   .schema_epoch = 1,
                   .last_number = l->d->number,
                   .settled_number = l->settled,
                   .loss_cursor = l->loss_cursor,
                   .now_ms = w->now_ms,
                   .pending = l->pending,
                   .snapshot = l->snapshot,
                   .snapshot_page = l->snapshot_page,
                   .software = "test",
                   .nsoftware = 4,
                   .has_view = true,
                   .view = l->holds ? l->holds->view : 0};
    m.has_epoch = l->cursor > 0;
    if (m.has_epoch) memcpy(m.epoch, p.epoch, sizeof m.epoch);
    memcpy(m.schema_hash, p.schema_hash, sizeof m.schema_hash);
    return m;
}

void hello(world *w, link *l) {
    msg_hello m = make_hello(w, l);
    hello_as(w, l, &m);
}

void pull(world *w, link *l, uint32_t credit) {
    msg_pull m = {.cursor = l->cursor, .credit = credit, .loss_cursor = l->loss_cursor};
    buf out;
    buf_init(&out, 0);
    assert_int_equal(pull_encode(&m, &out), SATCHEL_OK);
    send_message(w, l, &out, true);
}

void put_txn(world *w, push_writer *p, push_txn *t, const char *words) {
    buf delta;
    buf_init(&delta, 0);
    serving_delta(store_schema(w->v.s), words, &delta);
    t->schema_epoch = 1;
    t->delta = delta.p;
    t->ndelta = delta.n;
    push_put_txn(p, t);
    buf_fini(&delta);
}

void push_words(world *w, link *l, int seconds, const char *const *words) {
    push_writer p;
    buf out;
    buf_init(&out, LIMIT_MESSAGE_BYTES);
    push_begin(&p, l->incarnation);
    for (; *words; words++) {
        push_txn t = make_txn(l->d, l->cursor, 3600 + seconds++);
        put_txn(w, &p, &t, *words);
    }
    assert_int_equal(push_finish(&p, &out), SATCHEL_OK);
    send_message(w, l, &out, true);
}

link *online(world *w, device *d, const char *name) {
    link *l = dial(w, d, name);
    l->cursor = store_where(w->v.s).seq;
    l->settled = d->number;
    hello(w, l);
    settle(w);
    pull(w, l, 8);
    settle(w);
    said(l);
    return l;
}

/* ---- jobs ---- */

int run_job(hub_job *job, store *s, ingest *g, uint64_t at) {
    test_job *t = (test_job *)job;
    buf error;
    buf_init(&error, 0);
    t->ran = true;
    uint64_t transactions, rows;
    int rc = t->job.own_transaction ? ingest_sql(g, t->text, at, &transactions, &rows, &error)
                                    : ingest_sql_inside(g, t->text, at, &error);
    buf_fini(&error);
    (void)s;
    return rc ? rc : t->answer;
}

void done_job(hub_job *job, int rc) {
    ((test_job *)job)->got = rc;
}

void server(world *w, const char *text) {
    test_job j = {.job = {.run = run_job, .done = done_job}, .got = 1, .text = text};
    assert_true(hub_submit(w->h, &j.job));
    settle(w);
    assert_int_equal(j.got, SATCHEL_OK);
}
