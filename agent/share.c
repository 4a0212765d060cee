/* SPDX-License-Identifier: BSD-2-Clause */
/* Who of several nodes does something first. */
#include "config.h"

#include "agent/share.h"

#include <string.h>

#include "proto/map.h"

uint64_t
share_rank(const char *name, struct dot dot)
{
	return map_hash(map_hash(dot.origin, name, strlen(name)), &dot.seq, sizeof(dot.seq));
}
