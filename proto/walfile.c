/* SPDX-License-Identifier: BSD-2-Clause */
/* The log on a real disk: names, locks, full reads and writes, and what is synced when. */
#include "config.h"

#include "proto/walfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME "wal"
#define NAME_LOCK "wal.lock"
#define NAME_NEXT "wal.next"
#define NAME_PREV "wal.prev"
#define NAME_PREV_NEW "wal.prev.new" /* for the moment between link and rename */
#define DAMAGED_MAX 999              /* files set aside; nobody looked at any of them by then */

struct walfile {
	int dir;
	int lock;
	int fd;      /* the open generation, -1: none */
	int next;    /* -1: none under construction */
	bool marked; /* the lock file says that an append is not synced, and it is ours */
	bool unread; /* next was written since it was read back */
	bool aside;  /* the open file has the name that it keeps */
};

/* ---- whole reads and writes ---- */

static ssize_t
read_full(int fd, uint64_t off, void *buf, size_t len)
{
	uint8_t *to = buf;
	size_t have = 0;

	while (have < len) {
		ssize_t n = pread(fd, to + have, len - have, (off_t)(off + have));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		have += (size_t)n;
	}
	return (ssize_t)have;
}

static int
write_full(int fd, uint64_t off, const void *buf, size_t len)
{
	const uint8_t *from = buf;
	size_t done = 0;

	while (done < len) {
		ssize_t n = pwrite(fd, from + done, len - done, (off_t)(off + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO;
		done += (size_t)n;
	}
	return 0;
}

/* Never retried, EINTR included: the second call may report what the first one lost as written. */
static int
sync_fd(int fd)
{
	return fdatasync(fd) < 0 ? -errno : 0;
}

static void
close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* ---- the lock ---- */

static int
lock_call(const struct walfile *f, short type, bool wait)
{
	struct flock l = {.l_type = type, .l_whence = SEEK_SET};
	int rc;

	do
		rc = fcntl(f->lock, wait ? F_OFD_SETLKW : F_OFD_SETLK, &l);
	while (rc < 0 && errno == EINTR);
	if (rc == 0)
		return 0;
	return errno == EACCES ? -EAGAIN : -errno;
}

static int
mark(struct walfile *f, uint8_t value)
{
	int rc = write_full(f->lock, 0, &value, 1);

	if (rc == 0)
		f->marked = value != 0;
	return rc;
}

static int
sync_named(const struct walfile *f)
{
	int fd = openat(f->dir, NAME, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	int rc;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	rc = sync_fd(fd);
	close(fd);
	return rc;
}

/*
 * Finishes what a killed appender left. Readers that hold the lock together may do it at the same
 * time: nobody appends meanwhile. A new lock file gets its byte here, when nobody can have set it.
 */
static int
settle(struct walfile *f, bool exclusive)
{
	uint8_t value = 0;
	ssize_t n = read_full(f->lock, 0, &value, 1);
	int rc;

	if (n < 0)
		return (int)n;
	if (n == 0)
		return exclusive ? mark(f, 0) : 0;
	if (value == 0)
		return 0;
	rc = sync_named(f);
	return rc < 0 ? rc : mark(f, 0);
}

static int
dev_lock(void *arg, bool exclusive, bool wait)
{
	struct walfile *f = arg;
	int rc = lock_call(f, exclusive ? F_WRLCK : F_RDLCK, wait);

	if (rc < 0)
		return rc;
	rc = settle(f, exclusive);
	if (rc < 0)
		(void)lock_call(f, F_UNLCK, false);
	return rc;
}

static void
dev_unlock(void *arg)
{
	struct walfile *f = arg;

	f->marked = false;
	/* Giving up a lock that is held cannot fail. */
	(void)lock_call(f, F_UNLCK, false);
}

/* ---- the current file ---- */

static int
dev_open_current(void *arg)
{
	struct walfile *f = arg;
	struct stat st;
	int fd = openat(f->dir, NAME, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	int rc = 0;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		rc = -errno;
	else if (!S_ISREG(st.st_mode))
		rc = -EPROTO;
	/* Who published it may have been killed just before he did this. */
	else if (fsync(f->dir) < 0)
		rc = -errno;
	if (rc < 0) {
		close(fd);
		return rc;
	}
	close_fd(&f->fd);
	f->fd = fd;
	return 0;
}

/* Does the name lead to the open file? As it is open, its inode number is nobody else's. A name
 * that is not there leads nowhere; any other error says nothing about it. */
static int
named(const struct walfile *f, const char *name)
{
	struct stat here, there;

	if (f->fd < 0)
		return 0;
	if (fstat(f->fd, &here) < 0)
		return -errno;
	if (fstatat(f->dir, name, &there, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	return here.st_dev == there.st_dev && here.st_ino == there.st_ino;
}

static int
dev_is_current(void *arg)
{
	const struct walfile *f = arg;

	return named(f, NAME);
}

static ssize_t
dev_read_at(void *arg, uint64_t off, void *buf, size_t len)
{
	const struct walfile *f = arg;

	return read_full(f->fd, off, buf, len);
}

static int
dev_write_at(void *arg, uint64_t off, const void *buf, size_t len)
{
	struct walfile *f = arg;
	int rc = f->marked ? 0 : mark(f, 1);

	return rc < 0 ? rc : write_full(f->fd, off, buf, len);
}

static int
dev_size(void *arg, uint64_t *size)
{
	const struct walfile *f = arg;
	struct stat st;

	if (fstat(f->fd, &st) < 0)
		return -errno;
	*size = (uint64_t)st.st_size;
	return 0;
}

static int
dev_truncate(void *arg, uint64_t size)
{
	const struct walfile *f = arg;
	int rc;

	do
		rc = ftruncate(f->fd, (off_t)size);
	while (rc < 0 && errno == EINTR);
	return rc < 0 ? -errno : 0;
}

static int
dev_sync(void *arg)
{
	struct walfile *f = arg;
	int rc = sync_fd(f->fd);

	if (rc < 0 || !f->marked)
		return rc;
	/* A mark that stays costs the next one a sync, and nothing else. */
	(void)mark(f, 0);
	return 0;
}

/* ---- the next generation ---- */

static void
dev_next_abort(void *arg)
{
	struct walfile *f = arg;

	close_fd(&f->next);
	f->aside = false;
	(void)unlinkat(f->dir, NAME_NEXT, 0);
}

static int
dev_next_create(void *arg)
{
	struct walfile *f = arg;

	dev_next_abort(f); /* what a process that was killed has left */
	f->next =
		openat(f->dir, NAME_NEXT, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	return f->next < 0 ? -errno : 0;
}

static int
dev_next_write(void *arg, uint64_t off, const void *buf, size_t len)
{
	struct walfile *f = arg;

	f->unread = true;
	return write_full(f->next, off, buf, len);
}

/* Reads back what the disk has, not what memory has: synced, and dropped from the cache. */
static ssize_t
dev_next_read(void *arg, uint64_t off, void *buf, size_t len)
{
	struct walfile *f = arg;

	if (f->unread) {
		int rc = sync_fd(f->next);

		if (rc < 0)
			return rc;
		(void)posix_fadvise(f->next, 0, 0, POSIX_FADV_DONTNEED);
		f->unread = false;
	}
	return read_full(f->next, off, buf, len);
}

/*
 * The open file becomes the previous one: a second link, renamed over the old previous, so that its
 * own name never is without a file. Renaming between two names of one file does nothing, hence the
 * last line.
 */
static int
keep_previous(const struct walfile *f)
{
	(void)unlinkat(f->dir, NAME_PREV_NEW, 0);
	if (linkat(f->dir, NAME, f->dir, NAME_PREV_NEW, 0) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (renameat(f->dir, NAME_PREV_NEW, f->dir, NAME_PREV) < 0)
		return -errno;
	(void)unlinkat(f->dir, NAME_PREV_NEW, 0);
	return 0;
}

static int
dev_next_publish(void *arg)
{
	struct walfile *f = arg;
	/* All of it, size and times included: the name must not come before the content. */
	int rc = fsync(f->next) < 0 ? -errno : 0;

	if (rc == 0 && !f->aside)
		rc = keep_previous(f);
	if (rc < 0)
		return rc;
	if (renameat(f->dir, NAME_NEXT, f->dir, NAME) < 0 || fsync(f->dir) < 0)
		return -errno;
	close_fd(&f->fd);
	f->fd = f->next;
	f->next = -1;
	f->aside = false;
	return 0;
}

static int
dev_set_aside(void *arg, char *name, size_t name_len)
{
	struct walfile *f = arg;

	for (unsigned i = 1; i <= DAMAGED_MAX; i++) {
		snprintf(name, name_len, "wal.damaged-%u", i);
		if (linkat(f->dir, NAME, f->dir, name, 0) == 0 ||
		    (errno == EEXIST && named(f, name) == 1)) {
			f->aside = true;
			return 0;
		}
		if (errno != EEXIST)
			return -errno;
	}
	return -EEXIST;
}

/* ---- life ---- */

static int
state_ok(int dir)
{
	struct stat st;

	if (fstat(dir, &st) < 0)
		return -errno;
	return st.st_uid == geteuid() && (st.st_mode & 0777) == 0700 ? 0 : -EPERM;
}

int
walfile_open(const char *state, struct walfile **out)
{
	struct walfile *f = malloc(sizeof(*f));
	int rc;

	*out = NULL;
	if (!f)
		return -ENOMEM;
	*f = (struct walfile){.dir = -1, .lock = -1, .fd = -1, .next = -1};
	f->dir = open(state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	rc = f->dir < 0 ? -errno : state_ok(f->dir);
	if (rc < 0)
		goto out;
	f->lock = openat(f->dir, NAME_LOCK, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	rc = f->lock < 0 ? -errno : 0;
out:
	if (rc < 0)
		walfile_close(f);
	else
		*out = f;
	return rc;
}

void
walfile_close(struct walfile *f)
{
	if (!f)
		return;
	close_fd(&f->next);
	close_fd(&f->fd);
	close_fd(&f->lock);
	close_fd(&f->dir);
	free(f);
}

struct wal_dev
walfile_dev(struct walfile *f)
{
	return (struct wal_dev){
		.arg = f,
		.lock = dev_lock,
		.unlock = dev_unlock,
		.open_current = dev_open_current,
		.is_current = dev_is_current,
		.read_at = dev_read_at,
		.write_at = dev_write_at,
		.size = dev_size,
		.truncate = dev_truncate,
		.sync = dev_sync,
		.next_create = dev_next_create,
		.next_write = dev_next_write,
		.next_read = dev_next_read,
		.next_publish = dev_next_publish,
		.next_abort = dev_next_abort,
		.set_aside = dev_set_aside,
	};
}
