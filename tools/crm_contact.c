/* crm contact show, add, edit. */
#include <stdlib.h>
#include <string.h>

#include "tools/crm.h"

/* ---- show ---- */

static const char card[] =
    "SELECT crm_id('contact', t.id) AS id, t.given AS \".given\", t.family AS \".family\", " CRM_NAME_T " AS name,"
    " t.job_title, a.name AS company, crm_id(t.account_id) AS \".account_id\", t.status, t.lifecycle, u.name AS owner, t.source,"
    " t.region_code AS region, t.visit_count AS visits, t.last_contact_at,"
    " (SELECT group_concat(tag, ', ') FROM contact_tag WHERE contact_id = t.id) AS tags, t.created_at"
    " FROM contact t LEFT JOIN account a ON a.id = t.account_id LEFT JOIN user_account u ON u.id = t.owner_id WHERE t.id = ?1";

static const crm_part parts[] = {
    {"reach",
     "SELECT kind, value, CASE is_primary WHEN 0 THEN '' ELSE 'first' END AS use FROM contact_point WHERE contact_id = ?1"
     " ORDER BY is_primary DESC, kind, id"},
    {"consent", "SELECT purpose, channel, CASE granted WHEN 0 THEN 'no' ELSE 'yes' END AS granted, max(at) AS since_at"
                " FROM consent_event WHERE contact_id = ?1 GROUP BY purpose, channel"},
    CRM_FIELDS,
    {"deals",
     "SELECT crm_id('deal', t.id) AS id, t.name, s.name AS stage, t.amount_cents, t.currency FROM deal t JOIN stage s ON s.id = t.stage_id"
     " WHERE s.kind = 'open' AND (t.id IN (SELECT deal_id FROM deal_contact WHERE contact_id = ?1)"
     " OR t.account_id = (SELECT account_id FROM contact WHERE id = ?1)) ORDER BY t.name, t.id"},
    {"tickets",
     "SELECT crm_id('ticket', t.id) AS id, t.number, t.state, t.subject FROM ticket t WHERE t.contact_id = ?1 AND t.state <> 'closed'"
     " ORDER BY t.opened_at, t.id"},
    {"tasks",
     "SELECT crm_id('task', t.id) AS id, t.due_at, t.title FROM task t WHERE t.parent_row = ?1 AND t.done_at IS NULL ORDER BY t.due_at, t.id"},
    {"notes", "SELECT n.at AS when_at, u.name AS by, n.body FROM note n LEFT JOIN user_account u ON u.id = n.by_user"
              " WHERE n.parent_row = ?1 ORDER BY n.at DESC, n.id DESC LIMIT ?2"},
    {"what_happened",
     "SELECT i.at AS when_at, i.channel, i.direction, u.name AS by, i.subject, i.body FROM interaction i"
     " LEFT JOIN user_account u ON u.id = i.by_user WHERE i.contact_id = ?1 ORDER BY i.at DESC, i.id DESC LIMIT ?2"},
};

int crm_contact_show(crm *c) {
    uint8_t id[CRM_ID_BYTES];
    return crm_find(c, CRM_A_CONTACT, c->arg[0], id) ? crm_show(c, id, card, parts, sizeof parts / sizeof *parts) : 1;
}

/* ---- add and edit ---- */

/* The company that --company names, or a new one; *id is NULL if neither is given. */
static bool take_company(crm *c, uint8_t room[CRM_ID_BYTES], const uint8_t **id) {
    const char *name = c->opt[CRM_NEW_COMPANY];
    *id = NULL;
    if (!name && !c->opt[CRM_COMPANY]) return true;
    if (name && c->opt[CRM_COMPANY]) return !crm_fail("is the company new? Give --company or --new-company, not both");
    *id = room;
    if (!name) return crm_find(c, CRM_A_COMPANY, c->opt[CRM_COMPANY], room);
    return crm_new_id(c, room) && crm_do(c, "INSERT INTO account(id, name, created_by, created_at) VALUES(?1, ?2, ?3, ?4)",
                                         "btbi", room, name, c->user, &c->now_ms);
}

/* The first of a kind is the one to use. */
static bool add_point(crm *c, const uint8_t *contact, const char *kind, const char *value) {
    return !value || crm_do(c,
                            "INSERT INTO contact_point(id, contact_id, kind, value, is_primary) SELECT uuid7(), ?1, ?2, ?3,"
                            " NOT EXISTS (SELECT 1 FROM contact_point WHERE contact_id = ?1 AND +kind = ?2)"
                            " WHERE NOT EXISTS (SELECT 1 FROM contact_point WHERE contact_id = ?1 AND +kind = ?2 AND value = ?3)",
                            "btt", contact, kind, value);
}

static bool add_what_hangs_on(crm *c, const uint8_t *contact) {
    const char *tag = c->opt[CRM_TAG], *gone = c->opt[CRM_UNTAG];
    return add_point(c, contact, "email", c->opt[CRM_EMAIL]) && add_point(c, contact, "phone", c->opt[CRM_PHONE]) &&
           (!tag || crm_do(c,
                           "INSERT INTO contact_tag(contact_id, tag, added_at) VALUES(?1, ?2, ?3)"
                           " ON CONFLICT(contact_id, tag) DO UPDATE SET added_at = excluded.added_at",
                           "bti", contact, tag, &c->now_ms)) &&
           (!gone || crm_do(c, "DELETE FROM contact_tag WHERE contact_id = ?1 AND tag = ?2", "bt", contact, gone));
}

/* Whether it still has a name, if that was to be changed. */
static bool has_name(crm *c, const uint8_t *id) {
    char *name = crm_text(c, "SELECT " CRM_NAME_T " FROM contact t WHERE t.id = ?1", "b", id);
    bool has = name || (!c->opt[CRM_GIVEN] && !c->opt[CRM_FAMILY]);
    if (!has) crm_fail("a contact needs --given or --family");
    free(name);
    return has;
}

static void say_contact(crm *c, const uint8_t *id, const char *what) {
    char *name = crm_text(c, "SELECT " CRM_NAME_T " FROM contact t WHERE id = ?1", "b", id);
    char *shown = crm_text(c, "SELECT crm_id('contact', t.id) FROM contact t WHERE t.id = ?1", "b", id);
    crm_say(c, id, "contact %s %s: %s", shown ? shown : "", what, name ? name : "(no name)");
    free(name);
    free(shown);
}

int crm_contact_add(crm *c) {
    uint8_t id[CRM_ID_BYTES], room[CRM_ID_BYTES];
    const uint8_t *company;
    if (!c->opt[CRM_GIVEN] && !c->opt[CRM_FAMILY]) return crm_fail("a contact needs --given or --family");
    if (!take_company(c, room, &company) || !crm_new_id(c, id)) return 1;
    if (!crm_do(c,
                "INSERT INTO contact(id, account_id, given, family, job_title, region_code, source, created_by, created_at)"
                " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                "bbtttttbi", id, company, c->opt[CRM_GIVEN], c->opt[CRM_FAMILY], c->opt[CRM_TITLE], c->opt[CRM_REGION],
                c->opt[CRM_SOURCE], c->user, &c->now_ms))
        return 1;
    if (!has_name(c, id) || !add_what_hangs_on(c, id)) return 1;
    say_contact(c, id, "added");
    return 0;
}

/* Sets a column that moves along a table of allowed moves. */
static bool move_on(crm *c, const uint8_t *id, const char *to, const char *column) {
    if (!to) return true;
    char *sql = sqlite3_mprintf("SELECT %s FROM contact WHERE id = ?1", column), what[96];
    char *from = sql ? crm_text(c, sql, "b", id) : NULL;
    char *moves = sqlite3_mprintf("SELECT to_%s FROM contact_%s_move WHERE from_%s = ?1 ORDER BY 1", column, column, column);
    char *set = sqlite3_mprintf("UPDATE contact SET %s = ?2 WHERE id = ?1", column);
    bool moved = from && moves && set;
    if (moved && strcmp(from, to)) {
        snprintf(what, sizeof what, "the contact's %s cannot go from %s to", column, from);
        moved = crm_is_allowed(crm_query(c, moves, "t", from), to, what) && crm_do(c, set, "bt", id, to);
    }
    sqlite3_free(sql);
    sqlite3_free(moves);
    sqlite3_free(set);
    free(from);
    return moved;
}

/* Only what is given: a column that is set is an edit, even to what it was. */
static bool set_columns(crm *c, const uint8_t *id, const uint8_t *company) {
    static const struct {
        crm_option o;
        const char *sql;
    } sets[] = {{CRM_GIVEN, "UPDATE contact SET given = nullif(?2, '') WHERE id = ?1"},
                {CRM_FAMILY, "UPDATE contact SET family = nullif(?2, '') WHERE id = ?1"},
                {CRM_TITLE, "UPDATE contact SET job_title = nullif(?2, '') WHERE id = ?1"},
                {CRM_REGION, "UPDATE contact SET region_code = nullif(?2, '') WHERE id = ?1"}};
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++)
        if (c->opt[sets[i].o] && !crm_do(c, sets[i].sql, "bt", id, c->opt[sets[i].o])) return false;
    return !company || crm_do(c, "UPDATE contact SET account_id = ?2 WHERE id = ?1", "bb", id, company);
}

static bool has_edit(const crm *c) {
    static const crm_option edits[] = {CRM_GIVEN,  CRM_FAMILY,    CRM_TITLE, CRM_REGION, CRM_COMPANY, CRM_NEW_COMPANY,
                                       CRM_STATUS, CRM_LIFECYCLE, CRM_EMAIL, CRM_PHONE,  CRM_TAG,     CRM_UNTAG};
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++)
        if (c->opt[edits[i]]) return true;
    return false;
}

int crm_contact_edit(crm *c) {
    uint8_t id[CRM_ID_BYTES], room[CRM_ID_BYTES];
    const uint8_t *company;
    if (!has_edit(c)) {
        crm_fail("what is to be changed? Try 'crm contact edit --help'");
        return 2;
    }
    if (!crm_find(c, CRM_A_CONTACT, c->arg[0], id) || !take_company(c, room, &company)) return 1;
    if (!set_columns(c, id, company) || !move_on(c, id, c->opt[CRM_STATUS], "status") ||
        !move_on(c, id, c->opt[CRM_LIFECYCLE], "lifecycle"))
        return 1;
    if (!has_name(c, id) || !add_what_hangs_on(c, id)) return 1;
    say_contact(c, id, "changed");
    return 0;
}
