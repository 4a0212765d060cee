/* SPDX-License-Identifier: BSD-2-Clause */
/* Checks conf/hash against known digests, however the bytes are split. */
#include "config.h"

#include "conf/hash.h"

#include <errno.h>

#include "tests/tap.h"

#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define MILLION_A "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"

static void
is_hash(const uint8_t hash[HASH_BYTES], const char *want, const char *what)
{
	char hex[HASH_HEX_BYTES];

	hash_hex(hash, hex);
	is_str(hex, want, "%s", what);
}

static void
test_known(void)
{
	uint8_t out[HASH_BYTES];

	is_int(hash_of("", 0, out), 0, "hash of nothing");
	is_hash(out, EMPTY, "FIPS 180: empty");
	is_int(hash_of(NULL, 0, out), 0, "hash of NULL and 0");
	is_hash(out, EMPTY, "is the empty one");
	is_int(hash_of("abc", 3, out), 0, "hash of abc");
	is_hash(out, ABC, "FIPS 180: abc");
}

static void
test_stream(void)
{
	struct hash *h = hash_new();
	uint8_t out[HASH_BYTES], want[HASH_BYTES], bytes[257];
	unsigned wrong = 0;
	char block[1000];

	ok(h != NULL, "hash_new");
	if (!h)
		return;
	memset(block, 'a', sizeof(block));
	for (int i = 0; i < 1000; i++)
		hash_update(h, block, sizeof(block));
	is_int(hash_final(h, out), 0, "a million bytes");
	is_hash(out, MILLION_A, "FIPS 180: a million times a");
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7);
	is_int(hash_of(bytes, sizeof(bytes), want), 0, "the whole");
	for (size_t cut = 0; cut <= sizeof(bytes); cut++) {
		hash_reset(h);
		hash_update(h, bytes, cut);
		hash_update(h, bytes + cut, sizeof(bytes) - cut);
		wrong += hash_final(h, out) != 0 || memcmp(out, want, HASH_BYTES) != 0;
	}
	is_int(wrong, 0, "every split gives the same");
	is_int(hash_final(h, out), -EINVAL, "a second final is refused");
	memset(want, 0, sizeof(want));
	is_mem(out, want, HASH_BYTES, "and gives zeros");
	hash_update(h, "abc", 3);
	is_int(hash_final(h, out), -EINVAL, "an update without a reset is not hashed");
	hash_reset(h);
	hash_update(h, "xyz", 3);
	hash_reset(h);
	hash_update(h, "abc", 3);
	is_int(hash_final(h, out), 0, "after a reset in mid-stream");
	is_hash(out, ABC, "nothing of before is left");
	hash_free(h);
	hash_free(NULL);
}

static void
test_hex(void)
{
	uint8_t out[HASH_BYTES], back[HASH_BYTES];
	char hex[HASH_HEX_BYTES + 1] = ABC, upper[HASH_HEX_BYTES] = ABC;
	unsigned wrong = 0;

	is_int(hash_parse(hex, out), 0, "parse");
	is_hash(out, ABC, "and back");
	for (char *p = upper; *p; p++)
		if (*p >= 'a' && *p <= 'f')
			*p = (char)(*p - 'a' + 'A');
	is_int(hash_parse(upper, back), 0, "upper case");
	is_mem(back, out, HASH_BYTES, "is the same");
	memset(back, 0x55, sizeof(back));
	for (size_t i = 0; i < 64; i++) {
		static const char bad[] = "g/:@G`\xe9 \n";

		for (const char *p = bad; *p; p++) {
			memcpy(hex, ABC, 65);
			hex[i] = *p;
			wrong += hash_parse(hex, back) != -EINVAL;
		}
		memcpy(hex, ABC, 65);
		hex[i] = '\0';
		wrong += hash_parse(hex, back) != -EINVAL;
	}
	is_int(wrong, 0, "any other character at any place, and every length below, are refused");
	memcpy(hex, ABC "0", 66);
	is_int(hash_parse(hex, back), -EINVAL, "one digit too many");
	is_int(hash_parse("", back), -EINVAL, "empty");
	is_int(back[0], 0x55, "a refused text leaves the output alone");
}

int
main(void)
{
	test_known();
	test_stream();
	test_hex();
	return tap_done();
}
