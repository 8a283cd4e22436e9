/* metrics.h - the server's numbers in Prometheus' text format 0.0.4
 * (https://prometheus.io/docs/instrumenting/exposition_formats/). Reads /proc for the process's own. */
#ifndef SERVER_METRICS_H
#define SERVER_METRICS_H

#include "server/hub.h"

#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* Appends every metric. `counts` may be NULL: the store has not been counted yet, and its metrics are left out. */
void metrics_format(const hub_stats *stats, const store_counts *counts, uint64_t started_ms, buf *out);

#endif
