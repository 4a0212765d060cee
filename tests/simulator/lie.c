/* SPDX-License-Identifier: BSD-2-Clause */
/* A member that lies: what its sessions say is changed on the way out, frame by frame. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "proto/bytes.h"
#include "proto/msg.h"
#include "tests/simulator/sim.h"

/* One frame in so many is a lie. */
#define LIE_ODDS_RECORD 2
#define LIE_ODDS_SETS 8
#define LIE_ODDS_REST 40
#define SPAN_BYTES 24
#define LIE_SPANS 3

static const char *const bad_paths[] = {
	"../x", "d/../../x", "/etc/passwd", "..",  "d/..",    ".",          "d//a",
	"",     ".mimeo-id", ".mimeo/kept", "a\n", "a/b/c/d", "d/s/y/z/a/b"};
static const char *const targets[] = {"../../../etc/passwd", "/etc/shadow", "..", "a", "d/../../x"};
static const char *const paths[] = {"a", "b", "c", "d", "d/a", "d/s", "e", "e/x", "f"};
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Somebody's record, as far as the referee knows. */
static struct dot
some_dot(struct sim *s)
{
	struct dot d = ledger_some_dot(s->ledger, rng_next(&s->lie_rng));

	return dot_none(d) ? (struct dot){rng_next(&s->lie_rng) | 1, 1} : d;
}

static void
lie_path(struct record *r, const char *path)
{
	r->path = (const uint8_t *)path;
	r->path_len = (uint16_t)strlen(path);
}

static void
lie_absent(struct record *r)
{
	r->kind = KIND_ABSENT;
	r->op = OP_DELETE;
	r->mode = 0;
	r->mtime_ns = 0;
	r->target_len = 0;
	r->flags = 0;
}

static void
lie_symlink(struct record *r, struct rng *rng)
{
	const char *to = targets[rng_below(rng, COUNT(targets))];

	r->kind = KIND_SYMLINK;
	r->op = OP_SYMLINK;
	r->mode = 0;
	r->target = (const uint8_t *)to;
	r->target_len = (uint16_t)strlen(to);
	r->size = r->target_len;
}

static void
lie_record(struct sim *s, struct msg *m)
{
	struct rng *rng = &s->lie_rng;
	struct record *r = &m->rec;
	struct dot d = some_dot(s);

	switch (rng_below(rng, 12)) {
	case 0:
		lie_path(r, bad_paths[rng_below(rng, COUNT(bad_paths))]);
		break;
	case 1:
		lie_path(r, paths[rng_below(rng, COUNT(paths))]);
		break;
	case 2:
		r->hash[rng_below(rng, 32)] ^= 1;
		break;
	case 3:
		lie_absent(r);
		lie_path(r, paths[rng_below(rng, COUNT(paths))]);
		break;
	case 4:
		lie_symlink(r, rng);
		break;
	case 5:
		r->size = rng_next(rng) >> rng_below(rng, 63) >> 1;
		break;
	case 6:
		r->hlc = rng_next(rng);
		break;
	case 7:
		r->dot.seq += rng_below(rng, UINT64_C(1) << rng_below(rng, 62));
		break;
	case 8:
		r->dot = d;
		break;
	case 9:
		if (d.origin != r->dot.origin)
			(void)!vv_add(&r->ctx, (struct dot){d.origin, rng_next(rng) >> 2});
		break;
	case 10:
		r->mode = (uint16_t)rng_next(rng);
		r->mtime_ns = (int64_t)rng_next(rng);
		break;
	default:
		r->flags ^= (uint8_t)(1u << rng_below(rng, 8));
	}
}

/* Some more ranges than there are. */
static void
lie_spans(struct sim *s, struct msg *m, struct buf *b)
{
	buf_put(b, m->spans, (size_t)m->nspans * SPAN_BYTES);
	for (unsigned i = 0; i < LIE_SPANS; i++) {
		struct dot d = some_dot(s);
		uint64_t hi = rng_next(&s->lie_rng) >> (2 + rng_below(&s->lie_rng, 60));

		buf_put_u64(b, d.origin);
		buf_put_u64(b, rng_below(&s->lie_rng, 2) == 0 ? 1 : d.seq);
		buf_put_u64(b, hi > d.seq ? hi : d.seq);
	}
	m->spans = b->data;
	m->nspans += LIE_SPANS;
}

static void
lie_bytes(struct sim *s, struct msg *m, struct buf *b)
{
	if (m->len == 0)
		return;
	buf_put(b, m->bytes, m->len);
	b->data[rng_below(&s->lie_rng, b->len)] ^= (uint8_t)(1u << rng_below(&s->lie_rng, 8));
	m->bytes = b->data;
}

static void
lie_frame(struct sim *s, struct msg *m, struct buf *b)
{
	switch ((enum msg_type)m->type) {
	case MSG_RECORD:
		if (rng_below(&s->lie_rng, 6) == 0)
			lie_bytes(s, m, b);
		else
			lie_record(s, m);
		break;
	case MSG_SEEN:
	case MSG_UPTO:
	case MSG_ACK:
		lie_spans(s, m, b);
		break;
	case MSG_ORIGIN:
		m->origin = some_dot(s).origin;
		break;
	case MSG_END:
		m->code = (uint8_t)rng_below(&s->lie_rng, 7);
		break;
	case MSG_GET:
		m->size = rng_next(&s->lie_rng) >> rng_below(&s->lie_rng, 64);
		m->offset = rng_next(&s->lie_rng) >> rng_below(&s->lie_rng, 64);
		break;
	case MSG_CREDIT:
		m->credit = (uint32_t)rng_next(&s->lie_rng);
		break;
	case MSG_PONG:
		m->time_ms = rng_next(&s->lie_rng);
		break;
	default:
		lie_bytes(s, m, b);
	}
}

static uint64_t
lie_odds(uint8_t type)
{
	switch ((enum msg_type)type) {
	case MSG_RECORD:
		return LIE_ODDS_RECORD;
	case MSG_SEEN:
	case MSG_UPTO:
	case MSG_ACK:
	case MSG_DATA:
	case MSG_ORIGIN:
		return LIE_ODDS_SETS;
	default:
		return LIE_ODDS_REST;
	}
}

static void
say_frame(struct conn *c, int d, const uint8_t *frame, size_t len)
{
	struct sim *s = c->host[0]->sim;
	struct buf extra = {0}, out = {0};
	struct msg m;
	bool lie = len > FRAME_HEADER_BYTES &&
		   rng_once_in(&s->lie_rng, lie_odds(frame[FRAME_HEADER_BYTES]));

	if (lie && msg_decode(frame + FRAME_HEADER_BYTES, len - FRAME_HEADER_BYTES, &m) == 0) {
		lie_frame(s, &m, &extra);
		sim_trace(s, "%s lies: %s", c->host[d]->name, msg_name(m.type));
		msg_encode(&out, &m);
		msg_clear(&m);
	} else {
		buf_put(&out, frame, len);
	}
	if (rng_below(&s->lie_rng, 100) == 0 && out.len > FRAME_HEADER_BYTES)
		out.data[FRAME_HEADER_BYTES +
			 rng_below(&s->lie_rng, out.len - FRAME_HEADER_BYTES)] ^= 1;
	for (uint64_t n = rng_below(&s->lie_rng, 60) == 0 ? rng_below(&s->lie_rng, 3) : 1; n > 0;
	     n--)
		buf_put(&c->pipe[d], out.data, out.len);
	buf_free(&out);
	buf_free(&extra);
}

void
lie_put(struct conn *c, int d, const uint8_t *bytes, size_t len)
{
	struct buf *raw = &c->raw[d];

	buf_put(raw, bytes, len);
	while (raw->len >= FRAME_HEADER_BYTES) {
		size_t size = FRAME_HEADER_BYTES + bytes_get_u32(raw->data);

		if (raw->len < size)
			return;
		say_frame(c, d, raw->data, size);
		buf_consume(raw, size);
	}
}
