/* load.h - what the files of satchel-load share.
 *
 * The program is many devices in one process, against a server on the same machine. A device is the real replica: either a whole one (device.h: a
 * handle that syncs in a thread of its own and an application that writes) or a light one (light.h: file, session and transport in one loop, for
 * thousands that mostly wait). What is measured of the server comes from /proc. Exit status 0 done, 1 failed, 2 wrong usage. */
#ifndef TOOLS_LOAD_H
#define TOOLS_LOAD_H

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "tools/ctl.h"

enum { LOAD_DONE = CTL_DONE, LOAD_FAILED = CTL_FAILED, LOAD_USAGE = CTL_USAGE };

#define LOAD_PATH_BYTES 1024

/* What a device does of its own accord, as weights. */
typedef enum load_act { ACT_INSERT, ACT_UPDATE, ACT_COUNTER, ACT_DELETE, ACT_OFFLINE, ACT_RECONNECT, LOAD_ACTS } load_act;
extern const char *const load_act_names[LOAD_ACTS];

#define LOAD_ROUNDS_MOST 99u
typedef struct load_options {
    const char *data, *socket, *work;
    const char *abuse; /* a name of load_abuse.h; NULL: each */
    unsigned devices, seconds, rounds, pace_ms, edits, commits, stay_s, patience_s;
    uint64_t seed;
    unsigned mix[LOAD_ACTS];
    bool json, keep, restart;
} load_options;

/* Says "satchel-load: ..." on standard error; returns LOAD_FAILED. */
int load_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* One line of JSON on standard output. Takes the value. */
void load_print_json(json_t *value);
/* CLOCK_MONOTONIC, which all devices and threads of this process share. */
uint64_t load_now_us(void);
void load_sleep_us(uint64_t us);
/* splitmix64: the next number of a sequence that `*state` begins. */
uint64_t load_random(uint64_t *state);

/* ---- load_server.c: the server under load ---- */

typedef struct load_server {
    ctl ctl;
    char data[LOAD_PATH_BYTES]; /* its data directory */
    char pin[65];               /* tells servers apart */
    char host[256];
    uint16_t sync_port;
    int pid;
} load_server;

/* Connects to the admin's socket and learns the rest. */
int load_server_open(load_server *sv, const load_options *o);
void load_server_close(load_server *sv);
/* Reads ports.json again; false while there is none. */
bool load_server_find(load_server *sv);
/* The newest commit. */
int load_server_seq(load_server *sv, uint64_t *seq);
/* "table rows sha256" lines, a text on the heap. */
int load_server_digest(load_server *sv, char **text);
int load_server_sql(load_server *sv, const char *sql);
/* Of messages, as on the wire, since the server started. */
typedef struct load_bytes {
    uint64_t in, out;
} load_bytes;
int load_server_bytes(load_server *sv, load_bytes *out);

/* What the system says of the server's process. peak_kib is since load_peak_reset, where the system allows that, else since its start. */
typedef struct load_usage {
    uint64_t rss_kib, peak_kib;
    uint64_t cpu_ns; /* user and system, of all threads */
} load_usage;
int load_usage_read(int pid, load_usage *out);
void load_peak_reset(int pid);

/* ---- load_histogram.c: times, to within two percent ---- */

#define LOAD_BUCKETS 1664u
typedef struct load_histogram {
    atomic_uint_fast64_t bucket[LOAD_BUCKETS];
    atomic_uint_fast64_t max_us;
} load_histogram;

/* From any thread. */
void load_histogram_add(load_histogram *h, uint64_t us);
uint64_t load_histogram_count(const load_histogram *h);
/* The time that `share` (0 to 1) of them stay within; 0 if there is none. */
double load_histogram_ms(const load_histogram *h, double share);
/* {"n", "p50_ms", "p90_ms", "p99_ms", "max_ms"} */
json_t *load_histogram_json(const load_histogram *h);
/* A title, the figures, and a bar for each range of times. */
void load_histogram_print(const load_histogram *h, const char *title);

/* ---- load_fleet.c: devices of the server, made here ---- */

typedef struct load_fleet {
    load_server *server;
    char work[LOAD_PATH_BYTES]; /* their files */
    char prefix[32];            /* of their names on the server */
    bool temporary;
    unsigned n;
} load_fleet;

/* Sees to it that `n` devices are enrolled, each a file that holds what the server held when the work directory was begun. LOAD_FAILED after telling why. */
int load_fleet_open(load_fleet *f, load_server *sv, const load_options *o, unsigned n);
/* Removes what is temporary: files, and the devices' rights on the server. */
void load_fleet_close(load_fleet *f);
/* The path of the file of device `number`, from 0. */
void load_fleet_path(const load_fleet *f, unsigned number, char out[LOAD_PATH_BYTES]);
/* Raises the limit of open files as far as it goes, and tells if `n` devices with `each` files do not fit. */
int load_files_allow(unsigned n, unsigned each);

/* ---- the commands ---- */

int load_run(load_server *sv, const load_options *o);
int load_live(load_server *sv, const load_options *o);
int load_idle(load_server *sv, const load_options *o);
int load_fanout(load_server *sv, const load_options *o);
int load_storm(load_server *sv, const load_options *o);
int load_fair(load_server *sv, const load_options *o);

#endif
