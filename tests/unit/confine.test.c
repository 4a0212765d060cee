/* SPDX-License-Identifier: BSD-2-Clause */
/* A confined process: what it can still do, and all that it can no longer do. */
#include "config.h"

#include "agent/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/tap.h"

/* One attempt in a confined child: 0, or the errno it got. */
typedef int attempt(int fd);

static int
errno_of(long rc)
{
	return rc < 0 ? errno : 0;
}

static int
try_write(int fd)
{
	char c = 'x';

	return errno_of(write(fd, &c, 1));
}

static int
try_poll(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};

	return errno_of(poll(&p, 1, 0));
}

static int
try_memory(int fd)
{
	char *p = malloc((size_t)8 * 1024 * 1024);
	struct timespec ts;

	(void)fd;
	if (!p)
		return ENOMEM;
	memset(p, 1, (size_t)8 * 1024 * 1024);
	free(p);
	return errno_of(clock_gettime(CLOCK_MONOTONIC, &ts));
}

static int
try_open(int fd)
{
	(void)fd;
	return errno_of(open("/etc/passwd", O_RDONLY));
}

static int
try_create(int fd)
{
	(void)fd;
	return errno_of(open("/tmp/confine-must-not-exist", O_WRONLY | O_CREAT, 0600));
}

static int
try_unlink(int fd)
{
	(void)fd;
	return errno_of(unlink("/tmp/confine-must-not-exist"));
}

static int
try_socket(int fd)
{
	(void)fd;
	return errno_of(socket(AF_INET, SOCK_STREAM, 0));
}

static int
try_fork(int fd)
{
	pid_t pid = fork();

	(void)fd;
	if (pid == 0)
		_exit(0);
	return errno_of(pid);
}

static int
try_exec(int fd)
{
	char *const argv[] = {(char[]){"true"}, NULL};

	(void)fd;
	return errno_of(execve("/bin/true", argv, argv + 1));
}

static int
try_kill(int fd)
{
	(void)fd;
	return errno_of(kill(getpid(), 0));
}

static int
try_executable(int fd)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
		       -1, 0);

	(void)fd;
	return p == MAP_FAILED ? errno : 0;
}

static int
try_make_executable(int fd)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)fd;
	if (p == MAP_FAILED)
		return -1;
	return errno_of(mprotect(p, 4096, PROT_READ | PROT_EXEC));
}

static int
try_set_flags(int fd)
{
	return errno_of(fcntl(fd, F_SETFL, 0));
}

static int
try_dumpable(int fd)
{
	(void)fd;
	return errno_of(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
}

static int
in_confined_child(attempt *f)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		int fd = open("/dev/null", O_RDWR);

		/* confine_begin closes what is above 2; the attempt keeps standard input. */
		if (fd < 0 || dup2(fd, 0) != 0 || confine_begin() < 0 || confine_streams(0) < 0)
			_exit(255);
		_exit(f(0));
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

/* That inherited descriptors are closed, and that the limits do not break the descriptors kept. */
static void
test_begin(void)
{
	int status = 0, fd = open("/dev/null", O_RDWR);
	pid_t pid = fork();

	if (pid == 0)
		_exit(confine_begin() == 0 && fcntl(fd, F_GETFD) < 0 && errno == EBADF &&
				      prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1
			      ? 0
			      : 1);
	ok(pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
		   WEXITSTATUS(status) == 0,
	   "inherited descriptors are closed and privileges cannot be gained");
	close(fd);
}

int
main(void)
{
	static const struct {
		attempt *f;
		int want;
		const char *what;
	} tests[] = {
		{try_write, 0, "writes"},
		{try_poll, 0, "polls"},
		{try_memory, 0, "gets memory and the time"},
		{try_open, EPERM, "cannot open a file"},
		{try_create, EPERM, "cannot create a file"},
		{try_unlink, EPERM, "cannot unlink"},
		{try_socket, EPERM, "cannot make a socket"},
		{try_fork, EPERM, "cannot fork"},
		{try_exec, EPERM, "cannot execute"},
		{try_kill, EPERM, "cannot signal"},
		{try_executable, EPERM, "cannot map executable memory"},
		{try_make_executable, EPERM, "cannot make memory executable"},
		{try_set_flags, EPERM, "cannot change descriptor flags"},
		{try_dumpable, EPERM, "cannot make itself dumpable again"},
	};

	test_begin();
	if (in_confined_child(try_open) == 0)
		return skip_rest("built with a sanitizer or for coverage, or for a processor "
				 "without a filter");
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		is_int(in_confined_child(tests[i].f), tests[i].want, "%s", tests[i].what);
	return tap_done();
}
