/* ctl.h - what the files of satchelctl share.
 *
 * Each command sends one request or more to the running server over its admin's socket (server/control.h) and prints the answer: a table for
 * people, or with --json the answer's own JSON. Exit status 0 done, 1 failed, 2 wrong usage. */
#ifndef TOOLS_CTL_H
#define TOOLS_CTL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/buf.h"

enum { CTL_DONE = 0, CTL_FAILED = 1, CTL_USAGE = 2 };

typedef struct ctl {
    const char *data, *socket; /* one of them names the server */
    bool json, all;
    long limit; /* 0: not given */
    int nword;  /* the command's words, and its arguments */
    char **word;
    int fd; /* -1 until connected */
    buf in; /* received and not yet taken */
} ctl;

/* ---- ctl_client.c ---- */

/* Connects if need be, sends, waits. On CTL_DONE *reply is the answer's object, the caller's. Otherwise the reason has been told. Takes `request`.
 * `title` stands in the waiting line of a terminal when it takes over two seconds; NULL: none (a progress bar is shown instead). */
int ctl_call(ctl *c, json_t *request, const char *title, json_t **reply);
/* The same without telling: a refusal's object is in *reply as well (CTL_FAILED with *reply set). */
int ctl_try(ctl *c, json_t *request, const char *title, json_t **reply);
void ctl_tell(const json_t *reply);
void ctl_disconnect(ctl *c);

/* ---- ctl_table.c ---- */

typedef enum ctl_kind { CTL_TEXT, CTL_NUMBER, CTL_TIME, CTL_MILLISECONDS } ctl_kind;
typedef struct ctl_column {
    const char *member, *heading;
    ctl_kind kind;
} ctl_column;
/* One line a row under a line of headings; the widest cell makes the column. Control characters are shown as '?'. */
void ctl_table(const json_t *array, const ctl_column *column, size_t n);
/* "heading   value" lines of one object. */
void ctl_record(const json_t *object, const ctl_column *column, size_t n);
/* Compact JSON and a line end. */
void ctl_print_json(const json_t *value);

/* A bar on a terminal's standard error for work that takes over two seconds. */
typedef struct ctl_bar {
    const char *title;
    uint64_t began_ms;
    bool shown;
} ctl_bar;
void ctl_bar_begin(ctl_bar *b, const char *title);
/* `done` of `total` (0: unknown); `words` may be NULL. */
void ctl_bar_show(ctl_bar *b, uint64_t done, uint64_t total, const char *words);
void ctl_bar_end(ctl_bar *b);
uint64_t ctl_now_ms(void);

/* ---- the commands ---- */

int ctl_device_add(ctl *c);
int ctl_device_list(ctl *c);
int ctl_device_show(ctl *c);
int ctl_device_revoke(ctl *c);
int ctl_conflicts(ctl *c);
int ctl_rejected(ctl *c);
int ctl_rejected_discard(ctl *c);
int ctl_verify(ctl *c);
int ctl_digest(ctl *c);
int ctl_status(ctl *c);
int ctl_sql(ctl *c);

#endif
