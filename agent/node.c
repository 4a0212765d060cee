/* SPDX-License-Identifier: BSD-2-Clause */
/* The agent's parts and how they are wired. */
#include "config.h"

#include "agent/node.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/apply.h"
#include "agent/brake.h"
#include "agent/collect.h"
#include "agent/compare.h"
#include "agent/commit.h"
#include "agent/exchange.h"
#include "agent/fetch.h"
#include "agent/gossip.h"
#include "agent/hints.h"
#include "agent/keepers.h"
#include "agent/merge.h"
#include "agent/miss.h"
#include "agent/catchup.h"
#include "agent/scrub.h"
#include "agent/serve.h"
#include "agent/store.h"
#include "agent/syncer.h"
#include "conf/ignore.h"
#include "proto/hlc.h"
#include "proto/seeded.h"

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
on_record(void *arg, struct irec *rec, bool own)
{
	struct node *n = arg;

	brake_record(n->brake, rec, own);
	exchange_record(n->exchange, rec->r, own);
}

static void
on_answer(void *arg, const struct entry *e)
{
	struct node *n = arg;

	buf_reset(&n->held_back);
	buf_put(&n->held_back, e->blob, e->blob_len);
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

static void
full(void *arg, int error)
{
	struct node *n = arg;

	LOG(n->log, LOG_ERROR, "wal.full", "no room for the WAL: nothing is applied until there is",
	    log_s("state", n->conf->state), log_err(error));
	errors_add(n->errors, n->wall_ms, "", "nospace", NULL, 0, "no room for the WAL");
}

static uint64_t
index_lsn(void *arg)
{
	struct node *n = arg;

	return n->index->lsn;
}

/* A version of another node is applied: how long was it under way? */
static void
count_applied(struct node *n, const struct entry *e)
{
	const struct pathent *ent = index_find(n->index, e->path, e->path_len);
	const struct irec *i = ent != NULL ? index_record(ent, e->dot) : NULL;
	const struct origin *o = index_origin(n->index, e->dot.origin);

	if (i == NULL || o == NULL || index_own(n->index, e->dot.origin))
		return;
	n->counts.applied++;
	if (n->applied != NULL && (e->flags & (APPLIED_SHOWN | APPLIED_ABSENT)) != 0)
		n->applied(n->arg, i->r, o->node);
	if (record_live(i->r))
		n->counts.applied_bytes += i->r->size;
	if (!record_import(i->r))
		counts_spread(&n->counts, (int64_t)(n->wall_ms - hlc_ms(i->r->hlc)) +
						  exchange_clock_offset(n->exchange, o->node));
}

static int
fold(void *arg, const struct entry *e)
{
	struct node *n = arg;
	const struct wal_info *info = wal_info(n->wal);

	if (e->type == ENTRY_APPLIED && n->exchange != NULL)
		count_applied(n, e);
	/* The watcher has hashed every file: nothing is uncertain any more. */
	if (e->type == ENTRY_SCANNED && e->num != 0 && info->salvaged &&
	    info->size >= info->snapshot_end)
		n->rehashed = true;
	if (e->type == ENTRY_AWAIT && n->exchange != NULL)
		exchange_await(n->exchange);
	return index_fold(n->index, e);
}

static void
note(void *arg, const char *event, const char *text)
{
	struct node *n = arg;

	/* What was not finished when a process was killed was never said to be durable. */
	if (strcmp(event, "wal.torn") == 0) {
		LOG(n->log, LOG_INFO, "wal.torn", text);
		return;
	}
	LOG(n->log, LOG_WARN, event, text);
	errors_add(n->errors, n->wall_ms, "", "wal", NULL, 0, text);
}

static int
snapshot(void *arg, bool first, struct buf *out)
{
	struct node *n = arg;

	if (first)
		n->snapshot = (struct index_snapshot){0};
	return index_snapshot(n->index, &n->snapshot, out);
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
	struct commit_owner owner = {n, durable, fatal, index_lsn, full};

	n->commit = commit_new(n->wal, n->work, &owner);
	n->syncer = syncer_new(n->tree, n->work);
	n->gossip = gossip_new(n);
	n->exchange = exchange_new(n);
	n->serve = serve_new(n);
	n->fetch = fetch_new(n);
	n->apply = apply_new(n);
	n->kept = store_new(n);
	n->brake = brake_new(n);
	n->merge = merge_new(n);
	n->scrub = scrub_new(n);
	n->collect = collect_new(n);
	n->catchup = catchup_new(n);
	if (n->exchange != NULL)
		n->miss = miss_new(n);
	if (n->commit == NULL || n->syncer == NULL || n->exchange == NULL || n->serve == NULL ||
	    n->fetch == NULL || n->apply == NULL || n->kept == NULL || n->brake == NULL ||
	    n->merge == NULL || n->scrub == NULL || n->collect == NULL || n->miss == NULL ||
	    n->gossip == NULL || n->catchup == NULL)
		return -ENOMEM;
	keepers_listen(n);
	compare_listen(n);
	commit_compaction(n->commit, snapshot, n, wall_ms);
	return 0;
}

/* What was left aside because it was ignored, and is not any more. */
static void
take_up_ignored(struct node *n)
{
	for (struct pathent *e = n->index->root; e != NULL; e = index_walk(e))
		if (!dot_none(e->left) && !node_ignored(n, e->path, e->path_len, false))
			index_unleave(n->index, e);
}

/* The index was built before the parts were there: they are told now. */
static void
connect_parts(struct node *n)
{
	struct index *x = n->index;

	x->arg = n;
	x->on_todo = on_todo;
	x->on_settled = on_settled;
	x->on_record = on_record;
	x->on_answer = on_answer;
	x->on_member = on_member;
	for (size_t i = 0; i < x->nmembers; i++)
		exchange_member(n->exchange, &x->members[i]);
	for (struct pathent *e = index_todo_first(x); e != NULL; e = e->todo_next)
		apply_todo(n->apply, e);
	take_up_ignored(n);
	brake_start(n->brake);
	apply_recover(n->apply);
	exchange_durable(n->exchange, x->lsn);
}

static int
open_wal(struct node *n, const struct node_opts *o)
{
	struct wal_user user = {n, fold, note};
	const struct wal_info *i;
	struct tree_log now;
	int r;

	n->wal = wal_new(o->dev, &user);
	if (n->wal == NULL)
		return -ENOMEM;
	r = wal_open(n->wal);
	if (r < 0)
		return r;
	i = wal_info(n->wal);
	n->store = i->store;
	now = (struct tree_log){.store = i->store, .generation = i->generation, .size = i->size};
	n->old_log = tree_log_newer(&o->seen, &now);
	return 0;
}

/*
 * The log is an old copy: what the tree shows and the log does not know is no news. The watcher
 * sees that by the log's length, too, unless this program has made it grow before: so it is put
 * into the log before anything else. Over once a scan was logged since.
 */
static void
first_scan_again(struct node *n, const struct node_opts *o)
{
	uint64_t scanned = n->index->scanned_ms;

	if (!n->old_log || scanned == 0 || (int64_t)scanned > o->seen.when_ms ||
	    SEEDED(backup_trusted))
		return;
	LOG(n->log, LOG_WARN, "start.backup",
	    "the WAL is an older copy than the one the tree has seen: what differs is taken on as "
	    "in a first scan");
	commit_put(n->commit, &(struct entry){.type = ENTRY_SCANNED});
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
	n->hints = hints_new();
	n->index = index_new(node_random(n), o->conf->name);
	if (n->errors != NULL && n->hints != NULL && n->index != NULL)
		r = open_wal(n, o);
	if (r == 0)
		r = make_parts(n);
	if (r < 0) {
		node_close(n);
		return r;
	}
	first_scan_again(n, o);
	connect_parts(n);
	*out = n;
	return 0;
}

#define NOTE_MS 1000 /* so often the tree's own note of the WAL is renewed, if it grew */

/* So that a WAL that comes from a backup is seen to be older than the tree. */
static void
note_log(struct node *n, bool now)
{
	const struct wal_info *i = wal_info(n->wal);
	struct tree_log log = {.store = i->store, .generation = i->generation, .size = i->size};

	if (n->noted_size == i->size || (!now && n->now_ms < n->noted_ms + NOTE_MS) ||
	    n->halted != 0 || !commit_idle(n->commit))
		return;
	n->noted_ms = n->now_ms;
	n->noted_size = i->size;
	(void)!tree_log_write(n->tree, &log);
}

void
node_close(struct node *n)
{
	if (n == NULL)
		return;
	if (n->commit != NULL && n->wal != NULL)
		note_log(n, true);
	exchange_free(n->exchange);
	merge_free(n->merge);
	scrub_free(n->scrub);
	collect_free(n->collect);
	catchup_free(n->catchup);
	miss_free(n->miss);
	gossip_free(n->gossip);
	apply_free(n->apply);
	fetch_free(n->fetch);
	serve_free(n->serve);
	store_free(n->kept);
	brake_free(n->brake);
	syncer_free(n->syncer);
	commit_free(n->commit);
	if (n->index != NULL)
		n->index->on_free = NULL;
	buf_free(&n->held_back);
	index_free(n->index);
	wal_free(n->wal);
	errors_free(n->errors);
	hints_free(n->hints);
	free(n);
}

/* Until it is compacted a salvaged WAL counts as one in which records may be missing. */
static void
end_salvage(struct node *n)
{
	if (!n->rehashed)
		return;
	n->rehashed = false;
	commit_compact_soon(n->commit);
}

void
node_tick(struct node *n, uint64_t now_ms, uint64_t wall)
{
	n->now_ms = now_ms;
	n->wall_ms = wall;
	commit_tick(n->commit, now_ms);
	fetch_tick(n->fetch);
	end_salvage(n);
	note_log(n, false);
	brake_tick(n->brake);
	apply_tick(n->apply);
	store_tick(n->kept);
	serve_tick(n->serve);
	merge_tick(n->merge);
	scrub_tick(n->scrub);
	collect_tick(n->collect);
	catchup_tick(n->catchup);
	miss_tick(n->miss);
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
	at = earlier(at, brake_deadline(n->brake));
	at = earlier(at, merge_deadline(n->merge));
	at = earlier(at, scrub_deadline(n->scrub));
	at = earlier(at, collect_deadline(n->collect));
	at = earlier(at, catchup_deadline(n->catchup));
	at = earlier(at, serve_deadline(n->serve));
	at = earlier(at, miss_deadline(n->miss));
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

uint64_t
node_barrier(struct node *n)
{
	n->barrier = (n->barrier > n->index->barrier ? n->barrier : n->index->barrier) + 1;
	commit_put(n->commit, &(struct entry){.type = ENTRY_BARRIER, .num = n->barrier});
	return n->barrier;
}

void
node_reconfigured(struct node *n)
{
	take_up_ignored(n);
	store_reconfigured(n->kept);
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
