/* SPDX-License-Identifier: BSD-2-Clause */
/* A machine's file system in memory: what is there, what would be there after a power cut, and who
 * is told of changes. */
#ifndef MIMEO_TESTS_SIMULATOR_DISK_H
#define MIMEO_TESTS_SIMULATOR_DISK_H

#include "proto/bytes.h"
#include "proto/sig.h"
#include "tests/simulator/rng.h"

struct inode;

/*
 * A name in a directory. live: what it names now; durable: what it would name after a power cut.
 * Never freed before the disk.
 */
struct dent {
	struct inode *dir;
	struct inode *live, *durable;
	struct dent *next;
	size_t len;
	char name[];
};

struct inode {
	uint64_t ino;
	uint8_t kind;
	uint16_t mode;
	int64_t mtime_ns, ctime_ns;
	struct buf data; /* of a file; target of a symlink */
	struct {
		struct buf data;
		uint16_t mode;
		int64_t mtime_ns;
	} saved;         /* what is durable of it */
	bool dirty;      /* differs from what is saved, as far as the system knows */
	bool agent;      /* the agent made it */
	bool taken_open; /* somebody wrote to it when the agent took it away */
	unsigned changes, taken_changes; /* of its bytes, in all and until then */
	unsigned writers;                /* open for writing */
	unsigned holders;                /* while there are any, nobody can open it so */
	int wd;                          /* watch on this directory; -1 none */
	struct dent *at;                 /* where it was put last */
	struct dent *dent;               /* first name in this directory */
	struct inode *next;
};

/* One change of names, atomic: up to two names get something else. */
struct disk_op {
	struct dent *dent[2];
	struct inode *before[2], *after[2];
	int n;
};

struct disk_event {
	int wd;
	uint32_t mask, cookie;
	char name[64];
};

struct disk {
	struct rng *rng;
	const int64_t *clock_ns; /* this machine's wall clock */
	int64_t grain_ns;
	uint64_t next_ino;
	struct inode *inodes;
	struct inode *root, *stage, *kept;
	struct disk_op *ops; /* not durable yet, in order */
	size_t nops, ops_cap;
	uint32_t cookie;
	uint64_t free_bytes;
	unsigned fsync_fails; /* the n-th sync from now fails; 0: none */
	void *arg;
	void (*event)(void *arg, const struct disk_event *e); /* of a watched directory */
};

/* NULL: out of memory. */
struct disk *disk_new(struct rng *rng, const int64_t *clock_ns, int64_t grain_ns);
void disk_free(struct disk *d);

/* An empty directory in place of a root that is not mounted. */
struct inode *disk_mount_point(struct disk *d);

/* What a path below the root names. -ENOENT, -ELOOP (a symlink on the way). */
NODISCARD int disk_find(const struct disk *d, const void *path, size_t len, struct inode **out);
/* What it names as far as anybody has synced, or NULL. */
const struct inode *disk_durable(const struct disk *d, const char *path, size_t len);
/* Its parent directory and last name; the name need not exist. */
NODISCARD int disk_parent(const struct disk *d, const void *path, size_t len, struct inode **dir,
			  const char **name, size_t *name_len);
struct inode *disk_lookup(const struct inode *dir, const char *name, size_t len);
bool disk_empty(const struct inode *dir);
struct sig disk_sig(const struct inode *i);
/* The path of an inode below the root; false: it is not there. */
bool disk_path(const struct disk *d, const struct inode *i, char *out, size_t cap);

/* Makes an inode under a name that is free. */
struct inode *disk_make(struct disk *d, struct inode *dir, const char *name, size_t len,
			uint8_t kind, uint16_t mode);
/* A name goes; with dir_or_file as it is. */
void disk_unlink(struct disk *d, struct inode *dir, const char *name, size_t len);
/* Renames over whatever is there. */
void disk_rename(struct disk *d, struct inode *from, const char *name, size_t len, struct inode *to,
		 const char *to_name, size_t to_len);
void disk_exchange(struct disk *d, struct inode *a, const char *name, size_t len, struct inode *b,
		   const char *b_name, size_t b_len);
void disk_write(struct disk *d, struct inode *i, uint64_t off, const void *bytes, size_t len);
void disk_truncate(struct disk *d, struct inode *i, uint64_t size);
/* Mode and times were set, or will be by the caller: ctime moves, whoever watches is told. */
void disk_touched(struct disk *d, struct inode *i, bool tell);
/* A descriptor open for writing is closed. */
void disk_closed_write(struct disk *d, struct inode *i);
void disk_tell(struct disk *d, const struct inode *i, uint32_t mask);

/* 0 or -EIO: then what was dirty is lost at the next power cut, and nobody will say so again. */
NODISCARD int disk_fsync(struct disk *d, struct inode *i);
NODISCARD int disk_sync_dir(struct disk *d, struct inode *dir);
NODISCARD int disk_sync_all(struct disk *d);
/* The power goes: of what was not durable some legal part stays. */
void disk_power_cut(struct disk *d);

#endif
