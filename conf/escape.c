/* SPDX-License-Identifier: BSD-2-Clause */
/* Bytes that came from anywhere, made fit for a terminal and a log line. */
#include "config.h"

#include "conf/escape.h"

#include <string.h>

#include "proto/attr.h"

struct span {
	uint32_t first;
	uint32_t last;
};

/* Ascending. */
static const struct span hidden[] = {
	{0x0000, 0x001f}, {0x007f, 0x009f}, {0x061c, 0x061c}, {0x200b, 0x200b}, {0x200e, 0x200f},
	{0x2028, 0x202e}, {0x2060, 0x206f}, {0xfeff, 0xfeff}, {0xfff9, 0xfffb}, {0xe0000, 0xe007f},
};

bool
escape_hidden(uint32_t cp)
{
	for (size_t i = 0; i < ARRAY_LEN(hidden); i++)
		if (cp <= hidden[i].last)
			return cp >= hidden[i].first;
	return false;
}

/* What the first byte promises: the length, its own bits, the least code point that needs it. */
static size_t
lead(uint8_t b, uint32_t *bits, uint32_t *least)
{
	if (b < 0x80) {
		*bits = b;
		*least = 0;
		return 1;
	}
	if ((b & 0xe0) == 0xc0) {
		*bits = b & 0x1f;
		*least = 0x80;
		return 2;
	}
	if ((b & 0xf0) == 0xe0) {
		*bits = b & 0x0f;
		*least = 0x800;
		return 3;
	}
	if ((b & 0xf8) == 0xf0) {
		*bits = b & 0x07;
		*least = 0x10000;
		return 4;
	}
	return 0;
}

size_t
escape_utf8(const void *p, size_t len, uint32_t *cp)
{
	const uint8_t *b = p;
	uint32_t v, least;
	size_t n;

	*cp = 0;
	if (len == 0)
		return 0;
	n = lead(b[0], &v, &least);
	if (n == 0 || n > len)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((b[i] & 0xc0) != 0x80)
			return 0;
		v = v << 6 | (b[i] & 0x3f);
	}
	if (v < least || v > 0x10ffff || (v >= 0xd800 && v <= 0xdfff))
		return 0;
	*cp = v;
	return n;
}

bool
escape_is_utf8(const void *bytes, size_t len)
{
	const uint8_t *p = bytes;
	uint32_t cp;

	while (len > 0) {
		size_t n = escape_utf8(p, len, &cp);

		if (n == 0)
			return false;
		p += n;
		len -= n;
	}
	return true;
}

size_t
escape_char(char out[ESCAPE_CHAR_BYTES_MAX], const void *p, size_t len, size_t *used)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *b = p;
	uint32_t cp;
	size_t n = escape_utf8(b, len, &cp);
	size_t o = 0;

	*used = n > 0 ? n : 1;
	if (cp == '\\') {
		out[0] = out[1] = '\\';
		return 2;
	}
	if (n > 0 && !escape_hidden(cp)) {
		memcpy(out, b, n);
		return n;
	}
	for (size_t i = 0; i < *used; i++) {
		out[o++] = '\\';
		out[o++] = 'x';
		out[o++] = digits[b[i] >> 4];
		out[o++] = digits[b[i] & 0xf];
	}
	return o;
}

size_t
escape_print(char *out, size_t outlen, const void *bytes, size_t len)
{
	const size_t cut_len = sizeof(ESCAPE_CUT) - 1;
	const uint8_t *p = bytes;
	size_t o = 0;
	size_t cut_at = 0; /* the last end of a character that leaves room for the mark */

	if (outlen == 0)
		return 0;
	while (len > 0) {
		char form[ESCAPE_CHAR_BYTES_MAX];
		size_t used, n = escape_char(form, p, len, &used);

		if (n > outlen - 1 - o)
			break;
		memcpy(out + o, form, n);
		o += n;
		if (outlen - 1 >= cut_len && o <= outlen - 1 - cut_len)
			cut_at = o;
		p += used;
		len -= used;
	}
	if (len > 0) {
		o = 0;
		if (outlen - 1 >= cut_len) {
			memcpy(out + cut_at, ESCAPE_CUT, cut_len);
			o = cut_at + cut_len;
		}
	}
	out[o] = '\0';
	return o;
}
