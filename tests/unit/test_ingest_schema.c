/* Ingest under schemas that are unlike the others: names that need quoting, rowids that cannot be named, tables of keys alone, references of several
 * columns or to what does not sync, rules side by side; and what a damaged store says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"
#include "server/ingest_private.h"
#include "tests/support/serving.h"

#define SQL(query, expected) assert_string_equal(sql(v, query), expected)

static const char SCHEMA[] =
    "CREATE TABLE \"odd \"\"name\"(id TEXT PRIMARY KEY, _rowid_ TEXT, oid TEXT, rowid TEXT, \"a \"\"b\" TEXT);\n"
    "INSERT INTO satchel_table(name) VALUES('odd \"name');\n"
    "CREATE TABLE here(id INTEGER PRIMARY KEY, what TEXT);\n"
    "CREATE TABLE member(a TEXT, b TEXT, PRIMARY KEY(a, b)) WITHOUT ROWID;\n"
    "INSERT INTO satchel_table(name, wins) VALUES('member', 'delete');\n"
    "CREATE TABLE parent(id INTEGER PRIMARY KEY, c TEXT, d TEXT, other TEXT);\n"
    "CREATE UNIQUE INDEX parent_cd ON parent(c, d);\n"
    "INSERT INTO satchel_table(name) VALUES('parent');\n"
    "CREATE TABLE child(id INTEGER PRIMARY KEY, x TEXT, y TEXT, l INTEGER REFERENCES here, v TEXT CHECK(v <> '\xc3\xa9LONG'),\n"
    " g TEXT AS (x || y) STORED REFERENCES parent(c), FOREIGN KEY(x, y) REFERENCES parent(c, d));\n"
    "INSERT INTO satchel_table(name) VALUES('child');\n"
    "CREATE TRIGGER child_log AFTER INSERT ON child WHEN satchel_local() BEGIN INSERT INTO here(what) VALUES(new.id); END;\n"
    "CREATE TABLE group2(id INTEGER PRIMARY KEY, a1 INTEGER, b1 INTEGER, x TEXT, a2 INTEGER, b2 INTEGER, keep TEXT, title TEXT, n INTEGER DEFAULT 0);\n"
    "CREATE UNIQUE INDEX group2_title ON group2(title);\n"
    "INSERT INTO satchel_table(name) VALUES('group2');\n"
    "INSERT INTO satchel_rule(tbl, col, rule) VALUES('group2','a1','group:a'),('group2','a2','group:a'),('group2','b1','group:b'),\n"
    " ('group2','b2','group:b'),('group2','n','counter');\n"
    "CREATE TABLE memo(id TEXT PRIMARY KEY, body TEXT, title TEXT, \"of\" TEXT);\n"
    "CREATE UNIQUE INDEX memo_title ON memo(title);\n"
    "INSERT INTO satchel_table(name) VALUES('memo');\n"
    "INSERT INTO satchel_rule(tbl, col, rule) VALUES('memo','body','keep:of');\n"
    "CREATE TABLE list(name TEXT PRIMARY KEY, what TEXT);\n"
    "INSERT INTO satchel_table(name, mode) VALUES('list', 'server');\n"
    "CREATE TABLE point(id INTEGER PRIMARY KEY, kind TEXT, value TEXT, note TEXT);\n"
    "INSERT INTO satchel_table(name, key) VALUES('point', 'natural');\n"
    "INSERT INTO satchel_check(tbl, col, check_sql, code, words) VALUES\n"
    "  ('point', 'value', 'kind <> ''email'' OR value LIKE ''_%@_%''', 'EMAIL_FORM', 'no address'),\n"
    "  ('point', 'value', 'kind <> ''listed'' OR NOT EXISTS(SELECT 1 FROM list l WHERE l.name = point.value AND l.what = ''closed'')', 'OPEN', 'closed'),\n"
    "  ('memo', 'title', 'title IS NOT NULL OR NOT EXISTS(SELECT 1 FROM list l WHERE l.name = ''memo'' AND l.what = ''closed'')', 'TITLE', 'a title'),\n"
    "  ('point', 'note', 'kind <> ''json'' OR json_extract(note, ''$.n'') > 0', 'JSON_N', 'n is above 0');\n";

typedef struct pair {
    serving v;
    device phone, tablet;
    uint64_t base;
} pair;

static int setup(void **state) {
    pair *p = calloc(1, sizeof *p);
    assert_non_null(p);
    static char text[8000];
    char longer[700] = "";
    for (int i = 0; i < 300; i++) strcat(longer, "\xc3\xa9");
    const char *at = strstr(SCHEMA, "LONG");
    snprintf(text, sizeof text, "%.*s%s%s", (int)(at - SCHEMA), SCHEMA, longer, at + 4);
    serving_open(&p->v, text, NULL);
    p->phone = serving_device(&p->v, "phone");
    p->tablet = serving_device(&p->v, "tablet");
    p->base = store_where(p->v.s).seq;
    *state = p;
    return 0;
}

static int teardown(void **state) {
    pair *p = *state;
    serving_fini(&p->v);
    free(p);
    return 0;
}

static void takes(pair *p, device *d, int seconds, const char *words) {
    int rc = push(&p->v, d, p->base, seconds, words);
    if (rc) fail_msg("%s: %s %.*s", words, satchel_rc_name(rc), (int)p->v.last.result.ntext, p->v.last.result.text);
}

static void refuses(pair *p, device *d, const char *words, int code) {
    int rc = push(&p->v, d, p->base, 30, words);
    if (rc != code) fail_msg("%s: %s", words, satchel_rc_name(rc));
}

static void names_are_quoted_and_rows_found_by_key_where_no_rowid_can_be_named(void **state) {
    pair *p = *state;
    serving *v = &p->v;
    device server = {.a = {.author = 0}};
    push_txn t = make_txn(&server, 0, 0);
    const schema_table *odd = schema_table_by_name(store_schema(v->s), "odd \"name");
    char words[100];
    snprintf(words, sizeof words, "+ #%u('k') #2='r', #5='v'", odd->id);
    assert_int_equal(push_txn_raw(v, &server, &t, words), SATCHEL_OK);
    assert_int_equal(v->last.result.rc, SATCHEL_OK);
    p->base = store_where(v->s).seq;
    snprintf(words, sizeof words, "~ #%u('k') #2='moved', #5='w'", odd->id);
    takes(p, &p->phone, 0, words);
    SQL("SELECT id,_rowid_,\"a \"\"b\" FROM \"odd \"\"name\"", "k|moved|w");
}

/* A row of keys alone has one clock: whoever did not see it made cannot delete it unnoticed. */
static void row_of_keys_alone_is_deleted_by_its_own_clock(void **state) {
    pair *p = *state;
    serving *v = &p->v;
    takes(p, &p->phone, 0, "+ member('a','b'); + member('a','c')");
    p->base = store_where(v->s).seq;
    takes(p, &p->tablet, 10, "- member('a','b')");
    assert_string_equal(conflicts(v), "");
    p->base = 0;
    takes(p, &p->tablet, 20, "- member('a','c')");
    SQL("SELECT count(*) FROM member", "0");
    refuses(p, &p->tablet, "- member('a','nobody')", SATCHEL_E_ROW_MISSING);
}

static void reference_of_two_columns_holds_at_both_ends(void **state) {
    pair *p = *state;
    serving *v = &p->v;
    refuses(p, &p->phone, "+ child(1) x='c', y='d'", SATCHEL_E_FOREIGN_KEY);
    takes(p, &p->phone, 0, "+ parent(1) c='c', d='d'; + child(1) x='c', y='d'; + child(2) x='half'; + child(3) l=77");
    p->base = store_where(v->s).seq;
    refuses(p, &p->phone, "~ parent(1) c='moved'", SATCHEL_E_FOREIGN_KEY);
    refuses(p, &p->phone, "~ child(1) y='nowhere'", SATCHEL_E_FOREIGN_KEY);
    refuses(p, &p->phone, "- parent(1)", SATCHEL_E_FOREIGN_KEY);
    takes(p, &p->phone, 10, "~ parent(1) other='o'");
    takes(p, &p->phone, 11, "~ parent(1) d='e'; ~ child(1) y='e'");
    SQL("SELECT x,y,g FROM child WHERE id=1", "c|e|ce");
}

static void words_of_a_refusal_are_cut_before_a_character(void **state) {
    pair *p = *state;
    static char words[1200] = "+ child(5) v='\xc3\xa9";
    for (int i = 0; i < 300; i++) strcat(words, "\xc3\xa9");
    strcat(words, "'");
    refuses(p, &p->phone, words, SATCHEL_E_CHECK);
    const msg_result *r = &p->v.last.result;
    assert_true(r->ntext <= LIMIT_TEXT_BYTES && r->ntext > LIMIT_TEXT_BYTES - 3);
    assert_true(value_utf8_valid((const uint8_t *)r->text, r->ntext));
}

static void refuses_by(pair *p, device *d, const char *words, const char *text) {
    refuses(p, d, words, SATCHEL_E_CHECK);
    const msg_result *r = &p->v.last.result;
    if (r->ntext != strlen(text) || memcmp(r->text, text, r->ntext)) fail_msg("%s: %.*s", words, (int)r->ntext, r->text);
    assert_int_equal(r->table, schema_table_by_name(store_schema(p->v.s), "point")->id);
}

static void check_refuses_what_a_device_pushes_with_its_code_in_the_words(void **state) {
    pair *p = *state;
    serving *v = &p->v;
    takes(p, &p->phone, 0, "+ point(1) kind='email', value='a@b'");
    p->base = store_where(v->s).seq;
    refuses_by(p, &p->phone, "+ point(2) kind='phone'; + point(3) kind='email', value='nothing'", "EMAIL_FORM: no address");
    refuses_by(p, &p->phone, "~ point(1) value='@'", "EMAIL_FORM: no address");
    refuses_by(p, &p->tablet, "+ point(1) value='@'", "EMAIL_FORM: no address"); /* natural: is an update */
    SQL("SELECT id,kind,value FROM point", "1|email|a@b");
    takes(p, &p->phone, 40, "~ point(1) kind='fax', value='@'; - point(1); + point(4) kind='email'");
}

/* Each was right alone. */
static void check_refuses_what_two_devices_come_to_together(void **state) {
    pair *p = *state;
    serving *v = &p->v;
    takes(p, &p->phone, 0, "+ point(1) kind='phone', value='0123'");
    p->base = store_where(v->s).seq;
    takes(p, &p->phone, 10, "~ point(1) kind='fax', value='77'");
    refuses_by(p, &p->tablet, "~ point(1) kind='email'", "EMAIL_FORM: no address");
    SQL("SELECT id,kind,value FROM point", "1|fax|77");
}

static void check_that_came_after_the_row_leaves_it_alone_but_where_it_is_changed(void **state) {
    pair *p = *state;
    serving *v = &p->v;
    takes(p, &p->phone, 0, "+ point(1) kind='listed', value='a'");
    sql_exec(v, "INSERT INTO list(name,what,satchel_clock) SELECT 'a','closed',satchel_clock FROM point");
    p->base = store_where(v->s).seq;
    takes(p, &p->phone, 10, "~ point(1) note='n'");
    refuses_by(p, &p->phone, "+ point(2) kind='listed', value='a'", "OPEN: closed");
    sql_exec(v, "UPDATE point SET satchel_set=1");
}

/* Who edits a row that was deleted meanwhile, or a text that somebody else edited, cannot mend what he did not touch. */
static void check_that_came_after_a_deleted_row_or_a_text_keeps_it_out_and_its_edit_is_logged(void **state) {
    pair *p = *state;
    serving *v = &p->v;
    takes(p, &p->phone, 0, "+ point(1) kind='listed', value='a'; + memo('n') body='one'");
    p->base = store_where(v->s).seq;
    sql_exec(
        v, "INSERT INTO list(name,what,satchel_clock) SELECT column1,'closed',satchel_clock FROM point, (VALUES('a'), ('memo'))");
    takes(p, &p->tablet, 10, "- point(1); ~ memo('n') body='theirs'");
    takes(p, &p->phone, 20, "~ point(1) note='mine'");
    SQL("SELECT count(*) FROM point", "0");
    assert_string_equal(conflicts(v), "point(1).note lww kept - lost 'mine' of 1");
    takes(p, &p->phone, 30, "~ memo('n') body='mine'");
    SQL("SELECT body FROM memo", "mine");
    assert_string_equal(conflicts(v), "memo('n').body keep kept 'mine' lost 'theirs' of 2");
}

/* What was pushed cannot be taken, and will not be later: it must not stay in the way of what follows. */
static void check_that_fails_on_a_value_is_a_refusal(void **state) {
    pair *p = *state;
    refuses_by(p, &p->phone, "+ point(1) kind='json', note='{'", "malformed JSON");
    refuses_by(p, &p->phone, "+ point(1) kind='json', note='{\"n\": 0}'", "JSON_N: n is above 0");
    takes(p, &p->phone, 40, "+ point(1) kind='json', note='{\"n\": 1}'");
}

static void check_holds_for_the_servers_own_rows(void **state) {
    pair *p = *state;
    serving *v = &p->v;
    uint64_t n, rows;
    buf error;
    buf_init(&error, 0);
    assert_int_equal(ingest_sql(v->g, "INSERT INTO point(id) VALUES(1);\nINSERT INTO point(kind,value) VALUES('email','x')",
                                v->now_ms, &n, &rows, &error),
                     SATCHEL_E_CHECK);
    buf_put_byte(&error, 0);
    assert_string_equal((const char *)error.p, "line 2: EMAIL_FORM: no address");
    SQL("SELECT id,kind FROM point", "1|NULL");
    buf_fini(&error);
}

/* Columns of two groups stand side by side; each group is taken or lost whole. */
static void groups_side_by_side_are_merged_each_as_one(void **state) {
    pair *p = *state;
    serving *v = &p->v;
    takes(p, &p->phone, 0, "+ group2(1) a1=1, b1=1, x='x', a2=1, b2=1");
    p->base = store_where(v->s).seq;
    takes(p, &p->tablet, 20, "~ group2(1) a1=2, a2=2");
    takes(p, &p->phone, 10, "~ group2(1) a1=3, b1=3, x='y', a2=3, b2=3");
    SQL("SELECT a1,b1,x,a2,b2 FROM group2", "2|3|y|2|3");
    assert_string_equal(conflicts(v), "group2(1).a1 group kept 2 lost 3 of 1; group2(1).a2 group kept 2 lost 3 of 1");
}

/* A copy that may not stand beside its original: the conflict log alone keeps the text. */
static void losing_text_whose_copy_may_not_be_is_in_the_log(void **state) {
    pair *p = *state;
    serving *v = &p->v;
    takes(p, &p->phone, 0, "+ memo('m') body='one', title='t'; + memo('n') body='one'");
    p->base = store_where(v->s).seq;
    takes(p, &p->tablet, 20, "~ memo('m') body='theirs'; ~ memo('n') body='theirs'");
    takes(p, &p->phone, 10, "~ memo('m') body='mine'; ~ memo('n') body='mine'");
    assert_string_equal(conflicts(v),
                        "memo('m').body keep kept 'theirs' lost 'mine' of 1; memo('n').body keep kept 'theirs' lost 'mine' of 1");
    SQL("SELECT body,title FROM memo WHERE id<>'m' AND id<>'n'", "mine|NULL");
}

static void sums_that_cannot_be_are_refused(void **state) {
    pair *p = *state;
    takes(p, &p->phone, 0, "+ group2(1) x='text', n=9223372036854775807, a1=5");
    p->base = store_where(p->v.s).seq;
    refuses(p, &p->phone, "~ group2(1) n+=1", SATCHEL_E_RANGE);
    refuses(p, &p->phone, "~ group2(1) x+=1", SATCHEL_E_TYPE);
    refuses(p, &p->phone, "~ group2(1) n+='x'", SATCHEL_E_TYPE);
    takes(p, &p->phone, 1, "~ group2(1) a1+=2, n=7");
    serving *v = &p->v;
    SQL("SELECT a1,n FROM group2", "7|7");
}

static void more_keys_than_the_table_has_are_refused(void **state) {
    pair *p = *state;
    refuses(p, &p->phone, "+ parent(1,2)", SATCHEL_E_KEY_MISSING);
    refuses(p, &p->phone, "+ list('l')", SATCHEL_E_SERVER_OWNED);
}

static void program_with_the_servers_rights_writes_the_servers_tables(void **state) {
    pair *p = *state;
    serving *v = &p->v;
    buf delta;
    buf_init(&delta, 0);
    serving_delta(store_schema(v->s), "+ list('l') what='w'", &delta);
    for (int i = 0; i < 2; i++) {
        ingest_program_txn t = {.author = 1, .writes_server = i, .base = 0, .delta = delta.p, .ndelta = delta.n};
        assert_int_equal(store_begin(v->s), SATCHEL_OK);
        assert_int_equal(ingest_program(v->g, &t, v->now_ms, &v->last), SATCHEL_OK);
        assert_int_equal(store_commit(v->s), SATCHEL_OK);
        assert_int_equal(v->last.result.rc, i ? SATCHEL_OK : SATCHEL_E_SERVER_OWNED);
    }
    SQL("SELECT what FROM list", "w");
    buf_fini(&delta);
}

/* What triggers write into tables that do not sync is their own matter. */
static void server_sql_runs_triggers(void **state) {
    pair *p = *state;
    serving *v = &p->v;
    buf error;
    uint64_t transactions, rows;
    buf_init(&error, 0);
    int rc = ingest_sql(v->g, "INSERT INTO child(id) VALUES(9)", v->now_ms, &transactions, &rows, &error);
    if (rc) fail_msg("%.*s", (int)error.n, (const char *)error.p);
    SQL("SELECT id FROM child", "9");
    buf_fini(&error);
}

static void table_that_was_dropped_takes_nothing(void **state) {
    pair *p = *state;
    serving *v = &p->v;
    uint32_t member = schema_table_by_name(store_schema(v->s), "member")->id;
    char words[60];
    takes(p, &p->phone, 0, "+ group2(1) x='x', keep='k'");
    serving_write(v, "schema/002_drop.sql",
                  "DROP TABLE member;\nALTER TABLE group2 DROP COLUMN keep;\nALTER TABLE group2 DROP COLUMN b2;\n");
    serving_reopen(v);
    p->base = store_where(v->s).seq;
    snprintf(words, sizeof words, "+ #%u('a','b')", member);
    refuses(p, &p->phone, words, SATCHEL_E_UNKNOWN_TABLE);
    /* NULL for a column that is gone says nothing; a value of a group's is told as lost. */
    takes(p, &p->phone, 1, "+ group2(2) x='y', #7=NULL");
    assert_string_equal(conflicts(v), "");
    takes(p, &p->phone, 2, "~ group2(1) b1=4, #6=5");
    assert_string_equal(conflicts(v), "group2(1).b2 group kept - lost 5 of 1");
    SQL("SELECT id,b1 FROM group2", "1|4 ; 2|NULL");
}

/* It is of a commit, or nobody would find it by its number. */
static void conflict_that_changes_no_row_makes_a_commit_of_the_servers(void **state) {
    pair *p = *state;
    serving *v = &p->v;
    static delta_row row;
    ingest_position before;
    bool changed;
    takes(p, &p->phone, 0, "+ group2(1) x='x', keep='k'");
    uint32_t keep = schema_column_by_id(schema_table_by_name(store_schema(v->s), "group2"), 7)->id;
    serving_write(v, "schema/002_drop.sql", "ALTER TABLE group2 DROP COLUMN keep;\n");
    serving_reopen(v);
    uint64_t seq = store_where(v->s).seq;
    row = (delta_row){.table = schema_table_by_name(store_schema(v->s), "group2")->id, .op = DELTA_UPDATE, .nkey = 1, .ncol = 1};
    row.key[0] = value_integer(1);
    row.col[0] = (delta_column){.id = keep, .kind = DELTA_SET};
    row.v[0] = value_text("gone", 4);
    assert_int_equal(store_begin(v->s), SATCHEL_OK);
    assert_int_equal(ingest_own_begin(v->g, v->now_ms, &before), SATCHEL_OK);
    assert_int_equal(ingest_row(v->g, &row), SATCHEL_OK);
    assert_int_equal(ingest_own_end(v->g, &before, SATCHEL_OK, &changed), SATCHEL_OK);
    assert_true(changed);
    assert_int_equal(store_commit(v->s), SATCHEL_OK);
    assert_int_equal(store_where(v->s).seq, seq + 1);
    assert_string_equal(conflicts(v), "group2(1).keep lww kept - lost 'gone' of 0");
    SQL("SELECT max(seq)=(SELECT seq FROM satchel_server) FROM satchel_conflict", "1");
}

static void damaged_store_is_told_and_nothing_taken(void **state) {
    pair *p = *state;
    serving *v = &p->v;
    static const struct {
        const char *damage, *words;
    } CASE[] = {
        {"UPDATE parent SET satchel_clock=x'ff'", "~ parent(1) other='y'"},
        {"UPDATE satchel_tombstone SET row=x'77'", "~ parent(2) other='y'"},
        {"UPDATE satchel_tombstone SET row=x'0401ff'", "~ parent(2) other='y'"},
        {"UPDATE satchel_tombstone SET row=CAST(row || x'ff' AS BLOB)", "~ parent(2) other='y'"},
        {"UPDATE satchel_tombstone SET row=CAST(row || x'0277' AS BLOB)", "~ parent(2) other='y'"},
    };
    takes(p, &p->phone, 0, "+ parent(1) other='x'; + parent(2) other='x'");
    p->base = store_where(v->s).seq;
    takes(p, &p->tablet, 0, "- parent(2)");
    sql_exec(v, "CREATE TABLE kept AS SELECT row FROM satchel_tombstone");
    for (unsigned i = 0; i < sizeof CASE / sizeof CASE[0]; i++) {
        sql_exec(v, CASE[i].damage);
        push_txn t = make_txn(&p->phone, p->base, 20);
        int rc = push_txn_raw(v, &p->phone, &t, CASE[i].words);
        p->phone.number--;
        if (rc != SATCHEL_E_CORRUPT) fail_msg("%s: %s", CASE[i].damage, satchel_rc_name(rc));
        SQL("SELECT other FROM parent", "x");
        sql_exec(v, "UPDATE satchel_tombstone SET row=(SELECT row FROM kept)");
    }
    /* A column that is gone since. */
    sql_exec(v, "UPDATE satchel_tombstone SET row=CAST(row || x'0905' AS BLOB)");
    takes(p, &p->phone, 20, "~ parent(2) other='y'");
    SQL("SELECT other FROM parent WHERE id=2", "y");
}

static void malformed_unseen_is_a_wire_error(void **state) {
    pair *p = *state;
    static const uint8_t BYTES[] = {0x81, 0x83, 0x01};
    takes(p, &p->phone, 0, "+ parent(1)");
    push_txn t = make_txn(&p->phone, p->base, 1);
    t.unseen = BYTES;
    t.nunseen = sizeof BYTES;
    assert_int_equal(push_txn_raw(&p->v, &p->phone, &t, "~ parent(1) c='x'"), SATCHEL_E_MALFORMED);
}

static void store_without_tables_has_an_ingest(void **state) {
    (void)state;
    serving v;
    serving_open(&v, "CREATE TABLE here(id INTEGER PRIMARY KEY);", NULL);
    device d = serving_device(&v, "phone");
    assert_int_equal(push(&v, &d, 0, 0, "+ #1(1)"), SATCHEL_E_UNKNOWN_TABLE);
    serving_fini(&v);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(names_are_quoted_and_rows_found_by_key_where_no_rowid_can_be_named),
        TEST(row_of_keys_alone_is_deleted_by_its_own_clock),
        TEST(reference_of_two_columns_holds_at_both_ends),
        TEST(words_of_a_refusal_are_cut_before_a_character),
        TEST(check_refuses_what_a_device_pushes_with_its_code_in_the_words),
        TEST(check_refuses_what_two_devices_come_to_together),
        TEST(check_that_came_after_the_row_leaves_it_alone_but_where_it_is_changed),
        TEST(check_that_came_after_a_deleted_row_or_a_text_keeps_it_out_and_its_edit_is_logged),
        TEST(check_that_fails_on_a_value_is_a_refusal),
        TEST(check_holds_for_the_servers_own_rows),
        TEST(groups_side_by_side_are_merged_each_as_one),
        TEST(losing_text_whose_copy_may_not_be_is_in_the_log),
        TEST(sums_that_cannot_be_are_refused),
        TEST(more_keys_than_the_table_has_are_refused),
        TEST(program_with_the_servers_rights_writes_the_servers_tables),
        TEST(server_sql_runs_triggers),
        TEST(table_that_was_dropped_takes_nothing),
        TEST(conflict_that_changes_no_row_makes_a_commit_of_the_servers),
        TEST(damaged_store_is_told_and_nothing_taken),
        TEST(malformed_unseen_is_a_wire_error),
        cmocka_unit_test(store_without_tables_has_an_ingest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
