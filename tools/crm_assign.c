/* crm company assign, crm contact assign and so on, crm request list: whose something is only the server writes, and who leads a team asks it to. */
#include <stdlib.h>

#include "tools/crm.h"

/* What a row of any of these is called. */
#define CALLED(id)                                                                                                               \
    "coalesce((SELECT x.name FROM account x WHERE x.id = " id "), (SELECT " CRM_NAME_X " FROM contact x WHERE x.id = " id "),"   \
    " (SELECT coalesce(" CRM_NAME_X ", x.company) FROM lead x WHERE x.id = " id "), (SELECT x.name FROM deal x WHERE x.id = " id \
    "), (SELECT coalesce(x.number || ' ', '') || x.subject FROM ticket x WHERE x.id = " id "))"

static bool ask(crm *c, const char *entity, const uint8_t *row, const uint8_t *to, uint8_t id[CRM_ID_BYTES]) {
    return crm_new_id(c, id) &&
           crm_do(c,
                  "INSERT INTO reassignment(id, entity, entity_row, from_user, to_user, why, by_user, at)"
                  " VALUES(?1, ?2, ?3, x'', ?4, ?5, ?6, ?7)",
                  "btbbtbi", id, entity, row, to, c->opt[CRM_WHY], c->user, &c->now_ms) &&
           crm_do(c,
                  "UPDATE reassignment SET from_user = coalesce((SELECT holder_id FROM reassignment_answer"
                  " WHERE reassignment_id = ?1), x'') WHERE id = ?1",
                  "b", id);
}

/* As far as it is known here; the server looks again, at what is so by then. */
static bool can_be(crm *c, const uint8_t *request) {
    char *refusal = crm_text(c, "SELECT refusal FROM reassignment_answer WHERE reassignment_id = ?1", "b", request);
    if (refusal) crm_fail("%s", refusal);
    free(refusal);
    return !refusal;
}

/* Whether who is to get it has it already: nothing is to be asked, then. */
static bool is_idle(crm *c, const uint8_t *request) {
    char *same = crm_text(c, "SELECT 1 FROM reassignment WHERE id = ?1 AND from_user = to_user", "b", request);
    bool is = same;
    free(same);
    return is;
}

static int assign(crm *c, crm_kind kind, const char *entity) {
    uint8_t row[CRM_ID_BYTES], to[CRM_ID_BYTES], id[CRM_ID_BYTES];
    if (!crm_find(c, kind, c->arg[0], row) || !crm_find(c, CRM_A_USER, c->arg[1], to) || !ask(c, entity, row, to, id) ||
        !can_be(c, id))
        return 1;
    bool idle = is_idle(c, id);
    if (idle && !crm_do(c, "DELETE FROM reassignment WHERE id = ?1", "b", id)) return 1;
    char *what = crm_text(c, "SELECT " CALLED("?1"), "b", row),
         *who = crm_text(c, "SELECT name FROM user_account WHERE id = ?1", "b", to);
    if (idle)
        crm_say(c, row, "%s is with %s already", what ? what : c->arg[0], who ? who : c->arg[1]);
    else
        crm_say(c, id, "%s to %s: asked; at the next sync the server does it, or says in 'crm request list' why not",
                what ? what : c->arg[0], who ? who : c->arg[1]);
    free(what);
    free(who);
    return 0;
}

int crm_company_assign(crm *c) {
    return assign(c, CRM_A_COMPANY, "account");
}

int crm_contact_assign(crm *c) {
    return assign(c, CRM_A_CONTACT, "contact");
}

int crm_lead_assign(crm *c) {
    return assign(c, CRM_A_LEAD, "lead");
}

int crm_deal_assign(crm *c) {
    return assign(c, CRM_A_DEAL, "deal");
}

int crm_ticket_assign(crm *c) {
    return assign(c, CRM_A_TICKET, "ticket");
}

int crm_request_list(crm *c) {
    static const char sql[] =
        "SELECT crm_id('reassignment', r.id) AS id, r.at AS asked_at, CASE r.entity WHEN 'account' THEN 'company' ELSE r.entity END AS kind,"
        " " CALLED(
            "r.entity_row") " AS what, crm_id(r.entity_row) AS \".row_id\", f.name AS \"from\", t.name AS \"to\","
                            " coalesce(r.state, 'asked') AS state, r.words, r.why, u.name AS by FROM reassignment r"
                            " LEFT JOIN user_account f ON f.id = r.from_user LEFT JOIN user_account t ON t.id = r.to_user LEFT JOIN user_account u ON u.id = r.by_user"
                            " WHERE ?1 IS NULL OR r.by_user = ?2 ORDER BY r.at DESC, r.id DESC LIMIT ?3";
    return crm_print_table(c, NULL, crm_query(c, sql, "tbi", c->opt[CRM_MINE], c->user, &c->limit));
}
