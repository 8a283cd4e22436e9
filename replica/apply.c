#include "replica/apply.h"

#include "protocol/hlc.h"
#include "protocol/message.h"
#include "protocol/satchel_rc.h"
#include "replica/overlay.h"

/* ---- rows ---- */

static int apply_delta(file *f, const uint8_t *delta, size_t n, uint64_t seq) {
    wire w;
    delta_reader reader;
    delta_row row;
    int rc;
    wire_open(&w, delta, n);
    delta_open(&reader, &w);
    while ((rc = delta_next(&reader, &row)) == 1) {
        rc = overlay_apply(f->overlay, &row, seq);
        if (rc) return rc;
    }
    return rc;
}

static int apply_commits(file *f, page_reader *reader) {
    page_commit commit = {0};
    int rc;
    while ((rc = page_next(reader, &commit)) == 1) {
        rc = apply_delta(f, commit.delta, commit.ndelta, commit.seq);
        if (rc) return rc;
    }
    return rc;
}

static int malformed(file *f, int rc, const char *what) {
    return file_fail(f, rc, "the server sent a %s that cannot be read: %s", what, satchel_rc_text(rc));
}

static void hear(file *f, uint64_t seq, uint64_t stamp) {
    if (f->state.head < seq) f->state.head = seq;
    f->state.hlc = hlc_receive(f->state.hlc, stamp);
}

/* ---- staging of a commit that comes in parts ---- */

static int stage_clear(file *f) {
    f->state.stage_seq = 0;
    int rc = db_exec(&f->sql, "DELETE FROM satchel_stage", "");
    return rc ? file_db_error(f, "cannot clear satchel_stage") : SATCHEL_OK;
}

int apply_forget_parts(file *f) {
    return f->state.stage_seq ? stage_clear(f) : SATCHEL_OK;
}

/* Part 0 begins anew; any other must follow the last one of the same commit. */
static int stage_check(file *f, const msg_page *head) {
    int64_t parts;
    if (head->part == 0) return apply_forget_parts(f);
    if (db_integer(&f->sql, "SELECT count(*) FROM satchel_stage", 0, &parts))
        return file_db_error(f, "cannot read satchel_stage");
    if (f->state.stage_seq != head->to || head->part != (uint64_t)parts)
        return file_fail(f, SATCHEL_E_ORDER, "part %u of commit %llu came where part %lld of %llu was expected", head->part,
                         (unsigned long long)head->to, (long long)parts, (unsigned long long)f->state.stage_seq);
    return SATCHEL_OK;
}

static int stage_put(file *f, const msg_page *head, const void *message, size_t n) {
    f->state.stage_seq = head->to;
    int rc = db_exec(&f->sql, "INSERT INTO satchel_stage(part, page) VALUES(?,?)", "ib", (int64_t)head->part, message, n);
    return rc ? file_db_error(f, "cannot write satchel_stage") : SATCHEL_OK;
}

/* Applies what is staged, a part in memory at a time. */
static int stage_apply(file *f, uint32_t parts) {
    for (uint32_t i = 0; i < parts; i++) {
        sqlite3_stmt *q = db_prepare(&f->sql, "SELECT page FROM satchel_stage WHERE part=?");
        page_reader reader;
        msg_page head;
        db_bind(q, "i", (int64_t)i);
        int rc = db_next(&f->sql, q);
        if (rc != 1)
            return rc < 0 ? file_db_error(f, "cannot read satchel_stage")
                          : file_fail(f, SATCHEL_E_CORRUPT, "satchel_stage lacks part %u", i);
        rc = page_open(&reader, sqlite3_column_blob(q, 0), (size_t)sqlite3_column_bytes(q, 0), &head);
        if (!rc) rc = apply_commits(f, &reader);
        sqlite3_reset(q);
        if (rc) return rc;
    }
    return stage_clear(f);
}

/* ---- pages ---- */

static int check_page(file *f, const msg_page *head) {
    if (f->state.snapshot) return file_fail(f, SATCHEL_E_ORDER, "a page came during a snapshot");
    if (head->from != f->state.cursor)
        return file_fail(f, SATCHEL_E_ORDER, "a page from %llu came to a cursor at %llu", (unsigned long long)head->from,
                         (unsigned long long)f->state.cursor);
    return stage_check(f, head);
}

static int take_page(file *f, const msg_page *head, page_reader *reader, const void *message, size_t n) {
    int rc = check_page(f, head);
    if (rc) return rc;
    hear(f, head->to, head->high_stamp);
    if (head->more) return stage_put(f, head, message, n);
    if (head->part) rc = stage_apply(f, head->part);
    if (!rc) rc = apply_commits(f, reader);
    if (!rc) rc = overlay_confirm(f->overlay, head->to);
    f->state.cursor = head->to;
    if (head->view) f->state.view = head->view;
    return rc;
}

int apply_page(file *f, const void *message, size_t n) {
    page_reader reader;
    msg_page head;
    int rc = page_open(&reader, message, n, &head);
    if (rc) return malformed(f, rc, "page");
    rc = file_begin(f);
    return rc ? rc : file_end(f, take_page(f, &head, &reader, message, n));
}

/* ---- snapshots ---- */

/* A snapshot with another id begins anew at its first page. From then on the rows are of no cursor and no view until its last page, also where no
 * welcome has announced it. */
static int check_snapshot(file *f, const msg_snapshot *head) {
    file_state *s = &f->state;
    if (head->page == 0) {
        s->placed = false;
        s->snapshot = head->id;
        s->snapshot_seq = head->seq;
        s->snapshot_page = 0;
        s->snapshot_rows = 0;
    } else if (s->snapshot != head->id || s->snapshot_page != head->page || s->snapshot_seq != head->seq) {
        return file_fail(f, SATCHEL_E_ORDER, "page %u of snapshot %llu came where page %u of %llu was expected", head->page,
                         (unsigned long long)head->id, s->snapshot_page, (unsigned long long)s->snapshot);
    }
    s->snapshot_total = head->total_rows;
    return apply_forget_parts(f);
}

static int apply_range(file *f, const snapshot_range *range, const msg_snapshot *head) {
    wire w;
    delta_reader reader;
    delta_row row;
    int rc = overlay_clear_range(f->overlay, range, head->seq, head->view ? DELTA_LEAVE : DELTA_DELETE);
    if (rc) return rc;
    wire_open(&w, range->delta, range->ndelta);
    delta_open(&reader, &w);
    while ((rc = delta_next(&reader, &row)) == 1) {
        rc = overlay_apply_snapshot(f->overlay, &row, head->seq);
        if (rc) return rc;
        f->state.snapshot_rows++;
    }
    return rc;
}

static int finish_snapshot(file *f, uint64_t view) {
    file_state *s = &f->state;
    s->cursor = s->snapshot_seq;
    s->view = view;
    s->placed = true;
    s->snapshot = s->snapshot_page = 0;
    s->snapshot_seq = s->snapshot_rows = s->snapshot_total = 0;
    int rc = view ? overlay_forget_kept(f->overlay) : SATCHEL_OK;
    return rc ? rc : overlay_confirm(f->overlay, s->cursor);
}

static int take_snapshot(file *f, const msg_snapshot *head, snapshot_reader *reader) {
    snapshot_range range;
    int rc = check_snapshot(f, head);
    if (rc) return rc;
    hear(f, head->seq, head->high_stamp);
    while ((rc = snapshot_next(reader, &range)) == 1) {
        rc = apply_range(f, &range, head);
        if (rc) return rc;
    }
    if (rc) return rc;
    f->state.snapshot_page = head->page + 1;
    return head->last ? finish_snapshot(f, head->view) : SATCHEL_OK;
}

int apply_snapshot(file *f, const void *message, size_t n, bool *done) {
    snapshot_reader reader;
    msg_snapshot head;
    *done = false;
    int rc = snapshot_open(&reader, message, n, &head);
    if (rc) return malformed(f, rc, "snapshot");
    rc = file_begin(f);
    if (rc) return rc;
    rc = file_end(f, take_snapshot(f, &head, &reader));
    *done = !rc && head.last;
    return rc;
}
