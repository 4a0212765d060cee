/* SPDX-License-Identifier: BSD-2-Clause */
/* Sets of dots against a naive bitmap, their laws, and bytes that are not ours. */
#include "config.h"

#include "proto/dotset.h"

#include <errno.h>
#include <stdlib.h>

#include "tests/tap.h"

#define SEED 20240120u
#define ORIGINS 3    /* of the model: 1..ORIGINS */
#define SEQS 70      /* of the model: 1..SEQS */
#define MANY 1000000 /* spans */

static uint64_t
draw(uint64_t *seed)
{
	uint64_t z = *seed += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static void
must(int rc)
{
	if (rc < 0)
		abort();
}

/* The naive set: a flag a dot. */
struct model {
	bool has[ORIGINS + 1][SEQS + 2];
};

/* Do the ranges keep their order, is there no origin without one. */
static bool
invariants(const struct dotset *s)
{
	for (uint32_t i = 0; i < s->n; i++) {
		const struct dotspans *o = &s->o[i];

		if (o->n == 0 || o->n > o->cap || o->span[0].lo == 0)
			return false;
		if (i > 0 && s->o[i - 1].origin >= o->origin)
			return false;
		for (uint32_t j = 0; j < o->n; j++)
			if (o->span[j].lo > o->span[j].hi ||
			    (j > 0 && o->span[j].lo <= o->span[j - 1].hi + 1))
				return false;
	}
	return s->n <= s->cap;
}

/* Does every question about one origin get the model's answer. */
static bool
agrees_at(const struct dotset *s, const struct model *m, uint64_t origin)
{
	uint64_t prefix = 0, max = 0, next = 0;

	for (uint64_t q = SEQS + 1; q > 0; q--) {
		if (m->has[origin][q])
			next = q;
		if (max == 0)
			max = next;
		if (dotset_has(s, (struct dot){origin, q}) != m->has[origin][q])
			return false;
		if (dotset_next(s, origin, q) != next)
			return false;
	}
	while (m->has[origin][prefix + 1])
		prefix++;
	return dotset_next(s, origin, 0) == next && dotset_prefix(s, origin) == prefix &&
	       dotset_max(s, origin) == max && !dotset_has(s, (struct dot){origin, 0});
}

static bool
agrees(const struct dotset *s, const struct model *m)
{
	uint64_t count = 0;

	for (uint64_t o = 1; o <= ORIGINS; o++) {
		if (!agrees_at(s, m, o))
			return false;
		for (uint64_t q = 1; q <= SEQS; q++)
			count += m->has[o][q];
	}
	return invariants(s) && dotset_count(s) == count && dotset_empty(s) == (count == 0);
}

/* One random change to both. */
static void
step(uint64_t *seed, struct dotset *s, struct model *m)
{
	struct dot d = {1 + draw(seed) % ORIGINS, 1 + draw(seed) % SEQS};
	uint64_t hi = d.seq + draw(seed) % 9;

	switch (draw(seed) % 5) {
	case 0:
	case 1:
		must(dotset_add(s, d));
		m->has[d.origin][d.seq] = true;
		break;
	case 2:
		if (hi > SEQS)
			hi = SEQS;
		must(dotset_add_range(s, d.origin, d.seq, hi));
		for (uint64_t q = d.seq; q <= hi; q++)
			m->has[d.origin][q] = true;
		break;
	default:
		must(dotset_del(s, d));
		m->has[d.origin][d.seq] = false;
	}
}

static void
test_model_steps(void)
{
	uint64_t seed = SEED;
	struct dotset s = {0};
	struct model m = {0};
	unsigned i;
	bool same = true;

	for (i = 0; i < 20000 && same; i++) {
		step(&seed, &s, &m);
		same = agrees(&s, &m);
	}
	ok(same, "adding and taking out agrees with the bitmap, seed %u, %u steps", SEED, i);
	dotset_free(&s);
	ok(dotset_empty(&s) && !s.o && s.cap == 0, "freed is empty");
}

/* A set of up to 40 steps and its bitmap. */
static struct dotset
random_set(uint64_t *seed, struct model *m)
{
	struct dotset s = {0};

	*m = (struct model){0};
	for (uint64_t n = draw(seed) % 41; n > 0; n--)
		step(seed, &s, m);
	return s;
}

/* How two bitmaps combine. */
static struct model
both(const struct model *a, const struct model *b, bool join)
{
	struct model m = {0};

	for (size_t o = 1; o <= ORIGINS; o++)
		for (size_t q = 1; q <= SEQS; q++)
			m.has[o][q] =
				join ? a->has[o][q] || b->has[o][q] : a->has[o][q] && !b->has[o][q];
	return m;
}

static bool
model_subset(const struct model *a, const struct model *b)
{
	for (size_t o = 1; o <= ORIGINS; o++)
		for (size_t q = 1; q <= SEQS; q++)
			if (a->has[o][q] && !b->has[o][q])
				return false;
	return true;
}

/* One pair; says what does not agree. */
static const char *
pair_differs(const struct dotset *a, const struct model *ma, const struct dotset *b,
	     const struct model *mb)
{
	struct dotset joined = {0}, minus = {0}, back = {0};
	struct model mj = both(ma, mb, true), mm = both(ma, mb, false);
	const char *what = NULL;

	must(dotset_copy(&joined, a));
	must(dotset_join(&joined, b));
	must(dotset_copy(&minus, a));
	must(dotset_minus(&minus, b));
	must(dotset_copy(&back, b));
	must(dotset_join(&back, a));
	if (!agrees(&joined, &mj))
		what = "join";
	else if (!agrees(&minus, &mm))
		what = "minus";
	else if (!dotset_eq(&joined, &back) || dotset_digest(&joined) != dotset_digest(&back))
		what = "the join the other way round";
	else if (dotset_subset(a, b) != model_subset(ma, mb))
		what = "subset";
	else if (!dotset_subset(a, &joined) || !dotset_subset(b, &joined) ||
		 !dotset_subset(&minus, a))
		what = "subset of the results";
	else if (dotset_eq(a, b) != (model_subset(ma, mb) && model_subset(mb, ma)))
		what = "equal";
	dotset_free(&joined);
	dotset_free(&minus);
	dotset_free(&back);
	return what;
}

static void
test_model_pairs(void)
{
	uint64_t seed = SEED + 1;
	const char *what = NULL;
	unsigned subsets = 0;

	for (unsigned i = 0; i < 5000 && !what; i++) {
		struct model ma, mb;
		struct dotset a = random_set(&seed, &ma), b = random_set(&seed, &mb);

		/* Often one within the other, or the same made otherwise: chance alone is rare. */
		if (i % 4 == 0) {
			must(dotset_join(&b, &a));
			mb = both(&mb, &ma, true);
		} else if (i % 4 == 1) {
			must(dotset_copy(&b, &a));
			mb = ma;
			if (i % 8 == 1)
				step(&seed, &b, &mb);
		}
		subsets += model_subset(&ma, &mb);
		what = pair_differs(&a, &ma, &b, &mb);
		dotset_free(&a);
		dotset_free(&b);
	}
	ok(!what, "join, minus, subset agree with bitmaps, seed %u%s%s", SEED + 1,
	   what ? "; not: " : "", what ? what : "");
	ok(subsets > 1000 && subsets < 4500, "subsets and not: %u of 5000", subsets);
}

static void
test_self(void)
{
	struct dotset s = {0}, copy = {0}, none = {0};

	must(dotset_add_range(&s, 4, 2, 9));
	must(dotset_add(&s, (struct dot){2, 1}));
	must(dotset_copy(&copy, &s));
	must(dotset_join(&s, &s));
	must(dotset_copy(&s, &s));
	ok(dotset_eq(&s, &copy), "joined with itself, copied onto itself");
	must(dotset_join(&s, &none));
	must(dotset_minus(&s, &none));
	ok(dotset_eq(&s, &copy), "nothing joined, nothing taken out");
	must(dotset_minus(&s, &s));
	ok(dotset_empty(&s) && dotset_eq(&s, &none), "without itself it is empty");
	must(dotset_minus(&s, &copy));
	ok(dotset_empty(&s), "nothing less something is nothing");
	must(dotset_copy(&copy, &s));
	ok(dotset_empty(&copy) && dotset_digest(&copy) == dotset_digest(&none), "copied empty");
	must(dotset_add(&s, (struct dot){2, 1}));
	dotset_clear(&s);
	ok(dotset_empty(&s) && !dotset_has(&s, (struct dot){2, 1}), "cleared is empty");
	must(dotset_add(&s, (struct dot){3, 3}));
	ok(dotset_count(&s) == 1, "and can be filled again");
	dotset_free(&s);
	dotset_free(&copy);
}

static void
test_limits(void)
{
	struct dotset s = {0};

	is_int(dotset_add(&s, (struct dot){0, 1}), -EINVAL, "origin 0");
	is_int(dotset_add(&s, (struct dot){1, 0}), -EINVAL, "number 0");
	is_int(dotset_add(&s, (struct dot){1, DOT_SEQ_MAX + 1}), -EINVAL, "a number too high");
	is_int(dotset_add_range(&s, 1, 0, 5), -EINVAL, "a range from 0");
	is_int(dotset_add_range(&s, 1, 5, UINT64_MAX), -EINVAL, "a range too high");
	is_int(dotset_add_range(&s, 1, 6, 5), 0, "a range of nothing");
	is_int(dotset_add_range(&s, 1, 1, 0), 0, "a range of nothing at 0");
	ok(dotset_empty(&s) && invariants(&s), "all of it adds nothing");
	is_int(dotset_add_range(&s, UINT64_MAX, 1, DOT_SEQ_MAX), 0, "all there is");
	ok(dotset_prefix(&s, UINT64_MAX) == DOT_SEQ_MAX, "has the highest prefix");
	is_int(dotset_add(&s, (struct dot){UINT64_MAX, DOT_SEQ_MAX}), 0, "added again");
	ok(s.n == 1 && s.o[0].n == 1, "nothing new");
	ok(!dotset_has(&s, (struct dot){UINT64_MAX, DOT_SEQ_MAX + 1}), "no more than that");
	ok(dotset_next(&s, UINT64_MAX, UINT64_MAX) == 0, "nothing at the end of the numbers");
	is_int(dotset_del(&s, (struct dot){UINT64_MAX, UINT64_MAX}), 0, "nothing to take there");
	is_int(dotset_del(&s, (struct dot){UINT64_MAX, 0}), 0, "nor at 0");
	is_int(dotset_del(&s, (struct dot){77, 1}), 0, "nor of an unknown origin");
	ok(dotset_count(&s) == DOT_SEQ_MAX, "the count");
	for (uint64_t o = 1; o < 4; o++)
		must(dotset_add_range(&s, o, 1, DOT_SEQ_MAX));
	ok(dotset_count(&s) == UINT64_MAX, "the count does not wrap");
	dotset_free(&s);
}

static void
test_text(void)
{
	struct dotset s = {0};
	struct buf b = {0};

	dotset_text(&b, &s);
	is_int(b.len, 0, "nothing is no text");
	must(dotset_add_range(&s, 0xabc, 1, 5));
	must(dotset_add(&s, (struct dot){0xabc, 7}));
	must(dotset_add_range(&s, UINT64_MAX, 10, DOT_SEQ_MAX));
	dotset_text(&b, &s);
	buf_put_u8(&b, 0);
	is_str((const char *)b.data,
	       "0000000000000abc:1-5,7;ffffffffffffffff:10-4611686018427387904", "the text");
	buf_free(&b);
	dotset_free(&s);
}

/* Decodes exactly these bytes from memory of exactly that size; *left is what was not read. */
static int
decode_exact(const uint8_t *bytes, size_t len, struct dotset *out, size_t *left)
{
	uint8_t *copy = malloc(len ? len : 1);
	struct cur c;
	int rc;

	if (!copy)
		abort();
	memcpy(copy, bytes, len);
	c = cur_of(copy, len);
	rc = dotset_decode(&c, out);
	*left = c.left;
	free(copy);
	return rc;
}

static void
test_bytes(void)
{
	const char want[] = "\x02\0\0\0"
			    "\x01\0\0\0\0\0\0\0\x02\0\0\0"
			    "\x01\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0"
			    "\x07\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0"
			    "\0\0\0\0\0\0\0\x80\x01\0\0\0"
			    "\x09\0\0\0\0\0\0\0\x0a\0\0\0\0\0\0\0";
	struct dotset s = {0}, got;
	struct buf b = {0};
	size_t left;

	must(dotset_add_range(&s, (uint64_t)1 << 63, 9, 10));
	must(dotset_add_range(&s, 1, 1, 5));
	must(dotset_add(&s, (struct dot){1, 7}));
	dotset_encode(&b, &s);
	ok(b.len == sizeof(want) - 1 && memcmp(b.data, want, b.len) == 0, "the bytes");
	ok(decode_exact(b.data, b.len, &got, &left) == 0 && left == 0 && dotset_eq(&s, &got),
	   "and back");
	dotset_free(&got);
	buf_free(&b);
	dotset_free(&s);
}

/* The digest's definition, over the bytes. */
static uint64_t
fnv(const uint8_t *p, size_t len)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * 0x100000001b3u;
	return h;
}

static void
test_round_trips(void)
{
	uint64_t seed = SEED + 2;
	bool same = true, digests = true;
	size_t left;

	for (unsigned i = 0; i < 2000; i++) {
		struct model m;
		struct dotset s = random_set(&seed, &m), got;
		struct buf b = {0};

		dotset_encode(&b, &s);
		same = same && decode_exact(b.data, b.len, &got, &left) == 0 && left == 0 &&
		       dotset_eq(&s, &got) && invariants(&got);
		digests = digests && dotset_digest(&s) == fnv(b.data, b.len);
		dotset_free(&got);
		dotset_free(&s);
		buf_free(&b);
	}
	ok(same, "2000 sets there and back, seed %u", SEED + 2);
	ok(digests, "the digest is that of the bytes");
}

static void
test_one_origin(void)
{
	struct dotset s = {0}, got, want = {0};
	struct buf b = {0};
	size_t left;

	must(dotset_add_range(&s, 1, 1, 5));
	must(dotset_add_range(&s, 2, 3, 4));
	must(dotset_add_range(&want, 2, 3, 4));
	dotset_encode_origin(&b, &s, 2);
	ok(decode_exact(b.data, b.len, &got, &left) == 0 && left == 0 && dotset_eq(&got, &want),
	   "one origin alone");
	dotset_free(&got);
	buf_reset(&b);
	dotset_encode_origin(&b, &s, 9);
	is_mem(b.data, "\x01\0\0\0\x09\0\0\0\0\0\0\0\0\0\0\0", 16, "an origin that has none");
	ok(decode_exact(b.data, b.len, &got, &left) == 0 && left == 0 && dotset_empty(&got),
	   "reads as nothing");
	dotset_free(&got);
	dotset_free(&s);
	dotset_free(&want);
	buf_free(&b);
}

static void
test_damage(void)
{
	struct dotset s = {0}, got;
	struct buf b = {0};
	size_t left;
	bool refused = true, sound = true;

	must(dotset_add_range(&s, 5, 1, 9));
	must(dotset_add_range(&s, 5, 20, 30));
	must(dotset_add(&s, (struct dot){70, 3}));
	dotset_encode(&b, &s);
	for (size_t n = 0; n < b.len; n++)
		refused = decode_exact(b.data, n, &got, &left) == -EPROTO && dotset_empty(&got) &&
			  !got.o && refused;
	ok(refused, "each of %zu truncations is refused", b.len);
	for (size_t i = 0; i < b.len * 8; i++) {
		b.data[i / 8] = (uint8_t)(b.data[i / 8] ^ 1 << i % 8);
		if (decode_exact(b.data, b.len, &got, &left) == 0) {
			sound = sound && invariants(&got) && !dotset_eq(&s, &got);
			dotset_free(&got);
		}
		b.data[i / 8] = (uint8_t)(b.data[i / 8] ^ 1 << i % 8);
	}
	ok(sound, "each flipped bit is refused or another sound set");
	buf_free(&b);
	dotset_free(&s);
}

/* One origin with two spans as they stand. */
static int
decode_two(uint64_t lo1, uint64_t hi1, uint64_t lo2, uint64_t hi2)
{
	struct dotset got;
	struct buf b = {0};
	size_t left;
	int rc;

	buf_put_u32(&b, 1);
	buf_put_u64(&b, 1);
	buf_put_u32(&b, 2);
	buf_put_u64(&b, lo1);
	buf_put_u64(&b, hi1);
	buf_put_u64(&b, lo2);
	buf_put_u64(&b, hi2);
	rc = decode_exact(b.data, b.len, &got, &left);
	dotset_free(&got);
	buf_free(&b);
	return rc;
}

/* Two origins with one dot each, or with none. */
static int
decode_origins(uint64_t first, uint64_t second, uint32_t spans)
{
	struct dotset got;
	struct buf b = {0};
	size_t left;
	int rc;

	buf_put_u32(&b, 2);
	for (int i = 0; i < 2; i++) {
		buf_put_u64(&b, i == 0 ? first : second);
		buf_put_u32(&b, spans);
		for (uint32_t k = 0; k < 2 * spans; k++)
			buf_put_u64(&b, 1);
	}
	rc = decode_exact(b.data, b.len, &got, &left);
	dotset_free(&got);
	buf_free(&b);
	return rc;
}

static void
test_refused(void)
{
	struct dotset got;
	size_t left;

	is_int(decode_two(1, 2, 4, DOT_SEQ_MAX), 0, "two in order");
	is_int(decode_two(1, 2, 3, 4), -EPROTO, "touching");
	is_int(decode_two(1, 2, 2, 4), -EPROTO, "overlapping");
	is_int(decode_two(4, 5, 1, 2), -EPROTO, "not sorted");
	is_int(decode_two(0, 2, 4, 5), -EPROTO, "from 0");
	is_int(decode_two(2, 1, 4, 5), -EPROTO, "the wrong way round");
	is_int(decode_two(1, 2, 4, DOT_SEQ_MAX + 1), -EPROTO, "too high");
	is_int(decode_two(1, UINT64_MAX, 4, 5), -EPROTO, "so high that one more wraps");
	is_int(decode_origins(1, 2, 1), 0, "two origins");
	is_int(decode_origins(2, 1, 1), -EPROTO, "origins not sorted");
	is_int(decode_origins(1, 1, 1), -EPROTO, "an origin twice");
	is_int(decode_origins(0, 1, 1), -EPROTO, "origin 0");
	is_int(decode_origins(2, 1, 0), -EPROTO, "origins not sorted, without spans");
	is_int(decode_exact((const uint8_t *)"\xff\xff\xff\xff", 4, &got, &left), -EPROTO,
	       "a count of origins without them");
	is_int(decode_exact((const uint8_t *)"\x01\0\0\0\x01\0\0\0\0\0\0\0\xff\xff\xff\xff", 16,
			    &got, &left),
	       -EPROTO, "a count of spans without them");
}

/* Every second number: as many spans as dots, added in order; then the gaps filled from behind. */
static void
test_many(void)
{
	struct dotset s = {0}, odd = {0}, all = {0};
	struct buf b = {0};
	size_t left;

	for (uint64_t i = 1; i <= MANY; i++)
		must(dotset_add(&s, (struct dot){7, 2 * i}));
	for (uint64_t i = 0; i < MANY; i++)
		must(dotset_add(&odd, (struct dot){7, 2 * i + 1}));
	ok(s.n == 1 && s.o[0].n == MANY && dotset_count(&s) == MANY, "a million spans in order");
	is_int(dotset_spans(&s), MANY, "are counted as such");
	ok(dotset_next(&s, 7, 1234567) == 1234568 && !dotset_has(&s, (struct dot){7, 1234567}),
	   "and each is found");

	dotset_encode(&b, &s);
	ok(decode_exact(b.data, b.len, &all, &left) == 0 && dotset_eq(&all, &s), "there and back");
	must(dotset_join(&all, &odd));
	ok(all.o[0].n == 1 && dotset_prefix(&all, 7) == 2 * MANY, "joined with the gaps: one span");
	must(dotset_minus(&all, &odd));
	ok(dotset_eq(&all, &s) && dotset_subset(&all, &s), "and taken out again");
	buf_free(&b);
	dotset_free(&s);
	dotset_free(&odd);
	dotset_free(&all);
}

/* A set of n spans of one origin, as bytes. */
static void
put_spans(struct buf *b, uint64_t origin, uint32_t n)
{
	buf_put_u64(b, origin);
	buf_put_u32(b, n);
	for (uint64_t i = 1; i <= n; i++) {
		buf_put_u64(b, 2 * i);
		buf_put_u64(b, 2 * i);
	}
}

static void
test_span_limit(void)
{
	struct dotset got;
	struct buf b = {0};
	struct cur c;

	buf_put_u32(&b, 2);
	put_spans(&b, 1, DOTSET_SPANS_MAX - 1);
	put_spans(&b, 2, 1);
	c = cur_of(b.data, b.len);
	is_int(dotset_decode(&c, &got), 0, "as many spans as are allowed");
	dotset_free(&got);

	buf_reset(&b);
	buf_put_u32(&b, 2);
	put_spans(&b, 1, DOTSET_SPANS_MAX - 1);
	put_spans(&b, 2, 2);
	c = cur_of(b.data, b.len);
	is_int(dotset_decode(&c, &got), -EPROTO, "one more is refused");
	ok(dotset_empty(&got) && !got.o, "and nothing is kept");
	buf_free(&b);
}

int
main(void)
{
	test_model_steps();
	test_model_pairs();
	test_self();
	test_limits();
	test_text();
	test_bytes();
	test_round_trips();
	test_one_origin();
	test_damage();
	test_refused();
	test_many();
	test_span_limit();
	return tap_done();
}
