#include "replica/cipher.h"

#include <string.h>

#include "protocol/db.h"
#include "protocol/limits.h"
#include "protocol/satchel_rc.h"

#if defined(SQLITE3MC_VERSION_MAJOR) || defined(SQLITE_HAS_CODEC)

enum { CAN_ENCRYPT = 1 };

static int set_key(sqlite3 *db, const void *key, size_t n) {
    /* Sorting, statement journals and VACUUM would write rows into temporary files in the clear. */
    int failed = sqlite3_exec(db, "PRAGMA temp_store=MEMORY", NULL, NULL, NULL);
    return failed ? failed : sqlite3_key_v2(db, "main", key, (int)n);
}

#else

enum { CAN_ENCRYPT = 0 };

static int set_key(sqlite3 *db, const void *key, size_t n) {
    (void)db, (void)key, (void)n;
    return SQLITE_MISUSE;
}

#endif

int cipher_check(const void *key, size_t n, buf *error) {
    if (!n) return SATCHEL_OK;
    if (!CAN_ENCRYPT)
        buf_printf(error, "a key was given, but this program's SQLite cannot encrypt; Satchel must be built over one that can");
    else if (!key || n > LIMIT_FILE_KEY_BYTES)
        buf_printf(error, "a key has 1 to %d bytes", LIMIT_FILE_KEY_BYTES);
    else
        return SATCHEL_OK;
    return SATCHEL_E_MISUSE;
}

int cipher_unlock(sqlite3 *db, const void *key, size_t n, buf *error) {
    int failed = n ? set_key(db, key, n) : SQLITE_OK;
    if (!failed) return SATCHEL_OK;
    db_explain(db, "cannot set the key", error);
    return db_rc(failed);
}

/* The first bytes of the file as they lie there. Through SQLite, since closing a descriptor of our own would drop the locks that this process
 * has on the file (POSIX). */
static bool read_head(const char *path, unsigned char head[24]) {
    sqlite3 *db;
    sqlite3_file *f = NULL;
    bool done = !sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL) &&
                !sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &f) && f->pMethods &&
                !f->pMethods->xRead(f, head, 24, 0);
    sqlite3_close(db);
    return done;
}

int cipher_explain(sqlite3 *db, bool keyed, buf *error) {
    /* The file format's fixed bytes 21 to 23, which SQLite3 Multiple Ciphers leaves in the clear with the page size before them. */
    static const unsigned char fractions[] = {64, 32, 32};
    unsigned char head[24];
    bool known = read_head(sqlite3_db_filename(db, "main"), head);
    bool plain = known && !memcmp(head, "SQLite format 3", 16);
    /* The last connection to close would move the WAL's pages into the file, through a cipher with the wrong key. */
    sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    if (!keyed && !plain && known && !memcmp(head + 21, fractions, sizeof fractions)) {
        buf_printf(error, "it is encrypted, and no key was given");
        return SATCHEL_E_KEY;
    }
    if (!keyed) {
        db_explain(db, "cannot read the database", error);
        return SATCHEL_E_NOT_A_DATABASE;
    }
    buf_printf(error, plain ? "it is not encrypted, and a key was given" : "the key that was given does not open it");
    return SATCHEL_E_KEY;
}
