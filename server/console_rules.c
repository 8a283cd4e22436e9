/* What is in force: rules of scope, automations, the schema; and backups. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/automation.h"
#include "server/console_private.h"
#include "server/rollout.h"
#include "server/version.h"

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

static void put_profiles(const rule_text *text, buf *out) {
    const char *between = "";
    buf_printf(out, ",\"profiles\":[");
    for (size_t i = 0; i < text->n; i++) {
        const rule_row *row = &text->row[i];
        if (row->kind != SCOPE_PROFILE) continue;
        buf_printf(out, "%s{\"name\":", between);
        record_put_text(out, row->field[0], strlen(row->field[0]));
        console_put_integer(out, "horizon_days", strtoll(row->field[2], NULL, 10));
        console_put_text(out, "query", row->field[1]);
        buf_printf(out, ",\"masks\":");
        put_of_profile(text, SCOPE_MASK, row->field[0], out);
        buf_printf(out, ",\"writes\":");
        put_of_profile(text, SCOPE_WRITE, row->field[0], out);
        buf_put_byte(out, '}');
        between = ",";
    }
    buf_put_byte(out, ']');
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

static int put_rolled_out(void *ctx, const rollout_profile *p) {
    buf *out = ctx;
    buf_printf(out, "%s{\"devices\":%" PRIu64 ",\"given\":%" PRIu64 ",\"told\":%" PRIu64, out->p[out->n - 1] == '[' ? "" : ",",
               p->devices, p->given, p->told);
    console_put_text(out, "name", p->name);
    console_put_text(out, "next", p->next);
    buf_put_byte(out, '}');
    return out->rc;
}

static int put_rollout(const console *k, buf *out) {
    rollout r;
    buf_printf(out, ",\"rollout\":");
    int rc = rollout_under_way(&k->file->cache, &r);
    if (!rc) buf_printf(out, "null");
    if (rc != 1) return rc;
    buf_printf(out, "{\"profiles\":[");
    rc = rollout_each(&k->file->cache, put_rolled_out, out);
    buf_put_byte(out, ']');
    console_put_text(out, "name", (const char *)r.name.p);
    console_put_text(out, "before", (const char *)r.before_name.p);
    buf_put_byte(out, '}');
    rollout_fini(&r);
    return rc;
}

static int put_scope(const console *k, buf *out, buf *words) {
    rule_text text = {0};
    hub_stats stats;
    buf head = {0};
    hub_get_stats(k->service->hub, &stats);
    int rc = read_rules(k, &text, words);
    if (!rc)
        rc = console_put_object(
            k,
            "SELECT coalesce(max(s.version),0) AS version,s.name,coalesce(s.seq,0) AS seq,s.at_ms,s.text,(SELECT count(*)"
            " FROM satchel_device d WHERE " CONSOLE_UNSETTLED ") AS unsettled FROM satchel_scope s",
            0, NULL, &head);
    buf_put_byte(out, '{');
    console_put_as_of(k, out);
    buf_put_byte(out, ',');
    if (!rc && head.n > 2) buf_put(out, head.p + 1, head.n - 2);
    if (!rc) put_profiles(&text, out);
    if (!rc) rc = put_rollout(k, out);
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
static const console_column BACKUP[] = {{"id", "e.id", CONSOLE_INTEGER, 0},
                                        {"at_ms", "e.at_ms", CONSOLE_INTEGER, 0},
                                        {"seq", "CAST(substr(e.text,14) AS INTEGER)", CONSOLE_INTEGER, 0},
                                        {"name", "substr(e.text,instr(e.text,': ')+2)", CONSOLE_TEXT, CONSOLE_SEARCHED}};
static const console_source BACKUPS = {"satchel_event e WHERE e.kind='backup'", BACKUP, N(BACKUP), {"e.id"}, "-"};

/* What they cover. */
static int put_covered(const console *k, buf *out) {
    int64_t seq = 0;
    uint64_t last_ms = 0;
    int rc = db_integer(&k->file->cache, "SELECT backup_seq FROM satchel_server", 0, &seq);
    if (!rc) rc = store_last_backup((store *)&k->over, &last_ms);
    console_put_integer(out, "backup_seq", seq);
    if (last_ms)
        console_put_integer(out, "age_ms", k->now_ms > (int64_t)last_ms ? k->now_ms - (int64_t)last_ms : 0);
    else
        buf_printf(out, ",\"age_ms\":null");
    buf_printf(out, ",\"drill\":");
    if (!rc)
        rc = console_put_object(
            k,
            "SELECT at_ms,text LIKE 'whole:%' AS \"?whole\",text AS words FROM satchel_event WHERE kind='drill'"
            " ORDER BY id DESC LIMIT 1",
            0, NULL, out);
    console_put_integer(out, "commits_since", (int64_t)k->at.seq - seq);
    buf_printf(out, ",\"epoch\":\"");
    api_put_epoch(out, k->at.epoch);
    buf_put_byte(out, '"');
    return rc ? rc : out->rc;
}

void console_backups(api_call *c, api_reader *r) {
    console *k = console_begin(c, r);
    buf covered = {0};
    if (!k) return;
    int rc = put_covered(k, &covered);
    if (rc)
        console_end(c, r, k, rc, NULL);
    else
        console_answer_more(c, r, k, &BACKUPS, 0, NULL, &covered);
    buf_fini(&covered);
}

/* ---- GET /v1/admin/schema ---- */

static int put_schema(const console *k, buf *out, buf *words) {
    char min_version[VERSION_TEXT_BYTES];
    int64_t never = 0;
    (void)words;
    buf_put_byte(out, '{');
    console_put_as_of(k, out);
    console_put_integer(out, "schema_epoch", k->schema->epoch);
    console_put_integer(out, "store_format", store_format());
    console_put_text(out, "version", SATCHEL_VERSION);
    unsigned least = atomic_load(&k->service->min_version);
    version_text(least, min_version);
    console_put_text(out, "min_version", least ? min_version : NULL);
    int rc =
        db_integer(&k->file->cache, "SELECT count(*) FROM satchel_device WHERE state IN (1,4) AND last_seen_ms=0", 0, &never);
    console_put_integer(out, "never", never);
    buf_put_byte(out, '}');
    return rc;
}

void console_schema(api_call *c, api_reader *r) {
    answer(c, r, put_schema);
}
