/* SPDX-License-Identifier: BSD-2-Clause */
/* Framed entries, read out of a WAL file; and the search for one behind bytes that are none. */
#ifndef MIMEO_PROTO_WALSCAN_H
#define MIMEO_PROTO_WALSCAN_H

#include <sys/types.h>

#include "proto/bytes.h"

#define WALSCAN_CHUNK_BYTES (256u * 1024) /* least that is read at once */
/*
 * Most bytes that one search puts through the checksum for candidates of types that this version
 * does not know (the others must decode first, which ends quickly for noise): 2 seconds or so.
 */
#define WALSCAN_SEARCH_BYTES_MAX ((uint64_t)16 << 30)

/* A reader over a file's bytes. A plain value, set up by walscan_init. */
struct walscan {
	ssize_t (*read_at)(void *arg, uint64_t off, void *buf, size_t len);
	void *arg;
	uint64_t end;  /* no byte from here on is looked at */
	uint64_t base; /* offset of the first byte in the window */
	struct buf window;
};

/* One framed entry. Borrows from the reader until its next call. */
struct walframe {
	const uint8_t *bytes; /* of the whole frame */
	size_t size;
	const uint8_t *payload;
	size_t len;
};

/* read_at is wal_dev's; arg is handed to it. */
void walscan_init(struct walscan *s, ssize_t (*read_at)(void *, uint64_t, void *, size_t),
		  void *arg);
void walscan_free(struct walscan *s);
/* Forgets what was read, because it may have changed; from now on the file ends at `end`. */
void walscan_reset(struct walscan *s, uint64_t end);
/*
 * The len bytes at off, which lie before the end; borrowed until the next call. -EIO if the file
 * has fewer, what read_at says, or -ENOMEM.
 */
NODISCARD int walscan_bytes(struct walscan *s, uint64_t off, size_t len, const uint8_t **out);
/* The frame at off. -EBADMSG: there is none; else as walscan_bytes. The payload is not decoded. */
NODISCARD int walscan_frame(struct walscan *s, uint64_t off, struct walframe *f);
/*
 * Looks for a frame at any byte from `from` on. 1 and *at: found. 0: there is none. -E2BIG: none
 * was found, but the search had to pass over candidates (see WALSCAN_SEARCH_BYTES_MAX). Else as
 * walscan_bytes.
 */
NODISCARD int walscan_find(struct walscan *s, uint64_t from, uint64_t *at);

/* Appends the frame's header, leaving its values open; returns where it begins. */
size_t walscan_begin(struct buf *b);
/* Fills in the header of the frame that began there; the payload is what follows it in b. */
void walscan_end(struct buf *b, size_t begin);

#endif
