#include "tools/device.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/limits.h"

/* ---- the key of an encrypted file, from a file: never from the arguments, which other users can see ---- */

static const char *read_key(int fd, unsigned char *key, size_t *n) {
    struct stat st;
    unsigned char more;
    ssize_t got = 1;
    if (fstat(fd, &st)) return strerror(errno);
    if (S_ISREG(st.st_mode) && st.st_mode & (S_IRWXG | S_IRWXO)) return "others than its owner can read it; chmod 600 mends that";
    for (*n = 0; got > 0 && *n < LIMIT_FILE_KEY_BYTES; *n += (size_t)got) {
        got = read(fd, key + *n, LIMIT_FILE_KEY_BYTES - *n);
        if (got < 0) return strerror(errno);
    }
    if (*n == 0) return "it is empty";
    return got > 0 && read(fd, &more, 1) > 0 ? "it is longer than a key may be" : NULL;
}

static bool take_key(const char *path, unsigned char key[LIMIT_FILE_KEY_BYTES], size_t *n) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    const char *wrong = fd < 0 ? strerror(errno) : read_key(fd, key, n);
    if (fd >= 0) close(fd);
    if (wrong) fprintf(stderr, "%s: cannot take the key in %s: %s\n", program_invocation_short_name, path, wrong);
    return !wrong;
}

int device_open(const char *db, const char *identity, const char *key_file, unsigned flags, satchel **out) {
    unsigned char key[LIMIT_FILE_KEY_BYTES];
    satchel_options o = {.size = sizeof o, .flags = flags, .identity = identity, .key = key};
    int rc = SATCHEL_E_KEY;
    *out = NULL;
    if (!key_file || take_key(key_file, key, &o.key_bytes)) {
        rc = satchel_open(db, &o, out);
        if (rc) /* the words name the file */
            fprintf(stderr, "%s: %s (%s)\n", program_invocation_short_name, satchel_errmsg(*out), satchel_rc_name(rc));
    }
    explicit_bzero(key, sizeof key);
    return rc;
}

/* ---- values ---- */

void device_put_blob(sqlite3_stmt *stmt, int i, FILE *to) {
    const unsigned char *p = sqlite3_column_blob(stmt, i);
    int n = sqlite3_column_bytes(stmt, i);
    fputs("x'", to);
    for (int at = 0; at < n; at++) fprintf(to, "%02x", p[at]);
    fputc('\'', to);
}

static json_t *json_blob(sqlite3_stmt *stmt, int i) {
    char *text = NULL;
    size_t n = 0;
    FILE *memory = open_memstream(&text, &n);
    if (!memory) return NULL;
    device_put_blob(stmt, i, memory);
    fclose(memory);
    json_t *o = json_stringn(text, n);
    free(text);
    return o;
}

json_t *device_json_column(sqlite3_stmt *stmt, int i) {
    json_t *o = NULL;
    switch (sqlite3_column_type(stmt, i)) {
    case SQLITE_INTEGER:
        o = json_integer(sqlite3_column_int64(stmt, i));
        break;
    case SQLITE_FLOAT:
        o = json_real(sqlite3_column_double(stmt, i));
        break; /* NULL for what JSON cannot say */
    case SQLITE_TEXT:
        o = json_stringn((const char *)sqlite3_column_text(stmt, i), (size_t)sqlite3_column_bytes(stmt, i));
        break;
    case SQLITE_BLOB:
        o = json_blob(stmt, i);
        break;
    default:
        break;
    }
    return o ? o : json_null();
}

void device_print_json(json_t *o) {
    json_dumpf(o, stdout, JSON_COMPACT | JSON_ENCODE_ANY);
    putchar('\n');
    fflush(stdout);
    json_decref(o);
}
