/* crm lead, crm deal. */
#include <jansson.h>
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

int crm_deal_list(crm *c) {
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
    {"contacts", "SELECT crm_id('contact', t.id) AS id, " CRM_NAME_T
                 " AS name, x.role FROM deal_contact x JOIN contact t ON t.id = x.contact_id"
                 " WHERE x.deal_id = ?1 ORDER BY 2, t.id"},
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
    if (!crm_take_time(c, CRM_CLOSE, &room_close, &close_date) || !crm_take_money(c, CRM_AMOUNT, &room_cents, &cents))
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

/* What the stage that it leaves wants filled, and is not: a list of names, or NULL. */
static char *missing_fields(crm *c, const uint8_t *deal) {
    char *wanted = crm_text(c, "SELECT s.exit_fields FROM deal d JOIN stage s ON s.id = d.stage_id WHERE d.id = ?1", "b", deal);
    json_t *fields = wanted ? json_loads(wanted, 0, NULL) : NULL, *field;
    sqlite3_str *missing = sqlite3_str_new(NULL);
    size_t i;
    json_array_foreach(fields, i, field) {
        char *sql = sqlite3_mprintf("SELECT 1 FROM deal WHERE id = ?1 AND \"%w\" IS NOT NULL", json_string_value(field));
        char *filled = sql ? crm_text(c, sql, "b", deal) : NULL;
        if (!filled) sqlite3_str_appendf(missing, "%s%s", sqlite3_str_length(missing) ? ", " : "", json_string_value(field));
        free(filled);
        sqlite3_free(sql);
    }
    json_decref(fields);
    free(wanted);
    return sqlite3_str_finish(missing);
}

static bool may_move(crm *c, const uint8_t *deal, const char *from, const char *to) {
    char what[256], *missing = missing_fields(c, deal);
    bool filled = !missing;
    if (missing) crm_fail("the stage %s wants filled in before a deal leaves it: %s; see 'crm deal move --help'", from, missing);
    sqlite3_free(missing);
    snprintf(what, sizeof what, "the deal cannot move from %s to", from);
    return filled && crm_is_allowed(crm_query(c, next_stages, "b", deal), to, what);
}

int crm_deal_move(crm *c) {
    static const char name_sql[] = "SELECT name FROM stage WHERE id = ?1";
    uint8_t deal[CRM_ID_BYTES], stage[CRM_ID_BYTES];
    if (!crm_find(c, CRM_A_DEAL, c->arg[0], deal) || !crm_find_stage(c, deal, c->arg[1], stage) || !fill(c, deal)) return 1;
    char *to = crm_text(c, name_sql, "b", stage), *name = crm_text(c, "SELECT name FROM deal WHERE id = ?1", "b", deal);
    char *from = crm_text(c, "SELECT s.name FROM deal d JOIN stage s ON s.id = d.stage_id WHERE d.id = ?1", "b", deal);
    bool stays = from && to && !strcmp(from, to);
    bool moved =
        from && to && name &&
        (stays || (may_move(c, deal, from, to) && crm_do(c, "UPDATE deal SET stage_id = ?2 WHERE id = ?1", "bb", deal, stage)));
    if (moved) crm_say(c, deal, stays ? "deal %s is in %s already" : "deal %s moved to %s", name, to);
    free(to);
    free(from);
    free(name);
    return !moved;
}
