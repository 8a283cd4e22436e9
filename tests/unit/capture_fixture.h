/* capture_fixture.h - the connection `x` with capture over one table, in memory or in a file, as the tests of capture want it. */
#ifndef TESTS_CAPTURE_FIXTURE_H
#define TESTS_CAPTURE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"
#include "tests/support/captured.h"

#define CONTACT "CREATE TABLE contact(id INTEGER PRIMARY KEY, name TEXT, age, UNIQUE_TAG TEXT);"

extern captured x;
/* The program's own file; it defines the name. */
extern const char capture_file[];

/* cmocka setups and teardowns. */
int open_contact(void **state);
int close_all(void **state);
int open_contact_file(void **state);
int close_file(void **state);
#define ON_CONTACT(f) cmocka_unit_test_setup_teardown(f, open_contact, close_all)
#define ON_FILE(f) cmocka_unit_test_setup_teardown(f, open_contact_file, close_file)

/* Opens a database in memory for one test body; the body closes it with close_all. */
void open_with(const char *sql, const char *table);
void remove_file(void);
/* The SQL is refused by capture with `code` and these words, and ends its transaction. */
void assert_refused(const char *sql, int code, const char *words);
/* What sqlite3_errmsg said of the last refusal. */
extern char refusal[512];
/* What capture_check answers. */
void check_says(int code, const char *text);

#endif
