/* SPDX-License-Identifier: BSD-2-Clause */
/* The rules of ignored paths: gitignore's examples, an independent matcher, hostile patterns. */
#include "config.h"

#include "conf/ignore.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/tap.h"

/* Patterns are separated by blanks; a path with '/' at its end is a directory. */
struct rule {
	const char *patterns;
	const char *path;
	bool ignored;
};

/* clang-format off */
static const struct rule rules[] = {
	/* without '/': the last component, at any depth */
	{ "foo", "foo", true },
	{ "foo", "foo/", true },
	{ "foo", "a/b/foo", true },
	{ "foo", "foo/a/b", true },
	{ "foo", "a/foo/b", true },
	{ "foo", "foob", false },
	{ "foo", "xfoo", false },
	{ "foo", "FOO", false },
	{ "", "foo", false },
	/* '*' and '?' stay within a component */
	{ "*.tmp", "x.tmp", true },
	{ "*.tmp", ".tmp", true },
	{ "*.tmp", "a/x.tmp", true },
	{ "*.tmp", "x.tmp.jpg", false },
	{ "*.tmp", "xtmp", false },
	{ "*", "anything/at/all", true },
	{ "**", "anything/at/all", true },
	{ "a*c", "abbbc", true },
	{ "a*c", "ac", true },
	{ "a*c", "ab/c", false },
	{ "/a*c", "ab/c", false },
	{ "a?c", "abc", true },
	{ "a?c", "ac", false },
	{ "a?c", "a/c", false },
	{ "?", "ab", false },
	{ "*a*b*", "xxaxxbxx", true },
	{ "*a*b*", "xxbxxaxx", false },
	{ "*ab", "aab", true },
	{ "*aab", "aaab", true },
	/* classes */
	{ "[abc]", "b", true },
	{ "[abc]", "d", false },
	{ "[a-c]x", "bx", true },
	{ "[a-c]x", "dx", false },
	{ "[!a-c]x", "dx", true },
	{ "[^a-c]x", "bx", false },
	{ "[]x]", "]", true },
	{ "[]x]", "x", true },
	{ "[!]x]", "]", false },
	{ "[!]x]", "y", true },
	{ "[a-]", "-", true },
	{ "[a-]", "b", false },
	{ "[-a]", "-", true },
	{ "[\\]x]", "]", true },
	{ "[\\!x]", "!", true },
	{ "[[]", "[", true },
	{ "[[:digit:]]", "7", true },
	{ "[[:digit:]]", "x", false },
	{ "[![:digit:]]", "x", true },
	{ "[x[:upper:]-]", "-", true },
	{ "[x[:upper:]-]", "Q", true },
	{ "[x[:upper:]-]", "q", false },
	{ "[[:xdigit:]]", "F", true },
	{ "[[:xdigit:]]", "g", false },
	{ "[[:punct:]]", "!", true },
	{ "[[:alnum:]]", "\xe4", false },
	{ "[[:digit]", ":", true },
	{ "[z-a]", "m", false },
	{ "a[!x]b", "a/b", false },
	{ "/a[!x]b", "a/b", false },
	{ "[\xe0-\xff]", "\xe4", true },
	/* backslashes */
	{ "\\*", "*", true },
	{ "\\*", "x", false },
	{ "\\?x", "?x", true },
	{ "\\!x", "!x", true },
	{ "\\[a]", "[a]", true },
	{ "\\\\", "\\", true },
	{ "\\a\\b", "ab", true },
	{ "#x", "#x", true },
	{ "#*#", "#save#", true },
	/* '/' ties to the root */
	{ "/foo", "foo", true },
	{ "/foo", "a/foo", false },
	{ "/foo", "foo/a", true },
	{ "a/b", "a/b", true },
	{ "a/b", "a/b/c/d", true },
	{ "a/b", "x/a/b", false },
	{ "a/*", "a/b", true },
	{ "a/*", "a/", false },
	{ "a/*", "a/b/c", true },
	{ "a/*/c", "a/b/c", true },
	{ "a/*/c", "a/c", false },
	{ "a/*/c", "a/b/b/c", false },
	/* '/' at the end: directories only */
	{ "foo/", "foo", false },
	{ "foo/", "foo/", true },
	{ "foo/", "foo/a", true },
	{ "foo/", "a/foo/", true },
	{ "foo/", "a/foo", false },
	{ "/foo/", "foo/", true },
	{ "/foo/", "a/foo/", false },
	{ "a/b/", "a/b", false },
	{ "a/b/", "a/b/", true },
	/* "**" */
	{ "**/foo", "foo", true },
	{ "**/foo", "a/b/foo", true },
	{ "**/foo/bar", "foo/bar", true },
	{ "**/foo/bar", "a/foo/bar", true },
	{ "**/foo/bar", "a/foo/b/bar", false },
	{ "foo/**", "foo/a", true },
	{ "foo/**", "foo/a/b", true },
	{ "foo/**", "foo/", false },
	{ "foo/**", "a/foo/b", false },
	{ "a/**/b", "a/b", true },
	{ "a/**/b", "a/x/b", true },
	{ "a/**/b", "a/x/y/b", true },
	{ "a/**/b", "a/x/y/c", false },
	{ "a/**/b", "ab", false },
	{ "a/**/**/b", "a/b", true },
	{ "**/a/**/b/**", "x/a/y/b/z", true },
	{ "**/a/**/b/**", "a/b/", false },
	{ "**/a/**/b/**", "a/b/c", true },
	{ "a**/b", "axx/b", true },
	{ "a**/b", "a/x/b", false },
	{ "a/**b", "a/xb", true },
	{ "a/**b", "a/x/b", false },
	{ "**/**", "a", true },
	{ "/**", "a", true },
	{ "**/", "a", false },
	{ "**/", "a/", true },
	/* '!' and order */
	{ "*.jpg !keep.jpg", "a/keep.jpg", false },
	{ "*.jpg !keep.jpg", "a/lose.jpg", true },
	{ "!keep.jpg *.jpg", "keep.jpg", true },
	{ "*.jpg !keep.jpg keep.jpg", "keep.jpg", true },
	{ "* !*/ !*.jpg", "a/b/x.jpg", false },
	{ "* !*/ !*.jpg", "a/b/x.png", true },
	{ "!foo", "foo", false },
	{ "foo/ !foo/keep", "foo/keep", true },
	{ "foo/* !foo/keep", "foo/keep", false },
	{ "foo/* !foo/keep", "foo/lose", true },
	{ "/* !/foo /foo/* !/foo/bar", "foo/bar/x", false },
	{ "/* !/foo /foo/* !/foo/bar", "foo/baz", true },
	{ "/* !/foo /foo/* !/foo/bar", "other", true },
	/* the root itself */
	{ "* ** /**", "", false },
};
/* clang-format on */

static struct ignore *
set_of(const char *patterns)
{
	struct ignore *set = ignore_new();
	char copy[256], *save = NULL;

	if (!set)
		abort();
	snprintf(copy, sizeof(copy), "%s", patterns);
	for (char *p = strtok_r(copy, " ", &save); p; p = strtok_r(NULL, " ", &save)) {
		int rc = ignore_add(set, p, strlen(p));

		if (rc)
			ok(false, "pattern '%s' can be added (%d)", p, rc);
	}
	return set;
}

/* In memory of exactly its size, so that a read behind the end is seen by the sanitizer. */
static bool
match(const struct ignore *set, const char *path, size_t len, bool is_dir)
{
	char *exact = malloc(len ? len : 1);
	bool ignored;

	if (!exact)
		abort();
	memcpy(exact, path, len);
	ignored = ignore_match(set, exact, len, is_dir);
	free(exact);
	return ignored;
}

static void
test_rules(void)
{
	for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
		const struct rule *r = &rules[i];
		struct ignore *set = set_of(r->patterns);
		size_t len = strlen(r->path);
		bool is_dir = len > 0 && r->path[len - 1] == '/';

		ok(match(set, r->path, is_dir ? len - 1 : len, is_dir) == r->ignored,
		   "'%s' %s '%s'", r->patterns, r->ignored ? "ignores" : "lets be", r->path);
		ignore_free(set);
	}
}

static void
test_refused(void)
{
	static const struct {
		const char *pattern;
		size_t len;
		const char *problem;
	} bad[] = {
		{"", 0, "it is empty"},
		{"/", 1, "it is empty"},
		{"!", 1, "it is empty"},
		{"!/", 2, "it is empty"},
		{"//", 2, "it is empty"},
		{"a//b", 4, "it has an empty component"},
		{"a//", 3, "it has an empty component"},
		{"///", 3, "it has an empty component"},
		{"./a", 3, "a component . or .. fits no path"},
		{"a/..", 4, "a component . or .. fits no path"},
		{".", 1, "a component . or .. fits no path"},
		{"a\0b", 3, "it has a NUL byte"},
		{"a\\", 2, "a backslash with nothing behind it"},
		{"a\\/b", 4, "a backslash with nothing behind it"},
		{"a[", 2, "'[' without its ']', or an unknown [:class:]"},
		{"[]", 2, "'[' without its ']', or an unknown [:class:]"},
		{"[!]", 3, "'[' without its ']', or an unknown [:class:]"},
		{"[a/b]", 5, "'[' without its ']', or an unknown [:class:]"},
		{"[a\\", 3, "'[' without its ']', or an unknown [:class:]"},
		{"[a\\]", 4, "'[' without its ']', or an unknown [:class:]"},
		{"[a-\\", 4, "'[' without its ']', or an unknown [:class:]"},
		{"[[:nonsense:]]", 14, "'[' without its ']', or an unknown [:class:]"},
	};
	struct ignore *set = ignore_new(), *none = ignore_new();

	for (size_t i = 0; set && none && i < ARRAY_LEN(bad); i++) {
		is_int(ignore_add(set, bad[i].pattern, bad[i].len), -EINVAL, "'%s' is refused",
		       bad[i].pattern);
		is_str(ignore_problem(bad[i].pattern, bad[i].len), bad[i].problem,
		       "and '%s' is told why", bad[i].pattern);
	}
	ok(set && none && ignore_equal(set, none), "what was refused is not in the set");
	ok(ignore_problem("a/[b-d]/**", 10) == NULL, "a good pattern has no problem");
	ignore_free(set);
	ignore_free(none);
	ignore_free(NULL);
}

static void
test_limits(void)
{
	char text[IGNORE_PATTERN_BYTES_MAX + 1];
	struct ignore *set = ignore_new();
	int rc = 0;

	memset(text, 'a', sizeof(text));
	is_int(ignore_add(set, text, sizeof(text)), -EINVAL, "a pattern that is too long");
	is_str(ignore_problem(text, sizeof(text)), "it is longer than 255 bytes", "is told why");
	is_int(ignore_add(set, text, sizeof(text) - 1), 0, "the longest pattern");
	ok(match(set, text, sizeof(text) - 1, false), "the longest pattern fits");
	for (size_t i = 1; i < sizeof(text) - 1; i += 2)
		text[i] = '/';
	is_int(ignore_add(set, text, sizeof(text) - 1), 0, "a pattern with the most components");
	ok(match(set, text, sizeof(text) - 1, false), "it fits");
	for (size_t i = 0; i < sizeof(text) - 3; i++)
		text[i] = "**/"[i % 3];
	is_int(ignore_add(set, text, sizeof(text) - 1), 0, "a pattern of many **");
	for (int i = 3; i < IGNORE_PATTERNS_MAX && !rc; i++)
		rc = ignore_add(set, "x", 1);
	is_int(rc, 0, "the most patterns");
	is_int(ignore_add(set, "y", 1), -ENOSPC, "one more");
	ignore_free(set);
}

static void
test_equal(void)
{
	struct ignore *a = set_of("*.tmp !b/"), *b = set_of("*.tmp !b/"), *c = set_of("!b/ *.tmp");
	struct ignore *d = set_of("*.tmp"), *e = set_of("*.tmp !b");

	ok(ignore_equal(a, b), "same patterns are equal");
	ok(!ignore_equal(a, c), "another order is not");
	ok(!ignore_equal(a, d) && !ignore_equal(d, a), "fewer are not");
	ok(!ignore_equal(a, e), "another pattern is not");
	ignore_free(a);
	ignore_free(b);
	ignore_free(c);
	ignore_free(d);
	ignore_free(e);
}

/* These never end with a matcher that tries every star again; the test's timeout would say so. */
static void
test_hostile(void)
{
	char path[4096], name[255];
	struct ignore *set = set_of("a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b "
				    "/**/a/**/a/**/a/**/a/**/a/**/a/**/a/**/a/**/a/**/a/**/b "
				    "**/*a*a*a*a*a*b/**/*a*a*a*a*a*b/**/*a*a*a*b/**/c");

	memset(name, 'a', sizeof(name));
	ok(!match(set, name, sizeof(name), false), "many stars and a long name");
	for (size_t i = 0; i < sizeof(path); i++)
		path[i] = i % 2 ? '/' : 'a';
	ok(!match(set, path, 511, false), "many ** and a deep path");
	memset(path, 'a', sizeof(path));
	for (size_t i = 255; i < sizeof(path); i += 256)
		path[i] = '/';
	ok(!match(set, path, sizeof(path) - 1, false), "both, and the longest path");
	path[sizeof(path) - 2] = 'b';
	path[sizeof(path) - 1 - 255] = '/';
	ok(!match(set, path, 255, false) && match(set, path, sizeof(path) - 1, false),
	   "the long path that fits");
	ignore_free(set);
}

/* ---- a second matcher, as simple as possible and without care for time ---- */

/* p and s are terminated; '*' and '?' are the only signs; "**" components are told by `any`. */
static bool
ref_glob(const char *p, size_t plen, const char *s, size_t slen)
{
	if (plen == 0)
		return slen == 0;
	if (p[0] == '*')
		return ref_glob(p + 1, plen - 1, s, slen) ||
		       (slen > 0 && ref_glob(p, plen, s + 1, slen - 1));
	return slen > 0 && (p[0] == '?' || p[0] == s[0]) &&
	       ref_glob(p + 1, plen - 1, s + 1, slen - 1);
}

static bool
ref_path(const char *p, const char *s)
{
	size_t plen = strcspn(p, "/"), slen = strcspn(s, "/");
	bool last_p = p[plen] == '\0', last_s = s[slen] == '\0';

	if (plen == 2 && p[0] == '*' && p[1] == '*') {
		if (last_p)
			return true;
		return ref_path(p + 3, s) || (!last_s && ref_path(p, s + slen + 1));
	}
	if (!ref_glob(p, plen, s, slen))
		return false;
	if (last_p || last_s)
		return last_p && last_s;
	return ref_path(p + plen + 1, s + slen + 1);
}

/* Is this very path or any of its parents (never with a '!' here) taken by the pattern? */
static bool
ref_match(const char *pattern, const char *path)
{
	bool tied = strchr(pattern, '/') != NULL;
	char part[64];

	for (size_t end = 1; end <= strlen(path); end++) {
		const char *base;

		if (path[end] != '/' && path[end] != '\0')
			continue;
		snprintf(part, sizeof(part), "%.*s", (int)end, path);
		base = strrchr(part, '/');
		base = base ? base + 1 : part;
		if (tied ? ref_path(pattern, part)
			 : ref_glob(pattern, strlen(pattern), base, strlen(base)))
			return true;
	}
	return false;
}

static uint32_t
next_random(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 16;
}

static void
random_path(uint32_t *seed, const char *signs, char *out, bool stars)
{
	size_t parts = 1 + next_random(seed) % 4, at = 0;

	for (size_t i = 0; i < parts; i++) {
		size_t n = 1 + next_random(seed) % 3;

		if (i > 0)
			out[at++] = '/';
		if (stars && next_random(seed) % 4 == 0) {
			out[at++] = '*';
			out[at++] = '*';
			continue;
		}
		while (n-- > 0)
			out[at++] = signs[next_random(seed) % strlen(signs)];
	}
	out[at] = '\0';
}

static void
test_reference(void)
{
	char pattern[32] = "", path[32] = "";
	uint32_t seed = 20250101;
	int differ = 0, fits = 0;

	for (int i = 0; i < 50000; i++) {
		struct ignore *set = ignore_new();
		bool want, got;

		random_path(&seed, "aab*?", pattern, true);
		random_path(&seed, "ab", path, false);
		if (!set || ignore_add(set, pattern, strlen(pattern)))
			abort();
		want = ref_match(pattern, path);
		got = match(set, path, strlen(path), false);
		fits += want;
		if (want != got && differ++ < 5)
			diag("'%s' and '%s': got %d", pattern, path, got);
		ignore_free(set);
	}
	is_int(differ, 0, "50000 random pairs are judged as by the simple matcher");
	ok(fits > 5000 && fits < 45000, "of which %d fit", fits);
}

int
main(void)
{
	test_rules();
	test_refused();
	test_limits();
	test_equal();
	test_hostile();
	test_reference();
	return tap_done();
}
