/* sqlcut.h - finds in SQL text the places where it can be cut in two: after a statement's semicolon, with no transaction open.
 *
 * It reads as SQLite's tokeniser does as far as that takes: strings, quoted names, comments, the first word of a statement. It takes one character
 * at a time and keeps nothing but its state. Of a text that SQLite refuses it may cut a statement; SQLite then refuses the parts. */
#ifndef TOOLS_SQLCUT_H
#define TOOLS_SQLCUT_H

#include <stdbool.h>
#include <stddef.h>

#define SQLCUT_WORD 10

typedef struct sqlcut {
    enum { SQLCUT_PLAIN, SQLCUT_QUOTED, SQLCUT_LINE, SQLCUT_BLOCK } state;
    char quote;                                         /* that ends a quoted text */
    char before;                                        /* the character before, for marks of two characters */
    char first[SQLCUT_WORD + 1], word[SQLCUT_WORD + 1]; /* the statement's first word, the one being read; in capitals, cut */
    unsigned n;                                         /* of `word` */
    bool to;                                            /* ROLLBACK TO: it ends no transaction */
    bool open;                                          /* inside BEGIN ... COMMIT */
} sqlcut;

/* All zero is the beginning. True if the text may be cut after this character. */
bool sqlcut_next(sqlcut *s, char c);

#endif
