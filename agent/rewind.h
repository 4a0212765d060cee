/* SPDX-License-Identifier: BSD-2-Clause */
/* Brings paths back to what they were: finds out what that is (past.h), and puts it there as new
 * versions. */
#ifndef MIMEO_AGENT_REWIND_H
#define MIMEO_AGENT_REWIND_H

#include "agent/keepers.h"
#include "agent/past.h"

/*
 * Like a user would: files are put into the tree or leave it for the store, and the watcher logs
 * that as new versions. What is in the tree is changed only while it is what the index shows: a
 * path that somebody changes meanwhile, or whose newest version is not applied here yet, stays.
 * Order: directories, files, deletes, directories that go, and again what those stood in the way
 * of.
 */
#define REWIND_ACTIVE_MAX 8  /* files that are fetched and put back at once */
#define REWIND_STEP_ITEMS 64 /* other changes in one turn */
/* What the agent is changing at that moment itself is tried again, so often and so far apart. */
#define REWIND_ROUNDS_MAX 25
#define REWIND_ROUND_MS 200

enum rewind_act {
	REWIND_NOTHING,
	REWIND_RESTORE, /* the content or the mode of a file or symlink */
	REWIND_DELETE,  /* a file or symlink */
	REWIND_MKDIR,
	REWIND_RMDIR,
	REWIND_MODE, /* of a directory */
};

enum rewind_state {
	REWIND_PLANNED,
	REWIND_DEFERRED, /* tried once; again when the rest is done */
	REWIND_RUNNING,
	REWIND_DONE,
	REWIND_LEFT,    /* on purpose */
	REWIND_UNKNOWN, /* what was there, or its content, cannot be found */
	REWIND_FAILED,
};

struct rewind_item {
	const char *path;
	size_t len;
	enum rewind_act act;
	enum rewind_state state;
	const struct record *was; /* NULL: nothing */
	const char *reason;       /* for people, of LEFT, UNKNOWN, FAILED */
	/* rewind.c's */
	uint8_t kind; /* what the path shows now, enum record_kind */
	struct dot shown;
	const struct keepers *all;
	const struct keepers_found *from;
	struct restore *restore;
};

struct rewind_want {
	struct past_want past;
	bool dry; /* only says what it would do */
};

struct rewind;

/* want is borrowed, with all it points to. -EINVAL: a path that can never be; else as past_new. */
NODISCARD int rewind_new(struct node *n, const struct rewind_want *want, struct rewind **out);
void rewind_free(struct rewind *r); /* stops it where it is; NULL is fine */
/*
 * Goes on. 1: there is more to do now; 2: it waits for others, and is to be called every turn; 0:
 * done. Errors of past_step and past_learn; -ENOMEM. Then nothing further happens.
 */
NODISCARD int rewind_turn(struct rewind *r);
/* Once done, or in case of `dry` planned: by path. NULL: no more. */
const struct rewind_item *rewind_at(const struct rewind *r, size_t i);
/* How many of how many; false: that is not known yet. */
bool rewind_progress(const struct rewind *r, uint64_t *done, uint64_t *total);
/* Wall ms from which on the log of this node knows everything that it learnt of. */
uint64_t rewind_begins(const struct rewind *r);
/* Who did not say what it keeps: as keepers_silent, but of question *k. */
const char *rewind_silent(const struct rewind *r, size_t *k, size_t *i);
/* Did somebody keep more than could be listed? */
bool rewind_cut(const struct rewind *r);

#endif
