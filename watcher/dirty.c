/* SPDX-License-Identifier: BSD-2-Clause */
/* The set of names to look at, and when. */
#include "config.h"

#include "watcher/dirty.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/map.h"
#include "proto/path.h"

struct dirty {
	struct map names;
	struct dirty_name *first, *last; /* waiting or remembered, in order of arrival */
	size_t waiting;
	uint64_t settle_ms, seed, stamp;
	uint64_t asked; /* stamp of the last question */
};

struct key {
	const void *path;
	size_t len;
};

static bool
match(const void *item, const void *key)
{
	const struct dirty_name *n = item;
	const struct key *k = key;

	return n->len == k->len && memcmp(n->path, k->path, k->len) == 0;
}

static struct dirty_name *
find(const struct dirty *d, const void *path, size_t len)
{
	struct key k = {path, len};

	return map_find(&d->names, map_hash(d->seed, path, len), match, &k);
}

static void
append(struct dirty *d, struct dirty_name *n)
{
	n->next = NULL;
	n->prev = d->last;
	if (d->last != NULL)
		d->last->next = n;
	else
		d->first = n;
	d->last = n;
}

static void
unlink_name(struct dirty *d, struct dirty_name *n)
{
	if (n->prev != NULL)
		n->prev->next = n->next;
	else
		d->first = n->next;
	if (n->next != NULL)
		n->next->prev = n->prev;
	else
		d->last = n->prev;
}

static void
forget(struct dirty *d, struct dirty_name *n)
{
	unlink_name(d, n);
	map_del(&d->names, map_hash(d->seed, n->path, n->len), n);
	free(n);
}

static struct dirty_name *
new_name(struct dirty *d, const void *path, size_t len)
{
	struct dirty_name *n = calloc(1, sizeof(*n) + len + 1);

	if (n == NULL)
		return NULL;
	memcpy(n->path, path, len);
	n->len = (uint16_t)len;
	if (map_add(&d->names, map_hash(d->seed, path, len), n) < 0) {
		free(n);
		return NULL;
	}
	append(d, n);
	return n;
}

int
dirty_add(struct dirty *d, const void *path, size_t len, uint64_t now_ms)
{
	struct dirty_name *n;

	if (len == 0 || len > PATH_BYTES_MAX)
		return 0; /* the root itself, or a name that cannot be replicated */
	n = find(d, path, len);
	if (n == NULL && d->names.n >= DIRTY_MAX)
		return -ENOBUFS;
	if (n == NULL && (n = new_name(d, path, len)) == NULL)
		return -ENOMEM;
	if (n->in_hand)
		n->again = true;
	if (!n->waiting) {
		n->waiting = true;
		n->since = ++d->stamp;
		n->tries = 0;
		n->below = false;
		d->waiting++;
		if (!n->in_hand) {
			unlink_name(d, n);
			append(d, n);
		}
	}
	n->due_ms = n->taken_ms != 0 && now_ms - n->taken_ms < d->settle_ms ? now_ms + d->settle_ms
									    : now_ms;
	return 0;
}

int
dirty_add_late(struct dirty *d, const void *path, size_t len, uint64_t now_ms)
{
	int r = dirty_add(d, path, len, now_ms);
	struct dirty_name *n = find(d, path, len);

	if (n != NULL)
		n->since = 0;
	return r;
}

int
dirty_force(struct dirty *d, const void *path, size_t len, uint64_t now_ms)
{
	int r = dirty_add(d, path, len, now_ms);
	struct dirty_name *n = r == 0 ? find(d, path, len) : NULL;

	if (n != NULL)
		n->force = true;
	return r;
}

void
dirty_touched(struct dirty *d, const void *path, size_t len)
{
	struct dirty_name *n = find(d, path, len);

	if (n != NULL)
		n->touched = true;
}

bool
dirty_has(const struct dirty *d, const void *path, size_t len)
{
	const struct dirty_name *n = find(d, path, len);

	return n != NULL && n->waiting;
}

bool
dirty_unseen(const struct dirty *d, const void *path, size_t len)
{
	const struct dirty_name *n = find(d, path, len);

	return n != NULL && n->waiting && n->reason == NULL && (!n->in_hand || n->again);
}

bool
dirty_below(const struct dirty *d, const void *path, size_t len)
{
	for (const struct dirty_name *n = d->first; n != NULL; n = n->next)
		if (n->waiting && path_within(n->path, n->len, path, len))
			return true;
	return false;
}

struct dirty_name *
dirty_take(struct dirty *d, uint64_t now_ms)
{
	struct dirty_name *next;

	for (struct dirty_name *n = d->first; n != NULL; n = next) {
		next = n->next;
		if (n->in_hand)
			continue;
		if (n->waiting && n->due_ms <= now_ms) {
			n->in_hand = true;
			n->again = false;
			n->tried = ++d->stamp;
			return n;
		}
		if (!n->waiting && now_ms - n->taken_ms >= d->settle_ms)
			forget(d, n);
	}
	return NULL;
}

void
dirty_done(struct dirty *d, struct dirty_name *n, uint64_t now_ms, const char *reason,
	   uint64_t retry_ms)
{
	n->in_hand = false;
	n->reason = reason;
	if (reason != NULL) {
		n->tries++;
		n->soon = retry_ms <= DIRTY_SOON_MS;
		if (n->soon && n->tried < d->asked)
			n->due_ms = now_ms;
		else if (!n->again)
			n->due_ms = now_ms + retry_ms;
		unlink_name(d, n);
		append(d, n);
		return;
	}
	n->taken_ms = now_ms;
	n->import_ctime_ns = 0;
	if (n->again) { /* changed meanwhile: when it was quiet */
		n->since = ++d->stamp;
		n->due_ms = now_ms + d->settle_ms;
		return;
	}
	n->waiting = false;
	n->force = n->touched = false;
	d->waiting--;
}

uint64_t
dirty_deadline(const struct dirty *d)
{
	uint64_t at = UINT64_MAX;

	if (d->waiting == 0)
		return at;
	for (const struct dirty_name *n = d->first; n != NULL; n = n->next)
		if (n->waiting && !n->in_hand && n->due_ms < at)
			at = n->due_ms;
	return at;
}

size_t
dirty_count(const struct dirty *d)
{
	return d->waiting;
}

uint64_t
dirty_stamp(struct dirty *d)
{
	return ++d->stamp;
}

uint64_t
dirty_ask(struct dirty *d, uint64_t now_ms)
{
	for (struct dirty_name *n = d->first; n != NULL; n = n->next)
		if (n->waiting && n->reason != NULL && n->soon && !n->in_hand && n->due_ms > now_ms)
			n->due_ms = now_ms;
	d->asked = ++d->stamp;
	return d->asked;
}

bool
dirty_clean_before(const struct dirty *d, uint64_t stamp)
{
	for (const struct dirty_name *n = d->first; n != NULL; n = n->next)
		if (n->waiting && n->since < stamp &&
		    (n->in_hand || n->reason == NULL || (n->soon && n->tried < stamp)))
			return false;
	return true;
}

void
dirty_each_reason(const struct dirty *d, bool (*f)(void *arg, const struct dirty_name *n),
		  void *arg)
{
	for (const struct dirty_name *n = d->first; n != NULL; n = n->next)
		if (n->waiting && n->reason != NULL && !f(arg, n))
			return;
}

void
dirty_set_settle(struct dirty *d, uint64_t settle_ms)
{
	d->settle_ms = settle_ms;
}

struct dirty *
dirty_new(uint64_t settle_ms, uint64_t seed)
{
	struct dirty *d = calloc(1, sizeof(*d));

	if (d == NULL)
		return NULL;
	d->settle_ms = settle_ms;
	d->seed = seed;
	return d;
}

void
dirty_free(struct dirty *d)
{
	if (d == NULL)
		return;
	while (d->first != NULL)
		forget(d, d->first);
	map_free(&d->names);
	free(d);
}
