/* memory.h - allocations of the nodes' code: counted by node, and made to fail.
 *
 * SQLite's come here by its configuration, the engine's by the linker (--wrap). Those of other libraries do not (zstd, mbedTLS), nor the harness's own: it is
 * compiled to call what is beneath. What SQLite needs while the simulator looks (disk_look) is nobody's and never fails. An allocation is of the node
 * whose code runs. */
#ifndef TESTS_SIM_MEMORY_H
#define TESTS_SIM_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MEMORY_NODES 16u

/* Before SQLite's first use, and again for another world, in which nobody has anything. `running` tells the node whose code runs. */
void memory_install(unsigned (*running)(void *ctx), void *ctx);
/* The call-th allocation of a node from now (1: the next) and the `times` - 1 after it fail. 0: none does. */
void memory_fail_at(unsigned node, uint64_t call, unsigned times);

typedef struct memory_figures {
    uint64_t calls, failed;
    int64_t sqlite, engine; /* bytes that it has now */
} memory_figures;
memory_figures memory_measure(unsigned node);

#endif
