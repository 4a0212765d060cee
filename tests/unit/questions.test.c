/* SPDX-License-Identifier: BSD-2-Clause */
/* Questions to a peer while two connections with it become one: asked again, once, or failed. */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/exchange.h"
#include "tests/tap.h"
#include "tests/unit/nodes.h"

#define SETTLE_MS 60000
#define WHAT 31 /* no part asks it */

/* What was asked, and what came of it. */
struct question {
	struct ask ask; /* first */
	unsigned told, ended;
	uint8_t code;
	char text[8];
};

static void
told(struct ask *a, uint8_t code, bool last, const uint8_t *blob, size_t len)
{
	struct question *q = (struct question *)a;

	q->told++;
	q->ended += last;
	q->code = code;
	if (len < sizeof(q->text) && len > 0) {
		memcpy(q->text, blob, len);
		q->text[len] = '\0';
	}
}

/* ---- the peer that is asked ---- */

struct answerer {
	unsigned asked;
	bool partly; /* only the first part of the answer is sent */
};

static void
answer(void *arg, struct link *l, uint32_t id, uint8_t what, const uint8_t *blob, size_t len)
{
	struct answerer *w = arg;

	w->asked++;
	ok(what == WHAT && len == 2 && memcmp(blob, "hm", 2) == 0, "asked what was asked");
	ok(exchange_tell(l, id, CODE_OK, !w->partly, "yes", 3) == 0, "it answers");
}

/* ---- two nodes, and a connection of the test's own beside theirs ---- */

struct pair {
	struct nodes *all;
	struct exchange *x[2];
	struct link *second[2]; /* dialled by the first node */
	struct answerer answerer;
	struct question q;
};

static struct peer *
other(struct pair *p, unsigned side)
{
	return exchange_peers(p->x[side]);
}

static void
pair_open(struct pair *p)
{
	*p = (struct pair){.all = nodes_new(&(struct nodes_opts){.n = 2})};
	ok(nodes_settle(p->all, SETTLE_MS), "two nodes");
	for (unsigned i = 0; i < 2; i++)
		p->x[i] = machine_node(nodes_at(p->all, i))->exchange;
	exchange_on_question(p->x[1], WHAT, answer, &p->answerer);
	p->q.ask.tell = told;
	ok(other(p, 0)->link != NULL && other(p, 1)->link != NULL, "are connected");
}

static void
ask(struct pair *p, bool again)
{
	p->q.ask.again = again;
	ok(exchange_ask(p->x[0], other(p, 0), WHAT, "hm", 2, &p->q.ask) == 0, "a question");
}

static void
second_dialled(struct pair *p)
{
	p->second[0] = exchange_connect(p->x[0], "n2", true);
	p->second[1] = exchange_connect(p->x[1], "n1", false);
	ok(p->second[0] != NULL && p->second[1] != NULL, "there is a second connection");
}

/* All that one end has to say goes to the other. */
static void
carry(struct link *from, struct link *to)
{
	const uint8_t *bytes;
	size_t len, took;

	while ((bytes = exchange_output(from, &len)), len > 0) {
		took = exchange_input(to, bytes, len);
		exchange_consumed(from, took);
		if (took == 0)
			break;
	}
}

static void
second_carried(struct pair *p)
{
	for (int i = 0; i < 8; i++) {
		carry(p->second[0], p->second[1]);
		carry(p->second[1], p->second[0]);
	}
}

static void
pair_close(struct pair *p)
{
	nodes_free(p->all);
}

/* ---- */

static void
test_moves(void)
{
	struct pair p;

	pair_open(&p);
	ask(&p, true);
	second_dialled(&p);
	second_carried(&p);
	ok(other(&p, 0)->link == p.second[0], "the second is used from now on");
	is_int(p.answerer.asked, 1, "the question went by it");
	ok(p.q.ended == 1 && p.q.code == CODE_OK && strcmp(p.q.text, "yes") == 0,
	   "and is answered");
	nodes_run(p.all, 2000);
	ok(p.q.told == 1 && p.q.ended == 1, "once, whatever became of the first");
	pair_close(&p);
}

static void
test_stays(void)
{
	struct pair p;

	pair_open(&p);
	ask(&p, false);
	second_dialled(&p);
	second_carried(&p);
	is_int(p.q.ended, 0, "what may not be asked again stays where it was asked");
	exchange_closed(p.second[0], "test");
	exchange_closed(p.second[1], "test");
	nodes_run(p.all, 5000);
	is_int(p.q.ended, 1, "and ends with that");
	pair_close(&p);
}

/* The peer gives the first connection up before it has said so much as HELLO on the second. */
static void
pair_open_between(struct pair *p)
{
	struct link *first[2];

	pair_open(p);
	first[0] = other(p, 0)->link;
	first[1] = other(p, 1)->link;
	second_dialled(p);
	carry(p->second[0], p->second[1]);
	ok(other(p, 1)->link == p->second[1] && other(p, 0)->link == first[0],
	   "the peer goes on by the second, we are not there yet");
	ask(p, true);
	carry(first[1], first[0]);
	nodes_part(p->all, true); /* the first is closed, and no third is dialled */
	ok(other(p, 0)->link == NULL, "the first has gone");
	is_int(p->q.ended, 0, "the question waits");
}

static void
test_waits(bool comes)
{
	struct pair p;

	pair_open_between(&p);
	if (comes) {
		second_carried(&p);
		ok(other(&p, 0)->link == p.second[0], "the second opens");
		second_carried(&p);
		ok(p.q.ended == 1 && p.q.code == CODE_OK, "and answers");
	} else {
		exchange_closed(p.second[0], "test");
		exchange_closed(p.second[1], "test");
		nodes_run(p.all, EXCHANGE_AGAIN_MS + 100);
		ok(p.q.ended == 1 && p.q.code == CODE_ERROR, "and fails, as nothing opens");
	}
	nodes_run(p.all, 2000);
	is_int(p.q.told, 1, "it is told once");
	pair_close(&p);
}

static void
test_partly(void)
{
	struct pair p;
	struct link *first[2];

	pair_open(&p);
	p.answerer.partly = true;
	first[0] = other(&p, 0)->link;
	first[1] = other(&p, 1)->link;
	ask(&p, true);
	carry(first[0], first[1]);
	carry(first[1], first[0]);
	ok(p.q.told == 1 && p.q.ended == 0, "a part of the answer came");
	second_dialled(&p);
	second_carried(&p);
	nodes_run(p.all, 5000);
	ok(p.q.ended == 1 && p.q.code == CODE_ERROR, "the rest does not: failed, not begun anew");
	is_int(p.answerer.asked, 1, "it was asked once");
	pair_close(&p);
}

#define PATIENCE_MS 3000

/* The peer was connected a moment ago. */
static void
test_lost(bool comes)
{
	struct pair p;

	pair_open(&p);
	nodes_part(p.all, true);
	ok(other(&p, 0)->link == NULL, "the connection is lost");
	p.q.ask.patience_ms = PATIENCE_MS;
	ask(&p, true);
	nodes_run(p.all, PATIENCE_MS - 500);
	is_int(p.q.ended, 0, "it waits");
	if (comes) {
		nodes_part(p.all, false);
		ok(nodes_settle(p.all, SETTLE_MS), "connected again");
		ok(p.q.ended == 1 && p.q.code == CODE_OK, "it is answered");
	} else {
		nodes_run(p.all, 500);
		ok(p.q.ended == 1 && p.q.code == CODE_ERROR, "it fails at its time");
	}
	is_int(p.q.told, 1, "it is told once");
	pair_close(&p);
}

static void
test_lost_long_ago(void)
{
	struct pair p;

	pair_open(&p);
	nodes_part(p.all, true);
	p.q.ask.again = true;
	is_int(exchange_ask(p.x[0], other(&p, 0), WHAT, "hm", 2, &p.q.ask), -ENOTCONN,
	       "who has no patience is told at once");
	p.q.ask.patience_ms = PATIENCE_MS;
	nodes_run(p.all, EXCHANGE_LOST_MS);
	is_int(exchange_ask(p.x[0], other(&p, 0), WHAT, "hm", 2, &p.q.ask), -ENOTCONN,
	       "and so is who asks one that was lost long ago");
	is_int(p.q.told, 0, "in no other way");
	pair_close(&p);
}

/* A shutdown forgets no question that waits. */
static void
test_shutdown(void)
{
	struct pair p;

	pair_open_between(&p);
	pair_close(&p);
	ok(p.q.ended == 1 && p.q.code == CODE_ERROR, "and fails as the node ends");
}

int
main(void)
{
	test_moves();
	test_stays();
	test_waits(true);
	test_waits(false);
	test_partly();
	test_lost(true);
	test_lost(false);
	test_lost_long_ago();
	test_shutdown();
	return tap_done();
}
