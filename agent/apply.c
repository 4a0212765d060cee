/* SPDX-License-Identifier: BSD-2-Clause */
/* Which path is worked on when: ready queue, waiting list, back-off. */
#include "config.h"

#include "agent/apply.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/brake.h"
#include "agent/recover.h"
#include "agent/store.h"
#include "agent/task.h"
#include "proto/seeded.h"

#define RETRY_BASE_MS 100
#define HOLD_MS 20    /* a delete waits so long at a time for an add of the same content */
#define HOLDS_MAX 250 /* and so often */
#define REVIVE_MS 100 /* what waits for a peer is tried again at most so often as peers change */
#define FULL_MS 2000  /* how often it is asked again whether the trash has room */
#define STUCK_MS 1000 /* between tries to end what is renamed already */
#define LEFT_LOOK_MS                                                                               \
	10000 /* how often a directory that had to stay is looked at: whoever empties it may be    \
		 somebody whose files nobody logs */
/* Compared by address, so each exists once. */
static const char REASON_PARENT[] = "its directory is not there yet";
static const char REASON_MOVED[] = "its file is being moved";
static const char REASON_OPEN[] = "its last try is not over yet";
static const char REASON_CHILDREN[] = "something is still below it";
static const char REASON_FULL[] =
	"the trash is full (trash.max_size) of what is younger than a day";
static const char REASON_HELD[] = "held: a mass delete waits for `mimeo resume --accept-deletes`";

struct queue {
	struct task *first, *last;
	size_t n;
};

/* A directory that had to stay although its delete won: something was in it that the index does not
 * show. */
struct left {
	struct left *next;
	size_t len;
	uint8_t path[];
};

struct apply {
	struct node *n;
	struct left *left;
	uint64_t left_ms;                  /* when they are looked at again */
	struct queue ready, waiting, busy; /* busy: those with a run */
	struct map wanted;                 /* tasks that will place a file, by its content's hash */
	size_t active;
	uint64_t displacing;       /* bytes that those with a run will bring to the trash */
	uint64_t next_ms;          /* earliest retry in `waiting` */
	size_t stranded;           /* waiting tasks whose content no connected peer had */
	bool peers_changed;        /* since they were last tried */
	uint64_t revive_ms;        /* when they were */
	size_t stuck;              /* runs with an again_ms */
	uint64_t stuck_ms;         /* when they are tried again */
	struct commit_done closed; /* the intents that recovery found */
	bool closing;              /* until that is durable */
	bool recovered;
	bool running; /* guards against running the queue from inside itself */
};

static void
queue_add(struct queue *q, struct task *t)
{
	t->next = NULL;
	t->prev = q->last;
	if (q->last != NULL)
		q->last->next = t;
	else
		q->first = t;
	q->last = t;
	q->n++;
}

static void
queue_del(struct queue *q, struct task *t)
{
	if (t->prev != NULL)
		t->prev->next = t->next;
	else
		q->first = t->next;
	if (t->next != NULL)
		t->next->prev = t->prev;
	else
		q->last = t->prev;
	t->prev = t->next = NULL;
	q->n--;
}

static void
not_stranded(struct apply *a, struct task *t)
{
	a->stranded -= t->stranded ? 1 : 0;
	t->stranded = false;
}

static void
make_ready(struct apply *a, struct task *t)
{
	if (t->state == TASK_WAITING) {
		queue_del(&a->waiting, t);
		not_stranded(a, t);
		t->state = TASK_READY;
		queue_add(&a->ready, t);
	}
}

static void
make_wait(struct apply *a, struct task *t, uint64_t retry_ms, const char *reason)
{
	t->state = TASK_WAITING;
	t->retry_ms = retry_ms;
	t->reason = reason;
	queue_add(&a->waiting, t);
	if (retry_ms < a->next_ms)
		a->next_ms = retry_ms;
}

static struct task *
task_new(struct apply *a, struct pathent *ent)
{
	struct task *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	t->apply = a;
	t->ent = ent;
	ent->work = t;
	backoff_init(&t->backoff, RETRY_BASE_MS, (uint32_t)a->n->conf->retry_max_ms,
		     node_random(a->n));
	t->state = TASK_READY;
	queue_add(&a->ready, t);
	return t;
}

/* ---- deletes wait for adds of the same content: then a rename is a rename here too ---- */

static bool
wanted_match(const void *item, const void *key)
{
	const struct task *t = item;

	return memcmp(t->content, key, RECORD_HASH_BYTES) == 0;
}

static void
want_content(struct apply *a, struct task *t, const struct record *r)
{
	if (t->wants || r->kind != KIND_FILE)
		return;
	memcpy(t->content, r->hash, RECORD_HASH_BYTES);
	t->wants = map_add(&a->wanted, bytes_get_u64(t->content), t) == 0;
}

static void
want_no_more(struct apply *a, struct task *t)
{
	if (t->wants)
		map_del(&a->wanted, bytes_get_u64(t->content), t);
	t->wants = false;
}

/* A file that is to be here and is not. */
static void
want(struct apply *a, struct task *t)
{
	struct irec *rec;

	if (t->ent->shown == NULL && index_want(t->ent, &rec) == WANT_RECORD)
		want_content(a, t, rec->r);
}

static bool
wanted_elsewhere(const struct apply *a, struct task *t, const struct plan *p)
{
	const struct irec *shown = t->ent->shown;

	if (shown == NULL || p->what != PLAN_ACT || p->action != ACTION_TAKE || p->room ||
	    shown->r->kind != KIND_FILE || shown->r->size == 0 || t->holds >= HOLDS_MAX)
		return false;
	return apply_wants(a, shown->r->hash);
}

bool
apply_wants(const struct apply *a, const uint8_t hash[RECORD_HASH_BYTES])
{
	return map_find(&a->wanted, bytes_get_u64(hash), wanted_match, hash) != NULL;
}

static void
task_free(struct apply *a, struct task *t)
{
	struct pathent *ent = t->ent;

	assert(t->run == NULL);
	want_no_more(a, t);
	if (t->state == TASK_READY)
		queue_del(&a->ready, t);
	else if (t->state == TASK_WAITING)
		queue_del(&a->waiting, t);
	not_stranded(a, t);
	free(t);
	ent->work = NULL;
	index_release(a->n->index, ent);
}

static bool
waits_for(const struct pathent *ent, const char *reason)
{
	const struct task *t = ent->work;

	return t != NULL && t->state == TASK_WAITING && t->reason == reason;
}

/* A directory appeared, or what was below it went: whoever waited for that may go on. */
static void
wake_relatives(struct apply *a, struct pathent *ent)
{
	bool dir = ent->shown_dir || (ent->shown != NULL && ent->shown->r->kind == KIND_DIR);

	if (ent->parent != NULL && waits_for(ent->parent, REASON_CHILDREN))
		make_ready(a, ent->parent->work);
	if (!dir)
		return;
	for (struct pathent *c = ent->child; c != NULL; c = c->sib_next)
		if (waits_for(c, REASON_PARENT))
			make_ready(a, c->work);
}

void
apply_todo(struct apply *a, struct pathent *ent)
{
	struct task *t = ent->work;

	if (t == NULL) {
		t = task_new(a, ent);
		if (t == NULL)
			a->n->fatal(a->n->arg, "out of memory", -ENOMEM);
		else
			want(a, t);
		return;
	}
	want(a, t);
	if (t->dropping && ent->intent == NULL) { /* our own doing: back-off goes on */
		t->dropping = false;
		if (t->state != TASK_WAITING || t->reason != REASON_MOVED)
			return;
	}
	if (t->state == TASK_ACTIVE)
		t->again = true;
	else if (t->reason != REASON_PARENT && t->reason != REASON_CHILDREN)
		make_ready(a, t);
}

void
apply_settled(struct apply *a, struct pathent *ent)
{
	struct task *t = ent->work;

	if (t != NULL && t->state != TASK_ACTIVE && !t->reserved)
		make_ready(a, t); /* freed by the queue: the index is in the middle of a fold */
	wake_relatives(a, ent);
}

/* ---- running ---- */

struct deal {
	struct node *n;
	struct pathent *ent;
	uint8_t flags;
};

static void
deal_one(void *arg, struct irec *rec)
{
	struct deal *d = arg;

	commit_put(d->n->commit, &(struct entry){.type = ENTRY_APPLIED,
						 .path = d->ent->path,
						 .path_len = d->ent->path_len,
						 .dot = rec->r->dot,
						 .flags = d->flags});
}

static void
run_durable(struct commit_done *d)
{
	struct run *r = (struct run *)((char *)d - offsetof(struct run, done));

	task_finish(r, 0, NULL);
}

/* Under the lock: what wins may have changed since it was planned, and the bytes of a loser that
 * had the winner's are needed then. */
static void
deal(struct commit_locked *j)
{
	struct run *r = (struct run *)((char *)j - offsetof(struct run, locked));
	struct pathent *ent = r->task->ent;
	bool ignored = node_ignored(r->node, ent->path, ent->path_len, false);
	struct deal d = {r->node, ent, ignored ? APPLIED_LEFT : 0};

	plan_deal_each(r->node->index, ent, ignored, deal_one, &d);
	r->done.done = run_durable;
	commit_then(r->node->commit, &r->done);
}

static void
run_deal(struct run *r)
{
	r->locked.run = deal;
	if (SEEDED(dealt_unlocked))
		deal(&r->locked);
	else
		commit_under_lock(r->node->commit, &r->locked);
}

static struct run *
run_new(struct apply *a, struct task *t, const struct plan *p)
{
	struct run *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return NULL;
	r->node = a->n;
	r->task = t;
	r->plan = *p;
	r->action = p->action;
	if (p->rec != NULL && (r->rec = record_dup(p->rec->r)) == NULL) {
		free(r);
		return NULL;
	}
	return r;
}

/* Bytes that this would bring to the trash. */
static uint64_t
displaces(const struct pathent *ent, const struct plan *p)
{
	if (p->what != PLAN_ACT || (p->action != ACTION_EXCHANGE && p->action != ACTION_TAKE))
		return 0;
	return ent->shown != NULL && !ent->altered ? ent->shown->r->size : 0;
}

static void
start(struct apply *a, struct task *t, const struct plan *p)
{
	struct run *r = run_new(a, t, p);

	if (r == NULL) {
		make_wait(a, t, a->n->now_ms + 1000, "out of memory");
		return;
	}
	t->run = r;
	r->displaces = displaces(t->ent, p);
	a->displacing += r->displaces;
	t->state = TASK_ACTIVE;
	queue_add(&a->busy, t);
	t->again = false;
	a->active++;
	if (p->what == PLAN_DEAL)
		run_deal(r);
	else
		perform(r);
}

static const char *
blocked_reason(const struct apply *a)
{
	if (a->n->halted != 0)
		return "halted by the root guard";
	if (a->n->index->paused)
		return "paused";
	return NULL;
}

/* Would this displace a file for which the trash has no room? */
static bool
trash_full(const struct apply *a, const struct pathent *ent, const struct plan *p)
{
	uint64_t size = displaces(ent, p);

	return size > 0 && !store_room(a->n->kept, size, a->displacing);
}

static enum brake_verdict
ask_brake(const struct apply *a, const struct plan *p, uint64_t *retry_ms)
{
	if (p->what != PLAN_ACT || p->action != ACTION_TAKE || p->rec == NULL || p->room)
		return BRAKE_GO;
	return brake_ask(a->n->brake, p->rec, retry_ms);
}

static void
consider(struct apply *a, struct task *t)
{
	struct pathent *ent = t->ent;
	bool ignored = node_ignored(a->n, ent->path, ent->path_len, false);
	struct plan p = plan_path(a->n->index, ent, ignored);
	const char *why = blocked_reason(a);
	uint64_t retry_ms = 0;

	queue_del(&a->ready, t);
	t->state = TASK_ACTIVE; /* in no queue */
	want(a, t);
	if (t->open) {
		make_wait(a, t, UINT64_MAX, REASON_OPEN);
	} else if (p.what == PLAN_NOTHING) {
		wake_relatives(a, ent);
		task_free(a, t);
	} else if (why != NULL) {
		make_wait(a, t, UINT64_MAX, why);
	} else if (t->reserved || ent->intent != NULL) {
		make_wait(a, t, UINT64_MAX, REASON_MOVED);
	} else if (wanted_elsewhere(a, t, &p)) {
		t->holds++;
		make_wait(a, t, a->n->now_ms + HOLD_MS,
			  "its content is wanted under another name first");
	} else if (p.what == PLAN_PARENT) {
		make_wait(a, t, a->n->now_ms + 2000, REASON_PARENT);
	} else if (p.what == PLAN_CHILDREN) {
		make_wait(a, t, a->n->now_ms + 2000, REASON_CHILDREN);
	} else if (p.what == PLAN_HELD) {
		make_wait(a, t, UINT64_MAX, REASON_HELD);
	} else if (trash_full(a, ent, &p)) {
		make_wait(a, t, a->n->now_ms + FULL_MS, REASON_FULL);
	} else {
		switch (ask_brake(a, &p, &retry_ms)) {
		case BRAKE_GO:
			start(a, t, &p);
			break;
		case BRAKE_WAIT:
			make_wait(a, t, retry_ms,
				  "one of many deletes: waits for the last of them");
			break;
		case BRAKE_HELD:
			make_wait(a, t, UINT64_MAX, REASON_HELD);
			break;
		}
	}
}

static void
run_queue(struct apply *a)
{
	if (a->running || !a->recovered)
		return;
	a->running = true;
	while (a->ready.first != NULL && a->active < APPLY_TASKS_MAX)
		consider(a, a->ready.first);
	a->running = false;
}

/* ---- directories that had to stay ---- */

void
apply_left(struct apply *a, const struct pathent *ent)
{
	struct left *l;

	for (l = a->left; l != NULL; l = l->next)
		if (l->len == ent->path_len && memcmp(l->path, ent->path, l->len) == 0)
			return;
	l = malloc(sizeof(*l) + ent->path_len);
	if (l == NULL) {
		a->n->fatal(a->n->arg, "out of memory", -ENOMEM);
		return;
	}
	*l = (struct left){.next = a->left, .len = ent->path_len};
	memcpy(l->path, ent->path, ent->path_len);
	if (a->left == NULL)
		a->left_ms = a->n->now_ms + LEFT_LOOK_MS;
	a->left = l;
}

static bool
was_left(const struct pathent *ent)
{
	const struct irec *w = index_winner(ent);

	return !dot_none(ent->left) && w != NULL && !record_live(w->r);
}

/* Of an earlier run. */
static void
find_left(struct apply *a, struct pathent *ent)
{
	for (struct pathent *c = ent->child; c != NULL; c = c->sib_next) {
		if (was_left(c))
			apply_left(a, c);
		find_left(a, c);
	}
}

static int
stop_at_first(void *arg, const char *name, size_t name_len, uint8_t d_type)
{
	(void)arg;
	(void)name;
	(void)name_len;
	(void)d_type;
	return 1;
}

/* True: it need not be looked at again. */
static bool
look_left(struct apply *a, const struct left *l)
{
	struct pathent *ent = index_find(a->n->index, l->path, l->len);

	if (ent == NULL || !was_left(ent))
		return true;
	if (tree_list(a->n->tree, l->path, l->len, stop_at_first, NULL) > 0)
		return false;
	index_unleave(a->n->index, ent);
	return true;
}

static void
look_at_left(struct apply *a)
{
	struct left **at = &a->left, *l;

	if (a->left == NULL || a->n->now_ms < a->left_ms || blocked_reason(a) != NULL)
		return;
	a->left_ms = a->n->now_ms + LEFT_LOOK_MS;
	while ((l = *at) != NULL) {
		if (!look_left(a, l)) {
			at = &l->next;
			continue;
		}
		*at = l->next;
		free(l);
	}
}

static void
intent_closed(struct commit_done *d)
{
	struct task *t = (struct task *)((char *)d - offsetof(struct task, closed));

	t->open = false;
	if (t->state == TASK_WAITING && t->reason == REASON_OPEN)
		make_ready(t->apply, t);
}

void
apply_dropped(struct task *t)
{
	if (t->open)
		return;
	t->open = true;
	t->closed.done = intent_closed;
	commit_then(t->apply->n->commit, &t->closed);
}

static void
run_free(struct run *r)
{
	tfile_close(r->fetch.file);
	tfile_close(r->probe_file);
	tfile_close(r->held);
	record_free(r->rec);
	record_free(r->old);
	record_free(r->from_rec);
	free(r);
}

/* The path whose file was to be moved here is free again. */
static void
unreserve(struct apply *a, struct pathent *from)
{
	struct task *t = from->work;

	if (t == NULL)
		return;
	t->reserved = false;
	make_ready(a, t);
}

void
task_finish(struct run *r, int error, const char *reason)
{
	struct task *t = r->task;
	struct apply *a = r->node->apply;
	bool again = t->again;

	assert(!r->intent || error == 0);
	queue_del(&a->busy, t);
	t->run = NULL;
	a->active--;
	a->displacing -= r->displaces;
	if (r->from != NULL)
		unreserve(a, r->from);
	run_free(r);
	t->again = false;
	want_no_more(a, t);
	if (error == 0)
		backoff_reset(&t->backoff);
	if (error == 0 || (again && error == -EAGAIN)) {
		wake_relatives(a, t->ent);
		t->state = TASK_READY;
		t->reason = NULL;
		queue_add(&a->ready, t);
		return;
	}
	make_wait(a, t, a->n->now_ms + backoff_fail(&t->backoff), reason);
	t->stranded = error == -EHOSTUNREACH;
	a->stranded += t->stranded ? 1 : 0;
}

void
apply_peers_changed(struct apply *a)
{
	a->peers_changed = true;
}

/* A peer came, or has applied more: what no peer had may be there now. */
static void
revive(struct apply *a)
{
	struct task *next;

	a->peers_changed = false;
	a->revive_ms = a->n->now_ms;
	for (struct task *t = a->waiting.first; t != NULL && a->stranded > 0; t = next) {
		next = t->next;
		if (t->stranded)
			make_ready(a, t);
	}
}

static bool
revival_due(const struct apply *a)
{
	return a->peers_changed && a->stranded > 0;
}

void
apply_stuck(struct apply *a, struct run *r)
{
	r->again_ms = a->n->now_ms + STUCK_MS;
	if (a->stuck++ == 0)
		a->stuck_ms = r->again_ms;
}

/* One pass; those that are stuck again are tried again later. */
static void
try_stuck(struct apply *a)
{
	struct task *next;

	if (a->stuck == 0 || a->n->now_ms < a->stuck_ms)
		return;
	a->stuck_ms = a->n->now_ms + STUCK_MS;
	for (struct task *t = a->busy.first; t != NULL; t = next) {
		next = t->next;
		if (t->run->again_ms == 0 || t->run->again_ms > a->n->now_ms)
			continue;
		t->run->again_ms = 0;
		a->stuck--;
		perform_applied(t->run);
	}
}

void
apply_tick(struct apply *a)
{
	if (!a->recovered && !a->closing && a->n->index->intents == NULL)
		a->recovered = true;
	if (a->n->now_ms >= a->next_ms) {
		struct task *next;

		a->next_ms = UINT64_MAX;
		for (struct task *t = a->waiting.first; t != NULL; t = next) {
			next = t->next;
			if (t->retry_ms <= a->n->now_ms)
				make_ready(a, t);
			else if (t->retry_ms < a->next_ms)
				a->next_ms = t->retry_ms;
		}
	}
	if (revival_due(a) && a->n->now_ms - a->revive_ms >= REVIVE_MS)
		revive(a);
	try_stuck(a);
	look_at_left(a);
	run_queue(a);
}

uint64_t
apply_deadline(const struct apply *a)
{
	uint64_t at = a->next_ms;

	if (a->ready.first != NULL && a->recovered && a->active < APPLY_TASKS_MAX)
		return 0;
	if (revival_due(a) && a->revive_ms + REVIVE_MS < at)
		at = a->revive_ms + REVIVE_MS;
	if (a->stuck > 0 && a->stuck_ms < at)
		at = a->stuck_ms;
	return a->left != NULL && a->left_ms < at ? a->left_ms : at;
}

void
apply_kick(struct apply *a)
{
	struct task *next;

	for (struct task *t = a->waiting.first; t != NULL; t = next) {
		next = t->next;
		make_ready(a, t);
	}
}

void
apply_hurry(struct apply *a, const struct pathent *ent)
{
	struct task *t = ent->work;

	if (t == NULL)
		return;
	if (t->state == TASK_READY && a->ready.first != t) {
		queue_del(&a->ready, t);
		t->next = a->ready.first;
		t->next->prev = t;
		a->ready.first = t;
		a->ready.n++;
	} else if (t->state == TASK_ACTIVE && t->run != NULL && t->run->fetching) {
		fetch_hurry(a->n->fetch, &t->run->fetch);
	}
}

bool
apply_applying(const struct apply *a, const struct pathent *ent)
{
	const struct task *t = ent->work;

	(void)a;
	return t != NULL && t->state == TASK_ACTIVE && t->run != NULL && !t->run->fetching;
}

size_t
apply_active(const struct apply *a)
{
	return a->active;
}

bool
apply_stages(const struct apply *a, const char *name)
{
	for (const struct task *t = a->busy.first; t != NULL; t = t->next)
		if (strcmp(t->run->stage, name) == 0)
			return true;
	return false;
}

struct apply_state
apply_explain(const struct apply *a, const struct pathent *ent)
{
	const struct task *t = ent->work;
	struct apply_state s = {.state = "queued", .reason = ""};

	(void)a;
	if (t == NULL)
		return s;
	s.attempts = t->backoff.attempts;
	switch (t->state) {
	case TASK_READY:
		break;
	case TASK_WAITING:
		s.state = t->reason == REASON_HELD ? "held" : "waiting";
		s.reason = t->reason;
		s.retry_ms = t->retry_ms == UINT64_MAX ? 0 : t->retry_ms;
		break;
	case TASK_ACTIVE:
		s.state = t->run != NULL && t->run->fetching ? "fetching" : "applying";
		s.fetch = t->run != NULL && t->run->fetching ? &t->run->fetch : NULL;
		if (t->run != NULL && t->run->again_ms != 0)
			s.reason = t->reason;
		break;
	}
	return s;
}

struct apply *
apply_new(struct node *n)
{
	struct apply *a = calloc(1, sizeof(*a));

	if (a == NULL)
		return NULL;
	a->n = n;
	a->next_ms = UINT64_MAX;
	return a;
}

/* Active runs are dropped: recovery finds their intents. */
void
apply_free(struct apply *a)
{
	struct task *next;

	if (a == NULL)
		return;
	for (struct task *t = a->busy.first; t != NULL; t = next) {
		next = t->next;
		if (t->run->fetching)
			fetch_stop(a->n->fetch, &t->run->fetch);
		run_free(t->run);
		t->ent->work = NULL;
		free(t);
	}
	map_free(&a->wanted);
	while (a->left != NULL) {
		struct left *l = a->left;

		a->left = l->next;
		free(l);
	}
	for (struct task *t = a->ready.first; t != NULL; t = next) {
		next = t->next;
		t->ent->work = NULL;
		free(t);
	}
	for (struct task *t = a->waiting.first; t != NULL; t = next) {
		next = t->next;
		t->ent->work = NULL;
		free(t);
	}
	free(a);
}

static void
recovery_closed(struct commit_done *d)
{
	struct apply *a = (struct apply *)((char *)d - offsetof(struct apply, closed));

	a->closing = false;
}

void
apply_recover(struct apply *a)
{
	find_left(a, a->n->index->root);
	if (a->n->index->intents == NULL)
		return;
	recover_start(a->n);
	a->closing = true;
	a->closed.done = recovery_closed;
	commit_then(a->n->commit, &a->closed);
}

void
task_kept_name(struct dot dot, char out[48])
{
	dot_text(dot, out);
}

void
task_out_name(struct dot dot, char out[48])
{
	memcpy(out, "out-", 4);
	dot_text(dot, out + 4);
}
