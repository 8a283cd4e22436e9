/* What was refused had to be: nothing else is parked.
 *
 * Looked at when a person settles it, and at rest. */
#include "tests/sim/sim.h"

typedef struct refusal {
    sim *s;
    unsigned i;
    uint64_t number, base, depends;
    int code;
    const facts *f; /* NULL: the transaction was begun in another file, or nobody may count on it */
    const sim_txn *t;
} refusal;

static bool changes(const fact *f, const char *column) {
    const model_schema *m = &MODEL[f->table];
    for (unsigned c = 0; c < m->n; c++) {
        if (strcmp(m->column[c].name, column) != 0 || !(f->changed >> c & 1)) continue;
        if (f->op == FACT_UPDATE || strcmp(f->now[c].text, m->column[c].initial) != 0) return true;
    }
    return false;
}

/* A move that its author saw to be none of the allowed ones. */
static bool moves_wrongly(const facts *f) {
    for (unsigned n = 0; n < f->n; n++) {
        const model_schema *m = &MODEL[f->fact[n].table];
        for (unsigned c = 0; c < m->n; c++)
            if (m->column[c].rule == MODEL_GUARD && changes(&f->fact[n], m->column[c].name) &&
                !model_allows(&f->fact[n].was[c], &f->fact[n].now[c]))
                return true;
    }
    return false;
}

/* A key that may stand once only, which somebody else has put as well. */
static bool puts_taken_key(const refusal *r) {
    for (unsigned n = 0; n < r->f->n; n++) {
        const fact *f = &r->f->fact[n];
        if (f->op != FACT_INSERT || MODEL[f->table].natural) continue;
        for (const sim_txn *t = r->s->txn; t < r->s->txn + r->s->ntxn; t++)
            for (unsigned k = 0; t != r->t && t->facts && k < t->facts->n; k++) {
                const fact *other = &t->facts->fact[k];
                if (other->op == FACT_INSERT && other->table == f->table && !strcmp(other->key.text, f->key.text)) return true;
            }
    }
    return false;
}

static bool any_changes(const facts *f, const char *column) {
    for (unsigned n = 0; n < f->n; n++)
        if (changes(&f->fact[n], column)) return true;
    return false;
}

/* Of the same key pair, as was seen when it was settled, in a file that is there, or by the server's account. */
static bool was_refused(sim *s, unsigned i, uint64_t number) {
    for (unsigned k = 0; k < s->ndevices; k++)
        if (s->device[k].key == s->device[i].key && number < SIM_TXNS && history_in(s->device[k].refused, (unsigned)number))
            return true;
    for (unsigned k = 0; k < s->ndevices; k++)
        if (s->device[k].key == s->device[i].key && s->device[k].s &&
            sim_ask(s, satchel_db(s->device[k].s), "SELECT count(*) FROM satchel_outbox WHERE state>=3 AND n=%" PRIu64, number))
            return true;
    return s->store && sim_ask(s, store_db(s->store),
                               "SELECT count(*) FROM satchel_refused JOIN satchel_author USING(author) JOIN satchel_device d ON "
                               "d.id=device WHERE d.name='d%u' AND number=%" PRIu64,
                               s->device[i].key, number) > 0;
}

static bool is_below_floor(const refusal *r) {
    const store *st = r->s->store;
    return r->base < r->s->floor || (st && r->base < store_where(st).floor);
}

/* A line that somebody else has made and deleted in the meantime, where this device does not look: of its own of that key, which it made where it may, nothing
 * came to be, and what it did to that later is a change of the other's. */
static bool died_elsewhere(const refusal *r) {
    if (!r->s->store) return false;
    unsigned users = scope_users(r->s, r->i, 0) | scope_users(r->s, r->i, RULES_BEFORE);
    for (unsigned n = 0; n < r->f->n; n++) {
        const fact *f = &r->f->fact[n];
        if (f->table != MODEL_LINE || f->op == FACT_INSERT) continue;
        if (sim_ask(r->s, store_db(r->s->store),
                    "SELECT count(*) FROM satchel_left JOIN satchel_set x ON x.id=bucket_set JOIN satchel_bucket b ON"
                    " hex(x.buckets)=printf('%%08X',b.id) WHERE tbl=%u AND key=x'01%016llx' AND seq>%" PRIu64
                    " AND b.name GLOB 'own:*' AND NOT %u>>substr(b.name,5)&1",
                    schema_table_by_name(store_schema(r->s->store), "line")->id,
                    (unsigned long long)strtoll(f->key.text, NULL, 10), r->base, users))
            return true;
    }
    return false;
}

/* What this device's key had inserted, an admin has discarded, and this one goes on from. */
static bool goes_on_from_discarded(const refusal *r) {
    for (const sim_txn *t = r->s->txn; r->f && t < r->s->txn + r->s->ntxn; t++) {
        if (!(t->admin.ever & SETTLED_DISCARDED) || t->author == SIM_SERVER) continue;
        if (r->s->device[t->author].key != r->s->device[r->i].key) continue;
        for (const facts *f = t->facts; f; f = f->next)
            for (unsigned k = 0; k < f->n; k++)
                for (unsigned n = 0; n < r->f->n; n++)
                    if (f->fact[k].op == FACT_INSERT && f->fact[k].table == r->f->fact[n].table &&
                        !strcmp(f->fact[k].key.text, r->f->fact[n].key.text))
                        return true;
    }
    return false;
}

/* Work on server-owned columns and append-only rows, forbidden moves; of rows that others deleted, whose insert was discarded or is not known to a
 * restored server; what a copied file has that the server may have forgotten; a retry of what an admin has settled, and that a server which was put back has forgotten this. */
static bool is_right(const refusal *r) {
    const sim_device *d = &r->s->device[r->i];
    bool unknown = d->copied || d->doubtful;
    switch (r->code) {
    case SATCHEL_E_SERVER_OWNED:
        return r->f ? any_changes(r->f, "sv") : unknown;
    case SATCHEL_E_APPEND_ONLY:
        return r->f ? r->t->takes_away : unknown;
    case SATCHEL_E_GUARD:
        return r->f ? moves_wrongly(r->f) : unknown;
    case SATCHEL_E_KEY_TAKEN:
        return r->f ? puts_taken_key(r) : unknown;
    case SATCHEL_E_DEPENDS:
        if (r->s->restored && d->copied) return true; /* by a server that is no more, of a file that was put back since */
        return was_refused(r->s, r->i, r->depends);
    case SATCHEL_E_FORGOTTEN:
        if (r->s->restored && (d->copied || (r->t && r->t->admin.ever)))
            return true; /* somebody else was first to settle what it resolves */
        return d->copied && is_below_floor(r);
    case SATCHEL_E_SCOPE: /* a masked column, a line of an item that it does not see; where the server does not know any more what it saw */
        if (!scope_has_profile(r->s, r->i)) return false;
        if (r->s->published && r->f && any_changes(r->f, "mx")) return true;
        return !r->f ? unknown
                     : any_changes(r->f, "f") || r->t->reaches_out || is_below_floor(r) || r->s->restored || d->copied ||
                           died_elsewhere(r);
    case SATCHEL_E_RESOLVED:
        if (r->t && r->t->admin.ever) return true;
        return d->discarded || r->s->restored || d->copied;
    case SATCHEL_E_ROW_MISSING: /* of a copied file also: the server forgets deletes that one of the two has */
        if (goes_on_from_discarded(r)) return true;
        return d->discarded || r->s->restored || d->copied;
    default:
        return false;
    }
}

/* What is parked is not on the server as well, but for what an admin has retried: what the device heard of that is for check_settled. A server that may have
 * forgotten that it took a transaction says that it does not know. */
static void check_not_taken(const refusal *r) {
    const sim_device *d = &r->s->device[r->i];
    if (r->t && r->t->admin.stands == SETTLED_RETRIED) return;
    if (!r->t || !r->s->store || d->copied || d->doubtful || r->code == SATCHEL_E_FORGOTTEN) return;
    unsigned n = (unsigned)(r->t - r->s->txn);
    if (sim_ask(r->s, store_db(r->s->store), "SELECT count(*) FROM ev WHERE id=%u", n))
        sim_fail(r->s, "device %u: transaction %" PRIu64 " (t%u) was refused, and is on the server", r->i, r->number, n);
}

void check_refusal(sim *s, unsigned i, uint64_t number) {
    disk_look(true);
    sqlite3_stmt *q =
        sim_query(s, satchel_db(s->device[i].s), "SELECT code,base,depends,message FROM satchel_outbox WHERE state=3 AND n=?");
    sqlite3_bind_int64(q, 1, (sqlite3_int64)number);
    if (sqlite3_step(q) != SQLITE_ROW) sim_fail(s, "device %u: refused transaction %" PRIu64 " cannot be read", i, number);
    refusal r = {.s = s,
                 .i = i,
                 .number = number,
                 .code = sqlite3_column_int(q, 0),
                 .base = (uint64_t)sqlite3_column_int64(q, 1),
                 .depends = (uint64_t)sqlite3_column_int64(q, 2)};
    r.f = facts_find(s, i, number);
    r.t = history_find(s, i, number);
    if (!is_right(&r))
        sim_fail(s, "device %u: transaction %" PRIu64 " was refused: %s: %s", i, number, satchel_rc_name(r.code),
                 (const char *)sqlite3_column_text(q, 3));
    sqlite3_reset(q);
    check_not_taken(&r);
    disk_look(false);
}

/* What a device retried too late is settled, and stays in its list until its user has seen it. */
#define OPEN_HERE "FROM satchel_rejected WHERE code<>%d"

/* What the server keeps as refused is what its devices have as refused, and none of it was taken. */
static void check_parked(sim *s) {
    sqlite3 *db = store_db(s->store);
    if (sim_ask(s, db, "SELECT count(*) FROM satchel_refused f JOIN satchel_result r USING(id) WHERE f.state='open' AND r.rc=0"))
        sim_fail(s, "a transaction is parked as refused, and was taken");
    for (unsigned i = 0; i < s->ndevices; i++) {
        const sim_device *d = &s->device[i];
        if (!d->s || d->copied || d->doubtful || d->barred || d->revoked || s->restored) continue;
        static const char of_device[] =
            "FROM satchel_refused JOIN satchel_author USING(author) JOIN satchel_device d ON d.id=device"
            " WHERE satchel_refused.state='open' AND d.name='d%u'";
        char count[256], sum[256];
        snprintf(count, sizeof count, "SELECT count(*) %s", of_device);
        snprintf(sum, sizeof sum, "SELECT total(number) %s", of_device);
        int64_t here = sim_ask(s, satchel_db(d->s), "SELECT count(*) " OPEN_HERE, SATCHEL_E_RESOLVED),
                there = sim_ask(s, db, count, d->key);
        if (here != there ||
            sim_ask(s, satchel_db(d->s), "SELECT total(n) " OPEN_HERE, SATCHEL_E_RESOLVED) != sim_ask(s, db, sum, d->key))
            sim_fail(s, "device %u has %" PRId64 " refused transactions, and the server %" PRId64 " of it", i, here, there);
    }
}

/* At rest a device has heard of what was settled of its own refusals. One that was put back, or has a copy, may have those of another incarnation; what is
 * refused as forgotten may be a retry that came too late, and what it came too late for a restored server has forgotten. */
static void check_settled(sim *s, unsigned i) {
    const sim_device *d = &s->device[i];
    if (d->copied || d->doubtful || d->barred || d->revoked) return;
    sqlite3_stmt *q =
        sim_query(s, satchel_db(d->s), "SELECT incarnation,n FROM satchel_outbox WHERE state=3 AND code NOT IN (?,?)");
    sqlite3_bind_int(q, 1, SATCHEL_E_RESOLVED);
    sqlite3_bind_int(q, 2, SATCHEL_E_FORGOTTEN);
    while (sqlite3_step(q) == SQLITE_ROW) {
        int64_t incarnation = sqlite3_column_int64(q, 0), number = sqlite3_column_int64(q, 1);
        static const char settled_there[] =
            "SELECT count(*) FROM satchel_refused f JOIN satchel_author a USING(author) JOIN satchel_device d ON d.id=device"
            " WHERE d.name='d%u' AND incarnation=%" PRId64 " AND number=%" PRId64 " AND f.state<>'open'";
        if (sim_ask(s, store_db(s->store), settled_there, d->key, incarnation, number))
            sim_fail(s, "device %u has refused transaction %" PRId64 " open, which was settled on the server", i, number);
    }
    sqlite3_reset(q);
}

static void check_device(sim *s, unsigned i) {
    sqlite3_stmt *q = NULL;
    if (sqlite3_prepare_v2(satchel_db(s->device[i].s), "SELECT n FROM satchel_rejected", -1, &q, NULL))
        sim_fail(s, "device %u: satchel_rejected cannot be read", i);
    while (sqlite3_step(q) == SQLITE_ROW) {
        check_refusal(s, i, (uint64_t)sqlite3_column_int64(q, 0));
        s->figures.refused++;
        history_discarded(s, i, (uint64_t)sqlite3_column_int64(q, 0));
    }
    sqlite3_finalize(q);
}

void check_refusals(sim *s) {
    check_parked(s);
    disk_look(true);
    for (unsigned i = 0; i < s->ndevices; i++)
        if (s->device[i].s) check_settled(s, i);
    disk_look(false);
    for (unsigned i = 0; i < s->ndevices; i++)
        if (s->device[i].s) check_device(s, i);
}
