/* outbox_fixture.h - what the tests of the outbox share: an item that the server has given, what a device would send, and pruning. */
#ifndef TESTS_UNIT_OUTBOX_FIXTURE_H
#define TESTS_UNIT_OUTBOX_FIXTURE_H

#include "tests/support/replica_fixture.h"

/* A test on a fresh file. */
#define OUTBOX_TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

/* Ann, at 10. */
void outbox_give_item(fixture *x);
/* One push message from the cursor on; returns how many transactions (or parts) it has, the first in *first. */
unsigned outbox_push_one(fixture *x, outbox_cursor *at, buf *message, push_txn *first);
/* What a backup up to there lets go. */
void outbox_prune_up_to(fixture *x, uint64_t backup_seq);

#endif
