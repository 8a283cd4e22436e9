/* The tables that the rules of scope are written into. */
#include "server/scope_private.h"

static const char TABLES[] =
    "CREATE TABLE scope_bucket(tbl TEXT NOT NULL, name TEXT NOT NULL, value TEXT, condition TEXT);"
    "CREATE TABLE scope_parent(tbl TEXT NOT NULL, parent TEXT NOT NULL, columns TEXT NOT NULL, condition TEXT, missing TEXT DEFAULT 'park'"
    " CONSTRAINT \"missing is park, revive or keep\" CHECK(coalesce(missing,'park') IN ('park','revive','keep')), buckets TEXT);"
    "CREATE TABLE scope_profile(name TEXT NOT NULL, buckets TEXT NOT NULL, horizon_days INTEGER DEFAULT 30"
    " CONSTRAINT \"horizon_days is a number from 1 to 3650\" CHECK(typeof(coalesce(horizon_days,30))='integer' AND"
    " coalesce(horizon_days,30) BETWEEN 1 AND 3650));"
    "CREATE TABLE scope_mask(profile TEXT NOT NULL, tbl TEXT NOT NULL, columns TEXT NOT NULL);"
    "CREATE TABLE scope_write(profile TEXT NOT NULL, tbl TEXT NOT NULL, ops TEXT NOT NULL, columns TEXT, anywhere INTEGER DEFAULT 0"
    " CONSTRAINT \"anywhere is 0 or 1\" CHECK(typeof(coalesce(anywhere,0))='integer' AND coalesce(anywhere,0) IN (0,1)));";

static const rule_kind KIND[] = {
    [SCOPE_BUCKET] = {"scope_bucket", "SELECT rowid,tbl,name,value,condition FROM scope_bucket WHERE rowid>? ORDER BY rowid", 4},
    [SCOPE_PARENT] =
        {"scope_parent",
         "SELECT rowid,tbl,parent,columns,condition,coalesce(missing,'park'),buckets FROM scope_parent WHERE rowid>? ORDER BY rowid",
         6},
    [SCOPE_PROFILE] = {"scope_profile",
                       "SELECT rowid,name,buckets,coalesce(horizon_days,30) FROM scope_profile WHERE rowid>? ORDER BY rowid", 3},
    [SCOPE_MASK] = {"scope_mask", "SELECT rowid,profile,tbl,columns FROM scope_mask WHERE rowid>? ORDER BY rowid", 3},
    [SCOPE_WRITE] = {"scope_write",
                     "SELECT rowid,profile,tbl,ops,columns,coalesce(anywhere,0) FROM scope_write WHERE rowid>? ORDER BY rowid",
                     5},
};

int scope_text_read(const char *name, const char *sql, rule_text *out, buf *error) {
    static const rule_tables tables = {
        .create = TABLES,
        .kind = KIND,
        .nkind = sizeof KIND / sizeof *KIND,
        .refusal =
            "rules are INSERTs into scope_bucket, scope_parent, scope_profile, scope_mask and scope_write; leave this out"};
    return rule_text_read(&tables, name, sql, out, error);
}
