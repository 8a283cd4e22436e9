/* By which key a row of an import is known: its own, or its source's. */
#include <inttypes.h>
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/import_private.h"

/* Parts of a source's key of several columns, as one text: the character that ASCII has between units. */
#define PART_END 0x1f

/* 1 and the key's bytes in `hold`, 0 if the source has not given it, or an error. */
static int find(importer *im, const char *source, const schema_table *t, const void *key, size_t n, value *out) {
    sqlite3_stmt *q = db_prepare(&im->s->cache, "SELECT key FROM satchel_source WHERE source=? AND tbl=? AND source_key=?");
    if (!q) return db_rc(sqlite3_extended_errcode(im->s->db));
    db_bind(q, "si", source, (int64_t)t->id);
    sqlite3_bind_text(q, 3, key, (int)n, SQLITE_STATIC);
    int rc = db_next(&im->s->cache, q);
    if (rc != 1) return rc;
    size_t at = im->hold.n, bytes = (size_t)sqlite3_column_bytes(q, 0);
    buf_put(&im->hold, sqlite3_column_blob(q, 0), bytes);
    sqlite3_reset(q);
    if (im->hold.rc) return im->hold.rc;
    const uint8_t *p = im->hold.p + at, *end = p + bytes;
    for (unsigned i = 0; i < t->nkey; i++)
        if (value_get(&p, end, &out[i])) return SATCHEL_E_CORRUPT;
    return 1;
}

int import_follow(importer *im, const import_field *f, const value *text, value *out) {
    int found = find(im, f->ref->source, f->ref->table, text->u.p, text->n, out);
    if (found < 0) return found;
    if (found) return SATCHEL_OK;
    im->bad_column = f->name;
    return ingest_refuse(im->g, SATCHEL_E_FOREIGN_KEY, "%s has given no row of %s with the key %.*s; import those first",
                         f->ref->source, f->ref->table->name, (int)text->n, (const char *)text->u.p);
}

/* The parts of the source's key as one text. */
static int join_parts(importer *im) {
    buf_clear(&im->source_key);
    for (unsigned i = 0; i < im->nparts; i++) {
        if (im->part[i].type != VALUE_TEXT || !im->part[i].n) {
            im->bad_column = im->part_name[i];
            return ingest_refuse(im->g, SATCHEL_E_KEY_MISSING, "the source's key is empty");
        }
        if (i) buf_put_byte(&im->source_key, PART_END);
        buf_put(&im->source_key, im->part[i].u.p, im->part[i].n);
    }
    if (!im->source_key.rc && im->source_key.n <= LIMIT_KEY_BYTES) return im->source_key.rc;
    im->bad_column = im->part_name[0];
    return ingest_refuse(im->g, SATCHEL_E_TOO_LARGE, "the source's key is over the limit of %u bytes", LIMIT_KEY_BYTES);
}

/* Whether the file has the table's own key: 1, 0 if it has nothing of it, or a refusal. */
static int own_key(importer *im, value *key) {
    unsigned n = 0;
    const char *missing = NULL;
    for (unsigned i = 0; i < im->t->nkey; i++) {
        int place = im->g->tables[im->t - im->g->schema->table].key_place[i];
        if (im->given[place] && im->v[place].type != VALUE_NULL)
            key[n++] = im->v[place];
        else
            missing = im->t->key[i]->name;
    }
    if (!missing) return 1;
    if (!n && im->source) return 0;
    im->bad_column = missing;
    return ingest_refuse(im->g, SATCHEL_E_KEY_MISSING, "the key of %s is not complete", im->t->name);
}

static int make_key(importer *im) {
    const schema_column *c = im->t->key[0];
    bool takes_blob = c->affinity == AFFINITY_BLOB || c->affinity == AFFINITY_ANY;
    if (im->t->nkey != 1 || (!takes_blob && c->affinity != AFFINITY_TEXT)) {
        im->bad_column = c->name;
        return ingest_refuse(im->g, SATCHEL_E_KEY_MISSING, "no key can be made up for %s; the file has to have it", im->t->name);
    }
    sqlite3_stmt *q =
        takes_blob ? db_prepare(&im->s->cache, "SELECT uuid7()") : db_prepare(&im->s->cache, "SELECT lower(hex(uuid7()))");
    int rc = db_next(&im->s->cache, q);
    if (rc != 1) return rc < 0 ? rc : SATCHEL_E_INTERNAL;
    value made = value_of_column(q, 0);
    size_t at = im->hold.n;
    buf_put(&im->hold, made.u.p, made.n);
    sqlite3_reset(q);
    if (im->hold.rc) return im->hold.rc;
    im->key[0] = takes_blob ? value_blob(im->hold.p + at, made.n) : value_text((const char *)im->hold.p + at, made.n);
    return SATCHEL_OK;
}

static bool same_key(const importer *im, const value *a, const value *b) {
    for (unsigned i = 0; i < im->t->nkey; i++)
        if (!value_equal(&a[i], &b[i])) return false;
    return true;
}

int import_find_key(importer *im) {
    value own[LIMIT_KEY_COLUMNS];
    int has_own = own_key(im, own);
    if (has_own < 0) return has_own;
    int rc = im->source ? join_parts(im) : SATCHEL_OK;
    if (rc) return rc;
    int mapped = im->source ? find(im, im->source, im->t, im->source_key.p, im->source_key.n, im->key) : 0;
    if (mapped < 0) return mapped;
    im->is_mapped = mapped == 1 || !im->source;
    if (mapped && has_own && !same_key(im, own, im->key)) {
        im->bad_column = im->t->key[0]->name;
        return ingest_refuse(im->g, SATCHEL_E_KEY_TAKEN, "%s has given another row of %s under this key", im->source,
                             im->t->name);
    }
    if (has_own) memcpy(im->key, own, im->t->nkey * sizeof own[0]);
    return mapped || has_own ? SATCHEL_OK : make_key(im);
}

int import_note_key(importer *im) {
    if (im->is_mapped) return SATCHEL_OK;
    buf key = {0};
    for (unsigned i = 0; i < im->t->nkey; i++) value_put(&key, &im->key[i]);
    sqlite3_stmt *q = db_prepare(&im->s->cache, "INSERT INTO satchel_source(source,tbl,source_key,key) VALUES(?,?,?,?)");
    int rc = key.rc ? key.rc : q ? SATCHEL_OK : db_rc(sqlite3_extended_errcode(im->s->db));
    if (!rc) {
        db_bind(q, "si", im->source, (int64_t)im->t->id);
        sqlite3_bind_text(q, 3, (const char *)im->source_key.p, (int)im->source_key.n, SQLITE_STATIC);
        sqlite3_bind_blob(q, 4, key.p, (int)key.n, SQLITE_STATIC);
        rc = db_run(q);
        im->noted++;
    }
    buf_fini(&key);
    return rc;
}
