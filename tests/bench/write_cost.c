/* write_cost - what it costs to write locally through capture and outbox, against plain SQLite in the same run; or through something else.
 *
 * What is valid (satchel_check) is measured in the same way: capture with two checks on the table beside capture without.
 *
 * N inserts in transactions of 100, then N one-column updates by key in scattered order in transactions of 10; WAL, synchronous=NORMAL. Plain and
 * the subject take turns every few transactions, so that both see the same machine; at the end both hold the same rows.
 * Prints one JSON object: for inserts and updates, each repetition's ratio of wall time and of CPU time, and microseconds a row. */
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/message.h"
#include "replica/handle.h"
#include "tests/bench/bench.h"

#define REPETITIONS_MAX 99
/* Transactions of one variant before the other has its turn. */
#define TURN 20
#define INSERT_BATCH 100
#define UPDATE_BATCH 10

typedef enum kind { PLAIN, CAPTURED, CHECKED, SESSION, EXTENSION } kind;

typedef struct options {
    unsigned rows, repetitions;
    const char *folder;
    kind subject;
    const char *extension;
} options;

typedef struct variant {
    kind kind;
    char path[512];
    satchel *replica;
    sqlite3_session *session;
    sqlite3_stmt *outbox;
    bench_writer w;
    double wall, cpu; /* of the phase at hand */
} variant;

typedef struct figures {
    double plain[REPETITIONS_MAX], subject[REPETITIONS_MAX]; /* microseconds a row */
    double ratio[REPETITIONS_MAX], cpu_ratio[REPETITIONS_MAX];
} figures;

/* A form, and a look into another table, as server/crm has them. */
static const char CHECKS[] =
    "CREATE TABLE erasure(id TEXT PRIMARY KEY NOT NULL);\nINSERT INTO satchel_table(name, mode) VALUES('erasure', 'server');\n"
    "INSERT INTO satchel_check(tbl, col, check_sql, code, words) VALUES\n"
    "  ('contact', 'phone', 'phone IS NULL OR length(phone) BETWEEN 3 AND 40', 'PHONE_LENGTH', 'no number'),\n"
    "  ('contact', NULL, 'NOT EXISTS(SELECT 1 FROM erasure e WHERE e.id = contact.id)', 'ERASED', 'erased');\n";

/* ---- opening ---- */

/* A replica whose schema came as a migration would come from a server; everything else is as an app has it. */
static sqlite3 *open_replica(variant *v) {
    static const char name[] = "001_contact.sql";
    char sql[2048];
    snprintf(sql, sizeof sql, "%s%s%s", bench_table, bench_declare, v->kind == CHECKED ? CHECKS : "");
    msg_schema m = {.epoch = 1, .name = name, .nname = sizeof name - 1, .sql = sql, .nsql = strlen(sql)};
    bench_remove(v->path);
    if (satchel_open(v->path, NULL, &v->replica)) bench_die(NULL, satchel_errmsg(v->replica));
    file *f = v->replica->file;
    if (file_begin(f) || file_end(f, file_migrate(f, &m))) bench_die(NULL, (const char *)f->error.p);
    bench_run(satchel_db(v->replica), "PRAGMA synchronous = NORMAL");
    return satchel_db(v->replica);
}

/* sqlite-sync, as its manual has it: load, then declare the table. */
static sqlite3 *open_extension(variant *v, const char *extension) {
    sqlite3 *db = bench_open(v->path, 1, 0);
    char *words = NULL;
    sqlite3_enable_load_extension(db, 1);
    if (sqlite3_load_extension(db, extension, NULL, &words)) bench_die(NULL, words);
    bench_run(db, "SELECT cloudsync_init('contact')");
    return db;
}

static void open_variant(variant *v, const options *o, kind k) {
    *v = (variant){.kind = k};
    snprintf(v->path, sizeof v->path, "%s/write_cost-%s.db", o->folder, k == o->subject ? "subject" : "plain");
    sqlite3 *db = k == CAPTURED || k == CHECKED ? open_replica(v)
                  : k == EXTENSION              ? open_extension(v, o->extension)
                                                : bench_open(v->path, 1, 0);
    if (k == SESSION) {
        bench_run(db, "CREATE TABLE outbox(n INTEGER PRIMARY KEY, changes BLOB)");
        v->outbox = bench_prepare(db, "INSERT INTO outbox(changes) VALUES(?)");
    }
    bench_writer_open(&v->w, db);
}

static void close_variant(variant *v) {
    sqlite3 *db = v->w.db;
    bench_writer_close(&v->w);
    sqlite3_finalize(v->outbox);
    if (v->kind == EXTENSION) sqlite3_exec(db, "SELECT cloudsync_terminate()", NULL, NULL, NULL);
    if (v->replica)
        satchel_close(v->replica);
    else
        sqlite3_close(db);
    bench_remove(v->path);
}

/* ---- a transaction ---- */

static void begin(variant *v) {
    if (v->kind == SESSION &&
        (sqlite3session_create(v->w.db, "main", &v->session) || sqlite3session_attach(v->session, "contact")))
        bench_die(v->w.db, "making a session");
    bench_step(v->w.begin);
}

/* The changeset of a session object per transaction goes to an outbox, in the same transaction. */
static void commit(variant *v) {
    if (v->kind == SESSION) {
        int n;
        void *changes;
        if (sqlite3session_changeset(v->session, &n, &changes)) bench_die(v->w.db, "changeset");
        sqlite3session_delete(v->session);
        v->session = NULL;
        sqlite3_bind_blob(v->outbox, 1, changes, n, sqlite3_free);
        bench_step(v->outbox);
    }
    bench_step(v->w.commit);
}

/* ---- a phase ---- */

typedef struct phase {
    bool updates;
    unsigned rows, batch;
} phase;

static void take_turn(variant *v, const phase *p, unsigned from, unsigned to) {
    const bench_edits e = {.rows = p->rows};
    double wall = bench_seconds(), cpu = bench_cpu_seconds();
    for (unsigned i = from; i < to;) {
        begin(v);
        for (unsigned k = 0; k < p->batch && i < to; k++, i++) {
            if (p->updates)
                bench_update(&v->w, &e, i);
            else
                bench_insert(&v->w, i);
        }
        commit(v);
    }
    v->wall += bench_seconds() - wall;
    v->cpu += bench_cpu_seconds() - cpu;
}

static void run_phase(variant *plain, variant *subject, const phase *p, figures *f, unsigned repetition) {
    plain->wall = plain->cpu = subject->wall = subject->cpu = 0;
    unsigned turn = p->batch * TURN;
    for (unsigned from = 0; from < p->rows; from += turn) {
        unsigned to = from + turn < p->rows ? from + turn : p->rows;
        bool first = (from / turn + repetition) % 2;
        take_turn(first ? subject : plain, p, from, to);
        take_turn(first ? plain : subject, p, from, to);
    }
    bench_run(plain->w.db, "PRAGMA wal_checkpoint(TRUNCATE)");
    bench_run(subject->w.db, "PRAGMA wal_checkpoint(TRUNCATE)");
    f->plain[repetition] = plain->wall * 1e6 / p->rows;
    f->subject[repetition] = subject->wall * 1e6 / p->rows;
    f->ratio[repetition] = subject->wall / plain->wall;
    f->cpu_ratio[repetition] = subject->cpu / plain->cpu;
}

/* ---- figures ---- */

static void print_list(const char *name, const double *v, unsigned n, const char *end) {
    printf("\"%s\": [", name);
    for (unsigned i = 0; i < n; i++) printf("%s%.4f", i ? ", " : "", v[i]);
    printf("]%s", end);
}

static void print(const char *name, const figures *f, unsigned n, const char *end) {
    printf("\"%s\": {", name);
    print_list("ratio", f->ratio, n, ", ");
    print_list("cpu_ratio", f->cpu_ratio, n, ", ");
    print_list("plain_us", f->plain, n, ", ");
    print_list("subject_us", f->subject, n, "}");
    printf("%s\n", end);
}

static void usage(FILE *to) {
    fputs(
        "usage: write_cost [--rows N] [--repetitions N] [--folder DIR] [--subject captured|checked|session|FILE.so]\n"
        "Cost of local writes against plain SQLite, as JSON. The subject is Satchel's capture, a session object per transaction with an\n"
        "outbox, or the loadable extension sqlite-sync; or capture with checks, which is against capture without. Exit status: 0 measured, 2 failed.\n",
        to);
}

static void take_subject(options *o, const char *text) {
    o->subject = strcmp(text, "captured") == 0  ? CAPTURED
                 : strcmp(text, "checked") == 0 ? CHECKED
                 : strcmp(text, "session") == 0 ? SESSION
                                                : EXTENSION;
    o->extension = text;
}

static bool read_options(int argc, char **argv, options *o) {
    static const struct option known[] = {{"rows", required_argument, NULL, 'n'},   {"repetitions", required_argument, NULL, 'r'},
                                          {"folder", required_argument, NULL, 'f'}, {"subject", required_argument, NULL, 's'},
                                          {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0}};
    *o = (options){.rows = 50000, .repetitions = 5, .folder = ".", .subject = CAPTURED};
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        if (c == 'n') o->rows = (unsigned)strtoul(optarg, NULL, 10);
        if (c == 'r') o->repetitions = (unsigned)strtoul(optarg, NULL, 10);
        if (c == 'f') o->folder = optarg;
        if (c == 's') take_subject(o, optarg);
        if (c == 'h') usage(stdout), exit(0);
        if (c == '?') return false;
    }
    return optind == argc && o->rows > 0 && o->repetitions > 0 && o->repetitions <= REPETITIONS_MAX;
}

int main(int argc, char **argv) {
    static figures inserts, updates;
    options o;
    if (!read_options(argc, argv, &o)) {
        usage(stderr);
        return 2;
    }
    for (unsigned i = 0; i < o.repetitions; i++) {
        variant plain, subject;
        open_variant(&plain, &o, o.subject == CHECKED ? CAPTURED : PLAIN);
        open_variant(&subject, &o, o.subject);
        run_phase(&plain, &subject, &(phase){.rows = o.rows, .batch = INSERT_BATCH}, &inserts, i);
        run_phase(&plain, &subject, &(phase){.updates = true, .rows = o.rows, .batch = UPDATE_BATCH}, &updates, i);
        if (bench_digest(plain.w.db) != bench_digest(subject.w.db)) bench_die(NULL, "the two hold different rows");
        close_variant(&plain);
        close_variant(&subject);
    }
    printf("{");
    print("insert", &inserts, o.repetitions, ",");
    print("update", &updates, o.repetitions, "}");
    return 0;
}
