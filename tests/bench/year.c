/* bench_year - how large the store is after a year of churn, in virtual time; prints one JSON object.
 *
 * Store and ingest in this process, as satcheld's writer uses them: three devices in step push one-row transactions (ten updates, then a deletion and
 * an insert), each hour's are one group commit, and each hour there is upkeep. A plain file takes the same changes; its size after VACUUM is what the live rows need.
 * Two sizes are told: at the end of the last day, when the log holds `history_days`, and after as many days without work, when it holds nothing. */
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/hlc.h"
#include "protocol/satchel_rc.h"
#include "server/ingest.h"
#include "tests/bench/bench.h"

#define DEVICES 3
#define HOUR_MS UINT64_C(3600000)
#define DAY_MS (24 * HOUR_MS)
#define HISTORY_MS (30 * DAY_MS)
#define BEGIN_MS UINT64_C(1760000000000)
/* More than so many log rows were removed, so there may be more. */
#define PRUNED_MUCH 10000

typedef struct options {
    unsigned days, rows, updates, churn;
    const char *folder;
} options;

typedef struct device {
    int64_t id;
    author_info author;
    uint64_t number;
} device;

typedef struct world {
    char store_path[512], plain_path[512];
    store *s;
    ingest *g;
    const schema_table *table;
    device device[DEVICES];
    bench_writer plain;
    sqlite3_stmt *row_values, *edit_values, *delete_plain;
    delta_writer writer;
    ingest_result result;
    bench_edits live;
    uint64_t now_ms, stamp, pushed;
} world;

static void check(world *w, int rc, const char *what) {
    if (!rc) return;
    fprintf(stderr, "bench_year: %s: %s: %s\n", what, satchel_rc_name(rc), w->s ? store_error(w->s) : "");
    exit(2);
}

/* ---- opening ---- */

static void write_schema(const char *dir) {
    char path[600];
    mkdir(dir, 0700);
    snprintf(path, sizeof path, "%s/001_contact.sql", dir);
    FILE *f = fopen(path, "we");
    if (!f || fprintf(f, "%s%s", bench_table, bench_declare) < 0 || fclose(f)) bench_die(NULL, path);
}

static void enrol(world *w, unsigned i) {
    uint8_t secret[16] = {(uint8_t)i}, fingerprint[CRYPTO_FINGERPRINT_BYTES] = {(uint8_t)(i + 1)};
    char name[16];
    device_info info;
    snprintf(name, sizeof name, "device %u", i);
    check(w, store_enrol_offer(w->s, name, secret, w->now_ms + HOUR_MS), "store_enrol_offer");
    check(w, store_enrol_redeem(w->s, secret, fingerprint, w->now_ms, &info), "store_enrol_redeem");
    w->device[i].id = info.id;
    check(w, store_author(w->s, info.id, 1, &w->device[i].author), "store_author");
}

static void open_store(world *w, const char *folder, const char *name) {
    char schema_dir[512];
    buf error;
    buf_init(&error, 0);
    snprintf(schema_dir, sizeof schema_dir, "%s/year-schema", folder);
    snprintf(w->store_path, sizeof w->store_path, "%s/%s-store.db", folder, name);
    write_schema(schema_dir);
    bench_remove(w->store_path);
    store_config c = {.path = w->store_path, .schema_dir = schema_dir, .now_ms = w->now_ms};
    if (store_open(&c, &w->s, &error)) bench_die(NULL, (const char *)error.p);
    buf_fini(&error);
    check(w, ingest_new(w->s, &w->g), "ingest_new");
    w->table = schema_table_by_name(store_schema(w->s), "contact");
    check(w, store_begin(w->s), "store_begin");
    for (unsigned i = 0; i < DEVICES; i++) enrol(w, i);
    check(w, store_commit(w->s), "store_commit");
}

static void open_plain(world *w, const char *folder, const char *name) {
    snprintf(w->plain_path, sizeof w->plain_path, "%s/%s-plain.db", folder, name);
    sqlite3 *db = bench_open(w->plain_path, 1, 0);
    bench_writer_open(&w->plain, db);
    w->row_values = bench_prepare(db, "SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?");
    w->edit_values = bench_prepare(db, "SELECT ?, ?");
    w->delete_plain = bench_prepare(db, "DELETE FROM contact WHERE id = ?");
}

static void open_world(world *w, const options *o, const char *name) {
    delta_writer_init(&w->writer);
    open_store(w, o->folder, name);
    open_plain(w, o->folder, name);
}

/* ---- transactions ---- */

static device *next_device(world *w) {
    return &w->device[w->pushed++ % DEVICES];
}

/* One row as a transaction of its own, which knows all that came before. */
static void push(world *w, const delta_row *row) {
    device *d = next_device(w);
    if (++w->stamp < hlc_of_ms(w->now_ms)) w->stamp = hlc_of_ms(w->now_ms); /* all clocks have passed what came before */
    buf delta;
    buf_init(&delta, 0);
    delta_put_row(&w->writer, row);
    check(w, delta_finish(&w->writer, &delta), "delta_finish");
    push_txn t = {.number = ++d->number,
                  .stamp = w->stamp,
                  .base = store_where(w->s).seq,
                  .schema_epoch = store_schema(w->s)->epoch,
                  .last = true,
                  .delta = delta.p,
                  .ndelta = delta.n};
    memcpy(t.id, &w->pushed, sizeof t.id);
    check(w, ingest_push(w->g, &d->author, &t, w->now_ms, &w->result), "ingest_push");
    check(w, w->result.result.rc, "a transaction was refused");
    buf_fini(&delta);
}

static void set_column(delta_row *row, uint32_t id, value v) {
    row->col[row->ncol] = (delta_column){.id = id, .kind = DELTA_SET};
    row->v[row->ncol++] = v;
}

/* An insert of the row that stands in `q`, columns in the table's order. */
static void push_row(world *w, sqlite3_stmt *q) {
    static delta_row row;
    row = (delta_row){.table = w->table->id, .op = DELTA_PUT, .nkey = 1};
    row.key[0] = value_of_column(q, 0);
    for (unsigned i = 1; i < w->table->ncol; i++) set_column(&row, w->table->col[i]->id, value_of_column(q, (int)i));
    push(w, &row);
}

static void insert(world *w, uint64_t number) {
    bench_insert(&w->plain, number);
    bench_bind_row(w->row_values, number);
    if (sqlite3_step(w->row_values) != SQLITE_ROW) bench_die(w->plain.db, "values of a row");
    push_row(w, w->row_values);
    sqlite3_reset(w->row_values);
}

static uint32_t edited_column(const world *w, uint64_t i) {
    const char *name = bench_edit_name(bench_edit_column(&w->live, i));
    for (unsigned k = 0; k < w->table->ncol; k++)
        if (strcmp(w->table->col[k]->name, name) == 0) return w->table->col[k]->id;
    bench_die(NULL, name);
}

static void update(world *w, uint64_t i) {
    static delta_row row;
    row = (delta_row){.table = w->table->id, .op = DELTA_UPDATE, .nkey = 1};
    bench_update(&w->plain, &w->live, i);
    bench_bind_edit(w->edit_values, &w->live, i);
    if (sqlite3_step(w->edit_values) != SQLITE_ROW) bench_die(w->plain.db, "values of an edit");
    row.key[0] = value_of_column(w->edit_values, 1);
    set_column(&row, edited_column(w, i), value_of_column(w->edit_values, 0));
    push(w, &row);
    sqlite3_reset(w->edit_values);
}

static void delete (world *w, uint64_t number) {
    static delta_row row;
    row = (delta_row){.table = w->table->id, .op = DELTA_DELETE, .nkey = 1};
    bench_bind_row(w->row_values, number);
    if (sqlite3_step(w->row_values) != SQLITE_ROW) bench_die(w->plain.db, "values of a row");
    row.key[0] = value_of_column(w->row_values, 0);
    sqlite3_bind_value(w->delete_plain, 1, sqlite3_column_value(w->row_values, 0));
    bench_step(w->delete_plain);
    push(w, &row);
    sqlite3_reset(w->row_values);
}

/* The oldest row goes and a new one comes. */
static void replace(world *w) {
    delete (w, w->live.first);
    insert(w, w->live.first + w->live.rows);
    w->live.first++;
}

/* ---- hours ---- */

static void begin(world *w) {
    bench_step(w->plain.begin);
    check(w, store_begin(w->s), "store_begin");
}

/* The group's commit; every device then has it. */
static void commit(world *w) {
    for (unsigned i = 0; i < DEVICES; i++) {
        check(w, ingest_author_save(w->g, &w->device[i].author), "ingest_author_save");
        check(w, store_device_acked(w->s, w->device[i].id, store_where(w->s).seq, w->now_ms), "store_device_acked");
    }
    check(w, store_commit(w->s), "store_commit");
    bench_step(w->plain.commit);
}

/* As the hub's: as often as there is more to do. */
static void upkeep(world *w) {
    uint64_t removed;
    bool more;
    do {
        check(w, store_begin(w->s), "store_begin");
        check(w, store_prune(w->s, w->now_ms, HISTORY_MS, UINT64_C(1) << 50, &removed), "store_prune");
        check(w, store_commit(w->s), "store_commit");
        check(w, store_tidy(w->s, 0, &more), "store_tidy");
    } while (removed > PRUNED_MUCH || more);
}

static void work_hour(world *w, const options *o, unsigned hour) {
    unsigned hours = o->days * 24;
    uint64_t from = (uint64_t)o->updates * hour / hours, to = (uint64_t)o->updates * (hour + 1) / hours;
    begin(w);
    for (uint64_t i = from; i < to; i++) {
        update(w, i);
        if ((i + 1) * o->churn / o->updates > i * o->churn / o->updates) replace(w);
    }
    commit(w);
}

/* ---- sizes ---- */

static uint64_t file_bytes(const char *path) {
    struct stat st;
    return stat(path, &st) ? 0 : (uint64_t)st.st_size;
}

static uint64_t store_bytes(world *w) {
    bench_run(store_db(w->s), "PRAGMA wal_checkpoint(TRUNCATE)");
    return file_bytes(w->store_path);
}

static uint64_t plain_bytes(world *w) {
    bench_run(w->plain.db, "VACUUM; PRAGMA wal_checkpoint(TRUNCATE)");
    return file_bytes(w->plain_path);
}

static void compare(world *w) {
    buf report;
    unsigned problems;
    buf_init(&report, 0);
    if (bench_digest(store_db(w->s)) != bench_digest(w->plain.db)) bench_die(NULL, "store and plain file hold different rows");
    check(w, store_verify(w->s, &report, &problems), "store_verify");
    if (problems) bench_die(NULL, (const char *)report.p);
    buf_fini(&report);
}

static void close_world(world *w) {
    ingest_free(w->g);
    store_close(w->s);
    delta_writer_fini(&w->writer);
    buf_fini(&w->result.hold);
    sqlite3_finalize(w->row_values);
    sqlite3_finalize(w->edit_values);
    sqlite3_finalize(w->delete_plain);
    bench_writer_close(&w->plain);
    sqlite3_close(w->plain.db);
    bench_remove(w->store_path);
    bench_remove(w->plain_path);
}

/* Bytes of a store that has had nothing but these rows. */
static uint64_t fresh_bytes(world *from, const options *o) {
    static world w;
    w.now_ms = from->now_ms;
    open_world(&w, o, "fresh");
    sqlite3_stmt *q =
        bench_prepare(from->plain.db,
                      "SELECT id, name, email, phone, company, city, status, score, notes, updated FROM contact ORDER BY rowid");
    begin(&w);
    while (sqlite3_step(q) == SQLITE_ROW) push_row(&w, q);
    commit(&w);
    if (sqlite3_finalize(q)) bench_die(from->plain.db, "reading the rows");
    w.now_ms += HISTORY_MS + DAY_MS;
    upkeep(&w);
    uint64_t bytes = store_bytes(&w);
    close_world(&w);
    return bytes;
}

static void run(const options *o) {
    static world w;
    w.now_ms = BEGIN_MS;
    w.live = (bench_edits){.rows = o->rows};
    open_world(&w, o, "year");
    begin(&w);
    for (unsigned i = 0; i < o->rows; i++) insert(&w, i);
    commit(&w);
    for (unsigned hour = 0; hour < o->days * 24; hour++, w.now_ms += HOUR_MS) {
        work_hour(&w, o, hour);
        upkeep(&w);
    }
    uint64_t history = store_bytes(&w);
    for (uint64_t quiet = 0; quiet <= HISTORY_MS + DAY_MS; quiet += DAY_MS, w.now_ms += DAY_MS) upkeep(&w);
    double after = (double)store_bytes(&w), plain = (double)plain_bytes(&w);
    compare(&w);
    printf("{\"year_ratio\": %.4f, \"year_fresh_ratio\": %.4f, \"year_history_ratio\": %.4f}\n", after / plain,
           after / (double)fresh_bytes(&w, o), (double)history / plain);
    close_world(&w);
}

static bool read_options(int argc, char **argv, options *o) {
    static const struct option known[] = {{"rows", required_argument, NULL, 'r'},  {"updates", required_argument, NULL, 'u'},
                                          {"churn", required_argument, NULL, 'c'}, {"folder", required_argument, NULL, 'f'},
                                          {"days", required_argument, NULL, 'd'},  {NULL, 0, NULL, 0}};
    *o = (options){.days = 365, .rows = 1000, .updates = 1000000, .churn = 100000, .folder = "."};
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        if (c == 'r') o->rows = (unsigned)strtoul(optarg, NULL, 10);
        if (c == 'u') o->updates = (unsigned)strtoul(optarg, NULL, 10);
        if (c == 'c') o->churn = (unsigned)strtoul(optarg, NULL, 10);
        if (c == 'd') o->days = (unsigned)strtoul(optarg, NULL, 10);
        if (c == 'f') o->folder = optarg;
        if (c == '?') return false;
    }
    return optind == argc && o->days && o->rows && o->updates && o->churn <= o->updates;
}

int main(int argc, char **argv) {
    options o;
    if (!read_options(argc, argv, &o)) {
        fputs("usage: bench_year [--folder DIR] [--days N] [--rows N] [--updates N] [--churn N]\n", stderr);
        return 2;
    }
    run(&o);
    return 0;
}
