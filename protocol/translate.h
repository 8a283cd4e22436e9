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

#endif
