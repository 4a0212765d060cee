/* SPDX-License-Identifier: BSD-2-Clause */
/* Attacks conf/work: thousands of jobs, jobs that free, submit and repeat themselves, the end. */
#include "config.h"

#include "conf/work.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "conf/loop.h"
#include "tests/tap.h"

#define JOBS 5000

struct world {
	struct loop *l;
	struct work *w;
	pthread_t loop_thread;
	atomic_int ran;
	int done;
	int wanted;
	int wrong;
	int last; /* number of the job that was done last */
};

struct job {
	struct work_job job;
	struct world *world;
	int number;
	int input;
	int result;
	int repeats;
	bool alone; /* one thread: the order is that of submission */
};

static void
run_square(struct work_job *base)
{
	struct job *j = (struct job *)base;

	if (pthread_equal(pthread_self(), j->world->loop_thread))
		j->result = -1;
	else
		j->result = j->input * j->input;
	atomic_fetch_add(&j->world->ran, 1);
}

static void
done_square(struct work_job *base)
{
	struct job *j = (struct job *)base;
	struct world *w = j->world;

	w->wrong += j->result != j->input * j->input;
	w->wrong += !pthread_equal(pthread_self(), w->loop_thread);
	if (j->alone)
		w->wrong += j->number != w->last + 1;
	w->last = j->number;
	w->done++;
	w->wrong += work_pending(w->w) != (size_t)(w->wanted - w->done);
	free(j);
	if (w->done == w->wanted)
		loop_stop(w->l, 1);
}

static void
submit_square(struct world *w, int number, bool alone)
{
	struct job *j = calloc(1, sizeof(*j));

	j->job.run = run_square;
	j->job.done = done_square;
	j->world = w;
	j->number = number;
	j->input = number % 1000;
	j->alone = alone;
	work_submit(w->w, &j->job);
}

static void
test_many(unsigned threads)
{
	struct world w = {.l = loop_new(), .loop_thread = pthread_self(), .wanted = JOBS};

	w.w = work_new(w.l, threads);
	ok(w.w != NULL, "%u threads", threads);
	if (!w.w)
		return;
	is_int(work_pending(w.w), 0, "nothing pending");
	for (int i = 1; i <= JOBS; i++)
		submit_square(&w, i, threads == 1);
	is_int(work_pending(w.w), JOBS, "all pending");
	is_int(loop_run(w.l), 1, "%d jobs", JOBS);
	is_int(w.done, JOBS, "each is done");
	is_int(atomic_load(&w.ran), JOBS, "each ran once");
	is_int(w.wrong, 0, "in a thread and back in the loop's, with its result%s",
	       threads == 1 ? ", in order" : "");
	is_int(work_pending(w.w), 0, "nothing pending again");
	work_free(w.w);
	loop_free(w.l);
}

/* A job that submits itself again from its done. */
static void
done_again(struct work_job *base)
{
	struct job *j = (struct job *)base;

	j->world->done++;
	if (--j->repeats > 0)
		work_submit(j->world->w, &j->job);
	else if (j->world->done == j->world->wanted)
		loop_stop(j->world->l, 2);
}

static void
test_again(void)
{
	struct world w = {.l = loop_new(), .loop_thread = pthread_self(), .wanted = 4 * 500};
	struct job jobs[4];

	w.w = work_new(w.l, 2);
	for (int i = 0; i < 4; i++) {
		jobs[i] = (struct job){.world = &w, .repeats = 500, .input = i};
		jobs[i].job.run = run_square;
		jobs[i].job.done = done_again;
		work_submit(w.w, &jobs[i].job);
	}
	is_int(loop_run(w.l), 2, "jobs that submit themselves again");
	is_int(atomic_load(&w.ran), w.wanted, "ran each time");
	work_free(w.w);
	loop_free(w.l);
}

/*
 * The end: nothing of the loop runs any more, yet every done is called, also of what those
 * submit.
 */
static void
test_end(void)
{
	struct world w = {.l = loop_new(), .loop_thread = pthread_self(), .wanted = -1};
	struct job jobs[50], silent = {.world = &w};

	w.w = work_new(w.l, 3);
	for (int i = 0; i < 50; i++) {
		jobs[i] = (struct job){.world = &w, .repeats = 3};
		jobs[i].job.run = run_square;
		jobs[i].job.done = done_again;
		work_submit(w.w, &jobs[i].job);
	}
	silent.job.run = run_square;
	work_submit(w.w, &silent.job);
	work_free(w.w);
	is_int(w.done, 150, "work_free calls every done");
	is_int(atomic_load(&w.ran), 151, "after every run, also of a job without done");
	loop_stop(w.l, 6);
	is_int(loop_run(w.l), 6, "the loop goes on without it");
	w.w = work_new(w.l, 1);
	work_free(w.w);
	work_free(NULL);
	ok(true, "an idle one ends");
	loop_free(w.l);
}

/* A signal to the process must come to the loop, never to a thread. */
static void
run_mask(struct work_job *base)
{
	struct job *j = (struct job *)base;
	sigset_t mask;

	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	j->result = sigismember(&mask, SIGTERM) && sigismember(&mask, SIGCHLD) &&
		    sigismember(&mask, SIGUSR1);
}

static void
test_signals_blocked(void)
{
	struct world w = {.l = loop_new(), .loop_thread = pthread_self()};
	struct job j = {.world = &w};
	sigset_t mask;

	w.w = work_new(w.l, 1);
	j.job.run = run_mask;
	work_submit(w.w, &j.job);
	work_free(w.w);
	is_int(j.result, 1, "threads block all signals");
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	is_int(sigismember(&mask, SIGTERM), 0, "the caller does not");
	loop_free(w.l);
}

int
main(void)
{
	test_many(1);
	test_many(4);
	test_again();
	test_end();
	test_signals_blocked();
	return tap_done();
}
