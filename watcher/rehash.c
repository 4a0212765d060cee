/* SPDX-License-Identifier: BSD-2-Clause */
/* Every file is hashed again. */
#include "config.h"

#include "watcher/rehash.h"

#include <stdlib.h>

#define WAIT_MS 200 /* between looks at whether it is time for more */

struct rehash {
	struct index *index;
	struct dirty *dirty;
	struct index_cursor cursor;
	uint64_t rate, tokens, at_ms;
	bool done;
};

static void
earn(struct rehash *r, uint64_t now_ms)
{
	uint64_t ms = r->at_ms != 0 && now_ms > r->at_ms ? now_ms - r->at_ms : 0;

	ms = ms < 1000 ? ms : 1000;
	r->at_ms = now_ms;
	r->tokens += r->rate * ms / 1000;
	r->tokens = r->tokens < r->rate ? r->tokens : r->rate;
}

bool
rehash_turn(struct rehash *r, uint64_t now_ms)
{
	const struct irec *i;

	earn(r, now_ms);
	while (!r->done && r->tokens > 0 && dirty_count(r->dirty) < REHASH_AHEAD_MAX) {
		i = index_cursor_next(r->index, &r->cursor);
		if (i == NULL) {
			r->done = true;
			break;
		}
		if (!i->shown || i->r->kind != KIND_FILE)
			continue;
		if (dirty_force(r->dirty, i->r->path, i->r->path_len, now_ms) < 0)
			break;
		/* A large file is paid for by those behind it. */
		r->tokens -= i->r->size < r->tokens ? i->r->size : r->tokens;
	}
	return r->done;
}

uint64_t
rehash_deadline(const struct rehash *r)
{
	return r->done ? UINT64_MAX : r->at_ms + WAIT_MS;
}

struct rehash *
rehash_new(struct index *index, struct dirty *dirty, uint64_t rate)
{
	struct rehash *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return NULL;
	r->index = index;
	r->dirty = dirty;
	r->rate = rate;
	r->tokens = 1;
	index_cursor_begin(index, &r->cursor);
	return r;
}

void
rehash_free(struct rehash *r)
{
	if (r == NULL)
		return;
	index_cursor_end(r->index, &r->cursor);
	free(r);
}
