/* crm lead, crm deal. */
#include <stdlib.h>
#include <string.h>

#include "tools/crm.h"

/* ---- leads ---- */

int crm_lead_add(crm *c) {
    uint8_t id[CRM_ID_BYTES];
    int64_t room;
    const int64_t *size;
    if (!c->opt[CRM_GIVEN] && !c->opt[CRM_FAMILY] && !c->opt[CRM_COMPANY])
        return crm_fail("a lead needs --given, --family or --company");
    if (!crm_take_number(c, CRM_SIZE, &room, &size) || !crm_new_id(c, id)) return 1;
    if (!crm_do(
            c,
            "INSERT INTO lead(id, given, family, company, job_title, email, phone, region_code, company_size, source, created_by, created_at)"
            " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
            "btttttttitbi", id, c->opt[CRM_GIVEN], c->opt[CRM_FAMILY], c->opt[CRM_COMPANY], c->opt[CRM_TITLE], c->opt[CRM_EMAIL],
            c->opt[CRM_PHONE], c->opt[CRM_REGION], size, c->opt[CRM_SOURCE], c->user, &c->now_ms))
        return 1;
    char *shown = crm_text(
        c, "SELECT crm_id('lead', t.id) || ' added: ' || coalesce(" CRM_NAME_T ", t.company) FROM lead t WHERE t.id = ?1", "b",
        id);
    crm_say(c, id, "lead %s", shown ? shown : "added");
    free(shown);
    return 0;
}

int crm_lead_list(crm *c) {
    if (!crm_is_status(c, "lead_status_move", "status")) return 1;
    return crm_print_table(
        c, NULL,
        crm_query(
            c,
            "SELECT crm_id('lead', t.id) AS id, " CRM_NAME_T
            " AS name, t.company, t.status, t.score, u.name AS owner, t.email, t.phone, t.source, t.created_at"
            " FROM lead t LEFT JOIN user_account u ON u.id = t.owner_id"
            " WHERE CASE WHEN ?1 IS NULL THEN ?2 IS NOT NULL OR t.status NOT IN ('converted', 'disqualified') ELSE t.status = ?1 END"
            " ORDER BY t.score DESC, t.created_at DESC, t.id LIMIT ?3",
            "tti", c->opt[CRM_STATUS], c->opt[CRM_ALL], &c->limit));
}

/* ---- deals: looking ---- */

static bool is_stage(crm *c, const char *name) {
    return !name ||
           crm_is_allowed(
               crm_query(
                   c,
                   "SELECT iif(name = ?1 COLLATE NOCASE, ?1, name) FROM stage GROUP BY name ORDER BY min(pipeline_id), min(pos)",
                   "t", name),
               name, "--stage cannot be");
}

int crm_deal_list(crm *c) {
    if (!is_stage(c, c->opt[CRM_STAGE])) return 1;
    return crm_print_table(
        c, NULL,
        crm_query(
            c,
            "SELECT crm_id('deal', t.id) AS id, t.name, a.name AS company, s.name AS stage, t.amount_cents, t.currency,"
            " coalesce(t.probability, s.probability) AS probability, t.close_date, u.name AS owner, t.next_step"
            " FROM deal t JOIN stage s ON s.id = t.stage_id LEFT JOIN account a ON a.id = t.account_id LEFT JOIN user_account u ON u.id = t.owner_id"
            " WHERE CASE WHEN ?1 IS NULL THEN ?2 IS NOT NULL OR s.kind = 'open' ELSE s.name = ?1 COLLATE NOCASE END"
            " ORDER BY s.pipeline_id, s.pos, t.close_date, t.id LIMIT ?3",
            "tti", c->opt[CRM_STAGE], c->opt[CRM_ALL], &c->limit));
}

static const char next_stages[] =
    "SELECT n.name FROM deal d JOIN stage_move m ON m.from_stage = d.stage_id JOIN stage n ON n.id = m.to_stage WHERE d.id = ?1 ORDER BY n.pos";

static const char card[] =
    "SELECT crm_id('deal', t.id) AS id, t.name, a.name AS company, crm_id(t.account_id) AS \".account_id\", p.name AS pipeline, s.name AS stage,"
    " t.amount_cents, t.currency, coalesce(t.probability, s.probability) AS probability, t.close_date, t.next_step, t.lost_reason,"
    " u.name AS owner, t.created_at FROM deal t JOIN stage s ON s.id = t.stage_id JOIN pipeline p ON p.id = s.pipeline_id"
    " LEFT JOIN account a ON a.id = t.account_id LEFT JOIN user_account u ON u.id = t.owner_id WHERE t.id = ?1";

static const crm_part parts[] = {
    {"may_move_to", next_stages},
    CRM_FIELDS,
    {"contacts", "SELECT crm_id('contact', t.id) AS id, " CRM_NAME_T
                 " AS name, x.role FROM deal_contact x JOIN contact t ON t.id = x.contact_id"
                 " WHERE x.deal_id = ?1 ORDER BY 2, t.id"},
    {"quotes",
     "SELECT crm_id('quote', t.id) AS id, t.number, t.provisional, t.status FROM quote t WHERE t.deal_id = ?1 ORDER BY t.id"},
    {"tasks",
     "SELECT crm_id('task', t.id) AS id, t.due_at, t.title FROM task t WHERE t.parent_row = ?1 AND t.done_at IS NULL ORDER BY t.due_at, t.id"},
    {"notes", "SELECT n.at AS when_at, u.name AS by, n.body FROM note n LEFT JOIN user_account u ON u.id = n.by_user"
              " WHERE n.parent_row = ?1 ORDER BY n.at DESC, n.id DESC LIMIT ?2"},
};

int crm_deal_show(crm *c) {
    uint8_t id[CRM_ID_BYTES];
    return crm_find(c, CRM_A_DEAL, c->arg[0], id) ? crm_show(c, id, card, parts, sizeof parts / sizeof *parts) : 1;
}

/* ---- deals: moving ---- */

/* What is filled in along with the move. */
static bool fill(crm *c, const uint8_t *deal) {
    static const struct {
        crm_option o;
        const char *sql;
    } texts[] = {{CRM_NEXT_STEP, "UPDATE deal SET next_step = ?2 WHERE id = ?1"},
                 {CRM_LOST_REASON, "UPDATE deal SET lost_reason = ?2 WHERE id = ?1"}};
    int64_t room_close, room_cents;
    const int64_t *close_date, *cents;
    const char *currency = c->opt[CRM_CURRENCY];
    if (!crm_take_time(c, CRM_CLOSE, &room_close, &close_date) || !crm_take_money(c, CRM_AMOUNT, &room_cents, &cents) ||
        !crm_is_currency(c))
        return false;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (c->opt[texts[i].o] && !crm_do(c, texts[i].sql, "bt", deal, c->opt[texts[i].o])) return false;
    if (close_date && !crm_do(c, "UPDATE deal SET close_date = ?2 WHERE id = ?1", "bi", deal, close_date)) return false;
    return (!cents && !currency) ||
           crm_do(
               c,
               "UPDATE deal SET amount_cents = coalesce(?2, amount_cents), currency = coalesce(?3, currency, 'EUR') WHERE id = ?1",
               "bit", deal, cents, currency);
}

/* The tasks of the stage in which the deal is, those that are not there yet. */
static bool add_tasks(crm *c, const uint8_t *deal) {
    return crm_do(c,
                  "INSERT INTO task(id, title, due_at, assignee_id, parent_kind, parent_row, template_id)"
                  " SELECT t.task_id, t.title, ?2 + t.due_days * 86400000, t.assignee_id, 'deal', t.deal_id, t.template_id"
                  " FROM deal_stage_task t WHERE t.deal_id = ?1 ON CONFLICT(id) DO NOTHING",
                  "bi", deal, &c->now_ms);
}

/* Moves the deal, logs it as the next of its steps, and adds what is to be done. */
static bool enter(crm *c, const uint8_t *deal, const uint8_t *stage) {
    return crm_do(c,
                  "INSERT INTO deal_stage_log(id, deal_id, step, from_stage, to_stage, at, by_user)"
                  " SELECT satchel_id(d.id, s.step), d.id, s.step, d.stage_id, ?2, ?3, ?4 FROM deal d"
                  " JOIN (SELECT coalesce(max(step), 0) + 1 AS step FROM deal_stage_log WHERE deal_id = ?1) s WHERE d.id = ?1",
                  "bbib", deal, stage, &c->now_ms, c->user) &&
           crm_do(c, "UPDATE deal SET stage_id = ?2 WHERE id = ?1", "bb", deal, stage) && add_tasks(c, deal);
}

bool crm_deal_event(crm *c, const uint8_t deal[CRM_ID_BYTES], const char *event, const uint8_t cause[CRM_ID_BYTES],
                    const int64_t *at, char **about) {
    char *moves = crm_text(c, "SELECT 1 FROM deal_event_move WHERE deal_id = ?1 AND on_event = ?2", "bt", deal, event);
    bool done =
        !moves ||
        (crm_do(
             c,
             "INSERT INTO deal_stage_log(id, deal_id, step, from_stage, to_stage, at, by_user, cause)"
             " SELECT log_id, deal_id, step, from_stage, to_stage, ?3, ?4, ?5 FROM deal_event_move WHERE deal_id = ?1 AND on_event = ?2",
             "btibb", deal, event, at, c->user, cause) &&
         crm_do(
             c,
             "UPDATE deal SET stage_id = (SELECT to_stage FROM deal_event_move WHERE deal_id = ?1 AND on_event = ?2) WHERE id = ?1",
             "bt", deal, event) &&
         add_tasks(c, deal));
    *about =
        done
            ? crm_text(
                  c,
                  "SELECT '; deal ' || d.name || iif(?2, ' moved to ' || s.name, ' stays in ' || s.name || ', see ''crm deal move''')"
                  " FROM deal d JOIN stage s ON s.id = d.stage_id WHERE d.id = ?1",
                  "bt", deal, moves)
            : NULL;
    free(moves);
    return done;
}

/* What the stages that are then behind it want filled, and is not: a list of names, or NULL. */
static char *missing_fields(crm *c, const uint8_t *deal, const uint8_t *stage) {
    return crm_text(
        c,
        "SELECT group_concat(field, ', ') FROM (SELECT m.field FROM deal_missing m JOIN stage s ON s.id = m.stage_id"
        " WHERE m.deal_id = ?1 AND m.to_stage = ?2 GROUP BY m.field ORDER BY min(s.pos), min(instr(s.exit_fields, m.field)))",
        "bb", deal, stage);
}

static bool may_move(crm *c, const uint8_t *deal, const char *from, const char *to, const uint8_t *stage) {
    char what[256];
    snprintf(what, sizeof what, "the deal cannot move from %s to", from);
    if (!crm_is_allowed(crm_query(c, next_stages, "b", deal), to, what)) return false;
    char *missing = missing_fields(c, deal, stage);
    bool filled = !missing;
    if (missing) crm_fail("the stage %s wants filled in before a deal leaves it: %s; see 'crm deal move --help'", from, missing);
    free(missing);
    return filled;
}

int crm_deal_move(crm *c) {
    static const char name_sql[] = "SELECT name FROM stage WHERE id = ?1";
    uint8_t deal[CRM_ID_BYTES], stage[CRM_ID_BYTES];
    if (!crm_find(c, CRM_A_DEAL, c->arg[0], deal) || !crm_find_stage(c, deal, c->arg[1], stage) || !fill(c, deal)) return 1;
    char *to = crm_text(c, name_sql, "b", stage), *name = crm_text(c, "SELECT name FROM deal WHERE id = ?1", "b", deal);
    char *from = crm_text(c, "SELECT s.name FROM deal d JOIN stage s ON s.id = d.stage_id WHERE d.id = ?1", "b", deal);
    bool stays = from && to && !strcmp(from, to);
    bool moved = from && to && name && (stays || (may_move(c, deal, from, to, stage) && enter(c, deal, stage)));
    if (moved) crm_say(c, deal, stays ? "deal %s is in %s already" : "deal %s moved to %s", name, to);
    free(to);
    free(from);
    free(name);
    return !moved;
}

/* ---- leads that become deals ---- */

int crm_lead_status(crm *c) {
    uint8_t lead[CRM_ID_BYTES];
    char what[96];
    if (!crm_find(c, CRM_A_LEAD, c->arg[0], lead)) return 1;
    char *from = crm_text(c, "SELECT status FROM lead WHERE id = ?1", "b", lead);
    bool moved = from != NULL;
    if (moved && strcmp(from, c->arg[1])) {
        snprintf(what, sizeof what, "the lead's status cannot go from %s to", from);
        moved =
            crm_is_allowed(crm_query(c, "SELECT to_status FROM lead_status_move WHERE from_status = ?1 ORDER BY 1", "t", from),
                           c->arg[1], what) &&
            crm_do(c, "UPDATE lead SET status = ?2 WHERE id = ?1", "bt", lead, c->arg[1]);
    }
    if (moved) crm_say(c, lead, "lead is %s", c->arg[1]);
    free(from);
    return !moved;
}

/* The company that --company names, or a new one by the lead's. NULL in *company: by the lead's, if it has one. */
static bool convert_company(crm *c, const uint8_t *lead, uint8_t room[CRM_ID_BYTES], const uint8_t **company) {
    *company = c->opt[CRM_COMPANY] ? room : NULL;
    if (*company) return crm_find(c, CRM_A_COMPANY, c->opt[CRM_COMPANY], room);
    return crm_do(c,
                  "INSERT INTO account(id, name, created_by, created_at) SELECT v.account_id, l.company, ?2, ?3"
                  " FROM lead l JOIN lead_conversion v ON v.lead_id = l.id WHERE l.id = ?1 AND v.account_id IS NOT NULL",
                  "bbi", lead, c->user, &c->now_ms);
}

static bool convert_contact(crm *c, const uint8_t *lead, const uint8_t *company) {
    static const char point[] =
        "INSERT INTO contact_point(id, contact_id, kind, value, is_primary)"
        " SELECT CASE ?2 WHEN 'email' THEN v.email_id ELSE v.phone_id END, v.contact_id, ?2, CASE ?2 WHEN 'email' THEN l.email ELSE l.phone END, 1"
        " FROM lead l JOIN lead_conversion v ON v.lead_id = l.id WHERE l.id = ?1 AND length(CASE ?2 WHEN 'email' THEN l.email ELSE l.phone END) > 0";
    return crm_do(
               c,
               "INSERT INTO contact(id, account_id, given, family, job_title, region_code, source, created_by, created_at)"
               " SELECT v.contact_id, coalesce(?4, v.account_id), l.given, l.family, l.job_title, l.region_code, l.source, ?2, ?3"
               " FROM lead l JOIN lead_conversion v ON v.lead_id = l.id WHERE l.id = ?1",
               "bbib", lead, c->user, &c->now_ms, company) &&
           crm_do(c, point, "bt", lead, "email") && crm_do(c, point, "bt", lead, "phone");
}

static bool convert_deal(crm *c, const uint8_t *lead, const uint8_t *company, const uint8_t *deal) {
    return crm_do(
               c,
               "INSERT INTO deal(id, name, account_id, stage_id, created_by, created_at)"
               " SELECT v.deal_id, v.deal_name, coalesce(?4, v.account_id), v.stage_id, ?2, ?3 FROM lead_conversion v WHERE v.lead_id = ?1",
               "bbib", lead, c->user, &c->now_ms, company) &&
           crm_do(
               c,
               "INSERT INTO deal_contact(deal_id, contact_id, added_at) SELECT deal_id, contact_id, ?2 FROM lead_conversion WHERE lead_id = ?1",
               "bi", lead, &c->now_ms) &&
           fill(c, deal) && add_tasks(c, deal);
}

static bool may_convert(crm *c, const uint8_t *lead) {
    char *status = crm_text(c, "SELECT status FROM lead WHERE id = ?1", "b", lead);
    bool may = status && !strcmp(status, "qualified");
    if (status && !may) crm_fail("the lead is %s; only a qualified one is converted: 'crm lead status LEAD qualified'", status);
    free(status);
    return may;
}

int crm_lead_convert(crm *c) {
    uint8_t lead[CRM_ID_BYTES], room[CRM_ID_BYTES], deal[CRM_ID_BYTES];
    const uint8_t *company;
    if (!crm_find(c, CRM_A_LEAD, c->arg[0], lead) || !may_convert(c, lead) ||
        !crm_id_of(c, "SELECT deal_id FROM lead_conversion WHERE lead_id = ?1", lead, deal))
        return 1;
    if (!convert_company(c, lead, room, &company) || !convert_contact(c, lead, company) ||
        !convert_deal(c, lead, company, deal) || !crm_do(c, "UPDATE lead SET status = 'converted' WHERE id = ?1", "b", lead))
        return 1;
    char *shown = crm_text(c, "SELECT crm_id('deal', t.id) || ' ' || t.name FROM deal t WHERE t.id = ?1", "b", deal);
    crm_say(c, deal, "lead converted: deal %s", shown ? shown : "");
    free(shown);
    return 0;
}
