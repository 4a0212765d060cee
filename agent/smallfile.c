/* SPDX-License-Identifier: BSD-2-Clause */
/* Small files that are read whole and replaced whole. */
#include "config.h"

#include "agent/smallfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PATH_BYTES 4300

int
smallfile_read(const char *path, struct buf *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t n;

	if (fd < 0)
		return -errno;
	for (;;) {
		uint8_t *p = buf_room(out, 4096);

		if (p == NULL || out->len > SMALLFILE_BYTES_MAX) {
			close(fd);
			return p == NULL ? -ENOMEM : -EFBIG;
		}
		n = read(fd, p, 4096);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		out->len += (size_t)n;
	}
	close(fd);
	if (n < 0)
		return -EIO;
	buf_put_u8(out, 0);
	return out->failed ? -ENOMEM : 0;
}

static int
write_all(int fd, const uint8_t *p, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static bool
has_text(const char *path, const void *text, size_t len)
{
	struct buf old = {0};
	bool same = smallfile_read(path, &old) == 0 && old.data != NULL && old.len == len + 1 &&
		    (len == 0 || memcmp(old.data, text, len) == 0);

	buf_free(&old);
	return same;
}

/* The new name in its directory is made durable too: what was revoked stays so. */
static int
sync_dir(const char *path)
{
	char dir[PATH_BYTES];
	const char *slash = strrchr(path, '/');
	size_t n = slash != NULL && slash > path ? (size_t)(slash - path) : 1;
	int fd, r;

	memcpy(dir, slash != NULL ? path : ".", n);
	dir[n] = '\0';
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = fsync(fd) < 0 ? -errno : 0;
	close(fd);
	return r;
}

int
smallfile_replace(const char *path, const void *text, size_t len)
{
	char temp[PATH_BYTES];
	int fd, r;

	if (has_text(path, text, len))
		return 0;
	if ((size_t)snprintf(temp, sizeof(temp), "%s.mimeo-new", path) >= sizeof(temp))
		return -ENAMETOOLONG;
	(void)unlink(temp); /* of a crash */
	fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	r = write_all(fd, text, len);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	close(fd);
	if (r == 0 && rename(temp, path) < 0)
		r = -errno;
	if (r < 0)
		(void)unlink(temp);
	return r < 0 ? r : sync_dir(path);
}
