#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "protocol/capture_internal.h"
#include "protocol/db.h"
#include "protocol/functions.h"
#include "protocol/satchel_rc.h"

/* The last identifier that this connection made. */
typedef struct uuid_state {
    uint64_t ms;
    uint64_t high; /* rand_a, 12 bits */
    uint64_t low;  /* rand_b, 62 bits */
} uuid_state;

#define HIGH_MAX 0xfffu
#define LOW_MAX 0x3fffffffffffffffu

static uint64_t wall_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* RFC 9562 section 6.2, method 2: within a millisecond (or while the clock stands behind the last one) the random part is
 * raised by a random step; where it would overflow, the time is. Straight from the system's source, so that a forked process does not repeat
 * its parent's. */
static int uuid_next(uuid_state *s) {
    uint64_t random[2];
    if (getentropy(random, sizeof random)) return SATCHEL_E_INTERNAL;
    uint64_t ms = wall_ms() & 0xffffffffffffu;
    bool fresh = ms > s->ms;
    if (!fresh) {
        uint64_t step = 1 + (random[0] & 0xffffffffu);
        bool carry = s->low > LOW_MAX - step;
        s->low = (s->low + step) & LOW_MAX;
        s->high += carry;
        fresh = s->high > HIGH_MAX;
        ms = s->ms + fresh;
    }
    s->ms = ms;
    if (fresh) {
        s->high = random[0] & (HIGH_MAX >> 1); /* the top bit is left for counting up */
        s->low = random[1] & LOW_MAX;
    }
    return SATCHEL_OK;
}

static void uuid_write(const uuid_state *s, uint8_t out[16]) {
    for (int i = 0; i < 6; i++) out[i] = (uint8_t)(s->ms >> (40 - 8 * i));
    out[6] = (uint8_t)(0x70 | s->high >> 8);
    out[7] = (uint8_t)s->high;
    for (int i = 0; i < 8; i++) out[8 + i] = (uint8_t)(s->low >> (56 - 8 * i));
    out[8] = (uint8_t)((out[8] & 0x3f) | 0x80);
}

static void uuid7(sqlite3_context *context, int argc, sqlite3_value **argv) {
    (void)argc, (void)argv;
    uuid_state *s = sqlite3_user_data(context);
    if (uuid_next(s)) {
        sqlite3_result_error(context, "uuid7(): the system has no randomness", -1);
        return;
    }
    uint8_t out[16];
    uuid_write(s, out);
    sqlite3_result_blob(context, out, sizeof out, SQLITE_TRANSIENT);
}

static void constant_local(sqlite3_context *context, int argc, sqlite3_value **argv) {
    (void)argc, (void)argv;
    sqlite3_result_int(context, sqlite3_user_data(context) != NULL);
}

int capture_functions_own(sqlite3 *db) {
    uuid_state *s = calloc(1, sizeof *s);
    if (!s) return SATCHEL_E_NOMEM;
    int rc = db_rc(sqlite3_create_function_v2(db, "uuid7", 0, SQLITE_UTF8 | SQLITE_INNOCUOUS, s, uuid7, NULL, NULL, free));
    return rc ? rc : functions_register(db);
}

int capture_functions(sqlite3 *db, bool local) {
    static const char yes = 1;
    int rc = capture_functions_own(db);
    if (rc) return rc;
    return db_rc(sqlite3_create_function_v2(db, "satchel_local", 0, SQLITE_UTF8 | SQLITE_INNOCUOUS,
                                            local ? (void *)(uintptr_t)&yes : NULL, constant_local, NULL, NULL, NULL));
}
