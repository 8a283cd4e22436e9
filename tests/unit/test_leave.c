/* Rows that leave and enter a device's view: what becomes of pending edits, and of everything that the device knew of the row. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/satchel_rc.h"
#include "protocol/unseen.h"
#include "tests/support/replica_fixture.h"

static void give(fixture *x, uint64_t seq, delta_row row) {
    assert_int_equal(page_apply(x, seq, &row, 1), SATCHEL_OK);
}

static void leave(fixture *x, uint64_t seq, const char *key) {
    give(x, seq, row_of(ITEM, DELTA_LEAVE, key));
}

/* An item at 10, of which this device changes the price, as of 10. */
static void begin(fixture *x) {
    give(x, 10, item_put("a", "Ann", 5, 100));
    app_sql(x, "UPDATE item SET price=6 WHERE id='a'");
}

/* ---- pending edits ---- */

/* What the next push would send, as "number@base" or with " COLUMN@SEEN" for what its author had not seen. */
static const char *sent(fixture *x) {
    static char text[400];
    buf message;
    push_reader reader;
    push_txn t;
    uint64_t last, base;
    uint32_t column;
    outbox_cursor at = {0};
    unseen_reader hidden;
    unseen_row row;
    size_t n = 0;
    text[0] = 0;
    buf_init(&message, 0);
    assert_int_equal(file_begin(x->f), SATCHEL_OK);
    assert_int_equal(outbox_push(x->f, &at, &message, &last), 1);
    assert_int_equal(file_end(x->f, SATCHEL_OK), SATCHEL_OK);
    assert_int_equal(message_check(message.p, message.n), SATCHEL_OK);
    assert_int_equal(push_open(&reader, message.p, message.n), SATCHEL_OK);
    while (push_next(&reader, &t) == 1) {
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%llu@%llu", n ? ", " : "", (unsigned long long)t.number,
                              (unsigned long long)t.base);
        if (!t.nunseen) continue;
        unseen_open(&hidden, t.unseen, t.nunseen);
        while (unseen_next(&hidden, &row) == 1)
            while (unseen_column(&row, &column, &base))
                n += (size_t)snprintf(text + n, sizeof text - n, " %u@%llu", column, (unsigned long long)base);
    }
    buf_fini(&message);
    return text;
}

static void S3_edit_of_a_row_that_left_is_not_shown_and_is_sent_with_its_base(void **state) {
    fixture *x = *state;
    begin(x);
    leave(x, 15, "a");
    assert_string_equal(item(x, "a"), "-");
    fixture_reopen(x);
    assert_string_equal(item(x, "a"), "-");
    assert_string_equal(sent(x), "1@10");
    assert_sound(x);
    accept_at(x, 1, 16);
    assert_int_equal(page_apply(x, 16, NULL, 0), SATCHEL_OK);
    assert_string_equal(item(x, "a"), "-");
    assert_int_equal(app_integer(x, "SELECT state FROM satchel_outbox WHERE n=1"), TXN_CONFIRMED);
    assert_int_equal(bases(x), 0);
    assert_sound(x);
}

static void S3_refusal_of_an_edit_of_a_row_that_left_shows_nothing(void **state) {
    fixture *x = *state;
    begin(x);
    leave(x, 15, "a");
    refuse_with(x, 1, SATCHEL_E_SCOPE, "no");
    assert_string_equal(item(x, "a"), "-");
    assert_int_equal(bases(x), 0);
    assert_sound(x);
}

/* A tombstone where updates win shows the row to a pending update; a row that left does not, also if it was deleted before. */
static void leave_is_no_deletion_where_updates_win(void **state) {
    fixture *x = *state;
    begin(x);
    give(x, 15, row_of(ITEM, DELTA_DELETE, "a"));
    assert_string_equal(item(x, "a"), "Ann|6|100|~");
    leave(x, 16, "a");
    assert_string_equal(item(x, "a"), "-");
    assert_int_equal(app_integer(x, "SELECT state FROM satchel_base WHERE row IS NULL"), 3);
    /* Nothing that may be told of it meanwhile brings it back. */
    give(x, 17, item_set("a", ITEM_NAME, text_of("theirs")));
    give(x, 18, row_of(ITEM, DELTA_DELETE, "a"));
    assert_string_equal(item(x, "a"), "-");
    assert_sound(x);
}

static void row_that_enters_again_shows_the_edits_that_wait(void **state) {
    fixture *x = *state;
    begin(x);
    app_sql(x, "UPDATE item SET stock=stock+7 WHERE id='a'");
    leave(x, 15, "a");
    fixture_reopen(x);
    give(x, 20, item_put("a", "Anna", 9, 50));
    assert_string_equal(item(x, "a"), "Anna|6|57|~");
    refuse_with(x, 1, SATCHEL_E_CHECK, "no");
    assert_string_equal(item(x, "a"), "Anna|9|57|~");
    assert_sound(x);
}

/* It is a row of one's own, whatever becomes of it. */
static void insert_over_a_row_that_left_is_shown_until_it_is_judged(void **state) {
    fixture *x = *state;
    begin(x);
    leave(x, 15, "a");
    app_sql(x, "INSERT INTO item(id, name) VALUES('a', 'mine')");
    leave(x, 16, "a");
    assert_string_equal(item(x, "a"), "mine|~|~|~");
    refuse_with(x, 1, SATCHEL_E_SCOPE, "no");
    assert_string_equal(item(x, "a"), "mine|~|~|~");
    refuse_with(x, 2, SATCHEL_E_KEY_TAKEN, "no");
    assert_string_equal(item(x, "a"), "-");
    assert_int_equal(bases(x), 0);
    assert_sound(x);
}

static void leave_of_a_row_that_never_was_here_changes_nothing(void **state) {
    fixture *x = *state;
    app_sql(x, "INSERT INTO item(id, name) VALUES('new', 'mine')");
    leave(x, 10, "new");
    leave(x, 11, "other");
    assert_string_equal(item(x, "new"), "mine|~|~|~");
    app_sql(x, "UPDATE item SET name='again' WHERE id='new'");
    assert_string_equal(sent(x), "1@0, 2@11");
    accept_at(x, 1, 12);
    give(x, 12, item_put("new", "mine", 1, 1));
    assert_string_equal(item(x, "new"), "again|1|1|~");
    assert_sound(x);
}

/* S2: who holds both buckets is sent the whole row again. */
static void S2_put_of_a_row_that_is_there_never_blinks(void **state) {
    fixture *x = *state;
    begin(x);
    give(x, 11, item_put("b", "Bob", 1, 1));
    sqlite3_exec(x->f->db,
                 "CREATE TEMP TABLE seen(n); CREATE TEMP TRIGGER d AFTER DELETE ON item BEGIN INSERT INTO seen VALUES(1); END;"
                 "CREATE TEMP TRIGGER i AFTER INSERT ON item BEGIN INSERT INTO seen VALUES(1); END;",
                 NULL, NULL, NULL);
    give(x, 15, item_put("a", "Anna", 7, 101));
    give(x, 16, item_put("b", "Bert", 2, 2));
    assert_string_equal(item(x, "a"), "Anna|6|101|~");
    assert_string_equal(item(x, "b"), "Bert|2|2|~");
    int64_t seen = -1;
    assert_int_equal(db_integer(&x->f->sql, "SELECT count(*) FROM seen", 0, &seen), SATCHEL_OK);
    assert_int_equal(seen, 0);
    assert_sound(x);
}

/* ---- what the author has not seen (M16) ---- */

static void M16_what_became_of_a_row_while_it_was_away_was_not_seen(void **state) {
    fixture *x = *state;
    begin(x);
    app_sql(x, "UPDATE item SET note='n' WHERE id='a'");
    leave(x, 15, "a");
    assert_int_equal(page_apply(x, 18, NULL, 0), SATCHEL_OK);
    refuse_with(x, 2, SATCHEL_E_CHECK, "no");
    give(x, 20, item_put("a", "Anna", 9, 50));
    app_sql(x, "UPDATE item SET price=7 WHERE id='a'; UPDATE item SET name='mine' WHERE id='a'");
    assert_string_equal(sent(x), "1@10, 3@20 3@10, 4@20 3@10");
    assert_sound(x);
}

static void M16_what_was_hidden_before_a_row_left_stays_hidden(void **state) {
    fixture *x = *state;
    begin(x);
    app_sql(x, "UPDATE item SET name='mine' WHERE id='a'");
    give(x, 12, item_set("a", ITEM_PRICE, value_integer(9)));
    leave(x, 15, "a");
    fixture_reopen(x);
    give(x, 20, item_put("a", "Anna", 9, 50));
    app_sql(x, "UPDATE item SET price=7 WHERE id='a'");
    assert_string_equal(sent(x), "1@10, 2@10, 3@20 2@12 3@10");
}

static void M16_insert_over_a_row_that_is_away_does_not_know_it(void **state) {
    fixture *x = *state;
    begin(x);
    leave(x, 15, "a");
    assert_int_equal(page_apply(x, 18, NULL, 0), SATCHEL_OK);
    app_sql(x, "INSERT INTO item(id, name) VALUES('a', 'mine')");
    assert_string_equal(sent(x), "1@10, 2@18 0@10");
}

/* ---- a random history of one row against what its author can have seen ---- */

enum { COLUMNS = 2 };
typedef struct seen_row {
    bool away;
    int64_t value[COLUMNS];  /* on the server: name (as a number), price */
    uint64_t moved[COLUMNS]; /* by others, last at this seq; 0: by the device itself */
    bool seen[COLUMNS];      /* and the app has shown it since */
    uint64_t seq;            /* the newest */
    int64_t fresh;           /* what is set is minus the transaction's number */
    uint8_t column[500];     /* that a transaction sets */
} seen_row;

static uint64_t roll(uint64_t *seed, uint64_t n) {
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (*seed >> 33) % n;
}

/* The server's page: the whole row, or nothing of it. */
static void tell(fixture *x, seen_row *r, bool leaves) {
    char name[24];
    snprintf(name, sizeof name, "%lld", (long long)r->value[0]);
    delta_row row = r->away ? row_of(ITEM, DELTA_LEAVE, "a") : item_put("a", name, r->value[1], 0);
    assert_int_equal(page_apply(x, ++r->seq, &row, !r->away || leaves), SATCHEL_OK);
}

static void look(fixture *x, seen_row *r) {
    static const char *const SHOWN[COLUMNS] = {"SELECT CAST(name AS INTEGER) FROM item", "SELECT price FROM item"};
    if (strcmp(item(x, "a"), "-") == 0) return;
    for (unsigned c = 0; c < COLUMNS; c++) r->seen[c] |= app_integer(x, SHOWN[c]) == r->value[c];
}

/* Up to where the author of transaction `number` says to have seen the column. */
static uint64_t seen_of(fixture *x, uint64_t number, uint32_t column) {
    sqlite3_stmt *q;
    char sql[80];
    unseen_reader reader;
    unseen_row row;
    uint32_t id;
    uint64_t base;
    snprintf(sql, sizeof sql, "SELECT base, unseen FROM satchel_outbox WHERE n=%llu", (unsigned long long)number);
    assert_int_equal(sqlite3_prepare_v2(x->app, sql, -1, &q, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(q), SQLITE_ROW);
    uint64_t seen = (uint64_t)sqlite3_column_int64(q, 0);
    unseen_open(&reader, sqlite3_column_blob(q, 1), (size_t)sqlite3_column_bytes(q, 1));
    while (sqlite3_column_bytes(q, 1) && unseen_next(&reader, &row) == 1)
        while (unseen_column(&row, &id, &base))
            if (id == column) seen = base;
    assert_int_equal(sqlite3_finalize(q), SQLITE_OK);
    return seen;
}

static void edit(fixture *x, seen_row *r, unsigned c, uint64_t seed) {
    char sql[80];
    if (strcmp(item(x, "a"), "-") == 0) return;
    snprintf(sql, sizeof sql, "UPDATE item SET %s=%lld", c ? "price" : "name", (long long)--r->fresh);
    app_sql(x, sql);
    uint64_t number = (uint64_t)app_integer(x, "SELECT max(n) FROM satchel_outbox");
    assert_true(number < sizeof r->column);
    r->column[number] = (uint8_t)c;
    uint64_t seen = seen_of(x, number, c ? ITEM_PRICE : ITEM_NAME);
    if (r->moved[c] && r->seen[c] != (seen >= r->moved[c]))
        fail_msg("seed %llu: %llu says seen up to %llu, what moved at %llu was %s", (unsigned long long)seed,
                 (unsigned long long)number, (unsigned long long)seen, (unsigned long long)r->moved[c],
                 r->seen[c] ? "seen" : "not seen");
}

/* The lowest that waits is accepted, and wins; or it is refused. */
static void judge(fixture *x, seen_row *r, bool accepted) {
    if (!app_integer(x, "SELECT count(*) FROM satchel_outbox WHERE state=0")) return;
    uint64_t number = (uint64_t)app_integer(x, "SELECT min(n) FROM satchel_outbox WHERE state=0");
    if (!accepted) {
        refuse_with(x, number, SATCHEL_E_CHECK, "no");
        return;
    }
    unsigned c = r->column[number];
    r->value[c] = -(int64_t)number;
    r->moved[c] = 0;
    accept_at(x, number, r->seq + 1);
    tell(x, r, false);
}

static void run_history(fixture *x, uint64_t seed) {
    uint64_t s = seed * 2654435761u + 1;
    seen_row r = {.value = {1, 1}, .seen = {true, true}, .seq = (uint64_t)app_integer(x, "SELECT cursor FROM satchel_state")};
    r.fresh = -app_integer(x, "SELECT coalesce(max(n), 0) FROM satchel_outbox");
    tell(x, &r, false);
    for (unsigned step = 0; step < 60; step++) {
        unsigned c = (unsigned)roll(&s, COLUMNS);
        switch (r.away ? 2 + roll(&s, 4) : roll(&s, 7)) {
        case 0:
        case 1:
            edit(x, &r, c, seed);
            break;
        case 2:
        case 3: /* another's edit, told or not */
            r.value[c] = (int64_t)(1000 + ++r.seq);
            r.moved[c] = r.seq + !r.away;
            r.seen[c] = false;
            if (!r.away || roll(&s, 2)) tell(x, &r, false);
            break;
        case 4:
            r.away = !r.away;
            tell(x, &r, true);
            break;
        case 5:
            judge(x, &r, roll(&s, 2));
            break;
        default:
            if (roll(&s, 4) == 0) fixture_reopen(x);
        }
        look(x, &r);
    }
    while (app_integer(x, "SELECT count(*) FROM satchel_outbox WHERE state=0")) judge(x, &r, true);
    assert_int_equal(bases(x), 0);
    assert_sound(x);
    r.away = true;
    tell(x, &r, true);
}

static void M16_S3_random_histories_say_what_their_author_had_seen(void **state) {
    for (uint64_t seed = 1; seed <= 20; seed++) run_history(*state, seed);
}

/* ---- nothing stays ---- */

/* The tables, but for the synced ones, with a value that holds this text. */
static const char *holders(fixture *x, const char *secret) {
    static char found[200];
    sqlite3_stmt *q;
    found[0] = 0;
    assert_int_equal(
        sqlite3_prepare_v2(x->app,
                           "SELECT t.name, c.name FROM sqlite_schema t JOIN pragma_table_info(t.name) c WHERE t.type='table' AND "
                           "t.name LIKE 'satchel%' AND t.sql NOT LIKE 'CREATE VIRTUAL%' ORDER BY t.name, c.cid",
                           -1, &q, NULL),
        SQLITE_OK);
    while (sqlite3_step(q) == SQLITE_ROW) {
        char sql[300];
        snprintf(sql, sizeof sql, "SELECT count(*) FROM %s WHERE instr(CAST(\"%s\" AS BLOB), CAST('%s' AS BLOB))",
                 sqlite3_column_text(q, 0), sqlite3_column_text(q, 1), secret);
        if (app_integer(x, sql)) snprintf(found + strlen(found), sizeof found - strlen(found), "%s;", sqlite3_column_text(q, 0));
    }
    assert_int_equal(sqlite3_finalize(q), SQLITE_OK);
    return found;
}

static void lose(fixture *x, const char *table, const char *key) {
    char sql[300];
    snprintf(sql, sizeof sql,
             "INSERT INTO satchel_conflicts(n, seq, tbl, col, key, kept, lost, rule, kept_ms, lost_ms, kept_author)"
             " VALUES(1, 5, '%s', 'name', '%s', 'kept secret', 'lost word', 'lww', 1, 1, 1)",
             table, key);
    app_sql(x, sql);
}

static void S5_of_a_row_that_left_nothing_stays_beside_it(void **state) {
    fixture *x = *state;
    give(x, 10, item_put("a", "a secret", 5, 100));
    app_sql(x, "UPDATE item SET price=6 WHERE id='a'");
    give(x, 11, item_set("a", ITEM_NOTE, text_of("another secret")));
    lose(x, "item", "a");
    lose(x, "item", "b");
    lose(x, "tag", "a");
    assert_string_equal(holders(x, "secret"), "satchel_base;satchel_conflicts;");
    leave(x, 15, "a");
    assert_string_equal(app_text(x, "SELECT group_concat(tbl || key) FROM satchel_conflicts WHERE kept IS NOT NULL"),
                        "itemb,taga");
    assert_string_equal(app_text(x, "SELECT lost || kept_ms || kept_author FROM satchel_conflicts WHERE kept IS NULL"),
                        "lost word00");
    app_sql(x, "DELETE FROM satchel_conflicts");
    assert_string_equal(holders(x, "secret"), "");
    assert_int_equal(bases(x), 1);
    refuse_with(x, 1, SATCHEL_E_SCOPE, "no");
    assert_int_equal(bases(x), 0);
}

/* A losses' row has the name that its table had then, and the key as people read it. */
static void S5_what_it_lost_to_goes_with_the_row_under_every_name_of_the_table(void **state) {
    fixture *x = *state;
    delta_row pair = {.table = PAIR, .op = DELTA_LEAVE, .nkey = 2};
    pair.key[0] = text_of("b");
    pair.key[1] = value_integer(3);
    lose(x, "pair", "b, 3");
    lose(x, "pair", "b, 4");
    assert_int_equal(fixture_migrate(x, "ALTER TABLE pair RENAME TO couple;"), SATCHEL_OK);
    lose(x, "couple", "b, 3");
    give(x, 10, pair);
    assert_string_equal(app_text(x, "SELECT group_concat(tbl || key) FROM satchel_conflicts WHERE kept IS NOT NULL"), "pairb, 4");
}

static void S5_verify_finds_values_of_a_row_that_left(void **state) {
    fixture *x = *state;
    buf report = {0};
    begin(x);
    leave(x, 15, "a");
    assert_sound(x);
    app_sql(x, "UPDATE satchel_base SET row=x'02030161'");
    assert_int_equal(file_verify(x->f, &report), SATCHEL_E_CORRUPT);
    buf_put_byte(&report, 0);
    assert_non_null(strstr((const char *)report.p, "values of 1 rows that this device does not hold"));
    buf_fini(&report);
}

/* ---- a put is a whole row ---- */

static void make_wide(fixture *x) {
    assert_int_equal(
        fixture_migrate(x, "CREATE TABLE wide(id TEXT PRIMARY KEY, a TEXT, b INTEGER NOT NULL DEFAULT 7, c TEXT, d TEXT "
                           "NOT NULL DEFAULT (lower('HERE')));"
                           "INSERT INTO satchel_table(name) VALUES('wide');"),
        SATCHEL_OK);
}

static delta_row wide(const char *key, bool whole) {
    delta_row r = row_of(4, DELTA_PUT, key);
    row_set(&r, 2, text_of(whole ? "a" : "new"));
    if (!whole) return r;
    row_set(&r, 3, value_integer(1));
    row_set(&r, 4, text_of("a secret"));
    row_set(&r, 5, text_of("d"));
    return r;
}

/* A column that is masked now was not before. */
static void S1_put_gives_a_column_that_it_lacks_its_default(void **state) {
    fixture *x = *state;
    static const char SHOWN[] =
        "SELECT group_concat(id || a || b || coalesce(c, '~') || d, ' ') FROM (SELECT * FROM wide ORDER BY id)";
    make_wide(x);
    delta_row rows[3] = {wide("x", true), wide("y", true), wide("x", false)};
    assert_int_equal(page_apply(x, 10, rows, 2), SATCHEL_OK);
    app_sql(x, "UPDATE wide SET d='mine' WHERE id='y'");
    rows[0] = wide("x", false);
    rows[1] = wide("y", false);
    rows[2] = wide("z", false);
    row_set(&rows[1], 5, text_of("d"));
    assert_int_equal(page_apply(x, 11, rows, 3), SATCHEL_OK);
    /* A default that is computed is the device's own, and only where the row begins. */
    assert_string_equal(app_text(x, SHOWN), "xnew7~d ynew7~mine znew7~here");
    refuse_with(x, 1, SATCHEL_E_SCOPE, "no");
    assert_string_equal(app_text(x, SHOWN), "xnew7~d ynew7~d znew7~here");
    assert_string_equal(holders(x, "secret"), "");
    assert_sound(x);
}

static void put_beneath_a_pending_edit_keeps_the_edit_and_replaces_the_rest(void **state) {
    fixture *x = *state;
    make_wide(x);
    delta_row row = wide("x", true);
    give(x, 10, row);
    app_sql(x, "UPDATE wide SET c='mine', b=b+1 WHERE id='x'");
    row = wide("x", false);
    row_set(&row, 5, text_of("new"));
    give(x, 11, row);
    assert_string_equal(app_text(x, "SELECT a || b || c || d FROM wide"), "new2minenew");
    refuse_with(x, 1, SATCHEL_E_CHECK, "no");
    assert_string_equal(app_text(x, "SELECT a || b || coalesce(c, '~') || d FROM wide"), "new7~new");
    assert_sound(x);
}

/* ---- snapshots ---- */

static void snapshot(fixture *x, uint64_t id, uint64_t seq, uint64_t view, const delta_row *row) {
    delta_writer w;
    buf delta, message;
    bool done;
    buf_init(&delta, 0);
    buf_init(&message, 0);
    delta_writer_init(&w);
    if (row) delta_put_row(&w, row);
    assert_int_equal(delta_finish(&w, &delta), SATCHEL_OK);
    delta_writer_fini(&w);
    snapshot_begin(&(msg_snapshot){.id = id, .seq = seq, .last = true, .view = view, .ranges = 1}, &message);
    snapshot_put_range(&(snapshot_range){.table = ITEM, .nkey = 1, .delta = delta.p, .ndelta = delta.n}, &message);
    assert_int_equal(apply_snapshot(x->f, message.p, message.n, &done), SATCHEL_OK);
    assert_true(done);
    buf_fini(&message);
    buf_fini(&delta);
}

static void snapshot_of_a_view_takes_away_what_is_not_in_it_as_a_leave_does(void **state) {
    fixture *x = *state;
    delta_row b = item_put("b", "Bob", 1, 1), a = item_put("a", "a secret", 9, 50);
    app_sql(x, "UPDATE satchel_state SET epoch=x'0102030405060708'");
    give(x, 9, item_put("shown", "a secret", 1, 1));
    begin(x);
    give(x, 11, item_set("a", ITEM_NOTE, text_of("a secret")));
    app_sql(x, "INSERT INTO item(id, name) VALUES('new', 'mine')");
    lose(x, "item", "a");
    lose(x, "item", "shown");
    snapshot(x, 7, 20, 3, &b);
    assert_string_equal(app_text(x, "SELECT group_concat(id) FROM (SELECT id FROM item ORDER BY id)"), "b,new");
    assert_string_equal(holders(x, "secret"), "");
    assert_string_equal(sent(x), "1@10, 2@11");
    assert_sound(x);
    give(x, 21, a);
    assert_string_equal(item(x, "a"), "a secret|6|50|~");
    app_sql(x, "UPDATE item SET price=8 WHERE id='a'");
    assert_string_equal(sent(x), "1@10, 2@11, 3@21 3@11");
    assert_sound(x);
}

static void snapshot_of_everything_takes_away_what_is_not_in_it_as_a_deletion_does(void **state) {
    fixture *x = *state;
    begin(x);
    lose(x, "item", "a");
    snapshot(x, 7, 20, 0, NULL);
    assert_string_equal(item(x, "a"), "Ann|6|100|~");
    assert_int_equal(app_integer(x, "SELECT count(*) FROM satchel_conflicts"), 1);
    assert_sound(x);
}

/* It was told what was kept there, and the row itself never came: nothing of it stands here that could be taken away. */
static void S5_snapshot_of_a_view_takes_what_was_kept_of_rows_that_are_not_in_it(void **state) {
    fixture *x = *state;
    delta_row b = item_put("b", "Bob", 1, 1);
    app_sql(x, "UPDATE satchel_state SET epoch=x'0102030405060708'");
    give(x, 9, b);
    app_sql(x, "DELETE FROM item WHERE id='b'");
    lose(x, "item", "b");
    lose(x, "item", "never came");
    lose(x, "tag", "never came");
    snapshot(x, 7, 20, 3, &b);
    assert_string_equal(item(x, "b"), "-");
    assert_string_equal(app_text(x, "SELECT group_concat(tbl || key) FROM satchel_conflicts WHERE kept_ms"), "itemb");
    snapshot(x, 8, 21, 0, NULL);
    assert_string_equal(app_text(x, "SELECT group_concat(tbl || key) FROM satchel_conflicts WHERE kept_ms"), "itemb");
    assert_sound(x);
}

static void S1_snapshot_of_a_view_takes_what_was_kept_in_columns_that_it_masks(void **state) {
    fixture *x = *state;
    delta_row b = row_of(ITEM, DELTA_PUT, "b");
    row_set(&b, ITEM_NAME, text_of("Bob"));
    app_sql(x, "UPDATE satchel_state SET epoch=x'0102030405060708'");
    give(x, 9, b);
    lose(x, "item", "b");
    lose(x, "item", "b");
    app_sql(x, "UPDATE satchel_conflicts SET col='note' WHERE id=1");
    snapshot(x, 7, 20, 3, &b);
    assert_string_equal(app_text(x, "SELECT group_concat(col) FROM satchel_conflicts WHERE kept_ms"), "name");
}

#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(S3_edit_of_a_row_that_left_is_not_shown_and_is_sent_with_its_base),
        T(S3_refusal_of_an_edit_of_a_row_that_left_shows_nothing),
        T(leave_is_no_deletion_where_updates_win),
        T(row_that_enters_again_shows_the_edits_that_wait),
        T(insert_over_a_row_that_left_is_shown_until_it_is_judged),
        T(leave_of_a_row_that_never_was_here_changes_nothing),
        T(S2_put_of_a_row_that_is_there_never_blinks),
        T(M16_what_became_of_a_row_while_it_was_away_was_not_seen),
        T(M16_what_was_hidden_before_a_row_left_stays_hidden),
        T(M16_insert_over_a_row_that_is_away_does_not_know_it),
        T(M16_S3_random_histories_say_what_their_author_had_seen),
        T(S5_of_a_row_that_left_nothing_stays_beside_it),
        T(S5_what_it_lost_to_goes_with_the_row_under_every_name_of_the_table),
        T(S5_verify_finds_values_of_a_row_that_left),
        T(S1_put_gives_a_column_that_it_lacks_its_default),
        T(put_beneath_a_pending_edit_keeps_the_edit_and_replaces_the_rest),
        T(snapshot_of_a_view_takes_away_what_is_not_in_it_as_a_leave_does),
        T(snapshot_of_everything_takes_away_what_is_not_in_it_as_a_deletion_does),
        T(S5_snapshot_of_a_view_takes_what_was_kept_of_rows_that_are_not_in_it),
        T(S1_snapshot_of_a_view_takes_what_was_kept_in_columns_that_it_masks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
