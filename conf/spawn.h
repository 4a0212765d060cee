/* SPDX-License-Identifier: BSD-2-Clause */
/* Starts a helper program with nothing of ours in its hands. */
#ifndef MIMEO_CONF_SPAWN_H
#define MIMEO_CONF_SPAWN_H

#include <sys/types.h>

#include "proto/attr.h"

/* Where the programs are that only mimeo itself starts: $MIMEO_LIBEXEC, of a built tree that is not
 * installed, or as installed. */
const char *spawn_libexec(void);
/*
 * Runs path with argv (no shell, no search in PATH), and returns when it has been executed.
 * In the child: 0 is fd0, 1 is /dev/null, 2 is fd2 (-1: our own standard error), every other
 * descriptor is closed; all signals have their default action and none is blocked; it leads a
 * session of its own; it gets SIGTERM when the calling thread ends; ambient capabilities are
 * gone. Of our environment it sees HOME, JOURNAL_STREAM, LANG, LC_ALL, LOGNAME, MIMEO_CONF,
 * TMPDIR, TZ and USER, and a fixed PATH. fd0 and fd2 stay the caller's. Memory is not copied, so
 * the size of this process does not matter.
 * 0: *pid and *pidfd (close-on-exec; readable once the child has ended) are the caller's, who calls
 * spawn_reap and closes pidfd. Otherwise there is no child, both are -1, and the errno is that of
 * the step that failed: -ENOENT, -EACCES, -ENOEXEC of the program, -EBADF, -EMFILE, -EAGAIN.
 */
NODISCARD int spawn_child(const char *path, char *const argv[], int fd0, int fd2, pid_t *pid,
			  int *pidfd);
/*
 * The same with up to SPAWN_ENV_MAX more variables ("NAME=value", NULL behind the last) in the
 * environment; -E2BIG for more.
 */
#define SPAWN_ENV_MAX 8
NODISCARD int spawn_with_env(const char *path, char *const argv[], char *const more[], int fd0,
			     int fd2, pid_t *pid, int *pidfd);
/* Sends a signal to exactly that child. 0 or -ESRCH: it has been reaped. */
int spawn_kill(int pidfd, int signo);
/*
 * Takes the child's end without waiting: 0 and *status as wait(2) has it (WIFEXITED and so on);
 * -EAGAIN: still running; -ECHILD: no such child.
 */
NODISCARD int spawn_reap(pid_t pid, int *status);

#endif
