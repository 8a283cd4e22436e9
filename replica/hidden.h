/* hidden.h - what the author of a transaction did not see when he wrote it: columns whose confirmed value has moved beneath a pending change of
 * this device (satchel_base.unseen, which the overlay keeps). Called from the commit, on the app's connection. */
#ifndef REPLICA_HIDDEN_H
#define REPLICA_HIDDEN_H

#include "protocol/buf.h"
#include "protocol/db.h"
#include "protocol/schema.h"

/* Appends an item of protocol/unseen.h for the rows of a changeset; nothing if there is nothing hidden about them. */
int hidden_collect(db_cache *sql, const schema *s, const void *changeset, size_t n, buf *out);

#endif
