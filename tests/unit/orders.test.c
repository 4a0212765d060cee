/* SPDX-License-Identifier: BSD-2-Clause */
/* Every history of five records by at most three origins at one path, in every order of arrival:
 * the heads are the maximal elements of what really came before what, at every step. */
#include "config.h"

#include "tests/fold.h"
#include "tests/tap.h"

#define N 5
#define ORDERS 120
#define KINDS 5 /* drawings of kinds and times for each history */
#define PAIRS (N * (N - 1) / 2)

/* Bit k of past[i]: record k came before record i, and its author knew. */
struct history {
	struct record r[N];
	unsigned past[N];
};

struct wrong {
	unsigned heads, winner, settled, acked;
};

static bool
model_head(const struct history *h, unsigned came, unsigned i)
{
	for (unsigned k = 0; k < N; k++)
		if ((came >> k & 1) != 0 && (h->past[k] >> i & 1) != 0)
			return false;
	return (came >> i & 1) != 0;
}

static void
compare(const struct history *h, const struct pathent *e, unsigned came, struct wrong *w)
{
	const struct record *best = NULL;
	const struct irec *win = index_winner(e);

	for (unsigned i = 0; i < N; i++) {
		const struct irec *rec = index_record(e, h->r[i].dot);
		bool head = model_head(h, came, i);

		w->heads += head != (rec != NULL && rec->head);
		if (head && (best == NULL || record_rank(&h->r[i], best) > 0))
			best = &h->r[i];
	}
	w->winner += win == NULL || best == NULL || !dot_eq(win->r->dot, best->dot);
}

/* What wins is applied; with `losers`, so is every other head. */
static void
apply(struct index *x, const struct pathent *e, bool losers)
{
	const struct irec *w = index_winner(e);
	struct entry a = {.type = ENTRY_APPLIED,
			  .path = e->path,
			  .path_len = e->path_len,
			  .dot = w->r->dot,
			  .flags = record_live(w->r) ? APPLIED_SHOWN : APPLIED_ABSENT,
			  .sig = {.ino = 1, .kind = w->r->kind}};
	struct dot lost[N];
	unsigned n = 0;

	for (const struct irec *i = e->recs; losers && i != NULL; i = i->next)
		if (i->head && i != w)
			lost[n++] = i->r->dot;
	must(index_fold(x, &a));
	a.flags = 0;
	while (n-- > 0) {
		a.dot = lost[n];
		must(index_fold(x, &a));
	}
}

/* One order, at a path of its own. `applies`: at which steps what wins is applied. */
static void
deliver(struct index *x, const struct history *h, const unsigned *order, unsigned number,
	unsigned applies, struct wrong *w)
{
	char path[16];
	const struct pathent *e = NULL;
	unsigned came = 0;

	snprintf(path, sizeof(path), "%u", number);
	for (unsigned i = 0; i < N; i++) {
		struct record r = h->r[order[i]];

		r.path = (const uint8_t *)path;
		r.path_len = (uint16_t)strlen(path);
		must(index_fold(x, &(struct entry){.type = ENTRY_KNOWN, .rec = r}));
		came |= 1u << order[i];
		e = index_find(x, path, strlen(path));
		compare(h, e, came, w);
		if ((applies >> i & 1) != 0)
			apply(x, e, (applies >> (N + i) & 1) != 0);
	}
	apply(x, e, true);
	compare(h, e, came, w);
	w->settled += e->todo;
	for (unsigned i = 0; i < N; i++)
		w->acked += !vv_covers(&e->actx, h->r[i].dot);
}

/* All orders of 0..N-1. */
static void
orders(unsigned out[ORDERS][N])
{
	unsigned count = 0;

	for (unsigned c = 0; c < 3125; c++) {
		unsigned o[N], used = 0, left = c;

		for (unsigned i = 0; i < N; i++, left /= N)
			used |= 1u << (o[i] = left % N);
		if (used == (1u << N) - 1)
			memcpy(out[count++], o, sizeof(o));
	}
}

/* Who wrote what, and what each author had seen, two numbers. False: not a history, or the same as
 * another pair of numbers gives. */
static bool
make_pasts(struct history *h, const unsigned *who, unsigned saw)
{
	unsigned bit = 0;

	for (unsigned i = 0; i < N; i++) {
		unsigned said = 0;

		h->past[i] = 0;
		for (unsigned k = 0; k < i; k++) {
			if ((saw >> bit++ & 1) == 0)
				continue;
			said |= 1u << k;
			h->past[i] |= 1u << k | h->past[k];
		}
		for (unsigned k = 0; k < i; k++)
			if (who[k] == who[i] && (said >> k & 1) == 0)
				return false; /* everybody has seen his own */
		if (said != h->past[i])
			return false; /* is told when all of it is said */
	}
	return true;
}

/* Files, deletes and imports; times that rise, fall or are equal, so that they say nothing. */
static void
make_records(struct history *h, const unsigned *who, uint64_t *seed)
{
	uint64_t seq[N] = {0}, luck = draw(seed) >> 8;

	for (unsigned i = 0; i < N; i++) {
		uint64_t bits = luck >> (4 * i), hlc = luck % 3 == 0   ? 5
						       : luck % 3 == 1 ? i + 1
								       : 9 - i;

		h->r[i] = rec("p", dot(10 + who[i], ++seq[who[i]]), hlc,
			      (bits & 3) == 0 ? KIND_ABSENT : KIND_FILE, (uint8_t)(1 + i % 3));
		if ((bits & 15) == 15)
			h->r[i] = import(h->r[i]);
		for (unsigned k = 0; k < i; k++)
			if ((h->past[i] >> k & 1) != 0)
				after(&h->r[i], &h->r[k]);
	}
}

static void
every_order(const struct history *h, unsigned order[ORDERS][N], uint64_t *seed, struct wrong *w)
{
	struct index *x = fold_index();

	for (unsigned o = 0; o < ORDERS; o++)
		deliver(x, h, order[o], o, o == 0 ? 0 : (unsigned)draw(seed), w);
	w->settled += x->todo_count != 0;
	index_check(x);
	index_free(x);
}

/* Origins in the order in which they appear: 0, then 1, then 2. */
static bool
canonical(unsigned code, unsigned who[N])
{
	unsigned next = 0;

	for (unsigned i = 0; i < N; i++, code /= 3) {
		who[i] = code % 3;
		if (who[i] > next)
			return false;
		next += who[i] == next;
	}
	return true;
}

int
main(void)
{
	unsigned order[ORDERS][N], who[N], histories = 0;
	struct wrong w = {0};
	uint64_t seed = 5;

	orders(order);
	for (unsigned code = 0; code < 243; code++) {
		if (!canonical(code, who))
			continue;
		for (unsigned saw = 0; saw < 1u << PAIRS; saw++) {
			struct history h;

			if (!make_pasts(&h, who, saw))
				continue;
			for (unsigned k = 0; k < KINDS; k++) {
				make_records(&h, who, &seed);
				every_order(&h, order, &seed, &w);
				for (unsigned i = 0; i < N; i++)
					record_clear(&h.r[i]);
				histories++;
			}
		}
	}
	ok(histories > 1000, "%u histories, each in %d orders", histories, ORDERS);
	is_int(w.heads, 0, "the heads are what nothing that came supersedes, at every step");
	is_int(w.winner, 0, "the winner is the highest of them");
	is_int(w.settled, 0, "settled when all is applied");
	is_int(w.acked, 0, "and everything is then acknowledged");
	return tap_done();
}
