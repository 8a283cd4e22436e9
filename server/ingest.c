/* One transaction from arrival to its place in the log, or among the refused. */
#include "server/ingest.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/hlc.h"
#include "protocol/satchel_rc.h"
#include "server/automation_private.h"
#include "server/ingest_private.h"
#include "server/refusal.h"

static int sink_begin(void *ctx, bool again) {
    (void)again;
    buf_clear(&((ingest *)ctx)->captured);
    return SATCHEL_OK;
}

static int sink_part(void *ctx, unsigned number, bool last, const void *changeset, size_t n) {
    ingest *g = ctx;
    (void)number, (void)last;
    buf_put_varint(&g->captured, n);
    buf_put(&g->captured, changeset, n);
    return g->captured.rc;
}

int ingest_new(store *s, ingest **out) {
    *out = NULL;
    ingest *g = calloc(1, sizeof *g);
    if (!g) return SATCHEL_E_NOMEM;
    g->s = s;
    g->undo_points = true;
    scope_log_init(&g->log, &s->cache);
    buf_init(&g->caused, LIMIT_AUTOMATION_BYTES);
    capture_sink sink = {.ctx = g, .begin = sink_begin, .part = sink_part};
    int rc = capture_open(s->db, &sink, &g->capture);
    if (!rc) {
        capture_enable(g->capture, false);
        rc = ingest_prepare(g);
    }
    if (rc) {
        ingest_free(g);
        return rc;
    }
    *out = g;
    return SATCHEL_OK;
}

void ingest_free(ingest *g) {
    if (!g) return;
    ingest_unprepare(g);
    ingest_scope_close(g);
    automation_free(g->rules);
    if (g->capture) capture_close(g->capture);
    scope_log_fini(&g->log);
    buf_fini(&g->orphans);
    buf_fini(&g->unjudged);
    buf_fini(&g->captured);
    buf_fini(&g->caused);
    buf_fini(&g->alerts);
    buf_fini(&g->dangling);
    buf_fini(&g->bad_key);
    buf_fini(&g->bad_text);
    buf_fini(&g->key);
    buf_fini(&g->scratch);
    free(g);
}

/* ---- results ---- */

#define RESULT_COLUMNS "number,rc,seq,effective,depends,tbl,key,message"

int ingest_read_result(sqlite3_stmt *q, buf *hold, msg_result *r) {
    size_t nkey = (size_t)sqlite3_column_bytes(q, 6), ntext = (size_t)sqlite3_column_bytes(q, 7);
    buf_clear(hold);
    buf_put(hold, sqlite3_column_blob(q, 6), nkey);
    buf_put(hold, sqlite3_column_text(q, 7), ntext);
    *r = (msg_result){.number = (uint64_t)sqlite3_column_int64(q, 0),
                      .rc = sqlite3_column_int(q, 1),
                      .seq = (uint64_t)sqlite3_column_int64(q, 2),
                      .effective = (uint64_t)sqlite3_column_int64(q, 3),
                      .depends = (uint64_t)sqlite3_column_int64(q, 4),
                      .table = (uint32_t)sqlite3_column_int64(q, 5),
                      .key = hold->p,
                      .nkey = nkey,
                      .text = (const char *)hold->p + nkey,
                      .ntext = ntext};
    return hold->rc;
}

/* From now on the result is among those that this incarnation is told in its welcome, before any page (N5). */
static int adopt_result(ingest *g, const author_info *author, int64_t from, const push_txn *txn) {
    return db_exec(&g->s->cache,
                   "INSERT OR IGNORE INTO satchel_result(author,number,id,rc,seq,effective,depends,tbl,key,message,at_ms) SELECT"
                   " ?,number,id,rc,seq,effective,depends,tbl,key,message,at_ms FROM satchel_result WHERE author=? AND number=?",
                   "iii", (int64_t)author->author, from, (int64_t)txn->number);
}

static int take_found(ingest *g, const author_info *author, const push_txn *txn, sqlite3_stmt *q, ingest_result *out,
                      bool *found) {
    int rc = db_next(&g->s->cache, q);
    if (rc != 1) return rc;
    *found = true;
    int64_t from = sqlite3_column_int64(q, 8);
    rc = ingest_read_result(q, &out->hold, &out->result);
    sqlite3_reset(q);
    return rc ? rc : adopt_result(g, author, from, txn);
}

/* A clock that is wrong by less makes nothing of before an enrolment look as if it were of after. */
#define DAY_MS INT64_C(86400000)

/* What was written before its device was enrolled and came with the file may be another device's, whose file was put back without its key: a telephone's
 * backup, on the next one. There are few such, and each is looked for with every author. What was refused is the other's to settle, and is judged anew here. */
static int find_with_others(ingest *g, const author_info *author, const push_txn *txn, ingest_result *out, bool *found) {
    if (txn->number > author->shared) return SATCHEL_OK;
    sqlite3_stmt *q =
        db_prepare(&g->s->cache, "SELECT " RESULT_COLUMNS ",a.author FROM satchel_device d CROSS JOIN satchel_author a CROSS JOIN"
                                 " satchel_result r ON r.author=a.author WHERE d.id=? AND d.enrolled_ms>? AND a.device<>d.id AND"
                                 " number=? AND r.id=? AND rc=0");
    db_bind(q, "iiib", author->device, (int64_t)hlc_ms(txn->stamp) - DAY_MS, (int64_t)txn->number, txn->id, (size_t)TXN_ID_BYTES);
    return take_found(g, author, txn, q, out, found);
}

/* What a copy of this file has sent already, under another incarnation, is known by number and id (N3): to a restored server, the later one may come
 * first. */
static int find_elsewhere(ingest *g, const author_info *author, const push_txn *txn, ingest_result *out, bool *found) {
    if (author->alone) return find_with_others(g, author, txn, out, found);
    sqlite3_stmt *q =
        db_prepare(&g->s->cache, "SELECT " RESULT_COLUMNS ",author FROM satchel_author JOIN satchel_result USING(author)"
                                 " WHERE device=? AND author<>? AND number=? AND id=?");
    db_bind(q, "iiib", author->device, (int64_t)author->author, (int64_t)txn->number, txn->id, (size_t)TXN_ID_BYTES);
    int rc = take_found(g, author, txn, q, out, found);
    return rc || *found ? rc : find_with_others(g, author, txn, out, found);
}

static int find_result(ingest *g, const author_info *author, const push_txn *txn, ingest_result *out, bool *found) {
    *found = false;
    if (txn->number > author->last_number) return find_elsewhere(g, author, txn, out, found);
    sqlite3_stmt *q = db_prepare(&g->s->cache, "SELECT " RESULT_COLUMNS ",id FROM satchel_result WHERE author=? AND number=?");
    db_bind(q, "ii", (int64_t)author->author, (int64_t)txn->number);
    int rc = db_next(&g->s->cache, q);
    if (rc < 0) return rc;
    bool same =
        rc == 1 && sqlite3_column_bytes(q, 8) == TXN_ID_BYTES && memcmp(sqlite3_column_blob(q, 8), txn->id, TXN_ID_BYTES) == 0;
    if (same) {
        *found = true;
        rc = ingest_read_result(q, &out->hold, &out->result);
        sqlite3_reset(q);
        return rc;
    }
    if (rc == 1) sqlite3_reset(q);
    if ((rc = find_elsewhere(g, author, txn, out, found))) return rc;
    /* Another id, or a number below the highest that has no result: this file and another both went on from one copy. */
    out->fork = !*found;
    return SATCHEL_OK;
}

static int save_result(ingest *g, const push_txn *txn, const msg_result *r) {
    sqlite3_stmt *q = db_prepare(
        &g->s->cache, "INSERT INTO satchel_result(author,number,id,rc,seq,effective,depends,tbl,root,key,message,at_ms)"
                      " VALUES(?,?,?,?,?,?,?,?,nullif(?,0),?,?,?)");
    db_bind(q, "iibiiiiiib", (int64_t)g->author->author, (int64_t)txn->number, txn->id, (size_t)TXN_ID_BYTES, (int64_t)r->rc,
            (int64_t)r->seq, (int64_t)r->effective, (int64_t)r->depends, (int64_t)r->table, (int64_t)txn->resolves,
            r->nkey ? r->key : NULL, r->nkey);
    if (!q) return db_rc(sqlite3_extended_errcode(g->s->db));
    if (r->ntext) sqlite3_bind_text(q, 11, r->text, (int)r->ntext, SQLITE_STATIC);
    sqlite3_bind_int64(q, 12, (int64_t)g->now_ms);
    return db_run(q);
}

/* ---- refusal ---- */

static int note_refused_rows(ingest *g, const push_txn *part) {
    wire w;
    wire_open(&w, part->delta, part->ndelta);
    delta_reader r;
    delta_open(&r, &w);
    int more;
    while ((more = delta_next(&r, &g->in)) == 1) {
        int rc = ingest_put_key(g, &g->in);
        if (rc == SATCHEL_E_TOO_LARGE) continue; /* no row can have this key */
        if (!rc)
            rc = db_exec(&g->s->cache, "INSERT OR IGNORE INTO satchel_refused_row(author,tbl,key,number) VALUES(?,?,?,?)", "iibi",
                         (int64_t)g->author->author, (int64_t)g->in.table, g->key.p, g->key.n, (int64_t)part->number);
        if (rc) return rc;
    }
    return more;
}

/* Calls `each` for every part, of which number, delta and unseen are set: the staged ones, or the single one of the message. */
static int each_part(ingest *g, const push_txn *txn, int (*each)(ingest *, const push_txn *)) {
    if (txn->part == 0) return each(g, txn);
    sqlite3_stmt *q = NULL;
    int rc = db_rc(sqlite3_prepare_v2(
        g->s->db, "SELECT delta,unseen FROM satchel_stage WHERE author=? AND number=? ORDER BY part", -1, &q, NULL));
    db_bind(q, "ii", (int64_t)g->author->author, (int64_t)txn->number);
    while (!rc && sqlite3_step(q) == SQLITE_ROW) {
        push_txn part = {.number = txn->number,
                         .delta = sqlite3_column_blob(q, 0),
                         .ndelta = (size_t)sqlite3_column_bytes(q, 0),
                         .unseen = sqlite3_column_blob(q, 1),
                         .nunseen = (size_t)sqlite3_column_bytes(q, 1)};
        rc = each(g, &part);
    }
    int end = db_rc(sqlite3_finalize(q));
    return rc ? rc : end;
}

static int tell_refusal(ingest *g, int rc, ingest_result *out) {
    buf_clear(&out->hold);
    buf_put(&out->hold, g->bad_key.p, g->bad_key.n);
    buf_put(&out->hold, g->bad_text.p, g->bad_text.n);
    out->result = (msg_result){.rc = rc,
                               .depends = g->depends,
                               .table = g->bad_table,
                               .key = out->hold.p,
                               .nkey = g->bad_key.n,
                               .text = (const char *)out->hold.p + g->bad_key.n,
                               .ntext = g->bad_text.n};
    if (g->bad_key.rc) return g->bad_key.rc;
    return g->bad_text.rc ? g->bad_text.rc : out->hold.rc;
}

/* N6: what is known of the refusal that a transaction settles: a retry by what it resolves. Anything else may have been refused to another file that has it, and
 * retried there. */
static int find_refusal(ingest *g, const push_txn *txn, refusal *out) {
    *out = (refusal){0};
    if (txn->resolves) return refusal_of(g->s, g->author->author, txn->resolves, txn->id, true, out);
    return g->author->alone ? SATCHEL_OK : refusal_of(g->s, g->author->author, txn->number, txn->id, false, out);
}

/* N6: a retry that is refused stands in the place of what it retried, which nobody is to make as well. */
static int replace(ingest *g, const push_txn *txn) {
    refusal found;
    int rc = find_refusal(g, txn, &found);
    return rc || !found.author ? rc : refusal_settle(g->s, g->author->author, &found, "retried", g->now_ms);
}

static int drop_stage(ingest *g, const author_info *author, uint64_t number) {
    return db_exec(&g->s->cache,
                   "DELETE FROM satchel_stage WHERE author=?1 AND number=?2"
                   " AND NOT EXISTS(SELECT 1 FROM satchel_refused WHERE author=?1 AND number=?2)",
                   "ii", (int64_t)author->author, (int64_t)number);
}

/* What came too late to settle a refusal is nothing to be settled in its turn, or its changes would be made twice. */
static int park(ingest *g, const push_txn *txn, int rc, ingest_result *out) {
    bool open = rc != SATCHEL_E_RESOLVED;
    int err = replace(g, txn);
    if (!err) err = tell_refusal(g, rc, out);
    out->result.number = txn->number;
    if (!err) err = save_result(g, txn, &out->result);
    /* Before it was put back the file may have begun to send another transaction of this number: its parts are none of this. */
    if (!err && !txn->part) err = drop_stage(g, g->author, txn->number);
    if (!err)
        err = db_exec(&g->s->cache,
                      "INSERT INTO satchel_refused(author,number,id,stamp,base,epoch,state,delta) VALUES(?,?,?,?,?,?,?,?)",
                      "iibiiisb", (int64_t)g->author->author, (int64_t)txn->number, txn->id, (size_t)TXN_ID_BYTES,
                      (int64_t)txn->stamp, (int64_t)txn->base, (int64_t)txn->schema_epoch, open ? "open" : "discarded",
                      txn->part ? NULL : txn->delta, txn->ndelta);
    return err || !open ? err : each_part(g, txn, note_refused_rows);
}

/* ---- one transaction ---- */

static int next_hidden(ingest *g) {
    int rc = unseen_next(&g->unseen, &g->hidden);
    g->has_hidden = rc == 1;
    return rc < 0 ? rc : SATCHEL_OK;
}

/* The rows of `unseen` come in the order of the delta's: the next one is this row's, or of one to come. */
static int merge_row(ingest *g) {
    int rc = g->has_hidden ? ingest_put_key(g, &g->in) : SATCHEL_OK;
    g->is_hidden = !rc && g->has_hidden && g->hidden.table == g->in.table && g->hidden.nkey == g->key.n &&
                   memcmp(g->hidden.key, g->key.p, g->key.n) == 0;
    rc = ingest_row(g, &g->in);
    return rc || !g->is_hidden ? rc : next_hidden(g);
}

static int merge_part(ingest *g, const push_txn *part) {
    int rc = SATCHEL_OK, more;
    g->has_hidden = false;
    if (part->nunseen) {
        unseen_open(&g->unseen, part->unseen, part->nunseen);
        rc = next_hidden(g);
    }
    wire w;
    wire_open(&w, part->delta, part->ndelta);
    delta_reader r;
    delta_open(&r, &w);
    while (!rc && (more = delta_next(&r, &g->in)) == 1) rc = merge_row(g);
    g->is_hidden = false;
    if (rc || more) return rc ? rc : more;
    return g->has_hidden ? SATCHEL_E_MALFORMED : SATCHEL_OK;
}

/* N6: a transaction that retries a refused one settles it, unless somebody did before. */
static int settle(ingest *g, const push_txn *txn) {
    refusal found;
    int rc = find_refusal(g, txn, &found);
    if (rc || !found.author) return rc;
    if (!found.open)
        return ingest_refuse(g, SATCHEL_E_RESOLVED, "the refusal of transaction %llu was resolved before",
                             (unsigned long long)found.root);
    return refusal_settle(g->s, g->author->author, &found, "retried", g->now_ms);
}

int ingest_start(ingest *g, author_info *author, uint64_t number, uint64_t base, uint64_t effective, uint64_t now_ms) {
    uint64_t last = g->s->now.seq;
    g->author = author;
    g->from_server = g->writes_server = author->author == 0;
    g->number = number;
    g->base = base < last ? base : last;
    g->now_ms = now_ms;
    g->clock = (field_clock){.stamp = effective, .author = author->author, .seq = store_next_seq(g->s)};
    g->depends = 0;
    g->bad_table = 0;
    g->retries = (ingest_retry){0};
    g->merging_insert = false;
    buf_clear(&g->dangling);
    buf_clear(&g->bad_key);
    buf_clear(&g->bad_text);
    scope_log_begin(&g->log, g->clock, now_ms);
    int rc = ingest_scope_begin(g);
    return rc ? rc : automation_begin(g);
}

/* N3: a transaction that another copy of the file had too, and that is so old that its result may have been forgotten. */
static int check_forgotten(ingest *g, const push_txn *txn) {
    if (g->from_server || g->author->alone || txn->base >= g->s->now.floor) return SATCHEL_OK;
    sqlite3_stmt *q =
        db_prepare(&g->s->cache, "SELECT 1 FROM satchel_author a JOIN satchel_author b USING(device) WHERE a.author=?1 AND"
                                 " b.author<>?1 AND b.last_number>=?2 AND " STORE_MAY_SHARE("?2") " LIMIT 1");
    db_bind(q, "ii", (int64_t)g->author->author, (int64_t)txn->number);
    int rc = db_next(&g->s->cache, q);
    if (rc != 1) return rc;
    sqlite3_reset(q);
    return ingest_refuse(
        g, SATCHEL_E_FORGOTTEN,
        "another copy of this file may have sent transaction %llu before commit %llu, of which results are not kept;"
        " retry it if it is missing, discard it if it is there",
        (unsigned long long)txn->number, (unsigned long long)g->s->now.floor);
}

static int merge_transaction(ingest *g, const push_txn *txn) {
    int rc = settle(g, txn);
    if (txn->resolves) g->retries = (ingest_retry){.is = true, .author = g->author->author, .base = UINT64_MAX};
    if (!rc) rc = check_forgotten(g, txn);
    if (rc) return rc;
    rc = each_part(g, txn, merge_part);
    if (satchel_rc_class(rc) == SATCHEL_CLASS_REFUSED) buf_put(&g->bad_key, g->key.p, g->key.n);
    return rc ? rc : ingest_finish(g);
}

ingest_position ingest_where(const ingest *g) {
    return (ingest_position){.at = g->s->now, .conflicts = g->conflicts, .rows = g->rows, .alerts = g->alerts.n};
}

void ingest_put_back(ingest *g, const ingest_position *before) {
    g->s->now = before->at;
    g->conflicts = before->conflicts;
    g->rows = before->rows;
    if (g->alerts.n > before->alerts) g->alerts.n = before->alerts;
    g->alerts.rc = SATCHEL_OK;
}

void ingest_undo_points(ingest *g, bool on) {
    g->undo_points = on;
}

static int take(ingest *g, author_info *author, const push_txn *txn, uint64_t now_ms, ingest_result *out) {
    ingest_position before = ingest_where(g);
    int clamped = 0;
    uint64_t effective = hlc_effective(txn->effective ? txn->effective : txn->stamp, author->last_effective, now_ms, &clamped);
    int rc = ingest_start(g, author, txn->number, txn->base, effective, now_ms);
    if (!rc && g->undo_points) rc = store_savepoint(g->s);
    if (rc) return rc;
    rc = merge_transaction(g, txn);
    if (rc && g->undo_points) store_savepoint_rollback(g->s);
    if (rc) ingest_put_back(g, &before);
    if (satchel_rc_class(rc) == SATCHEL_CLASS_REFUSED) {
        if (!g->undo_points) return INGEST_AGAIN;
        rc = park(g, txn, rc, out);
    } else if (!rc) {
        if (g->undo_points) rc = store_savepoint_release(g->s);
        out->result = (msg_result){.number = txn->number, .seq = g->clock.seq, .effective = effective};
        if (!rc) rc = save_result(g, txn, &out->result);
        if (rc) return rc;
        author->last_effective = effective;
        if (g->s->now.high_stamp < effective) g->s->now.high_stamp = effective;
        rc = automation_fire(g);
    }
    if (rc) return rc;
    author->last_number = txn->number;
    out->clamped = clamped != 0;
    return txn->part ? drop_stage(g, author, txn->number) : SATCHEL_OK;
}

/* SATCHEL_E_ORDER unless every part before this one, and nothing else, is here under its id. */
static int check_part(ingest *g, const author_info *author, const push_txn *txn) {
    sqlite3_stmt *q = db_prepare(&g->s->cache, "SELECT count(*),sum(txn=?) FROM satchel_stage WHERE author=? AND number=?");
    db_bind(q, "bii", txn->id, (size_t)TXN_ID_BYTES, (int64_t)author->author, (int64_t)txn->number);
    int rc = db_next(&g->s->cache, q);
    if (rc < 0) return rc;
    int64_t parts = sqlite3_column_int64(q, 0), same = sqlite3_column_int64(q, 1);
    sqlite3_reset(q);
    return parts == (int64_t)txn->part && same == parts ? SATCHEL_OK : SATCHEL_E_ORDER;
}

/* Keeps one part of a large transaction; parts come in order, and a first one forgets what an earlier try left. */
static int stage(ingest *g, const author_info *author, const push_txn *txn) {
    int rc = txn->part
                 ? check_part(g, author, txn)
                 : db_exec(&g->s->cache,
                           "DELETE FROM satchel_stage WHERE author=? AND number NOT IN (SELECT number FROM satchel_refused WHERE"
                           " satchel_refused.author=satchel_stage.author AND state='open')",
                           "i", (int64_t)author->author);
    if (rc) return rc;
    return db_exec(&g->s->cache, "INSERT INTO satchel_stage(author,number,part,txn,delta,unseen) VALUES(?,?,?,?,?,?)", "iiibbb",
                   (int64_t)author->author, (int64_t)txn->number, (int64_t)txn->part, txn->id, (size_t)TXN_ID_BYTES, txn->delta,
                   txn->ndelta, txn->unseen, txn->nunseen);
}

int ingest_push(ingest *g, author_info *author, const push_txn *txn, uint64_t now_ms, ingest_result *out) {
    out->fork = out->staged = out->known = out->clamped = false;
    buf_clear(&out->hold);
    bool found;
    int rc = find_result(g, author, txn, out, &found);
    if (rc || out->fork) return rc;
    if (found) {
        out->known = true;
        out->staged = !txn->last; /* a result is given once, with the last part */
        /* It may have been found under another incarnation, after parts of it came under this one. */
        if (author->last_number < txn->number) author->last_number = txn->number;
        return txn->part ? drop_stage(g, author, txn->number) : SATCHEL_OK;
    }
    if (txn->part || !txn->last) {
        rc = stage(g, author, txn);
        out->staged = !txn->last;
        if (rc || out->staged) return rc;
    }
    return take(g, author, txn, now_ms, out);
}

int ingest_author_save(ingest *g, const author_info *author) {
    return db_exec(&g->s->cache, "UPDATE satchel_author SET last_number=?,last_effective=? WHERE author=?", "iii",
                   (int64_t)author->last_number, (int64_t)author->last_effective, (int64_t)author->author);
}

int ingest_program(ingest *g, const ingest_program_txn *txn, uint64_t now_ms, ingest_result *out) {
    author_info author = {.author = txn->author, .alone = true};
    const push_txn delta = {.delta = txn->delta, .ndelta = txn->ndelta};
    ingest_position before = ingest_where(g);
    uint64_t effective = hlc_next(before.at.high_stamp, now_ms);
    int rc = ingest_start(g, &author, 0, txn->base, effective, now_ms);
    g->writes_server = txn->writes_server;
    g->retries = txn->retries;
    if (!rc) rc = store_savepoint(g->s);
    if (rc) return rc;
    rc = merge_transaction(g, &delta);
    bool undone = rc != SATCHEL_OK;
    if (undone) {
        store_savepoint_rollback(g->s);
        ingest_put_back(g, &before);
    }
    if (satchel_rc_class(rc) == SATCHEL_CLASS_REFUSED) {
        rc = tell_refusal(g, rc, out);
    } else if (!undone) {
        rc = store_savepoint_release(g->s);
        out->result = (msg_result){.seq = g->clock.seq, .effective = effective};
        g->s->now.high_stamp = effective;
        if (!rc) rc = automation_fire(g);
    }
    g->author = NULL;
    return rc;
}

void ingest_alerts(ingest *g, buf *lines) {
    buf_clear(lines);
    buf_put(lines, g->alerts.p, g->alerts.n);
    buf_clear(&g->alerts);
}

uint64_t ingest_rows(const ingest *g) {
    return g->rows;
}

uint64_t ingest_conflicts(const ingest *g) {
    return g->conflicts;
}

/* ---- SQL of the server's own authors ---- */

int ingest_merge_captured(ingest *g) {
    const uint8_t *p = g->captured.p, *end = p + g->captured.n;
    static _Thread_local changeset_change change;
    uint64_t n;
    while (buf_get_varint(&p, end, &n)) {
        changeset_reader r;
        changeset_open(&r, p, n);
        p += n;
        int more;
        while ((more = changeset_next(&r, &change)) == 1) {
            int rc = translate_change(g->schema, g->schema->epoch, &change, &g->in);
            if (!rc) rc = ingest_row(g, &g->in);
            if (rc) return rc;
        }
        if (more < 0) return more;
    }
    return SATCHEL_OK;
}

int ingest_capture_begin(ingest *g) {
    int rc = store_savepoint(g->s);
    buf_clear(&g->captured);
    capture_reset(g->capture);
    capture_enable(g->capture, !rc);
    return rc;
}

/* What it changed nobody has looked at. */
void ingest_capture_cancel(ingest *g) {
    capture_reset(g->capture);
    capture_enable(g->capture, false);
    store_savepoint_undo(g->s);
}

int ingest_capture_end(ingest *g, buf *error) {
    int rc = capture_flush(g->capture);
    if (rc) buf_printf(error, "%s", capture_error(g->capture));
    ingest_capture_cancel(g);
    return rc;
}

int ingest_author_end(ingest *g, uint64_t now_ms, buf *error) {
    bool changed;
    ingest_position before;
    int rc = ingest_capture_end(g, error);
    if (rc || !g->captured.n) return rc;
    rc = ingest_own_begin(g, now_ms, &before);
    if (!rc) rc = ingest_merge_captured(g);
    rc = ingest_own_end(g, &before, rc, &changed);
    if (rc && g->bad_text.n) buf_printf(error, "%s: %.*s", satchel_rc_name(rc), (int)g->bad_text.n, (const char *)g->bad_text.p);
    return rc;
}

/* ---- transactions of the server's own author ---- */

int ingest_own_begin(ingest *g, uint64_t now_ms, ingest_position *before) {
    static author_info server;
    *before = ingest_where(g);
    return ingest_start(g, &server, 0, before->at.seq, hlc_next(before->at.high_stamp, now_ms), now_ms);
}

/* A conflict is of a commit, though nothing else came of that; and so are rows that came and went, of which nobody is told. */
int ingest_own_end(ingest *g, const ingest_position *before, int rc, bool *changed) {
    if (!rc) rc = ingest_finish(g);
    *changed = !rc && (g->rows > before->rows || g->conflicts > before->conflicts);
    if (!*changed) {
        ingest_put_back(g, before);
        return rc;
    }
    g->s->now.high_stamp = g->clock.stamp;
    rc = automation_fire(g);
    if (rc) ingest_put_back(g, before);
    return rc;
}
