/* SPDX-License-Identifier: BSD-2-Clause */
/* Brings a kept version back, as a user would. */
#include "config.h"

#include "agent/restore.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/commit.h"
#include "agent/fetch.h"
#include "agent/store.h"
#include "agent/task.h"
#include "proto/path.h"

#define CHUNK_BYTES (1u << 20)

struct restore {
	struct node *n;
	const struct keepers *all;
	const struct keepers_found *found; /* NULL: nobody in particular keeps it */
	struct record *rec;                /* what is put back; rec->path is where it came from */
	char *path;
	size_t len;
	struct fetch_job fetch;
	bool fetching;
	bool ours; /* what is staged came from us: it may be removed */
	int state;
	char stage[48]; /* "out-…": never swept, whatever happens */
};

static void
stage_name(struct restore *r)
{
	snprintf(r->stage, sizeof(r->stage), "out-restore-%016llx",
		 (unsigned long long)node_random(r->n));
}

/* ---- the last step: into the tree ---- */

static int
make_parents(struct restore *r, size_t len)
{
	size_t parent = path_parent(r->path, len);
	struct sig s;
	int e;

	if (parent == 0 || tree_stat(r->n->tree, r->path, parent, &s, NULL) == 0)
		return 0;
	e = make_parents(r, parent);
	return e < 0 ? e : tree_mkdir(r->n->tree, r->path, parent, 0755, UINT32_MAX, UINT32_MAX);
}

/* What the restored version displaced: the version that is shown here under its dot, or rescued
 * content. */
static void
keep_displaced(struct restore *r, const struct pathent *e)
{
	struct node *n = r->n;
	struct sig out;
	struct kept as = {.dot = {0, node_random(n)}, .flags = KEPT_RESCUED};
	struct record rec;
	char name[48];

	if (tree_stage_stat(n->tree, r->stage, &out) < 0)
		return;
	rec = e != NULL && e->shown != NULL ? *e->shown->r : *r->rec;
	if (e != NULL && e->shown != NULL && sig_eq_renamed(&out, &e->sig) &&
	    index_kept(n->index, e->shown->r->dot) == NULL) {
		as.dot = e->shown->r->dot;
		as.flags = 0;
	} else {
		store_rescued_record(&rec, &out);
	}
	store_name(&as, name);
	if (tree_keep(n->tree, r->stage, name) == 0)
		commit_put(n->commit, &(struct entry){.type = ENTRY_KEPT,
						      .dot = as.dot,
						      .num = n->wall_ms,
						      .flags = as.flags,
						      .rec = rec});
}

static int
put_back(struct restore *r)
{
	struct node *n = r->n;
	const struct pathent *e = index_find(n->index, r->path, r->len);
	int x = make_parents(r, r->len);

	if (e != NULL && e->intent != NULL)
		return -EAGAIN;
	if (x == 0)
		x = tree_place(n->tree, r->stage, r->path, r->len);
	if (x == 0)
		r->ours = false;
	if (x != -EEXIST)
		return x;
	x = tree_exchange(n->tree, r->stage, r->path, r->len);
	r->ours = r->ours && x < 0;
	if (x == 0)
		keep_displaced(r, e);
	return x;
}

int
restore_remove(struct node *n, const void *path, size_t len)
{
	const struct pathent *e = index_find(n->index, path, len);
	struct restore r = {.n = n};
	int x;

	if (e == NULL || e->intent != NULL || e->shown == NULL)
		return -EAGAIN;
	stage_name(&r);
	x = tree_take(n->tree, path, len, r.stage);
	if (x == 0)
		keep_displaced(&r, e);
	return x;
}

/* ---- getting the content ---- */

static void
fetched(struct fetch_job *j, int error)
{
	struct restore *r = (struct restore *)((char *)j - offsetof(struct restore, fetch));
	int e = error;

	r->fetching = false;
	if (e == 0) {
		e = tfile_set_meta(j->file, r->rec->mode, (int64_t)r->n->wall_ms * 1000000,
				   UINT32_MAX, UINT32_MAX);
		if (e == 0)
			e = tfile_sync(j->file);
		tfile_close(j->file);
		j->file = NULL;
	}
	r->state = e < 0 ? e : put_back(r);
}

static int
copy_bytes(struct tfile *from, struct tfile *to)
{
	uint8_t *chunk = malloc(CHUNK_BYTES);
	uint64_t off = 0;
	ssize_t got = 0;
	int e = chunk != NULL ? tfile_truncate(to, 0) : -ENOMEM;

	while (e == 0 && (got = tfile_read_at(from, off, chunk, CHUNK_BYTES)) > 0) {
		e = tfile_write_at(to, off, chunk, (size_t)got);
		off += (uint64_t)got;
	}
	free(chunk);
	return e < 0 ? e : got < 0 ? (int)got : 0;
}

/* Rescued content has no hash: it is copied from the store as it is. */
static int
copy_rescued(struct restore *r)
{
	struct tfile *from = NULL, *to = NULL;
	uint64_t have;
	char name[48];
	int e;

	store_name(&r->found->kept, name);
	e = tree_kept_open(r->n->tree, name, &from);
	if (e == 0)
		e = tree_stage_open(r->n->tree, r->stage, r->rec->size, &to, &have);
	if (e == 0)
		e = copy_bytes(from, to);
	if (e == 0)
		e = tfile_set_meta(to, r->rec->mode, (int64_t)r->n->wall_ms * 1000000, UINT32_MAX,
				   UINT32_MAX);
	if (e == 0)
		e = tfile_sync(to);
	tfile_close(from);
	tfile_close(to);
	return e < 0 ? e : put_back(r);
}

static int
copy_link(struct restore *r)
{
	int e = tree_stage_symlink(r->n->tree, r->stage, r->rec->target, r->rec->target_len,
				   (int64_t)r->n->wall_ms * 1000000);

	return e < 0 ? e : put_back(r);
}

static bool
keeps(const struct fetch_job *j, const struct peer *p)
{
	const struct restore *r =
		(const struct restore *)((const char *)j - offsetof(struct restore, fetch));

	return keepers_by(r->all, r->found, p);
}

static bool
kept_elsewhere(const struct restore *r)
{
	const struct peer *p = exchange_peers(r->n->exchange);

	while (r->found != NULL && p != NULL && !keepers_by(r->all, r->found, p))
		p = p->next;
	return r->found != NULL && p != NULL;
}

static void
begin_fetch(struct restore *r)
{
	r->fetch.keeps = kept_elsewhere(r) ? keeps : NULL;
	memcpy(r->fetch.stage, r->stage, sizeof(r->fetch.stage) - 1);
	r->fetch.rec = r->rec;
	r->fetch.uid = r->fetch.gid = UINT32_MAX;
	r->fetch.done = fetched;
	r->fetching = true;
	r->state = 1;
	fetch_start(r->n->fetch, &r->fetch);
}

static struct restore *
new_restore(struct node *n, const struct record *rec, const void *path, size_t len)
{
	struct restore *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return NULL;
	r->n = n;
	r->ours = true;
	r->rec = record_dup(rec);
	r->path = malloc(len + 1);
	if (r->rec == NULL || r->path == NULL) {
		restore_free(r);
		return NULL;
	}
	memcpy(r->path, path, len);
	r->path[len] = '\0';
	r->len = len;
	stage_name(r);
	return r;
}

int
restore_version(struct node *n, const struct record *rec, const struct keepers *all,
		const struct keepers_found *f, const void *path, size_t len, struct restore **out)
{
	bool rescued = f != NULL && (f->kept.flags & KEPT_RESCUED) != 0;
	struct restore *r;

	*out = NULL;
	if (path_check(path, len) < 0)
		return -EINVAL;
	if (rescued && !keepers_here(f))
		return -EREMOTE;
	r = new_restore(n, f != NULL ? f->kept.r : rec, path, len);
	if (r == NULL)
		return -ENOMEM;
	r->all = all;
	r->found = f;
	r->rec->mode = rec->mode;
	if (rescued)
		r->state = copy_rescued(r);
	else if (rec->kind == KIND_SYMLINK)
		r->state = copy_link(r);
	else
		begin_fetch(r);
	*out = r;
	return 0;
}

int
restore_start(struct node *n, const struct keepers *all, const struct keepers_found *f,
	      const void *path, size_t len, struct restore **out)
{
	return restore_version(n, f->kept.r, all, f, path, len, out);
}

int
restore_state(const struct restore *r)
{
	return r->state;
}

void
restore_free(struct restore *r)
{
	if (r == NULL)
		return;
	if (r->fetching)
		fetch_stop(r->n->fetch, &r->fetch);
	if (r->ours && r->stage[0] != '\0')
		(void)!tree_stage_unlink(r->n->tree,
					 r->stage); /* nothing, or what did not get far */
	record_free(r->rec);
	free(r->path);
	free(r);
}
