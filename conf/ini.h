/* SPDX-License-Identifier: BSD-2-Clause */
/* An INI text taken apart strictly: sections, keys and values with their line numbers. The only
 * user of inih. */
#ifndef MIMEO_CONF_INI_H
#define MIMEO_CONF_INI_H

#include <stddef.h>
#include <stdint.h>

#include "proto/attr.h"

#define INI_BYTES_MAX (1024u * 1024) /* of one text */
#define INI_LINE_BYTES_MAX 198   /* without its end; inih's buffer of 200 cuts longer ones in two */
#define INI_SECTION_BYTES_MAX 68 /* between the brackets: "peer " and a name of 63 */
#define INI_PROBLEM_BYTES_MAX 512

/* The first thing that is wrong: where (lines count from 1), and what in plain words with what is
 * allowed. */
struct ini_problem {
	uint32_t line;
	char text[INI_PROBLEM_BYTES_MAX];
};

/*
 * Gets each section line (key and value are NULL) and each `key = value` of it, in the order of the
 * text. All strings are borrowed for the call. The value is trimmed, may be empty, and has lost its
 * `; comment`. Returns 0, or a negative number, which ends the scan.
 */
typedef int ini_entry_fn(void *arg, uint32_t line, const char *section, const char *key,
			 const char *value);

/*
 * Goes through the text. A byte order mark and CRLF are fine; comments are whole lines that begin
 * with ; or # (blanks before it are fine) and what follows " ;" behind a value.
 * Refused, because inih would read something else than what the user sees: lines over
 * INI_LINE_BYTES_MAX, blanks before anything but a comment, control characters, NUL, a line without
 * '=', a key of other than a-z 0-9 _ (so "host:port = 3" too, which inih splits at the ':'), keys
 * before the first section, sections over INI_SECTION_BYTES_MAX or with anything behind the ']',
 * values in quotes, and "value # no comment".
 * Returns 0; -EINVAL with *problem filled; or what fn returned, *problem untouched.
 */
NODISCARD int ini_scan(const char *text, size_t len, ini_entry_fn *fn, void *arg,
		       struct ini_problem *problem);

#endif
