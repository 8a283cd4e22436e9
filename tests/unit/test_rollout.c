/* New rules for some devices first: what is refused, who gets them, and that each end leaves the rules and the devices as they are to be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"
#include "server/rollout.h"
#include "server/store_private.h"
#include "tests/unit/scope_fixture.h"

/* Reps get what is hot as well, may write owner's name no more, and are masked another column. The end of the line is missing, and there is what a rollout's own text is made of. */
static char *changed(void) {
    char *text = sqlite3_mprintf("%s", COMPANY_RULES), *at = strstr(text, "('rep','SELECT ''all''");
    char *out = sqlite3_mprintf("%.*s('rep','SELECT ''hot'',NULL UNION ALL SELECT ''all''%s\n"
                                "INSERT INTO scope_mask VALUES('rep','account','level');\n\n--|it''s\n-- \"said\"",
                                (int)(at - text), text, at + strlen("('rep','SELECT ''all''"));
    sqlite3_free(text);
    return out;
}

typedef struct done {
    int rc;
    uint64_t moved;
    char words[512];
} done;

/* One of the functions, in a transaction that is undone if it fails. `text` NULL: not start. */
static done act(company *c, const char *text, unsigned percent, int (*end)(store *, uint64_t, uint64_t *, buf *)) {
    done d = {0};
    buf error = {0};
    assert_int_equal(store_begin(c->v.s), SATCHEL_OK);
    if (text)
        d.rc = rollout_start(c->v.s, "new.sql", text, percent, c->v.now_ms, &d.moved, &error);
    else if (end)
        d.rc = end(c->v.s, c->v.now_ms, &d.moved, &error);
    else
        d.rc = rollout_advance(c->v.s, percent, c->v.now_ms, &d.moved, &error);
    if (d.rc)
        store_rollback(c->v.s);
    else
        assert_int_equal(store_commit(c->v.s), SATCHEL_OK);
    company_sql(c, "UPDATE owner SET terr=terr WHERE 0"); /* who merges learns of the rules when it begins */
    snprintf(d.words, sizeof d.words, "%.*s", (int)error.n, (const char *)error.p);
    buf_fini(&error);
    return d;
}

static void publish(company *c, const char *text) {
    buf error = {0};
    uint64_t moved;
    assert_int_equal(store_begin(c->v.s), SATCHEL_OK);
    int rc = scope_publish(c->v.s, "other.sql", text, c->v.now_ms, &moved, &error);
    if (rc) fail_msg("%.*s", (int)error.n, (const char *)error.p);
    assert_int_equal(store_commit(c->v.s), SATCHEL_OK);
    buf_fini(&error);
}

static void start(company *c, const char *text, unsigned percent, uint64_t moved) {
    done d = act(c, text, percent, NULL);
    assert_string_equal(d.words, "");
    assert_int_equal(d.rc, SATCHEL_OK);
    assert_int_equal(d.moved, moved);
}

static void stop(company *c, int (*end)(store *, uint64_t, uint64_t *, buf *), uint64_t moved) {
    done d = act(c, NULL, 0, end);
    assert_int_equal(d.rc, SATCHEL_OK);
    assert_int_equal(d.moved, moved);
}

static int put_words(void *ctx, const rollout_profile *p) {
    buf_printf(ctx, "%s %s %u %u %u;", p->name, p->next, (unsigned)p->devices, (unsigned)p->given, (unsigned)p->told);
    return 0;
}

static void assert_state(company *c, const char *wanted) {
    buf words = {0};
    assert_int_equal(rollout_each(&c->v.s->cache, put_words, &words), SATCHEL_OK);
    buf_put_byte(&words, 0);
    assert_string_equal((const char *)words.p, wanted);
    buf_fini(&words);
}

static void assert_in_force(company *c, const char *text) {
    buf hold = {0};
    assert_int_equal(scope_published(c->v.s, &hold), SATCHEL_OK);
    buf_put_byte(&hold, 0);
    assert_string_equal((const char *)hold.p, text);
    buf_fini(&hold);
}

static const char HOT[] = "INSERT INTO account(id,terr,name,secret) VALUES('a',1,'x','s'),('h',7,'hot','t')";
static const char PROFILES[] = "SELECT name,ifnull(profile,'') FROM satchel_device ORDER BY name";

static bool holds(company *c, const device *d, const char *row) {
    view *v;
    bool in;
    char query[128];
    snprintf(query, sizeof query, "SELECT satchel_set FROM account WHERE id='%s'", row);
    view_sets *sets;
    uint32_t set = (uint32_t)strtoul(sql(&c->v, query), NULL, 10);
    assert_int_equal(view_load(&c->v.s->cache, company_view(c, d), &v), SATCHEL_OK);
    assert_int_equal(view_sets_new(c->v.s->db, &sets), SATCHEL_OK);
    in = view_holds(v, sets, set) == 1;
    view_release(v);
    view_sets_free(sets);
    return in;
}

static void who_has_the_next_profile_is_under_the_new_rules_alone(void **state) {
    company *c = *state;
    char *text = changed();
    company_sql(c, HOT);
    start(c, text, 0, 0);
    assert_state(c, "rep rep@next 2 0 0;");
    SCOPE_SQL(PROFILES, "ann|rep ; bob|rep ; boss| ; clerk|clerk");
    company_user(c, &c->ann, "rep@next", "ann");
    assert_true(holds(c, &c->ann, "a") && holds(c, &c->ann, "h"));
    assert_false(holds(c, &c->bob, "h"));
    SCOPE_SQL("SELECT masks FROM satchel_view WHERE profile='rep@next'", "2:4,7");
    assert_state(c, "rep rep@next 2 1 0;");
    sql_exec(&c->v, "UPDATE satchel_device SET last_seen_ms=(SELECT max(at_ms) FROM satchel_scope)");
    assert_state(c, "rep rep@next 2 1 1;");
    stop(c, rollout_finish, 1);
    assert_in_force(c, text);
    SCOPE_SQL(PROFILES, "ann|rep ; bob|rep ; boss| ; clerk|clerk");
    SCOPE_SQL("SELECT name FROM satchel_scope ORDER BY version DESC LIMIT 1", "new.sql");
    assert_true(holds(c, &c->bob, "h"));
    assert_state(c, "");
    sqlite3_free(text);
}

static void aborted_all_is_as_it_was(void **state) {
    company *c = *state;
    char *text = changed();
    company_sql(c, HOT);
    uint64_t before = company_view(c, &c->ann);
    start(c, text, 100, 2);
    assert_state(c, "rep rep@next 2 2 0;");
    assert_true(holds(c, &c->ann, "h"));
    sql_exec(&c->v, "INSERT INTO satchel_enrol(name,secret_hash,expires_ms,profile) VALUES('later',x'00',9,'rep@next')");
    stop(c, rollout_abort, 2);
    assert_in_force(c, COMPANY_RULES);
    SCOPE_SQL("SELECT count(DISTINCT name),count(*) FROM satchel_scope WHERE version<>2", "1|2");
    SCOPE_SQL("SELECT profile FROM satchel_enrol WHERE name='later'", "rep");
    assert_int_equal(company_view(c, &c->ann), before);
    sqlite3_free(text);
}

static void more_devices_are_those_of_before_and_others(void **state) {
    company *c = *state;
    char *text = changed(), name[16];
    for (int i = 0; i < 18; i++) {
        snprintf(name, sizeof name, "d%02d", i);
        device d = serving_device(&c->v, name);
        company_user(c, &d, "rep", "ann");
    }
    start(c, text, 10, 2);
    assert_state(c, "rep rep@next 20 2 0;");
    char first[64];
    snprintf(first, sizeof first, "%s", sql(&c->v, "SELECT group_concat(id) FROM satchel_device WHERE profile='rep@next'"));
    /* One more by hand counts. */
    sql_exec(&c->v,
             "UPDATE satchel_device SET profile='rep@next' WHERE id=(SELECT max(id) FROM satchel_device WHERE profile='rep')");
    assert_int_equal(act(c, NULL, 15, NULL).moved, 0);
    assert_int_equal(act(c, NULL, 50, NULL).moved, 7);
    char query[160];
    snprintf(query, sizeof query, "SELECT count(*) FROM satchel_device WHERE profile='rep@next' AND id IN (%s)", first);
    SCOPE_SQL(query, "2");
    assert_int_equal(act(c, NULL, 20, NULL).moved, 0);
    assert_state(c, "rep rep@next 20 10 0;");
    /* Who is not to come does not count, and has its profile again like the others. */
    sql_exec(&c->v, "UPDATE satchel_device SET state=2 WHERE id=(SELECT max(id) FROM satchel_device WHERE profile='rep@next')");
    assert_state(c, "rep rep@next 19 9 0;");
    assert_int_equal(act(c, NULL, 100, NULL).moved, 10);
    stop(c, rollout_abort, 20);
    SCOPE_SQL("SELECT count(*) FROM satchel_device WHERE profile='rep'", "20");
    sqlite3_free(text);
}

static void assert_refused(company *c, const char *text, int rc, const char *words) {
    done d = act(c, text, 0, NULL);
    assert_string_equal(d.words, words);
    assert_int_equal(d.rc, rc);
}

static void what_does_not_belong_in_a_rollout_is_refused_with_its_place(void **state) {
    company *c = *state;
    char *text = sqlite3_mprintf("%sINSERT INTO scope_bucket(tbl,name) VALUES('note','hot');", COMPANY_RULES);
    assert_refused(
        c, text, SATCHEL_E_RULE,
        "new.sql:22: this says anew where rows of note lie, which is the same for all devices; publish that first (scope publish), and roll out what profiles "
        "make of it");
    sqlite3_free(text);
    text = sqlite3_mprintf("%s", COMPANY_RULES);
    memcpy(strstr(text, "  ('note','contact'"), "--", 2);
    assert_refused(
        c, text, SATCHEL_E_RULE,
        "new.sql: line 9 of the rules in force, about where rows of note lie, is not here, and that is the same for all devices; publish that first (scope "
        "publish), and roll out what profiles make of it");
    sqlite3_free(text);
    assert_refused(c, COMPANY_RULES, SATCHEL_E_RULE,
                   "new.sql: of every profile this says what the rules in force say; there is nothing to roll out");
    text = sqlite3_mprintf("%sINSERT INTO scope_profile(name,buckets) VALUES('x@next','SELECT ''all'',NULL');", COMPANY_RULES);
    assert_refused(c, text, SATCHEL_E_RULE, "new.sql:22: names that end in @next are those of a rollout; choose another");
    sqlite3_free(text);
    text = sqlite3_mprintf("%sINSERT INTO scope_mask VALUES('rep','account','nothing');", COMPANY_RULES);
    assert_refused(c, text, SATCHEL_E_RULE, "new.sql:22: table account has no column nothing; correct the name");
    sqlite3_free(text);
    text = sqlite3_mprintf("%sINSERT INTO scope_profile(name,buckets) VALUES('sales','SELECT ''all'',NULL');", COMPANY_RULES);
    assert_refused(c, text, SATCHEL_E_RULE,
                   "new.sql:22: profile sales is not in the rules in force; publish it first (scope publish): nobody has it yet");
    publish(c, text);
    assert_refused(
        c, COMPANY_RULES, SATCHEL_E_RULE,
        "new.sql: profile sales of the rules in force is not here; when no device has it any more, publish rules without it (scope publish)");
    publish(c, COMPANY_RULES);
    sqlite3_free(text);
    assert_string_equal(act(c, NULL, 5, NULL).words, "no rollout is under way");
    assert_int_equal(act(c, NULL, 0, rollout_finish).rc, SATCHEL_E_MISUSE);
    text = changed();
    start(c, text, 0, 0);
    char *both = sqlite3_mprintf("%s", sql(&c->v, "SELECT text FROM satchel_scope ORDER BY version DESC LIMIT 1"));
    assert_refused(
        c, text, SATCHEL_E_MISUSE,
        "a rollout of new.sql is under way; finish or abort it first, or publish other rules so that it ends (scope publish --end-rollout)");
    assert_in_force(c, both);
    stop(c, rollout_abort, 0);
    assert_refused(c, both, SATCHEL_E_RULE,
                   "new.sql: this is what was in force amid a rollout; take one of the files that it was made of");
    sqlite3_free(both);
    sqlite3_free(text);
}

/* Nothing runs into what stands behind it, and each comes out as it went in. */
static void texts_with_odd_ends_come_out_as_they_went_in(void **state) {
    static const char *const END[] = {"", "\n", "\n\n", "\r\n-- it's", " /* open", "\n--|x\n-- satchel rollout of: y\n"};
    company *c = *state;
    char *new = changed();
    for (size_t i = 0; i < sizeof END / sizeof *END; i++) {
        /* Without the semicolon of its last statement. */
        char *old = sqlite3_mprintf("%.*s%s", (int)strlen(COMPANY_RULES) - 2, COMPANY_RULES, END[i]);
        char *text = sqlite3_mprintf("%s\n%s", new, END[i]);
        publish(c, old);
        start(c, text, 100, 2);
        assert_state(c, "rep rep@next 2 2 0;");
        stop(c, rollout_abort, 2);
        assert_in_force(c, old);
        start(c, text, 50, 1);
        stop(c, rollout_finish, 1);
        assert_in_force(c, text);
        sqlite3_free(text);
        sqlite3_free(old);
    }
    sqlite3_free(new);
}

static void profiles_that_change_together_go_each_by_their_own_devices(void **state) {
    company *c = *state;
    char *text =
        sqlite3_mprintf("%sINSERT INTO scope_mask VALUES('rep','account','level'),('clerk','account','level');", COMPANY_RULES);
    device more = serving_device(&c->v, "more");
    company_user(c, &more, "clerk", "ann");
    sql_exec(&c->v, "UPDATE satchel_device SET state=4 WHERE name='bob'");
    start(c, text, 34, 2);
    assert_state(c, "clerk clerk@next 2 1 0;rep rep@next 2 1 0;");
    assert_int_equal(act(c, NULL, 51, NULL).moved, 2);
    stop(c, rollout_abort, 4);
    /* Who had the next profile in an earlier rollout, and was not here since, was not told of this one. */
    company_user(c, &c->ann, "rep@next", "ann");
    company_user(c, &c->ann, "rep", "ann");
    start(c, text, 100, 4);
    company_view(c, &c->ann);
    sql_exec(&c->v, "UPDATE satchel_device SET last_seen_ms=0");
    assert_state(c, "clerk clerk@next 2 2 0;rep rep@next 2 2 0;");
    char query[96];
    snprintf(query, sizeof query, "UPDATE satchel_device SET last_seen_ms=%llu WHERE name='ann'",
             (unsigned long long)c->v.now_ms);
    sql_exec(&c->v, query);
    assert_state(c, "clerk clerk@next 2 2 0;rep rep@next 2 2 1;");
    sqlite3_free(text);
}

/* A migration brings its rules past the admin's commands. */
static void rules_from_elsewhere_end_a_rollout(void **state) {
    company *c = *state;
    char *text = changed();
    buf error = {0};
    uint64_t moved = 0;
    start(c, text, 100, 2);
    assert_int_equal(store_begin(c->v.s), SATCHEL_OK);
    assert_int_equal(rollout_settle(c->v.s, c->v.now_ms, &moved), SATCHEL_OK);
    assert_int_equal(moved, 0);
    assert_int_equal(scope_publish(c->v.s, "scope.sql", COMPANY_RULES, c->v.now_ms, &moved, &error), SATCHEL_OK);
    assert_int_equal(rollout_settle(c->v.s, c->v.now_ms, &moved), SATCHEL_OK);
    assert_int_equal(store_commit(c->v.s), SATCHEL_OK);
    assert_int_equal(moved, 2);
    SCOPE_SQL(PROFILES, "ann|rep ; bob|rep ; boss| ; clerk|clerk");
    assert_state(c, "");
    buf_fini(&error);
    sqlite3_free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        SCOPE_TEST(who_has_the_next_profile_is_under_the_new_rules_alone),
        SCOPE_TEST(aborted_all_is_as_it_was),
        SCOPE_TEST(more_devices_are_those_of_before_and_others),
        SCOPE_TEST(what_does_not_belong_in_a_rollout_is_refused_with_its_place),
        SCOPE_TEST(texts_with_odd_ends_come_out_as_they_went_in),
        SCOPE_TEST(profiles_that_change_together_go_each_by_their_own_devices),
        SCOPE_TEST(rules_from_elsewhere_end_a_rollout),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
