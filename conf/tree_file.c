/* SPDX-License-Identifier: BSD-2-Clause */
/* An open regular file: reading, writing, its metadata, and whether somebody writes to it. */
#include "config.h"

#include "conf/tree_internal.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int
tree_tfile_new(int fd, struct tfile **out)
{
	struct tfile *f = malloc(sizeof(*f));

	*out = f;
	if (f == NULL) {
		close(fd);
		return -ENOMEM;
	}
	f->fd = fd;
	return 0;
}

void
tfile_close(struct tfile *f)
{
	if (f == NULL)
		return;
	close(f->fd);
	free(f);
}

static int
regular(const struct tree *t, int dir, const char *name)
{
	struct sig sig;
	int r = tree_sig(t, dir, name, &sig, NULL);

	if (r < 0 || sig.kind == KIND_FILE)
		return r;
	return sig.kind == KIND_DIR ? -EISDIR : -ELOOP;
}

/* Reading is no reason to move the time of access, but only the owner may say so. */
static int
open_quietly(int dir, const char *name)
{
	int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
	int fd = tree_openat(dir, name, flags | O_NOATIME, 0);

	return fd == -EPERM ? tree_openat(dir, name, flags, 0) : fd;
}

int
tree_open_regular(const struct tree *t, int dir, const char *name, struct tfile **out)
{
	int r, fd;

	*out = NULL;
	/* Looked at first, because opening a device or a FIFO already does something to it. */
	r = regular(t, dir, name);
	if (r < 0)
		return r;
	fd = open_quietly(dir, name);
	if (fd < 0)
		return fd == -ENXIO ? -EMEDIUMTYPE : fd;
	r = regular(t, fd, "");
	if (r == 0)
		return tree_tfile_new(fd, out);
	close(fd);
	return r;
}

int
tfile_stat(struct tfile *f, struct sig *sig, uint32_t *nlink)
{
	return tree_sig_fd(f->fd, sig, nlink);
}

ssize_t
tfile_read_at(struct tfile *f, uint64_t off, void *buf, size_t len)
{
	size_t done = 0;
	ssize_t n = 0;

	if (off > INT64_MAX || len > INT64_MAX - off)
		return -EINVAL;
	while (done < len) {
		n = pread(f->fd, (char *)buf + done, len - done, (off_t)(off + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	return n < 0 && done == 0 ? -errno : (ssize_t)done;
}

int
tfile_write_at(struct tfile *f, uint64_t off, const void *buf, size_t len)
{
	ssize_t n;

	if (off > INT64_MAX || len > INT64_MAX - off)
		return -EFBIG;
	for (size_t done = 0; done < len; done += (size_t)n) {
		n = pwrite(f->fd, (const char *)buf + done, len - done, (off_t)(off + done));
		if (n < 0 && errno == EINTR)
			n = 0;
		else if (n <= 0)
			return n < 0 ? -errno : -EIO;
	}
	return 0;
}

int
tfile_truncate(struct tfile *f, uint64_t size)
{
	struct stat st;
	int r;

	if (size > INT64_MAX)
		return -EFBIG;
	if (fstat(f->fd, &st) < 0)
		return -errno;
	if (st.st_size == (off_t)size)
		return 0; /* would give back what was preallocated */
	do {
		r = ftruncate(f->fd, (off_t)size);
	} while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

/*
 * If somebody opens the file for writing meanwhile, the kernel signals the holder: with
 * SIGIO, which kills by default, unless told otherwise. SIGURG is ignored by default.
 */
int
tfile_hold(struct tfile *f)
{
	if (fcntl(f->fd, F_SETSIG, SIGURG) < 0)
		return -errno;
	if (fcntl(f->fd, F_SETLEASE, F_RDLCK) < 0) {
		bool cannot = errno == EACCES || errno == EINVAL || errno == EOPNOTSUPP;

		return cannot ? -EPERM : -errno;
	}
	return 0;
}

int
tfile_lease(struct tfile *f)
{
	int r = tfile_hold(f);

	if (r < 0)
		return r;
	return fcntl(f->fd, F_SETLEASE, F_UNLCK) < 0 ? -errno : 0;
}

/* Where a descriptor's file is, or was when its name went. */
static bool
place_of(int fd, char out[PATH_MAX])
{
	char self[sizeof("/proc/self/fd/") + 16];
	ssize_t n;

	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	n = readlink(self, out, PATH_MAX - 1);
	if (n < 0)
		return false;
	out[n] = '\0';
	return true;
}

bool
tfile_moved_to(struct tree *t, struct tfile *f, const void *path, size_t len)
{
	char root[PATH_MAX], at[PATH_MAX];
	size_t n;

	if (!place_of(t->root, root) || !place_of(f->fd, at))
		return false;
	n = strcmp(root, "/") == 0 ? 0 : strlen(root);
	if (strncmp(at, root, n) != 0 || at[n] != '/' || strncmp(at + n + 1, path, len) != 0)
		return false;
	return at[n + 1 + len] == '\0' || strcmp(at + n + 1 + len, " (deleted)") == 0;
}

void
tfile_forget_cached(struct tfile *f)
{
	(void)posix_fadvise(f->fd, 0, 0, POSIX_FADV_DONTNEED);
}

/* Not fdatasync, which may leave mode and mtime behind, and they are part of a version. */
int
tfile_sync(struct tfile *f)
{
	return tree_fsync(f->fd);
}

void
tfile_flush_hint(struct tfile *f, uint64_t off, uint64_t len)
{
	if (off <= INT64_MAX && len <= INT64_MAX - off)
		(void)sync_file_range(f->fd, (off_t)off, (off_t)len, SYNC_FILE_RANGE_WRITE);
}

int
tfile_set_meta(struct tfile *f, uint16_t mode, int64_t mtime_ns, uint32_t uid, uint32_t gid)
{
	struct tree_meta want = {.mode = mode, .mtime_ns = mtime_ns, .uid = uid, .gid = gid};
	struct sig now;
	int r = tree_sig_fd(f->fd, &now, NULL);

	return r < 0 ? r : tree_dress(f->fd, &now, &want);
}
