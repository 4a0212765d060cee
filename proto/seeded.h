/* SPDX-License-Identifier: BSD-2-Clause */
/* Bugs that are put in on purpose, to see whether the tests find them. Only with configure
 * --enable-seeded-bugs is any of them in the programs; tests/seeded.bugs tells what each one is. */
#ifndef MIMEO_PROTO_SEEDED_H
#define MIMEO_PROTO_SEEDED_H

#include <stdbool.h>

#ifdef SEEDED_BUGS

/* Is this the bug that the environment variable MIMEO_SEEDED_BUG asks for? */
bool seeded(const char *bug);

#define SEEDED(bug) seeded(#bug)

#else

#define SEEDED(bug) false

#endif
#endif
