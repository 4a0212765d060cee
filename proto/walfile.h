/* SPDX-License-Identifier: BSD-2-Clause */
/* The WAL's real device: files below the state directory. The one file of proto/ that makes system
 * calls. */
#ifndef MIMEO_PROTO_WALFILE_H
#define MIMEO_PROTO_WALFILE_H

#include "proto/wal.h"

/*
 * STATE/wal, STATE/wal.lock (an OFD lock on the whole file), STATE/wal.prev (the previous
 * generation), STATE/wal.next (under construction), STATE/wal.damaged-N. Files are 0600. Directory
 * entries are synced.
 *
 * The lock file's one byte is 1 from an append's first write until it is synced. Whoever finds it 1
 * after locking (the appender was killed in between) syncs the WAL himself first: so what is read
 * under the lock is durable, however the last holder ended.
 */
struct walfile;

/*
 * Opens STATE (a directory of mode 0700 owned by this user, else -EPERM) and the lock file, which
 * is created if missing. -ENOMEM, or what open(2) says.
 */
NODISCARD int walfile_open(const char *state, struct walfile **out);
void walfile_close(struct walfile *f);
/* The device for wal_new; it ends with f. One struct wal a walfile. */
struct wal_dev walfile_dev(struct walfile *f);

#endif
