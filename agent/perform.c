/* SPDX-License-Identifier: BSD-2-Clause */
/* One change of the tree, step by step: prepare, stage, make durable, INTENT, rename under the
 * lock, look, sync, APPLIED. */
#include "config.h"

#include "agent/store.h"
#include "agent/task.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/hash.h"
#include "proto/path.h"
#include "proto/seeded.h"

#define FRESH_TRIES 4 /* so often the watcher's second look is waited for, and no other taken */
#define REASON_LOCAL "a local change is not logged yet"
#define REASON_BUSY "a program has it open for writing"
#define REASON_FRESH "it changed a moment ago: the watcher looks at it once more"
#define REASON_NOT_EMPTY "not empty: what is left in it is ignored or not logged"

static struct tree *
tree_of(struct run *r)
{
	return r->node->tree;
}

static bool
has_stage_file(const struct run *r)
{
	return r->fetch.file != NULL;
}

/* ---- giving up ---- */

static void
drop_intent(struct run *r)
{
	struct pathent *ent = r->task->ent;

	if (!r->intent)
		return;
	r->intent = false;
	r->task->dropping = true;
	commit_put(r->node->commit, &(struct entry){.type = ENTRY_DROPPED,
						    .path = ent->path,
						    .path_len = ent->path_len});
	apply_dropped(r->task);
}

static const char *
reason_of(int error)
{
	switch (error) {
	case -ENOSPC:
	case -EDQUOT:
		return "no room on the disk (guard.min_free is to stay free)";
	case -EHOSTUNREACH:
		return "no connected member has the content";
	case -EBADMSG:
		return "the content that came did not have its hash";
	case -EACCES:
	case -EPERM:
	case -EROFS:
		return "no permission";
	case -ELOOP:
		return "a symlink is in the way";
	case -EXDEV:
		return "another file system is mounted there";
	case -ENAMETOOLONG:
		return "the name is too long for this file system";
	default:
		return "an I/O error";
	}
}

static const char *
error_class(int error)
{
	switch (error) {
	case -ENOSPC:
	case -EDQUOT:
		return "nospace";
	case -EACCES:
	case -EPERM:
	case -EROFS:
		return "permission";
	default:
		return "io";
	}
}

/* A step failed in earnest: say it, count it, and try again later. */
static void
fail(struct run *r, int error, const char *step)
{
	struct node *n = r->node;
	const struct pathent *ent = r->task->ent;
	const char *why = reason_of(error);

	drop_intent(r);
	if (error != -EHOSTUNREACH) {
		LOG(n->log, LOG_WARN, "apply.failed", why, log_b("path", ent->path, ent->path_len),
		    log_s("step", step), log_err(error));
		errors_add(n->errors, n->wall_ms, "", error_class(error), ent->path, ent->path_len,
			   why);
	}
	task_finish(r, error, why);
}

static void
later(struct run *r, int error, const char *reason)
{
	drop_intent(r);
	task_finish(r, error, reason);
}

/* What was staged is of no use any more. Kept otherwise: the next try finds it. */
static void
unstage(struct run *r)
{
	if (r->action == ACTION_PLACE || r->action == ACTION_EXCHANGE)
		(void)!tree_stage_unlink(tree_of(r), r->stage);
}

/* ---- after the rename ---- */

static void
put_applied(struct run *r, const struct pathent *ent, struct dot dot, uint8_t flags,
	    const struct sig *sig)
{
	commit_put(r->node->commit, &(struct entry){.type = ENTRY_APPLIED,
						    .path = ent->path,
						    .path_len = ent->path_len,
						    .dot = dot,
						    .flags = flags,
						    .sig = *sig});
}

static void
finished(struct commit_done *d)
{
	struct run *r = (struct run *)((char *)d - offsetof(struct run, done));

	task_finish(r, 0, NULL);
}

static void
put_kept(struct run *r)
{
	if (r->kept[0] == '\0')
		return;
	commit_put(r->node->commit, &(struct entry){.type = ENTRY_KEPT,
						    .dot = r->old->dot,
						    .num = r->node->wall_ms,
						    .flags = 0,
						    .rec = *r->old});
}

static uint8_t
shown_flag(const struct run *r)
{
	if (r->plan.what == PLAN_KEEP)
		return 0;
	return r->action == ACTION_TAKE || r->action == ACTION_RMDIR ? APPLIED_ABSENT
								     : APPLIED_SHOWN;
}

static void stuck(struct run *r, int error, const char *step);

/* A directory could not be opened, so no sync was tried on it. A sync that failed has none of these
 * errors, and is not tried again. */
static bool
unopened(int error)
{
	return error == -EMFILE || error == -ENFILE || error == -EACCES || error == -EPERM;
}

static void
dirs_synced(struct sync_job *j, int error)
{
	struct run *r = (struct run *)((char *)j - offsetof(struct run, sync_dirs));

	if (unopened(error)) {
		stuck(r, error, "sync");
		return;
	}
	if (error < 0) {
		r->node->fatal(r->node->arg, "a directory could not be synced", error);
		return;
	}
	put_kept(r);
	if (r->from != NULL)
		put_applied(r, r->from, r->from_dot, APPLIED_ABSENT, &(struct sig){0});
	put_applied(r, r->task->ent, r->rec != NULL ? r->rec->dot : (struct dot){0, 0},
		    shown_flag(r), &r->sig);
	r->intent = false;
	r->done.done = finished;
	commit_then(r->node->commit, &r->done);
}

/* What was displaced goes from the stage to the store, under its dot. */
static int
keep_displaced(struct run *r)
{
	int e;

	if (r->kept[0] == '\0' || r->in_store)
		return 0;
	e = SEEDED(displaced_lost) ? tree_stage_unlink(tree_of(r), r->stage)
				   : store_keep(r->node, r->stage, r->kept, r->old);
	r->in_store = e == 0;
	return e;
}

/*
 * The rename is done and its end is not: no room for a name in the store, no descriptor for a
 * directory. Nothing is lost meanwhile: the intent stays open, so that nobody else touches the path
 * or the stage file, and the rest is tried again until it works (perform_applied).
 */
static void
stuck(struct run *r, int error, const char *step)
{
	struct node *n = r->node;
	const struct pathent *ent = r->task->ent;
	const char *why = reason_of(error);

	if (!r->told_stuck) {
		LOG(n->log, LOG_WARN, "apply.stuck", why, log_b("path", ent->path, ent->path_len),
		    log_s("step", step), log_err(error));
		errors_add(n->errors, n->wall_ms, "", error_class(error), ent->path, ent->path_len,
			   why);
	}
	r->told_stuck = true;
	r->task->reason = why;
	apply_stuck(n->apply, r);
}

void
perform_applied(struct run *r)
{
	struct pathent *ent = r->task->ent;
	int e = keep_displaced(r);

	if (e < 0) {
		stuck(r, e, "keep");
		return;
	}
	r->sync_dirs =
		(struct sync_job){.kind = SYNC_DIRS, .stage = true, .kept = r->kept[0] != '\0'};
	if (r->plan.what != PLAN_KEEP) {
		r->sync_dirs.dir[0] = ent->path;
		r->sync_dirs.dir_len[0] = path_parent(ent->path, ent->path_len);
	}
	if (r->from != NULL) {
		r->sync_dirs.dir[1] = r->from->path;
		r->sync_dirs.dir_len[1] = path_parent(r->from->path, r->from->path_len);
	}
	r->sync_dirs.done = dirs_synced;
	syncer_add(r->node->syncer, &r->sync_dirs);
}

/* ---- the rename, under the lock ---- */

/* A signature that no file has: the watcher will look at the path again. */
static struct sig
sig_stale(const struct sig *s)
{
	struct sig stale = *s;

	stale.ctime_ns = 0;
	return stale;
}

/* A write in the very tick of the clock that a file has for both its times would not show, nor
 * would one in a long tick that puts its time back: the watcher looks at its bytes when that is
 * over. */
static void
doubt(struct sig *s)
{
	if (s->kind == KIND_FILE && (s->mtime_ns == s->ctime_ns || sig_coarse(s)))
		s->provisional = true;
}

/* The signature of what is shown now, if it is still just what was put there: as it was staged. */
static void
take_sig(struct run *r, uint64_t ino)
{
	struct pathent *ent = r->task->ent;
	struct sig now;
	int e = has_stage_file(r) ? tfile_stat(r->fetch.file, &now, NULL)
				  : tree_stat(tree_of(r), ent->path, ent->path_len, &now, NULL);

	if (e < 0 || now.ino != ino || !sig_eq_renamed(&now, &r->sig))
		r->sig = sig_stale(&r->sig);
	else
		r->sig = now;
	doubt(&r->sig);
}

/* From the look on until let_go nobody can write to it, so a rename in between moves just what was
 * looked at, or something else that has come to the name. Without leases that is not so. */
static int
hold(struct run *r, const struct pathent *ent)
{
	struct sig now;
	int e = tree_open_file(tree_of(r), ent->path, ent->path_len, &r->held);

	if (e < 0)
		return e == -ENOENT || e == -EISDIR || e == -EMEDIUMTYPE || e == -ELOOP ? -EBADE
											: e;
	e = tfile_hold(r->held);
	if (e == 0 || e == -EPERM)
		e = tfile_stat(r->held, &now, NULL);
	return e == 0 && !sig_eq(&now, &ent->sig) ? -EBADE : e;
}

static void
let_go(struct run *r)
{
	tfile_close(r->held);
	r->held = NULL;
}

/* Is what lies at the path just what the index says is shown there? -EBADE: no. Yes or no, let_go
 * comes next. */
static int
as_known(struct run *r, const struct pathent *ent)
{
	struct sig now;
	int e = tree_stat(tree_of(r), ent->path, ent->path_len, &now, NULL);

	if (e < 0 && e != -EMEDIUMTYPE)
		return e == -ENOENT || e == -ELOOP ? -EBADE : e;
	if (e == -EMEDIUMTYPE || !sig_eq(&now, &ent->sig))
		return -EBADE;
	return now.kind == KIND_FILE && !SEEDED(writer_ignored) ? hold(r, ent) : 0;
}

/* The same, only to know. */
static int
looks_known(struct run *r, const struct pathent *ent)
{
	int e = as_known(r, ent);

	let_go(r);
	return e;
}

/*
 * May it have been written to again under the same times? Then its signature proves nothing, and
 * what is displaced would go to the store under the name of a version that it is not. The watcher
 * reads it again when that tick of the clock is over. What was altered is no version anyway, and is
 * kept under a name of its own.
 */
static bool
fresh(const struct pathent *ent)
{
	return ent->sig.kind == KIND_FILE && ent->sig.provisional && !ent->altered &&
	       !SEEDED(fresh_displaced);
}

/* EXCHANGE brought out something that nobody has logged: put it back at once. */
static int
undo_exchange(struct run *r)
{
	struct pathent *ent = r->task->ent;
	struct sig now;
	int e = tree_stat(tree_of(r), ent->path, ent->path_len, &now, NULL);

	if (e == 0 && now.ino == r->ino) {
		e = tree_exchange(tree_of(r), r->stage, ent->path, ent->path_len);
		if (e == 0 && tree_stage_stat(tree_of(r), r->stage, &now) == 0 && now.ino == r->ino)
			return -EBADE;
		if (e == 0) /* somebody was faster again: what he put there stays */
			(void)!tree_exchange(tree_of(r), r->stage, ent->path, ent->path_len);
	}
	return 0; /* the newest local content stays at the path; what came out is rescued */
}

/* What came out was never logged, or nobody can say what it is, and it cannot go back: it is kept
 * under a name of its own. */
static void
rescue(struct run *r)
{
	struct node *n = r->node;
	uint64_t id = node_random(n);
	struct record *rec = r->old;
	char name[48];
	struct sig s;
	int e;

	if (tree_stage_stat(n->tree, r->stage, &s) < 0)
		s = r->old_sig; /* as good a guess as any: it is kept, whatever it is */
	snprintf(name, sizeof(name), "rescued-%016llx", (unsigned long long)id);
	e = tree_keep(n->tree, r->stage, name);
	if (e == -ENOENT) { /* somebody took it out of the stage */
		r->kept[0] = '\0';
		return;
	}
	if (e < 0) {
		n->fatal(n->arg, "content that nobody had logged could not be kept", e);
		return;
	}
	store_rescued_record(rec, &s);
	commit_put(n->commit, &(struct entry){.type = ENTRY_KEPT,
					      .dot = {0, id},
					      .num = n->wall_ms,
					      .flags = KEPT_RESCUED,
					      .rec = *rec});
	LOG(n->log, LOG_WARN, "apply.rescued", "content that nobody had logged was kept",
	    log_b("path", r->task->ent->path, r->task->ent->path_len), log_s("kept", name));
	r->kept[0] = '\0';
}

/* The right bytes are back; those that lay there instead are kept. */
static void
repaired(struct run *r)
{
	struct node *n = r->node;
	const struct pathent *ent = r->task->ent;
	const char *what =
		"it did not have its content any more: put back, the other bytes are kept";

	rescue(r);
	LOG(n->log, LOG_WARN, "apply.repaired", what, log_b("path", ent->path, ent->path_len));
	errors_add(n->errors, n->wall_ms, "", "altered", ent->path, ent->path_len, what);
}

static int
do_exchange(struct run *r)
{
	struct pathent *ent = r->task->ent;
	struct sig out;
	int e = fresh(ent) ? -EINPROGRESS : as_known(r, ent);

	if (e < 0)
		return e;
	e = tree_exchange(tree_of(r), r->stage, ent->path, ent->path_len);
	if (e < 0)
		return e == -ENOENT ? -EBADE : e;
	e = tree_stage_stat(tree_of(r), r->stage, &out);
	if ((e < 0 || !sig_eq_renamed(&out, &r->old_sig)) && !SEEDED(no_look_out)) {
		if ((e = undo_exchange(r)) < 0)
			return e;
		rescue(r);
		r->sig = sig_stale(&r->fetch.sig);
		return 0;
	}
	if (ent->altered)
		repaired(r);
	take_sig(r, r->ino);
	return 0;
}

static int
do_take(struct run *r)
{
	struct pathent *ent = r->task->ent;
	struct sig out;
	int e = fresh(ent) ? -EINPROGRESS : as_known(r, ent);

	if (e < 0)
		return e;
	e = tree_take(tree_of(r), ent->path, ent->path_len, r->stage);
	if (e < 0)
		return e == -ENOENT ? -EBADE : e;
	e = tree_stage_stat(tree_of(r), r->stage, &out);
	if (e < 0 || !sig_eq_renamed(&out, &r->old_sig)) {
		if (tree_place(tree_of(r), r->stage, ent->path, ent->path_len) == 0)
			return -EBADE;
		rescue(r); /* the name was taken again meanwhile: that is the newest */
	} else if (ent->altered) {
		rescue(r);
	}
	return 0;
}

/* Was it what was held that came to the path? */
static bool
moved(struct run *r, const struct pathent *ent)
{
	return r->held != NULL && tfile_moved_to(tree_of(r), r->held, ent->path, ent->path_len);
}

static int
do_move(struct run *r)
{
	struct pathent *ent = r->task->ent, *from = r->from;
	struct sig now;
	int e = fresh(from) ? -EBADE : as_known(r, from);

	if (e < 0)
		return e;
	e = tree_move(tree_of(r), from->path, from->path_len, ent->path, ent->path_len);
	if (e < 0)
		return e == -EEXIST ? -EBADE : e;
	e = tree_stat(tree_of(r), ent->path, ent->path_len, &now, NULL);
	if (e < 0 || !sig_eq_renamed(&now, &from->sig)) {
		/* What came to its new name since is somebody's, and stays there. */
		if (e == 0 && !moved(r, ent) &&
		    tree_move(tree_of(r), ent->path, ent->path_len, from->path, from->path_len) ==
			    0)
			return -EBADE;
		r->sig = sig_stale(&from->sig);
		return 0;
	}
	r->sig = now;
	doubt(&r->sig);
	if (now.mode != r->rec->mode || now.mtime_ns != r->rec->mtime_ns) {
		(void)!tree_set_meta(tree_of(r), ent->path, ent->path_len, now.ino, r->rec->mode,
				     r->rec->mtime_ns, UINT32_MAX, UINT32_MAX);
		if (tree_stat(tree_of(r), ent->path, ent->path_len, &r->sig, NULL) < 0)
			r->sig = sig_stale(&now);
		r->sig.provisional = true;
	}
	r->node->counts.local_bytes += r->rec->size;
	return 0;
}

static int
do_mkdir(struct run *r)
{
	struct pathent *ent = r->task->ent;
	uint32_t uid, gid;
	int e;

	task_owner(r->node, ent, r->rec, &uid, &gid);
	e = tree_mkdir(tree_of(r), ent->path, ent->path_len, r->rec != NULL ? r->rec->mode : 0755,
		       uid, gid);
	if (e < 0 && e != -EPERM)
		return e == -EEXIST ? -EBADE : e;
	return tree_stat(tree_of(r), ent->path, ent->path_len, &r->sig, NULL);
}

static int
do_meta(struct run *r)
{
	struct pathent *ent = r->task->ent;
	struct sig now;
	uint32_t uid = UINT32_MAX, gid = UINT32_MAX;
	int e = tree_stat(tree_of(r), ent->path, ent->path_len, &now, NULL);

	if (e < 0 || now.ino != r->ino || now.kind != r->rec->kind ||
	    (now.kind == KIND_FILE && !sig_eq(&now, &r->old_sig)))
		return e == 0 || e == -ENOENT ? -EBADE : e;
	if (r->node->conf->owner_mode == OWNER_PRESERVE)
		task_owner(r->node, ent, r->rec, &uid, &gid);
	e = tree_set_meta(tree_of(r), ent->path, ent->path_len, r->ino, r->rec->mode,
			  r->rec->mtime_ns, uid, gid);
	if (e < 0 && e != -EPERM)
		return e == -ESTALE ? -EBADE : e;
	e = tree_stat(tree_of(r), ent->path, ent->path_len, &r->sig, NULL);
	/* Somebody may have written after the first look, and our mtime hides it. */
	r->sig.provisional = r->sig.kind == KIND_FILE;
	return e;
}

static int
do_action(struct run *r)
{
	struct pathent *ent = r->task->ent;
	int e;

	switch (r->action) {
	case ACTION_PLACE:
		e = tree_place(tree_of(r), r->stage, ent->path, ent->path_len);
		if (e == 0)
			take_sig(r, r->ino);
		return e == -EEXIST ? -EBADE : e;
	case ACTION_EXCHANGE:
		return do_exchange(r);
	case ACTION_TAKE:
		return do_take(r);
	case ACTION_MOVE:
		return do_move(r);
	case ACTION_MKDIR:
		return do_mkdir(r);
	case ACTION_RMDIR:
		e = tree_rmdir(tree_of(r), ent->path, ent->path_len);
		return e == -ENOENT ? 0 : e;
	case ACTION_META:
	default:
		return do_meta(r);
	}
}

/* Does the index, caught up under the lock, still want just this? */
static bool
still_wanted(struct run *r)
{
	struct pathent *ent = r->task->ent;
	bool ignored = node_ignored(r->node, ent->path, ent->path_len, false);
	struct plan p = plan_path(r->node->index, ent, ignored);

	if (ent->intent == NULL || ent->intent->ent != ent || p.what != r->plan.what ||
	    p.action != r->plan.action || p.room != r->plan.room)
		return false;
	if ((p.rec == NULL) != (r->rec == NULL) ||
	    (p.rec != NULL && !dot_eq(p.rec->r->dot, r->rec->dot)))
		return false;
	if (r->from == NULL)
		return true;
	return r->from->shown != NULL && dot_eq(r->from->shown->r->dot, r->from_rec->dot) &&
	       plan_path(r->node->index, r->from, false).action == ACTION_TAKE;
}

/* Remembers what is about to be displaced, for the store and for the look at what came out. */
static int
remember_old(struct run *r)
{
	struct pathent *ent = r->task->ent;

	if (ent->shown == NULL || r->action == ACTION_META)
		return 0;
	record_free(r->old);
	r->old = record_dup(ent->shown->r);
	if (r->old == NULL)
		return -ENOMEM;
	r->old_sig = ent->sig;
	if (!ent->altered && (r->action == ACTION_EXCHANGE || r->action == ACTION_TAKE))
		task_kept_name(r->old->dot, r->kept);
	return 0;
}

static void
not_as_known(struct run *r)
{
	drop_intent(r);
	adopt(r);
}

static void
dropped(struct commit_done *d)
{
	struct run *r = (struct run *)((char *)d - offsetof(struct run, done));

	unstage(r);
	task_finish(r, 0, NULL);
}

/* What was staged goes only when DROPPED is durable: recovery takes an intent whose stage file is
 * not there for one that was carried out. */
static void
wanted_no_more(struct run *r)
{
	drop_intent(r);
	r->done.done = dropped;
	commit_then(r->node->commit, &r->done);
}

static void
under_lock(struct commit_locked *j)
{
	struct run *r = (struct run *)((char *)j - offsetof(struct run, locked));
	int e;

	if (!still_wanted(r) && !SEEDED(not_asked_again)) {
		wanted_no_more(r);
		return;
	}
	e = remember_old(r);
	if (e == 0)
		e = do_action(r);
	let_go(r);
	if (e == -EBADE)
		not_as_known(r);
	else if (e == -EAGAIN)
		later(r, e, REASON_BUSY);
	else if (e == -EINPROGRESS)
		later(r, -EAGAIN, REASON_FRESH);
	else if (e == -ENOTEMPTY)
		later(r, e, REASON_NOT_EMPTY);
	else if (e < 0)
		fail(r, e, "rename");
	else
		perform_applied(r);
}

/* ---- INTENT ---- */

static void
intent_durable(struct commit_done *d)
{
	struct run *r = (struct run *)((char *)d - offsetof(struct run, done));

	r->locked.run = under_lock;
	commit_under_lock(r->node->commit, &r->locked);
}

static void
put_intent(struct run *r)
{
	struct pathent *ent = r->task->ent;

	commit_put(r->node->commit,
		   &(struct entry){.type = ENTRY_INTENT,
				   .path = ent->path,
				   .path_len = ent->path_len,
				   .dot = r->rec != NULL ? r->rec->dot : (struct dot){0, 0},
				   .action = (uint8_t)r->action,
				   .ino = r->ino,
				   .from = r->from != NULL ? r->from->path : NULL,
				   .from_len = r->from != NULL ? r->from->path_len : 0});
	r->intent = true;
	r->done.done = intent_durable;
	commit_then(r->node->commit, &r->done);
}

/* ---- staging ---- */

/* A loser's content is complete: from the stage into the store. */
static void
keep_loser(struct run *r)
{
	task_kept_name(r->rec->dot, r->kept);
	r->old = record_dup(r->rec);
	if (r->old == NULL) {
		fail(r, -ENOMEM, "keep");
		return;
	}
	perform_applied(r);
}

static void
staged_durable(struct sync_job *j, int error)
{
	struct run *r = (struct run *)((char *)j - offsetof(struct run, sync_file));

	if (error < 0) { /* never tried again on this file: its pages may be marked clean */
		(void)!tree_stage_unlink(tree_of(r), r->stage);
		fail(r, error, "sync");
	} else if (r->plan.what == PLAN_KEEP) {
		keep_loser(r);
	} else {
		put_intent(r);
	}
}

static void
sync_staged(struct run *r)
{
	r->sync_file = (struct sync_job){.kind = SEEDED(stage_not_synced) ? SYNC_DIRS : SYNC_FILE,
					 .file = r->fetch.file,
					 .stage = true,
					 .done = staged_durable};
	if (!has_stage_file(r))
		r->sync_file.kind = SYNC_DIRS;
	syncer_add(r->node->syncer, &r->sync_file);
}

static void
fetched(struct fetch_job *j, int error)
{
	struct run *r = (struct run *)((char *)j - offsetof(struct run, fetch));

	r->fetching = false;
	if (error < 0) {
		if (j->have_bytes == 0) /* nothing that a later try could go on from */
			(void)!tree_stage_unlink(tree_of(r), r->stage);
		fail(r, error, "fetch");
		return;
	}
	r->ino = j->sig.ino;
	r->sig = j->sig;
	sync_staged(r);
}

/* Does the path show a file whose bytes are known? */
static bool
has_base(const struct pathent *ent)
{
	return ent->shown != NULL && ent->shown->r->kind == KIND_FILE && !ent->altered;
}

static void
stage_file(struct run *r)
{
	struct pathent *ent = r->task->ent;

	memcpy(r->fetch.stage, r->stage, sizeof(r->fetch.stage));
	r->fetch.rec = r->rec;
	r->fetch.base = has_base(ent) ? ent : NULL;
	r->fetch.low = r->plan.what == PLAN_KEEP;
	task_owner(r->node, ent, r->rec, &r->fetch.uid, &r->fetch.gid);
	r->fetch.done = fetched;
	r->fetching = true;
	fetch_start(r->node->fetch, &r->fetch);
}

/* A target comes with its record, so nobody else can have a better one: only another version ends
 * it. */
static void
wrong_target(struct run *r)
{
	struct node *n = r->node;

	LOG(n->log, LOG_ERROR, "fetch.hash",
	    "the target of a symlink does not have the hash that its record says",
	    log_b("path", r->rec->path, r->rec->path_len));
	errors_add(n->errors, n->wall_ms, "", "hash", r->rec->path, r->rec->path_len,
		   "the target of a symlink did not have its hash");
	task_finish(r, -EBADMSG, reason_of(-EBADMSG));
}

static bool
target_good(const struct record *r)
{
	uint8_t hash[RECORD_HASH_BYTES];

	return hash_of(r->target, r->target_len, hash) == 0 &&
	       memcmp(hash, r->hash, sizeof(hash)) == 0;
}

static void
stage_symlink(struct run *r)
{
	struct sig s;
	int e;

	if (!target_good(r->rec)) {
		wrong_target(r);
		return;
	}
	(void)!tree_stage_unlink(tree_of(r), r->stage);
	e = tree_stage_symlink(tree_of(r), r->stage, r->rec->target, r->rec->target_len,
			       r->rec->mtime_ns);
	if (e == 0)
		e = tree_stage_stat(tree_of(r), r->stage, &s);
	if (e < 0) {
		fail(r, e, "stage");
		return;
	}
	r->ino = s.ino;
	r->sig = s;
	sync_staged(r);
}

static void
stage(struct run *r)
{
	dot_text(r->rec->dot, r->stage);
	if (r->rec->kind == KIND_SYMLINK)
		stage_symlink(r);
	else
		stage_file(r);
}

/* ---- a move: the same content lies where a delete is at hand ---- */

/* Are its bytes those of a version that lost to the delete, as an import does? Then they belong
 * into the store. */
static bool
of_loser(const struct pathent *src)
{
	for (const struct irec *i = src->recs; i != NULL; i = i->next)
		if (i->head && record_live(i->r) && record_same_content(i->r, src->shown->r))
			return true;
	return false;
}

static bool
can_move_from(struct run *r, const struct pathent *src)
{
	const struct task *t = src->work;
	struct plan p;

	if (src == r->task->ent || t == NULL || t->state == TASK_ACTIVE || t->reserved ||
	    src->intent != NULL)
		return false;
	if (src->shown == NULL || of_loser(src))
		return false;
	p = plan_path(r->node->index, src, node_ignored(r->node, src->path, src->path_len, false));
	return p.what == PLAN_ACT && p.action == ACTION_TAKE && p.rec != NULL;
}

static bool
start_move(struct run *r)
{
	struct pathent *src = index_content(r->node->index, r->rec->hash, r->rec->size);
	struct task *t;

	if (r->rec->size == 0 || src == NULL || !can_move_from(r, src) || fresh(src) ||
	    looks_known(r, src) < 0)
		return false;
	r->from_rec = record_dup(src->shown->r);
	if (r->from_rec == NULL)
		return false;
	t = src->work;
	t->reserved = true;
	r->from = src;
	r->from_dot = index_winner(src)->r->dot;
	r->action = ACTION_MOVE;
	r->ino = src->sig.ino;
	put_intent(r);
	return true;
}

/* ---- before anything is written ---- */

static int
stop_at_first(void *arg, const char *name, size_t name_len, uint8_t d_type)
{
	(void)arg;
	(void)name;
	(void)name_len;
	(void)d_type;
	return 1;
}

static void
start_rmdir(struct run *r)
{
	struct pathent *ent = r->task->ent;
	int e = tree_list(tree_of(r), ent->path, ent->path_len, stop_at_first, NULL);

	if (e == -ELOOP) {
		adopt(r);
	} else if (e < 0 && e != -ENOENT) {
		fail(r, e, "list");
	} else if (e > 0 && r->rec != NULL && !r->plan.room) {
		put_applied(r, ent, r->rec->dot, APPLIED_LEFT,
			    &(struct sig){0}); /* the directory has to stay */
		apply_left(r->node->apply, ent);
		r->done.done = finished;
		commit_then(r->node->commit, &r->done);
	} else if (e > 0) {
		later(r, -ENOTEMPTY, REASON_NOT_EMPTY);
	} else {
		put_intent(r);
	}
}

static void
start_place(struct run *r)
{
	struct pathent *ent = r->task->ent;
	struct sig now;
	int e = tree_stat(tree_of(r), ent->path, ent->path_len, &now, NULL);

	if (e == 0 || e == -EMEDIUMTYPE || e == -ELOOP)
		adopt(r);
	else if (e != -ENOENT)
		fail(r, e, "look");
	else if (r->rec->kind != KIND_FILE || !start_move(r))
		stage(r);
}

static void
start_mkdir(struct run *r)
{
	struct pathent *ent = r->task->ent;
	struct sig now;
	int e = tree_stat(tree_of(r), ent->path, ent->path_len, &now, NULL);

	if (e == 0 || e == -EMEDIUMTYPE || e == -ELOOP)
		adopt(r);
	else if (e != -ENOENT)
		fail(r, e, "look");
	else
		put_intent(r);
}

/* Its second look is the watcher's, soon. But if that one finds the very version that is to be
 * here, which a user wrote in that tick, it leaves it to this program to take that on. */
static void
start_fresh(struct run *r)
{
	if (r->task->backoff.attempts < FRESH_TRIES)
		later(r, -EAGAIN, REASON_FRESH);
	else
		adopt(r);
}

/* The path must show what the index thinks, and nobody may be writing, before it is worth an
 * INTENT. */
static void
start_change(struct run *r)
{
	struct pathent *ent = r->task->ent;
	int e;

	if (r->action == ACTION_META && ent->sig.kind == KIND_DIR) {
		struct sig now;

		e = tree_stat(tree_of(r), ent->path, ent->path_len, &now, NULL);
		if (e == 0 && now.kind != KIND_DIR)
			e = -EBADE;
		r->ino = now.ino;
	} else {
		e = looks_known(r, ent);
		r->ino = ent->sig.ino;
		r->old_sig = ent->sig;
	}
	if (e == -EBADE || e == -ENOENT || e == -ELOOP)
		adopt(r);
	else if (e == -EAGAIN)
		later(r, e, REASON_BUSY);
	else if (e < 0)
		fail(r, e, "look");
	else if (r->action != ACTION_META && fresh(ent))
		start_fresh(r);
	else if (r->action == ACTION_EXCHANGE)
		stage(r);
	else
		put_intent(r);
}

void
perform(struct run *r)
{
	struct pathent *ent = r->task->ent;

	if (r->plan.what == PLAN_KEEP) {
		stage(r);
		return;
	}
	switch (r->action) {
	case ACTION_PLACE:
		start_place(r);
		break;
	case ACTION_MKDIR:
		start_mkdir(r);
		break;
	case ACTION_RMDIR:
		start_rmdir(r);
		break;
	case ACTION_TAKE:
		task_out_name(ent->shown->r->dot, r->stage);
		start_change(r);
		break;
	default:
		start_change(r);
		break;
	}
}
