/* SPDX-License-Identifier: BSD-2-Clause */
/* What the programs of a machine do to its tree. A thing that cannot be done does nothing, so any
 * part of a history is a history. */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/path.h"
#include "tests/simulator/sim.h"

/* Few names collide more. */
static const char *const files[] = {"a", "b", "c", "d/a", "d/b", "d/s/a", "e/a", "e/x", "d/s/y"};
static const char *const dirs[] = {"d", "e", "d/s", "e/t", "f"};
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

struct user_write {
	struct inode *inode;
	struct buf rest;
	struct user_write *next;
};

static struct inode *
at(const struct host *h, const char *path)
{
	struct inode *i;

	return disk_find(h->disk, path, strlen(path), &i) == 0 ? i : NULL;
}

static bool
is_open(const struct host *h, const struct inode *i)
{
	for (const struct user_write *w = h->writes; w != NULL; w = w->next)
		if (w->inode == i)
			return true;
	return false;
}

/* ---- telling the ledger ---- */

static void
touch_below(struct host *h, struct inode *i, const char *path)
{
	ledger_touch(h->sim->ledger, h, path);
	if (i == NULL)
		return;
	if (i->kind != KIND_DIR) {
		if (!is_open(h, i))
			ledger_seen(h->sim->ledger, h, path, i);
		return;
	}
	for (const struct dent *e = i->dent; e != NULL; e = e->next) {
		char sub[512];

		if (e->live == NULL)
			continue;
		snprintf(sub, sizeof(sub), "%s/%.*s", path, (int)e->len, e->name);
		touch_below(h, e->live, sub);
	}
}

static void
touch(struct host *h, const char *path)
{
	touch_below(h, at(h, path), path);
}

void
user_survey(struct host *h)
{
	for (const struct dent *e = h->disk->root->dent; e != NULL; e = e->next)
		if (e->live != NULL)
			touch_below(h, e->live, e->name);
}

/* ---- content ---- */

/* Unlike everything written before, but alike enough for a delta to win. */
static void
content(struct host *h, struct rng *rng, struct buf *out)
{
	static const size_t sizes[] = {0, 1, 24, 200, 301, 900, 2500, 6000};
	size_t size = sizes[rng_below(rng, COUNT(sizes))];
	char head[32];

	snprintf(head, sizeof(head), "%s:%llu.", h->name, (unsigned long long)++h->sim->next_token);
	if (size > 0)
		buf_put(out, head, strlen(head));
	for (uint64_t x = 7; out->len < size; x = x * 6364136223846793005u + 1442695040888963407u)
		buf_put_u8(out, (uint8_t)(x >> 33));
}

/* ---- what may be done ---- */

static bool
parent_of(struct host *h, const char *path, struct inode **dir, const char **name, size_t *len)
{
	return disk_parent(h->disk, path, strlen(path), dir, name, len) == 0;
}

static void
make_dir(struct host *h, const char *path)
{
	struct inode *dir;
	const char *name;
	size_t len;

	if (at(h, path) != NULL || !parent_of(h, path, &dir, &name, &len))
		return;
	disk_make(h->disk, dir, name, len, KIND_DIR, 0755);
	touch(h, path);
}

static void
make_parents(struct host *h, const char *path)
{
	char up[512];

	for (const char *p = strchr(path, '/'); p != NULL; p = strchr(p + 1, '/')) {
		snprintf(up, sizeof(up), "%.*s", (int)(p - path), path);
		make_dir(h, up);
	}
}

/* A file of that name, made or there already. */
static struct inode *
file_at(struct host *h, const char *path)
{
	struct inode *dir, *i;
	const char *name;
	size_t len;

	make_parents(h, path);
	if (!parent_of(h, path, &dir, &name, &len))
		return NULL;
	i = disk_lookup(dir, name, len);
	if (i == NULL)
		i = disk_make(h->disk, dir, name, len, KIND_FILE, 0644);
	/* The open waits as long as the agent holds it, which is until this is over. */
	return i->kind == KIND_FILE && i->holders == 0 ? i : NULL;
}

static void
write_all(struct host *h, const char *path, struct rng *rng)
{
	struct inode *i = file_at(h, path);
	struct buf b = {0};

	if (i == NULL)
		return;
	content(h, rng, &b);
	i->writers++;
	disk_truncate(h->disk, i, 0);
	disk_write(h->disk, i, 0, b.data, b.len);
	disk_closed_write(h->disk, i);
	touch(h, path);
	buf_free(&b);
}

static void
write_slowly(struct host *h, const char *path, struct rng *rng)
{
	struct inode *i = file_at(h, path);
	struct user_write *w;

	if (i == NULL || i->writers > 0)
		return;
	w = calloc(1, sizeof(*w));
	if (w == NULL)
		abort();
	content(h, rng, &w->rest);
	i->writers++;
	disk_truncate(h->disk, i, 0);
	disk_write(h->disk, i, 0, w->rest.data, w->rest.len / 2);
	w->inode = i;
	w->next = h->writes;
	h->writes = w;
	ledger_touch(h->sim->ledger, h, path);
}

static void
close_one(struct host *h)
{
	struct user_write *w = h->writes;
	char path[512];

	h->writes = w->next;
	disk_write(h->disk, w->inode, 0, w->rest.data, w->rest.len);
	disk_closed_write(h->disk, w->inode);
	if (disk_path(h->disk, w->inode, path, sizeof(path)))
		touch(h, path);
	buf_free(&w->rest);
	free(w);
}

void
user_close(struct host *h)
{
	while (h->writes != NULL)
		close_one(h);
}

void
user_forget(struct host *h)
{
	while (h->writes != NULL) {
		struct user_write *w = h->writes;

		h->writes = w->next;
		buf_free(&w->rest);
		free(w);
	}
}

/* As editors save: another file, moved over. */
static void
replace(struct host *h, const char *path, struct rng *rng)
{
	struct inode *dir, *i;
	const char *name;
	char temp[512];
	size_t len;

	make_parents(h, path);
	if (!parent_of(h, path, &dir, &name, &len))
		return;
	i = disk_lookup(dir, name, len);
	if (i != NULL && i->kind == KIND_DIR)
		return;
	snprintf(temp, sizeof(temp), "%.*s.new", (int)(name - path), path);
	write_all(h, temp, rng);
	i = at(h, temp);
	if (i == NULL || i->kind != KIND_FILE)
		return;
	disk_rename(h->disk, dir, ".new", 4, dir, name, len);
	touch(h, temp);
	touch(h, path);
}

static void
rename_to(struct host *h, const char *from, const char *to)
{
	struct inode *a, *b, *i, *over;
	const char *an, *bn;
	size_t al, bl;

	if (!parent_of(h, from, &a, &an, &al) || !parent_of(h, to, &b, &bn, &bl))
		return;
	i = disk_lookup(a, an, al);
	over = disk_lookup(b, bn, bl);
	if (i == NULL || i == over ||
	    (strncmp(to, from, strlen(from)) == 0 && to[strlen(from)] == '/'))
		return;
	if (over != NULL && (over->kind == KIND_DIR) != (i->kind == KIND_DIR))
		return;
	if (over != NULL && over->kind == KIND_DIR && !disk_empty(over))
		return;
	touch(h, from);
	disk_rename(h->disk, a, an, al, b, bn, bl);
	touch(h, from);
	touch(h, to);
}

static void
remove_tree(struct host *h, const char *path)
{
	struct inode *i = at(h, path), *dir;
	const char *name;
	size_t len;

	if (i == NULL || i == h->disk->root)
		return;
	for (struct dent *e = i->kind == KIND_DIR ? i->dent : NULL; e != NULL; e = e->next) {
		char sub[512];

		if (e->live == NULL)
			continue;
		snprintf(sub, sizeof(sub), "%s/%.*s", path, (int)e->len, e->name);
		remove_tree(h, sub);
	}
	if (!parent_of(h, path, &dir, &name, &len))
		return;
	disk_unlink(h->disk, dir, name, len);
	touch(h, path);
}

static void
remove_one(struct host *h, const char *path)
{
	struct inode *i = at(h, path);

	if (i != NULL && (i->kind != KIND_DIR || disk_empty(i)))
		remove_tree(h, path);
}

static void
change_mode(struct host *h, const char *path, struct rng *rng)
{
	struct inode *i = at(h, path);

	if (i == NULL || i == h->disk->root || i->kind == KIND_SYMLINK)
		return;
	i->mode = i->kind == KIND_DIR ? (rng_below(rng, 2) ? 0755 : 0750)
				      : (rng_below(rng, 2) ? 0644 : 0600);
	disk_touched(h->disk, i, true);
	touch(h, path);
}

static void
change_time(struct host *h, const char *path)
{
	struct inode *i = at(h, path);

	if (i == NULL || i->kind != KIND_FILE)
		return;
	i->mtime_ns = h->wall_ns - 5000;
	disk_touched(h->disk, i, true);
	touch(h, path);
}

/* The same bytes under another name, with their times. */
static void
copy(struct host *h, const char *from, const char *to)
{
	struct inode *i = at(h, from), *o;
	struct buf b = {0};

	if (i == NULL || i->kind != KIND_FILE || i->writers > 0)
		return;
	o = file_at(h, to);
	if (o == NULL || o == i)
		return;
	buf_put(&b, i->data.data, i->data.len);
	o->writers++;
	disk_truncate(h->disk, o, 0);
	disk_write(h->disk, o, 0, b.data, b.len);
	o->mtime_ns = i->mtime_ns;
	disk_touched(h->disk, o, true);
	disk_closed_write(h->disk, o);
	touch(h, to);
	buf_free(&b);
}

static void
make_link(struct host *h, const char *path, const char *target)
{
	struct inode *dir, *i;
	const char *name;
	size_t len;

	make_parents(h, path);
	if (at(h, path) != NULL || !parent_of(h, path, &dir, &name, &len))
		return;
	i = disk_make(h->disk, dir, name, len, KIND_SYMLINK, 0777);
	buf_put(&i->data, target, strlen(target));
	disk_touched(h->disk, i, false);
	touch(h, path);
}

void
user_act(struct host *h, uint64_t what, struct rng *rng)
{
	const char *f = files[rng_below(rng, COUNT(files))],
		   *g = files[rng_below(rng, COUNT(files))];
	const char *d = dirs[rng_below(rng, COUNT(dirs))], *e = dirs[rng_below(rng, COUNT(dirs))];

	if (h->root_gone)
		return;
	h->in_user = true;
	h->sim->events++;
	switch (what % USER_KINDS) {
	case 0:
	case 1:
		sim_event(h->sim, "%s user writes %s", h->name, f);
		write_all(h, f, rng);
		break;
	case 2:
		sim_event(h->sim, "%s user replaces %s", h->name, f);
		replace(h, f, rng);
		break;
	case 3:
		sim_event(h->sim, "%s user removes %s", h->name, f);
		remove_one(h, f);
		break;
	case 4:
		sim_event(h->sim, "%s user renames %s to %s", h->name, f, g);
		rename_to(h, f, g);
		break;
	case 5:
		sim_event(h->sim, "%s user makes directory %s", h->name, d);
		make_parents(h, d);
		make_dir(h, d);
		break;
	case 6:
		sim_event(h->sim, "%s user removes directory %s", h->name, d);
		remove_one(h, d);
		break;
	case 7:
		sim_event(h->sim, "%s user renames directory %s to %s", h->name, d, e);
		rename_to(h, d, e);
		break;
	case 8:
		sim_event(h->sim, "%s user writes slowly to %s", h->name, f);
		write_slowly(h, f, rng);
		break;
	case 9:
		sim_event(h->sim, "%s user closes", h->name);
		user_close(h);
		break;
	case 10:
		sim_event(h->sim, "%s user copies %s to %s", h->name, f, g);
		copy(h, f, g);
		break;
	default:
		switch (rng_below(rng, 5)) {
		case 0:
			sim_event(h->sim, "%s user changes the mode of %s", h->name, f);
			change_mode(h, f, rng);
			break;
		case 1:
			sim_event(h->sim, "%s user changes the mode of %s", h->name, d);
			change_mode(h, d, rng);
			break;
		case 2:
			sim_event(h->sim, "%s user touches %s", h->name, f);
			change_time(h, f);
			break;
		case 3:
			sim_event(h->sim, "%s user links %s", h->name, f);
			make_link(h, f, "c");
			break;
		default:
			sim_event(h->sim, "%s user removes the tree %s", h->name, d);
			remove_tree(h, d);
		}
	}
	h->in_user = false;
}

/* Other bytes, as many as there were; with `hide` also the old time. */
static void
rewrite(struct host *h, const char *path, bool hide)
{
	struct inode *i = at(h, path);
	char head[32];
	int64_t mtime_ns;
	size_t len;

	if (i == NULL || i->kind != KIND_FILE || i->writers > 0 || i->holders > 0 ||
	    i->data.len == 0)
		return;
	mtime_ns = i->mtime_ns;
	snprintf(head, sizeof(head), "%llu.%s", (unsigned long long)++h->sim->next_token, h->name);
	len = strlen(head) < i->data.len ? strlen(head) : i->data.len;
	i->writers++;
	disk_write(h->disk, i, 0, head, len);
	if (hide) {
		i->mtime_ns = mtime_ns;
		disk_touched(h->disk, i, true);
	}
	disk_closed_write(h->disk, i);
	touch(h, path);
}

/* Something else takes a directory's place: a link to where it is now, or a file. */
static void
swap_kind(struct host *h, const char *d, const char *to, struct rng *rng)
{
	struct inode *i = at(h, d);

	if (i == NULL || i->kind != KIND_DIR)
		return;
	if (rng_below(rng, 2) == 0)
		rename_to(h, d, to);
	else
		remove_tree(h, d);
	if (at(h, d) != NULL)
		return;
	if (rng_below(rng, 2) == 0)
		make_link(h, d, "c");
	else
		write_all(h, d, rng);
}

void
user_swap(struct host *h, struct rng *rng)
{
	const char *d = dirs[rng_below(rng, COUNT(dirs))], *e = dirs[rng_below(rng, COUNT(dirs))];

	if (h->root_gone)
		return;
	sim_event(h->sim, "%s user puts something else in place of %s", h->name, d);
	h->in_user = true;
	swap_kind(h, d, e, rng);
	h->in_user = false;
}

void
user_small(struct host *h, unsigned what, struct rng *rng)
{
	h->in_user = true;
	if (what == 0)
		write_all(h, "a", rng);
	else if (what == 1)
		replace(h, "a", rng);
	else
		remove_one(h, "a");
	h->in_user = false;
}

void
user_meet(struct host *h, const char *path, struct rng *rng)
{
	if (h->root_gone || path[0] == '\0' || path_check(path, strlen(path)) < 0)
		return;
	h->in_user = true;
	h->sim->events++;
	if (!h->sim->clash && at(h, path) != NULL && at(h, path)->kind == KIND_DIR)
		path = files[rng_below(rng, COUNT(files))];
	switch (rng_below(rng, 7)) {
	case 0:
		write_all(h, path, rng);
		break;
	case 1:
		replace(h, path, rng);
		break;
	case 2:
		remove_one(h, path);
		break;
	case 3:
		rename_to(h, path, files[rng_below(rng, COUNT(files))]);
		break;
	case 4:
		write_slowly(h, path, rng);
		break;
	case 5:
		rewrite(h, path, false);
		break;
	default:
		/* In one tick of a coarse clock nobody could tell. */
		rewrite(h, path, h->disk->grain_ns == 1);
		rename_to(h, path, files[rng_below(rng, COUNT(files))]);
	}
	h->in_user = false;
}
