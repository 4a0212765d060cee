/* SPDX-License-Identifier: BSD-2-Clause */
/* Fuzz target: any entries, in any order, as a lying peer or an old log may bring them: the index
 * stays sound, and what it says of itself folds to an index that says the same. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "proto/index.h"
#include "proto/wal.h"

#define ENTRIES_MAX 64 /* of one input */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A broken promise ends the run, which is how a fuzzer learns of it. */
static void
check(bool held)
{
	if (!held)
		abort();
}

/* Framed entries into the index; those that do not decode are passed over. */
static void
fold_all(struct index *x, const uint8_t *data, size_t size, unsigned most)
{
	struct cur c = cur_of(data, size);

	for (unsigned i = 0; i < most && !c.bad && c.left > 0; i++) {
		uint32_t len = cur_u32(&c);
		struct entry e;

		(void)cur_u32(&c); /* a checksum: the log's business */
		len = len < c.left ? len : (uint32_t)c.left;
		if (c.bad || entry_decode(cur_bytes(&c, len), len, &e) < 0)
			continue;
		check(index_fold(x, &e) == 0);
		entry_clear(&e);
	}
}

static void
check_snapshot(struct index *x)
{
	struct index *again = index_new(2, "self");
	struct index_snapshot s = {0};
	struct buf out = {0};

	check(again != NULL);
	do {
		buf_reset(&out);
		check(index_snapshot(x, &s, &out) == 0 && !out.failed);
		fold_all(again, out.data, out.len, UINT32_MAX);
	} while (out.len > 0);
	index_check(again);
	check(memcmp(x->digest, again->digest, sizeof(x->digest)) == 0);
	check(dotset_eq(&x->have, &again->have));
	buf_free(&out);
	index_free(again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct index *x = index_new(1, "self");

	check(x != NULL);
	fold_all(x, data, size, ENTRIES_MAX);
	index_check(x);
	check_snapshot(x);
	index_free(x);
	return 0;
}
