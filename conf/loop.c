/* SPDX-License-Identifier: BSD-2-Clause */
/* The event loop: epoll, a signalfd, and timers in a pairing heap. */
#include "config.h"

#include "conf/loop.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "conf/clock.h"

#define SIGNALS_MAX 64 /* Linux numbers them 1..64 */
#define FDS_FIRST 64

struct watched {
	void (*cb)(void *arg, uint32_t events); /* NULL: not in the loop */
	void *arg;
	uint32_t life; /* counts additions, so that an event of an earlier one is known as such */
};

struct on_signal {
	void (*cb)(void *arg, int signo);
	void *arg;
};

struct hook {
	void (*cb)(void *arg);
	void *arg;
};

struct loop {
	int epoll_fd;
	int signal_fd;
	sigset_t mask;
	struct on_signal signals[SIGNALS_MAX + 1];
	struct watched *fds; /* by number */
	size_t fds_len;
	struct loop_timer *root; /* the timer that fires first */
	uint64_t order;
	struct hook hooks[LOOP_BEFORE_SLEEP_MAX];
	unsigned hooks_len;
	uint64_t now_ms;
	bool stopped;
	int code;
};

struct loop *
loop_new(void)
{
	struct loop *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->signal_fd = -1;
	sigemptyset(&l->mask);
	l->now_ms = clock_mono_ms();
	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (l->epoll_fd < 0) {
		free(l);
		return NULL;
	}
	return l;
}

void
loop_free(struct loop *l)
{
	if (!l)
		return;
	if (l->signal_fd >= 0)
		close(l->signal_fd);
	close(l->epoll_fd);
	free(l->fds);
	free(l);
}

void
loop_stop(struct loop *l, int code)
{
	l->stopped = true;
	l->code = code;
}

uint64_t
loop_now_ms(const struct loop *l)
{
	return l->now_ms;
}

/* Descriptors. An event carries the number and the life of its addition. */

static struct watched *
find(struct loop *l, int fd)
{
	if (fd < 0 || (size_t)fd >= l->fds_len || !l->fds[fd].cb)
		return NULL;
	return &l->fds[fd];
}

static int
control(struct loop *l, int op, int fd, uint32_t events, uint32_t life)
{
	struct epoll_event ev = {.events = events};

	ev.data.u64 = (uint64_t)life << 32 | (uint32_t)fd;
	return epoll_ctl(l->epoll_fd, op, fd, &ev) < 0 ? -errno : 0;
}

/* Room in the table for that number. */
static int
reserve(struct loop *l, int fd)
{
	size_t len = l->fds_len ? l->fds_len : FDS_FIRST;
	struct watched *fds;

	if ((size_t)fd < l->fds_len)
		return 0;
	while (len <= (size_t)fd)
		len *= 2;
	fds = realloc(l->fds, len * sizeof(*fds));
	if (!fds)
		return -ENOMEM;
	for (size_t i = l->fds_len; i < len; i++)
		fds[i] = (struct watched){0};
	l->fds = fds;
	l->fds_len = len;
	return 0;
}

int
loop_fd_add(struct loop *l, int fd, uint32_t events, void (*cb)(void *arg, uint32_t events),
	    void *arg)
{
	uint32_t life;
	int rc;

	assert(cb);
	if (fd < 0)
		return -EBADF;
	if (find(l, fd))
		return -EEXIST;
	rc = reserve(l, fd);
	if (rc)
		return rc;
	life = l->fds[fd].life + 1;
	rc = control(l, EPOLL_CTL_ADD, fd, events, life);
	if (rc)
		return rc;
	l->fds[fd] = (struct watched){.cb = cb, .arg = arg, .life = life};
	return 0;
}

int
loop_fd_mod(struct loop *l, int fd, uint32_t events)
{
	struct watched *w = find(l, fd);

	return w ? control(l, EPOLL_CTL_MOD, fd, events, w->life) : -ENOENT;
}

void
loop_fd_del(struct loop *l, int fd)
{
	struct watched *w = find(l, fd);

	if (!w)
		return;
	w->cb = NULL;
	w->arg = NULL;
	(void)control(l, EPOLL_CTL_DEL, fd, 0, 0);
}

static void
run_events(struct loop *l, const struct epoll_event *events, int count)
{
	for (int i = 0; i < count; i++) {
		uint32_t life = (uint32_t)(events[i].data.u64 >> 32);
		struct watched *w = find(l, (int)(uint32_t)events[i].data.u64);

		if (w && w->life == life)
			w->cb(w->arg, events[i].events);
	}
}

/*
 * Timers: a pairing heap whose nodes are the timers themselves. A node has its first child, and
 * siblings in a list; `prev` of a first child is its parent.
 */

static bool
earlier(const struct loop_timer *a, const struct loop_timer *b)
{
	return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

/* Joins two roots. */
static struct loop_timer *
meld(struct loop_timer *a, struct loop_timer *b)
{
	if (!a || !b)
		return a ? a : b;
	if (earlier(b, a)) {
		struct loop_timer *t = a;

		a = b;
		b = t;
	}
	b->prev = a;
	b->next = a->child;
	if (b->next)
		b->next->prev = b;
	a->child = b;
	a->next = NULL;
	a->prev = NULL;
	return a;
}

/* Joins a list of siblings into one heap: in pairs from the left, then the pairs from the right. */
static struct loop_timer *
meld_list(struct loop_timer *first)
{
	struct loop_timer *pairs = NULL, *root = NULL;

	while (first) {
		struct loop_timer *a = first, *b = first->next, *pair;

		first = b ? b->next : NULL;
		a->next = a->prev = NULL;
		if (b)
			b->next = b->prev = NULL;
		pair = meld(a, b);
		pair->next = pairs;
		pairs = pair;
	}
	while (pairs) {
		struct loop_timer *rest = pairs->next;

		pairs->next = NULL;
		root = meld(root, pairs);
		pairs = rest;
	}
	return root;
}

static void
take_out(struct loop *l, struct loop_timer *t)
{
	struct loop_timer *below = meld_list(t->child);

	if (t == l->root) {
		l->root = below;
	} else {
		if (t->prev->child == t)
			t->prev->child = t->next;
		else
			t->prev->next = t->next;
		if (t->next)
			t->next->prev = t->prev;
		l->root = meld(l->root, below);
	}
	t->child = t->next = t->prev = NULL;
	t->set = false;
}

void
loop_timer_init(struct loop_timer *t, void (*cb)(void *arg), void *arg)
{
	*t = (struct loop_timer){.cb = cb, .arg = arg};
}

void
loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t at_ms)
{
	if (t->set)
		take_out(l, t);
	/* Not before others that are due now, or one that always asks for the past starves them. */
	t->at_ms = at_ms > l->now_ms ? at_ms : l->now_ms;
	t->order = ++l->order;
	t->set = true;
	l->root = meld(l->root, t);
}

void
loop_timer_clear(struct loop *l, struct loop_timer *t)
{
	if (t->set)
		take_out(l, t);
}

bool
loop_timer_is_set(const struct loop_timer *t)
{
	return t->set;
}

static void
run_timers(struct loop *l)
{
	uint64_t last = l->order; /* what callbacks set from here on waits for the next turn */

	while (l->root && l->root->at_ms <= l->now_ms && l->root->order <= last) {
		struct loop_timer *t = l->root;

		take_out(l, t);
		t->cb(t->arg);
	}
}

/* Milliseconds that epoll_wait may sleep. */
static int
patience(const struct loop *l)
{
	uint64_t now = clock_mono_ms();

	if (!l->root)
		return -1;
	if (l->root->at_ms <= now)
		return 0;
	return l->root->at_ms - now < INT_MAX ? (int)(l->root->at_ms - now) : INT_MAX;
}

/* Signals. */

static void
read_signals(void *arg, uint32_t events)
{
	struct loop *l = arg;
	struct signalfd_siginfo info;

	(void)events;
	while (read(l->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		struct on_signal *s;

		if (info.ssi_signo > SIGNALS_MAX)
			continue;
		s = &l->signals[info.ssi_signo];
		if (s->cb)
			s->cb(s->arg, (int)info.ssi_signo);
	}
}

int
loop_signal(struct loop *l, int signo, void (*cb)(void *arg, int signo), void *arg)
{
	sigset_t mask = l->mask;
	bool first = l->signal_fd < 0;
	int fd, rc;

	if (signo < 1 || signo > SIGNALS_MAX || sigaddset(&mask, signo) < 0)
		return -EINVAL;
	fd = signalfd(l->signal_fd, &mask, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	l->signal_fd = fd;
	rc = first ? loop_fd_add(l, fd, EPOLLIN, read_signals, l) : 0;
	if (rc) {
		close(fd);
		l->signal_fd = -1;
		return rc;
	}
	l->mask = mask;
	l->signals[signo] = (struct on_signal){.cb = cb, .arg = arg};
	return -pthread_sigmask(SIG_BLOCK, &mask, NULL);
}

void
loop_before_sleep(struct loop *l, void (*cb)(void *arg), void *arg)
{
	assert(l->hooks_len < LOOP_BEFORE_SLEEP_MAX);
	l->hooks[l->hooks_len++] = (struct hook){.cb = cb, .arg = arg};
}

static void
run_hooks(struct loop *l)
{
	for (unsigned i = 0; i < l->hooks_len; i++)
		l->hooks[i].cb(l->hooks[i].arg);
}

int
loop_run(struct loop *l)
{
	struct epoll_event events[LOOP_BATCH_EVENTS_MAX];

	l->now_ms = clock_mono_ms();
	for (;;) {
		int count;

		run_hooks(l);
		if (l->stopped)
			break;
		count = epoll_wait(l->epoll_fd, events, LOOP_BATCH_EVENTS_MAX, patience(l));
		assert(count >= 0 || errno == EINTR);
		l->now_ms = clock_mono_ms();
		run_events(l, events, count);
		run_timers(l);
	}
	l->stopped = false;
	return l->code;
}
