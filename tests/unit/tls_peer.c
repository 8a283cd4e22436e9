#include "tls_peer.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "protocol/crypto.h"

static const char *text(const buf *b) {
    return (const char *)b->p;
}

void tls_world_write(const tls_world *w, const char *name, const char *content) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", w->dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(content, f);
    assert_int_equal(fchmod(fileno(f), 0600), 0); /* a key that others can read is refused */
    assert_int_equal(fclose(f), 0);
}

void tls_world_server(tls_world *w, const char *hosts, uint64_t now_ms, unsigned days) {
    buf_clear(&w->server);
    assert_int_equal(crypto_make_server(text(&w->ca_key), text(&w->ca), text(&w->server_key), hosts, now_ms, days, &w->server),
                     0);
    tls_world_write(w, "server.pem", text(&w->server));
}

void tls_world_device(tls_world *w, uint64_t now_ms, unsigned days) {
    buf csr = {0};
    buf_clear(&w->device);
    assert_int_equal(crypto_make_csr(text(&w->device_key), "test device", &csr), 0);
    assert_int_equal(crypto_sign_csr(text(&w->ca_key), text(&w->ca), text(&csr), "test device", now_ms, days, &w->device), 0);
    tls_world_write(w, "device/cert.pem", text(&w->device));
    buf_fini(&csr);
}

void tls_world_make(tls_world *w) {
    char path[96];
    *w = (tls_world){.dir = "/tmp/satchel-tls-XXXXXX", .now_ms = (uint64_t)time(NULL) * 1000};
    assert_non_null(mkdtemp(w->dir));
    snprintf(path, sizeof path, "%s/device", w->dir);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(crypto_make_key(&w->ca_key), 0);
    assert_int_equal(crypto_make_ca(text(&w->ca_key), "Test CA", w->now_ms, 30, &w->ca), 0);
    assert_int_equal(crypto_make_key(&w->server_key), 0);
    assert_int_equal(crypto_make_key(&w->device_key), 0);
    tls_world_write(w, "ca.key", text(&w->ca_key));
    tls_world_write(w, "ca.pem", text(&w->ca));
    tls_world_write(w, "server.key", text(&w->server_key));
    tls_world_write(w, "device/key.pem", text(&w->device_key));
    tls_world_write(w, "device/ca.pem", text(&w->ca));
    tls_world_server(w, "127.0.0.1,::1,localhost", w->now_ms, 10);
    tls_world_device(w, w->now_ms, 10);
}

void tls_world_free(tls_world *w) {
    char command[128];
    buf *all[] = {&w->ca_key, &w->ca, &w->server_key, &w->server, &w->device_key, &w->device};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) buf_fini(all[i]);
    snprintf(command, sizeof command, "rm -rf '%s'", w->dir);
    assert_int_equal(system(command), 0);
}

bool tls_peer_possible(void) {
    return system("command -v openssl >/dev/null 2>&1") == 0;
}

static struct sockaddr_in loopback(uint16_t port) {
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static uint16_t free_port(void) {
    struct sockaddr_in a = loopback(0);
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
    close(fd);
    return ntohs(a.sin_port);
}

static void wait_until_listening(uint16_t port) {
    struct sockaddr_in a = loopback(port);
    struct timespec pause = {.tv_nsec = 5000000};
    for (int i = 0; i < 12000; i++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        int err = connect(fd, (struct sockaddr *)&a, sizeof a);
        close(fd);
        if (!err) return;
        nanosleep(&pause, NULL);
    }
    fail_msg("openssl s_server does not listen");
}

static void become_server(const tls_world *w, uint16_t port, const char *options, int in, int out) {
    char command[512];
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that crashes leaves no server behind */
    dup2(in, 0);
    dup2(out, 1);
    dup2(open("/dev/null", O_WRONLY), 2);
    if (chdir(w->dir)) _exit(1);
    snprintf(command, sizeof command, "exec openssl s_server -quiet -accept 127.0.0.1:%u -key server.key -cert server.pem %s",
             port, options);
    execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    _exit(1);
}

void tls_peer_start(tls_peer *p, const tls_world *w, const char *options) {
    int in[2], out[2];
    *p = (tls_peer){.port = free_port()};
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    p->pid = fork();
    assert_true(p->pid >= 0);
    if (!p->pid) become_server(w, p->port, options, in[0], out[1]);
    close(in[0]);
    close(out[1]);
    p->to = in[1];
    p->from = out[0];
    signal(SIGPIPE, SIG_IGN);
    wait_until_listening(p->port);
}

void tls_peer_stop(tls_peer *p) {
    if (p->pid > 0) {
        kill(p->pid, SIGKILL);
        waitpid(p->pid, NULL, 0);
        close(p->to);
        close(p->from);
    }
    buf_fini(&p->heard);
    p->pid = 0;
}

void tls_peer_say(tls_peer *p, const void *bytes, size_t n) {
    const char *at = bytes;
    while (n) {
        ssize_t put = write(p->to, at, n);
        assert_true(put > 0);
        at += put;
        n -= (size_t)put;
    }
}

void tls_peer_hear(tls_peer *p, int timeout_ms) {
    struct pollfd f = {.fd = p->from, .events = POLLIN};
    if (poll(&f, 1, timeout_ms) <= 0) return;
    uint8_t *room = buf_reserve(&p->heard, 65536);
    assert_non_null(room);
    ssize_t got = read(p->from, room, 65535);
    if (got <= 0) return;
    p->heard.n += (size_t)got;
    p->heard.p[p->heard.n] = 0;
}
