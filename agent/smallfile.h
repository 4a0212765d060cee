/* SPDX-License-Identifier: BSD-2-Clause */
/* Small files that are read whole and replaced whole: keys, hosts, invitations. */
#ifndef MIMEO_AGENT_SMALLFILE_H
#define MIMEO_AGENT_SMALLFILE_H

#include "proto/bytes.h"

#define SMALLFILE_BYTES_MAX (4u * 1024 * 1024)

/*
 * Appends the whole file to *out, and a NUL behind it. -errno of open (-ENOENT: there is none;
 * -ELOOP: a symbolic link), -EFBIG, -EIO, -ENOMEM. The caller frees *out in any case.
 */
NODISCARD int smallfile_read(const char *path, struct buf *out);
/*
 * A reader, and a crash, sees the old file or the new one, mode 0600. Does nothing if the file has
 * just this text already. -errno; the old file stays.
 */
NODISCARD int smallfile_replace(const char *path, const void *text, size_t len);

#endif
