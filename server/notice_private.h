/* notice_private.h - between notice.c, who is told what and when, and notice_send.c, which sends; foreign headers: libcurl in the latter alone. */
#ifndef SERVER_NOTICE_PRIVATE_H
#define SERVER_NOTICE_PRIVATE_H

#include "server/notice.h"

/* Asked about once a second while something is sent; false: end. */
typedef struct notice_patience {
    bool (*goes_on)(void *ctx);
    void *ctx;
} notice_patience;

/* SATCHEL_E_MISUSE with words: it is no URL of mail or webhook that may be used. */
int notice_check_url(const char *url, alert_way way, buf *error);
/* SATCHEL_E_NETWORK with words, _CLOSED (patience), _NOMEM. `id` is the Message-ID's left part; `text` lines that end in \n. */
int notice_send_mail(const notice_config *c, const char *password, const char *id, const char *subject, const buf *text,
                     const notice_patience *patience, buf *error);
/* Likewise. `secret` is the key. */
int notice_send_webhook(const notice_config *c, const buf *secret, const buf *body, const notice_patience *patience, buf *error);

#endif
