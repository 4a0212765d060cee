/* SPDX-License-Identifier: BSD-2-Clause */
/* One page of memory that a process under test (inject.c) shares with who plans its faults
 * (plan.c): a file INJECT_DIR/PROGRAM, mapped by both. */
#ifndef MIMEO_TESTS_INJECT_PLAN_H
#define MIMEO_TESTS_INJECT_PLAN_H

#include <stdint.h>

#define PLAN_MAGIC 0x6e616c70u
#define PLAN_BYTES 4096
#define PLAN_WHAT_BYTES 512

/* Classes of calls, as bits of plan.classes. */
enum plan_class {
	PLAN_OPEN,   /* open, openat, openat2, fopen, directories */
	PLAN_READ,   /* read, pread, readlinkat, readdir */
	PLAN_WRITE,  /* write, pwrite, ftruncate, fallocate */
	PLAN_SOCKET, /* send, recv, socket, accept, connect */
	PLAN_NAMES,  /* rename, unlink, mkdir, link, symlink */
	PLAN_META,   /* chmod, fchown, utimensat */
	PLAN_SYNC,   /* fsync, fdatasync, syncfs */
	PLAN_STAT,   /* stat, statx, statvfs */
	PLAN_CLOSE,  /* close */
	PLAN_WATCH,  /* inotify */
	PLAN_WAIT,   /* epoll, poll, pidfd, eventfd */
	PLAN_MEMORY, /* malloc, calloc, realloc */
	PLAN_CLASSES
};

/* What makes up a program's work: no memory, no waiting. */
#define PLAN_WORK ((1u << PLAN_WAIT) - 1)

enum plan_action {
	PLAN_NONE, /* count only */
	PLAN_KILL, /* as kill -9 does */
	PLAN_STOP, /* as SIGSTOP does, until the plan is set back to PLAN_NONE */
	PLAN_FAIL  /* the call fails with plan.error, where that call can */
};

/*
 * The at-th call (from 1) of the classes, counted since `action` was set, is acted on; with
 * `always` each one from there on. Calls that cannot fail with `error` are not counted then. The
 * process sets magic, hits, pid and what; calls may be set to 0 by the planner.
 */
struct plan {
	uint32_t magic;
	_Atomic uint32_t action;
	uint32_t classes;
	int32_t error;
	uint32_t always;
	_Atomic int32_t pid; /* of the process whose call was acted on first */
	uint64_t at;
	_Atomic uint64_t calls;
	_Atomic uint64_t hits;
	char below[PLAN_WHAT_BYTES]; /* only calls on paths below this; empty: all */
	char what[PLAN_WHAT_BYTES];  /* the first call that was acted on, and its path */
};

_Static_assert(sizeof(struct plan) <= PLAN_BYTES, "a plan is one page");

#endif
