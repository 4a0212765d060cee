/* SPDX-License-Identifier: BSD-2-Clause */
/* Stat signatures: each field counts, and the bytes. */
#include "config.h"

#include "proto/sig.h"

#include <stdlib.h>

#include "tests/tap.h"

#define SIG_BYTES 44

static struct sig
sample(void)
{
	return (struct sig){
		.ino = 0x1122334455667788u,
		.size = 12345,
		.mtime_ns = -5,
		.ctime_ns = 1700000000123456789,
		.uid = 33,
		.gid = UINT32_MAX,
		.mode = 07644,
		.kind = KIND_FILE,
		.provisional = true,
	};
}

/* One signature a field, that field changed. */
static size_t
variants(struct sig out[static 9])
{
	for (size_t i = 0; i < 9; i++)
		out[i] = sample();
	out[0].ino++;
	out[1].size++;
	out[2].mtime_ns++;
	out[3].uid++;
	out[4].gid--;
	out[5].mode ^= 1;
	out[6].kind = KIND_SYMLINK;
	out[7].ctime_ns++;
	out[8].provisional = false;
	return 9;
}

static void
test_eq(void)
{
	struct sig a = sample(), v[9];
	size_t n = variants(v);

	ok(sig_eq(&a, &a) && sig_eq_renamed(&a, &a), "equal to itself");
	for (size_t i = 0; i < n; i++) {
		ok(sig_eq(&a, &v[i]) == (i == 8), "variant %zu: equal only but for provisional", i);
		ok(sig_eq_renamed(&a, &v[i]) == (i >= 7), "variant %zu: a rename moves ctime", i);
	}
}

static void
test_shows(void)
{
	struct sig s = {.kind = KIND_FILE, .size = 7, .mtime_ns = -5, .mode = 0600, .ino = 3};
	struct record r = {.kind = KIND_FILE, .size = 7, .mtime_ns = -5, .mode = 0644};

	ok(sig_shows(&s, &r), "a file of that size and time, whatever its mode");
	s.size = 8;
	ok(!sig_shows(&s, &r), "not of another size");
	s.size = 7;
	s.mtime_ns = -4;
	ok(!sig_shows(&s, &r), "nor of another time");
	ok(sig_coarse(&s), "no fraction of a second");
	s.ctime_ns = 1700000000000000001;
	ok(!sig_coarse(&s), "a fraction of a second");
	s.kind = KIND_DIR;
	ok(!sig_shows(&s, &r), "nor a directory");
	r.kind = KIND_DIR;
	ok(sig_shows(&s, &r), "a directory has neither");
}

static void
test_bytes(void)
{
	const char want[] = "\x88\x77\x66\x55\x44\x33\x22\x11"
			    "\x39\x30\0\0\0\0\0\0"
			    "\xfb\xff\xff\xff\xff\xff\xff\xff"
			    "\x15\xcd\x85\x3d\xfe\x9c\x97\x17"
			    "\x21\0\0\0\xff\xff\xff\xff\xa4\x0f\x01\x01";
	struct sig a = sample(), got;
	struct buf b = {0};
	struct cur c;

	sig_encode(&b, &a);
	is_int(b.len, SIG_BYTES, "the length");
	ok(b.len == sizeof(want) - 1 && memcmp(b.data, want, b.len) == 0, "the bytes");
	c = cur_of(b.data, b.len);
	got = sig_decode(&c);
	ok(cur_done(&c) && sig_eq(&a, &got) && got.provisional, "and back");
	buf_free(&b);
}

static struct sig
decode_exact(const uint8_t *bytes, size_t len, bool *bad)
{
	uint8_t *copy = malloc(len ? len : 1);
	struct sig s;
	struct cur c;

	if (!copy)
		abort();
	memcpy(copy, bytes, len);
	c = cur_of(copy, len);
	s = sig_decode(&c);
	*bad = c.bad;
	free(copy);
	return s;
}

static void
test_damage(void)
{
	struct sig a = sample(), zero = {0}, got;
	struct buf b = {0};
	bool bad, refused = true, changed = true;

	sig_encode(&b, &a);
	for (size_t n = 0; n < b.len; n++) {
		got = decode_exact(b.data, n, &bad);
		refused = refused && bad && sig_eq(&got, &zero) && !got.provisional;
	}
	ok(refused, "each of %zu truncations is bad and gives zeros", b.len);
	for (size_t i = 0; i < b.len * 8; i++) {
		b.data[i / 8] = (uint8_t)(b.data[i / 8] ^ 1 << i % 8);
		got = decode_exact(b.data, b.len, &bad);
		changed = changed && (bad || !sig_eq(&got, &a) || !got.provisional);
		b.data[i / 8] = (uint8_t)(b.data[i / 8] ^ 1 << i % 8);
	}
	ok(changed, "each flipped bit is bad or another signature");
	buf_free(&b);
}

static void
test_refused(void)
{
	const struct {
		size_t at;
		uint8_t byte;
		bool bad;
	} as[] = {
		{41, 0x0f, false}, {41, 0x10, true}, {42, KIND_SYMLINK, false},
		{42, 4, true},     {43, 0, false},   {43, 2, true},
	};
	struct sig a = sample();
	struct buf b = {0};
	bool bad;

	for (size_t i = 0; i < ARRAY_LEN(as); i++) {
		buf_reset(&b);
		sig_encode(&b, &a);
		b.data[as[i].at] = as[i].byte;
		decode_exact(b.data, b.len, &bad);
		ok(bad == as[i].bad, "byte %zu as %u is %s", as[i].at, as[i].byte,
		   as[i].bad ? "bad" : "fine");
	}
	buf_free(&b);
}

int
main(void)
{
	test_eq();
	test_shows();
	test_bytes();
	test_damage();
	test_refused();
	return tap_done();
}
