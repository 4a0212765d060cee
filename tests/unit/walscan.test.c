/* SPDX-License-Identifier: BSD-2-Clause */
/* Frames in a file that is noise, cut, short to read, or failing. */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/entry.h"
#include "proto/wal.h"
#include "proto/walscan.h"
#include "tests/tap.h"

/* A file of which at most `step` bytes are read at once, and none from `fails` on. */
struct file {
	struct buf bytes;
	size_t step;
	uint64_t fails;
	unsigned reads;
};

static ssize_t
read_at(void *arg, uint64_t off, void *to, size_t len)
{
	struct file *f = arg;
	size_t left = off < f->bytes.len ? f->bytes.len - (size_t)off : 0;

	f->reads++;
	if (off >= f->fails)
		return -EIO;
	if (len > f->fails - off)
		len = (size_t)(f->fails - off);
	if (len > left)
		len = left;
	if (len > f->step)
		len = f->step;
	if (len > 0)
		memcpy(to, f->bytes.data + off, len);
	return (ssize_t)len;
}

static void
open_file(struct file *f, struct walscan *s)
{
	f->step = f->step > 0 ? f->step : SIZE_MAX;
	f->fails = UINT64_MAX;
	walscan_init(s, read_at, f);
	walscan_reset(s, f->bytes.len);
}

/* A clock entry: the smallest of a known type. */
static void
put_clock(struct file *f, uint64_t hlc)
{
	struct entry e = {.type = ENTRY_CLOCK, .num = hlc};
	size_t begin = walscan_begin(&f->bytes);

	entry_encode(&f->bytes, &e);
	walscan_end(&f->bytes, begin);
}

/* A type that this version does not know, with len bytes. */
static void
put_unknown(struct file *f, size_t len)
{
	size_t begin = walscan_begin(&f->bytes);

	for (size_t i = 0; i < len; i++)
		buf_put_u8(&f->bytes, i == 0 ? ENTRY_TYPE_LIMIT : (uint8_t)i);
	walscan_end(&f->bytes, begin);
}

static void
test_frames(void)
{
	struct file f = {.step = 3};
	struct walscan s;
	struct walframe frame;
	size_t second;

	put_clock(&f, 7);
	second = f.bytes.len;
	put_unknown(&f, 1000);
	open_file(&f, &s);
	is_int(walscan_frame(&s, 0, &frame), 0, "the first frame, three bytes a read");
	is_int(frame.size, (long long)second, "its size");
	is_mem(frame.bytes, f.bytes.data, second, "its bytes");
	ok(frame.payload == frame.bytes + WAL_ENTRY_HEADER_BYTES &&
		   frame.len + WAL_ENTRY_HEADER_BYTES == frame.size,
	   "its payload");
	is_int(walscan_frame(&s, second, &frame), 0, "the second one");
	is_int(frame.len, 1000, "of its length");
	is_int(walscan_frame(&s, second + frame.size, &frame), -EBADMSG, "none at the end");
	is_int(walscan_frame(&s, 1, &frame), -EBADMSG, "none in the middle");
	walscan_free(&s);
	buf_free(&f.bytes);
}

/* No byte of a frame may change, and none may be missing. */
static void
test_attack(void)
{
	struct file f = {0};
	struct walscan s;
	struct walframe frame;
	unsigned wrong = 0;
	uint64_t at;

	put_clock(&f, 0x1122334455667788);
	for (size_t i = 0; i < f.bytes.len * 8; i++) {
		f.bytes.data[i / 8] ^= (uint8_t)(1u << i % 8);
		open_file(&f, &s);
		wrong += walscan_frame(&s, 0, &frame) != -EBADMSG;
		wrong += walscan_find(&s, 0, &at) != 0;
		walscan_free(&s);
		f.bytes.data[i / 8] ^= (uint8_t)(1u << i % 8);
	}
	is_int(wrong, 0, "every bit");
	for (size_t end = 0; end < f.bytes.len; end++) {
		open_file(&f, &s);
		walscan_reset(&s, end);
		wrong += walscan_frame(&s, 0, &frame) != -EBADMSG;
		walscan_free(&s);
	}
	is_int(wrong, 0, "every end");
	buf_free(&f.bytes);
}

static void
test_errors(void)
{
	struct file f = {0};
	struct walscan s;
	struct walframe frame;
	const uint8_t *p;
	uint64_t at;

	put_unknown(&f, 100);
	open_file(&f, &s);
	f.fails = 50;
	is_int(walscan_frame(&s, 0, &frame), -EIO, "a read error is one");
	is_int(walscan_find(&s, 0, &at), -EIO, "in the search too");
	f.fails = UINT64_MAX;
	walscan_reset(&s, f.bytes.len);
	is_int(walscan_frame(&s, 0, &frame), 0, "and then it is read");
	walscan_reset(&s, f.bytes.len + 10);
	is_int(walscan_bytes(&s, f.bytes.len, 10, &p), -EIO, "a file shorter than it should be");
	is_int(walscan_bytes(&s, f.bytes.len - 1, 1, &p), 0, "but not its last byte");
	is_int(*p, f.bytes.data[f.bytes.len - 1], "which is the right one");
	walscan_free(&s);
	buf_free(&f.bytes);
}

/* Behind any amount of damage the next frame is found; what was read once is read again after a
 * reset. */
static void
test_search(void)
{
	static const size_t noise[] = {
		1, 7, 8, 9, 255, WALSCAN_CHUNK_BYTES - 3, 2 * WALSCAN_CHUNK_BYTES + 1};

	for (size_t i = 0; i < sizeof(noise) / sizeof(*noise); i++) {
		struct file f = {0};
		struct walscan s;
		uint64_t at = 0;

		for (size_t n = 0; n < noise[i]; n++)
			buf_put_u8(&f.bytes, (uint8_t)(n * 2654435761u >> 24));
		put_clock(&f, 9);
		open_file(&f, &s);
		is_int(walscan_find(&s, 0, &at), 1, "behind %zu bytes of noise", noise[i]);
		is_int(at, (long long)noise[i], "where it is");
		is_int(walscan_find(&s, at + 1, &at), 0, "and no other");
		f.bytes.data[noise[i]] ^= 1;
		if (f.bytes.len <= WALSCAN_CHUNK_BYTES)
			is_int(walscan_find(&s, 0, &at), 1, "what was read is not read again");
		walscan_reset(&s, f.bytes.len);
		is_int(walscan_find(&s, 0, &at), 0, "but after a reset");
		walscan_free(&s);
		buf_free(&f.bytes);
	}
}

int
main(void)
{
	test_frames();
	test_attack();
	test_errors();
	test_search();
	return tap_done();
}
