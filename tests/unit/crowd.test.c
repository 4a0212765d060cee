/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Crowds: how far news of members travels, and what it costs, as a cluster grows to 200 members.
 * Each has a few neighbours (a ring, and chords across it); a message takes LATENCY_MS from one to
 * the next, so a round is that long. Whole agents in one process. CROWD_MAX is the largest (200).
 */
#include "config.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "agent/exchange.h"
#include "agent/gossip.h"
#include "agent/members.h"
#include "tests/tap.h"
#include "tests/unit/nodes.h"

#define LATENCY_MS 10
#define CHORDS 4 /* of each, on average */
#define NEIGHBOURS (2 + CHORDS)
#define SETTLE_MS 120000
#define WATCHED_MS 60000
/* All of one news: an entry is sent once to each neighbour, some hear it from several; sessions
 * with a newcomer begin. */
#define NEWS_BYTES_MAX 20000
/* Of a member at rest, to each neighbour: pings, and a TABLE that names at most everybody in a
 * period that grows with their number. */
#define REST_BYTES_MAX 700

struct crowd {
	struct nodes *all;
	unsigned n;
	char name[MEMBER_NAME_BYTES_MAX + 1]; /* whom the news is about */
	bool removed;
};

/* Of the cluster under test; linked() gets nothing else. */
static unsigned crowd_size;

static bool
linked(unsigned i, unsigned k)
{
	uint64_t x = (uint64_t)i * 1000003 + k;

	x = (x ^ x >> 31) * UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ x >> 29) * UINT64_C(0xbf58476d1ce4e5b9);
	return k == i + 1 || (i == 0 && k + 1 == crowd_size) || (x >> 32) % crowd_size < CHORDS;
}

/* ---- what all know ---- */

static const struct member *
entry(const struct crowd *c, unsigned i)
{
	const struct node *n = machine_node(nodes_at(c->all, i));

	return n != NULL ? index_member(n->index, c->name) : NULL;
}

static bool
all_know(void *arg)
{
	const struct crowd *c = arg;

	for (unsigned i = 0; i < c->n; i++) {
		const struct member *m = entry(c, i);

		if (c->removed && i + 1 == c->n)
			continue; /* itself: nobody talks to it any more */
		if (m == NULL || (m->removed != 0) != c->removed)
			return false;
	}
	return true;
}

/* Does everybody else say that? */
static bool
all_say(const struct crowd *c, enum peer_state want)
{
	for (unsigned i = 0; i < c->n; i++) {
		const struct node *n = machine_node(nodes_at(c->all, i));
		const struct peer *p = n != NULL ? exchange_peer(n->exchange, c->name) : NULL;

		if (n != NULL && p != NULL && gossip_state(n->gossip, p) != want)
			return false;
	}
	return true;
}

static bool
all_say_dead(void *arg)
{
	return all_say(arg, PEER_DEAD);
}

/* How many of all pairs hold the other for dead. */
static unsigned
taken_for_dead(const struct crowd *c)
{
	unsigned dead = 0;

	for (unsigned i = 0; i < c->n; i++) {
		const struct node *n = machine_node(nodes_at(c->all, i));

		if (n == NULL)
			continue;
		for (const struct peer *p = exchange_peers(n->exchange); p != NULL; p = p->next)
			dead += gossip_state(n->gossip, p) == PEER_DEAD;
	}
	return dead;
}

static uint64_t
sent(const struct crowd *c)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < c->n; i++)
		sum += machine_sent(nodes_at(c->all, i));
	return sum;
}

/* ---- one crowd ---- */

/* Bytes a second that a member sends, over some time. */
static double
rate(struct crowd *c, uint64_t sent_before, uint64_t since_ms)
{
	return (double)(sent(c) - sent_before) / c->n * 1000 /
	       (double)(nodes_now(c->all) - since_ms);
}

/* News is put at one member: rounds until all have it; *busy: the rate of that minute. */
static unsigned
rounds(struct crowd *c, unsigned at, const struct member *m, double *busy)
{
	uint64_t before = sent(c), began = nodes_now(c->all), took;

	snprintf(c->name, sizeof(c->name), "%s", m->name);
	c->removed = m->removed != 0;
	members_put(machine_node(nodes_at(c->all, at)), m);
	ok(nodes_until(c->all, all_know, c, SETTLE_MS), "all %u know", c->n);
	took = nodes_now(c->all) - began;
	nodes_run(c->all, took < WATCHED_MS ? WATCHED_MS - took : 0);
	*busy = rate(c, before, began);
	return (unsigned)((took + LATENCY_MS - 1) / LATENCY_MS);
}

static void
newcomer(struct crowd *c, struct member *m)
{
	memset(m, 0, sizeof(*m));
	snprintf(m->name, sizeof(m->name), "n%u", c->n);
	snprintf(m->user, sizeof(m->user), "mimeo");
	snprintf(m->address, sizeof(m->address), "server-%u.example.com:22", c->n);
	snprintf(m->user_key, sizeof(m->user_key),
		 "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAl6aOfCdGtwGYQIqnNjgkQzDDO9Rk4gXOhQ7AGl%04u",
		 c->n);
	snprintf(m->host_key, sizeof(m->host_key),
		 "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEmHs9d2vVvE1YwV1yYJm1sQJX0FhYB2cJt3xvPf%04u",
		 c->n);
	members_admission(m, NULL, "n1", nodes_wall(c->all));
}

/* What a member sends in a minute with news is what it sends at rest, and the news. */
static bool
costs_little(double busy, double rest)
{
	return (busy - rest) * WATCHED_MS / 1000 < NEWS_BYTES_MAX;
}

static void
test_crowd(unsigned n)
{
	struct crowd c = {.n = n};
	double rest, joining, leaving;
	unsigned join, removal, limit = 2 * (unsigned)ceil(log2(n));
	struct member m;
	uint64_t before, began;

	crowd_size = n;
	c.all = nodes_new(&(struct nodes_opts){.n = n,
					       .linked = linked,
					       .latency_ms = LATENCY_MS,
					       .agents_only = true,
					       .members = n - 1});
	nodes_run(c.all, WATCHED_MS);
	is_int(taken_for_dead(&c), n - 1, "%u members: only the one to come is not there", n);
	before = sent(&c);
	began = nodes_now(c.all);
	nodes_run(c.all, WATCHED_MS);
	rest = rate(&c, before, began);

	newcomer(&c, &m);
	join = rounds(&c, 0, &m, &joining);
	is_int(taken_for_dead(&c), 0, "nobody is taken for dead");
	m = *entry(&c, 0);
	members_removal(&m, "n2", nodes_wall(c.all));
	removal = rounds(&c, 1, &m, &leaving);

	snprintf(c.name, sizeof(c.name), "n%u", n / 2);
	machine_stop(nodes_at(c.all, n / 2 - 1));
	began = nodes_now(c.all);
	ok(nodes_until(c.all, all_say_dead, &c, SETTLE_MS), "all notice who died");
	diag("%3u members: a join is known after %u rounds, a removal after %u, a death after %.1f "
	     "s; "
	     "a member sends %.0f bytes/s at rest, %.0f in the minute of a join, %.0f in that of a "
	     "removal",
	     n, join, removal, (double)(nodes_now(c.all) - began) / 1000, rest, joining, leaving);
	ok(join <= limit && removal <= limit, "in at most %u rounds", limit);
	ok(costs_little(joining, rest) && costs_little(leaving, rest), "news costs little");
	ok(rest < NEIGHBOURS * REST_BYTES_MAX, "rest costs little");
	nodes_free(c.all);
}

int
main(void)
{
	const char *max = getenv("CROWD_MAX");
	unsigned largest = max != NULL ? (unsigned)strtoul(max, NULL, 10) : 200;

	for (unsigned n = 8; n < largest; n *= 2)
		test_crowd(n);
	test_crowd(largest);
	return tap_done();
}
