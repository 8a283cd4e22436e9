/* alert.h - what is not as it should be: rules as rows of satchel_alert_rule, and the alerts that they open and close.
 *
 * A rule names a metric, how its values become one (aggregation, window), and a condition on that (op, threshold). Once a minute the writer looks (alert_look): where the
 * condition holds for a subject, a device or the server, an alert is opened, one at a time for a rule and a subject; it is closed by itself when the condition does
 * not hold any more, or the rule is off, or the device is gone. An admin may acknowledge it meanwhile. Who is told of all this is notice.h.
 *
 *   metric                      of       is
 *   device.silent_s             device   seconds since it was heard of (of one that is active, as are the next)
 *   device.pending              device   transactions that wait on it, as it last said
 *   device.clock_skew_s         device   by how much its clock is off, as it last said
 *   device.schema_behind        device   migrations that it has not run
 *   device.offline_days_left    device   days until it is waited for no more (its profile's horizon, else the server's)
 *   device.refusal_age_s        device   seconds since the oldest of its refused transactions that are open; also of a paused device
 *   device.wipe_wait_s          device   seconds since it was to be wiped, if it has not said that it is
 *   device.version_refused_s    device   seconds since its Satchel was refused as too old or too new, if it was when it came last; of one that is active
 *   server.backup_age_s         server   seconds since the newest backup; without one, since the store was made
 *   server.automations_failed   server   firings of automations that failed, and that nobody has run again or dismissed, as far back as the history goes (automation.h)
 *   server.notice_failing_s     server   seconds since mail or webhook began to fail
 *   server.disk_free_mib        server   what is free where the store lies
 *   server.conflicts            events   values that lost to a concurrent change
 *   server.auth_failures        events   passwords, tokens, codes and certificates that were refused
 *   sample.NAME                 samples  the figure NAME of satchel_sample, by the minute
 *
 *   aggregation   for
 *   last          all but events   the value now
 *   held          device, server   likewise, but the condition has held for the whole window
 *   sum           events, samples  of the window
 *   ratio         events           the sum over the mean of such windows in the seven days before; a mean below ALERT_RATIO_LEAST counts as that
 *   min max avg   samples          of the window
 *
 * `profile` bounds a rule to the devices of one. `hours`, as in "mon-sat 08:00-20:00" of the server's time zone, bounds when it opens alerts; of a metric in seconds it counts
 * only those since the hours began. While the server stood still nobody could come: after more than ALERT_GAP_MS no alert of a device opens for ALERT_GRACE_MS. */
#ifndef SERVER_ALERT_H
#define SERVER_ALERT_H

#include "protocol/db.h"
#include "server/store.h"

#define ALERT_RULES_MAX 100
#define ALERT_WINDOW_MAX_S (30u * 86400)
/* Older samples are kept by the hour. */
#define ALERT_WINDOW_SAMPLES_S (2u * 86400)
#define ALERT_RATIO_LEAST 5.0
#define ALERT_GAP_MS 300000u
#define ALERT_GRACE_MS 600000u
/* Closed alerts are kept for so long. */
#define ALERT_KEPT_DAYS 90u
/* What ended longer ago is told nobody any more. */
#define ALERT_TOLD_DAYS 7u

/* Bits of an alert's `told`, by the way of telling: its opening, and its end, need not be told that way any more. */
typedef enum alert_way { ALERT_MAIL, ALERT_WEBHOOK, ALERT_WAYS } alert_way;
#define ALERT_TOLD_OPEN(way) (1u << (2 * (way)))
#define ALERT_TOLD_END(way) (2u << (2 * (way)))
#define ALERT_TOLD(way) (3u << (2 * (way)))

/* What a look goes by beside the store. */
typedef struct alert_figures {
    uint64_t horizon_ms;       /* of devices whose profile has none */
    uint64_t auth_failures;    /* since the start */
    uint64_t disk_free;        /* bytes; 0: not known */
    uint64_t notice_failed_ms; /* since when mail or webhook fail; 0: they do not */
    unsigned ways;             /* bits 1 << alert_way: who tells. At its end an alert needs none of the others any more */
} alert_figures;

/* What is remembered between looks. */
typedef struct alert_watch alert_watch;
alert_watch *alert_watch_new(void);
void alert_watch_free(alert_watch *w);

/* On the writer's thread, inside a transaction. *changed: alerts that were opened and closed. A rule that does not work (its metric is known no more) opens nothing. */
int alert_look(alert_watch *w, store *s, const alert_figures *f, uint64_t now_ms, unsigned *changed);

/* ---- rules; on the writer's thread, inside a transaction, but alert_rules from any connection ---- */

typedef struct alert_rule {
    const char *name, *metric, *aggregation, *op, *severity; /* op: < <= > >=; severity: info, warning, critical */
    const char *profile, *hours;                             /* NULL: any, always */
    const char *about;                                       /* what is the matter, for people: "<device> <about>" */
    uint64_t window_s;
    double threshold;
    bool active;
} alert_rule;
/* Whether it makes sense; SATCHEL_E_MISUSE with words. */
int alert_rule_check(const alert_rule *r, buf *error);
/* Puts it in the place of the one with this name, if there is one. SATCHEL_E_MISUSE with words. */
int alert_rule_set(store *s, const alert_rule *r, buf *error);
/* SATCHEL_E_NOT_FOUND. */
int alert_rule_switch(store *s, const char *name, bool on);
int alert_rules(db_cache *db, int (*visit)(void *ctx, const alert_rule *), void *ctx);

/* ---- alerts ---- */

typedef struct alert_info {
    int64_t id, subject;                     /* 0: the server */
    const char *rule, *name;                 /* name: of the device; NULL: the server, or a device that is gone */
    const char *severity, *state;            /* open, acked, closed */
    const char *words, *acked_by;            /* acked_by NULL: nobody */
    uint64_t opened_ms, acked_ms, closed_ms; /* 0: it was not */
    uint64_t silent_until_ms;                /* 0: it is not */
    double value;                            /* when it was opened */
    unsigned told;
} alert_info;
/* Newest first; those that are not closed, or all. */
int alert_list(db_cache *db, bool all, uint64_t limit, uint64_t now_ms, int (*visit)(void *ctx, const alert_info *), void *ctx);
/* What is to be told on one way and is not silenced: openings, and ends of what was told or ended before it could be; oldest first. */
int alert_untold(db_cache *db, alert_way way, uint64_t limit, uint64_t now_ms, int (*visit)(void *ctx, const alert_info *),
                 void *ctx);
int alert_told(store *s, int64_t id, unsigned bits);
/* SATCHEL_E_NOT_FOUND: no open alert has this id. One that is acknowledged already stays as it is. */
int alert_ack(store *s, int64_t id, const char *by, uint64_t now_ms);

/* ---- silence: what is silenced opens and closes as ever, but is not told. What still lasts when the silence ends is told then ---- */

typedef struct alert_silence {
    int64_t id, subject; /* subject -1: all of the rule */
    const char *rule, *name, *by;
    uint64_t until_ms;
} alert_silence;
/* In the place of an earlier one of the same rule and subject. SATCHEL_E_NOT_FOUND: there is no such rule. */
int alert_silence_set(store *s, const char *rule, int64_t subject, uint64_t until_ms, const char *by);
/* SATCHEL_E_NOT_FOUND. */
int alert_silence_end(store *s, const char *rule, int64_t subject);
int alert_silences(db_cache *db, uint64_t now_ms, int (*visit)(void *ctx, const alert_silence *), void *ctx);

#endif
