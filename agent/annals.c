/* SPDX-License-Identifier: BSD-2-Clause */
/* Every record that the log still has, in the order of their times. */
#include "config.h"

#include "agent/annals.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/logfile.h"
#include "proto/hlc.h"
#include "proto/path.h"

#define FILES 2 /* this generation and the one before it */
#define ROWS_MIN 1024u

struct row {
	uint64_t hlc;
	struct dot dot;
	uint64_t place; /* offset, twice, and which file */
};

struct annals {
	const struct annals_want *want;
	uint64_t limit;
	struct logfile file[FILES];
	size_t reading; /* under way */
	struct row *rows;
	size_t n, cap, at;
	bool cut;
	struct entry told; /* the last one */
};

static int
by_time(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	if (x->hlc != y->hlc)
		return x->hlc < y->hlc ? -1 : 1;
	return dot_cmp(x->dot, y->dot);
}

/* In order, each dot once (a compacted log repeats what the one before it had), and not too many.
 */
static void
put_in_order(struct annals *a)
{
	size_t n = 0;

	if (a->n > 0)
		qsort(a->rows, a->n, sizeof(*a->rows), by_time);
	for (size_t i = 0; i < a->n; i++)
		if (n == 0 || !dot_eq(a->rows[n - 1].dot, a->rows[i].dot))
			a->rows[n++] = a->rows[i];
	a->n = n;
	if (n <= a->limit)
		return;
	a->n = (size_t)a->limit;
	memmove(a->rows, a->rows + (n - a->n), a->n * sizeof(*a->rows));
	a->cut = a->want->limit > a->limit;
}

/* Room for one more. */
static int
make_room(struct annals *a)
{
	size_t most = 2 * (size_t)a->limit > ROWS_MIN ? 2 * (size_t)a->limit : ROWS_MIN;
	size_t cap = a->cap == 0 ? ROWS_MIN : 2 * a->cap;
	struct row *more;

	if (a->cap == most) {
		put_in_order(a);
		return 0;
	}
	cap = cap < most ? cap : most;
	more = realloc(a->rows, cap * sizeof(*more));
	if (more == NULL)
		return -ENOMEM;
	a->rows = more;
	a->cap = cap;
	return 0;
}

bool
annals_wants(const struct annals_want *want, const struct record *r)
{
	size_t len = want->path != NULL ? strlen(want->path) : 0;

	if (hlc_ms(r->hlc) < want->since_ms)
		return false;
	return len == 0 || path_within(r->path, r->path_len, want->path, len);
}

static int
gather(struct annals *a, const struct record *r, uint64_t place)
{
	int e = 0;

	if (!annals_wants(a->want, r))
		return 0;
	if (a->n == a->cap)
		e = make_room(a);
	if (e == 0)
		a->rows[a->n++] = (struct row){r->hlc, r->dot, place};
	return e;
}

int
annals_step(struct annals *a)
{
	struct logfile *f = &a->file[a->reading];
	uint64_t upto = f->at + ANNALS_STEP_BYTES, at;
	struct entry e;
	int r = 1;

	while (r == 1) {
		r = logfile_next(f, upto, &at, &e);
		if (r == 1) {
			int got = gather(a, &e.rec, at * FILES + a->reading);

			entry_clear(&e);
			r = got < 0 ? got : 1;
		}
	}
	if (r < 0 || !f->ended)
		return r < 0 ? r : 1;
	if (++a->reading < FILES)
		return 1;
	put_in_order(a);
	return 0;
}

int
annals_next(struct annals *a, const struct record **r)
{
	uint64_t place;
	int e;

	entry_clear(&a->told);
	a->told = (struct entry){0};
	if (a->at == a->n)
		return 0;
	place = a->rows[a->at++].place;
	e = logfile_entry(&a->file[place % FILES], place / FILES, &a->told);
	*r = &a->told.rec;
	return e;
}

bool
annals_cut(const struct annals *a)
{
	return a->cut;
}

/* What the index has not folded yet is not told: whoever follows it is told then. */
static int
open_logs(struct annals *a, const struct node *n)
{
	const struct wal_info *i = n->wal != NULL ? wal_info(n->wal) : NULL;
	int e = logfile_open(&a->file[0], n->conf->state, LOGFILE_CURRENT);

	if (e < 0)
		return e;
	if (i != NULL && i->generation == a->file[0].generation)
		logfile_cut(&a->file[0], i->size);
	e = logfile_open(&a->file[1], n->conf->state, LOGFILE_PREVIOUS);
	return e == -ENOENT || e == -EBADMSG ? 0 : e;
}

int
annals_new(struct node *n, const struct annals_want *want, struct annals **out)
{
	struct annals *a = calloc(1, sizeof(*a));
	int e;

	*out = NULL;
	if (a == NULL)
		return -ENOMEM;
	a->want = want;
	a->limit = want->limit < ANNALS_ROWS_MAX ? want->limit : ANNALS_ROWS_MAX;
	for (size_t i = 0; i < FILES; i++)
		logfile_init(&a->file[i]);
	e = open_logs(a, n);
	if (e < 0) {
		annals_free(a);
		return e;
	}
	*out = a;
	return 0;
}

void
annals_free(struct annals *a)
{
	if (a == NULL)
		return;
	entry_clear(&a->told);
	for (size_t i = 0; i < FILES; i++)
		logfile_close(&a->file[i]);
	free(a->rows);
	free(a);
}
