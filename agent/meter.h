/* SPDX-License-Identifier: BSD-2-Clause */
/* How fast somebody delivers what was asked for. */
#ifndef MIMEO_AGENT_METER_H
#define MIMEO_AGENT_METER_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Only the time counts in which something was under way: who is asked for little is not slow. Plain
 * values; all zero is one that has not measured yet. Times are monotonic milliseconds.
 */
#define METER_MS 500 /* one measurement; the next one counts as much as all before */
#define METER_FIRST_BYTES (1024u * 1024) /* the first one ends earlier, with so much */

struct meter {
	uint64_t rate;  /* bytes a second, at least 1; 0: not known */
	uint64_t bytes; /* of the measurement under way, in ms of busy time */
	uint64_t ms;
	uint64_t since_ms; /* counted up to then, while busy */
	bool busy;
};

/* Something is under way from now on. Again and again is fine. */
void meter_begin(struct meter *m, uint64_t now_ms);
void meter_took(struct meter *m, uint64_t bytes, uint64_t now_ms);
/* Nothing is under way any more. */
void meter_end(struct meter *m, uint64_t now_ms);
/* Time went by: who delivers nothing becomes slower. */
void meter_look(struct meter *m, uint64_t now_ms);
/* How long so many bytes take at a rate, in ms; 0 at a rate that is not known. */
uint64_t meter_time_ms(uint64_t bytes, uint64_t rate);

#endif
