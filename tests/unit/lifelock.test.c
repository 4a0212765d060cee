/* SPDX-License-Identifier: BSD-2-Clause */
/* Checks conf/lifelock, and with it the two smallest files of conf/: clock and random. */
#include "config.h"

#include "conf/lifelock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conf/clock.h"
#include "conf/random.h"
#include "tests/tap.h"

static char dir[] = "/tmp/lifelock-test-XXXXXX";

static int fstat_fails, lstat_fails; /* with this errno, once */

int __real_fstat(int fd, struct stat *st);
int __real_lstat(const char *path, struct stat *st);
int __wrap_fstat(int fd, struct stat *st);
int __wrap_lstat(const char *path, struct stat *st);

/* `*fails` is used up. */
static int
refused(int *fails)
{
	errno = *fails;
	*fails = 0;
	return errno == 0 ? 0 : -1;
}

int
__wrap_fstat(int fd, struct stat *st)
{
	return refused(&fstat_fails) < 0 ? -1 : __real_fstat(fd, st);
}

int
__wrap_lstat(const char *path, struct stat *st)
{
	return refused(&lstat_fails) < 0 ? -1 : __real_lstat(path, st);
}

/* What another process gets; it exits with the lock or without. */
static int
taken_by_child(const char *path)
{
	pid_t pid = fork();
	int status = 0;

	if (pid == 0) {
		int fd = lifelock_take(path);

		_exit(fd >= 0 ? 0 : -fd);
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? -WEXITSTATUS(status) : 1;
}

static void
test_lock(const char *path)
{
	struct stat st;
	int fd = lifelock_take(path), other;

	ok(fd >= 0, "taken");
	ok(fstat(fd, &st) == 0 && (st.st_mode & 0777) == 0600, "made with mode 0600");
	ok(fcntl(fd, F_GETFD) == FD_CLOEXEC, "close-on-exec");
	is_int(lifelock_take(path), -EBUSY, "not a second time by this process");
	is_int(taken_by_child(path), -EBUSY, "not by another");
	/* What a traditional lock would lose: it goes when any descriptor of the file is closed. */
	other = open(path, O_RDWR | O_CLOEXEC);
	close(other);
	is_int(taken_by_child(path), -EBUSY, "still held after another descriptor was closed");
	close(fd);
	is_int(taken_by_child(path), 0, "free after the close");
	is_int(taken_by_child(path), 0, "and after the end of a process that had it");
	fd = lifelock_take(path);
	ok(fd >= 0, "taken again");
	close(fd);
}

static void
test_errors(const char *path)
{
	char link[64], none[64];
	int fd;

	snprintf(link, sizeof(link), "%s/link", dir);
	snprintf(none, sizeof(none), "%s/none/lock", dir);
	is_int(lifelock_take(none), -ENOENT, "no such directory");
	is_int(lifelock_take(dir), -EISDIR, "a directory");
	if (symlink(path, link) < 0)
		abort();
	is_int(lifelock_take(link), -ELOOP, "a symlink");
	unlink(link);
	/* Not that somebody else has it. */
	fstat_fails = EIO;
	is_int(lifelock_take(path), -EIO, "a file that cannot be looked at");
	lstat_fails = EACCES;
	is_int(lifelock_take(path), -EACCES, "a name that cannot be looked at");
	lstat_fails = ENOENT;
	fd = lifelock_take(path);
	ok(fd >= 0, "a name that was gone for a moment: once more");
	close(fd);
}

static void
test_clock(void)
{
	uint64_t mono = clock_mono_ms(), ms = clock_wall_ms();
	int64_t ns = clock_wall_ns();

	ok(clock_mono_ms() >= mono, "the monotonic clock does not go back");
	ok(ms > UINT64_C(1600000000000) && ms < UINT64_C(100000000000000),
	   "wall clock in milliseconds");
	/* Both are the same clock, if nobody set it by more than a day in between. */
	ok(llabs(ns / 1000000 - (int64_t)ms) < 86400000, "and in nanoseconds");
}

static void
test_random(void)
{
	uint64_t ones = 0, zeros = 0, last = 0;
	unsigned same = 0, none = 0;

	for (int i = 0; i < 1000; i++) {
		uint64_t v = random_u64();

		none += v == 0;
		same += v == last;
		ones |= v;
		zeros |= ~v;
		last = v;
	}
	is_int(none, 0, "never 0");
	is_int(same, 0, "never the same");
	ok(ones == UINT64_MAX && zeros == UINT64_MAX, "every bit is 1 at times and 0 at times");
}

int
main(void)
{
	char path[64];

	if (!mkdtemp(dir))
		return skip_rest("no temporary directory");
	snprintf(path, sizeof(path), "%s/lock", dir);
	test_lock(path);
	test_errors(path);
	test_clock();
	test_random();
	unlink(path);
	ok(rmdir(dir) == 0, "nothing left behind");
	return tap_done();
}
