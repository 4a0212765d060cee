/* SPDX-License-Identifier: BSD-2-Clause */
/* Fuzz target: a session between a hostile peer, time that passes and an owner that uses it. What
 * it says is always sound. */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What the input is made of: one byte that says what, then its arguments. */
enum act {
	ACT_BYTES,  /* u8 length, bytes: come from the peer as they are */
	ACT_FRAME,  /* u8 length, bytes: come framed */
	ACT_HELLO,  /* a sound HELLO comes */
	ACT_TIME,   /* u8: tenths of a second pass */
	ACT_GET,    /* u8 credit */
	ACT_DATA,   /* u8 stream, u8 length */
	ACT_END,    /* u8 stream, u8 code */
	ACT_CREDIT, /* u8 stream, u8 bytes */
	ACT_CANCEL, /* u8 stream */
	ACT_SEND,   /* u8 length: an ASK */
	ACT_DRAIN,  /* u8: so many times 16 bytes of output are taken */
	ACT_BYE,
	ACTS,
};

struct world {
	struct session *s;
	uint64_t now, wall;
	uint64_t granted, came; /* content */
	struct buf out;         /* all that it said and was taken */
	size_t parsed;
	unsigned opened, closed;
	bool said_bye;
	uint8_t touched; /* by every byte that a message borrows */
};

/* A broken promise ends the run, which is how a fuzzer learns of it. */
static void
check(bool held)
{
	if (!held)
		abort();
}

/* The stream of what the session says is one of whole, sound frames, and nothing after BYE. */
static void
listen(struct world *w)
{
	while (w->out.len - w->parsed >= FRAME_HEADER_BYTES) {
		uint32_t len = bytes_get_u32(w->out.data + w->parsed);
		struct msg m;

		if (w->out.len - w->parsed - FRAME_HEADER_BYTES < len)
			break;
		check(!w->said_bye &&
		      msg_decode(w->out.data + w->parsed + FRAME_HEADER_BYTES, len, &m) == 0);
		check((m.type == MSG_HELLO) == (w->parsed == 0));
		w->said_bye = m.type == MSG_BYE;
		w->parsed += FRAME_HEADER_BYTES + len;
		msg_clear(&m);
	}
}

static void
drain(struct world *w, size_t max)
{
	size_t len;
	const uint8_t *out = session_output(w->s, &len);

	len = len < max ? len : max;
	buf_put(&w->out, out, len);
	session_consumed(w->s, len);
	listen(w);
}

static void
step(struct world *w)
{
	struct msg *m;

	for (;;) {
		switch (session_step(w->s, &m)) {
		case SESSION_OPENED:
			check(++w->opened == 1 && w->closed == 0 && m->type == MSG_HELLO);
			break;
		case SESSION_MSG:
			check(w->opened == 1 && w->closed == 0 && m->type != MSG_PING &&
			      m->type != MSG_PONG && m->type != MSG_CREDIT);
			w->came += m->type == MSG_DATA ? m->len : 0;
			check(w->came <= w->granted);
			for (size_t i = 0; i < m->len; i++)
				w->touched ^= m->bytes[i];
			break;
		case SESSION_CLOSED:
			check(++w->closed == 1);
			break;
		case SESSION_IDLE:
			check(m == NULL && session_open(w->s) <= (w->opened == 1));
			return;
		}
	}
}

static void
input(struct world *w, const uint8_t *bytes, size_t len)
{
	while (len > 0) {
		size_t took = session_input(w->s, bytes, len, w->now, w->wall);

		check(took <= len);
		step(w);
		if (took == 0)
			break;
		bytes += took;
		len -= took;
	}
}

static void
frame(struct world *w, const uint8_t *bytes, size_t len)
{
	uint8_t head[FRAME_HEADER_BYTES];

	bytes_set_u32(head, (uint32_t)len);
	input(w, head, sizeof(head));
	input(w, bytes, len);
}

static void
hello(struct world *w)
{
	struct msg m = {
		.type = MSG_HELLO, .version_min = 1, .version_max = 1, .node = "web2", .nonce = 2};
	struct buf b = {0};

	msg_encode(&b, &m);
	input(w, b.data, b.len);
	buf_free(&b);
}

static void
data_out(struct world *w, uint32_t stream, size_t len)
{
	static const uint8_t bytes[256];
	size_t room = session_room(w->s, stream);

	check(room <= SESSION_BULK_BYTES_MAX);
	if (room > 0)
		check(session_data(w->s, stream, bytes, len < room ? len : room) == 0);
}

static void
get(struct world *w, uint32_t credit)
{
	uint32_t stream;
	int r = session_get(w->s, &(struct msg){.size = 100}, credit, &stream);

	check(r == 0 || r == -ENOBUFS || r == -EPIPE);
	check(r < 0 || session_mine(w->s, stream));
	w->granted += credit;
}

static void
ask(struct world *w, size_t len)
{
	static const uint8_t bytes[256];
	int r = session_send(w->s, &(struct msg){.type = MSG_ASK, .bytes = bytes, .len = len});

	check(r == 0 || r == -ENOBUFS || r == -EPIPE);
}

static void
pass(struct world *w, uint64_t ms)
{
	w->now += ms;
	w->wall += ms;
	session_tick(w->s, w->now, w->wall);
	check(session_deadline(w->s) > w->now); /* nobody has to come again at once */
	step(w);
}

static void
act(struct world *w, struct cur *c)
{
	uint8_t what = cur_u8(c), a = cur_u8(c);
	size_t len = a < c->left ? a : c->left;

	switch ((enum act)(what % ACTS)) {
	case ACT_BYTES:
		input(w, cur_bytes(c, len), len);
		break;
	case ACT_FRAME:
		frame(w, cur_bytes(c, len), len);
		break;
	case ACT_HELLO:
		hello(w);
		break;
	case ACT_TIME:
		pass(w, (uint64_t)a * 100);
		break;
	case ACT_GET:
		get(w, a);
		break;
	case ACT_DATA:
		data_out(w, a, cur_u8(c));
		break;
	case ACT_END:
		(void)!session_end(w->s, a, cur_u8(c));
		break;
	case ACT_CREDIT:
		w->granted += len = cur_u8(c);
		(void)!session_credit(w->s, a, (uint32_t)len);
		break;
	case ACT_CANCEL:
		(void)!session_cancel(w->s, a);
		break;
	case ACT_SEND:
		ask(w, a);
		break;
	case ACT_DRAIN:
		drain(w, (size_t)a * 16);
		break;
	case ACT_BYE:
		session_bye(w->s, CODE_SHUTDOWN, "enough");
		break;
	case ACTS:
		break;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct session_opts o = {
		.self = "web1", .peer = "web2", .nonce = 1, .ping_ms = 5000, .timeout_ms = 20000};
	struct world w = {.s = session_new(&o, 1000, 5000), .now = 1000, .wall = 5000};
	struct cur c = cur_of(data, size);

	check(w.s != NULL);
	while (c.left > 0)
		act(&w, &c);
	step(&w);
	drain(&w, SIZE_MAX);
	check(w.parsed == w.out.len); /* whole frames to the last */
	buf_free(&w.out);
	session_free(w.s);
	return 0;
}
