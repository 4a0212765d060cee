/* SPDX-License-Identifier: BSD-2-Clause */
/* One path on its way to what it should show: shared by apply.c (when), perform.c (how) and
 * recover.c (after a crash). */
#ifndef MIMEO_AGENT_TASK_H
#define MIMEO_AGENT_TASK_H

#include "agent/apply.h"
#include "agent/commit.h"
#include "agent/fetch.h"
#include "agent/plan.h"
#include "agent/syncer.h"
#include "proto/backoff.h"

enum task_state {
	TASK_READY,   /* in the ready queue */
	TASK_WAITING, /* until retry_ms, or until something changes */
	TASK_ACTIVE,  /* has a run */
};

/* The longer part of a task, there only while it is active. */
struct run {
	struct task *task;
	struct plan plan;
	struct record *rec; /* copy of plan.rec's record; NULL if it has none */
	struct record *old; /* copy of what was shown, when it is displaced */
	struct sig old_sig;
	struct pathent *from;     /* ACTION_MOVE: where the content lies now; its task is locked out
				     meanwhile */
	struct record *from_rec;  /* copy of what `from` showed */
	struct dot from_dot;      /* the delete that the move serves */
	enum entry_action action; /* plan.action, or ACTION_MOVE */
	char stage[48];           /* name below work/stage */
	char kept[48];            /* name below work/kept for what was displaced; empty: nothing */
	uint64_t ino;             /* of the staged or moved object */
	struct sig sig;           /* for APPLIED */
	unsigned steps;           /* joins: asynchronous steps still running before the next one */
	int error;                /* first error of those */
	const char *reason;       /* for people, of error */
	bool intent;              /* an INTENT was put and is open */
	bool in_store;            /* what was displaced lies in the store under `kept` */
	bool told_stuck;          /* that it is stuck was said */
	uint64_t displaces;       /* bytes on their way to the trash */
	uint64_t again_ms;        /* stuck behind the rename: tried again then; 0: it is not */
	struct tfile *held;       /* what is about to be renamed: nobody can open it for writing */
	struct fetch_job fetch;
	bool fetching;
	struct sync_job sync_file, sync_dirs;
	struct commit_done done;
	struct commit_locked locked;
	struct work_job probe; /* adopt: hashes what lies at the path */
	struct tfile *probe_file;
	struct record probe_state;
	uint8_t probe_target[RECORD_TARGET_BYTES_MAX];
	struct sig probe_sig;
	int probe_error;
	struct node *node;
};

struct task {
	struct pathent *ent;
	struct run *run;
	enum task_state state;
	const char *reason;
	uint64_t retry_ms; /* WAITING: monotonic; UINT64_MAX: only when something changes */
	struct backoff backoff;
	bool stranded; /* WAITING because no connected peer had the content */
	bool again;    /* something changed while it was active */
	bool dropping; /* its intent's DROPPED is on its way: when it comes, nothing has changed */
	bool open;     /* and until it is durable, a crash finds the intent open */
	struct commit_done closed;
	struct apply *apply;
	bool reserved; /* another task moves this path's file */
	bool wants;    /* in the table of wanted contents, under `content` */
	uint8_t content[RECORD_HASH_BYTES];
	unsigned holds; /* how often this delete has waited for an add of the same content */
	struct task *prev, *next; /* ready queue or waiting list */
};

/* perform.c: carries out run->plan (PLAN_ACT, PLAN_KEEP); ends with task_finish. */
void perform(struct run *r);
/* perform.c: writes KEPT, APPLIED etc. for a rename that happened, syncs the directories first;
 * ends with task_finish. */
void perform_applied(struct run *r);
/* adopt.c: something unknown lies at the path: hash it; if it equals a record that waits here, mark
 * that applied; else wait for the watcher. */
void adopt(struct run *r);

/* apply.c: the DROPPED of its intent was put. What is staged may not go before that is durable, or
 * recovery takes the intent for one that was carried out: until then the path is not worked on. */
void apply_dropped(struct task *t);
/* apply.c: the path is a directory that has to stay for now: looked at again now and then. */
void apply_left(struct apply *a, const struct pathent *ent);
/* apply.c: the rename is done, a step behind it cannot be done now: perform_applied is called again
 * a little later. */
void apply_stuck(struct apply *a, struct run *r);
/* apply.c: the run is over. error 0: done (looked at again if still unsettled); else it waits with
 * back-off and that reason. */
void task_finish(struct run *r, int error, const char *reason);
/* The name of a version below work/kept, and of a displaced file on its way there. */
void task_kept_name(struct dot dot, char out[48]);
void task_out_name(struct dot dot, char out[48]);
/* Owner for a new or replacing object at the path, by sync.owner; -1 cast: leave. (owner.c) */
void task_owner(struct node *n, const struct pathent *ent, const struct record *rec, uint32_t *uid,
		uint32_t *gid);

#endif
