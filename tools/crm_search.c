/* crm search, and the index behind it. */
#include <stdlib.h>
#include <string.h>

#include "tools/crm.h"

/* ---- what notes a change ---- */

/* The tables whose changes make a text stale, and the column with the id that the text is of. */
static const struct source {
    const char *table, *column;
} sources[] = {{"contact", "id"}, {"account", "id"}, {"lead", "id"}, {"contact_point", "contact_id"}};

static const struct event {
    const char *name;
    bool has_old, has_new;
} events[] = {{"INSERT", false, true}, {"UPDATE", true, true}, {"DELETE", true, false}};

enum { SOURCES = sizeof sources / sizeof *sources, EVENTS = sizeof events / sizeof *events };

static bool run(crm *c, char *sql) {
    bool done = sql && sqlite3_exec(c->db, sql, NULL, NULL, NULL) == SQLITE_OK;
    if (!done) crm_fail_db(c, "cannot make the search index");
    sqlite3_free(sql);
    return done;
}

/* What was is taken out at once, so that nothing stays of a row that was erased or has left this device; what is now is put in when somebody looks for something.
 * Not INSERT OR IGNORE: within a trigger the policy of the statement that fired it would rule. */
static void put_note(sqlite3_str *sql, const char *row, const char *column) {
    char id[64];
    snprintf(id, sizeof id, "%s.%s", row, column);
    sqlite3_str_appendf(
        sql, "DELETE FROM crm_search WHERE rowid = (SELECT doc FROM crm_doc WHERE id = %s); DELETE FROM crm_doc WHERE id = %s; ",
        id, id);
    sqlite3_str_appendf(
        sql, "INSERT INTO crm_stale SELECT %s WHERE %s IS NOT NULL AND NOT EXISTS (SELECT 1 FROM crm_stale WHERE id = %s); ", id,
        id, id);
}

static bool make_trigger(crm *c, const struct source *s, const struct event *e) {
    sqlite3_str *sql = sqlite3_str_new(NULL);
    sqlite3_str_appendf(sql, "DROP TRIGGER IF EXISTS crm_stale_%s_%s; ", s->table, e->name);
    sqlite3_str_appendf(sql, "CREATE TRIGGER crm_stale_%s_%s AFTER %s ON %s WHEN satchel_local() IN (0, 1) BEGIN ", s->table,
                        e->name, e->name, s->table);
    if (e->has_old) put_note(sql, "old", s->column);
    if (e->has_new) put_note(sql, "new", s->column);
    sqlite3_str_appendall(sql, "END");
    return run(c, sqlite3_str_finish(sql));
}

/* All of it is there, and on the tables as they are: a migration that drops a table takes its triggers along. */
static bool is_made(crm *c) {
    static const int64_t all = SOURCES * EVENTS + 3;
    char *made =
        crm_text(c,
                 "SELECT 1 WHERE ?1 = (SELECT count(*) FROM sqlite_schema WHERE (type = 'trigger' AND name GLOB 'crm_stale_*')"
                 " OR (type = 'table' AND name IN ('crm_stale', 'crm_doc', 'crm_search')))",
                 "i", &all);
    free(made);
    return made != NULL;
}

static bool make(crm *c) {
    static const char tables[] =
        "DROP TABLE IF EXISTS crm_search; DROP TABLE IF EXISTS crm_doc; DROP TABLE IF EXISTS crm_stale;"
        "CREATE TABLE crm_stale(id BLOB PRIMARY KEY) WITHOUT ROWID;"
        "CREATE TABLE crm_doc(doc INTEGER PRIMARY KEY, id BLOB UNIQUE, kind TEXT);"
        "CREATE VIRTUAL TABLE crm_search USING fts5(name UNINDEXED, company UNINDEXED, email UNINDEXED, phone, folded, prefix = '2 3');"
        "INSERT INTO crm_stale SELECT id FROM contact UNION SELECT id FROM account UNION SELECT id FROM lead;";
    for (int i = 0; i < SOURCES * EVENTS; i++)
        if (!make_trigger(c, &sources[i / EVENTS], &events[i % EVENTS])) return false;
    return run(c, sqlite3_mprintf("%s", tables));
}

/* ---- taking in what changed ---- */

#define SHOWN_AND_FOLDED                                                                                                         \
    "INSERT INTO crm_search(rowid, name, company, email, phone, folded) SELECT doc, name, company, email, phone,"                \
    " fold(coalesce(name, '') || ' ' || coalesce(company, '') || ' ' || coalesce(email, '')) FROM (SELECT d.doc,"

/* "+kind": a file without statistics would else be searched by the index of kinds. */
static bool refresh(crm *c) {
    static const char sql[] =
        /* A contact is found by his company's name, too. */
        "INSERT OR IGNORE INTO crm_stale SELECT id FROM contact WHERE account_id IN (SELECT id FROM crm_stale);"
        "DELETE FROM crm_search WHERE rowid IN (SELECT doc FROM crm_doc WHERE id IN crm_stale);"
        "DELETE FROM crm_doc WHERE id IN crm_stale;"
        "INSERT INTO crm_doc(id, kind)"
        " SELECT id, 'contact' FROM contact WHERE id IN crm_stale AND merged_into IS NULL AND NOT erased"
        " UNION ALL SELECT id, 'company' FROM account WHERE id IN crm_stale"
        " UNION ALL SELECT id, 'lead' FROM lead WHERE id IN crm_stale;" SHOWN_AND_FOLDED " " CRM_NAME_T
        " AS name, (SELECT name FROM account WHERE id = t.account_id) AS company,"
        " (SELECT group_concat(value, ' ') FROM contact_point WHERE contact_id = t.id AND kind <> 'phone') AS email,"
        " (SELECT group_concat(phone_key(value), ' ') FROM contact_point WHERE contact_id = t.id AND +kind = 'phone') AS phone"
        " FROM crm_doc d JOIN contact t ON t.id = d.id WHERE d.kind = 'contact' AND d.id IN crm_stale);" SHOWN_AND_FOLDED
        " t.name AS name, NULL AS company, t.website AS email, NULL AS phone"
        " FROM crm_doc d JOIN account t ON t.id = d.id WHERE d.kind = 'company' AND d.id IN crm_stale);" SHOWN_AND_FOLDED
        " " CRM_NAME_T " AS name, t.company, t.email, phone_key(t.phone) AS phone"
        " FROM crm_doc d JOIN lead t ON t.id = d.id WHERE d.kind = 'lead' AND d.id IN crm_stale);"
        "DELETE FROM crm_stale;";
    return run(c, sqlite3_mprintf("%s", sql));
}

static bool is_stale(crm *c) {
    char *one = crm_text(c, "SELECT 1 FROM crm_stale LIMIT 1", "");
    free(one);
    return one != NULL;
}

bool crm_search_make(crm *c) {
    if (is_made(c) && !is_stale(c)) return true;
    bool own = sqlite3_get_autocommit(c->db);
    return (!own || run(c, sqlite3_mprintf("BEGIN IMMEDIATE"))) && (is_made(c) || make(c)) && refresh(c) &&
           (!own || run(c, sqlite3_mprintf("COMMIT")));
}

/* ---- what a user types ---- */

static void put_words(sqlite3_str *out, const char *text, bool whole) {
    static const char space[] = " \t\r\n";
    bool first = true;
    for (const char *p = text + strspn(text, space); *p; p += strspn(p, space), first = false) {
        size_t n = strcspn(p, space);
        sqlite3_str_appendf(out, "%s\"", first ? "" : " AND ");
        for (size_t i = 0; i < n; i++) sqlite3_str_appendchar(out, p[i] == '"' ? 2 : 1, p[i]);
        sqlite3_str_appendf(out, "\"%s", whole ? "" : " *");
        p += n;
    }
}

/* The key of a text that is a phone number and nothing else, four digits or more, if a number of the kind begins with it: of all its digits, or else without the zeros that
 * stand before a number at home, 0171, or abroad, 0049. To be freed. */
static char *phone_key_of(crm *c, const char *text, const char *kind) {
    static const char sql[] =
        "SELECT key FROM (SELECT phone_key(?1) AS key UNION ALL SELECT rtrim(phone_key(?1), '0')) WHERE length(key) >= 4"
        " AND EXISTS (SELECT 1 FROM crm_search s JOIN crm_doc d ON d.doc = s.rowid"
        "  WHERE crm_search MATCH 'phone : \"' || key || '\" *' AND (?2 IS NULL OR d.kind = ?2)) LIMIT 1";
    return text[strspn(text, "0123456789+-()/. ")] ? NULL : crm_text(c, sql, "tt", text, kind);
}

char *crm_search_words(crm *c, const char *text, const char *kind, bool whole) {
    char *folded = crm_search_make(c) ? crm_text(c, "SELECT fold(?1)", "t", text) : NULL;
    if (!folded) return NULL;
    char *key = phone_key_of(c, text, kind);
    sqlite3_str *out = sqlite3_str_new(NULL);
    sqlite3_str_appendall(out, "(folded : (");
    put_words(out, folded, whole);
    sqlite3_str_appendall(out, "))");
    if (key) sqlite3_str_appendf(out, " OR phone : \"%s\" *", key);
    free(folded);
    free(key);
    char *made = sqlite3_str_finish(out), *words = made ? strdup(made) : NULL;
    sqlite3_free(made);
    return words;
}

static int look(crm *c, const char *kind) {
    static const char sql[] =
        "SELECT d.kind, crm_id('crm_doc', d.id) AS id, s.name, s.company, s.email,"
        " coalesce((SELECT group_concat(value, ' ') FROM contact_point WHERE contact_id = d.id AND +kind = 'phone'),"
        "  (SELECT phone FROM lead WHERE id = d.id)) AS phone"
        " FROM crm_search s JOIN crm_doc d ON d.doc = s.rowid"
        " WHERE crm_search MATCH ?1 AND (?2 IS NULL OR d.kind = ?2) ORDER BY s.rank, d.id LIMIT ?3";
    if (crm_is_blank(c->arg[0])) return crm_fail("nothing to look for");
    char *words = crm_search_words(c, c->arg[0], kind, false);
    if (!words) return 1;
    int status = crm_print_table(c, NULL, crm_query(c, sql, "tti", words, kind, &c->limit));
    free(words);
    return status;
}

int crm_search(crm *c) {
    return look(c, NULL);
}

int crm_contact_find(crm *c) {
    return look(c, "contact");
}
