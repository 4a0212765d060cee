/* SPDX-License-Identifier: BSD-2-Clause */
/* Small files: read whole, replaced whole or not at all. */
#include "config.h"

#include "agent/smallfile.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/tap.h"

static char dir[64];

static const char *
in_dir(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static void
holds(const char *name, const char *text)
{
	struct buf b = {0};

	is_int(smallfile_read(in_dir(name), &b), 0, "%s is read", name);
	is_str((const char *)b.data, text, "its text");
	buf_free(&b);
}

static ino_t
inode(const char *name)
{
	struct stat st;

	return stat(in_dir(name), &st) == 0 ? st.st_ino : 0;
}

int
main(void)
{
	const char *tmp = getenv("TMPDIR");
	char *large = calloc(1, SMALLFILE_BYTES_MAX + 10000), too_long[5000];
	struct buf b = {0};
	struct stat st;
	ino_t was;

	snprintf(dir, sizeof(dir), "%s/smallfile.XXXXXX",
		 tmp != NULL && strlen(tmp) < 32 ? tmp : "/tmp");
	if (large == NULL || mkdtemp(dir) == NULL)
		abort();
	is_int(smallfile_read(in_dir("a"), &b), -ENOENT, "there is none");
	is_int(smallfile_replace(in_dir("a"), "one\n", 4), 0, "made");
	holds("a", "one\n");
	ok(stat(in_dir("a"), &st) == 0 && (st.st_mode & 07777) == 0600, "for its owner alone");
	was = inode("a");
	is_int(smallfile_replace(in_dir("a"), "one\n", 4), 0, "the same again");
	ok(inode("a") == was, "is not written");
	is_int(smallfile_replace(in_dir("a"), "two\n", 4), 0, "another text");
	holds("a", "two\n");
	is_int(smallfile_replace(in_dir("a"), "", 0), 0, "none");
	holds("a", "");
	is_int(smallfile_replace(in_dir("a"), "", 0), 0, "none again");

	/* What a crash has left is in nobody's way. */
	is_int(smallfile_replace(in_dir("a.mimeo-new"), "half", 4), 0, "half of one");
	is_int(smallfile_replace(in_dir("a"), "three\n", 6), 0, "is overwritten");
	holds("a", "three\n");
	ok(inode("a.mimeo-new") == 0, "and gone");

	is_int(smallfile_replace(in_dir("none/a"), "x", 1), -ENOENT, "no such directory");
	if (mkdir(in_dir("d"), 0700) < 0)
		abort();
	is_int(smallfile_replace(in_dir("d"), "x", 1), -EISDIR, "a directory has the name");
	ok(inode("d.mimeo-new") == 0, "nothing is left of it");
	if (symlink("a", in_dir("l")) < 0)
		abort();
	is_int(smallfile_read(in_dir("l"), &b), -ELOOP, "a symlink is not followed");
	memset(too_long, 'x', sizeof(too_long));
	too_long[sizeof(too_long) - 1] = '\0';
	is_int(smallfile_replace(too_long, "x", 1), -ENAMETOOLONG, "too long a name");
	is_int(smallfile_replace(in_dir("big"), large, SMALLFILE_BYTES_MAX + 9000), 0, "a big one");
	is_int(smallfile_read(in_dir("big"), &b), -EFBIG, "that is not read");

	buf_free(&b);
	free(large);
	(void)unlink(in_dir("a"));
	(void)unlink(in_dir("l"));
	(void)unlink(in_dir("big"));
	(void)rmdir(in_dir("d"));
	is_int(rmdir(dir), 0, "nothing else is there");
	return tap_done();
}
