#include "protocol/message_internal.h"

#include "protocol/satchel_rc.h"

/* ---- what the message files share ---- */

void message_fail(wire *w, int rc) {
    if (!w->rc) w->rc = rc;
}

void message_put_head(buf *out, message_type type, uint64_t fields) {
    wire_put_array(out, fields + 1);
    wire_put_uint(out, type);
}

uint64_t message_open_any(wire *w, const void *p, size_t n, message_type type) {
    wire_open(w, p, n);
    if (n > LIMIT_MESSAGE_BYTES) message_fail(w, SATCHEL_E_LIMIT);
    uint64_t count = wire_get_array(w, UINT64_MAX);
    if (wire_get_uint(w) != (uint64_t)type) message_fail(w, SATCHEL_E_MALFORMED);
    return count;
}

void message_expect_fields(wire *w, uint64_t count, uint64_t fields) {
    if (count != fields + 1) message_fail(w, SATCHEL_E_MALFORMED);
}

void message_open(wire *w, const void *p, size_t n, message_type type, uint64_t fields) {
    message_expect_fields(w, message_open_any(w, p, n, type), fields);
}

uint64_t message_get_number(wire *w) {
    return wire_get_uint_max(w, INT64_MAX);
}

uint32_t message_get_u32(wire *w) {
    return (uint32_t)wire_get_uint_max(w, UINT32_MAX);
}

void message_put_optional(buf *out, uint64_t v) {
    if (v)
        wire_put_uint(out, v);
    else
        wire_put_null(out);
}

uint64_t message_get_positive(wire *w) {
    uint64_t v = message_get_number(w);
    if (!v) message_fail(w, SATCHEL_E_NOT_DETERMINISTIC);
    return v;
}

uint64_t message_get_optional(wire *w) {
    return wire_skip_null(w) ? 0 : message_get_positive(w);
}

bool message_open_with_view(wire *w, const void *p, size_t n, message_type type, uint64_t fields) {
    uint64_t count = message_open_any(w, p, n, type);
    bool has_view = count == fields + 2; /* with the type */
    message_expect_fields(w, count, fields + has_view);
    return has_view;
}

uint64_t message_get_difference(wire *w, uint64_t before) {
    int64_t v;
    if (!__builtin_add_overflow((int64_t)before, wire_get_int(w), &v) && v >= 0) return (uint64_t)v;
    message_fail(w, SATCHEL_E_MALFORMED);
    return 0;
}

void message_put_words(buf *out, const char *p, size_t n) {
    if (n > LIMIT_TEXT_BYTES) {
        n = LIMIT_TEXT_BYTES;
        while (n && ((uint8_t)p[n] & 0xc0) == 0x80) n--;
    }
    wire_put_text(out, p, n);
}

static bool is_key(const uint8_t *p, size_t n) {
    const uint8_t *end = p + n;
    unsigned count = 0;
    while (p < end) {
        value v;
        if (++count > LIMIT_KEY_COLUMNS || value_get(&p, end, &v)) return false;
        if (v.type == VALUE_ABSENT || v.type == VALUE_NULL) return false;
    }
    return true;
}

const uint8_t *message_get_key(wire *w, bool optional, size_t *n) {
    const uint8_t *p = wire_get_bytes(w, LIMIT_KEY_BYTES, n);
    if (!w->rc && (*n ? !is_key(p, *n) : !optional)) message_fail(w, SATCHEL_E_MALFORMED);
    return p;
}

const uint8_t *message_get_raw(wire *w, size_t *n) {
    const uint8_t *p = w->p;
    wire_skip(w);
    *n = w->rc ? 0 : (size_t)(w->p - p);
    return w->rc ? NULL : p;
}

void message_put_raw(buf *out, const uint8_t *p, size_t n) {
    if (!n && !out->rc) out->rc = SATCHEL_E_MISUSE;
    buf_put(out, p, n);
}

void message_put_rc(buf *out, int rc) {
    wire_put_uint(out, (uint64_t)(rc < 0 ? -(int64_t)rc : rc));
}

int message_get_rc(wire *w) {
    return -(int)wire_get_uint_max(w, INT16_MAX);
}

message_type message_peek(const void *p, size_t n) {
    wire w;
    wire_open(&w, p, n);
    wire_get_array(&w, UINT64_MAX);
    uint64_t type = wire_get_uint(&w);
    return !w.rc && type >= MSG_HELLO && type <= MSG_REPAIR ? (message_type)type : (message_type)0;
}

/* ---- simple messages ---- */

/* What a hello may end with, each only behind the ones before it, which where there is nothing to tell are empty and hold their places. */
typedef enum hello_tail { TAIL_PAST = 1, TAIL_VIEW, TAIL_WAITING, TAIL_STORAGE } hello_tail;
#define HELLO_FIELDS 14u

int hello_encode(const msg_hello *m, buf *out) {
    hello_tail tail = m->room_bytes ? TAIL_STORAGE
                      : m->nwaiting ? TAIL_WAITING
                      : m->has_view ? TAIL_VIEW
                      : m->npast    ? TAIL_PAST
                                    : 0;
    message_put_head(out, MSG_HELLO, HELLO_FIELDS + tail);
    wire_put_uint(out, m->version);
    wire_put_uint(out, m->incarnation);
    if (m->has_epoch)
        wire_put_bytes(out, m->epoch, sizeof m->epoch);
    else
        wire_put_null(out);
    wire_put_uint(out, m->cursor);
    wire_put_uint(out, m->schema_epoch);
    wire_put_bytes(out, m->schema_hash, sizeof m->schema_hash);
    wire_put_uint(out, m->last_number);
    wire_put_uint(out, m->settled_number);
    wire_put_uint(out, m->loss_cursor);
    wire_put_uint(out, m->now_ms);
    wire_put_uint(out, m->pending);
    message_put_optional(out, m->snapshot);
    wire_put_uint(out, m->snapshot_page);
    wire_put_text(out, m->software, m->nsoftware);
    if (tail >= TAIL_PAST) wire_put_array(out, (uint64_t)m->npast * 2);
    for (unsigned i = 0; i < m->npast; i++) {
        wire_put_bytes(out, m->past[i].epoch, EPOCH_BYTES);
        wire_put_uint(out, m->past[i].seq);
    }
    if (tail >= TAIL_VIEW) wire_put_uint(out, m->view);
    if (tail >= TAIL_WAITING) wire_put_array(out, (uint64_t)m->nwaiting * 2);
    for (unsigned i = 0; i < m->nwaiting; i++) {
        wire_put_uint(out, m->waiting[i].table);
        wire_put_uint(out, m->waiting[i].changes);
    }
    if (tail >= TAIL_STORAGE) {
        wire_put_array(out, 2);
        wire_put_uint(out, m->held_bytes);
        wire_put_uint(out, m->room_bytes);
    }
    return out->rc;
}

static void get_past(wire *w, msg_hello *m, bool may_be_empty) {
    uint64_t items = wire_get_array(w, LIMIT_PAST * 2);
    if ((!items && !may_be_empty) || items % 2) message_fail(w, SATCHEL_E_MALFORMED);
    for (; m->npast < items / 2 && !w->rc; m->npast++) {
        wire_get_exact(w, m->past[m->npast].epoch, EPOCH_BYTES);
        m->past[m->npast].seq = message_get_number(w);
    }
}

static void get_waiting(wire *w, msg_hello *m, bool may_be_empty) {
    uint64_t items = wire_get_array(w, LIMIT_TABLES * 2);
    if ((!items && !may_be_empty) || items % 2) message_fail(w, SATCHEL_E_MALFORMED);
    uint32_t before = 0;
    for (; m->nwaiting < items / 2 && !w->rc; m->nwaiting++) {
        table_waiting *t = &m->waiting[m->nwaiting];
        t->table = message_get_u32(w);
        t->changes = message_get_number(w);
        if (t->table <= before || !t->changes) message_fail(w, SATCHEL_E_MALFORMED);
        before = t->table;
    }
}

static void get_storage(wire *w, msg_hello *m) {
    if (wire_get_array(w, UINT64_MAX) != 2) message_fail(w, SATCHEL_E_MALFORMED);
    m->held_bytes = message_get_number(w);
    m->room_bytes = message_get_number(w);
    if (!m->held_bytes || m->room_bytes < m->held_bytes) message_fail(w, SATCHEL_E_MALFORMED);
}

static uint32_t get_version(wire *w) {
    uint32_t version = message_get_u32(w);
    if (!w->rc && version != PROTOCOL_VERSION) message_fail(w, SATCHEL_E_VERSION);
    return version;
}

int hello_decode(const void *p, size_t n, msg_hello *m) {
    wire w;
    *m = (msg_hello){0};
    uint64_t fields = message_open_any(&w, p, n, MSG_HELLO);
    m->version = get_version(&w);
    uint64_t tail = fields <= HELLO_FIELDS ? 0 : fields - HELLO_FIELDS - 1; /* less the type */
    message_expect_fields(&w, fields, HELLO_FIELDS + (unsigned)(tail > TAIL_STORAGE ? 0 : tail));
    m->has_view = tail >= TAIL_VIEW;
    if (w.rc) return w.rc;
    m->incarnation = message_get_u32(&w);
    m->has_epoch = !wire_skip_null(&w);
    if (m->has_epoch) wire_get_exact(&w, m->epoch, sizeof m->epoch);
    m->cursor = message_get_number(&w);
    m->schema_epoch = message_get_u32(&w);
    wire_get_exact(&w, m->schema_hash, sizeof m->schema_hash);
    m->last_number = message_get_number(&w);
    m->settled_number = message_get_number(&w);
    m->loss_cursor = message_get_number(&w);
    m->now_ms = message_get_number(&w);
    m->pending = message_get_number(&w);
    m->snapshot = message_get_optional(&w);
    m->snapshot_page = message_get_u32(&w);
    m->software = wire_get_text(&w, LIMIT_NAME_BYTES, &m->nsoftware);
    if (tail >= TAIL_PAST) get_past(&w, m, tail > TAIL_PAST);
    if (tail >= TAIL_VIEW) m->view = message_get_number(&w);
    if (tail >= TAIL_WAITING) get_waiting(&w, m, tail > TAIL_WAITING);
    if (tail >= TAIL_STORAGE) get_storage(&w, m);
    return wire_close(&w);
}

int welcome_encode(const msg_welcome *m, buf *out) {
    message_put_head(out, MSG_WELCOME, m->has_view ? 11 : 10);
    wire_put_uint(out, m->version);
    wire_put_bytes(out, m->epoch, sizeof m->epoch);
    wire_put_uint(out, m->epoch_start);
    wire_put_uint(out, m->head);
    wire_put_uint(out, m->schema_epoch);
    wire_put_uint(out, m->known_number);
    if (m->has_known_id)
        wire_put_bytes(out, m->known_id, sizeof m->known_id);
    else
        wire_put_null(out);
    wire_put_uint(out, m->now_ms);
    wire_put_uint(out, m->backup_seq);
    wire_put_bool(out, m->snapshot);
    if (m->has_view) wire_put_uint(out, m->view);
    return out->rc;
}

int welcome_decode(const void *p, size_t n, msg_welcome *m) {
    wire w;
    *m = (msg_welcome){0};
    uint64_t fields = message_open_any(&w, p, n, MSG_WELCOME);
    m->version = get_version(&w);
    m->has_view = fields == 12; /* with the type */
    message_expect_fields(&w, fields, m->has_view ? 11 : 10);
    if (w.rc) return w.rc;
    wire_get_exact(&w, m->epoch, sizeof m->epoch);
    m->epoch_start = message_get_number(&w);
    m->head = message_get_number(&w);
    m->schema_epoch = message_get_u32(&w);
    m->known_number = message_get_number(&w);
    m->has_known_id = !wire_skip_null(&w);
    if (m->has_known_id) wire_get_exact(&w, m->known_id, sizeof m->known_id);
    m->now_ms = message_get_number(&w);
    m->backup_seq = message_get_number(&w);
    m->snapshot = wire_get_bool(&w);
    if (m->has_view) m->view = message_get_number(&w);
    return wire_close(&w);
}

int schema_encode(const msg_schema *m, buf *out) {
    message_put_head(out, MSG_SCHEMA, 3);
    wire_put_uint(out, m->epoch);
    wire_put_text(out, m->name, m->nname);
    wire_put_text(out, m->sql, m->nsql);
    return out->rc;
}

int schema_decode(const void *p, size_t n, msg_schema *m) {
    wire w;
    *m = (msg_schema){0};
    message_open(&w, p, n, MSG_SCHEMA, 3);
    m->epoch = message_get_u32(&w);
    m->name = wire_get_text(&w, LIMIT_NAME_BYTES, &m->nname);
    m->sql = wire_get_text(&w, LIMIT_MIGRATION_BYTES, &m->nsql);
    return wire_close(&w);
}

int pull_encode(const msg_pull *m, buf *out) {
    message_put_head(out, MSG_PULL, 3);
    wire_put_uint(out, m->cursor);
    wire_put_uint(out, m->credit);
    wire_put_uint(out, m->loss_cursor);
    return out->rc;
}

int pull_decode(const void *p, size_t n, msg_pull *m) {
    wire w;
    *m = (msg_pull){0};
    message_open(&w, p, n, MSG_PULL, 3);
    m->cursor = message_get_number(&w);
    m->credit = (uint32_t)wire_get_uint_max(&w, LIMIT_PULL_CREDIT);
    m->loss_cursor = message_get_number(&w);
    return wire_close(&w);
}

int forked_encode(uint32_t incarnation, uint64_t from_number, buf *out) {
    message_put_head(out, MSG_FORKED, 2);
    wire_put_uint(out, incarnation);
    wire_put_uint(out, from_number);
    return out->rc;
}

int forked_decode(const void *p, size_t n, uint32_t *incarnation, uint64_t *from_number) {
    wire w;
    message_open(&w, p, n, MSG_FORKED, 2);
    *incarnation = message_get_u32(&w);
    *from_number = message_get_number(&w);
    return wire_close(&w);
}

int resolve_encode(const msg_resolve *m, buf *out) {
    message_put_head(out, MSG_RESOLVE, 2);
    wire_put_uint(out, m->number);
    wire_put_uint(out, m->action);
    return out->rc;
}

int resolve_decode(const void *p, size_t n, msg_resolve *m) {
    wire w;
    *m = (msg_resolve){0};
    message_open(&w, p, n, MSG_RESOLVE, 2);
    m->number = message_get_number(&w);
    m->action = message_get_u32(&w);
    if (m->action != 1) message_fail(&w, SATCHEL_E_MALFORMED);
    return wire_close(&w);
}

int error_encode(const msg_error *m, buf *out) {
    message_put_head(out, MSG_ERROR, 3);
    message_put_rc(out, m->rc);
    wire_put_uint(out, m->retry_after_ms);
    message_put_words(out, m->text, m->ntext);
    return out->rc;
}

int error_decode(const void *p, size_t n, msg_error *m) {
    wire w;
    *m = (msg_error){0};
    message_open(&w, p, n, MSG_ERROR, 3);
    m->rc = message_get_rc(&w);
    m->retry_after_ms = message_get_number(&w);
    m->text = wire_get_text(&w, LIMIT_TEXT_BYTES, &m->ntext);
    if (!m->rc) message_fail(&w, SATCHEL_E_MALFORMED);
    return wire_close(&w);
}
