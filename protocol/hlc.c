#include "protocol/hlc.h"

#include "protocol/limits.h"

#define COUNTER_BITS 16

static uint64_t above(uint64_t stamp) {
    return stamp < HLC_MAX_STAMP ? stamp + 1 : HLC_MAX_STAMP;
}

uint64_t hlc_next(uint64_t last, uint64_t now_ms) {
    uint64_t physical = hlc_of_ms(now_ms);
    return physical > last ? physical : above(last);
}

uint64_t hlc_receive(uint64_t last, uint64_t stamp) {
    return stamp > last && stamp <= HLC_MAX_STAMP ? stamp : last;
}

uint64_t hlc_ms(uint64_t stamp) {
    return stamp >> COUNTER_BITS;
}

uint64_t hlc_of_ms(uint64_t ms) {
    return (ms < HLC_MAX_MS ? ms : HLC_MAX_MS) << COUNTER_BITS;
}

uint64_t hlc_effective(uint64_t stamp, uint64_t last_effective, uint64_t now_ms, int *clamped) {
    /* Cut before adding, so that a clock at the end of its range does not wrap to 1970. */
    uint64_t limit = hlc_of_ms((now_ms < HLC_MAX_MS ? now_ms : HLC_MAX_MS) + LIMIT_CLOCK_AHEAD_MS);
    *clamped = stamp > limit;
    uint64_t effective = *clamped ? limit : stamp;
    return effective > last_effective ? effective : above(last_effective);
}
