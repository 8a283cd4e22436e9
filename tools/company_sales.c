#include "tools/company_private.h"

static void write_lead(company *c, uint32_t i) {
    static const char *const STATUS[] = {"new", "working", "nurturing", "qualified", "disqualified", "converted"};
    rng r = company_draw(c, LEAD, i);
    const word_name *given = &PICK(&r, words_given), *family = &PICK(&r, words_family);
    uint32_t rep = rng_below(&r, c->reps);
    out_row(&c->o);
    company_put_id(c, LEAD, i);
    out_text(&c->o, given->text);
    out_text(&c->o, family->text);
    const char *stem = PICK(&r, words_stem);
    out_format(&c->o, "%s %s", stem, PICK(&r, words_field));
    out_text(&c->o, PICK(&r, words_title));
    out_text(&c->o, company_city_of_territory(rep / REPS_PER_TERRITORY)->region);
    out_int(&c->o, 1 + rng_below(&r, 900));
    out_format(&c->o, "%s.%s%u@prospect.example", given->plain, family->plain, i);
    out_text(&c->o, PICK(&r, words_source));
    out_text(&c->o, STATUS[rng_below(&r, 6)]);
    out_int(&c->o, 1 + rng_below(&r, 100));
    company_put_id(c, USER, rep);
    company_put_id(c, USER, rep);
    out_int(&c->o, company_time(c, LEAD, i));
    out_row_end(&c->o);
}

static void write_leads(company *c) {
    out_table(
        &c->o, "lead",
        "id, given, family, company, job_title, region_code, company_size, email, source, status, score, owner_id, created_by,"
        " created_at");
    for (uint32_t i = 0; i < c->count[LEAD]; i++) write_lead(c, i);
}

static uint32_t account_of_deal(const company *c, uint32_t deal) {
    rng r = company_draw(c, DRAW_DEAL_ACCOUNT, deal);
    return rng_below(&r, c->count[ACCOUNT]);
}

/* Four in five deals are new business, over all its stages; the rest are renewals. */
static unsigned stage_of_deal(rng *r, unsigned *probability) {
    static const unsigned char NEW[] = {10, 25, 40, 60, 80, 100, 0}, RENEWAL[] = {50, 60, 75, 100, 0};
    bool renewal = rng_percent(r, 20);
    unsigned n = rng_below(r, renewal ? sizeof RENEWAL : sizeof NEW);
    *probability = renewal ? RENEWAL[n] : NEW[n];
    return (renewal ? 0xb201 : 0xb101) + n;
}

static void write_deal(company *c, uint32_t i) {
    rng r = company_draw(c, DEAL, i);
    uint32_t account = account_of_deal(c, i);
    unsigned probability, stage = stage_of_deal(&r, &probability);
    out_row(&c->o);
    company_put_id(c, DEAL, i);
    out_format(&c->o, "%s %u", PICK(&r, words_subject), i + 1);
    company_put_id(c, ACCOUNT, account);
    company_put_seeded_id(c, stage);
    int64_t units = 1 + rng_below(&r, 900);
    out_int(&c->o, units * (1 + rng_below(&r, 90)) * 1000);
    out_text(&c->o, company_city_of_territory(company_territory_of_account(c, account))->currency);
    out_int(&c->o, probability);
    out_int(&c->o, company_later(&r, company_time(c, DEAL, i), 180) / DAY_MS * DAY_MS);
    out_text(&c->o, PICK(&r, words_next_step));
    company_put_id(c, USER, company_rep_of_account(c, account));
    out_int(&c->o, rng_below(&r, 3));
    company_put_id(c, USER, company_rep_of_account(c, account));
    out_int(&c->o, company_time(c, DEAL, i));
    out_row_end(&c->o);
}

static void write_deals(company *c) {
    out_table(&c->o, "deal",
              "id, name, account_id, stage_id, amount_cents, currency, probability, close_date, next_step, owner_id, priority,"
              " created_by, created_at");
    for (uint32_t i = 0; i < c->count[DEAL]; i++) write_deal(c, i);
    out_table(&c->o, "deal_contact", "deal_id, contact_id, role, added_at");
    for (uint32_t i = 0; i < c->count[DEAL]; i++) {
        rng r = company_draw(c, DEAL + NKIND, i);
        out_row(&c->o);
        company_put_id(c, DEAL, i);
        company_put_id(c, CONTACT, rng_below(&r, c->size.contacts));
        out_text(&c->o, rng_percent(&r, 50) ? "decides" : "uses");
        out_int(&c->o, company_time(c, DEAL, i));
        out_row_end(&c->o);
    }
}

static void write_tasks(company *c) {
    out_table(&c->o, "task", "id, title, due_at, remind_at, assignee_id, parent_kind, parent_row, done_at, done_by");
    for (uint32_t i = 0; i < c->count[TASK]; i++) {
        rng r = company_draw(c, TASK, i);
        uint32_t deal = rng_below(&r, c->count[DEAL]), rep = company_rep_of_account(c, account_of_deal(c, deal));
        int64_t due = company_later(&r, company_time(c, TASK, i), 21);
        bool done = rng_percent(&r, 60);
        out_row(&c->o);
        company_put_id(c, TASK, i);
        out_text(&c->o, PICK(&r, words_next_step));
        out_int(&c->o, due);
        out_int(&c->o, due - DAY_MS);
        company_put_id(c, USER, rep);
        out_text(&c->o, "deal");
        company_put_id(c, DEAL, deal);
        if (done) {
            out_int(&c->o, due - 3600000);
            company_put_id(c, USER, rep);
        } else {
            out_null(&c->o);
            out_null(&c->o);
        }
        out_row_end(&c->o);
    }
}

void company_write_sales(company *c) {
    write_leads(c);
    write_deals(c);
    write_tasks(c);
}
