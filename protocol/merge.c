#include "protocol/merge.h"

#include <math.h>
#include <string.h>

#include "protocol/crypto.h"
#include "protocol/satchel_rc.h"

bool merge_is_known(const field_clock *stored, const field_clock *incoming, uint64_t base) {
    return stored->seq <= base || stored->author == incoming->author;
}

static bool known(const merge_facts *f) {
    return merge_is_known(&f->stored, &f->incoming, f->base);
}

static bool later(const merge_facts *f) {
    return clock_compare(&f->incoming, &f->stored) > 0;
}

static merge_verdict verdict(merge_action action, bool conflict) {
    return (merge_verdict){.action = action, .conflict = conflict, .rc = SATCHEL_OK};
}

static merge_verdict refuse(int rc) {
    return (merge_verdict){.action = MERGE_REFUSE, .rc = rc};
}

/* Both sides say the same: nothing is lost, and the field's clock is the later of the two. */
static merge_verdict agree(const merge_facts *f) {
    return verdict(later(f) ? MERGE_TAKE : MERGE_KEEP, false);
}

/* The incoming value is written; the stored one was lost only if its overwriting was not a knowing one. */
static merge_verdict overwrite(const merge_facts *f) {
    return verdict(MERGE_TAKE, !known(f));
}

/* The incoming value loses, which its author cannot have wanted: it is logged even from one who knew the stored value. */
static merge_verdict lose(void) {
    return verdict(MERGE_KEEP, true);
}

/* M1, M2 */
static merge_verdict merge_lww(const merge_facts *f) {
    if (f->equal) return agree(f);
    return later(f) ? overwrite(f) : lose();
}

/* M3, M4. `better` is the sign of `compare` that wins. NULL is nothing yet: it loses to any value, for min too. */
static merge_verdict merge_extreme(const merge_facts *f, int better) {
    if (f->stored_null && f->incoming_null) return agree(f);
    if (f->stored_null) return verdict(MERGE_TAKE, false);
    if (f->incoming_null) return lose();
    if (f->compare == 0) return agree(f);
    return (f->compare > 0) == (better > 0) ? overwrite(f) : lose();
}

/* M6. An equal value does not move the clock: who came first stays its author. */
static merge_verdict merge_first(const merge_facts *f) {
    if (f->equal) return verdict(MERGE_KEEP, false);
    return f->stored_null ? verdict(MERGE_TAKE, false) : lose();
}

/* M7. A device-written value can be stored only where the column was not always the server's; the server takes it over whatever its stamp. */
static merge_verdict merge_server(const merge_facts *f) {
    if (!f->from_server) return f->equal ? verdict(MERGE_KEEP, false) : refuse(SATCHEL_E_SERVER_OWNED);
    if (f->stored.author == f->incoming.author) return merge_lww(f);
    return f->equal ? verdict(MERGE_TAKE, false) : overwrite(f);
}

/* M8. Moves are judged in the order of commits: a later stamp does not undo a move that the table of moves does not let it undo. */
static merge_verdict merge_guard(const merge_facts *f) {
    if (f->equal) return agree(f);
    if (f->stored_null) return verdict(MERGE_TAKE, false);
    if (f->from_server) return overwrite(f);
    if (!f->seen_allowed) return refuse(SATCHEL_E_GUARD);
    if (f->seen_is_stored) return verdict(MERGE_TAKE, false);
    return f->stored_allowed ? verdict(MERGE_TAKE, true) : lose();
}

/* M10. A NULL that loses is logged, but makes no copy: there is no text to keep. */
static merge_verdict merge_keep(const merge_facts *f) {
    if (f->equal) return agree(f);
    if (known(f)) return verdict(MERGE_TAKE, false);
    if (later(f)) return verdict(f->stored_null ? MERGE_TAKE : MERGE_COPY_STORED, true);
    return verdict(f->incoming_null ? MERGE_KEEP : MERGE_COPY_INCOMING, true);
}

/* M11. NULL compares below every value, so nothing said counts as not allowed. An equal value moves the clock whatever its stamp: who
 * knows only the first of two prohibitions must not loosen the second. */
static merge_verdict merge_strict(const merge_facts *f) {
    if (f->equal || f->compare == 0) return verdict(MERGE_TAKE, false);
    if (known(f)) return verdict(MERGE_TAKE, false);
    return f->compare < 0 ? verdict(MERGE_TAKE, true) : lose();
}

merge_verdict merge_field(const merge_facts *f) {
    switch (f->rule) {
    case RULE_LWW:
    case RULE_GROUP:
        return merge_lww(f);
    case RULE_MAX:
        return merge_extreme(f, 1);
    case RULE_MIN:
        return merge_extreme(f, -1);
    case RULE_COUNTER: /* M5 */
        return verdict(MERGE_ADD, false);
    case RULE_FIRST:
        return merge_first(f);
    case RULE_SERVER:
        return merge_server(f);
    case RULE_GUARD:
        return merge_guard(f);
    case RULE_KEEP:
        return merge_keep(f);
    case RULE_STRICT:
        return merge_strict(f);
    case RULE_BOUNDED: /* M9: no schema holds it */
        break;
    }
    return refuse(SATCHEL_E_RULE);
}

static bool is_number(const value *v) {
    return v->type == VALUE_NULL || v->type == VALUE_INTEGER || v->type == VALUE_REAL;
}

static int64_t as_integer(const value *v) {
    return v->type == VALUE_INTEGER ? v->u.i : 0;
}

static double as_real(const value *v) {
    return v->type == VALUE_REAL ? v->u.r : (double)as_integer(v);
}

static int finite_real(double r, value *out) {
    if (!isfinite(r)) return SATCHEL_E_RANGE;
    *out = value_real(r);
    return SATCHEL_OK;
}

int merge_add(const value *a, const value *b, value *out) {
    int64_t sum;
    if (!is_number(a) || !is_number(b)) return SATCHEL_E_TYPE;
    if (a->type == VALUE_REAL || b->type == VALUE_REAL) return finite_real(as_real(a) + as_real(b), out);
    if (__builtin_add_overflow(as_integer(a), as_integer(b), &sum)) return SATCHEL_E_RANGE;
    *out = value_integer(sum);
    return SATCHEL_OK;
}

int merge_subtract(const value *new_value, const value *old_value, value *out) {
    int64_t difference;
    if (!is_number(new_value) || !is_number(old_value)) return SATCHEL_E_TYPE;
    if (new_value->type == VALUE_REAL || old_value->type == VALUE_REAL)
        return finite_real(as_real(new_value) - as_real(old_value), out);
    if (__builtin_sub_overflow(as_integer(new_value), as_integer(old_value), &difference)) return SATCHEL_E_RANGE;
    *out = value_integer(difference);
    return SATCHEL_OK;
}

/* M13, M14 */
merge_row_action merge_delete(table_wins wins, bool latest_unknown, bool *conflict) {
    *conflict = latest_unknown;
    return latest_unknown && wins == WINS_UPDATE ? MERGE_ROW_KEEP : MERGE_ROW_DELETE;
}

merge_row_action merge_update_of_deleted(table_wins wins, bool *conflict) {
    *conflict = true;
    return wins == WINS_UPDATE ? MERGE_ROW_REVIVE : MERGE_ROW_DELETE;
}

static uint8_t *put_big_endian(uint8_t *p, uint64_t v, unsigned bytes) {
    while (bytes--) *p++ = (uint8_t)(v >> 8 * bytes);
    return p;
}

void merge_copy_id(uint32_t table, const void *key, size_t nkey, uint32_t column, const field_clock *lost, uint8_t out[16]) {
    uint8_t layout[4 + 32 + 4 + 8 + 4], digest[32];
    uint8_t *p = put_big_endian(layout, table, 4);
    crypto_sha256(key, nkey, p);
    p = put_big_endian(p + 32, column, 4);
    p = put_big_endian(p, lost->stamp, 8);
    put_big_endian(p, lost->author, 4);
    crypto_sha256(layout, sizeof layout, digest);
    memcpy(out, digest, 16);
}

const char *merge_rule_name(merge_rule rule) {
    switch (rule) {
    case RULE_LWW:
        return "lww";
    case RULE_GROUP:
        return "group";
    case RULE_MAX:
        return "max";
    case RULE_MIN:
        return "min";
    case RULE_COUNTER:
        return "counter";
    case RULE_FIRST:
        return "first";
    case RULE_SERVER:
        return "server";
    case RULE_GUARD:
        return "guard";
    case RULE_BOUNDED:
        return "bounded";
    case RULE_KEEP:
        return "keep";
    case RULE_STRICT:
        return "strict";
    }
    return "unknown";
}
