/* SPDX-License-Identifier: BSD-2-Clause */
#include "config.h"

#include "agent/cmd/probe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/escape.h"
#include "proto/bytes.h"
#include "proto/path.h"

/* As watch.ignore has it by default, for a watcher that runs meanwhile. */
#define TRIAL ".mimeo-check-config.tmp"
#define MTIME_NS 1000000000

struct probe {
	const struct settings *s;
	struct tree *t;
	probe_problem *problem;
	void *arg;
	struct buf dirs; /* still to list: strings, each */
	size_t next;     /* in dirs */
	const uint8_t *dir;
	size_t dir_len, looked;
	bool leased;
	uint32_t owners[PROBE_OWNERS_MAX];
	size_t nowners;
};

static void
trouble(struct probe *p, const char *what, const void *path, size_t len, int error)
{
	char below[2048], where[4096 + sizeof(below)];

	escape_print(below, sizeof(below), path, len);
	snprintf(where, sizeof(where), "%s%s%s", p->s->root, len > 0 ? "/" : "", below);
	p->problem(p->arg, what, where, error);
}

/* ---- one directory: what the agent does there ---- */

static int
dressed(struct probe *p, const char *stage, const struct sig *like)
{
	bool inherit = p->s->owner_mode == OWNER_INHERIT && like != NULL;
	struct tfile *f = NULL;
	uint64_t have;
	int r = tree_stage_open(p->t, stage, 0, &f, &have);

	if (r == 0)
		r = tfile_set_meta(f, 0644, MTIME_NS, inherit ? like->uid : UINT32_MAX,
				   inherit ? like->gid : UINT32_MAX);
	tfile_close(f);
	return r;
}

/* Into the tree, replaced there by the other, and out again. */
static int
renamed(struct probe *p, const void *path, size_t len)
{
	int e, r = tree_place(p->t, "check-config-1", path, len);

	if (r < 0)
		return r;
	r = tree_exchange(p->t, "check-config-2", path, len);
	e = tree_take(p->t, path, len, "check-config-1");
	return r < 0 ? r : e;
}

static void
gone(struct probe *p, const char *stage)
{
	int r = tree_stage_unlink(p->t, stage);

	if (r < 0 && r != -ENOENT)
		p->problem(p->arg, "a staged file cannot be removed", p->s->work, r);
}

static void
try_rename(struct probe *p, const void *dir, size_t len, const struct sig *like)
{
	struct buf path = {0};
	int r = dressed(p, "check-config-1", like);

	if (r == 0)
		r = dressed(p, "check-config-2", like);
	if (r == -EPERM)
		trouble(p,
			"a new version cannot be given to the owner of the files here: run as root "
			"or with cap_chown, cap_fowner, or set sync.owner",
			dir, len, r);
	else if (r < 0)
		p->problem(p->arg, "a staged file cannot be made or given mode and time",
			   p->s->work, r);
	buf_put(&path, dir, len);
	if (len > 0)
		buf_put_u8(&path, '/');
	buf_put(&path, TRIAL, sizeof(TRIAL) - 1);
	if (r == 0 || r == -EPERM) {
		r = path.failed ? -ENOMEM : renamed(p, path.data, path.len);
		if (r < 0)
			trouble(p, "files cannot be renamed between work and this directory", dir,
				len, r);
	}
	gone(p, "check-config-1");
	gone(p, "check-config-2");
	buf_free(&path);
}

/* ---- one file: what the watcher does to it ---- */

static void
try_file(struct probe *p, const void *path, size_t len)
{
	struct tfile *f;
	uint8_t byte;
	int r = tree_open_file(p->t, path, len, &f);

	if (r < 0) {
		if (r != -ENOENT)
			trouble(p, "a file cannot be read", path, len, r);
		return;
	}
	if (tfile_read_at(f, 0, &byte, 1) < 0)
		trouble(p, "a file cannot be read", path, len, -EIO);
	if (tfile_lease(f) == -EPERM)
		trouble(p,
			"no read lease can be taken: whether somebody is writing to it cannot be "
			"seen; run as the owner, as root, or with cap_lease",
			path, len, 0);
	tfile_close(f);
}

static bool
new_owner(struct probe *p, uint32_t uid)
{
	for (size_t i = 0; i < p->nowners; i++)
		if (p->owners[i] == uid)
			return false;
	if (p->nowners == PROBE_OWNERS_MAX)
		return false;
	p->owners[p->nowners++] = uid;
	return true;
}

/* ---- the walk ---- */

static void
push(struct probe *p, const void *path, size_t len)
{
	buf_put_str(&p->dirs, path, len);
}

static int
look(void *arg, const char *name, size_t len, uint8_t d_type)
{
	struct probe *p = arg;
	char path[PATH_BYTES_MAX];
	size_t at = p->dir_len;
	struct sig sig;

	(void)d_type;
	if (++p->looked > PROBE_LOOK_MAX)
		return 1;
	if (at + 1 + len > sizeof(path))
		return 0;
	memcpy(path, p->dir, at);
	if (at > 0)
		path[at++] = '/';
	memcpy(path + at, name, len);
	at += len;
	if (path_check(path, at) < 0 || tree_stat(p->t, path, at, &sig, NULL) < 0)
		return 0;
	if (sig.kind == KIND_DIR)
		push(p, path, at);
	if (sig.kind != KIND_FILE)
		return 0;
	if (!p->leased || (sig.uid != geteuid() && new_owner(p, sig.uid))) {
		p->leased = true;
		try_file(p, path, at);
		if (sig.uid != geteuid())
			try_rename(p, p->dir, p->dir_len, &sig);
	}
	return 0;
}

static bool
next_dir(struct probe *p, struct buf *dir)
{
	struct cur c;
	const uint8_t *path;
	size_t len;

	if (p->dirs.failed || p->looked > PROBE_LOOK_MAX || p->next == p->dirs.len)
		return false;
	c = cur_of(p->dirs.data + p->next, p->dirs.len - p->next);
	path = cur_str(&c, &len);
	if (c.bad)
		return false;
	buf_reset(dir);
	buf_put(dir, path, len);
	p->next += sizeof(uint16_t) + len;
	p->dir = dir->data;
	p->dir_len = dir->len;
	return !dir->failed;
}

void
probe_tree(const struct settings *s, struct tree *t, probe_problem *problem, void *arg)
{
	struct probe p = {.s = s, .t = t, .problem = problem, .arg = arg};
	struct buf dir = {0};

	try_rename(&p, "", 0, NULL);
	push(&p, "", 0);
	while (next_dir(&p, &dir)) {
		int r = tree_list(t, dir.data, dir.len, look, &p);

		if (r < 0 && r != -ENOENT && r != -EXDEV)
			trouble(&p, "a directory cannot be read", dir.data, dir.len, r);
	}
	buf_free(&dir);
	buf_free(&p.dirs);
}
