/* SPDX-License-Identifier: BSD-2-Clause */
/* Blocking work (hash, copy, sync) in a few threads. The one file that knows threads. */
#ifndef MIMEO_CONF_WORK_H
#define MIMEO_CONF_WORK_H

#include <stddef.h>

struct loop;
struct work;

#define WORK_THREADS_MAX 64

/*
 * Embedded first in the caller's own struct, which holds input and result. From work_submit until
 * done is called the whole of it belongs to the job. `run` happens in some thread and touches
 * nothing but its job and what nobody else changes meanwhile (no log, no loop). `done` (may be
 * NULL) happens in the loop's thread, in the order in which jobs finish; it may free the job,
 * submit it again, or submit others.
 */
struct work_job {
	void (*run)(struct work_job *job);
	void (*done)(struct work_job *job);
	struct work_job *next; /* private */
};

/*
 * Starts 1..WORK_THREADS_MAX threads, which take no signals. Borrows the loop. NULL: out of
 * memory, threads or descriptors.
 */
struct work *work_new(struct loop *loop, unsigned threads);
/*
 * Waits for every job, runs their done, and for what those submit, ends the threads. Not from a
 * done. NULL is fine.
 */
void work_free(struct work *w);
/*
 * Starts in the order of submission. From the loop's thread only. The number of jobs is the
 * caller's to bound.
 */
void work_submit(struct work *w, struct work_job *job);
/* Jobs whose done has not been called yet. */
size_t work_pending(const struct work *w);

#endif
