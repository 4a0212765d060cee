/* SPDX-License-Identifier: BSD-2-Clause */
/* What HTTP headers ask of a file: which part of it, and whether it changed. Pure. */
#ifndef MIMEO_AGENT_RANGE_H
#define MIMEO_AGENT_RANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/attr.h"

#define RANGE_DATE_BYTES 30 /* "Sun, 06 Nov 1994 08:49:37 GMT" and the terminator */

/*
 * "bytes=A-B", "bytes=A-" or "bytes=-N" of a file of that size. 0: from and len are set. -ENOENT:
 * no header, another unit, several ranges or nonsense: the whole file is the answer. -ERANGE: the
 * range lies behind the end.
 */
NODISCARD int range_parse(const char *header, uint64_t size, uint64_t *from, uint64_t *len);
/* Does a list of tags (If-None-Match) hold this one ("\"abc\"")? Weak ones count, and "*". */
bool range_tag_in(const char *list, const char *tag);
void range_date(char out[RANGE_DATE_BYTES], int64_t unix_seconds);
/* Is the file, last changed then, no newer than the date of the header (If-Modified-Since)? */
bool range_not_newer(const char *header, int64_t unix_seconds);
/* The media type by the end of the name; "application/octet-stream" if it says nothing. */
const char *range_type(const char *path, size_t len);

#endif
