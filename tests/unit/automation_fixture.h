/* automation_fixture.h - rules of automation over ingest_fixture.h's world: published, switched, run and tried. */
#ifndef TESTS_UNIT_AUTOMATION_FIXTURE_H
#define TESTS_UNIT_AUTOMATION_FIXTURE_H

#include "server/automation.h"
#include "tests/unit/ingest_fixture.h"

void publish(world *w, const char *rules);
/* "rule wrote rc words" of each, oldest first. */
#define HISTORY(expected)                                                                                                        \
    SQL("SELECT name||' '||wrote||coalesce(' '||words,'') FROM satchel_automation_run ORDER BY id", expected)

/* A rule by which a line is made of each item of some number, or whose l changes. */
extern const char COPY[];

/* A timer, now; `failed`: whether it is to fail. */
void run_timer(world *w, const char *name, bool failed);
void switch_rule(world *w, const char *name, bool on);
/* What it would do, as text; valid until the next call. */
const char *try_rule(world *w, const char *name, const char *table, const char *key);
/* Lines for the log since the last call; valid until the next. */
const char *alerts(world *w);

#endif
