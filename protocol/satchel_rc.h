/* satchel_rc.h - the result codes of every Satchel function and of the wire.
 *
 * 0 is done, negative is a named error. On the wire a code travels as its absolute value, so a number is never
 * reused or renumbered. Each code has a text for people and a class that tells a caller what to do:
 *
 *   RETRY      passing; the same call may succeed later without anyone changing anything
 *   PERMANENT  somebody has to act (admin, operator, user) before it can succeed
 *   REFUSED    the server refused one transaction; the rest flows
 *   MISUSE     the program called wrongly
 *   FATAL      the file or the process cannot go on
 */
#ifndef SATCHEL_RC_H
#define SATCHEL_RC_H

/* What the shared library exports; everything else in it is hidden. */
#ifndef SATCHEL_API
#if defined(__GNUC__)
#define SATCHEL_API __attribute__((visibility("default")))
#else
#define SATCHEL_API
#endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define SATCHEL_RC_LIST(X)                                                                                                       \
    /* passing */                                                                                                                \
    X(BUSY, -1, RETRY, "the database is locked by another writer")                                                               \
    X(IO, -2, RETRY, "an input or output operation failed")                                                                      \
    X(NETWORK, -3, RETRY, "the server cannot be reached")                                                                        \
    X(TIMEOUT, -4, RETRY, "the other side did not answer in time")                                                               \
    X(FULL, -5, RETRY, "the disk is full")                                                                                       \
    X(OVERLOAD, -6, RETRY, "the server is over its budget; it asks to come back later")                                          \
    X(CLOSED, -7, RETRY, "the connection was closed")                                                                            \
    X(SUPERSEDED, -8, RETRY, "a newer connection of this device has taken the place of this one")                                \
    X(PAUSED, -9, RETRY, "an administrator has paused this device; it goes on without the server")                               \
    /* somebody has to act */                                                                                                    \
    X(REVOKED, -20, PERMANENT, "this device was revoked by an administrator")                                                    \
    X(CERTIFICATE, -21, PERMANENT, "the certificate was not accepted")                                                           \
    X(EXPIRED, -22, PERMANENT, "the certificate or enrolment code has expired")                                                  \
    X(ENROL_CODE, -23, PERMANENT, "the enrolment code is not valid")                                                             \
    X(ENROL_USED, -24, PERMANENT, "the enrolment code was used before")                                                          \
    X(VERSION, -25, PERMANENT, "the other side speaks a version of the protocol that this one does not")                         \
    X(SCHEMA, -26, PERMANENT, "the schema does not match the server's")                                                          \
    X(NOT_ENROLLED, -27, PERMANENT, "this database is not enrolled with a server")                                               \
    X(PIN, -28, PERMANENT, "the server's certificate is not the one the enrolment code names")                                   \
    X(READONLY, -29, PERMANENT, "the database is read-only")                                                                     \
    X(WIPED, -30, PERMANENT, "an administrator had this device's data erased")                                                   \
    X(KEY, -31, PERMANENT, "this is not the key of the database file")                                                           \
    X(AUTH, -32, PERMANENT, "the name or the password is wrong, or nobody is signed in")                                         \
    X(ROLE, -33, PERMANENT, "this takes a right that who asks does not have")                                                    \
    /* one transaction was refused */                                                                                            \
    X(UNKNOWN_TABLE, -40, REFUSED, "the transaction names a table that the schema does not have")                                \
    X(UNKNOWN_COLUMN, -41, REFUSED, "the transaction names a column that the table does not have")                               \
    X(TYPE, -42, REFUSED, "a value has a type that its column does not take")                                                    \
    X(KEY_MISSING, -43, REFUSED, "a change carries no complete primary key")                                                     \
    X(KEY_TAKEN, -44, REFUSED, "another row has this primary key already")                                                       \
    X(ROW_MISSING, -45, REFUSED, "the row to change does not exist")                                                             \
    X(NOT_NULL, -46, REFUSED, "a column that may not be NULL is NULL")                                                           \
    X(CHECK, -47, REFUSED, "a CHECK constraint of the schema is not met")                                                        \
    X(UNIQUE, -48, REFUSED, "a value that must be unique is taken by another row")                                               \
    X(FOREIGN_KEY, -49, REFUSED, "a row refers to one that does not exist, or is still referred to")                             \
    X(GUARD, -50, REFUSED, "the change is not among the allowed moves of its column")                                            \
    X(SERVER_OWNED, -51, REFUSED, "only the server writes this table or column")                                                 \
    X(APPEND_ONLY, -52, REFUSED, "rows of this table are never changed or deleted")                                              \
    X(DEPENDS, -53, REFUSED, "the transaction depends on one that was refused")                                                  \
    X(RANGE, -54, REFUSED, "a number leaves the range of its column")                                                            \
    X(RESOLVED, -55, REFUSED, "the refusal was resolved before")                                                                 \
    X(TOO_LARGE, -56, REFUSED, "a value or a transaction is larger than the limit")                                              \
    X(FORGOTTEN, -57, REFUSED, "another copy of this file may have sent it before, too long ago for the server to know")         \
    X(SCOPE, -58, REFUSED, "this device may not write there")                                                                    \
    /* the wire */                                                                                                               \
    X(MALFORMED, -70, PERMANENT, "a message is not well formed")                                                                 \
    X(ORDER, -71, PERMANENT, "a message came where the conversation does not allow it")                                          \
    X(LIMIT, -72, PERMANENT, "a message exceeds a limit of the protocol")                                                        \
    X(UTF8, -74, PERMANENT, "a text is not valid UTF-8")                                                                         \
    X(NOT_DETERMINISTIC, -75, PERMANENT, "a message is not in deterministic encoding")                                           \
    /* capture: what a commit is refused for on the device, in words */                                                          \
    X(NULL_KEY, -90, MISUSE, "a synced row has NULL in its primary key")                                                         \
    X(BLOB_WRITE, -91, MISUSE, "sqlite3_blob_write on a synced table cannot be captured; use UPDATE")                            \
    X(HOOK, -92, MISUSE, "something replaced the preupdate hook, so changes were not seen")                                      \
    X(UNFLUSHED, -93, MISUSE, "changes reached the commit past the capture triggers; reopen the database")                       \
    X(TABLE_SHAPE, -94, MISUSE, "this table cannot be synced as it is declared")                                                 \
    X(MISUSE, -95, MISUSE, "the function was called in a way it does not allow")                                                 \
    X(MIGRATION, -96, MISUSE, "a migration has a mistake")                                                                       \
    X(RULE, -97, MISUSE, "a rule is not one that Satchel knows")                                                                 \
    X(NOT_FOUND, -98, MISUSE, "there is no such thing")                                                                          \
    X(UNSENT, -99, MISUSE, "there are changes that the server has not taken in yet")                                             \
    /* the file or the process */                                                                                                \
    X(CORRUPT, -110, FATAL, "the database file is damaged")                                                                      \
    X(NOT_A_DATABASE, -111, FATAL, "the file is not a SQLite database")                                                          \
    X(FOREIGN_FILE, -112, FATAL, "the database belongs to something else")                                                       \
    X(NOMEM, -113, FATAL, "out of memory, or over the memory quota")                                                             \
    X(NEWER_FILE, -114, FATAL, "the file was written by a newer version of Satchel")                                             \
    X(INTERNAL, -115, FATAL, "an invariant of Satchel does not hold; please report it")

typedef enum satchel_rc {
    SATCHEL_OK = 0,
#define SATCHEL_RC_ENUM(name, number, class_, text) SATCHEL_E_##name = number,
    SATCHEL_RC_LIST(SATCHEL_RC_ENUM)
#undef SATCHEL_RC_ENUM
} satchel_rc;

typedef enum satchel_class {
    SATCHEL_CLASS_OK = 0,
    SATCHEL_CLASS_RETRY,
    SATCHEL_CLASS_PERMANENT,
    SATCHEL_CLASS_REFUSED,
    SATCHEL_CLASS_MISUSE,
    SATCHEL_CLASS_FATAL
} satchel_class;

/* The sentence of a code; never NULL, "unknown error" for a number outside the list. Static. */
SATCHEL_API const char *satchel_rc_text(int rc);
/* The name of a code as scripts and logs show it, such as "E_KEY_TAKEN"; "OK" for 0. Static. */
SATCHEL_API const char *satchel_rc_name(int rc);
/* The kind of rule that a refusal names: "check", "unique", "not null", "foreign key", "guard", "server", "append", "key"; NULL for other codes. Static. */
SATCHEL_API const char *satchel_rc_rule(int rc);
/* What a caller should do about a code; an unknown number is FATAL. */
SATCHEL_API satchel_class satchel_rc_class(int rc);

#ifdef __cplusplus
}
#endif
#endif
