/* scope_moves.h - the rows of a commit whose sets have to be worked out at its end, and what follows from that: their children, and who is told.
 *
 * A row that has moved from set S to T is told whole to (T, 0), after everything else of the commit and instead of what the commit had told of it before, so that
 * nobody gets what he may not hold; and as a leave to (S, T), last of all. Of a row that was made or changed and then deleted nothing is told but that it is gone, to
 * those who had it before the commit. */
#ifndef SERVER_SCOPE_MOVES_H
#define SERVER_SCOPE_MOVES_H

#include "server/scope.h"
#include "server/scope_log.h"

typedef struct scope_move {
    uint32_t table;     /* place in the schema's tables */
    uint32_t nkey;      /* bytes */
    size_t key;         /* in `keys` */
    uint32_t from, to;  /* sets */
    bool known, born;   /* known: `from` was given; born: the row was not there before the commit, so that nobody leaves it */
    bool died;          /* what the commit told of it before its deletion is nobody's */
    bool changed, gone; /* gone: nothing is there now */
    uint32_t next;      /* of its table, plus 1 */
} scope_move;

typedef struct scope_moves {
    scope_move *row;
    size_t n, room;
    uint32_t *slot; /* hash table of places plus 1 */
    size_t slots;
    uint32_t *first; /* by table, plus 1 */
    unsigned ntable;
    buf keys, hold; /* hold: of the row at hand */
    delta_row emit;
    row_clock clock;
} scope_moves;

int scope_moves_init(scope_moves *m, const scope *c);
void scope_moves_fini(scope_moves *m);
void scope_moves_clear(scope_moves *m);
/* The row is to be looked at; once is enough. from: NULL, or the set in which the row lay before the commit, where the store no longer says so. */
int scope_moves_note(scope_moves *m, const scope *c, const schema_table *t, const value *key, const uint32_t *from);
/* The same of a row that was deleted before the commit and is there again as it was: its clock does not say that nobody had it. */
int scope_moves_note_birth(scope_moves *m, const scope *c, const schema_table *t, const value *key);
/* The same of a row that is deleted, and that the commit had made or changed before. from: NULL, or the set in which it lay before the commit. */
int scope_moves_note_death(scope_moves *m, const scope *c, const schema_table *t, const value *key, const uint32_t *from);
int scope_moves_note_children(scope_moves *m, scope *c, const schema_table *t, const value *key);
/* Works out the sets of what was noted, and of all that follows it, in the store; the log begins with what the commit has told, and gets the moves. *moved rows. log NULL:
 * nothing is told. */
int scope_moves_finish(scope_moves *m, scope *c, scope_log *log, uint64_t *moved);

#endif
