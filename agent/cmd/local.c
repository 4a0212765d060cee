/* SPDX-License-Identifier: BSD-2-Clause */
/* key, authorize, authorized-keys: the member table, through the agent or, when it does not run, in
 * the WAL itself. */
#include "config.h"

#include "agent/cmd/cmd.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/members.h"
#include "conf/clock.h"
#include "conf/lifelock.h"
#include "conf/random.h"
#include "proto/walfile.h"

int
cmd_key(struct command *c)
{
	struct buf line = {0};

	if (members_line(c->conf, &line, c->err, sizeof(c->err)) < 0)
		return cmd_fail(CONTROL_FAILED, "%s", c->err);
	fwrite(line.data, 1, line.len, stdout);
	buf_free(&line);
	return CONTROL_OK;
}

/* ---- without the agent ---- */

struct offline {
	struct index *index;
	struct wal *wal;
	struct walfile *file;
	int lock;
};

static int
fold(void *arg, const struct entry *e)
{
	struct offline *o = arg;

	return index_fold(o->index, e);
}

static void
note(void *arg, const char *event, const char *text)
{
	(void)arg;
	fprintf(stderr, "mimeo: %s: %s\n", event, text);
}

static int
offline_open(struct command *c, struct offline *o)
{
	struct wal_user user = {o, fold, note};
	struct wal_dev dev;
	char path[4200];
	int r;

	snprintf(path, sizeof(path), "%s/agent.lock", c->conf->state);
	o->lock = lifelock_take(path);
	if (o->lock < 0)
		return o->lock;
	r = walfile_open(c->conf->state, &o->file);
	if (r < 0)
		return r;
	dev = walfile_dev(o->file);
	o->index = index_new(random_u64(), c->conf->name);
	o->wal = wal_new(&dev, &user);
	if (o->index == NULL || o->wal == NULL)
		return -ENOMEM;
	return wal_open(o->wal);
}

static void
offline_close(struct offline *o)
{
	wal_free(o->wal);
	index_free(o->index);
	walfile_close(o->file);
	if (o->lock >= 0)
		close(o->lock);
}

static int
append_member(struct offline *o, const struct member *m)
{
	struct buf blob = {0}, batch = {0};
	int r;

	member_encode(&blob, m);
	wal_put(&batch,
		&(struct entry){.type = ENTRY_MEMBER, .blob = blob.data, .blob_len = blob.len});
	r = blob.failed || batch.failed ? -ENOMEM : wal_lock(o->wal, true, true);
	if (r == 0) {
		r = wal_catchup(o->wal);
		if (r == 0)
			r = wal_append(o->wal, &batch);
		if (r == 0)
			r = wal_sync(o->wal);
		wal_unlock(o->wal);
	}
	buf_free(&blob);
	buf_free(&batch);
	return r;
}

static int
change(struct command *c, struct offline *o, const char *remove, const char *line)
{
	struct member m;
	const struct member *old;
	int r;

	if (remove != NULL) {
		old = index_member(o->index, remove);
		if (old == NULL || old->removed != 0)
			return cmd_fail(CONTROL_FAILED, "%s: no member has that name", remove);
		m = *old;
		m.removed = 1;
	} else if (members_parse(line, &m, c->err, sizeof(c->err)) < 0) {
		return cmd_fail(CONTROL_FAILED, "%s", c->err);
	} else if (strcmp(m.name, c->conf->name) == 0) {
		return cmd_fail(CONTROL_FAILED, "that line is this node's own");
	}
	old = index_member(o->index, m.name);
	m.incarnation = old != NULL && old->incarnation >= clock_wall_ms() ? old->incarnation + 1
									   : clock_wall_ms();
	snprintf(m.admitted_by, sizeof(m.admitted_by), "%s", c->conf->name);
	r = append_member(o, &m);
	if (r < 0)
		return cmd_fail(CONTROL_FAILED, "%s/wal: cannot be written: %s", c->conf->state,
				strerror(-r));
	if (members_write_files(c->conf, o->index->members, o->index->nmembers, c->err,
				sizeof(c->err)) < 0)
		return cmd_fail(CONTROL_FAILED, "%s", c->err);
	return CONTROL_OK;
}

static int
list(const struct offline *o)
{
	for (size_t i = 0; i < o->index->nmembers; i++) {
		const struct member *m = &o->index->members[i];

		if (m->removed == 0)
			printf("%s %s %s\n", m->name, m->address[0] != '\0' ? m->address : "-",
			       m->user_key);
	}
	return CONTROL_OK;
}

static int
offline(struct command *c, const char *remove, const char *line)
{
	struct offline o = {.lock = -1};
	int r = offline_open(c, &o);

	if (r < 0)
		r = cmd_fail(CONTROL_FAILED, "%s: the WAL cannot be opened: %s", c->conf->state,
			     strerror(-r));
	else
		r = remove == NULL && line == NULL ? list(&o) : change(c, &o, remove, line);
	offline_close(&o);
	return r;
}

/* ---- with it ---- */

static bool
agent_runs(const struct command *c)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool up;

	snprintf(a.sun_path, sizeof(a.sun_path), "%.90s/%s", c->conf->run, CONTROL_SOCKET_NAME);
	up = fd >= 0 && connect(fd, (const struct sockaddr *)&a, sizeof(a)) == 0;
	if (fd >= 0)
		close(fd);
	return up;
}

int
cmd_authorize(struct command *c)
{
	static const struct table_column columns[] = {{"name", "NAME", COL_TEXT},
						      {"address", "ADDRESS", COL_TEXT},
						      {"user_key", "KEY", COL_TEXT}};
	const char *words[3] = {"authorize"};
	bool listing = c->nargs == 1 && strcmp(c->args[0], "--list") == 0;
	bool removing = c->nargs == 2 && strcmp(c->args[0], "--remove") == 0;
	struct table *t;
	int code;

	if (!listing && !removing && c->nargs != 1)
		return cmd_fail(CONTROL_USAGE,
				"authorize: one LINE (in quotes), --list, or --remove NAME");
	if (!agent_runs(c))
		return offline(c, removing ? c->args[1] : NULL,
			       listing || removing ? NULL : c->args[0]);
	for (int i = 0; i < c->nargs; i++)
		words[i + 1] = c->args[i];
	t = table_new(columns, ARRAY_LEN(columns));
	code = cmd_ask(c, words, 1 + (size_t)c->nargs, table_row, t);
	table_print(t);
	return code;
}

/* What authorized_keys has, for this account only. sshd calls it for every login: it must be quick
 * and say nothing else. */
int
cmd_authorized_keys(struct command *c)
{
	char line[4096];
	FILE *f;

	if (c->nargs != 1)
		return cmd_fail(CONTROL_USAGE, "authorized-keys: which user?");
	if (strcmp(c->args[0], c->conf->ssh_user) != 0)
		return CONTROL_OK;
	f = fopen(c->conf->ssh_authorized_keys, "re");
	if (f == NULL)
		return cmd_fail(CONTROL_FAILED, "%s: %s", c->conf->ssh_authorized_keys,
				strerror(errno));
	while (fgets(line, sizeof(line), f) != NULL)
		if (strstr(line, " mimeo:") != NULL)
			fputs(line, stdout);
	fclose(f);
	return CONTROL_OK;
}
