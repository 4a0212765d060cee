/* SPDX-License-Identifier: BSD-2-Clause */
/* One conversation with one peer: a state machine with bytes and time in, messages, bytes and
 * deadlines out. */
#ifndef MIMEO_PROTO_SESSION_H
#define MIMEO_PROTO_SESSION_H

#include "proto/msg.h"

/*
 * States: HELLO (ours is queued at birth, theirs is awaited) -> OPEN -> CLOSED. Every frame is
 * checked here against its table row (state, size, limits); what breaks the protocol closes the
 * session with a reason and, when possible, a BYE to the peer. PING and PONG, time-outs and the
 * credit of streams are handled inside and never surface as messages; everything else does.
 */
#define SESSION_VERSION 1
/*
 * Bits of HELLO. BARE: a wish that needs no other side to know it: what this side lacks may be
 * among files that it has not logged yet, so that content of old records need not come with them.
 */
#define SESSION_BARE 1ull
#define SESSION_HELLO_MS_MAX 10000
#define SESSION_STREAMS_MAX 256 /* open streams in each direction */
#define SESSION_OUT_BYTES_MAX                                                                      \
	(8u * 1024 *                                                                               \
	 1024) /* queued output; above it session_send says -ENOBUFS. Input is taken all the same: \
		  two nodes that both have much to say would wait for each other for ever */
/* So many frames that want an answer (PING, GET, CANCEL, ASK) may come while more than that is
 * queued: an answer of a few bytes each. One more ends the session. */
#define SESSION_UNREAD_MAX 10000
#define SESSION_BULK_BYTES_MAX                                                                     \
	(256u * 1024) /* session_room is 0 above this much queued output: bulk never piles up      \
			 before control */

struct session;

struct session_opts {
	const char *self; /* this node's name */
	const char *peer; /* who the key says it is; HELLO must say the same */
	uint64_t store;   /* ours */
	uint64_t nonce;   /* random */
	uint64_t digest;  /* of what we hold */
	uint64_t heads[2];
	uint64_t features;   /* SESSION_BARE or 0 */
	uint32_t ping_ms;    /* a PING this long after the last one */
	uint32_t timeout_ms; /* nothing received for this long: closed (CODE_TIMEOUT) */
	uint32_t hello_ms;   /* longest wait for HELLO; 0: SESSION_HELLO_MS_MAX */
};

struct session_stats {
	uint64_t bytes_in, bytes_out; /* taken in, handed out */
	uint64_t data_in, data_out;   /* content bytes in DATA and RECORD frames */
	uint32_t rtt_ms;              /* smoothed (7/8) round trip in ms, at least 1; 0: none yet */
	uint32_t rtt_us; /* the same in microseconds if the caller gives time so finely, else 0 */
	int64_t clock_offset_ms; /* peer's wall clock minus ours, from the fastest recent ping */
	uint64_t last_rx_ms;
};

/* NULL: out of memory. Strings are copied. now_ms: monotonic; wall_ms: wall clock. */
struct session *session_new(const struct session_opts *o, uint64_t now_ms, uint64_t wall_ms);
void session_free(struct session *s);

/* Takes bytes from the peer; returns how many were taken (fewer: step first). */
size_t session_input(struct session *s, const void *bytes, size_t len, uint64_t now_ms,
		     uint64_t wall_ms);
/* Bytes for the peer; borrowed until the next call on the session. */
const uint8_t *session_output(struct session *s, size_t *len);
void session_consumed(struct session *s, size_t n);
/* Time enters here: pings, time-outs. */
void session_tick(struct session *s, uint64_t now_ms, uint64_t wall_ms);
uint64_t session_deadline(const struct session *s); /* monotonic ms; UINT64_MAX: none */

enum session_step {
	SESSION_IDLE,   /* nothing to do before more input or time */
	SESSION_OPENED, /* once: HELLO was accepted; *m is the peer's HELLO */
	SESSION_MSG, /* *m: a message, valid until the next call of session_step, _input or _free */
	SESSION_CLOSED, /* it is over; session_reason */
};
enum session_step session_step(struct session *s, struct msg **m);
/* After CLOSED: what happened, in words, and its code. remote: the peer said so. */
const char *session_reason(const struct session *s, uint8_t *code, bool *remote);
bool session_open(const struct session *s);

/* Queues a message. 0, -ENOBUFS (try again when output drains), -EPIPE (closed). Not for DATA, GET,
 * END, CREDIT, CANCEL. */
NODISCARD int session_send(struct session *s, const struct msg *m);
NODISCARD int session_send_set(struct session *s, const struct msg *m, const struct dotset *set);
/* Says BYE and closes; what is queued may still be written out. */
void session_bye(struct session *s, uint8_t code, const char *text);

/*
 * Streams. The asker opens one with a GET (ids are chosen by the session: odd for the side with the
 * smaller nonce, even for the other); both directions may carry DATA (a signature to the server,
 * content to the asker), each within the credit that its receiver gave. session_get: opens; *stream
 * = id; credit: what the peer may send at first. -ENOBUFS: too many streams or output full.
 */
NODISCARD int session_get(struct session *s, const struct msg *get, uint32_t credit,
			  uint32_t *stream);
/* Bytes of DATA that may be queued on the stream now: min(its credit, room before
 * SESSION_BULK_BYTES_MAX). */
size_t session_room(const struct session *s, uint32_t stream);
NODISCARD int session_data(struct session *s, uint32_t stream, const void *bytes,
			   size_t len); /* len <= session_room, at most MSG_DATA_BYTES_MAX */
/* Our direction of the stream is done (the server's answer, or the asker's signature). The stream
 * is forgotten when the server's END was sent or received. */
NODISCARD int session_end(struct session *s, uint32_t stream, uint8_t code);
NODISCARD int session_credit(struct session *s, uint32_t stream,
			     uint32_t bytes); /* let the peer send more */
NODISCARD int session_cancel(struct session *s,
			     uint32_t stream); /* asker: DATA that still comes is dropped here; END
						  follows as a message */

/* Was the stream opened from this side (by its number)? */
bool session_mine(const struct session *s, uint32_t stream);
/* Is less than SESSION_BULK_BYTES_MAX queued: time to send more records. */
bool session_has_room(const struct session *s);

const struct session_stats *session_stats(const struct session *s);
const char *session_peer(const struct session *s);

#endif
