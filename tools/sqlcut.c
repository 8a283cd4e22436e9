#include "tools/sqlcut.h"

#include <string.h>

static char capital(char c) {
    return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

static bool is_word(char c) {
    return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || (unsigned char)c >= 0x80;
}

static void end_word(sqlcut *s) {
    if (!s->n) return;
    s->word[s->n] = 0;
    s->n = 0;
    if (!*s->first)
        memcpy(s->first, s->word, sizeof s->first);
    else if (!strcmp(s->word, "TO"))
        s->to = true;
}

static bool end_statement(sqlcut *s) {
    bool rollback = !strcmp(s->first, "ROLLBACK") && !s->to;
    if (!strcmp(s->first, "BEGIN"))
        s->open = true;
    else if (rollback || !strcmp(s->first, "COMMIT") || !strcmp(s->first, "END"))
        s->open = false;
    *s->first = 0;
    s->to = false;
    return !s->open;
}

static bool plain(sqlcut *s, char c) {
    char upper = capital(c), before = s->before;
    s->before = c;
    if (is_word(upper)) {
        if (s->n < SQLCUT_WORD) s->word[s->n++] = upper;
        return false;
    }
    end_word(s);
    if (c == '\'' || c == '"' || c == '`' || c == '[') {
        s->state = SQLCUT_QUOTED;
        s->quote = c == '[' ? ']' : c;
    } else if ((c == '-' && before == '-') || (c == '*' && before == '/')) {
        s->state = c == '-' ? SQLCUT_LINE : SQLCUT_BLOCK;
        s->before = 0;
    }
    return c == ';' && end_statement(s);
}

bool sqlcut_next(sqlcut *s, char c) {
    switch (s->state) {
    case SQLCUT_PLAIN:
        return plain(s, c);
    case SQLCUT_QUOTED:
        if (c == s->quote) s->state = SQLCUT_PLAIN;
        break;
    case SQLCUT_LINE:
        if (c == '\n') s->state = SQLCUT_PLAIN;
        break;
    case SQLCUT_BLOCK:
        if (c == '/' && s->before == '*') s->state = SQLCUT_PLAIN;
        break;
    }
    s->before = s->state == SQLCUT_PLAIN ? 0 : c;
    return false;
}
