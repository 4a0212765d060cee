/* SPDX-License-Identifier: BSD-2-Clause */
/* Renames seen lately: which old name belongs to a new one, and when none can be trusted. */
#include "config.h"

#include "watcher/moves.h"

#include <stdio.h>
#include <string.h>

#include "proto/path.h"
#include "tests/tap.h"

static const char *
origin(struct moves *m, const char *path, uint64_t now_ms, char old[PATH_BYTES_MAX + 1])
{
	old[moves_origin(m, path, strlen(path), old, now_ms)] = '\0';
	return old;
}

static void
move(struct moves *m, uint32_t cookie, const char *from, const char *to, bool tainted, uint64_t now)
{
	moves_from(m, cookie, from, strlen(from), tainted, now);
	if (to != NULL)
		moves_to(m, cookie, to, strlen(to));
}

static void
test_pairs(void)
{
	struct moves *m = moves_new();
	char old[PATH_BYTES_MAX + 1], long_from[PATH_BYTES_MAX - 10];

	is_str(origin(m, "b", 0, old), "", "nothing is remembered");
	move(m, 1, "a", "b", false, 100);
	is_str(origin(m, "b", 100, old), "a", "a file");
	is_str(origin(m, "a", 100, old), "", "its old name comes from nowhere");
	is_str(origin(m, "bb", 100, old), "", "nor does a name that begins like it");
	move(m, 2, "dir", "new/dir", false, 200);
	is_str(origin(m, "new/dir", 200, old), "dir", "a directory");
	is_str(origin(m, "new/dir/x/y", 200, old), "dir/x/y", "and what is below it");
	is_str(origin(m, "new", 200, old), "", "and not what is above it");
	ok(moves_itself(m, "b", 1, 200) && moves_itself(m, "new/dir", 7, 200),
	   "renamed themselves");
	ok(!moves_itself(m, "new/dir/x", 9, 200), "and not what came along");
	ok(!moves_itself(m, "b", 1, 101 + MOVES_KEEP_MS), "nor what was renamed long ago");
	move(m, 3, "gone", NULL, false, 300);
	is_str(origin(m, "gone", 300, old), "", "moved out of the tree");
	moves_to(m, 77, "stranger", 8);
	is_str(origin(m, "stranger", 300, old), "", "moved in from outside");
	move(m, 4, "c", "b", false, 400);
	is_str(origin(m, "b", 400, old), "c", "the newest counts");
	memset(long_from, 'x', sizeof(long_from));
	moves_from(m, 5, long_from, sizeof(long_from), false, 500);
	moves_to(m, 5, "s", 1);
	is_str(origin(m, "s/0123456789012345", 500, old), "",
	       "an old name that is too long is none");
	moves_free(m);
}

static void
test_trust(void)
{
	struct moves *m = moves_new();
	char old[PATH_BYTES_MAX + 1], from[32], to[32];

	move(m, 1, "w", "v", true, 100);
	is_str(origin(m, "v", 100, old), "", "what was written and not logged is not trusted");
	move(m, 2, "a", "b", false, 1000);
	is_str(origin(m, "b", 1000 + MOVES_KEEP_MS, old), "a", "for a while");
	is_str(origin(m, "b", 1001 + MOVES_KEEP_MS, old), "", "and no longer");
	for (uint32_t i = 0; i < MOVES_MAX; i++) {
		snprintf(from, sizeof(from), "f%u", i);
		snprintf(to, sizeof(to), "t%u", i);
		move(m, 100 + i, from, to, false, 2000);
	}
	is_str(origin(m, "b", 2000, old), "", "the oldest are forgotten");
	is_str(origin(m, "t0", 2000, old), "f0", "and no others");
	moves_free(m);
	moves_free(NULL);
}

int
main(void)
{
	test_pairs();
	test_trust();
	return tap_done();
}
