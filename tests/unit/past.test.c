/* SPDX-License-Identifier: BSD-2-Clause */
/* What paths were: from whole logs, from logs with holes, and from what others keep. */
#include "config.h"

#include "agent/past.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "proto/hlc.h"
#include "tests/fold.h"
#include "tests/logdir.h"
#include "tests/tap.h"

#define A 0xa1 /* origins, run by the nodes a and b */
#define B 0xb1
#define CREATED_MS 7
#define STEPS_MAX 100

struct rig {
	struct logdir logs;
	struct settings conf;
	struct node n;
	struct buf log;
	struct past_want want;
	struct past *past;
};

static void
origin(struct index *x, uint64_t id, const char *node)
{
	must(index_fold(x, &(struct entry){.type = ENTRY_ORIGIN,
					   .num = id,
					   .num2 = 1,
					   .name = (const uint8_t *)node,
					   .name_len = strlen(node)}));
}

static void
begin(struct rig *g)
{
	*g = (struct rig){0};
	logdir_begin(&g->logs);
	g->conf.state = g->logs.dir;
	g->n = (struct node){.conf = &g->conf, .index = fold_index(), .seed = FOLD_SEED};
	origin(g->n.index, A, "a");
	origin(g->n.index, B, "b");
	logdir_header(&g->log, CREATED_MS);
}

static void
end(struct rig *g)
{
	past_free(g->past);
	index_free(g->n.index);
	buf_free(&g->log);
	logdir_end(&g->logs);
}

/* The node learns of it: the index and, with logged, the log. */
static void
known(struct rig *g, const struct record *r, bool logged)
{
	struct entry e = {.type = ENTRY_KNOWN, .rec = *r};

	must(index_fold(g->n.index, &e));
	if (logged)
		wal_put(&g->log, &e);
}

static struct record
made(const char *path, uint64_t who, uint64_t seq, uint64_t ms, uint8_t kind, uint8_t content)
{
	return rec(path, dot(who, seq), hlc_make(ms, 0), kind, content);
}

static int
read_all(struct rig *g)
{
	int e = 1;

	for (unsigned i = 0; e == 1 && i < STEPS_MAX; i++)
		e = past_step(g->past);
	return e;
}

/* Looks again; node: what that one wrote since then is taken away, else all that came later. */
static int
look(struct rig *g, uint64_t ms, const char *node)
{
	int e;

	past_free(g->past);
	g->past = NULL;
	logdir_write(g->logs.wal, &g->log);
	g->want.time_ms = ms;
	g->want.node = node;
	e = past_new(&g->n, &g->want, &g->past);
	return e < 0 ? e : read_all(g);
}

static size_t
places(const struct rig *g)
{
	size_t n = 0;

	while (past_at(g->past, n) != NULL)
		n++;
	return n;
}

/* The one path that is looked at: its content (0: nothing was there), or -1 unknown, -2 probable.
 */
static int
was(const struct rig *g)
{
	const struct record *r;
	enum past_known k;

	if (places(g) != 1 || past_was(g->past, 0, &r, &k) < 0)
		return -3;
	if (k != PAST_KNOWN)
		return k == PAST_UNKNOWN ? -1 : -2;
	return r != NULL ? r->hash[0] : 0;
}

static void
whole_log(void)
{
	struct record v1 = made("p", A, 1, 10, KIND_FILE, 1),
		      gone = made("p", A, 2, 20, KIND_ABSENT, 1),
		      v3 = made("p", B, 1, 30, KIND_FILE, 3);
	struct rig g;

	begin(&g);
	after(&gone, &v1);
	after(&v3, &gone);
	known(&g, &v1, true);
	known(&g, &gone, true);
	known(&g, &v3, true);
	is_int(look(&g, 5, NULL), 0, "a log is read");
	is_int(was(&g), 0, "before the first version nothing was there");
	(void)!look(&g, 10, NULL);
	is_int(was(&g), 1, "the millisecond of a version counts");
	(void)!look(&g, 20, NULL);
	is_int(was(&g), 0, "a delete in between");
	(void)!look(&g, 30, NULL);
	is_int(places(&g), 0, "what did not change since is not looked at");
	is_int(past_begins(g.past), CREATED_MS, "it says when the log began");
	(void)!look(&g, 25, "b");
	is_int(was(&g), 0, "without what b wrote since");
	(void)!look(&g, 31, "b");
	is_int(places(&g), 0, "b wrote nothing since");
	(void)!look(&g, 5, "a");
	is_int(places(&g), 1, "a wrote,");
	ok(past_at(g.past, 0)->overtaken, "but b wrote over it");
	end(&g);
	vv_free(&gone.ctx);
	vv_free(&v3.ctx);
}

static void
holes(void)
{
	struct record v1 = made("p", A, 1, 10, KIND_FILE, 1),
		      v2 = made("p", A, 2, 20, KIND_FILE, 2),
		      v3 = made("p", B, 1, 30, KIND_FILE, 3), bare;
	struct rig g;

	begin(&g);
	after(&v2, &v1);
	after(&v3, &v2);
	known(&g, &v3, true);
	bare = v2;
	bare.ctx = (struct vv){0};
	(void)!look(&g, 25, NULL);
	is_int(was(&g), -1, "what was before is not known");
	must(past_learn(g.past, &v1, 22));
	is_int(was(&g), -1, "an older version is not taken for the one that is missing");
	must(past_learn(g.past, &v2, 30));
	is_int(was(&g), 2, "until somebody keeps that");
	(void)!look(&g, 21, NULL);
	must(past_learn(g.past, &v1, 22));
	is_int(was(&g), -2, "shown at that time, says who keeps it: probable");
	must(past_learn(g.past, &v1, 20));
	is_int(was(&g), -1, "somebody else had it displaced before: not even that");
	(void)!look(&g, 15, NULL);
	must(past_learn(g.past, &v1, 20));
	must(past_learn(g.past, &bare, 30));
	is_int(was(&g), 1, "a version that was taken away explains the context of the next");
	(void)!look(&g, 25, "b");
	must(past_learn(g.past, &v1, 20));
	is_int(was(&g), -1, "the same for what one node did");
	must(past_learn(g.past, &v2, 30));
	is_int(was(&g), 2, "it is taken back to what it wrote over");
	must(past_learn(g.past, &(struct record){.path = (const uint8_t *)"q", .path_len = 1}, 0));
	is_int(places(&g), 1, "other paths are nobody's business");
	end(&g);
	vv_free(&v2.ctx);
	vv_free(&v3.ctx);
}

/* b wrote several times, and not all of it is known: it goes all the same. */
static void
own_holes(void)
{
	struct record v1 = made("p", A, 1, 10, KIND_FILE, 1),
		      v2 = made("p", B, 5, 20, KIND_FILE, 2),
		      v3 = made("p", B, 6, 30, KIND_FILE, 3),
		      v4 = made("p", B, 7, 40, KIND_FILE, 4);
	struct rig g;

	begin(&g);
	after(&v2, &v1);
	after(&v3, &v2);
	after(&v4, &v3);
	known(&g, &v1, true);
	known(&g, &v2, true);
	known(&g, &v4, true);
	(void)!look(&g, 15, "b");
	is_int(was(&g), 1, "a version that is missing behind one that went, went too");
	(void)!look(&g, 15, NULL);
	is_int(was(&g), 1, "by time as well");
	(void)!look(&g, 25, NULL);
	is_int(was(&g), -1, "but it may have been there at a time before it is superseded");
	end(&g);
	vv_free(&v2.ctx);
	vv_free(&v3.ctx);
	vv_free(&v4.ctx);
}

static void
concurrent(void)
{
	struct record a = made("p", A, 1, 10, KIND_FILE, 1), b = made("p", B, 1, 12, KIND_FILE, 2),
		      gone = made("p", A, 2, 14, KIND_ABSENT, 1),
		      both = made("p", B, 2, 30, KIND_FILE, 3);
	struct rig g;

	begin(&g);
	after(&gone, &a);
	after(&both, &gone);
	after(&both, &b);
	known(&g, &a, true);
	known(&g, &b, true);
	known(&g, &gone, true);
	known(&g, &both, true);
	(void)!look(&g, 13, NULL);
	is_int(was(&g), 2, "of two at the same time the later one was shown");
	(void)!look(&g, 20, NULL);
	is_int(was(&g), 2, "a live file beats a delete");
	end(&g);
	vv_free(&gone.ctx);
	vv_free(&both.ctx);
}

static void
paths(void)
{
	static const char *const only[] = {"d"};
	static const char *const names[] = {"d", "d/x", "dd", "e/d"};
	struct rig g;

	begin(&g);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct record r = made(names[i], A, 1 + i, 10, KIND_FILE, 1);

		known(&g, &r, true);
	}
	(void)!look(&g, 5, NULL);
	is_int(places(&g), 4, "without a path: all");
	g.want.paths = only;
	g.want.npaths = 1;
	(void)!look(&g, 5, NULL);
	is_int(places(&g), 2, "a path and what is below it, and not what begins like it");
	end(&g);
}

static void
files(void)
{
	struct record v1 = made("p", A, 1, 10, KIND_FILE, 1),
		      v2 = made("p", A, 2, 20, KIND_FILE, 2),
		      v3 = made("p", A, 3, 30, KIND_FILE, 3);
	struct buf prev = {0};
	struct rig g;
	size_t whole;

	begin(&g);
	is_int(past_new(&g.n, &g.want, &g.past), -ENOENT, "no log at all");
	after(&v2, &v1);
	after(&v3, &v2);
	logdir_header(&prev, 3);
	wal_put(&prev, &(struct entry){.type = ENTRY_KEPT, .dot = v1.dot, .num = 20, .rec = v1});
	wal_put(&prev, &(struct entry){.type = ENTRY_RECORD, .rec = v2});
	known(&g, &v3, true);
	(void)!look(&g, 15, NULL);
	is_int(was(&g), -1, "this generation does not know");
	logdir_write(g.logs.prev, &prev);
	(void)!look(&g, 15, NULL);
	is_int(was(&g), 1, "the one before it does");
	is_int(past_begins(g.past), 3, "which is since when that is");
	(void)!look(&g, 25, NULL);
	is_int(was(&g), 2, "and another time");
	buf_put(&g.log, "half an entry", 13);
	is_int(look(&g, 25, NULL), 0, "an unfinished append is the end");
	is_int(was(&g), 2, "of what counts");
	for (whole = prev.len; prev.len > WAL_HEADER_BYTES - 2; prev.len--) {
		logdir_write(g.logs.prev, &prev);
		if (look(&g, 25, NULL) != 0 || (was(&g) != 2 && was(&g) != -1))
			break;
	}
	is_int(prev.len, WAL_HEADER_BYTES - 2,
	       "cut at any byte it knows, or knows that it does not");
	prev.len = whole;
	for (size_t i = 0; i < whole; i++) {
		prev.data[i] ^= 0x55;
		logdir_write(g.logs.prev, &prev);
		prev.data[i] ^= 0x55;
		if (look(&g, 25, NULL) != 0 || (was(&g) != 2 && was(&g) != -1))
			whole = 0;
	}
	ok(whole != 0, "and so with any byte that is another");
	end(&g);
	buf_free(&prev);
	vv_free(&v2.ctx);
	vv_free(&v3.ctx);
}

int
main(void)
{
	whole_log();
	holes();
	own_holes();
	concurrent();
	paths();
	files();
	return tap_done();
}
