/* serving.h - a store with a schema and some devices in a directory of its own, and changes written in words, for the tests of the server.
 *
 * Changes are written as one line a transaction:
 *
 *   + item('a') n=1, note='x'     an insert; columns that are not named get their default, as capture would have it
 *   ~ item('a') note='y', n+=2, state:'open'>'done'     an update: set, a counter's difference, a guarded move
 *   - item('a')                   a deletion
 *
 * separated by ';'. Values are integers, reals with a point, 'texts', x'6869' blobs and NULL. `#7(1) #3=4` names a table and a column by number. Everything
 * asserts. */
#ifndef TESTS_SUPPORT_SERVING_H
#define TESTS_SUPPORT_SERVING_H

#include "server/ingest.h"
#include "server/store.h"

typedef struct serving {
    char dir[64];
    char path[96]; /* of the store's file */
    store *s;
    ingest *g; /* NULL until serving_ingest */
    uint64_t now_ms;
    ingest_result last; /* of push */
    int64_t conflict;   /* conflicts told so far */
} serving;

typedef struct device {
    author_info a;
    uint64_t number; /* last used */
    uint64_t ids;    /* makes transaction ids differ between two devices of one incarnation */
} device;

/* A new directory with schema/; nothing is opened. */
void serving_init(serving *v);
/* Removes the directory. Closes what is open. */
void serving_fini(serving *v);
/* Writes a file of the directory, such as "schema/001_a.sql". */
void serving_write(const serving *v, const char *name, const char *text);
void serving_remove(const serving *v, const char *name);
/* Opens the store with its schema directory; the code, and the words in `error`. */
int serving_try(serving *v, buf *error);
/* serving_init with one migration (and its data, or NULL), opened, with an ingest. */
void serving_open(serving *v, const char *sql, const char *data);
/* Opens store and ingest, again if they are open. */
void serving_reopen(serving *v);
void serving_close(serving *v);
void serving_begin(serving *v);
void serving_commit(serving *v);

/* Enrols a device and gives its first incarnation. */
device serving_device(serving *v, const char *name);
void serving_fingerprint(const char *name, uint8_t out[CRYPTO_FINGERPRINT_BYTES]);

/* The words as a delta. */
void serving_delta(const schema *s, const char *words, buf *out);
/* The same back: "+ item('a') n=1 note='x'; - item('b')", columns by name in ascending id. Valid until the next call. */
const char *serving_delta_text(const schema *s, const void *delta, size_t n);

/* Inside store_begin ... store_commit of its own: one transaction with the device's next number. `seconds` is its stamp, in seconds after 10:00. Returns the
 * result's code; the rest is in v->last. */
int push(serving *v, device *d, uint64_t base, int seconds, const char *words);
/* The same in full: `t` with number, id and so on as given; delta from the words unless t->delta is set. The code of ingest_push itself. */
int push_txn_raw(serving *v, device *d, push_txn *t, const char *words);
/* A transaction of the device with these words, as push would send it (delta is not set). */
push_txn make_txn(device *d, uint64_t base, int seconds);
uint64_t stamp_at(int seconds);

/* Every row: columns joined by '|', rows by ' ; '. Valid until the next call but three. */
const char *sql(serving *v, const char *query);
void sql_exec(serving *v, const char *text);
/* Conflicts since the last call: "item('a').n lww kept 2 lost 1 of 3", joined by "; ", "item('a') row kept - lost - of 3" for column 0; "" if none. The
 * number behind `of` is the author of what was lost. */
const char *conflicts(serving *v);
/* The newest commit's log as serving_delta_text has it; "" if it holds nothing. */
const char *logged(serving *v);

#endif
