#include "tests/unit/scope_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"

const char COMPANY_SCHEMA[] =
    "CREATE TABLE owner(id TEXT PRIMARY KEY, terr INTEGER);\n"
    "INSERT INTO satchel_table(name, mode) VALUES('owner', 'server');\n"
    "CREATE TABLE account(id TEXT PRIMARY KEY, terr INTEGER, name TEXT, secret TEXT, amount INTEGER, currency TEXT, level INTEGER DEFAULT 1);\n"
    "INSERT INTO satchel_table(name) VALUES('account');\n"
    "INSERT INTO satchel_rule(tbl,col,rule) VALUES('account','amount','group:m'),('account','currency','group:m');\n"
    "CREATE TABLE contact(id TEXT PRIMARY KEY, account TEXT REFERENCES account, name TEXT);\n"
    "INSERT INTO satchel_table(name) VALUES('contact');\n"
    "CREATE TABLE note(id TEXT PRIMARY KEY, account TEXT, contact TEXT, body TEXT, copy_of TEXT);\n"
    "INSERT INTO satchel_table(name) VALUES('note');\n"
    "INSERT INTO satchel_rule(tbl,col,rule) VALUES('note','body','keep:copy_of');\n"
    "CREATE TABLE pref(contact TEXT, channel TEXT, allowed INTEGER, PRIMARY KEY(contact, channel)) WITHOUT ROWID;\n"
    "INSERT INTO satchel_table(name, key) VALUES('pref', 'natural');\n"
    "CREATE TABLE visit(a INTEGER, b INTEGER, account TEXT, at_ms INTEGER, PRIMARY KEY(a, b)) WITHOUT ROWID;\n"
    "INSERT INTO satchel_table(name) VALUES('visit');\n"
    "CREATE TABLE member(phone TEXT PRIMARY KEY, terr INTEGER, points INTEGER);\n"
    "INSERT INTO satchel_table(name, key) VALUES('member', 'natural');\n";

const char COMPANY_RULES[] = "-- who holds what\n"
                             "INSERT INTO scope_bucket(tbl,name,value,condition) VALUES\n"
                             "  ('owner','all',NULL,NULL),\n"
                             "  ('account','terr','terr',NULL), ('member','terr','terr',NULL),\n"
                             "  ('account','hot',NULL,'name = ''hot''');\n"
                             "INSERT INTO scope_parent(tbl,parent,columns,condition,missing) VALUES\n"
                             "  ('contact','account','account',NULL,'revive'),\n"
                             "  ('note','account','account',NULL,'park'),\n"
                             "  ('note','contact','contact',NULL,'keep'),\n"
                             "  ('pref','contact','contact',NULL,'park'),\n"
                             "  ('visit','account','account','at_ms > satchel_now() - 2592000000','park');\n"
                             "INSERT INTO scope_profile(name,buckets) VALUES\n"
                             "  ('rep','SELECT ''all'',NULL UNION ALL SELECT ''terr'',terr FROM owner WHERE id=:user'),\n"
                             "  ('clerk','SELECT ''hot'',NULL');\n"
                             "INSERT INTO scope_mask(profile,tbl,columns) VALUES('rep','account','secret');\n"
                             "INSERT INTO scope_write(profile,tbl,ops,columns,anywhere) VALUES\n"
                             "  ('rep','account','update','name, amount, currency',0),\n"
                             "  ('rep','contact','insert,update,delete',NULL,0),\n"
                             "  ('rep','note','insert,update',NULL,0),\n"
                             "  ('rep','pref','insert',NULL,0), ('rep','member','insert',NULL,0),\n"
                             "  ('clerk','account','insert,update,delete',NULL,1);\n";

void company_user(company *c, const device *d, const char *profile, const char *user) {
    sqlite3_stmt *q = NULL;
    buf b = {0};
    value v = value_text(user, strlen(user));
    value_put(&b, &v);
    assert_int_equal(sqlite3_prepare_v2(store_db(c->v.s), "UPDATE satchel_device SET profile=?,user=? WHERE id=?", -1, &q, NULL),
                     SQLITE_OK);
    sqlite3_bind_text(q, 1, profile, -1, SQLITE_STATIC);
    sqlite3_bind_blob(q, 2, b.p, (int)b.n, SQLITE_STATIC);
    sqlite3_bind_int64(q, 3, d->a.device);
    assert_int_equal(sqlite3_step(q), SQLITE_DONE);
    sqlite3_finalize(q);
    buf_fini(&b);
}

int company_setup(void **state) {
    company *c = calloc(1, sizeof *c);
    assert_non_null(c);
    serving_init(&c->v);
    serving_write(&c->v, "schema/001_first.sql", COMPANY_SCHEMA);
    serving_write(&c->v, "schema/scope.sql", COMPANY_RULES);
    serving_reopen(&c->v);
    sql_exec(&c->v, "PRAGMA synchronous=OFF");
    c->ann = serving_device(&c->v, "ann");
    c->bob = serving_device(&c->v, "bob");
    c->clerk = serving_device(&c->v, "clerk");
    c->boss = serving_device(&c->v, "boss");
    company_user(c, &c->ann, "rep", "ann");
    company_user(c, &c->bob, "rep", "bob");
    company_user(c, &c->clerk, "clerk", "carl");
    company_sql(c, "INSERT INTO owner(id,terr) VALUES('ann',1),('bob',2);");
    *state = c;
    return 0;
}

int company_teardown(void **state) {
    company *c = *state;
    serving_fini(&c->v);
    free(c);
    return 0;
}

void company_sql(company *c, const char *text) {
    uint64_t transactions, rows;
    buf error;
    buf_init(&error, 0);
    sqlite3_str *whole = sqlite3_str_new(NULL);
    sqlite3_str_appendf(whole, "BEGIN; %s; COMMIT;", text);
    char *sql_text = sqlite3_str_finish(whole);
    int rc = ingest_sql(c->v.g, sql_text, c->v.now_ms, &transactions, &rows, &error);
    if (rc) fail_msg("%s: %s %.*s", text, satchel_rc_name(rc), (int)error.n, error.p ? (const char *)error.p : "");
    sqlite3_free(sql_text);
    buf_fini(&error);
}

uint64_t company_view(company *c, const device *d) {
    uint64_t id;
    assert_int_equal(store_begin(c->v.s), SATCHEL_OK);
    int rc = scope_device_view(ingest_scope(c->v.g), d->a.device, c->v.now_ms, &id);
    if (rc) fail_msg("the view: %s", satchel_rc_name(rc));
    assert_int_equal(store_commit(c->v.s), SATCHEL_OK);
    return id;
}

uint64_t company_head(company *c) {
    return store_where(c->v.s).seq;
}

const char *company_buckets(company *c, const char *table, const char *where) {
    static char out[512];
    char query[700];
    snprintf(
        query, sizeof query,
        "SELECT coalesce(group_concat(name,' '),'') FROM (SELECT b.name FROM %s t JOIN satchel_set s ON s.id=t.satchel_set JOIN satchel_bucket b"
        " ON EXISTS(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+4 FROM n WHERE i+4<=length(s.buckets))"
        " SELECT 1 FROM n WHERE hex(substr(s.buckets,i,4))=printf('%%08X',b.id)) WHERE %s ORDER BY b.name)",
        table, where);
    snprintf(out, sizeof out, "%s", sql(&c->v, query));
    return out;
}

/* Set numbers are another matter than what they stand for: each row's buckets as text. */
#define SETS                                                                                                                                                                    \
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+4 FROM n WHERE i<400),"                                                                                                \
    " lies(id,names) AS (SELECT 0,'' UNION ALL SELECT s.id,(SELECT group_concat(name,' ') FROM (SELECT name FROM satchel_bucket b, n WHERE"                                     \
    " i<length(s.buckets) AND hex(substr(s.buckets,i,4))=printf('%08X',b.id) ORDER BY name)) FROM satchel_set s),"                                                              \
    " days(now) AS (SELECT now_ms FROM satchel_scope ORDER BY version DESC LIMIT 1),"                                                                                           \
    " given(tbl,key,name) AS (SELECT t.name,CAST(substr(g.key,3) AS TEXT),'grant:'||g.id FROM satchel_grant g JOIN satchel_table t ON t.id=g.tbl),"                             \
    " ac(id,name) AS (SELECT id,'terr:'||terr FROM account WHERE terr IS NOT NULL UNION SELECT id,'hot' FROM account WHERE name='hot'"                                          \
    "  UNION SELECT key,name FROM given WHERE tbl='account' AND key IN (SELECT id FROM account)),"                                                                              \
    " co(id,name) AS (SELECT c.id,ac.name FROM contact c JOIN ac ON ac.id=c.account UNION SELECT key,name FROM given WHERE tbl='contact' AND key IN (SELECT id FROM contact))," \
    " no(id,name) AS (SELECT n.id,ac.name FROM note n JOIN ac ON ac.id=n.account UNION SELECT n.id,co.name FROM note n JOIN co ON co.id=n.contact"                              \
    "  UNION SELECT key,name FROM given WHERE tbl='note'),"                                                                                                                     \
    " vi(a,b,name) AS (SELECT v.a,v.b,ac.name FROM visit v JOIN ac ON ac.id=v.account, days WHERE v.at_ms>now-2592000000) "

void company_check_sets(company *c) {
    SCOPE_SQL(SETS "SELECT t.id,names FROM account t JOIN lies ON lies.id=satchel_set WHERE names IS NOT"
                   " coalesce((SELECT group_concat(name,' ') FROM (SELECT name FROM ac WHERE ac.id=t.id ORDER BY name)),'')",
              "");
    SCOPE_SQL(SETS "SELECT t.id,names FROM contact t JOIN lies ON lies.id=satchel_set WHERE names IS NOT"
                   " coalesce((SELECT group_concat(name,' ') FROM (SELECT name FROM co WHERE co.id=t.id ORDER BY name)),'')",
              "");
    SCOPE_SQL(SETS "SELECT t.id,names FROM note t JOIN lies ON lies.id=satchel_set WHERE names IS NOT"
                   " coalesce((SELECT group_concat(name,' ') FROM (SELECT name FROM no WHERE no.id=t.id ORDER BY name)),'')",
              "");
    SCOPE_SQL(
        SETS "SELECT t.a,t.b,names FROM visit t JOIN lies ON lies.id=satchel_set WHERE names IS NOT"
             " coalesce((SELECT group_concat(name,' ') FROM (SELECT name FROM vi WHERE vi.a=t.a AND vi.b=t.b ORDER BY name)),'')",
        "");
    SCOPE_SQL("SELECT count(*) FROM account WHERE satchel_set<>0 AND satchel_set NOT IN (SELECT id FROM satchel_set)", "0");
}

void company_check(company *c) {
    company_check_sets(c);
    const device *const d[] = {&c->ann, &c->bob, &c->clerk, &c->boss};
    for (unsigned i = 0; i < 4; i++) scope_replay(&c->v, company_view(c, d[i]));
}

uint64_t company_upkeep(company *c) {
    uint64_t moved, all = 0;
    buf error = {0};
    for (scope_part part = SCOPE_GRANTS; part <= SCOPE_DAY; part++) {
        int rc = scope_upkeep(c->v.s, ingest_scope(c->v.g), part, c->v.now_ms, &moved, &error);
        if (rc) fail_msg("%.*s", (int)error.n, (const char *)error.p);
        all += moved;
    }
    return all;
}
