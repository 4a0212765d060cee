/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of the tree share: its descriptors, and what every operation is made of. */
#ifndef MIMEO_CONF_TREE_INTERNAL_H
#define MIMEO_CONF_TREE_INTERNAL_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>
#include <time.h>

#include "conf/durable.h"
#include "conf/tree.h"
#include "proto/path.h"

/* Nothing changes after tree_open, so threads may share it. */
struct tree {
	int root; /* O_RDONLY, for life: syncfs reports only errors since its descriptor was opened
		   */
	int work, stage, kept; /* -1 without work */
	dev_t dev;             /* of the root */
	ino_t ino;
	char *path;             /* the root's, for tree_guard */
	struct durable durable; /* names of directories that tree_sync_dir found and synced */
};

struct tfile {
	int fd;
};

/* A directory below the root and one name in it. */
struct tree_at {
	int dir; /* O_PATH; tree_at_close */
	char name[PATH_NAME_BYTES_MAX + 1];
};

/* -errno, ENOTDIR turned into ENOENT. */
int tree_errno(void);
/* openat with O_CLOEXEC, again when a signal comes. A descriptor or -errno (ENOTDIR turned). */
NODISCARD int tree_openat(int dir, const char *name, int flags, mode_t mode);
/*
 * Opens the directory at path (0 bytes: the root) beneath the root. -EINVAL if path_check refuses
 * it.
 */
NODISCARD int tree_resolve(const struct tree *t, const void *path, size_t len, int flags);
/*
 * Opens the parent of path. On an error nothing is to be closed, though tree_at_close may be
 * called.
 */
NODISCARD int tree_at(const struct tree *t, const void *path, size_t len, struct tree_at *at);
void tree_at_close(struct tree_at *at);
/*
 * The signature of a name in a directory, or (name "") of a descriptor. -EXDEV: something is
 * mounted on it, or it is a directory on another device. sig is all zero on an error; nlink may be
 * NULL.
 */
NODISCARD int tree_sig(const struct tree *t, int dir, const char *name, struct sig *sig,
		       uint32_t *nlink);
/*
 * The same of a descriptor wherever it is: of an open file, or of the root, which may well be a
 * mount point.
 */
NODISCARD int tree_sig_fd(int fd, struct sig *sig, uint32_t *nlink);
/* One plain name: not empty, no '/', neither "." nor "..". 0 or -EINVAL. */
NODISCARD int tree_name_check(const char *name);
/*
 * renameat2; 0 or -errno. Not repeated after a signal: nobody could tell whether it had happened.

 */
NODISCARD int tree_rename(int from_dir, const char *from, int to_dir, const char *to,
			  unsigned flags);
NODISCARD ssize_t tree_readlinkat(int dir, const char *name, void *buf, size_t cap);
/*
 * Reads a directory to its end and closes fd, always. A directory that was removed meanwhile is
 * -ENOENT, not an empty one.
 */
NODISCARD int tree_scan(int fd,
			int (*cb)(void *arg, const char *name, size_t name_len, uint8_t d_type),
			void *arg);
/* Opens a regular file in a directory for reading. */
NODISCARD int tree_open_regular(const struct tree *t, int dir, const char *name,
				struct tfile **out);
/* Takes fd, also on an error. */
NODISCARD int tree_tfile_new(int fd, struct tfile **out);
/* For utimensat: leave the time of access, set that of modification. */
void tree_times(int64_t mtime_ns, struct timespec ts[2]);
/*
 * fsync, once: after an error the kernel has forgotten what was dirty, and a second call would lie.

 */
NODISCARD int tree_fsync(int fd);

/* What a descriptor's object shall have. */
struct tree_meta {
	uint16_t mode; /* only RECORD_MODE_MASK of it counts */
	int64_t mtime_ns;
	uint32_t uid, gid; /* (uint32_t)-1: leave */
};
/*
 * Owner, mode and (not of a directory) mtime of a descriptor, O_PATH or not, that shows `now`. A
 * directory keeps its setgid and sticky bits: they are this machine's business, no part of a
 * version. Of a symlink only mtime is set. What is right already is not touched. -EPERM: only the
 * owner could not be set; any other lack of permission is -EACCES.
 */
NODISCARD int tree_dress(int fd, const struct sig *now, const struct tree_meta *want);

#endif
