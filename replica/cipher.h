/* cipher.h - the key of an encrypted file, where the SQLite that Satchel is built over can encrypt.
 *
 * What encrypts is SQLite's: database, WAL and journals by sqlite3_key_v2, which SQLite3 Multiple Ciphers, SQLCipher and SEE have with one meaning. Which
 * SQLite it is shows in its header at compile time. Invariant: with a key, no page of the file is written in the clear, and
 * no temporary data reaches the disk; without an SQLite that encrypts, a key is refused before anything is written. */
#ifndef REPLICA_CIPHER_H
#define REPLICA_CIPHER_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>

#include "protocol/buf.h"

/* Before a file is opened or made: SATCHEL_E_MISUSE with words if there is a key (n > 0) and this SQLite cannot encrypt, or it is over
 * LIMIT_FILE_KEY_BYTES. */
int cipher_check(const void *key, size_t n, buf *error);
/* Gives a new connection a key that was checked (n 0: none, and nothing happens), before its first read, at which a wrong key shows. */
int cipher_unlock(sqlite3 *db, const void *key, size_t n, buf *error);

/* Says why a connection's first read found no database (SQLITE_NOTADB): SATCHEL_E_KEY if the key is wrong, missing, or one too many, else
 * SATCHEL_E_NOT_A_DATABASE; with words. The connection is good for closing only, and that leaves the file's WAL as it is. */
int cipher_explain(sqlite3 *db, bool keyed, buf *error);

#endif
