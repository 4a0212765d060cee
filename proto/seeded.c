/* SPDX-License-Identifier: BSD-2-Clause */
/* Which seeded bug is on. Not part of an ordinary build. */
#include "config.h"

#include "proto/seeded.h"

#include <stdlib.h>
#include <string.h>

bool
seeded(const char *bug)
{
	static const char *on; /* read once: this is asked all the time */

	if (on == NULL && (on = getenv("MIMEO_SEEDED_BUG")) == NULL)
		on = "";
	return strcmp(on, bug) == 0;
}
