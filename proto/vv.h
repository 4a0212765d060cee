/* SPDX-License-Identifier: BSD-2-Clause */
/* Dots and version vectors: which write, and which writes were seen. */
#ifndef MIMEO_PROTO_VV_H
#define MIMEO_PROTO_VV_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/attr.h"
#include "proto/bytes.h"

/*
 * The name of one record: the origin (one run of one watcher, a random 64-bit id, never 0) and a
 * sequence number inside it (from 1). {0, 0} means "none".
 */
struct dot {
	uint64_t origin;
	uint64_t seq;
};

/* Highest sequence number that is accepted: leaves room above, so that +1 cannot wrap. */
#define DOT_SEQ_MAX ((uint64_t)1 << 62)

bool dot_eq(struct dot a, struct dot b);
/* <0, 0, >0: by origin, then by sequence number. */
int dot_cmp(struct dot a, struct dot b);
bool dot_none(struct dot d);
/* "%016x-%x", as in file names and ids; out holds DOT_TEXT_BYTES. */
#define DOT_TEXT_BYTES 34
void dot_text(struct dot d, char out[DOT_TEXT_BYTES]);
/* The reverse; -EINVAL for anything that dot_text does not write. */
NODISCARD int dot_parse(const char *text, struct dot *out);

/* A version vector: origin -> highest sequence number, sorted by origin. All zero is empty. */
struct vv {
	struct dot *e; /* seq is the highest covered */
	uint32_t n;
	uint32_t cap;
};

/* Most origins in one context. Beyond it a record is refused: see record.h. */
#define VV_ENTRIES_MAX 10000

void vv_free(struct vv *v);
/* Is d covered: d.seq <= v[d.origin]. */
bool vv_covers(const struct vv *v, struct dot d);
uint64_t vv_get(const struct vv *v, uint64_t origin);
/* Raises v[d.origin] to at least d.seq (nothing to do for 0). -ENOMEM leaves v as it was. */
NODISCARD int vv_add(struct vv *v, struct dot d);
/* v becomes the join of both. -ENOMEM may leave a part of it joined. */
NODISCARD int vv_join(struct vv *v, const struct vv *other);
NODISCARD int vv_copy(struct vv *to, const struct vv *from);
/* Is every entry of a covered by b. */
bool vv_leq(const struct vv *a, const struct vv *b);
bool vv_eq(const struct vv *a, const struct vv *b);
/*
 * u16 count, then origin u64, seq u64 each, sorted. Encode sets b->failed for more than
 * VV_ENTRIES_MAX. Decode: -EPROTO if unsorted, zero, too many or too large; -ENOMEM; on an error
 * *out is empty.
 */
void vv_encode(struct buf *b, const struct vv *v);
NODISCARD int vv_decode(struct cur *c, struct vv *out);

#endif
