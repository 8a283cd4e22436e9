/* satchel-load - many simulated devices against one server: what it takes, and what that costs. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "tools/load_abuse.h"

static const char usage[] =
    "usage: satchel-load [--data DIR | --socket PATH] COMMAND [OPTION...]\n"
    "Simulates devices of a running satcheld on the same machine: the real replica over real TLS. Measures times, and the server's\n"
    "memory and processor time.\n"
    "\n"
    "  run        devices work at random, go off line, come back; at the end all must hold what the server holds\n"
    "  live       from a commit on one device to its being seen on another, beside a bare echo of the same server\n"
    "  idle       the server's memory for each connected device that has nothing to do\n"
    "  fanout     the server's processor time to bring a commit to many devices, beside that to bring it to one\n"
    "  storm      all devices connect at once\n"
    "  fair       devices work beside one that takes more than its share, and beside one that only takes processor time; ratios\n"
    "\n"
    "  --devices N     how many (run 20, live 2, idle 2000, fanout 500, storm 200, fair 8)\n"
    "  --seconds S     run, fair: how long they work, fair: each time (30)\n"
    "  --rounds N      fair: how often each; medians are printed (3)\n"
    "  --pace MS       run, fair: mean time between two acts of a device (1000)\n"
    "  --abuse KIND    fair: flood, huge, reconnect, crowd or snapshot (each in turn)\n"
    "  --mix LIST      run: weights of their acts (insert=3,update=6,counter=3,delete=1,offline=1,reconnect=1)\n"
    "  --seed X        run: other random choices (1)\n"
    "  --commits N     live, fanout: how many are measured (500, 40)\n"
    "  --edits N       storm: transactions that each device has to send when it comes (0)\n"
    "  --stay S        idle: how long they stay after what was measured is printed (0)\n"
    "  --restart       storm: cut nothing; wait until somebody restarts the server\n"
    "  --work DIR      where the devices' files are; reused if it was kept (a temporary directory)\n"
    "  --keep          leave files and enrolments for the next time\n"
    "  --patience S    how long nothing may move before it is given up (120)\n"
    "  --data DIR      the server's data directory (default $SATCHEL_DATA, else ./satchel-data)\n"
    "  --socket PATH   the admin's socket itself\n"
    "  --json          print JSON\n"
    "  --help, --version\n"
    "\n"
    "It writes the table contact of the CRM, and enrols its devices by itself: use a server that is there to be tried.\n"
    "Exit status: 0 done, 1 failed or devices differ, 2 wrong usage. See satchel-load(1).\n";

const char *const load_act_names[LOAD_ACTS] = {"insert", "update", "counter", "delete", "offline", "reconnect"};

typedef struct command {
    const char *name;
    unsigned devices, commits; /* unless told */
    int (*run)(load_server *sv, const load_options *o);
} command;

static const command commands[] = {
    {"run", 20, 0, load_run},         {"live", 2, 500, load_live},   {"idle", 2000, 0, load_idle},
    {"fanout", 500, 40, load_fanout}, {"storm", 200, 0, load_storm}, {"fair", 8, 0, load_fair},
};

enum {
    OPT_DATA = 256,
    OPT_SOCKET,
    OPT_DEVICES,
    OPT_SECONDS,
    OPT_ROUNDS,
    OPT_PACE,
    OPT_MIX,
    OPT_SEED,
    OPT_COMMITS,
    OPT_ABUSE,
    OPT_EDITS,
    OPT_STAY,
    OPT_RESTART,
    OPT_WORK,
    OPT_KEEP,
    OPT_PATIENCE,
    OPT_JSON,
    OPT_HELP,
    OPT_VERSION
};

static const struct option options[] = {
    {"data", required_argument, NULL, OPT_DATA},
    {"socket", required_argument, NULL, OPT_SOCKET},
    {"devices", required_argument, NULL, OPT_DEVICES},
    {"seconds", required_argument, NULL, OPT_SECONDS},
    {"rounds", required_argument, NULL, OPT_ROUNDS},
    {"pace", required_argument, NULL, OPT_PACE},
    {"mix", required_argument, NULL, OPT_MIX},
    {"seed", required_argument, NULL, OPT_SEED},
    {"commits", required_argument, NULL, OPT_COMMITS},
    {"abuse", required_argument, NULL, OPT_ABUSE},
    {"edits", required_argument, NULL, OPT_EDITS},
    {"stay", required_argument, NULL, OPT_STAY},
    {"restart", no_argument, NULL, OPT_RESTART},
    {"work", required_argument, NULL, OPT_WORK},
    {"keep", no_argument, NULL, OPT_KEEP},
    {"patience", required_argument, NULL, OPT_PATIENCE},
    {"json", no_argument, NULL, OPT_JSON},
    {"help", no_argument, NULL, OPT_HELP},
    {"version", no_argument, NULL, OPT_VERSION},
    {0},
};

static bool take_number(const char *what, const char *text, uint64_t least, uint64_t most, uint64_t *out) {
    char *end;
    errno = 0;
    *out = strtoull(text, &end, 10);
    if (*text >= '0' && *text <= '9' && !*end && !errno && *out >= least && *out <= most) return true;
    fprintf(stderr, "satchel-load: %s takes a number from %llu to %llu, not \"%s\"\n", what, (unsigned long long)least,
            (unsigned long long)most, text);
    return false;
}

static bool take_unsigned(const char *what, unsigned least, unsigned most, unsigned *out) {
    uint64_t v;
    bool good = take_number(what, optarg, least, most, &v);
    if (good) *out = (unsigned)v;
    return good;
}

static bool take_weight(load_options *o, char *text) {
    char *value = strchr(text, '=');
    uint64_t weight;
    if (value) *value++ = 0;
    for (unsigned i = 0; value && i < LOAD_ACTS; i++) {
        if (strcmp(text, load_act_names[i])) continue;
        if (!take_number("--mix", value, 0, 1000000, &weight)) return false;
        o->mix[i] = (unsigned)weight;
        return true;
    }
    fprintf(stderr, "satchel-load: --mix: \"%s\" is none of", text);
    for (unsigned i = 0; i < LOAD_ACTS; i++) fprintf(stderr, " %s=N", load_act_names[i]);
    fputc('\n', stderr);
    return false;
}

/* Acts that the list does not name have no weight. */
static bool take_mix(load_options *o) {
    uint64_t sum = 0;
    char *rest = NULL, *copy = strdup(optarg);
    memset(o->mix, 0, sizeof o->mix);
    bool good = copy != NULL;
    for (char *one = good ? strtok_r(copy, ",", &rest) : NULL; one && good; one = strtok_r(NULL, ",", &rest))
        good = take_weight(o, one);
    for (unsigned i = 0; i < LOAD_ACTS; i++) sum += o->mix[i];
    free(copy);
    if (good && !sum) fputs("satchel-load: --mix has no weights\n", stderr);
    return good && sum;
}

static bool take_abuse(load_options *o) {
    for (unsigned i = 0; i < ABUSE_KINDS; i++)
        if (!strcmp(optarg, load_abuse_names[i])) o->abuse = load_abuse_names[i];
    if (!o->abuse) fprintf(stderr, "satchel-load: --abuse: there is no \"%s\"\n", optarg);
    return o->abuse;
}

typedef struct asked {
    bool help, version;
} asked;

static bool take_option(int option, load_options *o, asked *a) {
    switch (option) {
    case OPT_DATA:
        o->data = optarg;
        return true;
    case OPT_SOCKET:
        o->socket = optarg;
        return true;
    case OPT_DEVICES:
        return take_unsigned("--devices", 1, 50000, &o->devices);
    case OPT_SECONDS:
        return take_unsigned("--seconds", 1, 1000000, &o->seconds);
    case OPT_ROUNDS:
        return take_unsigned("--rounds", 1, LOAD_ROUNDS_MOST, &o->rounds);
    case OPT_PACE:
        return take_unsigned("--pace", 1, 1000000, &o->pace_ms);
    case OPT_MIX:
        return take_mix(o);
    case OPT_SEED:
        return take_number("--seed", optarg, 0, UINT64_MAX, &o->seed);
    case OPT_COMMITS:
        return take_unsigned("--commits", 1, 1000000, &o->commits);
    case OPT_STAY:
        return take_unsigned("--stay", 0, 1000000, &o->stay_s);
    case OPT_ABUSE:
        return take_abuse(o);
    case OPT_EDITS:
        return take_unsigned("--edits", 0, 1000000, &o->edits);
    case OPT_RESTART:
        return o->restart = true;
    case OPT_WORK:
        o->work = optarg;
        return true;
    case OPT_KEEP:
        return o->keep = true;
    case OPT_PATIENCE:
        return take_unsigned("--patience", 1, 100000, &o->patience_s);
    case OPT_JSON:
        return o->json = true;
    case OPT_HELP:
        return a->help = true;
    case OPT_VERSION:
        return a->version = true;
    default:
        return false;
    }
}

static int run_command(const load_options *given, const char *name) {
    const command *k = NULL;
    load_options o = *given;
    load_server sv;
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (name && !strcmp(name, commands[i].name)) k = &commands[i];
    if (!k) {
        if (name) fprintf(stderr, "satchel-load: there is no command \"%s\"\n", name);
        fputs("try satchel-load --help\n", stderr);
        return LOAD_USAGE;
    }
    if (!o.devices) o.devices = k->devices;
    if (!o.commits) o.commits = k->commits;
    int rc = load_server_open(&sv, &o);
    if (!rc) rc = k->run(&sv, &o);
    load_server_close(&sv);
    return rc;
}

int main(int argc, char **argv) {
    const char *data = getenv("SATCHEL_DATA");
    load_options o = {.data = data && *data ? data : "satchel-data",
                      .seconds = 30,
                      .rounds = 3,
                      .pace_ms = 1000,
                      .patience_s = 120,
                      .seed = 1,
                      .mix = {3, 6, 3, 1, 1, 1}};
    asked a = {0};
    signal(SIGPIPE, SIG_IGN);
    json_object_seed(0); /* before there are threads, as jansson asks */
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (take_option(option, &o, &a)) continue;
        fputs("try satchel-load --help\n", stderr);
        return LOAD_USAGE;
    }
    if (a.help) return fputs(usage, stdout) < 0;
    if (a.version) return puts("satchel-load " SATCHEL_VERSION) < 0;
    int rc = argc - optind > 1 ? LOAD_USAGE : run_command(&o, argv[optind]);
    if (rc == LOAD_USAGE && argc - optind > 1) fputs("try satchel-load --help\n", stderr);
    if (fflush(stdout) && !rc) {
        perror("satchel-load: standard output");
        rc = LOAD_FAILED;
    }
    return rc;
}
