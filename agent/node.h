/* SPDX-License-Identifier: BSD-2-Clause */
/* The agent's parts and how they are wired. No descriptor, no clock and no thread of its own: tests
 * drive whole nodes through this. */
#ifndef MIMEO_AGENT_NODE_H
#define MIMEO_AGENT_NODE_H

#include "agent/counts.h"
#include "agent/errors.h"
#include "conf/log.h"
#include "conf/settings.h"
#include "conf/tree.h"
#include "conf/work.h"
#include "proto/index.h"
#include "proto/wal.h"

struct hints;    /* hints.h: where else members might be found */
struct commit;   /* commit.h: entries become durable */
struct syncer;   /* syncer.h: files and directories become durable */
struct gossip;   /* gossip.h: the member table over the sessions */
struct exchange; /* exchange.h: records, vectors, acknowledgements with all peers */
struct serve;    /* serve.h: content for peers that ask */
struct fetch;    /* fetch.h: content from this node or from peers, into the stage */
struct apply;    /* apply.h: the tree is made to show what the index wants */
struct miss;     /* miss.h: files that are wanted at once */
struct store;    /* store.h: displaced versions and their expiry */
struct merge;    /* merge.h: whole states compared and merged */
struct collect;  /* collect.h: old tombstones go */
struct scrub;    /* scrub.h: files are read again from time to time */
struct catchup;  /* catchup.h: how far this node is with what it has to apply */
struct brake;    /* brake.h: mass deletes are held */

/*
 * Time: now_ms is monotonic, wall_ms the wall clock, both as of the turn under way; node_tick sets
 * them. Every part reads them here.
 */
struct node {
	const struct settings *conf;
	const struct ignore *ignore;
	struct log *log;
	struct errors *errors;
	struct hints *hints;
	struct index *index;
	struct wal *wal;
	struct tree *tree;
	struct work *work;
	struct commit *commit;
	struct syncer *syncer;
	struct exchange *exchange;
	struct gossip *gossip;
	struct serve *serve;
	struct fetch *fetch;
	struct apply *apply;
	struct store *kept;
	struct brake *brake;
	struct merge *merge;
	struct scrub *scrub;
	struct collect *collect;
	struct catchup *catchup;
	struct miss *miss;
	struct index_snapshot snapshot; /* of a compaction under way */
	struct counts counts;           /* since the start, for the metrics */
	uint64_t barrier;               /* the last question to the watcher, folded or not */
	struct buf held_back; /* of its last answer: lines of an escaped path, a tab, why it is not
				 logged */
	uint64_t now_ms;
	uint64_t wall_ms;
	uint64_t seed;                 /* random numbers: node_random */
	uint64_t store;                /* this store's id */
	uint64_t noted_size, noted_ms; /* of the WAL: what tree_log_write was told, and when */
	bool old_log;  /* at the start the tree had seen more of the WAL than there is: an old copy
			*/
	bool rehashed; /* after a salvage: the watcher has hashed every file */
	int halted;    /* 0, or a negative errno of the root guard: nothing is applied */
	char halt_text[256];
	void *arg;                                             /* of the callbacks below */
	void (*fatal)(void *arg, const char *what, int error); /* fail stop */
	void (*answered)(void *arg, const struct entry *e);    /* the watcher answered a barrier */
	void (*acked)(void *arg); /* some peer's acknowledgement moved, or ours did */
	void (*member)(void *arg, const struct member *m); /* an entry was folded */
	/* The path came to show this version, which that other node made; a delete: nothing. */
	void (*applied)(void *arg, const struct record *r, const char *origin);
};

struct node_opts {
	const struct settings *conf;
	const struct ignore *ignore;
	struct log *log;
	const struct wal_dev *dev;
	struct tree *tree;
	struct work *work;
	uint64_t seed;
	uint64_t now_ms, wall_ms;
	struct tree_log seen; /* how far the log had come that the tree saw; zero: not known */
	void *arg;            /* node->arg and node->fatal: needed from the start */
	void (*fatal)(void *arg, const char *what, int error);
};

/*
 * Opens the WAL (it must exist), builds the index and all parts, and starts recovery of open
 * intents. Callbacks may be set after it returns. -errno of wal_open; -ENOMEM.
 */
NODISCARD int node_open(const struct node_opts *o, struct node **out);
/* Stops in good order; work under way is waited for by work_free, which the caller calls first. */
void node_close(struct node *n);
void node_tick(struct node *n, uint64_t now_ms, uint64_t wall_ms);
uint64_t node_deadline(const struct node *n); /* monotonic ms; UINT64_MAX: none */
/* The WAL grew (somebody appended). */
void node_wal_changed(struct node *n);
uint64_t node_random(struct node *n);
/*
 * Asks the watcher whether everything that was closed until now is logged. Returns the question's
 * number: answered once index->answered has reached it. Each question has its own: the answer to
 * an earlier one says nothing about what was closed since.
 */
uint64_t node_barrier(struct node *n);
/* Configuration was read again: n->conf and n->ignore were replaced by the caller. */
void node_reconfigured(struct node *n);
void node_halt(struct node *n, int error, const char *text); /* error 0: not halted any more */
/* Is path ignored by configuration here (its records are stored and relayed, never applied)? */
bool node_ignored(const struct node *n, const void *path, size_t len, bool dir);

#endif
