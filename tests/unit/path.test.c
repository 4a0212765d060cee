/* SPDX-License-Identifier: BSD-2-Clause */
/* Paths: what may be replicated, the order, and where a symlink may point. */
#include "config.h"

#include "proto/path.h"

#include <errno.h>
#include <stdlib.h>

#include "proto/attr.h"
#include "tests/tap.h"

#define SEED 20240119u

static uint64_t
draw(uint64_t *seed)
{
	uint64_t z = *seed += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static void
test_accepted(void)
{
	const char *fine[] = {
		"a",           "a/b",       "a/b/c.jpg", "...",      ".a",         "..a",
		"a..",         " ",         "a b/\n",    "\xff\xfe", "a/.mimeo",   ".mimeo-id2",
		"a/.mimeo-id", ".mimeo2/x", ".mime",     ".Mimeo",   "a/.mimeo/b", "\\",
		"x/.../y",     ".mimeo-",   "*?[",
	};

	for (size_t i = 0; i < ARRAY_LEN(fine); i++) {
		is_int(path_check(fine[i], strlen(fine[i])), 0, "accepted: %zu", i);
		is_str(path_problem(fine[i], strlen(fine[i])), NULL, "without a problem: %zu", i);
	}
}

static void
test_refused(void)
{
	const char *bad[] = {
		"",       "/",        "/a",        "a/",          "a//b",    "//",    ".",
		"..",     "./a",      "../a",      "a/.",         "a/..",    "a/./b", "a/../b",
		".mimeo", ".mimeo/x", ".mimeo-id", ".mimeo-id/x", ".mimeo/", "a/b/",
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		is_int(path_check(bad[i], strlen(bad[i])), -EINVAL, "refused: '%s'", bad[i]);
		ok(path_problem(bad[i], strlen(bad[i])), "with a reason: '%s'", bad[i]);
	}
	is_int(path_check(NULL, 0), -EINVAL, "no bytes at all");
	is_int(path_check("a\0b", 3), -EINVAL, "a zero byte inside");
	is_int(path_check("\0", 1), -EINVAL, "a zero byte alone");
	is_int(path_check("a\0", 2), -EINVAL, "a zero byte at the end");
}

static void
test_limits(void)
{
	char p[PATH_BYTES_MAX + 2];

	memset(p, 'a', sizeof(p));
	is_int(path_check(p, PATH_NAME_BYTES_MAX), 0, "the longest name");
	is_int(path_check(p, PATH_NAME_BYTES_MAX + 1), -EINVAL, "one byte longer");
	p[1] = '/';
	is_int(path_check(p, 2 + PATH_NAME_BYTES_MAX), 0, "the longest name, second");
	is_int(path_check(p, 3 + PATH_NAME_BYTES_MAX), -EINVAL, "one byte longer, second");

	memset(p, 'a', sizeof(p));
	for (size_t i = 200; i < sizeof(p); i += 201)
		p[i] = '/';
	is_int(path_check(p, PATH_BYTES_MAX), 0, "the longest path");
	is_int(path_check(p, PATH_BYTES_MAX + 1), -EINVAL, "one byte longer");

	for (size_t i = 0; i < sizeof(p); i++)
		p[i] = i % 2 ? '/' : 'a';
	is_int(path_check(p, 2 * PATH_DEPTH_MAX - 1), 0, "the deepest path");
	is_int(path_check(p, 2 * PATH_DEPTH_MAX + 1), -EINVAL, "one name deeper");
}

/* Is a path of these bytes fine, by a second way: split first, then judge each name. */
static bool
naive_fine(const char *p, size_t len)
{
	size_t start = 0;

	for (size_t i = 0; i <= len; i++) {
		size_t n = i - start;

		if (i < len && p[i] == '\0')
			return false;
		if (i < len && p[i] != '/')
			continue;
		if (n == 0 || (n == 1 && p[start] == '.') ||
		    (n == 2 && p[start] == '.' && p[start + 1] == '.'))
			return false;
		start = i + 1;
	}
	return true;
}

static void
test_random(void)
{
	uint64_t seed = SEED;
	unsigned fine = 0;
	bool same = true;

	for (unsigned i = 0; i < 50000; i++) {
		size_t len = draw(&seed) % 9;
		char *p = malloc(len ? len : 1);

		if (!p)
			abort();
		for (size_t k = 0; k < len; k++)
			p[k] = "ab../\0"[draw(&seed) % 6];
		same = same && (path_check(p, len) == 0) == naive_fine(p, len);
		fine += path_check(p, len) == 0;
		free(p);
	}
	ok(same, "50000 paths judged alike in two ways, seed %u", SEED);
	ok(fine > 1000 && fine < 49000, "some fine, some not: %u", fine);
}

static void
test_parent(void)
{
	is_int(path_parent("a", 1), 0, "the root is the parent");
	is_int(path_parent("a/b", 3), 1, "one up");
	is_int(path_parent("aa/b/cc", 7), 4, "the nearest");
	is_int(path_parent(NULL, 0), 0, "of nothing");
	is_int(path_parent("a/b", 1), 0, "never past the length");
}

static bool
below(const char *path, const char *dir)
{
	return path_below(path, strlen(path), dir, strlen(dir));
}

static void
test_below(void)
{
	ok(below("a/b", "a") && below("a/b/c", "a") && below("a/b/c", "a/b"), "below");
	ok(below("a", "") && below("a/b", ""), "all is below the root");
	ok(!below("a", "a") && !below("", ""), "nothing is below itself");
	ok(!below("ab", "a") && !below("ab/c", "a"), "a longer name is not below");
	ok(!below("a", "a/b") && !below("b/c", "a") && !below("", "a"), "nor is what is elsewhere");
	ok(path_below("a", 1, NULL, 0) && !path_below(NULL, 0, NULL, 0),
	   "with no bytes for the root");
}

static bool
within(const char *path, const char *dir)
{
	return path_within(path, strlen(path), dir, strlen(dir));
}

static void
test_within(void)
{
	ok(within("a", "a") && within("a/b", "a") && within("a/b", "a/b"), "itself and below");
	ok(within("", "") && within("a", "") && path_within(NULL, 0, NULL, 0),
	   "all is in the root");
	ok(!within("ab", "a") && !within("b", "a"), "another name is not");
	ok(!within("a", "a/b") && !within("", "a"), "nor is what is above");
}

static int
cmp(const char *a, const char *b)
{
	return path_cmp(a, strlen(a), b, strlen(b));
}

static void
test_order(void)
{
	/* Ascending. '!' and '-' are below '/' as bytes, yet sort after what is below "a". */
	const char *asc[] = {"",   "a",   "a/\x01", "a/a", "a/b", "a/b/c", "a/\xff", "a\x01",
			     "a!", "a-b", "a0",     "aa",  "b",   "b/",    "\x80",   "\xff"};
	bool good = true;

	for (size_t i = 0; i < ARRAY_LEN(asc); i++) {
		for (size_t j = 0; j < ARRAY_LEN(asc); j++) {
			int want = (i > j) - (i < j), got = cmp(asc[i], asc[j]);

			if ((got > 0) - (got < 0) == want)
				continue;
			good = false;
			diag("%zu against %zu gives %d", i, j, got);
		}
	}
	ok(good, "every pair in order");
	ok(path_cmp("\0", 1, "/", 1) > 0 && path_cmp("/", 1, "\0", 1) < 0,
	   "a zero byte and a slash differ");
	is_int(path_cmp(NULL, 0, NULL, 0), 0, "nothing and nothing");
}

static int
sign(int v)
{
	return (v > 0) - (v < 0);
}

/* A few letters around '/', so that prefixes and ties are common. */
static size_t
random_path(uint64_t *seed, char out[static 6])
{
	size_t len = draw(seed) % 7;

	for (size_t i = 0; i < len; i++)
		out[i] = "/.a0"[draw(seed) % 4];
	return len;
}

static void
test_order_random(void)
{
	uint64_t seed = SEED;
	bool anti = true, transitive = true, together = true;

	for (unsigned i = 0; i < 50000; i++) {
		char a[6], b[6], c[6];
		size_t an = random_path(&seed, a), bn = random_path(&seed, b);
		size_t cn = random_path(&seed, c);
		int ab = path_cmp(a, an, b, bn), bc = path_cmp(b, bn, c, cn);
		int ac = path_cmp(a, an, c, cn);

		anti = anti && sign(ab) == -sign(path_cmp(b, bn, a, an)) &&
		       (ab == 0) == (an == bn && memcmp(a, b, an) == 0);
		transitive = transitive && (ab > 0 || bc > 0 || ac <= 0);
		/* What lies between a directory and something below it is below it too. */
		if (an > 0 && path_below(c, cn, a, an) && ab < 0 && bc < 0)
			together = together && path_below(b, bn, a, an);
	}
	ok(anti, "antisymmetric, and equal only for equal bytes, seed %u", SEED);
	ok(transitive, "transitive");
	ok(together, "a directory and what is below it stand together");
}

static int
link_check(const char *path, const char *target)
{
	return path_link_check(path, strlen(path), target, strlen(target));
}

static void
test_link(void)
{
	const struct {
		const char *path, *target;
		bool fine;
	} as[] = {
		{"a", "b", true},
		{"a", "b/c", true},
		{"a", ".", true},
		{"a", "./b", true},
		{"a", "b/", true},
		{"a", "b//c", true},
		{"a", "...", true},
		{"a", "..b", true},
		{"a", "..", false},
		{"a", "../a", false},
		{"a", "./..", false},
		{"a", ".//..", false},
		{"a/b", "..", true},
		{"a/b", "../", true},
		{"a/b", "../c", true},
		{"a/b", "./../c", true},
		{"a/b", "../..", false},
		{"a/b", ".././../c", false},
		{"a/b/c", "../..", true},
		{"a/b/c", "../../..", false},
		{"a/b/c", "..//../x/y", true},
		{"a", "/", false},
		{"a", "/etc/passwd", false},
		{"a", "//b", false},
		{"a", "", false},
		{"a", "b/..", false},
		{"a", "b/../..", false},
		{"a/b/c", "d/../../../..", false},
		/* up may be a link to the root: from there ".." leaves it. */
		{"a/b/c", "up/..", false},
		{"a/b/c", "../up/../x", false},
	};

	for (size_t i = 0; i < ARRAY_LEN(as); i++)
		is_int(link_check(as[i].path, as[i].target), as[i].fine ? 0 : -EINVAL,
		       "%s -> '%s' is %s", as[i].path, as[i].target,
		       as[i].fine ? "fine" : "refused");
	is_int(path_link_check("a", 1, "b\0c", 3), -EINVAL, "a zero byte in the target");
	is_int(path_link_check("a", 1, NULL, 0), -EINVAL, "no target");
}

static void
test_link_limits(void)
{
	char target[PATH_BYTES_MAX + 1], path[2 * PATH_DEPTH_MAX];

	memset(target, 'a', sizeof(target));
	is_int(path_link_check("a", 1, target, PATH_BYTES_MAX), 0, "the longest target");
	is_int(path_link_check("a", 1, target, PATH_BYTES_MAX + 1), -EINVAL, "one byte longer");

	for (size_t i = 0; i < sizeof(path); i++)
		path[i] = i % 2 ? '/' : 'a';
	for (size_t i = 0; i < sizeof(target); i++)
		target[i] = "../"[i % 3];
	is_int(path_link_check(path, sizeof(path) - 1, target, 3 * (PATH_DEPTH_MAX - 1)), 0,
	       "up from the deepest path to the root");
	is_int(path_link_check(path, sizeof(path) - 1, target, 3 * PATH_DEPTH_MAX - 1), -EINVAL,
	       "and one further");
}

/*
 * Every accepted target is followed in a tree where all is a directory: it never goes above the
 * root, at no step.
 */
static void
test_link_random(void)
{
	uint64_t seed = SEED;
	const char *word[] = {"..", ".", "a", "", "b"};
	bool inside = true;
	unsigned fine = 0;

	for (unsigned i = 0; i < 20000; i++) {
		size_t parents = draw(&seed) % 4, words = 1 + draw(&seed) % 6;
		char path[16] = "", target[64] = "";
		long depth = (long)parents;
		bool left = false;

		for (size_t k = 0; k < parents; k++)
			strcat(path, "d/");
		strcat(path, "l");
		for (size_t k = 0; k < words; k++) {
			const char *w = word[draw(&seed) % 5];

			strcat(target, k ? "/" : "");
			strcat(target, w);
			depth += strcmp(w, "..") == 0 ? -1 : strlen(w) == 1 && *w != '.';
			left = left || depth < 0;
		}
		if (link_check(path, target) < 0)
			continue;
		fine++;
		inside = inside && !left && target[0] != '/';
	}
	ok(inside, "no accepted target leaves the root, seed %u", SEED);
	ok(fine > 1000 && fine < 19000, "some fine, some not: %u", fine);
}

int
main(void)
{
	test_accepted();
	test_refused();
	test_limits();
	test_random();
	test_parent();
	test_below();
	test_within();
	test_order();
	test_order_random();
	test_link();
	test_link_limits();
	test_link_random();
	return tap_done();
}
