/* Who is to hold what: sessions whose view is to change, and those that commits pass by. */
#include "protocol/satchel_rc.h"
#include "server/hub_private.h"
#include "server/store_private.h"

bool hub_is_due(const hub *h, const session *c) {
    uint64_t cursor = c->place.cursor;
    return c->due || cursor < c->d.told_seq || h->head - cursor > HUB_QUIET_COMMITS;
}

/* What the device had to send is taken in before it is told to forget rows. */
static bool may_change(const session *c) {
    return c->d.caught_up || !c->d.awaited;
}

bool hub_waits(const hub *h, const session *c) {
    if (c->wants_snapshot) return false;
    /* N5: what was read as of a commit whose results were not queued yet. */
    if (c->view != c->d.target) return !may_change(c) || (c->change && c->change->view == c->d.target && c->change->to > h->head);
    if (c->place.part) return false;
    return c->place.cursor >= h->head || (c->place.scanned >= h->head && !hub_is_due(h, c));
}

void hub_drop_change(hub *h, session *c) {
    if (!c->change) return;
    h->change_bytes -= c->change->bytes;
    view_change_free(c->change);
    c->change = NULL;
}

void hub_move_quiet(hub *h) {
    for (size_t i = 0; i < h->nslots; i++) {
        session *c = h->slots[i];
        if (c && c->view && c->place.cursor < h->head) c->due = true;
    }
}

/* ---- commits that hold nothing for a view ---- */

unsigned hub_list_audiences(hub *h, hub_audience *list) {
    unsigned n = 0;
    if (!scope_is_on(ingest_scope(h->ingest))) return HUB_AUDIENCES + 1; /* nobody has a view */
    sqlite3_stmt *q = db_prepare(&h->config.store->cache, "SELECT DISTINCT bucket,besides FROM satchel_log WHERE id>=? LIMIT ?");
    db_bind(q, "ii", (int64_t)((h->head + 1) << 24), (int64_t)HUB_AUDIENCES + 1);
    int rc;
    for (; (rc = db_next(&h->config.store->cache, q)) == 1; n++)
        if (n < HUB_AUDIENCES)
            list[n] =
                (hub_audience){.set = (uint32_t)sqlite3_column_int64(q, 0), .besides = (uint32_t)sqlite3_column_int64(q, 1)};
    return rc < 0 ? HUB_AUDIENCES + 1 : n;
}

/* Borrowed; NULL if it cannot be read. */
static const view *find_view(hub *h, uint64_t id) {
    view **kept = &h->views[id % HUB_VIEWS], *v;
    if (*kept && view_id(*kept) == id) return *kept;
    if (view_load(&h->config.store->cache, id, &v)) return NULL;
    view_release(*kept);
    return *kept = v;
}

/* What is not known is left to a reader. */
static bool may_hear(hub *h, uint64_t id, const hub_audience *list, unsigned n) {
    const view *v = find_view(h, id);
    for (unsigned i = 0; v && i < n; i++)
        if (view_hears(v, h->sets, list[i].set, list[i].besides)) return true;
    return !v;
}

void hub_pass_by(hub *h, const hub_audience *list, unsigned n) {
    uint64_t seq = store_where(h->config.store).seq;
    if (n > HUB_AUDIENCES) return;
    for (size_t i = 0; i < h->nslots; i++) {
        session *c = h->slots[i];
        if (!c || !c->view || c->view != c->d.target || c->busy || c->wants_snapshot || c->place.part) continue;
        if (c->place.scanned == h->head && !may_hear(h, c->view, list, n)) c->place.scanned = seq;
    }
}

/* ---- who is to hold what ---- */

void hub_scope_changed(hub *h) {
    pthread_mutex_lock(&h->mutex);
    h->scope_changed = true;
    pthread_cond_signal(&h->writer_cond);
    pthread_mutex_unlock(&h->mutex);
}

bool hub_take_scope_changed(hub *h) {
    pthread_mutex_lock(&h->mutex);
    bool changed = h->scope_changed;
    h->scope_changed = false;
    pthread_mutex_unlock(&h->mutex);
    return changed;
}

void hub_make_stale(hub *h, bool all) {
    for (size_t i = 0; i < h->nslots; i++) {
        session *c = h->slots[i];
        /* Without a profile nothing that profiles read concerns it; one whose hello is at work may have one. */
        if (c && (all || c->d.target || c->d.phase != DIALOG_READY)) c->stale = h->stale = true;
    }
}

void hub_begin_look(hub *h, hub_look *l, bool all, bool touched) {
    *l = (hub_look){.all = all, .first = (all || touched) && !h->stale};
    pthread_mutex_lock(&h->mutex);
    l->slots = h->nslots;
    if (all || touched) hub_make_stale(h, all);
    pthread_mutex_unlock(&h->mutex);
}

uint64_t hub_next_stale(hub *h, hub_look *l, dialog *d) {
    uint64_t id = 0;
    if (!h->stale || l->n == HUB_LOOKS) return 0;
    pthread_mutex_lock(&h->mutex);
    for (; !id && l->passed < l->slots; l->passed++) {
        session *c = h->slots[(h->look_from + l->passed) % l->slots];
        if (!c || !c->stale || c->closing) continue;
        id = l->id[l->n++] = c->id;
        *d = c->d;
    }
    pthread_mutex_unlock(&h->mutex);
    return id;
}

bool hub_waits_for_look(const session *c, const hub_look *l) {
    bool waits = c->stale;
    for (size_t i = 0; i < l->n && waits; i++) waits = l->id[i] != c->id;
    return waits;
}

void hub_looked_at(hub *h, const hub_look *l) {
    for (size_t i = 0; i < l->n; i++) {
        session *c = hub_find(h, l->id[i]);
        if (c) c->stale = false;
    }
    if (!h->stale) return;
    h->stale = l->passed < l->slots;
    h->look_from = l->slots ? (h->look_from + l->passed) % l->slots : 0;
}

void hub_look_failed(hub *h, const hub_look *l) {
    if (!l->first) return;
    h->stale = false;
    if (l->all) h->scope_changed = true;
    for (size_t i = 0; i < h->nslots; i++) {
        session *c = h->slots[i];
        if (!c || !c->stale) continue;
        c->stale = false;
        hub_want_reader(h, c);
    }
}
