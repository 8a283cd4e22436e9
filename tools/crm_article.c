/* crm article. */
#include "tools/crm.h"

/* Words may have others between them. */
int crm_article_find(crm *c) {
    return crm_print_table(
        c, NULL,
        crm_query(
            c,
            "SELECT crm_id('kb_article', w.article_id) AS id, w.kind, w.title, CASE w.published WHEN 1 THEN '' ELSE 'draft' END AS state, w.version,"
            " o.title AS copy_of, crm_id(w.copy_of) AS \".copy_of_id\" FROM article_words w LEFT JOIN kb_article o ON o.id = w.copy_of"
            " WHERE w.words LIKE '%' || replace(fold(trim(?1)), ' ', '%') || '%' ORDER BY w.published DESC, w.title, w.article_id LIMIT ?2",
            "ti", c->arg[0], &c->limit));
}

int crm_article_show(crm *c) {
    static const char card[] =
        "SELECT crm_id('kb_article', t.id) AS id, t.title, t.kind, CASE t.published WHEN 1 THEN 'yes' ELSE 'no' END AS published, t.version,"
        " t.body FROM kb_article t WHERE t.id = ?1";
    static const crm_part parts[] = {
        {"written at the same time",
         "SELECT crm_id('kb_article', t.id) AS id, t.body FROM kb_article t WHERE t.copy_of = ?1 ORDER BY t.id"},
    };
    uint8_t id[CRM_ID_BYTES];
    return crm_find(c, CRM_AN_ARTICLE, c->arg[0], id) ? crm_show(c, id, card, parts, sizeof parts / sizeof *parts) : 1;
}
