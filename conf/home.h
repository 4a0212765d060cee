/* SPDX-License-Identifier: BSD-2-Clause */
/* A node's home: the WAL in the state directory and the marker in the root belong together. Both
 * daemons and `mimeo init` come through here. */
#ifndef MIMEO_CONF_HOME_H
#define MIMEO_CONF_HOME_H

#include "conf/tree.h"
#include "proto/wal.h"

/*
 * Makes sure that there is a WAL. If there is none and the root has no marker: creates the WAL with
 * a random store id and then the marker. If there is none although the root carries a marker, the
 * state disk is probably not mounted: -ENOTRECOVERABLE, and err says what to do. If there is one,
 * nothing is done here. Safe against another process doing the same (STATE/init.lock). Other
 * errors: -errno with err filled.
 */
NODISCARD int home_prepare(const char *state, struct tree *tree, const struct wal_dev *dev,
			   uint64_t wall_ms, char *err, size_t err_len);
/*
 * After the WAL was opened: is the root the one that it belongs to? A WAL that has never had an
 * entry may still lack its marker (a crash in between): it is written. 0, or tree_guard's error
 * with err saying what is wrong and what to do.
 */
NODISCARD int home_guard(struct tree *tree, const struct wal_info *info, const char *root,
			 char *err, size_t err_len);
/* Does that error of home_guard only say that the root could not be looked at just now (an I/O
 * error, no descriptor left)? Then nothing is logged or applied, and it is looked at again. */
bool home_unsure(int error);

#endif
