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

/* Who holds what (server/scope.h, server/view.h). A data row has the number of its set of buckets in satchel_set, and every table of data is given that column
 * when it is declared, or here (add_sets). Bucket and view lists are ascending ids of 4 bytes each, big-endian. */
static const char FORMAT_4[] =
    /* The rules as they were published, the last one in force: the text that was, and when; now_ms is the day by which rows lie as they do. */
    "CREATE TABLE satchel_scope(version INTEGER PRIMARY KEY, name TEXT NOT NULL, text TEXT NOT NULL, seq INT NOT NULL, at_ms INT NOT NULL,"
    " now_ms INT NOT NULL);"
    /* After how many days unseen a device of the profile no longer holds the log back. */
    "CREATE TABLE satchel_profile(name TEXT PRIMARY KEY, horizon_days INT NOT NULL) WITHOUT ROWID;"
    /* Set 0, not listed: no bucket at all. A row of the log concerns those who hold a bucket of the set `bucket` and, if `besides` is not 0, none of
     * that one. */
    "CREATE TABLE satchel_set(id INTEGER PRIMARY KEY, buckets BLOB NOT NULL UNIQUE);"
    "INSERT INTO satchel_set VALUES(1,x'00000001');"
    "ALTER TABLE satchel_log ADD COLUMN besides INT NOT NULL DEFAULT 0;"
    "DROP TABLE satchel_member;"
    /* masks: 'table:column,column;table:column' by ascending ids. */
    "CREATE TABLE satchel_view(id INTEGER PRIMARY KEY, profile TEXT NOT NULL, masks TEXT NOT NULL, buckets BLOB NOT NULL,"
    " UNIQUE(profile,masks,buckets));"
    /* What a device was to hold from a commit on, and in which set a row lay until one: rights are judged as of a transaction's base. */
    "CREATE TABLE satchel_held(device INT, seq INT, view INT NOT NULL, PRIMARY KEY(device,seq)) WITHOUT ROWID;"
    "CREATE TABLE satchel_left(tbl INT, key BLOB, seq INT, bucket_set INT NOT NULL, PRIMARY KEY(tbl,key,seq)) WITHOUT ROWID;"
    "CREATE INDEX satchel_left_seq ON satchel_left(seq);"
    /* A row, and what follows it, that a device is given for a while: bucket 'grant:ID'. */
    "CREATE TABLE satchel_grant(id INTEGER PRIMARY KEY, device INT NOT NULL, tbl INT NOT NULL, key BLOB NOT NULL, until_ms INT NOT NULL,"
    " reason TEXT NOT NULL, at_ms INT NOT NULL);"
    "CREATE INDEX satchel_grant_row ON satchel_grant(tbl,key);"
    /* profile NULL: everything. user and store: what the profile's query is asked with, as value_put writes it. */
    "ALTER TABLE satchel_device ADD COLUMN profile TEXT;"
    "ALTER TABLE satchel_device ADD COLUMN user BLOB;"
    "ALTER TABLE satchel_device ADD COLUMN store BLOB;"
    /* Since when it is in its state; resnapshot 1: a snapshot was ordered, 2: the device was told so, and has acknowledged nothing since. A paused device
     * keeps its name. */
    "ALTER TABLE satchel_device ADD COLUMN state_ms INT NOT NULL DEFAULT 0;"
    "ALTER TABLE satchel_device ADD COLUMN resnapshot INT NOT NULL DEFAULT 0;"
    "DROP INDEX satchel_device_name;"
    "CREATE UNIQUE INDEX satchel_device_name ON satchel_device(name) WHERE state IN (1,4);"
    /* A key that it will be known by once it was used (server/store_keys.h); which authorities the device last showed that it trusts. */
    "ALTER TABLE satchel_device ADD COLUMN next_fingerprint BLOB;"
    "CREATE UNIQUE INDEX satchel_device_next ON satchel_device(next_fingerprint) WHERE next_fingerprint IS NOT NULL;"
    "ALTER TABLE satchel_device ADD COLUMN trust BLOB;"
    "ALTER TABLE satchel_enrol ADD COLUMN profile TEXT;"
    "ALTER TABLE satchel_enrol ADD COLUMN user BLOB;"
    "ALTER TABLE satchel_enrol ADD COLUMN store BLOB;";

/* N6: untold: what an admin made of a refusal, its device has not said that it knows. */
static const char FORMAT_5[] = "ALTER TABLE satchel_refused ADD COLUMN untold INT NOT NULL DEFAULT 0;"
                               "CREATE INDEX satchel_refused_untold ON satchel_refused(author,number) WHERE untold;";

/* What the server does by itself (server/automation.h): the rules in force, known by a stamp that is another whenever they or their states are; which are on, and when
 * a timer ran last; what they did. */
static const char FORMAT_6[] =
    "CREATE TABLE satchel_automation_text(stamp INTEGER PRIMARY KEY, name TEXT NOT NULL, text TEXT NOT NULL, at_ms INT NOT NULL);"
    "CREATE TABLE satchel_automation(name TEXT PRIMARY KEY, active INT NOT NULL, last_ms INT NOT NULL) WITHOUT ROWID;"
    /* seq, author, stamp: the commit that was the cause; tbl, key: the row; event: what happened to it, as in server/automation_private.h; of a timer 0 and NULL, but for event and stamp.
     * replays: the entry that this one stands in the place of; so each is run again once. */
    "CREATE TABLE satchel_automation_run(id INTEGER PRIMARY KEY, name TEXT NOT NULL, seq INT NOT NULL, tbl INT NOT NULL, key BLOB, at_ms INT NOT NULL,"
    " ms INT NOT NULL, wrote INT NOT NULL, rc INT NOT NULL, words TEXT, event INT NOT NULL, author INT NOT NULL, stamp INT NOT NULL, replays INT);"
    "CREATE UNIQUE INDEX satchel_automation_run_replays ON satchel_automation_run(replays) WHERE replays IS NOT NULL;"
    "CREATE INDEX satchel_automation_run_at ON satchel_automation_run(at_ms);"
    "CREATE INDEX satchel_automation_run_name ON satchel_automation_run(name,rc);";

/* What the console needs. People who sign in and their sessions (server/people.h); who did what (server/audit.h); and what is kept over a restart of the connections of
 * devices, of the figures by the minute and by the hour, and of alerts. */
static const char FORMAT_7[] =
    /* role: viewer, manager, admin; state: active, locked; hash: as crypto_pwhash_str writes it. */
    "CREATE TABLE satchel_user(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, role TEXT NOT NULL, hash TEXT NOT NULL,"
    " state TEXT NOT NULL DEFAULT 'active', created_ms INT NOT NULL, failures INT NOT NULL DEFAULT 0, failed_ms INT NOT NULL DEFAULT 0,"
    " locked_until_ms INT NOT NULL DEFAULT 0, last_login_ms INT NOT NULL DEFAULT 0);"
    /* hash: SHA-256 of the secret that the session's cookie has. What ends a session names its id: no later one has it again. */
    "CREATE TABLE satchel_login(id INTEGER PRIMARY KEY AUTOINCREMENT, hash BLOB NOT NULL UNIQUE, user INT NOT NULL REFERENCES satchel_user, csrf TEXT NOT NULL,"
    " created_ms INT NOT NULL, seen_ms INT NOT NULL, expires_ms INT NOT NULL, peer TEXT NOT NULL, agent TEXT NOT NULL);"
    /* Its ids have no gap, and sqlite_sequence knows the last: so a row that was taken away is missed, wherever it stood. */
    "CREATE TABLE satchel_audit(id INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INT NOT NULL, actor TEXT NOT NULL, peer TEXT NOT NULL,"
    " action TEXT NOT NULL, subject TEXT NOT NULL, rc INT NOT NULL, hash BLOB NOT NULL);"
    /* One connection of a device (server/history.h), put here when it has ended; current_ms: when it had been given all that there was. */
    "CREATE TABLE satchel_sync(id INTEGER PRIMARY KEY, device INT NOT NULL, begun_ms INT NOT NULL, ended_ms INT, end_rc INT NOT NULL DEFAULT 0,"
    " end_text TEXT, current_ms INT, sent_frames INT NOT NULL DEFAULT 0, received_frames INT NOT NULL DEFAULT 0, sent_bytes INT NOT NULL DEFAULT 0,"
    " received_bytes INT NOT NULL DEFAULT 0, pushed INT NOT NULL DEFAULT 0, pulled INT NOT NULL DEFAULT 0, peer TEXT NOT NULL);"
    "CREATE INDEX satchel_sync_device ON satchel_sync(device,begun_ms);"
    "CREATE INDEX satchel_sync_begun ON satchel_sync(begun_ms);"
    /* minute: since 1970, UTC. Older than two days, one row stands for an hour, at its first minute; the index has the others. */
    "CREATE TABLE satchel_sample(name TEXT, minute INT, value REAL NOT NULL, PRIMARY KEY(name,minute)) WITHOUT ROWID;"
    "CREATE INDEX satchel_sample_minute ON satchel_sample(minute) WHERE minute%60<>0;"
    /* What is watched (server/alert.h). profile NULL: any device; hours NULL: always. */
    "CREATE TABLE satchel_alert_rule(name TEXT PRIMARY KEY, metric TEXT NOT NULL, aggregation TEXT NOT NULL, window_s INT NOT NULL, op TEXT NOT NULL,"
    " threshold REAL NOT NULL, severity TEXT NOT NULL, profile TEXT, hours TEXT, active INT NOT NULL DEFAULT 1, about TEXT NOT NULL) WITHOUT ROWID;"
    "INSERT INTO satchel_alert_rule(name,metric,aggregation,window_s,op,threshold,severity,profile,hours,about) VALUES"
    "('device-silent','device.silent_s','last',0,'>',86400,'warning',NULL,NULL,'has not been heard of'),"
    "('till-silent','device.silent_s','last',0,'>',1800,'critical','till','mon-sat 08:00-20:00','has not been heard of in opening hours'),"
    "('changes-waiting','device.pending','held',14400,'>',0,'warning',NULL,NULL,'has changes that it has not sent for hours'),"
    "('refusal-open','device.refusal_age_s','last',0,'>',3600,'warning',NULL,NULL,'has a refused transaction that nobody has settled'),"
    "('conflict-rate','server.conflicts','ratio',3600,'>',3,'warning',NULL,NULL,'many times as many conflicts as in the week before'),"
    "('clock-skew','device.clock_skew_s','last',0,'>',300,'warning',NULL,NULL,'has a clock that is off'),"
    "('schema-behind','device.schema_behind','held',86400,'>',0,'warning',NULL,NULL,'has not run the newest migrations'),"
    "('offline-days','device.offline_days_left','last',0,'<',5,'critical',NULL,NULL,'will soon be waited for no more, and begin with a snapshot'),"
    "('wipe-waiting','device.wipe_wait_s','last',0,'>',86400,'critical',NULL,NULL,'was to be wiped, and has not said that it is'),"
    "('automation-failing','server.automations_failing','last',0,'>',0,'warning',NULL,NULL,'automations failed when they ran last'),"
    "('backup-old','server.backup_age_s','last',0,'>',93600,'critical',NULL,NULL,'the newest backup is old'),"
    "('notice-failing','server.notice_failing_s','last',0,'>',900,'warning',NULL,NULL,'mail or webhook of the alerts fail, see satchelctl alert list'),"
    "('auth-burst','server.auth_failures','sum',300,'>',20,'warning',NULL,NULL,'many passwords, tokens, codes or certificates were refused');"
    /* subject: a device's id, 0 for the server; state: open, acked, closed; told: what is settled of telling it (server/notice.h). */
    "CREATE TABLE satchel_alert(id INTEGER PRIMARY KEY AUTOINCREMENT, rule TEXT NOT NULL, subject INT NOT NULL, severity TEXT NOT NULL,"
    " state TEXT NOT NULL DEFAULT 'open', opened_ms INT NOT NULL, acked_ms INT, acked_by TEXT, closed_ms INT, value REAL, words TEXT NOT NULL,"
    " told INT NOT NULL DEFAULT 0);"
    "CREATE UNIQUE INDEX satchel_alert_of ON satchel_alert(rule,subject) WHERE state<>'closed';"
    "CREATE INDEX satchel_alert_opened ON satchel_alert(opened_ms);"
    "CREATE INDEX satchel_alert_closed ON satchel_alert(closed_ms) WHERE state='closed';"
    /* Since when a condition holds that opens an alert once it has held for long enough. */
    "CREATE TABLE satchel_alert_since(rule TEXT, subject INT, since_ms INT NOT NULL, PRIMARY KEY(rule,subject)) WITHOUT ROWID;"
    "CREATE INDEX satchel_conflict_at ON satchel_conflict(at_ms);"
    "CREATE INDEX satchel_conflict_row ON satchel_conflict(tbl,key);"
    /* open, accepted, restored: what an admin made of it. */
    "ALTER TABLE satchel_conflict ADD COLUMN state TEXT NOT NULL DEFAULT 'open';"
    "ALTER TABLE satchel_conflict ADD COLUMN resolved_ms INT;"
    "CREATE INDEX satchel_conflict_open ON satchel_conflict(id) WHERE state='open';"
    "CREATE INDEX satchel_refused_open ON satchel_refused(author,number) WHERE state='open';"
    "CREATE INDEX satchel_automation_run_of ON satchel_automation_run(name,id);"
    /* subject NULL: the whole rule. */
    "CREATE TABLE satchel_silence(id INTEGER PRIMARY KEY, rule TEXT NOT NULL, subject INT, until_ms INT NOT NULL, by TEXT NOT NULL);";

/* Devices may be removed (DEVICE_REMOVED), which an older program would take for active. verify_ms: since when it is ordered that the device compare all its
 * rows, 0: it is not; and what came out when it did so last (store.h). */
static const char FORMAT_8[] =
    "ALTER TABLE satchel_device ADD COLUMN verify_ms INT NOT NULL DEFAULT 0;"
    "CREATE TABLE satchel_comparison(device INTEGER PRIMARY KEY, begun_ms INT NOT NULL, ended_ms INT NOT NULL, ranges INT NOT NULL, rows INT NOT NULL,"
    " differed INT NOT NULL, passed INT NOT NULL, found TEXT NOT NULL);"
    "INSERT OR IGNORE INTO satchel_alert_rule(name,metric,aggregation,window_s,op,threshold,severity,profile,hours,about) VALUES"
    "('rows-differ','sample.differences','sum',3600,'>',0,'critical',NULL,NULL,'rows of a device or of the store were not as they had to be, and were put right; the log names them'),"
    "('version-refused','device.version_refused_s','last',0,'>=',0,'warning',NULL,NULL,'was refused for the version of its Satchel, and has to be updated');";

/* Since when it is ordered that the device make a new key, 0: it is not. */
static const char FORMAT_9[] = "ALTER TABLE satchel_device ADD COLUMN rotate_key_ms INT NOT NULL DEFAULT 0;";

/* What the device told of itself when it connected; NULL: its hello was not taken, or came before this was kept. And when it last said hello, and what then waited
 * on it by table, as JSON; NULL: it did not tell. */
static const char FORMAT_10[] = "ALTER TABLE satchel_sync ADD COLUMN clock_offset_ms INT;"
                                "ALTER TABLE satchel_sync ADD COLUMN schema_epoch INT;"
                                "ALTER TABLE satchel_sync ADD COLUMN software TEXT;"
                                "ALTER TABLE satchel_device ADD COLUMN told_ms INT NOT NULL DEFAULT 0;"
                                "ALTER TABLE satchel_device ADD COLUMN waiting TEXT;";

/* When a firing that failed was run again or dismissed, or its timer ran well; NULL: it waits for somebody. */
static const char FORMAT_11[] =
    "ALTER TABLE satchel_automation_run ADD COLUMN settled_ms INT;"
    "UPDATE satchel_automation_run SET settled_ms=n.at_ms FROM satchel_automation_run n WHERE n.replays=satchel_automation_run.id;"
    "UPDATE satchel_automation_run SET settled_ms=a.last_ms FROM satchel_automation a WHERE a.name=satchel_automation_run.name AND tbl=0 AND rc<>0"
    " AND settled_ms IS NULL AND a.last_ms>=at_ms;"
    "CREATE INDEX satchel_automation_run_failed ON satchel_automation_run(name) WHERE rc<>0 AND settled_ms IS NULL;"
    "UPDATE satchel_alert_rule SET metric='server.automations_failed' WHERE metric='server.automations_failing';"
    "UPDATE satchel_alert_rule SET about='automations failed, and nobody has run that again or dismissed it'"
    " WHERE name='automation-failing' AND about='automations failed when they ran last';";

/* Bytes that the device's files take and can come to, as its last hello told; NULL: it did not. */
static const char FORMAT_12[] =
    "ALTER TABLE satchel_device ADD COLUMN held_bytes INT;"
    "ALTER TABLE satchel_device ADD COLUMN room_bytes INT;"
    "INSERT OR IGNORE INTO satchel_alert_rule(name,metric,aggregation,window_s,op,threshold,severity,profile,hours,about) VALUES"
    "('storage-tight','device.storage_percent','last',0,'>',80,'warning',NULL,NULL,'takes most of what its storage has room for');";

/* N6: root: the refused transaction that this one retried, or the first of those that were retried in turn; NULL: it was no retry. */
static const char FORMAT_13[] = "ALTER TABLE satchel_result ADD COLUMN root INT;"
                                "CREATE INDEX satchel_result_root ON satchel_result(author,root) WHERE root IS NOT NULL;";

static const char *const FORMATS[] = {FORMAT_1, FORMAT_2, FORMAT_3,  FORMAT_4,  FORMAT_5,  FORMAT_6, FORMAT_7,
                                      FORMAT_8, FORMAT_9, FORMAT_10, FORMAT_11, FORMAT_12, FORMAT_13};
#define FORMAT (int)(sizeof FORMATS / sizeof *FORMATS)

int store_format(void) {
    return FORMAT;
}

/* Every table of data lies in the bucket 'all', as its rows did. */
static int add_sets(sqlite3 *db) {
    sqlite3_stmt *q = NULL;
    int sq = sqlite3_prepare_v2(
        db,
        "SELECT printf('ALTER TABLE \"%w\" ADD COLUMN satchel_set INTEGER NOT NULL DEFAULT 1',name) FROM satchel_table"
        " WHERE until=4294967295 AND since>0",
        -1, &q, NULL);
    while (sq == SQLITE_OK && (sq = sqlite3_step(q)) == SQLITE_ROW) {
        char *sql = sqlite3_mprintf("%s", sqlite3_column_text(q, 0));
        sq = sql ? sqlite3_exec(db, sql, NULL, NULL, NULL) : SQLITE_NOMEM;
        sqlite3_free(sql);
    }
    sqlite3_finalize(q);
    return sq == SQLITE_DONE ? SQLITE_OK : sq;
}

int store_layout(sqlite3 *db, int from) {
    char version[40];
    sqlite3_snprintf(sizeof version, version, "PRAGMA user_version=%d", FORMAT);
    int sq = SQLITE_OK;
    for (int i = from; i < FORMAT && sq == SQLITE_OK; i++) sq = sqlite3_exec(db, FORMATS[i], NULL, NULL, NULL);
    if (sq == SQLITE_OK && from && from < 4) sq = add_sets(db);
    if (sq == SQLITE_OK) sq = sqlite3_exec(db, version, NULL, NULL, NULL);
    return db_rc(sq);
}
