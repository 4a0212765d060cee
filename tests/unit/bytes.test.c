/* SPDX-License-Identifier: BSD-2-Clause */
/* The growing buffer and the bounded cursor. */
#include "config.h"

#include "proto/bytes.h"

#include <stdlib.h>

#include "tests/tap.h"

static void
test_layout(void)
{
	const uint8_t want[] = {0x01, 0x03, 0x02, 0x07, 0x06, 0x05, 0x04, 0x0f, 0x0e, 0x0d, 0x0c,
				0x0b, 0x0a, 0x09, 0x08, 0x02, 0x00, 'h',  'i',  0x00, 0x00, 'z'};
	struct buf b = {0};

	buf_put_u8(&b, 0x01);
	buf_put_u16(&b, 0x0203);
	buf_put_u32(&b, 0x04050607);
	buf_put_u64(&b, 0x08090a0b0c0d0e0fu);
	buf_put_str(&b, "hi", 2);
	buf_put_str(&b, NULL, 0);
	buf_put(&b, "z", 1);
	buf_put(&b, NULL, 0);
	is_int(b.len, sizeof(want), "length");
	ok(b.len == sizeof(want) && memcmp(b.data, want, sizeof(want)) == 0, "lowest byte first");
	ok(!b.failed, "nothing failed");
	buf_free(&b);
	ok(!b.data && b.len == 0 && b.cap == 0, "freed is empty");
}

static void
test_set_get(void)
{
	uint8_t p[9] = {0};

	bytes_set_u32(p + 1, 0xfedcba98u);
	is_mem(p + 1, "\x98\xba\xdc\xfe", 4, "u32 stored");
	ok(bytes_get_u32(p + 1) == 0xfedcba98u, "u32 loaded, unaligned");
	bytes_set_u64(p + 1, 0xfedcba9876543210u);
	is_mem(p + 1, "\x10\x32\x54\x76\x98\xba\xdc\xfe", 8, "u64 stored");
	ok(bytes_get_u64(p + 1) == 0xfedcba9876543210u, "u64 loaded, unaligned");
	ok(p[0] == 0, "no byte before is touched");
}

static void
test_growth(void)
{
	struct buf b = {0};
	bool same = true;
	size_t cap, moves = 0;

	for (unsigned i = 0; i < 100000; i++) {
		cap = b.cap;
		buf_put_u8(&b, (uint8_t)(i * 7));
		moves += b.cap != cap;
	}
	for (unsigned i = 0; i < 100000; i++)
		same = same && b.data[i] == (uint8_t)(i * 7);
	ok(same && b.len == 100000, "100000 single bytes are there");
	ok(moves < 20, "the memory grew %zu times", moves);
	cap = b.cap;
	buf_reset(&b);
	ok(b.len == 0 && b.cap == cap, "reset keeps the memory");
	buf_free(&b);
}

static void
test_room(void)
{
	struct buf b = {0};
	uint8_t *p = buf_room(&b, 1000);

	ok(p && b.len == 0 && b.cap >= 1000, "room leaves the length");
	ok(buf_room(&b, 0) == p, "no room is room too");
	memset(p, 'x', 1000);
	b.len += 1000;
	ok(buf_room(&b, 1) == b.data + 1000, "room is behind what is there");
	buf_free(&b);
	ok(buf_room(&b, 0) && !b.failed, "room for nothing in an empty buffer");
	buf_free(&b);
}

static void
test_failure_sticks(void)
{
	struct buf b = {0};

	buf_put_u8(&b, 'a');
	ok(!buf_room(&b, SIZE_MAX) && b.failed, "more than can be is refused");
	buf_put_u64(&b, 1);
	buf_put(&b, "bcd", 3);
	buf_put_str(&b, "e", 1);
	ok(b.failed && b.len == 1 && b.data[0] == 'a', "later puts are ignored");
	ok(!buf_room(&b, 0), "no room after a failure");
	buf_reset(&b);
	buf_put_u8(&b, 'f');
	ok(!b.failed && b.len == 1 && b.data[0] == 'f', "reset starts anew");
	buf_free(&b);
}

static void
test_consume(void)
{
	struct buf b = {0};

	buf_consume(&b, 0);
	is_int(b.len, 0, "nothing off nothing");
	buf_put(&b, "abcdef", 6);
	buf_consume(&b, 0);
	buf_consume(&b, 2);
	ok(b.len == 4 && memcmp(b.data, "cdef", 4) == 0, "two off the front");
	buf_consume(&b, 4);
	is_int(b.len, 0, "all off the front");
	buf_put(&b, "g", 1);
	ok(b.len == 1 && b.data[0] == 'g', "and on it goes");
	buf_free(&b);
}

static void
put_all(struct buf *b)
{
	buf_put_u8(b, 0xf1);
	buf_put_u16(b, 0xf2f3);
	buf_put_u32(b, 0xf4f5f6f7u);
	buf_put_u64(b, 0xf8f9fafbfcfdfeffu);
	buf_put_str(b, "name", 4);
	buf_put(b, "raw", 3);
}

/* Reads what put_all wrote; true if every value came out. */
static bool
read_all(struct cur *c)
{
	bool same;
	size_t len;
	const uint8_t *p;

	same = cur_u8(c) == 0xf1;
	same = (cur_u16(c) == 0xf2f3) && same;
	same = (cur_u32(c) == 0xf4f5f6f7u) && same;
	same = (cur_u64(c) == 0xf8f9fafbfcfdfeffu) && same;
	p = cur_str(c, &len);
	same = p && len == 4 && memcmp(p, "name", 4) == 0 && same;
	p = cur_bytes(c, 3);
	return p && memcmp(p, "raw", 3) == 0 && same;
}

static void
test_cursor(void)
{
	struct buf b = {0};
	struct cur c;
	bool all_bad = true;

	put_all(&b);
	c = cur_of(b.data, b.len);
	ok(read_all(&c) && cur_done(&c), "what was put is read, to the last byte");
	cur_u8(&c);
	ok(c.bad && !cur_done(&c), "one more is bad");

	for (size_t n = 0; n < b.len; n++) {
		/* An exact copy, so that a read past the end is seen by the sanitizer. */
		uint8_t *part = malloc(n ? n : 1);

		if (!part)
			abort();
		memcpy(part, b.data, n);
		c = cur_of(part, n);
		all_bad = !read_all(&c) && c.bad && c.left == 0 && !cur_done(&c) && all_bad;
		free(part);
	}
	ok(all_bad, "each of %zu truncations is bad", b.len);
	buf_free(&b);
}

static void
test_cursor_bad(void)
{
	struct cur c = cur_of("\x05\x00"
			      "abc",
			      5);
	size_t len = 99;

	ok(!cur_str(&c, &len) && len == 0 && c.bad, "a string longer than what is left");
	ok(cur_u8(&c) == 0 && cur_u16(&c) == 0 && cur_u32(&c) == 0 && cur_u64(&c) == 0,
	   "all reads after are zero");
	ok(!cur_bytes(&c, 0) && c.bad, "and no bytes, not even none");

	c = cur_of("abc", 3);
	cur_u32(&c);
	ok(c.bad && c.left == 0, "a read that does not fit empties the cursor");
	c = cur_of("abc", 3);
	ok(!cur_bytes(&c, SIZE_MAX) && c.bad, "a length that would wrap");
	c = cur_of(NULL, 0);
	ok(cur_done(&c), "nothing is done");
	c = cur_of("\x00\x00", 2);
	cur_str(&c, &len);
	ok(len == 0 && cur_done(&c), "an empty string is no error");
	c = cur_of("ab", 2);
	cur_u8(&c);
	ok(!c.bad && !cur_done(&c), "a byte too many is not done");
}

int
main(void)
{
	test_layout();
	test_set_get();
	test_growth();
	test_room();
	test_failure_sticks();
	test_consume();
	test_cursor();
	test_cursor_bad();
	return tap_done();
}
