#include "replica/wipe.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/message.h"
#include "protocol/satchel_rc.h"
#include "replica/cipher.h"
#include "replica/credentials.h"
#include "replica/stream.h"
#include "replica/transport.h"

#define PATH_BYTES 4096
#define MARKER "-wipe"
#define MARKER_MAKING "-wipe.new"
#define MARKER_BYTES 320
/* How long another process's transaction is waited for; its commit is refused afterwards (outbox.c). */
#define EMPTY_MS 2000
/* How often it is looked whether to stop. */
#define LOOK_MS 250

static bool put_path(char out[PATH_BYTES], const char *path, const char *end) {
    return snprintf(out, PATH_BYTES, "%s%s", path, end) < PATH_BYTES;
}

/* ---- the marker ---- */

/* A copy of the database may have been given the marker's name. */
static bool is_marker(int fd) {
    char text[MARKER_BYTES];
    ssize_t n = pread(fd, text, sizeof text, 0);
    return n < 0 || (n > 0 && n < MARKER_BYTES && text[0] >= '0' && text[0] <= '9' && text[n - 1] == '\n');
}

bool wipe_is_ordered(const char *path) {
    char marker[PATH_BYTES];
    if (!put_path(marker, path, MARKER)) return false;
    int fd = open(marker, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return errno == EACCES;
    bool is = is_marker(fd);
    close(fd);
    return is;
}

/* What was made or removed beside `path` is so on the disk. */
static int sync_directory(const char *path) {
    char dir[PATH_BYTES];
    const char *slash = strrchr(path, '/');
    if (!slash)
        snprintf(dir, sizeof dir, ".");
    else
        snprintf(dir, sizeof dir, "%.*s", slash == path ? 1 : (int)(slash - path), path);
    return credentials_sync_dir(dir) ? credentials_errno(errno) : SATCHEL_OK;
}

int wipe_order(const char *path, const char *host, uint16_t port) {
    char making[PATH_BYTES], marker[PATH_BYTES], text[MARKER_BYTES];
    if (!put_path(making, path, MARKER_MAKING) || !put_path(marker, path, MARKER)) return SATCHEL_E_MISUSE;
    int n = snprintf(text, sizeof text, "%u %s\n", port, host);
    int fd = open(making, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) return credentials_errno(errno);
    int rc = SATCHEL_OK;
    if (write(fd, text, (size_t)n) != n || fsync(fd) || rename(making, marker)) rc = credentials_errno(errno);
    if (rc) unlink(making);
    close(fd);
    if (rc) return rc;
    rc = sync_directory(path);
    if (rc) unlink(marker);
    return rc;
}

int wipe_claim(const char *path) {
    char marker[PATH_BYTES];
    struct stat st;
    if (!put_path(marker, path, MARKER)) return -1;
    int fd = open(marker, O_RDWR | O_CLOEXEC);
    if (fd < 0) return -1;
    /* Whoever had the lock may have finished: then this marker is gone, and the name may be another database's. */
    if (!flock(fd, LOCK_EX | LOCK_NB) && !fstat(fd, &st) && st.st_nlink && is_marker(fd)) return fd;
    close(fd);
    return -1;
}

/* Where the server is: false if that was not noted. */
static bool read_marker(int fd, char host[256], uint16_t *port) {
    char text[MARKER_BYTES];
    unsigned number;
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    if (n <= 0) return false;
    text[n] = 0;
    if (sscanf(text, "%u %255s", &number, host) != 2 || number > UINT16_MAX) return false;
    *port = (uint16_t)number;
    return true;
}

/* ---- erasing ---- */

/* The schema goes, not the pages: their files are removed next. Without another schema_version ("wipe") the others would not look. A VACUUM under
 * SQLITE_DBCONFIG_RESET_DATABASE does as much, but they then say that the file is damaged. */
void wipe_empty(sqlite3 *db) {
    int failed = sqlite3_get_autocommit(db) ? sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) : SQLITE_OK;
    if (!failed)
        failed = sqlite3_exec(db,
                              "PRAGMA main.writable_schema=ON; DELETE FROM main.sqlite_schema;"
                              "PRAGMA main.schema_version=2003398757; COMMIT",
                              NULL, NULL, NULL);
    if (failed) sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    sqlite3_exec(db, "PRAGMA main.writable_schema=RESET", NULL, NULL, NULL);
}

void wipe_empty_file(const char *path, const void *key, size_t nkey) {
    sqlite3 *db = NULL;
    buf words = {0};
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_FULLMUTEX, NULL) == SQLITE_OK) {
        sqlite3_busy_timeout(db, EMPTY_MS);
        if (cipher_unlock(db, key, nkey, &words) == SATCHEL_OK) wipe_empty(db);
    }
    sqlite3_close(db);
    buf_fini(&words);
}

static int remove_file(const char *path) {
    return unlink(path) && errno != ENOENT ? credentials_errno(errno) : SATCHEL_OK;
}

/* The database last: while it is there, so is what tells whose it was. */
int wipe_erase(const wipe *w) {
    static const char *const ends[] = {"-wal", "-shm", "-journal", MARKER_MAKING, ""};
    char name[PATH_BYTES];
    int rc = SATCHEL_OK;
    for (size_t i = 0; i < sizeof ends / sizeof *ends && !rc; i++)
        rc = put_path(name, w->path, ends[i]) ? remove_file(name) : SATCHEL_E_MISUSE;
    return rc ? rc : sync_directory(w->path);
}

/* Key, certificates, lock, and what a killed process left of one it was writing (credentials.c). */
static bool is_of_identity(const char *name) {
    static const char *const files[] = {CREDENTIALS_KEY, CREDENTIALS_NEXT_KEY, CREDENTIALS_CERT, CREDENTIALS_CA, "lock"};
    if (*name == '.') name++;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        size_t n = strlen(files[i]);
        if (!strncmp(name, files[i], n) && (!name[n] || name[n] == '.')) return true;
    }
    return false;
}

/* The directory goes as well, unless somebody keeps other things there. */
static int erase_identity(const char *dir) {
    DIR *d = opendir(dir);
    if (!d) return errno == ENOENT ? SATCHEL_OK : credentials_errno(errno);
    int rc = SATCHEL_OK;
    for (struct dirent *e; !rc && (e = readdir(d));)
        if (is_of_identity(e->d_name) && unlinkat(dirfd(d), e->d_name, 0) && errno != ENOENT) rc = credentials_errno(errno);
    if (!rc && fsync(dirfd(d))) rc = credentials_errno(errno);
    closedir(d);
    rmdir(dir);
    return rc;
}

static int finish(const wipe *w) {
    char marker[PATH_BYTES];
    int rc = erase_identity(w->identity);
    if (!rc) rc = put_path(marker, w->path, MARKER) ? remove_file(marker) : SATCHEL_E_MISUSE;
    return rc ? rc : sync_directory(w->path);
}

bool wipe_is_unlinked(sqlite3 *db) {
    int moved = 0;
    return sqlite3_file_control(db, "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK && moved;
}

/* ---- telling the server ---- */

static int say_wiped(transport *t) {
    static const char text[] = "this device has erased its data";
    msg_error m = {.rc = SATCHEL_E_WIPED, .text = text, .ntext = sizeof text - 1};
    buf message, frame;
    buf_init(&message, 0);
    buf_init(&frame, 0);
    int rc = error_encode(&m, &message);
    if (!rc) rc = frame_pack(message.p, message.n, &frame);
    if (!rc) rc = transport_send(t, frame.p, frame.n);
    buf_fini(&message);
    buf_fini(&frame);
    return rc;
}

/* The server's own word is the end of it, whether it has noted this or does not know the device any more; unless it asks to come back later. */
static int take_answer(const buf *frame, bool *answered) {
    msg_error m;
    buf message;
    buf_init(&message, LIMIT_MESSAGE_BYTES);
    int rc = frame_unpack(frame->p, frame->n, &message);
    if (!rc) rc = error_decode(message.p, message.n, &m);
    if (!rc && satchel_rc_class(m.rc) != SATCHEL_CLASS_PERMANENT) rc = SATCHEL_E_CLOSED;
    *answered = !rc;
    buf_fini(&message);
    return rc;
}

static int converse(transport *t, const atomic_bool *stop) {
    uint64_t until_ms = stream_clock_ms() + WIPE_REPORT_MS;
    bool said = false, answered = false;
    buf frame;
    buf_init(&frame, 0);
    int rc = transport_connect(t);
    while (!rc && !answered) {
        uint64_t now = stream_clock_ms();
        if (now >= until_ms || (stop && atomic_load(stop))) rc = SATCHEL_E_TIMEOUT;
        int ended = rc ? rc : transport_step(t, LOOK_MS, -1);
        if (!ended && !said && transport_state(t) == TRANSPORT_OPEN) {
            ended = say_wiped(t);
            said = true;
        }
        while (!rc && !answered && transport_receive(t, &frame)) rc = frame.rc ? frame.rc : take_answer(&frame, &answered);
        if (!rc && !answered) rc = ended;
    }
    buf_fini(&frame);
    return answered ? SATCHEL_OK : rc;
}

/* A network that is not what it seems passes, too. */
static int later(int rc) {
    return rc && satchel_rc_class(rc) != SATCHEL_CLASS_RETRY ? SATCHEL_E_CLOSED : rc;
}

int wipe_report(const wipe *w, int marker, const atomic_bool *stop) {
    char host[256];
    transport_config c = {.host = host, .identity_dir = w->identity, .software = w->software};
    transport *t = NULL;
    buf error = {0};
    if (!read_marker(marker, host, &c.port)) return finish(w);
    int rc = transport_new(&c, &t, &error);
    bool nameless = rc == SATCHEL_E_NOT_ENROLLED || rc == SATCHEL_E_CERTIFICATE; /* it cannot say who it was */
    if (!rc) rc = converse(t, stop);
    transport_free(t);
    buf_fini(&error);
    return nameless || !rc ? finish(w) : later(rc);
}
