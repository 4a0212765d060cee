/* SPDX-License-Identifier: BSD-2-Clause */
/* Plans: each state of a path and what is done about it; and that doing it, step by step, settles
 * everything. */
#include "config.h"

#include <assert.h>

#include "agent/plan.h"

#include "tests/fold.h"
#include "tests/tap.h"

static struct plan
plan_at(const struct index *x, const char *path)
{
	return plan_path(x, at(x, path), false);
}

static bool
acts(const struct index *x, const char *path, enum entry_action action, struct dot d, bool room)
{
	struct plan p = plan_at(x, path);

	return p.what == PLAN_ACT && p.action == action && p.room == room &&
	       dot_eq(p.rec != NULL ? p.rec->r->dot : dot(0, 0), d);
}

static bool
does(const struct index *x, const char *path, enum plan_do what)
{
	return plan_at(x, path).what == what;
}

/* ---- one step at a time ---- */

static void
files(void)
{
	struct index *x = fold_index();
	struct record v1 = rec("d/f", dot(1, 1), 1, KIND_FILE, 1),
		      v2 = rec("d/f", dot(1, 2), 2, KIND_FILE, 2),
		      v3 = rec("d/f", dot(1, 3), 3, KIND_FILE, 2);
	struct record gone = rec("d/f", dot(1, 4), 4, KIND_ABSENT, 2);

	fold_known(x, &v1);
	ok(does(x, "d/f", PLAN_PARENT), "a file waits for its directory");
	ok(acts(x, "d", ACTION_MKDIR, dot(0, 0), false),
	   "which is made, though no record describes it");
	fold_applied(x, "d", dot(0, 0), APPLIED_SHOWN);
	ok(acts(x, "d/f", ACTION_PLACE, v1.dot, false), "a new file is placed");
	fold_applied(x, "d/f", v1.dot, APPLIED_SHOWN);
	ok(does(x, "d/f", PLAN_NOTHING) && does(x, "d", PLAN_NOTHING), "settled");
	after(&v2, &v1);
	fold_known(x, &v2);
	ok(acts(x, "d/f", ACTION_EXCHANGE, v2.dot, false), "other content is exchanged");
	fold_applied(x, "d/f", v2.dot, APPLIED_SHOWN);
	v3.mode = 0600;
	after(&v3, &v2);
	fold_known(x, &v3);
	ok(acts(x, "d/f", ACTION_META, v3.dot, false), "the same content is changed in place");
	fold_applied(x, "d/f", v3.dot, APPLIED_SHOWN);
	after(&gone, &v3);
	fold_known(x, &gone);
	ok(acts(x, "d/f", ACTION_TAKE, gone.dot, false), "a delete takes the file");
	ok(does(x, "d", PLAN_CHILDREN), "its directory waits until it is empty");
	fold_set(x, ENTRY_HELD, 1, 4, 4);
	ok(does(x, "d/f", PLAN_HELD) && plan_at(x, "d/f").rec == index_winner(at(x, "d/f")),
	   "a held delete waits");
	fold_set(x, ENTRY_HELD, 1, 9, 9);
	fold_applied(x, "d/f", gone.dot, APPLIED_ABSENT);
	ok(acts(x, "d", ACTION_RMDIR, dot(0, 0), true), "then the directory goes");
	record_clear(&v2);
	record_clear(&v3);
	record_clear(&gone);
	index_free(x);
}

static void
losers(void)
{
	struct index *x = fold_index();
	struct record w = rec("f", dot(1, 1), 9, KIND_FILE, 1),
		      l = rec("f", dot(2, 1), 1, KIND_FILE, 2),
		      same = rec("f", dot(3, 1), 2, KIND_FILE, 1);
	struct record gone = rec("f", dot(4, 1), 3, KIND_ABSENT, 0);

	fold_known(x, &l);
	fold_known(x, &w);
	ok(acts(x, "f", ACTION_PLACE, w.dot, false), "the winner first");
	fold_applied(x, "f", w.dot, APPLIED_SHOWN);
	ok(does(x, "f", PLAN_KEEP) && dot_eq(plan_at(x, "f").rec->r->dot, l.dot),
	   "then the loser's content is fetched");
	fold_known(x, &same);
	fold_known(x, &gone);
	ok(does(x, "f", PLAN_DEAL), "losers without content of their own come before that");
	fold_applied(x, "f", same.dot, 0);
	ok(does(x, "f", PLAN_DEAL), "a delete that lost is one of them");
	fold_applied(x, "f", gone.dot, 0);
	ok(does(x, "f", PLAN_KEEP), "then the content");
	fold_kept(x, &l, 5);
	ok(does(x, "f", PLAN_DEAL), "which is in the store: that is all");
	fold_applied(x, "f", l.dot, 0);
	ok(does(x, "f", PLAN_NOTHING) && x->todo_count == 0, "settled");
	index_free(x);
}

static void
room(void)
{
	struct index *x = fold_index();
	struct record file = rec("a", dot(1, 1), 9, KIND_FILE, 1),
		      below = rec("a/x", dot(2, 1), 1, KIND_FILE, 2),
		      gone = rec("a/x", dot(2, 2), 2, KIND_ABSENT, 2);
	struct record dir = rec("a", dot(3, 1), 1, KIND_DIR, 0),
		      link = rec("l", dot(4, 1), 1, KIND_SYMLINK, 1),
		      other = rec("l", dot(4, 2), 2, KIND_SYMLINK, 2);

	fold_known(x, &file);
	fold_applied(x, "a", file.dot, APPLIED_SHOWN);
	fold_known(x, &below);
	ok(acts(x, "a", ACTION_TAKE, dot(0, 0), true) && does(x, "a/x", PLAN_PARENT),
	   "a file makes room for a directory");
	fold_applied(x, "a", dot(0, 0), APPLIED_ABSENT);
	ok(acts(x, "a", ACTION_MKDIR, dot(0, 0), false), "which is made");
	fold_applied(x, "a", dot(0, 0), APPLIED_SHOWN);
	fold_known(x, &dir);
	ok(acts(x, "a", ACTION_META, dir.dot, false),
	   "it gets its mode when a record describes it");
	fold_applied(x, "a", dir.dot, APPLIED_SHOWN);
	fold_applied(x, "a/x", below.dot, APPLIED_SHOWN);
	ok(does(x, "a", PLAN_NOTHING), "settled");
	after(&gone, &below);
	fold_known(x, &gone);
	ok(does(x, "a", PLAN_CHILDREN), "the file wants its name back: first what is below goes");
	fold_applied(x, "a/x", gone.dot, APPLIED_ABSENT);
	ok(acts(x, "a", ACTION_RMDIR, dot(0, 0), true), "then the directory");
	fold_applied(x, "a", dot(0, 0), APPLIED_ABSENT);
	ok(acts(x, "a", ACTION_PLACE, file.dot, false), "then it comes");
	fold_known(x, &link);
	fold_applied(x, "l", link.dot, APPLIED_SHOWN);
	after(&other, &link);
	fold_known(x, &other);
	ok(acts(x, "l", ACTION_EXCHANGE, other.dot, false), "a link is exchanged");
	record_clear(&gone);
	record_clear(&other);
	index_free(x);
}

/* ---- ignored paths ---- */

struct dealt {
	struct index *x;
	struct dot dots[8];
	unsigned n;
};

static void
deal_one(void *arg, struct irec *r)
{
	struct dealt *d = arg;

	if (d->n < ARRAY_LEN(d->dots))
		d->dots[d->n++] = r->r->dot;
}

/* Deals as the agent does: collects first, as folding changes the list. Returns how many. */
static unsigned
deal(struct index *x, const char *path, bool ignored)
{
	struct dealt d = {.x = x};

	plan_deal_each(x, at(x, path), ignored, deal_one, &d);
	for (unsigned i = 0; i < d.n; i++)
		fold_applied(x, path, d.dots[i], ignored ? APPLIED_LEFT : 0);
	return d.n;
}

static void
ignored_paths(void)
{
	struct index *x = fold_index();
	struct record a = rec("f", dot(1, 1), 1, KIND_FILE, 1),
		      b = rec("f", dot(2, 1), 2, KIND_FILE, 2),
		      c = rec("f", dot(2, 2), 3, KIND_ABSENT, 2);

	fold_known(x, &a);
	fold_known(x, &b);
	ok(plan_path(x, at(x, "f"), true).what == PLAN_DEAL,
	   "versions of an ignored path are dealt with");
	is_int(deal(x, "f", true), 2, "both, winner and loser");
	ok(plan_path(x, at(x, "f"), true).what == PLAN_NOTHING && x->todo_count == 0,
	   "and that settles it");
	after(&c, &b);
	fold_known(x, &c); /* a was dealt with before, and wins now */
	is_int(deal(x, "f", true), 2, "a loser of then that wins now is marked, too");
	ok(x->todo_count == 0 && dotset_eq(&x->acked, &x->have), "settled and acknowledged");
	index_unleave(x, at(x, "f"));
	ok(acts(x, "f", ACTION_PLACE, a.dot, false), "no longer ignored: it is placed");
	record_clear(&c);
	index_free(x);
}

static void
same_plans(void)
{
	struct plan p = {PLAN_ACT, ACTION_PLACE, NULL, false}, q = p;

	ok(plan_same(&p, &q), "the same plan");
	q.room = true;
	ok(!plan_same(&p, &q), "another one: room");
	q = p;
	q.action = ACTION_EXCHANGE;
	ok(!plan_same(&p, &q), "another one: action");
	q = p;
	q.what = PLAN_KEEP;
	ok(!plan_same(&p, &q), "another one: what");
}

/* ---- random histories: obeying the plans settles every one of them ---- */

static const char *const names[] = {"a", "a/b", "a/b/c", "a/d", "e", "a/b/f"};

/* Does what the plan says, as a tree that always obeys. Returns whether anything was done. */
static bool
obey(struct index *x, const char *path, unsigned *wrong)
{
	struct pathent *e = at(x, path);
	struct plan p = e != NULL ? plan_path(x, e, false) : (struct plan){.what = PLAN_NOTHING};
	struct dot d = p.rec != NULL ? p.rec->r->dot : dot(0, 0);
	bool parent = e == NULL || e->parent->parent == NULL || e->parent->shown_dir ||
		      (e->parent->shown != NULL && e->parent->shown->r->kind == KIND_DIR);
	bool takes = p.action == ACTION_TAKE || p.action == ACTION_RMDIR;

	switch (p.what) {
	case PLAN_DEAL:
		*wrong += deal(x, path, false) == 0;
		return true;
	case PLAN_KEEP:
		assert(p.rec != NULL);
		fold_kept(x, p.rec->r, 1);
		fold_applied(x, path, d, 0);
		return true;
	case PLAN_ACT:
		*wrong += !parent; /* nothing can be done below what is no directory */
		*wrong += p.rec != NULL ? takes == record_live(p.rec->r)
					: !takes && p.action != ACTION_MKDIR;
		*wrong += (p.action == ACTION_PLACE || p.action == ACTION_MKDIR) ==
			  (e->shown != NULL || e->shown_dir);
		for (const struct pathent *c = e->child; c != NULL && p.action != ACTION_META;
		     c = c->sib_next)
			*wrong += c->shown != NULL || c->shown_dir;
		fold_applied(x, path, d, takes ? APPLIED_ABSENT : APPLIED_SHOWN);
		return true;
	default:
		return false;
	}
}

static unsigned
settle(struct index *x, unsigned *wrong)
{
	unsigned rounds = 0;

	for (bool busy = true; busy && rounds < 60; rounds++) {
		busy = false;
		for (size_t i = 0; i < ARRAY_LEN(names); i++)
			busy = obey(x, names[i], wrong) || busy;
	}
	return rounds;
}

static void
obedience(void)
{
	unsigned wrong = 0, stuck = 0, unfit = 0;

	for (uint64_t seed = 1; seed <= 300; seed++) {
		struct index *x = fold_index();
		struct record all[24];
		uint64_t s = seed, seq[4] = {0};

		for (unsigned i = 0; i < ARRAY_LEN(all); i++) {
			unsigned o = (unsigned)draw(&s) % 4;
			const char *name = names[draw(&s) % ARRAY_LEN(names)];

			all[i] = rec(name, dot(1 + o, ++seq[o]), draw(&s) % 30,
				     (uint8_t)(draw(&s) % 4), (uint8_t)(draw(&s) % 3));
			if (draw(&s) % 5 == 0 && record_live(&all[i]))
				all[i] = import(all[i]);
			for (unsigned k = 0; k < i; k++)
				if (strcmp((const char *)all[k].path, name) == 0 &&
				    (draw(&s) % 2 == 0 || all[k].dot.origin == all[i].dot.origin))
					after(&all[i], &all[k]);
			fold_known(x, &all[i]);
			if (draw(&s) % 4 == 0)
				obey(x, names[draw(&s) % ARRAY_LEN(names)], &wrong);
			if (draw(&s) % 8 == 0)
				stuck += settle(x, &wrong) == 60;
		}
		stuck += settle(x, &wrong) == 60;
		unfit += x->todo_count != 0 || !dotset_eq(&x->acked, &x->have);
		for (size_t i = 0; i < ARRAY_LEN(names); i++)
			unfit += at(x, names[i]) != NULL && !index_shows_want(at(x, names[i]));
		for (unsigned i = 0; i < ARRAY_LEN(all); i++)
			record_clear(&all[i]);
		index_free(x);
	}
	is_int(stuck, 0, "no plans that go round for ever");
	is_int(wrong, 0, "no plan that a tree could not follow");
	is_int(unfit, 0, "in the end everything is shown as wanted, settled and acknowledged");
}

int
main(void)
{
	files();
	losers();
	room();
	ignored_paths();
	same_plans();
	obedience();
	return tap_done();
}
