/* SPDX-License-Identifier: BSD-2-Clause */
/* What becomes of a change that was cut short, and of what comes out of the tree: nobody knows what
 * it is, or the log is an old copy. Whole nodes in one process. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/apply.h"
#include "agent/commit.h"
#include "agent/store.h"
#include "conf/hash.h"
#include "tests/unit/settle.h"

#define SMALL 100
#define MIDDLE 5000

/* ---- the look at what came out fails ---- */

static bool
listed_rescued(struct machine *m)
{
	for (const struct kept *k = machine_node(m)->index->kept_first; k != NULL; k = k->next)
		if ((k->flags & KEPT_RESCUED) != 0)
			return true;
	return false;
}

/*
 * Every look of n2's agent from the k-th on fails, four of them. What was displaced is known
 * content in the store, or listed as rescued; never something unknown under the name of a version.
 */
static void
look_fails(bool take)
{
	unsigned happened = 0, rescued = 0, lost = 0;
	bool met = true;

	for (unsigned k = 1; met; k++) {
		struct nodes *all = nodes_new(&(struct nodes_opts){.n = 2});
		struct machine *a = nodes_at(all, 0), *b = nodes_at(all, 1);

		user_fill(a, "file", 1, 0, SMALL);
		if (!nodes_settle(all, SETTLE_MS))
			abort();
		machine_fault(
			b,
			&(struct fault){.class = FAULT_STAT, .at = k, .last = k + 3, .error = EIO});
		if (take)
			user_remove(a, "file");
		else
			user_fill(a, "file", 1, 1, SMALL + 1);
		(void)nodes_settle(all, SETTLE_MS);
		met = machine_faulted(b);
		happened += met;
		machine_fault(b, NULL);
		if (!nodes_settle(all, SETTLE_MS) || !nodes_same(all) ||
		    !nodes_have_fill(all, 1, 0, SMALL)) {
			diag("after look %u", k);
			lost++;
		}
		rescued += listed_rescued(b);
		nodes_free(all);
	}
	ok(happened > 4, "%s: looks failed (%u)", take ? "take" : "exchange", happened);
	is_int(lost, 0, "nothing is lost, and both show the same");
	ok(rescued > 0, "what could not be looked at is kept as something that nobody logged");
}

/* ---- an open intent in a log that is older than the tree ---- */

/* Lets n2's agent be killed at its next rename. The log of that moment, with the intent open. */
static struct buf
killed_at_rename(struct nodes *all, struct machine *b)
{
	struct buf wal = {0};

	machine_fault(
		b, &(struct fault){
			   .class = FAULT_RENAME, .at = 1, .last = 1, .error = EIO, .kill = true});
	for (unsigned i = 0; i < 10000 && machine_deaths(b) == 0; i++)
		nodes_run(all, 1);
	machine_fault(b, NULL);
	machine_stop(b);
	buf_put(&wal, machine_wal_bytes(b)->data, machine_wal_bytes(b)->len);
	machine_start(b);
	return wal;
}

/*
 * n2 is about to place n1's file. That comes to nothing: somebody puts another one there. Then n2's
 * log becomes the copy of that moment, in which the intent is open and its stage file is gone by
 * now: what lies at the path is not n1's version, and must not be taken for one that replaces it.
 */
static void
test_old_place(void)
{
	struct nodes *all = nodes_new(&(struct nodes_opts){.n = 2});
	struct machine *a = nodes_at(all, 0), *b = nodes_at(all, 1);
	struct buf wal;
	const struct pathent *e;

	user_fill(a, "other", 9, 0, SMALL);
	settle(all, "a file");
	user_fill(a, "file", 1, 0, MIDDLE);
	wal = killed_at_rename(all, b);
	ok(wal.len > 0, "the log of the moment was saved");
	nodes_part(all, true);
	user_fill(b, "file", 2, 0, MIDDLE + 1);
	nodes_run(all, 20000);
	nodes_part(all, false);
	settle(all, "two versions of one name");
	ok(nodes_same(all), "both show one of them");
	ok(nodes_have_fill(all, 1, 0, MIDDLE) && nodes_have_fill(all, 2, 0, MIDDLE + 1),
	   "both are there");

	/* The tree is as it is, the log is the copy; alone, so that nobody tells it. */
	nodes_part(all, true);
	machine_stop(b);
	machine_old_wal(b, &wal);
	machine_forget(b);
	user_fill(b, "file", 2, 0, MIDDLE + 1);
	machine_start(b);
	(void)nodes_settle(all, SETTLE_MS);
	ok(machine_node(b) != NULL && machine_node(b)->old_log, "the log is seen to be old");
	e = index_find(machine_node(b)->index, "file", 4);
	ok(e != NULL && strstr(machine_said(b), "recover.intent") != NULL, "an intent was open");
	for (const struct irec *i = e != NULL ? e->recs : NULL; i != NULL; i = i->next)
		if (index_own(machine_node(b)->index, i->r->dot.origin))
			ok(i->r->ctx.n == 0, "its own version does not claim to replace n1's");
	nodes_part(all, false);
	settle(all, "together again");
	ok(nodes_same(all), "both show the same");
	ok(nodes_have_fill(all, 1, 0, MIDDLE) && nodes_have_fill(all, 2, 0, MIDDLE + 1),
	   "both versions are there still");
	buf_free(&wal);
	nodes_free(all);
}

/* ---- recovery itself meets an error ---- */

/* Killed at the k-th rename; then, while it looks what became of it, the j-th look fails. */
static void
test_recovery_fails(void)
{
	unsigned bad = 0, happened = 0, fatals = 0;

	for (unsigned k = 1; k < 9; k++)
		for (unsigned j = 1 + k % 3; j < 12; j += 3) {
			struct nodes *all = nodes_new(&(struct nodes_opts){.n = 2});
			struct machine *a = nodes_at(all, 0), *b = nodes_at(all, 1);

			user_fill(a, "file", 1, 0, SMALL);
			user_fill(a, "gone", 2, 0, SMALL);
			user_fill(a, "moved", 3, 0, SMALL);
			user_mkdir(a, "dir");
			if (!nodes_settle(all, SETTLE_MS))
				abort();
			machine_fault(b, &(struct fault){.class = FAULT_RENAME,
							 .at = k,
							 .last = k,
							 .error = EIO,
							 .kill = true});
			user_fill(a, "file", 1, 1, SMALL + 1);
			user_remove(a, "gone");
			user_move(a, "moved", "dir/moved");
			nodes_run(all, 400);
			machine_fault(
				b, &(struct fault){
					   .class = FAULT_STAT, .at = j, .last = j, .error = EIO});
			(void)nodes_settle(all, SETTLE_MS);
			happened += machine_faulted(b);
			machine_fault(b, NULL);
			fatals += machine_fatal(b, NULL) == -EIO;
			if (!nodes_settle(all, SETTLE_MS) || !nodes_same(all) ||
			    !nodes_have_fill(all, 1, 0, SMALL) ||
			    !nodes_have_fill(all, 2, 0, SMALL) ||
			    !nodes_have_fill(all, 3, 0, SMALL)) {
				diag("killed at rename %u, then look %u failed", k, j);
				bad++;
			}
			nodes_free(all);
		}
	ok(happened > 10, "looks failed after a start (%u)", happened);
	ok(fatals > 0, "some of them end the agent, as nobody can say what the crash left (%u)",
	   fatals);
	is_int(bad, 0, "nothing is lost, and both show the same");
}

/* ---- a user is faster ---- */

/* He writes the file anew, as programs do: another one is put in its place. */
static void
user_saves(struct machine *m)
{
	if (!user_sees_fill(m, "file", 5, 0, MIDDLE)) {
		user_fill(m, ".saved", 5, 0, MIDDLE);
		user_move(m, ".saved", "file");
	}
}

/* And once more, when the program is about to put things right. */
static void
user_saves_twice(struct machine *m)
{
	if (user_sees_fill(m, "file", 1, 0, SMALL) || user_sees(m, "file", NULL, 0)) {
		user_saves(m);
	} else if (!user_sees_fill(m, "file", 5, 0, MIDDLE)) {
		user_fill(m, ".saved", 6, 0, MIDDLE + 1);
		user_move(m, ".saved", "file");
	}
}

#define RENAME(k) .class = FAULT_RENAME, .at = (k), .last = (k)
#define KILLED_BEHIND_IT .kill = true, .after = true

static const struct race {
	const char *what;
	struct fault fault;
	bool take;      /* the other node deletes the file, else writes it */
	bool again;     /* between the kill and the next start the user saves once more */
	bool kept;      /* what he saved first is listed as rescued */
	bool two_saved; /* both of what he saved is there */
} races[] = {
	{.what = "exchange: it is put back", .fault = {RENAME(1), .before = user_saves}},
	{.what = "take: it is put back", .fault = {RENAME(1), .before = user_saves}, .take = true},
	{.what = "exchange, and he is faster again: it is rescued",
	 .fault = {.class = FAULT_RENAME, .at = 1, .last = 2, .before = user_saves_twice},
	 .kept = true,
	 .two_saved = true},
	{.what = "take, and he is faster again: it is rescued",
	 .fault = {.class = FAULT_RENAME, .at = 1, .last = 2, .before = user_saves_twice},
	 .take = true,
	 .kept = true},
	{.what = "exchange, killed: it is put back after the start",
	 .fault = {RENAME(1), KILLED_BEHIND_IT, .before = user_saves}},
	{.what = "take, killed: it is put back after the start",
	 .fault = {RENAME(1), KILLED_BEHIND_IT, .before = user_saves},
	 .take = true},
	{.what = "exchange, killed, saved again: it is rescued",
	 .fault = {RENAME(1), KILLED_BEHIND_IT, .before = user_saves},
	 .again = true,
	 .kept = true,
	 .two_saved = true},
	{.what = "take, killed, saved again: it is rescued",
	 .fault = {RENAME(1), KILLED_BEHIND_IT, .before = user_saves},
	 .take = true,
	 .again = true,
	 .kept = true,
	 .two_saved = true},
	{.what = "exchange, killed behind it", .fault = {RENAME(1), KILLED_BEHIND_IT}},
	{.what = "take, killed behind it", .fault = {RENAME(1), KILLED_BEHIND_IT}, .take = true},
	{.what = "exchange, killed behind the rename to the store",
	 .fault = {RENAME(2), KILLED_BEHIND_IT}},
	{.what = "take, killed behind the rename to the store",
	 .fault = {RENAME(2), KILLED_BEHIND_IT},
	 .take = true},
};

static void
test_race(const struct race *r)
{
	struct nodes *all = nodes_new(&(struct nodes_opts){.n = 2});
	struct machine *a = nodes_at(all, 0), *b = nodes_at(all, 1);

	user_fill(a, "file", 1, 0, SMALL);
	settle(all, r->what);
	machine_fault(b, &r->fault);
	if (r->take)
		user_remove(a, "file");
	else
		user_fill(a, "file", 1, 1, SMALL + 1);
	for (unsigned i = 0; i < 5000 && !machine_faulted(b); i++)
		nodes_run(all, 1);
	ok(machine_faulted(b), "it met him");
	if (r->again) {
		user_fill(b, ".saved", 6, 0, MIDDLE + 1);
		user_move(b, ".saved", "file");
	}
	settle(all, "all done");
	machine_fault(b, NULL);
	ok(nodes_same(all), "both show the same");
	ok(nodes_have_fill(all, 1, 0, SMALL) || r->fault.before != NULL, "the old one is kept");
	ok(r->take || nodes_have_fill(all, 1, 1, SMALL + 1), "what the other node wrote is there");
	ok(r->fault.before == NULL || nodes_have_fill(all, 5, 0, MIDDLE), "what he saved is there");
	ok(!r->two_saved || nodes_have_fill(all, 6, 0, MIDDLE + 1), "and what he saved then");
	is_int(listed_rescued(b), r->kept, "%s", r->kept ? "listed as rescued" : "nothing rescued");
	nodes_free(all);
}

/* He changes its first byte, and nobody is to notice: neither by its size nor by its mtime. */
static void
user_meddles(struct machine *m)
{
	char path[2 * NODES_PATH_BYTES], byte;
	struct timespec ts[2];
	struct stat st;
	int fd;

	snprintf(path, sizeof(path), "%s/file", machine_root(m));
	fd = open(path,
		  O_RDWR | O_NONBLOCK | O_CLOEXEC); /* else it would wait for this very agent */
	if (fd < 0)
		return;
	if (fstat(fd, &st) < 0 || pread(fd, &byte, 1, 0) != 1)
		abort();
	byte = (char)~byte;
	ts[0] = st.st_atim;
	ts[1] = st.st_mtim;
	if (pwrite(fd, &byte, 1, 0) != 1 || futimens(fd, ts) < 0)
		abort();
	close(fd);
}

/* How many files in the store have other bytes than the version that they are kept as? */
static unsigned
kept_wrong(struct machine *m)
{
	const struct index *x = machine_node(m)->index;
	unsigned wrong = 0;

	for (const struct kept *k = x->kept_first; k != NULL; k = k->next) {
		char path[2 * NODES_PATH_BYTES], name[48];
		uint8_t bytes[SMALL + 1], hash[RECORD_HASH_BYTES];
		ssize_t n;
		int fd;

		store_name(k, name);
		snprintf(path, sizeof(path), "%s/kept/%s", machine_work(m), name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		n = read(fd, bytes, sizeof(bytes));
		if (n < 0 || hash_of(bytes, (size_t)n, hash) < 0 || close(fd) < 0)
			abort();
		wrong += (k->flags & KEPT_RESCUED) == 0 &&
			 memcmp(hash, k->r->hash, sizeof(hash)) != 0;
	}
	return wrong;
}

/* Between the last look and the rename: what goes to the store is what it is called. */
static void
test_held(bool take)
{
	struct nodes *all = nodes_new(&(struct nodes_opts){.n = 2});
	struct machine *a = nodes_at(all, 0), *b = nodes_at(all, 1);

	user_fill(a, "file", 1, 0, SMALL);
	settle(all, "a file");
	machine_fault(b, &(struct fault){RENAME(1), .before = user_meddles});
	if (take)
		user_remove(a, "file");
	else
		user_fill(a, "file", 1, 1, SMALL + 1);
	for (unsigned i = 0; i < 5000 && !machine_faulted(b); i++)
		nodes_run(all, 1);
	ok(machine_faulted(b), "it met him");
	settle(all, "all done");
	machine_fault(b, NULL);
	ok(nodes_same(all), "both show the same");
	is_int(kept_wrong(b), 0, "what is kept has the bytes of its version");
	nodes_free(all);
}

/* He replaces a file at the name to which it was moved a moment ago. */
static void
user_replaces(struct machine *m)
{
	if (user_sees_fill(m, "new", 1, 0, MIDDLE)) {
		user_fill(m, ".saved", 5, 0, MIDDLE);
		user_move(m, ".saved", "new");
	}
}

/* That is his file, and stays where he put it. */
static void
test_replaced_behind_move(void)
{
	struct nodes *all = nodes_new(&(struct nodes_opts){.n = 2});
	struct machine *a = nodes_at(all, 0), *b = nodes_at(all, 1);

	user_fill(a, "old", 1, 0, MIDDLE);
	settle(all, "a file");
	nodes_run(all, 2000); /* then the rename is logged as one */
	machine_fault(
		b, &(struct fault){
			   .class = FAULT_STAT, .at = 1, .last = 10000, .before = user_replaces});
	user_move(a, "old", "new");
	for (unsigned i = 0; i < 5000 && !user_sees_fill(b, "new", 5, 0, MIDDLE); i++)
		nodes_run(all, 1);
	machine_fault(b, NULL);
	settle(all, "renamed, and replaced");
	ok(nodes_same(all), "both show the same");
	ok(user_sees_fill(a, "new", 5, 0, MIDDLE), "what he put to the new name");
	ok(user_sees(b, "old", NULL, 0), "and nothing at the old one");
	nodes_free(all);
}

/* ---- in the same tick of the clock ---- */

static bool
waits_for_tick(void *arg)
{
	const struct node *n = machine_node(arg);
	const struct pathent *e = index_find(n->index, "file", 4);

	return e != NULL && e->todo &&
	       strstr(apply_explain(n->apply, e).reason, "a moment ago") != NULL;
}

/* n2's user has just written the file, and may have written again under the same times: what nobody
 * has looked at for a second time is not displaced, neither by a newer version nor by a delete. */
static void
test_fresh(bool take)
{
	struct nodes *all = nodes_new(&(struct nodes_opts){.n = 2});
	struct machine *a = nodes_at(all, 0), *b = nodes_at(all, 1);

	user_fill(a, "file", 1, 0, SMALL);
	settle(all, "a file");
	nodes_run(all, 2000); /* what changes now is logged at once */
	nodes_set_wall(all);
	user_fill(b, "file", 2, 0, MIDDLE);
	for (unsigned i = 0; take && i < 1000 && !user_sees_fill(a, "file", 2, 0, MIDDLE); i++)
		nodes_run(all, 1);
	nodes_run(all, 3);
	if (take)
		user_remove(a, "file");
	else
		user_fill(a, "file", 3, 0, MIDDLE);
	ok(nodes_until(all, waits_for_tick, b, 1000), "%s waits", take ? "a delete" : "an edit");
	ok(user_sees_fill(b, "file", 2, 0, MIDDLE), "and what he wrote is there meanwhile");
	settle(all, "the tick is over");
	ok(nodes_same(all), "both show the same");
	ok(nodes_have_fill(all, 2, 0, MIDDLE), "what he wrote is kept");
	nodes_free(all);
}

int
main(void)
{
	test_fresh(false);
	test_fresh(true);
	look_fails(false);
	look_fails(true);
	test_old_place();
	test_recovery_fails();
	for (size_t i = 0; i < ARRAY_LEN(races); i++)
		test_race(&races[i]);
	test_held(false);
	test_held(true);
	test_replaced_behind_move();
	return tap_done();
}
