/* SPDX-License-Identifier: BSD-2-Clause */
/* What a peer says about members: the rules. */
#include "config.h"

#include "proto/admit.h"

#include <string.h>

#include "proto/seeded.h"

const struct member *
admit_find(const struct admit_table *t, const char *name)
{
	for (size_t i = 0; i < t->n; i++)
		if (strcmp(t->members[i].name, name) == 0)
			return &t->members[i];
	return NULL;
}

size_t
admit_live(const struct admit_table *t)
{
	size_t n = 0;

	for (size_t i = 0; i < t->n; i++)
		n += t->members[i].removed == 0;
	return n;
}

/* A login name as sshd's account would have it: what may stand on dial's command line. */
static bool
user_ok(const char *user)
{
	size_t n = strlen(user);

	return n > 0 && user[0] != '-' &&
	       strspn(user,
		      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-@+") == n;
}

/* What is wrong with the entry whatever the table says. */
static const char *
unfit(const struct member *m)
{
	if (m->user_key[0] == '\0')
		return "it has no key";
	if (m->host_key[0] == '\0' && m->address[0] != '\0')
		return "it has an address and no host key";
	if (!user_ok(m->user))
		return "its user is not a login name";
	return NULL;
}

/* Is the key in use under another name? A removed name has none. */
static bool
key_taken(const struct admit_table *t, const struct member *m)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->members[i].removed == 0 && strcmp(t->members[i].name, m->name) != 0 &&
		    strcmp(t->members[i].user_key, m->user_key) == 0)
			return true;
	return false;
}

static const char *
no_room(const struct admit_table *t, const struct member *m, const struct member *old)
{
	if (old == NULL && t->n + t->coming >= ADMIT_NAMES_MAX)
		return "there are more names than a table may have";
	if (m->removed == 0 && (old == NULL || old->removed != 0) &&
	    admit_live(t) + t->coming >= MEMBERS_MAX)
		return "there are as many members as there may be";
	return NULL;
}

static enum admit_verdict
judge_self(const struct member *old, const struct member *m, const char **why)
{
	if (m->removed != 0)
		return ADMIT_TAKE;
	if (!member_same_keys(old, m)) {
		*why = "it gives this node's name another key";
		return ADMIT_REFUSE;
	}
	return ADMIT_REFUTE;
}

/* Newer than what is there, not about this node: what speaks against it? */
static const char *
objection(const struct admit_table *t, const char *from, bool proven, const struct member *m,
	  const struct member *old)
{
	bool admission = m->removed == 0 && (old == NULL || m->admitted > old->admitted);
	bool rekeyed =
		old != NULL && old->removed == 0 && m->removed == 0 && !member_same_keys(old, m);

	if (admission && strcmp(from, m->name) == 0 && !SEEDED(self_admission))
		return "it lets itself in";
	if (admission && (m->admitted == 0 || m->admitted_by[0] == '\0'))
		return "nobody has let it in";
	if (rekeyed && m->admitted == old->admitted)
		return "it gives a member another key";
	if (rekeyed && proven)
		return "it gives a member another key, and the one with the old key is connected";
	if (m->removed == 0 && key_taken(t, m))
		return "its key belongs to another member";
	return no_room(t, m, old);
}

enum admit_verdict
admit_judge(const struct admit_table *t, const char *from, bool proven, uint64_t wall_ms,
	    const struct member *m, const char **why)
{
	const struct member *old = admit_find(t, m->name);

	*why = unfit(m);
	if (*why == NULL &&
	    (m->incarnation > wall_ms + ADMIT_AHEAD_MS || m->admitted > wall_ms + ADMIT_AHEAD_MS))
		*why = "it is dated more than a day ahead";
	if (*why != NULL)
		return ADMIT_REFUSE;
	if (old != NULL && member_compare(m, old) <= 0) {
		if (m->removed != 0 || old->removed != 0 || member_same_keys(old, m) ||
		    m->admitted < old->admitted)
			return ADMIT_KNOWN;
		*why = "it gives a member another key";
		return ADMIT_REFUSE;
	}
	if (old != NULL && strcmp(m->name, t->self) == 0)
		return judge_self(old, m, why);
	/* Its own word cannot raise its admission: another member will say it, if it is true. */
	if (old != NULL && old->removed == 0 && m->removed == 0 && m->admitted > old->admitted &&
	    strcmp(from, m->name) == 0 && member_same_keys(old, m))
		return ADMIT_KNOWN;
	*why = objection(t, from, proven, m, old);
	return *why != NULL ? ADMIT_REFUSE : ADMIT_TAKE;
}

const char *
admit_join(const struct admit_table *t, const struct member *m)
{
	const struct member *old = admit_find(t, m->name);
	const char *why = unfit(m);

	if (why != NULL)
		return why;
	if (strcmp(m->name, t->self) == 0)
		return "its name is the inviting node's own";
	if (old != NULL && old->removed == 0 && !member_same_keys(old, m))
		return "a member has that name already, with another key: choose another name, or "
		       "`mimeo forget` that member first";
	if (key_taken(t, m))
		return "its key belongs to another member: make a new one (remove the key of this "
		       "node and run `mimeo init` again)";
	return no_room(t, m, old);
}
