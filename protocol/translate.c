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
        out->col[i].kind = DELTA_ADD;
        int rc = merge_subtract(now, before, &out->v[i]);
        if (rc) return rc;
    } else if (change->op == SQLITE_UPDATE && c->rule == RULE_GUARD) {
        out->col[i].kind = DELTA_MOVE;
        out->seen[i] = before->type == VALUE_ABSENT ? *now : *before;
    }
    out->ncol++;
    return SATCHEL_OK;
}

int translate_change(const schema *s, uint32_t epoch, const changeset_change *change, delta_row *out) {
    const schema_table *t = schema_table_in_epoch(s, epoch, change->table);
    if (!t) return SATCHEL_E_UNKNOWN_TABLE;
    const schema_column *layout[LIMIT_COLUMNS];
    unsigned n = schema_layout(t, epoch, layout);
    if (n != change->ncol) return SATCHEL_E_SCHEMA;
    out->table = t->id;
    out->op = change->op == SQLITE_INSERT ? DELTA_PUT : change->op == SQLITE_UPDATE ? DELTA_UPDATE : DELTA_DELETE;
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
