/* SPDX-License-Identifier: BSD-2-Clause */
/* The event loop of a process: descriptors, timers, signals, and what to do before it sleeps. */
#ifndef MIMEO_CONF_LOOP_H
#define MIMEO_CONF_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "proto/attr.h"

#define LOOP_BATCH_EVENTS_MAX 256 /* events handled in one turn; the others come in the next */
#define LOOP_BEFORE_SLEEP_MAX 4   /* hooks; one more is our own mistake */

/*
 * One turn: wait; note the time; callbacks of descriptors and signals; callbacks of timers that
 * are due; hooks. Everything runs in the thread that calls loop_run, and nothing here may be
 * called from another thread.
 */
struct loop;

/* NULL: out of memory or descriptors. */
struct loop *loop_new(void);
/*
 * Closes what the loop opened, not the descriptors it was given. Signals stay blocked. NULL is
 * fine.
 */
void loop_free(struct loop *l);

/*
 * Turns until loop_stop, and returns the code that was given to it. Can be called again
 * afterwards.
 */
int loop_run(struct loop *l);
/*
 * Ends loop_run before it would sleep again; callbacks of this turn still run. Also before
 * loop_run. The last code counts.
 */
void loop_stop(struct loop *l, int code);

/* Milliseconds of the monotonic clock, as noted when this turn began. */
uint64_t loop_now_ms(const struct loop *l);

/*
 * Calls cb with what epoll(7) says about fd (events: EPOLLIN, EPOLLOUT, EPOLLET and so on; EPOLLERR
 * and EPOLLHUP come always). The fd stays the caller's. -EEXIST: it is in the loop already;
 * -EPERM: a regular file; -ENOMEM, -ENOSPC, -EBADF.
 */
NODISCARD int loop_fd_add(struct loop *l, int fd, uint32_t events,
			  void (*cb)(void *arg, uint32_t events), void *arg);
/* Other events for it; -ENOENT: not in the loop. */
NODISCARD int loop_fd_mod(struct loop *l, int fd, uint32_t events);
/*
 * Takes fd out, before its owner closes it. Its callback is not called any more, not even for an
 * event that this turn has already fetched, also if another file takes the number at once. Safe in
 * any callback, its own included. A no-op if it is not in the loop.
 */
void loop_fd_del(struct loop *l, int fd);

/*
 * A timer, embedded in what it belongs to; its fields are private. Setting one never needs
 * memory.
 */
struct loop_timer {
	void (*cb)(void *arg);
	void *arg;
	uint64_t at_ms;
	uint64_t order; /* of setting: equal times fire in that order */
	struct loop_timer *child;
	struct loop_timer *next;
	struct loop_timer *prev; /* the sibling before, or the parent of a first child */
	bool set;
};

void loop_timer_init(struct loop_timer *t, void (*cb)(void *arg), void *arg);
/*
 * Calls cb once, in the first turn at or after at_ms (loop_now_ms + delay; UINT64_MAX: never).
 * Moves a timer that is set. What a timer's callback sets waits for the next turn, even if its time
 * has gone by, so that descriptors get theirs. O(log n), amortised.
 */
void loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t at_ms);
/*
 * Not any more. A no-op for one that is not set. Safe in any callback; must come before its
 * memory goes.
 */
void loop_timer_clear(struct loop *l, struct loop_timer *t);
bool loop_timer_is_set(const struct loop_timer *t);

/*
 * Blocks the signal in this thread (so: before other threads start) and calls cb for it, once for
 * any number that came since. A second call for a signal replaces the callback. -EINVAL: no such
 * signal; -ENOMEM, -EMFILE.
 */
NODISCARD int loop_signal(struct loop *l, int signo, void (*cb)(void *arg, int signo), void *arg);

/*
 * Calls cb at the end of every turn and before the first; what it does may set timers or stop
 * the loop. In the order given.
 */
void loop_before_sleep(struct loop *l, void (*cb)(void *arg), void *arg);

#endif
