/* SPDX-License-Identifier: BSD-2-Clause */
/* A scan of the tree, in slices. */
#include "config.h"

#include "watcher/scan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/path.h"

struct todo {
	struct todo *next;
	bool marker; /* not a directory: the end of a full scan */
	size_t len;
	char path[];
};

struct scan {
	struct scan_opts o;
	struct todo *first; /* directories to list, depth first */
	bool full, full_done, failed;
	bool unsure;
	size_t done;
	uint64_t now_ms;
	/* while one directory is listed */
	const struct todo *dir;
	size_t names;
};

bool
scan_ignored(const struct scan *s, const void *path, size_t len, bool dir)
{
	if (path_check(path, len) < 0)
		return true;
	return ignore_match(*s->o.ignore, path, len, dir);
}

/* What could not be seen for a reason that may pass. What is not there, not ours or has no watch
 * left is not among that. */
static void
doubt(struct scan *s, int error)
{
	if (error < 0 && error != -ENOENT && error != -EXDEV && error != -ELOOP &&
	    error != -EMEDIUMTYPE && error != -ENOSPC)
		s->unsure = true;
}

static void
push(struct scan *s, const void *path, size_t len, bool marker)
{
	struct todo *t = malloc(sizeof(*t) + len + 1);

	if (t == NULL) {
		s->failed = true;
		s->unsure = true;
		return;
	}
	*t = (struct todo){s->first, marker, len};
	memcpy(t->path, path, len);
	t->path[len] = '\0';
	s->first = t;
}

static void
mark(struct scan *s, const void *path, size_t len)
{
	if (dirty_add(s->o.dirty, path, len, s->now_ms) < 0) {
		s->failed = true;
		s->unsure = true;
	}
}

static bool
differs(const struct scan *s, const void *path, size_t len, const struct sig *sig)
{
	const struct pathent *e = index_find(s->o.index, path, len);

	if (e == NULL || (e->shown == NULL && !e->shown_dir))
		return true;
	if (sig->kind == KIND_DIR)
		return !(e->shown_dir || (e->shown->r->kind == KIND_DIR &&
					  e->shown->r->mode == (sig->mode & RECORD_MODE_MASK)));
	return !sig_eq(sig, &e->sig) || e->sig.provisional;
}

static int
one_name(void *arg, const char *name, size_t name_len, uint8_t d_type)
{
	struct scan *s = arg;
	char path[PATH_BYTES_MAX + PATH_NAME_BYTES_MAX + 2];
	size_t len = s->dir->len;
	struct sig sig;
	int r;

	(void)d_type;
	memcpy(path, s->dir->path, len);
	if (len > 0)
		path[len++] = '/';
	memcpy(path + len, name, name_len);
	len += name_len;
	s->names++;
	s->done++;
	if (path_check(path, len) < 0) {
		if (strcmp(name, PATH_MARKER) != 0 && strcmp(name, PATH_WORK) != 0)
			LOG(s->o.log, LOG_WARN, "scan.name", "this name cannot be replicated",
			    log_b("path", path, len), log_s("why", path_problem(path, len)));
		return 0;
	}
	r = tree_stat(s->o.tree, path, len, &sig, NULL);
	if (r == -EMEDIUMTYPE) {
		LOG(s->o.log, LOG_INFO, "scan.special",
		    "devices, FIFOs and sockets are not replicated", log_b("path", path, len));
		return 0;
	}
	doubt(s, r);
	if (r < 0 || scan_ignored(s, path, len, sig.kind == KIND_DIR))
		return 0;
	if (differs(s, path, len, &sig))
		mark(s, path, len);
	if (sig.kind == KIND_DIR)
		push(s, path, len, false);
	return 0;
}

/* What the index shows below the directory and the tree has no more: with all that is below it, as
 * is what lies below something that is no directory any more. */
static void
missing(struct scan *s, const struct pathent *dir)
{
	struct sig sig;
	int r;

	for (const struct pathent *c = dir->child; c != NULL; c = c->sib_next) {
		if (c->shown == NULL && !c->shown_dir && c->child == NULL)
			continue;
		r = tree_stat(s->o.tree, c->path, c->path_len, &sig, NULL);
		doubt(s, r);
		if (r == -ENOENT || r == -ELOOP)
			mark(s, c->path, c->path_len);
		else if (r < 0 || sig.kind == KIND_DIR)
			continue;
		missing(s, c);
	}
}

static void
list_dir(struct scan *s, const struct todo *t)
{
	const struct pathent *e;
	int r = watch_add(s->o.watch, t->path, t->len);

	if (r == -ENOENT)
		return; /* its parent's watch has told */
	doubt(s, r);
	s->dir = t;
	r = tree_list(s->o.tree, t->path, t->len, one_name, s);
	if (r < 0 && r != -ENOENT)
		LOG(s->o.log, LOG_WARN, "scan.unreadable",
		    "a directory cannot be read: nothing below it is logged, and nothing is "
		    "deleted",
		    log_b("path", t->path, t->len), log_err(r));
	doubt(s, r);
	if (r < 0)
		return;
	e = index_find(s->o.index, t->path, t->len);
	if (e != NULL)
		missing(s, e);
}

bool
scan_slice(struct scan *s, uint64_t now_ms)
{
	s->now_ms = now_ms;
	s->names = 0;
	while (s->first != NULL && s->names < SCAN_SLICE_NAMES) {
		struct todo *t = s->first;

		s->first = t->next;
		if (t->marker) {
			s->full = false;
			s->full_done = !s->failed;
		} else {
			list_dir(s, t);
			s->names++;
		}
		free(t);
	}
	return s->first != NULL;
}

static void
drop(struct scan *s)
{
	while (s->first != NULL) {
		struct todo *t = s->first;

		s->first = t->next;
		free(t);
	}
}

void
scan_all(struct scan *s)
{
	drop(s);
	watch_polled_reset(s->o.watch);
	s->full = true;
	s->failed = false;
	s->done = 0;
	push(s, "", 0, true);
	push(s, "", 0, false);
}

void
scan_below(struct scan *s, const void *path, size_t len)
{
	push(s, path, len, false);
}

bool
scan_running(const struct scan *s)
{
	return s->full;
}

bool
scan_full_done(struct scan *s)
{
	bool done = s->full_done;

	s->full_done = false;
	return done;
}

bool
scan_unsure(struct scan *s)
{
	bool unsure = s->unsure;

	s->unsure = false;
	return unsure;
}

size_t
scan_done_names(const struct scan *s)
{
	return s->done;
}

struct scan *
scan_new(const struct scan_opts *o)
{
	struct scan *s = calloc(1, sizeof(*s));

	if (s != NULL)
		s->o = *o;
	return s;
}

void
scan_free(struct scan *s)
{
	if (s == NULL)
		return;
	drop(s);
	free(s);
}
