/* SPDX-License-Identifier: BSD-2-Clause */
/* WAL and marker: made together, and never made anew where one of them is missing. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conf/home.h"
#include "proto/walfile.h"
#include "tests/tap.h"

static char err[4096];

static void
path_of(char out[512], const char *dir, const char *name)
{
	snprintf(out, 512, "%s/%s", dir, name);
}

/* A node's directories; everything closed and opened again, as a daemon does at its start. */
struct node {
	char state[256], root[256];
	struct tree *tree;
	struct walfile *file;
	struct wal_dev dev;
};

static bool
node_open(struct node *n)
{
	struct tree_opts o = {n->root, NULL};

	if (tree_open(&o, &n->tree, err, sizeof(err)) < 0 || walfile_open(n->state, &n->file) < 0)
		return false;
	n->dev = walfile_dev(n->file);
	return true;
}

static void
node_close(struct node *n)
{
	walfile_close(n->file);
	tree_close(n->tree);
}

static bool
node_new(struct node *n, const char *dir, const char *name)
{
	snprintf(n->state, sizeof(n->state), "%s/%s.state", dir, name);
	snprintf(n->root, sizeof(n->root), "%s/%s.root", dir, name);
	return ok(mkdir(n->state, 0700) == 0 && mkdir(n->root, 0755) == 0 && node_open(n),
		  "a node's directories");
}

static int
prepare(struct node *n)
{
	err[0] = '\0';
	return home_prepare(n->state, n->tree, &n->dev, 1, err, sizeof(err));
}

static int
no_entry(void *arg, const struct entry *e)
{
	unsigned *entries = arg;

	(void)e;
	++*entries;
	return 0;
}

/* The WAL as it is: home_guard's answer. */
static int
guard(struct node *n)
{
	unsigned entries = 0;
	struct wal_user user = {.arg = &entries, .fold = no_entry};
	struct wal *w = wal_new(&n->dev, &user);
	int r = w != NULL ? wal_open(w) : -ENOMEM;

	if (r == 0)
		r = home_guard(n->tree, wal_info(w), n->root, err, sizeof(err));
	wal_free(w);
	return r;
}

static void
remove_in(const char *dir, const char *name)
{
	char path[512];

	path_of(path, dir, name);
	ok(unlink(path) == 0, "%s is removed", name);
}

static void
test_new(struct node *n)
{
	is_int(prepare(n), 0, "a new node");
	is_int(guard(n), 0, "its root is the one");
	is_int(prepare(n), 0, "again: nothing to do");
	node_close(n);
	ok(node_open(n), "opened again");
	is_int(prepare(n), 0, "and again");
	is_int(guard(n), 0, "still the one");
}

/* A crash between WAL and marker; then the same with a WAL that has entries, which is no crash. */
static void
test_no_marker(struct node *n)
{
	struct entry e = {.type = ENTRY_CLOCK, .num = 5};
	unsigned entries = 0;
	struct wal_user user = {.arg = &entries, .fold = no_entry};
	struct buf batch = {0};
	struct wal *w;

	remove_in(n->root, ".mimeo-id");
	is_int(prepare(n), 0, "a WAL without a marker is not made anew");
	is_int(guard(n), 0, "an empty WAL gets its marker");
	is_int(guard(n), 0, "which is the right one");

	wal_put(&batch, &e);
	w = wal_new(&n->dev, &user);
	ok(w != NULL && wal_open(w) == 0 && wal_lock(w, true, true) == 0 && wal_catchup(w) == 0 &&
		   wal_append(w, &batch) == 0 && wal_sync(w) == 0,
	   "an entry is written");
	if (w != NULL)
		wal_unlock(w);
	wal_free(w);
	buf_free(&batch);
	remove_in(n->root, ".mimeo-id");
	is_int(guard(n), -ENODATA, "a WAL with entries gets none");
	ok(strstr(err, n->root) != NULL && strstr(err, "init --marker") != NULL,
	   "it says where, and what to do");
	is_int(guard(n), -ENODATA, "nor later");
}

static void
test_no_wal(struct node *n)
{
	char path[512];

	remove_in(n->state, "wal");
	is_int(prepare(n), -ENOTRECOVERABLE, "a marker without a WAL");
	ok(strstr(err, n->state) != NULL && strstr(err, "not mounted") != NULL,
	   "it says where, and why that may be");
	path_of(path, n->state, "wal");
	ok(access(path, F_OK) < 0, "and no WAL is made");
	path_of(path, n->root, ".mimeo-id");
	ok(access(path, F_OK) == 0, "nor is the marker touched");
}

static void
test_other_root(struct node *n, struct node *other)
{
	char mine[512], theirs[512], away[512];

	snprintf(away, sizeof(away), "%s.away", n->root);
	path_of(mine, n->root, ".mimeo-id");
	path_of(theirs, other->root, ".mimeo-id");
	ok(rename(theirs, mine) == 0, "another node's marker");
	is_int(guard(n), -EBADMSG, "is seen");
	ok(strstr(err, "another node") != NULL, "and said");
	ok(rename(mine, theirs) == 0 && rename(n->root, away) == 0, "the root is gone");
	is_int(guard(n), -ENOENT, "that is seen");
	ok(mkdir(n->root, 0755) == 0, "another directory comes to its name");
	is_int(guard(n), -ESTALE, "that is seen too");
	ok(strstr(err, "unmounted") != NULL, "and said");
	ok(rmdir(n->root) == 0 && rename(away, n->root) == 0, "the right one is back");
}

/* All at once: one WAL, and the marker that belongs to it. */
static void
test_together(struct node *n)
{
	int wrong = 0;

	fflush(stdout);
	for (int i = 0; i < 8; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			struct node mine = *n;

			_exit(node_open(&mine) && prepare(&mine) == 0 ? 0 : 1);
		}
		wrong += pid < 0;
	}
	for (int i = 0, status; i < 8; i++)
		wrong += wait(&status) < 0 || status != 0;
	is_int(wrong, 0, "eight begin at once");
	is_int(guard(n), 0, "and agree");
}

static void
test_fails(struct node *n)
{
	char lock[512];

	path_of(lock, n->state, "init.lock");
	(void)unlink(lock);
	ok(mkdir(lock, 0700) == 0, "a directory has the lock's name");
	ok(prepare(n) < 0 && strstr(err, lock) != NULL, "it says which");
	ok(rmdir(lock) == 0, "it is removed");
	is_int(prepare(n), 0, "and then it goes");
}

int
main(void)
{
	char dir[] = "/tmp/mimeo-home-XXXXXX", line[64];
	struct node a = {0}, b = {0}, c = {0}, d = {0};

	if (mkdtemp(dir) == NULL || !node_new(&a, dir, "a") || !node_new(&b, dir, "b") ||
	    !node_new(&c, dir, "c") || !node_new(&d, dir, "d"))
		return 1;
	test_new(&a);
	test_together(&b);
	test_fails(&c);
	is_int(prepare(&d), 0, "a fourth");
	test_no_marker(&a);
	test_other_root(&a, &d);
	test_no_wal(&b);
	node_close(&a);
	node_close(&b);
	node_close(&c);
	node_close(&d);
	snprintf(line, sizeof(line), "rm -rf %s", dir);
	ok(system(line) == 0, "cleaned up"); /* NOLINT(cert-env33-c): a name of our own */
	return tap_done();
}
