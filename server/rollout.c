/* New rules of scope for some devices first. */
#include "server/rollout.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/scope_private.h"

/* ---- the text in force, with both ---- */

#define OF "-- satchel rollout of: "
#define BESIDE "\n-- satchel rollout beside: "
#define QUOTED "\n--|"

static void put_text(buf *out, const char *p, size_t n) {
    buf_put(out, p, n);
    buf_put_byte(out, 0);
}

static void put_column(buf *out, sqlite3_stmt *q, int column) {
    const char *text = (const char *)sqlite3_column_text(q, column);
    if (text)
        put_text(out, text, strlen(text));
    else
        out->rc = SATCHEL_E_NOMEM; /* none of these is NULL */
}

/* The rest of the line at p; its end. */
static const char *put_line(buf *out, const char *p) {
    size_t n = strcspn(p, "\n");
    put_text(out, p, n);
    return p + n;
}

static void quote(buf *out, const char *text) {
    for (const char *p = text;; p++) {
        size_t n = strcspn(p, "\n");
        buf_printf(out, QUOTED);
        buf_put(out, p, n);
        p += n;
        if (!*p) return;
    }
}

static void unquote(buf *out, const char *p) {
    for (const char *between = ""; strncmp(p, QUOTED, strlen(QUOTED)) == 0; between = "\n") {
        p += strlen(QUOTED);
        size_t n = strcspn(p, "\n");
        buf_printf(out, "%s", between);
        buf_put(out, p, n);
        p += n;
    }
    buf_put_byte(out, 0);
}

/* 1 or 0. */
static int read_text(const char *rules, rollout *out) {
    const char *beside = strncmp(rules, OF, strlen(OF)) == 0 ? strstr(rules, BESIDE) : NULL;
    *out = (rollout){0};
    if (!beside) return 0;
    unquote(&out->text, put_line(&out->name, rules + strlen(OF)));
    const char *before = put_line(&out->before_name, beside + strlen(BESIDE));
    if (*before) before++;
    put_text(&out->before, before, strlen(before));
    bool failed = out->before.rc || out->before_name.rc || out->name.rc || out->text.rc;
    if (failed) rollout_fini(out);
    return failed ? SATCHEL_E_NOMEM : 1;
}

void rollout_fini(rollout *r) {
    buf_fini(&r->before_name);
    buf_fini(&r->before);
    buf_fini(&r->name);
    buf_fini(&r->text);
}

/* ---- what the one says and the other does not ---- */

static bool row_equal(const rule_row *a, const rule_row *b) {
    if (a->kind != b->kind) return false;
    for (unsigned i = 0; i < RULE_FIELDS; i++) {
        if (!a->field[i] != !b->field[i]) return false;
        if (a->field[i] && strcmp(a->field[i], b->field[i]) != 0) return false;
    }
    return true;
}

static unsigned count_equal(const rule_text *text, const rule_row *row) {
    unsigned n = 0;
    for (size_t i = 0; i < text->n; i++) n += row_equal(&text->row[i], row);
    return n;
}

/* A row of this kind (profile not NULL: of this profile) that stands in `text` more often than in `other`; NULL if there is none. */
static const rule_row *find_other(const rule_text *text, const rule_text *other, unsigned kind, const char *profile) {
    for (size_t i = 0; i < text->n; i++) {
        const rule_row *row = &text->row[i];
        if (row->kind != kind || (profile && strcmp(row->field[0], profile) != 0)) continue;
        if (count_equal(text, row) > count_equal(other, row)) return row;
    }
    return NULL;
}

static bool is_changed(const rule_text *old, const rule_text *new, const char *profile) {
    static const unsigned KIND[] = {SCOPE_PROFILE, SCOPE_MASK, SCOPE_WRITE};
    for (size_t i = 0; i < sizeof KIND / sizeof *KIND; i++)
        if (find_other(old, new, KIND[i], profile) || find_other(new, old, KIND[i], profile)) return true;
    return false;
}

/* Where rows lie. */
static int check_places(const rule_text *old, const rule_text *new, const char *name, buf *error) {
    static const unsigned KIND[] = {SCOPE_BUCKET, SCOPE_PARENT};
    for (size_t i = 0; i < sizeof KIND / sizeof *KIND; i++) {
        const rule_row *added = find_other(new, old, KIND[i], NULL), *gone = find_other(old, new, KIND[i], NULL);
        if (added)
            return rule_fail(error, name, added->line,
                             "this says anew where rows of %s lie, which is the same for all devices; publish that first (scope "
                             "publish), and roll out what profiles make of it",
                             added->field[0]);
        if (gone)
            return rule_fail(
                error, name, 0,
                "line %u of the rules in force, about where rows of %s lie, is not here, and that is the same for all "
                "devices; publish that first (scope publish), and roll out what profiles make of it",
                gone->line, gone->field[0]);
    }
    return SATCHEL_OK;
}

static const rule_row *find_profile(const rule_text *text, const char *name) {
    for (size_t i = 0; i < text->n; i++)
        if (text->row[i].kind == SCOPE_PROFILE && !strcmp(text->row[i].field[0], name)) return &text->row[i];
    return NULL;
}

/* Which profiles there are: none comes or goes with a rollout, so that no device is left with one that the rules do not have. */
static int check_profiles(const rule_text *old, const rule_text *new, const char *name, buf *error) {
    for (size_t i = 0; i < new->n; i++) {
        const rule_row *row = &new->row[i];
        if (row->kind == SCOPE_PROFILE && !find_profile(old, row->field[0]))
            return rule_fail(error, name, row->line,
                             "profile %s is not in the rules in force; publish it first (scope publish): nobody has it yet",
                             row->field[0]);
    }
    for (size_t i = 0; i < old->n; i++) {
        const rule_row *row = &old->row[i];
        if (row->kind == SCOPE_PROFILE && !find_profile(new, row->field[0]))
            return rule_fail(error, name, 0,
                             "profile %s of the rules in force is not here; when no device has it any more, publish rules "
                             "without it (scope publish)",
                             row->field[0]);
    }
    return SATCHEL_OK;
}

static bool is_next(const char *profile) {
    size_t n = strlen(profile), tail = strlen(SCOPE_NEXT);
    return n > tail && !strcmp(profile + n - tail, SCOPE_NEXT);
}

static int check_names(const rule_text *text, const char *name, buf *error) {
    for (size_t i = 0; i < text->n; i++)
        if (text->row[i].kind == SCOPE_PROFILE && is_next(text->row[i].field[0]))
            return rule_fail(error, name, text->row[i].line,
                             "names that end in " SCOPE_NEXT " are those of a rollout; choose another");
    return SATCHEL_OK;
}

int rollout_check_rules(const char *name, const char *sql, buf *error) {
    rule_text text = {0};
    if (strncmp(sql, OF, strlen(OF)) == 0 || strstr(sql, BESIDE))
        return rule_fail(error, name, 0, "this is what was in force amid a rollout; take one of the files that it was made of");
    int rc = scope_text_read(name, sql, &text, error);
    if (!rc) rc = check_names(&text, name, error);
    rule_text_fini(&text);
    return rc;
}

/* ---- making it ---- */

/* How a row of a profile is written; `numbers`: bits of the fields that are. */
static const struct {
    const char *table, *columns;
    unsigned fields, numbers;
} WRITTEN[] = {[SCOPE_PROFILE] = {"scope_profile", "name, buckets, horizon_days", 3, 1u << 2},
               [SCOPE_MASK] = {"scope_mask", "profile, tbl, columns", 3, 0},
               [SCOPE_WRITE] = {"scope_write", "profile, tbl, ops, columns, anywhere", 5, 1u << 4}};

static int put_row(buf *out, const rule_row *row) {
    char *next = sqlite3_mprintf("%s" SCOPE_NEXT, row->field[0]);
    buf_printf(out, "\nINSERT INTO %s(%s) VALUES(", WRITTEN[row->kind].table, WRITTEN[row->kind].columns);
    int rc = next ? SATCHEL_OK : SATCHEL_E_NOMEM;
    for (unsigned i = 0; i < WRITTEN[row->kind].fields && !rc; i++) {
        const char *text = i ? row->field[i] : next;
        char *sql = sqlite3_mprintf(WRITTEN[row->kind].numbers & 1u << i ? "%s" : "%Q", text);
        if (!sql) rc = SATCHEL_E_NOMEM;
        if (sql) buf_printf(out, i ? ", %s" : "%s", sql);
        sqlite3_free(sql);
    }
    buf_printf(out, ");");
    sqlite3_free(next);
    return rc ? rc : out->rc;
}

/* All that `new` says of a profile, of its next one. */
static int put_profile(buf *out, const rule_text *new, const rule_row *profile, const char *name, buf *error) {
    if (strlen(profile->field[0]) + strlen(SCOPE_NEXT) > LIMIT_NAME_BYTES)
        return rule_fail(error, name, profile->line, "a profile that is rolled out has a name of up to %zu bytes",
                         (size_t)LIMIT_NAME_BYTES - strlen(SCOPE_NEXT));
    int rc = SATCHEL_OK;
    for (size_t i = 0; i < new->n && !rc; i++) {
        const rule_row *row = &new->row[i];
        bool of_profile = row->kind == SCOPE_PROFILE || row->kind == SCOPE_MASK || row->kind == SCOPE_WRITE;
        if (of_profile && !strcmp(row->field[0], profile->field[0])) rc = put_row(out, row);
    }
    return rc;
}

/* The old text comes last, so that nothing runs into what stands behind it. */
static int put_both(const char *old_name, const char *old_sql, const rule_text *old, const char *name, const char *sql,
                    const rule_text *new, buf *out, buf *error) {
    bool any = false;
    int rc = SATCHEL_OK;
    buf_printf(out, OF "%s", name);
    quote(out, sql);
    for (size_t i = 0; i < new->n && !rc; i++) {
        const rule_row *row = &new->row[i];
        if (row->kind != SCOPE_PROFILE || !is_changed(old, new, row->field[0])) continue;
        rc = put_profile(out, new, row, name, error);
        any = true;
    }
    buf_printf(out, BESIDE "%s\n%s", old_name, old_sql);
    buf_put_byte(out, 0);
    if (!rc && !any)
        rc = rule_fail(error, name, 0, "of every profile this says what the rules in force say; there is nothing to roll out");
    return rc ? rc : out->rc;
}

static int compose(const char *old_name, const char *old_sql, const char *name, const char *sql, buf *out, buf *error) {
    rule_text old = {0}, new = {0};
    int rc = scope_text_read(old_name, old_sql, &old, error);
    if (!rc) rc = scope_text_read(name, sql, &new, error);
    if (!rc) rc = check_names(&old, old_name, error);
    if (!rc) rc = check_places(&old, &new, name, error);
    if (!rc) rc = check_profiles(&old, &new, name, error);
    if (!rc) rc = put_both(old_name, old_sql, &old, name, sql, &new, out, error);
    rule_text_fini(&old);
    rule_text_fini(&new);
    return rc;
}

/* Rules that are wrong are told by their own lines. */
static int try_whole(store *s, const char *name, const char *sql, buf *error) {
    scope *c;
    int rc = rollout_check_rules(name, sql, error);
    if (!rc) rc = scope_open_text(s, name, sql, &c, error);
    if (!rc) scope_free(c);
    return rc;
}

/* ---- in force ---- */

/* Name and text, zero-terminated; 0 if there are none. */
static int read_published(db_cache *db, buf *name, buf *text) {
    sqlite3_stmt *q = db_prepare(db, "SELECT name,text FROM satchel_scope ORDER BY version DESC LIMIT 1");
    int rc = db_next(db, q);
    if (rc != 1) return rc;
    put_column(name, q, 0);
    put_column(text, q, 1);
    sqlite3_reset(q);
    return name->rc ? name->rc : text->rc ? text->rc : 1;
}

int rollout_under_way(db_cache *db, rollout *out) {
    buf name = {0}, text = {0};
    *out = (rollout){0};
    int rc = read_published(db, &name, &text);
    if (rc == 1) rc = read_text((const char *)text.p, out);
    buf_fini(&name);
    buf_fini(&text);
    return rc;
}

static int need_under_way(store *s, rollout *out, buf *error) {
    int rc = rollout_under_way(&s->cache, out);
    if (rc == 1) return SATCHEL_OK;
    if (!rc) buf_printf(error, "no rollout is under way");
    return rc ? rc : SATCHEL_E_MISUSE;
}

/* Who was here before the rules came into force was not told by them, though the view of an earlier rollout may have the name. */
int rollout_each(db_cache *db, int (*visit)(void *ctx, const rollout_profile *p), void *ctx) {
    int rc, stop = 0;
    sqlite3_stmt *q = db_prepare(
        db,
        "WITH p(name,next) AS MATERIALIZED (SELECT substr(name,1,length(name)-?1),name FROM satchel_profile WHERE name GLOB '*" SCOPE_NEXT
        "'),"
        " d AS MATERIALIZED (SELECT profile,iif(last_seen_ms>=(SELECT at_ms FROM satchel_scope ORDER BY version DESC LIMIT 1),(SELECT v.profile"
        " FROM satchel_held h LEFT JOIN satchel_view v ON v.id=h.view WHERE h.device=satchel_device.id ORDER BY h.seq DESC LIMIT 1),NULL) AS told"
        " FROM satchel_device WHERE state IN (1,4))"
        " SELECT p.name,p.next,count(d.profile),total(d.profile=p.next),total(d.profile=p.next AND d.told IS p.next) FROM p"
        " LEFT JOIN d ON d.profile IN (p.name,p.next) GROUP BY p.next ORDER BY p.next");
    db_bind(q, "i", (int64_t)strlen(SCOPE_NEXT));
    while (!stop && (rc = db_next(db, q)) == 1)
        stop = visit(ctx, &(rollout_profile){.name = (const char *)sqlite3_column_text(q, 0),
                                             .next = (const char *)sqlite3_column_text(q, 1),
                                             .devices = (uint64_t)sqlite3_column_int64(q, 2),
                                             .given = (uint64_t)sqlite3_column_int64(q, 3),
                                             .told = (uint64_t)sqlite3_column_int64(q, 4)});
    if (stop) sqlite3_reset(q);
    return stop ? stop : rc;
}

/* ---- who has which ---- */

typedef struct moving {
    store *s;
    uint64_t now_ms, *given;
} moving;

/* To each device that the statement, which is bound, gives: its number and its new profile. */
static int give(const moving *m, sqlite3_stmt *q) {
    buf list = {0}; /* the device's number, and the profile with its zero */
    int rc;
    while ((rc = db_next(&m->s->cache, q)) == 1) {
        int64_t id = sqlite3_column_int64(q, 0);
        buf_put(&list, &id, sizeof id);
        put_column(&list, q, 1);
    }
    if (!rc) rc = list.rc;
    for (size_t at = 0; !rc && at < list.n;) {
        int64_t id;
        memcpy(&id, list.p + at, sizeof id);
        const char *profile = (const char *)list.p + at + sizeof id;
        at += sizeof id + strlen(profile) + 1;
        int end = store_device_set_scope(m->s, id, &(device_scope){.given = DEVICE_PROFILE, .profile = profile}, m->now_ms);
        if (!end) ++*m->given;
        if (end != SATCHEL_E_NOT_FOUND) rc = end; /* one that was removed never comes */
    }
    buf_fini(&list);
    return rc;
}

#define BEFORE "substr(profile,1,length(profile)-?)"
#define LEFT                                                                                                                     \
    " WHERE profile GLOB '*" SCOPE_NEXT "' AND profile NOT IN (SELECT name FROM satchel_profile) AND substr(profile,1,"          \
    "length(profile)-?) IN (SELECT name FROM satchel_profile)"

int rollout_settle(store *s, uint64_t now_ms, uint64_t *given) {
    int64_t tail = (int64_t)strlen(SCOPE_NEXT);
    *given = 0;
    sqlite3_stmt *q = db_prepare(&s->cache, "SELECT id," BEFORE " FROM satchel_device" LEFT);
    db_bind(q, "ii", tail, tail);
    int rc = give(&(moving){s, now_ms, given}, q);
    return rc ? rc : db_exec(&s->cache, "UPDATE satchel_enrol SET profile=" BEFORE LEFT, "ii", tail, tail);
}

/* ---- its life ---- */

static int publish(store *s, const char *name, const char *sql, uint64_t now_ms, buf *error) {
    uint64_t moved;
    return scope_publish(s, name, sql, now_ms, &moved, error);
}

int rollout_check_none(store *s, buf *error) {
    rollout r;
    int rc = rollout_under_way(&s->cache, &r);
    if (rc == 1) {
        buf_printf(
            error,
            "a rollout of %s is under way; finish or abort it first, or publish other rules so that it ends (scope publish "
            "--end-rollout)",
            (const char *)r.name.p);
        rollout_fini(&r);
    }
    return rc == 1 ? SATCHEL_E_MISUSE : rc;
}

int rollout_start(store *s, const char *name, const char *sql, unsigned percent, uint64_t now_ms, uint64_t *given, buf *error) {
    buf old_name = {0}, old_sql = {0}, both = {0}, label = {0};
    *given = 0;
    int rc = rollout_check_none(s, error);
    if (!rc) rc = read_published(&s->cache, &old_name, &old_sql);
    if (!rc && !old_sql.n) {
        buf_printf(error, "no rules are in force, beside which others could stand; publish these (scope publish)");
        rc = SATCHEL_E_MISUSE;
    }
    if (rc == 1) rc = try_whole(s, name, sql, error);
    if (!rc) rc = compose((const char *)old_name.p, (const char *)old_sql.p, name, sql, &both, error);
    if (!rc) {
        buf_printf(&label, "%s (rollout)", name);
        buf_put_byte(&label, 0);
        rc = label.rc ? label.rc : publish(s, (const char *)label.p, (const char *)both.p, now_ms, error);
    }
    if (!rc && percent) rc = rollout_advance(s, percent, now_ms, given, error);
    buf_fini(&old_name);
    buf_fini(&old_sql);
    buf_fini(&both);
    buf_fini(&label);
    return rc;
}

int rollout_advance(store *s, unsigned percent, uint64_t now_ms, uint64_t *given, buf *error) {
    rollout r;
    *given = 0;
    int rc = need_under_way(s, &r, error);
    if (rc) return rc;
    rollout_fini(&r);
    sqlite3_stmt *q = db_prepare(
        &s->cache,
        "WITH p(name,next) AS (SELECT substr(name,1,length(name)-?2),name FROM satchel_profile WHERE name GLOB '*" SCOPE_NEXT "')"
        " SELECT id,next FROM (SELECT d.id,d.profile,p.next,row_number() OVER (PARTITION BY p.next ORDER BY"
        " d.profile=p.next DESC,d.id*2654435761%4294967296) AS place,count(*) OVER (PARTITION BY p.next) AS devices"
        " FROM satchel_device d JOIN p ON d.profile IN (p.name,p.next) WHERE d.state IN (1,4))"
        " WHERE place<=(devices*?1+99)/100 AND profile<>next");
    db_bind(q, "ii", (int64_t)percent, (int64_t)strlen(SCOPE_NEXT));
    return give(&(moving){s, now_ms, given}, q);
}

static int end(store *s, bool finish, uint64_t now_ms, uint64_t *given, buf *error) {
    rollout r;
    *given = 0;
    int rc = need_under_way(s, &r, error);
    if (rc) return rc;
    const buf *name = finish ? &r.name : &r.before_name, *text = finish ? &r.text : &r.before;
    rc = publish(s, (const char *)name->p, (const char *)text->p, now_ms, error);
    if (!rc) rc = rollout_settle(s, now_ms, given);
    rollout_fini(&r);
    return rc;
}

int rollout_finish(store *s, uint64_t now_ms, uint64_t *given, buf *error) {
    return end(s, true, now_ms, given, error);
}

int rollout_abort(store *s, uint64_t now_ms, uint64_t *given, buf *error) {
    return end(s, false, now_ms, given, error);
}
