/* One device: how it is, its connections, what it is to hold, and why a row is on it or not. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/console_private.h"
#include "server/scope.h"

int console_view_of(const console *k, int64_t device, int64_t *view_number) {
    db_cache *cache = &k->file->cache;
    sqlite3_stmt *q = db_prepare(
        cache, "SELECT d.profile IS NULL OR NOT EXISTS(SELECT 1 FROM satchel_scope),(SELECT h.view FROM satchel_held h"
               " WHERE h.device=d.id ORDER BY h.seq DESC LIMIT 1) FROM satchel_device d WHERE d.id=? AND d." DEVICE_LISTED);
    db_bind(q, "i", device);
    int rc = db_next(cache, q);
    if (rc != 1) return rc ? rc : SATCHEL_E_NOT_FOUND;
    bool all = sqlite3_column_int(q, 0) != 0, never = sqlite3_column_type(q, 1) == SQLITE_NULL;
    *view_number = all ? 0 : never ? -1 : sqlite3_column_int64(q, 1);
    sqlite3_reset(q);
    return SATCHEL_OK;
}

static int find_bucket(const console *k, uint32_t id, const char *comma, buf *out) {
    db_cache *cache = &k->file->cache;
    sqlite3_stmt *q = db_prepare(cache, "SELECT name FROM satchel_bucket WHERE id=?");
    db_bind(q, "i", (int64_t)id);
    int rc = db_next(cache, q);
    if (rc != 1) return rc;
    const char *name = (const char *)sqlite3_column_text(q, 0);
    buf_printf(out, "%s", comma);
    record_put_text(out, name ? name : "", name ? strlen(name) : 0);
    sqlite3_reset(q);
    return SATCHEL_OK;
}

int console_put_buckets(const console *k, const char *sql, int64_t id, buf *out) {
    sqlite3_stmt *q = NULL;
    int rc = db_rc(sqlite3_prepare_v2(k->file->db, sql, -1, &q, NULL));
    if (!rc) sqlite3_bind_int64(q, 1, id);
    buf_put_byte(out, '[');
    if (!rc && sqlite3_step(q) == SQLITE_ROW) {
        const uint8_t *p = sqlite3_column_blob(q, 0);
        for (int i = 0; !rc && i + 4 <= sqlite3_column_bytes(q, 0); i += 4)
            rc = find_bucket(k, (uint32_t)p[i] << 24 | (uint32_t)p[i + 1] << 16 | (uint32_t)p[i + 2] << 8 | p[i + 3],
                             i ? "," : "", out);
    }
    buf_put_byte(out, ']');
    sqlite3_finalize(q);
    return rc;
}

/* The one that is open, as an item of its list, or null. */
static void put_open(console *k, int64_t device, const char *name, buf *out) {
    const history_sync *y = console_open_of(k, device);
    if (!y) {
        buf_printf(out, "null");
        return;
    }
    buf_printf(out, "{\"id\":null,\"device_id\":%" PRId64, device);
    console_put_text(out, "device", name);
    console_put_integer(out, "begun_ms", (int64_t)y->begun_ms);
    buf_printf(out, ",\"ended_ms\":null");
    console_put_integer(out, "ms", k->now_ms > (int64_t)y->begun_ms ? k->now_ms - (int64_t)y->begun_ms : 0);
    if (y->current_ms)
        console_put_integer(out, "current_ms", (int64_t)y->current_ms);
    else
        buf_printf(out, ",\"current_ms\":null");
    buf_printf(out, ",\"end\":null,\"end_text\":null");
    console_put_integer(out, "sent_frames", (int64_t)y->sent_frames);
    console_put_integer(out, "received_frames", (int64_t)y->received_frames);
    console_put_integer(out, "sent_bytes", (int64_t)y->sent_bytes);
    console_put_integer(out, "received_bytes", (int64_t)y->received_bytes);
    console_put_integer(out, "pushed", (int64_t)y->pushed);
    console_put_integer(out, "pulled", (int64_t)y->pulled);
    console_put_text(out, "peer", y->peer);
    if (y->hello.taken) {
        console_put_integer(out, "clock_offset_ms", y->hello.clock_offset_ms);
        console_put_text(out, "software", y->hello.software);
        console_put_integer(out, "schema_epoch", y->hello.schema_epoch);
    } else {
        buf_printf(out, ",\"clock_offset_ms\":null,\"software\":null,\"schema_epoch\":null");
    }
    buf_put_byte(out, '}');
}

/* As a list of one or none, terminated: what a query takes as ?5. */
static int make_open(console *k, int64_t device, const char *name, buf *out) {
    buf_put_byte(out, '[');
    if (console_open_of(k, device)) put_open(k, device, name, out);
    buf_put_byte(out, ']');
    buf_put_byte(out, 0);
    return out->rc;
}

/* ---- GET /v1/admin/devices/{id} ---- */

static int name_of(const console *k, int64_t device, char out[LIMIT_NAME_BYTES + 1], buf *words) {
    db_cache *cache = &k->file->cache;
    sqlite3_stmt *q = db_prepare(cache, "SELECT name FROM satchel_device WHERE id=? AND " DEVICE_LISTED);
    db_bind(q, "i", device);
    int rc = db_next(cache, q);
    if (!rc) buf_printf(words, "there is no device %" PRId64, device);
    if (rc != 1) return rc ? rc : SATCHEL_E_NOT_FOUND;
    sqlite3_snprintf(LIMIT_NAME_BYTES + 1, out, "%s", sqlite3_column_text(q, 0));
    sqlite3_reset(q);
    return SATCHEL_OK;
}

static int put_masked(const console *k, int64_t view_number, buf *out) {
    view *v = NULL;
    const char *between = "";
    int rc = view_number > 0 ? pages_view(k->file, (uint64_t)view_number, &v) : SATCHEL_OK;
    buf_printf(out, ",\"masked\":{");
    for (unsigned i = 0; v && !rc && i < k->schema->ntable; i++) {
        const schema_table *t = &k->schema->table[i];
        buf columns = {0};
        for (unsigned j = 0; t->until == SCHEMA_NEVER && j < t->ncol; j++)
            if (view_masks(v, t->id, t->col[j]->id)) buf_printf(&columns, "%s%s", columns.n ? "," : "", t->col[j]->name);
        if (columns.n) {
            buf_printf(out, "%s", between);
            record_put_text(out, t->name, strlen(t->name));
            buf_put_byte(out, ':');
            record_put_text(out, (const char *)columns.p, columns.n);
            between = ",";
        }
        buf_fini(&columns);
    }
    buf_put_byte(out, '}');
    return rc;
}

/* Where its last comparison found differences, as it was noted: JSON. */
static int put_found(const console *k, int64_t id, buf *out) {
    size_t before = out->n;
    int rc = store_device_found(&k->file->cache, id, out);
    if (!rc && out->n == before) buf_printf(out, "[]");
    return rc;
}

/* Each software and schema that it was here with, by its kept connections and the open one: since the first of them, the newest first. */
static int put_versions(console *k, int64_t id, const char *name, buf *out) {
    static const char SQL[] =
        "SELECT min(begun_ms) AS since_ms,software,schema_epoch FROM (SELECT begun_ms,software,schema_epoch FROM satchel_sync"
        " WHERE device=?4 UNION ALL SELECT value->>'begun_ms',value->>'software',value->>'schema_epoch' FROM json_each(?5))"
        " WHERE schema_epoch IS NOT NULL GROUP BY software,schema_epoch ORDER BY since_ms DESC,schema_epoch DESC LIMIT 50";
    buf open = {0};
    int rc = make_open(k, id, name, &open);
    buf_printf(out, ",\"versions\":");
    if (!rc) rc = console_put_rows(k, SQL, id, (const char *)open.p, out);
    buf_fini(&open);
    return rc;
}

/* What waits on it by table, as it last told: JSON. */
static int put_waiting(const console *k, int64_t id, buf *out) {
    uint64_t told_ms = 0;
    buf_printf(out, ",\"pending_tables\":");
    int rc = store_device_waiting(&k->file->cache, id, out, &told_ms);
    if (told_ms)
        console_put_integer(out, "pending_told_ms", (int64_t)told_ms);
    else
        buf_printf(out, ",\"pending_told_ms\":null");
    return rc;
}

static int put_device(console *k, int64_t id, buf *out, buf *words) {
    char name[LIMIT_NAME_BYTES + 1];
    int64_t view_number = 0;
    int rc = name_of(k, id, name, words);
    if (rc) return rc;
    buf_put_byte(out, '{');
    console_put_as_of(k, out);
    buf_printf(out, ",\"device\":");
    if ((rc = console_put_one(k, &CONSOLE_DEVICES, id, NULL, out)) == 1) rc = SATCHEL_OK;
    buf_printf(out, ",\"connection\":");
    put_open(k, id, name, out);
    if (!rc) rc = console_view_of(k, id, &view_number);
    if (view_number < 0)
        buf_printf(out, ",\"view\":null,\"buckets\":");
    else
        buf_printf(out, ",\"view\":%" PRId64 ",\"buckets\":", view_number);
    if (!rc) rc = console_put_buckets(k, "SELECT buckets FROM satchel_view WHERE id=?", view_number, out);
    if (!rc) rc = put_masked(k, view_number, out);
    buf_printf(out, ",\"incarnations\":");
    if (!rc)
        rc = console_put_rows(k, "SELECT incarnation,last_number FROM satchel_author WHERE device=?4 ORDER BY incarnation", id,
                              NULL, out);
    buf_printf(out, ",\"compared_found\":");
    if (!rc) rc = put_found(k, id, out);
    if (!rc) rc = put_versions(k, id, name, out);
    if (!rc) rc = put_waiting(k, id, out);
    buf_put_byte(out, '}');
    return rc;
}

void console_device(api_call *c, api_reader *r) {
    console_tell_one(c, r, put_device);
}

void console_device_syncs(api_call *c, api_reader *r) {
    int64_t id;
    char name[LIMIT_NAME_BYTES + 1];
    buf words = {0}, open = {0};
    if (!console_take_id(c, c->table, &id)) return;
    console *k = console_begin(c, r);
    if (!k) return;
    int rc = name_of(k, id, name, &words);
    if (!rc) rc = make_open(k, id, name, &open);
    if (rc)
        console_end(c, r, k, rc, &words);
    else
        console_answer(c, r, k, &CONSOLE_SYNCS_OF_DEVICE, id, (const char *)open.p);
    buf_fini(&words);
    buf_fini(&open);
}

/* ---- GET /v1/admin/devices/{id}/rows ---- */

int console_put_tables(const console *k, console_count count, void *ctx, buf *out) {
    int64_t all = 0, all_bytes = 0;
    const char *comma = "";
    int rc = SATCHEL_OK;
    buf_put_byte(out, '{');
    console_put_as_of(k, out);
    buf_printf(out, ",\"items\":[");
    for (unsigned i = 0; !rc && i < k->schema->ntable; i++) {
        const schema_table *t = &k->schema->table[i];
        int64_t rows = 0, bytes = 0;
        if (t->until != SCHEMA_NEVER) continue;
        rc = count(k, t, ctx, &rows, &bytes);
        buf_printf(out, "%s{\"table\":", comma);
        record_put_text(out, t->name, strlen(t->name));
        console_put_integer(out, "rows", rows);
        console_put_integer(out, "bytes", bytes);
        buf_put_byte(out, '}');
        all += rows;
        all_bytes += bytes;
        comma = ",";
    }
    buf_printf(out, "],\"rows\":%" PRId64 ",\"bytes\":%" PRId64 "}", all, all_bytes);
    return rc;
}

/* ctx: its view's number; -1: it was never asked for. */
static int count_held(const console *k, const schema_table *t, void *ctx, int64_t *rows, int64_t *bytes) {
    int64_t view_number = *(const int64_t *)ctx;
    return view_number < 0 ? SATCHEL_OK : console_count_rows(k, t, view_number, rows, bytes);
}

static int make_rows(const console *k, const schema_table *t, int64_t view_number, console_data *d) {
    view *v = NULL;
    int rc = view_number > 0 ? pages_view(k->file, (uint64_t)view_number, &v) : SATCHEL_OK;
    return rc ? rc : console_data_make(t, v, view_number ? "console_holds(?4,satchel_set)" : "", d);
}

static void answer_rows(api_call *c, api_reader *r, console *k, int64_t view_number) {
    const char *table = api_arg(c, "table");
    const schema_table *t = schema_table_by_name(k->schema, table);
    console_data d;
    buf words = {0};
    if (!t) buf_printf(&words, "there is no table %.128s", table);
    int rc = t ? make_rows(k, t, view_number, &d) : SATCHEL_E_NOT_FOUND;
    if (rc)
        console_end(c, r, k, rc, &words);
    else
        console_answer(c, r, k, &d.source, view_number, NULL);
    if (!rc) console_data_fini(&d);
    buf_fini(&words);
}

void console_device_rows(api_call *c, api_reader *r) {
    int64_t id, view_number = 0;
    char name[LIMIT_NAME_BYTES + 1];
    buf words = {0};
    if (!console_take_id(c, c->table, &id)) return;
    console *k = console_begin(c, r);
    if (!k) return;
    int rc = name_of(k, id, name, &words);
    if (!rc) rc = console_view_of(k, id, &view_number);
    if (!rc && api_arg(c, "table")) {
        answer_rows(c, r, k, view_number);
    } else {
        if (!rc && c->narg) {
            buf_printf(&words, "without a table this takes no argument");
            rc = SATCHEL_E_MISUSE;
        }
        if (!rc) {
            api_answer(c, 200);
            rc = console_put_tables(k, count_held, &view_number, &c->out.body);
        }
        console_end(c, r, k, rc, &words);
    }
    buf_fini(&words);
}

/* ---- GET /v1/admin/explain: it works the profile out, which the writer alone can note ---- */

typedef struct explain_job {
    service_job job;
    api_call *call;
    uint64_t seq, now_ms;
    buf report, words;
} explain_job;

static int explain_run(service_job *job, store *s, ingest *g, uint64_t now_ms) {
    explain_job *j = (explain_job *)job;
    api_call *c = j->call;
    if (c->abandoned) return SATCHEL_E_CLOSED;
    j->seq = store_where(s).seq;
    j->now_ms = now_ms;
    return scope_explain(s, ingest_scope(g), api_arg(c, "device"), api_arg(c, "table"), api_arg(c, "key"), now_ms, true,
                         &j->report, &j->words);
}

static void explain_answer(api_call *c, const explain_job *j) {
    buf *out = &c->out.body;
    size_t n = j->report.n;
    while (n && j->report.p[n - 1] != '}') n--;
    api_answer(c, 200);
    buf_printf(out, "{\"as_of\":{\"seq\":%" PRIu64 ",\"at_ms\":%" PRIu64 "},", j->seq, j->now_ms);
    if (n) buf_put(out, j->report.p + 1, n - 1);
}

static void explain_done(service_job *job) {
    explain_job *j = (explain_job *)job;
    api_call *c = j->call;
    int rc = job->rc;
    const char *said = j->words.n ? (const char *)j->words.p : satchel_rc_text(rc);
    int nsaid = j->words.n ? (int)j->words.n : (int)strlen(said);
    if (!api_release(c)) {
        if (!rc)
            explain_answer(c, j);
        else
            api_refuse(c,
                       rc == SATCHEL_E_NOT_FOUND ? 404
                       : rc == SATCHEL_E_MISUSE  ? 409
                                                 : api_status(rc),
                       rc, "%.*s", nsaid, said);
        api_complete(c);
    }
    buf_fini(&j->report);
    buf_fini(&j->words);
    free(j);
}

void console_explain(api_call *c) {
    explain_job *j = NULL;
    if (!api_arg(c, "device") || !api_arg(c, "table") || !api_arg(c, "key")) {
        api_refuse(c, 400, SATCHEL_E_MISUSE, "which device, table and key?");
    } else if (!api_may_use_writer(c)) {
        api_complete(c);
        return;
    } else if (!(j = calloc(1, sizeof *j))) {
        api_refuse(c, 503, SATCHEL_E_OVERLOAD, "the server is out of memory");
    } else {
        j->call = c;
        j->job.run = explain_run;
        j->job.done = explain_done;
        c->held = true;
        if (service_submit(c->api->service, &j->job, false)) return;
        c->held = false;
        free(j);
        api_refuse(c, 503, SATCHEL_E_CLOSED, "the server is shutting down");
    }
    api_complete(c);
}
