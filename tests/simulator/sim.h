/* SPDX-License-Identifier: BSD-2-Clause */
/* A whole cluster in one process: machines, streams between them, users, faults; all from a seed.
 */
#ifndef MIMEO_TESTS_SIMULATOR_SIM_H
#define MIMEO_TESTS_SIMULATOR_SIM_H

#include "agent/exchange.h"
#include "agent/node.h"
#include "tests/simulator/proc.h"
#include "watcher/core.h"

#define SIM_HOSTS_MAX 7
#define SIM_MS UINT64_C(1000000)
#define SIM_S UINT64_C(1000000000)
#define SIM_EPOCH_NS INT64_C(1700000000000000000)
#define NEVER UINT64_MAX

struct sim;
struct ledger;
struct image;

/* What may go wrong in this history. Odds are "once in so many"; 0: never. */
struct faults {
	unsigned agent_kill; /* between any two effects */
	unsigned watcher_kill;
	unsigned power_cut; /* instead of a user's action */
	unsigned cut_link;  /* at a delivery */
	unsigned race;      /* a user is faster, between any two effects of the agent */
	unsigned lose_sync; /* one sync fails, instead of a user's action */
	unsigned full;      /* disk full for a while, or room again, instead of a user's action */
	unsigned jump;      /* a clock is set, instead of a user's action */
	/* The rest only in wild histories. */
	unsigned wild;         /* something of wild.c, instead of a user's action */
	unsigned tombstones_s; /* how long deletes are remembered; 0: the default */
	unsigned deletes_max;  /* of the brake; 0: the default */
	int64_t grain_ns;      /* of the file systems' times */
	size_t events_max;     /* of the queue of watch events */
	uint64_t slow_ns;      /* longest job */
	uint64_t latency_ns;
};

struct host {
	struct sim *sim;
	unsigned index;
	char name[8];
	struct settings *conf;
	struct log *log; /* NULL: silent */
	struct disk *disk;
	struct logdisk *wal;
	uint64_t marker;
	bool root_gone;
	int64_t wall_ns, wall_offset_ns;
	struct proc agent, watcher;
	struct node *node;
	struct core *core;
	struct watch *watch;
	uint64_t agent_at_ns, watcher_at_ns;       /* next turn */
	uint64_t agent_start_ns, watcher_start_ns; /* when it is started again */
	uint64_t events_at_ns;
	int parsed_file;
	size_t parsed; /* of the WAL, into the ledger */
	uint64_t news; /* entries among them, but for deletes that are forgotten */
	struct dotset said_have, said_acked; /* to anybody */
	bool in_user;                        /* a user's action is under way */
	bool expect_fatal;                   /* a failure was injected that ends a process */
	bool power_due;                      /* the power is about to go */
	bool lost_sync;       /* some sync failed: what is on the disk is anybody's guess */
	char shown_path[512]; /* where the agent has put something just now */
	struct inode *shown;
	struct user_write *writes;              /* files that a user has open */
	const struct peer *peer[SIM_HOSTS_MAX]; /* as far as they were looked up */
	struct tree_log noted;                  /* the tree's note of the WAL */
	struct image *image;                    /* a copy of tree and WAL, made earlier */
	struct inode *hidden_root;              /* while the root is not mounted */
};

/* One connection. Direction 0: from the dialler. */
struct conn {
	struct host *host[2];
	struct link *link[2];
	struct buf pipe[2];
	struct buf raw[2];  /* of a liar: a part of a frame */
	struct buf said[2]; /* the same, on its way to the referee */
	uint64_t at_ns[2];
	bool eof[2]; /* the sender of this direction is gone */
	struct conn *next;
};

struct sim {
	uint64_t seed;
	struct rng rng;      /* of the machinery */
	struct rng user_rng; /* of what users do */
	uint64_t now_ns;
	unsigned n;
	struct host *host[SIM_HOSTS_MAX];
	struct conn *conns;
	uint64_t dial_ns[SIM_HOSTS_MAX][SIM_HOSTS_MAX];
	uint64_t dial_look_ns; /* when it is looked at again who wants to dial */
	bool parted[SIM_HOSTS_MAX][SIM_HOSTS_MAX];
	bool dialled[SIM_HOSTS_MAX][SIM_HOSTS_MAX]; /* there is a connection, from the first */
	struct faults faults;
	struct ledger *ledger;
	unsigned races; /* how often a user was faster */
	struct rng wild_rng, lie_rng;
	struct host *liar;     /* one whose word cannot be trusted; NULL: none */
	bool brief;            /* few machines, few acts, and more often faults */
	bool wild;             /* with what wild.c does */
	bool clash;            /* and a name may be a file here and a directory there */
	bool restored;         /* some WAL was replaced by an older one, or lost */
	bool bereft;           /* and with it the last copy of something */
	bool expels;           /* somebody was expelled, now or earlier */
	struct host *expelled; /* by the others, which do not remember it */
	bool calm;             /* nothing goes wrong any more */
	bool verbose, failed;
	uint64_t hash, steps, events;
	const bool *skip; /* of what happens, what is left out; NULL: nothing */
	uint64_t nskip, happened;
	bool tell; /* what happens */
	/* Of a small history: what is done, and before which effect of any process it ends. */
	struct small {
		bool on, power; /* power: the whole machine ends, without what was not durable */
		unsigned code;
		uint64_t crash_at, effects;
	} small;
	uint64_t next_token; /* every content that is ever written is another one */
	char why[1024];
};

__attribute__((format(printf, 2, 3))) void sim_trace(struct sim *s, const char *fmt, ...);
__attribute__((format(printf, 2, 3))) void sim_event(struct sim *s, const char *fmt, ...);
/* Something would happen now. Does it? Not when a history is being shrunk, and goes on without. */
bool sim_happens(struct sim *s);
/* The first one counts. */
__attribute__((format(printf, 2, 3))) void sim_fail(struct sim *s, const char *fmt, ...);

/* host.c */
void host_init(struct host *h, struct sim *s, unsigned index);
void host_free(struct host *h);
/* One thing that is due on this machine. False: nothing is. */
bool host_step(struct host *h);
uint64_t host_next_ns(const struct host *h);
void host_kill(struct host *h, enum proc_kind kind);
void host_power_cut(struct host *h);
void host_stop(struct host *h); /* both programs end */
bool host_quiet(const struct host *h);

/* net.c */
bool net_step(struct sim *s);
uint64_t net_next_ns(const struct sim *s);
void net_cut(struct conn *c);
void net_host_down(struct host *h); /* its agent is gone */
void net_free(struct sim *s);

/* user.c */
#define USER_KINDS 12
void user_act(struct host *h, uint64_t what, struct rng *rng);
/* At that path, where a program of ours is at work. */
void user_meet(struct host *h, const char *path, struct rng *rng);
void user_swap(struct host *h, struct rng *rng);
#define USER_SMALL_KINDS 3
void user_small(struct host *h, unsigned what, struct rng *rng); /* at one path */
void user_close(struct host *h);  /* whatever is still open for writing */
void user_forget(struct host *h); /* the same, by a power cut */
void user_survey(struct host *h); /* whatever is in the tree now may be logged */

/* wild.c: what befalls whole machines. Which of it: `what`. */
#define WILD_KINDS 12
void wild_act(struct host *h, uint64_t what, struct rng *rng);
/* Everything that is still amiss is put right; true: nothing is. */
bool wild_heal(struct sim *s);
/* Is all that is not settled for want of content that is on no disk any more? */
bool wild_bereft(struct sim *s);
void wild_free(struct host *h);

/* lie.c: bytes of a liar's session are on their way out, direction d. */
void lie_put(struct conn *c, int d, const uint8_t *bytes, size_t len);

/* ledger.c: what was logged by whom, and whether it still makes sense */
struct ledger *ledger_new(struct sim *s);
void ledger_free(struct ledger *l);
/* A path of this machine's tree was changed by a user. */
void ledger_touch(struct ledger *l, const struct host *h, const char *path);
/* Content as it lies at a path, closed. */
void ledger_seen(struct ledger *l, const struct host *h, const char *path, const struct inode *i);
/* One of our programs is about to look at it. */
void ledger_looked(struct ledger *l, const struct host *h, const char *path);
/* The agent changed what a path shows. */
void ledger_moved(struct ledger *l, const struct host *h, const char *path);
/* It did so by an exchange. */
void ledger_exchanged(struct ledger *l, const struct host *h, const char *path,
		      const struct inode *in, const struct inode *out);
/* The WAL grew up to that size. */
void ledger_appended(struct ledger *l, const struct host *h, size_t end);
/* Unlikely many files are old ones; this one is at a path. It may be logged when that is meant. */
void ledger_old(struct ledger *l, const struct host *h, const char *path, const struct inode *i);
/* Does the log say durably that there is a file, and does nobody contradict? */
bool ledger_claimed(struct ledger *l, const struct host *h, const char *path);
void ledger_accepted(struct ledger *l, const struct host *h);
/* Is nothing acknowledged here that is not applied? */
void ledger_acks(struct ledger *l, const struct host *h);
/* A record leaves. */
void ledger_sent(struct ledger *l, const struct host *h, struct dot dot);
/* The WAL became durable up to its end. */
void ledger_read(struct ledger *l, struct host *h, const struct buf *file, int number);
/* A machine came back: does it still know what it had said? */
void ledger_back(struct ledger *l, struct host *h);
/* An agent ends: what it has said is remembered. */
void ledger_said(struct ledger *l, struct host *h);
/* The WAL was replaced by another one, which ends there; or is lost (size 0). */
void ledger_replaced(struct ledger *l, struct host *h, size_t size);
/* Does some file below have that content? */
bool ledger_hash_below(const struct inode *dir, const uint8_t *hash);
/* Of some record that was logged; none: there is none. */
struct dot ledger_some_dot(const struct ledger *l, uint64_t luck);
/* A stale file lies at a path of a machine that is new. */
void ledger_stale(struct ledger *l, const struct host *h, const char *path, const struct inode *i);
/* What lay on one machine may now lie on another. */
void ledger_cloned(struct ledger *l, const struct host *from, const struct host *to);
/* The power is about to go: is durable what the log says? */
void ledger_power(struct ledger *l, struct host *h);
/* Anything may have changed at any path. */
void ledger_changed(struct ledger *l, struct host *h);
/* At rest: everything that was logged is where it belongs. */
void ledger_check(struct ledger *l);
void ledger_check_honest(struct ledger *l); /* what holds whatever a member says */
size_t ledger_records(const struct ledger *l);

#endif
