/* SPDX-License-Identifier: BSD-2-Clause */
/* What befalls whole machines: networks that part, roots that are not mounted, backups that are
 * restored, clones, new machines with old files, members that are forgotten and come back. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/apply.h"
#include "agent/brake.h"
#include "agent/commit.h"
#include "proto/bytes.h"
#include "proto/member.h"
#include "tests/simulator/sim.h"

#define OLD_FILES_MAX 16

/* One file, directory or link of a copy. */
struct copied {
	struct copied *next;
	uint8_t kind;
	uint16_t mode;
	int64_t mtime_ns;
	struct buf data;
	char path[512];
};

struct image {
	struct copied *first, **last; /* a directory before what is in it */
	struct buf wal;
	uint64_t marker;
	struct tree_log noted;
};

static void *
must(void *p)
{
	if (p == NULL)
		abort();
	return p;
}

/* ---- copies ---- */

static void
image_free(struct image *im)
{
	struct copied *next;

	if (im == NULL)
		return;
	for (struct copied *c = im->first; c != NULL; c = next) {
		next = c->next;
		buf_free(&c->data);
		free(c);
	}
	buf_free(&im->wal);
	free(im);
}

static void
drop_image(struct host *h)
{
	image_free(h->image);
	h->image = NULL;
}

static void
copy_below(struct image *im, const struct inode *dir, const char *path)
{
	for (const struct dent *e = dir->dent; e != NULL; e = e->next) {
		const struct inode *i = e->live;
		struct copied *c;

		if (i == NULL || i->writers > 0)
			continue;
		c = must(calloc(1, sizeof(*c)));
		c->kind = i->kind;
		c->mode = i->mode;
		c->mtime_ns = i->mtime_ns;
		buf_put(&c->data, i->data.data, i->data.len);
		snprintf(c->path, sizeof(c->path), "%s%s%.*s", path, path[0] != '\0' ? "/" : "",
			 (int)e->len, e->name);
		*im->last = c;
		im->last = &c->next;
		if (i->kind == KIND_DIR)
			copy_below(im, i, c->path);
	}
}

static struct image *
copy_of(const struct host *h)
{
	struct image *im = must(calloc(1, sizeof(*im)));

	im->last = &im->first;
	copy_below(im, h->disk->root, "");
	if (h->wal->wal >= 0) {
		const struct buf *b = &h->wal->file[h->wal->wal]->durable;

		buf_put(&im->wal, b->data, b->len);
	}
	im->marker = h->marker;
	im->noted = h->noted;
	return im;
}

/* With a change under way recovery could not tell later how it ended. */
static bool
may_copy(const struct host *h)
{
	return h->wal->wal >= 0 && h->node != NULL && !h->agent.dead &&
	       commit_idle(h->node->commit) && h->node->index->intents == NULL;
}

static void
clear_tree(struct disk *d, struct inode *dir)
{
	for (struct dent *e = dir->dent; e != NULL; e = e->next) {
		if (e->live == NULL)
			continue;
		if (e->live->kind == KIND_DIR)
			clear_tree(d, e->live);
		disk_unlink(d, dir, e->name, e->len);
	}
}

static void
put_back(struct disk *d, const struct copied *c)
{
	struct inode *dir, *i;
	const char *name;
	size_t len;

	if (disk_parent(d, c->path, strlen(c->path), &dir, &name, &len) < 0)
		return;
	i = disk_make(d, dir, name, len, c->kind, c->mode);
	buf_put(&i->data, c->data.data, c->data.len);
	i->mtime_ns = c->mtime_ns;
	disk_touched(d, i, false);
}

/* The tree becomes what the copy says, as `rsync -a --delete' makes it. */
static void
restore_tree(struct host *h, const struct image *im)
{
	user_close(h);
	ledger_changed(h->sim->ledger, h);
	clear_tree(h->disk, h->disk->root);
	for (const struct copied *c = im->first; c != NULL; c = c->next)
		put_back(h->disk, c);
	(void)!disk_sync_all(h->disk);
	user_survey(h);
}

static void
restore_wal(struct host *h, const struct buf *wal)
{
	struct logdisk *d = h->wal;
	struct log_file *f;

	if (d->nfiles == LOG_FILES_MAX)
		return;
	f = d->file[d->nfiles] = must(calloc(1, sizeof(*f)));
	buf_put(&f->live, wal->data, wal->len);
	buf_put(&f->durable, wal->data, wal->len);
	f->same = wal->len;
	d->wal = d->nfiles++;
	h->sim->restored = true;
	h->parsed_file = d->wal;
	h->parsed = wal->len;
	ledger_replaced(h->sim->ledger, h, wal->len);
	ledger_changed(h->sim->ledger, h);
}

/* ---- what may be lost ---- */

static bool
same_bytes(const struct inode *a, const struct inode *b)
{
	return a->kind == b->kind && a->data.len == b->data.len &&
	       (a->data.len == 0 || memcmp(a->data.data, b->data.data, a->data.len) == 0);
}

static bool
somewhere_below(const struct inode *dir, const struct inode *i)
{
	for (const struct dent *e = dir->dent; e != NULL; e = e->next)
		if (e->live != NULL && (e->live->kind == KIND_DIR ? somewhere_below(e->live, i)
								  : same_bytes(e->live, i)))
			return true;
	return false;
}

static bool
elsewhere(const struct host *h, const struct inode *i)
{
	for (unsigned k = 0; k < h->sim->n; k++) {
		const struct host *o = h->sim->host[k];

		if (o != h &&
		    (somewhere_below(o->disk->root, i) || somewhere_below(o->disk->kept, i)))
			return true;
	}
	return false;
}

static bool
all_elsewhere(const struct host *h, const struct inode *dir)
{
	for (const struct dent *e = dir->dent; e != NULL; e = e->next)
		if (e->live != NULL && (e->live->kind == KIND_DIR ? !all_elsewhere(h, e->live)
								  : !elsewhere(h, e->live)))
			return false;
	return true;
}

/* Nothing brings back what was on one machine alone: there is always a second copy. */
static bool
may_lose(const struct host *h)
{
	return all_elsewhere(h, h->disk->root) && all_elsewhere(h, h->disk->kept) &&
	       all_elsewhere(h, h->disk->stage);
}

/* ---- what may happen ---- */

static void
part(struct sim *s, struct rng *rng)
{
	bool side[SIM_HOSTS_MAX];

	for (unsigned i = 0; i < s->n; i++)
		side[i] = rng_below(rng, 2) == 0;
	for (unsigned i = 0; i < s->n; i++)
		for (unsigned k = 0; k < s->n; k++)
			s->parted[i][k] = side[i] != side[k];
	sim_event(s, "the network parts");
}

/* But who was expelled stays so. */
static void
unpart(struct sim *s)
{
	bool was = false;

	for (unsigned i = 0; i < s->n; i++)
		for (unsigned k = 0; k < s->n; k++) {
			was = was || s->parted[i][k];
			s->parted[i][k] = s->expelled != NULL && i != k &&
					  (i == s->expelled->index || k == s->expelled->index);
		}
	if (was)
		sim_event(s, "the network is whole");
}

static void
unmount(struct host *h)
{
	host_stop(h);
	user_close(h);
	ledger_changed(h->sim->ledger, h);
	h->hidden_root = h->disk->root;
	h->disk->root = disk_mount_point(h->disk);
	h->root_gone = true;
	sim_event(h->sim, "%s the root is not mounted", h->name);
}

static void
mount(struct host *h)
{
	host_stop(h);
	h->disk->root = h->hidden_root;
	h->hidden_root = NULL;
	h->root_gone = false;
	sim_event(h->sim, "%s the root is mounted", h->name);
}

static bool
as_copied(const struct inode *i, const struct copied *c)
{
	return i->kind == c->kind && i->data.len == c->data.len &&
	       (i->data.len == 0 || memcmp(i->data.data, c->data.data, i->data.len) == 0);
}

/* The tree alone: then its files are old, and nothing else is. One that has only its times back, or
 * its mode, did not go back to an older version. */
static void
old_tree(struct host *h)
{
	bool scanned = h->node != NULL && h->node->index->scanned_ms != 0;
	const struct copied *back[OLD_FILES_MAX];
	unsigned n = 0, limit = h->sim->faults.deletes_max;
	struct inode *i;

	host_stop(h);
	sim_event(h->sim, "%s the tree is restored from a copy", h->name);
	for (const struct copied *c = h->image->first; c != NULL; c = c->next)
		if (c->kind == KIND_FILE && n < OLD_FILES_MAX && scanned &&
		    disk_find(h->disk, c->path, strlen(c->path), &i) == 0 && !as_copied(i, c) &&
		    i->mtime_ns > c->mtime_ns && ledger_claimed(h->sim->ledger, h, c->path))
			back[n++] = c;
	restore_tree(h, h->image);
	for (unsigned k = 0; k < n && limit > 0 && n > limit + 1; k++)
		if (disk_find(h->disk, back[k]->path, strlen(back[k]->path), &i) == 0)
			ledger_old(h->sim->ledger, h, back[k]->path, i);
}

/* What the tree shows is nobody's news. */
static void
all_stale(struct host *h, const struct inode *dir, const char *path)
{
	for (const struct dent *e = dir->dent; e != NULL; e = e->next) {
		char sub[512];

		if (e->live == NULL)
			continue;
		snprintf(sub, sizeof(sub), "%.250s%s%.*s", path, path[0] != '\0' ? "/" : "",
			 (int)e->len, e->name);
		if (e->live->kind == KIND_DIR)
			all_stale(h, e->live, sub);
		else if (e->live->kind == KIND_FILE)
			ledger_stale(h->sim->ledger, h, sub, e->live);
	}
}

static void
old_wal(struct host *h)
{
	struct tree_log here = {.store = h->noted.store,
				.generation = bytes_get_u64(h->image->wal.data + 24),
				.size = h->image->wal.len};

	host_stop(h);
	sim_event(h->sim, "%s the WAL is restored from a copy", h->name);
	restore_wal(h, &h->image->wal);
	if (h->sim->faults.jump == 0 && tree_log_newer(&h->noted, &here))
		all_stale(h, h->disk->root, "");
}

static void
old_both(struct host *h)
{
	host_stop(h);
	sim_event(h->sim, "%s tree and WAL are restored from a copy", h->name);
	restore_tree(h, h->image);
	restore_wal(h, &h->image->wal);
	h->noted = h->image->noted;
}

/* Its disk is lost; a new one holds somebody's old copy of the files, and no WAL. */
static void
reinstall(struct host *h, const struct image *im)
{
	host_stop(h);
	sim_event(h->sim, "%s is installed anew, with old files", h->name);
	clear_tree(h->disk, h->disk->stage);
	clear_tree(h->disk, h->disk->kept);
	restore_tree(h, im);
	for (const struct copied *c = im->first; c != NULL; c = c->next) {
		struct inode *i;

		if (c->kind == KIND_FILE && disk_find(h->disk, c->path, strlen(c->path), &i) == 0)
			ledger_stale(h->sim->ledger, h, c->path, i);
	}
	h->wal->wal = -1;
	h->parsed_file = -1;
	h->marker = 0;
	h->noted = (struct tree_log){0};
	h->sim->restored = true;
	ledger_replaced(h->sim->ledger, h, 0);
	drop_image(h); /* of another store */
}

/* Another machine's disk is copied, WAL and all. */
static void
become_clone(struct host *h, const struct host *of)
{
	struct image *im = copy_of(of);

	host_stop(h);
	sim_event(h->sim, "%s becomes a clone of %s", h->name, of->name);
	restore_tree(h, im);
	restore_wal(h, &im->wal);
	ledger_cloned(h->sim->ledger, of, h);
	clear_tree(h->disk, h->disk->stage);
	clear_tree(h->disk, h->disk->kept);
	for (const struct dent *e = of->disk->kept->dent; e != NULL; e = e->next) {
		struct inode *i;

		if (e->live == NULL)
			continue;
		i = disk_make(h->disk, h->disk->kept, e->name, e->len, e->live->kind,
			      e->live->mode);
		buf_put(&i->data, e->live->data.data, e->live->data.len);
		i->mtime_ns = e->live->mtime_ns;
	}
	(void)!disk_sync_all(h->disk);
	h->marker = im->marker;
	h->noted = im->noted;
	image_free(im);
	drop_image(h); /* of another store */
}

/* ---- members ---- */

static bool
all_up(const struct sim *s)
{
	for (unsigned i = 0; i < s->n; i++)
		if (s->host[i]->node == NULL || s->host[i]->agent.dead)
			return false;
	return true;
}

static void
put_member(const struct host *at, const struct host *of, bool removed)
{
	const struct member *old = index_member(at->node->index, of->name);
	struct member m = {.removed = removed};
	struct buf b = {0};

	if (old != NULL)
		m = *old;
	m.removed = removed;
	m.admitted++;
	m.incarnation++;
	snprintf(m.name, sizeof(m.name), "%s", of->name);
	snprintf(m.user, sizeof(m.user), "mimeo");
	member_encode(&b, &m);
	commit_put(at->node->commit,
		   &(struct entry){.type = ENTRY_MEMBER, .blob = b.data, .blob_len = b.len});
	buf_free(&b);
}

static void
expel(struct host *h)
{
	struct sim *s = h->sim;

	if (s->expelled != NULL || s->n < 3 || !all_up(s))
		return;
	sim_event(s, "%s is forgotten by the others", h->name);
	s->expelled = h;
	s->expels = true;
	for (unsigned i = 0; i < s->n; i++) {
		s->parted[i][h->index] = s->parted[h->index][i] = i != h->index;
		if (s->host[i] != h)
			put_member(s->host[i], h, true);
	}
}

static bool
readmit(struct sim *s)
{
	if (s->expelled == NULL)
		return true;
	if (!all_up(s))
		return false;
	sim_event(s, "%s comes back", s->expelled->name);
	for (unsigned i = 0; i < s->n; i++)
		put_member(s->host[i], s->expelled, false);
	s->expelled = NULL;
	unpart(s);
	return true;
}

/* ---- the operator ---- */

/* Has that version's content gone with a machine: is it on no disk? */
static bool
content_gone(struct sim *s, const struct record *r)
{
	for (unsigned k = 0; k < s->n; k++)
		if (ledger_hash_below(s->host[k]->disk->root, r->hash) ||
		    ledger_hash_below(s->host[k]->disk->kept, r->hash))
			return false;
	return r->kind == KIND_FILE;
}

bool
wild_bereft(struct sim *s)
{
	bool any = false;

	for (unsigned k = 0; k < s->n; k++) {
		const struct node *n = s->host[k]->node;

		for (const struct pathent *e = n != NULL ? index_todo_first(n->index) : NULL;
		     e != NULL; e = e->todo_next) {
			bool gone = false;

			for (const struct irec *i = e->recs; i != NULL; i = i->next)
				gone = gone ||
				       (i->head && !index_applied(i) && content_gone(s, i->r));
			if (!gone)
				return false;
			any = true;
		}
	}
	return any;
}

/* `mimeo resume --accept-deletes', if anything waits for that. */
static void
accept_held(struct host *h)
{
	struct node *n = h->node;

	if (n == NULL || h->agent.dead || !commit_idle(n->commit))
		return;
	apply_kick(n->apply); /* what was accepted before */
	if (dotset_empty(&n->index->held) &&
	    (h->core == NULL || h->watcher.dead || core_stats(h->core).held == 0))
		return;
	sim_event(h->sim, "%s what is held is accepted", h->name);
	commit_put(n->commit, &(struct entry){.type = ENTRY_PAUSE, .num = 0});
	commit_put(n->commit, &(struct entry){.type = ENTRY_HELD});
	brake_accept(n->brake);
	ledger_accepted(h->sim->ledger, h);
}

/* ---- the choice ---- */

static void
copy_taken(struct host *h)
{
	if (h->root_gone || !may_copy(h))
		return;
	image_free(h->image);
	h->image = copy_of(h);
	sim_event(h->sim, "%s a copy of tree and WAL is made", h->name);
}

/* Many files in one go, while the watcher is slow to listen. */
static void
burst(struct host *h, struct rng *rng)
{
	for (unsigned i = 0; i < 12; i++)
		user_act(h, rng_next(rng), rng);
}

static void
from_copy(struct host *h, uint64_t what, struct rng *rng)
{
	const struct host *other = h->sim->host[rng_below(rng, h->sim->n)];

	if (what != 1 && !may_lose(h))
		what = 5;
	if (what == 0 && h->image != NULL)
		old_tree(h);
	else if (what == 1 && h->image != NULL)
		old_wal(h);
	else if (what == 2 && h->image != NULL)
		old_both(h);
	else if (what == 3 && other->image != NULL)
		reinstall(h, other->image);
	else if (what == 4 && other != h && !other->root_gone && may_copy(other))
		become_clone(h, other);
	else
		copy_taken(h);
}

static void
pass_time(struct sim *s, struct rng *rng)
{
	int64_t by = (int64_t)(rng_below(rng, 60) * SIM_S);

	for (unsigned i = 0; i < s->n; i++)
		s->host[i]->wall_offset_ns += by;
	sim_event(s, "%lld s pass", (long long)(by / (int64_t)SIM_S));
}

void
wild_act(struct host *h, uint64_t what, struct rng *rng)
{
	struct sim *s = h->sim;

	switch (what % WILD_KINDS) {
	case 0:
		if (rng_below(rng, 2) == 0)
			part(s, rng);
		else
			unpart(s);
		break;
	case 1:
		if (h->node != NULL)
			commit_compact_soon(h->node->commit);
		break;
	case 2:
		if (h->root_gone)
			mount(h);
		else
			unmount(h);
		break;
	case 3:
		if (s->expelled != NULL)
			(void)readmit(s);
		else
			expel(h);
		break;
	case 4:
		accept_held(h);
		break;
	case 5:
		pass_time(s, rng);
		break;
	case 6:
	case 7:
		if (!h->root_gone)
			burst(h, rng);
		break;
	case 8:
		copy_taken(h);
		break;
	case 9:
		if (h->sim->clash)
			user_swap(h, rng);
		break;
	default:
		if (!h->root_gone)
			from_copy(h, rng_below(rng, 6), rng);
	}
}

bool
wild_heal(struct sim *s)
{
	bool whole = true;

	for (unsigned i = 0; i < s->n; i++)
		if (s->host[i]->root_gone)
			mount(s->host[i]);
	unpart(s);
	whole = readmit(s);
	for (unsigned i = 0; i < s->n; i++)
		accept_held(s->host[i]);
	return whole;
}

void
wild_free(struct host *h)
{
	drop_image(h);
}
