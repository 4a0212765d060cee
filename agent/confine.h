/* SPDX-License-Identifier: BSD-2-Clause */
/* Giving up, for good, every right that copying bytes between open descriptors does not need. */
#ifndef MIMEO_AGENT_CONFINE_H
#define MIMEO_AGENT_CONFINE_H

#include <stddef.h>

#include "proto/attr.h"

/* Bytes of data that a confined process may use beside what it announces. */
#define CONFINE_DATA_BYTES ((size_t)64 * 1024 * 1024)

/* Descriptors that a confined process may have; those it has stay open. */
#define CONFINE_FDS_MAX 8

/*
 * The first thing in main(): closes every descriptor above 2 that was inherited, forbids new
 * privileges (set-user-id, file capabilities), core files and being traced, because keys are about
 * to be in memory. 0 or -errno.
 */
NODISCARD int confine_begin(void);

/*
 * To be called when everything that has to be opened is open and before the first byte from
 * outside is looked at. From then on the process can read, write, poll, shut down and close its
 * descriptors, manage memory without ever making it executable, read the clock, get random bytes
 * and exit. Everything else fails with EPERM: opening or naming a file, making a socket,
 * connecting, starting or signalling another process, gaining rights. All capabilities are
 * dropped; Landlock closes the file system a second time where the kernel has it. Data is limited
 * to extra bytes more than CONFINE_DATA_BYTES.
 *
 * 0, or -errno when the kernel refuses (no seccomp): the caller must not go on. In a build with a
 * sanitizer or for coverage, whose runtime needs what is forbidden here, and on processors whose
 * system calls this file does not know, only the capabilities are dropped.
 */
NODISCARD int confine_streams(size_t extra);

#endif
