/* SPDX-License-Identifier: BSD-2-Clause */
/* What the heads of a path mean: the winner, what the tree should show, what is an echo. */
#include "config.h"

#include "proto/index.h"

#include <string.h>

struct irec *
index_winner(const struct pathent *ent)
{
	struct irec *best = NULL;

	for (struct irec *i = ent->recs; i != NULL; i = i->next)
		if (i->head && (best == NULL || record_rank(i->r, best->r) > 0))
			best = i;
	return best;
}

bool
index_applied(const struct irec *rec)
{
	return vv_covers(&rec->ent->actx, rec->r->dot);
}

static struct irec *
best_dir(const struct pathent *ent)
{
	struct irec *best = NULL;

	for (struct irec *i = ent->recs; i != NULL; i = i->next)
		if (i->head && i->r->kind == KIND_DIR &&
		    (best == NULL || record_rank(i->r, best->r) > 0))
			best = i;
	return best;
}

/* Is there a file or link above, no import, that keeps its name against imports below it? */
static bool
blocked(const struct pathent *ent)
{
	for (const struct pathent *a = ent->parent; a != NULL; a = a->parent) {
		if (a->live != 2 || a->strong_below > 0)
			continue;
		if (index_winner(a)->r->kind != KIND_DIR)
			return true;
	}
	return false;
}

static enum want
want_dir(const struct pathent *ent, struct irec **rec)
{
	*rec = best_dir(ent);
	return *rec != NULL ? WANT_RECORD : WANT_DIR;
}

enum want
index_want(const struct pathent *ent, struct irec **rec)
{
	struct irec *w = index_winner(ent);

	*rec = NULL;
	if (ent->parent == NULL)
		return WANT_DIR;
	if (ent->strong_below > 0)
		return want_dir(ent, rec);
	if (ent->live == 2) {
		*rec = w;
		return WANT_RECORD;
	}
	if (blocked(ent))
		return WANT_ABSENT;
	if (ent->weak_below > 0)
		return want_dir(ent, rec);
	if (ent->live == 1) {
		*rec = w;
		return WANT_RECORD;
	}
	return WANT_ABSENT;
}

bool
index_shows_want(const struct pathent *ent)
{
	struct irec *rec;

	switch (index_want(ent, &rec)) {
	case WANT_RECORD:
		return ent->shown == rec && !ent->altered;
	case WANT_DIR:
		return ent->shown_dir || (ent->shown != NULL && ent->shown->r->kind == KIND_DIR);
	case WANT_ABSENT:
	default:
		return ent->shown == NULL && !ent->shown_dir;
	}
}

bool
index_settled(const struct pathent *ent)
{
	struct irec *w = index_winner(ent);

	if (ent->parent == NULL)
		return true;
	for (const struct irec *i = ent->recs; i != NULL; i = i->next)
		if (!index_applied(i))
			return false;
	if (w != NULL && dot_eq(ent->left, w->r->dot))
		return true;
	return index_shows_want(ent);
}

static bool
same_owner(const struct record *a, const struct record *b)
{
	return a->owner_len == b->owner_len && a->group_len == b->group_len &&
	       (a->owner_len == 0 || memcmp(a->owner, b->owner, a->owner_len) == 0) &&
	       (a->group_len == 0 || memcmp(a->group, b->group, a->group_len) == 0);
}

/* Equal as far as the tree can show: the kind decides which fields count. */
static bool
same_state(const struct record *a, const struct record *b, bool owners)
{
	if (a->kind != b->kind)
		return false;
	if (a->kind == KIND_ABSENT)
		return true;
	if (owners && !same_owner(a, b))
		return false;
	switch (a->kind) {
	case KIND_DIR:
		return a->mode == b->mode;
	case KIND_SYMLINK:
		return record_same_content(a, b);
	default:
		return a->mode == b->mode && a->mtime_ns == b->mtime_ns &&
		       record_same_content(a, b);
	}
}

bool
index_shows(const struct pathent *ent, const struct record *state, bool owners)
{
	if (ent->shown_dir)
		return state->kind == KIND_DIR;
	if (ent->shown == NULL)
		return state->kind == KIND_ABSENT;
	return same_state(ent->shown->r, state, owners);
}

struct irec *
index_echo(const struct pathent *ent, const struct record *state, bool owners)
{
	const struct record *shown = ent->shown != NULL ? ent->shown->r : NULL;

	for (struct irec *i = ent->recs; i != NULL; i = i->next) {
		if (index_applied(i) || !same_state(i->r, state, owners))
			continue;
		if (shown == NULL || record_covers(i->r, shown->dot) ||
		    record_rank(i->r, shown) > 0)
			return i;
	}
	return NULL;
}

unsigned
index_conflicts_at(const struct pathent *ent)
{
	const struct irec *w = index_winner(ent);
	unsigned n = 0;

	if (w == NULL)
		return 0;
	for (const struct irec *i = ent->recs; i != NULL; i = i->next)
		if (i->head && i != w && record_live(i->r) && i->r->kind != KIND_DIR &&
		    !record_same_content(i->r, w->r))
			n++;
	return n;
}

unsigned
index_heads_at(const struct pathent *ent)
{
	unsigned n = 0;

	for (const struct irec *i = ent->recs; i != NULL; i = i->next)
		n += i->head;
	return n;
}
