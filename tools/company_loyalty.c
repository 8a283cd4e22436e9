#include "tools/company_private.h"

/* Thirteen digits that no two cards share: a multiplication modulo 10^10 by a number prime to it permutes the card's number. */
static void put_card_code(company *c, uint32_t card) {
    uint64_t body = (card + c->size.seed % 1000000) * UINT64_C(3141592621) % UINT64_C(10000000000);
    char digits[16];
    unsigned sum = 0;
    snprintf(digits, sizeof digits, "29%010llu", (unsigned long long)body);
    for (unsigned i = 0; i < 12; i++) sum += (unsigned)(digits[i] - '0') * (i % 2 ? 3 : 1);
    out_format(&c->o, "%s%u", digits, (10 - sum % 10) % 10);
}

/* Cards and contacts go together until one of them runs out. */
static void write_cards(company *c) {
    out_table(&c->o, "loyalty_card", "id, program_id, code, contact_id, state, issued_store, issued_at");
    for (uint32_t i = 0; i < c->size.cards; i++) {
        rng r = company_draw(c, CARD, i);
        bool known = i < c->size.contacts && rng_percent(&r, 90);
        out_row(&c->o);
        company_put_id(c, CARD, i);
        company_put_seeded_id(c, 0xc001);
        put_card_code(c, i);
        if (known)
            company_put_id(c, CONTACT, i);
        else
            out_null(&c->o);
        out_text(&c->o, rng_percent(&r, 96) ? "active" : rng_percent(&r, 50) ? "blocked" : "lost");
        company_put_id(c, STORE, known ? company_ties_of_contact(c, i).store : rng_below(&r, c->size.stores));
        out_int(&c->o, company_time(c, CARD, i));
        out_row_end(&c->o);
    }
}

typedef struct basket {
    bool has_card, online;
    uint32_t card, store, lines, product[3], qty[3];
    int64_t total;
} basket;

static basket basket_of(const company *c, uint32_t purchase) {
    rng r = company_draw(c, DRAW_PURCHASE, purchase);
    basket b = {.online = rng_percent(&r, 20), .lines = 1};
    b.store = rng_below(&r, c->size.stores);
    b.lines += rng_percent(&r, 40);
    b.lines += rng_percent(&r, 10);
    b.has_card = c->size.cards && rng_percent(&r, 60);
    b.card = c->size.cards ? rng_below(&r, c->size.cards) : 0;
    for (uint32_t i = 0; i < b.lines; i++) {
        b.product[i] = rng_below(&r, c->count[PRODUCT]);
        b.qty[i] = 1 + rng_below(&r, 3);
        b.total += company_price_of_product(c, b.product[i]) * b.qty[i];
    }
    return b;
}

static void write_purchase(company *c, uint32_t i) {
    basket b = basket_of(c, i);
    out_row(&c->o);
    company_put_id(c, PURCHASE, i);
    out_text(&c->o, b.online ? "ecom" : "pos");
    if (b.online)
        out_null(&c->o);
    else
        company_put_id(c, STORE, b.store);
    out_format(&c->o, "%u", i + 1);
    if (b.has_card && b.card < c->size.contacts)
        company_put_id(c, CONTACT, b.card);
    else
        out_null(&c->o);
    if (b.has_card)
        company_put_id(c, CARD, b.card);
    else
        out_null(&c->o);
    out_int(&c->o, b.total);
    out_text(&c->o, "EUR");
    out_int(&c->o, company_time(c, PURCHASE, i));
    out_row_end(&c->o);
}

static void write_purchases(company *c) {
    out_table(&c->o, "purchase", "id, channel, store_id, receipt_no, contact_id, card_id, total_cents, currency, at");
    for (uint32_t i = 0; i < c->count[PURCHASE]; i++) write_purchase(c, i);
    out_table(&c->o, "purchase_line", "id, purchase_id, product_id, qty, unit_cents, price_version");
    for (uint32_t i = 0; i < c->count[PURCHASE]; i++) {
        basket b = basket_of(c, i);
        for (uint32_t k = 0; k < b.lines; k++) {
            out_row(&c->o);
            company_put_child_id(c, LINE, company_time(c, PURCHASE, i));
            company_put_id(c, PURCHASE, i);
            company_put_id(c, PRODUCT, b.product[k]);
            out_int(&c->o, b.qty[k]);
            out_int(&c->o, company_price_of_product(c, b.product[k]));
            out_int(&c->o, 1);
            out_row_end(&c->o);
        }
    }
}

static void write_entry(company *c, uint32_t card, const char *what, int32_t points, int64_t at) {
    c->balance[card] += points;
    out_row(&c->o);
    company_put_child_id(c, ENTRY, at);
    company_put_id(c, CARD, card);
    out_text(&c->o, what);
    out_int(&c->o, points);
}

static void end_entry(company *c, int64_t at) {
    out_int(&c->o, 1);
    out_int(&c->o, at);
    out_row_end(&c->o);
}

/* What purchases with a card earned, one point for each 1.00. */
static void write_earned(company *c) {
    out_table(&c->o, "loyalty_entry", "id, card_id, kind, points, purchase_id, rule_version, at");
    for (uint32_t i = 0; i < c->count[PURCHASE] && c->count[ENTRY] < c->size.entries; i++) {
        basket b = basket_of(c, i);
        if (!b.has_card) continue;
        write_entry(c, b.card, "earn", (int32_t)(b.total / 100), company_time(c, PURCHASE, i));
        company_put_id(c, PURCHASE, i);
        end_entry(c, company_time(c, PURCHASE, i));
    }
}

/* The rest of the ledger; no card goes below zero. */
static void write_other_entries(company *c) {
    uint32_t first = c->count[ENTRY], n = c->size.entries - first;
    out_table(&c->o, "loyalty_entry", "id, card_id, kind, points, rule_version, at");
    for (uint32_t i = 0; i < n; i++) {
        rng r = company_draw(c, ENTRY, i);
        uint32_t card = rng_below(&r, c->size.cards), p = rng_below(&r, 100);
        int32_t points = 5 + (int32_t)rng_below(&r, 120);
        int64_t at = START_MS + SPAN_MS / n * i;
        bool spends = p >= 70 && c->balance[card] >= points;
        write_entry(c, card,
                    spends   ? (p < 92 ? "redeem" : "expire")
                    : p < 40 ? "import"
                             : "adjust",
                    spends ? -points : points, at);
        end_entry(c, at);
    }
}

void company_write_loyalty(company *c) {
    write_cards(c);
    write_purchases(c);
    if (!c->size.cards) return;
    write_earned(c);
    write_other_entries(c);
}
