/* ctl_import.h - between the two files of satchelctl import: ctl_import.c reads the file's rows, ctl_import_send.c sends them and takes the answers. */
#ifndef TOOLS_CTL_IMPORT_H
#define TOOLS_CTL_IMPORT_H

#include "tools/ctl.h"
#include "tools/rows_in.h"

/* In a file of failed rows: why it failed, which import leaves out; and a line that is no JSON object as it was, with which nothing can be done. */
#define IMPORT_REASON "satchel_error"
#define IMPORT_TEXT "satchel_text"

typedef struct import_counts {
    uint64_t inserted, updated, unchanged, kept, failed;
} import_counts;

typedef struct import_waiting_row {
    uint64_t line;
    size_t at, n;       /* its text, in batch.texts */
    size_t json, njson; /* as it is sent, in batch.rows */
} import_waiting_row;

/* Rows on their way. */
typedef struct import_batch {
    buf rows, texts;
    size_t n;
    bool open; /* the last row was begun and not ended */
    import_waiting_row *row;
} import_batch;

typedef struct importing {
    ctl *c;
    const char *name; /* of the file, for people */
    FILE *from, *failures;
    rows_in *in;
    rows_format format;
    char separator;
    const char *null; /* text that is NULL; else an empty field without quotation marks is */
    long batch_rows;
    uint64_t size; /* of the file; 0: unknown */
    json_t *head, *map;
    buf header;            /* CSV's line of names */
    size_t nfile;          /* its columns */
    bool *sent;            /* which of them are sent */
    import_batch batch[2]; /* one is filled while the other is with the server */
    unsigned filling;
    bool in_flight;
    FILE *later; /* rows that lack the row they refer to: perhaps it comes behind them */
    uint64_t nlater;
    bool last_try; /* they fail now */
    import_counts counts;
    json_t *errors; /* the first of them, for --json */
    ctl_bar bar;
} importing;

/* Where the next row's JSON goes, which import_end_row ends; notes its text. Without a row that was begun the latter does nothing. */
buf *import_begin_row(importing *im, uint64_t line, const char *text, size_t n);
void import_end_row(importing *im);
size_t import_waiting(const importing *im);
size_t import_waiting_bytes(const importing *im);
/* Sends what waits, after the answer to what was sent before. */
int import_send(importing *im);
/* Takes the last answer, and tries again the rows that referred to later ones. */
int import_finish(importing *im);
/* Counts, tells and keeps a row that failed. `column` may be NULL. */
void import_fail_row(importing *im, uint64_t line, const char *column, const char *code, const char *words, const char *text,
                     size_t n);
void import_fini(importing *im);

#endif
