/* company_private.h - what the company_*.c files share.
 *
 * Everything about row n of a kind is drawn from the seed, the kind and n alone, so that any row may be asked about again, in any
 * order, without being kept. No two draws stand in one expression whose order of evaluation is the compiler's choice. */
#ifndef TOOLS_COMPANY_PRIVATE_H
#define TOOLS_COMPANY_PRIVATE_H

#include "tools/company_make.h"
#include "tools/company_out.h"
#include "tools/company_words.h"

#define START_MS INT64_C(1704067200000) /* 2024-01-01 */
#define SPAN_MS INT64_C(78796800000)    /* to 2026-06-30 */
#define DAY_MS INT64_C(86400000)

#define REPS_PER_TERRITORY 2
#define CASHIERS_PER_STORE 2
#define TERRITORIES_PER_TEAM 5

/* Tables that have ids; the number is part of an id. */
typedef enum kind {
    TEAM,
    STORE,
    TERRITORY,
    USER,
    PRODUCT,
    ACCOUNT,
    CONTACT,
    POINT,
    ADDRESS,
    CONSENT,
    LEAD,
    DEAL,
    TICKET,
    TICKET_EVENT,
    INTERACTION,
    NOTE,
    TASK,
    CARD,
    PURCHASE,
    LINE,
    ENTRY,
    NKIND
} kind;

/* Streams of numbers that more than one table must draw alike. */
enum { DRAW_ACCOUNT_PLACE = NKIND, DRAW_CONTACT_TIES, DRAW_DEAL_ACCOUNT, DRAW_PURCHASE };

typedef struct company {
    company_size size;
    out o;
    uint32_t count[NKIND]; /* rows of each kind; of those that hang on others: how many so far */
    uint32_t reps, cashiers, managers, agents;
    int32_t *balance; /* points of each card */
} company;

/* Where a contact belongs, and its name. */
typedef struct ties {
    bool has_account;
    uint32_t account, rep, store;
    const word_city *city;
    const word_name *given, *family;
} ties;

/* The time of row n of a kind whose number of rows is known: they spread evenly. */
int64_t company_time(const company *c, kind k, uint32_t n);
int64_t company_later(rng *r, int64_t ms, unsigned days);
rng company_draw(const company *c, unsigned stream, uint32_t n);
/* One of the words, by the next number of r. */
#define PICK(r, words) ((words)[rng_below((r), words##_n)])

void company_put_id(company *c, kind k, uint32_t n);
/* The id of the next row of a kind that hangs on others. */
void company_put_child_id(company *c, kind k, int64_t ms);
/* The ids that 004_sales.data.sql and 006_commerce.data.sql give to what they hold. */
void company_put_seeded_id(company *c, unsigned number);

const word_city *company_city_of_store(uint32_t store);
const word_city *company_city_of_territory(uint32_t territory);
uint32_t company_territory_of_account(const company *c, uint32_t account);
uint32_t company_rep_of_account(const company *c, uint32_t account);
ties company_ties_of_contact(const company *c, uint32_t contact);
int64_t company_price_of_product(const company *c, uint32_t product);

/* company_sales.c, company_service.c, company_loyalty.c: their tables. */
void company_write_sales(company *c);
void company_write_service(company *c);
void company_write_loyalty(company *c);

#endif
