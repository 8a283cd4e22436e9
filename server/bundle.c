#include "server/bundle.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/satchel_rc.h"
#include "server/os.h"

#define CHUNK_BYTES (1u << 20)
#define MANIFEST_BYTES (64u << 10)

const char *const bundle_secrets[] = {"ca.key",     "ca.crt",     "ca-next.key",  "ca-next.crt",
                                      "server.key", "server.crt", "server.hosts", NULL};

static int fail(buf *error, bundle_dir d, const char *name, const char *what) {
    return os_fail(error, d.path, name, what);
}

static int give_up(buf *error) {
    buf_printf(error, "given up before it was done");
    return SATCHEL_E_CLOSED;
}

int bundle_split(const char *path, char dir[1024], char name[256], buf *error) {
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--;
    const char *slash = memrchr(path, '/', n), *last = slash ? slash + 1 : path;
    size_t nlast = n - (size_t)(last - path), ndir = slash ? (size_t)(slash - path) : 0;
    if (nlast >= 200 || ndir >= 1000) {
        buf_printf(error, "%s: the name is too long", path);
        return SATCHEL_E_TOO_LARGE;
    }
    snprintf(name, 256, "%.*s", (int)nlast, last);
    snprintf(dir, 1024, "%.*s", (int)(ndir ? ndir : 1), slash ? path : ".");
    if (*name && strcmp(name, ".") != 0 && strcmp(name, "..") != 0) return SATCHEL_OK;
    buf_printf(error, "%s: this is no name for a new directory", path);
    return SATCHEL_E_MISUSE;
}

/* ---- files ---- */

static int put_whole(int fd, const uint8_t *p, size_t n) {
    while (n) {
        ssize_t done = write(fd, p, n);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return -1;
        p += done;
        n -= (size_t)done;
    }
    return 0;
}

static ssize_t read_some(int fd, uint8_t *to) {
    ssize_t n;
    do n = read(fd, to, CHUNK_BYTES);
    while (n < 0 && errno == EINTR);
    return n;
}

/* Reads `in` to its end into the sum, and into `out` if that is a file. 0, 1: reading failed, 2: writing did, 3: no more is wanted. */
static int pump(int in, int out, bundle_file *f, uint64_t total, crypto_hash *sum, const progress *watch) {
    uint8_t *chunk = malloc(CHUNK_BYTES);
    int failed = chunk ? 0 : 1;
    f->bytes = 0;
    for (ssize_t n; !failed && (n = read_some(in, chunk)) != 0;) {
        if (n < 0) {
            failed = 1;
            break;
        }
        crypto_hash_put(sum, chunk, (size_t)n);
        f->bytes += (uint64_t)n;
        if (out >= 0 && put_whole(out, chunk, (size_t)n)) failed = 2;
        if (!failed && !progress_tell(watch, out < 0 ? "checking" : "copying", f->bytes, total)) failed = 3;
    }
    int e = errno;
    free(chunk);
    errno = e;
    return failed;
}

static int pump_file(bundle_dir from, int in, bundle_dir to, int out, bundle_file *f, const progress *watch, buf *error) {
    struct stat st = {0};
    crypto_hash *sum = crypto_hash_new();
    if (!sum) return SATCHEL_E_NOMEM;
    fstat(in, &st);
    int failed = pump(in, out, f, (uint64_t)st.st_size, sum, watch);
    int rc = SATCHEL_OK;
    if (failed == 1) rc = fail(error, from, f->name, "cannot read");
    if (failed == 2) rc = fail(error, to, f->name, "cannot write");
    if (failed == 3) rc = give_up(error);
    crypto_hash_end(sum, f->sha256);
    return rc;
}

int bundle_sum(bundle_dir d, bundle_file *f, const progress *watch, buf *error) {
    int fd = openat(d.fd, f->name, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return fail(error, d, f->name, "cannot read");
    int rc = fsync(fd) && errno != EROFS && errno != EINVAL ? fail(error, d, f->name, "cannot be written to the disk")
                                                            : pump_file(d, fd, d, -1, f, watch, error);
    close(fd);
    return rc;
}

int bundle_copy(bundle_dir from, bundle_dir to, bundle_file *f, const progress *watch, buf *error) {
    int rc, in = openat(from.fd, f->name, O_RDONLY | O_CLOEXEC);
    if (in < 0) return fail(error, from, f->name, "cannot read");
    int out = openat(to.fd, f->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (out < 0) {
        rc = fail(error, to, f->name, "cannot write");
    } else {
        rc = pump_file(from, in, to, out, f, watch, error);
        if (!rc && fsync(out)) rc = fail(error, to, f->name, "cannot write");
        if (close(out) && !rc) rc = fail(error, to, f->name, "cannot write");
    }
    close(in);
    return rc;
}

int bundle_write(bundle_dir d, const char *name, const void *p, size_t n, buf *error) {
    int fd = openat(d.fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) return fail(error, d, name, "cannot write");
    int rc = put_whole(fd, p, n) || fsync(fd) ? fail(error, d, name, "cannot write") : SATCHEL_OK;
    if (close(fd) && !rc) rc = fail(error, d, name, "cannot write");
    if (!rc && fsync(d.fd)) rc = fail(error, d, NULL, "cannot sync");
    return rc;
}

int bundle_remove(bundle_dir parent, const char *name, buf *error) {
    int fd = openat(parent.fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        if (fd >= 0) close(fd);
        return errno == ENOENT ? SATCHEL_OK : fail(error, parent, name, "cannot open");
    }
    for (struct dirent *e; (e = readdir(dir));) {
        bool ours = !strncmp(e->d_name, BUNDLE_STORE, strlen(BUNDLE_STORE)) || !strcmp(e->d_name, BUNDLE_MANIFEST) ||
                    !strcmp(e->d_name, BUNDLE_RESTORED);
        for (const char *const *s = bundle_secrets; !ours && *s; s++) ours = !strcmp(e->d_name, *s);
        if (ours) unlinkat(fd, e->d_name, 0);
    }
    closedir(dir);
    return unlinkat(parent.fd, name, AT_REMOVEDIR) ? fail(error, parent, name, "cannot be removed") : SATCHEL_OK;
}

/* ---- the manifest ---- */

static json_t *hex(const uint8_t *p, size_t n) {
    char text[65];
    for (size_t i = 0; i < n && i < 32; i++) snprintf(text + 2 * i, 3, "%02x", p[i]);
    return json_string(text);
}

static bool take_hex(const json_t *v, uint8_t *out, size_t n) {
    const char *text = json_string_value(v);
    if (!text || strlen(text) != 2 * n || strspn(text, "0123456789abcdef") != 2 * n) return false;
    for (size_t i = 0; i < n; i++) {
        char pair[3] = {text[2 * i], text[2 * i + 1], 0};
        out[i] = (uint8_t)strtoul(pair, NULL, 16);
    }
    return true;
}

int bundle_write_manifest(bundle_dir d, const bundle *b, buf *error) {
    json_t *files = json_array();
    json_t *o = json_pack("{si ss sI so sI si}", "satchel_backup", BUNDLE_FORMAT, "version", b->version, "made_ms",
                          (json_int_t)b->made_ms, "epoch", hex(b->epoch, sizeof b->epoch), "seq", (json_int_t)b->seq,
                          "schema_epoch", (int)b->schema_epoch);
    for (unsigned i = 0; i < b->n; i++)
        json_array_append_new(files, json_pack("{ss sI so}", "name", b->file[i].name, "bytes", (json_int_t)b->file[i].bytes,
                                               "sha256", hex(b->file[i].sha256, 32)));
    json_object_set_new(o, "files", files);
    char *text = o ? json_dumps(o, JSON_INDENT(2)) : NULL;
    int rc = text ? bundle_write(d, BUNDLE_MANIFEST, text, strlen(text), error) : SATCHEL_E_NOMEM;
    free(text);
    json_decref(o);
    return rc;
}

/* Names from the file are only ever those that a bundle has. */
static bool is_bundle_name(const char *name) {
    bool ours = name && !strcmp(name, BUNDLE_STORE);
    for (const char *const *s = bundle_secrets; name && !ours && *s; s++) ours = !strcmp(name, *s);
    return ours;
}

static bool take_number(const json_t *v, uint64_t *out) {
    json_int_t n = json_integer_value(v);
    *out = (uint64_t)n;
    return json_is_integer(v) && n >= 0;
}

static bool take_file(const json_t *v, bundle_file *f) {
    const char *name = json_string_value(json_object_get(v, "name"));
    if (!is_bundle_name(name)) return false;
    snprintf(f->name, sizeof f->name, "%s", name);
    return take_number(json_object_get(v, "bytes"), &f->bytes) && take_hex(json_object_get(v, "sha256"), f->sha256, 32);
}

static bool take_manifest(const json_t *o, bundle *b) {
    const json_t *files = json_object_get(o, "files");
    const char *version = json_string_value(json_object_get(o, "version"));
    uint64_t schema_epoch;
    bool ok = version && take_number(json_object_get(o, "made_ms"), &b->made_ms) &&
              take_number(json_object_get(o, "seq"), &b->seq) && take_number(json_object_get(o, "schema_epoch"), &schema_epoch) &&
              take_hex(json_object_get(o, "epoch"), b->epoch, sizeof b->epoch) && json_array_size(files) &&
              json_array_size(files) <= BUNDLE_FILES;
    if (!ok) return false;
    snprintf(b->version, sizeof b->version, "%s", version);
    b->schema_epoch = (uint32_t)schema_epoch;
    for (b->n = 0; b->n < json_array_size(files); b->n++)
        if (!take_file(json_array_get(files, b->n), &b->file[b->n])) return false;
    return !strcmp(b->file[0].name, BUNDLE_STORE);
}

int bundle_read_manifest(bundle_dir d, bundle *b, buf *error) {
    memset(b, 0, sizeof *b);
    int fd = openat(d.fd, BUNDLE_MANIFEST, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return fail(error, d, BUNDLE_MANIFEST, "not a backup, or one that was not finished: cannot read");
    char *text = calloc(1, MANIFEST_BYTES);
    ssize_t n = text ? read(fd, text, MANIFEST_BYTES - 1) : 0;
    close(fd);
    json_t *o = n > 0 ? json_loadb(text, (size_t)n, JSON_REJECT_DUPLICATES, NULL) : NULL;
    free(text);
    int rc = SATCHEL_OK;
    if (json_integer_value(json_object_get(o, "satchel_backup")) > BUNDLE_FORMAT) {
        buf_printf(error, "%s: was made by a newer Satchel; restore it with that one's satchelctl", d.path);
        rc = SATCHEL_E_NEWER_FILE;
    } else if (!take_manifest(o, b)) {
        buf_printf(error, "%s/%s: is damaged, or not a backup's", d.path, BUNDLE_MANIFEST);
        rc = SATCHEL_E_CORRUPT;
    }
    json_decref(o);
    return rc;
}

int bundle_check(bundle_dir d, const bundle *b, const progress *watch, buf *error) {
    for (unsigned i = 0; i < b->n; i++) {
        bundle_file is = b->file[i];
        int rc = bundle_sum(d, &is, watch, error);
        if (rc) return rc;
        if (is.bytes == b->file[i].bytes && !memcmp(is.sha256, b->file[i].sha256, sizeof is.sha256)) continue;
        buf_printf(error, "%s/%s: is not as it was when the backup was made (%llu bytes, %llu then)", d.path, is.name,
                   (unsigned long long)is.bytes, (unsigned long long)b->file[i].bytes);
        return SATCHEL_E_CORRUPT;
    }
    return SATCHEL_OK;
}
