/* SPDX-License-Identifier: BSD-2-Clause */
/* One process of a simulated machine: what stands for the kernel below it. The functions of
 * conf/tree.h, conf/work.h and conf/notify.h are defined on it, in place of the real ones. */
#ifndef MIMEO_TESTS_SIMULATOR_PROC_H
#define MIMEO_TESTS_SIMULATOR_PROC_H

#include "conf/durable.h"
#include "conf/tree.h"
#include "conf/work.h"
#include "tests/simulator/disk.h"
#include "tests/simulator/log.h"

struct proc;
struct tfile;

/* tree.c of the simulator */
struct tree {
	struct disk *disk;
	struct proc *proc;
	const bool *root_gone;
	uint64_t *marker; /* store id in the root; 0: none */
	struct tree_log *noted;
	struct durable durable;
};

/* work.c of the simulator: a job runs at one moment and is done at another. */
struct work_slot {
	struct work_job *job;
	uint64_t at_ns; /* not before */
	bool ran;
};
struct work {
	struct proc *proc;
	struct work_slot *slot;
	size_t n, cap;
	unsigned threads;
};

/* notify.c of the simulator: the queue of one inotify instance. */
struct notify {
	struct disk *disk;
	struct disk_event *queue;
	size_t n, cap, limit;
	int last_wd;
	bool overflowed;
};

#define TREE_FD_BASE (1u << 24) /* tree_dirfd: this and the inode number */

enum proc_kind { PROC_AGENT, PROC_WATCHER };

struct proc {
	enum proc_kind kind;
	bool up, dead;
	struct tree tree;
	struct work work;
	struct notify notify;
	struct logdev log;
	struct tfile *files; /* open */
	const uint64_t *now_ns;
	struct rng *rng;
	uint64_t poke_ns; /* when it hears that the WAL grew; UINT64_MAX: no news */
	bool stirred;     /* something happened: a turn is due */
	uint64_t slow_ns; /* how long a job may take */
	char at[512];     /* the path that it is at work on */
	void *arg;
	/* Between any two of its effects. Kills it, or lets somebody else be faster. */
	void (*step)(void *arg, struct proc *p, const char *what);
	/* The agent put this into the tree. */
	void (*shown)(void *arg, struct proc *p, struct inode *i);
	/* The agent is about to take this out of the tree. */
	void (*taken)(void *arg, struct proc *p, struct inode *i, const void *path, size_t len);
	/* It has changed what lies at a path. */
	void (*moved)(void *arg, const void *path, size_t len);
};

/* Does something run or wait to be run or done, as of now? Carries out one such thing. */
bool work_step(struct work *w);
uint64_t work_next_ns(const struct work *w); /* UINT64_MAX: nothing */
/* The process is dead: all jobs fail, and are done. */
void work_drain(struct work *w);

/* The kernel closes what a dead process had open. */
void tree_close_all(struct proc *p);

void notify_init(struct notify *n, struct disk *d, size_t limit);
void notify_drop(struct notify *n);
/* The disk tells. */
void notify_push(struct notify *n, const struct disk_event *e);

#endif
