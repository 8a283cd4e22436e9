/* limits.h - every bound of Satchel, named once, with its reason and what happens at it.
 * Units stand last in the name. Both ends enforce the wire limits on what they receive. */
#ifndef PROTOCOL_LIMITS_H
#define PROTOCOL_LIMITS_H

/* One message on the wire, as sent and after decompression. Larger: SATCHEL_E_LIMIT, the connection is closed. */
#define LIMIT_FRAME_BYTES (2u << 20)
#define LIMIT_MESSAGE_BYTES (4u << 20)
/* One text or blob value. Chosen so that any value fits one part. Larger: SATCHEL_E_TOO_LARGE at commit on the device. */
#define LIMIT_VALUE_BYTES (768u << 10)
/* All values of one row together, so that a part that holds one row alone fits a frame. Larger: SATCHEL_E_TOO_LARGE at commit. */
#define LIMIT_ROW_BYTES (896u << 10)
/* Target of one page's or push's uncompressed size; a page closes at the first row that passes it. */
#define LIMIT_PAGE_BYTES (256u << 10)
/* One part of a transaction in the outbox, on the wire and in the log: larger transactions are cut into parts. */
#define LIMIT_PART_BYTES (256u << 10)
/* Transactions in one push. More: SATCHEL_E_LIMIT. */
#define LIMIT_PUSH_TXNS 1024
/* Pushed bytes without a result; the device waits at it, and at twice as many unread the server answers SATCHEL_E_LIMIT. */
#define LIMIT_PUSH_WINDOW_BYTES (2u << 20)
/* Pages a device may ask for ahead. More: SATCHEL_E_LIMIT. */
#define LIMIT_PULL_CREDIT 16
/* Bytes queued to one connection. Server: no further page is made for it until half are gone; at twice as many it is closed
 * with SATCHEL_E_OVERLOAD. Device: it stops sending. */
#define LIMIT_CONN_QUEUE_BYTES (8u << 20)
/* Results, losses in one message; what is over follows in the next. */
#define LIMIT_RESULTS 1024
#define LIMIT_LOSSES 256
/* Ranges in one message of digests, so that neither side works on one for long. More: SATCHEL_E_LIMIT. */
#define LIMIT_SUMS 64
/* Rows that a device has in one range of digests. More: SATCHEL_E_LIMIT. */
#define LIMIT_SUM_ROWS 65536
/* Schema. Tables count over its whole life. More: SATCHEL_E_MIGRATION. */
#define LIMIT_TABLES 1024
#define LIMIT_COLUMNS 512
#define LIMIT_KEY_COLUMNS 16
#define LIMIT_NAME_BYTES 128
#define LIMIT_MIGRATION_BYTES (512u << 10)
/* Encoded primary key. Larger: SATCHEL_E_TOO_LARGE at commit. */
#define LIMIT_KEY_BYTES 4096
/* A refusal's message. Longer: cut. */
#define LIMIT_TEXT_BYTES 512
/* Memory of a capture record before it spills to a temporary file (C7). */
#define LIMIT_CAPTURE_BYTES (4u << 20)
/* Automations: how many, how far an effect is a cause again, and the changes of one transaction that wait for them, in bytes; half as many of what follows from it,
 * and again half each round. */
#define LIMIT_AUTOMATIONS 4096
#define LIMIT_AUTOMATION_ROUNDS 8
#define LIMIT_AUTOMATION_BYTES (64u << 20)
/* One statement of an automation: the writer does nothing else meanwhile. Longer: the rule does nothing more until it is switched on anew. */
#define LIMIT_AUTOMATION_MS 10000
/* All that follows from one cause: so many times that; from then on the rules that are slow do nothing more of what follows from it, and the history says so.
 * Slow: whose firings have taken longer, on an average, than that share of the time of one statement. */
#define LIMIT_AUTOMATION_TIMES 3
#define LIMIT_AUTOMATION_SLOW 500
/* A round of automations is begun again so often because something was refused; then each cause has a commit of its own. */
#define LIMIT_AUTOMATION_RESTARTS 4
/* Nested savepoints that capture follows; SQLite itself has no bound. Deeper: the commit is refused in words. */
#define LIMIT_SAVEPOINTS 4096
/* How far ahead of the server's clock a stamp may lie before it is clamped, and the device flagged. */
#define LIMIT_CLOCK_AHEAD_MS (5 * 60 * 1000)
/* Incarnations of one device, each a copy of its file. More: SATCHEL_E_LIMIT, and the device has to be enrolled anew. */
#define LIMIT_INCARNATIONS 10000
/* Server epochs that a device remembers; with more restores in a row it gives again all that it keeps. */
#define LIMIT_PAST 16
/* Any growable buffer that names no smaller bound. */
#define LIMIT_BUF_BYTES (64u << 20)
/* The key of an encrypted database file. Longer: SATCHEL_E_MISUSE. */
#define LIMIT_FILE_KEY_BYTES 4096
/* Enrolment code life; enrolment request body. */
#define LIMIT_ENROL_CODE_S (24 * 3600)
#define LIMIT_HTTP_BODY_BYTES (64u << 10)

#endif
