/* Laws of the codec on random content: what was encoded decodes to the same; what was accepted encodes to the same bytes; whatever is
 * cut, flipped, put in or taken out is refused by name or is another message in its only encoding. Inputs lie in allocations of exactly
 * their size, so that a sanitizer sees a read beyond them. */
#include <string.h>

#include "protocol/message.h"
#include "protocol/satchel_rc.h"
#include "tests/property/reencode.h"
#include "tests/property/seeds.h"

#define MAX_ROWS 12
#define MAX_TXNS 6

/* Texts and blobs of random values are pieces of this. */
static const char pool[] = "Grüße an Zoë, 東京 und \0 🧳 the quick brown fox jumps over the lazy dog";

static size_t piece(seed *s, const char **p) {
    size_t from = seed_below(s, sizeof pool - 1), n = seed_below(s, (unsigned)(sizeof pool - from));
    while (((uint8_t)pool[from] & 0xc0) == 0x80) from++;
    if (from + n > sizeof pool - 1) n = sizeof pool - 1 - from;
    while (n && ((uint8_t)pool[from + n] & 0xc0) == 0x80) n--;
    *p = pool + from;
    return n;
}

static double random_real(seed *s) {
    double r;
    uint64_t bits = seed_next(s);
    if (seed_chance(s, 50)) return (double)(int64_t)(bits >> seed_below(s, 60)) / (double)(1u << seed_below(s, 30));
    memcpy(&r, &bits, sizeof r);
    return r == r ? r : -0.0;
}

static value random_value(seed *s, bool null) {
    const char *p;
    size_t n = piece(s, &p);
    switch (seed_below(s, null ? 5 : 4)) {
    case 0: {
        int64_t i = (int64_t)(seed_spread(s) >> 1);
        return value_integer(seed_chance(s, 40) ? -1 - i : i);
    }
    case 1:
        return value_real(random_real(s));
    case 2:
        return value_text(p, n);
    case 3:
        return value_blob(pool + seed_below(s, 20), n % 40);
    default:
        return value_null();
    }
}

static uint64_t random_number(seed *s) {
    return seed_spread(s) >> 1;
}

static uint64_t random_positive(seed *s) {
    return (seed_spread(s) >> 2) + 1;
}

static uint32_t random_u32(seed *s) {
    return (uint32_t)seed_spread(s);
}

static uint32_t random_id(seed *s) {
    uint32_t id = (uint32_t)seed_spread(s);
    return id ? id : 1;
}

static void random_bytes(seed *s, uint8_t *p, size_t n) {
    for (size_t i = 0; i < n; i++) p[i] = (uint8_t)seed_next(s);
}

/* ---- deltas ---- */

static void random_columns(seed *s, delta_row *row) {
    unsigned n = seed_chance(s, 2) ? LIMIT_COLUMNS : seed_below(s, 6);
    uint32_t id = 0;
    row->ncol = 0;
    if (row->op == DELTA_DELETE || row->op == DELTA_LEAVE) return;
    for (unsigned i = 0; i < n; i++) {
        id += 1 + seed_below(s, seed_chance(s, 10) ? 2000000 : 3);
        row->col[i] = (delta_column){id, row->op == DELTA_UPDATE ? (delta_kind)seed_below(s, 3) : DELTA_SET};
    }
    row->ncol = n;
}

static void random_row(seed *s, delta_row *row, uint32_t table) {
    if (!row->table || seed_chance(s, 50)) {
        row->table = table ? table : random_id(s);
        row->op = table ? DELTA_PUT : (delta_op)seed_below(s, 4);
        row->nkey = 1 + seed_below(s, seed_chance(s, 10) ? LIMIT_KEY_COLUMNS : 2);
        random_columns(s, row);
    }
    for (unsigned i = 0; i < row->nkey; i++) row->key[i] = random_value(s, false);
    for (unsigned i = 0; i < row->ncol; i++) {
        row->v[i] = random_value(s, true);
        row->seen[i] = row->col[i].kind == DELTA_MOVE ? random_value(s, true) : (value){.type = VALUE_ABSENT};
    }
}

static delta_row rows[MAX_ROWS];

/* Appends a delta of up to MAX_ROWS rows, which it leaves in `rows`. `table` 0: any; else PUT rows of that table. */
static unsigned random_delta(seed *s, uint32_t table, buf *out) {
    static delta_row row;
    delta_writer w;
    unsigned n = seed_below(s, MAX_ROWS + 1);
    row.table = 0;
    delta_writer_init(&w);
    for (unsigned i = 0; i < n; i++) {
        random_row(s, &row, table);
        rows[i] = row;
        delta_put_row(&w, &row);
    }
    seed_check(s, delta_finish(&w, out) == SATCHEL_OK);
    delta_writer_fini(&w);
    return n;
}

static bool same_row(const delta_row *a, const delta_row *b) {
    if (a->table != b->table || a->op != b->op || a->nkey != b->nkey || a->ncol != b->ncol) return false;
    for (unsigned i = 0; i < a->nkey; i++)
        if (!value_equal(&a->key[i], &b->key[i])) return false;
    for (unsigned i = 0; i < a->ncol; i++) {
        if (a->col[i].id != b->col[i].id || a->col[i].kind != b->col[i].kind) return false;
        if (!value_equal(&a->v[i], &b->v[i]) || !value_equal(&a->seen[i], &b->seen[i])) return false;
    }
    return true;
}

static void check_delta(seed *s) {
    static delta_reader r;
    static delta_row got;
    wire at;
    buf b;
    buf_init(&b, 0);
    unsigned n = random_delta(s, 0, &b);
    wire_open(&at, b.p, b.n);
    delta_open(&r, &at);
    for (unsigned i = 0; i < n; i++) {
        seed_check(s, delta_next(&r, &got) == 1);
        seed_check(s, same_row(&rows[i], &got));
    }
    seed_check(s, delta_next(&r, &got) == 0 && wire_close(&r.w) == SATCHEL_OK);
    wire_open(&at, b.p, b.n);
    wire_skip(&at);
    seed_check(s, wire_close(&at) == SATCHEL_OK);
    buf_fini(&b);
}

static void check_value(seed *s) {
    value v = random_value(s, true);
    wire w;
    buf b;
    buf_init(&b, 0);
    wire_put_value(&b, &v);
    wire_open(&w, b.p, b.n);
    value got = wire_get_value(&w);
    seed_check(s, wire_close(&w) == SATCHEL_OK);
    seed_check(s, value_equal(&v, &got));
    buf_fini(&b);
}

/* ---- push ---- */

static bool same_txn(const push_txn *a, const push_txn *b) {
    return a->number == b->number && memcmp(a->id, b->id, sizeof a->id) == 0 && a->stamp == b->stamp && a->base == b->base &&
           a->schema_epoch == b->schema_epoch && a->resolves == b->resolves && a->effective == b->effective &&
           a->part == b->part && a->last == b->last && a->ndelta == b->ndelta && memcmp(a->delta, b->delta, a->ndelta) == 0;
}

/* A next transaction, or the next part of the one before. */
static void random_txn(seed *s, push_txn *t) {
    if (t->number && !t->last) {
        t->part++;
    } else {
        t->number += 1 + (seed_spread(s) >> 8);
        random_bytes(s, t->id, sizeof t->id);
        t->stamp = random_number(s);
        t->base = random_number(s);
        t->part = 0;
    }
    t->schema_epoch = random_u32(s);
    t->resolves = seed_chance(s, 20) ? random_positive(s) : 0;
    t->effective = seed_chance(s, 20) ? random_positive(s) : 0;
    t->last = seed_chance(s, 70);
}

static void check_push(seed *s) {
    push_txn in[MAX_TXNS], got, t = {0};
    unsigned n = seed_below(s, MAX_TXNS + 1);
    buf delta[MAX_TXNS], b;
    push_writer w;
    push_reader r;
    buf_init(&b, 0);
    push_begin(&w, 7);
    for (unsigned i = 0; i < n; i++) {
        buf_init(&delta[i], 0);
        random_delta(s, 0, &delta[i]);
        random_txn(s, &t);
        t.delta = delta[i].p;
        t.ndelta = delta[i].n;
        in[i] = t;
        push_put_txn(&w, &t);
    }
    seed_check(s, push_finish(&w, &b) == SATCHEL_OK);
    seed_check(s, push_open(&r, b.p, b.n) == SATCHEL_OK && r.incarnation == 7);
    for (unsigned i = 0; i < n; i++) {
        seed_check(s, push_next(&r, &got) == 1);
        seed_check(s, same_txn(&in[i], &got));
        buf_fini(&delta[i]);
    }
    seed_check(s, push_next(&r, &got) == 0);
    buf_fini(&b);
}

/* ---- a random message of any type ---- */

static void random_push(seed *s, buf *out) {
    push_txn t = {0};
    push_writer w;
    buf delta;
    buf_init(&delta, 0);
    push_begin(&w, random_u32(s));
    for (unsigned n = seed_below(s, MAX_TXNS); n; n--) {
        buf_clear(&delta);
        random_delta(s, 0, &delta);
        random_txn(s, &t);
        t.delta = delta.p;
        t.ndelta = delta.n;
        push_put_txn(&w, &t);
    }
    push_finish(&w, out);
    buf_fini(&delta);
}

static void random_page(seed *s, buf *out) {
    msg_page head = {
        .from = seed_below(s, 1000), .high_stamp = random_number(s), .part = random_u32(s), .more = seed_chance(s, 50)};
    buf delta;
    buf_init(&delta, 0);
    head.to = head.from + random_positive(s) / 2;
    head.commits = seed_below(s, 5);
    head.view = seed_chance(s, 50) ? random_positive(s) : 0;
    page_begin(&head, out);
    page_commit c = {.seq = 1};
    for (uint64_t i = 0; i < head.commits; i++) {
        buf_clear(&delta);
        random_delta(s, 0, &delta);
        c.seq += seed_below(s, 3);
        c.author = random_u32(s);
        c.stamp = random_number(s);
        c.delta = delta.p;
        c.ndelta = delta.n;
        page_put_commit(&c, out);
    }
    buf_fini(&delta);
}

static void random_ranges(seed *s, uint64_t ranges, buf *out) {
    static snapshot_range r;
    buf delta;
    buf_init(&delta, 0);
    for (uint64_t i = 0; i < ranges; i++) {
        buf_clear(&delta);
        r = (snapshot_range){.table = random_id(s), .nkey = 1 + seed_below(s, 3)};
        bool rowless = random_delta(s, r.table, &delta) == 0;
        /* Bounds have the width of the rows' keys, which random rows change: bound ranges without rows alone. */
        r.has_from = rowless && seed_chance(s, 50);
        r.has_to = rowless && seed_chance(s, 50);
        for (unsigned k = 0; k < r.nkey; k++) {
            r.from[k] = random_value(s, false);
            r.to[k] = random_value(s, false);
        }
        r.delta = delta.p;
        r.ndelta = delta.n;
        snapshot_put_range(&r, out);
    }
    buf_fini(&delta);
}

static void random_snapshot(seed *s, buf *out) {
    msg_snapshot head = {.id = random_positive(s),
                         .seq = random_number(s),
                         .page = random_u32(s),
                         .last = seed_chance(s, 50),
                         .total_rows = random_number(s),
                         .high_stamp = random_number(s),
                         .view = seed_chance(s, 50) ? random_positive(s) : 0,
                         .ranges = seed_below(s, 4)};
    snapshot_begin(&head, out);
    random_ranges(s, head.ranges, out);
}

static void random_repair(seed *s, buf *out) {
    msg_repair head = {.seq = random_number(s), .compared = 4 + seed_below(s, LIMIT_SUMS - 3), .ranges = 1 + seed_below(s, 3)};
    head.cut = seed_chance(s, 50);
    repair_begin(&head, out);
    random_ranges(s, head.ranges, out);
}

static void random_sums(seed *s, buf *out) {
    msg_sums head = {.cursor = random_number(s), .view = random_number(s), .ranges = seed_below(s, 5)};
    static sums_range r;
    sums_begin(&head, out);
    for (uint64_t i = 0; i < head.ranges; i++) {
        r = (sums_range){.range = {.table = random_id(s), .nkey = 1 + seed_below(s, 3)}, .rows = random_number(s)};
        r.range.has_from = seed_chance(s, 50);
        r.range.has_to = seed_chance(s, 50);
        for (unsigned k = 0; k < r.range.nkey; k++) {
            r.range.from[k] = random_value(s, false);
            r.range.to[k] = random_value(s, false);
        }
        random_bytes(s, r.digest, sizeof r.digest);
        sums_put(&r, out);
    }
}
/* A key as bytes, valid until the next call. */
static size_t random_key(seed *s, const uint8_t **p) {
    static buf key;
    if (!key.max) buf_init(&key, LIMIT_KEY_BYTES);
    buf_clear(&key);
    for (unsigned n = 1 + seed_below(s, 3); n; n--) {
        value v = random_value(s, false);
        value_put(&key, &v);
    }
    *p = key.p;
    return key.n;
}

static void random_results(seed *s, buf *out) {
    msg_result r = {.number = random_positive(s)};
    if (seed_chance(s, 50)) {
        r.seq = random_positive(s);
        r.effective = random_positive(s);
    } else {
        r.rc = -(40 + (int)seed_below(s, 17));
        r.depends = random_number(s);
        if (seed_chance(s, 70)) {
            r.table = random_id(s);
            r.nkey = random_key(s, &r.key);
        }
        r.ntext = piece(s, &r.text);
    }
    msg_result several[3] = {r, r, r};
    results_encode(several, seed_below(s, 4), out);
}

static void random_losses(seed *s, buf *out) {
    msg_loss l[3] = {{0}};
    uint64_t id = 0;
    const uint8_t *key;
    size_t nkey = random_key(s, &key);
    for (int i = 0; i < 3; i++)
        l[i] = (msg_loss){.id = id += 1 + seed_below(s, 5),
                          .seq = random_number(s),
                          .number = random_number(s),
                          .table = random_id(s),
                          .column = random_u32(s),
                          .rule = (uint8_t)seed_next(s),
                          .key = key,
                          .nkey = nkey,
                          .kept = random_value(s, true),
                          .lost = random_value(s, true),
                          .kept_stamp = random_number(s),
                          .lost_stamp = random_number(s),
                          .kept_author = random_u32(s)};
    losses_encode(l, seed_below(s, 4), out);
}

static void random_hello(seed *s, buf *out) {
    msg_hello m = {.version = PROTOCOL_VERSION, .incarnation = random_u32(s), .has_epoch = seed_chance(s, 50)};
    if (m.has_epoch) random_bytes(s, m.epoch, sizeof m.epoch);
    random_bytes(s, m.schema_hash, sizeof m.schema_hash);
    m.cursor = random_number(s);
    m.schema_epoch = random_u32(s);
    m.last_number = random_number(s);
    m.settled_number = random_number(s);
    m.loss_cursor = random_number(s);
    m.now_ms = random_number(s);
    m.pending = random_number(s);
    m.snapshot = seed_chance(s, 50) ? random_positive(s) : 0;
    m.snapshot_page = random_u32(s);
    m.nsoftware = piece(s, &m.software);
    m.has_view = seed_chance(s, 50);
    m.view = m.has_view ? random_number(s) : 0;
    m.npast = (unsigned)seed_below(s, LIMIT_PAST + 1);
    for (unsigned i = 0; i < m.npast; i++) {
        random_bytes(s, m.past[i].epoch, EPOCH_BYTES);
        m.past[i].seq = random_number(s);
    }
    if (m.has_view) m.nwaiting = (unsigned)seed_below(s, 5);
    for (unsigned i = 0; i < m.nwaiting; i++) {
        m.waiting[i].table = (uint32_t)(1000 * i + 1 + seed_below(s, 1000));
        m.waiting[i].changes = random_positive(s);
    }
    if (m.has_view && seed_chance(s, 50)) {
        uint64_t one = random_positive(s), other = random_positive(s);
        m.held_bytes = one < other ? one : other;
        m.room_bytes = one < other ? other : one;
    }
    hello_encode(&m, out);
}

static void random_welcome(seed *s, buf *out) {
    msg_welcome m = {.version = PROTOCOL_VERSION,
                     .epoch_start = random_number(s),
                     .head = random_number(s),
                     .schema_epoch = random_u32(s),
                     .known_number = random_number(s),
                     .has_known_id = seed_chance(s, 50),
                     .now_ms = random_number(s),
                     .backup_seq = random_number(s),
                     .snapshot = seed_chance(s, 50),
                     .has_view = seed_chance(s, 50)};
    m.view = m.has_view ? random_number(s) : 0;
    random_bytes(s, m.epoch, sizeof m.epoch);
    if (m.has_known_id) random_bytes(s, m.known_id, sizeof m.known_id);
    welcome_encode(&m, out);
}

static void random_schema(seed *s, buf *out) {
    msg_schema m = {.epoch = random_u32(s)};
    m.nname = piece(s, &m.name);
    m.nsql = piece(s, &m.sql);
    schema_encode(&m, out);
}

static void random_pull(seed *s, buf *out) {
    pull_encode(&(msg_pull){random_number(s), seed_below(s, LIMIT_PULL_CREDIT + 1), random_number(s)}, out);
}

static void random_forked(seed *s, buf *out) {
    forked_encode(random_u32(s), random_number(s), out);
}

static void random_resolve(seed *s, buf *out) {
    resolve_encode(&(msg_resolve){random_number(s), 1}, out);
}

static void random_error(seed *s, buf *out) {
    msg_error m = {.rc = -1 - (int)seed_below(s, INT16_MAX), .retry_after_ms = random_number(s)};
    m.ntext = piece(s, &m.text);
    error_encode(&m, out);
}

static void random_message(seed *s, buf *out) {
    static void (*const of_type[])(seed *, buf *) = {
        random_hello,    random_welcome, random_schema, random_push,    random_results, random_pull, random_page,
        random_snapshot, random_losses,  random_forked, random_resolve, random_error,   random_sums, random_repair};
    buf_clear(out);
    of_type[seed_below(s, MSG_REPAIR)](s, out);
    seed_check(s, out->rc == SATCHEL_OK);
}

/* ---- laws ---- */

static bool is_refusal(int rc) {
    return rc == SATCHEL_E_MALFORMED || rc == SATCHEL_E_LIMIT || rc == SATCHEL_E_UTF8 || rc == SATCHEL_E_NOT_DETERMINISTIC ||
           rc == SATCHEL_E_VERSION;
}

/* Accepted bytes are what their content encodes to; others are refused by name. Returns what message_check says. */
static int check_bytes(seed *s, const uint8_t *p, size_t n) {
    static buf again;
    uint8_t *exact = malloc(n ? n : 1);
    seed_check(s, exact != NULL);
    if (n) memcpy(exact, p, n);
    int rc = message_check(exact, n), rc_again = reencode(exact, n, &again);
    if (rc)
        seed_check(s, is_refusal(rc));
    else
        seed_check(s, rc_again == SATCHEL_OK && again.n == n && memcmp(again.p, exact, n) == 0);
    free(exact);
    return rc;
}

static void check_message(seed *s) {
    buf b, frame, back;
    buf_init(&b, 0);
    buf_init(&frame, 0);
    buf_init(&back, 0);
    random_message(s, &b);
    seed_check(s, check_bytes(s, b.p, b.n) == SATCHEL_OK);
    seed_check(s, frame_pack(b.p, b.n, &frame) == SATCHEL_OK);
    seed_check(s, frame_unpack(frame.p, frame.n, &back) == SATCHEL_OK);
    seed_check(s, back.n == b.n && memcmp(back.p, b.p, b.n) == 0);
    buf_fini(&b);
    buf_fini(&frame);
    buf_fini(&back);
}

/* No message is the beginning of another, so every cut is seen. */
static void check_truncations(seed *s) {
    buf b;
    buf_init(&b, 0);
    random_message(s, &b);
    size_t step = b.n > 400 ? b.n / 200 : 1;
    for (size_t n = 0; n < b.n; n += step) seed_check(s, check_bytes(s, b.p, n) != SATCHEL_OK);
    buf_fini(&b);
}

/* Heads that decoders are most likely to take wrongly. */
static uint8_t spiteful_byte(seed *s) {
    static const uint8_t spite[] = {0x00, 0x18, 0x19, 0x1b, 0x20, 0x3b, 0x40, 0x58, 0x5b, 0x5f, 0x60, 0x7b, 0x7f, 0x80, 0x81,
                                    0x9b, 0x9f, 0xa0, 0xc0, 0xf4, 0xf5, 0xf6, 0xf7, 0xf9, 0xfa, 0xfb, 0xff, 0xed, 0xc0, 0xf5};
    return seed_chance(s, 50) ? spite[seed_below(s, sizeof spite)] : (uint8_t)seed_next(s);
}

static void insert_byte(buf *b, size_t at, uint8_t byte) {
    buf_put_byte(b, 0);
    memmove(b->p + at + 1, b->p + at, b->n - 1 - at);
    b->p[at] = byte;
}

static void mutate(seed *s, buf *b) {
    size_t at = seed_below(s, (unsigned)b->n);
    uint8_t was = b->p[at];
    switch (seed_below(s, 5)) {
    case 0:
        b->p[at] ^= (uint8_t)(1u << seed_below(s, 8));
        break;
    case 1:
        b->p[at] = spiteful_byte(s);
        break;
    case 2:
        insert_byte(b, at, spiteful_byte(s));
        break;
    case 3: /* the same head, one byte longer */
        if ((was & 31) >= 24) break;
        b->p[at] = (uint8_t)((was & 0xe0) | 24);
        insert_byte(b, at + 1, was & 31);
        break;
    default:
        memmove(b->p + at, b->p + at + 1, b->n - 1 - at);
        b->n--;
    }
}

static void check_mutations(seed *s) {
    buf b, m;
    buf_init(&b, 0);
    buf_init(&m, 0);
    random_message(s, &b);
    for (int i = 0; i < 40; i++) {
        buf_clear(&m);
        buf_put(&m, b.p, b.n);
        for (unsigned k = 1 + seed_below(s, 3); k && m.n; k--) mutate(s, &m);
        check_bytes(s, m.p, m.n);
    }
    buf_fini(&b);
    buf_fini(&m);
}

static void value_decode_of_encoded_is_the_value(void **state) {
    (void)state;
    seed_run(check_value, 50000);
}

static void delta_decode_of_encoded_is_the_rows(void **state) {
    (void)state;
    seed_run(check_delta, 3000);
}

static void push_decode_of_encoded_is_the_transactions(void **state) {
    (void)state;
    seed_run(check_push, 1000);
}

static void message_of_random_content_is_accepted_and_deterministic(void **state) {
    (void)state;
    seed_run(check_message, 5000);
}

static void message_cut_anywhere_is_refused(void **state) {
    (void)state;
    seed_run(check_truncations, 500);
}

static void message_changed_anywhere_is_refused_or_deterministic(void **state) {
    (void)state;
    seed_run(check_mutations, 4000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(value_decode_of_encoded_is_the_value),
        cmocka_unit_test(delta_decode_of_encoded_is_the_rows),
        cmocka_unit_test(push_decode_of_encoded_is_the_transactions),
        cmocka_unit_test(message_of_random_content_is_accepted_and_deterministic),
        cmocka_unit_test(message_cut_anywhere_is_refused),
        cmocka_unit_test(message_changed_anywhere_is_refused_or_deterministic),
    };
    return cmocka_run_group_tests_name("codec laws", tests, NULL, NULL);
}
