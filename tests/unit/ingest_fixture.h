/* ingest_fixture.h - a schema with every rule and kind of table, three devices, and what the tests of ingest say about pushes. */
#ifndef TESTS_UNIT_INGEST_FIXTURE_H
#define TESTS_UNIT_INGEST_FIXTURE_H

#include "tests/support/serving.h"

/* Authors are the server 0, phone 1, tablet 2, till 3. */
typedef struct world {
    serving v;
    device phone, tablet, till;
    uint64_t base; /* the cursor at which everybody stands in the beginning */
} world;

int setup(void **state);
int teardown(void **state);
uint64_t head(world *w);
/* A change that everybody has seen, written by the server's hand at 9:00. */
void known(world *w, const char *words);
/* A transaction that must be accepted. */
void takes(world *w, device *d, uint64_t base, int seconds, const char *words);
/* One that must be refused with this code and with `text` in its words; nothing in the store but the result and the parked transaction may differ after it. */
void refuses(world *w, device *d, uint64_t base, int seconds, const char *words, int code, const char *text);

#define SQL(query, expected) assert_string_equal(sql(&w->v, query), expected)
#define CONFLICTS(expected) assert_string_equal(conflicts(&w->v), expected)
#define LOGGED(expected) assert_string_equal(logged(&w->v), expected)
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
