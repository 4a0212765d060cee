/* SPDX-License-Identifier: BSD-2-Clause */
/* Content from peers that go, say nothing, are removed, or are slow. Whole nodes in one process. */
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
#include "agent/exchange.h"
#include "agent/fetch.h"
#include "agent/members.h"
#include "agent/task.h"
#include "tests/unit/settle.h"

#define MIDDLE 5000
#define LARGE (3u << 20)
#define HUGE (10u << 20) /* room is taken before it comes */
#define RATE (1u << 20)  /* bytes a second */

static const struct fetch_job *
job(struct machine *m, const char *path)
{
	struct node *n = machine_node(m);
	const struct pathent *e = n != NULL ? index_find(n->index, path, strlen(path)) : NULL;

	return e != NULL ? apply_explain(n->apply, e).fetch : NULL;
}

/* Has some of `large` come, and not all? */
static bool
some_came(void *arg)
{
	const struct fetch_job *j = job(arg, "large");

	return j != NULL && j->have_bytes > 0;
}

static bool
comes_from(struct machine *m, const char *who)
{
	const struct fetch_job *j = job(m, "large");

	return j != NULL && strcmp(j->from, who) == 0;
}

static struct nodes *
slow(unsigned n)
{
	struct nodes *all = nodes_new(&(struct nodes_opts){.n = n});

	for (unsigned i = 0; i < n; i++) {
		machine_conf(nodes_at(all, i))->rate_limit = RATE;
		machine_conf(nodes_at(all, i))->timeout_ms = 1000000;
	}
	return all;
}

/* ---- a connection ends in the middle ---- */

static void
test_resume(bool delta)
{
	struct nodes *all = slow(2);
	struct machine *a = nodes_at(all, 0), *b = nodes_at(all, 1);

	if (delta)
		user_fill(a, "large", 1, 0, LARGE);
	settle(all, "the beginning");
	user_fill(a, "large", 2, 0, LARGE);
	ok(nodes_until(all, some_came, b, SETTLE_MS), "a part of it came");
	ok(comes_from(b, "n1"), "from n1");
	nodes_part(all, true);
	nodes_run(all, 5000);
	ok(!user_sees_fill(b, "large", 2, 0, LARGE), "then the connection ended");
	nodes_part(all, false);
	settle(all, "and there was another");
	ok(user_sees_fill(b, "large", 2, 0, LARGE) && nodes_same(all), "all of it is there");
	nodes_free(all);
}

static void
test_killed(void)
{
	struct nodes *all = slow(2);
	struct machine *a = nodes_at(all, 0), *b = nodes_at(all, 1);

	settle(all, "the beginning");
	user_fill(a, "large", 1, 0, LARGE);
	ok(nodes_until(all, some_came, b, SETTLE_MS), "a part of it came");
	machine_kill_agent(b);
	settle(all, "started again");
	ok(user_sees_fill(b, "large", 1, 0, LARGE) && nodes_same(all), "all of it is there");
	nodes_free(all);
}

/* ---- somebody who has it says nothing any more ---- */

/* n1 wrote it, n2 has it, n3 is fetching it from one of them. */
static struct nodes *
fetching(struct machine **from)
{
	struct nodes *all = slow(3);
	struct machine *c = nodes_at(all, 2);

	settle(all, "the beginning");
	machine_stop(c);
	user_fill(nodes_at(all, 0), "large", 1, 0, LARGE);
	settle(all, "two have it");
	machine_start(c);
	ok(nodes_until(all, some_came, c, SETTLE_MS), "the third has a part of it");
	*from = nodes_at(all, comes_from(c, "n1") ? 0 : 1);
	return all;
}

static void
test_stalled(void)
{
	struct machine *from, *c;
	struct nodes *all = fetching(&from);

	c = nodes_at(all, 2);
	machine_mute(from, true);
	nodes_run(all, 60000);
	ok(strstr(machine_said(c), "fetch.stalled") != NULL, "nothing comes: said");
	ok(user_sees_fill(c, "large", 1, 0, LARGE), "it came from the other one");
	machine_mute(from, false);
	settle(all, "all speak again");
	ok(nodes_same(all), "all show the same");
	nodes_free(all);
}

static void
test_stopped(void)
{
	struct machine *from, *c;
	struct nodes *all = fetching(&from);

	c = nodes_at(all, 2);
	machine_stop(from);
	settle(all, "the one it came from is gone");
	ok(user_sees_fill(c, "large", 1, 0, LARGE), "it came from the other one");
	machine_start(from);
	settle(all, "all are back");
	ok(nodes_same(all), "all show the same");
	nodes_free(all);
}

/* ---- a member is removed ---- */

static void
remove_member(struct machine *m, const char *who, const char *by, uint64_t wall_ms)
{
	struct node *n = machine_node(m);
	struct member gone = *index_member(n->index, who);

	members_removal(&gone, by, wall_ms);
	members_put(n, &gone);
}

static void
test_removed(void)
{
	struct machine *from, *c;
	struct nodes *all = fetching(&from);
	const char *who = from == nodes_at(all, 0) ? "n1" : "n2";
	struct peer *p;

	c = nodes_at(all, 2);
	remove_member(c, who, "n3", nodes_wall(all));
	nodes_run(all, 60000);
	ok(user_sees_fill(c, "large", 1, 0, LARGE), "%s is no member any more: from the other",
	   who);
	ok(exchange_peer(machine_node(c)->exchange, who) == NULL, "%s is no peer", who);
	p = exchange_peer(machine_node(c)->exchange, from == nodes_at(all, 0) ? "n2" : "n1");
	ok(p != NULL && p->link != NULL, "the other one is");
	nodes_free(all);
}

/* ---- many at a time ---- */

#define MANY 400

static bool
urgent_came(void *arg)
{
	return user_sees_fill(arg, "urgent", MANY, 0, MIDDLE);
}

static void
test_hurry(void)
{
	struct nodes *all = slow(2);
	struct machine *a = nodes_at(all, 0), *b = nodes_at(all, 1);
	struct node *n;
	char name[32];
	unsigned came = 0;

	settle(all, "the beginning");
	nodes_part(all, true);
	for (unsigned i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		user_fill(a, name, i, 0, MIDDLE);
	}
	user_fill(a, "urgent", MANY, 0, MIDDLE);
	settle(all, "many files");
	machine_conf(a)->rate_limit = 50000;
	nodes_part(all, false);
	nodes_run(all, 1000);
	n = machine_node(b);
	ok(index_find(n->index, "urgent", 6) != NULL, "known");
	for (unsigned i = 0; i < 5; i++) { /* whatever it waits for just then */
		const struct pathent *e = index_find(n->index, "urgent", 6);

		if (e != NULL)
			apply_hurry(n->apply, e);
		nodes_run(all, 100);
	}
	ok(nodes_until(all, urgent_came, b, SETTLE_MS), "the urgent one is there");
	for (unsigned i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		came += user_sees_fill(b, name, i, 0, MIDDLE);
	}
	ok(came < MANY - 50, "long before the last one (%u of %u others)", came, MANY);
	machine_conf(a)->rate_limit = 0;
	settle(all, "all came");
	ok(nodes_same(all), "both show the same");
	nodes_free(all);
}

/* ---- sizes, and no room ---- */

static void
test_huge(void)
{
	struct nodes *all = nodes_new(&(struct nodes_opts){.n = 2});
	struct machine *a = nodes_at(all, 0), *b = nodes_at(all, 1);

	user_fill(a, "huge", 1, 0, HUGE);
	user_fill(a, "empty", 2, 0, 0);
	settle(all, "a huge file and an empty one");
	ok(nodes_same(all), "both show the same");
	machine_conf(b)->min_free = UINT64_MAX / 2;
	user_fill(a, "more", 3, 0, MIDDLE);
	nodes_run(all, 20000);
	ok(user_sees(b, "more", NULL, 0), "with guard.min_free reached nothing more comes");
	ok(strstr(machine_said(b), "ENOSPC") != NULL, "said");
	machine_conf(b)->min_free = 0;
	settle(all, "room again");
	ok(nodes_same(all), "both show the same");
	nodes_free(all);
}

/* Lying peers are hostile.test's; this one only lost what it said it had. */
static void
test_gone_there(void)
{
	struct nodes *all = nodes_new(&(struct nodes_opts){.n = 3});
	struct machine *a = nodes_at(all, 0), *c = nodes_at(all, 2);

	settle(all, "the beginning");
	machine_stop(c);
	user_fill(a, "large", 1, 0, LARGE);
	settle(all, "two have it");
	/* n1 cannot read it just now. */
	machine_fault(
		a, &(struct fault){.class = FAULT_OPEN, .at = 1, .last = 1000000, .error = EACCES});
	machine_start(c);
	nodes_run(all, 20000);
	ok(user_sees_fill(c, "large", 1, 0, LARGE), "the other one gave it");
	machine_fault(a, NULL);
	settle(all, "all is well");
	nodes_free(all);
}

/* ---- content that only this node's store has, and its log does not know ---- */

/* A copy of a file, with its mtime, as content of `from`'s record of that path. */
static void
put_kept(struct machine *from, struct machine *to, const char *path, bool wrong)
{
	struct pathent *e = index_find(machine_node(to)->index, path, strlen(path));
	const struct irec *rec = e != NULL ? index_winner(e) : NULL;
	char source[NODES_PATH_BYTES + 300], kept[48], target[NODES_PATH_BYTES + 300];
	static uint8_t bytes[MIDDLE];
	struct stat st = {0};
	int in, out;

	if (rec == NULL) {
		ok(false, "the record of %s is not known", path);
		return;
	}
	task_kept_name(rec->r->dot, kept);
	snprintf(source, sizeof(source), "%s/%s", machine_root(from), path);
	snprintf(target, sizeof(target), "%s/kept/%s", machine_work(to), kept);
	in = open(source, O_RDONLY | O_CLOEXEC);
	out = open(target, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	ok(in >= 0 && out >= 0 && fstat(in, &st) == 0 && read(in, bytes, MIDDLE) == MIDDLE,
	   "%s is read", path);
	bytes[MIDDLE / 2] ^= wrong ? 1 : 0;
	ok(write(out, bytes, MIDDLE) == MIDDLE &&
		   futimens(out, (struct timespec[2]){st.st_atim, st.st_mtim}) == 0,
	   "and kept as %s", kept);
	close(in);
	close(out);
}

static void
test_unlogged(bool wrong)
{
	struct nodes *all = nodes_new(&(struct nodes_opts){.n = 2});
	struct machine *a = nodes_at(all, 0), *b = nodes_at(all, 1);

	settle(all, "the beginning");
	machine_conf(a)->inline_max = 0;
	machine_fault(
		a, &(struct fault){.class = FAULT_OPEN, .at = 1, .last = 1000000, .error = EACCES});
	user_fill(a, "kept", 1, 0, MIDDLE);
	nodes_run(all, 10000);
	ok(!user_sees_fill(b, "kept", 1, 0, MIDDLE), "nobody gives it");
	put_kept(a, b, "kept", wrong);
	nodes_run(all, 120000);
	ok(user_sees_fill(b, "kept", 1, 0, MIDDLE) == !wrong, "it comes from the store %s",
	   wrong ? "unless it is something else" : "of this node");
	machine_fault(a, NULL);
	settle(all, "all is well");
	ok(nodes_same(all), "both show the same");
	nodes_free(all);
}

int
main(void)
{
	test_unlogged(false);
	test_unlogged(true);
	test_resume(false);
	test_resume(true);
	test_killed();
	test_stalled();
	test_stopped();
	test_removed();
	test_hurry();
	test_huge();
	test_gone_there();
	return tap_done();
}
