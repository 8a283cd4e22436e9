/* write_cost_outbox.h - the outbox of the write-cost benchmark: as many bytes and statements a transaction as a device's. */
#ifndef TESTS_BENCH_WRITE_COST_OUTBOX_H
#define TESTS_BENCH_WRITE_COST_OUTBOX_H

#include <sqlite3.h>

typedef struct bench_outbox bench_outbox;

/* Declares what `migration` declares, installs capture on `db` and creates the outbox. A SATCHEL_E_* code, with words on stderr. */
int bench_outbox_open(sqlite3 *db, const char *migration, bench_outbox **out);
void bench_outbox_close(bench_outbox *o);

#endif
