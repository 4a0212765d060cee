/* SPDX-License-Identifier: BSD-2-Clause */
/* The kernel's file change notices, by inotify(7). */
#include "config.h"

#include "conf/notify.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#define BUFFER_BYTES 65536

_Static_assert(NOTIFY_ACCESS == IN_ACCESS && NOTIFY_MODIFY == IN_MODIFY &&
		       NOTIFY_ATTRIB == IN_ATTRIB && NOTIFY_CLOSE_WRITE == IN_CLOSE_WRITE &&
		       NOTIFY_CLOSE_NOWRITE == IN_CLOSE_NOWRITE && NOTIFY_OPEN == IN_OPEN &&
		       NOTIFY_MOVED_FROM == IN_MOVED_FROM && NOTIFY_MOVED_TO == IN_MOVED_TO &&
		       NOTIFY_CREATE == IN_CREATE && NOTIFY_DELETE == IN_DELETE &&
		       NOTIFY_DELETE_SELF == IN_DELETE_SELF && NOTIFY_MOVE_SELF == IN_MOVE_SELF,
	       "events are the kernel's");
_Static_assert(NOTIFY_UNMOUNT == IN_UNMOUNT && NOTIFY_OVERFLOW == IN_Q_OVERFLOW &&
		       NOTIFY_IGNORED == IN_IGNORED && NOTIFY_ISDIR == IN_ISDIR,
	       "marks of events are the kernel's");
_Static_assert(NOTIFY_ONLYDIR == IN_ONLYDIR && NOTIFY_DONT_FOLLOW == IN_DONT_FOLLOW &&
		       NOTIFY_EXCL_UNLINK == IN_EXCL_UNLINK &&
		       NOTIFY_MASK_CREATE == IN_MASK_CREATE && NOTIFY_MASK_ADD == IN_MASK_ADD &&
		       NOTIFY_ONESHOT == (uint32_t)IN_ONESHOT,
	       "options are the kernel's");
_Static_assert(BUFFER_BYTES >= sizeof(struct inotify_event) + NAME_MAX + 1,
	       "one event always fits");

struct notify {
	int fd;
	uint8_t buffer[BUFFER_BYTES];
};

struct notify *
notify_new(void)
{
	struct notify *n = malloc(sizeof(*n));

	if (!n)
		return NULL;
	n->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (n->fd < 0) {
		int err = errno;

		free(n);
		errno = err;
		return NULL;
	}
	return n;
}

void
notify_free(struct notify *n)
{
	if (!n)
		return;
	close(n->fd);
	free(n);
}

int
notify_fd(const struct notify *n)
{
	return n->fd;
}

int
notify_add(struct notify *n, const char *path, uint32_t mask)
{
	int wd = inotify_add_watch(n->fd, path, mask);

	return wd < 0 ? -errno : wd;
}

int
notify_add_fd(struct notify *n, int fd, uint32_t mask)
{
	char path[sizeof("/proc/self/fd/") + 16];

	/* The last step is a link of /proc's, so it has to be followed. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return notify_add(n, path, mask & ~NOTIFY_DONT_FOLLOW);
}

int
notify_rm(struct notify *n, int wd)
{
	return inotify_rm_watch(n->fd, wd) < 0 ? -errno : 0;
}

/* Hands over the events of one read(2); returns how many. */
static int
decode(const uint8_t *p, size_t left, void (*cb)(void *arg, const struct notify_event *ev),
       void *arg)
{
	int count = 0;

	while (left >= sizeof(struct inotify_event)) {
		struct inotify_event head;
		struct notify_event ev = {.name = ""};

		memcpy(&head, p, sizeof(head));
		p += sizeof(head);
		left -= sizeof(head);
		if (head.len > left)
			break;
		ev.wd = head.wd;
		ev.mask = head.mask;
		ev.cookie = head.cookie;
		/* The name is filled up with zeros, at least one. */
		if (head.len > 0 && p[head.len - 1] == '\0') {
			ev.name = (const char *)p;
			ev.name_len = strlen(ev.name);
		}
		p += head.len;
		left -= head.len;
		cb(arg, &ev);
		count++;
	}
	return count;
}

int
notify_read(struct notify *n, void (*cb)(void *arg, const struct notify_event *ev), void *arg)
{
	int count = 0;

	while (count < NOTIFY_BATCH_EVENTS_MAX) {
		ssize_t len = read(n->fd, n->buffer, sizeof(n->buffer));

		if (len > 0)
			count += decode(n->buffer, (size_t)len, cb, arg);
		else if (len == 0 || errno == EAGAIN)
			break;
		else if (errno != EINTR)
			return -errno;
	}
	return count;
}

static int
read_limit(const char *path, uint64_t *value)
{
	FILE *f = fopen(path, "re");
	char line[32], *end = line;

	*value = 0;
	if (!f)
		return -errno;
	if (fgets(line, sizeof(line), f))
		*value = strtoull(line, &end, 10);
	fclose(f);
	return end > line ? 0 : -EIO;
}

int
notify_limits(uint64_t *max_watches, uint64_t *max_queued, uint64_t *max_instances)
{
	int a = read_limit("/proc/sys/fs/inotify/max_user_watches", max_watches);
	int b = read_limit("/proc/sys/fs/inotify/max_queued_events", max_queued);
	int c = read_limit("/proc/sys/fs/inotify/max_user_instances", max_instances);

	return c ? c : b ? b : a;
}
