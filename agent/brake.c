/* SPDX-License-Identifier: BSD-2-Clause */
/* The mass-delete brake. */
#include "config.h"

#include "agent/brake.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/apply.h"
#include "agent/commit.h"
#include "proto/hlc.h"

#define PRUNE_MS 1000 /* how often what is held is compared with the index */

/* Who deletes. */
struct culprit {
	struct culprit *next;
	char node[MEMBER_NAME_BYTES_MAX + 1];
	struct del *first, *last; /* in order of arrival */
	struct del *recent;       /* the first one within the window; NULL: none */
	uint64_t count;           /* counted ones within the window */
	uint64_t newest_ms;       /* author's time */
	uint64_t came_ms;         /* when the last one came; monotonic */
	bool told;
};

struct del {
	struct del *next, *prev;
	struct culprit *who;
	struct dot dot;
	uint64_t ms, came_ms;
	uint8_t hash[RECORD_HASH_BYTES];
	bool counted, recent, held;
	struct del *same_next, *same_prev; /* other counted ones of the same content */
	uint16_t len;
	uint8_t path[];
};

struct brake {
	struct node *n;
	struct culprit *culprits;
	struct map dots;
	struct map contents; /* of counted ones: the first of each content, the others hang on it */
	size_t entries;
	uint64_t held;
	bool changed; /* what is held is not what the WAL says */
	bool putting; /* HELD is on its way */
	uint64_t prune_ms;
	struct commit_done done;
};

/* ---- the entries ---- */

static uint64_t
dot_key(struct dot d)
{
	return map_hash(d.origin, &d.seq, sizeof(d.seq));
}

static bool
dot_match(const void *item, const void *key)
{
	const struct del *d = item;
	const struct dot *dot = key;

	return dot_eq(d->dot, *dot);
}

static bool
content_match(const void *item, const void *key)
{
	const struct del *d = item;

	return memcmp(d->hash, key, RECORD_HASH_BYTES) == 0;
}

static struct del *
find_content(const struct brake *b, const uint8_t hash[RECORD_HASH_BYTES])
{
	return map_find(&b->contents, bytes_get_u64(hash), content_match, hash);
}

static int
content_add(struct brake *b, struct del *d)
{
	struct del *first = find_content(b, d->hash);

	if (first == NULL)
		return map_add(&b->contents, bytes_get_u64(d->hash), d);
	d->same_prev = first;
	d->same_next = first->same_next;
	if (d->same_next != NULL)
		d->same_next->same_prev = d;
	first->same_next = d;
	return 0;
}

static int
content_del(struct brake *b, struct del *d)
{
	struct del *next = d->same_next;
	int r = 0;

	if (next != NULL)
		next->same_prev = d->same_prev;
	if (d->same_prev != NULL) {
		d->same_prev->same_next = next;
	} else {
		map_del(&b->contents, bytes_get_u64(d->hash), d);
		r = next != NULL ? map_add(&b->contents, bytes_get_u64(d->hash), next) : 0;
	}
	d->same_prev = d->same_next = NULL;
	return r;
}

/* What cannot be counted for want of memory must not pass uncounted. */
static bool
must(const struct brake *b, int r)
{
	if (r < 0)
		b->n->fatal(b->n->arg, "out of memory for the count of deletes", r);
	return r == 0;
}

static struct del *
find(const struct brake *b, struct dot dot)
{
	return map_find(&b->dots, dot_key(dot), dot_match, &dot);
}

static void
set_held(struct brake *b, struct del *d, bool held)
{
	if (d->held == held)
		return;
	d->held = held;
	b->held += held ? 1 : UINT64_MAX;
	b->changed = true;
}

static void
count(struct brake *b, struct del *d)
{
	d->counted = must(b, content_add(b, d));
	d->who->count += d->counted;
}

static void
uncount(struct brake *b, struct del *d)
{
	if (!d->counted)
		return;
	d->counted = false;
	d->who->count--;
	(void)must(b, content_del(b, d));
}

static void
forget(struct brake *b, struct del *d)
{
	struct culprit *c = d->who;

	uncount(b, d);
	set_held(b, d, false);
	if (c->recent == d)
		c->recent = d->next;
	if (d->prev != NULL)
		d->prev->next = d->next;
	else
		c->first = d->next;
	if (d->next != NULL)
		d->next->prev = d->prev;
	else
		c->last = d->prev;
	map_del(&b->dots, dot_key(d->dot), d);
	b->entries--;
	free(d);
}

/* What is older than the window is counted no more, and remembered only while it is held. */
static void
expire(struct brake *b, struct culprit *c)
{
	struct del *next;

	for (struct del *d = c->recent; d != NULL && d->ms + BRAKE_WINDOW_MS < c->newest_ms;
	     d = next) {
		next = d->next;
		c->recent = next;
		uncount(b, d);
		d->recent = false;
		if (!d->held)
			forget(b, d);
	}
}

static struct culprit *
culprit_of(struct brake *b, uint64_t origin)
{
	const struct origin *o = index_origin(b->n->index, origin);
	const char *name = o != NULL ? o->node : "";
	struct culprit *c;

	for (c = b->culprits; c != NULL; c = c->next)
		if (strcmp(c->node, name) == 0)
			return c;
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return NULL;
	memcpy(c->node, name, strlen(name));
	c->next = b->culprits;
	b->culprits = c;
	return c;
}

static struct del *
del_new(struct brake *b, const struct record *r)
{
	struct culprit *c = culprit_of(b, r->dot.origin);
	struct del *d = calloc(1, sizeof(*d) + r->path_len);

	if (c == NULL || d == NULL || map_add(&b->dots, dot_key(r->dot), d) < 0) {
		free(d);
		return NULL;
	}
	d->who = c;
	d->dot = r->dot;
	d->ms = hlc_ms(r->hlc);
	d->came_ms = b->n->now_ms;
	memcpy(d->hash, r->hash, sizeof(d->hash));
	d->len = r->path_len;
	memcpy(d->path, r->path, r->path_len);
	d->prev = c->last;
	if (c->last != NULL)
		c->last->next = d;
	else
		c->first = d;
	c->last = d;
	b->entries++;
	return d;
}

/* ---- what counts ---- */

/* Does another path show this content, and is it to stay there? */
static bool
lives_elsewhere(const struct brake *b, const struct pathent *ent, const struct record *r)
{
	const struct pathent *e = index_content(b->n->index, r->hash, r->size);

	for (unsigned i = 0; e != NULL && i < BRAKE_SAME_LOOK; i++, e = e->same_next)
		if (e != ent && e->live != 0)
			return true;
	return apply_wants(b->n->apply, r->hash);
}

static void
add_delete(struct brake *b, const struct irec *rec)
{
	const struct record *r = rec->r;
	struct culprit *c;
	struct del *d;

	if (find(b, r->dot) != NULL)
		return;
	d = del_new(b, r);
	if (d == NULL) {
		(void)must(b, -ENOMEM);
		return;
	}
	c = d->who;
	c->came_ms = d->came_ms;
	if (d->ms > c->newest_ms)
		c->newest_ms = d->ms;
	d->recent = d->ms + BRAKE_WINDOW_MS >= c->newest_ms;
	if (d->recent && !lives_elsewhere(b, rec->ent, r))
		count(b, d);
	if (d->recent && c->recent == NULL)
		c->recent = d;
	expire(b, c);
}

static bool
is_delete(const struct record *r)
{
	return r->kind == KIND_ABSENT && r->op == OP_DELETE;
}

void
brake_record(struct brake *b, const struct irec *rec, bool own)
{
	struct del *d;

	if (own)
		return;
	if (is_delete(rec->r)) {
		if (rec->head && rec->ent->shown != NULL)
			add_delete(b, rec);
		return;
	}
	if (rec->r->kind != KIND_FILE)
		return;
	d = find_content(b, rec->r->hash);
	if (d == NULL || (d->len == rec->r->path_len && memcmp(d->path, rec->r->path, d->len) == 0))
		return;
	uncount(b, d); /* it was the first half of a rename */
	set_held(b, d, false);
}

static uint64_t
limit(const struct brake *b)
{
	const struct settings *s = b->n->conf;
	uint64_t part = b->n->index->files / 100 * s->max_delete_percent +
			b->n->index->files % 100 * s->max_delete_percent / 100;

	return part > s->max_delete_count ? part : s->max_delete_count;
}

static void
trip(struct brake *b, struct culprit *c, uint64_t max)
{
	struct node *n = b->n;

	for (struct del *d = c->recent; d != NULL; d = d->next)
		if (d->counted)
			set_held(b, d, true);
	if (c->told)
		return;
	c->told = true;
	LOG(n->log, LOG_ERROR, "guard.held",
	    "unlikely many deletes: they are held, nothing of them is applied here; if they are "
	    "meant, say `mimeo resume --accept-deletes`",
	    log_s("node", c->node), log_u("deletes", c->count), log_u("limit", max));
	errors_add(n->errors, n->wall_ms, c->node, "held", NULL, 0,
		   "unlikely many deletes: held until `mimeo resume --accept-deletes`");
}

enum brake_verdict
brake_ask(struct brake *b, const struct irec *tomb, uint64_t *retry_ms)
{
	struct del *d = find(b, tomb->r->dot);
	uint64_t max = limit(b), quiet, late;

	if (d == NULL || !is_delete(tomb->r))
		return BRAKE_GO;
	if (d->held)
		return BRAKE_HELD;
	if (!d->counted)
		return BRAKE_GO;
	if (d->who->count > max || b->entries > BRAKE_ENTRIES_MAX) {
		trip(b, d->who, max);
		return d->held ? BRAKE_HELD : BRAKE_GO;
	}
	quiet = d->who->came_ms + BRAKE_QUIET_MS;
	late = d->came_ms + BRAKE_DELAY_MS;
	*retry_ms = quiet < late ? quiet : late;
	if (d->who->count <= max / 10 || b->n->now_ms >= *retry_ms)
		return BRAKE_GO;
	return BRAKE_WAIT;
}

/* ---- the set in the WAL ---- */

static void
held_durable(struct commit_done *done)
{
	struct brake *b = (struct brake *)((char *)done - offsetof(struct brake, done));

	b->putting = false;
	apply_kick(b->n->apply);
}

static void
put_held(struct brake *b)
{
	struct entry e = {.type = ENTRY_HELD};
	int r = 0;

	if (!b->changed || b->putting)
		return;
	for (struct culprit *c = b->culprits; c != NULL; c = c->next)
		for (struct del *d = c->first; r == 0 && d != NULL; d = d->next)
			if (d->held)
				r = dotset_add(&e.set, d->dot);
	if (r == 0) {
		commit_put(b->n->commit, &e);
		b->changed = false;
		b->putting = true;
		b->done.done = held_durable;
		commit_then(b->n->commit, &b->done);
	} else {
		b->n->fatal(b->n->arg, "out of memory for what is held", r);
	}
	dotset_free(&e.set);
}

/* What was superseded meanwhile, or is gone here anyway, is held no longer. */
static bool
still_matters(const struct brake *b, const struct del *d)
{
	const struct pathent *e = index_find(b->n->index, d->path, d->len);
	const struct irec *i = e != NULL ? index_record(e, d->dot) : NULL;

	return i != NULL && i->head && e->shown != NULL && index_winner(e) == i;
}

static void
prune(struct brake *b)
{
	for (struct culprit *c = b->culprits; c != NULL; c = c->next)
		for (struct del *d = c->first, *next; d != NULL; d = next) {
			next = d->next;
			if (!d->held || still_matters(b, d))
				continue;
			set_held(b, d, false);
			if (!d->recent)
				forget(b, d);
		}
}

void
brake_tick(struct brake *b)
{
	if (b->held > 0 && b->n->now_ms >= b->prune_ms) {
		b->prune_ms = b->n->now_ms + PRUNE_MS;
		prune(b);
	}
	put_held(b);
}

uint64_t
brake_deadline(const struct brake *b)
{
	return b->held > 0 ? b->prune_ms : UINT64_MAX;
}

void
brake_accept(struct brake *b)
{
	for (struct culprit *c = b->culprits; c != NULL; c = c->next) {
		while (c->first != NULL)
			forget(b, c->first);
		c->told = false;
	}
	b->changed = false; /* the caller puts the empty set */
}

/* ---- life ---- */

void
brake_start(struct brake *b)
{
	const struct index *x = b->n->index;

	for (const struct irec *i = x->log_first; i != NULL; i = i->log_next) {
		struct del *d;

		if (!i->head || !is_delete(i->r))
			continue;
		if (dotset_has(&x->held, i->r->dot) ||
		    (!index_own(x, i->r->dot.origin) &&
		     hlc_ms(i->r->hlc) + BRAKE_WINDOW_MS > b->n->wall_ms))
			add_delete(b, i);
		d = dotset_has(&x->held, i->r->dot) ? find(b, i->r->dot) : NULL;
		if (d != NULL)
			set_held(b, d, true);
	}
	b->changed = false;
}

struct brake *
brake_new(struct node *n)
{
	struct brake *b = calloc(1, sizeof(*b));

	if (b != NULL)
		b->n = n;
	return b;
}

void
brake_free(struct brake *b)
{
	struct culprit *c, *next;

	if (b == NULL)
		return;
	for (c = b->culprits; c != NULL; c = next) {
		next = c->next;
		while (c->first != NULL)
			forget(b, c->first);
		free(c);
	}
	map_free(&b->dots);
	map_free(&b->contents);
	free(b);
}
