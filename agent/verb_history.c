/* SPDX-License-Identifier: BSD-2-Clause */
/* history: all versions of a path that the log still has, those that were superseded included. */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/past.h"
#include "agent/verbs.h"

struct row {
	const struct record *r; /* borrowed from past */
};

struct telling {
	struct past_want want;
	const char *paths[CONTROL_WORDS_MAX];
	struct past *past;
	struct row *rows; /* oldest first */
	size_t nrows, at;
	bool gathered;
};

static int
by_time(const void *a, const void *b)
{
	const struct record *x = ((const struct row *)a)->r, *y = ((const struct row *)b)->r;

	if (x->hlc != y->hlc)
		return x->hlc < y->hlc ? -1 : 1;
	return dot_cmp(x->dot, y->dot);
}

static size_t
count(const struct past *p)
{
	size_t n = 0;

	for (size_t i = 0; past_at(p, i) != NULL; i++)
		for (size_t k = 0; past_version(p, i, k) != NULL; k++)
			n++;
	return n;
}

static int
sort(struct telling *t)
{
	const struct record *r;

	t->rows = calloc(count(t->past) + 1, sizeof(*t->rows));
	if (t->rows == NULL)
		return -ENOMEM;
	for (size_t i = 0; past_at(t->past, i) != NULL; i++)
		for (size_t k = 0; (r = past_version(t->past, i, k)) != NULL; k++)
			t->rows[t->nrows++].r = r;
	qsort(t->rows, t->nrows, sizeof(*t->rows), by_time);
	t->gathered = true;
	return 0;
}

static int
begin(struct request *q)
{
	struct telling *t = q->telling = calloc(1, sizeof(*t));

	if (t == NULL)
		return -ENOMEM;
	for (size_t i = 1; i < q->nwords; i++)
		t->paths[t->want.npaths++] = q->words[i];
	t->want.paths = t->paths;
	return past_new(q->node, &t->want, &t->past);
}

/* 1: not yet. */
static int
gather(struct request *q)
{
	int r = q->telling == NULL ? begin(q) : 0;

	if (r == 0 && !q->telling->gathered) {
		r = past_step(q->telling->past);
		if (r == 0)
			r = sort(q->telling);
	}
	return r;
}

void
verb_history(struct request *q)
{
	struct telling *t;
	int r;

	if (q->nwords < 2) {
		verb_end(q, CONTROL_USAGE, "history: which path?");
		return;
	}
	r = gather(q);
	if (r < 0) {
		verb_end(q, CONTROL_FAILED, "%s",
			 r == -E2BIG ? "too many versions below that path: ask for a part of it"
				     : strerror(-r));
		return;
	}
	q->busy = r > 0;
	if (r > 0)
		return;
	for (t = q->telling; t->at < t->nrows && !verb_full(q); t->at++)
		verb_record_row(q, t->rows[t->at].r);
	if (t->at == t->nrows)
		verb_end(q, CONTROL_OK, "%s", "");
}

void
verb_history_clear(struct request *q)
{
	if (q->telling == NULL)
		return;
	free(q->telling->rows);
	past_free(q->telling->past);
	free(q->telling);
	q->telling = NULL;
}
