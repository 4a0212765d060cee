/* SPDX-License-Identifier: BSD-2-Clause */
/* What keeps a change from being applied just now, and what is there already. Whole nodes in one
 * process. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/apply.h"
#include "tests/unit/settle.h"

#define SMALL 100
#define MIDDLE 5000

static const char *
reason(struct machine *m, const char *path)
{
	struct node *n = machine_node(m);
	const struct pathent *e = index_find(n->index, path, strlen(path));
	struct apply_state s = {.reason = "not known"};

	if (e != NULL)
		s = apply_explain(n->apply, e);
	return s.reason != NULL ? s.reason : "";
}

static void
waits_for(struct machine *m, const char *path, const char *text)
{
	ok(strstr(reason(m, path), text) != NULL, "%s waits: %s", path, reason(m, path));
}

static const char *
full(struct machine *m, const char *path)
{
	static char text[NODES_PATH_BYTES + 32];

	snprintf(text, sizeof(text), "%s/%s", machine_root(m), path);
	return text;
}

/* A program has a file open for writing. */
static void
test_busy(void)
{
	struct nodes *all = nodes_new(&(struct nodes_opts){.n = 2});
	struct machine *a = nodes_at(all, 0), *b = nodes_at(all, 1);
	int one, two;

	user_fill(a, "edited", 1, 0, MIDDLE);
	user_fill(a, "deleted", 2, 0, MIDDLE);
	settle(all, "two files");
	one = open(full(b, "edited"), O_WRONLY | O_CLOEXEC);
	two = open(full(b, "deleted"), O_WRONLY | O_CLOEXEC);
	user_fill(a, "edited", 1, 1, MIDDLE);
	user_remove(a, "deleted");
	nodes_run(all, 10000);
	ok(one >= 0 && user_sees_fill(b, "edited", 1, 0, MIDDLE), "it is not replaced");
	ok(two >= 0 && user_sees_fill(b, "deleted", 2, 0, MIDDLE), "nor taken away");
	waits_for(b, "edited", "open for writing");
	waits_for(b, "deleted", "open for writing");
	close(one);
	close(two);
	settle(all, "closed");
	ok(nodes_same(all), "both show the same");
	nodes_free(all);
}

/* Something that is never replicated has the name. */
static void
test_fifo(void)
{
	struct nodes *all = nodes_new(&(struct nodes_opts){.n = 2});
	struct machine *a = nodes_at(all, 0), *b = nodes_at(all, 1);

	settle(all, "empty");
	if (mkfifo(full(b, "pipe"), 0600) < 0 || mkfifo(full(b, "dir"), 0600) < 0)
		abort();
	user_fill(a, "pipe", 1, 0, SMALL);
	user_mkdir(a, "dir");
	nodes_run(all, 10000);
	waits_for(b, "pipe", "FIFO");
	waits_for(b, "dir", "FIFO");
	user_remove(b, "pipe");
	user_remove(b, "dir");
	settle(all, "it is gone");
	ok(nodes_same(all), "both show the same");
	nodes_free(all);
}

/* A parent that is a symlink here, a file there: nothing is ever written behind it. */
static void
test_link_in_way(void)
{
	struct nodes *all = nodes_new(&(struct nodes_opts){.n = 2});
	struct machine *a = nodes_at(all, 0), *b = nodes_at(all, 1);

	user_mkdir(a, "dir");
	user_mkdir(a, "other");
	settle(all, "two directories");
	nodes_part(all, true);
	user_remove(b, "dir");
	user_link(b, "other", "dir");
	user_fill(a, "dir/file", 1, 0, SMALL);
	settle(all, "apart");
	nodes_part(all, false);
	settle(all, "together");
	ok(nodes_same(all), "both show the same");
	ok(user_sees(a, "other/file", NULL, 0) && user_sees(b, "other/file", NULL, 0),
	   "nothing was written behind the link");
	ok(nodes_have_fill(all, 1, 0, SMALL), "the file is there");
	nodes_free(all);
}

/* Both make the same, the second before it has heard of the first. */
static void
test_same(void)
{
	struct nodes *all = nodes_new(&(struct nodes_opts){.n = 2});
	struct machine *a = nodes_at(all, 0), *b = nodes_at(all, 1);

	settle(all, "empty");
	for (unsigned ms = 60; ms < 140; ms += 5) {
		char file[16], dir[16], link[16];

		snprintf(file, sizeof(file), "f%u", ms);
		snprintf(dir, sizeof(dir), "d%u", ms);
		snprintf(link, sizeof(link), "l%u", ms);
		user_fill(a, file, ms, 0, MIDDLE);
		user_mkdir(a, dir);
		user_link(a, "same", link);
		nodes_run(all, ms);
		if (user_sees(b, file, NULL, 0))
			user_fill(b, file, ms, 0, MIDDLE);
		if (user_sees(b, dir, NULL, 0))
			user_mkdir(b, dir);
		if (user_sees(b, link, NULL, 0))
			user_link(b, "same", link);
		settle(all, "made by both");
	}
	ok(nodes_same(all), "both show the same");
	nodes_free(all);
}

static void
test_moved_and_dressed(const char *more)
{
	struct nodes *all = nodes_new(&(struct nodes_opts){.n = 2, .more = more});
	struct machine *a = nodes_at(all, 0), *b = nodes_at(all, 1);

	user_fill(a, "file", 1, 0, MIDDLE);
	user_fill(a, "stays", 2, 0, MIDDLE);
	settle(all, "two files");
	user_move(a, "file", "new");
	user_chmod(a, "new", 0600);
	user_chmod(a, "stays", 0640);
	settle(all, "one moved, both dressed");
	ok(nodes_same(all) && user_sees_fill(b, "new", 1, 0, MIDDLE), "both show the same");
	nodes_free(all);
}

/* The root is not what it was: nothing is applied. */
static void
test_halted(void)
{
	struct nodes *all = nodes_new(&(struct nodes_opts){.n = 2});
	struct machine *a = nodes_at(all, 0), *b = nodes_at(all, 1);

	settle(all, "empty");
	node_halt(machine_node(b), -ESTALE, "the root is gone");
	user_fill(a, "file", 1, 0, MIDDLE);
	nodes_run(all, 10000);
	ok(user_sees(b, "file", NULL, 0), "nothing is applied");
	waits_for(b, "file", "halted");
	node_halt(machine_node(b), 0, "");
	settle(all, "the root is back");
	ok(nodes_same(all), "both show the same");
	nodes_free(all);
}

/* Its first byte becomes another one; its size and its mtime stay. */
static void
meddle(struct machine *m, const char *path)
{
	struct timespec ts[2];
	struct stat st;
	char byte;
	int fd = open(full(m, path), O_RDWR | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) < 0 || pread(fd, &byte, 1, 0) != 1)
		abort();
	byte = (char)~byte;
	ts[0] = st.st_atim;
	ts[1] = st.st_mtim;
	if (pwrite(fd, &byte, 1, 0) != 1 || futimens(fd, ts) < 0)
		abort();
	close(fd);
}

/* A file that only has a new name need not be hashed again; one that somebody wrote to behind the
 * rename has to be, even if neither its size nor its mtime tells. */
static void
test_written_behind_rename(void)
{
	struct nodes *all = nodes_new(&(struct nodes_opts){.n = 2});
	struct machine *a = nodes_at(all, 0);

	user_mkdir(a, "dir");
	user_fill(a, "dir/file", 1, 0, MIDDLE);
	user_fill(a, "file", 2, 0, MIDDLE);
	settle(all, "two files");
	nodes_run(all, 2000);
	user_move(a, "dir", "new");
	meddle(a, "new/file");
	settle(all, "its directory was renamed");
	ok(nodes_same(all) && !user_sees_fill(a, "new/file", 1, 0, MIDDLE), "what was written");
	user_move(a, "file", "other");
	meddle(a, "other");
	settle(all, "it was renamed itself");
	ok(nodes_same(all) && !user_sees_fill(a, "other", 2, 0, MIDDLE), "what was written");
	user_move(a, "other", "last");
	nodes_run(all, 1);
	meddle(a, "last");
	settle(all, "and once more, a little later");
	ok(nodes_same(all), "both show the same");
	nodes_free(all);
}

int
main(void)
{
	test_busy();
	test_written_behind_rename();
	test_fifo();
	test_link_in_way();
	test_same();
	test_moved_and_dressed(NULL);
	test_moved_and_dressed("owner = preserve\n");
	test_halted();
	return tap_done();
}
