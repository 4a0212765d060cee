/* SPDX-License-Identifier: BSD-2-Clause */
/* Streams between machines: they split what is sent, keep it for a while, and break. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "proto/bytes.h"
#include "proto/msg.h"
#include "tests/simulator/sim.h"

#define PIPE_BYTES_MAX (256u * 1024)
#define REDIAL_NS (300 * SIM_MS)
#define DIAL_LOOK_NS (SIM_MS / 4)

static void
side_close(struct conn *c, int side, const char *why)
{
	struct link *l = c->link[side];

	if (l == NULL)
		return;
	c->link[side] = NULL;
	c->eof[side] = true; /* direction `side` begins here */
	exchange_closed(l, why);
	c->host[side]->agent.stirred = true;
}

static void
conn_free(struct sim *s, struct conn *c)
{
	struct conn **at = &s->conns;

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	s->dialled[c->host[0]->index][c->host[1]->index] = false;
	side_close(c, 0, "the connection was lost");
	side_close(c, 1, "the connection was lost");
	for (int d = 0; d < 2; d++) {
		buf_free(&c->pipe[d]);
		buf_free(&c->raw[d]);
		buf_free(&c->said[d]);
	}
	free(c);
}

void
net_cut(struct conn *c)
{
	sim_event(c->host[0]->sim, "cut %s - %s", c->host[0]->name, c->host[1]->name);
	conn_free(c->host[0]->sim, c);
}

void
net_host_down(struct host *h)
{
	struct conn *next;

	for (struct conn *c = h->sim->conns; c != NULL; c = next) {
		next = c->next;
		for (int k = 0; k < 2; k++)
			if (c->host[k] == h)
				side_close(c, k, "the process ends");
		if (c->link[0] == NULL && c->link[1] == NULL)
			conn_free(h->sim, c);
	}
}

void
net_free(struct sim *s)
{
	while (s->conns != NULL)
		conn_free(s, s->conns);
}

static bool
ready(const struct host *h)
{
	return h->agent.up && !h->agent.dead && h->node != NULL;
}

/* ---- dialling ---- */

static void
dial(struct sim *s, struct host *a, struct host *b)
{
	struct conn *c;

	if (exchange_peer(a->node->exchange, b->name) == NULL ||
	    exchange_peer(b->node->exchange, a->name) == NULL)
		return;
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		abort();
	sim_trace(s, "%s dials %s", a->name, b->name);
	c->host[0] = a;
	c->host[1] = b;
	c->link[0] = exchange_connect(a->node->exchange, b->name, true);
	c->link[1] = exchange_connect(b->node->exchange, a->name, false);
	if (c->link[0] == NULL || c->link[1] == NULL)
		abort();
	c->next = s->conns;
	s->conns = c;
	s->dialled[a->index][b->index] = true;
	a->agent.stirred = b->agent.stirred = true;
}

/* What a's agent knows of b; kept, as it is asked at every step. */
static const struct peer *
peer_of(struct host *a, const struct host *b)
{
	const struct peer **p = &a->peer[b->index];

	if (a->sim->wild) /* members go and come */
		return exchange_peer(a->node->exchange, b->name);
	if (*p == NULL)
		*p = exchange_peer(a->node->exchange, b->name);
	return *p;
}

static bool
wants_dial(struct host *a, const struct host *b)
{
	const struct peer *p;

	if (a == b || a->sim->dialled[a->index][b->index] || a->sim->parted[a->index][b->index] ||
	    !ready(a) || !ready(b))
		return false;
	p = peer_of(a, b);
	return p != NULL && p->link == NULL;
}

static bool
dial_due(struct sim *s)
{
	if (s->now_ns < s->dial_look_ns)
		return false;
	for (unsigned i = 0; i < s->n; i++)
		for (unsigned k = 0; k < s->n; k++) {
			if (s->now_ns < s->dial_ns[i][k] || !wants_dial(s->host[i], s->host[k]))
				continue;
			s->dial_ns[i][k] = s->now_ns + SIM_MS + rng_delay(&s->rng, REDIAL_NS);
			dial(s, s->host[i], s->host[k]);
			return true;
		}
	s->dial_look_ns = s->now_ns + DIAL_LOOK_NS;
	return false;
}

/* ---- bytes ---- */

/* Nothing leaves before it is durable: looks at the records that go out. */
static void
note_said(struct conn *c, int d, const uint8_t *bytes, size_t len)
{
	struct buf *b = &c->said[d];

	buf_put(b, bytes, len);
	while (b->len >= FRAME_HEADER_BYTES) {
		size_t size = FRAME_HEADER_BYTES + bytes_get_u32(b->data);
		const uint8_t *at = b->data + FRAME_HEADER_BYTES;

		if (b->len < size)
			return;
		if (*at == MSG_RECORD)
			ledger_sent(c->host[d]->sim->ledger, c->host[d],
				    (struct dot){bytes_get_u64(at + 1), bytes_get_u64(at + 9)});
		buf_consume(b, size);
	}
}

/* Some of what the session has for the peer goes into the pipe. */
static bool
pump(struct conn *c, int d)
{
	struct host *h = c->host[d];
	struct sim *s = h->sim;
	const uint8_t *bytes;
	size_t len;

	if (c->link[d] == NULL || h->agent.dead || c->pipe[d].len >= PIPE_BYTES_MAX)
		return false;
	bytes = exchange_output(c->link[d], &len);
	if (len == 0)
		return false;
	if (rng_below(&s->rng, 4) == 0)
		len = 1 + (size_t)rng_below(&s->rng, len);
	if (len > PIPE_BYTES_MAX)
		len = PIPE_BYTES_MAX;
	if (c->pipe[d].len == 0)
		c->at_ns[d] = s->now_ns + rng_delay(&s->rng, s->faults.latency_ns);
	note_said(c, d, bytes, len);
	if (h == s->liar)
		lie_put(c, d, bytes, len);
	else
		buf_put(&c->pipe[d], bytes, len);
	exchange_consumed(c->link[d], len);
	h->agent.stirred = true;
	return true;
}

static bool
deliver(struct conn *c, int d)
{
	struct host *h = c->host[1 - d];
	struct sim *s = h->sim;
	size_t len = c->pipe[d].len, took;

	if (len == 0 || s->now_ns < c->at_ns[d] || h->agent.dead)
		return false;
	if (c->link[1 - d] == NULL) {
		buf_reset(&c->pipe[d]);
		return true;
	}
	if (!exchange_wants_input(c->link[1 - d]))
		return false;
	if (rng_below(&s->rng, 4) == 0)
		len = 1 + (size_t)rng_below(&s->rng, len);
	took = exchange_input(c->link[1 - d], c->pipe[d].data, len);
	buf_consume(&c->pipe[d], took);
	h->agent.stirred = true;
	if (took == 0) {
		c->at_ns[d] = s->now_ns + SIM_MS;
		return false;
	}
	if (rng_below(&s->rng, 4) == 0)
		c->at_ns[d] = s->now_ns + rng_delay(&s->rng, s->faults.latency_ns);
	s->events++;
	return true;
}

/* A session that is over and has said its last words is closed; the other side hears it after them.
 */
static bool
settle(struct conn *c, int side)
{
	char why[256];
	uint8_t code;
	struct host *h = c->host[side];

	if (c->link[side] == NULL || h->agent.dead)
		return false;
	if (exchange_over(c->link[side], why, sizeof(why), &code) &&
	    !exchange_wants_output(c->link[side])) {
		side_close(c, side, why);
		return true;
	}
	if (c->eof[1 - side] && c->pipe[1 - side].len == 0) {
		side_close(c, side, "the connection was closed");
		return true;
	}
	return false;
}

static bool
conn_step(struct sim *s, struct conn *c)
{
	int first = (int)rng_below(&s->rng, 2);

	if (c->link[0] == NULL && c->link[1] == NULL) {
		conn_free(s, c);
		return true;
	}
	if (!s->calm && (s->parted[c->host[0]->index][c->host[1]->index] ||
			 (rng_once_in(&s->rng, s->faults.cut_link) && sim_happens(s)))) {
		net_cut(c);
		return true;
	}
	for (int k = 0; k < 2; k++) {
		int d = first ^ k;

		if (pump(c, d) || deliver(c, d) || settle(c, d))
			return true;
	}
	return false;
}

bool
net_step(struct sim *s)
{
	struct conn *next;

	if (dial_due(s))
		return true;
	for (struct conn *c = s->conns; c != NULL; c = next) {
		next = c->next;
		if (conn_step(s, c))
			return true;
	}
	return false;
}

uint64_t
net_next_ns(const struct sim *s)
{
	uint64_t at = NEVER, dial_ns = NEVER;

	for (const struct conn *c = s->conns; c != NULL; c = c->next)
		for (int d = 0; d < 2; d++)
			if (c->pipe[d].len > 0 && c->at_ns[d] < at)
				at = c->at_ns[d];
	for (unsigned i = 0; i < s->n; i++)
		for (unsigned k = 0; k < s->n; k++)
			if (s->dial_ns[i][k] < dial_ns && wants_dial(s->host[i], s->host[k]))
				dial_ns = s->dial_ns[i][k];
	if (dial_ns < s->dial_look_ns)
		dial_ns = s->dial_look_ns;
	return dial_ns < at ? dial_ns : at;
}
