/* SPDX-License-Identifier: BSD-2-Clause */
/* A peer of an agent that says whatever a test wants, at the socket where sshd's forced command
 * connects. */
#ifndef MIMEO_TESTS_HOSTILE_PEER_H
#define MIMEO_TESTS_HOSTILE_PEER_H

#include "proto/msg.h"

#define PEER_PATH_BYTES 4200

/*
 * One connection. Bytes to say are queued in `out` and leave when peers_turn finds room; what comes
 * is decoded by peers_turn and remembered in the fields below. A deaf peer reads nothing.
 */
struct peer {
	int fd; /* -1: closed */
	bool deaf;
	struct buf out, in;
	/* what came */
	bool hello, bye, eof;
	uint8_t bye_code;
	char bye_text[MSG_TEXT_BYTES_MAX + 1];
	uint64_t nonce;     /* the agent's */
	uint64_t origin;    /* the newest that the agent said is its own */
	struct dotset held; /* SEEN and UPTO */
	struct dotset acked;
	unsigned pongs, gets, records, credits, bombs;
	uint32_t last_get; /* its stream */
	uint8_t last_how;
	uint64_t last_hlc, last_seq, last_origin;
	char last_path[PEER_PATH_BYTES];
	uint32_t credit;    /* of the last CREDIT */
	unsigned ends[16];  /* by code; the last one: all others */
	struct buf content; /* DATA that came */
	/* What answers a GET; NULL: END, gone. */
	void (*on_get)(struct peer *p, const struct msg *m);
	/* What answers ASK_KEPT; NULL: it is refused. */
	void (*on_kept)(struct peer *p, const struct msg *m);
	void (*on_end)(struct peer *p, const struct msg *m);
	void (*on_credit)(struct peer *p, const struct msg *m);
	void *arg;
	struct peer *next;
};

struct peers {
	struct peer *first;
};

/* Connects and says `header` (may be NULL). NULL: nobody listens. */
struct peer *peer_new(struct peers *all, const char *path, const char *header);
/* The same, with HELLO of that name, and SEEN of nothing. */
struct peer *peer_greet(struct peers *all, const char *path, const char *name, uint64_t nonce);
void peer_close(struct peers *all, struct peer *p);

void peer_say(struct peer *p, const struct msg *m);
void peer_raw(struct peer *p, const void *bytes, size_t len);
/* A frame with any payload. */
void peer_frame(struct peer *p, uint8_t type, const void *payload, size_t len);
void peer_hello(struct peer *p, const char *name, uint64_t nonce);
void peer_origin(struct peer *p, uint64_t origin, const char *node);
void peer_spans(struct peer *p, uint8_t type, const struct span3 *s, uint32_t n, bool last);

/* Moves bytes of all peers for at most ms. */
void peers_turn(struct peers *all, int ms);
/* Until f says true; false: it did not within ms. */
bool peers_until(struct peers *all, bool (*f)(void *arg), void *arg, unsigned ms);
/* Everything queued has left (or the connection ended). */
bool peer_flush(struct peers *all, struct peer *p, unsigned ms);
/* The agent ended it: BYE or end of file. */
bool peer_over(struct peers *all, struct peer *p, unsigned ms);
/* It is open and answers a PING. */
bool peer_answers(struct peers *all, struct peer *p, unsigned ms);
uint64_t peer_now_ms(void);

#endif
