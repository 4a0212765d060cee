/* SPDX-License-Identifier: BSD-2-Clause */
/* Fuzz target: patterns, one a line, and behind the last line end the path they are asked about. */
#include "config.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "conf/ignore.h"

#define INPUT_BYTES_MAX 8192 /* longer ones say nothing new and take long */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A broken promise ends the run, which is how a fuzzer learns of it. */
static void
check(bool held)
{
	if (!held)
		abort();
}

/* Adds each line; returns what is behind the last one. */
static const char *
add_lines(struct ignore *set, const char *text, size_t *left)
{
	const char *nl;

	while (*left > 0 && (nl = memchr(text, '\n', *left))) {
		size_t len = (size_t)(nl - text);
		int rc = ignore_add(set, text, len);

		check(rc == 0 || rc == -EINVAL || rc == -ENOSPC);
		check((rc == -EINVAL) == (ignore_problem(text, len) != NULL));
		text = nl + 1;
		*left -= len + 1;
	}
	return text;
}

/* What is below an ignored directory is ignored, and a directory is asked no less than a file. */
static void
check_path(const struct ignore *set, const char *path, size_t len)
{
	bool above = false;

	for (size_t i = 0; i <= len; i++) {
		if (i < len && path[i] != '/')
			continue;
		check(!above || ignore_match(set, path, i, false));
		above = above || ignore_match(set, path, i, true);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ignore *set = ignore_new();
	const char *path;

	check(set != NULL);
	if (size <= INPUT_BYTES_MAX) {
		path = add_lines(set, (const char *)data, &size);
		check_path(set, path, size);
		check(ignore_equal(set, set) && !ignore_match(set, path, 0, true));
	}
	ignore_free(set);
	return 0;
}
