/* SPDX-License-Identifier: BSD-2-Clause */
/* conf/tree.h over a file system in memory. */
#include "config.h"

#include "conf/tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "conf/notify.h"
#include "proto/path.h"
#include "proto/seeded.h"
#include "tests/simulator/proc.h"

struct tfile {
	struct tree *tree;
	struct inode *inode;
	bool writes, holds;
	struct tfile **at, *next; /* of the process */
};

/* Every call is a moment at which the process may be killed, or somebody else may be faster. */
static bool
gone(struct tree *t, const char *what)
{
	struct proc *p = t->proc;

	if (!p->dead && p->step != NULL)
		p->step(p->arg, p, what);
	return p->dead;
}

static void
at_work(struct tree *t, const void *path, size_t len)
{
	struct proc *p = t->proc;

	if (len >= sizeof(p->at))
		len = 0;
	memcpy(p->at, path, len);
	p->at[len] = '\0';
}

/* Does a path lead up, or a link's target from there out of the root? Told by other means than the
 * product's own. */
static bool
leads_out(const char *from, const char *p, size_t len)
{
	int depth = 0;

	for (; *from != '\0'; from++)
		depth += *from == '/';
	if (len == 0 || *p == '/')
		return true;
	for (size_t at = 0; at < len;) {
		const char *slash = memchr(p + at, '/', len - at);
		size_t n = slash != NULL ? (size_t)(slash - p) - at : len - at;

		if (n == 2 && memcmp(p + at, "..", 2) == 0)
			depth--;
		else if (n != 1 || p[at] != '.')
			depth++;
		if (depth < 0)
			return true;
		at += n + 1;
	}
	return false;
}

static bool
names_up(const char *p, size_t len)
{
	for (size_t i = 0; i + 1 < len; i++)
		if (p[i] == '.' && p[i + 1] == '.' && (i == 0 || p[i - 1] == '/') &&
		    (i + 2 == len || p[i + 2] == '/'))
			return true;
	return false;
}

/* Nobody is to ask for such a path. */
static int
bad_path(struct tree *t)
{
	t->proc->step(t->proc->arg, t->proc, "!named a path that is none");
	return -EINVAL;
}

static int
find(struct tree *t, const void *path, size_t len, struct inode **out)
{
	*out = NULL;
	at_work(t, path, len);
	if (gone(t, "look"))
		return -EIO;
	if (len > 0 && (path_check(path, len) < 0 || names_up(path, len)))
		return bad_path(t);
	return disk_find(t->disk, path, len, out);
}

/* The last name may be a symlink: it is the thing itself. */
static int
find_kind(struct tree *t, const void *path, size_t len, uint8_t kind, struct inode **out)
{
	int r = find(t, path, len, out);

	if (r < 0 || (*out)->kind == kind)
		return r;
	return (*out)->kind == KIND_SYMLINK ? -ELOOP : kind == KIND_DIR ? -ENOENT : -EISDIR;
}

struct place {
	struct inode *dir, *inode; /* inode NULL: nothing is there */
	const char *name;
	size_t len;
};

static int
place(struct tree *t, const void *path, size_t len, struct place *p)
{
	int r;

	*p = (struct place){0};
	at_work(t, path, len);
	if (gone(t, "step"))
		return -EIO;
	if (path_check(path, len) < 0 || names_up(path, len))
		return bad_path(t);
	r = disk_parent(t->disk, path, len, &p->dir, &p->name, &p->len);
	if (r == 0)
		p->inode = disk_lookup(p->dir, p->name, p->len);
	return r;
}

static struct inode *
in_dir(const struct inode *dir, const char *name)
{
	return disk_lookup(dir, name, strlen(name));
}

/* ---- opening, guard ---- */

void
tree_close(struct tree *t)
{
	(void)t;
}

int
tree_marker_write(struct tree *t, uint64_t store)
{
	if (*t->marker != 0)
		return -EEXIST;
	*t->marker = store;
	return 0;
}

int
tree_guard(struct tree *t, uint64_t store)
{
	if (t->proc->dead)
		return -EIO;
	if (*t->root_gone || *t->marker == 0)
		return -ENODATA;
	return store == *t->marker ? 0 : -EBADMSG;
}

int
tree_space(struct tree *t, uint64_t *bytes, uint64_t *inodes)
{
	*bytes = t->disk->free_bytes;
	*inodes = 1u << 20;
	return 0;
}

/* ---- looking ---- */

int
tree_stat(struct tree *t, const void *path, size_t len, struct sig *sig, uint32_t *nlink)
{
	struct inode *i;
	int r = find(t, path, len, &i);

	*sig = r == 0 ? disk_sig(i) : (struct sig){0};
	if (nlink != NULL)
		*nlink = 1;
	return r;
}

static uint8_t
type_of(const struct inode *i)
{
	return i->kind == KIND_DIR ? 4 : i->kind == KIND_SYMLINK ? 10 : 8;
}

int
tree_list(struct tree *t, const void *path, size_t len,
	  int (*cb)(void *arg, const char *name, size_t name_len, uint8_t d_type), void *arg)
{
	struct inode *dir;
	int r = find_kind(t, path, len, KIND_DIR, &dir);

	if (r < 0)
		return r;
	for (const struct dent *e = dir->dent; r == 0 && e != NULL; e = e->next)
		if (e->live != NULL)
			r = cb(arg, e->name, e->len, type_of(e->live));
	return r;
}

static ssize_t
target(const struct inode *i, void *buf, size_t cap)
{
	if (i == NULL)
		return -ENOENT;
	if (i->kind != KIND_SYMLINK)
		return -EINVAL;
	if (i->data.len > cap)
		return -ENAMETOOLONG;
	memcpy(buf, i->data.data, i->data.len);
	return (ssize_t)i->data.len;
}

ssize_t
tree_readlink(struct tree *t, const void *path, size_t len, void *buf, size_t cap)
{
	struct inode *i;
	int r = find(t, path, len, &i);

	return r < 0 ? r : target(i, buf, cap);
}

int
tree_dirfd(struct tree *t, const void *path, size_t len)
{
	struct inode *i;
	int r = find_kind(t, path, len, KIND_DIR, &i);

	return r < 0 ? r : (int)(TREE_FD_BASE + i->ino);
}

/* ---- files ---- */

static int
file_new(struct tree *t, struct inode *i, bool writes, struct tfile **out)
{
	*out = malloc(sizeof(**out));
	if (*out == NULL)
		abort();
	**out = (struct tfile){t, i, writes, false, &t->proc->files, t->proc->files};
	if (t->proc->files != NULL)
		t->proc->files->at = &(*out)->next;
	t->proc->files = *out;
	i->writers += writes;
	return 0;
}

int
tree_open_file(struct tree *t, const void *path, size_t len, struct tfile **out)
{
	struct inode *i;
	int r = find_kind(t, path, len, KIND_FILE, &i);

	*out = NULL;
	return r < 0 ? r : file_new(t, i, false, out);
}

void
tfile_close(struct tfile *f)
{
	if (f == NULL)
		return;
	if (f->writes && f->inode->writers > 0)
		disk_closed_write(f->tree->disk, f->inode);
	f->inode->holders -= f->holds;
	*f->at = f->next;
	if (f->next != NULL)
		f->next->at = f->at;
	free(f);
}

void
tree_close_all(struct proc *p)
{
	while (p->files != NULL)
		tfile_close(p->files);
}

int
tfile_stat(struct tfile *f, struct sig *sig, uint32_t *nlink)
{
	*sig = (struct sig){0};
	if (gone(f->tree, "fstat"))
		return -EIO;
	*sig = disk_sig(f->inode);
	if (nlink != NULL)
		*nlink = 1;
	return 0;
}

ssize_t
tfile_read_at(struct tfile *f, uint64_t off, void *buf, size_t len)
{
	const struct buf *b = &f->inode->data;

	if (gone(f->tree, "read"))
		return -EIO;
	if (off >= b->len)
		return 0;
	if (len > b->len - off)
		len = b->len - (size_t)off;
	memcpy(buf, b->data + off, len);
	return (ssize_t)len;
}

int
tfile_lease(struct tfile *f)
{
	if (gone(f->tree, "lease"))
		return -EIO;
	return f->inode->writers > 0 ? -EAGAIN : 0;
}

int
tfile_hold(struct tfile *f)
{
	int r = tfile_lease(f);

	f->inode->holders += r == 0 && !f->holds;
	f->holds = f->holds || r == 0;
	return r;
}

bool
tfile_moved_to(struct tree *t, struct tfile *f, const void *path, size_t len)
{
	const struct dent *e = f->inode->at;
	struct inode *dir;
	const char *name;
	size_t name_len;

	return e != NULL && disk_parent(t->disk, path, len, &dir, &name, &name_len) == 0 &&
	       dir == e->dir && name_len == e->len && memcmp(name, e->name, name_len) == 0;
}

int
tfile_sync(struct tfile *f)
{
	return gone(f->tree, "fsync") ? -EIO : disk_fsync(f->tree->disk, f->inode);
}

/* As conf/tree_look.c does. */
static int
sync_up(struct tree *t, const uint8_t *path, size_t len, struct inode *dir)
{
	int r = disk_sync_dir(t->disk, dir);

	while (r == 0 && len > 0 && !SEEDED(names_above_not_synced)) {
		size_t up = path_parent(path, len);
		struct inode *above;
		uint64_t key;

		if (find(t, path, up, &above) < 0)
			return disk_sync_all(t->disk);
		key = durable_key(&(struct durable_dir){above->ino, 1}, path + up, len - up,
				  &(struct durable_dir){dir->ino, 1});
		if (!durable_has(&t->durable, key)) {
			r = disk_sync_dir(t->disk, above);
			if (r == 0)
				durable_add(&t->durable, key);
		}
		dir = above;
		len = up;
	}
	return r;
}

int
tree_sync_dir(struct tree *t, const void *path, size_t len)
{
	struct inode *i;
	int r = find(t, path, len, &i);

	if (r == -ENOENT && SEEDED(gone_not_synced))
		return 0;
	while (r == -ENOENT && len > 0) {
		len = path_parent(path, len);
		r = find(t, path, len, &i);
	}
	if (r == -ELOOP || (r == 0 && i->kind != KIND_DIR)) /* it may lie anywhere now */
		return disk_sync_all(t->disk);
	return r < 0 ? r : sync_up(t, path, len, i);
}

int
tree_sync_stage(struct tree *t)
{
	return gone(t, "sync stage") ? -EIO : disk_sync_dir(t->disk, t->disk->stage);
}

int
tree_sync_kept(struct tree *t)
{
	return gone(t, "sync kept") ? -EIO : disk_sync_dir(t->disk, t->disk->kept);
}

int
tree_sync_all(struct tree *t)
{
	return gone(t, "syncfs") ? -EIO : disk_sync_all(t->disk);
}

/* ---- the stage ---- */

int
tree_stage_open(struct tree *t, const char *name, uint64_t size, struct tfile **out, uint64_t *have)
{
	struct inode *i;

	*out = NULL;
	*have = 0;
	if (gone(t, "stage"))
		return -EIO;
	if (size > t->disk->free_bytes)
		return -ENOSPC;
	i = in_dir(t->disk->stage, name);
	if (i == NULL) {
		i = disk_make(t->disk, t->disk->stage, name, strlen(name), KIND_FILE, 0600);
		i->agent = true;
	}
	if (i->kind != KIND_FILE)
		return i->kind == KIND_DIR ? -EISDIR : -ELOOP;
	*have = i->data.len;
	return file_new(t, i, true, out);
}

int
tree_stage_symlink(struct tree *t, const char *name, const void *text, size_t len, int64_t mtime_ns)
{
	struct inode *i;

	if (gone(t, "stage link"))
		return -EIO;
	if (in_dir(t->disk->stage, name) != NULL)
		return -EEXIST;
	i = disk_make(t->disk, t->disk->stage, name, strlen(name), KIND_SYMLINK, 0777);
	i->agent = true;
	buf_put(&i->data, text, len);
	i->mtime_ns = mtime_ns;
	return 0;
}

static int
stat_in(struct tree *t, const struct inode *dir, const char *name, struct sig *sig)
{
	const struct inode *i;

	*sig = (struct sig){0};
	if (gone(t, "stat"))
		return -EIO;
	i = in_dir(dir, name);
	if (i == NULL)
		return -ENOENT;
	*sig = disk_sig(i);
	return 0;
}

static int
unlink_in(struct tree *t, struct inode *dir, const char *name)
{
	const struct inode *i;

	if (gone(t, "unlink"))
		return -EIO;
	i = in_dir(dir, name);
	if (i == NULL)
		return -ENOENT;
	if (i->kind == KIND_DIR && !disk_empty(i))
		return -ENOTEMPTY;
	disk_unlink(t->disk, dir, name, strlen(name));
	return 0;
}

static int
list_in(struct tree *t, const struct inode *dir, int (*cb)(void *arg, const char *name), void *arg)
{
	int r = gone(t, "list") ? -EIO : 0;

	for (const struct dent *e = dir->dent; r == 0 && e != NULL; e = e->next)
		if (e->live != NULL)
			r = cb(arg, e->name);
	return r;
}

int
tree_stage_stat(struct tree *t, const char *name, struct sig *sig)
{
	return stat_in(t, t->disk->stage, name, sig);
}

ssize_t
tree_stage_readlink(struct tree *t, const char *name, void *buf, size_t cap)
{
	return gone(t, "readlink") ? -EIO : target(in_dir(t->disk->stage, name), buf, cap);
}

int
tree_stage_unlink(struct tree *t, const char *name)
{
	return unlink_in(t, t->disk->stage, name);
}

int
tree_stage_list(struct tree *t, int (*cb)(void *arg, const char *name), void *arg)
{
	return list_in(t, t->disk->stage, cb, arg);
}

/* Only what the agent made, and only before it is shown, may it write to. */
static bool
may_write(const struct tfile *f)
{
	const struct inode *i = f->inode;

	return f->writes && i->agent && i->at != NULL && i->at->dir == f->tree->disk->stage;
}

int
tfile_write_at(struct tfile *f, uint64_t off, const void *buf, size_t len)
{
	struct disk *d = f->tree->disk;
	struct proc *p = f->tree->proc;

	if (p->dead)
		return -EIO;
	if (!may_write(f))
		p->step(p->arg, p, "!wrote to a file that is not its own");
	if (gone(f->tree, "write")) {
		disk_write(d, f->inode, off, buf, (size_t)rng_below(d->rng, len + 1));
		return -EIO;
	}
	if (len > d->free_bytes)
		return -ENOSPC;
	disk_write(d, f->inode, off, buf, len);
	return 0;
}

void
tfile_forget_cached(struct tfile *f)
{
	(void)f;
}

int
tree_log_write(struct tree *t, const struct tree_log *log)
{
	if (gone(t, "log"))
		return -EIO;
	if (!tree_log_newer(t->noted, log)) {
		*t->noted = *log;
		t->noted->when_ms = *t->disk->clock_ns / 1000000;
	}
	return 0;
}

bool
tree_log_newer(const struct tree_log *a, const struct tree_log *b)
{
	if (a->store != b->store)
		return false;
	return a->generation > b->generation ||
	       (a->generation == b->generation && a->size > b->size);
}

int
tfile_reserve(struct tfile *f, uint64_t have, uint64_t size)
{
	(void)have;
	(void)size;
	return gone(f->tree, "reserve") ? -EIO : 0;
}

int
tfile_truncate(struct tfile *f, uint64_t size)
{
	struct proc *p = f->tree->proc;

	if (gone(f->tree, "truncate"))
		return -EIO;
	if (!may_write(f))
		p->step(p->arg, p, "!cut a file that is not its own");
	if (f->inode->data.len != size)
		disk_truncate(f->tree->disk, f->inode, size);
	return 0;
}

void
tfile_flush_hint(struct tfile *f, uint64_t off, uint64_t len)
{
	(void)f;
	(void)off;
	(void)len;
}

static void
dress(struct tree *t, struct inode *i, uint16_t mode, int64_t mtime_ns)
{
	if (i->kind == KIND_FILE && i->mode == (mode & RECORD_MODE_MASK) && i->mtime_ns == mtime_ns)
		return;
	if (i->kind == KIND_DIR && i->mode == (mode & RECORD_MODE_MASK))
		return;
	if (i->kind != KIND_SYMLINK)
		i->mode = mode & RECORD_MODE_MASK;
	if (i->kind != KIND_DIR)
		i->mtime_ns = mtime_ns;
	disk_touched(t->disk, i, true);
}

int
tfile_set_meta(struct tfile *f, uint16_t mode, int64_t mtime_ns, uint32_t uid, uint32_t gid)
{
	(void)uid;
	(void)gid;
	if (gone(f->tree, "dress"))
		return -EIO;
	dress(f->tree, f->inode, mode, mtime_ns);
	return 0;
}

/* ---- renames ---- */

static void
shown(struct tree *t, struct inode *i)
{
	char path[512];

	if (i->kind == KIND_SYMLINK && disk_path(t->disk, i, path, sizeof(path)) &&
	    leads_out(path, (const char *)i->data.data, i->data.len))
		t->proc->step(t->proc->arg, t->proc, "!placed a symlink that leaves the root");
	if (t->proc->shown != NULL)
		t->proc->shown(t->proc->arg, t->proc, i);
}

static void
taken(struct tree *t, struct inode *i, const void *path, size_t len)
{
	if (t->proc->taken != NULL)
		t->proc->taken(t->proc->arg, t->proc, i, path, len);
}

static void
moved(struct tree *t, const void *path, size_t len)
{
	if (t->proc->moved != NULL)
		t->proc->moved(t->proc->arg, path, len);
}

int
tree_place(struct tree *t, const char *stage, const void *path, size_t len)
{
	struct inode *i;
	struct place p;
	int r = place(t, path, len, &p);

	if (r == -EIO || r == -EINVAL)
		return r;
	i = in_dir(t->disk->stage, stage);
	if (i == NULL)
		return -ESTALE;
	if (r < 0)
		return r;
	if (p.inode != NULL)
		return -EEXIST;
	disk_rename(t->disk, t->disk->stage, stage, strlen(stage), p.dir, p.name, p.len);
	shown(t, i);
	moved(t, path, len);
	return 0;
}

int
tree_exchange(struct tree *t, const char *stage, const void *path, size_t len)
{
	struct inode *i, *out;
	struct place p;
	int r = place(t, path, len, &p);

	if (r == -EIO || r == -EINVAL)
		return r;
	i = in_dir(t->disk->stage, stage);
	if (i == NULL)
		return -ESTALE;
	if (r < 0 || p.inode == NULL)
		return r < 0 ? r : -ENOENT;
	out = p.inode;
	if (out->kind == KIND_DIR && i->kind != KIND_DIR)
		return -EISDIR;
	disk_exchange(t->disk, t->disk->stage, stage, strlen(stage), p.dir, p.name, p.len);
	shown(t, i);
	taken(t, out, path, len);
	moved(t, path, len);
	return 0;
}

int
tree_take(struct tree *t, const void *path, size_t len, const char *stage)
{
	struct inode *out;
	struct place p;
	int r = place(t, path, len, &p);

	if (r < 0 || p.inode == NULL)
		return r < 0 ? r : -ENOENT;
	out = p.inode;
	if (out->kind == KIND_DIR)
		return -EISDIR;
	if (in_dir(t->disk->stage, stage) != NULL)
		return -EEXIST;
	disk_rename(t->disk, p.dir, p.name, p.len, t->disk->stage, stage, strlen(stage));
	taken(t, out, path, len);
	moved(t, path, len);
	return 0;
}

int
tree_move(struct tree *t, const void *from, size_t from_len, const void *to, size_t to_len)
{
	struct place a, b;
	int r = place(t, from, from_len, &a);

	if (r == 0)
		r = place(t, to, to_len, &b);
	if (r == 0) /* again: somebody may have been faster */
		r = disk_parent(t->disk, from, from_len, &a.dir, &a.name, &a.len);
	if (r < 0)
		return r;
	a.inode = disk_lookup(a.dir, a.name, a.len);
	if (a.inode == NULL || b.inode != NULL)
		return a.inode == NULL ? -ENOENT : -EEXIST;
	disk_rename(t->disk, a.dir, a.name, a.len, b.dir, b.name, b.len);
	shown(t, a.inode);
	moved(t, from, from_len);
	moved(t, to, to_len);
	return 0;
}

int
tree_mkdir(struct tree *t, const void *path, size_t len, uint16_t mode, uint32_t uid, uint32_t gid)
{
	struct place p;
	int r = place(t, path, len, &p);

	(void)uid;
	(void)gid;
	if (r < 0 || p.inode != NULL)
		return r < 0 ? r : -EEXIST;
	disk_make(t->disk, p.dir, p.name, p.len, KIND_DIR, mode & RECORD_MODE_MASK)->agent = true;
	moved(t, path, len);
	return 0;
}

int
tree_rmdir(struct tree *t, const void *path, size_t len)
{
	struct place p;
	int r = place(t, path, len, &p);

	if (r < 0 || p.inode == NULL)
		return r < 0 ? r : -ENOENT;
	if (p.inode->kind != KIND_DIR)
		return -ENOENT;
	if (!disk_empty(p.inode))
		return -ENOTEMPTY;
	disk_unlink(t->disk, p.dir, p.name, p.len);
	moved(t, path, len);
	return 0;
}

int
tree_set_meta(struct tree *t, const void *path, size_t len, uint64_t expect_ino, uint16_t mode,
	      int64_t mtime_ns, uint32_t uid, uint32_t gid)
{
	struct inode *i;
	int r = find(t, path, len, &i);

	(void)uid;
	(void)gid;
	if (r < 0)
		return r;
	if (i->ino != expect_ino)
		return -ESTALE;
	dress(t, i, mode, mtime_ns);
	return 0;
}

/* ---- kept ---- */

int
tree_keep(struct tree *t, const char *stage, const char *kept)
{
	if (gone(t, "keep"))
		return -EIO;
	if (in_dir(t->disk->stage, stage) == NULL)
		return -ENOENT;
	if (in_dir(t->disk->kept, kept) != NULL)
		return -EEXIST;
	disk_rename(t->disk, t->disk->stage, stage, strlen(stage), t->disk->kept, kept,
		    strlen(kept));
	return 0;
}

int
tree_stage_read(struct tree *t, const char *name, struct tfile **out)
{
	struct inode *i = in_dir(t->disk->stage, name);

	*out = NULL;
	if (gone(t, "stage open"))
		return -EIO;
	return i == NULL ? -ENOENT : file_new(t, i, false, out);
}

int
tree_kept_open(struct tree *t, const char *kept, struct tfile **out)
{
	struct inode *i = in_dir(t->disk->kept, kept);

	*out = NULL;
	if (gone(t, "kept open"))
		return -EIO;
	if (i == NULL || i->kind != KIND_FILE)
		return i == NULL ? -ENOENT : -ELOOP;
	return file_new(t, i, false, out);
}

int
tree_kept_stat(struct tree *t, const char *kept, struct sig *sig)
{
	return stat_in(t, t->disk->kept, kept, sig);
}

ssize_t
tree_kept_readlink(struct tree *t, const char *kept, void *buf, size_t cap)
{
	return gone(t, "readlink") ? -EIO : target(in_dir(t->disk->kept, kept), buf, cap);
}

int
tree_kept_rename(struct tree *t, const char *from, const char *to)
{
	struct disk *d = t->disk;

	if (gone(t, "kept rename"))
		return -EIO;
	if (in_dir(d->kept, from) == NULL)
		return -ENOENT;
	if (in_dir(d->kept, to) != NULL)
		return -EEXIST;
	disk_rename(d, d->kept, from, strlen(from), d->kept, to, strlen(to));
	return 0;
}

int
tree_kept_unlink(struct tree *t, const char *kept)
{
	return unlink_in(t, t->disk->kept, kept);
}

int
tree_kept_list(struct tree *t, int (*cb)(void *arg, const char *name), void *arg)
{
	return list_in(t, t->disk->kept, cb, arg);
}
