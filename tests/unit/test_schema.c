#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/crypto.h"
#include "protocol/satchel_rc.h"
#include "protocol/schema.h"

#define CONTACT                                                                                                                  \
    "CREATE TABLE contact(id BLOB PRIMARY KEY, given TEXT, family TEXT, visits INTEGER);\n"                                      \
    "INSERT INTO satchel_table(name) VALUES('contact');\n"

/* A database on one side, and the words of the last error. */
typedef struct side {
    sqlite3 *db;
    schema_side side;
    buf error;
} side;

static void never_local(sqlite3_context *ctx, int n, sqlite3_value **args) {
    (void)n, (void)args;
    sqlite3_result_int(ctx, 0);
}

static void open_side(side *s, schema_side which) {
    s->side = which;
    buf_init(&s->error, 0);
    assert_int_equal(sqlite3_open(":memory:", &s->db), SQLITE_OK);
    assert_int_equal(sqlite3_create_function(s->db, "satchel_local", 0, SQLITE_UTF8, NULL, never_local, NULL, NULL), SQLITE_OK);
    assert_int_equal(schema_init(s->db, &s->error), SATCHEL_OK);
}

static void close_side(side *s) {
    buf_fini(&s->error);
    assert_int_equal(sqlite3_close(s->db), SQLITE_OK);
}

static const char *words(side *s) {
    return s->error.n ? (const char *)s->error.p : "";
}

static int migrate(side *s, uint32_t epoch, const char *sql) {
    char name[32];
    snprintf(name, sizeof name, "%03u.sql", epoch);
    buf_clear(&s->error);
    return schema_migrate(s->db, s->side, epoch, name, sql, &s->error);
}

static void must(side *s, uint32_t epoch, const char *sql) {
    int rc = migrate(s, epoch, sql);
    if (rc) fail_msg("%s: %s", satchel_rc_name(rc), words(s));
}

static schema *load(side *s) {
    schema *out = NULL;
    int rc = schema_load(s->db, &out, &s->error);
    if (rc) fail_msg("%s: %s", satchel_rc_name(rc), words(s));
    return out;
}

static void exec(side *s, const char *sql) {
    char *message = NULL;
    if (sqlite3_exec(s->db, sql, NULL, NULL, &message) != SQLITE_OK) fail_msg("%s: %s", sql, message);
}

static int64_t number(side *s, const char *sql) {
    sqlite3_stmt *st = NULL;
    assert_int_equal(sqlite3_prepare_v2(s->db, sql, -1, &st, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    int64_t n = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    return n;
}

static const schema_column *column(const schema *s, const char *table, const char *name) {
    const schema_table *t = schema_table_by_name(s, table);
    assert_non_null(t);
    for (unsigned i = 0; i < t->ncol; i++)
        if (!strcmp(t->col[i]->name, name)) return t->col[i];
    fail_msg("no column %s.%s", table, name);
    return NULL;
}

/* Runs `sql` on both sides and expects the same refusal at "name:LINE:" with `text` in it, and nothing left behind. */
static void refused_after(const char *before, const char *sql, int code, unsigned line, const char *text) {
    for (int which = SCHEMA_REPLICA; which <= SCHEMA_SERVER; which++) {
        side s;
        open_side(&s, (schema_side)which);
        uint32_t epoch = 1;
        if (before) must(&s, epoch++, before);
        int64_t objects = number(&s, "SELECT count(*) FROM sqlite_schema");
        int rc = migrate(&s, epoch, sql);
        char where[32];
        snprintf(where, sizeof where, "%03u.sql:%u: ", epoch, line);
        if (rc != code || strncmp(words(&s), where, strlen(where)) || !strstr(words(&s), text))
            fail_msg("side %d: wanted %s at %s with '%s', got %s: %s", which, satchel_rc_name(code), where, text,
                     satchel_rc_name(rc), words(&s));
        assert_int_equal(number(&s, "SELECT count(*) FROM sqlite_schema"), objects);
        assert_int_equal(number(&s, "SELECT count(*) FROM satchel_migration"), epoch - 1);
        assert_true(sqlite3_get_autocommit(s.db));
        close_side(&s);
    }
}

static void refused(const char *sql, int code, unsigned line, const char *text) {
    refused_after(NULL, sql, code, line, text);
}

/* ---- the descriptor ---- */

static void schema_load_of_nothing_is_epoch_0(void **state) {
    (void)state;
    side s;
    open_side(&s, SCHEMA_REPLICA);
    schema *d = load(&s);
    assert_int_equal(d->epoch, 0);
    assert_int_equal(d->ntable, 0);
    schema_free(d);
    assert_int_equal(schema_init(s.db, &s.error), SATCHEL_OK);
    close_side(&s);
}

static void schema_migrate_describes_tables_columns_and_rules(void **state) {
    (void)state;
    side s;
    open_side(&s, SCHEMA_SERVER);
    must(
        &s, 1,
        "CREATE TABLE move(a TEXT, b TEXT, PRIMARY KEY(a, b)) WITHOUT ROWID;\n"
        "INSERT INTO satchel_table(name, mode) VALUES('move', 'server');\n"
        "CREATE TABLE deal(id BLOB PRIMARY KEY, amount INT, currency VARCHAR(3), state TEXT NOT NULL DEFAULT 'new', body TEXT,\n"
        "  copy_of BLOB, visits INTEGER DEFAULT (1 + 1), share REAL DEFAULT 1, price DECIMAL DEFAULT '7', raw, made TEXT DEFAULT CURRENT_TIMESTAMP,\n"
        "  word TEXT DEFAULT \"x\", neg INT DEFAULT -5, bin BLOB DEFAULT x'0102', code TEXT DEFAULT 12);\n"
        "INSERT INTO satchel_table(name, mode, wins, key) VALUES('deal', 'rows', 'delete', 'natural');\n"
        "INSERT INTO satchel_rule(tbl, col, rule) VALUES('deal', 'amount', 'group:money'), ('deal', 'currency', 'group:money'),\n"
        "  ('deal', 'state', 'guard:move'), ('deal', 'body', 'keep:copy_of'), ('deal', 'copy_of', 'first'), ('deal', 'visits', 'counter'),\n"
        "  ('deal', 'share', 'max'), ('deal', 'price', 'min'), ('deal', 'raw', 'strict'), ('deal', 'made', 'server');\n");
    schema *d = load(&s);
    assert_int_equal(d->epoch, 1);
    assert_int_equal(d->ntable, 2);
    const schema_table *move = schema_table_by_name(d, "move"), *deal = schema_table_by_name(d, "deal");
    assert_int_equal(move->id, 1);
    assert_int_equal(move->mode, MODE_SERVER);
    assert_true(move->without_rowid);
    assert_int_equal(move->nkey, 2);
    assert_string_equal(move->key[1]->name, "b");
    assert_int_equal(deal->id, 2);
    assert_int_equal(deal->wins, WINS_DELETE);
    assert_true(deal->natural);
    assert_int_equal(deal->ncol, 15);
    static const struct {
        const char *name;
        affinity affinity;
        merge_rule rule;
        const char *arg;
    } expected[] = {{"id", AFFINITY_BLOB, RULE_LWW, NULL},
                    {"amount", AFFINITY_INTEGER, RULE_GROUP, "money"},
                    {"currency", AFFINITY_TEXT, RULE_GROUP, "money"},
                    {"state", AFFINITY_TEXT, RULE_GUARD, "move"},
                    {"body", AFFINITY_TEXT, RULE_KEEP, "copy_of"},
                    {"copy_of", AFFINITY_BLOB, RULE_FIRST, NULL},
                    {"visits", AFFINITY_INTEGER, RULE_COUNTER, NULL},
                    {"share", AFFINITY_REAL, RULE_MAX, NULL},
                    {"price", AFFINITY_NUMERIC, RULE_MIN, NULL},
                    {"raw", AFFINITY_ANY, RULE_STRICT, NULL},
                    {"made", AFFINITY_TEXT, RULE_SERVER, NULL}};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        const schema_column *c = deal->col[i];
        assert_string_equal(c->name, expected[i].name);
        assert_int_equal(c->id, i + 1);
        assert_int_equal(c->affinity, expected[i].affinity);
        assert_int_equal(c->rule, expected[i].rule);
        if (expected[i].arg) assert_string_equal(c->arg, expected[i].arg);
        assert_int_equal(c->unit, i == 2 ? 2 : i + 1);
    }
    assert_true(column(d, "deal", "state")->not_null);
    schema_free(d);
    close_side(&s);
}

static void expect_default(const schema *d, const char *name, value expected) {
    const schema_column *c = column(d, "t", name);
    if (!value_equal(&c->default_value, &expected)) fail_msg("default of %s has type %d", name, c->default_value.type);
}

static void schema_load_evaluates_defaults_with_affinity(void **state) {
    (void)state;
    side s;
    open_side(&s, SCHEMA_REPLICA);
    must(
        &s, 1,
        "CREATE TABLE t(id BLOB PRIMARY KEY, a INT DEFAULT (1 + 1), b REAL DEFAULT 1, c DECIMAL DEFAULT '7', d TEXT DEFAULT 12,"
        " e TEXT DEFAULT \"word\", f INT DEFAULT -5, g BLOB DEFAULT x'0102', h TEXT DEFAULT CURRENT_TIMESTAMP, i DEFAULT '7', j TEXT DEFAULT '',"
        " k INT DEFAULT true, l TEXT DEFAULT (lower('A')));"
        "INSERT INTO satchel_table(name) VALUES('t');");
    schema *d = load(&s);
    expect_default(d, "id", value_null());
    expect_default(d, "a", value_integer(2));
    expect_default(d, "b", value_real(1));
    expect_default(d, "c", value_integer(7));
    expect_default(d, "d", value_text("12", 2));
    expect_default(d, "e", value_text("word", 4));
    expect_default(d, "f", value_integer(-5));
    expect_default(d, "g", value_blob("\1\2", 2));
    expect_default(d, "h", value_null());
    expect_default(d, "i", value_text("7", 1));
    expect_default(d, "j", value_text("", 0));
    expect_default(d, "k", value_integer(1));
    expect_default(d, "l", value_null());
    schema_free(d);
    close_side(&s);
}

static void schema_takes_follows_affinity(void **state) {
    (void)state;
    schema_column c = {0};
    value i = value_integer(1), r = value_real(1), t = value_text("a", 1), b = value_blob("a", 1), n = value_null();
    static const struct {
        affinity affinity;
        bool i, r, t, b;
    } takes[] = {{AFFINITY_ANY, 1, 1, 1, 1},  {AFFINITY_INTEGER, 1, 0, 0, 0}, {AFFINITY_REAL, 1, 1, 0, 0},
                 {AFFINITY_TEXT, 0, 0, 1, 0}, {AFFINITY_BLOB, 0, 0, 0, 1},    {AFFINITY_NUMERIC, 1, 1, 0, 0}};
    for (size_t k = 0; k < sizeof takes / sizeof *takes; k++) {
        c.affinity = takes[k].affinity;
        assert_int_equal(schema_takes(&c, &i), takes[k].i);
        assert_int_equal(schema_takes(&c, &r), takes[k].r);
        assert_int_equal(schema_takes(&c, &t), takes[k].t);
        assert_int_equal(schema_takes(&c, &b), takes[k].b);
        assert_true(schema_takes(&c, &n));
    }
}

static void schema_takes_dates_in_numeric_columns_that_are_no_counters(void **state) {
    (void)state;
    static const char *const DATES[] = {"2026-12-31", "2026-12-31 23:59:59.5", "2026-12-31T23:59Z"};
    static const char *const OTHERS[] = {"", "20261231", "2026-12-3", "2026-12-311", "2026/12/31", "12.5", "31-12-2026"};
    schema_column c = {.affinity = AFFINITY_NUMERIC};
    value v;
    for (size_t i = 0; i < sizeof DATES / sizeof *DATES; i++) {
        v = value_text(DATES[i], strlen(DATES[i]));
        c.rule = RULE_LWW;
        assert_true(schema_takes(&c, &v));
        c.rule = RULE_COUNTER;
        assert_false(schema_takes(&c, &v));
    }
    c.rule = RULE_LWW;
    for (size_t i = 0; i < sizeof OTHERS / sizeof *OTHERS; i++) {
        v = value_text(OTHERS[i], strlen(OTHERS[i]));
        assert_false(schema_takes(&c, &v));
    }
}

/* ---- ids ---- */

static void schema_migrate_rename_keeps_ids_and_rules_P1(void **state) {
    (void)state;
    side s;
    open_side(&s, SCHEMA_SERVER);
    must(&s, 1,
         "CREATE TABLE move(a TEXT PRIMARY KEY, b TEXT);\n"
         "CREATE TABLE note(id BLOB PRIMARY KEY, body TEXT, copy_of BLOB, state TEXT);\n"
         "INSERT INTO satchel_table(name) VALUES('note');\n"
         "INSERT INTO satchel_rule VALUES('note', 'body', 'keep:copy_of'), ('note', 'state', 'guard:move');\n");
    must(&s, 2,
         "ALTER TABLE note RENAME TO memo;\nALTER TABLE memo RENAME COLUMN copy_of TO original;\n"
         "ALTER TABLE memo RENAME COLUMN body TO words;\nALTER TABLE move RENAME TO step;\n");
    must(&s, 3, "INSERT INTO satchel_rule VALUES('memo', 'original', 'first');\n");
    schema *d = load(&s);
    assert_null(schema_table_by_name(d, "note"));
    assert_int_equal(schema_table_by_name(d, "memo")->id, 1);
    assert_int_equal(column(d, "memo", "words")->id, 2);
    assert_int_equal(column(d, "memo", "words")->rule, RULE_KEEP);
    assert_string_equal(column(d, "memo", "words")->arg, "original");
    assert_int_equal(column(d, "memo", "original")->id, 3);
    assert_int_equal(column(d, "memo", "original")->rule, RULE_FIRST);
    assert_string_equal(column(d, "memo", "state")->arg, "step");
    schema_free(d);
    close_side(&s);
}

static void schema_migrate_drop_and_add_gives_new_ids_P1(void **state) {
    (void)state;
    side s;
    open_side(&s, SCHEMA_REPLICA);
    must(&s, 1, CONTACT "INSERT INTO satchel_rule VALUES('contact', 'given', 'first');\n");
    must(&s, 2, "ALTER TABLE contact DROP COLUMN given;\nALTER TABLE contact ADD COLUMN given TEXT;\n");
    must(&s, 3, "DROP TABLE contact;\n" CONTACT);
    schema *d = load(&s);
    const schema_table *old = schema_table_by_id(d, 1), *now = schema_table_by_name(d, "contact");
    assert_int_equal(now->id, 2);
    assert_int_equal(old->until, 3);
    assert_int_equal(old->nall, 5);
    assert_string_equal(schema_column_by_id(old, 2)->name, "given");
    assert_int_equal(schema_column_by_id(old, 2)->until, 2);
    assert_int_equal(schema_column_by_id(old, 2)->rule, RULE_FIRST);
    assert_string_equal(schema_column_by_id(old, 5)->name, "given");
    assert_int_equal(schema_column_by_id(old, 5)->since, 2);
    assert_int_equal(schema_column_by_id(old, 5)->until, 3);
    assert_int_equal(schema_column_by_id(old, 5)->rule, RULE_LWW);
    assert_null(schema_column_by_id(old, 6));
    assert_null(schema_table_by_id(d, 3));
    schema_free(d);
    close_side(&s);
}

static void schema_layout_gives_each_epochs_columns_P1(void **state) {
    (void)state;
    side s;
    const schema_column *out[LIMIT_COLUMNS];
    open_side(&s, SCHEMA_SERVER);
    must(&s, 1, CONTACT);
    must(&s, 2, "ALTER TABLE contact ADD COLUMN city TEXT;\nALTER TABLE contact DROP COLUMN given;\n");
    must(&s, 3, "ALTER TABLE contact DROP COLUMN city;\nALTER TABLE contact ADD COLUMN given TEXT;\n");
    must(&s, 4, "DROP TABLE contact;\n");
    schema *d = load(&s);
    const schema_table *t = schema_table_by_id(d, 1);
    static const uint32_t ids[][5] = {{0}, {1, 2, 3, 4}, {1, 3, 4, 5}, {1, 3, 4, 6}, {0}};
    for (uint32_t epoch = 0; epoch <= 4; epoch++) {
        unsigned n = schema_layout(t, epoch, out), expected = epoch == 0 || epoch == 4 ? 0 : 4;
        assert_int_equal(n, expected);
        for (unsigned i = 0; i < n; i++) assert_int_equal(out[i]->id, ids[epoch][i]);
    }
    assert_int_equal(t->ncol, 0);
    schema_free(d);
    close_side(&s);
}

static const char *const STORY[] = {
    ("CREATE TABLE a(x TEXT, y INTEGER, z TEXT, n INTEGER DEFAULT 3, PRIMARY KEY(y, x)) WITHOUT ROWID;\n"
     "CREATE UNIQUE INDEX a_z ON a(z);\nINSERT INTO satchel_table(name, key) VALUES('a', 'natural');\n"
     "CREATE TABLE notes(id INTEGER PRIMARY KEY AUTOINCREMENT, word TEXT UNIQUE COLLATE NOCASE);\n"),
    ("CREATE TABLE b(id TEXT PRIMARY KEY, f TEXT, g TEXT, h TEXT GENERATED ALWAYS AS (f || g) STORED, i TEXT);\n"
     "INSERT INTO satchel_table(name) VALUES('b');\nINSERT INTO satchel_rule VALUES('b', 'f', 'group:q'), ('b', 'g', 'group:q');\n"),
    "ALTER TABLE b DROP COLUMN i;\nALTER TABLE b ADD COLUMN j REAL DEFAULT 2;\nALTER TABLE a RENAME COLUMN z TO zz;\n",
};

static void expect_same_columns(const schema_table *x, const schema_table *y) {
    assert_int_equal(x->nall, y->nall);
    for (unsigned i = 0; i < x->nall; i++) {
        const schema_column *a = &x->all[i], *b = &y->all[i];
        assert_string_equal(a->name, b->name);
        assert_int_equal(a->id, b->id);
        assert_int_equal(a->unit, b->unit);
        assert_int_equal(a->key, b->key);
        assert_int_equal(a->rule, b->rule);
        assert_int_equal(a->affinity, b->affinity);
        assert_int_equal(a->since, b->since);
        assert_int_equal(a->until, b->until);
        assert_true(value_equal(&a->default_value, &b->default_value));
    }
}

static void schema_migrate_gives_both_sides_one_descriptor_and_hash(void **state) {
    (void)state;
    side s[2];
    schema *d[2];
    for (int i = 0; i < 2; i++) {
        open_side(&s[i], (schema_side)i);
        for (uint32_t e = 1; e <= 3; e++) must(&s[i], e, STORY[e - 1]);
        d[i] = load(&s[i]);
    }
    assert_int_equal(d[0]->ntable, 2);
    assert_int_equal(d[1]->ntable, 2);
    for (unsigned i = 0; i < 2; i++) expect_same_columns(&d[0]->table[i], &d[1]->table[i]);
    assert_memory_equal(d[0]->hash, d[1]->hash, sizeof d[0]->hash);
    buf text;
    uint8_t hash[32];
    buf_init(&text, 0);
    for (int e = 0; e < 3; e++) buf_put(&text, STORY[e], strlen(STORY[e]) + 1);
    crypto_sha256(text.p, text.n, hash);
    assert_memory_equal(d[0]->hash, hash, sizeof d[0]->hash);
    buf_fini(&text);
    for (int i = 0; i < 2; i++) {
        schema_free(d[i]);
        close_side(&s[i]);
    }
}

static void schema_migrate_composite_keys_keep_their_order_C9(void **state) {
    (void)state;
    side s;
    open_side(&s, SCHEMA_REPLICA);
    must(&s, 1, STORY[0]);
    schema *d = load(&s);
    const schema_table *a = schema_table_by_name(d, "a");
    assert_int_equal(a->nkey, 2);
    assert_string_equal(a->key[0]->name, "y");
    assert_string_equal(a->key[1]->name, "x");
    assert_int_equal(column(d, "a", "x")->key, 2);
    assert_int_equal(column(d, "a", "z")->key, 0);
    assert_true(a->without_rowid);
    assert_true(a->natural);
    schema_free(d);
    close_side(&s);
}

static void schema_migrate_leaves_stored_generated_columns_out_C4(void **state) {
    (void)state;
    side s;
    open_side(&s, SCHEMA_SERVER);
    must(&s, 1, STORY[0]);
    must(&s, 2, STORY[1]);
    schema *d = load(&s);
    assert_int_equal(schema_table_by_name(d, "b")->ncol, 4);
    assert_string_equal(schema_table_by_name(d, "b")->col[3]->name, "i");
    assert_int_equal(schema_table_by_name(d, "b")->col[3]->id, 4);
    schema_free(d);
    close_side(&s);
}

static void schema_group_keeps_its_unit_when_its_first_column_goes(void **state) {
    (void)state;
    side s;
    open_side(&s, SCHEMA_SERVER);
    must(&s, 1,
         CONTACT "INSERT INTO satchel_rule VALUES('contact', 'given', 'group:name'), ('contact', 'family', 'group:name');\n");
    must(&s, 2,
         "ALTER TABLE contact DROP COLUMN given;\nALTER TABLE contact ADD COLUMN title TEXT;\n"
         "INSERT INTO satchel_rule VALUES('contact', 'title', 'group:name');\n");
    schema *d = load(&s);
    assert_int_equal(column(d, "contact", "family")->unit, 2);
    assert_int_equal(column(d, "contact", "title")->unit, 2);
    schema_free(d);
    close_side(&s);
}

/* ---- what the two sides do differently ---- */

static void schema_migrate_server_adds_the_clock_that_never_counts(void **state) {
    (void)state;
    side s;
    open_side(&s, SCHEMA_SERVER);
    must(&s, 1, CONTACT);
    assert_int_equal(number(&s, "SELECT cid FROM pragma_table_info('contact') WHERE name = 'satchel_clock'"), 4);
    must(&s, 2, "ALTER TABLE contact ADD COLUMN city TEXT;\n");
    schema *d = load(&s);
    assert_int_equal(schema_table_by_name(d, "contact")->ncol, 5);
    assert_int_equal(column(d, "contact", "city")->id, 5);
    schema_free(d);
    assert_int_equal(migrate(&s, 3, "ALTER TABLE contact DROP COLUMN satchel_clock;\n"), SATCHEL_E_TABLE_SHAPE);
    close_side(&s);
}

static void schema_migrate_unique_index_is_plain_on_a_replica_C10(void **state) {
    (void)state;
    static const char SQL[] = "CREATE TABLE t(id BLOB PRIMARY KEY, code TEXT);\nINSERT INTO satchel_table(name) VALUES('t');\n"
                              "/* codes */ create -- so\n  unique\n INDEX t_code ON t(code);\n";
    side s[2];
    for (int i = 0; i < 2; i++) {
        open_side(&s[i], (schema_side)i);
        must(&s[i], 1, SQL);
        assert_int_equal(number(&s[i], "SELECT \"unique\" FROM pragma_index_list('t') WHERE name = 't_code'"),
                         i == SCHEMA_SERVER);
        buf name, sql;
        buf_init(&name, 0);
        buf_init(&sql, 0);
        assert_int_equal(schema_migration(s[i].db, 1, &name, &sql), SATCHEL_OK);
        assert_int_equal(sql.n, sizeof SQL - 1);
        assert_memory_equal(sql.p, SQL, sql.n);
        assert_memory_equal(name.p, "001.sql", name.n);
        assert_int_equal(schema_migration(s[i].db, 2, &name, &sql), SATCHEL_E_NOT_FOUND);
        buf_fini(&name);
        buf_fini(&sql);
        close_side(&s[i]);
    }
}

/* ---- beside the synced tables ---- */

static void schema_migrate_fts5_and_local_tables_stay_local(void **state) {
    (void)state;
    side s;
    open_side(&s, SCHEMA_REPLICA);
    must(&s, 1,
         CONTACT
         "CREATE VIRTUAL TABLE contact_fts USING fts5(given, family);\n"
         "CREATE TRIGGER contact_fts_i AFTER INSERT ON contact WHEN satchel_local() IN (0, 1) BEGIN\n"
         "  INSERT INTO contact_fts(rowid, given, family) VALUES(new.rowid, new.given, new.family); END;\n"
         "CREATE TABLE setting(k TEXT UNIQUE, v);\nCREATE VIEW people AS SELECT given || ' ' || family AS name FROM contact;\n");
    exec(&s, "INSERT INTO contact(id, given, family) VALUES(x'01', 'Ada', 'Byron')");
    assert_int_equal(number(&s, "SELECT count(*) FROM contact_fts('ada')"), 1);
    must(&s, 2,
         "ALTER TABLE contact_fts RENAME TO people_fts;\nDROP TABLE people_fts;\nDROP TABLE setting;\nDROP VIEW people;\n"
         "DROP TRIGGER contact_fts_i;\n");
    schema *d = load(&s);
    assert_int_equal(d->ntable, 1);
    assert_int_equal(number(&s, "SELECT count(*) FROM sqlite_schema WHERE name LIKE '%fts%'"), 0);
    schema_free(d);
    close_side(&s);
}

static void ignore_rows(void *ctx, sqlite3 *db, int op, const char *database, const char *table, sqlite3_int64 from,
                        sqlite3_int64 to) {
    (void)database, (void)table, (void)from, (void)to;
    sqlite3_value *old = NULL, *new = NULL;
    if (op != SQLITE_UPDATE) return;
    int last = sqlite3_preupdate_count(db) - 1;
    sqlite3_preupdate_old(db, last, &old);
    sqlite3_preupdate_new(db, last, &new);
    *(bool *)ctx = sqlite3_value_type(old) == sqlite3_value_type(new);
}

static void schema_migrate_rewrites_rows_after_add_column_with_default_C5(void **state) {
    (void)state;
    side s;
    bool same = false;
    open_side(&s, SCHEMA_REPLICA);
    must(&s, 1, CONTACT);
    exec(&s, "INSERT INTO contact(id, given) VALUES(x'01', 'Ada')");
    must(&s, 2, "ALTER TABLE contact ADD COLUMN state TEXT NOT NULL DEFAULT 'new';\n");
    sqlite3_preupdate_hook(s.db, ignore_rows, &same);
    exec(&s, "UPDATE contact SET given = 'Eve'");
    assert_true(same);
    close_side(&s);
}

/* ---- refusals ---- */

static void schema_migrate_out_of_order_is_refused(void **state) {
    (void)state;
    side s;
    open_side(&s, SCHEMA_SERVER);
    assert_int_equal(migrate(&s, 2, CONTACT), SATCHEL_E_SCHEMA);
    must(&s, 1, CONTACT);
    assert_int_equal(migrate(&s, 1, CONTACT), SATCHEL_E_SCHEMA);
    assert_non_null(strstr(words(&s), "001.sql:1: "));
    close_side(&s);
}

static void schema_migrate_failure_leaves_nothing(void **state) {
    (void)state;
    side s;
    open_side(&s, SCHEMA_SERVER);
    exec(&s, "BEGIN; CREATE TABLE mine(x); INSERT INTO mine VALUES(1)");
    assert_int_equal(migrate(&s, 1, CONTACT "\nCREATE TABLE oops(;\n"), SATCHEL_E_MIGRATION);
    assert_non_null(strstr(words(&s), "001.sql:4: "));
    exec(&s, "COMMIT");
    assert_int_equal(number(&s, "SELECT count(*) FROM mine"), 1);
    assert_int_equal(number(&s, "SELECT count(*) FROM sqlite_schema WHERE name = 'contact'"), 0);
    assert_int_equal(number(&s, "SELECT count(*) FROM satchel_table"), 0);
    must(&s, 1, CONTACT);
    close_side(&s);
}

static void schema_migrate_names_the_line_of_a_syntax_error(void **state) {
    (void)state;
    refused("-- one\n\n/* two\n*/ CREATE TABLE t(a,\n b,\n c d e f g, h,);\n", SATCHEL_E_MIGRATION, 6, "syntax error");
    refused("CREATE INDEX i ON nowhere(x);", SATCHEL_E_MIGRATION, 1, "nowhere");
    refused("CREATE TABLE t(a);\n\nCREATE TABLE t(a);\n", SATCHEL_E_MIGRATION, 3, "already exists");
}

static void schema_migrate_data_statements_are_refused(void **state) {
    (void)state;
    static const char *const bad[] = {
        "INSERT INTO contact(id) VALUES(x'01')",
        "INSERT OR REPLACE INTO contact(id) VALUES(x'01')",
        "UPDATE contact SET given = 'x'",
        "DELETE FROM contact",
        "DELETE FROM satchel_table",
        "UPDATE satchel_rule SET rule = 'max'",
        "INSERT INTO satchel_rule VALUES('contact', 'given', 'max') ON CONFLICT DO UPDATE SET rule = 'min'",
        "INSERT INTO satchel_column VALUES(1, 9, 'x', 1, 2, 1, 1, 1, 1, 1)",
        "INSERT INTO satchel_migration VALUES(7, 'x', 'y', x'00')",
        "REPLACE INTO satchel_table(name) VALUES('contact')",
        "WITH x AS (SELECT 1) INSERT INTO contact(id) SELECT * FROM x",
        "SELECT 1",
        "VALUES(1)",
        "PRAGMA foreign_keys = ON",
        "ATTACH ':memory:' AS other",
        "BEGIN",
        ("\xef\xbb\xbf"
         "BEGIN"),
        "COMMIT",
        "ROLLBACK",
        "SAVEPOINT x",
        "RELEASE satchel_migrate",
        "VACUUM",
        "ANALYZE",
        "REINDEX",
        "EXPLAIN CREATE TABLE x(a)",
        "CREATE TEMP TABLE t(a)",
        "CREATE TEMP VIEW v AS SELECT 1",
        "CREATE TABLE temp.t(a)",
        "CREATE TABLE satchel_mine(a)",
        "CREATE INDEX satchel_i ON contact(given)",
        "CREATE VIEW satchel_v AS SELECT 1",
        "CREATE TRIGGER satchel_t AFTER INSERT ON contact BEGIN SELECT 1; END",
        "CREATE INDEX i ON satchel_rule(rule)",
        "CREATE TRIGGER t AFTER INSERT ON satchel_rule BEGIN SELECT 1; END",
        "DROP TABLE satchel_rule",
        "ALTER TABLE satchel_rule ADD COLUMN x",
        "ALTER TABLE contact RENAME TO satchel_contact",
        "INSERT INTO satchel_rule VALUES('contact', 'given', ?1)",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char sql[256];
        snprintf(sql, sizeof sql, "CREATE TABLE other(a);\n%s;\n", bad[i]);
        refused_after(CONTACT, sql, SATCHEL_E_MIGRATION, 2, "");
    }
}

/* What an editor puts before a text, and what SQLite passes over before any word. */
static void C10_schema_migrate_passes_over_marks_of_byte_order_as_sqlite_does(void **state) {
    (void)state;
    for (int which = SCHEMA_REPLICA; which <= SCHEMA_SERVER; which++) {
        side s;
        open_side(&s, (schema_side)which);
        must(&s, 1,
             "\xef\xbb\xbf"
             "CREATE TABLE t(a PRIMARY KEY, b);\n\xef\xbb\xbf CREATE \xef\xbb\xbf"
             "UNIQUE INDEX t_b ON t(b);\n\xef\xbb\xbf");
        assert_int_equal(number(&s, "SELECT \"unique\" FROM pragma_index_list('t') WHERE name='t_b'"), which == SCHEMA_SERVER);
        close_side(&s);
    }
}

static void schema_migrate_table_shapes_are_refused_C4_C9_C10(void **state) {
    (void)state;
    static const struct {
        const char *table, *text;
    } bad[] = {
        {"CREATE TABLE t(a, b)", "no primary key"},
        {"CREATE TABLE t(a TEXT COLLATE NOCASE PRIMARY KEY, b)", "BINARY"},
        {"CREATE TABLE t(a TEXT, b, PRIMARY KEY(a COLLATE NOCASE))", "BINARY"},
        {"CREATE TABLE t(a TEXT, b, PRIMARY KEY(a COLLATE RTRIM)) WITHOUT ROWID", "BINARY"},
        {"CREATE TABLE t(a TEXT PRIMARY KEY, b TEXT COLLATE NOCASE)", "column b"},
        {"CREATE TABLE t(a INTEGER PRIMARY KEY AUTOINCREMENT, b)", "AUTOINCREMENT"},
        {"CREATE TABLE t(a INTEGER PRIMARY KEY, b UNIQUE)", "CREATE UNIQUE INDEX"},
        {"CREATE TABLE t(a INTEGER PRIMARY KEY, b, c, UNIQUE(b, c))", "CREATE UNIQUE INDEX"},
        {"CREATE TABLE t(a INTEGER PRIMARY KEY, b AS (a + 1))", "virtual generated"},
        {"CREATE TABLE t(a INTEGER PRIMARY KEY, satchel_x)", "satchel_"},
        {"CREATE TABLE t(a INTEGER PRIMARY KEY, satchel_clock BLOB)", "satchel_clock"},
        {"CREATE VIRTUAL TABLE t USING fts5(a)", "ordinary tables"},
        {"CREATE TABLE t(a PRIMARY KEY); CREATE TRIGGER u AFTER INSERT ON T BEGIN DELETE FROM t; END", "satchel_local()"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char sql[512];
        snprintf(sql, sizeof sql, "CREATE TABLE other(a);\n\n%s;\nINSERT INTO satchel_table(name) VALUES('t');\n", bad[i].table);
        refused(sql, SATCHEL_E_TABLE_SHAPE, 3, bad[i].text);
    }
    refused_after(CONTACT, "\nALTER TABLE contact ADD COLUMN x TEXT COLLATE NOCASE;", SATCHEL_E_TABLE_SHAPE, 2, "BINARY");
    refused_after(CONTACT, "\nALTER TABLE contact ADD COLUMN x AS (1);", SATCHEL_E_TABLE_SHAPE, 2, "virtual generated");
    refused_after(CONTACT, "\nALTER TABLE contact RENAME COLUMN given TO satchel_given;", SATCHEL_E_TABLE_SHAPE, 2, "satchel_");
    refused_after(CONTACT, "\nCREATE TRIGGER u AFTER INSERT ON Contact BEGIN SELECT 1; END;", SATCHEL_E_TABLE_SHAPE, 2,
                  "satchel_local()");
}

static void schema_migrate_declarations_are_checked(void **state) {
    (void)state;
    static const struct {
        const char *sql, *text;
    } bad[] = {
        {"INSERT INTO satchel_table(name) VALUES('nowhere')", "no such table"},
        {"INSERT INTO satchel_table(name) VALUES('contact')", "declared already"},
        {"INSERT INTO satchel_table(name) VALUES('local')", "local table before"},
        {"INSERT INTO satchel_table(name, mode) VALUES('t', 'append-only')", "mode is"},
        {"INSERT INTO satchel_table(name, wins) VALUES('t', 'both')", "wins is"},
        {"INSERT INTO satchel_table(name, key) VALUES('t', 'random')", "key is"},
        {"INSERT INTO satchel_table(name, id) VALUES('t', 9)", "given by Satchel"},
        {"INSERT INTO satchel_table(name, until) VALUES('t', 9)", "given by Satchel"},
        {"INSERT OR REPLACE INTO satchel_table(name, id) VALUES('t', 1)", ""},
        {"INSERT INTO satchel_table(title) VALUES('t')", "title"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char sql[256];
        snprintf(sql, sizeof sql, "CREATE TABLE t(a INTEGER PRIMARY KEY, b);\n%s;\n", bad[i].sql);
        refused_after("CREATE TABLE local(a PRIMARY KEY);" CONTACT, sql, SATCHEL_E_MIGRATION, 2, bad[i].text);
    }
}

static void schema_migrate_later_declaration_makes_a_key_natural_and_nothing_else(void **state) {
    (void)state;
    for (int at = 0; at < 2; at++) {
        side s;
        open_side(&s, at ? SCHEMA_REPLICA : SCHEMA_SERVER);
        must(&s, 1, CONTACT);
        must(&s, 2,
             "INSERT INTO satchel_table(name, key) VALUES('contact', 'natural');\n"
             "CREATE TABLE t(a INTEGER PRIMARY KEY);\nINSERT INTO satchel_table(name, mode) VALUES('t', 'append');\n");
        schema *d = load(&s);
        assert_int_equal(d->ntable, 2);
        assert_int_equal(schema_table_by_name(d, "contact")->id, 1);
        assert_true(schema_table_by_name(d, "contact")->natural);
        assert_int_equal(schema_table_by_name(d, "t")->id, 2);
        assert_false(schema_table_by_name(d, "t")->natural);
        schema_free(d);
        close_side(&s);
    }
    refused_after(CONTACT, "\nINSERT INTO satchel_table(name, key) VALUES('contact', 'unique');", SATCHEL_E_MIGRATION, 2,
                  "declared already");
    refused_after(CONTACT, "\nINSERT INTO satchel_table(name, mode, key) VALUES('contact', 'append', 'natural');",
                  SATCHEL_E_MIGRATION, 2, "declared already");
    refused_after(CONTACT, "\nINSERT INTO satchel_table(name, wins, key) VALUES('contact', 'delete', 'natural');",
                  SATCHEL_E_MIGRATION, 2, "declared already");
}

static void schema_migrate_rules_are_checked(void **state) {
    (void)state;
    static const struct {
        const char *values, *text;
    } bad[] = {
        {"'contact', 'given', 'best'", "unknown"},
        {"'contact', 'given', 'group'", "unknown"},
        {"'contact', 'given', 'group:'", "unknown"},
        {"'contact', 'given', 'max:3'", "unknown"},
        {"'contact', 'given', 'bounded'", "not there yet"},
        {"'nowhere', 'given', 'max'", "no such synced table"},
        {"'local', 'a', 'max'", "no such synced table"},
        {"'contact', 'nowhere', 'max'", "no such column"},
        {"'contact', 'id', 'max'", "primary key"},
        {"'contact', 'id', 'lww'", "primary key"},
        {"'contact', 'given', 'guard:nowhere'", "allowed moves"},
        {"'contact', 'given', 'guard:one'", "two columns"},
        {"'contact', 'given', 'keep:nowhere'", "another column"},
        {"'contact', 'given', 'keep:given'", "another column"},
        {"'contact', 'given', 'keep:id'", "another column"},
        {"'pair', 'c', 'keep:d'", "one BLOB or TEXT column"},
        {"'numbered', 'b', 'keep:c'", "one BLOB or TEXT column"},
        {"'srv', 'b', 'max'", "only the server"},
        {"'contact', 'family', 'group:late'", "in the migration that makes it"},
        {"'contact', 'visits', 'counter'), ('contact', 'given', 'odd'", "contact.given"},
    };
    static const char BEFORE[] = CONTACT "CREATE TABLE local(a PRIMARY KEY);\nCREATE TABLE one(a PRIMARY KEY);\n"
                                         "CREATE TABLE pair(a TEXT, b TEXT, c TEXT, d TEXT, PRIMARY KEY(a, b));\n"
                                         "CREATE TABLE numbered(a INTEGER PRIMARY KEY, b TEXT, c INT);\n"
                                         "CREATE TABLE srv(a INTEGER PRIMARY KEY, b);\n"
                                         "INSERT INTO satchel_table(name) VALUES('pair'), ('one'), ('numbered');\n"
                                         "INSERT INTO satchel_table(name, mode) VALUES('srv', 'server');\n";
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char sql[256];
        snprintf(sql, sizeof sql, "\nINSERT INTO satchel_rule(tbl, col, rule) VALUES(%s);\n", bad[i].values);
        refused_after(BEFORE, sql, SATCHEL_E_RULE, 2, bad[i].text);
    }
}

static void schema_migrate_rules_once_given_stay(void **state) {
    (void)state;
    static const char BEFORE[] =
        CONTACT "CREATE TABLE move(a PRIMARY KEY, b);\n"
                "INSERT INTO satchel_rule VALUES('contact', 'given', 'max'), ('contact', 'family', 'guard:move');\n";
    refused_after(BEFORE, "INSERT INTO satchel_rule VALUES('contact', 'given', 'min');", SATCHEL_E_MIGRATION, 1, "UNIQUE");
    refused_after(BEFORE, "INSERT OR REPLACE INTO satchel_rule VALUES('contact', 'given', 'min');", SATCHEL_E_RULE, 1,
                  "never changed");
    refused_after(BEFORE, "\nDROP TABLE move;", SATCHEL_E_RULE, 2, "contact.family");
    refused_after(BEFORE, "\nALTER TABLE move DROP COLUMN b;", SATCHEL_E_RULE, 2, "two columns");
}

static void schema_migrate_over_a_limit_is_refused(void **state) {
    (void)state;
    size_t max = LIMIT_MIGRATION_BYTES + 8;
    char *sql = malloc(max);
    memset(sql, ' ', max);
    sql[max - 1] = 0;
    refused(sql, SATCHEL_E_MIGRATION, 1, "too large");
    int n = snprintf(sql, max, "CREATE TABLE t(c0 PRIMARY KEY");
    for (int i = 1; i <= LIMIT_COLUMNS; i++) n += snprintf(sql + n, max - (size_t)n, ", c%d", i);
    snprintf(sql + n, max - (size_t)n, ");\nINSERT INTO satchel_table(name) VALUES('t');");
    refused(sql, SATCHEL_E_TABLE_SHAPE, 1, "too many columns");
    n = snprintf(sql, max, "CREATE TABLE t(a PRIMARY KEY, ");
    memset(sql + n, 'x', LIMIT_NAME_BYTES + 1);
    snprintf(sql + n + LIMIT_NAME_BYTES + 1, 200, ");\nINSERT INTO satchel_table(name) VALUES('t');");
    refused(sql, SATCHEL_E_TABLE_SHAPE, 1, "too long");
    free(sql);
    refused("CREATE TABLE t(a PRIMARY KEY, b DEFAULT '\xff');", SATCHEL_E_MIGRATION, 1, "UTF-8");
}

/* ---- damage ---- */

static void schema_load_damaged_registry_is_corrupt(void **state) {
    (void)state;
    static const char *const damage[] = {
        "DELETE FROM satchel_migration",
        "UPDATE satchel_migration SET epoch = 7",
        "UPDATE satchel_migration SET hash = 'x'",
        "UPDATE satchel_table SET id = 5",
        "UPDATE satchel_table SET name = ''",
        "UPDATE satchel_table SET name = x'00'",
        "UPDATE satchel_table SET mode = 'x'",
        "UPDATE satchel_table SET wins = 3.5",
        "UPDATE satchel_table SET since = 9",
        "UPDATE satchel_table SET since = 'x'",
        "UPDATE satchel_table SET until = 0",
        "UPDATE satchel_table SET until = -1",
        "DELETE FROM satchel_table",
        "DELETE FROM satchel_column",
        "DELETE FROM satchel_column WHERE id = 2",
        "DELETE FROM satchel_column WHERE key > 0",
        "UPDATE satchel_column SET tbl_id = -3",
        "UPDATE satchel_column SET id = id + 1000000000000",
        "UPDATE satchel_column SET name = 'same'",
        "UPDATE satchel_column SET name = zeroblob(4)",
        "UPDATE satchel_column SET name = CAST(x'fffe' AS TEXT)",
        "UPDATE satchel_column SET key = 1",
        "UPDATE satchel_column SET key = 2 WHERE key = 1",
        "UPDATE satchel_column SET key = 99",
        "UPDATE satchel_column SET affinity = 77",
        "UPDATE satchel_column SET since = 0",
        "UPDATE satchel_column SET rule = 'odd'",
        "UPDATE satchel_column SET rule = 'bounded'",
        "UPDATE satchel_column SET rule = 'keep:nowhere' WHERE key = 0",
        "UPDATE satchel_column SET rule = 'max' WHERE key = 1",
        "UPDATE satchel_column SET rule = hex(zeroblob(5000))",
        "DROP TABLE satchel_table",
        "DROP TABLE satchel_column",
        "ALTER TABLE satchel_migration RENAME COLUMN hash TO hash2",
    };
    for (size_t i = 0; i < sizeof damage / sizeof *damage; i++) {
        side s;
        schema *d = NULL;
        open_side(&s, SCHEMA_SERVER);
        must(&s, 1, CONTACT);
        exec(&s, damage[i]);
        int rc = schema_load(s.db, &d, &s.error);
        if (rc != SATCHEL_E_CORRUPT) fail_msg("%s: %s", damage[i], satchel_rc_name(rc));
        assert_null(d);
        assert_true(s.error.n > 0);
        schema_free(d);
        close_side(&s);
    }
}

static void schema_init_without_write_access_is_named(void **state) {
    (void)state;
    char path[] = "/tmp/satchel-schema-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    buf error;
    sqlite3 *db = NULL;
    buf_init(&error, 0);
    sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL);
    assert_int_equal(schema_init(db, &error), SATCHEL_E_READONLY);
    sqlite3_close(db);
    FILE *f = fdopen(fd, "w");
    for (int i = 0; i < 400; i++) fputs("this is no database ", f);
    fclose(f);
    buf_clear(&error);
    sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL);
    assert_int_equal(schema_init(db, &error), SATCHEL_E_NOT_A_DATABASE);
    sqlite3_close(db);
    buf_fini(&error);
    remove(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schema_load_of_nothing_is_epoch_0),
        cmocka_unit_test(schema_migrate_describes_tables_columns_and_rules),
        cmocka_unit_test(schema_load_evaluates_defaults_with_affinity),
        cmocka_unit_test(schema_takes_follows_affinity),
        cmocka_unit_test(schema_takes_dates_in_numeric_columns_that_are_no_counters),
        cmocka_unit_test(schema_migrate_rename_keeps_ids_and_rules_P1),
        cmocka_unit_test(schema_migrate_drop_and_add_gives_new_ids_P1),
        cmocka_unit_test(schema_layout_gives_each_epochs_columns_P1),
        cmocka_unit_test(schema_migrate_gives_both_sides_one_descriptor_and_hash),
        cmocka_unit_test(schema_migrate_composite_keys_keep_their_order_C9),
        cmocka_unit_test(schema_migrate_leaves_stored_generated_columns_out_C4),
        cmocka_unit_test(schema_group_keeps_its_unit_when_its_first_column_goes),
        cmocka_unit_test(schema_migrate_server_adds_the_clock_that_never_counts),
        cmocka_unit_test(schema_migrate_unique_index_is_plain_on_a_replica_C10),
        cmocka_unit_test(schema_migrate_fts5_and_local_tables_stay_local),
        cmocka_unit_test(schema_migrate_rewrites_rows_after_add_column_with_default_C5),
        cmocka_unit_test(schema_migrate_out_of_order_is_refused),
        cmocka_unit_test(schema_migrate_failure_leaves_nothing),
        cmocka_unit_test(schema_migrate_names_the_line_of_a_syntax_error),
        cmocka_unit_test(schema_migrate_data_statements_are_refused),
        cmocka_unit_test(C10_schema_migrate_passes_over_marks_of_byte_order_as_sqlite_does),
        cmocka_unit_test(schema_migrate_table_shapes_are_refused_C4_C9_C10),
        cmocka_unit_test(schema_migrate_declarations_are_checked),
        cmocka_unit_test(schema_migrate_later_declaration_makes_a_key_natural_and_nothing_else),
        cmocka_unit_test(schema_migrate_rules_are_checked),
        cmocka_unit_test(schema_migrate_rules_once_given_stay),
        cmocka_unit_test(schema_migrate_over_a_limit_is_refused),
        cmocka_unit_test(schema_load_damaged_registry_is_corrupt),
        cmocka_unit_test(schema_init_without_write_access_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
