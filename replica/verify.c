/* satchel_verify: the file, the capture, what waits in the outbox, what was noted of the server, and the overlay, against each other. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "protocol/changeset.h"
#include "protocol/satchel_rc.h"
#include "replica/file.h"
#include "replica/outbox.h"
#include "replica/overlay.h"

#define LINES_SHOWN 100u

typedef struct checking {
    file *f;
    buf *report;
    unsigned faults;
} checking;

static void found(checking *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void found(checking *c, const char *format, ...) {
    char text[LIMIT_TEXT_BYTES];
    va_list args;
    if (c->faults++ >= LINES_SHOWN) return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    buf_printf(c->report, "%s\n", text);
}

/* True for codes that tell of a fault, not of failing to look. */
static bool is_fault(int rc) {
    return rc == SATCHEL_E_CORRUPT || rc == SATCHEL_E_UNFLUSHED || rc == SATCHEL_E_TABLE_SHAPE;
}

static int check_integrity(checking *c) {
    sqlite3_stmt *q = db_prepare(&c->f->sql, "PRAGMA main.integrity_check(20)");
    int rc;
    while ((rc = db_next(&c->f->sql, q)) == 1) {
        const char *line = (const char *)sqlite3_column_text(q, 0);
        if (!line || strcmp(line, "ok") != 0) found(c, "integrity: %s", line ? line : "");
    }
    return rc;
}

static int check_capture(checking *c) {
    buf words;
    buf_init(&words, 0);
    int rc = c->f->schema->epoch ? capture_check(c->f->db, c->f->schema, &words) : SATCHEL_OK;
    if (is_fault(rc)) {
        found(c, "capture: %.*s", (int)words.n, words.p ? (const char *)words.p : "");
        rc = SATCHEL_OK;
    }
    buf_fini(&words);
    return rc;
}

/* ---- the outbox ---- */

#define PARTS "(SELECT count(*) FROM satchel_outbox_part p WHERE p.n=o.n)"

/* Each row of a query is a fault of the transaction with that number. */
static const struct {
    const char *sql, *fault;
} CHECKS[] = {
    {"SELECT n FROM satchel_outbox WHERE state NOT BETWEEN 0 AND 4 OR length(id)<>8", "has no state, or no id"},
    {"SELECT n FROM satchel_outbox, satchel_state s WHERE satchel_outbox.epoch<1 OR satchel_outbox.epoch>s.schema_epoch",
     "was written under a schema that this file never had"},
    {"SELECT n FROM satchel_outbox o, satchel_state s WHERE o.incarnation>s.incarnation", "is of an incarnation to come"},
    {"SELECT n FROM satchel_outbox WHERE state IN (1,2) AND (seq IS NULL OR seq<1 OR effective IS NULL)",
     "was accepted, but not by a commit"},
    {"SELECT n FROM satchel_outbox, satchel_state s WHERE state=1 AND seq<=s.cursor AND s.placed AND s.snapshot=0",
     "was accepted by a commit that is here, and is still shown as if it was not"},
    {"SELECT n FROM satchel_outbox, satchel_state s WHERE state=0 AND n<=s.settled_number", "waits, and counts as settled"},
    {"SELECT n FROM satchel_outbox o WHERE state<>4 AND ((parts=0)<>(changes IS NOT NULL) OR parts<>" PARTS
     " OR parts<>(SELECT coalesce(max(part),-1)+1 FROM satchel_outbox_part p WHERE p.n=o.n))",
     "lacks some of its changes, or has too many"},
    {"SELECT DISTINCT n FROM satchel_outbox_part WHERE n NOT IN (SELECT n FROM satchel_outbox)", "is not there, but has changes"},
};

static int check_rows(checking *c) {
    for (size_t i = 0; i < sizeof CHECKS / sizeof *CHECKS; i++) {
        sqlite3_stmt *q = NULL;
        if (sqlite3_prepare_v2(c->f->db, CHECKS[i].sql, -1, &q, NULL)) return file_db_error(c->f, "cannot read the outbox");
        while (sqlite3_step(q) == SQLITE_ROW)
            found(c, "outbox: transaction %" PRId64 " %s", (int64_t)sqlite3_column_int64(q, 0), CHECKS[i].fault);
        if (sqlite3_finalize(q)) return file_db_error(c->f, "cannot read the outbox");
    }
    return SATCHEL_OK;
}

/* What is wrong with a changeset of this schema epoch; NULL: nothing. */
static const char *fault_of_changes(const schema *s, uint32_t epoch, const void *p, size_t n) {
    static _Thread_local changeset_change change;
    const schema_column *layout[LIMIT_COLUMNS];
    changeset_reader r;
    int rc;
    changeset_open(&r, p, n);
    while ((rc = changeset_next(&r, &change)) == 1) {
        const schema_table *t = schema_table_in_epoch(s, epoch, change.table);
        if (!t) return "changes a table that its schema has not";
        if (schema_layout(t, epoch, layout) != change.ncol) return "has other columns than its schema";
    }
    return rc ? "has changes that cannot be read" : NULL;
}

static int check_changes(checking *c) {
    sqlite3_stmt *q = NULL;
    if (sqlite3_prepare_v2(
            c->f->db,
            "SELECT n, epoch, changes FROM satchel_outbox WHERE changes IS NOT NULL UNION ALL SELECT p.n, o.epoch, p.changes"
            " FROM satchel_outbox_part p JOIN satchel_outbox o USING(n)",
            -1, &q, NULL))
        return file_db_error(c->f, "cannot read the outbox");
    while (sqlite3_step(q) == SQLITE_ROW) {
        const char *fault = fault_of_changes(c->f->schema, (uint32_t)sqlite3_column_int64(q, 1), sqlite3_column_blob(q, 2),
                                             (size_t)sqlite3_column_bytes(q, 2));
        if (fault) found(c, "outbox: transaction %" PRId64 " %s", (int64_t)sqlite3_column_int64(q, 0), fault);
    }
    return sqlite3_finalize(q) ? file_db_error(c->f, "cannot read the outbox") : SATCHEL_OK;
}

/* ---- what was noted of the server ---- */

static int check_state(checking *c) {
    const file_state *st = &c->f->state;
    int64_t staged = 0, left = 0;
    uint64_t last = 0;
    if (st->placed && st->cursor > st->head) found(c, "state: the cursor is ahead of the server");
    if (st->snapshot && st->placed) found(c, "state: pages and a snapshot at once");
    if (st->view > INT64_MAX || (st->view && !st->has_epoch)) found(c, "state: a view that no server has named");
    int rc = outbox_last_number(c->f, &last);
    if (!rc && (st->sent_number > last || st->settled_number > last))
        found(c, "state: more was sent or settled than was ever written");
    if (!rc) rc = db_integer(&c->f->sql, "SELECT count(*) FROM satchel_stage", 0, &staged);
    if (!rc) rc = db_integer(&c->f->sql, "SELECT count(*) FROM satchel_base WHERE state=3 AND length(row)>0", 0, &left);
    if (!rc && left) found(c, "base: values of %" PRId64 " rows that this device does not hold", left);
    if (!rc && staged && !st->stage_seq) found(c, "stage: parts of a commit that does not come");
    return rc;
}

/* Rows that refer to what is not here. Others' edits that are on their way and edits of one's own that the server will judge can leave such rows,
 * so it is told only of a file that is in step, and is no fault of it. */
static int tell_references(checking *c) {
    uint64_t pending = 0, accepted = 0;
    int rc = outbox_count(c->f, TXN_PENDING, &pending);
    if (!rc) rc = outbox_count(c->f, TXN_ACCEPTED, &accepted);
    if (rc || pending || accepted || !c->f->state.placed || c->f->state.cursor < c->f->state.head) return rc;
    sqlite3_stmt *q = db_prepare(&c->f->sql, "SELECT \"table\", parent, count(*) FROM pragma_foreign_key_check GROUP BY 1, 2");
    while ((rc = db_next(&c->f->sql, q)) == 1)
        buf_printf(c->report, "note: %lld rows of %s refer to rows of %s that are not here\n",
                   (long long)sqlite3_column_int64(q, 2), (const char *)sqlite3_column_text(q, 0),
                   (const char *)sqlite3_column_text(q, 1));
    return rc;
}

static int check_overlay(checking *c) {
    int rc = overlay_verify(c->f->overlay, c->report);
    if (!is_fault(rc)) return rc;
    c->faults++;
    return SATCHEL_OK;
}

int file_verify(file *f, buf *report) {
    checking c = {.f = f, .report = report};
    int rc = file_begin(f);
    if (rc) return rc;
    rc = check_integrity(&c);
    if (!rc) rc = check_capture(&c);
    if (!rc) rc = check_rows(&c);
    if (!rc) rc = check_changes(&c);
    if (!rc) rc = check_state(&c);
    if (!rc) rc = check_overlay(&c);
    if (!rc) rc = tell_references(&c);
    if (c.faults > LINES_SHOWN) buf_printf(report, "and %u more\n", c.faults - LINES_SHOWN);
    rc = file_end(f, rc);
    if (rc) return rc;
    return c.faults ? file_fail(f, SATCHEL_E_CORRUPT, "the check found faults") : SATCHEL_OK;
}
