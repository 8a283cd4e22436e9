#include "server/record.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/crypto.h"
#include "protocol/satchel_rc.h"
#include "server/ingest_private.h"

void record_init(record *r) {
    memset(r, 0, sizeof *r);
    buf_init(&r->error, 4 * LIMIT_TEXT_BYTES);
}

void record_fini(record *r) {
    buf_fini(&r->key_hold);
    buf_fini(&r->hold);
    buf_fini(&r->error);
}

void record_begin(record *r, const schema_table *t, delta_op op) {
    r->t = t;
    r->row.table = t->id;
    r->row.op = op;
    r->row.nkey = t->nkey;
    r->row.ncol = 0;
    r->wrong = NULL;
    for (unsigned i = 0; i < t->nkey; i++) r->row.key[i].type = VALUE_ABSENT;
    buf_clear(&r->hold);
    buf_clear(&r->error);
}

static int say(buf *error, int rc, const char *format, ...) __attribute__((format(printf, 3, 4)));

static int say(buf *error, int rc, const char *format, ...) {
    char text[2 * LIMIT_TEXT_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    buf_clear(error);
    buf_printf(error, "%s", text);
    return rc;
}

/* ---- one value ---- */

static const char *const WANTED[] = {
    "any value", "an integer", "a number", "a string", "{\"base64\": \"...\"}", "a number",
};

static const char *given(const json_t *in) {
    switch (json_typeof(in)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "an integer";
    case JSON_REAL:
        return "a number with a fraction or exponent";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a boolean";
    default:
        return "null";
    }
}

static bool is_pair(const json_t *in, const char *name) {
    return json_object_size(in) == 1 && json_object_get(in, name);
}

static int base64_value(const json_t *text, buf *hold, value *out) {
    size_t before = hold->n;
    int rc =
        json_is_string(text) ? crypto_base64_decode(json_string_value(text), json_string_length(text), hold) : SATCHEL_E_TYPE;
    if (!rc) *out = value_blob(hold->p + before, hold->n - before);
    return rc == SATCHEL_E_MALFORMED ? SATCHEL_E_TYPE : rc;
}

static int infinite_value(const json_t *text, value *out) {
    const char *word = json_string_value(text);
    if (!word || (strcmp(word, "Infinity") && strcmp(word, "-Infinity"))) return SATCHEL_E_TYPE;
    *out = value_real(*word == '-' ? -INFINITY : INFINITY);
    return SATCHEL_OK;
}

/* Whatever the column: SATCHEL_E_TYPE for what is no value at all. */
static int plain_value(const json_t *in, buf *hold, value *out) {
    switch (json_typeof(in)) {
    case JSON_NULL:
        *out = value_null();
        return SATCHEL_OK;
    case JSON_TRUE:
    case JSON_FALSE:
        *out = value_integer(json_is_true(in));
        return SATCHEL_OK;
    case JSON_INTEGER:
        *out = value_integer(json_integer_value(in));
        return SATCHEL_OK;
    case JSON_REAL:
        *out = value_real(json_real_value(in));
        return SATCHEL_OK;
    case JSON_STRING:
        *out = value_text(json_string_value(in), json_string_length(in));
        return SATCHEL_OK;
    case JSON_OBJECT:
        if (is_pair(in, "base64")) return base64_value(json_object_get(in, "base64"), hold, out);
        if (is_pair(in, "real")) return infinite_value(json_object_get(in, "real"), out);
        return SATCHEL_E_TYPE;
    default:
        return SATCHEL_E_TYPE;
    }
}

int record_value(const schema_column *c, const json_t *in, buf *hold, value *out, buf *error) {
    int rc = plain_value(in, hold, out);
    if (rc && rc != SATCHEL_E_TYPE) return rc;
    if (rc || !schema_takes(c, out))
        return say(error, SATCHEL_E_TYPE, "column %s takes %s%s, not %s", c->name, WANTED[c->affinity],
                   c->not_null || c->key ? "" : " or null", given(in));
    if ((out->type == VALUE_TEXT || out->type == VALUE_BLOB) && out->n > LIMIT_VALUE_BYTES)
        return say(error, SATCHEL_E_TOO_LARGE, "column %s: a value of %u bytes is over the limit of %u", c->name, out->n,
                   LIMIT_VALUE_BYTES);
    ingest_as_stored(c, out);
    return SATCHEL_OK;
}

/* ---- a row ---- */

static size_t blob_text(const json_t *in) {
    return json_string_length(json_object_get(in, "base64")) + 1;
}

/* So that decoding moves nothing that was decoded before. */
static int make_room(buf *hold, const json_t *object) {
    size_t n = 1;
    const char *name;
    json_t *in;
    buf_clear(hold);
    json_object_foreach((json_t *)object, name, in) n +=
        blob_text(in) + blob_text(json_object_get(in, "from")) + blob_text(json_object_get(in, "to"));
    return buf_reserve(hold, n) ? SATCHEL_OK : hold->rc;
}

static const schema_column *find_column(const schema_table *t, const char *name) {
    for (unsigned i = 0; i < t->ncol; i++)
        if (!strcmp(t->col[i]->name, name)) return t->col[i];
    return NULL;
}

static int take_key_value(record *r, const schema_column *c, const json_t *in) {
    value *to = &r->row.key[c->key - 1];
    r->wrong = c;
    int rc = record_value(c, in, &r->key_hold, to, &r->error);
    if (rc) return rc;
    if (to->type == VALUE_NULL)
        return say(&r->error, SATCHEL_E_KEY_MISSING, "column %s is part of the key and cannot be null", c->name);
    r->wrong = NULL;
    return SATCHEL_OK;
}

static int check_key(record *r) {
    size_t n = 0;
    for (unsigned i = 0; i < r->t->nkey; i++) {
        if (r->row.key[i].type == VALUE_ABSENT) {
            r->wrong = r->t->key[i];
            return say(&r->error, SATCHEL_E_KEY_MISSING, "the key has no %s; name every key column of %s", r->t->key[i]->name,
                       r->t->name);
        }
        n += value_size(&r->row.key[i]);
    }
    if (n <= LIMIT_KEY_BYTES) return SATCHEL_OK;
    return say(&r->error, SATCHEL_E_TOO_LARGE, "the key is over the limit of %u bytes", LIMIT_KEY_BYTES);
}

static int no_column(record *r, const char *name, const char *what) {
    return say(&r->error, SATCHEL_E_UNKNOWN_COLUMN, "table %s has no %s \"%.128s\"", r->t->name, what, name);
}

int record_key(record *r, const json_t *key) {
    const char *name;
    json_t *in;
    if (!json_is_object(key))
        return say(&r->error, SATCHEL_E_KEY_MISSING, "\"key\" must be an object of the key columns of %s", r->t->name);
    int rc = make_room(&r->key_hold, key);
    json_object_foreach((json_t *)key, name, in) {
        const schema_column *c = rc ? NULL : find_column(r->t, name);
        if (!rc && (!c || !c->key)) rc = no_column(r, name, "key column");
        if (!rc) rc = take_key_value(r, c, in);
    }
    return rc ? rc : check_key(r);
}

static int take_sum(record *r, const schema_column *c, const json_t *in, value *out) {
    int rc = plain_value(json_object_get(in, "add"), &r->hold, out);
    if (r->row.op != DELTA_UPDATE || c->rule != RULE_COUNTER)
        return say(&r->error, SATCHEL_E_TYPE, "column %s: {\"add\": n} is for updates of counters", c->name);
    if (rc || (out->type != VALUE_INTEGER && out->type != VALUE_REAL))
        return say(&r->error, SATCHEL_E_TYPE, "column %s: \"add\" takes a number", c->name);
    return SATCHEL_OK;
}

static int take_move(record *r, const schema_column *c, const json_t *in, unsigned at) {
    if (r->row.op != DELTA_UPDATE || c->rule != RULE_GUARD)
        return say(&r->error, SATCHEL_E_TYPE, "column %s: {\"from\", \"to\"} is for updates of guarded columns", c->name);
    int rc = record_value(c, json_object_get(in, "from"), &r->hold, &r->row.seen[at], &r->error);
    return rc ? rc : record_value(c, json_object_get(in, "to"), &r->hold, &r->row.v[at], &r->error);
}

/* The value for place `at`; *kind says how it is meant. */
static int take_value(record *r, const schema_column *c, const json_t *in, unsigned at, delta_kind *kind) {
    bool move = json_object_size(in) == 2 && json_object_get(in, "from") && json_object_get(in, "to");
    *kind = is_pair(in, "add") ? DELTA_ADD : move ? DELTA_MOVE : DELTA_SET;
    switch (*kind) {
    case DELTA_ADD:
        return take_sum(r, c, in, &r->row.v[at]);
    case DELTA_MOVE:
        return take_move(r, c, in, at);
    default:
        return record_value(c, in, &r->hold, &r->row.v[at], &r->error);
    }
}

/* Column ids ascend in a delta, and names may come in any order: later columns make room. */
static unsigned place_for(delta_row *row, uint32_t id) {
    unsigned at = row->ncol++;
    for (; at && row->col[at - 1].id > id; at--) {
        row->col[at] = row->col[at - 1];
        row->v[at] = row->v[at - 1];
        row->seen[at] = row->seen[at - 1];
    }
    return at;
}

static int take_column(record *r, const schema_column *c, const json_t *in) {
    unsigned at = place_for(&r->row, c->id);
    delta_kind kind;
    r->wrong = c;
    int rc = take_value(r, c, in, at, &kind);
    if (rc) return rc;
    r->row.col[at] = (delta_column){.id = c->id, .kind = kind};
    r->wrong = NULL;
    return SATCHEL_OK;
}

int record_values(record *r, const json_t *values) {
    const char *name;
    json_t *in;
    if (!json_is_object(values))
        return say(&r->error, SATCHEL_E_TYPE, "\"values\" must be an object of columns of %s", r->t->name);
    int rc = make_room(&r->hold, values);
    json_object_foreach((json_t *)values, name, in) {
        const schema_column *c = rc ? NULL : find_column(r->t, name);
        if (!rc && !c) rc = no_column(r, name, "column");
        if (!rc && c->key)
            rc = say(&r->error, SATCHEL_E_UNKNOWN_COLUMN, "column %s is part of the key: it stands in \"key\", and never changes",
                     name);
        if (!rc) rc = take_column(r, c, in);
    }
    return rc;
}

int record_whole(record *r, const json_t *row) {
    const char *name;
    json_t *in;
    if (!json_is_object(row)) return say(&r->error, SATCHEL_E_TYPE, "a row of %s must be an object of its columns", r->t->name);
    int rc = make_room(&r->key_hold, row);
    if (!rc) rc = make_room(&r->hold, row);
    json_object_foreach((json_t *)row, name, in) {
        const schema_column *c = rc ? NULL : find_column(r->t, name);
        if (!rc && !c) rc = no_column(r, name, "column");
        if (!rc) rc = c->key ? take_key_value(r, c, in) : take_column(r, c, in);
    }
    return rc ? rc : check_key(r);
}

/* ---- out ---- */

/* Well-formed bytes from p on, one character; 0 for a wrong byte. */
static size_t character(const uint8_t *p, size_t n) {
    for (size_t k = 1; k <= 4 && k <= n; k++)
        if (value_utf8_valid(p, k)) return k;
    return 0;
}

static void put_escaped(buf *out, uint8_t c) {
    static const char SHORT[] = "\b\t\n\f\r\"\\", LETTER[] = "btnfr\"\\";
    const char *at = c ? strchr(SHORT, c) : NULL;
    if (at)
        buf_printf(out, "\\%c", LETTER[at - SHORT]);
    else
        buf_printf(out, "\\u%04x", c);
}

static bool is_plain(uint8_t c) {
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

void record_put_text(buf *out, const char *text, size_t n) {
    const uint8_t *p = (const uint8_t *)text, *end = p + n;
    buf_put_byte(out, '"');
    while (p && p < end) {
        const uint8_t *from = p;
        while (p < end && is_plain(*p)) p++;
        buf_put(out, from, (size_t)(p - from));
        if (p == end) break;
        size_t k = *p < 0x80 ? 0 : character(p, (size_t)(end - p));
        if (k)
            buf_put(out, p, k);
        else if (*p >= 0x80)
            buf_put(out, "\xef\xbf\xbd", 3);
        else
            put_escaped(out, *p);
        p += k ? k : 1;
    }
    buf_put_byte(out, '"');
}

void record_put_value(buf *out, const value *v) {
    switch (v->type) {
    case VALUE_INTEGER:
        buf_printf(out, "%" PRId64, v->u.i);
        break;
    case VALUE_REAL:
        if (isfinite(v->u.r))
            value_put_real(out, v->u.r);
        else
            buf_printf(out, "{\"real\":\"%sInfinity\"}", v->u.r < 0 ? "-" : "");
        break;
    case VALUE_TEXT:
        record_put_text(out, (const char *)v->u.p, v->n);
        break;
    case VALUE_BLOB:
        buf_printf(out, "{\"base64\":\"");
        crypto_base64(v->u.p, v->n, out);
        buf_printf(out, "\"}");
        break;
    default:
        buf_printf(out, "null");
    }
}

void record_put_key(buf *out, const schema_table *t, const value *key) {
    buf_put_byte(out, '{');
    for (unsigned i = 0; i < t->nkey; i++) {
        if (i) buf_put_byte(out, ',');
        record_put_text(out, t->key[i]->name, strlen(t->key[i]->name));
        buf_put_byte(out, ':');
        record_put_value(out, &key[i]);
    }
    buf_put_byte(out, '}');
}
