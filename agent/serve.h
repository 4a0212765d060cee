/* SPDX-License-Identifier: BSD-2-Clause */
/* Content for peers that ask: whole from an offset, or as a delta against their signature. By hash
 * only, never by path. */
#ifndef MIMEO_AGENT_SERVE_H
#define MIMEO_AGENT_SERVE_H

#include "agent/exchange.h"

/*
 * Streams at once, over all peers and of one; more are told CODE_BUSY. A few are let in whatever
 * the others take, so that one that asks and does not read keeps nobody waiting.
 */
#define SERVE_STREAMS_MAX 256
#define SERVE_PEER_STREAMS_MAX 64
#define SERVE_PEER_STREAMS_MIN 4
#define SERVE_DELTAS_MAX 2 /* delta jobs in workers at once; more wait */
/*
 * Signatures that peers may send, over all peers, in bytes. One that is larger alone is not wanted
 * (the whole file is sent); one that does not fit now is told CODE_BUSY.
 */
#define SERVE_SIGNATURES_BYTES_MAX (32u * 1024 * 1024)

struct serve *serve_new(struct node *n);
void serve_free(struct serve *s);
/* Messages of the exchange: GET opens; DATA and END on our serving streams carry a signature;
 * CANCEL. */
void serve_get(struct serve *s, struct link *l, const struct msg *m);
void serve_data(struct serve *s, struct link *l, const struct msg *m);
void serve_end(struct serve *s, struct link *l, const struct msg *m);
void serve_cancel(struct serve *s, struct link *l, const struct msg *m);
/* There may be room again on the link (output drained, credit came). */
void serve_pump(struct serve *s, struct link *l);
/* sync.rate_limit: streams that wait for their rate go on. */
void serve_tick(struct serve *s);
uint64_t serve_deadline(const struct serve *s);
void serve_link_closed(struct serve *s, struct link *l);
/* Opens a file with that content if this node has it: live with an unchanged signature, or kept.
 * -ENOENT. *path_ent: where from (NULL: kept). */
NODISCARD int serve_open(struct node *n, const uint8_t hash[RECORD_HASH_BYTES], uint64_t size,
			 struct tfile **out, struct pathent **from);

#endif
