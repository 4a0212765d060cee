/* SPDX-License-Identifier: BSD-2-Clause */
/* key, authorize, authorized-keys: the member table, through the agent or, when it does not run, in
 * the WAL itself. */
#include "config.h"

#include "agent/cmd/cmd.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/members.h"
#include "conf/clock.h"
#include "conf/json.h"
#include "conf/lifelock.h"
#include "conf/random.h"
#include "proto/admit.h"
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
write_files(struct command *c, struct offline *o)
{
	assert(o->index != NULL); /* offline_open made it */
	if (members_write_files(c->conf, o->index->members, o->index->nmembers, c->err,
				sizeof(c->err)) < 0)
		return cmd_fail(CONTROL_FAILED, "%s", c->err);
	return CONTROL_OK;
}

static int
change(struct command *c, struct offline *o, const char *remove, const char *line)
{
	const struct admit_table t = {o->index->members, o->index->nmembers, c->conf->name, 0};
	const char *why;
	struct member m;
	const struct member *old;
	int r;

	if (remove != NULL) {
		old = index_member(o->index, remove);
		if (old == NULL || old->removed != 0)
			return cmd_fail(CONTROL_FAILED, "%s: no member has that name", remove);
		m = *old;
		members_removal(&m, c->conf->name, clock_wall_ms());
	} else if (members_parse(line, &m, c->err, sizeof(c->err)) < 0) {
		return cmd_fail(CONTROL_FAILED, "%s", c->err);
	} else if (strcmp(m.name, c->conf->name) == 0) {
		return cmd_fail(CONTROL_FAILED, "that line is this node's own");
	} else {
		why = admit_join(&t, &m);
		if (why != NULL)
			return cmd_fail(CONTROL_FAILED, "%s: %s", m.name, why);
		members_admission(&m, index_member(o->index, m.name), c->conf->name,
				  clock_wall_ms());
	}
	r = append_member(o, &m);
	if (r < 0)
		return cmd_fail(CONTROL_FAILED, "%s/wal: cannot be written: %s", c->conf->state,
				strerror(-r));
	return write_files(c, o);
}

static void
list_json(const struct index *x)
{
	struct json j;
	const char *text;

	json_init(&j);
	json_arr_open(&j, NULL);
	for (size_t i = 0; i < x->nmembers; i++) {
		if (x->members[i].removed != 0)
			continue;
		json_obj_open(&j, NULL);
		json_str(&j, "name", x->members[i].name);
		json_str(&j, "address", x->members[i].address);
		json_str(&j, "user_key", x->members[i].user_key);
		json_obj_close(&j);
	}
	json_arr_close(&j);
	text = json_text(&j, NULL);
	if (text != NULL)
		puts(text);
	json_free(&j);
}

static int
list(const struct command *c, const struct offline *o)
{
	if (c->json)
		list_json(o->index);
	for (size_t i = 0; !c->json && i < o->index->nmembers; i++) {
		const struct member *m = &o->index->members[i];

		if (m->removed == 0)
			printf("%s %s %s\n", m->name, m->address[0] != '\0' ? m->address : "-",
			       m->user_key);
	}
	return CONTROL_OK;
}

static int
open_failed(struct command *c, int r)
{
	return cmd_fail(CONTROL_FAILED, "%s: the WAL cannot be opened: %s", c->conf->state,
			strerror(-r));
}

static int
offline(struct command *c, const char *remove, const char *line)
{
	struct offline o = {.lock = -1};
	int r = offline_open(c, &o);

	if (r < 0)
		r = open_failed(c, r);
	else
		r = remove == NULL && line == NULL ? list(c, &o) : change(c, &o, remove, line);
	offline_close(&o);
	return r;
}

int
cmd_take_members(struct command *c, const struct member *m, size_t n)
{
	struct offline o = {.lock = -1};
	int r = offline_open(c, &o);

	if (r < 0)
		r = open_failed(c, r);
	for (size_t i = 0; r == 0 && i < n; i++) {
		const struct member *old = index_member(o.index, m[i].name);

		if (old == NULL || member_compare(&m[i], old) > 0)
			r = append_member(&o, &m[i]);
		if (r < 0)
			r = cmd_fail(CONTROL_FAILED, "%s/wal: cannot be written: %s",
				     c->conf->state, strerror(-r));
	}
	if (r == 0)
		r = write_files(c, &o);
	offline_close(&o);
	return r;
}

int
cmd_nothing_logged(struct command *c)
{
	struct offline o = {.lock = -1};
	int r = offline_open(c, &o);

	if (r == 0)
		r = o.index->log_first == NULL && o.index->scanned_ms == 0;
	offline_close(&o);
	return r;
}

/* ---- with it ---- */

bool
cmd_agent_runs(const struct command *c)
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

	if (!listing && !removing && (c->nargs != 1 || strncmp(c->args[0], "--", 2) == 0))
		return cmd_fail(CONTROL_USAGE,
				"authorize: one LINE (in quotes), --list, or --remove NAME");
	if (!cmd_agent_runs(c))
		return offline(c, removing ? c->args[1] : NULL,
			       listing || removing ? NULL : c->args[0]);
	for (int i = 0; i < c->nargs; i++)
		words[i + 1] = c->args[i];
	if (c->json)
		return cmd_ask_json(c, words, 1 + (size_t)c->nargs, listing);
	t = table_new(columns, ARRAY_LEN(columns));
	code = cmd_ask(c, words, 1 + (size_t)c->nargs, table_row, t);
	table_print(t);
	return code;
}

static void
print_lines(void *arg, const char *json, size_t len)
{
	char *text = malloc(len + 1);

	(void)arg;
	if (text == NULL)
		return;
	table_field(json, len, "lines", text, len + 1);
	fputs(text, stdout);
	free(text);
}

/* sshd calls it for every login, in place of a file or besides one. Without an agent nobody is let
 * in: there would be nothing to attach to. */
int
cmd_authorized_keys(struct command *c)
{
	const char *words[2] = {"authorized-keys"};

	if (c->nargs != 1)
		return cmd_fail(CONTROL_USAGE, "authorized-keys: which user?");
	words[1] = c->args[0];
	return cmd_ask(c, words, 2, print_lines, NULL);
}
