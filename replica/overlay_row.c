#include <string.h>

#include "protocol/merge.h"
#include "protocol/satchel_rc.h"
#include "replica/overlay_internal.h"

/* A row as somebody sees it. `kept` is a row that is deleted, but whose values are still known: in a table where updates win, a pending
 * update shows it again. `left` is a row that was held and is not any more: nothing is known of it, not even whether it is there. */
typedef enum view_state { VIEW_ABSENT = 0, VIEW_PRESENT = 1, VIEW_KEPT = 2, VIEW_LEFT = 3 } view_state;

typedef struct view {
    view_state state;
    uint64_t seq; /* confirmed as of; 0: not known */
    value *v;     /* one for each live column */
} view;

typedef struct row_work {
    overlay *o;
    const schema_table *t;
    const value *key;
    const row_reason *why;
    view now, confirmed, shown;
    bool had_base, had_hidden;
    hidden hidden[LIMIT_COLUMNS + 1]; /* ascending columns */
    unsigned nhidden;
    size_t nremaining; /* entries that stay: the first ones of o->found, after the rest was taken out */
} row_work;

/* ---- views ---- */

static bool has_values(const view *x) {
    return x->state == VIEW_PRESENT || x->state == VIEW_KEPT;
}

static int view_init(row_work *w, view *x) {
    x->state = VIEW_ABSENT;
    x->seq = 0;
    x->v = arena_alloc(&w->o->arena, (w->t->ncol + 1) * sizeof(value));
    return w->o->arena.rc;
}

/* A row that holds nothing but its key and the columns' defaults. */
static void view_fresh(row_work *w, view *x) {
    for (unsigned i = 0; i < w->t->ncol; i++)
        x->v[i] = w->t->col[i]->key ? w->key[w->t->col[i]->key - 1] : w->t->col[i]->default_value;
    x->state = VIEW_PRESENT;
}

static void view_set(row_work *w, view *x, int at, const value *v) {
    if (at < 0 || v->type == VALUE_ABSENT) return;
    value normal = rows_normal(w->t->col[at], v);
    x->v[at] = arena_value(&w->o->arena, &normal);
}

static void view_copy(row_work *w, view *to, const view *from) {
    to->state = from->state;
    to->seq = from->seq;
    memcpy(to->v, from->v, w->t->ncol * sizeof *to->v);
}

/* ---- what is confirmed ---- */

static int decode_base(row_work *w, const void *p, size_t n) {
    const uint8_t *at = p, *end = at + n;
    view_state state = w->confirmed.state;
    view_fresh(w, &w->confirmed);
    w->confirmed.state = state;
    while (at < end) {
        uint64_t id;
        value v;
        if (!buf_get_varint(&at, end, &id) || value_get(&at, end, &v))
            return file_fail(w->o->f, SATCHEL_E_CORRUPT, "satchel_base has a damaged row");
        view_set(w, &w->confirmed, id <= UINT32_MAX ? rows_column_index(w->t, (uint32_t)id) : -1, &v);
    }
    return w->o->arena.rc;
}

static int decode_hidden(row_work *w, const void *p, size_t n) {
    const uint8_t *at = p, *end = at + n;
    uint64_t column, seen;
    while (at < end) {
        if (!buf_get_varint(&at, end, &column) || !buf_get_varint(&at, end, &seen) || column > UINT32_MAX ||
            w->nhidden > LIMIT_COLUMNS)
            return file_fail(w->o->f, SATCHEL_E_CORRUPT, "satchel_base has a damaged row");
        w->hidden[w->nhidden++] = (hidden){.column = (uint32_t)column, .seen = seen};
    }
    w->had_hidden = n > 0;
    return SATCHEL_OK;
}

static int read_base(row_work *w) {
    file *f = w->o->f;
    sqlite3_stmt *q = db_prepare(&f->sql, "SELECT state, seq, row, unseen FROM satchel_base WHERE tbl=? AND key=?");
    db_bind(q, "ib", (int64_t)w->t->id, w->o->key.p, w->o->key.n);
    int rc = db_next(&f->sql, q);
    w->had_base = rc == 1;
    if (rc < 0) return file_db_error(f, "cannot read satchel_base");
    if (rc == 0) return SATCHEL_OK;
    w->confirmed.state = (view_state)sqlite3_column_int(q, 0);
    w->confirmed.seq = (uint64_t)sqlite3_column_int64(q, 1);
    rc = decode_base(w, sqlite3_column_blob(q, 2), (size_t)sqlite3_column_bytes(q, 2));
    if (!rc) rc = decode_hidden(w, sqlite3_column_blob(q, 3), (size_t)sqlite3_column_bytes(q, 3));
    sqlite3_reset(q);
    return rc;
}

static int write_base(row_work *w) {
    file *f = w->o->f;
    buf row, unseen;
    int rc;
    if (w->nremaining == 0) {
        if (!w->had_base) return SATCHEL_OK;
        rc =
            db_exec(&f->sql, "DELETE FROM satchel_base WHERE tbl=? AND key=?", "ib", (int64_t)w->t->id, w->o->key.p, w->o->key.n);
        return rc ? file_db_error(f, "cannot write satchel_base") : SATCHEL_OK;
    }
    if (w->had_base && !w->why->change && !w->had_hidden && !w->why->rewinds) return SATCHEL_OK;
    buf_init(&row, 0);
    buf_init(&unseen, 0);
    for (unsigned i = 0; i < w->nhidden; i++) {
        buf_put_varint(&unseen, w->hidden[i].column);
        buf_put_varint(&unseen, w->hidden[i].seen);
    }
    for (unsigned i = 0; i < w->t->ncol && has_values(&w->confirmed); i++) {
        if (w->t->col[i]->key) continue;
        buf_put_varint(&row, w->t->col[i]->id);
        value_put(&row, &w->confirmed.v[i]);
    }
    rc = row.rc ? row.rc : unseen.rc;
    if (!rc)
        rc = db_exec(&f->sql, "INSERT OR REPLACE INTO satchel_base(tbl, key, state, seq, row, unseen) VALUES(?,?,?,?,?,?)",
                     "ibiibb", (int64_t)w->t->id, w->o->key.p, w->o->key.n, (int64_t)w->confirmed.state,
                     (int64_t)w->confirmed.seq, row.p, row.n, unseen.n ? unseen.p : NULL, unseen.n);
    buf_fini(&unseen);
    buf_fini(&row);
    return rc ? file_db_error(f, "cannot write satchel_base") : SATCHEL_OK;
}

/* ---- undo and redo ---- */

/* What a counter stands at after (undo: before) the change at hand; if that leaves the number range, the plain value. So, too, where it stands as the change
 * left it (undo), or found it: a sum knows no NULL, and of reals not every bit. */
static value counter_moved(const value *from, const value *now, const value *before, bool undo) {
    value by, sum;
    if (value_equal(from, undo ? now : before)) return undo ? *before : *now;
    int rc = undo ? merge_subtract(before, now, &by) : merge_subtract(now, before, &by);
    if (!rc) rc = merge_add(from, &by, &sum);
    return rc ? (undo ? *before : *now) : sum;
}

static void move_columns(row_work *w, view *x, bool undo) {
    const layout_map *m = &w->o->map;
    const changeset_change *c = &w->o->change;
    for (unsigned i = 0; i < m->n; i++) {
        int at = m->at[i];
        if (at < 0 || c->pk[i] || c->new[i].type == VALUE_ABSENT) continue;
        bool counter = w->t->col[at]->rule == RULE_COUNTER;
        value v = counter ? counter_moved(&x->v[at], &c->new[i], &c->old[i], undo) : undo ? c->old[i] : c->new[i];
        view_set(w, x, at, &v);
    }
}

static void set_columns(row_work *w, view *x, const value *row) {
    for (unsigned i = 0; i < w->o->map.n; i++) view_set(w, x, w->o->map.at[i], &row[i]);
}

/* The confirmed row is the one that stands there with its pending changes taken back, latest first. */
static int undo_all(row_work *w) {
    view *x = &w->confirmed;
    view_copy(w, x, &w->now);
    for (size_t i = w->o->nfound; i-- > 0;) {
        int rc = index_load(w->o, w->t, w->o->found[i]);
        if (rc) return rc;
        switch (w->o->change.op) {
        case SQLITE_INSERT:
            x->state = VIEW_ABSENT;
            break;
        case SQLITE_UPDATE:
            if (x->state == VIEW_PRESENT) move_columns(w, x, true);
            break;
        default:
            view_fresh(w, x);
            set_columns(w, x, w->o->change.old);
        }
    }
    return w->o->arena.rc;
}

static void redo_one(row_work *w, view *x) {
    switch (w->o->change.op) {
    case SQLITE_INSERT:
        if (x->state != VIEW_PRESENT) view_fresh(w, x);
        set_columns(w, x, w->o->change.new);
        break;
    case SQLITE_UPDATE:
        if (w->o->change.insert && x->state != VIEW_PRESENT) view_fresh(w, x);
        if (!has_values(x)) break;
        x->state = VIEW_PRESENT;
        move_columns(w, x, false);
        break;
    default:
        x->state = VIEW_ABSENT;
    }
}

/* Entries that the confirmed row holds already (a snapshot as of a later seq) are not shown twice. */
static int redo_remaining(row_work *w) {
    view_copy(w, &w->shown, &w->confirmed);
    for (size_t i = 0; i < w->nremaining; i++) {
        const pending *p = index_txn(w->o, w->o->entry[w->o->found[i]].number);
        if (p->seq && p->seq <= w->confirmed.seq) continue;
        int rc = index_load(w->o, w->t, w->o->found[i]);
        if (rc) return rc;
        redo_one(w, &w->shown);
    }
    return w->o->arena.rc;
}

/* ---- the confirmed change ---- */

static void set_confirmed(row_work *w, const delta_row *change) {
    for (unsigned i = 0; i < change->ncol; i++)
        view_set(w, &w->confirmed, rows_column_index(w->t, change->col[i].id), &change->v[i]);
}

/* An update of a row that is not here (it lies outside what this device was sent) has nothing to change. */
static void change_confirmed(row_work *w, const delta_row *change) {
    view *x = &w->confirmed;
    switch (change->op) {
    case DELTA_PUT:
        view_fresh(w, x);
        set_confirmed(w, change);
        break;
    case DELTA_UPDATE:
        if (!has_values(x)) break;
        x->state = VIEW_PRESENT;
        set_confirmed(w, change);
        break;
    case DELTA_DELETE:
        x->state = has_values(x) && w->t->wins == WINS_UPDATE ? VIEW_KEPT : VIEW_ABSENT;
        break;
    case DELTA_LEAVE:
        if (has_values(x)) x->state = VIEW_LEFT;
        break;
    }
    if (w->why->seq > x->seq) x->seq = w->why->seq;
}

/* N7: entries that had been confirmed are pending again, and the base holds them still; so the confirmed row is what stands there without any of
 * them. What others did beneath comes again with the snapshot, and until then stays as unseen as it was (M16), whatever is found.
 * Of a row that has left nothing stands there. */
static int rewind_confirmed(row_work *w) {
    bool left = w->confirmed.state == VIEW_LEFT;
    for (unsigned i = 0; i < w->nhidden; i++)
        if (w->hidden[i].seen > w->why->seq) w->hidden[i].seen = w->why->seq;
    int rc = undo_all(w);
    if (left) w->confirmed.state = VIEW_LEFT;
    return rc;
}

/* ---- what is hidden (M16) ---- */

/* Whether the app sees something else than what is confirmed of column `at` (-1: of whether the row is there). A counter shows both. */
static bool is_hidden(const row_work *w, int at) {
    bool is = w->shown.state == VIEW_PRESENT, confirmed = w->confirmed.state == VIEW_PRESENT;
    if (at < 0) return is != confirmed;
    if (!confirmed || w->t->col[at]->rule == RULE_COUNTER) return false;
    return !is || !value_equal(&w->shown.v[at], &w->confirmed.v[at]);
}

/* Whether the confirmed change moved what is hidden. */
static bool has_moved(const row_work *w, const view *before, int at) {
    bool was = before->state == VIEW_PRESENT;
    if (at < 0) return was != (w->confirmed.state == VIEW_PRESENT);
    return !was || !value_equal(&before->v[at], &w->confirmed.v[at]);
}

/* Nobody is told what happens to a row while it is away: all of it (column 0) is unseen since it left, and what was hidden before stays so. */
static void note_left(row_work *w) {
    if ((w->nhidden && w->hidden[0].column == 0) || w->nhidden > LIMIT_COLUMNS) return;
    memmove(w->hidden + 1, w->hidden, w->nhidden * sizeof *w->hidden);
    w->hidden[0] = (hidden){.seen = w->o->f->state.cursor};
    w->nhidden++;
}

/* A column stays hidden since it first moved, until the app sees what is confirmed. `before`: the confirmed row before the change, NULL if there is none. */
static void note_hidden(row_work *w, const view *before) {
    hidden now[LIMIT_COLUMNS + 1];
    unsigned n = 0, k = 0;
    if (w->confirmed.state == VIEW_LEFT) {
        note_left(w);
        return;
    }
    bool was_away = before && before->state == VIEW_LEFT && w->nhidden;
    uint64_t seen = was_away ? w->hidden[0].seen : w->o->f->state.cursor;
    for (int at = -1; at < (int)w->t->ncol; at++) {
        uint32_t column = at < 0 ? 0 : w->t->col[at]->id;
        while (k < w->nhidden && w->hidden[k].column < column) k++;
        if ((at >= 0 && w->t->col[at]->key) || !is_hidden(w, at)) continue;
        if (k < w->nhidden && w->hidden[k].column == column)
            now[n++] = w->hidden[k];
        else if (before && has_moved(w, before, at))
            now[n++] = (hidden){.column = column, .seen = seen};
    }
    memcpy(w->hidden, now, n * sizeof *now);
    w->nhidden = n;
}

/* ---- writing ---- */

static void touch(overlay *o, const schema_table *t) {
    for (unsigned i = o->ntouched; i-- > 0;)
        if (o->touched[i] == t->id) return;
    o->touched[o->ntouched++] = t->id; /* overlay_refresh made room for every table */
}

static int explain(overlay *o, const schema_table *t, int rc) {
    return rc ? file_fail(o->f, rc, "cannot write table \"%s\": %s", t->name, sqlite3_errmsg(o->f->db)) : SATCHEL_OK;
}

/* The columns that an update names. */
static unsigned columns_named(const schema_table *t, const delta_row *change, rows_column *col, value *v) {
    unsigned n = 0;
    for (unsigned i = 0; i < change->ncol; i++) {
        int at = rows_column_index(t, change->col[i].id);
        if (at < 0) continue;
        col[n] = (rows_column){.at = (uint16_t)at};
        v[n++] = change->v[i];
    }
    return n;
}

/* Every column of a put: those that it does not have, because they are younger than it or kept from this device, get their defaults. */
static unsigned columns_of_row(const schema_table *t, const delta_row *change, rows_column *col, value *v) {
    unsigned n = 0, k = 0;
    for (unsigned i = 0; i < t->ncol; i++) {
        const schema_column *c = t->col[i];
        while (k < change->ncol && change->col[k].id < c->id) k++;
        bool has = k < change->ncol && change->col[k].id == c->id;
        if (c->key || (!has && c->not_null && c->default_value.type == VALUE_NULL)) continue;
        col[n] = (rows_column){.at = (uint16_t)i};
        v[n++] = has ? change->v[k] : c->default_value;
    }
    return n;
}

/* Without pending changes what is confirmed is what is shown: one statement, nothing read. */
static int write_directly(overlay *o, const schema_table *t, const delta_row *change) {
    rows_column col[LIMIT_COLUMNS];
    value v[LIMIT_COLUMNS];
    bool changed, put = change->op == DELTA_PUT;
    rows_op op = put ? ROWS_UPSERT : change->op == DELTA_UPDATE ? ROWS_UPDATE : ROWS_DELETE;
    unsigned n = put ? columns_of_row(t, change, col, v) : columns_named(t, change, col, v);
    int rc = rows_write(&o->rows, op, t, change->key, n, col, v, &changed);
    if (!rc && changed) touch(o, t);
    return explain(o, t, rc);
}

/* Columns that differ between what stands there and what is to be shown (all of them when nothing stands there). */
static unsigned differing(const row_work *w, rows_column *col, value *v) {
    unsigned n = 0;
    for (unsigned i = 0; i < w->t->ncol; i++) {
        if (w->t->col[i]->key) continue;
        if (w->now.state == VIEW_PRESENT && value_equal(&w->now.v[i], &w->shown.v[i])) continue;
        col[n] = (rows_column){.at = (uint16_t)i};
        v[n++] = w->shown.v[i];
    }
    return n;
}

static int write_shown(row_work *w) {
    rows_column col[LIMIT_COLUMNS];
    value v[LIMIT_COLUMNS];
    bool was = w->now.state == VIEW_PRESENT, is = w->shown.state == VIEW_PRESENT;
    unsigned n = is ? differing(w, col, v) : 0;
    if (!is && !was) return SATCHEL_OK;
    if (is && was && n == 0) return SATCHEL_OK; /* an own echo */
    rows_op op = !is ? ROWS_DELETE : was ? ROWS_UPDATE : ROWS_INSERT;
    int rc = rows_write(&w->o->rows, op, w->t, w->key, n, col, v, NULL);
    if (!rc) touch(w->o, w->t);
    return explain(w->o, w->t, rc);
}

/* ---- one row ---- */

static bool leaves(const row_work *w, uint32_t at) {
    uint64_t number = w->o->entry[at].number;
    const pending *p = index_txn(w->o, number);
    return number == w->why->leave_number || (p->seq && p->seq <= w->why->leave_to);
}

/* Takes the entries that leave out of the index and out of o->found. */
static void let_leave(row_work *w) {
    overlay *o = w->o;
    w->nremaining = 0;
    for (size_t i = 0; i < o->nfound; i++) {
        if (leaves(w, o->found[i]))
            index_remove(o, o->found[i]);
        else
            o->found[w->nremaining++] = o->found[i];
    }
}

static int read_views(row_work *w) {
    int rc = view_init(w, &w->now);
    if (!rc) rc = view_init(w, &w->confirmed);
    if (!rc) rc = view_init(w, &w->shown);
    if (!rc) rc = read_base(w);
    if (rc) return rc;
    rc = rows_read(&w->o->rows, w->t, w->key, &w->o->arena, w->now.v);
    if (rc < 0) return explain(w->o, w->t, rc);
    w->now.state = rc == 1 ? VIEW_PRESENT : VIEW_ABSENT;
    return w->had_base ? SATCHEL_OK : undo_all(w);
}

static int process(row_work *w) {
    arena_reset(&w->o->arena);
    int rc = read_views(w);
    if (rc) return rc;
    view before;
    if ((rc = view_init(w, &before))) return rc;
    view_copy(w, &before, &w->confirmed);
    if (w->why->change) change_confirmed(w, w->why->change);
    if (w->why->rewinds) rc = rewind_confirmed(w);
    if (rc) return rc;
    let_leave(w);
    rc = redo_remaining(w);
    if (!rc && !w->why->rewinds) note_hidden(w, w->why->change ? &before : NULL);
    if (!rc) rc = write_shown(w);
    return rc ? rc : write_base(w);
}

static int put_key(overlay *o, const schema_table *t, const value *key) {
    buf_clear(&o->key);
    rows_key_bytes(t, key, &o->key);
    return o->key.rc;
}

static int find_row(overlay *o, const schema_table *t, const value *key) {
    int rc = put_key(o, t, key);
    return rc ? rc : index_find(o, t, index_hash(t->id, o->key.p, o->key.n), o->key.p, o->key.n);
}

int row_process(overlay *o, const schema_table *t, const value *key, const row_reason *why) {
    int rc = why->change && why->change->op == DELTA_LEAVE ? kept_forget_row(o, t, key) : SATCHEL_OK;
    o->nfound = 0;
    if (!rc && o->live) rc = find_row(o, t, key);
    if (rc) return rc;
    if (o->nfound == 0) return why->change ? write_directly(o, t, why->change) : SATCHEL_OK;
    row_work w = {.o = o, .t = t, .key = key, .why = why};
    return process(&w);
}

int overlay_confirmed(overlay *o, const schema_table *t, const value *key, const value **out) {
    row_reason nothing = {0};
    row_work w = {.o = o, .t = t, .key = key, .why = &nothing};
    arena_reset(&o->arena);
    int rc = find_row(o, t, key);
    if (!rc) rc = read_views(&w);
    *out = w.confirmed.v;
    return rc ? rc : w.confirmed.state == VIEW_PRESENT;
}

int row_verify(overlay *o, const schema_table *t, const value *key, const char **fault) {
    rows_column col[LIMIT_COLUMNS];
    value v[LIMIT_COLUMNS];
    row_reason nothing = {0};
    row_work w = {.o = o, .t = t, .key = key, .why = &nothing};
    *fault = NULL;
    arena_reset(&o->arena);
    int rc = find_row(o, t, key);
    if (rc) return rc;
    if (o->nfound == 0) *fault = "satchel_base has a row without a pending change";
    rc = read_views(&w);
    w.nremaining = o->nfound;
    if (!rc) rc = redo_remaining(&w);
    if (rc || *fault) return rc;
    bool is = w.shown.state == VIEW_PRESENT;
    if (is != (w.now.state == VIEW_PRESENT) || (is && differing(&w, col, v)))
        *fault = "the row does not show its confirmed value and its pending changes";
    return SATCHEL_OK;
}
