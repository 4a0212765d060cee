/* SPDX-License-Identifier: BSD-2-Clause */
/* conf/notify.h without a kernel: one queue of events, bounded, which overflows. */
#include "config.h"

#include "conf/notify.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/simulator/proc.h"

void
notify_init(struct notify *n, struct disk *d, size_t limit)
{
	*n = (struct notify){.disk = d, .limit = limit};
}

void
notify_drop(struct notify *n)
{
	free(n->queue);
	*n = (struct notify){0};
}

/* Equal to the last one that waits: the kernel keeps one. */
static bool
merged(const struct notify *n, const struct disk_event *e)
{
	const struct disk_event *last = n->n > 0 ? &n->queue[n->n - 1] : NULL;

	return last != NULL && last->wd == e->wd && last->mask == e->mask &&
	       last->cookie == e->cookie && strcmp(last->name, e->name) == 0;
}

void
notify_push(struct notify *n, const struct disk_event *e)
{
	struct disk_event lost = {.wd = -1, .mask = NOTIFY_OVERFLOW};

	if (merged(n, e))
		return;
	if (n->n >= n->limit) {
		if (n->overflowed)
			return;
		n->overflowed = true;
		e = &lost;
	}
	if (n->n == n->cap) {
		n->cap = n->cap * 2 + 64;
		n->queue = realloc(n->queue, n->cap * sizeof(*n->queue));
		if (n->queue == NULL)
			abort();
	}
	n->queue[n->n++] = *e;
}

static struct inode *
by_number(const struct disk *d, uint64_t ino)
{
	struct inode *i = d->inodes;

	while (i != NULL && i->ino != ino)
		i = i->next;
	return i;
}

/* tree_dirfd hands out inode numbers far above any descriptor. */
int
notify_add_fd(struct notify *n, int fd, uint32_t mask)
{
	struct inode *i = by_number(n->disk, (uint64_t)fd - TREE_FD_BASE);

	(void)mask;
	if (i == NULL || i->kind != KIND_DIR)
		return -ENOTDIR;
	if (i->wd < 0)
		i->wd = ++n->last_wd;
	return i->wd;
}

int
notify_rm(struct notify *n, int wd)
{
	struct disk_event e = {.wd = wd, .mask = NOTIFY_IGNORED};

	for (struct inode *i = n->disk->inodes; i != NULL; i = i->next)
		if (i->wd == wd) {
			i->wd = -1;
			notify_push(n, &e);
			return 0;
		}
	return -EINVAL;
}

struct notify *
notify_new(void)
{
	return NULL; /* a process has its own */
}

void
notify_free(struct notify *n)
{
	(void)n;
}

int
notify_fd(const struct notify *n)
{
	(void)n;
	return -1;
}

int
notify_add(struct notify *n, const char *path, uint32_t mask)
{
	(void)n;
	(void)path;
	(void)mask;
	return -ENOSPC;
}

int
notify_read(struct notify *n, void (*cb)(void *arg, const struct notify_event *e), void *arg)
{
	struct disk_event e;
	struct notify_event out;

	if (n->n == 0)
		return 0;
	e = n->queue[0];
	memmove(n->queue, n->queue + 1, --n->n * sizeof(*n->queue));
	n->overflowed = n->overflowed && n->n > 0;
	out = (struct notify_event){e.wd, e.mask, e.cookie, e.name, strlen(e.name)};
	cb(arg, &out);
	return 1;
}
