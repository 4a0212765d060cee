/* SPDX-License-Identifier: BSD-2-Clause */
/* Stat signatures: comparing them, and their bytes. */
#include "config.h"

#include "proto/sig.h"

#define SIG_MODE_MASK 07777
#define NS_PER_S 1000000000ll

bool
sig_eq_renamed(const struct sig *a, const struct sig *b)
{
	return a->ino == b->ino && a->size == b->size && a->mtime_ns == b->mtime_ns &&
	       a->uid == b->uid && a->gid == b->gid && a->mode == b->mode && a->kind == b->kind;
}

bool
sig_eq(const struct sig *a, const struct sig *b)
{
	return sig_eq_renamed(a, b) && a->ctime_ns == b->ctime_ns;
}

bool
sig_coarse(const struct sig *s)
{
	return s->ctime_ns % NS_PER_S == 0;
}

bool
sig_shows(const struct sig *s, const struct record *r)
{
	return s->kind == r->kind &&
	       (s->kind != KIND_FILE || (s->size == r->size && s->mtime_ns == r->mtime_ns));
}

void
sig_encode(struct buf *b, const struct sig *s)
{
	buf_put_u64(b, s->ino);
	buf_put_u64(b, s->size);
	buf_put_u64(b, (uint64_t)s->mtime_ns);
	buf_put_u64(b, (uint64_t)s->ctime_ns);
	buf_put_u32(b, s->uid);
	buf_put_u32(b, s->gid);
	buf_put_u16(b, s->mode);
	buf_put_u8(b, s->kind);
	buf_put_u8(b, s->provisional);
}

struct sig
sig_decode(struct cur *c)
{
	struct sig s;
	uint8_t provisional;

	s.ino = cur_u64(c);
	s.size = cur_u64(c);
	s.mtime_ns = (int64_t)cur_u64(c);
	s.ctime_ns = (int64_t)cur_u64(c);
	s.uid = cur_u32(c);
	s.gid = cur_u32(c);
	s.mode = cur_u16(c);
	s.kind = cur_u8(c);
	provisional = cur_u8(c);
	s.provisional = provisional == 1;
	if (c->bad || s.mode > SIG_MODE_MASK || s.kind > KIND_SYMLINK || provisional > 1) {
		c->bad = true;
		c->left = 0;
		return (struct sig){0};
	}
	return s;
}
