/* SPDX-License-Identifier: BSD-2-Clause */
/* What the watcher said, in its last answer, that it could not log, and why. */
#ifndef MIMEO_AGENT_HELDBACK_H
#define MIMEO_AGENT_HELDBACK_H

#include "agent/node.h"

struct held_back {
	const char *path; /* escaped; neither is terminated; borrowed from the node */
	size_t path_len;
	const char *reason;
	size_t reason_len;
};

/* The line at *at, which moves behind it; 0 to begin with. False: there is no more. */
bool held_back_next(const struct node *n, size_t *at, struct held_back *h);

#endif
