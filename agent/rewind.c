/* SPDX-License-Identifier: BSD-2-Clause */
/* Brings paths back to what they were. */
#include "config.h"

#include "agent/rewind.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/commit.h"
#include "agent/restore.h"
#include "agent/task.h"
#include "proto/path.h"

enum phase {
	READ,
	ASK,
	PLAN,
	DIRS,
	FILES,
	DELETES,
	EMPTY_DIRS,
	SETTLE,
	DIRS_AGAIN,
	FILES_AGAIN,
	OVER
};

/* A kept version by its content. */
struct source {
	const struct keepers *all;
	const struct keepers_found *found;
};

struct rewind {
	struct node *n;
	const struct rewind_want *want;
	struct past *past;
	struct keepers **asked; /* one for each path that was named, or one for all */
	size_t nasked;
	struct source *source; /* by content */
	size_t nsources;
	struct rewind_item *item; /* by path */
	size_t nitems, i;
	enum phase phase;
	struct rewind_item *active[REWIND_ACTIVE_MAX];
	unsigned nactive, rounds; /* of FILES_AGAIN */
	uint64_t round_ms;        /* the next one not before */
};

/* ---- who keeps what ---- */

static int
ask(struct rewind *r)
{
	const struct past_want *w = &r->want->past;
	const char *path = w->npaths > 0 ? w->paths[r->nasked] : "";
	struct keepers_want want = {.kinds = KEEPERS_TRASH | KEEPERS_CONFLICTS,
				    .how = KEEPERS_BELOW,
				    .path = path,
				    .len = strlen(path)};
	int e = keepers_new(r->n, &want, &r->asked[r->nasked]);

	r->nasked += e == 0;
	return e;
}

static int
learn(struct rewind *r, const struct keepers *k)
{
	const struct keepers_found *f;
	int e = 0;

	for (size_t i = 0; e == 0 && (f = keepers_at(k, i)) != NULL; i++)
		if ((f->kept.flags & KEPT_RESCUED) == 0)
			e = past_learn(r->past, f->kept.r, f->kept.since_ms);
	return e;
}

/* 2: an answer is awaited; 1: goes on. */
static int
ask_all(struct rewind *r)
{
	size_t all = r->want->past.npaths > 0 ? r->want->past.npaths : 1;
	int e;

	if (r->nasked > 0) {
		if (!keepers_done(r->asked[r->nasked - 1]))
			return 2;
		e = learn(r, r->asked[r->nasked - 1]);
		if (e < 0)
			return e;
	}
	if (r->nasked < all) {
		e = ask(r);
		return e < 0 ? e : 1;
	}
	r->phase = PLAN;
	return 1;
}

/* ---- where its content is ---- */

static int
by_content(const void *a, const void *b)
{
	const struct record *x = ((const struct source *)a)->found->kept.r,
			    *y = ((const struct source *)b)->found->kept.r;

	if (x->size != y->size)
		return x->size < y->size ? -1 : 1;
	return memcmp(x->hash, y->hash, sizeof(x->hash));
}

static int
list_sources(struct rewind *r)
{
	const struct keepers_found *f;
	size_t n = 0;

	for (size_t k = 0; k < r->nasked; k++)
		for (size_t i = 0; keepers_at(r->asked[k], i) != NULL; i++)
			n++;
	r->source = calloc(n + 1, sizeof(*r->source));
	if (r->source == NULL)
		return -ENOMEM;
	for (size_t k = 0; k < r->nasked; k++)
		for (size_t i = 0; (f = keepers_at(r->asked[k], i)) != NULL; i++)
			if (f->kept.r->kind == KIND_FILE && (f->kept.flags & KEPT_RESCUED) == 0)
				r->source[r->nsources++] = (struct source){r->asked[k], f};
	qsort(r->source, r->nsources, sizeof(*r->source), by_content);
	return 0;
}

static bool
somebody_keeps(const struct source *s)
{
	size_t i = 0;

	return keepers_name(s->all, s->found, &i) != NULL;
}

static bool
connected_has(const struct rewind *r, struct dot dot)
{
	for (const struct peer *p = exchange_peers(r->n->exchange); p != NULL; p = p->next)
		if (p->link != NULL && dotset_has(&p->acked, dot))
			return true;
	return false;
}

/* Can the content be had? Remembers from whom. */
static bool
find_source(const struct rewind *r, struct rewind_item *it)
{
	const struct index *x = r->n->index;
	const struct keepers_found key = {.kept.r = (struct record *)(uintptr_t)it->was};
	const struct source wanted = {NULL, &key};
	const struct source *s;

	if (it->was->kind != KIND_FILE)
		return true;
	if (index_content(x, it->was->hash, it->was->size) != NULL ||
	    index_kept_content(x, it->was->hash, it->was->size) != NULL)
		return true;
	s = bsearch(&wanted, r->source, r->nsources, sizeof(*s), by_content);
	if (s != NULL && somebody_keeps(s)) {
		it->all = s->all;
		it->from = s->found;
		return true;
	}
	return index_find(x, it->path, it->len) != NULL && connected_has(r, it->was->dot) &&
	       index_record(index_find(x, it->path, it->len), it->was->dot) != NULL;
}

/* ---- the plan ---- */

static void
say(struct rewind_item *it, enum rewind_state state, const char *reason)
{
	it->state = state;
	it->reason = reason;
}

static const char *
why_not(const struct rewind *r, const struct pathent *e)
{
	if (e == NULL || index_winner(e) == NULL)
		return "nothing is known of that path any more";
	if (e->todo || e->intent != NULL || e->altered)
		return "its newest version is not applied here yet: mimeo explain";
	if (r->want->past.node != NULL) {
		const struct origin *o = index_origin(r->n->index, index_winner(e)->r->dot.origin);

		if (o == NULL || strcmp(o->node, r->want->past.node) != 0)
			return "somebody else wrote it since";
	}
	return NULL;
}

static uint8_t
kind_now(const struct pathent *e)
{
	if (e->shown != NULL)
		return e->shown->r->kind;
	return e->shown_dir ? KIND_DIR : KIND_ABSENT;
}

static enum rewind_act
choose(const struct rewind_item *it, const struct pathent *e)
{
	const struct record *was = it->was, *now = e->shown != NULL ? e->shown->r : NULL;

	if (was == NULL)
		return it->kind == KIND_ABSENT ? REWIND_NOTHING
		       : it->kind == KIND_DIR  ? REWIND_RMDIR
					       : REWIND_DELETE;
	if (was->kind == KIND_DIR) {
		if (it->kind != KIND_DIR)
			return REWIND_MKDIR;
		return now != NULL && now->mode != was->mode ? REWIND_MODE : REWIND_NOTHING;
	}
	return now != NULL && record_same_content(now, was) && now->mode == was->mode
		       ? REWIND_NOTHING
		       : REWIND_RESTORE;
}

static bool
all_answered(const struct rewind *r)
{
	size_t k = 0, i = 0;

	return rewind_silent(r, &k, &i) == NULL;
}

static int
plan_one(struct rewind *r, size_t i, struct rewind_item *it)
{
	const struct past_path *p = past_at(r->past, i);
	const struct pathent *e = index_find(r->n->index, p->path, p->len);
	enum past_known known;
	const char *why = why_not(r, e);
	int x = past_was(r->past, i, &it->was, &known);

	it->path = p->path;
	it->len = p->len;
	if (x < 0)
		return x;
	if (p->overtaken || why != NULL) {
		say(it, p->overtaken || (e != NULL && !e->todo) ? REWIND_LEFT : REWIND_FAILED,
		    why != NULL ? why : "somebody else wrote it since");
		return 0;
	}
	it->kind = kind_now(e);
	it->shown = e->shown != NULL ? e->shown->r->dot : (struct dot){0, 0};
	it->act = choose(it, e);
	if (known == PAST_UNKNOWN || (known == PAST_PROBABLE && !all_answered(r)))
		say(it, REWIND_UNKNOWN, "a version of that time is known to nobody any more");
	else if (it->act == REWIND_RESTORE && !find_source(r, it))
		say(it, REWIND_UNKNOWN, "nobody who is connected keeps its content");
	else if (node_ignored(r->n, it->path, it->len, it->kind == KIND_DIR))
		say(it, REWIND_LEFT, "it is ignored by configuration");
	return 0;
}

static int
by_path(const void *a, const void *b)
{
	const struct rewind_item *x = a, *y = b;
	int c = memcmp(x->path, y->path, x->len < y->len ? x->len : y->len);

	return c != 0 ? c : x->len < y->len ? -1 : x->len > y->len;
}

static int
plan(struct rewind *r)
{
	size_t n = 0;
	int e = list_sources(r);

	while (past_at(r->past, n) != NULL)
		n++;
	r->item = calloc(n + 1, sizeof(*r->item));
	if (e < 0 || r->item == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		struct rewind_item *it = &r->item[r->nitems];

		e = plan_one(r, i, it);
		if (e < 0)
			return e;
		r->nitems += it->act != REWIND_NOTHING || it->state != REWIND_PLANNED;
		if (r->nitems == 0 || it != &r->item[r->nitems - 1])
			*it = (struct rewind_item){0};
	}
	qsort(r->item, r->nitems, sizeof(*r->item), by_path);
	r->phase = r->want->dry ? OVER : DIRS;
	return 1;
}

/* ---- carrying it out ---- */

/* Is the path still what it was when that was planned? */
static bool
untouched(const struct rewind *r, const struct rewind_item *it)
{
	const struct pathent *e = index_find(r->n->index, it->path, it->len);
	struct sig now;
	int x = tree_stat(r->n->tree, it->path, it->len, &now, NULL);

	if (it->kind == KIND_ABSENT)
		return x == -ENOENT;
	if (x < 0 || e == NULL || e->intent != NULL || now.kind != it->kind)
		return false;
	if (e->shown == NULL || !dot_eq(e->shown->r->dot, it->shown))
		return e->shown_dir && it->kind == KIND_DIR;
	return it->kind == KIND_DIR || sig_eq(&now, &e->sig);
}

static void
finish(struct rewind_item *it, int error)
{
	if (error == 0)
		say(it, REWIND_DONE, NULL);
	else if (error == -ENOTEMPTY)
		say(it, REWIND_LEFT, "the directory is not empty");
	else if (error == -EHOSTUNREACH)
		say(it, REWIND_FAILED, "nobody who is connected keeps its content");
	else if (error == -EAGAIN)
		say(it, REWIND_FAILED, "it was changed meanwhile: try again");
	else
		say(it, REWIND_FAILED, strerror(-error));
}

static int
make_dir(const struct rewind *r, const struct rewind_item *it)
{
	struct sig now;
	int e;

	if (it->act == REWIND_MKDIR)
		return tree_mkdir(r->n->tree, it->path, it->len, it->was->mode, UINT32_MAX,
				  UINT32_MAX);
	e = tree_stat(r->n->tree, it->path, it->len, &now, NULL);
	return e < 0 ? e
		     : tree_set_meta(r->n->tree, it->path, it->len, now.ino, it->was->mode,
				     now.mtime_ns, UINT32_MAX, UINT32_MAX);
}

static void
do_dir(struct rewind *r, struct rewind_item *it, bool again)
{
	bool mine = it->act == REWIND_MKDIR || it->act == REWIND_MODE;

	if (!mine || (it->state != REWIND_PLANNED && !(again && it->state == REWIND_DEFERRED)))
		return;
	if (again)
		finish(it, make_dir(r, it));
	else if (it->act == REWIND_MKDIR && it->kind != KIND_ABSENT)
		it->state = REWIND_DEFERRED;
	else if (!untouched(r, it))
		finish(it, -EAGAIN);
	else if (make_dir(r, it) == 0)
		finish(it, 0);
	else
		it->state = REWIND_DEFERRED;
}

/* again: the last time, unless the agent is just changing that path. */
static void
end_file(const struct rewind *r, struct rewind_item *it, bool again)
{
	int e = restore_state(it->restore);

	restore_free(it->restore);
	it->restore = NULL;
	if (e == 0 || (again && (e != -EAGAIN || r->rounds == REWIND_ROUNDS_MAX)))
		finish(it, e);
	else
		it->state = REWIND_DEFERRED;
}

static void
do_file(struct rewind *r, struct rewind_item *it, bool again)
{
	int e;

	if (it->act != REWIND_RESTORE ||
	    (it->state != REWIND_PLANNED && !(again && it->state == REWIND_DEFERRED)))
		return;
	if (!again && it->kind == KIND_DIR) {
		it->state = REWIND_DEFERRED;
		return;
	}
	if (it->kind != KIND_DIR && !untouched(r, it)) {
		finish(it, -EAGAIN);
		return;
	}
	e = restore_version(r->n, it->was, it->all, it->from, it->path, it->len, &it->restore);
	if (e < 0) {
		finish(it, e);
		return;
	}
	it->state = REWIND_RUNNING;
	r->active[r->nactive++] = it;
}

/* What is to go, or stands where a directory is to be. */
static void
do_delete(struct rewind *r, struct rewind_item *it)
{
	bool way = it->act == REWIND_MKDIR && it->state == REWIND_DEFERRED;
	int e;

	if (it->kind != KIND_FILE && it->kind != KIND_SYMLINK)
		return;
	if (!way && (it->act != REWIND_DELETE || it->state != REWIND_PLANNED))
		return;
	e = untouched(r, it) ? restore_remove(r->n, it->path, it->len) : -EAGAIN;
	if (!way || e < 0)
		finish(it, e);
}

static void
do_empty_dir(struct rewind *r, struct rewind_item *it)
{
	bool way =
		it->act == REWIND_RESTORE && it->kind == KIND_DIR && it->state == REWIND_DEFERRED;
	int e;

	if (!way && (it->act != REWIND_RMDIR || it->state != REWIND_PLANNED))
		return;
	e = tree_rmdir(r->n->tree, it->path, it->len);
	if (!way || e < 0)
		finish(it, e);
}

/* Ends of fetches. Is there room for one more? */
static bool
poll_files(struct rewind *r, bool again)
{
	for (unsigned k = 0; k < r->nactive;) {
		if (restore_state(r->active[k]->restore) > 0) {
			k++;
			continue;
		}
		end_file(r, r->active[k], again);
		r->active[k] = r->active[--r->nactive];
	}
	return r->nactive < REWIND_ACTIVE_MAX;
}

static void
do_one(struct rewind *r, size_t i)
{
	struct rewind_item *it = &r->item[i];

	switch (r->phase) {
	case DIRS:
	case DIRS_AGAIN:
		do_dir(r, it, r->phase == DIRS_AGAIN);
		break;
	case FILES:
	case FILES_AGAIN:
		do_file(r, it, r->phase == FILES_AGAIN);
		break;
	case DELETES:
		do_delete(r, it);
		break;
	case EMPTY_DIRS: /* those below come behind those above them */
		do_empty_dir(r, &r->item[r->nitems - 1 - i]);
		break;
	default:
		break;
	}
}

/* The pass is over: is there something to be tried once more? */
static bool
one_more_round(struct rewind *r)
{
	bool deferred = false;

	for (size_t i = 0; r->phase == FILES_AGAIN && i < r->nitems && !deferred; i++)
		deferred = r->item[i].state == REWIND_DEFERRED;
	if (!deferred || r->rounds == REWIND_ROUNDS_MAX)
		return false;
	r->rounds++;
	r->round_ms = r->n->now_ms + REWIND_ROUND_MS;
	return true;
}

/* One pass over all items; 1: more now, 2: waits. */
static int
pass(struct rewind *r)
{
	bool files = r->phase == FILES || r->phase == FILES_AGAIN;

	if (r->n->now_ms < r->round_ms)
		return 2;
	for (unsigned n = 0; n < REWIND_STEP_ITEMS && r->i < r->nitems; n++) {
		if (files && !poll_files(r, r->phase == FILES_AGAIN))
			return 2;
		do_one(r, r->i++);
	}
	if (r->i < r->nitems)
		return 1;
	if (files)
		(void)poll_files(r, r->phase == FILES_AGAIN);
	if (r->nactive > 0)
		return 2;
	r->i = 0;
	if (one_more_round(r))
		return 2;
	r->phase++;
	return 1;
}

int
rewind_turn(struct rewind *r)
{
	int e;

	switch (r->phase) {
	case READ:
		e = past_step(r->past);
		if (e == 0)
			r->phase = ASK;
		return e < 0 ? e : 1;
	case ASK:
		return ask_all(r);
	case PLAN:
		return plan(r);
	case SETTLE: /* what was displaced is found in the store from now on */
		if (!commit_idle(r->n->commit))
			return 2;
		r->phase++;
		return 1;
	case OVER:
		return 0;
	default:
		return pass(r);
	}
}

/* ---- what came of it ---- */

const struct rewind_item *
rewind_at(const struct rewind *r, size_t i)
{
	return i < r->nitems ? &r->item[i] : NULL;
}

bool
rewind_progress(const struct rewind *r, uint64_t *done, uint64_t *total)
{
	*total = r->nitems;
	*done = 0;
	for (size_t i = 0; i < r->nitems; i++)
		*done += r->item[i].state >= REWIND_DONE;
	return r->phase > PLAN;
}

uint64_t
rewind_begins(const struct rewind *r)
{
	return past_begins(r->past);
}

const char *
rewind_silent(const struct rewind *r, size_t *k, size_t *i)
{
	const char *name;

	for (; *k < r->nasked; ++*k, *i = 0) {
		name = keepers_silent(r->asked[*k], i);
		if (name != NULL)
			return name;
	}
	return NULL;
}

bool
rewind_cut(const struct rewind *r)
{
	for (size_t k = 0; k < r->nasked; k++)
		if (keepers_cut(r->asked[k]))
			return true;
	return false;
}

/* ---- life ---- */

int
rewind_new(struct node *n, const struct rewind_want *want, struct rewind **out)
{
	struct rewind *r;
	int e;

	*out = NULL;
	for (size_t i = 0; i < want->past.npaths; i++)
		if (path_check(want->past.paths[i], strlen(want->past.paths[i])) < 0)
			return -EINVAL;
	r = calloc(1, sizeof(*r));
	if (r == NULL)
		return -ENOMEM;
	r->n = n;
	r->want = want;
	r->asked = calloc(want->past.npaths + 1, sizeof(struct keepers *));
	e = r->asked != NULL ? past_new(n, &want->past, &r->past) : -ENOMEM;
	if (e < 0) {
		rewind_free(r);
		return e;
	}
	*out = r;
	return 0;
}

void
rewind_free(struct rewind *r)
{
	if (r == NULL)
		return;
	for (size_t i = 0; i < r->nitems; i++)
		restore_free(r->item[i].restore);
	for (size_t k = 0; k < r->nasked; k++)
		keepers_free(r->asked[k]);
	past_free(r->past);
	free(r->asked);
	free(r->source);
	free(r->item);
	free(r);
}
