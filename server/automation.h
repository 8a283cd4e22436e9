/* automation.h - what the server does by itself when rows change, or when it is time: rules as SQL data.
 *
 * The rules are one text of INSERT statements into a table of their own, `automation.sql` in the schema directory; it is published at the store's first start, later
 * ones by the admin (automation_publish). What was published last is in force.
 *
 *   automation(name, tbl, event, columns, condition, every, actions, overwrites, about)
 *     name        of the rule, once
 *     tbl, event  the table that it watches, and what fires it: 'insert', 'update', 'delete', or 'put' (insert or update)
 *     columns     names with commas: an update fires only if one of these changed. NULL: any
 *     condition   SQL expression over new.* and, for an update or a put, old.* (all NULL if the row is new); a deleted row is old.*. NULL: always
 *     every       in the place of tbl and event, a timer: '5m', '1h', '1d', or '1d 02:00' for a time of day (UTC)
 *     actions     INSERT, UPDATE and DELETE statements over synced tables, with ; between. They read the row that fired them from the tables `new` and `old`, as above, and
 *                 `event`, each of one row: event(seq, at_ms, stamp_ms, author, user, device): the commit that is the cause, the server's time, the author's own, and who it
 *                 was: his number (0: the server), and the user and the name that the device was given. A timer has `event` alone, with seq 0.
 *     overwrites  1: its updates may replace a value that somebody else than the server wrote last. 0, the default: such a value is left as it is, and the history says so;
 *                 and what the rule writes gives way to what somebody wrote before and the server hears of later (its stamp is its commit's number, below any time), and to a
 *                 deletion; a row that somebody has deleted is not made again. What an import, SQL of the admin's or an admin's retry wrote is the server's: a rule goes over that.
 *                 A rule with 1 is somebody who edits: who deletes his row before he has heard of that gets it back (protocol/merge.md, M14)
 *     about       for people
 *
 * satchel_now() is the server's time there, in milliseconds. A rule is refused, naming file and line and what to do, if its SQL does not compile against the schema or writes
 * what is no synced table.
 *
 * Rules fire in the store transaction that commits their cause, whoever its author is, right after it: all that they write for one cause is one commit of the server's more, through
 * capture and merge as any SQL of the server's. So each rule has its effect exactly once per cause, or the cause is not there either. What they write is a cause again,
 * LIMIT_AUTOMATION_ROUNDS deep at most, and with half as much to look at each round: then the chain ends before the round too many, and the history names it. A rule that fails hurts neither its cause nor the others: what it
 * did is undone, and the history says why. Where several are refused only when their writes are merged, each firing of that round becomes a commit of its own. A statement that takes longer than
 * LIMIT_AUTOMATION_MS, or ends in OR ROLLBACK, takes the open transaction with it; it comes again, and the rule is left out, as one that fails, until rules are published or switched, or the server is started anew. */
#ifndef SERVER_AUTOMATION_H
#define SERVER_AUTOMATION_H

#include "server/ingest.h"

typedef struct automation automation;

/* Compiles what was published last. `error` names the place. */
int automation_open(store *s, automation **out, buf *error);
void automation_free(automation *a);
/* Whether the rules, and which of them are on, are still those in force; else open anew. */
int automation_is_current(automation *a, bool *current);

/* ---- the admin; on the writer, in its transaction ---- */

/* Puts the rules in the place of those before, on as they were; timers that are new, or that run at other times, count from now. Nothing is changed if it fails. `rules` counts them. */
int automation_publish(store *s, const char *name, const char *sql, uint64_t now_ms, uint64_t *rules, buf *error);
/* The text in force. SATCHEL_E_NOT_FOUND. */
int automation_published(store *s, buf *text);
/* A timer that is switched on counts from now. SATCHEL_E_NOT_FOUND with words. */
int automation_switch(store *s, const char *name, bool on, uint64_t now_ms, buf *error);
/* What the rule would write for this row as it is now (an update: as if all of its columns had changed to what they are), and what would follow from that; everything is undone. Lines of text. SATCHEL_E_NOT_FOUND, _MISUSE with words. */
int automation_try(ingest *g, const char *name, const char *table, const char *key_literals, uint64_t now_ms, buf *report,
                   buf *error);
/* A timer, now. *failed: the rule itself, and its history says why. SATCHEL_E_NOT_FOUND, _MISUSE with words. */
int automation_run(ingest *g, const char *name, uint64_t now_ms, bool *failed, buf *error);

typedef struct automation_replayed {
    uint64_t id, wrote; /* the entry of the history in the place of the one that failed */
    bool failed;        /* it has failed as well, says why, and can be run again in its turn */
} automation_replayed;
/* Runs a firing that failed (entry `id` of the history) again, with the rule and the row as they are now; once. The event is what it was (seq, author, user, device, stamp_ms), its time now. What an
 * update had before is not kept: old.* is new.*, and of an insert NULL as ever. The condition is asked, unless it is left aside. Nothing is done, and words say why, with
 * SATCHEL_E_NOT_FOUND: entry, rule or row are gone; SATCHEL_E_RESOLVED: it was run again or dismissed before; SATCHEL_E_MISUSE: it has not failed, the condition does not hold, the rule is off, a timer, or
 * about something else by now, or fired for a row's deletion. */
int automation_replay(ingest *g, uint64_t id, bool unconditional, uint64_t now_ms, automation_replayed *out, buf *error);

/* Settles a firing that failed and is not to be run again. SATCHEL_E_NOT_FOUND, SATCHEL_E_RESOLVED: it was run again or dismissed before, SATCHEL_E_MISUSE: it has not failed; with words. */
int automation_dismiss(store *s, uint64_t id, uint64_t now_ms, buf *error);

typedef struct automation_info {
    const char *name, *table, *event, *columns, *condition, *every, *actions, *about; /* may be NULL but for name and actions */
    bool overwrites, active;
    uint64_t last_ms;     /* of a timer: when it ran last or was made; else the newest in the history, 0: none */
    uint64_t ran, failed; /* in the history; what is settled has not failed */
} automation_info;
int automation_list(store *s, int (*visit)(void *ctx, const automation_info *), void *ctx, buf *error);
typedef struct automation_run_info {
    uint64_t id, seq, at_ms, ms, wrote;
    uint64_t replays;                  /* the entry that this one is in the place of; 0: none */
    uint64_t replayed_by, replayed_ms; /* that in the place of this one, and when; 0: none */
    uint64_t
        settled_ms; /* of what failed: when it was run again or dismissed, or, of a timer, when that ran well; 0: it waits for that */
    const char *name, *table, *key, *words; /* key as SQL literals; NULL: of a timer */
    int rc;
} automation_run_info;
/* Newest first; of one rule, or (NULL) of all. */
int automation_history(store *s, const char *name, uint64_t limit, int (*visit)(void *ctx, const automation_run_info *),
                       void *ctx);

/* ---- timers ---- */

/* Whether one is due. */
int automation_due(ingest *g, uint64_t now_ms, bool *due);
/* Runs those that are, each once however long ago that was. One that fails itself is due again after a minute, then two, at last every hour. */
int automation_timers(ingest *g, uint64_t now_ms);

#endif
