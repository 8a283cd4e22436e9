/* Mail and webhooks on the wire, through libcurl. */
#include <curl/curl.h>
#include <sodium/crypto_auth_hmacsha256.h> /* and not sodium.h: it has a crypto_hash of its own */
#include <sodium/utils.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "protocol/satchel_rc.h"
#include "server/notice_private.h"

/* An answer is not looked at; one that is longer is not waited for. */
#define ANSWER_BYTES (64u << 10)
#define LINE_BASE64 76u
#define ADDRESS_BYTES 320u

/* ---- where to ---- */

static bool is_loopback(const char *host) {
    return !strcasecmp(host, "localhost") || !strncmp(host, "127.", 4) || !strcmp(host, "::1") || !strcmp(host, "[::1]");
}

/* Scheme and host; false: it is no URL. */
static bool take_apart(const char *url, char scheme[16], bool *loopback) {
    char *part = NULL;
    CURLU *u = curl_url();
    bool ok = u && !curl_url_set(u, CURLUPART_URL, url, 0) && !curl_url_get(u, CURLUPART_SCHEME, &part, 0);
    if (ok) snprintf(scheme, 16, "%s", part);
    curl_free(part);
    part = NULL;
    ok = ok && !curl_url_get(u, CURLUPART_HOST, &part, 0);
    *loopback = ok && is_loopback(part);
    curl_free(part);
    curl_url_cleanup(u);
    return ok;
}

int notice_check_url(const char *url, alert_way way, buf *error) {
    char scheme[16] = "";
    bool loopback = false, is = take_apart(url, scheme, &loopback);
    if (way == ALERT_MAIL) {
        if (is && (!strcmp(scheme, "smtp") || !strcmp(scheme, "smtps"))) return SATCHEL_OK;
        buf_printf(error, "smtp-url: is smtp://HOST:PORT or smtps://HOST:PORT, not \"%s\"", url);
    } else {
        if (is && (!strcmp(scheme, "https") || (!strcmp(scheme, "http") && loopback))) return SATCHEL_OK;
        buf_printf(error, "alert-webhook: is https://..., or http:// to this machine, not \"%s\"", url);
    }
    return SATCHEL_E_MISUSE;
}

/* ---- what both share ---- */

typedef struct sending {
    CURL *curl;
    const notice_patience *patience;
    const buf *body; /* of a mail: what is read from here */
    size_t sent, answered;
    char why[CURL_ERROR_SIZE];
} sending;

static int on_progress(void *ctx, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d) {
    const sending *s = ctx;
    (void)a, (void)b, (void)c, (void)d;
    return s->patience->goes_on(s->patience->ctx) ? 0 : 1;
}

static size_t on_answer(char *p, size_t size, size_t n, void *ctx) {
    sending *s = ctx;
    (void)p;
    s->answered += size * n;
    return s->answered > ANSWER_BYTES ? 0 : size * n;
}

static int begin(sending *s, const notice_config *c, const char *url, const notice_patience *patience) {
    char scheme[16] = "";
    bool loopback = false;
    *s = (sending){.curl = curl_easy_init(), .patience = patience};
    if (!s->curl) return SATCHEL_E_NOMEM;
    take_apart(url, scheme, &loopback);
    CURLcode rc = curl_easy_setopt(s->curl, CURLOPT_URL, url);
    if (!rc) rc = curl_easy_setopt(s->curl, CURLOPT_PROTOCOLS_STR, scheme);
    if (!rc && c->ca) rc = curl_easy_setopt(s->curl, CURLOPT_CAINFO, c->ca);
    if (!rc && c->ca) rc = curl_easy_setopt(s->curl, CURLOPT_CAPATH, NULL);
    if (!rc && loopback) rc = curl_easy_setopt(s->curl, CURLOPT_NOPROXY, "*");
    bool plain = loopback && !c->ca && !strcmp(scheme, "smtp");
    curl_easy_setopt(s->curl, CURLOPT_USE_SSL, plain ? (long)CURLUSESSL_NONE : (long)CURLUSESSL_ALL);
    curl_easy_setopt(s->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(s->curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(s->curl, CURLOPT_CONNECTTIMEOUT, (long)NOTICE_CONNECT_S);
    curl_easy_setopt(s->curl, CURLOPT_TIMEOUT, (long)NOTICE_SEND_S);
    curl_easy_setopt(s->curl, CURLOPT_ERRORBUFFER, s->why);
    curl_easy_setopt(s->curl, CURLOPT_WRITEFUNCTION, on_answer);
    curl_easy_setopt(s->curl, CURLOPT_WRITEDATA, s);
    curl_easy_setopt(s->curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(s->curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(s->curl, CURLOPT_XFERINFODATA, s);
    return rc ? SATCHEL_E_NOMEM : SATCHEL_OK;
}

static int add(struct curl_slist **list, const char *text) {
    struct curl_slist *longer = curl_slist_append(*list, text);
    if (longer) *list = longer;
    return longer ? SATCHEL_OK : SATCHEL_E_NOMEM;
}

/* `what` names the other side, without its path: that may be a secret. */
static int perform(sending *s, const char *what, buf *error) {
    CURLcode rc = curl_easy_perform(s->curl);
    long status = 0;
    curl_easy_getinfo(s->curl, CURLINFO_RESPONSE_CODE, &status);
    if (rc == CURLE_OK) return SATCHEL_OK;
    if (rc == CURLE_ABORTED_BY_CALLBACK) return SATCHEL_E_CLOSED;
    if (rc == CURLE_OUT_OF_MEMORY) return SATCHEL_E_NOMEM;
    s->why[strcspn(s->why, "\r\n")] = 0;
    buf_printf(error, "%s: %s", what, *s->why ? s->why : curl_easy_strerror(rc));
    if (status >= 400) buf_printf(error, " (it answered %ld)", status);
    return SATCHEL_E_NETWORK;
}

/* ---- mail ---- */

static size_t on_read(char *out, size_t size, size_t n, void *ctx) {
    sending *s = ctx;
    size_t room = size * n, left = s->body->n - s->sent;
    if (left > room) left = room;
    memcpy(out, s->body->p + s->sent, left);
    s->sent += left;
    return left;
}

static int add_recipients(const char *list, struct curl_slist **out) {
    char address[ADDRESS_BYTES];
    for (const char *p = list; *p;) {
        p += strspn(p, ", \t");
        size_t n = strcspn(p, ", \t");
        if (n && n < sizeof address - 2) {
            snprintf(address, sizeof address, "<%.*s>", (int)n, p);
            int rc = add(out, address);
            if (rc) return rc;
        }
        p += n;
    }
    return SATCHEL_OK;
}

/* As RFC 5322 has it; the words are in base64, whatever their letters are. */
static int put_message(const notice_config *c, const char *id, const char *subject, const buf *text, buf *out) {
    static const char *const DAY[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"}, *const MONTH[] = {"Jan", "Feb", "Mar",
                                                                                                          "Apr", "May", "Jun",
                                                                                                          "Jul", "Aug", "Sep",
                                                                                                          "Oct", "Nov", "Dec"};
    time_t now = (time_t)(c->now_ms(NULL) / 1000);
    struct tm tm = {0};
    buf words;
    buf_init(&words, 0);
    gmtime_r(&now, &tm);
    crypto_base64(text->p, text->n, &words);
    buf_printf(out, "Date: %s, %d %s %d %02d:%02d:%02d +0000\r\n", DAY[tm.tm_wday], tm.tm_mday, MONTH[tm.tm_mon],
               tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
    buf_printf(out, "From: Satchel <%s>\r\nTo: %s\r\nSubject: %s\r\nMessage-ID: <%s@%s>\r\n", c->smtp_from, c->mail_to, subject,
               id, c->host);
    buf_printf(out, "Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
                    "Content-Transfer-Encoding: base64\r\n\r\n");
    for (size_t at = 0; at < words.n; at += LINE_BASE64) {
        size_t n = words.n - at < LINE_BASE64 ? words.n - at : LINE_BASE64;
        buf_put(out, words.p + at, n);
        buf_put(out, "\r\n", 2);
    }
    int rc = words.rc ? words.rc : out->rc;
    buf_fini(&words);
    return rc;
}

int notice_send_mail(const notice_config *c, const char *password, const char *id, const char *subject, const buf *text,
                     const notice_patience *patience, buf *error) {
    sending s;
    char from[ADDRESS_BYTES];
    struct curl_slist *to = NULL;
    buf message;
    buf_init(&message, 0);
    int rc = begin(&s, c, c->smtp_url, patience);
    if (!rc) rc = put_message(c, id, subject, text, &message);
    if (!rc) rc = add_recipients(c->mail_to, &to);
    if (rc) goto out;
    snprintf(from, sizeof from, "<%s>", c->smtp_from);
    s.body = &message;
    CURLcode set = curl_easy_setopt(s.curl, CURLOPT_MAIL_FROM, from);
    if (!set) set = curl_easy_setopt(s.curl, CURLOPT_MAIL_RCPT, to);
    /* One address that is none any more does not keep it from the others. */
    if (!set) set = curl_easy_setopt(s.curl, CURLOPT_MAIL_RCPT_ALLLOWFAILS, 1L);
    if (!set && c->smtp_user) set = curl_easy_setopt(s.curl, CURLOPT_USERNAME, c->smtp_user);
    if (!set && password) set = curl_easy_setopt(s.curl, CURLOPT_PASSWORD, password);
    curl_easy_setopt(s.curl, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(s.curl, CURLOPT_READFUNCTION, on_read);
    curl_easy_setopt(s.curl, CURLOPT_READDATA, &s);
    rc = set ? SATCHEL_E_NOMEM : perform(&s, "the mail server", error);
out:
    curl_slist_free_all(to);
    if (s.curl) curl_easy_cleanup(s.curl);
    buf_fini(&message);
    return rc;
}

/* ---- webhook ---- */

static void put_signature(const buf *secret, const buf *body, uint64_t now_s, char *out, size_t room) {
    char at[24], hex[2 * crypto_auth_hmacsha256_BYTES + 1];
    unsigned char mac[crypto_auth_hmacsha256_BYTES];
    crypto_auth_hmacsha256_state state;
    int n = snprintf(at, sizeof at, "%llu.", (unsigned long long)now_s);
    crypto_auth_hmacsha256_init(&state, secret->p, secret->n);
    crypto_auth_hmacsha256_update(&state, (const unsigned char *)at, (unsigned long long)n);
    crypto_auth_hmacsha256_update(&state, body->p, body->n);
    crypto_auth_hmacsha256_final(&state, mac);
    sodium_memzero(&state, sizeof state);
    sodium_bin2hex(hex, sizeof hex, mac, sizeof mac);
    snprintf(out, room, "X-Satchel-Signature: t=%llu,v1=%s", (unsigned long long)now_s, hex);
}

int notice_send_webhook(const notice_config *c, const buf *secret, const buf *body, const notice_patience *patience, buf *error) {
    static const char *const fixed[] = {"Content-Type: application/json", "Expect:"};
    char signature[160];
    struct curl_slist *headers = NULL;
    sending s;
    long status = 0;
    int rc = begin(&s, c, c->webhook, patience);
    if (rc) goto out;
    put_signature(secret, body, c->now_ms(NULL) / 1000, signature, sizeof signature);
    rc = add(&headers, signature);
    for (size_t i = 0; !rc && i < sizeof fixed / sizeof *fixed; i++) rc = add(&headers, fixed[i]);
    if (rc) goto out;
    CURLcode set = curl_easy_setopt(s.curl, CURLOPT_HTTPHEADER, headers);
    if (!set) set = curl_easy_setopt(s.curl, CURLOPT_USERAGENT, "satcheld/" SATCHEL_VERSION);
    if (!set) set = curl_easy_setopt(s.curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body->n);
    if (!set) set = curl_easy_setopt(s.curl, CURLOPT_POSTFIELDS, (const char *)body->p);
    rc = set ? SATCHEL_E_NOMEM : perform(&s, "the webhook's receiver", error);
    if (rc) goto out;
    curl_easy_getinfo(s.curl, CURLINFO_RESPONSE_CODE, &status);
    if (status < 200 || status > 299) {
        buf_printf(error, "the webhook's receiver answered %ld%s", status,
                   status / 100 == 3 ? "; redirects are not followed" : "");
        rc = SATCHEL_E_NETWORK;
    }
out:
    curl_slist_free_all(headers);
    if (s.curl) curl_easy_cleanup(s.curl);
    return rc;
}
