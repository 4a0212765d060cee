/* SPDX-License-Identifier: BSD-2-Clause */
/* No new privileges, no capabilities, limits, Landlock and a seccomp filter. */
#include "config.h"

#include "agent/confine.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer) ||                         \
	__has_feature(thread_sanitizer)
#define CONFINE_SANITIZER 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CONFINE_SANITIZER 1
#endif

#if defined(__x86_64__) && !defined(__ILP32__)
#define CONFINE_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__) && defined(__AARCH64EL__)
#define CONFINE_ARCH AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define CONFINE_ARCH AUDIT_ARCH_RISCV64
#elif defined(__powerpc64__) && defined(__LITTLE_ENDIAN__)
#define CONFINE_ARCH AUDIT_ARCH_PPC64LE
#endif

/* What was counted for a coverage report is written to files at the end. */
#if defined(CONFINE_ARCH) && !defined(CONFINE_SANITIZER) && !defined(COVERAGE)
#define CONFINE_FILTER 1
#endif

static int
limit(int what, rlim_t value)
{
	struct rlimit r;

	if (getrlimit((__rlimit_resource_t)what, &r) < 0)
		return -errno;
	if (r.rlim_max > value)
		r.rlim_max = value;
	r.rlim_cur = r.rlim_max;
	return setrlimit((__rlimit_resource_t)what, &r) < 0 ? -errno : 0;
}

int
confine_begin(void)
{
	if (syscall(SYS_close_range, 3u, ~0u, 0u) < 0 && errno != ENOSYS)
		return -errno;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return -errno;
	return limit(RLIMIT_CORE, 0);
}

/* Ambient ones come from the service manager and would otherwise stay with every child. */
static int
drop_capabilities(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};

	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
		return -errno;
	return syscall(SYS_capset, &head, none) < 0 ? -errno : 0;
}

#ifdef CONFINE_FILTER

#ifdef SYS_landlock_create_ruleset
/*
 * All rights on files that the first version of Landlock knows, granted nowhere. A kernel without
 * it is no error: the filter alone closes the file system too.
 */
static int
close_files(void)
{
	const struct landlock_ruleset_attr attr = {
		.handled_access_fs = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1,
	};
	long fd;
	int rc = 0;

	fd = syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0u);
	if (fd < 0)
		return errno == ENOSYS || errno == EOPNOTSUPP ? 0 : -errno;
	if (syscall(SYS_landlock_restrict_self, (int)fd, 0u) < 0)
		rc = -errno;
	close((int)fd);
	return rc;
}
#else
static int
close_files(void)
{
	return 0;
}
#endif

/* A system call that is allowed: ALWAYS, or if the low half of its argument number arg is EQUAL to
 * value, or has none of the bits of value (WITHOUT). */
enum rule_test { ALWAYS, EQUAL, WITHOUT };

struct rule {
	uint32_t call;
	enum rule_test test;
	uint32_t arg;
	uint32_t value;
};

static const struct rule rules[] = {
	{__NR_read, ALWAYS, 0, 0},
	{__NR_write, ALWAYS, 0, 0},
	{__NR_recvfrom, ALWAYS, 0, 0},
	{__NR_sendto, ALWAYS, 0, 0},
#ifdef __NR_recv
	{__NR_recv, ALWAYS, 0, 0},
	{__NR_send, ALWAYS, 0, 0},
#endif
#ifdef __NR_poll
	{__NR_poll, ALWAYS, 0, 0},
#endif
	{__NR_ppoll, ALWAYS, 0, 0},
	{__NR_shutdown, ALWAYS, 0, 0},
	{__NR_close, ALWAYS, 0, 0},
	/* libssh2 asks whether its socket blocks. */
	{__NR_fcntl, EQUAL, 1, F_GETFL},
	/* Memory, never executable. */
	{__NR_brk, ALWAYS, 0, 0},
	{__NR_mmap, WITHOUT, 2, PROT_EXEC},
	{__NR_mprotect, WITHOUT, 2, PROT_EXEC},
	{__NR_munmap, ALWAYS, 0, 0},
	{__NR_mremap, ALWAYS, 0, 0},
	{__NR_madvise, ALWAYS, 0, 0},
	/* Locks and random numbers of libcrypto, which looks whether it was forked. */
	{__NR_futex, ALWAYS, 0, 0},
	{__NR_getrandom, ALWAYS, 0, 0},
	{__NR_getpid, ALWAYS, 0, 0},
	{__NR_clock_gettime, ALWAYS, 0, 0},
	{__NR_gettimeofday, ALWAYS, 0, 0},
#ifdef __NR_time
	{__NR_time, ALWAYS, 0, 0},
#endif
	{__NR_restart_syscall, ALWAYS, 0, 0},
	{__NR_rt_sigreturn, ALWAYS, 0, 0},
	{__NR_rt_sigprocmask, ALWAYS, 0, 0},
	{__NR_exit, ALWAYS, 0, 0},
	{__NR_exit_group, ALWAYS, 0, 0},
};

#define RULE_STEPS 5 /* instructions that the longest rule takes */
#define FRAME_STEPS 7
#define STEPS_MAX (FRAME_STEPS + RULE_STEPS * ARRAY_LEN(rules))

struct program {
	struct sock_filter step[STEPS_MAX];
	unsigned short len;
};

static void
put_step(struct program *p, uint32_t code, uint32_t k, uint8_t if_true, uint8_t if_false)
{
	assert(p->len < STEPS_MAX);
	p->step[p->len++] = (struct sock_filter){(uint16_t)code, if_true, if_false, k};
}

static void
put_load(struct program *p, size_t offset)
{
	put_step(p, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void
put_return(struct program *p, uint32_t action)
{
	put_step(p, BPF_RET | BPF_K, action, 0, 0);
}

/* On entry the accumulator holds the call's number, and again where the rule does not apply. */
static void
put_rule(struct program *p, const struct rule *r)
{
	/* All processors that have a filter here are little-endian: the low half comes first. */
	size_t low = offsetof(struct seccomp_data, args) + r->arg * sizeof(uint64_t);

	if (r->test == ALWAYS) {
		put_step(p, BPF_JMP | BPF_JEQ | BPF_K, r->call, 0, 1);
		put_return(p, SECCOMP_RET_ALLOW);
		return;
	}
	put_step(p, BPF_JMP | BPF_JEQ | BPF_K, r->call, 0, 4);
	put_load(p, low);
	if (r->test == EQUAL)
		put_step(p, BPF_JMP | BPF_JEQ | BPF_K, r->value, 1, 0);
	else
		put_step(p, BPF_JMP | BPF_JSET | BPF_K, r->value, 0, 1);
	put_return(p, SECCOMP_RET_ERRNO | EPERM);
	put_return(p, SECCOMP_RET_ALLOW);
}

static void
put_program(struct program *p)
{
	put_load(p, offsetof(struct seccomp_data, arch));
	put_step(p, BPF_JMP | BPF_JEQ | BPF_K, CONFINE_ARCH, 1, 0);
	put_return(p, SECCOMP_RET_KILL_PROCESS);
	put_load(p, offsetof(struct seccomp_data, nr));
#ifdef __x86_64__
	/* The numbers of the x32 calling convention begin here. */
	put_step(p, BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1);
	put_return(p, SECCOMP_RET_KILL_PROCESS);
#endif
	for (size_t i = 0; i < ARRAY_LEN(rules); i++)
		put_rule(p, &rules[i]);
	put_return(p, SECCOMP_RET_ERRNO | EPERM);
}

static int
filter_calls(void)
{
	struct program p = {.len = 0};
	struct sock_fprog prog = {.filter = p.step};

	put_program(&p);
	prog.len = p.len;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog, 0, 0) < 0 ? -errno : 0;
}

static int
close_the_rest(size_t extra)
{
	int rc;

	/* Not RLIMIT_FSIZE: standard error may be a log file. */
	if ((rc = limit(RLIMIT_NOFILE, CONFINE_FDS_MAX)) < 0)
		return rc;
	if ((rc = limit(RLIMIT_NPROC, 0)) < 0)
		return rc;
	if ((rc = limit(RLIMIT_DATA, CONFINE_DATA_BYTES + extra)) < 0)
		return rc;
	if ((rc = close_files()) < 0)
		return rc;
	return filter_calls();
}

#else

static int
close_the_rest(size_t extra)
{
	(void)extra;
	return 0;
}

#endif

int
confine_streams(size_t extra)
{
	int rc = drop_capabilities();

	return rc < 0 ? rc : close_the_rest(extra);
}
