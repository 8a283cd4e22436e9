/* ctl.h - what the files of satchelctl share; satchel-load uses the client and the bar.
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

/* An option of one command: satchelctl.c has a list of them beside the command, ended by one without a name. `argument` names what it takes
 * for --help; NULL: it takes none. */
typedef struct ctl_option {
    const char *name, *argument, *help;
} ctl_option;

typedef struct ctl_given {
    const char *option, *value; /* "" where the option takes none */
} ctl_given;

/* Options of a command that may be given, repeated ones counted. */
#define CTL_GIVEN_MAX 64

typedef struct ctl {
    const char *data, *socket; /* one of them names the server */
    bool json;
    size_t ngiven; /* the command's options, in the order in which they were given */
    ctl_given given[CTL_GIVEN_MAX];
    int nword; /* the command's words, and its arguments */
    char **word;
    int fd; /* -1 until connected */
    buf in; /* received and not yet taken */
} ctl;

/* ---- satchelctl.c: the options of the command ---- */

/* What was given with --option, the last if repeated; "" for one without an argument; NULL: it was not given. */
const char *ctl_value(const ctl *c, const char *option);
/* The one with index `at` of a repeated option, or NULL. */
const char *ctl_value_at(const ctl *c, const char *option, size_t at);
/* A number into *out, which keeps its value if the option was not given. CTL_USAGE after telling what it has to be. */
int ctl_number(const ctl *c, const char *option, long least, long most, long *out);
/* An operand as the number of `what`, from 1 on; 0 after telling. */
json_int_t ctl_id(const char *word, const char *what);
/* All operands from the third on as an array of such numbers, the caller's; NULL after telling. */
json_t *ctl_ids(const ctl *c, const char *what);

/* ---- ctl_client.c ---- */

/* Connects if need be, sends, waits. On CTL_DONE *reply is the answer's object, the caller's. Otherwise the reason has been told. Takes `request`.
 * `title` stands in the waiting line of a terminal when it takes over two seconds; NULL: none (a progress bar is shown instead). */
int ctl_call(ctl *c, json_t *request, const char *title, json_t **reply);
/* ctl_call, and then the answer: as JSON, or for people as `print` has it, or as the line that `format` makes. */
int ctl_show(ctl *c, json_t *request, const char *title, void (*print)(const json_t *reply));
int ctl_do(ctl *c, json_t *request, const char *title, const char *format, ...) __attribute__((format(printf, 4, 5)));
/* ctl_call without telling: a refusal's object is in *reply as well (CTL_FAILED with *reply set). */
int ctl_try(ctl *c, json_t *request, const char *title, json_t **reply);
/* The same in halves, for requests that are made elsewhere: a request, one line without its end; and the server's next line, be it an answer or one
 * that comes before (it has no "ok"). */
int ctl_send(ctl *c, const void *request, size_t n);
int ctl_receive(ctl *c, json_t **line);
void ctl_tell(const json_t *reply);
void ctl_disconnect(ctl *c);

/* ---- ctl_table.c ---- */

typedef enum ctl_kind { CTL_TEXT, CTL_WORDS, CTL_NUMBER, CTL_REAL, CTL_TIME, CTL_MILLISECONDS } ctl_kind; /* words are not cut */
typedef struct ctl_column {
    const char *member, *heading;
    ctl_kind kind;
} ctl_column;
/* One line a row under a line of headings; the widest cell makes the column. Control characters are shown as '?'. */
void ctl_table(const json_t *array, const ctl_column *column, size_t n);
/* A listing's array as a table, or JSON, and for people that there is more of it; `none` if there is nothing (NULL: the headings). */
void ctl_listing(const ctl *c, const json_t *reply, const char *member, const ctl_column *column, size_t n, const char *none);
/* ctl_call, and then the answer so. */
int ctl_list(ctl *c, json_t *request, const char *title, const char *member, const ctl_column *column, size_t n,
             const char *none);
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

/* ---- ctl_qr.c ---- */

/* An enrolment code as a QR code: drawn on standard error if `draw`, and into the new file `svg` unless it is NULL. CTL_FAILED after telling. */
int ctl_qr(const char *code, bool draw, const char *svg);

/* ---- ctl_scope.c ---- */

/* A request with the text of the file that is the operand (standard input for "-") and its name without folders, which stands before the line in what the
 * server says of it. CTL_FAILED after telling. */
int ctl_rules(const ctl *c, const char *command, json_t **request);

/* ---- the commands ---- */

int ctl_alert_list(ctl *c);
int ctl_alert_ack(ctl *c);
int ctl_alert_silence(ctl *c);
int ctl_alert_unsilence(ctl *c);
int ctl_alert_rules(ctl *c);
int ctl_alert_set(ctl *c);
int ctl_alert_on(ctl *c);
int ctl_alert_off(ctl *c);
int ctl_alert_test(ctl *c);
int ctl_automation_list(ctl *c);
int ctl_automation_show(ctl *c);
int ctl_automation_on(ctl *c);
int ctl_automation_off(ctl *c);
int ctl_automation_try(ctl *c);
int ctl_automation_run(ctl *c);
int ctl_automation_replay(ctl *c);
int ctl_automation_dismiss(ctl *c);
int ctl_automation_history(ctl *c);
int ctl_automation_publish(ctl *c);

int ctl_ca_status(ctl *c);
int ctl_ca_rotate(ctl *c);
int ctl_ca_retire(ctl *c);
int ctl_device_add(ctl *c);
int ctl_device_list(ctl *c);
int ctl_device_show(ctl *c);
int ctl_device_rename(ctl *c);
int ctl_device_set(ctl *c);
int ctl_device_pause(ctl *c);
int ctl_device_resume(ctl *c);
int ctl_device_revoke(ctl *c);
int ctl_device_wipe(ctl *c);
int ctl_device_remove(ctl *c);
int ctl_device_sync(ctl *c);
int ctl_device_resnapshot(ctl *c);
int ctl_device_verify(ctl *c);
int ctl_device_rotate_key(ctl *c);
int ctl_user_add(ctl *c);
int ctl_user_list(ctl *c);
int ctl_user_passwd(ctl *c);
int ctl_user_role(ctl *c);
int ctl_user_lock(ctl *c);
int ctl_user_unlock(ctl *c);
int ctl_user_remove(ctl *c);
int ctl_audit_list(ctl *c);
int ctl_audit_verify(ctl *c);
int ctl_token_add(ctl *c);
int ctl_token_list(ctl *c);
int ctl_token_revoke(ctl *c);
int ctl_conflict_list(ctl *c);
int ctl_conflict_show(ctl *c);
int ctl_conflict_accept(ctl *c);
int ctl_conflict_restore(ctl *c);
int ctl_rejected(ctl *c);
int ctl_rejected_show(ctl *c);
int ctl_rejected_retry(ctl *c);
int ctl_rejected_edit(ctl *c);
int ctl_rejected_discard(ctl *c);
int ctl_rollout_start(ctl *c);
int ctl_rollout_advance(ctl *c);
int ctl_rollout_finish(ctl *c);
int ctl_rollout_abort(ctl *c);
int ctl_rollout_show(ctl *c);
int ctl_scope_show(ctl *c);
int ctl_scope_publish(ctl *c);
int ctl_scope_dry_run(ctl *c);
int ctl_scope_explain(ctl *c);
int ctl_scope_grant(ctl *c);
int ctl_scope_grants(ctl *c);
int ctl_scope_revoke(ctl *c);
int ctl_verify(ctl *c);
int ctl_digest(ctl *c);
int ctl_status(ctl *c);
int ctl_sql(ctl *c);
int ctl_import(ctl *c);
int ctl_export(ctl *c);
int ctl_backup(ctl *c);
int ctl_backup_drill(ctl *c);
int ctl_restore(ctl *c);

#endif
