/* The lists, and which path gives which. Parameters: ?1 now, ?2 the newest seq, ?3 how long a device may stay away, ?4 and ?5 the path's. */
#include <string.h>

#include "server/console_private.h"

#define N(array) (sizeof(array) / sizeof *(array))

/* ---- devices ---- */

#define OPEN_REFUSALS                                                                                                            \
    "(SELECT count(*) FROM satchel_refused f JOIN satchel_author a USING(author) WHERE a.device=d.id AND f.state='open')"
#define LAST_OF(what) "(SELECT " what " FROM satchel_sync y WHERE y.device=d.id ORDER BY y.begun_ms DESC LIMIT 1)"

/* If it does not come until then, it has to begin with a snapshot. */
#define FENCED                                                                                                                   \
    "iif(d.state IN (1,4) AND d.last_seen_ms>0,d.last_seen_ms+coalesce((SELECT 86400000*p.horizon_days FROM satchel_profile p"   \
    " WHERE p.name=d.profile),?3),NULL)"

static const console_column DEVICE[] = {
    {"id", "d.id", CONSOLE_INTEGER, 0},
    {"name", "d.name", CONSOLE_TEXT, CONSOLE_SEARCHED},
    {"user", "console_literals(d.user)", CONSOLE_TEXT, CONSOLE_SEARCHED},
    {"store", "console_literals(d.store)", CONSOLE_TEXT, CONSOLE_SEARCHED},
    {"profile", "coalesce(d.profile,'full')", CONSOLE_TEXT, CONSOLE_SEARCHED},
    {"state",
     "CASE d.state WHEN 1 THEN 'active' WHEN 2 THEN 'revoked' WHEN 4 THEN 'paused' WHEN 5 THEN 'to be wiped' ELSE 'wiped' END",
     CONSOLE_TEXT, 0},
    {"state_ms", "iif(d.state_ms,d.state_ms,d.enrolled_ms)", CONSOLE_INTEGER, 0},
    {"health", CONSOLE_HEALTH, CONSOLE_TEXT, 0},
    {"online", "console_online(d.id)", CONSOLE_BOOL, 0},
    {"last_seen_ms", "iif(console_online(d.id),?1,nullif(d.last_seen_ms,0))", CONSOLE_INTEGER, 0},
    {"last_push_ms",
     "(SELECT max((SELECT r.at_ms FROM satchel_result r WHERE r.author=a.author ORDER BY r.number DESC LIMIT 1)) FROM satchel_author a"
     " WHERE a.device=d.id)",
     CONSOLE_INTEGER, 0},
    {"last_pull_ms",
     "(SELECT y.ended_ms FROM satchel_sync y WHERE y.device=d.id AND y.pulled>0 ORDER BY y.begun_ms DESC LIMIT 1)",
     CONSOLE_INTEGER, 0},
    {"acked_seq", "d.acked_seq", CONSOLE_INTEGER, 0},
    {"lag_seq", "max(0,?2-d.acked_seq)", CONSOLE_INTEGER, 0},
    {"lag_ms", CONSOLE_LAG, CONSOLE_INTEGER, 0},
    {"pending", "d.pending", CONSOLE_INTEGER, 0},
    {"pending_since_ms", "iif(d.pending>0,d.last_seen_ms,NULL)", CONSOLE_INTEGER, 0},
    {"refusals_open", OPEN_REFUSALS, CONSOLE_INTEGER, 0},
    {"conflicts_7d",
     "(SELECT count(*) FROM satchel_author a JOIN satchel_conflict c ON c.lost_author=a.author WHERE a.device=d.id AND"
     " c.id>=(SELECT w.id FROM satchel_conflict w WHERE w.at_ms>=?1-604800000 ORDER BY w.at_ms LIMIT 1))",
     CONSOLE_INTEGER, 0},
    {"software", "console_software(d.software,0)", CONSOLE_TEXT, CONSOLE_SEARCHED},
    {"platform", "console_software(d.software,1)", CONSOLE_TEXT, CONSOLE_SEARCHED},
    {"schema_epoch", "d.schema_epoch", CONSOLE_INTEGER, 0},
    {"clock_offset_ms", "d.clock_offset_ms", CONSOLE_INTEGER, 0},
    {"clamped", "d.clamped", CONSOLE_INTEGER, 0},
    {"held_bytes", "d.held_bytes", CONSOLE_INTEGER, 0},
    {"room_bytes", "d.room_bytes", CONSOLE_INTEGER, 0},
    {"storage_percent", "round(100.0*d.held_bytes/d.room_bytes,1)", CONSOLE_REAL, 0},
    {"enrolled_ms", "d.enrolled_ms", CONSOLE_INTEGER, 0},
    {"fenced_ms", FENCED, CONSOLE_INTEGER, 0},
    {"days_left", "round((" FENCED "-?1)/86400000.0,1)", CONSOLE_REAL, 0},
    {"unsettled", CONSOLE_UNSETTLED, CONSOLE_BOOL, 0},
    {"incarnations", "(SELECT count(*) FROM satchel_author a WHERE a.device=d.id)", CONSOLE_INTEGER, 0},
    {"resnapshot", "d.resnapshot=1 OR (d.resnapshot=2 AND d.acked_seq=0)", CONSOLE_BOOL, 0},
    {"verify_ms", "nullif(d.verify_ms,0)", CONSOLE_INTEGER, 0},
    {"rotate_key_ms", "nullif(d.rotate_key_ms,0)", CONSOLE_INTEGER, 0},
    {"compared_ms", "m.ended_ms", CONSOLE_INTEGER, 0},
    {"compared_ranges", "m.ranges", CONSOLE_INTEGER, 0},
    {"compared_rows", "m.rows", CONSOLE_INTEGER, 0},
    {"compared_differed", "m.differed", CONSOLE_INTEGER, 0},
    {"compared_passed", "m.passed", CONSOLE_INTEGER, 0},
    {"last_end", LAST_OF("console_error(y.end_rc)"), CONSOLE_TEXT, 0},
    {"last_error", LAST_OF("iif(console_error(y.end_rc) IS NULL,NULL,y.end_text)"), CONSOLE_TEXT, CONSOLE_SEARCHED},
    {"last_error_ms", LAST_OF("iif(console_error(y.end_rc) IS NULL,NULL,y.ended_ms)"), CONSOLE_INTEGER, 0},
    {"fingerprint", "lower(hex(d.fingerprint))", CONSOLE_TEXT, 0},
};
#define DEVICES_FROM "satchel_device d LEFT JOIN satchel_comparison m ON m.device=d.id WHERE d." DEVICE_LISTED
static const console_source DEVICES = {DEVICES_FROM, DEVICE, N(DEVICE), {"d.id"}, "name"};
const console_source CONSOLE_DEVICES = {DEVICES_FROM " AND d.id=?4", DEVICE, N(DEVICE), {"d.id"}, ""};

#define SYNC_END                                                                                                                 \
    {"ended_ms", "y.ended_ms", CONSOLE_INTEGER, 0}, {"ms", "coalesce(y.ended_ms,?1)-y.begun_ms", CONSOLE_INTEGER, 0},            \
        {"current_ms", "y.current_ms", CONSOLE_INTEGER, 0}, {"end", "console_code(y.end_rc)", CONSOLE_TEXT, CONSOLE_SEARCHED},   \
        {"end_text", "y.end_text", CONSOLE_TEXT, CONSOLE_SEARCHED}, {"sent_frames", "y.sent_frames", CONSOLE_INTEGER, 0},        \
        {"received_frames", "y.received_frames", CONSOLE_INTEGER, 0}, {"sent_bytes", "y.sent_bytes", CONSOLE_INTEGER, 0},        \
        {"received_bytes", "y.received_bytes", CONSOLE_INTEGER, 0}, {"pushed", "y.pushed", CONSOLE_INTEGER, 0},                  \
        {"pulled", "y.pulled", CONSOLE_INTEGER, 0}, {"peer", "y.peer", CONSOLE_TEXT, CONSOLE_SEARCHED},                          \
        {"clock_offset_ms", "y.clock_offset_ms", CONSOLE_INTEGER, 0},                                                            \
        {"software", "y.software", CONSOLE_TEXT, CONSOLE_SEARCHED}, {                                                            \
        "schema_epoch", "y.schema_epoch", CONSOLE_INTEGER, 0                                                                     \
    }
static const console_column SYNC[] = {{"id", "y.id", CONSOLE_INTEGER, 0},
                                      {"device_id", "y.device", CONSOLE_INTEGER, 0},
                                      {"device", "d.name", CONSOLE_TEXT, CONSOLE_SEARCHED},
                                      {"begun_ms", "y.begun_ms", CONSOLE_INTEGER, 0},
                                      SYNC_END};
static const console_source SYNCS = {"satchel_sync y JOIN satchel_device d ON d.id=y.device", SYNC, N(SYNC), {"y.id"}, "-"};
/* With the one that is open, ?5. */
const console_source CONSOLE_SYNCS_OF_DEVICE = {
    "(SELECT id,device,begun_ms,ended_ms,current_ms,end_rc,end_text,sent_frames,received_frames,sent_bytes,received_bytes,pushed,pulled,peer,"
    "clock_offset_ms,software,schema_epoch,id AS place FROM satchel_sync WHERE device=?4 UNION ALL"
    " SELECT NULL,?4,value->>'begun_ms',NULL,value->>'current_ms',0,NULL,value->>'sent_frames',value->>'received_frames',"
    "value->>'sent_bytes',value->>'received_bytes',value->>'pushed',value->>'pulled',value->>'peer',value->>'clock_offset_ms',value->>'software',"
    "value->>'schema_epoch',9223372036854775807 FROM json_each(?5)) y"
    " JOIN satchel_device d ON d.id=y.device",
    SYNC,
    N(SYNC),
    {"y.place"},
    "-begun_ms"};

static const console_column EVENT[] = {{"id", "e.id", CONSOLE_INTEGER, 0},
                                       {"at_ms", "e.at_ms", CONSOLE_INTEGER, 0},
                                       {"device_id", "iif(d." DEVICE_LISTED ",d.id,NULL)", CONSOLE_INTEGER, 0},
                                       {"device", "d.name", CONSOLE_TEXT, CONSOLE_SEARCHED},
                                       {"kind", "e.kind", CONSOLE_TEXT, CONSOLE_SEARCHED},
                                       {"text", "e.text", CONSOLE_TEXT, CONSOLE_SEARCHED}};
static const console_source EVENTS = {
    "satchel_event e LEFT JOIN satchel_device d ON d.id=e.device", EVENT, N(EVENT), {"e.id"}, "-"};

static const console_column GRANT[] = {{"id", "g.id", CONSOLE_INTEGER, 0},
                                       {"device_id", "g.device", CONSOLE_INTEGER, 0},
                                       {"device", "d.name", CONSOLE_TEXT, CONSOLE_SEARCHED},
                                       {"table", "console_table(g.tbl)", CONSOLE_TEXT, CONSOLE_SEARCHED},
                                       {"key", "console_literals(g.key)", CONSOLE_TEXT, CONSOLE_SEARCHED},
                                       {"label", "console_label(g.tbl,g.key)", CONSOLE_TEXT, CONSOLE_SEARCHED},
                                       {"until_ms", "g.until_ms", CONSOLE_INTEGER, 0},
                                       {"reason", "g.reason", CONSOLE_TEXT, CONSOLE_SEARCHED},
                                       {"at_ms", "g.at_ms", CONSOLE_INTEGER, 0}};
static const console_source GRANTS = {"satchel_grant g JOIN satchel_device d ON d.id=g.device", GRANT, N(GRANT), {"g.id"}, ""};

/* ---- what was lost and refused ---- */

#define SIDE(side, alias)                                                                                                        \
    {#side, "coalesce(console_literals(c." #side "),'NULL')", CONSOLE_TEXT, CONSOLE_SEARCHED},                                   \
        {#side "_device", "coalesce(" alias ".name,'server')", CONSOLE_TEXT, CONSOLE_SEARCHED},                                  \
        {#side "_device_id", "iif(" alias "." DEVICE_LISTED "," alias ".id,NULL)", CONSOLE_INTEGER, 0},                          \
        {#side "_user", "console_literals(" alias ".user)", CONSOLE_TEXT, CONSOLE_SEARCHED}, {                                   \
#side "_made_ms", "console_made(c." #side "_stamp,c." #side "_author,c.at_ms)", CONSOLE_INTEGER, 0                       \
    }
static const console_column CONFLICT[] = {{"id", "c.id", CONSOLE_INTEGER, 0},
                                          {"seq", "c.seq", CONSOLE_INTEGER, 0},
                                          {"at_ms", "c.at_ms", CONSOLE_INTEGER, 0},
                                          {"table", "console_table(c.tbl)", CONSOLE_TEXT, CONSOLE_SEARCHED},
                                          {"key", "console_literals(c.key)", CONSOLE_TEXT, CONSOLE_SEARCHED},
                                          {"label", "console_label(c.tbl,c.key)", CONSOLE_TEXT, CONSOLE_SEARCHED},
                                          {"column", "console_column(c.tbl,c.col)", CONSOLE_TEXT, CONSOLE_SEARCHED},
                                          {"rule", "console_rule(c.rule)", CONSOLE_TEXT, 0},
                                          SIDE(kept, "k"),
                                          SIDE(lost, "o"),
                                          {"state", "c.state", CONSOLE_TEXT, 0},
                                          {"resolved_ms", "c.resolved_ms", CONSOLE_INTEGER, 0}};
#define CONFLICTS_FROM                                                                                                           \
    "satchel_conflict c LEFT JOIN satchel_author ka ON ka.author=c.kept_author LEFT JOIN satchel_device k ON k.id=ka.device"     \
    " LEFT JOIN satchel_author oa ON oa.author=c.lost_author LEFT JOIN satchel_device o ON o.id=oa.device"
static const console_source CONFLICTS = {CONFLICTS_FROM, CONFLICT, N(CONFLICT), {"c.id"}, "-"};
const console_source CONSOLE_CONFLICTS = {CONFLICTS_FROM " WHERE c.id=?4", CONFLICT, N(CONFLICT), {"c.id"}, ""};

static const console_column REFUSAL[] = {
    {"id", "f.author||'-'||f.number", CONSOLE_TEXT, 0},
    {"device_id", "iif(d." DEVICE_LISTED ",d.id,NULL)", CONSOLE_INTEGER, 0},
    {"device", "d.name", CONSOLE_TEXT, CONSOLE_SEARCHED},
    {"user", "console_literals(d.user)", CONSOLE_TEXT, CONSOLE_SEARCHED},
    {"incarnation", "a.incarnation", CONSOLE_INTEGER, 0},
    {"number", "f.number", CONSOLE_INTEGER, 0},
    {"at_ms", "r.at_ms", CONSOLE_INTEGER, 0},
    {"code", "console_code(r.rc)", CONSOLE_TEXT, CONSOLE_SEARCHED},
    {"rule", "console_reason(r.rc)", CONSOLE_TEXT, 0},
    {"message", "coalesce(r.message,'')", CONSOLE_TEXT, CONSOLE_SEARCHED},
    {"table", "console_table(r.tbl)", CONSOLE_TEXT, CONSOLE_SEARCHED},
    {"key", "nullif(console_literals(r.key),'')", CONSOLE_TEXT, CONSOLE_SEARCHED},
    {"label", "console_label(r.tbl,r.key)", CONSOLE_TEXT, CONSOLE_SEARCHED},
    {"depends", "r.depends", CONSOLE_INTEGER, 0},
    {"dependants",
     "(SELECT count(*) FROM satchel_refused p JOIN satchel_result q USING(author,number) WHERE p.author=f.author AND q.depends=f.number)",
     CONSOLE_INTEGER, 0},
    {"state", "f.state", CONSOLE_TEXT, 0},
    {"resolved_ms", "f.resolved_ms", CONSOLE_INTEGER, 0},
};
#define REFUSALS_FROM                                                                                                               \
    "satchel_refused f JOIN satchel_result r ON r.author=f.author AND r.number=f.number JOIN satchel_author a ON a.author=f.author" \
    " JOIN satchel_device d ON d.id=a.device"
static const console_source REFUSALS = {REFUSALS_FROM, REFUSAL, N(REFUSAL), {"f.author", "f.number"}, "-at_ms"};
/* ?4 the author, ?5 the number. */
const console_source CONSOLE_REFUSALS = {
    REFUSALS_FROM " WHERE f.author=?4 AND f.number=CAST(?5 AS INTEGER)", REFUSAL, N(REFUSAL), {"f.author", "f.number"}, ""};

/* ---- what is in force, and what was ---- */

static const console_column SCOPE_VERSION[] = {{"version", "s.version", CONSOLE_INTEGER, 0},
                                               {"name", "s.name", CONSOLE_TEXT, CONSOLE_SEARCHED},
                                               {"seq", "s.seq", CONSOLE_INTEGER, 0},
                                               {"at_ms", "s.at_ms", CONSOLE_INTEGER, 0}};
static const console_source SCOPE_VERSIONS = {"satchel_scope s", SCOPE_VERSION, N(SCOPE_VERSION), {"s.version"}, "-"};

/* Of those that are to come and were here. */
#define CAME "d.state IN (1,4) AND d.last_seen_ms>0"
static const console_column MIGRATION[] = {
    {"epoch", "m.epoch", CONSOLE_INTEGER, 0},
    {"name", "m.name", CONSOLE_TEXT, CONSOLE_SEARCHED},
    {"devices", "(SELECT count(*) FROM satchel_device d WHERE " CAME " AND d.schema_epoch=m.epoch)", CONSOLE_INTEGER, 0}};
static const console_source MIGRATIONS = {"satchel_migration m", MIGRATION, N(MIGRATION), {"m.epoch"}, "-"};

static const console_column SOFTWARE[] = {{"software", "s.software", CONSOLE_TEXT, CONSOLE_SEARCHED},
                                          {"devices", "s.devices", CONSOLE_INTEGER, 0}};
static const console_source SOFTWARES = {
    "(SELECT console_software(d.software,0) AS software,count(*) AS devices FROM satchel_device d"
    " WHERE " CAME " GROUP BY 1) s",
    SOFTWARE,
    N(SOFTWARE),
    {"s.software"},
    "-devices"};

static const console_column EPOCH[] = {{"epoch", "lower(hex(e.epoch))", CONSOLE_TEXT, CONSOLE_SEARCHED},
                                       {"start_seq", "e.start_seq", CONSOLE_INTEGER, 0},
                                       {"at_ms", "e.at_ms", CONSOLE_INTEGER, 0}};
static const console_source EPOCHS = {"satchel_epoch e", EPOCH, N(EPOCH), {"e.n"}, "-"};

/* ---- alerts ---- */

#define SUBJECT                                                                                                                  \
    {"subject", "coalesce(d.name,'server')", CONSOLE_TEXT, CONSOLE_SEARCHED}, {                                                  \
        "device_id", "iif(d." DEVICE_LISTED ",d.id,NULL)", CONSOLE_INTEGER, 0                                                    \
    }
/* By which alert.silence knows it: its name may be another's, too. */
#define FINGERPRINT                                                                                                              \
    { "fingerprint", "iif(d." DEVICE_LISTED ",lower(hex(d.fingerprint)),NULL)", CONSOLE_TEXT, 0 }
static const console_column ALERT[] = {{"id", "a.id", CONSOLE_INTEGER, 0},
                                       {"rule", "a.rule", CONSOLE_TEXT, CONSOLE_SEARCHED},
                                       SUBJECT,
                                       FINGERPRINT,
                                       {"severity", "a.severity", CONSOLE_TEXT, 0},
                                       {"state", "a.state", CONSOLE_TEXT, 0},
                                       {"opened_ms", "a.opened_ms", CONSOLE_INTEGER, 0},
                                       {"acked_ms", "a.acked_ms", CONSOLE_INTEGER, 0},
                                       {"acked_by", "a.acked_by", CONSOLE_TEXT, CONSOLE_SEARCHED},
                                       {"closed_ms", "a.closed_ms", CONSOLE_INTEGER, 0},
                                       {"value", "a.value", CONSOLE_REAL, 0},
                                       {"words", "a.words", CONSOLE_TEXT, CONSOLE_SEARCHED},
                                       {"silenced",
                                        "EXISTS(SELECT 1 FROM satchel_silence s WHERE s.rule=a.rule AND (s.subject IS NULL OR"
                                        " s.subject=a.subject) AND s.until_ms>?1)",
                                        CONSOLE_BOOL, 0}};
static const console_source ALERTS = {
    "satchel_alert a LEFT JOIN satchel_device d ON d.id=a.subject", ALERT, N(ALERT), {"a.id"}, "-"};

static const console_column ALERT_RULE[] = {
    {"name", "r.name", CONSOLE_TEXT, CONSOLE_SEARCHED},
    {"metric", "r.metric", CONSOLE_TEXT, CONSOLE_SEARCHED},
    {"aggregation", "r.aggregation", CONSOLE_TEXT, 0},
    {"window_s", "r.window_s", CONSOLE_INTEGER, 0},
    {"op", "r.op", CONSOLE_TEXT, 0},
    {"threshold", "r.threshold", CONSOLE_REAL, 0},
    {"severity", "r.severity", CONSOLE_TEXT, 0},
    {"profile", "r.profile", CONSOLE_TEXT, CONSOLE_SEARCHED},
    {"hours", "r.hours", CONSOLE_TEXT, 0},
    {"active", "r.active", CONSOLE_BOOL, 0},
    {"about", "r.about", CONSOLE_TEXT, CONSOLE_SEARCHED},
    {"open", "(SELECT count(*) FROM satchel_alert a WHERE a.rule=r.name AND a.state<>'closed')", CONSOLE_INTEGER, 0}};
static const console_source ALERT_RULES = {"satchel_alert_rule r", ALERT_RULE, N(ALERT_RULE), {"r.name"}, "name"};

static const console_column SILENCE[] = {
    {"id", "s.id", CONSOLE_INTEGER, 0},
    {"rule", "s.rule", CONSOLE_TEXT, CONSOLE_SEARCHED},
    {"subject", "iif(s.subject IS NULL,NULL,coalesce(d.name,'server'))", CONSOLE_TEXT, CONSOLE_SEARCHED},
    {"device_id", "d.id", CONSOLE_INTEGER, 0},
    FINGERPRINT,
    {"until_ms", "s.until_ms", CONSOLE_INTEGER, 0},
    {"by", "s.by", CONSOLE_TEXT, CONSOLE_SEARCHED}};
static const console_source SILENCES = {
    "satchel_silence s LEFT JOIN satchel_device d ON d.id=s.subject", SILENCE, N(SILENCE), {"s.id"}, ""};

/* ---- what the server does by itself ---- */

static const console_column RUN[] = {{"id", "r.id", CONSOLE_INTEGER, 0},
                                     {"name", "r.name", CONSOLE_TEXT, CONSOLE_SEARCHED},
                                     {"seq", "r.seq", CONSOLE_INTEGER, 0},
                                     {"table", "console_table(r.tbl)", CONSOLE_TEXT, CONSOLE_SEARCHED},
                                     {"key", "nullif(console_literals(r.key),'')", CONSOLE_TEXT, CONSOLE_SEARCHED},
                                     {"label", "console_label(r.tbl,r.key)", CONSOLE_TEXT, CONSOLE_SEARCHED},
                                     {"at_ms", "r.at_ms", CONSOLE_INTEGER, 0},
                                     {"ms", "r.ms", CONSOLE_INTEGER, 0},
                                     {"wrote", "r.wrote", CONSOLE_INTEGER, 0},
                                     {"code", "console_code(r.rc)", CONSOLE_TEXT, CONSOLE_SEARCHED},
                                     {"failed", "r.rc<>0 AND r.settled_ms IS NULL", CONSOLE_BOOL, 0},
                                     {"words", "r.words", CONSOLE_TEXT, CONSOLE_SEARCHED},
                                     {"replays", "r.replays", CONSOLE_INTEGER, 0},
                                     {"replayed_by", "n.id", CONSOLE_INTEGER, 0},
                                     {"replayed_ms", "n.at_ms", CONSOLE_INTEGER, 0},
                                     {"settled_ms", "r.settled_ms", CONSOLE_INTEGER, 0}};
static const console_source RUNS = {
    "satchel_automation_run r LEFT JOIN satchel_automation_run n ON n.replays=r.id", RUN, N(RUN), {"r.id"}, "-"};

/* ---- people and programs ---- */

static const console_column USER[] = {
    {"id", "u.id", CONSOLE_INTEGER, 0},
    {"name", "u.name", CONSOLE_TEXT, CONSOLE_SEARCHED},
    {"role", "u.role", CONSOLE_TEXT, 0},
    {"state", "u.state", CONSOLE_TEXT, 0},
    {"created_ms", "u.created_ms", CONSOLE_INTEGER, 0},
    {"failures", "u.failures", CONSOLE_INTEGER, 0},
    {"locked_until_ms", "iif(u.locked_until_ms>?1,u.locked_until_ms,NULL)", CONSOLE_INTEGER, 0},
    {"last_login_ms", "nullif(u.last_login_ms,0)", CONSOLE_INTEGER, 0},
    {"sessions", "(SELECT count(*) FROM satchel_login l WHERE l.user=u.id AND l.expires_ms>?1 AND l.seen_ms>?1-3600000)",
     CONSOLE_INTEGER, 0}};
static const console_source USERS = {"satchel_user u", USER, N(USER), {"u.id"}, "name"};

static const console_column TOKEN[] = {
    {"id", "t.id", CONSOLE_INTEGER, 0},
    {"name", "d.name", CONSOLE_TEXT, CONSOLE_SEARCHED},
    {"rights",
     "rtrim(iif(t.rights&1,'read,','')||iif(t.rights&2,'write,','')||iif(t.rights&4,'server,','')||iif(t.rights&8,'console:viewer,','')||"
     "iif(t.rights&16,'console:manager,','')||iif(t.rights&32,'console:admin,',''),',')",
     CONSOLE_TEXT, CONSOLE_SEARCHED},
    {"state", "iif(coalesce(t.revoked_ms,0),'revoked','active')", CONSOLE_TEXT, 0},
    {"created_ms", "d.enrolled_ms", CONSOLE_INTEGER, 0},
    {"used_ms", "nullif(d.last_seen_ms,0)", CONSOLE_INTEGER, 0},
    {"revoked_ms", "nullif(t.revoked_ms,0)", CONSOLE_INTEGER, 0}};
static const console_source TOKENS = {"satchel_token t JOIN satchel_device d ON d.id=t.id", TOKEN, N(TOKEN), {"t.id"}, "name"};

static const console_column ENROLMENT[] = {
    {"name", "e.name", CONSOLE_TEXT, CONSOLE_SEARCHED},
    {"profile", "coalesce(e.profile,'full')", CONSOLE_TEXT, CONSOLE_SEARCHED},
    {"user", "console_literals(e.user)", CONSOLE_TEXT, CONSOLE_SEARCHED},
    {"store", "console_literals(e.store)", CONSOLE_TEXT, CONSOLE_SEARCHED},
    {"expires_ms", "e.expires_ms", CONSOLE_INTEGER, 0},
    {"state", "CASE WHEN e.fingerprint IS NOT NULL THEN 'used' WHEN e.expires_ms<?1 THEN 'expired' ELSE 'open' END", CONSOLE_TEXT,
     0}};
static const console_source ENROLMENTS = {"satchel_enrol e", ENROLMENT, N(ENROLMENT), {"e.secret_hash"}, "-expires_ms"};

static const console_column AUDIT[] = {{"id", "a.id", CONSOLE_INTEGER, 0},
                                       {"at_ms", "a.at_ms", CONSOLE_INTEGER, 0},
                                       {"actor", "a.actor", CONSOLE_TEXT, CONSOLE_SEARCHED},
                                       {"peer", "a.peer", CONSOLE_TEXT, CONSOLE_SEARCHED},
                                       {"action", "a.action", CONSOLE_TEXT, CONSOLE_SEARCHED},
                                       {"subject", "a.subject", CONSOLE_TEXT, CONSOLE_SEARCHED},
                                       {"code", "console_code(a.rc)", CONSOLE_TEXT, CONSOLE_SEARCHED},
                                       {"hash", "lower(hex(a.hash))", CONSOLE_TEXT, 0}};
static const console_source AUDITS = {"satchel_audit a", AUDIT, N(AUDIT), {"a.id"}, "-"};

/* ---- the paths ---- */

#define LIST_ARGS " limit after sort filter. q counts format "
#define ADMIN "/v1/admin/"

static const struct {
    const char *path;
    const console_source *source;
} LISTS[] = {{ADMIN "devices", &DEVICES},
             {ADMIN "syncs", &SYNCS},
             {ADMIN "events", &EVENTS},
             {ADMIN "grants", &GRANTS},
             {ADMIN "conflicts", &CONFLICTS},
             {ADMIN "refusals", &REFUSALS},
             {ADMIN "alerts", &ALERTS},
             {ADMIN "alert_rules", &ALERT_RULES},
             {ADMIN "silences", &SILENCES},
             {ADMIN "automation_runs", &RUNS},
             {ADMIN "users", &USERS},
             {ADMIN "tokens", &TOKENS},
             {ADMIN "enrolments", &ENROLMENTS},
             {ADMIN "audit", &AUDITS},
             {ADMIN "scope_versions", &SCOPE_VERSIONS},
             {ADMIN "migrations", &MIGRATIONS},
             {ADMIN "software", &SOFTWARES},
             {ADMIN "epochs", &EPOCHS}};

void console_lists(api_call *c, api_reader *r) {
    console *k = console_begin(c, r);
    size_t i = 0;
    if (!k) return;
    while (strcmp(LISTS[i].path, c->route->head)) i++;
    console_answer(c, r, k, LISTS[i].source, 0, NULL);
}

#define GET(path, tail, args, work, role)                                                                                        \
    { HTTP_GET, ADMIN path, tail, 0, args, 0, work, NULL, role }
#define LIST(path, role) GET(path, NULL, LIST_ARGS, console_lists, role)

const api_route console_routes[] = {
    GET("overview", NULL, " ", console_overview, PEOPLE_VIEWER),
    LIST("devices", PEOPLE_VIEWER),
    GET("devices/", "", " ", console_device, PEOPLE_VIEWER),
    GET("devices/", "/syncs", LIST_ARGS, console_device_syncs, PEOPLE_VIEWER),
    GET("devices/", "/rows", " table" LIST_ARGS, console_device_rows, PEOPLE_VIEWER),
    LIST("syncs", PEOPLE_VIEWER),
    LIST("events", PEOPLE_VIEWER),
    {HTTP_GET, ADMIN "explain", NULL, 0, " device table key ", 0, NULL, console_explain, PEOPLE_VIEWER},
    LIST("conflicts", PEOPLE_VIEWER),
    GET("conflicts/", "", " ", console_conflict, PEOPLE_VIEWER),
    LIST("refusals", PEOPLE_VIEWER),
    GET("refusals/", "", " ", console_refusal, PEOPLE_VIEWER),
    GET("changes", NULL, " table key device since limit after format ", console_changes, PEOPLE_VIEWER),
    GET("history", NULL, " table key column" LIST_ARGS, console_history, PEOPLE_VIEWER),
    GET("scope", NULL, " ", console_scope, PEOPLE_VIEWER),
    LIST("scope_versions", PEOPLE_VIEWER),
    GET("profiles", NULL, LIST_ARGS, console_profiles, PEOPLE_VIEWER),
    GET("device_users", NULL, LIST_ARGS, console_device_users, PEOPLE_VIEWER),
    GET("holds", NULL, " user store profile ", console_holds, PEOPLE_VIEWER),
    LIST("grants", PEOPLE_VIEWER),
    GET("samples", NULL, " name from_ms to_ms step ", console_samples, PEOPLE_VIEWER),
    LIST("alerts", PEOPLE_VIEWER),
    LIST("alert_rules", PEOPLE_VIEWER),
    LIST("silences", PEOPLE_VIEWER),
    GET("automations", NULL, LIST_ARGS, console_automations, PEOPLE_VIEWER),
    LIST("automation_runs", PEOPLE_VIEWER),
    LIST("users", PEOPLE_ADMIN),
    LIST("tokens", PEOPLE_ADMIN),
    LIST("enrolments", PEOPLE_ADMIN),
    LIST("audit", PEOPLE_ADMIN),
    GET("backups", NULL, LIST_ARGS, console_backups, PEOPLE_VIEWER),
    LIST("epochs", PEOPLE_VIEWER),
    GET("schema", NULL, " ", console_schema, PEOPLE_VIEWER),
    LIST("migrations", PEOPLE_VIEWER),
    LIST("software", PEOPLE_VIEWER),
    GET("tables", NULL, LIST_ARGS, console_tables, PEOPLE_VIEWER),
    GET("tables/", "/rows", LIST_ARGS, console_rows, PEOPLE_VIEWER),
    GET("tables/", "/rows/", " ", console_row, PEOPLE_VIEWER),
    GET("reports", NULL, LIST_ARGS, console_reports, PEOPLE_VIEWER),
    GET("reports/", "", LIST_ARGS, console_report, PEOPLE_VIEWER),
};
const size_t console_nroutes = N(console_routes);
