/* SPDX-License-Identifier: BSD-2-Clause */
/* Calls of the C library that fail on request. The linker (--wrap) leads the product's calls here:
 * Makefile.am lists them. */
#include "config.h"

#include "tests/unit/nodes_fault.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

/* One thread, one agent that meets faults: the linker's names have no argument to carry it. */
static struct meets *meets;

const char *
fault_name(enum fault_class c)
{
	static const char *const names[FAULT_CLASSES] = {
		"none", "open",  "stat", "rename", "unlink", "mkdir", "meta",
		"read", "write", "list", "sync",   "space",  "memory"};

	return names[c];
}

void
fault_meets(struct meets *m)
{
	meets = m;
}

/* 0, or the errno with which this call fails. */
static int fails(enum fault_class class)
{
	struct meets *m = meets;

	if (m == NULL)
		return 0;
	if (m->killed)
		return class == FAULT_MEMORY ? 0 : EIO;
	if (class != m->fault.class)
		return 0;
	m->seen++;
	if (m->seen < m->fault.at || m->seen > m->fault.last)
		return 0;
	m->happened = true;
	if (m->fault.before != NULL) {
		meets = NULL;
		m->fault.before(m->machine);
		meets = m;
	}
	m->dying = m->fault.kill && m->fault.after;
	if (m->dying)
		return 0;
	m->killed = *m->log = m->fault.kill;
	return m->killed ? EIO : m->fault.error;
}

#define FAIL(class, result)                                                                        \
	do {                                                                                       \
		int fails_ = fails(class);                                                         \
                                                                                                   \
		if (fails_ != 0) {                                                                 \
			errno = fails_;                                                            \
			return result;                                                             \
		}                                                                                  \
	} while (0)

/* ---- what is open, and what it is ---- */

int __real_openat(int dir, const char *name, int flags, mode_t mode);
int __wrap_openat(int dir, const char *name, int flags, mode_t mode);
int
__wrap_openat(int dir, const char *name, int flags, mode_t mode)
{
	FAIL(FAULT_OPEN, -1);
	return __real_openat(dir, name, flags, mode);
}

/* openat2 is the only one that the product makes this way. */
long __real_syscall(long number, long a, long b, long c, long d, long e, long f);
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f);
long
__wrap_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	if (number == SYS_openat2)
		FAIL(FAULT_OPEN, -1);
	return __real_syscall(number, a, b, c, d, e, f);
}

int __real_statx(int dir, const char *name, int flags, unsigned mask, struct statx *st);
int __wrap_statx(int dir, const char *name, int flags, unsigned mask, struct statx *st);
int
__wrap_statx(int dir, const char *name, int flags, unsigned mask, struct statx *st)
{
	FAIL(FAULT_STAT, -1);
	return __real_statx(dir, name, flags, mask, st);
}

int __real_fstat(int fd, struct stat *st);
int __wrap_fstat(int fd, struct stat *st);
int
__wrap_fstat(int fd, struct stat *st)
{
	FAIL(FAULT_STAT, -1);
	return __real_fstat(fd, st);
}

ssize_t __real_readlinkat(int dir, const char *name, char *buf, size_t cap);
ssize_t __wrap_readlinkat(int dir, const char *name, char *buf, size_t cap);
ssize_t
__wrap_readlinkat(int dir, const char *name, char *buf, size_t cap)
{
	FAIL(FAULT_STAT, -1);
	return __real_readlinkat(dir, name, buf, cap);
}

struct dirent *__real_readdir(DIR *d);
struct dirent *__wrap_readdir(DIR *d);
struct dirent *
__wrap_readdir(DIR *d)
{
	FAIL(FAULT_LIST, NULL);
	return __real_readdir(d);
}

int __real_fstatvfs(int fd, struct statvfs *st);
int __wrap_fstatvfs(int fd, struct statvfs *st);
int
__wrap_fstatvfs(int fd, struct statvfs *st)
{
	FAIL(FAULT_SPACE, -1);
	return __real_fstatvfs(fd, st);
}

/* ---- names ---- */

int __real_renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags);
int __wrap_renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags);
int
__wrap_renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
	int r;

	FAIL(FAULT_RENAME, -1);
	r = __real_renameat2(from_dir, from, to_dir, to, flags);
	if (meets != NULL && meets->dying) {
		meets->killed = *meets->log = true;
		meets->dying = false;
	}
	return r;
}

int __real_unlinkat(int dir, const char *name, int flags);
int __wrap_unlinkat(int dir, const char *name, int flags);
int
__wrap_unlinkat(int dir, const char *name, int flags)
{
	FAIL(FAULT_UNLINK, -1);
	return __real_unlinkat(dir, name, flags);
}

int __real_mkdirat(int dir, const char *name, mode_t mode);
int __wrap_mkdirat(int dir, const char *name, mode_t mode);
int
__wrap_mkdirat(int dir, const char *name, mode_t mode)
{
	FAIL(FAULT_MKDIR, -1);
	return __real_mkdirat(dir, name, mode);
}

int __real_symlinkat(const char *target, int dir, const char *name);
int __wrap_symlinkat(const char *target, int dir, const char *name);
int
__wrap_symlinkat(const char *target, int dir, const char *name)
{
	FAIL(FAULT_MKDIR, -1);
	return __real_symlinkat(target, dir, name);
}

/* ---- metadata ---- */

int __real_chmod(const char *path, mode_t mode);
int __wrap_chmod(const char *path, mode_t mode);
int
__wrap_chmod(const char *path, mode_t mode)
{
	FAIL(FAULT_META, -1);
	return __real_chmod(path, mode);
}

int __real_fchmod(int fd, mode_t mode);
int __wrap_fchmod(int fd, mode_t mode);
int
__wrap_fchmod(int fd, mode_t mode)
{
	FAIL(FAULT_META, -1);
	return __real_fchmod(fd, mode);
}

int __real_fchownat(int dir, const char *name, uid_t uid, gid_t gid, int flags);
int __wrap_fchownat(int dir, const char *name, uid_t uid, gid_t gid, int flags);
int
__wrap_fchownat(int dir, const char *name, uid_t uid, gid_t gid, int flags)
{
	FAIL(FAULT_META, -1);
	return __real_fchownat(dir, name, uid, gid, flags);
}

int __real_utimensat(int dir, const char *name, const struct timespec ts[2], int flags);
int __wrap_utimensat(int dir, const char *name, const struct timespec ts[2], int flags);
int
__wrap_utimensat(int dir, const char *name, const struct timespec ts[2], int flags)
{
	FAIL(FAULT_META, -1);
	return __real_utimensat(dir, name, ts, flags);
}

/* ---- bytes ---- */

ssize_t __real_pread(int fd, void *buf, size_t len, off_t off);
ssize_t __wrap_pread(int fd, void *buf, size_t len, off_t off);
ssize_t
__wrap_pread(int fd, void *buf, size_t len, off_t off)
{
	int error = fails(FAULT_READ);
	ssize_t n;

	if (error > 0) {
		errno = error;
		return -1;
	}
	n = __real_pread(fd, buf, len, off);
	if (error == FAULT_FLIP && n > 0)
		*(uint8_t *)buf ^= 1;
	return n;
}

ssize_t __real_pwrite(int fd, const void *buf, size_t len, off_t off);
ssize_t __wrap_pwrite(int fd, const void *buf, size_t len, off_t off);
ssize_t
__wrap_pwrite(int fd, const void *buf, size_t len, off_t off)
{
	FAIL(FAULT_WRITE, -1);
	return __real_pwrite(fd, buf, len, off);
}

int __real_ftruncate(int fd, off_t size);
int __wrap_ftruncate(int fd, off_t size);
int
__wrap_ftruncate(int fd, off_t size)
{
	FAIL(FAULT_WRITE, -1);
	return __real_ftruncate(fd, size);
}

int __real_fallocate(int fd, int mode, off_t off, off_t len);
int __wrap_fallocate(int fd, int mode, off_t off, off_t len);
int
__wrap_fallocate(int fd, int mode, off_t off, off_t len)
{
	FAIL(FAULT_WRITE, -1);
	return __real_fallocate(fd, mode, off, len);
}

/* Nothing is lost here without a power cut: a real sync would only take its time. */
int __wrap_fsync(int fd);
int
__wrap_fsync(int fd)
{
	(void)fd;
	FAIL(FAULT_SYNC, -1);
	return 0;
}

int __wrap_syncfs(int fd);
int
__wrap_syncfs(int fd)
{
	(void)fd;
	FAIL(FAULT_SYNC, -1);
	return 0;
}

/* ---- memory ---- */

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *
__wrap_malloc(size_t size)
{
	FAIL(FAULT_MEMORY, NULL);
	return __real_malloc(size);
}

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *
__wrap_calloc(size_t n, size_t size)
{
	FAIL(FAULT_MEMORY, NULL);
	return __real_calloc(n, size);
}

void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *
__wrap_realloc(void *old, size_t size)
{
	FAIL(FAULT_MEMORY, NULL);
	return __real_realloc(old, size);
}

char *__real_strdup(const char *s);
char *__wrap_strdup(const char *s);
char *
__wrap_strdup(const char *s)
{
	FAIL(FAULT_MEMORY, NULL);
	return __real_strdup(s);
}
