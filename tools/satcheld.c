/* satcheld - the Satchel server. The options, and where the default schema lies; everything else is server/daemon.c. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/satchel_rc.h"
#include "server/daemon.h"
#include "server/log.h"

static const char usage[] =
    "usage: satcheld --data DIR [option...]\n"
    "Keeps the authoritative data and syncs it with devices. Everything it needs is made in DIR on the first start.\n"
    "\n"
    "  --data DIR           the data directory: store, keys, certificates, admin's socket\n"
    "  --schema DIR         numbered migrations NNN_name.sql (default: the CRM that comes with Satchel)\n"
    "  --listen ADDR        address to listen on (default 127.0.0.1; 0.0.0.0 or :: for all)\n"
    "  --sync-port N        where devices sync, mutual TLS (default 7443; 0 picks one)\n"
    "  --https-port N       enrolment, health, metrics (default 8443; 0 picks one)\n"
    "  --host NAMES         names and addresses of this server, comma-separated; devices are told the first\n"
    "  --restored           the store was restored from a backup: begin a new epoch (once, not on every start)\n"
    "  --history-days N     how long changes are kept at least (default 30)\n"
    "  --readers N          threads that serve pulls (default 2)\n"
    "  --log-format F       text or json, on standard error (default text)\n"
    "  --verbose            log more\n"
    "  --help, --version\n"
    "\n"
    "Prints one line when it listens, and writes the ports to DIR/ports.json. SIGTERM finishes what is queued and ends.\n"
    "Exit status: 0 ended as asked, 1 failed, 2 wrong usage. See satcheld(8), satchelctl(8).\n";

enum {
    OPT_DATA = 256,
    OPT_SCHEMA,
    OPT_LISTEN,
    OPT_SYNC,
    OPT_HTTPS,
    OPT_HOST,
    OPT_RESTORED,
    OPT_DAYS,
    OPT_READERS,
    OPT_LOG,
    OPT_VERBOSE,
    OPT_HELP,
    OPT_VERSION
};

static const struct option options[] = {
    {"data", required_argument, NULL, OPT_DATA},        {"schema", required_argument, NULL, OPT_SCHEMA},
    {"listen", required_argument, NULL, OPT_LISTEN},    {"sync-port", required_argument, NULL, OPT_SYNC},
    {"https-port", required_argument, NULL, OPT_HTTPS}, {"host", required_argument, NULL, OPT_HOST},
    {"restored", no_argument, NULL, OPT_RESTORED},      {"history-days", required_argument, NULL, OPT_DAYS},
    {"readers", required_argument, NULL, OPT_READERS},  {"log-format", required_argument, NULL, OPT_LOG},
    {"verbose", no_argument, NULL, OPT_VERBOSE},        {"help", no_argument, NULL, OPT_HELP},
    {"version", no_argument, NULL, OPT_VERSION},        {0},
};

/* A decimal number from `low` to `high`; says what is wrong otherwise. */
static bool take_number(const char *option, const char *text, unsigned long low, unsigned long high, unsigned long *out) {
    char *end;
    errno = 0;
    *out = strtoul(text, &end, 10);
    if (*text >= '0' && *text <= '9' && !*end && !errno && *out >= low && *out <= high) return true;
    fprintf(stderr, "satcheld: %s takes a number from %lu to %lu, not \"%s\"\n", option, low, high, text);
    return false;
}

static bool take_format(const char *text) {
    bool json = !strcmp(text, "json");
    if (json || !strcmp(text, "text")) {
        log_open(json ? LOG_JSON : LOG_TEXT);
        return true;
    }
    fprintf(stderr, "satcheld: --log-format takes text or json, not \"%s\"\n", text);
    return false;
}

/* One option that has a number. */
static bool take_numeric(int option, daemon_config *c) {
    unsigned long n = 0;
    bool ok;
    switch (option) {
    case OPT_SYNC:
        ok = take_number("--sync-port", optarg, 0, 65535, &n);
        c->sync_port = (uint16_t)n;
        return ok;
    case OPT_HTTPS:
        ok = take_number("--https-port", optarg, 0, 65535, &n);
        c->https_port = (uint16_t)n;
        return ok;
    case OPT_DAYS:
        ok = take_number("--history-days", optarg, 1, 36500, &n);
        c->history_days = (unsigned)n;
        return ok;
    default:
        ok = take_number("--readers", optarg, 1, 64, &n);
        c->readers = (unsigned)n;
        return ok;
    }
}

/* False: wrong usage. *done: there is nothing more to do. */
static bool take_options(int argc, char **argv, daemon_config *c, bool *done) {
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
        case OPT_DATA:
            c->data = optarg;
            break;
        case OPT_SCHEMA:
            c->schema_dir = optarg;
            break;
        case OPT_LISTEN:
            c->listen = optarg;
            break;
        case OPT_HOST:
            c->hosts = optarg;
            break;
        case OPT_RESTORED:
            c->restored = true;
            break;
        case OPT_VERBOSE:
            log_debug(1);
            break;
        case OPT_LOG:
            if (!take_format(optarg)) return false;
            break;
        case OPT_HELP:
            *done = true;
            return fputs(usage, stdout) >= 0;
        case OPT_VERSION:
            *done = true;
            return puts("satcheld " SATCHEL_VERSION) >= 0;
        case '?':
            return false;
        default:
            if (!take_numeric(option, c)) return false;
        }
    }
    if (optind < argc) fprintf(stderr, "satcheld: what is \"%s\"?\n", argv[optind]);
    if (!c->data && !*done) fprintf(stderr, "satcheld: --data DIR is needed\n");
    return optind == argc && (c->data || *done);
}

static bool is_directory(const char *path) {
    struct stat st;
    return !stat(path, &st) && S_ISDIR(st.st_mode);
}

/* Beside the program (an installation that was moved), where it was installed, or in the source tree that it was built from. */
static const char *find_schema(void) {
    static char beside[4096];
    ssize_t n = readlink("/proc/self/exe", beside, sizeof beside - 64);
    char *slash = n > 0 ? memrchr(beside, '/', (size_t)n) : NULL;
    if (slash) {
        snprintf(slash, 64, "/../share/satchel/crm");
        if (is_directory(beside)) return beside;
    }
    if (is_directory(SATCHEL_SCHEMA_INSTALLED)) return SATCHEL_SCHEMA_INSTALLED;
    return is_directory(SATCHEL_SCHEMA_SOURCE) ? SATCHEL_SCHEMA_SOURCE : NULL;
}

int main(int argc, char **argv) {
    daemon_config config = {.listen = "127.0.0.1", .sync_port = 7443, .https_port = 8443, .history_days = 30, .readers = 2};
    bool done = false;
    if (!take_options(argc, argv, &config, &done)) {
        fputs("try satcheld --help\n", stderr);
        return 2;
    }
    if (done) return 0;
    if (!config.schema_dir) config.schema_dir = find_schema();
    if (!config.schema_dir || !is_directory(config.schema_dir)) {
        fprintf(stderr, "satcheld: %s%s; give --schema DIR with the migrations\n",
                config.schema_dir ? "there is no schema directory " : "",
                config.schema_dir ? config.schema_dir : "the CRM's schema is not installed beside this program");
        return 1;
    }
    buf error = {0};
    int rc = daemon_run(&config, &error);
    buf_put_byte(&error, 0);
    if (rc) fprintf(stderr, "satcheld: %s (%s)\n", error.rc ? satchel_rc_text(rc) : (const char *)error.p, satchel_rc_name(rc));
    buf_fini(&error);
    return rc ? 1 : 0;
}
