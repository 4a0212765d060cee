/* SPDX-License-Identifier: BSD-2-Clause */
/* What paths were at some time, or would be without what one node wrote: from the log, and from
 * what the members keep. */
#ifndef MIMEO_AGENT_PAST_H
#define MIMEO_AGENT_PAST_H

#include "agent/node.h"

/*
 * A path is looked at if what it has now came after that time. Its versions are gathered: those of
 * the index, those of the log file and of the generation before it (STATE/wal, STATE/wal.prev), and
 * those that past_learn is told, which other nodes keep. What is taken away of them are those that
 * came after `time_ms` or, with `node`, those that this node wrote since. The past of the path is
 * what wins among the others.
 *
 * Compaction forgets versions that were superseded, and a node that was away never saw them. So
 * that nothing is guessed: the contexts of the versions that were taken away name all that their
 * authors had. The past is known only if each of those is at hand, older than one that is, or taken
 * away too.
 */
#define PAST_BYTES_MAX (256ull * 1024 * 1024) /* of versions; then past_step is -E2BIG */
#define PAST_STEP_BYTES (1u << 20)            /* of the log, in one step */
#define PAST_STEP_RECORDS 20000               /* of the index, in one step */

struct past_want {
	uint64_t time_ms; /* wall clock; the last millisecond that counts, or with node the first */
	const char *node; /* NULL: whoever wrote it */
	const char *const *paths; /* they and what is below them; terminated */
	size_t npaths;            /* 0: everything */
};

struct past;

/* want is borrowed, with all it points to. -ENOMEM. */
NODISCARD int past_new(struct node *n, const struct past_want *want, struct past **out);
void past_free(struct past *p);
/* 1: there is more to do; 0: the log was read; -E2BIG, -ENOMEM, or an errno of the log's files. */
NODISCARD int past_step(struct past *p);
/*
 * A version that somebody keeps, since it was displaced (wall clock; 0: not known). Of other paths
 * than those that are looked at it is ignored. -E2BIG, -ENOMEM.
 */
NODISCARD int past_learn(struct past *p, const struct record *r, uint64_t since_ms);
/* Wall ms from which on the log knows everything that this node learnt of. */
uint64_t past_begins(const struct past *p);

struct past_path {
	const char *path; /* terminated */
	size_t len;
	/* With `node`: it wrote here since, but what wins now is somebody else's. */
	bool overtaken;
};
/* NULL: no more. In no order. */
const struct past_path *past_at(const struct past *p, size_t i);

/* The k-th version that was gathered of the path, in no order; NULL: no more. Borrowed from p. */
const struct record *past_version(const struct past *p, size_t i, size_t k);

enum past_known {
	PAST_KNOWN,
	PAST_PROBABLE, /* a version is missing, but the one that is meant was shown at that time,
			  says who keeps it: unless somebody who keeps it longer did not answer */
	PAST_UNKNOWN,
};
/* *was: the version, borrowed from p until past_learn; NULL: nothing was there. -ENOMEM. */
NODISCARD int past_was(const struct past *p, size_t i, const struct record **was,
		       enum past_known *known);

#endif
