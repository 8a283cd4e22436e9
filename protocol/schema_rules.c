#include <string.h>

#include "protocol/satchel_rc.h"
#include "protocol/schema_internal.h"

static const struct {
    const char *word;
    merge_rule rule;
    bool arg;
} RULES[] = {
    {"lww", RULE_LWW, false},         {"group", RULE_GROUP, true},  {"max", RULE_MAX, false},       {"min", RULE_MIN, false},
    {"counter", RULE_COUNTER, false}, {"first", RULE_FIRST, false}, {"server", RULE_SERVER, false}, {"guard", RULE_GUARD, true},
    {"bounded", RULE_BOUNDED, false}, {"keep", RULE_KEEP, true},    {"strict", RULE_STRICT, false},
};

bool rule_parse(const char *text, merge_rule *rule, const char **arg) {
    size_t word = strcspn(text, ":");
    *arg = text[word] == ':' ? text + word + 1 : NULL;
    if (*arg && (!**arg || strlen(*arg) > LIMIT_NAME_BYTES)) return false;
    for (size_t i = 0; i < sizeof RULES / sizeof *RULES; i++) {
        if (strlen(RULES[i].word) != word || memcmp(RULES[i].word, text, word)) continue;
        *rule = RULES[i].rule;
        return RULES[i].arg == (*arg != NULL);
    }
    return false;
}

/* One row of satchel_rule with what the registry says of its column. */
typedef struct ruled {
    const char *table, *column, *text; /* as the migration wrote them */
    bool server_table;
    uint32_t table_id, column_id; /* 0 if there is none */
    uint32_t since;
    const char *noted; /* the rule that the column has so far */
    unsigned key;
    merge_rule rule;
    const char *arg;
} ruled;

static int fail(migration *m, const ruled *r, const char *words) {
    return migration_fail(m, m->line, SATCHEL_E_RULE, "rule '%s' for %s.%s: %s", r->text, r->table, r->column, words);
}

/* COUNT of the query with up to two texts bound. */
static int count(migration *m, const char *sql, const char *a, const char *b, int64_t *n) {
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(m->db, sql, -1, &st, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_bind_text(st, 1, a, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK && b) rc = sqlite3_bind_text(st, 2, b, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK) rc = sqlite3_step(st);
    if (rc == SQLITE_ROW) *n = sqlite3_column_int64(st, 0);
    rc = rc == SQLITE_ROW ? SATCHEL_OK : migration_fail_db(m, rc);
    sqlite3_finalize(st);
    return rc;
}

static int check_guard(migration *m, const ruled *r) {
    shape moves = {0};
    int rc = shape_load(m, r->arg, &moves);
    if (rc == SATCHEL_E_NOT_FOUND)
        rc = fail(m, r, "there is no such table of allowed moves; create it first");
    else if (rc == SATCHEL_OK && moves.n < 2)
        rc = fail(m, r, "its table needs two columns, (from, to)");
    shape_fini(&moves);
    return rc;
}

static int check_keep(migration *m, const ruled *r) {
    static const char *const PLACE =
        "SELECT count(*) FROM main.satchel_column c JOIN main.satchel_table t ON t.id = c.tbl_id"
        " WHERE t.name = ?1 AND t.until = 4294967295 AND c.until = 4294967295 AND c.name = ?2 AND c.key = 0";
    static const char *const KEY = "SELECT count(*) = 1 AND min(c.affinity) IN (3, 4) FROM main.satchel_column c"
                                   " JOIN main.satchel_table t ON t.id = c.tbl_id"
                                   " WHERE t.name = ?1 AND t.until = 4294967295 AND c.until = 4294967295 AND c.key > 0";
    int64_t n = 0;
    int rc = count(m, PLACE, r->table, r->arg, &n);
    if (rc) return rc;
    if (n != 1 || !strcmp(r->arg, r->column))
        return fail(m, r,
                    "it must name another column of the same table, outside the primary key, that takes the original's key");
    if ((rc = count(m, KEY, r->table, NULL, &n))) return rc;
    return n == 1 ? SATCHEL_OK : fail(m, r, "copies need a primary key of one BLOB or TEXT column");
}

/* A group shares one clock from its columns' first day, and any other rule is fixed once given: what was written under two
 * epochs must not be merged in two ways. */
static int check_change(migration *m, const ruled *r) {
    if (!strcmp(r->noted, r->text)) return SATCHEL_OK;
    if (strcmp(r->noted, "lww")) return fail(m, r, "the column has another rule already; a rule is never changed");
    if (r->rule == RULE_GROUP && r->since != m->epoch)
        return fail(m, r, "a column joins a group only in the migration that makes it; add a new column instead");
    return SATCHEL_OK;
}

static int check(migration *m, ruled *r) {
    if (!rule_parse(r->text, &r->rule, &r->arg))
        return fail(m, r, "unknown; use lww, group:NAME, max, min, counter, first, server, guard:TABLE, keep:COLUMN or strict");
    if (r->rule == RULE_BOUNDED) return fail(m, r, "bounded is not there yet; use counter");
    if (!r->table_id) return fail(m, r, "there is no such synced table; declare it in satchel_table before its rules");
    if (!r->column_id) return fail(m, r, "the table has no such column");
    if (r->key) return fail(m, r, "a column of the primary key takes no rule");
    if (r->server_table && r->rule != RULE_SERVER && r->rule != RULE_LWW)
        return fail(m, r, "only the server writes this table, so its columns take no rule");
    int rc = check_change(m, r);
    if (rc == SATCHEL_OK && r->rule == RULE_GUARD) rc = check_guard(m, r);
    if (rc == SATCHEL_OK && r->rule == RULE_KEEP) rc = check_keep(m, r);
    return rc;
}

static const char *column_text(sqlite3_stmt *st, int i) {
    const char *p = (const char *)sqlite3_column_text(st, i);
    return p ? p : "";
}

static int apply_one(migration *m, sqlite3_stmt *st) {
    ruled r = {.table = column_text(st, 0),
               .column = column_text(st, 1),
               .text = column_text(st, 2),
               .table_id = (uint32_t)sqlite3_column_int64(st, 3),
               .server_table = sqlite3_column_int(st, 4),
               .column_id = (uint32_t)sqlite3_column_int64(st, 5),
               .since = (uint32_t)sqlite3_column_int64(st, 6),
               .key = (unsigned)sqlite3_column_int(st, 7),
               .noted = column_text(st, 8)};
    int rc = check(m, &r);
    if (rc || !strcmp(r.noted, r.text)) return rc;
    return migration_run(m, "UPDATE main.satchel_column SET rule = ?1 WHERE tbl_id = ?2 AND id = ?3", "suu", r.text, r.table_id,
                         r.column_id);
}

int rules_apply(migration *m) {
    sqlite3_stmt *st = NULL;
    int step = sqlite3_prepare_v2(
        m->db,
        "SELECT r.tbl, r.col, r.rule, t.id, t.mode = 'server', c.id, c.since, c.key, c.rule FROM main.satchel_rule r"
        " LEFT JOIN main.satchel_table t ON t.name = r.tbl AND t.until = 4294967295"
        " LEFT JOIN main.satchel_column c ON c.tbl_id = t.id AND c.name = r.col AND c.until = 4294967295",
        -1, &st, NULL);
    if (step != SQLITE_OK) return migration_fail_db(m, step);
    int rc = SATCHEL_OK;
    while (rc == SATCHEL_OK && (step = sqlite3_step(st)) == SQLITE_ROW) rc = apply_one(m, st);
    if (rc == SATCHEL_OK && step != SQLITE_DONE) rc = migration_fail_db(m, step);
    sqlite3_finalize(st);
    return rc;
}
