/* SPDX-License-Identifier: BSD-2-Clause */
/* A few threads, two queues between them and the loop, and an eventfd to wake it. */
#include "config.h"

#include "conf/work.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "conf/loop.h"

struct queue {
	struct work_job *first;
	struct work_job **end; /* where the next one is hung */
};

struct work {
	struct loop *loop;
	int wake_fd;
	size_t pending; /* the loop thread's; all below is under the mutex */
	pthread_mutex_t mutex;
	pthread_cond_t submitted;
	pthread_cond_t finished;
	struct queue todo;
	struct queue ready;
	bool ending;
	unsigned threads_len;
	pthread_t threads[WORK_THREADS_MAX];
};

static void
queue_init(struct queue *q)
{
	q->first = NULL;
	q->end = &q->first;
}

static void
queue_put(struct queue *q, struct work_job *job)
{
	job->next = NULL;
	*q->end = job;
	q->end = &job->next;
}

static struct work_job *
queue_take(struct queue *q)
{
	struct work_job *job = q->first;

	q->first = job->next;
	if (!q->first)
		q->end = &q->first;
	return job;
}

/* A counter that is not zero wakes the loop; at its maximum it does so already. */
static void
wake(const struct work *w)
{
	uint64_t one = 1;

	while (write(w->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

static void *
thread_main(void *arg)
{
	struct work *w = arg;

	pthread_mutex_lock(&w->mutex);
	for (;;) {
		struct work_job *job;
		bool was_empty;

		while (!w->todo.first && !w->ending)
			pthread_cond_wait(&w->submitted, &w->mutex);
		if (!w->todo.first)
			break;
		job = queue_take(&w->todo);
		pthread_mutex_unlock(&w->mutex);
		job->run(job);
		pthread_mutex_lock(&w->mutex);
		was_empty = !w->ready.first;
		queue_put(&w->ready, job);
		if (was_empty) {
			wake(w);
			pthread_cond_signal(&w->finished);
		}
	}
	pthread_mutex_unlock(&w->mutex);
	return NULL;
}

/* Calls done for everything that is ready now; with `wait`, for at least one job. */
static void
finish(struct work *w, bool wait)
{
	struct work_job *job, *next;

	pthread_mutex_lock(&w->mutex);
	while (wait && !w->ready.first)
		pthread_cond_wait(&w->finished, &w->mutex);
	job = w->ready.first;
	queue_init(&w->ready);
	pthread_mutex_unlock(&w->mutex);
	for (; job; job = next) {
		next = job->next; /* done may free or submit it */
		w->pending--;
		if (job->done)
			job->done(job);
	}
}

static void
on_wake(void *arg, uint32_t events)
{
	struct work *w = arg;
	uint64_t count;

	(void)events;
	/* Emptied before looking: what becomes ready after the look writes again. */
	while (read(w->wake_fd, &count, sizeof(count)) < 0 && errno == EINTR)
		;
	finish(w, false);
}

/* The threads take no signals: those are the loop's. */
static bool
start_threads(struct work *w, unsigned threads)
{
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (w->threads_len < threads &&
	       pthread_create(&w->threads[w->threads_len], NULL, thread_main, w) == 0)
		w->threads_len++;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return w->threads_len == threads;
}

struct work *
work_new(struct loop *loop, unsigned threads)
{
	struct work *w = calloc(1, sizeof(*w));

	assert(threads >= 1 && threads <= WORK_THREADS_MAX);
	if (!w)
		return NULL;
	w->loop = loop;
	queue_init(&w->todo);
	queue_init(&w->ready);
	pthread_mutex_init(&w->mutex, NULL);
	pthread_cond_init(&w->submitted, NULL);
	pthread_cond_init(&w->finished, NULL);
	w->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->wake_fd < 0 || loop_fd_add(loop, w->wake_fd, EPOLLIN, on_wake, w) ||
	    !start_threads(w, threads)) {
		work_free(w);
		return NULL;
	}
	return w;
}

void
work_free(struct work *w)
{
	if (!w)
		return;
	while (w->pending > 0)
		finish(w, true);
	pthread_mutex_lock(&w->mutex);
	w->ending = true;
	pthread_cond_broadcast(&w->submitted);
	pthread_mutex_unlock(&w->mutex);
	for (unsigned i = 0; i < w->threads_len; i++)
		pthread_join(w->threads[i], NULL);
	if (w->wake_fd >= 0) {
		loop_fd_del(w->loop, w->wake_fd);
		close(w->wake_fd);
	}
	pthread_cond_destroy(&w->finished);
	pthread_cond_destroy(&w->submitted);
	pthread_mutex_destroy(&w->mutex);
	free(w);
}

void
work_submit(struct work *w, struct work_job *job)
{
	w->pending++;
	pthread_mutex_lock(&w->mutex);
	queue_put(&w->todo, job);
	pthread_cond_signal(&w->submitted);
	pthread_mutex_unlock(&w->mutex);
}

size_t
work_pending(const struct work *w)
{
	return w->pending;
}
