/* SPDX-License-Identifier: BSD-2-Clause */
/* One file being staged. One worker job at a time; what comes meanwhile is collected for the next.
 */
#include "config.h"

#include "agent/intake.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/delta.h"
#include "conf/hash.h"
#include "proto/seeded.h"

#define CHUNK_BYTES (256u * 1024)
#define FLUSH_BYTES (8u * 1024 * 1024) /* write-back of large files is started so often */
/*
 * Room is taken as bytes come: so much, or as much again as there is. The size is what a peer
 * claims, and others need the room as long as the bytes are not there.
 */
#define RESERVE_BYTES ((uint64_t)8 * 1024 * 1024)
#define PATCH_TURNS 32u /* pieces of CHUNK_BYTES that one turn makes: workers are for all */

enum op { OP_NONE, OP_BYTES, OP_COPY, OP_RESUME, OP_RESTART, OP_WRITE, OP_FINISH, OP_SIGN };

struct intake {
	struct intake_opts o;
	struct work_job job;
	enum op op; /* in the worker */
	bool busy, dead, restart;
	int error;
	struct tfile *file; /* the stage file */
	struct tfile *from; /* OP_COPY */
	struct hash *hash;
	uint64_t have; /* bytes written and hashed */
	uint64_t flushed;
	uint64_t reserved;  /* room is taken up to here */
	struct buf coming;  /* from the stream, for the next OP_WRITE */
	struct buf writing; /* in the worker; OP_BYTES: all of it */
	size_t patched;     /* of `writing`, by the delta */
	bool more;          /* the delta makes more of it: another turn */
	struct sig sig;
	/* delta */
	struct tfile *base;
	uint64_t base_size;
	struct delta_patch *patch;
	struct buf signature;
	size_t signature_at;
	bool signature_ready;
};

/* ---- in the worker ---- */

static int
open_stage(struct intake *in)
{
	uint64_t have;
	int e;

	if (in->file != NULL)
		return 0;
	e = tree_stage_open(in->o.tree, in->o.stage, 0, &in->file, &have);
	if (e < 0)
		return e;
	in->have = have;
	in->reserved = RESERVE_BYTES;
	return 0;
}

static int
empty_stage(struct intake *in)
{
	int e = open_stage(in);

	hash_reset(in->hash);
	in->have = 0;
	in->flushed = 0;
	in->reserved = RESERVE_BYTES;
	return e < 0 ? e : tfile_truncate(in->file, 0);
}

static int
reserve(struct intake *in)
{
	uint64_t size = in->have > RESERVE_BYTES ? 2 * in->have : 2 * RESERVE_BYTES;
	int e;

	if (size > in->o.rec->size)
		size = in->o.rec->size;
	e = tfile_reserve(in->file, in->have, size);
	if (e == 0)
		in->reserved = size;
	return e;
}

static int
write_bytes(struct intake *in, const void *bytes, size_t len)
{
	int e;

	if (len > in->o.rec->size - in->have)
		return -EBADMSG; /* more than the record says */
	if (in->have + len > in->reserved && (e = reserve(in)) < 0)
		return e;
	e = tfile_write_at(in->file, in->have, bytes, len);
	if (e < 0)
		return e;
	hash_update(in->hash, bytes, len);
	in->have += len;
	if (in->have - in->flushed >= FLUSH_BYTES) {
		tfile_flush_hint(in->file, in->flushed, in->have - in->flushed);
		in->flushed = in->have;
	}
	return 0;
}

/* Length, hash, metadata: everything that makes it the version that the record names. */
static int
check_and_dress(struct intake *in)
{
	const struct record *r = in->o.rec;
	uint8_t hash[HASH_BYTES];
	int e = hash_final(in->hash, hash);

	if (e < 0)
		return e;
	if (!SEEDED(hash_unchecked) &&
	    (in->have != r->size || memcmp(hash, r->hash, HASH_BYTES) != 0)) {
		e = empty_stage(in);
		return e < 0 ? e : -EBADMSG;
	}
	e = tfile_set_meta(in->file, r->mode, r->mtime_ns, in->o.uid, in->o.gid);
	if (e < 0 && e != -EPERM)
		return e;
	return tfile_stat(in->file, &in->sig, NULL);
}

static int
do_bytes(struct intake *in)
{
	int e = empty_stage(in);

	if (e == 0)
		e = write_bytes(in, in->writing.data, in->writing.len);
	return e < 0 ? e : check_and_dress(in);
}

static int
do_copy(struct intake *in)
{
	uint8_t *chunk = malloc(CHUNK_BYTES);
	int e = chunk != NULL ? empty_stage(in) : -ENOMEM;
	uint64_t off = 0;
	ssize_t got;

	while (e == 0 && (got = tfile_read_at(in->from, off, chunk, CHUNK_BYTES)) != 0) {
		e = got < 0 ? (int)got : write_bytes(in, chunk, (size_t)got);
		off += got > 0 ? (uint64_t)got : 0;
	}
	free(chunk);
	if (e == -EBADMSG) { /* it grew while it was read */
		e = empty_stage(in);
		return e < 0 ? e : -EBADMSG;
	}
	return e < 0 ? e : check_and_dress(in);
}

static int
do_resume(struct intake *in)
{
	uint8_t *chunk = malloc(CHUNK_BYTES);
	uint64_t have, off = 0;
	int e = chunk != NULL ? open_stage(in) : -ENOMEM;

	have = in->have;
	if (e == 0 && have > in->o.rec->size)
		e = empty_stage(in), have = 0;
	while (e == 0 && off < have) {
		size_t want = have - off < CHUNK_BYTES ? (size_t)(have - off) : CHUNK_BYTES;
		ssize_t got = tfile_read_at(in->file, off, chunk, want);

		if (got <= 0) {
			e = empty_stage(in);
			break;
		}
		hash_update(in->hash, chunk, (size_t)got);
		off += (uint64_t)got;
	}
	free(chunk);
	return e;
}

static int
do_patch(struct intake *in)
{
	uint8_t *chunk = malloc(CHUNK_BYTES);
	struct delta_io io = {.in = in->writing.data + in->patched,
			      .in_left = in->writing.len - in->patched};
	int e = chunk != NULL ? 0 : -ENOMEM;
	unsigned turns = 0;

	do {
		io.out = chunk;
		io.out_left = CHUNK_BYTES;
		if (e == 0)
			e = delta_patch_step(in->patch, &io);
		if (e == 0)
			e = write_bytes(in, chunk, CHUNK_BYTES - io.out_left);
		in->more = e == 0 && (io.in_left > 0 || io.out_left == 0);
	} while (in->more && ++turns < PATCH_TURNS);
	in->patched = in->writing.len - io.in_left;
	free(chunk);
	return e;
}

static int
do_write(struct intake *in)
{
	int e = in->writing.failed ? -ENOMEM : open_stage(in); /* then it has a hole */

	if (e < 0)
		return e;
	if (in->patch == NULL)
		return write_bytes(in, in->writing.data, in->writing.len);
	return do_patch(in);
}

static int
do_finish(struct intake *in)
{
	int e = open_stage(in);

	if (e == 0 && in->patch != NULL)
		e = delta_patch_finish(in->patch);
	return e < 0 ? e : check_and_dress(in);
}

static ssize_t
base_read(void *arg, uint64_t off, void *buf, size_t len)
{
	return tfile_read_at(arg, off, buf, len);
}

static int
do_sign(struct intake *in)
{
	struct delta_file base = {base_read, in->base, in->base_size};
	int e = empty_stage(in);

	if (e == 0)
		e = delta_sig_make(&base, &(struct delta_stop){0}, &in->signature);
	if (e < 0)
		return e;
	in->patch = delta_patch_new(&base, in->o.rec->size);
	return in->patch != NULL ? 0 : -ENOMEM;
}

static void
work_run(struct work_job *j)
{
	struct intake *in = (struct intake *)((char *)j - offsetof(struct intake, job));
	static int (*const ops[])(struct intake *) = {
		[OP_BYTES] = do_bytes,      [OP_COPY] = do_copy,   [OP_RESUME] = do_resume,
		[OP_RESTART] = empty_stage, [OP_WRITE] = do_write, [OP_FINISH] = do_finish,
		[OP_SIGN] = do_sign,
	};

	in->error = ops[in->op](in);
}

/* ---- in the loop ---- */

static void
really_free(struct intake *in)
{
	tfile_close(in->file);
	tfile_close(in->from);
	tfile_close(in->base);
	delta_patch_free(in->patch);
	hash_free(in->hash);
	buf_free(&in->coming);
	buf_free(&in->writing);
	buf_free(&in->signature);
	free(in);
}

static void submit(struct intake *in, enum op op);

static void
end_delta(struct intake *in)
{
	delta_patch_free(in->patch);
	in->patch = NULL;
	tfile_close(in->base);
	in->base = NULL;
	buf_reset(&in->signature);
	in->signature_at = 0;
	in->signature_ready = false;
	in->more = false;
}

static void
write_next(struct intake *in)
{
	struct buf empty = in->writing;

	in->writing = in->coming;
	in->coming = empty;
	buf_reset(&in->coming);
	in->patched = 0;
	in->more = false;
	submit(in, OP_WRITE);
}

static void
report(struct intake *in, enum op op)
{
	enum intake_event ev = INTAKE_COMPLETE;
	int error = in->error;

	if (op == OP_RESUME || op == OP_RESTART)
		ev = INTAKE_READY;
	else if (op == OP_WRITE)
		ev = INTAKE_WRITTEN;
	else if (op == OP_SIGN && error == 0)
		ev = INTAKE_SIGNATURE;
	if (op == OP_SIGN && error == 0)
		in->signature_ready = true;
	if (op == OP_SIGN && error < 0 && error != -ENOSPC)
		error = -EBADMSG;
	if ((op == OP_WRITE || op == OP_FINISH) && in->patch != NULL && error == -EPROTO)
		error = -EBADMSG;
	in->o.event(in->o.arg, ev, error);
}

static void
work_done(struct work_job *j)
{
	struct intake *in = (struct intake *)((char *)j - offsetof(struct intake, job));
	enum op op = in->op;

	in->busy = false;
	in->op = OP_NONE;
	if (in->dead) {
		really_free(in);
	} else if (in->restart) {
		in->restart = false;
		buf_reset(&in->coming);
		end_delta(in);
		submit(in, OP_RESTART);
	} else if (op == OP_WRITE && in->more) {
		submit(in, OP_WRITE);
	} else {
		if (op == OP_WRITE && in->error == 0 && in->coming.len > 0)
			write_next(in);
		report(in, op);
	}
}

static void
submit(struct intake *in, enum op op)
{
	assert(!in->busy);
	in->busy = true;
	in->op = op;
	in->job = (struct work_job){.run = work_run, .done = work_done};
	work_submit(in->o.work, &in->job);
}

struct intake *
intake_new(const struct intake_opts *o)
{
	struct intake *in = calloc(1, sizeof(*in));

	if (in == NULL)
		return NULL;
	in->o = *o;
	in->hash = hash_new();
	if (in->hash == NULL) {
		free(in);
		return NULL;
	}
	return in;
}

void
intake_free(struct intake *in)
{
	if (in == NULL)
		return;
	in->dead = true;
	if (!in->busy)
		really_free(in);
}

void
intake_bytes(struct intake *in, uint8_t *bytes, size_t len)
{
	in->writing = (struct buf){.data = bytes, .len = len, .cap = len};
	submit(in, OP_BYTES);
}

void
intake_copy(struct intake *in, struct tfile *from)
{
	in->from = from;
	submit(in, OP_COPY);
}

void
intake_resume(struct intake *in)
{
	submit(in, OP_RESUME);
}

void
intake_restart(struct intake *in)
{
	buf_reset(&in->coming);
	if (in->busy) {
		in->restart = true;
		return;
	}
	end_delta(in);
	submit(in, OP_RESTART);
}

void
intake_data(struct intake *in, const void *bytes, size_t len)
{
	buf_put(&in->coming, bytes, len);
	if (!in->busy && in->coming.len > 0)
		write_next(in);
}

bool
intake_idle(const struct intake *in)
{
	return !in->busy && in->coming.len == 0;
}

void
intake_finish(struct intake *in)
{
	if (in->coming.failed) { /* memory ran out while data came: what is there has a hole */
		in->error = -ENOMEM;
		in->o.event(in->o.arg, INTAKE_COMPLETE, -ENOMEM);
		return;
	}
	submit(in, OP_FINISH);
}

void
intake_begin_delta(struct intake *in, const struct pathent *base)
{
	end_delta(in);
	in->base_size = base->shown->r->size;
	if (tree_open_file(in->o.tree, base->path, base->path_len, &in->base) < 0)
		in->base = NULL;
	if (in->base != NULL) {
		submit(in, OP_SIGN);
		return;
	}
	in->o.event(in->o.arg, INTAKE_COMPLETE, -EBADMSG);
}

const uint8_t *
intake_signature(struct intake *in, size_t max, size_t *len, bool *last)
{
	size_t left = in->signature.len - in->signature_at;
	const uint8_t *at;

	*len = 0;
	*last = false;
	if (!in->signature_ready || left == 0)
		return NULL;
	at = in->signature.data + in->signature_at;
	*len = left < max ? left : max;
	in->signature_at += *len;
	*last = *len == left;
	return at;
}

bool
intake_delta_worth(uint64_t base_size, uint64_t new_size, uint64_t delta_min)
{
	return delta_worth(base_size, new_size, delta_min);
}

uint64_t
intake_have(const struct intake *in)
{
	return in->have;
}

struct tfile *
intake_take_file(struct intake *in)
{
	struct tfile *f = in->file;

	in->file = NULL;
	return f;
}

const struct sig *
intake_sig(const struct intake *in)
{
	return &in->sig;
}
