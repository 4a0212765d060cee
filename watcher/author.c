/* SPDX-License-Identifier: BSD-2-Clause */
/* From what was found at a path to what is logged. */
#include "config.h"

#include "watcher/author.h"

#include <errno.h>
#include <string.h>

#include "conf/hash.h"
#include "proto/hlc.h"
#include "proto/path.h"
#include "proto/seeded.h"
#include "proto/wal.h"

bool
author_addressed(const uint8_t *path, size_t len, uint8_t hash[RECORD_HASH_BYTES])
{
	char hex[HASH_HEX_BYTES];

	if (len < 3 + 64 + 2 || path[2] != '/' || path[3 + 64] != '/' ||
	    memchr(path + 3 + 65, '/', len - 3 - 65) != NULL)
		return false;
	memcpy(hex, path + 3, 64);
	hex[64] = '\0';
	return hash_parse(hex, hash) == 0 && memcmp(path, hex, 2) == 0;
}

/* Is the path still just what was hashed? */
static bool
still_there(const struct author *a, const struct found *f)
{
	struct sig now;
	int r = tree_stat(a->tree, f->path, f->len, &now, NULL);

	if (f->state.kind == KIND_ABSENT)
		return r == -ENOENT || r == -ELOOP; /* a symlink is on the way */
	return r == 0 && sig_eq(&now, &f->sig);
}

static uint8_t
op_of(const struct pathent *e, const struct record *state)
{
	bool had = e->shown != NULL || e->shown_dir;
	bool dir = e->shown_dir || (e->shown != NULL && e->shown->r->kind == KIND_DIR);

	switch (state->kind) {
	case KIND_ABSENT:
		return dir ? OP_RMDIR : OP_DELETE;
	case KIND_DIR:
		return had && dir ? OP_META : OP_MKDIR;
	case KIND_SYMLINK:
		return OP_SYMLINK;
	default:
		if (e->shown == NULL || e->shown->r->kind != KIND_FILE)
			return OP_ADD;
		return record_same_content(e->shown->r, state) ? OP_META : OP_EDIT;
	}
}

/* A tombstone remembers what it deleted. */
static void
describe_absent(const struct pathent *e, struct record *r)
{
	if (e->shown == NULL || e->shown->r->kind == KIND_DIR)
		return;
	r->size = e->shown->r->size;
	memcpy(r->hash, e->shown->r->hash, sizeof(r->hash));
}

static bool
importing(const struct author *a, const struct found *f)
{
	return a->import || f->import;
}

static uint64_t
time_of(struct author *a, const struct record *r)
{
	if (record_import(r))
		return hlc_make(r->mtime_ns > 0 ? (uint64_t)(r->mtime_ns / 1000000) : 0, 0);
	a->hlc = hlc_next(hlc_seen(a->hlc, a->index->hlc, a->wall_ms), a->wall_ms);
	return a->hlc;
}

/* Is the number after a->seq still free, as far as this node knows? */
static bool
origin_good(const struct author *a, const struct pathent *e)
{
	return a->origin != 0 && dotset_max(&a->index->have, a->origin) <= a->seq &&
	       vv_get(&e->actx, a->origin) <= a->seq;
}

static void
take_origin(struct author *a, const struct pathent *e, struct buf *batch)
{
	if (origin_good(a, e))
		return;
	if (a->origin != 0)
		a->next_origin = a->random(a->random_arg);
	a->origin = SEEDED(origin_kept) ? a->store : a->next_origin;
	a->seq = SEEDED(origin_kept) ? dotset_max(&a->index->have, a->origin) : 0;
	wal_put(batch, &(struct entry){.type = ENTRY_ORIGIN,
				       .num = a->origin,
				       .num2 = a->store,
				       .name = (const uint8_t *)a->node,
				       .name_len = strlen(a->node)});
}

static void
put_record(struct author *a, const struct pathent *e, const struct found *f, struct buf *batch)
{
	struct record r = f->state;

	take_origin(a, e, batch);
	r.path = e->path;
	r.path_len = e->path_len;
	r.dot = (struct dot){a->origin, SEEDED(seq_reused) && a->seq % 8 == 7 ? a->seq : ++a->seq};
	r.op = op_of(e, &f->state);
	r.flags = f->moved ? RECORD_MOVED : 0;
	/* What a first scan finds where nothing is shown was there before anything was applied: it
	 * supersedes nothing, above all no delete. */
	if (!importing(a, f) || e->shown != NULL || e->shown_dir)
		r.ctx = e->actx;
	if (r.kind == KIND_ABSENT)
		describe_absent(e, &r);
	else if (importing(a, f))
		r.flags |= RECORD_IMPORT;
	r.hlc = time_of(a, &r);
	wal_put(batch, &(struct entry){.type = ENTRY_RECORD, .rec = r, .sig = f->sig});
	a->records++;
}

/* A name without a logged directory above it would make that an implied one, which goes with its
 * last file. */
static bool
parent_logged(const struct author *a, const uint8_t *path, size_t len)
{
	size_t parent = path_parent(path, len);
	const struct pathent *e = index_find(a->index, path, parent);

	if (parent == 0)
		return true;
	return e != NULL && (e->shown_dir || (e->shown != NULL && e->shown->r->kind == KIND_DIR));
}

/* In a first scan a file with the content of the version that is wanted here, where nothing is
 * known to be shown, is that version: the agent takes it on, and sets mode and time (adopt.c). */
static bool
import_echo(const struct author *a, const struct pathent *e, const struct found *f)
{
	struct irec *want;

	if (!importing(a, f) || e->shown != NULL || e->shown_dir ||
	    index_want(e, &want) != WANT_RECORD)
		return false;
	return record_same_content(want->r, &f->state) ||
	       (want->r->kind == KIND_DIR && f->state.kind == KIND_DIR);
}

static bool
immutable_violation(const struct author *a, const struct found *f)
{
	uint8_t hash[RECORD_HASH_BYTES];

	if (!a->immutable || !author_addressed(f->path, f->len, hash))
		return false;
	if (f->state.kind == KIND_ABSENT)
		return false; /* a delete is no alteration */
	return f->state.kind != KIND_FILE || memcmp(f->state.hash, hash, sizeof(hash)) != 0;
}

/* Other bytes under the name of their hash: the agent puts the right ones back, if any are known.
 */
static enum verdict
refuse_altered(const struct pathent *e, const struct found *f, struct buf *batch, const char **why)
{
	const struct record *r = e->shown != NULL ? e->shown->r : NULL;
	uint8_t hash[RECORD_HASH_BYTES];

	*why = "its content is not the one that its name says: the store is immutable";
	if (f->state.kind == KIND_DIR || r == NULL || r->kind != KIND_FILE ||
	    !author_addressed(f->path, f->len, hash) || memcmp(r->hash, hash, sizeof(hash)) != 0)
		return AUTHOR_REFUSED;
	if (!e->altered || !sig_eq(&e->sig, &f->sig))
		wal_put(batch, &(struct entry){.type = ENTRY_ALTERED,
					       .path = e->path,
					       .path_len = e->path_len,
					       .sig = f->sig});
	return AUTHOR_LOGGED;
}

static enum verdict
decide_known(struct author *a, struct pathent *e, const struct found *f, struct buf *batch,
	     const char **why)
{
	if (index_shows(e, &f->state, f->state.owner_len > 0)) {
		if ((e->shown == NULL && !e->shown_dir) ||
		    (!e->altered && sig_eq(&e->sig, &f->sig) &&
		     e->sig.provisional == f->sig.provisional) ||
		    f->state.kind == KIND_DIR)
			return AUTHOR_NOTHING;
		wal_put(batch, &(struct entry){.type = ENTRY_SIG,
					       .path = e->path,
					       .path_len = e->path_len,
					       .sig = f->sig});
		return AUTHOR_LOGGED;
	}
	if (index_echo(a->index, e, &f->state, f->state.owner_len > 0) != NULL ||
	    import_echo(a, e, f))
		return AUTHOR_ECHO;
	if (immutable_violation(a, f))
		return refuse_altered(e, f, batch, why);
	if (index_heads_at(e) >= INDEX_HEADS_MAX || e->actx.n > RECORD_CTX_MAX) {
		*why = "too many concurrent versions of this path: resolve some with `mimeo "
		       "conflicts`";
		return AUTHOR_REFUSED;
	}
	put_record(a, e, f, batch);
	return AUTHOR_LOGGED;
}

/* Is what was deleted last at this path back? */
static bool
undeleted(const struct pathent *e, const struct record *state)
{
	const struct irec *w = index_winner(e);

	return w != NULL && w->r->kind == KIND_ABSENT && w->r->size == state->size &&
	       memcmp(w->r->hash, state->hash, sizeof(state->hash)) == 0;
}

bool
author_revert(const struct author *a, const struct found *f)
{
	const struct pathent *e = index_find(a->index, f->path, f->len);

	if (e == NULL || importing(a, f) || f->state.kind != KIND_FILE || f->moved ||
	    index_echo(a->index, e, &f->state, f->state.owner_len > 0) != NULL)
		return false;
	if (e->shown == NULL)
		return undeleted(e, &f->state);
	if (e->shown->r->kind != KIND_FILE || record_same_content(e->shown->r, &f->state))
		return false;
	return f->state.mtime_ns < e->shown->r->mtime_ns ||
	       index_kept_at(a->index, &f->state) != NULL;
}

static bool
shows_below(const struct pathent *e)
{
	for (const struct pathent *c = e->child; c != NULL; c = c->sib_next)
		if (c->shown != NULL || c->shown_dir)
			return true;
	return false;
}

enum verdict
author_decide(struct author *a, const struct found *f, struct buf *batch, const char **why)
{
	struct pathent *e = index_find(a->index, f->path, f->len);

	if (e == NULL && f->state.kind == KIND_ABSENT)
		return AUTHOR_NOTHING;
	if (!SEEDED(intent_ignored) && e != NULL &&
	    (e->intent != NULL || (!f->unknown && e->version != f->version) ||
	     (f->unknown && e->recs != NULL)))
		return AUTHOR_LATER;
	if (!still_there(a, f) && !SEEDED(no_second_look))
		return AUTHOR_LATER;
	if (f->state.kind != KIND_ABSENT && !parent_logged(a, f->path, f->len))
		return AUTHOR_LATER; /* the directory is dirty itself and comes first */
	if (e == NULL && (e = index_get(a->index, f->path, f->len)) == NULL)
		return AUTHOR_LATER;
	if (f->state.kind != KIND_DIR && shows_below(e))
		return AUTHOR_BELOW;
	return decide_known(a, e, f, batch, why);
}
