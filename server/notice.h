/* notice.h - telling of alerts: by e-mail and by a webhook, from a thread of its own.
 *
 * What is to be told is what the store says (alert_untold), and that it was told is written there when the other side has taken it: so a restart neither loses a notice
 * nor tells one twice. (A server that is killed between the two tells it again; a mail has the same Message-ID then, and a webhook's body the same id.) All that is to be told at a time is
 * one mail, one request, of NOTICE_EVENTS alerts at most. What fails is tried again after NOTICE_AGAIN_MS, then after twice as long each time, up to NOTICE_SELDOM_MS; each way stands for
 * itself, and nobody waits for either.
 *
 * Mail is sent by SMTP: smtps://, or smtp:// with STARTTLS, without which nothing is sent; only to a server at a loopback address, where no authority is named, TLS is not
 * asked for. A webhook is a POST of
 *
 *   {"id": hex, "server": host, "at_ms": n, "test": bool, "events": [{"id": n, "event": "opened" | "closed", "rule", "severity", "subject": "server" | "device", "device": name or null,
 *     "words", "value", "opened_ms", "closed_ms": n or null}]}
 *
 * An alert that ended before it could be told is one event, "closed". X-Satchel-Signature: t=SECONDS,v1=HEX has the HMAC-SHA256, with the secret as key, of "SECONDS." and the body as it is. The receiver compares it, refuses what is
 * old, and answers 2xx; redirects are not followed. It is https://, or http:// to a loopback address. */
#ifndef SERVER_NOTICE_H
#define SERVER_NOTICE_H

#include "server/alert.h"
#include "server/hub.h"

#define NOTICE_EVENTS 200u
#define NOTICE_AGAIN_MS 5000u
#define NOTICE_SELDOM_MS 900000u
/* Of one try: until there is a connection, and in all. */
#define NOTICE_CONNECT_S 15
#define NOTICE_SEND_S 60
/* A try that is under way when the server ends is given so long. */
#define NOTICE_LAST_MS 3000u

typedef struct notice notice;

/* Borrowed until notice_close; NULL: not given. */
typedef struct notice_config {
    const char *smtp_url, *smtp_from, *smtp_user, *smtp_password_file;
    const char *mail_to; /* addresses with commas */
    const char *webhook, *webhook_secret_file;
    const char *ca;         /* a file of authorities in PEM that are trusted in the place of the system's */
    const char *host;       /* the name of this server */
    const char *store_path; /* read through a connection of its own */
    uint64_t (*now_ms)(void *ctx);
} notice_config;

/* Looks whether the settings will do and reads the secrets. SATCHEL_E_MISUSE, _IO with words. */
int notice_open(const notice_config *c, notice **out, buf *error);
/* Begins to tell; `h` writes down what was told. */
int notice_start(notice *n, hub *h);
/* There may be something to tell. From any thread. */
void notice_wake(notice *n);
/* Before hub_stop: what was told is still written down. */
void notice_stop(notice *n);
/* NULL is passed over, here and where the ways are asked for. */
void notice_close(notice *n);

/* Bits 1 << alert_way of those that are set. */
unsigned notice_ways(const notice *n);
typedef struct notice_state {
    bool set;
    uint64_t sent, failed;        /* mails or requests since the start */
    uint64_t last_ms, failing_ms; /* when the last one was taken, and since when they fail; 0: none was, they do not */
    unsigned failures;            /* in a row */
    char words[LIMIT_TEXT_BYTES]; /* why */
} notice_state;
void notice_get(notice *n, alert_way way, notice_state *out);
const char *notice_way_name(alert_way way);

/* Sends a notice that says that it is a test, now; returns when it was taken or not. From any thread. SATCHEL_E_NOT_FOUND: this way is not set; _NETWORK with words; _CLOSED: goes_on said no. */
int notice_test(notice *n, alert_way way, bool (*goes_on)(void *ctx), void *ctx, buf *error);

/* Appends Prometheus' metrics. */
void notice_metrics(notice *n, buf *out);

#endif
