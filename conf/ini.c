/* SPDX-License-Identifier: BSD-2-Clause */
/* An INI text taken apart strictly: each line is checked before inih sees it. */
#include "config.h"

#include "conf/ini.h"

#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* One scan under way. `rc` is the first failure: from then on nothing is read or handed on. */
struct scan {
	const char *next;
	size_t left;
	uint32_t line;
	char section[INI_SECTION_BYTES_MAX + 1];
	bool in_section;
	ini_entry_fn *fn;
	void *arg;
	struct ini_problem *problem;
	int rc;
};

static void refuse(struct scan *s, const char *fmt, ...) PRINTF(2, 3);

static void
refuse(struct scan *s, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(s->problem->text, sizeof(s->problem->text), fmt, ap);
	va_end(ap);
	s->problem->line = s->line;
	s->rc = -EINVAL;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Takes the next line off the text, without its end ("\n", "\r\n" or the end of the text). */
static size_t
take_line(struct scan *s, const char **line)
{
	const char *nl = memchr(s->next, '\n', s->left);
	size_t len = nl ? (size_t)(nl - s->next) : s->left;

	*line = s->next;
	s->next += nl ? len + 1 : len;
	s->left -= nl ? len + 1 : len;
	s->line++;
	if (len > 0 && (*line)[len - 1] == '\r')
		len--;
	return len;
}

static void
check_bytes(struct scan *s, const char *line, size_t len)
{
	if (len > INI_LINE_BYTES_MAX) {
		refuse(s, "the line has %zu bytes, allowed are %d", len, INI_LINE_BYTES_MAX);
		return;
	}
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)line[i];

		if (c == 0)
			refuse(s, "the line has a NUL byte, allowed is plain text");
		else if ((c < 0x20 && c != '\t') || c == 0x7f)
			refuse(s,
			       "the line has the control character 0x%02x, allowed is plain text",
			       c);
		if (s->rc)
			return;
	}
}

/* "[NAME]", then nothing but a comment. inih would cut the name at 49 bytes and ignore the rest. */
static void
check_section(struct scan *s, const char *line, size_t len)
{
	const char *end = memchr(line, ']', len);
	size_t name, rest;

	if (!end) {
		refuse(s, "the section has no ']', allowed is [NAME]");
		return;
	}
	name = (size_t)(end - line) - 1;
	rest = name + 2;
	while (rest < len && is_blank(line[rest]))
		rest++;
	if (rest < len && line[rest] != ';') {
		refuse(s, "text behind the ']' of a section, allowed is a comment that begins with "
			  "';'");
	} else if (name > INI_SECTION_BYTES_MAX) {
		refuse(s, "the section's name has %zu bytes, allowed are %d", name,
		       INI_SECTION_BYTES_MAX);
	} else {
		memcpy(s->section, line + 1, name);
		s->section[name] = '\0';
		s->in_section = true;
		s->rc = s->fn(s->arg, s->line, s->section, NULL, NULL);
	}
}

static bool
is_key_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

static void
check_key(struct scan *s, const char *line, size_t len)
{
	const char *eq = memchr(line, '=', len);
	size_t key;

	if (!eq) {
		refuse(s, "no '=' in '%.*s', allowed is KEY = VALUE", (int)len, line);
		return;
	}
	key = (size_t)(eq - line);
	while (key > 0 && is_blank(line[key - 1]))
		key--;
	for (size_t i = 0; i < key; i++) {
		if (!is_key_char(line[i])) {
			refuse(s, "'%.*s' is no key, allowed are a-z, 0-9 and _", (int)key, line);
			return;
		}
	}
	if (key == 0)
		refuse(s, "nothing stands before the '=', allowed is KEY = VALUE");
	else if (!s->in_section)
		refuse(s, "'%.*s' stands before the first section, allowed is only behind a [NAME]",
		       (int)key, line);
}

static void
check_line(struct scan *s, const char *line, size_t len)
{
	size_t blanks = 0;

	check_bytes(s, line, len);
	if (s->rc)
		return;
	while (blanks < len && is_blank(line[blanks]))
		blanks++;
	if (blanks == len || line[blanks] == ';' || line[blanks] == '#')
		return;
	if (blanks > 0)
		refuse(s, "the line begins with a blank, allowed is that only before a comment");
	else if (line[0] == '[')
		check_section(s, line, len);
	else
		check_key(s, line, len);
}

/* inih's way to get lines, in the manner of fgets: one checked line a call, none after a failure.
 */
static char *
feed(char *buf, int size, void *arg)
{
	struct scan *s = arg;
	const char *line;
	size_t len;

	if (s->rc || s->left == 0)
		return NULL;
	len = take_line(s, &line);
	check_line(s, line, len);
	if (!s->rc && len + 1 > (size_t)size)
		refuse(s, "the line has %zu bytes, allowed are %d", len, size - 1);
	if (s->rc)
		return NULL;
	memcpy(buf, line, len);
	buf[len] = '\0';
	return buf;
}

/* A '#' that stands where people expect it to begin a comment, which it does not for inih. */
static bool
has_false_comment(const char *value)
{
	for (const char *p = strchr(value, '#'); p; p = strchr(p + 1, '#')) {
		bool before = p == value || is_blank(p[-1]);

		if (before && (p[1] == '\0' || is_blank(p[1])))
			return true;
	}
	return false;
}

/* inih's callback. Its own name of the section may be cut, so ours is used. */
static int
take_entry(void *arg, const char *cut_section, const char *key, const char *value)
{
	struct scan *s = arg;

	(void)cut_section;
	if (s->rc)
		return 1;
	if (value[0] == '"' || value[0] == '\'')
		refuse(s, "the value of %s is in quotes, allowed is the plain value", key);
	else if (has_false_comment(value))
		refuse(s, "' # ' begins no comment behind a value, allowed is ' ; '");
	else
		s->rc = s->fn(s->arg, s->line, s->section, key, value);
	return 1;
}

int
ini_scan(const char *text, size_t len, ini_entry_fn *fn, void *arg, struct ini_problem *problem)
{
	struct scan s = {.next = text, .left = len, .fn = fn, .arg = arg, .problem = problem};
	int rc;

	if (len > INI_BYTES_MAX) {
		s.line = 1;
		refuse(&s, "the text has %zu bytes, allowed are %u", len, INI_BYTES_MAX);
		return s.rc;
	}
	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
		s.next += 3;
		s.left -= 3;
	}
	rc = ini_parse_stream(feed, &s, take_entry, &s);
	if (rc != 0 && !s.rc) {
		/* A line that passed the checks above and that inih still cannot read. */
		s.line = rc > 0 ? (uint32_t)rc : 1;
		refuse(&s, "the line cannot be read, allowed are [NAME] and KEY = VALUE");
	}
	return s.rc;
}
