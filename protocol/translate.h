/* translate.h - one captured change as one row of a delta: from positions of a schema epoch to stable column ids.
 *
 * Used where a changeset leaves for ingest: by the replica's push, and by the server for SQL of its own authors. An insert becomes PUT with every
 * non-key column set; an update becomes UPDATE with the touched columns (counters as the difference, guarded ones with the value seen); a
 * delete becomes DELETE. The values point into the changeset. */
#ifndef PROTOCOL_TRANSLATE_H
#define PROTOCOL_TRANSLATE_H

#include "protocol/changeset.h"
#include "protocol/delta.h"
#include "protocol/schema.h"

/* `epoch` is the schema epoch under which the change was captured (P1). SATCHEL_E_UNKNOWN_TABLE if no table of that epoch has the name,
 * SATCHEL_E_SCHEMA if the column count differs from the layout, SATCHEL_E_RANGE or _TYPE if a counter's difference cannot be taken. */
int translate_change(const schema *s, uint32_t epoch, const changeset_change *change, delta_row *out);

/* Whether an insert, which has every column, says nothing of this one: it is NULL or the default (M7, M15). */
bool translate_says_nothing(const schema_column *c, const value *v);
/* M15: makes of an insert the update as which it is merged into a row of its key: of the columns that it says something of, counters as what they have beyond
 * the default. SATCHEL_E_RANGE or _TYPE if that cannot be taken; *column is the one (and undefined otherwise). */
int translate_insert_as_update(const schema_table *t, delta_row *row, const schema_column **column);

#endif
