/* console_private.h - what the files of the admin's reads share: what a worker reads with.
 *
 * GET /v1/admin/... : console.c begins and ends a read and gives its connection SQL functions; console_lists.c has the paths, and the lists, which are data (console_list.h);
 * console_overview.c how all is and figures over time, console_device.c one device, console_feed.c changes, console_history.c who wrote what, conflicts and refusals, console_rows.c
 * rows of data and reports, console_rules.c what is in force, console_profiles.c who has it, console_users.c whose the devices are. All but console_explain run on libuv's workers. */
#ifndef SERVER_CONSOLE_PRIVATE_H
#define SERVER_CONSOLE_PRIVATE_H

#include "server/api_private.h"
#include "server/console_list.h"
#include "server/history.h"
#include "server/scope_private.h"
#include "server/store_private.h"

/* Silent is who was not here for so long, late who lacks something that is so old. */
#define CONSOLE_SILENT_MS 86400000
#define CONSOLE_LATE_MS 3600000
#define CONSOLE_TEXT_OF(macro) #macro
#define CONSOLE_MS(macro) CONSOLE_TEXT_OF(macro)
/* Of a device d: how long ago the first commit that it lacks was made; and how it is. ?1 is now, ?2 the newest seq. */
#define CONSOLE_LAG                                                                                                              \
    "iif(d.acked_seq>=?2,0,coalesce(max(0,?1-(SELECT l.at_ms FROM satchel_log l WHERE l.id>=(d.acked_seq+1)<<24 ORDER BY l.id LIMIT 1)),0))"
#define CONSOLE_HEALTH                                                                                                           \
    "CASE WHEN d.state<>1 THEN 'off' WHEN d.last_seen_ms=0 THEN 'never'"                                                         \
    " WHEN d.last_seen_ms<?1-" CONSOLE_MS(                                                                                       \
        CONSOLE_SILENT_MS) " AND NOT console_online(d.id) THEN 'silent'"                                                         \
                           " WHEN " CONSOLE_LAG                                                                                  \
                           ">" CONSOLE_MS(CONSOLE_LATE_MS) " OR (d.pending>0 AND d.last_seen_ms<?1-" CONSOLE_MS(                 \
                               CONSOLE_LATE_MS) ") THEN 'late' ELSE 'current' END"

/* It may come, has a profile, and was not here since the rules in force were published. Who was and is to hold what he held before is noted with no other view, so that is not asked. */
#define CONSOLE_UNSETTLED                                                                                                        \
    "d.state IN (1,4) AND d.profile IS NOT NULL AND"                                                                             \
    " d.last_seen_ms<coalesce((SELECT s.at_ms FROM satchel_scope s ORDER BY s.version DESC LIMIT 1),0)"

/* Of one reader. SQL functions of its connection:
 *   console_table(id) console_column(table,id)        their names
 *   console_rule(n) console_code(rc) console_reason(rc)   names of a merge rule, of a code, of the rule that a code tells; NULL for 0
 *   console_error(rc)                                 console_code, but NULL where a connection ended as it should
 *   console_literals(blob)                            values that value_put wrote, as people read them; NULL for NULL
 *   console_label(table,key)                          what a row is called; NULL: it is not there, or has no text
 *   console_home(key)                                 the table that has the row of a key; NULL: none has, or a number, which tells no table
 *   console_made(stamp,author,at_ms)                  when something was made; NULL for what the server made at its commit
 *   console_online(device) console_holds(view,set)    whether it is connected; whether a view has rows of the set
 *   console_key(value,...)                            values as people read them, with commas between
 *   console_clock(clock,n)                            of the newest commit in a row's clock: 0 its seq, 1 the author, 2 the stamp
 *   satchel_now()                                     the time, for views */
typedef struct console {
    service *service;
    pages *file;
    const schema *schema;
    store over; /* the connection as a store, for functions that only read one */
    int64_t now_ms;
    api_position at;
    history_sync *open; /* connections, by device; NULL: not asked for yet */
    size_t nopen;
    int open_rc;
    sqlite3_stmt **label; /* by place in the schema's tables; NULL: not asked for yet */
    unsigned home;        /* where console_home found one last */
} console;

void console_free(console *k);

/* Begins a read: NULL after answering. */
console *console_begin(api_call *c, api_reader *r);
/* Ends it, and answers what failed: rc is the reading's; SATCHEL_E_MISUSE and _NOT_FOUND with words. */
void console_end(api_call *c, api_reader *r, console *k, int rc, const buf *words);
/* Appends "as_of":{...}. */
void console_put_as_of(const console *k, buf *out);

/* The connection of a device that is open, or NULL. What kept it from being looked at the end of the read answers. */
const history_sync *console_open_of(console *k, int64_t device);
/* Appends the SQL of what a row of the table is called, over its columns; "NULL" if nothing tells. */
void console_put_label(buf *sql, const schema_table *t);
void console_put_key_columns(buf *sql, const schema_table *t);
/* " FROM table WHERE (key)=(?,...)": of one row, whose key is bound in its order. */
void console_put_from_row(buf *sql, const schema_table *t);

/* What the request asks of a list, with the parameters that every list has: ?1 now, ?2 the newest seq, ?3 how long a device may stay away, ?4 `id`, ?5 `text` (borrowed; may
 * be NULL). False after answering. */
bool console_take_ask(api_call *c, const console *k, int64_t id, const char *text, console_ask *ask);
/* A list from begin to end. */
void console_answer(api_call *c, api_reader *r, console *k, const console_source *s, int64_t id, const char *text);
/* And with more members, ,"name":..., in an answer that is no CSV. */
void console_answer_more(api_call *c, api_reader *r, console *k, const console_source *s, int64_t id, const char *text,
                         const buf *more);
/* Appends the first row of a SELECT as an object (null: there is none), or all of them as an array of objects; members are named as its columns are. A name that begins with ? is that of
 * a boolean, with ! of what is JSON already. It has the parameters of lists. */
int console_put_object(const console *k, const char *sql, int64_t id, const char *text, buf *out);
int console_put_rows(const console *k, const char *sql, int64_t id, const char *text, buf *out);
/* Appends one item alone (console_item), with the parameters that every list has. */
int console_put_one(const console *k, const console_source *s, int64_t id, const char *text, buf *out);

/* ,"name":"text" or null; ,"name":n. */
void console_put_text(buf *out, const char *name, const char *text);
void console_put_integer(buf *out, const char *name, int64_t n);
/* The integer in the path; false after answering. */
bool console_take_id(api_call *c, const char *text, int64_t *out);
/* A whole answer: what `put` says of the one whose number the path names. */
void console_tell_one(api_call *c, api_reader *r, int (*put)(console *k, int64_t id, buf *out, buf *words));

/* Lists that other files give one item of. */
extern const console_source CONSOLE_DEVICES, CONSOLE_CONFLICTS, CONSOLE_REFUSALS, CONSOLE_SYNCS_OF_DEVICE;

/* Who wrote something: joined to an author's number. */
typedef struct console_author {
    char name[LIMIT_NAME_BYTES + 1]; /* "server" */
    int64_t device;                  /* 0: none */
    char user[DEVICE_LITERAL_BYTES]; /* "": nobody's */
} console_author;
int console_find_author(const console *k, int64_t author, console_author *out);
/* ,"device":...,"device_id":...,"user":... */
void console_put_author(const console_author *a, buf *out);
/* When a stamp was made: 0 if it was the server, at its commit. */
int64_t console_made_ms(uint64_t stamp, int64_t author);
/* Appends ,"made_ms":... */
void console_put_made(uint64_t stamp, int64_t author, buf *out);

/* ---- rows of data ---- */

/* A table's rows as a list. */
typedef struct console_data {
    console_source source;
    console_column *column;
    buf text; /* what the source's texts are in */
} console_data;
/* Without the columns that the view masks (NULL: none is). `where` is SQL over the row, or "". */
int console_data_make(const schema_table *t, const view *v, const char *where, console_data *out);
void console_data_fini(console_data *d);

/* A row that a request names. */
typedef struct console_row_named {
    const schema_table *t;
    scope_named row; /* key and bytes */
} console_row_named;
/* SATCHEL_E_NOT_FOUND, SATCHEL_E_MISUSE with words. */
int console_name_row(const console *k, const char *table, const char *key, console_row_named *out, buf *words);
void console_row_fini(console_row_named *n);
/* Appends the row as it is: ,"exists":...,"fields":[...] (`only` that one; NULL: all), and its set, -1 if there is none. */
int console_put_fields(const console *k, const console_row_named *n, const schema_column *only, int64_t *set, buf *out);
/* Appends ,"key":...,"label":... */
int console_put_row_label(console *k, const console_row_named *n, buf *out);
/* Which view a device is to hold, as it was last worked out: 0 for everything; -1: never. */
int console_view_of(const console *k, int64_t device, int64_t *view);
/* Appends an array of the names of the buckets in a list of 4-byte ids. */
int console_put_buckets(const console *k, const char *sql, int64_t id, buf *out);
/* How many rows of a table a view has, and about how many bytes their values are. */
int console_count_rows(const console *k, const schema_table *t, int64_t view, int64_t *rows, int64_t *bytes);
/* Appends {"as_of":...,"items":[{"table","rows","bytes"},...],"rows":N,"bytes":N}, of all tables, each counted by `count` from 0 on. */
typedef int (*console_count)(const console *k, const schema_table *t, void *ctx, int64_t *rows, int64_t *bytes);
int console_put_tables(const console *k, console_count count, void *ctx, buf *out);
/* Appends SQL that estimates the bytes of a row's values, by the table's first rows; 0 for none. */
void console_put_row_bytes(buf *sql, const schema_table *t);

/* ---- the routes ---- */

extern const api_route console_routes[];
extern const size_t console_nroutes;

void console_lists(api_call *c, api_reader *r);
void console_overview(api_call *c, api_reader *r);
void console_device(api_call *c, api_reader *r);
void console_device_syncs(api_call *c, api_reader *r);
void console_device_rows(api_call *c, api_reader *r);
void console_conflict(api_call *c, api_reader *r);
void console_refusal(api_call *c, api_reader *r);
void console_changes(api_call *c, api_reader *r);
void console_history(api_call *c, api_reader *r);
void console_explain(api_call *c); /* on the loop: it is asked on the writer */
void console_scope(api_call *c, api_reader *r);
void console_profiles(api_call *c, api_reader *r);
void console_device_users(api_call *c, api_reader *r);
void console_holds(api_call *c, api_reader *r);
void console_samples(api_call *c, api_reader *r);
void console_automations(api_call *c, api_reader *r);
void console_backups(api_call *c, api_reader *r);
void console_schema(api_call *c, api_reader *r);
void console_tables(api_call *c, api_reader *r);
void console_rows(api_call *c, api_reader *r);
void console_row(api_call *c, api_reader *r);
void console_reports(api_call *c, api_reader *r);
void console_report(api_call *c, api_reader *r);

#endif
