#include "tools/company_out.h"

#include <inttypes.h>
#include <stdarg.h>

#define STATEMENT_ROWS 250
#define TRANSACTION_ROWS 1000

static void end_statement(out *o) {
    if (o->statement_rows) fputs(";\n", o->f);
    o->statement_rows = 0;
}

static void end_transaction(out *o) {
    end_statement(o);
    if (o->transaction_rows) fputs("COMMIT;\n", o->f);
    o->transaction_rows = 0;
}

void out_table(out *o, const char *table, const char *columns) {
    end_statement(o);
    o->table = table;
    o->columns = columns;
}

void out_row(out *o) {
    if (!o->transaction_rows) fputs("BEGIN;\n", o->f);
    if (o->statement_rows)
        fputs(",\n(", o->f);
    else
        fprintf(o->f, "INSERT INTO %s(%s) VALUES\n(", o->table, o->columns);
    o->first = true;
}

void out_row_end(out *o) {
    putc(')', o->f);
    o->rows++;
    o->statement_rows++;
    o->transaction_rows++;
    if (o->transaction_rows >= TRANSACTION_ROWS)
        end_transaction(o);
    else if (o->statement_rows >= STATEMENT_ROWS)
        end_statement(o);
}

void out_end(out *o) {
    end_transaction(o);
}

static void comma(out *o) {
    if (!o->first) putc(',', o->f);
    o->first = false;
}

void out_int(out *o, int64_t v) {
    comma(o);
    fprintf(o->f, "%" PRId64, v);
}

void out_null(out *o) {
    comma(o);
    fputs("NULL", o->f);
}

void out_text(out *o, const char *text) {
    comma(o);
    putc('\'', o->f);
    for (; *text; text++) {
        if (*text == '\'') putc('\'', o->f);
        putc(*text, o->f);
    }
    putc('\'', o->f);
}

void out_format(out *o, const char *format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    out_text(o, text);
}

void out_id(out *o, const uint8_t id[16]) {
    static const char HEX[] = "0123456789abcdef";
    char text[] = "X'00000000000000000000000000000000'";
    for (int i = 0; i < 16; i++) {
        text[2 + 2 * i] = HEX[id[i] >> 4];
        text[3 + 2 * i] = HEX[id[i] & 15];
    }
    comma(o);
    fputs(text, o->f);
}

rng rng_of(uint64_t seed, uint32_t stream, uint64_t n) {
    rng r = {seed};
    r.state = rng_next(&r) ^ ((uint64_t)stream << 48) ^ n;
    r.state = rng_next(&r);
    return r;
}

uint64_t rng_next(rng *r) {
    uint64_t z = (r->state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint32_t rng_below(rng *r, uint32_t n) {
    return (uint32_t)((rng_next(r) >> 32) * n >> 32);
}

bool rng_percent(rng *r, unsigned percent) {
    return rng_below(r, 100) < percent;
}
