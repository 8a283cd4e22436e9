#include <stdlib.h>

#include "protocol/capture_internal.h"
#include "protocol/db.h"
#include "protocol/limits.h"
#include "protocol/satchel_rc.h"

/* The server's own: row clock and set of buckets. */
#define CLOCK_COLUMN "satchel_clock"
#define SET_COLUMN "satchel_set"

typedef struct raw_column {
    bool left_out; /* generated, or the server's own */
    bool real, text;
    unsigned key;
} raw_column;

/* The table as the database has it. */
typedef struct raw_table {
    raw_column *col;
    int n, cap;
} raw_table;

static bool contains(const char *type, const char *word) {
    return sqlite3_strlike(word, type, 0) == 0;
}

/* Affinity from the declared type (datatype3.html section 3.1), as far as it matters here. */
static void set_affinity(raw_column *c, const char *type) {
    if (contains(type, "%INT%")) return;
    c->text = contains(type, "%CHAR%") || contains(type, "%CLOB%") || contains(type, "%TEXT%");
    if (c->text || contains(type, "%BLOB%")) return;
    c->real = contains(type, "%REAL%") || contains(type, "%FLOA%") || contains(type, "%DOUB%");
}

static raw_column *add_column(raw_table *raw) {
    if (raw->n == raw->cap) {
        int cap = raw->cap ? raw->cap * 2 : 32;
        raw_column *col = realloc(raw->col, (size_t)cap * sizeof *col);
        if (!col) return NULL;
        raw->col = col;
        raw->cap = cap;
    }
    raw->col[raw->n] = (raw_column){0};
    return &raw->col[raw->n++];
}

static int misfit(capture_table *t, const char *why) {
    if (!t->rc) {
        t->rc = SATCHEL_E_TABLE_SHAPE;
        t->why = why;
    }
    return SATCHEL_OK;
}

/* Matches the next column of the database to the next one of the descriptor. */
static int read_column(sqlite3_stmt *info, raw_table *raw, capture_table *t) {
    enum { NAME = 1, TYPE = 2, PK = 5, HIDDEN = 6, VIRTUAL = 2, STORED = 3 };
    const char *name = (const char *)sqlite3_column_text(info, NAME);
    const char *type = (const char *)sqlite3_column_text(info, TYPE);
    int hidden = sqlite3_column_int(info, HIDDEN);
    raw_column *c = add_column(raw);
    if (!c || !name) return SATCHEL_E_NOMEM;
    set_affinity(c, type ? type : "");
    c->key = (unsigned)sqlite3_column_int(info, PK);
    if (hidden == VIRTUAL) return misfit(t, "it has a virtual generated column; make it STORED");
    c->left_out = hidden == STORED || sqlite3_stricmp(name, CLOCK_COLUMN) == 0 || sqlite3_stricmp(name, SET_COLUMN) == 0;
    if (c->left_out) return SATCHEL_OK;
    if (t->ncol >= t->desc->ncol || sqlite3_stricmp(name, t->desc->col[t->ncol]->name) != 0)
        return misfit(t, "its columns are not those of the schema");
    if (c->key != t->desc->col[t->ncol]->key) return misfit(t, "its primary key is not that of the schema");
    t->raw[t->ncol] = (uint16_t)(raw->n - 1);
    t->real[t->ncol++] = c->real;
    return SATCHEL_OK;
}

/* A WITHOUT ROWID table is stored with its key first. sqlite3_preupdate_old() looks up whether to turn an integer into a real by
 * the stored place instead of the column, and so spoils a number that stands where the table has a REAL column. */
static bool reads_wrong_numbers(const raw_table *raw) {
    int place = 0;
    for (unsigned k = 1; k <= LIMIT_KEY_COLUMNS; k++)
        for (int i = 0; i < raw->n; i++) {
            if (raw->col[i].key != k) continue;
            if (raw->col[place].real && !raw->col[i].real && !raw->col[i].text) return true;
            place++;
        }
    for (int i = 0; i < raw->n; i++) {
        if (raw->col[i].key) continue;
        if (raw->col[place].real && !raw->col[i].real && !raw->col[i].text) return true;
        place++;
    }
    return false;
}

static int read_columns(sqlite3 *db, raw_table *raw, capture_table *t) {
    char *sql = sqlite3_mprintf("PRAGMA main.table_xinfo(\"%w\")", t->desc->name);
    if (!sql) return SATCHEL_E_NOMEM;
    sqlite3_stmt *info = NULL;
    int step = sqlite3_prepare_v2(db, sql, -1, &info, NULL);
    sqlite3_free(sql);
    int rc = SATCHEL_OK;
    while (!step && !rc && (step = sqlite3_step(info)) == SQLITE_ROW) {
        rc = read_column(info, raw, t);
        step = SQLITE_OK;
    }
    sqlite3_finalize(info);
    if (!rc) rc = db_rc(step);
    if (rc) return rc;
    if (!raw->n) return misfit(t, "it does not exist");
    if (t->ncol != t->desc->ncol) return misfit(t, "its columns are not those of the schema");
    if (t->desc->without_rowid && reads_wrong_numbers(raw))
        return misfit(t, "a WITHOUT ROWID table with REAL columns must declare its key columns first, in the order of the key");
    return SATCHEL_OK;
}

static bool same_group(const schema_column *a, const schema_column *b) {
    return a->rule == RULE_GROUP && b->rule == RULE_GROUP && a->unit == b->unit && !a->key && !b->key;
}

static void set_units(capture_table *t) {
    for (unsigned i = 0; i < t->ncol; i++) {
        unsigned lowest = 0;
        while (lowest < i && !same_group(t->desc->col[lowest], t->desc->col[i])) lowest++;
        t->unit[i] = (uint16_t)lowest;
        t->pk[i] = (uint8_t)t->desc->col[i]->key;
        if (t->pk[i]) t->key[t->pk[i] - 1] = (uint16_t)i;
    }
}

/* One allocation holds all arrays of a table; `raw` is its start. */
static int describe(sqlite3 *db, const schema_table *desc, unsigned index, capture_table *t) {
    unsigned n = desc->ncol, nkey = desc->nkey;
    *t = (capture_table){.desc = desc, .index = index, .nkey = nkey};
    t->raw = calloc(1, 1 + (2u * n + nkey) * sizeof *t->raw + n * (sizeof *t->pk + sizeof *t->real));
    if (!t->raw) return SATCHEL_E_NOMEM;
    t->unit = t->raw + n;
    t->key = t->unit + n;
    t->pk = (uint8_t *)(t->key + nkey);
    t->real = (bool *)(t->pk + n);
    if (!n || n > LIMIT_COLUMNS || !nkey || nkey > LIMIT_KEY_COLUMNS)
        return misfit(t, "it has no primary key, or too many columns");
    raw_table raw = {0};
    int rc = read_columns(db, &raw, t);
    t->nraw = raw.n;
    if (!rc && !t->rc) set_units(t);
    free(raw.col);
    return rc;
}

static int by_name(const void *a, const void *b) {
    const capture_table *const *x = a, *const *y = b;
    return sqlite3_stricmp((*x)->desc->name, (*y)->desc->name);
}

static bool is_live(const schema_table *t) {
    return t->until == SCHEMA_NEVER;
}

int capture_tables_load(sqlite3 *db, const schema *s, capture_tables *out) {
    *out = (capture_tables){0};
    if (!s || !s->ntable) return SATCHEL_OK;
    out->table = calloc(s->ntable, sizeof *out->table);
    out->by_name = calloc(s->ntable, sizeof *out->by_name);
    int rc = out->table && out->by_name ? SATCHEL_OK : SATCHEL_E_NOMEM;
    for (unsigned i = 0; i < s->ntable && !rc; i++) {
        if (!is_live(&s->table[i])) continue;
        unsigned index = out->n++;
        out->by_name[index] = &out->table[index];
        rc = describe(db, &s->table[i], index, &out->table[index]);
    }
    if (rc)
        capture_tables_free(out);
    else
        qsort(out->by_name, out->n, sizeof *out->by_name, by_name);
    return rc;
}

void capture_tables_free(capture_tables *t) {
    for (unsigned i = 0; i < t->n; i++) free(t->table[i].raw);
    free(t->table);
    free(t->by_name);
    *t = (capture_tables){0};
}

const capture_table *capture_tables_find(const capture_tables *t, const char *name) {
    unsigned low = 0, high = t->n;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        int c = sqlite3_stricmp(name, t->by_name[middle]->desc->name);
        if (!c) return t->by_name[middle];
        if (c < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}
