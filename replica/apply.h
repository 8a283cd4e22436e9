/* apply.h - pages, snapshots, results and losses as transactions of the sync connection: each all or nothing, with the cursor in it. */
#ifndef REPLICA_APPLY_H
#define REPLICA_APPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "replica/file.h"

/* A whole MSG_PAGE message. A page that is one part of a large commit is staged; the last part applies all of them in one transaction,
 * read one by one. SATCHEL_E_ORDER if it does not begin at the cursor or a part is missing; codes of the form (SATCHEL_E_MALFORMED ...) and of
 * the database; nothing is applied then. */
int apply_page(file *f, const void *message, size_t n);
/* A whole MSG_SNAPSHOT message. *done is set with the last page. SATCHEL_E_ORDER if it is not the next one. */
int apply_snapshot(file *f, const void *message, size_t n, bool *done);
/* Inside file_begin. The parts that are staged are of a commit that does not come (N7). */
int apply_forget_parts(file *f);

#endif
