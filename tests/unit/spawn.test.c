/* SPDX-License-Identifier: BSD-2-Clause */
/* Checks conf/spawn: what the child has and has not, how it ends, how it fails to start. */
#include "config.h"

#include "conf/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/tap.h"

#define WAIT_MS 20000 /* far more than any child here needs; only a hanging one meets it */
#define FDS_LOOKED_AT 1024

/* This program as the child: its reports go to standard error, which is the test's pipe. */

static void
report_fds(void)
{
	char path[64] = "";
	ssize_t n = readlink("/proc/self/fd/1", path, sizeof(path) - 1);
	int open_fds = 0;

	for (int fd = 0; fd < FDS_LOOKED_AT; fd++)
		open_fds += fcntl(fd, F_GETFD) >= 0;
	fprintf(stderr, "fds %d out %s\n", open_fds, n > 0 ? path : "?");
}

static void
report_signals(void)
{
	int ignored = 0, blocked = 0, death = 0;
	sigset_t mask;

	sigprocmask(SIG_SETMASK, NULL, &mask);
	for (int s = 1; s < 32; s++) {
		struct sigaction sa;

		blocked += sigismember(&mask, s);
		ignored += sigaction(s, NULL, &sa) == 0 && sa.sa_handler == SIG_IGN;
	}
	prctl(PR_GET_PDEATHSIG, &death);
	fprintf(stderr, "blocked %d ignored %d death %s session %d\n", blocked, ignored,
		death == SIGTERM ? "TERM" : "?", getsid(0) == getpid());
}

static int
child(const char *what)
{
	char in[64] = "";

	if (strcmp(what, "report") == 0) {
		ssize_t n = read(0, in, sizeof(in) - 1);

		report_fds();
		report_signals();
		fprintf(stderr, "in %.*s\n", (int)(n > 0 ? n : 0), in);
		return 7;
	}
	if (strcmp(what, "env") == 0) {
		for (char **e = environ; *e; e++)
			fprintf(stderr, "%s\n", *e);
		return 0;
	}
	/* "parent": starts a child of its own, says its id and waits to be killed. */
	if (strcmp(what, "parent") == 0) {
		char self[] = "/proc/self/exe", name[] = "x", sleeper[] = "sleeper";
		char *argv[] = {name, sleeper, NULL};
		int pidfd, p[2];
		pid_t pid;

		if (pipe(p) < 0 || spawn_child(self, argv, p[0], -1, &pid, &pidfd))
			return 1;
		fprintf(stderr, "%d\n", (int)pid);
		for (;;)
			pause();
	}
	for (;;)
		pause();
}

static pid_t
start(const char *what, int fd0, int fd2, int *pidfd)
{
	char self[] = "/proc/self/exe", name[] = "x", arg[32];
	char *argv[] = {name, arg, NULL};
	pid_t pid;

	snprintf(arg, sizeof(arg), "%s", what);
	is_int(spawn_child(self, argv, fd0, fd2, &pid, pidfd), 0, "start %s", what);
	return pid;
}

/* Waits for the end by the pidfd; the wait status, or -1. */
static int
end_of(pid_t pid, int pidfd)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};
	int status = -1;

	if (!ok(poll(&p, 1, WAIT_MS) == 1, "the pidfd says that it has ended")) {
		spawn_kill(pidfd, SIGKILL);
		(void)poll(&p, 1, -1);
	}
	is_int(spawn_reap(pid, &status), 0, "reaped");
	return status;
}

static void
read_all(int fd, char *out, size_t room)
{
	size_t len = 0;
	ssize_t n;

	while (len < room - 1 && (n = read(fd, out + len, room - 1 - len)) > 0)
		len += (size_t)n;
	out[len] = '\0';
}

static void
make_pipe(int p[2])
{
	if (pipe2(p, O_CLOEXEC) < 0)
		abort();
}

/* Everything a careless parent may have set up; none of it may be seen. */
static void
test_clean(void)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN}, before;
	int in[2], err[2], pidfd, status, stray = fcntl(STDOUT_FILENO, F_DUPFD, 100);
	sigset_t mask, old, now;
	char out[512];
	pid_t pid;

	make_pipe(in);
	make_pipe(err);
	if (write(in[1], "hello", 5) != 5)
		abort();
	sigaction(SIGPIPE, &ignore, &before);
	sigemptyset(&mask);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGUSR1);
	sigprocmask(SIG_BLOCK, &mask, &old);
	pid = start("report", in[0], err[1], &pidfd);
	sigprocmask(SIG_SETMASK, &old, &now);
	sigaction(SIGPIPE, &before, &ignore);
	close(err[1]);
	read_all(err[0], out, sizeof(out));
	is_str(out,
	       "fds 3 out /dev/null\n"
	       "blocked 0 ignored 0 death TERM session 1\n"
	       "in hello\n",
	       "three descriptors, no signal state, a session, and its input");
	ok(sigismember(&now, SIGTERM) == 1 && sigismember(&now, SIGHUP) == 0 &&
		   ignore.sa_handler == SIG_IGN,
	   "our own signals are as before");
	ok(fcntl(pidfd, F_GETFD) == FD_CLOEXEC, "the pidfd is close-on-exec");
	status = end_of(pid, pidfd);
	ok(WIFEXITED(status) && WEXITSTATUS(status) == 7, "its exit status");
	is_int(spawn_reap(pid, &status), -ECHILD, "reaped only once");
	is_int(spawn_kill(pidfd, SIGTERM), -ESRCH, "and then beyond signals");
	close(pidfd);
	close(stray);
	close(in[0]);
	close(in[1]);
	close(err[0]);
}

/* Descriptors in each other's place: fd0 is 2 and fd2 is 0, and our 1 is closed. */
static void
test_crossed(void)
{
	int in[2], err[2], saved[3], pidfd, status;
	char out[512];
	pid_t pid;

	make_pipe(in);
	make_pipe(err);
	if (write(in[1], "crossed", 7) != 7)
		abort();
	fflush(stdout);
	for (int i = 0; i < 3; i++)
		saved[i] = fcntl(i, F_DUPFD_CLOEXEC, 50);
	dup2(in[0], 2);
	dup2(err[1], 0);
	close(1);
	{
		char self[] = "/proc/self/exe", name[] = "x", arg[] = "report";
		char *argv[] = {name, arg, NULL};

		status = spawn_child(self, argv, 2, 0, &pid, &pidfd);
	}
	/* It may have got the number that is free just now. */
	pidfd = fcntl(pidfd, F_DUPFD_CLOEXEC, 50);
	for (int i = 0; i < 3; i++) {
		dup2(saved[i], i);
		close(saved[i]);
	}
	is_int(status, 0, "started with crossed descriptors");
	close(err[1]);
	read_all(err[0], out, sizeof(out));
	ok(strncmp(out, "fds 3 out /dev/null\n", 20) == 0, "each in its place");
	ok(strstr(out, "\nin crossed\n") != NULL, "and the right one");
	end_of(pid, pidfd);
	close(pidfd);
	close(in[0]);
	close(in[1]);
	close(err[0]);
}

static void
test_environment(void)
{
	int err[2], null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC), pidfd;
	char out[4096];
	pid_t pid;

	make_pipe(err);
	clearenv();
	setenv("LD_PRELOAD_NOT", "1", 1);
	setenv("SECRET", "x", 1);
	setenv("PATH", "/evil", 1);
	setenv("HOMER", "no", 1);
	setenv("HOME", "/home/m", 1);
	setenv("MIMEO_CONF", "/etc/m.conf", 1);
	pid = start("env", null_fd, err[1], &pidfd);
	close(err[1]);
	read_all(err[0], out, sizeof(out));
	is_str(out,
	       "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
	       "HOME=/home/m\nMIMEO_CONF=/etc/m.conf\n",
	       "of the environment only what is listed");
	end_of(pid, pidfd);
	close(pidfd);
	close(null_fd);
	close(err[0]);
}

static void
test_signal(void)
{
	int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC), pidfd, status = 0;
	pid_t pid = start("sleeper", null_fd, null_fd, &pidfd);
	struct pollfd p = {.fd = pidfd, .events = POLLIN};

	is_int(spawn_reap(pid, &status), -EAGAIN, "still running");
	is_int(poll(&p, 1, 0), 0, "its pidfd is quiet");
	is_int(spawn_kill(pidfd, SIGTERM), 0, "TERM");
	status = end_of(pid, pidfd);
	ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM, "ended by it");
	close(pidfd);
	close(null_fd);
}

/* The parent is killed: its child must not stay. The child's end is seen by a pidfd of our own. */
static void
test_orphan(void)
{
	int err[2], null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC), pidfd, orphan_fd;
	char out[64] = "";
	struct pollfd p = {.events = POLLIN};
	size_t len = 0;
	pid_t pid;

	make_pipe(err);
	pid = start("parent", null_fd, err[1], &pidfd);
	close(err[1]);
	while (len < sizeof(out) - 1 && !strchr(out, '\n') && read(err[0], out + len, 1) == 1)
		len++;
	orphan_fd = pidfd_open((pid_t)strtol(out, NULL, 10), 0);
	ok(orphan_fd >= 0, "a grandchild");
	p.fd = orphan_fd;
	is_int(spawn_kill(pidfd, SIGKILL), 0, "its parent is killed");
	end_of(pid, pidfd);
	is_int(poll(&p, 1, WAIT_MS), 1, "and it goes too");
	close(orphan_fd);
	close(pidfd);
	close(null_fd);
	close(err[0]);
}

static void
fails(const char *path, int fd0, int fd2, int want, const char *what)
{
	char name[] = "x";
	char *argv[] = {name, NULL};
	pid_t pid = 5;
	int pidfd = 5, status;

	is_int(spawn_child(path, argv, fd0, fd2, &pid, &pidfd), want, "%s", what);
	ok(pid == -1 && pidfd == -1, "%s: no child", what);
	ok(waitpid(-1, &status, WNOHANG) == -1 && errno == ECHILD, "%s: none left to reap", what);
}

static int
lowest_free(void)
{
	int fd = dup(STDOUT_FILENO);

	close(fd);
	return fd;
}

static void
test_failures(void)
{
	char path[] = "/tmp/spawn-test-XXXXXX";
	int fd = mkostemp(path, O_CLOEXEC);
	int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC), free_fd;

	free_fd = lowest_free();
	fails("/nonexistent", null_fd, -1, -ENOENT, "no such program");
	fails(path, null_fd, -1, -EACCES, "not executable");
	fails("/", null_fd, -1, -EACCES, "a directory");
	if (write(fd, "garbage", 7) != 7 || fchmod(fd, 0700) < 0)
		abort();
	close(fd);
	fails(path, null_fd, -1, -ENOEXEC, "no program");
	fails("/bin/true", 9999, -1, -EBADF, "no input");
	fails("/bin/true", null_fd, 9999, -EBADF, "no output");
	is_int(lowest_free(), fd < free_fd ? fd : free_fd, "no descriptor is left open");
	unlink(path);
	close(null_fd);
}

int
main(int argc, char **argv)
{
	if (argc > 1)
		return child(argv[1]);
	test_clean();
	test_crossed();
	test_environment();
	test_signal();
	test_orphan();
	test_failures();
	return tap_done();
}
