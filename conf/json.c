/* SPDX-License-Identifier: BSD-2-Clause */
/* Writes JSON into a growing buffer. */
#include "config.h"

#include "conf/json.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/escape.h"

#define FIRST_BYTES 256 /* most answers of one line fit */
/* A double has up to 309 digits before the point. */
#define DOUBLE_BYTES_MAX (1 + 309 + 1 + JSON_DECIMALS_MAX + 1)

void
json_init(struct json *j)
{
	memset(j, 0, sizeof(*j));
}

void
json_free(struct json *j)
{
	free(j->data);
	json_init(j);
}

void
json_reset(struct json *j)
{
	j->len = 0;
	j->depth = 0;
	j->filled = 0;
	j->failed = false;
}

/* Room for len bytes and a terminator. */
static bool
grow(struct json *j, size_t len)
{
	size_t cap = j->cap ? j->cap : FIRST_BYTES;
	char *data;

	if (j->failed)
		return false;
	if (len < j->cap - j->len) /* strictly: the terminator */
		return true;
	while (cap - j->len <= len) {
		if (cap > SIZE_MAX / 2) {
			j->failed = true;
			return false;
		}
		cap *= 2;
	}
	data = realloc(j->data, cap);
	if (!data) {
		j->failed = true;
		return false;
	}
	j->data = data;
	j->cap = cap;
	return true;
}

static void
put(struct json *j, const void *bytes, size_t len)
{
	if (!grow(j, len))
		return;
	memcpy(j->data + j->len, bytes, len);
	j->len += len;
	j->data[j->len] = '\0';
}

static void
put_cstr(struct json *j, const char *s)
{
	put(j, s, strlen(s));
}

static void
put_unit(struct json *j, uint32_t unit)
{
	char form[sizeof("\\u0000")];

	snprintf(form, sizeof(form), "\\u%04x", (unsigned)(unit & 0xffff));
	put(j, form, sizeof(form) - 1);
}

/* \uNNNN; beyond the first plane as a pair of surrogates. */
static void
put_escaped(struct json *j, uint32_t cp)
{
	if (cp < 0x10000) {
		put_unit(j, cp);
		return;
	}
	put_unit(j, 0xd800 + ((cp - 0x10000) >> 10));
	put_unit(j, 0xdc00 + ((cp - 0x10000) & 0x3ff));
}

/* One character at p; returns how many bytes it took. */
static size_t
put_char(struct json *j, const uint8_t *p, size_t len)
{
	uint32_t cp;
	size_t n = escape_utf8(p, len, &cp);

	if (n == 0) {
		put_escaped(j, 0xfffd);
		return 1;
	}
	if (cp == '"' || cp == '\\') {
		put(j, "\\", 1);
		put(j, p, 1);
	} else if (cp == '\n') {
		put(j, "\\n", 2);
	} else if (cp == '\t') {
		put(j, "\\t", 2);
	} else if (escape_hidden(cp)) {
		put_escaped(j, cp);
	} else {
		put(j, p, n);
	}
	return n;
}

static void
put_quoted(struct json *j, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;

	put(j, "\"", 1);
	while (len > 0 && !j->failed) {
		size_t n = put_char(j, p, len);

		p += n;
		len -= n;
	}
	put(j, "\"", 1);
}

static void
put_base64(struct json *j, const uint8_t *p, size_t len)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	put(j, "\"", 1);
	while (len > 0 && !j->failed) {
		size_t n = len < 3 ? len : 3;
		uint32_t v = (uint32_t)p[0] << 16 | (n > 1 ? (uint32_t)p[1] << 8 : 0) |
			     (n > 2 ? p[2] : 0);
		char form[4] = {digits[v >> 18], digits[v >> 12 & 63], digits[v >> 6 & 63],
				digits[v & 63]};

		if (n < 3)
			form[3] = '=';
		if (n < 2)
			form[2] = '=';
		put(j, form, sizeof(form));
		p += n;
		len -= n;
	}
	put(j, "\"", 1);
}

/* What stands before a value: a comma if something went before, and the name with its suffix. */
static void
before(struct json *j, const char *key, const char *suffix)
{
	uint64_t bit = UINT64_C(1) << (j->depth % 64);

	if (j->depth > 0) {
		if (j->filled & bit)
			put(j, ",", 1);
		j->filled |= bit;
	}
	if (!key)
		return;
	put_quoted(j, key, strlen(key));
	if (*suffix && !j->failed) {
		j->len--; /* goes inside the closing quote */
		put_cstr(j, suffix);
		put(j, "\"", 1);
	}
	put(j, ":", 1);
}

static void
open_with(struct json *j, const char *key, const char *bracket)
{
	before(j, key, "");
	put_cstr(j, bracket);
	j->depth++;
	assert(j->depth < JSON_DEPTH_MAX);
	j->filled &= ~(UINT64_C(1) << j->depth);
}

static void
close_with(struct json *j, const char *bracket)
{
	assert(j->depth > 0);
	j->depth--;
	put_cstr(j, bracket);
}

void
json_obj_open(struct json *j, const char *key)
{
	open_with(j, key, "{");
}

void
json_obj_close(struct json *j)
{
	close_with(j, "}");
}

void
json_arr_open(struct json *j, const char *key)
{
	open_with(j, key, "[");
}

void
json_arr_close(struct json *j)
{
	close_with(j, "]");
}

void
json_str(struct json *j, const char *key, const char *val)
{
	before(j, key, "");
	if (val)
		put_quoted(j, val, strlen(val));
	else
		put_cstr(j, "null");
}

void
json_bytes(struct json *j, const char *key, const void *bytes, size_t len)
{
	if (escape_is_utf8(bytes, len)) {
		before(j, key, "");
		put_quoted(j, bytes, len);
	} else if (key) {
		before(j, key, "_b64");
		put_base64(j, bytes, len);
	} else {
		before(j, NULL, "");
		put_cstr(j, "{\"b64\":");
		put_base64(j, bytes, len);
		put(j, "}", 1);
	}
}

void
json_int(struct json *j, const char *key, int64_t val)
{
	char form[24];

	snprintf(form, sizeof(form), "%" PRId64, val);
	before(j, key, "");
	put_cstr(j, form);
}

void
json_uint(struct json *j, const char *key, uint64_t val)
{
	char form[24];

	snprintf(form, sizeof(form), "%" PRIu64, val);
	before(j, key, "");
	put_cstr(j, form);
}

void
json_bool(struct json *j, const char *key, bool val)
{
	before(j, key, "");
	put_cstr(j, val ? "true" : "false");
}

void
json_null(struct json *j, const char *key)
{
	before(j, key, "");
	put_cstr(j, "null");
}

void
json_double(struct json *j, const char *key, double val, unsigned decimals)
{
	char form[DOUBLE_BYTES_MAX + 8];

	assert(decimals <= JSON_DECIMALS_MAX);
	if (!isfinite(val)) {
		json_null(j, key);
		return;
	}
	snprintf(form, sizeof(form), "%.*f", (int)decimals, val);
	/* The locale may write the point in its own way. */
	for (char *p = form; *p; p++)
		if (*p != '-' && (*p < '0' || *p > '9'))
			*p = '.';
	before(j, key, "");
	put_cstr(j, form);
}

bool
json_failed(const struct json *j)
{
	return j->failed;
}

const char *
json_text(struct json *j, size_t *len)
{
	put(j, "", 0);
	if (len)
		*len = j->failed ? 0 : j->len;
	return j->failed ? NULL : j->data;
}
