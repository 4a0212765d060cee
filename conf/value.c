/* SPDX-License-Identifier: BSD-2-Clause */
/* The values that a configuration or an option can have. */
#include "config.h"

#include "conf/value.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct unit {
	const char *suffix;
	uint64_t factor;
};

/* Largest first, for the way back to text. */
static const struct unit duration_units[] = {
	{"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1},
};

static const struct unit size_units[] = {
	{"T", (uint64_t)1 << 40}, {"G", 1 << 30}, {"M", 1 << 20}, {"K", 1 << 10}, {"", 1},
};

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_alnum(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool
value_name_ok(const char *text)
{
	size_t len = strlen(text);

	if (len == 0 || len > VALUE_NAME_BYTES_MAX || text[0] == '-' || text[len - 1] == '-')
		return false;
	return strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == len;
}

bool
value_user_ok(const char *text)
{
	size_t len = strlen(text);

	if (len == 0 || len > VALUE_USER_BYTES_MAX || text[0] == '-' || text[0] == '.')
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!is_alnum(text[i]) && !strchr("_.-", text[i]))
			return false;
	}
	return true;
}

bool
value_path_ok(const char *text)
{
	if (text[0] != '/')
		return false;
	for (const char *p = text; *p;) {
		size_t n = strcspn(++p, "/");

		if (n == 0 || (n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.'))
			return false;
		p += n;
	}
	return true;
}

/* The digits at the start of the text, however many they are; *end is behind them. */
static int
digits(const char *text, uint64_t *out, const char **end)
{
	uint64_t n = 0;
	bool over = false;

	if (!is_digit(text[0]))
		return -EINVAL;
	for (; is_digit(*text); text++) {
		uint64_t digit = (uint64_t)(*text - '0');

		over = over || n > (UINT64_MAX - digit) / 10;
		n = n * 10 + digit;
	}
	*end = text;
	*out = n;
	return over ? -ERANGE : 0;
}

/* A number and one of the suffixes. Junk behind the digits is told before a number that is too
 * large. */
static int
with_unit(const char *text, const struct unit *units, size_t count, uint64_t *out)
{
	const char *suffix;
	uint64_t n;
	int rc = digits(text, &n, &suffix);

	if (rc == -EINVAL)
		return rc;
	for (size_t i = 0; i < count; i++) {
		if (strcmp(suffix, units[i].suffix) != 0)
			continue;
		if (rc || n > UINT64_MAX / units[i].factor)
			return -ERANGE;
		*out = n * units[i].factor;
		return 0;
	}
	return -EINVAL;
}

int
value_number(const char *text, uint64_t *out)
{
	static const struct unit none = {"", 1};

	return with_unit(text, &none, 1, out);
}

int
value_duration(const char *text, uint64_t *ms)
{
	if (strcmp(text, "0") == 0) {
		*ms = 0;
		return 0;
	}
	return with_unit(text, duration_units, ARRAY_LEN(duration_units), ms);
}

int
value_size(const char *text, uint64_t *bytes)
{
	return with_unit(text, size_units, ARRAY_LEN(size_units), bytes);
}

static void
to_text(uint64_t n, const struct unit *units, size_t count, char out[VALUE_TEXT_BYTES_MAX])
{
	size_t i = 0;

	while (i + 1 < count && n % units[i].factor != 0)
		i++;
	if (n == 0)
		snprintf(out, VALUE_TEXT_BYTES_MAX, "0");
	else
		snprintf(out, VALUE_TEXT_BYTES_MAX, "%" PRIu64 "%s", n / units[i].factor,
			 units[i].suffix);
}

void
value_duration_text(uint64_t ms, char out[VALUE_TEXT_BYTES_MAX])
{
	to_text(ms, duration_units, ARRAY_LEN(duration_units), out);
}

void
value_size_text(uint64_t bytes, char out[VALUE_TEXT_BYTES_MAX])
{
	to_text(bytes, size_units, ARRAY_LEN(size_units), out);
}

/* A name of DNS or an IPv4 address. What looks like the latter has to be one. */
static bool
host_ok(const char *host, size_t len)
{
	struct in_addr v4;
	size_t label = 0;

	for (size_t i = 0; i <= len; i++) {
		if (i == len || host[i] == '.') {
			if (label == 0 || label > 63)
				return false;
			label = 0;
		} else if (!is_alnum(host[i]) && host[i] != '_' && (host[i] != '-' || label == 0)) {
			return false;
		} else {
			label++;
		}
	}
	return strspn(host, "0123456789.") != len || inet_pton(AF_INET, host, &v4) == 1;
}

static bool
port_ok(const char *text, uint16_t *port)
{
	uint64_t n;

	if (strlen(text) > 5 || value_number(text, &n) || n < 1 || n > 65535)
		return false;
	*port = (uint16_t)n;
	return true;
}

/* Splits at the last ':' into a terminated host and a port; takes the brackets off an IPv6 address.
 */
static bool
address_split(const char *text, char host[VALUE_HOST_BYTES_MAX + 1], uint16_t *port)
{
	const char *colon = strrchr(text, ':');
	size_t len = colon ? (size_t)(colon - text) : 0;
	bool v6 = text[0] == '[';
	struct in6_addr addr;

	if (!colon || (v6 && (len < 2 || text[len - 1] != ']')))
		return false;
	if (v6) {
		text++;
		len -= 2;
	}
	if (len == 0 || len > VALUE_HOST_BYTES_MAX)
		return false;
	memcpy(host, text, len);
	host[len] = '\0';
	if (v6 ? inet_pton(AF_INET6, host, &addr) != 1 : !host_ok(host, len))
		return false;
	return port_ok(colon + 1, port);
}

bool
value_domain_ok(const char *text)
{
	size_t len = strlen(text);

	return len > 0 && len <= VALUE_HOST_BYTES_MAX - (sizeof("_mimeo._tcp.") - 1) &&
	       host_ok(text, len);
}

int
value_address(const char *text, struct value_address *out)
{
	char host[VALUE_HOST_BYTES_MAX + 1];
	struct value_address addr = {0};

	if (!address_split(text, host, &addr.port))
		return -EINVAL;
	addr.text = strdup(text);
	addr.host = strdup(host);
	if (!addr.text || !addr.host) {
		value_address_free(&addr);
		return -ENOMEM;
	}
	*out = addr;
	return 0;
}

void
value_address_free(struct value_address *addr)
{
	free(addr->text);
	free(addr->host);
	*addr = (struct value_address){0};
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

char *
value_item(char **list)
{
	char *item = *list, *end = item;

	if (!item)
		return NULL;
	while (*end && *end != ',')
		end += *end == '\\' && end[1] ? 2 : 1;
	*list = *end ? end + 1 : NULL;
	while (end > item && is_blank(end[-1]))
		end--;
	*end = '\0';
	while (is_blank(*item))
		item++;
	return item;
}
