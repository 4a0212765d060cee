/* SPDX-License-Identifier: BSD-2-Clause */
/* The live state written out as WAL entries, in an order whose fold gives the same state back. */
#include "config.h"

#include "proto/index.h"
#include "proto/seeded.h"
#include "proto/wal.h"

#include <errno.h>
#include <string.h>

#define SNAPSHOT_PIECE_BYTES (1u << 20)

/*
 * Order matters: what was acknowledged comes before any path is unsettled; what is shown right
 * behind its record, and both before the context that covers it, as a record that is neither a head
 * nor shown is forgotten once it is covered; the rest of the vector last, so that it waits for the
 * paths that are pending.
 */
enum phase { ORIGINS, MEMBERS, SETS, RECORDS, CONTEXTS, SHOWN, KEPT, LAST, DONE };

static void
put(struct buf *out, const struct entry *e)
{
	wal_put(out, e);
}

static void
put_set(struct buf *out, uint8_t type, const struct dotset *set)
{
	if (!dotset_empty(set))
		put(out, &(struct entry){.type = type, .set = *set});
}

static void
put_num(struct buf *out, uint8_t type, uint64_t num)
{
	if (num != 0)
		put(out, &(struct entry){.type = type, .num = num});
}

static void
put_origins(const struct index *x, struct buf *out)
{
	for (size_t i = 0; i < x->norigins; i++) {
		const struct origin *o = &x->origins[i];

		put(out, &(struct entry){.type = ENTRY_ORIGIN,
					 .num = o->id,
					 .num2 = o->store,
					 .name = (const uint8_t *)o->node,
					 .name_len = strlen(o->node)});
		if (o->frozen)
			put(out, &(struct entry){.type = ENTRY_FROZEN, .num = o->id});
	}
}

static void
put_members(const struct index *x, struct buf *out)
{
	struct buf blob = {0};

	for (size_t i = 0; i < x->nmembers; i++) {
		buf_reset(&blob);
		member_encode(&blob, &x->members[i]);
		if (blob.failed)
			out->failed = true;
		put(out,
		    &(struct entry){.type = ENTRY_MEMBER, .blob = blob.data, .blob_len = blob.len});
	}
	buf_free(&blob);
}

static void
put_sets(const struct index *x, struct buf *out)
{
	put_set(out, ENTRY_FLOOR, &x->floor);
	put_set(out, ENTRY_HELD, &x->held);
	put_set(out, ENTRY_VECTOR, SEEDED(acks_compacted) ? &x->have : &x->acked);
	put_num(out, ENTRY_CLOCK, x->hlc);
	put_num(out, ENTRY_PAUSE, x->paused);
}

/* Is the applied context just what comes from applying the version that is shown? */
static bool
context_follows(const struct pathent *e)
{
	if (e->shown == NULL)
		return e->actx.n == 0;
	for (uint32_t i = 0; i < e->actx.n; i++) {
		const struct record *r = e->shown->r;
		struct dot d = e->actx.e[i];

		if (d.seq != vv_get(&r->ctx, d.origin) && !dot_eq(d, r->dot))
			return false;
	}
	return true;
}

static void
put_context(const struct pathent *e, struct buf *out)
{
	if (context_follows(e) || SEEDED(context_compacted))
		return;
	put(out, &(struct entry){.type = ENTRY_CONTEXT,
				 .path = e->path,
				 .path_len = e->path_len,
				 .rec = {.ctx = e->actx}});
}

static void
put_applied(const struct pathent *e, struct dot dot, uint8_t flags, struct buf *out)
{
	put(out, &(struct entry){.type = ENTRY_APPLIED,
				 .path = e->path,
				 .path_len = e->path_len,
				 .dot = dot,
				 .flags = flags,
				 .sig = e->sig});
}

static void
put_shown(const struct pathent *e, struct buf *out)
{
	if (e->shown_dir)
		put_applied(e, (struct dot){0, 0}, APPLIED_SHOWN, out);
	if (!dot_none(e->left))
		put_applied(e, e->left, APPLIED_LEFT, out);
}

static void
put_intent(const struct intent *in, struct buf *out)
{
	put(out, &(struct entry){.type = ENTRY_INTENT,
				 .dot = in->dot,
				 .action = in->action,
				 .ino = in->ino,
				 .path = in->ent->path,
				 .path_len = in->ent->path_len,
				 .from = in->from != NULL ? in->from->path : NULL,
				 .from_len = in->from != NULL ? in->from->path_len : 0});
}

/* Walks all paths, a piece at a time. Returns false when the walk is over. */
static bool
each_path(struct index *x, struct index_snapshot *s, struct buf *out,
	  void (*emit)(const struct pathent *, struct buf *))
{
	struct pathent *e = s->at != NULL ? s->at : x->root;

	while (e != NULL && out->len < SNAPSHOT_PIECE_BYTES) {
		emit(e, out);
		e = index_walk(e);
	}
	s->at = e;
	return e != NULL;
}

/* Is it no head although nothing that is known here covers it (which was collected or removed)? */
static bool
orphan(const struct irec *rec)
{
	for (const struct irec *i = rec->ent->recs; i != NULL; i = i->next)
		if (i != rec && record_covers(i->r, rec->r->dot))
			return false;
	return !rec->head;
}

static void
put_record(const struct irec *i, struct buf *out)
{
	put(out, &(struct entry){.type = ENTRY_KNOWN, .rec = *i->r});
	if (i->shown)
		put_applied(i->ent, i->r->dot, APPLIED_SHOWN, out);
	if (i->shown && i->ent->altered)
		put(out, &(struct entry){.type = ENTRY_ALTERED,
					 .path = i->ent->path,
					 .path_len = i->ent->path_len,
					 .sig = i->ent->sig});
	if (orphan(i))
		put(out, &(struct entry){.type = ENTRY_REMOVED,
					 .path = i->ent->path,
					 .path_len = i->ent->path_len,
					 .dot = i->r->dot});
}

static bool
each_record(struct index *x, struct index_snapshot *s, struct buf *out)
{
	struct irec *i = s->at != NULL ? s->at : x->log_first;

	for (; i != NULL && out->len < SNAPSHOT_PIECE_BYTES; i = i->log_next)
		put_record(i, out);
	s->at = i;
	return i != NULL;
}

static bool
each_kept(struct index *x, struct index_snapshot *s, struct buf *out)
{
	struct kept *k = s->at != NULL ? s->at : x->kept_first;

	for (; k != NULL && out->len < SNAPSHOT_PIECE_BYTES; k = k->next)
		put(out, &(struct entry){.type = ENTRY_KEPT,
					 .dot = k->dot,
					 .num = k->since_ms,
					 .flags = k->flags,
					 .rec = *k->r});
	s->at = k;
	return k != NULL;
}

/* Read back, the last vector waits for all paths that are pending now, those too that a gap did not
 * wait for. What is said to peers must not be more than what a restart finds. */
static void
gaps_wait(struct index *x)
{
	for (struct gap *g = x->gaps; g != NULL; g = g->next)
		g->stamp = x->stamps;
}

static void
put_last(struct index *x, struct buf *out)
{
	for (const struct intent *in = x->intents; in != NULL; in = in->next) {
		const struct irec *i = index_record(in->ent, in->dot);

		put_intent(in, out);
		if (i != NULL && !i->head && !i->shown) /* only the intent holds it: once more */
			put(out, &(struct entry){.type = ENTRY_KNOWN, .rec = *i->r});
	}
	put_set(out, ENTRY_VECTOR, &x->have);
	gaps_wait(x);
	put_num(out, ENTRY_SCANNED, x->scanned_ms);
	put_num(out, ENTRY_BARRIER, x->barrier);
	put_num(out, ENTRY_ANSWER, x->answered);
}

/* One step of one phase. Returns true while the phase has more. */
static bool
step(struct index *x, struct index_snapshot *s, struct buf *out)
{
	switch ((enum phase)s->phase) {
	case ORIGINS:
		put_origins(x, out);
		return false;
	case MEMBERS:
		put_members(x, out);
		return false;
	case SETS:
		put_sets(x, out);
		return false;
	case CONTEXTS:
		return each_path(x, s, out, put_context);
	case RECORDS:
		return each_record(x, s, out);
	case SHOWN:
		return each_path(x, s, out, put_shown);
	case KEPT:
		return each_kept(x, s, out);
	case LAST:
		put_last(x, out);
		return false;
	case DONE:
		break;
	}
	return false;
}

int
index_snapshot(struct index *x, struct index_snapshot *s, struct buf *out)
{
	while (s->phase < DONE && out->len < SNAPSHOT_PIECE_BYTES) {
		if (!step(x, s, out)) {
			s->phase++;
			s->at = NULL;
		}
	}
	return out->failed ? -ENOMEM : 0;
}
