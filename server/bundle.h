/* bundle.h - a backup as files: a directory of a store, the server's keys and certificates, and manifest.json, which has the size and SHA-256 of each.
 *
 * Knows files alone: the server makes the copy of its store (backup.h), satchelctl lays a bundle out as a data directory. Invariant: a directory that
 * has a manifest has every file that it names, on the disk; who makes one writes the manifest last. Every file is made with mode 0600.
 *
 *   {"satchel_backup":1,"version":"0.1.0","made_ms":1790000000000,"epoch":"hex of 8 bytes","seq":12,"schema_epoch":1,
 *    "files":[{"name":"store.db","bytes":4096,"sha256":"hex"}, ...]}
 *
 * All functions append words to `error` that name the file; SATCHEL_E_FULL, _READONLY, _IO, _NOT_FOUND, _CORRUPT, _NEWER_FILE, and _CLOSED when
 * `watch` gave the work up. */
#ifndef SERVER_BUNDLE_H
#define SERVER_BUNDLE_H

#include "protocol/buf.h"
#include "protocol/crypto.h"
#include "server/progress.h"

#define BUNDLE_FORMAT 1
#define BUNDLE_MANIFEST "manifest.json"
#define BUNDLE_STORE "store.db"
/* In a data directory that was laid out from a bundle: the epoch that the next start begins, in hexadecimal (N7). */
#define BUNDLE_RESTORED "restored"
#define BUNDLE_FILES 16

typedef struct bundle_file {
    char name[64];
    uint64_t bytes;
    uint8_t sha256[32];
} bundle_file;

typedef struct bundle {
    char version[32]; /* of the server that made it */
    uint64_t made_ms, seq;
    uint8_t epoch[8];
    uint32_t schema_epoch;
    unsigned n;
    bundle_file file[BUNDLE_FILES];
} bundle;

/* What a bundle has beside the store, as far as the data directory has it. Ends with NULL. */
extern const char *const bundle_secrets[];

/* An open directory and its name, for words. */
typedef struct bundle_dir {
    int fd;
    const char *path;
} bundle_dir;

/* Makes sure that the file is on the disk, and fills in its size and sum. */
int bundle_sum(bundle_dir d, bundle_file *f, const progress *watch, buf *error);
/* Copies a file under its name, and fills in size and sum of what was read; the copy is on the disk. */
int bundle_copy(bundle_dir from, bundle_dir to, bundle_file *f, const progress *watch, buf *error);
int bundle_write(bundle_dir d, const char *name, const void *p, size_t n, buf *error);

int bundle_write_manifest(bundle_dir d, const bundle *b, buf *error);
int bundle_read_manifest(bundle_dir d, bundle *b, buf *error);
/* Every file against the manifest: SATCHEL_E_CORRUPT for the first that is another. */
int bundle_check(bundle_dir d, const bundle *b, const progress *watch, buf *error);

/* Removes the directory `name` of `parent` if there is nothing in it but files of a bundle or a data directory; for one that was not finished. */
int bundle_remove(bundle_dir parent, const char *name, buf *error);
/* "dir/name" of a path, without slashes at its end: the directory ("." if none is named) and the last name. SATCHEL_E_TOO_LARGE, or _MISUSE for a path
 * that has no name of its own. */
int bundle_split(const char *path, char dir[1024], char name[256], buf *error);

#endif
