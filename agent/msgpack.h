/* SPDX-License-Identifier: BSD-2-Clause */
/* MessagePack as far as Serf speaks it: a bounded reader over borrowed bytes, and what a request
 * needs. */
#ifndef MIMEO_AGENT_MSGPACK_H
#define MIMEO_AGENT_MSGPACK_H

#include "proto/bytes.h"

#define MSGPACK_DEPTH_MAX 16 /* values within values */

enum msgpack_kind {
	MSGPACK_NIL,
	MSGPACK_BOOL,
	MSGPACK_UINT,
	MSGPACK_INT, /* a negative one */
	MSGPACK_FLOAT,
	MSGPACK_BYTES, /* str or bin: old writers use one for the other */
	MSGPACK_ARRAY,
	MSGPACK_MAP,
	MSGPACK_EXT,
};

struct msgpack {
	enum msgpack_kind kind;
	uint64_t n;           /* UINT: the number; BOOL: 0 or 1; BYTES, EXT: bytes; ARRAY: values;
				 MAP: pairs */
	int64_t negative;     /* INT */
	const uint8_t *bytes; /* BYTES, EXT: borrowed */
};

/*
 * The next value, without what an array or a map holds: that follows. -EAGAIN: it is cut off, and
 * the cursor stands where it stood; -EPROTO: no value begins like that.
 */
NODISCARD int msgpack_next(struct cur *c, struct msgpack *out);
/*
 * Moves behind one whole value. -EAGAIN: it is cut off, and the cursor stands where it stood;
 * -EPROTO as above, or deeper than MSGPACK_DEPTH_MAX.
 */
NODISCARD int msgpack_skip(struct cur *c);
/* Is it just these bytes? */
bool msgpack_is(const struct msgpack *m, const char *text);
/* A text without NUL and shorter than size, terminated. false: it is not; *out is empty then. */
bool msgpack_text(const struct msgpack *m, char *out, size_t size);

void msgpack_put_map(struct buf *b, unsigned pairs);                /* at most 15 */
void msgpack_put_text(struct buf *b, const char *text, size_t len); /* at most 65535 bytes */
void msgpack_put_uint(struct buf *b, uint64_t n);

#endif
