/* SPDX-License-Identifier: BSD-2-Clause */
/* A batch of names is looked at in a worker. */
#include "config.h"

#include "watcher/take.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "conf/hash.h"
#include "proto/path.h"
#include "proto/seeded.h"

#define CHUNK_BYTES (256u * 1024)

struct scratch {
	uint8_t *chunk;
	struct hash *hash;
	unsigned files; /* that need a sync */
};

/* ---- one name ---- */

static int
hash_bytes(struct tfile *f, struct scratch *s, struct take_batch *b, uint8_t out[RECORD_HASH_BYTES])
{
	uint64_t off = 0;
	ssize_t got;

	hash_reset(s->hash);
	while ((got = tfile_read_at(f, off, s->chunk, CHUNK_BYTES)) > 0) {
		hash_update(s->hash, s->chunk, (size_t)got);
		off += (uint64_t)got;
	}
	b->hashed_bytes += off;
	return got < 0 ? (int)got : hash_final(s->hash, out);
}

/* A writer, or no right to ask: on file systems without leases the two looks at the signature have
 * to do. */
static int
lease(struct tfile *f)
{
	int r = tfile_lease(f);

	return r == -EPERM ? 0 : r;
}

/* Something may have been done to it since the rename was found, or another file may have come to
 * the name. */
static void
trust_again(struct take_item *it)
{
	if (it->trusted && !sig_eq(&it->found.sig, &it->renamed))
		it->trusted = it->found.moved = false;
}

static int
take_open_file(struct take_batch *b, struct take_item *it, struct tfile *f, struct scratch *s)
{
	struct sig after;
	int r = tfile_stat(f, &it->found.sig, NULL);

	trust_again(it);
	if (r == 0)
		r = lease(f);
	if (r == 0 && it->trusted)
		memcpy(it->found.state.hash, it->hash, RECORD_HASH_BYTES);
	else if (r == 0)
		r = hash_bytes(f, s, b, it->found.state.hash);
	if (r == 0)
		r = lease(f);
	if (r == 0)
		r = tfile_stat(f, &after, NULL);
	if (r == 0 && !sig_eq(&after, &it->found.sig) && !SEEDED(torn_read))
		r = -EAGAIN;
	return r;
}

static bool
fresh(int64_t wall_ns, const struct sig *s)
{
	int64_t grain_ns = sig_coarse(s) ? TAKE_COARSE_NS : TAKE_GRAIN_NS;

	return s->ctime_ns > wall_ns - grain_ns && s->ctime_ns < wall_ns + TAKE_FUTURE_NS;
}

static int
take_file(struct take_batch *b, struct take_item *it, struct scratch *s)
{
	struct record *st = &it->found.state;
	struct tfile *f;
	int r = tree_open_file(b->tree, it->found.path, it->found.len, &f);

	if (r < 0)
		return r;
	r = take_open_file(b, it, f, s);
	st->size = it->found.sig.size;
	st->mtime_ns = it->found.sig.mtime_ns;
	if (r == 0 && s->files < TAKE_EACH_MAX && !SEEDED(bytes_not_synced))
		r = tfile_sync(f);
	s->files++;
	it->found.sig.provisional = fresh(b->wall_ns, &it->found.sig) && !SEEDED(grain_ignored);
	tfile_close(f);
	return r;
}

static int
take_link(struct take_batch *b, struct take_item *it)
{
	struct record *st = &it->found.state;
	uint8_t *text = malloc(RECORD_TARGET_BYTES_MAX + 1);
	ssize_t n;

	if (text == NULL)
		return -ENOMEM;
	it->target = text;
	n = tree_readlink(b->tree, it->found.path, it->found.len, text,
			  RECORD_TARGET_BYTES_MAX + 1);
	if (n < 0)
		return (int)n;
	if (path_link_check(it->found.path, it->found.len, text, (size_t)n) < 0)
		return -ELOOP; /* leaves the root: not replicated */
	st->target = text;
	st->target_len = (uint16_t)n;
	st->size = (uint64_t)n;
	st->mtime_ns = it->found.sig.mtime_ns;
	return hash_of(text, (size_t)n, st->hash);
}

static void
take_owner(struct take_item *it)
{
	struct passwd pw, *pwp = NULL;
	struct group gr, *grp = NULL;
	char buf[4096];

	if (getpwuid_r(it->found.sig.uid, &pw, buf, sizeof(buf), &pwp) == 0 && pwp != NULL &&
	    strlen(pw.pw_name) <= sizeof(it->owner)) {
		memcpy(it->owner, pw.pw_name, strlen(pw.pw_name));
		it->found.state.owner = (const uint8_t *)it->owner;
		it->found.state.owner_len = (uint8_t)strlen(pw.pw_name);
	}
	if (getgrgid_r(it->found.sig.gid, &gr, buf, sizeof(buf), &grp) == 0 && grp != NULL &&
	    strlen(gr.gr_name) <= sizeof(it->group)) {
		memcpy(it->group, gr.gr_name, strlen(gr.gr_name));
		it->found.state.group = (const uint8_t *)it->group;
		it->found.state.group_len = (uint8_t)strlen(gr.gr_name);
	}
}

static int
stop_never(void *arg, const char *name, size_t len, uint8_t d_type)
{
	(void)d_type;
	return len == strlen(arg) && memcmp(arg, name, len) == 0 ? -EAGAIN : 0;
}

/* Gone, and not merely unreadable: the directory is read to its end without error, and does not
 * list it; or what has its name now is no directory. */
static int
take_absent(struct take_batch *b, struct take_item *it)
{
	size_t parent = path_parent(it->found.path, it->found.len);
	const char *name = (const char *)it->found.path + (parent == 0 ? 0 : parent + 1);
	char text[PATH_NAME_BYTES_MAX + 1] = {0};
	struct sig dir;
	int r;

	memcpy(text, name, it->found.len - (size_t)(name - (const char *)it->found.path));
	r = tree_stat(b->tree, it->found.path, parent, &dir, NULL);
	/* Its directory is gone too, or something else has its place, which its own look proves. */
	if (r == -ELOOP || (r == 0 && dir.kind != KIND_DIR))
		return 0;
	if (r == 0)
		r = tree_list(b->tree, it->found.path, parent, stop_never, text);
	return r == -ENOENT ? 0 : r;
}

static int
take_one(struct take_batch *b, struct take_item *it, struct scratch *s)
{
	struct record *st = &it->found.state;
	int r = tree_stat(b->tree, it->found.path, it->found.len, &it->found.sig, &it->nlink);

	*st = (struct record){.path = it->found.path, .path_len = (uint16_t)it->found.len};
	if (r == -ENOENT || r == -ELOOP) { /* a symlink on the way is followed by nobody */
		it->found.sig = (struct sig){0};
		return take_absent(b, it);
	}
	if (r < 0)
		return r;
	if (sig_eq(&it->found.sig, &it->known) && !it->known.provisional) {
		it->unchanged = true;
		return 0;
	}
	st->kind = it->found.sig.kind;
	if (st->kind == KIND_FILE)
		r = take_file(b, it, s);
	else if (st->kind == KIND_SYMLINK)
		r = take_link(b, it);
	/* Of what was opened, which may be another file by now than the one that was looked at. */
	st->mode = st->kind == KIND_SYMLINK ? 0 : it->found.sig.mode & RECORD_MODE_MASK;
	if (it->owners)
		take_owner(it);
	return r;
}

/* ---- durable ---- */

static bool
same_parent(const struct take_item *a, const struct take_item *b)
{
	size_t la = path_parent(a->found.path, a->found.len),
	       lb = path_parent(b->found.path, b->found.len);

	return la == lb && memcmp(a->found.path, b->found.path, la) == 0;
}

/* The names: each parent once. */
static int
sync_parents(struct take_batch *b)
{
	for (size_t i = 0; i < b->n && !SEEDED(name_not_synced); i++) {
		struct take_item *it = &b->item[i];
		bool before = false;
		int r;

		if (it->error < 0 || it->unchanged)
			continue;
		for (size_t k = 0; k < i && !before; k++)
			before = !b->item[k].unchanged && b->item[k].error == 0 &&
				 same_parent(&b->item[k], it);
		if (before)
			continue;
		r = tree_sync_dir(b->tree, it->found.path,
				  path_parent(it->found.path, it->found.len));
		if (r < 0)
			return r;
	}
	return 0;
}

void
take_run(struct work_job *job)
{
	struct take_batch *b = (struct take_batch *)job;
	struct scratch s = {malloc(CHUNK_BYTES), hash_new(), 0};
	unsigned changed = 0;

	b->sync_error = s.chunk != NULL && s.hash != NULL ? 0 : -ENOMEM;
	for (size_t i = 0; b->sync_error == 0 && i < b->n; i++) {
		b->item[i].error = take_one(b, &b->item[i], &s);
		changed += b->item[i].error == 0 && !b->item[i].unchanged;
	}
	if (b->sync_error == 0 && s.files > TAKE_EACH_MAX)
		b->sync_error = tree_sync_all(b->tree);
	else if (b->sync_error == 0 && changed > 0)
		b->sync_error = sync_parents(b);
	hash_free(s.hash);
	free(s.chunk);
}

void
take_clear(struct take_batch *b)
{
	for (size_t i = 0; i < b->n; i++) {
		free(b->item[i].target);
		b->item[i].target = NULL;
	}
	b->n = 0;
}
