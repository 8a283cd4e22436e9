/* What time does on the writer: rows that move by the clock, timers of automations, pruning, figures, the look at what is to be alerted of; and the lines for the
 * log about that. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/automation.h"
#include "server/hub_private.h"
#include "server/scope.h"
#include "server/store_private.h"

#define WRITABLE_AFTER_MS 5000u
#define UPKEEP_EVERY_MS 60000u
#define UPKEEP_SOON_MS 1000u
#define RENEW_AFTER_MS 86400000u
#define RENEW_SPREAD_MS 14400000u
#define PRUNED_MUCH 10000u
#define LOOK_EVERY_MS 60000u
#define PRESENT_EVERY_MS 600000u

/* ---- in a group ---- */

/* Logged once: what fails is tried again every minute. */
static void note_trouble(const hub *h, const dialog_world *w, hub_trouble *t, scope_part part, int rc, buf *words) {
    static const char *const WHAT[] = {"rows of grants that are over", "rows whose rules name satchel_now()"};
    char text[LIMIT_TEXT_BYTES];
    size_t n = strlen(t->text);
    buf_put_byte(words, 0);
    snprintf(text, sizeof text, "%s stay where they are: %s", WHAT[part],
             words->p ? (const char *)words->p : satchel_rc_text(rc));
    if (!strstr(h->stats.scope_trouble, text)) w->log(w->ctx, &(log_fields){.level = 'e', .event = "store", .rc = rc}, text);
    snprintf(t->text + n, sizeof t->text - n, "%s%s", n ? "; " : "", text);
}

/* Rules that fail leave everything as it is. */
static int run_part(const hub *h, const dialog_world *w, hub_trouble *t, scope_part part) {
    store *s = w->s;
    ingest_position before = ingest_where(w->g);
    uint64_t moved;
    int rc = store_savepoint(s);
    if (rc) return rc;
    buf words;
    buf_init(&words, LIMIT_TEXT_BYTES);
    rc = ingest_scope_look(w->g);
    if (!rc) rc = scope_upkeep(s, ingest_scope(w->g), part, w->now_ms, &moved, &words);
    if (!rc) {
        rc = store_savepoint_release(s);
    } else if (!db_is_failure(rc)) {
        store_savepoint_rollback(s);
        ingest_put_back(w->g, &before);
        note_trouble(h, w, t, part, rc, &words);
        rc = store_is_open(s) ? SATCHEL_OK : SATCHEL_E_IO;
    }
    buf_fini(&words);
    return rc;
}

int hub_run_due(hub *h, dialog_world *w, hub_trouble *t) {
    int rc = SATCHEL_OK;
    t->text[0] = 0;
    if (h->scope_due) rc = run_part(h, w, t, SCOPE_GRANTS);
    if (!rc && h->scope_due) rc = run_part(h, w, t, SCOPE_DAY);
    return rc || !h->timers_due ? rc : automation_timers(w->g, w->now_ms);
}

void hub_say_alerts(const dialog_world *w) {
    buf lines;
    buf_init(&lines, 0);
    ingest_alerts(w->g, &lines);
    buf_put_byte(&lines, 0);
    char *at = lines.rc ? NULL : (char *)lines.p, *end;
    for (; at && (end = strchr(at, '\n')); at = end + 1) {
        *end = 0;
        w->log(w->ctx, &(log_fields){.level = 'e', .event = "automation", .rc = SATCHEL_E_RULE}, at);
    }
    buf_fini(&lines);
}

/* ---- beside groups ---- */

void hub_set_writable(hub *h, int rc, bool pushed, uint64_t now_ms) {
    bool writable = rc == SATCHEL_OK;
    if (!writable) h->write_failed_ms = now_ms;
    if (writable && !pushed && now_ms - h->write_failed_ms < WRITABLE_AFTER_MS) return;
    if (h->stats.writable == writable) return;
    h->stats.writable = writable;
    char text[LIMIT_TEXT_BYTES];
    snprintf(text, sizeof text, writable ? "the store can be written again" : "the store cannot be written: %s",
             satchel_rc_text(rc));
    h->config.log(h->config.ctx, &(log_fields){.level = writable ? 'i' : 'e', .event = "store", .rc = rc}, text);
}

/* What a welcome tells, above all what a backup has by now (N7), is told once a day to those who never go. Not to all at one time. */
static void renew_old(hub *h, uint64_t now_ms) {
    for (size_t i = 0; i < h->nslots; i++) {
        session *c = h->slots[i];
        if (!c || c->closing || c->d.phase != DIALOG_READY || c->out || c->waiting_bytes || c->wants_snapshot) continue;
        if (now_ms - c->since_ms > RENEW_AFTER_MS + c->id % RENEW_SPREAD_MS)
            hub_tell_and_close(h, c, SATCHEL_E_CLOSED, "connected for a day; come back for the news");
    }
}

/* ---- alerts ---- */

/* Whoever is connected is there, though it says nothing for days. */
static int note_present(hub *h, uint64_t now_ms) {
    if (now_ms - h->last_present_ms < PRESENT_EVERY_MS) return SATCHEL_OK;
    h->last_present_ms = now_ms;
    pthread_mutex_lock(&h->mutex);
    int64_t *id = calloc(h->nslots + 1, sizeof *id);
    size_t n = 0;
    for (size_t i = 0; id && i < h->nslots; i++)
        if (h->slots[i] && h->slots[i]->d.phase == DIALOG_READY && !h->slots[i]->closing) id[n++] = h->slots[i]->d.device;
    pthread_mutex_unlock(&h->mutex);
    int rc = id ? SATCHEL_OK : SATCHEL_E_NOMEM;
    for (size_t i = 0; !rc && i < n; i++) rc = store_device_present(h->config.store, id[i], now_ms, PRESENT_EVERY_MS);
    free(id);
    return rc;
}

static int look(hub *h, uint64_t now_ms, unsigned *changed) {
    store *s = h->config.store;
    hub_stats stats;
    hub_get_stats(h, &stats);
    alert_figures f = {.horizon_ms = h->config.horizon_ms, .auth_failures = stats.auth_failures, .disk_free = stats.disk_free};
    if (h->config.figures) h->config.figures(h->config.ctx, &f);
    int rc = store_begin(s);
    if (!rc) rc = note_present(h, now_ms);
    if (!rc) rc = alert_look(h->watch, s, &f, now_ms, changed);
    if (rc)
        store_rollback(s);
    else
        rc = store_commit(s);
    return rc;
}

/* As with the figures: whatever is the matter with what people look at, devices are served. What is the matter with the store is seen where they are. */
static void look_if_due(hub *h, uint64_t now_ms) {
    unsigned changed = 0;
    if (now_ms - h->last_look_ms < LOOK_EVERY_MS) return;
    h->last_look_ms = now_ms;
    int rc = look(h, now_ms, &changed);
    if (rc)
        h->config.log(h->config.ctx, &(log_fields){.level = 'e', .event = "store", .rc = rc},
                      "it could not be looked what is to be alerted of");
    else if (changed && h->config.alerted)
        h->config.alerted(h->config.ctx);
}

/* A transaction of their own: what cannot be kept takes nothing with it. */
static void keep_figures(hub *h, uint64_t now_ms) {
    store *s = h->config.store;
    int rc = store_begin(s);
    if (!rc) rc = hub_put_figures(h, now_ms);
    if (rc)
        store_rollback(s);
    else
        rc = store_commit(s);
    if (rc) h->config.log(h->config.ctx, &(log_fields){.level = 'e', .event = "store", .rc = rc}, "figures could not be kept");
}

void hub_upkeep_soon(hub *h) {
    h->last_upkeep_ms = h->last_look_ms = 0;
}

bool hub_upkeep(hub *h, uint64_t now_ms) {
    if (now_ms - h->last_upkeep_ms < UPKEEP_EVERY_MS) return false;
    h->last_upkeep_ms = now_ms;
    store *s = h->config.store;
    uint64_t removed = 0;
    int rc = store_begin(s);
    if (!rc) rc = store_prune(s, now_ms, h->config.history_ms, h->config.horizon_ms, &removed);
    if (rc)
        store_rollback(s);
    else
        rc = store_commit(s);
    if (!rc && h->config.watched) {
        keep_figures(h, now_ms);
        look_if_due(h, now_ms);
    }
    bool more = false;
    uint64_t scope_at_ms = UINT64_MAX;
    if (!rc) rc = scope_upkeep_due(s, now_ms, &scope_at_ms);
    h->scope_due = scope_at_ms <= now_ms;
    if (!rc) rc = automation_due(h->ingest, now_ms, &h->timers_due);
    if (!rc) rc = store_tidy(s, h->stats.wal_bytes, &more);
    /* There is more to remove; others come first. */
    if (!rc && (removed > PRUNED_MUCH || more)) h->last_upkeep_ms -= UPKEEP_EVERY_MS - UPKEEP_SOON_MS;
    pthread_mutex_lock(&h->mutex);
    hub_set_writable(h, rc, false, now_ms);
    if (!rc && !h->scope_due) h->stats.scope_trouble[0] = 0;
    hub_move_quiet(h);
    if (!rc) hub_publish(h);
    renew_old(h, now_ms);
    pthread_mutex_unlock(&h->mutex);
    h->config.wake(h->config.ctx);
    return true;
}
