/* SPDX-License-Identifier: BSD-2-Clause */
/* The agent's parts and how they are wired. */
#include "config.h"

#include "agent/node.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/apply.h"
#include "agent/commit.h"
#include "agent/exchange.h"
#include "agent/fetch.h"
#include "agent/gossip.h"
#include "agent/serve.h"
#include "agent/store.h"
#include "agent/syncer.h"
#include "conf/ignore.h"

/* ---- what the index and the commit tell ---- */

static void
on_todo(void *arg, struct pathent *ent)
{
	struct node *n = arg;

	apply_todo(n->apply, ent);
}

static void
on_settled(void *arg, struct pathent *ent)
{
	struct node *n = arg;

	apply_settled(n->apply, ent);
}

static void
on_answer(void *arg, const struct entry *e)
{
	struct node *n = arg;

	if (n->answered != NULL)
		n->answered(n->arg, e);
}

static void
on_member(void *arg, const struct member *m)
{
	struct node *n = arg;

	gossip_folded(n->gossip, m);
	if (m->removed == 0) /* those who are out stay until it is durable: gossip_durable */
		exchange_member(n->exchange, m);
	if (n->member != NULL)
		n->member(n->arg, m);
}

static void
durable(void *arg, uint64_t lsn)
{
	struct node *n = arg;

	exchange_durable(n->exchange, lsn);
	gossip_durable(n->gossip);
}

static void
fatal(void *arg, const char *what, int error)
{
	struct node *n = arg;

	n->fatal(n->arg, what, error);
}

static uint64_t
index_lsn(void *arg)
{
	struct node *n = arg;

	return n->index->lsn;
}

static int
fold(void *arg, const struct entry *e)
{
	struct node *n = arg;

	return index_fold(n->index, e);
}

static void
note(void *arg, const char *event, const char *text)
{
	struct node *n = arg;

	LOG(n->log, LOG_WARN, event, text);
	errors_add(n->errors, n->wall_ms, "", "wal", NULL, 0, text);
}

static int
snapshot(void *arg, struct buf *out)
{
	struct node *n = arg;
	int r = index_snapshot(n->index, &n->snapshot, out);

	if (r < 0 || out->len == 0)
		n->snapshot = (struct index_snapshot){0};
	return r;
}

static uint64_t
wall_ms(void *arg)
{
	struct node *n = arg;

	return n->wall_ms;
}

/* ---- life ---- */

static int
make_parts(struct node *n)
{
	struct commit_owner owner = {n, durable, fatal, index_lsn};

	n->commit = commit_new(n->wal, n->work, &owner);
	n->syncer = syncer_new(n->tree, n->work);
	n->gossip = gossip_new(n);
	n->exchange = exchange_new(n);
	n->serve = serve_new(n);
	n->fetch = fetch_new(n);
	n->apply = apply_new(n);
	n->kept = store_new(n);
	if (n->commit == NULL || n->syncer == NULL || n->gossip == NULL || n->exchange == NULL ||
	    n->serve == NULL || n->fetch == NULL || n->apply == NULL || n->kept == NULL)
		return -ENOMEM;
	commit_compaction(n->commit, snapshot, n, wall_ms);
	return 0;
}

/* The index was built before the parts were there: they are told now. */
static void
connect_parts(struct node *n)
{
	struct index *x = n->index;

	x->arg = n;
	x->on_todo = on_todo;
	x->on_settled = on_settled;
	x->on_answer = on_answer;
	x->on_member = on_member;
	for (size_t i = 0; i < x->nmembers; i++)
		exchange_member(n->exchange, &x->members[i]);
	for (struct pathent *e = index_todo_first(x); e != NULL; e = e->todo_next)
		apply_todo(n->apply, e);
	apply_recover(n->apply);
	exchange_durable(n->exchange, x->lsn);
}

static int
open_wal(struct node *n, const struct wal_dev *dev)
{
	struct wal_user user = {n, fold, note};
	int r;

	n->wal = wal_new(dev, &user);
	if (n->wal == NULL)
		return -ENOMEM;
	r = wal_open(n->wal);
	if (r == 0)
		n->store = wal_info(n->wal)->store;
	return r;
}

int
node_open(const struct node_opts *o, struct node **out)
{
	struct node *n = calloc(1, sizeof(*n));
	int r = -ENOMEM;

	*out = NULL;
	if (n == NULL)
		return -ENOMEM;
	n->conf = o->conf;
	n->ignore = o->ignore;
	n->log = o->log;
	n->tree = o->tree;
	n->work = o->work;
	n->seed = o->seed;
	n->now_ms = o->now_ms;
	n->wall_ms = o->wall_ms;
	n->arg = o->arg;
	n->fatal = o->fatal;
	n->errors = errors_new();
	n->index = index_new(node_random(n), o->conf->name);
	if (n->errors != NULL && n->index != NULL)
		r = open_wal(n, o->dev);
	if (r == 0)
		r = make_parts(n);
	if (r < 0) {
		node_close(n);
		return r;
	}
	connect_parts(n);
	*out = n;
	return 0;
}

void
node_close(struct node *n)
{
	if (n == NULL)
		return;
	exchange_free(n->exchange);
	gossip_free(n->gossip);
	apply_free(n->apply);
	fetch_free(n->fetch);
	serve_free(n->serve);
	store_free(n->kept);
	syncer_free(n->syncer);
	commit_free(n->commit);
	if (n->index != NULL)
		n->index->on_free = NULL;
	index_free(n->index);
	wal_free(n->wal);
	errors_free(n->errors);
	free(n);
}

void
node_tick(struct node *n, uint64_t now_ms, uint64_t wall)
{
	n->now_ms = now_ms;
	n->wall_ms = wall;
	commit_tick(n->commit, now_ms);
	fetch_tick(n->fetch);
	apply_tick(n->apply);
	store_tick(n->kept);
	serve_tick(n->serve);
	exchange_tick(n->exchange);
	gossip_tick(n->gossip);
}

static uint64_t
earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

uint64_t
node_deadline(const struct node *n)
{
	uint64_t at = earlier(commit_deadline(n->commit), fetch_deadline(n->fetch));

	at = earlier(at, apply_deadline(n->apply));
	at = earlier(at, store_deadline(n->kept));
	at = earlier(at, serve_deadline(n->serve));
	at = earlier(at, gossip_deadline(n->gossip));
	return earlier(at, exchange_deadline(n->exchange));
}

void
node_wal_changed(struct node *n)
{
	commit_poke(n->commit);
}

/* splitmix64: jitter, nonces of a run, names of rescued files. Not for secrets. */
uint64_t
node_random(struct node *n)
{
	uint64_t z = n->seed += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

void
node_reconfigured(struct node *n)
{
	apply_kick(n->apply);
}

void
node_halt(struct node *n, int error, const char *text)
{
	bool was = n->halted != 0;

	n->halted = error;
	snprintf(n->halt_text, sizeof(n->halt_text), "%s", text);
	if (was && error == 0)
		apply_kick(n->apply);
}

bool
node_ignored(const struct node *n, const void *path, size_t len, bool dir)
{
	return n->ignore != NULL && ignore_match(n->ignore, path, len, dir);
}
