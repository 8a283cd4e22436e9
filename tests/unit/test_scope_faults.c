/* What a device is to hold, and what it is told of its rows, while memory is short: the truth or nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"
#include "server/checksum.h"
#include "tests/support/faults.h"
#include "tests/unit/scope_fixture.h"

static void device_s_view_is_that_of_its_user_or_none(void **state) {
    company *c = *state;
    uint64_t expected = company_view(c, &c->ann);
    for (fault_loop l = {0}; faults_next(&l);) {
        uint64_t id;
        assert_int_equal(store_begin(c->v.s), SATCHEL_OK);
        faults_at(l.n, l.all);
        int rc = scope_device_view(ingest_scope(c->v.g), c->ann.a.device, c->v.now_ms, &id);
        faults_at(0, false);
        store_rollback(c->v.s);
        if (rc && rc != SATCHEL_E_NOMEM) fail_msg("%s", satchel_rc_name(rc));
        if (!rc && id != expected) fail_msg("allocation %u%s: another view", l.n, l.all ? " and all" : "");
    }
}

/* The answer to a device that says its first accounts are others. */
static int answer(company *c, pages *r, uint64_t held, buf *out) {
    static sums_range asked;
    static checksum_outcome outcome;
    buf question = {0};
    frame *f = NULL;
    const schema_table *t = schema_table_by_name(store_schema(c->v.s), "account");
    checksum_memo *memo = checksum_memo_new();
    asked = (sums_range){.range = {.table = t->id, .nkey = 1, .has_to = true, .to = {value_text("b", 1)}}, .rows = 2};
    sums_begin(&(msg_sums){.cursor = company_head(c), .view = held, .ranges = 1}, &question);
    sums_put(&asked, &question);
    int rc = memo && !question.rc
                 ? checksum_answer(r, store_schema(c->v.s), held, &(checksum_asker){.memo = memo, .may_look = true}, question.p,
                                   question.n, &outcome, &f)
                 : SATCHEL_E_NOMEM;
    buf_clear(out);
    if (!rc) rc = frame_unpack(f->p, f->n, out);
    frame_release(f);
    checksum_memo_free(memo);
    buf_fini(&outcome.heal);
    buf_fini(&question);
    return rc;
}

static void S6_range_that_differs_is_given_again_whole_or_not_at_all(void **state) {
    company *c = *state;
    pages r;
    buf expected = {0}, given = {0}, error = {0};
    company_sql(c, "INSERT INTO account(id,terr,name) VALUES('a',1,'Ada'),('b',1,'Bert'),('c',1,'Cid')");
    uint64_t held = company_view(c, &c->ann);
    assert_int_equal(pages_open(&r, c->v.path, &error), SATCHEL_OK);
    assert_int_equal(answer(c, &r, held, &expected), SATCHEL_OK);
    for (fault_loop l = {0}; faults_next(&l);) {
        faults_at(l.n, l.all);
        int rc = answer(c, &r, held, &given);
        faults_at(0, false);
        if (rc && rc != SATCHEL_E_NOMEM) fail_msg("%s", satchel_rc_name(rc));
        if (!rc && (given.n != expected.n || memcmp(given.p, expected.p, given.n) != 0))
            fail_msg("allocation %u%s: another answer", l.n, l.all ? " and all" : "");
    }
    pages_close(&r);
    buf_fini(&expected);
    buf_fini(&given);
    buf_fini(&error);
}

int main(void) {
    faults_install();
    const struct CMUnitTest tests[] = {
        SCOPE_TEST(device_s_view_is_that_of_its_user_or_none),
        SCOPE_TEST(S6_range_that_differs_is_given_again_whole_or_not_at_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
