/* SPDX-License-Identifier: BSD-2-Clause */
/* The check with which most tests of whole nodes go on from one thing to the next. Header only. */
#ifndef MIMEO_TESTS_UNIT_SETTLE_H
#define MIMEO_TESTS_UNIT_SETTLE_H

#include "tests/tap.h"
#include "tests/unit/nodes.h"

#define SETTLE_MS 300000 /* of the nodes' time */

__attribute__((unused)) static void
settle(struct nodes *all, const char *when)
{
	ok(nodes_settle(all, SETTLE_MS), "all is done: %s", when);
}

#endif
