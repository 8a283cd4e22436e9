/* What a device may write, judged by what it held when it wrote; and parents that are not there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"
#include "server/ingest_private.h"
#include "tests/unit/scope_fixture.h"

#define NOW 7200

static void may(company *c, device *d, uint64_t base, const char *words) {
    int rc = push(&c->v, d, base, NOW, words);
    if (rc) fail_msg("%s: %s %.*s", words, satchel_rc_name(rc), (int)c->v.last.result.ntext, c->v.last.result.text);
    company_check(c);
}

static void may_not(company *c, device *d, uint64_t base, const char *words, int code, const char *text) {
    int rc = push(&c->v, d, base, NOW, words);
    if (rc != code) fail_msg("%s: wanted %s, got %s", words, satchel_rc_name(code), satchel_rc_name(rc));
    char said[LIMIT_TEXT_BYTES + 1];
    snprintf(said, sizeof said, "%.*s", (int)c->v.last.result.ntext, c->v.last.result.text);
    if (!strstr(said, text)) fail_msg("%s: wanted '%s' in '%s'", words, text, said);
    company_check(c);
}

/* a in ann's territory, b in bob's, each with a contact. */
static uint64_t two_accounts(company *c) {
    company_sql(c, "INSERT INTO account(id,terr,name,secret) VALUES('a',1,'x','s'),('b',2,'x','topsecret');"
                   "INSERT INTO contact(id,account,name) VALUES('ca','a','x'),('cb','b','hidden')");
    company_view(c, &c->ann);
    company_view(c, &c->bob);
    company_view(c, &c->clerk);
    return company_head(c);
}

static void profile_writes_what_its_rules_name(void **state) {
    company *c = *state;
    uint64_t base = two_accounts(c);
    may(c, &c->ann, base, "~ account('a') name='y', amount=5, currency='EUR'");
    may(c, &c->ann, base, "~ contact('ca') name='y'");
    may(c, &c->ann, base, "+ contact('cc') account='a', name='z'");
    may(c, &c->ann, base, "+ note('n') contact='ca', body='z'; ~ note('n') body='zz'");
    may(c, &c->ann, base, "- contact('ca')");
}

static void profile_writes_nothing_else(void **state) {
    company *c = *state;
    uint64_t base = two_accounts(c);
    may_not(c, &c->ann, base, "+ account('n') terr=1", SATCHEL_E_SCOPE, "profile rep may not insert rows into account");
    may_not(c, &c->ann, base, "- account('a')", SATCHEL_E_SCOPE, "profile rep may not delete rows of account");
    may_not(c, &c->ann, base, "~ account('a') terr=2", SATCHEL_E_SCOPE, "profile rep may not change account.terr");
    may_not(c, &c->ann, base, "~ account('a') secret='mine'", SATCHEL_E_SCOPE, "profile rep may not change account.secret");
    may_not(c, &c->ann, base, "+ visit(1 1) account='a'", SATCHEL_E_SCOPE, "may not insert rows into visit");
    may_not(c, &c->ann, base, "+ note('n') account='a'; - note('n')", SATCHEL_E_SCOPE, "may not delete rows of note");
    may_not(c, &c->ann, base, "~ owner('ann') terr=2", SATCHEL_E_SERVER_OWNED, "owner");
}

static void row_out_of_scope_is_not_written_and_nothing_of_it_is_told(void **state) {
    company *c = *state;
    uint64_t base = two_accounts(c);
    static const struct {
        const char *words;
        int code;
    } TRY[] = {{"~ account('b') name='mine'", SATCHEL_E_SCOPE},
               {"~ contact('cb') name='mine'", SATCHEL_E_SCOPE},
               {"- contact('cb')", SATCHEL_E_SCOPE},
               {"+ contact('new') account='b'", SATCHEL_E_SCOPE},
               {"+ note('n') contact='cb'", SATCHEL_E_SCOPE},
               {"+ contact('cb') account='a'", SATCHEL_E_KEY_TAKEN},
               {"~ contact('none') name='x'", SATCHEL_E_ROW_MISSING}};
    for (size_t i = 0; i < sizeof TRY / sizeof *TRY; i++) {
        may_not(c, &c->ann, base, TRY[i].words, TRY[i].code, "");
        char said[LIMIT_TEXT_BYTES + 1];
        snprintf(said, sizeof said, "%.*s", (int)c->v.last.result.ntext, c->v.last.result.text);
        assert_null(strstr(said, "hidden"));
        assert_null(strstr(said, "topsecret"));
    }
    SCOPE_SQL("SELECT count(*) FROM satchel_conflict", "0");
}

static void insert_that_meets_a_row_of_its_key_is_judged_by_that_row(void **state) {
    company *c = *state;
    uint64_t base = two_accounts(c);
    company_sql(c, "INSERT INTO pref(contact,channel,allowed) VALUES('ca','mail',0),('cb','mail',0)");
    may(c, &c->ann, base, "+ pref('ca' 'mail') allowed=1");
    may_not(c, &c->ann, base, "+ pref('cb' 'mail') allowed=1", SATCHEL_E_SCOPE, "profile rep may not make rows of pref");
    SCOPE_SQL("SELECT contact,allowed FROM pref", "ca|1 ; cb|0");
}

static void insert_does_not_pull_the_row_that_it_meets_into_the_view(void **state) {
    company *c = *state;
    uint64_t base = two_accounts(c);
    company_sql(c, "INSERT INTO member(phone,terr,points) VALUES('555',2,100)");
    may_not(c, &c->ann, base, "+ member('555') terr=1, points=0", SATCHEL_E_SCOPE, "may not make rows of member");
    may(c, &c->ann, base, "+ member('556') terr=1, points=1");
    may(c, &c->ann, base, "+ member('556') terr=1, points=2");
    SCOPE_SQL("SELECT phone,terr,points FROM member", "555|2|100 ; 556|1|2");
}

static void anywhere_is_anywhere(void **state) {
    company *c = *state;
    uint64_t base = two_accounts(c);
    may(c, &c->clerk, base, "~ account('b') name='y'");
    may(c, &c->clerk, base, "+ account('n') terr=9");
    may(c, &c->clerk, base, "- account('n')");
}

static void device_without_profile_writes_as_before(void **state) {
    company *c = *state;
    uint64_t base = two_accounts(c);
    may(c, &c->boss, base, "~ account('a') terr=2, secret='x'; + account('n'); - contact('cb')");
}

static void edit_made_before_the_row_moved_away_counts(void **state) {
    company *c = *state;
    uint64_t base = two_accounts(c);
    company_sql(c, "UPDATE account SET terr=2 WHERE id='a'");
    may(c, &c->ann, base, "~ account('a') name='unsent'; ~ contact('ca') name='unsent'");
    SCOPE_SQL("SELECT name FROM contact WHERE id='ca'", "unsent");
    may(c, &c->ann, base, "+ contact('late') account='a', name='unsent'");
    may(c, &c->ann, base, "~ contact('late') name='again'");
    may(c, &c->ann, base, "- contact('ca')");
    uint64_t after = company_head(c);
    may_not(c, &c->ann, after, "~ account('a') name='late'", SATCHEL_E_SCOPE,
            "the row of account is not one that a device of profile rep holds");
    may_not(c, &c->ann, after, "+ contact('later') account='a'", SATCHEL_E_SCOPE, "may not make rows of contact");
}

static void edit_made_before_the_device_changed_hands_counts(void **state) {
    company *c = *state;
    uint64_t base = two_accounts(c);
    company_sql(c, "UPDATE owner SET terr=3 WHERE id='ann'");
    company_view(c, &c->ann);
    int rc = push(&c->v, &c->ann, base, NOW, "~ contact('ca') name='unsent'");
    assert_int_equal(rc, SATCHEL_OK);
    rc = push(&c->v, &c->ann, company_head(c), NOW, "~ contact('ca') name='late'");
    assert_int_equal(rc, SATCHEL_E_SCOPE);
    company_sql(c, "UPDATE owner SET terr=1 WHERE id='ann'");
    company_view(c, &c->ann);
    rc = push(&c->v, &c->ann, base, NOW, "~ contact('ca') name='again'");
    assert_int_equal(rc, SATCHEL_OK);
}

/* Nothing was committed between the two: the device was at the same base with each. */
static void edit_made_between_two_changes_of_hands_counts(void **state) {
    company *c = *state;
    two_accounts(c);
    company_sql(c, "UPDATE account SET name='y'");
    uint64_t first = company_view(c, &c->ann), head = company_head(c);
    company_user(c, &c->ann, "rep", "bob");
    assert_int_not_equal(company_view(c, &c->ann), first);
    assert_int_equal(company_head(c), head);
    company_user(c, &c->ann, "rep", "nobody");
    company_view(c, &c->ann);
    may(c, &c->ann, head, "~ contact('cb') name='between'");
    may(c, &c->ann, head, "~ contact('ca') name='before'");
    may_not(c, &c->ann, company_head(c), "~ contact('cb') name='late'", SATCHEL_E_SCOPE, "");
    /* Many changes take no more. */
    company_sql(c, "UPDATE account SET name='z'");
    head = company_head(c);
    for (int i = 0; i < 5; i++) {
        company_user(c, &c->ann, "rep", i % 2 ? "nobody" : "bob");
        company_view(c, &c->ann);
    }
    assert_int_equal(company_head(c), head + 4);
    unsigned problems;
    buf report = {0};
    assert_int_equal(store_verify(c->v.s, &report, &problems), SATCHEL_OK);
    assert_int_equal(problems, 0);
    buf_fini(&report);
}

static void edit_of_a_row_deleted_meanwhile_counts_if_it_was_held(void **state) {
    company *c = *state;
    uint64_t base = two_accounts(c);
    company_sql(c, "DELETE FROM contact");
    may(c, &c->ann, base, "~ contact('ca') name='unsent'");
    SCOPE_SQL("SELECT id,name FROM contact", "ca|unsent");
    may_not(c, &c->ann, base, "~ contact('cb') name='mine'", SATCHEL_E_SCOPE, "");
}

static void insert_may_come_before_its_parent(void **state) {
    company *c = *state;
    uint64_t base = two_accounts(c);
    may(c, &c->ann, base, "+ note('n') contact='fresh', body='x'; + contact('fresh') account='a'");
    may_not(c, &c->ann, base, "+ note('m') contact='afresh', body='x'; + contact('afresh') account='b'", SATCHEL_E_SCOPE, "");
}

static void masked_column_of_an_insert_may_be_at_its_default_alone(void **state) {
    company *c = *state;
    uint64_t base = two_accounts(c), moved;
    buf error = {0};
    assert_int_equal(store_begin(c->v.s), SATCHEL_OK);
    sqlite3_str *rules = sqlite3_str_new(NULL);
    sqlite3_str_appendall(rules, COMPANY_RULES);
    sqlite3_str_appendall(rules, "INSERT INTO scope_write(profile,tbl,ops) VALUES('rep','account','insert');");
    char *text = sqlite3_str_finish(rules);
    assert_int_equal(scope_publish(c->v.s, "wider", text, c->v.now_ms, &moved, &error), SATCHEL_OK);
    assert_int_equal(store_commit(c->v.s), SATCHEL_OK);
    sqlite3_free(text);
    may(c, &c->ann, base, "+ account('n') terr=1, level=4");
    may_not(c, &c->ann, base, "+ account('m') terr=1, secret='x'", SATCHEL_E_SCOPE, "profile rep may not set account.secret");
    may_not(c, &c->ann, base, "+ account('m') terr=2", SATCHEL_E_SCOPE, "profile rep may not make rows of account");
    buf_fini(&error);
}

static void profile_that_the_rules_have_not_writes_nothing(void **state) {
    company *c = *state;
    uint64_t base = two_accounts(c);
    company_user(c, &c->bob, "ghost", "bob");
    assert_int_not_equal(company_view(c, &c->bob), 0);
    may_not(c, &c->bob, base, "~ contact('cb') name='x'", SATCHEL_E_SCOPE, "no longer have this device's profile");
}

/* T11: the parent was deleted while its child was made offline. */
static void T11_missing_parent_is_revived_parked_or_done_without_by_rule(void **state) {
    company *c = *state;
    uint64_t base = two_accounts(c);
    company_sql(c, "DELETE FROM contact; DELETE FROM account WHERE id='a'");
    may_not(c, &c->ann, base, "+ note('park') account='a', body='x'", SATCHEL_E_FOREIGN_KEY,
            "refers to a row of account that does not exist");
    may(c, &c->ann, base, "+ contact('revives') account='a', name='x'");
    SCOPE_SQL("SELECT id,terr,secret FROM account WHERE id='a'", "a|1|s");
    assert_string_equal(conflicts(&c->v), "account('a') row kept - lost - of 0");
    may(c, &c->ann, base, "+ note('keep') account='a', contact='ca', body='x'");
    may(c, &c->boss, base, "+ note('gone') contact='cb', body='x'");
    SCOPE_SQL("SELECT satchel_set FROM note WHERE id='gone'", "0");
    may_not(c, &c->ann, base, "+ note('p2') account='zz', body='x'", SATCHEL_E_FOREIGN_KEY, "");
    may(c, &c->ann, company_head(c), "~ contact('revives') name='the queue flows'");
}

static void missing_parent_that_was_refused_is_what_the_child_depends_on(void **state) {
    company *c = *state;
    uint64_t base = two_accounts(c);
    may_not(c, &c->ann, base, "+ contact('lost') account='b'", SATCHEL_E_SCOPE, "");
    uint64_t number = c->v.last.result.number;
    may_not(c, &c->ann, base, "+ contact('next') account='lost'", SATCHEL_E_FOREIGN_KEY, "");
    may_not(c, &c->boss, base, "+ note('n') account='none'", SATCHEL_E_FOREIGN_KEY, "");
    may_not(c, &c->ann, base, "~ contact('lost') name='x'", SATCHEL_E_DEPENDS, "");
    assert_int_equal(c->v.last.result.depends, number);
}

/* It lies where it lay, and who held it holds it; the deletion is what was lost. */
static void parent_that_the_same_transaction_deleted_comes_again_for_its_child(void **state) {
    company *c = *state;
    uint64_t base = two_accounts(c);
    may(c, &c->boss, base, "- account('a'); + contact('new') account='a'");
    SCOPE_SQL("SELECT id,terr,secret FROM account WHERE id='a'", "a|1|s");
    assert_string_equal(company_buckets(c, "account", "t.id='a'"), "terr:1");
    assert_string_equal(company_buckets(c, "contact", "t.id='new'"), "terr:1");
    assert_string_equal(conflicts(&c->v), "account('a') row kept - lost - of 4");
    may(c, &c->ann, company_head(c), "~ contact('new') name='x'; ~ account('a') name='y'");
}

/* By the company's rules, but that a contact that is gone comes again for who refers to it. */
static void revive_contacts(company *c) {
    uint64_t moved;
    buf error = {0};
    char text[4096];
    const char *keep = strstr(COMPANY_RULES, "'contact','contact',NULL,'keep'");
    assert_non_null(keep);
    snprintf(text, sizeof text, "%.*s'contact','contact',NULL,'revive'%s", (int)(keep - COMPANY_RULES), COMPANY_RULES,
             keep + strlen("'contact','contact',NULL,'keep'"));
    assert_int_equal(store_begin(c->v.s), SATCHEL_OK);
    assert_int_equal(scope_publish(c->v.s, "revive.sql", text, c->v.now_ms, &moved, &error), SATCHEL_OK);
    assert_int_equal(store_commit(c->v.s), SATCHEL_OK);
    buf_fini(&error);
}

/* What the parent follows has moved meanwhile: it is taken from who had it, as if it had never been away. */
static void parent_that_comes_again_elsewhere_than_it_lay_leaves_who_held_it(void **state) {
    company *c = *state;
    uint64_t base = two_accounts(c);
    revive_contacts(c);
    may(c, &c->boss, base, "~ account('a') terr=2; - contact('ca'); + note('n') contact='ca'");
    assert_string_equal(company_buckets(c, "contact", "t.id='ca'"), "terr:2");
    may(c, &c->bob, company_head(c), "~ contact('ca') name='his'");
}

/* A note brings its contact back, which is nothing without its account: all that stood above the note comes. Of several the keys are many, and grow while they are gone through. */
static void parent_that_comes_again_brings_its_own(void **state) {
    company *c = *state;
    uint64_t base = two_accounts(c);
    buf words = {0};
    revive_contacts(c);
    company_sql(c, "DELETE FROM contact; DELETE FROM account");
    for (unsigned i = 0; i < 20; i++)
        buf_printf(&words, "%s+ note('a note with a longer key, number %02u') contact='%s'", i ? "; " : "", i,
                   i % 2 ? "cb" : "ca");
    buf_put_byte(&words, 0);
    may(c, &c->boss, base, (const char *)words.p);
    SCOPE_SQL("SELECT id FROM account ORDER BY id", "a ; b");
    SCOPE_SQL("SELECT id FROM contact ORDER BY id", "ca ; cb");
    assert_string_equal(company_buckets(c, "note", "t.id='a note with a longer key, number 00'"), "terr:1");
    assert_string_equal(company_buckets(c, "note", "t.id='a note with a longer key, number 19'"), "terr:2");
    buf_fini(&words);
}

/* Such a row cannot be, nor come again. */
static void parent_whose_key_is_over_the_limit_refuses_its_child(void **state) {
    company *c = *state;
    uint64_t base = two_accounts(c);
    char words[LIMIT_KEY_BYTES + 100];
    static const char *const CHILD[] = {"contact", "note"}; /* 'revive' and 'park' */
    for (unsigned i = 0; i < 2; i++) {
        snprintf(words, sizeof words, "+ %s('x') account='%0*d'", CHILD[i], LIMIT_KEY_BYTES, 0);
        may_not(c, &c->boss, base, words, SATCHEL_E_TOO_LARGE, "a key is over the limit");
        assert_int_equal(c->v.last.result.table, schema_table_by_name(store_schema(c->v.s), CHILD[i])->id);
    }
    SCOPE_SQL("SELECT count(*) FROM note", "0");
}

/* The second is judged with the first, by where their parent lies at the end; not as one that meets another's row. */
static void insert_that_meets_a_row_of_its_own_transaction_may_come_before_its_parent_too(void **state) {
    company *c = *state;
    uint64_t base = two_accounts(c);
    may(c, &c->ann, base, "+ pref('new' 'mail') allowed=1; + pref('new' 'mail') allowed=0; + contact('new') account='a'");
    SCOPE_SQL("SELECT contact,allowed FROM pref", "new|0");
    may_not(c, &c->ann, base, "+ pref('cb' 'mail') allowed=1; + pref('cb' 'mail') allowed=0", SATCHEL_E_SCOPE,
            "make rows of pref");
    SCOPE_SQL("SELECT contact,allowed FROM pref", "new|0");
}

#define NOTES_OF_A_PART 60u

/* Notes about nothing, with keys as long as may be. */
static void put_notes(const company *c, unsigned part, buf *out) {
    static delta_row row;
    char id[LIMIT_KEY_BYTES - 8];
    delta_writer w;
    row = (delta_row){.table = schema_table_by_name(store_schema(c->v.s), "note")->id, .op = DELTA_PUT, .nkey = 1};
    delta_writer_init(&w);
    for (unsigned i = 0; i < NOTES_OF_A_PART; i++) {
        snprintf(id, sizeof id, "%0*u", (int)sizeof id - 1, part * NOTES_OF_A_PART + i);
        row.key[0] = value_text(id, sizeof id - 1);
        delta_put_row(&w, &row);
    }
    buf_clear(out);
    assert_int_equal(delta_finish(&w, out), SATCHEL_OK);
    delta_writer_fini(&w);
}

/* Their keys are put aside, and there is an end to that: it is told, or the device would be at it for ever. */
static void more_inserts_out_of_scope_than_can_be_put_aside_are_refused_with_what_to_do(void **state) {
    company *c = *state;
    push_txn t = make_txn(&c->ann, two_accounts(c), NOW);
    unsigned parts = LIMIT_BUF_BYTES / (NOTES_OF_A_PART * (LIMIT_KEY_BYTES - 9)) + 1;
    buf delta;
    buf_init(&delta, 0);
    for (t.last = false; !t.last; t.part++) {
        put_notes(c, (unsigned)t.part, &delta);
        t.delta = delta.p;
        t.ndelta = delta.n;
        t.last = t.part + 1 == parts;
        assert_int_equal(push_txn_raw(&c->v, &c->ann, &t, NULL), SATCHEL_OK);
    }
    const msg_result *r = &c->v.last.result;
    assert_int_equal(r->rc, SATCHEL_E_TOO_LARGE);
    char said[LIMIT_TEXT_BYTES + 1];
    snprintf(said, sizeof said, "%.*s", (int)r->ntext, r->text);
    assert_non_null(strstr(said, "write those first, in a transaction of their own"));
    assert_int_equal(r->table, schema_table_by_name(store_schema(c->v.s), "note")->id);
    SCOPE_SQL("SELECT count(*) FROM note", "0");
    buf_fini(&delta);
}

/* Its rights are those of its token, not a profile's. */
static void program_writes_in_any_bucket(void **state) {
    company *c = *state;
    two_accounts(c);
    buf delta;
    buf_init(&delta, 0);
    serving_delta(store_schema(c->v.s), "~ account('a') terr=2, secret='new'; + visit(1 1) account='b'", &delta);
    ingest_program_txn t = {.author = 99, .base = company_head(c), .delta = delta.p, .ndelta = delta.n};
    assert_int_equal(store_begin(c->v.s), SATCHEL_OK);
    assert_int_equal(ingest_program(c->v.g, &t, c->v.now_ms, &c->v.last), SATCHEL_OK);
    assert_int_equal(store_commit(c->v.s), SATCHEL_OK);
    assert_int_equal(c->v.last.result.rc, SATCHEL_OK);
    SCOPE_SQL("SELECT terr,secret,count(b) FROM account, visit WHERE id='a'", "2|new|1");
    company_check(c);
    buf_fini(&delta);
}

static int take_account(ingest *g, const char *id, const char *name) {
    const schema_table *t = schema_table_by_name(g->schema, "account");
    delta_row *in = &g->in;
    *in = (delta_row){.table = t->id, .op = DELTA_PUT, .nkey = 1, .ncol = 1};
    in->key[0] = value_text(id, strlen(id));
    in->col[0] = (delta_column){.id = t->col[2]->id, .kind = DELTA_SET};
    in->v[0] = value_text(name, strlen(name));
    return ingest_row(g, in);
}

static void row_that_the_rules_cannot_place_leaves_no_trace_in_an_import(void **state) {
    company *c = *state;
    uint64_t moved;
    ingest_position before;
    bool changed;
    buf error = {0};
    char *text = sqlite3_mprintf("%sINSERT INTO scope_bucket(tbl,name,value) VALUES('account','j','json_extract(name,''$'')');",
                                 COMPANY_RULES);
    assert_int_equal(store_begin(c->v.s), SATCHEL_OK);
    assert_int_equal(scope_publish(c->v.s, "json.sql", text, c->v.now_ms, &moved, &error), SATCHEL_OK);
    assert_int_equal(ingest_own_begin(c->v.g, c->v.now_ms, &before), SATCHEL_OK);
    assert_int_equal(take_account(c->v.g, "evil", "no json"), SATCHEL_E_CHECK);
    assert_int_equal(take_account(c->v.g, "good", "1"), SATCHEL_OK);
    assert_int_equal(ingest_own_end(c->v.g, &before, SATCHEL_OK, &changed), SATCHEL_OK);
    assert_int_equal(store_commit(c->v.s), SATCHEL_OK);
    SCOPE_SQL("SELECT id FROM account", "good");
    sqlite3_free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        SCOPE_TEST(profile_writes_what_its_rules_name),
        SCOPE_TEST(profile_writes_nothing_else),
        SCOPE_TEST(row_out_of_scope_is_not_written_and_nothing_of_it_is_told),
        SCOPE_TEST(insert_that_meets_a_row_of_its_key_is_judged_by_that_row),
        SCOPE_TEST(insert_does_not_pull_the_row_that_it_meets_into_the_view),
        SCOPE_TEST(anywhere_is_anywhere),
        SCOPE_TEST(device_without_profile_writes_as_before),
        SCOPE_TEST(edit_made_before_the_row_moved_away_counts),
        SCOPE_TEST(edit_made_before_the_device_changed_hands_counts),
        SCOPE_TEST(edit_made_between_two_changes_of_hands_counts),
        SCOPE_TEST(edit_of_a_row_deleted_meanwhile_counts_if_it_was_held),
        SCOPE_TEST(insert_may_come_before_its_parent),
        SCOPE_TEST(masked_column_of_an_insert_may_be_at_its_default_alone),
        SCOPE_TEST(profile_that_the_rules_have_not_writes_nothing),
        SCOPE_TEST(T11_missing_parent_is_revived_parked_or_done_without_by_rule),
        SCOPE_TEST(missing_parent_that_was_refused_is_what_the_child_depends_on),
        SCOPE_TEST(parent_that_the_same_transaction_deleted_comes_again_for_its_child),
        SCOPE_TEST(parent_that_comes_again_elsewhere_than_it_lay_leaves_who_held_it),
        SCOPE_TEST(parent_that_comes_again_brings_its_own),
        SCOPE_TEST(parent_whose_key_is_over_the_limit_refuses_its_child),
        SCOPE_TEST(insert_that_meets_a_row_of_its_own_transaction_may_come_before_its_parent_too),
        SCOPE_TEST(more_inserts_out_of_scope_than_can_be_put_aside_are_refused_with_what_to_do),
        SCOPE_TEST(program_writes_in_any_bucket),
        SCOPE_TEST(row_that_the_rules_cannot_place_leaves_no_trace_in_an_import),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
