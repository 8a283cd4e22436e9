#include "protocol/translate.h"

#include "protocol/merge.h"
#include "protocol/satchel_rc.h"

static int translate_column(const schema_column *c, const changeset_change *change, unsigned at, delta_row *out) {
    unsigned i = out->ncol;
    const value *now = &change->new[at], *before = &change->old[at];
    if (now->type == VALUE_ABSENT) return SATCHEL_OK;
    out->col[i] = (delta_column){.id = c->id, .kind = DELTA_SET};
    out->v[i] = *now;
    if (change->op == SQLITE_UPDATE && c->rule == RULE_COUNTER) {
        value by;
        out->col[i].kind = change->insert ? DELTA_SET : DELTA_ADD;
        int rc = merge_subtract(now, before, &by);
        /* An insert's counter is what it began with and what it adds (M15). */
        if (!rc && change->insert) rc = merge_add(&c->default_value, &by, &by);
        if (rc) return rc;
        out->v[i] = by;
    } else if (change->op == SQLITE_UPDATE && c->rule == RULE_GUARD && !change->insert) {
        out->col[i].kind = DELTA_MOVE;
        out->seen[i] = before->type == VALUE_ABSENT ? *now : *before;
    }
    out->ncol++;
    return SATCHEL_OK;
}

bool translate_says_nothing(const schema_column *c, const value *v) {
    return v->type == VALUE_NULL || value_equal(v, &c->default_value);
}

/* Whether the insert says anything of the unit of its column i: of a group, if it does of one of its columns. */
static bool says_unit(const schema_table *t, const delta_row *in, unsigned i) {
    const schema_column *c = schema_column_by_id(t, in->col[i].id);
    if (c->rule != RULE_GROUP) return !translate_says_nothing(c, &in->v[i]);
    for (unsigned k = 0; k < in->ncol; k++) {
        const schema_column *other = schema_column_by_id(t, in->col[k].id);
        if (other->unit == c->unit && !translate_says_nothing(other, &in->v[k])) return true;
    }
    return false;
}

int translate_insert_as_update(const schema_table *t, delta_row *row, const schema_column **column) {
    unsigned n = 0;
    bool said[LIMIT_COLUMNS];
    for (unsigned i = 0; i < row->ncol; i++) said[i] = says_unit(t, row, i);
    for (unsigned i = 0; i < row->ncol; i++) {
        const schema_column *c = *column = schema_column_by_id(t, row->col[i].id);
        if (!said[i]) continue;
        row->col[n] = (delta_column){.id = c->id, .kind = c->rule == RULE_COUNTER ? DELTA_ADD : DELTA_SET};
        row->v[n] = row->v[i];
        int rc = c->rule == RULE_COUNTER ? merge_subtract(&row->v[i], &c->default_value, &row->v[n]) : SATCHEL_OK;
        if (rc) return rc;
        n++;
    }
    row->ncol = n;
    row->op = DELTA_UPDATE;
    return SATCHEL_OK;
}

int translate_change(const schema *s, uint32_t epoch, const changeset_change *change, delta_row *out) {
    const schema_table *t = schema_table_in_epoch(s, epoch, change->table);
    if (!t) return SATCHEL_E_UNKNOWN_TABLE;
    const schema_column *layout[LIMIT_COLUMNS];
    unsigned n = schema_layout(t, epoch, layout);
    if (n != change->ncol) return SATCHEL_E_SCHEMA;
    out->table = t->id;
    bool put = change->op == SQLITE_INSERT || (change->op == SQLITE_UPDATE && change->insert);
    out->op = put ? DELTA_PUT : change->op == SQLITE_UPDATE ? DELTA_UPDATE : DELTA_DELETE;
    out->ncol = 0;
    out->nkey = 0;
    const value *row = change->op == SQLITE_INSERT ? change->new : change->old;
    for (unsigned i = 0; i < n; i++) {
        unsigned place = change->pk[i];
        if (place == 0) {
            int rc = change->op == SQLITE_DELETE ? SATCHEL_OK : translate_column(layout[i], change, i, out);
            if (rc) return rc;
        } else if (place > LIMIT_KEY_COLUMNS || row[i].type == VALUE_ABSENT || row[i].type == VALUE_NULL) {
            return SATCHEL_E_KEY_MISSING;
        } else {
            out->key[place - 1] = row[i];
            out->nkey++;
        }
    }
    return out->nkey ? SATCHEL_OK : SATCHEL_E_KEY_MISSING;
}
