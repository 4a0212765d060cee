/* SPDX-License-Identifier: BSD-2-Clause */
/* The conversation with Serf: as it should be, byte by byte, cut, flipped, and out of order. */
#include "config.h"

#include "agent/serf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/msgpack.h"
#include "proto/attr.h"
#include "tests/tap.h"

#define TOLD_MAX 64

struct heard {
	struct serf_member m[TOLD_MAX];
	size_t n;
};

static void
on_member(void *arg, const struct serf_member *m)
{
	struct heard *h = arg;

	if (h->n < TOLD_MAX)
		h->m[h->n] = *m;
	h->n++;
}

/* ---- what Serf says ---- */

static void
text(struct buf *b, const char *s)
{
	msgpack_put_text(b, s, strlen(s));
}

static void
head(struct buf *b, uint64_t seq, const char *error)
{
	msgpack_put_map(b, 2);
	text(b, "Seq");
	msgpack_put_uint(b, seq);
	text(b, "Error");
	text(b, error);
}

static void
one(struct buf *b, const char *name, const char *ssh, const char *tagged, const char *status)
{
	msgpack_put_map(b, 4);
	text(b, "Name");
	text(b, name);
	text(b, "Port");
	msgpack_put_uint(b, 7946);
	text(b, "Tags");
	msgpack_put_map(b, 1u + (ssh != NULL) + (tagged != NULL));
	text(b, "role");
	text(b, "web");
	if (ssh != NULL) {
		text(b, SERF_TAG_SSH);
		text(b, ssh);
	}
	if (tagged != NULL) {
		text(b, SERF_TAG_NAME);
		text(b, tagged);
	}
	text(b, "Status");
	text(b, status);
}

static void
members_of(struct buf *b, unsigned n)
{
	text(b, "Members");
	buf_put_u8(b, (uint8_t)(0x90u | n));
}

static void
event(struct buf *b, const char *what, const char *name)
{
	head(b, 3, "");
	msgpack_put_map(b, 2);
	text(b, "Event");
	text(b, what);
	members_of(b, 1);
	one(b, name, "10.0.0.9:22", NULL, "failed");
}

/* A whole conversation. */
static void
all(struct buf *b, bool key)
{
	head(b, 1, "");
	if (key)
		head(b, 2, "");
	head(b, 3, "");
	event(b, "member-join", "web9");
	head(b, 4, "");
	msgpack_put_map(b, 1);
	members_of(b, 5);
	one(b, "web1", "10.0.0.1:22,[2001:db8::1]:2222", NULL, "alive");
	one(b, "Web2.example.com", "10.0.0.2:22", "web2", "alive");
	one(b, "db1", NULL, NULL, "alive");
	one(b, "No Name", "10.0.0.3:22", NULL, "alive");
	one(b, "web4", "10.0.0.4:22", NULL, "left");
	event(b, "member-failed", "web1");
	event(b, "member-leave", "web1");
	head(b, 3, "");
	msgpack_put_map(b, 2);
	text(b, "Event");
	text(b, "user");
	text(b, "Name");
	text(b, "deploy");
	event(b, "member-update", "web1");
}

static size_t
asked(struct serf *s, char *out, size_t size)
{
	size_t len;
	const uint8_t *p = serf_output(s, &len);
	size_t n = len < size - 1 ? len : size - 1;

	if (n > 0)
		memcpy(out, p, n);
	out[n] = '\0';
	serf_consumed(s, len);
	return n;
}

static bool
contains(const char *bytes, size_t len, const char *what)
{
	size_t n = strlen(what);

	for (size_t i = 0; i + n <= len; i++)
		if (memcmp(bytes + i, what, n) == 0)
			return true;
	return false;
}

static void
is_member(const struct serf_member *m, const char *name, const char *address, enum serf_fate fate,
	  bool news)
{
	ok(strcmp(m->name, name) == 0 && strcmp(m->address, address) == 0 && m->fate == fate &&
		   m->news == news,
	   "%s at %s, %d", m->name, m->address, (int)m->fate);
}

static void
test_conversation(const char *key)
{
	struct heard h = {.n = 0};
	struct serf *s = serf_new(key, on_member, &h);
	struct buf b = {0};
	const char *what = "";
	char out[2048];
	size_t n = asked(s, out, sizeof(out)), taken = 0;
	bool good = true;

	ok(contains(out, n, "handshake") && !contains(out, n, "members"),
	   "it begins with a handshake and waits");
	ok(serf_waits(s) && !serf_ready(s), "it is not ready");
	all(&b, key != NULL);
	/* Byte by byte: each request only after the answer to the one before. */
	while (good && taken < b.len)
		good = serf_input(s, b.data + taken++, 1, &what) == 0;
	ok(good, "all of it is taken: %s", what);
	n = asked(s, out, sizeof(out));
	ok(contains(out, n, "stream") && contains(out, n, "members"), "it asked for both");
	ok(contains(out, n, "auth") == (key != NULL), "and with its key if it has one");
	ok(serf_ready(s) && !serf_waits(s), "it is ready");
	is_int((long long)h.n, 7, "so many members and events");
	is_member(&h.m[0], "web9", "10.0.0.9:22", SERF_ALIVE, true);
	is_member(&h.m[1], "web1", "10.0.0.1:22,[2001:db8::1]:2222", SERF_ALIVE, false);
	is_member(&h.m[2], "web2", "10.0.0.2:22", SERF_ALIVE, false);
	is_member(&h.m[3], "web4", "10.0.0.4:22", SERF_LEFT, false);
	is_member(&h.m[4], "web1", "10.0.0.9:22", SERF_FAILED, true);
	is_member(&h.m[5], "web1", "10.0.0.9:22", SERF_LEFT, true);
	is_member(&h.m[6], "web1", "10.0.0.9:22", SERF_ALIVE, true);
	is_int((long long)serf_bad(s), 1, "one had no name");
	serf_ask(s);
	serf_ask(s);
	n = asked(s, out, sizeof(out));
	ok(contains(out, n, "members") && n < 40, "it asks once more, once");
	buf_free(&b);
	serf_free(s);
}

static void
test_refused(void)
{
	static const struct {
		const char *error;
		const char *key;
		uint64_t seq;
		int want;
	} with[] = {
		{"Invalid authentication token", "wrong", 2, -EACCES},
		{"Authentication required", NULL, 3, -EACCES},
		{"Handshake required", "k", 1, -EACCES},
		{"", NULL, 4, -EPROTO},
		{"", NULL, 77, -EPROTO},
		{"", NULL, 1, -EPROTO}, /* once more */
	};

	for (size_t i = 0; i < ARRAY_LEN(with); i++) {
		struct heard h = {.n = 0};
		struct serf *s = serf_new(with[i].key, on_member, &h);
		struct buf b = {0};
		const char *what = "";

		if (with[i].seq != 1 || with[i].error[0] == '\0')
			head(&b, 1, "");
		head(&b, with[i].seq, with[i].error);
		is_int(serf_input(s, b.data, b.len, &what), with[i].want, "refused: %s", what);
		is_int(serf_input(s, b.data, b.len, &what), -EPROTO, "then nothing more is taken");
		ok(what != NULL && what[0] != '\0', "with a word");
		buf_free(&b);
		serf_free(s);
	}
}

/* The same bytes with something wrong in them: an end, an error, or other members, and no more. */
static void
test_hostile(void)
{
	struct buf b = {0};
	unsigned errors = 0;
	bool good = true;

	all(&b, false);
	for (size_t i = 0; i < b.len; i++)
		for (unsigned bit = 0; bit < 8; bit++) {
			struct heard h = {.n = 0};
			struct serf *s = serf_new(NULL, on_member, &h);
			const char *what = NULL;
			int r;

			b.data[i] ^= (uint8_t)(1u << bit);
			r = serf_input(s, b.data, b.len, &what);
			b.data[i] ^= (uint8_t)(1u << bit);
			errors += r < 0;
			good = good && what != NULL && h.n <= 7 &&
			       (r == 0 || r == -EPROTO || r == -EACCES);
			for (size_t k = 0; k < h.n && k < TOLD_MAX; k++)
				good = good && member_name_ok(h.m[k].name, strlen(h.m[k].name));
			serf_free(s);
		}
	ok(good, "each bit flipped: no more than was said, and only names");
	ok(errors > b.len, "most of them are found out: %u", errors);
	good = true;
	for (size_t len = 0; len < b.len; len++) {
		struct heard h = {.n = 0};
		struct serf *s = serf_new(NULL, on_member, &h);
		const char *what;

		good = good && serf_input(s, b.data, len, &what) == 0 && h.n <= 7;
		serf_free(s);
	}
	ok(good, "cut anywhere: it waits");
	buf_free(&b);
}

static void
test_endless(void)
{
	struct heard h = {.n = 0};
	struct serf *s = serf_new(NULL, on_member, &h);
	static const char text_of_4_gib[] = "\x82\xa3Seq\xdb\xff\xff\xff\xff";
	static char filler[65536];
	const char *what = "";
	int r = serf_input(s, text_of_4_gib, sizeof(text_of_4_gib) - 1, &what);
	unsigned turns = 0;

	while (r == 0 && turns++ < 1000)
		r = serf_input(s, filler, sizeof(filler), &what);
	is_int(r, -EMSGSIZE, "a message without end is given up: %s", what);
	ok(turns <= SERF_MESSAGE_BYTES_MAX / sizeof(filler) + 1, "at the limit");
	serf_free(s);
	serf_free(NULL);
}

int
main(void)
{
	test_conversation(NULL);
	test_conversation("secret");
	test_refused();
	test_hostile();
	test_endless();
	return tap_done();
}
