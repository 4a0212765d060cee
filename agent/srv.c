/* SPDX-License-Identifier: BSD-2-Clause */
/* An answer of the DNS: RFC 1035 for the message, RFC 2782 for the records. Numbers are big-endian.
 */
#include "config.h"

#include "agent/srv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/bytes.h"

#define HEADER_BYTES 12
#define FLAG_ANSWER 0x8000u
#define CODE_MASK 0x000fu
#define CODE_NO_NAME 3
#define CLASS_IN 1
#define LABEL_MAX 63
#define POINTER 0xc0u

static unsigned
get16(struct cur *c)
{
	unsigned high = cur_u8(c);

	return high << 8 | cur_u8(c);
}

/*
 * The name at *at, as text without the last dot. Pointers only lead back, so that it ends. *at
 * moves behind it. out NULL: it is only passed. -EPROTO; a name that is too long, or has a dot or a
 * zero in a label, comes out empty.
 */
static int
name(const uint8_t *msg, size_t len, size_t *at, char *out)
{
	size_t pos = *at, back = *at, n = 0;
	bool jumped = false, good = true;

	for (;;) {
		unsigned label;

		if (pos >= len)
			return -EPROTO;
		label = msg[pos++];
		if ((label & POINTER) == POINTER) {
			size_t to;

			if (pos >= len)
				return -EPROTO;
			to = (size_t)(label & ~POINTER) << 8 | msg[pos++];
			if (!jumped)
				*at = pos;
			jumped = true;
			if (to >= back)
				return -EPROTO;
			pos = back = to;
			continue;
		}
		if (label > LABEL_MAX || len - pos < label)
			return -EPROTO;
		if (label == 0)
			break;
		good = good && memchr(msg + pos, '.', label) == NULL &&
		       memchr(msg + pos, '\0', label) == NULL && n + 1 + label <= HOSTPORT_HOST_MAX;
		if (good && out != NULL) {
			if (n > 0)
				out[n++] = '.';
			memcpy(out + n, msg + pos, label);
			n += label;
		}
		pos += label;
	}
	if (!jumped)
		*at = pos;
	if (out != NULL)
		out[good ? n : 0] = '\0';
	return 0;
}

/* The data of one SRV record. 1: taken; 0: it is no address. */
static int
target(const uint8_t *msg, size_t len, size_t at, size_t end, struct srv_target *t)
{
	struct cur c = cur_of(msg + at, end - at);

	t->priority = (uint16_t)get16(&c);
	t->weight = (uint16_t)get16(&c);
	t->at.port = (uint16_t)get16(&c);
	at += 6;
	if (c.bad || name(msg, len, &at, t->at.host) < 0 || at != end)
		return -EPROTO;
	return t->at.port != 0 && hostport_host_ok(t->at.host);
}

/* What is said of one record, and where its data lies. */
struct rr {
	unsigned type, class;
	size_t at, end;
};

static int
record(const uint8_t *msg, size_t len, size_t *at, struct rr *r)
{
	struct cur c;
	size_t n;

	if (name(msg, len, at, NULL) < 0)
		return -EPROTO;
	c = cur_of(msg + *at, len - *at);
	r->type = get16(&c);
	r->class = get16(&c);
	(void)cur_bytes(&c, 4); /* how long it may be kept */
	n = get16(&c);
	if (c.bad || c.left < n)
		return -EPROTO;
	r->at = len - c.left;
	r->end = r->at + n;
	*at = r->end;
	return 0;
}

static int
order(const void *a, const void *b)
{
	const struct srv_target *x = a, *y = b;

	if (x->priority != y->priority)
		return x->priority < y->priority ? -1 : 1;
	if (x->weight != y->weight)
		return x->weight > y->weight ? -1 : 1;
	if (x->at.port != y->at.port)
		return x->at.port < y->at.port ? -1 : 1;
	return strcmp(x->at.host, y->at.host);
}

int
srv_parse(const void *answer, size_t len, struct srv_target *out, size_t max)
{
	const uint8_t *msg = answer;
	struct cur c = cur_of(msg, len);
	unsigned flags, questions, answers;
	size_t at = HEADER_BYTES, n = 0;

	(void)get16(&c);
	flags = get16(&c);
	questions = get16(&c);
	answers = get16(&c);
	if (c.bad || len < HEADER_BYTES || (flags & FLAG_ANSWER) == 0)
		return -EPROTO;
	if ((flags & CODE_MASK) != 0)
		return (flags & CODE_MASK) == CODE_NO_NAME ? -ENOENT : -EPROTO;
	for (; questions > 0; questions--) {
		if (name(msg, len, &at, NULL) < 0 || len - at < 4)
			return -EPROTO;
		at += 4;
	}
	for (; answers > 0; answers--) {
		struct srv_target t = {.priority = 0};
		struct rr r;
		int good;

		if (record(msg, len, &at, &r) < 0)
			return -EPROTO;
		if (r.type != SRV_TYPE || r.class != CLASS_IN)
			continue;
		good = target(msg, len, r.at, r.end, &t);
		if (good < 0)
			return -EPROTO;
		if (good > 0 && n < max)
			out[n++] = t;
	}
	if (n > 1)
		qsort(out, n, sizeof(*out), order);
	return (int)n;
}

bool
srv_name(const struct srv_target *t, char out[MEMBER_NAME_BYTES_MAX + 1])
{
	size_t n = strcspn(t->at.host, ".");

	out[0] = '\0';
	if (n > MEMBER_NAME_BYTES_MAX)
		return false;
	for (size_t i = 0; i < n; i++) {
		char ch = t->at.host[i];

		out[i] = (char)(ch >= 'A' && ch <= 'Z' ? ch - 'A' + 'a' : ch);
	}
	out[n] = '\0';
	return member_name_ok(out, n);
}
