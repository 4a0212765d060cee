/* SPDX-License-Identifier: BSD-2-Clause */
/* The work directory: the stage, where versions are made ready, and kept, for displaced ones. */
#include "config.h"

#include "conf/tree_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define BLOCK_BYTES 512 /* in which st_blocks counts */
#define PREALLOCATE_BYTES_MIN                                                                      \
	((uint64_t)8 * 1024 * 1024) /* below that it costs more than it spares */

/* ---- what stage and kept have in common ---- */

static int
work_stat(struct tree *t, int dir, const char *name, struct sig *sig)
{
	*sig = (struct sig){0};
	return tree_name_check(name) < 0 ? -EINVAL : tree_sig(t, dir, name, sig, NULL);
}

static ssize_t
work_readlink(int dir, const char *name, void *buf, size_t cap)
{
	return tree_name_check(name) < 0 ? -EINVAL : tree_readlinkat(dir, name, buf, cap);
}

static int
work_unlink(int dir, const char *name)
{
	if (tree_name_check(name) < 0)
		return -EINVAL;
	if (unlinkat(dir, name, 0) == 0)
		return 0;
	if (errno == EISDIR && unlinkat(dir, name, AT_REMOVEDIR) == 0)
		return 0;
	return errno == EEXIST ? -ENOTEMPTY : tree_errno();
}

struct lister {
	int (*cb)(void *arg, const char *name);
	void *arg;
};

static int
list_one(void *arg, const char *name, size_t name_len, uint8_t d_type)
{
	const struct lister *l = arg;

	(void)name_len;
	(void)d_type;
	return l->cb(l->arg, name);
}

static int
work_list(int dir, int (*cb)(void *arg, const char *name), void *arg)
{
	struct lister l = {.cb = cb, .arg = arg};
	int fd = tree_openat(dir, ".", O_RDONLY | O_DIRECTORY, 0);

	return fd < 0 ? fd : tree_scan(fd, list_one, &l);
}

/* ---- the stage ---- */

/* Is there room for a file of that size, with what it has taken already? */
static bool
has_room(int fd, uint64_t size)
{
	struct statvfs s;
	struct stat st;

	if (fstatvfs(fd, &s) < 0 || fstat(fd, &st) < 0)
		return true; /* nobody knows */
	return size <= (uint64_t)s.f_bavail * s.f_frsize + (uint64_t)st.st_blocks * BLOCK_BYTES;
}

/* What there is no room for is not tried: ext4 first takes all there is, and meanwhile everybody
 * else's disk is full. An attempt that fails all the same may have taken part of the room: give it
 * back. */
static int
preallocate(int fd, uint64_t have, uint64_t size)
{
	int r;

	if (size > INT64_MAX)
		return -EFBIG;
	if (!has_room(fd, size))
		return -ENOSPC;
	do {
		r = fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)size) < 0 ? -errno : 0;
	} while (r == -EINTR);
	if (r == -EOPNOTSUPP || r == -ENOSYS)
		return 0;
	if (r < 0 && ftruncate(fd, (off_t)have) < 0)
		return r; /* the first error says more */
	return r;
}

int
tfile_reserve(struct tfile *f, uint64_t have, uint64_t size)
{
	return preallocate(f->fd, have, size);
}

int
tree_stage_open(struct tree *t, const char *name, uint64_t size, struct tfile **out, uint64_t *have)
{
	struct sig sig;
	int fd, r;

	*out = NULL;
	*have = 0;
	if (tree_name_check(name) < 0)
		return -EINVAL;
	fd = tree_openat(t->stage, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (fd < 0)
		return fd;
	r = tree_sig_fd(fd, &sig, NULL);
	if (r == 0 && size > PREALLOCATE_BYTES_MIN && sig.size < size)
		r = preallocate(fd, sig.size, size);
	if (r == 0) {
		*have = sig.size;
		return tree_tfile_new(fd, out);
	}
	close(fd);
	return r;
}

int
tree_stage_read(struct tree *t, const char *name, struct tfile **out)
{
	struct sig sig;
	int fd, r;

	*out = NULL;
	if (tree_name_check(name) < 0)
		return -EINVAL;
	fd = tree_openat(t->stage, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	if (fd < 0)
		return fd;
	r = tree_sig_fd(fd, &sig, NULL);
	if (r == 0)
		return tree_tfile_new(fd, out);
	close(fd);
	return r;
}

int
tree_stage_symlink(struct tree *t, const char *name, const void *target, size_t len,
		   int64_t mtime_ns)
{
	char copy[RECORD_TARGET_BYTES_MAX + 1];
	struct timespec ts[2];
	int r;

	if (tree_name_check(name) < 0 || len == 0 || len >= sizeof(copy) ||
	    memchr(target, 0, len) != NULL)
		return -EINVAL;
	memcpy(copy, target, len);
	copy[len] = '\0';
	if (symlinkat(copy, t->stage, name) < 0)
		return tree_errno();
	tree_times(mtime_ns, ts);
	if (utimensat(t->stage, name, ts, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	r = -errno;
	(void)unlinkat(t->stage, name, 0);
	return r;
}

int
tree_stage_stat(struct tree *t, const char *name, struct sig *sig)
{
	return work_stat(t, t->stage, name, sig);
}

ssize_t
tree_stage_readlink(struct tree *t, const char *name, void *buf, size_t cap)
{
	return work_readlink(t->stage, name, buf, cap);
}

int
tree_stage_unlink(struct tree *t, const char *name)
{
	return work_unlink(t->stage, name);
}

int
tree_stage_list(struct tree *t, int (*cb)(void *arg, const char *name), void *arg)
{
	return work_list(t->stage, cb, arg);
}

int
tree_sync_stage(struct tree *t)
{
	return tree_fsync(t->stage);
}

/* ---- kept ---- */

int
tree_keep(struct tree *t, const char *stage, const char *kept)
{
	if (tree_name_check(stage) < 0 || tree_name_check(kept) < 0)
		return -EINVAL;
	return tree_rename(t->stage, stage, t->kept, kept, RENAME_NOREPLACE);
}

int
tree_kept_open(struct tree *t, const char *kept, struct tfile **out)
{
	*out = NULL;
	return tree_name_check(kept) < 0 ? -EINVAL : tree_open_regular(t, t->kept, kept, out);
}

int
tree_kept_stat(struct tree *t, const char *kept, struct sig *sig)
{
	return work_stat(t, t->kept, kept, sig);
}

ssize_t
tree_kept_readlink(struct tree *t, const char *kept, void *buf, size_t cap)
{
	return work_readlink(t->kept, kept, buf, cap);
}

int
tree_kept_rename(struct tree *t, const char *from, const char *to)
{
	if (tree_name_check(from) < 0 || tree_name_check(to) < 0)
		return -EINVAL;
	return tree_rename(t->kept, from, t->kept, to, RENAME_NOREPLACE);
}

int
tree_kept_unlink(struct tree *t, const char *kept)
{
	return work_unlink(t->kept, kept);
}

int
tree_kept_list(struct tree *t, int (*cb)(void *arg, const char *name), void *arg)
{
	return work_list(t->kept, cb, arg);
}

int
tree_sync_kept(struct tree *t)
{
	return tree_fsync(t->kept);
}

/* ---- how far the log had come ---- */

#define LOG_FILE "log"
#define LOG_START "mimeo 1 "
#define LOG_LINE_BYTES                                                                             \
	80 /* always written in full: a shorter one would leave a tail of the last                 \
	    */

static int
log_parse(int fd, struct tree_log *log)
{
	char text[LOG_LINE_BYTES + 1], *p;
	struct stat st;
	ssize_t n = pread(fd, text, LOG_LINE_BYTES, 0);

	if (n < 0 || fstat(fd, &st) < 0)
		return -errno;
	text[n] = '\0';
	if (strncmp(text, LOG_START, strlen(LOG_START)) != 0)
		return -EBADMSG;
	log->store = strtoull(text + strlen(LOG_START), &p, 16);
	log->generation = strtoull(p, &p, 10);
	log->size = strtoull(p, &p, 10);
	if (*p != ' ' || log->generation == 0 || log->size == 0)
		return -EBADMSG;
	log->when_ms = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
	return 0;
}

int
tree_log_read(const char *work, struct tree_log *log)
{
	char path[PATH_MAX];
	int fd, r;

	*log = (struct tree_log){0};
	if ((size_t)snprintf(path, sizeof(path), "%s/" LOG_FILE, work) >= sizeof(path))
		return -ENAMETOOLONG;
	fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = log_parse(fd, log);
	close(fd);
	return r;
}

bool
tree_log_newer(const struct tree_log *a, const struct tree_log *b)
{
	if (a->store != b->store)
		return false;
	return a->generation > b->generation ||
	       (a->generation == b->generation && a->size > b->size);
}

int
tree_log_write(struct tree *t, const struct tree_log *log)
{
	char text[LOG_LINE_BYTES + 1];
	struct tree_log old;
	int fd = tree_openat(t->work, LOG_FILE, O_RDWR | O_CREAT | O_NOFOLLOW, 0600), r;

	if (fd < 0)
		return fd;
	r = log_parse(fd, &old);
	if (r == 0 && tree_log_newer(&old, log)) {
		close(fd);
		return 0;
	}
	memset(text, ' ', sizeof(text));
	r = snprintf(text, sizeof(text), LOG_START "%016" PRIx64 " %" PRIu64 " %" PRIu64,
		     log->store, log->generation, log->size);
	text[r] = ' ';
	text[LOG_LINE_BYTES - 1] = '\n';
	r = pwrite(fd, text, LOG_LINE_BYTES, 0) == LOG_LINE_BYTES ? 0 : -EIO;
	close(fd);
	return r;
}
