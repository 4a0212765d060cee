/* SPDX-License-Identifier: BSD-2-Clause */
/* What HTTP headers ask of a file. */
#include "config.h"

#include "agent/range.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* Digits up to anything else; false: none, or too many. */
static bool
number(const char **p, uint64_t *out)
{
	uint64_t v = 0;
	const char *at = *p;

	for (; *at >= '0' && *at <= '9'; at++) {
		unsigned digit = (unsigned)(*at - '0');

		if (v > (UINT64_MAX - digit) / 10)
			return false;
		v = v * 10 + digit;
	}
	if (at == *p)
		return false;
	*p = at;
	*out = v;
	return true;
}

static int
suffix(const char *p, uint64_t size, uint64_t *from, uint64_t *len)
{
	uint64_t n;

	if (!number(&p, &n) || *p != '\0')
		return -ENOENT;
	if (n == 0 || size == 0)
		return -ERANGE;
	*len = n < size ? n : size;
	*from = size - *len;
	return 0;
}

int
range_parse(const char *header, uint64_t size, uint64_t *from, uint64_t *len)
{
	uint64_t first, last = UINT64_MAX;
	const char *p = header;

	if (p == NULL || strncasecmp(p, "bytes=", 6) != 0)
		return -ENOENT;
	p += 6;
	if (*p == '-')
		return suffix(p + 1, size, from, len);
	if (!number(&p, &first) || *p++ != '-')
		return -ENOENT;
	if (*p != '\0' && (!number(&p, &last) || *p != '\0' || last < first))
		return -ENOENT;
	if (first >= size)
		return -ERANGE;
	last = last < size ? last : size - 1;
	*from = first;
	*len = last - first + 1;
	return 0;
}

bool
range_tag_in(const char *list, const char *tag)
{
	size_t len = strlen(tag);

	for (const char *p = list; *p != '\0';) {
		size_t n;

		p += strspn(p, " \t,");
		if (*p == '*')
			return true;
		if (strncmp(p, "W/", 2) == 0)
			p += 2;
		n = strcspn(p, ", \t");
		if (n == len && memcmp(p, tag, len) == 0)
			return true;
		p += n;
	}
	return false;
}

void
range_date(char out[RANGE_DATE_BYTES], int64_t unix_seconds)
{
	time_t t = (time_t)unix_seconds;
	struct tm tm = {0};

	if (gmtime_r(&t, &tm) == NULL || tm.tm_year < -1900 || tm.tm_year > 8099 ||
	    strftime(out, RANGE_DATE_BYTES, "%a, %d %b %Y %H:%M:%S GMT", &tm) == 0)
		memcpy(out, "Thu, 01 Jan 1970 00:00:00 GMT", RANGE_DATE_BYTES);
}

bool
range_not_newer(const char *header, int64_t unix_seconds)
{
	struct tm tm = {0};
	const char *end = strptime(header, "%a, %d %b %Y %H:%M:%S GMT", &tm);

	return end != NULL && *end == '\0' && unix_seconds <= (int64_t)timegm(&tm);
}

const char *
range_type(const char *path, size_t len)
{
	static const struct {
		const char *end, *type;
	} table[] = {
		{"jpg", "image/jpeg"},
		{"jpeg", "image/jpeg"},
		{"png", "image/png"},
		{"gif", "image/gif"},
		{"webp", "image/webp"},
		{"avif", "image/avif"},
		{"heic", "image/heic"},
		{"svg", "image/svg+xml"},
		{"svgz", "image/svg+xml"},
		{"ico", "image/x-icon"},
		{"bmp", "image/bmp"},
		{"tif", "image/tiff"},
		{"tiff", "image/tiff"},
		{"mp4", "video/mp4"},
		{"m4v", "video/mp4"},
		{"webm", "video/webm"},
		{"mov", "video/quicktime"},
		{"mkv", "video/x-matroska"},
		{"ogv", "video/ogg"},
		{"avi", "video/x-msvideo"},
		{"m3u8", "application/vnd.apple.mpegurl"},
		{"ts", "video/mp2t"},
		{"mp3", "audio/mpeg"},
		{"m4a", "audio/mp4"},
		{"ogg", "audio/ogg"},
		{"oga", "audio/ogg"},
		{"opus", "audio/ogg"},
		{"wav", "audio/wav"},
		{"flac", "audio/flac"},
		{"pdf", "application/pdf"},
		{"html", "text/html"},
		{"htm", "text/html"},
		{"css", "text/css"},
		{"js", "text/javascript"},
		{"mjs", "text/javascript"},
		{"json", "application/json"},
		{"xml", "application/xml"},
		{"txt", "text/plain"},
		{"csv", "text/csv"},
		{"vtt", "text/vtt"},
		{"woff", "font/woff"},
		{"woff2", "font/woff2"},
		{"ttf", "font/ttf"},
		{"otf", "font/otf"},
		{"zip", "application/zip"},
		{"gz", "application/gzip"},
		{"wasm", "application/wasm"},
	};
	size_t dot = len;

	while (dot > 0 && path[dot - 1] != '.' && path[dot - 1] != '/')
		dot--;
	if (dot > 0 && path[dot - 1] == '.')
		for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
			if (strlen(table[i].end) == len - dot &&
			    strncasecmp(table[i].end, path + dot, len - dot) == 0)
				return table[i].type;
	return "application/octet-stream";
}
