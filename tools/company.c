/* satchel-company: prints a sample company for the schema of server/crm. */
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/company_make.h"

/* Row numbers are 32 bits wide and some kinds have more rows than there are contacts. */
#define MAX_COUNT 100000000ul

static const char HELP[] =
    "Usage: satchel-company [OPTION]...\n"
    "Prints a sample company for the schema of server/crm as SQL, in transactions of about a thousand rows.\n"
    "The same options print the same bytes. Sizes that are not given go with --contacts.\n"
    "\n"
    "  --contacts N      people (50000)\n"
    "  --seed N          another company of the same size (1)\n"
    "  --territories N   sales territories, two reps each (20)\n"
    "  --stores N        stores, two cashiers each (25)\n"
    "  --cards N         loyalty cards (30000)\n"
    "  --entries N       entries of the points ledger (200000)\n"
    "  --help            this text\n"
    "\n"
    "Load it into a running server:  satchel-company --contacts 1000 | satchelctl --data DIR sql -\n"
    "Exit status: 0 done, 1 the output could not be written, 2 wrong usage.\n";

static int usage(const char *words, const char *what) {
    fprintf(stderr, "satchel-company: %s%s%s\nTry 'satchel-company --help'.\n", words, what ? ": " : "", what ? what : "");
    return 2;
}

/* False unless the text is a decimal number from `least` to `most`. */
static bool number(const char *text, uint64_t least, uint64_t most, uint64_t *out) {
    char *end = NULL;
    if (*text < '0' || *text > '9') return false;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return !errno && !*end && *out >= least && *out <= most;
}

/* What was not given: 0 stands for that, UINT64_MAX for cards and entries, of which there may be none. */
typedef struct wishes {
    uint64_t contacts, seed, territories, stores, cards, entries;
} wishes;

static const struct option OPTIONS[] = {{"contacts", required_argument, NULL, 'c'},
                                        {"seed", required_argument, NULL, 's'},
                                        {"territories", required_argument, NULL, 't'},
                                        {"stores", required_argument, NULL, 'o'},
                                        {"cards", required_argument, NULL, 'k'},
                                        {"entries", required_argument, NULL, 'e'},
                                        {"help", no_argument, NULL, 'h'},
                                        {NULL, 0, NULL, 0}};

static bool take(wishes *w, int option, const char *text) {
    switch (option) {
    case 'c':
        return number(text, 1, MAX_COUNT, &w->contacts);
    case 's':
        return number(text, 0, UINT64_MAX, &w->seed);
    case 't':
        return number(text, 1, 100000, &w->territories);
    case 'o':
        return number(text, 1, 100000, &w->stores);
    case 'k':
        return number(text, 0, MAX_COUNT, &w->cards);
    default:
        return number(text, 0, MAX_COUNT, &w->entries);
    }
}

static uint32_t scaled(uint64_t wish, uint64_t unset, uint64_t contacts, uint64_t of_50000, uint64_t least) {
    uint64_t n = contacts * of_50000 / 50000;
    if (wish != unset) return (uint32_t)wish;
    if (n < least) return (uint32_t)least;
    return (uint32_t)(n > MAX_COUNT ? MAX_COUNT : n);
}

static int write_company(const wishes *w) {
    company_size size = {.seed = w->seed,
                         .contacts = (uint32_t)w->contacts,
                         .territories = scaled(w->territories, 0, w->contacts, 20, 2),
                         .stores = scaled(w->stores, 0, w->contacts, 25, 2),
                         .cards = scaled(w->cards, UINT64_MAX, w->contacts, 30000, 1),
                         .entries = scaled(w->entries, UINT64_MAX, w->contacts, 200000, 1)};
    if (!company_write(&size, stdout)) {
        fputs("satchel-company: out of memory\n", stderr);
        return 1;
    }
    if (ferror(stdout) || fflush(stdout)) {
        fprintf(stderr, "satchel-company: the output could not be written: %s\n", strerror(errno));
        return 1;
    }
    return 0;
}

int main(int argc, char **argv) {
    wishes w = {.contacts = 50000, .seed = 1, .cards = UINT64_MAX, .entries = UINT64_MAX};
    int option;
    opterr = 0;
    while ((option = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1) {
        if (option == 'h') {
            fputs(HELP, stdout);
            return fflush(stdout) ? 1 : 0;
        }
        if (option == '?') return usage("unknown option or missing value", argv[optind - 1]);
        if (!take(&w, option, optarg)) return usage("not a number in range", optarg);
    }
    if (optind < argc) return usage("takes no arguments", argv[optind]);
    if (w.entries != UINT64_MAX && w.entries && !w.cards) return usage("entries need cards", NULL);
    return write_company(&w);
}
