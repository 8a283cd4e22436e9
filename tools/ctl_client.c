#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/control.h"
#include "tools/ctl.h"

#define LOOK_MS 200

static int fail(const char *what, const char *why) {
    fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, why);
    return CTL_FAILED;
}

static int connect_to(ctl *c) {
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int n = c->socket ? snprintf(to.sun_path, sizeof to.sun_path, "%s", c->socket)
                      : snprintf(to.sun_path, sizeof to.sun_path, "%s/%s", c->data, CONTROL_SOCKET);
    if (n < 0 || (size_t)n >= sizeof to.sun_path) return fail(c->socket ? c->socket : c->data, "the socket's name is too long");
    c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0) return fail("socket", strerror(errno));
    if (!connect(c->fd, (struct sockaddr *)&to, sizeof to)) return CTL_DONE;
    bool nobody = errno == ENOENT || errno == ECONNREFUSED;
    return fail(to.sun_path,
                nobody ? "no server is running there (--data DIR or SATCHEL_DATA names its data directory)" : strerror(errno));
}

void ctl_disconnect(ctl *c) {
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
    buf_fini(&c->in);
}

static int send_all(ctl *c, const char *p, size_t n) {
    while (n) {
        ssize_t done = send(c->fd, p, n, MSG_NOSIGNAL);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return fail("the connection to the server", strerror(errno));
        p += done;
        n -= (size_t)done;
    }
    return CTL_DONE;
}

/* Waits until there is something to read; meanwhile a terminal sees that it is alive. */
static int wait_readable(ctl *c, ctl_bar *bar) {
    for (;;) {
        struct pollfd p = {.fd = c->fd, .events = POLLIN};
        int n = poll(&p, 1, LOOK_MS);
        if (n < 0 && errno != EINTR) return fail("poll", strerror(errno));
        if (n > 0) return CTL_DONE;
        if (bar->title) ctl_bar_show(bar, 0, 0, NULL);
    }
}

/* One line of the server; *line points into c->in, zero-terminated. */
static int receive_line(ctl *c, ctl_bar *bar, char **line) {
    size_t seen = 0;
    for (;;) {
        uint8_t *end = c->in.n > seen ? memchr(c->in.p + seen, '\n', c->in.n - seen) : NULL;
        if (end) {
            *end = 0;
            *line = (char *)c->in.p;
            return CTL_DONE;
        }
        seen = c->in.n;
        uint8_t *room = buf_reserve(&c->in, 65536);
        if (!room) return fail("the server's answer", "too long");
        int rc = wait_readable(c, bar);
        if (rc) return rc;
        ssize_t n = recv(c->fd, room, 65536, 0);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return fail("the connection to the server", strerror(errno));
        if (!n) return fail("the server", "it closed the connection before it answered");
        c->in.n += (size_t)n;
    }
}

static int receive_object(ctl *c, ctl_bar *bar, json_t **out) {
    char *line = NULL;
    *out = NULL;
    int rc = receive_line(c, bar, &line);
    if (rc) return rc;
    size_t n = strlen(line);
    *out = json_loadb(line, n, JSON_ALLOW_NUL, NULL);
    memmove(c->in.p, c->in.p + n + 1, c->in.n - n - 1);
    c->in.n -= n + 1;
    return CTL_DONE;
}

/* How far a long command is, which comes before its answer. */
static bool show_progress(ctl_bar *bar, const json_t *line) {
    const json_t *p = json_object_get(line, "progress");
    if (!json_is_object(p)) return false;
    ctl_bar_show(bar, (uint64_t)json_integer_value(json_object_get(p, "done")),
                 (uint64_t)json_integer_value(json_object_get(p, "total")), json_string_value(json_object_get(p, "what")));
    return true;
}

static int receive_reply(ctl *c, const char *title, json_t **reply) {
    ctl_bar bar;
    ctl_bar_begin(&bar, title);
    int rc = receive_object(c, &bar, reply);
    while (!rc && show_progress(&bar, *reply)) {
        json_decref(*reply);
        rc = receive_object(c, &bar, reply);
    }
    ctl_bar_end(&bar);
    if (rc) return rc;
    return json_is_object(*reply) ? CTL_DONE : fail("the server's answer", "it is not a JSON object");
}

int ctl_send(ctl *c, const void *request, size_t n) {
    int rc = c->fd < 0 ? connect_to(c) : CTL_DONE;
    if (!rc) rc = send_all(c, request, n);
    return rc ? rc : send_all(c, "\n", 1);
}

int ctl_receive(ctl *c, json_t **line) {
    ctl_bar none = {0};
    int rc = receive_object(c, &none, line);
    if (rc || json_is_object(*line)) return rc;
    json_decref(*line);
    *line = NULL;
    return fail("the server's answer", "it is not a JSON object");
}

int ctl_try(ctl *c, json_t *request, const char *title, json_t **reply) {
    *reply = NULL;
    char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
    json_decref(request);
    if (!text) return fail("the request", "it is not valid UTF-8, or there is no memory");
    int rc = ctl_send(c, text, strlen(text));
    free(text);
    if (!rc) rc = receive_reply(c, title, reply);
    if (!rc && !json_is_true(json_object_get(*reply, "ok"))) rc = CTL_FAILED;
    return rc;
}

void ctl_tell(const json_t *reply) {
    const char *words = json_string_value(json_object_get(reply, "message"));
    const char *code = json_string_value(json_object_get(reply, "code"));
    fprintf(stderr, "%s: %s (%s)\n", program_invocation_short_name, words ? words : "it failed", code ? code : "no code");
}

int ctl_call(ctl *c, json_t *request, const char *title, json_t **reply) {
    int rc = ctl_try(c, request, title, reply);
    if (!rc) return CTL_DONE;
    if (*reply) ctl_tell(*reply);
    json_decref(*reply);
    *reply = NULL;
    return rc;
}

int ctl_show(ctl *c, json_t *request, const char *title, void (*print)(const json_t *reply)) {
    json_t *reply;
    int rc = ctl_call(c, request, title, &reply);
    if (rc) return rc;
    if (c->json)
        ctl_print_json(reply);
    else
        print(reply);
    json_decref(reply);
    return CTL_DONE;
}

int ctl_do(ctl *c, json_t *request, const char *title, const char *format, ...) {
    json_t *reply;
    va_list args;
    int rc = ctl_call(c, request, title, &reply);
    if (rc) return rc;
    va_start(args, format);
    if (c->json)
        ctl_print_json(reply);
    else
        vprintf(format, args);
    va_end(args);
    if (!c->json) putchar('\n');
    json_decref(reply);
    return CTL_DONE;
}
