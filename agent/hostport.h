/* SPDX-License-Identifier: BSD-2-Clause */
/* An address that can be dialled, HOST:PORT, and the name its host key is pinned under. */
#ifndef MIMEO_AGENT_HOSTPORT_H
#define MIMEO_AGENT_HOSTPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/attr.h"

#define HOSTPORT_HOST_MAX 255 /* bytes of a host; a DNS name has at most 253 */
#define HOSTPORT_TEXT_MAX (HOSTPORT_HOST_MAX + sizeof("[]:65535") - 1) /* without the NUL */
#define HOSTPORT_PORT_SSH 22

struct hostport {
	char host[HOSTPORT_HOST_MAX + 1]; /* without brackets */
	uint16_t port;
};

/*
 * Is host something to look up or to connect to: 1 to HOSTPORT_HOST_MAX bytes out of letters,
 * digits, '.', '-', '_', ':' and '%', the first one not '-'? So it can neither be taken for an
 * option nor break out of a line of known_hosts.
 */
bool hostport_host_ok(const char *host);

/*
 * Reads "HOST", "HOST:PORT", "[HOST]" or "[HOST]:PORT" into *hp. A text with two or more colons
 * and no brackets is an IPv6 address without a port. Without a port it is HOSTPORT_PORT_SSH.
 * 0, or -EINVAL (then *hp is undefined): bad host, or a port that is not 1 to 65535.
 */
NODISCARD int hostport_parse(struct hostport *hp, const char *text);

/*
 * Writes the name that known_hosts has for this address, as OpenSSH writes it: "host" for port 22,
 * "[host]:port" for any other, always "[host]:port" if bracket is set; in lower case.
 * 0, or -ENAMETOOLONG if it and its NUL do not fit into size bytes; HOSTPORT_TEXT_MAX + 1 are
 * always enough.
 */
NODISCARD int hostport_pin(const struct hostport *hp, bool bracket, char *out, size_t size);

#endif
