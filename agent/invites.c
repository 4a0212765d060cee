/* SPDX-License-Identifier: BSD-2-Clause */
/* Invitations: one line each, "ID EXPIRES-MS ssh-ed25519 AAAA...". */
#include "config.h"

#include "agent/invites.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/smallfile.h"

#define PATH_BYTES 4200

bool
invites_id_ok(const char *id, size_t len)
{
	return len == INVITES_ID_BYTES && strspn(id, "0123456789abcdef") >= len;
}

static bool
parse_line(char *line, struct invite *out)
{
	char *expires = strchr(line, ' '), *key;

	if (expires == NULL || !invites_id_ok(line, (size_t)(expires - line)))
		return false;
	*expires++ = '\0';
	out->expires_ms = strtoull(expires, &key, 10);
	if (key == expires || *key != ' ' || strlen(key + 1) > MEMBER_KEY_BYTES_MAX)
		return false;
	memcpy(out->id, line, INVITES_ID_BYTES + 1);
	memcpy(out->key, key + 1, strlen(key + 1) + 1);
	return true;
}

static void
file_path(const char *state, char path[PATH_BYTES])
{
	snprintf(path, PATH_BYTES, "%s/invites", state);
}

int
invites_read(const char *state, uint64_t wall_ms, struct invites *out)
{
	char path[PATH_BYTES], *line, *end;
	struct buf text = {0};
	int r;

	memset(out, 0, sizeof(*out));
	file_path(state, path);
	r = smallfile_read(path, &text);
	if (r == -ENOENT)
		r = 0;
	line = (char *)text.data;
	for (; r == 0 && line != NULL && *line != '\0' && out->n < INVITES_MAX; line = end) {
		size_t n = strcspn(line, "\n");

		end = line + n + (line[n] == '\n');
		line[n] = '\0';
		if (parse_line(line, &out->v[out->n]) && out->v[out->n].expires_ms > wall_ms)
			out->n++;
	}
	buf_free(&text);
	return r;
}

static int
write_them(const char *state, const struct invites *i)
{
	char path[PATH_BYTES], line[MEMBER_KEY_BYTES_MAX + 64];
	struct buf text = {0};
	int r;

	for (size_t k = 0; k < i->n; k++) {
		int n = snprintf(line, sizeof(line), "%s %llu %s\n", i->v[k].id,
				 (unsigned long long)i->v[k].expires_ms, i->v[k].key);

		buf_put(&text, line, (size_t)n);
	}
	file_path(state, path);
	r = text.failed ? -ENOMEM : smallfile_replace(path, text.data, text.len);
	buf_free(&text);
	return r;
}

int
invites_add(const char *state, uint64_t wall_ms, const struct invite *i)
{
	struct invites all;
	int r = invites_read(state, wall_ms, &all);

	if (r == 0 && all.n == INVITES_MAX)
		r = -ENOSPC;
	if (r < 0)
		return r;
	all.v[all.n++] = *i;
	return write_them(state, &all);
}

int
invites_take(const char *state, uint64_t wall_ms, const char *id)
{
	struct invites all;
	int r = invites_read(state, wall_ms, &all);

	if (r < 0)
		return r;
	for (size_t k = 0; k < all.n; k++) {
		if (strcmp(all.v[k].id, id) != 0)
			continue;
		all.v[k] = all.v[--all.n];
		return write_them(state, &all);
	}
	return -ENOENT;
}
