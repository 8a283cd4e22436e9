/* Which row somebody means. */
#include <stdlib.h>
#include <string.h>

#include "tools/crm.h"

/* A query gives id, words and whether it is that exactly; ?1 and ?2 are the ids between which a prefix lies (NULL: it is none), ?3 words for the search index, ?4 the text. */
static const struct find {
    const char *noun, *known_by, *look, *sql;
} finds[] = {
    [CRM_A_CONTACT] =
        {"contact", "id, e-mail address, phone number or name", "crm contact find TEXT looks for one",
         "SELECT crm_id('contact', t.id), coalesce(" CRM_NAME_T ", '(no name)') ||"
         " coalesce(', ' || (SELECT name FROM account WHERE id = t.account_id), ''),"
         " " CRM_NAME_T
         " = ?4 COLLATE NOCASE OR EXISTS (SELECT 1 FROM contact_point WHERE contact_id = t.id AND value = ?4 COLLATE NOCASE), t.id"
         " FROM contact t WHERE t.id BETWEEN ?1 AND ?2 OR t.id IN (SELECT d.id FROM crm_search s JOIN crm_doc d ON d.doc = s.rowid"
         " WHERE crm_search MATCH ?3 AND d.kind = 'contact')"},
    [CRM_A_COMPANY] =
        {"company", "id or name", "crm search TEXT looks for one, --new-company NAME makes one",
         "SELECT crm_id('account', t.id), t.name, t.name = ?4 COLLATE NOCASE, t.id"
         " FROM account t WHERE t.id BETWEEN ?1 AND ?2 OR t.id IN (SELECT d.id FROM crm_search s JOIN crm_doc d ON d.doc = s.rowid"
         " WHERE crm_search MATCH ?3 AND d.kind = 'company')"},
    [CRM_A_LEAD] =
        {"lead", "id, name, company or e-mail address", "crm lead list --all shows them",
         "SELECT crm_id('lead', t.id), coalesce(" CRM_NAME_T " || coalesce(', ' || t.company, ''), t.company, '(no name)'),"
         " coalesce(" CRM_NAME_T
         " = ?4 COLLATE NOCASE, 0) OR coalesce(t.company = ?4 COLLATE NOCASE, 0) OR coalesce(t.email = ?4 COLLATE NOCASE, 0), t.id"
         " FROM lead t WHERE t.id BETWEEN ?1 AND ?2 OR t.id IN (SELECT d.id FROM crm_search s JOIN crm_doc d ON d.doc = s.rowid"
         " WHERE crm_search MATCH ?3 AND d.kind = 'lead')"},
    [CRM_A_DEAL] = {"deal", "id or name", "crm deal list --all shows them",
                    "SELECT crm_id('deal', t.id), t.name, t.name = ?4 COLLATE NOCASE, t.id"
                    " FROM deal t WHERE t.id BETWEEN ?1 AND ?2 OR instr(lower(t.name), lower(?4))"},
    [CRM_A_TASK] = {"task", "id or title", "crm task list --all shows them",
                    "SELECT crm_id('task', t.id), t.title, t.title = ?4 COLLATE NOCASE, t.id"
                    " FROM task t WHERE t.id BETWEEN ?1 AND ?2 OR instr(lower(t.title), lower(?4))"},
    [CRM_A_TICKET] =
        {"ticket", "id, number or subject", "crm ticket list --all shows them",
         "SELECT crm_id('ticket', t.id), coalesce(t.number || ' ', '') || t.subject,"
         " coalesce(t.number = ?4 COLLATE NOCASE, 0) OR t.subject = ?4 COLLATE NOCASE, t.id"
         " FROM ticket t WHERE t.id BETWEEN ?1 AND ?2 OR t.number = ?4 COLLATE NOCASE OR instr(lower(t.subject), lower(?4))"},
    [CRM_A_QUOTE] =
        {"quote", "id, number, provisional number or its deal's name", "crm quote list --all shows them",
         "SELECT crm_id('quote', t.id), coalesce(t.number, t.provisional, '(no number)') || ' ' || t.status || ', ' || d.name,"
         " coalesce(t.number = ?4 COLLATE NOCASE, 0) OR coalesce(t.provisional = ?4 COLLATE NOCASE, 0), t.id"
         " FROM quote t JOIN deal d ON d.id = t.deal_id WHERE t.id BETWEEN ?1 AND ?2 OR t.number = ?4 COLLATE NOCASE"
         " OR t.provisional = ?4 COLLATE NOCASE OR instr(lower(d.name), lower(?4))"},
    [CRM_A_PRODUCT] =
        {"product", "id, SKU or name", "satchel sql 'SELECT sku, name FROM product' shows them",
         "SELECT crm_id('product', t.id), t.sku || ' ' || t.name, t.sku = ?4 COLLATE NOCASE OR t.name = ?4 COLLATE NOCASE, t.id"
         " FROM product t WHERE t.active AND (t.id BETWEEN ?1 AND ?2 OR t.sku = ?4 COLLATE NOCASE OR instr(lower(t.name), lower(?4)))"},
    [CRM_AN_ARTICLE] = {"article", "id or title", "crm article find TEXT looks for one",
                        "SELECT crm_id('kb_article', t.id), t.title, fold(t.title) = fold(?4) AND t.copy_of IS NULL, t.id"
                        " FROM kb_article t WHERE t.id BETWEEN ?1 AND ?2 OR instr(fold(t.title), fold(?4))"},
    [CRM_A_USER] =
        {"user", "id, e-mail address or name", "satchel sql 'SELECT name, email FROM user_account' shows them",
         "SELECT crm_id('user_account', t.id), t.name || coalesce(' ' || t.email, ''),"
         " t.name = ?4 COLLATE NOCASE OR coalesce(t.email = ?4 COLLATE NOCASE, 0), t.id"
         " FROM user_account t WHERE t.active AND (t.id BETWEEN ?1 AND ?2 OR t.name = ?4 COLLATE NOCASE OR t.email = ?4 COLLATE NOCASE)"},
};

/* The lowest and the highest id that begin with these digits. */
static bool take_prefix(const char *text, uint8_t low[CRM_ID_BYTES], uint8_t high[CRM_ID_BYTES]) {
    enum { LEAST = 4, DIGITS = CRM_HEX_BYTES - 1 };
    size_t n = strlen(text);
    if (n < LEAST || n > DIGITS || strspn(text, "0123456789abcdefABCDEF") != n) return false;
    for (size_t i = 0; i < DIGITS; i++) {
        char digit[2] = {i < n ? text[i] : '0', 0};
        unsigned least = (unsigned)strtoul(digit, NULL, 16), most = i < n ? least : 15;
        low[i / 2] = (uint8_t)(i % 2 ? low[i / 2] | least : least << 4);
        high[i / 2] = (uint8_t)(i % 2 ? high[i / 2] | most : most << 4);
    }
    return true;
}

static sqlite3_stmt *ask(crm *c, const struct find *f, const char *text, const char *words, const char *tail) {
    uint8_t low[CRM_ID_BYTES], high[CRM_ID_BYTES];
    bool prefix = take_prefix(text, low, high);
    char *sql = sqlite3_mprintf("%s%s", f->sql, tail);
    sqlite3_stmt *q = sql ? crm_query(c, sql, "bbtt", NULL, NULL, words, text) : NULL;
    sqlite3_free(sql);
    if (q && prefix) {
        sqlite3_bind_blob(q, 1, low, sizeof low, SQLITE_TRANSIENT);
        sqlite3_bind_blob(q, 2, high, sizeof high, SQLITE_TRANSIENT);
    }
    return q;
}

static bool say_several(const struct find *f, const char *text, sqlite3_stmt *q) {
    enum { MOST = 10 };
    int n = 0;
    sqlite3_reset(q);
    crm_fail("several are meant by %s; give the id of one, or as much of it as stands here:", text);
    while (sqlite3_step(q) == SQLITE_ROW && n++ < MOST) {
        fprintf(stderr, "  %s  ", (const char *)sqlite3_column_text(q, 0));
        crm_put_clean(stderr, (const char *)sqlite3_column_text(q, 1));
        fputc('\n', stderr);
    }
    if (n > MOST) fprintf(stderr, "  and more; %s\n", f->look);
    return false;
}

/* The one row, or the one that is exactly what was asked for. */
static bool choose(crm *c, const struct find *f, const char *text, sqlite3_stmt *q, uint8_t id[CRM_ID_BYTES]) {
    int n = 0, exact = 0, rc;
    while ((rc = sqlite3_step(q)) == SQLITE_ROW && n < 2) {
        if (!n) memcpy(id, sqlite3_column_blob(q, 3), CRM_ID_BYTES);
        exact += sqlite3_column_int(q, 2) != 0;
        n++;
    }
    if (rc != SQLITE_ROW && rc != SQLITE_DONE) return !crm_fail_db(c, "cannot look it up");
    if (n == 1 || exact == 1) return true;
    if (n) return say_several(f, text, q);
    crm_fail("there is no %s %s here, by %s; %s", f->noun, text, f->known_by, f->look);
    return false;
}

bool crm_is_blank(const char *text) {
    return !text[strspn(text, " \t\r\n")];
}

bool crm_find(crm *c, crm_kind kind, const char *text, uint8_t id[CRM_ID_BYTES]) {
    const struct find *f = &finds[kind];
    if (crm_is_blank(text)) return !crm_fail("which %s? Name it by %s", f->noun, f->known_by);
    /* Only these are in the search index, under their noun. */
    bool by_words = kind == CRM_A_CONTACT || kind == CRM_A_COMPANY || kind == CRM_A_LEAD;
    char *words = by_words ? crm_search_words(c, text, f->noun, true) : NULL;
    sqlite3_stmt *q = words || !by_words ? ask(c, f, text, words, " ORDER BY 3 DESC, 2, 4 LIMIT 12") : NULL;
    bool found = q && choose(c, f, text, q, id);
    sqlite3_finalize(q);
    free(words);
    return found;
}

bool crm_find_stage(crm *c, const uint8_t deal[CRM_ID_BYTES], const char *text, uint8_t id[CRM_ID_BYTES]) {
    uint8_t low[CRM_ID_BYTES], high[CRM_ID_BYTES];
    bool prefix = take_prefix(text, low, high);
    sqlite3_stmt *q =
        crm_query(c,
                  "SELECT t.id FROM deal d JOIN stage own ON own.id = d.stage_id JOIN stage t ON t.pipeline_id = own.pipeline_id"
                  " WHERE d.id = ?1 AND (t.name = ?2 COLLATE NOCASE OR t.id BETWEEN ?3 AND ?4) LIMIT 2",
                  "btbb", deal, text, prefix ? low : NULL, prefix ? high : NULL);
    bool found = q && sqlite3_step(q) == SQLITE_ROW;
    if (found) memcpy(id, sqlite3_column_blob(q, 0), CRM_ID_BYTES);
    bool one = found && sqlite3_step(q) == SQLITE_DONE;
    sqlite3_finalize(q);
    if (one || !q) return one;
    char *name = crm_text(
        c, "SELECT p.name FROM deal d JOIN stage s ON s.id = d.stage_id JOIN pipeline p ON p.id = s.pipeline_id WHERE d.id = ?1",
        "b", deal);
    char *stages =
        crm_text(c,
                 "SELECT group_concat(name, ', ') FROM (SELECT t.name FROM deal d JOIN stage own ON own.id = d.stage_id"
                 " JOIN stage t ON t.pipeline_id = own.pipeline_id WHERE d.id = ?1 ORDER BY t.pos)",
                 "b", deal);
    crm_fail("there is no stage %s in the pipeline %s; the stages are: %s", text, name ? name : "", stages ? stages : "none");
    free(name);
    free(stages);
    return false;
}

bool crm_is_allowed(sqlite3_stmt *moves, const char *to, const char *what) {
    bool allowed = false;
    sqlite3_str *all = sqlite3_str_new(NULL);
    while (moves && !allowed && sqlite3_step(moves) == SQLITE_ROW) {
        const char *one = (const char *)sqlite3_column_text(moves, 0);
        allowed = one && !strcmp(one, to);
        sqlite3_str_appendf(all, "%s%s", sqlite3_str_length(all) ? ", " : "", one ? one : "");
    }
    char *list = sqlite3_str_finish(all);
    if (moves && !allowed) crm_fail("%s %s; allowed: %s", what, to, list ? list : "nothing");
    sqlite3_free(list);
    sqlite3_finalize(moves);
    return allowed;
}

bool crm_is_status(crm *c, const char *moves, const char *column) {
    if (!c->opt[CRM_STATUS]) return true;
    char *sql = sqlite3_mprintf("SELECT from_%s FROM %s UNION SELECT to_%s FROM %s", column, moves, column, moves);
    bool is = sql && crm_is_allowed(crm_query(c, sql, ""), c->opt[CRM_STATUS], "--status cannot be");
    sqlite3_free(sql);
    return is;
}
