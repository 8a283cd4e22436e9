#include "server/console_files.h"

#include <errno.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/crypto.h"
#include "protocol/satchel_rc.h"

#define INDEX "index.html"
#define BELOW "/console/"
#define ETAG_BYTES 16

typedef struct file {
    char *name; /* its path in the directory */
    buf plain, gzip;
    char etag[2 * ETAG_BYTES + 3],
        gzip_etag[2 * ETAG_BYTES + 3]; /* in quotation marks; of either form, for they are not the same bytes */
} file;

struct console_files {
    file file[CONSOLE_FILES];
    size_t n;
};

static const struct {
    const char *end, *type;
} types[] = {
    {".html", "text/html; charset=utf-8"},
    {".js", "text/javascript; charset=utf-8"},
    {".css", "text/css; charset=utf-8"},
    {".json", "application/json; charset=utf-8"},
    {".svg", "image/svg+xml"},
    {".png", "image/png"},
    {".txt", "text/plain; charset=utf-8"},
};

static bool ends_in(const char *name, const char *end) {
    size_t n = strlen(name), m = strlen(end);
    return n > m && !strcmp(name + n - m, end);
}

static const char *type_of(const char *name) {
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (ends_in(name, types[i].end)) return types[i].type;
    return "application/octet-stream";
}

/* ---- reading ---- */

static void put_etag(char out[2 * ETAG_BYTES + 3], const buf *content) {
    uint8_t hash[32];
    crypto_sha256(content->p, content->n, hash);
    size_t n = 0;
    out[n++] = '"';
    for (size_t i = 0; i < ETAG_BYTES; i++, n += 2) snprintf(out + n, 3, "%02x", hash[i]);
    out[n++] = '"';
    out[n] = 0;
}

static int read_content(const char *path, buf *out, buf *error) {
    buf_init(out, CONSOLE_FILE_BYTES);
    FILE *f = fopen(path, "re");
    uint8_t room[16384];
    size_t n = 0;
    while (f && !out->rc && (n = fread(room, 1, sizeof room, f)) > 0) buf_put(out, room, n);
    int rc = !f || ferror(f) ? SATCHEL_E_IO : out->rc;
    if (rc == SATCHEL_E_IO) buf_printf(error, "%s: cannot be read: %s", path, strerror(errno));
    if (rc == SATCHEL_E_LIMIT) buf_printf(error, "%s: a file of the console has %u bytes at most", path, CONSOLE_FILE_BYTES);
    if (f) fclose(f);
    return rc;
}

/* The file of this name, made if it is not there yet. */
static file *file_named(console_files *c, const char *name, size_t n) {
    for (size_t i = 0; i < c->n; i++)
        if (strlen(c->file[i].name) == n && !memcmp(c->file[i].name, name, n)) return &c->file[i];
    if (c->n == CONSOLE_FILES) return NULL;
    file *f = &c->file[c->n];
    f->name = strndup(name, n);
    if (f->name) c->n++;
    return f->name ? f : NULL;
}

static int read_one(console_files *c, const char *path, const char *name, buf *error) {
    size_t n = strlen(name);
    bool gzip = ends_in(name, ".gz");
    file *f = file_named(c, name, gzip ? n - 3 : n);
    if (!f) {
        buf_printf(error, "%s: the console has %d files at most", path, CONSOLE_FILES);
        return SATCHEL_E_LIMIT;
    }
    buf *content = gzip ? &f->gzip : &f->plain;
    int rc = read_content(path, content, error);
    if (!rc) put_etag(gzip ? f->gzip_etag : f->etag, content);
    return rc;
}

static int read_all(console_files *c, FTS *tree, size_t above, buf *error) {
    int rc = SATCHEL_OK;
    for (FTSENT *e; !rc && (e = fts_read(tree));) {
        if (e->fts_level > 0 && e->fts_name[0] == '.')
            fts_set(tree, e, FTS_SKIP);
        else if (e->fts_info == FTS_F)
            rc = read_one(c, e->fts_path, e->fts_path + above, error);
        else if (e->fts_info == FTS_DNR || e->fts_info == FTS_ERR || e->fts_info == FTS_NS) {
            buf_printf(error, "%s: cannot be read: %s", e->fts_path, strerror(e->fts_errno));
            rc = SATCHEL_E_IO;
        }
    }
    return rc;
}

int console_files_open(const char *dir, console_files **out, buf *error) {
    char *path = strdup(dir), *const paths[] = {path, NULL};
    size_t n = strlen(dir);
    while (path && n > 1 && path[n - 1] == '/') path[--n] = 0;
    console_files *c = calloc(1, sizeof *c);
    FTS *tree = path && c ? fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL) : NULL;
    int rc = tree ? read_all(c, tree, n + 1, error) : SATCHEL_E_NOMEM;
    if (!rc && (!file_named(c, INDEX, strlen(INDEX)) || !file_named(c, INDEX, strlen(INDEX))->plain.n)) {
        buf_printf(error, "%s: holds no console: there is no " INDEX, dir);
        rc = SATCHEL_E_NOT_FOUND;
    }
    if (tree) fts_close(tree);
    free(path);
    *out = c;
    if (rc) {
        console_files_free(c);
        *out = NULL;
    }
    return rc;
}

void console_files_free(console_files *c) {
    if (!c) return;
    for (size_t i = 0; i < c->n; i++) {
        free(c->file[i].name);
        buf_fini(&c->file[i].plain);
        buf_fini(&c->file[i].gzip);
    }
    free(c);
}

/* ---- serving ---- */

/* The file's name, or NULL. */
static const char *name_of(const char *path) {
    if (!strcmp(path, "/") || !strcmp(path, "/console") || !strcmp(path, BELOW)) return INDEX;
    return strncmp(path, BELOW, sizeof BELOW - 1) ? NULL : path + sizeof BELOW - 1;
}

bool console_files_is_path(const char *path) {
    return name_of(path) != NULL;
}

static const file *find(const console_files *c, const char *name) {
    for (size_t i = 0; c && name && i < c->n; i++)
        if (c->file[i].plain.n && !strcmp(c->file[i].name, name)) return &c->file[i];
    return NULL;
}

static bool has(const char *header, const char *word) {
    return header && strstr(header, word);
}

bool console_files_serve(const console_files *c, const http_request *request, http_answer *out) {
    const file *f = find(c, name_of(request->path));
    if (!f) return false;
    bool gzip = f->gzip.n && has(request->accept_encoding, "gzip");
    const buf *content = gzip ? &f->gzip : &f->plain;
    out->page = true;
    out->etag = gzip ? f->gzip_etag : f->etag;
    out->type = type_of(f->name);
    out->status = has(request->if_none_match, out->etag) ? 304 : 200;
    if (out->status == 304) return true;
    out->encoding = gzip ? "gzip" : NULL;
    buf_put(&out->body, content->p, content->n);
    return !out->body.rc;
}
