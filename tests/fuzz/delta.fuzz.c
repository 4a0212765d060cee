/* SPDX-License-Identifier: BSD-2-Clause */
/* Fuzz target: a peer's signature never hangs the maker of a delta, a peer's delta never overruns.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/delta.h"

/*
 * The first byte of an input says what the rest is:
 *   0  u24 size of the base, then a signature
 *   1  u16 size of the file, u8 and u8 bytes of input and output at a time, then a delta
 */
#define FILE_BYTES 4096u
#define DELTA_BYTES_MAX (3 * FILE_BYTES)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A broken promise ends the run, which is how a fuzzer learns of it. */
static void
check(bool held)
{
	if (!held)
		abort();
}

/* The file of FILE_BYTES, base and new file alike: a pattern that no block repeats. */
static ssize_t
read_at(void *arg, uint64_t off, void *buf, size_t len)
{
	uint8_t *out = buf;
	size_t i;

	(void)arg;
	check(off <= FILE_BYTES && len <= FILE_BYTES - off);
	for (i = 0; i < len; i++)
		out[i] = (uint8_t)((off + i) % 251);
	return (ssize_t)len;
}

static const struct delta_file file = {read_at, NULL, FILE_BYTES};

static void
try_signature(struct cur *c)
{
	uint64_t base_size = cur_u16(c) | (uint64_t)cur_u8(c) << 16;
	const struct delta_limits limits = {0, 0, 0, {NULL, NULL}};
	uint8_t out[1000];
	struct delta_gen *g;
	size_t total = 0;
	ssize_t n;
	int rc;

	rc = delta_sig_check(c->p, c->left, base_size);
	check(rc == 0 || rc == -EPROTO || rc == -ERANGE);
	check(rc != 0 || c->left <= delta_sig_bytes_max(base_size));
	check(delta_gen_open(&g, c->p, c->left, base_size, &file, &limits) == rc ||
	      (rc == 0 && !g));
	if (!g)
		return;
	while ((n = delta_gen_pull(g, out, sizeof(out))) > 0)
		total += (size_t)n;
	check(n == 0 && total >= 5 && total <= DELTA_BYTES_MAX);
	delta_gen_free(g);
}

/* All steps until the input is used up. Bytes made. */
static size_t
patch_all(struct delta_patch *p, struct cur *c, size_t in_step, size_t out_step)
{
	uint8_t out[256];
	size_t made = 0;
	int rc;

	do {
		struct delta_io io = {c->p, c->left < in_step ? c->left : in_step, NULL, 0};
		size_t in_left = io.in_left;

		io.out = out;
		io.out_left = out_step;
		rc = delta_patch_step(p, &io);
		check(io.in_left <= in_left && io.out_left <= out_step);
		check(io.out == out + (out_step - io.out_left));
		check(cur_bytes(c, in_left - io.in_left) || c->left == 0);
		made += out_step - io.out_left;
		if (io.out_left > 0 && c->left == 0)
			break;
	} while (rc == 0);
	check(rc == 0 || rc == -EPROTO);
	return made;
}

static void
try_delta(struct cur *c)
{
	uint64_t size = cur_u16(c);
	size_t in_step = cur_u8(c) + (size_t)1, out_step = cur_u8(c) + (size_t)1, made;
	struct delta_patch *p;
	int rc;

	if (c->bad)
		return;
	p = delta_patch_new(&file, size);
	check(p);
	made = patch_all(p, c, in_step, out_step);
	rc = delta_patch_finish(p);
	check(made <= size && (rc == -EPROTO || (rc == 0 && made == size && c->left == 0)));
	delta_patch_free(p);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cur c = cur_of(data, size);

	switch (cur_u8(&c)) {
	case 0:
		try_signature(&c);
		break;
	case 1:
		try_delta(&c);
		break;
	}
	return 0;
}
