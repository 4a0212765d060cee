/* SPDX-License-Identifier: BSD-2-Clause */
/* After a crash: what became of each open intent, and how it goes on. */
#include "config.h"

#include "agent/recover.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/commit.h"
#include "agent/store.h"
#include "agent/task.h"
#include "proto/seeded.h"

struct finding {
	bool renamed;
	bool keep;        /* what was displaced lies in work/kept or is on its way there */
	int error;        /* the intent stays open: the next start looks at it again */
	struct sig shown; /* what the path shows now */
};

static bool
path_sig(struct node *n, const struct pathent *ent, struct sig *s)
{
	return tree_stat(n->tree, ent->path, ent->path_len, s, NULL) == 0;
}

/* Is it in the stage? 1, 0; -errno: nobody knows, and then nothing may follow from it. */
static int
staged(struct node *n, const char *stage, struct sig *s)
{
	int e = tree_stage_stat(n->tree, stage, s);

	return e == 0 ? 1 : e == -ENOENT ? 0 : e;
}

/* An error leaves everything as it is: what nobody has logged must not stay under a name of the
 * stage that means something else once the intent is closed. */
static int
put_rescued(struct node *n, const struct pathent *ent, const char *stage)
{
	uint64_t id = node_random(n);
	struct record rec;
	char name[48];
	struct sig s;
	int e = staged(n, stage, &s);

	if (ent->shown == NULL || e <= 0)
		return e < 0 ? e : 0;
	snprintf(name, sizeof(name), "rescued-%016llx", (unsigned long long)id);
	e = tree_keep(n->tree, stage, name);
	if (e < 0)
		return e;
	rec = *ent->shown->r;
	store_rescued_record(&rec, &s);
	commit_put(n->commit, &(struct entry){.type = ENTRY_KEPT,
					      .dot = {0, id},
					      .num = n->wall_ms,
					      .flags = KEPT_RESCUED,
					      .rec = rec});
	LOG(n->log, LOG_WARN, "recover.rescued", "content that nobody had logged was kept",
	    log_b("path", ent->path, ent->path_len), log_s("kept", name));
	return 0;
}

/* The displaced version: is it in the store under its dot, now if it still was in the stage? 1, 0;
 * -errno: nobody knows. */
static int
displaced_kept(struct node *n, const struct pathent *ent, const char *stage)
{
	char kept[48];
	struct sig s;
	int e;

	if (ent->shown == NULL || ent->altered)
		return 0;
	task_kept_name(ent->shown->r->dot, kept);
	e = staged(n, stage, &s);
	if (e < 0 || (e > 0 && !sig_eq_renamed(&s, &ent->sig)))
		return e < 0 ? e : 0;
	if (e > 0)
		(void)!store_keep(n, stage, kept, ent->shown->r);
	e = tree_kept_stat(n->tree, kept, &s);
	if (e < 0 && e != -ENOENT)
		return e;
	return e == 0 && s.ino == ent->sig.ino;
}

/*
 * What was staged is gone, so it was put in its place: that holds as long as the log is no older
 * than the tree. If it is, an old copy, the stage file may have gone in a time that this log knows
 * nothing of, and what the path shows may be anybody's: then it has to be seen there.
 */
static bool
placed(const struct node *n, const struct intent *in, const struct sig *shown)
{
	const struct irec *rec = index_record(in->ent, in->dot);

	if (!n->old_log)
		return true;
	return shown->ino == in->ino && rec != NULL && sig_shows(shown, rec->r);
}

static struct finding
after_exchange(struct node *n, const struct intent *in, const char *stage)
{
	const struct pathent *ent = in->ent;
	struct finding f = {0};
	bool there = path_sig(n, ent, &f.shown);
	struct sig s;
	int e = staged(n, stage, &s);

	f.error = e < 0 ? e : 0;
	if (e < 0 || (e > 0 && s.ino == in->ino))
		return f;
	e = displaced_kept(n, ent, stage);
	f.keep = e > 0;
	if (e == 0)
		e = staged(n, stage, &s);
	f.error = e < 0 ? e : 0;
	f.renamed = f.keep || placed(n, in, &f.shown);
	if (e <= 0 || f.keep)
		return f;
	if (there && f.shown.ino == in->ino &&
	    tree_exchange(n->tree, stage, ent->path, ent->path_len) == 0) {
		f.renamed = false; /* a local edit had come out: it is back */
		return f;
	}
	f.renamed = true;
	f.error = put_rescued(n, ent, stage);
	return f;
}

static struct finding
after_take(struct node *n, const struct intent *in, const char *stage)
{
	const struct pathent *ent = in->ent;
	struct finding f = {0};
	struct sig s;
	int e;

	(void)path_sig(n, ent, &f.shown);
	e = displaced_kept(n, ent, stage);
	f.keep = f.renamed = e > 0;
	if (e == 0)
		e = staged(n, stage, &s);
	f.error = e < 0 ? e : 0;
	if (e <= 0 || f.keep)
		return f;
	if (tree_place(n->tree, stage, ent->path, ent->path_len) == 0)
		return f; /* a local edit had come out: it is back */
	f.renamed = true;
	f.error = put_rescued(n, ent, stage);
	return f;
}

static struct finding
after_place(struct node *n, const struct intent *in, const char *stage)
{
	struct finding f = {0};
	struct sig s;
	int e = staged(n, stage, &s);

	(void)path_sig(n, in->ent, &f.shown);
	f.error = e < 0 ? e : 0;
	f.renamed = e == 0 || (e > 0 && s.ino != in->ino);
	f.renamed = f.renamed && placed(n, in, &f.shown);
	return f;
}

/* Metadata is set again: the same call gives the same result. */
static bool
meta_again(struct node *n, const struct intent *in, struct sig *shown)
{
	const struct irec *rec = index_record(in->ent, in->dot);

	return rec != NULL && shown->ino == in->ino &&
	       tree_set_meta(n->tree, in->ent->path, in->ent->path_len, in->ino, rec->r->mode,
			     rec->r->mtime_ns, UINT32_MAX, UINT32_MAX) == 0 &&
	       path_sig(n, in->ent, shown);
}

/*
 * Done if the file is at its new name. If it is at neither, a user has moved or removed it, before
 * the rename or after: then it counts as not done. Should it have been, the version comes once
 * more, and he removes it once more; the other way about, his delete of the old name would become a
 * delete of the new one everywhere.
 */
static struct finding
after_move(struct node *n, const struct intent *in)
{
	struct finding f = {0};

	f.renamed = path_sig(n, in->ent, &f.shown) && f.shown.ino == in->ino;
	if (f.renamed)
		(void)meta_again(n, in, &f.shown);
	return f;
}

static struct finding
after_dir(struct node *n, const struct intent *in)
{
	struct finding f = {0};
	int e = tree_stat(n->tree, in->ent->path, in->ent->path_len, &f.shown, NULL);

	f.renamed = in->action == ACTION_MKDIR ? e == 0 && f.shown.kind == KIND_DIR : e == -ENOENT;
	return f;
}

static struct finding
after_meta(struct node *n, const struct intent *in)
{
	struct finding f = {0};

	f.renamed = path_sig(n, in->ent, &f.shown) && meta_again(n, in, &f.shown);
	return f;
}

static struct finding
examine(struct node *n, const struct intent *in, char stage[48])
{
	dot_text(in->dot, stage);
	switch (in->action) {
	case ACTION_PLACE:
		return after_place(n, in, stage);
	case ACTION_EXCHANGE:
		return after_exchange(n, in, stage);
	case ACTION_TAKE:
		if (in->ent->shown != NULL)
			task_out_name(in->ent->shown->r->dot, stage);
		return after_take(n, in, stage);
	case ACTION_MOVE:
		return after_move(n, in);
	case ACTION_META:
		return after_meta(n, in);
	default:
		return after_dir(n, in);
	}
}

/* What the path shows may count as the applied version only if it is that very inode, unchanged. */
static struct sig
applied_sig(const struct intent *in, const struct finding *f)
{
	const struct irec *rec = index_record(in->ent, in->dot);
	struct sig s = f->shown;
	bool same = in->action == ACTION_MKDIR || s.ino == in->ino;

	if (rec != NULL && rec->r->kind == KIND_FILE)
		same = same && sig_shows(&s, rec->r);
	if (!same)
		s.ctime_ns = 0;
	s.provisional = s.kind == KIND_FILE;
	return s;
}

static void
put_outcome(struct node *n, const struct intent *in, const struct finding *f)
{
	const struct pathent *ent = in->ent;
	bool absent = in->action == ACTION_TAKE || in->action == ACTION_RMDIR;
	struct sig sig = applied_sig(in, f);

	if (f->keep)
		commit_put(n->commit, &(struct entry){.type = ENTRY_KEPT,
						      .dot = ent->shown->r->dot,
						      .num = n->wall_ms,
						      .rec = *ent->shown->r});
	if (in->action == ACTION_MOVE) {
		const struct irec *w = index_winner(in->from);

		commit_put(n->commit, &(struct entry){.type = ENTRY_APPLIED,
						      .path = in->from->path,
						      .path_len = in->from->path_len,
						      .dot = w != NULL && !record_live(w->r)
								     ? w->r->dot
								     : (struct dot){0, 0},
						      .flags = APPLIED_ABSENT});
	}
	commit_put(n->commit, &(struct entry){.type = ENTRY_APPLIED,
					      .path = ent->path,
					      .path_len = ent->path_len,
					      .dot = in->dot,
					      .flags = absent ? APPLIED_ABSENT : APPLIED_SHOWN,
					      .sig = sig});
}

static int
recover_one(struct node *n, const struct intent *in)
{
	char stage[48];
	struct finding f = examine(n, in, stage);

	if (f.error < 0)
		return f.error;
	LOG(n->log, LOG_INFO, "recover.intent",
	    f.renamed ? "it had been done" : "it had not been done",
	    log_b("path", in->ent->path, in->ent->path_len));
	if (f.renamed && !SEEDED(recovery_drops))
		put_outcome(n, in, &f);
	else
		commit_put(n->commit, &(struct entry){.type = ENTRY_DROPPED,
						      .path = in->ent->path,
						      .path_len = in->ent->path_len});
	return 0;
}

void
recover_start(struct node *n)
{
	int e;

	if (n->index->intents == NULL)
		return;
	for (const struct intent *in = n->index->intents; in != NULL; in = in->next) {
		e = recover_one(n, in);
		if (e < 0) {
			n->fatal(n->arg, "a change that a crash cut short cannot be put in order",
				 e);
			return;
		}
	}
	e = tree_sync_all(
		n->tree); /* every directory touched above, before any APPLIED is durable */
	if (e < 0)
		n->fatal(n->arg, "the file system could not be synced during recovery", e);
}
