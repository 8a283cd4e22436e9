/* satcheld - the Satchel server. Where the default schema and the console's page lie, and what is asked for beside running; the settings are server/config.c, the server
 * server/daemon.c. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/satchel_rc.h"
#include "server/daemon.h"
#include "server/log.h"

static const char usage[] =
    "usage: satcheld --data DIR [option...]\n"
    "       satcheld --config FILE [option...]\n"
    "Keeps the authoritative data and syncs it with devices. Everything it needs is made in the data directory on the first start.\n"
    "\n";

static const char usage_end[] =
    "\n"
    "Prints one line when it listens, and writes the ports to DIR/ports.json. SIGTERM finishes what is queued and ends; SIGHUP reads certificates\n"
    "and settings again. Exit status: 0 ended as asked, 1 failed, 2 wrong usage. See satcheld(8), satcheld.conf(5), satchelctl(8).\n";

static bool is_directory(const char *path) {
    struct stat st;
    return !stat(path, &st) && S_ISDIR(st.st_mode);
}

/* Beside the program (an installation that was moved), where it was installed, or in the tree that it was built from. */
static const char *find_shared(char beside[4096], const char *relative, const char *installed, const char *built) {
    ssize_t n = readlink("/proc/self/exe", beside, 4096 - 64);
    char *slash = n > 0 ? memrchr(beside, '/', (size_t)n) : NULL;
    if (slash) {
        snprintf(slash, 64, "/../share/satchel/%s", relative);
        if (is_directory(beside)) return beside;
    }
    if (is_directory(installed)) return installed;
    return is_directory(built) ? built : NULL;
}

static const char *find_schema(void) {
    static char beside[4096];
    return find_shared(beside, "crm", SATCHEL_SCHEMA_INSTALLED, SATCHEL_SCHEMA_SOURCE);
}

static const char *find_console(void) {
    static char beside[4096];
    return find_shared(beside, "console", SATCHEL_CONSOLE_INSTALLED, SATCHEL_CONSOLE_BUILT);
}

static int fail(int rc, const buf *error) {
    fprintf(stderr, "satcheld: %s (%s)\n", error->n && !error->rc ? (const char *)error->p : satchel_rc_text(rc),
            satchel_rc_name(rc));
    return 1;
}

static int print_text(const buf *text) {
    return text->rc || fwrite(text->p, 1, text->n, stdout) != text->n || fflush(stdout) ? 1 : 0;
}

static int print_help(void) {
    buf text = {0};
    buf_printf(&text, "%s", usage);
    config_help(&text);
    buf_printf(&text, "%s", usage_end);
    int status = print_text(&text);
    buf_fini(&text);
    return status;
}

static int print_config(const config *c) {
    buf text = {0};
    config_print(c, &text);
    int status = print_text(&text);
    buf_fini(&text);
    return status;
}

/* With the directory of migrations found. */
static int run(config *c, const char *schema) {
    buf error = {0};
    const char *console = c->console_dir ? c->console_dir : find_console();
    int rc = c->action == CONFIG_CHECK ? daemon_check(c, &error) : daemon_run(c, schema, console, &error);
    int status = rc ? fail(rc, &error) : 0;
    buf_fini(&error);
    return status;
}

static int begin(config *c) {
    const char *schema = c->schema ? c->schema : find_schema();
    if (c->action == CONFIG_HELP) return print_help();
    if (c->action == CONFIG_VERSION) return puts("satcheld " SATCHEL_VERSION) < 0;
    if (c->action == CONFIG_PRINT) return print_config(c);
    log_open(c->log_format, c->log_level);
    if (schema && is_directory(schema)) return run(c, schema);
    fprintf(stderr, "satcheld: %s%s; give --schema DIR with the migrations\n", schema ? "there is no schema directory " : "",
            schema ? schema : "the CRM's schema is not installed beside this program");
    return 1;
}

int main(int argc, char **argv) {
    config c;
    buf error = {0};
    int rc = config_read(argc, argv, &c, &error), status = rc ? fail(rc, &error) : begin(&c);
    if (rc == SATCHEL_E_MISUSE) fputs("try satcheld --help\n", stderr);
    config_fini(&c);
    buf_fini(&error);
    return rc == SATCHEL_E_MISUSE ? 2 : status;
}
