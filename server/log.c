#include "server/log.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "protocol/limits.h"
#include "protocol/value.h"

#define LINE_BYTES 4096

static struct {
    log_format format;
    int debug;
} state;

void log_open(log_format format) {
    state.format = format;
}

void log_debug(int on) {
    state.debug = on;
}

void log_time(uint64_t ms, char out[32]) {
    time_t s = (time_t)(ms / 1000);
    struct tm tm;
    gmtime_r(&s, &tm);
    size_t n = strftime(out, 32, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out + n, 32 - n, ".%03uZ", (unsigned)(ms % 1000));
}

static const char *level_name(char level) {
    switch (level) {
    case 'd':
        return "debug";
    case 'w':
        return "warn";
    case 'e':
        return "error";
    default:
        return "info";
    }
}

/* In place: one line of valid UTF-8. A text that was cut in the middle of a character counts as broken. */
static void sanitise(char *text) {
    bool valid = value_utf8_valid((const uint8_t *)text, strlen(text));
    for (unsigned char *p = (unsigned char *)text; *p; p++) {
        if (*p < 0x20 || *p == 0x7f) *p = ' ';
        if (!valid && *p >= 0x80) *p = '?';
    }
}

static void print_json(const char *time, char level, const char *device, const char *text) {
    json_t *line = json_pack("{ss ss ss* ss}", "time", time, "level", level_name(level), "device", device, "text", text);
    char *out = line ? json_dumps(line, JSON_COMPACT) : NULL;
    if (out) fprintf(stderr, "%s\n", out);
    free(out);
    json_decref(line);
}

void log_line(char level, const char *device, const char *format, ...) {
    if (level == 'd' && !state.debug) return;
    char text[LINE_BYTES], name[LIMIT_NAME_BYTES + 1] = "", time[32];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    sanitise(text);
    if (device) {
        snprintf(name, sizeof name, "%s", device);
        sanitise(name);
    }
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    log_time((uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000, time);
    if (state.format == LOG_JSON)
        print_json(time, level, device ? name : NULL, text);
    else
        fprintf(stderr, "%s %s%s%s%s %s\n", time, level_name(level), device ? " [" : "", name, device ? "]" : "", text);
}
