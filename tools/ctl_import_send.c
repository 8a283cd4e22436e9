/* The half of satchelctl import that speaks with the server. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/satchel_rc.h"
#include "server/control.h"
#include "tools/ctl_import.h"
#include "tools/rows_out.h"

/* Failures that are told on the terminal, and in --json's answer. */
#define TOLD 20
#define LISTED 1000
/* How often rows that refer to later ones are tried again: the depth of a tree whose leaves come first. */
#define PASSES 16

/* ---- failures ---- */

static void put_reason(buf *out, const char *column, const char *code, const char *words) {
    buf_printf(out, "%s%s%s (%s)", column ? column : "", column ? ": " : "", words, code);
}

/* What is no UTF-8 has '?' for its bytes over 127. */
static json_t *text_json(const char *text, size_t n) {
    json_t *o = json_stringn(text, n);
    char *copy = o ? NULL : malloc(n + 1);
    if (!copy) return o;
    for (size_t i = 0; i < n; i++) copy[i] = (unsigned char)text[i] < 0x80 ? text[i] : '?';
    o = json_stringn(copy, n);
    free(copy);
    return o;
}

/* The object as it was behind a first member with the reason; what is none, as a text. */
static void keep_json(importing *im, const char *reason, size_t nreason, const char *text, size_t n) {
    json_t *row = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL), *out = json_object();
    json_object_set_new(out, IMPORT_REASON, text_json(reason, nreason));
    if (json_is_object(row)) {
        json_object_del(row, IMPORT_REASON);
        json_object_update(out, row);
    } else {
        json_object_set_new(out, IMPORT_TEXT, text_json(text, n));
    }
    json_dumpf(out, im->failures, JSON_COMPACT);
    fputc('\n', im->failures);
    json_decref(row);
    json_decref(out);
}

/* The row as it was, behind a first column with the reason. */
static void keep_csv(importing *im, const char *reason, size_t nreason, const char *text, size_t n) {
    buf line = {0};
    if (im->counts.failed == 1) {
        buf_printf(&line, IMPORT_REASON "%c", im->separator);
        buf_put(&line, im->header.p, im->header.n);
        buf_put(&line, "\r\n", 2);
    }
    rows_put_field(&line, reason, nreason, im->separator);
    buf_put_byte(&line, (uint8_t)im->separator);
    buf_put(&line, text, n);
    buf_put(&line, "\r\n", 2);
    fwrite(line.p, 1, line.n, im->failures);
    buf_fini(&line);
}

void import_fail_row(importing *im, uint64_t line, const char *column, const char *code, const char *words, const char *text,
                     size_t n) {
    buf reason = {0};
    put_reason(&reason, column, code, words);
    im->counts.failed++;
    if (im->counts.failed <= TOLD) {
        ctl_bar_end(&im->bar);
        fprintf(stderr, "satchelctl: %s:%" PRIu64 ": %.*s\n", im->name, line, (int)reason.n, (const char *)reason.p);
        if (im->counts.failed == TOLD)
            fprintf(stderr, "satchelctl: %s: what else fails is counted, and in the file of --errors\n", im->name);
    }
    if (json_array_size(im->errors) < LISTED)
        json_array_append_new(
            im->errors, json_pack("{sI ss? ss ss}", "line", (json_int_t)line, "column", column, "code", code, "message", words));
    if (im->failures && im->format == ROWS_CSV) keep_csv(im, (const char *)reason.p, reason.n, text, n);
    if (im->failures && im->format == ROWS_JSONL) keep_json(im, (const char *)reason.p, reason.n, text, n);
    buf_fini(&reason);
}

/* ---- rows that refer to later ones ---- */

typedef struct later_row {
    uint64_t line;
    size_t n, njson;
} later_row;

static bool put_off(importing *im, const import_batch *b, const import_waiting_row *row) {
    later_row head = {.line = row->line, .n = row->n, .njson = row->njson};
    if (!im->later && !(im->later = tmpfile())) return false;
    im->nlater++;
    return fwrite(&head, sizeof head, 1, im->later) && fwrite(b->texts.p + row->at, 1, row->n, im->later) == row->n &&
           fwrite(b->rows.p + row->json, 1, row->njson, im->later) == row->njson;
}

static bool read_into(buf *out, size_t n, FILE *from) {
    uint8_t *to = buf_reserve(out, n);
    if (!to || fread(to, 1, n, from) != n) return false;
    out->n += n;
    return true;
}

static int send_later(importing *im, FILE *from) {
    later_row head;
    buf text = {0};
    int rc = CTL_DONE;
    while (!rc && fread(&head, sizeof head, 1, from)) {
        buf_clear(&text);
        bool good = read_into(&text, head.n, from) &&
                    read_into(import_begin_row(im, head.line, (const char *)text.p, head.n), head.njson, from);
        if (!good) fprintf(stderr, "satchelctl: a temporary file cannot be read\n");
        import_end_row(im);
        rc = !good ? CTL_FAILED : import_waiting(im) >= (size_t)im->batch_rows ? import_send(im) : CTL_DONE;
    }
    buf_fini(&text);
    return rc;
}

/* ---- answers ---- */

static const import_waiting_row *find_row(const import_batch *b, uint64_t line) {
    for (size_t i = 0; i < b->n; i++)
        if (b->row[i].line == line) return &b->row[i];
    return NULL;
}

static void take_failure(importing *im, const import_batch *b, const json_t *failure) {
    uint64_t line = (uint64_t)json_integer_value(json_object_get(failure, "line"));
    const char *code = json_string_value(json_object_get(failure, "code")),
               *words = json_string_value(json_object_get(failure, "message"));
    const import_waiting_row *row = find_row(b, line);
    if (!row || !code || !words) return;
    if (!im->last_try && !strcmp(code, "E_FOREIGN_KEY") && put_off(im, b, row)) return;
    import_fail_row(im, line, json_string_value(json_object_get(failure, "column")), code, words,
                    (const char *)b->texts.p + row->at, row->n);
}

static uint64_t count(const json_t *reply, const char *member) {
    return (uint64_t)json_integer_value(json_object_get(reply, member));
}

static int take_answer(importing *im) {
    import_batch *b = &im->batch[!im->filling];
    json_t *reply = NULL, *failure;
    size_t i;
    if (!im->in_flight) return CTL_DONE;
    im->in_flight = false;
    int rc = ctl_receive(im->c, &reply);
    if (!rc && !json_is_true(json_object_get(reply, "ok"))) {
        ctl_bar_end(&im->bar);
        ctl_tell(reply);
        rc = CTL_FAILED;
    }
    if (!rc) {
        im->counts.inserted += count(reply, "inserted");
        im->counts.updated += count(reply, "updated");
        im->counts.unchanged += count(reply, "unchanged");
        im->counts.kept += count(reply, "kept");
        json_array_foreach(json_object_get(reply, "failed"), i, failure) take_failure(im, b, failure);
    }
    json_decref(reply);
    b->n = 0;
    buf_clear(&b->rows);
    buf_clear(&b->texts);
    return rc;
}

/* ---- batches ---- */

static import_batch *filling(const importing *im) {
    return (import_batch *)&im->batch[im->filling];
}

size_t import_waiting(const importing *im) {
    return filling(im)->n;
}

size_t import_waiting_bytes(const importing *im) {
    return filling(im)->rows.n;
}

buf *import_begin_row(importing *im, uint64_t line, const char *text, size_t n) {
    import_batch *b = filling(im);
    if (!b->row) b->row = malloc((size_t)im->batch_rows * sizeof *b->row);
    if (!b->row) b->rows.rc = SATCHEL_E_NOMEM;
    if (b->rows.rc) return &b->rows;
    if (b->n) buf_put_byte(&b->rows, ',');
    b->row[b->n++] = (import_waiting_row){.line = line, .at = b->texts.n, .n = n, .json = b->rows.n};
    b->open = true;
    buf_put(&b->texts, text, n);
    return &b->rows;
}

void import_end_row(importing *im) {
    import_batch *b = filling(im);
    if (!b->open || b->rows.rc) return;
    import_waiting_row *row = &b->row[b->n - 1];
    b->open = false;
    row->njson = b->rows.n - row->json;
    if (row->njson <= ROWS_TEXT_BYTES) return;
    b->rows.n = row->json - (--b->n > 0);
    import_fail_row(im, row->line, NULL, "E_TOO_LARGE", "it is longer than a row may be", (const char *)b->texts.p + row->at,
                    row->n);
}

int import_send(importing *im) {
    import_batch *b = filling(im);
    int rc = take_answer(im);
    if (rc || !b->n) return rc;
    buf request = {.max = CONTROL_LINE_BYTES};
    char *head = json_dumps(im->head, JSON_COMPACT);
    if (head) buf_put(&request, head, strlen(head) - 1);
    buf_printf(&request, ",\"rows\":[");
    buf_put(&request, b->rows.p, b->rows.n);
    buf_printf(&request, "]}");
    free(head);
    if (!head || request.rc || b->rows.rc || b->texts.rc) {
        fprintf(stderr, "satchelctl: %s: the rows from line %" PRIu64 " on are too large for one batch; see --batch\n", im->name,
                b->row ? b->row[0].line : 0);
        rc = CTL_FAILED;
    }
    if (!rc) rc = ctl_send(im->c, request.p, request.n);
    buf_fini(&request);
    im->in_flight = !rc;
    im->filling = !im->filling;
    return rc;
}

int import_finish(importing *im) {
    int rc = take_answer(im);
    uint64_t before = UINT64_MAX;
    for (int pass = 1; !rc && im->later; pass++) {
        FILE *from = im->later;
        im->last_try = im->nlater >= before || pass == PASSES || ctl_value(im->c, "dry-run");
        before = im->nlater;
        im->later = NULL;
        im->nlater = 0;
        rewind(from);
        rc = send_later(im, from);
        if (!rc) rc = import_send(im);
        if (!rc) rc = take_answer(im);
        fclose(from);
    }
    return rc;
}

void import_fini(importing *im) {
    for (int i = 0; i < 2; i++) {
        buf_fini(&im->batch[i].rows);
        buf_fini(&im->batch[i].texts);
        free(im->batch[i].row);
    }
    if (im->later) fclose(im->later);
    json_decref(im->head);
    json_decref(im->map);
    json_decref(im->errors);
    buf_fini(&im->header);
    free(im->sent);
}
