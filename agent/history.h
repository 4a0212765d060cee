/* SPDX-License-Identifier: BSD-2-Clause */
/* The lag of each peer over the last hour, for the plot on the status page. */
#ifndef MIMEO_AGENT_HISTORY_H
#define MIMEO_AGENT_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/attr.h"

#define HISTORY_SLOT_MS 10000 /* one point of the plot: the worst that was seen in it */
#define HISTORY_SLOTS 360     /* an hour */
#define HISTORY_PEERS_MAX 256

struct history;

struct history *history_new(void); /* NULL: out of memory */
void history_free(struct history *h);
/* The peer's lag now, in seconds. Without memory, or above the limit, the peer is left out. */
void history_add(struct history *h, const char *peer, uint64_t now_ms, float seconds);
/*
 * The oldest first, HISTORY_SLOTS of them up to the slot of now_ms; negative: nothing was seen.
 * False: nothing is known of that peer.
 */
bool history_of(const struct history *h, const char *peer, uint64_t now_ms,
		float out[HISTORY_SLOTS]);

#endif
