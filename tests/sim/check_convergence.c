/* At rest, every device shows what the server has, and nothing waits. */
#include "protocol/digest.h"
#include "tests/sim/sim.h"

static void compare(sim *s, unsigned i, const char *server) {
    const file *f = s->device[i].s->file;
    buf mine;
    buf_init(&mine, 0);
    if (digest_tables(f->db, f->schema, &mine)) sim_fail(s, "device %u cannot be read", i);
    buf_put_byte(&mine, 0);
    if (strcmp(server, (const char *)mine.p))
        sim_fail(s, "device %u differs\nserver:\n%sdevice:\n%s", i, server, (const char *)mine.p);
    buf_fini(&mine);
    satchel_status_info info = {.size = sizeof info};
    if (satchel_get_status(s->device[i].s, &info)) sim_fail(s, "device %u has no status", i);
    if (info.pending || info.accepted)
        sim_fail(s, "device %u at rest has %" PRIu64 " pending, %" PRIu64 " accepted", i, info.pending, info.accepted);
}

void check_convergence(sim *s) {
    buf server;
    buf_init(&server, 0);
    if (digest_tables(store_db(s->store), store_schema(s->store), &server)) sim_fail(s, "the store cannot be read");
    buf_put_byte(&server, 0);
    for (unsigned i = 0; i < s->ndevices; i++)
        if (!s->device[i].revoked) compare(s, i, (const char *)server.p);
    buf_fini(&server);
}
