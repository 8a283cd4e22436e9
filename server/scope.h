/* scope.h - who may hold and change which rows: rules as SQL data, and what follows from them.
 *
 * The rules are one text of INSERT statements into five tables, `scope.sql` in the schema directory; it is published at the store's first start, later ones by
 * the admin (scope_publish). What was published last is in force. Without any, every row lies in the bucket 'all' and every device holds everything.
 *
 *   scope_bucket(tbl, name, value, condition)   rows of tbl for which `condition` (SQL; NULL: always) holds lie in bucket `name:<value>`, value
 *                                               being an SQL expression over the row; NULL value: the bucket `name` itself. Several rows of one table add up.
 *                                               A value that is NULL for a row: no bucket.
 *   scope_parent(tbl, parent, columns, condition, missing, buckets)
 *                                               rows of tbl for which `condition` holds lie in every bucket of the row of `parent` whose key `columns`
 *                                               hold; with `buckets` only in those of these names, with commas (NULL: all; a grant goes along always): so a till has
 *                                               its members without the notes on them. missing: what an insert from a device meets whose parent is not there: 'park' (default: refused, E_FOREIGN_KEY),
 *                                               'revive' (a deleted one is put back, the deletion logged as lost), 'keep' (taken in all the same).
 *   scope_profile(name, buckets, horizon_days)  `buckets`: a SELECT of (name, value) pairs, value NULL for the bucket `name` itself, with parameters :device (its
 *                                               name), :user, :store (as the device was given them) and :now (ms). Horizon: after so many days (30) unseen it is fenced.
 *   scope_mask(profile, tbl, columns)           never sent to devices of the profile
 *   scope_write(profile, tbl, ops, columns, anywhere)
 *                                               ops: some of 'insert,update,delete'; columns (NULL: all that are not masked): which an update may change and an insert
 *                                               may set beyond the default; anywhere 1: also where the row (an insert: what it makes) is not in the device's view.
 *                                               What no row names, the profile may not write. Reading needs no row here.
 *
 * Every synced table has at least one scope_bucket or scope_parent. In conditions and values satchel_now() is the server's time in ms, as of midnight
 * UTC: rows whose rules name it are looked at again each day, which is how a time window ends.
 *
 * Rules are refused, naming file and line and what to do: SQL that does not compile against the schema, or reads other tables in an expression; unknown tables, columns,
 * profiles; a table without rules; parents in a circle, or whose key has another number of columns, or is of another type (numbers, text, any); masks of key columns, of NOT NULL columns without default, of a part of a group,
 * of a column that a parent rule reads.
 *
 * Invariant: at each commit, satchel_set of every row is what the rules say of the committed state. */
#ifndef SERVER_SCOPE_H
#define SERVER_SCOPE_H

#include "protocol/delta.h"
#include "server/store.h"
#include "server/view.h"

typedef struct scope scope;

/* What the name of a profile ends in that stands beside the one without it (rollout.h). */
#define SCOPE_NEXT "@next"

/* Of every row while no rules are in force: the bucket 'all' alone. */
#define SET_ALL 1u

/* Compiles what was published last; again after a migration or scope_publish. `error` names the place. */
int scope_open(store *s, scope **out, buf *error);
void scope_free(scope *c);
/* Whether rules are in force. */
bool scope_is_on(const scope *c);

/* ---- rows; on the writer, in its transaction ---- */

/* At the beginning of a transaction, once the rules are known to be current. */
int scope_refresh(scope *c);
/* Whether the rules are still those in force; else open anew. */
int scope_is_current(scope *c, bool *current);
/* The set that the rules say for the row as it is in the store now (0 if it is in no bucket). orphan: it names a parent that is not there. SATCHEL_E_NOT_FOUND: there is no such
 * row; SATCHEL_E_RULE: an expression fails over it (sqlite3_errmsg). */
int scope_set_of_row(scope *c, const schema_table *t, const value *key, uint32_t *set, bool *orphan);
/* Whether a change of the column at this place in t->col can change the row's set. */
bool scope_reads(const scope *c, const schema_table *t, unsigned place);
/* Writes the row's set. */
int scope_put_set(scope *c, const schema_table *t, const value *key, uint32_t set);
/* Calls visit for every row that has this one as parent. */
int scope_each_child(scope *c, const schema_table *t, const value *key,
                     int (*visit)(void *ctx, const schema_table *child, const value *key), void *ctx);
typedef enum scope_missing { MISSING_PARK, MISSING_REVIVE, MISSING_KEEP } scope_missing;
/* A parent that a row names and that is not there, and what an insert from a device then meets. */
typedef struct scope_missing_parent {
    scope_missing missing;
    const schema_table *parent;
    value key[LIMIT_KEY_COLUMNS]; /* valid until the next call */
} scope_missing_parent;
/* The next one by the table's rules from number *n on: 1, 0, or a database code. */
int scope_missing_parent_of(scope *c, const schema_table *t, const value *key, unsigned *n, scope_missing_parent *out);
/* Whether rows of the table have children by the rules. */
bool scope_has_children(const scope *c, const schema_table *t);
/* Whether a change of this table can change what a profile's query gives. */
bool scope_profiles_read(const scope *c, const schema_table *t);

/* ---- devices ---- */

/* The view that a device is to hold now, interned; noted in satchel_held if it is another than before. 0 for a device without profile, and when there are no rules. */
int scope_device_view(scope *c, int64_t device, uint64_t now_ms, uint64_t *view_id);
/* What a device may write. `author`'s device and what it held at `base` decide; SATCHEL_OK, or SATCHEL_E_SCOPE with words for people in `words`. Called before the row is
 * merged (`made` false: an update, a delete) and after (`made` true: the row that an insert made, whose satchel_set is in the store). */
int scope_check_write(scope *c, const author_info *author, uint64_t base, const schema_table *t, const delta_row *row, bool made,
                      buf *words);

/* ---- the admin; on the writer, in its transaction, which is rolled back if one of these fails ---- */

/* Publishes: compiles, looks at every row again, and logs what moves as one commit of the server's, with put and leave; nothing is changed if it fails.
 * A scope that is open learns of it at its next transaction (scope_is_current); the hub is told. The first rules move no row on anybody: they only say where each lies. `moved` counts
 * rows. */
int scope_publish(store *s, const char *name, const char *sql, uint64_t now_ms, uint64_t *moved, buf *error);
/* What publishing would do, without doing it: for each device rows that it would get and lose, by table; and rows in all that move. Lines of text, or JSON. */
int scope_dry_run(store *s, const char *name, const char *sql, uint64_t now_ms, bool json, buf *report, buf *error);
/* Why a row is on a device, or why not: its buckets and by which rule, through which parents; the device's buckets; masks; write rights. SATCHEL_E_NOT_FOUND: the row, the table or
 * the device; `error` says which. */
int scope_explain(store *s, scope *c, const char *device, const char *table, const char *key_literals, uint64_t now_ms, bool json,
                  buf *report, buf *error);
/* Gives a device a row, and what follows it, until a time; and takes it back before. The moves are logged as a commit of the server's. */
int scope_grant(store *s, scope *c, const char *device, const char *table, const char *key_literals, uint64_t until_ms,
                const char *reason, uint64_t now_ms, int64_t *id, buf *error);
int scope_revoke_grant(store *s, scope *c, int64_t id, uint64_t now_ms, buf *error);
/* What time does: grants that are over; and, once a day, rows whose rules name satchel_now(). Each part in an undo point of its own: rules that fail over the rows of one are no reason
 * against the other. *moved rows. */
typedef enum scope_part { SCOPE_GRANTS, SCOPE_DAY } scope_part;
int scope_upkeep(store *s, scope *c, scope_part part, uint64_t now_ms, uint64_t *moved, buf *error);
/* When that is due next; UINT64_MAX without rules. */
int scope_upkeep_due(store *s, uint64_t now_ms, uint64_t *at_ms);
/* The text in force. SATCHEL_E_NOT_FOUND. */
int scope_published(store *s, buf *text);

#endif
