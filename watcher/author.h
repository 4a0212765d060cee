/* SPDX-License-Identifier: BSD-2-Clause */
/* From what was found at a path to what is logged: the decision, without clock or descriptor. */
#ifndef MIMEO_WATCHER_AUTHOR_H
#define MIMEO_WATCHER_AUTHOR_H

#include "conf/tree.h"
#include "proto/index.h"

/* What was found at a path, and when in the index's life. */
struct found {
	const uint8_t *path;
	size_t len;
	struct record
		state;    /* kind, mode, mtime, size, hash, target; KIND_ABSENT: nothing is there */
	struct sig sig;   /* it was found under this signature */
	uint32_t version; /* of the path's entry when the look began; 0 with `unknown` */
	bool unknown;     /* the index did not have the path then */
	bool moved;       /* the content came here by a rename */
	bool import;      /* a first scan found it just so, and it still waits for the agent */
};

struct author {
	struct index *index;
	struct tree *tree;
	const char *node;
	uint64_t store;
	uint64_t origin; /* of this run; 0: not taken yet */
	/*
	 * Random: what origin becomes at the first record, and again (another random number) when
	 * the index has records of the origin that this run did not write: somebody else claims to
	 * be it, and no dot may be used twice.
	 */
	uint64_t next_origin;
	uint64_t (*random)(void *arg);
	void *random_arg;
	uint64_t seq, hlc;
	uint64_t wall_ms;
	bool import;      /* the first scan of a new WAL */
	bool immutable;   /* content-addressed paths keep their content */
	uint64_t records; /* logged so far */
};

enum verdict {
	AUTHOR_NOTHING, /* it is as the index says */
	AUTHOR_ECHO,    /* it is a record that waits here, which the agent marks applied when it
			   comes to the path; should something else supersede that one first, the
			   change is the user's after all: it is looked at again until then */
	AUTHOR_LOGGED,  /* entries were added to the batch */
	AUTHOR_LATER,   /* an intent is open, or it changed since the look: it stays dirty */
	AUTHOR_BELOW, /* a directory that is gone, while the index still shows something in it: that
			 is logged first, or the agent would make the directory again for it */
	AUTHOR_REFUSED, /* too many concurrent versions, or an altered content-addressed file: `why`
			 */
};

/*
 * Decides about one path; the WAL's lock is held exclusively and the index is caught up. Looks once
 * more at the path: the same signature as when it was hashed, the same applied state, no open
 * intent; else LATER. LATER too while a directory above it is not logged: the caller goes from the
 * top down and appends what a directory brought before it goes on.
 */
enum verdict author_decide(struct author *a, const struct found *f, struct buf *batch,
			   const char **why);
/* Did the path go back to an older version: an older file than the one shown, one that is in the
 * store, or one that was deleted? A person may do that, and so does a backup. */
bool author_revert(const struct author *a, const struct found *f);
/* Is it HH/HASH/NAME with HASH the SHA-256 in hex? */
bool author_addressed(const uint8_t *path, size_t len, uint8_t hash[RECORD_HASH_BYTES]);

#endif
