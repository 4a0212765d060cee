/* SPDX-License-Identifier: BSD-2-Clause */
/* A file that somebody wants now and that may not be here yet: found here, on its way, or asked of
 * the members; and the answers to members that ask. */
#ifndef MIMEO_AGENT_MISS_H
#define MIMEO_AGENT_MISS_H

#include "agent/exchange.h"

/*
 * Nothing is fetched on behalf of a request: a path that a member has gets its record here, the
 * record is applied like any other, and the request looks on; so any number of requests for one
 * path is one question and one fetch. The question (ASK_PATH, proto/PROTOCOL.md) makes the member
 * log what it has at the path, if it is there and not logged yet, before it answers.
 *
 * Limits: MISS_INQUIRIES_MAX paths asked for at once, MISS_QUESTIONS_MAX questions of members at
 * once; above them MISS_LATE, and CODE_BUSY.
 */
#define MISS_ASK_MS 10000    /* members answer by then, or it is late */
#define MISS_RECORD_MS 10000 /* and the record of what they have comes by then */
#define MISS_NOBODY_MS 1000  /* so long it is believed that nobody has it */
#define MISS_INQUIRIES_MAX 1024
#define MISS_QUESTIONS_MAX 1024
#define MISS_HELD_BYTES (64u * 1024) /* the end of a file is kept back until all is verified */

enum miss_result {
	MISS_HERE,   /* found.file is the whole file */
	MISS_COMING, /* found.file grows: miss_ready says how much may be read */
	MISS_WAIT,   /* nothing to say yet: look again */
	MISS_NOBODY, /* no connected member has it */
	MISS_NEVER,  /* no such name can be, or it is ignored, or is no file */
	MISS_LATE,   /* it cannot be told, or does not come, in time */
};

struct miss_found {
	struct tfile *file; /* the caller closes it */
	uint64_t size;
	int64_t mtime_ns;
	bool hashed; /* hash is that of the content */
	uint8_t hash[RECORD_HASH_BYTES];
	/* MISS_COMING */
	struct dot dot;
	uint64_t job, restarts;
};

struct miss *miss_new(struct node *n); /* NULL: out of memory */
/* After exchange_free: open questions end with their links. NULL is fine. */
void miss_free(struct miss *m);
/* found is filled for MISS_HERE and MISS_COMING. */
enum miss_result miss_look(struct miss *m, const char *path, size_t len, struct miss_found *found);
/* Would miss_look say something else than MISS_WAIT? Cheap: for those who wait. */
bool miss_over(struct miss *m, const char *path, size_t len);
/*
 * How many bytes of what is coming may be read now; all of them only once they are verified and
 * the file is in its place. -ECANCELED: what came was wrong, or nothing more comes: what was handed
 * out is of no use.
 */
NODISCARD int64_t miss_ready(struct miss *m, const char *path, size_t len,
			     const struct miss_found *found, int64_t before);
void miss_link_closed(struct miss *m, struct link *l);
void miss_tick(struct miss *m);
uint64_t miss_deadline(const struct miss *m);

#endif
