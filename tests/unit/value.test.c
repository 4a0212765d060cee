/* SPDX-License-Identifier: BSD-2-Clause */
/* Text to value and back: the ends of every range, and what is no value. */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "conf/escape.h"
#include "conf/value.h"
#include "tests/tap.h"

#define UNTOUCHED 4711

typedef int parse_fn(const char *text, uint64_t *out);

struct number {
	const char *text;
	int rc;
	uint64_t value;
};

/* Fit for a line of TAP. */
static const char *
plain(const char *text)
{
	static char out[400];

	escape_print(out, sizeof(out), text, strlen(text));
	return out;
}

static void
parse(const char *what, parse_fn *fn, const struct number *n, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint64_t got = UNTOUCHED, want = n[i].rc == 0 ? n[i].value : UNTOUCHED;
		int rc = fn(n[i].text, &got);

		if (!ok(rc == n[i].rc && got == want, "%s '%s'", what, n[i].text))
			diag("  %d, %llu", rc, (unsigned long long)got);
	}
}

static void
test_numbers(void)
{
	static const struct number plain[] = {
		{"0", 0, 0},
		{"007", 0, 7},
		{"18446744073709551615", 0, UINT64_MAX},
		{"18446744073709551616", -ERANGE, 0},
		{"99999999999999999999999", -ERANGE, 0},
		{"", -EINVAL, 0},
		{"-1", -EINVAL, 0},
		{"+1", -EINVAL, 0},
		{" 1", -EINVAL, 0},
		{"1 ", -EINVAL, 0},
		{"0x10", -EINVAL, 0},
		{"1.5", -EINVAL, 0},
		{"99999999999999999999999z", -EINVAL, 0},
	};
	static const struct number duration[] = {
		{"0", 0, 0},
		{"1ms", 0, 1},
		{"90s", 0, 90000},
		{"5m", 0, 300000},
		{"2h", 0, 7200000},
		{"30d", 0, 2592000000},
		{"213503982334d", 0, UINT64_C(213503982334) * 86400000},
		{"213503982335d", -ERANGE, 0},
		{"5", -EINVAL, 0},
		{"00", -EINVAL, 0},
		{"s", -EINVAL, 0},
		{"1 s", -EINVAL, 0},
		{"1S", -EINVAL, 0},
		{"1h30m", -EINVAL, 0},
	};
	static const struct number size[] = {
		{"0", 0, 0},
		{"1536", 0, 1536},
		{"1K", 0, 1024},
		{"3M", 0, 3145728},
		{"4G", 0, (uint64_t)4 << 30},
		{"16777215T", 0, (uint64_t)16777215 << 40},
		{"16777216T", -ERANGE, 0},
		{"1k", -EINVAL, 0},
		{"1KiB", -EINVAL, 0},
		{"K", -EINVAL, 0},
	};

	parse("number", value_number, plain, sizeof(plain) / sizeof(*plain));
	parse("duration", value_duration, duration, sizeof(duration) / sizeof(*duration));
	parse("size", value_size, size, sizeof(size) / sizeof(*size));
}

static void
test_back(void)
{
	static const uint64_t some[] = {0,     1,       999,  1000,       1001,
					90000, 3600000, 1536, UINT64_MAX, 86400000};
	char text[VALUE_TEXT_BYTES_MAX];
	uint64_t again;

	value_duration_text(90000, text);
	is_str(text, "90s", "90 seconds");
	value_duration_text(86400000, text);
	is_str(text, "1d", "a day");
	value_size_text(1536, text);
	is_str(text, "1536", "one and a half K");
	value_size_text(2048, text);
	is_str(text, "2K", "two K");
	for (size_t i = 0; i < sizeof(some) / sizeof(*some); i++) {
		value_duration_text(some[i], text);
		ok(value_duration(text, &again) == 0 && again == some[i], "and back: %s", text);
		value_size_text(some[i], text);
		ok(value_size(text, &again) == 0 && again == some[i], "and back: %s", text);
	}
}

static void
test_names(void)
{
	static const char name63[] =
		"a23456789-123456789-123456789-123456789-123456789-123456789-123";
	static const char name64[] =
		"a23456789-123456789-123456789-123456789-123456789-123456789-1234";
	static const struct {
		bool (*fn)(const char *text);
		const char *what, *text;
		bool good;
	} cases[] = {
		{value_name_ok, "name", "web1", true},
		{value_name_ok, "name", "a", true},
		{value_name_ok, "name", "a--b", true},
		{value_name_ok, "name", name63, true},
		{value_name_ok, "name", name64, false},
		{value_name_ok, "name", "", false},
		{value_name_ok, "name", "-a", false},
		{value_name_ok, "name", "a-", false},
		{value_name_ok, "name", "A", false},
		{value_name_ok, "name", "a.b", false},
		{value_name_ok, "name", "a_b", false},
		{value_name_ok, "name", "a\n", false},
		{value_user_ok, "user", "www-data", true},
		{value_user_ok, "user", "_chrony", true},
		{value_user_ok, "user", "Max.Power", true},
		{value_user_ok, "user", "12345678901234567890123456789012", true},
		{value_user_ok, "user", "123456789012345678901234567890123", false},
		{value_user_ok, "user", "", false},
		{value_user_ok, "user", "-oProxyCommand", false},
		{value_user_ok, "user", ".hidden", false},
		{value_user_ok, "user", "a b", false},
		{value_user_ok, "user", "a@b", false},
		{value_path_ok, "path", "/srv/media", true},
		{value_path_ok, "path", "/a", true},
		{value_path_ok, "path", "/...", true},
		{value_path_ok, "path", "/.a/..b", true},
		{value_path_ok, "path", "/", false},
		{value_path_ok, "path", "", false},
		{value_path_ok, "path", "srv", false},
		{value_path_ok, "path", "/srv/", false},
		{value_path_ok, "path", "//srv", false},
		{value_path_ok, "path", "/srv/./a", false},
		{value_path_ok, "path", "/srv/..", false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		ok(cases[i].fn(cases[i].text) == cases[i].good, "%s '%s' is %s", cases[i].what,
		   plain(cases[i].text), cases[i].good ? "one" : "none");
}

static void
test_addresses(void)
{
	static const struct {
		const char *text, *host;
		uint16_t port;
	} good[] = {
		{"web1.example.com:22", "web1.example.com", 22},
		{"a_b:1", "a_b", 1},
		{"192.0.2.1:65535", "192.0.2.1", 65535},
		{"[2001:db8::1]:22", "2001:db8::1", 22},
		{"[::]:8022", "::", 8022},
		{"1e100:1", "1e100", 1},
	};
	static const char *const bad[] = {
		"",           "web1",     ":22",         "web1:",         "web1:0",
		"web1:65536", "web1:+22", "web1:022222", "web1:22 ",      "we b:22",
		"-web1:22",   "a..b:22",  ".a:22",       "a.:22",         "192.0.2.256:22",
		"192.0.2:22", "1234:22",  "::1:22",      "[::1]",         "[::1]22",
		"[web1]:22",  "[]:22",    "[::1:22",     "[::1%eth0]:22", "a/b:22",
		"a:22:33",    "a\n:22",   "a:2\n",
	};
	char longest[300], label[80];
	struct value_address a = {0};

	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		is_int(value_address(good[i].text, &a), 0, "%s", good[i].text);
		is_str(a.host, good[i].host, "its host");
		is_str(a.text, good[i].text, "its text");
		is_int(a.port, good[i].port, "its port");
		value_address_free(&a);
		ok(a.text == NULL && a.host == NULL && a.port == 0, "freed");
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		ok(value_address(bad[i], &a) == -EINVAL && a.text == NULL, "no address: '%s'",
		   plain(bad[i]));
	memset(label, 'a', 64);
	strcpy(label + 63, ":1");
	ok(value_address(label, &a) == 0, "a label of 63 bytes");
	value_address_free(&a);
	label[63] = 'a';
	strcpy(label + 64, ":1");
	is_int(value_address(label, &a), -EINVAL, "and of 64");
	memset(longest, 'a', sizeof(longest));
	for (size_t i = 50; i < VALUE_HOST_BYTES_MAX; i += 50)
		longest[i] = '.';
	strcpy(longest + VALUE_HOST_BYTES_MAX, ":1");
	is_int(value_address(longest, &a), 0, "a host of 253 bytes");
	value_address_free(&a);
	longest[VALUE_HOST_BYTES_MAX] = 'a';
	strcpy(longest + VALUE_HOST_BYTES_MAX + 1, ":1");
	is_int(value_address(longest, &a), -EINVAL, "and of 254");
	value_address_free(&a);
	value_address_free(&a);
	ok(true, "freed twice");
}

static void
test_items(void)
{
	char text[] = " a ,b\\,c,, d\te\t,\\";
	char *list = text;

	is_str(value_item(&list), "a", "blanks are taken off");
	is_str(value_item(&list), "b\\,c", "a comma behind a backslash is part of it");
	is_str(value_item(&list), "", "an empty one");
	is_str(value_item(&list), "d\te", "blanks inside stay");
	is_str(value_item(&list), "\\", "a backslash at the end");
	ok(list == NULL && value_item(&list) == NULL, "no more");
}

int
main(void)
{
	test_numbers();
	test_back();
	test_names();
	test_addresses();
	test_items();
	return tap_done();
}
