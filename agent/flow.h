/* SPDX-License-Identifier: BSD-2-Clause */
/* One direction of a tube: a bounded buffer, filled at one end and drained into another. */
#ifndef MIMEO_AGENT_FLOW_H
#define MIMEO_AGENT_FLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/attr.h"

/* Bytes a direction may hold. From 64 KiB on the size no longer matters for the rate. */
#define FLOW_BYTES ((size_t)256 * 1024)

/*
 * The bytes data[head] to data[tail - 1] wait. They never move while they wait, because a write
 * into libssh2 that would block must be repeated with the same bytes at the same place; the two
 * indexes go back to 0 when everything is out. eof: nothing will come after these bytes.
 */
struct flow {
	uint8_t *data;
	size_t head, tail;
	bool eof;
};

/* Makes an empty flow; -ENOMEM. Released by flow_fini, which may be called on a zeroed flow. */
NODISCARD int flow_init(struct flow *f);
void flow_fini(struct flow *f);

/* How many bytes wait, and how many more there is room for. */
size_t flow_len(const struct flow *f);
size_t flow_room(const struct flow *f);

/* Everything is out and nothing will come. */
bool flow_done(const struct flow *f);

/* n bytes were put at data + tail, or taken from data + head. */
void flow_put(struct flow *f, size_t n);
void flow_take(struct flow *f, size_t n);

/*
 * Reads from, or writes to, the non-blocking descriptor fd, once. The number of bytes moved;
 * -EAGAIN when nothing can be moved now, because fd is not ready or there is no room, are no
 * bytes or was the end of file; else what read and write say (-EPIPE, -ECONNRESET, ...).
 * flow_fill sets eof and returns 0 at the end of file.
 */
NODISCARD ssize_t flow_fill(struct flow *f, int fd);
NODISCARD ssize_t flow_drain(struct flow *f, int fd);

#endif
