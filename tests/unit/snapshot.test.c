/* SPDX-License-Identifier: BSD-2-Clause */
/* Snapshots: folded into a fresh index, they give an equal one, for random histories and for the
 * awkward states one by one. */
#include "config.h"

#include "proto/wal.h"

#include "tests/fold.h"
#include "tests/tap.h"

/* ---- a snapshot, and the index that comes of it ---- */

/* Folds framed entries; returns how many. */
static unsigned
fold_frames(struct index *x, const struct buf *b)
{
	unsigned n = 0;

	for (size_t off = 0; off < b->len; n++) {
		size_t len = bytes_get_u32(b->data + off);
		struct entry e;

		must(entry_decode(b->data + off + WAL_ENTRY_HEADER_BYTES, len, &e));
		must(index_fold(x, &e));
		entry_clear(&e);
		off += WAL_ENTRY_HEADER_BYTES + len;
	}
	return n;
}

static struct index *
again(struct index *x)
{
	struct index *y = index_new(FOLD_SEED + 1, "self");
	struct index_snapshot s = {0};
	struct buf out = {0};

	if (y == NULL)
		abort();
	do {
		buf_reset(&out);
		must(index_snapshot(x, &s, &out));
		fold_frames(y, &out);
	} while (out.len > 0);
	index_check(y);
	buf_free(&out);
	return y;
}

/* ---- is it equal? ---- */

static const char *
differ_records(const struct pathent *a, const struct pathent *b)
{
	unsigned n = 0, m = 0;

	for (const struct irec *i = a->recs; i != NULL; i = i->next, n++) {
		const struct irec *k = index_record(b, i->r->dot);

		if (k == NULL)
			return "a record is missing";
		if (k->head != i->head)
			return "a head";
		if (k->shown != i->shown)
			return "which record is shown";
		if (!vv_eq(&k->r->ctx, &i->r->ctx) || !record_same_content(k->r, i->r) ||
		    k->r->hlc != i->r->hlc)
			return "a record's fields";
	}
	for (const struct irec *k = b->recs; k != NULL; k = k->next)
		m++;
	return n == m ? NULL : "a record too many";
}

static const char *
differ_path(const struct pathent *a, const struct pathent *b)
{
	struct irec *want[2];
	const char *why = differ_records(a, b);

	if (why != NULL)
		return why;
	if (!vv_eq(&a->actx, &b->actx))
		return "an applied context";
	if ((a->shown == NULL) != (b->shown == NULL) || a->shown_dir != b->shown_dir ||
	    a->altered != b->altered)
		return "what is shown";
	if (!sig_eq(&a->sig, &b->sig))
		return "a signature";
	if (!dot_eq(a->left, b->left))
		return "what was left";
	if (a->todo != b->todo)
		return "what is settled";
	if (index_want(a, &want[0]) != index_want(b, &want[1]))
		return "what is wanted";
	if ((a->intent == NULL) != (b->intent == NULL))
		return "an intent";
	if (a->intent == NULL)
		return NULL;
	if (!dot_eq(a->intent->dot, b->intent->dot) || a->intent->action != b->intent->action ||
	    a->intent->ino != b->intent->ino ||
	    (a->intent->from == NULL) != (b->intent->from == NULL))
		return "an intent's fields";
	return NULL;
}

static const struct pathent *
walk(const struct pathent *e)
{
	if (e->child != NULL)
		return e->child;
	while (e != NULL && e->sib_next == NULL)
		e = e->parent;
	return e != NULL ? e->sib_next : NULL;
}

static const char *
differ_paths(const struct index *x, const struct index *y)
{
	for (const struct pathent *a = x->root; a != NULL; a = walk(a)) {
		const struct pathent *b = index_find(y, a->path, a->path_len);
		const char *why = b == NULL ? "a path is missing" : differ_path(a, b);

		if (why != NULL)
			return why;
	}
	return x->paths.n == y->paths.n ? NULL : "a path too many";
}

static const char *
differ_lists(const struct index *x, const struct index *y)
{
	const struct irec *i = x->log_first, *k = y->log_first;
	const struct kept *p = x->kept_first, *q = y->kept_first;

	for (; i != NULL && k != NULL; i = i->log_next, k = k->log_next)
		if (!dot_eq(i->r->dot, k->r->dot))
			return "the order of the log";
	if (i != NULL || k != NULL)
		return "the length of the log";
	for (; p != NULL && q != NULL; p = p->next, q = q->next)
		if (!dot_eq(p->dot, q->dot) || p->since_ms != q->since_ms || p->flags != q->flags ||
		    index_kept_conflict(x, p) != index_kept_conflict(y, q))
			return "a kept version";
	if (p != NULL || q != NULL)
		return "the length of the store's list";
	if (x->norigins != y->norigins || x->nmembers != y->nmembers)
		return "the number of origins or members";
	for (size_t n = 0; n < x->norigins; n++)
		if (x->origins[n].id != y->origins[n].id ||
		    x->origins[n].store != y->origins[n].store ||
		    x->origins[n].frozen != y->origins[n].frozen ||
		    strcmp(x->origins[n].node, y->origins[n].node) != 0)
			return "an origin";
	for (size_t n = 0; n < x->nmembers; n++)
		/* Both were decoded into zeroed structs.
		 * NOLINTNEXTLINE(bugprone-suspicious-memory-comparison) */
		if (memcmp(&x->members[n], &y->members[n], sizeof(x->members[n])) != 0)
			return "a member";
	return NULL;
}

static const char *
differ_numbers(const struct index *x, const struct index *y)
{
	if (!dotset_eq(&x->have, &y->have))
		return "have";
	if (!dotset_eq(&x->floor, &y->floor) || !dotset_eq(&x->held, &y->held))
		return "floor or held";
	if (memcmp(x->digest, y->digest, sizeof(x->digest)) != 0)
		return "the digest";
	if (x->files != y->files || x->bytes != y->bytes || x->dirs != y->dirs ||
	    x->tombstones != y->tombstones || x->conflicts != y->conflicts)
		return "a total";
	if (x->kept_bytes != y->kept_bytes || x->kept_files != y->kept_files ||
	    x->todo_count != y->todo_count)
		return "a count";
	if (x->hlc != y->hlc || x->barrier != y->barrier || x->answered != y->answered ||
	    x->scanned_ms != y->scanned_ms || x->paused != y->paused)
		return "a clock or a switch";
	/* What a gap holds back may be held back longer, never shorter; without gaps both are
	 * equal. */
	if (!dotset_subset(&y->acked, &x->acked) ||
	    (x->gaps == NULL && !dotset_eq(&x->acked, &y->acked)))
		return "acked";
	return NULL;
}

/* NULL: y is what x is. */
static const char *
differ(const struct index *x, const struct index *y)
{
	const char *why = differ_paths(x, y);

	if (why == NULL)
		why = differ_lists(x, y);
	return why != NULL ? why : differ_numbers(x, y);
}

static void
same_again(struct index *x, const char *what)
{
	struct index *y = again(x);
	const char *why = differ(x, y);

	if (!ok(why == NULL, "%s", what))
		diag("  differs: %s", why);
	index_free(y);
}

/* ---- random histories ---- */

static const char *const names[] = {"a", "a/b", "a/b/c", "a/d", "e", "f/g"};

struct play {
	struct index *x;
	uint64_t seed;
	uint64_t seq[6];
	uint64_t hlc;
	struct record *all[4000]; /* everything ever written, own copies */
	unsigned n;
};

static uint64_t
pick(struct play *p, uint64_t below)
{
	return draw(&p->seed) % below;
}

/* A new record of another node, which had applied some of what is known of the path. */
static void
play_known(struct play *p)
{
	const char *name = names[pick(p, ARRAY_LEN(names))];
	uint64_t origin = pick(p, 5);
	struct record r = rec(name, dot(20 + origin, ++p->seq[origin]), ++p->hlc + pick(p, 20),
			      (uint8_t)pick(p, 4), (uint8_t)pick(p, 5));

	if (pick(p, 6) == 0 && record_live(&r))
		r = import(r);
	for (unsigned i = 0; i < p->n; i++)
		if (strcmp((const char *)p->all[i]->path, name) == 0 &&
		    (pick(p, 2) == 0 || p->all[i]->dot.origin == r.dot.origin))
			after(&r, p->all[i]);
	if (p->n < ARRAY_LEN(p->all) && (p->all[p->n] = record_dup(&r)) != NULL)
		p->all[p->n++]->path = (const uint8_t *)name;
	if (pick(p, 8) != 0) /* some are lost on the way */
		fold_known(p->x, &r);
	record_clear(&r);
}

static void
play_own(struct play *p)
{
	const char *name = names[pick(p, ARRAY_LEN(names))];
	struct pathent *e = at(p->x, name);
	struct record r =
		rec(name, dot(9, ++p->seq[5]), ++p->hlc, (uint8_t)pick(p, 4), (uint8_t)pick(p, 5));

	if (e != NULL)
		must(vv_copy(&r.ctx, &e->actx));
	if (p->n < ARRAY_LEN(p->all) && (p->all[p->n] = record_dup(&r)) != NULL)
		p->all[p->n++]->path = (const uint8_t *)name;
	fold_own(p->x, &r);
	record_clear(&r);
}

/* Some head of the path: the winner more often than not. NULL: it has none. */
static struct irec *
some_head(struct play *p, const char *name)
{
	struct pathent *e = at(p->x, name);
	struct irec *i = e != NULL ? e->recs : NULL;

	if (e == NULL || pick(p, 3) != 0)
		return e != NULL ? index_winner(e) : NULL;
	while (i != NULL && (!i->head || pick(p, 3) == 0))
		i = i->next;
	return i;
}

static void
play_applied(struct play *p)
{
	const char *name = names[pick(p, ARRAY_LEN(names))];
	struct irec *i = some_head(p, name);

	if (i == NULL || pick(p, 10) == 0)
		fold_applied(p->x, name, dot(0, 0),
			     pick(p, 2) == 0 ? APPLIED_SHOWN : APPLIED_ABSENT);
	else if (i != index_winner(i->ent) || pick(p, 5) == 0)
		fold_applied(p->x, name, i->r->dot, 0);
	else
		fold_applied(p->x, name, i->r->dot,
			     record_live(i->r) ? APPLIED_SHOWN : APPLIED_ABSENT);
}

static struct irec *
unapplied_head(const struct pathent *e)
{
	for (struct irec *i = e->recs; i != NULL; i = i->next)
		if (i->head && !index_applied(i))
			return i;
	return NULL;
}

/* Marks everything as dealt with, so that gaps are released and tombstones can go. */
static void
play_settle(struct play *p)
{
	for (unsigned round = 0; round < 2;
	     round++) /* what is wanted above follows from what is below */
		for (size_t i = 0; i < ARRAY_LEN(names); i++) {
			struct pathent *e = at(p->x, names[i]);
			struct dot d = wanted(p->x, names[i]);
			struct irec *k;

			while (e != NULL && (k = unapplied_head(e)) != NULL)
				fold_applied(p->x, names[i], k->r->dot, 0);
			fold_applied(p->x, names[i], d.origin != 0 ? d : dot(0, 0),
				     d.origin != 0 || d.seq != 0 ? APPLIED_SHOWN : APPLIED_ABSENT);
		}
}

static void
play_end_of_head(struct play *p)
{
	const char *name = names[pick(p, ARRAY_LEN(names))];
	struct irec *i = some_head(p, name);

	if (i == NULL)
		return;
	if (record_live(i->r))
		fold_at(p->x, ENTRY_REMOVED, name, i->r->dot);
	else if (index_applied(i))
		fold_at(p->x, ENTRY_COLLECTED, name, i->r->dot);
}

static void
play_kept(struct play *p)
{
	const struct record *r = p->n > 0 ? p->all[pick(p, p->n)] : NULL;

	if (r == NULL || !record_live(r) || r->kind == KIND_DIR)
		return;
	if (pick(p, 3) == 0)
		fold_at(p->x, ENTRY_PURGED, "", r->dot);
	else if (pick(p, 4) == 0)
		fold(p->x, &(struct entry){.type = ENTRY_KEPT,
					   .dot = {0, 1 + pick(p, 5)},
					   .num = p->hlc,
					   .flags = KEPT_RESCUED,
					   .rec = *r});
	else
		fold_kept(p->x, r, p->hlc);
}

static void
play_intent(struct play *p)
{
	const char *name = names[pick(p, ARRAY_LEN(names))];

	if (pick(p, 2) == 0)
		fold_at(p->x, ENTRY_DROPPED, name, dot(0, 0));
	else if (pick(p, 3) == 0)
		fold_intent(p->x, name, dot(3, 3), ACTION_MOVE, pick(p, 9),
			    names[pick(p, ARRAY_LEN(names))]);
	else
		fold_intent(p->x, name, pick(p, 2) == 0 ? dot(0, 0) : dot(4, 1), ACTION_TAKE,
			    pick(p, 9), NULL);
}

static void
play_odds(struct play *p)
{
	struct entry sig = {.type = ENTRY_SIG,
			    .path = (const uint8_t *)"a/b",
			    .path_len = 3,
			    .sig = {.ino = p->hlc, .kind = KIND_FILE}};
	uint64_t lo = 1 + pick(p, 30);

	if (pick(p, 3) == 0)
		sig.type = ENTRY_ALTERED;
	switch (pick(p, 9)) {
	case 0:
		fold_set(p->x, ENTRY_VECTOR, 30 + pick(p, 3), lo, lo + pick(p, 4));
		break;
	case 1:
		fold_set(p->x, ENTRY_FLOOR, 30 + pick(p, 3), 1, lo);
		break;
	case 2:
		fold_set(p->x, ENTRY_HELD, 20, lo, lo + 2);
		break;
	case 3:
		fold_num(p->x, ENTRY_PAUSE, pick(p, 2));
		break;
	case 4:
		fold_num(p->x, ENTRY_SCANNED, p->hlc);
		break;
	case 5:
		fold_num(p->x, ENTRY_BARRIER, p->hlc);
		break;
	case 6:
		fold_num(p->x, ENTRY_ANSWER, p->hlc);
		break;
	case 7:
		fold_origin(p->x, 20 + pick(p, 5), "web2");
		break;
	default:
		fold(p->x, &sig);
	}
}

static const char *
play(uint64_t seed, unsigned steps, unsigned *snapshots, unsigned *pending)
{
	static struct play p;
	const char *why = NULL;

	p = (struct play){.x = fold_index(), .seed = seed};
	fold_origin(p.x, 9, "self");
	for (unsigned i = 0; i < steps && why == NULL; i++) {
		switch (pick(&p, 16)) {
		case 0:
		case 1:
		case 2:
		case 3:
		case 4:
			play_known(&p);
			break;
		case 5:
		case 6:
		case 7:
		case 8:
			play_applied(&p);
			break;
		case 9:
			play_own(&p);
			break;
		case 10:
			play_end_of_head(&p);
			break;
		case 11:
			play_kept(&p);
			break;
		case 12:
			play_intent(&p);
			break;
		case 13:
			if (pick(&p, 5) == 0)
				play_settle(&p);
			break;
		default:
			play_odds(&p);
		}
		if (i % 7 == 0) {
			struct index *y = again(p.x);

			why = differ(p.x, y);
			(*snapshots)++;
			*pending += y->todo_count > 0;
			if (pick(&p, 2) == 0 && why == NULL) { /* and on from there, as after a
								  compaction and a restart */
				struct index *old = p.x;

				p.x = y;
				y = old;
			}
			index_free(y);
		}
	}
	if (why != NULL)
		diag("  seed %llu: %s", (unsigned long long)seed, why);
	for (unsigned i = 0; i < p.n; i++)
		record_free(p.all[i]);
	index_free(p.x);
	return why;
}

static void
random_histories(void)
{
	unsigned wrong = 0, snapshots = 0, pending = 0;

	for (uint64_t seed = 1; seed <= 150; seed++)
		wrong += play(seed, 160, &snapshots, &pending) != NULL;
	is_int(wrong, 0, "%u snapshots of 150 random histories, %u of them with something pending",
	       snapshots, pending);
	ok(pending > 100 && pending < snapshots, "both kinds were among them");
}

/* ---- the awkward states, one by one ---- */

static void
pending_edit(void)
{
	struct index *x = fold_index();
	struct record v1 = rec("f", dot(1, 1), 1, KIND_FILE, 1),
		      v2 = rec("f", dot(1, 2), 2, KIND_FILE, 2);

	after(&v2, &v1);
	fold_known(x, &v1);
	fold_applied(x, "f", v1.dot, APPLIED_SHOWN);
	fold_known(x, &v2);
	same_again(x, "a version is shown that a pending one supersedes");
	record_clear(&v2);
	index_free(x);
}

/* The newer one came first, then the older one was found in the tree. */
static void
older_is_shown(void)
{
	struct index *x = fold_index();
	struct record v1 = rec("f", dot(1, 1), 1, KIND_FILE, 1),
		      v2 = rec("f", dot(1, 2), 2, KIND_FILE, 2);

	after(&v2, &v1);
	fold_known(x, &v2);
	fold_known(x, &v1);
	fold_applied(x, "f", v1.dot, APPLIED_SHOWN);
	same_again(x, "a version is shown that came after the one that supersedes it");
	record_clear(&v2);
	index_free(x);
}

/* What superseded it is gone: it must not become a head again. */
static void
shown_and_removed(void)
{
	struct index *x = fold_index();
	struct record v1 = rec("f", dot(1, 1), 1, KIND_FILE, 1),
		      gone = rec("f", dot(1, 2), 2, KIND_ABSENT, 1);

	fold_known(x, &v1);
	fold_applied(x, "f", v1.dot, APPLIED_SHOWN);
	fold_at(x, ENTRY_REMOVED, "f", v1.dot);
	same_again(x, "a removed version that is still shown");
	after(&gone, &v1);
	fold_known(x, &gone);
	same_again(x, "and deleted, too");
	fold_at(x, ENTRY_COLLECTED, "f", gone.dot);
	same_again(x, "and the delete collected");
	record_clear(&gone);
	index_free(x);
}

static void
left_and_gaps(void)
{
	struct index *x = fold_index(), *y;
	struct record dir = rec("d", dot(1, 1), 1, KIND_DIR, 0),
		      gone = rec("d", dot(1, 2), 2, KIND_ABSENT, 0),
		      p = rec("p", dot(2, 1), 1, KIND_FILE, 1),
		      later = rec("later", dot(2, 2), 2, KIND_FILE, 2);

	fold_known(x, &dir);
	fold_applied(x, "d", dir.dot, APPLIED_SHOWN);
	after(&gone, &dir);
	fold_known(x, &gone);
	fold_applied(x, "d", gone.dot, APPLIED_LEFT);
	same_again(x, "a directory that had to stay");
	fold_known(x, &p);
	fold_set(x, ENTRY_VECTOR, 7, 1, 3);
	y = again(x);
	ok(differ(x, y) == NULL && !dotset_has(&y->acked, dot(7, 1)) &&
		   dotset_has(&y->have, dot(7, 3)),
	   "a gap waits on");
	fold_applied(y, "p", p.dot, APPLIED_SHOWN);
	ok(dotset_eq(&y->have, &y->acked), "until what was pending is settled");
	index_free(y);

	fold_known(x, &later);
	y = again(x);
	fold_applied(x, "p", p.dot, APPLIED_SHOWN);
	fold_applied(y, "p", p.dot, APPLIED_SHOWN);
	ok(!dotset_has(&y->acked, dot(7, 1)) && dotset_eq(&x->acked, &y->acked),
	   "what was pending at the snapshot is waited for, and by both");
	fold_applied(x, "later", later.dot, APPLIED_SHOWN);
	ok(dotset_eq(&x->have, &x->acked), "until all of it is settled");
	index_free(y);
	record_clear(&gone);
	index_free(x);
}

static void
sizes(void)
{
	struct index *x = fold_index(), *y;
	struct index_snapshot s = {0};
	struct buf out = {0};
	size_t pieces = 0, most = 0;
	unsigned entries = 0;
	char path[64];

	must(index_snapshot(x, &s, &out));
	is_int(out.len, 0, "an empty index has an empty snapshot");
	for (unsigned i = 0; i < 20000; i++) {
		struct record r;

		snprintf(path, sizeof(path), "dir/%040u", i);
		r = rec(path, dot(1, i + 1), 1, KIND_FILE, (uint8_t)i);
		must(index_fold(x, &(struct entry){.type = ENTRY_KNOWN, .rec = r}));
		must(index_fold(x, &(struct entry){.type = ENTRY_APPLIED,
						   .path = r.path,
						   .path_len = r.path_len,
						   .dot = r.dot,
						   .flags = APPLIED_SHOWN}));
	}
	s = (struct index_snapshot){0};
	y = fold_index();
	for (;; pieces++) {
		buf_reset(&out);
		must(index_snapshot(x, &s, &out));
		if (out.len == 0)
			break;
		entries += fold_frames(y, &out);
		most = out.len > most ? out.len : most;
	}
	ok(pieces > 3 && most < (1u << 20) + 4096, "a large one comes in pieces of about 1 MiB");
	ok(entries > 40000 && entries < 40010, "two entries a file in the common case");
	ok(differ(x, y) == NULL, "and the pieces are the whole");
	buf_free(&out);
	index_free(x);
	index_free(y);
}

static void
altered(void)
{
	struct index *x = fold_index();
	struct record r = rec("f", dot(1, 1), 9, KIND_FILE, 1);

	fold_own(x, &r);
	fold(x, &(struct entry){.type = ENTRY_ALTERED,
				.path = (const uint8_t *)"f",
				.path_len = 1,
				.sig = {.ino = 5}});
	same_again(x, "an altered file");
	index_free(x);
}

static void
everything_else(void)
{
	struct index *x = fold_index();
	struct member m = {.name = "web2", .address = "web2:22", .incarnation = 3},
		      n = {.name = "web3", .removed = 1};
	struct record r = rec("f", dot(1, 1), 9, KIND_FILE, 1);
	struct buf blob = {0};

	member_encode(&blob, &m);
	fold(x, &(struct entry){.type = ENTRY_MEMBER, .blob = blob.data, .blob_len = blob.len});
	buf_reset(&blob);
	member_encode(&blob, &n);
	fold(x, &(struct entry){.type = ENTRY_MEMBER, .blob = blob.data, .blob_len = blob.len});
	fold_origin(x, 4, "web2");
	fold_origin(x, 2, "self");
	fold_num(x, ENTRY_FROZEN, 4);
	fold_num(x, ENTRY_PAUSE, 1);
	fold_num(x, ENTRY_CLOCK, 99);
	fold_kept(x, &r, 5);
	fold_intent(x, "to", dot(1, 1), ACTION_MOVE, 3, "from");
	fold_applied(x, "implied", dot(0, 0), APPLIED_SHOWN);
	fold_set(x, ENTRY_FLOOR, 4, 1, 7);
	fold_set(x, ENTRY_HELD, 4, 9, 9);
	same_again(
		x,
		"members, origins, clock, pause, store, a move, an implied directory, floor, held");
	buf_free(&blob);
	index_free(x);
}

int
main(void)
{
	pending_edit();
	older_is_shown();
	shown_and_removed();
	left_and_gaps();
	sizes();
	altered();
	everything_else();
	random_histories();
	return tap_done();
}
