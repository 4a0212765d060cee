/* SPDX-License-Identifier: BSD-2-Clause */
/* Differences between two files: a signature of the old, a delta to the new, and applying it. */
#ifndef MIMEO_AGENT_DELTA_H
#define MIMEO_AGENT_DELTA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/attr.h"
#include "proto/bytes.h"

/*
 * The one who wants a file makes a signature of the base it has (delta_sig_make) and sends it; the
 * one who has the file answers with a delta (delta_gen_*); the first applies it to its base
 * (delta_patch_*). The bytes are librsync's. Whoever applies compares the SHA-256 of the result:
 * sums are as short as chance allows, so that a wrong result is possible and must be noticed there.
 *
 * Signatures and deltas are a peer's: nothing here trusts them. A failure of any kind means "send
 * the whole file" and need not be the peer's fault, as whoever writes a file can choose its sums.
 *
 * Everything reads, computes and may take long: for worker threads. Objects are used by one thread
 * at a time and share nothing. librsync's messages are switched off before main() (a constructor),
 * except for the last words of its abort() when memory runs out: it has no other way to say so.
 */

#define DELTA_BLOCK_BYTES_MIN 512u
#define DELTA_BLOCK_BYTES_MAX (1024u * 1024)
#define DELTA_BLOCKS_MAX (4u * 1024 * 1024) /* in a signature: bases up to 4 TiB */
#define DELTA_CROWD_MAX 64u   /* different blocks in one slot of librsync's hash table */
#define DELTA_RATIO_MAX 16u   /* of the larger to the smaller of base and new file */
#define DELTA_PROBE_SPOTS 32u /* what a caller that has no opinion passes as spots, … */
#define DELTA_PROBE_HITS 2u   /* … and as hits: about a sixteenth of the file is in the base */

/* Where bytes come from, at random. read_at works like pread: bytes (0 at the end), or -errno. */
struct delta_file {
	ssize_t (*read_at)(void *arg, uint64_t off, void *buf, size_t len);
	void *arg;
	uint64_t size; /* bytes beyond it are not read; a file that ends earlier is -ENODATA */
};

/*
 * Asked about every few hundred milliseconds or more often; true ends the work with -ETIMEDOUT.
 * For a deadline and for cancelling. `now` may be NULL.
 */
struct delta_stop {
	bool (*now)(void *arg);
	void *arg;
};

/*
 * Can a delta win at all: both at least delta_min bytes, neither more than DELTA_RATIO_MAX times
 * the other, and the base small enough for a signature.
 */
bool delta_worth(uint64_t base_size, uint64_t new_size, uint64_t delta_min);

/* --- Signatures ------------------------------------------------------------------------- */

/* Bytes of the signature that delta_sig_make makes of a base of that size; 0: too large for one. */
size_t delta_sig_bytes(uint64_t size);
/* No signature of a base of that size is accepted with more bytes than this; 0: none at all. */
size_t delta_sig_bytes_max(uint64_t size);
/*
 * Appends the signature of the base to out, delta_sig_bytes(base->size) bytes: blocks of about the
 * square root of the size, sums of librsync's minimum. Reads the base once (some 450 MB/s). Errors
 * leave out as it was: -EFBIG, -ENOMEM, -ENODATA, -ETIMEDOUT, read_at's.
 */
NODISCARD int delta_sig_make(const struct delta_file *base, const struct delta_stop *stop,
			     struct buf *out);
/*
 * Is this a signature of a base of that size which librsync may be given. -EPROTO: another kind
 * than Rabin-Karp with BLAKE2, block size or sum length out of bounds, not exactly the number of
 * blocks, or more than delta_sig_bytes_max. -ERANGE: well formed, but more than DELTA_CROWD_MAX
 * different blocks (with one weak sum, for instance) begin at one slot of librsync's hash table, or
 * filling it takes far more steps than chance explains: time would be quadratic, and cannot be
 * interrupted there. Equal blocks, such as zeros, are stored once. -ENOMEM. Up to 0.6 s for
 * DELTA_BLOCKS_MAX blocks; takes 20 bytes a block for the time being.
 */
NODISCARD int delta_sig_check(const uint8_t *sig, size_t len, uint64_t base_size);

/* --- Deltas ----------------------------------------------------------------------------- */

struct delta_limits {
	/*
	 * Data that is not in the base costs librsync about 25 ns a byte, ten times more than data
	 * that is. So look first: at `spots` places spread evenly from head to tail, two blocks
	 * each, is there any whole block of the base? Fewer than `hits` places: -ERANGE. hits /
	 * spots is about the least share of the file that must be in the base; a fast link wants
	 * more, a slow one less. spots 0: do not look.
	 */
	uint32_t spots;
	uint32_t hits;
	uint64_t out_max; /* a delta of more bytes than this ends with -ERANGE; 0: any */
	struct delta_stop stop;
};

struct delta_gen;

/*
 * Prepares the delta from the base that the signature (any bytes; checked here) describes to the
 * file. The signature is not needed afterwards; file and limits are copied, file->arg and
 * limits->stop.arg are borrowed until delta_gen_free. On success *out is the caller's, else NULL.
 * Errors: delta_sig_check's; -ERANGE as above, or because the last block's worth of the file was
 * met with sums that make its end slow (librsync cannot be interrupted there); -ENODATA,
 * -ETIMEDOUT, read_at's.
 */
NODISCARD int delta_gen_open(struct delta_gen **out, const uint8_t *sig, size_t sig_len,
			     uint64_t base_size, const struct delta_file *file,
			     const struct delta_limits *limits);
void delta_gen_free(struct delta_gen *g);
/*
 * The next 1..cap bytes of the delta; 0: that was all. cap is at least 1. An error is final and is
 * returned again: -ERANGE (out_max), -ENODATA, -ETIMEDOUT, -EIO (librsync failed), read_at's.
 * Memory: the signature in librsync's form (up to 36 bytes and two hash slots a block), three
 * blocks and 320 KiB.
 */
NODISCARD ssize_t delta_gen_pull(struct delta_gen *g, uint8_t *buf, size_t cap);

/* --- Applying --------------------------------------------------------------------------- */

struct delta_patch;

/* Delta bytes going in and file bytes coming out; both are advanced past what was used. */
struct delta_io {
	const uint8_t *in;
	size_t in_left;
	uint8_t *out;
	size_t out_left;
};

/* To make a file of exactly size bytes. Copies *base, borrows base->arg. NULL: out of memory. */
struct delta_patch *delta_patch_new(const struct delta_file *base, uint64_t size);
void delta_patch_free(struct delta_patch *p);
/*
 * Uses input and fills output until one of them is used up. Call again while in_left > 0 or
 * out_left == 0; otherwise it waits for input. An error is final and is returned again: -EPROTO
 * (not a delta, a copy from outside the base, more than size bytes of output, bytes after the end,
 * more delta bytes than a delta of that size can need), -ENODATA, read_at's. Output that was
 * already given is then worthless. Never gives more than size bytes altogether.
 */
NODISCARD int delta_patch_step(struct delta_patch *p, struct delta_io *io);
/* After the last step: 0 if the delta was complete and gave size bytes; -EPROTO; the error before.
 */
NODISCARD int delta_patch_finish(const struct delta_patch *p);

#endif
