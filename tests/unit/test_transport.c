/* The transport against OpenSSL: certificates, alerts, the WebSocket handshake and frames. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "protocol/crypto.h"
#include "protocol/limits.h"
#include "protocol/satchel_rc.h"
#include "replica/stream.h"
#include "replica/transport.h"
#include "tls_peer.h"

#define MUTUAL "-Verify 1 -verify_return_error -CAfile ca.pem"
#define DAY_MS (24ull * 3600 * 1000)
/* On a busy machine the peer, or this process, may have no processor for some seconds. */
#define PATIENCE_MS 60000

typedef struct world {
    tls_world tls;
    tls_peer peer;
    transport *t;
    int rc; /* of the last step */
} world;

static int set_up(void **state) {
    world *w = calloc(1, sizeof *w);
    if (!w || !tls_peer_possible()) return -1;
    tls_world_make(&w->tls);
    *state = w;
    return 0;
}

static int tear_down(void **state) {
    world *w = *state;
    transport_free(w->t);
    tls_peer_stop(&w->peer);
    tls_world_free(&w->tls);
    free(w);
    return 0;
}

static void new_transport(world *w, const char *host) {
    char dir[96];
    buf error = {0};
    snprintf(dir, sizeof dir, "%s/device", w->tls.dir);
    transport_config c = {.host = host, .port = w->peer.port, .identity_dir = dir, .software = "satchel/test"};
    int rc = transport_new(&c, &w->t, &error);
    if (rc) fail_msg("transport_new: %s", (const char *)error.p);
    buf_fini(&error);
}

/* Answers the client's upgrade, once it is whole, with `format` in which %s is the right Sec-WebSocket-Accept. True when answered. */
static bool answer_upgrade(world *w, const char *format) {
    buf joined = {0}, accept = {0};
    uint8_t digest[20];
    tls_peer_hear(&w->peer, 0);
    if (!w->peer.heard.n || !strstr((char *)w->peer.heard.p, "\r\n\r\n")) return false;
    const char *key = strstr((char *)w->peer.heard.p, "Sec-WebSocket-Key: ");
    assert_non_null(key);
    assert_int_equal(strncmp((char *)w->peer.heard.p, "GET /sync HTTP/1.1\r\n", 20), 0);
    assert_non_null(strstr((char *)w->peer.heard.p, "Sec-WebSocket-Protocol: satchel.v1\r\n"));
    buf_printf(&joined, "%.24s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key + 19);
    crypto_sha1(joined.p, joined.n, digest);
    crypto_base64(digest, sizeof digest, &accept);
    buf_clear(&joined);
    buf_printf(&joined, format, (char *)accept.p);
    tls_peer_say(&w->peer, joined.p, joined.n);
    buf_clear(&w->peer.heard);
    buf_fini(&joined);
    buf_fini(&accept);
    return true;
}

#define ACCEPTED_AND(more)                                                                                                       \
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Accept: %s\r\n"  \
    "Sec-WebSocket-Protocol: satchel.v1\r\n" more "\r\n"
#define ACCEPTED ACCEPTED_AND("")

/* Steps until the transport is open or has failed; returns why. */
static int connect_with(world *w, const char *answer) {
    bool answered = false;
    uint64_t until = stream_clock_ms() + PATIENCE_MS;
    w->rc = transport_connect(w->t);
    while (!w->rc && transport_state(w->t) == TRANSPORT_CONNECTING) {
        assert_true(stream_clock_ms() < until);
        w->rc = transport_step(w->t, 2, -1);
        if (!answered && !w->rc) answered = answer_upgrade(w, answer);
    }
    return w->rc;
}

static void open_connection(world *w) {
    if (connect_with(w, ACCEPTED)) fail_msg("%s", transport_error(w->t));
    assert_int_equal(transport_state(w->t), TRANSPORT_OPEN);
}

/* Steps until a message is there (true) or the connection has ended (w->rc). */
static bool next_message(world *w, buf *message) {
    uint64_t until = stream_clock_ms() + PATIENCE_MS;
    while (!transport_receive(w->t, message)) {
        if (w->rc) return false;
        assert_true(stream_clock_ms() < until);
        w->rc = transport_step(w->t, 20, -1);
    }
    return true;
}

/* Steps until the client has sent n bytes in all. */
static void hear_bytes(world *w, size_t n) {
    uint64_t until = stream_clock_ms() + PATIENCE_MS;
    while (w->peer.heard.n < n) {
        assert_true(stream_clock_ms() < until);
        w->rc = transport_step(w->t, 1, -1);
        assert_int_equal(w->rc, 0);
        tls_peer_hear(&w->peer, 1);
    }
}

/* --- who the server is ------------------------------------------------------------------------------------------------------------- */

static void transport_connect_good_server_opens_and_second_time_resumes(void **state) {
    world *w = *state;
    tls_peer_start(&w->peer, &w->tls, MUTUAL);
    new_transport(w, "127.0.0.1");
    open_connection(w);
    assert_false(transport_is_resumed(w->t));
    transport_close(w->t, 1000);
    assert_int_equal(transport_state(w->t), TRANSPORT_CLOSED);
    while (w->peer.heard.n < 8) tls_peer_hear(&w->peer, 1000); /* the close frame */
    buf_clear(&w->peer.heard);
    open_connection(w);
    assert_true(transport_is_resumed(w->t));
}

static void transport_connect_by_name_opens(void **state) {
    world *w = *state;
    tls_peer_start(&w->peer, &w->tls, MUTUAL);
    new_transport(w, "localhost");
    open_connection(w);
}

static void transport_connect_foreign_authority_is_certificate(void **state) {
    world *w = *state;
    buf key = {0}, other = {0};
    assert_int_equal(crypto_make_key(&key), 0);
    assert_int_equal(crypto_make_ca((char *)key.p, "Test CA", w->tls.now_ms, 30, &other), 0);
    tls_world_write(&w->tls, "device/ca.pem", (char *)other.p);
    tls_peer_start(&w->peer, &w->tls, "");
    new_transport(w, "127.0.0.1");
    assert_int_equal(connect_with(w, ACCEPTED), SATCHEL_E_CERTIFICATE);
    assert_non_null(strstr(transport_error(w->t), "does not come from the server"));
    assert_int_equal(w->peer.heard.n, 0);
    buf_fini(&key);
    buf_fini(&other);
}

static void transport_connect_certificate_of_other_address_is_certificate(void **state) {
    world *w = *state;
    tls_world_server(&w->tls, "10.0.0.1,localhost.test", w->tls.now_ms, 10);
    tls_peer_start(&w->peer, &w->tls, "");
    new_transport(w, "127.0.0.1");
    assert_int_equal(connect_with(w, ACCEPTED), SATCHEL_E_CERTIFICATE);
    assert_non_null(strstr(transport_error(w->t), "does not name 127.0.0.1"));
}

static void transport_connect_certificate_of_other_name_is_certificate(void **state) {
    world *w = *state;
    tls_world_server(&w->tls, "127.0.0.1,localhost.test", w->tls.now_ms, 10);
    tls_peer_start(&w->peer, &w->tls, "");
    new_transport(w, "localhost");
    assert_int_equal(connect_with(w, ACCEPTED), SATCHEL_E_CERTIFICATE);
}

/* A device's certificate is signed by the same authority, but is no server's. */
static void transport_connect_certificate_of_a_device_is_certificate(void **state) {
    world *w = *state;
    tls_world_write(&w->tls, "server.key", (char *)w->tls.device_key.p);
    tls_world_write(&w->tls, "server.pem", (char *)w->tls.device.p);
    tls_peer_start(&w->peer, &w->tls, "");
    new_transport(w, "127.0.0.1");
    assert_int_equal(connect_with(w, ACCEPTED), SATCHEL_E_CERTIFICATE);
}

static void transport_connect_expired_server_is_expired(void **state) {
    world *w = *state;
    tls_world_server(&w->tls, "127.0.0.1", w->tls.now_ms - 3 * DAY_MS, 1);
    tls_peer_start(&w->peer, &w->tls, "");
    new_transport(w, "127.0.0.1");
    assert_int_equal(connect_with(w, ACCEPTED), SATCHEL_E_EXPIRED);
}

static void transport_connect_nobody_listens_is_network(void **state) {
    world *w = *state;
    tls_peer_start(&w->peer, &w->tls, "");
    new_transport(w, "127.0.0.1");
    tls_peer_stop(&w->peer);
    assert_int_equal(connect_with(w, ACCEPTED), SATCHEL_E_NETWORK);
    assert_non_null(strstr(transport_error(w->t), "refused"));
}

static void transport_connect_unknown_name_is_network(void **state) {
    world *w = *state;
    new_transport(w, "no-such-host.invalid");
    assert_int_equal(connect_with(w, ACCEPTED), SATCHEL_E_NETWORK);
}

static void transport_connect_tls_1_1_server_is_refused(void **state) {
    world *w = *state;
    tls_peer_start(&w->peer, &w->tls, "-tls1_1 -cipher ALL:@SECLEVEL=0");
    new_transport(w, "127.0.0.1");
    assert_int_not_equal(connect_with(w, ACCEPTED), 0);
}

/* --- what the server thinks of us ---------------------------------------------------------------------------------------------------- */

static void transport_connect_refused_device_certificate_is_certificate(void **state) {
    world *w = *state;
    buf key = {0}, other = {0};
    assert_int_equal(crypto_make_key(&key), 0);
    assert_int_equal(crypto_make_ca((char *)key.p, "Other CA", w->tls.now_ms, 30, &other), 0);
    tls_world_write(&w->tls, "other.pem", (char *)other.p);
    tls_peer_start(&w->peer, &w->tls, "-Verify 1 -verify_return_error -CAfile other.pem");
    new_transport(w, "127.0.0.1");
    assert_int_equal(connect_with(w, ACCEPTED), SATCHEL_E_CERTIFICATE);
    assert_non_null(strstr(transport_error(w->t), "TLS alert"));
    buf_fini(&key);
    buf_fini(&other);
}

static void transport_connect_expired_device_certificate_is_expired(void **state) {
    world *w = *state;
    tls_world_device(&w->tls, w->tls.now_ms - 3 * DAY_MS, 1);
    tls_peer_start(&w->peer, &w->tls, MUTUAL);
    new_transport(w, "127.0.0.1");
    assert_int_equal(connect_with(w, ACCEPTED), SATCHEL_E_EXPIRED);
}

static void transport_connect_revoked_device_certificate_is_revoked(void **state) {
    world *w = *state;
    char command[1200];
    snprintf(command, sizeof command,
             "cd %s && { serial=$(openssl x509 -in device/cert.pem -noout -serial | cut -d= -f2);"
             "printf 'R\\t491231235959Z\\t260101000000Z\\t%%s\\tunknown\\t/CN=test device\\n' $serial >index.txt;"
             "printf '[ca]\\ndefault_ca=c\\n[c]\\ndatabase=index.txt\\ndefault_md=sha256\\ndefault_crl_days=5\\n' >ca.cnf;"
             "openssl ca -config ca.cnf -gencrl -keyfile ca.key -cert ca.pem -out crl.pem; } >/dev/null 2>&1",
             w->tls.dir);
    assert_int_equal(system(command), 0);
    tls_peer_start(&w->peer, &w->tls, MUTUAL " -crl_check -CRL crl.pem");
    new_transport(w, "127.0.0.1");
    assert_int_equal(connect_with(w, ACCEPTED), SATCHEL_E_REVOKED);
}

static void transport_connect_http_refusals_are_named(void **state) {
    static const struct {
        const char *answer;
        int rc;
    } refusal[] = {
        {"HTTP/1.1 401 Unauthorized\r\nX: %s\r\n\r\n", SATCHEL_E_CERTIFICATE},
        {"HTTP/1.1 403 Forbidden\r\nX: %s\r\n\r\n", SATCHEL_E_REVOKED},
        {"HTTP/1.1 404 Not Found\r\nX: %s\r\n\r\n", SATCHEL_E_VERSION},
        {"HTTP/1.1 503 Later\r\nX: %s\r\n\r\n", SATCHEL_E_OVERLOAD},
        {"HTTP/1.1 500 Oops\r\nX: %s\r\n\r\n", SATCHEL_E_NETWORK},
        {"SSH-2.0-OpenSSH_9.2 %s\r\n\r\n", SATCHEL_E_NETWORK},
        {"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x%s\r\nSec-WebSocket-Protocol: satchel.v1\r\n\r\n",
         SATCHEL_E_NETWORK},
        {"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", SATCHEL_E_VERSION},
        {"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: close\r\nSec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: satchel.v1\r\n\r\n",
         SATCHEL_E_NETWORK},
    };
    world *w = *state;
    tls_peer_start(&w->peer, &w->tls, MUTUAL);
    new_transport(w, "127.0.0.1");
    for (size_t i = 0; i < sizeof refusal / sizeof *refusal; i++) {
        int rc = connect_with(w, refusal[i].answer);
        if (rc != refusal[i].rc) fail_msg("%zu: %d %s", i, rc, transport_error(w->t));
        assert_int_equal(transport_state(w->t), TRANSPORT_CLOSED);
    }
}

static void transport_connect_later_tells_how_much_later(void **state) {
    static const struct {
        const char *answer;
        uint64_t ms;
    } later[] = {
        {"HTTP/1.1 429 x\r\nX: %s\r\nRetry-After: 7\r\n\r\n", 7000},
        {"HTTP/1.1 503 x\r\nX: %s\r\nretry-after:  30 \r\n\r\n", 30000},
        {"HTTP/1.1 503 x\r\nX: %s\r\nRetry-After: Wed, 21 Oct 2026 07:28:00 GMT\r\n\r\n", 0},
        {"HTTP/1.1 429 x\r\nX: %s\r\nRetry-After: 9999999999999999\r\n\r\n", 0},
        {"HTTP/1.1 429 x\r\nX: %s\r\n\r\n", 0},
    };
    world *w = *state;
    tls_peer_start(&w->peer, &w->tls, MUTUAL);
    new_transport(w, "127.0.0.1");
    for (size_t i = 0; i < sizeof later / sizeof *later; i++) {
        assert_int_equal(connect_with(w, later[i].answer), SATCHEL_E_OVERLOAD);
        assert_int_equal(transport_retry_after_ms(w->t), later[i].ms);
    }
}

static void transport_connect_tells_what_the_server_asks_for_on_this_connection(void **state) {
    static const struct {
        const char *answer;
        unsigned orders;
    } asked[] = {
        {ACCEPTED_AND("satchel-orders:verify\r\n"), TRANSPORT_VERIFY},
        {ACCEPTED_AND("Satchel-Orders: renew, verify, rotate-key\r\n"),
         TRANSPORT_RENEW | TRANSPORT_VERIFY | TRANSPORT_ROTATE_KEY},
        {ACCEPTED_AND("Satchel-Orders: dance ,rotate-key\r\n"), TRANSPORT_ROTATE_KEY},
        {ACCEPTED_AND("Satchel-Orders: rotate\r\nVerify: verify\r\n"), 0},
        {ACCEPTED, 0},
    };
    world *w = *state;
    tls_peer_start(&w->peer, &w->tls, MUTUAL);
    new_transport(w, "127.0.0.1");
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        buf_clear(&w->peer.heard);
        if (connect_with(w, asked[i].answer)) fail_msg("%s", transport_error(w->t));
        assert_int_equal(transport_orders(w->t), asked[i].orders);
        transport_close(w->t, 1000);
        while (w->peer.heard.n < 8) tls_peer_hear(&w->peer, 1000); /* the close frame */
    }
}

static void transport_connect_other_version_is_told_apart(void **state) {
    static const struct {
        const char *answer, *words;
    } other[] = {
        {"HTTP/1.1 400 x\r\nX: %s\r\nSec-WebSocket-Protocol: satchel.v2\r\n\r\n",
         "the server speaks satchel.v2, this device satchel.v1; update Satchel on the device"},
        {"HTTP/1.1 400 x\r\nX: %s\r\nSec-WebSocket-Protocol: satchel.v0\r\n\r\n",
         "the server speaks satchel.v0, this device satchel.v1; update Satchel on the server"},
        {"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: satchel.v10\r\n\r\n",
         "the server speaks satchel.v10, this device satchel.v1; update Satchel on the device"},
        {"HTTP/1.1 426 x\r\nX: %s\r\n\r\n", "the server does not speak satchel.v1; update the older of the two"},
        {"HTTP/1.1 400 x\r\nX: %s\r\nSec-WebSocket-Protocol: chat\r\n\r\n",
         "the server does not speak satchel.v1; update the older of the two"},
    };
    world *w = *state;
    tls_peer_start(&w->peer, &w->tls, MUTUAL);
    new_transport(w, "127.0.0.1");
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        assert_int_equal(connect_with(w, other[i].answer), SATCHEL_E_VERSION);
        assert_string_equal(transport_error(w->t), other[i].words);
    }
}

static void transport_new_without_identity_is_not_enrolled(void **state) {
    world *w = *state;
    buf error = {0};
    transport_config c = {.host = "127.0.0.1", .port = 1, .identity_dir = w->tls.dir};
    assert_int_equal(transport_new(&c, &w->t, &error), SATCHEL_E_NOT_ENROLLED);
    tls_world_write(&w->tls, "key.pem", "junk");
    tls_world_write(&w->tls, "cert.pem", "junk");
    buf_clear(&error);
    assert_int_equal(transport_new(&c, &w->t, &error), SATCHEL_E_CERTIFICATE);
    assert_null(w->t);
    buf_fini(&error);
}

/* --- frames -------------------------------------------------------------------------------------------------------------------------- */

/* A server's frame (unmasked) with a 16- or 64-bit length where needed. */
static void say_frame(world *w, uint8_t first, const void *payload, size_t n) {
    buf frame = {0};
    buf_put_byte(&frame, first);
    if (n < 126) {
        buf_put_byte(&frame, (uint8_t)n);
    } else {
        unsigned bytes = n > 65535 ? 8 : 2;
        buf_put_byte(&frame, bytes == 8 ? 127 : 126);
        for (unsigned i = bytes; i--;) buf_put_byte(&frame, (uint8_t)((uint64_t)n >> (8 * i)));
    }
    buf_put(&frame, payload, n);
    /* The pipe to the server is smaller than a large frame: the transport must read while we write. */
    fcntl(w->peer.to, F_SETFL, O_NONBLOCK);
    uint64_t until = stream_clock_ms() + PATIENCE_MS;
    for (size_t at = 0; at < frame.n;) {
        ssize_t put = write(w->peer.to, frame.p + at, frame.n - at);
        if (put > 0) at += (size_t)put;
        if (put < 0 && !w->rc) w->rc = transport_step(w->t, 1, -1);
        assert_true(stream_clock_ms() < until);
        if (w->rc) break;
    }
    fcntl(w->peer.to, F_SETFL, 0);
    buf_fini(&frame);
}

static void transport_receive_binary_frames_come_whole_and_in_order(void **state) {
    world *w = *state;
    buf message = {0};
    tls_peer_start(&w->peer, &w->tls, MUTUAL);
    new_transport(w, "127.0.0.1");
    /* The first frame comes in one record with the upgrade's answer. */
    assert_int_equal(connect_with(w, ACCEPTED "\x82\x03one\x82\x03two"), 0);
    assert_true(next_message(w, &message));
    assert_memory_equal(message.p, "one", 3);
    assert_true(next_message(w, &message));
    assert_memory_equal(message.p, "two", 3);
    say_frame(w, 0x02, "frag", 4); /* not final */
    say_frame(w, 0x89, "ping", 4); /* between the fragments */
    say_frame(w, 0x80, "ment", 4);
    assert_true(next_message(w, &message));
    assert_int_equal(message.n, 8);
    assert_memory_equal(message.p, "fragment", 8);
    hear_bytes(w, 10); /* the pong: 2 bytes, mask, payload */
    assert_int_equal(w->peer.heard.p[0], 0x8a);
    assert_int_equal(w->peer.heard.p[1], 0x84);
    buf_fini(&message);
}

static void transport_receive_frame_at_the_limit_comes_and_over_it_closes(void **state) {
    world *w = *state;
    buf message = {0};
    uint8_t *big = calloc(1, LIMIT_FRAME_BYTES + 1);
    for (size_t i = 0; i < LIMIT_FRAME_BYTES; i++) big[i] = (uint8_t)(i * 31 >> 3);
    tls_peer_start(&w->peer, &w->tls, MUTUAL);
    new_transport(w, "127.0.0.1");
    open_connection(w);
    say_frame(w, 0x82, big, LIMIT_FRAME_BYTES);
    assert_true(next_message(w, &message));
    assert_int_equal(message.n, LIMIT_FRAME_BYTES);
    assert_memory_equal(message.p, big, LIMIT_FRAME_BYTES);
    say_frame(w, 0x82, big, LIMIT_FRAME_BYTES + 1);
    assert_false(next_message(w, &message));
    assert_int_equal(w->rc, SATCHEL_E_LIMIT);
    free(big);
    buf_fini(&message);
}

static void transport_receive_text_frame_is_malformed(void **state) {
    world *w = *state;
    buf message = {0};
    tls_peer_start(&w->peer, &w->tls, MUTUAL);
    new_transport(w, "127.0.0.1");
    open_connection(w);
    say_frame(w, 0x81, "hello", 5);
    assert_false(next_message(w, &message));
    assert_int_equal(w->rc, SATCHEL_E_MALFORMED);
    buf_fini(&message);
}

static void transport_receive_last_words_before_close_are_kept(void **state) {
    world *w = *state;
    buf message = {0};
    tls_peer_start(&w->peer, &w->tls, MUTUAL);
    new_transport(w, "127.0.0.1");
    open_connection(w);
    tls_peer_say(&w->peer, "\x82\x03why\x88\x02\x03\xe9", 9); /* close 1001 */
    while (!w->rc) w->rc = transport_step(w->t, 100, -1);
    assert_int_equal(w->rc, SATCHEL_E_CLOSED);
    assert_true(transport_receive(w->t, &message));
    assert_memory_equal(message.p, "why", 3);
    assert_false(transport_receive(w->t, &message));
    buf_fini(&message);
}

/* wslay knows no close codes above 1011. */
static void transport_receive_close_code_try_again_later_is_closed(void **state) {
    world *w = *state;
    tls_peer_start(&w->peer, &w->tls, MUTUAL);
    new_transport(w, "127.0.0.1");
    open_connection(w);
    tls_peer_say(&w->peer, "\x88\x02\x03\xf5", 4); /* close 1013 */
    while (!w->rc) w->rc = transport_step(w->t, 100, -1);
    assert_int_equal(w->rc, SATCHEL_E_CLOSED);
}

static void transport_step_killed_server_is_closed(void **state) {
    world *w = *state;
    tls_peer_start(&w->peer, &w->tls, MUTUAL);
    new_transport(w, "127.0.0.1");
    open_connection(w);
    tls_peer_stop(&w->peer);
    while (!w->rc) w->rc = transport_step(w->t, 1000, -1);
    assert_int_equal(satchel_rc_class(w->rc), SATCHEL_CLASS_RETRY);
    assert_int_equal(transport_state(w->t), TRANSPORT_CLOSED);
    assert_int_equal(transport_send(w->t, "x", 1), SATCHEL_E_MISUSE);
}

/* Unmasks the frame at `at` into its own place; returns where the next begins. */
static size_t read_frame(buf *b, size_t at, uint8_t **payload, size_t *n) {
    const uint8_t *p = b->p + at;
    assert_int_equal(p[0], 0x82);
    assert_true(p[1] & 0x80);
    size_t head = 2;
    *n = p[1] & 0x7f;
    if (*n >= 126) {
        unsigned bytes = *n == 127 ? 8 : 2;
        *n = 0;
        for (unsigned i = 0; i < bytes; i++) *n = *n << 8 | p[2 + i];
        head += bytes;
    }
    *payload = b->p + at + head + 4;
    for (size_t i = 0; i < *n; i++) (*payload)[i] ^= p[head + i % 4];
    return at + head + 4 + *n;
}

static void transport_send_frames_arrive_masked_and_queued_falls_to_zero(void **state) {
    world *w = *state;
    size_t sizes[] = {0, 1, 125, 126, 65535, 65536, 300000}, total = 0, at = 0;
    uint8_t *bytes = calloc(1, 300000), *payload;
    for (size_t i = 0; i < 300000; i++) bytes[i] = (uint8_t)(i * 7 >> 2);
    tls_peer_start(&w->peer, &w->tls, MUTUAL);
    new_transport(w, "127.0.0.1");
    open_connection(w);
    for (size_t i = 0; i < 7; i++) {
        assert_int_equal(transport_send(w->t, bytes, sizes[i]), 0);
        total += sizes[i] + (sizes[i] > 65535 ? 14 : sizes[i] > 125 ? 8 : 6);
    }
    assert_int_equal(transport_queued(w->t), total);
    hear_bytes(w, total);
    assert_int_equal(transport_queued(w->t), 0);
    for (size_t i = 0; i < 7; i++) {
        size_t n;
        at = read_frame(&w->peer.heard, at, &payload, &n);
        assert_int_equal(n, sizes[i]);
        if (n) assert_memory_equal(payload, bytes, n);
    }
    assert_int_equal(at, w->peer.heard.n);
    free(bytes);
}

static void transport_send_over_its_bounds_is_refused(void **state) {
    world *w = *state;
    uint8_t *bytes = calloc(1, LIMIT_FRAME_BYTES + 1);
    int rc = 0;
    tls_peer_start(&w->peer, &w->tls, MUTUAL);
    new_transport(w, "127.0.0.1");
    open_connection(w);
    assert_int_equal(transport_send(w->t, bytes, LIMIT_FRAME_BYTES + 1), SATCHEL_E_LIMIT);
    for (int i = 0; i < 20 && !rc; i++) rc = transport_send(w->t, bytes, LIMIT_FRAME_BYTES);
    assert_int_equal(rc, SATCHEL_E_MISUSE);
    assert_true(transport_queued(w->t) <= LIMIT_CONN_QUEUE_BYTES + 64);
    free(bytes);
}

/* The server speaks only when spoken to: a step that opened the connection and then waited would wait for nothing. */
static void transport_step_that_opens_returns_at_once(void **state) {
    world *w = *state;
    tls_peer_start(&w->peer, &w->tls, MUTUAL);
    new_transport(w, "127.0.0.1");
    assert_int_equal(transport_connect(w->t), 0);
    bool answered = false;
    while (!answered) {
        assert_int_equal(transport_step(w->t, 2, -1), 0);
        answered = answer_upgrade(w, ACCEPTED);
    }
    usleep(50000); /* the answer lies in the socket when the step begins, or comes while it waits */
    uint64_t before = stream_clock_ms();
    while (transport_state(w->t) == TRANSPORT_CONNECTING) assert_int_equal(transport_step(w->t, PATIENCE_MS, -1), 0);
    assert_int_equal(transport_state(w->t), TRANSPORT_OPEN);
    assert_true(stream_clock_ms() - before < 10000); /* of the 25 seconds to the next ping */
}

static void transport_step_wakeup_ends_the_wait(void **state) {
    world *w = *state;
    int fd[2];
    tls_peer_start(&w->peer, &w->tls, MUTUAL);
    new_transport(w, "127.0.0.1");
    open_connection(w);
    assert_int_equal(pipe(fd), 0);
    assert_int_equal(write(fd[1], "x", 1), 1);
    uint64_t before = stream_clock_ms();
    assert_int_equal(transport_step(w->t, PATIENCE_MS, fd[0]), 0);
    assert_true(stream_clock_ms() - before < 10000);
    before = stream_clock_ms();
    assert_int_equal(transport_step(w->t, 50, -1), 0);
    assert_true(stream_clock_ms() - before >= 45);
    close(fd[0]);
    close(fd[1]);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(transport_connect_good_server_opens_and_second_time_resumes),
        CASE(transport_connect_by_name_opens),
        CASE(transport_connect_foreign_authority_is_certificate),
        CASE(transport_connect_certificate_of_other_address_is_certificate),
        CASE(transport_connect_certificate_of_other_name_is_certificate),
        CASE(transport_connect_certificate_of_a_device_is_certificate),
        CASE(transport_connect_expired_server_is_expired),
        CASE(transport_connect_nobody_listens_is_network),
        CASE(transport_connect_unknown_name_is_network),
        CASE(transport_connect_tls_1_1_server_is_refused),
        CASE(transport_connect_refused_device_certificate_is_certificate),
        CASE(transport_connect_expired_device_certificate_is_expired),
        CASE(transport_connect_revoked_device_certificate_is_revoked),
        CASE(transport_connect_http_refusals_are_named),
        CASE(transport_connect_later_tells_how_much_later),
        CASE(transport_connect_tells_what_the_server_asks_for_on_this_connection),
        CASE(transport_connect_other_version_is_told_apart),
        CASE(transport_new_without_identity_is_not_enrolled),
        CASE(transport_receive_binary_frames_come_whole_and_in_order),
        CASE(transport_receive_frame_at_the_limit_comes_and_over_it_closes),
        CASE(transport_receive_text_frame_is_malformed),
        CASE(transport_receive_last_words_before_close_are_kept),
        CASE(transport_receive_close_code_try_again_later_is_closed),
        CASE(transport_step_killed_server_is_closed),
        CASE(transport_send_frames_arrive_masked_and_queued_falls_to_zero),
        CASE(transport_send_over_its_bounds_is_refused),
        CASE(transport_step_that_opens_returns_at_once),
        CASE(transport_step_wakeup_ends_the_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
