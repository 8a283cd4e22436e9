#include "server/checksum_memo.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/crypto.h"
#include "protocol/satchel_rc.h"

struct checksum_memo {
    pthread_mutex_t mutex;
    uint64_t turn;
    checksum_known place[CHECKSUM_MEMO_PLACES]; /* made_ms 0: empty */
};

checksum_memo *checksum_memo_new(void) {
    checksum_memo *m = calloc(1, sizeof *m);
    if (m && pthread_mutex_init(&m->mutex, NULL)) {
        free(m);
        m = NULL;
    }
    return m;
}

void checksum_memo_free(checksum_memo *m) {
    if (!m) return;
    pthread_mutex_destroy(&m->mutex);
    free(m);
}

int checksum_memo_name(uint64_t view, const snapshot_range *range, checksum_known *out) {
    buf b;
    buf_init(&b, 0);
    buf_put_varint(&b, view);
    buf_put_varint(&b, range->table);
    buf_put_byte(&b, (uint8_t)(range->has_from | range->has_to << 1));
    for (unsigned i = 0; range->has_from && i < range->nkey; i++) value_put(&b, &range->from[i]);
    for (unsigned i = 0; range->has_to && i < range->nkey; i++) value_put(&b, &range->to[i]);
    *out = (checksum_known){0};
    if (!b.rc) crypto_sha256(b.p, b.n, out->name);
    int rc = b.rc;
    buf_fini(&b);
    return rc;
}

static checksum_known *place_of(checksum_memo *m, const checksum_known *k) {
    return &m->place[(k->name[0] | (unsigned)k->name[1] << 8 | (unsigned)k->name[2] << 16) % CHECKSUM_MEMO_PLACES];
}

uint64_t checksum_memo_turn(checksum_memo *m) {
    pthread_mutex_lock(&m->mutex);
    uint64_t turn = m->turn;
    pthread_mutex_unlock(&m->mutex);
    return turn;
}

bool checksum_memo_find(checksum_memo *m, checksum_known *k, uint64_t device, uint64_t now_ms) {
    pthread_mutex_lock(&m->mutex);
    const checksum_known *e = place_of(m, k);
    /* The difference is large as well where the clock was put back. */
    bool found = e->made_ms && e->device != device && now_ms - e->made_ms < CHECKSUM_MEMO_MS &&
                 memcmp(e->name, k->name, sizeof k->name) == 0;
    if (found) *k = *e;
    pthread_mutex_unlock(&m->mutex);
    return found;
}

void checksum_memo_keep(checksum_memo *m, const checksum_known *k, uint64_t turn) {
    pthread_mutex_lock(&m->mutex);
    if (turn == m->turn) *place_of(m, k) = *k;
    pthread_mutex_unlock(&m->mutex);
}

void checksum_memo_clear(checksum_memo *m) {
    pthread_mutex_lock(&m->mutex);
    m->turn++;
    memset(m->place, 0, sizeof m->place);
    pthread_mutex_unlock(&m->mutex);
}
