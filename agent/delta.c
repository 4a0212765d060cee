/* SPDX-License-Identifier: BSD-2-Clause */
/* librsync behind bounds: signatures and deltas are input from peers. */
#include "config.h"

#include "agent/delta.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <librsync.h>

#define SIG_HEADER_BYTES 12u /* magic, block size, strong sum length; big-endian */
#define WEAK_BYTES 4u
#define READ_BYTES (256u * 1024)
/* Bytes that librsync hashes between two looks at the clock, at the worst: 0.15 s. */
#define SLICE_HASH_BYTES (64u * 1024 * 1024)
#define SLICE_BYTES_MIN 64u
#define SLICE_BYTES_MAX (64u * 1024)
/* In librsync's hash table: a block (chance needs three), and for all, so that few may collide. */
#define TABLE_STEPS_MAX 16u
#define TABLE_STEPS_FREE 4096u
#define PROBE_CHECKS_MAX 64u /* strong sums computed for all spots together */

/*
 * The weak sum of n bytes c is M^n + c[0] M^(n-1) + … + c[n-1], modulo 2^32 (the 1 before M^n is
 * the seed, which tells zeros of different lengths apart).
 */
#define WEAK_MULT 0x08104225u
#define WEAK_SEED 1u

__attribute__((constructor)) static void
silence(void)
{
	rs_trace_set_level(RS_LOG_CRIT);
}

static uint32_t
get_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static bool
stopped(const struct delta_stop *stop)
{
	return stop->now && stop->now(stop->arg);
}

/* librsync takes its input as char *, but only reads it. */
static char *
unconst(const uint8_t *p)
{
	return (char *)(uintptr_t)p;
}

static int
read_full(const struct delta_file *f, uint64_t off, uint8_t *buf, size_t len)
{
	while (len > 0) {
		ssize_t got = f->read_at(f->arg, off, buf, len);

		if (got < 0)
			return (int)got;
		if (got == 0)
			return -ENODATA;
		assert((size_t)got <= len);
		buf += got;
		off += (uint64_t)got;
		len -= (size_t)got;
	}
	return 0;
}

/* --- Sizes -------------------------------------------------------------------------------- */

struct shape {
	uint32_t block;  /* bytes */
	uint32_t strong; /* bytes of a strong sum */
	uint32_t count;  /* blocks */
};

static uint64_t
blocks_in(uint64_t size, uint32_t block)
{
	return size / block + (size % block != 0);
}

/* The shortest strong sum that chance allows for that size and block. */
static uint32_t
strong_min(uint64_t size, uint32_t block)
{
	rs_magic_number magic = RS_RK_BLAKE2_SIG_MAGIC;
	size_t block_len = block, strong = (size_t)-1;

	if (rs_sig_args((rs_long_t)size, &magic, &block_len, &strong) != RS_DONE)
		return RS_MAX_STRONG_SUM_LENGTH;
	return strong < RS_MAX_STRONG_SUM_LENGTH ? (uint32_t)strong : RS_MAX_STRONG_SUM_LENGTH;
}

/* The shape of the signature that is made here. False: too large. */
static bool
shape_of(uint64_t size, struct shape *s)
{
	rs_magic_number magic = RS_RK_BLAKE2_SIG_MAGIC;
	size_t block = 0, strong = (size_t)-1;

	if (size > (uint64_t)DELTA_BLOCKS_MAX * DELTA_BLOCK_BYTES_MAX ||
	    rs_sig_args((rs_long_t)size, &magic, &block, &strong) != RS_DONE)
		return false;
	if (block < DELTA_BLOCK_BYTES_MIN)
		block = DELTA_BLOCK_BYTES_MIN;
	if (block > DELTA_BLOCK_BYTES_MAX)
		block = DELTA_BLOCK_BYTES_MAX;
	s->block = (uint32_t)block;
	s->strong = strong_min(size, s->block);
	s->count = (uint32_t)blocks_in(size, s->block);
	return true;
}

static size_t
shape_bytes(const struct shape *s)
{
	return SIG_HEADER_BYTES + (size_t)s->count * (WEAK_BYTES + s->strong);
}

size_t
delta_sig_bytes(uint64_t size)
{
	struct shape s;

	return shape_of(size, &s) ? shape_bytes(&s) : 0;
}

size_t
delta_sig_bytes_max(uint64_t size)
{
	struct shape s;

	if (!shape_of(size, &s))
		return 0;
	s.strong = RS_MAX_STRONG_SUM_LENGTH;
	return shape_bytes(&s);
}

bool
delta_worth(uint64_t base_size, uint64_t new_size, uint64_t delta_min)
{
	uint64_t small = base_size < new_size ? base_size : new_size;
	uint64_t large = base_size < new_size ? new_size : base_size;

	return small > 0 && small >= delta_min && (large - 1) / DELTA_RATIO_MAX < small &&
	       delta_sig_bytes(base_size) > 0;
}

/* --- Making a signature ------------------------------------------------------------------- */

/* Whole blocks at a time go through librsync without being copied. */
static int
sig_feed(rs_job_t *job, rs_buffers_t *io, const struct delta_file *base,
	 const struct delta_stop *stop, uint8_t *buf, size_t cap)
{
	uint64_t off = 0;
	rs_result res;

	do {
		uint64_t left = base->size - off;
		size_t len = left < cap ? (size_t)left : cap;
		int rc = stopped(stop) ? -ETIMEDOUT : read_full(base, off, buf, len);

		if (rc < 0)
			return rc;
		off += len;
		io->next_in = (char *)buf;
		io->avail_in = len;
		io->eof_in = off == base->size;
		res = rs_job_iter(job, io);
		if (res != RS_DONE && res != RS_BLOCKED)
			return res == RS_MEM_ERROR ? -ENOMEM : -EIO;
	} while (!io->eof_in);
	return res == RS_DONE ? 0 : -EIO;
}

int
delta_sig_make(const struct delta_file *base, const struct delta_stop *stop, struct buf *out)
{
	rs_buffers_t io = {0};
	uint8_t *room, *buf = NULL;
	rs_job_t *job = NULL;
	struct shape s;
	size_t len, cap;
	int rc;

	if (!shape_of(base->size, &s))
		return -EFBIG;
	len = shape_bytes(&s);
	cap = s.block < READ_BYTES ? READ_BYTES / s.block * s.block : s.block;
	rc = -ENOMEM;
	room = buf_room(out, len);
	buf = malloc(cap);
	if (!room || !buf)
		goto out;
	job = rs_sig_begin(s.block, s.strong, RS_RK_BLAKE2_SIG_MAGIC);
	if (!job)
		goto out;
	io.next_out = (char *)room;
	io.avail_out = len;
	rc = sig_feed(job, &io, base, stop, buf, cap);
	if (rc == 0 && io.avail_out != 0)
		rc = -EIO;
	if (rc == 0)
		out->len += len;
out:
	if (job)
		rs_job_free(job);
	free(buf);
	return rc;
}

/* --- Looking into a signature ------------------------------------------------------------- */

/* A checked signature, its blocks in the order of their weak sums. Borrows the bytes. */
struct sums {
	struct shape shape;
	const uint8_t *blocks; /* weak and strong sum of each */
	/*
	 * librsync finds a block from the low home_bits of its weak sum. Here these are the highest
	 * bits of a key, then the rest of the weak sum, then the block's number: sorted, all that
	 * share a slot lie side by side.
	 */
	uint64_t *keys;
	unsigned home_bits;
	uint64_t *filter; /* a bit for each weak sum, of 2^filter_bits: most lookups end here */
	unsigned filter_bits;
};

static void
sums_clear(struct sums *s)
{
	free(s->keys);
	free(s->filter);
	memset(s, 0, sizeof(*s));
}

static const uint8_t *
sums_block(const struct sums *s, uint32_t i)
{
	return s->blocks + (size_t)i * (WEAK_BYTES + s->shape.strong);
}

static uint32_t
sums_rotated(const struct sums *s, uint32_t weak)
{
	return weak << (32 - s->home_bits) | weak >> s->home_bits;
}

static uint32_t
sums_filter_bit(const struct sums *s, uint32_t weak)
{
	return (weak * 0x9e3779b1u) >> (32 - s->filter_bits);
}

static int
key_compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static int
shape_parse(const uint8_t *sig, size_t len, uint64_t base_size, struct shape *s)
{
	uint64_t count;

	if (len < SIG_HEADER_BYTES || len > delta_sig_bytes_max(base_size) ||
	    get_be32(sig) != RS_RK_BLAKE2_SIG_MAGIC)
		return -EPROTO;
	s->block = get_be32(sig + 4);
	s->strong = get_be32(sig + 8);
	if (s->block < DELTA_BLOCK_BYTES_MIN || s->block > DELTA_BLOCK_BYTES_MAX)
		return -EPROTO;
	if (s->strong < strong_min(base_size, s->block) || s->strong > RS_MAX_STRONG_SUM_LENGTH)
		return -EPROTO;
	count = blocks_in(base_size, s->block);
	if (count > DELTA_BLOCKS_MAX)
		return -EPROTO;
	s->count = (uint32_t)count;
	return shape_bytes(s) == len ? 0 : -EPROTO;
}

/* librsync's table has a power of two of slots, at most seven tenths of them used. */
static unsigned
table_bits(uint32_t count)
{
	uint64_t slots = 1 + (uint64_t)count * 10 / 7;
	unsigned bits = 1;

	while (((uint64_t)1 << bits) < slots)
		bits++;
	return bits;
}

static int
sums_sort(struct sums *s)
{
	uint32_t i;

	s->home_bits = table_bits(s->shape.count);
	s->filter_bits = s->home_bits + 3 < 6 ? 6 : s->home_bits + 3;
	s->keys = calloc((size_t)s->shape.count + 1, sizeof(*s->keys));
	s->filter = calloc((size_t)1 << (s->filter_bits - 6), sizeof(*s->filter));
	if (!s->keys || !s->filter)
		return -ENOMEM;
	for (i = 0; i < s->shape.count; i++) {
		uint32_t weak = get_be32(sums_block(s, i)), bit = sums_filter_bit(s, weak);

		s->keys[i] = (uint64_t)sums_rotated(s, weak) << 32 | i;
		s->filter[bit / 64] |= (uint64_t)1 << (bit % 64);
	}
	qsort(s->keys, s->shape.count, sizeof(*s->keys), key_compare);
	return 0;
}

/* One slot's keys on their way into librsync's hash table. */
struct crowd {
	const uint8_t *block[DELTA_CROWD_MAX]; /* the different ones */
	uint32_t steps[DELTA_CROWD_MAX];       /* slots looked at until there was a free one */
	uint32_t count;
};

/* Takes the first free slot in librsync's order. There is one: three tenths stay free. */
static uint32_t
table_put(uint64_t *used, unsigned bits, uint32_t home)
{
	uint32_t mask = ((uint32_t)1 << bits) - 1, slot = home, steps = 1;

	while (used[slot / 64] >> (slot % 64) & 1)
		slot = (slot + steps++) & mask;
	used[slot / 64] |= (uint64_t)1 << (slot % 64);
	return steps;
}

/* Steps for one more block, a new one or one like an earlier; 0: too many different ones. */
static uint32_t
crowd_add(const struct sums *s, struct crowd *c, uint64_t *used, uint64_t key)
{
	const uint8_t *block = sums_block(s, (uint32_t)key);
	uint32_t i;

	for (i = 0; i < c->count; i++) {
		if (memcmp(c->block[i], block, WEAK_BYTES + s->shape.strong) == 0)
			return c->steps[i];
	}
	if (c->count == DELTA_CROWD_MAX)
		return 0;
	c->block[i] = block;
	c->steps[i] = table_put(used, s->home_bits, (uint32_t)(key >> (64 - s->home_bits)));
	c->count++;
	return c->steps[i];
}

/*
 * Fills a table like librsync's, of bits, and counts the steps: that number, not the number of
 * blocks, is what librsync's time depends on, and it cannot be interrupted there.
 */
static int
sums_rehearse(const struct sums *s)
{
	uint64_t budget = TABLE_STEPS_FREE + (uint64_t)s->shape.count * TABLE_STEPS_MAX;
	uint64_t last = UINT64_MAX;
	uint64_t *used = calloc(((size_t)1 << s->home_bits) / 64 + 1, sizeof(*used));
	struct crowd crowd;
	int rc = 0;
	uint32_t i;

	if (!used)
		return -ENOMEM;
	crowd.count = 0;
	for (i = 0; i < s->shape.count && rc == 0; i++) {
		uint64_t home = s->keys[i] >> (64 - s->home_bits);
		uint32_t steps;

		if (home != last)
			crowd.count = 0;
		last = home;
		steps = crowd_add(s, &crowd, used, s->keys[i]);
		if (steps == 0 || steps > budget)
			rc = -ERANGE;
		else
			budget -= steps;
	}
	free(used);
	return rc;
}

/* Clear with sums_clear, also after an error. */
static int
sums_load(struct sums *s, const uint8_t *sig, size_t len, uint64_t base_size)
{
	int rc;

	memset(s, 0, sizeof(*s));
	rc = shape_parse(sig, len, base_size, &s->shape);
	if (rc < 0)
		return rc;
	s->blocks = sig + SIG_HEADER_BYTES;
	rc = sums_sort(s);
	return rc < 0 ? rc : sums_rehearse(s);
}

/* The first of the sorted keys with that weak sum; NULL: no block has it. */
static const uint64_t *
sums_find(const struct sums *s, uint32_t weak)
{
	uint32_t bit = sums_filter_bit(s, weak), want = sums_rotated(s, weak);
	size_t low = 0, high = s->shape.count;

	if (!(s->filter[bit / 64] >> (bit % 64) & 1))
		return NULL;
	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (s->keys[mid] >> 32 < want)
			low = mid + 1;
		else
			high = mid;
	}
	return low < s->shape.count && s->keys[low] >> 32 == want ? s->keys + low : NULL;
}

int
delta_sig_check(const uint8_t *sig, size_t len, uint64_t base_size)
{
	struct sums s;
	int rc = sums_load(&s, sig, len, base_size);

	sums_clear(&s);
	return rc;
}

/* --- A look at the new file before the work ------------------------------------------------ */

/* The weak and strong sum of one block: the signature of a file that is just this block. */
static int
block_sums(const uint8_t *data, const struct shape *s,
	   uint8_t sums[WEAK_BYTES + RS_MAX_STRONG_SUM_LENGTH])
{
	uint8_t sig[SIG_HEADER_BYTES + WEAK_BYTES + RS_MAX_STRONG_SUM_LENGTH];
	rs_job_t *job = rs_sig_begin(s->block, s->strong, RS_RK_BLAKE2_SIG_MAGIC);
	rs_buffers_t io = {0};
	rs_result res;

	if (!job)
		return -ENOMEM;
	io.next_in = unconst(data);
	io.avail_in = s->block;
	io.eof_in = 1;
	io.next_out = (char *)sig;
	io.avail_out = sizeof(sig);
	res = rs_job_iter(job, &io);
	rs_job_free(job);
	if (res != RS_DONE)
		return -EIO;
	memcpy(sums, sig + SIG_HEADER_BYTES, WEAK_BYTES + s->strong);
	return 0;
}

/* Is that data one of the blocks; key is the first with its weak sum. 1, 0 or an error. */
static int
block_known(const struct sums *s, const uint64_t *key, const uint8_t *data)
{
	uint8_t sums[WEAK_BYTES + RS_MAX_STRONG_SUM_LENGTH];
	uint64_t weak = *key >> 32;
	int rc = block_sums(data, &s->shape, sums);

	if (rc < 0)
		return rc;
	for (; key < s->keys + s->shape.count && *key >> 32 == weak; key++) {
		if (memcmp(sums_block(s, (uint32_t)*key), sums, WEAK_BYTES + s->shape.strong) == 0)
			return 1;
	}
	return 0;
}

/* Does the window hold a block of the base, at any offset. 1, 0 or an error. */
static int
window_known(const struct sums *s, const uint8_t *win, size_t len, uint32_t *checks)
{
	uint32_t block = s->shape.block, weak = WEAK_SEED, power = 1;
	const uint64_t *key;
	size_t i;

	for (i = 0; i < block; i++) {
		weak = weak * WEAK_MULT + win[i];
		power *= WEAK_MULT;
	}
	for (i = 0;; i++) {
		key = sums_find(s, weak);
		if (key && *checks > 0) {
			int rc = block_known(s, key, win + i);

			if (rc != 0)
				return rc;
			--*checks;
		}
		if (len - i <= block)
			return 0;
		weak = weak * WEAK_MULT + win[i + block] -
		       power * (win[i] + WEAK_SEED * (WEAK_MULT - 1));
	}
}

/*
 * A window of two blocks holds a whole block of any longer part of the base, however far it was
 * moved.
 */
static int
probe(const struct sums *s, const struct delta_file *f, const struct delta_limits *limits,
      uint8_t *win)
{
	uint32_t hits = 0, checks = PROBE_CHECKS_MAX, i;
	size_t len = (size_t)s->shape.block * 2;
	uint64_t room;

	if (limits->spots == 0)
		return 0;
	if (f->size < len)
		len = (size_t)f->size;
	if (s->shape.count == 0 || len < s->shape.block)
		return -ERANGE;
	room = f->size - len;
	for (i = 0; i < limits->spots && hits < limits->hits; i++) {
		uint32_t steps = limits->spots > 1 ? limits->spots - 1 : 1;
		uint64_t off = room / steps * i + room % steps * i / steps;
		int rc = stopped(&limits->stop) ? -ETIMEDOUT : read_full(f, off, win, len);

		if (rc == 0)
			rc = window_known(s, win, len, &checks);
		if (rc < 0)
			return rc;
		hits += (uint32_t)rc;
	}
	return hits < limits->hits ? -ERANGE : 0;
}

/*
 * At the end of the file librsync tries what is left of the last block, shorter by a byte each
 * time, and hashes it whenever its weak sum is among the signature's: chosen sums make that
 * quadratic in a block, up to half a TiB without coming back. Chance makes a few hits.
 */
static int
tail_check(const struct sums *s, const struct delta_file *f, uint64_t base_size, uint8_t *tail)
{
	uint64_t max = SLICE_HASH_BYTES + base_size / 1024, hashed = 0;
	uint32_t weak = WEAK_SEED, power = 1;
	size_t len = f->size < s->shape.block ? (size_t)f->size : s->shape.block, n;
	int rc = read_full(f, f->size - len, tail, len);

	for (n = 1; n <= len && rc == 0; n++) {
		weak += power * (tail[len - n] + WEAK_SEED * (WEAK_MULT - 1));
		power *= WEAK_MULT;
		if (sums_find(s, weak))
			hashed += n;
		if (hashed > max)
			rc = -ERANGE;
	}
	return rc;
}

/* --- Making a delta ----------------------------------------------------------------------- */

struct delta_gen {
	struct delta_file file;
	struct delta_limits limits;
	rs_signature_t *sig;
	rs_job_t *job;
	uint8_t *buf;      /* of READ_BYTES: content read ahead */
	size_t have, used; /* bytes in it, and of them given to librsync */
	uint64_t off;      /* in the file, behind what is in buf */
	size_t slice;      /* bytes to give at a time */
	const uint8_t *in; /* the slice that librsync is at */
	size_t in_left;
	bool starved; /* it has used all that it was given */
	bool last;    /* it was told that there is no more */
	bool done;
	uint64_t out_bytes;
	int error;
};

static int
gen_load(struct delta_gen *g, const uint8_t *sig, size_t len)
{
	rs_buffers_t io = {0};
	rs_job_t *job = rs_loadsig_begin(&g->sig);
	rs_result res;

	if (!job)
		return -ENOMEM;
	io.next_in = unconst(sig);
	io.avail_in = len;
	io.eof_in = 1;
	res = rs_job_iter(job, &io);
	rs_job_free(job);
	if (res == RS_DONE)
		res = rs_build_hash_table(g->sig);
	if (res != RS_DONE)
		return res == RS_MEM_ERROR ? -ENOMEM : -EIO;
	g->job = rs_delta_begin(g->sig);
	return g->job ? 0 : -ENOMEM;
}

/* Bounded so that the worst of signatures, hashing a block at every byte, is noticed soon. */
static size_t
slice_bytes(uint32_t block)
{
	size_t bytes = SLICE_HASH_BYTES / block;

	if (bytes < SLICE_BYTES_MIN)
		return SLICE_BYTES_MIN;
	return bytes < SLICE_BYTES_MAX ? bytes : SLICE_BYTES_MAX;
}

/* Everything that is decided before the first byte. */
static int
gen_look(const struct sums *s, const struct delta_file *f, uint64_t base_size,
	 const struct delta_limits *limits)
{
	uint8_t *buf = malloc((size_t)s->shape.block * 2);
	int rc;

	if (!buf)
		return -ENOMEM;
	rc = probe(s, f, limits, buf);
	if (rc == 0)
		rc = tail_check(s, f, base_size, buf);
	free(buf);
	return rc;
}

int
delta_gen_open(struct delta_gen **out, const uint8_t *sig, size_t sig_len, uint64_t base_size,
	       const struct delta_file *file, const struct delta_limits *limits)
{
	struct delta_gen *g = NULL;
	struct sums s;
	int rc;

	*out = NULL;
	rc = sums_load(&s, sig, sig_len, base_size);
	if (rc == 0)
		rc = gen_look(&s, file, base_size, limits);
	if (rc < 0)
		goto out;
	rc = -ENOMEM;
	g = calloc(1, sizeof(*g));
	if (!g)
		goto out;
	g->file = *file;
	g->limits = *limits;
	g->slice = slice_bytes(s.shape.block);
	g->starved = true;
	g->buf = malloc(READ_BYTES);
	sums_clear(&s); /* before librsync's own copy is made */
	if (!g->buf)
		goto out;
	rc = gen_load(g, sig, sig_len);
	if (rc == 0) {
		*out = g;
		g = NULL;
	}
out:
	sums_clear(&s);
	delta_gen_free(g);
	return rc;
}

void
delta_gen_free(struct delta_gen *g)
{
	if (!g)
		return;
	if (g->job)
		rs_job_free(g->job);
	if (g->sig)
		rs_free_sumset(g->sig);
	free(g->buf);
	free(g);
}

/* The next slice, or the news that there is none. */
static int
gen_feed(struct delta_gen *g)
{
	size_t left = g->have - g->used;
	int rc;

	if (stopped(&g->limits.stop))
		return -ETIMEDOUT;
	if (left == 0 && g->off < g->file.size) {
		uint64_t rest = g->file.size - g->off;

		left = rest < READ_BYTES ? (size_t)rest : READ_BYTES;
		rc = read_full(&g->file, g->off, g->buf, left);
		if (rc < 0)
			return rc;
		g->off += left;
		g->have = left;
		g->used = 0;
	}
	g->last = left == 0;
	g->in = g->buf + g->used;
	g->in_left = left < g->slice ? left : g->slice;
	g->used += g->in_left;
	return 0;
}

/* Runs librsync until the output is full, or it wants input, or is done. */
static int
gen_run(struct delta_gen *g, rs_buffers_t *io)
{
	rs_result res;

	io->next_in = unconst(g->in);
	io->avail_in = g->in_left;
	io->eof_in = g->last;
	res = rs_job_iter(g->job, io);
	g->in += g->in_left - io->avail_in;
	g->in_left = io->avail_in;
	if (res != RS_DONE && res != RS_BLOCKED)
		return res == RS_MEM_ERROR ? -ENOMEM : -EIO;
	g->done = res == RS_DONE;
	g->starved = io->avail_out > 0;
	/* Nothing but full output or no input may hold it up: or this would never end. */
	if (g->starved && !g->done && (g->last || g->in_left > 0))
		return -EIO;
	return 0;
}

ssize_t
delta_gen_pull(struct delta_gen *g, uint8_t *buf, size_t cap)
{
	rs_buffers_t io = {0};

	assert(cap > 0);
	if (cap > SSIZE_MAX)
		cap = SSIZE_MAX;
	io.next_out = (char *)buf;
	io.avail_out = cap;
	while (g->error == 0 && !g->done && io.avail_out > 0) {
		if (g->starved)
			g->error = gen_feed(g);
		if (g->error == 0)
			g->error = gen_run(g, &io);
	}
	g->out_bytes += cap - io.avail_out;
	if (g->error == 0 && g->limits.out_max > 0 && g->out_bytes > g->limits.out_max)
		g->error = -ERANGE;
	return g->error < 0 ? g->error : (ssize_t)(cap - io.avail_out);
}

/* --- Applying a delta --------------------------------------------------------------------- */

struct delta_patch {
	struct delta_file base;
	rs_job_t *job;
	uint64_t left;    /* output still to come */
	uint64_t in_left; /* delta bytes still accepted */
	bool done;
	int error;
};

/* Called by librsync for a piece of a copy, as much as the output has room for; less will do. */
static rs_result
patch_copy(void *arg, rs_long_t pos, size_t *len, void **buf)
{
	struct delta_patch *p = arg;
	uint64_t off = (uint64_t)pos;
	ssize_t got;

	if (pos < 0 || off > p->base.size || *len > p->base.size - off) {
		p->error = -EPROTO;
		return RS_CORRUPT;
	}
	got = p->base.read_at(p->base.arg, off, *buf, *len);
	if (got <= 0) {
		p->error = got < 0 ? (int)got : -ENODATA;
		return RS_IO_ERROR;
	}
	assert((size_t)got <= *len);
	*len = (size_t)got;
	return RS_DONE;
}

struct delta_patch *
delta_patch_new(const struct delta_file *base, uint64_t size)
{
	struct delta_patch *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->base = *base;
	p->left = size;
	/* librsync adds three bytes to every 32 KiB of new data, and no copy is longer than it
	 * saves. */
	p->in_left = size > UINT64_MAX / 2 ? UINT64_MAX : size + size / 1024 + 1024;
	p->job = rs_patch_begin(patch_copy, p);
	if (!p->job) {
		free(p);
		return NULL;
	}
	return p;
}

void
delta_patch_free(struct delta_patch *p)
{
	if (!p)
		return;
	rs_job_free(p->job);
	free(p);
}

/*
 * One turn of librsync. The output it sees ends where the file ends; then it gets one byte of
 * ours, and if it fills that the delta makes too much.
 */
static int
patch_turn(struct delta_patch *p, struct delta_io *io)
{
	rs_buffers_t rs = {0};
	size_t room = io->out_left < p->left ? io->out_left : (size_t)p->left, used;
	char beyond;
	rs_result res;

	rs.next_in = unconst(io->in);
	rs.avail_in = io->in_left;
	rs.next_out = p->left > 0 ? (char *)io->out : &beyond;
	rs.avail_out = p->left > 0 ? room : 1;
	res = rs_job_iter(p->job, &rs);

	used = io->in_left - rs.avail_in;
	io->in += used;
	io->in_left -= used;
	if (p->error < 0)
		return p->error;
	if (res != RS_DONE && res != RS_BLOCKED)
		return res == RS_MEM_ERROR ? -ENOMEM : -EPROTO;
	if (used > p->in_left || (p->left == 0 && rs.avail_out == 0))
		return -EPROTO;
	p->in_left -= used;
	if (p->left > 0) {
		io->out += room - rs.avail_out;
		io->out_left -= room - rs.avail_out;
		p->left -= room - rs.avail_out;
	}
	p->done = res == RS_DONE;
	return 0;
}

int
delta_patch_step(struct delta_patch *p, struct delta_io *io)
{
	size_t in, out;

	do {
		in = io->in_left;
		out = io->out_left;
		if (p->error == 0 && p->done && in > 0)
			p->error = -EPROTO;
		if (p->error < 0 || p->done || (p->left > 0 && out == 0))
			return p->error;
		p->error = patch_turn(p, io);
	} while (p->error == 0 && (io->in_left != in || io->out_left != out));
	return p->error;
}

int
delta_patch_finish(const struct delta_patch *p)
{
	if (p->error < 0)
		return p->error;
	return p->done && p->left == 0 ? 0 : -EPROTO;
}
