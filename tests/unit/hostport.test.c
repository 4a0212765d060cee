/* SPDX-License-Identifier: BSD-2-Clause */
/* HOST:PORT: every accepted form, every refused one, and the name in known_hosts. */
#include "config.h"

#include "agent/hostport.h"

#include <errno.h>

#include "proto/attr.h"
#include "tests/tap.h"

static void
test_accepted(void)
{
	static const struct {
		const char *text, *host;
		unsigned port;
		const char *pin;
	} good[] = {
		{"web2", "web2", 22, "web2"},
		{"Web2.Example.com:2222", "Web2.Example.com", 2222, "[web2.example.com]:2222"},
		{"10.0.0.1:22", "10.0.0.1", 22, "10.0.0.1"},
		{"a:1", "a", 1, "[a]:1"},
		{"a:65535", "a", 65535, "[a]:65535"},
		{"::1", "::1", 22, "::1"},
		{"[::1]", "::1", 22, "::1"},
		{"[fe80::1%eth0]:22022", "fe80::1%eth0", 22022, "[fe80::1%eth0]:22022"},
		{"[web2]:8022", "web2", 8022, "[web2]:8022"},
	};

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		struct hostport hp;
		char pin[HOSTPORT_TEXT_MAX + 1];

		is_int(hostport_parse(&hp, good[i].text), 0, "%s is accepted", good[i].text);
		is_str(hp.host, good[i].host, "%s: host", good[i].text);
		is_int(hp.port, good[i].port, "%s: port", good[i].text);
		is_int(hostport_pin(&hp, false, pin, sizeof(pin)), 0, "%s: has a name",
		       good[i].text);
		is_str(pin, good[i].pin, "%s: name", good[i].text);
	}
}

static void
test_refused(void)
{
	static const char *const bad[] = {
		"",     ":",     ":22",    "a:",      "a:0",   "a:65536",  "a:99999", "a:123456",
		"a:-1", "a:+1",  "a: 1",   "a:1x",    "-oX",   "-a:22",    "[a",      "[a]x",
		"[a]:", "[a]:0", "[]",     "[]:22",   "[a]22", "a b",      "a\nb",    "a,b",
		"a/b",  "a\"",   "a@b:22", "[[a]]:1", "*",     "\xc3\xa4",
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct hostport hp;

		is_int(hostport_parse(&hp, bad[i]), -EINVAL, "refused, number %zu", i);
	}
}

static void
test_lengths(void)
{
	struct hostport hp;
	char text[HOSTPORT_HOST_MAX + 8], pin[HOSTPORT_TEXT_MAX + 1];

	memset(text, 'a', sizeof(text));
	memcpy(text + HOSTPORT_HOST_MAX, ":65535", 7);
	is_int(hostport_parse(&hp, text), 0, "the longest host");
	is_int(hostport_pin(&hp, false, pin, sizeof(pin)), 0, "its name fits");
	is_int(strlen(pin), HOSTPORT_TEXT_MAX, "exactly");
	is_int(hostport_pin(&hp, false, pin, sizeof(pin) - 1), -ENAMETOOLONG,
	       "not into a byte less");
	memset(text, 'a', sizeof(text));
	text[HOSTPORT_HOST_MAX + 1] = '\0';
	is_int(hostport_parse(&hp, text), -EINVAL, "one byte more is refused");
	is_int(hostport_parse(&hp, "a"), 0, "port 22");
	is_int(hostport_pin(&hp, true, pin, sizeof(pin)), 0, "with brackets");
	is_str(pin, "[a]:22", "has the port");
}

int
main(void)
{
	test_accepted();
	test_refused();
	test_lengths();
	return tap_done();
}
