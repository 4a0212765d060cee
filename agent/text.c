/* SPDX-License-Identifier: BSD-2-Clause */
/* Text into a growing buffer. */
#include "config.h"

#include "agent/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "conf/escape.h"

void
text_put(struct buf *b, const char *fmt, ...)
{
	char text[TEXT_PUT_BYTES_MAX];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n > 0)
		buf_put(b, text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1);
}

void
text_str(struct buf *b, const char *s)
{
	buf_put(b, s, strlen(s));
}

static const char *
entity(char c)
{
	switch (c) {
	case '&':
		return "&amp;";
	case '<':
		return "&lt;";
	case '>':
		return "&gt;";
	case '"':
		return "&quot;";
	case '\'':
		return "&#39;";
	default:
		return NULL;
	}
}

void
text_html(struct buf *b, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;

	while (len > 0) {
		char out[ESCAPE_CHAR_BYTES_MAX];
		size_t used, n = escape_char(out, p, len, &used);
		const char *e = n == 1 ? entity(out[0]) : NULL;

		if (e != NULL)
			text_str(b, e);
		else
			buf_put(b, out, n);
		p += used;
		len -= used;
	}
}
