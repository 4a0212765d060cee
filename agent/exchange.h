/* SPDX-License-Identifier: BSD-2-Clause */
/* Records, vectors and acknowledgements with all peers: who lacks what, and who gets what when. */
#ifndef MIMEO_AGENT_EXCHANGE_H
#define MIMEO_AGENT_EXCHANGE_H

#include "agent/gossip.h"
#include "agent/meter.h"
#include "agent/node.h"
#include "proto/session.h"

/*
 * Rules (README, "How it works"; proto/PROTOCOL.md):
 * - Nothing leaves before it is durable: records up to the last durable lsn, sets (SEEN, UPTO, ACK)
 * only right after a durable round.
 * - On OPENED: ORIGINs as needed, SEEN (all I hold) unless the digests are equal, ACK reset (all I
 * have applied), the member table.
 * - A cursor walks the index in log order: a record that the peer does not hold is sent: at once if
 * its origin is ours, or if the peer asked for the whole (its SEEN was just received: catch-up;
 * then each of its neighbours begins with another share); otherwise after RELAY_MS, if the peer
 * still lacks it. Small content is inlined.
 * - UPTO (what I hold, minus what was vouched for in this session) when the cursor is at the
 * durable end and nothing waits for RELAY_MS.
 * - What comes: a record whose dot I have seen is dropped; others are put as KNOWN; UPTO is put as
 * VECTOR behind them. SEEN, UPTO, RECORD, ACK all teach what the peer holds.
 */
#define EXCHANGE_RELAY_MS 50
/* What a peer that catches up lacks when it got our share is left to its other neighbours for so
 * long. */
#define EXCHANGE_SHARE_MS 1000
#define EXCHANGE_SET_MS 20 /* SEEN and UPTO are sent at most so often */
#define EXCHANGE_INBOX_BYTES_MAX                                                                   \
	(64u * 1024 *                                                                              \
	 1024) /* inlined content waiting to be staged; above it content is left to be fetched */
#define EXCHANGE_INBOX_ITEMS_MAX 20000 /* the same, pieces of content */
/* No input is taken while the inbox is half full and is being emptied; if nothing was taken out of
 * it for so long, what lies there is not wanted soon: the oldest is forgotten. */
#define EXCHANGE_INBOX_MS 1000
/* A connection that this node dials begins before SSH does, and sshd may have a crowd at its door:
 * the time that dial takes at most (DIAL_CONNECT_MS_DEFAULT), and then that for a HELLO. */
#define EXCHANGE_DIAL_MS (15000 + SESSION_HELLO_MS_MAX)
#define EXCHANGE_RECORDS_MAX                                                                       \
	20000 /* received records not yet durable; above it no input is taken from peers */
#define EXCHANGE_RECORDS_BYTES_MAX                                                                 \
	(8u * 1024 * 1024) /* the same, bytes on their way to the WAL                              \
			    */
/*
 * A set that a peer tells is kept up to so many ranges and origins (8 bytes a bound). Ranges beyond
 * it are dropped, which is said once a session. That is safe: a peer that is not known to hold
 * something gets it again, and what UPTO would have added stays unknown.
 */
#define EXCHANGE_SPANS_MAX 500000
#define EXCHANGE_ORIGINS_MAX VV_ENTRIES_MAX

/* One connection. */
struct link;
/* How much of what is held here the peer has not applied: records that survive, their bytes, wall
 * ms of the oldest (0: none). */
struct lack {
	uint64_t count, bytes, oldest_ms;
};
/* One member as this node sees it, connected or not. Lives as long as the exchange. */
struct ask;
struct peer {
	char name[MEMBER_NAME_BYTES_MAX + 1];
	struct link *link;    /* the open session that is used; NULL: none */
	struct dotset acked;  /* what it has applied, from itself or relayed */
	uint64_t acked_stamp; /* moves whenever acked does */
	struct dotset seen;   /* what it is known to hold */
	uint64_t store;
	uint64_t contact_ms;   /* wall clock of the last byte from it; 0 never */
	uint64_t connected_ms; /* wall clock since when; 0 not connected */
	uint64_t whole_ms;     /* wall clock when it was last heard while it lacked nothing
				  (metrics.c); 0 never */
	uint64_t reconnects;
	uint64_t bytes_in, bytes_out; /* of closed sessions; add session_stats of the open one */
	uint64_t inline_in, delta_in, whole_in, inline_out, delta_out,
		whole_out;             /* content bytes by kind */
	uint64_t rate_tokens, rate_ms; /* serve.c: sync.rate_limit */
	struct meter delivers;         /* fetch.c: content that it was asked for */
	char last_error[256];
	struct lack lack;      /* exchange_lack's, as of these three */
	uint64_t lack_ms;      /* monotonic */
	uint64_t lack_entries; /* of the WAL */
	uint64_t lack_acks;    /* acked_stamp then */
	/* gossip.c, monotonic ms: the last byte from it; when its last session ended; its beat
	 * (wall ms over there) and when a higher one was heard */
	uint64_t seen_ms, lost_ms, beat, beat_ms;
	enum peer_state state; /* as last said */
	struct ask *waiting;   /* questions.c: for a link */
	struct peer *next;
};

/* A clock that is off by more is spoken of. A record's time may be ahead by HLC_SKEW_MS_MAX. */
#define EXCHANGE_CLOCK_OFF_MS 10000

struct exchange *exchange_new(struct node *n);
void exchange_free(struct exchange *x);
/* All members but this node; none while this node is no member itself. */
struct peer *exchange_peers(const struct exchange *x);
struct peer *exchange_peer(const struct exchange *x, const char *name);

/*
 * A new connection with a peer whose identity its key proved. dialled: this node dialled. NULL: out
 * of memory. Bytes go through exchange_input / exchange_output; the link is freed by
 * exchange_closed.
 */
struct link *exchange_connect(struct exchange *x, const char *peer, bool dialled);
size_t exchange_input(struct link *l, const void *bytes,
		      size_t len); /* bytes taken: fewer is back-pressure */
const uint8_t *exchange_output(struct link *l, size_t *len);
void exchange_consumed(struct link *l, size_t n);
bool exchange_over(
	const struct link *l, char *why, size_t why_len,
	uint8_t *code); /* the session is closed: write out what is left, then exchange_closed */
/* The connection is gone: everything that waited for it is given back. why: for people. Frees the
 * link. */
void exchange_closed(struct link *l, const char *why);
/* Does input wait (back-pressure), so that exchange_input should be called again later? The shell
 * asks after node_tick. */
bool exchange_wants_input(const struct link *l);
bool exchange_wants_output(const struct link *l);

/* For the parts. */
struct session *link_session(struct link *l);
struct peer *link_peer(struct link *l);
/* Inlined content of a record that is on its way through the WAL: ownership of the malloc'ed bytes
 * goes to the caller. NULL: none. */
uint8_t *exchange_inlined(struct exchange *x, struct dot dot, size_t *len);
/* After each durable round. */
void exchange_durable(struct exchange *x, uint64_t lsn);
void exchange_tick(struct exchange *x);
uint64_t exchange_deadline(const struct exchange *x);
/* The watcher wants to know when all that some peer holds is known here. */
void exchange_await(struct exchange *x);
/* A record was folded; own: this node's watcher wrote it. */
void exchange_record(struct exchange *x, const struct record *r, bool own);
/* An origin that was frozen is taken again: sessions begin anew, so that the peers send what was
 * refused. The index has it folded. */
void exchange_thawed(struct exchange *x);
/* An entry of the member table counts from now on. A removed one's sessions end. */
void exchange_member(struct exchange *x, const struct member *m);
/* Looked up again only when the log, or what the peer has applied, is another. */
struct lack exchange_lack(const struct exchange *x, struct peer *p);
/* The same as it was at most EXCHANGE_LACK_MS ago (more with many records): for those who ask
 * often. That a peer lacks nothing is always the truth of this moment. */
#define EXCHANGE_LACK_MS 250
struct lack exchange_lack_lately(const struct exchange *x, struct peer *p);
/* The wall clock of that member minus ours, in ms; 0 if it is not connected. */
int64_t exchange_clock_offset(const struct exchange *x, const char *name);
/*
 * Ask a peer something about a path or its store (ASK/TELL). tell is called for each part and at
 * the end (last; the ask is the caller's again), or with CODE_ERROR when the link closes. `again`,
 * set by the caller: the question changes nothing, so where the link is given up for another one
 * with the same peer, it is asked there if no part of the answer has come, EXCHANGE_AGAIN_MS later
 * at most. patience_ms, with it: where there is no link, but was one EXCHANGE_LOST_MS ago (or this
 * node did not run then), the question waits that long for one; 0: it does not. -ENOTCONN, -ENOMEM,
 * or what session_send says: nothing was asked, tell is not called.
 */
#define EXCHANGE_AGAIN_MS 1000
#define EXCHANGE_LOST_MS 10000
struct ask {
	void (*tell)(struct ask *a, uint8_t code, bool last, const uint8_t *blob, size_t len);
	bool again;
	uint32_t patience_ms;
	/* questions.c's */
	bool heard;
	uint64_t until_ms; /* while it waits for a link */
	uint8_t what;
	uint32_t id;
	uint8_t *blob;
	size_t len;
	struct ask *next;
};
NODISCARD int exchange_ask(struct exchange *x, struct peer *p, uint8_t what, const void *blob,
			   size_t len, struct ask *a);
/* Who answers a question (enum ask_what) of peers, through exchange_tell. */
typedef void (*exchange_asked)(void *arg, struct link *l, uint32_t id, uint8_t what,
			       const uint8_t *blob, size_t len);
void exchange_on_question(struct exchange *x, uint8_t what, exchange_asked f, void *arg);
NODISCARD int exchange_tell(struct link *l, uint32_t id, uint8_t code, bool last, const void *blob,
			    size_t len);

#endif
