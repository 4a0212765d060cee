/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines of an escaped path, a tab and a reason: proto/WAL.md, ANSWER. */
#include "config.h"

#include "agent/heldback.h"

#include <string.h>

bool
held_back_next(const struct node *n, size_t *at, struct held_back *h)
{
	const char *text = (const char *)n->held_back.data, *end, *tab;

	if (n->held_back.failed || *at >= n->held_back.len)
		return false;
	h->path = text + *at;
	end = memchr(h->path, '\n', n->held_back.len - *at);
	tab = end != NULL ? memchr(h->path, '\t', (size_t)(end - h->path)) : NULL;
	if (tab == NULL)
		return false;
	h->path_len = (size_t)(tab - h->path);
	h->reason = tab + 1;
	h->reason_len = (size_t)(end - tab - 1);
	*at += (size_t)(end - h->path) + 1;
	return true;
}
