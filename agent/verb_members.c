/* SPDX-License-Identifier: BSD-2-Clause */
/* Verbs about members: authorize, invite, forget, leave, and what `join` asks of a running agent.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/exchange.h"
#include "agent/gossip.h"
#include "agent/invites.h"
#include "agent/members.h"
#include "agent/verbs.h"
#include "conf/random.h"
#include "proto/admit.h"

/* sshd's files follow in the same turn anyway; here it is said whether that works. */
static bool
files_written(struct request *q)
{
	const struct node *n = q->node;
	char err[512];

	if (members_write_files(n->conf, n->index->members, n->index->nmembers, err, sizeof(err)) ==
	    0)
		return true;
	verb_end(q, CONTROL_FAILED, "%s", err);
	return false;
}

/* An entry was put: the answer comes when it is durable and told to those who are connected. */
static void
wait_for(struct request *q, const char *name)
{
	snprintf(q->name, sizeof(q->name), "%s", name);
	q->phase = 1;
}

static bool
waited(struct request *q)
{
	return !gossip_coming(q->node->gossip, q->name) && files_written(q);
}

/* ---- authorize, forget ---- */

static void
list(struct request *q)
{
	for (size_t i = 0; i < q->node->index->nmembers; i++) {
		const struct member *m = &q->node->index->members[i];
		struct json j;

		if (m->removed != 0)
			continue;
		json_init(&j);
		json_obj_open(&j, NULL);
		json_str(&j, "name", m->name);
		json_str(&j, "address", m->address);
		json_str(&j, "user", m->user);
		json_str(&j, "user_key", m->user_key);
		json_str(&j, "host_key", m->host_key);
		json_str(&j, "admitted_by", m->admitted_by);
		verb_time(&j, "admitted", m->admitted);
		json_obj_close(&j);
		verb_row(q, &j);
	}
	verb_end(q, CONTROL_OK, "%s", "");
}

static void
remove_member(struct request *q, const char *name)
{
	struct node *n = q->node;
	const struct member *old = index_member(n->index, name);
	struct member m;

	if (old == NULL || old->removed != 0) {
		verb_end(q, CONTROL_FAILED, "%s: no member has that name", name);
		return;
	}
	if (strcmp(name, n->conf->name) == 0) {
		verb_end(q, CONTROL_FAILED, "%s: that is this node itself: `mimeo leave`", name);
		return;
	}
	m = *old;
	members_removal(&m, n->conf->name, n->wall_ms);
	gossip_put(n->gossip, &m);
	wait_for(q, name);
}

static void
authorize_line(struct request *q, const char *line)
{
	struct node *n = q->node;
	const struct admit_table t = {n->index->members, n->index->nmembers, n->conf->name, 0};
	struct member m;
	char err[512];
	const char *why;

	if (members_parse(line, &m, err, sizeof(err)) < 0) {
		verb_end(q, CONTROL_FAILED, "%s", err);
		return;
	}
	why = strcmp(m.name, n->conf->name) == 0 ? "that line is this node's own"
						 : admit_join(&t, &m);
	if (why != NULL) {
		verb_end(q, CONTROL_FAILED, "%s: %s", m.name, why);
		return;
	}
	members_admit(n, &m);
	wait_for(q, m.name);
}

void
verb_authorize(struct request *q)
{
	if (q->phase == 1) {
		if (waited(q))
			verb_end(q, CONTROL_OK, "%s", "");
		return;
	}
	if (q->nwords == 2 && strcmp(q->words[1], "--list") == 0)
		list(q);
	else if (q->nwords == 3 && strcmp(q->words[1], "--remove") == 0)
		remove_member(q, q->words[2]);
	else if (q->nwords == 2)
		authorize_line(q, q->words[1]);
	else
		verb_end(q, CONTROL_FAILED, "authorize: one line, --list, or --remove NAME");
}

void
verb_forget(struct request *q)
{
	if (q->phase == 1) {
		if (waited(q))
			verb_end(q, CONTROL_OK,
				 "%s is forgotten: its keys are refused here now, and on the other "
				 "members as soon as they hear of it",
				 q->name);
		return;
	}
	if (q->nwords == 2)
		remove_member(q, q->words[1]);
	else
		verb_end(q, CONTROL_USAGE, "forget: which member?");
}

/* ---- leave ---- */

static bool
connected(const struct node *n, size_t *members)
{
	bool any = false;

	*members = 0;
	for (const struct peer *p = exchange_peers(n->exchange); p != NULL; p = p->next) {
		(*members)++;
		any = any || p->link != NULL;
	}
	return any;
}

void
verb_leave(struct request *q)
{
	struct node *n = q->node;
	const struct member *old = index_member(n->index, n->conf->name);
	struct member m;
	size_t members;

	if (q->phase == 1) {
		if (waited(q))
			verb_end(q, CONTROL_OK,
				 "%s has left; its files stay. To come back: `mimeo invite` on a "
				 "member, `mimeo join -` here",
				 q->name);
		return;
	}
	if (old == NULL || old->removed != 0) {
		verb_end(q, CONTROL_FAILED, "this node is no member");
		return;
	}
	if (!connected(n, &members) && members > 0) {
		verb_end(q, CONTROL_FAILED,
			 "no member is connected, so nobody would hear of it: `mimeo forget %s` on "
			 "one of them",
			 n->conf->name);
		return;
	}
	m = *old;
	members_removal(&m, n->conf->name, n->wall_ms);
	gossip_put(n->gossip, &m);
	wait_for(q, m.name);
}

/* ---- authorized-keys ---- */

static void
text_row(struct request *q, const char *key, const uint8_t *text, size_t len)
{
	struct json j;

	json_init(&j);
	json_obj_open(&j, NULL);
	json_bytes(&j, key, text, len);
	json_obj_close(&j);
	verb_row(q, &j);
}

void
verb_authorized_keys(struct request *q)
{
	const struct node *n = q->node;
	struct buf b = {0};

	if (members_authorized(n->conf, n->index->members, n->index->nmembers, &b) < 0)
		verb_end(q, CONTROL_FAILED, "%s/invites: cannot be read", n->conf->state);
	else if (q->nwords == 2 && strcmp(q->words[1], n->conf->ssh_user) == 0)
		text_row(q, "lines", b.data, b.len);
	if (!q->ended)
		verb_end(q, CONTROL_OK, "%s", "");
	buf_free(&b);
}

/* ---- invite ---- */

static void
invite_row(struct request *q, const struct member *me, const struct invite *i)
{
	struct json j;

	json_init(&j);
	json_obj_open(&j, NULL);
	json_str(&j, "member", me->name);
	json_str(&j, "address", me->address);
	json_str(&j, "user", me->user);
	json_str(&j, "host_key", me->host_key);
	json_str(&j, "id", i->id);
	verb_time(&j, "expires", i->expires_ms);
	json_obj_close(&j);
	verb_row(q, &j);
}

/* Words: the public key, the time to live in ms. */
void
verb_invite(struct request *q)
{
	struct node *n = q->node;
	const char *by = NULL;
	struct member me;
	struct invite i = {0};
	char err[512];
	uint64_t ttl = q->nwords == 3 ? strtoull(q->words[2], NULL, 10) : 0;
	int r;

	if (q->nwords != 3 || strlen(q->words[1]) > MEMBER_KEY_BYTES_MAX ||
	    strncmp(q->words[1], "ssh-ed25519 AAAA", 16) != 0 ||
	    strpbrk(q->words[1] + 12, " \t\r\n\"") != NULL || ttl < INVITES_TTL_MS_MIN ||
	    ttl > INVITES_TTL_MS_MAX) {
		verb_end(q, CONTROL_USAGE,
			 "invite: an ed25519 key, and a time from one minute to seven days");
		return;
	}
	if (members_self(n->conf, &me, err, sizeof(err)) < 0) {
		verb_end(q, CONTROL_FAILED, "%s", err);
		return;
	}
	if (me.address[0] == '\0' || gossip_expelled(n->gossip, &by)) {
		verb_end(q, CONTROL_FAILED, "%s",
			 by != NULL ? "this node is no member any more"
				    : "this node has no address, so the newcomer could not dial "
				      "it: invite on a member that has one");
		return;
	}
	snprintf(i.id, sizeof(i.id), "%016llx", (unsigned long long)random_u64());
	snprintf(i.key, sizeof(i.key), "%s", q->words[1]);
	i.expires_ms = n->wall_ms + ttl;
	r = invites_add(n->conf->state, n->wall_ms, &i);
	if (r < 0) {
		verb_end(q, CONTROL_FAILED, "%s",
			 r == -ENOSPC ? "too many invitations are open: wait until one is used or "
					"expires"
				      : "the invitation cannot be written down");
		return;
	}
	if (!files_written(q))
		return;
	invite_row(q, &me, &i);
	verb_end(q, CONTROL_OK, "%s", "");
}

/* ---- what join brought ---- */

static int
unhex(const char *text, struct buf *out)
{
	size_t len = strlen(text);

	for (size_t i = 0; i + 1 < len; i += 2) {
		char pair[3] = {text[i], text[i + 1], '\0'}, *end;
		unsigned long v = strtoul(pair, &end, 16);

		if (*end != '\0')
			return -EINVAL;
		buf_put_u8(out, (uint8_t)v);
	}
	return len % 2 == 0 && !out->failed ? 0 : -EINVAL;
}

/* Words: entries of the member table in hex, as the inviting member sent them to `mimeo join`. */
void
verb_adopt(struct request *q)
{
	if (q->phase == 1) {
		if (waited(q))
			verb_end(q, CONTROL_OK, "%s", "");
		return;
	}
	for (size_t i = 1; i < q->nwords; i++) {
		const struct member *old;
		struct buf b = {0};
		struct member m;
		struct cur c;
		bool good = unhex(q->words[i], &b) == 0;

		c = cur_of(b.data, b.len);
		good = good && member_decode(&c, &m) == 0 && members_addresses_ok(m.address);
		buf_free(&b);
		if (!good) {
			verb_end(q, CONTROL_USAGE, "adopt: not an entry of the member table");
			return;
		}
		old = index_member(q->node->index, m.name);
		if (old == NULL || member_compare(&m, old) > 0)
			gossip_put(q->node->gossip, &m);
		wait_for(q, m.name);
	}
	if (q->phase == 0)
		verb_end(q, CONTROL_USAGE, "adopt: no entries");
}
