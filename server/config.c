#include "server/config.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/version.h"

typedef enum kind { TEXT, NUMBER, CHOICE, VERSION } kind;

typedef struct setting {
    const char *name, *argument;
    const char *initial; /* as it would be written; NULL: none */
    kind kind;
    size_t offset;       /* in config: char * of a TEXT, unsigned of the others */
    unsigned low, high;  /* of a NUMBER */
    const char *choices; /* of a CHOICE, in the order of its enum: "text|json" */
    bool reloads;
    const char *help;
} setting;

#define AT(member) .offset = offsetof(config, member)

static const setting settings[] = {
    {"data", "DIR", NULL, TEXT, AT(data), .help = "the data directory: store, keys, certificates, admin's socket"},
    {"schema", "DIR", NULL, TEXT, AT(schema),
     .help = "numbered migrations NNN_name.sql; the CRM that comes with Satchel if not given"},
    {"console-dir", "DIR", NULL, TEXT, AT(console_dir),
     .help = "the files of the console's page; those that come with Satchel if not given"},
    {"listen", "ADDR", "127.0.0.1", TEXT, AT(listen), .help = "address to listen on; 0.0.0.0 or :: for all"},
    {"sync-port", "N", "7443", NUMBER, AT(sync_port), .high = 65535, .help = "where devices sync, mutual TLS; 0 picks one"},
    {"https-port", "N", "8443", NUMBER, AT(https_port), .high = 65535, .help = "enrolment, health, metrics, API; 0 picks one"},
    {"host", "NAMES", NULL, TEXT, AT(host),
     .help = "names and addresses of this server, comma-separated; devices are told the first"},
    {"https-cert", "FILE", NULL, TEXT, AT(https_cert),
     .help = "a certificate of your own for the HTTPS port, with its chain, in PEM"},
    {"https-key", "FILE", NULL, TEXT, AT(https_key), .help = "the key of https-cert, in PEM"},
    {"certificate-days", "N", "365", NUMBER, AT(certificate_days), .low = 1, .high = 3650,
     .help = "how long a device's certificate holds; devices renew theirs when two thirds are over"},
    {"history-days", "N", "30", NUMBER, AT(history_days), .low = 1, .high = 36500, .help = "how long changes are kept at least"},
    {"horizon-days", "N", "30", NUMBER, AT(horizon_days), .low = 1, .high = 36500,
     .help =
         "a device unseen for so long is waited for no more: it sends what it has and gets a snapshot; profiles may say otherwise"},
    {"min-version", "X.Y.Z", NULL, VERSION, AT(min_version), .reloads = true,
     .help = "devices with an older version of Satchel are told to update, and keep what they have not sent"},
    {"devices-per-user", "N", "0", NUMBER, AT(devices_per_user), .high = 100000, .reloads = true,
     .help = "how many devices a user may have, open enrolment codes among them; 0: without bound"},
    {"disk-reserve-mib", "N", "64", NUMBER, AT(disk_reserve_mib), .high = 1048576,
     .help = "with less free on the disk no changes are taken"},
    {"readers", "N", "2", NUMBER, AT(readers), .low = 1, .high = 64, .help = "threads that serve pulls"},
    {"drain-seconds", "N", "5", NUMBER, AT(drain_seconds), .low = 1, .high = 3600,
     .help = "how long clients get at the end to take what is due to them"},
    {"device-connects", "N", "120", NUMBER, AT(device_connects), .high = 1000000,
     .help = "how often a device may connect in a minute; 0: without bound"},
    {"device-kib", "N", "4096", NUMBER, AT(device_kib), .high = 4194304,
     .help = "KiB a second that a device may send for long, and four times as many that it may be sent; 0: without bound"},
    {"address-connects", "N", "6000", NUMBER, AT(address_connects), .high = 1000000,
     .help = "connections that are no device's, of an address in a minute; 0: without bound"},
    {"alert-mail", "ADDRESSES", NULL, TEXT, AT(alert_mail), .help = "who is told of alerts by mail, comma-separated"},
    {"smtp-url", "URL", NULL, TEXT, AT(smtp_url), .help = "the mail server, smtp://HOST:587 (with STARTTLS) or smtps://HOST:465"},
    {"smtp-from", "ADDRESS", NULL, TEXT, AT(smtp_from), .help = "whom mail about alerts is from"},
    {"smtp-user", "NAME", NULL, TEXT, AT(smtp_user), .help = "the mail server's user, if it asks for one"},
    {"smtp-password-file", "FILE", NULL, TEXT, AT(smtp_password_file), .help = "a file with that user's password"},
    {"alert-webhook", "URL", NULL, TEXT, AT(alert_webhook), .help = "what is told of alerts by signed POSTs, https://..."},
    {"alert-webhook-secret-file", "FILE", NULL, TEXT, AT(alert_webhook_secret_file),
     .help = "a file with the key that they are signed with"},
    {"alert-ca", "FILE", NULL, TEXT, AT(alert_ca),
     .help = "authorities in PEM that mail server and webhook are known by; the system's if not given"},
    {"log-format", "FORMAT", "text", CHOICE, AT(log_format), .choices = "text|json", .reloads = true,
     .help = "text or json, on standard error"},
    {"log-level", "LEVEL", "info", CHOICE, AT(log_level), .choices = "error|warn|info|debug", .reloads = true,
     .help = "error, warn, info or debug"},
};
#define SETTINGS (sizeof settings / sizeof *settings)

static const struct {
    const char *name, *argument, *help;
} actions[] = {
    {"config", "FILE", "settings as lines \"name = value\"; flags override them"},
    {"check", NULL, "say whether the settings and the data directory will do, and end"},
    {"print-config", NULL, "print all settings as they would be, as a file, and end"},
    {"restored", NULL, "the store was restored from a backup: begin a new epoch (once, not on every start)"},
    {"verbose", NULL, "--log-level debug"},
    {"help", NULL, "print this, and end"},
    {"version", NULL, "print the version, and end"},
};
enum { ACT_CONFIG, ACT_CHECK, ACT_PRINT, ACT_RESTORED, ACT_VERBOSE, ACT_HELP, ACT_VERSION, ACTIONS };

bool config_setting_at(size_t i, const char **name, const char **initial) {
    if (i >= SETTINGS) return false;
    *name = settings[i].name;
    *initial = settings[i].initial;
    return true;
}

static const setting *find_setting(const char *name) {
    for (size_t i = 0; i < SETTINGS; i++)
        if (!strcmp(settings[i].name, name)) return &settings[i];
    return NULL;
}

/* ---- one value ---- */

static char **text_at(const config *c, const setting *s) {
    return (char **)(void *)((char *)c + s->offset);
}

static unsigned *number_at(const config *c, const setting *s) {
    return (unsigned *)(void *)((char *)c + s->offset);
}

static int put_text(char **at, const char *text) {
    char *copy = strdup(text);
    if (!copy) return SATCHEL_E_NOMEM;
    free(*at);
    *at = copy;
    return SATCHEL_OK;
}

static bool take_number(const setting *s, const char *text, unsigned *out) {
    char *end;
    errno = 0;
    unsigned long n = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno || n < s->low || n > s->high) return false;
    *out = (unsigned)n;
    return true;
}

/* The i-th of "text|json"; NULL after the last one. */
static const char *choice_at(const setting *s, unsigned i, size_t *n) {
    const char *p = s->choices;
    for (; p && i; i--) p = strchr(p, '|') ? strchr(p, '|') + 1 : NULL;
    if (p) *n = strcspn(p, "|");
    return p;
}

static bool take_choice(const setting *s, const char *text, unsigned *out) {
    size_t n;
    const char *p;
    for (unsigned i = 0; (p = choice_at(s, i, &n)); i++) {
        if (strlen(text) != n || memcmp(p, text, n)) continue;
        *out = i;
        return true;
    }
    return false;
}

static bool take_version(const char *text, unsigned *out) {
    *out = version_parse(text, strlen(text));
    return *out != 0;
}

/* Says what the setting takes after `where`, which ends in its name. */
static int put_value(config *c, const setting *s, const char *text, const char *where, buf *error) {
    if (!*text) {
        buf_printf(error, "%s needs a value", where);
        return SATCHEL_E_MISUSE;
    }
    if (s->kind == TEXT) return put_text(text_at(c, s), text);
    unsigned *number = number_at(c, s);
    if (s->kind == NUMBER    ? take_number(s, text, number)
        : s->kind == VERSION ? take_version(text, number)
                             : take_choice(s, text, number))
        return SATCHEL_OK;
    if (s->kind == VERSION)
        buf_printf(error, "%s takes a version such as 0.1.0, not \"%s\"", where, text);
    else if (s->kind == NUMBER)
        buf_printf(error, "%s takes a number from %u to %u, not \"%s\"", where, s->low, s->high, text);
    else
        buf_printf(error, "%s takes one of %s, not \"%s\"", where, s->choices, text);
    return SATCHEL_E_MISUSE;
}

static int put_defaults(config *c, buf *error) {
    int rc = SATCHEL_OK;
    for (size_t i = 0; !rc && i < SETTINGS; i++)
        if (settings[i].initial) rc = put_value(c, &settings[i], settings[i].initial, settings[i].name, error);
    return rc;
}

/* ---- the file ---- */

static int read_file(const char *path, char **out, size_t *n, buf *error) {
    FILE *f = fopen(path, "re");
    *out = f ? malloc(CONFIG_FILE_BYTES + 1) : NULL;
    *n = *out ? fread(*out, 1, CONFIG_FILE_BYTES + 1, f) : 0;
    int rc = !f || (*out && ferror(f)) ? SATCHEL_E_IO : *out ? SATCHEL_OK : SATCHEL_E_NOMEM;
    if (rc == SATCHEL_E_IO) buf_printf(error, "%s: cannot be read: %s", path, strerror(errno));
    if (!rc && *n > CONFIG_FILE_BYTES) {
        buf_printf(error, "%s: a file of settings has %d bytes at most", path, CONFIG_FILE_BYTES);
        rc = SATCHEL_E_MALFORMED;
    }
    if (f) fclose(f);
    if (!rc) (*out)[*n] = 0;
    return rc;
}

/* Cuts the blanks at both ends, in place. */
static char *trim(char *text) {
    text += strspn(text, " \t\r");
    size_t n = strlen(text);
    while (n && strchr(" \t\r", text[n - 1])) n--;
    text[n] = 0;
    return text;
}

static void cut_comment(char *line) {
    for (char *p = line; (p = strchr(p, '#')); p++) {
        if (p != line && p[-1] != ' ' && p[-1] != '\t') continue;
        *p = 0;
        return;
    }
}

/* `seen`: by setting, the line that has it. */
static int take_line(config *c, const char *path, unsigned number, char *line, unsigned seen[SETTINGS], buf *error) {
    cut_comment(line);
    char *name = trim(line), *equals = strchr(name, '='), where[512];
    if (!*name) return SATCHEL_OK;
    if (!equals) {
        buf_printf(error, "%s:%u: a line is \"name = value\", not \"%s\"", path, number, name);
        return SATCHEL_E_MALFORMED;
    }
    *equals = 0;
    name = trim(name);
    const setting *s = find_setting(name);
    if (!s) {
        buf_printf(error, "%s:%u: there is no setting \"%s\"", path, number, name);
        return SATCHEL_E_MALFORMED;
    }
    unsigned *before = &seen[s - settings];
    if (*before) {
        buf_printf(error, "%s:%u: %s was set in line %u already", path, number, name, *before);
        return SATCHEL_E_MALFORMED;
    }
    *before = number;
    snprintf(where, sizeof where, "%s:%u: %s", path, number, name);
    int rc = put_value(c, s, trim(equals + 1), where, error);
    return rc == SATCHEL_E_MISUSE ? SATCHEL_E_MALFORMED : rc;
}

static int take_file(config *c, const char *path, buf *error) {
    char *text = NULL;
    unsigned seen[SETTINGS] = {0};
    size_t n;
    int rc = read_file(path, &text, &n, error);
    if (!rc && strlen(text) != n) {
        buf_printf(error, "%s: this is not a text file", path);
        rc = SATCHEL_E_MALFORMED;
    }
    unsigned number = 1;
    for (char *line = text, *next; !rc && line; line = next, number++) {
        next = strchr(line, '\n');
        if (next) *next++ = 0;
        rc = take_line(c, path, number, line, seen, error);
    }
    free(text);
    return rc;
}

/* ---- the flags ---- */

typedef struct flags {
    const char *value[SETTINGS]; /* the last one given */
    const char *file;
    bool restored;
    config_action action;
} flags;

static void take_action(flags *f, int which, const char *value) {
    static const config_action ends[ACTIONS] = {
        [ACT_CHECK] = CONFIG_CHECK, [ACT_PRINT] = CONFIG_PRINT, [ACT_HELP] = CONFIG_HELP, [ACT_VERSION] = CONFIG_VERSION};
    if (which == ACT_CONFIG) f->file = value;
    if (which == ACT_RESTORED) f->restored = true;
    if (which == ACT_VERBOSE) f->value[find_setting("log-level") - settings] = "debug";
    if (ends[which]) f->action = ends[which];
}

static int take_flags(int argc, char *const *argv, flags *f, buf *error) {
    struct option options[SETTINGS + ACTIONS + 1] = {0};
    int which = 0;
    for (size_t i = 0; i < SETTINGS; i++) options[i] = (struct option){settings[i].name, required_argument, &which, (int)i};
    for (size_t i = 0; i < ACTIONS; i++)
        options[SETTINGS + i] = (struct option){actions[i].name, actions[i].argument != NULL, &which, (int)(SETTINGS + i)};
    optind = 0; /* from the beginning: a server that reloads comes here again */
    opterr = 0;
    for (int c; (c = getopt_long(argc, argv, ":", options, NULL)) != -1;) {
        if (c) {
            buf_printf(error, c == ':' ? "%s needs a value" : "there is no option %s, or it takes no value", argv[optind - 1]);
            return SATCHEL_E_MISUSE;
        }
        if (which < (int)SETTINGS)
            f->value[which] = optarg;
        else
            take_action(f, which - (int)SETTINGS, optarg);
    }
    if (optind == argc) return SATCHEL_OK;
    buf_printf(error, "what is \"%s\"?", argv[optind]);
    return SATCHEL_E_MISUSE;
}

static int put_flags(config *c, const flags *f, buf *error) {
    int rc = SATCHEL_OK;
    char where[64];
    for (size_t i = 0; !rc && i < SETTINGS; i++) {
        if (!f->value[i]) continue;
        snprintf(where, sizeof where, "--%s", settings[i].name);
        rc = put_value(c, &settings[i], f->value[i], where, error);
    }
    c->restored = f->restored;
    return rc;
}

/* ---- the whole ---- */

static int check(const config *c, buf *error) {
    if (!c->data) {
        buf_printf(error, "the data directory is needed: --data DIR, or \"data = DIR\" in the file of --config");
        return SATCHEL_E_MISUSE;
    }
    if (!c->https_cert == !c->https_key) return SATCHEL_OK;
    buf_printf(error, "https-cert and https-key go together");
    return SATCHEL_E_MISUSE;
}

int config_read(int argc, char *const *argv, config *out, buf *error) {
    flags f = {0};
    *out = (config){.argc = argc, .argv = argv};
    int rc = take_flags(argc, argv, &f, error);
    out->action = f.action;
    if (rc || f.action == CONFIG_HELP || f.action == CONFIG_VERSION) return rc;
    rc = put_defaults(out, error);
    if (!rc && f.file) rc = put_text(&out->file, f.file);
    if (!rc && f.file) rc = take_file(out, f.file, error);
    if (!rc) rc = put_flags(out, &f, error);
    return rc ? rc : check(out, error);
}

int config_read_again(const config *running, config *out, buf *error) {
    return config_read(running->argc, running->argv, out, error);
}

void config_fini(config *c) {
    for (size_t i = 0; i < SETTINGS; i++)
        if (settings[i].kind == TEXT) free(*text_at(c, &settings[i]));
    free(c->file);
    *c = (config){0};
}

static bool is_same(const config *a, const config *b, const setting *s) {
    if (s->kind != TEXT) return *number_at(a, s) == *number_at(b, s);
    const char *x = *text_at(a, s), *y = *text_at(b, s);
    return x == y || (x && y && !strcmp(x, y));
}

void config_adopt(config *running, const config *fresh, buf *restart) {
    for (const setting *s = settings; s < settings + SETTINGS; s++) {
        if (is_same(running, fresh, s)) continue;
        if (s->reloads)
            *number_at(running, s) = *number_at(fresh, s);
        else
            buf_printf(restart, "%s%s", restart->n ? ", " : "", s->name);
    }
}

/* ---- for people ---- */

static void help_line(buf *out, const char *name, const char *argument, const char *help, const char *initial) {
    char left[40];
    snprintf(left, sizeof left, "--%s%s%s", name, argument ? " " : "", argument ? argument : "");
    buf_printf(out, "  %-20s %s", left, help);
    if (initial) buf_printf(out, " (%s)", initial);
    buf_put_byte(out, '\n');
}

void config_help(buf *out) {
    for (const setting *s = settings; s < settings + SETTINGS; s++) help_line(out, s->name, s->argument, s->help, s->initial);
    buf_put_byte(out, '\n');
    for (size_t i = 0; i < ACTIONS; i++) help_line(out, actions[i].name, actions[i].argument, actions[i].help, NULL);
}

void config_print(const config *c, buf *out) {
    for (const setting *s = settings; s < settings + SETTINGS; s++) {
        char version[VERSION_TEXT_BYTES];
        const char *text = s->kind == TEXT ? *text_at(c, s) : NULL;
        size_t n = 0;
        if (s->kind == VERSION && *number_at(c, s)) {
            version_text(*number_at(c, s), version);
            text = version;
        }
        if (s->kind == NUMBER) {
            buf_printf(out, "%s = %u\n", s->name, *number_at(c, s));
        } else if (s->kind == CHOICE) {
            text = choice_at(s, *number_at(c, s), &n);
            buf_printf(out, "%s = %.*s\n", s->name, (int)n, text);
        } else {
            buf_printf(out, text ? "%s = %s\n" : "# %s =\n", s->name, text);
        }
    }
}
