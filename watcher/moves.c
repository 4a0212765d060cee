/* SPDX-License-Identifier: BSD-2-Clause */
/* Renames seen lately. A ring, newest last. */
#include "config.h"

#include "watcher/moves.h"

#include <stdlib.h>
#include <string.h>

#include "proto/path.h"
#include "proto/seeded.h"

struct move {
	uint32_t cookie;
	bool tainted;
	uint64_t at_ms;
	char *from, *to; /* to NULL: left the tree, or not seen yet */
	size_t from_len, to_len;
};

struct moves {
	struct move ring[MOVES_MAX];
	size_t next;
};

static char *
copy(const void *path, size_t len)
{
	char *p = malloc(len + 1);

	if (p == NULL)
		return NULL;
	memcpy(p, path, len);
	p[len] = '\0';
	return p;
}

static void
clear(struct move *v)
{
	free(v->from);
	free(v->to);
	*v = (struct move){0};
}

struct moves *
moves_new(void)
{
	return calloc(1, sizeof(struct moves));
}

void
moves_free(struct moves *m)
{
	if (m == NULL)
		return;
	for (size_t i = 0; i < MOVES_MAX; i++)
		clear(&m->ring[i]);
	free(m);
}

void
moves_from(struct moves *m, uint32_t cookie, const void *path, size_t len, bool tainted,
	   uint64_t now_ms)
{
	struct move *v = &m->ring[m->next++ % MOVES_MAX];

	clear(v);
	*v = (struct move){.cookie = cookie,
			   .tainted = tainted && !SEEDED(taint_ignored),
			   .at_ms = now_ms,
			   .from = copy(path, len),
			   .from_len = len};
}

void
moves_to(struct moves *m, uint32_t cookie, const void *path, size_t len)
{
	for (size_t i = 0; i < MOVES_MAX; i++) {
		struct move *v = &m->ring[i];

		if (v->from == NULL || v->cookie != cookie || v->to != NULL)
			continue;
		v->to = copy(path, len);
		v->to_len = len;
		return;
	}
}

/* The newest rename to the path, or to a directory above it. */
static const struct move *
newest(const struct moves *m, const void *path, size_t len, uint64_t now_ms)
{
	for (size_t i = 0; i < MOVES_MAX; i++) {
		const struct move *v = &m->ring[(m->next + MOVES_MAX - 1 - i) % MOVES_MAX];

		if (v->from == NULL)
			return NULL;
		if (v->to != NULL && path_within(path, len, v->to, v->to_len))
			return now_ms - v->at_ms > MOVES_KEEP_MS ? NULL : v;
	}
	return NULL;
}

size_t
moves_origin(struct moves *m, const void *path, size_t len, char *old, uint64_t now_ms)
{
	const struct move *v = newest(m, path, len, now_ms);
	size_t rest;

	if (v == NULL || v->tainted)
		return 0;
	rest = len - v->to_len;
	if (v->from_len + rest > PATH_BYTES_MAX)
		return 0;
	memcpy(old, v->from, v->from_len);
	memcpy(old + v->from_len, (const char *)path + v->to_len, rest);
	return v->from_len + rest;
}

bool
moves_itself(const struct moves *m, const void *path, size_t len, uint64_t now_ms)
{
	const struct move *v = newest(m, path, len, now_ms);

	return v != NULL && v->to_len == len;
}
