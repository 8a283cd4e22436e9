#include "protocol/sql_text.h"

#include <sqlite3.h>
#include <string.h>

/* In UTF-8; white space to SQLite wherever a word may begin, not at the beginning of the text alone. */
#define BYTE_ORDER_MARK "\xef\xbb\xbf"

const char *sql_skip_blank(const char *p) {
    for (;;) {
        p += strspn(p, " \t\r\n\f;");
        if (!strncmp(p, BYTE_ORDER_MARK, sizeof BYTE_ORDER_MARK - 1))
            p += sizeof BYTE_ORDER_MARK - 1;
        else if (p[0] == '-' && p[1] == '-')
            p += strcspn(p, "\n");
        else if (p[0] == '/' && p[1] == '*') {
            const char *end = strstr(p + 2, "*/");
            p = end ? end + 2 : p + strlen(p);
        } else
            return p;
    }
}

const char *sql_past_word(const char *p, const char *word) {
    size_t n = strlen(word);
    if (!p || sqlite3_strnicmp(p, word, (int)n)) return NULL;
    char next = p[n];
    bool goes_on =
        next & 0x80 || next == '_' || next == '$' || (next >= '0' && next <= '9') || ((next | 32) >= 'a' && (next | 32) <= 'z');
    return goes_on ? NULL : sql_skip_blank(p + n);
}

unsigned sql_line(const char *text, const char *at) {
    unsigned line = 1;
    for (; text < at; text++) line += *text == '\n';
    return line;
}

bool sql_only_reads(int action) {
    return action == SQLITE_SELECT || action == SQLITE_READ || action == SQLITE_FUNCTION || action == SQLITE_RECURSIVE;
}
