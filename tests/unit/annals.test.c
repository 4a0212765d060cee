/* SPDX-License-Identifier: BSD-2-Clause */
/* Every record that two generations of a log have, each once, in the order of their times. */
#include "config.h"

#include "agent/annals.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "proto/hlc.h"
#include "tests/fold.h"
#include "tests/logdir.h"
#include "tests/tap.h"

#define A 0xa1
#define B 0xb1
#define STEPS_MAX 1000
#define MANY 5000 /* records: more than are gathered before they are put in order */

struct rig {
	struct logdir logs;
	struct settings conf;
	struct node n;
	struct buf current, previous;
};

static void
begin(struct rig *g)
{
	*g = (struct rig){.n.conf = &g->conf};
	logdir_begin(&g->logs);
	g->conf.state = g->logs.dir;
	logdir_header(&g->current, 0);
	logdir_header(&g->previous, 0);
}

static void
end(struct rig *g)
{
	buf_free(&g->current);
	buf_free(&g->previous);
	logdir_end(&g->logs);
}

static void
put(struct buf *log, uint8_t type, const char *path, struct dot d, uint64_t ms)
{
	wal_put(log,
		&(struct entry){.type = type, .rec = rec(path, d, hlc_make(ms, 0), KIND_FILE, 1)});
}

static int
gathered(struct rig *g, const struct annals_want *want, struct annals **a)
{
	int e = annals_new(&g->n, want, a);

	if (e == 0)
		e = 1;
	for (unsigned i = 0; e == 1 && i < STEPS_MAX; i++)
		e = annals_step(*a);
	return e;
}

/* The times that are told, one after the other; or why not. */
static const char *
told(struct rig *g, const struct annals_want *want)
{
	static char out[256];
	struct annals *a = NULL;
	const struct record *r;
	size_t len = 0;
	int e = gathered(g, want, &a);

	out[0] = '\0';
	while (e == 0 && (e = annals_next(a, &r)) == 1) {
		len += (size_t)snprintf(out + len, sizeof(out) - len, "%s%llu", len > 0 ? " " : "",
					(unsigned long long)hlc_ms(r->hlc));
		e = 0;
	}
	if (e < 0)
		snprintf(out, sizeof(out), "error %d", e);
	annals_free(a);
	return out;
}

/* The log was compacted after 30: what was alive then stands in both files. */
static void
two_generations(struct rig *g)
{
	put(&g->previous, ENTRY_RECORD, "a", dot(A, 1), 10);
	put(&g->previous, ENTRY_KNOWN, "d/b", dot(B, 1), 20);
	put(&g->previous, ENTRY_RECORD, "a", dot(A, 2), 30);
	put(&g->current, ENTRY_RECORD, "a", dot(A, 2), 30);
	put(&g->current, ENTRY_KNOWN, "d/b", dot(B, 1), 20);
	put(&g->current, ENTRY_RECORD, "dx", dot(A, 3), 50);
	put(&g->current, ENTRY_KNOWN, "d", dot(B, 2), 40);
	logdir_write(g->logs.wal, &g->current);
	logdir_write(g->logs.prev, &g->previous);
}

static void
order(void)
{
	struct rig g;

	begin(&g);
	is_str(told(&g, &(struct annals_want){.limit = UINT64_MAX}), "error -2", "there is no log");
	two_generations(&g);
	is_str(told(&g, &(struct annals_want){.limit = UINT64_MAX}), "10 20 30 40 50",
	       "all of both, each once, in the order of time");
	is_str(told(&g, &(struct annals_want){.limit = 2}), "40 50", "the last two");
	is_str(told(&g, &(struct annals_want){.limit = 0}), "", "none");
	is_str(told(&g, &(struct annals_want){.limit = UINT64_MAX, .since_ms = 30}), "30 40 50",
	       "since a time, itself too");
	is_str(told(&g, &(struct annals_want){.limit = UINT64_MAX, .path = "d"}), "20 40",
	       "a directory and what is below, not what begins like it");
	is_str(told(&g, &(struct annals_want){.limit = 1, .path = "a"}), "30",
	       "the last of a path");
	(void)unlink(g.logs.prev);
	is_str(told(&g, &(struct annals_want){.limit = UINT64_MAX}), "20 30 40 50",
	       "without the generation before");
	g.current.len -= 3;
	logdir_write(g.logs.wal, &g.current);
	is_str(told(&g, &(struct annals_want){.limit = UINT64_MAX}), "20 30 50",
	       "what was not written to its end is not told");
	end(&g);
}

/* What content that nobody logged was kept as is no record. */
static void
kept(void)
{
	struct rig g;
	struct entry e = {.type = ENTRY_KEPT,
			  .dot = dot(A, 1),
			  .num = 9,
			  .rec = rec("k", dot(A, 1), hlc_make(5, 0), KIND_FILE, 1)};

	begin(&g);
	wal_put(&g.current, &e);
	e.flags = KEPT_RESCUED;
	e.dot = dot(0, 1);
	e.rec = rec("r", dot(A, 2), hlc_make(6, 0), KIND_FILE, 1);
	wal_put(&g.current, &e);
	logdir_write(g.logs.wal, &g.current);
	is_str(told(&g, &(struct annals_want){.limit = UINT64_MAX}), "5",
	       "what is kept is known by its record, but not what nobody logged");
	end(&g);
}

static void
many(void)
{
	struct rig g;
	struct annals *a = NULL;
	const struct annals_want want = {.limit = 700};
	const struct record *r;
	uint64_t n = 0, wrong = 0;
	int e;

	begin(&g);
	for (uint64_t i = 0; i < MANY; i++) /* backwards by tens */
		put(&g.current, ENTRY_KNOWN, "p", dot(A, 1 + i), 1 + i / 10 * 10 + (9 - i % 10));
	logdir_write(g.logs.wal, &g.current);
	e = gathered(&g, &want, &a);
	is_int(e, 0, "all are gathered");
	while (annals_next(a, &r) == 1)
		wrong += hlc_ms(r->hlc) != MANY - want.limit + 1 + n++;
	is_int((int64_t)n, 700, "the last 700 of 5,000");
	is_int((int64_t)wrong, 0, "are those, in order");
	ok(!annals_cut(a), "nothing is missing that was wanted");
	annals_free(a);
	end(&g);
}

int
main(void)
{
	order();
	kept();
	many();
	return tap_done();
}
