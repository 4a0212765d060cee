/* SPDX-License-Identifier: BSD-2-Clause */
/* One open-file-description lock, held for life. */
#include "config.h"

#include "conf/lifelock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRIES_MAX 16 /* someone replaces the file again and again: give up */

/* 1 if `path` names the open file, 0 if another or none, -errno. */
static int
same_file(int fd, const char *path)
{
	struct stat a, b;

	if (fstat(fd, &a) < 0)
		return -errno;
	if (lstat(path, &b) < 0)
		return errno == ENOENT ? 0 : -errno;
	return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

int
lifelock_take(const char *path)
{
	for (int i = 0; i < TRIES_MAX; i++) {
		struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
		int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
		int err, same;

		if (fd < 0)
			return -errno;
		if (fcntl(fd, F_OFD_SETLK, &lock) < 0) {
			err = errno;
			close(fd);
			return err == EAGAIN || err == EACCES ? -EBUSY : -err;
		}
		/* A lock on a file that was replaced meanwhile keeps nobody out. */
		same = same_file(fd, path);
		if (same > 0)
			return fd;
		close(fd);
		if (same < 0)
			return same;
	}
	return -EBUSY;
}
