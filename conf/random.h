/* SPDX-License-Identifier: BSD-2-Clause */
/* Numbers that nobody can guess and nobody else has: ids of nodes, origins and stores. */
#ifndef MIMEO_CONF_RANDOM_H
#define MIMEO_CONF_RANDOM_H

#include <stdint.h>

/*
 * 64 bits from the kernel's generator, never 0 (0 means "none" in every format). Waits until the
 * kernel has collected its first entropy, early at boot. A kernel without getrandom(2) ends the
 * process: an id that might repeat is worse than none.
 */
uint64_t random_u64(void);

#endif
