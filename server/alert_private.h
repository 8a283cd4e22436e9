/* alert_private.h - between alert_rule.c, what a rule says, and alert.c, which looks. */
#ifndef SERVER_ALERT_PRIVATE_H
#define SERVER_ALERT_PRIVATE_H

#include "protocol/db.h"
#include "server/alert.h"

/* In the order of alert_rule.c's table. */
typedef enum alert_metric {
    METRIC_SILENT,
    METRIC_PENDING,
    METRIC_SKEW,
    METRIC_BEHIND,
    METRIC_DAYS_LEFT,
    METRIC_REFUSAL,
    METRIC_WIPE,
    METRIC_VERSION,
    METRIC_STORAGE,
    METRIC_OF_DEVICES, /* so many are a device's */
    METRIC_BACKUP = METRIC_OF_DEVICES,
    METRIC_AUTOMATIONS,
    METRIC_NOTICES,
    METRIC_DISK,
    METRIC_CONFLICTS,
    METRIC_AUTH,
    METRIC_SAMPLE, /* its name follows */
    METRICS
} alert_metric;

typedef enum alert_aggregation { AGG_LAST, AGG_HELD, AGG_SUM, AGG_RATIO, AGG_MIN, AGG_MAX, AGG_AVG } alert_aggregation;

/* METRICS if there is none of this name. */
alert_metric alert_metric_find(const char *name);
bool alert_metric_is_seconds(alert_metric m);
/* False: none of this name. */
bool alert_aggregation_find(const char *name, alert_aggregation *out);
/* Whether the condition holds. */
bool alert_condition(const char *op, double v, double threshold);
/* The value as people read it: "1 d 2 h", "4.5 days", "12". */
void alert_value_text(alert_metric m, double v, char *out, size_t room);
/* Of the hours that contain `now_ms`, when they began; 0: none do. False: it is no text of hours. */
bool alert_hours(const char *text, uint64_t now_ms, uint64_t *since_ms);

#endif
