#include "tests/unit/outbox_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"

void outbox_give_item(fixture *x) {
    delta_row r = item_put("a", "Ann", 5, 100);
    assert_int_equal(page_apply(x, 10, &r, 1), SATCHEL_OK);
}

unsigned outbox_push_one(fixture *x, outbox_cursor *at, buf *message, push_txn *first) {
    push_reader reader;
    push_txn t;
    uint64_t last;
    unsigned n = 0;
    buf_clear(message);
    assert_int_equal(file_begin(x->f), SATCHEL_OK);
    int rc = outbox_push(x->f, at, message, &last);
    assert_true(rc >= 0);
    assert_int_equal(file_end(x->f, SATCHEL_OK), SATCHEL_OK);
    if (rc == 0) return 0;
    assert_int_equal(push_open(&reader, message->p, message->n), SATCHEL_OK);
    while ((rc = push_next(&reader, &t)) == 1)
        if (n++ == 0) *first = t;
    assert_int_equal(rc, 0);
    return n;
}

void outbox_prune_up_to(fixture *x, uint64_t backup_seq) {
    bool more;
    assert_int_equal(file_begin(x->f), SATCHEL_OK);
    x->f->state.backup_seq = backup_seq;
    assert_int_equal(file_end(x->f, outbox_prune(x->f, &more)), SATCHEL_OK);
}
