/* What is in force: rules of scope, automations, the schema; and backups. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/automation.h"
#include "server/console_private.h"

#define N(array) (sizeof(array) / sizeof *(array))

/* ---- GET /v1/admin/scope ---- */

/* The masks, or the rights, of a profile. */
static void put_of_profile(const rule_text *text, unsigned kind, const char *profile, buf *out) {
    static const char *const MASK[] = {"table", "columns"}, *const WRITE[] = {"table", "ops", "columns"};
    const char *between = "";
    buf_put_byte(out, '[');
    for (size_t i = 0; i < text->n; i++) {
        const rule_row *row = &text->row[i];
        if (row->kind != kind || strcmp(row->field[0], profile)) continue;
        const char *const *names = kind == SCOPE_MASK ? MASK : WRITE;
        buf_printf(out, "%s{\"%s\":", between, names[0]);
        record_put_text(out, row->field[1], strlen(row->field[1]));
        for (size_t j = 1; j < (kind == SCOPE_MASK ? N(MASK) : N(WRITE)); j++) console_put_text(out, names[j], row->field[j + 1]);
        if (kind == SCOPE_WRITE) buf_printf(out, ",\"anywhere\":%s", strcmp(row->field[4], "1") ? "false" : "true");
        buf_put_byte(out, '}');
        between = ",";
    }
    buf_put_byte(out, ']');
}

static int count_devices(const console *k, const char *profile, int64_t *out) {
    db_cache *cache = &k->file->cache;
    sqlite3_stmt *q = db_prepare(cache, "SELECT count(*) FROM satchel_device WHERE state IN (1,4) AND profile IS ?");
    db_bind(q, "s", profile);
    int rc = db_next(cache, q);
    if (rc != 1) return rc ? rc : SATCHEL_E_INTERNAL;
    *out = sqlite3_column_int64(q, 0);
    sqlite3_reset(q);
    return SATCHEL_OK;
}

static int put_profiles(const console *k, const rule_text *text, buf *out) {
    int rc = SATCHEL_OK;
    const char *between = "";
    buf_printf(out, ",\"profiles\":[");
    for (size_t i = 0; !rc && i < text->n; i++) {
        const rule_row *row = &text->row[i];
        int64_t devices = 0;
        if (row->kind != SCOPE_PROFILE) continue;
        rc = count_devices(k, row->field[0], &devices);
        buf_printf(out, "%s{\"name\":", between);
        record_put_text(out, row->field[0], strlen(row->field[0]));
        console_put_integer(out, "horizon_days", strtoll(row->field[2], NULL, 10));
        console_put_integer(out, "devices", devices);
        console_put_text(out, "query", row->field[1]);
        buf_printf(out, ",\"masks\":");
        put_of_profile(text, SCOPE_MASK, row->field[0], out);
        buf_printf(out, ",\"writes\":");
        put_of_profile(text, SCOPE_WRITE, row->field[0], out);
        buf_put_byte(out, '}');
        between = ",";
    }
    buf_put_byte(out, ']');
    return rc;
}

static int read_rules(const console *k, rule_text *text, buf *words) {
    db_cache *cache = &k->file->cache;
    sqlite3_stmt *q = db_prepare(cache, "SELECT name,text FROM satchel_scope ORDER BY version DESC LIMIT 1");
    int rc = db_next(cache, q);
    if (rc != 1) return rc;
    rc = scope_text_read((const char *)sqlite3_column_text(q, 0), (const char *)sqlite3_column_text(q, 1), text, words);
    sqlite3_reset(q);
    return rc;
}

/* A device that was looked at since the rules were published is noted with a view of them only if that is another than before: who was not here since is counted. */
#define UNSETTLED "(SELECT count(*) FROM satchel_device WHERE state IN (1,4) AND profile IS NOT NULL AND last_seen_ms<s.at_ms)"

static int put_scope(const console *k, buf *out, buf *words) {
    rule_text text = {0};
    hub_stats stats;
    buf head = {0};
    hub_get_stats(k->service->hub, &stats);
    int rc = read_rules(k, &text, words);
    if (!rc)
        rc = console_put_object(
            k,
            "SELECT coalesce(max(s.version),0) AS version,s.name,coalesce(s.seq,0) AS seq,s.at_ms,s.text," UNSETTLED
            " AS unsettled FROM satchel_scope s",
            0, NULL, &head);
    buf_put_byte(out, '{');
    console_put_as_of(k, out);
    buf_put_byte(out, ',');
    if (!rc && head.n > 2) buf_put(out, head.p + 1, head.n - 2);
    if (!rc) rc = put_profiles(k, &text, out);
    buf_printf(out, ",\"versions\":");
    if (!rc)
        rc =
            console_put_rows(k, "SELECT version,name,seq,at_ms FROM satchel_scope ORDER BY version DESC LIMIT 100", 0, NULL, out);
    console_put_text(out, "trouble", stats.scope_trouble[0] ? stats.scope_trouble : NULL);
    buf_put_byte(out, '}');
    buf_fini(&head);
    rule_text_fini(&text);
    return rc;
}

/* Several answers of this file: a read that needs no argument. */
static void answer(api_call *c, api_reader *r, int (*put)(const console *k, buf *out, buf *words)) {
    buf words = {0};
    console *k = console_begin(c, r);
    if (!k) return;
    api_answer(c, 200);
    int rc = put(k, &c->out.body, &words);
    console_end(c, r, k, rc, &words);
    buf_fini(&words);
}

void console_scope(api_call *c, api_reader *r) {
    answer(c, r, put_scope);
}

/* ---- GET /v1/admin/automations ---- */

#define MEMBER(name, type, flags)                                                                                                \
    { name, "value->>'" name "'", type, flags }
static const console_column AUTOMATION[] = {MEMBER("name", CONSOLE_TEXT, CONSOLE_SEARCHED),
                                            MEMBER("table", CONSOLE_TEXT, CONSOLE_SEARCHED),
                                            MEMBER("event", CONSOLE_TEXT, 0),
                                            MEMBER("columns", CONSOLE_TEXT, CONSOLE_SEARCHED),
                                            MEMBER("condition", CONSOLE_TEXT, CONSOLE_SEARCHED),
                                            MEMBER("every", CONSOLE_TEXT, 0),
                                            MEMBER("actions", CONSOLE_TEXT, CONSOLE_SEARCHED),
                                            MEMBER("about", CONSOLE_TEXT, CONSOLE_SEARCHED),
                                            MEMBER("overwrites", CONSOLE_BOOL, 0),
                                            MEMBER("active", CONSOLE_BOOL, 0),
                                            {"last_ms", "nullif(value->>'last_ms',0)", CONSOLE_INTEGER, 0},
                                            MEMBER("ran", CONSOLE_INTEGER, 0),
                                            MEMBER("failed", CONSOLE_INTEGER, 0)};
#undef MEMBER
static const console_source AUTOMATIONS = {"json_each(?5)", AUTOMATION, N(AUTOMATION), {"key"}, "name"};

static int put_automation(void *ctx, const automation_info *a) {
    buf *out = ctx;
    buf_printf(out, "%s{\"name\":", out->n > 1 ? "," : "");
    record_put_text(out, a->name, strlen(a->name));
    console_put_text(out, "table", a->table);
    console_put_text(out, "event", a->event);
    console_put_text(out, "columns", a->columns);
    console_put_text(out, "condition", a->condition);
    console_put_text(out, "every", a->every);
    console_put_text(out, "actions", a->actions);
    console_put_text(out, "about", a->about);
    console_put_integer(out, "overwrites", a->overwrites);
    console_put_integer(out, "active", a->active);
    console_put_integer(out, "last_ms", (int64_t)a->last_ms);
    console_put_integer(out, "ran", (int64_t)a->ran);
    console_put_integer(out, "failed", (int64_t)a->failed);
    buf_put_byte(out, '}');
    return out->rc != 0;
}

void console_automations(api_call *c, api_reader *r) {
    buf list = {0}, words = {0};
    console *k = console_begin(c, r);
    if (!k) return;
    buf_put_byte(&list, '[');
    int rc = automation_list(&k->over, put_automation, &list, &words);
    buf_put_byte(&list, ']');
    buf_put_byte(&list, 0);
    if (!rc) rc = list.rc;
    if (rc)
        console_end(c, r, k, rc, &words);
    else
        console_answer(c, r, k, &AUTOMATIONS, 0, (const char *)list.p);
    buf_fini(&list);
    buf_fini(&words);
}

/* ---- GET /v1/admin/backups ---- */

/* "as of commit N: NAME" is what store_backed_up notes. */
#define BACKUP                                                                                                                   \
    "SELECT id,at_ms,CAST(substr(text,14) AS INTEGER) AS seq,substr(text,instr(text,': ')+2) AS name FROM satchel_event WHERE kind='backup'"

static int put_backups(const console *k, buf *out, buf *words) {
    int64_t seq = 0;
    uint64_t last_ms = 0;
    (void)words;
    int rc = db_integer(&k->file->cache, "SELECT backup_seq FROM satchel_server", 0, &seq);
    if (!rc) rc = store_last_backup((store *)&k->over, &last_ms);
    buf_put_byte(out, '{');
    console_put_as_of(k, out);
    console_put_integer(out, "backup_seq", seq);
    if (last_ms)
        console_put_integer(out, "age_ms", k->now_ms > (int64_t)last_ms ? k->now_ms - (int64_t)last_ms : 0);
    else
        buf_printf(out, ",\"age_ms\":null");
    console_put_integer(out, "commits_since", (int64_t)k->at.seq - seq);
    buf_printf(out, ",\"epoch\":\"");
    api_put_epoch(out, k->at.epoch);
    buf_printf(out, "\",\"epochs\":");
    if (!rc)
        rc = console_put_rows(k, "SELECT lower(hex(epoch)) AS epoch,start_seq,at_ms FROM satchel_epoch ORDER BY n DESC", 0, NULL,
                              out);
    buf_printf(out, ",\"items\":");
    if (!rc) rc = console_put_rows(k, BACKUP " ORDER BY id DESC LIMIT 1000", 0, NULL, out);
    buf_put_byte(out, '}');
    return rc;
}

void console_backups(api_call *c, api_reader *r) {
    answer(c, r, put_backups);
}

/* ---- GET /v1/admin/schema ---- */

static void put_tables(const console *k, buf *out) {
    static const char *const MODE[] = {"rows", "append", "server"};
    const char *between = "";
    buf_printf(out, ",\"tables\":[");
    for (unsigned i = 0; i < k->schema->ntable; i++) {
        const schema_table *t = &k->schema->table[i];
        if (t->until != SCHEMA_NEVER) continue;
        buf_printf(out, "%s{\"name\":", between);
        record_put_text(out, t->name, strlen(t->name));
        console_put_text(out, "mode", MODE[t->mode]);
        console_put_text(out, "wins", t->wins == WINS_DELETE ? "delete" : "update");
        console_put_integer(out, "columns", t->ncol);
        buf_put_byte(out, '}');
        between = ",";
    }
    buf_put_byte(out, ']');
}

static int put_schema(const console *k, buf *out, buf *words) {
    int64_t never = 0;
    (void)words;
    buf_put_byte(out, '{');
    console_put_as_of(k, out);
    console_put_integer(out, "schema_epoch", k->schema->epoch);
    console_put_integer(out, "store_format", store_format());
    console_put_text(out, "version", SATCHEL_VERSION);
    buf_printf(out, ",\"migrations\":");
    int rc = console_put_rows(
        k,
        "SELECT epoch,name,(SELECT count(*) FROM satchel_device d WHERE d.state IN (1,4) AND d.last_seen_ms>0 AND"
        " d.schema_epoch=m.epoch) AS devices FROM satchel_migration m ORDER BY epoch DESC",
        0, NULL, out);
    buf_printf(out, ",\"software\":");
    if (!rc)
        rc = console_put_rows(
            k,
            "SELECT software,count(*) AS devices FROM satchel_device WHERE state IN (1,4) AND last_seen_ms>0 GROUP BY"
            " software ORDER BY devices DESC,software LIMIT 100",
            0, NULL, out);
    if (!rc)
        rc =
            db_integer(&k->file->cache, "SELECT count(*) FROM satchel_device WHERE state IN (1,4) AND last_seen_ms=0", 0, &never);
    console_put_integer(out, "never", never);
    put_tables(k, out);
    buf_put_byte(out, '}');
    return rc;
}

void console_schema(api_call *c, api_reader *r) {
    answer(c, r, put_schema);
}
