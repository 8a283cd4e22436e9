#include "server/control_private.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "protocol/satchel_rc.h"
#include "server/log.h"
#include "server/store_private.h"

#define READ_BYTES (64u << 10)
#define BACKLOG 16

/* One connection. It reads one request at a time: while a call runs, reading is stopped. */
typedef struct control_peer {
    uv_pipe_t pipe;
    control *control;
    buf in;
    size_t seen; /* bytes of `in` that hold no line end */
    control_call *call;
    audit_who who;
    bool last; /* close after the answer */
    struct control_peer *next;
} control_peer;

/* Each of them has a connection to the store and one of libuv's four threads, which programs' requests and the end need too. */
#define WORKS_MAX 2
#define TELL_EVERY_MS 250

struct control {
    service *service;
    uv_pipe_t listener;
    uv_timer_t telling; /* while works run */
    unsigned works;
    bool stopped; /* no works any more */
    control_peer *peers;
    control_call *calls;               /* that run */
    char owner[AUDIT_ACTOR_BYTES + 1]; /* the server's user, as the audit log calls him */
};

/* A line of a work on its way: between the work's thread, which waits, and the loop's. */
typedef struct line_sent {
    loop_task task;
    control_call *call; /* NULL: the work waits no more */
    char *text;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool done, taken;
    unsigned holders;
} line_sent;

typedef struct control_write {
    uv_write_t request;
    control_peer *peer;
    char *text;
    line_sent *sent; /* who waits for it, or NULL */
} control_write;

static void take_requests(control_peer *p);
static void stop_work(control_call *call);

/* ---- closing ---- */

static void on_closed(uv_handle_t *handle) {
    control_peer *p = handle->data;
    for (control_peer **at = &p->control->peers; *at; at = &(*at)->next) {
        if (*at != p) continue;
        *at = p->next;
        break;
    }
    buf_fini(&p->in);
    free(p);
}

static void close_peer(control_peer *p) {
    if (uv_is_closing((uv_handle_t *)&p->pipe)) return;
    if (p->call) p->call->peer = NULL;
    stop_work(p->call);
    p->call = NULL;
    uv_close((uv_handle_t *)&p->pipe, on_closed);
}

/* ---- answering ---- */

static void drop_line(line_sent *l) {
    pthread_mutex_lock(&l->lock);
    bool last = --l->holders == 0;
    pthread_mutex_unlock(&l->lock);
    if (!last) return;
    pthread_cond_destroy(&l->changed);
    pthread_mutex_destroy(&l->lock);
    free(l->text);
    free(l);
}

/* On the loop's thread, which gives its hold up with it. */
static void end_line(line_sent *l, bool taken) {
    if (!l) return;
    pthread_mutex_lock(&l->lock);
    l->done = true;
    l->taken = taken;
    pthread_cond_signal(&l->changed);
    pthread_mutex_unlock(&l->lock);
    drop_line(l);
}

static void on_written(uv_write_t *request, int status) {
    control_write *w = request->data;
    end_line(w->sent, status >= 0);
    if (status < 0 || w->peer->last) close_peer(w->peer);
    free(w->text);
    free(w);
}

/* Takes `text`, and the loop's hold of `sent`. */
static void send_text(control_peer *p, char *text, line_sent *sent) {
    control_write *w = calloc(1, sizeof *w);
    uv_buf_t parts[2] = {uv_buf_init(text, text ? (unsigned)strlen(text) : 0), uv_buf_init("\n", 1)};
    if (w && text) {
        w->request.data = w;
        w->peer = p;
        w->text = text;
        w->sent = sent;
        if (!uv_write(&w->request, (uv_stream_t *)&p->pipe, parts, 2, on_written)) return;
    }
    end_line(sent, false);
    free(w);
    free(text);
    close_peer(p);
}

static void send_reply(control_peer *p, json_t *reply, int rc, const char *words) {
    json_object_set_new(reply, "ok", json_boolean(!rc));
    if (rc) {
        json_object_set_new(reply, "code", json_string(satchel_rc_name(rc)));
        json_object_set_new(reply, "message", json_string(words && *words ? words : satchel_rc_text(rc)));
    }
    send_text(p, json_dumps(reply, JSON_COMPACT), NULL);
}

static void refuse(control_peer *p, int rc, const char *words) {
    json_t *reply = json_object();
    send_reply(p, reply, rc, words);
    json_decref(reply);
}

static void free_call(control_call *call) {
    control_call **at = &call->state.control->calls;
    while (*at && *at != call) at = &(*at)->next;
    if (*at) *at = call->next;
    json_decref(call->request);
    json_decref(call->reply);
    buf_fini(&call->error);
    if (call->work && call->work->drop)
        call->work->drop(call->state.result);
    else
        free(call->state.result);
    free(call);
}

static const char *name_of(const control_call *call) {
    return call->command ? call->command->name : call->work->name;
}

/* It did not come by the socket, whose owner needs no role. */
static bool is_remote(const control_call *call) {
    return call->by.role != PEOPLE_NONE;
}

static bool is_noted(const control_call *call) {
    bool reads = call->command ? call->command->reads : call->work->reads;
    /* The check that is asked to put right what it finds reads no more. */
    return !reads || call->rc == SATCHEL_E_ROLE || json_is_true(json_object_get(call->request, "repair"));
}

/* What only looks is a detail. */
static void log_call(const control_call *call) {
    const char *name = name_of(call);
    const char *device = json_string_value(json_object_get(call->request, "device"));
    if (!device && !strncmp(name, "device.", 7)) device = json_string_value(json_object_get(call->request, "name"));
    log_fields f = {.level = !is_noted(call) ? 'd'
                             : call->job.rc  ? 'w'
                                             : 'i',
                    .event = "admin",
                    .device = device,
                    .peer = is_remote(call) ? call->by.who.peer : NULL,
                    .rc = call->job.rc};
    log_event(&f, "%s%s%s%s", name, call->job.rc ? " failed" : "", is_remote(call) ? " by " : "",
              is_remote(call) ? call->by.who.actor : "");
}

static void answer_call(control_call *call) {
    control_peer *p = call->peer;
    buf_put_byte(&call->error, 0);
    const char *words = call->error.rc ? NULL : (const char *)call->error.p;
    if (p) {
        p->call = NULL;
        send_reply(p, call->reply, call->job.rc, words);
        take_requests(p);
    } else if (call->by.answer) {
        call->by.answer(call->by.owner, call->job.rc, words && *words ? words : satchel_rc_text(call->job.rc), call->reply);
    }
}

static void on_done(service_job *job) {
    control_call *call = (control_call *)job;
    void (*after)(control_call *) = call->command ? call->command->after : call->work->after;
    if (!job->rc) job->rc = call->rc;
    log_call(call);
    if (after && !job->rc) after(call);
    answer_call(call);
    free_call(call);
}

/* ---- on the writer ---- */

static int note(control_call *call, store *s, uint64_t now_ms, int rc) {
    buf subject = {0};
    audit_entry e = {.at_ms = now_ms, .actor = call->by.who.actor, .peer = call->by.who.peer, .action = name_of(call), .rc = rc};
    int failed = audit_subject(call->request, &subject);
    buf_put_byte(&subject, 0);
    e.subject = (const char *)subject.p;
    if (!failed) failed = subject.rc;
    if (!failed) failed = audit_append(s, &e);
    buf_fini(&subject);
    return failed;
}

static int act(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    if (call->rc) return call->rc; /* refused, or a work that failed */
    if (call->command) return call->command->run(call, s, g, now_ms);
    return call->work->finish ? call->work->finish(call, s, g, now_ms) : SATCHEL_OK;
}

/* What fails is undone, but for the note of it. */
static int act_and_note(control_call *call, store *s, ingest *g, uint64_t now_ms) {
    ingest_position before = ingest_where(g);
    bool acts = !call->rc;
    int rc = store_savepoint(s);
    if (rc) return rc;
    call->rc = act(call, s, g, now_ms);
    if (call->rc) {
        store_savepoint_rollback(s);
        ingest_put_back(g, &before);
        s->settled_author = 0;
    } else {
        rc = store_savepoint_release(s);
    }
    if (acts && db_is_failure(call->rc)) return call->rc;
    return rc ? rc : note(call, s, now_ms, call->rc);
}

static int note_alone(control_call *call, store *s, uint64_t now_ms, int rc) {
    int failed = store_begin(s);
    if (failed) return failed;
    failed = note(call, s, now_ms, rc);
    if (!failed) return store_commit(s);
    store_rollback(s);
    return failed;
}

static int run_call(service_job *job, store *s, ingest *g, uint64_t now_ms) {
    control_call *call = (control_call *)job;
    if (!is_noted(call)) return act(call, s, g, now_ms);
    if (!call->command || !call->command->own_transaction || call->rc) return act_and_note(call, s, g, now_ms);
    int rc = note_alone(call, s, now_ms, SATCHEL_OK);
    if (rc) return rc;
    rc = act(call, s, g, now_ms);
    if (rc) note_alone(call, s, now_ms, rc);
    return rc;
}

/* ---- works ---- */

/* Nobody waits for it any more, or the server ends. */
static void stop_work(control_call *call) {
    if (call && call->work) atomic_store(&call->state.stop, true);
}

static bool on_progress(void *ctx, const char *what, uint64_t done, uint64_t total) {
    control_state *st = ctx;
    atomic_store(&st->done, done);
    atomic_store(&st->total, total);
    atomic_store(&st->what, what);
    return !atomic_load(&st->stop);
}

static void send_line(loop_task *task) {
    line_sent *l = (line_sent *)task;
    pthread_mutex_lock(&l->lock);
    control_peer *p = l->call ? l->call->peer : NULL;
    char *text = l->text;
    l->text = NULL;
    pthread_mutex_unlock(&l->lock);
    if (p) {
        send_text(p, text, l);
        return;
    }
    free(text);
    end_line(l, false);
}

/* Waits until it was sent, nobody waits for the work any more, or too long. */
static bool wait_for_line(line_sent *l, const control_call *call) {
    struct timespec until;
    pthread_mutex_lock(&l->lock);
    for (unsigned waited_ms = 0; !l->done && waited_ms < CONTROL_STALL_MS && !atomic_load(&call->state.stop);
         waited_ms += TELL_EVERY_MS) {
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += (long)TELL_EVERY_MS * 1000000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&l->changed, &l->lock, &until);
    }
    bool taken = l->taken;
    l->call = NULL;
    pthread_mutex_unlock(&l->lock);
    return taken;
}

bool control_stream(control_call *call, const buf *line) {
    line_sent *l = line->rc ? NULL : calloc(1, sizeof *l);
    if (!l) return false;
    *l = (line_sent){.task = {.run = send_line}, .call = call, .text = malloc(line->n + 1), .holders = 2};
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->changed, NULL);
    if (l->text) {
        memcpy(l->text, line->p, line->n);
        l->text[line->n] = 0;
    }
    loop_post(call->job.service->loop, &l->task);
    bool taken = wait_for_line(l, call);
    drop_line(l);
    return taken;
}

static void on_thread(uv_work_t *thread) {
    control_call *call = thread->data;
    const progress watch = {.tell = on_progress, .ctx = &call->state};
    call->rc = call->work->work(call, &watch);
}

static void on_worked(uv_work_t *thread, int status) {
    control_call *call = thread->data;
    control *c = call->state.control;
    (void)status;
    if (!--c->works && !uv_is_closing((uv_handle_t *)&c->telling)) uv_timer_stop(&c->telling);
    if ((!call->rc && call->work->finish) || is_noted(call)) {
        if (service_submit(c->service, &call->job, false)) return;
        call->job.rc = SATCHEL_E_CLOSED;
    }
    on_done(&call->job);
}

static void tell_progress(control_peer *p) {
    const char *what = p->call && p->call->work ? atomic_load(&p->call->state.what) : NULL;
    if (!what || !json_is_true(json_object_get(p->call->request, "progress"))) return;
    json_t *o = json_pack("{s{ss sI sI}}", "progress", "what", what, "done", (json_int_t)atomic_load(&p->call->state.done),
                          "total", (json_int_t)atomic_load(&p->call->state.total));
    send_text(p, o ? json_dumps(o, JSON_COMPACT) : NULL, NULL);
    json_decref(o);
}

static void on_tell(uv_timer_t *timer) {
    control *c = timer->data;
    for (control_peer *p = c->peers, *next; p; p = next) {
        next = p->next;
        tell_progress(p);
    }
}

/* Takes the call over unless it answers with a code. */
static int start_work(control *c, control_call *call) {
    if (c->stopped || c->service->draining) return SATCHEL_E_CLOSED;
    if (c->works == WORKS_MAX) return SATCHEL_E_BUSY;
    call->state.thread.data = call;
    if (uv_queue_work(&c->service->loop->uv, &call->state.thread, on_thread, on_worked)) return SATCHEL_E_NOMEM;
    if (!c->works++) uv_timer_start(&c->telling, on_tell, TELL_EVERY_MS, TELL_EVERY_MS);
    return SATCHEL_OK;
}

/* ---- requests ---- */

/* Takes `request`. NULL: there is no such command, or no memory. */
static control_call *make_call(control *c, const char *name, json_t *request, const control_asker *by) {
    const control_command *command = name ? control_find(name) : NULL;
    const control_work *work = name && !command ? control_find_work(name) : NULL;
    control_call *call = command || work ? calloc(1, sizeof *call) : NULL;
    if (!call) {
        json_decref(request);
        return NULL;
    }
    call->command = command;
    call->work = work;
    call->request = request;
    call->reply = json_object();
    call->by = *by;
    call->job.run = run_call;
    call->job.done = on_done;
    call->job.service = c->service;
    call->state.control = c;
    call->next = c->calls;
    c->calls = call;
    return call;
}

/* On failure nothing has begun. One that has been refused is only noted. */
static int begin_call(control *c, control_call *call) {
    if (call->work && !call->rc) return start_work(c, call);
    bool own = call->command && call->command->own_transaction && !call->rc;
    return service_submit(c->service, &call->job, own) ? SATCHEL_OK : SATCHEL_E_CLOSED;
}

static const char *words_of(int rc) {
    return rc == SATCHEL_E_CLOSED ? "the server is shutting down"
           : rc == SATCHEL_E_BUSY ? "as many long commands run as may; wait for one to end"
                                  : NULL;
}

static void start_call(control_peer *p, json_t *request) {
    const char *name = json_string_value(json_object_get(request, "command"));
    const control_asker by = {.who = p->who};
    bool known = name && (control_find(name) || control_find_work(name));
    control_call *call = make_call(p->control, name, request, &by);
    if (!call) {
        refuse(p, known ? SATCHEL_E_NOMEM : SATCHEL_E_MISUSE, known ? NULL : "there is no such command");
        return;
    }
    call->peer = p;
    p->call = call;
    int rc = begin_call(p->control, call);
    if (!rc) return;
    p->call = NULL;
    refuse(p, rc, words_of(rc));
    free_call(call);
}

/* ---- over HTTPS ---- */

static people_role role_of(const control_call *call) {
    return call->command ? call->command->role : call->work->role;
}

control_call *control_ask(control *c, const char *command, json_t *request, const control_asker *by) {
    control_call *call = make_call(c, command, request, by);
    if (!call) {
        by->answer(by->owner, SATCHEL_E_NOT_FOUND, "there is no such command", NULL);
        return NULL;
    }
    people_role role = role_of(call);
    if (role == PEOPLE_NONE || role > by->role) {
        call->rc = SATCHEL_E_ROLE;
        if (role == PEOPLE_NONE)
            buf_printf(&call->error, "%s is done at the server itself, with satchelctl", command);
        else
            buf_printf(&call->error, "%s takes the role %s", command, people_role_word(role));
    }
    int rc = begin_call(c, call);
    if (!rc) return call;
    by->answer(by->owner, rc, words_of(rc), NULL);
    free_call(call);
    return NULL;
}

void control_abandon(control_call *call) {
    call->by.answer = NULL;
    stop_work(call);
}

bool control_reads(const char *command) {
    const control_command *found = control_find(command);
    return found && found->reads;
}

bool control_refuses(const char *command, people_role role) {
    const control_command *c = control_find(command);
    const control_work *w = c ? NULL : control_find_work(command);
    people_role takes = c ? c->role : w ? w->role : PEOPLE_NONE;
    return (c || w) && (takes == PEOPLE_NONE || takes > role);
}

void control_note_refused(control *c, const char *command, const audit_who *who, int rc) {
    const control_asker by = {.who = *who, .role = PEOPLE_VIEWER};
    control_call *call = make_call(c, command, json_object(), &by);
    if (!call) return;
    call->rc = rc;
    if (begin_call(c, call)) free_call(call);
}

static void take_line(control_peer *p, const char *line, size_t n) {
    json_error_t where;
    json_t *request = json_loadb(line, n, JSON_REJECT_DUPLICATES, &where);
    if (json_is_object(request)) {
        start_call(p, request);
        return;
    }
    json_decref(request);
    refuse(p, SATCHEL_E_MALFORMED, "a request is one JSON object on one line");
}

/* Takes whole lines until one is a call that runs. */
static void take_requests(control_peer *p) {
    while (!p->call && !p->last && !uv_is_closing((uv_handle_t *)&p->pipe)) {
        uint8_t *from = p->in.p + p->seen, *end = p->in.n > p->seen ? memchr(from, '\n', p->in.n - p->seen) : NULL;
        if (!end) {
            p->seen = p->in.n;
            return;
        }
        size_t n = (size_t)(end - p->in.p);
        take_line(p, (const char *)p->in.p, n);
        memmove(p->in.p, p->in.p + n + 1, p->in.n - n - 1);
        p->in.n -= n + 1;
        p->seen = 0;
    }
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out) {
    control_peer *p = handle->data;
    (void)suggested;
    uint8_t *room = buf_reserve(&p->in, READ_BYTES);
    *out = uv_buf_init((char *)room, room ? READ_BYTES : 0);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *room) {
    control_peer *p = stream->data;
    (void)room;
    if (n == UV_ENOBUFS) {
        uv_read_stop(stream);
        p->last = true;
        refuse(p, SATCHEL_E_LIMIT, "the request is too long");
        return;
    }
    if (n < 0) {
        close_peer(p);
        return;
    }
    p->in.n += (size_t)n;
    take_requests(p);
}

/* ---- connections ---- */

/* The file's mode has said so already; this holds should somebody loosen it. */
static bool is_allowed(const uv_pipe_t *pipe, control_peer *p) {
    uv_os_fd_t fd;
    struct ucred who;
    socklen_t n = sizeof who;
    if (uv_fileno((const uv_handle_t *)pipe, &fd) || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n)) return false;
    p->who = (audit_who){.peer = "socket"};
    snprintf(p->who.actor, sizeof p->who.actor, "%s", who.uid == 0 ? "shell:root" : p->control->owner);
    return who.uid == 0 || who.uid == geteuid();
}

/* Looked up once: a directory of users may be far away. */
static void name_owner(control *c) {
    struct passwd entry, *found = NULL;
    char room[4096];
    if (getpwuid_r(geteuid(), &entry, room, sizeof room, &found) || !found)
        snprintf(c->owner, sizeof c->owner, "shell:%lu", (unsigned long)geteuid());
    else
        snprintf(c->owner, sizeof c->owner, "shell:%s", entry.pw_name);
}

static void on_connection(uv_stream_t *listener, int status) {
    control *c = listener->data;
    control_peer *p = status < 0 ? NULL : calloc(1, sizeof *p);
    if (!p) return;
    p->control = c;
    p->in.max = CONTROL_LINE_BYTES;
    p->pipe.data = p;
    uv_pipe_init(listener->loop, &p->pipe, 0);
    p->next = c->peers;
    c->peers = p;
    if (uv_accept(listener, (uv_stream_t *)&p->pipe) || !is_allowed(&p->pipe, p) ||
        uv_read_start((uv_stream_t *)&p->pipe, on_alloc, on_read))
        close_peer(p);
}

static int listen_on(control *c, const char *path) {
    mode_t before = umask(0177);
    unlink(path);
    int rc = uv_pipe_bind(&c->listener, path);
    umask(before);
    return rc ? rc : uv_listen((uv_stream_t *)&c->listener, BACKLOG, on_connection);
}

int control_open(service *sv, const datadir *data, control **out, buf *error) {
    char path[DATADIR_PATH_BYTES];
    if (datadir_path(data, CONTROL_SOCKET, path) || strlen(path) >= sizeof(((struct sockaddr_un *)0)->sun_path)) {
        buf_printf(error, "%s/%s: a Unix socket's name may have %zu bytes at most; choose a shorter --data", data->path,
                   CONTROL_SOCKET, sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
        return SATCHEL_E_NETWORK;
    }
    control *c = calloc(1, sizeof *c);
    if (!c) return SATCHEL_E_NOMEM;
    *out = c;
    c->service = sv;
    sv->control = c;
    name_owner(c);
    uv_timer_init(&sv->loop->uv, &c->telling);
    c->telling.data = c;
    uv_pipe_init(&sv->loop->uv, &c->listener, 0);
    c->listener.data = c;
    int rc = listen_on(c, path);
    if (!rc) return SATCHEL_OK;
    buf_printf(error, "%s: cannot listen: %s", path, uv_strerror(rc));
    return SATCHEL_E_NETWORK;
}

void control_stop_works(control *c) {
    c->stopped = true;
    for (control_call *call = c->calls; call; call = call->next) stop_work(call);
}

void control_close(control *c) {
    if (!c) return;
    control_stop_works(c);
    if (!uv_is_closing((uv_handle_t *)&c->telling)) uv_close((uv_handle_t *)&c->telling, NULL);
    if (!uv_is_closing((uv_handle_t *)&c->listener)) uv_close((uv_handle_t *)&c->listener, NULL);
    for (control_peer *p = c->peers; p; p = p->next) close_peer(p);
}

void control_free(control *c) {
    if (c && c->service->control == c) c->service->control = NULL;
    free(c);
}
