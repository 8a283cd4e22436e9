/* merge.h - the merge rules as pure functions of facts; merge.md numbers each rule (M1 ...) and the tests name the numbers.
 *
 * The caller (the server's ingest) establishes the facts about one clock unit: the stored field, the incoming one, what its author knew. The verdict
 * says what becomes of the stored value and whether the losing value goes to the conflict log. No I/O, no allocation. */
#ifndef PROTOCOL_MERGE_H
#define PROTOCOL_MERGE_H

#include <stdbool.h>

#include "protocol/clock.h"
#include "protocol/schema.h"
#include "protocol/value.h"

typedef enum merge_action {
    MERGE_KEEP,          /* the stored value stays */
    MERGE_TAKE,          /* the incoming value is written */
    MERGE_ADD,           /* counter: stored + delta is written */
    MERGE_COPY_STORED,   /* keep: incoming is written, the stored text becomes a copy row */
    MERGE_COPY_INCOMING, /* keep: stored stays, the incoming text becomes a copy row */
    MERGE_REFUSE         /* the whole transaction is refused with `rc` */
} merge_action;

typedef struct merge_facts {
    merge_rule rule;
    field_clock stored;   /* clock of the stored unit */
    field_clock incoming; /* effective stamp and author of the transaction; seq is the one being given */
    uint64_t base;        /* the transaction's base cursor */
    bool from_server;     /* the author is the server itself */
    bool equal;           /* incoming and stored value (all columns of a group) are equal */
    int compare;          /* value_compare(incoming, stored): max, min, strict */
    bool stored_null;     /* first, guard, keep, max, min: nothing stored yet */
    bool incoming_null;   /* keep, max, min */
    bool seen_is_stored;  /* guard: the value the device saw is the stored one */
    bool seen_allowed;    /* guard: (seen, incoming) is an allowed move */
    bool stored_allowed;  /* guard: (stored, incoming) is an allowed move */
} merge_facts;

typedef struct merge_verdict {
    merge_action action;
    bool conflict; /* a value was lost: log kept, lost, both clocks and the rule */
    int rc;        /* MERGE_REFUSE: SATCHEL_E_GUARD, SATCHEL_E_SERVER_OWNED, SATCHEL_E_RULE (bounded); else SATCHEL_OK */
} merge_verdict;

/* design 5: the stored field was known to the author: its seq is at most the base, or the same incarnation wrote it. */
bool merge_is_known(const field_clock *stored, const field_clock *incoming, uint64_t base);
/* After MERGE_TAKE, MERGE_ADD and MERGE_COPY_STORED the unit's clock is facts->incoming; otherwise it stays. What was lost is the stored
 * value after TAKE and COPY_STORED, the incoming one after KEEP and COPY_INCOMING. */
merge_verdict merge_field(const merge_facts *facts);

/* Counter arithmetic: NULL counts as 0; integers stay integers, else real. SATCHEL_E_RANGE on int64 overflow or a real that is not finite,
 * SATCHEL_E_TYPE on text, blob or an absent value. *out is written on success only and may be one of the operands. */
int merge_add(const value *a, const value *b, value *out);
/* new - old, for the device's delta. Same errors. */
int merge_subtract(const value *new_value, const value *old_value, value *out);

typedef enum merge_row_action {
    MERGE_ROW_KEEP,   /* the live row stays */
    MERGE_ROW_DELETE, /* the row is, or stays, deleted */
    MERGE_ROW_REVIVE  /* the tombstone's row is put back, and the update applied to it */
} merge_row_action;
/* A delete meets a live row. `latest_unknown`: some field was written concurrently (not known to the deleting author). *conflict: log the
 * deletion (KEEP) or the values that were written concurrently (DELETE). */
merge_row_action merge_delete(table_wins wins, bool latest_unknown, bool *conflict);
/* An update meets a tombstone of which its author did not know (who knew has no row to update: the caller refuses ROW_MISSING).
 * *conflict: log the update (DELETE) or the deletion (REVIVE). */
merge_row_action merge_update_of_deleted(table_wins wins, bool *conflict);

/* M10: the id of the copy row that keeps a losing text; the same for the same loss wherever it is computed. merge.md has the bytes. */
void merge_copy_id(uint32_t table, const void *key, size_t nkey, uint32_t column, const field_clock *lost, uint8_t out[16]);

/* As satchel_rule declarations write it, without the argument: "lww", "group" ...; never NULL, "unknown" for no rule. Static. */
const char *merge_rule_name(merge_rule rule);

#endif
