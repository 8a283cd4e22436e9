/* The tables of the store beside the data, and the steps by which an older file becomes one of this format. */
#include "server/store_private.h"

/* What a format adds to the one before it. A file of any older format is brought up by the steps it lacks; a step that was released is never changed. */
static const char FORMAT_1[] =
    "CREATE TABLE satchel_server(id INTEGER PRIMARY KEY CHECK(id=1), seq INT NOT NULL, floor INT NOT NULL, high_stamp INT NOT NULL,"
    " backup_seq INT NOT NULL, created_ms INT NOT NULL);"
    /* Server epochs: a store restored from a backup begins a new one at the seq it was restored to (N7). */
    "CREATE TABLE satchel_epoch(n INTEGER PRIMARY KEY, epoch BLOB NOT NULL UNIQUE, start_seq INT NOT NULL, at_ms INT NOT NULL);"
    "CREATE TABLE satchel_device(id INTEGER PRIMARY KEY, name TEXT NOT NULL, fingerprint BLOB NOT NULL UNIQUE, state INT NOT NULL,"
    " enrolled_ms INT NOT NULL, last_seen_ms INT NOT NULL DEFAULT 0, acked_seq INT NOT NULL DEFAULT 0, pending INT NOT NULL DEFAULT 0,"
    " clock_offset_ms INT NOT NULL DEFAULT 0, clamped INT NOT NULL DEFAULT 0, schema_epoch INT NOT NULL DEFAULT 0,"
    " software TEXT NOT NULL DEFAULT '');"
    "CREATE UNIQUE INDEX satchel_device_name ON satchel_device(name) WHERE state=1;"
    "CREATE TABLE satchel_author(author INTEGER PRIMARY KEY, device INT NOT NULL REFERENCES satchel_device, incarnation INT NOT NULL,"
    " last_number INT NOT NULL DEFAULT 0, last_effective INT NOT NULL DEFAULT 0, UNIQUE(device,incarnation));"
    /* N3: what became of each transaction, until every live device has passed it. */
    "CREATE TABLE satchel_result(author INT, number INT, id BLOB NOT NULL, rc INT NOT NULL, seq INT NOT NULL, effective INT NOT NULL,"
    " depends INT NOT NULL, tbl INT NOT NULL, key BLOB, message TEXT, at_ms INT NOT NULL, PRIMARY KEY(author,number)) WITHOUT ROWID;"
    "CREATE INDEX satchel_result_seq ON satchel_result(seq);"
    "CREATE TABLE satchel_refused(author INT, number INT, id BLOB NOT NULL, stamp INT, base INT, epoch INT, delta BLOB,"
    " state TEXT NOT NULL DEFAULT 'open', resolved_ms INT, PRIMARY KEY(author,number)) WITHOUT ROWID;"
    /* N6: the rows that a refused transaction would have made or changed. */
    "CREATE TABLE satchel_refused_row(author INT, tbl INT, key BLOB, number INT, PRIMARY KEY(author,tbl,key,number)) WITHOUT ROWID;"
    "CREATE TABLE satchel_conflict(id INTEGER PRIMARY KEY AUTOINCREMENT, seq INT NOT NULL, at_ms INT NOT NULL, tbl INT NOT NULL, key BLOB NOT NULL,"
    " col INT NOT NULL, rule INT NOT NULL, kept BLOB, lost BLOB, kept_stamp INT, kept_author INT, lost_stamp INT, lost_author INT,"
    " lost_number INT);"
    "CREATE INDEX satchel_conflict_loser ON satchel_conflict(lost_author,id);"
    "CREATE TABLE satchel_tombstone(tbl INT, key BLOB, seq INT NOT NULL, stamp INT NOT NULL, author INT NOT NULL, row BLOB,"
    " PRIMARY KEY(tbl,key)) WITHOUT ROWID;"
    "CREATE INDEX satchel_tombstone_seq ON satchel_tombstone(seq);"
    /* id = seq << 24 | part: a rowid table in commit order, scanned by seq without an index of its own. */
    "CREATE TABLE satchel_log(id INTEGER PRIMARY KEY, bucket INT NOT NULL, author INT NOT NULL, stamp INT NOT NULL, at_ms INT NOT NULL,"
    " delta BLOB NOT NULL);"
    /* Rows are in bucket 1, 'all', without being listed; satchel_member lists membership in every other bucket. */
    "CREATE TABLE satchel_bucket(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);"
    "INSERT INTO satchel_bucket VALUES(1,'all');"
    "CREATE TABLE satchel_member(bucket INT, tbl INT, key BLOB, PRIMARY KEY(bucket,tbl,key)) WITHOUT ROWID;"
    "CREATE TABLE satchel_stage(author INT, number INT, part INT, txn BLOB NOT NULL, delta BLOB NOT NULL, PRIMARY KEY(author,number,part));"
    "CREATE TABLE satchel_enrol(secret_hash BLOB PRIMARY KEY, name TEXT NOT NULL, expires_ms INT NOT NULL, fingerprint BLOB) WITHOUT ROWID;"
    "CREATE TABLE satchel_event(id INTEGER PRIMARY KEY, at_ms INT NOT NULL, device INT, kind TEXT NOT NULL, text TEXT NOT NULL);";

/* What authors of a part had not seen (M16). Who writes over HTTP, and what programs have written (server/api.h); which rows came from where (server/import.h). */
static const char FORMAT_2[] =
    "ALTER TABLE satchel_stage ADD COLUMN unseen BLOB;"
    /* A token is a row of satchel_device in state 3 as well: its name, its hash as fingerprint, when it was made and last used. */
    "CREATE TABLE satchel_token(id INTEGER PRIMARY KEY REFERENCES satchel_device, rights INT NOT NULL, author INT NOT NULL, revoked_ms INT);"
    "CREATE TABLE satchel_request(token INT, key TEXT, hash BLOB NOT NULL, answer BLOB NOT NULL, at_ms INT NOT NULL,"
    " PRIMARY KEY(token,key)) WITHOUT ROWID;"
    "CREATE INDEX satchel_request_at ON satchel_request(at_ms);"
    "CREATE TABLE satchel_source(source TEXT, tbl INT, source_key TEXT, key BLOB NOT NULL, PRIMARY KEY(source,tbl,source_key)) WITHOUT ROWID;";

/* N3: up to which number an incarnation may share its transactions with another; NULL: not known yet. */
static const char FORMAT_3[] = "ALTER TABLE satchel_author ADD COLUMN shared INT;";

static const char *const FORMATS[] = {FORMAT_1, FORMAT_2, FORMAT_3};
#define FORMAT (int)(sizeof FORMATS / sizeof *FORMATS)

int store_format(void) {
    return FORMAT;
}

int store_layout(sqlite3 *db, int from) {
    char version[40];
    sqlite3_snprintf(sizeof version, version, "PRAGMA user_version=%d", FORMAT);
    int sq = SQLITE_OK;
    for (int i = from; i < FORMAT && sq == SQLITE_OK; i++) sq = sqlite3_exec(db, FORMATS[i], NULL, NULL, NULL);
    if (sq == SQLITE_OK) sq = sqlite3_exec(db, version, NULL, NULL, NULL);
    return db_rc(sq);
}
