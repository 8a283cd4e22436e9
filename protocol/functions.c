#include "protocol/functions.h"

#include <stdlib.h>
#include <utf8proc.h>

#include "protocol/buf.h"
#include "protocol/crypto.h"
#include "protocol/db.h"
#include "protocol/value.h"

#define DAY_MS INT64_C(86400000)
/* Of the years 0 and 10000. */
#define FIRST_MS INT64_C(-62167219200000)
#define LAST_MS INT64_C(253402300800000)

static void satchel_id(sqlite3_context *context, int argc, sqlite3_value **argv) {
    buf b;
    uint8_t hash[32];
    buf_init(&b, 0);
    for (int i = 0; i < argc; i++) {
        value v = value_of_sqlite(argv[i]);
        value_put(&b, &v);
    }
    if (b.rc) {
        sqlite3_result_error_nomem(context);
    } else {
        crypto_sha256(b.p, b.n, hash);
        sqlite3_result_blob(context, hash, 16, SQLITE_TRANSIENT);
    }
    buf_fini(&b);
}

/* The Gregorian calendar, from days since 1970; years begin in March, so that the leap day is the last. */
static void civil(int64_t days, int *year, int *month, int *day) {
    int64_t z = days + 719468, era = z / 146097; /* of 400 years */
    if (z % 146097 < 0) era--;
    int64_t of_era = z - era * 146097, year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100), m = (5 * of_year + 2) / 153;
    *day = (int)(of_year - (153 * m + 2) / 5 + 1);
    *month = (int)(m < 10 ? m + 3 : m - 9);
    *year = (int)(year_of_era + era * 400 + (*month <= 2));
}

/* The user data is the format. */
static void date_of(sqlite3_context *context, int argc, sqlite3_value **argv) {
    (void)argc;
    int type = sqlite3_value_numeric_type(argv[0]);
    int64_t ms = sqlite3_value_int64(argv[0]);
    if ((type != SQLITE_INTEGER && type != SQLITE_FLOAT) || ms < FIRST_MS || ms >= LAST_MS) return;
    int year, month, day;
    char text[16];
    civil((ms - (ms % DAY_MS + DAY_MS) % DAY_MS) / DAY_MS, &year, &month, &day);
    if (sqlite3_user_data(context))
        sqlite3_snprintf(sizeof text, text, "%04d-%02d", year, month);
    else
        sqlite3_snprintf(sizeof text, text, "%04d-%02d-%02d", year, month, day);
    sqlite3_result_text(context, text, -1, SQLITE_TRANSIENT);
}

static void fold(sqlite3_context *context, int argc, sqlite3_value **argv) {
    (void)argc;
    if (sqlite3_value_type(argv[0]) == SQLITE_NULL) return;
    const unsigned char *text = sqlite3_value_text(argv[0]);
    if (!text) {
        sqlite3_result_error_nomem(context);
        return;
    }
    utf8proc_uint8_t *folded = NULL;
    utf8proc_ssize_t n =
        utf8proc_map(text, sqlite3_value_bytes(argv[0]), &folded,
                     UTF8PROC_STABLE | UTF8PROC_COMPAT | UTF8PROC_DECOMPOSE | UTF8PROC_CASEFOLD | UTF8PROC_STRIPMARK);
    if (n == UTF8PROC_ERROR_NOMEM)
        sqlite3_result_error_nomem(context);
    else if (n < 0)
        sqlite3_result_value(context, argv[0]);
    else
        sqlite3_result_text64(context, (char *)folded, (sqlite3_uint64)n, free, SQLITE_UTF8);
}

int functions_register(sqlite3 *db) {
    static const char month = 1;
    const int flags = SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS;
    int sq = sqlite3_create_function_v2(db, "satchel_id", -1, flags, NULL, satchel_id, NULL, NULL, NULL);
    if (sq == SQLITE_OK) sq = sqlite3_create_function_v2(db, "day_of", 1, flags, NULL, date_of, NULL, NULL, NULL);
    if (sq == SQLITE_OK)
        sq = sqlite3_create_function_v2(db, "month_of", 1, flags, (void *)(uintptr_t)&month, date_of, NULL, NULL, NULL);
    if (sq == SQLITE_OK) sq = sqlite3_create_function_v2(db, "fold", 1, flags, NULL, fold, NULL, NULL, NULL);
    return db_rc(sq);
}
