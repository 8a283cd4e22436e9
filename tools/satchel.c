/* satchel - a device from the shell. The options and the table of commands; the commands are in satchel_*.c. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "tools/satchel_cli.h"

static const char usage[] =
    "usage: satchel --db FILE COMMAND [option...]\n"
    "A database file that keeps itself in step with a Satchel server.\n"
    "\n"
    "  enroll CODE|-          make FILE a device of a server; - reads the code from standard input\n"
    "      --name TEXT        what the admin sees (default: this machine's name)\n"
    "  sync                   send and receive until everything is in step\n"
    "      --watch            stay connected and print what happens until interrupted\n"
    "      --timeout S        give up after S seconds without progress (default 30)\n"
    "  rotate-key             make a new key pair and have the server take it for the present one\n"
    "  sign-out               be no device any more: erases FILE, its key and its certificates; refuses while changes are unsent\n"
    "      --export FILE      write what was not sent, or was refused, to a new FILE first, as JSON lines\n"
    "      --discard          give up what was not sent, or was refused\n"
    "  sql STATEMENTS|-       run SQL; what it changes in synced tables is captured; - reads standard input\n"
    "      -f, --file FILE    run the statements of a file\n"
    "      -k, --keep-going   go on after a statement that fails\n"
    "  status                 what waits, what was refused, when it synced last\n"
    "  conflicts              values of this device that lost to another\n"
    "  rejected               transactions that the server refused\n"
    "  rejected show N        what transaction N wanted, beside what the server has\n"
    "  rejected discard N     give transaction N up\n"
    "  rejected retry N       run transaction N again\n"
    "  rejected edit N SQL|-  run it again and then these statements, as one transaction\n"
    "  export TABLE [FILE|-]  write a table's rows as they are here, with edits that are not sent yet\n"
    "      --all              every table, each into a file of its name in the directory that is named instead\n"
    "      --pending          instead: every change that is not sent yet, as JSON lines\n"
    "      --format csv|jsonl of the files (default: by the file's name, else csv)\n"
    "  verify                 check the file\n"
    "      --server           instead: compare all rows with the server's, and repair those that differ\n"
    "      --timeout S        give up after S seconds without progress (default 30)\n"
    "  digest                 a hash of each synced table, for comparing with the server's\n"
    "\n"
    "      --identity DIR     key and certificates (default: FILE-satchel)\n"
    "      --key-file KEY     FILE is encrypted with the bytes of KEY, if this build can (replica/README.md, At rest)\n"
    "      --json             print JSON, one value a line\n"
    "      --help, --version\n"
    "\n"
    "Exit status: 0 done, 1 failed, 2 wrong usage. See satchel(1).\n";

enum {
    OPT_DB = 1,
    OPT_IDENTITY = 2,
    OPT_NAME = 4,
    OPT_JSON = 8,
    OPT_WATCH = 16,
    OPT_TIMEOUT = 32,
    OPT_FILE = 64,
    OPT_KEEP = 128,
    OPT_HELP = 256,
    OPT_VERSION = 512,
    OPT_FORMAT = 1024,
    OPT_ALL = 2048,
    OPT_PENDING = 4096,
    OPT_KEY_FILE = 8192,
    OPT_EXPORT = 16384,
    OPT_DISCARD = 32768,
    OPT_SERVER = 65536
};

static const struct option options[] = {
    {"db", required_argument, NULL, OPT_DB},
    {"identity", required_argument, NULL, OPT_IDENTITY},
    {"key-file", required_argument, NULL, OPT_KEY_FILE},
    {"name", required_argument, NULL, OPT_NAME},
    {"json", no_argument, NULL, OPT_JSON},
    {"watch", no_argument, NULL, OPT_WATCH},
    {"timeout", required_argument, NULL, OPT_TIMEOUT},
    {"file", required_argument, NULL, 'f'},
    {"keep-going", no_argument, NULL, 'k'},
    {"format", required_argument, NULL, OPT_FORMAT},
    {"all", no_argument, NULL, OPT_ALL},
    {"pending", no_argument, NULL, OPT_PENDING},
    {"export", required_argument, NULL, OPT_EXPORT},
    {"discard", no_argument, NULL, OPT_DISCARD},
    {"server", no_argument, NULL, OPT_SERVER},
    {"help", no_argument, NULL, OPT_HELP},
    {"version", no_argument, NULL, OPT_VERSION},
    {0},
};

static const struct command {
    const char *name;
    cli_command *run;
    int allowed;     /* options besides --db, --identity and --key-file */
    int least, most; /* operands */
    unsigned open_flags;
} commands[] = {
    {"enroll", cli_enroll, OPT_NAME | OPT_JSON, 1, 1, 0},
    {"sync", cli_sync, OPT_JSON | OPT_WATCH | OPT_TIMEOUT, 0, 0, SATCHEL_OPEN_EXISTING},
    {"rotate-key", cli_rotate_key, OPT_JSON | OPT_TIMEOUT, 0, 0, SATCHEL_OPEN_EXISTING},
    {"sign-out", cli_sign_out, OPT_EXPORT | OPT_DISCARD, 0, 0, SATCHEL_OPEN_EXISTING},
    {"sql", cli_sql, OPT_JSON | OPT_FILE | OPT_KEEP, 0, 1, SATCHEL_OPEN_EXISTING},
    {"status", cli_status, OPT_JSON, 0, 0, SATCHEL_OPEN_EXISTING},
    {"conflicts", cli_conflicts, OPT_JSON, 0, 0, SATCHEL_OPEN_EXISTING},
    {"rejected", cli_rejected, OPT_JSON, 0, 3, SATCHEL_OPEN_EXISTING},
    {"export", cli_export, OPT_FORMAT | OPT_ALL | OPT_PENDING, 0, 2, SATCHEL_OPEN_EXISTING},
    {"verify", cli_verify, OPT_SERVER | OPT_TIMEOUT | OPT_JSON, 0, 0, SATCHEL_OPEN_EXISTING},
    {"digest", cli_digest, OPT_JSON, 0, 0, SATCHEL_OPEN_EXISTING},
};

int cli_fail(cli *c, const char *what) {
    fprintf(stderr, "satchel: %s: %s (%s)\n", what, satchel_errmsg(c->s), satchel_rc_name(satchel_errcode(c->s)));
    return 1;
}

static int wrong_usage(const char *what, const char *which) {
    fprintf(stderr, "satchel: %s%s\nTry 'satchel --help'.\n", what, which);
    return 2;
}

static bool take_timeout(const char *text, unsigned *out) {
    char *end;
    errno = 0;
    unsigned long v = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno || v < 1 || v > 86400) return false;
    *out = (unsigned)v;
    return true;
}

/* Reads the options into `c` and notes in *given which there were. -1 to go on, else the exit status. */
static int take_options(int argc, char **argv, cli *c, int *given) {
    for (int o; (o = getopt_long(argc, argv, "f:k", options, NULL)) != -1;) {
        switch (o) {
        case OPT_DB:
            c->db = optarg;
            break;
        case OPT_IDENTITY:
            c->identity = optarg;
            break;
        case OPT_KEY_FILE:
            c->key_file = optarg;
            break;
        case OPT_NAME:
            c->name = optarg;
            break;
        case OPT_JSON:
            c->json = true;
            break;
        case OPT_WATCH:
            c->watch = true;
            break;
        case OPT_TIMEOUT:
            if (!take_timeout(optarg, &c->timeout_s)) return wrong_usage("--timeout takes seconds from 1 to 86400, not ", optarg);
            break;
        case OPT_FORMAT:
            c->format = optarg;
            break;
        case OPT_ALL:
            c->all = true;
            break;
        case OPT_PENDING:
            c->pending = true;
            break;
        case OPT_EXPORT:
            c->save = optarg;
            break;
        case OPT_SERVER:
            c->server = true;
            break;
        case OPT_DISCARD:
            c->discard = true;
            break;
        case 'f':
            c->file = optarg;
            o = OPT_FILE;
            break;
        case 'k':
            c->keep_going = true;
            o = OPT_KEEP;
            break;
        case OPT_HELP:
            fputs(usage, stdout);
            return 0;
        case OPT_VERSION:
            printf("satchel %s\n", satchel_version());
            return 0;
        default:
            fputs("Try 'satchel --help'.\n", stderr);
            return 2;
        }
        *given |= o;
    }
    return -1;
}

static const struct command *find_command(const char *name) {
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (!strcmp(commands[i].name, name)) return &commands[i];
    return NULL;
}

static int run(const struct command *command, cli *c) {
    int status = device_open(c->db, c->identity, c->key_file, command->open_flags, &c->s) ? 1 : command->run(c);
    satchel_close(c->s);
    return status;
}

int main(int argc, char **argv) {
    cli c = {.timeout_s = 30};
    int given = 0, status = take_options(argc, argv, &c, &given);
    if (status >= 0) return status;
    if (optind == argc) return wrong_usage("a command is missing", "");
    const struct command *command = find_command(argv[optind]);
    if (!command) return wrong_usage("there is no command ", argv[optind]);
    c.narg = argc - optind - 1;
    c.arg = argv + optind + 1;
    if (!c.db) return wrong_usage("--db FILE is missing", "");
    if (given & ~(command->allowed | OPT_DB | OPT_IDENTITY | OPT_KEY_FILE))
        return wrong_usage("an option does not belong to ", command->name);
    if (c.narg < command->least || c.narg > command->most) return wrong_usage("the wrong number of operands for ", command->name);
    status = run(command, &c);
    if (fflush(stdout) || ferror(stdout)) {
        fprintf(stderr, "satchel: cannot write the output: %s\n", strerror(errno));
        return 1;
    }
    return status;
}
