/* SPDX-License-Identifier: BSD-2-Clause */
/* Content into the stage, cheapest first: inlined, from this node, as a delta, whole and resumable,
 * from any peer that has it. */
#ifndef MIMEO_AGENT_FETCH_H
#define MIMEO_AGENT_FETCH_H

#include "agent/exchange.h"

#define FETCH_ACTIVE_MAX 256                 /* fetches under way */
#define FETCH_LARGE_BYTES (8u * 1024 * 1024) /* above: preallocated, flushed as it grows */
#define FETCH_WINDOW_BYTES                                                                         \
	(1024u *                                                                                   \
	 1024) /* credit in flight a peer, at least; more when bandwidth x round trip is more */

enum fetch_state { FETCH_IDLE, FETCH_WAITING, FETCH_LOCAL, FETCH_DELTA, FETCH_WHOLE, FETCH_STAGED };

/*
 * One wanted content, embedded in its owner. Set rec, stage, base and low, then fetch_start.
 * Exactly one call of done follows, later, unless fetch_stop comes first: error 0: work/stage/STAGE
 * holds exactly that content, hashed here, with the record's mode and mtime set (owner by policy of
 * `uid`,`gid`), open as `file` (the owner syncs and closes it). Errors: -ENOSPC (floor),
 * -EHOSTUNREACH (no connected peer has it), -EBADMSG (what came had another hash; counted and
 * alarmed here), -EIO and others.
 */
struct fetch_job {
	const struct record *rec; /* borrowed until done */
	char stage[40];           /* stage name, DOT_TEXT form */
	struct pathent *base;     /* what is shown at the path: base of a delta; may be NULL */
	uint32_t uid, gid;        /* -1 cast: leave */
	bool low;                 /* a loser for the store: after everything else */
	void (*done)(struct fetch_job *j, int error);
	/* Does that peer keep it? Then those are asked, and nobody else. NULL: those that have
	 * acknowledged it, or wrote it. */
	bool (*keeps)(const struct fetch_job *j, const struct peer *p);
	/* Results and progress. */
	struct tfile *file;
	struct sig sig; /* of the staged file */
	enum fetch_state state;
	char from[MEMBER_NAME_BYTES_MAX + 1]; /* peer it comes from; empty: here */
	uint64_t have_bytes;
	uint64_t serial;   /* of this fetch: no other one has it */
	uint64_t restarts; /* how often what had come was thrown away */
	void *private_;    /* fetch.c's */
};

struct fetch *fetch_new(struct node *n);
void fetch_free(struct fetch *f);
void fetch_start(struct fetch *f, struct fetch_job *j);
/* It goes before all others that wait. */
void fetch_hurry(struct fetch *f, struct fetch_job *j);
void fetch_stop(
	struct fetch *f,
	struct fetch_job *j); /* no call of done follows; the stage file stays for a later resume */
/* Messages of the exchange on streams that this node opened. */
void fetch_data(struct fetch *f, struct link *l, const struct msg *m);
void fetch_end(struct fetch *f, struct link *l, const struct msg *m);
void fetch_pump(struct fetch *f, struct link *l); /* room for a signature */
void fetch_link_closed(struct fetch *f, struct link *l);
/* The peer with this very name is about to be freed. */
void fetch_peer_gone(struct fetch *f, const char *name);
void fetch_peers_changed(struct fetch *f); /* a peer connected, or acknowledged more */
void fetch_tick(struct fetch *f);
uint64_t fetch_deadline(const struct fetch *f);

#endif
