/* hub_scoped.h - a hub with rules, and two devices that keep what they are given. */
#ifndef TESTS_UNIT_HUB_SCOPED_H
#define TESTS_UNIT_HUB_SCOPED_H

#include "tests/unit/hub_fixture.h"

/* An item belongs to whom its column a names; a device is a user, and stands in for those that rows of `long` name: their key is 'user.anything'. */
#define RULES_AND_RIGHTS(masks, anywhere)                                                                                                   \
    "INSERT INTO scope_bucket(tbl,name,value) VALUES('item','own','a'),('long','all',NULL);\n"                                              \
    "INSERT INTO scope_profile(name,buckets) VALUES('rep','SELECT ''all'',NULL UNION ALL SELECT ''own'',:user UNION ALL "                   \
    "SELECT ''own'',a FROM long WHERE k LIKE :user||''.%'''),('chief','SELECT ''all'',NULL UNION ALL SELECT ''own'',a FROM item');\n" masks \
    "INSERT INTO scope_write(profile,tbl,ops,anywhere) VALUES('rep','item','insert,update,delete'," anywhere ");\n"
#define RULES(masks) RULES_AND_RIGHTS(masks, "1")
#define MASK "INSERT INTO scope_mask(profile,tbl,columns) VALUES('rep','item','b');\n"

/* What the phone, which is ann, and the tablet, which is bob, hold. Four items: two of ann's, one of bob's, one of nobody who is there. */
extern holding phone, tablet;
int setup_scope(void **state);
int teardown_scope(void **state);
#undef TEST
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_scope, teardown_scope)

/* What the admin does; each settles. */
void publish(world *w, const char *rules);
/* The same, but the hub is not told of it. */
void commit_rules(world *w, const char *rules);
void grant_to(world *w, const char *name, const char *key, uint64_t until_ms);
/* To the phone. */
void grant(world *w, const char *key, uint64_t until_ms);
/* `profile` is an SQL expression. */
void give_profile(world *w, const char *name, const char *profile, const char *user);

/* A new connection that has read all; it goes on where `before` was, unless that is NULL. */
link *connect_device(world *w, device *d, const char *name, holding *h, const link *before);
link *connect_phone(world *w, const link *before);
link *connect_tablet(world *w, const link *before);
/* As many pages as came. */
void pull_again(world *w, link *l);

#define HOLDS(h, expected) assert_string_equal(holding_sql(h, "SELECT id,a,n FROM item ORDER BY id"), expected)
#define COUNTS(h, expected) assert_string_equal(holding_counts(h), expected)

#endif
