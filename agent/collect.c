/* SPDX-License-Identifier: BSD-2-Clause */
/* Tombstones go when nobody can need them any more. */
#include "config.h"

#include "agent/collect.h"

#include <stdlib.h>

#include "agent/commit.h"
#include "agent/exchange.h"
#include "proto/hlc.h"
#include "proto/seeded.h"

#define PAUSE_MS_MIN 1000
#define PAUSE_PART 20 /* of the age that is asked for */

struct collect {
	struct node *n;
	struct dotset elsewhere; /* of some peer's floor, and not of this node's */
	struct index_cursor cursor;
	bool running;
	uint64_t due_ms;
};

static bool
applied_by_all(const struct node *n, struct dot dot)
{
	if (!dotset_has(&n->index->acked, dot))
		return false;
	for (const struct peer *p = exchange_peers(n->exchange); p != NULL; p = p->next)
		if (!dotset_has(&p->acked, dot) && !SEEDED(tombstone_early))
			return false;
	return true;
}

static bool
context_held(const struct index *x, const struct vv *ctx)
{
	for (uint32_t i = 0; i < ctx->n; i++)
		if (dotset_prefix(&x->have, ctx->e[i].origin) < ctx->e[i].seq)
			return false;
	return true;
}

static bool
old_enough(const struct collect *c, const struct record *r)
{
	return hlc_ms(r->hlc) + c->n->conf->tombstones_ms < c->n->wall_ms ||
	       dotset_has(&c->elsewhere, r->dot);
}

static bool
collectable(const struct collect *c, const struct pathent *e)
{
	const struct node *n = c->n;
	bool import = false, all_elsewhere = true, any = false;

	if (e->shown != NULL || e->shown_dir || e->todo || e->intent != NULL || e->work != NULL)
		return false;
	for (const struct irec *i = e->recs; i != NULL; i = i->next) {
		if (!i->head || (record_live(i->r) && !record_import(i->r)))
			return false;
		if (record_live(i->r)) {
			import = true;
			continue;
		}
		if (!old_enough(c, i->r) || !applied_by_all(n, i->r->dot) ||
		    !context_held(n->index, &i->r->ctx))
			return false;
		any = true;
		all_elsewhere = all_elsewhere && dotset_has(&c->elsewhere, i->r->dot);
	}
	return any && (!import || all_elsewhere);
}

static void
put_collected(struct node *n, const struct pathent *e)
{
	for (const struct irec *i = e->recs; i != NULL; i = i->next)
		if (!record_live(i->r))
			commit_put(n->commit, &(struct entry){.type = ENTRY_COLLECTED,
							      .path = e->path,
							      .path_len = e->path_len,
							      .dot = i->r->dot});
}

static void
end_turn(struct collect *c)
{
	uint64_t pause = c->n->conf->tombstones_ms / PAUSE_PART;

	index_cursor_end(c->n->index, &c->cursor);
	c->running = false;
	pause = pause < COLLECT_PAUSE_MS_MAX ? pause : COLLECT_PAUSE_MS_MAX;
	c->due_ms = c->n->now_ms + (pause > PAUSE_MS_MIN ? pause : PAUSE_MS_MIN);
}

void
collect_tick(struct collect *c)
{
	struct node *n = c->n;
	const struct irec *i = NULL;

	if (n->halted != 0 || n->now_ms < c->due_ms)
		return;
	if (!c->running)
		index_cursor_begin(n->index, &c->cursor);
	c->running = true;
	for (unsigned k = 0; k < COLLECT_TURN_MAX; k++) {
		i = index_cursor_next(n->index, &c->cursor);
		if (i == NULL)
			break;
		/* Once a path: at its first record. */
		if (i == i->ent->recs && collectable(c, i->ent))
			put_collected(n, i->ent);
	}
	if (i == NULL)
		end_turn(c);
}

uint64_t
collect_deadline(const struct collect *c)
{
	return c->n->halted != 0 ? UINT64_MAX : c->due_ms;
}

int
collect_elsewhere(struct collect *c, const struct dotset *floor)
{
	uint64_t before = dotset_count(&c->elsewhere);
	int r = 0;

	if (!dotset_subset(floor, &c->n->index->floor))
		r = dotset_join(&c->elsewhere, floor);
	if (r == 0)
		r = dotset_minus(&c->elsewhere, &c->n->index->floor);
	/* Until they are forgotten here, too, both may show something else. */
	if (dotset_count(&c->elsewhere) > before && c->due_ms > c->n->now_ms + PAUSE_MS_MIN)
		c->due_ms = c->n->now_ms + PAUSE_MS_MIN;
	return r;
}

struct collect *
collect_new(struct node *n)
{
	struct collect *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->n = n;
	c->due_ms = n->now_ms + PAUSE_MS_MIN;
	return c;
}

void
collect_free(struct collect *c)
{
	if (c == NULL)
		return;
	if (c->running)
		index_cursor_end(c->n->index, &c->cursor);
	dotset_free(&c->elsewhere);
	free(c);
}
