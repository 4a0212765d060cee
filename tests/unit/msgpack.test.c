/* SPDX-License-Identifier: BSD-2-Clause */
/* MessagePack: every form of the specification, cut anywhere, nested too deep, and lengths that
 * lie. */
#include "config.h"

#include "agent/msgpack.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/tap.h"

struct form {
	const char *bytes;
	size_t len;
	enum msgpack_kind kind;
	uint64_t n;
	int64_t negative;
};

#define FORM(text, kind, n)                                                                        \
	{                                                                                          \
		text, sizeof(text) - 1, kind, n, 0                                                 \
	}
#define MINUS(text, v)                                                                             \
	{                                                                                          \
		text, sizeof(text) - 1, MSGPACK_INT, 0, v                                          \
	}

static const struct form forms[] = {
	FORM("\x00", MSGPACK_UINT, 0),
	FORM("\x7f", MSGPACK_UINT, 127),
	FORM("\x80", MSGPACK_MAP, 0),
	FORM("\x8f", MSGPACK_MAP, 15),
	FORM("\x90", MSGPACK_ARRAY, 0),
	FORM("\x9f", MSGPACK_ARRAY, 15),
	FORM("\xa0", MSGPACK_BYTES, 0),
	FORM("\xa3"
	     "abc",
	     MSGPACK_BYTES, 3),
	FORM("\xc0", MSGPACK_NIL, 0),
	FORM("\xc2", MSGPACK_BOOL, 0),
	FORM("\xc3", MSGPACK_BOOL, 1),
	FORM("\xc4\x02"
	     "ab",
	     MSGPACK_BYTES, 2),
	FORM("\xc5\x00\x01"
	     "a",
	     MSGPACK_BYTES, 1),
	FORM("\xc6\x00\x00\x00\x01"
	     "a",
	     MSGPACK_BYTES, 1),
	FORM("\xc7\x01\x05"
	     "a",
	     MSGPACK_EXT, 1),
	FORM("\xc8\x00\x01\x05"
	     "a",
	     MSGPACK_EXT, 1),
	FORM("\xc9\x00\x00\x00\x01\x05"
	     "a",
	     MSGPACK_EXT, 1),
	FORM("\xca\x00\x00\x00\x07", MSGPACK_FLOAT, 7),
	FORM("\xcb\x00\x00\x00\x00\x00\x00\x00\x07", MSGPACK_FLOAT, 7),
	FORM("\xcc\xff", MSGPACK_UINT, 255),
	FORM("\xcd\x01\x02", MSGPACK_UINT, 258),
	FORM("\xce\x01\x02\x03\x04", MSGPACK_UINT, 0x01020304),
	FORM("\xcf\xff\xff\xff\xff\xff\xff\xff\xff", MSGPACK_UINT, UINT64_MAX),
	FORM("\xd0\x7f", MSGPACK_UINT, 127),
	FORM("\xd1\x01\x00", MSGPACK_UINT, 256),
	FORM("\xd2\x00\x00\x00\x05", MSGPACK_UINT, 5),
	FORM("\xd3\x7f\xff\xff\xff\xff\xff\xff\xff", MSGPACK_UINT, INT64_MAX),
	MINUS("\xff", -1),
	MINUS("\xe0", -32),
	MINUS("\xd0\x80", -128),
	MINUS("\xd1\xff\xfe", -2),
	MINUS("\xd2\x80\x00\x00\x00", INT32_MIN),
	MINUS("\xd3\x80\x00\x00\x00\x00\x00\x00\x00", INT64_MIN),
	FORM("\xd4\x05"
	     "a",
	     MSGPACK_EXT, 1),
	FORM("\xd5\x05"
	     "ab",
	     MSGPACK_EXT, 2),
	FORM("\xd6\x05"
	     "abcd",
	     MSGPACK_EXT, 4),
	FORM("\xd7\x05"
	     "abcdefgh",
	     MSGPACK_EXT, 8),
	FORM("\xd8\x05"
	     "abcdefghabcdefgh",
	     MSGPACK_EXT, 16),
	FORM("\xd9\x01"
	     "a",
	     MSGPACK_BYTES, 1),
	FORM("\xda\x00\x01"
	     "a",
	     MSGPACK_BYTES, 1),
	FORM("\xdb\x00\x00\x00\x01"
	     "a",
	     MSGPACK_BYTES, 1),
	FORM("\xdc\x01\x00", MSGPACK_ARRAY, 256),
	FORM("\xdd\xff\xff\xff\xff", MSGPACK_ARRAY, UINT32_MAX),
	FORM("\xde\x01\x00", MSGPACK_MAP, 256),
	FORM("\xdf\xff\xff\xff\xff", MSGPACK_MAP, UINT32_MAX),
};

/* Memory of just that size, so that a sanitizer sees a read past its end. */
static int
next_of(const void *bytes, size_t len, struct msgpack *m, size_t *left)
{
	uint8_t *copy = malloc(len > 0 ? len : 1);
	struct cur c;
	int r;

	if (copy == NULL)
		abort();
	memcpy(copy, bytes, len);
	c = cur_of(copy, len);
	r = msgpack_next(&c, m);
	*left = c.left;
	free(copy);
	return r;
}

static void
test_forms(void)
{
	bool right = true, cut = true;
	struct msgpack m;
	size_t left;

	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		const struct form *f = &forms[i];

		if (next_of(f->bytes, f->len, &m, &left) != 0 || left != 0 || m.kind != f->kind ||
		    m.n != f->n || m.negative != f->negative) {
			diag("form %zu: kind %d, n %llu", i, (int)m.kind, (unsigned long long)m.n);
			right = false;
		}
		for (size_t len = 0; len < f->len; len++)
			cut = cut && next_of(f->bytes, len, &m, &left) == -EAGAIN && left == len &&
			      m.bytes == NULL;
	}
	ok(right, "every form is read");
	ok(cut, "one that is cut off is waited for, and nothing is taken");
	is_int(next_of("\xc1", 1, &m, &left), -EPROTO, "the one byte that begins nothing");
}

static void
test_skip(void)
{
	/* {"a": [1, {"b": nil}], "c": "d"}, and one more byte */
	static const char whole[] = "\x82\xa1"
				    "a\x92\x01\x81\xa1"
				    "b\xc0\xa1"
				    "c\xa1"
				    "d\x05";
	char deep[MSGPACK_DEPTH_MAX + 2];
	struct cur c;
	bool cut = true;

	for (size_t len = 0; len < sizeof(whole) - 2; len++) {
		c = cur_of(whole, len);
		cut = cut && msgpack_skip(&c) == -EAGAIN && c.left == len;
	}
	ok(cut, "a value that is cut off is waited for");
	c = cur_of(whole, sizeof(whole) - 1);
	is_int(msgpack_skip(&c), 0, "a whole one");
	is_int((long long)c.left, 1, "is passed, and no more");
	memset(deep, '\x91', sizeof(deep));
	c = cur_of(deep, sizeof(deep));
	is_int(msgpack_skip(&c), -EPROTO, "too deep");
	deep[MSGPACK_DEPTH_MAX] = '\x01';
	c = cur_of(deep, MSGPACK_DEPTH_MAX + 1);
	is_int(msgpack_skip(&c), 0, "as deep as may be");
	c = cur_of("\xdf\xff\xff\xff\xff\x01", 6);
	is_int(msgpack_skip(&c), -EAGAIN, "a map that would never end");
	c = cur_of("\xdb\xff\xff\xff\xff\x01", 6);
	is_int(msgpack_skip(&c), -EAGAIN, "a text that would never end");
	c = cur_of("\x92\x01\xc1", 3);
	is_int(msgpack_skip(&c), -EPROTO, "nonsense within");
}

static void
test_text(void)
{
	struct msgpack m;
	struct cur c = cur_of("\xa3"
			      "abc",
			      4);
	char out[4], small[3];

	is_int(msgpack_next(&c, &m), 0, "a text");
	ok(msgpack_is(&m, "abc") && !msgpack_is(&m, "ab") && !msgpack_is(&m, "abd"), "compared");
	ok(msgpack_text(&m, out, sizeof(out)) && strcmp(out, "abc") == 0, "copied");
	ok(!msgpack_text(&m, small, sizeof(small)) && small[0] == '\0', "or too long");
	c = cur_of("\xa3"
		   "a\0c",
		   4);
	is_int(msgpack_next(&c, &m), 0, "one with a zero in it");
	ok(!msgpack_text(&m, out, sizeof(out)), "is no text");
	c = cur_of("\x07", 1);
	is_int(msgpack_next(&c, &m), 0, "a number");
	ok(!msgpack_text(&m, out, sizeof(out)) && !msgpack_is(&m, ""), "is none");
}

static void
test_put(void)
{
	static const size_t lens[] = {0, 31, 32, 300, 65535};
	static char text[65536];
	struct buf b = {0};
	struct msgpack m;
	struct cur c;
	bool good = true;

	memset(text, 'x', sizeof(text) - 1);
	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		buf_reset(&b);
		msgpack_put_text(&b, text, lens[i]);
		c = cur_of(b.data, b.len);
		good = good && msgpack_next(&c, &m) == 0 && m.kind == MSGPACK_BYTES &&
		       m.n == lens[i] && c.left == 0;
	}
	ok(good, "texts of all lengths are written and read");
	buf_reset(&b);
	msgpack_put_map(&b, 1);
	msgpack_put_uint(&b, 127);
	msgpack_put_uint(&b, UINT64_MAX - 1);
	c = cur_of(b.data, b.len);
	ok(msgpack_next(&c, &m) == 0 && m.kind == MSGPACK_MAP && m.n == 1 &&
		   msgpack_next(&c, &m) == 0 && m.n == 127 && msgpack_next(&c, &m) == 0 &&
		   m.n == UINT64_MAX - 1 && c.left == 0,
	   "a map of numbers, too");
	buf_free(&b);
}

int
main(void)
{
	test_forms();
	test_skip();
	test_text();
	test_put();
	return tap_done();
}
