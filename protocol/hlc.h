/* hlc.h - hybrid logical clock (Kulkarni, Demirbas et al., "Logical Physical Clocks", 2014), packed in 64 bits:
 * milliseconds since 1970 in the upper 48, a counter in the lower 16. A stamp orders writes; it is not a time of day.
 * Stamps stay below 2^63 so that SQLite keeps them as integers. Stateless: the caller keeps the last stamp. */
#ifndef PROTOCOL_HLC_H
#define PROTOCOL_HLC_H

#include <stdint.h>

/* The latest time that a stamp takes from a clock (the year 4199); a later clock counts as this. It lies half-way to HLC_MAX_STAMP, so that
 * a clock at its end still has 2^62 stamps before it. */
#define HLC_MAX_MS ((UINT64_C(1) << 46) - 1)
#define HLC_MAX_STAMP ((UINT64_C(1) << 63) - 1)

/* The stamp of a new event: above `last` (the highest stamp made or received) and not before `now_ms`. Counter overflow carries into the
 * milliseconds. After HLC_MAX_STAMP, which no clock reaches, it stays there: hlc_effective still orders such events. */
uint64_t hlc_next(uint64_t last, uint64_t now_ms);
/* After receiving `stamp`: the new "last". A number above HLC_MAX_STAMP is no stamp and is passed over. */
uint64_t hlc_receive(uint64_t last, uint64_t stamp);
uint64_t hlc_ms(uint64_t stamp);
/* The first stamp of a millisecond. */
uint64_t hlc_of_ms(uint64_t ms);
/* design 5: max(min(stamp, now + LIMIT_CLOCK_AHEAD_MS), last_effective + 1); *clamped tells whether the stamp lay ahead.
 * `last_effective` is the incarnation's own last, 0 before its first. */
uint64_t hlc_effective(uint64_t stamp, uint64_t last_effective, uint64_t now_ms, int *clamped);

#endif
