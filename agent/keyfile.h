/* SPDX-License-Identifier: BSD-2-Clause */
/* Files of keys: reading them whole, and saying what is wrong with a private one. */
#ifndef MIMEO_AGENT_KEYFILE_H
#define MIMEO_AGENT_KEYFILE_H

#include <stddef.h>

#include "proto/attr.h"

#define KEYFILE_BYTES_MAX 16384 /* of a private key; an ed25519 key has about 400 */

/*
 * Reads a whole regular file of at most max bytes. *data has a NUL behind its *len bytes; the
 * caller frees it. Nothing is allocated on failure: -errno of the system, -EINVAL if it is not a
 * regular file, -EFBIG if it is longer, -ENOMEM.
 */
NODISCARD int keyfile_read(const char *path, size_t max, char **data, size_t *len);

/* 0 if nobody but its owner may use the file, -EPERM if somebody may, or -errno. */
NODISCARD int keyfile_private(const char *path);

/*
 * What is wrong with the text of a private key, in words that follow "key FILE": it must be an
 * Ed25519 key in OpenSSH's format without a passphrase, whole from its first line to its last.
 * NULL if nothing is; the numbers inside are not checked.
 */
const char *keyfile_problem(const char *pem);

#endif
