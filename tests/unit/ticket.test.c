/* SPDX-License-Identifier: BSD-2-Clause */
/* Invitations: as text, and those that are open. */
#include "config.h"

#include "agent/ticket.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/invites.h"
#include "tests/tap.h"

#define KEY "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHk+/0="

static struct ticket t;

/* A real private key, of a pair that was made for this run. */
static void
sample(const char *dir)
{
	char command[600], path[300];
	FILE *f;

	snprintf(command, sizeof(command), "ssh-keygen -q -t ed25519 -N '' -C '' -f '%s/key'", dir);
	snprintf(path, sizeof(path), "%s/key", dir);
	if (system(command) != 0 || (f = fopen(path, "re")) == NULL)
		abort();
	t.key[fread(t.key, 1, sizeof(t.key) - 1, f)] = '\0';
	fclose(f);
	snprintf(t.member, sizeof(t.member), "web1");
	snprintf(t.address, sizeof(t.address), "web1.example.com:22,[2001:db8::1]:2222");
	snprintf(t.user, sizeof(t.user), "mimeo");
	snprintf(t.host_key, sizeof(t.host_key), KEY);
	snprintf(t.id, sizeof(t.id), "0123456789abcdef");
	snprintf(t.expires, sizeof(t.expires), "2026-01-02T03:04:05.678Z");
}

static int
parse(const char *text)
{
	static struct ticket got;
	char err[300];
	int r = ticket_parse(text, &got, err, sizeof(err));

	if (r < 0 && (got.key[0] != '\0' || strstr(err, "b3BlbnNzaC1rZXk") != NULL))
		return -EBADE; /* the secret was left lying about */
	if (r == 0 && memcmp(&got, &t, sizeof(t)) != 0)
		return 1;
	return r;
}

/* The block with the first `from` replaced. */
static int
with(const char *block, const char *from, const char *to)
{
	char text[8192];
	const char *at = strstr(block, from);

	if (at == NULL)
		abort();
	snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - block), block, to, at + strlen(from));
	return parse(text);
}

static void
text(void)
{
	struct buf b = {0};
	char around[16384], *at;
	const char *block;
	unsigned cut = 0;

	ticket_print(&b, &t);
	buf_put_u8(&b, 0);
	block = (const char *)b.data;
	is_int(parse(block), 0, "comes back");
	snprintf(around, sizeof(around), "Hi,\n\nhere it is:\n%s\nRegards\n", block);
	is_int(parse(around), 0, "out of a letter");
	at = around;
	for (const char *p = block; *p != '\0'; p++) {
		if (*p == '\n')
			*at++ = '\r';
		*at++ = *p;
		if (*p == '\n')
			*at++ = ' ';
	}
	*at = '\0';
	is_int(parse(around), 0, "with other line ends, and shifted");
	for (size_t n = 0; n + 2 < b.len; n++) {
		snprintf(around, sizeof(around), "%.*s", (int)n, block);
		cut += parse(around) == -EINVAL;
	}
	is_int(cut, b.len - 2, "each of its beginnings is refused, and tells nothing");
	is_int(with(block, "web1\n", "Web\n"), -EINVAL, "a name that is none");
	is_int(with(block, "web1.example.com:22", "-oProxyCommand=x"), -EINVAL,
	       "an address that is an option");
	is_int(with(block, "user: mimeo", "user: -x"), -EINVAL, "a user that is an option");
	is_int(with(block, "user: mimeo\n", ""), -EINVAL, "no user");
	is_int(with(block, KEY, "ssh-rsa AAAAB3"), -EINVAL, "another kind of host key");
	is_int(with(block, "0123456789abcdef", "0123456789abcdeg"), -EINVAL, "no number");
	is_int(with(block, "expires", "member: web2\nexpires"), -EINVAL, "a field twice");
	is_int(with(block, "expires", "run: it\nexpires"), -EINVAL, "a field that is none");
	is_int(with(block, "OPENSSH PRIVATE KEY-----\n", "OPENSSH PRIVATE KEY-----\nAAAA\n"),
	       -EINVAL, "a key that is damaged");
	is_int(parse(""), -EINVAL, "nothing");
	buf_free(&b);
}

static void
open_ones(const char *dir)
{
	struct invite i = {.expires_ms = 2000, .key = KEY};
	struct invites all;
	char path[300];
	unsigned added = 0;

	is_int(invites_read(dir, 1000, &all), 0, "no file");
	is_int(all.n, 0, "is none open");
	snprintf(i.id, sizeof(i.id), "00000000000000aa");
	is_int(invites_add(dir, 1000, &i), 0, "one is added");
	ok(invites_read(dir, 1000, &all) == 0 && all.n == 1 && strcmp(all.v[0].key, KEY) == 0 &&
		   all.v[0].expires_ms == 2000,
	   "and there");
	is_int(invites_take(dir, 1000, "00000000000000ab"), -ENOENT, "another one is not");
	is_int(invites_take(dir, 2000, "00000000000000aa"), -ENOENT,
	       "nor this one when it expired");
	is_int(invites_take(dir, 1999, "00000000000000aa"), 0, "it is used");
	is_int(invites_take(dir, 1999, "00000000000000aa"), -ENOENT, "once");
	for (unsigned k = 0; k < INVITES_MAX; k++) {
		snprintf(i.id, sizeof(i.id), "%016x", k);
		added += invites_add(dir, 1000, &i) == 0;
	}
	is_int(added, INVITES_MAX, "as many as may be open");
	snprintf(i.id, sizeof(i.id), "%016x", INVITES_MAX);
	is_int(invites_add(dir, 1000, &i), -ENOSPC, "and no more");
	i.expires_ms = 9000;
	is_int(invites_add(dir, 5000, &i), 0, "those that expired make room");
	snprintf(path, sizeof(path), "%s/invites", dir);
	ok(truncate(path, 30) == 0 && invites_read(dir, 1000, &all) == 0 && all.n <= 1,
	   "a damaged file lets nobody in");
	ok(!invites_id_ok("../../../../etc/", 16) && !invites_id_ok("00000000000000A0", 16) &&
		   !invites_id_ok("0", 1) && invites_id_ok("00000000000000a0", 16),
	   "what a number may be");
	(void)unlink(path);
}

int
main(void)
{
	char dir[] = "/tmp/mimeo-ticket.XXXXXX", path[300];

	if (mkdtemp(dir) == NULL)
		abort();
	sample(dir);
	text();
	open_ones(dir);
	snprintf(path, sizeof(path), "%s/key", dir);
	(void)unlink(path);
	snprintf(path, sizeof(path), "%s/key.pub", dir);
	(void)unlink(path);
	(void)rmdir(dir);
	return tap_done();
}
