/* SPDX-License-Identifier: BSD-2-Clause */
/* The records in one file of the log, read beside the log itself: those too that were superseded.
 */
#ifndef MIMEO_AGENT_LOGFILE_H
#define MIMEO_AGENT_LOGFILE_H

#include "proto/entry.h"
#include "proto/walscan.h"

#define LOGFILE_CURRENT "wal"
#define LOGFILE_PREVIOUS "wal.prev" /* the generation before */

/* A file as it was when it was opened: what is appended, or takes its name, later does not matter.
 */
struct logfile {
	int fd; /* -1: not open */
	uint64_t generation, created_ms;
	uint64_t at; /* of the next frame */
	bool ended;
	struct walscan scan;
	struct buf one; /* what logfile_entry read */
};

void logfile_init(struct logfile *f);
/* -ENOENT, -EBADMSG: it is no log; or what the device says. */
NODISCARD int logfile_open(struct logfile *f, const char *state, const char *name);
void logfile_close(struct logfile *f);
/* No byte from `end` on is looked at. */
void logfile_cut(struct logfile *f, uint64_t end);
/*
 * The next entry that has a record: RECORD, KNOWN, or a KEPT that somebody logged. 1, *at is its
 * place, and e is to be entry_clear'ed, and borrows from f until the next call; 0: none begins
 * before `upto`, or none is left: f->ended. A frame that is none is the end: what follows is not
 * durable yet. -ENOMEM, or what the device says.
 */
NODISCARD int logfile_next(struct logfile *f, uint64_t upto, uint64_t *at, struct entry *e);
/* The one at a place that logfile_next told. 1, or -EBADMSG: it is none any more; else as above. */
NODISCARD int logfile_entry(struct logfile *f, uint64_t at, struct entry *e);

#endif
