/* SPDX-License-Identifier: BSD-2-Clause */
/* The brake on mass deletes, the trash's limits, and who owns what is created: whole nodes in one
 * process. */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/apply.h"
#include "agent/brake.h"
#include "agent/commit.h"
#include "agent/store.h"
#include "tests/unit/settle.h"

#define DAY_MS (24ull * 3600 * 1000)
#define FILES 12
#define SMALL 100
#define MIDDLE 5000

static const char *
name_of(unsigned i)
{
	static char name[16];

	snprintf(name, sizeof(name), "f%u", i);
	return name;
}

static struct nodes *
begin(const char *more)
{
	struct nodes *all = nodes_new(&(struct nodes_opts){.n = 2, .more = more});

	for (unsigned i = 0; i < FILES; i++)
		user_fill(nodes_at(all, 0), name_of(i), i, 0, SMALL + i);
	settle(all, "a dozen files");
	return all;
}

static void
delete_files(struct machine *m, unsigned from, unsigned n)
{
	for (unsigned i = from; i < from + n; i++)
		user_remove(m, name_of(i));
}

static unsigned
shown(struct machine *m)
{
	unsigned n = 0;

	for (unsigned i = 0; i < FILES; i++)
		n += user_sees_fill(m, name_of(i), i, 0, SMALL + i);
	return n;
}

static uint64_t
held(struct machine *m)
{
	return dotset_count(&machine_node(m)->index->held);
}

/* What `mimeo resume --accept-deletes` does. */
static void
accept(struct nodes *all, struct machine *m)
{
	struct node *n = machine_node(m);

	commit_put(n->commit, &(struct entry){.type = ENTRY_PAUSE, .num = 0});
	commit_put(n->commit, &(struct entry){.type = ENTRY_HELD});
	brake_accept(n->brake);
	nodes_run(all, 100);
	apply_kick(n->apply);
}

static const char *
why(struct machine *m, const char *path)
{
	struct node *n = machine_node(m);
	const struct pathent *e = index_find(n->index, path, strlen(path));

	return e != NULL ? apply_explain(n->apply, e).state : "";
}

#define BRAKE "[guard]\nmax_delete = 4, 1%\n"

static void
test_held(void)
{
	struct nodes *all = begin(BRAKE);
	struct machine *a = nodes_at(all, 0), *b = nodes_at(all, 1);

	delete_files(a, 0, 6);
	nodes_run(all, 20000);
	is_int(shown(b), FILES, "nothing is deleted");
	is_int(held(b), 6, "six are held");
	is_str(why(b, "f0"), "held", "explained");
	ok(strstr(machine_said(b), "guard.held") != NULL, "said");

	machine_kill_agent(b);
	nodes_run(all, 20000);
	is_int(held(b), 6, "still held after a restart");
	is_int(shown(b), FILES, "still nothing is deleted");

	/* One of them is written again, and not held any more; one is removed by a user here. */
	user_fill(a, "f0", 0, 1, SMALL);
	user_remove(b, "f1");
	nodes_run(all, 20000);
	is_int(held(b), 5, "what was overtaken is held no longer");

	delete_files(a, 6, 1);
	nodes_run(all, 20000);
	is_int(held(b), 6, "what follows is held, too");
	accept(all, b);
	settle(all, "accepted");
	is_int(held(b), 0, "nothing is held");
	is_int(shown(b), 5, "they are gone");
	ok(nodes_same(all), "both show the same");
	delete_files(a, 7, 3);
	settle(all, "the count has begun anew");
	is_int(shown(b), 2, "a few more go");
	nodes_free(all);
}

/* No rename is a delete, even if its two halves come apart. */
static void
test_renames(void)
{
	struct nodes *all = begin(BRAKE);
	struct machine *a = nodes_at(all, 0), *b = nodes_at(all, 1);
	char to[32];

	user_mkdir(a, "dir");
	for (unsigned i = 0; i < FILES; i++) {
		snprintf(to, sizeof(to), "dir/f%u", i);
		user_move(a, name_of(i), to);
	}
	settle(all, "a dozen renames");
	is_int(held(b), 0, "nothing is held");
	ok(nodes_same(all), "both show the same");
	nodes_free(all);
}

/* Deletes first, and the new names when they were seen already. */
static void
test_forgiven(void)
{
	struct nodes *all = begin(BRAKE);
	struct machine *a = nodes_at(all, 0), *b = nodes_at(all, 1);
	char to[32];

	delete_files(a, 0, 6);
	nodes_run(all, 20000);
	is_int(held(b), 6, "six are held");
	for (unsigned i = 0; i < 6; i++) {
		snprintf(to, sizeof(to), "new%u", i);
		user_fill(a, to, i, 0, SMALL + i);
	}
	settle(all, "what was deleted came back under other names");
	is_int(held(b), 0, "nothing is held");
	ok(nodes_same(all), "both show the same");
	nodes_free(all);
}

static void
test_window(void)
{
	struct nodes *all = begin(BRAKE);
	struct machine *a = nodes_at(all, 0), *b = nodes_at(all, 1);

	for (unsigned i = 0; i < FILES; i += 3) {
		delete_files(a, i, 3);
		settle(all, "three deletes");
		nodes_jump(all, BRAKE_WINDOW_MS + 1000);
		settle(all, "and a pause");
	}
	is_int(shown(b), 0, "few at a time are believed");
	is_int(held(b), 0, "none is held");
	nodes_free(all);
}

/* Held ones of a time long ago, and new ones. */
static void
test_old_held(void)
{
	struct nodes *all = begin(BRAKE);
	struct machine *a = nodes_at(all, 0), *b = nodes_at(all, 1);

	delete_files(a, 0, 6);
	nodes_run(all, 20000);
	nodes_jump(all, 2 * BRAKE_WINDOW_MS);
	delete_files(a, 6, 2);
	nodes_run(all, 20000);
	is_int(held(b), 6, "those of then are held, two of now are not");
	is_int(shown(b), FILES - 2, "those two are gone");
	for (unsigned i = 0; i < 3; i++)
		user_fill(a, name_of(i), i, 1, SMALL + i);
	nodes_run(all, 20000);
	is_int(held(b), 3, "overtaken ones are forgotten");
	accept(all, b);
	settle(all, "accepted");
	ok(nodes_same(all), "both show the same");
	nodes_free(all);
}

/* ---- the trash's limits ---- */

static uint64_t
kept(struct machine *m)
{
	return machine_node(m)->index->kept_bytes;
}

static void
test_full(void)
{
	struct nodes *all = nodes_new(
		&(struct nodes_opts){.n = 2, .more = "[trash]\nmax_size = 12000\nkeep = 10d\n"});
	struct machine *a = nodes_at(all, 0), *b = nodes_at(all, 1);

	for (unsigned i = 0; i < 5; i++)
		user_fill(a, name_of(i), i, 0, MIDDLE);
	settle(all, "five files");
	user_remove(a, "f0");
	settle(all, "one is deleted");
	user_remove(a, "f1");
	settle(all, "two are");
	user_remove(a, "f2");
	user_remove(a, "f3");
	nodes_run(all, 60000);
	ok(user_sees_fill(b, "f2", 2, 0, MIDDLE), "for the third there is no room");
	is_str(why(b, "f2"), "waiting", "it waits");
	ok(strstr(machine_said(b), "trash.full") != NULL, "said");
	is_int(kept(b), 2 * MIDDLE, "two are kept");

	machine_conf(b)->trash_max_size = 3 * MIDDLE;
	node_reconfigured(machine_node(b));
	nodes_run(all, 60000);
	ok(user_sees(b, "f2", NULL, 0) || user_sees(b, "f3", NULL, 0), "now there is for one");
	is_int(kept(b), 3 * MIDDLE, "three are kept");

	nodes_jump(all, DAY_MS + 1000);
	settle(all, "a day later the oldest makes room");
	ok(user_sees(b, "f2", NULL, 0) && user_sees(b, "f3", NULL, 0), "all four are deleted");
	ok(kept(b) <= 3 * MIDDLE, "within the limit");
	nodes_jump(all, 10 * DAY_MS);
	nodes_run(all, 2 * STORE_LOOK_MS);
	is_int(kept(b), 0, "after trash.keep nothing is left");
	ok(!nodes_have_fill(all, 3, 0, MIDDLE), "no file either");
	nodes_free(all);
}

/* A file larger than the whole trash. */
static void
test_too_large(void)
{
	struct nodes *all =
		nodes_new(&(struct nodes_opts){.n = 2, .more = "[trash]\nmax_size = 1000\n"});
	struct machine *a = nodes_at(all, 0), *b = nodes_at(all, 1);

	user_fill(a, "large", 1, 0, MIDDLE);
	settle(all, "a file");
	user_remove(a, "large");
	settle(all, "into an empty trash it goes all the same");
	ok(user_sees(b, "large", NULL, 0), "it is deleted");
	is_int(kept(b), MIDDLE, "and kept");
	nodes_free(all);
}

/* ---- owners ---- */

static void
test_owner(const char *more, uid_t uid, const char *what)
{
	struct nodes *all = nodes_new(&(struct nodes_opts){.n = 2, .more = more});
	struct machine *a = nodes_at(all, 0), *b = nodes_at(all, 1);
	char path[NODES_PATH_BYTES];
	struct stat st;

	user_mkdir(a, "dir");
	user_fill(a, "dir/file", 1, 0, MIDDLE);
	user_fill(a, "file", 2, 0, SMALL);
	settle(all, what);
	snprintf(path, sizeof(path), "%s/dir/file", machine_root(a));
	if (geteuid() == 0 && chown(path, 1, 1) < 0)
		abort();
	user_fill(a, "dir/file", 1, 1, MIDDLE);
	settle(all, "written again");
	ok(nodes_same(all), "%s: both show the same", what);
	snprintf(path, sizeof(path), "%s/dir/file", machine_root(b));
	if (geteuid() != 0)
		uid = geteuid();
	ok(stat(path, &st) == 0, "it is there");
	is_int(st.st_uid, uid, "%s: its owner", what);
	nodes_free(all);
}

/* ---- a whole tree comes from a backup ---- */

static unsigned
shown_version(struct machine *m, unsigned version)
{
	unsigned n = 0;

	for (unsigned i = 0; i < FILES; i++)
		n += user_sees_fill(m, name_of(i), i, version, SMALL + i);
	return n;
}

static void
test_backup(unsigned files, bool meant)
{
	struct nodes *all = begin(BRAKE);
	struct machine *a = nodes_at(all, 0), *b = nodes_at(all, 1);
	bool held_back = files > 4;

	for (unsigned i = 0; i < FILES; i++)
		user_fill(a, name_of(i), i, 1, SMALL + i);
	settle(all, "a second version of each");
	machine_stop(a);
	for (unsigned i = 0; i < files; i++) {
		user_fill(a, name_of(i), i, 0, SMALL + i);
		user_touch(a, name_of(i), INT64_C(1500000000000000000));
	}
	machine_start(a);
	nodes_run(all, 60000);
	is_int(shown_version(b, 0), held_back ? 0 : files, "%u went back to the first: here",
	       files);
	is_int(core_stats(machine_core(a)).held, held_back ? files : 0, "held");
	ok((strstr(machine_said(a), "guard.held") != NULL) == held_back, "and said");
	if (held_back && meant) {
		accept(all, a);
		nodes_run(all, 20000);
		is_int(shown_version(b, 0), files, "accepted, it goes on");
	} else if (held_back) {
		for (unsigned i = 0; i < files; i++)
			user_fill(a, name_of(i), i, 2, SMALL + i);
		nodes_run(all, 20000);
		is_int(shown_version(b, 2), files, "what is written now goes on");
		is_int(core_stats(machine_core(a)).held, 0, "nothing is held any more");
	}
	settle(all, "all is well");
	ok(nodes_same(all), "both show the same");
	nodes_free(all);
}

int
main(void)
{
	test_backup(3, false);
	test_backup(FILES, false);
	test_backup(FILES, true);
	test_held();
	test_renames();
	test_forgiven();
	test_window();
	test_old_held();
	test_full();
	test_too_large();
	/* User 1 is daemon on every Debian. */
	test_owner(NULL, geteuid(), "of the directory");
	test_owner("owner = preserve\n", 1, "as on the other node");
	test_owner("owner = daemon:daemon\n", 1, "a fixed one");
	test_owner("owner = nobody-has-this:name\n", geteuid(), "one that does not exist");
	return tap_done();
}
