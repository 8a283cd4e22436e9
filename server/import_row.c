/* One row of an import: from its JSON to values, to the row that is there, to what has to change. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/field.h"
#include "server/import_private.h"
#include "server/record.h"

static int refuse(importer *im, const char *column, int rc, const char *words) {
    im->bad_column = column;
    return ingest_refuse(im->g, rc, "%s", words);
}

/* ---- fields ---- */

bool import_resolve(const importer *im, const char *name, import_field *out) {
    *out = (import_field){.name = name, .place = IMPORT_NONE, .part = IMPORT_NONE};
    for (unsigned i = 0; i < im->t->ncol && out->place < 0; i++)
        if (!sqlite3_stricmp(im->t->col[i]->name, name)) out->place = (int)i;
    for (unsigned i = 0; i < im->nparts && out->part < 0; i++)
        if (!strcmp(im->part_name[i], name)) out->part = (int)i;
    for (unsigned i = 0; i < im->nrefs; i++)
        if (im->refs[i].place == out->place) out->ref = &im->refs[i];
    return out->place >= 0 || out->part >= 0;
}

/* A key's field as text, whatever it is written as. */
static int text_of(importer *im, const import_field *f, const json_t *v, value *out) {
    if (json_is_string(v)) {
        *out = value_text(json_string_value(v), json_string_length(v));
    } else if (json_is_integer(v)) {
        size_t at = im->hold.n;
        buf_printf(&im->hold, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
        *out = value_text((const char *)im->hold.p + at, im->hold.n - at);
    } else if (json_is_null(v)) {
        *out = value_null();
    } else {
        return refuse(im, f->name, SATCHEL_E_TYPE, "a key of a source is a text or a whole number");
    }
    return im->hold.rc;
}

/* An empty field of a CSV file says nothing where NULL may not be and a default is. */
static bool says_nothing(const importer *im, const schema_column *c, const json_t *v) {
    return im->nfields && json_is_null(v) && c->not_null && c->default_value.type != VALUE_NULL;
}

static int of_json(importer *im, const import_field *f, const schema_column *c, const json_t *v) {
    buf_clear(&im->words);
    int rc = record_value(c, v, &im->hold, &im->v[f->place], &im->words);
    return satchel_rc_class(rc) == SATCHEL_CLASS_REFUSED ? refuse(im, f->name, rc, (const char *)im->words.p) : rc;
}

static int take_column(importer *im, const import_field *f, const json_t *v) {
    const schema_column *c = im->t->col[f->place];
    value *out = &im->v[f->place];
    const char *words = "";
    int rc = SATCHEL_OK;
    if (says_nothing(im, c, v)) return SATCHEL_OK;
    im->given[f->place] = true;
    if (f->ref) {
        value text;
        rc = text_of(im, f, v, &text);
        *out = value_null();
        return rc || text.type == VALUE_NULL ? rc : import_follow(im, f, &text, out);
    }
    if (!im->nfields || !json_is_string(v)) return of_json(im, f, c, v);
    rc = field_of_text(c, json_string_value(v), json_string_length(v), &im->hold, out, &words);
    if (rc == SATCHEL_E_TYPE) return refuse(im, f->name, rc, words);
    if (!rc) ingest_as_stored(c, out);
    return rc;
}

static int take_field(importer *im, const import_field *f, const json_t *v) {
    int rc = f->part >= 0 ? text_of(im, f, v, &im->part[f->part]) : SATCHEL_OK;
    return rc || f->place < 0 ? rc : take_column(im, f, v);
}

static int read_array(importer *im, const json_t *row) {
    int rc = SATCHEL_OK;
    for (unsigned i = 0; i < im->nfields && !rc; i++) rc = take_field(im, &im->fields[i], json_array_get(row, i + 1));
    return rc;
}

static int read_object(importer *im, json_t *object) {
    const char *name;
    json_t *v;
    json_object_foreach(object, name, v) {
        import_field f;
        if (!import_resolve(im, name, &f)) return refuse(im, name, SATCHEL_E_UNKNOWN_COLUMN, "the table has no such column");
        int rc = take_field(im, &f, v);
        if (rc) return rc;
    }
    return SATCHEL_OK;
}

/* Room for all that values of this row can point to, so that nothing moves. */
static int make_room(importer *im, json_t *row) {
    size_t room = (LIMIT_KEY_BYTES + 64) * ((size_t)im->nrefs + 2), i;
    const char *name;
    json_t *v, *object = im->nfields ? NULL : json_array_get(row, 1);
    json_array_foreach(row, i, v) room += 32 + json_string_length(v);
    json_object_foreach(object, name, v) room += 32 + json_string_length(v) + json_string_length(json_object_get(v, "base64"));
    buf_clear(&im->hold);
    return buf_reserve(&im->hold, room) ? SATCHEL_OK : im->hold.rc;
}

/* ---- the row that is there ---- */

static int look_up(importer *im) {
    sqlite3_reset(im->look);
    for (unsigned i = 0; i < im->t->nkey; i++) value_bind(im->look, (int)i + 1, &im->key[i]);
    int step = sqlite3_step(im->look);
    im->exists = step == SQLITE_ROW;
    if (step != SQLITE_ROW && step != SQLITE_DONE) return db_rc(step);
    for (unsigned i = 0; i < im->t->ncol; i++)
        im->stored[i] = im->exists ? value_of_column(im->look, (int)i) : im->t->col[i]->default_value;
    return SATCHEL_OK;
}

/* Whether the column's rule keeps what is stored, whoever writes: then it is not tried, as each try would be a conflict that was lost. */
static bool rule_keeps(const schema_column *c, const value *stored, const value *v) {
    if (stored->type == VALUE_NULL) return false;
    if (c->rule == RULE_FIRST) return true;
    if (c->rule != RULE_MAX && c->rule != RULE_MIN) return false;
    int order = value_compare(v, stored);
    return v->type == VALUE_NULL || (c->rule == RULE_MAX ? order < 0 : order > 0);
}

/* A counter that is NULL counts as 0. */
static bool adds_nothing(const schema_column *c, const value *stored, const value *v) {
    value difference;
    if (c->rule != RULE_COUNTER || stored->type == VALUE_NULL || merge_subtract(v, stored, &difference)) return false;
    return difference.type == VALUE_INTEGER ? difference.u.i == 0 : difference.u.r == 0;
}

static bool says_other(importer *im, unsigned i) {
    const schema_column *c = im->t->col[i];
    if (c->key || !im->given[i]) return false;
    if (!im->exists) return true;
    if (value_equal(&im->v[i], &im->stored[i]) || adds_nothing(c, &im->stored[i], &im->v[i])) return false;
    if (!rule_keeps(c, &im->stored[i], &im->v[i])) return true;
    im->kept++;
    return false;
}

/* ---- references ---- */

static bool has_null(const value *v, unsigned n) {
    for (unsigned i = 0; i < n; i++)
        if (v[i].type == VALUE_NULL) return true;
    return false;
}

/* 1 if there is such a row. */
static int is_there(sqlite3_stmt *q, const value *v, unsigned n) {
    for (unsigned i = 0; i < n; i++) value_bind(q, (int)i + 1, &v[i]);
    int step = sqlite3_step(q);
    sqlite3_reset(q);
    return step == SQLITE_ROW ? 1 : step == SQLITE_DONE ? 0 : db_rc(step);
}

static bool names_itself(const reference *r, const value *now, const value *from) {
    for (unsigned i = 0; i < r->n; i++)
        if (!value_equal(&now[r->to[i]], &from[i])) return false;
    return r->parent == r->child;
}

/* The row that this one would refer to. Asked before the row is written: at the transaction's end all rows of the batch would stand or fall together. */
static int check_parent(importer *im, const reference *r, const value *now, const bool *changed) {
    value from[LIMIT_KEY_COLUMNS];
    bool touched = !im->exists;
    for (unsigned i = 0; i < r->n; i++) {
        from[i] = now[r->from[i]];
        touched |= changed[r->from[i]];
    }
    if (!touched || has_null(from, r->n) || names_itself(r, now, from)) return SATCHEL_OK;
    int found = is_there(r->find_parent, from, r->n);
    if (found) return found < 0 ? found : SATCHEL_OK;
    im->bad_column = im->t->col[r->from[0]]->name;
    return ingest_refuse(im->g, SATCHEL_E_FOREIGN_KEY, "%s has no row with this key; import those rows first", r->parent->name);
}

/* Rows that refer to this one by what it would change. */
static int check_children(importer *im, const reference *r, const bool *changed) {
    value to[LIMIT_KEY_COLUMNS];
    bool touched = false;
    for (unsigned i = 0; i < r->n; i++) {
        to[i] = im->stored[r->to[i]];
        touched |= changed[r->to[i]];
    }
    if (!im->exists || !touched || has_null(to, r->n)) return SATCHEL_OK;
    int found = is_there(r->find_child, to, r->n);
    if (found <= 0) return found;
    im->bad_column = im->t->col[r->to[0]]->name;
    return ingest_refuse(im->g, SATCHEL_E_FOREIGN_KEY, "a row of %s refers to the value that is stored", r->child->name);
}

static int check_references(importer *im, const bool *changed) {
    const table_state *ts = ingest_table(im->g, im->t);
    value now[LIMIT_COLUMNS];
    for (unsigned i = 0; i < im->t->ncol; i++) now[i] = changed[i] ? im->v[i] : im->stored[i];
    for (unsigned i = 0; i < im->t->nkey; i++) now[ts->key_place[i]] = im->key[i];
    int rc = SATCHEL_OK;
    for (unsigned k = 0; k < ts->nchild && !rc; k++) rc = check_parent(im, &im->g->refs[ts->as_child[k]], now, changed);
    for (unsigned k = 0; k < ts->nparent && !rc; k++) rc = check_children(im, &im->g->refs[ts->as_parent[k]], changed);
    return rc;
}

/* ---- the change ---- */

static void put_column(delta_row *in, const schema_column *c, delta_kind kind, value v) {
    in->col[in->ncol] = (delta_column){.id = c->id, .kind = kind};
    in->v[in->ncol++] = v;
}

/* A group travels whole; a counter as what is added to it. */
static int put_change(importer *im, unsigned i, const bool *changed) {
    const schema_column *c = im->t->col[i];
    bool touched = changed[i];
    for (unsigned k = 0; c->rule == RULE_GROUP && k < im->t->ncol; k++) touched |= changed[k] && im->t->col[k]->unit == c->unit;
    if (!touched || c->key) return SATCHEL_OK;
    value v = changed[i] ? im->v[i] : im->stored[i];
    bool adds = im->exists && c->rule == RULE_COUNTER;
    int rc = adds ? merge_subtract(&im->v[i], &im->stored[i], &v) : SATCHEL_OK;
    if (rc) return refuse(im, c->name, rc, satchel_rc_text(rc));
    put_column(&im->g->in, c, adds ? DELTA_ADD : DELTA_SET, v);
    return SATCHEL_OK;
}

/* "contact.given: ..." and "NOT NULL constraint failed: contact.given" name the column that is to blame. */
static const char *blamed_column(const importer *im) {
    const char *words = (const char *)im->g->bad_text.p, *at;
    size_t n = strlen(im->t->name);
    for (at = words; at && (at = strstr(at, im->t->name)); at++) {
        if (at[n] != '.') continue;
        size_t length = strcspn(at + n + 1, ":, ");
        for (unsigned i = 0; i < im->t->ncol; i++)
            if (strlen(im->t->col[i]->name) == length && !strncmp(im->t->col[i]->name, at + n + 1, length))
                return im->t->col[i]->name;
    }
    return NULL;
}

static int write_row(importer *im, const bool *changed, import_outcome *out) {
    delta_row *in = &im->g->in;
    in->table = im->t->id;
    in->op = im->exists ? DELTA_UPDATE : DELTA_PUT;
    in->nkey = im->t->nkey;
    in->ncol = 0;
    memcpy(in->key, im->key, in->nkey * sizeof in->key[0]);
    int rc = SATCHEL_OK;
    for (unsigned i = 0; i < im->t->ncol && !rc; i++) rc = put_change(im, i, changed);
    if (rc) return rc;
    im->g->changes.n = 0;
    rc = ingest_row(im->g, in);
    if (satchel_rc_class(rc) == SATCHEL_CLASS_REFUSED) {
        buf_put_byte(&im->g->bad_text, 0);
        im->g->bad_text.n--;
        im->bad_column = blamed_column(im);
    }
    *out = !im->exists ? IMPORT_INSERTED : im->g->changes.n ? IMPORT_UPDATED : IMPORT_UNCHANGED;
    return rc;
}

static int merge_row(importer *im, import_outcome *out) {
    bool changed[LIMIT_COLUMNS], any = false;
    int rc = look_up(im);
    if (rc) return rc;
    for (unsigned i = 0; i < im->t->ncol; i++) any |= changed[i] = says_other(im, i);
    *out = IMPORT_UNCHANGED;
    if (im->exists && !any) return SATCHEL_OK;
    rc = check_references(im, changed);
    return rc ? rc : write_row(im, changed, out);
}

int import_row(importer *im, json_t *row, import_outcome *out) {
    memset(im->given, 0, im->t->ncol * sizeof im->given[0]);
    memset(im->part, 0, sizeof im->part);
    im->bad_column = NULL;
    buf_clear(&im->g->bad_text);
    uint64_t kept = im->kept;
    int rc = make_room(im, row);
    if (!rc) rc = im->nfields ? read_array(im, row) : read_object(im, json_array_get(row, 1));
    if (!rc) rc = import_find_key(im);
    if (!rc) rc = merge_row(im, out);
    sqlite3_reset(im->look);
    if (!rc) rc = import_note_key(im);
    if (rc) im->kept = kept;
    return rc;
}
