/* message.h - every message of the protocol satchel.v1 as a struct, with its encoder and decoder.
 *
 * One message is one CBOR array [type, fields...]; one binary WebSocket frame carries one message, as it is or compressed by zstd (a
 * frame that begins with zstd's magic 28 b5 2f fd). satchel.cddl is the contract; README.md tells the conversation. Decoders
 * check form and limits; every pointer in a decoded struct points into the message's bytes. Whole numbers stay below 2^63, as SQLite
 * keeps them. hello and welcome of another version are SATCHEL_E_VERSION, with `version` set and the rest zero. */
#ifndef PROTOCOL_MESSAGE_H
#define PROTOCOL_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/buf.h"
#include "protocol/delta.h"
#include "protocol/limits.h"
#include "protocol/wire.h"

#define PROTOCOL_VERSION 1
#define PROTOCOL_SUBPROTOCOL_PREFIX "satchel.v"
#define PROTOCOL_SUBPROTOCOL PROTOCOL_SUBPROTOCOL_PREFIX "1"
#define EPOCH_BYTES 8
#define TXN_ID_BYTES 8
/* The first bytes of a retry's id are those of what it retries: so that they are known to be of one line, whatever numbers they have. */
#define TXN_LINE_BYTES 4

typedef enum message_type {
    MSG_HELLO = 1,    /* device: who I am, where I stand */
    MSG_WELCOME = 2,  /* server: where you stand */
    MSG_SCHEMA = 3,   /* server: one migration */
    MSG_PUSH = 4,     /* device: transactions or parts of one */
    MSG_RESULTS = 5,  /* server: accepted at seq, or refused */
    MSG_PULL = 6,     /* device: this cursor is durable here; so many more pages, please */
    MSG_PAGE = 7,     /* server: commits */
    MSG_SNAPSHOT = 8, /* server: one page of all rows, in key order */
    MSG_LOSSES = 9,   /* server: values of this device that lost */
    MSG_FORKED = 10,  /* server: go on under a new incarnation */
    MSG_RESOLVE = 11, /* device: this refusal is settled */
    MSG_ERROR = 12,   /* either: why the connection is being closed */
    MSG_SUMS = 13,    /* device: digests of the rows that are confirmed here */
    MSG_REPAIR = 14   /* server: the ranges of them that differ */
} message_type;

/* Zstd-compresses `message` into `frame` (which it clears) if that makes it smaller and it has over 256 bytes; else copies it.
 * SATCHEL_E_LIMIT if the message is over LIMIT_MESSAGE_BYTES or the frame over LIMIT_FRAME_BYTES, SATCHEL_E_NOMEM. */
int frame_pack(const void *message, size_t n, buf *frame);
/* The inverse. A compressed frame is one zstd frame that tells its content's size, with nothing behind it; the size is bounded by
 * LIMIT_MESSAGE_BYTES before anything is allocated, and no window is kept beside the message. SATCHEL_E_LIMIT, _MALFORMED, _NOMEM. */
int frame_unpack(const void *frame, size_t n, buf *message);
/* How large the message of a frame says that it is, without looking further; 0 for one that frame_unpack refuses for its head. */
size_t frame_unpacked_bytes(const void *frame, size_t n);
/* The type of a message, 0 if it is not one. */
message_type message_peek(const void *p, size_t n);
/* Decodes a whole message of any type, nested deltas and keys included, and keeps nothing: SATCHEL_OK or what is wrong with it. */
int message_check(const void *p, size_t n);

/* Up to where a server epoch is part of a device's past: what it was told above `seq` of it, a restore has undone since (N7). */
typedef struct past_epoch {
    uint8_t epoch[EPOCH_BYTES];
    uint64_t seq;
} past_epoch;

/* What waits on a device in one table. */
typedef struct table_waiting {
    uint32_t table;
    uint64_t
        changes; /* rows that transactions without a result insert, change or delete; one that two of them touch counts twice */
} table_waiting;

typedef struct msg_hello {
    uint32_t version;
    uint32_t incarnation;       /* 1 for a new device */
    bool has_epoch;             /* false before the first page */
    uint8_t epoch[EPOCH_BYTES]; /* server epoch of the cursor */
    uint64_t cursor;            /* durable here */
    uint32_t schema_epoch;
    uint8_t schema_hash[8];
    uint64_t last_number;    /* highest transaction number ever given in this file */
    uint64_t settled_number; /* results up to here are known to the device */
    uint64_t loss_cursor;    /* conflict ids up to here are known */
    uint64_t now_ms;         /* the device's wall clock */
    uint64_t pending;        /* transactions waiting to be sent */
    uint64_t snapshot;       /* id of a snapshot in progress, else 0 */
    uint32_t snapshot_page;  /* next page of it */
    const char *software;    /* "satchel/0.1.0 (Linux 6.1; x86_64)"; borrowed, not terminated */
    size_t nsoftware;
    unsigned npast; /* older epochs, the latest first; a server that does not know `epoch` may know one of them */
    past_epoch past[LIMIT_PAST];
    bool has_view; /* false: a device that knows nothing of views, and can only hold everything */
    uint64_t view; /* which rows and columns it holds, as the server named them with its pages; 0: everything, or nothing yet */
    unsigned nwaiting;                   /* 0: nothing waits, or it does not tell; else has_view */
    table_waiting waiting[LIMIT_TABLES]; /* ascending table, each once */
    uint64_t held_bytes;                 /* that its files take; 0: it does not tell; else has_view */
    uint64_t room_bytes;                 /* that they can come to: those, and what is free where they lie */
} msg_hello;

typedef struct msg_welcome {
    uint32_t version;
    uint8_t epoch[EPOCH_BYTES];
    uint64_t
        epoch_start; /* where the device's epoch ended: what lies above, of that epoch, no longer exists (N7); 0: all of it */
    uint64_t head;   /* newest seq */
    uint32_t schema_epoch; /* migrations up to here follow */
    uint64_t known_number; /* the highest number of this incarnation that has a result */
    bool has_known_id;
    uint8_t known_id[TXN_ID_BYTES]; /* of that transaction: a file that holds another under this number is a copy (N3) */
    uint64_t now_ms;
    uint64_t backup_seq; /* accepted transactions up to here need not be kept (N7) */
    bool snapshot;       /* the cursor is of no use: pages will be a snapshot */
    bool has_view;       /* the device is to hold another view than its hello told, and is not in step before */
    uint64_t view;       /* which */
} msg_welcome;

typedef struct msg_schema {
    uint32_t epoch;
    const char *name, *sql;
    size_t nname, nsql;
} msg_schema;

/* One transaction, or one part of a large one. On the wire number, stamp and base are differences to the one before in the message. */
typedef struct push_txn {
    uint64_t number;
    uint8_t id[TXN_ID_BYTES];
    uint64_t stamp;
    uint64_t base;
    uint32_t schema_epoch; /* under which it was captured */
    uint64_t resolves;     /* number of the refused transaction that it retries, else 0 */
    uint64_t effective;    /* N7: the effective stamp that its result carried, when given again; else 0 */
    uint32_t part;         /* from 0 */
    bool last;
    const uint8_t *delta; /* one CBOR item */
    size_t ndelta;
    const uint8_t *unseen; /* one CBOR item (unseen.h), or NULL */
    size_t nunseen;
} push_txn;

/* Writing: push_begin, push_put_txn..., push_finish. Reading: push_open, push_next... */
typedef struct push_writer {
    uint32_t incarnation;
    uint64_t count;
    uint64_t number, stamp, base;
    buf body;
} push_writer;
void push_begin(push_writer *w, uint32_t incarnation);
void push_put_txn(push_writer *w, const push_txn *t);
int push_finish(push_writer *w, buf *out); /* appends the message; frees the writer */

typedef struct push_reader {
    wire w;
    uint32_t incarnation;
    uint64_t count;  /* left */
    push_txn before; /* number 0: none yet */
} push_reader;
int push_open(push_reader *r, const void *message, size_t n);
/* 1, 0 at the end, or an error. Numbers ascend; of one number, the parts follow each other without a gap under one id, stamp and base, and only
 * a message's first transaction may begin with a part other than 0 (else SATCHEL_E_MALFORMED). */
int push_next(push_reader *r, push_txn *out);

typedef struct msg_result {
    uint64_t number;
    int rc;             /* SATCHEL_OK or a code of class REFUSED */
    uint64_t seq;       /* accepted: where; refused: 0 */
    uint64_t effective; /* accepted: the effective stamp */
    uint64_t depends;   /* SATCHEL_E_DEPENDS: on this number */
    uint32_t table;     /* refused: the row that it was refused for; 0 if none */
    const uint8_t *key; /* value_put bytes of the key values; borrowed */
    size_t nkey;
    const char *text; /* refused: words; borrowed */
    size_t ntext;
} msg_result;
/* At most LIMIT_RESULTS, else SATCHEL_E_MISUSE; words over LIMIT_TEXT_BYTES are cut. */
int results_encode(const msg_result *r, size_t n, buf *out);
typedef struct results_reader {
    wire w;
    uint64_t count;
} results_reader;
int results_open(results_reader *r, const void *message, size_t n);
int results_next(results_reader *r, msg_result *out); /* 1, 0, or an error */

typedef struct msg_pull {
    uint64_t cursor;      /* durable here: may be forgotten by the server; during a snapshot the old cursor */
    uint32_t credit;      /* pages more, at most LIMIT_PULL_CREDIT outstanding */
    uint64_t loss_cursor; /* durable here */
} msg_pull;

/* A page: commits from, exclusive, to `to`, inclusive. A commit that is too large for a page comes in parts, alone, on pages with part = 0, 1, ...;
 * each with the commit's seq as `to`; `more` says that another part follows, and the cursor moves only with the last. */
typedef struct msg_page {
    uint64_t from, to;
    uint64_t high_stamp; /* the highest effective stamp that the server has given (the device's clock passes it) */
    uint32_t part;
    bool more;
    uint64_t view;    /* once the cursor has reached `to`, the device holds this view; 0: as before */
    uint64_t commits; /* that follow */
} msg_page;
typedef struct page_commit {
    uint64_t seq;
    uint32_t author;
    uint64_t stamp;
    const uint8_t *delta; /* one CBOR item */
    size_t ndelta;
} page_commit;
/* Appends the header; then `commits` times page_put_commit. */
void page_begin(const msg_page *h, buf *out);
void page_put_commit(const page_commit *c, buf *out);
typedef struct page_reader {
    wire w;
    uint64_t left;
    uint64_t seq; /* of the commit before */
} page_reader;
int page_open(page_reader *r, const void *message, size_t n, msg_page *head);
/* 1, 0, or an error. Seqs never descend (one commit may stand once for each bucket). */
int page_next(page_reader *r, page_commit *out);

/* One page of a snapshot: for each range, all rows of `table` with from < key <= to (open-ended where null); whoever applies it deletes
 * the confirmed rows in the range that the page does not hold. Pages are numbered from 0 and may be resumed at any. */
typedef struct msg_snapshot {
    uint64_t id;
    uint64_t seq; /* as of; the cursor after the last page */
    uint32_t page;
    bool last;
    uint64_t total_rows; /* of the snapshot, for progress */
    uint64_t high_stamp;
    uint64_t view;   /* that all pages together are; 0: everything */
    uint64_t ranges; /* that follow */
} msg_snapshot;
typedef struct snapshot_range {
    uint32_t table;
    bool has_from, has_to;
    unsigned nkey;
    value from[LIMIT_KEY_COLUMNS], to[LIMIT_KEY_COLUMNS];
    const uint8_t *delta; /* one CBOR item: PUT rows in key order */
    size_t ndelta;
} snapshot_range;
void snapshot_begin(const msg_snapshot *h, buf *out);
void snapshot_put_range(const snapshot_range *r, buf *out);
typedef struct snapshot_reader {
    wire w;
    uint64_t left;
} snapshot_reader;
int snapshot_open(snapshot_reader *r, const void *message, size_t n, msg_snapshot *head);
int snapshot_next(snapshot_reader *r, snapshot_range *out); /* 1, 0, or an error */

/* Checksums: what a device at rest holds, as digests (digest.h) of ranges in key order. One at a time: the next after the answer. */
typedef struct msg_sums {
    uint64_t cursor, view; /* as of which it holds them */
    uint64_t ranges;       /* that follow, at most LIMIT_SUMS */
} msg_sums;
typedef struct sums_range {
    snapshot_range range; /* without a delta */
    uint64_t rows;
    uint8_t digest[32];
} sums_range;
void sums_begin(const msg_sums *h, buf *out);
void sums_put(const sums_range *r, buf *out);
typedef struct sums_reader {
    wire w;
    uint64_t left;
} sums_reader;
int sums_open(sums_reader *r, const void *message, size_t n, msg_sums *head);
int sums_next(sums_reader *r, sums_range *out); /* 1, 0, or an error */

/* The answer, as of the cursor that was told: of the ranges asked about, in order, so many were compared. Those that differ follow whole, as in a snapshot. `cut`: the
 * last of them had no room; it ends before its range does, and the device asks again from there. None compared: not now. */
typedef struct msg_repair {
    uint64_t seq;
    uint64_t compared;
    bool cut;
    uint64_t ranges; /* that follow */
} msg_repair;
void repair_begin(const msg_repair *h, buf *out);
/* Then snapshot_put_range for each, and snapshot_next to read them. */
int repair_open(snapshot_reader *r, const void *message, size_t n, msg_repair *head);

/* One lost value. `column` 0: the row as a whole (a deletion that lost, or a row that was lost to a deletion). */
typedef struct msg_loss {
    uint64_t id; /* ascending; the loss cursor */
    uint64_t seq;
    uint64_t number; /* of this incarnation's transaction that wrote the lost value */
    uint32_t table, column;
    uint8_t rule; /* merge_rule */
    const uint8_t *key;
    size_t nkey;
    value kept, lost; /* VALUE_NULL where there is none */
    uint64_t kept_stamp, lost_stamp;
    uint32_t kept_author;
} msg_loss;
/* At most LIMIT_LOSSES, else SATCHEL_E_MISUSE; the caller also cuts before LIMIT_MESSAGE_BYTES. */
int losses_encode(const msg_loss *l, size_t n, buf *out);
typedef struct losses_reader {
    wire w;
    uint64_t count;
    uint64_t id; /* of the loss before */
} losses_reader;
int losses_open(losses_reader *r, const void *message, size_t n);
int losses_next(losses_reader *r, msg_loss *out); /* 1, 0, or an error */

typedef struct msg_resolve {
    uint64_t number; /* of the refused transaction */
    uint32_t action; /* 1 discarded */
} msg_resolve;

typedef struct msg_error {
    int rc;
    uint64_t retry_after_ms; /* class RETRY */
    const char *text;
    size_t ntext;
} msg_error;

/* Simple messages: encode appends to `out` and returns out->rc; decode needs the whole message. */
int hello_encode(const msg_hello *m, buf *out);
int hello_decode(const void *p, size_t n, msg_hello *m);
int welcome_encode(const msg_welcome *m, buf *out);
int welcome_decode(const void *p, size_t n, msg_welcome *m);
int schema_encode(const msg_schema *m, buf *out);
int schema_decode(const void *p, size_t n, msg_schema *m);
int pull_encode(const msg_pull *m, buf *out);
int pull_decode(const void *p, size_t n, msg_pull *m);
int forked_encode(uint32_t incarnation, uint64_t from_number, buf *out);
int forked_decode(const void *p, size_t n, uint32_t *incarnation, uint64_t *from_number);
int resolve_encode(const msg_resolve *m, buf *out);
int resolve_decode(const void *p, size_t n, msg_resolve *m);
int error_encode(const msg_error *m, buf *out);
int error_decode(const void *p, size_t n, msg_error *m);

#endif
