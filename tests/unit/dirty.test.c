/* SPDX-License-Identifier: BSD-2-Clause */
/* The set of names to look at: when each is due, what holds up an answer, limits. */
#include "config.h"

#include "watcher/dirty.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "proto/path.h"
#include "tests/tap.h"

#define SETTLE 500

static int
add(struct dirty *d, const char *path, uint64_t now)
{
	return dirty_add(d, path, strlen(path), now);
}

/* The next name that is due is this one (NULL: none is). */
static struct dirty_name *
take(struct dirty *d, uint64_t now, const char *want)
{
	struct dirty_name *n = dirty_take(d, now);

	if (want == NULL)
		ok(n == NULL, "nothing is due at %d", (int)now);
	else
		ok(n != NULL && n->len == strlen(want) && memcmp(n->path, want, n->len) == 0,
		   "%s is due at %d", want, (int)now);
	return n;
}

static void
test_settle(void)
{
	struct dirty *d = dirty_new(SETTLE, 1);
	struct dirty_name *n;

	ok(add(d, "a", 1000) == 0 && add(d, "b", 1001) == 0 && add(d, "a", 1002) == 0, "two names");
	is_int((int)dirty_count(d), 2, "each once");
	is_int((int)dirty_deadline(d), 1001, "due at once");
	n = take(d, 1002, "a");
	dirty_done(d, n, 1002, NULL, 0);
	n = take(d, 1002, "b");
	take(d, 1002, NULL);
	is_int((int)dirty_count(d), 1, "what is in hand still counts");
	ok(add(d, "b", 1003) == 0, "it changes while it is in hand");
	dirty_done(d, n, 1004, NULL, 0);
	take(d, 1004, NULL);
	is_int((int)dirty_deadline(d), 1004 + SETTLE, "then it is due when it was quiet");
	ok(add(d, "a", 1100) == 0, "one that was dealt with just now");
	take(d, 1100 + SETTLE - 100, NULL);
	ok(add(d, "a", 1500) == 0, "changes again");
	n = take(d, 1004 + SETTLE, "b");
	dirty_done(d, n, 1004 + SETTLE, NULL, 0);
	take(d, 1500 + SETTLE - 1, NULL);
	n = take(d, 1500 + SETTLE, "a");
	dirty_done(d, n, 1500 + SETTLE, NULL, 0);
	is_int((int)dirty_count(d), 0, "all dealt with");
	ok(dirty_deadline(d) == UINT64_MAX, "nothing is due");
	take(d, 10000, NULL);
	ok(add(d, "a", 10001) == 0 && dirty_deadline(d) == 10001, "long after, at once again");
	dirty_free(d);
}

static bool
collect(void *arg, const struct dirty_name *n)
{
	char *text = arg;

	strcat(text, n->reason);
	return strlen(text) < 6;
}

static void
test_answers(void)
{
	struct dirty *d = dirty_new(SETTLE, 2);
	char text[64] = "";
	struct dirty_name *n;
	uint64_t stamp;

	ok(add(d, "a", 1) == 0 && add(d, "b", 1) == 0 && add(d, "c", 1) == 0, "names");
	stamp = dirty_stamp(d);
	ok(add(d, "late", 2) == 0, "names");
	ok(!dirty_clean_before(d, stamp), "names are not dealt with");
	dirty_done(d, dirty_take(d, 2), 2, NULL, 0);
	dirty_done(d, dirty_take(d, 2), 2, "why", 100);
	dirty_done(d, dirty_take(d, 2), 2, "how", 100);
	ok(dirty_clean_before(d, stamp), "dealt with, or with a reason; later ones do not count");
	ok(!dirty_clean_before(d, dirty_stamp(d)), "but in the next question");
	dirty_each_reason(d, collect, text);
	is_str(text, "whyhow", "the reasons");
	dirty_done(d, dirty_take(d, 2), 2, NULL, 0);
	is_int((int)dirty_deadline(d), 102, "those with a reason are tried again");
	n = take(d, 102, "b");
	ok(n != NULL && n->tries == 1, "and counted");
	dirty_done(d, n, 102, "", 1000);
	n->reason = NULL;
	ok(!dirty_clean_before(d, stamp), "one that will be logged soon holds the answer up");
	ok(dirty_add_late(d, "old", 3, 200) == 0 && !dirty_clean_before(d, 1),
	   "so does one from before");
	ok(dirty_has(d, "c", 1) && !dirty_has(d, "a", 1), "what waits");
	ok(add(d, "dir/x", 300) == 0, "names");
	ok(dirty_below(d, "dir", 3) && dirty_below(d, "dir/x", 5) && !dirty_below(d, "di", 2),
	   "and where");
	dirty_free(d);
}

static void
test_limits(void)
{
	struct dirty *d = dirty_new(SETTLE, 3);
	char path[PATH_BYTES_MAX + 1];
	bool good = true;

	memset(path, 'p', sizeof(path));
	ok(add(d, "", 1) == 0 && dirty_add(d, path, sizeof(path), 1) == 0 && dirty_count(d) == 0,
	   "the root, and what cannot be a name, are not taken");
	for (int i = 0; i < DIRTY_MAX && good; i++) {
		snprintf(path, sizeof(path), "%d", i);
		good = add(d, path, 1) == 0;
	}
	ok(good, "many names");
	is_int(add(d, "more", 1), -ENOBUFS, "one too many");
	is_int(add(d, "7", 2), 0, "those that are there are taken");
	dirty_free(d);
	dirty_free(NULL);
}

int
main(void)
{
	test_settle();
	test_answers();
	test_limits();
	return tap_done();
}
