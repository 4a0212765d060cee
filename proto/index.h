/* SPDX-License-Identifier: BSD-2-Clause */
/* The index: what the WAL says, in memory. A pure fold of WAL entries; both daemons keep one. */
#ifndef MIMEO_PROTO_INDEX_H
#define MIMEO_PROTO_INDEX_H

#include "proto/entry.h"
#include "proto/map.h"
#include "proto/member.h"

/*
 * The merge, in short (architecture: README, "How it works"):
 * - A path has heads: the records that no other record's context covers. A head leaves only when a
 * record that covers it arrives. What is shown is a pure function of the heads of this path and of
 * those below and above it: index_want.
 * - `actx`, the applied context, is the join over every record ever applied here of its context and
 * its dot. A record is applied here, or superseded by one that was, iff actx covers its dot. It is
 * the context of the next local record at this path.
 * - A record stays in memory while it is a head, or not yet applied, or shown, or an open intent is
 * about to show it.
 */
struct pathent;

struct irec {
	struct record *r; /* own copy */
	struct pathent *ent;
	struct irec *next;                /* in the path */
	struct irec *log_prev, *log_next; /* in the order of the WAL */
	uint64_t lsn; /* rises along the log order: what is durable so far is lsn <= some number */
	bool head;
	bool shown;
};

/* An open intent: the agent is about to change the path, or did and has not said so yet. */
struct intent {
	struct dot dot;
	uint8_t action; /* enum entry_action */
	uint64_t ino;   /* of the staged or moved object; 0 if the action has none */
	struct pathent *ent;
	struct pathent *from; /* ACTION_MOVE */
	struct intent *next;
};

/* One path. Read-only for everyone but index.c, except for `work`. */
struct pathent {
	struct pathent *parent; /* NULL: this is the root */
	struct pathent *child, *sib_next, *sib_prev;
	struct irec *recs;
	struct irec *shown; /* the version that the tree shows here; NULL: nothing, or an implied
			       directory */
	bool shown_dir;     /* an implied directory is shown */
	bool altered; /* shown is a file, but other bytes lie there, under sig: to be put back */
	bool todo;    /* unsettled: see index_todo_first */
	uint8_t live; /* own winner: 0 not live, 1 import (weak), 2 strong */
	uint16_t path_len;
	uint32_t
		version; /* moves whenever a record, the applied context or what is shown changes */
	uint32_t strong_below, weak_below;     /* live own winners strictly below */
	struct sig sig;                        /* of what is shown */
	struct pathent *same_prev, *same_next; /* others that show the same content */
	struct vv actx;
	struct dot left; /* the winner that was dealt with although the tree does not show it
			    (ignored, or a directory that had to stay) */
	struct intent *intent;
	struct pathent *todo_prev, *todo_next;
	uint64_t todo_stamp;
	void *work;     /* the owner's: agent task or watcher's dirty name */
	uint8_t path[]; /* terminated, for printing only; may hold any byte but 0 */
};

struct kept {
	struct dot dot;    /* {0, n} for rescued content */
	struct record *r;  /* the displaced version: path, hash, size, mode, mtime, author's time */
	uint64_t since_ms; /* wall clock when it was displaced */
	uint8_t flags;
	struct kept *next, *prev; /* oldest first */
};

struct origin {
	uint64_t id;
	uint64_t store;
	char node[MEMBER_NAME_BYTES_MAX + 1];
	bool frozen; /* one of its dots named two records: nothing more is taken of it */
};

/* A dot that came by a peer's UPTO without a record, while paths were pending: not acknowledged
 * before those have settled. */
struct gap {
	struct dotset set;
	uint64_t stamp;
	struct gap *next;
};

struct index {
	/* Read freely, change never. */
	struct dotset have; /* every dot seen: stored, superseded, or below the floor */
	struct dotset
		acked; /* of those, what was applied here or superseded by something applied */
	struct dotset floor;
	struct dotset held;
	/* Highest time seen in any record, this node's among them; CLOCK keeps it over compaction.
	 */
	uint64_t hlc;
	uint64_t barrier, answered;
	uint64_t scanned_ms;   /* wall time of the last full scan; 0 never */
	uint64_t files, bytes; /* shown files and symlinks; their sizes */
	uint64_t dirs;
	uint64_t tombstones; /* paths whose winner is a delete */
	uint64_t conflicts;  /* losing live heads with another content than the winner's */
	uint64_t digest[2];  /* order-independent, over live heads */
	uint64_t kept_bytes, kept_files;
	size_t todo_count;
	bool paused;
	bool resumed;      /* the last entry was PAUSE 0 */
	uint64_t accepted; /* how often a person agreed to what is held */
	bool exchanged; /* some peer's UPTO was joined, or the WAL says so: what the cluster has is
			   known here */
	struct irec *log_first, *log_last;
	struct kept *kept_first, *kept_last;
	struct origin *origins; /* sorted by id */
	size_t norigins;
	struct member *members; /* in order of arrival */
	size_t nmembers;
	struct intent *intents;
	struct pathent *root;
	/* Callbacks of the owner, may be NULL. */
	void *arg;
	void (*on_todo)(void *arg, struct pathent *ent); /* is unsettled and something changed */
	void (*on_settled)(void *arg, struct pathent *ent);
	void (*on_record)(void *arg, struct irec *rec,
			  bool own); /* a new record (not during snapshot replay of the same dot) */
	void (*on_answer)(void *arg, const struct entry *e); /* ENTRY_ANSWER */
	void (*on_barrier)(void *arg, uint64_t n);
	void (*on_member)(void *arg, const struct member *m);
	void (*on_free)(void *arg, struct pathent *ent); /* ent->work must be given up */
	/* Private. */
	uint64_t seed;
	char self[MEMBER_NAME_BYTES_MAX + 1];
	struct map paths, content, kept_dots, kept_content;
	struct pathent *todo_first, *todo_last;
	uint64_t stamps, lsn;
	struct gap *gaps;
	struct index_cursor *cursors;
};

/* Longest path that index_get takes. */
#define PATH_ENT_BYTES_MAX 4095

/* seed: any random number (hash tables). self: this node's name. NULL: out of memory. */
struct index *index_new(uint64_t seed, const char *self);
void index_free(struct index *x);
/* Applies one entry. -ENOMEM only: the caller must stop. Entries that contradict what is there are
 * absorbed as far as they make sense. */
NODISCARD int index_fold(struct index *x, const struct entry *e);

struct pathent *index_find(const struct index *x, const void *path, size_t len);
/* The same, made if it is missing (with its parents). NULL: out of memory. */
struct pathent *index_get(struct index *x, const void *path, size_t len);
/* The owner took its `work` away: the entry may be freed if nothing else holds it. */
void index_release(struct index *x, struct pathent *ent);
struct irec *index_record(const struct pathent *ent, struct dot dot);
/* The path after this one in a walk from x->root, parents first; NULL at the end. */
struct pathent *index_walk(struct pathent *ent);

/* Highest ranking head, deletes included; NULL if the path has none. */
struct irec *index_winner(const struct pathent *ent);
bool index_applied(const struct irec *rec); /* here, or superseded by something applied here */

enum want { WANT_ABSENT, WANT_RECORD, WANT_DIR };
/* What the tree should show: *rec for WANT_RECORD; WANT_DIR is a directory that no record
 * describes. */
enum want index_want(const struct pathent *ent, struct irec **rec);
/* Does the tree show what it should? */
bool index_shows_want(const struct pathent *ent);
/* The same, and is every record dealt with? (Or its winner was left on purpose.) */
bool index_settled(const struct pathent *ent);
/* Unsettled paths, oldest first. */
struct pathent *index_todo_first(const struct index *x);
/* Takes ent->left back (it is no longer ignored, say): it is looked at again. */
void index_unleave(struct index *x, struct pathent *ent);

/*
 * The echo rule: would a record of this state be an echo? state: kind, mode, mtime, hash, size,
 * target, owner of what the tree has (KIND_ABSENT: nothing). Returns the record that it would
 * repeat: one of this path, not applied here, equal to it, and covering what is shown, or
 * outranking it while its content is in the store (or nothing is shown). NULL: it is the user's own
 * change; so it is where what was shown would stay a head whose bytes he has taken away. owners:
 * compare owner names too.
 */
struct irec *index_echo(const struct index *x, const struct pathent *ent,
			const struct record *state, bool owners);
/* Is `state` just what index says is shown here? (Implied directories equal any directory.) */
bool index_shows(const struct pathent *ent, const struct record *state, bool owners);

/* A path that shows a file with this content; NULL if none. */
struct pathent *index_content(const struct index *x, const uint8_t hash[RECORD_HASH_BYTES],
			      uint64_t size);
struct kept *index_kept(const struct index *x, struct dot dot);
struct kept *index_kept_content(const struct index *x, const uint8_t hash[RECORD_HASH_BYTES],
				uint64_t size);
/* A kept version of just that path and content. */
struct kept *index_kept_at(const struct index *x, const struct record *r);
/* Is that kept version a conflict: is its dot still a head that is not shown, or are these the only
 * bytes of another one that is (or was it never logged)? */
bool index_kept_conflict(const struct index *x, const struct kept *k);

const struct origin *index_origin(const struct index *x, uint64_t id);
bool index_own(const struct index *x, uint64_t origin); /* run by this node (by name) */
const struct member *index_member(const struct index *x, const char *name);

/* A place in the log order that survives removals. Give it back with index_cursor_end. */
struct index_cursor {
	struct irec *last; /* last one returned; NULL: at the beginning */
	struct index_cursor *next;
};
void index_cursor_begin(struct index *x, struct index_cursor *c);
void index_cursor_end(struct index *x, struct index_cursor *c);
/* To the end: what comes next is the first record that comes from now on. */
void index_cursor_last(const struct index *x, struct index_cursor *c);
struct irec *index_cursor_next(const struct index *x,
			       struct index_cursor *c); /* NULL: nothing more for now */

/* Number of live heads at the path that are not what is shown, with other content: what `conflicts`
 * counts. */
unsigned index_conflicts_at(const struct pathent *ent);
/* Most heads at one path; above it a node authors nothing there and says so. */
#define INDEX_HEADS_MAX 64
unsigned index_heads_at(const struct pathent *ent);

/*
 * The live state as WAL entries, for wal_compact: appends up to about 1 MiB to out, leaves it empty
 * when done. Begin with a zeroed state. The index must not change in between.
 */
struct index_snapshot {
	unsigned phase;
	size_t i;
	void *at;
};
NODISCARD int index_snapshot(struct index *x, struct index_snapshot *s, struct buf *out);

/* Walks everything and recomputes what is derived; asserts on a difference. For tests and
 * simulators. */
void index_check(const struct index *x);

#endif
