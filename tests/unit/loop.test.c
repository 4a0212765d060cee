/* SPDX-License-Identifier: BSD-2-Clause */
/* Attacks conf/loop: deletion inside callbacks, many timers, order, starvation, signals. */
#include "config.h"

#include "conf/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "conf/clock.h"
#include "tests/tap.h"

static struct loop *
new_loop(void)
{
	struct loop *l = loop_new();

	if (!l)
		abort();
	return l;
}

/* Descriptors. */

struct side {
	struct loop *l;
	int fd;
	struct side *other;
	int calls;
	bool reopen;
};

/* Takes out itself and the other one, whose event this turn has fetched too. */
static void
on_either(void *arg, uint32_t events)
{
	struct side *s = arg;

	(void)events;
	s->calls++;
	loop_fd_del(s->l, s->other->fd);
	loop_fd_del(s->l, s->fd);
	if (s->reopen) {
		/* The number gets a new life, with an event of its own a turn later. */
		int flags = loop_fd_add(s->l, s->other->fd, EPOLLIN, on_either, s->other);

		is_int(flags, 0, "added again in a callback");
		s->other->reopen = false;
	}
	loop_stop(s->l, s->calls + s->other->calls);
}

static void
test_delete_both(void)
{
	struct loop *l = new_loop();
	struct side a = {.l = l, .fd = eventfd(1, EFD_CLOEXEC)};
	struct side b = {.l = l, .fd = eventfd(1, EFD_CLOEXEC)};

	a.other = &b;
	b.other = &a;
	is_int(loop_fd_add(l, a.fd, EPOLLIN, on_either, &a), 0, "add a");
	is_int(loop_fd_add(l, b.fd, EPOLLIN, on_either, &b), 0, "add b");
	is_int(loop_fd_add(l, b.fd, EPOLLIN, on_either, &b), -EEXIST, "b is there already");
	is_int(loop_run(l), 1, "of two ready ones, the first deletes the second");
	is_int(a.calls + b.calls, 1, "whose fetched event is dropped");
	a.calls = b.calls = 0;
	a.reopen = b.reopen = true;
	is_int(loop_fd_add(l, a.fd, EPOLLIN, on_either, &a), 0, "add a again");
	is_int(loop_fd_add(l, b.fd, EPOLLIN, on_either, &b), 0, "add b again");
	is_int(loop_run(l), 1, "the event of an earlier life is not that of the new one");
	is_int(loop_run(l), 2, "which has its own");
	loop_free(l);
	close(a.fd);
	close(b.fd);
}

static void
count_up(void *arg, uint32_t events)
{
	(void)events;
	++*(int *)arg;
}

static void
stop_at_0(void *arg)
{
	loop_stop(arg, 0);
}

static void
test_fd_calls(void)
{
	struct loop *l = new_loop();
	struct loop_timer t;
	int p[2], got = 0, file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	loop_timer_init(&t, stop_at_0, l);
	if (pipe2(p, O_CLOEXEC | O_NONBLOCK) < 0)
		abort();
	is_int(loop_fd_add(l, -1, EPOLLIN, count_up, &got), -EBADF, "no descriptor");
	is_int(loop_fd_add(l, 9999, EPOLLIN, count_up, &got), -EBADF, "a closed descriptor");
	is_int(loop_fd_add(l, file, EPOLLIN, count_up, &got), -EPERM, "a regular file");
	is_int(loop_fd_mod(l, p[1], EPOLLOUT), -ENOENT, "not in the loop");
	loop_fd_del(l, p[1]);
	loop_fd_del(l, -1);
	loop_fd_del(l, 100000);
	is_int(loop_fd_add(l, p[1], 0, count_up, &got), 0, "asking for nothing");
	loop_timer_set(l, &t, 0);
	loop_run(l);
	is_int(got, 0, "gives nothing");
	is_int(loop_fd_mod(l, p[1], EPOLLOUT), 0, "asking for room");
	loop_timer_set(l, &t, 0);
	loop_run(l);
	ok(got > 0, "gives it");
	close(p[0]);
	close(p[1]);
	close(file);
	loop_fd_del(l, p[1]); /* late, but harmless */
	loop_free(l);
	loop_free(NULL);
}

#define MANY_FDS 600 /* more than LOOP_BATCH_EVENTS_MAX */

struct many {
	struct loop *l;
	int fd;
	int *left;
};

static void
on_many(void *arg, uint32_t events)
{
	struct many *m = arg;

	(void)events;
	loop_fd_del(m->l, m->fd);
	if (--*m->left == 0)
		loop_stop(m->l, 5);
}

static void
test_many_fds(void)
{
	struct loop *l = new_loop();
	struct many m[MANY_FDS];
	int left = 0;

	for (int i = 0; i < MANY_FDS; i++) {
		m[i] = (struct many){l, eventfd(1, EFD_CLOEXEC), &left};
		if (m[i].fd < 0 || loop_fd_add(l, m[i].fd, EPOLLIN, on_many, &m[i]))
			break;
		left++;
	}
	is_int(left, MANY_FDS, "many descriptors");
	is_int(loop_run(l), 5, "all are served, over several turns");
	for (int i = 0; i < MANY_FDS; i++)
		if (m[i].fd >= 0)
			close(m[i].fd);
	loop_free(l);
}

/* Timers. */

#define TIMERS 5000

struct alarm {
	struct loop_timer t;
	uint64_t at;
	struct book *book;
	bool fired;
};

struct book {
	struct loop *l;
	struct alarm alarms[TIMERS];
	uint64_t last;
	unsigned fired;
	unsigned disorder;
	unsigned early;
	unsigned wanted;
	uint32_t seed;
};

static uint32_t
next_random(struct book *b)
{
	b->seed = b->seed * 1664525 + 1013904223;
	return b->seed >> 8;
}

static void
on_alarm(void *arg)
{
	struct alarm *a = arg;
	struct book *b = a->book;

	b->early += a->at > clock_mono_ms();
	b->disorder += a->at < b->last || a->fired;
	b->last = a->at;
	a->fired = true;
	if (++b->fired == b->wanted)
		loop_stop(b->l, 1);
}

static void
test_many_timers(void)
{
	struct book *b = calloc(1, sizeof(*b));
	uint64_t now;
	unsigned cleared = 0, wrong = 0;

	b->l = new_loop();
	b->seed = 99;
	now = loop_now_ms(b->l) + 5;
	for (unsigned i = 0; i < TIMERS; i++) {
		struct alarm *a = &b->alarms[i];

		a->book = b;
		loop_timer_init(&a->t, on_alarm, a);
		a->at = now + next_random(b) % 40;
		loop_timer_set(b->l, &a->t, a->at);
	}
	/* Move some and clear some, in no order, from everywhere in the heap. */
	for (unsigned i = 0; i < 2 * TIMERS; i++) {
		struct alarm *a = &b->alarms[next_random(b) % TIMERS];

		if (next_random(b) % 4 == 0) {
			loop_timer_clear(b->l, &a->t);
		} else {
			a->at = now + next_random(b) % 40;
			loop_timer_set(b->l, &a->t, a->at);
		}
	}
	for (unsigned i = 0; i < TIMERS; i++)
		cleared += !loop_timer_is_set(&b->alarms[i].t);
	b->wanted = TIMERS - cleared;
	ok(cleared > 0 && b->wanted > TIMERS / 2, "%u timers, %u cleared", TIMERS, cleared);
	is_int(loop_run(b->l), 1, "all that are set fire");
	is_int(b->disorder, 0, "in the order of their times, once each");
	is_int(b->early, 0, "none too early");
	for (unsigned i = 0; i < TIMERS; i++)
		wrong += loop_timer_is_set(&b->alarms[i].t);
	is_int(wrong, 0, "none is set any more");
	is_int(b->fired, b->wanted, "and none that was cleared");
	loop_free(b->l);
	free(b);
}

struct chain {
	struct loop *l;
	struct loop_timer t;
	struct loop_timer other;
	int runs;
	int others;
	int turns;
};

static void
again_in_the_past(void *arg)
{
	struct chain *c = arg;

	c->runs++;
	loop_timer_set(c->l, &c->t, 0);
}

static void
count_other(void *arg)
{
	struct chain *c = arg;

	c->others++;
}

static void
count_turn(void *arg)
{
	struct chain *c = arg;

	if (++c->turns == 10)
		loop_stop(c->l, 0);
}

static void
test_timer_starvation(void)
{
	struct chain c = {.l = new_loop()};

	loop_timer_init(&c.t, again_in_the_past, &c);
	loop_timer_init(&c.other, count_other, &c);
	loop_before_sleep(c.l, count_turn, &c);
	loop_timer_set(c.l, &c.t, 0);
	loop_timer_set(c.l, &c.other, loop_now_ms(c.l));
	loop_run(c.l);
	is_int(c.runs, 9, "a timer that always asks for the past runs once a turn");
	is_int(c.others, 1, "and keeps no other one waiting");
	loop_free(c.l);
}

struct victim {
	struct loop_timer t;
	struct loop *l;
	struct victim *prey; /* cleared and freed by this one */
};

static void
on_hunt(void *arg)
{
	struct victim *v = arg;

	loop_timer_clear(v->l, &v->prey->t);
	free(v->prey);
	loop_stop(v->l, 3);
	free(v); /* its own memory, too */
}

static void
test_timer_free(void)
{
	struct loop *l = new_loop();
	struct victim *a = calloc(1, sizeof(*a)), *b = calloc(1, sizeof(*b));

	a->l = b->l = l;
	a->prey = b;
	b->prey = a;
	loop_timer_init(&a->t, on_hunt, a);
	loop_timer_init(&b->t, on_hunt, b);
	loop_timer_set(l, &a->t, 0);
	loop_timer_set(l, &b->t, 0);
	is_int(loop_run(l), 3, "a callback frees a timer that is due, and itself");
	loop_free(l);
}

static char trace[16];
static size_t trace_len;

static void
on_letter(void *arg)
{
	const char *letter = arg;

	trace[trace_len++] = *letter;
}

static void
test_timer_order(void)
{
	static char letters[] = "abcdefgh";
	struct loop *l = new_loop();
	struct loop_timer t[8], end;

	for (int i = 0; i < 8; i++) {
		loop_timer_init(&t[i], on_letter, &letters[i]);
		loop_timer_set(l, &t[i], loop_now_ms(l) + 1);
	}
	loop_timer_set(l, &t[0], loop_now_ms(l) + 1); /* set again: goes to the end */
	loop_timer_set(l, &t[5], UINT64_MAX);
	loop_timer_init(&end, stop_at_0, l);
	loop_timer_set(l, &end, loop_now_ms(l) + 1);
	loop_run(l);
	is_str(trace, "bcdegha", "equal times fire in the order of setting; never is never");
	loop_free(l);
}

/* Signals, hooks, stopping. */

struct sig_seen {
	struct loop *l;
	int usr1;
	int usr2;
};

static void
on_usr(void *arg, int signo)
{
	struct sig_seen *s = arg;

	if (signo == SIGUSR1)
		s->usr1++;
	else
		s->usr2++;
	if (s->usr1 && s->usr2)
		loop_stop(s->l, signo);
}

static void
test_signals(void)
{
	struct sig_seen s = {.l = new_loop()};

	is_int(loop_signal(s.l, 0, on_usr, &s), -EINVAL, "no signal 0");
	is_int(loop_signal(s.l, 65, on_usr, &s), -EINVAL, "no signal 65");
	is_int(loop_signal(s.l, SIGUSR1, on_usr, &s), 0, "USR1");
	is_int(loop_signal(s.l, SIGUSR2, on_usr, &s), 0, "USR2");
	raise(SIGUSR1);
	raise(SIGUSR1);
	raise(SIGUSR2);
	loop_run(s.l);
	is_int(s.usr1, 1, "the same signal twice is told once");
	is_int(s.usr2, 1, "another one too");
	loop_free(s.l);
}

struct hooks {
	struct loop *l;
	struct loop_timer t;
	int before;
	int second;
	int at_fire;
};

static void
hook_one(void *arg)
{
	struct hooks *h = arg;

	if (h->before++ == 0)
		loop_timer_set(h->l, &h->t, 0); /* what a hook sets counts for this sleep */
}

static void
hook_two(void *arg)
{
	struct hooks *h = arg;

	h->second += h->second == h->before - 1;
}

static void
on_hook_timer(void *arg)
{
	struct hooks *h = arg;

	h->at_fire = h->before;
	loop_stop(h->l, 8);
	loop_stop(h->l, 9);
}

static void
test_hooks(void)
{
	struct hooks h = {.l = new_loop()};

	loop_timer_init(&h.t, on_hook_timer, &h);
	loop_before_sleep(h.l, hook_one, &h);
	loop_before_sleep(h.l, hook_two, &h);
	is_int(loop_run(h.l), 9, "the last code counts");
	is_int(h.at_fire, 1, "a hook ran before the first sleep");
	is_int(h.before, 2, "and after the turn that stopped");
	is_int(h.second, 2, "the second hook after the first, each time");
	loop_stop(h.l, 4);
	is_int(loop_run(h.l), 4, "stopped before it runs");
	loop_free(h.l);
}

int
main(void)
{
	test_delete_both();
	test_fd_calls();
	test_many_fds();
	test_many_timers();
	test_timer_starvation();
	test_timer_free();
	test_timer_order();
	test_signals();
	test_hooks();
	return tap_done();
}
