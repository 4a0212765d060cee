/* SPDX-License-Identifier: BSD-2-Clause */
/* Do nodes show the same, and what if they do not: comparison, digests, floors of deletes, and
 * disks that give other bytes. Whole nodes in one process. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "agent/apply.h"
#include "agent/collect.h"
#include "agent/commit.h"
#include "agent/compare.h"
#include "agent/exchange.h"
#include "agent/merge.h"
#include "agent/scrub.h"
#include "tests/unit/settle.h"

#define HOUR_MS 3600000u
#define MIDDLE 5000

/* ---- compare ---- */

static bool
compared(void *arg)
{
	return compare_done(arg);
}

static struct compare *
compare(struct nodes *all, unsigned i, bool rehash)
{
	struct compare *c = compare_new(machine_node(nodes_at(all, i)), rehash);

	if (c == NULL)
		abort();
	ok(nodes_until(all, compared, c, SETTLE_MS), "the comparison ends");
	return c;
}

static const struct compare_row *
row_at(const struct compare *c, const char *path)
{
	const struct compare_row *r;

	for (size_t i = 0; (r = compare_at(c, i)) != NULL; i++)
		if (r->len == strlen(path) && memcmp(r->path, path, r->len) == 0)
			return r;
	return NULL;
}

static void
row_is(const struct compare *c, const char *path, const char *what)
{
	const struct compare_row *r = row_at(c, path);

	is_str(r != NULL ? r->what : "the same", what, "%s: %s", path, what);
}

static void
pause_it(struct nodes *all, struct machine *m, bool on)
{
	struct node *n = machine_node(m);

	commit_put(n->commit, &(struct entry){.type = ENTRY_PAUSE, .num = on});
	nodes_run(all, 1000);
	is_int(n->index->paused, on, "%s", on ? "paused" : "not paused any more");
	if (!on)
		apply_kick(n->apply);
}

static void
test_compare(void)
{
	struct nodes *all = nodes_new(&(struct nodes_opts){.n = 3});
	struct machine *a = nodes_at(all, 0), *b = nodes_at(all, 1);
	struct compare *c;
	size_t i = 0;

	user_fill(a, "edited", 1, 0, 100);
	user_fill(a, "deleted", 2, 0, 100);
	user_fill(a, "dressed", 3, 0, 100);
	user_link(a, "edited", "link");
	settle(all, "a few files");
	c = compare(all, 0, false);
	is_int(compare_members(c), 2, "both others answered");
	ok(compare_at(c, 0) == NULL && !compare_cut(c), "they show the same");
	ok(compare_silent(c, &i) == NULL, "nobody was silent");
	compare_free(c);

	pause_it(all, b, true);
	user_fill(a, "edited", 1, 1, 101);
	user_remove(a, "deleted");
	user_chmod(a, "dressed", 0600);
	user_fill(a, "new", 4, 0, 100);
	nodes_run(all, 5000);
	c = compare(all, 0, false);
	row_is(c, "edited", "other content");
	row_is(c, "deleted", "missing here");
	row_is(c, "dressed", "other metadata");
	row_is(c, "new", "missing there");
	row_is(c, "link", "the same");
	is_str(row_at(c, "new")->member, "n2", "it is n2 that differs");
	compare_free(c);
	pause_it(all, b, false);
	settle(all, "goes on after the pause");

	c = compare_new(machine_node(a), true);
	ok(!compare_done(c), "a question is open");
	nodes_part(all, true);
	ok(nodes_until(all, compared, c, SETTLE_MS), "ends though the connections do");
	is_int(compare_members(c), 0, "nobody has answered");
	i = 0;
	is_str(compare_silent(c, &i), "n2", "n2 was silent");
	is_str(compare_silent(c, &i), "n3", "and n3");
	compare_free(c);
	nodes_part(all, false);
	settle(all, "connected again");

	c = compare_new(machine_node(a), false);
	ok(!compare_done(c), "another question is open");
	compare_free(c); /* the answer comes when nobody waits for it */
	settle(all, "an answer that nobody waits for");
	nodes_free(all);
}

/* A member that is there and says nothing. */
static void
test_compare_late(void)
{
	struct nodes *all = nodes_new(&(struct nodes_opts){.n = 2});
	struct compare *c;
	size_t i = 0;

	settle(all, "empty");
	c = compare_new(machine_node(nodes_at(all, 0)), false);
	ok(!compare_done(c), "asked");
	machine_node(nodes_at(all, 0))->now_ms += COMPARE_ANSWER_MS;
	ok(compare_done(c), "the time for an answer is over");
	is_str(compare_silent(c, &i), "n2", "it was silent");
	compare_free(c);
	settle(all, "the late answer is ignored");
	nodes_free(all);
}

struct answer {
	struct ask ask;
	bool over;
	uint8_t code;
	size_t len;
};

static void
told(struct ask *ask, uint8_t code, bool last, const uint8_t *blob, size_t len)
{
	struct answer *a = (struct answer *)(void *)ask;

	(void)blob;
	a->over = a->over || last;
	a->code = code;
	a->len += len;
}

static bool
is_over(void *arg)
{
	return ((const struct answer *)arg)->over;
}

static uint8_t
question(struct nodes *all, uint8_t what, const void *blob, size_t len)
{
	struct node *n = machine_node(nodes_at(all, 0));
	struct answer a = {.ask.tell = told};

	if (exchange_ask(n->exchange, exchange_peer(n->exchange, "n2"), what, blob, len, &a.ask) <
	    0)
		abort();
	if (!nodes_until(all, is_over, &a, SETTLE_MS))
		abort();
	return a.code;
}

/* What a peer may ask, and may not. */
static void
test_questions(void)
{
	struct nodes *all = nodes_new(&(struct nodes_opts){.n = 2});
	struct node *n;
	struct answer many[MERGE_QUESTIONS_MAX + 1] = {0};
	unsigned busy = 0;

	settle(all, "empty");
	is_int(question(all, ASK_SHOWN, "\xff\xff\x00", 3), CODE_OK, "sums of what is shown");
	is_int(question(all, ASK_SHOWN, "\x05\x00\x00", 3), CODE_OK, "one bucket");
	is_int(question(all, ASK_SHOWN, "\xff\x7f\x00", 3), CODE_REFUSED, "no such bucket");
	is_int(question(all, ASK_SHOWN, "\xff\xff", 2), CODE_REFUSED, "too short");
	is_int(question(all, 239, NULL, 0), CODE_REFUSED, "a question that nobody knows");
	is_int(question(all, MERGE_DIGEST, NULL, 0), CODE_OK, "digests");
	is_int(question(all, MERGE_STATE, NULL, 0), CODE_OK, "a whole state");
	is_int(question(all, MERGE_RECORDS, "\x01", 1), CODE_ERROR, "records of no set at all");
	n = machine_node(nodes_at(all, 0));
	for (size_t i = 0; i < ARRAY_LEN(many); i++) {
		many[i].ask.tell = told;
		if (exchange_ask(n->exchange, exchange_peer(n->exchange, "n2"), MERGE_STATE, NULL,
				 0, &many[i].ask) < 0)
			abort();
	}
	/* Its log is being written all the time: no moment to answer. */
	commit_put(machine_node(nodes_at(all, 1))->commit,
		   &(struct entry){.type = ENTRY_PAUSE, .num = 0});
	nodes_run(all, 5000);
	for (size_t i = 0; i < ARRAY_LEN(many); i++) {
		ok(many[i].over, "question %zu is answered", i);
		busy += many[i].code == CODE_BUSY;
	}
	is_int(busy, 1, "one too many is turned away");
	nodes_free(all);
}

/* ---- digests ---- */

static struct pathent *
entry_of(struct machine *m, const char *path)
{
	return index_find(machine_node(m)->index, path, strlen(path));
}

/* A head is gone on one node, nobody knows why. */
static void
lose_head(struct nodes *all, struct machine *m, const char *path)
{
	const struct irec *w = index_winner(entry_of(m, path));

	commit_put(machine_node(m)->commit, &(struct entry){.type = ENTRY_REMOVED,
							    .path = (const uint8_t *)path,
							    .path_len = (uint16_t)strlen(path),
							    .dot = w->r->dot});
	nodes_run(all, 100);
	ok(index_winner(entry_of(m, path)) == NULL, "%s has no version any more", path);
}

static bool
differed(void *arg)
{
	return merge_mismatches(machine_node(arg)->merge) > 0;
}

static void
test_mismatch(void)
{
	struct nodes *all = nodes_new(&(struct nodes_opts){.n = 2});
	struct machine *a = nodes_at(all, 0), *b = nodes_at(all, 1);

	user_fill(a, "kept", 1, 0, MIDDLE);
	user_fill(a, "lost", 2, 0, MIDDLE);
	settle(all, "two files");
	lose_head(all, b, "lost");
	ok(nodes_until(all, differed, b, SETTLE_MS), "the digests differ, and that is seen");
	ok(strstr(machine_said(b), "merge.mismatch") != NULL, "and said");
	settle(all, "states are merged");
	ok(strstr(machine_said(b), "merge.union") != NULL, "which is said, too");
	ok(nodes_same(all) && user_sees_fill(b, "lost", 2, 0, MIDDLE), "the file is there again");

	machine_forget(b);
	lose_head(all, b, "lost");
	nodes_run(all, 3 * MERGE_LOOK_MS);
	ok(strstr(machine_said(b), "merge.mismatch") != NULL, "again, and said again");
	ok(strstr(machine_said(b), "merge.union") == NULL, "not merged so soon");
	nodes_jump(all, MERGE_PAUSE_MS);
	settle(all, "but later");
	ok(nodes_same(all), "the file is there again");
	nodes_free(all);
}

/* ---- the floor ---- */

static uint64_t
tombstones(struct machine *m)
{
	uint64_t n = 0;

	for (const struct irec *i = machine_node(m)->index->log_first; i != NULL; i = i->log_next)
		n += !record_live(i->r);
	return n;
}

static bool
collected(void *arg)
{
	return tombstones(arg) == 0;
}

/* One node comes back from a backup that is older than deletes are remembered. */
static void
test_floor(void)
{
	struct nodes *all =
		nodes_new(&(struct nodes_opts){.n = 2, .more = "[trash]\ntombstones = 1h\n"});
	struct machine *a = nodes_at(all, 0), *b = nodes_at(all, 1);
	struct buf old = {0};
	int64_t deleted, too;

	user_fill(a, "stays", 1, 0, MIDDLE);
	user_fill(a, "deleted", 2, 0, MIDDLE);
	user_fill(b, "too", 3, 0, MIDDLE);
	settle(all, "three files");
	deleted = entry_of(b, "deleted")->sig.mtime_ns;
	too = entry_of(b, "too")->sig.mtime_ns;
	machine_stop(b);
	buf_put(&old, machine_wal_bytes(b)->data, machine_wal_bytes(b)->len);
	machine_start(b);
	settle(all, "while b was saved");
	user_remove(a, "deleted");
	user_remove(b, "too");
	settle(all, "two deletes");
	ok(tombstones(a) == 2 && tombstones(b) == 2, "both are remembered");
	nodes_jump(all, HOUR_MS + 1000);
	ok(nodes_until(all, collected, a, 4 * HOUR_MS), "and forgotten when they are old");
	ok(nodes_until(all, collected, b, 4 * HOUR_MS), "by both");

	machine_stop(b);
	machine_old_wal(b, &old);
	user_fill(b, "deleted", 2, 0, MIDDLE);
	user_touch(b, "deleted", deleted);
	user_fill(b, "too", 3, 0, MIDDLE);
	user_touch(b, "too", too);
	machine_forget(b);
	machine_start(b);
	settle(all, "b is an old copy");
	ok(machine_node(b)->old_log, "it knows that its log is older than its tree");
	ok(strstr(machine_said(b), "merge.floor") != NULL, "a whole state was taken over");
	ok(user_sees(b, "deleted", NULL, 0), "what was deleted does not come back");
	ok(nodes_same(all), "both show the same");
	ok(nodes_have_fill(all, 2, 0, MIDDLE), "and it lies in the store");
	buf_free(&old);
	nodes_free(all);
}

/* ---- a log that is an old copy ---- */

static void
save_log(struct nodes *all, struct machine *m, struct buf *old)
{
	machine_stop(m);
	buf_put(old, machine_wal_bytes(m)->data, machine_wal_bytes(m)->len);
	if (old->failed)
		abort();
	machine_start(m);
	settle(all, "while the log was saved");
}

/* The log becomes that copy; the tree's note of the later one is of now. */
static void
old_log(struct nodes *all, struct machine *m, const struct buf *old)
{
	struct timespec now = {.tv_sec = (time_t)(nodes_wall(all) / 1000)}, both[2] = {now, now};
	char path[NODES_PATH_BYTES + 8];

	machine_stop(m);
	machine_old_wal(m, old);
	snprintf(path, sizeof(path), "%s/log", machine_work(m));
	if (utimensat(AT_FDCWD, path, both, 0) < 0)
		abort();
}

/* Its own version of a path, as it logged it since; NULL: none. */
static const struct irec *
own_at(struct machine *m, const char *path)
{
	const struct index *x = machine_node(m)->index;
	const struct pathent *e = index_find(x, path, strlen(path));

	for (const struct irec *i = e != NULL ? e->recs : NULL; i != NULL; i = i->next)
		if (index_own(x, i->r->dot.origin))
			return i;
	return NULL;
}

#define ALONE_MS 70000 /* so long a first scan waits for a peer, and some more */

/* The log has grown beyond what the tree had seen before it is started once more: what differs is
 * no news still. */
static void
test_old_log_grows(void)
{
	struct nodes *all = nodes_new(&(struct nodes_opts){.n = 2});
	struct machine *a = nodes_at(all, 0), *b = nodes_at(all, 1);
	const struct irec *own;
	struct buf old = {0};

	user_fill(a, "file", 1, 0, MIDDLE);
	settle(all, "a file");
	save_log(all, b, &old);
	user_fill(a, "file", 1, 1, MIDDLE + 1);
	settle(all, "its second version");
	nodes_part(all, true);
	user_fill(a, "file", 1, 2, MIDDLE + 2);
	nodes_run(all, 5000);
	old_log(all, b, &old);
	machine_start(b);
	nodes_run(all, 1000);
	is_int((long)machine_node(b)->index->scanned_ms, 0, "a first scan is due once more");
	for (unsigned i = 0; i < 2000; i++)
		commit_put(machine_node(b)->commit, &(struct entry){.type = ENTRY_PAUSE});
	nodes_run(all, 1000);
	machine_stop(b);
	machine_start(b);
	nodes_run(all, ALONE_MS);
	own = own_at(b, "file");
	ok(own != NULL && record_import(own->r), "the second version is logged as an import");
	ok(machine_node(b)->index->scanned_ms != 0, "the scan is over");
	nodes_part(all, false);
	settle(all, "together again");
	ok(nodes_same(all) && user_sees_fill(b, "file", 1, 2, MIDDLE + 2),
	   "the third one is shown");
	buf_free(&old);
	nodes_free(all);
}

/* A first scan finds the content that the others have, under another time. The agent is slow to
 * take it on: that the scan is over by then does not make it news. */
static void
test_adopted_late(void)
{
	struct nodes *all = nodes_new(&(struct nodes_opts){.n = 2});
	struct machine *a = nodes_at(all, 0), *b = nodes_at(all, 1);
	struct buf old = {0};
	int64_t mtime;

	user_fill(a, "other", 9, 0, MIDDLE);
	settle(all, "a file");
	pause_it(all, b, true);
	save_log(all, b, &old);
	pause_it(all, b, false);
	user_fill(a, "file", 1, 0, MIDDLE);
	settle(all, "another");
	mtime = entry_of(a, "file")->shown->r->mtime_ns;
	old_log(all, b, &old);
	user_touch(b, "file", mtime - 1000000000);
	machine_start(b);
	nodes_run(all, ALONE_MS);
	ok(machine_node(b)->index->paused, "its agent is paused");
	ok(machine_node(b)->index->scanned_ms != 0, "the scan is over");
	ok(own_at(b, "file") == NULL, "nothing was logged");
	pause_it(all, b, false);
	settle(all, "it is taken on");
	ok(nodes_same(all) && entry_of(a, "file")->shown->r->mtime_ns == mtime, "as a has it");
	buf_free(&old);
	nodes_free(all);
}

/* One node has forgotten a delete, the other one has not, and takes a file on there: an import,
 * which only a delete that is remembered outranks. */
static void
test_collected_elsewhere(void)
{
	struct nodes *all = nodes_new(&(struct nodes_opts){.n = 2});
	struct machine *a = nodes_at(all, 0), *b = nodes_at(all, 1);
	struct buf old = {0};

	user_fill(a, "file", 1, 0, MIDDLE);
	settle(all, "a file");
	user_remove(a, "file");
	settle(all, "goes");
	save_log(all, b, &old);
	user_fill(a, "other", 9, 0, MIDDLE);
	settle(all, "another");
	machine_conf(a)->tombstones_ms = 1000;
	nodes_jump(all, HOUR_MS);
	ok(nodes_until(all, collected, a, 4 * HOUR_MS), "one forgets the delete");
	is_int((long)tombstones(b), 1, "the other does not");
	nodes_part(all, true);
	old_log(all, b, &old);
	user_fill(b, "file", 2, 0, MIDDLE);
	machine_start(b);
	nodes_run(all, ALONE_MS);
	ok(own_at(b, "file") != NULL && record_import(own_at(b, "file")->r), "a file is taken on");
	nodes_part(all, false);
	ok(nodes_until(all, collected, b, HOUR_MS / 6), "then the other soon forgets it, too");
	settle(all, "the end");
	ok(nodes_same(all) && user_sees_fill(a, "file", 2, 0, MIDDLE), "both show the file");
	buf_free(&old);
	nodes_free(all);
}

/* ---- scrub ---- */

static bool
scrubbed(void *arg)
{
	struct scrub_state s = scrub_state(machine_node(arg)->scrub);

	return !s.running && s.done_ms != 0;
}

static void
test_scrub(void)
{
	struct nodes *all = nodes_new(
		&(struct nodes_opts){.n = 2, .more = "[scrub]\nevery = 1d\nrate = 100K\n"});
	struct machine *a = nodes_at(all, 0), *b = nodes_at(all, 1);
	struct node *n;
	struct scrub_state s;

	user_fill(a, "one", 1, 0, MIDDLE);
	user_fill(a, "two", 2, 0, 2500000);
	user_link(a, "one", "link");
	settle(all, "two files");
	n = machine_node(b);
	scrub_now(n->scrub);
	ok(nodes_until(all, scrubbed, b, SETTLE_MS), "a whole pass");
	s = scrub_state(n->scrub);
	ok(s.files == 2 && s.bytes == MIDDLE + 2500000 && s.rotten == 0, "all is well");

	/* One look that differs is not enough. */
	machine_fault(
		b, &(struct fault){.class = FAULT_READ, .at = 1, .last = 1, .error = FAULT_FLIP});
	scrub_path(n->scrub, "one", 3);
	scrub_path(n->scrub, "link", 4);
	scrub_path(n->scrub, "none", 4);
	nodes_run(all, 60000);
	ok(machine_faulted(b), "one look found other bytes");
	machine_fault(b, NULL);
	is_int(scrub_state(n->scrub).rotten, 0, "the second did not");

	machine_fault(
		b, &(struct fault){.class = FAULT_READ, .at = 1, .last = 6, .error = FAULT_FLIP});
	machine_forget(b);
	scrub_path(n->scrub, "one", 3);
	nodes_run(all, 60000);
	machine_fault(b, NULL);
	is_int(scrub_state(n->scrub).rotten, 1, "two looks did");
	ok(strstr(machine_said(b), "scrub.rotten") != NULL, "said");
	ok(strstr(machine_said(b), "apply.repaired") != NULL, "and put right");
	settle(all, "repaired");
	ok(nodes_same(all), "it is what it was");

	machine_fault(b, &(struct fault){.class = FAULT_READ, .at = 1, .last = 2, .error = EIO});
	machine_forget(b);
	scrub_path(n->scrub, "one", 3);
	nodes_run(all, 60000);
	machine_fault(b, NULL);
	is_int(scrub_state(n->scrub).rotten, 2, "what cannot be read is rotten, too");
	settle(all, "repaired again");
	ok(nodes_same(all) && user_sees_fill(b, "one", 1, 0, MIDDLE), "it is what it was");

	machine_fault(b, &(struct fault){.class = FAULT_OPEN, .at = 1, .last = 1, .error = EACCES});
	scrub_path(n->scrub, "one", 3);
	nodes_run(all, 60000);
	machine_fault(b, NULL);
	is_int(scrub_state(n->scrub).rotten, 2, "what cannot be opened is left alone");

	for (unsigned i = 0; i <= SCRUB_ASKED_MAX; i++)
		scrub_path(n->scrub, "one", 3);
	nodes_run(all, 1000);
	ok(scrub_state(n->scrub).running, "too many at a time begin a whole pass");
	nodes_run(all, 120000);
	ok(scrubbed(b), "which ends");

	machine_stop(b);
	machine_start(b);
	settle(all, "started again");
	n = machine_node(b);
	ok(scrub_state(n->scrub).done_ms != 0, "the last pass is remembered");
	nodes_jump(all, 24u * HOUR_MS);
	nodes_run(all, 120000);
	ok(scrub_state(n->scrub).files == 2 && scrubbed(b), "after scrub.every there is another");
	scrub_now(n->scrub);
	nodes_run(all, 100);
	machine_stop(b); /* in the middle of a pass */
	nodes_free(all);
}

/* A disk that gives other bytes while a file is fetched from here to there, and a neighbour that
 * serves them: nothing of it is shown. */
static void
test_wrong_bytes(void)
{
	struct nodes *all = nodes_new(&(struct nodes_opts){.n = 2});
	struct machine *a = nodes_at(all, 0), *b = nodes_at(all, 1);

	settle(all, "empty");
	machine_fault(
		a, &(struct fault){.class = FAULT_READ, .at = 1, .last = 1, .error = FAULT_FLIP});
	user_fill(a, "file", 1, 0, 2500000);
	nodes_run(all, 5000);
	ok(machine_faulted(a), "other bytes were served");
	machine_fault(a, NULL);
	settle(all, "asked for again");
	ok(user_sees_fill(b, "file", 1, 0, 2500000) && nodes_same(all), "the right ones are shown");
	ok(strstr(machine_said(b), "fetch.hash") != NULL, "it was said");
	nodes_free(all);
}

int
main(void)
{
	test_compare();
	test_compare_late();
	test_questions();
	test_mismatch();
	test_floor();
	test_old_log_grows();
	test_adopted_late();
	test_collected_elsewhere();
	test_scrub();
	test_wrong_bytes();
	return tap_done();
}
