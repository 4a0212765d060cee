/* SPDX-License-Identifier: BSD-2-Clause */
/* Bytes going out (a growing buffer) and bytes coming in (a bounded cursor), little-endian. */
#ifndef MIMEO_PROTO_BYTES_H
#define MIMEO_PROTO_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/attr.h"

/*
 * A growing buffer. All zero is a valid empty one. Out of memory sticks in `failed`; every later
 * put is then ignored, so that a writer checks once, at the end. `data` is owned; buf_free gives
 * it back and leaves an empty buffer.
 */
struct buf {
	uint8_t *data;
	size_t len;
	size_t cap;
	bool failed;
};

void buf_free(struct buf *b);
/* Forgets the content and keeps the memory. Clears `failed`. */
void buf_reset(struct buf *b);
/*
 * Makes room for len more bytes. Returns where they go, or NULL (and sets failed). Length
 * unchanged.
 */
uint8_t *buf_room(struct buf *b, size_t len);
void buf_put(struct buf *b, const void *bytes, size_t len);
void buf_put_u8(struct buf *b, uint8_t v);
void buf_put_u16(struct buf *b, uint16_t v);
void buf_put_u32(struct buf *b, uint32_t v);
void buf_put_u64(struct buf *b, uint64_t v);
/* A u16 length and the bytes; asserts len <= 65535. */
void buf_put_str(struct buf *b, const void *bytes, size_t len);
/* Takes len bytes off the front (memmove). Asserts len <= b->len. */
void buf_consume(struct buf *b, size_t len);

/* Plain little-endian stores and loads. */
void bytes_set_u32(uint8_t *p, uint32_t v);
void bytes_set_u64(uint8_t *p, uint64_t v);
uint32_t bytes_get_u32(const uint8_t *p);
uint64_t bytes_get_u64(const uint8_t *p);

/*
 * A cursor over borrowed bytes. A read past the end returns 0 (or NULL), sets `bad` and empties
 * the cursor; so a parser reads all fields and checks `bad` once before it believes any of them.
 */
struct cur {
	const uint8_t *p;
	size_t left;
	bool bad;
};

struct cur cur_of(const void *bytes, size_t len);
uint8_t cur_u8(struct cur *c);
uint16_t cur_u16(struct cur *c);
uint32_t cur_u32(struct cur *c);
uint64_t cur_u64(struct cur *c);
/* Borrows len bytes from what the cursor reads; NULL when they are not there. */
const uint8_t *cur_bytes(struct cur *c, size_t len);
/* A u16 length and the bytes, borrowed; *len = 0 and NULL when bad. */
const uint8_t *cur_str(struct cur *c, size_t *len);
/* True when everything was read, to the last byte, and nothing was bad. */
bool cur_done(const struct cur *c);

#endif
