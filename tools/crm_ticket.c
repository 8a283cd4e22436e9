/* crm ticket. */
#include <stdlib.h>
#include <string.h>

#include "tools/crm.h"

int crm_ticket_list(crm *c) {
    if (!crm_is_status(c, "ticket_state_move", "state")) return 1;
    return crm_print_table(
        c, NULL,
        crm_query(
            c,
            "SELECT crm_id('ticket', t.id) AS id, t.number, t.priority, t.state, t.kind, t.subject, " CRM_NAME_X " AS contact,"
            " crm_id(t.contact_id) AS \".contact_id\", u.name AS assignee, t.opened_at, t.sla_due_at AS answer_by_at"
            " FROM ticket t LEFT JOIN contact x ON x.id = t.contact_id LEFT JOIN user_account u ON u.id = t.assignee_id"
            " WHERE CASE WHEN ?1 IS NULL THEN ?2 IS NOT NULL OR t.state IN ('open', 'pending') ELSE t.state = ?1 END AND (?3 IS NULL OR t.assignee_id = ?4)"
            " ORDER BY t.priority, t.sla_due_at IS NULL, t.sla_due_at, t.opened_at, t.id LIMIT ?5",
            "tttbi", c->opt[CRM_STATUS], c->opt[CRM_ALL], c->opt[CRM_MINE], c->user, &c->limit));
}

static const char card[] =
    "SELECT crm_id('ticket', t.id) AS id, t.number, t.subject, t.kind, t.state, t.priority, t.level, t.channel, " CRM_NAME_X
    " AS contact,"
    " crm_id(t.contact_id) AS \".contact_id\", u.name AS assignee, t.opened_at, t.first_response_at, t.resolved_at, t.sla_due_at AS answer_by_at,"
    " t.csat AS satisfaction FROM ticket t LEFT JOIN contact x ON x.id = t.contact_id LEFT JOIN user_account u ON u.id = t.assignee_id WHERE t.id = ?1";

static const crm_part parts[] = {
    CRM_FIELDS,
    {"events",
     "SELECT e.at AS when_at, e.kind, CASE e.internal WHEN 0 THEN '' ELSE 'internal' END AS for_whom, u.name AS by, e.body"
     " FROM ticket_event e LEFT JOIN user_account u ON u.id = e.by_user WHERE e.ticket_id = ?1 ORDER BY e.at, e.id"},
};

int crm_ticket_show(crm *c) {
    uint8_t id[CRM_ID_BYTES];
    return crm_find(c, CRM_A_TICKET, c->arg[0], id) ? crm_show(c, id, card, parts, sizeof parts / sizeof *parts) : 1;
}

static bool add_event(crm *c, const uint8_t *ticket, const char *kind, const char *body) {
    static const int64_t yes = 1, no = 0;
    return crm_do(
        c, "INSERT INTO ticket_event(id, ticket_id, kind, body, at, by_user, internal) VALUES(uuid7(), ?1, ?2, ?3, ?4, ?5, ?6)",
        "bttibi", ticket, kind, body, &c->now_ms, c->user, c->opt[CRM_INTERNAL] ? &yes : &no);
}

static bool is_kind(crm *c, const char *kind) {
    return !kind || crm_is_allowed(crm_query(c, "SELECT column1 FROM (VALUES('question'), ('problem'), ('complaint'))", ""), kind,
                                   "--kind cannot be");
}

int crm_ticket_add(crm *c) {
    uint8_t id[CRM_ID_BYTES];
    const char *from = c->opt[CRM_EMAIL] ? c->opt[CRM_EMAIL] : c->opt[CRM_PHONE];
    const char *channel = c->opt[CRM_CHANNEL] ? c->opt[CRM_CHANNEL] : c->opt[CRM_EMAIL] ? "email" : "phone";
    if (!*c->arg[0]) return crm_fail("a ticket needs a subject");
    if (c->opt[CRM_EMAIL] && c->opt[CRM_PHONE]) return crm_fail("what did it come from? Give --email or --phone, not both");
    if (!is_kind(c, c->opt[CRM_KIND]) || !crm_is_channel(c, channel) || !crm_new_id(c, id) ||
        !crm_do(
            c,
            "INSERT INTO ticket(id, subject, kind, channel, reached_by, opened_at) VALUES(?1, ?2, coalesce(?3, 'question'), ?4, ?5, ?6)",
            "btttti", id, c->arg[0], c->opt[CRM_KIND], channel, from, &c->now_ms) ||
        !add_event(c, id, "opened", c->opt[CRM_BODY]))
        return 1;
    char *shown = crm_text(c, "SELECT crm_id('ticket', t.id) FROM ticket t WHERE t.id = ?1", "b", id);
    crm_say(c, id, "ticket %s opened: %s; the server numbers it at the next sync", shown ? shown : "", c->arg[0]);
    free(shown);
    return 0;
}

static char *ticket_name(crm *c, const uint8_t *id) {
    return crm_text(c, "SELECT coalesce(number || ' ', '') || subject FROM ticket WHERE id = ?1", "b", id);
}

/* All of standard input. */
static char *read_text(void) {
    enum { TEXT_MOST = 1 << 19 };
    char *text = malloc(TEXT_MOST);
    size_t n = text ? fread(text, 1, TEXT_MOST, stdin) : 0;
    if (text && n < TEXT_MOST) {
        while (n && text[n - 1] == '\n') n--;
        text[n] = 0;
        return text;
    }
    free(text);
    crm_fail("the text is too long");
    return NULL;
}

static int reply(crm *c, const char *text) {
    uint8_t id[CRM_ID_BYTES];
    bool internal = c->opt[CRM_INTERNAL];
    if (!*text) return crm_fail("the reply is empty");
    if (!crm_find(c, CRM_A_TICKET, c->arg[0], id) || !add_event(c, id, internal ? "comment" : "reply", text)) return 1;
    if (!internal &&
        !crm_do(c, "UPDATE ticket SET first_response_at = ?2 WHERE id = ?1 AND first_response_at IS NULL", "bi", id, &c->now_ms))
        return 1;
    char *name = ticket_name(c, id);
    crm_say(c, id, internal ? "ticket commented: %s" : "ticket answered: %s", name ? name : "");
    free(name);
    return 0;
}

int crm_ticket_reply(crm *c) {
    if (strcmp(c->arg[1], "-")) return reply(c, c->arg[1]);
    char *text = read_text();
    int status = text ? reply(c, text) : 1;
    free(text);
    return status;
}

/* What the history says of a move; NULL: nothing. */
static const char *event_of(const char *from, const char *to) {
    if (!strcmp(to, "resolved") || !strcmp(to, "closed")) return to;
    return !strcmp(to, "open") && strcmp(from, "pending") ? "reopened" : NULL;
}

static bool move(crm *c, const uint8_t *id, const char *from, const char *to) {
    char what[96];
    const char *kind = event_of(from, to);
    snprintf(what, sizeof what, "the ticket's state cannot go from %s to", from);
    if (!crm_is_allowed(crm_query(c, "SELECT to_state FROM ticket_state_move WHERE from_state = ?1 ORDER BY 1", "t", from), to,
                        what))
        return false;
    if (!crm_do(c, "UPDATE ticket SET state = ?2 WHERE id = ?1", "bt", id, to)) return false;
    if (!strcmp(to, "resolved") && !crm_do(c, "UPDATE ticket SET resolved_at = ?2 WHERE id = ?1", "bi", id, &c->now_ms))
        return false;
    return !kind || add_event(c, id, kind, NULL);
}

int crm_ticket_state(crm *c) {
    uint8_t id[CRM_ID_BYTES];
    const char *to = c->arg[1];
    if (!crm_find(c, CRM_A_TICKET, c->arg[0], id)) return 1;
    char *from = crm_text(c, "SELECT state FROM ticket WHERE id = ?1", "b", id), *name = ticket_name(c, id);
    bool stays = from && !strcmp(from, to), moved = from && (stays || move(c, id, from, to));
    if (moved) crm_say(c, id, stays ? "ticket is %s already: %s" : "ticket is %s now: %s", to, name ? name : "");
    free(from);
    free(name);
    return !moved;
}
