/* SPDX-License-Identifier: BSD-2-Clause */
/* Hybrid logical clock: wall time that never goes back and always passes what it has seen. */
#ifndef MIMEO_PROTO_HLC_H
#define MIMEO_PROTO_HLC_H

#include <stdint.h>

/*
 * 48 bits of milliseconds since 1970 and 16 bits of counter in one number, compared as a number.
 * It never decides causality, only which of two concurrent versions is shown.
 */
#define HLC_COUNTER_BITS 16
/* A remote time may drag the local clock at most this far ahead of the wall clock. */
#define HLC_SKEW_MS_MAX 60000

/* A wall_ms above 48 bits counts as the highest. */
uint64_t hlc_make(uint64_t wall_ms, uint16_t counter);
uint64_t hlc_ms(uint64_t hlc);
/*
 * The time for a new record: above `last` (what was written or seen before) and not below the wall
 * clock. A full counter spills into the milliseconds. At UINT64_MAX it stays there.
 */
uint64_t hlc_next(uint64_t last, uint64_t wall_ms);
/*
 * The new `last` after a record with time `remote` was seen: max, but at most wall +
 * HLC_SKEW_MS_MAX. Never below `last`.
 */
uint64_t hlc_seen(uint64_t last, uint64_t remote, uint64_t wall_ms);

#endif
