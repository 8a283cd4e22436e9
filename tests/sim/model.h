/* model.h - the rules of merge.md once more, as simply as they can be said: rows are maps of texts, a transaction is a list of facts, and what wins and what is
 * lost is told rule by rule. It shares nothing with the code that it judges but the format of values; who is before whom, the server says, and check_stamps.c judges that.
 *
 * Facts are what the rows of a device show before and after a transaction (facts.c); model.c merges them in the server's order; check_model.c compares. */
#ifndef TESTS_SIM_MODEL_H
#define TESTS_SIM_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MODEL_EPOCHS 6u /* of the schema: so many migrations has the server, sim_nodes.c */
#define MODEL_COLUMNS 16u
#define MODEL_COPY_OF 8u        /* of item: the key of the row that it is a copy of */
#define MODEL_ROW MODEL_COLUMNS /* in `seen`: whether the row is there */

typedef enum model_table { MODEL_ITEM, MODEL_LINE, MODEL_TAG, MODEL_NOTE, MODEL_TABLES } model_table;
typedef enum model_rule {
    MODEL_LWW = 1,
    MODEL_GROUP,
    MODEL_MAX,
    MODEL_MIN,
    MODEL_COUNTER,
    MODEL_FIRST,
    MODEL_KEEP,
    MODEL_STRICT,
    MODEL_GUARD,
    MODEL_SERVER
} model_rule;

/* A SQL literal. */
typedef struct model_value {
    char text[40];
} model_value;

typedef struct model_column {
    const char *name;
    model_rule rule;
    unsigned since, until; /* schema epochs */
    unsigned id;           /* on the server */
    const char *initial;   /* its default */
} model_column;

typedef struct model_schema {
    unsigned id;
    unsigned since; /* schema epoch */
    const char *name, *renamed;
    unsigned renamed_since;
    const char *key; /* an expression for the key's literals */
    bool delete_wins, natural;
    unsigned n;
    model_column column[MODEL_COLUMNS];
} model_schema;
extern const model_schema MODEL[MODEL_TABLES];

bool model_has(const model_column *c, unsigned epoch);
/* Its name in an epoch. */
const char *model_name(const model_column *c, unsigned epoch);
/* The table of a name that the server gave; MODEL_TABLES: the model does not know it. */
model_table model_by_id(unsigned id);
uint32_t model_bit(const model_value *v);
/* Whether the moves of column st have this one (M8). */
bool model_allows(const model_value *from, const model_value *to);

/* ---- facts ---- */

typedef enum fact_op { FACT_INSERT = 1, FACT_UPDATE, FACT_DELETE } fact_op;

/* What a transaction did to a row, and up to which commit its author had seen each column. */
typedef struct fact {
    fact_op op;
    model_table table;
    model_value key;
    bool met;         /* a retry's insert, and its author saw a row of the key */
    uint32_t changed; /* a bit for each column that it sets */
    model_value was[MODEL_COLUMNS], now[MODEL_COLUMNS];
    uint64_t seen[MODEL_COLUMNS + 1];
    /* Of each column, a bit for each value (by model_bit) that its author's pending edits showed; and whether there were several. */
    uint32_t shown[MODEL_COLUMNS + 1], mixed;
    /* Over an edit that a server which was put back is given once more: what its author saw when that was confirmed is not known. */
    bool again;
} fact;

typedef struct facts {
    struct facts *next; /* of the same transaction, after a refusal */
    unsigned device;
    uint64_t at; /* its number in the outbox; 0: the transaction's own */
    uint8_t id[8];
    uint64_t base;
    unsigned life; /* of the server, that base and `seen` count in */
    unsigned n, room;
    fact *fact;
} facts;

/* ---- the model ---- */

typedef struct model_clock {
    uint64_t stamp, seq;
    uint32_t author;
} model_clock;

typedef struct model_cell {
    model_value v;
    model_clock c;
} model_cell;

typedef struct model_row {
    model_table table;
    model_value key;
    bool there, dead;
    bool unclear; /* nothing is claimed of it any more, */
    bool mixed;   /* because of what pending edits hid (M16) */
    model_clock base, death;
    model_cell cell[MODEL_COLUMNS];
} model_row;

/* A value, or with column id 0 a row's insert or deletion, that lost. */
typedef struct model_loss {
    uint64_t seq;
    model_table table;
    model_value key;
    unsigned column;
    model_value lost;
    uint64_t stamp;
    uint32_t author;
    bool found;
} model_loss;

/* The confirmed value of a column (MODEL_ROW: the row's being there) became another one. */
typedef struct model_move {
    unsigned row;
    unsigned column;
    uint64_t seq;
    model_value to; /* of MODEL_ROW: 1 or 0 */
} model_move;

typedef struct model {
    uint64_t epoch_at[MODEL_EPOCHS + 1];
    unsigned nrow, nloss, nmove, room_loss, room_move;
    model_row *row;
    model_loss *loss;
    model_move *move;
    char why[160]; /* a transaction that was accepted should not have been */
} model;

#define MODEL_ROWS 4096u

void model_begin(model *m, model_clock first, const uint64_t epoch_at[MODEL_EPOCHS + 1]);
void model_end(model *m);
/* Merges one accepted transaction, whose base counts up to `limit` at most. False, with m->why, if it had to be refused. */
bool model_apply(model *m, const facts *f, model_clock c, uint64_t limit);
model_row *model_find(model *m, model_table t, const model_value *key, bool make);

#endif
