/* store_private.h - what the files of the store share: the handle. */
#ifndef SERVER_STORE_PRIVATE_H
#define SERVER_STORE_PRIVATE_H

#include "protocol/db.h"
#include "server/store.h"

struct store {
    sqlite3 *db;
    db_cache cache;
    schema *schema;
    store_position committed, now; /* now: as of the open transaction */
    uint64_t history_seq;          /* every commit up to here is older than the history that is kept; as of the last look */
    bool open;                     /* a transaction is open */
    bool spoiled;                  /* what was to be undone in it was not: it must not be committed */
    /* What a scope remembers may be untrue when this has changed: something was undone, or rules or grants are others. */
    uint64_t scope_events;
    int64_t scope_version;    /* the last that was given to rules here: one that was undone is not given again */
    int64_t automation_stamp; /* likewise of the automations */
    int64_t scope_now_ms;     /* satchel_now() of this connection (scope.h) */
    int64_t settled_author;   /* of this device's incarnation the last refusal was that an admin settled: it is to hear of it */
    buf error;
};

/* Notes words for store_error and passes the code on. */
int store_fail(store *s, int rc, const char *what);
/* Gives the next seq of the open transaction. */
uint64_t store_next_seq(store *s);
/* Reads the schema again after a migration. */
int store_reload_schema(store *s, buf *error);
/* Appends what the device's last comparison found, if there was one (store_device_compared); on any connection to the store. */
int store_device_found(db_cache *c, int64_t id, buf *found);
/* Appends what waited on the device by table when it last said hello, as JSON [{"table": text, "changes": number}...]: "[]" once all of it has its result,
 * "null" if it did not tell. *told_ms: when it was; 0: never. On any connection to the store. */
int store_device_waiting(db_cache *c, int64_t id, buf *waiting, uint64_t *told_ms);

/* N3: whether files of a device's incarnations `a` and `b` may both have transaction `n`, as SQL of satchel_author: one came with the younger's. Where that has not said
 * hello, it is not known how many did. */
#define STORE_MAY_SHARE(n) n "<=coalesce(CASE WHEN b.incarnation>a.incarnation THEN b.shared ELSE a.shared END," n ")"

/* For an UPDATE of satchel_device: a device that is not to come does nothing any more. */
#define NO_ORDERS "verify_ms=0,rotate_key_ms=0"

/* store_layout.c: the format that this program writes, as PRAGMA user_version; and, inside a transaction, the steps from an older one (0: nothing yet). */
int store_format(void);
int store_layout(sqlite3 *db, int from);

/* migrations.c: runs the migrations of a directory that the store has not, each with its data file in one transaction. */
int migrations_run(store *s, const char *dir, uint64_t now_ms, buf *error);
/* Publishes the directory's scope.sql, if there is one and no rules are in force. */
int migrations_scope(store *s, const char *dir, uint64_t now_ms, buf *error);
/* The same of its automation.sql. */
int migrations_automation(store *s, const char *dir, uint64_t now_ms, buf *error);

#endif
