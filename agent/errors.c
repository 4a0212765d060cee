/* SPDX-License-Identifier: BSD-2-Clause */
/* A ring of the newest errors and a table of counters. */
#include "config.h"

#include "agent/errors.h"

#include <stdlib.h>
#include <string.h>

struct errors {
	struct error_row rows[ERRORS_KEPT_MAX];
	uint64_t added; /* rows[(added - 1) % max] is the newest */
	struct error_counter counters[ERRORS_COUNTERS_MAX];
	size_t ncounters;
	uint64_t total;
};

struct errors *
errors_new(void)
{
	return calloc(1, sizeof(struct errors));
}

static void
row_clear(struct error_row *r)
{
	free(r->path);
	free(r->text);
	*r = (struct error_row){0};
}

void
errors_free(struct errors *e)
{
	if (e == NULL)
		return;
	for (size_t i = 0; i < ERRORS_KEPT_MAX; i++)
		row_clear(&e->rows[i]);
	free(e);
}

static void
name_copy(char to[64], const char *from)
{
	size_t n = strnlen(from, 63);

	memcpy(to, from, n);
	to[n] = '\0';
}

static struct error_counter *
find(struct errors *e, const char *peer, const char *reason)
{
	for (size_t i = 0; i < e->ncounters; i++)
		if (strcmp(e->counters[i].reason, reason) == 0 &&
		    strncmp(e->counters[i].peer, peer, 63) == 0)
			return &e->counters[i];
	return NULL;
}

void
errors_expect(struct errors *e, const char *peer, const char *reason)
{
	struct error_counter *c;

	if (e->ncounters >= ERRORS_COUNTERS_MAX / 2 || find(e, peer, reason) != NULL)
		return;
	c = &e->counters[e->ncounters++];
	name_copy(c->peer, peer);
	c->reason = reason;
	c->n = 0;
}

static void
count(struct errors *e, const char *peer, const char *reason)
{
	struct error_counter *c = find(e, peer, reason);

	e->total++;
	if (c != NULL) {
		c->n++;
		return;
	}
	if (e->ncounters == ERRORS_COUNTERS_MAX - 1)
		reason = "other";
	if (e->ncounters == ERRORS_COUNTERS_MAX) {
		e->counters[ERRORS_COUNTERS_MAX - 1].n++;
		return;
	}
	c = &e->counters[e->ncounters++];
	name_copy(c->peer, peer);
	c->reason = reason;
	c->n = 1;
}

void
errors_add(struct errors *e, uint64_t wall_ms, const char *peer, const char *reason,
	   const void *path, size_t path_len, const char *text)
{
	struct error_row *r = &e->rows[e->added % ERRORS_KEPT_MAX];

	count(e, peer, reason);
	row_clear(r);
	e->added++;
	r->wall_ms = wall_ms;
	r->reason = reason;
	name_copy(r->peer, peer);
	r->text = strdup(text);
	if (path != NULL && path_len > 0 && (r->path = malloc(path_len)) != NULL) {
		memcpy(r->path, path, path_len);
		r->path_len = path_len;
	}
}

const struct error_row *
errors_row(const struct errors *e, size_t i)
{
	if (i >= e->added || i >= ERRORS_KEPT_MAX)
		return NULL;
	return &e->rows[(e->added - 1 - i) % ERRORS_KEPT_MAX];
}

const struct error_counter *
errors_counter(const struct errors *e, size_t i)
{
	return i < e->ncounters ? &e->counters[i] : NULL;
}

uint64_t
errors_total(const struct errors *e)
{
	return e->total;
}
