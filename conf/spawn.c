/* SPDX-License-Identifier: BSD-2-Clause */
/* Starts a helper by vfork: posix_spawn cannot ask for a signal when the parent ends. */
#include "config.h"

#include "conf/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIGNALS_MAX 64
#define OWN_FD_MIN 3 /* above what the child's 0, 1 and 2 will overwrite */
#define PATH_ENV "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static const char *const passed[] = {
	"HOME", "JOURNAL_STREAM", "LANG", "LC_ALL", "LOGNAME", "MIMEO_CONF", "TMPDIR", "TZ", "USER",
};

struct plan {
	const char *path;
	char *const *argv;
	char path_env[sizeof(PATH_ENV)];
	char *env[ARRAY_LEN(passed) + SPAWN_ENV_MAX + 2];
	int fds[3]; /* each at least OWN_FD_MIN */
	pid_t parent;
	sigset_t mask;
	volatile int err; /* written by the child, which shares our memory until it executes */
};

const char *
spawn_libexec(void)
{
	const char *dir = getenv("MIMEO_LIBEXEC");

	return dir != NULL && dir[0] == '/' ? dir : LIBEXECDIR "/mimeo";
}

/* The variables that are passed on, borrowed from our own environment, and more. */
static int
fill_env(struct plan *p, char *const more[])
{
	char **env = p->env;
	size_t n = 0;

	memcpy(p->path_env, PATH_ENV, sizeof(PATH_ENV));
	env[n++] = p->path_env;
	for (size_t i = 0; i < ARRAY_LEN(passed); i++) {
		size_t len = strlen(passed[i]);

		for (char **e = environ; e && *e; e++) {
			if (strncmp(*e, passed[i], len) == 0 && (*e)[len] == '=') {
				env[n++] = *e;
				break;
			}
		}
	}
	for (size_t i = 0; more != NULL && more[i] != NULL; i++) {
		if (i == SPAWN_ENV_MAX)
			return -E2BIG;
		env[n++] = more[i];
	}
	env[n] = NULL;
	return 0;
}

static int
dup_high(int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, OWN_FD_MIN);

	return copy < 0 ? -errno : copy;
}

/* Copies of the three descriptors that can be moved into place in any order. */
static int
fill_fds(int fds[3], int fd0, int fd2)
{
	int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	int rc = 0;

	if (null_fd < 0)
		return -errno;
	fds[0] = dup_high(fd0);
	fds[1] = dup_high(null_fd);
	fds[2] = dup_high(fd2 >= 0 ? fd2 : STDERR_FILENO);
	if (fd2 < 0 && fds[2] == -EBADF) /* we have no standard error */
		fds[2] = dup_high(null_fd);
	close(null_fd);
	for (int i = 0; i < 3; i++)
		if (fds[i] < 0 && !rc)
			rc = fds[i];
	return rc;
}

/* In the child, on a borrowed stack: system calls only. */
static void
become(struct plan *p)
{
	const struct sigaction plain = {.sa_handler = SIG_DFL};
	sigset_t none;

	for (int s = 1; s <= SIGNALS_MAX; s++)
		(void)sigaction(s, &plain, NULL); /* KILL, STOP and libc's own refuse: right */
	(void)setsid();
	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	errno = 0;
	/* Should the parent have gone before this took effect, nobody would tell us. */
	if (prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0) < 0 || getppid() != p->parent ||
	    dup2(p->fds[0], 0) < 0 || dup2(p->fds[1], 1) < 0 || dup2(p->fds[2], 2) < 0 ||
	    close_range(OWN_FD_MIN, ~0U, 0) < 0) {
		p->err = errno ? errno : ESRCH;
		return;
	}
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	execve(p->path, p->argv, p->env);
	p->err = errno;
}

static void
wait_for(pid_t pid)
{
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

/*
 * The child's pid, or -1 and errno. The child never returns from here, and what it calls makes
 * system calls only. fork would copy the page tables of an index of a million files.
 */
static pid_t
fork_and_become(struct plan *p)
{
	pid_t child = vfork(); /* NOLINT(clang-analyzer-security.insecureAPI.vfork) */

	if (child == 0) {
		become(p); /* NOLINT(clang-analyzer-unix.Vfork) */
		_exit(127);
	}
	return child;
}

static int
start(struct plan *p, pid_t *pid)
{
	sigset_t all;
	int err;

	/* No handler of ours may run in the child while it still has our memory. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &p->mask);
	p->parent = getpid();
	*pid = fork_and_become(p);
	err = *pid < 0 ? errno : p->err;
	pthread_sigmask(SIG_SETMASK, &p->mask, NULL);
	if (err) {
		if (*pid > 0)
			wait_for(*pid);
		*pid = -1;
	}
	return -err;
}

int
spawn_child(const char *path, char *const argv[], int fd0, int fd2, pid_t *pid, int *pidfd)
{
	return spawn_with_env(path, argv, NULL, fd0, fd2, pid, pidfd);
}

int
spawn_with_env(const char *path, char *const argv[], char *const more[], int fd0, int fd2,
	       pid_t *pid, int *pidfd)
{
	struct plan p = {.path = path, .argv = argv, .fds = {-1, -1, -1}};
	int rc;

	*pid = -1;
	*pidfd = -1;
	rc = fill_env(&p, more);
	if (rc == 0)
		rc = fill_fds(p.fds, fd0, fd2);
	if (rc)
		goto out;
	rc = start(&p, pid);
	if (rc)
		goto out;
	*pidfd = pidfd_open(*pid, 0);
	if (*pidfd < 0) {
		rc = -errno;
		kill(*pid, SIGKILL);
		wait_for(*pid);
		*pid = -1;
		*pidfd = -1;
	}
out:
	for (int i = 0; i < 3; i++)
		if (p.fds[i] >= 0)
			close(p.fds[i]);
	return rc;
}

int
spawn_kill(int pidfd, int signo)
{
	return pidfd_send_signal(pidfd, signo, NULL, 0) < 0 ? -errno : 0;
}

int
spawn_reap(pid_t pid, int *status)
{
	pid_t got;

	do {
		got = waitpid(pid, status, WNOHANG);
	} while (got < 0 && errno == EINTR);
	if (got < 0)
		return -errno;
	return got == 0 ? -EAGAIN : 0;
}
