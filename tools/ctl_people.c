/* ctl_people.c - satchelctl user add, list, passwd, role, lock, unlock, remove, and audit list, verify. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "tools/ctl.h"

/* Longer than any that the server takes, so that it says so. */
#define PASSWORD_BYTES 1024

/* ---- a password: never an argument, since others see those ---- */

static int read_line(char out[PASSWORD_BYTES]) {
    if (!fgets(out, PASSWORD_BYTES, stdin)) {
        fputs("satchelctl: no password on standard input\n", stderr);
        return CTL_FAILED;
    }
    out[strcspn(out, "\r\n")] = 0;
    return CTL_DONE;
}

static int read_hidden(const char *prompt, char out[PASSWORD_BYTES]) {
    struct termios before, quiet;
    bool terminal = !tcgetattr(STDIN_FILENO, &before);
    fputs(prompt, stderr);
    if (terminal) {
        quiet = before;
        quiet.c_lflag &= ~(tcflag_t)ECHO;
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
    }
    int rc = read_line(out);
    if (terminal) tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
    fputc('\n', stderr);
    return rc;
}

/* Asked for twice on a terminal, else the first line of standard input. */
static int read_password(char out[PASSWORD_BYTES]) {
    char again[PASSWORD_BYTES];
    if (!isatty(STDIN_FILENO)) return read_line(out);
    int rc = read_hidden("Password: ", out);
    if (!rc) rc = read_hidden("Once more: ", again);
    if (!rc && strcmp(out, again) != 0) {
        fputs("satchelctl: these are two different passwords\n", stderr);
        rc = CTL_FAILED;
    }
    explicit_bzero(again, sizeof again);
    return rc;
}

/* Takes `request`; adds the password to it, or that the server is to make one. */
static int call_with_password(ctl *c, json_t *request, const char *done) {
    char password[PASSWORD_BYTES] = "";
    json_t *reply = NULL;
    int rc = CTL_DONE;
    if (ctl_value(c, "random"))
        json_object_set_new(request, "random", json_true());
    else if (!(rc = read_password(password)))
        json_object_set_new(request, "password", json_string(password));
    explicit_bzero(password, sizeof password);
    if (rc) {
        json_decref(request);
        return rc;
    }
    if ((rc = ctl_call(c, request, done, &reply))) return rc;
    const char *made = json_string_value(json_object_get(reply, "password"));
    if (c->json)
        ctl_print_json(reply);
    else if (made)
        printf("%s\n", made);
    if (!c->json) fprintf(stderr, "%s: %s\n", json_string_value(json_object_get(reply, "name")), done);
    json_decref(reply);
    return CTL_DONE;
}

/* ---- users ---- */

int ctl_user_add(ctl *c) {
    return call_with_password(
        c, json_pack("{ss ss ss*}", "command", "user.add", "name", c->word[2], "role", ctl_value(c, "role")), "may sign in now");
}

int ctl_user_passwd(ctl *c) {
    return call_with_password(c, json_pack("{ss ss}", "command", "user.passwd", "name", c->word[2]), "has another password");
}

int ctl_user_list(ctl *c) {
    static const ctl_column columns[] = {
        {"name", "NAME", CTL_TEXT},
        {"role", "ROLE", CTL_TEXT},
        {"state", "STATE", CTL_TEXT},
        {"created_ms", "CREATED", CTL_TIME},
        {"last_login_ms", "LAST IN", CTL_TIME},
        {"failures", "FAILURES", CTL_NUMBER},
    };
    return ctl_list(c, json_pack("{ss}", "command", "user.list"), "user list", "users", columns, sizeof columns / sizeof *columns,
                    "There are no users.");
}

/* Takes `request`. */
static int call_and_tell(ctl *c, json_t *request, const char *done) {
    return ctl_do(c, request, NULL, "%s %s", c->word[2], done);
}

int ctl_user_role(ctl *c) {
    return call_and_tell(c, json_pack("{ss ss ss}", "command", "user.role", "name", c->word[2], "role", c->word[3]),
                         "has another role");
}

int ctl_user_lock(ctl *c) {
    return call_and_tell(c, json_pack("{ss ss}", "command", "user.lock", "name", c->word[2]), "is locked, and signed out");
}

int ctl_user_unlock(ctl *c) {
    return call_and_tell(c, json_pack("{ss ss}", "command", "user.unlock", "name", c->word[2]), "may sign in");
}

int ctl_user_remove(ctl *c) {
    return call_and_tell(c, json_pack("{ss ss}", "command", "user.remove", "name", c->word[2]), "is removed");
}

/* ---- the audit log ---- */

/* A table's cell is one line: the subject as its JSON. */
static void print_subjects(json_t *entries) {
    json_t *entry;
    size_t i;
    json_array_foreach(entries, i, entry) {
        char *text = json_dumps(json_object_get(entry, "subject"), JSON_COMPACT | JSON_SORT_KEYS);
        json_object_set_new(entry, "subject", json_string(text ? text : ""));
        free(text);
    }
}

int ctl_audit_list(ctl *c) {
    static const ctl_column columns[] = {
        {"id", "ID", CTL_NUMBER},       {"at_ms", "TIME", CTL_TIME}, {"actor", "WHO", CTL_TEXT},       {"peer", "FROM", CTL_TEXT},
        {"action", "ACTION", CTL_TEXT}, {"code", "CODE", CTL_TEXT},  {"subject", "SUBJECT", CTL_TEXT},
    };
    long limit = 100, before = 0;
    json_t *reply;
    int rc = ctl_number(c, "limit", 1, 10000, &limit);
    if (!rc) rc = ctl_number(c, "before", 1, 999999999999999, &before);
    if (rc) return rc;
    json_t *request = json_pack("{ss sI sI}", "command", "audit.list", "limit", (json_int_t)limit, "before", (json_int_t)before);
    if ((rc = ctl_call(c, request, "audit list", &reply))) return rc;
    if (!c->json) print_subjects(json_object_get(reply, "audit"));
    ctl_listing(c, reply, "audit", columns, sizeof columns / sizeof *columns, "Nothing was done yet.");
    json_decref(reply);
    return CTL_DONE;
}

int ctl_audit_verify(ctl *c) {
    json_t *reply;
    int rc = ctl_call(c, json_pack("{ss ss* sb}", "command", "audit.verify", "head", ctl_value(c, "head"), "progress", 1),
                      "audit verify", &reply);
    if (rc) return rc;
    bool whole = json_is_null(json_object_get(reply, "wrong"));
    const char *words = json_string_value(json_object_get(reply, "words"));
    if (c->json)
        ctl_print_json(reply);
    else if (whole)
        printf("%" JSON_INTEGER_FORMAT " rows, all as they were written; the head is %" JSON_INTEGER_FORMAT ":%s\n",
               json_integer_value(json_object_get(reply, "rows")), json_integer_value(json_object_get(reply, "head")),
               json_string_value(json_object_get(reply, "hash")));
    else
        fprintf(stderr, "satchelctl: the audit log is not whole: %s\n", words ? words : "");
    json_decref(reply);
    return whole ? CTL_DONE : CTL_FAILED;
}
