/* SPDX-License-Identifier: BSD-2-Clause */
/* What paths were: versions are gathered, some are taken away, what wins of the rest is the past.
 */
#include "config.h"

#include "agent/past.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/logfile.h"
#include "proto/hlc.h"
#include "proto/path.h"

#define LOG_FILES 2 /* this generation and the one before it */

struct version {
	struct record *r;
	uint64_t since_ms; /* when the earliest keeper displaced it; 0: not known */
	struct version *next;
};

struct place {
	struct past_path pub; /* path lies behind it */
	struct version *versions;
};

struct past {
	struct node *n;
	const struct past_want *want;
	struct map map, dots; /* places by path, versions by dot */
	struct place **place;
	size_t nplaces, cap;
	uint64_t seed, bytes;
	struct index_cursor cursor;
	bool looked; /* through the index */
	struct logfile log[LOG_FILES];
	size_t file; /* under way */
	uint64_t begins_ms;
};

/* ---- which versions, which paths ---- */

static bool
wrote(const struct past *p, const struct record *r)
{
	const struct origin *o = index_origin(p->n->index, r->dot.origin);

	return o != NULL && strcmp(o->node, p->want->node) == 0;
}

static bool
taken_away(const struct past *p, const struct record *r)
{
	if (p->want->node == NULL)
		return hlc_ms(r->hlc) > p->want->time_ms;
	return hlc_ms(r->hlc) >= p->want->time_ms && wrote(p, r);
}

static bool
wanted(const struct past *p, const struct record *r)
{
	for (size_t i = 0; i < p->want->npaths; i++) {
		const char *path = p->want->paths[i];

		if (path_within(r->path, r->path_len, path, strlen(path)))
			return true;
	}
	return p->want->npaths == 0;
}

static bool
place_match(const void *item, const void *key)
{
	const struct place *place = item;
	const struct record *r = key;

	return place->pub.len == r->path_len && memcmp(place->pub.path, r->path, r->path_len) == 0;
}

static struct place *
place_of(const struct past *p, const struct record *r)
{
	return map_find(&p->map, map_hash(p->seed, r->path, r->path_len), place_match, r);
}

static int
charge(struct past *p, uint64_t bytes)
{
	p->bytes += bytes;
	return p->bytes > PAST_BYTES_MAX ? -E2BIG : 0;
}

/* The path of that record is looked at from now on. */
static int
place_add(struct past *p, const struct record *r, struct place **out)
{
	struct place *place;
	char *path;

	*out = NULL;
	if (charge(p, sizeof(*place) + r->path_len + 1) < 0)
		return -E2BIG;
	if (p->nplaces == p->cap) {
		size_t cap = p->cap == 0 ? 64 : 2 * p->cap;
		struct place **more = realloc(p->place, cap * sizeof(struct place *));

		if (more == NULL)
			return -ENOMEM;
		p->place = more;
		p->cap = cap;
	}
	place = calloc(1, sizeof(*place) + r->path_len + 1);
	if (place == NULL)
		return -ENOMEM;
	path = (char *)(place + 1);
	memcpy(path, r->path, r->path_len);
	place->pub.path = path;
	place->pub.len = r->path_len;
	if (map_add(&p->map, map_hash(p->seed, path, r->path_len), place) < 0) {
		free(place);
		return -ENOMEM;
	}
	p->place[p->nplaces++] = place;
	*out = place;
	return 0;
}

/* The same version again, from somebody who may know more about it. */
static int
more_about(struct version *v, const struct record *r, uint64_t since_ms)
{
	struct record *copy;

	if (since_ms != 0 && (v->since_ms == 0 || since_ms < v->since_ms))
		v->since_ms = since_ms;
	if (v->r->ctx.n > 0 || r->ctx.n == 0)
		return 0;
	copy = record_dup(r);
	if (copy == NULL)
		return -ENOMEM;
	record_free(v->r);
	v->r = copy;
	return 0;
}

static bool
version_match(const void *item, const void *key)
{
	const struct version *v = item;
	const struct dot *dot = key;

	return dot_eq(v->r->dot, *dot);
}

static int
version_add(struct past *p, struct place *place, const struct record *r, uint64_t since_ms)
{
	uint64_t hash = map_hash(p->seed, &r->dot, sizeof(r->dot));
	struct version *v = map_find(&p->dots, hash, version_match, &r->dot);

	if (v != NULL)
		return more_about(v, r, since_ms);
	if (charge(p, sizeof(*v) + sizeof(*r) + r->path_len + r->target_len +
			      r->ctx.n * sizeof(struct dot)) < 0)
		return -E2BIG;
	v = calloc(1, sizeof(*v));
	if (v == NULL)
		return -ENOMEM;
	v->r = record_dup(r);
	if (v->r == NULL || map_add(&p->dots, hash, v) < 0) {
		record_free(v->r);
		free(v);
		return -ENOMEM;
	}
	v->since_ms = since_ms;
	v->next = place->versions;
	place->versions = v;
	return 0;
}

int
past_learn(struct past *p, const struct record *r, uint64_t since_ms)
{
	struct place *place = place_of(p, r);
	int e;

	if (place != NULL)
		return version_add(p, place, r, since_ms);
	if (p->want->node == NULL || !wanted(p, r) || !taken_away(p, r))
		return 0;
	e = place_add(p, r, &place);
	if (e == 0)
		place->pub.overtaken = true;
	return e;
}

/* ---- the index ---- */

static int
look_at(struct past *p, const struct irec *i)
{
	struct place *place = place_of(p, i->r);
	int e = 0;

	if (place != NULL || !i->head || !wanted(p, i->r) || !taken_away(p, i->r))
		return 0;
	if (p->want->node != NULL && index_winner(i->ent) != i)
		return 0; /* learnt from the log, as one that was overtaken */
	e = place_add(p, i->r, &place);
	for (const struct irec *k = i->ent->recs; e == 0 && k != NULL; k = k->next)
		e = version_add(p, place, k->r, 0);
	return e;
}

/* 1: there is more. */
static int
look_through(struct past *p)
{
	const struct irec *i = NULL;

	for (unsigned n = 0; n < PAST_STEP_RECORDS; n++) {
		int e;

		i = index_cursor_next(p->n->index, &p->cursor);
		if (i == NULL)
			return 0;
		e = look_at(p, i);
		if (e < 0)
			return e;
	}
	return 1;
}

/* ---- the log ---- */

static int
logs_open(struct past *p)
{
	int e = logfile_open(&p->log[0], p->n->conf->state, LOGFILE_CURRENT);

	if (e < 0)
		return e;
	p->begins_ms = p->log[0].created_ms;
	e = logfile_open(&p->log[1], p->n->conf->state, LOGFILE_PREVIOUS);
	if (e == 0)
		p->begins_ms = p->log[1].created_ms;
	return e == -ENOENT || e == -EBADMSG ? 0 : e;
}

/* 1: there is more. */
static int
read_log(struct past *p, struct logfile *f)
{
	uint64_t upto = f->at + PAST_STEP_BYTES, at;
	struct entry e;
	int r = 1;

	while (r == 1) {
		r = logfile_next(f, upto, &at, &e);
		if (r == 1) {
			int learnt = past_learn(p, &e.rec, e.type == ENTRY_KEPT ? e.num : 0);

			entry_clear(&e);
			r = learnt < 0 ? learnt : 1;
		}
	}
	return r < 0 ? r : !f->ended;
}

int
past_step(struct past *p)
{
	int e;

	if (!p->looked) {
		e = look_through(p);
		p->looked = e == 0;
		return e < 0 ? e : 1;
	}
	if (p->file == LOG_FILES)
		return 0;
	e = read_log(p, &p->log[p->file]);
	if (e == 0)
		p->file++;
	return e < 0 ? e : 1;
}

/* ---- the past ---- */

uint64_t
past_begins(const struct past *p)
{
	return p->begins_ms;
}

const struct past_path *
past_at(const struct past *p, size_t i)
{
	return i < p->nplaces ? &p->place[i]->pub : NULL;
}

const struct record *
past_version(const struct past *p, size_t i, size_t k)
{
	const struct version *v = i < p->nplaces ? p->place[i]->versions : NULL;

	while (v != NULL && k-- > 0)
		v = v->next;
	return v != NULL ? v->r : NULL;
}

/* ctx: what the versions that stay supersede; seen: and themselves. */
static int
join_staying(const struct past *p, const struct place *place, struct vv *ctx, struct vv *seen)
{
	int e = 0;

	for (const struct version *v = place->versions; e == 0 && v != NULL; v = v->next) {
		if (taken_away(p, v->r))
			continue;
		e = vv_join(ctx, &v->r->ctx);
		if (e == 0)
			e = vv_add(seen, v->r->dot);
	}
	return e == 0 ? vv_join(seen, ctx) : e;
}

/*
 * The first version that was taken away of each origin: whatever it wrote later went with it. As
 * join_staying keeps the highest, this keeps what is left to the end of all numbers.
 */
static int
first_taken(const struct past *p, const struct place *place, struct vv *left)
{
	int e = 0;

	for (const struct version *v = place->versions; e == 0 && v != NULL; v = v->next)
		if (taken_away(p, v->r))
			e = vv_add(left,
				   (struct dot){v->r->dot.origin, DOT_SEQ_MAX + 1 - v->r->dot.seq});
	return e;
}

static bool
explained(const struct past *p, const struct place *place, const struct vv *seen,
	  const struct vv *left)
{
	for (const struct version *v = place->versions; v != NULL; v = v->next) {
		if (!taken_away(p, v->r))
			continue;
		for (uint32_t i = 0; i < v->r->ctx.n; i++) {
			struct dot d = v->r->ctx.e[i];

			if (!vv_covers(seen, d) && DOT_SEQ_MAX + 1 - d.seq > vv_get(left, d.origin))
				return false;
		}
	}
	return true;
}

static const struct version *
winner(const struct past *p, const struct place *place, const struct vv *ctx)
{
	const struct version *best = NULL;

	for (const struct version *v = place->versions; v != NULL; v = v->next)
		if (!taken_away(p, v->r) && !vv_covers(ctx, v->r->dot) &&
		    (best == NULL || record_rank(v->r, best->r) > 0))
			best = v;
	return best;
}

int
past_was(const struct past *p, size_t i, const struct record **was, enum past_known *known)
{
	const struct place *place = p->place[i];
	const struct version *v = NULL;
	struct vv ctx = {0}, seen = {0}, left = {0};
	int e = join_staying(p, place, &ctx, &seen);

	*known = PAST_UNKNOWN;
	if (e == 0)
		e = first_taken(p, place, &left);
	if (e == 0) {
		v = winner(p, place, &ctx);
		if (explained(p, place, &seen, &left))
			*known = PAST_KNOWN;
		else if (v != NULL && p->want->node == NULL && v->since_ms > p->want->time_ms)
			*known = PAST_PROBABLE;
	}
	*was = v != NULL && record_live(v->r) ? v->r : NULL;
	vv_free(&ctx);
	vv_free(&seen);
	vv_free(&left);
	return e;
}

/* ---- life ---- */

int
past_new(struct node *n, const struct past_want *want, struct past **out)
{
	struct past *p = calloc(1, sizeof(*p));
	int e;

	*out = NULL;
	if (p == NULL)
		return -ENOMEM;
	p->n = n;
	p->want = want;
	p->seed = node_random(n);
	for (size_t i = 0; i < LOG_FILES; i++)
		logfile_init(&p->log[i]);
	index_cursor_begin(n->index, &p->cursor);
	e = logs_open(p);
	if (e < 0) {
		past_free(p);
		return e;
	}
	*out = p;
	return 0;
}

static void
place_free(struct place *place)
{
	while (place->versions != NULL) {
		struct version *v = place->versions;

		place->versions = v->next;
		record_free(v->r);
		free(v);
	}
	free(place);
}

void
past_free(struct past *p)
{
	if (p == NULL)
		return;
	index_cursor_end(p->n->index, &p->cursor);
	for (size_t i = 0; i < LOG_FILES; i++)
		logfile_close(&p->log[i]);
	for (size_t i = 0; i < p->nplaces; i++)
		place_free(p->place[i]);
	map_free(&p->map);
	map_free(&p->dots);
	free(p->place);
	free(p);
}
