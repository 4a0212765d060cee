/* SPDX-License-Identifier: BSD-2-Clause */
/* Looking at the tree: signatures, names, targets, and making names durable. */
#include "config.h"

#include "conf/tree_internal.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/path.h"
#include "proto/seeded.h"

int
tree_stat(struct tree *t, const void *path, size_t len, struct sig *sig, uint32_t *nlink)
{
	struct tree_at at;
	int r;

	if (len == 0)
		return tree_sig_fd(t->root, sig, nlink);
	*sig = (struct sig){0};
	r = tree_at(t, path, len, &at);
	if (r == 0)
		r = tree_sig(t, at.dir, at.name, sig, nlink);
	tree_at_close(&at);
	return r;
}

static bool
is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* The C library takes a directory removed under its reader for one that is at its end. */
static int
still_linked(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	return st.st_nlink == 0 ? -ENOENT : 0;
}

int
tree_scan(int fd, int (*cb)(void *arg, const char *name, size_t name_len, uint8_t d_type),
	  void *arg)
{
	DIR *d = fdopendir(fd);
	struct dirent *e;
	int r = 0;

	if (d == NULL) {
		r = -errno;
		close(fd);
		return r;
	}
	while (r == 0 && (errno = 0, e = readdir(d)) != NULL) {
		if (!is_dots(e->d_name))
			r = cb(arg, e->d_name, strlen(e->d_name), e->d_type);
	}
	if (r == 0)
		r = errno != 0 ? -errno : still_linked(dirfd(d));
	closedir(d);
	return r;
}

int
tree_list(struct tree *t, const void *path, size_t len,
	  int (*cb)(void *arg, const char *name, size_t name_len, uint8_t d_type), void *arg)
{
	int fd = tree_resolve(t, path, len, O_RDONLY);

	return fd < 0 ? fd : tree_scan(fd, cb, arg);
}

ssize_t
tree_readlinkat(int dir, const char *name, void *buf, size_t cap)
{
	char target[RECORD_TARGET_BYTES_MAX + 2]; /* one more than the longest: tells a cut one */
	ssize_t n = readlinkat(dir, name, target, sizeof(target));

	if (n < 0)
		return tree_errno();
	if ((size_t)n > cap || (size_t)n == sizeof(target))
		return -ENAMETOOLONG;
	memcpy(buf, target, (size_t)n);
	return n;
}

ssize_t
tree_readlink(struct tree *t, const void *path, size_t len, void *buf, size_t cap)
{
	struct tree_at at;
	ssize_t r = tree_at(t, path, len, &at);

	if (r == 0)
		r = tree_readlinkat(at.dir, at.name, buf, cap);
	tree_at_close(&at);
	return r;
}

int
tree_dirfd(struct tree *t, const void *path, size_t len)
{
	return tree_resolve(t, path, len, O_PATH);
}

int
tree_open_file(struct tree *t, const void *path, size_t len, struct tfile **out)
{
	struct tree_at at;
	int r;

	*out = NULL;
	r = tree_at(t, path, len, &at);
	if (r == 0)
		r = tree_open_regular(t, at.dir, at.name, out);
	tree_at_close(&at);
	return r;
}

int
tree_fsync(int fd)
{
	return fsync(fd) < 0 ? -errno : 0;
}

static void
dir_of(int fd, struct durable_dir *out)
{
	struct statx sx;

	*out = (struct durable_dir){0};
	if (statx(fd, "", AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &sx) < 0 ||
	    (sx.stx_mask & STATX_BTIME) == 0)
		return;
	out->ino = sx.stx_ino;
	out->born_ns = sx.stx_btime.tv_sec * 1000000000 + sx.stx_btime.tv_nsec;
}

/* The name of fd's directory in the one above it, unless it is known to be durable. */
static int
sync_name(struct tree *t, int above, const void *name, size_t len, int fd)
{
	struct durable_dir dir, child;
	uint64_t key;
	int r;

	dir_of(above, &dir);
	dir_of(fd, &child);
	key = durable_key(&dir, name, len, &child);
	if (durable_has(&t->durable, key))
		return 0;
	r = tree_fsync(above);
	if (r == 0)
		durable_add(&t->durable, key);
	return r;
}

/* The directory, and its name, and the names of those above it. Takes fd. */
static int
sync_up(struct tree *t, const uint8_t *path, size_t len, int fd)
{
	int r = tree_fsync(fd);

	while (r == 0 && len > 0 && !SEEDED(names_above_not_synced)) {
		size_t up = path_parent(path, len);
		int above = tree_resolve(t, path, up, O_RDONLY);

		/* Moved away a moment ago: it is somewhere, so sync all. */
		r = above < 0 ? tree_sync_all(t) : sync_name(t, above, path + up, len - up, fd);
		close(fd);
		fd = above;
		len = above < 0 ? 0 : up;
	}
	if (fd >= 0)
		close(fd);
	return r;
}

int
tree_sync_dir(struct tree *t, const void *path, size_t len)
{
	int fd = tree_resolve(t, path, len, O_RDONLY);

	if (fd == -ENOENT && SEEDED(gone_not_synced))
		return 0;
	while (fd == -ENOENT && len > 0) {
		len = path_parent(path, len);
		fd = tree_resolve(t, path, len, O_RDONLY);
	}
	if (fd == -ENOENT || fd == -ENOMEM || fd == -EINVAL)
		return fd;
	if (fd < 0) /* something else took its place: it is somewhere, so sync all */
		return tree_sync_all(t);
	return sync_up(t, path, len, fd);
}

int
tree_sync_all(struct tree *t)
{
	return syncfs(t->root) < 0 ? -errno : 0;
}
