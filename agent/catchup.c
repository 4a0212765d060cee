/* SPDX-License-Identifier: BSD-2-Clause */
/* How far this node is with what it still has to apply. */
#include "config.h"

#include "agent/catchup.h"

#include <stdlib.h>

#include "agent/apply.h"
#include "agent/fetch.h"
#include "agent/meter.h"

#define MILLI 1000 /* paths are measured in thousandths: there may be less than one a second */

/* As last counted. */
struct pending {
	uint64_t bytes; /* of files that are to come */
	uint64_t here;  /* of those, what is on this node already */
};

struct catchup {
	struct node *n;
	bool running;
	uint64_t since_ms;
	uint64_t look_ms;        /* when it is counted again */
	uint64_t moved_ms;       /* when something had last moved */
	uint64_t paths0, bytes0; /* the node's counters when it began */
	uint64_t paths, bytes;   /* done since then, when last counted */
	struct pending pending;
	struct meter path_meter, byte_meter;
};

static void
add_path(const struct catchup *p, const struct pathent *ent, struct pending *sum)
{
	struct apply_state s;
	struct irec *rec;

	if (index_want(ent, &rec) != WANT_RECORD || rec->r->kind != KIND_FILE ||
	    (ent->shown != NULL && ent->shown->r->kind == KIND_FILE &&
	     record_same_content(ent->shown->r, rec->r)))
		return;
	sum->bytes += rec->r->size;
	s = apply_explain(p->n->apply, ent);
	if (s.fetch != NULL)
		sum->here +=
			s.fetch->have_bytes < rec->r->size ? s.fetch->have_bytes : rec->r->size;
}

static void
count(struct catchup *p)
{
	struct pending sum = {0};

	for (const struct pathent *e = index_todo_first(p->n->index); e != NULL; e = e->todo_next)
		add_path(p, e, &sum);
	p->pending = sum;
}

static uint64_t
applied(const struct catchup *p)
{
	return p->n->counts.applied - p->paths0;
}

static uint64_t
arrived(const struct catchup *p)
{
	return p->n->counts.applied_bytes - p->bytes0 + p->pending.here;
}

static void
begin(struct catchup *p)
{
	*p = (struct catchup){.n = p->n,
			      .running = true,
			      .since_ms = p->n->now_ms,
			      .moved_ms = p->n->now_ms,
			      .look_ms = p->n->now_ms + CATCHUP_EVERY_MS,
			      .paths0 = p->n->counts.applied,
			      .bytes0 = p->n->counts.applied_bytes};
	meter_begin(&p->path_meter, p->n->now_ms);
	meter_begin(&p->byte_meter, p->n->now_ms);
}

static void
look(struct catchup *p)
{
	uint64_t now = p->n->now_ms, paths, bytes;

	count(p);
	paths = applied(p);
	bytes = arrived(p);
	if (paths != p->paths || bytes != p->bytes)
		p->moved_ms = now;
	meter_took(&p->path_meter, paths > p->paths ? (paths - p->paths) * MILLI : 0, now);
	meter_took(&p->byte_meter, bytes > p->bytes ? bytes - p->bytes : 0, now);
	p->paths = paths;
	p->bytes = bytes;
	p->look_ms = now + (now - p->moved_ms >= CATCHUP_STILL_MS
				    ? CATCHUP_STILL_MS
				    : CATCHUP_EVERY_MS + p->n->index->todo_count / CATCHUP_PER_MS);
}

void
catchup_tick(struct catchup *p)
{
	if (p->n->index->todo_count == 0)
		p->running = false;
	else if (!p->running)
		begin(p);
	else if (p->n->now_ms >= p->look_ms)
		look(p);
}

uint64_t
catchup_deadline(const struct catchup *p)
{
	return p->running ? p->look_ms : UINT64_MAX;
}

/* By bytes as long as there are any: a large file says nothing about the pace of small ones. */
static bool
time_left(const struct catchup *p, const struct catchup_now *now, uint64_t *seconds)
{
	uint64_t bytes = now->bytes_total - now->bytes_done;
	uint64_t paths = now->paths_total - now->paths_done;
	const struct meter *m = bytes > 0 ? &p->byte_meter : &p->path_meter;

	if (m->rate <= 1 || p->n->now_ms - p->moved_ms >= CATCHUP_STILL_MS)
		return false;
	*seconds = (meter_time_ms(bytes > 0 ? bytes : paths * MILLI, m->rate) + 999) / 1000;
	return true;
}

struct catchup_now
catchup_now(const struct catchup *p)
{
	struct catchup_now now = {0};

	if (!p->running || p->n->now_ms - p->since_ms < CATCHUP_SHOWN_MS)
		return now;
	now.running = true;
	now.paths_done = applied(p);
	now.paths_total = now.paths_done + p->n->index->todo_count;
	now.bytes_done = p->bytes;
	now.bytes_total = now.bytes_done + p->pending.bytes - p->pending.here;
	now.bytes_per_second = p->byte_meter.rate > 1 ? p->byte_meter.rate : 0;
	now.seconds = (p->n->now_ms - p->since_ms) / 1000;
	now.known = time_left(p, &now, &now.seconds_left);
	return now;
}

struct catchup *
catchup_new(struct node *n)
{
	struct catchup *p = calloc(1, sizeof(*p));

	if (p != NULL)
		p->n = n;
	return p;
}

void
catchup_free(struct catchup *p)
{
	free(p);
}
