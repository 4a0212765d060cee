/* SPDX-License-Identifier: BSD-2-Clause */
/* A record: one write of one path, as its author saw it. */
#ifndef MIMEO_PROTO_RECORD_H
#define MIMEO_PROTO_RECORD_H

#include "proto/vv.h"

enum record_kind {
	KIND_ABSENT = 0, /* a tombstone */
	KIND_FILE = 1,
	KIND_DIR = 2,
	KIND_SYMLINK = 3,
};

/* What the author did, for people. The merge never looks at it. */
enum record_op {
	OP_ADD = 1,
	OP_EDIT = 2,
	OP_DELETE = 3,
	OP_MKDIR = 4,
	OP_RMDIR = 5,
	OP_SYMLINK = 6,
	OP_META = 7,
};
const char *record_op_name(enum record_op op); /* "add", "edit", …; "?" for others */

#define RECORD_HASH_BYTES 32
#define RECORD_IMPORT 1u /* flag: found by a first scan; ranks below everything else */
#define RECORD_MOVED                                                                               \
	2u /* flag: the content came here by a rename; whoever has the old name has it, so it is   \
	      not sent along */
#define RECORD_FLAGS (RECORD_IMPORT | RECORD_MOVED)
#define RECORD_MODE_MASK 0777     /* setuid, setgid and sticky are never part of a version */
#define RECORD_OWNER_BYTES_MAX 64 /* owner and group names */
#define RECORD_TARGET_BYTES_MAX 4095
#define RECORD_CTX_MAX 512                      /* origins in one context */
#define RECORD_BYTES_MAX (16 * 1024 + 512 * 16) /* encoded; larger ones are refused */

/*
 * A plain value. Pointers are borrowed: from the bytes it was decoded from, or from the copy's own
 * block (record_dup). Strings are not terminated.
 */
struct record {
	struct dot dot;
	uint64_t hlc;
	uint8_t kind; /* enum record_kind */
	uint8_t op;   /* enum record_op */
	uint8_t flags;
	uint16_t mode; /* file, dir: permission bits; else 0 */
	uint16_t path_len;
	uint16_t target_len;
	uint8_t owner_len, group_len;
	/* file: bytes; symlink: target_len; absent: of what went; dir: 0. At most INT64_MAX */
	uint64_t size;
	int64_t mtime_ns; /* file, symlink; else 0 */
	/* SHA-256 of the content; symlink: of the target; dir: 0s; absent: of what went, or 0s */
	uint8_t hash[RECORD_HASH_BYTES];
	const uint8_t *path;
	const uint8_t *target;        /* symlink only */
	const uint8_t *owner, *group; /* empty unless owners are preserved */
	struct vv ctx; /* what its author had applied at this path; never covers its own dot */
};

bool record_live(const struct record *r); /* kind is not absent */
bool record_import(const struct record *r);
/* Does r supersede d: d is covered by r's context. */
bool record_covers(const struct record *r, struct dot d);
/*
 * Which of two concurrent heads is shown: >0 if a outranks b. An import ranks below everything
 * else, a live file above a delete, then the later time, then the higher dot. Total.
 */
int record_rank(const struct record *a, const struct record *b);
/* Is it the same version of the content: kind, hash, size (and target). Metadata may differ. */
bool record_same_content(const struct record *a, const struct record *b);

/*
 * Wire and WAL form, fixed order, little-endian:
 *   origin u64, seq u64, hlc u64, kind u8, op u8, flags u8, mode u16, size u64, mtime u64 (two's
 *   complement), hash 32, path str16, target str16, owner str16, group str16, context (vv_encode)
 * A context over RECORD_CTX_MAX sets b->failed: nobody would accept the record.
 */
void record_encode(struct buf *b, const struct record *r);
/*
 * Decodes one; on an error r is all zero. r->path etc. borrow from the cursor's bytes, r->ctx is
 * allocated (record_clear).
 * -EPROTO: truncated, unknown kind, op or flag bits, a path that path_check refuses, lengths over
 * the limits, a dot that is 0 or above DOT_SEQ_MAX, a context that covers the record's own dot,
 * fields that the kind does not have, a size that no file can have, a symlink that leaves the
 * root, an op that does not make
 * the kind (absent: delete, rmdir; file: add, edit, meta; dir: mkdir, meta; symlink: symlink,
 * meta). -ENOMEM.
 */
NODISCARD int record_decode(struct cur *c, struct record *r);
/* What is wrong with the path of an encoded record, in words; NULL: nothing, or it does not get so
 * far. */
const char *record_problem(const void *bytes, size_t len);
void record_clear(struct record *r); /* frees r->ctx of a decoded record */
/*
 * A copy in one block, everything inside (its context must not grow); given back with record_free.
 * NULL: out of memory.
 */
struct record *record_dup(const struct record *r);
void record_free(struct record *r);

#endif
