/* rule_text.h - rules that are written as SQL text: INSERTs into a few tables of their own, each row known by the line where it stands. */
#ifndef SERVER_RULE_TEXT_H
#define SERVER_RULE_TEXT_H

#include "protocol/buf.h"

#define RULE_FIELDS 9u
#define RULE_KINDS 5u

/* One of the tables. `select` reads the rows whose rowid is above a parameter: the rowid, then the fields. */
typedef struct rule_kind {
    const char *name, *select;
    int fields;
} rule_kind;

typedef struct rule_tables {
    const char *create; /* SQL; names of constraints are the words about what breaks them */
    const rule_kind *kind;
    unsigned nkind;
    const char *refusal; /* of a statement that is something else */
} rule_tables;

/* One row; a field that is NULL is NULL. */
typedef struct rule_row {
    unsigned kind, line;
    char *field[RULE_FIELDS];
} rule_row;

typedef struct rule_text {
    rule_row *row;
    size_t n, room;
} rule_text;

/* SATCHEL_E_RULE and "name:line: what" in `error`. */
int rule_text_read(const rule_tables *tables, const char *name, const char *sql, rule_text *out, buf *error);
void rule_text_fini(rule_text *t);
/* Line 0: of the whole. SATCHEL_E_RULE. */
int rule_fail(buf *error, const char *name, unsigned line, const char *format, ...) __attribute__((format(printf, 4, 5)));

#endif
