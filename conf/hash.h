/* SPDX-License-Identifier: BSD-2-Clause */
/* SHA-256 of a stream of bytes. The one user of libcrypto's digests. */
#ifndef MIMEO_CONF_HASH_H
#define MIMEO_CONF_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "proto/attr.h"

#define HASH_BYTES 32
#define HASH_HEX_BYTES (2 * HASH_BYTES + 1) /* lower-case digits and the terminator */

/*
 * One stream at a time, by one thread at a time. A failure of the library sticks until the next
 * reset and is told by hash_final, so that a reader checks once.
 */
struct hash;

/* Ready for the first update. NULL: out of memory (or a libcrypto without SHA-256). */
struct hash *hash_new(void);
void hash_free(struct hash *h); /* NULL is fine */
/* Forgets what was hashed; ready for the next stream. Costs far less than a new one. */
void hash_reset(struct hash *h);
void hash_update(struct hash *h, const void *data, size_t len);
/*
 * The digest of everything since the last reset. 0, or -ENOMEM when the library failed on the way
 * (out is then zeroed). Afterwards hash_reset comes next; a second final without it is -EINVAL.
 */
NODISCARD int hash_final(struct hash *h, uint8_t out[HASH_BYTES]);

/* All at once. 0 or -ENOMEM. */
NODISCARD int hash_of(const void *data, size_t len, uint8_t out[HASH_BYTES]);

/* 64 lower-case hex digits and a terminator. */
void hash_hex(const uint8_t hash[HASH_BYTES], char out[HASH_HEX_BYTES]);
/*
 * The reverse: exactly 64 hex digits of either case, nothing behind. 0 or -EINVAL (out
 * untouched).
 */
NODISCARD int hash_parse(const char *hex, uint8_t out[HASH_BYTES]);

#endif
