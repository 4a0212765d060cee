/* SPDX-License-Identifier: BSD-2-Clause */
/* Names to look at: when they are due, and when a question about them can be answered. */
#include "config.h"

#include <errno.h>
#include <string.h>

#include "proto/path.h"
#include "tests/tap.h"
#include "watcher/dirty.h"

#define SETTLE_MS 200

static struct dirty *
with(const char *name, uint64_t now_ms)
{
	struct dirty *d = dirty_new(SETTLE_MS, 1);

	ok(d != NULL && dirty_add(d, name, strlen(name), now_ms) == 0, "%s is to be looked at",
	   name);
	return d;
}

static void
test_settle(void)
{
	struct dirty *d = with("a", 1000);
	struct dirty_name *n = dirty_take(d, 1000);

	ok(n != NULL && n->len == 1 && n->path[0] == 'a' && dirty_take(d, 1000) == NULL,
	   "at once, and once");
	ok(dirty_has(d, "a", 1) && !dirty_has(d, "b", 1), "it is there until it is done");
	dirty_done(d, n, 1010, NULL, 0);
	ok(!dirty_has(d, "a", 1) && dirty_count(d) == 0, "done");
	is_int(dirty_add(d, "a", 1, 1100), 0, "it changes again soon");
	is_int(dirty_deadline(d), 1300, "then it is due when it was quiet");
	ok(dirty_take(d, 1299) == NULL && dirty_take(d, 1300) != NULL, "and not before");
	dirty_free(d);
}

static void
test_again(void)
{
	struct dirty *d = with("a", 1000);
	struct dirty_name *n = dirty_take(d, 1000);

	is_int(dirty_add(d, "a", 1, 1001), 0, "it changes while it is in hand");
	dirty_done(d, n, 1002, NULL, 0);
	ok(dirty_has(d, "a", 1), "so it is not done");
	is_int(dirty_deadline(d), 1202, "but looked at again");
	dirty_free(d);
}

/* A question is answered when everything that changed before it was dealt with. */
static void
test_question(void)
{
	struct dirty *d = with("a", 1000);
	uint64_t q = dirty_ask(d, 1000);
	struct dirty_name *n;

	is_int(dirty_add(d, "b", 1, 1000), 0, "another changes after the question");
	ok(!dirty_clean_before(d, q), "not yet");
	n = dirty_take(d, 1000);
	ok(!dirty_clean_before(d, q), "nor while it is in hand");
	dirty_done(d, n, 1001, NULL, 0);
	ok(dirty_clean_before(d, q), "the one behind it does not count");
	dirty_free(d);
}

/* That somebody had it open before the question says nothing about now. */
static void
test_reason_of_the_moment(void)
{
	struct dirty *d = with("a", 1000);
	struct dirty_name *n = dirty_take(d, 1000);
	uint64_t q;

	dirty_done(d, n, 1001, "open", DIRTY_SOON_MS);
	is_int(dirty_deadline(d), 1001 + DIRTY_SOON_MS, "it is looked at again later");
	q = dirty_ask(d, 1010);
	is_int(dirty_deadline(d), 1010, "asked: at once");
	ok(!dirty_clean_before(d, q), "and there is no answer before");
	n = dirty_take(d, 1010);
	ok(n != NULL && !dirty_clean_before(d, q), "nor while it is tried");
	dirty_done(d, n, 1011, "open", DIRTY_SOON_MS);
	ok(dirty_clean_before(d, q), "still open: that is an answer");
	is_int(dirty_deadline(d), 1011 + DIRTY_SOON_MS, "and it is left alone again");
	dirty_free(d);
}

/* The question comes while the try is under way that finds it open. */
static void
test_asked_meanwhile(void)
{
	struct dirty *d = with("a", 1000);
	struct dirty_name *n = dirty_take(d, 1000);
	uint64_t q = dirty_ask(d, 1001);

	dirty_done(d, n, 1002, "open", DIRTY_SOON_MS);
	ok(!dirty_clean_before(d, q), "that try began before the question");
	is_int(dirty_deadline(d), 1002, "it is tried again at once");
	n = dirty_take(d, 1002);
	dirty_done(d, n, 1003, NULL, 0);
	ok(dirty_clean_before(d, q), "now it is closed, and logged");
	dirty_free(d);
}

static void
test_lasting_reason(void)
{
	struct dirty *d = with("a", 1000);
	struct dirty_name *n = dirty_take(d, 1000);
	uint64_t q;

	dirty_done(d, n, 1001, "no permission", DIRTY_SOON_MS + 1);
	q = dirty_ask(d, 1010);
	ok(dirty_clean_before(d, q), "a reason that lasts is an answer");
	is_int(dirty_deadline(d), 1002 + DIRTY_SOON_MS, "and is not looked at for every question");
	dirty_free(d);
}

static void
test_late(void)
{
	struct dirty *d = with("a", 1000);
	uint64_t q = dirty_ask(d, 1000);
	struct dirty_name *n = dirty_take(d, 1000);

	dirty_done(d, n, 1001, NULL, 0);
	is_int(dirty_add_late(d, "b", 1, 1002), 0, "what changed before, and is found now");
	ok(!dirty_clean_before(d, q), "holds up the answer");
	dirty_free(d);
}

static void
test_below(void)
{
	struct dirty *d = with("a/b", 1000);

	ok(dirty_below(d, "a", 1) && dirty_below(d, "a/b", 3), "at and below");
	ok(!dirty_below(d, "ab", 2) && !dirty_below(d, "a/bc", 4), "and not beside");
	dirty_free(d);
}

static int
add(struct dirty *d, const char *path, uint64_t now_ms)
{
	return dirty_add(d, path, strlen(path), now_ms);
}

static void
test_limits(void)
{
	struct dirty *d = dirty_new(SETTLE_MS, 3);
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
	test_again();
	test_question();
	test_reason_of_the_moment();
	test_asked_meanwhile();
	test_lasting_reason();
	test_late();
	test_below();
	test_limits();
	return tap_done();
}
