#include "server/version.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define PART_MAX 1023u
#define PRODUCT "satchel/"

/* Moves past a number; false: there is none, or it is too large. */
static bool take_part(const char **p, const char *end, unsigned *out) {
    const char *begin = *p;
    for (*out = 0; *p < end && **p >= '0' && **p <= '9' && *out <= PART_MAX; ++*p) *out = 10 * *out + (unsigned)(**p - '0');
    return *p > begin && *out <= PART_MAX;
}

static unsigned take(const char **p, const char *end) {
    unsigned part[3];
    for (unsigned i = 0; i < 3; i++) {
        if (i && (*p == end || *(*p)++ != '.')) return 0;
        if (!take_part(p, end, &part[i])) return 0;
    }
    return part[0] << 20 | part[1] << 10 | part[2];
}

unsigned version_parse(const char *text, size_t n) {
    const char *p = text, *end = text + n;
    unsigned version = take(&p, end);
    return p == end ? version : 0;
}

unsigned version_of_software(const char *software, size_t n) {
    const char *end = software + n;
    unsigned version = 0;
    for (const char *p = software; p < end; p++) {
        bool begins = p == software || p[-1] == ' ';
        if (!begins || (size_t)(end - p) < strlen(PRODUCT) || memcmp(p, PRODUCT, strlen(PRODUCT))) continue;
        const char *at = p + strlen(PRODUCT);
        version = take(&at, end);
    }
    return version;
}

size_t version_products(const char *software, size_t n, const char **platform, size_t *nplatform) {
    *nplatform = 0;
    if (!n || software[n - 1] != ')') return n;
    size_t at = n - 1;
    while (at && software[at] != '(') at--;
    if (software[at] != '(' || (at && software[at - 1] != ' ')) return n;
    *platform = software + at + 1;
    *nplatform = n - at - 2;
    return at ? at - 1 : 0;
}

void version_text(unsigned version, char out[VERSION_TEXT_BYTES]) {
    snprintf(out, VERSION_TEXT_BYTES, "%u.%u.%u", version >> 20, version >> 10 & PART_MAX, version & PART_MAX);
}
