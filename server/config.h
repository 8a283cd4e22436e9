/* config.h - every setting of the server, from one table: the flags, the keys of the file, --help and --print-config all come of it, and a test
 * holds satcheld.conf(5), their manual, against it.
 *
 * A setting is a flag `--name VALUE` and a line `name = value` of the file that --config names; a flag overrides the file, and what neither gives has its
 * default. In the file a line is empty, a comment (from '#' at its beginning or after a blank), or a setting, and each stands there once. Read here and
 * not by libinih, as Debian builds it: that cuts a line at 200 bytes and takes an indented one for more of the value before. */
#ifndef SERVER_CONFIG_H
#define SERVER_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "protocol/buf.h"

#define CONFIG_FILE_BYTES 65536

typedef enum config_action { CONFIG_RUN, CONFIG_CHECK, CONFIG_PRINT, CONFIG_HELP, CONFIG_VERSION } config_action;

/* Texts are owned; NULL: not given, and there is no default. */
typedef struct config {
    char *data;
    char *schema;
    char *console_dir;
    char *listen;     /* an address */
    char *host;       /* names, comma-separated */
    char *https_cert; /* the operator's own, both or none */
    char *https_key;
    unsigned sync_port, https_port; /* 0: any */
    unsigned certificate_days;      /* of a device */
    unsigned history_days, horizon_days, disk_reserve_mib, readers, drain_seconds;
    unsigned device_connects, device_kib, address_connects; /* of front.h */
    unsigned min_version;                                   /* of version.h; 0: none */
    unsigned devices_per_user;                              /* with open enrolment codes; 0: without bound */
    /* Of notice.h. */
    char *smtp_url, *smtp_from, *smtp_user, *smtp_password_file, *alert_mail;
    char *alert_webhook, *alert_webhook_secret_file, *alert_ca;
    unsigned log_format, log_level; /* of log.h */
    /* Flags alone: */
    char *file;
    bool restored;
    config_action action;
    int argc; /* what it was read from */
    char *const *argv;
} config;

/* Reads flags and file into `out` (config_fini in any case). SATCHEL_E_MISUSE: a flag is wrong; _MALFORMED, _IO: the file. `error` has
 * words, with the file's name and line where it is at fault. */
int config_read(int argc, char *const *argv, config *out, buf *error);
/* The same once more for a server that runs, from the same flags and the file as it now is. */
int config_read_again(const config *running, config *out, buf *error);
void config_fini(config *c);

/* For a server that runs: takes over the settings that can change under it. Appends the names of those that differ and cannot, comma-separated. */
void config_adopt(config *running, const config *fresh, buf *restart);

/* The text of --help from the settings on, and a file that says what `c` says. */
void config_help(buf *out);
void config_print(const config *c, buf *out);

/* The table, for those who hold something against it: the name of setting i and its default (NULL: none); false after the last one. */
bool config_setting_at(size_t i, const char **name, const char **initial);

#endif
