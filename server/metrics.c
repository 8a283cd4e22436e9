#include "server/metrics.h"

#include <dirent.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

typedef struct metric {
    const char *name, *type, *help;
    size_t offset; /* of a uint64_t */
} metric;

#define COUNTER(field, name, help)                                                                                               \
    { name, "counter", help, offsetof(hub_stats, field) }
#define GAUGE(field, name, help)                                                                                                 \
    { name, "gauge", help, offsetof(hub_stats, field) }
static const metric of_hub[] = {
    GAUGE(sessions, "satchel_sessions", "Devices connected now."),
    COUNTER(sessions_total, "satchel_sessions_opened_total", "Connections of devices since the start."),
    COUNTER(frames_in, "satchel_frames_received_total", "Messages received from devices."),
    COUNTER(frames_out, "satchel_frames_sent_total", "Messages sent to devices."),
    COUNTER(bytes_in, "satchel_bytes_received_total", "Bytes of messages received, as on the wire."),
    COUNTER(bytes_out, "satchel_bytes_sent_total", "Bytes of messages sent, as on the wire."),
    COUNTER(txns_accepted, "satchel_transactions_accepted_total", "Transactions of devices that were accepted."),
    COUNTER(txns_refused, "satchel_transactions_refused_total", "Transactions of devices that were refused and parked."),
    COUNTER(txns_repeated, "satchel_transactions_repeated_total", "Transactions that were known and got their stored result."),
    COUNTER(rows_in, "satchel_rows_received_total", "Row changes that were committed with what devices sent."),
    COUNTER(conflicts, "satchel_conflicts_total", "Concurrently written values that lost and were recorded."),
    COUNTER(forks, "satchel_forks_total", "Devices found to be restored or cloned files."),
    COUNTER(checksum_ranges, "satchel_checksum_ranges_total", "Ranges of rows compared with devices by their digests."),
    COUNTER(checksum_known, "satchel_checksum_known_total", "Of them, those that needed no reading of rows."),
    COUNTER(checksum_differ, "satchel_checksum_differences_total", "Ranges that differed and were given again."),
    COUNTER(checksum_healed, "satchel_checksum_healed_total",
            "Rows of the store that were not what its log says, and were put right."),
    COUNTER(groups, "satchel_commits_total", "Group commits of the writer."),
    COUNTER(pages, "satchel_pages_total", "Pages sent."),
    COUNTER(page_cache_hits, "satchel_page_cache_hits_total", "Pages sent that had been made for another device."),
    COUNTER(snapshot_pages, "satchel_snapshot_pages_total", "Snapshot pages sent."),
    COUNTER(snapshots_built, "satchel_snapshots_built_total", "Snapshots prepared."),
    COUNTER(auth_failures, "satchel_auth_failures_total", "Passwords, tokens, codes and certificates that were refused."),
    GAUGE(writer_queue, "satchel_writer_queue", "Messages and jobs waiting for the writer."),
    GAUGE(reader_queue, "satchel_reader_queue", "Pulls waiting for a reader."),
    GAUGE(seq, "satchel_seq", "Sequence number of the newest commit."),
    GAUGE(disk_free, "satchel_disk_free_bytes", "Bytes free where the store lies."),
    GAUGE(disk_reserve, "satchel_disk_reserve_bytes", "With fewer bytes free than this no changes are taken."),
    GAUGE(wal_bytes, "satchel_wal_bytes", "Size of the store's write-ahead log."),
};
#undef COUNTER
#undef GAUGE

#define GAUGE(field, name, help)                                                                                                 \
    { name, "gauge", help, offsetof(store_counts, field) }
static const metric of_store[] = {
    GAUGE(devices, "satchel_devices", "Devices ever enrolled."),
    GAUGE(active, "satchel_devices_active", "Devices that are not revoked."),
    GAUGE(rows, "satchel_rows", "Rows of synced tables."),
    GAUGE(conflicts, "satchel_conflict_log_entries", "Entries of the conflict log."),
    GAUGE(rejected_open, "satchel_rejected_open", "Refused transactions that nobody has resolved."),
    GAUGE(pending, "satchel_changes_waiting", "Transactions that wait on active devices, as they last said."),
    GAUGE(silent_day, "satchel_devices_silent", "Active devices that were not heard of for a day."),
    GAUGE(alerts_open, "satchel_alerts_open", "Alerts that are open or acknowledged."),
    GAUGE(alerts_critical, "satchel_alerts_critical", "Of them, those that are critical."),
    GAUGE(log_rows, "satchel_log_entries", "Entries of the change log."),
    GAUGE(tombstones, "satchel_tombstones", "Tombstones of deleted rows."),
    GAUGE(bytes, "satchel_store_bytes", "Size of the store's file."),
    GAUGE(backup_seq, "satchel_backup_seq", "Sequence number up to which the newest backup has everything."),
    GAUGE(backup_ms, "satchel_last_backup_timestamp_milliseconds", "When the newest backup was made, since 1970; 0: never."),
};
#undef GAUGE

static void put_head(buf *out, const char *name, const char *type, const char *help) {
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_integer(buf *out, const char *name, const char *type, const char *help, uint64_t v) {
    put_head(out, name, type, help);
    buf_printf(out, "%s %llu\n", name, (unsigned long long)v);
}

static void put_real(buf *out, const char *name, const char *type, const char *help, double v) {
    put_head(out, name, type, help);
    buf_printf(out, "%s %.3f\n", name, v);
}

static void put_table(buf *out, const metric *m, size_t n, const void *from) {
    for (size_t i = 0; i < n; i++) {
        const uint64_t *v = (const void *)((const char *)from + m[i].offset);
        put_integer(out, m[i].name, m[i].type, m[i].help, *v);
    }
}

static uint64_t open_files(void) {
    DIR *dir = opendir("/proc/self/fd");
    if (!dir) return 0;
    uint64_t n = 0;
    for (struct dirent *e; (e = readdir(dir));) n += e->d_name[0] != '.';
    closedir(dir);
    return n ? n - 1 : 0; /* without the one that reads */
}

static void put_memory(buf *out) {
    unsigned long long pages = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (!f) return;
    if (fscanf(f, "%llu %llu", &pages, &resident) == 2) {
        unsigned long long page = (unsigned long long)sysconf(_SC_PAGESIZE);
        put_integer(out, "process_virtual_memory_bytes", "gauge", "Virtual memory size.", pages * page);
        put_integer(out, "process_resident_memory_bytes", "gauge", "Resident memory size.", resident * page);
    }
    fclose(f);
}

static double seconds_of(struct timeval t) {
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static void put_process(buf *out, uint64_t started_ms) {
    struct rusage used;
    struct rlimit files;
    put_memory(out);
    if (!getrusage(RUSAGE_SELF, &used))
        put_real(out, "process_cpu_seconds_total", "counter", "User and system CPU time.",
                 seconds_of(used.ru_utime) + seconds_of(used.ru_stime));
    put_integer(out, "process_open_fds", "gauge", "Open file descriptors.", open_files());
    if (!getrlimit(RLIMIT_NOFILE, &files))
        put_integer(out, "process_max_fds", "gauge", "Largest number of open file descriptors.", files.rlim_cur);
    put_real(out, "process_start_time_seconds", "gauge", "Start of the process since 1970.", (double)started_ms / 1e3);
}

void metrics_format(const hub_stats *stats, const store_counts *counts, uint64_t started_ms, buf *out) {
    put_head(out, "satchel_build_info", "gauge", "1, with the server's version.");
    buf_printf(out, "satchel_build_info{version=\"%s\"} 1\n", SATCHEL_VERSION);
    put_integer(out, "satchel_writable", "gauge",
                "1 while the store takes changes; 0 while the disk is low, or after a write failed.", stats->writable);
    put_table(out, of_hub, sizeof of_hub / sizeof *of_hub, stats);
    if (counts) put_table(out, of_store, sizeof of_store / sizeof *of_store, counts);
    put_process(out, started_ms);
}
