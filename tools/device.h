/* device.h - what the programs that work on a device's file share: opening it, and its values as people and JSON read them. */
#ifndef TOOLS_DEVICE_H
#define TOOLS_DEVICE_H

#include <jansson.h>
#include <stdio.h>

#include "replica/satchel.h"

/* Opens the file `db`. `identity` and `key_file` may be NULL; the key of an encrypted file is the bytes of the latter, which nobody but its owner may be able to
 * read. `flags` as of satchel_options. 0, or a code after the words went to standard error under the program's name. *out is the caller's satchel_close in either case. */
int device_open(const char *db, const char *identity, const char *key_file, unsigned flags, satchel **out);

/* Writes a blob as x'..'. */
void device_put_blob(sqlite3_stmt *stmt, int i, FILE *to);
/* A column of the present row as a JSON value of the caller's; a blob is the text x'..', and null is what JSON cannot say. */
json_t *device_json_column(sqlite3_stmt *stmt, int i);
/* Prints one JSON value on a line of its own, flushed, and frees it. */
void device_print_json(json_t *o);

#endif
