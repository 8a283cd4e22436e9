/* api_private.h - what the files of the API share: a call on its way from the request's head to the answer.
 *
 * api.c has routes, the queue of reads and the answers; api_auth.c who may; api_write.c transactions; api_read.c tables and rows; api_feed.c changes. */
#ifndef SERVER_API_PRIVATE_H
#define SERVER_API_PRIVATE_H

#include <stdatomic.h>

#include "server/api.h"
#include "server/audit.h"
#include "server/pages.h"
#include "server/people.h"
#include "server/record.h"

#define API_JSON "application/json"
#define API_PROBLEM "application/problem+json"
/* The body of a login; how long one may take where others wait for their turn; how long a command. */
#define API_LOGIN_BYTES 4096
#define API_LOGIN_S 60
#define API_COMMAND_S 900
/* Of one person or token: calls of the admin's routes at one time, those of them that are whole lists as text, and, in a minute, reads that the writer makes,
 * refusals that are noted, and bytes of answers, which wait in memory for a minute if they are not taken. More are told to come back. */
#define API_OF_ONE 32
#define API_LISTS_OF_ONE 2
#define API_READS_OF_ONE 60
#define API_REFUSALS_OF_ONE 60
#define API_BYTES_OF_ONE ((size_t)256 << 20)

/* A connection beside the writer; used by one worker at a time. */
typedef struct api_reader {
    const struct api_call *call; /* it is at work for; the loop's. NULL: none */
    bool open;
    pages file;
    schema *schema;
    struct console *console; /* of the admin's reads; NULL: it has served none yet (console_private.h) */
} api_reader;

/* Where the store stands in the transaction that a reader has open. */
typedef struct api_position {
    uint64_t seq, floor;
    uint8_t epoch[EPOCH_BYTES];
} api_position;

typedef struct api_route {
    http_method method;
    const char *head, *tail; /* of the path; tail NULL: the head is all of it */
    unsigned rights;         /* 0: for anyone */
    const char *args;        /* that the query may have, each between blanks; "where." for conditions */
    size_t body;             /* 0: it takes none */
    /* On a worker thread, with a reader: answers, or leaves out.status 0 for `next`. */
    void (*work)(api_call *c, api_reader *r); /* NULL: it has only `next` */
    /* On the loop, when there is no answer yet; may be NULL. */
    void (*next)(api_call *c);
    people_role role; /* of people, and of tokens with console scopes, beside `rights`; PEOPLE_NONE: not for people */
} api_route;

/* Who asks: a program by its token, a person by a session, or anyone. */
typedef struct api_principal {
    api_token token;    /* id 0: none */
    people_login login; /* id 0: none; then `name` is whose it is */
    people_role role;   /* what they may do over the console; NONE: a program without a console scope, or anyone */
    char name[LIMIT_NAME_BYTES + 1];
} api_principal;

struct api_call {
    api *api;
    const api_route *route;
    http_answer *answer; /* the caller's, until api_end */
    void (*done)(void *owner);
    void *owner;
    api_principal who;
    char *table, *key;
    char idempotency_key[API_KEY_BYTES + 1];
    size_t narg;
    char **arg;
    buf body;
    http_answer out; /* status 0: none yet */

    bool held;             /* a worker or the writer has it */
    atomic_bool abandoned; /* whoever has it need not go on */
    bool waiting, parked, answered;
    api_call *next;
    api_reader *reader;
    uv_work_t work;
    uint64_t deadline_ms;      /* of a worker's read, on the clock of now_ms */
    uint64_t wait_s, until_ms; /* of a wait for changes, and its end on the loop's clock (0: not begun) */
    uint64_t seen_seq;         /* that the answer was made as of */
    struct api_write *write;
    struct api_command *command;
    api_call *next_there, **there; /* among all that there are */
    char peer[46], agent[PEOPLE_AGENT_BYTES + 1];
};

/* What somebody did in a minute. */
typedef struct api_pace {
    audit_who who; /* without the peer; "": nobody's */
    uint64_t since_ms;
    unsigned reads, refusals;
    size_t bytes;
} api_pace;

struct api {
    service *service;
    enrol_limiter *limiter;
    api_token *token; /* that are not revoked */
    size_t ntoken;
    struct api_people *people;
    api_reader reader[API_READERS];
    api_call *first, **last; /* waiting for a reader */
    unsigned waiting;
    api_call *there; /* all */
    api_pace pace[64];
    api_call *parked;        /* waiting for a commit */
    uv_timer_t *look;        /* NULL: nobody is parked */
    uint64_t by_status[600]; /* answers */
    uint64_t transactions, refused, replayed;
    uint64_t pruned_ms; /* the writer's: when old answers were looked for */
};

/* ---- api.c ---- */

/* The value of an argument, NULL if it is not given. */
const char *api_arg(const api_call *c, const char *name);
/* A whole number of the query; false after answering. */
bool api_number(api_call *c, const char *name, uint64_t most, uint64_t *out);
/* Begins an answer of JSON, to be appended to out.body. */
void api_answer(api_call *c, unsigned status);
/* Answers with a problem. */
void api_refuse(api_call *c, unsigned status, int rc, const char *format, ...) __attribute__((format(printf, 4, 5)));
/* satchel_rc_text, but for codes whose words are meant for a caller in C. */
const char *api_title(int rc);
/* Answers for a failed read. */
void api_fail(api_call *c, const api_reader *r, int rc);
/* The status of a refused transaction, or of a failure. */
unsigned api_status(int rc);
/* The answer is made: tells it. On the loop. */
void api_complete(api_call *c);
/* Gives the call to a worker, at once or when one is free. */
void api_enqueue(api_call *c);
/* Nobody has the call any more; frees it if nobody waits for it. True if it is gone. */
bool api_release(api_call *c);
/* Runs until `deadline_ms`, on the clock of now_ms; api_read_end in any case. */
int api_read_begin(api_call *c, api_reader *r, api_position *at);
void api_read_end(api_reader *r);
void api_put_epoch(buf *out, const uint8_t epoch[EPOCH_BYTES]);
uint64_t api_clock_ms(void);

/* ---- api_auth.c ---- */

int api_load_tokens(api *a);
/* False after answering: the request has no token and no session that may do this, or comes from a page of somebody else's. */
bool api_admit(api *a, const http_request *request, const api_route *route, api_principal *out, http_answer *answer);
/* On the loop: notes that the token or the session was used, now and then. */
void api_note_use(api *a, const api_principal *who);
/* As the audit log calls whoever asks. */
void api_actor(const api_principal *who, const char *peer, audit_who *out);

/* ---- api_people.c: people and their sessions, in memory ---- */

typedef struct api_people api_people;
int api_load_people(api *a);
void api_free_people(api *a);
/* The session of the Cookie header; false if there is none that has not ended. It is used by this. */
bool api_find_login(api *a, const char *cookie, api_principal *out);
/* Whether a password may be tried under the name of whoever asks; false after answering. It counts from here on, though nobody should wait for the answer. */
bool api_begin_try(api_call *c, people_tries *before);
/* It was wrong (SATCHEL_E_AUTH), or never compared, and does not count. */
void api_end_try(api_call *c, int rc, const people_tries *before);
/* Whether it is time to note the use of a session in the store. */
bool api_login_is_noted(api *a, int64_t login);

/* ---- the routes ---- */

void api_openapi(api_call *c, api_reader *r);
void api_list_tables(api_call *c, api_reader *r);
void api_list_rows(api_call *c, api_reader *r);
void api_one_row(api_call *c, api_reader *r);
void api_changes(api_call *c, api_reader *r);
/* Parks a call that waits for a commit. */
void api_wait(api_call *c);
/* A parked call is no more. */
void api_unpark(api_call *c);
void api_parse_write(api_call *c, api_reader *r);
void api_submit_write(api_call *c);
void api_write_free(struct api_write *w);
void api_login(api_call *c);
void api_logout(api_call *c);
void api_session(api_call *c);
void api_parse_command(api_call *c, api_reader *r);
void api_run_command(api_call *c);
/* A command by somebody who is known was refused at the door: it is noted as one that ran and failed is. */
void api_command_refused(api *a, const api_principal *who, const http_request *request, const api_route *route);
/* What whoever asks did in this minute. */
api_pace *api_pace_of(api *a, const api_principal *who);
/* Whether it is time for a read of theirs that the writer makes; false after answering. */
bool api_may_use_writer(api_call *c);
/* Whoever asked waits no more: what takes long ends, undone. */
void api_command_abandon(api_call *c);
void api_command_free(struct api_command *k);

#endif
