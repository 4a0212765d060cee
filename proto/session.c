/* SPDX-License-Identifier: BSD-2-Clause */
/* One conversation with one peer: frames, HELLO, pings, credit. */
#include "config.h"

#include "proto/session.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum state { HELLO, OPEN, CLOSED };

/* One stream, as this side sees it. */
struct stream {
	uint32_t id;       /* 0: free */
	bool mine;         /* this side asked */
	bool cancelled;    /* mine: DATA is dropped until END */
	bool ended_out;    /* our direction is done */
	bool ended_in;     /* theirs is */
	uint64_t may_send; /* credit that the peer gave */
	uint64_t may_come; /* credit that we gave */
};

struct session {
	enum state state;
	char self[MEMBER_NAME_BYTES_MAX + 1];
	char peer[MEMBER_NAME_BYTES_MAX + 1];
	uint64_t nonce;
	uint32_t ping_ms, timeout_ms, hello_ms;
	struct buf in, out;
	size_t in_at;   /* parsed so far */
	size_t out_at;  /* handed out so far */
	struct msg msg; /* surfaced; cleared at the next call */
	bool msg_used;
	bool told_closed;
	uint64_t now_ms, born_ms, rx_ms, ping_at_ms;
	uint64_t wall_ms, ping_sent_ms, ping_wall_ms;
	uint32_t ping_id;
	bool ping_open;
	uint32_t best_rtt_ms;
	uint32_t unread; /* frames that want an answer, while too much was queued */
	uint8_t code;
	bool remote;
	char reason[MSG_TEXT_BYTES_MAX + 1];
	bool odd; /* our stream ids are odd */
	uint32_t next_id;
	uint32_t their_id; /* highest that the peer has opened */
	struct stream streams[2 * SESSION_STREAMS_MAX];
	unsigned mine, theirs;
	struct session_stats stats;
};

/* ---- texts: no stdio here ---- */

/* Joins words into out, cut at its size. */
static void
put_text(char *out, size_t size, const char *const *words, size_t n)
{
	size_t at = 0;

	for (size_t i = 0; i < n; i++)
		for (const char *c = words[i]; *c != '\0' && at + 1 < size; c++)
			out[at++] = *c;
	out[at] = '\0';
}

#define TEXT(out, ...)                                                                             \
	put_text((out), sizeof(out), (const char *const[]){__VA_ARGS__},                           \
		 ARRAY_LEN(((const char *const[]){__VA_ARGS__})))

static const char *
number(unsigned v, char buf[12])
{
	char *p = buf + 11;

	*p = '\0';
	do
		*--p = (char)('0' + v % 10);
	while ((v /= 10) > 0);
	return p;
}

/* ---- closing ---- */

static void
closed(struct session *s, uint8_t code, bool remote, const char *text)
{
	if (s->state == CLOSED)
		return;
	s->state = CLOSED;
	s->code = code;
	s->remote = remote;
	TEXT(s->reason, text);
}

void
session_bye(struct session *s, uint8_t code, const char *text)
{
	struct msg m = {.type = MSG_BYE, .code = code, .bytes = (const uint8_t *)text};

	if (s->state == CLOSED)
		return;
	m.len = strnlen(text, MSG_TEXT_BYTES_MAX);
	msg_encode(&s->out, &m);
	closed(s, code, false, text);
}

static void
broken(struct session *s, const char *text)
{
	session_bye(s, CODE_PROTOCOL, text);
}

/* ---- streams ---- */

/* Its place in the table; the table's length if it is not open. */
static size_t
stream_at(const struct session *s, uint32_t id)
{
	size_t i = 0;

	while (i < ARRAY_LEN(s->streams) && (id == 0 || s->streams[i].id != id))
		i++;
	return i;
}

static struct stream *
find_stream(struct session *s, uint32_t id)
{
	size_t i = stream_at(s, id);

	return i < ARRAY_LEN(s->streams) ? &s->streams[i] : NULL;
}

static struct stream *
open_stream(struct session *s, uint32_t id, bool mine)
{
	unsigned *n = mine ? &s->mine : &s->theirs;

	if (*n == SESSION_STREAMS_MAX)
		return NULL;
	for (size_t i = 0; i < ARRAY_LEN(s->streams); i++) {
		if (s->streams[i].id != 0)
			continue;
		s->streams[i] = (struct stream){.id = id, .mine = mine};
		(*n)++;
		return &s->streams[i];
	}
	return NULL;
}

static void
close_stream(struct session *s, struct stream *t)
{
	unsigned *n = t->mine ? &s->mine : &s->theirs;

	(*n)--;
	t->id = 0;
}

static size_t
queued(const struct session *s)
{
	return s->out.len - s->out_at;
}

/* ---- frames that are handled here; true: surface it ---- */

static bool
got_hello(struct session *s, const struct msg *m)
{
	if (s->state != HELLO) {
		broken(s, "a second HELLO");
	} else if (m->version_min > SESSION_VERSION || m->version_max < SESSION_VERSION) {
		char text[128], v[3][12];

		TEXT(text, "this node speaks protocol version ", number(SESSION_VERSION, v[0]),
		     ", the peer ", number(m->version_min, v[1]), " to ",
		     number(m->version_max, v[2]), ": upgrade the older one");
		session_bye(s, CODE_VERSION, text);
	} else if (strcmp(m->node, s->peer) != 0) {
		char text[256];

		TEXT(text, "the peer calls itself ", m->node, ", but its key belongs to ", s->peer);
		session_bye(s, CODE_IDENTITY, text);
	} else if (m->nonce == s->nonce) {
		session_bye(s, CODE_IDENTITY, "connected to itself");
	} else {
		s->state = OPEN;
		s->odd = s->nonce < m->nonce;
		s->next_id = s->odd ? 1 : 2;
		s->ping_at_ms = s->now_ms;
		return true;
	}
	return false;
}

static void
got_pong(struct session *s, const struct msg *m)
{
	uint32_t rtt;

	if (!s->ping_open || m->id != s->ping_id)
		return;
	s->ping_open = false;
	rtt = (uint32_t)(s->now_ms - s->ping_sent_ms);
	rtt = rtt > 0 ? rtt : 1;
	s->stats.rtt_ms = s->stats.rtt_ms == 0 ? rtt : (7 * s->stats.rtt_ms + rtt + 4) / 8;
	if (s->best_rtt_ms == 0 || rtt <= s->best_rtt_ms) {
		s->best_rtt_ms = rtt;
		s->stats.clock_offset_ms = (int64_t)(m->time_ms - s->ping_wall_ms - rtt / 2);
	}
}

static bool
got_get(struct session *s, const struct msg *m)
{
	struct stream *t;

	if (m->stream == 0 || (m->stream % 2 == 1) == s->odd || find_stream(s, m->stream) != NULL) {
		broken(s, "a GET with a stream number that is not the peer's to choose");
		return false;
	}
	t = open_stream(s, m->stream, false);
	if (t == NULL) {
		broken(s, "too many streams");
		return false;
	}
	t->may_send = m->credit;
	s->their_id = m->stream > s->their_id ? m->stream : s->their_id;
	return true;
}

/* Did the peer open it, and was it ended here: what still comes on it crossed our END. */
static bool
crossed(const struct session *s, uint32_t id)
{
	return id != 0 && !session_mine(s, id) && id <= s->their_id;
}

static bool
got_data(struct session *s, const struct msg *m)
{
	struct stream *t = find_stream(s, m->stream);

	if (t == NULL && crossed(s, m->stream))
		return false;
	if (t == NULL || t->ended_in) {
		broken(s, "DATA on a stream that is not open");
		return false;
	}
	if (m->len > t->may_come) {
		broken(s, "more DATA than was granted");
		return false;
	}
	t->may_come -= m->len;
	s->stats.data_in += m->len;
	return !t->cancelled;
}

static bool
got_end(struct session *s, const struct msg *m)
{
	struct stream *t = find_stream(s, m->stream);

	if (t == NULL && crossed(s, m->stream))
		return false;
	if (t == NULL || t->ended_in) {
		broken(s, "END on a stream that is not open");
		return false;
	}
	t->ended_in = true;
	if (t->mine)
		close_stream(s, t);
	return true;
}

static bool
got_credit(struct session *s, const struct msg *m)
{
	struct stream *t = find_stream(s, m->stream);

	if (t == NULL)
		return false; /* it crossed our END */
	if (m->credit > UINT32_MAX - t->may_send) {
		broken(s, "credit beyond all bounds");
		return false;
	}
	t->may_send += m->credit;
	return false; /* the owner sends when it next looks: session_room */
}

static bool
got_cancel(struct session *s, const struct msg *m)
{
	struct stream *t = find_stream(s, m->stream);

	return t != NULL && !t->mine; /* unknown: it crossed our END */
}

static bool
got_frame(struct session *s, const struct msg *m)
{
	switch ((enum msg_type)m->type) {
	case MSG_HELLO:
		return got_hello(s, m);
	case MSG_BYE: {
		char text[MSG_TEXT_BYTES_MAX + 1] = {0};

		memcpy(text, m->bytes, m->len);
		closed(s, m->code, true, m->len > 0 ? text : msg_code_text(m->code));
		return false;
	}
	case MSG_PING:
		msg_encode(&s->out,
			   &(struct msg){.type = MSG_PONG, .id = m->id, .time_ms = s->wall_ms});
		return false;
	case MSG_PONG:
		got_pong(s, m);
		return false;
	case MSG_GET:
		return got_get(s, m);
	case MSG_DATA:
		return got_data(s, m);
	case MSG_END:
		return got_end(s, m);
	case MSG_CREDIT:
		return got_credit(s, m);
	case MSG_CANCEL:
		return got_cancel(s, m);
	case MSG_RECORD:
		s->stats.data_in += m->len;
		return true;
	default:
		return true;
	}
}

/* ---- bytes in ---- */

size_t
session_input(struct session *s, const void *bytes, size_t len, uint64_t now_ms, uint64_t wall_ms)
{
	size_t room = FRAME_HEADER_BYTES + FRAME_BYTES_MAX;

	session_tick(s, now_ms, wall_ms);
	if (s->state == CLOSED)
		return len; /* nobody listens any more */
	if (s->in_at > 0) {
		buf_consume(&s->in, s->in_at);
		s->in_at = 0;
		if (s->msg_used) { /* the message borrowed from these bytes */
			msg_clear(&s->msg);
			s->msg_used = false;
		}
	}
	room = s->in.len < room ? room - s->in.len : 0;
	len = len < room ? len : room;
	buf_put(&s->in, bytes, len);
	if (s->in.failed)
		closed(s, CODE_ERROR, false, "out of memory");
	if (len > 0) {
		s->rx_ms = now_ms;
		s->stats.last_rx_ms = now_ms;
		s->stats.bytes_in += len;
	}
	return len;
}

/* The next whole frame in the input. 0: not there yet. */
static int
next_frame(struct session *s, const uint8_t **frame, size_t *len)
{
	size_t left = s->in.len - s->in_at;
	uint32_t n;

	if (left < FRAME_HEADER_BYTES)
		return 0;
	n = bytes_get_u32(s->in.data + s->in_at);
	if (n == 0 || n > FRAME_BYTES_MAX) {
		broken(s, "a frame that is empty or too long");
		return 0;
	}
	if (left - FRAME_HEADER_BYTES < n)
		return 0;
	*frame = s->in.data + s->in_at + FRAME_HEADER_BYTES;
	*len = n;
	s->in_at += FRAME_HEADER_BYTES + n;
	return 1;
}

static void
bad_frame(struct session *s, const uint8_t *frame, size_t len, int error)
{
	const char *why = frame[0] == MSG_RECORD ? record_problem(frame + 1, len - 1) : NULL;
	char text[160];

	if (error == -ENOMEM) {
		closed(s, CODE_ERROR, false, "out of memory");
		return;
	}
	TEXT(text, "a ", msg_name(frame[0]), " message that makes no sense",
	     why != NULL ? ": " : "", why != NULL ? why : "");
	broken(s, text);
}

/*
 * May this frame be looked at? The state is asked first, so that a stranger's bytes are not even
 * decoded. And a peer that asks and asks without reading the answers would have them pile up here.
 */
static bool
admit(struct session *s, uint8_t type)
{
	if (s->state == HELLO && type != MSG_HELLO && type != MSG_BYE) {
		broken(s, "the first frame is not a HELLO");
		return false;
	}
	if (queued(s) <= SESSION_OUT_BYTES_MAX)
		s->unread = 0;
	else if ((type == MSG_PING || type == MSG_GET || type == MSG_CANCEL || type == MSG_ASK) &&
		 ++s->unread > SESSION_UNREAD_MAX)
		broken(s, "it asks again and again and does not read the answers");
	return s->state != CLOSED;
}

enum session_step
session_step(struct session *s, struct msg **m)
{
	const uint8_t *frame;
	size_t len;

	*m = NULL;
	while (s->state != CLOSED) {
		int r;

		if (s->msg_used)
			msg_clear(&s->msg);
		s->msg_used = false;
		if (next_frame(s, &frame, &len) == 0)
			break;
		if (!admit(s, frame[0]))
			break;
		r = msg_decode(frame, len, &s->msg);
		if (r < 0) {
			bad_frame(s, frame, len, r);
			break;
		}
		s->msg_used = true;
		if (!got_frame(s, &s->msg))
			continue;
		*m = &s->msg;
		return s->msg.type == MSG_HELLO ? SESSION_OPENED : SESSION_MSG;
	}
	if (s->state != CLOSED || s->told_closed)
		return SESSION_IDLE;
	s->told_closed = true;
	return SESSION_CLOSED;
}

/* ---- bytes out ---- */

const uint8_t *
session_output(struct session *s, size_t *len)
{
	*len = queued(s);
	return *len > 0 ? s->out.data + s->out_at : NULL;
}

void
session_consumed(struct session *s, size_t n)
{
	assert(n <= queued(s));
	s->out_at += n;
	s->stats.bytes_out += n;
	if (s->out_at == s->out.len) {
		buf_reset(&s->out);
		s->out_at = 0;
	} else if (s->out_at > SESSION_BULK_BYTES_MAX && s->out_at > queued(s)) {
		buf_consume(&s->out, s->out_at);
		s->out_at = 0;
	}
}

static int
may_queue(const struct session *s)
{
	if (s->state != OPEN)
		return -EPIPE;
	return queued(s) > SESSION_OUT_BYTES_MAX ? -ENOBUFS : 0;
}

static int
queue_done(struct session *s)
{
	if (!s->out.failed)
		return 0;
	closed(s, CODE_ERROR, false, "out of memory");
	return -EPIPE;
}

int
session_send(struct session *s, const struct msg *m)
{
	int r = may_queue(s);

	if (r < 0)
		return r;
	if (m->type == MSG_RECORD)
		s->stats.data_out += m->len;
	msg_encode(&s->out, m);
	return queue_done(s);
}

int
session_send_set(struct session *s, const struct msg *m, const struct dotset *set)
{
	int r = may_queue(s);

	if (r < 0)
		return r;
	msg_encode_set(&s->out, m, set);
	return queue_done(s);
}

int
session_get(struct session *s, const struct msg *get, uint32_t credit, uint32_t *stream)
{
	struct msg m = *get;
	struct stream *t;
	int r = may_queue(s);

	if (r < 0)
		return r;
	t = open_stream(s, s->next_id, true);
	if (t == NULL)
		return -ENOBUFS;
	*stream = t->id;
	s->next_id = s->next_id > UINT32_MAX - 2 ? (s->odd ? 1 : 2) : s->next_id + 2;
	t->may_come = credit;
	m.type = MSG_GET;
	m.stream = t->id;
	m.credit = credit;
	msg_encode(&s->out, &m);
	return queue_done(s);
}

size_t
session_room(const struct session *s, uint32_t stream)
{
	size_t room, i = stream_at(s, stream);
	const struct stream *t = &s->streams[i];

	if (s->state != OPEN || i == ARRAY_LEN(s->streams) || t->ended_out ||
	    queued(s) >= SESSION_BULK_BYTES_MAX)
		return 0;
	room = SESSION_BULK_BYTES_MAX - queued(s);
	return t->may_send < room ? (size_t)t->may_send : room;
}

int
session_data(struct session *s, uint32_t stream, const void *bytes, size_t len)
{
	struct stream *t = find_stream(s, stream);

	if (s->state != OPEN)
		return -EPIPE;
	assert(t != NULL && len <= MSG_DATA_BYTES_MAX && len <= t->may_send);
	t->may_send -= len;
	s->stats.data_out += len;
	msg_encode(&s->out,
		   &(struct msg){.type = MSG_DATA, .stream = stream, .bytes = bytes, .len = len});
	return queue_done(s);
}

int
session_end(struct session *s, uint32_t stream, uint8_t code)
{
	struct stream *t = find_stream(s, stream);

	if (s->state != OPEN)
		return -EPIPE;
	if (t == NULL || t->ended_out)
		return -EINVAL;
	t->ended_out = true;
	msg_encode(&s->out, &(struct msg){.type = MSG_END, .stream = stream, .code = code});
	if (!t->mine)
		close_stream(s, t);
	return queue_done(s);
}

int
session_credit(struct session *s, uint32_t stream, uint32_t bytes)
{
	struct stream *t = find_stream(s, stream);

	if (s->state != OPEN)
		return -EPIPE;
	if (t == NULL || bytes == 0)
		return 0;
	t->may_come += bytes;
	msg_encode(&s->out, &(struct msg){.type = MSG_CREDIT, .stream = stream, .credit = bytes});
	return queue_done(s);
}

bool
session_mine(const struct session *s, uint32_t stream)
{
	return (stream % 2 == 1) == s->odd;
}

bool
session_has_room(const struct session *s)
{
	return s->state == OPEN && queued(s) < SESSION_BULK_BYTES_MAX;
}

int
session_cancel(struct session *s, uint32_t stream)
{
	struct stream *t = find_stream(s, stream);

	if (s->state != OPEN)
		return -EPIPE;
	if (t == NULL || !t->mine || t->cancelled)
		return 0;
	t->cancelled = true;
	msg_encode(&s->out, &(struct msg){.type = MSG_CANCEL, .stream = stream});
	return queue_done(s);
}

/* ---- time ---- */

static void
send_ping(struct session *s)
{
	s->ping_at_ms = s->now_ms + s->ping_ms;
	if (queued(s) >= SESSION_OUT_BYTES_MAX)
		return; /* the next one may find room */
	s->ping_id++;
	s->ping_open = true;
	s->ping_sent_ms = s->now_ms;
	s->ping_wall_ms = s->wall_ms;
	msg_encode(&s->out,
		   &(struct msg){.type = MSG_PING, .id = s->ping_id, .time_ms = s->wall_ms});
	if (s->ping_id % 64 == 0)
		s->best_rtt_ms = 0; /* clocks drift: the fastest of the recent ones counts */
}

void
session_tick(struct session *s, uint64_t now_ms, uint64_t wall_ms)
{
	s->now_ms = now_ms;
	s->wall_ms = wall_ms;
	if (s->state == HELLO && now_ms - s->born_ms >= s->hello_ms)
		session_bye(s, CODE_TIMEOUT, "no HELLO came");
	else if (s->state == OPEN && now_ms - s->rx_ms >= s->timeout_ms)
		session_bye(s, CODE_TIMEOUT, msg_code_text(CODE_TIMEOUT));
	else if (s->state == OPEN && now_ms >= s->ping_at_ms)
		send_ping(s);
}

uint64_t
session_deadline(const struct session *s)
{
	uint64_t quiet = s->rx_ms + s->timeout_ms;

	switch (s->state) {
	case HELLO:
		return s->born_ms + s->hello_ms;
	case OPEN:
		return s->ping_at_ms < quiet ? s->ping_at_ms : quiet;
	case CLOSED:
	default:
		return UINT64_MAX;
	}
}

/* ---- life ---- */

struct session *
session_new(const struct session_opts *o, uint64_t now_ms, uint64_t wall_ms)
{
	struct session *s = calloc(1, sizeof(*s));
	struct msg hello = {
		.type = MSG_HELLO,
		.version_min = SESSION_VERSION,
		.version_max = SESSION_VERSION,
		.features = o->features,
		.store = o->store,
		.nonce = o->nonce,
		.digest = o->digest,
		.heads = {o->heads[0], o->heads[1]},
	};

	if (s == NULL)
		return NULL;
	assert(strlen(o->self) <= MEMBER_NAME_BYTES_MAX &&
	       strlen(o->peer) <= MEMBER_NAME_BYTES_MAX);
	memcpy(s->self, o->self, strlen(o->self));
	memcpy(s->peer, o->peer, strlen(o->peer));
	memcpy(hello.node, o->self, strlen(o->self));
	s->nonce = o->nonce;
	s->ping_ms = o->ping_ms;
	s->timeout_ms = o->timeout_ms;
	s->hello_ms = o->hello_ms != 0 ? o->hello_ms : SESSION_HELLO_MS_MAX;
	s->now_ms = s->born_ms = s->rx_ms = now_ms;
	s->wall_ms = wall_ms;
	msg_encode(&s->out, &hello);
	if (s->out.failed) {
		session_free(s);
		return NULL;
	}
	return s;
}

void
session_free(struct session *s)
{
	if (s == NULL)
		return;
	if (s->msg_used)
		msg_clear(&s->msg);
	buf_free(&s->in);
	buf_free(&s->out);
	free(s);
}

const char *
session_reason(const struct session *s, uint8_t *code, bool *remote)
{
	*code = s->code;
	*remote = s->remote;
	return s->reason;
}

bool
session_open(const struct session *s)
{
	return s->state == OPEN;
}

const struct session_stats *
session_stats(const struct session *s)
{
	return &s->stats;
}

const char *
session_peer(const struct session *s)
{
	return s->peer;
}
