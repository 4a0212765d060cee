/* SPDX-License-Identifier: BSD-2-Clause */
/* Fuzz target: bytes that decode as a record encode to themselves and decode to the same again. */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/path.h"
#include "proto/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A broken promise ends the run, which is how a fuzzer learns of it. */
static void
check(bool held)
{
	if (!held)
		abort();
}

/* What the contract promises of every decoded record. */
static void
check_promises(const struct record *r)
{
	check(r->kind <= KIND_SYMLINK && (r->flags & ~RECORD_FLAGS) == 0);
	check((r->mode & ~RECORD_MODE_MASK) == 0 && r->ctx.n <= RECORD_CTX_MAX);
	check(r->dot.origin != 0 && r->dot.seq != 0 && r->dot.seq <= DOT_SEQ_MAX);
	check(path_check(r->path, r->path_len) == 0 && !record_covers(r, r->dot));
	check(strcmp(record_op_name((enum record_op)r->op), "?") != 0);
	check(record_rank(r, r) == 0 && record_same_content(r, r));
}

/* The record's own bytes are those it came from, and so are the copy's. */
static void
check_stable(const uint8_t *data, size_t len, const struct record *r)
{
	struct record *copy = record_dup(r), again;
	struct buf b = {0};
	struct cur c;

	record_encode(&b, r);
	check(!b.failed && b.len == len && len <= RECORD_BYTES_MAX);
	check(memcmp(b.data, data, len) == 0);
	c = cur_of(b.data, b.len);
	check(record_decode(&c, &again) == 0 && cur_done(&c) && vv_eq(&again.ctx, &r->ctx));
	record_clear(&again);

	check(copy);
	buf_reset(&b);
	record_encode(&b, copy);
	check(b.len == len && memcmp(b.data, data, len) == 0);
	record_free(copy);
	buf_free(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cur c = cur_of(data, size);
	struct record r;
	int rc = record_decode(&c, &r);

	check(rc == 0 || rc == -EPROTO);
	if (rc == 0) {
		check_promises(&r);
		check_stable(data, size - c.left, &r);
	}
	record_clear(&r);
	return 0;
}
