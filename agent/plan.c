/* SPDX-License-Identifier: BSD-2-Clause */
/* What to do next at one path: a pure decision from the index. */
#include "config.h"

#include "agent/plan.h"

#include "proto/seeded.h"

static bool
shows_dir(const struct pathent *ent)
{
	return ent->parent == NULL || ent->shown_dir ||
	       (ent->shown != NULL && ent->shown->r->kind == KIND_DIR);
}

static bool
shows_leaf(const struct pathent *ent)
{
	return ent->shown != NULL && ent->shown->r->kind != KIND_DIR;
}

static bool
shows_below(const struct pathent *ent)
{
	for (const struct pathent *c = ent->child; c != NULL; c = c->sib_next)
		if (c->shown != NULL || c->shown_dir)
			return true;
	return false;
}

static struct plan
act(enum entry_action action, struct irec *rec)
{
	return (struct plan){PLAN_ACT, action, rec, false};
}

static struct plan
make_room(const struct pathent *ent)
{
	if (!shows_dir(ent))
		return (struct plan){PLAN_ACT, ACTION_TAKE, NULL, true};
	if (shows_below(ent))
		return (struct plan){.what = PLAN_CHILDREN};
	return (struct plan){PLAN_ACT, ACTION_RMDIR, NULL, true};
}

/* Can this loser be dealt with without its bytes: no content, or the same as what wins, or in the
 * store already. */
static bool
deal_without_content(const struct index *x, const struct pathent *ent, const struct irec *rec)
{
	const struct irec *w = index_winner(ent);

	if (!record_live(rec->r) || rec->r->kind == KIND_DIR || SEEDED(loser_dropped))
		return true;
	if (w != rec && record_same_content(rec->r, w->r))
		return true;
	return x != NULL && index_kept(x, rec->r->dot) != NULL;
}

static struct plan
plan_losers(const struct index *x, const struct pathent *ent)
{
	struct irec *keep = NULL;

	for (struct irec *i = ent->recs; i != NULL; i = i->next) {
		if (!i->head || index_applied(i))
			continue;
		if (deal_without_content(x, ent, i))
			return (struct plan){.what = PLAN_DEAL};
		keep = i;
	}
	if (keep != NULL)
		return (struct plan){.what = PLAN_KEEP, .rec = keep};
	return (struct plan){.what = PLAN_NOTHING};
}

static struct plan
plan_leaf(const struct index *x, const struct pathent *ent, struct irec *want)
{
	if (ent->shown == want && !ent->altered)
		return plan_losers(x, ent);
	if (shows_dir(ent))
		return make_room(ent);
	if (ent->shown == NULL)
		return shows_dir(ent->parent) ? act(ACTION_PLACE, want)
					      : (struct plan){.what = PLAN_PARENT};
	if (ent->shown->r->kind == KIND_FILE && !ent->altered &&
	    record_same_content(ent->shown->r, want->r))
		return act(ACTION_META, want);
	return act(ACTION_EXCHANGE, want);
}

static struct plan
plan_dir(const struct index *x, const struct pathent *ent, struct irec *want)
{
	if (shows_leaf(ent))
		return make_room(ent);
	if (!shows_dir(ent))
		return shows_dir(ent->parent) ? act(ACTION_MKDIR, want)
					      : (struct plan){.what = PLAN_PARENT};
	if (want != NULL && ent->shown != want)
		return act(ACTION_META, want);
	return plan_losers(x, ent);
}

static struct plan
plan_absent(const struct index *x, const struct pathent *ent)
{
	struct irec *w = index_winner(ent);
	struct irec *tomb = w != NULL && !record_live(w->r) ? w : NULL;
	struct plan p;

	if (ent->shown == NULL && !ent->shown_dir)
		return plan_losers(x, ent);
	if (tomb != NULL && dotset_has(&x->held, tomb->r->dot))
		return (struct plan){.what = PLAN_HELD, .rec = tomb};
	p = make_room(ent);
	p.rec = tomb;
	p.room = tomb == NULL;
	return p;
}

/* Must this head be dealt with at an ignored path: it is new, or it wins and is not marked as left
 * yet. */
static bool
deal_ignored(const struct pathent *ent, const struct irec *rec)
{
	return rec->head &&
	       (!index_applied(rec) || (rec == index_winner(ent) &&
					!dot_eq(ent->left, rec->r->dot) && !index_shows_want(ent)));
}

static bool
any_ignored(const struct pathent *ent)
{
	for (const struct irec *i = ent->recs; i != NULL; i = i->next)
		if (deal_ignored(ent, i))
			return true;
	return false;
}

struct plan
plan_path(const struct index *x, const struct pathent *ent, bool ignored)
{
	struct irec *want;

	if (index_settled(ent))
		return (struct plan){.what = PLAN_NOTHING};
	if (ignored)
		return (struct plan){.what = any_ignored(ent) ? PLAN_DEAL : PLAN_NOTHING};
	switch (index_want(ent, &want)) {
	case WANT_RECORD:
		return want->r->kind == KIND_DIR ? plan_dir(x, ent, want) : plan_leaf(x, ent, want);
	case WANT_DIR:
		return plan_dir(x, ent, NULL);
	case WANT_ABSENT:
	default:
		return plan_absent(x, ent);
	}
}

void
plan_deal_each(const struct index *x, const struct pathent *ent, bool ignored,
	       void (*f)(void *arg, struct irec *rec), void *arg)
{
	for (struct irec *i = ent->recs; i != NULL; i = i->next)
		if (ignored ? deal_ignored(ent, i)
			    : i->head && !index_applied(i) && deal_without_content(x, ent, i))
			f(arg, i);
}

bool
plan_same(const struct plan *a, const struct plan *b)
{
	return a->what == b->what && a->action == b->action && a->rec == b->rec &&
	       a->room == b->room;
}
