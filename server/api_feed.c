/* What was committed, from the log that devices are served from: whole transactions, in the order of their seq. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/api_private.h"

/* How often calls that wait look whether there was a commit. */
#define LOOK_EVERY_MS 50

typedef struct feed {
    api_call *c;
    api_reader *r;
    api_position at;
    uint64_t since, limit;
    uint64_t part_seq, part; /* where a transaction goes on that the page before could not hold; part 0: nowhere */
    /* The page. */
    uint64_t changes, next; /* next: all of it up to here is told */
    uint64_t seq;           /* of the transaction at hand, 0: none */
    size_t began;           /* where it begins in the page, and what was there by then */
    uint64_t began_changes;
    delta_row row;
} feed;

/* ---- what is asked for ---- */

static bool gone(feed *f, const char *why) {
    api_refuse(f->c, 410, SATCHEL_E_NOT_FOUND,
               "%s; read the tables again (GET /v1/tables/{table}/rows), then go on from the seq and epoch of the first page",
               why);
    return false;
}

static bool take_part(feed *f) {
    const char *text = api_arg(f->c, "continue");
    char end;
    if (!text) return true;
    if (strlen(text) < 40 && sscanf(text, "%" SCNu64 "-%" SCNu64 "%c", &f->part_seq, &f->part, &end) == 2 && f->part &&
        f->part < 1u << 24 && f->part_seq > f->since && f->part_seq < UINT64_C(1) << 38)
        return true;
    api_refuse(f->c, 400, SATCHEL_E_MISUSE, "\"continue\" is what the page before gave, together with its \"next\" as since");
    return false;
}

static bool take_asked(feed *f) {
    api_call *c = f->c;
    f->limit = API_CHANGES_DEFAULT;
    if (!api_number(c, "since", INT64_MAX >> 24, &f->since) || !api_number(c, "limit", API_CHANGES_MAX, &f->limit)) return false;
    if (!api_number(c, "wait", API_WAIT_MAX_S, &c->wait_s) || !take_part(f)) return false;
    if (!f->limit) api_refuse(c, 400, SATCHEL_E_MISUSE, "limit is from 1 to %d", API_CHANGES_MAX);
    return f->limit;
}

/* Whether the log tells all that came after `since`, of the store's present past. */
static bool check_place(feed *f) {
    char present[2 * EPOCH_BYTES + 1];
    const char *epoch = api_arg(f->c, "epoch");
    for (unsigned i = 0; i < EPOCH_BYTES; i++) snprintf(present + 2 * i, 3, "%02x", f->at.epoch[i]);
    if (!epoch && f->since) {
        api_refuse(f->c, 400, SATCHEL_E_MISUSE,
                   "give the epoch that came with the seq: after a restore from a backup the same seq is another commit");
        return false;
    }
    if (epoch && strcmp(epoch, present))
        return gone(f, "the server was restored from a backup since, so that this seq is of another past");
    if (f->since > f->at.seq) return gone(f, "this seq lies ahead of the server's newest commit");
    if (f->since < f->at.floor) return gone(f, "the log does not go back so far any more");
    return true;
}

/* ---- one change ---- */

static const char *author_name(feed *f, int64_t author) {
    static _Thread_local char name[LIMIT_NAME_BYTES + 1];
    snprintf(name, sizeof name, "server");
    sqlite3_stmt *q = author
                          ? db_prepare(&f->r->file.cache,
                                       "SELECT name FROM satchel_author a JOIN satchel_device d ON d.id=a.device WHERE author=?")
                          : NULL;
    if (!q) return name;
    db_bind(q, "i", author);
    if (db_next(&f->r->file.cache, q) == 1) {
        snprintf(name, sizeof name, "%s", (const char *)sqlite3_column_text(q, 0));
        sqlite3_reset(q);
    }
    return name;
}

static void put_values(feed *f, buf *out, const schema_table *t) {
    const char *comma = "";
    for (unsigned i = 0; i < f->row.ncol; i++) {
        const schema_column *column = schema_column_by_id(t, f->row.col[i].id);
        if (!column || column->until != SCHEMA_NEVER) continue;
        buf_printf(out, "%s", comma);
        record_put_text(out, column->name, strlen(column->name));
        buf_put_byte(out, ':');
        record_put_value(out, &f->row.v[i]);
        comma = ",";
    }
}

static void put_change(feed *f, const char *head, const schema_table *t) {
    static const char *const OP[] = {"insert", "update", "delete", "delete"};
    buf *out = &f->c->out.body;
    if (f->changes++) buf_put_byte(out, ',');
    buf_printf(out, "%s,\"table\":", head);
    record_put_text(out, t->name, strlen(t->name));
    buf_printf(out, ",\"op\":\"%s\",\"key\":", OP[f->row.op]);
    record_put_key(out, t, f->row.key);
    buf_printf(out, ",\"values\":{");
    put_values(f, out, t);
    buf_printf(out, "}}");
}

/* The changes of one row of the log. Those of tables that were dropped since are left out. */
static int put_delta(feed *f, sqlite3_stmt *q) {
    buf head = {0};
    wire w;
    delta_reader r;
    int more;
    buf_printf(&head, "{\"seq\":%" PRIu64 ",\"at_ms\":%" PRId64 ",\"author\":", (uint64_t)sqlite3_column_int64(q, 0) >> 24,
               (int64_t)sqlite3_column_int64(q, 2));
    const char *name = author_name(f, sqlite3_column_int64(q, 1));
    record_put_text(&head, name, strlen(name));
    buf_put_byte(&head, 0);
    wire_open(&w, sqlite3_column_blob(q, 3), (size_t)sqlite3_column_bytes(q, 3));
    delta_open(&r, &w);
    while ((more = delta_next(&r, &f->row)) == 1) {
        const schema_table *t = schema_table_by_id(f->r->schema, f->row.table);
        if (t && t->until == SCHEMA_NEVER && t->nkey == f->row.nkey) put_change(f, (const char *)head.p, t);
    }
    int rc = more ? more : head.rc;
    buf_fini(&head);
    return rc;
}

/* ---- the page ---- */

/* True if the page ends before this row of the log. *part: the transaction at hand goes on in the next page. */
static bool page_ends(feed *f, uint64_t seq, bool *part) {
    buf *out = &f->c->out.body;
    if (seq != f->seq) {
        if (f->seq) f->next = f->seq;
        return f->changes >= f->limit || out->n > API_PAGE_BYTES;
    }
    if (out->n - f->began <= API_PAGE_BYTES && out->n <= 2 * API_PAGE_BYTES) return false;
    /* Too large for what is left of this page, or for any. */
    *part = f->began_changes == 0;
    if (!*part) {
        out->n = f->began;
        f->changes = f->began_changes;
    }
    return true;
}

static void begin_transaction(feed *f, uint64_t seq) {
    f->seq = seq;
    f->began = f->c->out.body.n;
    f->began_changes = f->changes;
}

/* *part: where the transaction goes on, 0: the page ends with a whole one. */
static int put_log(feed *f, sqlite3_stmt *q, uint64_t *part) {
    int more;
    while ((more = db_next(&f->r->file.cache, q)) == 1) {
        uint64_t id = (uint64_t)sqlite3_column_int64(q, 0);
        bool torn = false;
        if (page_ends(f, id >> 24, &torn)) {
            *part = torn ? id & 0xffffff : 0;
            sqlite3_reset(q);
            return SATCHEL_OK;
        }
        if (id >> 24 != f->seq) begin_transaction(f, id >> 24);
        int rc = put_delta(f, q);
        if (rc) {
            sqlite3_reset(q);
            return rc;
        }
    }
    f->next = f->at.seq;
    return more;
}

static int put_page(feed *f) {
    buf *out = &f->c->out.body;
    uint64_t first = f->part ? f->part_seq << 24 | f->part : (f->since + 1) << 24, part = 0;
    /* What has a `besides` is a leave: a program holds everything. */
    sqlite3_stmt *q = db_prepare(&f->r->file.cache,
                                 "SELECT id,author,at_ms,delta FROM satchel_log WHERE id>=? AND id<? AND besides=0 ORDER BY id");
    db_bind(q, "ii", (int64_t)first, (int64_t)((f->at.seq + 1) << 24));
    api_answer(f->c, 200);
    f->next = f->since;
    buf_printf(out, "{\"changes\":[");
    int rc = put_log(f, q, &part);
    buf_printf(out, "],\"next\":%" PRIu64 ",\"epoch\":\"", f->next);
    api_put_epoch(out, f->at.epoch);
    buf_printf(out, "\",\"more\":%s", f->next < f->at.seq ? "true" : "false");
    if (part) buf_printf(out, ",\"continue\":\"%" PRIu64 "-%" PRIu64 "\"", f->seq, part);
    buf_printf(out, "}");
    return rc;
}

static void make_page(feed *f) {
    int rc = api_read_begin(f->c, f->r, &f->at);
    bool here = !rc && check_place(f);
    if (here) rc = put_page(f);
    if (rc) api_fail(f->c, f->r, rc);
    api_read_end(f->r);
    if (rc || !here) return;
    f->c->seen_seq = f->at.seq;
    /* The answer is made; whether it is given now is for api_wait to say. */
    if (!f->changes && f->c->wait_s) f->c->out.status = 0;
}

void api_changes(api_call *c, api_reader *r) {
    feed *f = calloc(1, sizeof *f);
    if (!f) {
        api_refuse(c, 503, SATCHEL_E_OVERLOAD, "the server is out of memory");
        return;
    }
    f->c = c;
    f->r = r;
    if (take_asked(f)) make_page(f);
    free(f);
}

/* ---- waiting ---- */

static void free_timer(uv_handle_t *timer) {
    free(timer);
}

static void stop_looking(api *a) {
    if (a->parked || !a->look) return;
    uv_close((uv_handle_t *)a->look, free_timer);
    a->look = NULL;
}

void api_unpark(api_call *c) {
    api_call **at = &c->api->parked;
    while (*at && *at != c) at = &(*at)->next;
    if (*at) *at = c->next;
    c->parked = false;
    stop_looking(c->api);
}

static void look(uv_timer_t *timer) {
    api *a = timer->data;
    api_call *c = a->parked;
    a->parked = NULL;
    for (api_call *next; c; c = next) {
        next = c->next;
        c->parked = false;
        api_wait(c);
    }
    stop_looking(a);
}

static bool start_looking(api *a) {
    if (a->look) return true;
    a->look = malloc(sizeof *a->look);
    if (!a->look) return false;
    uv_timer_init(&a->service->loop->uv, a->look);
    a->look->data = a;
    uv_timer_start(a->look, look, LOOK_EVERY_MS, LOOK_EVERY_MS);
    return true;
}

void api_wait(api_call *c) {
    api *a = c->api;
    uint64_t now_ms = uv_now(&a->service->loop->uv);
    hub_stats stats;
    hub_get_stats(a->service->hub, &stats);
    if (!c->until_ms) c->until_ms = now_ms + c->wait_s * 1000;
    if (!a->service->draining && now_ms < c->until_ms && stats.seq > c->seen_seq) {
        api_enqueue(c);
    } else if (!a->service->draining && now_ms < c->until_ms && start_looking(a)) {
        c->parked = true;
        c->next = a->parked;
        a->parked = c;
    } else {
        c->out.status = 200;
        api_complete(c);
    }
}
