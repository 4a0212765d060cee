/* SPDX-License-Identifier: BSD-2-Clause */
/* An answer of the DNS with SRV records, read field by field. Pure. */
#ifndef MIMEO_AGENT_SRV_H
#define MIMEO_AGENT_SRV_H

#include <stddef.h>
#include <stdint.h>

#include "agent/hostport.h"
#include "proto/member.h"

#define SRV_TYPE 33
#define SRV_ANSWER_BYTES_MAX 65535
#define SRV_TARGETS_MAX MEMBERS_MAX

/* HOST:PORT, to be tried in this order: the lower priority, then the higher weight. */
struct srv_target {
	struct hostport at;
	uint16_t priority, weight;
};

/*
 * The SRV records of the answer section, sorted. Those whose target is no host name, or no port,
 * are left out, and so is what is beyond max. Returns their number; -EPROTO: not an answer, or one
 * that contradicts itself; -ENOENT: the DNS says that there is no such name.
 */
NODISCARD int srv_parse(const void *answer, size_t len, struct srv_target *out, size_t max);
/* The member whose address it is: the first label of the host, in lower case. false: no name. */
bool srv_name(const struct srv_target *t, char name[MEMBER_NAME_BYTES_MAX + 1]);

#endif
