/* SPDX-License-Identifier: BSD-2-Clause */
/* Answers of the DNS: the order, names that are compressed, and everything that may be wrong. */
#include "config.h"

#include "agent/srv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/attr.h"
#include "proto/bytes.h"
#include "tests/tap.h"

static void
put16(struct buf *b, unsigned n)
{
	buf_put_u8(b, (uint8_t)(n >> 8));
	buf_put_u8(b, (uint8_t)n);
}

/* "a.b" as labels; end: a zero, or a pointer to where the rest is (-1: zero). */
static void
put_name(struct buf *b, const char *text, int end)
{
	while (*text != '\0') {
		size_t n = strcspn(text, ".");

		buf_put_u8(b, (uint8_t)n);
		buf_put(b, text, n);
		text += n + (text[n] == '.');
	}
	if (end < 0)
		buf_put_u8(b, 0);
	else
		put16(b, 0xc000u | (unsigned)end);
}

static void
header(struct buf *b, unsigned flags, unsigned answers)
{
	buf_reset(b);
	put16(b, 4711);
	put16(b, flags);
	put16(b, 1);
	put16(b, answers);
	put16(b, 0);
	put16(b, 0);
	put_name(b, "_mimeo._tcp.example.com", -1); /* example.com is at 24 */
	put16(b, SRV_TYPE);
	put16(b, 1);
}

#define EXAMPLE_COM 24

static void
put_srv(struct buf *b, unsigned priority, unsigned weight, unsigned port, const char *host, int end)
{
	size_t at;

	put16(b, 0xc000u | 12);
	put16(b, SRV_TYPE);
	put16(b, 1);
	put16(b, 0);
	put16(b, 300);
	at = b->len;
	put16(b, 0);
	put16(b, priority);
	put16(b, weight);
	put16(b, port);
	put_name(b, host, end);
	b->data[at] = (uint8_t)((b->len - at - 2) >> 8);
	b->data[at + 1] = (uint8_t)(b->len - at - 2);
}

static void
put_address(struct buf *b)
{
	put_name(b, "web1.example.com", -1);
	put16(b, 1);
	put16(b, 1);
	put16(b, 0);
	put16(b, 300);
	put16(b, 4);
	buf_put(b, "\x0a\0\0\1", 4);
}

static void
whole(struct buf *b)
{
	header(b, 0x8180, 5);
	put_srv(b, 20, 0, 22, "web3", EXAMPLE_COM);
	put_srv(b, 10, 5, 2222, "WEB2", EXAMPLE_COM);
	put_address(b);
	put_srv(b, 10, 50, 22, "web1.example.com", -1);
	put_srv(b, 1, 1, 0, "web4.example.com", -1);
}

/* From memory of just that size, so that a sanitizer sees a read past its end. */
static int
parse(const struct buf *b, size_t len, struct srv_target *t, size_t max)
{
	uint8_t *copy = malloc(len > 0 ? len : 1);
	int n;

	if (copy == NULL)
		abort();
	if (len > 0)
		memcpy(copy, b->data, len);
	n = srv_parse(copy, len, t, max);
	free(copy);
	return n;
}

static void
test_answer(void)
{
	struct srv_target t[8];
	char name[MEMBER_NAME_BYTES_MAX + 1];
	struct buf b = {0};

	whole(&b);
	is_int(parse(&b, b.len, t, 8), 3, "three addresses");
	ok(strcmp(t[0].at.host, "web1.example.com") == 0 && t[0].at.port == 22,
	   "the lowest priority with the highest weight is first");
	ok(strcmp(t[1].at.host, "WEB2.example.com") == 0 && t[1].at.port == 2222, "then the other");
	ok(strcmp(t[2].at.host, "web3.example.com") == 0, "then the next priority");
	ok(srv_name(&t[1], name) && strcmp(name, "web2") == 0, "the first label is the name");
	is_int(parse(&b, b.len, t, 2), 2, "and no more than there is room for");
	buf_free(&b);
}

static void
test_cut(void)
{
	struct srv_target t[8];
	struct buf b = {0};
	bool good = true;

	whole(&b);
	for (size_t len = 0; len < b.len; len++)
		good = good && parse(&b, len, t, 8) == -EPROTO;
	ok(good, "one that is cut anywhere is none");
	good = true;
	for (size_t i = 0; i < b.len; i++)
		for (unsigned bit = 0; bit < 8; bit++) {
			int n;

			b.data[i] ^= (uint8_t)(1u << bit);
			n = parse(&b, b.len, t, 8);
			b.data[i] ^= (uint8_t)(1u << bit);
			good = good && (n == -EPROTO || n == -ENOENT || (n >= 0 && n <= 5));
			for (int k = 0; k < n; k++)
				good = good && hostport_host_ok(t[k].at.host) && t[k].at.port > 0;
		}
	ok(good, "with any bit flipped only host names come out");
	buf_free(&b);
}

static void
test_codes(void)
{
	struct srv_target t[2];
	struct buf b = {0};

	header(&b, 0x8183, 0);
	is_int(parse(&b, b.len, t, 2), -ENOENT, "no such name");
	header(&b, 0x8182, 0);
	is_int(parse(&b, b.len, t, 2), -EPROTO, "a server that failed");
	header(&b, 0x0100, 0);
	is_int(parse(&b, b.len, t, 2), -EPROTO, "a question");
	header(&b, 0x8180, 0);
	is_int(parse(&b, b.len, t, 2), 0, "no records");
	header(&b, 0x8180, 65535);
	is_int(parse(&b, b.len, t, 2), -EPROTO, "fewer than it says");
	buf_free(&b);
}

static void
test_names(void)
{
	static const char *const hosts[] = {"-o.example.com", "a b", "a/b", "\xc3\xa4", "a\"b"};
	struct srv_target t[8];
	struct buf b = {0};
	char name[MEMBER_NAME_BYTES_MAX + 1];
	size_t here;

	for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
		header(&b, 0x8180, 1);
		put_srv(&b, 1, 1, 22, hosts[i], -1);
		is_int(parse(&b, b.len, t, 8), 0, "what is no host name is left out");
	}
	header(&b, 0x8180, 1);
	put_srv(&b, 1, 1, 22, "", -1);
	is_int(parse(&b, b.len, t, 8), 0, "so is the root: no such service");
	header(&b, 0x8180, 1);
	here = b.len + 12 + 6;
	put_srv(&b, 1, 1, 22, "", (int)here);
	is_int(parse(&b, b.len, t, 8), -EPROTO, "a name that points to itself");
	header(&b, 0x8180, 1);
	put_srv(&b, 1, 1, 22, "a", (int)here);
	is_int(parse(&b, b.len, t, 8), -EPROTO, "or goes round");
	header(&b, 0x8180, 1);
	put_srv(&b, 1, 1, 22, "a", 0x3fff);
	is_int(parse(&b, b.len, t, 8), -EPROTO, "or leads out");
	header(&b, 0x8180, 1);
	put_srv(&b, 1, 1, 22,
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa."
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa."
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa."
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa."
		"aaaa",
		-1);
	is_int(parse(&b, b.len, t, 8), 0, "one that is too long is left out");
	t[0].at = (struct hostport){.host = "Under_score.example.com", .port = 1};
	ok(!srv_name(&t[0], name), "a label that is no name here");
	buf_free(&b);
}

int
main(void)
{
	test_answer();
	test_cut();
	test_codes();
	test_names();
	return tap_done();
}
