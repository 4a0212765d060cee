/* SPDX-License-Identifier: BSD-2-Clause */
/* Members: names, keys, the bytes, and what is refused. */
#include "config.h"

#include "proto/member.h"

#include <errno.h>
#include <stdlib.h>

#include "tests/tap.h"

#define KEY "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHk+/0="

static struct member
sample(void)
{
	return (struct member){
		.name = "web-1",
		.address = "web1.example.com:22,[2001:db8::1]:2222",
		.user = "mimeo",
		.user_key = KEY,
		.host_key = KEY "x",
		.admitted_by = "web2",
		.store = 0x1122334455667788,
		.admitted = 5,
		.incarnation = 3,
		.removed = 1,
	};
}

static bool
zero(const struct member *m)
{
	const unsigned char *p = (const unsigned char *)m;

	for (size_t i = 0; i < sizeof(*m); i++)
		if (p[i] != 0)
			return false;
	return true;
}

/* Decodes a copy of its own size; 1: with bytes left over. An error must leave nothing behind. */
static int
decode(const uint8_t *bytes, size_t len, struct member *m)
{
	uint8_t *copy = malloc(len ? len : 1);
	struct cur c;
	int rc;

	if (!copy)
		abort();
	if (len > 0)
		memcpy(copy, bytes, len);
	memset(m, 0x5a, sizeof(*m));
	c = cur_of(copy, len);
	rc = member_decode(&c, m);
	if (rc == 0 && !cur_done(&c))
		rc = 1;
	if (rc < 0 && !zero(m))
		rc = -EBADE;
	free(copy);
	return rc;
}

static int
allowed(const struct member *m)
{
	struct buf b = {0};
	struct member got;
	int rc;

	member_encode(&b, m);
	rc = decode(b.data, b.len, &got);
	buf_free(&b);
	return rc;
}

static void
test_names(void)
{
	const char *good[] = {"a", "0", "web1", "a-b", "x--y"};
	const char *bad[] = {"", "-", "-a", "a-", "A", "a.b", "a_b", "a b", "a\n", "\xc3\xa9"};
	char longest[MEMBER_NAME_BYTES_MAX + 2];

	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		ok(member_name_ok(good[i], strlen(good[i])), "'%s' is a name", good[i]);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ok(!member_name_ok(bad[i], strlen(bad[i])), "bad name %zu", i);
	ok(!member_name_ok("a\0b", 3), "no zero byte");
	memset(longest, 'a', sizeof(longest));
	ok(member_name_ok(longest, MEMBER_NAME_BYTES_MAX), "63 characters");
	ok(!member_name_ok(longest, MEMBER_NAME_BYTES_MAX + 1), "not 64");
}

static void
test_bytes(void)
{
	static const char want[] = "\1\0a\0\0\0\0\0\0\0\0\1\0b"
				   "\7\0\0\0\0\0\0\0\4\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0\1";
	struct member m = {.name = "a",
			   .admitted_by = "b",
			   .store = 7,
			   .admitted = 4,
			   .incarnation = 2,
			   .removed = 1};
	struct member got;
	struct buf b = {0};

	member_encode(&b, &m);
	ok(b.len == sizeof(want) - 1 && memcmp(b.data, want, b.len) == 0, "the bytes");
	buf_reset(&b);
	m = sample();
	member_encode(&b, &m);
	is_int(decode(b.data, b.len, &got), 0, "one with everything");
	ok(strcmp(got.name, m.name) == 0 && strcmp(got.address, m.address) == 0 &&
		   strcmp(got.user, m.user) == 0 && strcmp(got.user_key, m.user_key) == 0 &&
		   strcmp(got.host_key, m.host_key) == 0 &&
		   strcmp(got.admitted_by, m.admitted_by) == 0 && got.store == m.store &&
		   got.admitted == m.admitted && got.incarnation == m.incarnation &&
		   got.removed == m.removed,
	   "comes back");
	buf_free(&b);
}

static void
test_damage(void)
{
	struct member m = sample(), got;
	struct buf b = {0}, again = {0};
	bool refused = true, same = true;

	member_encode(&b, &m);
	for (size_t n = 0; n < b.len; n++)
		refused = refused && decode(b.data, n, &got) == -EPROTO;
	ok(refused, "each of %zu truncations is refused", b.len);
	for (size_t i = 0; i < b.len * 8; i++) {
		int rc;

		b.data[i / 8] ^= (uint8_t)(1u << i % 8);
		rc = decode(b.data, b.len, &got);
		buf_reset(&again);
		if (rc >= 0)
			member_encode(&again, &got);
		/* A shorter length may leave some bytes to whoever reads on. */
		same = same && (rc == -EPROTO || (rc >= 0 && (rc == 1) == (again.len < b.len) &&
						  memcmp(again.data, b.data, again.len) == 0));
		b.data[i / 8] ^= (uint8_t)(1u << i % 8);
	}
	ok(same, "each flipped bit is refused, or what was read is what was there");
	buf_free(&b);
	buf_free(&again);
}

/* The sample with one text changed; `field` points into m. */
static int
with(struct member *m, char *field, const char *text)
{
	int rc;

	memcpy(field, text, strlen(text) + 1);
	rc = allowed(m);
	*m = sample();
	return rc;
}

static void
test_refused(void)
{
	struct member m = sample();

	is_int(with(&m, m.name, "Web"), -EPROTO, "a name that is none");
	is_int(with(&m, m.name, ""), -EPROTO, "no name");
	is_int(with(&m, m.admitted_by, "Web"), -EPROTO, "admitted by what is no name");
	is_int(with(&m, m.admitted_by, ""), 0, "admitted by nobody");
	is_int(with(&m, m.address, ""), 0, "no address");
	is_int(with(&m, m.address, "a:1\nb:2"), -EPROTO, "an address of two lines");
	is_int(with(&m, m.address, "a:1, b:2"), -EPROTO, "an address with a space");
	is_int(with(&m, m.address, "\xc3\xa9:1"), -EPROTO, "an address that is not ASCII");
	is_int(with(&m, m.user, "a b"), -EPROTO, "a user with a space");
	is_int(with(&m, m.user, ""), 0, "no user");
	is_int(with(&m, m.user_key, ""), 0, "no user key yet");
	is_int(with(&m, m.host_key, ""), 0, "no host key yet");
	is_int(with(&m, m.user_key, KEY " me@home"), -EPROTO, "a key with a comment");
	is_int(with(&m, m.user_key, KEY "\n" KEY), -EPROTO, "two keys");
	is_int(with(&m, m.host_key, "ssh-rsa AAAAB3NzaC1yc2E"), -EPROTO, "another kind of key");
	is_int(with(&m, m.host_key, "command=\"x\" " KEY), -EPROTO, "a key with options");
	is_int(with(&m, m.host_key, "ssh-ed25519"), -EPROTO, "a key without the key");
	m.removed = 2;
	is_int(allowed(&m), -EPROTO, "removed twice");
}

/* Each string in turn one byte longer than its field. */
static void
test_long(void)
{
	const size_t max[] = {
		MEMBER_NAME_BYTES_MAX, MEMBER_ADDRESS_BYTES_MAX, 32,
		MEMBER_KEY_BYTES_MAX,  MEMBER_KEY_BYTES_MAX,     MEMBER_NAME_BYTES_MAX};
	static char text[MEMBER_ADDRESS_BYTES_MAX + 2];

	for (size_t i = 0; i < ARRAY_LEN(max); i++)
		for (size_t more = 0; more < 2; more++) {
			struct buf b = {0};
			struct member got;

			for (size_t k = 0; k < ARRAY_LEN(max); k++) {
				size_t len = k == i ? max[k] + more : k == 0 ? 1 : 0;

				memset(text, 'A', sizeof(text));
				if (k == 0 || k == 5)
					memset(text, 'a', sizeof(text));
				if (k == 3 || k == 4)
					memcpy(text, "ssh-ed25519 ", 12);
				buf_put_str(&b, text, len);
			}
			buf_put_u64(&b, 1);
			buf_put_u64(&b, 1);
			buf_put_u64(&b, 1);
			buf_put_u8(&b, 0);
			is_int(decode(b.data, b.len, &got), more ? -EPROTO : 0,
			       "string %zu of %zu bytes", i, max[i] + more);
			buf_free(&b);
		}
}

/* Of two entries of one name the same one counts on every node. */
static void
test_order(void)
{
	struct member old = sample(), m = sample();

	ok(member_compare(&old, &m) == 0, "an entry is what it is");
	m.incarnation++;
	ok(member_compare(&m, &old) > 0 && member_compare(&old, &m) < 0, "the later change counts");
	m.removed = 0;
	m.incarnation += 1000;
	ok(member_compare(&m, &old) < 0, "but no change brings back what is removed");
	m.admitted++;
	m.incarnation = 0;
	ok(member_compare(&m, &old) > 0, "an admission does");
	m = sample();
	m.address[0] = 'x';
	ok(member_compare(&m, &old) == -member_compare(&old, &m) && member_compare(&m, &old) != 0,
	   "and at one time the bytes decide");
	m = sample();
	m.store++;
	ok(member_compare(&m, &old) > 0, "all of them");
	ok(member_same_keys(&m, &old), "the same keys");
	m.host_key[20] = 'y';
	ok(!member_same_keys(&m, &old), "another host key");
}

int
main(void)
{
	test_order();
	test_names();
	test_bytes();
	test_damage();
	test_refused();
	test_long();
	return tap_done();
}
