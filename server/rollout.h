/* rollout.h - new rules of scope for some devices first: what they make of a profile stands in the rules beside what it was, and devices are moved from the one to the other.
 *
 * A rollout of FILE takes for each profile P that FILE changes a second one, P@next, into the rules in force: query, horizon, masks and rights as FILE has them. A device whose profile is
 * P@next (SCOPE_NEXT) is under FILE's rules, one with P under those of before. At the end all of FILE is published, or the rules of before, and every P@next is P. Where rows lie (scope_bucket,
 * scope_parent) and which profiles there are is the same for all devices, so FILE may not change that; rules that do are published by themselves, before.
 *
 * The text in force tells all of it, and there is no other state: a line that names FILE, FILE as a comment, the profiles P@next, a line that names the rules of before, and these.
 *
 * Functions that take a store run on the writer, in its transaction, which is rolled back if they fail; `error` says what is wrong. SATCHEL_E_MISUSE: it is not the time for it. */
#ifndef SERVER_ROLLOUT_H
#define SERVER_ROLLOUT_H

#include "protocol/db.h"
#include "server/scope.h"

/* The text in force, taken apart. */
typedef struct rollout {
    buf before_name, before, name, text; /* zero-terminated: what was in force, and what is rolled out, as they were given */
} rollout;
/* Whether the rules in force are amid a rollout: 1 or 0, or a database code; of a reader too. */
int rollout_under_way(db_cache *db, rollout *out);
void rollout_fini(rollout *r);
/* SATCHEL_E_MISUSE, with words, if they are. */
int rollout_check_none(store *s, buf *error);

/* Whether rules may be published: they hold no rollout, and no profile's name is one of a rollout's. SATCHEL_E_RULE. */
int rollout_check_rules(const char *name, const char *sql, buf *error);

/* Puts the profiles that `sql` changes beside those that are, and gives them to so many percent of the devices of each (0: to none yet), as rollout_advance. SATCHEL_E_RULE: the rules
 * are wrong, or change nothing, or what is the same for all devices. */
int rollout_start(store *s, const char *name, const char *sql, unsigned percent, uint64_t now_ms, uint64_t *given, buf *error);
/* Until so many percent of the devices of each profile, rounded up, have the next one; none loses it. The devices are chosen by a hash of their numbers, so that more of them are those of
 * before and others; and the same ones go first in each rollout. *given: how many got it now. */
int rollout_advance(store *s, unsigned percent, uint64_t now_ms, uint64_t *given, buf *error);
/* Publishes what was rolled out, or what was before; each P@next is P. *given: to how many devices. */
int rollout_finish(store *s, uint64_t now_ms, uint64_t *given, buf *error);
int rollout_abort(store *s, uint64_t now_ms, uint64_t *given, buf *error);
/* Gives P to every device, and code, that has a P@next which the rules no longer have: rules that came with a migration, or past the rollout, end it. */
int rollout_settle(store *s, uint64_t now_ms, uint64_t *given);

/* One profile of a rollout. */
typedef struct rollout_profile {
    const char *name, *next;       /* valid until the next one */
    uint64_t devices, given, told; /* with either; with the next one; of these, who was here since */
} rollout_profile;
/* Each of the one that is under way, by name; of a reader too. */
int rollout_each(db_cache *db, int (*visit)(void *ctx, const rollout_profile *p), void *ctx);

#endif
