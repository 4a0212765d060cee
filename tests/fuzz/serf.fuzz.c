/* SPDX-License-Identifier: BSD-2-Clause */
/* Fuzz target: whatever a Serf agent says, only names come out, and in pieces it means the same. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "agent/serf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A broken promise ends the run, which is how a fuzzer learns of it. */
static void
check(bool held)
{
	if (!held)
		abort();
}

struct heard {
	uint64_t n, sum;
};

static void
on_member(void *arg, const struct serf_member *m)
{
	struct heard *h = arg;

	check(member_name_ok(m->name, strlen(m->name)));
	check(strlen(m->address) <= MEMBER_ADDRESS_BYTES_MAX);
	check(m->fate == SERF_ALIVE || m->fate == SERF_LEFT || m->fate == SERF_FAILED);
	h->n++;
	h->sum = h->sum * 31 + strlen(m->name) + 7 * strlen(m->address) + (uint64_t)m->fate;
}

static int
feed(const uint8_t *data, size_t size, size_t piece, struct heard *h)
{
	struct serf *s = serf_new(NULL, on_member, h);
	const char *what = NULL;
	int r = 0;

	check(s != NULL);
	for (size_t at = 0; r == 0 && at < size; at += piece) {
		r = serf_input(s, data + at, size - at < piece ? size - at : piece, &what);
		check(what != NULL);
	}
	serf_ask(s);
	check(!serf_ready(s) || r == 0);
	serf_free(s);
	return r;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct heard whole = {0}, pieces = {0};
	int r = feed(data, size, size > 0 ? size : 1, &whole);

	check(feed(data, size, 7, &pieces) == r);
	check(whole.n == pieces.n && whole.sum == pieces.sum);
	return 0;
}
