/* SPDX-License-Identifier: BSD-2-Clause */
/* The configuration: from text to the struct, with every value checked. */
#include "config.h"

#include "conf/settings.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/ini.h"
#include "conf/settings_check.h"
#include "conf/settings_set.h"

#define PLACE_BYTES 4096
#define KEYS_MAX 64 /* of the table; only sizes an array */

#define PEER_SECTION "peer"
#define WORK_DEFAULT "DIRNAME(root)/.mimeo-BASENAME(root)"
#define STATE_PREFIX "STATE/"

/* In which line each key of one section (or of all but the peers) was given; 0: not yet. */
struct seen {
	uint32_t line[KEYS_MAX];
};

/* One text being read. */
struct reader {
	struct settings *s;
	const struct settings_key *keys;
	size_t key_count;
	struct seen seen;
	struct seen *peer_seen; /* one for each of s->peers */
	const char *section;    /* of the table */
	size_t peer;            /* index of the open [peer NAME] */
	uint32_t node_line;     /* of the first [node] */
	uint32_t line;
	struct ini_problem problem;
};

static int refuse(struct reader *r, const char *fmt, ...) PRINTF(2, 3);

static int
refuse(struct reader *r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(r->problem.text, sizeof(r->problem.text), fmt, ap);
	va_end(ap);
	r->problem.line = r->line;
	return -EINVAL;
}

/* ---- defaults ---- */

static bool
is_peer_key(const struct settings_key *k)
{
	return strcmp(k->section, PEER_SECTION) == 0;
}

/* Does the default depend on other keys? */
static bool
is_derived(const struct settings_key *k)
{
	return strncmp(k->def, STATE_PREFIX, strlen(STATE_PREFIX)) == 0 ||
	       strcmp(k->def, WORK_DEFAULT) == 0;
}

/* The plain defaults of either the peer or all other sections. A default that is refused is our
 * mistake. */
static int
set_defaults(struct reader *r, void *base, bool peer)
{
	for (size_t i = 0; i < r->key_count; i++) {
		const struct settings_key *k = &r->keys[i];
		int rc;

		if (is_peer_key(k) != peer || !k->def || is_derived(k))
			continue;
		rc = settings_set(k, base, k->def, &r->problem);
		assert(rc != -EINVAL);
		if (rc)
			return rc;
	}
	return 0;
}

static char **
field_string(struct reader *r, const struct settings_key *k)
{
	return (char **)(void *)((char *)r->s + k->offset);
}

/* In which line a field of struct settings was given. */
static uint32_t *
seen_line(struct reader *r, size_t offset)
{
	for (size_t i = 0;; i++) {
		assert(i < r->key_count);
		if (!is_peer_key(&r->keys[i]) && r->keys[i].offset == offset)
			return &r->seen.line[i];
	}
}

static char *
derived_text(const struct settings *s, const char *def)
{
	const char *slash = strrchr(s->root, '/');
	char *text = NULL;
	int n;

	if (strcmp(def, WORK_DEFAULT) == 0)
		n = asprintf(&text, "%.*s/.mimeo-%s", (int)(slash - s->root), s->root, slash + 1);
	else
		n = asprintf(&text, "%s/%s", s->state, def + strlen(STATE_PREFIX));
	return n < 0 ? NULL : text;
}

/* Fills in what was not given and depends on root or state, which are there. Its line is theirs. */
static int
set_derived(struct reader *r)
{
	for (size_t i = 0; i < r->key_count; i++) {
		const struct settings_key *k = &r->keys[i];
		bool work = k->def && strcmp(k->def, WORK_DEFAULT) == 0;

		if (is_peer_key(k) || r->seen.line[i] || !k->def || !is_derived(k))
			continue;
		*field_string(r, k) = derived_text(r->s, k->def);
		if (!*field_string(r, k))
			return -ENOMEM;
		r->seen.line[i] = *seen_line(r, work ? offsetof(struct settings, root)
						     : offsetof(struct settings, state));
	}
	return 0;
}

/* ---- sections and keys as they come ---- */

/* Finds the [peer NAME], or makes it with its defaults. */
static int
open_peer(struct reader *r, const char *name)
{
	struct settings_peer *peers;
	struct seen *seen;

	for (r->peer = 0; r->peer < r->s->peer_count; r->peer++) {
		if (strcmp(r->s->peers[r->peer].name, name) == 0)
			return 0;
	}
	if (r->peer == SETTINGS_PEERS_MAX)
		return refuse(r, "too many [peer NAME] sections, allowed are %d",
			      SETTINGS_PEERS_MAX);
	peers = realloc(r->s->peers, (r->peer + 1) * sizeof(*peers));
	if (!peers)
		return -ENOMEM;
	r->s->peers = peers;
	seen = realloc(r->peer_seen, (r->peer + 1) * sizeof(*seen));
	if (!seen)
		return -ENOMEM;
	r->peer_seen = seen;
	seen[r->peer] = (struct seen){0};
	peers[r->peer] = (struct settings_peer){0};
	r->s->peer_count++;
	peers[r->peer].name = strdup(name);
	return peers[r->peer].name ? set_defaults(r, &peers[r->peer], true) : -ENOMEM;
}

/* Appends to a text of that size, as far as it fits. */
static void
append(char *text, size_t size, const char *more)
{
	size_t len = strlen(text);

	snprintf(text + len, size - len, "%s", more);
}

static int
refuse_section(struct reader *r, const char *section)
{
	char list[INI_PROBLEM_BYTES_MAX] = "";
	const char *last = "";

	for (size_t i = 0; i < r->key_count; i++) {
		if (is_peer_key(&r->keys[i]) || strcmp(r->keys[i].section, last) == 0)
			continue;
		last = r->keys[i].section;
		append(list, sizeof(list), "[");
		append(list, sizeof(list), last);
		append(list, sizeof(list), "], ");
	}
	return refuse(r, "unknown section [%s], allowed are %s[peer NAME]", section, list);
}

static int
refuse_key(struct reader *r, const char *key)
{
	char list[INI_PROBLEM_BYTES_MAX] = "";

	for (size_t i = 0; i < r->key_count; i++) {
		if (strcmp(r->keys[i].section, r->section) != 0)
			continue;
		append(list, sizeof(list), list[0] ? ", " : "");
		append(list, sizeof(list), r->keys[i].name);
	}
	return refuse(r, "unknown key '%s' in [%s], allowed are %s", key, r->section, list);
}

static int
take_peer_section(struct reader *r, const char *section)
{
	const char *name = section + strlen(PEER_SECTION);

	name += strspn(name, " \t");
	if (!value_name_ok(name))
		return refuse(r,
			      "[%s] has no proper name, allowed is [peer NAME] with 1 to 63 of "
			      "a-z 0-9 -, with no - at either end",
			      section);
	r->section = PEER_SECTION;
	return open_peer(r, name);
}

static int
take_section(struct reader *r, const char *section)
{
	size_t peer = strlen(PEER_SECTION);

	if (strncmp(section, PEER_SECTION, peer) == 0 && strchr(" \t", section[peer]))
		return take_peer_section(r, section);
	for (size_t i = 0; i < r->key_count; i++) {
		if (strcmp(r->keys[i].section, section) != 0)
			continue;
		r->section = r->keys[i].section;
		if (r->node_line == 0 && strcmp(section, "node") == 0)
			r->node_line = r->line;
		return 0;
	}
	return refuse_section(r, section);
}

/* The first `ignore` of the file replaces the default, the others add to it. */
static int
forget_default_ignore(struct reader *r)
{
	ignore_free(r->s->ignore);
	r->s->ignore = ignore_new();
	return r->s->ignore ? 0 : -ENOMEM;
}

static int
take_key(struct reader *r, size_t i, const char *value)
{
	const struct settings_key *k = &r->keys[i];
	bool peer = is_peer_key(k);
	uint32_t *seen = peer ? &r->peer_seen[r->peer].line[i] : &r->seen.line[i];

	if (*seen && k->type != SETTINGS_T_IGNORE)
		return refuse(r,
			      "%s.%s is given twice, first in line %u; only watch.ignore may "
			      "repeat",
			      k->section, k->name, *seen);
	if (!*seen && k->type == SETTINGS_T_IGNORE && forget_default_ignore(r))
		return -ENOMEM;
	*seen = r->line;
	r->problem.line = r->line;
	return settings_set(k, peer ? (void *)&r->s->peers[r->peer] : (void *)r->s, value,
			    &r->problem);
}

static int
take_entry(void *arg, uint32_t line, const char *section, const char *key, const char *value)
{
	struct reader *r = arg;

	r->line = line;
	if (!key)
		return take_section(r, section);
	for (size_t i = 0; i < r->key_count; i++) {
		if (strcmp(r->keys[i].section, r->section) == 0 &&
		    strcmp(r->keys[i].name, key) == 0)
			return take_key(r, i, value);
	}
	return refuse_key(r, key);
}

/* ---- what can be told only when all is read ---- */

static void
check_missing(struct reader *r, struct ini_problem *first)
{
	for (size_t i = 0; i < r->key_count; i++) {
		const struct settings_key *k = &r->keys[i];

		if (!k->def && r->seen.line[i] == 0)
			settings_note(first, r->node_line ? r->node_line : 1,
				      "%s.%s is missing, it has to be given", k->section, k->name);
	}
}

/* A timeout that was not given is known only at the end. */
static void
check_ping(struct reader *r, bool at_end, struct ini_problem *first)
{
	uint32_t ping = *seen_line(r, offsetof(struct settings, ping_ms));
	uint32_t timeout = *seen_line(r, offsetof(struct settings, timeout_ms));
	char a[VALUE_TEXT_BYTES_MAX], b[VALUE_TEXT_BYTES_MAX];

	if ((!at_end && (!ping || !timeout)) || r->s->ping_ms < r->s->timeout_ms)
		return;
	value_duration_text(r->s->ping_ms, a);
	value_duration_text(r->s->timeout_ms, b);
	settings_note(first, ping > timeout ? ping : timeout,
		      "sync.ping %s is not shorter than sync.timeout %s, allowed is a shorter one",
		      a, b);
}

/* The agent looks no name up while everything else waits for it. */
static void
check_serf(struct reader *r, struct ini_problem *first)
{
	const char *host = r->s->serf.host;
	struct in6_addr any;

	if (r->s->serf.text == NULL || strcmp(host, "localhost") == 0 ||
	    inet_pton(AF_INET, host, &any) == 1 || inet_pton(AF_INET6, host, &any) == 1)
		return;
	settings_note(first, *seen_line(r, offsetof(struct settings, serf)),
		      "discovery.serf: '%s' is a name, allowed is an IP address or localhost, with "
		      "a port",
		      host);
}

static void
check_run(struct reader *r, struct ini_problem *first)
{
	size_t len = r->s->run ? strlen(r->s->run) : 0;

	if (len > SETTINGS_RUN_BYTES_MAX)
		settings_note(first, *seen_line(r, offsetof(struct settings, run)),
			      "node.run '%s' has %zu bytes, allowed are %d", r->s->run, len,
			      SETTINGS_RUN_BYTES_MAX);
}

/* Who may log in to this account is written there. */
static bool
ssh_home(char out[PLACE_BYTES])
{
	struct passwd pw, *found = NULL;
	char text[PLACE_BYTES];
	int n;

	if (getpwuid_r(geteuid(), &pw, text, sizeof(text), &found) != 0 || found == NULL ||
	    found->pw_dir[0] != '/')
		return false;
	n = snprintf(out, PLACE_BYTES, "%s/.ssh", found->pw_dir);
	return n > 0 && n < PLACE_BYTES;
}

/* Where everything lies, as it is known by now. */
static void
places_fill(struct reader *r, const char *file, struct settings_place places[SETTINGS_PLACES])
{
	static const struct {
		enum settings_place_id id;
		size_t offset;
	} from[] = {
		{SETTINGS_ROOT, offsetof(struct settings, root)},
		{SETTINGS_STATE, offsetof(struct settings, state)},
		{SETTINGS_WORK, offsetof(struct settings, work)},
		{SETTINGS_RUN, offsetof(struct settings, run)},
		{SETTINGS_KEY, offsetof(struct settings, ssh_key)},
		{SETTINGS_KNOWN_HOSTS, offsetof(struct settings, ssh_known_hosts)},
		{SETTINGS_AUTHORIZED_KEYS, offsetof(struct settings, ssh_authorized_keys)},
		{SETTINGS_HOOK, offsetof(struct settings, hook_applied)},
	};

	for (size_t i = 0; i < ARRAY_LEN(from); i++) {
		const char *base = (const char *)r->s + from[i].offset;

		memcpy(&places[from[i].id].path, base, sizeof(places[0].path));
		places[from[i].id].line = *seen_line(r, from[i].offset);
	}
	places[SETTINGS_SSH_HOME] = (struct settings_place){NULL, 0};
	places[SETTINGS_FILE] = (struct settings_place){file[0] == '/' ? file : NULL, 0};
}

/*
 * The path with symbolic links followed as far as it exists; the rest as it is. 0 and *out, the
 * caller's to free; *out is NULL for a relative path that is not there. -ENOMEM.
 */
static int
resolve(const char *path, char **out)
{
	char *head = strdup(path), *real = NULL, *slash;
	int rc = head ? 0 : -ENOMEM;

	*out = NULL;
	while (!rc && head[0] != '\0' && !(real = realpath(head, NULL))) {
		slash = strrchr(head, '/');
		if (errno == ENOMEM)
			rc = -ENOMEM;
		if (rc || !slash)
			goto out;
		*slash = '\0';
	}
	if (!rc && asprintf(out, "%s%s", real && strcmp(real, "/") != 0 ? real : "",
			    path + strlen(head)) < 0) {
		*out = NULL;
		rc = -ENOMEM;
	}
out:
	free(head);
	free(real);
	return rc;
}

/* The places once more, with symbolic links followed. */
static int
check_resolved(struct reader *r, const char *file, struct ini_problem *first)
{
	struct settings_place places[SETTINGS_PLACES];
	char *real[SETTINGS_PLACES] = {NULL};
	char ssh[PLACE_BYTES];
	int rc = 0;

	places_fill(r, file, places);
	places[SETTINGS_FILE].path = file;
	if (ssh_home(ssh))
		places[SETTINGS_SSH_HOME].path = ssh;
	for (int i = 0; i < SETTINGS_PLACES && !rc; i++) {
		if (!places[i].path)
			continue;
		rc = resolve(places[i].path, &real[i]);
		places[i].path = real[i];
	}
	if (!rc)
		settings_check(places, first);
	for (int i = 0; i < SETTINGS_PLACES; i++)
		free(real[i]);
	return rc;
}

/* A seed for this very node is no peer. */
static void
drop_self(struct settings *s)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->peer_count; i++) {
		struct settings_peer *peer = &s->peers[i];

		if (strcmp(peer->name, s->name) != 0) {
			s->peers[kept++] = *peer;
			continue;
		}
		free(peer->name);
		free(peer->user);
		settings_set_addresses_free(&peer->address);
	}
	s->peer_count = kept;
}

/* ---- all of it ---- */

/*
 * Reads the text and checks the whole; the first problem goes to *first. When the text ended early,
 * what was read until then may still hold an earlier one.
 */
static int
read_all(struct reader *r, const char *file, const char *text, size_t len, bool follow,
	 struct ini_problem *first)
{
	struct settings_place places[SETTINGS_PLACES];
	int rc = set_defaults(r, r->s, false);
	bool at_end;

	if (!rc)
		rc = ini_scan(text, len, take_entry, r, &r->problem);
	if (rc && rc != -EINVAL)
		return rc;
	at_end = rc == 0;
	if (!at_end)
		*first = r->problem;
	else
		check_missing(r, first);
	if (r->s->root && r->s->state && at_end && (rc = set_derived(r)))
		return rc;
	places_fill(r, file, places);
	settings_check(places, first);
	check_ping(r, at_end, first);
	check_run(r, first);
	check_serf(r, first);
	if (first->line == 0 && follow && (rc = check_resolved(r, file, first)))
		return rc;
	return first->line == 0 ? 0 : -EINVAL;
}

static int
fail(int rc, char *err, size_t errlen, const char *file, const char *what)
{
	snprintf(err, errlen, "%s: %s: %s", file, what, strerror(-rc));
	return rc;
}

static int
parse(const char *file, const char *text, size_t len, bool follow, struct settings **out, char *err,
      size_t errlen)
{
	struct reader r = {.s = calloc(1, sizeof(*r.s))};
	struct ini_problem first = {0};
	int rc = -ENOMEM;

	*out = NULL;
	r.keys = settings_keys(&r.key_count);
	assert(r.key_count <= KEYS_MAX);
	if (r.s)
		r.s->ignore = ignore_new();
	if (r.s && r.s->ignore)
		rc = read_all(&r, file, text, len, follow, &first);
	if (rc == -EINVAL) {
		snprintf(err, errlen, "%s:%u: %s", file, first.line, first.text);
	} else if (rc) {
		fail(rc, err, errlen, file, "cannot read");
	} else {
		drop_self(r.s);
		*out = r.s;
		r.s = NULL;
	}
	settings_free(r.s);
	free(r.peer_seen);
	return rc;
}

int
settings_parse(const char *file, const char *text, size_t len, struct settings **out, char *err,
	       size_t errlen)
{
	return parse(file, text, len, false, out, err, errlen);
}

/* Reads until the end, or until there is more than a configuration may have. */
static int
read_file(int fd, char *text, size_t size, size_t *len)
{
	*len = 0;
	while (*len < size) {
		ssize_t n = read(fd, text + *len, size - *len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		*len += (size_t)n;
	}
	return 0;
}

int
settings_load(const char *file, struct settings **out, char *err, size_t errlen)
{
	size_t size = INI_BYTES_MAX + 1, len;
	char *text = NULL;
	int fd, rc;

	*out = NULL;
	fd = open(file, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return fail(-errno, err, errlen, file, "cannot open");
	text = malloc(size);
	rc = text ? read_file(fd, text, size, &len) : -ENOMEM;
	if (rc)
		fail(rc, err, errlen, file, "cannot read");
	else
		rc = parse(file, text, len, true, out, err, errlen);
	free(text);
	close(fd);
	return rc;
}

void
settings_free(struct settings *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->peer_count; i++) {
		free(s->peers[i].name);
		free(s->peers[i].user);
		settings_set_addresses_free(&s->peers[i].address);
	}
	free(s->peers);
	free(s->name);
	free(s->root);
	free(s->state);
	free(s->work);
	free(s->run);
	settings_set_addresses_free(&s->address);
	ignore_free(s->ignore);
	free(s->owner_user);
	free(s->owner_group);
	value_address_free(&s->http_listen);
	free(s->hook_applied);
	free(s->ssh_key);
	free(s->ssh_known_hosts);
	free(s->ssh_authorized_keys);
	free(s->ssh_user);
	value_address_free(&s->serf);
	free(s->serf_key);
	free(s->dns);
	free(s);
}
