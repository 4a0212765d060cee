/* SPDX-License-Identifier: BSD-2-Clause */
/* An invitation as text. */
#include "config.h"

#include "agent/ticket.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/members.h"

#define BEGIN "-----BEGIN MIMEO INVITATION-----"
#define END "-----END MIMEO INVITATION-----"
#define KEY_BEGIN "-----BEGIN OPENSSH PRIVATE KEY-----"
#define KEY_END "-----END OPENSSH PRIVATE KEY-----"
#define LINE_BYTES_MAX 1200

struct field {
	const char *name;
	char *to;
	size_t size;
};

static void
put(struct buf *b, const char *text)
{
	buf_put(b, text, strlen(text));
}

void
ticket_print(struct buf *out, const struct ticket *t)
{
	const char *const lines[][2] = {{"member: ", t->member}, {"address: ", t->address},
					{"user: ", t->user},     {"host-key: ", t->host_key},
					{"invitation: ", t->id}, {"expires: ", t->expires}};

	put(out, BEGIN "\n");
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		put(out, lines[i][0]);
		put(out, lines[i][1]);
		put(out, "\n");
	}
	put(out, t->key);
	if (t->key[0] != '\0' && t->key[strlen(t->key) - 1] != '\n')
		put(out, "\n");
	put(out, END "\n");
}

/* One line without blanks around it. False at the end of the text, or if it is too long. */
static bool
next_line(const char **p, char out[LINE_BYTES_MAX])
{
	size_t n = strcspn(*p, "\n"), from = strspn(*p, " \t\r");
	const char *line = *p;

	if (*line == '\0')
		return false;
	*p += n + (line[n] == '\n');
	from = from < n ? from : n;
	while (n > from && strchr(" \t\r", line[n - 1]) != NULL)
		n--;
	if (n - from >= LINE_BYTES_MAX)
		return false;
	memcpy(out, line + from, n - from);
	out[n - from] = '\0';
	return true;
}

static bool
append_key(struct ticket *t, const char *line)
{
	size_t have = strlen(t->key), len = strlen(line);

	if (have + len + 2 > sizeof(t->key))
		return false;
	memcpy(t->key + have, line, len);
	memcpy(t->key + have + len, "\n", 2);
	return true;
}

static bool
take_field(struct ticket *t, const char *line)
{
	const struct field fields[] = {
		{"member: ", t->member, sizeof(t->member)},
		{"address: ", t->address, sizeof(t->address)},
		{"user: ", t->user, sizeof(t->user)},
		{"host-key: ", t->host_key, sizeof(t->host_key)},
		{"invitation: ", t->id, sizeof(t->id)},
		{"expires: ", t->expires, sizeof(t->expires)},
	};

	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		size_t n = strlen(fields[i].name);

		if (strncmp(line, fields[i].name, n) != 0)
			continue;
		if (strlen(line + n) >= fields[i].size || fields[i].to[0] != '\0')
			return false;
		memcpy(fields[i].to, line + n, strlen(line + n) + 1);
		return true;
	}
	return line[0] == '\0';
}

static const char *
read_lines(const char *text, struct ticket *t)
{
	const char *p = strstr(text, BEGIN);
	char line[LINE_BYTES_MAX];
	bool key = false;

	if (p == NULL)
		return "there is no " BEGIN;
	p += strlen(BEGIN);
	while (next_line(&p, line)) {
		if (strcmp(line, END) == 0)
			return key ? "the key in it has no end" : NULL;
		key = key || strcmp(line, KEY_BEGIN) == 0;
		if (key ? !append_key(t, line) : !take_field(t, line))
			return "it has a line that does not belong there";
		key = key && strcmp(line, KEY_END) != 0;
	}
	return "it has no end: copy all of it, to " END;
}

static const char *
check(const struct ticket *t)
{
	struct member m = {.incarnation = 1}, got;
	struct buf b = {0};
	struct cur c;
	int r;

	memcpy(m.name, t->member, sizeof(m.name));
	memcpy(m.address, t->address, sizeof(m.address));
	memcpy(m.user, t->user, sizeof(m.user));
	memcpy(m.host_key, t->host_key, sizeof(m.host_key));
	member_encode(&b, &m);
	c = cur_of(b.data, b.len);
	r = b.failed ? -ENOMEM : member_decode(&c, &got);
	buf_free(&b);
	if (r < 0 || m.address[0] == '\0' || m.host_key[0] == '\0' || m.user[0] == '\0' ||
	    m.user[0] == '-' || !members_addresses_ok(m.address))
		return "one of its fields is missing or holds what may not be there";
	if (strspn(t->id, "0123456789abcdef") != 16)
		return "its number is not one";
	return keyfile_problem(t->key) != NULL ? "the key in it is damaged" : NULL;
}

int
ticket_parse(const char *text, struct ticket *t, char *err, size_t err_len)
{
	const char *why;

	memset(t, 0, sizeof(*t));
	why = read_lines(text, t);
	if (why == NULL)
		why = check(t);
	if (why == NULL)
		return 0;
	explicit_bzero(t->key, sizeof(t->key));
	snprintf(err, err_len, "not an invitation of `mimeo invite`: %s", why);
	return -EINVAL;
}
