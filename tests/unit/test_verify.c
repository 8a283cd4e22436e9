/* satchel_verify: each kind of damage is planted in a file with work in every state, and found in its own words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"
#include "tests/support/replica_fixture.h"

#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

/* 1 confirmed, 2 accepted, 3 refused, 4 and 5 waiting, the last of them in parts. */
static void make_history(fixture *x) {
    app_sql(x, "INSERT INTO item(id, name, stock) VALUES('a', 'Ann', 1)");
    accept_at(x, 1, 11);
    delta_row r = item_put("a", "Ann", 0, 1);
    assert_int_equal(page_apply(x, 11, &r, 1), SATCHEL_OK);
    app_sql(x, "UPDATE item SET price=2; INSERT INTO tag(id, label) VALUES('t', 'x')");
    accept_at(x, 2, 12);
    refuse_with(x, 3, SATCHEL_E_CHECK, "no such label");
    app_sql(x, "UPDATE item SET stock=stock+5; UPDATE item SET note=hex(randomblob(5000))");
    assert_int_equal(app_integer(x, "SELECT count(*) FROM satchel_outbox"), 5);
    assert_int_equal(app_integer(x, "SELECT count(*) FROM satchel_outbox_part WHERE n=5"), 1);
}

static void finds(fixture *x, const char *damage, const char *words) {
    buf report = {0};
    make_history(x);
    if (file_verify(x->f, &report)) fail_msg("%.*s", (int)report.n, report.p ? (const char *)report.p : "");
    char *error = NULL;
    if (sqlite3_exec(x->f->db, damage, NULL, NULL, &error)) fail_msg("%s: %s", damage, error);
    assert_int_equal(file_verify(x->f, &report), SATCHEL_E_CORRUPT);
    buf_put_byte(&report, 0);
    if (!strstr((const char *)report.p, words)) fail_msg("%s: %s", damage, (const char *)report.p);
    buf_fini(&report);
}

#define FINDS(name, damage, words)                                                                                               \
    static void verify_finds_##name(void **state) {                                                                              \
        finds(*state, damage, words);                                                                                            \
    }

FINDS(part_that_is_gone, "DELETE FROM satchel_outbox_part", "transaction 5 lacks some of its changes")
FINDS(part_too_many, "INSERT INTO satchel_outbox_part(n, part, changes) VALUES(5, 7, x'')",
      "transaction 5 lacks some of its changes, or has too many")
FINDS(part_of_nothing, "INSERT INTO satchel_outbox_part(n, part, changes) VALUES(99, 0, x'')",
      "transaction 99 is not there, but has changes")
FINDS(changes_that_are_gone, "UPDATE satchel_outbox SET changes=NULL WHERE n=1", "transaction 1 lacks some of its changes")
FINDS(changes_that_cannot_be_read, "UPDATE satchel_outbox SET changes=substr(changes, 1, 9) WHERE n=1",
      "transaction 1 has changes that cannot be read")
FINDS(changes_of_no_table,
      "UPDATE satchel_outbox SET changes=x'540101' || cast('nix' AS BLOB) || x'00' || x'1200' || x'0301' || x'61' WHERE n=1",
      "transaction 1 changes a table")
FINDS(changes_with_other_columns,
      "UPDATE satchel_outbox SET changes=x'540101' || cast('item' AS BLOB) || x'00' || x'1200' || x'0301' || x'61' WHERE n=1",
      "transaction 1 has other columns")
FINDS(epoch_that_never_was, "UPDATE satchel_outbox SET epoch=9 WHERE n=4",
      "transaction 4 was written under a schema that this file never had")
FINDS(state_that_is_none, "UPDATE satchel_outbox SET state=7 WHERE n=1", "transaction 1 has no state")
FINDS(id_that_is_none, "UPDATE satchel_outbox SET id=x'01' WHERE n=4", "transaction 4 has no state, or no id")
FINDS(accepted_by_no_commit, "UPDATE satchel_outbox SET seq=NULL WHERE n=2", "transaction 2 was accepted, but not by a commit")
FINDS(accepted_that_should_be_confirmed, "UPDATE satchel_outbox SET seq=11 WHERE n=2; UPDATE satchel_state SET placed=1",
      "transaction 2 was accepted by a commit that is here")
FINDS(incarnation_to_come, "UPDATE satchel_outbox SET incarnation=5 WHERE n=4", "transaction 4 is of an incarnation to come")
FINDS(waiting_that_counts_as_settled, "UPDATE satchel_state SET settled_number=4", "transaction 4 waits, and counts as settled")
FINDS(settled_more_than_there_was, "UPDATE satchel_state SET sent_number=50", "more was sent or settled")
FINDS(cursor_ahead_of_the_server, "UPDATE satchel_state SET placed=1, cursor=head+5", "the cursor is ahead of the server")
FINDS(view_of_no_server, "UPDATE satchel_state SET view=3", "a view that no server has named")
FINDS(view_that_is_none, "UPDATE satchel_state SET epoch=x'0102030405060708', view=-1", "a view that no server has named")
FINDS(stage_of_no_commit, "INSERT INTO satchel_stage(part, page) VALUES(0, x'00')", "parts of a commit that does not come")
FINDS(value_that_the_overlay_does_not_give,
      "DELETE FROM satchel_base; INSERT INTO satchel_base(tbl, key, state, seq, row) VALUES(2, x'030171', 0, 1, NULL)",
      "overlay: table 2, key q")

int main(void) {
    const struct CMUnitTest tests[] = {
        T(verify_finds_part_that_is_gone),
        T(verify_finds_part_too_many),
        T(verify_finds_part_of_nothing),
        T(verify_finds_changes_that_are_gone),
        T(verify_finds_changes_that_cannot_be_read),
        T(verify_finds_changes_of_no_table),
        T(verify_finds_changes_with_other_columns),
        T(verify_finds_epoch_that_never_was),
        T(verify_finds_state_that_is_none),
        T(verify_finds_id_that_is_none),
        T(verify_finds_accepted_by_no_commit),
        T(verify_finds_accepted_that_should_be_confirmed),
        T(verify_finds_incarnation_to_come),
        T(verify_finds_waiting_that_counts_as_settled),
        T(verify_finds_settled_more_than_there_was),
        T(verify_finds_cursor_ahead_of_the_server),
        T(verify_finds_view_of_no_server),
        T(verify_finds_view_that_is_none),
        T(verify_finds_stage_of_no_commit),
        T(verify_finds_value_that_the_overlay_does_not_give),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
