/* crm.h - what the files of the program `crm` share. It alone knows the tables of server/crm; it works on a device's file and needs no network.
 *
 * A verb returns the program's exit status: 0 done, 1 failed, 2 wrong usage. Results go to standard output, everything else to standard error. A verb that writes
 * runs within one transaction, which is committed if it returns 0 and else undone. */
#ifndef TOOLS_CRM_H
#define TOOLS_CRM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "tools/device.h"

enum { CRM_ID_BYTES = 16, CRM_HEX_BYTES = 2 * CRM_ID_BYTES + 1, CRM_SAID_BYTES = 512 };

/* The options of all verbs; crm.c has their names and words. */
typedef enum crm_option {
    CRM_DB,
    CRM_IDENTITY,
    CRM_KEY_FILE,
    CRM_USER,
    CRM_JSON,
    CRM_HELP,
    CRM_VERSION,
    CRM_GIVEN,
    CRM_FAMILY,
    CRM_COMPANY,
    CRM_NEW_COMPANY,
    CRM_TITLE,
    CRM_EMAIL,
    CRM_PHONE,
    CRM_SOURCE,
    CRM_REGION,
    CRM_SIZE,
    CRM_STATUS,
    CRM_LIFECYCLE,
    CRM_TAG,
    CRM_UNTAG,
    CRM_STAGE,
    CRM_AMOUNT,
    CRM_CURRENCY,
    CRM_CLOSE,
    CRM_NEXT_STEP,
    CRM_LOST_REASON,
    CRM_CHANNEL,
    CRM_DIRECTION,
    CRM_SUBJECT,
    CRM_BODY,
    CRM_AT,
    CRM_DEAL,
    CRM_KIND,
    CRM_QTY,
    CRM_PRICE,
    CRM_VALID,
    CRM_WHY,
    CRM_MINE,
    CRM_ALL,
    CRM_INTERNAL,
    CRM_LIMIT,
    CRM_OPTIONS
} crm_option;

typedef struct crm {
    const char *opt[CRM_OPTIONS]; /* NULL: not given; "" for one that takes no value */
    int narg;                     /* operands after the verb */
    char **arg;
    satchel *s;
    sqlite3 *db;
    bool json;
    int64_t now_ms;
    int64_t limit;              /* rows of a list */
    uint8_t user[CRM_ID_BYTES]; /* who writes; a verb that writes has one */
    char done[CRM_HEX_BYTES];   /* what a verb that wrote says after the COMMIT: the row, */
    char said[CRM_SAID_BYTES];  /* and in words */
} crm;

typedef int crm_verb(crm *c);
crm_verb crm_contact_find, crm_contact_show, crm_contact_add, crm_contact_edit, crm_lead_add, crm_lead_list, crm_lead_status,
    crm_lead_convert, crm_deal_list, crm_deal_show, crm_deal_move, crm_visit_log, crm_task_list, crm_task_due, crm_task_done,
    crm_ticket_list, crm_ticket_show, crm_ticket_add, crm_ticket_reply, crm_ticket_state, crm_quote_list, crm_quote_show,
    crm_quote_add, crm_quote_line, crm_quote_send, crm_quote_accept, crm_quote_status, crm_article_find, crm_article_show,
    crm_search, crm_company_assign, crm_contact_assign, crm_lead_assign, crm_deal_assign, crm_ticket_assign, crm_request_list;

/* ---- saying (crm_print.c) ---- */

/* Writes text, as somebody else may have written it, without what a terminal obeys. */
void crm_put_clean(FILE *to, const char *text);
/* Says what is wrong ("crm: ...") and returns 1. */
int crm_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same with what the database and the library say. */
int crm_fail_db(crm *c, const char *what);
/* Keeps what is to be said once all is committed: "contact 0199ab: added". */
void crm_say(crm *c, const uint8_t id[CRM_ID_BYTES], const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Prints that. */
void crm_print_said(crm *c);
/* Prints the rows of a statement, which it ends: a table, or with --json objects, one a line. In a table a column whose name ends in _at or _date is milliseconds and shown as local time, one in
 * _cents as an amount, and one whose name begins with a dot is not shown. Control characters of values are not sent to the terminal. `title`, if not NULL,
 * stands above the table, and nothing is printed of a table without rows. NULL for a statement prints nothing. Returns an exit status. */
int crm_print_table(crm *c, const char *title, sqlite3_stmt *q);
/* One kind of what hangs on a row: ?1 of the query is the row's id, ?2, if it has one, the limit. */
typedef struct crm_part {
    const char *name, *sql;
} crm_part;
/* Prints what `card` has about a row, its id being ?1, as lines of name and value, without what is NULL, and then the parts as tables; with --json one object, in which
 * each part is an array. Returns an exit status. */
int crm_show(crm *c, const uint8_t id[CRM_ID_BYTES], const char *card, const crm_part *part, size_t parts);

/* ---- rows (crm_data.c) ---- */

/* Prepares a statement and binds its ?1, ?2 ... by `types`: t text, i int64_t, b an id of 16 bytes; a NULL pointer binds NULL. NULL, and says why, if that cannot be.
 * Texts and ids are the caller's until the statement's end. */
sqlite3_stmt *crm_query(crm *c, const char *sql, const char *types, ...);
/* Runs one that gives no rows. False, and says why, if it failed. */
bool crm_do(crm *c, const char *sql, const char *types, ...);
/* The first column of the first row as text, to be freed; NULL if there is no row or it is NULL. */
char *crm_text(crm *c, const char *sql, const char *types, ...);
/* The id that the query, whose ?1 is `of`, gives in its first column; false if it gives none. */
bool crm_id_of(crm *c, const char *sql, const uint8_t *of, uint8_t id[CRM_ID_BYTES]);
/* Makes an id. */
bool crm_new_id(crm *c, uint8_t id[CRM_ID_BYTES]);
void crm_hex(const uint8_t id[CRM_ID_BYTES], char out[CRM_HEX_BYTES]);
/* Registers what the queries here call: crm_id(table, id), an id as it is shown, which is all of it in JSON, and in a table as much as no other row of the table begins with;
 * crm_id(id), all of it; phone_key(text), digits last first. */
int crm_functions(crm *c);
/* Takes what people type; false, and says what the option takes. Not given: true, and *out NULL. `room` is where the value lies. */
bool crm_take_time(crm *c, crm_option o, int64_t *room, const int64_t **out);
bool crm_take_number(crm *c, crm_option o, int64_t *room, const int64_t **out);
bool crm_take_money(crm *c, crm_option o, int64_t *room, const int64_t **out);
/* Whether --currency, if it is given, is such a code; else says what it takes. */
bool crm_is_currency(const crm *c);
const char *crm_option_name(crm_option o);

/* A person's name, of rows that a query calls t or x. */
#define CRM_NAME_T "nullif(trim(coalesce(t.given, '') || ' ' || coalesce(t.family, '')), '')"
#define CRM_NAME_X "nullif(trim(coalesce(x.given, '') || ' ' || coalesce(x.family, '')), '')"
/* The office's own fields of the row ?1, and of the company if it is a contact: a part of its card. */
#define CRM_FIELDS                                                                                                               \
    {                                                                                                                            \
        "fields",                                                                                                                \
            "SELECT f.entity AS whose, coalesce(f.name, '(not known here)') AS field, f.value FROM custom_fields f"              \
            " WHERE f.entity_row IN (?1, (SELECT account_id FROM contact WHERE id = ?1)) ORDER BY f.entity DESC, f.pos, f.name"  \
    }

/* ---- finding (crm_find.c) ---- */

typedef enum crm_kind {
    CRM_A_CONTACT,
    CRM_A_COMPANY,
    CRM_A_LEAD,
    CRM_A_DEAL,
    CRM_A_TASK,
    CRM_A_TICKET,
    CRM_A_QUOTE,
    CRM_A_PRODUCT,
    CRM_AN_ARTICLE,
    CRM_A_USER
} crm_kind;

/* Whether there is nothing but blanks. */
bool crm_is_blank(const char *text);
/* Finds the one row that `text` means: by a prefix of its id (four digits or more), its name, or what else the kind is known by. False, and says which there are or what to do,
 * if it means none or several. */
bool crm_find(crm *c, crm_kind kind, const char *text, uint8_t id[CRM_ID_BYTES]);
/* Finds a stage by name or id among those of the deal's pipeline. */
bool crm_find_stage(crm *c, const uint8_t deal[CRM_ID_BYTES], const char *text, uint8_t id[CRM_ID_BYTES]);
/* Whether `moves`, a query of the values that are allowed next, which it ends, has `to`; else says what is not so, and which there are. `what` as in "the status cannot go from lead to". */
bool crm_is_allowed(sqlite3_stmt *moves, const char *to, const char *what);
/* Whether --status, if it is given, is one that the table of moves from_`column`, to_`column` knows; else says which there are. */
bool crm_is_status(crm *c, const char *moves, const char *column);

/* Whether it is one that interactions and tickets come by; else says which there are. (crm_work.c) */
bool crm_is_channel(crm *c, const char *channel);

/* ---- deals (crm_sales.c) ---- */

/* What an interaction or the like does to its deal, as stage_move says: moves it, logs that as caused by `cause`, and adds the tasks of the stage. The server does the same when it hears of it, and
 * finds it done. *about, to be freed, tells where the deal is then: "; deal X moved to Won". */
bool crm_deal_event(crm *c, const uint8_t deal[CRM_ID_BYTES], const char *event, const uint8_t cause[CRM_ID_BYTES],
                    const int64_t *at, char **about);

/* ---- the search index (crm_search.c) ----
 *
 * crm_search, an FTS5 table, holds a text per contact, company and lead; crm_doc has its rowids by id. Triggers on the synced tables take out the text of what
 * changed and write its id to crm_stale, for changes that came from the server as well, and the program puts the new text in before it looks for words. The triggers name no column but ids, so
 * that no migration trips over them. All of it is local to the file. */

/* Makes the index if it is not there, or if a migration made a table anew, and takes in what changed; nothing is written if it is as it should be. In the verb's transaction,
 * or else one of its own, which is left open if it failed. */
bool crm_search_make(crm *c);
/* What a user types as an expression of FTS5, to be freed: all words, each as a beginning unless `whole`; digits also as the end of a phone number, and if none of `kind`, NULL
 * being any, ends so, without the zeros before them. Makes the index first. NULL, and says why, if that cannot be. */
char *crm_search_words(crm *c, const char *text, const char *kind, bool whole);

#endif
