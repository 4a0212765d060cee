/* SPDX-License-Identifier: BSD-2-Clause */
/* One open-file-description lock, held for life. */
#include "config.h"

#include "conf/lifelock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRIES_MAX 16 /* someone replaces the file again and again: give up */

static bool
same_file(int fd, const char *path)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && lstat(path, &b) == 0 && a.st_dev == b.st_dev &&
	       a.st_ino == b.st_ino;
}

int
lifelock_take(const char *path)
{
	for (int i = 0; i < TRIES_MAX; i++) {
		struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
		int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
		int err;

		if (fd < 0)
			return -errno;
		if (fcntl(fd, F_OFD_SETLK, &lock) < 0) {
			err = errno;
			close(fd);
			return err == EAGAIN || err == EACCES ? -EBUSY : -err;
		}
		/* A lock on a file that was replaced meanwhile keeps nobody out. */
		if (same_file(fd, path))
			return fd;
		close(fd);
	}
	return -EBUSY;
}
