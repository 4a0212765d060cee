/* SPDX-License-Identifier: BSD-2-Clause */
/* Who of several nodes does something first, without a word between them. */
#ifndef MIMEO_AGENT_SHARE_H
#define MIMEO_AGENT_SHARE_H

#include "proto/vv.h"

/*
 * The node whose rank is the highest. The same on every node for one name and one dot; each of n
 * names is the highest for about one of n dots, and when one drops out only its share is divided
 * anew.
 */
uint64_t share_rank(const char *name, struct dot dot);

#endif
