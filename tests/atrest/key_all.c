/* Linked into a test program with --wrap, it gives every file that the program opens, by whatever connection, one key. The "raw:" form of it spares
 * the derivation. */
#include <sqlite3.h>

int __real_sqlite3_open(const char *path, sqlite3 **db);
int __real_sqlite3_open_v2(const char *path, sqlite3 **db, int flags, const char *vfs);
int __wrap_sqlite3_open(const char *path, sqlite3 **db);
int __wrap_sqlite3_open_v2(const char *path, sqlite3 **db, int flags, const char *vfs);

static const char key[] = "raw:5f1dd2a7c0e94b3688a1f07e6c3b95d24e80f7a91b6c2d3e4f50617283940a5b";

static int give_key(sqlite3 *db) {
    const char *path = sqlite3_db_filename(db, "main");
    return path && *path ? sqlite3_key_v2(db, "main", key, (int)sizeof key - 1) : SQLITE_OK;
}

int __wrap_sqlite3_open(const char *path, sqlite3 **db) {
    int rc = __real_sqlite3_open(path, db);
    return rc ? rc : give_key(*db);
}

int __wrap_sqlite3_open_v2(const char *path, sqlite3 **db, int flags, const char *vfs) {
    int rc = __real_sqlite3_open_v2(path, db, flags, vfs);
    return rc ? rc : give_key(*db);
}
