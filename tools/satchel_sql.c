/* satchel sql - statements on the captured connection; and how rows are printed. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/value.h"
#include "tools/satchel_cli.h"

/* As PostgreSQL's COPY writes text. */
static void print_text(const char *p, int n) {
    for (int i = 0; i < n; i++) {
        switch (p[i]) {
        case '\t':
            fputs("\\t", stdout);
            break;
        case '\n':
            fputs("\\n", stdout);
            break;
        case '\r':
            fputs("\\r", stdout);
            break;
        case '\\':
            fputs("\\\\", stdout);
            break;
        default:
            putchar(p[i]);
        }
    }
}

static void print_column(sqlite3_stmt *stmt, int i) {
    buf number;
    switch (sqlite3_column_type(stmt, i)) {
    case SQLITE_NULL:
        fputs("\\N", stdout);
        break;
    case SQLITE_INTEGER:
        printf("%lld", (long long)sqlite3_column_int64(stmt, i));
        break;
    case SQLITE_FLOAT:
        buf_init(&number, 0);
        value_put_real(&number, sqlite3_column_double(stmt, i));
        if (!number.rc) fputs((const char *)number.p, stdout);
        buf_fini(&number);
        break;
    case SQLITE_BLOB:
        device_put_blob(stmt, i, stdout);
        break;
    default:
        print_text((const char *)sqlite3_column_text(stmt, i), sqlite3_column_bytes(stmt, i));
    }
}

static void print_json_row(sqlite3_stmt *stmt) {
    json_t *row = json_object();
    for (int i = 0; i < sqlite3_column_count(stmt); i++)
        json_object_set_new(row, sqlite3_column_name(stmt, i), device_json_column(stmt, i));
    json_dumpf(row, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(row);
}

static void print_row(sqlite3_stmt *stmt) {
    for (int i = 0; i < sqlite3_column_count(stmt); i++) {
        if (i) putchar('\t');
        print_column(stmt, i);
    }
    putchar('\n');
}

static void print_header(sqlite3_stmt *stmt) {
    for (int i = 0; i < sqlite3_column_count(stmt); i++) printf("%s%s", i ? "\t" : "", sqlite3_column_name(stmt, i));
    putchar('\n');
}

int cli_print_rows(cli *c, sqlite3_stmt *stmt, bool header) {
    int rc;
    if (header && !c->json) print_header(stmt);
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        if (c->json)
            print_json_row(stmt);
        else
            print_row(stmt);
    }
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* Where a statement stands, for messages. */
typedef struct place {
    const char *source; /* NULL for the command line */
    unsigned line;
} place;

static int complain(cli *c, const place *at) {
    if (at->source) fprintf(stderr, "satchel: %s:%u: ", at->source, at->line);
    if (!at->source) fprintf(stderr, "satchel: ");
    const char *words = sqlite3_errmsg(satchel_db(c->s)), *more = satchel_errmsg(c->s);
    int rc = satchel_errcode(c->s);
    fprintf(stderr, "%s", words);
    if (rc && strcmp(words, more)) fprintf(stderr, "; %s", more);
    if (rc) fprintf(stderr, " (%s)", satchel_rc_name(rc));
    fputc('\n', stderr);
    return 1;
}

/* Runs every statement of `sql`; after one that fails goes on only if asked to, and never after one that cannot be parsed, as nobody knows
 * where the next begins. */
static int run_text(cli *c, const char *sql, const place *at) {
    int status = 0;
    while (*sql && (!status || c->keep_going)) {
        sqlite3_stmt *stmt = NULL;
        if (sqlite3_prepare_v2(satchel_db(c->s), sql, -1, &stmt, &sql)) return complain(c, at);
        if (stmt && cli_print_rows(c, stmt, false)) status = complain(c, at);
        sqlite3_finalize(stmt);
    }
    return status;
}

static bool is_blank(const char *text) {
    while (isspace((unsigned char)*text)) text++;
    return !*text;
}

/* Runs statements as their last line arrives, so that a pipe may stay open. */
static int run_stream(cli *c, FILE *from, const char *name) {
    char *line = NULL, *sql = NULL;
    size_t cap = 0, n = 0, line_number = 0;
    place at = {.source = name};
    int status = 0;
    for (ssize_t got; (!status || c->keep_going) && (got = getline(&line, &cap, from)) >= 0;) {
        line_number++;
        if (!n) at.line = (unsigned)line_number;
        char *more = realloc(sql, n + (size_t)got + 1);
        if (!more) break;
        sql = more;
        memcpy(sql + n, line, (size_t)got + 1);
        n += (size_t)got;
        if (!sqlite3_complete(sql)) continue;
        status |= run_text(c, sql, &at);
        n = 0;
    }
    if (n && (!status || c->keep_going) && !is_blank(sql)) status |= run_text(c, sql, &at);
    free(line);
    free(sql);
    return status;
}

static int run_file(cli *c) {
    FILE *from = fopen(c->file, "re");
    if (!from) {
        fprintf(stderr, "satchel: %s: %s\n", c->file, strerror(errno));
        return 1;
    }
    int status = run_stream(c, from, c->file);
    fclose(from);
    return status;
}

int cli_run_sql(cli *c, const char *sql) {
    place command_line = {0};
    return strcmp(sql, "-") ? run_text(c, sql, &command_line) : run_stream(c, stdin, "standard input");
}

int cli_sql(cli *c) {
    int status;
    if (!c->file == !c->narg) {
        fprintf(stderr, "satchel: sql takes either statements, - or --file\n");
        return 2;
    }
    if (c->file)
        status = run_file(c);
    else
        status = cli_run_sql(c, c->arg[0]);
    if (sqlite3_get_autocommit(satchel_db(c->s))) return status;
    fprintf(stderr, "satchel: the last transaction was not committed and is rolled back\n");
    return 1;
}
