#include "server/log.h"

#include <jansson.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "protocol/buf.h"
#include "protocol/limits.h"
#include "protocol/satchel_rc.h"
#include "protocol/value.h"

#define TEXT_BYTES 4096
/* Kinds of lines whose floods are counted at once; a power of two. */
#define WINDOWS 256

/* Lines of one event of one device since `from_s`. The names are copied: whoever has them told is gone by then. */
typedef struct window {
    uint64_t key; /* 0: empty */
    uint64_t from_s, written, left_out;
    log_fields fields;
    char device[LIMIT_NAME_BYTES + 1], peer[64];
} window;

static struct {
    pthread_mutex_t lock;
    log_format format;
    log_level level;
    unsigned open; /* windows that have left something out */
    window windows[WINDOWS];
} state = {.lock = PTHREAD_MUTEX_INITIALIZER, .level = LOG_LEVEL_INFO};

void log_open(log_format format, log_level level) {
    pthread_mutex_lock(&state.lock);
    state.format = format;
    state.level = level;
    pthread_mutex_unlock(&state.lock);
}

void log_time(uint64_t ms, char out[32]) {
    time_t s = (time_t)(ms / 1000);
    struct tm tm;
    gmtime_r(&s, &tm);
    size_t n = strftime(out, 32, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out + n, 32 - n, ".%03uZ", (unsigned)(ms % 1000));
}

static log_level level_of(char level) {
    return level == 'd' ? LOG_LEVEL_DEBUG : level == 'w' ? LOG_LEVEL_WARN : level == 'e' ? LOG_LEVEL_ERROR : LOG_LEVEL_INFO;
}

/* ---- one line ---- */

/* In place: one line of valid UTF-8. A text that was cut in the middle of a character counts as broken. */
static void sanitise(char *text) {
    bool valid = value_utf8_valid((const uint8_t *)text, strlen(text));
    for (unsigned char *p = (unsigned char *)text; *p; p++) {
        if (*p < 0x20 || *p == 0x7f) *p = ' ';
        if (!valid && *p >= 0x80) *p = '?';
    }
}

static const char *copy_name(const char *from, char *to, size_t room) {
    if (!from) return NULL;
    snprintf(to, room, "%s", from);
    sanitise(to);
    return to;
}

/* name=text, the text in quotes where it would not stand as one word. */
static void put_field(buf *line, const char *name, const char *text) {
    if (!text) return;
    buf_printf(line, " %s=", name);
    bool plain = *text && !strpbrk(text, " \"\\=");
    if (!plain) buf_put_byte(line, '"');
    for (const char *p = text; *p; p++) {
        if (*p == '"' || *p == '\\') buf_put_byte(line, '\\');
        buf_put_byte(line, (uint8_t)*p);
    }
    if (!plain) buf_put_byte(line, '"');
}

static void print_text(const char *time, const char *level, const log_fields *f, const char *text) {
    buf line = {0};
    buf_printf(&line, "%s %s %s", time, level, text);
    put_field(&line, "event", f->event);
    put_field(&line, "device", f->device);
    put_field(&line, "peer", f->peer);
    if (f->txn) buf_printf(&line, " txn=%llu", (unsigned long long)f->txn);
    put_field(&line, "reason", f->rc ? satchel_rc_name(f->rc) : NULL);
    if (!line.rc) fprintf(stderr, "%.*s\n", (int)line.n, (const char *)line.p);
    buf_fini(&line);
}

static void print_json(const char *time, const char *level, const log_fields *f, const char *text) {
    json_t *txn = f->txn ? json_integer((json_int_t)f->txn) : NULL;
    json_t *line =
        json_pack("{ss ss ss* ss* ss* so* ss* ss}", "time", time, "level", level, "event", f->event, "device", f->device, "peer",
                  f->peer, "txn", txn, "reason", f->rc ? satchel_rc_name(f->rc) : NULL, "text", text);
    char *out = line ? json_dumps(line, JSON_COMPACT) : NULL;
    if (out) fprintf(stderr, "%s\n", out);
    free(out);
    json_decref(line);
}

static void print_line(const log_fields *f, const char *text) {
    static const char *const names[] = {"error", "warn", "info", "debug"};
    const char *level = names[level_of(f->level)];
    char time[32];
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    log_time((uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000, time);
    if (state.format == LOG_JSON)
        print_json(time, level, f, text);
    else
        print_text(time, level, f, text);
}

/* ---- floods ---- */

static uint64_t key_of(const log_fields *f) {
    uint64_t key = value_hash(f->event, strlen(f->event), 1);
    if (f->device) key = value_hash(f->device, strlen(f->device), key);
    if (f->peer) key = value_hash(f->peer, strlen(f->peer), key);
    return key | 1;
}

static void tell_left_out(window *w) {
    char text[80];
    if (!w->left_out) return;
    snprintf(text, sizeof text, "%llu more lines of this kind were left out", (unsigned long long)w->left_out);
    w->left_out = 0;
    state.open--;
    print_line(&w->fields, text);
}

static void tell_all(uint64_t until_s) {
    for (size_t i = 0; state.open && i < WINDOWS; i++)
        if (state.windows[i].left_out && state.windows[i].from_s <= until_s) tell_left_out(&state.windows[i]);
}

static void begin_window(window *w, uint64_t key, uint64_t now_s, const log_fields *f) {
    tell_left_out(w);
    *w = (window){.key = key, .from_s = now_s};
    w->fields = (log_fields){.level = f->level, .event = f->event};
    w->fields.device = copy_name(f->device, w->device, sizeof w->device);
    w->fields.peer = copy_name(f->peer, w->peer, sizeof w->peer);
}

static bool leave_out(const log_fields *f) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t now_s = (uint64_t)now.tv_sec + LOG_WINDOW_S; /* so that a window before it is never below zero */
    tell_all(now_s - LOG_WINDOW_S);
    if (!f->event) return false;
    uint64_t key = key_of(f);
    window *w = &state.windows[(key >> 8) & (WINDOWS - 1)];
    if (w->key != key || now_s >= w->from_s + LOG_WINDOW_S) begin_window(w, key, now_s, f);
    if (w->written < LOG_BURST) {
        w->written++;
        return false;
    }
    if (!w->left_out++) state.open++;
    return true;
}

void log_flush(void) {
    pthread_mutex_lock(&state.lock);
    tell_all(UINT64_MAX);
    pthread_mutex_unlock(&state.lock);
}

/* ---- for everybody ---- */

static void log_words(const log_fields *from, const char *format, va_list args) {
    char text[TEXT_BYTES], device[LIMIT_NAME_BYTES + 1], peer[64];
    log_fields f = *from;
    vsnprintf(text, sizeof text, format, args);
    sanitise(text);
    f.device = copy_name(from->device, device, sizeof device);
    f.peer = copy_name(from->peer, peer, sizeof peer);
    pthread_mutex_lock(&state.lock);
    if (level_of(f.level) <= state.level && !leave_out(&f)) print_line(&f, text);
    pthread_mutex_unlock(&state.lock);
}

void log_event(const log_fields *f, const char *format, ...) {
    va_list args;
    va_start(args, format);
    log_words(f, format, args);
    va_end(args);
}

void log_line(char level, const char *device, const char *format, ...) {
    log_fields f = {.level = level, .device = device};
    va_list args;
    va_start(args, format);
    log_words(&f, format, args);
    va_end(args);
}
