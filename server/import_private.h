/* import_private.h - between a batch of an import and its rows. */
#ifndef SERVER_IMPORT_PRIVATE_H
#define SERVER_IMPORT_PRIVATE_H

#include "server/import.h"
#include "server/ingest_private.h"

#define IMPORT_NONE (-1)

/* A column that holds a source's key of a row of another table. */
typedef struct import_ref {
    int place; /* in table->col */
    const char *source;
    const schema_table *table; /* of one key column */
} import_ref;

/* What becomes of a field of the file. */
typedef struct import_field {
    const char *name;
    int place; /* in table->col; IMPORT_NONE: it is no column */
    int part;  /* of the source's key, or IMPORT_NONE */
    const import_ref *ref;
} import_field;

typedef enum import_outcome { IMPORT_UNCHANGED, IMPORT_INSERTED, IMPORT_UPDATED } import_outcome;

typedef struct importer {
    store *s;
    ingest *g;
    const schema_table *t;
    sqlite3_stmt *look; /* a row's columns, in table order, by its key */
    const char *source; /* NULL: rows are known by their primary key */
    unsigned nparts;
    const char *part_name[LIMIT_KEY_COLUMNS];
    unsigned nrefs;
    import_ref *refs;
    unsigned nfields; /* CSV; else 0 */
    import_field *fields;

    /* The row at hand. */
    value v[LIMIT_COLUMNS];    /* by place in table->col, where given */
    bool given[LIMIT_COLUMNS]; /* said by the file */
    value stored[LIMIT_COLUMNS];
    bool exists;
    value key[LIMIT_KEY_COLUMNS];
    value part[LIMIT_KEY_COLUMNS]; /* texts; VALUE_ABSENT: not given */
    buf hold;                      /* bytes that values point to; has room for the whole row before the first is read */
    buf source_key, words;
    bool is_mapped; /* satchel_source has it */
    const char *bad_column;

    uint64_t kept, noted; /* values that a rule kept, source's keys that are new */
} importer;

/* Resolves a name of the file; false: it is neither a column nor a part of the source's key. */
bool import_resolve(const importer *im, const char *name, import_field *out);
/* Takes one row in. SATCHEL_OK and the outcome; a code of class REFUSED with words in g->bad_text and the column, if it is one, in bad_column; else
 * a database code. */
int import_row(importer *im, json_t *row, import_outcome *out);

/* ---- import_source.c ---- */

/* The row's key: its own, its source's, or a new one. */
int import_find_key(importer *im);
/* Notes which row the source's key became, if that is new. */
int import_note_key(importer *im);
/* The key that a source's key became, into *out. SATCHEL_E_FOREIGN_KEY. */
int import_follow(importer *im, const import_field *f, const value *text, value *out);

#endif
