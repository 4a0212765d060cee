/* SPDX-License-Identifier: BSD-2-Clause */
/* A ring of slots for each peer. */
#include "config.h"

#include "agent/history.h"

#include <stdlib.h>
#include <string.h>

struct line {
	char peer[64];
	uint64_t newest;            /* number of the newest slot: time / HISTORY_SLOT_MS */
	float worst[HISTORY_SLOTS]; /* by number modulo; negative: nothing */
	struct line *next;
};

struct history {
	struct line *lines;
	size_t n;
};

struct history *
history_new(void)
{
	return calloc(1, sizeof(struct history));
}

void
history_free(struct history *h)
{
	if (h == NULL)
		return;
	for (struct line *l = h->lines, *next; l != NULL; l = next) {
		next = l->next;
		free(l);
	}
	free(h);
}

static struct line *
find(const struct history *h, const char *peer)
{
	for (struct line *l = h->lines; l != NULL; l = l->next)
		if (strncmp(l->peer, peer, sizeof(l->peer) - 1) == 0)
			return l;
	return NULL;
}

static struct line *
add_line(struct history *h, const char *peer, uint64_t slot)
{
	size_t len = strnlen(peer, sizeof(h->lines->peer) - 1);
	struct line *l = h->n < HISTORY_PEERS_MAX ? calloc(1, sizeof(*l)) : NULL;

	if (l == NULL)
		return NULL;
	memcpy(l->peer, peer, len);
	l->newest = slot;
	for (size_t i = 0; i < HISTORY_SLOTS; i++)
		l->worst[i] = -1;
	l->next = h->lines;
	h->lines = l;
	h->n++;
	return l;
}

void
history_add(struct history *h, const char *peer, uint64_t now_ms, float seconds)
{
	uint64_t slot = now_ms / HISTORY_SLOT_MS;
	struct line *l = find(h, peer);

	if (l == NULL && (l = add_line(h, peer, slot)) == NULL)
		return;
	if (slot - l->newest >= HISTORY_SLOTS && slot > l->newest)
		l->newest = slot - HISTORY_SLOTS;
	while (l->newest < slot)
		l->worst[++l->newest % HISTORY_SLOTS] = -1;
	if (seconds > l->worst[slot % HISTORY_SLOTS])
		l->worst[slot % HISTORY_SLOTS] = seconds;
}

bool
history_of(const struct history *h, const char *peer, uint64_t now_ms, float out[HISTORY_SLOTS])
{
	uint64_t slot = now_ms / HISTORY_SLOT_MS;
	const struct line *l = find(h, peer);

	if (l == NULL)
		return false;
	for (uint64_t back = 0; back < HISTORY_SLOTS; back++) {
		float *to = &out[HISTORY_SLOTS - 1 - back];

		*to = -1;
		if (slot >= back && slot - back <= l->newest &&
		    l->newest - (slot - back) < HISTORY_SLOTS)
			*to = l->worst[(slot - back) % HISTORY_SLOTS];
	}
	return true;
}
