/* SPDX-License-Identifier: BSD-2-Clause */
/* A conversation with a Serf agent. Each message is a map, the header, and for some a second one,
 * the body. */
#include "config.h"

#include "agent/serf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/msgpack.h"

enum { SEQ_HANDSHAKE = 1, SEQ_AUTH, SEQ_STREAM, SEQ_MEMBERS };

enum serf_state { SHAKING, AUTHORIZING, SUBSCRIBING, LISTENING, BROKEN };

struct serf {
	enum serf_state state;
	char key[SERF_KEY_BYTES_MAX + 1];
	void (*member)(void *arg, const struct serf_member *m);
	void *arg;
	struct buf in, out;
	bool ready, asked;
	uint64_t bad;
};

/* ---- requests ---- */

static void
put(struct buf *b, const char *text)
{
	msgpack_put_text(b, text, strlen(text));
}

static void
request(struct serf *s, const char *command, uint64_t seq)
{
	msgpack_put_map(&s->out, 2);
	put(&s->out, "Command");
	put(&s->out, command);
	put(&s->out, "Seq");
	msgpack_put_uint(&s->out, seq);
}

static void
shake(struct serf *s)
{
	request(s, "handshake", SEQ_HANDSHAKE);
	msgpack_put_map(&s->out, 1);
	put(&s->out, "Version");
	msgpack_put_uint(&s->out, 1);
	s->state = SHAKING;
}

static void
authorize(struct serf *s)
{
	request(s, "auth", SEQ_AUTH);
	msgpack_put_map(&s->out, 1);
	put(&s->out, "AuthKey");
	put(&s->out, s->key);
	s->state = AUTHORIZING;
}

static void
subscribe(struct serf *s)
{
	request(s, "stream", SEQ_STREAM);
	msgpack_put_map(&s->out, 1);
	put(&s->out, "Type");
	put(&s->out, "member-join,member-update,member-leave,member-failed,member-reap");
	s->state = SUBSCRIBING;
}

static void
list(struct serf *s)
{
	request(s, "members", SEQ_MEMBERS);
	s->asked = true;
	s->state = LISTENING;
}

/* ---- members ---- */

/* The value of a key in a map of so many pairs; the cursor moves behind the map. */
static int
each_pair(struct cur *c, uint64_t pairs, void *arg,
	  int (*f)(void *arg, const struct msgpack *key, struct cur *value))
{
	for (uint64_t i = 0; i < pairs; i++) {
		struct msgpack key;
		struct cur value;
		int r = msgpack_next(c, &key);

		if (r < 0 || key.kind != MSGPACK_BYTES)
			return -EPROTO;
		value = *c;
		if (msgpack_skip(c) < 0)
			return -EPROTO;
		r = f(arg, &key, &value);
		if (r < 0)
			return r;
	}
	return 0;
}

static int
open_map(struct cur *c, uint64_t *pairs)
{
	struct msgpack m;

	if (msgpack_next(c, &m) < 0 || (m.kind != MSGPACK_MAP && m.kind != MSGPACK_NIL))
		return -EPROTO;
	*pairs = m.kind == MSGPACK_MAP ? m.n : 0;
	return 0;
}

/* One member as it is read. */
struct told {
	struct serf_member m;
	char name[MEMBER_NAME_BYTES_MAX + 1]; /* Serf's */
	bool tagged;                          /* it is one of mimeo's */
	bool bad;
};

static int
tag(void *arg, const struct msgpack *key, struct cur *value)
{
	struct told *t = arg;
	struct msgpack v;

	if (msgpack_next(value, &v) < 0)
		return -EPROTO;
	if (msgpack_is(key, SERF_TAG_SSH)) {
		t->tagged = true;
		t->bad = t->bad || !msgpack_text(&v, t->m.address, sizeof(t->m.address));
	} else if (msgpack_is(key, SERF_TAG_NAME)) {
		t->bad = t->bad || !msgpack_text(&v, t->m.name, sizeof(t->m.name));
	}
	return 0;
}

static int
attribute(void *arg, const struct msgpack *key, struct cur *value)
{
	struct told *t = arg;
	struct msgpack v;
	uint64_t pairs;

	if (msgpack_is(key, "Tags"))
		return open_map(value, &pairs) < 0 ? -EPROTO : each_pair(value, pairs, t, tag);
	if (msgpack_next(value, &v) < 0)
		return -EPROTO;
	if (msgpack_is(key, "Name")) /* a longer one is no name here; a tag may give one */
		(void)msgpack_text(&v, t->name, sizeof(t->name));
	else if (msgpack_is(key, "Status"))
		t->m.fate = msgpack_is(&v, "alive")    ? SERF_ALIVE
			    : msgpack_is(&v, "failed") ? SERF_FAILED
						       : SERF_LEFT;
	return 0;
}

/* What an event says of all its members; NULL: it is the list, and each says it of itself. */
static int
one_member(struct serf *s, struct cur *c, const enum serf_fate *fate)
{
	struct told t = {.m = {.fate = SERF_LEFT, .news = fate != NULL}};
	uint64_t pairs;

	if (open_map(c, &pairs) < 0 || each_pair(c, pairs, &t, attribute) < 0)
		return -EPROTO;
	if (!t.tagged)
		return 0;
	if (t.m.name[0] == '\0')
		memcpy(t.m.name, t.name, sizeof(t.m.name));
	if (fate != NULL)
		t.m.fate = *fate;
	if (t.bad || !member_name_ok(t.m.name, strlen(t.m.name))) {
		s->bad++;
		return 0;
	}
	s->member(s->arg, &t.m);
	return 0;
}

static int
members(struct serf *s, struct cur *c, const enum serf_fate *fate)
{
	struct msgpack m;

	if (msgpack_next(c, &m) < 0 || (m.kind != MSGPACK_ARRAY && m.kind != MSGPACK_NIL))
		return -EPROTO;
	for (uint64_t i = 0; i < m.n; i++)
		if (one_member(s, c, fate) < 0)
			return -EPROTO;
	return 0;
}

/* ---- bodies ---- */

struct body {
	bool event;
	enum serf_fate fate;
	bool known; /* an event of members, of a kind that counts */
	struct cur members;
	bool has_members;
};

static int
body_part(void *arg, const struct msgpack *key, struct cur *value)
{
	struct body *b = arg;
	struct msgpack v;

	if (msgpack_is(key, "Members")) {
		b->members = *value;
		b->has_members = true;
		return 0;
	}
	if (!msgpack_is(key, "Event"))
		return 0;
	if (msgpack_next(value, &v) < 0 || v.kind != MSGPACK_BYTES)
		return -EPROTO;
	b->event = true;
	b->known = true;
	if (msgpack_is(&v, "member-join") || msgpack_is(&v, "member-update"))
		b->fate = SERF_ALIVE;
	else if (msgpack_is(&v, "member-failed"))
		b->fate = SERF_FAILED;
	else if (msgpack_is(&v, "member-leave") || msgpack_is(&v, "member-reap"))
		b->fate = SERF_LEFT;
	else
		b->known = false;
	return 0;
}

static int
got_body(struct serf *s, struct cur *c, bool event)
{
	struct body b = {0};
	uint64_t pairs;

	if (open_map(c, &pairs) < 0 || each_pair(c, pairs, &b, body_part) < 0)
		return -EPROTO;
	if (b.event != event || !b.has_members)
		return event && b.event ? 0 : -EPROTO;
	if (!event)
		return members(s, &b.members, NULL);
	return b.known ? members(s, &b.members, &b.fate) : 0;
}

/* ---- headers ---- */

struct header {
	uint64_t seq;
	bool has_seq, failed;
};

static int
header_part(void *arg, const struct msgpack *key, struct cur *value)
{
	struct header *h = arg;
	struct msgpack v;

	if (msgpack_next(value, &v) < 0)
		return -EPROTO;
	if (msgpack_is(key, "Seq") && v.kind == MSGPACK_UINT) {
		h->seq = v.n;
		h->has_seq = true;
	} else if (msgpack_is(key, "Error")) {
		h->failed = v.kind != MSGPACK_BYTES || v.n > 0;
	}
	return 0;
}

static bool
has_body(const struct serf *s, const struct header *h)
{
	return !h->failed &&
	       ((h->seq == SEQ_MEMBERS && s->asked) ||
		(h->seq == SEQ_STREAM && s->state != SUBSCRIBING && s->state != SHAKING));
}

/* What comes when it is its turn. */
static int
answered(struct serf *s, const struct header *h, const char **what)
{
	if (h->failed) {
		*what = h->seq == SEQ_AUTH || s->key[0] == '\0'
				? "it does not accept the key, or wants one (discovery.serf_key)"
				: "it refused a request";
		return -EACCES;
	}
	if (h->seq == SEQ_HANDSHAKE && s->state == SHAKING) {
		if (s->key[0] != '\0')
			authorize(s);
		else
			subscribe(s);
	} else if (h->seq == SEQ_AUTH && s->state == AUTHORIZING) {
		subscribe(s);
	} else if (h->seq == SEQ_STREAM && s->state == SUBSCRIBING) {
		list(s);
	} else {
		*what = "an answer to what was not asked";
		return -EPROTO;
	}
	return 0;
}

/* One message. 1: it was whole; 0: more has to come. */
static int
message(struct serf *s, struct cur *c, const char **what)
{
	struct cur at = *c, head = *c;
	struct header h = {0};
	uint64_t pairs;
	int r = msgpack_skip(&at);

	if (r == -EAGAIN)
		return 0;
	if (r < 0 || open_map(&head, &pairs) < 0 || each_pair(&head, pairs, &h, header_part) < 0 ||
	    !h.has_seq)
		return -EPROTO;
	if (!has_body(s, &h)) {
		*c = at;
		r = answered(s, &h, what);
		return r < 0 ? r : 1;
	}
	head = at;
	r = msgpack_skip(&at);
	if (r == -EAGAIN)
		return 0;
	if (r < 0 || got_body(s, &head, h.seq == SEQ_STREAM) < 0)
		return -EPROTO;
	*c = at;
	if (h.seq == SEQ_MEMBERS) {
		s->asked = false;
		s->ready = true;
	}
	return 1;
}

int
serf_input(struct serf *s, const void *bytes, size_t len, const char **what)
{
	struct cur c;
	int r = 1;

	*what = "it is not Serf that speaks";
	if (s->state == BROKEN)
		return -EPROTO;
	buf_put(&s->in, bytes, len);
	c = cur_of(s->in.data, s->in.len);
	while (!s->in.failed && r > 0 && c.left > 0)
		r = message(s, &c, what);
	if (s->in.failed || s->out.failed)
		r = -ENOMEM;
	if (r >= 0) {
		buf_consume(&s->in, s->in.len - c.left);
		if (s->in.len > SERF_MESSAGE_BYTES_MAX) {
			*what = "a message that is too long";
			r = -EMSGSIZE;
		}
	}
	if (r < 0)
		s->state = BROKEN;
	return r < 0 ? r : 0;
}

/* ---- the rest ---- */

const uint8_t *
serf_output(const struct serf *s, size_t *len)
{
	*len = s->out.len;
	return s->out.data;
}

void
serf_consumed(struct serf *s, size_t len)
{
	buf_consume(&s->out, len);
}

void
serf_ask(struct serf *s)
{
	if (s->state == LISTENING && !s->asked)
		list(s);
}

bool
serf_ready(const struct serf *s)
{
	return s->ready && s->state == LISTENING;
}

bool
serf_waits(const struct serf *s)
{
	return s->state != LISTENING || s->asked;
}

uint64_t
serf_bad(const struct serf *s)
{
	return s->bad;
}

struct serf *
serf_new(const char *key, void (*member)(void *arg, const struct serf_member *m), void *arg)
{
	struct serf *s = calloc(1, sizeof(*s));
	size_t len = key != NULL ? strnlen(key, SERF_KEY_BYTES_MAX) : 0;

	if (s == NULL)
		return NULL;
	if (len > 0)
		memcpy(s->key, key, len);
	s->member = member;
	s->arg = arg;
	shake(s);
	if (s->out.failed) {
		serf_free(s);
		return NULL;
	}
	return s;
}

void
serf_free(struct serf *s)
{
	if (s == NULL)
		return;
	explicit_bzero(s->key, sizeof(s->key));
	buf_free(&s->in);
	buf_free(&s->out);
	free(s);
}
