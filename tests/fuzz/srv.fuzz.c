/* SPDX-License-Identifier: BSD-2-Clause */
/* Fuzz target: whatever the DNS answers, only host names and ports come out, in order. */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/srv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TARGETS 16

/* A broken promise ends the run, which is how a fuzzer learns of it. */
static void
check(bool held)
{
	if (!held)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct srv_target t[TARGETS];
	char name[MEMBER_NAME_BYTES_MAX + 1];
	int n = srv_parse(data, size, t, TARGETS);

	check(n == -EPROTO || n == -ENOENT || (n >= 0 && n <= TARGETS));
	for (int i = 0; i < n; i++) {
		check(hostport_host_ok(t[i].at.host) && t[i].at.port > 0);
		check(i == 0 || t[i - 1].priority <= t[i].priority);
		check(!srv_name(&t[i], name) || member_name_ok(name, strlen(name)));
	}
	return 0;
}
