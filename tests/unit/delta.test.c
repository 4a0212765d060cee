/* SPDX-License-Identifier: BSD-2-Clause */
/* Attacks agent/delta: every split, truncation and flip; bombs; signatures made to cost time. */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/delta.h"
#include "tests/tap.h"

#define KIB 1024u
#define MIB (1024u * 1024)
#define RK_BLAKE2 0x72730147u
#define CANARY 0xa5

/* --- Files in memory ---------------------------------------------------------------------- */

struct mem {
	uint8_t *data;
	size_t len;
	size_t most;   /* bytes given at a time; 0: all */
	uint64_t from; /* reads that touch this and beyond fail; 0: none do */
	int error;
	unsigned reads;
};

static ssize_t
mem_read(void *arg, uint64_t off, void *buf, size_t len)
{
	struct mem *m = arg;

	m->reads++;
	if (m->from > 0 && off + len > m->from)
		return m->error;
	if (off >= m->len)
		return 0;
	if (len > m->len - off)
		len = (size_t)(m->len - off);
	if (m->most > 0 && len > m->most)
		len = m->most;
	memcpy(buf, m->data + off, len);
	return (ssize_t)len;
}

static struct delta_file
file_of(struct mem *m)
{
	return (struct delta_file){mem_read, m, m->len};
}

static uint32_t
rnd(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

static void
fill(uint8_t *p, size_t len, uint32_t seed)
{
	size_t i;

	for (i = 0; i < len; i++)
		p[i] = (uint8_t)(rnd(&seed) >> 11);
}

/* At least a byte, so that data is never NULL. */
static struct mem
mem_new(size_t len, uint32_t seed)
{
	struct mem m = {calloc(1, len + 1), len, 0, 0, 0, 0};

	if (!m.data)
		abort();
	if (seed)
		fill(m.data, len, seed);
	return m;
}

/* base with `cut` bytes at `at` replaced by `add` new ones. */
static struct mem
mem_edit(const struct mem *base, size_t at, size_t cut, size_t add)
{
	struct mem m = mem_new(base->len - cut + add, 0);

	memcpy(m.data, base->data, at);
	fill(m.data + at, add, 977);
	memcpy(m.data + at + add, base->data + at + cut, base->len - at - cut);
	return m;
}

/* --- The three steps ----------------------------------------------------------------------- */

static const struct delta_stop never = {NULL, NULL};
static const struct delta_limits no_probe = {0, 0, 0, {NULL, NULL}};
static const struct delta_limits usual = {DELTA_PROBE_SPOTS, DELTA_PROBE_HITS, 0, {NULL, NULL}};

static struct buf
sig_of(struct mem *base)
{
	struct delta_file f = file_of(base);
	struct buf b = {0};

	if (delta_sig_make(&f, &never, &b) != 0)
		abort();
	return b;
}

/* The rest of the delta, in pulls of `step` bytes. 0 or the error. */
static int
pull_all(struct delta_gen *g, struct buf *out, size_t step)
{
	ssize_t n;

	while ((n = delta_gen_pull(g, buf_room(out, step), step)) > 0)
		out->len += (size_t)n;
	return (int)n;
}

static int
gen(const struct buf *sig, uint64_t base_size, struct mem *file, const struct delta_limits *limits,
    size_t step, struct buf *out)
{
	struct delta_file f = file_of(file);
	struct delta_gen *g;
	int rc = delta_gen_open(&g, sig->data, sig->len, base_size, &f, limits);

	if (rc == 0)
		rc = pull_all(g, out, step);
	delta_gen_free(g);
	return rc;
}

/* The delta from base to file, without a look beforehand. */
static struct buf
delta_of(struct mem *base, struct mem *file)
{
	struct buf sig = sig_of(base), delta = {0};

	if (gen(&sig, base->len, file, &no_probe, 64 * KIB, &delta) != 0)
		abort();
	buf_free(&sig);
	return delta;
}

/*
 * Applies a delta with input and output in pieces of those sizes. out has room for size bytes and
 * one more, which must stay as it was. The result of finish; *made: bytes of output.
 */
static int
patch(struct mem *base, const uint8_t *delta, size_t len, uint8_t *out, size_t size, size_t in_step,
      size_t out_step, size_t *made)
{
	struct delta_file f = file_of(base);
	struct delta_patch *p = delta_patch_new(&f, size);
	size_t pos = 0;
	int rc = 0;

	*made = 0;
	out[size] = CANARY;
	do {
		struct delta_io io = {delta + pos, len - pos, NULL, out_step};

		if (io.in_left > in_step)
			io.in_left = in_step;
		pos += io.in_left;
		do {
			uint8_t *at = out + *made;

			io.out = at;
			io.out_left = size - *made < out_step ? size - *made : out_step;
			rc = delta_patch_step(p, &io);
			*made += (size_t)(io.out - at);
		} while (rc == 0 && (io.in_left > 0 || (io.out_left == 0 && *made < size)));
	} while (rc == 0 && pos < len);
	if (out[size] != CANARY || *made > size)
		abort();
	if (rc == 0 || delta_patch_finish(p) == 0)
		rc = delta_patch_finish(p);
	delta_patch_free(p);
	return rc;
}

/* Applies it in one piece; true if it gives exactly the file. */
static bool
gives(struct mem *base, const struct buf *delta, const struct mem *file)
{
	uint8_t *out = malloc(file->len + 1);
	size_t made;
	bool same = patch(base, delta->data, delta->len, out, file->len, delta->len + 1,
			  file->len + 1, &made) == 0 &&
		    made == file->len && memcmp(out, file->data, made) == 0;

	free(out);
	return same;
}

/* --- Whether, and how large ---------------------------------------------------------------- */

static void
test_worth(void)
{
	const uint64_t big = (uint64_t)DELTA_BLOCKS_MAX * DELTA_BLOCK_BYTES_MAX;

	ok(delta_worth(MIB, MIB, MIB), "worth: both as large as the least");
	ok(!delta_worth(MIB - 1, MIB, MIB), "worth: not with a smaller base");
	ok(!delta_worth(MIB, MIB - 1, MIB), "worth: not for a smaller file");
	ok(!delta_worth(0, 0, 0) && !delta_worth(0, 1, 0) && !delta_worth(1, 0, 0),
	   "worth: never with an empty file");
	ok(delta_worth(MIB, 16 * MIB, MIB) && delta_worth(16 * MIB, MIB, MIB), "worth: 16 to 1");
	ok(!delta_worth(MIB, 16 * MIB + 1, MIB) && !delta_worth(16 * MIB + 1, MIB, MIB),
	   "worth: not beyond");
	ok(delta_worth(big, big, MIB) && !delta_worth(big + 1, big, MIB),
	   "worth: a base larger than any signature is not");
	ok(!delta_worth(UINT64_MAX, UINT64_MAX, 1), "worth: no overflow");
}

static void
test_sig_sizes(void)
{
	static const size_t sizes[] = {0,     1,     511,    512,    513, 1024,
				       65536, 65537, 262144, 300001, MIB};
	size_t i;

	for (i = 0; i < ARRAY_LEN(sizes); i++) {
		struct mem base = mem_new(sizes[i], 7);
		struct buf sig = sig_of(&base);

		is_int(sig.len, delta_sig_bytes(sizes[i]), "signature of %zu bytes: size",
		       sizes[i]);
		ok(sig.len <= delta_sig_bytes_max(sizes[i]), "signature of %zu: within the cap",
		   sizes[i]);
		is_int(delta_sig_check(sig.data, sig.len, sizes[i]), 0, "signature of %zu: good",
		       sizes[i]);
		buf_free(&sig);
		free(base.data);
	}
	is_int(delta_sig_bytes((uint64_t)1 << 42), 12 + (1ll << 22) * (4 + 10),
	       "the largest base has blocks of 1 MiB");
	ok(delta_sig_bytes(((uint64_t)1 << 42) + 1) == 0 && delta_sig_bytes_max(UINT64_MAX) == 0 &&
		   delta_sig_bytes(UINT64_MAX) == 0,
	   "none beyond");
}

static bool
count_down(void *arg)
{
	unsigned *left = arg;

	return (*left)-- == 0;
}

static void
test_sig_errors(void)
{
	struct mem base = mem_new(MIB, 7);
	struct delta_file f = file_of(&base);
	unsigned looks = 2;
	struct delta_stop soon = {count_down, &looks};
	struct buf b = {0}, whole = sig_of(&base);

	buf_put_u32(&b, 1);
	f.size = MIB + 1;
	is_int(delta_sig_make(&f, &never, &b), -ENODATA, "signature of a file that ends early");
	f.size = UINT64_MAX;
	is_int(delta_sig_make(&f, &never, &b), -EFBIG, "signature of a file without end");
	f.size = MIB;
	base.from = MIB / 2;
	base.error = -EIO;
	is_int(delta_sig_make(&f, &never, &b), -EIO, "signature: a read error");
	base.from = 0;
	is_int(delta_sig_make(&f, &soon, &b), -ETIMEDOUT, "signature: stopped");
	is_int(b.len, 4, "signature: errors leave the buffer as it was");
	base.most = 777;
	is_int(delta_sig_make(&f, &never, &b), 0, "signature: short reads are continued");
	ok(b.len == 4 + whole.len && memcmp(b.data + 4, whole.data, whole.len) == 0,
	   "signature: appended");
	buf_free(&b);
	buf_free(&whole);
	free(base.data);
}

/* --- Bad signatures ------------------------------------------------------------------------ */

static void
set_be32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

/* A signature of count blocks, well formed; the strong sum of each is its number. */
static struct buf
forge(uint32_t block, uint32_t strong, uint32_t count, uint32_t (*weak)(uint32_t i))
{
	struct buf b = {0};
	size_t len = 12 + (size_t)count * (4 + strong);
	uint8_t *p = buf_room(&b, len);
	uint32_t i;

	memset(p, 0, len);
	set_be32(p, RK_BLAKE2);
	set_be32(p + 4, block);
	set_be32(p + 8, strong);
	for (i = 0; i < count; i++) {
		set_be32(p + 12 + (size_t)i * (4 + strong), weak(i));
		set_be32(p + 12 + (size_t)i * (4 + strong) + 4, i);
	}
	b.len = len;
	return b;
}

static int
check_with(const struct buf *sig, size_t at, uint32_t v, uint64_t size)
{
	uint8_t *copy = malloc(sig->len);
	int rc;

	memcpy(copy, sig->data, sig->len);
	set_be32(copy + at, v);
	rc = delta_sig_check(copy, sig->len, size);
	free(copy);
	return rc;
}

static void
test_sig_header(void)
{
	static const uint32_t magics[] = {0x72730136, 0x72730137, 0x72730146,
					  0x72730236, 0,          0x47017372};
	static const uint32_t blocks[] = {0,          1,          511,        MIB + 1,
					  0x7fffffff, 0x80000000, 0xffffffff, 1024};
	static const uint32_t strongs[] = {0, 1, 4, 5, 7, 32, 33, 0x7fffffff, 0xffffffff};
	struct mem base = mem_new(100 * KIB, 7);
	struct buf sig = sig_of(&base);
	size_t i;

	is_int(sig.len, 12 + 200 * (4 + 6), "200 blocks of 512 bytes, 6 bytes of strong sum");
	for (i = 0; i < ARRAY_LEN(magics); i++)
		is_int(check_with(&sig, 0, magics[i], base.len), -EPROTO, "magic %08x", magics[i]);
	for (i = 0; i < ARRAY_LEN(blocks); i++)
		is_int(check_with(&sig, 4, blocks[i], base.len), -EPROTO, "block size %u",
		       blocks[i]);
	for (i = 0; i < ARRAY_LEN(strongs); i++)
		is_int(check_with(&sig, 8, strongs[i], base.len), -EPROTO, "strong sum of %u",
		       strongs[i]);
	is_int(delta_sig_check(sig.data, sig.len, base.len + 1), -EPROTO, "a block too few");
	is_int(delta_sig_check(sig.data, sig.len, base.len - 512), -EPROTO, "a block too many");
	is_int(delta_sig_check(sig.data, sig.len, base.len - 511), 0, "a short last block");
	is_int(delta_sig_check(sig.data, sig.len, 0), -EPROTO, "blocks of an empty file");
	is_int(delta_sig_check(sig.data, sig.len, UINT64_MAX), -EPROTO, "a base without end");
	buf_free(&sig);
	free(base.data);
}

static uint32_t
weak_scattered(uint32_t i)
{
	return i * 2654435761u;
}

/* Each length but the right one; the sums are shorter than allowed, longer, too many. */
static void
test_sig_lengths(void)
{
	struct mem base = mem_new(8 * KIB, 7);
	struct buf sig = sig_of(&base), forged;
	size_t len, bad = 0;
	uint32_t strong;

	for (len = 0; len < sig.len; len++)
		bad += delta_sig_check(sig.data, len, base.len) == -EPROTO;
	is_int(bad, sig.len, "a signature cut short anywhere");
	buf_put_u8(&sig, 0);
	is_int(delta_sig_check(sig.data, sig.len, base.len), -EPROTO, "a byte too many");
	buf_free(&sig);

	for (strong = 1; strong <= 33; strong++) {
		forged = forge(512, strong, 16, weak_scattered);
		is_int(delta_sig_check(forged.data, forged.len, 8 * KIB),
		       strong >= 6 && strong <= 32 ? 0 : -EPROTO, "well formed, strong sum of %u",
		       strong);
		buf_free(&forged);
	}
	forged = forge(512, 32, 2 * KIB * KIB / 512, weak_scattered);
	is_int(delta_sig_check(forged.data, forged.len, 2 * MIB), -EPROTO,
	       "more bytes than that size may have");
	buf_free(&forged);
	free(base.data);
}

static uint32_t
weak_same(uint32_t i)
{
	(void)i;
	return 0x1234567;
}

/* Different sums that begin at a few slots, next to each other. */
static uint32_t
weak_adjacent(uint32_t i)
{
	return i / 60 | i % 60 << 17;
}

static void
test_sig_crowds(void)
{
	struct buf b = forge(512, 16, DELTA_CROWD_MAX, weak_same);
	struct mem zeros = mem_new(MIB, 0);
	size_t i;

	is_int(delta_sig_check(b.data, b.len, 512ull * DELTA_CROWD_MAX), 0,
	       "as many blocks with one weak sum as allowed");
	buf_free(&b);
	b = forge(512, 16, DELTA_CROWD_MAX + 1, weak_same);
	is_int(delta_sig_check(b.data, b.len, 512ull * (DELTA_CROWD_MAX + 1)), -ERANGE, "one more");
	buf_free(&b);
	b = forge(16 * KIB, 16, 8000, weak_same);
	is_int(delta_sig_check(b.data, b.len, 16ull * KIB * 8000), -ERANGE,
	       "8000 with one weak sum");
	for (i = 0; i < 8000; i++)
		memset(b.data + 12 + i * 20 + 4, 0, 16);
	is_int(delta_sig_check(b.data, b.len, 16ull * KIB * 8000), 0, "8000 equal blocks");
	buf_free(&b);
	b = forge(64 * KIB, 16, 65536, weak_scattered);
	is_int(delta_sig_check(b.data, b.len, (uint64_t)1 << 32), 0, "scattered weak sums");
	buf_free(&b);
	b = forge(64 * KIB, 16, 65536, weak_adjacent);
	is_int(delta_sig_check(b.data, b.len, (uint64_t)1 << 32), -ERANGE,
	       "weak sums that fill a part of the table");
	buf_free(&b);

	b = sig_of(&zeros);
	is_int(delta_sig_check(b.data, b.len, zeros.len), 0, "a file of zeros");
	buf_free(&b);
	free(zeros.data);
}

/*
 * Whatever a signature says, generating ends. A wrong sum is no match; a wrong header may make a
 * wrong file, which the hash of the whole will tell.
 */
static void
test_sig_flips(void)
{
	struct mem base = mem_new(4 * KIB, 7), file = mem_edit(&base, 1000, 10, 100);
	struct buf sig = sig_of(&base), delta = {0};
	size_t i, made = 0, wrong = 0;

	for (i = 0; i < sig.len * 8; i++) {
		sig.data[i / 8] ^= (uint8_t)(1 << i % 8);
		buf_reset(&delta);
		if (gen(&sig, base.len, &file, &no_probe, 500, &delta) == 0) {
			made++;
			wrong += !gives(&base, &delta, &file) && i >= 12 * 8;
		}
		sig.data[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	ok(made >= (sig.len - 12) * 8, "signatures with any bit of their sums flipped are used");
	is_int(wrong, 0, "and make the file all the same");
	buf_free(&delta);
	buf_free(&sig);
	free(file.data);
	free(base.data);
}

/* --- There and back ------------------------------------------------------------------------ */

static const size_t steps[] = {1, 2, 3, 7, 15, 64 * KIB};

static void
all_splits(const char *name, struct mem *base, struct mem *file, size_t delta_max)
{
	struct buf sig = sig_of(base), delta = delta_of(base, file);
	uint8_t *out = malloc(file->len + 1);
	size_t i, j, made, good = 0, same = 0;

	ok(delta.len <= delta_max, "%s: the delta has %zu bytes, at most %zu", name, delta.len,
	   delta_max);
	for (i = 0; i < ARRAY_LEN(steps); i++) {
		struct buf again = {0};

		same += gen(&sig, base->len, file, &no_probe, steps[i], &again) == 0 &&
			again.len == delta.len && memcmp(again.data, delta.data, delta.len) == 0;
		buf_free(&again);
		for (j = 0; j < ARRAY_LEN(steps); j++) {
			memset(out, 0, file->len);
			good += patch(base, delta.data, delta.len, out, file->len, steps[i],
				      steps[j], &made) == 0 &&
				made == file->len && memcmp(out, file->data, made) == 0;
		}
	}
	is_int(same, ARRAY_LEN(steps), "%s: the same delta by pulls of any size", name);
	is_int(good, ARRAY_LEN(steps) * ARRAY_LEN(steps), "%s: applied in pieces of any size",
	       name);
	free(out);
	buf_free(&delta);
	buf_free(&sig);
}

static void
test_edits(void)
{
	static const struct {
		const char *name;
		size_t at, cut, add, delta_max;
	} edits[] = {
		{"identical", 0, 0, 0, 16},
		{"insert", 20000, 0, 10, 10 + 2 * 512},
		{"insert in front", 0, 0, 1, 1 + 512},
		{"append", 60000, 0, 3000, 3000 + 512},
		{"overwrite", 30000, 600, 600, 600 + 2 * 512},
		{"cut", 10000, 777, 0, 2 * 512},
		{"truncate", 50000, 10000, 0, 512},
		{"to nothing", 0, 60000, 0, 5},
	};
	struct mem base = mem_new(60000, 7), none = mem_new(0, 0), zeros = mem_new(60000, 0);
	size_t i;

	for (i = 0; i < ARRAY_LEN(edits); i++) {
		struct mem file = mem_edit(&base, edits[i].at, edits[i].cut, edits[i].add);

		all_splits(edits[i].name, &base, &file, edits[i].delta_max);
		free(file.data);
	}
	all_splits("from nothing", &none, &base, 60000 + 100);
	all_splits("nothing to nothing", &none, &none, 5);
	all_splits("zeros to zeros", &zeros, &zeros, 60000 / 512 * 6 + 100);
	all_splits("zeros to other", &zeros, &base, 60000 + 100);
	free(zeros.data);
	free(none.data);
	free(base.data);
}

/* Many edits at random places, from a seed that is printed; the usual limits. */
static void
test_random_edits(void)
{
	struct mem base = mem_new(3 * MIB / 2 + 11, 7);
	uint32_t seed = (uint32_t)getpid() * 2654435761u | 1, round;
	struct buf sig = sig_of(&base);
	unsigned good = 0;

	diag("seed %u", seed);
	for (round = 0; round < 8; round++) {
		struct mem file = mem_edit(&base, rnd(&seed) % MIB, rnd(&seed) % (128 * KIB),
					   rnd(&seed) % (128 * KIB));
		struct buf delta = {0};
		unsigned i;

		for (i = 0; i < 20; i++)
			fill(file.data + rnd(&seed) % MIB, rnd(&seed) % 5000, seed);
		file.most = rnd(&seed) % 100000 + 1;
		good += gen(&sig, base.len, &file, &usual, rnd(&seed) % 9999 + 1, &delta) == 0 &&
			gives(&base, &delta, &file) && delta.len < file.len * 3 / 4;
		buf_free(&delta);
		free(file.data);
	}
	is_int(good, 8, "random edits");
	buf_free(&sig);
	free(base.data);
}

/* --- Bad deltas ---------------------------------------------------------------------------- */

static void
test_truncated(void)
{
	struct mem base = mem_new(8000, 7), file = mem_edit(&base, 3000, 100, 300);
	struct buf delta = delta_of(&base, &file);
	uint8_t *out = malloc(file.len + 1);
	size_t len, made, bad = 0;

	for (len = 0; len < delta.len; len++)
		bad += patch(&base, delta.data, len, out, file.len, 100, 1000, &made) == -EPROTO;
	is_int(bad, delta.len, "a delta cut short anywhere is refused");
	is_int(patch(&base, delta.data, delta.len, out, file.len, 100, 1000, &made), 0,
	       "whole: not");
	is_int(patch(&base, delta.data, delta.len, out, file.len - 1, 100, 1000, &made), -EPROTO,
	       "a file one byte too long is refused");
	is_int(made, file.len - 1, "after as much as fits");
	uint8_t *more = malloc(file.len + 2);
	is_int(patch(&base, delta.data, delta.len, more, file.len + 1, 100, 1000, &made), -EPROTO,
	       "a file one byte too short is refused");
	free(more);
	buf_put_u8(&delta, 0);
	is_int(patch(&base, delta.data, delta.len, out, file.len, 1, 1000, &made), -EPROTO,
	       "a byte after the end is refused, alone");
	is_int(patch(&base, delta.data, delta.len, out, file.len, delta.len, 1000, &made), -EPROTO,
	       "and in one piece with the rest");
	free(out);
	buf_free(&delta);
	free(file.data);
	free(base.data);
}

/* patch() itself aborts when a byte beyond the size is touched. */
static void
test_flipped(void)
{
	struct mem base = mem_new(8000, 7), file = mem_edit(&base, 3000, 100, 300);
	struct buf delta = delta_of(&base, &file);
	uint8_t *out = malloc(file.len + 1);
	size_t i, made, lied = 0, refused = 0, accepted = 0;

	for (i = 0; i < delta.len * 8; i++) {
		int rc;

		delta.data[i / 8] ^= (uint8_t)(1 << i % 8);
		rc = patch(&base, delta.data, delta.len, out, file.len, 50, 777, &made);
		refused += rc == -EPROTO;
		accepted += rc == 0;
		lied += rc == 0 && (made != file.len || memcmp(out, file.data, made) == 0);
		delta.data[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	is_int(refused + accepted, delta.len * 8, "each flipped bit: refused or applied");
	is_int(lied, 0, "applied: a file of the right size with other bytes");
	ok(refused > 0 && accepted > 0, "some are refused, literal bytes are not");
	free(out);
	buf_free(&delta);
	free(file.data);
	free(base.data);
}

enum { END = 0, LITERAL_N1 = 0x41, LITERAL_N8 = 0x44, COPY_N1_N1 = 0x45, COPY_N8_N8 = 0x54 };

static void
put_be64(struct buf *b, uint64_t v)
{
	uint8_t *p = buf_room(b, 8);

	set_be32(p, (uint32_t)(v >> 32));
	set_be32(p + 4, (uint32_t)v);
	b->len += 8;
}

static void
put_copy(struct buf *b, uint64_t pos, uint64_t len)
{
	buf_put_u8(b, COPY_N8_N8);
	put_be64(b, pos);
	put_be64(b, len);
}

static struct buf
delta_start(void)
{
	struct buf b = {0};

	buf_put(&b, "rs\x02\x36", 4);
	return b;
}

/* One copy from an 8,000 byte base into a file of 8,000 bytes. */
static int
copy_result(uint64_t pos, uint64_t len)
{
	struct mem base = mem_new(8000, 7);
	struct buf delta = delta_start();
	uint8_t *out = malloc(8001);
	size_t made;
	int rc;

	put_copy(&delta, pos, len);
	buf_put_u8(&delta, END);
	rc = patch(&base, delta.data, delta.len, out, 8000, 5, 100, &made);
	free(out);
	buf_free(&delta);
	free(base.data);
	return rc;
}

static void
test_copies(void)
{
	is_int(copy_result(0, 8000), 0, "a copy of the base");
	is_int(copy_result(1, 8000), -EPROTO, "a copy across its end");
	is_int(copy_result(8000, 8000), -EPROTO, "behind its end");
	is_int(copy_result(0, 8001), -EPROTO, "longer than the file");
	is_int(copy_result(0, 7999), -EPROTO, "shorter");
	is_int(copy_result(0, 0), -EPROTO, "of nothing");
	is_int(copy_result((uint64_t)1 << 63, 8000), -EPROTO, "at a negative place");
	is_int(copy_result(UINT64_MAX, 8000), -EPROTO, "at -1");
	is_int(copy_result(INT64_MAX, 8000), -EPROTO, "at the last place of all");
	is_int(copy_result(INT64_MAX - 7999, 8000), -EPROTO, "at the last place but");
	is_int(copy_result(0, INT64_MAX), -EPROTO, "of everything");
	is_int(copy_result(1, INT64_MAX), -EPROTO, "of everything and more");
	is_int(copy_result(0, UINT64_MAX), -EPROTO, "of a negative length");
}

static void
test_bombs(void)
{
	struct mem base = mem_new(MIB, 7);
	struct buf delta = delta_start();
	uint8_t *out = malloc(4 * MIB + 1);
	size_t made, i;

	for (i = 0; i < 4096; i++)
		put_copy(&delta, 0, MIB);
	buf_put_u8(&delta, END);
	is_int(patch(&base, delta.data, delta.len, out, 3 * MIB + 5, 64 * KIB, 64 * KIB, &made),
	       -EPROTO, "4 GiB of copies are refused");
	is_int(made, 3 * MIB + 5, "after the size of the file");
	is_int(base.reads, 3 * 16 + 2, "and the base was not read any more");
	is_int(patch(&base, delta.data, delta.len, out, 0, 64 * KIB, 64 * KIB, &made), -EPROTO,
	       "an empty file refuses any");
	buf_free(&delta);

	delta = delta_start();
	buf_put_u8(&delta, LITERAL_N8);
	put_be64(&delta, INT64_MAX);
	buf_put(&delta, base.data, 1000);
	is_int(patch(&base, delta.data, delta.len, out, 500, 64, 64, &made), -EPROTO,
	       "a literal of 8 EiB");
	is_int(made, 500, "gives no more than the file");
	delta.data[5] = 0x80;
	is_int(patch(&base, delta.data, delta.len, out, 500, 64, 64, &made), -EPROTO,
	       "a literal of a negative length");
	buf_free(&delta);

	delta = delta_start();
	for (i = 0; i < MIB; i++)
		buf_put(&delta, "\x45\x00\x01", 3);
	buf_put_u8(&delta, END);
	is_int(patch(&base, delta.data, delta.len, out, MIB, 64 * KIB, 64 * KIB, &made), -EPROTO,
	       "a delta far longer than the file is refused");
	ok(made < MIB / 2, "before it made it");
	buf_free(&delta);
	free(out);
	free(base.data);
}

static void
test_commands(void)
{
	struct mem base = mem_new(100, 7);
	uint8_t out[101];
	unsigned op, bad = 0;
	size_t made;

	for (op = COPY_N8_N8 + 1; op < 256; op++) {
		struct buf delta = delta_start();

		buf_put_u8(&delta, (uint8_t)op);
		put_be64(&delta, 1);
		put_be64(&delta, 1);
		bad += patch(&base, delta.data, delta.len, out, 100, 3, 3, &made) == -EPROTO &&
		       made == 0;
		buf_free(&delta);
	}
	is_int(bad, 255 - COPY_N8_N8, "reserved commands");
	is_int(patch(&base, (const uint8_t *)"rs\x01G\x00", 5, out, 0, 9, 9, &made), -EPROTO,
	       "another magic");
	is_int(patch(&base, (const uint8_t *)"", 0, out, 0, 9, 9, &made), -EPROTO,
	       "no delta at all for an empty file");
	is_int(patch(&base, (const uint8_t *)"rs\x02\x36\x00", 5, out, 0, 9, 9, &made), 0,
	       "an empty delta for an empty file");
	is_int(patch(&base, (const uint8_t *)"rs\x02\x36\x00", 5, out, 1, 9, 9, &made), -EPROTO,
	       "an empty delta for a file");
	free(base.data);
}

static void
test_patch_base(void)
{
	struct mem base = mem_new(MIB, 7);
	struct buf delta = delta_of(&base, &base);
	struct delta_file f = file_of(&base);
	struct delta_patch *p;
	uint8_t *out = malloc(MIB + 1);
	struct delta_io io = {delta.data, delta.len, out, MIB};
	size_t made;

	base.from = MIB / 2;
	base.error = -ESTALE;
	is_int(patch(&base, delta.data, delta.len, out, MIB, 99, 4096, &made), -ESTALE,
	       "applying: a read error");
	base.from = 0;
	base.most = 1000;
	is_int(patch(&base, delta.data, delta.len, out, MIB, 99, 4096, &made), 0,
	       "applying: short reads are continued");
	base.len = MIB / 2;
	p = delta_patch_new(&f, MIB);
	is_int(delta_patch_step(p, &io), -ENODATA, "applying: a base that became shorter");
	io.out_left = 1;
	is_int(delta_patch_step(p, &io), -ENODATA, "applying: the error stays");
	is_int(delta_patch_finish(p), -ENODATA, "and is the result");
	delta_patch_free(p);
	delta_patch_free(NULL);
	free(out);
	buf_free(&delta);
	free(base.data);
}

/* --- When not to make one -------------------------------------------------------------------- */

static void
test_probe(void)
{
	struct mem base = mem_new(2 * MIB, 7), unlike = mem_new(2 * MIB, 8), empty = mem_new(0, 0);
	struct mem rear = mem_edit(&base, 0, MIB, MIB + 333), half = mem_edit(&base, MIB, MIB, MIB);
	struct mem sparse = mem_new(2 * MIB, 9), first = mem_new(2 * MIB, 10);
	struct delta_limits most = {DELTA_PROBE_SPOTS, DELTA_PROBE_SPOTS * 3 / 4, 0, {NULL, NULL}};
	struct buf sig = sig_of(&base), delta = {0};

	is_int(gen(&sig, base.len, &unlike, &usual, 4096, &delta), -ERANGE, "unlike: not");
	ok(unlike.reads <= 40, "unlike: decided on %u reads", unlike.reads);
	is_int(gen(&sig, base.len, &unlike, &no_probe, 4096, &delta), 0, "unlike: unless told to");
	ok(delta.len <= unlike.len + unlike.len / 1024 + 1024,
	   "unlike: the delta is no larger than "
	   "applying allows");
	ok(gives(&base, &delta, &unlike), "unlike: and makes the file");
	buf_reset(&delta);
	is_int(gen(&sig, base.len, &rear, &usual, 4096, &delta), 0,
	       "the first half changed, the rest moved: made");
	ok(delta.len < MIB + 10000 && gives(&base, &delta, &rear), "and wins");
	buf_reset(&delta);
	is_int(gen(&sig, base.len, &half, &most, 4096, &delta), -ERANGE,
	       "half is not three quarters");
	memcpy(sparse.data + MIB, base.data, MIB / 4);
	is_int(gen(&sig, base.len, &sparse, &usual, 4096, &delta), 0,
	       "an eighth in the middle: made");
	buf_reset(&delta);
	memcpy(first.data, base.data, 4096);
	is_int(gen(&sig, base.len, &first, &usual, 4096, &delta), -ERANGE, "only the head: not");
	is_int(gen(&sig, base.len, &empty, &usual, 4096, &delta), -ERANGE, "an empty file: not");
	buf_free(&delta);
	buf_free(&sig);
	free(base.data);
	free(unlike.data);
	free(empty.data);
	free(rear.data);
	free(half.data);
	free(sparse.data);
	free(first.data);
}

static void
test_gen_limits(void)
{
	struct mem base = mem_new(2 * MIB, 7), file = mem_edit(&base, 0, MIB, MIB);
	struct delta_file f = file_of(&file);
	unsigned looks;
	struct delta_limits small = {0, 0, MIB / 2, {NULL, NULL}};
	struct delta_limits soon = {0, 0, 0, {count_down, &looks}};
	struct buf sig = sig_of(&base), delta = {0};
	struct delta_gen *g;
	uint8_t byte;

	is_int(gen(&sig, base.len, &file, &small, 4096, &delta), -ERANGE, "a delta over its limit");
	ok(delta.len <= MIB / 2, "gave no more than that");
	buf_reset(&delta);
	looks = 10;
	is_int(delta_gen_open(&g, sig.data, sig.len, base.len, &f, &soon), 0, "opened");
	is_int(pull_all(g, &delta, 4096), -ETIMEDOUT, "stopped");
	is_int(delta_gen_pull(g, &byte, 1), -ETIMEDOUT, "for good");
	delta_gen_free(g);
	looks = UINT32_MAX;
	buf_reset(&delta);
	is_int(gen(&sig, base.len, &file, &soon, 4096, &delta), 0, "never stopped");
	ok(UINT32_MAX - looks >= file.len / (64 * KIB), "looked %u times whether to stop",
	   UINT32_MAX - looks);
	soon.spots = DELTA_PROBE_SPOTS;
	soon.hits = DELTA_PROBE_HITS;
	looks = 1;
	is_int(delta_gen_open(&g, sig.data, sig.len, base.len, &f, &soon), -ETIMEDOUT,
	       "stopped while opening");
	ok(!g, "nothing was opened");
	buf_reset(&delta);
	file.from = MIB / 2;
	file.error = -EIO;
	is_int(gen(&sig, base.len, &file, &usual, 4096, &delta), -EIO,
	       "a read error while probing");
	file.from = 0;
	is_int(delta_gen_open(&g, sig.data, sig.len, base.len, &f, &no_probe), 0, "opened");
	file.from = MIB;
	is_int(pull_all(g, &delta, 4096), -EIO, "a read error while generating");
	delta_gen_free(g);
	file.from = 0;
	is_int(delta_gen_open(&g, sig.data, sig.len, base.len, &f, &usual), 0, "opened");
	file.len = MIB;
	is_int(pull_all(g, &delta, 4096), -ENODATA, "a file that became shorter");
	delta_gen_free(g);
	delta_gen_free(NULL);
	is_int(delta_gen_open(&g, sig.data, sig.len - 1, base.len, &f, &usual), -EPROTO,
	       "a bad signature");
	buf_free(&delta);
	buf_free(&sig);
	free(file.data);
	free(base.data);
}

/* Weak sums of 1, 2, 3, … zeros: powers of librsync's multiplier. */
static uint32_t
weak_zeros(uint32_t i)
{
	static const uint32_t mult = 0x08104225;
	uint32_t base = mult, power = mult;

	for (; i > 0; i >>= 1, base *= base) {
		if (i & 1)
			power *= base;
	}
	return power;
}

static uint32_t
weak_zero_block(uint32_t i)
{
	return i < DELTA_CROWD_MAX ? weak_zeros(64 * KIB - 1) : weak_scattered(i);
}

/* Sums that make librsync hash a block for each byte. */
static void
test_slow_signatures(void)
{
	struct mem zeros = mem_new(MIB, 0);
	unsigned looks = 3;
	struct delta_limits soon = {0, 0, 0, {count_down, &looks}};
	struct buf sig = forge(64 * KIB, 16, 65536, weak_zeros), delta = {0};

	is_int(gen(&sig, (uint64_t)1 << 32, &zeros, &no_probe, 4096, &delta), -ERANGE,
	       "the sum of every possible end of the file");
	buf_free(&sig);
	sig = forge(64 * KIB, 16, 65536, weak_zero_block);
	is_int(gen(&sig, (uint64_t)1 << 32, &zeros, &soon, 4096, &delta), -ETIMEDOUT,
	       "the weak sum of every place: can be stopped");
	buf_free(&delta);
	buf_free(&sig);
	free(zeros.data);
}

/* --- Quiet ----------------------------------------------------------------------------------- */

static void
test_quiet(void)
{
	FILE *file = tmpfile();
	struct mem base = mem_new(100, 7);
	int saved = dup(STDERR_FILENO);
	struct stat st;
	uint8_t out[101];
	size_t made;

	if (!file || saved < 0)
		abort();
	dup2(fileno(file), STDERR_FILENO);
	is_int(patch(&base, (const uint8_t *)"rs\x02\x36\xff", 5, out, 100, 9, 9, &made), -EPROTO,
	       "a bad command");
	fflush(stderr);
	dup2(saved, STDERR_FILENO);
	close(saved);
	is_int(fstat(fileno(file), &st), 0, "stderr was a file");
	is_int(st.st_size, 0, "and nothing was written to it");
	fclose(file);
	free(base.data);
}

int
main(void)
{
	test_worth();
	test_sig_sizes();
	test_sig_errors();
	test_sig_header();
	test_sig_lengths();
	test_sig_crowds();
	test_sig_flips();
	test_edits();
	test_random_edits();
	test_truncated();
	test_flipped();
	test_copies();
	test_bombs();
	test_commands();
	test_patch_base();
	test_probe();
	test_gen_limits();
	test_slow_signatures();
	test_quiet();
	return tap_done();
}
