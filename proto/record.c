/* SPDX-License-Identifier: BSD-2-Clause */
/* Records: how they rank, and their bytes. */
#include "config.h"

#include "proto/record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/path.h"
#include "proto/seeded.h"

const char *
record_op_name(enum record_op op)
{
	switch (op) {
	case OP_ADD:
		return "add";
	case OP_EDIT:
		return "edit";
	case OP_DELETE:
		return "delete";
	case OP_MKDIR:
		return "mkdir";
	case OP_RMDIR:
		return "rmdir";
	case OP_SYMLINK:
		return "symlink";
	case OP_META:
		return "meta";
	}
	return "?";
}

bool
record_live(const struct record *r)
{
	return r->kind != KIND_ABSENT;
}

bool
record_import(const struct record *r)
{
	return (r->flags & RECORD_IMPORT) != 0;
}

bool
record_covers(const struct record *r, struct dot d)
{
	return vv_covers(&r->ctx, d);
}

int
record_rank(const struct record *a, const struct record *b)
{
	if (record_import(a) != record_import(b) && !SEEDED(import_wins))
		return record_import(a) ? -1 : 1;
	if (record_live(a) != record_live(b) && !SEEDED(delete_beats_edit))
		return record_live(a) ? 1 : -1;
	if (a->hlc != b->hlc)
		return a->hlc < b->hlc ? -1 : 1;
	return SEEDED(rank_ties) ? 0 : dot_cmp(a->dot, b->dot);
}

/* Are the two equal; either may be NULL when its length is 0. */
static bool
same_bytes(const uint8_t *a, size_t alen, const uint8_t *b, size_t blen)
{
	return alen == blen && (alen == 0 || memcmp(a, b, alen) == 0);
}

bool
record_same_content(const struct record *a, const struct record *b)
{
	return a->kind == b->kind && a->size == b->size &&
	       memcmp(a->hash, b->hash, RECORD_HASH_BYTES) == 0 &&
	       same_bytes(a->target, a->target_len, b->target, b->target_len);
}

void
record_encode(struct buf *b, const struct record *r)
{
	if (r->ctx.n > RECORD_CTX_MAX) {
		b->failed = true;
		return;
	}
	buf_put_u64(b, r->dot.origin);
	buf_put_u64(b, r->dot.seq);
	buf_put_u64(b, r->hlc);
	buf_put_u8(b, r->kind);
	buf_put_u8(b, r->op);
	buf_put_u8(b, r->flags);
	buf_put_u16(b, r->mode);
	buf_put_u64(b, r->size);
	buf_put_u64(b, (uint64_t)r->mtime_ns);
	buf_put(b, r->hash, RECORD_HASH_BYTES);
	buf_put_str(b, r->path, r->path_len);
	buf_put_str(b, r->target, r->target_len);
	buf_put_str(b, r->owner, r->owner_len);
	buf_put_str(b, r->group, r->group_len);
	vv_encode(b, &r->ctx);
}

static bool
hash_zero(const struct record *r)
{
	for (size_t i = 0; i < RECORD_HASH_BYTES; i++)
		if (r->hash[i] != 0)
			return false;
	return true;
}

/* Are there only fields that an absent path has. */
static bool
absent_fits(const struct record *r)
{
	return (r->op == OP_DELETE || r->op == OP_RMDIR) && r->mode == 0 && r->mtime_ns == 0 &&
	       r->target_len == 0;
}

static bool
file_fits(const struct record *r)
{
	return (r->op == OP_ADD || r->op == OP_EDIT || r->op == OP_META) && r->target_len == 0;
}

static bool
dir_fits(const struct record *r)
{
	return (r->op == OP_MKDIR || r->op == OP_META) && r->size == 0 && r->mtime_ns == 0 &&
	       r->target_len == 0 && hash_zero(r);
}

static bool
symlink_fits(const struct record *r)
{
	return (r->op == OP_SYMLINK || r->op == OP_META) && r->mode == 0 &&
	       r->size == r->target_len &&
	       path_link_check(r->path, r->path_len, r->target, r->target_len) == 0;
}

static bool
kind_fits(const struct record *r)
{
	switch (r->kind) {
	case KIND_ABSENT:
		return absent_fits(r);
	case KIND_FILE:
		return file_fits(r);
	case KIND_DIR:
		return dir_fits(r);
	case KIND_SYMLINK:
		return symlink_fits(r);
	}
	return false;
}

/* Everything that can be judged of the fields before the context. */
static bool
fields_fit(const struct record *r)
{
	return r->dot.origin != 0 && r->dot.seq != 0 && r->dot.seq <= DOT_SEQ_MAX &&
	       (r->flags & ~RECORD_FLAGS) == 0 && (r->mode & ~RECORD_MODE_MASK) == 0 &&
	       r->size <= INT64_MAX && path_check(r->path, r->path_len) == 0 && kind_fits(r);
}

/* Reads a string of at most `max` bytes into the field; sets bad beyond that. */
static const uint8_t *
bounded_str(struct cur *c, size_t max, size_t *len)
{
	const uint8_t *p = cur_str(c, len);

	if (*len <= max)
		return p;
	c->bad = true;
	c->left = 0;
	*len = 0;
	return NULL;
}

static void
decode_fixed(struct cur *c, struct record *r)
{
	const uint8_t *hash;

	r->dot.origin = cur_u64(c);
	r->dot.seq = cur_u64(c);
	r->hlc = cur_u64(c);
	r->kind = cur_u8(c);
	r->op = cur_u8(c);
	r->flags = cur_u8(c);
	r->mode = cur_u16(c);
	r->size = cur_u64(c);
	r->mtime_ns = (int64_t)cur_u64(c);
	hash = cur_bytes(c, RECORD_HASH_BYTES);
	if (hash)
		memcpy(r->hash, hash, RECORD_HASH_BYTES);
}

static void
decode_strings(struct cur *c, struct record *r)
{
	size_t len;

	r->path = bounded_str(c, PATH_BYTES_MAX, &len);
	r->path_len = (uint16_t)len;
	r->target = bounded_str(c, RECORD_TARGET_BYTES_MAX, &len);
	r->target_len = (uint16_t)len;
	r->owner = bounded_str(c, RECORD_OWNER_BYTES_MAX, &len);
	r->owner_len = (uint8_t)len;
	r->group = bounded_str(c, RECORD_OWNER_BYTES_MAX, &len);
	r->group_len = (uint8_t)len;
}

int
record_decode(struct cur *c, struct record *r)
{
	int rc = -EPROTO;

	*r = (struct record){0};
	decode_fixed(c, r);
	decode_strings(c, r);
	if (c->bad || !fields_fit(r))
		goto out;
	rc = vv_decode(c, &r->ctx);
	if (rc == 0 && (r->ctx.n > RECORD_CTX_MAX || vv_covers(&r->ctx, r->dot)))
		rc = -EPROTO;
out:
	if (rc < 0) {
		vv_free(&r->ctx);
		*r = (struct record){0};
	}
	return rc;
}

const char *
record_problem(const void *bytes, size_t len)
{
	struct cur c = cur_of(bytes, len);
	struct record r = {0};
	size_t n;

	decode_fixed(&c, &r);
	r.path = cur_str(&c, &n);
	return c.bad ? NULL : path_problem(r.path, n);
}

void
record_clear(struct record *r)
{
	vv_free(&r->ctx);
}

/* Copies len bytes to *at, moves *at on and returns where they are now. */
static const uint8_t *
move_in(uint8_t **at, const void *bytes, size_t len)
{
	uint8_t *to = *at;

	if (len > 0)
		memcpy(to, bytes, len);
	*at += len;
	return to;
}

struct record *
record_dup(const struct record *r)
{
	size_t strings = (size_t)r->path_len + r->target_len + r->owner_len + r->group_len;
	size_t ctx = r->ctx.n * sizeof(*r->ctx.e);
	struct record *copy = malloc(sizeof(*copy) + ctx + strings);
	uint8_t *at;

	if (!copy)
		return NULL;
	*copy = *r;
	/* The context first: it needs the alignment that the end of the struct has. */
	copy->ctx.e = (struct dot *)(copy + 1);
	copy->ctx.cap = r->ctx.n;
	at = (uint8_t *)(copy + 1);
	move_in(&at, r->ctx.e, ctx);
	copy->path = move_in(&at, r->path, r->path_len);
	copy->target = move_in(&at, r->target, r->target_len);
	copy->owner = move_in(&at, r->owner, r->owner_len);
	copy->group = move_in(&at, r->group, r->group_len);
	return copy;
}

void
record_free(struct record *r)
{
	free(r);
}
