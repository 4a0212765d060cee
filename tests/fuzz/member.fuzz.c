/* SPDX-License-Identifier: BSD-2-Clause */
/* Fuzz target: bytes that decode as a member are fit to be shown, and encode to themselves. */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/member.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A broken promise ends the run, which is how a fuzzer learns of it. */
static void
check(bool held)
{
	if (!held)
		abort();
}

/* Printable ASCII, terminated within its room. */
static void
check_text(const char *text, size_t room, bool spaces)
{
	size_t len = strnlen(text, room);

	check(len < room);
	for (size_t i = 0; i < len; i++)
		check(text[i] > (spaces ? 31 : 32) && text[i] < 127);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cur c = cur_of(data, size);
	struct member m;
	struct buf b = {0};
	int rc = member_decode(&c, &m);

	check(rc == 0 || rc == -EPROTO);
	if (rc < 0) {
		check(m.name[0] == '\0' && m.address[0] == '\0' && m.user_key[0] == '\0' &&
		      m.store == 0 && m.incarnation == 0);
		return 0;
	}
	check(member_name_ok(m.name, strlen(m.name)) && m.removed <= 1);
	check_text(m.address, sizeof(m.address), false);
	check_text(m.user, sizeof(m.user), false);
	check_text(m.user_key, sizeof(m.user_key), true);
	check_text(m.host_key, sizeof(m.host_key), true);
	check(m.admitted_by[0] == '\0' || member_name_ok(m.admitted_by, strlen(m.admitted_by)));
	member_encode(&b, &m);
	check(!b.failed && b.len == size - c.left && memcmp(b.data, data, b.len) == 0);
	buf_free(&b);
	return 0;
}
