/* SPDX-License-Identifier: BSD-2-Clause */
/* The write-ahead log: locking, appending, catching up, repair, generations. See proto/WAL.md. */
#ifndef MIMEO_PROTO_WAL_H
#define MIMEO_PROTO_WAL_H

#include <sys/types.h>

#include "proto/entry.h"

/*
 * A file is a header and entries. Header: magic "mimeoWAL" 8, format version u32 (1), feature bits
 * u32 (0), store id u64, generation u64, snapshot end u64 (file offset where the snapshot that
 * begins this generation ends; 64 when there is none), created wall ms u64, salvaged u32 (0 or 1),
 * reserved 8 zero bytes, CRC-32C of the first 60 bytes u32.
 * Entry: length u32 (of the payload), CRC-32C u32 (of length and payload), payload (entry.h).
 * Appends happen at the end, under the exclusive lock, which is held until the data is durable; a
 * reader that holds the lock shared sees only what is durable.
 */
#define WAL_HEADER_BYTES 64
#define WAL_ENTRY_HEADER_BYTES 8
#define WAL_VERSION 1

/*
 * Where the bytes lie: the narrow interface below the WAL, so that tests can supply a disk that
 * tears, fails and forgets. All return 0 or a count, or a negative errno. proto/walfile.h is the
 * real one. "current" is the file named wal; "next" is a new generation under construction.
 */
struct wal_dev {
	void *arg;
	/* -EAGAIN when held and not waiting. */
	int (*lock)(void *arg, bool exclusive, bool wait);
	void (*unlock)(void *arg);
	/* (Re)opens the file that now has the name; -ENOENT if none. After an error the old stays.
	 */
	int (*open_current)(void *arg);
	/* Is the open file still the one that has the name? 1, 0, or an error: not known. */
	int (*is_current)(void *arg);
	/* Short at the end of the file only. */
	ssize_t (*read_at)(void *arg, uint64_t off, void *buf, size_t len);
	/* All or an error. */
	int (*write_at)(void *arg, uint64_t off, const void *buf, size_t len);
	int (*size)(void *arg, uint64_t *size);
	int (*truncate)(void *arg, uint64_t size);
	/* fdatasync of the open file; may be called from another thread. */
	int (*sync)(void *arg);
	int (*next_create)(void *arg);
	int (*next_write)(void *arg, uint64_t off, const void *buf, size_t len);
	ssize_t (*next_read)(void *arg, uint64_t off, void *buf, size_t len);
	/*
	 * Syncs next, keeps current as the previous one (unless set_aside was called), renames next
	 * over it, syncs the directory; next becomes the open file. At no point is there no file of
	 * that name. After an error is_current tells whether the name has moved already.
	 */
	int (*next_publish)(void *arg);
	void (*next_abort)(void *arg);
	/*
	 * The open file gets a second name, wal.damaged-N, by which it stays once next is
	 * published; says which. The same name again if it has one already.
	 */
	int (*set_aside)(void *arg, char *name, size_t name_len);
};

struct wal;

/*
 * What the WAL tells its owner. fold: called for each entry in order, own appends included; must
 * not fail except -ENOMEM (fatal). note: something a person should know: "wal.torn" (an unfinished
 * append was cut), "wal.damaged" (and what became of it), "wal.refused" (the file or an entry is
 * not for this version).
 */
struct wal_user {
	void *arg;
	int (*fold)(void *arg, const struct entry *e);
	void (*note)(void *arg, const char *event, const char *text);
};

struct wal_info {
	uint64_t store;
	uint64_t generation;
	uint64_t size; /* bytes read so far = position of the next entry */
	uint64_t snapshot_end;
	uint64_t entries; /* folded */
	/*
	 * This generation began as a salvage, by this open, another process's, or one that a crash
	 * followed: records may be missing. Its vector is empty but for what was learnt since; the
	 * caller takes a new origin and re-hashes, and then may compact, which ends this state.
	 */
	bool salvaged;
};

/* NULL: out of memory. dev and user are copied; dev.arg stays the caller's. */
struct wal *wal_new(const struct wal_dev *dev, const struct wal_user *user);
void wal_free(struct wal *w);
const struct wal_info *wal_info(const struct wal *w);

/* Creates an empty WAL with that store id; wal_open follows. -EEXIST if there is one. Durable. */
NODISCARD int wal_create(struct wal *w, uint64_t store, uint64_t wall_ms);
/*
 * Opens the WAL and folds every entry, under the exclusive lock (waiting for it). A torn tail is
 * cut (note "wal.torn"). Damage in the middle: the file is set aside, its valid entries are written
 * into a new generation with ENTRY_VECTOR and ENTRY_FLOOR left out (note "wal.damaged",
 * info.salvaged), and that is folded. The file is checked from end to end before the first entry is
 * folded. May be called again after -ESTALE, without the lock, with an empty index behind fold.
 * -ENOENT: none; -EPROTO: not a WAL, an unknown version or feature, an entry that this version
 * cannot read (note "wal.refused"; nothing was changed); -ENOSPC: no room for the salvage, nothing
 * was changed; -ENOMEM, -EIO and others from the device.
 */
NODISCARD int wal_open(struct wal *w);

/*
 * The lock. With wait false: -EAGAIN. One owner a struct wal; no recursion (asserted). What was
 * appended must have been synced before the unlock (asserted). May run in another thread.
 */
NODISCARD int wal_lock(struct wal *w, bool exclusive, bool wait);
void wal_unlock(struct wal *w);
/*
 * Under the lock (either kind): folds what others appended since. Moves over to a new generation:
 * reads the old file to its end first, then goes on behind the new one's snapshot. Under the
 * exclusive lock a torn tail is cut; under the shared one reading stops before it.
 * -ESTALE: more than one generation was missed, or the file was set aside: reopen from the start
 * (the caller's index must be rebuilt, and a watcher takes a new origin). Other errors are fatal
 * (fail stop): -EIO for damage, which the next wal_open salvages; -EPROTO for an entry of a later
 * version; -ENOMEM; what the device says.
 */
NODISCARD int wal_catchup(struct wal *w);
/*
 * Under the exclusive lock, after wal_catchup (both asserted): writes one batch (built with
 * wal_put) at the end and folds each of its entries. Not durable until wal_sync. Entries are
 * atomic, a batch is not: after a crash a first part of it may be there. On an error the file is
 * cut back to where it was and nothing was folded: -ENOSPC, -EIO, …; -ENOMEM also when
 * batch->failed; -EINVAL for an entry that entry_decode refuses (note "wal.refused"). If it cannot
 * be cut back, or fold itself failed, every later call is -EIO.
 */
NODISCARD int wal_append(struct wal *w, const struct buf *batch);
/* Frames one entry into a batch. Sets batch->failed for a payload over ENTRY_BYTES_MAX. */
void wal_put(struct buf *batch, const struct entry *e);
/*
 * Makes what was appended durable. Safe in another thread while the lock is held. An error is
 * final: what was not durable is cut off again if that can be done, and every later call is -EIO.
 * The process must stop; it is never retried.
 */
NODISCARD int wal_sync(struct wal *w);

/*
 * Compaction in steps, so that the lock is held for the last one only. begin: caught up and all of
 * it durable (asserted). put: the next piece of the live state as it was then, framed with wal_put;
 * nothing may be folded meanwhile; the piece is emptied. check: what was put is read back and
 * compared. finish, under the exclusive lock and caught up (asserted): what was appended since the
 * beginning is copied behind the state, read back, and the new generation published; the lock stays
 * held. put, check and finish may run in another thread. Any error ends it, as wal_compact_abort
 * does (which may be called at any time): the old generation stays in place and nothing is lost.
 * -ESTALE: there is a new generation already; -ECANCELED: it had ended; -ENOSPC, -EIO, …; -ENOMEM,
 * also when piece->failed. If the device failed so late that the new one may or may not stay, every
 * later call is -EIO.
 */
NODISCARD int wal_compact_begin(struct wal *w, uint64_t wall_ms);
NODISCARD int wal_compact_put(struct wal *w, struct buf *piece);
NODISCARD int wal_compact_check(struct wal *w);
NODISCARD int wal_compact_finish(struct wal *w);
void wal_compact_abort(struct wal *w);
/*
 * All of that in one go: `snapshot` appends the live state, framed with wal_put, in pieces: called
 * with an empty buffer until it leaves it empty. Under the exclusive lock, caught up and synced
 * (asserted). Errors as above, or what snapshot returned.
 */
NODISCARD int wal_compact(struct wal *w, uint64_t wall_ms,
			  int (*snapshot)(void *arg, struct buf *out), void *arg);

#endif
