/* SPDX-License-Identifier: BSD-2-Clause */
/* The mirrored tree and its work directory: the only way either daemon touches a file there. */
#ifndef MIMEO_CONF_TREE_H
#define MIMEO_CONF_TREE_H

#include <sys/types.h>

#include "proto/record.h"
#include "proto/sig.h"

/*
 * Paths are byte strings relative to the root, not terminated, already checked by path_check (else
 * -EINVAL); length 0 is the root itself, to look at and to sync. Every step is resolved beneath the
 * root without following any symlink and without leaving its mount (openat2
 * RESOLVE_BENEATH|NO_SYMLINKS|NO_MAGICLINKS|NO_XDEV; an O_NOFOLLOW walk name by name where the
 * kernel or a sandbox lacks it). `stage` and `kept` names are plain C strings without '/' (else
 * -EINVAL), below work/stage and work/kept.
 *
 * All return 0 or a negative errno. -ENOENT means "proved absent" (a missing or non-directory
 * parent included: ENOTDIR is turned into it); every other errno means "unknown". A symlink on the
 * way is -ELOOP, a mount point -EXDEV. Threads may share a tree.
 *
 * RACE: a parent was found beneath the root, and somebody moves it elsewhere before it is used.
 * What is done then happens where he moved it, as if he had moved it a moment later.
 */
struct tree;
struct tfile; /* an open regular file, of the tree, the stage or kept */

struct tree_opts {
	const char *root;
	const char *work; /* NULL: read only (the watcher): no stage, no kept */
};

/*
 * Opens root and work (made if missing, 0700, with stage/ and kept/), which must be on one device;
 * pins device and inode; with work: tries RENAME_NOREPLACE and RENAME_EXCHANGE on real files in it.
 * On failure err says in one line what, where and what to do.
 */
NODISCARD int tree_open(const struct tree_opts *opts, struct tree **out, char *err, size_t err_len);
void tree_close(struct tree *t);

/* The marker ROOT/.mimeo-id: "mimeo 1 STOREID16HEX\n". */
NODISCARD int tree_marker_write(struct tree *t, uint64_t store); /* -EEXIST */
/*
 * Is the root path still the pinned directory, with the marker of that store? 0; -ESTALE: replaced
 * or another file system; -ENOENT: gone; -ENODATA: marker missing; -EBADMSG: marker of another
 * store or unreadable.
 */
NODISCARD int tree_guard(struct tree *t, uint64_t store);

/*
 * lstat. sig->kind is FILE, DIR, SYMLINK; -EMEDIUMTYPE for anything else (FIFO, device, socket).
 * sig is all zero on an error; `provisional` is left to the caller. nlink may be NULL.
 */
NODISCARD int tree_stat(struct tree *t, const void *path, size_t len, struct sig *sig,
			uint32_t *nlink);
/*
 * Reads the directory to its end; cb gets each name but "." and ".."; a non-zero return stops and
 * is returned. An error in the middle is an error, and so is a directory removed meanwhile
 * (-ENOENT).
 */
NODISCARD int tree_list(struct tree *t, const void *path, size_t len,
			int (*cb)(void *arg, const char *name, size_t name_len, uint8_t d_type),
			void *arg);
/* Target of a symlink, at most cap bytes (-ENAMETOOLONG), not terminated. Returns the length. */
NODISCARD ssize_t tree_readlink(struct tree *t, const void *path, size_t len, void *buf,
				size_t cap);
/* An O_PATH|O_DIRECTORY descriptor of a directory, for inotify; the caller closes it. */
NODISCARD int tree_dirfd(struct tree *t, const void *path, size_t len);
/*
 * Opens a regular file for reading; else -EISDIR, -ELOOP (a symlink), -EMEDIUMTYPE. Never blocks.

 */
NODISCARD int tree_open_file(struct tree *t, const void *path, size_t len, struct tfile **out);

void tfile_close(struct tfile *f); /* NULL is fine */
NODISCARD int tfile_stat(struct tfile *f, struct sig *sig, uint32_t *nlink);
/*
 * Reads len bytes, fewer only at the end of the file (or before an error, which the next call
 * shows).
 */
NODISCARD ssize_t tfile_read_at(struct tfile *f, uint64_t off, void *buf, size_t len);
/*
 * 0: no one has it open for writing at this moment (a read lease was taken and dropped). -EAGAIN: a
 * writer, ourselves included. -EPERM: no right to try, or no leases on this file system (treated as
 * unknown by callers). May leave a SIGURG behind, which is ignored by default.
 */
NODISCARD int tfile_lease(struct tfile *f);
/*
 * The same, and from now on nobody can open it for writing: who tries waits until the file is
 * closed here. For the few calls around a rename, and never across anything that may take long.
 */
NODISCARD int tfile_hold(struct tfile *f);
/* Was the name by which it was opened moved to this path? Then that counts, even if it is gone from
 * there by now. False also if nobody can tell. */
bool tfile_moved_to(struct tree *t, struct tfile *f, const void *path, size_t len);
/* What of it lies in the kernel's cache and is on the disk is read from the disk next time; a hint.
 */
void tfile_forget_cached(struct tfile *f);
/* fsync, as mode and mtime are part of a version; an error is final for this file. */
NODISCARD int tfile_sync(struct tfile *f);
/*
 * Durable names: fsync of a directory; of stage/; of kept/; everything (syncfs). The names of the
 * directory itself and of all above it, up to the root, are made durable, too. In place of a
 * directory that has gone, the nearest one above it is synced: that it has gone is durable then.
 * One that cannot be reached by its path any more (somebody put a symlink or a file there) may lie
 * anywhere now: then everything is synced.
 */
NODISCARD int tree_sync_dir(struct tree *t, const void *path, size_t len);
NODISCARD int tree_sync_stage(struct tree *t);
NODISCARD int tree_sync_kept(struct tree *t);
NODISCARD int tree_sync_all(struct tree *t);

/* ---- what follows needs work (the agent) ---- */

/*
 * Opens a stage file for reading and writing, made if it is not there (0600; size > 8 MiB:
 * preallocated, -ENOSPC if that fails; an empty file may be left). *have = bytes already in it.
 */
NODISCARD int tree_stage_open(struct tree *t, const char *name, uint64_t size, struct tfile **out,
			      uint64_t *have);
/* For reading alone, while it is written; -ENOENT. */
NODISCARD int tree_stage_read(struct tree *t, const char *name, struct tfile **out);
NODISCARD int tree_stage_symlink(struct tree *t, const char *name, const void *target, size_t len,
				 int64_t mtime_ns);
NODISCARD int tree_stage_stat(struct tree *t, const char *name, struct sig *sig);
NODISCARD ssize_t tree_stage_readlink(struct tree *t, const char *name, void *buf, size_t cap);
/* A file, a symlink, or an empty directory (-ENOTEMPTY). */
NODISCARD int tree_stage_unlink(struct tree *t, const char *name);
NODISCARD int tree_stage_list(struct tree *t, int (*cb)(void *arg, const char *name), void *arg);
/* All or an error. */
NODISCARD int tfile_write_at(struct tfile *f, uint64_t off, const void *buf, size_t len);
/* Takes room for a file of that size, of which `have` bytes are there. -ENOSPC, and nothing is
 * taken; -EFBIG. */
NODISCARD int tfile_reserve(struct tfile *f, uint64_t have, uint64_t size);
/* Keeps what was preallocated if the file has that size already. */
NODISCARD int tfile_truncate(struct tfile *f, uint64_t size);
/* Starts write-back of a range without waiting (sync_file_range); a hint. */
void tfile_flush_hint(struct tfile *f, uint64_t off, uint64_t len);
/*
 * Owner first (uid/gid -1 cast: leave), then mode (RECORD_MODE_MASK of it), then mtime. -EPERM:
 * chown was refused, mode and mtime were set all the same. -EACCES: no right to set those.
 */
NODISCARD int tfile_set_meta(struct tfile *f, uint16_t mode, int64_t mtime_ns, uint32_t uid,
			     uint32_t gid);

/*
 * renameat2 between stage and tree. The parent must exist (-ENOENT), and what is staged too
 * (-ESTALE). What take brings out, or exchange for anything but a directory, is a file or a
 * symlink: a directory (-EISDIR) or another kind (-EMEDIUMTYPE) stays where it is, and is put back
 * at once if it came in between. If the path was changed yet again before it could go back, the
 * newest stays at the path, the other one in the stage, and the result is 0: callers look at what
 * came out.
 */
/* -EEXIST: nothing is replaced. */
NODISCARD int tree_place(struct tree *t, const char *stage, const void *path, size_t len);
/* -ENOENT: nothing is there. */
NODISCARD int tree_exchange(struct tree *t, const char *stage, const void *path, size_t len);
/* -EEXIST: nothing in the stage is replaced. */
NODISCARD int tree_take(struct tree *t, const void *path, size_t len, const char *stage);
/* -EEXIST: nothing is replaced. */
NODISCARD int tree_move(struct tree *t, const void *from, size_t from_len, const void *to,
			size_t to_len);
/*
 * -EEXIST. A setgid bit inherited from the parent stays. -EPERM: it was made, only chown was
 * refused. -ESTALE: somebody put another directory in its place, which is left alone.
 */
NODISCARD int tree_mkdir(struct tree *t, const void *path, size_t len, uint16_t mode, uint32_t uid,
			 uint32_t gid);
/* -ENOTEMPTY. */
NODISCARD int tree_rmdir(struct tree *t, const void *path, size_t len);
/*
 * In place, on the object itself (never a symlink's target), for a change of metadata alone; as
 * tfile_set_meta, but a directory keeps its mtime, setgid and sticky bit, and of a symlink only
 * mtime is set. expect_ino: its inode, else -ESTALE.
 */
NODISCARD int tree_set_meta(struct tree *t, const void *path, size_t len, uint64_t expect_ino,
			    uint16_t mode, int64_t mtime_ns, uint32_t uid, uint32_t gid);

/* From the stage to kept (-EEXIST: nothing is replaced), and the kept files themselves. */
NODISCARD int tree_keep(struct tree *t, const char *stage, const char *kept);
NODISCARD int tree_kept_open(struct tree *t, const char *kept, struct tfile **out);
NODISCARD int tree_kept_stat(struct tree *t, const char *kept, struct sig *sig);
NODISCARD ssize_t tree_kept_readlink(struct tree *t, const char *kept, void *buf, size_t cap);
/* Within kept. -EEXIST: nothing is replaced. */
NODISCARD int tree_kept_rename(struct tree *t, const char *from, const char *to);
NODISCARD int tree_kept_unlink(struct tree *t, const char *kept);
NODISCARD int tree_kept_list(struct tree *t, int (*cb)(void *arg, const char *name), void *arg);

/*
 * How far the log had come when the tree was last changed under it: WORK/log, one line. Never goes
 * back for the same store, so that a log that is an old copy is seen to be one. Not synced: after a
 * power cut it may be older than it was.
 */
struct tree_log {
	uint64_t store, generation, size;
	int64_t when_ms; /* reading: when it was written, wall clock */
};
NODISCARD int tree_log_write(struct tree *t, const struct tree_log *log);
/* -ENOENT: there is none; -EBADMSG: not one. */
NODISCARD int tree_log_read(const char *work, struct tree_log *log);
/* Did the log that a was taken of know more than the one that b is about? */
bool tree_log_newer(const struct tree_log *a, const struct tree_log *b);

/* Free bytes and inodes for an unprivileged writer on the work file system. */
NODISCARD int tree_space(struct tree *t, uint64_t *bytes, uint64_t *inodes);

#endif
