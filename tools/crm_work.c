/* crm visit, crm task. */
#include <stdlib.h>
#include <string.h>

#include "tools/crm.h"

/* ---- visits ---- */

/* Meeting somebody counts as a visit, at the till too; of what else was said the interaction alone stands. A till may not write when the last contact was. */
static bool count_visit(crm *c, const uint8_t *contact, const char *channel, const int64_t *at) {
    bool met = !strcmp(channel, "meeting"), bought = !strcmp(channel, "pos");
    if (!met && !bought) return true;
    if (!crm_do(c, "UPDATE contact SET visit_count = visit_count + 1 WHERE id = ?1", "b", contact)) return false;
    return bought || crm_do(c, "UPDATE contact SET last_contact_at = ?2 WHERE id = ?1 AND coalesce(last_contact_at, 0) < ?2",
                            "bi", contact, at);
}

bool crm_is_channel(crm *c, const char *channel) {
    return crm_is_allowed(
        crm_query(c, "SELECT column1 FROM (VALUES('meeting'), ('phone'), ('email'), ('web'), ('social'), ('chat'), ('pos'))", ""),
        channel, "--channel cannot be");
}

static bool is_direction(crm *c, const char *direction) {
    return !direction ||
           crm_is_allowed(crm_query(c, "SELECT column1 FROM (VALUES('in'), ('out'))", ""), direction, "--direction cannot be");
}

int crm_visit_log(crm *c) {
    uint8_t contact[CRM_ID_BYTES], deal[CRM_ID_BYTES], id[CRM_ID_BYTES];
    const char *channel = c->opt[CRM_CHANNEL] ? c->opt[CRM_CHANNEL] : "meeting";
    char *about = NULL;
    int64_t room;
    const int64_t *at;
    if (c->opt[CRM_KIND] && !c->opt[CRM_DEAL]) return crm_fail("--kind says what it was for a deal: name that with --deal");
    if (!crm_is_channel(c, channel) || !is_direction(c, c->opt[CRM_DIRECTION]) || !crm_take_time(c, CRM_AT, &room, &at)) return 1;
    if (!crm_find(c, CRM_A_CONTACT, c->arg[0], contact)) return 1;
    if (c->opt[CRM_DEAL] && !crm_find(c, CRM_A_DEAL, c->opt[CRM_DEAL], deal)) return 1;
    if (!at) at = &c->now_ms;
    if (*at > c->now_ms) return crm_fail("--at %s is still to come; what is logged has been", c->opt[CRM_AT]);
    if (!crm_new_id(c, id) ||
        !crm_do(
            c,
            "INSERT INTO interaction(id, contact_id, account_id, deal_id, channel, direction, at, subject, body, by_user, kind)"
            " VALUES(?1, ?2, (SELECT account_id FROM contact WHERE id = ?2), ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            "bbbttittbt", id, contact, c->opt[CRM_DEAL] ? deal : NULL, channel, c->opt[CRM_DIRECTION], at, c->opt[CRM_SUBJECT],
            c->opt[CRM_BODY], c->user, c->opt[CRM_KIND]) ||
        (c->opt[CRM_KIND] && !crm_deal_event(c, deal, c->opt[CRM_KIND], id, at, &about)) ||
        !count_visit(c, contact, channel, at)) {
        free(about);
        return 1;
    }
    char *name = crm_text(c, "SELECT " CRM_NAME_T " FROM contact t WHERE id = ?1", "b", contact);
    crm_say(c, id, "%s logged: %s%s", channel, name ? name : c->arg[0], about ? about : "");
    free(name);
    free(about);
    return 0;
}

/* ---- tasks ---- */

static int list_tasks(crm *c, const int64_t *until) {
    static const char sql[] =
        "SELECT crm_id('task', t.id) AS id, t.due_at, CASE WHEN t.done_at IS NOT NULL THEN '' WHEN t.due_at < ?1 THEN 'overdue'"
        " WHEN t.remind_at <= ?1 THEN 'reminder' ELSE '' END AS state, t.title, u.name AS assignee,"
        " t.parent_kind AS about, crm_id(t.parent_row) AS \".parent_id\","
        " coalesce((SELECT " CRM_NAME_X
        " FROM contact x WHERE x.id = t.parent_row), (SELECT name FROM account x WHERE x.id = t.parent_row),"
        "  (SELECT name FROM deal x WHERE x.id = t.parent_row), (SELECT coalesce(" CRM_NAME_X
        ", x.company) FROM lead x WHERE x.id = t.parent_row),"
        "  (SELECT subject FROM ticket x WHERE x.id = t.parent_row)) AS whom, t.done_at"
        " FROM task t LEFT JOIN user_account u ON u.id = t.assignee_id"
        " WHERE (?2 IS NULL OR t.due_at < ?2 OR t.remind_at < ?2) AND (?3 IS NOT NULL OR t.done_at IS NULL) AND (?4 IS NULL OR t.assignee_id = ?5)"
        " ORDER BY t.due_at IS NULL, t.due_at, t.id LIMIT ?6";
    return crm_print_table(c, NULL,
                           crm_query(c, sql, "iittbi", &c->now_ms, until, c->opt[CRM_ALL], c->opt[CRM_MINE], c->user, &c->limit));
}

int crm_task_list(crm *c) {
    return list_tasks(c, NULL);
}

int crm_task_due(crm *c) {
    const char *days = c->narg ? c->arg[0] : "0";
    if (!*days || strspn(days, "0123456789") != strlen(days) || strlen(days) > 4) {
        crm_fail("due takes a number of days, not %s", *days ? days : "''");
        return 2;
    }
    char *end = crm_text(
        c, "SELECT strftime('%s', 'now', 'localtime', 'start of day', '+1 day', '+' || ?1 || ' days', 'utc') * 1000", "t", days);
    if (!end) return 1;
    int64_t until = strtoll(end, NULL, 10);
    free(end);
    return list_tasks(c, &until);
}

int crm_task_done(crm *c) {
    uint8_t id[CRM_ID_BYTES];
    if (!crm_find(c, CRM_A_TASK, c->arg[0], id)) return 1;
    char *title = crm_text(c, "SELECT title FROM task WHERE id = ?1", "b", id),
         *done = crm_text(c, "SELECT done_at FROM task WHERE id = ?1", "b", id);
    bool written = done || crm_do(c, "UPDATE task SET done_at = ?2, done_by = ?3 WHERE id = ?1", "bib", id, &c->now_ms, c->user);
    if (written) crm_say(c, id, done ? "task was done already: %s" : "task done: %s", title ? title : "");
    free(title);
    free(done);
    return !written;
}
