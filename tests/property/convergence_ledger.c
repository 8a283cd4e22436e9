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

/* A file has the witness of each value that it ever knew. */
static void note_known(world *w, sqlite3 *db, entry *e) {
    sqlite3_stmt *q = NULL;
    CHECK(w, sqlite3_prepare_v2(db, "SELECT what FROM ev WHERE what LIKE 'v:%'", -1, &q, NULL) == SQLITE_OK);
    while (sqlite3_step(q) == SQLITE_ROW) {
        unsigned row, other;
        CHECK(w, sscanf((const char *)sqlite3_column_text(q, 0), "v:%u:0:%u", &row, &other) == 2);
        if (row == e->row) e->known[other / 8] |= (uint8_t)(1u << other % 8);
    }
    sqlite3_finalize(q);
}

unsigned ledger_add(world *w, unsigned by, unsigned row, int add) {
    CHECK(w, w->nledger < MAX_ENTRIES);
    entry *e = &w->ledger[w->nledger];
    *e = (entry){.row = row, .add = add};
    if (is_value(e)) note_known(w, by == SERVER ? store_db(w->st) : satchel_db(w->d[by].s), e);
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
}

void ledger_saved(world *w, unsigned by) {
    for (entry *e = w->ledger; e < w->ledger + w->nledger; e++) e->saved = (e->saved & ~(1u << by)) | (e->holders & 1u << by);
}

/* What no file has any more is on the server if it was accepted, and may be on its way there in no other manner. */
static void lose(world *w, unsigned by, unsigned i) {
    entry *e = &w->ledger[i];
    e->holders &= ~(1u << by);
    if (!e->holders && witnesses(w, store_db(w->st), i)) e->given = true;
}

void ledger_put_back(world *w, unsigned by) {
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
        if (present[j] && j != i && is_value(&w->ledger[j]) && knows(&w->ledger[j], i)) return true;
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
