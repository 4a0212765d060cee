/* SPDX-License-Identifier: BSD-2-Clause */
/* Which paths below the root are left alone. */
#include "config.h"

#include "conf/ignore.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* A component of a pattern, within the pattern's text. `any` is "**": any number of components. */
struct part {
	uint8_t at;
	uint8_t len;
	bool any;
};

struct pattern {
	uint8_t *text;
	size_t len;
	struct part *parts;
	size_t count;
	bool negated;
	bool dirs_only;
	bool last_only; /* no '/' in it: one part, compared with the last component */
};

struct ignore {
	struct pattern patterns[IGNORE_PATTERNS_MAX];
	size_t count;
};

/* ---- one component ---- */

/* The twelve named classes, for ASCII only. */
static bool
named_class(const uint8_t *name, size_t len, uint8_t c, bool *known)
{
	static const char names[12][8] = {"alnum", "alpha", "blank", "cntrl", "digit", "graph",
					  "lower", "print", "punct", "space", "upper", "xdigit"};
	bool lower = c >= 'a' && c <= 'z', upper = c >= 'A' && c <= 'Z';
	bool digit = c >= '0' && c <= '9', graph = c > 0x20 && c < 0x7f;
	bool hex = digit || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
	bool space = c == ' ' || (c >= '\t' && c <= '\r');
	const bool is[12] = {lower || upper || digit,
			     lower || upper,
			     c == ' ' || c == '\t',
			     c < 0x20 || c == 0x7f,
			     digit,
			     graph,
			     lower,
			     graph || c == ' ',
			     graph && !lower && !upper && !digit,
			     space,
			     upper,
			     hex};

	for (size_t i = 0; i < 12; i++) {
		if (len == strlen(names[i]) && memcmp(name, names[i], len) == 0) {
			*known = true;
			return is[i];
		}
	}
	*known = false;
	return false;
}

/*
 * "[:name:]" at p. Returns its length, 0 if it is none (then the '[' is a plain byte of the class),
 * and whether c is of it; *known tells if there is such a name.
 */
static size_t
class_name(const uint8_t *p, size_t len, uint8_t c, bool *fits, bool *known)
{
	size_t end = 2;

	if (len < 4 || p[0] != '[' || p[1] != ':')
		return 0;
	while (end < len && p[end] != ']')
		end++;
	if (end == len || end < 3 || p[end - 1] != ':')
		return 0;
	*fits = named_class(p + 2, end - 3, c, known);
	return end + 1;
}

/* One byte of a class, perhaps behind a backslash. Returns how many bytes it takes, 0 at the end.
 */
static size_t
class_byte(const uint8_t *p, size_t len, uint8_t *byte)
{
	if (len == 0 || (p[0] == '\\' && len == 1))
		return 0;
	*byte = p[0] == '\\' ? p[1] : p[0];
	return p[0] == '\\' ? 2 : 1;
}

/*
 * The class at p, which begins with '['. Returns its length, 0 if it is not closed or has a name
 * that is unknown; *fits: is c of it?
 */
static size_t
class_match(const uint8_t *p, size_t len, uint8_t c, bool *fits)
{
	bool negated = len > 1 && (p[1] == '!' || p[1] == '^');
	size_t first = negated ? 2 : 1, i = first;
	bool found = false;

	while (i < len && (p[i] != ']' || i == first)) {
		bool one = false, known = true;
		size_t n = class_name(p + i, len - i, c, &one, &known);
		uint8_t lo = 0, hi = 0;

		if (!known)
			return 0;
		if (n == 0) {
			n = class_byte(p + i, len - i, &lo);
			if (n == 0)
				return 0;
			hi = lo;
			if (len - i - n >= 2 && p[i + n] == '-' && p[i + n + 1] != ']') {
				size_t m = class_byte(p + i + n + 1, len - i - n - 1, &hi);

				if (m == 0)
					return 0;
				n += 1 + m;
			}
			one = c >= lo && c <= hi;
		}
		found = found || one;
		i += n;
	}
	if (i >= len)
		return 0;
	*fits = found != negated;
	return i + 1;
}

/* Does one token of the pattern (anything but a star) take the byte c? Its length in *used. */
static bool
token_match(const uint8_t *p, size_t len, uint8_t c, size_t *used)
{
	bool fits = false;

	*used = 1;
	if (p[0] == '?')
		return true;
	if (p[0] == '[') {
		*used = class_match(p, len, c, &fits);
		return fits;
	}
	if (p[0] == '\\' && len > 1) {
		*used = 2;
		return p[1] == c;
	}
	return p[0] == c;
}

/*
 * A whole component. Only the last star ever has to be tried again, because every other token
 * takes exactly one byte: so this is at most length times length.
 */
static bool
glob_match(const uint8_t *p, size_t plen, const uint8_t *name, size_t len)
{
	size_t i = 0, n = 0, star = SIZE_MAX, mark = 0, used;

	while (n < len) {
		if (i < plen && p[i] == '*') {
			star = i++;
			mark = n;
		} else if (i < plen && token_match(p + i, plen - i, name[n], &used)) {
			i += used;
			n++;
		} else if (star != SIZE_MAX) {
			i = star + 1;
			n = ++mark;
		} else {
			return false;
		}
	}
	while (i < plen && p[i] == '*')
		i++;
	return i == plen;
}

/* ---- whole paths ---- */

static size_t
component_len(const uint8_t *path, size_t len)
{
	const uint8_t *slash = memchr(path, '/', len);

	return slash ? (size_t)(slash - path) : len;
}

static size_t
component_next(const uint8_t *path, size_t at, size_t len)
{
	size_t end = at + component_len(path + at, len - at);

	return end < len ? end + 1 : len;
}

/* The same walk as in glob_match, with components for bytes and "**" for the star. */
static bool
parts_match(const struct pattern *pat, const uint8_t *path, size_t len)
{
	size_t i = 0, at = 0, any = SIZE_MAX, mark = 0;

	while (at < len) {
		const struct part *part = i < pat->count ? &pat->parts[i] : NULL;

		if (part && part->any) {
			any = i++;
			mark = at;
		} else if (part && glob_match(pat->text + part->at, part->len, path + at,
					      component_len(path + at, len - at))) {
			i++;
			at = component_next(path, at, len);
		} else if (any != SIZE_MAX) {
			i = any + 1;
			at = mark = component_next(path, mark, len);
		} else {
			return false;
		}
	}
	while (i < pat->count && pat->parts[i].any)
		i++;
	return i == pat->count;
}

static bool
pattern_match(const struct pattern *pat, const uint8_t *path, size_t len, size_t last, bool is_dir)
{
	if (pat->dirs_only && !is_dir)
		return false;
	if (pat->last_only)
		return glob_match(pat->text + pat->parts[0].at, pat->parts[0].len, path + last,
				  len - last);
	return parts_match(pat, path, len);
}

/* The last pattern that fits this very path; `last` is where its last component begins. */
static bool
path_ignored(const struct ignore *set, const uint8_t *path, size_t len, size_t last, bool is_dir)
{
	for (size_t i = set->count; i > 0; i--) {
		const struct pattern *pat = &set->patterns[i - 1];

		if (pattern_match(pat, path, len, last, is_dir))
			return !pat->negated;
	}
	return false;
}

bool
ignore_match(const struct ignore *set, const void *path, size_t len, bool is_dir)
{
	const uint8_t *p = path;
	size_t last = 0;

	if (set->count == 0)
		return false;
	while (last < len) {
		size_t end = last + component_len(p + last, len - last);

		if (path_ignored(set, p, end, last, end < len || is_dir))
			return true;
		last = end < len ? end + 1 : len;
	}
	return false;
}

/* ---- patterns ---- */

/* What a pattern says beside its components: its marks taken off, [at, end) is the rest. */
struct body {
	size_t at;
	size_t end;
	bool negated;
	bool dirs_only;
	bool tied;
};

static struct body
body_of(const uint8_t *p, size_t len)
{
	struct body b = {.at = 0, .end = len};

	b.negated = len > 0 && p[0] == '!';
	b.at = b.negated ? 1 : 0;
	if (b.end > b.at && p[b.end - 1] == '/') {
		b.dirs_only = true;
		b.end--;
	}
	b.tied = b.end > b.at && memchr(p + b.at, '/', b.end - b.at) != NULL;
	if (b.end > b.at && p[b.at] == '/')
		b.at++;
	return b;
}

/* What is wrong with one component of a pattern. */
static const char *
part_problem(const uint8_t *p, size_t len)
{
	if (len == 0)
		return "it has an empty component";
	if ((len == 1 && p[0] == '.') || (len == 2 && p[0] == '.' && p[1] == '.'))
		return "a component . or .. fits no path";
	for (size_t i = 0, used = 1; i < len; i += used) {
		bool fits;

		used = 1;
		if (p[i] == '\\')
			used = 2;
		else if (p[i] == '[')
			used = class_match(p + i, len - i, 0, &fits);
		if (used == 0)
			return "'[' without its ']', or an unknown [:class:]";
		if (used > len - i)
			return "a backslash with nothing behind it";
	}
	return NULL;
}

const char *
ignore_problem(const char *pattern, size_t len)
{
	const uint8_t *p = (const uint8_t *)pattern;
	struct body b;

	if (len > IGNORE_PATTERN_BYTES_MAX)
		return "it is longer than 255 bytes";
	if (len > 0 && memchr(p, 0, len))
		return "it has a NUL byte";
	b = body_of(p, len);
	if (b.at >= b.end)
		return "it is empty";
	for (size_t at = b.at; at <= b.end;) {
		size_t n = component_len(p + at, b.end - at);
		const char *problem = part_problem(p + at, n);

		if (problem)
			return problem;
		at += n + 1;
	}
	return NULL;
}

/*
 * Cuts the body into parts. Several "**" in a row are one. One at the end has to take at least one
 * component: that is a "*" behind it, for which the second of its two stars serves.
 */
static size_t
parts_cut(const uint8_t *p, const struct body *b, struct part *parts)
{
	size_t count = 0;

	for (size_t at = b->at; at < b->end;) {
		size_t n = component_len(p + at, b->end - at);
		bool any = b->tied && n == 2 && p[at] == '*' && p[at + 1] == '*';

		if (!any || count == 0 || !parts[count - 1].any)
			parts[count++] = (struct part){(uint8_t)at, (uint8_t)n, any};
		at += n + 1;
	}
	if (parts[count - 1].any) {
		parts[count] = (struct part){parts[count - 1].at, 1, false};
		count++;
	}
	return count;
}

int
ignore_add(struct ignore *set, const char *pattern, size_t len)
{
	struct part parts[IGNORE_PARTS_MAX + 1];
	struct pattern pat = {0};
	struct body b;

	if (ignore_problem(pattern, len))
		return -EINVAL;
	if (set->count == IGNORE_PATTERNS_MAX)
		return -ENOSPC;
	b = body_of((const uint8_t *)pattern, len);
	pat.count = parts_cut((const uint8_t *)pattern, &b, parts);
	pat.negated = b.negated;
	pat.dirs_only = b.dirs_only;
	pat.last_only = !b.tied;
	pat.len = len;
	pat.text = malloc(len);
	pat.parts = malloc(pat.count * sizeof(parts[0]));
	if (!pat.text || !pat.parts) {
		free(pat.text);
		free(pat.parts);
		return -ENOMEM;
	}
	memcpy(pat.text, pattern, len);
	memcpy(pat.parts, parts, pat.count * sizeof(parts[0]));
	set->patterns[set->count++] = pat;
	return 0;
}

struct ignore *
ignore_new(void)
{
	return calloc(1, sizeof(struct ignore));
}

void
ignore_free(struct ignore *set)
{
	if (!set)
		return;
	for (size_t i = 0; i < set->count; i++) {
		free(set->patterns[i].text);
		free(set->patterns[i].parts);
	}
	free(set);
}

bool
ignore_equal(const struct ignore *a, const struct ignore *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++) {
		const struct pattern *pa = &a->patterns[i], *pb = &b->patterns[i];

		if (pa->len != pb->len || memcmp(pa->text, pb->text, pa->len) != 0)
			return false;
	}
	return true;
}
