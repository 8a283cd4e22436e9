/* The rules of merge.md, by their numbers. */
#include "tests/sim/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/buf.h"
#include "protocol/crypto.h"
#include "protocol/value.h"

#define ALWAYS 99u

const model_schema MODEL[MODEL_TABLES] = {
    {2,
     1,
     "item",
     NULL,
     0,
     "quote(id)",
     false,
     false,
     16,
     {{"a", MODEL_LWW, 1, ALWAYS, 2, "NULL"},
      {"b", MODEL_GROUP, 1, ALWAYS, 3, "NULL"},
      {"c", MODEL_GROUP, 1, ALWAYS, 4, "NULL"},
      {"n", MODEL_COUNTER, 1, ALWAYS, 5, "0"},
      {"mx", MODEL_MAX, 1, ALWAYS, 6, "NULL"},
      {"mn", MODEL_MIN, 1, 5, 7, "NULL"},
      {"f", MODEL_FIRST, 1, ALWAYS, 8, "NULL"},
      {"k", MODEL_KEEP, 1, ALWAYS, 9, "NULL"},
      {"copy_of", MODEL_LWW, 1, ALWAYS, 10, "NULL"},
      {"ok", MODEL_STRICT, 1, ALWAYS, 11, "1"},
      {"st", MODEL_GUARD, 1, ALWAYS, 12, "'open'"},
      {"sv", MODEL_SERVER, 1, ALWAYS, 13, "NULL"},
      {"r", MODEL_LWW, 1, 2, 14, "NULL"},
      {"z", MODEL_LWW, 2, ALWAYS, 15, "'zz'"},
      {"r", MODEL_LWW, 2, ALWAYS, 16, "NULL"},
      {"hi", MODEL_MAX, 4, ALWAYS, 17, "NULL"}}},
    {3,
     1,
     "line",
     NULL,
     0,
     "quote(id)",
     true,
     true,
     4,
     {{"item", MODEL_LWW, 1, ALWAYS, 2, "NULL"},
      {"qty", MODEL_LWW, 1, ALWAYS, 3, "NULL"},
      {"n", MODEL_COUNTER, 1, ALWAYS, 4, "0"},
      {"hits", MODEL_COUNTER, 3, ALWAYS, 5, "3"}}},
    {4, 1, "tag", "mark", 3, "quote(x)||','||quote(y)", false, true, 1, {{"v", MODEL_LWW, 1, ALWAYS, 3, "NULL"}}},
    {6,
     6,
     "note",
     NULL,
     0,
     "quote(id)",
     true,
     false,
     2,
     {{"body", MODEL_LWW, 6, ALWAYS, 2, "NULL"}, {"hot", MODEL_MAX, 6, ALWAYS, 3, "NULL"}}},
};

#define GROUP_FIRST 1u /* of item: b and c */
#define GROUP_LAST 2u
#define COPY_TEXT 7u

bool model_has(const model_column *c, unsigned epoch) {
    return epoch >= c->since && epoch < c->until;
}

/* The fifth migration renames one. */
const char *model_name(const model_column *c, unsigned epoch) {
    return epoch >= 5 && !strcmp(c->name, "b") ? "bee" : c->name;
}

model_table model_by_id(unsigned id) {
    unsigned t = 0;
    while (t < MODEL_TABLES && MODEL[t].id != id) t++;
    return (model_table)t;
}

uint32_t model_bit(const model_value *v) {
    uint32_t hash = 0;
    for (const char *p = v->text; *p; p++) hash = hash * 31 + (uint8_t)*p;
    return UINT32_C(1) << (hash ^ hash >> 5 ^ hash >> 10) % 32;
}

/* ---- small things ---- */

static bool same(const model_value *a, const model_value *b) {
    return strcmp(a->text, b->text) == 0;
}

static bool is_null(const model_value *v) {
    return strcmp(v->text, "NULL") == 0;
}

static long long number(const model_value *v) {
    return strtoll(v->text, NULL, 10);
}

static model_value literal(const char *text) {
    model_value v;
    snprintf(v.text, sizeof v.text, "%s", text);
    return v;
}

static model_value integer(long long n) {
    model_value v;
    snprintf(v.text, sizeof v.text, "%lld", n);
    return v;
}

static bool later(model_clock a, model_clock b) {
    return a.stamp != b.stamp ? a.stamp > b.stamp : a.author > b.author;
}

static bool same_clock(model_clock a, model_clock b) {
    return a.stamp == b.stamp && a.author == b.author && a.seq == b.seq;
}

static void *grow(void *p, unsigned *room, size_t each) {
    *room = *room ? *room * 2 : 256;
    p = realloc(p, *room * each);
    if (!p) abort();
    return p;
}

/* ---- one transaction ---- */

typedef struct merging {
    model *m;
    const fact *f;
    model_row *row;
    model_clock c;
    uint64_t base;
    bool of_retry;
} merging;

static const model_schema *schema_of(const merging *g) {
    return &MODEL[g->row->table];
}

static bool refuse(merging *g, const char *why) {
    snprintf(g->m->why, sizeof g->m->why, "%s %s: %s", schema_of(g)->name, g->row->key.text, why);
    return false;
}

static void lose(merging *g, unsigned column, const model_value *lost, model_clock loser) {
    model *m = g->m;
    if (m->nloss == m->room_loss) m->loss = grow(m->loss, &m->room_loss, sizeof *m->loss);
    m->loss[m->nloss++] = (model_loss){.seq = g->c.seq,
                                       .table = g->row->table,
                                       .key = g->row->key,
                                       .column = column,
                                       .lost = *lost,
                                       .stamp = loser.stamp,
                                       .author = loser.author};
}

static void lose_row(merging *g, model_clock loser) {
    model_value nothing = literal("NULL");
    lose(g, 0, &nothing, loser);
}

/* Called when the row is as it is from now on. */
static void moved(merging *g, unsigned column) {
    model *m = g->m;
    if (m->nmove == m->room_move) m->move = grow(m->move, &m->room_move, sizeof *m->move);
    m->move[m->nmove++] = (model_move){.row = (unsigned)(g->row - m->row),
                                       .column = column,
                                       .seq = g->c.seq,
                                       .to = column == MODEL_ROW ? integer(g->row->there) : g->row->cell[column].v};
}

static void all_moved(merging *g) {
    for (unsigned i = 0; i <= MODEL_COLUMNS; i++) moved(g, i);
}

/* Whether the app showed what a move brought, and so hid nothing. Which of several edits it showed then is not known: nothing is claimed any more. */
static bool was_shown(const merging *g, const model_move *v) {
    const model_value there = integer(g->f->op != FACT_INSERT || g->f->met),
                      *was = v->column == MODEL_ROW ? &there : &g->f->was[v->column];
    if (!(g->f->mixed >> v->column & 1)) return same(&v->to, was);
    if (g->f->shown[v->column] & model_bit(&v->to)) g->row->unclear = g->row->mixed = true;
    return false;
}

/* M16: his base, unless what came since he last saw the column was hidden from him: from the first move until the app showed what is confirmed. */
static uint64_t base_of(const merging *g, unsigned column) {
    const model *m = g->m;
    uint64_t seen = g->f->seen[column], hidden = UINT64_MAX;
    for (unsigned i = 0; seen < g->base && i < m->nmove; i++) {
        const model_move *v = &m->move[i];
        if (v->row != (unsigned)(g->row - m->row) || v->column != column || v->seq <= seen || v->seq > g->base) continue;
        if (was_shown(g, v))
            hidden = UINT64_MAX;
        else if (hidden == UINT64_MAX)
            hidden = v->seq - 1;
    }
    return hidden < g->base ? hidden : g->base;
}

static bool known(const merging *g, model_clock stored, unsigned column) {
    return stored.author == g->c.author || stored.seq <= base_of(g, column);
}

/* Whether the server had the column when this transaction was committed. */
static bool exists(const merging *g, const model_column *c) {
    unsigned epoch = 1;
    while (epoch < MODEL_EPOCHS && g->m->epoch_at[epoch + 1] && g->c.seq > g->m->epoch_at[epoch + 1]) epoch++;
    return model_has(c, epoch);
}

static bool says_nothing(const model_column *c, const model_value *v) {
    return is_null(v) || strcmp(v->text, c->initial) == 0;
}

static void take(merging *g, unsigned i, const model_value *v) {
    model_cell *cell = &g->row->cell[i];
    bool moves = !same(&cell->v, v);
    cell->v = *v;
    cell->c = g->c;
    if (moves) moved(g, i);
}

/* ---- rules of columns ---- */

static void merge_lww(merging *g, unsigned from, unsigned to) {
    model_clock stored = g->row->cell[from].c;
    bool wins = later(g->c, stored), knew = known(g, stored, from);
    for (unsigned i = from; i <= to; i++) knew = knew && known(g, stored, i);
    for (unsigned i = from; i <= to; i++) {
        const model_column *c = &schema_of(g)->column[i];
        const model_value was = g->row->cell[i].v, *is = &g->f->now[i];
        if (!same(&was, is) && !wins) lose(g, c->id, is, g->c);
        if (!same(&was, is) && wins && !knew) lose(g, c->id, &was, stored);
        if (wins) take(g, i, is);
    }
}

/* M3, M4: `sign` 1 for max, -1 for min. */
static void merge_extreme(merging *g, unsigned i, int sign) {
    model_cell *cell = &g->row->cell[i];
    const model_value *is = &g->f->now[i];
    unsigned id = schema_of(g)->column[i].id;
    if (same(&cell->v, is)) {
        if (later(g->c, cell->c)) cell->c = g->c;
    } else if (is_null(is)) {
        lose(g, id, is, g->c);
    } else if (is_null(&cell->v)) {
        take(g, i, is);
    } else if (sign * number(is) > sign * number(&cell->v)) {
        if (!known(g, cell->c, i)) lose(g, id, &cell->v, cell->c);
        take(g, i, is);
    } else {
        lose(g, id, is, g->c);
    }
}

static void merge_first(merging *g, unsigned i) {
    model_cell *cell = &g->row->cell[i];
    const model_value *is = &g->f->now[i];
    if (same(&cell->v, is)) return;
    if (is_null(&cell->v))
        take(g, i, is);
    else
        lose(g, schema_of(g)->column[i].id, is, g->c);
}

bool model_allows(const model_value *from, const model_value *to) {
    static const char *const moves[][2] = {{"'open'", "'waiting'"},
                                           {"'open'", "'solved'"},
                                           {"'waiting'", "'solved'"},
                                           {"'waiting'", "'open'"},
                                           {"'solved'", "'open'"}};
    for (unsigned i = 0; i < sizeof moves / sizeof *moves; i++)
        if (!strcmp(moves[i][0], from->text) && !strcmp(moves[i][1], to->text)) return true;
    return false;
}

/* M8, by its six steps. */
static bool merge_guard(merging *g, unsigned i) {
    model_cell *cell = &g->row->cell[i];
    const model_value *is = &g->f->now[i], *seen = g->f->op == FACT_INSERT ? &cell->v : &g->f->was[i];
    unsigned id = schema_of(g)->column[i].id;
    if (same(&cell->v, is)) {
        if (later(g->c, cell->c)) cell->c = g->c;
        return true;
    }
    if (g->c.author && !model_allows(seen, is)) return refuse(g, "a move that is not allowed was accepted");
    if (!g->c.author || same(&cell->v, seen)) {
        take(g, i, is);
    } else if (model_allows(&cell->v, is)) {
        lose(g, id, &cell->v, cell->c);
        take(g, i, is);
    } else {
        lose(g, id, is, g->c);
    }
    return true;
}

static void merge_strict(merging *g, unsigned i) {
    model_cell *cell = &g->row->cell[i];
    const model_value *is = &g->f->now[i];
    unsigned id = schema_of(g)->column[i].id;
    if (same(&cell->v, is) || known(g, cell->c, i)) {
        take(g, i, is);
    } else if (number(is) < number(&cell->v)) {
        lose(g, id, &cell->v, cell->c);
        take(g, i, is);
    } else {
        lose(g, id, is, g->c);
    }
}

/* ---- M10 ---- */

static void put_number(buf *b, uint64_t v, unsigned bytes) {
    while (bytes--) buf_put_byte(b, (uint8_t)(v >> 8 * bytes));
}

static model_value copy_key(const merging *g, model_clock loser) {
    uint8_t hash[32];
    char hex[36] = "'";
    buf key, b;
    const char *text = g->row->key.text;
    value v = value_text(text + 1, strlen(text) - 2);
    buf_init(&key, 0);
    buf_init(&b, 0);
    value_put(&key, &v);
    crypto_sha256(key.p, key.n, hash);
    put_number(&b, schema_of(g)->id, 4);
    buf_put(&b, hash, sizeof hash);
    put_number(&b, schema_of(g)->column[COPY_TEXT].id, 4);
    put_number(&b, loser.stamp, 8);
    put_number(&b, loser.author, 4);
    crypto_sha256(b.p, b.n, hash);
    for (unsigned i = 0; i < 16; i++) snprintf(hex + 1 + 2 * i, 3, "%02x", hash[i]);
    hex[33] = '\'';
    buf_fini(&key);
    buf_fini(&b);
    return literal(hex);
}

/* The row as it is now, with the losing text. */
static void make_copy(merging *g, const model_value *text, model_clock loser) {
    model_value key = copy_key(g, loser);
    model_row *copy = model_find(g->m, g->row->table, &key, true);
    if (copy->there) return;
    model_row *original = g->row;
    copy->there = true;
    copy->base = (model_clock){.stamp = loser.stamp, .author = loser.author, .seq = g->c.seq};
    for (unsigned i = 0; i < MODEL_COLUMNS; i++) copy->cell[i] = (model_cell){.v = original->cell[i].v, .c = copy->base};
    copy->cell[COPY_TEXT].v = *text;
    copy->cell[MODEL_COPY_OF].v = original->key;
    g->row = copy;
    all_moved(g);
    g->row = original;
}

static void merge_keep(merging *g, unsigned i) {
    model_cell *cell = &g->row->cell[i], was = *cell;
    const model_value *is = &g->f->now[i];
    unsigned id = schema_of(g)->column[i].id;
    if (same(&was.v, is)) {
        if (later(g->c, was.c)) cell->c = g->c;
    } else if (known(g, was.c, i)) {
        take(g, i, is);
    } else if (later(g->c, was.c)) {
        lose(g, id, &was.v, was.c);
        if (!is_null(&was.v)) make_copy(g, &was.v, was.c);
        take(g, i, is);
    } else {
        lose(g, id, is, g->c);
        if (!is_null(is)) make_copy(g, is, g->c);
    }
}

/* ---- rows ---- */

static model_value difference(const merging *g, unsigned i) {
    const fact *f = g->f;
    long long before = f->op == FACT_INSERT ? strtoll(schema_of(g)->column[i].initial, NULL, 10) : number(&f->was[i]);
    return integer(number(&f->now[i]) - before);
}

/* M15: nobody has said it yet. */
static bool is_unsaid(const merging *g, unsigned i) {
    const model_cell *cell = &g->row->cell[i];
    return schema_of(g)->natural && same_clock(cell->c, g->row->base) && says_nothing(&schema_of(g)->column[i], &cell->v);
}

static bool merge_column(merging *g, unsigned i) {
    const model_column *c = &schema_of(g)->column[i];
    model_value sum;
    if (!exists(g, c)) {
        lose(g, c->id, &g->f->now[i], g->c);
        return true;
    }
    switch (c->rule) {
    case MODEL_LWW:
        if (is_unsaid(g, i))
            take(g, i, &g->f->now[i]);
        else
            merge_lww(g, i, i);
        return true;
    case MODEL_GROUP:
        if (i == GROUP_FIRST) merge_lww(g, GROUP_FIRST, GROUP_LAST);
        return true;
    case MODEL_MAX:
    case MODEL_MIN:
        merge_extreme(g, i, c->rule == MODEL_MAX ? 1 : -1);
        return true;
    case MODEL_COUNTER:
        sum = difference(g, i);
        sum = integer(number(&g->row->cell[i].v) + number(&sum));
        take(g, i, &sum);
        return true;
    case MODEL_FIRST:
        merge_first(g, i);
        return true;
    case MODEL_KEEP:
        merge_keep(g, i);
        return true;
    case MODEL_STRICT:
        merge_strict(g, i);
        return true;
    case MODEL_GUARD:
        return merge_guard(g, i);
    case MODEL_SERVER:
        if (!g->c.author) merge_lww(g, i, i);
        return !g->c.author || same(&g->row->cell[i].v, &g->f->now[i]) || refuse(g, "a device wrote what is the server's");
    }
    return false;
}

static bool merge_columns(merging *g) {
    bool ok = true;
    for (unsigned i = 0; i < schema_of(g)->n && ok; i++)
        if (g->f->changed >> i & 1) ok = merge_column(g, i);
    return ok;
}

static void put_new(merging *g) {
    model_row *row = g->row;
    const model_schema *t = schema_of(g);
    row->there = true;
    row->dead = false;
    row->base = g->c;
    for (unsigned i = 0; i < t->n; i++) {
        bool set = g->f->changed >> i & 1;
        if (set && !exists(g, &t->column[i]) && !is_null(&g->f->now[i])) lose(g, t->column[i].id, &g->f->now[i], g->c);
        row->cell[i] = (model_cell){.v = set ? g->f->now[i] : literal(t->column[i].initial), .c = g->c};
    }
    all_moved(g);
}

/* Each value of an insert or update that met a deletion. */
static void lose_values(merging *g) {
    const model_schema *t = schema_of(g);
    for (unsigned i = 0; i < t->n; i++) {
        const model_column *c = &t->column[i];
        if (!(g->f->changed >> i & 1)) continue;
        if (g->f->op == FACT_INSERT && says_nothing(c, &g->f->now[i])) continue;
        model_value lost = g->f->op == FACT_UPDATE && c->rule == MODEL_COUNTER ? difference(g, i) : g->f->now[i];
        lose(g, c->id, &lost, g->c);
    }
}

static bool apply_insert(merging *g) {
    const model_schema *t = schema_of(g);
    if (g->row->there) {
        bool knew = g->c.author ? g->of_retry && known(g, g->row->base, MODEL_ROW) : g->f->met;
        if (!t->natural && !knew) return refuse(g, "a second insert was accepted");
        bool ok = true;
        for (unsigned i = 0; i < t->n && ok; i++)
            if (g->f->changed >> i & 1 && !says_nothing(&t->column[i], &g->f->now[i])) ok = merge_column(g, i);
        return ok;
    }
    if (g->row->dead && t->delete_wins && !known(g, g->row->death, MODEL_ROW)) {
        lose_row(g, g->c);
        lose_values(g);
        return true;
    }
    put_new(g);
    return true;
}

static bool apply_update(merging *g) {
    if (g->row->there) return merge_columns(g);
    if (!g->row->dead) return refuse(g, "an update of a row that never was, was accepted");
    if (known(g, g->row->death, MODEL_ROW)) return refuse(g, "an update of a row known to be deleted was accepted");
    if (schema_of(g)->delete_wins) {
        lose_values(g);
        return true;
    }
    g->row->there = true;
    g->row->dead = false;
    all_moved(g);
    lose_row(g, g->row->death);
    return merge_columns(g);
}

static bool any_unknown(const merging *g) {
    const model_schema *t = schema_of(g);
    for (unsigned i = 0; i < t->n; i++)
        if (exists(g, &t->column[i]) && !known(g, g->row->cell[i].c, i)) return true;
    return false;
}

static bool apply_delete(merging *g) {
    const model_schema *t = schema_of(g);
    model_row *row = g->row;
    if (!row->there) return row->dead || refuse(g, "a deletion of a row that never was, was accepted");
    bool unknown = any_unknown(g);
    if (unknown && !t->delete_wins) {
        lose_row(g, g->c);
        return true;
    }
    for (unsigned i = 0; i < t->n; i++)
        if (exists(g, &t->column[i]) && !known(g, row->cell[i].c, i) && !is_null(&row->cell[i].v))
            lose(g, t->column[i].id, &row->cell[i].v, row->cell[i].c);
    row->there = false;
    row->dead = true;
    row->death = g->c;
    all_moved(g);
    return true;
}

bool model_apply(model *m, const facts *f, model_clock c, uint64_t limit) {
    bool ok = true;
    for (unsigned i = 0; i < f->n && ok; i++) {
        merging g = {.m = m, .f = &f->fact[i], .c = c, .base = f->base < limit ? f->base : limit, .of_retry = f->at != 0};
        g.row = model_find(m, g.f->table, &g.f->key, true);
        if (g.f->again) g.row->unclear = g.row->mixed = true;
        if (g.row->unclear) continue;
        switch (g.f->op) {
        case FACT_INSERT:
            ok = apply_insert(&g);
            break;
        case FACT_UPDATE:
            ok = apply_update(&g);
            break;
        case FACT_DELETE:
            ok = apply_delete(&g);
        }
    }
    return ok;
}

model_row *model_find(model *m, model_table t, const model_value *key, bool make) {
    for (unsigned i = 0; i < m->nrow; i++)
        if (m->row[i].table == t && same(&m->row[i].key, key)) return &m->row[i];
    if (!make) return NULL;
    if (m->nrow == MODEL_ROWS) abort();
    m->row[m->nrow] = (model_row){.table = t, .key = *key};
    return &m->row[m->nrow++];
}

/* What the first migration puts there. */
static void put_first(model *m, model_table t, const char *key, const char *name, const char *value_of_it, const char *other,
                      const char *value_of_other, model_clock c) {
    model_value k = literal(key);
    model_row *row = model_find(m, t, &k, true);
    row->there = true;
    row->base = c;
    for (unsigned i = 0; i < MODEL[t].n; i++) {
        const model_column *col = &MODEL[t].column[i];
        const char *v = !strcmp(col->name, name) ? value_of_it : !strcmp(col->name, other) ? value_of_other : col->initial;
        row->cell[i] = (model_cell){.v = literal(v), .c = c};
    }
}

void model_begin(model *m, model_clock first, const uint64_t epoch_at[MODEL_EPOCHS + 1]) {
    *m = (model){.row = malloc(MODEL_ROWS * sizeof *m->row)};
    memcpy(m->epoch_at, epoch_at, sizeof m->epoch_at);
    for (unsigned i = 0; i < 8; i++) {
        char item[8], line[8];
        snprintf(item, sizeof item, "'i%u'", i);
        snprintf(line, sizeof line, "%u", i);
        put_first(m, MODEL_ITEM, item, "a", "'base'", "a", "'base'", first);
        put_first(m, MODEL_LINE, line, "item", item, "qty", "1", first);
    }
}

void model_end(model *m) {
    free(m->row);
    free(m->loss);
    free(m->move);
}
