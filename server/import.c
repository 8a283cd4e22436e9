#include "server/import.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/import_private.h"

/* ---- what is asked ---- */

static int misuse(buf *error, int rc, const char *what, const char *name) {
    buf_printf(error, "%s%s", what, name);
    return rc;
}

static const schema_table *find_table(importer *im, const json_t *name, buf *error, int *rc) {
    const char *text = json_string_value(name);
    const schema_table *t = text ? schema_table_by_name(im->g->schema, text) : NULL;
    if (!t) *rc = misuse(error, SATCHEL_E_UNKNOWN_TABLE, "there is no synced table ", text ? text : "without a name");
    return t;
}

static int read_source(importer *im, const json_t *request, buf *error) {
    const json_t *key = json_object_get(request, "key");
    im->source = json_string_value(json_object_get(request, "source"));
    size_t n = json_array_size(key);
    if ((im->source != NULL) != (n > 0))
        return misuse(error, SATCHEL_E_MISUSE, "a source and the columns of its key go together", "");
    if (im->source && (!*im->source || strlen(im->source) > LIMIT_NAME_BYTES))
        return misuse(error, SATCHEL_E_MISUSE, "a source's name has 1 to 128 bytes", "");
    if (n > LIMIT_KEY_COLUMNS) return misuse(error, SATCHEL_E_LIMIT, "a key has 16 columns at most", "");
    for (size_t i = 0; i < n; i++)
        if (!(im->part_name[im->nparts++] = json_string_value(json_array_get(key, i))))
            return misuse(error, SATCHEL_E_MISUSE, "the columns of a key are names", "");
    return SATCHEL_OK;
}

static int read_ref(importer *im, const char *column, const json_t *to, buf *error) {
    import_field f;
    int rc = SATCHEL_OK;
    if (!import_resolve(im, column, &f) || f.place < 0)
        return misuse(error, SATCHEL_E_UNKNOWN_COLUMN, "the table has no column ", column);
    const schema_table *t = find_table(im, json_object_get(to, "table"), error, &rc);
    const char *source = json_string_value(json_object_get(to, "source"));
    if (rc) return rc;
    if (!source) return misuse(error, SATCHEL_E_MISUSE, "a reference names a source and a table", "");
    if (t->nkey != 1) return misuse(error, SATCHEL_E_MISUSE, "one column cannot refer to a key of several, as has ", t->name);
    im->refs[im->nrefs++] = (import_ref){.place = f.place, .source = source, .table = t};
    return SATCHEL_OK;
}

static int read_refs(importer *im, json_t *refs, buf *error) {
    const char *column;
    json_t *to;
    size_t n = json_object_size(refs);
    im->refs = calloc(n + 1, sizeof *im->refs);
    if (!im->refs) return SATCHEL_E_NOMEM;
    json_object_foreach(refs, column, to) {
        int rc = read_ref(im, column, to, error);
        if (rc) return rc;
    }
    return SATCHEL_OK;
}

static int read_columns(importer *im, const json_t *columns, buf *error) {
    im->nfields = (unsigned)json_array_size(columns);
    im->fields = calloc(im->nfields + 1, sizeof *im->fields);
    if (!im->fields) return SATCHEL_E_NOMEM;
    for (unsigned i = 0; i < im->nfields; i++) {
        const char *name = json_string_value(json_array_get(columns, i));
        if (!name || !import_resolve(im, name, &im->fields[i]))
            return misuse(error, SATCHEL_E_UNKNOWN_COLUMN, "the table has no column ", name ? name : "without a name");
        for (unsigned k = 0; k < i; k++)
            if (im->fields[k].place >= 0 && im->fields[k].place == im->fields[i].place)
                return misuse(error, SATCHEL_E_MISUSE, "the file names twice the column ", name);
    }
    return SATCHEL_OK;
}

/* What every row would be refused for. */
static int check_columns(const importer *im, buf *error) {
    for (unsigned k = 0; im->nfields && k < im->nparts; k++) {
        bool found = false;
        for (unsigned i = 0; i < im->nfields; i++) found |= im->fields[i].part == (int)k;
        if (!found) return misuse(error, SATCHEL_E_MISUSE, "the file has no column for the source's key: ", im->part_name[k]);
    }
    for (unsigned k = 0; im->nfields && !im->source && k < im->t->nkey; k++) {
        bool found = false;
        for (unsigned i = 0; i < im->nfields; i++)
            found |= im->fields[i].place >= 0 && im->t->col[im->fields[i].place] == im->t->key[k];
        if (!found)
            return misuse(error, SATCHEL_E_KEY_MISSING,
                          "without a source (--source, --key) the file has to have the table's key, and it has no column ",
                          im->t->key[k]->name);
    }
    return SATCHEL_OK;
}

static int prepare_look(importer *im) {
    sqlite3_str *sql = sqlite3_str_new(im->s->db);
    for (unsigned i = 0; i < im->t->ncol; i++) sqlite3_str_appendf(sql, "%s\"%w\"", i ? "," : "SELECT ", im->t->col[i]->name);
    sqlite3_str_appendf(sql, " FROM \"%w\"", im->t->name);
    for (unsigned i = 0; i < im->t->nkey; i++)
        sqlite3_str_appendf(sql, "%s\"%w\"=?", i ? " AND " : " WHERE ", im->t->key[i]->name);
    char *text = sqlite3_str_finish(sql);
    int sq = text ? sqlite3_prepare_v2(im->s->db, text, -1, &im->look, NULL) : SQLITE_NOMEM;
    sqlite3_free(text);
    return db_rc(sq);
}

static int prepare(importer *im, const json_t *request, buf *error) {
    int rc = SATCHEL_OK;
    im->t = find_table(im, json_object_get(request, "table"), error, &rc);
    if (!rc) rc = read_source(im, request, error);
    if (!rc) rc = read_refs(im, json_object_get(request, "refs"), error);
    if (!rc) rc = read_columns(im, json_object_get(request, "columns"), error);
    if (!rc) rc = check_columns(im, error);
    return rc ? rc : prepare_look(im);
}

/* A batch that does not have the form that the header tells. */
static bool is_well_formed(const importer *im, const json_t *rows) {
    size_t i;
    const json_t *row;
    if (!json_is_array(rows)) return false;
    json_array_foreach(rows, i, row) {
        size_t n = json_array_size(row);
        if (!n || !json_is_integer(json_array_get(row, 0))) return false;
        if (im->nfields ? n != im->nfields + 1 : n != 2 || !json_is_object(json_array_get(row, 1))) return false;
    }
    return true;
}

/* ---- the rows ---- */

typedef struct tally {
    uint64_t of[3]; /* by outcome */
    json_t *failed;
} tally;

static int note_failure(importer *im, const json_t *row, int rc, tally *t) {
    const buf *words = &im->g->bad_text;
    json_t *message = json_stringn(words->n ? (const char *)words->p : "", words->n);
    json_t *o = json_pack("{sO ss? ss so}", "line", json_array_get(row, 0), "column", im->bad_column, "code", satchel_rc_name(rc),
                          "message", message ? message : json_string(satchel_rc_text(rc)));
    return json_array_append_new(t->failed, o) ? SATCHEL_E_NOMEM : SATCHEL_OK;
}

static int take_rows(importer *im, const json_t *rows, tally *t) {
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row) {
        import_outcome outcome = IMPORT_UNCHANGED;
        int rc = import_row(im, row, &outcome);
        if (satchel_rc_class(rc) == SATCHEL_CLASS_REFUSED)
            rc = note_failure(im, row, rc, t);
        else
            t->of[outcome]++;
        if (rc) return rc;
    }
    return SATCHEL_OK;
}

/* What a source's keys became is worth a commit of its own; but a commit without a new seq is one that no device hears of. */
static int take_batch(importer *im, const json_t *rows, uint64_t now_ms, bool dry_run, tally *t) {
    ingest_position before;
    bool changed = false;
    int rc = store_begin(im->s);
    if (rc) return rc;
    rc = ingest_own_begin(im->g, now_ms, &before);
    if (!rc) rc = take_rows(im, rows, t);
    rc = ingest_own_end(im->g, &before, rc, &changed);
    bool commits = !rc && !dry_run && (changed || im->noted);
    if (commits) rc = store_commit(im->s);
    if (!commits) store_rollback(im->s);
    if (rc || !commits) ingest_put_back(im->g, &before);
    return rc;
}

static void reply_with(const importer *im, tally *t, json_t *reply) {
    json_object_set_new(reply, "inserted", json_integer((json_int_t)t->of[IMPORT_INSERTED]));
    json_object_set_new(reply, "updated", json_integer((json_int_t)t->of[IMPORT_UPDATED]));
    json_object_set_new(reply, "unchanged", json_integer((json_int_t)t->of[IMPORT_UNCHANGED]));
    json_object_set_new(reply, "kept", json_integer((json_int_t)im->kept));
    json_object_set(reply, "failed", t->failed);
}

static void fini(importer *im) {
    sqlite3_finalize(im->look);
    buf_fini(&im->hold);
    buf_fini(&im->source_key);
    buf_fini(&im->words);
    free(im->fields);
    free(im->refs);
    free(im);
}

int import_batch(store *s, ingest *g, const json_t *request, uint64_t now_ms, json_t *reply, buf *error) {
    const json_t *rows = json_object_get(request, "rows");
    tally t = {.failed = json_array()};
    importer *im = calloc(1, sizeof *im);
    if (!im || !t.failed) {
        free(im);
        json_decref(t.failed);
        return SATCHEL_E_NOMEM;
    }
    im->s = s;
    im->g = g;
    int rc = prepare(im, request, error);
    if (!rc && !is_well_formed(im, rows)) rc = misuse(error, SATCHEL_E_MALFORMED, "the rows are not as they have to be", "");
    if (!rc && json_array_size(rows) > IMPORT_ROWS) rc = misuse(error, SATCHEL_E_LIMIT, "a batch has 10000 rows at most", "");
    if (!rc) rc = take_batch(im, rows, now_ms, json_is_true(json_object_get(request, "dry_run")), &t);
    if (!rc) reply_with(im, &t, reply);
    json_decref(t.failed);
    fini(im);
    return rc;
}
