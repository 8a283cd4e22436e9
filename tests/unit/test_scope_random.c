/* Random transactions of the server and of devices: after each, every row lies where a plain query says; and now and then, the log gives each device what it may
 * hold, and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"
#include "server/automation.h"
#include "tests/unit/scope_fixture.h"

#define ROWS 5u
#define TERRITORIES 4u

static uint64_t state_of_random;

static unsigned below(unsigned n) {
    state_of_random = state_of_random * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(state_of_random >> 33) % n;
}

static bool exists(company *c, const char *table, const char *key) {
    char query[120];
    snprintf(query, sizeof query, "SELECT count(*) FROM %s WHERE %s", table, key);
    return sql(&c->v, query)[0] == '1';
}

static const char *name_of_account(char *out, size_t room) {
    snprintf(out, room, "%s", below(4) ? "x" : "hot");
    return out;
}

static size_t put_account(company *c, char *out, size_t room) {
    char key[32], name[8];
    unsigned a = below(ROWS);
    snprintf(key, sizeof key, "id='a%u'", a);
    if (!exists(c, "account", key))
        return (size_t)snprintf(out, room, "+ account('a%u') terr=%u, name='%s'; ", a, below(TERRITORIES),
                                name_of_account(name, sizeof name));
    switch (below(6)) {
    case 0:
        return (size_t)snprintf(out, room, "~ account('a%u') terr=NULL, secret='%u'; ", a, below(100));
    case 1:
        return (size_t)snprintf(out, room, "~ account('a%u') name='%s'; ", a, name_of_account(name, sizeof name));
    case 2:
        return (size_t)snprintf(out, room, "- account('a%u'); %s", a, below(2) ? "" : "- contact('c0'); ");
    default:
        return (size_t)snprintf(out, room, "~ account('a%u') terr=%u; ", a, below(TERRITORIES));
    }
}

static size_t put_contact(company *c, char *out, size_t room) {
    char key[32];
    unsigned a = below(ROWS), b = below(ROWS);
    snprintf(key, sizeof key, "id='c%u'", a);
    if (!exists(c, "contact", key))
        return (size_t)snprintf(out, room, "+ contact('c%u') account='a%u', name='n%u'; ", a, b, below(9));
    if (!below(5)) return (size_t)snprintf(out, room, "- contact('c%u'); ", a);
    return (size_t)snprintf(out, room, below(2) ? "~ contact('c%u') account='a%u'; " : "~ contact('c%u') name='n%u'; ", a, b);
}

static size_t put_note(company *c, char *out, size_t room) {
    char key[32];
    unsigned a = below(ROWS), b = below(ROWS);
    snprintf(key, sizeof key, "id='n%u'", a);
    if (!exists(c, "note", key))
        return (size_t)snprintf(out, room, "+ note('n%u') account='a%u', contact='c%u'; ", a, b, below(ROWS));
    if (!below(5)) return (size_t)snprintf(out, room, "- note('n%u'); %s", a, below(2) ? "" : "+ note('n0') account='a0'; ");
    return (size_t)snprintf(out, room, below(2) ? "~ note('n%u') contact='c%u', body='b'; " : "~ note('n%u') account='a%u'; ", a,
                            b);
}

static size_t put_visit(company *c, char *out, size_t room) {
    char key[32];
    unsigned a = below(ROWS), b = below(3);
    unsigned long long at = c->v.now_ms - below(60) * 86400000ull;
    snprintf(key, sizeof key, "a=%u AND b=%u", a, b);
    if (!exists(c, "visit", key))
        return (size_t)snprintf(out, room, "+ visit(%u %u) account='a%u', at_ms=%llu; ", a, b, below(ROWS), at);
    return (size_t)snprintf(out, room, "~ visit(%u %u) at_ms=%llu; ", a, b, at);
}

static size_t put_change(company *c, char *out, size_t room) {
    static size_t (*const PUT[])(company *, char *, size_t) = {put_account, put_account, put_contact,
                                                               put_contact, put_note,    put_visit};
    return PUT[below(6)](c, out, room);
}

static void transact(company *c, unsigned *accepted, int seconds) {
    char words[1200];
    size_t n = 0;
    for (unsigned i = 0, of = 1 + below(4); i < of; i++) n += put_change(c, words + n, sizeof words - n);
    device *const author[] = {&c->boss, &c->boss, &c->boss, &c->boss, &c->ann, &c->bob, &c->clerk};
    device *d = author[below(7)];
    uint64_t head = company_head(c), base = below(3) ? head : head > 6 ? head - below(6) : 0;
    int rc = push(&c->v, d, base, seconds, words);
    *accepted += rc == 0;
    if (getenv("SCOPE_SEED"))
        print_message("%u base %llu: %s%s\n", d->a.author, (unsigned long long)base, words, satchel_rc_name(rc));
}

static void give_or_end(company *c) {
    char key[8];
    int64_t id;
    buf error = {0};
    assert_int_equal(store_begin(c->v.s), SATCHEL_OK);
    snprintf(key, sizeof key, "'%c%u'", below(2) ? 'a' : 'c', below(ROWS));
    int rc = scope_grant(c->v.s, ingest_scope(c->v.g), below(2) ? "ann" : "clerk", key[1] == 'a' ? "account" : "contact", key,
                         c->v.now_ms + 1 + below(2) * 86400000, "", c->v.now_ms, &id, &error);
    assert_true(rc == SATCHEL_OK || rc == SATCHEL_E_NOT_FOUND);
    if (below(2)) c->v.now_ms += below(3) * 86400000;
    if (below(2)) company_upkeep(c);
    assert_int_equal(store_commit(c->v.s), SATCHEL_OK);
    buf_fini(&error);
}

/* What follows by itself moves rows too, makes and deletes them; some of it fails by its SQL, some when it is merged, some only at the end of its commit (a note
 * without the account that it follows). */
static const char AUTOMATIONS[] =
    "INSERT INTO automation(name, tbl, event, condition, actions, overwrites) VALUES\n"
    "('follow', 'contact', 'put', 'new.name IN (''n1'', ''n2'', ''n3'')',\n"
    "  'UPDATE account SET terr=CASE (SELECT name FROM new) WHEN ''n1'' THEN 1 WHEN ''n2'' THEN 2 END WHERE id IN (SELECT account FROM new)', 1),\n"
    "('fill', 'account', 'insert', NULL, 'UPDATE account SET name=''hot'' WHERE id IN (SELECT id FROM new) AND terr=3', 0),\n"
    "('note', 'visit', 'put', NULL, 'INSERT INTO note(id, account, body) SELECT ''v''||new.a||new.b, new.account, ''met'' FROM new WHERE 1'\n"
    "  ||' ON CONFLICT(id) DO UPDATE SET account=excluded.account', 1),\n"
    "('tidy', 'account', 'delete', NULL, 'DELETE FROM note WHERE account IN (SELECT id FROM old)', 0),\n"
    "('bad', 'note', 'put', NULL, 'INSERT INTO contact(id, account) SELECT ''x''||new.id, ''nobody'' FROM new', 0),\n"
    "('worse', 'contact', 'update', NULL, 'UPDATE account SET terr=9 WHERE id IN (SELECT account FROM new); INSERT INTO owner(id) VALUES(''ann'')', 1),\n"
    "('moves', 'account', 'update', 'new.terr=2', 'UPDATE contact SET name=''moved'' WHERE account IN (SELECT id FROM new)', 1);";

static void publish_automations(company *c) {
    uint64_t n;
    buf error = {0};
    assert_int_equal(store_begin(c->v.s), SATCHEL_OK);
    int rc = automation_publish(c->v.s, "automation.sql", AUTOMATIONS, c->v.now_ms, &n, &error);
    if (rc) fail_msg("%.*s", (int)error.n, (const char *)error.p);
    assert_int_equal(store_commit(c->v.s), SATCHEL_OK);
}

static void check_store(company *c) {
    unsigned problems;
    buf report = {0};
    assert_int_equal(store_verify(c->v.s, &report, &problems), SATCHEL_OK);
    if (problems) fail_msg("%.*s", (int)report.n, (const char *)report.p);
    buf_fini(&report);
}

static void run(company *c, uint64_t seed) {
    unsigned accepted = 0;
    state_of_random = seed * 77777 + 1;
    if (seed % 2) publish_automations(c);
    for (int i = 0; i < 120; i++) {
        transact(c, &accepted, 7200 + i);
        if (!below(12)) give_or_end(c);
        if (!below(10)) company_check(c);
        company_check_sets(c);
    }
    company_check(c);
    check_store(c);
    assert_true(accepted > 30);
    if (!(seed % 2)) return;
    assert_string_equal(sql(&c->v, "SELECT count(DISTINCT name)>=2 FROM satchel_automation_run WHERE wrote>0"), "1");
    assert_string_equal(sql(&c->v, "SELECT count(DISTINCT name)>=1 FROM satchel_automation_run WHERE rc<>0"), "1");
}

static void every_row_lies_where_the_rules_say_after_any_history(void **state) {
    const char *seeds = getenv("SCOPE_SEEDS"), *first = getenv("SCOPE_SEED");
    uint64_t from = first ? strtoull(first, NULL, 10) : 1, n = seeds ? strtoull(seeds, NULL, 10) : 3;
    (void)state;
    for (uint64_t seed = from; seed < from + n; seed++) {
        void *c;
        company_setup(&c);
        print_message("seed %llu\n", (unsigned long long)seed);
        run(c, seed);
        company_teardown(&c);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_row_lies_where_the_rules_say_after_any_history)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
