/* SPDX-License-Identifier: BSD-2-Clause */
/* invite: a key for one newcomer, known to sshd for a while; and keys as such. */
#include "config.h"

#include "agent/cmd/cmd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/invites.h"
#include "agent/smallfile.h"
#include "agent/ticket.h"

#define TTL_DEFAULT "1h"

int
cmd_keygen(const char *path, const char *comment)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		execlp("ssh-keygen", "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment,
		       "-f", path, (char *)NULL);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || !WIFEXITED(status) ||
	    WEXITSTATUS(status) != 0)
		return cmd_fail(CONTROL_FAILED,
				"%s: ssh-keygen could not make it (is openssh-client installed?)",
				path);
	return 0;
}

int
cmd_private_dir(const struct command *c, char dir[CMD_PATH_BYTES])
{
	snprintf(dir, CMD_PATH_BYTES, "%s/tmp.XXXXXX", c->conf->state);
	if (mkdtemp(dir) == NULL)
		return cmd_fail(CONTROL_FAILED, "%s: cannot be made: %s", dir, strerror(errno));
	return 0;
}

void
cmd_private_dir_gone(const char *dir)
{
	static const char *const names[] = {"key", "key.pub", "known_hosts"};
	char path[CMD_PATH_BYTES + 32];

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		(void)unlink(path);
	}
	(void)rmdir(dir);
}

/* A fresh pair: the private half into t->key, the public one (two words) into public. */
static int
make_pair(const struct command *c, struct ticket *t, char public[MEMBER_KEY_BYTES_MAX + 1])
{
	char dir[CMD_PATH_BYTES], path[CMD_PATH_BYTES + 32];
	struct buf private_half = {0}, public_half = {0};
	int r = cmd_private_dir(c, dir);

	if (r != 0)
		return r;
	snprintf(path, sizeof(path), "%s/key", dir);
	r = cmd_keygen(path, "");
	if (r == 0 &&
	    (smallfile_read(path, &private_half) < 0 || private_half.len > sizeof(t->key)))
		r = cmd_fail(CONTROL_FAILED, "%s: cannot be read", path);
	snprintf(path, sizeof(path), "%s/key.pub", dir);
	if (r == 0 &&
	    (smallfile_read(path, &public_half) < 0 || public_half.len > MEMBER_KEY_BYTES_MAX))
		r = cmd_fail(CONTROL_FAILED, "%s: cannot be read", path);
	if (r == 0) {
		memcpy(t->key, private_half.data, private_half.len);
		memcpy(public, public_half.data, public_half.len);
		public[strcspn(public, "\r\n")] = '\0';
		public[12 + strcspn(public + 12, " ")] = '\0'; /* behind "ssh-ed25519 AAAA..." */
	}
	if (private_half.data != NULL)
		explicit_bzero(private_half.data, private_half.len);
	buf_free(&private_half);
	buf_free(&public_half);
	cmd_private_dir_gone(dir);
	return r;
}

static void
take_row(void *arg, const char *json, size_t len)
{
	struct ticket *t = arg;

	table_field(json, len, "member", t->member, sizeof(t->member));
	table_field(json, len, "address", t->address, sizeof(t->address));
	table_field(json, len, "user", t->user, sizeof(t->user));
	table_field(json, len, "host_key", t->host_key, sizeof(t->host_key));
	table_field(json, len, "id", t->id, sizeof(t->id));
	table_field(json, len, "expires", t->expires, sizeof(t->expires));
}

static int
print(const struct ticket *t)
{
	struct buf b = {0};

	ticket_print(&b, t);
	if (b.failed)
		return cmd_fail(CONTROL_FAILED, "out of memory");
	fwrite(b.data, 1, b.len, stdout);
	explicit_bzero(b.data, b.len);
	buf_free(&b);
	fprintf(stderr,
		"mimeo: whoever has this block may join, once, until %s: hand it over as you would "
		"a password\nmimeo: on the newcomer: `mimeo join -`, with the block on standard "
		"input\n",
		t->expires);
	return CONTROL_OK;
}

int
cmd_invite(struct command *c)
{
	const char *ttl = TTL_DEFAULT, *words[3] = {"invite"};
	char public[MEMBER_KEY_BYTES_MAX + 1] = "", ms_text[32];
	struct ticket t = {0};
	uint64_t ms;
	int r;

	if (c->nargs == 2 && strcmp(c->args[0], "--ttl") == 0)
		ttl = c->args[1];
	else if (c->nargs != 0)
		return cmd_fail(CONTROL_USAGE, "invite: nothing but --ttl DURATION");
	if (value_duration(ttl, &ms) < 0 || ms < INVITES_TTL_MS_MIN || ms > INVITES_TTL_MS_MAX)
		return cmd_fail(CONTROL_USAGE,
				"invite: --ttl takes a duration from 1m to 7d, such as 1h");
	r = make_pair(c, &t, public);
	if (r != 0)
		return r;
	snprintf(ms_text, sizeof(ms_text), "%llu", (unsigned long long)ms);
	words[1] = public;
	words[2] = ms_text;
	r = cmd_ask(c, words, 3, take_row, &t);
	if (r == 0)
		r = print(&t);
	explicit_bzero(t.key, sizeof(t.key));
	return r;
}
