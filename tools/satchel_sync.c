/* satchel enroll, satchel sync - the commands that meet the server. */
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/satchel_cli.h"

/* A bar appears when the work has taken this long. */
#define BAR_AFTER_S 2.0
#define BAR_WIDTH 40
#define POLL_MS 250

static volatile sig_atomic_t interrupted;

static void on_signal(int number) {
    interrupted = number;
}

static double seconds_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* --- enroll --------------------------------------------------------------------------------------------------------------------- */

/* Copies the code and wipes it where it came from: arguments of a process are seen by others. */
static bool take_code(cli *c, char *out, size_t room) {
    if (strcmp(c->arg[0], "-")) {
        snprintf(out, room, "%s", c->arg[0]);
        explicit_bzero(c->arg[0], strlen(c->arg[0]));
        return true;
    }
    if (!fgets(out, (int)room, stdin)) return false;
    out[strcspn(out, "\r\n")] = 0;
    return true;
}

static void print_enrolled(cli *c) {
    satchel_status_info info = {.size = sizeof info};
    if (satchel_get_status(c->s, &info)) return;
    if (c->json)
        device_print_json(json_pack("{ss ss si}", "device", info.device, "host", info.host, "port", (int)info.port));
    else
        printf("enrolled with %s port %u as device %.16s\n", info.host, info.port, info.device);
}

int cli_enroll(cli *c) {
    char code[1024], name[65] = "";
    if (!take_code(c, code, sizeof code)) {
        fprintf(stderr, "satchel: standard input holds no enrolment code\n");
        return 1;
    }
    if (!c->name && gethostname(name, sizeof name - 1)) snprintf(name, sizeof name, "device");
    int rc = satchel_enroll(c->s, code, c->name ? c->name : name);
    explicit_bzero(code, sizeof code);
    if (rc) return cli_fail(c, "enroll");
    print_enrolled(c);
    return 0;
}

/* --- sync ----------------------------------------------------------------------------------------------------------------------- */

typedef struct sync_view {
    cli *c;
    double started, last_progress;
    uint64_t rows, pending, cursor;
    bool bar; /* is on the terminal */
    bool first_sync;
    char why[256]; /* the connection ended; a full disk keeps it from being noted in the file */
} sync_view;

static void clear_bar(sync_view *v) {
    if (v->bar) fputs("\r\033[K", stderr);
    v->bar = false;
}

static void draw_bar(sync_view *v, uint64_t done, uint64_t total) {
    double elapsed = seconds_now() - v->started;
    if (!total || elapsed < BAR_AFTER_S || !isatty(STDERR_FILENO)) return;
    int filled = done >= total ? BAR_WIDTH : (int)(done * BAR_WIDTH / total);
    fprintf(stderr, "\r[%.*s%*s] %3d%% %llu of %llu rows, %.0f rows/s ", filled, "########################################",
            BAR_WIDTH - filled, "", (int)(done >= total ? 100 : done * 100 / total), (unsigned long long)done,
            (unsigned long long)total, (double)done / elapsed);
    v->bar = true;
}

static const char *state_name(satchel_sync_state state) {
    static const char *const names[] = {"offline", "connecting", "syncing", "in_step", "stopped"};
    return (unsigned)state < sizeof names / sizeof *names ? names[state] : "unknown";
}

static const char *event_name(satchel_event_type type) {
    static const char *const names[] = {"",         "state", "refused",  "conflict", "schema", "forked",
                                        "progress", "clock", "repaired", "checked",  "settled"};
    return (unsigned)type < sizeof names / sizeof *names ? names[type] : "unknown";
}

static void print_event_json(const satchel_event *e) {
    json_t *o = json_pack("{ss}", "event", event_name(e->type));
    if (e->type == SATCHEL_EVENT_STATE) json_object_set_new(o, "state", json_string(state_name(e->state)));
    if (e->rc) json_object_set_new(o, "code", json_string(satchel_rc_name(e->rc)));
    if (e->number) json_object_set_new(o, "number", json_integer((json_int_t)e->number));
    if (e->total) json_object_set_new(o, "total", json_integer((json_int_t)e->total));
    if (e->table && *e->table) json_object_set_new(o, "table", json_string(e->table));
    if (e->text && *e->text) json_object_set_new(o, "text", json_string(e->text));
    device_print_json(o);
}

static void print_event(const satchel_event *e) {
    const char *text = e->text ? e->text : "", *table = e->table ? e->table : "";
    unsigned long long n = e->number;
    switch (e->type) {
    case SATCHEL_EVENT_STATE:
        printf("%s%s%s\n", state_name(e->state), *text ? ": " : "", text);
        break;
    case SATCHEL_EVENT_REFUSED:
        printf("transaction %llu was refused (%s): %s\n", n, satchel_rc_name(e->rc), text);
        break;
    case SATCHEL_EVENT_CONFLICT:
        printf("a value of transaction %llu in %s lost; see satchel conflicts\n", n, table);
        break;
    case SATCHEL_EVENT_SETTLED:
        printf("the refusal of transaction %llu was settled: %s\n", n, text);
        break;
    case SATCHEL_EVENT_SCHEMA:
        printf("migration %llu was applied: %s\n", n, text);
        break;
    case SATCHEL_EVENT_FORKED:
        printf("this file was restored or copied; it goes on as incarnation %llu\n", n);
        break;
    case SATCHEL_EVENT_CLOCK:
    case SATCHEL_EVENT_REPAIRED:
        printf("%s\n", text);
        break;
    case SATCHEL_EVENT_CHECKED:
        if (e->rc == SATCHEL_E_BUSY && !e->total)
            puts("the rows could not be compared with the server's now: they change all the time");
        else
            printf("%llu rows were compared with the server's: %llu repaired%s\n", (unsigned long long)e->total, n,
                   e->rc ? "; others could not be compared or repaired" : "");
        break;
    case SATCHEL_EVENT_PROGRESS:
        break;
    }
    fflush(stdout);
}

static void on_event(void *ctx, const satchel_event *e) {
    sync_view *v = ctx;
    if (e->type != SATCHEL_EVENT_STATE) v->last_progress = seconds_now();
    if (e->type == SATCHEL_EVENT_STATE && e->rc) snprintf(v->why, sizeof v->why, "%s", e->text);
    if (e->type == SATCHEL_EVENT_PROGRESS) {
        v->rows = e->number;
        v->first_sync = true;
        draw_bar(v, e->number, e->total);
    }
    if (!v->c->watch || (e->type == SATCHEL_EVENT_PROGRESS && !v->c->json)) return;
    clear_bar(v);
    if (v->c->json)
        print_event_json(e);
    else
        print_event(e);
}

static void on_change(void *ctx, const char *table) {
    sync_view *v = ctx;
    v->last_progress = seconds_now();
    if (!v->c->watch) return;
    if (v->c->json)
        device_print_json(json_pack("{ss ss}", "event", "change", "table", table));
    else
        printf("%s changed\n", table), fflush(stdout);
}

static void print_in_step(sync_view *v) {
    satchel_status_info i = {.size = sizeof i};
    double elapsed = seconds_now() - v->started;
    if (satchel_get_status(v->c->s, &i)) return;
    if (v->c->json) {
        device_print_json(json_pack("{ss sI sI sI sI sI sI sf}", "state", state_name(i.state), "cursor", (json_int_t)i.cursor,
                                    "pending", (json_int_t)i.pending, "accepted", (json_int_t)i.accepted, "refused",
                                    (json_int_t)i.refused, "conflicts", (json_int_t)i.conflicts, "rows", (json_int_t)v->rows,
                                    "seconds", elapsed));
        return;
    }
    printf("in step at %llu: %llu pending, %llu refused, %llu conflicts; %.2f s", (unsigned long long)i.cursor,
           (unsigned long long)i.pending, (unsigned long long)i.refused, (unsigned long long)i.conflicts, elapsed);
    if (v->first_sync)
        printf("; %llu rows, %.0f rows/s", (unsigned long long)v->rows, (double)v->rows / (elapsed > 0 ? elapsed : 1));
    putchar('\n');
}

static int give_up(sync_view *v) {
    fprintf(stderr, "satchel: sync: not in step, and no progress for %u seconds%s%s\n", v->c->timeout_s,
            *v->why ? "; last: " : "", v->why);
    return 1;
}

/* Results that came and pages that were applied are progress; to connect again and again, to a server that is full, is none. */
static void note_progress(sync_view *v) {
    satchel_status_info i = {.size = sizeof i};
    if (satchel_get_status(v->c->s, &i) || (i.pending == v->pending && i.cursor == v->cursor)) return;
    v->pending = i.pending;
    v->cursor = i.cursor;
    v->last_progress = seconds_now();
}

static int sync_once(sync_view *v) {
    while (!interrupted) {
        int rc = satchel_poll(v->c->s, POLL_MS);
        if (rc == 0) note_progress(v);
        bool late = seconds_now() - v->last_progress > v->c->timeout_s;
        if (rc == 1) {
            clear_bar(v);
            print_in_step(v);
            return 0;
        }
        if (rc < 0 && (satchel_rc_class(rc) != SATCHEL_CLASS_RETRY || late)) {
            clear_bar(v);
            return cli_fail(v->c, "sync");
        }
        if (late) {
            clear_bar(v);
            return give_up(v);
        }
    }
    clear_bar(v);
    return 1;
}

static void print_waiting(sync_view *v) {
    const char *text = satchel_errmsg(v->c->s);
    if (v->c->json)
        device_print_json(json_pack("{ss ss}", "event", "waiting", "text", text));
    else
        printf("waiting: %s\n", text), fflush(stdout);
}

static int sync_watch(sync_view *v) {
    bool waits = false;
    while (!interrupted) {
        int rc = satchel_poll(v->c->s, POLL_MS);
        if (rc < 0 && satchel_rc_class(rc) != SATCHEL_CLASS_RETRY) return cli_fail(v->c, "sync");
        if (rc == SATCHEL_E_BUSY && !waits) print_waiting(v);
        waits = rc == SATCHEL_E_BUSY;
    }
    return 0;
}

int cli_sync(cli *c) {
    sync_view v = {.c = c, .started = seconds_now(), .last_progress = seconds_now()};
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    satchel_on_event(c->s, on_event, &v);
    satchel_on_change(c->s, on_change, &v);
    int status = c->watch ? sync_watch(&v) : sync_once(&v);
    satchel_on_event(c->s, NULL, NULL);
    satchel_on_change(c->s, NULL, NULL);
    return status;
}

/* --- verify --server ---------------------------------------------------------------------------------------------------------- */

typedef struct comparison {
    sync_view v;
    bool done;
    int rc;
} comparison;

static void on_compared(void *ctx, const satchel_event *e) {
    comparison *m = ctx;
    on_event(&m->v, e);
    if (e->type != SATCHEL_EVENT_REPAIRED && e->type != SATCHEL_EVENT_CHECKED) return;
    if (e->type == SATCHEL_EVENT_CHECKED) {
        m->done = true;
        m->rc = e->rc;
    }
    clear_bar(&m->v);
    if (m->v.c->json)
        print_event_json(e);
    else
        print_event(e);
}

static int compare_now(comparison *m) {
    cli *c = m->v.c;
    if (satchel_check(c->s)) return cli_fail(c, "verify");
    while (!interrupted && !m->done) {
        int rc = satchel_poll(c->s, POLL_MS);
        if (rc == 0) note_progress(&m->v);
        bool late = seconds_now() - m->v.last_progress > c->timeout_s;
        if (rc < 0 && (satchel_rc_class(rc) != SATCHEL_CLASS_RETRY || late)) return cli_fail(c, "verify");
        if (late) return give_up(&m->v);
    }
    return !m->done || m->rc;
}

int cli_compare(cli *c) {
    comparison m = {.v = {.c = c, .started = seconds_now(), .last_progress = seconds_now()}};
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    satchel_on_event(c->s, on_compared, &m);
    int status = compare_now(&m);
    clear_bar(&m.v);
    satchel_on_event(c->s, NULL, NULL);
    return status;
}
