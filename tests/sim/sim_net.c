/* Frames between the two ends of a connection: delayed, lost with it, late, or given twice.
 *
 * A device may push before it has heard which of its transactions are known (N5). This one never does, so it is done for it: what it had pushed and has no
 * result of follows its next hello, as it was.
 *
 * A cut may be at any byte of what is under way: frames before it have arrived, the one that it goes through has not, as the WebSocket layer beneath
 * hands over whole messages only (tests/e2e/network.py and t19_first_sync.py cut the streams of real connections). */
#include "protocol/message.h"
#include "tests/sim/sim.h"

static void drop_packets(packet **list) {
    while (*list) {
        packet *p = *list;
        *list = p->next;
        free(p);
    }
}

static packet *append(packet **list, const void *bytes, size_t n, uint64_t due) {
    packet *p = malloc(sizeof *p + n);
    if (!p) abort();
    *p = (packet){.n = n, .due = due};
    memcpy(p->p, bytes, n);
    while (*list) list = &(*list)->next;
    return *list = p;
}

/* A connection is a stream: nothing overtakes. */
static packet *send_at(connection *c, bool up, const void *bytes, size_t n, uint64_t due) {
    uint64_t *last = up ? &c->up_due : &c->down_due;
    if (due < *last) due = *last;
    *last = due;
    return append(up ? &c->up : &c->down, bytes, n, due);
}

/* NULL: it is lost. */
static packet *send(sim *s, connection *c, bool up, const void *bytes, size_t n) {
    uint64_t due = s->now + 5 + sim_spread(s, SECOND);
    if (due < c->stalled_until) due = c->stalled_until;
    if (!up && c->said++) due += c->slow_ms;
    return (up ? c->deaf_up : c->deaf_down) ? NULL : send_at(c, up, bytes, n, due);
}

/* A stream that ends at any of its bytes: what came before has arrived. */
static void cut(sim *s, packet **list) {
    size_t n = 0;
    for (const packet *p = *list; p; p = p->next) n += p->n;
    size_t arrived = n ? sim_below(s, (unsigned)n + 1) : 0;
    for (; *list && (*list)->n <= arrived; list = &(*list)->next) {
        arrived -= (*list)->n;
        (*list)->due = s->now;
    }
    drop_packets(list);
}

/* Lets go of what nobody holds. */
static void sweep(sim *s) {
    for (connection **at = &s->connections; *at;) {
        connection *c = *at;
        if (c->held || c->session) {
            at = &c->next;
            continue;
        }
        *at = c->next;
        drop_packets(&c->up);
        drop_packets(&c->down);
        free(c);
    }
}

void net_free(sim *s) {
    for (unsigned i = 0; i < s->ndevices; i++) net_forget_pushes(s, i);
    for (connection *c = s->connections; c; c = c->next) {
        c->held = false;
        c->session = 0;
    }
    sweep(s);
}

/* ---- the ends ---- */

void net_die_at(sim *s, unsigned node, uint64_t call) {
    s->dies_at[node] = call;
}

/* Before and after each frame. False: the process is no more. */
static bool is_alive(sim *s, unsigned node) {
    if (s->dies_at[node] && !--s->dies_at[node]) disk_die_at(sim_disk(s, node), 0);
    return !disk_is_dead(sim_disk(s, node));
}

/* Away for a while, longer each time: what poll.c does. */
static void come_back_later(sim *s, unsigned i) {
    sim_device *d = &s->device[i];
    unsigned shift = d->failures < 12 ? d->failures : 12;
    d->failures++;
    d->connects_at = s->now + SECOND + sim_spread(s, SECOND << shift);
    /* Until a person tries again. */
    if (d->revoked) d->connects_at += HOUR + sim_spread(s, 6 * HOUR);
    if (d->connects_at < d->offline_until) d->connects_at = d->offline_until;
}

void net_let_go(sim *s, unsigned i, uint64_t later, bool late) {
    sim_device *d = &s->device[i];
    connection *c = d->connection;
    if (!c) return;
    s->clock = &d->clock;
    if (d->s) session_end(d->s->session, SATCHEL_E_CLOSED, "cut", sim_clock_ms(s, &d->clock));
    if (s->now - c->began > MINUTE) d->failures = 0;
    d->connection = NULL;
    c->held = false;
    drop_packets(&c->down);
    if (!late) cut(s, &c->up);
    c->server_lets_go = s->now + 1 + later;
    come_back_later(s, i);
}

static void server_lets_go(sim *s, connection *c) {
    s->clock = &s->server_clock;
    if (c->session && s->hub) hub_disconnect(s->hub, c->session);
    c->session = 0;
    drop_packets(&c->up);
}

void net_server_gone(sim *s) {
    for (connection *c = s->connections; c; c = c->next) {
        if (s->hub && c->session) hub_disconnect(s->hub, c->session);
        c->session = 0;
        drop_packets(&c->up);
        /* The system of a killed process closes its sockets; after a loss of power only the transport's pings find out. */
        if (c->held) send_at(c, false, "", 0, s->now + 1 + sim_spread(s, s->server_power_lost ? 15 * MINUTE : SECOND));
    }
}

#define LATE_HELLO_PERCENT 3u

void net_connect(sim *s, unsigned i) {
    sim_device *d = &s->device[i];
    if (!s->hub) {
        come_back_later(s, i);
        return;
    }
    /* Minutes without a network are a cut. */
    if (d->offline_since && s->now - d->offline_since >= DAY) sim_happened(s, FAULT_OFFLINE);
    d->offline_since = 0;
    connection *c = calloc(1, sizeof *c);
    if (!c) abort();
    c->device = i;
    s->clock = &s->server_clock;
    c->session = hub_connect(s->hub, d->fingerprint);
    c->held = true;
    c->began = s->now;
    c->life = s->nlives;
    c->slow_ms = d->answers_late ? 6 * SECOND + sim_spread(s, MINUTE) : 0;
    d->answers_late = false;
    /* Then its hello comes after another connection's. */
    c->lingers = !s->calm && faults_may(s, FAULT_LATE) && sim_chance(s, LATE_HELLO_PERCENT);
    c->impatient = d->pushes && sim_chance(s, 60);
    c->next = s->connections;
    s->connections = c;
    d->connection = c;
    d->came_with = (uint64_t)sim_ask(s, satchel_db(d->s), "SELECT coalesce(max(n),0) FROM satchel_outbox WHERE state=0");
    s->clock = &d->clock;
    d->touched = true;
    int rc = session_begin(d->s->session, sim_clock_ms(s, &d->clock));
    sim_say(s, "d%u connects: %s", i, rc ? satchel_rc_name(rc) : "up");
    if (rc) net_let_go(s, i, 0, false);
    /* It had no memory for it. */
    if (!rc && !c->session) send(s, c, false, "", 0);
}

/* ---- pushes that are sent again ---- */

#define KEPT_FRAMES 4u
#define KEPT_BYTES (1u << 20)

void net_forget_pushes(sim *s, unsigned i) {
    drop_packets(&s->device[i].pushes);
}

/* In worlds with scopes what may be sent depends on what is held. */
static bool is_impatient(const sim *s) {
    return faults_may(s, FAULT_DUPLICATE) && !scope_world(s);
}

/* Calls `each` for all transactions of a push. False: it is none, or has parts of one. */
static bool each_push(sim *s, connection *c, const void *bytes, size_t n,
                      void (*each)(sim *, connection *, uint32_t, const push_txn *)) {
    push_reader r;
    push_txn t;
    buf m;
    buf_init(&m, LIMIT_MESSAGE_BYTES);
    disk_look(true); /* it has memory, whatever the nodes lack */
    bool whole = !frame_unpack(bytes, n, &m) && message_peek(m.p, m.n) == MSG_PUSH && !push_open(&r, m.p, m.n);
    while (whole && push_next(&r, &t) == 1) {
        whole = t.part == 0 && t.last;
        if (whole && each) each(s, c, r.incarnation, &t);
    }
    buf_fini(&m);
    disk_look(false);
    return whole;
}

static message_type type_of(const void *bytes, size_t n) {
    buf m;
    buf_init(&m, LIMIT_MESSAGE_BYTES);
    disk_look(true);
    message_type type = frame_unpack(bytes, n, &m) ? 0 : message_peek(m.p, m.n);
    buf_fini(&m);
    disk_look(false);
    return type;
}

static void keep_push(sim *s, unsigned i, const void *bytes, size_t n) {
    sim_device *d = &s->device[i];
    uint32_t incarnation = d->s->file->state.incarnation;
    if (!is_impatient(s) || type_of(bytes, n) != MSG_PUSH) return;
    if (d->pushes_incarnation != incarnation || d->pushes_life != d->connection->life) net_forget_pushes(s, i);
    d->pushes_incarnation = incarnation;
    d->pushes_life = d->connection->life;
    /* One in parts would have to be sent from its first on. */
    if (!each_push(s, NULL, bytes, n, NULL)) {
        net_forget_pushes(s, i);
        return;
    }
    append(&d->pushes, bytes, n, 0);
    size_t frames = 0, all = 0;
    for (const packet *p = d->pushes; p; p = p->next, frames++) all += p->n;
    while (frames > KEPT_FRAMES || all > KEPT_BYTES) {
        packet *p = d->pushes;
        d->pushes = p->next;
        frames--;
        all -= p->n;
        free(p);
    }
}

static bool has_number(sim *s, const packet *p, uint64_t number) {
    push_reader r;
    push_txn t;
    buf m;
    bool has = false;
    (void)s;
    buf_init(&m, LIMIT_MESSAGE_BYTES);
    disk_look(true);
    if (!frame_unpack(p->p, p->n, &m) && !push_open(&r, m.p, m.n))
        while (!has && push_next(&r, &t) == 1) has = t.number == number;
    buf_fini(&m);
    disk_look(false);
    return has;
}

/* From the first on that it has no result of, as a device would that does not wait for it: nothing between is left out. */
static void push_again(sim *s, unsigned i) {
    sim_device *d = &s->device[i];
    connection *c = d->connection;
    c->impatient = false;
    if (d->pushes_life != s->nlives || d->pushes_incarnation != d->s->file->state.incarnation || d->wiping) return;
    uint64_t first = (uint64_t)sim_ask(s, satchel_db(d->s), "SELECT coalesce(min(n),0) FROM satchel_outbox WHERE state=0");
    const packet *p = d->pushes;
    while (first && p && !has_number(s, p, first)) p = p->next;
    if (!first || !p) return;
    sim_say(s, "d%u pushes again from %" PRIu64 " on before it has heard anything", i, first);
    for (; p; p = p->next) {
        packet *sent = send(s, c, true, p->p, p->n);
        if (sent) sent->again = true;
    }
}

static void count_repeat(sim *s, connection *c, uint32_t incarnation, const push_txn *t) {
    char id[2 * TXN_ID_BYTES + 1];
    for (unsigned k = 0; k < TXN_ID_BYTES; k++) snprintf(id + 2 * k, 3, "%02x", t->id[k]);
    s->repeats +=
        sim_ask(s, store_db(s->store),
                "SELECT count(*) FROM satchel_result JOIN satchel_author USING(author) JOIN satchel_device d ON d.id=device"
                " WHERE d.name='d%u' AND incarnation=%u AND number=%" PRIu64 " AND satchel_result.id=x'%s'",
                s->device[c->device].key, incarnation, t->number, id) > 0;
}

/* ---- what they send ---- */

/* Its device is cut off, comes back, and then what it had sent arrives. */
static void linger(sim *s, connection *c) {
    sim_device *d = &s->device[c->device];
    net_let_go(s, c->device, HOUR, true);
    c->up_due = d->connects_at + sim_spread(s, 2 * SECOND);
    for (packet *p = c->up; p; p = p->next) p->due = c->up_due;
}

/* Whether there was something. */
static bool send_output(sim *s, unsigned i) {
    sim_device *d = &s->device[i];
    const uint8_t *p;
    size_t n;
    bool any = false;
    while (is_alive(s, i) && session_output(d->s->session, &p, &n)) {
        send(s, d->connection, true, p, n);
        keep_push(s, i, p, n);
        history_sent(s, i);
        if (d->connection->impatient) push_again(s, i);
        any = true;
    }
    return any;
}

/* Until it has no more to say, as poll.c does turn by turn: a session's queue holds so much at once. */
static void collect_device(sim *s, unsigned i) {
    sim_device *d = &s->device[i];
    int rc;
    if (!d->touched || !d->s || !d->connection || disk_is_dead(d->disk)) return;
    d->touched = false;
    s->clock = &d->clock;
    do rc = session_wake(d->s->session, sim_clock_ms(s, &d->clock));
    while (send_output(s, i) && !rc && !disk_is_dead(d->disk));
    if (disk_is_dead(d->disk)) return;
    if (!rc && d->connection->lingers && d->connection->up) linger(s, d->connection);
    if (!rc) return;
    sim_say(s, "d%u: wake: %s: %s", i, satchel_rc_name(rc), session_error(d->s->session));
    net_let_go(s, i, sim_spread(s, SECOND), true);
}

static void collect_server(sim *s) {
    s->clock = &s->server_clock;
    for (connection *c = s->connections; c; c = c->next) {
        hub_frame f;
        bool close = false;
        while (c->session && is_alive(s, SIM_SERVER) && hub_output(s->hub, c->session, &f, &close)) {
            check_scope_frame(s, c, f.p, f.n);
            check_revoked_frame(s, c, f.p, f.n);
            if (c->held) send(s, c, false, f.p, f.n);
            hub_output_done(s->hub, c->session);
            if (!is_alive(s, SIM_SERVER)) return;
        }
        if (disk_is_dead(s->server_disk)) return;
        /* The server closes: what it has sent still arrives, and then the end. */
        if (c->session && close) {
            server_lets_go(s, c);
            if (c->held) send(s, c, false, "", 0);
        }
    }
}

void net_collect(sim *s) {
    for (unsigned i = 0; i < s->ndevices; i++) collect_device(s, i);
    if (s->hub && !disk_is_dead(s->server_disk)) {
        uint64_t ignored;
        while ((ignored = hub_ready(s->hub)) != 0) continue;
        check_scope_look(s);
        collect_server(s);
    }
    sweep(s);
}

/* ---- what arrives ---- */

uint64_t net_next(const sim *s) {
    uint64_t at = UINT64_MAX;
    for (const connection *c = s->connections; c; c = c->next) {
        if (c->up && c->up->due < at) at = c->up->due;
        if (c->down && c->down->due < at) at = c->down->due;
        if (c->server_lets_go && c->session && c->server_lets_go < at) at = c->server_lets_go;
        /* A server that has gone without a word: the device's deadline tells it. */
    }
    return at;
}

/* What may end a connection without a mistake of either side. */
static bool may_end(int rc) {
    return satchel_rc_class(rc) == SATCHEL_CLASS_RETRY || rc == SATCHEL_E_REVOKED || rc == SATCHEL_E_NOMEM;
}

static void receive(sim *s, unsigned i, const packet *p) {
    sim_device *d = &s->device[i];
    s->clock = &d->clock;
    if (!p->n) {
        sim_say(s, "d%u: the server closed", i);
        net_let_go(s, i, 0, false);
        return;
    }
    if (!is_alive(s, i)) return;
    int rc = session_receive(d->s->session, p->p, p->n, sim_clock_ms(s, &d->clock));
    if (!is_alive(s, i)) return;
    history_look(s, i);
    d->touched = true;
    if (!rc) return;
    sim_say(s, "d%u: receive: %s: %s", i, satchel_rc_name(rc), session_error(d->s->session));
    if (rc == SATCHEL_E_WIPED) {
        wipe_obey(s, i);
        return;
    }
    if (rc == SATCHEL_E_REVOKED && !d->was_barred) sim_fail(s, "device %u was told that it is revoked, and is not", i);
    if (rc == SATCHEL_E_REVOKED) d->revoked = true;
    if (!may_end(rc) && !disk_is_dead(d->disk))
        sim_fail(s, "device %u: %s: %s", i, satchel_rc_name(rc), session_error(d->s->session));
    net_let_go(s, i, sim_spread(s, SECOND), true);
}

static packet *take(packet **list, uint64_t now) {
    packet *p = *list;
    if (!p || p->due > now) return NULL;
    *list = p->next;
    return p;
}

static void receive_server(sim *s, connection *c, const packet *p) {
    s->clock = &s->server_clock;
    if (!c->session || !s->hub || !is_alive(s, SIM_SERVER)) return;
    if (s->slow_server && !s->calm && !sim_server_is_busy(s) && sim_chance(s, 3))
        s->busy_until = s->now + 1 + sim_spread(s, 20 * SECOND);
    if (p->again) each_push(s, c, p->p, p->n, count_repeat);
    hub_receive(s->hub, c->session, p->p, p->n);
    if (!is_alive(s, SIM_SERVER)) return;
    const sim_device *d = &s->device[c->device];
    if (d->connection && d->connection != c) sim_happened(s, FAULT_LATE);
    /* Compressed, it is no pull. */
    message_type type = message_peek(p->p, p->n);
    if (!c->held || !c->loses_answers || (type && type != MSG_PUSH)) return;
    s->device[c->device].answers_late = true;
    /* In worlds with scopes some stay away for so long that they are fenced. */
    if (scope_world(s) && sim_chance(s, 50))
        s->device[c->device].offline_until = s->now + sim_below(s, 2) * SCOPE_HORIZON_DAYS * DAY + sim_spread(s, 40 * DAY);
    net_let_go(s, c->device, sim_spread(s, MINUTE), false);
}

static bool deliver_one(sim *s, connection *c) {
    packet *p = take(&c->up, s->now);
    if (p) {
        receive_server(s, c, p);
        free(p);
        return true;
    }
    if (c->server_lets_go && c->server_lets_go <= s->now && c->session) {
        server_lets_go(s, c);
        return true;
    }
    p = take(&c->down, s->now);
    if (!p) return false;
    if (c->held) receive(s, c->device, p);
    free(p);
    return true;
}

/* A delivery may end connections: begin at the first again. */
void net_deliver(sim *s) {
    bool any;
    do {
        any = false;
        for (connection *c = s->connections; c && !any; c = c->next) any = deliver_one(s, c);
    } while (any);
    sweep(s);
}
