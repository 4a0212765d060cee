/* SPDX-License-Identifier: BSD-2-Clause */
/* CRC-32C: published values, and both ways of computing it against the bitwise definition. */
#include "config.h"

#include "proto/crc32c.h"

#include "tests/tap.h"

#define BYTES_MAX 300

/* The definition, a bit at a time. */
static uint32_t
by_bits(uint32_t crc, const uint8_t *p, size_t len)
{
	crc = ~crc;
	for (size_t i = 0; i < len; i++) {
		crc ^= p[i];
		for (unsigned bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
	}
	return ~crc;
}

/* The examples of RFC 3720, appendix B.4. */
static void
test_published(void)
{
	uint8_t p[32];

	is_int(crc32c(0, "123456789", 9), 0xe3069283u, "the nine digits");
	memset(p, 0, sizeof(p));
	is_int(crc32c(0, p, sizeof(p)), 0x8a9136aau, "32 zeros");
	memset(p, 0xff, sizeof(p));
	is_int(crc32c(0, p, sizeof(p)), 0x62a8ab43u, "32 ones");
	for (unsigned i = 0; i < sizeof(p); i++)
		p[i] = (uint8_t)i;
	is_int(crc32c(0, p, sizeof(p)), 0x46dd794eu, "0 to 31");
	for (unsigned i = 0; i < sizeof(p); i++)
		p[i] = (uint8_t)(31 - i);
	is_int(crc32c(0, p, sizeof(p)), 0x113fdb5cu, "31 to 0");
	is_int(crc32c(0, NULL, 0), 0, "nothing is 0");
	is_int(crc32c(0xe3069283u, NULL, 0), 0xe3069283u, "nothing changes nothing");
}

static void
fill(uint8_t *p, size_t len)
{
	uint32_t x = 12345;

	for (size_t i = 0; i < len; i++) {
		x = x * 1664525u + 1013904223u;
		p[i] = (uint8_t)(x >> 24);
	}
}

/* Every length at every alignment of a word. */
static void
test_against_bits(void)
{
	uint8_t p[BYTES_MAX + 8];
	bool fast = true, portable = true;

	fill(p, sizeof(p));
	for (size_t at = 0; at < 8; at++) {
		for (size_t len = 0; len <= BYTES_MAX; len++) {
			uint32_t want = by_bits((uint32_t)at, p + at, len);

			fast = fast && crc32c((uint32_t)at, p + at, len) == want;
			portable = portable && crc32c_portable((uint32_t)at, p + at, len) == want;
		}
	}
	ok(fast, "each length at each alignment");
	ok(portable, "each length at each alignment, by tables");
}

static void
test_tables(void)
{
	bool same = true;
	uint8_t p[4] = {0};

	for (unsigned at = 0; at < 4; at++) {
		for (unsigned v = 0; v < 256; v++) {
			p[at] = (uint8_t)v;
			same = same && crc32c_portable(0, p, 4) == by_bits(0, p, 4);
			same = same && crc32c_portable(0, p + 3, 1) == by_bits(0, p + 3, 1);
		}
		p[at] = 0;
	}
	ok(same, "every entry of every table");
}

static void
test_splits(void)
{
	uint8_t p[100];
	uint32_t whole;
	bool same = true;

	fill(p, sizeof(p));
	whole = crc32c(0, p, sizeof(p));
	for (size_t i = 0; i <= sizeof(p); i++) {
		uint32_t part = crc32c(0, p, i);

		same = same && crc32c(part, p + i, sizeof(p) - i) == whole;
		same = same && crc32c_portable(part, p + i, sizeof(p) - i) == whole;
	}
	ok(same, "two parts give the whole, at every split");
}

static void
test_flips(void)
{
	uint8_t p[64];
	uint32_t whole;
	bool seen = true;

	fill(p, sizeof(p));
	whole = crc32c(0, p, sizeof(p));
	for (size_t i = 0; i < sizeof(p) * 8; i++) {
		p[i / 8] = (uint8_t)(p[i / 8] ^ 1 << i % 8);
		seen = seen && crc32c(0, p, sizeof(p)) != whole;
		p[i / 8] = (uint8_t)(p[i / 8] ^ 1 << i % 8);
	}
	ok(seen, "every flipped bit is seen");
}

int
main(void)
{
	test_published();
	test_against_bits();
	test_tables();
	test_splits();
	test_flips();
	return tap_done();
}
