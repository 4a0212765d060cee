/* SPDX-License-Identifier: BSD-2-Clause */
/* One file being staged: bytes come in from somewhere, are written and hashed in workers, and are
 * checked at the end. */
#ifndef MIMEO_AGENT_INTAKE_H
#define MIMEO_AGENT_INTAKE_H

#include "conf/tree.h"
#include "conf/work.h"
#include "proto/index.h"

enum intake_event {
	INTAKE_READY,     /* resume or restart is done: intake_have says where to go on */
	INTAKE_SIGNATURE, /* delta: the signature of the base can be sent now */
	INTAKE_WRITTEN,   /* some data was written; error: it could not be */
	INTAKE_COMPLETE,  /* 0: the stage file has exactly the record's content and metadata.
			     -EBADMSG: another content; the file was emptied */
};

struct intake_opts {
	struct tree *tree;
	struct work *work;
	const struct record *rec; /* borrowed as long as the intake lives */
	const char *stage;        /* name, borrowed too */
	uint32_t uid, gid;        /* owner to give; -1 cast: leave */
	void (*event)(void *arg, enum intake_event ev,
		      int error); /* in the loop's thread; may free the intake */
	void *arg;
};

struct intake;

struct intake *intake_new(const struct intake_opts *o); /* NULL: out of memory */
/* Also while a worker is busy with it: no event follows, and it is freed when the worker is done.
 * NULL is fine. */
void intake_free(struct intake *in);

/* The whole content at once: takes the malloc'ed bytes. COMPLETE follows. */
void intake_bytes(struct intake *in, uint8_t *bytes, size_t len);
/* A copy of a file of this node: takes it. COMPLETE follows. */
void intake_copy(struct intake *in, struct tfile *from);
/* Hashes what an earlier try left in the stage. READY follows. */
void intake_resume(struct intake *in);
/* Forgets everything written so far. READY follows. */
void intake_restart(struct intake *in);
/* Bytes from the stream, in order: content, or a delta after intake_begin_delta. Copied. WRITTEN
 * follows. */
void intake_data(struct intake *in, const void *bytes, size_t len);
/* Nothing is being written and nothing waits to be. */
bool intake_idle(const struct intake *in);
/* No more data: check and set metadata. COMPLETE follows. Only when idle. */
void intake_finish(struct intake *in);

/* A delta against what is shown at base: its signature is made; SIGNATURE follows, or COMPLETE with
 * -EBADMSG if the base cannot be read. */
void intake_begin_delta(struct intake *in, const struct pathent *base);
/* Up to max bytes of the signature that were not handed out yet; *last: nothing follows. NULL and
 * 0: not ready, or all was handed out. */
const uint8_t *intake_signature(struct intake *in, size_t max, size_t *len, bool *last);
/* Can a delta win for these sizes? */
bool intake_delta_worth(uint64_t base_size, uint64_t new_size, uint64_t delta_min);

uint64_t intake_have(const struct intake *in); /* bytes of content in the stage */
struct tfile *
intake_take_file(struct intake *in); /* after COMPLETE 0: the open stage file, now the caller's */
const struct sig *intake_sig(const struct intake *in);

#endif
