/* SPDX-License-Identifier: BSD-2-Clause */
/* After a crash: what became of each open intent, and how it goes on. */
#ifndef MIMEO_AGENT_RECOVER_H
#define MIMEO_AGENT_RECOVER_H

#include "agent/node.h"

/*
 * For each open intent: the stage file is still the intent's inode (for a delete: there is none):
 * not renamed, so the intent is dropped and the path is looked at anew. Otherwise it was renamed:
 * what came out goes to the store if it is the version that was shown here, goes back if it is a
 * local edit and the path still shows what was put there, or is rescued; then APPLIED. Whatever
 * else is at the path is a later local change, which the watcher finds. May itself be cut short at
 * any point and run again. The entries are put into the commit; the index forgets the intents as
 * they are folded.
 */
void recover_start(struct node *n);

#endif
