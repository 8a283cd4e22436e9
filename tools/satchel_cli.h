/* satchel_cli.h - what the files of the program `satchel` share: its options, its commands, and how it speaks.
 *
 * A command returns the program's exit status: 0 done, 1 failed, 2 wrong usage. Results go to standard output, everything else to standard error. */
#ifndef TOOLS_SATCHEL_CLI_H
#define TOOLS_SATCHEL_CLI_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "replica/satchel.h"
#include "tools/device.h"

typedef struct cli {
    const char *db, *identity, *key_file, *name, *file, *format, *save;
    bool json, watch, keep_going, all, pending, discard, server;
    unsigned timeout_s;
    int narg; /* operands after the command */
    char **arg;
    satchel *s; /* open while a command runs */
} cli;

typedef int cli_command(cli *c);
cli_command cli_enroll, cli_sync, cli_sql, cli_status, cli_conflicts, cli_rejected, cli_verify, cli_compare, cli_digest,
    cli_export, cli_rotate_key, cli_sign_out;

/* Says what failed ("satchel: WHAT: the handle's words") and returns 1. */
int cli_fail(cli *c, const char *what);
/* Writes the changes of the transactions that are not sent yet, and with `refused` of those that were refused and are not settled, as JSON lines. False, and says
 * so, if that cannot be. */
bool cli_write_pending(cli *c, FILE *to, bool refused);
/* Steps a statement to its end and prints its rows: as JSON objects, one a line, or as lines of columns separated by tabs with a backslash
 * before what would break them, \N for NULL and x'..' for blobs; `header` puts the columns' names first. Returns a SQLite code. */
int cli_print_rows(cli *c, sqlite3_stmt *stmt, bool header);
/* Prints all rows of a query of Satchel's own, with a header. */
int cli_print_view(cli *c, const char *sql);
/* Runs statements, "-" those of standard input, and prints their rows and what fails. */
int cli_run_sql(cli *c, const char *sql);

#endif
