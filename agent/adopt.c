/* SPDX-License-Identifier: BSD-2-Clause */
/* Something that the index does not know lies at the path: is it a version that waits here, or a
 * local change? */
#include "config.h"

#include "agent/task.h"
#include "conf/hash.h"
#include "proto/path.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PROBE_CHUNK_BYTES (256u * 1024)
#define REASON_LOCAL "a local change is not logged yet"

/* ---- in a worker: what is there? ---- */

static int
hash_file(struct run *r, uint8_t *chunk)
{
	struct hash *h = hash_new();
	uint64_t off = 0;
	ssize_t got = 0;
	int e;

	if (h == NULL)
		return -ENOMEM;
	while ((got = tfile_read_at(r->probe_file, off, chunk, PROBE_CHUNK_BYTES)) > 0) {
		hash_update(h, chunk, (size_t)got);
		off += (uint64_t)got;
	}
	e = hash_final(h, r->probe_state.hash);
	hash_free(h);
	return got < 0 ? (int)got : e;
}

static int
probe_file(struct run *r)
{
	struct sig after;
	uint8_t *chunk;
	int e = tfile_lease(r->probe_file);

	if (e < 0 && e != -EPERM)
		return e;
	chunk = malloc(PROBE_CHUNK_BYTES);
	if (chunk == NULL)
		return -ENOMEM;
	e = hash_file(r, chunk);
	free(chunk);
	if (e == 0)
		e = tfile_stat(r->probe_file, &after, NULL);
	if (e == 0 && !sig_eq(&after, &r->probe_sig))
		e = -EAGAIN;
	return e;
}

static void
probe_run(struct work_job *j)
{
	struct run *r = (struct run *)((char *)j - offsetof(struct run, probe));

	r->probe_error = probe_file(r);
}

/* ---- the verdict, under the lock ---- */

/* Is nothing there? A symlink that took a directory's place is on the way to nothing either: what
 * lay below has gone, and nobody follows it. */
static bool
is_absent(int error)
{
	return error == -ENOENT || error == -ELOOP;
}

static bool
same_place(struct run *r)
{
	struct pathent *ent = r->task->ent;
	struct sig now;
	int e = tree_stat(r->node->tree, ent->path, ent->path_len, &now, NULL);

	if (r->probe_state.kind == KIND_ABSENT)
		return is_absent(e);
	return e == 0 && sig_eq(&now, &r->probe_sig);
}

static void
adopted(struct commit_done *d)
{
	struct run *r = (struct run *)((char *)d - offsetof(struct run, done));

	task_finish(r, 0, NULL);
}

static void
put_adopted(struct run *r, struct dot dot)
{
	struct pathent *ent = r->task->ent;
	struct sig sig = r->probe_sig;

	sig.provisional = true;
	commit_put(r->node->commit,
		   &(struct entry){.type = ENTRY_APPLIED,
				   .path = ent->path,
				   .path_len = ent->path_len,
				   .dot = dot,
				   .flags = r->probe_state.kind == KIND_ABSENT ? APPLIED_ABSENT
									       : APPLIED_SHOWN,
				   .sig = sig});
	r->done.done = adopted;
	commit_then(r->node->commit, &r->done);
}

/* The bytes are those that are wanted, only mode or time differ, and nothing was logged here: take
 * them on and set the rest. */
static bool
wants_only_meta(const struct run *r)
{
	const struct pathent *ent = r->task->ent;

	if (r->rec == NULL || r->plan.what != PLAN_ACT || ent->shown != NULL || ent->shown_dir)
		return false;
	if (r->action == ACTION_MKDIR)
		return r->probe_state.kind == KIND_DIR;
	return r->action == ACTION_PLACE && r->rec->kind == KIND_FILE &&
	       record_same_content(&r->probe_state, r->rec);
}

static int
set_meta(struct run *r)
{
	struct pathent *ent = r->task->ent;
	int e = tree_set_meta(r->node->tree, ent->path, ent->path_len, r->probe_sig.ino,
			      r->rec->mode, r->rec->mtime_ns, UINT32_MAX, UINT32_MAX);

	if (e < 0 && e != -EPERM)
		return e;
	return tree_stat(r->node->tree, ent->path, ent->path_len, &r->probe_sig, NULL);
}

static void
verdict(struct commit_locked *j)
{
	struct run *r = (struct run *)((char *)j - offsetof(struct run, locked));
	struct pathent *ent = r->task->ent;
	struct irec *echo;

	if (ent->intent != NULL || !same_place(r)) {
		task_finish(r, -EAGAIN, REASON_LOCAL);
		return;
	}
	echo = index_echo(r->node->index, ent, &r->probe_state, false);
	if (echo != NULL)
		put_adopted(r, echo->r->dot);
	else if (r->probe_state.kind == KIND_DIR && r->rec == NULL && ent->shown == NULL &&
		 !ent->shown_dir && r->action == ACTION_MKDIR)
		put_adopted(r, (struct dot){0, 0});
	else if (wants_only_meta(r) && index_record(ent, r->rec->dot) != NULL && set_meta(r) == 0)
		put_adopted(r, r->rec->dot);
	else
		task_finish(r, -EAGAIN, REASON_LOCAL);
}

static void
judge(struct run *r)
{
	r->locked.run = verdict;
	commit_under_lock(r->node->commit, &r->locked);
}

static void
durable(struct sync_job *j, int error)
{
	struct run *r = (struct run *)((char *)j - offsetof(struct run, sync_file));

	tfile_close(r->probe_file);
	r->probe_file = NULL;
	if (error < 0)
		r->node->fatal(r->node->arg, "what is taken on could not be synced", error);
	else
		judge(r);
}

/* A user has put it there, or taken it away, and nobody has synced it: after a power cut it must
 * still be what the log says. */
static void
make_durable(struct run *r)
{
	const struct pathent *ent = r->task->ent;

	r->sync_file = (struct sync_job){.kind = r->probe_file != NULL ? SYNC_FILE : SYNC_DIRS,
					 .file = r->probe_file,
					 .dir[0] = ent->path,
					 .dir_len[0] = path_parent(ent->path, ent->path_len),
					 .done = durable};
	syncer_add(r->node->syncer, &r->sync_file);
}

static void
probe_done(struct work_job *j)
{
	struct run *r = (struct run *)((char *)j - offsetof(struct run, probe));

	if (r->probe_error < 0)
		task_finish(r, r->probe_error,
			    r->probe_error == -EAGAIN ? REASON_LOCAL : "it cannot be read");
	else
		make_durable(r);
}

/* ---- the look ---- */

static int
look_link(struct run *r)
{
	struct pathent *ent = r->task->ent;
	ssize_t n = tree_readlink(r->node->tree, ent->path, ent->path_len, r->probe_target,
				  sizeof(r->probe_target));

	if (n < 0)
		return (int)n;
	r->probe_state.target = r->probe_target;
	r->probe_state.target_len = (uint16_t)n;
	r->probe_state.size = (uint64_t)n;
	return hash_of(r->probe_target, (size_t)n, r->probe_state.hash);
}

static int
look(struct run *r)
{
	struct pathent *ent = r->task->ent;
	int e = tree_stat(r->node->tree, ent->path, ent->path_len, &r->probe_sig, NULL);

	r->probe_state = (struct record){.path = ent->path, .path_len = ent->path_len};
	if (is_absent(e)) {
		r->probe_sig = (struct sig){0};
		return 0;
	}
	if (e < 0)
		return e;
	r->probe_state.kind = r->probe_sig.kind;
	r->probe_state.mode = r->probe_sig.mode & RECORD_MODE_MASK;
	r->probe_state.mtime_ns = r->probe_sig.mtime_ns;
	r->probe_state.size = r->probe_sig.size;
	if (r->probe_sig.kind == KIND_SYMLINK)
		return look_link(r);
	if (r->probe_sig.kind == KIND_FILE)
		return tree_open_file(r->node->tree, ent->path, ent->path_len, &r->probe_file);
	r->probe_state.size = 0;
	return 0;
}

void
adopt(struct run *r)
{
	int e = look(r);

	if (e == -EMEDIUMTYPE) {
		task_finish(r, e, "a device, FIFO or socket has this name");
	} else if (e < 0) {
		task_finish(r, e, "it cannot be read");
	} else if (r->probe_file != NULL) {
		r->probe = (struct work_job){.run = probe_run, .done = probe_done};
		work_submit(r->node->work, &r->probe);
	} else {
		make_durable(r);
	}
}
