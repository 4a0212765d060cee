/* SPDX-License-Identifier: BSD-2-Clause */
/* Opening the tree, and the guard: is the root still the directory that it was? */
#include "config.h"

#include "conf/tree_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define MARKER_BYTES 25 /* "mimeo 1 ", 16 hexadecimal digits, newline */
#define PROBE_NAME_BYTES 48
#define MARKER_MODE 0644
#define WORK_MODE 0700

struct complaint {
	char *err;
	size_t len;
};

/* Returns r. */
PRINTF(3, 4)
static int
complain(const struct complaint *c, int r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(c->err, c->len, fmt, ap);
	va_end(ap);
	return r;
}

/* ---- opening ---- */

static int
open_dir(const char *path, int *fd, struct stat *st)
{
	*fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return *fd < 0 || fstat(*fd, st) < 0 ? -errno : 0;
}

static int
open_root(struct tree *t, const struct complaint *c)
{
	struct stat st;
	int r = open_dir(t->path, &t->root, &st);

	if (r == -ENOENT || r == -ENOTDIR)
		return complain(c, r, "root %s: %s: create the directory, or correct `root'",
				t->path, strerror(-r));
	if (r < 0)
		return complain(c, r, "root %s: %s: this process must be able to read it", t->path,
				strerror(-r));
	t->dev = st.st_dev;
	t->ino = st.st_ino;
	return 0;
}

/* Opens a directory of work's; *made if it was not there. */
static int
make_subdir(struct tree *t, const char *name, int *fd, bool *made)
{
	if (mkdirat(t->work, name, WORK_MODE) == 0)
		*made = true;
	else if (errno != EEXIST)
		return -errno;
	*fd = tree_openat(t->work, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	return *fd < 0 ? *fd : 0;
}

static int
make_work(struct tree *t, const char *work, const struct complaint *c)
{
	bool made = mkdir(work, WORK_MODE) == 0;
	struct stat st;
	int r = made || errno == EEXIST ? open_dir(work, &t->work, &st) : -errno;

	if (r < 0)
		return complain(c, r, "work %s: %s: create it (mode 0700) for this process's user",
				work, strerror(-r));
	if (st.st_dev != t->dev)
		return complain(c, -EXDEV,
				"work %s is not on the file system of root %s: set `work' to a "
				"directory beside the root",
				work, t->path);
	r = make_subdir(t, "stage", &t->stage, &made);
	if (r == 0)
		r = make_subdir(t, "kept", &t->kept, &made);
	if (r == 0 &&
	    made) /* what will be kept in there must not vanish with a name that was not durable */
		r = tree_sync_all(t);
	if (r < 0)
		return complain(
			c, r,
			"work %s: cannot make stage/ and kept/ in it: %s: it must belong to "
			"this process's user",
			work, strerror(-r));
	return 0;
}

static int
touch(const struct tree *t, const char *name, struct sig *sig)
{
	int fd = tree_openat(t->stage, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);

	if (fd < 0)
		return fd;
	close(fd);
	return tree_sig(t, t->stage, name, sig, NULL);
}

/* -EOPNOTSUPP: a rename did something else than it was asked for. */
static int
try_renames(const struct tree *t, const char *one, const char *two)
{
	struct sig a, b, now;
	int r = touch(t, one, &a);

	if (r == 0)
		r = touch(t, two, &b);
	if (r == 0)
		r = tree_rename(t->stage, one, t->stage, two, RENAME_NOREPLACE);
	if (r != -EEXIST)
		return r == 0 || r == -EINVAL ? -EOPNOTSUPP : r;
	r = tree_rename(t->stage, one, t->stage, two, RENAME_EXCHANGE);
	if (r == 0)
		r = tree_sig(t, t->stage, one, &now, NULL);
	if (r < 0 || now.ino != b.ino)
		return r == 0 || r == -EINVAL ? -EOPNOTSUPP : r;
	r = tree_rename(t->stage, one, t->kept, one, RENAME_NOREPLACE);
	return r == -EINVAL ? -EOPNOTSUPP : r;
}

/*
 * The renames on real files in the stage; and, by a file that is not there, whether work and root
 * are on one mount: the kernel looks at the mounts (EXDEV) before it looks for the file (ENOENT).
 */
static int
probe(const struct tree *t, const char *work, const struct complaint *c)
{
	char one[PROBE_NAME_BYTES], two[PROBE_NAME_BYTES];
	int r;

	snprintf(one, sizeof(one), ".probe-%ld-1", (long)getpid());
	snprintf(two, sizeof(two), ".probe-%ld-2", (long)getpid());
	(void)unlinkat(t->stage, one, 0);
	(void)unlinkat(t->stage, two, 0);
	(void)unlinkat(t->kept, one, 0);
	r = try_renames(t, one, two);
	(void)unlinkat(t->stage, one, 0);
	(void)unlinkat(t->stage, two, 0);
	(void)unlinkat(t->kept, one, 0);
	if (r == -EOPNOTSUPP)
		return complain(
			c, r,
			"work %s: its file system lacks RENAME_NOREPLACE or RENAME_EXCHANGE: "
			"use ext4, xfs, btrfs or tmpfs",
			work);
	if (r < 0)
		return complain(c, r,
				"work %s: cannot create and rename files in it: %s: it must be "
				"writable for this process",
				work, strerror(-r));
	r = tree_rename(t->stage, one, t->root, one, RENAME_NOREPLACE);
	if (r == -ENOENT)
		return 0;
	return complain(c, r < 0 ? r : -EIO,
			"work %s: no rename from there to root %s: %s: both must be in "
			"one mount, writable",
			work, t->path, strerror(-r));
}

int
tree_open(const struct tree_opts *opts, struct tree **out, char *err, size_t err_len)
{
	struct complaint c = {.err = err, .len = err_len};
	struct tree *t = calloc(1, sizeof(*t));
	int r;

	*out = NULL;
	if (t == NULL)
		return complain(&c, -ENOMEM, "out of memory");
	t->root = t->work = t->stage = t->kept = -1;
	t->path = strdup(opts->root);
	r = t->path == NULL ? complain(&c, -ENOMEM, "out of memory") : open_root(t, &c);
	if (r == 0 && opts->work != NULL)
		r = make_work(t, opts->work, &c);
	if (r == 0 && opts->work != NULL)
		r = probe(t, opts->work, &c);
	if (r < 0)
		tree_close(t);
	else
		*out = t;
	return r;
}

static void
close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

void
tree_close(struct tree *t)
{
	if (t == NULL)
		return;
	close_fd(t->kept);
	close_fd(t->stage);
	close_fd(t->work);
	close_fd(t->root);
	free(t->path);
	free(t);
}

/* ---- the marker ---- */

static void
marker_text(uint64_t store, char text[MARKER_BYTES + 1])
{
	snprintf(text, MARKER_BYTES + 1, "mimeo 1 %016" PRIx64 "\n", store);
}

static int
fill_marker(int fd, uint64_t store)
{
	struct tfile f = {.fd = fd};
	char text[MARKER_BYTES + 1];
	int r;

	marker_text(store, text);
	r = tfile_write_at(&f, 0, text, MARKER_BYTES);
	if (r == 0 && fchmod(fd, MARKER_MODE) < 0)
		r = -errno;
	return r < 0 ? r : tree_fsync(fd);
}

/* -EOPNOTSUPP: there are no files without a name here, or no way to name them. */
static int
marker_at_once(const struct tree *t, uint64_t store)
{
	int fd = tree_openat(t->root, ".", O_TMPFILE | O_WRONLY, MARKER_MODE), r;
	char self[32];

	if (fd < 0)
		return fd == -EISDIR || fd == -EINVAL ? -EOPNOTSUPP : fd;
	r = fill_marker(fd, store);
	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	/* The link that is followed is the kernel's name of our own descriptor. */
	if (r == 0 && linkat(AT_FDCWD, self, t->root, PATH_MARKER, AT_SYMLINK_FOLLOW) < 0)
		r = errno == ENOENT ? -EOPNOTSUPP : -errno;
	close(fd);
	return r;
}

/* A power cut in here leaves a marker that the guard refuses. */
static int
marker_in_place(const struct tree *t, uint64_t store)
{
	int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
	int fd = tree_openat(t->root, PATH_MARKER, flags, MARKER_MODE), r;

	if (fd < 0)
		return fd;
	r = fill_marker(fd, store);
	close(fd);
	if (r < 0)
		(void)unlinkat(t->root, PATH_MARKER, 0);
	return r;
}

int
tree_marker_write(struct tree *t, uint64_t store)
{
	int r = marker_at_once(t, store);

	if (r == -EOPNOTSUPP)
		r = marker_in_place(t, store);
	return r < 0 ? r : tree_fsync(t->root);
}

static int
read_marker(struct tree *t, char *text, size_t cap, ssize_t *len)
{
	struct tfile *f;
	int r = tree_open_regular(t, t->root, PATH_MARKER, &f);

	if (r < 0)
		return r;
	*len = tfile_read_at(f, 0, text, cap);
	tfile_close(f);
	return *len < 0 ? (int)*len : 0;
}

static int
check_marker(struct tree *t, uint64_t store)
{
	char want[MARKER_BYTES + 1], got[MARKER_BYTES + 1];
	ssize_t len = 0;
	int r = read_marker(t, got, sizeof(got), &len);

	if (r == -ENOENT)
		return -ENODATA;
	if (r == -EMFILE || r == -ENFILE || r == -ENOMEM || r == -EIO || r == -EINTR)
		return r; /* says nothing about the marker */
	marker_text(store, want);
	return r == 0 && len == MARKER_BYTES && memcmp(got, want, MARKER_BYTES) == 0 ? 0 : -EBADMSG;
}

int
tree_guard(struct tree *t, uint64_t store)
{
	struct stat st;

	if (stat(t->path, &st) < 0)
		return tree_errno();
	if (!S_ISDIR(st.st_mode) || st.st_dev != t->dev || st.st_ino != t->ino)
		return -ESTALE;
	return check_marker(t, store);
}

/* ---- room ---- */

int
tree_space(struct tree *t, uint64_t *bytes, uint64_t *inodes)
{
	struct statvfs s;

	if (fstatvfs(t->work, &s) < 0)
		return -errno;
	*bytes = (uint64_t)s.f_bavail * s.f_frsize;
	*inodes = s.f_files == 0 ? UINT64_MAX : s.f_favail; /* btrfs does not count them */
	return 0;
}
