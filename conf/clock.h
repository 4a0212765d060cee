/* SPDX-License-Identifier: BSD-2-Clause */
/* What time it is: monotonic for deadlines, wall clock for people and records. */
#ifndef MIMEO_CONF_CLOCK_H
#define MIMEO_CONF_CLOCK_H

#include <stdint.h>

/* Milliseconds since some fixed moment of this boot; never goes back. Stands still in suspend. */
uint64_t clock_mono_ms(void);
/*
 * Milliseconds and nanoseconds since 1970-01-01T00:00:00Z. May jump either way; before 1970 is
 * 0.
 */
uint64_t clock_wall_ms(void);
int64_t clock_wall_ns(void);

#endif
