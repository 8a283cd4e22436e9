/* What transactions did, as their devices' rows show it before and after: capture, triggers, savepoints and rollbacks have no part in it. */
#include "tests/sim/sim.h"

#define PICTURE_ROWS 1024u

typedef struct picture {
    unsigned n;
    struct {
        model_table table;
        model_value key, v[MODEL_COLUMNS];
    } row[PICTURE_ROWS];
} picture;

static picture before, after;
static const picture *shown = &before; /* the newest */

/* ---- pictures ---- */

static void put_text(model_value *to, const char *text, size_t n) {
    if (n >= sizeof to->text) n = sizeof to->text - 1;
    memcpy(to->text, text, n);
    to->text[n] = 0;
}

static void put_integer(model_value *to, int64_t n) {
    char digits[24], *p = digits + sizeof digits;
    uint64_t rest = n < 0 ? -(uint64_t)n : (uint64_t)n;
    do *--p = (char)('0' + rest % 10);
    while (rest /= 10);
    if (n < 0) *--p = '-';
    put_text(to, p, (size_t)(digits + sizeof digits - p));
}

/* As SQLite's quote() has it, which is asked where that is not said in a line. */
static void put_literal(sim *s, sqlite3 *db, model_value *to, sqlite3_stmt *q, int column) {
    int type = sqlite3_column_type(q, column);
    const char *text = type == SQLITE_TEXT ? (const char *)sqlite3_column_text(q, column) : NULL;
    size_t n = text ? strlen(text) : 0;
    if (type == SQLITE_NULL) {
        put_text(to, "NULL", 4);
    } else if (type == SQLITE_INTEGER) {
        put_integer(to, sqlite3_column_int64(q, column));
    } else if (text && n < sizeof to->text - 2 && !memchr(text, '\'', n)) {
        to->text[0] = to->text[n + 1] = '\'';
        memcpy(to->text + 1, text, n);
        to->text[n + 2] = 0;
    } else {
        sqlite3_stmt *quote = sim_query(s, db, "SELECT quote(?)");
        sqlite3_bind_value(quote, 1, sqlite3_column_value(q, column));
        text = sqlite3_step(quote) == SQLITE_ROW ? (const char *)sqlite3_column_text(quote, 0) : NULL;
        if (!text) sim_fail(s, "a value cannot be quoted: %s", sqlite3_errmsg(db));
        put_text(to, text, strlen(text));
        sqlite3_reset(quote);
    }
}

/* Its key's literals and its columns, those that the epoch has. */
static const char *query_of(model_table t, unsigned epoch) {
    static char all[MODEL_TABLES][MODEL_EPOCHS + 1][512];
    const model_schema *m = &MODEL[t];
    char *sql = all[t][epoch];
    if (*sql) return sql;
    int n = snprintf(sql, sizeof all[t][epoch], "SELECT %s", m->key);
    for (unsigned i = 0; i < m->n; i++) {
        const model_column *c = &m->column[i];
        n += snprintf(sql + n, sizeof all[t][epoch] - (size_t)n, ",%s", model_has(c, epoch) ? model_name(c, epoch) : "NULL");
    }
    snprintf(sql + n, sizeof all[t][epoch] - (size_t)n, " FROM %s",
             m->renamed && epoch >= m->renamed_since ? m->renamed : m->name);
    return sql;
}

static void take_table(sim *s, sqlite3 *db, unsigned epoch, model_table t, picture *p) {
    const model_schema *m = &MODEL[t];
    if (epoch > MODEL_EPOCHS) sim_fail(s, "a schema has epoch %u", epoch);
    if (epoch < m->since) return;
    sqlite3_stmt *q = sim_query(s, db, query_of(t, epoch));
    while (sqlite3_step(q) == SQLITE_ROW) {
        if (p->n == PICTURE_ROWS) sim_fail(s, "more rows than a picture holds");
        p->row[p->n].table = t;
        const char *key = (const char *)sqlite3_column_text(q, 0);
        put_text(&p->row[p->n].key, key, strlen(key));
        for (unsigned i = 0; i < m->n; i++) put_literal(s, db, &p->row[p->n].v[i], q, (int)i + 1);
        p->n++;
    }
    if (sqlite3_reset(q)) sim_fail(s, "%s: %s", query_of(t, epoch), sqlite3_errmsg(db));
}

static void take_picture(sim *s, sqlite3 *db, unsigned epoch, picture *p) {
    p->n = 0;
    disk_look(true);
    for (unsigned t = 0; t < MODEL_TABLES; t++) take_table(s, db, epoch, (model_table)t, p);
    disk_look(false);
}

/* -1: it has no such row. */
static int find(const picture *p, model_table t, const model_value *key) {
    for (unsigned i = 0; i < p->n; i++)
        if (p->row[i].table == t && !strcmp(p->row[i].key.text, key->text)) return (int)i;
    return -1;
}

/* ---- what the author had seen ---- */

/* Its own, or those of a retry; a copy of the file that retried it has the same. */
const facts *facts_find(sim *s, unsigned i, uint64_t number) {
    const sim_txn *t = history_find(s, i, number);
    const facts *found = NULL;
    for (const facts *f = t ? t->facts : NULL; f; f = f->next)
        if (t->at == number ? !f->at : f->at == number && (!found || f->device == i)) found = f;
    return found;
}

static bool touches(const fact *f, unsigned column) {
    if (f->op != FACT_UPDATE || column == MODEL_ROW) return true;
    return f->changed >> column & 1;
}

static void note_shown(const fact *p, unsigned c, fact *f) {
    model_value there = {.text = {p->op == FACT_DELETE ? '0' : '1'}};
    uint32_t bit = model_bit(c == MODEL_ROW ? &there : &p->now[c]);
    if (f->shown[c] && f->shown[c] != bit) f->mixed |= 1u << c;
    f->shown[c] |= bit;
}

/* Beneath a pending edit the app shows nothing of what comes: it had seen what it had when the first of them was made. */
static void see_through(const facts *pending, bool again, uint64_t common, fact *f) {
    for (unsigned i = 0; i < pending->n; i++) {
        const fact *p = &pending->fact[i];
        if (p->table != f->table || strcmp(p->key.text, f->key.text) != 0) continue;
        for (unsigned c = 0; c <= MODEL_ROW; c++) {
            bool counter = c < MODEL[f->table].n && MODEL[f->table].column[c].rule == MODEL_COUNTER;
            if (counter || !touches(p, c)) continue;
            f->again = f->again || again;
            f->seen[c] = p->seen[c] < common ? p->seen[c] : common;
            note_shown(p, c, f);
        }
    }
}

static void note_seen(sim *s, unsigned i, facts *out) {
    for (unsigned k = 0; k < out->n; k++)
        for (unsigned c = 0; c <= MODEL_ROW; c++) out->fact[k].seen[c] = out->base;
    disk_look(true);
    sqlite3_stmt *q = sim_query(s, satchel_db(s->device[i].s),
                                "SELECT n,state=0 AND effective IS NOT NULL FROM satchel_outbox WHERE state<2 ORDER BY n");
    while (sqlite3_step(q) == SQLITE_ROW) {
        const facts *p = facts_find(s, i, (uint64_t)sqlite3_column_int64(q, 0));
        for (unsigned k = 0; p && p != out && k < out->n; k++)
            see_through(p, sqlite3_column_int(q, 1), facts_common(s, p->life, out->life), &out->fact[k]);
    }
    sqlite3_reset(q);
    disk_look(false);
}

/* ---- differences ---- */

static fact *add(facts *out, fact_op op, model_table t, const model_value *key) {
    if (out->n == out->room) {
        out->room = out->room ? out->room * 2 : 4;
        out->fact = realloc(out->fact, out->room * sizeof *out->fact);
        if (!out->fact) abort();
    }
    fact *f = &out->fact[out->n++];
    *f = (fact){.op = op, .table = t, .key = *key};
    return f;
}

static uint32_t changes(const model_schema *m, unsigned epoch, const model_value *was, const model_value *now) {
    uint32_t changed = 0;
    for (unsigned i = 0; i < m->n; i++)
        if (model_has(&m->column[i], epoch) && (!was || strcmp(was[i].text, now[i].text) != 0)) changed |= 1u << i;
    for (unsigned i = 0; i < m->n; i++)
        if (m->column[i].rule == MODEL_GROUP)
            for (unsigned k = 0; k < m->n; k++)
                if (m->column[k].rule == MODEL_GROUP && changed >> k & 1) changed |= 1u << i;
    return changed;
}

static void compare(unsigned epoch, facts *out) {
    for (unsigned i = 0; i < after.n; i++) {
        model_table t = after.row[i].table;
        int at = find(&before, t, &after.row[i].key);
        const model_value *was = at < 0 ? NULL : before.row[at].v;
        uint32_t changed = changes(&MODEL[t], epoch, was, after.row[i].v);
        if (was && !changed) continue;
        fact *f = add(out, was ? FACT_UPDATE : FACT_INSERT, t, &after.row[i].key);
        f->changed = changed;
        if (was) memcpy(f->was, was, sizeof f->was);
        memcpy(f->now, after.row[i].v, sizeof f->now);
    }
    for (unsigned i = 0; i < before.n; i++)
        if (find(&after, before.row[i].table, &before.row[i].key) < 0)
            add(out, FACT_DELETE, before.row[i].table, &before.row[i].key);
}

/* ---- what a retry says again ---- */

static fact *find_fact(const facts *f, const fact *like) {
    for (unsigned i = 0; i < f->n; i++)
        if (f->fact[i].table == like->table && !strcmp(f->fact[i].key.text, like->key.text)) return &f->fact[i];
    return NULL;
}

/* Of an update, what it sets; of an insert, what it says something of (M15): a group whole. */
static uint32_t said(const fact *f, unsigned epoch) {
    const model_schema *m = &MODEL[f->table];
    uint32_t columns = 0, group = 0;
    for (unsigned c = 0; c < m->n; c++) {
        const model_column *col = &m->column[c];
        bool moved_only = col->rule == MODEL_COUNTER || col->rule == MODEL_GUARD || col->rule == MODEL_SERVER;
        bool nothing =
            f->op == FACT_INSERT ? !strcmp(f->now[c].text, "NULL") || !strcmp(f->now[c].text, col->initial) : moved_only;
        if (!(f->changed >> c & 1) || !model_has(col, epoch)) continue;
        if (col->rule == MODEL_GROUP) group |= 1u << c;
        if (!nothing) columns |= 1u << c;
    }
    return columns & group ? columns | group : columns;
}

/* An insert that met a row says what it sets of it; an update says what it had set, though it stands there already. */
static void say_again(const facts *old, unsigned epoch, facts *f) {
    for (unsigned i = 0; i < old->n; i++) {
        const fact *o = &old->fact[i];
        uint32_t columns = said(o, epoch);
        bool met = o->op == FACT_INSERT && find(&before, o->table, &o->key) >= 0;
        int at = find(&after, o->table, &o->key);
        if (at < 0 || o->op == FACT_DELETE || (o->op == FACT_INSERT && !met) || (!met && !columns)) continue;
        fact *one = find_fact(f, o);
        if (!one) {
            one = add(f, FACT_UPDATE, o->table, &o->key);
            memcpy(one->was, after.row[at].v, sizeof one->was);
            memcpy(one->now, after.row[at].v, sizeof one->now);
        }
        one->changed = met ? columns : one->changed | columns;
        if (!met) continue;
        one->op = FACT_INSERT;
        one->met = true;
        for (unsigned c = 0; c < MODEL[o->table].n; c++)
            if (columns >> c & 1) one->now[c] = o->now[c];
    }
}

/* ---- recording ---- */

static unsigned epoch_of(sim *s, sqlite3 *db) {
    return (unsigned)sim_ask(s, db, "SELECT schema_epoch FROM satchel_state");
}

static facts *new_facts(sim_txn *t, unsigned device) {
    facts *f = calloc(1, sizeof *f), **at = &t->facts;
    if (!f) abort();
    f->device = device;
    while (*at) at = &(*at)->next;
    return *at = f;
}

/* ---- lives of the server ---- */

void facts_server_started(sim *s) {
    store_position p = store_where(s->store);
    unsigned epoch = store_schema(s->store)->epoch;
    while (s->migrated < epoch) s->migrated_at[++s->migrated] = p.seq;
    if (s->nlives && !memcmp(s->life[s->nlives - 1].epoch, p.epoch, EPOCH_BYTES)) return;
    if (s->nlives == SIM_LIVES) sim_fail(s, "the server has more lives than a simulation holds");
    sim_life *life = &s->life[s->nlives++];
    *life = (sim_life){.parent = s->life_saved, .start = p.seq};
    memcpy(life->epoch, p.epoch, EPOCH_BYTES);
    sim_say(s, "life %u of the server goes on from commit %" PRIu64 " of life %u", s->nlives - 1, life->start, life->parent);
}

uint64_t facts_common(const sim *s, unsigned a, unsigned b) {
    uint64_t common = UINT64_MAX;
    while (a != b) {
        unsigned *later = a > b ? &a : &b;
        if (s->life[*later].start < common) common = s->life[*later].start;
        *later = s->life[*later].parent;
    }
    return common;
}

/* Which life of the server a device's cursor counts in. */
unsigned facts_life_of(sim *s, unsigned i) {
    unsigned life = 0;
    disk_look(true);
    sqlite3_stmt *q = sim_query(s, satchel_db(s->device[i].s), "SELECT epoch FROM satchel_state");
    const void *epoch = sqlite3_step(q) == SQLITE_ROW ? sqlite3_column_blob(q, 0) : NULL;
    bool whole = epoch && sqlite3_column_bytes(q, 0) == EPOCH_BYTES;
    for (unsigned k = 1; whole && k < s->nlives; k++)
        if (!memcmp(s->life[k].epoch, epoch, EPOCH_BYTES)) life = k;
    if (sqlite3_reset(q)) sim_fail(s, "the epoch of device %u: %s", i, sqlite3_errmsg(satchel_db(s->device[i].s)));
    disk_look(false);
    return life;
}

const model_value *facts_shown(model_table t, const model_value *key) {
    int at = find(shown, t, key);
    return at < 0 ? NULL : shown->row[at].v;
}

/* How many wait; false while one of them is not known, as one that was begun in another file: nothing is claimed then. */
static bool find_pending(sim *s, unsigned i, reads_pending pending[SIM_TXNS], unsigned *found) {
    unsigned n = 0;
    bool all = true;
    unsigned life = facts_life_of(s, i);
    disk_look(true);
    sqlite3_stmt *q = sim_query(s, satchel_db(s->device[i].s),
                                "SELECT n,state,effective,(SELECT coalesce(snapshot,0) FROM satchel_state)<>0 FROM satchel_outbox"
                                " WHERE state<2 ORDER BY n");
    while (n < SIM_TXNS && sqlite3_step(q) == SQLITE_ROW) {
        const facts *f = facts_find(s, i, (uint64_t)sqlite3_column_int64(q, 0));
        bool accepted = sqlite3_column_int(q, 1), was_accepted = sqlite3_column_type(q, 2) != SQLITE_NULL;
        /* The ranges of a snapshot that have come show what was accepted as it stands on the server. */
        bool replaced = sqlite3_column_int(q, 3);
        all = all && f;
        if (f) pending[n++] = (reads_pending){.f = f, .again = accepted ? replaced || f->life != life : was_accepted};
    }
    sqlite3_reset(q);
    disk_look(false);
    *found = n;
    return all;
}

static void show(sim *s, unsigned i, picture *p, bool if_it_waits) {
    static reads_pending pending[SIM_TXNS];
    sqlite3 *db = satchel_db(s->device[i].s);
    unsigned epoch = epoch_of(s, db), n;
    bool all = find_pending(s, i, pending, &n);
    if (if_it_waits && (!n || !all)) return;
    take_picture(s, db, epoch, p);
    shown = p;
    if (all) check_reads_now(s, i, epoch, pending, n);
}

void facts_before(sim *s, unsigned i) {
    show(s, i, &before, false);
}

void facts_look(sim *s, unsigned i) {
    static picture now;
    show(s, i, &now, true);
}

static void free_facts(sim_txn *t) {
    for (facts *f = t->facts, *next; f; f = next) {
        next = f->next;
        free(f->fact);
        free(f);
    }
    t->facts = NULL;
}

static facts *record(sim *s, unsigned i, sim_txn *t, uint64_t base, const facts *retried) {
    sqlite3 *db = satchel_db(s->device[i].s);
    unsigned epoch = epoch_of(s, db);
    facts *f = new_facts(t, i);
    take_picture(s, db, epoch, &after);
    compare(epoch, f);
    if (retried) say_again(retried, epoch, f);
    f->base = base;
    f->life = facts_life_of(s, i);
    note_seen(s, i, f);
    return f;
}

void facts_after(sim *s, unsigned i, sim_txn *t) {
    free_facts(t); /* of a COMMIT that was in vain */
    record(s, i, t, (uint64_t)sim_ask(s, satchel_db(s->device[i].s), "SELECT cursor FROM satchel_state"), NULL);
}

void facts_retried(sim *s, unsigned i, uint64_t old, uint64_t number) {
    sim_txn *t = history_find(s, i, old);
    if (!t) return;
    facts *f = record(s, i, t, (uint64_t)sim_ask(s, satchel_db(s->device[i].s), "SELECT cursor FROM satchel_state"),
                      facts_find(s, i, old));
    f->at = number;
}

void facts_server(sim_txn *t, unsigned column, unsigned row, const char *was, const char *now) {
    facts *f = new_facts(t, SIM_SERVER);
    model_value key;
    snprintf(key.text, sizeof key.text, "'i%u'", row);
    fact *one = add(f, FACT_UPDATE, MODEL_ITEM, &key);
    one->changed = 1u << column;
    snprintf(one->was[column].text, sizeof one->was[column].text, "%s", was);
    snprintf(one->now[column].text, sizeof one->now[column].text, "%s", now);
    f->base = UINT64_MAX;
    for (unsigned c = 0; c <= MODEL_ROW; c++) one->seen[c] = UINT64_MAX;
}

void facts_admin(sim *s, sim_txn *t, unsigned key, uint64_t number) {
    const facts *refused = NULL;
    for (const facts *f = t->facts; f; f = f->next)
        if (f->device != SIM_SERVER && s->device[f->device].key == key && (f->at ? f->at : t->at) == number) refused = f;
    facts *out = new_facts(t, SIM_SERVER);
    out->at = number;
    out->base = UINT64_MAX;
    for (unsigned i = 0; refused && i < refused->n; i++) {
        fact *one = add(out, refused->fact[i].op, refused->fact[i].table, &refused->fact[i].key);
        *one = refused->fact[i];
        for (unsigned c = 0; c <= MODEL_ROW; c++) one->seen[c] = UINT64_MAX, one->shown[c] = 0;
        one->mixed = 0;
    }
}

void facts_free(sim *s) {
    for (unsigned n = 0; n < s->ntxn; n++) free_facts(&s->txn[n]);
}

unsigned facts_of_store(sim *s, unsigned epoch,
                        void (*each)(void *ctx, model_table t, const model_value *key, const model_value *v), void *ctx) {
    take_picture(s, store_db(s->store), epoch, &after);
    for (unsigned i = 0; i < after.n; i++) each(ctx, after.row[i].table, &after.row[i].key, after.row[i].v);
    return after.n;
}
