/* The rules in force: opened, published, switched on and off. */
#include "server/automation.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/automation_private.h"
#include "server/scope_private.h"

static const char TABLE[] =
    "CREATE TABLE automation(name TEXT NOT NULL CONSTRAINT \"a name stands once\" UNIQUE, tbl TEXT, event TEXT, columns TEXT, condition TEXT, every TEXT,"
    " actions TEXT NOT NULL, overwrites INTEGER DEFAULT 0 CONSTRAINT \"overwrites is 0 or 1\" CHECK(typeof(coalesce(overwrites,0))='integer' AND"
    " coalesce(overwrites,0) IN (0,1)), about TEXT,"
    " CONSTRAINT \"a name has letters, digits, _ and -\" CHECK(name<>'' AND name NOT GLOB '*[^A-Za-z0-9_-]*'));";
static const rule_kind KIND[] = {
    {"automation",
     "SELECT rowid,name,tbl,event,columns,condition,every,actions,coalesce(overwrites,0),about FROM automation WHERE rowid>? ORDER BY rowid",
     9}};
static const rule_tables TABLES = {TABLE, KIND, 1, "automations are INSERTs into the table automation; leave this out"};

/* ---- opening ---- */

void automation_free(automation *a) {
    if (!a) return;
    for (unsigned i = 0; i < a->n; i++) automation_rule_fini(&a->rule[i]);
    rule_text_fini(&a->text);
    free(a->rule);
    free(a->watched);
    free(a->heeded);
    free(a->name);
    free(a);
}

static int read_text(automation *a, const char *name, const char *sql, buf *error) {
    a->name = strdup(name);
    if (!a->name) return SATCHEL_E_NOMEM;
    int rc = rule_text_read(&TABLES, name, sql, &a->text, error);
    if (!rc && a->text.n > LIMIT_AUTOMATIONS)
        rc = rule_fail(error, name, 0, "has more than %d rules; leave some out", LIMIT_AUTOMATIONS);
    return rc;
}

static int make(store *s, const char *name, const char *sql, automation **out, buf *error) {
    automation *a = calloc(1, sizeof *a);
    *out = a;
    if (!a) return SATCHEL_E_NOMEM;
    a->s = s;
    a->seen_stamp = -1;
    a->limit_ms = LIMIT_AUTOMATION_MS;
    int rc = sql ? read_text(a, name, sql, error) : SATCHEL_OK;
    if (!rc && a->text.n) rc = scope_register_local(s->db);
    return rc ? rc : automation_compile(a, error);
}

int automation_open_text(store *s, const char *name, const char *sql, automation **out, buf *error) {
    int rc = make(s, name, sql, out, error);
    if (!rc) return SATCHEL_OK;
    automation_free(*out);
    *out = NULL;
    return rc;
}

automation_rule *automation_find(automation *a, const char *name) {
    for (unsigned i = 0; i < a->n; i++)
        if (!strcmp(a->rule[i].name, name)) return &a->rule[i];
    return NULL;
}

static void watch(automation *a, const automation_rule *r) {
    ptrdiff_t table = r->t - a->s->schema->table;
    a->watched[table] |= (uint8_t)r->events;
    for (unsigned i = 0; i < r->t->ncol && r->events & EVENT_UPDATE; i++) a->heeded[table][i] |= r->any || r->columns[i];
}

static int read_states(automation *a) {
    int rc;
    sqlite3_stmt *q = db_prepare(&a->s->cache, "SELECT name,active FROM satchel_automation");
    while ((rc = db_next(&a->s->cache, q)) == 1) {
        automation_rule *r = automation_find(a, (const char *)sqlite3_column_text(q, 0));
        if (r) r->active = sqlite3_column_int(q, 1) != 0;
    }
    for (unsigned i = 0; i < a->n; i++)
        if (a->rule[i].active && a->rule[i].t) watch(a, &a->rule[i]);
    return rc;
}

static int read_stamp(store *s, int64_t *stamp) {
    return db_integer(&s->cache, "SELECT stamp FROM satchel_automation_text", 0, stamp);
}

int automation_open(store *s, automation **out, buf *error) {
    *out = NULL;
    sqlite3_stmt *q = db_prepare(&s->cache, "SELECT stamp,name,text FROM satchel_automation_text");
    int rc = db_next(&s->cache, q);
    if (rc < 0) return rc;
    int64_t stamp = rc ? sqlite3_column_int64(q, 0) : 0;
    rc = automation_open_text(s, rc ? (const char *)sqlite3_column_text(q, 1) : NULL,
                              rc ? (const char *)sqlite3_column_text(q, 2) : NULL, out, error);
    sqlite3_reset(q);
    if (rc) return rc;
    (*out)->stamp = stamp;
    rc = read_states(*out);
    if (!rc) return SATCHEL_OK;
    automation_free(*out);
    *out = NULL;
    return rc;
}

int automation_is_current(automation *a, bool *current) {
    int64_t stamp;
    const store *s = a->s;
    *current = a->seen_stamp == s->automation_stamp && a->seen_events == s->scope_events;
    if (*current) return SATCHEL_OK;
    int rc = read_stamp(a->s, &stamp);
    *current = !rc && stamp == a->stamp;
    if (*current) {
        a->seen_stamp = s->automation_stamp;
        a->seen_events = s->scope_events;
    }
    return rc;
}

/* ---- publishing ---- */

/* One that was never given here, even to what was undone. */
static int next_stamp(store *s, int64_t *stamp) {
    int rc = read_stamp(s, stamp);
    if (*stamp < s->automation_stamp) *stamp = s->automation_stamp;
    s->automation_stamp = ++*stamp;
    return rc;
}

static const char *every_of(const rule_text *text, const char *name) {
    for (size_t i = 0; i < text->n; i++)
        if (!strcmp(text->row[i].field[FIELD_NAME], name)) return text->row[i].field[FIELD_EVERY];
    return NULL;
}

/* One that stays keeps its state; a timer that is new, or runs at other times, counts from now. */
static int keep_state(store *s, const automation_rule *r, const rule_text *before, uint64_t now_ms) {
    const char *now = r->row->field[FIELD_EVERY], *was = every_of(before, r->name);
    int rc = db_exec(&s->cache, "INSERT OR IGNORE INTO satchel_automation(name,active,last_ms) VALUES(?,1,?)", "si", r->name,
                     (int64_t)now_ms);
    if (rc || !now || (was && !strcmp(was, now))) return rc;
    return db_exec(&s->cache, "UPDATE satchel_automation SET last_ms=? WHERE name=?", "is", (int64_t)now_ms, r->name);
}

static int keep_states(store *s, automation *a, const rule_text *before, uint64_t now_ms) {
    int rc = SATCHEL_OK;
    for (size_t i = 0; i < before->n && !rc; i++)
        if (!automation_find(a, before->row[i].field[FIELD_NAME]))
            rc = db_exec(&s->cache, "DELETE FROM satchel_automation WHERE name=?", "s", before->row[i].field[FIELD_NAME]);
    for (unsigned i = 0; i < a->n && !rc; i++) rc = keep_state(s, &a->rule[i], before, now_ms);
    return rc;
}

/* The rows of what is in force; they need not compile any more. */
static int read_published(store *s, rule_text *out) {
    buf text, error;
    buf_init(&text, 0);
    buf_init(&error, 0);
    int rc = automation_published(s, &text);
    buf_put_byte(&text, 0);
    if (!rc) rc = text.rc ? text.rc : rule_text_read(&TABLES, "", (const char *)text.p, out, &error);
    buf_fini(&text);
    buf_fini(&error);
    return rc == SATCHEL_E_NOT_FOUND ? SATCHEL_OK : rc;
}

static int replace_text(store *s, const char *name, const char *sql, uint64_t now_ms) {
    int64_t stamp;
    int rc = next_stamp(s, &stamp);
    if (!rc) rc = db_exec(&s->cache, "DELETE FROM satchel_automation_text", "");
    return rc ? rc
              : db_exec(&s->cache, "INSERT INTO satchel_automation_text(stamp,name,text,at_ms) VALUES(?,?,?,?)", "issi", stamp,
                        name, sql, (int64_t)now_ms);
}

int automation_publish(store *s, const char *name, const char *sql, uint64_t now_ms, uint64_t *rules, buf *error) {
    automation *a;
    rule_text before = {0};
    *rules = 0;
    int rc = automation_open_text(s, name, sql, &a, error);
    if (rc) return rc;
    *rules = a->n;
    rc = read_published(s, &before);
    if (!rc) rc = keep_states(s, a, &before, now_ms);
    if (!rc) rc = replace_text(s, name, sql, now_ms);
    rule_text_fini(&before);
    automation_free(a);
    return rc;
}

int automation_published(store *s, buf *text) {
    sqlite3_stmt *q = db_prepare(&s->cache, "SELECT text FROM satchel_automation_text");
    int rc = db_next(&s->cache, q);
    if (rc != 1) return rc ? rc : SATCHEL_E_NOT_FOUND;
    buf_put(text, sqlite3_column_text(q, 0), (size_t)sqlite3_column_bytes(q, 0));
    sqlite3_reset(q);
    return text->rc;
}

int automation_switch(store *s, const char *name, bool on, uint64_t now_ms, buf *error) {
    int64_t stamp;
    int rc = db_exec(
        &s->cache, "UPDATE satchel_automation SET last_ms=CASE WHEN ?1>active THEN ?2 ELSE last_ms END, active=?1 WHERE name=?3",
        "iis", (int64_t)on, (int64_t)now_ms, name);
    if (rc) return rc;
    if (!sqlite3_changes(s->db)) {
        buf_printf(error, "there is no automation %s", name);
        return SATCHEL_E_NOT_FOUND;
    }
    rc = next_stamp(s, &stamp);
    return rc ? rc : db_exec(&s->cache, "UPDATE satchel_automation_text SET stamp=?", "i", stamp);
}
