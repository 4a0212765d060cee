/* SPDX-License-Identifier: BSD-2-Clause */
/* join: reads an invitation, shows what it would mean, and becomes a member. */
#include "config.h"

#include "agent/cmd/cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/dial.h"
#include "agent/hostport.h"
#include "agent/members.h"
#include "agent/smallfile.h"
#include "agent/ticket.h"
#include "agent/welcome.h"
#include "conf/spawn.h"
#include "proto/admit.h"
#include "proto/msg.h"

#define ANSWER_MS 60000 /* the member says something by then */
#define ADOPT_WORDS 20  /* entries handed to the agent at a time: a request is at most 64 KiB */

struct join {
	struct command *c;
	struct ticket ticket;
	struct member self;
	bool yes, hold;
	char dir[CMD_PATH_BYTES];
	int fd, pidfd;
	pid_t pid;
	struct buf in;
	struct member *members;
	size_t nmembers;
};

/* ---- the invitation ---- */

static int
read_ticket(struct join *j)
{
	char *text = calloc(1, TICKET_BYTES_MAX + 1);
	size_t n;
	int r;

	if (text == NULL)
		return cmd_fail(CONTROL_FAILED, "out of memory");
	n = fread(text, 1, TICKET_BYTES_MAX, stdin);
	text[n] = '\0';
	r = ticket_parse(text, &j->ticket, j->c->err, sizeof(j->c->err));
	explicit_bzero(text, TICKET_BYTES_MAX);
	free(text);
	return r < 0 ? cmd_fail(CONTROL_USAGE, "%s", j->c->err) : 0;
}

static int
write_in_dir(const struct join *j, const char *name, const char *text)
{
	char path[CMD_PATH_BYTES + 32];
	int r;

	snprintf(path, sizeof(path), "%s/%s", j->dir, name);
	r = smallfile_replace(path, text, strlen(text));
	return r < 0 ? cmd_fail(CONTROL_FAILED, "%s: cannot be written: %s", path, strerror(-r))
		     : 0;
}

static int
write_keys(struct join *j)
{
	char line[MEMBER_KEY_BYTES_MAX + MEMBER_NAME_BYTES_MAX + 3];
	int r = cmd_private_dir(j->c, j->dir);

	if (r != 0) {
		j->dir[0] = '\0';
		return r;
	}
	snprintf(line, sizeof(line), "%s %s\n", j->ticket.member, j->ticket.host_key);
	r = write_in_dir(j, "known_hosts", line);
	return r != 0 ? r : write_in_dir(j, "key", j->ticket.key);
}

/* ---- the connection ---- */

static const char *
libexec(void)
{
	const char *dir = getenv("MIMEO_LIBEXEC");

	return dir != NULL && dir[0] == '/' ? dir : LIBEXECDIR "/mimeo";
}

static void
hang_up(struct join *j)
{
	int status;

	if (j->fd >= 0)
		close(j->fd);
	j->fd = -1;
	if (j->pidfd < 0)
		return;
	(void)spawn_kill(j->pidfd, SIGTERM);
	(void)waitpid(j->pid, &status, 0);
	close(j->pidfd);
	j->pidfd = -1;
	buf_reset(&j->in);
}

static int
dial(struct join *j, const struct hostport *hp)
{
	char path[4096], port[8], key[CMD_PATH_BYTES + 32], hosts[CMD_PATH_BYTES + 32];
	const char *argv[] = {"dial",   "--host",       hp->host,         "--port", port,
			      "--user", j->ticket.user, "--key",          key,      "--known-hosts",
			      hosts,    "--bind-name",  j->ticket.member, NULL};
	int pair[2], r;

	snprintf(path, sizeof(path), "%s/dial", libexec());
	snprintf(port, sizeof(port), "%u", hp->port);
	snprintf(key, sizeof(key), "%s/key", j->dir);
	snprintf(hosts, sizeof(hosts), "%s/known_hosts", j->dir);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	r = spawn_child(path, (char **)(uintptr_t)argv, pair[1], -1, &j->pid, &j->pidfd);
	close(pair[1]);
	j->fd = pair[0];
	if (r < 0)
		hang_up(j);
	return r;
}

static bool
send_msg(struct join *j, const struct msg *m)
{
	struct buf b = {0};
	size_t at = 0;
	bool done;

	msg_encode(&b, m);
	while (!b.failed && at < b.len) {
		ssize_t n = send(j->fd, b.data + at, b.len - at, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		at += (size_t)n;
	}
	done = !b.failed && at == b.len;
	buf_free(&b);
	return done;
}

/* More bytes from the member. False: the connection is over, or nothing came for too long. */
static bool
receive(struct join *j)
{
	struct pollfd p = {.fd = j->fd, .events = POLLIN};
	uint8_t *room = buf_room(&j->in, 65536);
	ssize_t n;

	if (room == NULL || poll(&p, 1, ANSWER_MS) <= 0)
		return false;
	n = recv(j->fd, room, 65536, 0);
	if (n > 0)
		j->in.len += (size_t)n;
	return n > 0;
}

/* The next message; m borrows from j->in until the next call. 0, -EPROTO, -ECONNRESET. */
static int
next_msg(struct join *j, size_t *used, struct msg *m)
{
	uint32_t len;

	buf_consume(&j->in, *used);
	*used = 0;
	for (;;) {
		len = j->in.len >= FRAME_HEADER_BYTES ? bytes_get_u32(j->in.data) : 0;
		if (len > FRAME_BYTES_MAX)
			return -EPROTO;
		if (j->in.len >= FRAME_HEADER_BYTES && j->in.len >= FRAME_HEADER_BYTES + len)
			break;
		if (!receive(j))
			return -ECONNRESET;
	}
	*used = FRAME_HEADER_BYTES + len;
	return msg_decode(j->in.data + FRAME_HEADER_BYTES, len, m) < 0 ? -EPROTO : 0;
}

static int
said_no(struct join *j, int r, const struct msg *m)
{
	if (r == -ECONNRESET)
		return cmd_fail(CONTROL_FAILED,
				"%s ended the connection: the invitation may have been used or "
				"have expired (%s); else see the line above, and the log there",
				j->ticket.member, j->ticket.expires);
	if (r < 0 || m->type != MSG_BYE)
		return cmd_fail(CONTROL_FAILED, "%s answers what makes no sense", j->ticket.member);
	return cmd_fail(CONTROL_FAILED, "%s says: %.*s", j->ticket.member, (int)m->len,
			(const char *)m->bytes);
}

/* The address whose turn it is: in the order of the list, until one answers. */
static bool
address_at(const char *list, unsigned i, struct hostport *hp)
{
	char text[HOSTPORT_TEXT_MAX + 1];
	size_t n;

	for (; i > 0; i--) {
		list += strcspn(list, ",");
		list += *list == ',';
	}
	n = strcspn(list, ",");
	if (n == 0 || n >= sizeof(text))
		return false;
	memcpy(text, list, n);
	text[n] = '\0';
	return hostport_parse(hp, text) == 0;
}

/* ---- what there is ---- */

static int
hear_list(struct join *j, struct preview *p)
{
	size_t used = 0;
	bool last = false;

	while (!last) {
		struct msg m = {0};
		int r = next_msg(j, &used, &m);

		if (r == 0 && m.type == MSG_TELL && m.id == WELCOME_COUNT_ID && !m.last) {
			struct cur c = cur_of(m.bytes, m.len);

			preview_expect(p, cur_u64(&c));
			msg_clear(&m);
			continue;
		}
		if (r < 0 || m.type != MSG_TELL || m.code != CODE_OK ||
		    !preview_rows(p, m.bytes, m.len)) {
			r = said_no(j, r, &m);
			msg_clear(&m);
			return r;
		}
		last = m.last;
	}
	buf_consume(&j->in, used);
	return 0;
}

static int
look(struct join *j, struct preview *p)
{
	static const uint8_t version[3] = {WELCOME_VERSION, 0, 1};
	const struct msg ask = {.type = MSG_ASK,
				.id = 1,
				.what = WELCOME_ASK_LIST,
				.bytes = version,
				.len = sizeof(version)};
	struct hostport hp;
	size_t len;
	int r = -EHOSTUNREACH;

	for (unsigned i = 0; address_at(j->ticket.address, i, &hp); i++) {
		hang_up(j);
		r = dial(j, &hp);
		if (r < 0)
			return cmd_fail(CONTROL_FAILED, "%s/dial: cannot be started: %s", libexec(),
					strerror(-r));
		if (!send_msg(j, &ask))
			continue;
		len = j->in.len;
		if (receive(j) && j->in.len > len)
			return hear_list(j, p);
	}
	return said_no(j, -ECONNRESET, NULL);
}

/* ---- yes or no ---- */

/* Standard input was the invitation: the answer comes from the terminal. */
static int
confirm(const struct join *j)
{
	char answer[16] = "";
	FILE *tty;

	if (j->yes)
		return 0;
	tty = fopen("/dev/tty", "r+e");
	if (tty == NULL)
		return cmd_fail(CONTROL_USAGE,
				"there is no terminal to ask on: add --yes if that is what you "
				"want");
	fprintf(tty, "join %s's cluster as %s? [y/N] ", j->ticket.member, j->self.name);
	fflush(tty);
	if (fgets(answer, sizeof(answer), tty) == NULL)
		answer[0] = '\0';
	fclose(tty);
	return answer[0] == 'y' || answer[0] == 'Y'
		       ? 0
		       : cmd_fail(CONTROL_FAILED, "nothing was changed; the invitation is still "
						  "good");
}

/* ---- becoming a member ---- */

static int
hear_members(struct join *j)
{
	size_t used = 0;

	for (;;) {
		struct msg m = {0};
		int r = next_msg(j, &used, &m);

		if (r == 0 && m.type == MSG_TELL && m.last && m.code == CODE_OK)
			return 0;
		if (r < 0 || m.type != MSG_MEMBER || j->nmembers >= ADMIT_NAMES_MAX ||
		    !members_addresses_ok(m.member.address)) {
			r = said_no(j, r, &m);
			msg_clear(&m);
			return r;
		}
		j->members[j->nmembers++] = m.member;
	}
}

static int
enter(struct join *j)
{
	struct hostport hp;
	int r = CONTROL_FAILED;

	j->members = calloc(ADMIT_NAMES_MAX, sizeof(*j->members));
	if (j->members == NULL)
		return cmd_fail(CONTROL_FAILED, "out of memory");
	/* A new connection: a person may have taken long to say yes. */
	for (unsigned i = 0; address_at(j->ticket.address, i, &hp); i++) {
		const struct msg m = {.type = MSG_MEMBER, .member = j->self};

		hang_up(j);
		if (dial(j, &hp) == 0 && send_msg(j, &m) && receive(j))
			return hear_members(j);
		r = said_no(j, -ECONNRESET, NULL);
	}
	return r;
}

static void
hex(const struct member *m, struct buf *out)
{
	static const char digits[] = "0123456789abcdef";
	struct buf b = {0};

	member_encode(&b, m);
	for (size_t i = 0; i < b.len; i++) {
		buf_put_u8(out, (uint8_t)digits[b.data[i] >> 4]);
		buf_put_u8(out, (uint8_t)digits[b.data[i] & 15]);
	}
	buf_put_u8(out, 0);
	out->failed = out->failed || b.failed;
	buf_free(&b);
}

/* A row that is not expected is no harm. */
static void
no_row(void *arg, const char *json, size_t len)
{
	(void)arg;
	(void)json;
	(void)len;
}

static int
hand_over(struct join *j, size_t from, size_t n)
{
	const char *words[ADOPT_WORDS + 1] = {"adopt"};
	struct buf text[ADOPT_WORDS] = {0};
	bool failed = false;
	int r;

	for (size_t i = 0; i < n; i++) {
		hex(&j->members[from + i], &text[i]);
		failed = failed || text[i].failed;
		words[i + 1] = (const char *)text[i].data;
	}
	r = failed ? cmd_fail(CONTROL_FAILED, "out of memory")
		   : cmd_ask(j->c, words, n + 1, no_row, NULL);
	for (size_t i = 0; i < n; i++)
		buf_free(&text[i]);
	return r;
}

static int
remember(struct join *j)
{
	int r = 0;

	if (!cmd_agent_runs(j->c))
		return cmd_take_members(j->c, j->members, j->nmembers);
	for (size_t i = 0; r == 0 && i < j->nmembers; i += ADOPT_WORDS) {
		size_t left = j->nmembers - i;

		r = hand_over(j, i, left < ADOPT_WORDS ? left : ADOPT_WORDS);
	}
	return r;
}

/* ---- all of it ---- */

static int
may_hold(struct join *j)
{
	if (!j->hold)
		return 0;
	if (cmd_agent_runs(j->c))
		return cmd_fail(CONTROL_FAILED,
				"--hold-unknown: stop mimeo-agent and mimeo-watcher first");
	if (cmd_nothing_logged(j->c) != 1)
		return cmd_fail(CONTROL_FAILED,
				"--hold-unknown: this node has logged files of its own already, "
				"so they are known: it is for a node that was never started");
	return 0;
}

static int
run(struct join *j, struct preview *p)
{
	size_t live = 0;
	int r = write_keys(j);

	r = r != 0 ? r : look(j, p);
	r = r != 0 ? r : preview_print(p);
	r = r != 0 ? r : confirm(j);
	r = r != 0 ? r : enter(j);
	if (r == 0 && j->hold)
		r = preview_hold(p);
	r = r != 0 ? r : remember(j);
	if (r != 0)
		return r;
	for (size_t i = 0; i < j->nmembers; i++)
		live += j->members[i].removed == 0;
	printf("%s is a member now, one of %zu\n", j->self.name, live);
	return 0;
}

int
cmd_join(struct command *c)
{
	struct join *j = calloc(1, sizeof(*j));
	struct preview *p = NULL;
	int r = 0, dashes = 0;

	if (j == NULL)
		return cmd_fail(CONTROL_FAILED, "out of memory");
	j->c = c;
	j->fd = j->pidfd = -1;
	for (int i = 0; i < c->nargs; i++) {
		if (strcmp(c->args[i], "-") == 0)
			dashes++;
		else if (strcmp(c->args[i], "--yes") == 0)
			j->yes = true;
		else if (strcmp(c->args[i], "--hold-unknown") == 0)
			j->hold = true;
		else
			r = CONTROL_USAGE;
	}
	if (r != 0 || dashes != 1)
		r = cmd_fail(CONTROL_USAGE, "join: `-`, for the invitation on standard input; "
					    "--hold-unknown; --yes");
	if (r == 0 && members_self(c->conf, &j->self, c->err, sizeof(c->err)) < 0)
		r = cmd_fail(CONTROL_FAILED, "%s", c->err);
	r = r != 0 ? r : may_hold(j);
	r = r != 0 ? r : read_ticket(j);
	if (r == 0 && (p = preview_new(c)) == NULL)
		r = CONTROL_FAILED;
	r = r != 0 ? r : run(j, p);
	hang_up(j);
	if (j->dir[0] != '\0')
		cmd_private_dir_gone(j->dir);
	preview_free(p);
	buf_free(&j->in);
	free(j->members);
	explicit_bzero(&j->ticket, sizeof(j->ticket));
	free(j);
	return r;
}
