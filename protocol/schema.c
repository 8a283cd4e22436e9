#include "protocol/schema.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/crypto.h"
#include "protocol/db.h"
#include "protocol/satchel_rc.h"
#include "protocol/schema_internal.h"

/* The registry. satchel_rule and satchel_check are what migrations write; satchel_column has each column's whole description, its rule included, so
 * that a descriptor needs no look at the tables and a dropped column keeps what it was. */
static const char *const REGISTRY[] = {
    "CREATE TABLE IF NOT EXISTS main.satchel_table(id INTEGER PRIMARY KEY, name TEXT NOT NULL, mode TEXT NOT NULL DEFAULT 'rows',"
    " wins TEXT NOT NULL DEFAULT 'update', key TEXT NOT NULL DEFAULT 'unique', since INTEGER NOT NULL DEFAULT 0,"
    " until INTEGER NOT NULL DEFAULT 4294967295, without_rowid INTEGER NOT NULL DEFAULT 0)",
    "CREATE TABLE IF NOT EXISTS main.satchel_rule(tbl TEXT NOT NULL, col TEXT NOT NULL, rule TEXT NOT NULL,"
    " PRIMARY KEY(tbl, col)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS main.satchel_check(code TEXT NOT NULL CONSTRAINT \"a check's code stands once\" UNIQUE"
    " CONSTRAINT \"a check's code is of A-Z, 0-9 and _\" CHECK(code NOT GLOB '*[^A-Z0-9_]*' AND length(code) BETWEEN 1 AND 64),"
    " tbl TEXT NOT NULL, col TEXT, check_sql TEXT NOT NULL,"
    " words TEXT NOT NULL CONSTRAINT \"a check's words are 1 to 400 bytes\" CHECK(length(CAST(words AS BLOB)) BETWEEN 1 AND 400),"
    " on_change INTEGER NOT NULL DEFAULT 0, since INTEGER NOT NULL DEFAULT 0)",
    "CREATE TABLE IF NOT EXISTS main.satchel_column(tbl_id INTEGER NOT NULL, id INTEGER NOT NULL, name TEXT NOT NULL,"
    " since INTEGER NOT NULL, until INTEGER NOT NULL DEFAULT 4294967295, affinity INTEGER NOT NULL, key INTEGER NOT NULL,"
    " not_null INTEGER NOT NULL, dflt, rule TEXT NOT NULL DEFAULT 'lww', PRIMARY KEY(tbl_id, id)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS main.satchel_former(tbl_id INTEGER NOT NULL, until INTEGER NOT NULL, name TEXT NOT NULL,"
    " PRIMARY KEY(tbl_id, until)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS main.satchel_migration(epoch INTEGER PRIMARY KEY, name TEXT NOT NULL, sql TEXT NOT NULL,"
    " hash BLOB NOT NULL)",
};
#define NREGISTRY (sizeof REGISTRY / sizeof *REGISTRY)

bool schema_has_prefix(const char *name) {
    return sqlite3_strnicmp(name, SCHEMA_PREFIX, (int)sizeof SCHEMA_PREFIX - 1) == 0;
}

static int fail_db(sqlite3 *db, int rc, buf *error) {
    buf_printf(error, "schema: %s", sqlite3_errmsg(db));
    return db_rc(rc);
}

/* A statement on the registry that does not compile means that the registry is not what it should be. */
int schema_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **out, buf *error) {
    int rc = sqlite3_prepare_v2(db, sql, -1, out, NULL);
    if (rc == SQLITE_OK) return SATCHEL_OK;
    int mapped = fail_db(db, rc, error);
    return (rc & 0xff) == SQLITE_ERROR ? SATCHEL_E_CORRUPT : mapped;
}

/* Looks before it creates, so that opening an existing file takes no write lock. */
int schema_init(sqlite3 *db, buf *error) {
    sqlite3_stmt *count = NULL;
    int rc = sqlite3_prepare_v2(
        db,
        "SELECT count(*) FROM main.sqlite_schema WHERE type = 'table' AND name IN"
        " ('satchel_table', 'satchel_rule', 'satchel_check', 'satchel_column', 'satchel_former', 'satchel_migration')",
        -1, &count, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_step(count);
    bool complete = rc == SQLITE_ROW && sqlite3_column_int(count, 0) == (int)NREGISTRY;
    if (rc != SQLITE_ROW) rc = fail_db(db, rc, error);
    sqlite3_finalize(count);
    if (rc != SQLITE_ROW || complete) return rc == SQLITE_ROW ? SATCHEL_OK : rc;

    bool own = sqlite3_get_autocommit(db);
    rc = sqlite3_exec(db, "SAVEPOINT satchel_init", NULL, NULL, NULL);
    for (size_t i = 0; rc == SQLITE_OK && i < NREGISTRY; i++) rc = sqlite3_exec(db, REGISTRY[i], NULL, NULL, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_exec(db, "RELEASE satchel_init", NULL, NULL, NULL);
    if (rc == SQLITE_OK) return SATCHEL_OK;
    rc = fail_db(db, rc, error);
    sqlite3_exec(db, own ? "ROLLBACK" : "ROLLBACK TO satchel_init; RELEASE satchel_init", NULL, NULL, NULL);
    return rc;
}

/* ---- reading a descriptor ---- */

/* The word of a rule and its argument. */
#define RULE_TEXT_BYTES (LIMIT_NAME_BYTES + 16)

typedef struct loader {
    sqlite3 *db;
    schema *s;
    buf *error;
} loader;

static int corrupt(loader *l, const char *what, int64_t table, int64_t column) {
    buf_printf(l->error, "schema: the registry is damaged: %s (table id %lld, column id %lld)", what, (long long)table,
               (long long)column);
    return SATCHEL_E_CORRUPT;
}

/* Grows an array by one zeroed element; NULL without memory. The count is powers of two, so no capacity is kept. */
static void *append(void *array, unsigned n, size_t size) {
    if (n & (n - 1)) return array;
    void *p = realloc(array, (n ? n * 2 : 1) * size);
    if (p) memset((char *)p + n * size, 0, (n ? n : 1) * size);
    return p;
}

/* True with *out NULL: no memory. */
static bool read_text(sqlite3_stmt *st, int i, size_t max, char **out) {
    if (sqlite3_column_type(st, i) != SQLITE_TEXT) return false;
    const unsigned char *text = sqlite3_column_text(st, i);
    size_t n = (size_t)sqlite3_column_bytes(st, i);
    if (!text || !n || n > max || strlen((const char *)text) != n || !value_utf8_valid(text, n)) return false;
    *out = strdup((const char *)text);
    return true;
}

static bool read_uint(sqlite3_stmt *st, int i, uint32_t max, uint32_t *out) {
    int64_t v = sqlite3_column_int64(st, i);
    if (sqlite3_column_type(st, i) != SQLITE_INTEGER || v < 0 || v > max) return false;
    *out = (uint32_t)v;
    return true;
}

/* One of the words, as its index; -1 if none. */
static int read_word(sqlite3_stmt *st, int i, const char *const *words) {
    const char *text = sqlite3_column_type(st, i) == SQLITE_TEXT ? (const char *)sqlite3_column_text(st, i) : NULL;
    for (int w = 0; text && words[w]; w++)
        if (!strcmp(text, words[w])) return w;
    return -1;
}

/* A life [since, until) within the epochs that there are. */
static bool read_life(const loader *l, sqlite3_stmt *st, int i, uint32_t *since, uint32_t *until) {
    if (!read_uint(st, i, l->s->epoch, since) || !read_uint(st, i + 1, SCHEMA_NEVER, until)) return false;
    return *since >= 1 && *since <= *until && (*until == SCHEMA_NEVER || *until <= l->s->epoch);
}

static int load_epoch(loader *l, sqlite3_stmt *st) {
    int64_t epoch = sqlite3_column_int64(st, 0);
    const void *hash = sqlite3_column_blob(st, 1);
    if (epoch != (int64_t)l->s->epoch + 1) return corrupt(l, "its migrations are not numbered 1, 2, 3", 0, 0);
    if (sqlite3_column_bytes(st, 1) != (int)sizeof l->s->hash || !hash) return corrupt(l, "a migration has no hash", 0, 0);
    memcpy(l->s->hash, hash, sizeof l->s->hash);
    l->s->epoch++;
    return SATCHEL_OK;
}

static int load_table(loader *l, sqlite3_stmt *st) {
    static const char *const MODES[] = {"rows", "append", "server", NULL};
    static const char *const WINS[] = {"update", "delete", NULL};
    static const char *const KEYS[] = {"unique", "natural", NULL};
    schema *s = l->s;
    int64_t id = sqlite3_column_int64(st, 0);
    if (id != (int64_t)s->ntable + 1 || id > LIMIT_TABLES) return corrupt(l, "its tables are not numbered 1, 2, 3", id, 0);
    schema_table *all = append(s->table, s->ntable, sizeof *all);
    if (!all) return SATCHEL_E_NOMEM;
    s->table = all;
    schema_table *t = &all[s->ntable++];
    t->id = (uint32_t)id;
    if (!read_text(st, 1, LIMIT_NAME_BYTES, &t->name)) return corrupt(l, "a table has no proper name", id, 0);
    int mode = read_word(st, 2, MODES), wins = read_word(st, 3, WINS), key = read_word(st, 4, KEYS);
    if (mode < 0 || wins < 0 || key < 0) return corrupt(l, "a table's mode, wins or key is unknown", id, 0);
    t->mode = (table_mode)mode;
    t->wins = (table_wins)wins;
    t->natural = key == 1;
    if (!read_life(l, st, 5, &t->since, &t->until)) return corrupt(l, "a table's epochs are wrong", id, 0);
    t->without_rowid = sqlite3_column_int(st, 7) != 0;
    return t->name ? SATCHEL_OK : SATCHEL_E_NOMEM;
}

/* Ascending `until`, so that the first that reaches beyond an epoch is the name of that epoch. */
static int load_former(loader *l, sqlite3_stmt *st) {
    uint32_t id = (uint32_t)sqlite3_column_int64(st, 0);
    if (id < 1 || id > l->s->ntable) return corrupt(l, "a former name is of no table", id, 0);
    schema_table *t = &l->s->table[id - 1];
    schema_name *more = realloc(t->former, (t->nformer + 1) * sizeof *more);
    if (!more) return SATCHEL_E_NOMEM;
    t->former = more;
    schema_name *f = &more[t->nformer];
    f->until = (uint32_t)sqlite3_column_int64(st, 1);
    if (!read_text(st, 2, LIMIT_NAME_BYTES, &f->name)) return corrupt(l, "a table has no proper name", id, 0);
    t->nformer++;
    return f->name ? SATCHEL_OK : SATCHEL_E_NOMEM;
}

/* The descriptor owns a copy of a default's bytes. */
static int copy_default(sqlite3_stmt *st, int i, value *out) {
    value v = value_of_column(st, i);
    if ((v.type == VALUE_TEXT || v.type == VALUE_BLOB) && v.n) {
        uint8_t *p = malloc(v.n);
        if (!p) return SATCHEL_E_NOMEM;
        memcpy(p, v.u.p, v.n);
        v.u.p = p;
    } else if (v.type == VALUE_TEXT || v.type == VALUE_BLOB) {
        v.u.p = NULL;
    }
    *out = v;
    return SATCHEL_OK;
}

static int read_rule(sqlite3_stmt *st, int i, schema_column *c) {
    char *text = NULL;
    const char *arg = NULL;
    int rc = SATCHEL_E_CORRUPT;
    if (!read_text(st, i, RULE_TEXT_BYTES, &text)) return rc;
    if (!text) return SATCHEL_E_NOMEM;
    if (rule_parse(text, &c->rule, &arg) && c->rule != RULE_BOUNDED) {
        c->arg = arg ? strdup(arg) : NULL;
        rc = arg && !c->arg ? SATCHEL_E_NOMEM : SATCHEL_OK;
    }
    free(text);
    return rc;
}

static int load_column(loader *l, sqlite3_stmt *st) {
    int64_t tbl = sqlite3_column_int64(st, 0), id = sqlite3_column_int64(st, 1);
    if (tbl < 1 || tbl > (int64_t)l->s->ntable) return corrupt(l, "a column belongs to no table", tbl, id);
    schema_table *t = &l->s->table[tbl - 1];
    if (id != (int64_t)t->nall + 1 || id > LIMIT_COLUMNS) return corrupt(l, "columns are not numbered 1, 2, 3", tbl, id);
    schema_column *all = append(t->all, t->nall, sizeof *all);
    if (!all) return SATCHEL_E_NOMEM;
    t->all = all;
    schema_column *c = &all[t->nall++];
    uint32_t affinity_code, key;
    c->id = c->unit = (uint32_t)id;
    c->default_value = value_null();
    if (!read_text(st, 2, LIMIT_NAME_BYTES, &c->name)) return corrupt(l, "a column has no proper name", tbl, id);
    if (!c->name) return SATCHEL_E_NOMEM;
    if (!read_life(l, st, 3, &c->since, &c->until)) return corrupt(l, "a column's epochs are wrong", tbl, id);
    if (c->since < t->since || c->until > t->until) return corrupt(l, "a column lives longer than its table", tbl, id);
    if (!read_uint(st, 5, AFFINITY_NUMERIC, &affinity_code) || !read_uint(st, 6, LIMIT_KEY_COLUMNS, &key))
        return corrupt(l, "a column's description is wrong", tbl, id);
    c->affinity = (affinity)affinity_code;
    c->key = key;
    c->not_null = sqlite3_column_int(st, 7) != 0;
    int rc = copy_default(st, 8, &c->default_value);
    if (rc == SATCHEL_OK) rc = read_rule(st, 9, c);
    return rc == SATCHEL_E_CORRUPT ? corrupt(l, "a column's rule is unknown", tbl, id) : rc;
}

/* Calls `each` for every row. */
static int load_rows(loader *l, const char *sql, int (*each)(loader *, sqlite3_stmt *)) {
    sqlite3_stmt *st = NULL;
    int rc = schema_prepare(l->db, sql, &st, l->error);
    if (rc) return rc;
    int step = SQLITE_ROW;
    while (rc == SATCHEL_OK && (step = sqlite3_step(st)) == SQLITE_ROW) rc = each(l, st);
    if (rc == SATCHEL_OK && step != SQLITE_DONE) rc = fail_db(l->db, step, l->error);
    sqlite3_finalize(st);
    return rc;
}

/* Dropped columns count: else dropping a group's first column would move the clock of the others. */
static void set_units(schema_table *t) {
    for (unsigned i = 0; i < t->nall; i++) {
        if (t->all[i].rule != RULE_GROUP) continue;
        for (unsigned j = 0; j < i; j++)
            if (t->all[j].rule == RULE_GROUP && !strcmp(t->all[j].arg, t->all[i].arg)) {
                t->all[i].unit = t->all[j].id;
                break;
            }
    }
}

/* Fills col and key of a table that lives. */
static int index_live(loader *l, schema_table *t) {
    t->col = calloc(t->nall + 1, sizeof(schema_column *));
    t->key = calloc(LIMIT_KEY_COLUMNS, sizeof(schema_column *));
    if (!t->col || !t->key) return SATCHEL_E_NOMEM;
    for (unsigned i = 0; i < t->nall; i++) {
        schema_column *c = &t->all[i];
        if (c->until != SCHEMA_NEVER) continue;
        t->col[t->ncol++] = c;
        if (!c->key) continue;
        if (t->key[c->key - 1]) return corrupt(l, "two columns have one place in the primary key", t->id, c->id);
        t->key[c->key - 1] = c;
        t->nkey++;
    }
    if (!t->nkey) return corrupt(l, "a table has no primary key", t->id, 0);
    for (unsigned i = 0; i < t->nkey; i++)
        if (!t->key[i]) return corrupt(l, "a primary key has a gap", t->id, 0);
    return SATCHEL_OK;
}

static const schema_column *live_column(const schema_table *t, const char *name) {
    for (unsigned i = 0; i < t->ncol; i++)
        if (!strcmp(t->col[i]->name, name)) return t->col[i];
    return NULL;
}

static int check_live(loader *l, const schema_table *t) {
    if (schema_table_by_name(l->s, t->name) != t) return corrupt(l, "two tables have one name", t->id, 0);
    for (unsigned i = 0; i < t->ncol; i++) {
        const schema_column *c = t->col[i];
        if (live_column(t, c->name) != c) return corrupt(l, "two columns have one name", t->id, c->id);
        if (c->key && c->rule != RULE_LWW) return corrupt(l, "a key column has a rule", t->id, c->id);
        if (c->rule == RULE_KEEP && !live_column(t, c->arg)) return corrupt(l, "keep names no column", t->id, c->id);
    }
    return SATCHEL_OK;
}

static int load_all(loader *l) {
    int rc = load_rows(l, "SELECT epoch, hash FROM main.satchel_migration ORDER BY epoch", load_epoch);
    if (rc) return rc;
    rc = load_rows(l, "SELECT id, name, mode, wins, key, since, until, without_rowid FROM main.satchel_table ORDER BY id",
                   load_table);
    if (rc) return rc;
    rc = load_rows(l, "SELECT tbl_id, until, name FROM main.satchel_former ORDER BY tbl_id, until", load_former);
    if (rc) return rc;
    rc = load_rows(l,
                   "SELECT tbl_id, id, name, since, until, affinity, key, not_null, dflt, rule FROM main.satchel_column"
                   " ORDER BY tbl_id, id",
                   load_column);
    for (unsigned i = 0; rc == SATCHEL_OK && i < l->s->ntable; i++) {
        set_units(&l->s->table[i]);
        if (l->s->table[i].until == SCHEMA_NEVER) rc = index_live(l, &l->s->table[i]);
    }
    for (unsigned i = 0; rc == SATCHEL_OK && i < l->s->ntable; i++)
        if (l->s->table[i].until == SCHEMA_NEVER) rc = check_live(l, &l->s->table[i]);
    return rc;
}

int schema_load(sqlite3 *db, schema **out, buf *error) {
    *out = NULL;
    schema *s = calloc(1, sizeof *s);
    if (!s) return SATCHEL_E_NOMEM;
    /* the hash of no migrations */
    uint8_t digest[32];
    crypto_sha256("", 0, digest);
    memcpy(s->hash, digest, sizeof s->hash);
    loader l = {.db = db, .s = s, .error = error};
    /* One view of all tables, though another process migrates meanwhile. Not the autocommit flag: it is still set inside the commit of
     * an autocommit statement, where capture calls this, and a BEGIN there would leave the connection in a transaction. */
    bool own = sqlite3_txn_state(db, "main") == SQLITE_TXN_NONE;
    int rc = own ? sqlite3_exec(db, "BEGIN", NULL, NULL, NULL) : SQLITE_OK;
    rc = rc == SQLITE_OK ? load_all(&l) : fail_db(db, rc, error);
    if (own && sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK) {
        /* It read only, and has no memory: the caller must not find himself in a transaction. */
        sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
        if (!rc) rc = SATCHEL_E_NOMEM;
    }
    if (rc) {
        schema_free(s);
        return rc;
    }
    *out = s;
    return SATCHEL_OK;
}

static void free_column(schema_column *c) {
    if (c->default_value.type == VALUE_TEXT || c->default_value.type == VALUE_BLOB) free((void *)(uintptr_t)c->default_value.u.p);
    free(c->name);
    free(c->arg);
}

void schema_free(schema *s) {
    if (!s) return;
    for (unsigned i = 0; i < s->ntable; i++) {
        schema_table *t = &s->table[i];
        for (unsigned j = 0; j < t->nall; j++) free_column(&t->all[j]);
        free(t->all);
        free(t->col);
        free(t->key);
        free(t->name);
        for (unsigned j = 0; j < t->nformer; j++) free(t->former[j].name);
        free(t->former);
    }
    free(s->table);
    free(s);
}

/* ---- looking things up ---- */

const schema_table *schema_table_by_id(const schema *s, uint32_t id) {
    return id >= 1 && id <= s->ntable ? &s->table[id - 1] : NULL;
}

const schema_table *schema_table_by_name(const schema *s, const char *name) {
    for (unsigned i = 0; i < s->ntable; i++)
        if (s->table[i].until == SCHEMA_NEVER && !strcmp(s->table[i].name, name)) return &s->table[i];
    return NULL;
}

static const char *name_in_epoch(const schema_table *t, uint32_t epoch) {
    for (unsigned i = 0; i < t->nformer; i++)
        if (epoch < t->former[i].until) return t->former[i].name;
    return t->name;
}

const schema_table *schema_table_in_epoch(const schema *s, uint32_t epoch, const char *name) {
    for (unsigned i = 0; i < s->ntable; i++) {
        const schema_table *t = &s->table[i];
        if (t->since <= epoch && epoch < t->until && strcmp(name_in_epoch(t, epoch), name) == 0) return t;
    }
    return NULL;
}

const schema_column *schema_column_by_id(const schema_table *t, uint32_t id) {
    return id >= 1 && id <= t->nall ? &t->all[id - 1] : NULL;
}

unsigned schema_layout(const schema_table *t, uint32_t epoch, const schema_column **out) {
    unsigned n = 0;
    for (unsigned i = 0; i < t->nall; i++)
        if (t->all[i].since <= epoch && epoch < t->all[i].until) out[n++] = &t->all[i];
    return n;
}

/* 2026-12-31, with or without a time behind it: SQLite reads no number in it, so it stays the text that it is. */
static bool is_date(const value *v) {
    static const char form[] = "0000-00-00";
    const uint32_t length = sizeof form - 1;
    const char *text = (const char *)v->u.p;
    if (v->type != VALUE_TEXT || v->n < length || (v->n > length && text[length] != ' ' && text[length] != 'T')) return false;
    for (uint32_t i = 0; i < length; i++)
        if (form[i] == '-' ? text[i] != '-' : text[i] < '0' || text[i] > '9') return false;
    return true;
}

bool schema_takes(const schema_column *c, const value *v) {
    if (v->type == VALUE_NULL || c->affinity == AFFINITY_ANY) return true;
    switch (c->affinity) {
    case AFFINITY_INTEGER:
        return v->type == VALUE_INTEGER;
    case AFFINITY_REAL:
        return v->type == VALUE_INTEGER || v->type == VALUE_REAL;
    case AFFINITY_NUMERIC:
        return v->type == VALUE_INTEGER || v->type == VALUE_REAL || (c->rule != RULE_COUNTER && is_date(v));
    case AFFINITY_TEXT:
        return v->type == VALUE_TEXT;
    default:
        return v->type == VALUE_BLOB;
    }
}

int schema_migration(sqlite3 *db, uint32_t epoch, buf *name, buf *sql) {
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(db, "SELECT name, sql FROM main.satchel_migration WHERE epoch = ?1", -1, &st, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_bind_int64(st, 1, epoch);
    if (rc == SQLITE_OK) rc = sqlite3_step(st);
    if (rc == SQLITE_ROW) {
        value n = value_of_column(st, 0), text = value_of_column(st, 1);
        buf_put(name, n.u.p, n.n);
        buf_put(sql, text.u.p, text.n);
        rc = n.type == VALUE_TEXT && text.type == VALUE_TEXT ? (name->rc ? name->rc : sql->rc) : SATCHEL_E_CORRUPT;
    } else {
        rc = rc == SQLITE_DONE ? SATCHEL_E_NOT_FOUND : db_rc(rc);
    }
    sqlite3_finalize(st);
    return rc;
}
