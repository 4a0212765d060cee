/* SPDX-License-Identifier: BSD-2-Clause */
/* Group commit: one round takes the lock, catches up, runs locked jobs, appends, syncs, unlocks,
 * calls back. */
#include "config.h"

#include "agent/commit.h"

#include <errno.h>
#include <stdlib.h>

#include "conf/work.h"

#define COMMIT_LOCKED_MAX 128  /* locked jobs a round: bounds how long the lock is held */
#define COMMIT_NOSPACE_MS 1000 /* between tries to append on a full disk */

enum commit_state { IDLE, LOCKING, SYNCING, PUT_OFF, COMPACTING, DEAD };

struct done_list {
	struct commit_done *first, **last;
};

struct commit {
	struct wal *wal;
	struct work *work;
	struct commit_owner owner;
	enum commit_state state;
	struct buf next;          /* entries for the next append */
	struct buf writing;       /* what is being appended; kept over -ENOSPC */
	struct done_list waiting; /* for `next` */
	struct done_list settled; /* for `writing` */
	struct commit_locked *jobs, **jobs_last;
	struct work_job job;
	int job_error;
	bool poked;
	uint64_t now_ms, retry_ms;
	int (*snapshot)(void *arg, bool first, struct buf *out);
	void *snapshot_arg;
	uint64_t (*wall_ms)(void *arg);
	uint64_t compact_at; /* not before the file is so large */
	bool compact_soon;   /* whatever its size */
	bool compacting;
	struct buf piece; /* of the live state, on its way to the new generation */
};

static void
list_init(struct done_list *l)
{
	l->first = NULL;
	l->last = &l->first;
}

static void
die(struct commit *c, const char *what, int error)
{
	c->state = DEAD;
	c->owner.fatal(c->owner.arg, what, error);
}

static void round_begin(struct commit *c);
static void compact_next(struct commit *c, bool first);

static bool
wanted(const struct commit *c)
{
	return c->poked || c->next.len > 0 || c->writing.len > 0 || c->waiting.first != NULL ||
	       c->settled.first != NULL || c->jobs != NULL;
}

static void
round_end(struct commit *c)
{
	struct commit_done *d = c->settled.first;

	list_init(&c->settled);
	c->state = c->compacting ? COMPACTING : IDLE;
	c->owner.durable(c->owner.arg, c->owner.index_lsn(c->owner.arg));
	while (d != NULL) {
		struct commit_done *next = d->next;

		d->done(d);
		d = next;
	}
	if (c->state == COMPACTING)
		compact_next(c, true);
	else if (c->state == IDLE && wanted(c))
		round_begin(c);
}

/* ---- compaction: rounds stand still, the lock is free until the end ---- */

static bool
compaction_due(const struct commit *c)
{
	const struct wal_info *i = wal_info(c->wal);
	uint64_t base = i->snapshot_end > COMMIT_COMPACT_BYTES_MIN / 2
				? i->snapshot_end
				: COMMIT_COMPACT_BYTES_MIN / 2;

	return c->snapshot != NULL &&
	       (c->compact_soon || (i->size > 2 * base && i->size > c->compact_at));
}

/* The end of a round, under the lock: is it time? */
static void
compact_begin(struct commit *c)
{
	if (!compaction_due(c))
		return;
	c->compact_soon = false;
	c->compacting = wal_compact_begin(c->wal, c->wall_ms(c->snapshot_arg)) == 0;
	c->compact_at = c->compacting ? 0 : wal_info(c->wal)->size + COMMIT_COMPACT_BYTES_MIN;
}

/* Over, one way or the other. After a failure, a full disk say, it is tried again later. */
static void
compact_over(struct commit *c, int error)
{
	wal_compact_abort(c->wal);
	buf_free(&c->piece);
	c->compacting = false;
	c->compact_at = error < 0 ? wal_info(c->wal)->size + COMMIT_COMPACT_BYTES_MIN : 0;
	c->state = IDLE;
	c->poked = true;
	round_begin(c);
}

static void
compact_step(struct commit *c, void (*run)(struct work_job *j), void (*done)(struct work_job *j))
{
	c->job = (struct work_job){.run = run, .done = done};
	work_submit(c->work, &c->job);
}

static void
finish_run(struct work_job *j)
{
	struct commit *c = (struct commit *)((char *)j - offsetof(struct commit, job));

	c->job_error = wal_compact_finish(c->wal);
}

static void
finish_done(struct work_job *j)
{
	struct commit *c = (struct commit *)((char *)j - offsetof(struct commit, job));

	wal_unlock(c->wal);
	compact_over(c, c->job_error);
}

static void
compact_locked(struct work_job *j)
{
	struct commit *c = (struct commit *)((char *)j - offsetof(struct commit, job));
	int r = c->job_error;

	if (r == 0)
		r = wal_catchup(c->wal);
	if (r < 0)
		die(c, "the WAL could not be read", r);
	else
		compact_step(c, finish_run, finish_done);
}

static void
check_run(struct work_job *j)
{
	struct commit *c = (struct commit *)((char *)j - offsetof(struct commit, job));

	c->job_error = wal_compact_check(c->wal);
}

static void lock_run(struct work_job *j);

static void
check_done(struct work_job *j)
{
	struct commit *c = (struct commit *)((char *)j - offsetof(struct commit, job));

	if (c->job_error < 0)
		compact_over(c, c->job_error);
	else
		compact_step(c, lock_run, compact_locked);
}

static void
put_run(struct work_job *j)
{
	struct commit *c = (struct commit *)((char *)j - offsetof(struct commit, job));

	c->job_error = wal_compact_put(c->wal, &c->piece);
}

static void
put_done(struct work_job *j)
{
	struct commit *c = (struct commit *)((char *)j - offsetof(struct commit, job));

	if (c->job_error < 0)
		compact_over(c, c->job_error);
	else
		compact_next(c, false);
}

/* The index stands still as long as rounds do: its state goes out piece by piece. */
static void
compact_next(struct commit *c, bool first)
{
	int r = c->snapshot(c->snapshot_arg, first, &c->piece);

	if (r < 0)
		compact_over(c, r);
	else if (c->piece.len > 0)
		compact_step(c, put_run, put_done);
	else
		compact_step(c, check_run, check_done);
}

/* ---- the round ---- */

static void
synced(struct work_job *j)
{
	struct commit *c = (struct commit *)((char *)j - offsetof(struct commit, job));

	if (c->job_error < 0) {
		die(c, "the WAL could not be synced", c->job_error);
		return;
	}
	buf_reset(&c->writing);
	compact_begin(c);
	wal_unlock(c->wal);
	round_end(c);
}

static void
sync_run(struct work_job *j)
{
	struct commit *c = (struct commit *)((char *)j - offsetof(struct commit, job));

	c->job_error = wal_sync(c->wal);
}

/* Entries put so far become this round's; the disk may be full, then they wait and come first next
 * time. */
static void
take_batch(struct commit *c)
{
	if (c->writing.len == 0) {
		struct buf empty = c->writing;

		c->writing = c->next;
		c->next = empty;
	}
	*c->settled.last = c->waiting.first;
	if (c->waiting.first != NULL)
		c->settled.last = c->waiting.last;
	list_init(&c->waiting);
}

static void
append(struct commit *c)
{
	int r;

	if (c->writing.failed || c->next.failed) {
		die(c, "out of memory for WAL entries", -ENOMEM);
		return;
	}
	take_batch(c);
	if (c->writing.len == 0) {
		compact_begin(c);
		wal_unlock(c->wal);
		round_end(c);
		return;
	}
	r = wal_append(c->wal, &c->writing);
	if (r == -ENOSPC || r == -EDQUOT) {
		wal_unlock(c->wal);
		c->state = PUT_OFF;
		if (c->owner.full != NULL)
			c->owner.full(c->owner.arg, r);
		c->retry_ms = c->now_ms + COMMIT_NOSPACE_MS;
		return;
	}
	if (r < 0) {
		die(c, "the WAL could not be written", r);
		return;
	}
	c->state = SYNCING;
	c->job = (struct work_job){.run = sync_run, .done = synced};
	work_submit(c->work, &c->job);
}

static void
run_locked(struct commit *c)
{
	for (unsigned i = 0; i < COMMIT_LOCKED_MAX && c->jobs != NULL; i++) {
		struct commit_locked *j = c->jobs;

		c->jobs = j->next;
		if (c->jobs == NULL)
			c->jobs_last = &c->jobs;
		j->run(j);
	}
}

static void
locked(struct work_job *j)
{
	struct commit *c = (struct commit *)((char *)j - offsetof(struct commit, job));
	int r = c->job_error;

	if (r == 0)
		r = wal_catchup(c->wal);
	if (r < 0) {
		die(c, "the WAL could not be read", r);
		return;
	}
	c->poked = false;
	if (c->writing.len == 0)
		run_locked(c);
	if (c->state != DEAD)
		append(c);
}

static void
lock_run(struct work_job *j)
{
	struct commit *c = (struct commit *)((char *)j - offsetof(struct commit, job));

	c->job_error = wal_lock(c->wal, true, true);
}

static void
round_begin(struct commit *c)
{
	c->state = LOCKING;
	c->job = (struct work_job){.run = lock_run, .done = locked};
	work_submit(c->work, &c->job);
}

static void
kick(struct commit *c)
{
	if (c->state == IDLE)
		round_begin(c);
}

/* ---- the interface ---- */

size_t
commit_bytes(const struct commit *c)
{
	return c->next.len + c->writing.len;
}

struct commit *
commit_new(struct wal *wal, struct work *work, const struct commit_owner *owner)
{
	struct commit *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->wal = wal;
	c->work = work;
	c->owner = *owner;
	list_init(&c->waiting);
	list_init(&c->settled);
	c->jobs_last = &c->jobs;
	return c;
}

void
commit_free(struct commit *c)
{
	if (c == NULL)
		return;
	buf_free(&c->next);
	buf_free(&c->writing);
	buf_free(&c->piece);
	free(c);
}

void
commit_put(struct commit *c, const struct entry *e)
{
	wal_put(&c->next, e);
	kick(c);
}

void
commit_then(struct commit *c, struct commit_done *d)
{
	d->next = NULL;
	*c->waiting.last = d;
	c->waiting.last = &d->next;
	kick(c);
}

void
commit_under_lock(struct commit *c, struct commit_locked *j)
{
	j->next = NULL;
	*c->jobs_last = j;
	c->jobs_last = &j->next;
	kick(c);
}

void
commit_poke(struct commit *c)
{
	c->poked = true;
	kick(c);
}

bool
commit_idle(const struct commit *c)
{
	return c->state == IDLE;
}

void
commit_tick(struct commit *c, uint64_t now_ms)
{
	c->now_ms = now_ms;
	if (c->state == PUT_OFF && now_ms >= c->retry_ms)
		round_begin(c);
}

uint64_t
commit_deadline(const struct commit *c)
{
	return c->state == PUT_OFF ? c->retry_ms : UINT64_MAX;
}

void
commit_compact_soon(struct commit *c)
{
	c->compact_soon = true;
	kick(c);
}

void
commit_compaction(struct commit *c, int (*snapshot)(void *arg, bool first, struct buf *out),
		  void *arg, uint64_t (*wall_ms)(void *arg))
{
	c->snapshot = snapshot;
	c->snapshot_arg = arg;
	c->wall_ms = wall_ms;
}
