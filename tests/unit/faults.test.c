/* SPDX-License-Identifier: BSD-2-Clause */
/* One call of the C library fails, or is the last one before the agent is killed, while it applies
 * what another node did: nothing is lost, what is said names path and error, and it goes on. */
#include "config.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/seeded.h"
#include "tests/tap.h"
#include "tests/unit/nodes.h"

#define SETTLE_MS 120000
#define SMALL 100   /* is inlined */
#define MIDDLE 5000 /* is fetched, and as a delta */
#define LARGE 700000

/* Every content that a user of the story ever writes. */
struct content {
	unsigned id, version;
	size_t size;
};

static const struct content written[] = {
	{1, 0, SMALL},      {1, 1, SMALL + 1},  {2, 0, MIDDLE}, {2, 1, MIDDLE},  {3, 0, SMALL},
	{4, 0, MIDDLE},     {5, 0, MIDDLE},     {6, 0, LARGE},  {7, 0, SMALL},   {8, 0, MIDDLE},
	{9, 0, SMALL},      {10, 0, MIDDLE},    {11, 0, SMALL}, {13, 0, MIDDLE}, {12, 0, SMALL},
	{12, 1, SMALL + 3}, {12, 2, SMALL + 7},
};

static void
put(struct machine *m, const char *path, unsigned id, unsigned version)
{
	for (size_t i = 0; i < ARRAY_LEN(written); i++)
		if (written[i].id == id && written[i].version == version) {
			user_fill(m, path, id, version, written[i].size);
			return;
		}
	abort();
}

/* What both show when the story begins. */
static void
before(struct nodes *all)
{
	struct machine *a = nodes_at(all, 0);

	put(a, "edited", 1, 0);
	put(a, "patched", 2, 0);
	put(a, "deleted", 3, 0);
	put(a, "moved", 4, 0);
	put(a, "dressed", 5, 0);
	put(a, "becomes-dir", 9, 0);
	put(a, "both", 12, 0);
	user_mkdir(a, "gone");
	put(a, "gone/below", 7, 0);
	user_mkdir(a, "becomes-file");
	put(a, "becomes-file/below", 11, 0);
	user_mkdir(a, "stays");
	user_link(a, "edited", "link");
}

static void
story(struct nodes *all)
{
	struct machine *a = nodes_at(all, 0);

	put(a, "edited", 1, 1);
	put(a, "patched", 2, 1);
	user_remove(a, "deleted");
	user_move(a, "moved", "stays/moved");
	user_chmod(a, "dressed", 0600);
	user_chmod(a, "stays", 0700);
	put(a, "large", 6, 0);
	user_remove(a, "gone/below");
	user_remove(a, "gone");
	user_remove(a, "becomes-dir");
	user_mkdir(a, "becomes-dir");
	put(a, "becomes-dir/below", 10, 0);
	user_remove(a, "becomes-file/below");
	user_remove(a, "becomes-file");
	put(a, "becomes-file", 13, 0);
	user_remove(a, "link");
	user_link(a, "patched", "link");
	user_mkdir(a, "new");
	put(a, "new/file", 8, 0);
}

/* Both edit one file while they do not see each other. */
static void
clash(struct nodes *all)
{
	nodes_part(all, true);
	put(nodes_at(all, 0), "both", 12, 1);
	put(nodes_at(all, 1), "both", 12, 2);
	if (!nodes_settle(all, SETTLE_MS))
		printf("Bail out! apart they do not settle\n"), abort();
	nodes_part(all, false);
}

static bool
nothing_lost(struct nodes *all)
{
	bool all_there = true;

	for (size_t i = 0; i < ARRAY_LEN(written); i++)
		if (!(written[i].id == 12 &&
		      written[i].version == 0) && /* both users wrote over it */
		    !nodes_have_fill(all, written[i].id, written[i].version, written[i].size)) {
			diag("content %u.%u of %zu bytes is gone", written[i].id,
			     written[i].version, written[i].size);
			all_there = false;
		}
	return all_there;
}

/* Every line of a failure names the path and the error, and no peer is blamed for it. */
static bool
said_well(struct machine *m)
{
	const char *line = machine_said(m);

	if (line != NULL && strstr(line, " fetch.hash ") != NULL) {
		diag("content is said to be wrong");
		return false;
	}
	while (line != NULL && (line = strstr(line, " apply.failed ")) != NULL) {
		const char *end = strchr(line, '\n'), *path = strstr(line, " path="),
			   *error = strstr(line, " error=");

		if (path == NULL || error == NULL || path > end || error > end) {
			diag("said: %.*s", (int)(end - line), line);
			return false;
		}
		line = end;
	}
	return true;
}

/* One story with one fault. Returns whether the fault happened. */
static bool
tell(const struct fault *f, bool *good)
{
	struct nodes *all = nodes_new(&(struct nodes_opts){.n = 2});
	struct machine *b = nodes_at(all, 1);
	const char *what;
	bool happened;

	before(all);
	*good = nodes_settle(all, SETTLE_MS);
	if (!*good)
		diag("they do not begin the same");
	clash(all);
	machine_fault(b, f);
	story(all);
	if (!nodes_settle(all, SETTLE_MS)) {
		diag("with the fault it does not end");
		*good = false;
	}
	happened = machine_faulted(b);
	machine_fault(b, NULL);
	if (!nodes_settle(all, SETTLE_MS) || !nodes_same(all)) {
		diag("they do not end the same");
		*good = false;
	}
	*good = nothing_lost(all) && said_well(b) && *good;
	if (!*good)
		diag("it said:\n%s", machine_said(b));
	if (!*good && machine_fatal(b, &what) < 0)
		diag("it ended: %s: %s", what, strerror(-machine_fatal(b, NULL)));
	nodes_free(all);
	return happened;
}

/* Errors that such a call can have. */
static const struct way {
	enum fault_class class;
	int error; /* 0: killed instead */
} ways[] = {
	{FAULT_OPEN, EACCES},   {FAULT_OPEN, EMFILE},  {FAULT_OPEN, EIO},
	{FAULT_OPEN, 0},        {FAULT_STAT, EIO},     {FAULT_STAT, ESTALE},
	{FAULT_STAT, ENOMEM},   {FAULT_RENAME, EIO},   {FAULT_RENAME, ENOSPC},
	{FAULT_RENAME, EACCES}, {FAULT_RENAME, 0},     {FAULT_UNLINK, EIO},
	{FAULT_UNLINK, EACCES}, {FAULT_UNLINK, 0},     {FAULT_MKDIR, ENOSPC},
	{FAULT_MKDIR, EACCES},  {FAULT_MKDIR, EROFS},  {FAULT_MKDIR, 0},
	{FAULT_META, EPERM},    {FAULT_META, EIO},     {FAULT_META, EROFS},
	{FAULT_META, 0},        {FAULT_READ, EIO},     {FAULT_READ, ESTALE},
	{FAULT_WRITE, ENOSPC},  {FAULT_WRITE, EIO},    {FAULT_WRITE, EDQUOT},
	{FAULT_WRITE, 0},       {FAULT_LIST, EIO},     {FAULT_LIST, EACCES},
	{FAULT_SYNC, EIO},      {FAULT_SYNC, ENOSPC},  {FAULT_SYNC, 0},
	{FAULT_SPACE, EIO},     {FAULT_SPACE, ESTALE}, {FAULT_MEMORY, ENOMEM},
};

/*
 * Every call in turn, each with the error or kill that is its turn, or with all of them. `every`:
 * of so many calls one, another one in each way.
 */
static void
sweep(const struct way *w, unsigned every)
{
	unsigned tried = 0, bad = 0, first = 1 + (unsigned)(w - ways) % every;

	for (unsigned k = first;; k += every) {
		struct fault f = {.class = w->class,
				  .at = k,
				  .last = k,
				  .error = w->error,
				  .kill = w->error == 0};
		bool good;

		if (!tell(&f, &good) && good)
			break;
		tried++;
		bad += !good;
		if (!good)
			diag("call %u of %s: %s", k, fault_name(w->class),
			     f.kill ? "killed" : strerror(f.error));
		if (bad > 3)
			break;
	}
	is_int(bad, 0, "%s, %s, at %u calls", fault_name(w->class),
	       w->error != 0 ? strerror(w->error) : "killed", tried);
}

int
main(void)
{
	const char *env = getenv("FAULTS_EVERY"), *only = getenv("FAULTS_CLASS");
	unsigned long every = env != NULL ? strtoul(env, NULL, 10) : 60;
	bool good;

	if (every < 1 || every > UINT_MAX)
		return 2;
	(void)tell(&(struct fault){0}, &good);
	ok(good, "without a fault");
	for (size_t i = 0; i < ARRAY_LEN(ways); i++)
		if (only == NULL || strcmp(only, fault_name(ways[i].class)) == 0)
			sweep(&ways[i], (unsigned)every);
	return tap_done();
}
