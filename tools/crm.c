/* crm - the CRM on a device's file, with or without a network. The options and the table of verbs; the verbs are in crm_*.c. */
#include <errno.h>
#include <getopt.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tools/crm.h"

/* ---- options ---- */

static const struct option_words {
    const char *name, *value, *about; /* `value` NULL: it takes none */
} words[CRM_OPTIONS] = {
    [CRM_DB] = {"db", "FILE", "the device's file (default: $CRM_DB)"},
    [CRM_IDENTITY] = {"identity", "DIR", "key and certificates (default: FILE-satchel)"},
    [CRM_KEY_FILE] = {"key-file", "KEY", "FILE is encrypted with the bytes of KEY"},
    [CRM_USER] = {"user", "WHO", "who writes: a user's id, e-mail address or name (default: $CRM_USER)"},
    [CRM_JSON] = {"json", NULL, "print JSON, one object a line"},
    [CRM_HELP] = {"help", NULL, "this"},
    [CRM_VERSION] = {"version", NULL, NULL},
    [CRM_GIVEN] = {"given", "TEXT", "given name"},
    [CRM_FAMILY] = {"family", "TEXT", "family name"},
    [CRM_COMPANY] = {"company", "TEXT", "the company: of a contact the id or name of one that is here, of a lead any text"},
    [CRM_NEW_COMPANY] = {"new-company", "TEXT", "the company, which is new"},
    [CRM_TITLE] = {"title", "TEXT", "job title"},
    [CRM_EMAIL] = {"email", "ADDRESS", "e-mail address; a contact that has one gets another"},
    [CRM_PHONE] = {"phone", "NUMBER", "phone number; a contact that has one gets another"},
    [CRM_SOURCE] = {"source", "TEXT", "where it came from"},
    [CRM_REGION] = {"region", "CODE", "region code"},
    [CRM_SIZE] = {"size", "N", "the company's employees"},
    [CRM_STATUS] = {"status", "STATUS", "the status or state"},
    [CRM_LIFECYCLE] = {"lifecycle", "TEXT", "where the contact stands with us"},
    [CRM_TAG] = {"tag", "TAG", "put a tag on"},
    [CRM_UNTAG] = {"untag", "TAG", "take a tag off"},
    [CRM_STAGE] = {"stage", "NAME", "only deals in this stage"},
    [CRM_AMOUNT] = {"amount", "AMOUNT", "fill in the amount, such as 1200.50"},
    [CRM_CURRENCY] = {"currency", "CODE", "its currency (default: EUR, of a quote its deal's)"},
    [CRM_CLOSE] = {"close", "DATE", "fill in the day on which it is to close"},
    [CRM_NEXT_STEP] = {"next-step", "TEXT", "fill in the next step"},
    [CRM_LOST_REASON] = {"lost-reason", "TEXT", "fill in why it is lost"},
    [CRM_CHANNEL] = {"channel", "CHANNEL",
                     "meeting (default), phone, email, web, social, chat or pos; a meeting or pos counts as a visit"},
    [CRM_DIRECTION] = {"direction", "in|out", "who began it"},
    [CRM_SUBJECT] = {"subject", "TEXT", "what it was about"},
    [CRM_BODY] = {"body", "TEXT", "what was said"},
    [CRM_AT] = {"at", "DATE", "when, such as 2026-12-01 or '2026-12-01 14:30' (default: now)"},
    [CRM_DEAL] = {"deal", "DEAL", "the deal that it was about"},
    [CRM_KIND] =
        {"kind", "WORD",
         "of a visit what it was, such as demo_booked, which may move the deal; of a ticket question (default), problem or complaint"},
    [CRM_QTY] = {"qty", "N", "how many (default 1); 0 takes the line out"},
    [CRM_PRICE] = {"price", "AMOUNT", "the price of one (default: the product's)"},
    [CRM_VALID] = {"valid", "DATE", "until when the quote is valid"},
    [CRM_WHY] = {"why", "TEXT", "the reason, which stays with the request"},
    [CRM_MINE] = {"mine", NULL, "only those of --user"},
    [CRM_ALL] = {"all", NULL, "those that are done with, too"},
    [CRM_INTERNAL] = {"internal", NULL, "a comment that the customer does not see"},
    [CRM_LIMIT] = {"limit", "N", "rows at most (default 100)"},
};

const char *crm_option_name(crm_option o) {
    return words[o].name;
}

/* ---- verbs ---- */

#define O(x) ((uint64_t)1 << CRM_##x)
enum { LIMIT_DEFAULT = 100 };
static const uint64_t everywhere = O(DB) | O(IDENTITY) | O(KEY_FILE) | O(USER) | O(JSON) | O(HELP) | O(VERSION);
/* What a row may be without; nothing takes away what was there. */
static const uint64_t may_be_empty =
    O(GIVEN) | O(FAMILY) | O(TITLE) | O(REGION) | O(NEXT_STEP) | O(LOST_REASON) | O(SUBJECT) | O(BODY);
#define A_PERSON (O(GIVEN) | O(FAMILY) | O(TITLE) | O(REGION) | O(COMPANY) | O(EMAIL) | O(PHONE))

static const struct verb {
    const char *noun, *name, *operands, *about; /* `name` "": the noun is the verb */
    int least, most;                            /* operands */
    bool writes;
    uint64_t options;
    crm_verb *run;
} verbs[] = {
    {"contact", "find", "TEXT", "find contacts by name, company, e-mail address, or the end of a phone number", 1, 1, false,
     O(LIMIT), crm_contact_find},
    {"contact", "show", "CONTACT", "all that is here about a contact", 1, 1, false, O(LIMIT), crm_contact_show},
    {"contact", "add", "", "add a contact", 0, 0, true, A_PERSON | O(NEW_COMPANY) | O(SOURCE) | O(TAG), crm_contact_add},
    {"contact", "edit", "CONTACT", "change a contact", 1, 1, true,
     A_PERSON | O(NEW_COMPANY) | O(STATUS) | O(LIFECYCLE) | O(TAG) | O(UNTAG), crm_contact_edit},
    {"contact", "assign", "CONTACT USER", "give a contact that has no company to another, by asking the server", 2, 2, true,
     O(WHY), crm_contact_assign},
    {"company", "assign", "COMPANY USER", "give a company, with its contacts, to another, by asking the server", 2, 2, true,
     O(WHY), crm_company_assign},
    {"lead", "add", "", "add a lead", 0, 0, true, A_PERSON | O(SOURCE) | O(SIZE), crm_lead_add},
    {"lead", "list", "", "leads that are open, the best first", 0, 0, false, O(STATUS) | O(ALL) | O(LIMIT), crm_lead_list},
    {"lead", "status", "LEAD STATUS", "move a lead on", 2, 2, true, 0, crm_lead_status},
    {"lead", "convert", "LEAD", "make a qualified lead a company, a contact and a deal", 1, 1, true,
     O(COMPANY) | O(AMOUNT) | O(CURRENCY) | O(CLOSE) | O(NEXT_STEP), crm_lead_convert},
    {"lead", "assign", "LEAD USER", "give a lead to another, by asking the server", 2, 2, true, O(WHY), crm_lead_assign},
    {"deal", "list", "", "deals that are open, by stage", 0, 0, false, O(STAGE) | O(ALL) | O(LIMIT), crm_deal_list},
    {"deal", "show", "DEAL", "all that is here about a deal, and where it may move", 1, 1, false, O(LIMIT), crm_deal_show},
    {"deal", "move", "DEAL STAGE", "move a deal to a stage of its pipeline", 2, 2, true,
     O(AMOUNT) | O(CURRENCY) | O(CLOSE) | O(NEXT_STEP) | O(LOST_REASON), crm_deal_move},
    {"deal", "assign", "DEAL USER", "give a deal to another, by asking the server", 2, 2, true, O(WHY), crm_deal_assign},
    {"visit", "log", "CONTACT", "note that somebody met or spoke with a contact", 1, 1, true,
     O(CHANNEL) | O(DIRECTION) | O(SUBJECT) | O(BODY) | O(AT) | O(DEAL) | O(KIND), crm_visit_log},
    {"task", "list", "", "tasks that are open, by when they are due", 0, 0, false, O(MINE) | O(ALL) | O(LIMIT), crm_task_list},
    {"task", "due", "[DAYS]", "tasks that are due today, or within so many days, and those overdue", 0, 1, false,
     O(MINE) | O(LIMIT), crm_task_due},
    {"task", "done", "TASK", "a task is done", 1, 1, true, 0, crm_task_done},
    {"ticket", "list", "", "tickets that are open or pending, the most urgent first", 0, 0, false,
     O(STATUS) | O(MINE) | O(ALL) | O(LIMIT), crm_ticket_list},
    {"ticket", "show", "TICKET", "a ticket with its history", 1, 1, false, 0, crm_ticket_show},
    {"ticket", "add", "SUBJECT", "open a ticket; the server finds whose it is by --email or --phone", 1, 1, true,
     O(KIND) | O(CHANNEL) | O(EMAIL) | O(PHONE) | O(BODY), crm_ticket_add},
    {"ticket", "reply", "TICKET TEXT|-", "answer a ticket; - reads standard input", 2, 2, true, O(INTERNAL), crm_ticket_reply},
    {"ticket", "state", "TICKET STATE", "move a ticket on", 2, 2, true, 0, crm_ticket_state},
    {"ticket", "assign", "TICKET USER", "give a ticket to another, by asking the server", 2, 2, true, O(WHY), crm_ticket_assign},
    {"request", "list", "", "what was asked to be given to another, and what came of it, the newest first", 0, 0, false,
     O(MINE) | O(LIMIT), crm_request_list},
    {"quote", "list", "", "quotes that are drafts or sent, the newest first", 0, 0, false, O(STATUS) | O(ALL) | O(LIMIT),
     crm_quote_list},
    {"quote", "show", "QUOTE", "a quote with its lines, and what it may become", 1, 1, false, 0, crm_quote_show},
    {"quote", "add", "DEAL", "begin a quote; it has a provisional number until the server gives the final one", 1, 1, true,
     O(CURRENCY) | O(VALID), crm_quote_add},
    {"quote", "line", "QUOTE PRODUCT", "put a product on a quote, or change its line", 2, 2, true, O(QTY) | O(PRICE),
     crm_quote_line},
    {"quote", "send", "QUOTE", "say that a quote was sent", 1, 1, true, O(VALID), crm_quote_send},
    {"quote", "accept", "QUOTE", "say that the customer accepted, which may move the deal", 1, 1, true, 0, crm_quote_accept},
    {"quote", "status", "QUOTE STATUS", "move a quote on, such as to withdrawn or back to draft", 2, 2, true, 0,
     crm_quote_status},
    {"article", "find", "TEXT", "find articles and scripts by words of their title or text", 1, 1, false, O(LIMIT),
     crm_article_find},
    {"article", "show", "ARTICLE", "what an article says", 1, 1, false, 0, crm_article_show},
    {"search", "", "TEXT", "find contacts, companies and leads", 1, 1, false, O(LIMIT), crm_search},
};
enum { VERBS = sizeof verbs / sizeof *verbs };

/* ---- help ---- */

static void print_verbs(const char *noun) {
    for (int i = 0; i < VERBS; i++) {
        const struct verb *v = &verbs[i];
        if (noun && strcmp(noun, v->noun)) continue;
        char line[64];
        snprintf(line, sizeof line, "%s%s%s %s", v->noun, *v->name ? " " : "", v->name, v->operands);
        printf("  %-28s %s\n", line, v->about);
    }
}

static void print_options(uint64_t which) {
    for (int o = 0; o < CRM_OPTIONS; o++) {
        char line[64];
        if (!(which >> o & 1) || !words[o].about) continue;
        snprintf(line, sizeof line, "--%s%s%s", words[o].name, words[o].value ? " " : "", words[o].value ? words[o].value : "");
        printf("  %-28s %s\n", line, words[o].about);
    }
}

static int help(const char *noun, const struct verb *v) {
    if (v) {
        printf("usage: crm --db FILE %s%s%s%s%s [option...]\nTo %s.\n\n", v->noun, *v->name ? " " : "", v->name,
               *v->operands ? " " : "", v->operands, v->about);
        print_options(v->options);
    } else {
        printf(
            "usage: crm --db FILE %s [option...]\nThe CRM on a device's file; it needs no network. What it writes is sent by the next satchel sync.\n\n",
            noun ? noun : "VERB");
        print_verbs(noun);
        puts("\n'crm VERB --help' tells a verb's options. Everywhere:");
    }
    print_options(everywhere);
    puts(
        "\nA row is named by its id or the first digits of that, as lists show them, or by what it is known by: a contact's e-mail address, phone number or name.\n"
        "Exit status: 0 done, 1 failed, 2 wrong usage. See crm(1).");
    return 0;
}

/* ---- usage ---- */

static int wrong_usage(const char *what, const char *which) {
    fprintf(stderr, "crm: %s%s\nTry 'crm --help'.\n", what, which);
    return 2;
}

/* Reads the options into `c` and moves the operands behind them. -1 to go on, else the exit status. */
static int take_options(int argc, char **argv, crm *c) {
    struct option options[CRM_OPTIONS + 1] = {{0}};
    for (int o = 0; o < CRM_OPTIONS; o++)
        options[o] = (struct option){words[o].name, words[o].value ? required_argument : no_argument, NULL, 0};
    for (int which, got; (got = getopt_long(argc, argv, "", options, &which)) != -1;) {
        if (got) {
            fputs("Try 'crm --help'.\n", stderr);
            return 2;
        }
        if (c->opt[which]) return wrong_usage("an option is given twice: --", words[which].name);
        c->opt[which] = words[which].value ? optarg : "";
    }
    return -1;
}

static const struct verb *find_verb(const char *noun, const char *name) {
    for (int i = 0; noun && i < VERBS; i++)
        if (!strcmp(verbs[i].noun, noun) && (!*verbs[i].name || (name && !strcmp(verbs[i].name, name)))) return &verbs[i];
    return NULL;
}

static bool is_noun(const char *noun) {
    for (int i = 0; noun && i < VERBS; i++)
        if (!strcmp(verbs[i].noun, noun)) return true;
    return false;
}

static int check_usage(crm *c, const struct verb *v) {
    for (int o = 0; o < CRM_OPTIONS; o++) {
        if (c->opt[o] && words[o].value && !*c->opt[o] && !(may_be_empty >> o & 1))
            return wrong_usage("nothing is given with --", words[o].name);
        if (c->opt[o] && !((v->options | everywhere) >> o & 1)) {
            crm_fail("--%s does not belong to %s%s%s; try 'crm %s %s --help'", words[o].name, v->noun, *v->name ? " " : "",
                     v->name, v->noun, v->name);
            return 2;
        }
    }
    if (c->narg < v->least || c->narg > v->most) {
        crm_fail("%s%s%s takes %s%s; try 'crm %s %s --help'", v->noun, *v->name ? " " : "", v->name,
                 *v->operands ? v->operands : "no operand",
                 *v->operands && c->narg > v->most ? ", with quotes around what has several words" : "", v->noun, v->name);
        return 2;
    }
    if (!c->opt[CRM_DB]) return wrong_usage("--db FILE is missing", "");
    c->limit = LIMIT_DEFAULT;
    if (!c->opt[CRM_LIMIT]) return 0;
    char *end;
    c->limit = strtoll(c->opt[CRM_LIMIT], &end, 10);
    return *end || c->limit < 1 ? wrong_usage("--limit takes a number from 1, not ", c->opt[CRM_LIMIT]) : 0;
}

/* ---- running ---- */

/* Whether the file holds the CRM; else what to do. */
static bool is_ready(crm *c) {
    satchel_status_info info = {.size = sizeof info};
    if (satchel_get_status(c->s, &info)) return !crm_fail_db(c, "cannot read the file");
    if (!info.enrolled) {
        crm_fail(
            "%s is no device of a server yet: ask the office for a code, then 'satchel --db %s enroll CODE' and 'satchel --db %s sync'",
            c->opt[CRM_DB], c->opt[CRM_DB], c->opt[CRM_DB]);
        return false;
    }
    char *tables = crm_text(
        c, "SELECT count(*) FROM satchel_table WHERE name IN ('contact', 'account', 'lead', 'deal', 'task', 'ticket')", "");
    bool there = tables && !strcmp(tables, "6");
    free(tables);
    if (!there && !info.schema_epoch)
        crm_fail("%s holds nothing yet: 'satchel --db %s sync' fetches it", c->opt[CRM_DB], c->opt[CRM_DB]);
    else if (!there)
        crm_fail("%s is a device of a server with other tables than the CRM's", c->opt[CRM_DB]);
    else if (info.refused)
        fprintf(stderr, "crm: the server refused %llu of this device's changes: 'satchel --db %s rejected' shows them\n",
                (unsigned long long)info.refused, c->opt[CRM_DB]);
    return there;
}

/* Who writes, if the verb does or asks for one's own. */
static bool take_user(crm *c, const struct verb *v) {
    const char *who = c->opt[CRM_USER] ? c->opt[CRM_USER] : getenv("CRM_USER");
    if (!v->writes && !c->opt[CRM_MINE]) return true;
    if (who && *who) return crm_find(c, CRM_A_USER, who, c->user);
    char *users = crm_text(
        c, "SELECT group_concat(name, ', ') FROM (SELECT name FROM user_account WHERE active ORDER BY name LIMIT 8)", "");
    crm_fail("who are you? Give --user WHO, or set CRM_USER, to your e-mail address or name; users here are: %s",
             users ? users : "none");
    free(users);
    return false;
}

static bool begin(crm *c) {
    return sqlite3_exec(c->db, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK || !crm_fail_db(c, "cannot write now");
}

static bool commit(crm *c) {
    return sqlite3_exec(c->db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK || !crm_fail_db(c, "nothing was changed");
}

/* What did not reach its COMMIT is undone. */
static int run(crm *c, const struct verb *v) {
    bool ready = !v->writes || begin(c);
    int status = ready && take_user(c, v) ? v->run(c) : 1;
    if (v->writes && !status && !commit(c)) status = 1;
    if (!sqlite3_get_autocommit(c->db)) sqlite3_exec(c->db, "ROLLBACK", NULL, NULL, NULL);
    if (!status) crm_print_said(c);
    return status;
}

static int open_and_run(crm *c, const struct verb *v) {
    struct timespec now;
    int status = 1, rc = device_open(c->opt[CRM_DB], c->opt[CRM_IDENTITY], c->opt[CRM_KEY_FILE], SATCHEL_OPEN_EXISTING, &c->s);
    if (rc == SATCHEL_E_NOT_FOUND)
        fprintf(
            stderr,
            "To make it a device, ask the office for a code; then 'satchel --db %s enroll CODE' and 'satchel --db %s sync'.\n",
            c->opt[CRM_DB], c->opt[CRM_DB]);
    if (!rc) {
        clock_gettime(CLOCK_REALTIME, &now);
        c->now_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
        c->db = satchel_db(c->s);
        if (crm_functions(c))
            crm_fail_db(c, "cannot begin");
        else if (is_ready(c))
            status = run(c, v);
    }
    satchel_close(c->s);
    return status;
}

int main(int argc, char **argv) {
    crm c = {0};
    setlocale(LC_ALL, "C.UTF-8"); /* names are UTF-8 wherever this runs */
    int status = take_options(argc, argv, &c);
    if (status >= 0) return status;
    const char *noun = optind < argc ? argv[optind] : NULL, *name = optind + 1 < argc ? argv[optind + 1] : NULL;
    const struct verb *v = find_verb(noun, name);
    if (c.opt[CRM_VERSION]) return printf("crm %s\n", satchel_version()) < 0;
    if (c.opt[CRM_HELP] && (v || !name) && (!noun || is_noun(noun))) return help(noun, v);
    if (!noun) return wrong_usage("a verb is missing", "");
    if (!v) return wrong_usage(is_noun(noun) ? "there is no such verb of " : "there is no verb ", noun);
    int taken = *v->name ? 2 : 1;
    c.narg = argc - optind - taken;
    c.arg = argv + optind + taken;
    c.json = c.opt[CRM_JSON];
    if (!c.opt[CRM_DB]) c.opt[CRM_DB] = getenv("CRM_DB");
    status = check_usage(&c, v);
    if (!status) status = open_and_run(&c, v);
    if (!fflush(stdout) && !ferror(stdout)) return status;
    return crm_fail("cannot write the output: %s", strerror(errno));
}
