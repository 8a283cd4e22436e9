/* ctl_sql.c - satchelctl sql: a text of SQL, run as the server's own author, sent in parts that hold whole transactions. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "server/control.h"
#include "tools/ctl.h"
#include "tools/sqlcut.h"

/* A part is sent at the first place to cut that makes it so large. */
#define PART_BYTES (1u << 20)
#define READ_BYTES (64u << 10)

typedef struct run {
    ctl *c;
    const char *name;
    FILE *from;
    sqlcut cut;
    buf text;                 /* read, not sent */
    size_t scanned, can_send; /* of `text` */
    uint64_t line;            /* of its first character */
    uint64_t sent, size;      /* bytes; size 0: unknown */
    uint64_t transactions, rows;
    ctl_bar bar;
} run;

static void count(run *r, const json_t *reply) {
    r->transactions += (uint64_t)json_integer_value(json_object_get(reply, "transactions"));
    r->rows += (uint64_t)json_integer_value(json_object_get(reply, "rows"));
}

/* The server counts lines in the part that it got: tell the line of the file. */
static void tell_failure(const run *r, const json_t *reply) {
    const char *words = json_string_value(json_object_get(reply, "message"));
    const char *code = json_string_value(json_object_get(reply, "code"));
    unsigned line;
    int skip = 0;
    if (!words) words = "it failed";
    if (sscanf(words, "line %u: %n", &line, &skip) == 1 && skip)
        fprintf(stderr, "satchelctl: %s:%" PRIu64 ": %s (%s)\n", r->name, r->line + line - 1, words + skip,
                code ? code : "no code");
    else
        fprintf(stderr, "satchelctl: %s: %s (%s)\n", r->name, words, code ? code : "no code");
    if (r->transactions) fprintf(stderr, "satchelctl: what came before it is done: %" PRIu64 " transactions\n", r->transactions);
}

static void show(run *r) {
    char words[64];
    snprintf(words, sizeof words, "%" PRIu64 " rows", r->rows);
    ctl_bar_show(&r->bar, r->sent, r->size, words);
}

static int send_part(run *r, size_t n) {
    json_t *reply, *text = json_stringn((const char *)r->text.p, n);
    if (!text) {
        fprintf(stderr, "satchelctl: %s: between line %" PRIu64 " and the part's end: this is not UTF-8\n", r->name, r->line);
        return CTL_FAILED;
    }
    int rc = ctl_try(r->c, json_pack("{ss so}", "command", "sql", "text", text), NULL, &reply);
    if (reply) count(r, reply);
    if (rc && reply) {
        ctl_bar_end(&r->bar);
        tell_failure(r, reply);
    }
    json_decref(reply);
    if (rc) return rc;
    for (const uint8_t *p = r->text.p, *end = p + n; p && (p = memchr(p, '\n', (size_t)(end - p))); p++) r->line++;
    r->sent += n;
    memmove(r->text.p, r->text.p + n, r->text.n - n);
    r->text.n -= n;
    r->scanned -= n;
    r->can_send = 0;
    show(r);
    return CTL_DONE;
}

/* Reads on; 1, 0 at the end, -1 after telling why not. */
static int read_more(run *r) {
    uint8_t *room = buf_reserve(&r->text, READ_BYTES);
    if (!room) {
        fprintf(stderr,
                "satchelctl: %s: the transaction that begins after line %" PRIu64 " is larger than %u MiB; commit more often\n",
                r->name, r->line, CONTROL_SQL_BYTES >> 20);
        return -1;
    }
    size_t n = fread(room, 1, READ_BYTES, r->from);
    if (ferror(r->from)) {
        fprintf(stderr, "satchelctl: %s: %s\n", r->name, strerror(errno));
        return -1;
    }
    if (memchr(room, 0, n)) {
        fprintf(stderr, "satchelctl: %s: this is not text\n", r->name);
        return -1;
    }
    r->text.n += n;
    return n > 0;
}

static int send_all(run *r) {
    for (;;) {
        int more = read_more(r);
        if (more < 0) return CTL_FAILED;
        if (!more) return r->text.n ? send_part(r, r->text.n) : CTL_DONE;
        for (; r->scanned < r->text.n; r->scanned++)
            if (sqlcut_next(&r->cut, (char)r->text.p[r->scanned])) r->can_send = r->scanned + 1;
        int rc = r->can_send >= PART_BYTES ? send_part(r, r->can_send) : CTL_DONE;
        if (rc) return rc;
    }
}

static void report(const run *r) {
    if (r->c->json)
        printf("{\"transactions\":%" PRIu64 ",\"rows\":%" PRIu64 "}\n", r->transactions, r->rows);
    else
        printf("%" PRIu64 " transaction%s, %" PRIu64 " row%s\n", r->transactions, r->transactions == 1 ? "" : "s", r->rows,
               r->rows == 1 ? "" : "s");
}

int ctl_sql(ctl *c) {
    bool standard = !strcmp(c->word[1], "-");
    run r = {
        .c = c, .name = standard ? "standard input" : c->word[1], .from = standard ? stdin : fopen(c->word[1], "re"), .line = 1};
    struct stat st;
    if (!r.from) {
        fprintf(stderr, "satchelctl: %s: %s\n", r.name, strerror(errno));
        return CTL_FAILED;
    }
    if (!fstat(fileno(r.from), &st) && S_ISREG(st.st_mode)) r.size = (uint64_t)st.st_size;
    r.text.max = CONTROL_SQL_BYTES;
    ctl_bar_begin(&r.bar, "sql");
    int rc = send_all(&r);
    ctl_bar_end(&r.bar);
    if (!rc) report(&r);
    if (!standard) fclose(r.from);
    buf_fini(&r.text);
    return rc;
}
