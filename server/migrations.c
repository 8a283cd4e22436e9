/* Runs a schema directory: NNN_name.sql shapes the database on both sides, NNN_name.data.sql is run by the server alone, right after it, as ordinary changes of
 * the server's author; both in one transaction, so that a mistake leaves nothing half done. scope.sql and automation.sql beside them hold the rules of server/scope.h and automation.h: they are published at the
 * first start, and again by a migration that the rules in force do not fit any more. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocol/capture.h"
#include "protocol/satchel_rc.h"
#include "server/automation.h"
#include "server/ingest.h"
#include "server/scope.h"
#include "server/store_private.h"

#define SCOPE_FILE "scope.sql"
#define AUTOMATION_FILE "automation.sql"

/* Some editors begin a text with it; SQLite passes over it, but not every device's library that is to run the text. */
static void drop_byte_order_mark(buf *text) {
    static const uint8_t MARK[] = {0xef, 0xbb, 0xbf};
    if (text->n < sizeof MARK || memcmp(text->p, MARK, sizeof MARK) != 0) return;
    text->n -= sizeof MARK;
    memmove(text->p, text->p + sizeof MARK, text->n);
}

static int read_file(const char *dir, const char *name, buf *out, buf *error) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "re");
    if (!f) {
        buf_printf(error, "%s: %s", path, strerror(errno));
        return SATCHEL_E_NOT_FOUND;
    }
    out->max = LIMIT_MIGRATION_BYTES + 1;
    uint8_t chunk[8192];
    size_t n;
    while ((n = fread(chunk, 1, sizeof chunk, f)) > 0) buf_put(out, chunk, n);
    bool failed = ferror(f) != 0;
    fclose(f);
    if (failed || out->rc) {
        buf_printf(error, "%s: %s", path, failed ? "cannot be read" : "is larger than a migration may be");
        return failed ? SATCHEL_E_IO : SATCHEL_E_MIGRATION;
    }
    if (memchr(out->p ? out->p : chunk, 0, out->n)) {
        buf_printf(error, "%s: holds a zero byte; it must be SQL text", path);
        return SATCHEL_E_MIGRATION;
    }
    drop_byte_order_mark(out);
    buf_put_byte(out, 0);
    return out->rc;
}

static bool ends_with(const char *name, const char *end) {
    size_t n = strlen(name), m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

static bool is_numbered(const char *name) {
    for (int i = 0; i < 3; i++)
        if (name[i] < '0' || name[i] > '9') return false;
    return name[3] == '_' && strtoul(name, NULL, 10) > 0;
}

static bool is_migration(const char *name, bool data) {
    return is_numbered(name) && ends_with(name, ".sql") && ends_with(name, ".data.sql") == data;
}

/* What lies in the directory and would never run: a SQL file without a number, or with one after a gap. */
static int check_directory(const char *dir, unsigned last, buf *error) {
    DIR *d = opendir(dir);
    int rc = SATCHEL_OK;
    for (struct dirent *e; !rc && d && (e = readdir(d));) {
        if (!ends_with(e->d_name, ".sql") || e->d_name[0] == '.' || !strcmp(e->d_name, SCOPE_FILE) ||
            !strcmp(e->d_name, AUTOMATION_FILE))
            continue;
        rc = SATCHEL_E_MIGRATION;
        if (!is_numbered(e->d_name))
            buf_printf(error, "%s/%s: is not named as a migration; call it NNN_name.sql with the next number", dir, e->d_name);
        else if (strtoul(e->d_name, NULL, 10) > last && is_migration(e->d_name, true))
            buf_printf(error, "%s/%s: there is no migration of this number that it belongs to", dir, e->d_name);
        else if (strtoul(e->d_name, NULL, 10) > last)
            buf_printf(error, "%s/%s: migration %03u is missing before it", dir, e->d_name, last + 1);
        else
            rc = SATCHEL_OK;
    }
    if (d) closedir(d);
    return rc;
}

/* The file of migration `epoch`, "" if there is none. */
static int find_file(const char *dir, unsigned epoch, bool data, char *out, size_t room, buf *error) {
    DIR *d = opendir(dir);
    if (!d) {
        buf_printf(error, "%s: %s; name a directory of numbered migrations", dir, strerror(errno));
        return SATCHEL_E_NOT_FOUND;
    }
    out[0] = 0;
    int rc = SATCHEL_OK;
    for (struct dirent *e; !rc && (e = readdir(d));) {
        if (!is_migration(e->d_name, data) || strtoul(e->d_name, NULL, 10) != epoch) continue;
        if (out[0]) {
            buf_printf(error, "%s: both %s and %s are migration %u", dir, out, e->d_name, epoch);
            rc = SATCHEL_E_MIGRATION;
        }
        snprintf(out, room, "%s", e->d_name);
    }
    closedir(d);
    return rc;
}

/* A migration that has run must stay as it was: devices have run it too. */
static int check_unchanged(store *s, unsigned epoch, const char *dir, const char *file, buf *error) {
    buf name, was, is;
    buf_init(&name, 0);
    buf_init(&was, 0);
    buf_init(&is, 0);
    int rc = schema_migration(s->db, epoch, &name, &was);
    if (!rc) rc = read_file(dir, file, &is, error);
    size_t n = is.n ? is.n - 1 : 0;
    if (!rc && (was.n != n || memcmp(was.p, is.p, n) != 0)) {
        buf_printf(error, "%s/%s: was changed after it had run; put it back and write a new migration instead", dir, file);
        rc = SATCHEL_E_MIGRATION;
    }
    buf_fini(&name);
    buf_fini(&was);
    buf_fini(&is);
    return rc;
}

static int run_data(store *s, const char *dir, unsigned epoch, uint64_t now_ms, buf *error) {
    char file[256];
    int rc = find_file(dir, epoch, true, file, sizeof file, error);
    if (rc || !file[0]) return rc;
    buf sql, words;
    buf_init(&sql, 0);
    buf_init(&words, 0);
    ingest *g = NULL;
    rc = read_file(dir, file, &sql, error);
    if (!rc) rc = ingest_new(s, &g);
    if (!rc && (rc = ingest_sql_inside(g, (const char *)sql.p, now_ms, &words))) {
        /* "line 3: what" becomes "dir/file:3: what", as in the file of the migration itself. */
        buf_put_byte(&words, 0);
        const char *what = words.p ? (const char *)words.p : "";
        bool has_line = strncmp(what, "line ", 5) == 0;
        buf_printf(error, "%s/%s:%s%s", dir, file, has_line ? "" : " ", has_line ? what + 5 : what);
        if (satchel_rc_class(rc) == SATCHEL_CLASS_REFUSED || rc == SATCHEL_E_MISUSE) rc = SATCHEL_E_MIGRATION;
    }
    ingest_free(g);
    buf_fini(&sql);
    buf_fini(&words);
    return rc;
}

/* What no device could capture is refused here, before any device runs it. */
static int check_shape(store *s, const char *dir, const char *file, buf *error) {
    buf words;
    buf_init(&words, 0);
    int rc = capture_check_tables(s->db, s->schema, &words);
    if (rc) buf_printf(error, "%s/%s: %.*s", dir, file, (int)words.n, words.p ? (const char *)words.p : "");
    buf_fini(&words);
    return rc;
}

/* ---- rules of scope, and automations ---- */

/* What is told of rules of one kind. */
typedef struct rules {
    const char *file, *called;
    int (*publish)(store *s, const char *name, const char *sql, uint64_t now_ms, uint64_t *count, buf *error);
    int (*check)(store *s, buf *error); /* that those in force fit the schema */
    int (*published)(store *s, buf *text);
    const char *version; /* SQL; 0: none were published */
} rules;

static int check_scope(store *s, buf *error) {
    scope *c = NULL;
    int rc = scope_open(s, &c, error);
    scope_free(c);
    return rc;
}

static int check_automation(store *s, buf *error) {
    automation *a = NULL;
    int rc = automation_open(s, &a, error);
    automation_free(a);
    return rc;
}

static const rules SCOPE = {SCOPE_FILE,  "rules of scope", scope_publish,
                            check_scope, scope_published,  "SELECT max(version) FROM satchel_scope"};
static const rules AUTOMATION = {AUTOMATION_FILE,  "automations",        automation_publish,
                                 check_automation, automation_published, "SELECT max(stamp) FROM satchel_automation_text"};

/* SATCHEL_E_NOT_FOUND, without words, if there is no such file. */
static int read_rules(const rules *k, const char *dir, buf *path, buf *sql, buf *error) {
    buf_printf(path, "%s/%s", dir, k->file);
    if (path->rc) return path->rc;
    if (access((const char *)path->p, F_OK)) return SATCHEL_E_NOT_FOUND;
    return read_file(dir, k->file, sql, error);
}

/* Inside a transaction. */
static int publish_rules(const rules *k, store *s, const char *dir, uint64_t now_ms, buf *error) {
    buf path, sql;
    uint64_t count;
    buf_init(&path, 0);
    buf_init(&sql, 0);
    int rc = read_rules(k, dir, &path, &sql, error);
    if (!rc) rc = k->publish(s, (const char *)path.p, (const char *)sql.p, now_ms, &count, error);
    buf_fini(&path);
    buf_fini(&sql);
    return rc;
}

/* A migration may take away what the rules go by. */
static int check_rules(const rules *k, store *s, const char *dir, uint64_t now_ms, buf *error) {
    buf words, other;
    buf_init(&words, 0);
    buf_init(&other, 0);
    int rc = k->check(s, &words);
    if (rc == SATCHEL_E_RULE) {
        rc = publish_rules(k, s, dir, now_ms, &other);
        const buf *said = rc == SATCHEL_E_NOT_FOUND ? &words : &other;
        if (rc)
            buf_printf(error, "the %s do not fit this migration: %.*s; put rules that do into %s/%s", k->called, (int)said->n,
                       said->p ? (const char *)said->p : "", dir, k->file);
        if (rc == SATCHEL_E_NOT_FOUND) rc = SATCHEL_E_RULE;
    }
    buf_fini(&words);
    buf_fini(&other);
    return rc;
}

static int publish_first(const rules *k, store *s, const char *dir, uint64_t now_ms, buf *error) {
    int64_t version;
    int rc = db_integer(&s->cache, k->version, 0, &version);
    if (rc || version) return rc;
    if ((rc = store_begin(s))) return rc;
    rc = publish_rules(k, s, dir, now_ms, error);
    if (!rc) return store_commit(s);
    store_rollback(s);
    return rc == SATCHEL_E_NOT_FOUND ? SATCHEL_OK : rc;
}

int migrations_scope(store *s, const char *dir, uint64_t now_ms, buf *error) {
    return publish_first(&SCOPE, s, dir, now_ms, error);
}

int migrations_automation(store *s, const char *dir, uint64_t now_ms, buf *error) {
    return publish_first(&AUTOMATION, s, dir, now_ms, error);
}

static int rules_differ(const rules *k, store *s, const char *dir, bool *differs) {
    buf path, sql, published, words;
    buf_init(&path, 0);
    buf_init(&sql, 0);
    buf_init(&published, 0);
    buf_init(&words, 0);
    *differs = false;
    int rc = read_rules(k, dir, &path, &sql, &words);
    if (!rc) rc = k->published(s, &published);
    size_t n = sql.n ? sql.n - 1 : 0;
    if (!rc) *differs = n != published.n || (n && memcmp(sql.p, published.p, n) != 0);
    buf_fini(&path);
    buf_fini(&sql);
    buf_fini(&published);
    buf_fini(&words);
    return rc == SATCHEL_E_NOT_FOUND ? SATCHEL_OK : rc;
}

int store_scope_differs(store *s, const char *dir, bool *differs) {
    return rules_differ(&SCOPE, s, dir, differs);
}

int store_automation_differs(store *s, const char *dir, bool *differs) {
    return rules_differ(&AUTOMATION, s, dir, differs);
}

/* ---- one migration ---- */

static int run_one(store *s, const char *dir, const char *file, unsigned epoch, uint64_t now_ms, buf *error) {
    buf sql;
    buf_init(&sql, 0);
    int rc = read_file(dir, file, &sql, error);
    if (!rc && (rc = store_begin(s))) buf_printf(error, "%s", store_error(s));
    if (!rc) {
        /* A column added with a default rewrites its table's rows, and the schema's own triggers run. */
        rc = capture_functions(s->db, false);
        if (!rc) buf_printf(error, "%s/", dir);
        if (!rc && !(rc = schema_migrate(s->db, SCHEMA_SERVER, epoch, file, (const char *)sql.p, error))) buf_clear(error);
        if (!rc) rc = store_reload_schema(s, error);
        if (!rc) rc = check_shape(s, dir, file, error);
        if (!rc) rc = check_rules(&SCOPE, s, dir, now_ms, error);
        if (!rc) rc = check_rules(&AUTOMATION, s, dir, now_ms, error);
        if (!rc) rc = run_data(s, dir, epoch, now_ms, error);
        if (rc)
            store_rollback(s);
        else if ((rc = store_commit(s)))
            buf_printf(error, "%s", store_error(s));
    }
    buf_fini(&sql);
    return rc;
}

/* How many migrations there are; all of the directory is looked at before anything runs. */
static int count_files(store *s, const char *dir, unsigned *last, buf *error) {
    char file[256];
    int rc = SATCHEL_OK;
    for (*last = 0; !rc && *last < 999; ++*last) {
        rc = find_file(dir, *last + 1, false, file, sizeof file, error);
        if (rc || !file[0]) break;
        rc = find_file(dir, *last + 1, true, file, sizeof file, error);
    }
    if (!rc) rc = check_directory(dir, *last, error);
    if (rc) return rc;
    if (*last < s->schema->epoch)
        buf_printf(error, "%s: the store has run migration %03u, which is not there", dir, *last + 1);
    else if (!*last)
        buf_printf(error, "%s: holds no migration (001_name.sql)", dir);
    return *last < s->schema->epoch || !*last ? SATCHEL_E_MIGRATION : SATCHEL_OK;
}

int migrations_run(store *s, const char *dir, uint64_t now_ms, buf *error) {
    unsigned last;
    int rc = count_files(s, dir, &last, error);
    for (unsigned epoch = 1; !rc && epoch <= last; epoch++) {
        char file[256];
        bool ran = epoch <= s->schema->epoch;
        rc = find_file(dir, epoch, false, file, sizeof file, error);
        if (!rc) rc = ran ? check_unchanged(s, epoch, dir, file, error) : run_one(s, dir, file, epoch, now_ms, error);
    }
    return rc;
}
