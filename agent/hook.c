/* SPDX-License-Identifier: BSD-2-Clause */
/* Batches of paths and the one program that runs: idle, collecting, running, asked to end. */
#include "config.h"

#include "agent/hook.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conf/spawn.h"

#define ORIGIN_BYTES_MAX 64

struct batch {
	struct batch *next;
	bool removed;
	char origin[ORIGIN_BYTES_MAX];
	struct buf paths;
};

struct hook {
	struct node *n;
	struct loop *loop;
	struct batch *first, **last;
	size_t bytes;            /* of all that wait */
	struct loop_timer timer; /* idle: when the first batch goes; running: the time limit */
	pid_t pid;               /* 0: none runs */
	int pidfd;
	bool asked; /* it got SIGTERM */
	bool full;  /* said */
};

static void start(struct hook *h);

static void
failed(struct hook *h, const char *what, int error)
{
	struct node *n = h->n;
	const char *path = n->conf->hook_applied;

	n->counts.hook_failed++;
	LOG(n->log, LOG_WARN, "hook.failed", what, log_s("hook", path != NULL ? path : ""),
	    log_err(error));
	errors_add(n->errors, n->wall_ms, "", "hook", path, path != NULL ? strlen(path) : 0, what);
}

static void
drop_first(struct hook *h)
{
	struct batch *b = h->first;

	h->first = b->next;
	if (h->first == NULL)
		h->last = &h->first;
	h->bytes -= b->paths.len;
	buf_free(&b->paths);
	free(b);
}

/* ---- running ---- */

static void
ended(struct hook *h)
{
	char text[64];
	int status, r = spawn_reap(h->pid, &status);

	if (r == -EAGAIN)
		return;
	loop_fd_del(h->loop, h->pidfd);
	close(h->pidfd);
	h->pid = 0;
	h->n->counts.hook_runs++;
	if (r < 0)
		failed(h, "its end is not known", r);
	else if (h->asked)
		failed(h, "it was still running after its time limit and was ended", 0);
	else if (status != 0) {
		snprintf(text, sizeof(text), "it ended with %s %d",
			 WIFEXITED(status) ? "code" : "signal",
			 WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
		failed(h, text, 0);
	}
	loop_timer_clear(h->loop, &h->timer);
	if (h->first != NULL)
		start(h);
}

static void
on_end(void *arg, uint32_t events)
{
	(void)events;
	ended(arg);
}

/* A file in memory, so that a program that reads nothing blocks nobody. */
static int
input_of(const struct buf *paths)
{
	int fd = memfd_create("mimeo-hook", MFD_CLOEXEC), e;

	if (fd < 0)
		return -errno;
	for (size_t at = 0; at < paths->len;) {
		ssize_t n = write(fd, paths->data + at, paths->len - at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			e = n < 0 ? -errno : -EIO;
			close(fd);
			return e;
		}
		at += (size_t)n;
	}
	if (lseek(fd, 0, SEEK_SET) < 0) {
		e = -errno;
		close(fd);
		return e;
	}
	return fd;
}

static int
run(struct hook *h, const struct batch *b)
{
	const struct settings *c = h->n->conf;
	char *argv[] = {c->hook_applied, NULL};
	char op[32], origin[ORIGIN_BYTES_MAX + 16], node[ORIGIN_BYTES_MAX + 16], root[4200];
	char *more[] = {op, origin, node, root, NULL};
	int fd = input_of(&b->paths), r;

	if (fd < 0)
		return fd;
	snprintf(op, sizeof(op), "MIMEO_OP=%s", b->removed ? "removed" : "changed");
	snprintf(origin, sizeof(origin), "MIMEO_ORIGIN=%s", b->origin);
	snprintf(node, sizeof(node), "MIMEO_NODE=%s", c->name);
	snprintf(root, sizeof(root), "MIMEO_ROOT=%s", c->root);
	r = spawn_with_env(c->hook_applied, argv, more, fd, -1, &h->pid, &h->pidfd);
	close(fd);
	if (r < 0)
		h->pid = 0;
	return r;
}

/* The first batch goes; one that cannot be handed over is given up, like one whose program fails.
 */
static void
start(struct hook *h)
{
	int r;

	if (h->n->conf->hook_applied == NULL) { /* it was taken out of the configuration */
		while (h->first != NULL)
			drop_first(h);
		return;
	}
	r = run(h, h->first);
	drop_first(h);
	h->full = false;
	if (r < 0) {
		failed(h, "it cannot be started", r);
		if (h->first != NULL)
			loop_timer_set(h->loop, &h->timer, loop_now_ms(h->loop) + HOOK_BATCH_MS);
		return;
	}
	h->asked = false;
	loop_timer_set(h->loop, &h->timer, loop_now_ms(h->loop) + HOOK_TIME_MS);
	r = loop_fd_add(h->loop, h->pidfd, EPOLLIN, on_end, h);
	if (r < 0)
		failed(h, "its end cannot be waited for: looked at when its time is over", r);
}

static void
on_timer(void *arg)
{
	struct hook *h = arg;

	if (h->pid == 0) {
		start(h);
		return;
	}
	(void)spawn_kill(h->pidfd, h->asked ? SIGKILL : SIGTERM);
	h->asked = true;
	loop_timer_set(h->loop, &h->timer, loop_now_ms(h->loop) + HOOK_KILL_MS);
	ended(h);
}

/* ---- collecting ---- */

static struct batch *
batch_for(struct hook *h, bool removed, const char *origin)
{
	struct batch *b;

	for (b = h->first; b != NULL; b = b->next)
		if (b->removed == removed && strcmp(b->origin, origin) == 0 &&
		    b->paths.len < HOOK_BATCH_BYTES_MAX)
			return b;
	b = calloc(1, sizeof(*b));
	if (b == NULL)
		return NULL;
	b->removed = removed;
	snprintf(b->origin, sizeof(b->origin), "%s", origin);
	*h->last = b;
	h->last = &b->next;
	return b;
}

static void
dropped(struct hook *h)
{
	h->n->counts.hook_dropped++;
	if (!h->full)
		LOG(h->n->log, LOG_WARN, "hook.full",
		    "it is too slow: paths are dropped until it has taken what waits",
		    log_s("hook", h->n->conf->hook_applied), log_u("bytes", h->bytes));
	h->full = true;
}

void
hook_applied(struct hook *h, const struct record *r, const char *origin)
{
	struct batch *b;
	size_t was;

	if (h->n->conf->hook_applied == NULL)
		return;
	if (h->bytes + r->path_len + 1 > HOOK_QUEUE_BYTES_MAX ||
	    (b = batch_for(h, !record_live(r), origin)) == NULL) {
		dropped(h);
		return;
	}
	was = b->paths.len;
	buf_put(&b->paths, r->path, r->path_len);
	buf_put_u8(&b->paths, 0);
	if (b->paths.failed) {
		b->paths.failed = false;
		b->paths.len = was;
		dropped(h);
		return;
	}
	h->bytes += b->paths.len - was;
	if (h->pid == 0 && !loop_timer_is_set(&h->timer))
		loop_timer_set(h->loop, &h->timer, loop_now_ms(h->loop) + HOOK_BATCH_MS);
}

/* ---- life ---- */

struct hook *
hook_new(struct node *n, struct loop *l)
{
	struct hook *h = calloc(1, sizeof(*h));

	if (h == NULL)
		return NULL;
	h->n = n;
	h->loop = l;
	h->last = &h->first;
	loop_timer_init(&h->timer, on_timer, h);
	return h;
}

void
hook_free(struct hook *h)
{
	if (h == NULL)
		return;
	loop_timer_clear(h->loop, &h->timer);
	if (h->pid != 0) {
		loop_fd_del(h->loop, h->pidfd);
		(void)spawn_kill(h->pidfd, SIGTERM);
		close(h->pidfd);
	}
	while (h->first != NULL)
		drop_first(h);
	free(h);
}
