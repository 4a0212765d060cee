/* SPDX-License-Identifier: BSD-2-Clause */
/* The member table on disk: authorized_keys and known_hosts follow it. */
#ifndef MIMEO_AGENT_MEMBERS_H
#define MIMEO_AGENT_MEMBERS_H

#include "agent/node.h"

/* Puts this node's own entry into the WAL if it is missing or differs, and writes both files. err:
 * one line on failure. */
NODISCARD int members_start(struct node *n, char *err, size_t err_len);
/* One line about this node, as `mimeo key` prints it and `mimeo authorize` reads it:
 * "mimeo1 NAME ADDRESS-or-- USER ssh-ed25519 AAAA… ssh-ed25519 AAAA…" (user key, host key). Reads
 * the .pub file beside ssh.key and the host key of STATE/ssh_host_ed25519_key.pub, else
 * /etc/ssh/ssh_host_ed25519_key.pub. */
NODISCARD int members_line(const struct settings *conf, struct buf *out, char *err, size_t err_len);
/* Parses such a line. -EINVAL with err. */
NODISCARD int members_parse(const char *line, struct member *m, char *err, size_t err_len);
/* Rewrites authorized_keys (lines that are not mimeo's stay as they are) and known_hosts for this
 * table; atomically, 0600. */
NODISCARD int members_write_files(const struct settings *conf, const struct member *m, size_t n,
				  char *err, size_t err_len);

#endif
