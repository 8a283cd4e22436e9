/* export.h - the rows of tables as lines of JSON, as of one commit.
 *
 * Reads through a connection and a read transaction of its own, so the writer never waits; the write-ahead log cannot shrink meanwhile. What is told:
 *
 *   {"export":{"seq":42,"tables":["team","contact"]}}                              once; parents before those that refer to them
 *   {"table":"contact","columns":[{"name":"id","type":"BLOB"},...]}                type "" for a column without one
 *   {"rows":[["...",1,null],...]}                                                  in key order; values as record.h writes them
 *
 * For any thread. */
#ifndef SERVER_EXPORT_H
#define SERVER_EXPORT_H

#include <jansson.h>

#include "protocol/buf.h"

/* Where the lines go. False: end (SATCHEL_E_CLOSED). */
typedef struct export_sink {
    bool (*line)(void *ctx, const buf *line);
    void *ctx;
} export_sink;

/* `request`: table (absent: all of them), where: {"column":"text as in a CSV file", ...}, all of which have to hold (null: IS NULL); only with a table.
 * SATCHEL_E_UNKNOWN_TABLE, _UNKNOWN_COLUMN, _TYPE, _MISUSE with words, _CLOSED, or a database code. *rows counts what was told. */
int export_rows(const char *store_path, const json_t *request, const export_sink *sink, uint64_t *rows, buf *error);

#endif
