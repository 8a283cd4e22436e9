/* Totals that grow from sitting to sitting, in a file. */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/sim/totals.h"

/* ---- ranges of seeds ---- */

uint64_t totals_next(const totals_file *t, uint64_t seed) {
    for (size_t i = 0; i < t->nrange; i++)
        if (t->range[i].from <= seed && seed < t->range[i].to) seed = t->range[i].to;
    return seed;
}

static void insert_range(totals_file *t, size_t at, seed_range r) {
    t->range = realloc(t->range, (t->nrange + 1) * sizeof *t->range);
    if (!t->range) exit(2);
    memmove(t->range + at + 1, t->range + at, (t->nrange++ - at) * sizeof *t->range);
    t->range[at] = r;
}

void totals_ran(totals_file *t, uint64_t seed) {
    size_t i = 0;
    while (i < t->nrange && t->range[i].to < seed) i++;
    if (i == t->nrange || seed + 1 < t->range[i].from) {
        insert_range(t, i, (seed_range){.from = seed, .to = seed + 1});
        return;
    }
    if (seed < t->range[i].from) t->range[i].from = seed;
    if (seed < t->range[i].to) return;
    t->range[i].to = seed + 1;
    if (i + 1 == t->nrange || t->range[i + 1].from > seed + 1) return;
    t->range[i].to = t->range[i + 1].to;
    memmove(t->range + i + 1, t->range + i + 2, (--t->nrange - i - 1) * sizeof *t->range);
}

static json_t *ranges_json(const totals_file *t) {
    json_t *all = json_array();
    for (size_t i = 0; i < t->nrange; i++)
        json_array_append_new(all, json_pack("[II]", (json_int_t)t->range[i].from, (json_int_t)t->range[i].to));
    return all;
}

static bool read_ranges(totals_file *t, json_t *all) {
    size_t i;
    json_t *one;
    json_array_foreach(all, i, one) {
        json_int_t from, to;
        uint64_t end = t->nrange ? t->range[t->nrange - 1].to : 0;
        if (json_unpack(one, "[II!]", &from, &to) || from < 0 || (uint64_t)from < end || to <= from) return false;
        insert_range(t, t->nrange, (seed_range){.from = (uint64_t)from, .to = (uint64_t)to});
    }
    return json_is_array(all);
}

/* ---- reading ---- */

static bool read_object(totals_file *t, const json_t *o) {
    const char *sources = json_string_value(json_object_get(o, "sources"));
    json_t *builds = json_object_get(o, "builds");
    if (!sources || !json_is_array(builds) || !read_ranges(t, json_object_get(o, "seeds")) || !totals_read(&t->sum, o))
        return false;
    t->builds = json_incref(builds);
    t->sources = strdup(sources);
    return t->sources != NULL;
}

static bool is_other(const totals_file *t, const char *sources) {
    if (!sources || !strcmp(sources, t->sources)) return false;
    fprintf(
        stderr,
        "sim: %s counts seeds of other sources (%.12s; these are %.12s), and only seeds of the same sources are added up: name another "
        "file, or check those sources out\n",
        t->path, t->sources, sources);
    return true;
}

bool totals_open(totals_file *t, const char *path, const char *sources) {
    struct stat st;
    json_error_t error;
    *t = (totals_file){.path = path};
    if (stat(path, &st) && errno == ENOENT && sources) {
        t->builds = json_array();
        t->sources = strdup(sources);
        return t->sources != NULL;
    }
    json_t *o = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    bool good = o && read_object(t, o);
    if (!o)
        fprintf(stderr, "sim: %s: %s\n", path, error.text);
    else if (!good)
        fprintf(stderr, "sim: %s is not a file of totals, or another version's: name another file\n", path);
    json_decref(o);
    t->device = st.st_dev;
    t->inode = st.st_ino;
    return good && !is_other(t, sources);
}

void totals_close(totals_file *t) {
    json_decref(t->builds);
    free(t->sources);
    free(t->range);
    *t = (totals_file){0};
}

/* ---- writing ---- */

static void note_build(totals_file *t, const char *build) {
    size_t i;
    json_t *one;
    json_array_foreach(t->builds, i, one) if (!strcmp(json_string_value(one), build)) return;
    json_array_append_new(t->builds, json_string(build));
}

/* Each sitting makes a file of its own: one that is another's was not read here. */
static bool is_ours(const totals_file *t) {
    struct stat st;
    bool there = !stat(t->path, &st);
    if (there ? st.st_dev == t->device && st.st_ino == t->inode : !t->inode) return true;
    fprintf(stderr, "sim: another sitting has written %s: what this one did since its last word is not in it\n", t->path);
    return false;
}

static bool write_file(const char *path, const json_t *o, struct stat *st) {
    FILE *f = fopen(path, "w");
    if (!f) return false;
    bool good =
        !json_dumpf(o, f, JSON_INDENT(1)) && fputc('\n', f) != EOF && !fflush(f) && !fsync(fileno(f)) && !fstat(fileno(f), st);
    return !fclose(f) && good;
}

bool totals_save(totals_file *t, const char *build) {
    char part[4096];
    struct stat st;
    if (!is_ours(t)) return false;
    note_build(t, build);
    json_t *o = json_pack("{sssO}", "sources", t->sources, "builds", t->builds);
    json_object_set_new(o, "seeds", ranges_json(t));
    json_t *sum = totals_json(&t->sum);
    json_object_update(o, sum);
    json_decref(sum);
    int n = snprintf(part, sizeof part, "%s.%ld", t->path, (long)getpid());
    bool good = n > 0 && (size_t)n < sizeof part && write_file(part, o, &st) && !rename(part, t->path);
    if (!good) fprintf(stderr, "sim: %s cannot be written: %s\n", t->path, strerror(errno));
    json_decref(o);
    if (!good) return false;
    t->device = st.st_dev;
    t->inode = st.st_ino;
    return true;
}

/* ---- the table ---- */

static void print_list(const char *name, const totals_file *t) {
    size_t i;
    json_t *one;
    printf("| %s | ", name);
    json_array_foreach(t->builds, i, one) printf("%s%s", i ? ", " : "", json_string_value(one));
    printf(" |\n");
}

void totals_table(const totals_file *t) {
    const sim_figures *f = &t->sum.sum;
    printf("| | |\n|---|---|\n");
    print_list("commit", t);
    printf("| sources | %.12s |\n| seeds | ", t->sources);
    for (size_t i = 0; i < t->nrange; i++) printf("%s%" PRIu64 "–%" PRIu64, i ? ", " : "", t->range[i].from, t->range[i].to - 1);
    printf(" |\n| passed | %" PRIu64 " |\n| failed | %" PRIu64 " |\n| of those that passed, did not count | %" PRIu64
           " |\n| device-years | %.1f |\n| transactions | %" PRIu64 " |\n| refused | %" PRIu64 " |\n| conflicts | %" PRIu64
           " |\n| events | %" PRIu64 " |\n| fields predicted | %" PRIu64 " |\n| losses predicted | %" PRIu64 " |\n| faults | ",
           t->sum.passed, t->sum.failed, t->sum.uncounted, (double)f->device_ms / (365.25 * (double)DAY), f->transactions,
           f->refused, f->conflicts, f->events, f->fields, f->losses);
    for (unsigned i = 0; i < FAULT_COUNT; i++)
        printf("%s%s %" PRIu64, i ? ", " : "", sim_fault_name((sim_fault)i), f->happened[i]);
    printf(" |\n");
}
