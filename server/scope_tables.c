/* The statements by which a table's rows get their sets: one look at a row gives all that its rules say of it. */
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/scope_private.h"

void scope_put_name(buf *sql, const char *name) {
    buf_put_byte(sql, '"');
    for (; *name; name++) {
        if (*name == '"') buf_put_byte(sql, '"');
        buf_put_byte(sql, (uint8_t)*name);
    }
    buf_put_byte(sql, '"');
}

static int prepare(scope *c, buf *sql, sqlite3_stmt **out) {
    buf_put_byte(sql, 0);
    if (sql->rc) return sql->rc;
    int sq = sqlite3_prepare_v3(c->db, (const char *)sql->p, -1, SQLITE_PREPARE_PERSISTENT, out, NULL);
    buf_clear(sql);
    return db_rc(sq);
}

/* CASE WHEN (condition) THEN what END; the line break ends a comment that the condition may end with. */
static void put_when(buf *sql, const char *condition, const char *what) {
    if (condition)
        buf_printf(sql, "CASE WHEN (%s\n) THEN (%s\n) END", condition, what);
    else
        buf_printf(sql, "(%s\n)", what);
}

static void put_own(buf *sql, const schema_table *t, unsigned place) {
    scope_put_name(sql, t->name);
    buf_put_byte(sql, '.');
    scope_put_name(sql, t->col[place]->name);
}

/* Whether the row names a parent, and that one's set: NULL if it is not there. */
static void put_parent(buf *sql, const scope_parent *p) {
    buf look;
    buf_init(&look, 0);
    buf_printf(sql, ",(");
    if (p->condition) buf_printf(sql, "(%s\n) AND ", p->condition);
    buf_printf(&look, "SELECT satchel_p.satchel_set FROM ");
    scope_put_name(&look, p->parent->name);
    buf_printf(&look, " AS satchel_p WHERE ");
    for (unsigned i = 0; i < p->parent->nkey; i++) {
        if (i) buf_printf(sql, " AND ");
        if (i) buf_printf(&look, " AND ");
        put_own(sql, p->t, p->place[i]);
        buf_printf(sql, " IS NOT NULL");
        buf_printf(&look, "satchel_p.");
        scope_put_name(&look, p->parent->key[i]->name);
        buf_put_byte(&look, '=');
        put_own(&look, p->t, p->place[i]);
    }
    buf_printf(sql, "),");
    buf_put_byte(&look, 0);
    if (look.rc)
        sql->rc = look.rc;
    else
        put_when(sql, p->condition, (const char *)look.p);
    buf_fini(&look);
}

static void put_facts(buf *sql, const scope_table *t) {
    for (unsigned i = 0; i < t->nbucket; i++) {
        buf_put_byte(sql, ',');
        put_when(sql, t->bucket[i]->condition, t->bucket[i]->value ? t->bucket[i]->value : "1");
    }
    for (unsigned i = 0; i < t->nparent; i++) put_parent(sql, t->parent[i]);
}

static void put_from(buf *sql, const schema_table *t, bool by_key) {
    buf_printf(sql, " FROM ");
    scope_put_name(sql, t->name);
    for (unsigned i = 0; by_key && i < t->nkey; i++) {
        buf_printf(sql, i ? " AND " : " WHERE ");
        scope_put_name(sql, t->key[i]->name);
        buf_printf(sql, "=?");
    }
}

static int prepare_own(scope *c, scope_table *t, buf *sql) {
    buf_printf(sql, "SELECT satchel_set");
    put_facts(sql, t);
    put_from(sql, t->t, true);
    int rc = prepare(c, sql, &t->facts);
    if (rc) return rc;
    buf_printf(sql, "SELECT satchel_set,satchel_clock");
    for (unsigned i = 0; i < t->t->ncol; i++) {
        buf_put_byte(sql, ',');
        scope_put_name(sql, t->t->col[i]->name);
    }
    put_from(sql, t->t, true);
    if ((rc = prepare(c, sql, &t->whole))) return rc;
    buf_printf(sql, "SELECT satchel_set");
    put_from(sql, t->t, true);
    if ((rc = prepare(c, sql, &t->set))) return rc;
    buf_printf(sql, "UPDATE ");
    scope_put_name(sql, t->t->name);
    buf_printf(sql, " SET satchel_set=?");
    for (unsigned i = 0; i < t->t->nkey; i++) {
        buf_printf(sql, i ? " AND " : " WHERE ");
        scope_put_name(sql, t->t->key[i]->name);
        buf_printf(sql, "=?");
    }
    return prepare(c, sql, &t->put_set);
}

static int prepare_parent(scope *c, scope_parent *p, buf *sql) {
    buf_printf(sql, "SELECT ");
    for (unsigned i = 0; i < p->t->nkey; i++) {
        if (i) buf_put_byte(sql, ',');
        scope_put_name(sql, p->t->key[i]->name);
    }
    buf_printf(sql, " FROM ");
    scope_put_name(sql, p->t->name);
    for (unsigned i = 0; i < p->parent->nkey; i++) {
        buf_printf(sql, i ? " AND " : " WHERE ");
        scope_put_name(sql, p->t->col[p->place[i]]->name);
        buf_printf(sql, "=?");
    }
    int rc = prepare(c, sql, &p->children);
    if (rc) return rc;
    buf_printf(sql, "SELECT satchel_set");
    put_from(sql, p->parent, true);
    return prepare(c, sql, &p->known);
}

static unsigned first_line(const scope_table *t) {
    return t->nbucket ? t->bucket[0]->line : t->nparent ? t->parent[0]->line : 0;
}

int scope_prepare_table(scope *c, scope_table *t, buf *error) {
    buf sql;
    buf_init(&sql, 0);
    int rc = prepare_own(c, t, &sql);
    for (unsigned i = 0; i < t->nparent && !rc; i++) rc = prepare_parent(c, t->parent[i], &sql);
    if (rc && rc != SATCHEL_E_NOMEM)
        rc = rule_fail(error, c->name, first_line(t), "the rules of %s do not compile together: %s", t->t->name,
                       sqlite3_errmsg(c->db));
    buf_fini(&sql);
    return rc;
}

int scope_prepare_scan(scope *c, const scope_table *t, sqlite3_stmt **out) {
    buf sql;
    buf_init(&sql, 0);
    buf_printf(&sql, "SELECT ");
    for (unsigned i = 0; i < t->t->nkey; i++) {
        scope_put_name(&sql, t->t->key[i]->name);
        buf_put_byte(&sql, ',');
    }
    buf_printf(&sql, "satchel_set");
    put_facts(&sql, t);
    put_from(&sql, t->t, false);
    int rc = prepare(c, &sql, out);
    buf_fini(&sql);
    return rc;
}
