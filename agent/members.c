/* SPDX-License-Identifier: BSD-2-Clause */
/* The member table on disk, and the line that introduces a node. */
#include "config.h"

#include "agent/members.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/commit.h"
#include "agent/gossip.h"
#include "agent/hostport.h"
#include "agent/invites.h"
#include "agent/smallfile.h"
#include "conf/clock.h"
#include "conf/spawn.h"

#define LINE_VERSION "mimeo1"
#define TABLE_FILE "members"
#define TAG " mimeo:" /* ends every line of ours in authorized_keys and known_hosts */

/* ---- this node's line ---- */

/* The first two words of a public key file, which must be an ed25519 key. */
static int
public_key(const char *path, char out[MEMBER_KEY_BYTES_MAX + 1], char *err, size_t err_len)
{
	struct buf b = {0};
	int r = smallfile_read(path, &b);
	const char *p = (const char *)b.data;
	size_t n = 0;

	if (r < 0) {
		snprintf(err, err_len, "%s: cannot be read: %s", path, strerror(-r));
	} else {
		assert(p != NULL); /* read_file ends every text with a zero */
		n = strcspn(p, " ");
		n += p[n] == ' ' ? 1 + strcspn(p + n + 1, " \r\n") : 0;
		if (strncmp(p, "ssh-ed25519 ", 12) != 0 || n > MEMBER_KEY_BYTES_MAX) {
			snprintf(err, err_len,
				 "%s: not an ed25519 public key (RSA does not work here): make one "
				 "with ssh-keygen -t ed25519",
				 path);
			r = -EINVAL;
		}
	}
	if (r == 0) {
		memcpy(out, p, n);
		out[n] = '\0';
	}
	buf_free(&b);
	return r;
}

static int
host_key(const struct settings *c, char out[MEMBER_KEY_BYTES_MAX + 1], char *err, size_t err_len)
{
	char path[4200];
	int r;

	snprintf(path, sizeof(path), "%s/ssh_host_ed25519_key.pub", c->state);
	r = public_key(path, out, err, err_len);
	return r == 0 ? 0 : public_key("/etc/ssh/ssh_host_ed25519_key.pub", out, err, err_len);
}

int
members_self(const struct settings *c, struct member *m, char *err, size_t err_len)
{
	char path[4200];
	size_t at = 0;
	int r;

	*m = (struct member){0};
	snprintf(m->name, sizeof(m->name), "%s", c->name);
	snprintf(m->user, sizeof(m->user), "%s", c->ssh_user);
	for (size_t i = 0; i < c->address.count && at < sizeof(m->address); i++)
		at += (size_t)snprintf(m->address + at, sizeof(m->address) - at, "%s%s",
				       i > 0 ? "," : "", c->address.items[i].text);
	snprintf(path, sizeof(path), "%s.pub", c->ssh_key);
	r = public_key(path, m->user_key, err, err_len);
	if (r == 0)
		r = host_key(c, m->host_key, err, err_len);
	/* Nobody dials a node without an address: it needs no sshd. */
	return r == -ENOENT && m->user_key[0] != '\0' && m->address[0] == '\0' ? 0 : r;
}

int
members_line(const struct settings *conf, struct buf *out, char *err, size_t err_len)
{
	char line[MEMBER_ADDRESS_BYTES_MAX + 2 * MEMBER_KEY_BYTES_MAX + 256];
	struct member m;
	int r = members_self(conf, &m, err, err_len), n;

	if (r < 0)
		return r;
	n = snprintf(line, sizeof(line), LINE_VERSION " %s %s %s %s %s\n", m.name,
		     m.address[0] != '\0' ? m.address : "-", m.user, m.user_key,
		     m.host_key[0] != '\0' ? m.host_key : "-");
	buf_put(out, line, (size_t)n);
	return out->failed ? -ENOMEM : 0;
}

/* ---- somebody else's line ---- */

static bool
take_word(const char **p, char *out, size_t size)
{
	size_t n;

	*p += strspn(*p, " \t");
	n = strcspn(*p, " \t\r\n");
	if (n == 0 || n >= size)
		return false;
	memcpy(out, *p, n);
	out[n] = '\0';
	*p += n;
	return true;
}

static bool
take_key(const char **p, char out[MEMBER_KEY_BYTES_MAX + 1])
{
	char kind[32], body[MEMBER_KEY_BYTES_MAX - 32];

	if (!take_word(p, kind, sizeof(kind)) || !take_word(p, body, sizeof(body)) ||
	    strcmp(kind, "ssh-ed25519") != 0)
		return false;
	snprintf(out, MEMBER_KEY_BYTES_MAX + 1, "%s %s", kind, body);
	return true;
}

/* A node that nobody dials may have none. */
static bool
take_host_key(const char **p, struct member *m)
{
	char none[2];
	const char *at = *p;

	if (strcmp(m->address, "-") == 0 && take_word(&at, none, sizeof(none)) &&
	    strcmp(none, "-") == 0) {
		*p = at;
		return true;
	}
	return take_key(p, m->host_key);
}

bool
members_addresses_ok(const char *list)
{
	char text[HOSTPORT_TEXT_MAX + 1];
	struct hostport hp;

	while (*list != '\0') {
		size_t n = strcspn(list, ",");

		if (n == 0 || n >= sizeof(text))
			return false;
		memcpy(text, list, n);
		text[n] = '\0';
		if (hostport_parse(&hp, text) < 0)
			return false;
		list += n + (list[n] == ',');
	}
	return true;
}

int
members_parse(const char *line, struct member *m, char *err, size_t err_len)
{
	const char *p = line;
	char version[16];
	struct buf b = {0};
	struct cur c;
	struct member check;
	const char *what = NULL;

	*m = (struct member){0};
	if (!take_word(&p, version, sizeof(version)) || strcmp(version, LINE_VERSION) != 0)
		what = "it does not begin with " LINE_VERSION;
	else if (!take_word(&p, m->name, sizeof(m->name)) ||
		 !member_name_ok(m->name, strlen(m->name)))
		what = "the name is not one (a-z 0-9 -, 1 to 63)";
	else if (!take_word(&p, m->address, sizeof(m->address)))
		what = "the address is missing (HOST:PORT, or - for none)";
	else if (!take_word(&p, m->user, sizeof(m->user)))
		what = "the user is missing";
	else if (!take_key(&p, m->user_key) || !take_host_key(&p, m))
		what = "it needs two ssh-ed25519 keys, the user's and the host's";
	if (what == NULL && strcmp(m->address, "-") == 0)
		m->address[0] = '\0';
	if (what == NULL && !members_addresses_ok(m->address))
		what = "the address is not HOST:PORT";
	if (what == NULL && p[strspn(p, " \t\r\n")] != '\0')
		what = "there is something behind the host key";
	if (what == NULL) {
		member_encode(&b, m);
		c = cur_of(b.data, b.len);
		if (b.failed || member_decode(&c, &check) < 0)
			what = "a field holds what may not be there";
		buf_free(&b);
	}
	if (what == NULL)
		return 0;
	snprintf(err, err_len, "not a line of `mimeo key`: %s", what);
	return -EINVAL;
}

/* ---- authorized_keys and known_hosts ---- */

/* Copies the lines that are not ours. */
static int
keep_foreign(const char *path, struct buf *out)
{
	struct buf old = {0};
	int r = smallfile_read(path, &old);
	char *line = (char *)old.data, *end;

	if (r == -ENOENT)
		r = 0;
	for (; r == 0 && line != NULL && *line != '\0'; line = end) {
		char *tag;
		size_t n = strcspn(line, "\n");

		end = line + n + (line[n] == '\n');
		line[n] = '\0';
		tag = strstr(line, TAG);
		if (tag != NULL && member_name_ok(tag + strlen(TAG), strlen(tag + strlen(TAG))))
			continue;
		buf_put(out, line, n);
		buf_put_u8(out, '\n');
	}
	buf_free(&old);
	return r < 0 ? r : out->failed ? -ENOMEM : 0;
}

/* Does the first word of the line, a comma list, have the name? *rest: behind it. */
static bool
names(const char *line, size_t len, const char *name, size_t *rest)
{
	size_t end = 0, n = strlen(name);
	bool found = false;

	while (end < len && line[end] != ' ') {
		size_t item = 0;

		while (end + item < len && line[end + item] != ' ' && line[end + item] != ',')
			item++;
		found = found || (item == n && memcmp(line + end, name, n) == 0);
		end += item;
		end += end < len && line[end] == ',';
	}
	while (end < len && line[end] == ' ')
		end++;
	*rest = end;
	return found;
}

static bool
pins(const char *line, size_t len, const char *name, const char *host_key)
{
	static const char kind[] = "ssh-ed25519 ";
	size_t at, n;

	if (!names(line, len, name, &at))
		return false;
	if (host_key == NULL)
		return len - at > sizeof(kind) - 1 &&
		       memcmp(line + at, kind, sizeof(kind) - 1) == 0;
	n = strlen(host_key);
	return len - at >= n && memcmp(line + at, host_key, n) == 0 &&
	       (len - at == n || line[at + n] == ' ' || line[at + n] == '\r');
}

bool
members_pinned(const struct settings *conf, const char *name, const char *host_key)
{
	struct buf b = {0};
	bool found = false;

	if (smallfile_read(conf->ssh_known_hosts, &b) == 0)
		for (const char *line = (const char *)b.data; !found && *line != '\0';) {
			size_t n = strcspn(line, "\n");

			found = pins(line, n, name, host_key);
			line += n + (line[n] == '\n');
		}
	buf_free(&b);
	return found;
}

static void
put_texts(struct buf *b, const char *const *parts, size_t n)
{
	for (size_t i = 0; i < n; i++)
		buf_put(b, parts[i], strlen(parts[i]));
}

static void
put_authorized(const struct settings *c, const struct member *m, struct buf *b)
{
	const char *const parts[] = {"restrict,command=\"",
				     spawn_libexec(),
				     "/attach --peer ",
				     m->name,
				     " --socket ",
				     c->run,
				     "/attach.sock\" ",
				     m->user_key,
				     TAG,
				     m->name,
				     "\n"};

	put_texts(b, parts, ARRAY_LEN(parts));
}

/* sshd looks at the time by itself: an invitation that is over is no key at all. */
static void
put_invited(const struct settings *c, const struct invite *i, struct buf *b)
{
	time_t at = (time_t)(i->expires_ms / 1000);
	struct tm tm;
	char until[32];
	const char *const parts[] = {"restrict,expiry-time=\"",
				     until,
				     "\",command=\"",
				     spawn_libexec(),
				     "/attach --invite ",
				     i->id,
				     " --socket ",
				     c->run,
				     "/attach.sock\" ",
				     i->key,
				     TAG,
				     "invite-",
				     i->id,
				     "\n"};

	gmtime_r(&at, &tm);
	strftime(until, sizeof(until), "%Y%m%d%H%M%SZ", &tm);
	put_texts(b, parts, ARRAY_LEN(parts));
}

static void
put_known_host(const struct member *m, struct buf *b)
{
	const char *const parts[] = {m->name, " ", m->host_key, TAG, m->name, "\n"};

	if (m->host_key[0] != '\0')
		put_texts(b, parts, ARRAY_LEN(parts));
}

/* Is this node one itself? One that left, or was forgotten, lets nobody in and dials nobody. */
static bool
belongs(const struct settings *c, const struct member *m, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(m[i].name, c->name) == 0)
			return m[i].removed == 0;
	return true;
}

int
members_authorized(const struct settings *conf, const struct member *m, size_t n, struct buf *out)
{
	struct invites invites;
	int r = invites_read(conf->state, clock_wall_ms(), &invites);

	if (r < 0)
		return r;
	for (size_t i = 0; i < n && belongs(conf, m, n); i++)
		if (m[i].removed == 0 && strcmp(m[i].name, conf->name) != 0 &&
		    m[i].user_key[0] != '\0')
			put_authorized(conf, &m[i], out);
	for (size_t i = 0; i < invites.n; i++)
		put_invited(conf, &invites.v[i], out);
	return out->failed ? -ENOMEM : 0;
}

static int
write_one(const char *path, const struct settings *c, const struct member *m, size_t n, bool keys,
	  char *err, size_t err_len)
{
	struct buf b = {0};
	int r = keep_foreign(path, &b);

	if (r == 0 && keys)
		r = members_authorized(c, m, n, &b);
	for (size_t i = 0; r == 0 && !keys && i < n; i++)
		if (m[i].removed == 0 && strcmp(m[i].name, c->name) != 0)
			put_known_host(&m[i], &b);
	if (r == 0)
		r = b.failed ? -ENOMEM : smallfile_replace(path, b.data, b.len);
	buf_free(&b);
	if (r < 0)
		snprintf(err, err_len, "%s: cannot be written: %s", path, strerror(-r));
	return r;
}

/* The table in plain text, for the day on which the WAL loses an entry of it. */
static int
write_table(const struct settings *c, const struct member *m, size_t n, char *err, size_t err_len)
{
	struct buf b = {0};
	char path[4200];
	int r;

	for (size_t i = 0; i < n; i++) {
		const char *const parts[] = {LINE_VERSION,
					     " ",
					     m[i].name,
					     " ",
					     m[i].address[0] != '\0' ? m[i].address : "-",
					     " ",
					     m[i].user,
					     " ",
					     m[i].user_key,
					     " ",
					     m[i].host_key,
					     "\n"};

		if (m[i].removed != 0 || strcmp(m[i].name, c->name) == 0)
			continue;
		for (size_t k = 0; k < ARRAY_LEN(parts); k++)
			buf_put(&b, parts[k], strlen(parts[k]));
	}
	snprintf(path, sizeof(path), "%s/" TABLE_FILE, c->state);
	r = b.failed ? -ENOMEM : smallfile_replace(path, b.data, b.len);
	buf_free(&b);
	if (r < 0)
		snprintf(err, err_len, "%s: cannot be written: %s", path, strerror(-r));
	return r;
}

int
members_write_files(const struct settings *conf, const struct member *m, size_t n, char *err,
		    size_t err_len)
{
	int r;

	if (strpbrk(conf->run, "\"\\\n ") != NULL || strpbrk(spawn_libexec(), "\"\\\n ") != NULL) {
		snprintf(err, err_len,
			 "a path in the forced command has a quote, backslash or blank: %s, %s",
			 spawn_libexec(), conf->run);
		return -EINVAL;
	}
	r = write_one(conf->ssh_authorized_keys, conf, m, n, true, err, err_len);
	if (r == 0)
		r = write_one(conf->ssh_known_hosts, conf, m, n, false, err, err_len);
	return r < 0 ? r : write_table(conf, m, n, err, err_len);
}

/* ---- changes that this node makes ---- */

static uint64_t
later(uint64_t than, uint64_t wall_ms)
{
	return than >= wall_ms ? than + 1 : wall_ms;
}

void
members_admission(struct member *m, const struct member *old, const char *by, uint64_t wall_ms)
{
	m->removed = 0;
	m->admitted = later(old != NULL ? old->admitted : 0, wall_ms);
	m->incarnation = later(old != NULL ? old->incarnation : 0, wall_ms);
	memset(m->admitted_by, 0, sizeof(m->admitted_by));
	snprintf(m->admitted_by, sizeof(m->admitted_by), "%s", by);
}

void
members_removal(struct member *m, const char *by, uint64_t wall_ms)
{
	m->removed = 1;
	m->admitted = m->admitted > wall_ms ? m->admitted : wall_ms;
	m->incarnation = later(m->incarnation, wall_ms);
	memset(m->admitted_by, 0, sizeof(m->admitted_by));
	snprintf(m->admitted_by, sizeof(m->admitted_by), "%s", by);
}

void
members_put(struct node *n, const struct member *m)
{
	struct buf blob = {0};

	member_encode(&blob, m);
	if (blob.failed)
		n->fatal(n->arg, "out of memory for a member", -ENOMEM);
	else
		commit_put(n->commit, &(struct entry){.type = ENTRY_MEMBER,
						      .blob = blob.data,
						      .blob_len = blob.len});
	buf_free(&blob);
}

void
members_admit(struct node *n, struct member *m)
{
	const struct member *self = index_member(n->index, n->conf->name);
	struct member first;

	if (self != NULL && (self->admitted == 0 || self->removed != 0)) {
		first = *self; /* nobody let this node in: the cluster begins with it */
		members_admission(&first, self, n->conf->name, n->wall_ms);
		gossip_put(n->gossip, &first);
	}
	members_admission(m, index_member(n->index, m->name), n->conf->name, n->wall_ms);
	gossip_put(n->gossip, m);
}

/* ---- at start ---- */

static bool
same_entry(const struct member *a, const struct member *b)
{
	return strcmp(a->address, b->address) == 0 && strcmp(a->user, b->user) == 0 &&
	       member_same_keys(a, b) && a->store == b->store;
}

void
members_own(struct node *n)
{
	const struct member *old = index_member(n->index, n->conf->name);
	struct member me;
	char why[512];

	if (members_self(n->conf, &me, why, sizeof(why)) < 0) {
		LOG(n->log, LOG_WARN, "members.self",
		    why); /* it can still dial, or be dialled, with what the others know */
		return;
	}
	me.store = n->store;
	if (old != NULL) {
		memcpy(me.admitted_by, old->admitted_by, sizeof(me.admitted_by));
		me.admitted = old->admitted;
		me.removed = old->removed;
		if (same_entry(old, &me))
			return;
	}
	me.incarnation = later(old != NULL ? old->incarnation : 0, n->wall_ms);
	gossip_put(n->gossip, &me);
}

/* A salvaged WAL may have lost members: those that the plain table has come back. Any other word
 * about them is newer. */
static int
recover_lost(struct node *n, struct member **all, size_t *count)
{
	struct buf text = {0};
	char path[4200], why[512];
	struct member m, *grown;
	char *line, *end;
	int r;

	snprintf(path, sizeof(path), "%s/" TABLE_FILE, n->conf->state);
	r = smallfile_read(path, &text);
	for (line = (char *)text.data; r == 0 && line != NULL && *line != '\0'; line = end) {
		size_t len = strcspn(line, "\n");

		end = line + len + (line[len] == '\n');
		line[len] = '\0';
		if (members_parse(line, &m, why, sizeof(why)) < 0 ||
		    index_member(n->index, m.name) != NULL)
			continue;
		grown = realloc(*all, (*count + 1) * sizeof(m));
		if (grown == NULL) {
			r = -ENOMEM;
			break;
		}
		m.incarnation = 1;
		*all = grown;
		grown[(*count)++] = m;
		members_put(n, &m);
		LOG(n->log, LOG_WARN, "members.recovered",
		    "the WAL had lost this member: it is taken from the table beside it",
		    log_s("member", m.name));
	}
	buf_free(&text);
	return r == -ENOENT ? 0 : r;
}

static int
write_files(struct node *n, char *err, size_t err_len)
{
	size_t count = n->index->nmembers;
	struct member *all = malloc((count + 1) * sizeof(*all));
	int r = all != NULL ? 0 : -ENOMEM;

	if (r == 0 && count > 0)
		memcpy(all, n->index->members, count * sizeof(*all));
	if (r == 0 && wal_info(n->wal)->salvaged)
		r = recover_lost(n, &all, &count);
	if (r < 0)
		snprintf(err, err_len, "%s/" TABLE_FILE ": cannot be read: %s", n->conf->state,
			 strerror(-r));
	else
		r = members_write_files(n->conf, all, count, err, err_len);
	free(all);
	return r;
}

int
members_start(struct node *n, char *err, size_t err_len)
{
	members_own(n);
	return write_files(n, err, err_len);
}
