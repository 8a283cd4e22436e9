/* The rows of the rules against the schema: names, expressions, circles, masks. */
#include <stdlib.h>
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/scope_private.h"

/* The place of a live column, -1 if there is none. */
static int place_of(const schema_table *t, const char *name) {
    for (unsigned i = 0; i < t->ncol; i++)
        if (sqlite3_stricmp(t->col[i]->name, name) == 0) return (int)i;
    return -1;
}

bool scope_next_name(const char **p, char out[LIMIT_NAME_BYTES + 2]) {
    *p += strspn(*p, " \t\r\n,");
    size_t n = strcspn(*p, ",");
    const char *end = *p + n;
    while (n && strchr(" \t\r\n", (*p)[n - 1])) n--;
    if (!n) return false;
    size_t kept = n < LIMIT_NAME_BYTES + 1 ? n : LIMIT_NAME_BYTES + 1;
    memcpy(out, *p, kept);
    out[kept] = 0;
    *p = end;
    return true;
}

static const schema_table *find_table(const scope *c, const char *name) {
    for (unsigned i = 0; i < c->shape->ntable; i++)
        if (c->shape->table[i].until == SCHEMA_NEVER && sqlite3_stricmp(c->shape->table[i].name, name) == 0)
            return &c->shape->table[i];
    return NULL;
}

static int need_table(const scope *c, unsigned line, const char *name, const schema_table **out, buf *error) {
    *out = find_table(c, name);
    if (*out) return SATCHEL_OK;
    return rule_fail(error, c->name, line, "there is no synced table %s; correct the name, or declare it in a migration", name);
}

static int need_profile(const scope *c, unsigned line, const char *name, unsigned *out, buf *error) {
    *out = 0;
    for (unsigned i = 0; i < c->nprofile; i++) {
        *out = i;
        if (!strcmp(c->profile[i].name, name)) return SATCHEL_OK;
    }
    return rule_fail(error, c->name, line, "there is no profile %s; insert it into scope_profile", name);
}

static int need_column(const scope *c, unsigned line, const schema_table *t, const char *name, unsigned *place, buf *error) {
    int at = place_of(t, name);
    *place = 0;
    if (at < 0) return rule_fail(error, c->name, line, "table %s has no column %s; correct the name", t->name, name);
    *place = (unsigned)at;
    return SATCHEL_OK;
}

/* ---- SQL in rules ---- */

/* What an expression over a row may do, and what it reads. */
typedef struct asked {
    const schema_table *t; /* of an expression; NULL: a query, which may read every table of data */
    const scope *c;
    unsigned selects;
    bool timed, all;
    bool *reads; /* by place of column, or of table */
    const char *refusal;
} asked;

static int deny(asked *a, const char *why) {
    if (!a->refusal) a->refusal = why;
    return SQLITE_DENY;
}

static int ask_read(asked *a, const char *table, const char *column) {
    if (sqlite3_strnicmp(table, "satchel_", 8) == 0 || sqlite3_strnicmp(table, "sqlite_", 7) == 0)
        return deny(a, "reads a table that is not data; rules go by the rows of the schema's tables");
    if (sqlite3_strnicmp(column, "satchel_", 8) == 0) return deny(a, "reads a column of Satchel's own; leave it out");
    if (!a->t) {
        const schema_table *t = find_table(a->c, table);
        if (t) a->reads[t - a->c->shape->table] = true;
        return SQLITE_OK;
    }
    if (sqlite3_stricmp(table, a->t->name))
        return deny(a, "reads another table; go by the row's own columns, and let it follow others with scope_parent");
    int place = *column ? place_of(a->t, column) : -1;
    if (place >= 0)
        a->reads[place] = true;
    else if (*column)
        a->all = true; /* a generated column, or the rowid: any column may be behind it */
    return SQLITE_OK;
}

/* Sets are worked out again later, and must come out the same. */
static int ask_function(asked *a, const char *name) {
    static const char *const FICKLE[] = {
        "random",        "randomblob",   "uuid7",        "satchel_local",     "changes",
        "total_changes", "current_time", "current_date", "current_timestamp", "last_insert_rowid"};
    if (!sqlite3_stricmp(name, "satchel_now")) {
        a->timed = true;
        return a->t ? SQLITE_OK : deny(a, "calls satchel_now(); in a profile's query write :now");
    }
    for (size_t i = 0; a->t && i < sizeof FICKLE / sizeof *FICKLE; i++)
        if (!sqlite3_stricmp(name, FICKLE[i]))
            return deny(a,
                        "calls a function that gives another value each time; use satchel_now() for the time, and columns else");
    return SQLITE_OK;
}

static int authorize(void *ctx, int action, const char *a, const char *b, const char *c, const char *d) {
    asked *q = ctx;
    (void)c, (void)d;
    switch (action) {
    case SQLITE_SELECT:
        if (q->t && ++q->selects > 1)
            return deny(q, "holds a SELECT; go by the row's own columns, and follow others with scope_parent");
        return SQLITE_OK;
    case SQLITE_READ:
        return ask_read(q, a, b ? b : "");
    case SQLITE_FUNCTION:
        return ask_function(q, b ? b : "");
    case SQLITE_RECURSIVE:
        return SQLITE_OK;
    default:
        return deny(q, "does something else than read; a rule only reads");
    }
}

static int prepare_asked(scope *c, asked *a, const char *sql, sqlite3_stmt **out) {
    a->c = c;
    sqlite3_set_authorizer(c->db, authorize, a);
    int sq = sqlite3_prepare_v3(c->db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL);
    sqlite3_set_authorizer(c->db, NULL, NULL);
    return sq;
}

/* 'now' in a date function is the time of the statement. */
static bool says_now(const char *text) {
    for (const char *p = text; (p = strchr(p, '\'')); p++)
        if (sqlite3_strnicmp(p, "'now'", 5) == 0) return true;
    return false;
}

/* An expression over a row of `t`: its columns are noted in `reads`. NULL is none. */
static int check_expression(scope *c, unsigned line, const schema_table *t, const char *what, const char *text, bool *reads,
                            bool *timed, buf *error) {
    if (!text) return SATCHEL_OK;
    if (says_now(text))
        return rule_fail(error, c->name, line, "the %s names 'now'; write satchel_now(), the server's time in milliseconds",
                         what);
    asked a = {.t = t, .reads = reads};
    sqlite3_stmt *q = NULL;
    /* In WHERE, where SQLite takes neither aggregates nor window functions. */
    char *sql = sqlite3_mprintf("SELECT 1 FROM \"%w\" WHERE (%s\n)", t->name, text);
    if (!sql) return SATCHEL_E_NOMEM;
    int sq = prepare_asked(c, &a, sql, &q), rc = SATCHEL_OK;
    sqlite3_free(sql);
    if (a.refusal)
        rc = rule_fail(error, c->name, line, "the %s %s", what, a.refusal);
    else if (sq != SQLITE_OK)
        rc = rule_fail(error, c->name, line, "the %s does not compile over %s: %s", what, t->name, sqlite3_errmsg(c->db));
    else if (sqlite3_bind_parameter_count(q))
        rc = rule_fail(error, c->name, line, "the %s has a parameter; only a profile's query has", what);
    sqlite3_finalize(q);
    for (unsigned i = 0; a.all && i < t->ncol; i++) reads[i] = true;
    *timed |= a.timed;
    return rc;
}

static int check_query(scope *c, scope_profile *p, const char *text, buf *error) {
    static const char *const KNOWN[] = {":device", ":user", ":store", ":now"};
    asked a = {.reads = p->reads};
    int sq = prepare_asked(c, &a, text, &p->buckets);
    if (a.refusal) return rule_fail(error, c->name, p->line, "the query of profile %s %s", p->name, a.refusal);
    if (sq != SQLITE_OK || !p->buckets)
        return rule_fail(error, c->name, p->line, "the query of profile %s does not compile: %s", p->name,
                         sq == SQLITE_OK ? "it is empty" : sqlite3_errmsg(c->db));
    if (sqlite3_column_count(p->buckets) != 2 || !sqlite3_stmt_readonly(p->buckets))
        return rule_fail(error, c->name, p->line,
                         "the query of profile %s must give two columns: a bucket's name, and its value or NULL", p->name);
    for (int i = 1; i <= sqlite3_bind_parameter_count(p->buckets); i++) {
        const char *name = sqlite3_bind_parameter_name(p->buckets, i);
        bool known = false;
        for (size_t k = 0; name && k < sizeof KNOWN / sizeof *KNOWN; k++) known |= !strcmp(name, KNOWN[k]);
        if (!known)
            return rule_fail(error, c->name, p->line,
                             "the query of profile %s has the parameter %s; there are :device, :user, :store and :now", p->name,
                             name ? name : "?");
    }
    return SATCHEL_OK;
}

/* ---- the five kinds ---- */

static int take_profile(scope *c, const rule_row *r, buf *error) {
    unsigned other;
    buf nowhere = {0};
    bool taken = need_profile(c, 0, r->field[0], &other, &nowhere) == SATCHEL_OK;
    buf_fini(&nowhere);
    if (taken) return rule_fail(error, c->name, r->line, "profile %s stands twice; leave one out", r->field[0]);
    if (!r->field[0][0] || strlen(r->field[0]) > LIMIT_NAME_BYTES)
        return rule_fail(error, c->name, r->line, "a profile's name is empty or too long; choose another");
    scope_profile *p = &c->profile[c->nprofile++];
    *p = (scope_profile){.line = r->line, .name = r->field[0], .horizon_days = strtoll(r->field[2], NULL, 10)};
    p->reads = calloc(c->shape->ntable + 1, sizeof *p->reads);
    p->masks = calloc(c->shape->ntable + 1, sizeof *p->masks);
    if (!p->reads || !p->masks) return SATCHEL_E_NOMEM;
    return check_query(c, p, r->field[1], error);
}

static bool is_word(const char *name) {
    for (const char *p = name; *p; p++)
        if (*p == ':' || (unsigned char)*p < 0x20) return false;
    return *name && strlen(name) <= LIMIT_NAME_BYTES;
}

static int take_bucket(scope *c, const rule_row *r, buf *error) {
    scope_bucket *b = &c->bucket[c->nbucket];
    *b = (scope_bucket){.line = r->line, .name = r->field[1], .value = r->field[2], .condition = r->field[3]};
    int rc = need_table(c, r->line, r->field[0], &b->t, error);
    if (rc) return rc;
    if (!is_word(b->name) || !strcmp(b->name, "grant"))
        return rule_fail(error, c->name, r->line, "a bucket cannot be called \"%s\"; choose another name", b->name);
    scope_table *t = scope_table_of(c, b->t);
    rc = check_expression(c, r->line, b->t, "value", b->value, t->reads, &t->timed, error);
    if (!rc) rc = check_expression(c, r->line, b->t, "condition", b->condition, t->reads, &t->timed, error);
    if (rc) return rc;
    c->nbucket++;
    t->nbucket++;
    return SATCHEL_OK;
}

static int take_parent_columns(scope *c, scope_parent *p, buf *error) {
    char name[LIMIT_NAME_BYTES + 2];
    const char *at = p->columns;
    unsigned n = 0, place = 0;
    for (; scope_next_name(&at, name); n++) {
        int rc = need_column(c, p->line, p->t, name, &place, error);
        if (rc) return rc;
        if (n < p->parent->nkey) p->place[n] = (uint16_t)place;
        p->reads[place] = true;
    }
    if (n == p->parent->nkey) return SATCHEL_OK;
    return rule_fail(error, c->name, p->line, "%u columns are named, and the key of %s has %u; name one for each, in its order",
                     n, p->parent->name, p->parent->nkey);
}

static int check_only(const scope *c, const scope_parent *p, buf *error) {
    char name[LIMIT_NAME_BYTES + 2];
    for (const char *at = p->only; at && scope_next_name(&at, name);) {
        bool known = false;
        for (unsigned i = 0; i < c->nbucket; i++) known |= !strcmp(c->bucket[i].name, name);
        if (!known) return rule_fail(error, c->name, p->line, "no row lies in a bucket called %s; correct the name", name);
    }
    return SATCHEL_OK;
}

/* What is let in without its parent must not be a fault by the schema. */
static int check_keep(scope *c, const scope_parent *p, buf *error) {
    sqlite3_stmt *q = NULL;
    int rc = db_rc(sqlite3_prepare_v2(c->db, "SELECT \"from\" FROM pragma_foreign_key_list(?)", -1, &q, NULL));
    if (!rc) sqlite3_bind_text(q, 1, p->t->name, -1, SQLITE_STATIC);
    while (!rc && sqlite3_step(q) == SQLITE_ROW) {
        int place = place_of(p->t, (const char *)sqlite3_column_text(q, 0));
        for (unsigned i = 0; i < p->parent->nkey && !rc; i++)
            if (place == (int)p->place[i])
                rc = rule_fail(error, c->name, p->line,
                               "%s.%s is a foreign key, so rows cannot be kept without what it names; choose park or revive",
                               p->t->name, p->t->col[place]->name);
    }
    sqlite3_finalize(q);
    return rc;
}

/* How SQLite compares what stands in a column with another's: as numbers, as text, or as it is. */
static unsigned kind_of(const schema_column *col) {
    if (col->affinity == AFFINITY_ANY || col->affinity == AFFINITY_BLOB) return 0;
    return col->affinity == AFFINITY_TEXT ? 1 : 2;
}

/* '07' in a column of text is 7 in one of numbers, but who looks for 7 in the first does not find it: parents and children must find each other both ways. */
static int check_kinds(const scope *c, const scope_parent *p, buf *error) {
    for (unsigned i = 0; i < p->parent->nkey; i++) {
        const schema_column *col = p->t->col[p->place[i]], *key = p->parent->key[i];
        if (kind_of(col) != kind_of(key))
            return rule_fail(
                error, c->name, p->line,
                "%s.%s is not of the type of %s.%s, so that a row may name its parent in another way than it is written there; "
                "give it the same type in a migration",
                p->t->name, col->name, p->parent->name, key->name);
    }
    return SATCHEL_OK;
}

static int take_parent(scope *c, const rule_row *r, buf *error) {
    scope_parent *p = &c->parent[c->nparent];
    *p = (scope_parent){.line = r->line, .columns = r->field[2], .condition = r->field[3], .only = r->field[5]};
    p->missing = !strcmp(r->field[4], "keep") ? MISSING_KEEP : !strcmp(r->field[4], "revive") ? MISSING_REVIVE : MISSING_PARK;
    int rc = need_table(c, r->line, r->field[0], &p->t, error);
    if (!rc) rc = need_table(c, r->line, r->field[1], &p->parent, error);
    if (rc) return rc;
    if (p->t == p->parent)
        return rule_fail(error, c->name, r->line, "%s cannot follow itself; give its rows buckets of their own", p->t->name);
    scope_table *t = scope_table_of(c, p->t);
    rc = take_parent_columns(c, p, error);
    if (!rc) rc = check_expression(c, r->line, p->t, "condition", p->condition, p->reads, &t->timed, error);
    if (!rc) rc = check_only(c, p, error);
    if (!rc && p->missing == MISSING_KEEP) rc = check_keep(c, p, error);
    if (rc) return rc;
    for (unsigned i = 0; i < p->t->ncol; i++) t->reads[i] |= p->reads[i];
    c->nparent++;
    t->nparent++;
    scope_table_of(c, p->parent)->nchild++;
    return SATCHEL_OK;
}

/* Part of a group: its columns travel together, so that they are masked or written together. */
static int check_groups(const scope *c, unsigned line, const schema_table *t, const bool *chosen, buf *error) {
    for (unsigned i = 0; i < t->ncol; i++)
        for (unsigned k = 0; k < t->ncol; k++)
            if (t->col[i]->rule == RULE_GROUP && t->col[i]->unit == t->col[k]->unit && chosen[t->col[i]->id] &&
                !chosen[t->col[k]->id])
                return rule_fail(error, c->name, line, "%s.%s is in one group with %s; name both or neither", t->name,
                                 t->col[i]->name, t->col[k]->name);
    return SATCHEL_OK;
}

static int check_mask(const scope *c, unsigned line, const schema_table *t, unsigned place, buf *error) {
    const schema_column *col = t->col[place];
    const char *why = NULL;
    if (col->key) why = "is part of the key; a device cannot hold a row without it";
    if (col->not_null && col->default_value.type == VALUE_NULL)
        why = "is NOT NULL and has no default; give it one in a migration";
    for (unsigned i = 0; i < c->nparent && !why; i++)
        if (c->parent[i].t == t && c->parent[i].reads[place])
            why = "is read by a rule of scope_parent; devices need it to find what the row follows";
    return why ? rule_fail(error, c->name, line, "%s.%s cannot be masked: it %s", t->name, col->name, why) : SATCHEL_OK;
}

static int take_mask(scope *c, const rule_row *r, buf *error) {
    const schema_table *t;
    unsigned profile = 0, place = 0;
    int rc = need_profile(c, r->line, r->field[0], &profile, error);
    if (!rc) rc = need_table(c, r->line, r->field[1], &t, error);
    if (rc) return rc;
    bool **mask = &c->profile[profile].masks[t - c->shape->table];
    if (!*mask) *mask = calloc(LIMIT_COLUMNS + 1, sizeof **mask);
    if (!*mask) return SATCHEL_E_NOMEM;
    char name[LIMIT_NAME_BYTES + 2];
    for (const char *at = r->field[2]; !rc && scope_next_name(&at, name);) {
        rc = need_column(c, r->line, t, name, &place, error);
        if (!rc) rc = check_mask(c, r->line, t, place, error);
        if (!rc) (*mask)[t->col[place]->id] = true;
    }
    return rc ? rc : check_groups(c, r->line, t, *mask, error);
}

static int take_ops(const scope *c, scope_write *w, const char *ops, buf *error) {
    static const char *const OP[] = {"insert", "update", "delete"};
    char name[LIMIT_NAME_BYTES + 2];
    while (scope_next_name(&ops, name)) {
        unsigned i = 0;
        while (i < 3 && strcmp(name, OP[i])) i++;
        if (i == 3)
            return rule_fail(error, c->name, w->line, "%s is not a way to write; there are insert, update and delete", name);
        w->may[i] = true;
    }
    return SATCHEL_OK;
}

static int take_write_columns(scope *c, scope_write *w, const char *columns, buf *error) {
    char name[LIMIT_NAME_BYTES + 2];
    const bool *mask = c->profile[w->profile].masks[w->t - c->shape->table];
    unsigned place = 0;
    w->every = !columns;
    for (const char *at = columns; at && scope_next_name(&at, name);) {
        int rc = need_column(c, w->line, w->t, name, &place, error);
        if (rc) return rc;
        w->column[w->t->col[place]->id] = true;
        if (mask && mask[w->t->col[place]->id])
            return rule_fail(error, c->name, w->line,
                             "%s.%s is masked from profile %s; who does not see a column cannot write it", w->t->name, name,
                             c->profile[w->profile].name);
    }
    return w->every ? SATCHEL_OK : check_groups(c, w->line, w->t, w->column, error);
}

static int take_write(scope *c, const rule_row *r, buf *error) {
    scope_write *w = &c->write[c->nwrite];
    *w = (scope_write){.line = r->line, .anywhere = r->field[4][0] == '1'};
    int rc = need_profile(c, r->line, r->field[0], &w->profile, error);
    if (!rc) rc = need_table(c, r->line, r->field[1], &w->t, error);
    if (!rc) rc = take_ops(c, w, r->field[2], error);
    if (!rc) rc = take_write_columns(c, w, r->field[3], error);
    if (!rc) c->nwrite++;
    return rc;
}

/* ---- all of it ---- */

static int take_kind(scope *c, scope_kind kind, buf *error) {
    static int (*const TAKE[])(scope *, const rule_row *, buf *) = {take_bucket, take_parent, take_profile, take_mask,
                                                                    take_write};
    int rc = SATCHEL_OK;
    for (size_t i = 0; i < c->text.n && !rc; i++)
        if (c->text.row[i].kind == kind) rc = TAKE[kind](c, &c->text.row[i], error);
    return rc;
}

static int list_rules(scope *c) {
    for (unsigned i = 0; i < c->shape->ntable; i++) {
        scope_table *t = &c->table[i];
        t->bucket = calloc(t->nbucket + 1, sizeof *t->bucket);
        t->parent = calloc(t->nparent + 1, sizeof *t->parent);
        t->child = calloc(t->nchild + 1, sizeof *t->child);
        if (!t->bucket || !t->parent || !t->child) return SATCHEL_E_NOMEM;
        t->nbucket = t->nparent = t->nchild = 0;
    }
    for (unsigned i = 0; i < c->nbucket; i++) {
        scope_table *t = scope_table_of(c, c->bucket[i].t);
        t->bucket[t->nbucket++] = &c->bucket[i];
    }
    for (unsigned i = 0; i < c->nparent; i++) {
        scope_table *t = scope_table_of(c, c->parent[i].t), *parent = scope_table_of(c, c->parent[i].parent);
        t->parent[t->nparent++] = &c->parent[i];
        parent->child[parent->nchild++] = &c->parent[i];
    }
    return SATCHEL_OK;
}

/* Parents before children; what is left over stands in a circle, or below one. */
static int put_in_order(scope *c, buf *error) {
    unsigned n = c->shape->ntable;
    bool *done = calloc(n + 1, sizeof *done);
    c->order = calloc(n + 1, sizeof *c->order);
    if (!c->order || !done) {
        free(done);
        return SATCHEL_E_NOMEM;
    }
    for (bool more = true; more;) {
        more = false;
        for (unsigned i = 0; i < n; i++) {
            bool ready = !done[i] && c->shape->table[i].until == SCHEMA_NEVER;
            for (unsigned k = 0; k < c->table[i].nparent && ready; k++)
                ready = done[c->table[i].parent[k]->parent - c->shape->table];
            if (!ready) continue;
            done[i] = more = true;
            c->order[c->norder++] = i;
        }
    }
    int rc = SATCHEL_OK;
    for (unsigned i = 0; i < c->nparent && !rc; i++)
        if (!done[c->parent[i].t - c->shape->table] && !done[c->parent[i].parent - c->shape->table])
            rc = rule_fail(error, c->name, c->parent[i].line, "%s follows %s in a circle; leave one of these rules out",
                           c->parent[i].t->name, c->parent[i].parent->name);
    free(done);
    return rc;
}

static int check_every_table(const scope *c, buf *error) {
    for (unsigned i = 0; i < c->shape->ntable; i++)
        if (c->shape->table[i].until == SCHEMA_NEVER && !c->table[i].nbucket && !c->table[i].nparent)
            return rule_fail(error, c->name, 0,
                             "table %s has no rule; insert one into scope_bucket or scope_parent, ('%s','all') for everybody",
                             c->shape->table[i].name, c->shape->table[i].name);
    return SATCHEL_OK;
}

static void write_masks(scope *c, scope_profile *p) {
    buf_init(&p->masked, 0);
    for (unsigned i = 0; i < c->shape->ntable; i++) {
        const schema_table *t = &c->shape->table[i];
        unsigned n = 0;
        for (unsigned k = 0; p->masks[i] && k < t->ncol; k++)
            if (p->masks[i][t->col[k]->id]) {
                if (!n) buf_printf(&p->masked, "%s%u", p->masked.n ? ";" : "", t->id);
                buf_printf(&p->masked, "%c%u", n++ ? ',' : ':', t->col[k]->id);
            }
    }
    buf_put_byte(&p->masked, 0);
}

static int make_room(scope *c) {
    size_t n = c->text.n + 1;
    c->bucket = calloc(n, sizeof *c->bucket);
    c->parent = calloc(n, sizeof *c->parent);
    c->profile = calloc(n, sizeof *c->profile);
    c->write = calloc(n, sizeof *c->write);
    c->table = calloc(c->shape->ntable + 1, sizeof *c->table);
    for (unsigned i = 0; c->table && i < c->shape->ntable; i++) c->table[i].t = &c->shape->table[i];
    return c->bucket && c->parent && c->profile && c->write && c->table ? SATCHEL_OK : SATCHEL_E_NOMEM;
}

int scope_compile(scope *c, bool whole, buf *error) {
    static const scope_kind ORDER[] = {SCOPE_PROFILE, SCOPE_BUCKET, SCOPE_PARENT, SCOPE_MASK, SCOPE_WRITE};
    int rc = make_room(c);
    for (size_t i = 0; i < sizeof ORDER / sizeof *ORDER && !rc; i++) rc = take_kind(c, ORDER[i], error);
    for (unsigned i = 0; i < c->nparent && !rc && whole; i++) rc = check_kinds(c, &c->parent[i], error);
    if (!rc && whole) rc = check_every_table(c, error);
    if (!rc) rc = list_rules(c);
    if (!rc) rc = put_in_order(c, error);
    for (unsigned i = 0; i < c->norder && !rc; i++) rc = scope_prepare_table(c, &c->table[c->order[i]], error);
    for (unsigned i = 0; i < c->nprofile && !rc; i++) {
        write_masks(c, &c->profile[i]);
        rc = c->profile[i].masked.rc;
    }
    return rc;
}

static void free_profile(scope *c, scope_profile *p) {
    sqlite3_finalize(p->buckets);
    for (unsigned i = 0; p->masks && i < c->shape->ntable; i++) free(p->masks[i]);
    free(p->masks);
    free(p->reads);
    buf_fini(&p->masked);
}

static void free_table(scope_table *t) {
    sqlite3_finalize(t->facts);
    sqlite3_finalize(t->whole);
    sqlite3_finalize(t->set);
    sqlite3_finalize(t->put_set);
    free(t->bucket);
    free(t->parent);
    free(t->child);
}

void scope_compiled_free(scope *c) {
    for (unsigned i = 0; i < c->nparent; i++) {
        sqlite3_finalize(c->parent[i].children);
        sqlite3_finalize(c->parent[i].known);
    }
    for (unsigned i = 0; i < c->nprofile; i++) free_profile(c, &c->profile[i]);
    for (unsigned i = 0; c->table && i < c->shape->ntable; i++) free_table(&c->table[i]);
    free(c->bucket);
    free(c->parent);
    free(c->profile);
    free(c->write);
    free(c->table);
    free(c->order);
}
