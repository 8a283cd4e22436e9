/* At rest, every device shows what it is to hold of what the server has, nothing else, and nothing waits. */
#include "tests/sim/sim.h"

/* Which rows of a table a device that holds a part is to show. */
static void put_condition(sim *s, unsigned i, const schema_table *t, char *out, size_t room) {
    char items[400];
    bool is_line = !strcmp(t->name, "line");
    out[0] = 0;
    /* Until rules are published that name it nobody who has a profile holds it. */
    if (!strcmp(t->name, "note") && !(scope_rules_in_force(s) & RULES_NOTE)) snprintf(out, room, " WHERE 0");
    if (!is_line && strcmp(t->name, "item") != 0) return;
    scope_item_condition(s, i, items, sizeof items);
    snprintf(out, room, is_line ? " WHERE item IN (SELECT id FROM item WHERE %s)" : " WHERE %s", items);
}

/* Every row of a table, in the order of its key; of the store, those that device `part` is to show, as it is to show them (SIM_DEVICES: all). */
static sqlite3_stmt *rows_of(sim *s, sqlite3 *db, const schema_table *t, unsigned part) {
    char sql[2048], condition[500] = "";
    bool masked = part < SIM_DEVICES && !strcmp(t->name, "item"), masks_mx = masked && scope_rules_in_force(s) & RULES_MX;
    if (part < SIM_DEVICES) put_condition(s, part, t, condition, sizeof condition);
    int n = 0;
    for (unsigned i = 0; i < t->ncol; i++) {
        const char *name = t->col[i]->name;
        bool without = masked && (!strcmp(name, "f") || (masks_mx && !strcmp(name, "mx")));
        n += snprintf(sql + n, sizeof sql - (size_t)n, without ? "%sNULL AS \"%s\"" : "%s\"%s\"", i ? "," : "SELECT ", name);
    }
    n += snprintf(sql + n, sizeof sql - (size_t)n, " FROM \"%s\"%s", t->name, condition);
    for (unsigned i = 0; i < t->nkey; i++)
        n += snprintf(sql + n, sizeof sql - (size_t)n, "%s\"%s\"", i ? "," : " ORDER BY ", t->key[i]->name);
    return sim_query(s, db, sql);
}

static bool same_value(sqlite3_stmt *a, sqlite3_stmt *b, int i) {
    int type = sqlite3_column_type(a, i);
    if (type != sqlite3_column_type(b, i)) return false;
    if (type == SQLITE_INTEGER) return sqlite3_column_int64(a, i) == sqlite3_column_int64(b, i);
    if (type == SQLITE_FLOAT) {
        double x = sqlite3_column_double(a, i), y = sqlite3_column_double(b, i);
        return !memcmp(&x, &y, sizeof x);
    }
    /* Text is given as it is stored, and so may be asked for as bytes. */
    const void *x = sqlite3_column_blob(a, i), *y = sqlite3_column_blob(b, i);
    size_t n = (size_t)sqlite3_column_bytes(a, i);
    return n == (size_t)sqlite3_column_bytes(b, i) && (!n || !memcmp(x, y, n));
}

static const char *text_of(sqlite3_stmt *q, bool there, int i) {
    const char *text = there ? (const char *)sqlite3_column_text(q, i) : "no row";
    return text ? text : "NULL";
}

static void compare_table(sim *s, unsigned i, const schema_table *there, const schema_table *here) {
    sqlite3_stmt *server = rows_of(s, store_db(s->store), there, scope_has_profile(s, i) ? i : SIM_DEVICES),
                 *mine = rows_of(s, satchel_db(s->device[i].s), here, SIM_DEVICES);
    int columns = sqlite3_column_count(server);
    if (columns != sqlite3_column_count(mine)) sim_fail(s, "device %u has other columns of %s", i, there->name);
    for (bool more = true; more;) {
        bool a = sqlite3_step(server) == SQLITE_ROW, b = sqlite3_step(mine) == SQLITE_ROW;
        more = a && b;
        for (int c = 0; c < columns && (a || b); c++)
            if (!more || !same_value(server, mine, c))
                sim_fail(s, "device %u differs: %s.%s of row %s is %s, and on the server %s of row %s", i, there->name,
                         sqlite3_column_name(server, c), text_of(mine, b, 0), text_of(mine, b, c), text_of(server, a, c),
                         text_of(server, a, 0));
    }
    if (sqlite3_reset(server) || sqlite3_reset(mine)) sim_fail(s, "%s cannot be read", there->name);
}

static const schema_table *live_table(const schema *in, const char *name) {
    for (unsigned i = 0; i < in->ntable; i++)
        if (in->table[i].until == SCHEMA_NEVER && !strcmp(in->table[i].name, name)) return &in->table[i];
    return NULL;
}

static void compare(sim *s, unsigned i) {
    const schema *there = store_schema(s->store), *here = s->device[i].s->file->schema;
    for (unsigned k = 0; k < there->ntable; k++) {
        const schema_table *t = &there->table[k];
        if (t->until != SCHEMA_NEVER) continue;
        const schema_table *mine = live_table(here, t->name);
        if (!mine) sim_fail(s, "device %u has no table %s", i, t->name);
        compare_table(s, i, t, mine);
    }
    for (unsigned k = 0; k < here->ntable; k++)
        if (here->table[k].until == SCHEMA_NEVER && !live_table(there, here->table[k].name))
            sim_fail(s, "device %u has table %s, and the server not", i, here->table[k].name);
}

static void check_nothing_waits(sim *s, unsigned i) {
    satchel_status_info info = {.size = sizeof info};
    if (satchel_get_status(s->device[i].s, &info)) sim_fail(s, "device %u has no status", i);
    if (info.pending || info.accepted)
        sim_fail(s, "device %u at rest has %" PRIu64 " pending, %" PRIu64 " accepted", i, info.pending, info.accepted);
}

void check_convergence(sim *s) {
    for (unsigned i = 0; i < s->ndevices; i++) {
        if (s->device[i].revoked || s->device[i].wiped) continue;
        disk_look(true);
        compare(s, i);
        disk_look(false);
        check_nothing_waits(s, i);
    }
}
