#include "tools/company_private.h"

#include <stdlib.h>

/* ---- ids and times ---- */

/* A version 7 UUID whose random part is the kind, the number and bits of the seed: unique without drawing. */
static void id_at(company *c, kind k, uint32_t n, int64_t ms, uint8_t id[16]) {
    uint64_t tail = UINT64_C(2) << 62 | (uint64_t)k << 56 | (uint64_t)n << 24 | (rng_of(c->size.seed, 0, 0).state & 0xffffff);
    for (int i = 0; i < 6; i++) id[i] = (uint8_t)(ms >> (40 - 8 * i));
    id[6] = (uint8_t)(0x70 | (n >> 8 & 15));
    id[7] = (uint8_t)n;
    for (int i = 0; i < 8; i++) id[8 + i] = (uint8_t)(tail >> (56 - 8 * i));
}

int64_t company_time(const company *c, kind k, uint32_t n) {
    return START_MS + SPAN_MS / c->count[k] * n;
}

void company_put_id(company *c, kind k, uint32_t n) {
    uint8_t id[16];
    id_at(c, k, n, company_time(c, k, n), id);
    out_id(&c->o, id);
}

void company_put_child_id(company *c, kind k, int64_t ms) {
    uint8_t id[16];
    id_at(c, k, c->count[k]++, ms, id);
    out_id(&c->o, id);
}

void company_put_seeded_id(company *c, unsigned number) {
    const uint8_t id[16] = {0x01,           0x8b, 0xcf, 0xe5, 0x68, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0, (uint8_t)(number >> 8),
                            (uint8_t)number};
    out_id(&c->o, id);
}

rng company_draw(const company *c, unsigned stream, uint32_t n) {
    return rng_of(c->size.seed, stream + 1, n);
}

int64_t company_later(rng *r, int64_t ms, unsigned days) {
    return ms + (int64_t)rng_below(r, days * 1440 + 1) * 60000;
}

/* ---- who belongs to what ---- */

const word_city *company_city_of_store(uint32_t store) {
    return &words_city[store * 7 % words_city_n];
}

const word_city *company_city_of_territory(uint32_t territory) {
    return &words_city[territory * 3 % words_city_n];
}

uint32_t company_territory_of_account(const company *c, uint32_t account) {
    rng r = company_draw(c, DRAW_ACCOUNT_PLACE, account);
    return rng_below(&r, c->size.territories);
}

uint32_t company_rep_of_account(const company *c, uint32_t account) {
    rng r = company_draw(c, DRAW_ACCOUNT_PLACE, account);
    uint32_t territory = rng_below(&r, c->size.territories);
    return territory * REPS_PER_TERRITORY + rng_below(&r, REPS_PER_TERRITORY);
}

ties company_ties_of_contact(const company *c, uint32_t contact) {
    rng r = company_draw(c, DRAW_CONTACT_TIES, contact);
    ties t = {.has_account = rng_percent(&r, 75)};
    t.account = rng_below(&r, c->count[ACCOUNT]);
    t.store = rng_below(&r, c->size.stores);
    t.given = &PICK(&r, words_given);
    t.family = &PICK(&r, words_family);
    t.rep = t.has_account ? company_rep_of_account(c, t.account) : rng_below(&r, c->reps);
    t.city =
        t.has_account ? company_city_of_territory(company_territory_of_account(c, t.account)) : company_city_of_store(t.store);
    return t;
}

/* ---- the company itself ---- */

static void write_teams(company *c) {
    out_table(&c->o, "team", "id, name, manager_id");
    for (uint32_t i = 0; i < c->count[TEAM]; i++) {
        out_row(&c->o);
        company_put_id(c, TEAM, i);
        if (i + 2 < c->count[TEAM])
            out_format(&c->o, "Sales %u", i + 1);
        else
            out_text(&c->o, i + 1 < c->count[TEAM] ? "Service" : "Stores");
        company_put_id(c, USER, c->reps + c->cashiers + i);
        out_row_end(&c->o);
    }
}

static void write_stores(company *c) {
    out_table(&c->o, "store", "id, name, region_code, tz");
    for (uint32_t i = 0; i < c->size.stores; i++) {
        const word_city *city = company_city_of_store(i);
        out_row(&c->o);
        company_put_id(c, STORE, i);
        out_format(&c->o, "%s %u", city->name, i / words_city_n + 1);
        out_text(&c->o, city->region);
        out_text(&c->o, city->tz);
        out_row_end(&c->o);
    }
}

static void write_territories(company *c) {
    out_table(&c->o, "territory", "id, name, region_code");
    for (uint32_t i = 0; i < c->size.territories; i++) {
        const word_city *city = company_city_of_territory(i);
        out_row(&c->o);
        company_put_id(c, TERRITORY, i);
        out_format(&c->o, "%s %u", city->region, i / words_city_n + 1);
        out_text(&c->o, city->region);
        out_row_end(&c->o);
    }
}

/* Reps, then cashiers, managers, agents and one admin. */
static void write_user(company *c, uint32_t i) {
    rng r = company_draw(c, USER, i);
    const word_name *given = &PICK(&r, words_given), *family = &PICK(&r, words_family);
    bool rep = i < c->reps, cashier = !rep && i - c->reps < c->cashiers;
    uint32_t rest = rep || cashier ? 0 : i - c->reps - c->cashiers, last = c->count[TEAM] - 1;
    bool manager = !rep && !cashier && rest < c->managers, agent = !rep && !cashier && !manager && rest - c->managers < c->agents;
    uint32_t team = rep ? i / REPS_PER_TERRITORY / TERRITORIES_PER_TEAM : manager ? rest : agent ? last - 1 : last;
    out_row(&c->o);
    company_put_id(c, USER, i);
    out_format(&c->o, "%s %s", given->text, family->text);
    out_format(&c->o, "%s.%s%u@satchel.example", given->plain, family->plain, i);
    out_text(&c->o, rep ? "rep" : cashier ? "cashier" : manager ? "manager" : agent ? "agent" : "admin");
    company_put_id(c, TEAM, team);
    if (cashier)
        company_put_id(c, STORE, (i - c->reps) / CASHIERS_PER_STORE);
    else
        out_null(&c->o);
    out_row_end(&c->o);
}

static void write_users(company *c) {
    out_table(&c->o, "user_account", "id, name, email, role, team_id, store_id");
    for (uint32_t i = 0; i < c->count[USER]; i++) write_user(c, i);
    out_table(&c->o, "user_territory", "user_id, territory_id");
    for (uint32_t i = 0; i < c->reps; i++) {
        out_row(&c->o);
        company_put_id(c, USER, i);
        company_put_id(c, TERRITORY, i / REPS_PER_TERRITORY);
        out_row_end(&c->o);
    }
}

int64_t company_price_of_product(const company *c, uint32_t product) {
    rng r = company_draw(c, PRODUCT, product);
    return 199 + (int64_t)rng_below(&r, 200) * 100;
}

static void write_products(company *c) {
    out_table(&c->o, "product", "id, sku, name, price_cents, points_rate, active");
    for (uint32_t i = 0; i < c->count[PRODUCT]; i++) {
        out_row(&c->o);
        company_put_id(c, PRODUCT, i);
        out_format(&c->o, "P-%05u", i + 1);
        out_format(&c->o, "%s %s", words_goods_kind[i % words_goods_kind_n], words_goods[i / words_goods_kind_n % words_goods_n]);
        out_int(&c->o, company_price_of_product(c, i));
        out_int(&c->o, i % 10 == 9 ? 2 : 1);
        out_int(&c->o, i % 25 != 24);
        out_row_end(&c->o);
    }
}

/* ---- customers ---- */

static void write_account(company *c, uint32_t i) {
    rng r = company_draw(c, ACCOUNT, i);
    uint32_t most = 1 + rng_below(&r, 1500), employees = 1 + rng_below(&r, most);
    const char *stem = PICK(&r, words_stem), *field = PICK(&r, words_field);
    out_row(&c->o);
    company_put_id(c, ACCOUNT, i);
    out_format(&c->o, "%s %s %s", stem, field, PICK(&r, words_form));
    out_text(&c->o, PICK(&r, words_industry));
    out_int(&c->o, (int64_t)employees * (5000 + rng_below(&r, 20000)) * 1000);
    out_int(&c->o, employees);
    company_put_id(c, TERRITORY, company_territory_of_account(c, i));
    company_put_id(c, USER, company_rep_of_account(c, i));
    out_format(&c->o, "https://www.company%u.example", i);
    company_put_id(c, USER, company_rep_of_account(c, i));
    out_int(&c->o, company_time(c, ACCOUNT, i));
    out_row_end(&c->o);
}

static void write_accounts(company *c) {
    out_table(&c->o, "account",
              "id, name, industry, revenue_cents, employees, territory_id, owner_id, website, created_by, created_at");
    for (uint32_t i = 0; i < c->count[ACCOUNT]; i++) write_account(c, i);
}

static const char *contact_status(rng *r) {
    uint32_t p = rng_below(r, 100);
    return p < 25 ? "prospect" : p < 35 ? "lead" : p < 85 ? "customer" : p < 92 ? "vip" : "inactive";
}

static const char *contact_lifecycle(rng *r) {
    static const char *const STEPS[] = {"awareness", "consideration", "purchase", "retention", "advocacy", "lapsed"};
    return STEPS[rng_below(r, 6)];
}

static void write_contact(company *c, uint32_t i) {
    rng r = company_draw(c, CONTACT, i);
    ties t = company_ties_of_contact(c, i);
    out_row(&c->o);
    company_put_id(c, CONTACT, i);
    if (t.has_account)
        company_put_id(c, ACCOUNT, t.account);
    else
        out_null(&c->o);
    out_text(&c->o, t.given->text);
    out_text(&c->o, t.family->text);
    if (t.has_account)
        out_text(&c->o, PICK(&r, words_title));
    else
        out_null(&c->o);
    out_int(&c->o, 1940 + rng_below(&r, 66));
    out_text(&c->o, t.city->region);
    out_text(&c->o, contact_status(&r));
    out_text(&c->o, contact_lifecycle(&r));
    company_put_id(c, USER, t.rep);
    company_put_id(c, STORE, t.store);
    out_text(&c->o, PICK(&r, words_source));
    out_int(&c->o, company_later(&r, company_time(c, CONTACT, i), 90));
    out_int(&c->o, rng_below(&r, 30));
    company_put_id(c, USER, t.rep);
    out_int(&c->o, company_time(c, CONTACT, i));
    out_row_end(&c->o);
}

static void write_contacts(company *c) {
    out_table(
        &c->o, "contact",
        "id, account_id, given, family, job_title, birth_year, region_code, status, lifecycle, owner_id, home_store_id, source,"
        " last_contact_at, visit_count, created_by, created_at");
    for (uint32_t i = 0; i < c->size.contacts; i++) write_contact(c, i);
}

static void write_point(company *c, uint32_t contact, bool email) {
    rng r = company_draw(c, POINT, contact * 2 + email);
    ties t = company_ties_of_contact(c, contact);
    unsigned number = 20000000 + rng_below(&r, 70000000);
    out_row(&c->o);
    company_put_child_id(c, POINT, company_time(c, CONTACT, contact));
    company_put_id(c, CONTACT, contact);
    out_text(&c->o, email ? "email" : "phone");
    for (int norm = 0; norm < 2; norm++) {
        if (email)
            out_format(&c->o, "%s.%s%u@mail.example", t.given->plain, t.family->plain, contact);
        else
            out_format(&c->o, norm ? "+%s%08u" : "+%s %08u", t.city->dial, number);
    }
    out_int(&c->o, email);
    out_row_end(&c->o);
}

static void write_points(company *c) {
    out_table(&c->o, "contact_point", "id, contact_id, kind, value, norm, is_primary");
    for (uint32_t i = 0; i < c->size.contacts; i++) {
        write_point(c, i, true);
        if (i % 5 < 2) write_point(c, i, false);
    }
}

static void write_address(company *c, kind owner, uint32_t n, const word_city *city) {
    rng r = company_draw(c, ADDRESS, n * 2 + (owner == ACCOUNT));
    out_row(&c->o);
    company_put_child_id(c, ADDRESS, company_time(c, owner, n));
    out_text(&c->o, owner == ACCOUNT ? "account" : "contact");
    company_put_id(c, owner, n);
    const char *street = PICK(&r, words_street);
    out_format(&c->o, "%s %u", street, 1 + rng_below(&r, 180));
    out_text(&c->o, city->name);
    out_format(&c->o, "%05u", 1000 + rng_below(&r, 98000));
    out_text(&c->o, city->country);
    out_row_end(&c->o);
}

static void write_addresses(company *c) {
    out_table(&c->o, "address", "id, owner_kind, owner_row, street, city, zip, country");
    for (uint32_t i = 0; i < c->count[ACCOUNT]; i++)
        write_address(c, ACCOUNT, i, company_city_of_territory(company_territory_of_account(c, i)));
    for (uint32_t i = 0; i < c->size.contacts; i += 2) write_address(c, CONTACT, i, company_ties_of_contact(c, i).city);
}

static void write_prefs(company *c) {
    static const char *const CHANNELS[] = {"email", "phone", "sms", "post"};
    out_table(&c->o, "contact_pref", "contact_id, channel, allowed");
    for (uint32_t i = 0; i < c->size.contacts; i += 2) {
        rng r = company_draw(c, CONTACT + NKIND, i);
        out_row(&c->o);
        company_put_id(c, CONTACT, i);
        out_text(&c->o, CHANNELS[rng_below(&r, 4)]);
        out_int(&c->o, rng_percent(&r, 70));
        out_row_end(&c->o);
    }
}

/* Up to two tags a contact; the second is one further in the list, so that they differ. */
static void write_tags(company *c) {
    out_table(&c->o, "contact_tag", "contact_id, tag, added_at");
    for (uint32_t i = 0; i < c->size.contacts; i++) {
        rng r = company_draw(c, CONTACT + 2 * NKIND, i);
        uint32_t first = rng_below(&r, words_tag_n), n = rng_percent(&r, 40);
        n += rng_percent(&r, 20);
        for (uint32_t k = 0; k < n; k++) {
            out_row(&c->o);
            company_put_id(c, CONTACT, i);
            out_text(&c->o, words_tag[(first + k) % words_tag_n]);
            out_int(&c->o, company_time(c, CONTACT, i));
            out_row_end(&c->o);
        }
    }
}

static void write_consents(company *c) {
    out_table(&c->o, "consent_event", "id, contact_id, purpose, channel, granted, at, by_user, evidence");
    for (uint32_t i = 0; i < c->size.contacts; i += 2) {
        rng r = company_draw(c, CONSENT, i);
        int64_t at = company_later(&r, company_time(c, CONTACT, i), 30);
        out_row(&c->o);
        company_put_child_id(c, CONSENT, at);
        company_put_id(c, CONTACT, i);
        out_text(&c->o, rng_percent(&r, 60) ? "newsletter" : "profiling");
        out_text(&c->o, rng_percent(&r, 80) ? "email" : "phone");
        out_int(&c->o, rng_percent(&r, 80));
        out_int(&c->o, at);
        company_put_id(c, USER, company_ties_of_contact(c, i).rep);
        out_format(&c->o, "form %u", i + 1);
        out_row_end(&c->o);
    }
}

/* ---- the whole ---- */

static uint32_t at_least(uint32_t n, uint32_t least) {
    return n > least ? n : least;
}

static void set_counts(company *c) {
    const company_size *s = &c->size;
    uint32_t n = s->contacts, sales_teams = (s->territories + TERRITORIES_PER_TEAM - 1) / TERRITORIES_PER_TEAM;
    c->count[TEAM] = c->managers = sales_teams + 2;
    c->count[STORE] = s->stores;
    c->count[TERRITORY] = s->territories;
    c->reps = s->territories * REPS_PER_TERRITORY;
    c->cashiers = s->stores * CASHIERS_PER_STORE;
    c->agents = 2 + n / 5000;
    c->count[USER] = c->reps + c->cashiers + c->managers + c->agents + 1;
    c->count[PRODUCT] = 400;
    c->count[CONTACT] = n;
    c->count[ACCOUNT] = c->count[LEAD] = c->count[DEAL] = c->count[NOTE] = c->count[TASK] = at_least(n / 5, 1);
    c->count[TICKET] = at_least(n / 10, 1);
    c->count[INTERACTION] = n;
    c->count[CARD] = s->cards;
    c->count[PURCHASE] = at_least(n / 5 * 4, 1);
}

static void write_all(company *c) {
    write_teams(c);
    write_stores(c);
    write_territories(c);
    write_users(c);
    write_products(c);
    write_accounts(c);
    write_contacts(c);
    write_points(c);
    write_addresses(c);
    write_prefs(c);
    write_tags(c);
    write_consents(c);
    company_write_sales(c);
    company_write_service(c);
    company_write_loyalty(c);
}

uint64_t company_write(const company_size *size, FILE *f) {
    company c = {.size = *size, .o = {.f = f}};
    c.balance = calloc((size_t)size->cards + 1, sizeof *c.balance);
    if (!c.balance) return 0;
    set_counts(&c);
    write_all(&c);
    out_end(&c.o);
    free(c.balance);
    return c.o.rows;
}
