/* SPDX-License-Identifier: BSD-2-Clause */
/* From a path to a descriptor beneath the root, and from a descriptor to a signature. */
#include "config.h"

#include "conf/tree_internal.h"

#include <errno.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "proto/seeded.h"

#define OPEN_TRIES_MAX 64 /* openat2 gives EAGAIN while somebody renames along the path */
#define NS_PER_S 1000000000

int
tree_errno(void)
{
	return errno == ENOTDIR ? -ENOENT : -errno;
}

static int
open_again(int dir, const char *name, int flags, mode_t mode)
{
	int fd;

	do {
		fd = openat(dir, name, flags | O_CLOEXEC, mode);
	} while (fd < 0 && errno == EINTR);
	return fd < 0 ? -errno : fd;
}

int
tree_openat(int dir, const char *name, int flags, mode_t mode)
{
	int fd = open_again(dir, name, flags, mode);

	return fd == -ENOTDIR ? -ENOENT : fd;
}

/* ---- signatures ---- */

static int
stat_at(int dir, const char *name, struct statx *st)
{
	int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | (name[0] == '\0' ? AT_EMPTY_PATH : 0);

	return statx(dir, name, flags, STATX_BASIC_STATS, st) < 0 ? -errno : 0;
}

/*
 * Is that beyond the root's mount? A bind mount has the root's device, so the device alone does not
 * tell; and on overlay file systems a file's device says nothing, only a directory's does.
 */
static bool
foreign(const struct tree *t, const struct statx *st)
{
	bool knows_mounts = (st->stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) != 0;

	if (st->stx_attributes & STATX_ATTR_MOUNT_ROOT)
		return true;
	return (S_ISDIR(st->stx_mode) || !knows_mounts) &&
	       makedev(st->stx_dev_major, st->stx_dev_minor) != t->dev;
}

/* A time that 64 bits cannot hold (after the year 2262; ext4 goes to 2446) stays at the limit. */
static int64_t
ns_of(const struct statx_timestamp *ts)
{
	int64_t ns;

	if (__builtin_mul_overflow(ts->tv_sec, NS_PER_S, &ns) ||
	    __builtin_add_overflow(ns, (int64_t)ts->tv_nsec, &ns))
		return ts->tv_sec < 0 ? INT64_MIN : INT64_MAX;
	return ns;
}

static uint8_t
kind_of(uint16_t mode)
{
	if (S_ISREG(mode))
		return KIND_FILE;
	if (S_ISDIR(mode))
		return KIND_DIR;
	return S_ISLNK(mode) ? KIND_SYMLINK : KIND_ABSENT;
}

static int
sig_of(const struct statx *st, struct sig *sig, uint32_t *nlink)
{
	uint8_t kind = kind_of(st->stx_mode);

	if (kind == KIND_ABSENT)
		return -EMEDIUMTYPE;
	*sig = (struct sig){
		.ino = st->stx_ino,
		.size = st->stx_size,
		.mtime_ns = ns_of(&st->stx_mtime),
		.ctime_ns = ns_of(&st->stx_ctime),
		.uid = st->stx_uid,
		.gid = st->stx_gid,
		.mode = st->stx_mode & 07777,
		.kind = kind,
	};
	if (nlink != NULL)
		*nlink = st->stx_nlink;
	return 0;
}

int
tree_sig(const struct tree *t, int dir, const char *name, struct sig *sig, uint32_t *nlink)
{
	struct statx st;
	int r = stat_at(dir, name, &st);

	*sig = (struct sig){0};
	if (r < 0)
		return r == -ENOTDIR ? -ENOENT : r;
	return foreign(t, &st) ? -EXDEV : sig_of(&st, sig, nlink);
}

int
tree_sig_fd(int fd, struct sig *sig, uint32_t *nlink)
{
	struct statx st;
	int r = stat_at(fd, "", &st);

	*sig = (struct sig){0};
	return r < 0 ? r : sig_of(&st, sig, nlink);
}

/* ---- paths ---- */

static int
open_beneath(const struct tree *t, const char *path, int flags)
{
	struct open_how how = {
		.flags = (uint64_t)(unsigned)flags | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS |
			   RESOLVE_NO_XDEV,
	};
	long fd = -1;

	how.resolve = SEEDED(symlink_followed) ? RESOLVE_NO_XDEV : how.resolve;
	for (int i = 0; i < OPEN_TRIES_MAX; i++) {
		fd = syscall(SYS_openat2, t->root, path, &how, sizeof(how));
		if (fd >= 0 || (errno != EINTR && errno != EAGAIN))
			break;
	}
	return fd < 0 ? -errno : (int)fd;
}

/* One step down, into a real directory on the same mount. */
static int
step(const struct tree *t, int dir, const char *name)
{
	struct statx st;
	int fd = open_again(dir, name, O_PATH | O_NOFOLLOW, 0), r;

	if (fd < 0)
		return fd;
	r = stat_at(fd, "", &st);
	if (r == 0 && S_ISLNK(st.stx_mode))
		r = -ELOOP;
	else if (r == 0 && !S_ISDIR(st.stx_mode))
		r = -ENOTDIR;
	else if (r == 0 && foreign(t, &st))
		r = -EXDEV;
	if (r == 0)
		return fd;
	close(fd);
	return r;
}

/* What openat2 does, name by name, for a kernel or a sandbox without it. Writes zeros into path. */
static int
walk(const struct tree *t, char *path, int flags)
{
	int dir = t->root, fd;
	char *next;

	for (char *p = path; p != NULL; p = next) {
		next = strchr(p, '/');
		if (next != NULL)
			*next++ = '\0';
		fd = step(t, dir, p);
		if (dir != t->root)
			close(dir);
		if (fd < 0)
			return fd;
		dir = fd;
	}
	if (flags & O_PATH)
		return dir;
	fd = open_again(dir, ".", flags, 0);
	close(dir);
	return fd;
}

int
tree_resolve(const struct tree *t, const void *path, size_t len, int flags)
{
	char copy[PATH_BYTES_MAX + 1];
	int fd;

	flags |= O_DIRECTORY;
	if (len == 0)
		return tree_openat(t->root, ".", flags, 0);
	if (path_check(path, len) < 0)
		return -EINVAL;
	memcpy(copy, path, len);
	copy[len] = '\0';
	fd = open_beneath(t, copy, flags);
	if (fd == -ENOSYS || fd == -EPERM)
		fd = walk(t, copy, flags);
	return fd == -ENOTDIR ? -ENOENT : fd;
}

int
tree_at(const struct tree *t, const void *path, size_t len, struct tree_at *at)
{
	const char *name = path;
	size_t parent;

	at->dir = -1;
	if (path_check(path, len) < 0)
		return -EINVAL;
	parent = path_parent(path, len);
	name += parent > 0 ? parent + 1 : 0;
	len -= parent > 0 ? parent + 1 : 0;
	memcpy(at->name, name, len); /* at most PATH_NAME_BYTES_MAX: path_check */
	at->name[len] = '\0';
	at->dir = tree_resolve(t, path, parent, O_PATH);
	return at->dir < 0 ? at->dir : 0;
}

void
tree_at_close(struct tree_at *at)
{
	if (at->dir >= 0)
		close(at->dir);
	at->dir = -1;
}

int
tree_name_check(const char *name)
{
	size_t len = strlen(name);

	if (len == 0 || len > PATH_NAME_BYTES_MAX || strchr(name, '/') != NULL)
		return -EINVAL;
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ? -EINVAL : 0;
}
