/* SPDX-License-Identifier: BSD-2-Clause */
/* What was displaced: kept, listed, restored, dropped, rescued, purged; and whole trees that go
 * back to what they were. Whole nodes in one process. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/exchange.h"
#include "agent/keepers.h"
#include "agent/restore.h"
#include "agent/rewind.h"
#include "agent/store.h"
#include "tests/unit/settle.h"

#define DAY_MS (24ull * 3600 * 1000)
#define SMALL 100
#define MIDDLE 5000

/* ---- who keeps what ---- */

static bool
found(void *arg)
{
	return keepers_done(arg);
}

static struct keepers *
keepers_of(struct nodes *all, unsigned i, uint8_t kinds, const char *path)
{
	struct keepers_want w = {
		.kinds = kinds, .how = KEEPERS_BELOW, .path = path, .len = strlen(path)};
	struct keepers *k;

	if (keepers_new(machine_node(nodes_at(all, i)), &w, &k) < 0 ||
	    !nodes_until(all, found, k, SETTLE_MS))
		abort();
	return k;
}

static struct keepers *
trash(struct nodes *all, unsigned i, const char *path)
{
	return keepers_of(all, i, KEEPERS_TRASH, path);
}

static size_t
count(const struct keepers *k)
{
	size_t n = 0;

	while (keepers_at(k, n) != NULL)
		n++;
	return n;
}

/* ---- restore ---- */

static bool
restored(void *arg)
{
	return restore_state(arg) <= 0;
}

/* Brings the first of what is kept of `path` to `to`, on that node: its result. */
static int
restore(struct nodes *all, unsigned i, uint8_t kinds, const char *path, const char *to)
{
	struct keepers *k = keepers_of(all, i, kinds, path);
	const struct keepers_found *f = keepers_at(k, 0);
	struct restore *r = NULL;
	int e = -ENODATA;

	if (f != NULL)
		e = restore_start(machine_node(nodes_at(all, i)), k, f, to, strlen(to), &r);
	if (e == 0 && !nodes_until(all, restored, r, SETTLE_MS))
		e = -ETIME;
	if (e == 0)
		e = restore_state(r);
	restore_free(r);
	keepers_free(k);
	return e;
}

static void
test_restore(void)
{
	struct nodes *all = nodes_new(&(struct nodes_opts){.n = 2});
	struct machine *a = nodes_at(all, 0), *b = nodes_at(all, 1);
	struct keepers *k;
	struct restore *r = NULL;
	size_t i = 0;

	user_fill(a, "file", 1, 0, MIDDLE);
	user_link(a, "file", "link");
	user_fill(a, "small", 2, 0, SMALL);
	settle(all, "three names");
	user_fill(a, "file", 1, 1, MIDDLE);
	user_remove(a, "link");
	user_remove(a, "small");
	settle(all, "changed");
	k = trash(all, 0, "");
	is_int(count(k), 3, "three are kept by b, and a knows");
	ok(!keepers_here(keepers_at(k, 0)), "not by a");
	keepers_free(k);

	is_int(restore(all, 1, KEEPERS_TRASH, "file", "file"), 0, "the file comes back on b");
	settle(all, "restored");
	ok(user_sees_fill(a, "file", 1, 0, MIDDLE) && nodes_same(all), "on both");
	ok(nodes_have_fill(all, 1, 1, MIDDLE), "what it displaced is kept");
	is_int(restore(all, 0, KEEPERS_TRASH, "small", "a/b/c"), 0,
	       "a fetches from b, into a new directory");
	settle(all, "restored");
	ok(user_sees_fill(b, "a/b/c", 2, 0, SMALL) && nodes_same(all), "on both");
	is_int(restore(all, 1, KEEPERS_TRASH, "link", "link"), 0, "a link");
	settle(all, "restored");
	ok(!user_sees(a, "link", NULL, 0) && nodes_same(all), "is there again");
	is_int(restore(all, 1, KEEPERS_TRASH, "small", "a"), -EISDIR, "not over a directory");
	is_int(restore(all, 1, KEEPERS_TRASH, "small", "../small"), -EINVAL, "not outside");
	is_int(restore(all, 1, KEEPERS_TRASH, "small", "link/small"), -ELOOP, "not behind a link");

	/* Over something that nobody has logged yet. */
	user_fill(b, "new", 3, 0, SMALL);
	is_int(restore(all, 1, KEEPERS_TRASH, "small", "new"), 0, "over a file that is new");
	settle(all, "restored");
	ok(nodes_have_fill(all, 3, 0, SMALL), "which is kept");
	k = keepers_of(all, 1, KEEPERS_CONFLICTS, "new");
	ok(count(k) <= 1, "and listed, unless it was logged in time");
	keepers_free(k);

	nodes_part(all, true);
	is_int(restore(all, 1, KEEPERS_TRASH, "small", "small"), 0, "b needs nobody");
	k = trash(all, 0, "");
	is_str(keepers_silent(k, &i), "n2", "a has heard nothing of b");
	keepers_free(k);
	nodes_part(all, false);
	settle(all, "connected again");

	user_fill(a, "only", 4, 0, MIDDLE);
	settle(all, "one more");
	user_fill(a, "only", 4, 1, MIDDLE);
	settle(all, "its first version is kept by b alone");
	k = trash(all, 0, "only");
	nodes_part(all, true);
	ok(keepers_at(k, 0) != NULL &&
		   restore_start(machine_node(a), k, keepers_at(k, 0), "x", 1, &r) == 0,
	   "begun, and then b is gone");
	nodes_run(all, 1000);
	ok(restore_state(r) != 0, "it is not there");
	restore_free(r);
	keepers_free(k);
	nodes_part(all, false);
	settle(all, "connected again");
	ok(nodes_same(all), "both show the same");
	nodes_free(all);
}

/* Each step of it fails once: an error, nothing lost, and the next try works. */
static void
test_restore_faults(void)
{
	static const struct fault faults[] = {
		{.class = FAULT_SPACE, .at = 1, .last = 1, .error = EIO},
		{.class = FAULT_WRITE, .at = 1, .last = 1, .error = ENOSPC},
		{.class = FAULT_OPEN, .at = 1, .last = 1, .error = EMFILE},
		{.class = FAULT_SYNC, .at = 1, .last = 1, .error = EIO},
		{.class = FAULT_META, .at = 1, .last = 9, .error = EROFS},
		{.class = FAULT_RENAME, .at = 1, .last = 1, .error = EIO},
		{.class = FAULT_RENAME, .at = 2, .last = 2, .error = EIO},
		{.class = FAULT_RENAME, .at = 3, .last = 3, .error = EIO},
		{.class = FAULT_READ, .at = 1, .last = 1, .error = EIO},
	};

	for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
		struct nodes *all = nodes_new(&(struct nodes_opts){.n = 2});
		struct machine *a = nodes_at(all, 0), *b = nodes_at(all, 1);
		int e;

		user_fill(a, "file", 1, 0, MIDDLE);
		settle(all, "a file");
		user_fill(a, "file", 1, 1, MIDDLE);
		settle(all, "another version");
		machine_fault(b, &faults[i]);
		e = restore(all, 1, KEEPERS_TRASH, "file", "file");
		ok(machine_faulted(b), "%s %u failed: %s, so restore says %d",
		   fault_name(faults[i].class), faults[i].at, strerror(faults[i].error), e);
		machine_fault(b, NULL);
		settle(all, "after the fault");
		ok(nodes_have_fill(all, 1, 0, MIDDLE) && nodes_have_fill(all, 1, 1, MIDDLE),
		   "both versions are there");
		if (e < 0)
			is_int(restore(all, 1, KEEPERS_TRASH, "file", "file"), 0, "once more");
		settle(all, "restored");
		ok(user_sees_fill(b, "file", 1, 0, MIDDLE) && nodes_same(all), "it is back");
		nodes_free(all);
	}
}

/* ---- conflicts, dropped and restored ---- */

static void
test_conflict(void)
{
	struct nodes *all = nodes_new(&(struct nodes_opts){.n = 2});
	struct machine *a = nodes_at(all, 0), *b = nodes_at(all, 1);
	struct keepers *k;
	struct dot dot;

	user_fill(a, "both", 1, 0, SMALL);
	settle(all, "a file");
	nodes_part(all, true);
	user_fill(a, "both", 1, 1, MIDDLE);
	user_fill(b, "both", 1, 2, MIDDLE + 1);
	settle(all, "apart");
	nodes_part(all, false);
	settle(all, "together");
	ok(nodes_same(all), "one wins");
	k = keepers_of(all, 0, KEEPERS_CONFLICTS, "");
	is_int(count(k), 1, "the other one is a conflict");
	dot = keepers_at(k, 0)->kept.dot;
	ok(store_expires(machine_node(a)->kept, &keepers_at(k, 0)->kept) == 0 ||
		   index_kept(machine_node(a)->index, dot) == NULL,
	   "that never expires");
	keepers_free(k);
	nodes_jump(all, 100 * DAY_MS);
	nodes_run(all, 2 * STORE_LOOK_MS);
	ok(nodes_have_fill(all, 1, 1, MIDDLE) && nodes_have_fill(all, 1, 2, MIDDLE + 1),
	   "both are there after a hundred days");
	is_int(restore(all, 0, KEEPERS_CONFLICTS, "both", "loser"), 0, "restored beside it");
	settle(all, "restored");
	ok(nodes_same(all) && !user_sees(b, "loser", NULL, 0), "on both");
	is_int(store_drop(machine_node(a)->kept, (struct dot){1, 2}), -ENOENT, "no such version");
	machine_fault(a, &(struct fault){.class = FAULT_UNLINK, .at = 1, .last = 1, .error = EIO});
	machine_fault(a, NULL);
	for (unsigned i = 0; i < 2; i++) {
		struct node *n = machine_node(nodes_at(all, i));

		if (index_kept(n->index, dot) != NULL)
			is_int(store_drop(n->kept, dot), 0, "dropped");
	}
	nodes_run(all, 1000);
	k = keepers_of(all, 0, KEEPERS_CONFLICTS, "");
	keepers_free(k);
	nodes_free(all);
}

/*
 * Both nodes find the same file at their first look. One of them renames it before they know of
 * each other: what the other one has at the old name loses to the delete, and is in both stores. It
 * must not be moved away to the new name.
 */
static void
test_import_moved(void)
{
	struct nodes *all = nodes_new(&(struct nodes_opts){.n = 2});
	struct machine *a = nodes_at(all, 0), *b = nodes_at(all, 1);
	const struct pathent *e;

	nodes_part(all, true);
	user_fill(a, "old", 1, 0, MIDDLE);
	user_fill(b, "old", 1, 0, MIDDLE);
	nodes_run(all, 2 * CORE_FIRST_EXCHANGE_MS);
	user_move(a, "old", "new");
	settle(all, "apart");
	nodes_part(all, false);
	settle(all, "together");
	ok(nodes_same(all) && user_sees(b, "old", NULL, 0), "a delete outranks an import");
	for (unsigned i = 0; i < 2; i++) {
		const struct index *x = machine_node(nodes_at(all, i))->index;

		e = index_find(x, "old", 3);
		for (const struct irec *r = e != NULL ? e->recs : NULL; r != NULL; r = r->next)
			if (r->head && record_live(r->r))
				ok(index_kept(x, r->r->dot) != NULL, "the loser is in the store");
	}
	is_int(index_conflicts_at(e), 1, "it is a conflict");
	nodes_free(all);
}

/* ---- purged, rescued, left over ---- */

/* A program that still had the displaced file open goes on writing. */
static void
write_kept(struct machine *m, const char *more)
{
	const struct kept *k = machine_node(m)->index->kept_first;
	char path[2 * NODES_PATH_BYTES], name[48];
	int fd;

	store_name(k, name);
	snprintf(path, sizeof(path), "%s/kept/%s", machine_work(m), name);
	fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	if (fd < 0 || write(fd, more, strlen(more)) != (ssize_t)strlen(more) || close(fd) < 0)
		abort();
}

static void
test_rescue(void)
{
	struct nodes *all = nodes_new(&(struct nodes_opts){.n = 2});
	struct machine *a = nodes_at(all, 0), *b = nodes_at(all, 1);
	struct keepers *k;

	user_fill(a, "file", 1, 0, MIDDLE);
	settle(all, "a file");
	user_remove(a, "file");
	settle(all, "deleted");
	write_kept(b, "more");
	nodes_jump(all, 31 * DAY_MS);
	nodes_run(all, 2 * STORE_LOOK_MS);
	ok(strstr(machine_said(b), "trash.rescued") != NULL, "what was written is not purged");
	k = keepers_of(all, 0, KEEPERS_CONFLICTS, "");
	is_int(count(k), 1, "but listed, also by a");
	ok(keepers_at(k, 0) != NULL && (keepers_at(k, 0)->kept.flags & KEPT_RESCUED) != 0,
	   "as rescued");
	keepers_free(k);
	is_int(restore(all, 0, KEEPERS_CONFLICTS, "", "back"), -EREMOTE,
	       "it has no hash and cannot be sent");
	is_int(restore(all, 1, KEEPERS_CONFLICTS, "", "back"), 0, "on b it comes back");
	settle(all, "restored");
	ok(nodes_same(all) && !user_sees(a, "back", NULL, 0), "on both");
	nodes_free(all);
}

static void
test_rescued_faults(void)
{
	static const struct fault faults[] = {
		{.class = FAULT_OPEN, .at = 1, .last = 1, .error = EIO},
		{.class = FAULT_OPEN, .at = 2, .last = 2, .error = EIO},
		{.class = FAULT_WRITE, .at = 1, .last = 1, .error = EIO},
		{.class = FAULT_READ, .at = 1, .last = 1, .error = EIO},
		{.class = FAULT_SYNC, .at = 1, .last = 1, .error = EIO},
		{.class = FAULT_META, .at = 1, .last = 1, .error = EIO},
		{.class = FAULT_MEMORY, .at = 4, .last = 4, .error = ENOMEM},
	};
	struct nodes *all = nodes_new(&(struct nodes_opts){.n = 1});
	struct machine *a = nodes_at(all, 0);
	struct keepers *listed;

	user_fill(a, "other", 2, 0, MIDDLE);
	settle(all, "two files");
	is_int(restore_remove(machine_node(a), "none", 4), -EAGAIN, "nothing is there");
	user_fill(a, "other", 2, 1, MIDDLE + 1); /* not logged */
	is_int(restore_remove(machine_node(a), "other", 5), 0, "what nobody has logged is removed");
	settle(all, "removed");
	listed = keepers_of(all, 0, KEEPERS_CONFLICTS, "");
	is_int(count(listed), 1, "and rescued");
	keepers_free(listed);
	for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
		struct keepers *k = keepers_of(all, 0, KEEPERS_CONFLICTS, "");
		struct restore *r = NULL;
		int e;

		/* What it does is done at once. */
		machine_fault(a, &faults[i]);
		machine_meets(a, true);
		e = restore_start(machine_node(a), k, keepers_at(k, 0), "back", 4, &r);
		machine_meets(a, false);
		machine_fault(a, NULL);
		ok(e < 0 || restore_state(r) < 0, "%s %u fails: %s", fault_name(faults[i].class),
		   faults[i].at, strerror(faults[i].error));
		restore_free(r);
		keepers_free(k);
		ok(user_sees(a, "back", NULL, 0), "nothing is there");
		ok(nodes_have_fill(all, 2, 1, MIDDLE + 1), "it is still kept");
	}
	is_int(restore(all, 0, KEEPERS_CONFLICTS, "", "back"), 0, "without a fault it comes back");
	nodes_free(all);
}

static void
test_purge_fails(void)
{
	struct nodes *all = nodes_new(&(struct nodes_opts){.n = 2});
	struct machine *a = nodes_at(all, 0), *b = nodes_at(all, 1);

	user_fill(a, "file", 1, 0, MIDDLE);
	settle(all, "a file");
	user_remove(a, "file");
	settle(all, "deleted");
	nodes_jump(all, 31 * DAY_MS);
	machine_fault(b,
		      &(struct fault){.class = FAULT_UNLINK, .at = 1, .last = 1, .error = EACCES});
	nodes_run(all, 1000);
	machine_fault(b, NULL);
	ok(strstr(machine_said(b), "trash.purge") != NULL, "it cannot be removed: said");
	ok(strstr(machine_said(b), "EACCES") != NULL, "with the error");
	is_int(machine_node(b)->index->kept_bytes, MIDDLE, "and it still counts");
	nodes_run(all, 2 * STORE_LOOK_MS);
	is_int(machine_node(b)->index->kept_bytes, 0, "a minute later it goes");
	nodes_free(all);
}

static void
put_stage(struct machine *m, const char *name)
{
	char path[2 * NODES_PATH_BYTES];
	int fd;

	snprintf(path, sizeof(path), "%s/stage/%s", machine_work(m), name);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, "left", 4) != 4 || close(fd) < 0)
		abort();
}

static bool
in_stage(const struct machine *m, const char *name)
{
	char path[2 * NODES_PATH_BYTES];
	struct stat st;

	snprintf(path, sizeof(path), "%s/stage/%s", machine_work(m), name);
	return lstat(path, &st) == 0;
}

static void
test_leftovers(void)
{
	struct nodes *all = nodes_new(&(struct nodes_opts){.n = 1});
	struct machine *a = nodes_at(all, 0);

	user_fill(a, "file", 1, 0, MIDDLE);
	settle(all, "a file");
	machine_stop(a);
	put_stage(a, "half-done");
	put_stage(a, "00000000000000aa-0000000000000001");
	put_stage(a, "out-something");
	machine_fault(a, &(struct fault){.class = FAULT_LIST, .at = 1, .last = 1, .error = EIO});
	machine_start(a);
	settle(all, "started again");
	machine_fault(a, NULL);
	machine_stop(a);
	machine_start(a);
	settle(all, "and again");
	ok(!in_stage(a, "half-done"), "what an earlier run left is removed");
	ok(in_stage(a, "out-something"), "but never what was displaced");
	nodes_free(all);
}

/* ---- whole trees go back ---- */

struct turns {
	struct rewind *r;
	int e;
};

static bool
rewound(void *arg)
{
	struct turns *t = arg;

	do
		t->e = rewind_turn(t->r);
	while (t->e == 1);
	return t->e <= 0;
}

static struct rewind *
go_back(struct nodes *all, unsigned i, const struct rewind_want *w)
{
	struct turns t = {0};

	machine_save_wal(nodes_at(all, i));
	is_int(rewind_new(machine_node(nodes_at(all, i)), w, &t.r), 0, "begun");
	if (!nodes_until(all, rewound, &t, SETTLE_MS))
		t.e = -ETIME;
	is_int(t.e, 0, "done");
	return t.r;
}

static unsigned
in_state(const struct rewind *r, enum rewind_state s)
{
	const struct rewind_item *it;
	unsigned n = 0;

	for (size_t i = 0; (it = rewind_at(r, i)) != NULL; i++)
		n += it->state == s;
	return n;
}

static void
build(struct machine *m)
{
	user_fill(m, "edited", 1, 0, MIDDLE);
	user_fill(m, "deleted", 2, 0, MIDDLE);
	user_fill(m, "dressed", 3, 0, MIDDLE);
	user_link(m, "edited", "link");
	user_mkdir(m, "dir");
	user_fill(m, "dir/file", 4, 0, MIDDLE);
	user_mkdir(m, "dir/deep");
	user_fill(m, "dir/deep/file", 5, 0, SMALL);
	user_fill(m, "becomes-dir", 6, 0, SMALL);
	user_mkdir(m, "becomes-file");
	user_fill(m, "becomes-file/x", 7, 0, SMALL);
	user_mkdir(m, "open");
}

static void
wreck(struct machine *m)
{
	user_fill(m, "edited", 1, 1, MIDDLE);
	user_remove(m, "deleted");
	user_chmod(m, "dressed", 0600);
	user_remove(m, "link");
	user_link(m, "dressed", "link");
	user_remove(m, "dir/deep/file");
	user_remove(m, "dir/deep");
	user_remove(m, "dir/file");
	user_remove(m, "dir");
	user_remove(m, "becomes-dir");
	user_mkdir(m, "becomes-dir");
	user_fill(m, "becomes-dir/y", 8, 0, SMALL);
	user_remove(m, "becomes-file/x");
	user_remove(m, "becomes-file");
	user_fill(m, "becomes-file", 9, 0, SMALL);
	user_mkdir(m, "new");
	user_fill(m, "new/file", 10, 0, SMALL);
	user_chmod(m, "open", 0700);
}

static void
test_rewind(unsigned by)
{
	struct nodes *all = nodes_new(&(struct nodes_opts){.n = 2});
	struct machine *a = nodes_at(all, 0), *b = nodes_at(all, 1);
	struct rewind_want w = {.dry = true};
	struct rewind *r;
	uint64_t done, total;
	char *then, *now;

	build(a);
	settle(all, "a tree");
	then = nodes_listing(b);
	nodes_run(all, 2000);
	w.past.time_ms = nodes_wall(all);
	nodes_run(all, 2000);
	wreck(a);
	settle(all, "wrecked");
	r = go_back(all, by, &w);
	ok(in_state(r, REWIND_PLANNED) >= 14, "planned");
	rewind_free(r);
	w.dry = false;
	r = go_back(all, by, &w);
	is_int(in_state(r, REWIND_UNKNOWN) + in_state(r, REWIND_FAILED) + in_state(r, REWIND_LEFT),
	       0, "all of it is done");
	ok(rewind_progress(r, &done, &total) && done == total && total >= 14, "so it says");
	ok(!rewind_cut(r) && rewind_begins(r) <= w.past.time_ms, "nothing was cut");
	rewind_free(r);
	settle(all, "back");
	now = nodes_listing(a);
	ok(strcmp(then, now) == 0, "it is what it was");
	if (strcmp(then, now) != 0)
		diag("it was:\n%s\nit is:\n%s", then, now);
	ok(nodes_same(all), "on both");
	ok(nodes_have_fill(all, 10, 0, SMALL) && nodes_have_fill(all, 1, 1, MIDDLE),
	   "what was taken away is kept");
	free(then);
	free(now);
	nodes_free(all);
}

static const struct rewind_item *
item(const struct rewind *r, const char *path)
{
	const struct rewind_item *it;

	for (size_t i = 0; (it = rewind_at(r, i)) != NULL; i++)
		if (it->len == strlen(path) && memcmp(it->path, path, it->len) == 0)
			return it;
	return NULL;
}

static void
state_is(const struct rewind *r, const char *path, enum rewind_state s)
{
	const struct rewind_item *it = item(r, path);

	is_int(it != NULL ? (int)it->state : -1, (int)s, "%s: state %d%s%s", path, (int)s,
	       it != NULL && it->reason != NULL ? ", as " : "",
	       it != NULL && it->reason != NULL ? it->reason : "");
}

/* What one node wrote is taken back, what others wrote stays. */
static void
test_undo(void)
{
	struct nodes *all = nodes_new(&(struct nodes_opts){.n = 2, .more = "[trash]\nkeep = 1h\n"});
	struct machine *a = nodes_at(all, 0), *b = nodes_at(all, 1);
	const char *paths[] = {"theirs", "overtaken", "new", "ignored", "dir"};
	struct rewind_want w = {.past = {.node = "n2", .paths = paths, .npaths = 5}};
	struct rewind *r;

	user_fill(a, "theirs", 1, 0, MIDDLE);
	user_fill(a, "overtaken", 2, 0, MIDDLE);
	user_fill(a, "ours", 3, 0, MIDDLE);
	settle(all, "three files");
	nodes_run(all, 2000);
	w.past.time_ms = nodes_wall(all);
	nodes_run(all, 2000);
	user_fill(b, "theirs", 1, 1, MIDDLE);
	user_fill(b, "overtaken", 2, 1, MIDDLE);
	user_fill(b, "new", 4, 0, MIDDLE);
	user_mkdir(b, "dir");
	user_fill(b, "dir/file", 5, 0, MIDDLE);
	settle(all, "b has written");
	user_fill(a, "overtaken", 2, 2, MIDDLE);
	user_fill(a, "ours", 3, 1, MIDDLE);
	user_fill(a, "dir/mine", 6, 0, MIDDLE);
	settle(all, "and a");
	r = go_back(all, 0, &w);
	state_is(r, "theirs", REWIND_DONE);
	state_is(r, "overtaken", REWIND_LEFT);
	state_is(r, "new", REWIND_DONE);
	state_is(r, "dir/file", REWIND_DONE);
	state_is(r, "dir", REWIND_LEFT);
	ok(item(r, "ours") == NULL && item(r, "dir/mine") == NULL, "what a wrote is not looked at");
	rewind_free(r);
	settle(all, "undone");
	ok(user_sees_fill(b, "theirs", 1, 0, MIDDLE) && user_sees(b, "new", NULL, 0) &&
		   user_sees_fill(b, "overtaken", 2, 2, MIDDLE) &&
		   user_sees_fill(b, "dir/mine", 6, 0, MIDDLE),
	   "on both");
	ok(nodes_same(all), "both show the same");
	paths[0] = "../x";
	is_int(rewind_new(machine_node(a), &w, &r), -EINVAL, "not a path");
	nodes_free(all);
}

/* What nobody keeps any more, what is changed meanwhile, what is in the way, who does not answer.
 */
static void
test_rewind_hindered(void)
{
	struct nodes *all = nodes_new(&(struct nodes_opts){
		.n = 3, .more = "[trash]\nkeep = 1h\n[watch]\nignore = *.tmp\n"});
	struct machine *a = nodes_at(all, 0), *c = nodes_at(all, 2);
	struct rewind_want w = {0};
	struct turns t = {0};
	size_t k = 0, i = 0;

	user_fill(a, "purged", 1, 0, MIDDLE);
	user_fill(a, "touched", 2, 0, MIDDLE);
	user_fill(a, "easy", 3, 0, MIDDLE);
	user_mkdir(a, "filled");
	user_fill(a, "filled-later", 6, 0, SMALL);
	settle(all, "four names");
	nodes_run(all, 2000);
	w.past.time_ms = nodes_wall(all);
	nodes_run(all, 2000);
	user_remove(a, "purged");
	settle(all, "one is deleted");
	nodes_jump(all, 2 * DAY_MS);
	nodes_run(all, 2 * STORE_LOOK_MS);
	ok(!nodes_have_fill(all, 1, 0, MIDDLE), "and purged");
	user_fill(a, "touched", 2, 1, MIDDLE);
	user_fill(a, "easy", 3, 1, MIDDLE);
	user_mkdir(a, "made");
	user_remove(a, "filled-later");
	settle(all, "and more");
	machine_stop(c);
	nodes_run(all, 1000);

	machine_save_wal(a);
	is_int(rewind_new(machine_node(a), &w, &t.r), 0, "begun");
	while (rewind_at(t.r, 0) == NULL) { /* until it is planned */
		t.e = rewind_turn(t.r);
		if (t.e < 0)
			break;
		nodes_run(all, 10);
	}
	user_fill(a, "touched", 2, 2, MIDDLE + 5);
	user_fill(a, "made/file.tmp", 4, 0, SMALL);
	ok(nodes_until(all, rewound, &t, SETTLE_MS), "ended");
	is_int(t.e, 0, "well");
	state_is(t.r, "purged", REWIND_UNKNOWN);
	state_is(t.r, "touched", REWIND_FAILED);
	state_is(t.r, "easy", REWIND_DONE);
	state_is(t.r, "made", REWIND_LEFT);
	is_str(rewind_silent(t.r, &k, &i), "n3", "n3 did not answer");
	rewind_free(t.r);
	machine_start(c);
	settle(all, "three again");
	ok(user_sees_fill(a, "touched", 2, 2, MIDDLE + 5), "what a user wrote meanwhile stays");
	nodes_free(all);
}

/* Memory runs out at each of its allocations: an error, nothing else. */
static void
test_rewind_memory(void)
{
	struct nodes *all = nodes_new(&(struct nodes_opts){.n = 1});
	struct machine *a = nodes_at(all, 0);
	struct rewind_want w = {.dry = true};
	unsigned failed = 0, other = 0;
	bool met = true;

	build(a);
	settle(all, "a tree");
	nodes_run(all, 2000);
	w.past.time_ms = nodes_wall(all);
	nodes_run(all, 2000);
	wreck(a);
	settle(all, "wrecked");
	machine_save_wal(a);
	for (unsigned k = 1; met; k++) {
		struct rewind *r = NULL;
		int e;

		machine_fault(a,
			      &(struct fault){
				      .class = FAULT_MEMORY, .at = k, .last = k, .error = ENOMEM});
		machine_meets(a, true);
		e = rewind_new(machine_node(a), &w, &r);
		for (int turn = 1; e == 0 && turn == 1;) {
			turn = rewind_turn(r);
			e = turn < 0 ? turn : 0;
		}
		machine_meets(a, false);
		met = machine_faulted(a);
		machine_fault(a, NULL);
		failed += met && e == -ENOMEM;
		other += (met && e != -ENOMEM && e != 0) || (!met && e != 0);
		rewind_free(r);
	}
	ok(failed > 20, "-ENOMEM, %u times", failed);
	is_int(other, 0, "and nothing else");
	nodes_free(all);
}

/* A directory is deleted, and something that is ignored lies in it. */
static void
test_left(void)
{
	struct nodes *all =
		nodes_new(&(struct nodes_opts){.n = 2, .more = "[watch]\nignore = *.tmp\n"});
	struct machine *a = nodes_at(all, 0), *b = nodes_at(all, 1);

	user_mkdir(a, "dir");
	user_fill(a, "dir/file", 1, 0, SMALL);
	user_mkdir(a, "two");
	settle(all, "two directories");
	user_fill(b, "dir/x.tmp", 2, 0, SMALL);
	user_fill(b, "two/x.tmp", 3, 0, SMALL);
	user_remove(a, "dir/file");
	user_remove(a, "dir");
	user_remove(a, "two");
	settle(all, "deleted");
	ok(user_sees(a, "dir", NULL, 0) && user_sees_fill(b, "dir/x.tmp", 2, 0, SMALL),
	   "it stays where something else is in it");
	user_remove(b, "two/x.tmp");
	nodes_run(all, 300000);
	ok(user_sees(b, "two", NULL, 0), "when that is gone it goes");
	machine_stop(b);
	machine_start(b);
	settle(all, "started again");
	user_remove(b, "dir/x.tmp");
	nodes_run(all, 300000);
	ok(user_sees(b, "dir", NULL, 0), "also after a start");
	ok(nodes_same(all), "both show the same");
	nodes_free(all);
}

/* ---- the name of what is displaced is taken ---- */

static void
kept_path(struct machine *m, const char *path, char *out, size_t size)
{
	struct pathent *e = index_find(machine_node(m)->index, path, strlen(path));
	char name[48] = "unknown";

	if (e != NULL && e->shown != NULL)
		store_name(&(struct kept){.dot = e->shown->r->dot}, name);
	snprintf(out, size, "%s/kept/%s", machine_work(m), name);
}

/* How many files of the store hold that text and nothing else? */
static unsigned
kept_with(struct machine *m, const char *text)
{
	char command[NODES_PATH_BYTES + 200], line[32] = "0";
	FILE *f;

	snprintf(command, sizeof(command), "grep -rlxF -e '%s' '%s/kept' | wc -l", text,
		 machine_work(m));
	f = popen(command, "re");
	if (f == NULL || fgets(line, sizeof(line), f) == NULL)
		abort();
	pclose(f);
	return (unsigned)strtoul(line, NULL, 10);
}

static void
test_name_taken(const char *other, unsigned rescued)
{
	struct nodes *all = nodes_new(&(struct nodes_opts){.n = 2});
	struct machine *a = nodes_at(all, 0), *b = nodes_at(all, 1);
	char path[NODES_PATH_BYTES + 64], root[NODES_PATH_BYTES + 64];
	struct stat st = {0};
	int fd;

	user_write(a, "file", "the first\n", 10);
	settle(all, "one file");
	kept_path(b, "file", path, sizeof(path));
	snprintf(root, sizeof(root), "%s/file", machine_root(b));
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	ok(fd >= 0 && write(fd, other, strlen(other)) == (ssize_t)strlen(other) &&
		   stat(root, &st) == 0,
	   "its name in the store is taken");
	if (rescued == 0) /* by the same, as far as size and time tell: left over from a kill */
		futimens(fd, (struct timespec[2]){st.st_atim, st.st_mtim});
	close(fd);
	user_write(a, "file", "the second\n", 11);
	settle(all, "another version");
	ok(user_sees(b, "file", "the second\n", 11), "it is shown");
	is_int(kept_with(b, "the first"), 1, "the first is kept, once");
	ok(rescued == 0 || kept_with(b, "of somebody else") == 1, "what had its name, too");
	ok((strstr(machine_said(b), "store.rescued") != NULL) == (rescued != 0), "and said");
	nodes_free(all);
}

int
main(void)
{
	test_name_taken("of somebody else\n", 1);
	test_name_taken("the first\n", 0);
	test_restore();
	test_restore_faults();
	test_conflict();
	test_import_moved();
	test_rescue();
	test_rescued_faults();
	test_purge_fails();
	test_leftovers();
	test_rewind(0);
	test_rewind(1);
	test_undo();
	test_rewind_hindered();
	test_rewind_memory();
	test_left();
	return tap_done();
}
