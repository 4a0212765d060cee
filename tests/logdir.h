/* SPDX-License-Identifier: BSD-2-Clause */
/* For tests: a state directory with nothing in it but logs. What cannot be set up ends the test. */
#ifndef MIMEO_TESTS_LOGDIR_H
#define MIMEO_TESTS_LOGDIR_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "proto/bytes.h"
#include "proto/wal.h"

struct logdir {
	char dir[64];
	char wal[96], prev[96]; /* the log, and the generation before it */
};

static inline void
logdir_begin(struct logdir *d)
{
	*d = (struct logdir){.dir = "/tmp/logdir.XXXXXX"};
	if (mkdtemp(d->dir) == NULL)
		abort();
	snprintf(d->wal, sizeof(d->wal), "%s/wal", d->dir);
	snprintf(d->prev, sizeof(d->prev), "%s/wal.prev", d->dir);
}

static inline void
logdir_end(const struct logdir *d)
{
	(void)unlink(d->wal);
	(void)unlink(d->prev);
	(void)rmdir(d->dir);
}

/* What a log begins with. */
static inline void
logdir_header(struct buf *b, uint64_t created_ms)
{
	uint8_t bytes[WAL_HEADER_BYTES] = "mimeoWAL";

	bytes_set_u64(bytes + 40, created_ms);
	buf_put(b, bytes, sizeof(bytes));
}

static inline void
logdir_write(const char *path, const struct buf *b)
{
	FILE *f = fopen(path, "we");

	if (f == NULL || fwrite(b->data, 1, b->len, f) != b->len || fclose(f) != 0)
		abort();
}

#endif
