#include "tests/property/convergence.h"

#include <stdio.h>
#include <string.h>

static bool is_value(const entry *e) {
    return e->add == 0;
}

void ledger_witness(const world *w, unsigned i, char out[64]) {
    snprintf(out, 64, "%c:%u:%d:%u", is_value(&w->ledger[i]) ? 'v' : 'n', w->ledger[i].row, w->ledger[i].add, i);
}

static int64_t witnesses(world *w, sqlite3 *db, unsigned i) {
    char witness[64];
    ledger_witness(w, i, witness);
    return ask(w, db, "SELECT count(*) FROM ev WHERE what='%s'", witness);
}

static bool knows(const entry *e, unsigned other) {
    return e->known[other / 8] >> other % 8 & 1;
}

static void note_value(world *w, const char *text, uint8_t *seen) {
    unsigned i;
    if (!text || sscanf(text, "a%u", &i) != 1) return;
    CHECK(w, i < MAX_ENTRIES);
    seen[i / 8] |= (uint8_t)(1u << i % 8);
}

static void note_values(world *w, sqlite3 *db, const char *query, uint8_t *seen) {
    sqlite3_stmt *q = NULL;
    CHECK(w, sqlite3_prepare_v2(db, query, -1, &q, NULL) == SQLITE_OK);
    while (sqlite3_step(q) == SQLITE_ROW) note_value(w, (const char *)sqlite3_column_text(q, 0), seen);
    sqlite3_finalize(q);
}

void ledger_look(world *w, unsigned by) {
    sqlite3 *db = satchel_db(w->d[by].s);
    bool items = ask(w, db, "SELECT count(*) FROM pragma_table_info('item') WHERE name IN ('a','title')") == 1;
    bool renamed = ask(w, db, "SELECT count(*) FROM pragma_table_info('item') WHERE name='title'") == 1;
    if (items) note_values(w, db, renamed ? "SELECT title FROM item" : "SELECT a FROM item", w->d[by].seen);
}

/* The server sees all that it has: its store has a witness of each value that it ever had. */
static void note_known(world *w, unsigned by, entry *e) {
    if (by == SERVER) {
        note_values(w, store_db(w->st), "SELECT 'a' || substr(what, 7) FROM ev WHERE what LIKE 'v:_:0:%'", e->known);
        return;
    }
    ledger_look(w, by);
    memcpy(e->known, w->d[by].seen, sizeof e->known);
}

unsigned ledger_add(world *w, unsigned by, unsigned row, int add) {
    CHECK(w, w->nledger < MAX_ENTRIES);
    entry *e = &w->ledger[w->nledger];
    *e = (entry){.row = row, .add = add};
    if (is_value(e)) note_known(w, by, e);
    e->given = by == SERVER;
    return w->nledger++;
}

void ledger_committed(world *w, unsigned by, unsigned first, bool done) {
    if (first == w->nledger) return;
    CHECK(w, done);
    int64_t number = ask(w, satchel_db(w->d[by].s), "SELECT max(n) FROM satchel_outbox");
    for (unsigned i = first; i < w->nledger; i++) {
        w->ledger[i].number = (uint64_t)number;
        w->ledger[i].holders = 1u << by;
    }
}

void ledger_copied(world *w, unsigned from, unsigned to) {
    for (unsigned i = 0; i < w->nledger; i++)
        if (w->ledger[i].holders >> from & 1) w->ledger[i].holders |= 1u << to;
    memcpy(w->d[to].seen, w->d[from].seen, sizeof w->d[to].seen);
}

void ledger_saved(world *w, unsigned by) {
    memcpy(w->d[by].seen_saved, w->d[by].seen, sizeof w->d[by].seen);
    for (entry *e = w->ledger; e < w->ledger + w->nledger; e++) e->saved = (e->saved & ~(1u << by)) | (e->holders & 1u << by);
}

/* What no file has any more is on the server if it was accepted, and may be on its way there in no other manner. */
static void lose(world *w, unsigned by, unsigned i) {
    entry *e = &w->ledger[i];
    e->holders &= ~(1u << by);
    if (!e->holders && witnesses(w, store_db(w->st), i)) e->given = true;
}

void ledger_put_back(world *w, unsigned by) {
    memcpy(w->d[by].seen, w->d[by].seen_saved, sizeof w->d[by].seen);
    for (unsigned i = 0; i < w->nledger; i++) {
        if (w->ledger[i].holders >> by & 1) lose(w, by, i);
        w->ledger[i].holders |= w->ledger[i].saved & 1u << by;
    }
}

void ledger_discarded(world *w, unsigned by, uint64_t number) {
    for (unsigned i = 0; i < w->nledger; i++)
        if (w->ledger[i].holders >> by & 1 && w->ledger[i].number == number) lose(w, by, i);
}

void ledger_backed_up(world *w) {
    for (unsigned i = 0; i < w->nledger; i++) w->ledger[i].in_backup = witnesses(w, store_db(w->st), i) != 0;
}

void ledger_restored(world *w) {
    for (entry *e = w->ledger; e < w->ledger + w->nledger; e++) e->given = e->given && e->in_backup;
}

/* ---- the end ---- */

static bool is_logged(world *w, unsigned i) {
    char text[16];
    int n = snprintf(text, sizeof text, "a%u", i);
    /* A stored text is its type, its length and its bytes. */
    return ask(w, store_db(w->st),
               "SELECT count(*) FROM satchel_conflict WHERE length(lost)=%d AND substr(lost,3)=CAST('%s' AS BLOB)", n + 2,
               text) > 0;
}

/* Somebody who knew it wrote another value, and that is on the server. */
static bool is_overwritten(const world *w, const bool *present, unsigned i) {
    for (unsigned j = 0; j < w->nledger; j++)
        if (present[j] && j != i && w->ledger[j].row == w->ledger[i].row && is_value(&w->ledger[j]) && knows(&w->ledger[j], i))
            return true;
    return false;
}

static void check_value(world *w, const bool *present, unsigned i) {
    bool stands = ask(w, store_db(w->st), "SELECT %s='a%u' FROM item WHERE id=x'0%u'", w->migrations < 3 ? "a" : "title", i,
                      w->ledger[i].row) == 1;
    if (!stands && !is_overwritten(w, present, i) && !is_logged(w, i))
        fail_msg("seed %" PRIu64 ": value a%u of row %u was lost in silence", w->seed, i, w->ledger[i].row);
}

void ledger_check(world *w) {
    int64_t counted[ROWS] = {0};
    bool present[MAX_ENTRIES];
    for (unsigned i = 0; i < w->nledger; i++) {
        const entry *e = &w->ledger[i];
        int64_t n = witnesses(w, store_db(w->st), i);
        CHECK(w, n <= 1);
        present[i] = n == 1;
        if (!n && (e->holders || e->given))
            fail_msg("seed %" PRIu64 ": entry %u (row %u, %d, transaction %" PRIu64 ") is not on the server; files %x", w->seed,
                     i, e->row, e->add, e->number, e->holders);
        if (n) counted[e->row] += e->add;
    }
    for (unsigned row = 0; row < ROWS; row++) {
        int64_t n = ask(w, store_db(w->st), "SELECT n FROM item WHERE id=x'0%u'", row);
        if (n != counted[row])
            fail_msg("seed %" PRIu64 ": counter %u is %" PRId64 ", was counted %" PRId64, w->seed, row, n, counted[row]);
    }
    for (unsigned i = 0; i < w->nledger; i++)
        if (present[i] && is_value(&w->ledger[i])) check_value(w, present, i);
}
