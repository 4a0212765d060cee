/* SPDX-License-Identifier: BSD-2-Clause */
/* Dots and version vectors: text, the laws of the join, and bytes that are not ours. */
#include "config.h"

#include "proto/vv.h"

#include <errno.h>
#include <stdlib.h>

#include "tests/tap.h"

#define SEED 20240117u
#define ROUNDS 2000

/* A splitmix64 step. */
static uint64_t
draw(uint64_t *seed)
{
	uint64_t z = *seed += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

/* For calls that cannot fail but for memory. */
static void
must(int rc)
{
	if (rc < 0)
		abort();
}

/* Up to 6 of 8 origins, small numbers: so that vectors often meet. */
static struct vv
random_vv(uint64_t *seed)
{
	struct vv v = {0};

	for (uint64_t n = draw(seed) % 7; n > 0; n--)
		must(vv_add(&v, (struct dot){1 + draw(seed) % 8, draw(seed) % 5}));
	return v;
}

static struct vv
joined(const struct vv *a, const struct vv *b)
{
	struct vv v = {0};

	must(vv_copy(&v, a));
	must(vv_join(&v, b));
	return v;
}

static bool
sorted(const struct vv *v)
{
	for (uint32_t i = 0; i < v->n; i++)
		if (v->e[i].seq == 0 || (i > 0 && v->e[i - 1].origin >= v->e[i].origin))
			return false;
	return v->n <= v->cap;
}

static void
test_dots(void)
{
	struct dot a = {1, 9}, b = {2, 1}, c = {2, 2};

	ok(dot_cmp(a, b) < 0 && dot_cmp(b, a) > 0, "the origin first");
	ok(dot_cmp(b, c) < 0 && dot_cmp(c, b) > 0, "then the number");
	ok(dot_cmp(b, b) == 0 && dot_eq(b, b) && !dot_eq(b, c) && !dot_eq(a, c), "equal");
	ok(dot_cmp((struct dot){UINT64_MAX, 1}, (struct dot){1, UINT64_MAX}) > 0,
	   "the order is unsigned");
	ok(dot_none((struct dot){0, 0}) && !dot_none((struct dot){0, 1}) &&
		   !dot_none((struct dot){1, 0}),
	   "none is both zero");
}

static void
test_text(void)
{
	const struct {
		struct dot d;
		const char *text;
	} as[] = {
		{{0, 0}, "0000000000000000-0"},
		{{1, 1}, "0000000000000001-1"},
		{{0xabcdef, 0x10}, "0000000000abcdef-10"},
		{{0x0123456789abcdefu, 0xfedcba}, "0123456789abcdef-fedcba"},
		{{UINT64_MAX, UINT64_MAX}, "ffffffffffffffff-ffffffffffffffff"},
	};
	char text[DOT_TEXT_BYTES];
	struct dot d;

	for (size_t i = 0; i < ARRAY_LEN(as); i++) {
		memset(text, 'x', sizeof(text));
		dot_text(as[i].d, text);
		is_str(text, as[i].text, "written");
		ok(dot_parse(text, &d) == 0 && dot_eq(d, as[i].d), "read: %s", as[i].text);
	}
}

static void
test_text_refused(void)
{
	const char *refused[] = {
		"",
		"-",
		"1-1",
		"0000000000000001",
		"0000000000000001-",
		"0000000000000001-01",
		"0000000000000001-00",
		"0000000000000001-1 ",
		" 000000000000001-1",
		"0000000000000001-1-",
		"0000000000000001_1",
		"0000000000000001--1",
		"0000000000000001-+1",
		"0000000000000001-0x1",
		"0000000000000001-g",
		"000000000000000A-1",
		"000000000000000a-A",
		"00000000000000011-1",
		"000000000000001-1",
		"0000000000000001-10000000000000000",
		"0000000000000001-1\n",
	};
	struct dot d = {7, 7};

	for (size_t i = 0; i < ARRAY_LEN(refused); i++)
		is_int(dot_parse(refused[i], &d), -EINVAL, "refused: '%s'", refused[i]);
	ok(d.origin == 7 && d.seq == 7, "what is refused leaves the dot");
}

/* Every text that is one byte off is refused or names another dot. */
static void
test_text_flips(void)
{
	char text[DOT_TEXT_BYTES], again[DOT_TEXT_BYTES];
	struct dot d = {0x1f2e3d4c5b6a7988u, 0x9a0b}, got;
	bool good = true;

	dot_text(d, text);
	for (size_t i = 0; text[i] != '\0'; i++) {
		char was = text[i];

		for (int c = 0; c < 256; c++) {
			text[i] = (char)c;
			if (text[i] == was || dot_parse(text, &got) < 0)
				continue;
			dot_text(got, again);
			good = good && !dot_eq(got, d) && strcmp(text, again) == 0;
		}
		text[i] = was;
	}
	ok(good, "each changed byte is refused or another dot");
}

static void
test_add(void)
{
	struct vv v = {0};

	ok(vv_get(&v, 5) == 0 && !vv_covers(&v, (struct dot){5, 1}), "empty covers nothing");
	must(vv_add(&v, (struct dot){5, 3}));
	must(vv_add(&v, (struct dot){2, 7}));
	must(vv_add(&v, (struct dot){9, DOT_SEQ_MAX}));
	must(vv_add(&v, (struct dot){5, 2}));
	ok(v.n == 3 && sorted(&v) && vv_get(&v, 5) == 3, "a lower number changes nothing");
	ok(vv_covers(&v, (struct dot){5, 1}) && vv_covers(&v, (struct dot){5, 3}), "covered");
	ok(!vv_covers(&v, (struct dot){5, 4}) && !vv_covers(&v, (struct dot){4, 1}),
	   "not covered: above, and of another origin");
	must(vv_add(&v, (struct dot){7, 0}));
	ok(v.n == 3 && sorted(&v), "number 0 adds no entry");
	vv_free(&v);
	ok(v.n == 0 && !v.e, "freed is empty");
}

/* A vector of many origins in random order against a plain array. */
static void
test_model(void)
{
	enum { ORIGINS = 300 };
	uint64_t seed = SEED, model[ORIGINS] = {0};
	struct vv v = {0};
	bool same = true;

	for (unsigned i = 0; i < 5000; i++) {
		uint64_t origin = draw(&seed) % ORIGINS, seq = 1 + draw(&seed) % 1000;

		must(vv_add(&v, (struct dot){origin + 1, seq}));
		if (model[origin] < seq)
			model[origin] = seq;
	}
	for (uint64_t i = 0; i < ORIGINS; i++)
		same = same && vv_get(&v, i + 1) == model[i];
	ok(same && sorted(&v), "5000 adds agree with the model");
	vv_free(&v);
}

/* Does one triple keep the laws of a join; says which it breaks. */
static const char *
broken_law(const struct vv *a, const struct vv *b, const struct vv *c)
{
	struct vv ab = joined(a, b), ba = joined(b, a), bc = joined(b, c);
	struct vv ab_c = joined(&ab, c), a_bc = joined(a, &bc), aa = joined(a, a);
	const char *law = NULL;

	if (!vv_eq(&ab, &ba))
		law = "commutative";
	else if (!vv_eq(&ab_c, &a_bc))
		law = "associative";
	else if (!vv_eq(&aa, a))
		law = "idempotent";
	else if (!vv_leq(a, &ab) || !vv_leq(b, &ab))
		law = "an upper bound";
	else if (vv_leq(a, c) && vv_leq(b, c) && !vv_leq(&ab, c))
		law = "the least upper bound";
	else if (vv_leq(a, b) != vv_eq(&ab, b))
		law = "a <= b iff the join is b";
	else if ((vv_leq(a, b) && vv_leq(b, a)) != vv_eq(a, b))
		law = "antisymmetric";
	else if (!sorted(&ab) || !sorted(&ab_c))
		law = "sorted";
	vv_free(&ab);
	vv_free(&ba);
	vv_free(&bc);
	vv_free(&ab_c);
	vv_free(&a_bc);
	vv_free(&aa);
	return law;
}

static void
test_laws(void)
{
	uint64_t seed = SEED;
	const char *law = NULL;
	unsigned leq = 0;

	for (unsigned i = 0; i < ROUNDS && !law; i++) {
		struct vv a = random_vv(&seed), b = random_vv(&seed), c = random_vv(&seed);

		leq += vv_leq(&a, &b);
		law = broken_law(&a, &b, &c);
		vv_free(&a);
		vv_free(&b);
		vv_free(&c);
	}
	ok(!law, "the join keeps its laws, seed %u%s%s", SEED, law ? "; broken: " : "",
	   law ? law : "");
	ok(leq > ROUNDS / 20 && leq < ROUNDS, "the vectors were often comparable, not always");
}

static void
test_copy(void)
{
	struct vv a = {0}, b = {0}, none = {0};

	must(vv_add(&a, (struct dot){1, 1}));
	must(vv_add(&a, (struct dot){2, 2}));
	must(vv_copy(&b, &a));
	ok(vv_eq(&a, &b) && a.e != b.e, "a copy is its own");
	must(vv_copy(&b, &b));
	ok(vv_eq(&a, &b), "onto itself");
	must(vv_join(&b, &b));
	ok(vv_eq(&a, &b), "joined with itself");
	must(vv_copy(&b, &none));
	ok(b.n == 0 && vv_eq(&b, &none), "a copy of nothing");
	vv_free(&a);
	vv_free(&b);
}

static void
test_bytes(void)
{
	const char want[] = "\x02\x00"
			    "\x01\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0"
			    "\x04\0\0\0\0\0\0\x80\x05\0\0\0\0\0\0\0";
	struct vv v = {0}, got;
	struct buf b = {0};
	struct cur c;

	must(vv_add(&v, (struct dot){0x8000000000000004u, 5}));
	must(vv_add(&v, (struct dot){1, 3}));
	vv_encode(&b, &v);
	ok(b.len == sizeof(want) - 1 && memcmp(b.data, want, b.len) == 0, "the bytes");
	c = cur_of(b.data, b.len);
	ok(vv_decode(&c, &got) == 0 && vv_eq(&v, &got) && cur_done(&c), "and read back");
	vv_free(&got);
	buf_free(&b);
	vv_free(&v);
}

/* Decodes exactly these bytes from memory of exactly that size. */
static int
decode_exact(const uint8_t *bytes, size_t len, struct vv *out)
{
	uint8_t *copy = malloc(len ? len : 1);
	struct cur c;
	int rc;

	if (!copy)
		abort();
	if (len > 0)
		memcpy(copy, bytes, len);
	c = cur_of(copy, len);
	rc = vv_decode(&c, out);
	free(copy);
	return rc;
}

static void
test_damage(void)
{
	struct vv v = {0}, got;
	struct buf b = {0}, again = {0};
	bool refused = true, stable = true;

	for (uint64_t i = 1; i <= 3; i++)
		must(vv_add(&v, (struct dot){i * 1000, i}));
	vv_encode(&b, &v);
	for (size_t n = 0; n < b.len; n++) {
		refused = decode_exact(b.data, n, &got) == -EPROTO && refused;
		refused = !got.e && got.n == 0 && refused;
	}
	ok(refused, "each of %zu truncations is refused", b.len);
	for (size_t i = 0; i < b.len * 8; i++) {
		b.data[i / 8] = (uint8_t)(b.data[i / 8] ^ 1 << i % 8);
		if (decode_exact(b.data, b.len, &got) == 0) {
			buf_reset(&again);
			vv_encode(&again, &got);
			stable = stable && sorted(&got) && !vv_eq(&got, &v) &&
				 memcmp(again.data, b.data, again.len) == 0;
			vv_free(&got);
		}
		b.data[i / 8] = (uint8_t)(b.data[i / 8] ^ 1 << i % 8);
	}
	ok(stable, "each flipped bit is refused or another vector");
	buf_free(&b);
	buf_free(&again);
	vv_free(&v);
}

/* Two entries as they stand, right or wrong. */
static int
decode_two(struct dot d, struct dot e)
{
	struct buf b = {0};
	struct vv v;
	int rc;

	buf_put_u16(&b, 2);
	buf_put_u64(&b, d.origin);
	buf_put_u64(&b, d.seq);
	buf_put_u64(&b, e.origin);
	buf_put_u64(&b, e.seq);
	rc = decode_exact(b.data, b.len, &v);
	vv_free(&v);
	buf_free(&b);
	return rc;
}

static void
test_refused(void)
{
	struct dot one = {1, 1}, two = {2, 1};

	is_int(decode_two(one, two), 0, "two in order");
	is_int(decode_two(two, one), -EPROTO, "not sorted");
	is_int(decode_two(one, one), -EPROTO, "the same origin twice");
	is_int(decode_two((struct dot){0, 1}, two), -EPROTO, "origin 0");
	is_int(decode_two(one, (struct dot){2, 0}), -EPROTO, "number 0");
	is_int(decode_two(one, (struct dot){2, DOT_SEQ_MAX}), 0, "the highest number");
	is_int(decode_two(one, (struct dot){2, DOT_SEQ_MAX + 1}), -EPROTO, "one above it");
}

/* A vector of n entries, made without n sorted inserts. */
static struct vv
long_vv(uint32_t n)
{
	struct vv v = {.e = calloc(n, sizeof(*v.e)), .n = n, .cap = n};

	if (!v.e)
		abort();
	for (uint32_t i = 0; i < n; i++)
		v.e[i] = (struct dot){i + 1, 1};
	return v;
}

static void
test_limit(void)
{
	struct vv v = long_vv(VV_ENTRIES_MAX + 1), got;
	struct buf b = {0};

	vv_encode(&b, &v);
	ok(b.failed, "one entry too many is not written");
	buf_reset(&b);
	v.n--;
	vv_encode(&b, &v);
	ok(!b.failed && decode_exact(b.data, b.len, &got) == 0 && vv_eq(&v, &got),
	   "as many as are allowed go through");
	vv_free(&got);
	b.data[0]++;
	buf_put_u64(&b, UINT64_MAX);
	buf_put_u64(&b, 1);
	is_int(decode_exact(b.data, b.len, &got), -EPROTO, "one more is refused");
	is_int(decode_exact((const uint8_t *)"\xff\xff", 2, &got), -EPROTO,
	       "a count without entries is refused");
	buf_free(&b);
	vv_free(&v);
}

int
main(void)
{
	test_dots();
	test_text();
	test_text_refused();
	test_text_flips();
	test_add();
	test_model();
	test_laws();
	test_copy();
	test_bytes();
	test_damage();
	test_refused();
	test_limit();
	return tap_done();
}
