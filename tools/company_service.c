#include "tools/company_private.h"

/* How a ticket stands, and how many of its events there are for it. */
typedef struct ticket_course {
    const char *state;
    unsigned events;
} ticket_course;

static ticket_course course_of_ticket(const company *c, uint32_t i) {
    static const ticket_course COURSES[] = {{"open", 1},     {"open", 2},   {"pending", 3},
                                            {"resolved", 4}, {"closed", 5}, {"closed", 5}};
    rng r = company_draw(c, TICKET + NKIND, i);
    return COURSES[rng_below(&r, 6)];
}

static uint32_t agent_of_ticket(const company *c, uint32_t i) {
    return c->reps + c->cashiers + c->managers + i % c->agents;
}

static int64_t event_time(const company *c, uint32_t ticket, unsigned event) {
    return company_time(c, TICKET, ticket) + (int64_t)event * (1 + ticket % 17) * 3600000;
}

static void put_event_time(company *c, uint32_t ticket, unsigned event, unsigned events) {
    if (event < events)
        out_int(&c->o, event_time(c, ticket, event));
    else
        out_null(&c->o);
}

static void write_ticket(company *c, uint32_t i) {
    static const char *const KINDS[] = {"question", "problem", "complaint"}, *const CHANNELS[] = {"phone", "email", "web", "chat",
                                                                                                  "pos"};
    rng r = company_draw(c, TICKET, i);
    ticket_course course = course_of_ticket(c, i);
    out_row(&c->o);
    company_put_id(c, TICKET, i);
    out_format(&c->o, "T-%06u", i + 1);
    company_put_id(c, CONTACT, rng_below(&r, c->size.contacts));
    out_text(&c->o, KINDS[rng_below(&r, 3)]);
    out_text(&c->o, CHANNELS[rng_below(&r, 5)]);
    out_text(&c->o, PICK(&r, words_complaint));
    out_int(&c->o, 1 + rng_below(&r, 5));
    out_text(&c->o, course.state);
    company_put_id(c, USER, agent_of_ticket(c, i));
    out_int(&c->o, 1 + (rng_below(&r, 10) == 0));
    out_int(&c->o, event_time(c, i, 0));
    put_event_time(c, i, 1, course.events);
    put_event_time(c, i, 3, course.events);
    out_int(&c->o, company_time(c, TICKET, i) + 2 * DAY_MS);
    out_row_end(&c->o);
}

static void write_ticket_event(company *c, uint32_t ticket, unsigned event) {
    static const char *const KINDS[] = {"opened", "reply", "comment", "resolved", "closed"};
    rng r = company_draw(c, TICKET_EVENT, ticket * 8 + event);
    out_row(&c->o);
    company_put_child_id(c, TICKET_EVENT, event_time(c, ticket, event));
    company_put_id(c, TICKET, ticket);
    out_text(&c->o, KINDS[event]);
    out_text(&c->o, event == 0 ? PICK(&r, words_complaint) : PICK(&r, words_sentence));
    out_int(&c->o, event_time(c, ticket, event));
    company_put_id(c, USER, agent_of_ticket(c, ticket));
    out_int(&c->o, event == 2);
    out_row_end(&c->o);
}

static void write_tickets(company *c) {
    out_table(&c->o, "ticket",
              "id, number, contact_id, kind, channel, subject, priority, state, assignee_id, level, opened_at, first_response_at,"
              " resolved_at, sla_due_at");
    for (uint32_t i = 0; i < c->count[TICKET]; i++) write_ticket(c, i);
    out_table(&c->o, "ticket_event", "id, ticket_id, kind, body, at, by_user, internal");
    for (uint32_t i = 0; i < c->count[TICKET]; i++)
        for (unsigned e = 0; e < course_of_ticket(c, i).events; e++) write_ticket_event(c, i, e);
}

static void write_interaction(company *c, uint32_t i) {
    static const char *const CHANNELS[] = {"phone", "email", "web", "social", "meeting", "chat"};
    rng r = company_draw(c, INTERACTION, i);
    uint32_t contact = rng_below(&r, c->size.contacts), channel = rng_below(&r, 6);
    ties t = company_ties_of_contact(c, contact);
    out_row(&c->o);
    company_put_id(c, INTERACTION, i);
    company_put_id(c, CONTACT, contact);
    if (t.has_account)
        company_put_id(c, ACCOUNT, t.account);
    else
        out_null(&c->o);
    out_text(&c->o, CHANNELS[channel]);
    out_text(&c->o, rng_percent(&r, 50) ? "in" : "out");
    out_int(&c->o, company_time(c, INTERACTION, i));
    out_text(&c->o, PICK(&r, words_subject));
    out_text(&c->o, PICK(&r, words_sentence));
    company_put_id(c, USER, t.rep);
    if (channel == 1)
        out_format(&c->o, "<%u.%llu@mail.example>", i, (unsigned long long)c->size.seed);
    else
        out_null(&c->o);
    out_row_end(&c->o);
}

static void write_interactions(company *c) {
    out_table(&c->o, "interaction", "id, contact_id, account_id, channel, direction, at, subject, body, by_user, ext_key");
    for (uint32_t i = 0; i < c->count[INTERACTION]; i++) write_interaction(c, i);
}

/* Every second note is about a deal, the others about a contact. */
static void write_notes(company *c) {
    out_table(&c->o, "note", "id, parent_kind, parent_row, body, by_user, at");
    for (uint32_t i = 0; i < c->count[NOTE]; i++) {
        rng r = company_draw(c, NOTE, i);
        kind parent = i % 2 ? DEAL : CONTACT;
        out_row(&c->o);
        company_put_id(c, NOTE, i);
        out_text(&c->o, parent == DEAL ? "deal" : "contact");
        company_put_id(c, parent, rng_below(&r, c->count[parent]));
        const char *first = PICK(&r, words_sentence);
        out_format(&c->o, "%s %s", first, PICK(&r, words_sentence));
        company_put_id(c, USER, rng_below(&r, c->reps));
        out_int(&c->o, company_time(c, NOTE, i));
        out_row_end(&c->o);
    }
}

void company_write_service(company *c) {
    write_tickets(c);
    write_interactions(c);
    write_notes(c);
}
