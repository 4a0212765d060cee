/* SPDX-License-Identifier: BSD-2-Clause */
/* Frames and messages between two agents: the codec. */
#include "config.h"

#include "proto/msg.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define MAGIC "mimeo"
#define MAGIC_BYTES 5
#define SPAN_BYTES 24

/* ---- encode ---- */

static void
put_name(struct buf *b, const char *name)
{
	buf_put_str(b, name, strlen(name));
}

static void
put_hello(struct buf *b, const struct msg *m)
{
	buf_put(b, MAGIC, MAGIC_BYTES);
	buf_put_u16(b, m->version_min);
	buf_put_u16(b, m->version_max);
	buf_put_u64(b, m->features);
	put_name(b, m->node);
	buf_put_u64(b, m->store);
	buf_put_u64(b, m->nonce);
	buf_put_u64(b, m->digest);
	buf_put_u64(b, m->heads[0]);
	buf_put_u64(b, m->heads[1]);
}

static void
put_spans(struct buf *b, const struct msg *m)
{
	assert(m->nspans <= MSG_SPANS_MAX);
	buf_put_u8(b, m->last);
	buf_put_u32(b, m->nspans);
	buf_put(b, m->spans, (size_t)m->nspans * SPAN_BYTES);
}

static void
put_record(struct buf *b, const struct msg *m)
{
	assert(m->len <= MSG_INLINE_BYTES_MAX);
	record_encode(b, &m->rec);
	buf_put_u8(b, m->inlined);
	if (m->inlined)
		buf_put(b, m->bytes, m->len);
}

void
msg_put_near(struct buf *b, const char *name)
{
	put_name(b, name);
}

void
msg_put_far(struct buf *b, const char *name, uint64_t beat)
{
	put_name(b, name);
	buf_put_u64(b, beat);
}

static void
put_table(struct buf *b, const struct msg *m)
{
	assert(m->nnear <= MEMBERS_MAX && m->nfar <= MEMBERS_MAX);
	buf_put_u64(b, m->digest);
	buf_put_u64(b, m->time_ms);
	buf_put_u8(b, m->near_said);
	buf_put_u16(b, m->nnear);
	buf_put(b, m->near.p, m->near.left);
	buf_put_u16(b, m->nfar);
	buf_put(b, m->far.p, m->far.left);
}

static void
put_payload(struct buf *b, const struct msg *m)
{
	switch ((enum msg_type)m->type) {
	case MSG_HELLO:
		put_hello(b, m);
		break;
	case MSG_BYE:
		buf_put_u8(b, m->code);
		buf_put_str(b, m->bytes, m->len);
		break;
	case MSG_PING:
	case MSG_PONG:
		buf_put_u32(b, m->id);
		buf_put_u64(b, m->time_ms);
		break;
	case MSG_ACK:
		put_name(b, m->node);
		if (m->node[0] != '\0')
			buf_put_u64(b, m->store);
		buf_put_u8(b, m->reset);
		put_spans(b, m);
		break;
	case MSG_SEEN:
	case MSG_UPTO:
		put_spans(b, m);
		break;
	case MSG_ORIGIN:
		buf_put_u64(b, m->origin);
		buf_put_u64(b, m->store);
		put_name(b, m->node);
		break;
	case MSG_RECORD:
		put_record(b, m);
		break;
	case MSG_MEMBER:
		member_encode(b, &m->member);
		break;
	case MSG_GET:
		buf_put_u32(b, m->stream);
		buf_put_u8(b, m->how);
		buf_put(b, m->hash, RECORD_HASH_BYTES);
		buf_put_u64(b, m->size);
		buf_put_u64(b, m->offset);
		buf_put_u32(b, m->credit);
		break;
	case MSG_DATA:
		buf_put_u32(b, m->stream);
		buf_put(b, m->bytes, m->len);
		break;
	case MSG_END:
		buf_put_u32(b, m->stream);
		buf_put_u8(b, m->code);
		break;
	case MSG_CREDIT:
		buf_put_u32(b, m->stream);
		buf_put_u32(b, m->credit);
		break;
	case MSG_CANCEL:
		buf_put_u32(b, m->stream);
		break;
	case MSG_ASK:
		buf_put_u32(b, m->id);
		buf_put_u8(b, m->what);
		buf_put(b, m->bytes, m->len);
		break;
	case MSG_TELL:
		buf_put_u32(b, m->id);
		buf_put_u8(b, m->code);
		buf_put_u8(b, m->last);
		buf_put(b, m->bytes, m->len);
		break;
	case MSG_TABLE:
		put_table(b, m);
		break;
	}
}

void
msg_encode(struct buf *b, const struct msg *m)
{
	size_t at = b->len;

	buf_put_u32(b, 0);
	buf_put_u8(b, m->type);
	put_payload(b, m);
	if (b->failed)
		return;
	assert(b->len - at - FRAME_HEADER_BYTES <= FRAME_BYTES_MAX);
	bytes_set_u32(b->data + at, (uint32_t)(b->len - at - FRAME_HEADER_BYTES));
}

/* Collects spans into frames of at most MSG_SPANS_MAX. */
struct set_writer {
	struct buf *out;
	struct msg m;
	struct buf spans;
};

static void
flush_spans(struct set_writer *w, bool last)
{
	w->m.last = last;
	w->m.spans = w->spans.data;
	w->m.nspans = (uint32_t)(w->spans.len / SPAN_BYTES);
	msg_encode(w->out, &w->m);
	w->m.reset = false;
	buf_reset(&w->spans);
}

void
msg_encode_set(struct buf *b, const struct msg *m, const struct dotset *set)
{
	struct set_writer w = {.out = b, .m = *m};

	for (uint32_t i = 0; i < set->n; i++) {
		const struct dotspans *o = &set->o[i];

		for (uint32_t k = 0; k < o->n; k++) {
			if (w.spans.len == (size_t)MSG_SPANS_MAX * SPAN_BYTES)
				flush_spans(&w, false);
			buf_put_u64(&w.spans, o->origin);
			buf_put_u64(&w.spans, o->span[k].lo);
			buf_put_u64(&w.spans, o->span[k].hi);
		}
	}
	if (w.spans.failed)
		b->failed = true;
	else
		flush_spans(&w, true);
	buf_free(&w.spans);
}

/* ---- decode ---- */

static void
get_name(struct cur *c, char name[MEMBER_NAME_BYTES_MAX + 1], bool may_be_empty)
{
	size_t len;
	const uint8_t *p = cur_str(c, &len);

	if (c->bad || (len == 0 && may_be_empty))
		return;
	if (!member_name_ok((const char *)p, len)) {
		c->bad = true;
		return;
	}
	memcpy(name, p, len);
}

static bool
get_bool(struct cur *c)
{
	uint8_t v = cur_u8(c);

	if (v > 1)
		c->bad = true;
	return v == 1;
}

static void
get_rest(struct cur *c, struct msg *m, size_t max)
{
	m->len = c->left;
	if (m->len > max)
		c->bad = true;
	m->bytes = cur_bytes(c, c->left);
}

struct span3
msg_span(const struct msg *m, uint32_t i)
{
	const uint8_t *p = m->spans + (size_t)i * SPAN_BYTES;

	assert(i < m->nspans);
	return (struct span3){bytes_get_u64(p), bytes_get_u64(p + 8), bytes_get_u64(p + 16)};
}

static void
get_spans(struct cur *c, struct msg *m)
{
	m->last = get_bool(c);
	m->nspans = cur_u32(c);
	if (m->nspans > MSG_SPANS_MAX) {
		c->bad = true;
		return;
	}
	m->spans = cur_bytes(c, (size_t)m->nspans * SPAN_BYTES);
	for (uint32_t i = 0; !c->bad && i < m->nspans; i++) {
		struct span3 s = msg_span(m, i);

		if (s.origin == 0 || s.lo == 0 || s.lo > s.hi || s.hi > DOT_SEQ_MAX)
			c->bad = true;
	}
}

static void
get_hello(struct cur *c, struct msg *m)
{
	const uint8_t *magic = cur_bytes(c, MAGIC_BYTES);

	if (magic == NULL || memcmp(magic, MAGIC, MAGIC_BYTES) != 0) {
		c->bad = true;
		return;
	}
	m->version_min = cur_u16(c);
	m->version_max = cur_u16(c);
	if (m->version_min > 1) { /* a later version's: it is refused by its number, not its form */
		c->bad = c->bad || m->version_min > m->version_max;
		c->left = 0;
		return;
	}
	m->features = cur_u64(c);
	get_name(c, m->node, false);
	m->store = cur_u64(c);
	m->nonce = cur_u64(c);
	m->digest = cur_u64(c);
	m->heads[0] = cur_u64(c);
	m->heads[1] = cur_u64(c);
	if (m->version_min > m->version_max)
		c->bad = true;
}

void
msg_near(struct cur *near, char name[MEMBER_NAME_BYTES_MAX + 1])
{
	memset(name, 0, MEMBER_NAME_BYTES_MAX + 1);
	get_name(near, name, false);
}

uint64_t
msg_far(struct cur *far, char name[MEMBER_NAME_BYTES_MAX + 1])
{
	msg_near(far, name);
	return cur_u64(far);
}

/* A list of names, each with a beat if `far`; *out is where it lies. */
static void
get_names(struct cur *c, uint16_t *n, struct cur *out, bool far)
{
	char name[MEMBER_NAME_BYTES_MAX + 1];

	*n = cur_u16(c);
	if (*n > MEMBERS_MAX)
		c->bad = true;
	*out = *c;
	for (unsigned i = 0; !c->bad && i < *n; i++) {
		msg_near(c, name);
		if (far)
			(void)cur_u64(c);
	}
	out->left -= c->left;
}

static void
get_table(struct cur *c, struct msg *m)
{
	m->digest = cur_u64(c);
	m->time_ms = cur_u64(c);
	m->near_said = get_bool(c);
	get_names(c, &m->nnear, &m->near, false);
	get_names(c, &m->nfar, &m->far, true);
}

static int
get_record(struct cur *c, struct msg *m)
{
	int r = record_decode(c, &m->rec);

	if (r < 0)
		return r;
	m->inlined = get_bool(c);
	if (m->inlined)
		get_rest(c, m, MSG_INLINE_BYTES_MAX);
	if (m->inlined && (m->rec.kind != KIND_FILE || m->len != m->rec.size))
		c->bad = true;
	return 0;
}

static void
get_get(struct cur *c, struct msg *m)
{
	const uint8_t *hash;

	m->stream = cur_u32(c);
	m->how = cur_u8(c);
	hash = cur_bytes(c, RECORD_HASH_BYTES);
	if (hash != NULL)
		memcpy(m->hash, hash, RECORD_HASH_BYTES);
	m->size = cur_u64(c);
	m->offset = cur_u64(c);
	m->credit = cur_u32(c);
	if (m->how > GET_DELTA || m->size > INT64_MAX ||
	    m->offset > (m->how == GET_WHOLE ? m->size : INT64_MAX))
		c->bad = true;
}

static int
get_payload(struct cur *c, struct msg *m)
{
	int r = 0;

	switch ((enum msg_type)m->type) {
	case MSG_HELLO:
		get_hello(c, m);
		break;
	case MSG_BYE:
		m->code = cur_u8(c);
		m->bytes = cur_str(c, &m->len);
		if (m->len > MSG_TEXT_BYTES_MAX)
			c->bad = true;
		break;
	case MSG_PING:
	case MSG_PONG:
		m->id = cur_u32(c);
		m->time_ms = cur_u64(c);
		break;
	case MSG_ACK:
		get_name(c, m->node, true);
		if (m->node[0] != '\0')
			m->store = cur_u64(c);
		m->reset = get_bool(c);
		get_spans(c, m);
		break;
	case MSG_SEEN:
	case MSG_UPTO:
		get_spans(c, m);
		break;
	case MSG_ORIGIN:
		m->origin = cur_u64(c);
		m->store = cur_u64(c);
		get_name(c, m->node, false);
		if (m->origin == 0)
			c->bad = true;
		break;
	case MSG_RECORD:
		r = get_record(c, m);
		break;
	case MSG_MEMBER:
		r = member_decode(c, &m->member);
		break;
	case MSG_GET:
		get_get(c, m);
		break;
	case MSG_DATA:
		m->stream = cur_u32(c);
		get_rest(c, m, MSG_DATA_BYTES_MAX);
		break;
	case MSG_END:
		m->stream = cur_u32(c);
		m->code = cur_u8(c);
		break;
	case MSG_CREDIT:
		m->stream = cur_u32(c);
		m->credit = cur_u32(c);
		break;
	case MSG_CANCEL:
		m->stream = cur_u32(c);
		break;
	case MSG_ASK:
		m->id = cur_u32(c);
		m->what = cur_u8(c);
		get_rest(c, m, MSG_BLOB_BYTES_MAX);
		break;
	case MSG_TELL:
		m->id = cur_u32(c);
		m->code = cur_u8(c);
		m->last = get_bool(c);
		get_rest(c, m, MSG_BLOB_BYTES_MAX);
		break;
	case MSG_TABLE:
		get_table(c, m);
		break;
	default:
		c->bad = true;
	}
	return r;
}

int
msg_decode(const void *bytes, size_t len, struct msg *m)
{
	struct cur c = cur_of(bytes, len);
	int r;

	*m = (struct msg){.type = cur_u8(&c)};
	r = c.bad ? -EPROTO : get_payload(&c, m);
	if (r == 0 && !cur_done(&c))
		r = -EPROTO;
	if (r < 0)
		msg_clear(m);
	return r;
}

void
msg_clear(struct msg *m)
{
	record_clear(&m->rec);
}

const char *
msg_name(uint8_t type)
{
	static const char *const names[] = {"?",      "HELLO",  "BYE",    "PING", "PONG",
					    "SEEN",   "ORIGIN", "RECORD", "UPTO", "ACK",
					    "MEMBER", "GET",    "DATA",   "END",  "CREDIT",
					    "CANCEL", "ASK",    "TELL",   "TABLE"};

	return type < ARRAY_LEN(names) ? names[type] : "?";
}

const char *
msg_code_text(uint8_t code)
{
	static const char *const texts[] = {
		"ok",
		"that content is not here any more",
		"it changed while it was sent",
		"refused",
		"busy",
		"an error over there",
		"a delta would not win",
		"no common protocol version",
		"the protocol was broken",
		"not who the key says, or not a member",
		"another connection is kept",
		"shutting down",
		"nothing was heard for too long",
	};

	return code < ARRAY_LEN(texts) ? texts[code] : "an unknown reason";
}
