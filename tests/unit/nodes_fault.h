/* SPDX-License-Identifier: BSD-2-Clause */
/* What the agent that runs now meets when it calls the C library. */
#ifndef MIMEO_TESTS_UNIT_NODES_FAULT_H
#define MIMEO_TESTS_UNIT_NODES_FAULT_H

#include "tests/unit/nodes.h"

struct meets {
	struct fault fault;
	struct machine *machine;
	unsigned seen; /* calls of its class */
	bool happened;
	bool killed; /* everything fails, and nothing is done any more ... */
	bool dying;  /* once this call is made */
	bool *log;   /* ... in the log neither: set then */
};

/* From now on; NULL: nothing fails. */
void fault_meets(struct meets *m);

#endif
