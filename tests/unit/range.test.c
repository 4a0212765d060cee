/* SPDX-License-Identifier: BSD-2-Clause */
#include "config.h"

#include "agent/range.h"

#include <errno.h>
#include <string.h>

#include "tests/tap.h"

static bool
is(const char *header, uint64_t size, int want, uint64_t want_from, uint64_t want_len)
{
	uint64_t from = 77, len = 77;
	int r = range_parse(header, size, &from, &len);

	return r == want &&
	       (r < 0 ? from == 77 && len == 77 : from == want_from && len == want_len);
}

static void
ranges(void)
{
	static const char *const whole[] = {NULL,
					    "",
					    "bytes",
					    "bytes=",
					    "bytes=-",
					    "bytes=a-b",
					    "bytes=1",
					    "bytes=5-4",
					    "bytes=0-1,3-4",
					    "lines=0-1",
					    "bytes=0-1 ",
					    "bytes= 0-1",
					    "bytes=99999999999999999999-",
					    "bytes=0-99999999999999999999"};

	for (size_t i = 0; i < sizeof(whole) / sizeof(whole[0]); i++)
		ok(is(whole[i], 100, -ENOENT, 0, 0), "the whole file for %s",
		   whole[i] != NULL ? whole[i] : "no header");
	ok(is("bytes=0-0", 100, 0, 0, 1), "the first byte");
	ok(is("BYTES=10-", 100, 0, 10, 90), "from a byte on");
	ok(is("bytes=10-1000", 100, 0, 10, 90), "an end behind the end is the end");
	ok(is("bytes=99-99", 100, 0, 99, 1), "the last byte");
	ok(is("bytes=-1", 100, 0, 99, 1), "the last byte, from the end");
	ok(is("bytes=-1000", 100, 0, 0, 100), "more than all from the end is all");
	ok(is("bytes=0-18446744073709551615", 100, 0, 0, 100), "the largest number");
	ok(is("bytes=100-", 100, -ERANGE, 0, 0), "behind the end");
	ok(is("bytes=-0", 100, -ERANGE, 0, 0), "nothing from the end");
	ok(is("bytes=0-", 0, -ERANGE, 0, 0), "an empty file has no range");
	ok(is("bytes=-5", 0, -ERANGE, 0, 0), "nor from its end");
}

static void
tags(void)
{
	ok(range_tag_in("\"ab\"", "\"ab\""), "the tag");
	ok(range_tag_in("W/\"ab\"", "\"ab\""), "a weak one");
	ok(range_tag_in("\"x\", \"ab\" , \"y\"", "\"ab\""), "one of several");
	ok(range_tag_in("*", "\"ab\""), "any");
	ok(!range_tag_in("", "\"ab\""), "none");
	ok(!range_tag_in("\"abc\"", "\"ab\""), "a longer one");
	ok(!range_tag_in("\"a\"", "\"ab\""), "a shorter one");
	ok(!range_tag_in(", , ,", "\"ab\""), "commas alone");
	ok(!range_tag_in("W/", "\"ab\""), "half a weak one");
}

static void
dates(void)
{
	char out[RANGE_DATE_BYTES];

	range_date(out, 784111777);
	ok(strcmp(out, "Sun, 06 Nov 1994 08:49:37 GMT") == 0, "a date: %s", out);
	ok(range_not_newer(out, 784111777), "the same second");
	ok(range_not_newer(out, 784111776), "older");
	ok(!range_not_newer(out, 784111778), "newer");
	ok(!range_not_newer("yesterday", 0) && !range_not_newer("", 0), "no date");
	range_date(out, INT64_MAX);
	ok(strlen(out) == RANGE_DATE_BYTES - 1, "a date beyond everything: %s", out);
	range_date(out, INT64_MIN);
	ok(strlen(out) == RANGE_DATE_BYTES - 1, "and before: %s", out);
}

static const char *
type(const char *path)
{
	return range_type(path, strlen(path));
}

static void
types(void)
{
	ok(strcmp(type("a/b.JPG"), "image/jpeg") == 0, "a picture");
	ok(strcmp(type("x.tar.gz"), "application/gzip") == 0, "the last end counts");
	ok(strcmp(type("no-end"), "application/octet-stream") == 0, "no end");
	ok(strcmp(type("dir.png/name"), "application/octet-stream") == 0,
	   "the end of a directory does not count");
	ok(strcmp(type("x."), "application/octet-stream") == 0, "an empty end");
	ok(strcmp(type(""), "application/octet-stream") == 0, "nothing");
}

int
main(void)
{
	ranges();
	tags();
	dates();
	types();
	return tap_done();
}
