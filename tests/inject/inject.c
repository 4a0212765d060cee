/* SPDX-License-Identifier: BSD-2-Clause */
/* Preloaded into a program under test: counts its calls of the C library and kills, stops or fails
 * one of them, as the plan in INJECT_DIR/PROGRAM says. A program without a plan is left alone. */
#include "config.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include "tests/inject/plan.h"

#define HOOK __attribute__((visibility("default")))
#define PATH_TEXT 4096

static struct plan *plan; /* NULL: this program has none */

/* The next definition of a name; ISO C has no conversion from an object's address. */
static void
next_of(void *function, const char *name)
{
	void *found = dlsym(RTLD_NEXT, name);

	if (found == NULL)
		_exit(126);
	memcpy(function, &found, sizeof(found));
}

/* System calls of our own must not be counted, and syscall() is one of the hooks. */
static long (*raw)(long, ...);

/* ---- which call can fail how ---- */

static const int of_disk[] = {EIO, ESTALE, ENOMEM, 0};
static const int of_read[] = {EIO, ESTALE, EINTR, 0};
static const int of_open[] = {EIO, ESTALE, ENOMEM, EACCES, EMFILE, EINTR, 0};
static const int of_create[] = {EIO, ESTALE, ENOMEM, EACCES, EMFILE, EINTR, ENOSPC, EROFS, 0};
static const int of_write[] = {EIO, ESTALE, EINTR, ENOSPC, 0};
static const int of_names[] = {EIO, ESTALE, ENOMEM, EACCES, ENOSPC, EROFS, 0};
static const int of_meta[] = {EIO, ESTALE, ENOMEM, EACCES, EROFS, 0};
static const int of_sync[] = {EIO, ENOSPC, ESTALE, 0};
static const int of_stat[] = {EIO, ESTALE, ENOMEM, EACCES, 0};
static const int of_close[] = {EIO, ENOSPC, EINTR, 0};
static const int of_watch[] = {ENOMEM, ENOSPC, EACCES, 0};
static const int of_socket[] = {EINTR, ENOMEM, 0};
static const int of_make[] = {EMFILE, ENOMEM, 0};
static const int of_wait[] = {EINTR, 0};

static bool
can(const int *list, int error)
{
	while (*list != 0 && *list != error)
		list++;
	return *list != 0;
}

/* ---- acting ---- */

/* dir and path as the call has them, as text; best effort. */
static void
name_object(char out[PATH_TEXT], int dir, const char *path)
{
	char self[64];
	long n = 0;
	size_t len;

	out[0] = '\0';
	if (path != NULL && (path[0] == '/' || dir == AT_FDCWD)) {
		snprintf(out, PATH_TEXT, "%s", path);
		return;
	}
	if (dir >= 0) {
		snprintf(self, sizeof(self), "/proc/self/fd/%d", dir);
		n = raw(SYS_readlinkat, AT_FDCWD, self, out, (size_t)PATH_TEXT - 1);
	}
	len = n > 0 ? (size_t)n : 0;
	out[len] = '\0';
	if (path != NULL && path[0] != '\0')
		snprintf(out + len, PATH_TEXT - len, "/%s", path);
}

static void
stop_here(void)
{
	if (raw(SYS_kill, (long)raw(SYS_getpid), (long)SIGSTOP) == 0)
		return;
	/* A confined program may send no signal: it stands here instead. */
	while (plan->action == PLAN_STOP)
		;
}

static void
die_here(void)
{
	(void)raw(SYS_kill, (long)raw(SYS_getpid), (long)SIGKILL);
	for (;;)
		__builtin_trap(); /* no signal allowed: an illegal instruction ends it as well */
}

static void
tell(const char *call, const char *object)
{
	plan->pid = (int32_t)raw(SYS_getpid);
	snprintf(plan->what, sizeof(plan->what), "%s %s", call, object);
}

/* True: the call is to fail with plan->error. */
static bool
act(const char *call, const char *object)
{
	uint32_t action = plan->action;

	if (plan->hits++ == 0)
		tell(call, object);
	if (!plan->always)
		plan->action = action == PLAN_STOP ? PLAN_STOP : PLAN_NONE;
	if (action == PLAN_KILL)
		die_here();
	if (action == PLAN_STOP)
		stop_here();
	return action == PLAN_FAIL;
}

static bool
is_below(const char *object)
{
	size_t len = strlen(plan->below);

	return len == 0 || strncmp(object, plan->below, len) == 0;
}

/* Files fail as disks do. Sockets and pipes do not, and what the kernel makes of memory never
 * fails. */
static bool
may_fail(const char *object, const int *errors)
{
	if (!can(errors, plan->error) || strncmp(object, "anon_inode:", 11) == 0)
		return false;
	if (strncmp(object, "socket:", 7) == 0 || strncmp(object, "pipe:", 5) == 0)
		return can(of_socket, plan->error);
	return true;
}

/* Is this the call? */
static bool
is_due(enum plan_class class, const int *errors, int dir, const char *path, char object[PATH_TEXT])
{
	uint32_t action = plan->action;
	uint64_t n;

	if ((plan->classes & (1u << class)) == 0)
		return false;
	if (action == PLAN_FAIL && path == NULL && dir == STDERR_FILENO)
		return false; /* what is wrong must be said somewhere */
	object[0] = '\0';
	if (plan->below[0] != '\0' || action == PLAN_FAIL)
		name_object(object, dir, path);
	if (!is_below(object) || (action == PLAN_FAIL && !may_fail(object, errors)))
		return false;
	n = ++plan->calls;
	return action != PLAN_NONE && (n == plan->at || (n > plan->at && plan->always));
}

/* Called by each hook. True: it returns -1, errno is set. */
static bool
gate(enum plan_class class, const char *call, const int *errors, int dir, const char *path)
{
	char object[PATH_TEXT];
	int saved = errno;
	bool fails = false;

	if (plan == NULL)
		return false;
	if (is_due(class, errors, dir, path, object)) {
		if (object[0] == '\0')
			name_object(object, dir, path);
		fails = act(call, object);
	}
	errno = fails ? plan->error : saved;
	return fails;
}

/* ---- life ---- */

static struct plan *
map_plan(const char *dir, const char *program)
{
	char path[PATH_TEXT];
	void *at;
	long fd;

	snprintf(path, sizeof(path), "%s/%s", dir, program);
	fd = raw(SYS_openat, (long)AT_FDCWD, path, (long)(O_RDWR | O_CLOEXEC), 0L);
	if (fd < 0)
		return NULL;
	at = mmap(NULL, PLAN_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, (int)fd, 0);
	(void)raw(SYS_close, fd);
	return at == MAP_FAILED ? NULL : at;
}

__attribute__((constructor)) static void
begin(void)
{
	const char *dir = getenv("INJECT_DIR");
	struct plan *p;

	next_of(&raw, "syscall");
	if (dir == NULL)
		return;
	p = map_plan(dir, program_invocation_short_name);
	if (p != NULL && p->magic == PLAN_MAGIC)
		plan = p;
}

/* ---- hooks ----
 * REAL names the function behind the hook; each looks it up at its first call. */

/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name): libc's begin with __ */

#define REAL(name)                                                                                 \
	static __typeof__(&(name)) real;                                                           \
	if (real == NULL)                                                                          \
	next_of(&real, #name)

#define FD_HOOK(ret, class, errors, name, params, args, fd)                                        \
	HOOK ret name params                                                                       \
	{                                                                                          \
		REAL(name);                                                                        \
		return gate(class, #name, errors, fd, NULL) ? -1 : real args;                      \
	}

#define AT_HOOK(class, errors, name, params, args, dir, path)                                      \
	HOOK int name params                                                                       \
	{                                                                                          \
		REAL(name);                                                                        \
		return gate(class, #name, errors, dir, path) ? -1 : real args;                     \
	}

static const int *
errors_of_open(int flags)
{
	return (flags & (O_CREAT | O_TRUNC | O_WRONLY | O_RDWR)) != 0 ? of_create : of_open;
}

static mode_t
mode_of(int flags, va_list ap)
{
	return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(ap, mode_t) : 0;
}

#define OPEN_HOOK(name)                                                                            \
	HOOK int name(const char *path, int flags, ...)                                            \
	{                                                                                          \
		va_list ap;                                                                        \
		mode_t mode;                                                                       \
		REAL(name);                                                                        \
		va_start(ap, flags);                                                               \
		mode = mode_of(flags, ap);                                                         \
		va_end(ap);                                                                        \
		if (gate(PLAN_OPEN, #name, errors_of_open(flags), AT_FDCWD, path))                 \
			return -1;                                                                 \
		return real(path, flags, mode);                                                    \
	}

#define OPENAT_HOOK(name)                                                                          \
	HOOK int name(int dir, const char *path, int flags, ...)                                   \
	{                                                                                          \
		va_list ap;                                                                        \
		mode_t mode;                                                                       \
		REAL(name);                                                                        \
		va_start(ap, flags);                                                               \
		mode = mode_of(flags, ap);                                                         \
		va_end(ap);                                                                        \
		if (gate(PLAN_OPEN, #name, errors_of_open(flags), dir, path))                      \
			return -1;                                                                 \
		return real(dir, path, flags, mode);                                               \
	}

#define FOPEN_HOOK(name)                                                                           \
	HOOK FILE *name(const char *path, const char *mode)                                        \
	{                                                                                          \
		REAL(name);                                                                        \
		return gate(PLAN_OPEN, #name, of_open, AT_FDCWD, path) ? NULL : real(path, mode);  \
	}

OPEN_HOOK(open)
OPEN_HOOK(open64)
OPENAT_HOOK(openat)
OPENAT_HOOK(openat64)
FOPEN_HOOK(fopen)
FOPEN_HOOK(fopen64)

HOOK DIR *
fdopendir(int fd)
{
	REAL(fdopendir);
	return gate(PLAN_OPEN, "fdopendir", of_make, fd, NULL) ? NULL : real(fd);
}

HOOK struct dirent *
readdir(DIR *dir)
{
	REAL(readdir);
	return gate(PLAN_READ, "readdir", of_disk, dirfd(dir), NULL) ? NULL : real(dir);
}

HOOK long
syscall(long number, ...)
{
	long a[6];
	va_list ap;

	if (raw == NULL)
		next_of(&raw, "syscall");
	va_start(ap, number);
	for (size_t i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (number == SYS_openat2 &&
	    gate(PLAN_OPEN, "openat2", of_open, (int)a[0], (const char *)(uintptr_t)a[1]))
		return -1;
	return raw(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

FD_HOOK(ssize_t, PLAN_READ, of_read, read, (int fd, void *buf, size_t n), (fd, buf, n), fd)
FD_HOOK(ssize_t, PLAN_READ, of_read, pread, (int fd, void *buf, size_t n, off_t at),
	(fd, buf, n, at), fd)
FD_HOOK(ssize_t, PLAN_READ, of_read, pread64, (int fd, void *buf, size_t n, off64_t at),
	(fd, buf, n, at), fd)
FD_HOOK(ssize_t, PLAN_WRITE, of_write, write, (int fd, const void *buf, size_t n), (fd, buf, n), fd)
FD_HOOK(ssize_t, PLAN_WRITE, of_write, pwrite, (int fd, const void *buf, size_t n, off_t at),
	(fd, buf, n, at), fd)
FD_HOOK(ssize_t, PLAN_WRITE, of_write, pwrite64, (int fd, const void *buf, size_t n, off64_t at),
	(fd, buf, n, at), fd)
FD_HOOK(int, PLAN_WRITE, of_write, ftruncate, (int fd, off_t n), (fd, n), fd)
FD_HOOK(int, PLAN_WRITE, of_write, ftruncate64, (int fd, off64_t n), (fd, n), fd)
FD_HOOK(int, PLAN_WRITE, of_write, fallocate, (int fd, int mode, off_t at, off_t n),
	(fd, mode, at, n), fd)
FD_HOOK(int, PLAN_WRITE, of_write, fallocate64, (int fd, int mode, off64_t at, off64_t n),
	(fd, mode, at, n), fd)
FD_HOOK(int, PLAN_SYNC, of_sync, fsync, (int fd), (fd), fd)
FD_HOOK(int, PLAN_SYNC, of_sync, fdatasync, (int fd), (fd), fd)
FD_HOOK(int, PLAN_SYNC, of_sync, syncfs, (int fd), (fd), fd)
FD_HOOK(ssize_t, PLAN_SOCKET, of_socket, send, (int fd, const void *buf, size_t n, int flags),
	(fd, buf, n, flags), fd)
FD_HOOK(ssize_t, PLAN_SOCKET, of_socket, recv, (int fd, void *buf, size_t n, int flags),
	(fd, buf, n, flags), fd)
FD_HOOK(int, PLAN_SOCKET, of_make, socket, (int domain, int type, int protocol),
	(domain, type, protocol), -1)
FD_HOOK(int, PLAN_SOCKET, of_make, socketpair, (int domain, int type, int protocol, int fds[2]),
	(domain, type, protocol, fds), -1)
FD_HOOK(int, PLAN_META, of_meta, fchmod, (int fd, mode_t mode), (fd, mode), fd)
FD_HOOK(int, PLAN_META, of_meta, fchown, (int fd, uid_t uid, gid_t gid), (fd, uid, gid), fd)
FD_HOOK(int, PLAN_META, of_meta, futimens, (int fd, const struct timespec ts[2]), (fd, ts), fd)
FD_HOOK(int, PLAN_STAT, of_stat, fstat, (int fd, struct stat *st), (fd, st), fd)
FD_HOOK(int, PLAN_STAT, of_stat, fstatvfs, (int fd, struct statvfs *st), (fd, st), fd)
FD_HOOK(int, PLAN_WATCH, of_make, inotify_init1, (int flags), (flags), -1)
FD_HOOK(int, PLAN_WAIT, of_make, epoll_create1, (int flags), (flags), -1)
FD_HOOK(int, PLAN_WAIT, of_make, eventfd, (unsigned count, int flags), (count, flags), -1)
FD_HOOK(int, PLAN_WAIT, of_wait, epoll_wait, (int fd, struct epoll_event *e, int max, int ms),
	(fd, e, max, ms), -1)
FD_HOOK(int, PLAN_WAIT, of_wait, poll, (struct pollfd * fds, nfds_t n, int ms), (fds, n, ms), -1)

AT_HOOK(PLAN_NAMES, of_names, rename, (const char *from, const char *to), (from, to), AT_FDCWD,
	from)
AT_HOOK(PLAN_NAMES, of_names, renameat, (int fd, const char *from, int td, const char *to),
	(fd, from, td, to), td, to)
AT_HOOK(PLAN_NAMES, of_names, renameat2,
	(int fd, const char *from, int td, const char *to, unsigned flags),
	(fd, from, td, to, flags), td, to)
AT_HOOK(PLAN_NAMES, of_names, unlink, (const char *path), (path), AT_FDCWD, path)
AT_HOOK(PLAN_NAMES, of_names, unlinkat, (int dir, const char *path, int flags), (dir, path, flags),
	dir, path)
AT_HOOK(PLAN_NAMES, of_names, mkdir, (const char *path, mode_t mode), (path, mode), AT_FDCWD, path)
AT_HOOK(PLAN_NAMES, of_names, mkdirat, (int dir, const char *path, mode_t mode), (dir, path, mode),
	dir, path)
AT_HOOK(PLAN_NAMES, of_names, linkat, (int fd, const char *from, int td, const char *to, int flags),
	(fd, from, td, to, flags), td, to)
AT_HOOK(PLAN_NAMES, of_names, symlinkat, (const char *target, int dir, const char *path),
	(target, dir, path), dir, path)
AT_HOOK(PLAN_META, of_meta, chmod, (const char *path, mode_t mode), (path, mode), AT_FDCWD, path)
AT_HOOK(PLAN_META, of_meta, fchownat, (int dir, const char *path, uid_t uid, gid_t gid, int flags),
	(dir, path, uid, gid, flags), dir, path)
AT_HOOK(PLAN_META, of_meta, utimensat,
	(int dir, const char *path, const struct timespec ts[2], int flags), (dir, path, ts, flags),
	dir, path)
AT_HOOK(PLAN_STAT, of_stat, stat, (const char *path, struct stat *st), (path, st), AT_FDCWD, path)
AT_HOOK(PLAN_STAT, of_stat, lstat, (const char *path, struct stat *st), (path, st), AT_FDCWD, path)
AT_HOOK(PLAN_STAT, of_stat, fstatat, (int dir, const char *path, struct stat *st, int flags),
	(dir, path, st, flags), dir, path)
AT_HOOK(PLAN_STAT, of_stat, statx,
	(int dir, const char *path, int flags, unsigned mask, struct statx *st),
	(dir, path, flags, mask, st), dir, path)
AT_HOOK(PLAN_WATCH, of_watch, inotify_add_watch, (int fd, const char *path, uint32_t mask),
	(fd, path, mask), AT_FDCWD, path)

HOOK ssize_t
readlinkat(int dir, const char *path, char *buf, size_t n)
{
	REAL(readlinkat);
	return gate(PLAN_READ, "readlinkat", of_stat, dir, path) ? -1 : real(dir, path, buf, n);
}

HOOK int
accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
	REAL(accept4);
	return gate(PLAN_SOCKET, "accept4", of_make, fd, NULL) ? -1 : real(fd, addr, len, flags);
}

HOOK int
connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	REAL(connect);
	return gate(PLAN_SOCKET, "connect", of_wait, fd, NULL) ? -1 : real(fd, addr, len);
}

/* The descriptor is gone in any case. */
HOOK int
close(int fd)
{
	bool fails;
	int error;
	REAL(close);
	fails = gate(PLAN_CLOSE, "close", of_close, fd, NULL);
	error = errno;
	if (!fails)
		return real(fd);
	(void)real(fd);
	errno = error;
	return -1;
}

#ifndef INJECT_NO_MEMORY
static const int of_memory[] = {ENOMEM, 0};

/* dlsym takes memory itself, so the allocator is reached by its other names. */
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);

HOOK void *
malloc(size_t n)
{
	return gate(PLAN_MEMORY, "malloc", of_memory, -1, NULL) ? NULL : __libc_malloc(n);
}

HOOK void *
calloc(size_t n, size_t size)
{
	return gate(PLAN_MEMORY, "calloc", of_memory, -1, NULL) ? NULL : __libc_calloc(n, size);
}

HOOK void *
realloc(void *p, size_t n)
{
	return gate(PLAN_MEMORY, "realloc", of_memory, -1, NULL) ? NULL : __libc_realloc(p, n);
}
#endif

/* What _FORTIFY_SOURCE makes of calls with a buffer of known size. */
ssize_t __read_chk(int fd, void *buf, size_t n, size_t room);
ssize_t __pread_chk(int fd, void *buf, size_t n, off_t at, size_t room);
ssize_t __pread64_chk(int fd, void *buf, size_t n, off64_t at, size_t room);
ssize_t __recv_chk(int fd, void *buf, size_t n, size_t room, int flags);

FD_HOOK(ssize_t, PLAN_READ, of_read, __read_chk, (int fd, void *buf, size_t n, size_t room),
	(fd, buf, n, room), fd)
FD_HOOK(ssize_t, PLAN_READ, of_read, __pread_chk,
	(int fd, void *buf, size_t n, off_t at, size_t room), (fd, buf, n, at, room), fd)
FD_HOOK(ssize_t, PLAN_READ, of_read, __pread64_chk,
	(int fd, void *buf, size_t n, off64_t at, size_t room), (fd, buf, n, at, room), fd)
FD_HOOK(ssize_t, PLAN_SOCKET, of_socket, __recv_chk,
	(int fd, void *buf, size_t n, size_t room, int flags), (fd, buf, n, room, flags), fd)

/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */
