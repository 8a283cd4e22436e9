/* refusal.h - a refused transaction as people look at it: what was wanted beside what the server has. */
#ifndef REPLICA_REFUSAL_H
#define REPLICA_REFUSAL_H

#include "replica/file.h"

/* See satchel_refusal. *json is freed with sqlite3_free. Words of a failure in f->error. */
int refusal_json(file *f, uint64_t number, char **json);

#endif
