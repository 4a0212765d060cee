/* SPDX-License-Identifier: BSD-2-Clause */
/* The fold: WAL entries in, paths with heads, contexts and what is shown out. */
#include "config.h"

#include "proto/index.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/path.h"
#include "proto/seeded.h"

/* ---- paths ---- */

struct path_key {
	const void *path;
	size_t len;
};

static bool
path_match(const void *item, const void *key)
{
	const struct pathent *e = item;
	const struct path_key *k = key;

	return e->path_len == k->len && memcmp(e->path, k->path, k->len) == 0;
}

struct pathent *
index_find(const struct index *x, const void *path, size_t len)
{
	struct path_key k = {path, len};

	if (len == 0)
		return x->root;
	return map_find(&x->paths, map_hash(x->seed, path, len), path_match, &k);
}

static struct pathent *
ent_new(const void *path, size_t len, struct pathent *parent)
{
	struct pathent *e = calloc(1, sizeof(*e) + len + 1);

	if (e == NULL)
		return NULL;
	if (len > 0)
		memcpy(e->path, path, len);
	e->path_len = (uint16_t)len;
	e->parent = parent;
	return e;
}

struct pathent *
index_get(struct index *x, const void *path, size_t len)
{
	struct pathent *e = index_find(x, path, len), *parent;

	if (e != NULL)
		return e;
	assert(len <= PATH_ENT_BYTES_MAX);
	parent = index_get(x, path, path_parent(path, len));
	if (parent == NULL)
		return NULL;
	e = ent_new(path, len, parent);
	if (e == NULL)
		return NULL;
	if (map_add(&x->paths, map_hash(x->seed, path, len), e) < 0) {
		free(e);
		return NULL;
	}
	e->sib_next = parent->child;
	if (parent->child != NULL)
		parent->child->sib_prev = e;
	parent->child = e;
	return e;
}

static void
ent_unlink(struct index *x, struct pathent *e)
{
	map_del(&x->paths, map_hash(x->seed, e->path, e->path_len), e);
	if (e->sib_prev != NULL)
		e->sib_prev->sib_next = e->sib_next;
	else
		e->parent->child = e->sib_next;
	if (e->sib_next != NULL)
		e->sib_next->sib_prev = e->sib_prev;
}

static bool
ent_empty(const struct pathent *e)
{
	return e->parent != NULL && e->child == NULL && e->recs == NULL && !e->shown_dir &&
	       e->actx.n == 0 && e->intent == NULL && e->work == NULL && !e->todo;
}

/* Frees the path, and its parents, as far as nothing is known of them any more, but not `stop`. */
static void
ent_reap_until(struct index *x, struct pathent *e, const struct pathent *stop)
{
	while (e != stop && ent_empty(e)) {
		struct pathent *parent = e->parent;

		ent_unlink(x, e);
		vv_free(&e->actx);
		free(e);
		e = parent;
	}
}

static void
ent_reap(struct index *x, struct pathent *e)
{
	ent_reap_until(x, e, NULL);
}

void
index_release(struct index *x, struct pathent *ent)
{
	assert(ent->work == NULL);
	ent_reap(x, ent);
}

/* ---- counters derived from a path's own winner ---- */

static uint8_t
live_class(const struct irec *w)
{
	if (w == NULL || !record_live(w->r))
		return 0;
	return record_import(w->r) ? 1 : 2;
}

static void todo_update(struct index *x, struct pathent *e);

/* Descendants that are imports may come out of, or go into, the shadow of a file above them. */
static void
todo_below(struct index *x, struct pathent *e)
{
	for (struct pathent *c = e->child; c != NULL; c = c->sib_next) {
		todo_update(x, c);
		if (c->weak_below > 0 || c->child != NULL)
			todo_below(x, c);
	}
}

static void
count_above(struct index *x, struct pathent *e, uint8_t before, uint8_t after)
{
	for (struct pathent *a = e->parent; a != NULL; a = a->parent) {
		bool had = a->strong_below > 0;

		a->weak_below = a->weak_below + (after == 1) - (before == 1);
		a->strong_below = a->strong_below + (after == 2) - (before == 2);
		todo_update(x, a);
		if (had != (a->strong_below > 0) && a->weak_below > 0 && a->live == 2)
			todo_below(x, a);
	}
}

static void
refresh_live(struct index *x, struct pathent *e)
{
	const struct irec *w = index_winner(e);
	uint8_t before = e->live, after = live_class(w);

	e->live = after;
	if (before != after)
		count_above(x, e, before, after);
	if (e->weak_below > 0)
		todo_below(x, e);
}

/* What the path adds to the totals; subtracted before a change, added after it. */
static void
totals(struct index *x, const struct pathent *e, int sign)
{
	const struct irec *w = index_winner(e);
	uint64_t one = sign > 0 ? 1 : UINT64_MAX;

	x->conflicts += one * index_conflicts_at(e);
	if (w != NULL && !record_live(w->r))
		x->tombstones += one;
	if (e->shown == NULL)
		return;
	if (e->shown->r->kind == KIND_DIR) {
		x->dirs += one;
		return;
	}
	x->files += one;
	x->bytes += one * e->shown->r->size;
}

/* ---- digest over live heads ---- */

static void
digest_head(struct index *x, const struct record *r, int sign)
{
	uint8_t key[16];
	uint64_t a, b;

	if (!record_live(r))
		return;
	bytes_set_u64(key, r->dot.origin);
	bytes_set_u64(key + 8, r->dot.seq);
	a = map_hash(map_hash(1, key, sizeof(key)), r->hash, sizeof(r->hash));
	b = map_hash(map_hash(2, key, sizeof(key)), r->path, r->path_len);
	x->digest[0] += sign > 0 ? a : 0 - a;
	x->digest[1] += sign > 0 ? b : 0 - b;
}

static void
set_head(struct index *x, struct irec *i, bool head)
{
	if (i->head != head)
		digest_head(x, i->r, head ? 1 : -1);
	i->head = head;
}

/* ---- the content table: hash -> paths that show it ---- */

struct content_key {
	const uint8_t *hash;
	uint64_t size;
};

static uint64_t
content_hash(const uint8_t hash[RECORD_HASH_BYTES])
{
	return bytes_get_u64(hash);
}

static bool
content_match(const void *item, const void *key)
{
	const struct pathent *e = item;
	const struct content_key *k = key;

	return e->shown->r->size == k->size &&
	       memcmp(e->shown->r->hash, k->hash, RECORD_HASH_BYTES) == 0;
}

struct pathent *
index_content(const struct index *x, const uint8_t hash[RECORD_HASH_BYTES], uint64_t size)
{
	struct content_key k = {hash, size};

	return map_find(&x->content, content_hash(hash), content_match, &k);
}

static bool
shows_content(const struct pathent *e)
{
	return e->shown != NULL && e->shown->r->kind == KIND_FILE && !e->altered;
}

/* The table has one path a content, the others hang on it: a thousand empty files must not be a
 * thousand collisions. */
static int
content_add(struct index *x, struct pathent *e)
{
	const struct record *r = e->shown->r;
	struct pathent *first = index_content(x, r->hash, r->size);

	if (first == NULL)
		return map_add(&x->content, content_hash(r->hash), e);
	e->same_prev = first;
	e->same_next = first->same_next;
	if (e->same_next != NULL)
		e->same_next->same_prev = e;
	first->same_next = e;
	return 0;
}

static int
content_del(struct index *x, struct pathent *e)
{
	uint64_t hash = content_hash(e->shown->r->hash);
	struct pathent *next = e->same_next;
	int r = 0;

	if (next != NULL)
		next->same_prev = e->same_prev;
	if (e->same_prev != NULL) {
		e->same_prev->same_next = next;
	} else {
		map_del(&x->content, hash, e);
		r = next != NULL ? map_add(&x->content, hash, next) : 0;
	}
	e->same_prev = e->same_next = NULL;
	return r;
}

/* ---- records ---- */

static void
cursors_skip(struct index *x, const struct irec *i)
{
	for (struct index_cursor *c = x->cursors; c != NULL; c = c->next)
		if (c->last == i)
			c->last = i->log_prev;
}

static void
rec_free(struct index *x, struct irec *i)
{
	struct irec **at = &i->ent->recs;

	assert(!i->head && !i->shown);
	while (*at != i)
		at = &(*at)->next;
	*at = i->next;
	cursors_skip(x, i);
	if (i->log_prev != NULL)
		i->log_prev->log_next = i->log_next;
	else
		x->log_first = i->log_next;
	if (i->log_next != NULL)
		i->log_next->log_prev = i->log_prev;
	else
		x->log_last = i->log_prev;
	record_free(i->r);
	free(i);
}

/* Is the record about to be shown: an intent that is open, and may have been carried out already?
 */
static bool
intended(const struct irec *i)
{
	const struct intent *in = i->ent->intent;

	return in != NULL && in->ent == i->ent && dot_eq(in->dot, i->r->dot);
}

static void
recs_reap(struct index *x, struct pathent *e)
{
	struct irec *next;

	for (struct irec *i = e->recs; i != NULL; i = next) {
		next = i->next;
		if (!i->head && !i->shown && index_applied(i) && !intended(i))
			rec_free(x, i);
	}
}

struct pathent *
index_walk(struct pathent *e)
{
	if (e->child != NULL)
		return e->child;
	while (e != NULL && e->sib_next == NULL)
		e = e->parent;
	return e != NULL ? e->sib_next : NULL;
}

struct irec *
index_record(const struct pathent *ent, struct dot dot)
{
	for (struct irec *i = ent->recs; i != NULL; i = i->next)
		if (dot_eq(i->r->dot, dot))
			return i;
	return NULL;
}

static int
set_shown(struct index *x, struct pathent *e, struct irec *rec, bool dir, const struct sig *sig)
{
	int r = 0;

	if (e->shown != rec || e->altered) {
		if (shows_content(e))
			r = content_del(x, e);
		e->altered = false;
		if (e->shown != NULL)
			e->shown->shown = false;
		e->shown = rec;
		if (rec != NULL)
			rec->shown = true;
		if (r == 0 && shows_content(e))
			r = content_add(x, e);
	}
	e->shown_dir = dir;
	e->sig = sig != NULL ? *sig : (struct sig){0};
	return r;
}

/* Marks every record that the applied context now covers as acknowledged. */
static int
acknowledge(struct index *x, const struct pathent *e)
{
	for (const struct irec *i = e->recs; i != NULL; i = i->next)
		if (index_applied(i)) {
			int r = dotset_add(&x->acked, i->r->dot);

			if (r < 0)
				return r;
		}
	return 0;
}

static int
apply_dot(struct index *x, struct pathent *e, const struct irec *i, struct dot dot)
{
	int r;

	if (i != NULL && !SEEDED(context_open) && (r = vv_join(&e->actx, &i->r->ctx)) < 0)
		return r;
	if ((r = vv_add(&e->actx, dot)) < 0)
		return r;
	return acknowledge(x, e);
}

static struct irec *
rec_new(struct index *x, struct pathent *e, const struct record *r)
{
	struct irec *i = calloc(1, sizeof(*i));

	if (i == NULL)
		return NULL;
	i->r = record_dup(r);
	if (i->r == NULL) {
		free(i);
		return NULL;
	}
	i->ent = e;
	i->lsn = ++x->lsn;
	i->next = e->recs;
	e->recs = i;
	i->log_prev = x->log_last;
	if (x->log_last != NULL)
		x->log_last->log_next = i;
	else
		x->log_first = i;
	x->log_last = i;
	return i;
}

/* Takes a record into the path's heads. */
static struct irec *
rec_add(struct index *x, struct pathent *e, const struct record *r)
{
	struct irec *mine = rec_new(x, e, r);
	bool head = true;

	if (mine == NULL)
		return NULL;
	for (struct irec *i = e->recs; i != NULL; i = i->next) {
		if (i == mine)
			continue;
		if (record_covers(i->r, r->dot))
			head = false;
		else if (i->head && (record_covers(r, i->r->dot) || SEEDED(head_dropped)))
			set_head(x, i, false);
	}
	set_head(x, mine, head);
	if (r->hlc > x->hlc)
		x->hlc = r->hlc;
	return mine;
}

/* ---- unsettled paths and gaps ---- */

static void
todo_link(struct index *x, struct pathent *e)
{
	e->todo = true;
	e->todo_stamp = ++x->stamps;
	e->todo_next = NULL;
	e->todo_prev = x->todo_last;
	if (x->todo_last != NULL)
		x->todo_last->todo_next = e;
	else
		x->todo_first = e;
	x->todo_last = e;
	x->todo_count++;
}

static void
todo_unlink(struct index *x, struct pathent *e)
{
	e->todo = false;
	if (e->todo_prev != NULL)
		e->todo_prev->todo_next = e->todo_next;
	else
		x->todo_first = e->todo_next;
	if (e->todo_next != NULL)
		e->todo_next->todo_prev = e->todo_prev;
	else
		x->todo_last = e->todo_prev;
	x->todo_count--;
}

/* What was left is over once something else wins, or the tree shows what it should after all. */
static void
left_update(struct pathent *e)
{
	const struct irec *w = index_winner(e);

	if (w == NULL || !dot_eq(e->left, w->r->dot) || index_shows_want(e))
		e->left = (struct dot){0, 0};
}

static void
todo_update(struct index *x, struct pathent *e)
{
	bool settled;

	if (!dot_none(e->left))
		left_update(e);
	settled = index_settled(e);

	if (settled && e->todo) {
		todo_unlink(x, e);
		if (x->on_settled != NULL)
			x->on_settled(x->arg, e);
	} else if (!settled && !e->todo) {
		todo_link(x, e);
	}
	if (!settled && x->on_todo != NULL)
		x->on_todo(x->arg, e);
}

struct pathent *
index_todo_first(const struct index *x)
{
	return x->todo_first;
}

/* Gaps whose pending paths have all settled since are acknowledged. */
static int
gaps_release(struct index *x)
{
	struct gap *g;
	int r;

	while ((g = x->gaps) != NULL &&
	       (x->todo_first == NULL || x->todo_first->todo_stamp > g->stamp)) {
		if ((r = dotset_join(&x->acked, &g->set)) < 0)
			return r;
		x->gaps = g->next;
		dotset_free(&g->set);
		free(g);
	}
	return 0;
}

static int
gap_add(struct index *x, const struct dotset *seen)
{
	struct gap *g = calloc(1, sizeof(*g)), **at = &x->gaps;
	int r;

	if (g == NULL)
		return -ENOMEM;
	g->stamp = x->stamps;
	r = dotset_copy(&g->set, seen);
	if (r == 0)
		r = dotset_minus(&g->set, &x->have);
	if (r < 0 || dotset_empty(&g->set)) {
		dotset_free(&g->set);
		free(g);
		return r;
	}
	while (*at != NULL)
		at = &(*at)->next;
	*at = g;
	return 0;
}

/* ---- the fold, entry by entry ---- */

/* Everything that follows a change of a path's records, context or picture. */
static int
changed(struct index *x, struct pathent *e)
{
	e->version++;
	recs_reap(x, e);
	totals(x, e, 1);
	refresh_live(x, e);
	todo_update(x, e);
	ent_reap(x, e);
	return gaps_release(x);
}

static int
fold_record(struct index *x, const struct entry *n, bool own)
{
	struct pathent *e = index_get(x, n->rec.path, n->rec.path_len);
	struct irec *i;
	int r;

	if (e == NULL)
		return -ENOMEM;
	if ((r = dotset_add(&x->have, n->rec.dot)) < 0)
		return r;
	if (index_record(e, n->rec.dot) != NULL)
		return 0;
	totals(x, e, -1);
	i = rec_add(x, e, &n->rec);
	if (i == NULL)
		return -ENOMEM;
	if (own) {
		r = apply_dot(x, e, i, i->r->dot);
		if (r == 0)
			r = record_live(i->r) ? set_shown(x, e, i, false, &n->sig)
					      : set_shown(x, e, NULL, false, NULL);
	} else if (SEEDED(pending_in_context)) {
		r = apply_dot(x, e, i, i->r->dot);
	} else if (index_applied(i) || SEEDED(ack_stored)) {
		r = dotset_add(&x->acked, i->r->dot);
	}
	if (r < 0)
		return r;
	if (x->on_record != NULL)
		x->on_record(x->arg, i, own);
	return changed(x, e);
}

static int
fold_sig(struct index *x, const struct entry *n)
{
	struct pathent *e = index_find(x, n->path, n->path_len);
	int r;

	if (e == NULL || (e->shown == NULL && !e->shown_dir))
		return 0;
	r = set_shown(x, e, e->shown, e->shown_dir, &n->sig);
	e->version++;
	todo_update(x, e);
	return r < 0 ? r : gaps_release(x);
}

static int
fold_altered(struct index *x, const struct entry *n)
{
	struct pathent *e = index_find(x, n->path, n->path_len);
	int r = 0;

	if (e == NULL || e->shown == NULL || e->shown->r->kind != KIND_FILE)
		return 0;
	if (shows_content(e))
		r = content_del(x, e);
	e->altered = true;
	e->sig = n->sig;
	e->version++;
	todo_update(x, e);
	return r;
}

static void
intent_forget(struct pathent *e, const struct intent *in)
{
	if (e == NULL || e->intent != in)
		return;
	e->intent = NULL;
	e->version++;
}

/* Takes the intent out; its paths stay, even if nothing else is known of them. */
static void
intent_cut(struct index *x, struct intent *in)
{
	struct intent **at = &x->intents;

	while (*at != in)
		at = &(*at)->next;
	*at = in->next;
	intent_forget(in->ent, in);
	intent_forget(in->from, in);
}

/* Ends the intent that is about this path; the path itself stays. */
static void
intent_end(struct index *x, struct pathent *e)
{
	struct intent *in = e->intent;

	if (in == NULL || in->ent != e)
		return;
	intent_cut(x, in);
	if (in->from != NULL)
		ent_reap_until(x, in->from, e);
	free(in);
}

/* Another one took its place at one of its paths or both: ends it, whatever its part there was. */
static void
intent_retire(struct index *x, struct intent *in)
{
	struct pathent *deep = in->ent, *other = in->from;

	intent_cut(x, in);
	if (other != NULL && other->path_len > deep->path_len) {
		deep = other;
		other = in->ent;
	}
	free(in);
	ent_reap_until(x, deep, other); /* the deeper one first: it may be below the other */
	if (other != NULL)
		ent_reap(x, other);
}

static int
fold_intent(struct index *x, const struct entry *n)
{
	struct pathent *e = index_get(x, n->path, n->path_len), *from = NULL;
	struct intent *in, *old[2];

	if (e != NULL && n->action == ACTION_MOVE)
		from = index_get(x, n->from, n->from_len);
	if (e == NULL || (n->action == ACTION_MOVE && from == NULL))
		return -ENOMEM;
	in = calloc(1, sizeof(*in));
	if (in == NULL)
		return -ENOMEM;
	old[0] = e->intent;
	old[1] = from != NULL ? from->intent : NULL;
	*in = (struct intent){n->dot, n->action, n->ino, e, from, x->intents};
	x->intents = in;
	e->intent = in;
	e->version++;
	if (from != NULL) {
		from->intent = in;
		from->version++;
	}
	if (old[0] != NULL)
		intent_retire(x, old[0]);
	if (old[1] != NULL && old[1] != old[0])
		intent_retire(x, old[1]);
	return 0;
}

static int
fold_applied(struct index *x, const struct entry *n)
{
	struct pathent *e = index_get(x, n->path, n->path_len);
	struct irec *i;
	int r = 0;

	if (e == NULL)
		return -ENOMEM;
	totals(x, e, -1);
	i = dot_none(n->dot) ? NULL : index_record(e, n->dot);
	if (!dot_none(n->dot))
		r = apply_dot(x, e, i, n->dot);
	if (r == 0 && (n->flags & APPLIED_SHOWN) != 0 && i != NULL && record_live(i->r))
		r = set_shown(x, e, i, false, &n->sig);
	else if (r == 0 && (n->flags & APPLIED_SHOWN) != 0 && dot_none(n->dot))
		r = set_shown(x, e, NULL, true, &n->sig);
	else if (r == 0 && (n->flags & APPLIED_ABSENT) != 0)
		r = set_shown(x, e, NULL, false, NULL);
	if (r < 0)
		return r;
	if ((n->flags & (APPLIED_SHOWN | APPLIED_ABSENT)) != 0)
		e->left = (struct dot){0, 0};
	else if ((n->flags & APPLIED_LEFT) != 0 && i != NULL && i == index_winner(e) &&
		 !index_shows_want(e))
		e->left = n->dot;
	intent_end(x, e);
	return changed(x, e);
}

static int
fold_dropped(struct index *x, const struct entry *n)
{
	struct pathent *e = index_find(x, n->path, n->path_len);

	if (e == NULL)
		return 0;
	intent_end(x, e);
	recs_reap(x, e);
	todo_update(x, e);
	ent_reap(x, e);
	return 0;
}

static int
fold_vector(struct index *x, const struct entry *n)
{
	int r;

	x->exchanged = true;
	if (x->todo_first != NULL && !SEEDED(gap_acked))
		r = gap_add(x, &n->set);
	else
		r = dotset_join(&x->acked, &n->set);
	return r < 0 ? r : dotset_join(&x->have, &n->set);
}

static int
fold_head_gone(struct index *x, const struct entry *n)
{
	struct pathent *e = index_find(x, n->path, n->path_len);
	struct irec *i = e != NULL ? index_record(e, n->dot) : NULL;
	int r;

	if (n->type == ENTRY_COLLECTED && !SEEDED(floor_forgotten) &&
	    (r = dotset_add(&x->floor, n->dot)) < 0)
		return r;
	if (i == NULL)
		return 0;
	totals(x, e, -1);
	set_head(x, i, false);
	if ((r = apply_dot(x, e, i, n->dot)) < 0) /* what it covers is dealt with too */
		return r;
	recs_reap(x, e);
	if (n->type == ENTRY_COLLECTED && e->recs == NULL)
		vv_free(&e->actx);
	return changed(x, e);
}

static int
fold_context(struct index *x, const struct entry *n)
{
	struct pathent *e = index_get(x, n->path, n->path_len);
	int r;

	if (e == NULL)
		return -ENOMEM;
	totals(x, e, -1);
	if ((r = vv_join(&e->actx, &n->rec.ctx)) < 0 || (r = acknowledge(x, e)) < 0)
		return r;
	return changed(x, e);
}

/* ---- origins, members, kept ---- */

static size_t
origin_at(const struct index *x, uint64_t id)
{
	size_t lo = 0, hi = x->norigins;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (x->origins[mid].id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

const struct origin *
index_origin(const struct index *x, uint64_t id)
{
	size_t at = origin_at(x, id);

	return at < x->norigins && x->origins[at].id == id ? &x->origins[at] : NULL;
}

bool
index_own(const struct index *x, uint64_t origin)
{
	const struct origin *o = index_origin(x, origin);

	return o != NULL && strcmp(o->node, x->self) == 0;
}

static int
fold_origin(struct index *x, const struct entry *n)
{
	size_t at = origin_at(x, n->num);
	struct origin *grown, *o;

	if (n->name_len > MEMBER_NAME_BYTES_MAX || index_origin(x, n->num) != NULL)
		return 0;
	grown = realloc(x->origins, (x->norigins + 1) * sizeof(*grown));
	if (grown == NULL)
		return -ENOMEM;
	x->origins = grown;
	o = &x->origins[at];
	memmove(o + 1, o, (x->norigins - at) * sizeof(*o));
	*o = (struct origin){.id = n->num, .store = n->num2};
	memcpy(o->node, n->name, n->name_len);
	x->norigins++;
	return 0;
}

static void
fold_frozen(struct index *x, const struct entry *n)
{
	size_t at = origin_at(x, n->num);

	if (at < x->norigins && x->origins[at].id == n->num)
		x->origins[at].frozen = n->type == ENTRY_FROZEN;
}

const struct member *
index_member(const struct index *x, const char *name)
{
	for (size_t i = 0; i < x->nmembers; i++)
		if (strcmp(x->members[i].name, name) == 0)
			return &x->members[i];
	return NULL;
}

static int
fold_member(struct index *x, const struct entry *n)
{
	struct cur c = cur_of(n->blob, n->blob_len);
	struct member m, *grown;

	if (member_decode(&c, &m) < 0)
		return 0;
	for (size_t i = 0; i < x->nmembers; i++) {
		if (strcmp(x->members[i].name, m.name) != 0)
			continue;
		x->members[i] = m;
		goto told;
	}
	grown = realloc(x->members, (x->nmembers + 1) * sizeof(*grown));
	if (grown == NULL)
		return -ENOMEM;
	x->members = grown;
	x->members[x->nmembers++] = m;
told:
	if (x->on_member != NULL)
		x->on_member(x->arg, index_member(x, m.name));
	return 0;
}

static uint64_t
dot_hash(const struct index *x, struct dot d)
{
	uint8_t key[16];

	bytes_set_u64(key, d.origin);
	bytes_set_u64(key + 8, d.seq);
	return map_hash(x->seed, key, sizeof(key));
}

static bool
kept_match(const void *item, const void *key)
{
	const struct kept *k = item;
	const struct dot *d = key;

	return dot_eq(k->dot, *d);
}

struct kept *
index_kept(const struct index *x, struct dot dot)
{
	return map_find(&x->kept_dots, dot_hash(x, dot), kept_match, &dot);
}

static bool
kept_content_match(const void *item, const void *key)
{
	const struct kept *k = item;
	const struct content_key *c = key;

	return k->r->kind == KIND_FILE && k->r->size == c->size &&
	       memcmp(k->r->hash, c->hash, RECORD_HASH_BYTES) == 0;
}

struct kept *
index_kept_content(const struct index *x, const uint8_t hash[RECORD_HASH_BYTES], uint64_t size)
{
	struct content_key k = {hash, size};

	return map_find(&x->kept_content, content_hash(hash), kept_content_match, &k);
}

static bool
kept_at_match(const void *item, const void *key)
{
	const struct kept *k = item;
	const struct record *r = key;

	return k->r->kind == KIND_FILE && k->r->size == r->size &&
	       memcmp(k->r->hash, r->hash, RECORD_HASH_BYTES) == 0 &&
	       k->r->path_len == r->path_len && memcmp(k->r->path, r->path, r->path_len) == 0;
}

struct kept *
index_kept_at(const struct index *x, const struct record *r)
{
	return map_find(&x->kept_content, content_hash(r->hash), kept_at_match, r);
}

/* Are these the only bytes of another version, which lost to a delete of the one that they are kept
 * as: both had the same content, and it was stored once? */
static bool
kept_for_other(const struct index *x, const struct pathent *e, const struct kept *k)
{
	if (e->shown != NULL && record_same_content(e->shown->r, k->r))
		return false;
	for (const struct irec *i = e->recs; i != NULL; i = i->next)
		if (i->head && record_live(i->r) && record_same_content(i->r, k->r) &&
		    index_kept(x, i->r->dot) == NULL)
			return true;
	return false;
}

bool
index_kept_conflict(const struct index *x, const struct kept *k)
{
	struct pathent *e = index_find(x, k->r->path, k->r->path_len);
	struct irec *i = e != NULL ? index_record(e, k->dot) : NULL;

	if ((k->flags & KEPT_RESCUED) != 0 || e == NULL)
		return (k->flags & KEPT_RESCUED) != 0;
	return i != NULL && i->head ? !i->shown : kept_for_other(x, e, k);
}

static void
kept_free(struct index *x, struct kept *k)
{
	map_del(&x->kept_dots, dot_hash(x, k->dot), k);
	map_del(&x->kept_content, content_hash(k->r->hash), k);
	if (k->prev != NULL)
		k->prev->next = k->next;
	else
		x->kept_first = k->next;
	if (k->next != NULL)
		k->next->prev = k->prev;
	else
		x->kept_last = k->prev;
	x->kept_files--;
	x->kept_bytes -= k->r->size;
	record_free(k->r);
	free(k);
}

/* Into both tables, or into none. */
static int
kept_add(struct index *x, struct kept *k)
{
	if (map_add(&x->kept_dots, dot_hash(x, k->dot), k) < 0)
		return -ENOMEM;
	if (map_add(&x->kept_content, content_hash(k->r->hash), k) == 0)
		return 0;
	map_del(&x->kept_dots, dot_hash(x, k->dot), k);
	return -ENOMEM;
}

static int
fold_kept(struct index *x, const struct entry *n)
{
	struct kept *k = index_kept(x, n->dot);

	if (k != NULL)
		kept_free(x, k);
	k = calloc(1, sizeof(*k));
	if (k == NULL)
		return -ENOMEM;
	*k = (struct kept){n->dot, record_dup(&n->rec), n->num, n->flags, NULL, x->kept_last};
	if (k->r == NULL || kept_add(x, k) < 0) {
		record_free(k->r);
		free(k);
		return -ENOMEM;
	}
	if (x->kept_last != NULL)
		x->kept_last->next = k;
	else
		x->kept_first = k;
	x->kept_last = k;
	x->kept_files++;
	x->kept_bytes += k->r->size;
	return 0;
}

static int
fold_purged(struct index *x, const struct entry *n)
{
	struct kept *k = index_kept(x, n->dot);

	if (k != NULL)
		kept_free(x, k);
	return 0;
}

static int
fold_answer(struct index *x, const struct entry *n)
{
	if (n->num > x->answered)
		x->answered = n->num;
	if (x->on_answer != NULL)
		x->on_answer(x->arg, n);
	return 0;
}

static int
fold_barrier(struct index *x, const struct entry *n)
{
	if (n->num > x->barrier)
		x->barrier = n->num;
	if (x->on_barrier != NULL)
		x->on_barrier(x->arg, n->num);
	return 0;
}

static int
fold_held(struct index *x, const struct entry *n, bool resumed)
{
	x->accepted += resumed && dotset_empty(&n->set);
	return dotset_copy(&x->held, &n->set);
}

int
index_fold(struct index *x, const struct entry *e)
{
	bool resumed = x->resumed;

	x->resumed = false;
	switch ((enum entry_type)e->type) {
	case ENTRY_ORIGIN:
		return fold_origin(x, e);
	case ENTRY_RECORD:
		return fold_record(x, e, true);
	case ENTRY_KNOWN:
		return fold_record(x, e, false);
	case ENTRY_SIG:
		return fold_sig(x, e);
	case ENTRY_INTENT:
		return fold_intent(x, e);
	case ENTRY_APPLIED:
		return fold_applied(x, e);
	case ENTRY_DROPPED:
		return fold_dropped(x, e);
	case ENTRY_VECTOR:
		return fold_vector(x, e);
	case ENTRY_FLOOR:
		return dotset_join(&x->floor, &e->set);
	case ENTRY_HELD:
		return fold_held(x, e, resumed);
	case ENTRY_MEMBER:
		return fold_member(x, e);
	case ENTRY_KEPT:
		return fold_kept(x, e);
	case ENTRY_PURGED:
		return fold_purged(x, e);
	case ENTRY_BARRIER:
		return fold_barrier(x, e);
	case ENTRY_ANSWER:
		return fold_answer(x, e);
	case ENTRY_CONTEXT:
		return fold_context(x, e);
	case ENTRY_CLOCK:
		x->hlc = e->num > x->hlc ? e->num : x->hlc;
		return 0;
	case ENTRY_COLLECTED:
	case ENTRY_REMOVED:
		return fold_head_gone(x, e);
	case ENTRY_SCANNED:
		x->scanned_ms = e->num;
		return 0;
	case ENTRY_PAUSE:
		x->paused = e->num != 0;
		x->resumed = e->num == 0;
		return 0;
	case ENTRY_ALTERED:
		return fold_altered(x, e);
	case ENTRY_AWAIT:
		x->exchanged = false;
		return 0;
	case ENTRY_FROZEN:
	case ENTRY_THAWED:
		fold_frozen(x, e);
		return 0;
	}
	return 0;
}

void
index_unleave(struct index *x, struct pathent *ent)
{
	ent->left = (struct dot){0, 0};
	todo_update(x, ent);
}

/* ---- cursors ---- */

void
index_cursor_begin(struct index *x, struct index_cursor *c)
{
	*c = (struct index_cursor){NULL, x->cursors};
	x->cursors = c;
}

void
index_cursor_end(struct index *x, struct index_cursor *c)
{
	struct index_cursor **at = &x->cursors;

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
}

void
index_cursor_last(const struct index *x, struct index_cursor *c)
{
	c->last = x->log_last;
}

struct irec *
index_cursor_next(const struct index *x, struct index_cursor *c)
{
	struct irec *i = c->last != NULL ? c->last->log_next : x->log_first;

	if (i != NULL)
		c->last = i;
	return i;
}

/* ---- life ---- */

struct index *
index_new(uint64_t seed, const char *self)
{
	struct index *x = calloc(1, sizeof(*x));

	if (x == NULL)
		return NULL;
	x->seed = seed;
	assert(strlen(self) < sizeof(x->self));
	memcpy(x->self, self, strlen(self));
	x->root = ent_new("", 0, NULL);
	if (x->root == NULL) {
		free(x);
		return NULL;
	}
	return x;
}

static void
ent_destroy(struct index *x, struct pathent *e)
{
	struct irec *next;

	if (e->work != NULL && x->on_free != NULL)
		x->on_free(x->arg, e);
	for (struct irec *i = e->recs; i != NULL; i = next) {
		next = i->next;
		record_free(i->r);
		free(i);
	}
	vv_free(&e->actx);
	free(e);
}

/* Depth first without recursion: descend to a leaf, free it, go on with its parent. */
static void
tree_destroy(struct index *x)
{
	struct pathent *e = x->root, *up;

	while (e != NULL) {
		while (e->child != NULL)
			e = e->child;
		up = e->parent;
		if (up != NULL)
			up->child = e->sib_next;
		ent_destroy(x, e);
		e = up;
	}
}

void
index_free(struct index *x)
{
	if (x == NULL)
		return;
	while (x->kept_first != NULL)
		kept_free(x, x->kept_first);
	tree_destroy(x);
	for (struct intent *in = x->intents, *next; in != NULL; in = next) {
		next = in->next;
		free(in);
	}
	for (struct gap *g = x->gaps, *next; g != NULL; g = next) {
		next = g->next;
		dotset_free(&g->set);
		free(g);
	}
	dotset_free(&x->have);
	dotset_free(&x->acked);
	dotset_free(&x->floor);
	dotset_free(&x->held);
	map_free(&x->paths);
	map_free(&x->content);
	map_free(&x->kept_dots);
	map_free(&x->kept_content);
	free(x->origins);
	free(x->members);
	free(x);
}
