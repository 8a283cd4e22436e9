/* Queues and memory stay in bounds, and at rest nothing waits that nobody waits for.
 *
 * The hub's bounds are those of protocol/limits.h, and that what it counts is what it has. Memory is bounded by what a node may hold at once, whatever
 * it has lived through; and who stops gives back all. */
#include "protocol/limits.h"
#include "replica/overlay_internal.h"
#include "tests/sim/sim.h"

/* ---- the hub's queues, when all that came was taken and nothing of the answers is sent yet ---- */

static void check_queued(sim *s, const session *c) {
    size_t queued = 0;
    for (const output *o = c->out; o; o = o->next) queued += o->f->n;
    if (queued != c->queued) sim_fail(s, "a session's queue has %zu bytes, and counts %zu", queued, c->queued);
    if (!c->closing && queued > 2 * (size_t)LIMIT_CONN_QUEUE_BYTES) sim_fail(s, "a session has %zu bytes to send", queued);
    if (c->waiting_bytes > 2 * (size_t)LIMIT_PUSH_WINDOW_BYTES)
        sim_fail(s, "%zu bytes that a session has received wait", c->waiting_bytes);
    if (c->credit > LIMIT_PULL_CREDIT) sim_fail(s, "a session has credit for %u pages", c->credit);
}

/* Whom the admin has locked out has no part in any conversation. */
static void check_barred(sim *s, const session *c) {
    for (unsigned i = 0; i < s->ndevices; i++)
        if (s->device[i].barred && !memcmp(s->device[i].fingerprint, c->fingerprint, sizeof c->fingerprint) && !c->closing &&
            c->d.phase != DIALOG_NEW)
            sim_fail(s, "device %u is revoked, and the server talks with it", i);
}

static void check_hub(sim *s) {
    const hub *h = s->hub;
    size_t sessions = 0, connected = 0, readers = 0;
    bool busy = sim_server_is_busy(s);
    if (h->inputs && !busy)
        sim_fail(s, "the writer leaves %" PRIu64 " inputs (%zu bytes) behind", h->stats.writer_queue, h->input_bytes);
    if (!h->inputs && (h->input_bytes || h->stats.writer_queue))
        sim_fail(s, "the hub counts %zu bytes of inputs, and has none", h->input_bytes);
    for (size_t i = 0; i < h->nslots; i++) {
        const session *c = h->slots[i];
        if (!c) continue;
        sessions++;
        readers += c->in_readers;
        check_queued(s, c);
        check_barred(s, c);
        if (c->waiting_bytes && !busy) sim_fail(s, "%zu bytes of a session were never taken", c->waiting_bytes);
    }
    for (const connection *c = s->connections; c; c = c->next) connected += c->session != 0;
    /* Who has gone is with the writer until it gets to that. */
    if ((busy ? sessions < connected : sessions != connected) || sessions != h->stats.sessions)
        sim_fail(s, "the hub has %zu sessions and counts %" PRIu64 ", for %zu connections", sessions, h->stats.sessions,
                 connected);
    if (readers != h->stats.reader_queue)
        sim_fail(s, "%zu sessions wait for pages, and %" PRIu64 " are counted", readers, h->stats.reader_queue);
}

/* ---- memory ---- */

#define MIB (INT64_C(1) << 20)
/* A device's two connections have a page cache of SQLite's 2,000 KiB each, as much again for statements and the schema, and a row at hand. */
#define DEVICE_SQLITE_BYTES (10 * MIB)
/* Its capture's record and what it is read into, the message that is made or taken, packed and not, and pushes under way. */
#define DEVICE_ENGINE_BYTES (2 * (int64_t)LIMIT_CAPTURE_BYTES + 2 * (int64_t)LIMIT_MESSAGE_BYTES + LIMIT_PUSH_WINDOW_BYTES)
/* Where rows are wide, parts of the outbox at which its overlay looks are up to a MiB each. */
#define HEAVY_ENGINE_BYTES (DEVICE_ENGINE_BYTES + BLOB_SLOTS * MIB)
/* The store has no more than some MiB here, in the caches of its writer, of a reader and of who makes a snapshot. */
#define SERVER_SQLITE_BYTES (24 * MIB)
/* Where it has more, the writer's cache is what store.c gives it. */
#define HEAVY_SQLITE_BYTES (SERVER_SQLITE_BYTES + 64 * MIB)
/* What one device pushes, and a group's messages at work; answers are queued. */
#define SERVER_ENGINE_BYTES (2 * (int64_t)LIMIT_PUSH_WINDOW_BYTES + 2 * (int64_t)LIMIT_MESSAGE_BYTES + 4 * MIB)
/* The simulator's looks may open a virtual table anew: what the engine keeps for that changes hands. */
#define LOOKED_BYTES (64 << 10)

static void check_memory(sim *s, unsigned node) {
    memory_figures m = memory_measure(node);
    bool server = node == SIM_SERVER;
    int64_t of_server = work_is_heavy(s) ? HEAVY_SQLITE_BYTES : SERVER_SQLITE_BYTES,
            of_device = work_is_heavy(s) ? HEAVY_ENGINE_BYTES : DEVICE_ENGINE_BYTES;
    if (m.sqlite > (server ? of_server : DEVICE_SQLITE_BYTES)) sim_fail(s, "SQLite has %" PRId64 " bytes of %u", m.sqlite, node);
    if (m.engine > (server ? SERVER_ENGINE_BYTES : of_device)) sim_fail(s, "%u has %" PRId64 " bytes", node, m.engine);
}

void check_bounds(sim *s) {
    if (s->hub && !disk_is_dead(s->server_disk)) check_hub(s);
    check_memory(s, SIM_SERVER);
    for (unsigned i = 0; i < s->ndevices; i++) check_memory(s, i);
}

void check_bounds_stopped(sim *s, unsigned node) {
    memory_figures m = memory_measure(node);
    if (m.sqlite) sim_fail(s, "%u has stopped, and SQLite keeps %" PRId64 " bytes of it", node, m.sqlite);
    if (s->calm) return; /* the checkers' looks were many */
    if (m.engine > LOOKED_BYTES || m.engine < -LOOKED_BYTES)
        sim_fail(s, "%u has stopped, and keeps %" PRId64 " bytes", node, m.engine);
}

void check_bounds_ended(sim *s) {
    int64_t engine = 0;
    for (unsigned node = 0; node <= MEMORY_NODES; node++) engine += memory_measure(node).engine;
    for (unsigned node = 0; node < MEMORY_NODES; node++)
        if (memory_measure(node).sqlite)
            sim_fail(s, "all have stopped, and SQLite keeps %" PRId64 " bytes of %u", memory_measure(node).sqlite, node);
    if (engine) sim_fail(s, "all have stopped, and keep %" PRId64 " bytes", engine);
}

/* ---- at rest ---- */

static void check_none(sim *s, sqlite3 *db, unsigned node, const char *sql, const char *what) {
    int64_t n = sim_ask(s, db, "%s", sql);
    if (n) sim_fail(s, "at rest %u has %" PRId64 " %s", node, n, what);
}

static void check_device_at_rest(sim *s, unsigned i) {
    static const struct {
        const char *sql, *what;
    } NONE[] = {
        {"SELECT count(*) FROM satchel_outbox WHERE state IN (0,1)", "transactions on their way"},
        {"SELECT count(*) FROM satchel_outbox WHERE state=2 AND seq<=(SELECT backup_seq FROM satchel_state)",
         "transactions in its outbox that every backup has"},
        {"SELECT count(*) FROM satchel_outbox_part WHERE n NOT IN (SELECT n FROM satchel_outbox)", "parts of no transaction"},
        {"SELECT count(*) FROM satchel_stage", "parts of a commit that has not come whole"},
        {"SELECT count(*) FROM satchel_base", "values under edits that nobody waits for"},
    };
    for (unsigned k = 0; k < sizeof NONE / sizeof *NONE; k++)
        check_none(s, satchel_db(s->device[i].s), i, NONE[k].sql, NONE[k].what);
}

void check_bounds_at_rest(sim *s) {
    check_none(s, store_db(s->store), SIM_SERVER,
               "SELECT count(*) FROM satchel_stage WHERE (author,number) NOT IN (SELECT author,number FROM satchel_refused)",
               "parts of transactions that neither came whole nor were refused");
    for (size_t i = 0; i < s->hub->nslots; i++) {
        const session *c = s->hub->slots[i];
        if (c && c->out && !c->closing) sim_fail(s, "at rest a session has %zu bytes to send", c->queued);
    }
    for (unsigned i = 0; i < s->ndevices; i++)
        if (!s->device[i].barred && s->device[i].s) check_device_at_rest(s, i);
}
