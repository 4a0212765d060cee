/* SPDX-License-Identifier: BSD-2-Clause */
/* A WAL's device in memory: two processes share it, its lock makes one of them wait, and a power
 * cut leaves what was synced and some part of the rest. */
#ifndef MIMEO_TESTS_SIMULATOR_LOG_H
#define MIMEO_TESTS_SIMULATOR_LOG_H

#include "proto/wal.h"
#include "tests/simulator/rng.h"

#define LOG_FILES_MAX 256

struct log_file {
	struct buf live, durable;
	size_t same; /* so many bytes at the front are equal in both */
};

struct logdev;

struct logdisk {
	struct rng *rng;
	struct log_file *file[LOG_FILES_MAX];
	int nfiles;
	int wal;               /* the file of that name; -1 none */
	struct logdev *holder; /* of the lock */
	unsigned ndamaged;
	uint64_t free_bytes; /* an append that needs more is ENOSPC */
	unsigned fsync_fails;
	void *arg;
	void (*appended)(void *arg, struct logdev *by);
	/* What is durable changed: the file named wal is this one, so far. */
	void (*durable)(void *arg, struct logdev *by, const struct buf *file);
};

/* One process's view of it. */
struct logdev {
	struct logdisk *disk;
	bool dead;
	bool blocked; /* a call of lock had to wait: the job is to be run again */
	int file, next;
	bool aside;
	/* Called before each step: true kills the process. */
	bool (*step)(void *arg);
	void *arg;
};

struct logdisk *logdisk_new(struct rng *rng);
void logdisk_free(struct logdisk *d);
void logdev_init(struct logdev *v, struct logdisk *d);
struct wal_dev logdev_dev(struct logdev *v);
/* The process is gone, its lock with it. */
void logdev_dead(struct logdev *v);
void logdisk_power_cut(struct logdisk *d);

#endif
