/* log.h - one line per event on standard error, as text or as JSON, from any thread.
 *
 * Text:  2026-11-22T09:15:02.123Z warn [till-07] the message
 * JSON:  {"time":"...","level":"warn","device":"till-07","text":"the message"}
 *
 * What comes from the wire can be in a line, so control characters and broken UTF-8 are replaced: a line stays one line. Secrets never come here. */
#ifndef SERVER_LOG_H
#define SERVER_LOG_H

#include <stdint.h>

typedef enum log_format { LOG_TEXT, LOG_JSON } log_format;

/* Before the first line; text is the default. */
void log_open(log_format format);
/* `level`: 'd' debug (dropped unless log_debug), 'i' info, 'w' warning, 'e' error. `device` may be NULL. Longer than a page of text: cut. */
void log_line(char level, const char *device, const char *format, ...) __attribute__((format(printf, 3, 4)));
void log_debug(int on);
/* ISO 8601 in UTC with milliseconds, for logs and listings. */
void log_time(uint64_t ms, char out[32]);

#endif
