/* SPDX-License-Identifier: BSD-2-Clause */
/* Recursive inotify. */
#include "config.h"

#include "watcher/watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/path.h"

#define MASK                                                                                       \
	(NOTIFY_CREATE | NOTIFY_CLOSE_WRITE | NOTIFY_MOVED_FROM | NOTIFY_MOVED_TO |                \
	 NOTIFY_DELETE | NOTIFY_ATTRIB | NOTIFY_EXCL_UNLINK | NOTIFY_ONLYDIR)

struct dir {
	uint16_t len;
	char path[];
};

struct watch {
	struct tree *tree;
	struct notify *notify;
	struct dir **dirs; /* by number */
	size_t cap, n, polled;
};

struct watch *
watch_new(struct tree *tree, struct notify *notify)
{
	struct watch *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return NULL;
	w->tree = tree;
	w->notify = notify;
	return w;
}

void
watch_free(struct watch *w)
{
	if (w == NULL)
		return;
	for (size_t i = 0; i < w->cap; i++)
		free(w->dirs[i]);
	free(w->dirs);
	free(w);
}

static int
remember(struct watch *w, int wd, const void *path, size_t len)
{
	size_t i = (size_t)wd;
	struct dir *d;

	if (i >= w->cap) {
		size_t cap = i * 2 + 64;
		struct dir **grown = realloc(w->dirs, cap * sizeof(struct dir *));

		if (grown == NULL)
			return -ENOMEM;
		memset(grown + w->cap, 0, (cap - w->cap) * sizeof(struct dir *));
		w->dirs = grown;
		w->cap = cap;
	}
	d = malloc(sizeof(*d) + len + 1);
	if (d == NULL)
		return -ENOMEM;
	d->len = (uint16_t)len;
	memcpy(d->path, path, len);
	d->path[len] = '\0';
	if (w->dirs[i] == NULL)
		w->n++;
	free(w->dirs[i]); /* the same directory under a new name keeps its number */
	w->dirs[i] = d;
	return 0;
}

int
watch_add(struct watch *w, const void *path, size_t len)
{
	int fd = tree_dirfd(w->tree, path, len), wd;

	if (fd < 0)
		return fd;
	wd = notify_add_fd(w->notify, fd, MASK);
	close(fd);
	if (wd == -ENOSPC)
		w->polled++;
	return wd < 0 ? wd : remember(w, wd, path, len);
}

const char *
watch_path(const struct watch *w, int wd, size_t *len)
{
	if (wd < 0 || (size_t)wd >= w->cap || w->dirs[wd] == NULL)
		return NULL;
	*len = w->dirs[wd]->len;
	return w->dirs[wd]->path;
}

void
watch_gone(struct watch *w, int wd)
{
	if (wd < 0 || (size_t)wd >= w->cap || w->dirs[wd] == NULL)
		return;
	free(w->dirs[wd]);
	w->dirs[wd] = NULL;
	w->n--;
}

void
watch_remove_below(struct watch *w, const void *path, size_t len)
{
	for (size_t i = 0; i < w->cap; i++) {
		const struct dir *d = w->dirs[i];

		if (d == NULL || !path_within(d->path, d->len, path, len))
			continue;
		(void)notify_rm(w->notify, (int)i);
		watch_gone(w, (int)i);
	}
}

size_t
watch_count(const struct watch *w)
{
	return w->n;
}

size_t
watch_polled(const struct watch *w)
{
	return w->polled;
}

void
watch_polled_reset(struct watch *w)
{
	w->polled = 0;
}
