/* The server under load: what its admin's socket answers, and what the system says of its process. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/load.h"

#define PORTS_FILE "ports.json"

/* ---- small things ---- */

int load_fail(const char *format, ...) {
    va_list args;
    fputs("satchel-load: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    return LOAD_FAILED;
}

/* Six digits are more than a measurement has. */
void load_print_json(json_t *value) {
    json_dumpf(value, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(value);
}

uint64_t load_now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

void load_sleep_us(uint64_t us) {
    struct timespec t = {.tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000};
    nanosleep(&t, NULL);
}

uint64_t load_random(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

/* ---- the admin's socket ---- */

bool load_server_find(load_server *sv) {
    char path[LOAD_PATH_BYTES + 16];
    snprintf(path, sizeof path, "%s/" PORTS_FILE, sv->data);
    json_t *o = json_load_file(path, 0, NULL);
    const char *host = json_string_value(json_object_get(o, "host"));
    bool found = host != NULL;
    if (found) {
        snprintf(sv->host, sizeof sv->host, "%s", host);
        sv->pid = (int)json_integer_value(json_object_get(o, "pid"));
        sv->sync_port = (uint16_t)json_integer_value(json_object_get(o, "sync_port"));
    }
    json_decref(o);
    return found;
}

int load_server_open(load_server *sv, const load_options *o) {
    json_t *status;
    *sv = (load_server){.ctl = {.data = o->data, .socket = o->socket, .fd = -1}};
    int rc = ctl_call(&sv->ctl, json_pack("{ss}", "command", "status"), NULL, &status);
    if (rc) return rc;
    const char *data = json_string_value(json_object_get(status, "data")),
               *pin = json_string_value(json_object_get(status, "pin"));
    snprintf(sv->data, sizeof sv->data, "%s", data ? data : "");
    snprintf(sv->pin, sizeof sv->pin, "%s", pin ? pin : "");
    json_decref(status);
    return load_server_find(sv) ? LOAD_DONE : load_fail("%s/" PORTS_FILE " cannot be read", sv->data);
}

void load_server_close(load_server *sv) {
    ctl_disconnect(&sv->ctl);
}

int load_server_seq(load_server *sv, uint64_t *seq) {
    json_t *status;
    int rc = ctl_call(&sv->ctl, json_pack("{ss}", "command", "status"), NULL, &status);
    if (rc) return rc;
    *seq = (uint64_t)json_integer_value(json_object_get(json_object_get(status, "position"), "seq"));
    json_decref(status);
    return LOAD_DONE;
}

int load_server_bytes(load_server *sv, load_bytes *out) {
    json_t *status;
    int rc = ctl_call(&sv->ctl, json_pack("{ss}", "command", "status"), NULL, &status);
    if (rc) return rc;
    const json_t *since = json_object_get(status, "since_start");
    out->in = (uint64_t)json_integer_value(json_object_get(since, "bytes_in"));
    out->out = (uint64_t)json_integer_value(json_object_get(since, "bytes_out"));
    json_decref(status);
    return LOAD_DONE;
}

int load_server_digest(load_server *sv, char **text) {
    json_t *reply;
    int rc = ctl_call(&sv->ctl, json_pack("{ss}", "command", "digest"), "the server's digest", &reply);
    if (rc) return rc;
    const char *digest = json_string_value(json_object_get(reply, "digest"));
    *text = strdup(digest ? digest : "");
    json_decref(reply);
    return *text ? LOAD_DONE : load_fail("out of memory");
}

int load_server_sql(load_server *sv, const char *sql) {
    json_t *reply;
    int rc = ctl_call(&sv->ctl, json_pack("{ss ss}", "command", "sql", "text", sql), NULL, &reply);
    if (!rc) json_decref(reply);
    return rc;
}

/* ---- its process ---- */

static int read_memory(int pid, load_usage *out) {
    char path[64], line[256];
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    FILE *f = fopen(path, "re");
    if (!f) return load_fail("the server's process %d cannot be looked at", pid);
    while (fgets(line, sizeof line, f)) {
        if (!strncmp(line, "VmRSS:", 6)) out->rss_kib = strtoull(line + 6, NULL, 10);
        if (!strncmp(line, "VmHWM:", 6)) out->peak_kib = strtoull(line + 6, NULL, 10);
    }
    fclose(f);
    return LOAD_DONE;
}

int load_usage_read(int pid, load_usage *out) {
    clockid_t clock;
    struct timespec t;
    *out = (load_usage){0};
    int rc = read_memory(pid, out);
    if (rc) return rc;
    if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &t))
        return load_fail("the processor time of process %d cannot be read", pid);
    out->cpu_ns = (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
    return LOAD_DONE;
}

void load_peak_reset(int pid) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/clear_refs", pid);
    FILE *f = fopen(path, "we");
    if (!f) return;
    fputs("5", f);
    fclose(f);
}
