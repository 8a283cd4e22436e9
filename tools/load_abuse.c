#include "tools/load_abuse.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "protocol/crypto.h"
#include "protocol/message.h"
#include "protocol/satchel_rc.h"
#include "replica/transport.h"

#define CROWD 64u
#define HUGE_ROWS 2000u
/* Of a crowd, who was refused tries again so soon: what is tried here is to have many, not to come often. */
#define REST_US 200000u
#define STEP_MS 20
/* Kept on its way: enough that the server never waits for it. */
#define AHEAD_BYTES (256u << 10)
#define YIELD_NICE 10
#define MARK "satchel-load abuse"
/* Above what any honest use of the identity has given. */
#define NUMBERS_FROM (UINT64_C(1) << 40)

const char *const load_abuse_names[ABUSE_KINDS] = {"flood", "huge", "reconnect", "crowd", "snapshot"};

/* One connection and what is known on it. */
typedef struct link {
    transport *t;
    bool greeted, welcome;
    uint64_t number, rest_until_us;
} link;

struct load_abuser {
    load_abuse_kind kind;
    char host[256], identity[LOAD_PATH_BYTES + 16];
    uint16_t port;
    uint32_t table, column, schema_epoch; /* contact.family */
    uint8_t row[8];                       /* its rows' keys begin with this */
    bool has_row;                         /* the one that is refused when it comes again */
    link links[CROWD];
    unsigned nlinks;
    load_abuse_counts counts;
    pthread_t thread;
    atomic_bool stop;
};

/* ---- what it says ---- */

static int say(load_abuser *a, link *l, buf *message) {
    buf frame = {0};
    int rc = message->rc ? message->rc : frame_pack(message->p, message->n, &frame);
    if (!rc) rc = transport_send(l->t, frame.p, frame.n);
    if (!rc) {
        atomic_fetch_add(&a->counts.frames, 1);
        atomic_fetch_add(&a->counts.bytes, frame.n);
    }
    buf_fini(&frame);
    buf_fini(message);
    return rc;
}

/* As a device that has nothing yet, not even a migration. */
static int say_hello(load_abuser *a, link *l) {
    uint8_t nothing[CRYPTO_FINGERPRINT_BYTES];
    msg_hello m = {.version = PROTOCOL_VERSION,
                   .incarnation = 1,
                   .last_number = NUMBERS_FROM << 20,
                   .software = MARK,
                   .nsoftware = sizeof MARK - 1};
    buf message = {0};
    crypto_sha256("", 0, nothing);
    memcpy(m.schema_hash, nothing, sizeof m.schema_hash);
    hello_encode(&m, &message);
    return say(a, l, &message);
}

static int say_pull(load_abuser *a, link *l, uint32_t credit) {
    msg_pull m = {.credit = credit};
    buf message = {0};
    pull_encode(&m, &message);
    return say(a, l, &message);
}

/* The first transaction, of one row, is accepted. Each later one inserts that row once more, after all its others, and is refused for it: the server has all the
 * work, and nobody else any, since the devices that are measured share the processor with it here. */
static void put_rows(load_abuser *a, delta_writer *w, uint64_t number, unsigned rows) {
    static _Thread_local delta_row row; /* too large for a stack */
    uint8_t key[16] = {0};
    char text[64];
    memcpy(key, a->row, sizeof a->row);
    row = (delta_row){.table = a->table, .op = DELTA_PUT, .nkey = 1, .ncol = 1, .col = {{.id = a->column}}};
    for (unsigned left = rows; left--;) {
        memcpy(key + 8, &left, sizeof left);
        int n = snprintf(text, sizeof text, MARK " %llu", (unsigned long long)number);
        row.key[0] = (value){.type = VALUE_BLOB, .n = sizeof key, .u.p = key};
        row.v[0] = (value){.type = VALUE_TEXT, .n = (uint32_t)n, .u.p = (const uint8_t *)text};
        delta_put_row(w, &row);
    }
}

static int say_push(load_abuser *a, link *l, unsigned rows) {
    delta_writer w;
    push_writer push;
    buf delta = {0}, message = {0};
    push_txn t = {.number = ++l->number, .stamp = 1, .schema_epoch = a->schema_epoch, .last = true};
    delta_writer_init(&w);
    put_rows(a, &w, l->number, a->has_row ? rows : 1);
    a->has_row = true;
    int rc = delta_finish(&w, &delta);
    delta_writer_fini(&w);
    if (!rc) rc = crypto_random(t.id, sizeof t.id);
    t.delta = delta.p;
    t.ndelta = delta.n;
    push_begin(&push, 1);
    if (!rc) push_put_txn(&push, &t);
    int ended = push_finish(&push, &message);
    buf_fini(&delta);
    if (!rc && !ended) return say(a, l, &message);
    buf_fini(&message);
    return rc ? rc : ended;
}

/* ---- what it hears ---- */

static int hear(load_abuser *a, link *l, const buf *frame) {
    buf message = {.max = LIMIT_MESSAGE_BYTES};
    msg_welcome w;
    int rc = frame_unpack(frame->p, frame->n, &message);
    message_type type = rc ? 0 : message_peek(message.p, message.n);
    atomic_fetch_add(&a->counts.received, frame->n);
    if (type == MSG_WELCOME && !welcome_decode(message.p, message.n, &w)) {
        l->welcome = true;
        l->number = w.known_number > NUMBERS_FROM ? w.known_number : NUMBERS_FROM;
        if (a->kind == ABUSE_SNAPSHOT) rc = say_pull(a, l, LIMIT_PULL_CREDIT);
    } else if (type == MSG_SNAPSHOT) {
        snapshot_reader r;
        msg_snapshot head;
        bool last = !snapshot_open(&r, message.p, message.n, &head) && head.last;
        rc = last ? SATCHEL_E_CLOSED : say_pull(a, l, 1);
    } else if (type == MSG_ERROR) {
        rc = SATCHEL_E_CLOSED;
    }
    buf_fini(&message);
    return rc;
}

static int hear_all(load_abuser *a, link *l) {
    buf frame = {0};
    int rc = SATCHEL_OK;
    while (!rc && transport_receive(l->t, &frame)) rc = hear(a, l, &frame);
    buf_fini(&frame);
    return rc;
}

/* ---- what it does ---- */

static int act(load_abuser *a, link *l) {
    if (a->kind == ABUSE_RECONNECT) return SATCHEL_E_CLOSED;
    /* Who says hello takes the place of the one before, and there are never many. */
    if (a->kind == ABUSE_CROWD) return hear_all(a, l);
    if (!l->greeted) {
        l->greeted = true;
        return say_hello(a, l);
    }
    int rc = hear_all(a, l);
    bool pushes = l->welcome && (a->kind == ABUSE_FLOOD || a->kind == ABUSE_HUGE);
    while (!rc && pushes && transport_queued(l->t) < AHEAD_BYTES) rc = say_push(a, l, a->kind == ABUSE_HUGE ? HUGE_ROWS : 1);
    return rc;
}

static void drop(link *l) {
    if (l->t) transport_close(l->t, 1000);
    transport_free(l->t);
    *l = (link){0};
}

/* A transport of its own for each connection, so that no TLS session is resumed. */
static void connect_anew(load_abuser *a, link *l) {
    transport_config c = {.host = a->host, .port = a->port, .identity_dir = a->identity};
    buf error = {0};
    drop(l);
    if (!transport_new(&c, &l->t, &error) && transport_connect(l->t)) drop(l);
    buf_fini(&error);
}

static void turn(load_abuser *a, link *l) {
    if (load_now_us() < l->rest_until_us) return;
    if (!l->t) connect_anew(a, l);
    if (!l->t) {
        atomic_fetch_add(&a->counts.refused, 1);
        load_sleep_us(STEP_MS * 1000);
        return;
    }
    bool was_open = transport_state(l->t) == TRANSPORT_OPEN;
    int rc = transport_step(l->t, a->nlinks > 1 ? 0 : STEP_MS, -1);
    bool is_open = transport_state(l->t) == TRANSPORT_OPEN;
    if (!was_open && is_open) atomic_fetch_add(&a->counts.opened, 1);
    if (rc) atomic_fetch_add(&a->counts.refused, 1);
    if (!rc && is_open) rc = act(a, l);
    if (!rc || rc == SATCHEL_E_MISUSE) return;
    drop(l);
    if (a->kind == ABUSE_CROWD) l->rest_until_us = load_now_us() + REST_US;
}

void load_abuse_yield(void) {
    setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + YIELD_NICE); /* of the thread, on Linux */
}

static bool is_connecting(const link *l) {
    return l->t && transport_state(l->t) != TRANSPORT_OPEN;
}

/* One handshake after the other, so that there come to be many however slow the machine is. */
static void turn_all(load_abuser *a) {
    const link *connecting = NULL;
    for (unsigned i = 0; i < a->nlinks; i++)
        if (is_connecting(&a->links[i])) connecting = &a->links[i];
    for (unsigned i = 0; i < a->nlinks && !atomic_load(&a->stop); i++) {
        link *l = &a->links[i];
        if (!l->t && connecting) continue;
        turn(a, l);
        if (is_connecting(l)) connecting = l;
    }
}

static void *run(void *arg) {
    load_abuser *a = arg;
    load_abuse_yield();
    while (!atomic_load(&a->stop)) {
        turn_all(a);
        if (a->nlinks > 1) load_sleep_us(1000);
    }
    for (unsigned i = 0; i < a->nlinks; i++) drop(&a->links[i]);
    return NULL;
}

/* ---- beginning and end ---- */

static int read_ids(load_abuser *a, const char *path) {
    static const char sql[] =
        "SELECT t.id,c.id,(SELECT max(epoch) FROM satchel_migration) FROM satchel_table t JOIN satchel_column c"
        " ON c.tbl_id=t.id WHERE t.name='contact' AND c.name='family'";
    sqlite3 *db = NULL;
    sqlite3_stmt *q = NULL;
    int rc = LOAD_FAILED;
    if (!sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL) && !sqlite3_prepare_v2(db, sql, -1, &q, NULL) &&
        sqlite3_step(q) == SQLITE_ROW) {
        a->table = (uint32_t)sqlite3_column_int64(q, 0);
        a->column = (uint32_t)sqlite3_column_int64(q, 1);
        a->schema_epoch = (uint32_t)sqlite3_column_int64(q, 2);
        rc = LOAD_DONE;
    }
    if (rc) load_fail("%s: %s", path, sqlite3_errmsg(db));
    sqlite3_finalize(q);
    sqlite3_close(db);
    return rc;
}

load_abuser *load_abuse_start(const load_fleet *f, unsigned number, load_abuse_kind kind) {
    char path[LOAD_PATH_BYTES];
    load_abuser *a = calloc(1, sizeof *a);
    if (!a) {
        load_fail("out of memory");
        return NULL;
    }
    load_fleet_path(f, number, path);
    a->kind = kind;
    a->port = f->server->sync_port;
    a->nlinks = kind == ABUSE_CROWD ? CROWD : 1;
    snprintf(a->host, sizeof a->host, "%s", f->server->host);
    snprintf(a->identity, sizeof a->identity, "%s-satchel", path);
    if (read_ids(a, path) || crypto_random(a->row, sizeof a->row) || pthread_create(&a->thread, NULL, run, a)) {
        free(a);
        return NULL;
    }
    return a;
}

const load_abuse_counts *load_abuse_look(const load_abuser *a) {
    return &a->counts;
}

uint64_t load_abuse_cpu_ns(const load_abuser *a) {
    clockid_t clock;
    struct timespec t = {0};
    if (!pthread_getcpuclockid(a->thread, &clock)) clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

void load_abuse_stop(load_abuser *a) {
    if (!a) return;
    atomic_store(&a->stop, true);
    pthread_join(a->thread, NULL);
    free(a);
}
