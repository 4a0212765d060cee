/* SPDX-License-Identifier: BSD-2-Clause */
/* Hints: the order, no address twice, what is not taken, the limit, taking back. */
#include "config.h"

#include "agent/hints.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/tap.h"

static void
test_order(void)
{
	struct hints *h = hints_new();
	char all[HINTS_TEXT_BYTES];

	is_int(hints_all(h, "web2", "", all), 0, "nothing is known of anybody");
	ok(all[0] == '\0', "in no words");
	is_int(hints_put(h, HINT_DNS, "web2", "d:1"), 1, "a hint");
	is_int(hints_put(h, HINT_SERF, "web2", "s:1,a:1"), 1, "another one");
	is_int(hints_put(h, HINT_CONFIG, "web2", "c:1, d:1"), -EINVAL, "a blank is no address");
	is_int(hints_put(h, HINT_CONFIG, "web2", "c:1,[2001:db8::1]:22"), 1, "two addresses");
	is_int(hints_all(h, "web2", "a:1,b:1", all), 6, "all of them");
	ok(strcmp(all, "a:1,b:1,c:1,[2001:db8::1]:22,s:1,d:1") == 0, "in order, and none twice: %s",
	   all);
	is_int(hints_all(h, "web3", "a:1, b:1", all), 2, "of another one, what it says");
	ok(strcmp(all, "a:1,b:1") == 0, "and no more: %s", all);
	hints_free(h);
	hints_free(NULL);
}

static void
test_refused(void)
{
	static const char *const names[] = {"", "-x", "Web", "a b", "a/b", "../x"};
	static const char *const addresses[] = {"-x:1", "a:0",      "a:65536", ",",      "a:1,",
						",a:1", "a:1,,b:1", "a;b:1",   "a:1 b:1"};
	struct hints *h = hints_new();
	char longest[MEMBER_ADDRESS_BYTES_MAX + 10];
	bool good = true;

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		good = good && hints_put(h, HINT_SERF, names[i], "a:1") == -EINVAL;
	ok(good, "what is no name is not taken");
	good = true;
	for (size_t i = 0; i < ARRAY_LEN(addresses); i++)
		if (hints_put(h, HINT_SERF, "web2", addresses[i]) != -EINVAL) {
			diag("taken: %s", addresses[i]);
			good = addresses[i][strlen(addresses[i]) - 1] == ',' && good;
		}
	ok(good, "what is no address is not taken");
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	is_int(hints_put(h, HINT_SERF, "web9", longest), -EINVAL, "too long");
	hints_free(h);
}

static void
test_limit(void)
{
	struct hints *h = hints_new();
	char name[16];
	int r = 1;

	for (unsigned i = 0; i < MEMBERS_MAX; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		r = hints_put(h, HINT_SERF, name, "a:1") == 1 ? r : 0;
	}
	is_int(r, 1, "as many names as there may be members");
	is_int(hints_put(h, HINT_SERF, "more", "a:1"), -ENOSPC, "and no more");
	is_int(hints_put(h, HINT_DNS, "more", "a:1"), 1, "of one source");
	is_int(hints_put(h, HINT_SERF, "n7", "b:1"), 1, "a known one may move");
	is_int(hints_put(h, HINT_SERF, "n7", "b:1"), 0, "which is news once");
	is_int(hints_put(h, HINT_SERF, "n7", ""), 1, "and be taken back");
	is_int(hints_put(h, HINT_SERF, "n7", ""), 0, "once");
	is_int(hints_put(h, HINT_SERF, "more", "a:1"), 1, "then there is room again");
	is_int((long long)hints_count(h, HINT_SERF), MEMBERS_MAX, "they are counted");
	hints_drop(h, HINT_SERF);
	is_int((long long)hints_count(h, HINT_SERF), 0, "a source that is gone takes all along");
	ok(strcmp(hints_of(h, HINT_DNS, "more"), "a:1") == 0, "but only its own");
	hints_free(h);
}

int
main(void)
{
	test_order();
	test_refused();
	test_limit();
	return tap_done();
}
