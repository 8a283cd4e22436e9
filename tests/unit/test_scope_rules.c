/* Rules that are not taken: each with its place, and what to do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"
#include "tests/unit/scope_fixture.h"

static int publish(company *c, const char *text, uint64_t *moved, buf *error) {
    buf_clear(error);
    assert_int_equal(store_begin(c->v.s), SATCHEL_OK);
    int rc = scope_publish(c->v.s, "new.sql", text, c->v.now_ms, moved, error);
    if (rc)
        store_rollback(c->v.s);
    else
        assert_int_equal(store_commit(c->v.s), SATCHEL_OK);
    buf_put_byte(error, 0);
    return rc;
}

/* Rules that stand, with one line more: the 22nd. */
static void refused(company *c, const char *line, const char *words) {
    buf error = {0};
    uint64_t moved;
    char *text = sqlite3_mprintf("%s%s\n", COMPANY_RULES, line);
    int rc = publish(c, text, &moved, &error);
    if (rc != SATCHEL_E_RULE) fail_msg("%s: got %s", line, satchel_rc_name(rc));
    if (strcmp((const char *)error.p, words)) fail_msg("%s:\nwanted %s\ngot    %s", line, words, (const char *)error.p);
    sqlite3_free(text);
    buf_fini(&error);
}

static void statement_that_is_no_rule_is_refused(void **state) {
    company *c = *state;
    refused(
        c, "DELETE FROM scope_bucket;",
        "new.sql:22: rules are INSERTs into scope_bucket, scope_parent, scope_profile, scope_mask and scope_write; leave this out");
    refused(
        c, "CREATE TABLE t(a);",
        "new.sql:22: rules are INSERTs into scope_bucket, scope_parent, scope_profile, scope_mask and scope_write; leave this out");
    refused(
        c, "ATTACH 'x' AS y;",
        "new.sql:22: rules are INSERTs into scope_bucket, scope_parent, scope_profile, scope_mask and scope_write; leave this out");
    refused(c, "INSERT INTO scope_buckets VALUES('a');", "new.sql:22: no such table: scope_buckets; correct the statement");
    refused(c, "\n\nINSERT INTO scope_bucket(tbl,\n  nam) VALUES('a');",
            "new.sql:24: table scope_bucket has no column named nam; correct the statement");
    refused(c, "INSERT INTO scope_bucket(tbl) VALUES('account');",
            "new.sql:22: NOT NULL constraint failed: scope_bucket.name; correct the statement");
    refused(c, "INSERT INTO scope_bucket(tbl,name) VALUES(?,'x');",
            "new.sql:22: a parameter stands outside a text; rules are texts, in single quotes");
    refused(c, "INSERT INTO scope_parent(tbl,parent,columns,missing) VALUES('note','account','account','drop');",
            "new.sql:22: CHECK constraint failed: missing is park, revive or keep; correct the statement");
    refused(c, "INSERT INTO scope_write(profile,tbl,ops,anywhere) VALUES('rep','note','insert',2);",
            "new.sql:22: CHECK constraint failed: anywhere is 0 or 1; correct the statement");
    refused(c, "INSERT INTO scope_profile VALUES('x','SELECT 1,2',0);",
            "new.sql:22: CHECK constraint failed: horizon_days is a number from 1 to 3650; correct the statement");
}

static void names_that_there_are_not_are_refused(void **state) {
    company *c = *state;
    refused(c, "INSERT INTO scope_bucket(tbl,name) VALUES('acount','x');",
            "new.sql:22: there is no synced table acount; correct the name, or declare it in a migration");
    refused(c, "INSERT INTO scope_bucket(tbl,name) VALUES('note','x'), -- one\n ('note','y'), /* (two) */\n ('nothing', 'a(b');",
            "new.sql:24: there is no synced table nothing; correct the name, or declare it in a migration");
    refused(c, "INSERT INTO scope_parent(tbl,parent,columns) VALUES('note','nobody','account');",
            "new.sql:22: there is no synced table nobody; correct the name, or declare it in a migration");
    refused(c, "INSERT INTO scope_parent(tbl,parent,columns) VALUES('note','account','acc');",
            "new.sql:22: table note has no column acc; correct the name");
    refused(c, "INSERT INTO scope_mask VALUES('reps','account','name');",
            "new.sql:22: there is no profile reps; insert it into scope_profile");
    refused(c, "INSERT INTO scope_mask VALUES('rep','account','nam');",
            "new.sql:22: table account has no column nam; correct the name");
    refused(c, "INSERT INTO scope_write(profile,tbl,ops) VALUES('reps','account','insert');",
            "new.sql:22: there is no profile reps; insert it into scope_profile");
    refused(c, "INSERT INTO scope_write(profile,tbl,ops) VALUES('rep','account','insert,write');",
            "new.sql:22: write is not a way to write; there are insert, update and delete");
    refused(c, "INSERT INTO scope_write(profile,tbl,ops,columns) VALUES('rep','account','update','name,nam');",
            "new.sql:22: table account has no column nam; correct the name");
    refused(c, "INSERT INTO scope_write(profile,tbl,ops,columns) VALUES('rep','account','update','secret');",
            "new.sql:22: account.secret is masked from profile rep; who does not see a column cannot write it");
    refused(c, "INSERT INTO scope_profile(name,buckets) VALUES('rep','SELECT 1,2');",
            "new.sql:22: profile rep stands twice; leave one out");
    refused(c, "INSERT INTO scope_bucket(tbl,name) VALUES('account','grant');",
            "new.sql:22: a bucket cannot be called \"grant\"; choose another name");
    refused(c, "INSERT INTO scope_bucket(tbl,name) VALUES('account','a:b');",
            "new.sql:22: a bucket cannot be called \"a:b\"; choose another name");
}

#define BUCKET(value) "INSERT INTO scope_bucket(tbl,name,value) VALUES('account','b','" value "');"

static void expression_that_is_no_function_of_its_row_is_refused(void **state) {
    company *c = *state;
    refused(c, BUCKET("ter"), "new.sql:22: the value does not compile over account: no such column: ter");
    refused(c, BUCKET("terr +"), "new.sql:22: the value does not compile over account: near \")\": syntax error");
    refused(c, BUCKET("(SELECT terr FROM owner)"),
            "new.sql:22: the value reads another table; go by the row's own columns, and let it follow others with scope_parent");
    refused(c, BUCKET("max(terr) OVER ()"),
            "new.sql:22: the value does not compile over account: misuse of window function max()");
    refused(c, BUCKET("count(*)"), "new.sql:22: the value does not compile over account: misuse of aggregate function count()");
    refused(
        c, BUCKET("random()"),
        "new.sql:22: the value calls a function that gives another value each time; use satchel_now() for the time, and columns else");
    refused(c, BUCKET("date(''now'')"),
            "new.sql:22: the value names 'now'; write satchel_now(), the server's time in milliseconds");
    refused(c, BUCKET("satchel_set"), "new.sql:22: the value reads a column of Satchel's own; leave it out");
    refused(c, BUCKET(":user"), "new.sql:22: the value has a parameter; only a profile's query has");
    refused(c, "INSERT INTO scope_bucket(tbl,name,value,condition) VALUES('account','b',NULL,'nme=1');",
            "new.sql:22: the condition does not compile over account: no such column: nme");
    refused(c, "INSERT INTO scope_parent(tbl,parent,columns,condition) VALUES('note','account','account','EXISTS(SELECT 1)');",
            "new.sql:22: the condition holds a SELECT; go by the row's own columns, and follow others with scope_parent");
}

#define PROFILE(query) "INSERT INTO scope_profile(name,buckets) VALUES('p','" query "');"

static void query_of_a_profile_that_is_none_is_refused(void **state) {
    company *c = *state;
    refused(c, PROFILE("SELECT ''all''"),
            "new.sql:22: the query of profile p must give two columns: a bucket's name, and its value or NULL");
    refused(c, PROFILE("SELECT ''all'',x FROM nonesuch"),
            "new.sql:22: the query of profile p does not compile: no such table: nonesuch");
    refused(c, PROFILE(""), "new.sql:22: the query of profile p does not compile: it is empty");
    refused(c, PROFILE("DELETE FROM account"),
            "new.sql:22: the query of profile p does something else than read; a rule only reads");
    refused(c, PROFILE("SELECT name,fingerprint FROM satchel_device"),
            "new.sql:22: the query of profile p reads a table that is not data; rules go by the rows of the schema's tables");
    refused(c, PROFILE("SELECT ''a'',:me"),
            "new.sql:22: the query of profile p has the parameter :me; there are :device, :user, :store and :now");
    refused(c, PROFILE("SELECT ''a'',satchel_now()"),
            "new.sql:22: the query of profile p calls satchel_now(); in a profile's query write :now");
}

static void parents_that_cannot_be_followed_are_refused(void **state) {
    company *c = *state;
    /* The visit whose number a member's phone names as '07' would not be found from 7. */
    refused(
        c, "INSERT INTO scope_parent(tbl,parent,columns) VALUES('member','visit','phone,points');",
        "new.sql:22: member.phone is not of the type of visit.a, so that a row may name its parent in another way than it is written there; "
        "give it the same type in a migration");
    refused(
        c, "INSERT INTO scope_parent(tbl,parent,columns) VALUES('visit','member','at_ms');",
        "new.sql:22: visit.at_ms is not of the type of member.phone, so that a row may name its parent in another way than it is written "
        "there; give it the same type in a migration");
    refused(c, "INSERT INTO scope_parent(tbl,parent,columns) VALUES('account','note','name');",
            "new.sql:7: contact follows account in a circle; leave one of these rules out");
    refused(c, "INSERT INTO scope_parent(tbl,parent,columns) VALUES('account','account','name');",
            "new.sql:22: account cannot follow itself; give its rows buckets of their own");
    refused(c, "INSERT INTO scope_parent(tbl,parent,columns) VALUES('note','visit','account');",
            "new.sql:22: 1 columns are named, and the key of visit has 2; name one for each, in its order");
    refused(c, "INSERT INTO scope_parent(tbl,parent,columns) VALUES('note','account','account,contact');",
            "new.sql:22: 2 columns are named, and the key of account has 1; name one for each, in its order");
    refused(c, "INSERT INTO scope_parent(tbl,parent,columns,missing) VALUES('contact','account','account','keep');",
            "new.sql:22: contact.account is a foreign key, so rows cannot be kept without what it names; choose park or revive");
}

#define MASK(columns) "INSERT INTO scope_mask VALUES('clerk','account','" columns "');"

static void mask_of_what_a_device_needs_is_refused(void **state) {
    company *c = *state;
    refused(c, MASK("id"),
            "new.sql:22: account.id cannot be masked: it is part of the key; a device cannot hold a row without it");
    refused(c, MASK("amount"), "new.sql:22: account.amount is in one group with currency; name both or neither");
    refused(
        c, "INSERT INTO scope_mask VALUES('clerk','contact','account');",
        "new.sql:22: contact.account cannot be masked: it is read by a rule of scope_parent; devices need it to find what the row follows");
    refused(
        c, "INSERT INTO scope_mask VALUES('clerk','visit','at_ms');",
        "new.sql:22: visit.at_ms cannot be masked: it is read by a rule of scope_parent; devices need it to find what the row follows");
    refused(c, "INSERT INTO scope_write(profile,tbl,ops,columns) VALUES('rep','account','update','amount');",
            "new.sql:22: account.amount is in one group with currency; name both or neither");
}

static void table_without_a_rule_is_refused(void **state) {
    company *c = *state;
    buf error = {0};
    uint64_t moved;
    assert_int_equal(
        publish(
            c,
            "INSERT INTO scope_bucket(tbl,name) VALUES('owner','all'),('account','all'),('note','all'),('visit','all'),('pref','all');",
            &moved, &error),
        SATCHEL_E_RULE);
    assert_string_equal(
        (const char *)error.p,
        "new.sql: table contact has no rule; insert one into scope_bucket or scope_parent, ('contact','all') for everybody");
    buf_fini(&error);
}

static void refused_rules_change_nothing(void **state) {
    company *c = *state;
    company_sql(c, "INSERT INTO account(id,terr) VALUES('a',1)");
    refused(c, BUCKET("nonesuch"), "new.sql:22: the value does not compile over account: no such column: nonesuch");
    SCOPE_SQL("SELECT count(*),max(version) FROM satchel_scope", "1|1");
    company_sql(c, "UPDATE account SET terr=2");
    company_check(c);
}

static void rule_that_fails_over_a_row_refuses_the_row(void **state) {
    company *c = *state;
    buf error = {0};
    uint64_t moved;
    char *text = sqlite3_mprintf("%s%s", COMPANY_RULES, BUCKET("json_extract(name,''$.t'')"));
    assert_int_equal(publish(c, text, &moved, &error), SATCHEL_OK);
    assert_int_equal(push(&c->v, &c->boss, 0, 7200, "+ account('a') name='no json'"), SATCHEL_E_CHECK);
    assert_non_null(
        strstr((const char *)c->v.last.result.text, "the scope rules of account cannot be worked out: malformed JSON"));
    assert_int_equal(push(&c->v, &c->boss, 0, 7200, "+ account('a') name='{\"t\":5}'"), SATCHEL_OK);
    assert_string_equal(company_buckets(c, "account", "1"), "b:5");
    assert_int_equal(push(&c->v, &c->boss, company_head(c), 7300, "~ account('a') name='none'"), SATCHEL_E_CHECK);
    assert_int_equal(push(&c->v, &c->boss, company_head(c), 7300, "~ account('a') terr=3"), SATCHEL_OK);
    assert_string_equal(company_buckets(c, "account", "1"), "b:5 terr:3");
    sqlite3_free(text);
    buf_fini(&error);
}

static void values_of_every_type_name_buckets(void **state) {
    company *c = *state;
    buf error = {0};
    uint64_t moved;
    char *text = sqlite3_mprintf(
        "%s%s", COMPANY_RULES,
        "INSERT INTO scope_bucket(tbl,name,value,condition) VALUES('visit','i','b',NULL),('visit','r','b*0.5',NULL),"
        "('visit','t','''it''''s ''||b',NULL),('visit','x','x''0aff''',NULL),('visit','n','NULL',NULL),('visit','z',NULL,'b>9 -- not it');");
    assert_int_equal(publish(c, text, &moved, &error), SATCHEL_OK);
    company_sql(c, "INSERT INTO visit(a,b) VALUES(1,3)");
    SCOPE_SQL("SELECT name FROM satchel_bucket WHERE substr(name,2,1)=':' ORDER BY name", "i:3 ; r:1.5 ; t:it's 3 ; x:0aff");
    sqlite3_free(text);
    buf_fini(&error);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        SCOPE_TEST(statement_that_is_no_rule_is_refused),
        SCOPE_TEST(names_that_there_are_not_are_refused),
        SCOPE_TEST(expression_that_is_no_function_of_its_row_is_refused),
        SCOPE_TEST(query_of_a_profile_that_is_none_is_refused),
        SCOPE_TEST(parents_that_cannot_be_followed_are_refused),
        SCOPE_TEST(mask_of_what_a_device_needs_is_refused),
        SCOPE_TEST(table_without_a_rule_is_refused),
        SCOPE_TEST(refused_rules_change_nothing),
        SCOPE_TEST(rule_that_fails_over_a_row_refuses_the_row),
        SCOPE_TEST(values_of_every_type_name_buckets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
