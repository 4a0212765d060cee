/* SPDX-License-Identifier: BSD-2-Clause */
/* SHA-256 by libcrypto. */
#include "config.h"

#include "conf/hash.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct hash {
	EVP_MD *md; /* fetched once: looking it up costs as much as hashing a few hundred bytes */
	EVP_MD_CTX *ctx;
	bool running;
	bool failed;
};

struct hash *
hash_new(void)
{
	struct hash *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->md = EVP_MD_fetch(NULL, "SHA256", NULL);
	h->ctx = EVP_MD_CTX_new();
	if (h->md && h->ctx)
		hash_reset(h);
	if (!h->running || h->failed) {
		hash_free(h);
		return NULL;
	}
	return h;
}

void
hash_free(struct hash *h)
{
	if (!h)
		return;
	EVP_MD_CTX_free(h->ctx);
	EVP_MD_free(h->md);
	free(h);
}

void
hash_reset(struct hash *h)
{
	h->running = true;
	h->failed = EVP_DigestInit_ex2(h->ctx, h->md, NULL) != 1;
}

void
hash_update(struct hash *h, const void *data, size_t len)
{
	if (len == 0 || h->failed)
		return;
	if (!h->running || EVP_DigestUpdate(h->ctx, data, len) != 1)
		h->failed = true;
}

int
hash_final(struct hash *h, uint8_t out[HASH_BYTES])
{
	unsigned len = 0;
	bool running = h->running;

	h->running = false;
	if (running && !h->failed && EVP_DigestFinal_ex(h->ctx, out, &len) == 1 &&
	    len == HASH_BYTES)
		return 0;
	memset(out, 0, HASH_BYTES);
	return running ? -ENOMEM : -EINVAL;
}

int
hash_of(const void *data, size_t len, uint8_t out[HASH_BYTES])
{
	struct hash *h = hash_new();
	int rc = -ENOMEM;

	if (h) {
		hash_update(h, data, len);
		rc = hash_final(h, out);
	} else {
		memset(out, 0, HASH_BYTES);
	}
	hash_free(h);
	return rc;
}

void
hash_hex(const uint8_t hash[HASH_BYTES], char out[HASH_HEX_BYTES])
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < HASH_BYTES; i++) {
		out[2 * i] = digits[hash[i] >> 4];
		out[2 * i + 1] = digits[hash[i] & 0xf];
	}
	out[2 * HASH_BYTES] = '\0';
}

/* 0..15, or 16 for what is no hex digit (a terminator included). */
static unsigned
nibble(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0');
	if (c >= 'a' && c <= 'f')
		return (unsigned)(c - 'a') + 10;
	if (c >= 'A' && c <= 'F')
		return (unsigned)(c - 'A') + 10;
	return 16;
}

int
hash_parse(const char *hex, uint8_t out[HASH_BYTES])
{
	uint8_t bytes[HASH_BYTES];

	for (size_t i = 0; i < HASH_BYTES; i++) {
		unsigned hi = nibble(hex[2 * i]);
		unsigned lo = hi < 16 ? nibble(hex[2 * i + 1]) : 16;

		if (lo > 15)
			return -EINVAL;
		bytes[i] = (uint8_t)(hi << 4 | lo);
	}
	if (hex[2 * HASH_BYTES] != '\0')
		return -EINVAL;
	memcpy(out, bytes, sizeof(bytes));
	return 0;
}
