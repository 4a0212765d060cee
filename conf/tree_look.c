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

int
tree_sync_dir(struct tree *t, const void *path, size_t len)
{
	int fd = tree_resolve(t, path, len, O_RDONLY), r;

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
	r = tree_fsync(fd);
	close(fd);
	return r;
}

int
tree_sync_all(struct tree *t)
{
	return syncfs(t->root) < 0 ? -errno : 0;
}
