/* SPDX-License-Identifier: BSD-2-Clause */
/* Which paths below the root are left alone: gitignore's rules over byte strings. */
#ifndef MIMEO_CONF_IGNORE_H
#define MIMEO_CONF_IGNORE_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/attr.h"

#define IGNORE_PATTERNS_MAX 256
#define IGNORE_PATTERN_BYTES_MAX 255
#define IGNORE_PARTS_MAX ((IGNORE_PATTERN_BYTES_MAX + 1) / 2) /* components of one pattern */

/*
 * A set of patterns in the order they were added. The rules:
 *   *  any bytes but '/'       ?  one byte but '/'       \c  the byte c itself
 *   [a-z] [!a-z] [^a-z] [[:digit:]]  one byte (not) of these, never '/'
 *   a leading "**" component: at any depth; a trailing one: everything below; between two others:
 *   any number of directories. Two stars elsewhere are one.
 *   A '/' at the beginning or in the middle ties the pattern to the root; without one it is
 *   compared with the last component alone. A '/' at the end: directories only.
 *   '!' before a pattern takes back what an earlier one ignored. The last one that fits decides.
 *   What is below an ignored directory is ignored, and no '!' brings it back.
 * Unlike in a .gitignore, '#' begins no comment. Bytes are bytes: no locale, no case folding.
 */
struct ignore;

struct ignore *ignore_new(void);      /* NULL: out of memory. Ignores nothing. */
void ignore_free(struct ignore *set); /* NULL is fine */
/*
 * Adds a pattern, which is copied. -EINVAL: ignore_problem says why; -ENOSPC: IGNORE_PATTERNS_MAX
 * are in the set; -ENOMEM. After an error the set is as before.
 */
NODISCARD int ignore_add(struct ignore *set, const char *pattern, size_t len);
/* What is wrong with a pattern, in plain words; NULL: nothing. */
const char *ignore_problem(const char *pattern, size_t len);
/*
 * Is this path, relative to the root, without '/' at either end, ignored? The empty path (the root)
 * never is. Pure and without allocation; time is at most the product of the lengths of path and
 * pattern, for each pattern and each parent of the path.
 */
bool ignore_match(const struct ignore *set, const void *path, size_t len, bool is_dir);
/* Do both ignore the same by the same patterns in the same order? */
bool ignore_equal(const struct ignore *a, const struct ignore *b);

#endif
