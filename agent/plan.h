/* SPDX-License-Identifier: BSD-2-Clause */
/* What to do next at one path: a pure decision from the index. */
#ifndef MIMEO_AGENT_PLAN_H
#define MIMEO_AGENT_PLAN_H

#include "proto/index.h"

enum plan_do {
	PLAN_NOTHING, /* settled */
	PLAN_DEAL,    /* nothing changes in the tree: heads that lose without content, or an ignored
			 path, are marked as dealt with */
	PLAN_KEEP,    /* fetch a losing version into the store */
	PLAN_ACT,     /* change the tree: `action` */
	PLAN_PARENT,  /* wait: the directory is not there yet */
	PLAN_CHILDREN, /* wait: something is still shown below */
	PLAN_HELD,     /* wait: a delete that needs a person's consent */
};

struct plan {
	enum plan_do what;
	enum entry_action action; /* PLAN_ACT; never ACTION_MOVE: that is a way to place */
	struct irec *rec; /* ACT: what will be shown, or the delete that is applied (NULL: makes
			     room, or nothing is left); KEEP: the loser */
	bool room;        /* ACT: takes away what is shown to make room for what is wanted */
};

/* ignored: the path is ignored here. */
struct plan plan_path(const struct index *x, const struct pathent *ent, bool ignored);
/* Calls f for every head that PLAN_DEAL deals with. */
void plan_deal_each(const struct index *x, const struct pathent *ent, bool ignored,
		    void (*f)(void *arg, struct irec *rec), void *arg);
/* Are both the same decision? */
bool plan_same(const struct plan *a, const struct plan *b);

#endif
