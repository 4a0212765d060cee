/* SPDX-License-Identifier: BSD-2-Clause */
/* Whole states: comparing them, and taking them over. */
#include "config.h"

#include "agent/merge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/collect.h"
#include "agent/commit.h"
#include "agent/exchange_internal.h"
#include "agent/scrub.h"

#define PART_BYTES (128u * 1024)
#define RETRY_MS 1000

/* ---- one question of a peer, and its answer ---- */

struct question {
	struct question *next;
	struct link *link;
	uint32_t id;
	uint8_t what;
	bool made; /* the answer is in out */
	struct buf blob, out;
	size_t off;
};

/* ---- one peer whose state is looked at ---- */

enum phase { IDLE, DIGEST, STATE, RECORDS, STORING };

struct pull {
	struct pull *next;
	struct merge *m;
	char peer[MEMBER_NAME_BYTES_MAX + 1];
	struct ask ask;
	bool asked; /* the ask is in the link's list */
	enum phase phase;
	bool floor; /* below its floor; else a union */
	uint64_t look_ms;
	uint64_t merged_ms; /* when the last union was begun; 0 never */
	struct buf in;
	struct dotset have, floor_set, heads, lacking;
	struct commit_done done;
};

struct merge {
	struct node *n;
	struct question *questions;
	struct pull *pulls;
	uint64_t mismatches;
};

static bool
must(struct merge *m, int r)
{
	return exchange_must(m->n->exchange, r);
}

static bool
quiet(const struct merge *m)
{
	return commit_idle(m->n->commit);
}

/* ---- answering ---- */

/* The dots of all heads, or of all records. */
static int
dots_of(const struct index *x, bool heads, struct dotset *out)
{
	int r = 0;

	for (const struct irec *i = x->log_first; r == 0 && i != NULL; i = i->log_next)
		if (i->head || !heads)
			r = dotset_add(out, i->r->dot);
	return r;
}

static void
answer_digest(const struct index *x, struct buf *out)
{
	buf_put_u64(out, dotset_digest(&x->have));
	buf_put_u64(out, x->digest[0]);
	buf_put_u64(out, x->digest[1]);
	dotset_encode(out, &x->floor);
}

static void
answer_state(const struct index *x, struct buf *out)
{
	struct dotset heads = {0};

	if (dots_of(x, true, &heads) < 0)
		out->failed = true;
	dotset_encode(out, &x->have);
	dotset_encode(out, &x->floor);
	dotset_encode(out, &heads);
	dotset_free(&heads);
}

static int
answer_records(const struct index *x, const struct buf *blob, struct buf *out)
{
	struct cur c = cur_of(blob->data, blob->len);
	struct dotset want;
	int r = dotset_decode(&c, &want);

	if (r < 0)
		return r;
	for (const struct irec *i = x->log_first; i != NULL && out->len < MERGE_RECORDS_BYTES_MAX;
	     i = i->log_next)
		if (dotset_has(&want, i->r->dot))
			record_encode(out, i->r);
	dotset_free(&want);
	return 0;
}

static void
make_answer(struct merge *m, struct question *q)
{
	const struct index *x = m->n->index;
	int r = 0;

	q->made = true;
	if (q->what == MERGE_DIGEST)
		answer_digest(x, &q->out);
	else if (q->what == MERGE_STATE)
		answer_state(x, &q->out);
	else
		r = answer_records(x, &q->blob, &q->out);
	if (r == 0 && !q->out.failed && q->out.len <= MERGE_ANSWER_BYTES_MAX)
		return;
	buf_free(&q->out);
	q->out = (struct buf){0};
	(void)!exchange_tell(q->link, q->id, CODE_ERROR, true, NULL, 0);
	q->off = SIZE_MAX;
}

/* Sends as much of the answer as there is room for. True: all of it. */
static bool
send_answer(struct question *q)
{
	while (q->off != SIZE_MAX && session_has_room(link_session(q->link))) {
		size_t n = q->out.len - q->off < PART_BYTES ? q->out.len - q->off : PART_BYTES;
		bool last = q->off + n == q->out.len;

		if (exchange_tell(q->link, q->id, CODE_OK, last,
				  q->out.data != NULL ? q->out.data + q->off : NULL, n) < 0)
			return false;
		q->off = last ? SIZE_MAX : q->off + n;
	}
	return q->off == SIZE_MAX;
}

static void
question_free(struct question *q)
{
	buf_free(&q->blob);
	buf_free(&q->out);
	free(q);
}

static void
answer(struct merge *m)
{
	struct question **at = &m->questions;

	while (*at != NULL) {
		struct question *q = *at;

		if (!q->made && quiet(m))
			make_answer(m, q);
		if (!q->made || !send_answer(q)) {
			at = &q->next;
			continue;
		}
		*at = q->next;
		question_free(q);
	}
}

bool
merge_asked(struct merge *m, struct link *l, uint32_t id, uint8_t what, const uint8_t *blob,
	    size_t len)
{
	struct question *q, **at = &m->questions;
	unsigned waiting = 0;

	if (what != MERGE_DIGEST && what != MERGE_STATE && what != MERGE_RECORDS)
		return false;
	for (; *at != NULL; at = &(*at)->next)
		waiting += (*at)->link == l;
	q = waiting < MERGE_QUESTIONS_MAX ? calloc(1, sizeof(*q)) : NULL;
	if (q == NULL) {
		(void)!exchange_tell(l, id, CODE_BUSY, true, NULL, 0);
		return true;
	}
	q->link = l;
	q->id = id;
	q->what = what;
	buf_put(&q->blob, blob, len);
	*at = q;
	if (quiet(m))
		answer(m);
	return true;
}

/* ---- asking ---- */

static void
pull_clear(struct pull *p)
{
	buf_free(&p->in);
	p->in = (struct buf){0};
	dotset_clear(&p->have);
	dotset_clear(&p->floor_set);
	dotset_clear(&p->heads);
	dotset_clear(&p->lacking);
}

static void
pull_end(struct pull *p, uint64_t again_ms)
{
	pull_clear(p);
	p->phase = IDLE;
	p->look_ms = p->m->n->now_ms + again_ms;
}

static void told(struct ask *a, uint8_t code, bool last, const uint8_t *blob, size_t len);

static bool
ask(struct pull *p, uint8_t what, const void *blob, size_t len)
{
	struct exchange *x = p->m->n->exchange;
	struct peer *peer = exchange_peer(x, p->peer);

	buf_reset(&p->in);
	p->ask = (struct ask){.tell = told};
	p->asked = true;
	if (peer != NULL && exchange_ask(x, peer, what, blob, len, &p->ask) == 0)
		return true;
	p->asked = false;
	pull_end(p, RETRY_MS);
	return false;
}

static void
put_record(struct merge *m, const struct record *r)
{
	commit_put(m->n->commit, &(struct entry){.type = ENTRY_KNOWN, .rec = *r});
}

/* ---- the end of a merge: everything that was lacking is folded ---- */

static void
put_removed(struct pull *p)
{
	struct node *n = p->m->n;
	uint64_t removed = 0;

	for (const struct irec *i = n->index->log_first; i != NULL; i = i->log_next) {
		if (!i->head || !dotset_has(&p->have, i->r->dot) ||
		    dotset_has(&p->heads, i->r->dot))
			continue;
		removed++;
		commit_put(n->commit, &(struct entry){.type = ENTRY_REMOVED,
						      .path = i->ent->path,
						      .path_len = i->ent->path_len,
						      .dot = i->r->dot});
	}
	commit_put(n->commit, &(struct entry){.type = ENTRY_FLOOR, .set = p->floor_set});
	commit_put(n->commit, &(struct entry){.type = ENTRY_VECTOR, .set = p->have});
	LOG(n->log, LOG_WARN, "merge.floor",
	    "this node was away for longer than deletes are remembered: what was deleted meanwhile "
	    "goes to the store",
	    log_s("peer", p->peer), log_u("removed", removed));
}

static void
stored(struct commit_done *d)
{
	struct pull *p = (struct pull *)((char *)d - offsetof(struct pull, done));

	if (p->floor)
		put_removed(p);
	else
		LOG(p->m->n->log, LOG_INFO, "merge.union", "whole states were merged",
		    log_s("peer", p->peer));
	pull_end(p, p->floor ? RETRY_MS : MERGE_LOOK_MS);
}

static void
store(struct pull *p)
{
	p->phase = STORING;
	p->done.done = stored;
	commit_then(p->m->n->commit, &p->done);
}

/* ---- records ---- */

static void
ask_records(struct pull *p)
{
	struct dotset some = {0};
	struct buf b = {0};
	unsigned ranges = 0;
	int r = 0;

	for (uint32_t i = 0; i < p->lacking.n; i++)
		for (uint32_t k = 0; k < p->lacking.o[i].n && ranges < MERGE_RANGES_MAX && r == 0;
		     k++, ranges++)
			r = dotset_add_range(&some, p->lacking.o[i].origin,
					     p->lacking.o[i].span[k].lo,
					     p->lacking.o[i].span[k].hi);
	dotset_encode(&b, &some);
	if (must(p->m, r) && must(p->m, b.failed ? -ENOMEM : 0)) {
		p->phase = RECORDS;
		(void)ask(p, MERGE_RECORDS, b.data, b.len);
	}
	buf_free(&b);
	dotset_free(&some);
}

static void
got_records(struct pull *p)
{
	struct cur c = cur_of(p->in.data, p->in.len);
	uint64_t before = dotset_count(&p->lacking);
	int r = 0;

	while (r == 0 && c.left > 0) {
		struct record rec;

		r = record_decode(&c, &rec);
		if (r == 0 && dotset_has(&p->lacking, rec.dot)) {
			put_record(p->m, &rec);
			r = dotset_del(&p->lacking, rec.dot);
		}
		record_clear(&rec);
	}
	if (r < 0 || (dotset_count(&p->lacking) == before && before > 0 && p->floor)) {
		/* Superseded over there since: its state has moved on, and is asked for anew. */
		pull_end(p, RETRY_MS);
	} else if (!dotset_empty(&p->lacking) && dotset_count(&p->lacking) < before) {
		ask_records(p);
	} else {
		store(p);
	}
}

/* ---- state ---- */

static int
decode_state(struct pull *p)
{
	struct cur c = cur_of(p->in.data, p->in.len);
	struct dotset have = {0}, floor = {0}, heads = {0};
	int r = dotset_decode(&c, &have);

	if (r == 0)
		r = dotset_decode(&c, &floor);
	if (r == 0)
		r = dotset_decode(&c, &heads);
	if (r == 0 &&
	    (c.left != 0 || !dotset_subset(&heads, &have) || !dotset_subset(&floor, &have)))
		r = -EPROTO;
	dotset_free(&p->have);
	dotset_free(&p->floor_set);
	dotset_free(&p->heads);
	p->have = have;
	p->floor_set = floor;
	p->heads = heads;
	return r;
}

static void
got_state(struct pull *p)
{
	struct dotset mine = {0};
	int r = decode_state(p);

	if (r < 0) {
		pull_end(p, MERGE_LOOK_MS);
		return;
	}
	r = dots_of(p->m->n->index, false, &mine);
	if (r == 0)
		r = dotset_copy(&p->lacking, &p->heads);
	if (r == 0)
		r = dotset_minus(&p->lacking, &mine);
	dotset_free(&mine);
	if (!must(p->m, r))
		return;
	if (dotset_empty(&p->lacking))
		store(p);
	else
		ask_records(p);
}

/* ---- digests ---- */

static void
mismatch(struct pull *p)
{
	struct node *n = p->m->n;

	p->m->mismatches++;
	LOG(n->log, LOG_ERROR, "merge.mismatch",
	    "two nodes hold the same records and show different files: whole states are merged",
	    log_s("peer", p->peer));
	errors_add(n->errors, n->wall_ms, p->peer, "digest", NULL, 0,
		   "the same records, but different files: whole states are merged");
	if (p->merged_ms != 0 && n->now_ms - p->merged_ms < MERGE_PAUSE_MS) {
		pull_end(p, MERGE_LOOK_MS);
		return;
	}
	p->merged_ms = n->now_ms;
	scrub_now(n->scrub); /* a disk may be the reason */
	p->floor = false;
	p->phase = STATE;
	(void)ask(p, MERGE_STATE, NULL, 0);
}

static void
got_digest(struct pull *p)
{
	const struct index *x = p->m->n->index;
	struct cur c = cur_of(p->in.data, p->in.len);
	uint64_t digest = cur_u64(&c), heads0 = cur_u64(&c), heads1 = cur_u64(&c);
	struct dotset floor = {0};
	int r;

	if (c.bad || dotset_decode(&c, &floor) < 0) {
		pull_end(p, MERGE_LOOK_MS);
		return;
	}
	p->floor = !dotset_subset(&floor, &x->have);
	r = p->floor ? 0 : collect_elsewhere(p->m->n->collect, &floor);
	dotset_free(&floor);
	if (!must(p->m, r))
		return;
	if (p->floor) {
		p->phase = STATE;
		(void)ask(p, MERGE_STATE, NULL, 0);
	} else if (!quiet(p->m)) {
		pull_end(p, RETRY_MS);
	} else if (digest == dotset_digest(&x->have) &&
		   (heads0 != x->digest[0] || heads1 != x->digest[1])) {
		mismatch(p);
	} else {
		pull_end(p, MERGE_LOOK_MS);
	}
}

static void
told(struct ask *a, uint8_t code, bool last, const uint8_t *blob, size_t len)
{
	struct pull *p = (struct pull *)((char *)a - offsetof(struct pull, ask));

	if (code == CODE_OK && p->in.len + len <= MERGE_ANSWER_BYTES_MAX)
		buf_put(&p->in, blob, len);
	else
		p->in.failed = true;
	if (!last)
		return;
	p->asked = false;
	if (p->in.failed)
		pull_end(p, MERGE_LOOK_MS);
	else if (p->phase == DIGEST)
		got_digest(p);
	else if (p->phase == STATE)
		got_state(p);
	else if (p->phase == RECORDS)
		got_records(p);
}

static struct pull *
pull_of(struct merge *m, const char *peer)
{
	struct pull *p;

	for (p = m->pulls; p != NULL; p = p->next)
		if (strcmp(p->peer, peer) == 0)
			return p;
	p = calloc(1, sizeof(*p));
	if (p == NULL)
		return NULL;
	p->m = m;
	memcpy(p->peer, peer, strlen(peer));
	p->next = m->pulls;
	m->pulls = p;
	return p;
}

static void
look(struct pull *p)
{
	p->phase = DIGEST;
	(void)ask(p, MERGE_DIGEST, NULL, 0);
}

void
merge_link_opened(struct merge *m, struct peer *peer)
{
	struct pull *p = pull_of(m, peer->name);

	if (p == NULL)
		(void)must(m, -ENOMEM);
	else if (p->phase == IDLE)
		look(p);
}

void
merge_link_closed(struct merge *m, const struct link *l)
{
	struct question **at = &m->questions;

	while (*at != NULL) {
		struct question *q = *at;

		if (q->link != l) {
			at = &q->next;
			continue;
		}
		*at = q->next;
		question_free(q);
	}
}

void
merge_durable(struct merge *m)
{
	if (m->questions != NULL)
		answer(m);
}

/* Looked up by name: asked last, as every turn of the loop comes by here for every peer. */
static bool
connected(const struct pull *p)
{
	const struct peer *peer = exchange_peer(p->m->n->exchange, p->peer);

	return peer != NULL && peer->link != NULL;
}

void
merge_tick(struct merge *m)
{
	answer(m);
	for (struct pull *p = m->pulls; p != NULL; p = p->next)
		if (p->phase == IDLE && m->n->now_ms >= p->look_ms && connected(p))
			look(p);
}

uint64_t
merge_deadline(const struct merge *m)
{
	uint64_t at = UINT64_MAX;

	for (const struct pull *p = m->pulls; p != NULL; p = p->next)
		if (p->phase == IDLE && p->look_ms < at && connected(p))
			at = p->look_ms;
	return at;
}

uint64_t
merge_mismatches(const struct merge *m)
{
	return m->mismatches;
}

struct merge *
merge_new(struct node *n)
{
	struct merge *m = calloc(1, sizeof(*m));

	if (m != NULL)
		m->n = n;
	return m;
}

void
merge_free(struct merge *m)
{
	struct pull *p, *next;

	if (m == NULL)
		return;
	while (m->questions != NULL) {
		struct question *q = m->questions;

		m->questions = q->next;
		question_free(q);
	}
	for (p = m->pulls; p != NULL; p = next) {
		next = p->next;
		buf_free(&p->in);
		dotset_free(&p->have);
		dotset_free(&p->floor_set);
		dotset_free(&p->heads);
		dotset_free(&p->lacking);
		free(p);
	}
	free(m);
}
