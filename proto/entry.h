/* SPDX-License-Identifier: BSD-2-Clause */
/* WAL entries: the payloads. Framing, checksums and the file are wal.h's. See proto/WAL.md. */
#ifndef MIMEO_PROTO_ENTRY_H
#define MIMEO_PROTO_ENTRY_H

#include "proto/dotset.h"
#include "proto/record.h"
#include "proto/sig.h"

/* Who writes which is part of the contract: W watcher, A agent, C compaction (by the agent). */
enum entry_type {
	/* W, A, C: num = origin, name = the node that runs it, num2 = that node's store id. */
	ENTRY_ORIGIN = 1,
	/* W: rec authored here, applied here, with the signature it was hashed under. */
	ENTRY_RECORD = 2,
	/* A, C: rec, somebody's; not applied by this entry. */
	ENTRY_KNOWN = 3,
	/* W: path shows the same version under a new signature. */
	ENTRY_SIG = 4,
	/* A, C: about to change path: dot, action, ino (staged inode or 0), from (of a move). */
	ENTRY_INTENT = 5,
	/* A, C: dot (or none) was dealt with at path; flags; sig. Closes the path's intent. */
	ENTRY_APPLIED = 6,
	/* A: the path's intent is closed, nothing was changed. */
	ENTRY_DROPPED = 7,
	/* A, C: set: these dots are seen too (a peer's UPTO was joined). */
	ENTRY_VECTOR = 8,
	/* A, C: set: tombstones below it may have been collected. */
	ENTRY_FLOOR = 9,
	/* A, C: set: all dots that are held now (replaces). */
	ENTRY_HELD = 10,
	/* A, C: blob: one encoded member (member.h), replaces the one of the same name. */
	ENTRY_MEMBER = 11,
	/* A, C: rec's content lies in work/kept under dot since num (wall ms); flags. */
	ENTRY_KEPT = 12,
	/* A: work/kept no longer has dot. */
	ENTRY_PURGED = 13,
	/* A, C: num: everything closed before this must be logged or have a reason. */
	ENTRY_BARRIER = 14,
	/* W, C: num: barriers up to this are answered; blob: what could not be logged, and why. */
	ENTRY_ANSWER = 15,
	/* C: the path's applied context. */
	ENTRY_CONTEXT = 16,
	/* C: num: highest hybrid time seen. */
	ENTRY_CLOCK = 17,
	/* A: the tombstone dot at path was collected. */
	ENTRY_COLLECTED = 18,
	/* A: dot at path is no head any more: a whole-state merge says it was deleted. */
	ENTRY_REMOVED = 19,
	/* W, C: a full scan ended: num = wall ms, num2 = files; the first one ends the import. */
	ENTRY_SCANNED = 20,
	/* A, C: num 1: fetch and apply are paused; 0: they run. */
	ENTRY_PAUSE = 21,
	/* W, A, C: the file at path no longer has its version's content but other bytes, under sig,
	 * and is to be put back. */
	ENTRY_ALTERED = 22,
	/* A, C: num = origin: one dot of it named two records; nothing more is taken of it. */
	ENTRY_FROZEN = 23,
	/* W: num = wall ms: it logs nothing before the agent says by a VECTOR that it knows what
	 * some peer holds. */
	ENTRY_AWAIT = 24,
	/* A: num = origin: it is frozen no more. */
	ENTRY_THAWED = 25,
};
#define ENTRY_TYPE_MAX 25

/* ENTRY_INTENT, what is about to happen. */
enum entry_action {
	ACTION_PLACE = 1,    /* stage -> path, must be new */
	ACTION_EXCHANGE = 2, /* stage <-> path */
	ACTION_TAKE = 3, /* path -> stage: a delete, or a loser that makes room for a directory */
	ACTION_MOVE = 4, /* from -> path: an add served by the file whose delete is at hand */
	ACTION_MKDIR = 5,
	ACTION_RMDIR = 6,
	ACTION_META = 7, /* mode, mtime, owner in place */
};

/* ENTRY_APPLIED flags. */
#define APPLIED_SHOWN 1u  /* the path shows dot under sig (dot none: an implied directory) */
#define APPLIED_ABSENT 2u /* the path shows nothing */
#define APPLIED_LEFT                                                                               \
	4u /* what the path shows has to stay, although dot wins (ignored here, or a directory     \
	      that could not be removed) */
/* 0: dealt with, what the path shows did not change (a loser in the store, a losing delete). Should
 * dot win by now, it is still to be shown. */

/* ENTRY_KEPT flags. */
#define KEPT_RESCUED 1u /* content that nobody logged: dot is {0, n}, the file is rescued-n */

/*
 * One entry, decoded. Which fields count depends on the type (above). Pointers borrow from the
 * decoded bytes; rec.ctx and set are allocated: entry_clear.
 */
struct entry {
	uint8_t type;
	uint8_t flags;
	uint8_t action;
	struct dot dot;
	uint64_t num;
	uint64_t num2;
	uint64_t ino;
	struct sig sig;
	struct record rec;
	struct dotset set;
	const uint8_t *path;
	size_t path_len;
	const uint8_t *from;
	size_t from_len;
	const uint8_t *name; /* ORIGIN */
	size_t name_len;
	const uint8_t *blob;
	size_t blob_len;
};

#define ENTRY_BLOB_BYTES_MAX 60000
/* In an ANSWER's blob: the reason of a file that somebody is writing to. */
#define ENTRY_ANSWER_OPEN "a program has it open for writing"
/* Largest payload: a vector of DOTSET_SPANS_MAX spans. */
#define ENTRY_BYTES_MAX (64u * 1024 * 1024)
/*
 * Largest payload that is no VECTOR, FLOOR or HELD; a CONTEXT of VV_ENTRIES_MAX origins takes
 * 160,000 bytes. Later versions keep to this and to types up to the limit below: it is what tells
 * an entry from noise when one is searched for behind damage.
 */
#define ENTRY_SMALL_BYTES_MAX (256u * 1024)
#define ENTRY_TYPE_LIMIT 63

/*
 * Appends the payload (type byte first) to b. Fields by type, in the order of WAL.md. Asserts a
 * known type and a blob within its limit; nothing else is checked: entry_decode does that.
 */
void entry_encode(struct buf *b, const struct entry *e);
/* -EPROTO: unknown type, truncated, trailing bytes, any field out of its range; -ENOMEM. */
NODISCARD int entry_decode(const void *bytes, size_t len, struct entry *e);
void entry_clear(struct entry *e);
/* May a payload of this type, of this or a later version, have this length? */
bool entry_length_ok(uint8_t type, size_t len);
const char *entry_type_name(uint8_t type); /* "RECORD", …, "?" */

#endif
