/* SPDX-License-Identifier: BSD-2-Clause */
/* Shared by exchange.c (links, peers, routing) and replicate.c (records and sets). */
#ifndef MIMEO_AGENT_EXCHANGE_INTERNAL_H
#define MIMEO_AGENT_EXCHANGE_INTERNAL_H

#include "agent/exchange.h"
#include "agent/gossip.h"

#define MARKS_MAX 16

struct inlined;

struct exchange {
	struct node *n;
	struct peer *peers; /* by name */
	struct link *links;
	struct dotset have;     /* what index->have was after the last durable round */
	struct dotset acked;    /* the same of index->acked */
	struct dotset incoming; /* received, put into the WAL, not folded yet */
	struct vv frozen;       /* origins of which nothing more is taken; seq 1 */
	struct witness *witness;
	struct vv origins_put; /* origins whose ENTRY_ORIGIN was put; seq 1 */
	bool exchanged;        /* said so in the WAL: see index.h */
	uint64_t interval_ms;  /* when sync.interval is over */
	uint64_t durable;      /* lsn: records up to it may leave */
	struct {
		uint64_t ms, lsn;
	} marks[MARKS_MAX]; /* what was durable when: records are relayed EXCHANGE_RELAY_MS later */
	size_t nmarks;
	struct map inbox; /* inlined content by dot */
	uint64_t seed;    /* of its hashes */
	struct inlined *oldest, *newest;
	size_t inbox_bytes;
	uint64_t inbox_ms; /* when it was last taken out of, or became half full */
	bool acked_moved;  /* somebody's acknowledgements: gossip.c relays them */
	exchange_asked asked;
	void *asked_arg;
	struct {
		exchange_asked f;
		void *arg;
	} question[ASK_WHAT_MAX + 1];
};

/* What a neighbour was told of another node's acknowledgements, or told us. */
struct acked_told {
	char name[MEMBER_NAME_BYTES_MAX + 1];
	uint64_t store, stamp;
	struct dotset told;
	struct acked_told *next;
};

struct link {
	struct exchange *x;
	struct session *s;
	struct peer *peer;
	bool dialled, open, over;
	bool seen_all;       /* the peer has said all it holds (or it holds the same as we do) */
	bool catching_up;    /* until the first UPTO is out: everything is sent without delay */
	uint64_t opened_lsn; /* what was durable when it opened */
	uint64_t others_ms;  /* until then the rest of that is left to others; 0: not known yet */
	bool bare;           /* its old records go without content: the peer has files itself */
	bool more;           /* there are records to look at, now */
	bool sets_due;
	bool told_limit;       /* a set of the peer was cut, and that was said */
	uint64_t digest;       /* of what we held when our HELLO was made */
	struct dotset told;    /* what the peer knows that we hold */
	struct dotset vouched; /* what UPTO has said in this session */
	struct dotset told_acked;
	struct dotset upto;             /* UPTO coming in, frame by frame */
	struct vv origins;              /* origins told in this session; seq 1 */
	struct index_cursor own, relay; /* what goes at once; everything else */
	uint64_t sets_ms;               /* when SEEN or UPTO was last sent */
	uint32_t ask_id;
	struct ask *asks;
	/* gossip.c */
	char (*near)[MEMBER_NAME_BYTES_MAX + 1]; /* whom the peer has sessions with */
	size_t nnear;
	uint64_t near_sent; /* hash of what it was told of ours */
	bool table_heard;
	unsigned differed;    /* its last TABLEs that had another digest than ours */
	uint64_t answered[2]; /* digests, its and ours, to which it got the whole table */
	struct acked_told *acked_told;
	struct link *next;
};

/* gossip.c: an ACK of p came by this link. */
void link_told_ack(struct link *l, const struct peer *p, const struct dotset *set);
/* exchange.c */
bool exchange_must(struct exchange *x, int r); /* false: out of memory was reported as fatal */
/* replicate.c */
void link_opened(struct link *l, bool same);
void link_got_seen(struct link *l, const struct msg *m);
void link_got_origin(struct link *l, const struct msg *m);
void link_got_record(struct link *l, const struct msg *m);
void link_got_upto(struct link *l, const struct msg *m);
void link_got_ack(struct link *l, const struct msg *m);
void link_pump(struct link *l);
uint64_t link_deadline(const struct link *l);
void exchange_mark(struct exchange *x);
bool exchange_full(const struct exchange *x);
/* Makes room in an inbox that nobody empties. */
void exchange_inbox_tick(struct exchange *x);
uint64_t exchange_inbox_deadline(const struct exchange *x);
void exchange_inbox_free(struct exchange *x);

#endif
