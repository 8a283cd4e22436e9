/* Commands about the store as a whole. */
#include <stdio.h>
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/control_private.h"
#include "server/notice.h"

static json_t *position_json(const store_position *p) {
    json_t *o = json_object();
    control_put_hex(o, "epoch", p->epoch, sizeof p->epoch);
    control_put_number(o, "epoch_start", p->epoch_start);
    control_put_number(o, "seq", p->seq);
    control_put_number(o, "floor", p->floor);
    control_put_number(o, "backup_seq", p->backup_seq);
    control_put_number(o, "schema_epoch", p->schema_epoch);
    return o;
}

static json_t *counts_json(const store_counts *c) {
    json_t *o = json_object();
    control_put_number(o, "devices", c->devices);
    control_put_number(o, "active", c->active);
    control_put_number(o, "rows", c->rows);
    control_put_number(o, "conflicts", c->conflicts);
    control_put_number(o, "rejected_open", c->rejected_open);
    control_put_number(o, "log_rows", c->log_rows);
    control_put_number(o, "tombstones", c->tombstones);
    control_put_number(o, "bytes", c->bytes);
    control_put_number(o, "backup_ms", c->backup_ms);
    control_put_number(o, "pending", c->pending);
    control_put_number(o, "silent", c->silent_day);
    control_put_number(o, "alerts", c->alerts_open);
    return o;
}

static json_t *stats_json(const hub_stats *st) {
    json_t *o = json_object();
    control_put_number(o, "sessions", st->sessions);
    control_put_number(o, "bytes_in", st->bytes_in);
    control_put_number(o, "bytes_out", st->bytes_out);
    control_put_number(o, "txns_accepted", st->txns_accepted);
    control_put_number(o, "txns_refused", st->txns_refused);
    control_put_number(o, "txns_repeated", st->txns_repeated);
    control_put_number(o, "conflicts", st->conflicts);
    control_put_number(o, "forks", st->forks);
    control_put_number(o, "pages", st->pages);
    control_put_number(o, "snapshot_pages", st->snapshot_pages);
    control_put_number(o, "writer_queue", st->writer_queue);
    control_put_number(o, "reader_queue", st->reader_queue);
    json_object_set_new(o, "writable", json_boolean(st->writable));
    control_put_number(o, "disk_free", st->disk_free);
    control_put_number(o, "disk_reserve", st->disk_reserve);
    control_put_number(o, "wal_bytes", st->wal_bytes);
    control_put_text(o, "scope_trouble", st->scope_trouble[0] ? st->scope_trouble : NULL);
    return o;
}

/* Of the ways by which alerts are told the first that fails; NULL: none does. */
static void put_notice_trouble(json_t *o, notice *n) {
    for (alert_way way = 0; way < ALERT_WAYS; way++) {
        char text[LIMIT_TEXT_BYTES + 64];
        notice_state st;
        notice_get(n, way, &st);
        snprintf(text, sizeof text, "%s of alerts fails: %s", notice_way_name(way), st.words);
        control_put_text(o, "notice_trouble", st.failing_ms ? text : NULL);
        if (st.failing_ms) return;
    }
}

static int run_status(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    (void)g;
    service *sv = call->job.service;
    store_position where = store_where(s);
    store_counts counts = {0};
    hub_stats stats;
    hub_get_stats(sv->hub, &stats);
    int rc = store_count(s, now_ms, &counts);
    control_put_text(call->reply, "version", SATCHEL_VERSION);
    control_put_text(call->reply, "data", sv->data);
    control_put_text(call->reply, "host", sv->host);
    control_put_number(call->reply, "sync_port", sv->sync_port);
    control_put_number(call->reply, "https_port", sv->https_port);
    control_put_number(call->reply, "uptime_ms", now_ms > sv->started_ms ? now_ms - sv->started_ms : 0);
    control_put_hex(call->reply, "pin", sv->identity->pin, sizeof sv->identity->pin);
    json_object_set_new(call->reply, "position", position_json(&where));
    json_object_set_new(call->reply, "store", counts_json(&counts));
    json_object_set_new(call->reply, "since_start", stats_json(&stats));
    put_notice_trouble(json_object_get(call->reply, "since_start"), sv->notice);
    return control_failed(call, rc, s, "cannot count the store");
}

static int run_sql(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    (void)s;
    const char *text = control_text(call, "text");
    if (!text) return control_misuse(call, "no SQL");
    if (strlen(text) > CONTROL_SQL_BYTES) return SATCHEL_E_LIMIT;
    uint64_t transactions = 0, rows = 0;
    int rc = ingest_sql(g, text, now_ms, &transactions, &rows, &call->error);
    control_put_number(call->reply, "transactions", transactions);
    control_put_number(call->reply, "rows", rows);
    return rc;
}

const control_command control_store_commands[] = {
    {"status", false, run_status, NULL, PEOPLE_VIEWER, true},
    {"sql", true, run_sql, NULL, PEOPLE_ADMIN, false},
    {0},
};
