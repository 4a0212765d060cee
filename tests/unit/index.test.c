/* SPDX-License-Identifier: BSD-2-Clause */
/* The index as a fold: contexts, settling, gaps, intents, the store, cursors; directed histories of
 * one node. */
#include "config.h"

#include "tests/fold.h"
#include "tests/tap.h"

/* ---- contexts ---- */

static void
contexts_add_up(void)
{
	struct index *x = fold_index();
	struct record h0 = rec("p", dot(1, 1), 1, KIND_FILE, 1),
		      b = rec("p", dot(2, 1), 2, KIND_FILE, 2);
	struct record c = rec("p", dot(3, 1), 3, KIND_FILE, 3),
		      mine = rec("p", dot(9, 1), 4, KIND_FILE, 4);
	struct pathent *e;

	fold_origin(x, 9, "self");
	after(&b, &h0);
	after(&c, &b);
	fold_known(x, &h0);
	fold_applied(x, "p", h0.dot, APPLIED_SHOWN);
	fold_known(x, &b);
	fold_applied(x, "p", b.dot, APPLIED_SHOWN);
	fold_known(x, &c);
	e = at(x, "p");
	ok(vv_covers(&e->actx, h0.dot) && vv_covers(&e->actx, b.dot),
	   "what was applied stays in the context");
	ok(!vv_covers(&e->actx, c.dot), "what is merely known is not in it");
	must(vv_copy(&mine.ctx, &e->actx));
	fold_own(x, &mine);
	ok(is_head(x, "p", c.dot) && is_head(x, "p", mine.dot) && index_heads_at(e) == 2,
	   "an edit over what is applied is concurrent with what was only known");
	ok(index_record(e, h0.dot) == NULL && index_record(e, b.dot) == NULL,
	   "superseded and applied: forgotten");
	ok(dot_eq(shown(x, "p"), mine.dot) && vv_covers(&e->actx, mine.dot),
	   "an own record is applied and shown at once");
	record_clear(&b);
	record_clear(&c);
	record_clear(&mine);
	index_free(x);
}

/* The author of the second edit had applied the first one only; a third node sees them in any
 * order. */
static void
contexts_beyond_heads(void)
{
	struct record h0 = rec("p", dot(1, 1), 1, KIND_FILE, 1),
		      b = rec("p", dot(2, 1), 2, KIND_FILE, 2);
	struct record e = rec("p", dot(1, 2), 3, KIND_FILE, 3),
		      w2 = rec("p", dot(3, 1), 4, KIND_FILE, 4);
	const struct record *order[][3] = {{&h0, &b, &e}, {&e, &h0, &b}, {&b, &e, &h0}};

	after(&b, &h0);
	after(&e, &h0);
	after(&w2, &h0);
	after(&w2, &e);
	for (size_t i = 0; i < ARRAY_LEN(order); i++) {
		struct index *x = fold_index();

		for (size_t k = 0; k < 3; k++)
			fold_known(x, order[i][k]);
		ok(!is_head(x, "p", h0.dot) && is_head(x, "p", b.dot) && is_head(x, "p", e.dot),
		   "order %zu: two edits of one version are both heads", i);
		fold_applied(x, "p", e.dot, APPLIED_SHOWN);
		ok(vv_eq(&at(x, "p")->actx, &w2.ctx),
		   "order %zu: the context is that of what was applied, deep down", i);
		index_free(x);
	}
	record_clear(&b);
	record_clear(&e);
	record_clear(&w2);
}

/* ---- acknowledgement ---- */

static void
pending_is_not_acknowledged(void)
{
	struct index *x = fold_index();
	struct record v1 = rec("p", dot(1, 1), 1, KIND_FILE, 1),
		      v2 = rec("p", dot(1, 2), 2, KIND_FILE, 2),
		      lost = rec("p", dot(2, 1), 1, KIND_ABSENT, 0);

	after(&v2, &v1);
	fold_known(x, &v1);
	fold_known(x, &v2);
	ok(dotset_has(&x->have, v1.dot) && dotset_empty(&x->acked), "received is not acknowledged");
	ok(index_record(at(x, "p"), v1.dot) != NULL,
	   "superseded is not enough: it stays until something that covers it is applied");
	fold_applied(x, "p", v2.dot, APPLIED_SHOWN);
	ok(dotset_has(&x->acked, v1.dot) && dotset_has(&x->acked, v2.dot),
	   "applying the newer one acknowledges both");
	fold_known(x, &lost);
	ok(!dotset_has(&x->acked, lost.dot) && x->todo_count == 1,
	   "a losing delete is pending too");
	fold_applied(x, "p", lost.dot, 0);
	ok(dotset_has(&x->acked, lost.dot) && x->todo_count == 0, "until it was dealt with");
	ok(dot_none(at(x, "p")->left), "a loser that was dealt with leaves nothing behind");
	ok(dot_eq(shown(x, "p"), v2.dot), "and the tree shows what it showed");
	record_clear(&v2);
	index_free(x);
}

static void
duplicates(void)
{
	struct index *x = fold_index();
	struct record v1 = rec("p", dot(1, 1), 1, KIND_FILE, 1),
		      v2 = rec("p", dot(1, 2), 2, KIND_FILE, 2);

	after(&v2, &v1);
	fold_known(x, &v2);
	fold_known(x, &v1); /* late */
	ok(!is_head(x, "p", v1.dot) && x->todo_count == 1,
	   "a version that comes after the one that supersedes it is no head");
	fold_applied(x, "p", v2.dot, APPLIED_SHOWN);
	fold_known(x, &v1); /* once more, after it was forgotten */
	ok(!is_head(x, "p", v1.dot) && dot_eq(wanted(x, "p"), v2.dot) && x->todo_count == 0,
	   "nor when it comes again later");
	ok(index_record(at(x, "p"), v1.dot) == NULL, "and it is not remembered");
	record_clear(&v2);
	index_free(x);
}

/* ---- gaps: dots that came in a vector, without records ---- */

static void
gaps(void)
{
	struct index *x = fold_index();
	struct record a = rec("a", dot(1, 1), 1, KIND_FILE, 1),
		      b = rec("b", dot(1, 2), 2, KIND_FILE, 2),
		      c = rec("c", dot(2, 1), 2, KIND_FILE, 3);

	fold_set(x, ENTRY_VECTOR, 7, 1, 5);
	ok(dotset_has(&x->acked, dot(7, 5)), "nothing pending: a vector is acknowledged at once");
	fold_known(x, &a);
	fold_known(x, &b);
	fold_set(x, ENTRY_VECTOR, 7, 1, 9);
	ok(dotset_has(&x->have, dot(7, 9)) && !dotset_has(&x->acked, dot(7, 6)),
	   "with paths pending it is held and not acknowledged");
	fold_set(x, ENTRY_VECTOR, 1, 1, 2);
	ok(!dotset_has(&x->acked, dot(1, 1)),
	   "a vector does not acknowledge a record that is here and pending");
	fold_known(x, &c);
	fold_set(x, ENTRY_VECTOR, 8, 1, 1);
	fold_applied(x, "a", a.dot, APPLIED_SHOWN);
	ok(!dotset_has(&x->acked, dot(7, 6)), "one of two has settled: still not");
	fold_applied(x, "b", b.dot, APPLIED_SHOWN);
	ok(dotset_has(&x->acked, dot(7, 9)), "all that were pending then have settled: now it is");
	ok(!dotset_has(&x->acked, dot(8, 1)), "a later one waits for what was pending later");
	fold_applied(x, "c", c.dot, APPLIED_SHOWN);
	ok(dotset_eq(&x->acked, &x->have), "in the end all is acknowledged");
	index_free(x);
}

/* A path that settles and becomes pending again does not hold up what waited for its first
 * settling. */
static void
gap_not_for_ever(void)
{
	struct index *x = fold_index();
	struct record a = rec("a", dot(1, 1), 1, KIND_FILE, 1),
		      b = rec("b", dot(1, 2), 1, KIND_FILE, 1),
		      a2 = rec("a", dot(1, 3), 2, KIND_FILE, 2);

	fold_known(x, &a);
	fold_known(x, &b);
	fold_set(x, ENTRY_VECTOR, 7, 1, 1);
	fold_applied(x, "a", a.dot, APPLIED_SHOWN);
	after(&a2, &a);
	fold_known(x, &a2);
	ok(!dotset_has(&x->acked, dot(7, 1)), "one of them is still pending");
	fold_applied(x, "b", b.dot, APPLIED_SHOWN);
	ok(dotset_has(&x->acked, dot(7, 1)), "each has settled once: that is enough");
	ok(!dotset_has(&x->acked, a2.dot), "what is pending now is not acknowledged by that");
	record_clear(&a2);
	index_free(x);
}

/* A loser in the store wins after all; while it is put in place, something supersedes it. */
static void
superseded_under_way(void)
{
	struct index *x = fold_index();
	struct record a = rec("p", dot(1, 1), 5, KIND_FILE, 1),
		      b = rec("p", dot(2, 1), 2, KIND_FILE, 2),
		      c = rec("p", dot(1, 2), 1, KIND_FILE, 3),
		      d = rec("p", dot(2, 2), 9, KIND_FILE, 4);

	after(&c, &a);
	after(&d, &b);
	fold_known(x, &a);
	fold_applied(x, "p", a.dot, APPLIED_SHOWN);
	fold_known(x, &b);
	fold_applied(x, "p", b.dot, 0);
	fold_known(x, &c);
	fold(x, &(struct entry){.type = ENTRY_INTENT,
				.path = (const uint8_t *)"p",
				.path_len = 1,
				.dot = b.dot,
				.action = ACTION_EXCHANGE,
				.ino = 7});
	fold_known(x, &d);
	fold_applied(x, "p", b.dot, APPLIED_SHOWN);
	ok(dot_eq(shown(x, "p"), b.dot), "what was put in place is what is shown");
	fold_applied(x, "p", d.dot, APPLIED_SHOWN);
	ok(index_record(at(x, "p"), b.dot) == NULL, "and it goes with what supersedes it");
	record_clear(&c);
	record_clear(&d);
	index_free(x);
}

/* The agent put a loser into the store; meanwhile what won was deleted by a user. */
static void
kept_loser_may_win(void)
{
	struct index *x = fold_index();
	struct record mine, gone, other = rec("p", dot(2, 1), 1, KIND_FILE, 2);

	fold_origin(x, 1, "self");
	mine = rec("p", dot(1, 1), 2, KIND_FILE, 1);
	gone = rec("p", dot(1, 2), 3, KIND_ABSENT, 0);
	after(&gone, &mine);
	fold_own(x, &mine);
	fold_known(x, &other);
	fold_own(x, &gone);
	fold_applied(x, "p", other.dot, 0);
	ok(dotset_has(&x->acked, other.dot), "its bytes are durable here");
	ok(dot_none(at(x, "p")->left) && x->todo_count == 1, "but it is still to be shown");
	fold_applied(x, "p", other.dot, APPLIED_SHOWN);
	is_int(x->todo_count, 0, "until it is");
	record_clear(&gone);
	index_free(x);
}

/* ---- settled, left, and the list of what is not ---- */

struct told {
	unsigned todo, settled, records, own, answers, barriers, members, freed;
	uint64_t number;
};

static void
told_todo(void *arg, struct pathent *ent)
{
	struct told *t = arg;

	t->todo++;
	if (!ent->todo || index_settled(ent))
		abort();
}

static void
told_settled(void *arg, struct pathent *ent)
{
	struct told *t = arg;

	t->settled++;
	if (ent->todo || !index_settled(ent))
		abort();
}

static void
told_record(void *arg, struct irec *r, bool own)
{
	struct told *t = arg;

	t->records += r->r != NULL;
	t->own += own;
}

static void
told_answer(void *arg, const struct entry *e)
{
	struct told *t = arg;

	t->answers++;
	t->number = e->num;
}

static void
told_barrier(void *arg, uint64_t n)
{
	struct told *t = arg;

	t->barriers++;
	t->number = n;
}

static void
told_member(void *arg, const struct member *m)
{
	struct told *t = arg;

	t->members++;
	t->number = m->incarnation;
}

static void
told_free(void *arg, struct pathent *ent)
{
	struct told *t = arg;

	t->freed += ent->work != NULL;
}

static struct index *
listened(struct told *t)
{
	struct index *x = fold_index();

	*t = (struct told){0};
	x->arg = t;
	x->on_todo = told_todo;
	x->on_settled = told_settled;
	x->on_record = told_record;
	x->on_answer = told_answer;
	x->on_barrier = told_barrier;
	x->on_member = told_member;
	x->on_free = told_free;
	return x;
}

static void
callbacks(void)
{
	struct told t;
	struct index *x = listened(&t);
	struct record a = rec("d/a", dot(1, 1), 1, KIND_FILE, 1),
		      own = rec("own", dot(9, 1), 7, KIND_FILE, 1);
	struct member m = {.name = "web2", .incarnation = 3};
	struct buf blob = {0};
	int work;

	fold_known(x, &a);
	ok(t.records == 1 && t.own == 0 && t.todo == 2 && x->todo_count == 2,
	   "a new record: it and its directory are unsettled");
	fold_known(x, &a);
	ok(t.records == 1, "the same again is no news");
	fold_applied(x, "d", dot(0, 0), APPLIED_SHOWN);
	is_int(t.settled, 1, "the directory is there: settled");
	fold_applied(x, "d/a", a.dot, APPLIED_SHOWN);
	ok(t.settled == 2 && index_todo_first(x) == NULL, "the file is there: settled");
	fold_origin(x, 9, "self");
	fold_own(x, &own);
	ok(t.own == 1 && x->hlc == 7, "an own record is told as own, and its time is kept");
	fold_num(x, ENTRY_BARRIER, 5);
	ok(t.barriers == 1 && t.number == 5 && x->barrier == 5, "a barrier is told");
	fold_num(x, ENTRY_ANSWER, 5);
	fold_num(x, ENTRY_ANSWER, 4);
	ok(t.answers == 2 && x->answered == 5, "answers are told, and the highest stays");
	member_encode(&blob, &m);
	fold(x, &(struct entry){.type = ENTRY_MEMBER, .blob = blob.data, .blob_len = blob.len});
	fold(x, &(struct entry){.type = ENTRY_MEMBER, .blob = blob.data, .blob_len = blob.len});
	ok(t.members == 2 && t.number == 3 && x->nmembers == 1 && index_member(x, "web2") != NULL &&
		   index_member(x, "web3") == NULL,
	   "a member is told, and there is one of each name");
	fold(x, &(struct entry){.type = ENTRY_MEMBER, .blob = blob.data, .blob_len = blob.len - 1});
	is_int(x->nmembers, 1, "a broken member is not taken");
	at(x, "own")->work = &work;
	buf_free(&blob);
	index_free(x);
	is_int(t.freed, 1, "work that is still there at the end is given back");
}

static void
left_behind(void)
{
	struct index *x = fold_index();
	struct record dir = rec("d", dot(1, 1), 1, KIND_DIR, 0),
		      gone = rec("d", dot(1, 2), 2, KIND_ABSENT, 0),
		      file = rec("d/f", dot(2, 1), 3, KIND_FILE, 1);
	struct record back = rec("d", dot(1, 3), 9, KIND_DIR, 0);

	fold_known(x, &dir);
	fold_applied(x, "d", dir.dot, APPLIED_SHOWN);
	is_int(x->dirs, 1, "a directory is shown");
	after(&gone, &dir);
	fold_known(x, &gone);
	is_int(x->todo_count, 1, "its delete is pending");
	fold_applied(x, "d", gone.dot, APPLIED_LEFT);
	ok(dot_eq(at(x, "d")->left, gone.dot) && x->todo_count == 0,
	   "the directory had to stay: dealt with all the same");
	ok(dotset_has(&x->acked, gone.dot) && dot_eq(shown(x, "d"), dir.dot),
	   "acknowledged, and still shown");
	index_unleave(x, at(x, "d"));
	is_int(x->todo_count, 1, "taken back: it is looked at again");
	fold_applied(x, "d", gone.dot, APPLIED_LEFT);
	fold_known(x, &file);
	fold_applied(x, "d/f", file.dot, APPLIED_SHOWN);
	ok(dot_none(at(x, "d")->left) && x->todo_count == 0,
	   "a file below: the tree shows what it should, nothing is left behind any more");
	fold_at(x, ENTRY_REMOVED, "d/f", file.dot);
	fold_applied(x, "d/f", dot(0, 0), APPLIED_ABSENT);
	is_int(x->todo_count, 1, "the file went: the directory is due again");
	after(&back, &gone);
	fold_applied(x, "d", gone.dot, APPLIED_LEFT);
	fold_known(x, &back);
	ok(dot_none(at(x, "d")->left) && x->todo_count == 1,
	   "another winner: what was left does not count for it");
	record_clear(&gone);
	record_clear(&back);
	index_free(x);
}

static void
deletes(void)
{
	struct index *x = fold_index();
	struct record a = rec("d/a", dot(1, 1), 1, KIND_FILE, 4),
		      gone = rec("d/a", dot(2, 1), 2, KIND_ABSENT, 4);

	fold_known(x, &a);
	fold_applied(x, "d", dot(0, 0), APPLIED_SHOWN);
	fold_applied(x, "d/a", a.dot, APPLIED_SHOWN);
	ok(x->files == 1 && x->bytes == 4 && x->tombstones == 0, "a file is counted");
	after(&gone, &a);
	fold_known(x, &gone);
	ok(x->files == 1 && x->tombstones == 1 && x->todo_count == 2,
	   "a delete that is pending: the file is still there, the directory is not wanted");
	fold_applied(x, "d/a", gone.dot, APPLIED_ABSENT);
	ok(x->files == 0 && x->bytes == 0 && dot_eq(shown(x, "d/a"), dot(0, 0)), "it is gone");
	fold_applied(x, "d", dot(0, 0), APPLIED_ABSENT);
	ok(x->todo_count == 0 && index_record(at(x, "d/a"), gone.dot) != NULL,
	   "the tombstone stays");
	fold_at(x, ENTRY_COLLECTED, "d/a", gone.dot);
	ok(at(x, "d/a") == NULL && at(x, "d") == NULL && x->tombstones == 0,
	   "collected: nothing is known of the path any more");
	ok(dotset_has(&x->floor, gone.dot) && dotset_has(&x->have, gone.dot) &&
		   dotset_has(&x->acked, gone.dot),
	   "but the floor, and that it was seen");
	record_clear(&gone);
	index_free(x);
}

static void
removed(void)
{
	struct index *x = fold_index();
	struct record a = rec("f", dot(1, 1), 1, KIND_FILE, 1),
		      b = rec("f", dot(1, 2), 2, KIND_FILE, 2);

	fold_known(x, &a);
	fold_known(x, &b);
	after(&b, &a);
	fold_applied(x, "f", a.dot, APPLIED_SHOWN);
	fold_at(x, ENTRY_REMOVED, "f", a.dot);
	ok(!is_head(x, "f", a.dot) && dot_eq(shown(x, "f"), a.dot) && x->todo_count == 1,
	   "removed: no head, and its file is to go");
	fold_applied(x, "f", b.dot, APPLIED_SHOWN);
	fold_at(x, ENTRY_REMOVED, "f", b.dot);
	fold_applied(x, "f", dot(0, 0), APPLIED_ABSENT);
	ok(x->todo_count == 0 && x->files == 0 && x->digest[0] == 0 && x->digest[1] == 0,
	   "nothing is left of both");
	fold_at(x, ENTRY_REMOVED, "f", dot(5, 5));
	fold_at(x, ENTRY_REMOVED, "nowhere", dot(5, 5));
	fold_at(x, ENTRY_COLLECTED, "nowhere", dot(5, 6));
	ok(dotset_has(&x->floor, dot(5, 6)) && !dotset_has(&x->floor, dot(5, 5)),
	   "of what is not here only the floor is noted");
	record_clear(&b);
	index_free(x);
}

/* What a removed version had superseded does not stay pending for ever. */
static void
removed_with_what_it_covers(void)
{
	struct index *x = fold_index();
	struct record a = rec("f", dot(1, 1), 1, KIND_FILE, 1),
		      b = rec("f", dot(2, 1), 2, KIND_FILE, 2);

	after(&b, &a);
	fold_known(x, &a);
	fold_known(x, &b);
	fold_at(x, ENTRY_REMOVED, "f", b.dot);
	ok(x->todo_count == 0 && dotset_eq(&x->acked, &x->have),
	   "neither it nor what it covers is pending");
	record_clear(&b);
	index_free(x);
}

/* ---- APPLIED that does not fit ---- */

static void
applied_oddly(void)
{
	struct index *x = fold_index();
	struct record a = rec("f", dot(1, 1), 1, KIND_FILE, 1),
		      gone = rec("g", dot(1, 2), 2, KIND_ABSENT, 1);

	fold_known(x, &a);
	fold_applied(x, "f", a.dot, APPLIED_SHOWN);
	fold_applied(x, "f", dot(7, 7), APPLIED_SHOWN);
	ok(dot_eq(shown(x, "f"), a.dot),
	   "a version that is not known cannot be shown: what was shown stays");
	fold_known(x, &gone);
	fold_applied(x, "g", gone.dot, APPLIED_SHOWN);
	ok(dot_eq(shown(x, "g"), dot(0, 0)) && x->files == 1, "a delete is not shown as a file");
	fold_applied(x, "h/i", dot(0, 0), APPLIED_ABSENT);
	ok(at(x, "h") == NULL, "a path of which nothing is known leaves no trace");
	index_free(x);
}

/* ---- intents ---- */

static unsigned
intents(const struct index *x)
{
	unsigned n = 0;

	for (const struct intent *i = x->intents; i != NULL; i = i->next)
		n++;
	return n;
}

static void
intents_open_and_close(void)
{
	struct index *x = fold_index();
	struct record a = rec("d/new", dot(1, 1), 1, KIND_FILE, 1);

	fold_known(x, &a);
	fold_intent(x, "d/new", a.dot, ACTION_PLACE, 77, NULL);
	ok(at(x, "d/new")->intent != NULL && at(x, "d/new")->intent->ino == 77 && intents(x) == 1,
	   "an intent is open");
	fold_intent(x, "d/new", a.dot, ACTION_PLACE, 78, NULL);
	ok(at(x, "d/new")->intent->ino == 78 && intents(x) == 1, "a second one takes its place");
	fold_applied(x, "d/new", a.dot, APPLIED_SHOWN);
	ok(at(x, "d/new")->intent == NULL && intents(x) == 0, "applied: closed");
	fold_intent(x, "e/f/g", dot(0, 0), ACTION_MKDIR, 0, NULL);
	ok(at(x, "e/f/g") != NULL, "an intent alone keeps its path");
	fold_at(x, ENTRY_DROPPED, "e/f/g", dot(0, 0));
	ok(intents(x) == 0 && at(x, "e") == NULL, "dropped: closed, and nothing stays");
	fold_at(x, ENTRY_DROPPED, "e/f/g", dot(0, 0));
	fold_intent(x, "kept", dot(0, 0), ACTION_TAKE, 0, NULL);
	index_free(x);
	ok(true, "one that is open at the end is freed");
}

static void
moves(void)
{
	struct index *x = fold_index();

	fold_intent(x, "to", dot(1, 1), ACTION_MOVE, 5, "from/a");
	ok(at(x, "to")->intent == at(x, "from/a")->intent && intents(x) == 1,
	   "a move is open at both its paths");
	fold_applied(x, "from/a", dot(0, 0), APPLIED_ABSENT);
	ok(at(x, "from/a") != NULL && at(x, "from/a")->intent != NULL,
	   "news of its source does not close it");
	fold_at(x, ENTRY_DROPPED, "to", dot(0, 0));
	ok(intents(x) == 0 && at(x, "to") == NULL && at(x, "from") == NULL,
	   "dropped: closed at both");

	fold_intent(x, "to", dot(1, 1), ACTION_MOVE, 5, "from/a");
	fold_intent(x, "else", dot(1, 2), ACTION_MOVE, 6, "from/a");
	ok(intents(x) == 1 && at(x, "to") == NULL &&
		   at(x, "from/a")->intent == at(x, "else")->intent,
	   "a second move of one source replaces the first");
	fold_intent(x, "from/a", dot(1, 3), ACTION_PLACE, 7, NULL);
	ok(intents(x) == 1 && at(x, "else") == NULL &&
		   at(x, "from/a")->intent->action == ACTION_PLACE,
	   "so does any other intent at its source");
	fold_at(x, ENTRY_DROPPED, "from/a", dot(0, 0));
	ok(at(x, "from") == NULL && intents(x) == 0, "and that closes as always");
	index_free(x);
}

/* Moves between a path and what is below it make no sense, and harm nothing. */
static void
moves_within_themselves(void)
{
	static const char *const paths[] = {"a", "a/b", "a/b/c", "d"};
	struct index *x = fold_index();
	uint64_t seed = 3;

	for (unsigned i = 0; i < 4000; i++) {
		const char *p = paths[draw(&seed) % 4], *q = paths[draw(&seed) % 4];

		switch (draw(&seed) % 6) {
		case 0:
			fold_at(x, ENTRY_DROPPED, p, dot(0, 0));
			break;
		case 1:
			fold_applied(x, p, dot(0, 0), (uint8_t)(draw(&seed) % 3));
			break;
		case 2:
			fold_intent(x, p, dot(1, 1), ACTION_PLACE, 1, NULL);
			break;
		default:
			fold_intent(x, p, dot(1, 1), ACTION_MOVE, 1, q);
		}
		if (draw(&seed) % 8 == 0)
			for (size_t k = 0; k < ARRAY_LEN(paths); k++) {
				fold_at(x, ENTRY_DROPPED, paths[k], dot(0, 0));
				fold_applied(x, paths[k], dot(0, 0), APPLIED_ABSENT);
			}
	}
	for (size_t k = 0; k < ARRAY_LEN(paths); k++) {
		fold_at(x, ENTRY_DROPPED, paths[k], dot(0, 0));
		fold_applied(x, paths[k], dot(0, 0), APPLIED_ABSENT);
	}
	ok(intents(x) == 0 && x->root->child == NULL && x->todo_count == 0,
	   "nothing stays of four thousand of them");
	index_free(x);
}

/* ---- signatures, content, store ---- */

static void
signatures(void)
{
	struct index *x = fold_index();
	struct record a = rec("f", dot(1, 1), 1, KIND_FILE, 1);
	struct entry e = {
		.type = ENTRY_SIG, .path = (const uint8_t *)"f", .path_len = 1, .sig = {.ino = 42}};

	fold(x, &e);
	ok(at(x, "f") == NULL, "a signature of nothing is not kept");
	fold_known(x, &a);
	fold(x, &e);
	is_int(at(x, "f")->sig.ino, 0, "nor one of what is not shown");
	fold_applied(x, "f", a.dot, APPLIED_SHOWN);
	is_int(at(x, "f")->sig.ino, 1001, "APPLIED brings it");
	fold(x, &e);
	is_int(at(x, "f")->sig.ino, 42, "SIG replaces it");
	fold_applied(x, "f", a.dot, 0);
	is_int(at(x, "f")->sig.ino, 42, "dealing with something leaves it");
	fold_applied(x, "f", dot(0, 0), APPLIED_ABSENT);
	is_int(at(x, "f")->sig.ino, 0, "it goes with the file");
	index_free(x);
}

static void
altered(void)
{
	struct index *x = fold_index();
	struct record a = rec("f", dot(1, 1), 1, KIND_FILE, 1),
		      d = rec("d", dot(1, 2), 2, KIND_DIR, 0);
	struct entry e = {.type = ENTRY_ALTERED,
			  .path = (const uint8_t *)"f",
			  .path_len = 1,
			  .sig = {.ino = 77}},
		     sig = {.type = ENTRY_SIG,
			    .path = (const uint8_t *)"f",
			    .path_len = 1,
			    .sig = {.ino = 78}};

	fold(x, &e);
	ok(at(x, "f") == NULL, "nothing of a path that is not known");
	fold_own(x, &a);
	ok(index_content(x, a.hash, a.size) == at(x, "f"), "its content is here");
	fold(x, &e);
	ok(index_content(x, a.hash, a.size) == NULL, "altered: it is not any more");
	ok(at(x, "f")->shown != NULL && at(x, "f")->sig.ino == 77,
	   "the version is still the shown one");
	ok(!index_settled(at(x, "f")) && at(x, "f")->todo, "and there is something to do");
	fold(x, &e);
	is_int(x->todo_count, 1, "said twice is said once");
	fold_applied(x, "f", a.dot, APPLIED_SHOWN);
	ok(index_content(x, a.hash, a.size) == at(x, "f") && index_settled(at(x, "f")),
	   "APPLIED: the content is back");
	fold(x, &e);
	fold(x, &sig);
	ok(index_content(x, a.hash, a.size) == at(x, "f") && index_settled(at(x, "f")),
	   "SIG: the user put it back");
	fold(x, &e);
	fold_applied(x, "f", dot(0, 0), APPLIED_ABSENT);
	ok(!at(x, "f")->altered, "gone is not altered");
	fold_own(x, &d);
	e.path = (const uint8_t *)"d";
	fold(x, &e);
	ok(!at(x, "d")->altered, "nor is a directory ever");
	index_free(x);
}

#define ALIKE 20000

static void
content(void)
{
	struct index *x = fold_index();
	struct pathent *e;
	unsigned wrong = 0;
	char path[32];

	for (unsigned i = 0; i < ALIKE;
	     i++) { /* all with one content: unchecked folds, as each check walks everything */
		struct record r;
		struct entry n;

		snprintf(path, sizeof(path), "f%u", i);
		r = rec(path, dot(1, i + 1), 1, KIND_FILE, 9);
		must(index_fold(x, &(struct entry){.type = ENTRY_KNOWN, .rec = r}));
		n = (struct entry){.type = ENTRY_APPLIED,
				   .path = r.path,
				   .path_len = r.path_len,
				   .dot = r.dot,
				   .flags = APPLIED_SHOWN};
		must(index_fold(x, &n));
	}
	index_check(x);
	is_int(x->files, ALIKE, "%u files of one content", ALIKE);
	is_int(x->content.n, 1, "have one place in the table");
	for (unsigned i = 0; i < ALIKE; i++) {
		struct record r;

		snprintf(path, sizeof(path), "f%u", i * 7 % ALIKE);
		r = rec(path, dot(1, 1), 1, KIND_FILE, 9);
		e = index_content(x, r.hash, r.size);
		wrong += e == NULL || e->shown == NULL || e->shown->r->hash[0] != 9;
		must(index_fold(x, &(struct entry){.type = ENTRY_APPLIED,
						   .path = r.path,
						   .path_len = r.path_len,
						   .flags = APPLIED_ABSENT}));
	}
	is_int(wrong, 0, "one of them is found as long as there is one");
	ok(x->content.n == 0 && x->files == 0, "and none after that");
	index_check(x);
	index_free(x);
}

/* An import and a user's version with the same bytes, stored once: a delete of the latter leaves
 * the import as a loser, whose bytes are those in the trash. */
static void
store_shared(void)
{
	struct index *x = fold_index();
	struct record a = rec("f", dot(1, 1), 5, KIND_FILE, 10),
		      b = import(rec("f", dot(2, 1), 1, KIND_FILE, 10)),
		      gone = rec("f", dot(1, 2), 9, KIND_ABSENT, 0),
		      both = rec("f", dot(3, 1), 12, KIND_ABSENT, 0);

	after(&gone, &a);
	after(&both, &gone);
	after(&both, &b);
	fold_known(x, &a);
	fold_known(x, &b);
	fold_kept(x, &a, 100);
	ok(index_kept_conflict(x, x->kept_first), "a kept head is a conflict");
	fold_known(x, &gone);
	ok(index_kept_conflict(x, x->kept_first), "deleted, and another loser has these bytes");
	fold_kept(x, &b, 100);
	ok(!index_kept_conflict(x, x->kept_first) && index_kept_conflict(x, x->kept_last),
	   "it is trash once the other one is kept under its own name");
	fold_at(x, ENTRY_PURGED, "", b.dot);
	fold_known(x, &both);
	ok(!index_kept_conflict(x, x->kept_first), "and when that one is deleted, too");
	record_clear(&gone);
	record_clear(&both);
	index_free(x);
}

static void
store(void)
{
	struct index *x = fold_index();
	struct record a = rec("f", dot(1, 1), 1, KIND_FILE, 10),
		      b = rec("f", dot(2, 1), 2, KIND_FILE, 20),
		      c = rec("f", dot(3, 1), 3, KIND_FILE, 30);
	struct record lost = rec("f", dot(1, 1), 1, KIND_FILE, 5);
	struct entry rescued = {.type = ENTRY_KEPT, .dot = {0, 3}, .num = 9, .flags = KEPT_RESCUED};

	fold_known(x, &a);
	fold_known(x, &b);
	fold_kept(x, &a, 100);
	ok(x->kept_files == 1 && x->kept_bytes == 10 && index_kept(x, a.dot) == x->kept_first,
	   "a kept version");
	ok(index_kept_content(x, a.hash, a.size) == x->kept_first &&
		   index_kept_content(x, b.hash, b.size) == NULL,
	   "is found by its content");
	ok(index_kept_content(x, a.hash, a.size + 1) == NULL, "size included");
	ok(index_kept_conflict(x, x->kept_first), "it is a conflict as long as it is a head");
	after(&c, &a);
	after(&c, &b);
	fold_known(x, &c);
	ok(!index_kept_conflict(x, x->kept_first), "and trash after");
	rescued.rec = lost;
	fold(x, &rescued);
	ok(x->kept_files == 2 && index_kept_conflict(x, x->kept_last) &&
		   x->kept_last->dot.origin == 0,
	   "what nobody logged is a conflict always");
	fold_kept(x, &a, 200);
	ok(x->kept_files == 2 && x->kept_last->since_ms == 200 && x->kept_bytes == 15,
	   "kept again: once, as the newest");
	fold_at(x, ENTRY_PURGED, "", dot(0, 3));
	fold_at(x, ENTRY_PURGED, "", dot(0, 4));
	ok(x->kept_files == 1 && x->kept_bytes == 10 && x->kept_first == x->kept_last, "purged");
	fold_at(x, ENTRY_PURGED, "", a.dot);
	ok(x->kept_files == 0 && x->kept_first == NULL && x->kept_last == NULL &&
		   index_kept(x, a.dot) == NULL,
	   "the last one, too");
	record_clear(&c);
	index_free(x);
}

/* ---- cursors ---- */

static void
cursors(void)
{
	struct index *x = fold_index();
	struct record v[4], w;
	struct index_cursor c, d;

	for (unsigned i = 0; i < 4; i++) {
		static const char *const paths[] = {"a", "b", "c", "d"};

		v[i] = rec(paths[i], dot(1, i + 1), 1, KIND_FILE, (uint8_t)i);
		fold_known(x, &v[i]);
	}
	index_cursor_begin(x, &c);
	index_cursor_begin(x, &d);
	ok(dot_eq(index_cursor_next(x, &c)->r->dot, dot(1, 1)) &&
		   dot_eq(index_cursor_next(x, &c)->r->dot, dot(1, 2)),
	   "a cursor goes in the order of the log");
	(void)index_cursor_next(x, &d);
	w = rec("b", dot(2, 1), 2, KIND_FILE, 9);
	after(&w, &v[1]);
	fold_known(x, &w);
	fold_applied(x, "b", w.dot,
		     APPLIED_SHOWN); /* takes b's first record out: the cursor stood there */
	ok(dot_eq(index_cursor_next(x, &c)->r->dot, dot(1, 3)),
	   "what it stood on went: it goes on behind it");
	fold_at(x, ENTRY_REMOVED, "a", v[0].dot); /* the first of all */
	ok(dot_eq(index_cursor_next(x, &d)->r->dot, dot(1, 3)),
	   "the first one went: the other goes on at what is first now");
	ok(dot_eq(index_cursor_next(x, &c)->r->dot, dot(1, 4)) &&
		   dot_eq(index_cursor_next(x, &c)->r->dot, w.dot) &&
		   index_cursor_next(x, &c) == NULL,
	   "to the end");
	record_clear(&w);
	w = rec("e", dot(1, 9), 1, KIND_FILE, 1);
	fold_known(x, &w);
	ok(dot_eq(index_cursor_next(x, &c)->r->dot, w.dot), "and on when something comes");
	index_cursor_end(x, &c);
	index_cursor_end(x, &d);
	ok(x->cursors == NULL, "given back");
	index_free(x);
}

/* ---- paths, origins, switches ---- */

static void
paths_come_and_go(void)
{
	struct index *x = fold_index();
	struct pathent *e = index_get(x, "a/b/c", 5);
	int work;

	ok(e != NULL && at(x, "a/b") == e->parent && at(x, "a")->parent == x->root &&
		   at(x, "") == x->root,
	   "a path is made with its parents");
	ok(index_get(x, "a/b/c", 5) == e, "once");
	e->work = &work;
	e->work = NULL;
	index_release(x, e);
	ok(at(x, "a/b/c") == NULL && at(x, "a") == NULL, "released, it goes, with its parents");
	ok(index_want(x->root, &(struct irec *){NULL}) == WANT_DIR && index_settled(x->root),
	   "the root is a directory and is settled");
	index_free(x);
}

static void
small_things(void)
{
	struct index *x = fold_index();
	struct record far = rec("f", dot(3, 1), 1000, KIND_FILE, 1);

	fold_origin(x, 9, "web2");
	fold_origin(x, 3, "self");
	fold_origin(x, 5, "web2");
	fold_origin(x, 5, "web9");
	ok(x->norigins == 3 && index_own(x, 3) && !index_own(x, 5) && !index_own(x, 4) &&
		   strcmp(index_origin(x, 5)->node, "web2") == 0,
	   "origins are sorted, each once, the first word counts");
	is_int(index_origin(x, 9)->store, 63, "with their store");
	fold_num(x, ENTRY_CLOCK, 500);
	fold_num(x, ENTRY_CLOCK, 400);
	is_int(x->hlc, 500, "the clock never goes back");
	fold_known(x, &far);
	is_int(x->hlc, 1000, "records move it");
	fold_num(x, ENTRY_PAUSE, 1);
	ok(x->paused, "paused");
	fold_num(x, ENTRY_PAUSE, 0);
	ok(!x->paused, "and on");
	fold_num(x, ENTRY_SCANNED, 77);
	is_int(x->scanned_ms, 77, "a scan");
	fold_set(x, ENTRY_HELD, 1, 1, 3);
	fold_set(x, ENTRY_HELD, 2, 1, 1);
	ok(!dotset_has(&x->held, dot(1, 1)) && dotset_has(&x->held, dot(2, 1)),
	   "what is held is replaced");
	fold_set(x, ENTRY_FLOOR, 1, 1, 3);
	fold_set(x, ENTRY_FLOOR, 2, 1, 1);
	ok(dotset_has(&x->floor, dot(1, 3)) && dotset_has(&x->floor, dot(2, 1)),
	   "the floor only rises");
	index_free(x);
}

/* A wide directory of imports in the shadow of a file: in and out of it. */
static void
shadow(void)
{
	struct index *x = fold_index();
	struct record file = rec("a", dot(1, 1), 1, KIND_FILE, 1),
		      gone = rec("a", dot(1, 2), 2, KIND_ABSENT, 1), i[8];
	static const char *const paths[] = {"a/1",     "a/2", "a/b/3", "a/b/4",
					    "a/b/c/5", "a/6", "a/d/7", "a/8"};

	for (unsigned k = 0; k < 8; k++) {
		i[k] = import(rec(paths[k], dot(2, k + 1), k, KIND_FILE, (uint8_t)k));
		fold_known(x, &i[k]);
	}
	is_int(x->todo_count, 12, "eight imports and four directories are wanted");
	fold_known(x, &file);
	is_int(x->todo_count, 9, "in the shadow of a file: their directories are not");
	for (unsigned k = 0; k < 8; k++)
		fold_applied(x, paths[k], i[k].dot, 0);
	is_int(x->todo_count, 1, "the imports are dealt with, the file is wanted");
	fold_applied(x, "a", file.dot, APPLIED_SHOWN);
	is_int(x->todo_count, 0, "settled");
	after(&gone, &file);
	fold_known(x, &gone);
	is_int(x->todo_count, 12, "the file is deleted: all of them come out");
	record_clear(&gone);
	index_free(x);
}

static void
agreed(void)
{
	struct index *x = fold_index();
	struct record r = rec("f", dot(1, 1), 9, KIND_FILE, 1),
		      other = rec("f", dot(1, 2), 9, KIND_FILE, 2);

	fold_set(x, ENTRY_HELD, 1, 9, 9);
	fold(x, &(struct entry){.type = ENTRY_HELD});
	is_int(x->accepted, 0, "what is held may end without anybody's word");
	fold_num(x, ENTRY_PAUSE, 0);
	fold_set(x, ENTRY_HELD, 1, 9, 9);
	is_int(x->accepted, 0, "a set that is not empty is none");
	fold_num(x, ENTRY_PAUSE, 1);
	fold(x, &(struct entry){.type = ENTRY_HELD});
	is_int(x->accepted, 0, "nor is one behind a pause");
	fold_num(x, ENTRY_PAUSE, 0);
	fold_num(x, ENTRY_CLOCK, 5);
	fold(x, &(struct entry){.type = ENTRY_HELD});
	is_int(x->accepted, 0, "nor one that does not follow at once");
	fold_num(x, ENTRY_PAUSE, 0);
	fold(x, &(struct entry){.type = ENTRY_HELD});
	is_int(x->accepted, 1, "an empty one directly behind resume is a person's word");
	fold_set(x, ENTRY_VECTOR, 1, 1, 1);
	ok(x->exchanged, "a vector says that what peers hold is known");
	fold_num(x, ENTRY_AWAIT, 7);
	ok(!x->exchanged, "until the watcher asks anew");
	fold_kept(x, &r, 5);
	ok(index_kept_at(x, &r) != NULL && index_kept_at(x, &other) == NULL,
	   "a kept version is found by path and content");
	other = r;
	other.path = (const uint8_t *)"g";
	ok(index_kept_at(x, &other) == NULL, "not under another path");
	index_free(x);
}

int
main(void)
{
	contexts_add_up();
	contexts_beyond_heads();
	pending_is_not_acknowledged();
	kept_loser_may_win();
	superseded_under_way();
	duplicates();
	gaps();
	gap_not_for_ever();
	callbacks();
	left_behind();
	deletes();
	removed();
	removed_with_what_it_covers();
	applied_oddly();
	intents_open_and_close();
	moves();
	moves_within_themselves();
	signatures();
	altered();
	agreed();
	content();
	store();
	store_shared();
	cursors();
	paths_come_and_go();
	small_things();
	shadow();
	return tap_done();
}
