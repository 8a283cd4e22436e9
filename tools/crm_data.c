/* Rows: statements with their values, ids, and the values that people type. */
#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "tools/crm.h"

/* ---- statements ---- */

static int bind_one(sqlite3_stmt *q, int i, char type, va_list *values) {
    if (type == 'i') {
        const int64_t *number = va_arg(*values, const int64_t *);
        return number ? sqlite3_bind_int64(q, i, *number) : SQLITE_OK;
    }
    if (type == 't') return sqlite3_bind_text(q, i, va_arg(*values, const char *), -1, SQLITE_STATIC);
    return sqlite3_bind_blob(q, i, va_arg(*values, const uint8_t *), CRM_ID_BYTES, SQLITE_STATIC);
}

static sqlite3_stmt *prepare(crm *c, const char *sql, const char *types, va_list *values) {
    sqlite3_stmt *q = NULL;
    int rc = sqlite3_prepare_v2(c->db, sql, -1, &q, NULL);
    for (int i = 0; !rc && types[i]; i++) rc = bind_one(q, i + 1, types[i], values);
    if (!rc) return q;
    crm_fail_db(c, "cannot read");
    sqlite3_finalize(q);
    return NULL;
}

sqlite3_stmt *crm_query(crm *c, const char *sql, const char *types, ...) {
    va_list values;
    va_start(values, types);
    sqlite3_stmt *q = prepare(c, sql, types, &values);
    va_end(values);
    return q;
}

bool crm_do(crm *c, const char *sql, const char *types, ...) {
    va_list values;
    va_start(values, types);
    sqlite3_stmt *q = prepare(c, sql, types, &values);
    va_end(values);
    if (!q) return false;
    bool done = sqlite3_step(q) == SQLITE_DONE;
    if (!done) crm_fail_db(c, "cannot write");
    sqlite3_finalize(q);
    return done;
}

char *crm_text(crm *c, const char *sql, const char *types, ...) {
    va_list values;
    va_start(values, types);
    sqlite3_stmt *q = prepare(c, sql, types, &values);
    va_end(values);
    int rc = q ? sqlite3_step(q) : SQLITE_DONE;
    const char *text = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(q, 0) : NULL;
    char *out = text ? strdup(text) : NULL;
    if (rc != SQLITE_ROW && rc != SQLITE_DONE) crm_fail_db(c, "cannot read");
    sqlite3_finalize(q);
    return out;
}

/* ---- ids and functions ---- */

void crm_hex(const uint8_t id[CRM_ID_BYTES], char out[CRM_HEX_BYTES]) {
    for (int i = 0; i < CRM_ID_BYTES; i++) snprintf(out + 2 * i, 3, "%02x", id[i]);
}

static bool take_id(sqlite3_stmt *q, uint8_t id[CRM_ID_BYTES]) {
    bool there = q && sqlite3_step(q) == SQLITE_ROW && sqlite3_column_bytes(q, 0) == CRM_ID_BYTES;
    if (there) memcpy(id, sqlite3_column_blob(q, 0), CRM_ID_BYTES);
    return there;
}

bool crm_id_of(crm *c, const char *sql, const uint8_t *of, uint8_t id[CRM_ID_BYTES]) {
    sqlite3_stmt *q = crm_query(c, sql, "b", of);
    bool there = take_id(q, id);
    sqlite3_finalize(q);
    return there;
}

bool crm_new_id(crm *c, uint8_t id[CRM_ID_BYTES]) {
    sqlite3_stmt *q = crm_query(c, "SELECT uuid7()", "");
    bool made = take_id(q, id);
    if (q && !made) crm_fail_db(c, "cannot make an id");
    sqlite3_finalize(q);
    return made;
}

/* How many hexadecimal digits two ids have in common at their beginning. */
static int common_digits(const uint8_t *a, sqlite3_value *other) {
    const uint8_t *b = sqlite3_value_blob(other);
    int n = sqlite3_value_bytes(other), i = 0;
    while (b && i < n && i < CRM_ID_BYTES && a[i] == b[i]) i++;
    return 2 * i + (b && i < n && i < CRM_ID_BYTES && a[i] >> 4 == b[i] >> 4);
}

/* The digits of an id that no other row of a table begins with. */
static int own_digits(sqlite3 *db, const char *table, sqlite3_value *id) {
    enum { LEAST = 8 };
    int digits = LEAST;
    sqlite3_stmt *q = NULL;
    char *sql = sqlite3_mprintf("SELECT max(id) FROM \"%w\" WHERE id < ?1 UNION ALL SELECT min(id) FROM \"%w\" WHERE id > ?1",
                                table, table);
    if (sql && !sqlite3_prepare_v2(db, sql, -1, &q, NULL) && !sqlite3_bind_value(q, 1, id))
        while (sqlite3_step(q) == SQLITE_ROW) {
            int common = common_digits(sqlite3_value_blob(id), sqlite3_column_value(q, 0));
            if (common >= digits) digits = common + 1;
        }
    sqlite3_finalize(q);
    sqlite3_free(sql);
    return digits;
}

static void show_id(sqlite3_context *x, int argc, sqlite3_value **argv) {
    const crm *c = sqlite3_user_data(x);
    sqlite3_value *id = argv[argc - 1];
    char hex[CRM_HEX_BYTES];
    int digits = CRM_HEX_BYTES - 1;
    if (!sqlite3_value_blob(id) || sqlite3_value_bytes(id) != CRM_ID_BYTES) {
        sqlite3_result_value(x, id);
        return;
    }
    crm_hex(sqlite3_value_blob(id), hex);
    if (!c->json && argc == 2) digits = own_digits(c->db, (const char *)sqlite3_value_text(argv[0]), id);
    sqlite3_result_text(x, hex, digits, SQLITE_TRANSIENT);
}

/* The digits of a phone number, last first, so that the end of a number is the beginning of its key. */
static void phone_key(sqlite3_context *x, int argc, sqlite3_value **argv) {
    char key[64];
    const char *text = (const char *)sqlite3_value_text(argv[0]);
    int n = 0;
    (void)argc;
    for (size_t i = text ? strlen(text) : 0; i-- && n < (int)sizeof key;)
        if (isdigit((unsigned char)text[i])) key[n++] = text[i];
    if (n) sqlite3_result_text(x, key, n, SQLITE_TRANSIENT);
}

int crm_functions(crm *c) {
    enum { PURE = SQLITE_UTF8 | SQLITE_DETERMINISTIC };
    int rc = sqlite3_create_function_v2(c->db, "crm_id", 1, SQLITE_UTF8, c, show_id, NULL, NULL, NULL);
    if (!rc) rc = sqlite3_create_function_v2(c->db, "crm_id", 2, SQLITE_UTF8, c, show_id, NULL, NULL, NULL);
    if (!rc) rc = sqlite3_create_function_v2(c->db, "phone_key", 1, PURE, c, phone_key, NULL, NULL, NULL);
    return rc;
}

/* ---- what people type ---- */

bool crm_take_time(crm *c, crm_option o, int64_t *room, const int64_t **out) {
    *out = NULL;
    if (!c->opt[o]) return true;
    bool is_date = strlen(c->opt[o]) >= 10 && c->opt[o][4] == '-'; /* SQLite would take a time of day, or a Julian day, too */
    /* It would make the 31st of February the 3rd of March, too. */
    char *ms = is_date ? crm_text(c, "SELECT strftime('%s', ?1, 'utc') * 1000 WHERE date(?1, '+0 days') = substr(?1, 1, 10)", "t",
                                  c->opt[o])
                       : NULL;
    if (!ms) {
        crm_fail("--%s takes a date, such as 2026-12-01 or '2026-12-01 14:30', not %s", crm_option_name(o), c->opt[o]);
        return false;
    }
    *room = strtoll(ms, NULL, 10);
    *out = room;
    free(ms);
    return true;
}

bool crm_take_number(crm *c, crm_option o, int64_t *room, const int64_t **out) {
    enum { MOST = 9 }; /* digits: such a number is counted with, and is no bar code */
    const char *text = c->opt[o];
    *out = NULL;
    if (!text) return true;
    size_t digits = strspn(text, "0123456789");
    if (!digits || digits > MOST || text[digits]) {
        crm_fail("--%s takes a number of at most %d digits, not %s", crm_option_name(o), MOST, text);
        return false;
    }
    *room = strtoll(text, NULL, 10);
    *out = room;
    return true;
}

bool crm_is_currency(const crm *c) {
    const char *code = c->opt[CRM_CURRENCY];
    if (!code || (strlen(code) == 3 && strspn(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 3)) return true;
    crm_fail("--currency takes three capital letters, such as EUR, not %s", code);
    return false;
}

bool crm_take_money(crm *c, crm_option o, int64_t *room, const int64_t **out) {
    enum { MOST = 15 }; /* digits before the point: no overflow */
    const char *text = c->opt[o];
    *out = NULL;
    if (!text) return true;
    size_t whole = strspn(text, "0123456789"), cents = text[whole] == '.' ? strspn(text + whole + 1, "0123456789") : 0;
    bool right =
        whole && whole <= MOST && (!text[whole] || (text[whole] == '.' && cents && cents <= 2 && !text[whole + 1 + cents]));
    if (!right) {
        crm_fail("--%s takes an amount, such as 1200 or 1200.50, not %s", crm_option_name(o), text);
        return false;
    }
    *room = strtoll(text, NULL, 10) * 100;
    if (cents) *room += strtoll(text + whole + 1, NULL, 10) * (cents == 1 ? 10 : 1);
    *out = room;
    return true;
}
