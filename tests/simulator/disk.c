/* SPDX-License-Identifier: BSD-2-Clause */
/* A file system in memory. Names change in atomic steps that become durable in an order of their
 * own; bytes become durable by fsync. */
#include "config.h"

#include "tests/simulator/disk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/notify.h"

static void *
must(void *p)
{
	if (p == NULL)
		abort();
	return p;
}

static int64_t
now(const struct disk *d)
{
	return *d->clock_ns - *d->clock_ns % d->grain_ns;
}

/* ---- looking ---- */

static struct dent *
dent_find(const struct inode *dir, const char *name, size_t len)
{
	for (struct dent *e = dir->dent; e != NULL; e = e->next)
		if (e->len == len && memcmp(e->name, name, len) == 0)
			return e;
	return NULL;
}

struct inode *
disk_lookup(const struct inode *dir, const char *name, size_t len)
{
	const struct dent *e = dent_find(dir, name, len);

	return e != NULL ? e->live : NULL;
}

static int
walk(const struct disk *d, const char *path, size_t len, struct inode **out)
{
	struct inode *at = d->root;

	while (len > 0) {
		const char *slash = memchr(path, '/', len);
		size_t n = slash != NULL ? (size_t)(slash - path) : len;

		if (at->kind == KIND_SYMLINK)
			return -ELOOP;
		at = at->kind == KIND_DIR ? disk_lookup(at, path, n) : NULL;
		if (at == NULL)
			return -ENOENT;
		path += n + (slash != NULL);
		len -= n + (slash != NULL);
	}
	*out = at;
	return 0;
}

int
disk_find(const struct disk *d, const void *path, size_t len, struct inode **out)
{
	*out = NULL;
	return walk(d, path, len, out);
}

const struct inode *
disk_durable(const struct disk *d, const char *path, size_t len)
{
	const struct inode *at = d->root;

	while (len > 0 && at != NULL) {
		const char *slash = memchr(path, '/', len);
		size_t n = slash != NULL ? (size_t)(slash - path) : len;
		const struct dent *e = at->kind == KIND_DIR ? dent_find(at, path, n) : NULL;

		at = e != NULL ? e->durable : NULL;
		n += slash != NULL;
		path += n;
		len -= n;
	}
	return at;
}

int
disk_parent(const struct disk *d, const void *path, size_t len, struct inode **dir,
	    const char **name, size_t *name_len)
{
	const char *p = path;
	size_t at = len;
	int r;

	while (at > 0 && p[at - 1] != '/')
		at--;
	*name = p + at;
	*name_len = len - at;
	r = walk(d, p, at > 0 ? at - 1 : 0, dir);
	if (r == 0 && (*dir)->kind != KIND_DIR)
		return (*dir)->kind == KIND_SYMLINK ? -ELOOP : -ENOENT;
	return r;
}

bool
disk_empty(const struct inode *dir)
{
	for (const struct dent *e = dir->dent; e != NULL; e = e->next)
		if (e->live != NULL)
			return false;
	return true;
}

struct sig
disk_sig(const struct inode *i)
{
	return (struct sig){
		.ino = i->ino,
		.size = i->kind == KIND_DIR ? 4096 : i->data.len,
		.mtime_ns = i->mtime_ns,
		.ctime_ns = i->ctime_ns,
		.mode = i->mode,
		.kind = i->kind,
	};
}

bool
disk_path(const struct disk *d, const struct inode *i, char *out, size_t cap)
{
	char tail[512];
	size_t len = 0;

	out[0] = '\0';
	while (i != d->root) {
		const struct dent *e = i->at;

		if (e == NULL || e->live != i || e->len + 1 + len >= sizeof(tail))
			return false;
		memmove(tail + e->len + (len > 0), tail, len);
		if (len > 0)
			tail[e->len] = '/';
		memcpy(tail, e->name, e->len);
		len += e->len + (len > 0);
		i = e->dir;
	}
	if (len >= cap)
		return false;
	memcpy(out, tail, len);
	out[len] = '\0';
	return true;
}

/* ---- telling ---- */

static void
tell_name(struct disk *d, const struct dent *e, uint32_t mask, uint32_t cookie)
{
	struct disk_event ev = {.wd = e->dir->wd, .mask = mask, .cookie = cookie};

	if (e->dir->wd < 0 || d->event == NULL || e->len >= sizeof(ev.name))
		return;
	memcpy(ev.name, e->name, e->len);
	ev.name[e->len] = '\0';
	d->event(d->arg, &ev);
}

void
disk_tell(struct disk *d, const struct inode *i, uint32_t mask)
{
	if (i->at != NULL && i->at->live == i)
		tell_name(d, i->at, mask | (i->kind == KIND_DIR ? NOTIFY_ISDIR : 0), 0);
}

static void
tell_moved(struct disk *d, const struct dent *from, const struct dent *to, const struct inode *i)
{
	uint32_t dir = i->kind == KIND_DIR ? NOTIFY_ISDIR : 0;

	d->cookie++;
	tell_name(d, from, NOTIFY_MOVED_FROM | dir, d->cookie);
	tell_name(d, to, NOTIFY_MOVED_TO | dir, d->cookie);
}

/* The last name of a watched directory went. */
static void
forget_watch(struct disk *d, struct inode *i)
{
	struct disk_event ev = {.wd = i->wd, .mask = NOTIFY_IGNORED};

	if (i->wd < 0)
		return;
	i->wd = -1;
	if (d->event != NULL)
		d->event(d->arg, &ev);
}

/* ---- changing names ---- */

static struct dent *
dent_get(struct inode *dir, const char *name, size_t len)
{
	struct dent *e = dent_find(dir, name, len);

	if (e != NULL)
		return e;
	e = must(calloc(1, sizeof(*e) + len + 1));
	e->dir = dir;
	e->len = len;
	memcpy(e->name, name, len);
	e->next = dir->dent;
	dir->dent = e;
	return e;
}

static void
op_add(struct disk *d, const struct disk_op *op)
{
	if (d->nops == d->ops_cap) {
		d->ops_cap = d->ops_cap * 2 + 64;
		d->ops = must(realloc(d->ops, d->ops_cap * sizeof(*op)));
	}
	d->ops[d->nops++] = *op;
	for (int k = 0; k < op->n; k++) {
		struct dent *e = op->dent[k];

		e->live = op->after[k];
		if (e->live != NULL) {
			e->live->at = e;
			e->live->ctime_ns = now(d);
		}
		e->dir->mtime_ns = e->dir->ctime_ns = now(d);
	}
}

static struct inode *
inode_new(struct disk *d, uint8_t kind, uint16_t mode)
{
	struct inode *i = must(calloc(1, sizeof(*i)));

	i->ino = ++d->next_ino;
	i->kind = kind;
	i->mode = mode;
	i->wd = -1;
	i->mtime_ns = i->ctime_ns = now(d);
	i->dirty = true;
	i->next = d->inodes;
	d->inodes = i;
	return i;
}

struct inode *
disk_make(struct disk *d, struct inode *dir, const char *name, size_t len, uint8_t kind,
	  uint16_t mode)
{
	struct dent *e = dent_get(dir, name, len);
	struct inode *i = inode_new(d, kind, mode);

	op_add(d, &(struct disk_op){{e}, {NULL}, {i}, 1});
	disk_tell(d, i, NOTIFY_CREATE);
	return i;
}

void
disk_unlink(struct disk *d, struct inode *dir, const char *name, size_t len)
{
	struct dent *e = dent_get(dir, name, len);
	struct inode *i = must(e->live);

	op_add(d, &(struct disk_op){{e}, {i}, {NULL}, 1});
	tell_name(d, e, NOTIFY_DELETE | (i->kind == KIND_DIR ? NOTIFY_ISDIR : 0), 0);
	forget_watch(d, i);
}

void
disk_rename(struct disk *d, struct inode *from, const char *name, size_t len, struct inode *to,
	    const char *to_name, size_t to_len)
{
	struct dent *a = dent_get(from, name, len), *b = dent_get(to, to_name, to_len);
	struct inode *i = must(a->live), *over = b->live;

	op_add(d, &(struct disk_op){{a, b}, {i, over}, {NULL, i}, 2});
	tell_moved(d, a, b, i);
	if (over != NULL)
		forget_watch(d, over);
}

void
disk_exchange(struct disk *d, struct inode *a, const char *name, size_t len, struct inode *b,
	      const char *b_name, size_t b_len)
{
	struct dent *x = dent_get(a, name, len), *y = dent_get(b, b_name, b_len);
	struct inode *i = must(x->live), *j = must(y->live);

	op_add(d, &(struct disk_op){{x, y}, {i, j}, {j, i}, 2});
	tell_moved(d, x, y, i);
	tell_moved(d, y, x, j);
}

/* ---- changing bytes ---- */

void
disk_touched(struct disk *d, struct inode *i, bool tell)
{
	i->ctime_ns = now(d);
	i->dirty = true;
	if (tell)
		disk_tell(d, i, NOTIFY_ATTRIB);
}

static void
bytes_changed(struct disk *d, struct inode *i)
{
	i->changes++;
	i->mtime_ns = now(d);
	disk_touched(d, i, false);
}

void
disk_write(struct disk *d, struct inode *i, uint64_t off, const void *bytes, size_t len)
{
	while (i->data.len < off)
		buf_put_u8(&i->data, 0);
	if (off + len > i->data.len) {
		(void)must(buf_room(&i->data, off + len - i->data.len));
		i->data.len = off + len;
	}
	if (len > 0)
		memcpy(i->data.data + off, bytes, len);
	bytes_changed(d, i);
}

void
disk_truncate(struct disk *d, struct inode *i, uint64_t size)
{
	while (i->data.len < size)
		buf_put_u8(&i->data, 0);
	i->data.len = size;
	bytes_changed(d, i);
}

void
disk_closed_write(struct disk *d, struct inode *i)
{
	i->writers--;
	disk_tell(d, i, NOTIFY_CLOSE_WRITE);
}

/* ---- durable ---- */

static void
copy(struct buf *to, const struct buf *from)
{
	buf_reset(to);
	if (from->len > 0)
		buf_put(to, from->data, from->len);
	if (to->failed)
		abort();
}

static void
save(struct inode *i)
{
	if (!i->dirty)
		return;
	copy(&i->saved.data, &i->data);
	i->saved.mode = i->mode;
	i->saved.mtime_ns = i->mtime_ns;
	i->dirty = false;
}

static bool
fails(struct disk *d)
{
	return d->fsync_fails > 0 && --d->fsync_fails == 0;
}

int
disk_fsync(struct disk *d, struct inode *i)
{
	if (fails(d)) {
		i->dirty = false;
		return -EIO;
	}
	save(i);
	return 0;
}

static bool
shares(const struct disk_op *a, const struct disk_op *b)
{
	for (int i = 0; i < a->n; i++)
		for (int k = 0; k < b->n; k++) {
			if (a->dent[i] == b->dent[k])
				return true;
			if (a->before[i] != NULL &&
			    (a->before[i] == b->before[k] || a->before[i] == b->after[k]))
				return true;
			if (a->after[i] != NULL &&
			    (a->after[i] == b->before[k] || a->after[i] == b->after[k]))
				return true;
		}
	return false;
}

static void
op_commit(const struct disk_op *op)
{
	for (int k = 0; k < op->n; k++)
		op->dent[k]->durable = op->after[k];
}

/* Commits every step that touches the directory, and what those build on; the rest may wait. */
int
disk_sync_dir(struct disk *d, struct inode *dir)
{
	bool *take = must(calloc(d->nops + 1, sizeof(*take)));
	size_t kept = 0;

	if (fails(d)) {
		free(take);
		return -EIO;
	}
	for (size_t i = d->nops; i-- > 0;) {
		const struct disk_op *op = &d->ops[i];

		for (int k = 0; k < op->n; k++)
			take[i] = take[i] || op->dent[k]->dir == dir;
		for (size_t j = i + 1; !take[i] && j < d->nops; j++)
			take[i] = take[j] && shares(op, &d->ops[j]);
	}
	for (size_t i = 0; i < d->nops; i++)
		if (take[i])
			op_commit(&d->ops[i]);
		else
			d->ops[kept++] = d->ops[i];
	d->nops = kept;
	free(take);
	return 0;
}

int
disk_sync_all(struct disk *d)
{
	if (fails(d))
		return -EIO;
	for (struct inode *i = d->inodes; i != NULL; i = i->next)
		save(i);
	for (size_t i = 0; i < d->nops; i++)
		op_commit(&d->ops[i]);
	d->nops = 0;
	return 0;
}

/* ---- the power goes ---- */

/* Steps that were not durable: any of them may be, if what it builds on is. */
static void
cut_names(struct disk *d)
{
	uint64_t odds = rng_below(d->rng, 5); /* 0: none stays; 4: all do */
	bool *gone = must(calloc(d->nops + 1, sizeof(*gone)));

	for (size_t i = 0; i < d->nops; i++) {
		gone[i] = rng_below(d->rng, 4) >= odds;
		for (size_t j = 0; !gone[i] && j < i; j++)
			gone[i] = gone[j] && shares(&d->ops[i], &d->ops[j]);
		if (!gone[i])
			op_commit(&d->ops[i]);
	}
	d->nops = 0;
	free(gone);
}

/* Bytes, and not only a mode or a time. */
static bool
is_written(const struct inode *i)
{
	const struct buf *a = &i->data, *b = &i->saved.data;

	return a->len != b->len || (a->len > 0 && memcmp(a->data, b->data, a->len) != 0);
}

static void
cut_inode(struct disk *d, struct inode *i)
{
	uint64_t luck = i->dirty ? rng_below(d->rng, 3) : 1;

	i->writers = 0;
	i->wd = -1;
	i->changes++;
	i->dirty = false;
	if (luck == 0) { /* all of it had reached the disk */
		i->dirty = true;
		save(i);
		return;
	}
	if (luck == 2 && i->kind == KIND_FILE && i->data.len > 0 &&
	    is_written(i)) { /* the size, but not all bytes */
		size_t good = (size_t)rng_below(d->rng, i->data.len + 1);

		memset(i->data.data + good, 0, i->data.len - good);
	} else {
		copy(&i->data, &i->saved.data);
	}
	i->mode = i->saved.mode != 0 ? i->saved.mode : i->mode;
	i->mtime_ns = i->saved.mtime_ns != 0 ? i->saved.mtime_ns : i->mtime_ns;
	i->dirty = true;
	save(i);
}

void
disk_power_cut(struct disk *d)
{
	cut_names(d);
	for (struct inode *i = d->inodes; i != NULL; i = i->next) {
		if (i->kind == KIND_FILE)
			cut_inode(d, i);
		i->wd = -1;
		i->writers = 0;
		for (struct dent *e = i->dent; e != NULL; e = e->next)
			e->live = NULL;
	}
	for (struct inode *i = d->inodes; i != NULL; i = i->next)
		for (struct dent *e = i->dent; e != NULL; e = e->next) {
			e->live = e->durable;
			if (e->live != NULL)
				e->live->at = e;
		}
}

/* ---- life ---- */

static struct inode *
top(struct disk *d)
{
	struct inode *i = inode_new(d, KIND_DIR, 0755);

	save(i);
	return i;
}

struct inode *
disk_mount_point(struct disk *d)
{
	return top(d);
}

struct disk *
disk_new(struct rng *rng, const int64_t *clock_ns, int64_t grain_ns)
{
	struct disk *d = must(calloc(1, sizeof(*d)));

	d->rng = rng;
	d->clock_ns = clock_ns;
	d->grain_ns = grain_ns;
	d->next_ino = 1000;
	d->free_bytes = 1u << 30;
	d->root = top(d);
	d->stage = top(d);
	d->kept = top(d);
	return d;
}

void
disk_free(struct disk *d)
{
	if (d == NULL)
		return;
	while (d->inodes != NULL) {
		struct inode *i = d->inodes;

		d->inodes = i->next;
		while (i->dent != NULL) {
			struct dent *e = i->dent;

			i->dent = e->next;
			free(e);
		}
		buf_free(&i->data);
		buf_free(&i->saved.data);
		free(i);
	}
	free(d->ops);
	free(d);
}
