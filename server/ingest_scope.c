/* Whose a transaction's rows are: the set of each row that is made, the rows that move, and what the author may write. Nothing of it when no rules are in
 * force. */
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/ingest_private.h"

/* What was open stays if the new cannot be opened. */
int ingest_scope_open(ingest *g) {
    buf error;
    scope *fresh = NULL;
    scope_moves moves = {0};
    buf_init(&error, 0);
    int rc = scope_open(g->s, &fresh, &error);
    if (!rc) rc = scope_moves_init(&moves, fresh);
    if (rc) {
        buf_put_byte(&error, 0);
        store_fail(g->s, rc, error.n > 1 ? (const char *)error.p : "reading the rules of scope");
        scope_moves_fini(&moves);
        scope_free(fresh);
    } else {
        ingest_scope_close(g);
        g->scope = fresh;
        g->moves = moves;
    }
    buf_fini(&error);
    return rc;
}

int ingest_scope_look(ingest *g) {
    bool current;
    int rc = scope_is_current(g->scope, &current);
    return rc || current ? rc : ingest_scope_open(g);
}

/* Where it cannot be opened anew, the one that was is better than none: whoever writes looks again, and is told. */
scope *ingest_scope(ingest *g) {
    ingest_scope_look(g);
    return g->scope;
}

void ingest_scope_close(ingest *g) {
    scope_moves_fini(&g->moves);
    scope_free(g->scope);
    g->scope = NULL;
}

int ingest_scope_begin(ingest *g) {
    int rc = ingest_scope_look(g);
    if (!rc) rc = scope_refresh(g->scope);
    if (rc) return rc;
    g->scoped = scope_is_on(g->scope);
    g->judged = g->scoped && !g->from_server && g->author->device != 0;
    scope_moves_clear(&g->moves);
    buf_clear(&g->orphans);
    buf_clear(&g->unjudged);
    return SATCHEL_OK;
}

/* ---- sets ---- */

/* A rule that fails over a row refuses the row; what was noted beyond all measure refuses the transaction. */
static int explain(ingest *g, const schema_table *t, int rc) {
    if (rc == SATCHEL_E_RULE)
        return ingest_refuse(g, SATCHEL_E_CHECK, "the scope rules of %s cannot be worked out: %s", t->name,
                             sqlite3_errmsg(g->s->db));
    if (rc == SATCHEL_E_LIMIT) return ingest_refuse(g, SATCHEL_E_TOO_LARGE, "too many rows of one transaction change hands");
    return rc;
}

static void put_row_key(buf *b, const schema_table *t, const value *key) {
    buf_put_varint(b, t->id);
    for (unsigned i = 0; i < t->nkey; i++) value_put(b, &key[i]);
}

static int correct_set(ingest *g, stored_row *row, const value *key, uint32_t guess) {
    row->ts->last_set = row->set;
    return row->set == guess ? SATCHEL_OK : scope_put_set(g->scope, row->ts->t, key, row->set);
}

static void note_table(ingest *g, const schema_table *t) {
    g->profiles_touched = g->profiles_touched || scope_profiles_read(g->scope, t);
}

bool ingest_profiles_touched(ingest *g) {
    bool touched = g->profiles_touched;
    g->profiles_touched = false;
    return touched;
}

int ingest_place(ingest *g, stored_row *row) {
    const schema_table *t = row->ts->t;
    uint32_t guess = row->set;
    bool orphan;
    value key[LIMIT_KEY_COLUMNS];
    if (!g->scoped) return SATCHEL_OK;
    note_table(g, t);
    for (unsigned i = 0; i < t->nkey; i++) key[i] = row->v[row->ts->key_place[i]];
    int rc = scope_set_of_row(g->scope, t, key, &row->set, &orphan);
    if (!rc) rc = correct_set(g, row, key, guess);
    if (!rc && orphan && !g->from_server) {
        put_row_key(&g->orphans, t, key);
        rc = g->orphans.rc;
    }
    /* Children that came before their parent. */
    if (!rc && scope_has_children(g->scope, t)) rc = scope_moves_note_children(&g->moves, g->scope, t, key);
    return explain(g, t, rc);
}

int ingest_note_changes(ingest *g, const stored_row *row, const row_changes *changes, const value *key) {
    const schema_table *t = row->ts->t;
    bool reads = false;
    if (!g->scoped) return SATCHEL_OK;
    note_table(g, t);
    for (unsigned i = 0; i < changes->n && !reads; i++) reads = scope_reads(g->scope, t, changes->place[i]);
    return reads ? explain(g, t, scope_moves_note(&g->moves, g->scope, t, key, NULL)) : SATCHEL_OK;
}

/* 1 and the set in which a row lay before this transaction deleted it; 0: it has not. */
static int find_left(ingest *g, const schema_table *t, uint32_t *set) {
    sqlite3_stmt *q = db_prepare(&g->s->cache, "SELECT bucket_set FROM satchel_left WHERE tbl=? AND key=? AND seq=?");
    db_bind(q, "ibi", (int64_t)t->id, g->key.p, g->key.n, (int64_t)g->clock.seq);
    int rc = db_next(&g->s->cache, q);
    if (rc != 1) return rc;
    *set = (uint32_t)sqlite3_column_int64(q, 0);
    sqlite3_reset(q);
    return 1;
}

/* Of a row that this transaction has made or changed: whether it was there before, and where, is known now alone. */
static int note_death(ingest *g, const stored_row *row, const value *key) {
    bool made = row->clock.base.seq == g->clock.seq, changed = made;
    uint32_t from = row->set;
    for (unsigned i = 0; i < row->clock.n && !changed; i++) changed = row->clock.over[i].c.seq == g->clock.seq;
    int had = made ? find_left(g, row->ts->t, &from) : 1;
    if (had < 0 || !changed) return had < 0 ? had : SATCHEL_OK;
    return scope_moves_note_death(&g->moves, g->scope, row->ts->t, key, had ? &from : NULL);
}

int ingest_note_deletion(ingest *g, const stored_row *row, const value *key) {
    const schema_table *t = row->ts->t;
    if (!g->scoped) return SATCHEL_OK;
    note_table(g, t);
    int rc = note_death(g, row, key);
    if (!rc)
        rc = db_exec(&g->s->cache, "INSERT OR IGNORE INTO satchel_left(tbl,key,seq,bucket_set) VALUES(?,?,?,?)", "ibii",
                     (int64_t)t->id, g->key.p, g->key.n, (int64_t)g->clock.seq, (int64_t)row->set);
    if (!rc && scope_has_children(g->scope, t)) rc = scope_moves_note_children(&g->moves, g->scope, t, key);
    return explain(g, t, rc);
}

int ingest_note_return(ingest *g, const schema_table *t, const value *key, uint64_t deleted_seq) {
    uint32_t set;
    if (!g->scoped || deleted_seq != g->clock.seq) return SATCHEL_OK;
    int rc = find_left(g, t, &set);
    return rc == 1 ? explain(g, t, scope_moves_note(&g->moves, g->scope, t, key, &set)) : rc;
}

int ingest_note_revival(ingest *g, const schema_table *t, const value *key, uint64_t deleted_seq) {
    if (!g->scoped) return SATCHEL_OK;
    if (deleted_seq == g->clock.seq) return ingest_note_return(g, t, key, deleted_seq);
    return explain(g, t, scope_moves_note_birth(&g->moves, g->scope, t, key));
}

/* ---- rights ---- */

static int judge(ingest *g, const schema_table *t, const delta_row *row, bool made) {
    buf words;
    buf_init(&words, LIMIT_TEXT_BYTES);
    int rc = scope_check_write(g->scope, g->author, g->base, t, row, made, &words);
    /* A refusal stands for good, and so do its words. */
    if (rc == SATCHEL_E_SCOPE && words.rc == SATCHEL_E_NOMEM) rc = words.rc;
    if (rc == SATCHEL_E_SCOPE) rc = ingest_refuse(g, rc, "%.*s", (int)words.n, (const char *)words.p);
    buf_fini(&words);
    return rc;
}

int ingest_may_write(ingest *g, const schema_table *t, const delta_row *row) {
    return g->judged ? judge(g, t, row, false) : SATCHEL_OK;
}

/* An insert may come before the parent through which its row is in scope: it is looked at again at the end. Not what met a row that was there: by then
 * that may lie where the insert has moved it. */
int ingest_may_have_made(ingest *g, const schema_table *t, const delta_row *row, bool met) {
    if (!g->judged) return SATCHEL_OK;
    int rc = judge(g, t, row, true);
    if (rc != SATCHEL_E_SCOPE || met) return rc;
    put_row_key(&g->unjudged, t, row->key);
    if (g->unjudged.rc == SATCHEL_E_LIMIT)
        return ingest_refuse(
            g, SATCHEL_E_TOO_LARGE,
            "too many inserts of one transaction are out of scope, or come before the rows by which they are in it:"
            " write those first, in a transaction of their own");
    return g->unjudged.rc;
}

/* ---- the end of a transaction ---- */

/* The next row that was put aside; false at the end. */
static bool next_row(ingest *g, const uint8_t **p, const uint8_t *end, const schema_table **t, delta_row *row) {
    uint64_t id;
    if (!buf_get_varint(p, end, &id)) return false;
    *t = schema_table_by_id(g->schema, (uint32_t)id);
    row->table = (uint32_t)id;
    row->op = DELTA_PUT;
    row->nkey = (*t)->nkey;
    row->ncol = 0;
    for (unsigned i = 0; i < row->nkey; i++)
        if (value_get(p, end, &row->key[i])) return false;
    return true;
}

static int blame(ingest *g, const schema_table *t, delta_row *row, int rc) {
    if (satchel_rc_class(rc) != SATCHEL_CLASS_REFUSED) return rc;
    g->bad_table = t->id;
    int put = ingest_put_key(g, row);
    buf_clear(&g->bad_key);
    buf_put(&g->bad_key, g->key.p, g->key.n);
    return put && put != SATCHEL_E_TOO_LARGE ? put : rc;
}

static int judge_rest(ingest *g) {
    const uint8_t *p = g->unjudged.p, *end = p + g->unjudged.n;
    const schema_table *t;
    while (p < end && next_row(g, &p, end, &t, &g->in)) {
        int rc = judge(g, t, &g->in, true);
        if (rc) return blame(g, t, &g->in, rc);
    }
    return SATCHEL_OK;
}

/* A parent that is not there: the row is refused, or its parent put back, or it is kept as it is. */
static int meet_missing(ingest *g, const schema_table *t, const scope_missing_parent *m) {
    if (m->missing == MISSING_KEEP) return SATCHEL_OK;
    if (m->missing == MISSING_REVIVE) {
        int rc = ingest_revive(g, m->parent, m->key);
        if (rc != SATCHEL_E_NOT_FOUND) return rc;
    }
    delta_row *parent = &g->emit;
    parent->table = m->parent->id;
    parent->nkey = m->parent->nkey;
    memcpy(parent->key, m->key, parent->nkey * sizeof parent->key[0]);
    int rc = ingest_put_key(g, parent);
    if (!rc) rc = ingest_find_refused(g, m->parent->id, &g->key, &g->depends);
    if (rc) return rc;
    if (g->depends)
        return ingest_refuse(g, SATCHEL_E_DEPENDS, "depends on transaction %llu, which was refused",
                             (unsigned long long)g->depends);
    return ingest_refuse(g, SATCHEL_E_FOREIGN_KEY, "a row of %s refers to a row of %s that does not exist", t->name,
                         m->parent->name);
}

static int meet_orphan(ingest *g, const schema_table *t, delta_row *row) {
    scope_missing_parent missing;
    unsigned n = 0;
    int rc;
    while ((rc = scope_missing_parent_of(g->scope, t, row->key, &n, &missing)) == 1) {
        rc = meet_missing(g, t, &missing);
        if (rc) return rc;
    }
    return rc;
}

static int meet_orphans(ingest *g, const buf *orphans) {
    const uint8_t *p = orphans->p, *end = p + orphans->n;
    const schema_table *t;
    while (p < end && next_row(g, &p, end, &t, &g->in)) {
        int rc = meet_orphan(g, t, &g->in);
        if (rc) return blame(g, t, &g->in, rc);
    }
    return SATCHEL_OK;
}

/* A parent that is put back may be without its own: it comes into g->orphans then, which nobody may be reading. */
static int check_orphans(ingest *g) {
    int rc = SATCHEL_OK;
    buf now = {0};
    while (!rc && g->orphans.n) {
        buf met = now;
        now = g->orphans;
        g->orphans = met;
        buf_clear(&g->orphans);
        rc = meet_orphans(g, &now);
    }
    buf_fini(&now);
    return rc;
}

int ingest_finish(ingest *g) {
    uint64_t moved;
    int rc = SATCHEL_OK;
    if (g->scoped) rc = check_orphans(g);
    if (!rc) rc = ingest_check_references(g);
    if (!rc && g->scoped) {
        rc = scope_moves_finish(&g->moves, g->scope, &g->log, &moved);
        if (rc == SATCHEL_E_RULE || rc == SATCHEL_E_LIMIT)
            rc = ingest_refuse(g, SATCHEL_E_CHECK, "the scope rules cannot be worked out for all rows that change hands: %s",
                               rc == SATCHEL_E_RULE ? sqlite3_errmsg(g->s->db) : satchel_rc_text(rc));
    }
    if (!rc && g->judged) rc = judge_rest(g);
    return rc ? rc : scope_log_flush(&g->log);
}
