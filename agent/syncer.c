/* SPDX-License-Identifier: BSD-2-Clause */
/* Rounds of syncs in a worker: one by one when few, one syncfs when many. */
#include "config.h"

#include "agent/syncer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "conf/work.h"
#include "proto/seeded.h"

struct syncer {
	struct tree *tree;
	struct work *work;
	struct sync_job *next, **next_last; /* for the next round */
	struct sync_job *running;
	struct work_job job;
	bool busy;
	int large;
	bool may_syncfs;
	int error; /* of a syncfs or a shared directory: everybody's */
};

/* ---- in the worker ---- */

static unsigned
count(const struct sync_job *j, enum sync_kind kind)
{
	unsigned n = 0;

	for (; j != NULL; j = j->next)
		n += j->kind == kind;
	return n;
}

/* Was this directory synced for an earlier job of the round? Neighbours usually share one. */
static bool
dir_before(const struct sync_job *first, const struct sync_job *upto, const uint8_t *dir,
	   size_t len)
{
	for (const struct sync_job *j = first; j != upto; j = j->next)
		for (unsigned k = 0; k < 2; k++)
			if (j->dir[k] != NULL && j->dir_len[k] == len &&
			    memcmp(j->dir[k], dir, len) == 0)
				return true;
	return false;
}

static int
sync_dirs_of(struct syncer *s, const struct sync_job *j)
{
	for (unsigned k = 0; k < 2; k++) {
		int r;

		if (j->dir[k] == NULL || dir_before(s->running, j, j->dir[k], j->dir_len[k]))
			continue;
		r = SEEDED(dir_not_synced) ? 0 : tree_sync_dir(s->tree, j->dir[k], j->dir_len[k]);
		if (r < 0)
			return r;
	}
	return 0;
}

static int
sync_each(struct syncer *s)
{
	bool stage = false, kept = false;
	int r = 0;

	for (struct sync_job *j = s->running; r == 0 && j != NULL; j = j->next) {
		if (j->kind == SYNC_FILE)
			r = tfile_sync(j->file);
		if (r == 0)
			r = sync_dirs_of(s, j);
		stage = stage || j->stage;
		kept = kept || j->kept;
	}
	if (r == 0 && stage)
		r = tree_sync_stage(s->tree);
	if (r == 0 && kept)
		r = tree_sync_kept(s->tree);
	return r;
}

static void
run(struct work_job *w)
{
	struct syncer *s = (struct syncer *)((char *)w - offsetof(struct syncer, job));
	bool many = count(s->running, SYNC_FILE) > SYNCER_EACH_MAX ||
		    count(s->running, SYNC_DIRS) > SYNCER_DIRS_MAX;

	s->error = many && s->may_syncfs ? tree_sync_all(s->tree) : sync_each(s);
}

/* ---- in the loop ---- */

static void round_begin(struct syncer *s);

static void
done(struct work_job *w)
{
	struct syncer *s = (struct syncer *)((char *)w - offsetof(struct syncer, job));
	struct sync_job *j = s->running, *next;
	int error = s->error;

	s->running = NULL;
	s->busy = false;
	for (; j != NULL; j = next) {
		next = j->next;
		j->done(j, error);
	}
	if (!s->busy && s->next != NULL)
		round_begin(s);
}

static void
round_begin(struct syncer *s)
{
	s->busy = true;
	s->running = s->next;
	s->next = NULL;
	s->next_last = &s->next;
	s->may_syncfs = s->large == 0;
	s->job = (struct work_job){.run = run, .done = done};
	work_submit(s->work, &s->job);
}

void
syncer_add(struct syncer *s, struct sync_job *j)
{
	j->next = NULL;
	*s->next_last = j;
	s->next_last = &j->next;
	if (!s->busy)
		round_begin(s);
}

void
syncer_large(struct syncer *s, int open_or_close)
{
	s->large += open_or_close;
}

struct syncer *
syncer_new(struct tree *tree, struct work *work)
{
	struct syncer *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->tree = tree;
	s->work = work;
	s->next_last = &s->next;
	return s;
}

void
syncer_free(struct syncer *s)
{
	free(s);
}
