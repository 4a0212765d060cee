/* SPDX-License-Identifier: BSD-2-Clause */
/* A set of dots, kept as ranges: what I hold, what a peer holds, what is acknowledged. */
#ifndef MIMEO_PROTO_DOTSET_H
#define MIMEO_PROTO_DOTSET_H

#include "proto/vv.h"

/*
 * Ranges [lo, hi] per origin, sorted, disjoint, not touching. A version vector is the special case
 * of one range from 1 an origin; "the vector and the dots above it" is the general one. Adding in
 * ascending order per origin is O(log origins). All zero is the empty set.
 */
struct dotspan {
	uint64_t lo;
	uint64_t hi;
};
struct dotspans {
	uint64_t origin;
	struct dotspan *span;
	uint32_t n;
	uint32_t cap;
};
struct dotset {
	struct dotspans *o; /* sorted by origin */
	uint32_t n;
	uint32_t cap;
};

/*
 * A set with more spans than this is refused when it comes from outside (on the wire: 16 bytes a
 * span and 12 an origin).
 */
#define DOTSET_SPANS_MAX 2000000

void dotset_free(struct dotset *s);
void dotset_clear(struct dotset *s);
bool dotset_has(const struct dotset *s, struct dot d);
/* Highest n such that 1..n are all in the set: the version vector's entry. 0 if 1 is missing. */
uint64_t dotset_prefix(const struct dotset *s, uint64_t origin);
/* Highest dot of that origin in the set, 0 if none. */
uint64_t dotset_max(const struct dotset *s, uint64_t origin);
/*
 * Adding: -EINVAL for origin 0 and for anything outside 1..DOT_SEQ_MAX; lo > hi adds nothing. All
 * that return int: -ENOMEM, which leaves each origin as it was or done.
 */
NODISCARD int dotset_add(struct dotset *s, struct dot d);
NODISCARD int dotset_add_range(struct dotset *s, uint64_t origin, uint64_t lo, uint64_t hi);
/* Takes one dot out (splits its range). */
NODISCARD int dotset_del(struct dotset *s, struct dot d);
NODISCARD int dotset_join(struct dotset *s, const struct dotset *other);
/* s becomes s without other. */
NODISCARD int dotset_minus(struct dotset *s, const struct dotset *other);
NODISCARD int dotset_copy(struct dotset *to, const struct dotset *from);
bool dotset_subset(const struct dotset *a, const struct dotset *b); /* a within b */
bool dotset_eq(const struct dotset *a, const struct dotset *b);
bool dotset_empty(const struct dotset *s);
/* Number of dots; saturates at UINT64_MAX. */
uint64_t dotset_count(const struct dotset *s);
/* Number of ranges: what its memory goes by. */
uint64_t dotset_spans(const struct dotset *s);
/* A 64-bit digest that is equal for equal sets (FNV-1a over the encoding). */
uint64_t dotset_digest(const struct dotset *s);
/*
 * u32 origins; per origin: origin u64, u32 spans, per span lo u64, hi u64. Decode: -EPROTO for
 * anything that is not sorted, disjoint, non-touching, within 1..DOT_SEQ_MAX and under the limit;
 * an origin with 0 spans adds nothing. -ENOMEM. On an error *out is empty.
 */
void dotset_encode(struct buf *b, const struct dotset *s);
NODISCARD int dotset_decode(struct cur *c, struct dotset *out);
/* The same for one origin alone (0 spans if it has none): what changed is sent by origin. */
void dotset_encode_origin(struct buf *b, const struct dotset *s, uint64_t origin);
/*
 * Appends a textual form for people: "origin:1-5,7;origin:…", the origin in 16
 * hexadecimal digits, the dots in decimal. For traces and tests.
 */
void dotset_text(struct buf *b, const struct dotset *s);
/* The first dot >= from of that origin that is in the set; 0 if there is none. */
uint64_t dotset_next(const struct dotset *s, uint64_t origin, uint64_t from);

#endif
