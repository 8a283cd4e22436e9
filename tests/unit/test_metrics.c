/* Prometheus' text format: each metric once, with HELP and TYPE before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/metrics.h"

#define NOW_MS 1790000000000ull

/* Reads the text line by line as the format's page describes it; returns how many samples there are. */
static int check_format(char *text) {
    char name[128] = "", type[16] = "", sample[128];
    int samples = 0;
    bool helped = false;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        double v;
        if (sscanf(line, "# HELP %127s", name) == 1) {
            helped = true;
        } else if (sscanf(line, "# TYPE %127s %15s", sample, type) == 2) {
            assert_true(helped);
            assert_string_equal(sample, name);
            assert_true(!strcmp(type, "gauge") || !strcmp(type, "counter"));
        } else {
            assert_int_equal(sscanf(line, "%127s %lf", sample, &v), 2);
            sample[strcspn(sample, "{")] = 0;
            assert_string_equal(sample, name);
            size_t n = strlen(name);
            bool total = n > 6 && !strcmp(name + n - 6, "_total");
            assert_int_equal(total, !strcmp(type, "counter"));
            helped = false;
            samples++;
        }
    }
    return samples;
}

static void format_with_counts_has_every_number(void **state) {
    (void)state;
    hub_stats stats = {.sessions = 3, .txns_accepted = 17, .writable = true, .seq = UINT64_C(9007199254740993)};
    store_counts counts = {.rows = 123456, .rejected_open = 2};
    buf out = {0};
    metrics_format(&stats, &counts, NOW_MS, &out);
    const char *text = (const char *)out.p;
    assert_non_null(strstr(text, "\nsatchel_sessions 3\n"));
    assert_non_null(strstr(text, "\nsatchel_transactions_accepted_total 17\n"));
    assert_non_null(strstr(text, "\nsatchel_writable 1\n"));
    assert_non_null(strstr(text, "\nsatchel_seq 9007199254740993\n"));
    assert_non_null(strstr(text, "\nsatchel_rows 123456\n"));
    assert_non_null(strstr(text, "\nsatchel_rejected_open 2\n"));
    assert_non_null(strstr(text, "\nprocess_start_time_seconds 1790000000.000\n"));
    assert_non_null(strstr(text, "\nprocess_resident_memory_bytes "));
    assert_true(check_format((char *)out.p) > 30);
    buf_fini(&out);
}

static void format_without_counts_leaves_the_store_out(void **state) {
    (void)state;
    hub_stats stats = {0};
    buf out = {0};
    metrics_format(&stats, NULL, NOW_MS, &out);
    assert_null(strstr((const char *)out.p, "satchel_rows "));
    assert_non_null(strstr((const char *)out.p, "satchel_writable 0\n"));
    buf_fini(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(format_with_counts_has_every_number),
        cmocka_unit_test(format_without_counts_leaves_the_store_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
