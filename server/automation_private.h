/* automation_private.h - what the files of the automation engine share: the rules as they were compiled, and one run of them.
 *
 * automation.c opens and publishes; automation_admin.c lists, tries and switches, and tells of timers and history; automation_compile.c checks a rule and prepares its statements; automation_run.c notes what changes, and fires. */
#ifndef SERVER_AUTOMATION_PRIVATE_H
#define SERVER_AUTOMATION_PRIVATE_H

#include "server/automation.h"
#include "server/ingest_private.h"
#include "server/rule_text.h"

/* What a rule listens to; bits. The history keeps them. */
enum { EVENT_INSERT = 1, EVENT_UPDATE = 2, EVENT_DELETE = 4, EVENT_TIMER = 8 };

enum {
    FIELD_NAME,
    FIELD_TABLE,
    FIELD_EVENT,
    FIELD_COLUMNS,
    FIELD_CONDITION,
    FIELD_EVERY,
    FIELD_ACTIONS,
    FIELD_OVERWRITES,
    FIELD_ABOUT
};

typedef struct automation_rule {
    const rule_row *row; /* its text */
    const char *name;
    unsigned events;
    bool active, overwrites;
    const schema_table *t;            /* NULL: a timer */
    bool any, columns[LIMIT_COLUMNS]; /* by place in t->col; any: whichever changed */
    sqlite3_stmt *when;               /* NULL: always */
    unsigned nstep;
    sqlite3_stmt **step;
    int64_t every_ms, offset_ms; /* a timer is due at offset + n * every */
    unsigned tries;              /* of a timer that failed, one after the other */
    uint64_t failed_ms;          /* the last of them */
    unsigned strikes;            /* transactions that its SQL has cost for want of memory */
    const char *out;             /* why it is left out until it is switched on anew; static, NULL: it is not */
    /* In this run. */
    bool stopped;
    uint64_t looks, took_us; /* how often it was looked at, and all that together */
    uint64_t failures;
    char *words; /* of the first of them */
} automation_rule;

/* One change, as it was noted. Values point into the note. */
typedef struct automation_event {
    unsigned op;  /* EVENT_ */
    uint64_t seq; /* of the commit; 0: a timer, or it is tried */
    unsigned nchain;
    uint16_t chain[LIMIT_AUTOMATION_ROUNDS +
                   1]; /* the rules, each following from the one before, that made it; the rule itself for a timer */
    const schema_table *t;
    bool changed[LIMIT_COLUMNS];
    value is[LIMIT_COLUMNS], was[LIMIT_COLUMNS]; /* by place in t->col */
} automation_event;

/* The rules in force as they are written, not compiled; none: an empty text. */
int automation_read_text(store *s, rule_text *out, buf *error);

struct automation {
    store *s;
    int64_t stamp; /* 0: no rules */
    /* The store as it was when the stamp was found to be in force. */
    int64_t seen_stamp;
    uint64_t seen_events;
    char *name;
    rule_text text;
    automation_rule *rule;
    unsigned n;
    uint8_t *watched;              /* by table: EVENT_ of the rules that are on */
    bool (*heeded)[LIMIT_COLUMNS]; /* by table and place: columns whose update fires one of them */
    unsigned limit_ms;             /* of one statement */
    /* Of the change that is looked at. */
    automation_event event;
};

/* The text in the automation of its own, checked against the store's schema. */
int automation_open_text(store *s, const char *name, const char *sql, automation **out, buf *error);
int automation_compile(automation *a, buf *error);
void automation_rule_fini(automation_rule *r);
/* NULL: there is none. */
automation_rule *automation_find(automation *a, const char *name);
/* Where the values of `event` begin among a rule's parameters. */
unsigned automation_event_parameter(const automation_rule *r);

/* ---- automation_run.c ---- */

/* One rule that is to be fired by itself. */
typedef struct automation_order {
    unsigned rule;
    field_clock cause; /* whose commit `event` tells of */
    bool unconditional;
    uint64_t replays; /* the entry of the history in whose place it is, and is noted whatever it does; 0: none */
} automation_order;
/* Fires it for the change that stands in `rows`; *fired: its condition held. *failed: it could not do what it is to. */
int automation_fire_one(ingest *g, const automation_order *order, buf *rows, uint64_t now_ms, bool *fired, bool *failed);
/* As it is noted; seq 0: of no commit; op EVENT_TIMER: of rule number `rule`. */
void automation_put_event(buf *b, unsigned op, uint64_t seq, const schema *s, const schema_table *t, const value *is,
                          const row_changes *changes);
void automation_put_timer(buf *b, unsigned rule);

#endif
