/* An admin's read, from its begin to its answer; and the SQL functions that its lists are written with. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/clock.h"
#include "protocol/functions.h"
#include "protocol/merge.h"
#include "protocol/satchel_rc.h"
#include "server/console_private.h"
#include "server/scope_private.h"
#include "server/version.h"

#define CSV "text/csv"

/* ---- SQL functions ---- */

static void give_text(sqlite3_context *x, const char *text) {
    if (text && *text)
        sqlite3_result_text(x, text, -1, SQLITE_TRANSIENT);
    else
        sqlite3_result_null(x);
}

static void sql_table(sqlite3_context *x, int argc, sqlite3_value **argv) {
    const console *k = sqlite3_user_data(x);
    const schema_table *t = schema_table_by_id(k->schema, (uint32_t)sqlite3_value_int64(argv[0]));
    (void)argc;
    give_text(x, t ? t->name : NULL);
}

static void sql_column(sqlite3_context *x, int argc, sqlite3_value **argv) {
    const console *k = sqlite3_user_data(x);
    const schema_table *t = schema_table_by_id(k->schema, (uint32_t)sqlite3_value_int64(argv[0]));
    const schema_column *c = t ? schema_column_by_id(t, (uint32_t)sqlite3_value_int64(argv[1])) : NULL;
    (void)argc;
    give_text(x, c ? c->name : NULL);
}

static void sql_rule(sqlite3_context *x, int argc, sqlite3_value **argv) {
    (void)argc;
    give_text(x, merge_rule_name((merge_rule)sqlite3_value_int(argv[0])));
}

static void sql_code(sqlite3_context *x, int argc, sqlite3_value **argv) {
    int rc = sqlite3_value_int(argv[0]);
    (void)argc;
    give_text(x, rc ? satchel_rc_name(rc) : NULL);
}

static void sql_reason(sqlite3_context *x, int argc, sqlite3_value **argv) {
    int rc = sqlite3_value_int(argv[0]);
    (void)argc;
    give_text(x, rc ? satchel_rc_rule(rc) : NULL);
}

static void sql_error(sqlite3_context *x, int argc, sqlite3_value **argv) {
    int rc = sqlite3_value_int(argv[0]);
    (void)argc;
    give_text(x, rc && rc != SATCHEL_E_CLOSED && rc != SATCHEL_E_SUPERSEDED ? satchel_rc_name(rc) : NULL);
}

/* A device's software: (software, false) the products, (software, true) what they run on. */
static void sql_software(sqlite3_context *x, int argc, sqlite3_value **argv) {
    const char *software = (const char *)sqlite3_value_text(argv[0]), *platform;
    size_t nplatform, n = version_products(software, software ? (size_t)sqlite3_value_bytes(argv[0]) : 0, &platform, &nplatform);
    (void)argc;
    if (!sqlite3_value_int(argv[1]))
        sqlite3_result_text(x, software, (int)n, SQLITE_TRANSIENT);
    else if (nplatform)
        sqlite3_result_text(x, platform, (int)nplatform, SQLITE_TRANSIENT);
    else
        sqlite3_result_null(x);
}

static void sql_literals(sqlite3_context *x, int argc, sqlite3_value **argv) {
    buf text = {0};
    (void)argc;
    if (sqlite3_value_type(argv[0]) == SQLITE_NULL) {
        sqlite3_result_null(x);
        return;
    }
    value_put_literals(&text, sqlite3_value_blob(argv[0]), (size_t)sqlite3_value_bytes(argv[0]));
    if (text.rc)
        sqlite3_result_error_nomem(x);
    else
        sqlite3_result_text(x, text.n ? (const char *)text.p : "", (int)text.n, SQLITE_TRANSIENT);
    buf_fini(&text);
}

int64_t console_made_ms(uint64_t stamp, int64_t author) {
    /* What a rule of the server's wrote is below any time (automation.h). */
    int64_t ms = (int64_t)(stamp >> 16);
    return author || ms > INT64_C(1000000000000) ? ms : 0;
}

static void sql_made(sqlite3_context *x, int argc, sqlite3_value **argv) {
    int64_t ms = console_made_ms((uint64_t)sqlite3_value_int64(argv[0]), sqlite3_value_int64(argv[1]));
    (void)argc;
    if (ms)
        sqlite3_result_int64(x, ms);
    else
        sqlite3_result_value(x, argv[2]);
}

/* Once in a read, and only in one that needs it: the hub stands still meanwhile. */
static void find_open(console *k) {
    if (k->open || k->open_rc) return;
    k->open_rc = hub_connections(k->service->hub, &k->open, &k->nopen);
}

const history_sync *console_open_of(console *k, int64_t device) {
    find_open(k);
    size_t low = 0, n = k->nopen;
    while (n) {
        size_t half = n / 2;
        if (k->open[low + half].device < device) {
            low += half + 1;
            n -= half + 1;
        } else {
            n = half;
        }
    }
    return low < k->nopen && k->open[low].device == device ? &k->open[low] : NULL;
}

static void sql_online(sqlite3_context *x, int argc, sqlite3_value **argv) {
    (void)argc;
    sqlite3_result_int(x, console_open_of(sqlite3_user_data(x), sqlite3_value_int64(argv[0])) != NULL);
}

static void sql_holds(sqlite3_context *x, int argc, sqlite3_value **argv) {
    const console *k = sqlite3_user_data(x);
    view *v;
    (void)argc;
    bool known = sqlite3_value_type(argv[0]) != SQLITE_NULL && !pages_view(k->file, (uint64_t)sqlite3_value_int64(argv[0]), &v);
    sqlite3_result_int(x, known && view_holds(v, k->file->sets, (uint32_t)sqlite3_value_int64(argv[1])) == 1);
}

static void sql_key(sqlite3_context *x, int argc, sqlite3_value **argv) {
    buf text = {0};
    for (int i = 0; i < argc; i++) {
        value v = value_of_sqlite(argv[i]);
        if (i) buf_put_byte(&text, ',');
        value_put_literal(&text, &v);
    }
    if (text.rc)
        sqlite3_result_error_nomem(x);
    else
        sqlite3_result_text(x, text.n ? (const char *)text.p : "", (int)text.n, SQLITE_TRANSIENT);
    buf_fini(&text);
}

static void sql_clock(sqlite3_context *x, int argc, sqlite3_value **argv) {
    static _Thread_local row_clock clock;
    (void)argc;
    if (clock_decode(&clock, sqlite3_value_blob(argv[0]), (size_t)sqlite3_value_bytes(argv[0]))) {
        sqlite3_result_null(x);
        return;
    }
    const field_clock *newest = &clock.base;
    for (unsigned i = 0; i < clock.n; i++)
        if (clock.over[i].c.seq > newest->seq) newest = &clock.over[i].c;
    int which = sqlite3_value_int(argv[1]);
    sqlite3_result_int64(x, which == 0 ? (int64_t)newest->seq : which == 1 ? (int64_t)newest->author : (int64_t)newest->stamp);
}

static void sql_now(sqlite3_context *x, int argc, sqlite3_value **argv) {
    (void)argc, (void)argv;
    sqlite3_result_int64(x, ((const console *)sqlite3_user_data(x))->now_ms);
}

/* ---- what a row is called ---- */

static const schema_column *named(const schema_table *t) {
    static const char *const NAMES[] = {"name", "title", "subject", "label"};
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
        for (unsigned j = 0; j < t->ncol; j++)
            if (!strcmp(t->col[j]->name, NAMES[i]) && t->col[j]->affinity == AFFINITY_TEXT) return t->col[j];
    return NULL;
}

void console_put_label(buf *sql, const schema_table *t) {
    const schema_column *name = named(t);
    unsigned n = 0;
    if (name) {
        scope_put_name(sql, name->name);
        return;
    }
    for (unsigned i = 0; i < t->ncol && n < 2; i++) {
        if (t->col[i]->affinity != AFFINITY_TEXT || t->col[i]->key) continue;
        buf_printf(sql, n++ ? "||' '||coalesce(" : "nullif(trim(coalesce(");
        scope_put_name(sql, t->col[i]->name);
        buf_printf(sql, ",'')");
    }
    buf_printf(sql, n ? "),'')" : "NULL");
}

void console_put_key_columns(buf *sql, const schema_table *t) {
    for (unsigned i = 0; i < t->nkey; i++) {
        if (i) buf_put_byte(sql, ',');
        scope_put_name(sql, t->key[i]->name);
    }
}

void console_put_from_row(buf *sql, const schema_table *t) {
    buf_printf(sql, " FROM ");
    scope_put_name(sql, t->name);
    buf_printf(sql, " WHERE (");
    console_put_key_columns(sql, t);
    buf_printf(sql, ")=(?");
    for (unsigned i = 1; i < t->nkey; i++) buf_printf(sql, ",?");
    buf_printf(sql, ")");
}

/* Borrowed; NULL if it cannot be made. */
static sqlite3_stmt *label_query(console *k, const schema_table *t) {
    sqlite3_stmt **q = &k->label[t - k->schema->table];
    buf sql = {0};
    if (*q) return *q;
    buf_printf(&sql, "SELECT ");
    console_put_label(&sql, t);
    console_put_from_row(&sql, t);
    if (sql.rc || sqlite3_prepare_v2(k->file->db, (const char *)sql.p, (int)sql.n, q, NULL) != SQLITE_OK) *q = NULL;
    buf_fini(&sql);
    return *q;
}

static void sql_label(sqlite3_context *x, int argc, sqlite3_value **argv) {
    console *k = sqlite3_user_data(x);
    const schema_table *t = schema_table_by_id(k->schema, (uint32_t)sqlite3_value_int64(argv[0]));
    const uint8_t *p = sqlite3_value_blob(argv[1]), *end = p ? p + sqlite3_value_bytes(argv[1]) : NULL;
    sqlite3_stmt *q = p && t && t->until == SCHEMA_NEVER ? label_query(k, t) : NULL;
    value key;
    (void)argc;
    sqlite3_result_null(x);
    if (!q) return;
    for (unsigned i = 0; i < t->nkey; i++)
        if (value_get(&p, end, &key) || value_bind(q, (int)i + 1, &key) != SQLITE_OK) return;
    if (sqlite3_step(q) == SQLITE_ROW) give_text(x, (const char *)sqlite3_column_text(q, 0));
    sqlite3_reset(q);
    sqlite3_clear_bindings(q);
}

static bool has_row(console *k, unsigned table, const value *key) {
    const schema_table *t = &k->schema->table[table];
    sqlite3_stmt *q = t->nkey == 1 && t->until == SCHEMA_NEVER ? label_query(k, t) : NULL;
    bool has = q && value_bind(q, 1, key) == SQLITE_OK && sqlite3_step(q) == SQLITE_ROW;
    if (q) sqlite3_reset(q);
    if (q) sqlite3_clear_bindings(q);
    return has;
}

/* Many keys that are asked for one after the other are of one table: it is looked at first. */
static void sql_home(sqlite3_context *x, int argc, sqlite3_value **argv) {
    console *k = sqlite3_user_data(x);
    const uint8_t *p = sqlite3_value_blob(argv[0]), *end = p ? p + sqlite3_value_bytes(argv[0]) : NULL;
    unsigned n = k->schema->ntable;
    value key;
    (void)argc;
    sqlite3_result_null(x);
    if (!p || value_get(&p, end, &key) || p != end || (key.type != VALUE_BLOB && key.type != VALUE_TEXT)) return;
    for (unsigned i = 0; i <= n; i++) {
        unsigned table = i ? i - 1 : k->home;
        if (table >= n || !has_row(k, table, &key)) continue;
        k->home = table;
        sqlite3_result_int64(x, k->schema->table[table].id);
        return;
    }
}

/* ---- making and ending ---- */

static int register_functions(console *k) {
    static const struct {
        const char *name;
        int n;
        void (*call)(sqlite3_context *, int, sqlite3_value **);
    } FUNCTION[] = {{"console_table", 1, sql_table},       {"console_column", 2, sql_column}, {"console_rule", 1, sql_rule},
                    {"console_code", 1, sql_code},         {"console_reason", 1, sql_reason}, {"console_error", 1, sql_error},
                    {"console_literals", 1, sql_literals}, {"console_label", 2, sql_label},   {"console_made", 3, sql_made},
                    {"console_home", 1, sql_home},         {"console_online", 1, sql_online}, {"console_holds", 2, sql_holds},
                    {"console_key", -1, sql_key},          {"console_clock", 2, sql_clock},   {"satchel_now", 0, sql_now},
                    {"console_software", 2, sql_software}};
    int rc = functions_register(k->file->db);
    for (size_t i = 0; !rc && i < sizeof FUNCTION / sizeof *FUNCTION; i++)
        rc = db_rc(sqlite3_create_function_v2(k->file->db, FUNCTION[i].name, FUNCTION[i].n, SQLITE_UTF8, k, FUNCTION[i].call,
                                              NULL, NULL, NULL));
    return rc;
}

void console_free(console *k) {
    if (!k) return;
    for (unsigned i = 0; k->label && i < k->schema->ntable; i++) sqlite3_finalize(k->label[i]);
    free(k->label);
    free(k->open);
    db_cache_fini(&k->over.cache);
    buf_fini(&k->over.error);
    free(k);
}

static int make(api_call *c, api_reader *r) {
    console *k = calloc(1, sizeof *k);
    if (!k) return SATCHEL_E_NOMEM;
    k->service = c->api->service;
    k->file = &r->file;
    k->schema = r->schema;
    k->over.db = r->file.db;
    k->over.schema = r->schema;
    db_cache_init(&k->over.cache, r->file.db);
    k->label = calloc(r->schema->ntable + 1, sizeof *k->label);
    int rc = k->label ? register_functions(k) : SATCHEL_E_NOMEM;
    if (rc)
        console_free(k);
    else
        r->console = k;
    return rc;
}

console *console_begin(api_call *c, api_reader *r) {
    int rc = r->console ? SATCHEL_OK : make(c, r);
    console *k = r->console;
    if (!rc) {
        free(k->open);
        k->open = NULL;
        k->nopen = 0;
        k->open_rc = SATCHEL_OK;
        k->now_ms = (int64_t)k->service->now_ms(NULL);
        rc = api_read_begin(c, r, &k->at);
    }
    if (!rc) {
        memcpy(k->over.now.epoch, k->at.epoch, EPOCH_BYTES);
        k->over.now.seq = k->over.committed.seq = k->at.seq;
        k->over.now.floor = k->at.floor;
        return k;
    }
    api_fail(c, r, rc);
    api_read_end(r);
    return NULL;
}

void console_end(api_call *c, api_reader *r, console *k, int rc, const buf *words) {
    const char *said = words && words->n ? (const char *)words->p : NULL;
    if (!rc) rc = k->open_rc;
    if (rc == SATCHEL_E_MISUSE && said)
        api_refuse(c, 400, rc, "%.*s", (int)words->n, said);
    else if (rc == SATCHEL_E_NOT_FOUND || rc == SATCHEL_E_UNKNOWN_TABLE)
        api_refuse(c, 404, rc, "%.*s", said ? (int)words->n : 24, said ? said : "there is nothing of this");
    else if (rc == SATCHEL_E_LIMIT && said)
        api_refuse(c, 400, rc, "%.*s", (int)words->n, said);
    else if (rc)
        api_fail(c, r, rc);
    api_read_end(r);
}

void console_put_as_of(const console *k, buf *out) {
    buf_printf(out, "\"as_of\":{\"seq\":%" PRIu64 ",\"at_ms\":%" PRId64 "}", k->at.seq, k->now_ms);
}

/* ---- pieces of answers ---- */

void console_put_text(buf *out, const char *name, const char *text) {
    buf_printf(out, ",\"%s\":", name);
    if (text)
        record_put_text(out, text, strlen(text));
    else
        buf_printf(out, "null");
}

void console_put_integer(buf *out, const char *name, int64_t n) {
    buf_printf(out, ",\"%s\":%" PRId64, name, n);
}

bool console_take_id(api_call *c, const char *text, int64_t *out) {
    char *end;
    *out = strtoll(text, &end, 10);
    if (*text >= '0' && *text <= '9' && !*end && strlen(text) < 19) return true;
    api_refuse(c, 404, SATCHEL_E_NOT_FOUND, "an id is a whole number");
    return false;
}

void console_tell_one(api_call *c, api_reader *r, int (*put)(console *k, int64_t id, buf *out, buf *words)) {
    int64_t id;
    buf words = {0};
    if (!console_take_id(c, c->table, &id)) return;
    console *k = console_begin(c, r);
    if (!k) return;
    api_answer(c, 200);
    int rc = put(k, id, &c->out.body, &words);
    console_end(c, r, k, rc, &words);
    buf_fini(&words);
}

int console_find_author(const console *k, int64_t author, console_author *out) {
    db_cache *cache = &k->file->cache;
    *out = (console_author){.name = "server"};
    if (!author) return SATCHEL_OK;
    sqlite3_stmt *q = db_prepare(cache, "SELECT d.name,iif(d." DEVICE_LISTED
                                        ",d.id,0),d.user FROM satchel_author a JOIN satchel_device d ON d.id=a.device"
                                        " WHERE a.author=?");
    db_bind(q, "i", author);
    int rc = db_next(cache, q);
    if (rc != 1) return rc;
    buf user = {0};
    sqlite3_snprintf(sizeof out->name, out->name, "%s", sqlite3_column_text(q, 0));
    out->device = sqlite3_column_int64(q, 1);
    value_put_literals(&user, sqlite3_column_blob(q, 2), (size_t)sqlite3_column_bytes(q, 2));
    sqlite3_snprintf(sizeof out->user, out->user, "%.*s", (int)user.n, user.n ? (const char *)user.p : "");
    buf_fini(&user);
    sqlite3_reset(q);
    return SATCHEL_OK;
}

void console_put_made(uint64_t stamp, int64_t author, buf *out) {
    int64_t ms = console_made_ms(stamp, author);
    if (ms)
        console_put_integer(out, "made_ms", ms);
    else
        buf_printf(out, ",\"made_ms\":null");
}

void console_put_author(const console_author *a, buf *out) {
    console_put_text(out, "device", a->name);
    if (a->device)
        console_put_integer(out, "device_id", a->device);
    else
        buf_printf(out, ",\"device_id\":null");
    console_put_text(out, "user", a->user[0] ? a->user : NULL);
}

/* ---- lists ---- */

static void put_params(const console *k, int64_t id, const char *text, value param[5]) {
    param[0] = value_integer(k->now_ms);
    param[1] = value_integer((int64_t)k->at.seq);
    param[2] = value_integer((int64_t)hub_horizon_ms(k->service->hub));
    param[3] = value_integer(id);
    param[4] = text ? value_text(text, strlen(text)) : value_null();
}

static bool take_filters(api_call *c, console_ask *ask) {
    for (size_t i = 0; i < c->narg; i++) {
        char *name = c->arg[i], *equals = strchr(name, '=');
        if (strncmp(name, "filter.", 7) || !equals) continue;
        if (ask->nfilter == CONSOLE_FILTERS) {
            api_refuse(c, 400, SATCHEL_E_LIMIT, "a request has %u filters at most", CONSOLE_FILTERS);
            return false;
        }
        /* The call's own copy, which nobody reads after this. */
        *equals = 0;
        ask->filter[ask->nfilter++] = (console_filter){name + 7, equals + 1};
    }
    return true;
}

bool console_take_ask(api_call *c, const console *k, int64_t id, const char *text, console_ask *ask) {
    uint64_t limit = CONSOLE_LIMIT;
    const char *format = api_arg(c, "format");
    *ask = (console_ask){.after = api_arg(c, "after"),
                         .sort = api_arg(c, "sort"),
                         .q = api_arg(c, "q"),
                         .counts = api_arg(c, "counts"),
                         .nparam = 5};
    put_params(k, id, text, ask->param);
    if (!api_number(c, "limit", CONSOLE_LIMIT_MAX, &limit)) return false;
    ask->limit = limit;
    ask->csv = format && !strcmp(format, "csv");
    if (!limit)
        api_refuse(c, 400, SATCHEL_E_MISUSE, "limit is from 1 to %u", CONSOLE_LIMIT_MAX);
    else if (format && !ask->csv && strcmp(format, "json"))
        api_refuse(c, 400, SATCHEL_E_MISUSE, "format is json or csv");
    else
        return take_filters(c, ask);
    return false;
}

void console_answer(api_call *c, api_reader *r, console *k, const console_source *s, int64_t id, const char *text) {
    console_answer_more(c, r, k, s, id, text, NULL);
}

void console_answer_more(api_call *c, api_reader *r, console *k, const console_source *s, int64_t id, const char *text,
                         const buf *more) {
    console_ask ask;
    buf words = {0};
    if (!console_take_ask(c, k, id, text, &ask)) {
        api_read_end(r);
        return;
    }
    api_answer(c, 200);
    int rc = console_list(k->file->db, s, &ask, &c->out.body, &words);
    if (!rc && ask.csv) {
        c->out.type = CSV;
    } else if (!rc) {
        if (more) buf_put(&c->out.body, more->p, more->n);
        buf_put_byte(&c->out.body, ',');
        console_put_as_of(k, &c->out.body);
        buf_put_byte(&c->out.body, '}');
    }
    console_end(c, r, k, rc, &words);
    buf_fini(&words);
}

int console_put_one(const console *k, const console_source *s, int64_t id, const char *text, buf *out) {
    value param[5];
    put_params(k, id, text, param);
    return console_item(k->file->db, s, param, 5, out);
}

static void put_row(sqlite3_stmt *q, buf *out) {
    buf_put_byte(out, '{');
    for (int i = 0; i < sqlite3_column_count(q); i++) {
        const char *name = sqlite3_column_name(q, i);
        value v = value_of_column(q, i);
        if (i) buf_put_byte(out, ',');
        record_put_text(out, name + (*name == '?' || *name == '!'), strlen(name) - (*name == '?' || *name == '!'));
        buf_put_byte(out, ':');
        if (*name == '?')
            buf_printf(out, v.type == VALUE_INTEGER && v.u.i ? "true" : "false");
        else if (*name == '!' && v.type == VALUE_TEXT)
            buf_put(out, v.u.p, v.n);
        else
            record_put_value(out, &v);
    }
    buf_put_byte(out, '}');
}

static int prepare(const console *k, const char *sql, int64_t id, const char *text, value param[5], sqlite3_stmt **q) {
    put_params(k, id, text, param);
    int rc = db_rc(sqlite3_prepare_v2(k->file->db, sql, -1, q, NULL));
    int n = *q ? sqlite3_bind_parameter_count(*q) : 0;
    for (int i = 0; !rc && i < 5 && i < n; i++) rc = db_rc(value_bind(*q, i + 1, &param[i]));
    return rc;
}

int console_put_object(const console *k, const char *sql, int64_t id, const char *text, buf *out) {
    sqlite3_stmt *q = NULL;
    value param[5];
    int rc = prepare(k, sql, id, text, param, &q), step = rc ? SQLITE_DONE : sqlite3_step(q);
    if (step == SQLITE_ROW)
        put_row(q, out);
    else
        buf_printf(out, "null");
    if (!rc && step != SQLITE_ROW && step != SQLITE_DONE) rc = db_rc(step);
    sqlite3_finalize(q);
    return rc;
}

int console_put_rows(const console *k, const char *sql, int64_t id, const char *text, buf *out) {
    sqlite3_stmt *q = NULL;
    value param[5];
    const char *comma = "";
    int rc = prepare(k, sql, id, text, param, &q), step = SQLITE_DONE;
    buf_put_byte(out, '[');
    for (; !rc && (step = sqlite3_step(q)) == SQLITE_ROW; comma = ",") {
        buf_printf(out, "%s", comma);
        put_row(q, out);
    }
    buf_put_byte(out, ']');
    if (!rc && step != SQLITE_DONE) rc = db_rc(step);
    sqlite3_finalize(q);
    return rc;
}
