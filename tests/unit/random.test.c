/* SPDX-License-Identifier: BSD-2-Clause */
/* Random ids: never 0, never twice, no bit that stands still, none handed on by fork(2). */
#include "config.h"

#include "conf/random.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/tap.h"

/* Two of 4,096 honest 64-bit numbers are equal once in 2,000,000,000,000 runs. */
#define MANY 4096

static int
by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a;
	uint64_t y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void
test_many(void)
{
	static uint64_t v[MANY];
	uint64_t ones = 0;
	uint64_t zeros = 0;
	bool once = true;

	for (size_t i = 0; i < MANY; i++) {
		v[i] = random_u64();
		ones |= v[i];
		zeros |= ~v[i];
	}
	qsort(v, MANY, sizeof(v[0]), by_value);
	for (size_t i = 1; i < MANY; i++)
		once = once && v[i] != v[i - 1];
	ok(v[0] != 0, "never 0");
	ok(once, "never the same twice");
	ok(ones == UINT64_MAX && zeros == UINT64_MAX, "every bit is set and clear now and then");
}

/* A generator inside the process would give a child what it gives its parent. */
static void
test_fork(void)
{
	uint64_t theirs = 0;
	uint64_t mine = 0;
	int status = -1;
	int fd[2];
	pid_t pid = -1;

	ok(pipe(fd) == 0, "a pipe");
	pid = fork();
	if (pid == 0) {
		theirs = random_u64();
		_exit(write(fd[1], &theirs, sizeof(theirs)) == (ssize_t)sizeof(theirs) ? 0 : 1);
	}
	mine = random_u64();
	ok(read(fd[0], &theirs, sizeof(theirs)) == (ssize_t)sizeof(theirs), "a child's number");
	ok(waitpid(pid, &status, 0) == pid && status == 0, "the child ended well");
	ok(theirs != 0 && mine != theirs, "is another one than its parent's");
	close(fd[0]);
	close(fd[1]);
}

int
main(void)
{
	test_many();
	test_fork();
	return tap_done();
}
