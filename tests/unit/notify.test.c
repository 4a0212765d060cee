/* SPDX-License-Identifier: BSD-2-Clause */
/* Checks conf/notify on a real kernel: decoding, order, renames, removal, overflow. */
#include "config.h"

#include "conf/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/tap.h"

#define KEPT_MAX 16
#define ALL                                                                                        \
	(NOTIFY_CREATE | NOTIFY_DELETE | NOTIFY_CLOSE_WRITE | NOTIFY_MOVED_FROM | NOTIFY_MOVED_TO)

struct seen {
	struct notify *n;
	int count;
	int overflows;
	int overflow_wd;
	int rm_wd; /* removed in the callback, if >= 0 */
	struct {
		int wd;
		uint32_t mask;
		uint32_t cookie;
		char name[256];
		size_t name_len;
	} kept[KEPT_MAX];
};

static char dir[] = "/tmp/notify-test-XXXXXX";

static void
on_event(void *arg, const struct notify_event *ev)
{
	struct seen *s = arg;

	if (ev->mask & NOTIFY_OVERFLOW) {
		s->overflows++;
		s->overflow_wd = ev->wd;
	}
	if (s->count < KEPT_MAX) {
		s->kept[s->count].wd = ev->wd;
		s->kept[s->count].mask = ev->mask;
		s->kept[s->count].cookie = ev->cookie;
		s->kept[s->count].name_len = ev->name_len;
		snprintf(s->kept[s->count].name, sizeof(s->kept[0].name), "%s", ev->name);
	}
	s->count++;
	if (s->rm_wd >= 0) {
		(void)notify_rm(s->n, s->rm_wd);
		s->rm_wd = -1;
	}
}

/* Reads all that waits; what happens to files is queued before the call that did it returns. */
static struct seen
drain(struct notify *n)
{
	struct seen s = {.n = n, .rm_wd = -1};

	is_int(notify_read(n, on_event, &s), s.count, "the count is that of the calls");
	return s;
}

static void
touch(int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	if (fd >= 0)
		close(fd);
}

static void
test_events(struct notify *n, int dirfd, int wd)
{
	struct seen s;

	s = drain(n);
	is_int(s.count, 0, "nothing happened, nothing comes, and it does not wait");
	touch(dirfd, "a");
	s = drain(n);
	is_int(s.count, 2, "a new file");
	is_int(s.kept[0].mask, NOTIFY_CREATE, "is created");
	is_int(s.kept[1].mask, NOTIFY_CLOSE_WRITE, "and closed");
	is_int(s.kept[0].wd, wd, "in the watch that was added");
	is_str(s.kept[1].name, "a", "under its name");
	is_int(s.kept[1].name_len, 1, "without the filling");
	renameat(dirfd, "a", dirfd, "b\xff\n");
	s = drain(n);
	is_int(s.count, 2, "a rename");
	is_int(s.kept[0].mask, NOTIFY_MOVED_FROM, "from");
	is_int(s.kept[1].mask, NOTIFY_MOVED_TO, "to");
	is_str(s.kept[1].name, "b\xff\n", "names are bytes");
	ok(s.kept[0].cookie != 0 && s.kept[0].cookie == s.kept[1].cookie, "joined by a cookie");
	mkdirat(dirfd, "d", 0700);
	unlinkat(dirfd, "d", AT_REMOVEDIR);
	unlinkat(dirfd, "b\xff\n", 0);
	s = drain(n);
	is_int(s.count, 3, "a directory comes and goes, the file too");
	is_int(s.kept[0].mask, NOTIFY_CREATE | NOTIFY_ISDIR, "directories are marked");
	is_int(s.kept[2].mask, NOTIFY_DELETE, "files are not");
}

static void
test_names(struct notify *n, int dirfd)
{
	unsigned wrong = 0;
	char name[256];

	/* Every length, and so every amount of filling. */
	for (size_t len = 1; len <= 255; len++) {
		struct seen s = {.n = n, .rm_wd = -1};

		memset(name, 'n', len);
		name[len] = '\0';
		touch(dirfd, name);
		unlinkat(dirfd, name, 0);
		wrong += notify_read(n, on_event, &s) != 3;
		for (int i = 0; i < 3; i++)
			wrong += s.kept[i].name_len != len || strcmp(s.kept[i].name, name) != 0;
	}
	is_int(wrong, 0, "names of every length");
}

static void
test_errors(struct notify *n, int dirfd, int wd)
{
	char path[64];
	struct seen s = {.n = n, .rm_wd = -1};

	is_int(notify_add(n, "/nonexistent/x", ALL), -ENOENT, "no such directory");
	snprintf(path, sizeof(path), "%s/f", dir);
	touch(dirfd, "f");
	is_int(notify_add(n, path, ALL | NOTIFY_ONLYDIR), -ENOTDIR, "a file is no directory");
	is_int(notify_add_fd(n, dirfd, ALL), wd, "the same directory is the same watch");
	is_int(notify_add_fd(n, dirfd, ALL | NOTIFY_MASK_CREATE), -EEXIST, "unless asked not to");
	is_int(notify_add_fd(n, 987654, ALL), -ENOENT, "no such descriptor");
	is_int(notify_rm(n, 987654), -EINVAL, "no such watch");
	drain(n);
	/* A watch that is removed while its events are being handed over. */
	unlinkat(dirfd, "f", 0);
	touch(dirfd, "f");
	unlinkat(dirfd, "f", 0);
	s.rm_wd = wd;
	is_int(notify_read(n, on_event, &s), 5, "events before a removal still come");
	is_int(s.kept[4].mask, NOTIFY_IGNORED, "then the end of the watch");
	is_str(s.kept[4].name, "", "which has no name");
	is_int(notify_rm(n, wd), -EINVAL, "it is gone");
	touch(dirfd, "f");
	unlinkat(dirfd, "f", 0);
	s = drain(n);
	is_int(s.count, 0, "and silent");
}

static void
test_gone(struct notify *n, int dirfd)
{
	int sub, wd;
	struct seen s;

	mkdirat(dirfd, "gone", 0700);
	sub = openat(dirfd, "gone", O_PATH | O_DIRECTORY | O_CLOEXEC);
	renameat(dirfd, "gone", dirfd, "moved");
	wd = notify_add_fd(n, sub, ALL | NOTIFY_DELETE_SELF | NOTIFY_DONT_FOLLOW);
	ok(wd >= 0, "an O_PATH descriptor, renamed since");
	close(sub);
	unlinkat(dirfd, "moved", AT_REMOVEDIR);
	s = drain(n);
	is_int(s.count, 2, "a watched directory is removed");
	is_int(s.kept[0].mask, NOTIFY_DELETE_SELF, "it says so");
	is_int(s.kept[1].mask, NOTIFY_IGNORED, "and ends");
}

/* Twice as many events as wait at most; open and close alternate, so none are joined. */
static void
test_overflow(struct notify *n, int dirfd, uint64_t max_queued)
{
	struct pollfd p = {.fd = notify_fd(n), .events = POLLIN};
	int wd = notify_add_fd(n, dirfd, NOTIFY_OPEN | NOTIFY_CLOSE_WRITE);
	struct seen s = {.n = n, .rm_wd = -1};
	int total = 0, rounds = 0, got;
	bool over = false;

	ok(wd >= 0, "watch for the overflow");
	for (uint64_t i = 0; i < max_queued; i++)
		touch(dirfd, "o");
	do {
		got = notify_read(n, on_event, &s);
		over |= got > NOTIFY_BATCH_EVENTS_MAX + 4096;
		total += got;
		rounds++;
	} while (got > 0);
	is_int(s.overflows, 1, "one overflow");
	is_int(s.overflow_wd, -1, "that belongs to no watch");
	is_int(total, max_queued + 1, "after as many events as may wait");
	ok(!over, "bounded at each call (%d calls)", rounds);
	is_int(poll(&p, 1, 0), 0, "then silent");
	touch(dirfd, "o");
	is_int(poll(&p, 1, 0), 1, "alive again");
	s = drain(n);
	is_int(s.count, 2, "and complete");
	unlinkat(dirfd, "o", 0);
}

struct feeder {
	int dirfd;
	int count;
};

/* Every event that is handed over makes more of them: there is always something to read. */
static void
on_fed(void *arg, const struct notify_event *ev)
{
	struct feeder *f = arg;

	(void)ev;
	if (f->count++ <= NOTIFY_BATCH_EVENTS_MAX + 10000)
		touch(f->dirfd, "fed");
}

static void
test_bound(struct notify *n, int dirfd)
{
	struct feeder f = {.dirfd = dirfd};
	struct seen s = {.n = n, .rm_wd = -1};
	int got;

	touch(dirfd, "fed");
	got = notify_read(n, on_fed, &f);
	ok(got >= NOTIFY_BATCH_EVENTS_MAX && got < NOTIFY_BATCH_EVENTS_MAX + 8192,
	   "a read that is fed for ever ends all the same");
	while (notify_read(n, on_event, &s) > 0)
		;
	unlinkat(dirfd, "fed", 0);
}

static void
test_limits(uint64_t *max_queued)
{
	uint64_t watches = 0, instances = 0;

	is_int(notify_limits(&watches, max_queued, &instances), 0, "limits");
	ok(watches > 0 && *max_queued > 0 && instances > 0, "are known");
}

int
main(void)
{
	struct notify *n = notify_new();
	uint64_t max_queued = 0;
	int dirfd, wd;

	notify_free(NULL);
	if (!n)
		return skip_rest("no inotify instance to be had");
	if (!mkdtemp(dir))
		return skip_rest("no temporary directory");
	dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	wd = notify_add(n, dir, ALL | NOTIFY_ONLYDIR);
	ok(wd >= 0, "watch");
	test_limits(&max_queued);
	test_events(n, dirfd, wd);
	test_names(n, dirfd);
	test_errors(n, dirfd, wd);
	test_gone(n, dirfd);
	if (max_queued > 0 && max_queued <= 100000)
		test_overflow(n, dirfd, max_queued);
	else
		diag("the queue is too long to be filled: overflow not tried");
	test_bound(n, dirfd);
	notify_free(n);
	close(dirfd);
	ok(rmdir(dir) == 0, "nothing left behind");
	return tap_done();
}
