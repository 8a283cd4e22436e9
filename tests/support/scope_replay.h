/* scope_replay.h - the log as one device hears it, replayed row by row, against what the store says that it holds.
 *
 * Asserts on the way: an update or a leave of a row that is not held, a put or update with a masked column. */
#ifndef TESTS_SUPPORT_SCOPE_REPLAY_H
#define TESTS_SUPPORT_SCOPE_REPLAY_H

#include "tests/support/serving.h"

/* Replays the whole log, from an empty device on, for a view, and compares: the same rows as those whose set the view holds, with the same values. */
void scope_replay(serving *v, uint64_t view_id);

#endif
