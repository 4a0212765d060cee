/* SPDX-License-Identifier: BSD-2-Clause */
/* The watcher's parts and how they are wired. No descriptor, no clock and no thread of its own:
 * tests drive it through this. */
#ifndef MIMEO_WATCHER_CORE_H
#define MIMEO_WATCHER_CORE_H

#include "conf/notify.h"
#include "conf/settings.h"
#include "conf/tree.h"
#include "conf/work.h"
#include "proto/index.h"
#include "proto/wal.h"
#include "watcher/watch.h"

/* A new node with peers waits so long for one of them before it takes its own files on. */
#define CORE_FIRST_EXCHANGE_MS 60000
#define CORE_AWAIT_MS 2000 /* at each start: so long for what the peers hold to be known */
/* The same when this node, or its log, is from another time: its newest record is so old. */
#define CORE_AWAIT_STALE_MS 10000
#define CORE_STALE_MS 60000
#define CORE_GUARD_MS 2000 /* how often the root is looked at */

struct core;

/*
 * Everything is borrowed and outlives the core. fatal: fail stop, nothing is logged any more.
 * halted: the root is not what it was; text says what is wrong and what to do. After either the
 * owner stops turning.
 */
struct core_opts {
	const struct settings *conf;
	struct log *log;
	const struct wal_dev *dev; /* its WAL exists */
	struct tree *tree;
	struct work *work;
	struct watch *watch;
	uint64_t seed; /* random: hash tables */
	uint64_t now_ms, wall_ms;
	struct tree_log seen; /* how far the log had come that the tree saw; zero: not known */
	void *arg;
	uint64_t (*random)(void *arg); /* this run's origin, should it have something to say */
	void (*fatal)(void *arg, const char *what, int error);
	void (*halted)(void *arg, const char *text);
	/* Hands over every event that waits (core_event). Called when a barrier is found in the
	 * WAL: what was closed before it counts as seen, however early the log was read. */
	void (*drain)(void *arg);
};

struct core_stats {
	uint64_t files;      /* shown by the index */
	uint64_t done;       /* names that the scan has looked at */
	uint64_t total;      /* names that it may have to look at */
	uint64_t dirty;      /* names to look at */
	uint64_t held;       /* files that went back to older versions all at once */
	uint64_t events;     /* that came */
	uint64_t overflows;  /* of the kernel's queue */
	uint64_t hashed;     /* bytes */
	uint64_t records;    /* logged by this run */
	bool scanning, idle; /* idle: no job runs */
};

/* Opens the WAL and builds the index. -errno of wal_open; -ENOMEM. */
NODISCARD int core_open(const struct core_opts *o, struct core **out);
/* Work under way is waited for by work_free, which the caller calls first. NULL is fine. */
void core_close(struct core *c);
/* Is the root as it should be? home_guard's error, with err filled. */
NODISCARD int core_guard(struct core *c, char *err, size_t err_len);
/* Of the tree's watches. */
void core_event(struct core *c, const struct notify_event *e, uint64_t now_ms);
/* The WAL grew (somebody appended). */
void core_wal_changed(struct core *c);
/* Does what is due. Returns when the next turn has to be, at the latest. */
uint64_t core_turn(struct core *c, uint64_t now_ms, uint64_t wall_ms, int64_t wall_ns);
/* The configuration was read again; the caller frees the old one. The tree is scanned. */
void core_reconfigured(struct core *c, const struct settings *conf);
struct core_stats core_stats(const struct core *c);

#endif
