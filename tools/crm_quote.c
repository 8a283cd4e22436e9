/* crm quote. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "tools/crm.h"

#define AMOUNT_OF(cents) "printf('%.2f', " cents " / 100.0)"
#define TOTAL "(SELECT sum(l.qty * l.unit_cents) FROM quote_line l WHERE l.quote_id = t.id)"

/* ---- looking ---- */

int crm_quote_list(crm *c) {
    if (!crm_is_status(c, "quote_status_move", "status")) return 1;
    return crm_print_table(
        c, NULL,
        crm_query(
            c,
            "SELECT crm_id('quote', t.id) AS id, t.number, t.provisional, t.status, d.name AS deal, crm_id(t.deal_id) AS \".deal_id\","
            " a.name AS company, " TOTAL " AS total_cents, t.currency, t.valid_until AS valid_until_date, t.created_at"
            " FROM quote t JOIN deal d ON d.id = t.deal_id LEFT JOIN account a ON a.id = d.account_id"
            " WHERE CASE WHEN ?1 IS NULL THEN ?2 IS NOT NULL OR t.status IN ('draft', 'sent') ELSE t.status = ?1 END"
            " ORDER BY t.created_at DESC, t.id DESC LIMIT ?3",
            "tti", c->opt[CRM_STATUS], c->opt[CRM_ALL], &c->limit));
}

static const char card[] =
    "SELECT crm_id('quote', t.id) AS id, t.number, t.provisional, t.status, d.name AS deal, crm_id(t.deal_id) AS \".deal_id\","
    " a.name AS company, " TOTAL " AS total_cents, t.currency, t.valid_until AS valid_until_date, u.name AS \"by\", t.created_at"
    " FROM quote t JOIN deal d ON d.id = t.deal_id LEFT JOIN account a ON a.id = d.account_id"
    " LEFT JOIN user_account u ON u.id = t.created_by WHERE t.id = ?1";

static const crm_part parts[] = {
    {"lines", "SELECT l.qty, p.sku, p.name AS product, l.unit_cents, l.qty * l.unit_cents AS total_cents"
              " FROM quote_line l LEFT JOIN product p ON p.id = l.product_id WHERE l.quote_id = ?1 ORDER BY l.id"},
    {"may_become",
     "SELECT m.to_status AS status FROM quote t JOIN quote_status_move m ON m.from_status = t.status WHERE t.id = ?1 ORDER BY 1"},
};

int crm_quote_show(crm *c) {
    uint8_t id[CRM_ID_BYTES];
    return crm_find(c, CRM_A_QUOTE, c->arg[0], id) ? crm_show(c, id, card, parts, sizeof parts / sizeof *parts) : 1;
}

static char *quote_name(crm *c, const uint8_t *id) {
    return crm_text(c, "SELECT coalesce(number, provisional, crm_id('quote', id)) FROM quote WHERE id = ?1", "b", id);
}

/* ---- making ---- */

/* What the quote is called until the server numbers it: of the device's fingerprint enough to be its own, and how many it has made. The count is the file's own, as a quote
 * may leave the device and its name must not come again. */
static char *make_provisional(crm *c) {
    enum { DIGITS = 6 };
    satchel_status_info info = {.size = sizeof info};
    char device[DIGITS + 1] = "";
    if (satchel_get_status(c->s, &info)) return crm_fail_db(c, "cannot read the file"), NULL;
    for (int i = 0; i < DIGITS && info.device[i]; i++) device[i] = (char)toupper((unsigned char)info.device[i]);
    if (!crm_do(c, "CREATE TABLE IF NOT EXISTS crm_made(what TEXT PRIMARY KEY, n INTEGER NOT NULL)", "") ||
        !crm_do(c, "INSERT INTO crm_made(what, n) VALUES('quote', 1) ON CONFLICT(what) DO UPDATE SET n = n + 1", ""))
        return NULL;
    return crm_text(c, "SELECT '~' || ?1 || '-' || n FROM crm_made WHERE what = 'quote'", "t", device);
}

int crm_quote_add(crm *c) {
    uint8_t deal[CRM_ID_BYTES], id[CRM_ID_BYTES];
    int64_t room;
    const int64_t *valid;
    if (!crm_take_time(c, CRM_VALID, &room, &valid) || !crm_is_currency(c) || !crm_find(c, CRM_A_DEAL, c->arg[0], deal) ||
        !crm_new_id(c, id))
        return 1;
    char *provisional = make_provisional(c), *name = crm_text(c, "SELECT name FROM deal WHERE id = ?1", "b", deal);
    bool made = provisional && crm_do(c,
                                      "INSERT INTO quote(id, deal_id, provisional, currency, valid_until, created_by, created_at)"
                                      " SELECT ?2, id, ?3, coalesce(?4, currency, 'EUR'), ?5, ?6, ?7 FROM deal WHERE id = ?1",
                                      "bbttibi", deal, id, provisional, c->opt[CRM_CURRENCY], valid, c->user, &c->now_ms);
    if (made) crm_say(c, id, "quote %s added: %s", provisional, name ? name : c->arg[0]);
    free(provisional);
    free(name);
    return !made;
}

/* ---- lines ---- */

static bool is_draft(crm *c, const uint8_t *quote) {
    char *status = crm_text(c, "SELECT status FROM quote WHERE id = ?1", "b", quote);
    bool is = status && !strcmp(status, "draft");
    if (status && !is) crm_fail("the quote is %s; only a draft's lines change: 'crm quote status QUOTE draft'", status);
    free(status);
    return is;
}

/* The one line of the product: none if `qty` is 0. Of two, as two devices may have made them, the older stays. */
static bool put_line(crm *c, const uint8_t *quote, const uint8_t *product, const int64_t *qty, const int64_t *cents) {
    return crm_do(c,
                  "DELETE FROM quote_line WHERE quote_id = ?1 AND product_id = ?2 AND (?3 = 0 OR id >"
                  " (SELECT min(id) FROM quote_line WHERE quote_id = ?1 AND product_id = ?2))",
                  "bbi", quote, product, qty) &&
           crm_do(c,
                  "UPDATE quote_line SET qty = coalesce(?3, qty), unit_cents = coalesce(?4, unit_cents)"
                  " WHERE quote_id = ?1 AND product_id = ?2",
                  "bbii", quote, product, qty, cents) &&
           crm_do(c,
                  "INSERT INTO quote_line(id, quote_id, product_id, qty, unit_cents)"
                  " SELECT uuid7(), ?1, p.id, coalesce(?3, 1), coalesce(?4, p.price_cents) FROM product p WHERE p.id = ?2"
                  " AND ?3 IS NOT 0 AND NOT EXISTS (SELECT 1 FROM quote_line WHERE quote_id = ?1 AND product_id = ?2)",
                  "bbii", quote, product, qty, cents);
}

int crm_quote_line(crm *c) {
    uint8_t quote[CRM_ID_BYTES], product[CRM_ID_BYTES];
    int64_t room_qty, room_cents;
    const int64_t *qty, *cents;
    if (!crm_take_number(c, CRM_QTY, &room_qty, &qty) || !crm_take_money(c, CRM_PRICE, &room_cents, &cents)) return 1;
    if (!crm_find(c, CRM_A_QUOTE, c->arg[0], quote) || !is_draft(c, quote) || !crm_find(c, CRM_A_PRODUCT, c->arg[1], product) ||
        !put_line(c, quote, product, qty, cents))
        return 1;
    char *line = crm_text(
        c,
        "SELECT coalesce((SELECT l.qty || ' x ' || p.name || ' at ' || " AMOUNT_OF(
            "l.unit_cents") " FROM quote_line l WHERE l.quote_id = ?1 AND l.product_id = p.id), 'no ' || p.name) FROM product p WHERE p.id = ?2",
        "bb", quote, product);
    char *total = crm_text(c, "SELECT " AMOUNT_OF("coalesce(" TOTAL ", 0)") " || ' ' || t.currency FROM quote t WHERE t.id = ?1",
                           "b", quote);
    char *name = quote_name(c, quote);
    crm_say(c, quote, "quote %s has %s; in all %s", name ? name : "", line ? line : "", total ? total : "");
    free(line);
    free(total);
    free(name);
    return 0;
}

/* ---- moving on ---- */

static bool has_lines(crm *c, const uint8_t *quote) {
    char *one = crm_text(c, "SELECT 1 FROM quote_line WHERE quote_id = ?1", "b", quote);
    free(one);
    if (!one) crm_fail("the quote has no lines yet: 'crm quote line QUOTE PRODUCT' adds one");
    return one != NULL;
}

static bool accept_for_deal(crm *c, const uint8_t *quote, char **about) {
    uint8_t deal[CRM_ID_BYTES];
    return crm_id_of(c, "SELECT deal_id FROM quote WHERE id = ?1", quote, deal) &&
           crm_deal_event(c, deal, "quote_accepted", quote, &c->now_ms, about);
}

static bool move(crm *c, const uint8_t *id, const char *from, const char *to, char **about) {
    char what[96];
    snprintf(what, sizeof what, "the quote's status cannot go from %s to", from);
    if (!crm_is_allowed(crm_query(c, "SELECT to_status FROM quote_status_move WHERE from_status = ?1 ORDER BY 1", "t", from), to,
                        what))
        return false;
    if (!strcmp(to, "sent") && !has_lines(c, id)) return false;
    return crm_do(c, "UPDATE quote SET status = ?2 WHERE id = ?1", "bt", id, to) &&
           (strcmp(to, "accepted") || accept_for_deal(c, id, about));
}

static int become(crm *c, const char *to) {
    uint8_t id[CRM_ID_BYTES];
    int64_t room;
    const int64_t *valid;
    char *about = NULL;
    if (!crm_take_time(c, CRM_VALID, &room, &valid) || !crm_find(c, CRM_A_QUOTE, c->arg[0], id)) return 1;
    if (valid && !crm_do(c, "UPDATE quote SET valid_until = ?2 WHERE id = ?1", "bi", id, valid)) return 1;
    char *from = crm_text(c, "SELECT status FROM quote WHERE id = ?1", "b", id), *name = quote_name(c, id);
    bool stays = from && !strcmp(from, to), moved = from && (stays || move(c, id, from, to, &about));
    if (moved) crm_say(c, id, stays ? "quote %s is %s already%s" : "quote %s is %s%s", name ? name : "", to, about ? about : "");
    free(from);
    free(name);
    free(about);
    return !moved;
}

int crm_quote_send(crm *c) {
    return become(c, "sent");
}

int crm_quote_accept(crm *c) {
    return become(c, "accepted");
}

int crm_quote_status(crm *c) {
    return become(c, c->arg[1]);
}
