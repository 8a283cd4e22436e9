/* satchelctl - the admin's tool. Options and the table of commands; the commands are in ctl_*.c. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/ctl.h"

enum { TAKES_ALL = 1, TAKES_LIMIT = 2 };

typedef struct command {
    const char *name; /* one word, or two */
    const char *arguments;
    int narguments, takes;
    int (*run)(ctl *c);
    const char *summary, *help;
} command;

static const command commands[] = {
    {"device add", "NAME", 1, 0, ctl_device_add, "print a one-time code that enrols a device",
     "Prints a one-time enrolment code for a new device of this name; it is good for one day. The code is a secret: it carries the server's\n"
     "address, what the server's certificate must show, and the right to become this device. It alone goes to standard output.\n"},
    {"device list", "", 0, 0, ctl_device_list, "list the devices",
     "Lists every device: when it was seen, up to which commit it has everything, how many of its transactions wait on it, how many were\n"
     "rejected and are open, how many of its values lost a conflict, and how far its clock is off.\n"},
    {"device show", "NAME", 1, 0, ctl_device_show, "show one device", "Shows what the server knows of one device.\n"},
    {"device revoke", "NAME", 1, 0, ctl_device_revoke, "cut a device off",
     "From now on the device is refused, and it is told so; its connections are closed. What it has sent stays.\n"},
    {"conflicts", "[--limit N]", 0, TAKES_LIMIT, ctl_conflicts, "list values that lost to a concurrent change",
     "Lists the newest entries of the conflict log (50 unless --limit says otherwise, up to 10000): the value that was kept, the one that lost,\n"
     "whose they were, and the rule that decided.\n"},
    {"rejected", "[--all]", 0, TAKES_ALL, ctl_rejected, "list refused transactions",
     "Lists the transactions of devices that were refused and that nobody has settled; with --all the settled ones too.\n"},
    {"rejected discard", "DEVICE NUMBER", 2, 0, ctl_rejected_discard, "settle a refused transaction by discarding it",
     "Discards a refused transaction for good. The device is told when it next comes.\n"},
    {"verify", "", 0, 0, ctl_verify, "check the store",
     "Checks the store's file, row clocks, log and tombstones against each other. Exit status 1 if there is a problem. Pushes wait meanwhile.\n"},
    {"digest", "", 0, 0, ctl_digest, "print a hash of each synced table",
     "Prints \"table rows sha256\" for each synced table, for comparing with a device's.\n"},
    {"status", "", 0, 0, ctl_status, "show the server's state",
     "Shows where the server stands and what it has done since it started.\n"},
    {"sql", "FILE|-", 1, 0, ctl_sql, "run SQL as the server's author",
     "Runs INSERT, UPDATE, DELETE statements of a file or of standard input as the server's own author: each BEGIN ... COMMIT is one\n"
     "transaction, as is each statement outside. They go through the same rules as a device's and reach the devices like theirs. Name the columns in\n"
     "an INSERT: the server's tables have one more. Stops at the first error and names its line; what was before it stays.\n"},
};
#define NCOMMANDS (sizeof commands / sizeof *commands)

static void print_usage(FILE *to) {
    fputs("usage: satchelctl [--data DIR | --socket PATH] [--json] COMMAND [ARGUMENT...]\n"
          "Looks after a running satcheld, over the socket in its data directory.\n\n",
          to);
    for (size_t i = 0; i < NCOMMANDS; i++) {
        char head[64];
        snprintf(head, sizeof head, "%s %s", commands[i].name, commands[i].arguments);
        fprintf(to, "  %-32s %s\n", head, commands[i].summary);
    }
    fputs("\n  --data DIR     the server's data directory (default $SATCHEL_DATA, else ./satchel-data)\n"
          "  --socket PATH  the socket itself\n"
          "  --json         answer in JSON\n"
          "  --help         of a command: satchelctl COMMAND --help\n"
          "  --version\n"
          "\nExit status: 0 done, 1 failed, 2 wrong usage. See satchelctl(8).\n",
          to);
}

static void print_help(const command *k) {
    printf("usage: satchelctl %s %s\n%s", k->name, k->arguments, k->help);
}

enum { OPT_DATA = 256, OPT_SOCKET, OPT_JSON, OPT_ALL, OPT_LIMIT, OPT_HELP, OPT_VERSION };

static const struct option options[] = {
    {"data", required_argument, NULL, OPT_DATA},   {"socket", required_argument, NULL, OPT_SOCKET},
    {"json", no_argument, NULL, OPT_JSON},         {"all", no_argument, NULL, OPT_ALL},
    {"limit", required_argument, NULL, OPT_LIMIT}, {"help", no_argument, NULL, OPT_HELP},
    {"version", no_argument, NULL, OPT_VERSION},   {0},
};

typedef struct asked {
    bool help, version;
} asked;

static bool take_limit(ctl *c, const char *text) {
    char *end;
    errno = 0;
    c->limit = strtol(text, &end, 10);
    if (*text && !*end && !errno && c->limit >= 1 && c->limit <= 10000) return true;
    fprintf(stderr, "satchelctl: --limit takes a number from 1 to 10000, not \"%s\"\n", text);
    return false;
}

static bool take_options(int argc, char **argv, ctl *c, asked *a) {
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
        case OPT_DATA:
            c->data = optarg;
            break;
        case OPT_SOCKET:
            c->socket = optarg;
            break;
        case OPT_JSON:
            c->json = true;
            break;
        case OPT_ALL:
            c->all = true;
            break;
        case OPT_LIMIT:
            if (!take_limit(c, optarg)) return false;
            break;
        case OPT_HELP:
            a->help = true;
            break;
        case OPT_VERSION:
            a->version = true;
            break;
        default:
            return false;
        }
    }
    c->nword = argc - optind;
    c->word = argv + optind;
    return true;
}

/* The command with the longest name that the words begin with; *words: how many of them it is. */
static const command *find_command(const ctl *c, int *words) {
    const command *found = NULL;
    *words = 0;
    for (size_t i = 0; i < NCOMMANDS; i++) {
        const char *second = strchr(commands[i].name, ' ');
        size_t first = second ? (size_t)(second - commands[i].name) : strlen(commands[i].name);
        int n = second ? 2 : 1;
        if (c->nword < n || n < *words || strlen(c->word[0]) != first || strncmp(c->word[0], commands[i].name, first)) continue;
        if (second && strcmp(c->word[1], second + 1)) continue;
        found = &commands[i];
        *words = n;
    }
    return found;
}

static int wrong_usage(const command *k) {
    if (k) {
        fprintf(stderr, "usage: satchelctl %s %s\n", k->name, k->arguments);
    } else {
        fputs("try satchelctl --help\n", stderr);
    }
    return CTL_USAGE;
}

static int run_command(ctl *c, const asked *a) {
    int words;
    const command *k = c->nword ? find_command(c, &words) : NULL;
    if (a->help && (k || !c->nword)) {
        if (k)
            print_help(k);
        else
            print_usage(stdout);
        return CTL_DONE;
    }
    if (!k) {
        if (c->nword)
            fprintf(stderr, "satchelctl: there is no command \"%s%s%s\"\n", c->word[0], c->nword > 1 ? " " : "",
                    c->nword > 1 ? c->word[1] : "");
        return wrong_usage(NULL);
    }
    bool foreign = (c->all && !(k->takes & TAKES_ALL)) || (c->limit && !(k->takes & TAKES_LIMIT));
    if (c->nword - words != k->narguments || foreign) return wrong_usage(k);
    return k->run(c);
}

int main(int argc, char **argv) {
    const char *data = getenv("SATCHEL_DATA");
    ctl c = {.data = data && *data ? data : "satchel-data", .fd = -1};
    asked a = {0};
    signal(SIGPIPE, SIG_IGN);
    if (!take_options(argc, argv, &c, &a)) return wrong_usage(NULL);
    if (a.version) return puts("satchelctl " SATCHEL_VERSION) < 0;
    int rc = run_command(&c, &a);
    ctl_disconnect(&c);
    if (fflush(stdout) && !rc) {
        perror("satchelctl: standard output");
        rc = CTL_FAILED;
    }
    return rc;
}
