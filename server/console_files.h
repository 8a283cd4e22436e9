/* console_files.h - the console's page: every file of one directory, read into memory at the start.
 *
 * A request names a file that was read, or finds nothing: no path of a request ever reaches the file system. A file NAME.gz is no file of its own but NAME
 * compressed, for browsers that take it so. index.html is served at /, the others at /console/ and their path in the directory. */
#ifndef SERVER_CONSOLE_FILES_H
#define SERVER_CONSOLE_FILES_H

#include "server/http.h"

/* Of a directory: more files, or more bytes in one, is a mistake in its name. */
#define CONSOLE_FILES 256
#define CONSOLE_FILE_BYTES (2u << 20)

typedef struct console_files console_files;

/* Files whose names begin with a dot are left out, and so is what is neither a file nor a directory. SATCHEL_E_IO, SATCHEL_E_LIMIT or SATCHEL_E_NOT_FOUND (no
 * index.html in it), with words. */
int console_files_open(const char *dir, console_files **out, buf *error);
void console_files_free(console_files *c);

/* Is this a path of the page, if there is one? */
bool console_files_is_path(const char *path);
/* Fills in the answer to a GET: 200, or 304 if the browser has the file as it is. False: there is no such file. `c` may be NULL: there is none at all. */
bool console_files_serve(const console_files *c, const http_request *request, http_answer *out);

#endif
