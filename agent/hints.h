/* SPDX-License-Identifier: BSD-2-Clause */
/* Where members might be found besides the addresses that they tell: words of the configuration, of
 * Serf and of the DNS. A hint lets nobody in: host keys and the member table do. */
#ifndef MIMEO_AGENT_HINTS_H
#define MIMEO_AGENT_HINTS_H

#include "proto/member.h"

/* In the order in which they are tried, behind what the member itself says. */
enum hint_source { HINT_CONFIG, HINT_SERF, HINT_DNS, HINT_SOURCES };

struct hints;

struct hints *hints_new(void); /* NULL: out of memory */
void hints_free(struct hints *h);
/*
 * That source's addresses of that name, a comma list of HOST:PORT, in place of those it gave
 * before; an empty one takes them back. 1: it changed something; 0: as before; -EINVAL: not a name,
 * or not addresses; -ENOSPC: MEMBERS_MAX names of that source are known; -ENOMEM.
 */
NODISCARD int hints_put(struct hints *h, enum hint_source source, const char *name,
			const char *address);
/* Nothing that the source said counts any more. */
void hints_drop(struct hints *h, enum hint_source source);
/* The addresses of a name, or an empty text. Valid until the next change. */
const char *hints_of(const struct hints *h, enum hint_source source, const char *name);
size_t hints_count(const struct hints *h, enum hint_source source);
/*
 * All that is known of a name: told (what it says itself, a comma list, may be empty), then the
 * hints; no address twice. Returns their number; *out[0] is empty if it is 0. Too many are left
 * out.
 */
#define HINTS_TEXT_BYTES ((HINT_SOURCES + 1) * (MEMBER_ADDRESS_BYTES_MAX + 1))
unsigned hints_all(const struct hints *h, const char *name, const char *told,
		   char out[HINTS_TEXT_BYTES]);

#endif
