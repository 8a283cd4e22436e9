#include "server/control_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "protocol/satchel_rc.h"
#include "server/log.h"

#define READ_BYTES (64u << 10)
#define BACKLOG 16

/* One connection. It reads one request at a time: while a call runs, reading is stopped. */
typedef struct control_peer {
    uv_pipe_t pipe;
    control *control;
    buf in;
    size_t seen; /* bytes of `in` that hold no line end */
    control_call *call;
    bool last; /* close after the answer */
    struct control_peer *next;
} control_peer;

struct control {
    service *service;
    uv_pipe_t listener;
    control_peer *peers;
};

typedef struct control_write {
    uv_write_t request;
    control_peer *peer;
    char *text;
} control_write;

static void take_requests(control_peer *p);

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
    p->call = NULL;
    uv_close((uv_handle_t *)&p->pipe, on_closed);
}

/* ---- answering ---- */

static void on_written(uv_write_t *request, int status) {
    control_write *w = request->data;
    if (status < 0 || w->peer->last) close_peer(w->peer);
    free(w->text);
    free(w);
}

static void send_text(control_peer *p, char *text) {
    control_write *w = calloc(1, sizeof *w);
    uv_buf_t parts[2] = {uv_buf_init(text, text ? (unsigned)strlen(text) : 0), uv_buf_init("\n", 1)};
    if (w && text) {
        w->request.data = w;
        w->peer = p;
        w->text = text;
        if (!uv_write(&w->request, (uv_stream_t *)&p->pipe, parts, 2, on_written)) return;
    }
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
    send_text(p, json_dumps(reply, JSON_COMPACT));
}

static void refuse(control_peer *p, int rc, const char *words) {
    json_t *reply = json_object();
    send_reply(p, reply, rc, words);
    json_decref(reply);
}

static void free_call(control_call *call) {
    json_decref(call->request);
    json_decref(call->reply);
    buf_fini(&call->error);
    free(call);
}

static void on_done(service_job *job) {
    control_call *call = (control_call *)job;
    control_peer *p = call->peer;
    if (call->command->after && !job->rc) call->command->after(call);
    if (p) {
        p->call = NULL;
        buf_put_byte(&call->error, 0);
        send_reply(p, call->reply, job->rc, call->error.rc ? NULL : (const char *)call->error.p);
        take_requests(p);
    }
    free_call(call);
}

static int run_call(service_job *job, store *s, ingest *g, uint64_t now_ms) {
    control_call *call = (control_call *)job;
    return call->command->run(call, s, g, now_ms);
}

/* ---- requests ---- */

static void start_call(control_peer *p, json_t *request) {
    const char *name = json_string_value(json_object_get(request, "command"));
    const control_command *command = name ? control_find(name) : NULL;
    control_call *call = command ? calloc(1, sizeof *call) : NULL;
    if (!call) {
        refuse(p, command ? SATCHEL_E_NOMEM : SATCHEL_E_MISUSE, command ? NULL : "there is no such command");
        json_decref(request);
        return;
    }
    call->command = command;
    call->request = request;
    call->reply = json_object();
    call->peer = p;
    call->job.run = run_call;
    call->job.done = on_done;
    p->call = call;
    if (service_submit(p->control->service, &call->job, command->own_transaction)) return;
    p->call = NULL;
    refuse(p, SATCHEL_E_CLOSED, "the server is shutting down");
    free_call(call);
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
static bool is_allowed(const uv_pipe_t *pipe) {
    uv_os_fd_t fd;
    struct ucred who;
    socklen_t n = sizeof who;
    if (uv_fileno((const uv_handle_t *)pipe, &fd) || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n)) return false;
    return who.uid == 0 || who.uid == geteuid();
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
    if (uv_accept(listener, (uv_stream_t *)&p->pipe) || !is_allowed(&p->pipe) ||
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
    uv_pipe_init(&sv->loop->uv, &c->listener, 0);
    c->listener.data = c;
    int rc = listen_on(c, path);
    if (!rc) return SATCHEL_OK;
    buf_printf(error, "%s: cannot listen: %s", path, uv_strerror(rc));
    return SATCHEL_E_NETWORK;
}

void control_close(control *c) {
    if (!c) return;
    if (!uv_is_closing((uv_handle_t *)&c->listener)) uv_close((uv_handle_t *)&c->listener, NULL);
    for (control_peer *p = c->peers; p; p = p->next) close_peer(p);
}

void control_free(control *c) {
    free(c);
}
