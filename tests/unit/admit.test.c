/* SPDX-License-Identifier: BSD-2-Clause */
/* What a peer may say of members: each attack refused, each honest word taken. */
#include "config.h"

#include "proto/admit.h"

#include <stdio.h>

#include "tests/tap.h"

#define KEY "ssh-ed25519 AAAA"
#define NOW 1700000000000ull

/* Members a, b, c: a was the first, let b in, b let c in. x was removed. This is a. */
static struct member rows[ADMIT_NAMES_MAX];
static struct admit_table table = {rows, 0, "a", 0};

static struct member
entry(const char *name, const char *by, uint64_t admitted)
{
	struct member m = {.user = "mimeo", .admitted = admitted, .incarnation = NOW - 1000};

	snprintf(m.name, sizeof(m.name), "%s", name);
	snprintf(m.address, sizeof(m.address), "%.50s:22", name);
	snprintf(m.user_key, sizeof(m.user_key), KEY "user%.50s", name);
	snprintf(m.host_key, sizeof(m.host_key), KEY "host%.50s", name);
	snprintf(m.admitted_by, sizeof(m.admitted_by), "%s", by);
	m.store = 7;
	return m;
}

static void
reset(void)
{
	rows[0] = entry("a", "a", NOW - 9000);
	rows[1] = entry("b", "a", NOW - 8000);
	rows[2] = entry("c", "b", NOW - 7000);
	rows[3] = entry("x", "a", NOW - 6000);
	rows[3].removed = 1;
	table.n = 4;
}

static const char *why;

static enum admit_verdict
says(const char *from, const struct member *m)
{
	return admit_judge(&table, from, false, NOW, m, &why);
}

static enum admit_verdict
says_while_connected(const char *from, const struct member *m)
{
	return admit_judge(&table, from, true, NOW, m, &why);
}

#define refused(verdict, text, what)                                                               \
	ok((verdict) == ADMIT_REFUSE && why != NULL && strstr(why, text) != NULL, what)

static void
honest(void)
{
	struct member m = rows[1];

	is_int(says("b", &m), ADMIT_KNOWN, "what is known already");
	m.incarnation++;
	snprintf(m.address, sizeof(m.address), "elsewhere:22");
	is_int(says("b", &m), ADMIT_TAKE, "a member moves, and says so");
	is_int(says("c", &m), ADMIT_TAKE, "or another one says so");
	m.incarnation -= 2;
	is_int(says("c", &m), ADMIT_KNOWN, "old news are none");
	m = entry("d", "c", NOW);
	is_int(says("c", &m), ADMIT_TAKE, "a member lets one in");
	is_int(says("b", &m), ADMIT_TAKE, "and others pass it on");
	m = rows[1];
	m.removed = 1;
	m.admitted = NOW;
	is_int(says("c", &m), ADMIT_TAKE, "a member removes one");
	m.admitted = rows[1].admitted;
	m.incarnation++;
	is_int(says("b", &m), ADMIT_TAKE, "one leaves");
	m = entry("x", "b", NOW);
	is_int(says("b", &m), ADMIT_TAKE, "one that was removed is let in again");
	snprintf(m.user_key, sizeof(m.user_key), KEY "new");
	is_int(says("b", &m), ADMIT_TAKE, "with another key, as it was removed");
	m = rows[1];
	m.admitted++;
	is_int(says("c", &m), ADMIT_TAKE, "two let the same one in: the later counts");
	is_int(says("b", &m), ADMIT_KNOWN, "though not by its own word");
	snprintf(m.host_key, sizeof(m.host_key), KEY "new");
	is_int(says("c", &m), ADMIT_TAKE, "it was away while one was removed and let in again");
	m = entry("gone", "b", NOW);
	m.removed = 1;
	is_int(says("b", &m), ADMIT_TAKE, "one that is out keeps its place");
	m = entry("e", "b", NOW);
	m.address[0] = m.host_key[0] = '\0';
	is_int(says("b", &m), ADMIT_TAKE, "one that nobody dials needs no host key");
}

static void
about_self(void)
{
	struct member m = rows[0];

	is_int(says("b", &m), ADMIT_KNOWN, "this node's own entry");
	m.incarnation++;
	m.address[0] = 'z';
	is_int(says("b", &m), ADMIT_REFUTE, "another address of this node is refuted");
	m = rows[0];
	m.admitted = NOW;
	is_int(says("b", &m), ADMIT_REFUTE, "its admission is taken over so");
	snprintf(m.user_key, sizeof(m.user_key), KEY "other");
	refused(says("b", &m), "another key", "another key under this node's name");
	m = rows[0];
	m.removed = 1;
	m.incarnation++;
	is_int(says("b", &m), ADMIT_TAKE, "it was forgotten");
}

static void
forged(void)
{
	struct member m = rows[1];

	m.incarnation++;
	snprintf(m.user_key, sizeof(m.user_key), KEY "evil");
	refused(says("b", &m), "another key", "a second key for its own name");
	refused(says("c", &m), "another key", "or for somebody's");
	m.incarnation -= 2;
	refused(says("c", &m), "another key", "an older one neither");
	m = rows[1];
	m.incarnation++;
	snprintf(m.host_key, sizeof(m.host_key), KEY "evil");
	refused(says("c", &m), "another key", "a swapped host key");
	m.admitted = NOW;
	refused(says_while_connected("c", &m), "is connected",
		"not by an admission either while the old key is in use");
	m = entry("d", "c", NOW);
	refused(says("d", &m), "lets itself in", "who is none lets itself in");
	m = entry("x", "c", NOW);
	refused(says("x", &m), "lets itself in", "who was removed brings itself back");
	m = rows[3];
	m.removed = 0;
	m.incarnation += 5000;
	is_int(says("c", &m), ADMIT_KNOWN, "nor does a later change bring it back");
	m = entry("d", "", NOW);
	refused(says("c", &m), "nobody has let it in", "admitted by nobody");
	m = entry("d", "c", 0);
	refused(says("c", &m), "nobody has let it in", "admitted never");
	m = entry("d", "c", NOW);
	memcpy(m.user_key, rows[1].user_key, sizeof(m.user_key));
	refused(says("c", &m), "belongs to another", "one key under two names");
	memcpy(m.user_key, rows[0].user_key, sizeof(m.user_key));
	refused(says("c", &m), "belongs to another", "this node's key under another name");
	m = entry("d", "c", NOW);
	m.user_key[0] = '\0';
	refused(says("c", &m), "no key", "no key");
	m = entry("d", "c", NOW);
	m.host_key[0] = '\0';
	refused(says("c", &m), "no host key", "an address, but no host key");
	m = entry("d", "c", NOW);
	snprintf(m.user, sizeof(m.user), "-oProxyCommand=x");
	refused(says("c", &m), "login name", "a user that is an option");
	m.user[0] = '\0';
	refused(says("c", &m), "login name", "no user");
	m = rows[1];
	m.incarnation = NOW + ADMIT_AHEAD_MS + 1;
	refused(says("b", &m), "ahead", "dated so that nothing could replace it");
	m = rows[1];
	m.removed = 1;
	m.admitted = UINT64_MAX;
	refused(says("c", &m), "ahead", "nor a removal");
	m.admitted = NOW + ADMIT_AHEAD_MS;
	is_int(says("c", &m), ADMIT_TAKE, "a clock may be wrong by a day");
}

static void
full(void)
{
	char name[32];
	struct member m = entry("more", "b", NOW);

	for (; table.n < MEMBERS_MAX; table.n++) {
		snprintf(name, sizeof(name), "m%zu", table.n);
		rows[table.n] = entry(name, "a", NOW - 5000);
	}
	is_int(says("b", &m), ADMIT_TAKE, "the last one that there is room for");
	table.coming = 1;
	refused(says("b", &m), "as many members", "unless another one is on its way");
	table.coming = 0;
	rows[table.n++] = m;
	m = entry("again", "b", NOW);
	refused(says("b", &m), "as many members", "one more is refused");
	m = entry("x", "b", NOW);
	refused(says("b", &m), "as many members", "so is one that comes back");
	for (; table.n < ADMIT_NAMES_MAX; table.n++) {
		snprintf(name, sizeof(name), "r%zu", table.n);
		rows[table.n] = entry(name, "a", NOW - 5000);
		rows[table.n].removed = 1;
	}
	m = entry("flood", "b", NOW);
	m.removed = 1;
	refused(says("b", &m), "more names", "names of the dead have a limit too");
	m = rows[1];
	m.incarnation++;
	is_int(says("b", &m), ADMIT_TAKE, "who is in may still move");
}

static void
joining(void)
{
	struct member m = entry("d", "", 0);

	ok(admit_join(&table, &m) == NULL, "a newcomer");
	m = rows[1];
	ok(admit_join(&table, &m) == NULL, "the same node once more");
	snprintf(m.user_key, sizeof(m.user_key), KEY "other");
	ok(admit_join(&table, &m) != NULL, "another node under a member's name");
	m = entry("d", "", 0);
	memcpy(m.user_key, rows[2].user_key, sizeof(m.user_key));
	ok(admit_join(&table, &m) != NULL, "a member's key under another name");
	m = entry("a", "", 0);
	ok(admit_join(&table, &m) != NULL, "the inviting node's name");
	m = entry("x", "", 0);
	ok(admit_join(&table, &m) == NULL, "one that was removed");
	m.user_key[0] = '\0';
	ok(admit_join(&table, &m) != NULL, "without a key");
}

int
main(void)
{
	reset();
	honest();
	about_self();
	forged();
	joining();
	full();
	return tap_done();
}
