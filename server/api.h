/* api.h - what other systems (an ERP, a web shop, a warehouse) read and write over the HTTPS port, with a token.
 *
 *   GET  /v1/openapi.json               this interface as OpenAPI 3.1 (api/openapi.json), for anyone
 *   GET  /v1/tables                     the tables and columns, and where the store stands
 *   GET  /v1/tables/{table}/rows        rows in key order, page by page: limit, after, where.COLUMN
 *   GET  /v1/tables/{table}/rows/{key}  one row
 *   GET  /v1/changes                    what was committed after a seq: since, epoch, limit, wait, continue
 *   POST /v1/transactions               writes, through the same ingest as everybody's
 *   POST /v1/login, /v1/logout          a person signs in, and out; GET /v1/session: who that is
 *   POST /v1/admin/commands/{command}   a command of the admin's (control.h), in the name of who asks
 *
 * A program shows its token; a person's browser the cookie of a session, and with whatever is not a GET the session's X-CSRF-Token, from a page of this
 * server's own. A route says which rights a token needs, and which role a person.
 *
 * A call begins with a request's head, is served with its body, and then has its answer, at once or later. Reads, and everything that is
 * parsed, run on libuv's worker threads with connections of their own, a few at a time (API_READERS); writes are jobs of the hub's writer, which commits many
 * as one group. All functions run on the loop's thread. */
#ifndef SERVER_API_H
#define SERVER_API_H

#include "server/api_store.h"
#include "server/enrol.h"
#include "server/http.h"
#include "server/people.h"

/* Reads at one time; more wait, and beyond API_WAITING are told to come back (503). */
#define API_READERS 2
#define API_WAITING 256
/* The body of POST /v1/transactions; any value that a row can have fits. Larger: 413. */
#define API_BODY_BYTES (2u << 20)
/* Transactions of one request, and changes of one transaction. More: 422. */
#define API_TXNS 100
#define API_CHANGES 10000
/* Rows of a page and changes of a page: what is given without `limit`, and the most. A page also ends when it is API_PAGE_BYTES long. */
#define API_ROWS_DEFAULT 100
#define API_ROWS_MAX 1000
#define API_CHANGES_DEFAULT 1000
#define API_CHANGES_MAX 10000
#define API_PAGE_BYTES (1u << 20)
/* Conditions of one request. More: 400. */
#define API_FILTERS 8
/* The longest wait for a change; how long a read may take (503). */
#define API_WAIT_MAX_S 60
#define API_READ_MS 5000
/* An Idempotency-Key: 1 to so many bytes of visible ASCII. Its answer is kept for so long. */
#define API_KEY_BYTES 128
#define API_ANSWER_DAYS 7

typedef struct api api;
typedef struct api_call api_call;

/* Reads the tokens. Wrong ones are counted in `limiter`, which is the enrolment's too: above its bound they are told to wait (429). */
int api_open(service *sv, enrol_limiter *limiter, api **out);
/* After loop_close. */
void api_close(api *a);

/* A token was made or revoked, as of now. */
void api_token_changed(api *a, const api_token *token);
/* The same of a user who was made, changed or removed. */
void api_user_changed(api *a, const people_user *user);

/* Takes a request's head. NULL: *answer has the answer already, unless the path is none of these (404) or memory ran out (503): it has those too. */
api_call *api_begin(api *a, const http_request *request, http_answer *answer);
/* The largest body that the call takes. */
size_t api_body_limit(const api_call *c);
/* Serves it, and takes the body's content over. `done(owner)` follows once, perhaps before this returns, when *answer of api_begin is filled. */
void api_serve(api_call *c, buf *body, void (*done)(void *owner), void *owner);
/* How long the answer may take. */
unsigned api_patience_s(const api_call *c);
/* It takes too long: answers at once. */
void api_expire(api_call *c);
/* Nobody waits any more: done is not called after this. */
void api_end(api_call *c);

/* Appends Prometheus' metrics. */
void api_metrics(const api *a, buf *out);

/* Appends a problem (RFC 9457). `rest` is more members, each with a comma before it; words may be NULL. */
void api_problem(buf *out, unsigned status, const char *code, const char *title, const char *detail, const char *rest);

#endif
