/* satchel export - rows as the program sees them, confirmed and not yet sent, as CSV or JSON Lines. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/changeset.h"
#include "protocol/schema.h"
#include "tools/rows_out.h"
#include "tools/satchel_cli.h"

static int fail(const char *what, const char *why) {
    fprintf(stderr, "satchel: export: %s: %s\n", what, why);
    return 1;
}

static sqlite3_stmt *prepare(sqlite3 *db, const schema_table *t) {
    sqlite3_stmt *q = NULL;
    sqlite3_str *sql = sqlite3_str_new(db);
    for (unsigned i = 0; i < t->ncol; i++) sqlite3_str_appendf(sql, "%s\"%w\"", i ? "," : "SELECT ", t->col[i]->name);
    sqlite3_str_appendf(sql, " FROM \"%w\"", t->name);
    for (unsigned i = 0; i < t->nkey; i++) sqlite3_str_appendf(sql, "%s\"%w\"", i ? "," : " ORDER BY ", t->key[i]->name);
    char *text = sqlite3_str_finish(sql);
    if (text) sqlite3_prepare_v2(db, text, -1, &q, NULL);
    sqlite3_free(text);
    return q;
}

static int write_rows(sqlite3 *db, const schema_table *t, rows_format format, FILE *to) {
    static rows_column column[LIMIT_COLUMNS];
    static value v[LIMIT_COLUMNS];
    rows_out out = {.to = to, .format = format, .separator = ',', .column = column, .n = t->ncol};
    sqlite3_stmt *q = prepare(db, t);
    int rc = SATCHEL_OK, sq = SQLITE_ERROR;
    for (unsigned i = 0; i < t->ncol; i++)
        column[i] = (rows_column){.name = t->col[i]->name, .untyped = t->col[i]->affinity == AFFINITY_ANY};
    rows_out_names(&out);
    while (q && !rc && !ferror(to) && (sq = sqlite3_step(q)) == SQLITE_ROW) {
        for (unsigned i = 0; i < t->ncol; i++) v[i] = value_of_column(q, (int)i);
        rc = rows_out_row(&out, v);
    }
    if (!rc && sq != SQLITE_DONE && !ferror(to))
        rc = fail(t->name, sqlite3_errmsg(db));
    else if (rc)
        rc = fail(t->name, satchel_rc_text(rc));
    sqlite3_finalize(q);
    buf_fini(&out.line);
    return rc;
}

/* A file has its name when it is whole. */
static int write_file(sqlite3 *db, const schema_table *t, rows_format format, const char *path) {
    size_t n = strlen(path) + sizeof ".part";
    char *part = malloc(n);
    if (part) snprintf(part, n, "%s.part", path);
    FILE *to = part ? fopen(part, "we") : NULL;
    int rc = to ? write_rows(db, t, format, to) : fail(path, strerror(errno));
    bool bad = to && (fflush(to) || ferror(to));
    if (to && (fclose(to) || bad) && !rc) rc = fail(path, strerror(errno));
    if (to && !rc && rename(part, path)) rc = fail(path, strerror(errno));
    if (to && rc) unlink(part);
    free(part);
    return rc;
}

static int write_all(sqlite3 *db, const schema *s, rows_format format, const char *directory) {
    int rc = mkdir(directory, 0777) && errno != EEXIST ? fail(directory, strerror(errno)) : 0;
    for (unsigned i = 0; i < s->ntable && !rc; i++) {
        const schema_table *t = &s->table[i];
        char *path = t->until == SCHEMA_NEVER
                         ? sqlite3_mprintf("%s/%s%s", directory, t->name, format == ROWS_CSV ? ".csv" : ".jsonl")
                         : NULL;
        if (path) rc = write_file(db, t, format, path);
        sqlite3_free(path);
    }
    return rc;
}

static int write_one(cli *c, const schema *s, rows_format format) {
    const schema_table *t = schema_table_by_name(s, c->arg[0]);
    if (!t) return fail(c->arg[0], "there is no such synced table");
    if (c->narg == 2 && strcmp(c->arg[1], "-")) return write_file(satchel_db(c->s), t, format, c->arg[1]);
    return write_rows(satchel_db(c->s), t, format, stdout);
}

/* ---- what was not sent ---- */

static int put_member(buf *line, const char *name, const value *v, unsigned *n) {
    if ((*n)++) buf_put_byte(line, ',');
    int rc = rows_put_string(line, name, strlen(name));
    buf_put_byte(line, ':');
    return rc ? rc : rows_put_json(line, v);
}

/* {"transaction":7,"table":"contact","op":"update","key":{...},"values":{...}}: the key, and what was set. Of a refused one also why: "refused":"E_...". */
static int put_change(const schema *s, uint32_t epoch, uint64_t number, int code, const changeset_change *change, buf *line) {
    static const schema_column *column[LIMIT_COLUMNS];
    const schema_table *t = schema_table_in_epoch(s, epoch, change->table);
    const value *row = change->op == SQLITE_INSERT ? change->new : change->old;
    unsigned ncol = t ? schema_layout(t, epoch, column) : 0, n = 0;
    if (!ncol || ncol != change->ncol) return SATCHEL_E_CORRUPT;
    buf_clear(line);
    buf_printf(line, "{\"transaction\":%llu,", (unsigned long long)number);
    if (code) buf_printf(line, "\"refused\":\"%s\",", satchel_rc_name(code));
    buf_printf(line, "\"table\":");
    int rc = rows_put_string(line, t->name, strlen(t->name));
    buf_printf(line, ",\"op\":\"%s\",\"key\":{",
               change->op == SQLITE_INSERT   ? "insert"
               : change->op == SQLITE_UPDATE ? "update"
                                             : "delete");
    for (unsigned i = 0; i < ncol && !rc; i++)
        if (change->pk[i]) rc = put_member(line, column[i]->name, &row[i], &n);
    buf_printf(line, "},\"values\":{");
    n = 0;
    for (unsigned i = 0; i < ncol && !rc && change->op != SQLITE_DELETE; i++)
        if (!change->pk[i] && change->new[i].type != VALUE_ABSENT) rc = put_member(line, column[i]->name, &change->new[i], &n);
    buf_printf(line, "}}\n");
    return rc ? rc : line->rc;
}

static int write_changes(const schema *s, sqlite3_stmt *q, buf *line, FILE *to) {
    static changeset_change change;
    changeset_reader r;
    int more, rc = SATCHEL_OK, code = sqlite3_column_int(q, 3);
    changeset_open(&r, sqlite3_column_blob(q, 2), (size_t)sqlite3_column_bytes(q, 2));
    while (!rc && (more = changeset_next(&r, &change)) != 0) {
        rc = more < 0
                 ? more
                 : put_change(s, (uint32_t)sqlite3_column_int64(q, 1), (uint64_t)sqlite3_column_int64(q, 0), code, &change, line);
        if (!rc) fwrite(line->p, 1, line->n, to);
    }
    return rc;
}

static int write_pending(sqlite3 *db, const schema *s, FILE *to, bool refused) {
    sqlite3_stmt *q = NULL;
    buf line = {0};
    int rc = SATCHEL_OK,
        sq = sqlite3_prepare_v2(db,
                                "SELECT n,epoch,changes,iif(state=3,code,0),-1 AS part FROM satchel_outbox"
                                " WHERE state IN (0,?1) AND changes IS NOT NULL"
                                " UNION ALL SELECT n,epoch,p.changes,iif(state=3,code,0),part FROM satchel_outbox"
                                " JOIN satchel_outbox_part p USING(n) WHERE state IN (0,?1) ORDER BY n,part",
                                -1, &q, NULL);
    if (q) sqlite3_bind_int(q, 1, refused ? 3 : 0);
    while (!rc && sq != SQLITE_ERROR && (sq = sqlite3_step(q)) == SQLITE_ROW) rc = write_changes(s, q, &line, to);
    if (rc)
        fail("a transaction", satchel_rc_text(rc));
    else if (sq != SQLITE_DONE)
        rc = fail("the outbox", sqlite3_errmsg(db));
    sqlite3_finalize(q);
    buf_fini(&line);
    return rc;
}

bool cli_write_pending(cli *c, FILE *to, bool refused) {
    sqlite3 *db = satchel_db(c->s);
    schema *s = NULL;
    buf error = {0};
    int rc = schema_load(db, &s, &error) ? fail("reading", error.n ? (const char *)error.p : sqlite3_errmsg(db))
                                         : write_pending(db, s, to, refused);
    schema_free(s);
    buf_fini(&error);
    return !rc;
}

/* All tables as of one moment, though others may write. */
int cli_export(cli *c) {
    sqlite3 *db = satchel_db(c->s);
    rows_format format;
    schema *s = NULL;
    buf error = {0};
    if (!rows_format_of(c->format, c->all || c->narg < 2 ? NULL : c->arg[1], &format))
        return fail("--format", "it takes csv or jsonl"), 2;
    if (c->pending ? c->narg || c->all : c->narg < 1 || (c->all && c->narg != 1))
        return fail("operands", c->pending ? "--pending takes none" : c->all ? "--all takes a directory" : "which table?"), 2;
    if (sqlite3_exec(db, "BEGIN; SELECT count(*) FROM satchel_table", NULL, NULL, NULL) || schema_load(db, &s, &error)) {
        fail("reading", error.n ? (const char *)error.p : sqlite3_errmsg(db));
        buf_fini(&error);
        return 1;
    }
    int rc = c->pending ? write_pending(db, s, stdout, false)
             : c->all   ? write_all(db, s, format, c->arg[0])
                        : write_one(c, s, format);
    sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
    schema_free(s);
    buf_fini(&error);
    return rc ? 1 : 0;
}
