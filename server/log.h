/* log.h - one line per event on standard error, as text or as JSON, from any thread.
 *
 * Text:  2026-11-22T09:15:02.123Z warn the amount is below zero event=refused device=till-07 txn=12 reason=E_CHECK
 * JSON:  {"time":"...","level":"warn","event":"refused","device":"till-07","txn":12,"reason":"E_CHECK","text":"the amount is below zero"}
 *
 * What comes from the wire can be in a line, so control characters and broken UTF-8 are replaced: a line stays one line. In text the words could
 * look like fields; a program reads JSON. Secrets never come here.
 *
 * The events are
 *   refused      a transaction of a device, with its number and the reason, or of a program, with the name of its token
 *   forked       a device's file was restored or cloned
 *   checksum     rows of a device, or of the store, are not what they should be: table, range of keys, and what is done about it
 *   clamped      a device's clock is ahead; txn is the first whose stamp was cut
 *   closed       the server ended a device's connection, with the reason
 *   enrolled, enrol-refused, certificate-refused, token-refused
 *   limited      a device, or an address, that takes more than its share (front_share.c), and how often so far
 *   tls-refused, silent   a handshake that failed, and why; a connection that ended and had asked for nothing
 *   notice       mail or webhook of alerts are not taken, or are again
 *   admin        a command of the admin was done, or failed
 *   login, login-refused   somebody signed in to the console, or could not
 *   http-error   an answer of 500 or above
 *   http-refused a request for what is not there, too large, too often, too slow, or an enrolment that is none
 *   store, certificates, config, connections: states of the server's own
 *
 * A flood is bounded: of one event of one device (or peer) LOG_BURST lines in LOG_WINDOW_S seconds are written, and how many were left out is told
 * when the window is over. */
#ifndef SERVER_LOG_H
#define SERVER_LOG_H

#include <stdint.h>

#define LOG_BURST 50
#define LOG_WINDOW_S 10

typedef enum log_format { LOG_TEXT, LOG_JSON } log_format;
typedef enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG } log_level;

typedef struct log_fields {
    char level;        /* 'd' debug, 'i' info, 'w' warning, 'e' error */
    const char *event; /* a name of the list above; static. NULL: none, and no bound on a flood */
    const char *device;
    const char *peer; /* an address */
    uint64_t txn;     /* 0: none */
    int rc;           /* the reason, by its name; 0: none */
} log_fields;

/* What is written from now on; text and info at first. */
void log_open(log_format format, log_level level);
/* Words longer than a page of text are cut. */
void log_event(const log_fields *f, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A line with no other field than, perhaps, a device. */
void log_line(char level, const char *device, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Tells what was left out so far, without waiting for the window's end. */
void log_flush(void);
/* ISO 8601 in UTC with milliseconds, for logs and listings. */
void log_time(uint64_t ms, char out[32]);

#endif
