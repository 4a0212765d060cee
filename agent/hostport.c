/* SPDX-License-Identifier: BSD-2-Clause */
/* HOST:PORT: reading it, and the name its host key is pinned under. */
#include "config.h"

#include "agent/hostport.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool
is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool
hostport_host_ok(const char *host)
{
	size_t n = strlen(host);

	if (n == 0 || n > HOSTPORT_HOST_MAX || host[0] == '-')
		return false;
	for (size_t i = 0; i < n; i++)
		if (!is_alnum(host[i]) && !strchr(".-_:%", host[i]))
			return false;
	return true;
}

static int
parse_port(const char *text, uint16_t *port)
{
	unsigned value = 0;
	size_t n = strlen(text);

	if (n == 0 || n > 5)
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -EINVAL;
		value = value * 10 + (unsigned)(text[i] - '0');
	}
	if (value == 0 || value > UINT16_MAX)
		return -EINVAL;
	*port = (uint16_t)value;
	return 0;
}

int
hostport_parse(struct hostport *hp, const char *text)
{
	const char *end, *port = NULL;
	size_t n;

	if (text[0] == '[') {
		text++;
		end = strchr(text, ']');
		if (!end || (end[1] != '\0' && end[1] != ':'))
			return -EINVAL;
		if (end[1] == ':')
			port = end + 2;
	} else {
		end = strchr(text, ':');
		if (!end || strchr(end + 1, ':'))
			end = text + strlen(text);
		else
			port = end + 1;
	}

	n = (size_t)(end - text);
	if (n > HOSTPORT_HOST_MAX)
		return -EINVAL;
	memcpy(hp->host, text, n);
	hp->host[n] = '\0';
	if (!hostport_host_ok(hp->host))
		return -EINVAL;
	hp->port = HOSTPORT_PORT_SSH;
	return port ? parse_port(port, &hp->port) : 0;
}

int
hostport_pin(const struct hostport *hp, bool bracket, char *out, size_t size)
{
	int n;

	if (bracket || hp->port != HOSTPORT_PORT_SSH)
		n = snprintf(out, size, "[%s]:%u", hp->host, (unsigned)hp->port);
	else
		n = snprintf(out, size, "%s", hp->host);
	if (n < 0 || (size_t)n >= size)
		return -ENAMETOOLONG;
	for (char *c = out; *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c - 'A' + 'a');
	return 0;
}
