/* functions.h - SQL functions that a schema's views, rules and expressions may call, the same on both sides.
 *
 *   satchel_id(a, b, ...)  16 bytes that follow from the arguments alone: the start of the SHA-256 over them, each as value_put writes it. So two sides make the same id
 *                          of the same cause
 *   day_of(ms)             'YYYY-MM-DD' of milliseconds since 1970, UTC; month_of(ms): 'YYYY-MM'. NULL for what is no number, or lies outside the years 0 to 9999
 *   fold(text)             for comparing and searching: case folded, compatibility forms resolved, marks taken off (Unicode 15). What is no valid UTF-8 stays as it is */
#ifndef PROTOCOL_FUNCTIONS_H
#define PROTOCOL_FUNCTIONS_H

#include <sqlite3.h>

int functions_register(sqlite3 *db);

#endif
