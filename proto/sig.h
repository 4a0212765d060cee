/* SPDX-License-Identifier: BSD-2-Clause */
/* The stat signature of something in the tree: cheap evidence that it did not change. */
#ifndef MIMEO_PROTO_SIG_H
#define MIMEO_PROTO_SIG_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/bytes.h"
#include "proto/record.h"

struct sig {
	uint64_t ino;
	uint64_t size;
	int64_t mtime_ns;
	int64_t ctime_ns;
	uint32_t uid, gid;
	uint16_t mode;    /* permission bits incl. setuid etc. (07777) */
	uint8_t kind;     /* enum record_kind; KIND_ABSENT: nothing there */
	bool provisional; /* taken within the clock's grain of the last change: check again */
};

/* Everything equal but `provisional`. */
bool sig_eq(const struct sig *a, const struct sig *b);
/* Equal but for ctime (a rename moves ctime): same inode, size, mtime, mode, owner, kind. */
bool sig_eq_renamed(const struct sig *a, const struct sig *b);
/* Was it taken where times have no fractions of a second? A write within one or two of them may
 * leave no trace there. */
bool sig_coarse(const struct sig *s);
/*
 * Can it be the signature of what that version put there? As far as kind and, of a file, size and
 * mtime tell.
 */
bool sig_shows(const struct sig *s, const struct record *r);
/*
 * ino u64, size u64, mtime u64, ctime u64, uid u32, gid u32, mode u16, kind u8, provisional u8:
 * 44 bytes.
 */
void sig_encode(struct buf *b, const struct sig *s);
/* All zero and c->bad if truncated, or if kind, mode or provisional is out of range. */
struct sig sig_decode(struct cur *c);

#endif
