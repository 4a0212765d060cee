/* SPDX-License-Identifier: BSD-2-Clause */
/* The kernel's file change notices. The one user of sys/inotify.h. */
#ifndef MIMEO_CONF_NOTIFY_H
#define MIMEO_CONF_NOTIFY_H

#include <stddef.h>
#include <stdint.h>

#include "proto/attr.h"

/*
 * What may be asked for, and come back in an event. inotify(7) explains each; the values are the
 * kernel's.
 */
#define NOTIFY_ACCESS UINT32_C(0x00000001)
#define NOTIFY_MODIFY UINT32_C(0x00000002)
#define NOTIFY_ATTRIB UINT32_C(0x00000004)
#define NOTIFY_CLOSE_WRITE UINT32_C(0x00000008)
#define NOTIFY_CLOSE_NOWRITE UINT32_C(0x00000010)
#define NOTIFY_OPEN UINT32_C(0x00000020)
#define NOTIFY_MOVED_FROM UINT32_C(0x00000040)
#define NOTIFY_MOVED_TO UINT32_C(0x00000080)
#define NOTIFY_CREATE UINT32_C(0x00000100)
#define NOTIFY_DELETE UINT32_C(0x00000200)
#define NOTIFY_DELETE_SELF UINT32_C(0x00000400)
#define NOTIFY_MOVE_SELF UINT32_C(0x00000800)
/* Only in events. */
#define NOTIFY_UNMOUNT UINT32_C(0x00002000)
#define NOTIFY_OVERFLOW UINT32_C(0x00004000) /* wd -1: events were lost, nobody knows which */
#define NOTIFY_IGNORED UINT32_C(0x00008000)  /* this watch is gone */
#define NOTIFY_ISDIR UINT32_C(0x40000000)
/* Only when adding. */
#define NOTIFY_ONLYDIR UINT32_C(0x01000000)
#define NOTIFY_DONT_FOLLOW UINT32_C(0x02000000)
#define NOTIFY_EXCL_UNLINK UINT32_C(0x04000000) /* nothing about names already unlinked */
#define NOTIFY_MASK_CREATE UINT32_C(0x10000000) /* -EEXIST rather than change a watch */
#define NOTIFY_MASK_ADD UINT32_C(0x20000000)
#define NOTIFY_ONESHOT UINT32_C(0x80000000)

#define NOTIFY_BATCH_EVENTS_MAX 65536 /* in one notify_read; the rest waits for the next call */

struct notify;

struct notify_event {
	int wd;
	uint32_t mask;
	uint32_t cookie; /* joins MOVED_FROM and MOVED_TO; else 0 */
	/* In the watched directory, terminated; "" when about the watched thing itself. Borrowed.
	 */
	const char *name;
	size_t name_len;
};

/*
 * Opens one instance, non-blocking. NULL, with errno: ENOMEM, or EMFILE: out of instances or
 * descriptors.
 */
struct notify *notify_new(void);
/* Takes all watches away. NULL is fine. */
void notify_free(struct notify *n);
/* Readable when events wait. Stays owned by n. */
int notify_fd(const struct notify *n);

/*
 * Watches what path names. Returns the watch (>= 0; the same one for an inode that is watched
 * already, whose mask is then replaced), or -ENOSPC: no more watches for this user (see
 * notify_limits); -ENOENT, -EACCES, -ENOTDIR, -EEXIST and so on as inotify_add_watch(2) says.
 */
NODISCARD int notify_add(struct notify *n, const char *path, uint32_t mask);
/*
 * The same for an open directory or file, whatever its name is by now (by /proc/self/fd; O_PATH
 * will do).
 */
NODISCARD int notify_add_fd(struct notify *n, int fd, uint32_t mask);
/*
 * Ends a watch; NOTIFY_IGNORED follows as its last event. 0 or -EINVAL: no such watch (any
 * more).
 */
int notify_rm(struct notify *n, int wd);

/*
 * Hands over what waits, in order, until nothing does or NOTIFY_BATCH_EVENTS_MAX is reached (a few
 * more to end what was read). The callback may add and remove watches, and not free n or read from
 * it. Returns the number of events, or a negative errno of read(2).
 */
int notify_read(struct notify *n, void (*cb)(void *arg, const struct notify_event *ev), void *arg);

/*
 * The kernel's limits: watches of one user, events that wait in one instance, instances of one
 * user. 0 for one that cannot be read. Returns 0, or the errno of the last that failed.
 */
int notify_limits(uint64_t *max_watches, uint64_t *max_queued, uint64_t *max_instances);

#endif
