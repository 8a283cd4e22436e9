/* What is kept beside the rows and the log, against each other and against them. */
#include <inttypes.h>
#include <string.h>

#include "protocol/crypto.h"
#include "protocol/delta.h"
#include "protocol/satchel_rc.h"
#include "server/store_private.h"
#include "server/store_verify.h"

#define AUTHORS "(SELECT 0 UNION SELECT author FROM satchel_author UNION SELECT author FROM satchel_token)"
#define HEAD "(SELECT seq FROM satchel_server)"
#define HIGHEST "(SELECT high_stamp FROM satchel_server)"

/* Each row of a query is a finding: what, by the row's first number, and its fault. */
static const struct {
    const char *sql, *what, *fault;
} CHECKS[] = {
    {"SELECT seq FROM satchel_server WHERE floor>seq OR floor<0 OR backup_seq>seq", "position: commit",
     "lies behind the log's floor or the newest backup"},
    {"SELECT e.n FROM satchel_epoch e WHERE start_seq>" HEAD
     " OR start_seq<(SELECT max(b.start_seq) FROM satchel_epoch b WHERE b.n<e.n) OR length(epoch)<>8",
     "epoch", "begins where it cannot"},
    {"SELECT m.epoch FROM satchel_migration m WHERE m.epoch<>(SELECT count(*) FROM satchel_migration b WHERE b.epoch<=m.epoch)",
     "schema: migration", "does not follow the one before it"},
    {"SELECT id FROM satchel_device WHERE acked_seq>" HEAD " OR length(fingerprint)<>32", "device",
     "has more than there is, or no key"},
    {"SELECT author FROM satchel_author WHERE last_effective>" HIGHEST, "author", "has a stamp above the highest that was given"},
    {"SELECT id>>24 FROM satchel_log WHERE stamp>" HIGHEST, "log: commit", "has a stamp above the highest that was given"},
    {"SELECT id>>24 FROM satchel_log WHERE author NOT IN " AUTHORS, "log: commit", "is of an author that there is not"},
    {"SELECT id>>24 FROM satchel_log WHERE (bucket<>0 AND bucket NOT IN (SELECT id FROM satchel_set)) OR (besides NOT IN (0,4294967295) AND besides NOT IN"
     " (SELECT id FROM satchel_set))",
     "log: commit", "is for a set of buckets that there is not"},
    {"SELECT l.id>>24 FROM satchel_log l WHERE l.id&0xffffff AND NOT EXISTS(SELECT 1 FROM satchel_log b WHERE b.id=l.id-1)",
     "log: commit", "lacks a part"},
    {"SELECT number FROM satchel_result WHERE author NOT IN " AUTHORS, "the result of transaction",
     "is of an author that there is not"},
    {"SELECT number FROM satchel_result WHERE seq>" HEAD " OR effective>" HIGHEST, "the result of transaction",
     "names a commit or a stamp that there is not"},
    {"SELECT r.number FROM satchel_result r JOIN satchel_author a USING(author) WHERE r.number>a.last_number", "transaction",
     "has a result and is above its author's last one"},
    {"SELECT number FROM satchel_refused f WHERE NOT EXISTS(SELECT 1 FROM satchel_result r WHERE r.author=f.author AND"
     " r.number=f.number AND r.rc<>0)",
     "refused transaction", "has no result"},
    /* A result may have been taken over from another incarnation of the device. */
    {"SELECT number FROM satchel_result r WHERE rc<>0 AND NOT EXISTS(SELECT 1 FROM satchel_refused f WHERE f.number=r.number AND f.author"
     " IN (SELECT b.author FROM satchel_author a JOIN satchel_author b USING(device) WHERE a.author=r.author))",
     "transaction", "was refused and is not kept"},
    {"SELECT DISTINCT number FROM satchel_refused_row w WHERE NOT EXISTS(SELECT 1 FROM satchel_refused f WHERE f.author=w.author AND"
     " f.number=w.number AND f.state='open')",
     "refused transaction", "is not open, and rows of it are kept"},
    {"SELECT id FROM satchel_conflict WHERE seq>" HEAD " OR coalesce(kept_author,0) NOT IN " AUTHORS
     " OR coalesce(lost_author,0) NOT IN " AUTHORS,
     "conflict", "names a commit or an author that there is not"},
    {"SELECT DISTINCT number FROM satchel_stage WHERE author NOT IN " AUTHORS, "parts of transaction",
     "are of an author that there is not"},
    {"SELECT device FROM satchel_held WHERE seq>" HEAD "+1 OR (view<>0 AND view NOT IN (SELECT id FROM satchel_view))", "device",
     "was to hold what there is not"},
    {"SELECT tbl FROM satchel_left WHERE seq>" HEAD " OR (bucket_set<>0 AND bucket_set NOT IN (SELECT id FROM satchel_set))",
     "table number", "has a row that lay in a set of buckets that there is not"},
    {"SELECT id FROM satchel_grant WHERE device NOT IN (SELECT id FROM satchel_device)", "grant",
     "is for a device that there is not"},
};

static int run_checks(checking *c) {
    int rc = SATCHEL_OK;
    for (size_t i = 0; !rc && i < sizeof CHECKS / sizeof *CHECKS; i++) {
        sqlite3_stmt *q = NULL;
        int step = SQLITE_DONE;
        rc = db_rc(sqlite3_prepare_v2(c->db, CHECKS[i].sql, -1, &q, NULL));
        while (!rc && (step = sqlite3_step(q)) == SQLITE_ROW)
            verify_found(c, "%s %" PRId64 " %s", CHECKS[i].what, (int64_t)sqlite3_column_int64(q, 0), CHECKS[i].fault);
        if (!rc && step != SQLITE_DONE) rc = c->stopped ? SATCHEL_E_CLOSED : db_rc(step);
        sqlite3_finalize(q);
    }
    return rc;
}

/* 1..n ids of 4 bytes that there are, ascending. */
static int check_ids(checking *c, const char *what, sqlite3_stmt *q) {
    const uint8_t *p = sqlite3_column_blob(q, 1);
    int n = sqlite3_column_bytes(q, 1), rc = SATCHEL_OK;
    bool ok = n % 4 == 0;
    int64_t before = 0;
    for (int i = 0; ok && i + 4 <= n && !rc; i += 4) {
        int64_t id = (int64_t)p[i] << 24 | (int64_t)p[i + 1] << 16 | (int64_t)p[i + 2] << 8 | p[i + 3];
        sqlite3_bind_int64(c->bucket, 1, id);
        int step = sqlite3_step(c->bucket);
        sqlite3_reset(c->bucket);
        if (step != SQLITE_ROW && step != SQLITE_DONE) rc = db_rc(step);
        ok = id > before && step == SQLITE_ROW;
        before = id;
    }
    if (!ok && !rc) verify_found(c, "%s %" PRId64 " is not a list of buckets", what, (int64_t)sqlite3_column_int64(q, 0));
    return rc ? rc : verify_step(c, "checking buckets");
}

static int on_set(checking *c, sqlite3_stmt *q) {
    return check_ids(c, "set", q);
}

static int on_view(checking *c, sqlite3_stmt *q) {
    return check_ids(c, "view", q);
}

/* Values one after the other, to the last byte. */
static bool are_values(const uint8_t *p, size_t n) {
    const uint8_t *end = p ? p + n : NULL;
    value v;
    while (p && p < end)
        if (value_get(&p, end, &v)) return false;
    return true;
}

static int on_conflict(checking *c, sqlite3_stmt *q) {
    bool ok = schema_table_by_id(c->shape, (uint32_t)sqlite3_column_int64(q, 1)) != NULL;
    for (int i = 2; ok && i < 5; i++) ok = are_values(sqlite3_column_blob(q, i), (size_t)sqlite3_column_bytes(q, i));
    if (!ok) verify_found(c, "conflict %" PRId64 " cannot be read", (int64_t)sqlite3_column_int64(q, 0));
    return verify_step(c, "checking conflicts");
}

/* Changes that wait for more parts, or that an admin is to see. */
static int on_delta(checking *c, sqlite3_stmt *q) {
    static _Thread_local delta_row row;
    wire w;
    delta_reader r;
    wire_open(&w, sqlite3_column_blob(q, 1), (size_t)sqlite3_column_bytes(q, 1));
    delta_open(&r, &w);
    int more;
    while ((more = delta_next(&r, &row)) == 1) {
    }
    if (more)
        verify_found(c, "the changes of transaction %" PRId64 " that are kept cannot be read",
                     (int64_t)sqlite3_column_int64(q, 0));
    return verify_step(c, "checking what waits");
}

static int on_schema_sql(checking *c, sqlite3_stmt *q) {
    if (sqlite3_column_type(q, 1) != SQLITE_TEXT)
        verify_found(c, "schema: the text of migration %" PRId64 " is gone", (int64_t)sqlite3_column_int64(q, 0));
    return SATCHEL_OK;
}

/* The descriptor's columns, the clock and the set, and no others. */
static int check_table(checking *c, const schema_table *t) {
    sqlite3_stmt *q = NULL;
    int rc = db_rc(sqlite3_prepare_v2(c->db, "SELECT name FROM pragma_table_info(?)", -1, &q, NULL)), step = SQLITE_DONE;
    db_bind(q, "s", t->name);
    unsigned n = 0;
    for (; !rc && (step = sqlite3_step(q)) == SQLITE_ROW; n++) {
        const char *name = (const char *)sqlite3_column_text(q, 0);
        bool known = name && (!strcmp(name, "satchel_clock") || !strcmp(name, "satchel_set"));
        for (unsigned i = 0; !known && name && i < t->ncol; i++) known = !strcmp(name, t->col[i]->name);
        if (!known) verify_found(c, "table %s: column %s is not the schema's", t->name, name ? name : "?");
    }
    if (!rc && step == SQLITE_DONE && n < t->ncol + 2) verify_found(c, "table %s: a column of the schema is not there", t->name);
    sqlite3_finalize(q);
    return rc;
}

int verify_books(checking *c) {
    int rc = run_checks(c);
    if (!rc) rc = verify_each(c, "SELECT epoch,sql FROM satchel_migration", on_schema_sql);
    for (unsigned i = 0; !rc && i < c->shape->ntable; i++)
        if (c->shape->table[i].until == SCHEMA_NEVER) rc = check_table(c, &c->shape->table[i]);
    if (!rc) rc = db_rc(sqlite3_prepare_v2(c->db, "SELECT 1 FROM satchel_bucket WHERE id=?", -1, &c->bucket, NULL));
    if (!rc) rc = verify_each(c, "SELECT id,buckets FROM satchel_set", on_set);
    if (!rc) rc = verify_each(c, "SELECT id,buckets FROM satchel_view", on_view);
    if (!rc) rc = verify_each(c, "SELECT id,tbl,key,kept,lost FROM satchel_conflict", on_conflict);
    if (!rc) rc = verify_each(c, "SELECT number,delta FROM satchel_stage", on_delta);
    if (!rc) rc = verify_each(c, "SELECT number,delta FROM satchel_refused WHERE delta IS NOT NULL", on_delta);
    return rc;
}
