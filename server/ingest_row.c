/* One row of a transaction meets the store: protocol/merge.md's rules, applied to rows, tombstones and the conflict log. */
#include <stdlib.h>
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/automation_private.h"
#include "server/ingest_private.h"

/* ---- what the author had seen (M16) ---- */

/* Up to where he had seen columns of a unit (0: whether the row is there): the base, unless an edit of his own hid what came since. */
static uint64_t base_of_unit(const ingest *g, const schema_table *t, uint32_t unit) {
    unseen_row hidden = g->hidden;
    uint64_t base = g->base, seen;
    uint32_t column;
    while (g->is_hidden && unseen_column(&hidden, &column, &seen)) {
        const schema_column *c = column && t ? schema_column_by_id(t, column) : NULL;
        if ((c ? c->unit == unit : column == unit) && seen < base) base = seen;
    }
    return base;
}

static uint64_t base_of_row(const ingest *g) {
    return base_of_unit(g, NULL, 0);
}

/* ---- columns ---- */

/* -1 for a column that was dropped. */
static int place_of_id(const table_state *ts, uint32_t id) {
    return id <= ts->t->nall ? ts->place[id] : -1;
}

/* ---- what goes to the log ---- */

static void emit_begin(ingest *g, const delta_row *in, delta_op op) {
    g->emit.table = in->table;
    g->emit.op = op;
    g->emit.nkey = in->nkey;
    g->emit.ncol = 0;
    memcpy(g->emit.key, in->key, in->nkey * sizeof in->key[0]);
}

static void emit_column(ingest *g, uint32_t id, value v) {
    delta_row *e = &g->emit;
    e->col[e->ncol] = (delta_column){.id = id, .kind = DELTA_SET};
    e->v[e->ncol++] = v;
}

/* For those who hold rows of the set. */
static int emit_end(ingest *g, uint32_t set) {
    g->rows++;
    return scope_log_put(&g->log, set, 0, &g->emit);
}

/* A whole row. */
static int emit_row(ingest *g, const delta_row *in, const stored_row *row) {
    emit_begin(g, in, DELTA_PUT);
    for (unsigned i = 0; i < row->ts->t->ncol; i++)
        if (!row->ts->t->col[i]->key) emit_column(g, row->ts->t->col[i]->id, row->v[i]);
    int rc = row->ts->watched & EVENT_INSERT ? automation_note(g, EVENT_INSERT, row, NULL) : SATCHEL_OK;
    return rc ? rc : emit_end(g, row->set);
}

/* ---- conflicts ---- */

static int bind_value(sqlite3_stmt *q, int at, const value *v) {
    buf b;
    buf_init(&b, 0);
    if (v) value_put(&b, v);
    int rc = b.rc ? b.rc : db_rc(sqlite3_bind_blob(q, at, b.n ? b.p : NULL, (int)b.n, SQLITE_TRANSIENT));
    buf_fini(&b);
    return rc;
}

/* One lost value. `incoming_lost` tells which side lost; the other was kept. Column 0 is the row as a whole. */
static int log_conflict(ingest *g, const delta_row *in, uint32_t column, merge_rule rule, const field_clock *stored,
                        const value *stored_value, const value *incoming_value, bool incoming_lost) {
    sqlite3_stmt *q = db_prepare(
        &g->s->cache, "INSERT INTO satchel_conflict(seq,at_ms,tbl,key,col,rule,kept,lost,kept_stamp,kept_author,lost_stamp,"
                      "lost_author,lost_number) VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?)");
    if (!q) return db_rc(sqlite3_extended_errcode(g->s->db));
    const field_clock *kept = incoming_lost ? stored : &g->clock, *lost = incoming_lost ? &g->clock : stored;
    db_bind(q, "iiibii", (int64_t)g->clock.seq, (int64_t)g->now_ms, (int64_t)in->table, g->key.p, g->key.n, (int64_t)column,
            (int64_t)rule);
    int rc = bind_value(q, 7, incoming_lost ? stored_value : incoming_value);
    if (!rc) rc = bind_value(q, 8, incoming_lost ? incoming_value : stored_value);
    if (rc) return rc;
    sqlite3_bind_int64(q, 9, (int64_t)kept->stamp);
    sqlite3_bind_int64(q, 10, kept->author);
    sqlite3_bind_int64(q, 11, (int64_t)lost->stamp);
    sqlite3_bind_int64(q, 12, lost->author);
    sqlite3_bind_int64(q, 13, incoming_lost ? (int64_t)g->number : 0);
    g->conflicts++;
    return db_run(q);
}

/* ---- tombstones ---- */

typedef struct tombstone {
    field_clock clock;
    bool has_row;
    buf row; /* clock blob as a value, then (varint column id, value)* */
} tombstone;

static int tombstone_find(ingest *g, uint32_t table, tombstone *out) {
    sqlite3_stmt *q = db_prepare(&g->s->cache, "SELECT seq,stamp,author,row FROM satchel_tombstone WHERE tbl=? AND key=?");
    db_bind(q, "ib", (int64_t)table, g->key.p, g->key.n);
    int rc = db_next(&g->s->cache, q);
    if (rc != 1) return rc;
    out->clock.seq = (uint64_t)sqlite3_column_int64(q, 0);
    out->clock.stamp = (uint64_t)sqlite3_column_int64(q, 1);
    out->clock.author = (uint32_t)sqlite3_column_int64(q, 2);
    out->has_row = sqlite3_column_type(q, 3) != SQLITE_NULL;
    buf_clear(&out->row);
    buf_put(&out->row, sqlite3_column_blob(q, 3), (size_t)sqlite3_column_bytes(q, 3));
    sqlite3_reset(q);
    return out->row.rc ? out->row.rc : 1;
}

static int tombstone_drop(ingest *g, uint32_t table) {
    return db_exec(&g->s->cache, "DELETE FROM satchel_tombstone WHERE tbl=? AND key=?", "ib", (int64_t)table, g->key.p, g->key.n);
}

/* An update-wins table's tombstone keeps the row, so that a concurrent update can revive it whole. */
static int tombstone_put(ingest *g, const delta_row *in, const stored_row *row) {
    buf kept;
    buf_init(&kept, 0);
    row->ts->has_tombstones = true;
    if (row->ts->t->wins == WINS_UPDATE) {
        buf_clear(&g->scratch);
        clock_encode(&row->clock, &g->scratch);
        value clock = value_blob(g->scratch.p, g->scratch.n);
        value_put(&kept, &clock);
        for (unsigned i = 0; i < row->ts->t->ncol; i++) {
            buf_put_varint(&kept, row->ts->t->col[i]->id);
            value_put(&kept, &row->v[i]);
        }
    }
    int rc = kept.rc ? kept.rc
                     : db_exec(&g->s->cache,
                               "INSERT OR REPLACE INTO satchel_tombstone(tbl,key,seq,stamp,author,row) VALUES(?,?,?,?,?,?)",
                               "ibiiib", (int64_t)in->table, g->key.p, g->key.n, (int64_t)g->clock.seq, (int64_t)g->clock.stamp,
                               (int64_t)g->clock.author, kept.n ? kept.p : NULL, kept.n);
    buf_fini(&kept);
    return rc;
}

/* Puts the kept row back as it was; columns that came since get their default. */
static int tombstone_revive(ingest *g, const delta_row *in, const schema_table *t, const tombstone *dead) {
    stored_row *row = &g->copy;
    row->ts = ingest_table(g, t);
    const uint8_t *p = dead->row.p, *end = p + dead->row.n;
    value v;
    int rc = value_get(&p, end, &v);
    if (!rc) rc = clock_decode(&row->clock, v.u.p, v.n);
    for (unsigned i = 0; i < t->ncol; i++) row->v[i] = t->col[i]->default_value;
    while (!rc && p < end) {
        uint64_t id;
        if (!buf_get_varint(&p, end, &id)) return SATCHEL_E_CORRUPT;
        rc = value_get(&p, end, &v);
        int place = place_of_id(row->ts, (uint32_t)id);
        if (place >= 0) row->v[place] = v;
    }
    if (!rc) rc = stored_insert(g, row);
    if (!rc) rc = tombstone_drop(g, in->table);
    return rc ? rc : ingest_note_revival(g, t, in->key, dead->clock.seq);
}

/* ---- put ---- */

/* Under which clock something is written. What a rule filled in is older than whatever a person wrote: he may have written it before, and nobody has heard of it yet. */
static field_clock own_clock(const ingest *g) {
    field_clock by = g->clock;
    if (g->spares) by.stamp = by.seq;
    return by;
}

/* What a rule filled in is nobody's edit, and a delete by who has not heard of it loses nothing: it may have followed from his own insert. */
static bool is_filled_in(const field_clock *c) {
    return !c->author && c->stamp == c->seq;
}

/* The row that an insert makes: what it sets, defaults for columns that its author did not know. */
static int fill_new(ingest *g, const schema_table *t, const delta_row *in, stored_row *row) {
    row->ts = ingest_table(g, t);
    for (unsigned i = 0; i < t->ncol; i++) row->v[i] = t->col[i]->default_value;
    for (unsigned i = 0; i < t->nkey; i++) row->v[row->ts->key_place[i]] = in->key[i];
    for (unsigned i = 0; i < in->ncol; i++) {
        int place = place_of_id(row->ts, in->col[i].id);
        if (place < 0) {
            int rc = in->v[i].type == VALUE_NULL ? SATCHEL_OK
                                                 : log_conflict(g, in, in->col[i].id, RULE_LWW, &g->clock, NULL, &in->v[i], true);
            if (rc) return rc;
            continue;
        }
        const schema_column *c = t->col[place];
        if (c->rule == RULE_SERVER && !g->writes_server) {
            if (translate_says_nothing(c, &in->v[i])) continue;
            return ingest_refuse(g, SATCHEL_E_SERVER_OWNED, "only the server writes %s.%s", t->name, c->name);
        }
        row->v[place] = in->v[i];
    }
    clock_init(&row->clock, own_clock(g));
    return SATCHEL_OK;
}

/* What is left to do for a row that was inserted from g->row. */
static int finish_new(ingest *g, const delta_row *in) {
    int rc = ingest_note_child(g, &g->row, NULL);
    return rc ? rc : emit_row(g, in, &g->row);
}

static int put_new(ingest *g, const schema_table *t, const delta_row *in) {
    int rc = fill_new(g, t, in, &g->row);
    if (!rc) rc = stored_insert(g, &g->row);
    return rc ? rc : finish_new(g, in);
}

static bool same_row(const delta_row *in, const stored_row *row) {
    for (unsigned i = 0; i < in->ncol; i++) {
        int place = place_of_id(row->ts, in->col[i].id);
        if (place >= 0 && !value_equal(&in->v[i], &row->v[place])) return false;
    }
    return true;
}

static int update_row(ingest *g, const schema_table *t, delta_row *in, bool revived);

/* An insert of a key that a row has already: it says what it sets of that row, if there may be one (M15). */
static int put_on_row(ingest *g, const schema_table *t, delta_row *in, bool same, bool knew) {
    const schema_column *c;
    if (t->mode == MODE_APPEND && same) return SATCHEL_OK;
    if (t->mode == MODE_APPEND || (!t->natural && !knew))
        return ingest_refuse(g, SATCHEL_E_KEY_TAKEN, "%s has a row with this key already", t->name);
    int rc = translate_insert_as_update(t, in, &c);
    if (rc) return ingest_refuse(g, rc, "%s.%s: %s", t->name, c->name, satchel_rc_text(rc));
    if (!in->ncol) return SATCHEL_OK;
    g->merging_insert = true;
    rc = update_row(g, t, in, false);
    g->merging_insert = false;
    return rc;
}

/* The values of an insert or update that met a deletion, one by one. */
static int log_lost_values(ingest *g, const schema_table *t, const delta_row *in, const field_clock *dead) {
    for (unsigned i = 0; i < in->ncol; i++) {
        const schema_column *c = schema_column_by_id(t, in->col[i].id);
        if (in->op == DELTA_PUT && translate_says_nothing(c, &in->v[i])) continue;
        int rc = log_conflict(g, in, c->id, c->rule, dead, NULL, &in->v[i], true);
        if (rc) return rc;
    }
    return SATCHEL_OK;
}

/* An insert of a key that was deleted: it makes the row anew, unless its author did not know of the deletion and deletions win (M13, M14). */
static int put_on_tombstone(ingest *g, const schema_table *t, delta_row *in, const field_clock *dead) {
    if (g->spares && dead->author) { /* he who deleted it did so though there was the rule */
        g->spared_table = t;
        g->spared = NULL;
        return SATCHEL_OK;
    }
    if (t->wins == WINS_DELETE && !merge_is_known(dead, &g->clock, base_of_row(g))) {
        int rc = log_conflict(g, in, 0, RULE_LWW, dead, NULL, NULL, true);
        return rc ? rc : log_lost_values(g, t, in, dead);
    }
    /* In this order: whoever goes on after a row that is refused (import) must not have lost what was deleted. */
    int rc = put_new(g, t, in);
    if (!rc) rc = tombstone_drop(g, in->table);
    return rc ? rc : ingest_note_return(g, t, in->key, dead->seq);
}

/* Most inserts meet neither a row nor a tombstone: then the insert itself is the look-up. *done if it was one of those. */
static int put_fresh(ingest *g, const schema_table *t, const delta_row *in, bool *done) {
    const table_state *ts = ingest_table(g, t);
    *done = false;
    if (ts->has_tombstones) return 0;
    for (unsigned i = 0; i < in->ncol; i++)
        if (place_of_id(ts, in->col[i].id) < 0) return 0; /* is logged, which must not be done twice */
    int rc = fill_new(g, t, in, &g->row);
    if (!rc) rc = stored_put(g, &g->row);
    if (satchel_rc_class(rc) == SATCHEL_CLASS_REFUSED) return 0;
    if (!rc) rc = stored_place(g, &g->row);
    if (!rc) rc = finish_new(g, in);
    *done = rc == SATCHEL_OK;
    return rc;
}

/* Whether who retries had seen the row; an admin makes it as he who was refused. */
static bool retry_knew(const ingest *g, const field_clock *made) {
    const field_clock author = {.author = g->retries.author};
    uint64_t base = base_of_row(g);
    return merge_is_known(made, &author, g->retries.base < base ? g->retries.base : base);
}

static int put_row(ingest *g, const schema_table *t, delta_row *in) {
    bool done;
    int rc = put_fresh(g, t, in, &done);
    if (rc || done) return rc;
    int found = stored_open(g, t, in->key, &g->row);
    if (found < 0) return found;
    if (found) {
        bool same = same_row(in, &g->row);
        bool knew = g->retries.is && retry_knew(g, &g->row.clock.base);
        stored_close(&g->row);
        return put_on_row(g, t, in, same, knew);
    }
    tombstone dead = {0};
    rc = tombstone_find(g, in->table, &dead);
    if (rc == 1)
        rc = put_on_tombstone(g, t, in, &dead.clock);
    else if (rc == 0)
        rc = put_new(g, t, in);
    buf_fini(&dead.row);
    return rc;
}

/* ---- update ---- */

/* The columns of one clock unit that a row change carries. */
typedef struct unit {
    uint32_t id;
    unsigned n;
    uint16_t in[LIMIT_COLUMNS];    /* places in the delta row */
    uint16_t place[LIMIT_COLUMNS]; /* places in table->col */
} unit;

static int guard_facts(ingest *g, const stored_row *row, const delta_row *in, const unit *u, merge_facts *f) {
    const value *stored = &row->v[u->place[0]], *incoming = &in->v[u->in[0]];
    bool has_seen = in->col[u->in[0]].kind == DELTA_MOVE;
    const value *seen = has_seen ? &in->seen[u->in[0]] : stored;
    f->seen_is_stored = value_equal(seen, stored);
    int allowed = ingest_move_allowed(g, row->ts, u->place[0], seen, incoming);
    if (allowed < 0) return allowed;
    f->seen_allowed = allowed == 1;
    allowed = f->seen_is_stored ? allowed : ingest_move_allowed(g, row->ts, u->place[0], stored, incoming);
    f->stored_allowed = allowed == 1;
    return allowed < 0 ? allowed : SATCHEL_OK;
}

/* The stored value plus a difference, as SQLite will keep it. SATCHEL_E_RANGE, _TYPE. */
static int add_to(const stored_row *row, unsigned place, const value *difference, value *out) {
    value sum;
    int rc = merge_add(&row->v[place], difference, &sum);
    if (rc) return rc;
    if (!schema_takes(row->ts->t->col[place], &sum)) return SATCHEL_E_TYPE;
    ingest_as_stored(row->ts->t->col[place], &sum);
    *out = sum;
    return SATCHEL_OK;
}

/* An `add` to a column that is no counter (any more) is the sum, merged by the column's rule. */
static int resolve_add(const stored_row *row, delta_row *in, const unit *u, merge_rule *rule) {
    unsigned i = u->in[0];
    if (*rule == RULE_COUNTER && in->col[i].kind != DELTA_ADD) *rule = RULE_LWW;
    if (*rule == RULE_COUNTER || in->col[i].kind != DELTA_ADD) return SATCHEL_OK;
    int rc = add_to(row, u->place[0], &in->v[i], &in->v[i]);
    in->col[i].kind = DELTA_SET;
    return rc;
}

/* M15: a unit of a natural row that still stands as an insert left it, at NULL or its default: nobody has said it yet. */
static bool is_unsaid(const stored_row *row, const unit *u) {
    if (!row->ts->t->natural || clock_get(&row->clock, u->id).seq != row->clock.base.seq) return false;
    for (unsigned i = 0; i < u->n; i++)
        if (!translate_says_nothing(row->ts->t->col[u->place[i]], &row->v[u->place[i]])) return false;
    return true;
}

/* Whether what nobody has said gives way to any value, whatever the stamps: else the order of the pushes would decide. Where a default is a state of its
 * own (the start of a guard's moves, the bound of max and min, the first of all) only to another insert. */
static bool unsaid_gives_way(const ingest *g, merge_rule rule) {
    switch (rule) {
    case RULE_LWW:
    case RULE_GROUP:
    case RULE_KEEP:
    case RULE_STRICT:
        return true;
    case RULE_MAX:
    case RULE_MIN:
    case RULE_FIRST:
    case RULE_GUARD:
        return g->merging_insert;
    default:
        return false;
    }
}

/* Whether somebody else than the server wrote last what the unit holds, if it holds anything, and it is to become another value. */
static bool is_anothers(const stored_row *row, const delta_row *in, const unit *u) {
    if (!clock_get(&row->clock, u->id).author) return false;
    for (unsigned i = 0; i < u->n; i++) {
        const schema_column *c = row->ts->t->col[u->place[i]];
        if (c->rule == RULE_SERVER || in->col[u->in[i]].kind == DELTA_ADD) continue;
        if (!translate_says_nothing(c, &row->v[u->place[i]]) && !value_equal(&row->v[u->place[i]], &in->v[u->in[i]])) return true;
    }
    return false;
}

/* A rule whose value does not come to stand, or that filled in what somebody now writes, is nobody who lost. */
static bool is_no_loss(const ingest *g, const field_clock *stored, merge_action action) {
    return (g->firing && action == MERGE_KEEP) || (action == MERGE_TAKE && is_filled_in(stored));
}

/* What a rule filled in is not the first that was said, nor a text to be kept, to who wrote before he could hear of it. */
static bool is_as_good_as_empty(const merge_facts *f) {
    return (f->rule == RULE_FIRST || f->rule == RULE_KEEP) && is_filled_in(&f->stored) &&
           !merge_is_known(&f->stored, &f->incoming, f->base);
}

static int judge(ingest *g, const stored_row *row, delta_row *in, const unit *u, merge_verdict *out) {
    const schema_column *c = row->ts->t->col[u->place[0]];
    merge_facts f = {.rule = c->rule,
                     .stored = clock_get(&row->clock, u->id),
                     .incoming = g->clock,
                     .base = base_of_unit(g, row->ts->t, c->unit),
                     .from_server = g->from_server || (g->writes_server && c->rule == RULE_SERVER)};
    if (g->spares && is_anothers(row, in, u)) {
        *out = (merge_verdict){.action = MERGE_KEEP};
        g->spared = c;
        g->spared_table = row->ts->t;
        return SATCHEL_OK;
    }
    /* What this very transaction wrote gives way to what it writes next. */
    if (f.stored.seq == g->clock.seq && f.stored.stamp) f.stored.stamp--;
    int rc = resolve_add(row, in, u, &f.rule);
    if (rc) return ingest_refuse(g, rc, "%s.%s: %s", row->ts->t->name, c->name, satchel_rc_text(rc));
    if (unsaid_gives_way(g, f.rule) && is_unsaid(row, u)) {
        *out = (merge_verdict){.action = MERGE_TAKE};
        return SATCHEL_OK;
    }
    f.equal = true;
    for (unsigned i = 0; i < u->n; i++)
        if (!value_equal(&row->v[u->place[i]], &in->v[u->in[i]])) f.equal = false;
    if (g->spares && f.equal && f.stored.author) { /* who wrote it first has written it */
        *out = (merge_verdict){.action = MERGE_KEEP};
        return SATCHEL_OK;
    }
    const value *stored = &row->v[u->place[0]], *incoming = &in->v[u->in[0]];
    f.compare = value_compare(incoming, stored);
    f.stored_null = stored->type == VALUE_NULL || is_as_good_as_empty(&f);
    f.incoming_null = incoming->type == VALUE_NULL;
    if (c->rule == RULE_GUARD && (rc = guard_facts(g, row, in, u, &f))) return rc;
    *out = merge_field(&f);
    if (is_no_loss(g, &f.stored, out->action)) out->conflict = false;
    if (out->action == MERGE_REFUSE)
        return ingest_refuse(g, out->rc, "%s.%s: %s", row->ts->t->name, c->name, satchel_rc_text(out->rc));
    return SATCHEL_OK;
}

static int log_unit(ingest *g, const stored_row *row, const delta_row *in, const unit *u, bool incoming_lost) {
    field_clock stored = clock_get(&row->clock, u->id);
    for (unsigned i = 0; i < u->n; i++) {
        const schema_column *c = row->ts->t->col[u->place[i]];
        const value *was = &row->v[u->place[i]], *is = &in->v[u->in[i]];
        if (value_equal(was, is)) continue;
        int rc = log_conflict(g, in, c->id, c->rule, &stored, was, is, incoming_lost);
        if (rc) return rc;
    }
    return SATCHEL_OK;
}

/* M10: the losing text becomes a row of its own: the stored row with another key, the text, and a reference to the original. */
static int make_copy(ingest *g, const stored_row *row, const delta_row *in, const unit *u, bool incoming_lost) {
    const schema_table *t = row->ts->t;
    const schema_column *c = t->col[u->place[0]];
    field_clock stored = clock_get(&row->clock, u->id), lost = incoming_lost ? g->clock : stored;
    uint8_t id[16];
    char hex[33];
    merge_copy_id(in->table, g->key.p, g->key.n, c->id, &lost, id);
    for (unsigned i = 0; i < sizeof id; i++) sqlite3_snprintf(3, hex + 2 * i, "%02x", id[i]);
    stored_row *copy = &g->copy;
    copy->ts = row->ts;
    memcpy(copy->v, row->v, t->ncol * sizeof row->v[0]);
    delta_row head; /* only what emit_row reads of it */
    head.table = in->table;
    head.nkey = 1;
    head.key[0] = in->key[0].type == VALUE_TEXT ? value_text(hex, 32) : value_blob(id, sizeof id);
    for (unsigned i = 0; i < t->ncol; i++) {
        if (t->col[i] == t->key[0]) copy->v[i] = head.key[0];
        if (t->col[i] == c) copy->v[i] = incoming_lost ? in->v[u->in[0]] : row->v[u->place[0]];
        if (sqlite3_stricmp(t->col[i]->name, c->arg) == 0) copy->v[i] = in->key[0];
    }
    lost.seq = g->clock.seq;
    clock_init(&copy->clock, lost);
    int rc = stored_insert(g, copy);
    /* The same loser was copied before, the row may not stand twice, or a check that came later would not let it in: then the conflict log alone keeps the text. */
    if (rc == SATCHEL_E_KEY_TAKEN || rc == SATCHEL_E_UNIQUE || rc == SATCHEL_E_TOO_LARGE || rc == SATCHEL_E_CHECK)
        return SATCHEL_OK;
    return rc ? rc : emit_row(g, &head, copy);
}

/* Notes the change, in table order, and makes it. Units come in order but for a group's later columns. */
static void change(row_changes *changes, stored_row *row, uint16_t place, value now) {
    unsigned at = changes->n++;
    for (; at && changes->place[at - 1] > place; at--) changes->place[at] = changes->place[at - 1];
    changes->place[at] = place;
    changes->was[place] = row->v[place];
    row->v[place] = now;
}

static int apply_verdict(ingest *g, stored_row *row, delta_row *in, const unit *u, const merge_verdict *verdict,
                         row_changes *changes) {
    bool take = verdict->action != MERGE_KEEP && verdict->action != MERGE_COPY_INCOMING;
    int rc = verdict->conflict ? log_unit(g, row, in, u, !take) : SATCHEL_OK;
    if (!rc && (verdict->action == MERGE_COPY_STORED || verdict->action == MERGE_COPY_INCOMING))
        rc = make_copy(g, row, in, u, !take);
    if (rc || !take) return rc;
    for (unsigned i = 0; i < u->n; i++) {
        value now = in->v[u->in[i]];
        if (verdict->action == MERGE_ADD && (rc = add_to(row, u->place[i], &in->v[u->in[i]], &now)))
            return ingest_refuse(g, rc, "%s.%s: %s", row->ts->t->name, row->ts->t->col[u->place[i]]->name, satchel_rc_text(rc));
        if (!value_equal(&row->v[u->place[i]], &now)) change(changes, row, u->place[i], now);
    }
    return clock_set(&row->clock, u->id, own_clock(g));
}

/* Gathers the delta columns from `first` on that share its unit; marks them done. Dropped columns are logged as lost (P1). */
static int gather(ingest *g, const schema_table *t, const delta_row *in, unsigned first, bool *done, unit *u) {
    const schema_column *c = schema_column_by_id(t, in->col[first].id);
    const table_state *ts = ingest_table(g, t);
    u->n = 0;
    if (c->until != SCHEMA_NEVER) return log_conflict(g, in, c->id, c->rule, &g->clock, NULL, &in->v[first], true);
    u->id = c->unit;
    for (unsigned i = first; i < (c->rule == RULE_GROUP ? in->ncol : first + 1); i++) {
        int place = place_of_id(ts, in->col[i].id);
        if (done[i] || place < 0 || t->col[place]->unit != u->id) continue;
        done[i] = true;
        u->in[u->n] = (uint16_t)i;
        u->place[u->n++] = (uint16_t)place;
    }
    return SATCHEL_OK;
}

static int merge_units(ingest *g, const schema_table *t, delta_row *in, row_changes *changes, bool *touched) {
    bool done[LIMIT_COLUMNS];
    unit u;
    memset(done, 0, in->ncol * sizeof *done);
    changes->n = 0;
    for (unsigned i = 0; i < in->ncol; i++) {
        if (done[i]) continue;
        int rc = gather(g, t, in, i, done, &u);
        if (rc) return rc;
        if (!u.n) continue;
        merge_verdict verdict = {0};
        rc = judge(g, &g->row, in, &u, &verdict);
        if (!rc) rc = apply_verdict(g, &g->row, in, &u, &verdict, changes);
        if (rc) return rc;
        if (verdict.action != MERGE_KEEP && verdict.action != MERGE_COPY_INCOMING) *touched = true;
    }
    return SATCHEL_OK;
}

/* Merges into the row that is open in g->row, writes and logs what changed. */
static int update_open_row(ingest *g, const schema_table *t, delta_row *in, bool revived) {
    row_changes *changes = &g->changes;
    bool touched = false;
    int rc = merge_units(g, t, in, changes, &touched);
    if (!rc && touched) rc = stored_update(g, &g->row, changes, in->key);
    if (!rc && (changes->n || revived)) rc = ingest_note_child(g, &g->row, revived ? NULL : changes);
    if (!rc && changes->n) rc = ingest_note_parent(g, &g->row, changes);
    if (!rc && changes->n) rc = ingest_note_changes(g, &g->row, changes, in->key);
    if (rc) return rc;
    if (revived) return emit_row(g, in, &g->row);
    if (!changes->n) return SATCHEL_OK;
    if (g->row.ts->watched & EVENT_UPDATE && (rc = automation_note(g, EVENT_UPDATE, &g->row, changes))) return rc;
    emit_begin(g, in, DELTA_UPDATE);
    for (unsigned i = 0; i < changes->n; i++) emit_column(g, t->col[changes->place[i]]->id, g->row.v[changes->place[i]]);
    return emit_end(g, g->row.set);
}

/* Who changes a row that is not there: it never was, or its insert was refused (N6), or it is known to be deleted. Whose base lies below the log's floor may
 * not have known of a deletion that is forgotten by now: he lost to it. */
static int row_missing(ingest *g, const schema_table *t, const delta_row *in) {
    int rc = ingest_find_refused(g, t->id, &g->key, &g->depends);
    if (rc) return rc;
    if (g->depends)
        return ingest_refuse(g, SATCHEL_E_DEPENDS, "depends on transaction %llu, which was refused",
                             (unsigned long long)g->depends);
    const field_clock forgotten = {0};
    if (base_of_row(g) < g->s->now.floor) return in->op == DELTA_UPDATE ? log_lost_values(g, t, in, &forgotten) : SATCHEL_OK;
    return ingest_refuse(g, SATCHEL_E_ROW_MISSING, "%s has no row with this key", t->name);
}

static int finish_revival(ingest *g, const schema_table *t, delta_row *in, const field_clock *dead) {
    int rc = log_conflict(g, in, 0, RULE_LWW, dead, NULL, NULL, false);
    return rc ? rc : update_row(g, t, in, true);
}

static int update_missing(ingest *g, const schema_table *t, delta_row *in) {
    tombstone dead = {0};
    int rc = tombstone_find(g, in->table, &dead);
    if (rc == 0 || (rc == 1 && merge_is_known(&dead.clock, &g->clock, base_of_row(g)))) {
        rc = row_missing(g, t, in);
    } else if (rc == 1) {
        bool conflict;
        if (merge_update_of_deleted(t->wins, &conflict) == MERGE_ROW_REVIVE && dead.has_row) {
            rc = tombstone_revive(g, in, t, &dead);
            if (rc == SATCHEL_E_CHECK) /* one that came later does not let the row in again, which its author cannot mend */
                rc = log_lost_values(g, t, in, &dead.clock);
            else
                rc = rc ? rc : finish_revival(g, t, in, &dead.clock);
        } else {
            rc = log_lost_values(g, t, in, &dead.clock);
        }
    }
    buf_fini(&dead.row);
    return rc;
}

static int update_row(ingest *g, const schema_table *t, delta_row *in, bool revived) {
    int found = stored_open(g, t, in->key, &g->row);
    if (found < 0) return found;
    if (!found) return revived ? SATCHEL_E_INTERNAL : update_missing(g, t, in);
    int rc = update_open_row(g, t, in, revived);
    stored_close(&g->row);
    return rc;
}

/* ---- delete ---- */

/* Whether some field of the open row was written concurrently, and the latest clock of such; with `log`, each such value goes to the conflict
 * log, which alone can fail. */
static int unknown_fields(ingest *g, const delta_row *in, const stored_row *row, bool log, bool *any, field_clock *latest) {
    *any = false;
    for (unsigned i = 0; i < row->ts->t->ncol; i++) {
        const schema_column *c = row->ts->t->col[i];
        field_clock stored = clock_get(&row->clock, c->unit);
        if (c->key || is_filled_in(&stored) || merge_is_known(&stored, &g->clock, base_of_unit(g, row->ts->t, c->unit))) continue;
        if (!*any || clock_compare(&stored, latest) > 0) *latest = stored;
        *any = true;
        if (!log || row->v[i].type == VALUE_NULL) continue;
        int rc = log_conflict(g, in, c->id, c->rule, &stored, &row->v[i], NULL, false);
        if (rc) return rc;
    }
    /* A row of keys alone has only its own clock. */
    if (row->ts->t->ncol == row->ts->t->nkey && !is_filled_in(&row->clock.base) &&
        !merge_is_known(&row->clock.base, &g->clock, base_of_row(g))) {
        *any = true;
        *latest = row->clock.base;
    }
    return SATCHEL_OK;
}

static int delete_open_row(ingest *g, const schema_table *t, const delta_row *in) {
    bool unknown, conflict;
    field_clock latest;
    unknown_fields(g, in, &g->row, false, &unknown, &latest);
    if (merge_delete(t->wins, unknown, &conflict) == MERGE_ROW_KEEP)
        return log_conflict(g, in, 0, RULE_LWW, &latest, NULL, NULL, true);
    int rc = conflict ? unknown_fields(g, in, &g->row, true, &unknown, &latest) : SATCHEL_OK;
    if (!rc) rc = tombstone_put(g, in, &g->row);
    if (!rc) rc = stored_delete(g, t, in->key);
    if (!rc) rc = ingest_note_parent(g, &g->row, NULL);
    if (!rc) rc = ingest_note_deletion(g, &g->row, in->key);
    if (!rc && g->row.ts->watched & EVENT_DELETE) rc = automation_note(g, EVENT_DELETE, &g->row, NULL);
    if (rc) return rc;
    emit_begin(g, in, DELTA_DELETE);
    return emit_end(g, g->row.set);
}

static int delete_row(ingest *g, const schema_table *t, delta_row *in) {
    int found = stored_open(g, t, in->key, &g->row);
    if (found < 0) return found;
    if (found) {
        int rc = delete_open_row(g, t, in);
        stored_close(&g->row);
        return rc;
    }
    /* Deleted by somebody else meanwhile: what was wanted is so. Refused when it never was, or its insert was refused. */
    tombstone dead = {0};
    int rc = tombstone_find(g, in->table, &dead);
    buf_fini(&dead.row);
    return rc == 1 ? SATCHEL_OK : rc == 0 ? row_missing(g, t, in) : rc;
}

int ingest_revive(ingest *g, const schema_table *t, const value *key) {
    tombstone dead = {0};
    delta_row head; /* only what is read of it here */
    head.table = t->id;
    head.nkey = t->nkey;
    memcpy(head.key, key, head.nkey * sizeof head.key[0]);
    int rc = ingest_put_key(g, &head);
    if (!rc) rc = tombstone_find(g, t->id, &dead);
    if (rc == 1 && dead.has_row) {
        rc = tombstone_revive(g, &head, t, &dead);
        if (!rc) rc = log_conflict(g, &head, 0, RULE_LWW, &dead.clock, NULL, NULL, false);
        if (!rc) rc = ingest_note_child(g, &g->copy, NULL);
        if (!rc) rc = emit_row(g, &head, &g->copy);
    } else if (rc >= 0) {
        rc = SATCHEL_E_NOT_FOUND;
    }
    buf_fini(&dead.row);
    return rc;
}

/* Whether it was deleted, without the author's knowing. */
static int is_deleted_unseen(ingest *g, const schema_table *t, const value *key, uint32_t author, uint64_t base) {
    tombstone dead = {0};
    delta_row head; /* only what is read of it here */
    if (!ingest_table(g, t)->has_tombstones) return 0;
    head.table = t->id;
    head.nkey = t->nkey;
    memcpy(head.key, key, head.nkey * sizeof head.key[0]);
    int rc = ingest_put_key(g, &head);
    if (rc) return rc == SATCHEL_E_TOO_LARGE ? 0 : rc; /* no row can have this key */
    rc = tombstone_find(g, t->id, &dead);
    buf_fini(&dead.row);
    return rc == 1 ? !merge_is_known(&dead.clock, &(field_clock){.author = author}, base) : rc;
}

int ingest_has_row(ingest *g, const schema_table *t, const value *key, uint32_t author, uint64_t base) {
    int found = stored_open(g, t, key, &g->row);
    if (found == 1) stored_close(&g->row);
    return found ? found : is_deleted_unseen(g, t, key, author, base);
}

int ingest_row(ingest *g, delta_row *row) {
    const schema_table *t;
    bool met;
    g->bad_table = row->table;
    int rc = ingest_check_row(g, row, &t);
    if (!rc) rc = ingest_may_write(g, t, row);
    if (rc) return rc;
    switch (row->op) {
    case DELTA_PUT:
        rc = put_row(g, t, row);
        met = row->op == DELTA_UPDATE && g->row.clock.base.seq < g->clock.seq;
        row->op = DELTA_PUT; /* a row that was there may have made an update of it */
        return rc ? rc : ingest_may_have_made(g, t, row, met);
    case DELTA_UPDATE:
        return update_row(g, t, row, false);
    default:
        return delete_row(g, t, row);
    }
}
