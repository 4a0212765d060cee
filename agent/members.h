/* SPDX-License-Identifier: BSD-2-Clause */
/* The member table on disk: authorized_keys and known_hosts follow it. */
#ifndef MIMEO_AGENT_MEMBERS_H
#define MIMEO_AGENT_MEMBERS_H

#include "agent/node.h"

/* Puts this node's own entry into the WAL if it is missing or differs, and writes both files. err:
 * one line on failure. */
NODISCARD int members_start(struct node *n, char *err, size_t err_len);
/* The same for the entry alone: after a start, and when the configuration was read again. */
void members_own(struct node *n);
/* What this node would say of itself: name, addresses, user and both public keys; a node without
 * an address needs no host key. store, admitted and incarnation are 0. err: one line on failure. */
NODISCARD int members_self(const struct settings *conf, struct member *m, char *err,
			   size_t err_len);
/* One line about this node, as `mimeo key` prints it and `mimeo authorize` reads it:
 * "mimeo1 NAME ADDRESS-or-- USER ssh-ed25519 AAAA… ssh-ed25519 AAAA…" (user key, host key). Reads
 * the .pub file beside ssh.key and the host key of STATE/ssh_host_ed25519_key.pub, else
 * /etc/ssh/ssh_host_ed25519_key.pub. */
NODISCARD int members_line(const struct settings *conf, struct buf *out, char *err, size_t err_len);
/* Parses such a line. -EINVAL with err. */
NODISCARD int members_parse(const char *line, struct member *m, char *err, size_t err_len);
/*
 * Does known_hosts have a line for that name itself (no pattern, not hashed), with just that
 * "ssh-ed25519 AAAA…", or with any such key if host_key is NULL?
 */
bool members_pinned(const struct settings *conf, const char *name, const char *host_key);
/* Is it a comma list of HOST:PORT, perhaps empty? */
bool members_addresses_ok(const char *list);
/* Fills in what makes *m an admission that replaces old (may be NULL), or a removal of *m. */
void members_admission(struct member *m, const struct member *old, const char *by,
		       uint64_t wall_ms);
void members_removal(struct member *m, const char *by, uint64_t wall_ms);
/* Puts an entry into the WAL. */
void members_put(struct node *n, const struct member *m);
/* Lets m in: in the name of this node, which becomes the first member if it is none yet. */
void members_admit(struct node *n, struct member *m);
/* Appends the lines of authorized_keys that are mimeo's: members and open invitations. -errno. */
NODISCARD int members_authorized(const struct settings *conf, const struct member *m, size_t n,
				 struct buf *out);
/* Rewrites authorized_keys (lines that are not mimeo's stay as they are) and known_hosts for this
 * table; atomically, 0600. */
NODISCARD int members_write_files(const struct settings *conf, const struct member *m, size_t n,
				  char *err, size_t err_len);

#endif
