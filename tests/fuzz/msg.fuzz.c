/* SPDX-License-Identifier: BSD-2-Clause */
/* Fuzz target: bytes that decode as a message encode to themselves. */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A broken promise ends the run, which is how a fuzzer learns of it. */
static void
check(bool held)
{
	if (!held)
		abort();
}

static void
check_promises(const struct msg *m)
{
	check(strcmp(msg_name(m->type), "?") != 0 && m->nspans <= MSG_SPANS_MAX);
	for (uint32_t i = 0; i < m->nspans; i++) {
		struct span3 s = msg_span(m, i);

		check(s.origin != 0 && s.lo >= 1 && s.lo <= s.hi && s.hi <= DOT_SEQ_MAX);
	}
	check(m->version_min <= m->version_max);
	check(m->node[0] == '\0' || member_name_ok(m->node, strlen(m->node)));
	check(m->type != MSG_DATA || m->len <= MSG_DATA_BYTES_MAX);
	check(m->type != MSG_BYE || m->len <= MSG_TEXT_BYTES_MAX);
	check(!m->inlined || (m->rec.kind == KIND_FILE && m->len == m->rec.size &&
			      m->len <= MSG_INLINE_BYTES_MAX));
	check(m->type != MSG_GET || m->how == GET_DELTA || m->offset <= m->size);
}

static void
check_stable(const uint8_t *data, size_t size, const struct msg *m)
{
	struct buf b = {0};

	if (m->type == MSG_HELLO && m->version_min > 1)
		return; /* what a later version says besides is not kept */
	msg_encode(&b, m);
	check(!b.failed && b.len == FRAME_HEADER_BYTES + size && bytes_get_u32(b.data) == size);
	check(memcmp(b.data + FRAME_HEADER_BYTES, data, size) == 0);
	buf_free(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct msg m;
	int rc;

	if (size > FRAME_BYTES_MAX)
		return 0;
	rc = msg_decode(data, size, &m);
	check(rc == 0 || rc == -EPROTO);
	if (rc == 0) {
		check_promises(&m);
		check_stable(data, size, &m);
	}
	msg_clear(&m);
	return 0;
}
