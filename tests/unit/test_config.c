/* Settings: the file, the flags over it, what is refused in words, and that the manual tells all of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"
#include "server/config.h"
#include "server/log.h"
#include "server/version.h"

typedef struct world {
    char path[64];
    config c;
    buf error;
} world;

static int make_world(void **state) {
    world *w = calloc(1, sizeof *w);
    snprintf(w->path, sizeof w->path, "/tmp/satchel-config.XXXXXX");
    int fd = mkstemp(w->path);
    assert_true(fd >= 0);
    close(fd);
    *state = w;
    return 0;
}

static int drop_world(void **state) {
    world *w = *state;
    unlink(w->path);
    config_fini(&w->c);
    buf_fini(&w->error);
    free(w);
    return 0;
}

static void write_file(const world *w, const void *text, size_t n) {
    FILE *f = fopen(w->path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

/* Reads flags, up to a NULL. */
static int read_flags(world *w, ...) {
    static char *argv[16];
    int argc = 0;
    va_list args;
    va_start(args, w);
    argv[argc++] = "satcheld";
    while ((argv[argc] = va_arg(args, char *))) argc++;
    va_end(args);
    config_fini(&w->c);
    buf_clear(&w->error);
    return config_read(argc, argv, &w->c, &w->error);
}

static int read_file(world *w, const char *text) {
    write_file(w, text, strlen(text));
    return read_flags(w, "--config", w->path, NULL);
}

static void expect_words(const world *w, const char *words) {
    if (!w->error.n || !strstr((const char *)w->error.p, words))
        fail_msg("\"%s\" lacks \"%s\"", w->error.n ? (const char *)w->error.p : "", words);
}

static void read_with_data_alone_has_the_defaults(void **state) {
    world *w = *state;
    assert_int_equal(read_flags(w, "--data", "/srv/x", NULL), 0);
    assert_string_equal(w->c.data, "/srv/x");
    assert_string_equal(w->c.listen, "127.0.0.1");
    assert_int_equal(w->c.sync_port, 7443);
    assert_int_equal(w->c.https_port, 8443);
    assert_int_equal(w->c.history_days, 30);
    assert_int_equal(w->c.readers, 2);
    assert_int_equal(w->c.log_format, LOG_TEXT);
    assert_int_equal(w->c.log_level, LOG_LEVEL_INFO);
    assert_int_equal(w->c.min_version, 0);
    assert_null(w->c.schema);
    assert_null(w->c.host);
    assert_int_equal(w->c.action, CONFIG_RUN);
    assert_false(w->c.restored);
}

static void read_of_a_file_takes_names_values_and_comments(void **state) {
    world *w = *state;
    assert_int_equal(
        read_file(w, "# a comment\n\n  data = /srv/a b#c  # where it lies\r\nsync-port=0\n\tlog-format =json\nlog-level = warn\n"
                     "host = crm.example.com,10.0.0.1"),
        0);
    assert_string_equal(w->c.data, "/srv/a b#c");
    assert_int_equal(w->c.sync_port, 0);
    assert_int_equal(w->c.log_format, LOG_JSON);
    assert_int_equal(w->c.log_level, LOG_LEVEL_WARN);
    assert_string_equal(w->c.host, "crm.example.com,10.0.0.1");
    assert_int_equal(w->c.https_port, 8443);
}

static void read_of_a_flag_overrides_the_file_wherever_it_stands(void **state) {
    world *w = *state;
    const char *text = "data = /srv/a\nreaders = 7\nlisten = 10.0.0.1\n";
    write_file(w, text, strlen(text));
    assert_int_equal(read_flags(w, "--readers", "3", "--config", w->path, "--data", "/srv/b", "--verbose", NULL), 0);
    assert_int_equal(w->c.readers, 3);
    assert_string_equal(w->c.data, "/srv/b");
    assert_string_equal(w->c.listen, "10.0.0.1");
    assert_int_equal(w->c.log_level, LOG_LEVEL_DEBUG);
}

static void read_of_a_wrong_file_names_file_and_line(void **state) {
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"data = /x\nsync-prot = 1\n", ":2: there is no setting \"sync-prot\""},
        {"data = /x\n\nsync-port = 70000\n", ":3: sync-port takes a number from 0 to 65535, not \"70000\""},
        {"data = /x\nreaders = 2 3\n", ":2: readers takes a number from 1 to 64, not \"2 3\""},
        {"data = /x\nreaders = -1\n", ":2: readers takes a number"},
        {"data = /x\nmin-version = 1.2\n", ":2: min-version takes a version such as 0.1.0, not \"1.2\""},
        {"data = /x\ndevices-per-user = some\n", ":2: devices-per-user takes a number from 0 to 100000, not \"some\""},
        {"data = /x\nlog-format = xml\n", ":2: log-format takes one of text|json, not \"xml\""},
        {"data = /x\nlog-format = tex\n", ":2: log-format takes"},
        {"data = /x\nreaders = 2\ndata = /y\n", ":3: data was set in line 1 already"},
        {"data = /x\nhost =\n", ":2: host needs a value"},
        {"data = /x\nhost = # none\n", ":2: host needs a value"},
        {"data\n", ":1: a line is \"name = value\", not \"data\""},
        {"[server]\ndata = /x\n", ":1: a line is \"name = value\""},
        {"data = /x\nrestored = 1\n", ":2: there is no setting \"restored\""},
    };
    world *w = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(read_file(w, cases[i].text), SATCHEL_E_MALFORMED);
        expect_words(w, w->path);
        expect_words(w, cases[i].words);
    }
}

static void read_of_what_is_no_settings_file_is_refused_in_words(void **state) {
    world *w = *state;
    write_file(w, "data\0= x", 8);
    assert_int_equal(read_flags(w, "--config", w->path, NULL), SATCHEL_E_MALFORMED);
    expect_words(w, "not a text file");
    char *big = calloc(1, CONFIG_FILE_BYTES + 1);
    memset(big, '\n', CONFIG_FILE_BYTES + 1);
    write_file(w, big, CONFIG_FILE_BYTES + 1);
    free(big);
    assert_int_equal(read_flags(w, "--config", w->path, NULL), SATCHEL_E_MALFORMED);
    assert_int_equal(read_flags(w, "--config", "/nowhere/satcheld.conf", NULL), SATCHEL_E_IO);
    expect_words(w, "/nowhere/satcheld.conf: cannot be read: No such file");
    assert_int_equal(read_flags(w, "--config", "/tmp", NULL), SATCHEL_E_IO);
}

static void read_of_wrong_flags_is_misuse(void **state) {
    world *w = *state;
    assert_int_equal(read_flags(w, NULL), SATCHEL_E_MISUSE);
    expect_words(w, "--data DIR");
    assert_int_equal(read_flags(w, "--data", "/x", "--sync-port", "nine", NULL), SATCHEL_E_MISUSE);
    expect_words(w, "--sync-port takes a number from 0 to 65535, not \"nine\"");
    assert_int_equal(read_flags(w, "--data", "/x", "--bogus", NULL), SATCHEL_E_MISUSE);
    expect_words(w, "--bogus");
    assert_int_equal(read_flags(w, "--data", NULL), SATCHEL_E_MISUSE);
    expect_words(w, "--data needs a value");
    assert_int_equal(read_flags(w, "--data", "", NULL), SATCHEL_E_MISUSE);
    assert_int_equal(read_flags(w, "--data", "/x", "stray", NULL), SATCHEL_E_MISUSE);
    expect_words(w, "what is \"stray\"?");
    assert_int_equal(read_flags(w, "--data", "/x", "--https-cert", "/c.pem", NULL), SATCHEL_E_MISUSE);
    expect_words(w, "go together");
}

static void read_of_help_needs_nothing_else(void **state) {
    world *w = *state;
    assert_int_equal(read_flags(w, "--help", NULL), 0);
    assert_int_equal(w->c.action, CONFIG_HELP);
    assert_int_equal(read_flags(w, "--version", NULL), 0);
    assert_int_equal(w->c.action, CONFIG_VERSION);
}

static void print_is_a_file_that_says_the_same(void **state) {
    world *w = *state;
    buf first = {0}, second = {0};
    assert_int_equal(read_flags(w, "--data", "/srv/x", "--readers", "5", "--log-format", "json", "--log-level", "error",
                                "--min-version", "1.20.3", NULL),
                     0);
    config_print(&w->c, &first);
    assert_non_null(strstr((char *)first.p, "data = /srv/x\n"));
    assert_non_null(strstr((char *)first.p, "log-level = error\n"));
    assert_non_null(strstr((char *)first.p, "# host =\n"));
    assert_non_null(strstr((char *)first.p, "min-version = 1.20.3\n"));
    assert_int_equal(read_file(w, (char *)first.p), 0);
    config_print(&w->c, &second);
    assert_string_equal((char *)first.p, (char *)second.p);
    buf_fini(&first);
    buf_fini(&second);
}

static void adopt_takes_what_can_change_and_names_the_rest(void **state) {
    world *w = *state;
    config fresh;
    buf restart = {0};
    assert_int_equal(read_file(w, "data = /x\nlog-level = info\nhost = a\n"), 0);
    const char *text =
        "data = /x\nlog-level = debug\nlog-format = json\nreaders = 9\nmin-version = 0.2.0\ndevices-per-user = 3\n";
    write_file(w, text, strlen(text));
    assert_int_equal(config_read_again(&w->c, &fresh, &w->error), 0);
    config_adopt(&w->c, &fresh, &restart);
    assert_string_equal((char *)restart.p, "host, readers");
    assert_int_equal(w->c.min_version, version_parse("0.2.0", 5));
    assert_int_equal(w->c.devices_per_user, 3);
    assert_int_equal(w->c.log_level, LOG_LEVEL_DEBUG);
    assert_int_equal(w->c.log_format, LOG_JSON);
    assert_int_equal(w->c.readers, 2);
    assert_string_equal(w->c.host, "a");
    config_fini(&fresh);
    buf_fini(&restart);
}

/* ---- the manual ---- */

static char *read_page(void) {
    static char page[65536];
    FILE *f = fopen(SOURCE_DIR "/tools/man/satcheld.conf.5", "r");
    assert_non_null(f);
    page[fread(page, 1, sizeof page - 1, f)] = 0;
    fclose(f);
    return page;
}

static void page_and_help_have_every_setting_and_its_default(void **state) {
    (void)state;
    const char *page = read_page(), *name, *initial;
    buf help = {0};
    char want[128];
    config_help(&help);
    for (size_t i = 0; config_setting_at(i, &name, &initial); i++) {
        snprintf(want, sizeof want, "\n.It Cm %s ", name);
        const char *entry = strstr(page, want);
        if (!entry) {
            fail_msg("satcheld.conf(5) lacks %s", name);
            return;
        }
        const char *end = strstr(entry + 1, "\n.It ");
        if (!end) end = strstr(entry, "\n.El");
        snprintf(want, sizeof want, "Default: %s\n", initial ? initial : "none");
        const char *said = strstr(entry, want);
        if (!said || said > end) fail_msg("satcheld.conf(5) lacks \"%s\" of %s", want, name);
        snprintf(want, sizeof want, "\n  --%s ", name);
        if (i && !strstr((char *)help.p, want)) fail_msg("--help lacks %s", name);
    }
    buf_fini(&help);
}

static void page_has_no_setting_that_there_is_not(void **state) {
    (void)state;
    unsigned in_page = 0, in_table = 0;
    const char *name, *initial;
    for (const char *p = read_page(); (p = strstr(p, "\n.It Cm ")); p++) in_page++;
    while (config_setting_at(in_table, &name, &initial)) in_table++;
    assert_int_equal(in_page, in_table);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, make_world, drop_world)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(read_with_data_alone_has_the_defaults),
        CASE(read_of_a_file_takes_names_values_and_comments),
        CASE(read_of_a_flag_overrides_the_file_wherever_it_stands),
        CASE(read_of_a_wrong_file_names_file_and_line),
        CASE(read_of_what_is_no_settings_file_is_refused_in_words),
        CASE(read_of_wrong_flags_is_misuse),
        CASE(read_of_help_needs_nothing_else),
        CASE(print_is_a_file_that_says_the_same),
        CASE(adopt_takes_what_can_change_and_names_the_rest),
        cmocka_unit_test(page_and_help_have_every_setting_and_its_default),
        cmocka_unit_test(page_has_no_setting_that_there_is_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
