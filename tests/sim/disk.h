/* disk.h - disks in memory, one a node, as a SQLite VFS that can die at any call, lose what was not synced, tear it, be full and fail.
 *
 * A file's name begins with the name of its disk ("phone/app.db" or "/some/where/phone/app.db" lies on the disk "phone"). Each file has what programs see and what
 * a loss of power would leave: the bytes as of the last sync, and the writes since. Files, shared memory and locks are all of one process, so that several
 * connections work on one file as on a real one. Everything a disk does follows from its seed. */
#ifndef TESTS_SIM_DISK_H
#define TESTS_SIM_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct disk disk;

/* Makes this VFS SQLite's default. `now_ms` is what SQLite's own date functions see. */
void disk_install(uint64_t (*now_ms)(void *ctx), void *ctx);
void disk_uninstall(void);

/* A disk without files. */
disk *disk_new(const char *name, uint64_t seed);
/* Its files must be closed. */
void disk_free(disk *d);

/* ---- faults ---- */

/* The call-th call from now (1: the next) and every later one fails with SQLITE_IOERR: the process is gone, whatever its code still tries. 0: now. */
void disk_die_at(disk *d, uint64_t call);
bool disk_is_dead(const disk *d);
/* After a death, when every file was closed: what the programs saw is there again (a killed process), or, with `power_lost`, what had been synced and some
 * of what had not: nothing of it, all, the first writes, or any 512-byte sectors; and none, or some pages, of what a failed sync gave up. Ends disk_fill and
 * disk_fail_at. */
void disk_revive(disk *d, bool power_lost);
/* While full, writes that make a file longer fail with SQLITE_FULL. */
void disk_fill(disk *d, bool full);
/* The call-th writing, syncing or reading call from now fails once. A sync that does leaves what it was to cover for the next one, or, half of the time, gives it
 * up, as Linux does: programs see it, later syncs pass over it, and a loss of power takes any pages of it that were not written again and synced. */
void disk_fail_at(disk *d, uint64_t call);

/* The simulator's own looking (nested): no call fails or counts meanwhile. */
void disk_look(bool on);
extern unsigned disk_looking;
static inline bool disk_is_looking(void) {
    return disk_looking != 0;
}

/* ---- files from outside ---- */

/* Copies what a program sees of a database and its write-ahead log; `to` is made anew, as if it had been synced. Neither may be in the middle of a write. */
void disk_copy(disk *from, const char *from_name, disk *to, const char *to_name);
/* Removes a database with its log. */
void disk_remove(disk *d, const char *name);
bool disk_has(const disk *d, const char *name);

/* ---- for calls of the system that are not SQLite's ---- */

/* A change of a name on a disk, or of a real file in a directory of its name, is a call of that disk: false, with errno, if its process is gone. True for all
 * other paths. */
bool disk_beside(const char *path);
/* The bytes of a file on a disk; false: there is none of that path. */
bool disk_file_bytes(const char *path, size_t *n);
/* As unlink(2): an open file is there until it is closed. False if no disk has the file. */
bool disk_unlink(const char *path);

/* ---- figures ---- */

typedef struct disk_figures {
    uint64_t calls, syncs, written, lost; /* bytes */
    uint64_t full, failed;                /* spells of a full disk that a write met; calls that failed once */
    size_t bytes;                         /* of all files as seen */
    unsigned open;
} disk_figures;
disk_figures disk_measure(const disk *d);

#endif
