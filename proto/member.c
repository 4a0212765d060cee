/* SPDX-License-Identifier: BSD-2-Clause */
/* Members: what their names and keys may be, and their bytes. */
#include "config.h"

#include "proto/member.h"

#include <errno.h>
#include <string.h>

#define KEY_PREFIX "ssh-ed25519 AAAA"
#define KEY_PREFIX_LEN (sizeof(KEY_PREFIX) - 1)

static bool
alphanumeric(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool
member_name_ok(const char *name, size_t len)
{
	if (len < 1 || len > MEMBER_NAME_BYTES_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		if (!alphanumeric(name[i]) && name[i] != '-')
			return false;
	return name[0] != '-' && name[len - 1] != '-';
}

static int
compare_numbers(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

int
member_compare(const struct member *a, const struct member *b)
{
	const char *const texts[][2] = {{a->address, b->address},
					{a->user, b->user},
					{a->user_key, b->user_key},
					{a->host_key, b->host_key},
					{a->admitted_by, b->admitted_by}};
	int c = compare_numbers(a->admitted, b->admitted);

	c = c != 0 ? c : compare_numbers(a->removed, b->removed);
	c = c != 0 ? c : compare_numbers(a->incarnation, b->incarnation);
	for (size_t i = 0; c == 0 && i < ARRAY_LEN(texts); i++)
		c = strcmp(texts[i][0], texts[i][1]);
	return c != 0 ? c : compare_numbers(a->store, b->store);
}

bool
member_same_keys(const struct member *a, const struct member *b)
{
	return strcmp(a->user_key, b->user_key) == 0 && strcmp(a->host_key, b->host_key) == 0;
}

static void
put_text(struct buf *b, const char *text, size_t size)
{
	buf_put_str(b, text, strnlen(text, size));
}

void
member_encode(struct buf *b, const struct member *m)
{
	put_text(b, m->name, sizeof(m->name));
	put_text(b, m->address, sizeof(m->address));
	put_text(b, m->user, sizeof(m->user));
	put_text(b, m->user_key, sizeof(m->user_key));
	put_text(b, m->host_key, sizeof(m->host_key));
	put_text(b, m->admitted_by, sizeof(m->admitted_by));
	buf_put_u64(b, m->store);
	buf_put_u64(b, m->admitted);
	buf_put_u64(b, m->incarnation);
	buf_put_u8(b, m->removed);
}

/* Reads a string into an array of `size` bytes and terminates it. Returns its length. */
static size_t
get_text(struct cur *c, char *to, size_t size)
{
	size_t len;
	const uint8_t *p = cur_str(c, &len);
	bool fits = !c->bad && len < size;

	for (size_t i = 0; fits && i < len; i++)
		fits = p[i] >= ' ' && p[i] <= '~';
	if (!fits) {
		c->bad = true;
		c->left = 0;
		len = 0;
	}
	if (len > 0)
		memcpy(to, p, len);
	to[len] = '\0';
	return len;
}

static bool
base64(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       c == '+' || c == '/' || c == '=';
}

/* A key that is not known yet is empty. */
static bool
key_ok(const char *key)
{
	if (key[0] == '\0')
		return true;
	if (strncmp(key, KEY_PREFIX, KEY_PREFIX_LEN) != 0)
		return false;
	for (key += KEY_PREFIX_LEN; *key != '\0'; key++)
		if (!base64(*key))
			return false;
	return true;
}

int
member_decode(struct cur *c, struct member *m)
{
	size_t name, by;

	memset(m, 0, sizeof(*m));
	name = get_text(c, m->name, sizeof(m->name));
	get_text(c, m->address, sizeof(m->address));
	get_text(c, m->user, sizeof(m->user));
	get_text(c, m->user_key, sizeof(m->user_key));
	get_text(c, m->host_key, sizeof(m->host_key));
	by = get_text(c, m->admitted_by, sizeof(m->admitted_by));
	m->store = cur_u64(c);
	m->admitted = cur_u64(c);
	m->incarnation = cur_u64(c);
	m->removed = cur_u8(c);
	if (!c->bad && m->removed <= 1 && member_name_ok(m->name, name) &&
	    (by == 0 || member_name_ok(m->admitted_by, by)) && !strchr(m->user, ' ') &&
	    !strchr(m->address, ' ') && key_ok(m->user_key) && key_ok(m->host_key))
		return 0;
	memset(m, 0, sizeof(*m));
	return -EPROTO;
}
