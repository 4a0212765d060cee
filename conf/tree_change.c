/* SPDX-License-Identifier: BSD-2-Clause */
/* Changing the tree: renames between it and the stage, directories, metadata in place. */
#include "config.h"

#include "conf/tree_internal.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOBODY UINT32_MAX
#define NS_PER_S 1000000000
#define PROC_NAME_BYTES 32

int
tree_rename(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
	return renameat2(from_dir, from, to_dir, to, flags) < 0 ? tree_errno() : 0;
}

/*
 * What shall go into the tree, and must be there: -ESTALE, or "not there" would be said of the
 * path.
 */
static int
staged(struct tree *t, const char *stage, struct sig *sig)
{
	int r = tree_name_check(stage) < 0 ? -EINVAL : tree_sig(t, t->stage, stage, sig, NULL);

	return r == -ENOENT ? -ESTALE : r;
}

int
tree_place(struct tree *t, const char *stage, const void *path, size_t len)
{
	struct tree_at at;
	struct sig ours;
	int r = staged(t, stage, &ours);

	if (r < 0)
		return r;
	r = tree_at(t, path, len, &at);
	if (r == 0)
		r = tree_rename(t->stage, stage, at.dir, at.name, RENAME_NOREPLACE);
	tree_at_close(&at);
	return r;
}

/* Why something may not be displaced: 0, -EISDIR, -EMEDIUMTYPE, or why nobody knows what it is. */
static int
movable(const struct tree *t, int dir, const char *name, bool dirs)
{
	struct sig sig;
	int r = tree_sig(t, dir, name, &sig, NULL);

	return r == 0 && sig.kind == KIND_DIR && !dirs ? -EISDIR : r;
}

/*
 * Undoes an exchange that brought out what it must not. Returns why, or 0 if that cannot be undone:
 * the path was changed yet again, its newest content stays there, and what came out stays in the
 * stage.
 */
static int
put_back(const struct tree *t, const char *stage, const struct tree_at *at, uint64_t ino, int why)
{
	struct sig now;

	if (tree_rename(t->stage, stage, at->dir, at->name, RENAME_EXCHANGE) < 0)
		return 0;
	if (tree_sig(t, t->stage, stage, &now, NULL) == 0 && now.ino == ino)
		return why;
	(void)!tree_rename(t->stage, stage, at->dir, at->name, RENAME_EXCHANGE);
	return 0;
}

static int
exchange_at(const struct tree *t, const char *stage, const struct tree_at *at,
	    const struct sig *ours)
{
	bool dirs = ours->kind == KIND_DIR;
	int r = movable(t, at->dir, at->name, dirs);

	if (r < 0)
		return r;
	r = tree_rename(t->stage, stage, at->dir, at->name, RENAME_EXCHANGE);
	if (r < 0)
		return r;
	r = movable(t, t->stage, stage, dirs); /* somebody may have been faster */
	return r == -EISDIR || r == -EMEDIUMTYPE ? put_back(t, stage, at, ours->ino, r) : 0;
}

int
tree_exchange(struct tree *t, const char *stage, const void *path, size_t len)
{
	struct tree_at at;
	struct sig ours;
	int r = staged(t, stage, &ours);

	if (r < 0)
		return r;
	r = tree_at(t, path, len, &at);
	if (r == 0)
		r = exchange_at(t, stage, &at, &ours);
	tree_at_close(&at);
	return r;
}

static int
take_at(const struct tree *t, const struct tree_at *at, const char *stage)
{
	int r = movable(t, at->dir, at->name, false);

	if (r < 0)
		return r;
	r = tree_rename(at->dir, at->name, t->stage, stage, RENAME_NOREPLACE);
	if (r < 0)
		return r;
	r = movable(t, t->stage, stage, false);
	if (r != -EISDIR && r != -EMEDIUMTYPE)
		return 0;
	return tree_rename(t->stage, stage, at->dir, at->name, RENAME_NOREPLACE) == 0 ? r : 0;
}

int
tree_take(struct tree *t, const void *path, size_t len, const char *stage)
{
	struct tree_at at;
	int r;

	if (tree_name_check(stage) < 0)
		return -EINVAL;
	r = tree_at(t, path, len, &at);
	if (r == 0)
		r = take_at(t, &at, stage);
	tree_at_close(&at);
	return r;
}

int
tree_move(struct tree *t, const void *from, size_t from_len, const void *to, size_t to_len)
{
	struct tree_at a, b = {.dir = -1};
	int r = tree_at(t, from, from_len, &a);

	if (r == 0)
		r = tree_at(t, to, to_len, &b);
	if (r == 0)
		r = tree_rename(a.dir, a.name, b.dir, b.name, RENAME_NOREPLACE);
	tree_at_close(&a);
	tree_at_close(&b);
	return r;
}

/* ---- metadata ---- */

void
tree_times(int64_t mtime_ns, struct timespec ts[2])
{
	int64_t s = mtime_ns / NS_PER_S, ns = mtime_ns % NS_PER_S;

	if (ns < 0) {
		ns += NS_PER_S;
		s--;
	}
	ts[0] = (struct timespec){.tv_nsec = UTIME_OMIT};
	ts[1] = (struct timespec){.tv_sec = s, .tv_nsec = ns};
}

/* EPERM is said of the owner alone. And /proc may be missing, which says nothing about the file. */
static int
dress_errno(void)
{
	if (errno == EPERM)
		return -EACCES;
	return errno == ENOENT || errno == ENOTDIR ? -EOPNOTSUPP : -errno;
}

/* *changed if it was set: that may have cleared bits of the mode. */
static int
set_owner(int fd, const struct sig *now, const struct tree_meta *want, bool *changed)
{
	*changed = false;
	if ((want->uid == NOBODY || want->uid == now->uid) &&
	    (want->gid == NOBODY || want->gid == now->gid))
		return 0;
	*changed = fchownat(fd, "", want->uid, want->gid, AT_EMPTY_PATH) == 0;
	return *changed ? 0 : -errno;
}

static int
set_link_mtime(int fd, int64_t mtime_ns)
{
	struct timespec ts[2];

	tree_times(mtime_ns, ts);
	return utimensat(fd, "", ts, AT_EMPTY_PATH) < 0 ? dress_errno() : 0;
}

/*
 * O_PATH descriptors need no right to read the object, but fchmod refuses them; their name in /proc
 * does not.
 */
int
tree_dress(int fd, const struct sig *now, const struct tree_meta *want)
{
	mode_t mode = want->mode & RECORD_MODE_MASK;
	char self[PROC_NAME_BYTES];
	struct timespec ts[2];
	bool changed;
	int owner;

	if (now->kind == KIND_SYMLINK)
		return set_link_mtime(fd, want->mtime_ns);
	owner = set_owner(fd, now, want, &changed);
	if (owner < 0 && owner != -EPERM)
		return owner;
	if (now->kind == KIND_DIR)
		mode |= now->mode & (S_ISGID | S_ISVTX);
	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	if ((changed || mode != now->mode) && chmod(self, mode) < 0)
		return dress_errno();
	tree_times(want->mtime_ns, ts);
	if (now->kind == KIND_FILE && now->mtime_ns != want->mtime_ns &&
	    utimensat(AT_FDCWD, self, ts, 0) < 0)
		return dress_errno();
	return owner;
}

int
tree_set_meta(struct tree *t, const void *path, size_t len, uint64_t expect_ino, uint16_t mode,
	      int64_t mtime_ns, uint32_t uid, uint32_t gid)
{
	struct tree_meta want = {.mode = mode, .mtime_ns = mtime_ns, .uid = uid, .gid = gid};
	struct tree_at at;
	struct sig now;
	int fd, r = tree_at(t, path, len, &at);

	if (r < 0)
		return r;
	fd = tree_openat(at.dir, at.name, O_PATH | O_NOFOLLOW, 0);
	tree_at_close(&at);
	if (fd < 0)
		return fd;
	r = tree_sig(t, fd, "", &now, NULL);
	if (r == 0)
		r = now.ino == expect_ino ? tree_dress(fd, &now, &want) : -ESTALE;
	close(fd);
	return r;
}

/* ---- directories ---- */

/*
 * A directory that is not ours was put in the place of the one just made: it is none of our
 * business.
 */
static int
dress_new_dir(const struct tree *t, const struct tree_at *at, const struct tree_meta *want)
{
	int fd = tree_openat(at->dir, at->name, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0), r;
	struct sig now;

	if (fd < 0)
		return fd;
	r = tree_sig(t, fd, "", &now, NULL);
	if (r == 0)
		r = now.uid == geteuid() ? tree_dress(fd, &now, want) : -ESTALE;
	close(fd);
	return r;
}

int
tree_mkdir(struct tree *t, const void *path, size_t len, uint16_t mode, uint32_t uid, uint32_t gid)
{
	struct tree_meta want = {.mode = mode, .uid = uid, .gid = gid};
	struct tree_at at;
	int r = tree_at(t, path, len, &at);

	if (r == 0 && mkdirat(at.dir, at.name, mode & RECORD_MODE_MASK) < 0)
		r = errno == EPERM ? -EACCES : tree_errno();
	if (r == 0)
		r = dress_new_dir(t, &at, &want);
	tree_at_close(&at);
	return r;
}

int
tree_rmdir(struct tree *t, const void *path, size_t len)
{
	struct tree_at at;
	int r = tree_at(t, path, len, &at);

	if (r == 0 && unlinkat(at.dir, at.name, AT_REMOVEDIR) < 0)
		r = errno == EEXIST ? -ENOTEMPTY : tree_errno();
	tree_at_close(&at);
	return r;
}
