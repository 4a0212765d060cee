/* SPDX-License-Identifier: BSD-2-Clause */
/* What an INI text gives, line by line; what is refused and where; every cut and every byte. */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "conf/ini.h"
#include "proto/bytes.h"
#include "tests/tap.h"

struct seen {
	struct buf text;
	int rc;
	uint32_t last;
	bool disordered;
};

static int
collect(void *arg, uint32_t line, const char *section, const char *key, const char *value)
{
	struct seen *s = arg;
	char head[32];

	s->disordered = s->disordered || line < s->last;
	s->last = line;
	snprintf(head, sizeof(head), "%u ", line);
	buf_put(&s->text, head, strlen(head));
	buf_put(&s->text, section, strlen(section));
	if (key != NULL) {
		buf_put_u8(&s->text, '.');
		buf_put(&s->text, key, strlen(key));
		buf_put_u8(&s->text, '=');
		buf_put(&s->text, value, strlen(value));
	}
	buf_put_u8(&s->text, '|');
	return s->rc;
}

static int
scan(const char *text, size_t len, struct seen *s, struct ini_problem *p)
{
	int r;

	*s = (struct seen){.rc = s->rc};
	r = ini_scan(text, len, collect, s, p);
	buf_put_u8(&s->text, 0);
	return r;
}

static void
gives(const char *text, const char *want, const char *name)
{
	struct ini_problem p = {0};
	struct seen s = {0};

	is_int(scan(text, strlen(text), &s, &p), 0, "%s: is read", name);
	is_str((const char *)s.text.data, want, "%s", name);
	buf_free(&s.text);
}

static void
refused(const char *text, size_t len, uint32_t line, const char *why)
{
	struct ini_problem p = {0};
	struct seen s = {0};
	int r = scan(text, len, &s, &p);

	if (!ok(r == -EINVAL && p.line == line && strstr(p.text, why) != NULL, "line %u: %s", line,
		why))
		diag("  %d, line %u: %s", r, p.line, p.text);
	buf_free(&s.text);
}

#define REFUSED(text, line, why) refused(text, sizeof(text) - 1, line, why)

static void
test_good(void)
{
	gives("", "", "nothing");
	gives("[a]\nb = c\n", "1 a|2 a.b=c|", "a section and a key");
	gives("[a]\nb = c", "1 a|2 a.b=c|", "no end of line at the end");
	gives("\xef\xbb\xbf[a]\r\nb=c\r\n", "1 a|2 a.b=c|", "byte order mark, CRLF");
	gives("\n; x\n  # y\n[a] ; z\n\n", "4 a|", "comments and empty lines");
}

static void
test_values(void)
{
	gives("[a]\nb =\n", "1 a|2 a.b=|", "an empty value");
	gives("[a]\nb = c ; d\n", "1 a|2 a.b=c|", "a comment behind a value");
	gives("[a]\nb = c;d\n", "1 a|2 a.b=c;d|", "a semicolon in a value");
	gives("[a]\nb = c#d\n", "1 a|2 a.b=c#d|", "a # in a value");
	gives("[a]\nb = c = d: e\n", "1 a|2 a.b=c = d: e|", "more of '=' and ':'");
	gives("[a]\nb = \t c d \t\n", "1 a|2 a.b=c d|", "blanks around a value");
	gives("[a]\n[peer web-1]\nb = 1\n[a]\nb = 2\n",
	      "1 a|2 peer web-1|3 peer web-1.b=1|4 a|5 a.b=2|", "sections come again");
	gives("[a]\nb = \xff\xc3\n", "1 a|2 a.b=\xff\xc3|", "bytes that are no UTF-8");
}

static void
test_bad(void)
{
	REFUSED("b = c\n", 1, "first section");
	REFUSED("[a]\n\nb\n", 3, "no '='");
	REFUSED("[a]\n= c\n", 2, "before the '='");
	REFUSED("[a]\nB = c\n", 2, "is no key");
	REFUSED("[a]\nb:c = d\n", 2, "is no key");
	REFUSED("[a]\nb = c\n d = e\n", 3, "begins with a blank");
	REFUSED("[a]\n\tb = c\n", 2, "begins with a blank");
	REFUSED("[a\n", 1, "no ']'");
	REFUSED("[a] b\n", 1, "behind the ']'");
	REFUSED("[a]\nb = \"c\"\n", 2, "quotes");
	REFUSED("[a]\nb = 'c'\n", 2, "quotes");
	REFUSED("[a]\nb = c # d\n", 2, "' ; '");
	REFUSED("[a]\nb = #\n", 2, "' ; '");
	REFUSED("[a]\nb = c\0d\n", 2, "NUL");
	REFUSED("[a]\nb = c\x1b[2J\n", 2, "0x1b");
	REFUSED("[a]\nb = c\x7f\n", 2, "0x7f");
	REFUSED("[a]\nb = c\rd\n", 2, "0x0d");
}

static void
test_long(void)
{
	char line[400] = "[a]\nb = ", section[100] = "[";
	struct ini_problem p;
	struct seen s = {0};

	memset(line + 8, 'x', INI_LINE_BYTES_MAX - 4);
	strcpy(line + 4 + INI_LINE_BYTES_MAX, "\n");
	is_int(scan(line, strlen(line), &s, &p), 0, "the longest line");
	is_int(s.text.len, (long long)strlen("1 a|2 a.b=|") + INI_LINE_BYTES_MAX - 4 + 1,
	       "is read to its end");
	buf_free(&s.text);
	strcpy(line + 4 + INI_LINE_BYTES_MAX, "x\n");
	refused(line, strlen(line), 2, "199 bytes");
	memset(section + 1, 's', INI_SECTION_BYTES_MAX);
	strcpy(section + 1 + INI_SECTION_BYTES_MAX, "]\n");
	is_int(scan(section, strlen(section), &s, &p), 0, "the longest section");
	buf_free(&s.text);
	strcpy(section + 1 + INI_SECTION_BYTES_MAX, "s]\n");
	refused(section, strlen(section), 1, "69 bytes");
}

static void
test_large(void)
{
	size_t len = INI_BYTES_MAX + 1;
	char *text = malloc(len);
	struct ini_problem p = {0};
	struct seen s = {0};

	if (text == NULL) {
		ok(false, "out of memory");
		return;
	}
	memset(text, '\n', len);
	is_int(scan(text, INI_BYTES_MAX, &s, &p), 0, "the largest text");
	buf_free(&s.text);
	refused(text, len, 1, "1048577 bytes");
	free(text);
}

static void
test_stop(void)
{
	static const char text[] = "[a]\nb = c\nd\n";
	struct ini_problem p = {.line = 7};
	struct seen s = {.rc = -ENOENT};

	is_int(scan(text, sizeof(text) - 1, &s, &p), -ENOENT, "what the caller says ends it");
	is_str((const char *)s.text.data, "1 a|", "at once");
	is_int(p.line, 7, "and is no problem of the text");
	buf_free(&s.text);
}

/* Whatever comes: in order, and no line is called that is none. */
static void
test_attack(void)
{
	static const char text[] = "[node]\nname = web1 ; mine\n\n[peer b]\naddress = b:22\n";
	char changed[sizeof(text)];
	unsigned wrong = 0;

	for (size_t at = 0; at < sizeof(text) - 1; at++)
		for (unsigned byte = 0; byte < 256; byte++) {
			struct ini_problem p = {0};
			struct seen s = {0};
			int r;

			memcpy(changed, text, sizeof(text));
			changed[at] = (char)byte;
			r = scan(changed, sizeof(text) - 1, &s, &p);
			wrong += (r != 0 && r != -EINVAL) || s.disordered || s.last > 7 ||
				 (r == -EINVAL && (p.line == 0 || p.line > 7 || p.text[0] == 0));
			buf_free(&s.text);
		}
	is_int(wrong, 0, "every byte at every place");
	for (size_t len = 0; len < sizeof(text); len++) {
		struct ini_problem p = {0};
		struct seen s = {0};
		int r = scan(text, len, &s, &p);

		wrong += (r != 0 && r != -EINVAL) || s.disordered ||
			 (r == -EINVAL && (p.line == 0 || p.text[0] == 0));
		buf_free(&s.text);
	}
	is_int(wrong, 0, "every cut");
}

int
main(void)
{
	test_good();
	test_values();
	test_bad();
	test_long();
	test_large();
	test_stop();
	test_attack();
	return tap_done();
}
