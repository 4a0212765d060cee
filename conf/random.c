/* SPDX-License-Identifier: BSD-2-Clause */
/* Numbers from the kernel's generator. */
#include "config.h"

#include "conf/random.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

uint64_t
random_u64(void)
{
	uint64_t v = 0;

	do {
		/* Requests up to 256 bytes are never cut short once the pool is ready. */
		if (getrandom(&v, sizeof(v), 0) != (ssize_t)sizeof(v)) {
			v = 0;
			if (errno != EINTR)
				abort();
		}
	} while (v == 0);
	return v;
}
