/* SPDX-License-Identifier: BSD-2-Clause */
/* Whole nodes in one process: the objects of both daemons on real directories. Clock, WAL, workers
 * and connections are the test's, and calls of the C library fail on request. */
#ifndef MIMEO_TESTS_UNIT_NODES_H
#define MIMEO_TESTS_UNIT_NODES_H

#include "agent/node.h"
#include "tests/simulator/log.h"
#include "watcher/core.h"

#define NODES_MAX 256
#define NODES_PATH_BYTES 256

/* ---- faults: calls of the C library that an agent makes ---- */

enum fault_class {
	FAULT_NONE,
	FAULT_OPEN,
	FAULT_STAT,
	FAULT_RENAME,
	FAULT_UNLINK,
	FAULT_MKDIR, /* and symlinkat */
	FAULT_META,  /* mode, owner, mtime */
	FAULT_READ,
	FAULT_WRITE, /* and ftruncate */
	FAULT_LIST,
	FAULT_SYNC,
	FAULT_SPACE,
	FAULT_MEMORY,
	FAULT_CLASSES
};

struct nodes;
struct machine;

#define FAULT_FLIP (-1) /* bytes are read, and one of them is another one */

struct fault {
	enum fault_class class;
	unsigned at;   /* the at-th call (from 1) fails ... */
	unsigned last; /* ... and so do those up to this one */
	int error;     /* errno; of FAULT_READ also FAULT_FLIP */
	bool kill;     /* the process is killed just before that call: no later one does anything */
	bool after;    /* FAULT_RENAME: just behind it instead */
	/* Somebody does something just before each of these calls; NULL: nobody. With error 0 and
	 * without kill that is all. */
	void (*before)(struct machine *m);
};

const char *fault_name(enum fault_class c);

/* ---- the nodes ---- */

struct nodes_opts {
	unsigned n;       /* 1..NODES_MAX */
	const char *more; /* of the configuration, after sections node, watch, sync; NULL */
	/* For crowds. Which pairs (i < k) ever have a connection; NULL: all. */
	bool (*linked)(unsigned i, unsigned k);
	unsigned latency_ms; /* of every connection, one way */
	bool agents_only;    /* no watchers, so nobody writes */
	unsigned members;    /* so many are members of all at first; 0: all. The rest know all. */
};

/* Everything lies below a directory of its own, which nodes_free removes. */
struct nodes *nodes_new(const struct nodes_opts *o);
void nodes_free(struct nodes *all);
struct machine *nodes_at(struct nodes *all, unsigned i);
uint64_t nodes_now(const struct nodes *all);

/* So much time goes by. */
void nodes_run(struct nodes *all, uint64_t ms);
/* The same, without anybody having had a turn meanwhile: sessions are over. */
void nodes_jump(struct nodes *all, uint64_t ms);
uint64_t nodes_wall(const struct nodes *all);
/* Their wall clocks, which begin with this machine's and run faster, are set to its time again. */
void nodes_set_wall(struct nodes *all);
/* Until nothing is under way, and all that are connected hold and have applied the same. False: not
 * within so much time. */
bool nodes_settle(struct nodes *all, uint64_t ms);
/* Until f is true. */
bool nodes_until(struct nodes *all, bool (*f)(void *arg), void *arg, uint64_t ms);
/* No connections, or connections again. */
void nodes_part(struct nodes *all, bool parted);
/* Are the trees the same: names, kinds, modes, mtimes, contents, targets? Says what differs. */
bool nodes_same(struct nodes *all);

/* One tree, as nodes_same compares it, but for the mtimes: sorted lines, to be freed. */
char *nodes_listing(const struct machine *m);

/* Of one of them. */
struct node *machine_node(struct machine *m); /* NULL: it does not run just now */
struct core *machine_core(struct machine *m);
struct logdisk *machine_wal(struct machine *m);
struct settings *machine_conf(struct machine *m);
/* Writes the WAL to the state directory, for those who read the file. */
void machine_save_wal(struct machine *m);
/* The WAL becomes these bytes, a copy of an earlier time; both daemons are stopped. */
void machine_old_wal(struct machine *m, const struct buf *bytes);
const struct buf *machine_wal_bytes(const struct machine *m);
/* Both daemons end, or start again. */
void machine_stop(struct machine *m);
void machine_start(struct machine *m);
void machine_kill_agent(struct machine *m);
/* What it sends does not arrive, from now on or not any more. */
void machine_mute(struct machine *m, bool mute);
uint64_t machine_sent(const struct machine *m); /* bytes to all peers, since ever */
/* Its agent meets this from now on; NULL: no more. Returns how many calls of the class were seen.
 */
unsigned machine_fault(struct machine *m, const struct fault *f);
/* The test itself calls for that agent, which meets its fault in it. */
void machine_meets(struct machine *m, bool on);
/* Did it happen? */
bool machine_faulted(const struct machine *m);
/* What its programs have said since it was last forgotten: lines. */
const char *machine_said(const struct machine *m);
void machine_forget(struct machine *m);
/* Why its agent ended the last time; 0: it did not. */
int machine_fatal(const struct machine *m, const char **what);
unsigned machine_deaths(const struct machine *m);

/* A user of it. Paths are below its root; what fails ends the test. */
void user_write(struct machine *m, const char *path, const void *bytes, size_t len);
/* size bytes that no other id has; a part of them differs with version. */
void user_fill(struct machine *m, const char *path, unsigned id, unsigned version, size_t size);
void user_mkdir(struct machine *m, const char *path);
void user_link(struct machine *m, const char *target, const char *path);
void user_move(struct machine *m, const char *from, const char *to);
void user_remove(struct machine *m, const char *path); /* a file, a link, an empty directory */
void user_chmod(struct machine *m, const char *path, unsigned mode);
void user_touch(struct machine *m, const char *path, int64_t mtime_ns);
/* Does it show this? bytes NULL: nothing at all. */
bool user_sees(struct machine *m, const char *path, const void *bytes, size_t len);
bool user_sees_fill(struct machine *m, const char *path, unsigned id, unsigned version,
		    size_t size);
/* Is that content anywhere: in a tree, in a store? */
bool nodes_have_fill(struct nodes *all, unsigned id, unsigned version, size_t size);
const char *machine_root(const struct machine *m);
const char *machine_work(const struct machine *m);

#endif
