/* SPDX-License-Identifier: BSD-2-Clause */
/* Heads: the merge against a naive model in every order, what is shown across paths, echoes,
 * conflicts. */
#include "config.h"

#include "proto/path.h"
#include "tests/fold.h"
#include "tests/tap.h"

#define RECORDS_MAX 4
#define P "p/q"

/* One history at one path: who wrote what after having seen what. Bit k of past[i]: record k,
 * directly or through others. */
struct history {
	unsigned n;
	struct record r[RECORDS_MAX];
	unsigned past[RECORDS_MAX];
};

/* What was wrong, over all histories. */
struct faults {
	unsigned heads, digest, want, settled, ack, context;
};

static void
history_free(struct history *h)
{
	for (unsigned i = 0; i < h->n; i++)
		record_clear(&h->r[i]);
}

/* Kinds: files, deletes and imports mixed by `variant`; times rise, fall or are equal, so that they
 * say nothing of causality. */
static struct record
written(unsigned i, unsigned origin, uint64_t seq, uint64_t variant)
{
	uint64_t bits = variant >> (3 * i);
	struct record r =
		rec(P, dot(10 + origin, seq),
		    variant % 3 == 0   ? 5
		    : variant % 3 == 1 ? i + 1
				       : 9 - i,
		    (bits & 3) == 0 ? KIND_ABSENT : KIND_FILE, (uint8_t)(1 + (bits & 1) * i));

	return (bits & 7) == 7 ? import(r) : r;
}

/* who: two bits a record, its origin; saw: one bit for each pair (record, earlier record). */
static void
history_make(struct history *h, unsigned n, unsigned who, unsigned saw, uint64_t variant)
{
	uint64_t seq[4] = {0};
	unsigned bit = 0;

	*h = (struct history){.n = n};
	for (unsigned i = 0; i < n; i++) {
		unsigned origin = who >> (2 * i) & 3;

		h->r[i] = written(i, origin, ++seq[origin], variant);
		for (unsigned k = 0; k < i; k++) {
			bool own = (who >> (2 * k) & 3) == origin;

			if ((saw >> bit++ & 1) == 0 && !own)
				continue;
			after(&h->r[i], &h->r[k]);
			h->past[i] |= 1u << k | h->past[k];
		}
	}
}

/* The naive model: a record is a head iff it came and no other that came has it in its past. */
static bool
model_head(const struct history *h, unsigned came, unsigned i)
{
	if ((came >> i & 1) == 0)
		return false;
	for (unsigned k = 0; k < h->n; k++)
		if ((came >> k & 1) != 0 && (h->past[k] >> i & 1) != 0)
			return false;
	return true;
}

static int
model_winner(const struct history *h, unsigned came)
{
	int best = -1;

	for (unsigned i = 0; i < h->n; i++)
		if (model_head(h, came, i) && (best < 0 || record_rank(&h->r[i], &h->r[best]) > 0))
			best = (int)i;
	return best;
}

static void
compare(const struct index *x, const struct history *h, unsigned came, struct faults *f)
{
	int w = model_winner(h, came);
	struct dot want = w >= 0 && record_live(&h->r[w]) ? h->r[w].dot : dot(0, 0);

	for (unsigned i = 0; i < h->n; i++)
		f->heads += is_head(x, P, h->r[i].dot) != model_head(h, came, i);
	f->want += !dot_eq(wanted(x, P), want);
}

/* Marks what wins (and, if all, every other head) as applied. */
static void
apply(struct index *x, const struct history *h, bool all)
{
	struct irec *w = index_winner(at(x, P));
	struct dot d = w->r->dot;
	bool live = record_live(w->r);

	for (unsigned i = 0; all && i < h->n; i++)
		if (is_head(x, P, h->r[i].dot) && !dot_eq(h->r[i].dot, d))
			fold_applied(x, P, h->r[i].dot, 0);
	fold_applied(x, P, d, live ? APPLIED_SHOWN : APPLIED_ABSENT);
}

/* Delivers in one order; at some steps what wins is applied in between. */
static void
deliver(const struct history *h, const unsigned *order, unsigned applies, uint64_t digest[2],
	struct faults *f)
{
	struct index *x = fold_index();
	unsigned came = 0;
	struct vv all = {0};

	for (unsigned i = 0; i < h->n; i++) {
		fold_known(x, &h->r[order[i]]);
		fold_known(x, &h->r[order[i]]); /* twice is once */
		came |= 1u << order[i];
		compare(x, h, came, f);
		if (applies >> i & 1)
			apply(x, h, (applies >> (4 + i) & 1) != 0);
		compare(x, h, came, f);
		must(vv_add(&all, h->r[i].dot));
	}
	apply(x, h, true);
	compare(x, h, came, f);
	f->settled += x->todo_count != (shown(x, "p").origin == 0 && wanted(x, "p").seq == 1);
	f->ack += !dotset_eq(&x->acked, &x->have) || dotset_count(&x->have) != h->n;
	f->context += !vv_eq(&at(x, P)->actx, &all);
	if (digest[0] == 0 && digest[1] == 0)
		memcpy(digest, x->digest, sizeof(x->digest));
	f->digest += memcmp(digest, x->digest, sizeof(x->digest)) != 0;
	vv_free(&all);
	index_free(x);
}

/* Every order of n. */
static unsigned
orders(unsigned n, unsigned out[24][RECORDS_MAX])
{
	unsigned count = 0;

	for (unsigned c = 0; c < 256; c++) {
		unsigned o[RECORDS_MAX] = {c & 3, c >> 2 & 3, c >> 4 & 3, c >> 6 & 3}, used = 0;
		bool good = c >> (2 * n) == 0;

		for (unsigned i = 0; i < n; i++)
			used |= 1u << o[i];
		if (!good || used != (1u << n) - 1)
			continue;
		memcpy(out[count++], o, sizeof(o));
	}
	return count;
}

/* Is `who` the first name of its shape: origins appear as 0, then 1, then 2. */
static bool
canonical(unsigned n, unsigned who)
{
	unsigned next = 0;

	for (unsigned i = 0; i < n; i++) {
		unsigned o = who >> (2 * i) & 3;

		if (o > next || o > 2)
			return false;
		next += o == next;
	}
	return who >> (2 * n) == 0;
}

static void
every_history(unsigned n)
{
	unsigned order[24][RECORDS_MAX], count = orders(n, order), histories = 0;
	uint64_t seed = n;
	struct faults f = {0};

	for (unsigned who = 0; who < 256; who++) {
		if (!canonical(n, who))
			continue;
		for (unsigned saw = 0; saw < 1u << (n * (n - 1) / 2); saw++) {
			for (unsigned v = 0; v < 3; v++) {
				struct history h;
				uint64_t digest[2] = {0};

				history_make(&h, n, who, saw, draw(&seed) >> 8);
				for (unsigned o = 0; o < count; o++)
					deliver(&h, order[o],
						o == 0 ? 0 : (unsigned)draw(&seed) & 255, digest,
						&f);
				history_free(&h);
				histories++;
			}
		}
	}
	ok(histories > 0 && count > 0, "%u records: %u histories in %u orders", n, histories,
	   count);
	is_int(f.heads, 0, "%u records: the heads are the maximal elements of true causality", n);
	is_int(f.want, 0, "%u records: what is shown follows from the heads", n);
	is_int(f.digest, 0, "%u records: the digest does not depend on the order", n);
	is_int(f.settled, 0, "%u records: settled when all is applied, and not before", n);
	is_int(f.ack, 0, "%u records: all is acknowledged when all is applied", n);
	is_int(f.context, 0, "%u records: the context covers all that was applied", n);
}

/* ---- across paths ---- */

static const char *const places[] = {"a", "a/x", "a/x/y", "a/z"};

/* The naive model across paths: recomputed from the records that came, by the words of the rules.
 */
struct model {
	const struct record *r;
	unsigned n, came;
};

static const struct record *
own_winner(const struct model *m, const char *path, bool dirs)
{
	const struct record *best = NULL;

	for (unsigned i = 0; i < m->n; i++) {
		const struct record *r = &m->r[i];

		if ((m->came >> i & 1) == 0 || strcmp((const char *)r->path, path) != 0 ||
		    (dirs && r->kind != KIND_DIR))
			continue;
		if (best == NULL || record_rank(r, best) > 0)
			best = r;
	}
	return best;
}

/* 0 not live, 1 import, 2 written by a user. */
static int
live_at(const struct model *m, const char *path)
{
	const struct record *w = own_winner(m, path, false);

	return w == NULL || !record_live(w) ? 0 : record_import(w) ? 1 : 2;
}

static bool
below(const char *path, const char *dir)
{
	return path_below(path, strlen(path), dir, strlen(dir));
}

static bool
live_below(const struct model *m, const char *path, int class)
{
	for (size_t i = 0; i < ARRAY_LEN(places); i++)
		if (below(places[i], path) && live_at(m, places[i]) == class)
			return true;
	return false;
}

static struct dot
model_want(const struct model *m, const char *path)
{
	const struct record *w = own_winner(m, path, false), *d = own_winner(m, path, true);
	struct dot dir = d != NULL ? d->dot : dot(0, 1);

	if (live_below(m, path, 2))
		return dir;
	if (live_at(m, path) == 2)
		return w->dot;
	for (size_t i = 0; i < ARRAY_LEN(places); i++)
		if (below(path, places[i]) && live_at(m, places[i]) == 2 &&
		    !live_below(m, places[i], 2) &&
		    own_winner(m, places[i], false)->kind != KIND_DIR)
			return dot(0,
				   0); /* a user's file keeps its name against imports below it */
	if (live_below(m, path, 1))
		return dir;
	return live_at(m, path) == 1 ? w->dot : dot(0, 0);
}

static void
across(const struct record *r, unsigned n, const unsigned *order, bool apply_too, struct faults *f)
{
	struct index *x = fold_index();
	struct model m = {r, n, 0};

	for (unsigned i = 0; i < n; i++) {
		fold_known(x, &r[order[i]]);
		m.came |= 1u << order[i];
		for (size_t k = 0; k < ARRAY_LEN(places); k++)
			f->want += !dot_eq(wanted(x, places[k]), model_want(&m, places[k]));
		if (!apply_too)
			continue;
		/* the tree follows: shows what it should, and every record is dealt with */
		for (size_t k = 0; k < ARRAY_LEN(places); k++) {
			struct dot d = wanted(x, places[k]);

			for (unsigned j = 0; j < n; j++)
				if (is_head(x, places[k], r[j].dot))
					fold_applied(x, places[k], r[j].dot, 0);
			if (d.origin != 0)
				fold_applied(x, places[k], d, APPLIED_SHOWN);
			else if (d.seq != 0 || at(x, places[k]) != NULL)
				fold_applied(x, places[k], dot(0, 0),
					     d.seq != 0 ? APPLIED_SHOWN : APPLIED_ABSENT);
		}
		f->settled += x->todo_count != 0;
		f->ack += !dotset_eq(&x->have, &x->acked);
	}
	index_free(x);
}

static void
every_crossing(void)
{
	struct record pool[] = {
		rec("a", dot(1, 1), 5, KIND_FILE, 1),
		import(rec("a", dot(2, 1), 9, KIND_FILE, 2)),
		rec("a", dot(3, 1), 6, KIND_DIR, 0),
		rec("a", dot(4, 1), 9, KIND_ABSENT, 0),
		rec("a/x", dot(5, 1), 4, KIND_FILE, 3),
		import(rec("a/x", dot(6, 1), 8, KIND_FILE, 4)),
		rec("a/x", dot(7, 1), 9, KIND_ABSENT, 0),
		import(rec("a/x", dot(8, 1), 3, KIND_DIR, 0)),
		import(rec("a/x/y", dot(9, 1), 7, KIND_FILE, 5)),
		rec("a/x/y", dot(10, 1), 7, KIND_SYMLINK, 6),
		import(rec("a/z", dot(11, 1), 6, KIND_FILE, 7)),
	};
	unsigned order[24][RECORDS_MAX], tried = 0;
	struct faults f = {0};

	for (unsigned set = 1; set < 1u << ARRAY_LEN(pool); set++) {
		struct record r[RECORDS_MAX];
		unsigned n = (unsigned)__builtin_popcount(set), at_ = 0, count;

		if (n > RECORDS_MAX)
			continue;
		for (unsigned i = 0; i < ARRAY_LEN(pool); i++)
			if (set >> i & 1)
				r[at_++] = pool[i];
		count = orders(n, order);
		for (unsigned o = 0; o < count; o++, tried++)
			across(r, n, order[o], o % 2 == 1, &f);
	}
	ok(tried > 5000, "%u crossings of a file, what is below it and imports", tried);
	is_int(f.want, 0, "what is shown is the same function of the heads in every order");
	is_int(f.settled, 0, "a tree that shows it is settled");
	is_int(f.ack, 0, "and everything is acknowledged");
}

/* The shortest of them, by hand. */
static void
directed_crossings(void)
{
	struct index *x = fold_index();
	struct record below = rec("a/x", dot(1, 1), 1, KIND_FILE, 1),
		      file = rec("a", dot(2, 1), 9, KIND_FILE, 2);
	struct record old = import(rec("b/x", dot(3, 1), 99, KIND_FILE, 3)),
		      later = rec("b", dot(4, 1), 1, KIND_FILE, 4);

	fold_known(x, &file);
	fold_known(x, &below);
	ok(dot_eq(wanted(x, "a"), dot(0, 1)) && dot_eq(wanted(x, "a/x"), below.dot),
	   "a live file below makes a directory of a file");
	fold_known(x, &old);
	ok(dot_eq(wanted(x, "b"), dot(0, 1)), "an import below nothing has its directory");
	fold_known(x, &later);
	ok(dot_eq(wanted(x, "b"), later.dot) && dot_eq(wanted(x, "b/x"), dot(0, 0)),
	   "a user's file keeps its name against an import below");
	index_free(x);
}

/* ---- ranks ---- */

static void
imports_rank_below(void)
{
	struct index *x = fold_index();
	struct record imp = import(rec("f", dot(1, 1), 99, KIND_FILE, 1)),
		      del = rec("f", dot(2, 1), 1, KIND_ABSENT, 0);
	struct record file = rec("f", dot(3, 1), 2, KIND_FILE, 2),
		      late = rec("f", dot(4, 1), 50, KIND_ABSENT, 0);

	fold_known(x, &imp);
	ok(dot_eq(wanted(x, "f"), imp.dot), "an import alone is shown");
	fold_known(x, &del);
	ok(dot_eq(wanted(x, "f"), dot(0, 0)), "a delete outranks an import");
	fold_known(x, &file);
	ok(dot_eq(wanted(x, "f"), file.dot), "a file outranks a delete");
	fold_known(x, &late);
	ok(dot_eq(wanted(x, "f"), file.dot), "even a later one");
	is_int(index_heads_at(at(x, "f")), 4, "all four are heads");
	index_free(x);
}

/* ---- echo ---- */

static void
echoes(void)
{
	struct index *x = fold_index();
	struct record v1 = rec("f", dot(1, 1), 10, KIND_FILE, 1),
		      v2 = rec("f", dot(1, 2), 20, KIND_FILE, 2);
	struct record low = rec("f", dot(2, 1), 5, KIND_FILE, 3),
		      high = rec("f", dot(3, 1), 30, KIND_FILE, 4);
	struct record gone = rec("f", dot(4, 1), 40, KIND_ABSENT, 0), state;
	const struct pathent *e;

	after(&v2, &v1);
	fold_known(x, &v1);
	e = at(x, "f");
	state = v1;
	state.owner = state.group = NULL;
	ok(index_echo(x, e, &state, true) != NULL,
	   "nothing shown: a version that is known and not applied is an echo");
	state.mode = 0600;
	ok(index_echo(x, e, &state, false) == NULL, "another mode is the user's");
	state = v1;
	state.mtime_ns++;
	ok(index_echo(x, e, &state, false) == NULL, "another mtime is the user's");
	state = v1;
	state.hash[31]++;
	ok(index_echo(x, e, &state, false) == NULL, "another content is the user's");
	state = v1;
	state.owner = (const uint8_t *)"www";
	state.owner_len = 3;
	ok(index_echo(x, e, &state, true) == NULL && index_echo(x, e, &state, false) != NULL,
	   "an owner counts only when owners are kept");

	fold_applied(x, "f", v1.dot, APPLIED_SHOWN);
	ok(index_echo(x, e, &v1, false) == NULL, "what is applied is no echo");
	fold_known(x, &v2);
	ok(index_echo(x, e, &v2, false) == index_record(e, v2.dot),
	   "an echo: it covers what is shown");
	fold_known(x, &low);
	ok(index_echo(x, e, &low, false) == NULL,
	   "no echo: it neither covers nor outranks what is shown");
	fold_known(x, &high);
	ok(index_echo(x, e, &high, false) == NULL,
	   "no echo: it outranks what is shown, but nobody would have that any more");
	fold(x, &(struct entry){.type = ENTRY_KEPT, .dot = v1.dot, .rec = v1});
	ok(index_echo(x, e, &high, false) == index_record(e, high.dot),
	   "an echo: it outranks what is shown, which is in the store");
	fold_known(x, &gone);
	state = rec("f", dot(0, 0), 0, KIND_ABSENT, 0);
	ok(index_echo(x, e, &state, false) == NULL,
	   "a delete that loses to what is shown: the user deletes, and it is logged");
	after(&gone, &v1);
	gone.dot.seq = 2;
	fold_known(x, &gone);
	ok(index_echo(x, e, &state, false) == index_record(e, gone.dot),
	   "a delete that covers what is shown is an echo");
	fold_applied(x, "f", low.dot, 0);
	ok(index_echo(x, e, &low, false) == NULL,
	   "a loser that was dealt with: putting it back is the user's change");
	record_clear(&v2);
	record_clear(&gone);
	index_free(x);
}

/* A superseded version that was never applied keeps its dot and hash for this. */
static void
echo_superseded(void)
{
	struct index *x = fold_index();
	struct record v1 = rec("f", dot(1, 1), 10, KIND_FILE, 1),
		      v2 = rec("f", dot(1, 2), 20, KIND_FILE, 2);
	struct record imp = import(rec("g", dot(5, 1), 10, KIND_FILE, 1)),
		      del = rec("g", dot(6, 1), 1, KIND_ABSENT, 0);
	struct record dir = rec("d", dot(7, 1), 1, KIND_DIR, 0),
		      link = rec("l", dot(8, 1), 1, KIND_SYMLINK, 3), state;

	after(&v2, &v1);
	fold_known(x, &v1);
	fold_known(x, &v2);
	ok(index_echo(x, at(x, "f"), &v1, false) != NULL && !is_head(x, "f", v1.dot),
	   "superseded and not applied: still an echo");
	fold_applied(x, "f", v2.dot, APPLIED_SHOWN);
	ok(index_record(at(x, "f"), v1.dot) == NULL &&
		   index_echo(x, at(x, "f"), &v1, false) == NULL,
	   "once it is covered by something applied, no more");

	fold_known(x, &imp);
	fold_applied(x, "g", imp.dot, APPLIED_SHOWN);
	fold_known(x, &del);
	state = rec("g", dot(0, 0), 0, KIND_ABSENT, 0);
	ok(index_echo(x, at(x, "g"), &state, false) == NULL,
	   "a delete that outranks a shown import, whose bytes are gone: the user's");
	fold(x, &(struct entry){.type = ENTRY_KEPT, .dot = imp.dot, .rec = imp});
	ok(index_echo(x, at(x, "g"), &state, false) != NULL, "an echo if they are in the store");

	fold_known(x, &dir);
	state = dir;
	ok(index_echo(x, at(x, "d"), &state, false) != NULL,
	   "a directory with that mode is an echo");
	state.mode = 0700;
	ok(index_echo(x, at(x, "d"), &state, false) == NULL, "with another one it is not");
	fold_known(x, &link);
	state = link;
	ok(index_echo(x, at(x, "l"), &state, false) != NULL, "a link with that target is an echo");
	state.target_len--;
	ok(index_echo(x, at(x, "l"), &state, false) == NULL, "with another one it is not");
	record_clear(&v2);
	index_free(x);
}

static void
shows(void)
{
	struct index *x = fold_index();
	struct record v = rec("d/f", dot(1, 1), 10, KIND_FILE, 1),
		      none = rec("d/f", dot(0, 0), 0, KIND_ABSENT, 0);
	struct record dir = rec("d", dot(0, 0), 0, KIND_DIR, 0);

	fold_known(x, &v);
	ok(index_shows(at(x, "d/f"), &none, true) && !index_shows(at(x, "d/f"), &v, true),
	   "nothing is shown before it is applied");
	fold_applied(x, "d", dot(0, 0), APPLIED_SHOWN);
	dir.mode = 0700;
	ok(index_shows(at(x, "d"), &dir, true) && !index_shows(at(x, "d"), &none, false),
	   "an implied directory equals any directory");
	fold_applied(x, "d/f", v.dot, APPLIED_SHOWN);
	ok(index_shows(at(x, "d/f"), &v, true) && !index_shows(at(x, "d/f"), &none, true),
	   "then it is");
	index_free(x);
}

/* ---- conflicts ---- */

static void
conflicts(void)
{
	struct index *x = fold_index();
	struct record a = rec("f", dot(1, 1), 1, KIND_FILE, 1),
		      b = rec("f", dot(2, 1), 2, KIND_FILE, 2),
		      c = rec("f", dot(3, 1), 3, KIND_FILE, 2);
	struct record d = rec("f", dot(4, 1), 4, KIND_ABSENT, 0),
		      k = rec("f", dot(5, 1), 0, KIND_DIR, 0),
		      m = rec("f", dot(6, 1), 9, KIND_FILE, 3);

	fold_known(x, &a);
	is_int(x->conflicts, 0, "one version is no conflict");
	fold_known(x, &b);
	is_int(x->conflicts, 1, "two contents are");
	fold_known(x, &c);
	is_int(x->conflicts, 1, "the winner's content under another head is none");
	fold_known(x, &d);
	fold_known(x, &k);
	is_int(x->conflicts, 1, "nor is a delete or a directory");
	after(&m, &a);
	after(&m, &b);
	after(&m, &c);
	fold_known(x, &m);
	is_int(x->conflicts, 0, "what covers them ends it");
	is_int(index_heads_at(at(x, "f")), 3, "the three that it does not cover are heads");
	record_clear(&m);
	index_free(x);
}

int
main(void)
{
	for (unsigned n = 1; n <= RECORDS_MAX; n++)
		every_history(n);
	every_crossing();
	directed_crossings();
	imports_rank_below();
	echoes();
	echo_superseded();
	shows();
	conflicts();
	return tap_done();
}
