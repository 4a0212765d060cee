/* SPDX-License-Identifier: BSD-2-Clause */
/* conf/work.h without threads: a job runs at one moment of the simulation, and its end is told at a
 * later one. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "tests/simulator/proc.h"

#define DRAIN_MAX 100000

struct work *
work_new(struct loop *loop, unsigned threads)
{
	(void)loop;
	(void)threads;
	return NULL; /* a process has its own */
}

void
work_free(struct work *w)
{
	if (w != NULL)
		work_drain(w);
}

void
work_submit(struct work *w, struct work_job *job)
{
	struct proc *p = w->proc;

	if (w->n == w->cap) {
		w->cap = w->cap * 2 + 16;
		w->slot = realloc(w->slot, w->cap * sizeof(*w->slot));
		if (w->slot == NULL)
			abort();
	}
	w->slot[w->n++] =
		(struct work_slot){job, *p->now_ns + rng_delay(p->rng, p->slow_ns), false};
}

size_t
work_pending(const struct work *w)
{
	return w->n;
}

static void
finish(struct work *w, size_t i)
{
	struct work_job *job = w->slot[i].job;

	memmove(&w->slot[i], &w->slot[i + 1], (w->n - i - 1) * sizeof(*w->slot));
	w->n--;
	w->proc->stirred = true;
	if (job->done != NULL)
		job->done(job);
}

static void
run(struct work *w, size_t i)
{
	struct proc *p = w->proc;
	struct work_slot *s = &w->slot[i];
	struct work_job *job = s->job;

	p->log.blocked = false;
	job->run(job);
	s = &w->slot[i]; /* a run submits nothing, but the array may have moved by a done elsewhere
			  */
	if (p->log.blocked && !p->dead) {
		p->log.blocked = false;
		s->at_ns = *p->now_ns + 1 + rng_delay(p->rng, 2000000);
		return;
	}
	s->ran = true;
	s->at_ns = *p->now_ns + rng_delay(p->rng, p->slow_ns);
}

/* Only so many jobs run at once: those behind wait. */
bool
work_step(struct work *w)
{
	size_t ready[16], n = 0;

	if (w->n == 0)
		return false;

	for (size_t i = 0; i < w->n && i < w->threads && n < 16; i++)
		if (w->slot[i].at_ns <= *w->proc->now_ns)
			ready[n++] = i;
	if (n == 0)
		return false;
	n = ready[rng_below(w->proc->rng, n)];
	if (w->slot[n].ran)
		finish(w, n);
	else
		run(w, n);
	return true;
}

uint64_t
work_next_ns(const struct work *w)
{
	uint64_t at = UINT64_MAX;

	for (size_t i = 0; i < w->n && i < w->threads; i++)
		if (w->slot[i].at_ns < at)
			at = w->slot[i].at_ns;
	return at;
}

void
work_drain(struct work *w)
{
	for (unsigned turn = 0; w->n > 0 && turn < DRAIN_MAX; turn++) {
		if (!w->slot[0].ran)
			w->slot[0].job->run(w->slot[0].job);
		finish(w, 0);
	}
	if (w->n > 0)
		abort();
	free(w->slot);
	w->slot = NULL;
	w->cap = 0;
}
