/* replica_fixture.h - a device's file in a temporary directory, with both connections, a clock that the test sets and randomness that
 * repeats; and a hand that writes pages and snapshots as a server would.
 *
 * The schema: table 1 `item` (columns 1 id, 2 name, 3 price, 4 stock (a counter), 5 note; updates win), table 2 `tag` (1 id, 2 label; deletes
 * win), table 3 `pair` (1 a, 2 b, 3 v; key (b, a), WITHOUT ROWID). */
#ifndef TESTS_REPLICA_FIXTURE_H
#define TESTS_REPLICA_FIXTURE_H

#include "protocol/delta.h"
#include "protocol/message.h"
#include "replica/apply.h"
#include "replica/file.h"
#include "replica/outbox.h"
#include "replica/overlay.h"
#include "tests/support/faults.h"

enum { ITEM = 1, TAG = 2, PAIR = 3 };
enum { ITEM_NAME = 2, ITEM_PRICE = 3, ITEM_STOCK = 4, ITEM_NOTE = 5, TAG_LABEL = 2, PAIR_V = 3 };

typedef struct fixture {
    char dir[64], path[96];
    file *f;
    sqlite3 *app;
    outbox_writer *w;
    uint64_t now_ms, random;
    unsigned committed; /* captured commits of the app */
} fixture;

/* cmocka setup and teardown: *state is the fixture, with the schema in place. */
int fixture_setup(void **state);
/* The same in a database of UTF-16, as the app may have made it: every text is converted. */
int fixture_setup_utf16(void **state);
int fixture_teardown(void **state);
env fixture_env(fixture *x);
/* Closes both connections and opens them again, as a process that was killed and started. */
void fixture_reopen(fixture *x);
/* Runs the next migration through the file. Returns its code. */
int fixture_migrate(fixture *x, const char *sql);

/* The app's SQL; must succeed. */
void app_sql(fixture *x, const char *sql);
int64_t app_integer(fixture *x, const char *sql);
/* The first column as text ("-" for no row, "NULL" for NULL); valid until the next call. */
const char *app_text(fixture *x, const char *sql);
/* All columns of `item` 'key' joined by '|', "-" if there is none. */
const char *item(fixture *x, const char *key);

/* Rows as a server writes them. */
delta_row row_of(uint32_t table, delta_op op, const char *key);
void row_set(delta_row *r, uint32_t column, value v);
value text_of(const char *text);
delta_row item_put(const char *key, const char *name, int64_t price, int64_t stock);
delta_row item_set(const char *key, uint32_t column, value v);

/* Applies a page of one commit, from the cursor so far to `seq`. Returns apply_page's code. */
int page_apply(fixture *x, uint64_t seq, const delta_row *rows, unsigned n);
/* Builds such a page into `out`. */
void page_build(fixture *x, const msg_page *head, uint64_t seq, const delta_row *rows, unsigned n, buf *out);
/* Stores a result. */
void accept_at(fixture *x, uint64_t number, uint64_t seq);
void refuse_with(fixture *x, uint64_t number, int rc, const char *text);
/* The server was put back to there. Returns its code. */
int rewind_file(fixture *x, uint64_t epoch_start);
/* The overlay's invariants hold, and the file is whole. */
void assert_sound(fixture *x);
/* Rows in satchel_base. */
int64_t bases(fixture *x);

#endif
