/* Alerts: opened once for a rule and a subject, closed by themselves, and what is to be told of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"
#include "server/alert_private.h"
#include "server/history.h"
#include "server/store_private.h"
#include "tests/support/serving.h"

#define MINUTE UINT64_C(60000)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)
#define EVERY_WAY 3u

typedef struct world {
    serving v;
    device phone;
    alert_watch *watch;
    alert_figures f;
    unsigned changed; /* by the last look */
} world;

static int setup(void **state) {
    world *w = calloc(1, sizeof *w);
    serving_open(&w->v, "CREATE TABLE item(id TEXT PRIMARY KEY, n INTEGER); INSERT INTO satchel_table(name) VALUES('item');",
                 NULL);
    w->phone = serving_device(&w->v, "phone");
    w->watch = alert_watch_new();
    w->f = (alert_figures){.horizon_ms = 30 * DAY, .ways = EVERY_WAY};
    sql_exec(&w->v, "UPDATE satchel_alert_rule SET active=0");
    *state = w;
    return 0;
}

static int teardown(void **state) {
    world *w = *state;
    alert_watch_free(w->watch);
    serving_fini(&w->v);
    free(w);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define SQL(query, expected) assert_string_equal(sql(&w->v, query), expected)
#define ALERTS(expected) SQL("SELECT rule||' '||subject||' '||state FROM satchel_alert ORDER BY id", expected)

/* The rules that a test is about. */
static void use(world *w, const char *names) {
    char text[512];
    snprintf(text, sizeof text, "UPDATE satchel_alert_rule SET active=1 WHERE name IN (%s)", names);
    sql_exec(&w->v, text);
}

static void look(world *w) {
    assert_int_equal(store_begin(w->v.s), SATCHEL_OK);
    assert_int_equal(alert_look(w->watch, w->v.s, &w->f, w->v.now_ms, &w->changed), SATCHEL_OK);
    assert_int_equal(store_commit(w->v.s), SATCHEL_OK);
}

/* Looks each minute, as upkeep does. */
static void wait(world *w, uint64_t ms) {
    for (uint64_t end = w->v.now_ms + ms; w->v.now_ms < end;) {
        w->v.now_ms += MINUTE;
        look(w);
    }
}

/* The phone, which is device 1, as of now. */
static void phone(world *w, const char *assignment) {
    char text[256];
    snprintf(text, sizeof text, "UPDATE satchel_device SET %s WHERE name='phone'", assignment);
    sql_exec(&w->v, text);
}

static void phone_comes(world *w) {
    char text[64];
    snprintf(text, sizeof text, "last_seen_ms=%llu, schema_epoch=1", (unsigned long long)w->v.now_ms);
    phone(w, text);
}

static int take_untold(void *ctx, const alert_info *a) {
    buf_printf(ctx, "%s%s %s", ((buf *)ctx)->n ? "; " : "", a->rule, a->state);
    return 0;
}

/* What is to be told on one way, and telling it. */
static const char *untold(world *w, alert_way way) {
    static buf out;
    buf_clear(&out);
    assert_int_equal(alert_untold(&w->v.s->cache, way, 100, w->v.now_ms, take_untold, &out), SATCHEL_OK);
    buf_put_byte(&out, 0);
    return (const char *)out.p;
}
#define UNTOLD(way, expected) assert_string_equal(untold(w, way), expected)

static int tell_one(void *ctx, const alert_info *a) {
    world *w = ctx;
    unsigned bits = strcmp(a->state, "closed") ? ALERT_TOLD_OPEN(ALERT_MAIL) : ALERT_TOLD(ALERT_MAIL);
    return alert_told(w->v.s, a->id, bits);
}

static void tell(world *w) {
    assert_int_equal(alert_untold(&w->v.s->cache, ALERT_MAIL, 100, w->v.now_ms, tell_one, w), SATCHEL_OK);
}

/* ---- opening and closing ---- */

static int check_rule(void *ctx, const alert_rule *r) {
    buf error = {0};
    if (alert_rule_check(r, &error)) fail_msg("%s: %s", r->name, (const char *)error.p);
    assert_string_not_equal(r->about, "");
    ++*(unsigned *)ctx;
    return 0;
}

static void defaults_of_a_new_store_are_rules_that_make_sense(void **state) {
    world *w = *state;
    unsigned n = 0;
    assert_int_equal(alert_rules(&w->v.s->cache, check_rule, &n), SATCHEL_OK);
    assert_int_equal(n, 16);
}

static void silent_device_opens_one_alert_that_closes_when_it_comes(void **state) {
    world *w = *state;
    use(w, "'device-silent'");
    phone_comes(w);
    wait(w, DAY - HOUR);
    ALERTS("");
    wait(w, 2 * HOUR);
    ALERTS("device-silent 1 open");
    SQL("SELECT words,severity FROM satchel_alert", "phone has not been heard of (1 d 0 h)|warning");
    wait(w, DAY);
    ALERTS("device-silent 1 open");
    phone_comes(w);
    look(w);
    assert_int_equal(w->changed, 1);
    ALERTS("device-silent 1 closed");
    wait(w, DAY + HOUR);
    ALERTS("device-silent 1 closed ; device-silent 1 open");
}

static void device_that_never_came_counts_from_its_enrolment(void **state) {
    world *w = *state;
    use(w, "'device-silent','clock-skew','schema-behind','offline-days'");
    wait(w, DAY + 2 * MINUTE);
    ALERTS("device-silent 1 open");
}

static void look_that_finds_nothing_new_writes_only_that_it_looked(void **state) {
    world *w = *state;
    sql_exec(&w->v, "UPDATE satchel_alert_rule SET active=1");
    for (int i = 0; i < 50; i++) {
        char name[16];
        snprintf(name, sizeof name, "d%d", i);
        serving_device(&w->v, name);
    }
    wait(w, DAY + HOUR);
    SQL("SELECT count(*) FROM satchel_alert WHERE rule='device-silent'", "51");
    sqlite3 *db = store_db(w->v.s);
    int before = sqlite3_total_changes(db);
    wait(w, MINUTE);
    /* And the commit's own row. */
    assert_int_equal(sqlite3_total_changes(db) - before, 2);
}

static void device_that_is_revoked_or_paused_and_rule_that_is_off_close(void **state) {
    world *w = *state;
    use(w, "'device-silent'");
    phone_comes(w);
    wait(w, DAY + MINUTE);
    phone(w, "state=4");
    look(w);
    ALERTS("device-silent 1 closed");
    phone(w, "state=1");
    look(w);
    assert_int_equal(alert_rule_switch(w->v.s, "device-silent", false), SATCHEL_OK);
    look(w);
    ALERTS("device-silent 1 closed ; device-silent 1 closed");
    assert_int_equal(alert_rule_switch(w->v.s, "no-such", false), SATCHEL_E_NOT_FOUND);
}

static void held_condition_opens_when_it_held_for_the_whole_window(void **state) {
    world *w = *state;
    use(w, "'changes-waiting'");
    phone(w, "pending=2");
    look(w);
    wait(w, 3 * HOUR);
    phone(w, "pending=0");
    look(w);
    phone(w, "pending=1");
    wait(w, 3 * HOUR);
    ALERTS("");
    /* Over a restart as well. */
    alert_watch_free(w->watch);
    w->watch = alert_watch_new();
    serving_reopen(&w->v);
    wait(w, HOUR + 2 * MINUTE);
    ALERTS("changes-waiting 1 open");
    phone(w, "pending=0");
    look(w);
    ALERTS("changes-waiting 1 closed");
    SQL("SELECT count(*) FROM satchel_alert_since WHERE rule<>''", "0");
}

static void clock_that_is_put_back_makes_nothing_held_for_long(void **state) {
    world *w = *state;
    use(w, "'changes-waiting'");
    phone(w, "pending=2");
    look(w);
    w->v.now_ms -= 24 * HOUR;
    look(w);
    wait(w, 2 * MINUTE);
    ALERTS("");
}

/* What held under a clock ahead holds from when that was put right. */
static void clock_that_was_ahead_keeps_nothing_from_being_held(void **state) {
    world *w = *state;
    use(w, "'changes-waiting'");
    w->v.now_ms += 365 * DAY;
    phone(w, "pending=2");
    look(w);
    w->v.now_ms -= 365 * DAY;
    wait(w, 4 * HOUR);
    ALERTS("");
    wait(w, 2 * MINUTE);
    ALERTS("changes-waiting 1 open");
}

static void devices_metrics_open_what_they_are_for(void **state) {
    world *w = *state;
    use(w, "'clock-skew','schema-behind','offline-days','refusal-open','wipe-waiting'");
    phone_comes(w);
    phone(w, "clock_offset_ms=-299000");
    look(w);
    ALERTS("");
    phone(w, "clock_offset_ms=-301000, schema_epoch=0");
    look(w);
    ALERTS("clock-skew 1 open");
    wait(w, DAY + MINUTE);
    ALERTS("clock-skew 1 open ; schema-behind 1 open");
    phone(w, "clock_offset_ms=0, schema_epoch=1");
    wait(w, 24 * DAY + HOUR);
    SQL("SELECT rule FROM satchel_alert WHERE state='open'", "offline-days");
    sql_exec(&w->v, "INSERT INTO satchel_profile VALUES('rep',60)");
    phone(w, "profile='rep'");
    look(w);
    SQL("SELECT count(*) FROM satchel_alert WHERE state='open'", "0");
    phone(w, "state=5, state_ms=last_seen_ms");
    look(w);
    SQL("SELECT rule FROM satchel_alert WHERE state='open'", "wipe-waiting");
}

static void files_that_take_most_of_their_storage_open_and_say_how_much(void **state) {
    world *w = *state;
    use(w, "'storage-tight'");
    phone_comes(w);
    look(w);
    ALERTS("");
    phone(w, "held_bytes=800, room_bytes=1000");
    look(w);
    ALERTS("");
    phone(w, "held_bytes=801");
    look(w);
    ALERTS("storage-tight 1 open");
    SQL("SELECT words FROM satchel_alert", "phone takes most of what its storage has room for (80.1 %)");
    phone(w, "held_bytes=NULL, room_bytes=NULL");
    look(w);
    ALERTS("storage-tight 1 closed");
}

static void device_whose_satchel_was_refused_opens_until_it_comes_in(void **state) {
    world *w = *state;
    static const char ended[] = "INSERT INTO satchel_sync(device,begun_ms,ended_ms,end_rc,peer) VALUES(1,%llu,%llu,%d,'')";
    char text[160];
    use(w, "'version-refused'");
    phone_comes(w);
    look(w);
    ALERTS("");
    unsigned long long now = w->v.now_ms;
    snprintf(text, sizeof text, ended, now, now, SATCHEL_E_VERSION);
    sql_exec(&w->v, text);
    look(w);
    ALERTS("version-refused 1 open");
    wait(w, HOUR);
    ALERTS("version-refused 1 open");
    now = w->v.now_ms;
    snprintf(text, sizeof text, ended, now, now, SATCHEL_E_CLOSED);
    sql_exec(&w->v, text);
    look(w);
    ALERTS("version-refused 1 closed");
}

static void refused_transaction_that_nobody_settles_opens_after_an_hour(void **state) {
    world *w = *state;
    use(w, "'refusal-open'");
    phone_comes(w);
    assert_int_not_equal(push(&w->v, &w->phone, 0, 0, "~ item('none') n=1; + item('a') n='x'"), SATCHEL_OK);
    look(w);
    wait(w, HOUR - MINUTE);
    ALERTS("");
    wait(w, 2 * MINUTE);
    ALERTS("refusal-open 1 open");
    sql_exec(&w->v, "UPDATE satchel_refused SET state='discarded'");
    look(w);
    ALERTS("refusal-open 1 closed");
}

static void servers_metrics_open_what_they_are_for(void **state) {
    world *w = *state;
    use(w, "'backup-old','automation-failing','notice-failing'");
    look(w);
    ALERTS("");
    wait(w, 26 * HOUR + MINUTE);
    ALERTS("backup-old 0 open");
    assert_int_equal(store_backed_up(w->v.s, 0, "b", w->v.now_ms), SATCHEL_OK);
    sql_exec(&w->v, "INSERT INTO satchel_automation VALUES('a',1,0),('b',1,0),('c',0,0);"
                    "INSERT INTO satchel_automation_run(name,seq,tbl,at_ms,ms,wrote,rc,event,author,stamp) VALUES"
                    "('a',1,1,0,0,0,-5,1,0,0),('b',1,1,0,0,0,-5,1,0,0),('b',1,1,0,0,0,0,1,0,0),('c',1,1,0,0,0,-5,1,0,0)");
    w->f.notice_failed_ms = w->v.now_ms - 16 * MINUTE;
    look(w);
    ALERTS("backup-old 0 closed ; automation-failing 0 open ; notice-failing 0 open");
    SQL("SELECT value FROM satchel_alert WHERE rule='automation-failing'", "3.0");
    SQL("SELECT words FROM satchel_alert WHERE rule='notice-failing'",
        "mail or webhook of the alerts fail, see satchelctl alert list (16 min)");
    SQL("SELECT words FROM satchel_alert WHERE rule='automation-failing'",
        "automations failed, and nobody has run that again or dismissed it (3)");
    /* What a rule has done since then is another firing, and one that is off or gone has not done it either. */
    sql_exec(&w->v, "DELETE FROM satchel_automation; UPDATE satchel_automation_run SET settled_ms=1 WHERE name<>'c'");
    look(w);
    ALERTS("backup-old 0 closed ; automation-failing 0 open ; notice-failing 0 open");
    sql_exec(&w->v, "UPDATE satchel_automation_run SET settled_ms=1");
    look(w);
    ALERTS("backup-old 0 closed ; automation-failing 0 closed ; notice-failing 0 open");
}

static void burst_of_refused_logins_opens_and_is_over_after_the_window(void **state) {
    world *w = *state;
    use(w, "'auth-burst'");
    w->f.auth_failures = 1000; /* of before this start nothing is known, and it is none */
    look(w);
    ALERTS("auth-burst 0 open");
    wait(w, 6 * MINUTE);
    ALERTS("auth-burst 0 closed");
    for (int i = 0; i < 200; i++) {
        w->f.auth_failures += 4;
        wait(w, MINUTE);
    }
    ALERTS("auth-burst 0 closed");
    w->f.auth_failures += 25;
    wait(w, MINUTE);
    ALERTS("auth-burst 0 closed ; auth-burst 0 open");
    SQL("SELECT value FROM satchel_alert WHERE state='open'", "41.0");
}

static void lose(world *w, unsigned n, uint64_t at_ms) {
    char text[512];
    snprintf(
        text, sizeof text,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<%u) INSERT INTO satchel_conflict(seq,at_ms,tbl,key,col,rule)"
        " SELECT 1,%llu,1,x'',1,1 FROM n",
        n, (unsigned long long)at_ms);
    sql_exec(&w->v, text);
}

static void conflicts_beyond_three_times_the_weeks_mean_open(void **state) {
    world *w = *state;
    use(w, "'conflict-rate'");
    lose(w, 15, w->v.now_ms);
    look(w);
    ALERTS("");
    lose(w, 1, w->v.now_ms);
    look(w);
    ALERTS("conflict-rate 0 open");
    /* Ten an hour for a week: thirty are not more than three times that. */
    wait(w, 2 * HOUR);
    for (uint64_t h = 2; h < 170; h++) lose(w, 10, w->v.now_ms - h * HOUR);
    lose(w, 30, w->v.now_ms);
    look(w);
    ALERTS("conflict-rate 0 closed");
    lose(w, 2, w->v.now_ms);
    look(w);
    ALERTS("conflict-rate 0 closed ; conflict-rate 0 open");
}

static void samples_are_watched_by_their_name(void **state) {
    world *w = *state;
    alert_rule r = {.name = "queue",
                    .metric = "sample.queue",
                    .aggregation = "avg",
                    .window_s = 600,
                    .op = ">=",
                    .threshold = 10,
                    .severity = "info",
                    .about = "the queue is long",
                    .active = true};
    buf error = {0};
    char text[256];
    assert_int_equal(alert_rule_set(w->v.s, &r, &error), SATCHEL_OK);
    look(w);
    ALERTS("");
    snprintf(text, sizeof text,
             "INSERT INTO satchel_sample VALUES('queue',%llu,4),('queue',%llu,18),('queue',%llu,1000),('other',%llu,1000)",
             (unsigned long long)(w->v.now_ms / MINUTE - 1), (unsigned long long)(w->v.now_ms / MINUTE),
             (unsigned long long)(w->v.now_ms / MINUTE - 20), (unsigned long long)(w->v.now_ms / MINUTE));
    sql_exec(&w->v, text);
    look(w);
    ALERTS("queue 0 open");
    SQL("SELECT value FROM satchel_alert", "11.0");
    r.aggregation = "min";
    assert_int_equal(alert_rule_set(w->v.s, &r, &error), SATCHEL_OK);
    look(w);
    ALERTS("queue 0 closed");
    buf_fini(&error);
}

static void rows_that_had_to_be_put_right_open_an_alert(void **state) {
    world *w = *state;
    double figure[HISTORY_NFIGURES];
    for (int i = 0; i < HISTORY_NFIGURES; i++) figure[i] = 0;
    use(w, "'rows-differ'");
    assert_int_equal(history_put_figures(w->v.s, w->v.now_ms, figure), SATCHEL_OK);
    look(w);
    ALERTS("");
    figure[HISTORY_DIFFERENCES] = 1;
    assert_int_equal(history_put_figures(w->v.s, w->v.now_ms, figure), SATCHEL_OK);
    look(w);
    ALERTS("rows-differ 0 open");
    wait(w, 2 * HOUR);
    ALERTS("rows-differ 0 closed");
}

static void profile_bounds_a_rule_and_hours_when_it_opens(void **state) {
    world *w = *state;
    setenv("TZ", "UTC", 1);
    tzset();
    use(w, "'till-silent'");
    /* Monday, 2026-11-23, 07:00. */
    w->v.now_ms = UINT64_C(1795417200000);
    phone_comes(w);
    wait(w, 2 * HOUR);
    ALERTS("");
    w->v.now_ms = UINT64_C(1795417200000);
    phone(w, "profile='till'");
    phone_comes(w);
    look(w);
    wait(w, HOUR + 30 * MINUTE);
    ALERTS("");
    wait(w, MINUTE);
    ALERTS("till-silent 1 open");
    /* It is not over because the day is. */
    wait(w, 14 * HOUR);
    ALERTS("till-silent 1 open");
    phone_comes(w);
    look(w);
    ALERTS("till-silent 1 closed");
    /* Tuesday 08:29: silent all night, and in hours for less than half an hour. */
    w->v.now_ms = UINT64_C(1795417200000) + DAY + 89 * MINUTE;
    w->watch = (alert_watch_free(w->watch), alert_watch_new());
    sql_exec(&w->v, "DELETE FROM satchel_alert_since");
    look(w);
    ALERTS("till-silent 1 closed");
    wait(w, 2 * MINUTE);
    ALERTS("till-silent 1 closed ; till-silent 1 open");
}

/* Of this profile, in SQL, it is away for so long that the alert opens. */
static void phone_is_silent(world *w, const char *profile) {
    phone(w, profile);
    phone_comes(w);
    look(w);
    wait(w, HOUR);
    ALERTS("till-silent 1 open");
}

/* Amid a rollout (server/rollout.h). */
static void profiles_next_one_is_watched_like_the_profile(void **state) {
    world *w = *state;
    use(w, "'till-silent'");
    w->v.now_ms = UINT64_C(1795420800000);
    phone_is_silent(w, "profile='till@next'");
    phone(w, "profile='till'");
    look(w);
    ALERTS("till-silent 1 open");
    phone(w, "profile='till2'");
    look(w);
    ALERTS("till-silent 1 closed");
}

static void device_that_holds_everything_is_of_the_profile_full(void **state) {
    world *w = *state;
    use(w, "'till-silent'");
    sql_exec(&w->v, "UPDATE satchel_alert_rule SET profile='full',hours=NULL WHERE name='till-silent'");
    phone_is_silent(w, "profile=NULL");
    phone(w, "profile='till'");
    look(w);
    ALERTS("till-silent 1 closed");
}

static void hours_text_is_read_or_refused(void **state) {
    static const char *const wrong[] = {
        "", "8", "08:00", "20:00-08:00", "mon-xyz 08:00-20:00", "08:00-25:00", "08:61-09:00", "08:00-20:00 x", "mon 08:00-20:00"};
    uint64_t since;
    (void)state;
    setenv("TZ", "UTC", 1);
    tzset();
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) assert_false(alert_hours(wrong[i], 0, &since));
    /* Saturday 2026-11-28 23:30:10. */
    uint64_t at = UINT64_C(1795908610000);
    assert_true(alert_hours("23:00-24:00", at, &since));
    assert_int_equal(since, at - 30 * MINUTE - 10000);
    assert_true(alert_hours("mon-fri 23:00-24:00", at, &since));
    assert_int_equal(since, 0);
    assert_true(alert_hours("fri-mon 23:00-24:00", at, &since));
    assert_int_not_equal(since, 0);
    assert_true(alert_hours("08:00-23:30", at, &since));
    assert_int_equal(since, 0);
}

static void after_the_server_stood_still_devices_get_time_to_come(void **state) {
    world *w = *state;
    use(w, "'device-silent','backup-old'");
    phone_comes(w);
    look(w);
    alert_watch_free(w->watch);
    w->watch = alert_watch_new();
    serving_reopen(&w->v);
    w->v.now_ms += 3 * DAY;
    look(w);
    ALERTS("backup-old 0 open");
    wait(w, ALERT_GRACE_MS - 2 * MINUTE);
    ALERTS("backup-old 0 open");
    wait(w, 3 * MINUTE);
    ALERTS("backup-old 0 open ; device-silent 1 open");
}

/* It started with a clock ahead, which was put right soon. */
static void time_for_devices_to_come_is_over_though_the_clock_was_put_back(void **state) {
    world *w = *state;
    use(w, "'device-silent'");
    phone_comes(w);
    look(w);
    alert_watch_free(w->watch);
    w->watch = alert_watch_new();
    w->v.now_ms += 365 * DAY;
    look(w);
    w->v.now_ms -= 363 * DAY;
    look(w);
    ALERTS("device-silent 1 open");
}

/* ---- telling ---- */

static void opening_and_end_are_to_be_told_once_on_each_way(void **state) {
    world *w = *state;
    use(w, "'device-silent'");
    phone_comes(w);
    wait(w, DAY + MINUTE);
    UNTOLD(ALERT_MAIL, "device-silent open");
    UNTOLD(ALERT_WEBHOOK, "device-silent open");
    tell(w);
    UNTOLD(ALERT_MAIL, "");
    UNTOLD(ALERT_WEBHOOK, "device-silent open");
    phone_comes(w);
    look(w);
    UNTOLD(ALERT_MAIL, "device-silent closed");
    UNTOLD(ALERT_WEBHOOK, "device-silent closed");
    tell(w);
    UNTOLD(ALERT_MAIL, "");
    w->v.now_ms += (ALERT_TOLD_DAYS + 1) * DAY;
    UNTOLD(ALERT_WEBHOOK, "");
}

static void silenced_alert_is_told_when_the_silence_ends_if_it_lasts(void **state) {
    world *w = *state;
    use(w, "'device-silent','backup-old'");
    serving_device(&w->v, "tablet");
    phone_comes(w);
    assert_int_equal(alert_silence_set(w->v.s, "device-silent", 1, w->v.now_ms + 2 * DAY, "ann"), SATCHEL_OK);
    assert_int_equal(alert_silence_set(w->v.s, "backup-old", -1, w->v.now_ms + 2 * DAY, "ann"), SATCHEL_OK);
    wait(w, 26 * HOUR + MINUTE);
    SQL("SELECT count(*) FROM satchel_alert", "3");
    UNTOLD(ALERT_MAIL, "device-silent open");
    tell(w);
    /* One ends before anybody was told; nobody is. */
    phone_comes(w);
    wait(w, MINUTE);
    SQL("SELECT state FROM satchel_alert WHERE subject=1", "closed");
    wait(w, 23 * HOUR);
    UNTOLD(ALERT_MAIL, "backup-old open");
    assert_int_equal(alert_silence_set(w->v.s, "no-such", -1, w->v.now_ms + DAY, "ann"), SATCHEL_E_NOT_FOUND);
    assert_int_equal(alert_silence_end(w->v.s, "backup-old", -1), SATCHEL_E_NOT_FOUND);
}

static void acknowledged_alert_is_told_no_more_unless_it_was(void **state) {
    world *w = *state;
    use(w, "'device-silent','backup-old'");
    phone_comes(w);
    wait(w, DAY + MINUTE);
    tell(w);
    wait(w, 3 * HOUR);
    assert_int_equal(alert_ack(w->v.s, 1, "ann", w->v.now_ms), SATCHEL_OK);
    assert_int_equal(alert_ack(w->v.s, 2, "ann", w->v.now_ms), SATCHEL_OK);
    assert_int_equal(alert_ack(w->v.s, 2, "bob", w->v.now_ms + 1), SATCHEL_OK);
    assert_int_equal(alert_ack(w->v.s, 3, "ann", w->v.now_ms), SATCHEL_E_NOT_FOUND);
    SQL("SELECT rule,state,acked_by FROM satchel_alert", "device-silent|acked|ann ; backup-old|acked|ann");
    look(w);
    SQL("SELECT count(*) FROM satchel_alert", "2");
    UNTOLD(ALERT_MAIL, "");
    phone_comes(w);
    assert_int_equal(store_backed_up(w->v.s, 0, "b", w->v.now_ms), SATCHEL_OK);
    look(w);
    UNTOLD(ALERT_MAIL, "device-silent closed");
}

static void way_that_is_not_set_has_nothing_left_to_tell_of_what_is_over(void **state) {
    world *w = *state;
    use(w, "'device-silent'");
    w->f.ways = 1u << ALERT_WEBHOOK;
    phone_comes(w);
    wait(w, DAY + MINUTE);
    UNTOLD(ALERT_MAIL, "device-silent open");
    phone_comes(w);
    look(w);
    UNTOLD(ALERT_MAIL, "");
    UNTOLD(ALERT_WEBHOOK, "device-silent closed");
}

static void closed_alerts_are_forgotten_after_their_time(void **state) {
    world *w = *state;
    use(w, "'device-silent'");
    phone_comes(w);
    wait(w, DAY + MINUTE);
    phone_comes(w);
    look(w);
    w->v.now_ms += ALERT_KEPT_DAYS * DAY;
    phone_comes(w);
    look(w);
    ALERTS("device-silent 1 closed");
    w->v.now_ms += 2 * MINUTE;
    phone_comes(w);
    look(w);
    ALERTS("");
}

/* ---- rules ---- */

static void rule_that_makes_no_sense_is_refused_in_words(void **state) {
    world *w = *state;
    const alert_rule good = {.name = "mine",
                             .metric = "device.pending",
                             .aggregation = "last",
                             .op = ">",
                             .threshold = 3,
                             .severity = "info",
                             .about = "waits"};
    struct {
        alert_rule r;
        const char *words;
    } wrong[12];
    for (size_t i = 0; i < 12; i++) wrong[i].r = good;
    wrong[0].r.name = "Two words", wrong[0].words = "small letters";
    wrong[1].r.metric = "device.colour", wrong[1].words = "no metric";
    wrong[2].r.metric = "sample.", wrong[2].words = "no metric";
    wrong[3].r.aggregation = "sum", wrong[3].words = "last or held";
    wrong[4].r.op = "=", wrong[4].words = "<, <=, > or >=";
    wrong[5].r.window_s = 60, wrong[5].words = "no window";
    wrong[6].r.aggregation = "held", wrong[6].words = "needs a window";
    wrong[7].r.severity = "bad", wrong[7].words = "critical";
    wrong[8].r.hours = "always", wrong[8].words = "mon-sat";
    wrong[9].r.about = "two\nlines", wrong[9].words = "one line";
    wrong[10].r.metric = "server.backup_age_s", wrong[10].r.profile = "till", wrong[10].words = "profile";
    wrong[11].r.metric = "server.conflicts", wrong[11].r.window_s = 60, wrong[11].words = "sum or ratio";
    buf error = {0};
    assert_int_equal(alert_rule_set(w->v.s, &good, &error), SATCHEL_OK);
    for (size_t i = 0; i < 12; i++) {
        buf_clear(&error);
        assert_int_equal(alert_rule_set(w->v.s, &wrong[i].r, &error), SATCHEL_E_MISUSE);
        if (!strstr((const char *)error.p, wrong[i].words)) fail_msg("%s lacks %s", (const char *)error.p, wrong[i].words);
    }
    SQL("SELECT threshold,active FROM satchel_alert_rule WHERE name='mine'", "3.0|0");
    buf_fini(&error);
}

static void rule_of_a_metric_that_is_known_no_more_opens_nothing(void **state) {
    world *w = *state;
    use(w, "'device-silent'");
    phone_comes(w);
    wait(w, DAY + MINUTE);
    sql_exec(&w->v, "UPDATE satchel_alert_rule SET metric='device.mood' WHERE name='device-silent'");
    look(w);
    ALERTS("device-silent 1 closed");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(defaults_of_a_new_store_are_rules_that_make_sense),
        TEST(silent_device_opens_one_alert_that_closes_when_it_comes),
        TEST(device_that_never_came_counts_from_its_enrolment),
        TEST(look_that_finds_nothing_new_writes_only_that_it_looked),
        TEST(device_that_is_revoked_or_paused_and_rule_that_is_off_close),
        TEST(held_condition_opens_when_it_held_for_the_whole_window),
        TEST(clock_that_is_put_back_makes_nothing_held_for_long),
        TEST(clock_that_was_ahead_keeps_nothing_from_being_held),
        TEST(devices_metrics_open_what_they_are_for),
        TEST(files_that_take_most_of_their_storage_open_and_say_how_much),
        TEST(device_whose_satchel_was_refused_opens_until_it_comes_in),
        TEST(refused_transaction_that_nobody_settles_opens_after_an_hour),
        TEST(servers_metrics_open_what_they_are_for),
        TEST(burst_of_refused_logins_opens_and_is_over_after_the_window),
        TEST(conflicts_beyond_three_times_the_weeks_mean_open),
        TEST(samples_are_watched_by_their_name),
        TEST(rows_that_had_to_be_put_right_open_an_alert),
        TEST(profile_bounds_a_rule_and_hours_when_it_opens),
        TEST(device_that_holds_everything_is_of_the_profile_full),
        TEST(profiles_next_one_is_watched_like_the_profile),
        TEST(hours_text_is_read_or_refused),
        TEST(after_the_server_stood_still_devices_get_time_to_come),
        TEST(time_for_devices_to_come_is_over_though_the_clock_was_put_back),
        TEST(opening_and_end_are_to_be_told_once_on_each_way),
        TEST(silenced_alert_is_told_when_the_silence_ends_if_it_lasts),
        TEST(acknowledged_alert_is_told_no_more_unless_it_was),
        TEST(way_that_is_not_set_has_nothing_left_to_tell_of_what_is_over),
        TEST(closed_alerts_are_forgotten_after_their_time),
        TEST(rule_that_makes_no_sense_is_refused_in_words),
        TEST(rule_of_a_metric_that_is_known_no_more_opens_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
