/* SPDX-License-Identifier: BSD-2-Clause */
/* What may be a replicated name, and where a symlink may point. */
#include "config.h"

#include "proto/path.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "proto/seeded.h"

/* The length of the component at p, up to the next '/' or the end. */
static size_t
component(const char *p, size_t left)
{
	const char *slash = memchr(p, '/', left);

	return slash ? (size_t)(slash - p) : left;
}

static bool
is(const char *p, size_t len, const char *word)
{
	return len == strlen(word) && memcmp(p, word, len) == 0;
}

static const char *
component_problem(const char *p, size_t len)
{
	if (len == 0)
		return "an empty name (two slashes, or one at the start or the end)";
	if (len > PATH_NAME_BYTES_MAX)
		return "a name is longer than 255 bytes";
	if (is(p, len, "."))
		return "a name is \".\"";
	if (is(p, len, "..") && !SEEDED(path_up))
		return "a name is \"..\"";
	return NULL;
}

const char *
path_problem(const void *path, size_t len)
{
	const char *p = path, *problem;
	size_t n, depth = 1;

	if (len == 0)
		return "the path is empty";
	if (len > PATH_BYTES_MAX)
		return "the path is longer than 4095 bytes";
	if (memchr(p, '\0', len))
		return "the path has a zero byte";
	n = component(p, len);
	if (is(p, n, PATH_MARKER) || is(p, n, PATH_WORK))
		return "the name is reserved at the top";
	while (!(problem = component_problem(p, n)) && n < len) {
		if (++depth > PATH_DEPTH_MAX)
			return "the path is deeper than 256 names";
		p += n + 1;
		len -= n + 1;
		n = component(p, len);
	}
	return problem;
}

int
path_check(const void *path, size_t len)
{
	return path_problem(path, len) ? -EINVAL : 0;
}

size_t
path_parent(const void *path, size_t len)
{
	const char *slash = len > 0 ? memrchr(path, '/', len) : NULL;

	return slash ? (size_t)(slash - (const char *)path) : 0;
}

bool
path_below(const void *path, size_t len, const void *dir, size_t dir_len)
{
	if (dir_len == 0)
		return len > 0;
	return len > dir_len && ((const char *)path)[dir_len] == '/' &&
	       memcmp(path, dir, dir_len) == 0;
}

bool
path_within(const void *path, size_t len, const void *dir, size_t dir_len)
{
	return path_below(path, len, dir, dir_len) ||
	       (len == dir_len && (len == 0 || memcmp(path, dir, len) == 0));
}

/* A byte's place in the order. */
static int
place(uint8_t c)
{
	return c == '/' ? 0 : c + 1;
}

int
path_cmp(const void *a, size_t alen, const void *b, size_t blen)
{
	const uint8_t *p = a, *q = b;
	size_t n = alen < blen ? alen : blen;

	for (size_t i = 0; i < n; i++)
		if (p[i] != q[i])
			return place(p[i]) < place(q[i]) ? -1 : 1;
	return (alen > blen) - (alen < blen);
}

/* How many directories are above the last name. */
static size_t
depth_of_parent(const char *p, size_t len)
{
	size_t depth = 0;

	for (size_t i = 0; i < len; i++)
		depth += p[i] == '/';
	return depth;
}

int
path_link_check(const void *path, size_t len, const void *target, size_t target_len)
{
	const char *p = target;
	size_t left = target_len, up = depth_of_parent(path, len), n;
	bool named = false; /* a name went by: what it leads to is not known from here */

	if (target_len == 0 || target_len > PATH_BYTES_MAX || *p == '/' ||
	    memchr(p, '\0', target_len))
		return -EINVAL;
	for (;;) {
		n = component(p, left);
		if (is(p, n, "..")) {
			if ((named || up == 0) && !SEEDED(link_up))
				return -EINVAL;
			up--;
		} else if (n > 0 && !is(p, n, ".")) {
			named = true;
		}
		if (n == left)
			return 0;
		p += n + 1;
		left -= n + 1;
	}
}
