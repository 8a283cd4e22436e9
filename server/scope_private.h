/* scope_private.h - what the files of the scope engine share: the rules as they were read, and as they were compiled.
 *
 * scope_rules.c has the tables that the text is read into (rule_text.h); scope_compile.c resolves names and checks; scope_tables.c makes the statements of a table; scope.c works out
 * sets, scope_numbers.c has them by number; scope_device.c has what devices hold, scope_rights.c what they may write; scope_admin.c publishes, grants and keeps up; scope_report.c and scope_explain.c tell why. */
#ifndef SERVER_SCOPE_PRIVATE_H
#define SERVER_SCOPE_PRIVATE_H

#include "server/rule_text.h"
#include "server/scope.h"
#include "server/store_private.h"

/* ---- the text ---- */

typedef enum scope_kind { SCOPE_BUCKET, SCOPE_PARENT, SCOPE_PROFILE, SCOPE_MASK, SCOPE_WRITE } scope_kind;
/* SATCHEL_E_RULE and "name:line: what" in `error`. */
int scope_text_read(const char *name, const char *sql, rule_text *out, buf *error);

/* ---- compiled ---- */

typedef struct scope_bucket {
    unsigned line;
    const schema_table *t;
    const char *name, *value, *condition; /* in the text, as below */
} scope_bucket;

typedef struct scope_parent {
    unsigned line;
    const schema_table *t, *parent;
    uint16_t place[LIMIT_KEY_COLUMNS]; /* of the columns that hold the parent's key, in its order */
    const char *columns, *condition;
    const char *only;          /* names of buckets; NULL: all */
    bool reads[LIMIT_COLUMNS]; /* by place in t->col: the columns and what the condition reads */
    scope_missing missing;
    sqlite3_stmt *children, *known; /* keys of the children of a parent; the parent's set for a key */
} scope_parent;

typedef struct scope_write {
    unsigned line;
    unsigned profile;
    const schema_table *t;
    bool may[3];                    /* by delta_op: put, update, delete */
    bool every, anywhere;           /* every: all columns */
    bool column[LIMIT_COLUMNS + 1]; /* by id */
} scope_write;

typedef struct scope_profile {
    unsigned line;
    const char *name;
    int64_t horizon_days;
    sqlite3_stmt *buckets;
    bool *reads;  /* by place in the schema's tables */
    bool **masks; /* by the same, by column id; NULL: no column of the table */
    buf masked;   /* the same as satchel_view has it, zero-terminated */
} scope_profile;

/* How rows of a table get their sets. */
typedef struct scope_table {
    const schema_table *t;
    unsigned nbucket, nparent, nchild;
    scope_bucket **bucket;
    scope_parent **parent, **child; /* child: the rules whose parent this table is */
    bool timed;                     /* a rule of its own names satchel_now() */
    bool reads[LIMIT_COLUMNS];      /* by place in t->col: what its rules read */
    /* facts: bucket values, then for each parent whether the row names one and that one's set. scan: the key, satchel_set and the same, of all rows. whole: satchel_set,
     * satchel_clock and all columns. Each but scan by key. */
    sqlite3_stmt *facts, *whole, *set, *put_set;
} scope_table;

/* Names and sets by number, so that the same is not looked up again; forgotten when a transaction was undone. */
#define SCOPE_MEMO 512u
typedef struct scope_name {
    char *text;
    size_t n;
    uint32_t id;
} scope_name;
typedef struct scope_set {
    uint32_t set, n;
    uint32_t *bucket;
    const struct scope_parent *by; /* those that follow by this rule; NULL: all */
} scope_set;

typedef struct id_list {
    uint32_t *id;
    size_t n, room;
} id_list;

/* Of whom the rights are looked at, in one transaction. */
typedef struct scope_judge {
    int64_t device;
    uint64_t base, seq;
    const scope_profile *profile; /* NULL: everything */
    unsigned number;              /* of the profile */
    view *now, *then, *next;      /* what it holds, and held at its base: before and after a change of view at that very seq */
    bool looked, last_in;         /* of the set that was looked for in `now` last */
    uint32_t last_set;
} scope_judge;

struct scope {
    store *s;   /* NULL: a reader */
    bool fixed; /* gives no numbers: what has none is SCOPE_UNKNOWN_SET */
    sqlite3 *db;
    db_cache *cache, own;
    const schema *shape;
    int64_t version; /* 0: no rules */
    int64_t now_ms;  /* of a reader */
    uint64_t events; /* of the store, as of the last look */
    bool has_grants;
    char *name;
    rule_text text;

    scope_bucket *bucket;
    scope_parent *parent;
    scope_profile *profile;
    scope_write *write;
    unsigned nbucket, nparent, nprofile, nwrite;
    scope_table *table;      /* by place in the schema's tables */
    unsigned *order, norder; /* parents before children */

    scope_name names[SCOPE_MEMO];
    scope_set by_set[SCOPE_MEMO], by_list[SCOPE_MEMO], by_rule[SCOPE_MEMO];
    id_list ids, more;
    buf label, key, hold;
    view_sets *sets;
    scope_judge judge;
};

#define SCOPE_UNKNOWN_SET UINT32_MAX

/* Compiles c->text for the connection. `whole`: for publication, where every table must have rules. */
int scope_compile(scope *c, bool whole, buf *error);
void scope_compiled_free(scope *c);
/* Its statements. */
int scope_prepare_table(scope *c, scope_table *t, buf *error);
/* The statement `scan` of a table. */
int scope_prepare_scan(scope *c, const scope_table *t, sqlite3_stmt **out);
void scope_put_name(buf *sql, const char *name);
/* Takes the next name out of a list 'a, b'; false at its end. Names that are too long are cut. */
bool scope_next_name(const char **p, char out[LIMIT_NAME_BYTES + 2]);

scope_table *scope_table_of(const scope *c, const schema_table *t);
void scope_forget(scope *c);
/* The set by the facts that stand in a stepped statement from `column` on. orphan: the row names a parent that is not there. */
int scope_set_of_facts(scope *c, scope_table *t, sqlite3_stmt *q, int column, const value *key, uint32_t *set, bool *orphan);
/* Numbers of a bucket `name:<value>`; value NULL or VALUE_NULL: `name`. */
int scope_bucket_id(scope *c, const char *name, const value *v, uint32_t *id);
int scope_ids_add(id_list *l, uint32_t id);
/* Sorts, and leaves each once. */
void scope_ids_order(id_list *l);
/* Adds the buckets of the grants whose ids the statement gives, which is bound, to c->ids. */
int scope_add_grants(scope *c, sqlite3_stmt *q);
/* Puts what was looked up where it is found again, if there is memory for it. */
void scope_remember(scope_set *m, uint32_t set, const uint32_t *bucket, size_t n);
/* The number of c->ids; SCOPE_UNKNOWN_SET. */
int scope_set_number(scope *c, uint32_t *set);
/* The buckets of a set. */
int scope_buckets_of(scope *c, uint32_t set, const uint32_t **ids, size_t *n);
void scope_bind_key(sqlite3_stmt *q, const schema_table *t, const value *key);
const scope_profile *scope_profile_by_name(const scope *c, const char *name);
/* Calls visit for each row that does not lie where the rules say, or (each) for every row: where it lies, and is to. Parents first. */
int scope_place_all(scope *c, bool each,
                    int (*visit)(void *ctx, const schema_table *t, const value *key, uint32_t was, uint32_t is), void *ctx);
/* A scope that is current: the caller's, or *own, to be freed. */
int scope_use(store *s, scope **c, scope **own, buf *error);
/* What of a parent's set its children are in by the rule. */
int scope_followed(scope *c, const scope_parent *p, uint32_t *set);
/* The key of the parent by rule number `i` of the table, as stored, valid until the next call, and whether it is there: 1; 0: the row names none. */
int scope_parent_key(scope *c, const scope_table *st, unsigned i, const value *key, value *out, bool *there);
/* What an admin is told, as JSON or in words. */
struct json_t;
int scope_put_report(struct json_t *o, bool json, void (*words)(buf *out, struct json_t *o), buf *report);
/* What an admin names; `bytes` is owned. SATCHEL_E_NOT_FOUND with words. */
typedef struct scope_named {
    int64_t device;
    bool has_profile;
    const schema_table *t;
    value key[LIMIT_KEY_COLUMNS];
    buf bytes;
    uint32_t set;
} scope_named;
/* The key alone, into out->key and out->bytes. */
int scope_read_key(const schema_table *t, const char *literals, scope_named *out, buf *error);
int scope_name_row(scope *c, const char *device, const char *table, const char *literals, scope_named *out, buf *error);
/* The function satchel_now() of a connection, which gives *now_ms. */
int scope_register_now(sqlite3 *db, int64_t *now_ms);
/* The schema's own triggers ask where a write comes from when a statement on their table is prepared; a connection with capture knows, another is told here. */
int scope_register_local(sqlite3 *db);
int64_t scope_midnight(uint64_t now_ms);

/* A scope of these rules instead of the published ones, not published. */
int scope_open_text(store *s, const char *name, const char *sql, scope **out, buf *error);
/* The rules as published, for who only looks: on the writer, or on a connection that only reads. */
int scope_open_fixed(store *s, scope **out, buf *error);
int scope_open_reader(sqlite3 *db, const schema *shape, scope **out, buf *error);

#endif
