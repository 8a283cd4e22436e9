/* disk_log.h - SQLite's syncs, and a write-ahead log as Linux keeps it: what an fsync that failed could not write is clean from then on, and on no disk.
 *
 * Whoever links it has fsync and fdatasync of its own. */
#ifndef TESTS_SUPPORT_DISK_LOG_H
#define TESTS_SUPPORT_DISK_LOG_H

#include <stddef.h>

/* Of any file, so far. */
extern unsigned disk_syncs;

/* From here on the log of the database at `path` is watched, up to 16 MiB of it; what lies there by now is on the disk. */
void disk_log_watch(const char *path);
/* So many syncs of it, the next ones, fail. */
extern unsigned disk_log_fails;
/* How many bytes that were written to it no sync has brought to the disk. */
size_t disk_log_missing(void);

#endif
