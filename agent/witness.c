/* SPDX-License-Identifier: BSD-2-Clause */
/* What lately came under which dot. */
#include "config.h"

#include "agent/witness.h"

#include <stdlib.h>

#include "proto/map.h"

struct seen {
	struct dot dot;
	uint64_t digest;
};

struct witness {
	uint64_t seed;
	struct map dots;
	struct seen *ring;
	size_t next;
	struct buf bytes;
};

static uint64_t
key_of(const struct witness *w, struct dot d)
{
	return map_hash(w->seed ^ d.origin, &d.seq, sizeof(d.seq));
}

static bool
match(const void *item, const void *key)
{
	const struct seen *s = item;
	const struct dot *d = key;

	return dot_eq(s->dot, *d);
}

static void
remember(struct witness *w, struct dot dot, uint64_t digest)
{
	struct seen *s = &w->ring[w->next % WITNESS_MAX];

	if (!dot_none(s->dot))
		map_del(&w->dots, key_of(w, s->dot), s);
	*s = (struct seen){dot, digest};
	if (map_add(&w->dots, key_of(w, dot), s) < 0)
		s->dot = (struct dot){0, 0};
	w->next++;
}

bool
witness_saw(struct witness *w, const struct record *r)
{
	const struct seen *s = map_find(&w->dots, key_of(w, r->dot), match, &r->dot);
	uint64_t digest;

	buf_reset(&w->bytes);
	record_encode(&w->bytes, r);
	if (w->bytes.failed)
		return true;
	digest = map_hash(w->seed, w->bytes.data, w->bytes.len);
	if (s != NULL)
		return s->digest == digest;
	remember(w, r->dot, digest);
	return true;
}

struct witness *
witness_new(uint64_t seed)
{
	struct witness *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return NULL;
	w->seed = seed;
	w->ring = calloc(WITNESS_MAX, sizeof(*w->ring));
	if (w->ring == NULL) {
		free(w);
		return NULL;
	}
	return w;
}

void
witness_free(struct witness *w)
{
	if (w == NULL)
		return;
	map_free(&w->dots);
	buf_free(&w->bytes);
	free(w->ring);
	free(w);
}
