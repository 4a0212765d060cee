/* SPDX-License-Identifier: BSD-2-Clause */
/* Attacks conf/escape: every byte, every cut, every hidden character. */
#include "config.h"

#include "conf/escape.h"

#include <stdlib.h>

#include "tests/tap.h"

static void
prints(const char *in, size_t len, const char *want, const char *what)
{
	char out[256];
	size_t n = escape_print(out, sizeof(out), in, len);

	is_str(out, want, "%s", what);
	is_int(n, strlen(want), "%s: length", what);
}

static void
test_forms(void)
{
	prints("", 0, "", "nothing");
	prints("a b.jpg", 7, "a b.jpg", "plain");
	prints("caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", 14,
	       "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", "UTF-8 stays");
	prints("a\\b", 3, "a\\\\b", "a backslash is doubled");
	prints("\x1b[2J", 4, "\\x1b[2J", "escape sequence");
	prints("\n\r\t\0\x7f", 5, "\\x0a\\x0d\\x09\\x00\\x7f", "controls");
	prints("\xc2\x9b"
	       "31m",
	       5, "\\xc2\\x9b31m", "C1 control");
	prints("\xe2\x80\xae"
	       "gpj",
	       6, "\\xe2\\x80\\xaegpj", "direction override");
	prints("\xff\xfe", 2, "\\xff\\xfe", "not UTF-8");
	prints("\xc0\xaf", 2, "\\xc0\\xaf", "overlong");
	prints("\xed\xa0\x80", 3, "\\xed\\xa0\\x80", "surrogate");
	prints("\xf4\x90\x80\x80", 4, "\\xf4\\x90\\x80\\x80", "above the last code point");
	prints("\xe2\x82", 2, "\\xe2\\x82", "cut off character");
	prints("\xe2\x82"
	       "a",
	       3, "\\xe2\\x82a", "interrupted character");
	prints("\xe2\x80\x8d", 3, "\xe2\x80\x8d", "the joiner stays");
	prints("\xf3\xa0\x81\x81", 4, "\\xf3\\xa0\\x81\\x81", "tag character");
}

/* What a terminal could obey in the output: anything below space, DEL, a raw C1, broken UTF-8. */
static bool
is_clean(const char *s, size_t len)
{
	while (len > 0) {
		uint32_t cp;
		size_t n = escape_utf8(s, len, &cp);

		if (n == 0 || cp < 0x20 || (cp >= 0x7f && cp < 0xa0))
			return false;
		s += n;
		len -= n;
	}
	return true;
}

static void
test_all_pairs(void)
{
	unsigned bad = 0, unterminated = 0;
	unsigned char in[3];

	for (unsigned a = 0; a < 256; a++) {
		for (unsigned b = 0; b < 256; b++) {
			char out[ESCAPE_BYTES_MAX(3)];
			size_t n;

			in[0] = (unsigned char)a;
			in[1] = (unsigned char)b;
			in[2] = 0x9b;
			n = escape_print(out, sizeof(out), in, 3);
			unterminated += n >= sizeof(out) || out[n] != '\0';
			bad += !is_clean(out, n);
		}
	}
	is_int(bad, 0, "no three bytes get anything through to the terminal");
	is_int(unterminated, 0, "always terminated, and ESCAPE_BYTES_MAX suffices");
}

/* Undoes the form; returns the length, or SIZE_MAX where it is cut or no form. */
static size_t
undo(const char *s, char *out)
{
	size_t n = 0;

	while (*s) {
		if (*s != '\\') {
			out[n++] = *s++;
		} else if (s[1] == '\\') {
			out[n++] = '\\';
			s += 2;
		} else if (s[1] == 'x') {
			char hex[3] = {s[2], s[3], '\0'};

			out[n++] = (char)strtol(hex, NULL, 16);
			s += 4;
		} else {
			return SIZE_MAX;
		}
	}
	return n;
}

static void
test_reversible(void)
{
	uint32_t seed = 12345;
	unsigned wrong = 0;

	for (unsigned round = 0; round < 20000; round++) {
		static const char letters[] = "\\x0a\"n\xc3\xa9\xe2\x80\xae\xff\n";
		char in[12], out[ESCAPE_BYTES_MAX(12)], back[ESCAPE_BYTES_MAX(12)];
		size_t len = round % 13;

		for (size_t i = 0; i < len; i++) {
			seed = seed * 1664525 + 1013904223;
			in[i] = letters[(seed >> 16) % (sizeof(letters) - 1)];
		}
		escape_print(out, sizeof(out), in, len);
		wrong += undo(out, back) != len || memcmp(in, back, len) != 0;
	}
	is_int(wrong, 0, "the bytes can be had back from the form");
}

static void
test_room(void)
{
	static const char in[] = "ab\xe2\x82\xac\x1b"
				 "cdef\\";
	char full[64];
	size_t full_len = escape_print(full, sizeof(full), in, sizeof(in) - 1);
	unsigned wrong = 0, unmarked = 0, dirty = 0;

	for (size_t room = 0; room <= full_len + 3; room++) {
		char *out = malloc(room + 1); /* the sanitizer sees one byte too many */
		size_t n;

		out[room] = '!';
		n = escape_print(out, room, in, sizeof(in) - 1);
		wrong += out[room] != '!';
		if (room > 0)
			wrong += n >= room || strlen(out) != n || !is_clean(out, n);
		if (room > full_len)
			wrong += strcmp(out, full) != 0;
		else if (room > strlen(ESCAPE_CUT))
			unmarked += strcmp(out + n - strlen(ESCAPE_CUT), ESCAPE_CUT) != 0;
		else
			dirty += n != 0;
		free(out);
	}
	is_int(wrong, 0, "every size of the output: inside, terminated, whole where it fits");
	is_int(unmarked, 0, "what was cut says so");
	is_int(dirty, 0, "no room for the mark: nothing");
	escape_print(full, 10, "abcdefghijkl", 12);
	is_str(full, "abcde\\...", "as much as fits before the mark");
	is_int(escape_print(full, 5, "abcd", 4), 4, "exactly fitting");
	is_str(full, "abcd", "is not cut");
}

static void
test_utf8(void)
{
	uint32_t cp;
	unsigned wrong = 0;

	for (uint32_t want = 0; want < 0x110000; want++) {
		uint8_t b[4];
		size_t n;

		if (want < 0x80) {
			b[0] = (uint8_t)want;
			n = 1;
		} else if (want < 0x800) {
			b[0] = (uint8_t)(0xc0 | want >> 6);
			n = 2;
		} else if (want < 0x10000) {
			b[0] = (uint8_t)(0xe0 | want >> 12);
			n = 3;
		} else {
			b[0] = (uint8_t)(0xf0 | want >> 18);
			n = 4;
		}
		for (size_t i = 1; i < n; i++)
			b[i] = (uint8_t)(0x80 | (want >> 6 * (n - 1 - i) & 0x3f));
		if (want >= 0xd800 && want < 0xe000)
			wrong += escape_utf8(b, n, &cp) != 0;
		else
			wrong += escape_utf8(b, n, &cp) != n || cp != want ||
				 escape_utf8(b, n - 1, &cp) != 0;
	}
	is_int(wrong, 0, "every code point, whole and cut");
	ok(escape_is_utf8("", 0) && escape_is_utf8("\xc3\xa9", 2), "valid text");
	ok(!escape_is_utf8("a\xc3", 2) && !escape_is_utf8("\x80", 1), "invalid text");
	ok(escape_hidden(0x202e) && escape_hidden(0x2066) && escape_hidden(0x85) &&
		   escape_hidden(0xfeff) && escape_hidden(0x2028) && escape_hidden(0xe0041),
	   "hidden ones");
	ok(!escape_hidden(' ') && !escape_hidden(0xa0) && !escape_hidden(0x200d) &&
		   !escape_hidden(0x10ffff),
	   "visible ones");
}

int
main(void)
{
	test_forms();
	test_all_pairs();
	test_reversible();
	test_room();
	test_utf8();
	return tap_done();
}
