/* SPDX-License-Identifier: BSD-2-Clause */
/* Remembers what lately came under which dot: one dot must never name two records. */
#ifndef MIMEO_AGENT_WITNESS_H
#define MIMEO_AGENT_WITNESS_H

#include "proto/record.h"

#define WITNESS_MAX 65536 /* dots remembered, superseded ones too; the oldest is forgotten */

struct witness;

/* NULL: out of memory. */
struct witness *witness_new(uint64_t seed);
void witness_free(struct witness *w);
/* False: this dot named another record before. Else it is remembered (as far as memory allows). */
bool witness_saw(struct witness *w, const struct record *r);

#endif
