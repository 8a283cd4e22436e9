/* capture_diff - random SQL on a captured connection against plain SQLite.
 *
 * Every seed makes tables of random shapes and runs random statements, savepoints, failing statements and BUSY commits on them. Whenever
 * the connection is outside a transaction, what the outbox got since is applied by sqlite3changeset_apply() to a mirror that
 * has seen nothing else. The mirror must agree with the tables, the apply must meet no conflict (so every old value was right), and
 * the changeset must hold exactly as many changes as rows differ (C1, C2, C4, C6, C7, C9). */
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "protocol/changeset.h"
#include "protocol/satchel_rc.h"
#include "tests/property/seeds.h"
#include "tests/support/captured.h"

#define FILE_NAME "capture_diff.db"
#define TABLES_MAX 3
#define KEYS_MAX 3
#define DATA_MAX 5
#define COLUMNS_MAX (KEYS_MAX + DATA_MAX + 2) /* one generated, one row clock */
#define STEPS 60

static const char *const TABLE_NAMES[TABLES_MAX] = {"t0", "t1", "t2"};
static const char MADE[] = "generated";
static const char CLOCK[] = "satchel_clock";

typedef struct random_column {
    char name[16];
    const char *type;
    unsigned key; /* 1-based place in the primary key */
    bool synced;
} random_column;

typedef struct random_table {
    const char *name;
    random_column col[COLUMNS_MAX];
    unsigned ncol, nkey;
    bool without_rowid;
    char keys[64];    /* the key's names in order */
    char synced[256]; /* the synced columns' names */
} random_table;

typedef struct run {
    seed *s;
    random_table table[TABLES_MAX];
    unsigned ntable;
    captured x;
    sqlite3 *mirror, *reader;
    int64_t seen; /* outbox ids applied to the mirror */
    unsigned depth;
    char sql[8192];
    size_t n;
} run;

static void put(run *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(run *r, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vsnprintf(r->sql + r->n, sizeof r->sql - r->n, format, args);
    va_end(args);
    r->n += (size_t)n;
    seed_check(r->s, r->n < sizeof r->sql);
}

static void clear(run *r) {
    r->n = 0;
    r->sql[0] = 0;
}

static const char *pick(seed *s, const char *const *from, unsigned n) {
    return from[seed_below(s, n)];
}
#define PICK(s, list) pick(s, list, sizeof list / sizeof *list)

/* ---- tables ---- */

static random_column *add_column(random_table *t, const char *prefix, unsigned number, const char *type) {
    random_column *c = &t->col[t->ncol++];
    *c = (random_column){.type = type, .synced = true};
    snprintf(c->name, sizeof c->name, "%s%u", prefix, number % 100);
    return c;
}

/* The places 1 to n in random order. */
static void shuffle_places(seed *s, unsigned *places, unsigned n) {
    for (unsigned i = 0; i < n; i++) {
        unsigned k = seed_below(s, i + 1);
        places[i] = places[k];
        places[k] = i + 1;
    }
}

/* Key and other columns mixed, some of them in groups; a generated column somewhere; a row clock at the end. */
static void random_columns(run *r, random_table *t) {
    static const char *const types[] = {"INTEGER", "TEXT", "REAL", "BLOB", "NUMERIC", ""};
    static const char *const key_types[] = {"INTEGER", "TEXT", "BLOB", "REAL", ""};
    static const char *const prefixes[] = {"c", "c", "c", "c", "c", "g1_c", "g2_c"};
    seed *s = r->s;
    unsigned places[KEYS_MAX] = {0}, ndata = 1 + seed_below(s, DATA_MAX), made = seed_below(s, 20);
    t->nkey = seed_chance(s, 60) ? 1 : 1 + seed_below(s, KEYS_MAX);
    shuffle_places(s, places, t->nkey);
    for (unsigned key = 0, data = 0; key < t->nkey || data < ndata;) {
        if (key + data == made) add_column(t, "made", 0, MADE)->synced = false;
        if (key < t->nkey && (data == ndata || seed_chance(s, 50))) {
            add_column(t, "k", key, PICK(s, key_types))->key = places[key];
            key++;
        } else {
            add_column(t, PICK(s, prefixes), data++, PICK(s, types));
        }
    }
    if (!seed_chance(s, 20)) return;
    random_column *clock = add_column(t, "", 0, "BLOB");
    clock->synced = false;
    strcpy(clock->name, CLOCK);
}

static bool is_made(const random_column *c) {
    return c->type == MADE;
}

static const random_column *key_column(const random_table *t, unsigned place) {
    for (unsigned i = 0; i < t->ncol; i++)
        if (t->col[i].key == place) return &t->col[i];
    return NULL;
}

static void list_name(char *list, const char *name) {
    if (*list) strcat(list, ", ");
    strcat(list, name);
}

static void make_table(run *r, unsigned index) {
    random_table *t = &r->table[index];
    *t = (random_table){.name = TABLE_NAMES[index], .without_rowid = seed_chance(r->s, 35)};
    random_columns(r, t);
    for (unsigned k = 1; k <= t->nkey; k++) list_name(t->keys, key_column(t, k)->name);
    for (unsigned i = 0; i < t->ncol; i++)
        if (t->col[i].synced) list_name(t->synced, t->col[i].name);
}

/* The captured table in full; the mirror has the synced columns and the key alone. */
static void put_create(run *r, const random_table *t, bool mirror) {
    put(r, "CREATE TABLE %s(", t->name);
    bool single = t->nkey == 1 && !t->without_rowid && strcmp(key_column(t, 1)->type, "INTEGER") == 0;
    for (unsigned i = 0; i < t->ncol; i++) {
        const random_column *c = &t->col[i];
        if (mirror && !c->synced) continue;
        if (is_made(c)) {
            put(r, "%s AS (coalesce(%s, 1) || 'x') STORED, ", c->name, key_column(t, 1)->name);
            continue;
        }
        put(r, "%s %s%s", c->name, c->type, single && c->key ? " PRIMARY KEY" : "");
        if (!mirror && c->synced && !c->key && seed_chance(r->s, 20)) put(r, " DEFAULT %u", seed_below(r->s, 9));
        if (!mirror && c->synced && !c->key && seed_chance(r->s, 20)) put(r, " CHECK(%s IS NOT 13)", c->name);
        put(r, ", ");
    }
    if (single)
        r->n -= 2;
    else
        put(r, "PRIMARY KEY(%s)", t->keys);
    put(r, ")%s;", t->without_rowid ? " WITHOUT ROWID" : "");
}

static const random_column *data_column(run *r, const random_table *t) {
    for (unsigned tries = 0; tries < 20; tries++) {
        const random_column *c = &t->col[seed_below(r->s, t->ncol)];
        if (c->synced && !c->key) return c;
    }
    return NULL;
}

/* As the triggers of schema_checks.c: the statement is refused after it has written. */
static void put_check(run *r, const random_table *t, const random_column *c) {
    static const char *const when[] = {"INSERT", "UPDATE"};
    for (unsigned i = 0; i < 2; i++)
        put(r,
            "CREATE TRIGGER k%u_%s AFTER %s ON %s WHEN satchel_local() BEGIN SELECT RAISE(ABORT, 'no') WHERE NEW.%s IS 3; END;",
            i, t->name, when[i], t->name, c->name);
}

/* What makes statements fail half-way and rows change that the statement does not name. A BEFORE trigger that changes or deletes the row at
 * hand has undefined effects in SQLite (an UPSERT then even damages the database): such triggers write the last table alone, which has none. */
static void put_extras(run *r, const random_table *t) {
    static const char *const when[] = {"AFTER INSERT",  "AFTER UPDATE",  "AFTER DELETE",
                                       "BEFORE UPDATE", "BEFORE DELETE", "BEFORE INSERT"};
    const random_column *c = data_column(r, t);
    if (c && seed_chance(r->s, 25)) put(r, "CREATE UNIQUE INDEX u_%s ON %s(%s);", t->name, t->name, c->name);
    if (c && seed_chance(r->s, 30)) put_check(r, t, c);
    const random_table *last = &r->table[r->ntable - 1];
    bool before = seed_chance(r->s, 50);
    const random_table *other = before ? last : &r->table[seed_below(r->s, r->ntable)];
    const random_column *d = data_column(r, other);
    if (!d || seed_chance(r->s, 70) || (t == last && (before || r->ntable > 1))) return;
    put(r, "CREATE TRIGGER x_%s %s ON %s WHEN satchel_local() BEGIN ", t->name, when[seed_below(r->s, 3) + (before ? 3 : 0)],
        t->name);
    if (seed_chance(r->s, 30))
        put(r, "DELETE FROM %s WHERE %s = 3; END;", other->name, key_column(other, 1)->name);
    else
        put(r, "UPDATE OR IGNORE %s SET %s = %u; END;", other->name, d->name, seed_below(r->s, 4));
}

static void remove_files(void) {
    unlink(FILE_NAME);
    unlink(FILE_NAME "-journal");
    unlink(FILE_NAME "-wal");
    unlink(FILE_NAME "-shm");
}

/* A shape that capture refuses (numbers it would misread) is made anew. */
static bool shapes_fit(run *r, const char *const *names) {
    bool doubtful = false;
    for (unsigned i = 0; i < r->ntable; i++) doubtful |= r->table[i].without_rowid && strstr(r->sql, "REAL");
    if (!doubtful) return true;
    sqlite3 *db;
    sqlite3_open(":memory:", &db);
    capture_functions(db, true);
    bool fit = sqlite3_exec(db, r->sql, NULL, NULL, NULL) == SQLITE_OK;
    if (fit) {
        captured nothing = {0};
        capture_sink sink = captured_sink(&nothing);
        capture *c;
        schema *s = captured_schema(db, names);
        buf error = {0};
        assert_int_equal(capture_open(db, &sink, &c), SATCHEL_OK);
        fit = capture_install(db, s, &error) == SATCHEL_OK;
        buf_fini(&error);
        capture_close(c);
        captured_schema_free(s);
    }
    sqlite3_close(db);
    return fit;
}

static void open_run(run *r) {
    static const char *const modes[] = {"PERSIST", "PERSIST", "WAL", "MEMORY"};
    const char *names[TABLES_MAX + 1] = {NULL};
    r->ntable = 1 + seed_below(r->s, TABLES_MAX);
    memcpy(names, TABLE_NAMES, r->ntable * sizeof *names);
    do {
        clear(r);
        for (unsigned i = 0; i < r->ntable; i++) make_table(r, i);
        for (unsigned i = 0; i < r->ntable; i++) put_create(r, &r->table[i], false);
        for (unsigned i = 0; i < r->ntable; i++) put_extras(r, &r->table[i]);
    } while (!shapes_fit(r, names));
    remove_files();
    char tables[sizeof r->sql];
    memcpy(tables, r->sql, r->n + 1);
    clear(r);
    put(r, "PRAGMA synchronous = OFF; PRAGMA journal_mode = %s; PRAGMA recursive_triggers = %u;", PICK(r->s, modes),
        seed_below(r->s, 2));
    put(r, "BEGIN; %s COMMIT", tables);
    captured_open(&r->x, FILE_NAME, r->sql, names);
    clear(r);
    for (unsigned i = 0; i < r->ntable; i++) put_create(r, &r->table[i], true);
    assert_int_equal(sqlite3_open(":memory:", &r->mirror), SQLITE_OK);
    exec(r->mirror, r->sql);
    assert_int_equal(sqlite3_open(FILE_NAME, &r->reader), SQLITE_OK);
}

static void close_run(run *r) {
    sqlite3_close(r->reader);
    sqlite3_close(r->mirror);
    captured_close(&r->x);
    remove_files();
}

/* ---- statements ---- */

static void put_text(run *r) {
    static const char *const texts[] = {
        "''", "'a'", "'b'", "'13'", "'7'", "'na\xc3\xafve'", "char(0x1f392)", "'x' || char(0) || 'y'", "'2.5'"};
    put(r, "%s", PICK(r->s, texts));
}

static void put_number(run *r) {
    static const char *const numbers[] = {
        "2.0",  "0.5", "-0.0", "9e999", "9007199254740993", "-9223372036854775808", "9223372036854775807",
        "1e15", "3.0", "1e19", "13"};
    put(r, "%s", PICK(r->s, numbers));
}

/* A value of any type, large now and then; small numbers mostly, so that keys and unique values meet. */
static void put_value(run *r, bool key) {
    unsigned kind = seed_below(r->s, 100);
    if (kind < 55)
        put(r, "%u", seed_below(r->s, key ? 8 : 20));
    else if (kind < 70)
        put_text(r);
    else if (kind < 80)
        put_number(r);
    else if (kind < 90)
        put(r, "x'%02x%s'", seed_below(r->s, 4), seed_chance(r->s, 20) ? "00ff" : "");
    else if (kind < 94 && !key)
        put(r, "zeroblob(%u)", seed_below(r->s, seed_chance(r->s, 10) ? 100000 : 3000));
    else if (key && !seed_chance(r->s, 5))
        put(r, "%u", seed_below(r->s, 8));
    else
        put(r, "NULL");
}

static void put_or(run *r) {
    static const char *const or [] = {"OR ABORT ", "OR FAIL ", "OR IGNORE ", "OR REPLACE ", "OR ROLLBACK "};
    if (seed_chance(r->s, 45)) put(r, "%s", PICK(r->s, or));
}

static void put_where(run *r, const random_table *t) {
    const random_column *c = key_column(t, 1 + seed_below(r->s, t->nkey));
    if (seed_chance(r->s, 70)) {
        put(r, " WHERE %s = ", c->name);
        put_value(r, true);
    } else if (seed_chance(r->s, 70)) {
        put(r, " WHERE %s %% 3 = %u", c->name, seed_below(r->s, 3));
    }
}

static void put_row(run *r, const random_table *t) {
    put(r, "(");
    const char *between = "";
    for (unsigned i = 0; i < t->ncol; i++) {
        if (!t->col[i].synced) continue;
        put(r, "%s", between);
        put_value(r, t->col[i].key > 0);
        between = ", ";
    }
    put(r, ")");
}

static void put_set(run *r, const random_table *t) {
    unsigned n = 1 + seed_below(r->s, 2);
    const char *last = NULL;
    put(r, " SET ");
    for (unsigned i = 0; i < n; i++) {
        const random_column *c = seed_chance(r->s, 12) ? key_column(t, 1 + seed_below(r->s, t->nkey)) : data_column(r, t);
        if (!c) c = key_column(t, 1);
        if (c->name == last) break;
        put(r, "%s%s = ", last ? ", " : "", c->name);
        if (seed_chance(r->s, 15))
            put(r, "%s", c->name);
        else
            put_value(r, c->key > 0);
        last = c->name;
    }
}

static void insert_statement(run *r, const random_table *t) {
    put(r, "INSERT ");
    put_or(r);
    put(r, "INTO %s(%s) VALUES", t->name, t->synced);
    unsigned rows = seed_chance(r->s, 50) ? 1 : 1 + seed_below(r->s, 5);
    for (unsigned i = 0; i < rows; i++) {
        if (i) put(r, ", ");
        put_row(r, t);
    }
    if (seed_chance(r->s, 15)) {
        put(r, " ON CONFLICT DO UPDATE");
        put_set(r, t);
    }
    if (seed_chance(r->s, 10)) put(r, " RETURNING *");
}

static void update_statement(run *r, const random_table *t) {
    put(r, "UPDATE ");
    put_or(r);
    put(r, "%s", t->name);
    put_set(r, t);
    put_where(r, t);
}

static void copy_statement(run *r, const random_table *t) {
    put(r, "INSERT ");
    put_or(r);
    put(r, "INTO %s(%s) SELECT ", t->name, t->synced);
    const char *between = "";
    for (unsigned i = 0; i < t->ncol; i++) {
        if (!t->col[i].synced) continue;
        put(r, "%s%s%s", between, t->col[i].name, t->col[i].key ? " + 1" : "");
        between = ", ";
    }
    put(r, " FROM %s", t->name);
}

static void clock_statement(run *r, const random_table *t) {
    if (strcmp(t->col[t->ncol - 1].name, CLOCK) == 0)
        put(r, "UPDATE %s SET %s = x'%02x'", t->name, CLOCK, seed_below(r->s, 100));
    else
        put(r, "UPDATE %s SET k0 = k0", t->name);
}

/* Within a transaction SQLite then connects the virtual table anew, beside the one that takes part already. */
static void schema_statement(run *r) {
    unsigned n = seed_below(r->s, 3);
    if (seed_chance(r->s, 60))
        put(r, "CREATE %s TABLE junk%u(a)", seed_chance(r->s, 50) ? "TEMP" : "", n);
    else
        put(r, "DROP TABLE junk%u", n);
}

static void data_statement(run *r) {
    const random_table *t = &r->table[seed_below(r->s, r->ntable)];
    unsigned kind = seed_below(r->s, 100);
    if (kind < 40)
        insert_statement(r, t);
    else if (kind < 75)
        update_statement(r, t);
    else if (kind < 90) {
        put(r, "DELETE FROM %s", t->name);
        put_where(r, t);
    } else if (kind < 96)
        copy_statement(r, t);
    else
        clock_statement(r, t);
}

static void transaction_statement(run *r) {
    bool inside = !sqlite3_get_autocommit(r->x.db);
    unsigned kind = seed_below(r->s, 100), level = seed_below(r->s, 4);
    if (!inside)
        put(r, kind < 50 ? "BEGIN" : kind < 60 ? "BEGIN IMMEDIATE" : "SAVEPOINT s%u", level);
    else if (kind < 35)
        put(r, "SAVEPOINT s%u", level);
    else if (kind < 60)
        put(r, "ROLLBACK TO s%u", level);
    else if (kind < 75)
        put(r, "RELEASE s%u", level);
    else
        put(r, kind < 95 ? "COMMIT" : "ROLLBACK");
}

/* Another connection reads, or stops reading: in the rollback journal modes every COMMIT meanwhile is BUSY after xSync has run. */
static void toggle_reader(run *r) {
    if (sqlite3_get_autocommit(r->reader))
        sqlite3_exec(r->reader, "BEGIN; SELECT count(*) FROM outbox", NULL, NULL, NULL);
    else
        sqlite3_exec(r->reader, "COMMIT", NULL, NULL, NULL);
}

static void run_statement(run *r) {
    int rc = sqlite3_exec(r->x.db, r->sql, NULL, NULL, NULL) & 0xff;
    int why = capture_error_code(r->x.capture);
    bool expected =
        rc == SQLITE_OK || rc == SQLITE_CONSTRAINT || rc == SQLITE_BUSY || rc == SQLITE_MISMATCH || rc == SQLITE_ERROR;
    if (!expected || (why && why != SATCHEL_E_NULL_KEY))
        fail_msg("seed %" PRIu64 ": %s: %d %s; %s", r->s->first, r->sql, rc, sqlite3_errmsg(r->x.db),
                 capture_error(r->x.capture));
}

/* ---- comparing ---- */

typedef struct table_cursor {
    sqlite3_stmt *stmt;
    bool row;
    unsigned ncol, nkey;
} table_cursor;

static void cursor_next(table_cursor *c) {
    c->row = sqlite3_step(c->stmt) == SQLITE_ROW;
}

/* The key's columns, then the synced ones, in the order of the key. */
static void cursor_open(run *r, table_cursor *c, sqlite3 *db, const random_table *t) {
    clear(r);
    put(r, "SELECT %s, %s FROM %s ORDER BY %s", t->keys, t->synced, t->name, t->keys);
    if (sqlite3_prepare_v2(db, r->sql, -1, &c->stmt, NULL)) fail_msg("%s: %s", r->sql, sqlite3_errmsg(db));
    c->ncol = (unsigned)sqlite3_column_count(c->stmt);
    c->nkey = t->nkey;
    cursor_next(c);
}

static int compare_keys(const table_cursor *a, const table_cursor *b) {
    if (!a->row || !b->row) return a->row ? -1 : b->row ? 1 : 0;
    for (unsigned i = 0; i < a->nkey; i++) {
        value x = value_of_column(a->stmt, (int)i), y = value_of_column(b->stmt, (int)i);
        int c = value_compare(&x, &y);
        if (c) return c;
    }
    return 0;
}

/* 0 if the rows are one; 1 if their contents differ; 2 if their keys do, as 1 and 1.0: one row deleted, one inserted. */
static unsigned row_differs(const table_cursor *a, const table_cursor *b) {
    unsigned differs = 0;
    for (unsigned i = 0; i < a->ncol; i++) {
        value x = value_of_column(a->stmt, (int)i), y = value_of_column(b->stmt, (int)i);
        if (value_equal(&x, &y)) continue;
        if (i < a->nkey) return 2;
        differs = 1;
    }
    return differs;
}

static unsigned count_differences(run *r, const random_table *t) {
    table_cursor a, b;
    unsigned n = 0;
    cursor_open(r, &a, r->x.db, t);
    cursor_open(r, &b, r->mirror, t);
    while (a.row || b.row) {
        int c = compare_keys(&a, &b);
        n += c ? 1 : row_differs(&a, &b);
        if (c <= 0) cursor_next(&a);
        if (c >= 0) cursor_next(&b);
    }
    sqlite3_finalize(a.stmt);
    sqlite3_finalize(b.stmt);
    return n;
}

static unsigned count_all_differences(run *r) {
    unsigned n = 0;
    for (unsigned i = 0; i < r->ntable; i++) n += count_differences(r, &r->table[i]);
    return n;
}

static int on_conflict(void *ctx, int kind, sqlite3_changeset_iter *it) {
    (void)it;
    *(int *)ctx = kind;
    return SQLITE_CHANGESET_ABORT;
}

/* A group with a changed column is there whole, and an update changes something. */
static void check_change(run *r, const changeset_change *c) {
    if (c->op != SQLITE_UPDATE) return;
    const schema_table *t = schema_table_by_name(r->x.schema, c->table);
    bool any = false;
    for (unsigned i = 0; i < c->ncol; i++) {
        bool present = c->new[i].type != VALUE_ABSENT, differs = present && !value_equal(&c->old[i], &c->new[i]), grouped = false;
        any |= differs;
        for (unsigned k = 0; k < c->ncol; k++) {
            if (t->col[i]->rule != RULE_GROUP || t->col[k]->rule != RULE_GROUP || t->col[i]->unit != t->col[k]->unit) continue;
            seed_check(r->s, (c->new[k].type != VALUE_ABSENT) == present);
            grouped = true;
        }
        seed_check(r->s, grouped || differs == present);
    }
    seed_check(r->s, any);
}

static unsigned apply_part(run *r, const void *blob, int n) {
    static changeset_change c;
    changeset_reader reader;
    unsigned changes = 0;
    int rc, conflict = 0;
    changeset_open(&reader, blob, (size_t)n);
    while ((rc = changeset_next(&reader, &c)) == 1) {
        check_change(r, &c);
        changes++;
    }
    seed_check(r->s, rc == 0 && changes > 0);
    rc = sqlite3changeset_apply(r->mirror, n, (void *)(uintptr_t)blob, NULL, on_conflict, &conflict);
    if (rc) fail_msg("seed %" PRIu64 ": apply: %d, conflict %d", r->s->first, rc, conflict);
    return changes;
}

/* Outside a transaction: what has come to the outbox since is one transaction at most, and turns the mirror into the tables. */
static void verify(run *r) {
    unsigned differences = count_all_differences(r), changes = 0, parts = 0;
    sqlite3_stmt *stmt;
    bool last = true;
    sqlite3_prepare_v2(r->x.db, "SELECT id, n, part, last, changes FROM outbox WHERE id > ?1 ORDER BY id", -1, &stmt, NULL);
    sqlite3_bind_int64(stmt, 1, r->seen);
    for (int64_t n = 0; sqlite3_step(stmt) == SQLITE_ROW; parts++) {
        seed_check(r->s, !parts || n == sqlite3_column_int64(stmt, 1));
        n = sqlite3_column_int64(stmt, 1);
        r->seen = sqlite3_column_int64(stmt, 0);
        seed_check(r->s, sqlite3_column_int64(stmt, 2) == parts);
        last = sqlite3_column_int(stmt, 3);
        changes += apply_part(r, sqlite3_column_blob(stmt, 4), sqlite3_column_bytes(stmt, 4));
    }
    sqlite3_finalize(stmt);
    seed_check(r->s, last);
    if (changes != differences)
        fail_msg("seed %" PRIu64 ": %u changes captured, %u rows differ", r->s->first, changes, differences);
    seed_check(r->s, !parts || count_all_differences(r) == 0);
}

static void random_sql_is_captured_as_it_commits_C1_C2_C4_C6_C7_C9(seed *s) {
    static run r;
    r = (run){.s = s};
    open_run(&r);
    for (unsigned i = 0; i < STEPS; i++) {
        clear(&r);
        if (seed_chance(s, 5)) toggle_reader(&r);
        if (seed_chance(s, 3))
            schema_statement(&r);
        else if (seed_chance(s, 30))
            transaction_statement(&r);
        else
            data_statement(&r);
        run_statement(&r);
        if (sqlite3_get_autocommit(r.x.db)) verify(&r);
    }
    sqlite3_exec(r.reader, "COMMIT", NULL, NULL, NULL);
    clear(&r);
    put(&r, "COMMIT");
    if (!sqlite3_get_autocommit(r.x.db)) run_statement(&r);
    verify(&r);
    close_run(&r);
}

/* A transaction that spills under savepoints; costly, so every fiftieth seed alone. */
static void large_transactions_are_captured_as_they_commit_C7(seed *s) {
    static run r;
    if (s->first % 50) return;
    r = (run){.s = s};
    open_run(&r);
    exec(r.x.db, "BEGIN");
    for (unsigned i = 0; i < 8; i++) {
        const random_table *t = &r.table[seed_below(s, r.ntable)];
        const random_column *c = data_column(&r, t);
        if (!c) continue;
        clear(&r);
        put(&r, "SAVEPOINT s; INSERT OR REPLACE INTO %s(%s", t->name, c->name);
        for (unsigned k = 0; k < t->nkey; k++) put(&r, ", k%u", k);
        put(&r, ") SELECT zeroblob(%u) || value", seed_below(s, 20000));
        for (unsigned k = 0; k < t->nkey; k++) put(&r, ", value + %u", seed_below(s, 100));
        put(&r, " FROM generate"); /* a table of numbers, below */
        exec(r.x.db, "CREATE TEMP TABLE IF NOT EXISTS generate(value)");
        if (query(r.x.db, "SELECT count(*) FROM generate") == 0)
            exec(
                r.x.db,
                "WITH RECURSIVE i(n) AS (VALUES(1) UNION ALL SELECT n + 1 FROM i WHERE n < 100) INSERT INTO generate SELECT n FROM i");
        run_statement(&r);
        if (seed_chance(s, 25)) exec(r.x.db, "ROLLBACK TO s");
    }
    exec(r.x.db, "COMMIT");
    verify(&r);
    close_run(&r);
}

static void test_random_sql(void **state) {
    (void)state;
    seed_run(random_sql_is_captured_as_it_commits_C1_C2_C4_C6_C7_C9, 100);
}

static void test_large_transactions(void **state) {
    (void)state;
    seed_run(large_transactions_are_captured_as_they_commit_C7, 100);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_sql),
        cmocka_unit_test(test_large_transactions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
