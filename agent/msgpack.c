/* SPDX-License-Identifier: BSD-2-Clause */
/* MessagePack: the first byte says what comes; numbers are big-endian. */
#include "config.h"

#include "agent/msgpack.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* A big-endian number of so many bytes. */
static uint64_t
number(struct cur *c, unsigned bytes)
{
	uint64_t n = 0;

	while (bytes-- > 0)
		n = n << 8 | cur_u8(c);
	return n;
}

/* The two's complement of so many bytes. */
static void
signed_number(struct cur *c, unsigned bytes, struct msgpack *out)
{
	uint64_t n = number(c, bytes), sign = 1ull << (8 * bytes - 1);

	if ((n & sign) == 0) {
		out->kind = MSGPACK_UINT;
		out->n = n;
		return;
	}
	out->kind = MSGPACK_INT;
	out->negative = -(int64_t)(sign - (n & (sign - 1)) - 1) - 1;
}

static void
data(struct cur *c, enum msgpack_kind kind, uint64_t len, struct msgpack *out)
{
	out->kind = kind;
	out->n = len;
	if (len > c->left) {
		c->bad = true;
		return;
	}
	out->bytes = cur_bytes(c, (size_t)len);
}

static void
ext(struct cur *c, uint64_t len, struct msgpack *out)
{
	(void)cur_u8(c); /* its type */
	data(c, MSGPACK_EXT, len, out);
}

static void
container(enum msgpack_kind kind, uint64_t n, struct msgpack *out)
{
	out->kind = kind;
	out->n = n;
}

/* 0xc0 to 0xdf. */
static int
wide(struct cur *c, uint8_t first, struct msgpack *out)
{
	switch (first) {
	case 0xc0:
		break;
	case 0xc2:
	case 0xc3:
		container(MSGPACK_BOOL, first & 1u, out);
		break;
	case 0xc4:
	case 0xc5:
	case 0xc6:
		data(c, MSGPACK_BYTES, number(c, 1u << (first - 0xc4)), out);
		break;
	case 0xc7:
	case 0xc8:
	case 0xc9:
		ext(c, number(c, 1u << (first - 0xc7)), out);
		break;
	case 0xca:
	case 0xcb:
		container(MSGPACK_FLOAT, number(c, first == 0xca ? 4 : 8), out);
		break;
	case 0xcc:
	case 0xcd:
	case 0xce:
	case 0xcf:
		container(MSGPACK_UINT, number(c, 1u << (first - 0xcc)), out);
		break;
	case 0xd0:
	case 0xd1:
	case 0xd2:
	case 0xd3:
		signed_number(c, 1u << (first - 0xd0), out);
		break;
	case 0xd4:
	case 0xd5:
	case 0xd6:
	case 0xd7:
	case 0xd8:
		ext(c, 1u << (first - 0xd4), out);
		break;
	case 0xd9:
	case 0xda:
	case 0xdb:
		data(c, MSGPACK_BYTES, number(c, 1u << (first - 0xd9)), out);
		break;
	case 0xdc:
	case 0xdd:
		container(MSGPACK_ARRAY, number(c, first == 0xdc ? 2 : 4), out);
		break;
	case 0xde:
	case 0xdf:
		container(MSGPACK_MAP, number(c, first == 0xde ? 2 : 4), out);
		break;
	default: /* 0xc1 is nothing */
		return -EPROTO;
	}
	return 0;
}

int
msgpack_next(struct cur *c, struct msgpack *out)
{
	struct cur at = *c;
	uint8_t first = cur_u8(&at);
	int r = 0;

	*out = (struct msgpack){.kind = MSGPACK_NIL};
	if (at.bad)
		return -EAGAIN;
	if (first < 0x80)
		container(MSGPACK_UINT, first, out);
	else if (first < 0x90)
		container(MSGPACK_MAP, first & 0x0fu, out);
	else if (first < 0xa0)
		container(MSGPACK_ARRAY, first & 0x0fu, out);
	else if (first < 0xc0)
		data(&at, MSGPACK_BYTES, first & 0x1fu, out);
	else if (first < 0xe0)
		r = wide(&at, first, out);
	else
		*out = (struct msgpack){.kind = MSGPACK_INT, .negative = (int64_t)first - 0x100};
	if (r < 0)
		return r;
	if (at.bad) {
		*out = (struct msgpack){.kind = MSGPACK_NIL};
		return -EAGAIN;
	}
	*c = at;
	return 0;
}

int
msgpack_skip(struct cur *c)
{
	uint64_t left[MSGPACK_DEPTH_MAX + 1] = {1}; /* values to come, at each depth */
	unsigned depth = 0;
	struct cur at = *c;
	struct msgpack m;

	for (;;) {
		int r;

		while (left[depth] == 0) {
			if (depth == 0) {
				*c = at;
				return 0;
			}
			depth--;
		}
		r = msgpack_next(&at, &m);
		if (r < 0)
			return r;
		left[depth]--;
		if (m.kind != MSGPACK_ARRAY && m.kind != MSGPACK_MAP)
			continue;
		if (depth == MSGPACK_DEPTH_MAX)
			return -EPROTO;
		left[++depth] = m.kind == MSGPACK_MAP ? 2 * m.n : m.n;
	}
}

bool
msgpack_is(const struct msgpack *m, const char *text)
{
	size_t len = strlen(text);

	return m->kind == MSGPACK_BYTES && m->n == len && memcmp(m->bytes, text, len) == 0;
}

bool
msgpack_text(const struct msgpack *m, char *out, size_t size)
{
	out[0] = '\0';
	if (m->kind != MSGPACK_BYTES || m->n >= size ||
	    (m->n > 0 && memchr(m->bytes, '\0', (size_t)m->n) != NULL))
		return false;
	if (m->n > 0)
		memcpy(out, m->bytes, (size_t)m->n);
	out[m->n] = '\0';
	return true;
}

void
msgpack_put_map(struct buf *b, unsigned pairs)
{
	assert(pairs <= 15);
	buf_put_u8(b, (uint8_t)(0x80u | pairs));
}

void
msgpack_put_text(struct buf *b, const char *text, size_t len)
{
	assert(len <= UINT16_MAX);
	if (len < 32) {
		buf_put_u8(b, (uint8_t)(0xa0u | len));
	} else {
		buf_put_u8(b, 0xda);
		buf_put_u8(b, (uint8_t)(len >> 8));
		buf_put_u8(b, (uint8_t)len);
	}
	buf_put(b, text, len);
}

void
msgpack_put_uint(struct buf *b, uint64_t n)
{
	if (n < 0x80) {
		buf_put_u8(b, (uint8_t)n);
		return;
	}
	buf_put_u8(b, 0xcf);
	for (unsigned i = 8; i-- > 0;)
		buf_put_u8(b, (uint8_t)(n >> (8 * i)));
}
