/* SPDX-License-Identifier: BSD-2-Clause */
/* The growing buffer and the bounded cursor. */
#include "config.h"

#include "proto/bytes.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define BUF_BYTES_MIN 64 /* first allocation */

void
buf_free(struct buf *b)
{
	free(b->data);
	*b = (struct buf){0};
}

void
buf_reset(struct buf *b)
{
	b->len = 0;
	b->failed = false;
}

/* The next capacity that holds `need`: doubled, so that n puts cost O(n). */
static size_t
grown(size_t cap, size_t need)
{
	if (cap < BUF_BYTES_MIN)
		cap = BUF_BYTES_MIN;
	while (cap < need)
		cap = cap > SIZE_MAX / 2 ? need : cap * 2;
	return cap;
}

uint8_t *
buf_room(struct buf *b, size_t len)
{
	uint8_t *data;
	size_t cap;

	if (b->failed)
		return NULL;
	if (b->data && len <= b->cap - b->len)
		return b->data + b->len;
	if (len > SIZE_MAX - b->len) {
		b->failed = true;
		return NULL;
	}
	cap = grown(b->cap, b->len + len);
	data = realloc(b->data, cap);
	if (!data) {
		b->failed = true;
		return NULL;
	}
	b->data = data;
	b->cap = cap;
	return b->data + b->len;
}

void
buf_put(struct buf *b, const void *bytes, size_t len)
{
	uint8_t *p = buf_room(b, len);

	if (!p || len == 0)
		return;
	memcpy(p, bytes, len);
	b->len += len;
}

/* The low `width` bytes of v, lowest first. */
static void
put_le(struct buf *b, uint64_t v, size_t width)
{
	uint8_t *p = buf_room(b, width);

	if (!p)
		return;
	for (size_t i = 0; i < width; i++)
		p[i] = (uint8_t)(v >> (8 * i));
	b->len += width;
}

void
buf_put_u8(struct buf *b, uint8_t v)
{
	put_le(b, v, 1);
}

void
buf_put_u16(struct buf *b, uint16_t v)
{
	put_le(b, v, 2);
}

void
buf_put_u32(struct buf *b, uint32_t v)
{
	put_le(b, v, 4);
}

void
buf_put_u64(struct buf *b, uint64_t v)
{
	put_le(b, v, 8);
}

void
buf_put_str(struct buf *b, const void *bytes, size_t len)
{
	assert(len <= UINT16_MAX);
	buf_put_u16(b, (uint16_t)len);
	buf_put(b, bytes, len);
}

void
buf_consume(struct buf *b, size_t len)
{
	assert(len <= b->len);
	b->len -= len;
	if (len > 0 && b->len > 0)
		memmove(b->data, b->data + len, b->len);
}

void
bytes_set_u32(uint8_t *p, uint32_t v)
{
	for (unsigned i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

void
bytes_set_u64(uint8_t *p, uint64_t v)
{
	for (unsigned i = 0; i < 8; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

uint32_t
bytes_get_u32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

uint64_t
bytes_get_u64(const uint8_t *p)
{
	return bytes_get_u32(p) | (uint64_t)bytes_get_u32(p + 4) << 32;
}

struct cur
cur_of(const void *bytes, size_t len)
{
	return (struct cur){.p = bytes, .left = len};
}

const uint8_t *
cur_bytes(struct cur *c, size_t len)
{
	const uint8_t *p = c->p;

	if (c->bad || len > c->left) {
		c->bad = true;
		c->left = 0;
		return NULL;
	}
	if (len > 0)
		c->p += len;
	c->left -= len;
	return p;
}

uint8_t
cur_u8(struct cur *c)
{
	const uint8_t *p = cur_bytes(c, 1);

	return p ? p[0] : 0;
}

uint16_t
cur_u16(struct cur *c)
{
	const uint8_t *p = cur_bytes(c, 2);

	if (!p)
		return 0;
	return (uint16_t)(p[0] | p[1] << 8);
}

uint32_t
cur_u32(struct cur *c)
{
	const uint8_t *p = cur_bytes(c, 4);

	return p ? bytes_get_u32(p) : 0;
}

uint64_t
cur_u64(struct cur *c)
{
	const uint8_t *p = cur_bytes(c, 8);

	return p ? bytes_get_u64(p) : 0;
}

const uint8_t *
cur_str(struct cur *c, size_t *len)
{
	const uint8_t *p;

	*len = cur_u16(c);
	p = cur_bytes(c, *len);
	if (c->bad)
		*len = 0;
	return p;
}

bool
cur_done(const struct cur *c)
{
	return !c->bad && c->left == 0;
}
