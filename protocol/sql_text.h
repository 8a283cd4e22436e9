/* sql_text.h - a text of SQL statements: where they stand in it, and what an authorizer lets pass everywhere. */
#ifndef PROTOCOL_SQL_TEXT_H
#define PROTOCOL_SQL_TEXT_H

#include <stdbool.h>

/* Past white space as SQLite has it, comments and stray semicolons. */
const char *sql_skip_blank(const char *p);
/* Past the keyword and what is blank behind it; NULL if it does not stand at p, or p is NULL. */
const char *sql_past_word(const char *p, const char *word);
/* The line of `at`, which points into the text; the first is 1. */
unsigned sql_line(const char *text, const char *at);
/* Whether an authorizer's action is of those that only read. */
bool sql_only_reads(int action);

#endif
