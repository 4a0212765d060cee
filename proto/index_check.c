/* SPDX-License-Identifier: BSD-2-Clause */
/* Walks the whole index and recomputes what is derived. For tests and simulators. */
#include "config.h"

#include "proto/index.h"

#include <assert.h>

struct sums {
	uint64_t files, bytes, dirs, tombstones, conflicts, digest;
	size_t todo;
	uint32_t strong, weak;
};

static void
check_recs(const struct pathent *e)
{
	for (const struct irec *i = e->recs; i != NULL; i = i->next) {
		bool head = true;

		assert(i->ent == e && i->shown == (e->shown == i));
		assert(i->head || i->shown || !index_applied(i));
		for (const struct irec *k = e->recs; k != NULL; k = k->next)
			if (k != i && record_covers(k->r, i->r->dot))
				head = false;
		assert(!i->head || head);
	}
}

static void
check_ent(const struct index *x, const struct pathent *e, struct sums *s)
{
	const struct irec *w = index_winner(e);

	check_recs(e);
	assert(e->todo == !index_settled(e));
	assert(e->live == (w == NULL || !record_live(w->r) ? 0 : record_import(w->r) ? 1 : 2));
	assert(!(e->shown != NULL && e->shown_dir));
	assert(!e->altered || (e->shown != NULL && e->shown->r->kind == KIND_FILE));
	assert(index_find(x, e->path, e->path_len) == e);
	s->todo += e->todo;
	s->tombstones += w != NULL && !record_live(w->r);
	s->conflicts += index_conflicts_at(e);
	if (e->shown != NULL && e->shown->r->kind == KIND_DIR)
		s->dirs++;
	else if (e->shown != NULL) {
		s->files++;
		s->bytes += e->shown->r->size;
	}
}

/* Returns the live own winners at and below e through *strong and *weak. */
static void
check_below(const struct index *x, const struct pathent *e, struct sums *s, uint32_t *strong,
	    uint32_t *weak)
{
	uint32_t st = 0, we = 0;

	check_ent(x, e, s);
	for (const struct pathent *c = e->child; c != NULL; c = c->sib_next) {
		assert(c->parent == e);
		check_below(x, c, s, &st, &we);
	}
	assert(st == e->strong_below && we == e->weak_below);
	*strong += st + (e->live == 2);
	*weak += we + (e->live == 1);
}

void
index_check(const struct index *x)
{
	struct sums s = {0};

	check_below(x, x->root, &s, &s.strong, &s.weak);
	assert(s.todo == x->todo_count);
	assert(s.files == x->files && s.bytes == x->bytes && s.dirs == x->dirs);
	assert(s.tombstones == x->tombstones && s.conflicts == x->conflicts);
	assert(dotset_subset(&x->acked, &x->have));
	for (const struct intent *in = x->intents; in != NULL; in = in->next)
		assert(in->ent->intent == in && (in->from == NULL || in->from->intent == in));
}
