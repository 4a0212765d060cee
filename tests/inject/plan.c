/* SPDX-License-Identifier: BSD-2-Clause */
/* Sets and shows what inject.c is to do to a program. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/inject/plan.h"

static const char help[] =
	"usage: plan FILE count|kill|stop|fail [AT [CLASS,... [ERRNO once|always [BELOW]]]]\n"
	"       plan FILE show\n"
	"\n"
	"FILE is INJECT_DIR/PROGRAM and is made if it is not there. From now on the program's "
	"calls\n"
	"are counted; at the AT-th (from 1) it is killed, stopped, or the call fails with ERRNO.\n"
	"CLASS: open read write socket names meta sync stat close watch wait memory; `work' is "
	"all\n"
	"but the last two. BELOW: only calls on paths that begin so. count also lets a stopped\n"
	"program go on. show prints the number of calls and of hits, the process hit, and the "
	"call.\n";

static const char *const classes[] = {
	[PLAN_OPEN] = "open",     [PLAN_READ] = "read",   [PLAN_WRITE] = "write",
	[PLAN_SOCKET] = "socket", [PLAN_NAMES] = "names", [PLAN_META] = "meta",
	[PLAN_SYNC] = "sync",     [PLAN_STAT] = "stat",   [PLAN_CLOSE] = "close",
	[PLAN_WATCH] = "watch",   [PLAN_WAIT] = "wait",   [PLAN_MEMORY] = "memory",
};
static const char *const actions[] = {
	[PLAN_NONE] = "count", [PLAN_KILL] = "kill", [PLAN_STOP] = "stop", [PLAN_FAIL] = "fail"};

static int
find(const char *const *words, size_t n, const char *word, size_t len)
{
	for (size_t i = 0; i < n; i++)
		if (strlen(words[i]) == len && memcmp(words[i], word, len) == 0)
			return (int)i;
	return -1;
}

static int
parse_classes(const char *text, uint32_t *mask)
{
	*mask = 0;
	for (;;) {
		size_t len = strcspn(text, ",");
		int i = find(classes, PLAN_CLASSES, text, len);

		if (len == 4 && memcmp(text, "work", len) == 0)
			*mask |= PLAN_WORK;
		else if (i < 0)
			return -EINVAL;
		else
			*mask |= 1u << i;
		if (text[len] == '\0')
			return 0;
		text += len + 1;
	}
}

static int
parse_errno(const char *name)
{
	for (int e = 1; e < 134; e++)
		if (strerrorname_np(e) != NULL && strcmp(strerrorname_np(e), name) == 0)
			return e;
	return 0;
}

static struct plan *
map_plan(const char *path)
{
	struct plan *p = NULL;
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);

	if (fd < 0)
		return NULL;
	if (ftruncate(fd, PLAN_BYTES) == 0) {
		p = mmap(NULL, PLAN_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		p = p == MAP_FAILED ? NULL : p;
	}
	close(fd);
	return p;
}

static int
show(const struct plan *p)
{
	printf("%llu %llu %d %s\n", (unsigned long long)p->calls, (unsigned long long)p->hits,
	       (int)p->pid, p->what);
	return 0;
}

/* The action comes last: the program may be running. */
static int
set(struct plan *p, int action, int argc, char **argv)
{
	uint32_t mask = PLAN_WORK;
	int error = 0;

	if ((argc > 1 && parse_classes(argv[1], &mask) < 0) ||
	    (argc > 2 && (argc == 3 || (error = parse_errno(argv[2])) == 0)) ||
	    (action == PLAN_FAIL && argc < 4)) {
		fputs(help, stderr);
		return 2;
	}
	p->action = PLAN_NONE;
	p->classes = mask;
	p->error = error;
	p->always = argc > 3 && strcmp(argv[3], "always") == 0;
	p->at = argc > 0 ? strtoull(argv[0], NULL, 10) : 0;
	snprintf(p->below, sizeof(p->below), "%s", argc > 4 ? argv[4] : "");
	p->hits = 0;
	p->pid = 0;
	p->what[0] = '\0';
	p->calls = 0;
	p->magic = PLAN_MAGIC;
	p->action = (uint32_t)action;
	return 0;
}

int
main(int argc, char **argv)
{
	struct plan *p;
	int action;

	if (argc < 3) {
		fputs(help, stderr);
		return 2;
	}
	p = map_plan(argv[1]);
	if (p == NULL) {
		fprintf(stderr, "plan: %s: %s\n", argv[1], strerror(errno));
		return 1;
	}
	if (strcmp(argv[2], "show") == 0)
		return show(p);
	action = find(actions, 4, argv[2], strlen(argv[2]));
	if (action < 0) {
		fputs(help, stderr);
		return 2;
	}
	return set(p, action, argc - 3, argv + 3);
}
