/* SPDX-License-Identifier: BSD-2-Clause */
/* Makes staged bytes and changed directories durable, in rounds: what comes while one round runs
 * shares the next. */
#ifndef MIMEO_AGENT_SYNCER_H
#define MIMEO_AGENT_SYNCER_H

#include "conf/tree.h"

struct work;
struct syncer;

#define SYNCER_EACH_MAX                                                                            \
	4 /* up to so many files a round are synced one by one; above it one syncfs does all */
#define SYNCER_DIRS_MAX 8 /* the same for directories */

enum sync_kind { SYNC_FILE, SYNC_DIRS };

struct sync_job {
	enum sync_kind kind;
	struct tfile *file;    /* SYNC_FILE: borrowed until done */
	const uint8_t *dir[2]; /* SYNC_DIRS: up to two tree directories, borrowed until done; NULL:
				  unused */
	size_t dir_len[2];
	bool stage, kept; /* SYNC_DIRS: the stage and kept directories too */
	void (*done)(struct sync_job *j,
		     int error); /* 0, or the failed sync's errno (negative): never retried */
	struct sync_job *next;
};

struct syncer *syncer_new(struct tree *tree, struct work *work);
void syncer_free(struct syncer *s);
void syncer_add(struct syncer *s, struct sync_job *j);
/* While a large file is being staged, syncfs would wait for it: rounds then sync one by one.
 * Counted. */
void syncer_large(struct syncer *s, int open_or_close);

#endif
