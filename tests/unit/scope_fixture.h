/* scope_fixture.h - a small company with rules of scope: owners of territories, accounts with contacts, notes on either, visits of the last 30 days. */
#ifndef TESTS_UNIT_SCOPE_FIXTURE_H
#define TESTS_UNIT_SCOPE_FIXTURE_H

#include "server/scope.h"
#include "tests/support/scope_replay.h"

/* ann has territory 1, bob 2; both are reps. boss has no profile. clerk is one that writes accounts anywhere, and sees what is 'hot'. */
typedef struct company {
    serving v;
    device ann, bob, clerk, boss;
} company;

extern const char COMPANY_SCHEMA[], COMPANY_RULES[];

int company_setup(void **state);
int company_teardown(void **state);
/* As the server, one transaction of SQL. */
void company_sql(company *c, const char *text);
/* What the device is to hold now; it has met the server. */
uint64_t company_view(company *c, const device *d);
/* "terr:1 hot" of the row with this condition. */
const char *company_buckets(company *c, const char *table, const char *where);
/* Every row lies where a plain query says; and the log gives each device what its view holds. */
void company_check(company *c);
void company_check_sets(company *c); /* the first half of it */
void company_user(company *c, const device *d, const char *profile, const char *user);
uint64_t company_head(company *c);
/* What time does, in a transaction that is open: how many rows moved. */
uint64_t company_upkeep(company *c);

#define SCOPE_TEST(name) cmocka_unit_test_setup_teardown(name, company_setup, company_teardown)
#define SCOPE_SQL(query, expected) assert_string_equal(sql(&c->v, query), expected)

#endif
