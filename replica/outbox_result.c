#include <string.h>

#include "protocol/hlc.h"
#include "protocol/satchel_rc.h"
#include "replica/outbox.h"
#include "replica/overlay.h"
#include "replica/rows.h"

static int explain(file *f, int rc) {
    return rc ? file_db_error(f, "cannot write the outbox") : SATCHEL_OK;
}

static int next_number(file *f, sqlite3_stmt *q, uint64_t after, uint64_t *number) {
    db_bind(q, "i", (int64_t)after);
    int rc = db_next(&f->sql, q);
    if (rc < 0) return explain(f, rc);
    if (rc == 1) {
        *number = (uint64_t)sqlite3_column_int64(q, 0);
        sqlite3_reset(q);
    }
    return rc;
}

/* N1: raise the floors before a row goes: its number and its stamp are never given again. */
static void raise_floors(file *f, const outbox_txn *t) {
    if (f->state.number_floor < t->number) f->state.number_floor = t->number;
    f->state.hlc = hlc_receive(f->state.hlc, t->stamp);
}

static int remove_txn(file *f, const outbox_txn *t) {
    raise_floors(f, t);
    int rc = db_exec(&f->sql, "DELETE FROM satchel_outbox_part WHERE n=?", "i", (int64_t)t->number);
    if (!rc) rc = db_exec(&f->sql, "DELETE FROM satchel_outbox WHERE n=?", "i", (int64_t)t->number);
    return explain(f, rc);
}

int outbox_confirm(file *f, const outbox_txn *t) {
    if (t->seq <= f->state.backup_seq) return remove_txn(f, t);
    return explain(f, db_exec(&f->sql, "UPDATE satchel_outbox SET state=2 WHERE n=?", "i", (int64_t)t->number));
}

/* ---- results ---- */

static int take(file *f, outbox_txn *t, const msg_result *r) {
    t->seq = r->seq;
    t->effective = r->effective;
    t->state = TXN_ACCEPTED;
    int rc = explain(f, db_exec(&f->sql, "UPDATE satchel_outbox SET state=1, seq=?, effective=? WHERE n=?", "iii",
                                (int64_t)r->seq, (int64_t)r->effective, (int64_t)t->number));
    if (rc) return rc;
    f->state.hlc = hlc_receive(f->state.hlc, r->effective);
    overlay_accepted(f->overlay, t->number, r->seq);
    /* N5 forbids it, but a result that comes late must not leave its changes counted twice. */
    if (r->seq <= f->state.cursor) return overlay_confirm(f->overlay, f->state.cursor);
    return f->state.snapshot && r->seq <= f->state.snapshot_seq ? overlay_show(f->overlay, t) : SATCHEL_OK;
}

static int refuse(file *f, const outbox_txn *t, const msg_result *r, uint64_t now_ms) {
    const schema_table *table = r->table ? schema_table_by_id(f->schema, r->table) : NULL;
    buf key, text;
    buf_init(&key, 0);
    buf_init(&text, 0);
    rows_key_text(r->key, r->nkey, &key);
    buf_printf(&text, "%.*s", (int)r->ntext, r->ntext ? r->text : "");
    buf_put_byte(&key, 0);
    int rc = key.rc ? key.rc : text.rc;
    if (!rc) rc = overlay_leave(f->overlay, t);
    if (!rc)
        rc = explain(
            f, db_exec(&f->sql,
                       "UPDATE satchel_outbox SET state=3, code=?, message=?, tbl=?, key=?, depends=?, settled_ms=? WHERE n=?",
                       "isssiii", (int64_t)r->rc, (const char *)text.p, table ? table->name : NULL, (const char *)key.p,
                       (int64_t)r->depends, (int64_t)now_ms, (int64_t)t->number));
    buf_fini(&text);
    buf_fini(&key);
    return rc;
}

int outbox_result(file *f, const msg_result *r, uint64_t now_ms, bool *changed) {
    outbox_txn t;
    *changed = false;
    int rc = outbox_get(f, r->number, &t);
    if (rc == SATCHEL_E_NOT_FOUND) return SATCHEL_OK; /* pruned, or another file's of this device */
    if (rc || t.state != TXN_PENDING) return rc;
    *changed = true;
    return r->rc ? refuse(f, &t, r, now_ms) : take(f, &t, r);
}

int outbox_refuse(file *f, const outbox_txn *t, int rc, const char *text, uint64_t now_ms) {
    msg_result r = {.number = t->number, .rc = rc, .text = text, .ntext = strlen(text)};
    rc = refuse(f, t, &r, now_ms);
    /* What was sent before may have arrived. */
    if (rc || t->number <= f->state.sent_number) return rc;
    return explain(f, db_exec(&f->sql, "UPDATE satchel_outbox SET incarnation=0 WHERE n=?", "i", (int64_t)t->number));
}

int outbox_settle(file *f) {
    outbox_txn t;
    uint64_t last;
    int rc = outbox_next(f, f->state.settled_number, &t);
    if (rc < 0) return rc;
    if (rc == 1) {
        f->state.settled_number = t.number - 1;
        return SATCHEL_OK;
    }
    rc = outbox_last_number(f, &last);
    if (!rc && last > f->state.settled_number) f->state.settled_number = last;
    return rc;
}

/* ---- forks and restored servers ---- */

int outbox_fork(file *f, uint32_t incarnation) {
    /* All that wait: a conversation takes one incarnation, and what the server knows of it knows by its id. What was sent stays sent. */
    int rc = db_exec(&f->sql, "UPDATE satchel_outbox SET incarnation=? WHERE state=0", "i", (int64_t)incarnation);
    if (rc) return explain(f, rc);
    f->state.incarnation = incarnation;
    return SATCHEL_OK;
}

/* Whether what was settled as of `seq` may have been lost by a server that was put back to ?1: those of the commit itself may have come after the backup. */
#define MAY_BE_LOST "coalesce(seq,0) NOT BETWEEN 1 AND ?1-1"
/* Kept as long as somebody else's word alone settled it. */
#define HAS_CHANGES "(changes IS NOT NULL OR parts>0)"

/* What is not on the server any more is undone here: the settling of refusals by others, and that the server was told of discards. */
static int rewind_settled(file *f, uint64_t epoch_start) {
    int rc = db_exec(&f->sql,
                     "UPDATE satchel_outbox SET state=3, seq=-1 WHERE state>=3 AND code<>0 AND " HAS_CHANGES
                     " AND (state=4 OR code=?2) AND " MAY_BE_LOST,
                     "ii", (int64_t)epoch_start, (int64_t)SATCHEL_E_RESOLVED);
    if (!rc)
        rc = db_exec(&f->sql, "UPDATE satchel_outbox SET seq=NULL WHERE state>=3 AND state=4 AND " MAY_BE_LOST, "i",
                     (int64_t)epoch_start);
    return explain(f, rc);
}

int outbox_rewind(file *f, uint64_t epoch_start) {
    int64_t first;
    /* Else pages go on from the cursor, and never tell again what stands beneath pending changes as of it. */
    bool holds_lost = !f->state.placed || f->state.cursor > epoch_start;
    if (f->state.cursor > epoch_start) f->state.cursor = epoch_start;
    /* Those of before a fork too go under this file's own incarnation: a copy that sends them as well is known by their ids (N3). */
    int rc = db_exec(&f->sql, "UPDATE satchel_outbox SET state=0, seq=NULL, incarnation=? WHERE state IN (1, 2) AND seq>?", "ii",
                     (int64_t)f->state.incarnation, (int64_t)epoch_start);
    if (!rc) rc = db_exec(&f->sql, "UPDATE satchel_outbox SET base=?1 WHERE state=0 AND base>?1", "i", (int64_t)epoch_start);
    if (!rc) rc = db_integer(&f->sql, "SELECT min(n) FROM satchel_outbox WHERE state=0", 0, &first);
    if (rc) return explain(f, rc);
    if (first && f->state.settled_number >= (uint64_t)first) f->state.settled_number = (uint64_t)first - 1;
    rc = rewind_settled(f, epoch_start);
    if (rc) return rc;
    f->state.overlay++;
    overlay_invalidate(f->overlay);
    return holds_lost ? overlay_rewind(f->overlay, epoch_start) : overlay_refresh(f->overlay);
}

#define REOPENED "state>=3 AND state=3 AND seq=-1"

int outbox_next_reopened(file *f, uint64_t after, uint64_t *number) {
    return next_number(f, db_prepare(&f->sql, "SELECT n FROM satchel_outbox WHERE " REOPENED " AND n>? ORDER BY n LIMIT 1"),
                       after, number);
}

#define LATE_TEXT                                                                                                                \
    "the server was put back to before the refusal that this resolves was settled; retry it if it is missing, discard it if it is there"

/* A retry that was late, which the server does not know of any more, stands for what nobody has; and whether that was made the server cannot know. */
int outbox_heard_all(file *f) {
    return explain(f, db_exec(&f->sql,
                              "UPDATE satchel_outbox SET seq=NULL, message=CASE code WHEN ?1 THEN ?3 ELSE message END,"
                              " code=CASE code WHEN ?1 THEN ?2 ELSE code END WHERE " REOPENED,
                              "iis", (int64_t)SATCHEL_E_RESOLVED, (int64_t)SATCHEL_E_FORGOTTEN, LATE_TEXT));
}

int outbox_place_settled(file *f, uint64_t head) {
    return explain(f, db_exec(&f->sql,
                              "UPDATE satchel_outbox SET seq=? WHERE state>=3 AND ((state=4 AND seq=0) OR (state=3 AND code=? AND"
                              " seq IS NULL))",
                              "ii", (int64_t)head, (int64_t)SATCHEL_E_RESOLVED));
}

/* ---- pruning and discarding ---- */

#define PRUNE_AT_ONCE 500

int outbox_prune(file *f, bool *more) {
    *more = false;
    for (unsigned i = 0; i < PRUNE_AT_ONCE; i++) {
        sqlite3_stmt *q = db_prepare(&f->sql, "SELECT n, stamp FROM satchel_outbox WHERE (state=2 AND seq<=?1)"
                                              " OR (state=4 AND (code=0 OR (seq>0 AND seq<?1))) LIMIT 1");
        db_bind(q, "i", (int64_t)f->state.backup_seq);
        int rc = db_next(&f->sql, q);
        if (rc <= 0) return explain(f, rc);
        outbox_txn t = {.number = (uint64_t)sqlite3_column_int64(q, 0), .stamp = (uint64_t)sqlite3_column_int64(q, 1)};
        sqlite3_reset(q);
        rc = remove_txn(f, &t);
        if (rc) return rc;
    }
    *more = true;
    return SATCHEL_OK;
}

/* A code that is not 0 says that the server knows of a refusal and is to be told. */
static int mark_settled(file *f, const outbox_txn *t) {
    return explain(f, db_exec(&f->sql, "UPDATE satchel_outbox SET state=4, seq=NULL, settled_ms=? WHERE n=?", "ii",
                              (int64_t)f->env.now_ms(f->env.ctx), (int64_t)t->number));
}

/* By its own people: the changes are of no more use. */
static int mark_discarded(file *f, const outbox_txn *t) {
    int rc = db_exec(&f->sql, "DELETE FROM satchel_outbox_part WHERE n=?", "i", (int64_t)t->number);
    if (!rc) rc = db_exec(&f->sql, "UPDATE satchel_outbox SET parts=0, changes=NULL WHERE n=?", "i", (int64_t)t->number);
    return rc ? explain(f, rc) : mark_settled(f, t);
}

/* The refused transaction that the server means: by its own number, or, where a server that was put back has lost its refusal, by that of what it was to retry. */
static int find_refused(file *f, uint64_t number, outbox_txn *t) {
    sqlite3_stmt *q =
        db_prepare(&f->sql, "SELECT n FROM satchel_outbox WHERE state>=3 AND state=3 AND ?1 IN (n, resolves) LIMIT 1");
    uint64_t n;
    int rc = next_number(f, q, number, &n);
    return rc == 1 ? outbox_get(f, n, t) : rc ? rc : SATCHEL_E_NOT_FOUND;
}

int outbox_settled_there(file *f, const msg_result *r, uint64_t *ended) {
    outbox_txn t;
    *ended = 0;
    int rc = find_refused(f, r->number, &t);
    if (rc) return rc == SATCHEL_E_NOT_FOUND ? SATCHEL_OK : rc;
    /* One that was late itself was settled by nobody: it stays, and is not open again. */
    if (t.code == SATCHEL_E_RESOLVED)
        return explain(f, db_exec(&f->sql, "UPDATE satchel_outbox SET seq=NULL WHERE n=? AND " REOPENED, "i", (int64_t)t.number));
    *ended = t.number;
    return mark_settled(f, &t);
}

/* The server never heard of it. To it a refusal that this one was to resolve is open, and is what was discarded. */
static int discard_ungiven(file *f, const outbox_txn *t) {
    int rc = explain(f, db_exec(&f->sql, "UPDATE satchel_outbox SET incarnation=0, code=? WHERE n=?", "ii",
                                t->resolves ? (int64_t)SATCHEL_E_RESOLVED : (int64_t)0, (int64_t)t->number));
    return rc ? rc : mark_discarded(f, t);
}

static int settle_moot(file *f, uint64_t number) {
    outbox_txn t;
    int rc = outbox_get(f, number, &t);
    if (rc) return rc;
    return t.incarnation ? mark_settled(f, &t) : discard_ungiven(f, &t);
}

int outbox_settle_moot(file *f, uint64_t number) {
    int rc = file_begin(f);
    return rc ? rc : file_end(f, settle_moot(f, number));
}

static int discard(file *f, uint64_t number) {
    outbox_txn t;
    int rc = outbox_get(f, number, &t);
    if (rc) return rc;
    if (t.state == TXN_PENDING) {
        if (number <= f->state.sent_number)
            return file_fail(f, SATCHEL_E_BUSY, "transaction %llu was sent; its result is awaited", (unsigned long long)number);
        rc = overlay_leave(f->overlay, &t);
        return rc ? rc : discard_ungiven(f, &t);
    }
    if (t.state == TXN_REFUSED && t.code == SATCHEL_E_RESOLVED) return mark_settled(f, &t);
    if (t.state == TXN_REFUSED) return t.incarnation ? mark_discarded(f, &t) : discard_ungiven(f, &t);
    return file_fail(f, SATCHEL_E_RESOLVED, "transaction %llu was accepted or resolved before", (unsigned long long)number);
}

int outbox_discard(file *f, uint64_t number) {
    int rc = file_begin(f);
    return rc ? rc : file_end(f, discard(f, number));
}

#define UNTOLD "state>=3 AND state=4 AND code<>0 AND seq IS NULL"

int outbox_next_untold(file *f, uint64_t after, uint64_t *number) {
    return next_number(f, db_prepare(&f->sql, "SELECT n FROM satchel_outbox WHERE " UNTOLD " AND n>? ORDER BY n LIMIT 1"), after,
                       number);
}

int outbox_count_untold(file *f, uint64_t up_to, uint64_t *n) {
    sqlite3_stmt *q = db_prepare(&f->sql, "SELECT count(*) FROM satchel_outbox WHERE " UNTOLD " AND n<=?");
    db_bind(q, "i", (int64_t)up_to);
    int rc = db_next(&f->sql, q);
    if (rc < 0) return explain(f, rc);
    *n = (uint64_t)sqlite3_column_int64(q, 0);
    sqlite3_reset(q);
    return SATCHEL_OK;
}

int outbox_told(file *f, uint64_t number) {
    return explain(f, db_exec(&f->sql, "UPDATE satchel_outbox SET seq=0 WHERE " UNTOLD " AND n<=?", "i", (int64_t)number));
}
