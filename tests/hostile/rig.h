/* SPDX-License-Identifier: BSD-2-Clause */
/* One node with real daemons on a scratch directory, an honest peer that keeps using it, and what
 * must not change beside it. */
#ifndef MIMEO_TESTS_HOSTILE_RIG_H
#define MIMEO_TESTS_HOSTILE_RIG_H

#include <sys/types.h>

#include "tests/hostile/peer.h"

/* The longest wait for anything that must happen: a syncfs on a busy disk takes its time. */
#define RIG_WAIT_MS 60000u

struct rig {
	char dir[128]; /* root, state, work, outside, logs */
	char socket[192];
	pid_t agent, watcher;
	struct peers peers;
	struct peer *good;
	uint64_t good_seq;
	unsigned checks;
	uint32_t next_stream;
	uint8_t hash[RECORD_HASH_BYTES]; /* of the newest file of the honest peer */
	uint64_t size;
	int fds;
	int fds_extra;   /* that an attack under way may hold */
	long rss_max_kb; /* highest that was seen */
	int inotify;
	char before[65536]; /* what lies beside the root */
};

#define GOOD_ORIGIN 0x600d600dull
#define EVIL_ORIGIN 0xe511e511ull

/* Sets all up; false: diagnostics were printed. */
bool rig_start(struct rig *r, const char *build);
void rig_stop(struct rig *r, bool keep);
bool rig_restart_watcher(struct rig *r);
/*
 * Both daemons live, the honest peer is served (a file comes, is acknowledged and
 * can be had back; now and then a large one, and one that was written here goes out), nothing
 * beside the root was touched, memory and descriptors are within their limits. *mb: the agent's
 * highest since the last check. Prints what is wrong.
 */
bool rig_check(struct rig *r, long *mb);
/* The same for the honest peer alone. */
bool rig_serves(struct rig *r);
/* A file is written into the root; its record reaches the honest peer. */
bool rig_local(struct rig *r, const char *name, const char *text);
/* The command's output for these words, in a static buffer. */
const char *rig_command(struct rig *r, const char *words);
bool rig_file_is(const struct rig *r, const char *path, const void *bytes, size_t len);
/* Appends all of the agent's log to b. */
void rig_log(const struct rig *r, struct buf *b);
uint64_t rig_free_bytes(const struct rig *r);
/* A record of a file by the origin, with the content's hash. The bytes behind the pointers are the
 * caller's. */
struct record rig_record(uint64_t origin, uint64_t seq, const void *path, size_t path_len,
			 const void *content, size_t len);

#endif
