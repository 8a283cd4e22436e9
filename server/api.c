/* Calls: from the head of a request over a worker, or the writer, to the answer. */
#include "server/api.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "protocol/satchel_rc.h"
#include "server/api_private.h"
#include "server/console_private.h"

/* Waiting for the writer, or for a worker. */
#define PATIENCE_S 10

static const api_route routes[] = {
    {HTTP_GET, "/v1/openapi.json", NULL, 0, " ", 0, api_openapi, NULL, PEOPLE_NONE},
    {HTTP_GET, "/v1/changes", NULL, API_READ, " since epoch limit wait continue ", 0, api_changes, api_wait, PEOPLE_NONE},
    {HTTP_POST, "/v1/transactions", NULL, API_WRITE, " ", API_BODY_BYTES, api_parse_write, api_submit_write, PEOPLE_NONE},
    {HTTP_GET, "/v1/tables", NULL, API_READ, " ", 0, api_list_tables, NULL, PEOPLE_NONE},
    {HTTP_GET, "/v1/tables/", "/rows", API_READ, " limit after where. ", 0, api_list_rows, NULL, PEOPLE_NONE},
    {HTTP_GET, "/v1/tables/", "/rows/", API_READ, " ", 0, api_one_row, NULL, PEOPLE_NONE},
    {HTTP_POST, "/v1/login", NULL, 0, " ", API_LOGIN_BYTES, NULL, api_login, PEOPLE_NONE},
    {HTTP_POST, "/v1/logout", NULL, 0, " ", API_LOGIN_BYTES, NULL, api_logout, PEOPLE_VIEWER},
    {HTTP_GET, "/v1/session", NULL, 0, " ", 0, NULL, api_session, PEOPLE_VIEWER},
    /* Each command says which role it takes. */
    {HTTP_POST, "/v1/admin/commands/", "", 0, " ", API_BODY_BYTES, api_parse_command, api_run_command, PEOPLE_VIEWER},
};

/* ---- answers ---- */

void api_problem(buf *out, unsigned status, const char *code, const char *title, const char *detail, const char *rest) {
    buf_printf(out, "{\"type\":\"about:blank\",\"title\":");
    record_put_text(out, title, strlen(title));
    buf_printf(out, ",\"status\":%u,\"code\":\"%s\"", status, code);
    if (detail && *detail) {
        buf_printf(out, ",\"detail\":");
        record_put_text(out, detail, strlen(detail));
    }
    buf_printf(out, "%s}", rest ? rest : "");
}

const char *api_title(int rc) {
    switch (rc) {
    case SATCHEL_E_MISUSE:
        return "the request asks for what this path does not do";
    case SATCHEL_E_ORDER:
        return "the request does not fit where the server stands";
    case SATCHEL_E_MALFORMED:
        return "the request is not well formed";
    case SATCHEL_E_LIMIT:
        return "the request is over a limit";
    case SATCHEL_E_TIMEOUT:
        return "it takes too long";
    case SATCHEL_E_CLOSED:
        return "the server is shutting down";
    default:
        return satchel_rc_text(rc);
    }
}

unsigned api_status(int rc) {
    switch (rc) {
    case SATCHEL_OK:
        return 200;
    case SATCHEL_E_KEY_TAKEN:
    case SATCHEL_E_ROW_MISSING:
    case SATCHEL_E_UNIQUE:
    case SATCHEL_E_FOREIGN_KEY:
    case SATCHEL_E_GUARD:
    case SATCHEL_E_ORDER:
        return 409;
    default:
        if (satchel_rc_class(rc) == SATCHEL_CLASS_REFUSED) return 422;
        return satchel_rc_class(rc) == SATCHEL_CLASS_RETRY ? 503 : 500;
    }
}

void api_answer(api_call *c, unsigned status) {
    c->out.status = status;
    c->out.type = status < 400 ? API_JSON : API_PROBLEM;
    buf_clear(&c->out.body);
}

void api_refuse(api_call *c, unsigned status, int rc, const char *format, ...) {
    char words[2 * LIMIT_TEXT_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(words, sizeof words, format, args);
    va_end(args);
    api_answer(c, status);
    if (status == 503 || status == 429) c->out.retry_after_s = 1;
    api_problem(&c->out.body, status, satchel_rc_name(rc), api_title(rc), words, NULL);
}

void api_fail(api_call *c, const api_reader *r, int rc) {
    if (r->open && sqlite3_errcode(r->file.db) == SQLITE_INTERRUPT)
        api_refuse(c, 503, SATCHEL_E_TIMEOUT, "this reads too much; ask for fewer rows, or by a column that has an index");
    else
        api_refuse(c, api_status(rc) == 503 ? 503 : 500, rc, "the store could not be read; the server's log may say why");
}

static void free_call(api_call *c) {
    if (c->next_there) c->next_there->there = c->there;
    if (c->there) *c->there = c->next_there;
    for (size_t i = 0; i < c->narg; i++) free(c->arg[i]);
    free(c->arg);
    free(c->table);
    api_write_free(c->write);
    api_command_free(c->command);
    buf_fini(&c->body);
    buf_fini(&c->out.body);
    free(c);
}

void api_complete(api_call *c) {
    if (c->answered || !c->answer) return;
    c->answered = true;
    if (c->out.body.rc) api_refuse(c, 500, c->out.body.rc, "the answer is too large");
    if (c->route->role) api_pace_of(c->api, &c->who)->bytes += c->out.body.n;
    *c->answer = c->out;
    c->out.body = (buf){0};
    c->api->by_status[c->answer->status % 600]++;
    c->done(c->owner);
}

bool api_release(api_call *c) {
    c->held = false;
    if (c->answer) return false;
    free_call(c);
    return true;
}

/* ---- arguments ---- */

const char *api_arg(const api_call *c, const char *name) {
    size_t n = strlen(name);
    for (size_t i = 0; i < c->narg; i++)
        if (!strncmp(c->arg[i], name, n) && c->arg[i][n] == '=') return c->arg[i] + n + 1;
    return NULL;
}

bool api_number(api_call *c, const char *name, uint64_t most, uint64_t *out) {
    const char *text = api_arg(c, name);
    if (!text) return true;
    char *end;
    unsigned long long v = strtoull(text, &end, 10);
    if (*text >= '0' && *text <= '9' && !*end && v <= most && strlen(text) < 20) {
        *out = v;
        return true;
    }
    api_refuse(c, 400, SATCHEL_E_MISUSE, "%s is a whole number from 0 to %" PRIu64, name, most);
    return false;
}

static bool is_known_arg(const api_route *route, const char *arg, size_t n) {
    char between[64];
    if (!strncmp(arg, "where.", 6) && strstr(route->args, " where. ")) return true;
    if (!strncmp(arg, "filter.", 7) && strstr(route->args, " filter. ")) return true;
    if (n + 3 > sizeof between) return false;
    snprintf(between, sizeof between, " %.*s ", (int)n, arg);
    return strstr(route->args, between);
}

static bool check_args(api_call *c) {
    for (size_t i = 0; i < c->narg; i++) {
        size_t n = strcspn(c->arg[i], "=");
        bool twice = false;
        for (size_t k = 0; k < i; k++) twice = twice || (!strncmp(c->arg[k], c->arg[i], n) && c->arg[k][n] == '=');
        if (c->arg[i][n] && !twice && is_known_arg(c->route, c->arg[i], n)) continue;
        api_refuse(c, 400, SATCHEL_E_MISUSE, twice ? "%.*s stands twice in the query" : "this path takes no argument %.*s",
                   (int)(n < 128 ? n : 128), c->arg[i]);
        return false;
    }
    return true;
}

/* ---- the head ---- */

/* The route of a path among n, and where its {table} and {key} are; the best of those that differ in the method. */
static const api_route *find_among(const api_route *all, size_t n, const char *path, size_t *table, const char **key) {
    for (size_t i = 0; i < n; i++) {
        const api_route *r = &all[i];
        size_t head = strlen(r->head);
        *table = 0;
        *key = NULL;
        if (!r->tail && !strcmp(path, r->head)) return r;
        if (!r->tail || strncmp(path, r->head, head)) continue;
        *table = strcspn(path + head, "/");
        const char *rest = path + head + *table;
        bool has_key = *r->tail && r->tail[strlen(r->tail) - 1] == '/';
        if (!*table || (has_key ? strncmp(rest, r->tail, strlen(r->tail)) : strcmp(rest, r->tail))) continue;
        if (has_key) *key = rest + strlen(r->tail);
        return r;
    }
    return NULL;
}

static const api_route *find_route(const char *path, size_t *table, const char **key) {
    const api_route *r = find_among(routes, sizeof routes / sizeof *routes, path, table, key);
    return r ? r : find_among(console_routes, console_nroutes, path, table, key);
}

static void answer_problem(http_answer *answer, unsigned status, int rc, const char *words) {
    answer->status = status;
    answer->type = API_PROBLEM;
    api_problem(&answer->body, status, satchel_rc_name(rc), api_title(rc), words, NULL);
}

static bool copy_request(api_call *c, const http_request *request, size_t table, const char *key) {
    size_t head = strlen(c->route->head);
    if (table) {
        const char *name = request->path + head;
        size_t nkey = key ? strlen(key) : 0;
        c->table = malloc(table + 1 + nkey + 1);
        if (!c->table) return false;
        memcpy(c->table, name, table);
        c->table[table] = 0;
        c->key = c->table + table + 1;
        if (nkey) memcpy(c->key, key, nkey);
        c->key[nkey] = 0;
    }
    c->arg = calloc(request->narg + 1, sizeof *c->arg);
    for (size_t i = 0; c->arg && i < request->narg; i++, c->narg++)
        if (!(c->arg[i] = strdup(request->arg[i]))) return false;
    snprintf(c->peer, sizeof c->peer, "%s", request->peer);
    snprintf(c->agent, sizeof c->agent, "%.*s", (int)(sizeof c->agent - 1), request->agent ? request->agent : "");
    snprintf(c->idempotency_key, sizeof c->idempotency_key, "%s", request->idempotency_key);
    /* One that is too long stays so, and is told. */
    if (strlen(request->idempotency_key) > API_KEY_BYTES) c->idempotency_key[0] = '\t';
    return c->arg;
}

static const char *allow_of(const api_route *r) {
    return r->method == HTTP_POST ? "POST, OPTIONS" : "GET, HEAD, OPTIONS";
}

static api_call *make_call(api *a, const http_request *request, const api_route *route, size_t table, const char *key) {
    api_call *c = calloc(1, sizeof *c);
    if (!c) return NULL;
    c->api = a;
    c->route = route;
    if (copy_request(c, request, table, key)) return c;
    free_call(c);
    return NULL;
}

api_call *api_begin(api *a, const http_request *request, http_answer *answer) {
    size_t table;
    const char *key;
    const api_route *route = find_route(request->path, &table, &key);
    http_method as = request->method == HTTP_HEAD ? HTTP_GET : request->method;
    api_principal who = {0};
    api_call *c = NULL;
    if (!route) {
        answer_problem(answer, 404, SATCHEL_E_NOT_FOUND,
                       "there is nothing at this path; GET /v1/openapi.json describes what there is");
    } else if (as == HTTP_OPTIONS) {
        answer->status = 200;
        answer->type = API_JSON;
        answer->allow = allow_of(route);
    } else if (route->method != as) {
        answer->allow = allow_of(route);
        answer_problem(answer, 405, SATCHEL_E_MISUSE, "this path does not take this method");
    } else if (api_admit(a, request, route, &who, answer)) {
        c = make_call(a, request, route, table, key);
        if (!c) answer_problem(answer, 503, SATCHEL_E_OVERLOAD, "the server is out of memory");
    }
    if (!c) {
        a->by_status[answer->status % 600]++;
        return NULL;
    }
    c->answer = answer;
    c->who = who;
    c->next_there = a->there;
    c->there = &a->there;
    if (a->there) a->there->there = &c->next_there;
    a->there = c;
    return c;
}

size_t api_body_limit(const api_call *c) {
    return c->route->body;
}

/* ---- workers ---- */

uint64_t api_clock_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static int out_of_time(void *ctx) {
    api_call *c = ctx;
    return c->abandoned || api_clock_ms() > c->deadline_ms;
}

static int open_reader(api *a, api_reader *r) {
    buf words = {0};
    int rc = pages_open(&r->file, hub_store_path(a->service->hub), &words);
    if (!rc && (rc = schema_load(r->file.db, &r->schema, &words))) pages_close(&r->file);
    buf_fini(&words);
    r->open = !rc;
    return rc;
}

static void run_worker(uv_work_t *work) {
    api_call *c = work->data;
    api_reader *r = c->reader;
    int rc = r->open ? SATCHEL_OK : open_reader(c->api, r);
    if (rc)
        api_fail(c, r, rc);
    else
        c->route->work(c, r);
}

static void start_next(api *a);

static void worker_done(uv_work_t *work, int status) {
    api_call *c = work->data;
    api *a = c->api;
    (void)status;
    c->reader->call = NULL;
    c->reader = NULL;
    if (!api_release(c)) {
        if (!c->out.status && c->route->next)
            c->route->next(c);
        else
            api_complete(c);
    }
    start_next(a);
}

static void start_worker(api_call *c, api_reader *r) {
    c->reader = r;
    r->call = c;
    c->held = true;
    c->work.data = c;
    c->deadline_ms = api_clock_ms() + API_READ_MS;
    uv_queue_work(&c->api->service->loop->uv, &c->work, run_worker, worker_done);
}

static bool are_of_one(const api_call *c, const api_call *o) {
    return o->who.login.user == c->who.login.user && o->who.token.id == c->who.token.id;
}

static bool has_reader(const api_call *c) {
    bool has = false;
    for (unsigned i = 0; i < API_READERS; i++) has = has || (c->api->reader[i].call && are_of_one(c, c->api->reader[i].call));
    return has;
}

/* The first of those whose asker has no reader yet, so that many reads of one come after those of others. */
static api_call *whose_turn(const api *a) {
    api_call *c = a->first;
    while (c && has_reader(c)) c = c->next;
    return c ? c : a->first;
}

static void leave_queue(api_call *c) {
    api *a = c->api;
    api_call **at = &a->first;
    while (*at && *at != c) at = &(*at)->next;
    if (!*at) return;
    *at = c->next;
    if (!*at) a->last = at;
    a->waiting--;
    c->waiting = false;
}

static void start_next(api *a) {
    for (unsigned i = 0; i < API_READERS && a->first; i++) {
        if (a->reader[i].call) continue;
        api_call *c = whose_turn(a);
        leave_queue(c);
        start_worker(c, &a->reader[i]);
    }
}

void api_enqueue(api_call *c) {
    api *a = c->api;
    c->next = NULL;
    c->waiting = true;
    *a->last = c;
    a->last = &c->next;
    a->waiting++;
    start_next(a);
}

static bool is_list(const api_call *c) {
    const char *format = api_arg(c, "format");
    return format && !strcmp(format, "csv");
}

/* There are few readers, and only so much memory: one alone does not take them from all the others. */
static bool has_too_many(const api_call *c) {
    unsigned n = 0, lists = 0;
    if (!c->route->role) return false;
    for (const api_call *o = c->api->there; o; o = o->next_there) {
        if (!o->route->role || !are_of_one(c, o)) continue;
        n++;
        lists += is_list(o);
    }
    return n > API_OF_ONE || (is_list(c) && lists > API_LISTS_OF_ONE) || api_pace_of(c->api, &c->who)->bytes > API_BYTES_OF_ONE;
}

void api_serve(api_call *c, buf *body, void (*done)(void *owner), void *owner) {
    api *a = c->api;
    c->done = done;
    c->owner = owner;
    c->body = *body;
    *body = (buf){0};
    api_note_use(a, &c->who);
    if (!check_args(c)) {
        api_complete(c);
    } else if (a->service->draining) {
        api_refuse(c, 503, SATCHEL_E_CLOSED, "the server is shutting down");
        api_complete(c);
    } else if (has_too_many(c)) {
        api_refuse(c, 503, SATCHEL_E_OVERLOAD, "you ask for too much at one time; come back in a while");
        api_complete(c);
    } else if (!c->route->work) {
        c->route->next(c);
    } else if (a->waiting >= API_WAITING) {
        api_refuse(c, 503, SATCHEL_E_OVERLOAD, "too many requests are waiting; come back in a second");
        api_complete(c);
    } else {
        api_enqueue(c);
    }
}

unsigned api_patience_s(const api_call *c) {
    if (c->route->next == api_login) return API_LOGIN_S;
    if (c->route->next == api_run_command) return API_COMMAND_S;
    return PATIENCE_S + (c->route->next == api_wait ? API_WAIT_MAX_S : 0);
}

static bool is_write(const api_call *c) {
    return c->route->method == HTTP_POST;
}

/* A write goes on: whoever asks again with the same key gets its answer; and so does a command that does not take long. */
void api_expire(api_call *c) {
    if (c->answered || !c->answer) return;
    http_answer *answer = c->answer;
    c->answered = true;
    c->abandoned = !is_write(c);
    answer->retry_after_s = 1;
    answer_problem(answer, 503, SATCHEL_E_TIMEOUT,
                   c->route->next == api_run_command
                       ? "it takes too long; what became of it the audit log tells"
                       : "the server is busy; the same request may be sent again, with the same Idempotency-Key if it had one");
    api_command_abandon(c);
    c->api->by_status[503]++;
    c->done(c->owner);
}

void api_end(api_call *c) {
    if (!c) return;
    c->answer = NULL;
    c->abandoned = !is_write(c);
    api_command_abandon(c);
    if (c->waiting) leave_queue(c);
    if (c->parked) api_unpark(c);
    if (!c->held) free_call(c);
}

/* ---- reading ---- */

static int read_position(api_reader *r, api_position *at) {
    sqlite3_stmt *q =
        db_prepare(&r->file.cache, "SELECT seq,floor,epoch FROM satchel_server,satchel_epoch ORDER BY n DESC LIMIT 1");
    int rc = db_next(&r->file.cache, q);
    if (rc != 1) return rc ? rc : SATCHEL_E_CORRUPT;
    at->seq = (uint64_t)sqlite3_column_int64(q, 0);
    at->floor = (uint64_t)sqlite3_column_int64(q, 1);
    bool whole = sqlite3_column_bytes(q, 2) == EPOCH_BYTES;
    if (whole) memcpy(at->epoch, sqlite3_column_blob(q, 2), EPOCH_BYTES);
    sqlite3_reset(q);
    return whole ? SATCHEL_OK : SATCHEL_E_CORRUPT;
}

int api_read_begin(api_call *c, api_reader *r, api_position *at) {
    sqlite3_progress_handler(r->file.db, 1000, out_of_time, c);
    int rc = db_exec(&r->file.cache, "BEGIN", "");
    return rc ? rc : read_position(r, at);
}

void api_read_end(api_reader *r) {
    sqlite3_progress_handler(r->file.db, 0, NULL, NULL);
    if (!sqlite3_get_autocommit(r->file.db)) db_end(&r->file.cache, "COMMIT");
}

void api_put_epoch(buf *out, const uint8_t epoch[EPOCH_BYTES]) {
    for (unsigned i = 0; i < EPOCH_BYTES; i++) buf_printf(out, "%02x", epoch[i]);
}

extern const unsigned char api_openapi_json[];
extern const unsigned api_openapi_json_bytes;

void api_openapi(api_call *c, api_reader *r) {
    (void)r;
    api_answer(c, 200);
    buf_put(&c->out.body, api_openapi_json, api_openapi_json_bytes);
}

/* ---- the whole ---- */

int api_open(service *sv, enrol_limiter *limiter, api **out) {
    api *a = calloc(1, sizeof *a);
    if (!a) return SATCHEL_E_NOMEM;
    a->service = sv;
    a->limiter = limiter;
    a->last = &a->first;
    int rc = open_reader(a, &a->reader[0]);
    if (!rc) rc = api_load_tokens(a);
    if (!rc) rc = api_load_people(a);
    if (rc) {
        api_close(a);
        return rc;
    }
    sv->api = a;
    *out = a;
    return SATCHEL_OK;
}

void api_close(api *a) {
    if (!a) return;
    for (unsigned i = 0; i < API_READERS; i++) {
        if (!a->reader[i].open) continue;
        console_free(a->reader[i].console);
        schema_free(a->reader[i].schema);
        pages_close(&a->reader[i].file);
    }
    if (a->service->api == a) a->service->api = NULL;
    free(a->token);
    api_free_people(a);
    free(a);
}

void api_metrics(const api *a, buf *out) {
    buf_printf(out, "# HELP satchel_api_requests_total Requests of programs over HTTP, by the answer's status.\n"
                    "# TYPE satchel_api_requests_total counter\n");
    for (size_t i = 0; i < sizeof a->by_status / sizeof *a->by_status; i++)
        if (a->by_status[i] || i == 200)
            buf_printf(out, "satchel_api_requests_total{status=\"%zu\"} %" PRIu64 "\n", i, a->by_status[i]);
    buf_printf(out, "# HELP satchel_api_transactions_total Transactions of programs, by what became of them.\n"
                    "# TYPE satchel_api_transactions_total counter\n");
    buf_printf(out, "satchel_api_transactions_total{result=\"accepted\"} %" PRIu64 "\n", a->transactions);
    buf_printf(out, "satchel_api_transactions_total{result=\"refused\"} %" PRIu64 "\n", a->refused);
    buf_printf(out, "satchel_api_transactions_total{result=\"replayed\"} %" PRIu64 "\n", a->replayed);
}
