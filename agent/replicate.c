/* SPDX-License-Identifier: BSD-2-Clause */
/* Records and sets on one link: what is sent when, and what is taken from what comes. */
#include "config.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/apply.h"
#include "agent/commit.h"
#include "agent/exchange_internal.h"
#include "agent/fetch.h"
#include "agent/merge.h"
#include "agent/serve.h"
#include "agent/share.h"
#include "agent/witness.h"
#include "proto/seeded.h"

/* So many neighbours of a peer have a share of what it lacks, and so many records are looked at in
 * one go: a log of a million must not keep everything else waiting. */
#define SHARES_MAX 32
#define WALK_MAX 10000
#define MARK_EVERY_MS 5 /* a finer grain of the relay delay is of no use */

/* ---- inlined content on its way through the WAL ---- */

struct inlined {
	struct dot dot;
	size_t len;
	uint8_t *bytes;
	struct inlined *older, *newer;
};

/* Peers choose the dots: the seed is ours. */
static uint64_t
dot_hash(const struct exchange *x, struct dot d)
{
	return map_hash(x->seed ^ d.origin, &d.seq, sizeof(d.seq));
}

static bool
inlined_match(const void *item, const void *key)
{
	const struct inlined *i = item;
	const struct dot *d = key;

	return dot_eq(i->dot, *d);
}

/* Takes it out; its bytes are the caller's. */
static uint8_t *
inbox_take(struct exchange *x, struct inlined *i)
{
	uint8_t *bytes = i->bytes;

	map_del(&x->inbox, dot_hash(x, i->dot), i);
	x->inbox_bytes -= i->len;
	if (i->older != NULL)
		i->older->newer = i->newer;
	else
		x->oldest = i->newer;
	if (i->newer != NULL)
		i->newer->older = i->older;
	else
		x->newest = i->older;
	free(i);
	return bytes;
}

uint8_t *
exchange_inlined(struct exchange *x, struct dot dot, size_t *len)
{
	struct inlined *i = map_find(&x->inbox, dot_hash(x, dot), inlined_match, &dot);

	if (i == NULL)
		return NULL;
	x->inbox_ms = x->n->now_ms;
	*len = i->len;
	return inbox_take(x, i);
}

static bool
inbox_half_full(const struct exchange *x)
{
	return x->inbox_bytes > EXCHANGE_INBOX_BYTES_MAX / 2 ||
	       x->inbox.n > EXCHANGE_INBOX_ITEMS_MAX / 2;
}

/* Losing it is harmless: the content is fetched later. */
static void
inbox_add(struct exchange *x, struct dot dot, const uint8_t *bytes, size_t len)
{
	struct inlined *i;

	if (x->inbox_bytes + len > EXCHANGE_INBOX_BYTES_MAX ||
	    x->inbox.n >= EXCHANGE_INBOX_ITEMS_MAX)
		return;
	i = malloc(sizeof(*i));
	if (i == NULL)
		return;
	*i = (struct inlined){.dot = dot, .len = len, .bytes = malloc(len > 0 ? len : 1)};
	if (i->bytes == NULL || map_add(&x->inbox, dot_hash(x, dot), i) < 0) {
		free(i->bytes);
		free(i);
		return;
	}
	if (len > 0)
		memcpy(i->bytes, bytes, len);
	if (!inbox_half_full(x))
		x->inbox_ms = x->n->now_ms;
	x->inbox_bytes += len;
	i->older = x->newest;
	if (x->newest != NULL)
		x->newest->newer = i;
	else
		x->oldest = i;
	x->newest = i;
}

/*
 * Content whose record was superseded before it was staged, or whose path has to wait, is not asked
 * for: it must not keep the peers waiting for ever.
 */
void
exchange_inbox_tick(struct exchange *x)
{
	if (!inbox_half_full(x) || x->n->now_ms - x->inbox_ms < EXCHANGE_INBOX_MS)
		return;
	while (x->inbox_bytes > EXCHANGE_INBOX_BYTES_MAX / 4 ||
	       x->inbox.n > EXCHANGE_INBOX_ITEMS_MAX / 4)
		free(inbox_take(x, x->oldest));
}

uint64_t
exchange_inbox_deadline(const struct exchange *x)
{
	return inbox_half_full(x) ? x->inbox_ms + EXCHANGE_INBOX_MS : UINT64_MAX;
}

void
exchange_inbox_free(struct exchange *x)
{
	while (x->oldest != NULL)
		free(inbox_take(x, x->oldest));
	map_free(&x->inbox);
}

bool
exchange_full(const struct exchange *x)
{
	return inbox_half_full(x) || commit_bytes(x->n->commit) > EXCHANGE_RECORDS_BYTES_MAX ||
	       dotset_count(&x->incoming) > EXCHANGE_RECORDS_MAX;
}

/* ---- after each durable round ---- */

void
exchange_mark(struct exchange *x)
{
	uint64_t now = x->n->now_ms;

	if (x->nmarks > 0 && x->marks[x->nmarks - 1].lsn == x->durable)
		return;
	if (x->nmarks > 0 &&
	    (x->nmarks == MARKS_MAX || now - x->marks[x->nmarks - 1].ms < MARK_EVERY_MS)) {
		x->marks[x->nmarks - 1].lsn =
			x->durable; /* shares the older stamp's slot, with the newer time */
		x->marks[x->nmarks - 1].ms = now;
		return;
	}
	x->marks[x->nmarks].ms = now;
	x->marks[x->nmarks++].lsn = x->durable;
}

/* Records up to here were durable EXCHANGE_RELAY_MS ago. */
static uint64_t
relay_lsn(struct exchange *x)
{
	uint64_t lsn = 0;
	size_t done = 0;

	for (size_t i = 0; i < x->nmarks && x->marks[i].ms + EXCHANGE_RELAY_MS <= x->n->now_ms;
	     i++) {
		lsn = x->marks[i].lsn;
		done = i;
	}
	if (done > 0) {
		memmove(x->marks, x->marks + done, (x->nmarks - done) * sizeof(x->marks[0]));
		x->nmarks -= done;
	}
	return lsn;
}

void
exchange_durable(struct exchange *x, uint64_t lsn)
{
	const struct index *i = x->n->index;
	bool acked = !dotset_eq(&x->acked, &i->acked);

	x->durable = lsn;
	exchange_mark(x);
	if (!exchange_must(x, dotset_join(&x->have, &i->have)) ||
	    !exchange_must(x, dotset_minus(&x->incoming, &x->have)))
		return;
	if (acked && !exchange_must(x, dotset_copy(&x->acked, &i->acked)))
		return;
	for (struct link *l = x->links; l != NULL; l = l->next)
		if (l->open && !l->over) {
			l->sets_due = true;
			link_pump(l);
		}
	merge_durable(x->n->merge);
	if (acked && x->n->acked != NULL)
		x->n->acked(x->n->arg);
}

/* ---- sending ---- */

/* Tells the peer who runs an origin, once a session. */
static int
tell_origin(struct link *l, uint64_t id)
{
	const struct origin *o = index_origin(l->x->n->index, id);
	struct msg m = {.type = MSG_ORIGIN, .origin = id};
	int r;

	if (vv_get(&l->origins, id) != 0)
		return 0;
	if (o != NULL) {
		m.store = o->store;
		memcpy(m.node, o->node, sizeof(m.node));
	} else { /* a damaged WAL lost who ran it, and nobody knew: the records matter more */
		m.store = l->x->n->store;
		memcpy(m.node, l->x->n->conf->name, strlen(l->x->n->conf->name));
	}
	r = session_send(l->s, &m);
	return r < 0 ? r : vv_add(&l->origins, (struct dot){id, 1});
}

/* A node whose WAL was damaged may have records of origins that it knows no more: it is told first.
 */
static void
tell_all_origins(struct link *l)
{
	const struct index *x = l->x->n->index;

	for (size_t i = 0; i < x->norigins; i++)
		if (tell_origin(l, x->origins[i].id) < 0)
			return; /* it goes before the first record then */
}

void
link_opened(struct link *l, bool same)
{
	struct exchange *x = l->x;

	l->catching_up = true;
	l->opened_lsn = x->durable;
	l->sets_due = true;
	if (same) { /* both hold just what we held when our HELLO was made, and both know it */
		l->seen_all = true;
		if (!exchange_must(x, dotset_join(&l->peer->seen, &l->told)) ||
		    !exchange_must(x, dotset_copy(&l->vouched, &l->told)))
			return;
	} else {
		dotset_clear(&l->told);
		tell_all_origins(l);
		if (session_send_set(l->s, &(struct msg){.type = MSG_SEEN}, &x->have) == 0)
			(void)exchange_must(x, dotset_copy(&l->told, &x->have));
	}
	if (session_send_set(l->s, &(struct msg){.type = MSG_ACK, .reset = true}, &x->acked) == 0)
		(void)exchange_must(x, dotset_copy(&l->told_acked, &x->acked));
}

/* Small content goes with its record, if it is here and unchanged. Returns malloc'ed bytes or NULL.
 */
static uint8_t *
inline_content(struct node *n, const struct record *r)
{
	uint8_t *bytes;
	struct tfile *f;
	ssize_t got;

	if (r->kind != KIND_FILE || (r->flags & (RECORD_MOVED | RECORD_IMPORT)) != 0 ||
	    r->size > n->conf->inline_max || r->size > MSG_INLINE_BYTES_MAX ||
	    serve_open(n, r->hash, r->size, &f, NULL) < 0)
		return NULL;
	bytes = malloc(r->size > 0 ? r->size : 1);
	got = bytes != NULL ? tfile_read_at(f, 0, bytes, r->size) : -1;
	tfile_close(f);
	if (got == (ssize_t)r->size)
		return bytes;
	free(bytes);
	return NULL;
}

static int
send_record(struct link *l, const struct irec *i)
{
	struct msg m = {.type = MSG_RECORD, .rec = *i->r};
	uint8_t *bytes;
	int r = tell_origin(l, i->r->dot.origin);

	if (r < 0)
		return r;
	bytes = l->bare && i->lsn <= l->opened_lsn ? NULL : inline_content(l->x->n, i->r);
	if (bytes != NULL) {
		m.inlined = true;
		m.bytes = bytes;
		m.len = i->r->size;
		l->peer->inline_out += m.len;
	}
	r = session_send(l->s, &m);
	free(bytes);
	if (r == 0)
		(void)exchange_must(l->x, dotset_add(&l->peer->seen, i->r->dot));
	return r;
}

static struct irec *
peek(const struct index *x, const struct index_cursor *c, uint64_t upto)
{
	struct irec *i = c->last != NULL ? c->last->log_next : x->log_first;

	return i != NULL && i->lsn <= upto ? i : NULL;
}

/* A peer has just said who runs it; that is not folded yet. */
static bool
introduced_soon(const struct exchange *x, uint64_t origin)
{
	return index_origin(x->n->index, origin) == NULL && vv_get(&x->origins_put, origin) != 0;
}

static bool
holds(const struct exchange *x, const char *name, struct dot dot)
{
	const struct peer *p = exchange_peer(x, name);

	return p != NULL && (dotset_has(&p->acked, dot) || dotset_has(&p->seen, dot));
}

/*
 * A peer that catches up is told of each record by all its neighbours. So that not each of them
 * sends it all the content, each begins with its share: the records at which its name ranks highest
 * among those that hold them.
 */
static bool
our_share(const struct link *l, struct dot dot)
{
	uint64_t ours = share_rank(l->x->n->conf->name, dot);

	for (size_t i = 0; i < l->nnear && i < SHARES_MAX; i++)
		if (share_rank(l->near[i], dot) > ours && holds(l->x, l->near[i], dot))
			return false;
	return true;
}

/* What is sent before all else: our share of what was here when the peer came, and from then on
 * what was written on this node. */
static bool
at_once(const struct link *l, const struct irec *i)
{
	if (l->catching_up && i->lsn <= l->opened_lsn)
		return our_share(l, i->r->dot);
	return index_own(l->x->n->index, i->r->dot.origin);
}

/* Its other neighbours have their shares under way: what is lacking when ours was sent is left to
 * them for a while. */
static bool
left_to_others(const struct link *l, const struct irec *i)
{
	return l->catching_up && i->lsn <= l->opened_lsn &&
	       (l->others_ms == 0 || l->x->n->now_ms < l->others_ms) && !our_share(l, i->r->dot);
}

/* Walks one cursor as far as it may go. True: it stands at `upto` (nothing is left before it). */
static bool
walk(struct link *l, struct index_cursor *c, uint64_t upto, bool first)
{
	struct index *x = l->x->n->index;
	unsigned looked = 0;
	struct irec *i;

	while ((i = peek(x, c, upto)) != NULL) {
		bool send = !dotset_has(&l->peer->seen, i->r->dot) && (!first || at_once(l, i));

		if (send &&
		    (introduced_soon(l->x, i->r->dot.origin) || (!first && left_to_others(l, i))))
			return false;
		if (send && (!session_has_room(l->s) || send_record(l, i) < 0))
			return false;
		(void)index_cursor_next(x, c);
		if (++looked == WALK_MAX) {
			l->more = true;
			return false;
		}
	}
	return true;
}

static void
send_sets(struct link *l, bool complete)
{
	struct exchange *x = l->x;
	struct dotset news = {0};
	const struct dotset *said = complete ? &l->vouched : &l->told;
	struct msg m = {.type = complete ? MSG_UPTO : MSG_SEEN};

	if (!exchange_must(x, dotset_copy(&news, &x->have)) ||
	    !exchange_must(x, dotset_minus(&news, said)))
		goto out;
	l->sets_due = false;
	if (!dotset_empty(&news) && session_send_set(l->s, &m, &news) == 0) {
		l->sets_ms = x->n->now_ms;
		(void)exchange_must(x, dotset_join(&l->told, &news));
		if (complete)
			(void)exchange_must(x, dotset_join(&l->vouched, &news));
	}
out:
	dotset_free(&news);
}

static void
send_ack(struct link *l)
{
	struct exchange *x = l->x;
	struct dotset news = {0};

	if (dotset_eq(&x->acked, &l->told_acked))
		return;
	if (!exchange_must(x, dotset_copy(&news, &x->acked)) ||
	    !exchange_must(x, dotset_minus(&news, &l->told_acked)))
		goto out;
	if (!dotset_empty(&news) &&
	    session_send_set(l->s, &(struct msg){.type = MSG_ACK}, &news) == 0)
		(void)exchange_must(x, dotset_join(&l->told_acked, &news));
out:
	dotset_free(&news);
}

/* A node that has not taken its own files on yet waits to know what the cluster has: now it does.
 */
static void
tell_exchanged(struct link *l)
{
	struct node *n = l->x->n;

	if (n->index->exchanged || l->x->exchanged ||
	    !dotset_subset(&l->peer->seen, &n->index->have))
		return;
	l->x->exchanged = true;
	commit_put(n->commit, &(struct entry){.type = ENTRY_VECTOR});
}

void
exchange_await(struct exchange *x)
{
	x->exchanged = false;
}

void
link_pump(struct link *l)
{
	struct exchange *x = l->x;
	uint64_t relay = l->catching_up ? x->durable : relay_lsn(x);
	bool complete;

	if (!session_has_room(l->s) || l->peer == NULL)
		return;
	l->more = false;
	send_ack(l);
	if (!l->seen_all)
		return;
	tell_exchanged(l);
	complete = walk(l, &l->own, x->durable, true);
	if (complete && l->others_ms == 0)
		l->others_ms = x->n->now_ms + EXCHANGE_SHARE_MS;
	complete = walk(l, &l->relay, relay, false) && complete;
	complete = complete && peek(x->n->index, &l->relay, x->durable) == NULL;
	/* A record that is not durable yet may have superseded one that was not sent, and is not to
	 * be found any more: without either, nobody may be told that he holds it. */
	complete = complete && x->n->index->lsn == x->durable;
	/* What a peer lacks of our floor no record will tell it: it takes over our whole state
	 * first (merge.h). */
	complete = complete &&
		   (dotset_subset(&x->n->index->floor, &l->peer->seen) || SEEDED(floor_not_told));
	if (complete)
		l->catching_up = false;
	if (l->sets_due && x->n->now_ms - l->sets_ms >= EXCHANGE_SET_MS)
		send_sets(l, complete);
	else if (complete && !dotset_subset(&x->have, &l->vouched) &&
		 x->n->now_ms - l->sets_ms >= EXCHANGE_SET_MS)
		send_sets(l, true);
}

uint64_t
link_deadline(const struct link *l)
{
	const struct exchange *x = l->x;
	uint64_t at = UINT64_MAX;

	if (!l->seen_all)
		return at;
	if (l->more && session_has_room(l->s))
		return 0;
	if (l->sets_due || !dotset_subset(&x->have, &l->vouched))
		at = l->sets_ms + EXCHANGE_SET_MS;
	if (l->catching_up && l->others_ms > x->n->now_ms && l->others_ms < at)
		at = l->others_ms;
	for (size_t i = 0; i < x->nmarks; i++)
		if (peek(x->n->index, &l->relay, x->marks[i].lsn) != NULL) {
			uint64_t due = x->marks[i].ms + EXCHANGE_RELAY_MS;

			at = due < at ? due : at;
			break;
		}
	return at;
}

/* ---- receiving ---- */

static void
broken(struct link *l, const char *text)
{
	session_bye(l->s, CODE_PROTOCOL, text);
}

/* Some of what the peer says is not kept. */
static void
cut(struct link *l, const char *what)
{
	struct node *n = l->x->n;

	if (l->told_limit)
		return;
	l->told_limit = true;
	LOG(n->log, LOG_WARN, "peer.limit", what, log_s("peer", l->peer->name));
	errors_add(n->errors, n->wall_ms, l->peer->name, "limit", NULL, 0, what);
}

/* Would the set, with so many ranges or this one's origins more, be larger than any is kept? */
static bool
too_large(const struct dotset *set, const struct dotset *more)
{
	return dotset_spans(set) + dotset_spans(more) > EXCHANGE_SPANS_MAX ||
	       (set->n + more->n > EXCHANGE_ORIGINS_MAX && !dotset_subset(more, set));
}

#define TOO_MANY_SPANS                                                                             \
	"it tells of more ranges of records than are remembered: the rest is left out"

/* The ranges of one frame, in whatever order they came: joined at once, or not at all. */
static bool
join_spans(struct link *l, struct dotset *set, const struct msg *m)
{
	struct dotset more = {0};
	bool good = true;

	for (uint32_t i = 0; i < m->nspans && good; i++) {
		struct span3 s = msg_span(m, i);

		s.lo = SEEDED(upto_per_origin) ? 1 : s.lo;
		good = exchange_must(l->x, dotset_add_range(&more, s.origin, s.lo, s.hi));
	}
	if (good && too_large(set, &more))
		cut(l, TOO_MANY_SPANS);
	else if (good)
		good = exchange_must(l->x, dotset_join(set, &more));
	dotset_free(&more);
	return good;
}

void
link_got_seen(struct link *l, const struct msg *m)
{
	if (join_spans(l, &l->peer->seen, m) && m->last)
		l->seen_all = true;
}

/* Those in the WAL and those on their way into it. */
static size_t
origins_known(const struct exchange *x)
{
	const struct index *i = x->n->index;
	size_t n = i->norigins;

	if (n + x->origins_put.n < VV_ENTRIES_MAX)
		return n;
	for (uint32_t k = 0; k < x->origins_put.n; k++)
		n += index_origin(i, x->origins_put.e[k].origin) == NULL;
	return n;
}

void
link_got_origin(struct link *l, const struct msg *m)
{
	struct exchange *x = l->x;

	if (index_origin(x->n->index, m->origin) != NULL || vv_get(&x->origins_put, m->origin) != 0)
		return;
	if (origins_known(x) >= VV_ENTRIES_MAX) {
		broken(l, "more origins than a cluster may have");
		return;
	}
	if (!exchange_must(x, vv_add(&x->origins_put, (struct dot){m->origin, 1})))
		return;
	commit_put(x->n->commit, &(struct entry){.type = ENTRY_ORIGIN,
						 .num = m->origin,
						 .num2 = m->store,
						 .name = (const uint8_t *)m->node,
						 .name_len = strlen(m->node)});
}

/* One dot, two records: somebody's disk or memory lies, or a running machine was copied. What is
 * here stays; nothing more is taken of that origin, and a person must look. */
static void
freeze(struct exchange *x, const char *peer, const struct record *r)
{
	struct node *n = x->n;
	char dot[DOT_TEXT_BYTES];

	dot_text(r->dot, dot);
	LOG(n->log, LOG_ERROR, "record.equivocation",
	    "one dot names two different records: nothing more is taken of that origin. Was a "
	    "running machine copied, or its disk damaged? Restart mimeo-watcher there, compare "
	    "that file on all nodes, then: mimeo resume --accept-origin ORIGIN",
	    log_s("peer", peer), log_s("dot", dot), log_b("path", r->path, r->path_len));
	errors_add(n->errors, n->wall_ms, peer, "equivocation", r->path, r->path_len,
		   "one dot names two different records: nothing more is taken of its origin");
	if (vv_get(&x->frozen, r->dot.origin) != 0 ||
	    !exchange_must(x, vv_add(&x->frozen, (struct dot){r->dot.origin, 1})))
		return;
	commit_put(n->commit, &(struct entry){.type = ENTRY_FROZEN, .num = r->dot.origin});
}

void
exchange_record(struct exchange *x, const struct record *r, bool own)
{
	if (own && !witness_saw(x->witness, r))
		freeze(x, "", r);
}

void
link_got_record(struct link *l, const struct msg *m)
{
	struct exchange *x = l->x;
	struct dot dot = m->rec.dot;

	if (!exchange_must(x, dotset_add(&l->peer->seen, dot)))
		return;
	if (m->inlined)
		l->peer->inline_in += m->len;
	if (vv_get(&x->frozen, dot.origin) != 0)
		return;
	if (!witness_saw(x->witness, &m->rec)) {
		freeze(x, l->peer->name, &m->rec);
		return;
	}
	if (dotset_has(&x->n->index->have, dot) || dotset_has(&x->incoming, dot))
		return; /* here already, superseded, or collected */
	if (index_origin(x->n->index, dot.origin) == NULL &&
	    vv_get(&x->origins_put, dot.origin) == 0) {
		broken(l, "a record of an origin that was not introduced");
		return;
	}
	if (!exchange_must(x, dotset_add(&x->incoming, dot)) ||
	    (SEEDED(held_before_durable) && !exchange_must(x, dotset_add(&x->have, dot))))
		return;
	if (m->inlined)
		inbox_add(x, dot, m->bytes, m->len);
	commit_put(x->n->commit, &(struct entry){.type = ENTRY_KNOWN, .rec = m->rec});
}

/* What was not taken is not held, whoever vouches for it. */
static bool
without_frozen(struct link *l)
{
	struct dotset frozen = {0};
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < l->x->frozen.n; i++)
		r = dotset_add_range(&frozen, l->x->frozen.e[i].origin, 1, DOT_SEQ_MAX);
	if (r == 0)
		r = dotset_minus(&l->upto, &frozen);
	dotset_free(&frozen);
	return exchange_must(l->x, r);
}

void
link_got_upto(struct link *l, const struct msg *m)
{
	struct exchange *x = l->x;
	struct dotset known = {0};

	if (!join_spans(l, &l->upto, m) || !m->last)
		return;
	if (!exchange_must(x, dotset_join(&l->peer->seen, &l->upto)) || !without_frozen(l) ||
	    !exchange_must(x, dotset_copy(&known, &x->n->index->have)) ||
	    !exchange_must(x, dotset_join(&known, &x->incoming)))
		goto out;
	if (!dotset_subset(&l->upto, &known)) {
		uint64_t before = dotset_spans(&known);

		if (!exchange_must(x, dotset_join(&known, &l->upto)))
			goto out;
		if (dotset_spans(&known) > before && dotset_spans(&known) > EXCHANGE_SPANS_MAX)
			cut(l, "it holds so many single records that this node cannot keep count: "
			       "they are not counted as held");
		else
			commit_put(x->n->commit,
				   &(struct entry){.type = ENTRY_VECTOR, .set = l->upto});
	}
	dotset_clear(&l->upto);
out:
	dotset_free(&known);
}

/* Is that relayed word about the store that the node has now? First-hand words need no relay. */
static bool
relayed_ok(const struct exchange *x, struct peer *p, const struct msg *m)
{
	const struct member *e = index_member(x->n->index, p->name);

	if (p->link != NULL || m->store == 0)
		return false;
	if (e != NULL && e->store != 0)
		return e->store == m->store && p->store == m->store;
	if (p->store == 0)
		p->store = m->store;
	return p->store == m->store;
}

static void
ack_moved(struct exchange *x, struct peer *p)
{
	p->acked_stamp++;
	x->acked_moved = true;
	fetch_peers_changed(x->n->fetch);
}

void
link_got_ack(struct link *l, const struct msg *m)
{
	struct exchange *x = l->x;
	struct peer *p = m->node[0] == '\0' ? l->peer : exchange_peer(x, m->node);
	struct dotset set = {0};

	if (p == NULL || (m->node[0] != '\0' && !relayed_ok(x, p, m)))
		return;
	if (m->reset && m->node[0] == '\0') {
		dotset_clear(&p->acked);
		ack_moved(x, p);
	}
	if (!join_spans(l, &set, m)) {
		dotset_free(&set);
		return;
	}
	if (too_large(&p->acked, &set)) {
		cut(l, TOO_MANY_SPANS);
		dotset_clear(&set);
	}
	if (!dotset_subset(&set, &p->acked) && exchange_must(x, dotset_join(&p->acked, &set)))
		ack_moved(x, p);
	if (p == l->peer)
		(void)exchange_must(x, dotset_join(&p->seen, &set));
	else
		link_told_ack(l, p, &set);
	dotset_free(&set);
	if (m->last && x->n->acked != NULL)
		x->n->acked(x->n->arg);
}

/* ---- what a peer lacks ---- */

/*
 * From the newest on, as that is what is lacking as a rule: it ends when as many were found as
 * there are dots that the peer lacks. What was superseded meanwhile is not found, so that it may
 * take the whole log.
 */
static struct lack
count_lack(const struct exchange *x, const struct peer *p)
{
	const struct index *i = x->n->index;
	struct dotset missing = {0};
	struct lack lack = {0};
	uint64_t most = UINT64_MAX;

	if (dotset_copy(&missing, &i->have) == 0 && dotset_minus(&missing, &p->acked) == 0)
		most = dotset_count(&missing);
	dotset_free(&missing);
	for (const struct irec *r = i->log_last; r != NULL && lack.count < most; r = r->log_prev) {
		uint64_t ms = r->r->hlc >> 16;

		if (dotset_has(&p->acked, r->r->dot))
			continue;
		lack.count++;
		lack.bytes += record_live(r->r) ? r->r->size : 0;
		if (lack.oldest_ms == 0 || ms < lack.oldest_ms)
			lack.oldest_ms = ms;
	}
	return lack;
}

struct lack
exchange_lack(const struct exchange *x, struct peer *p)
{
	uint64_t entries = wal_info(x->n->wal)->entries;

	if (dotset_subset(&x->n->index->have, &p->acked))
		return (struct lack){0};
	if (p->lack_entries != entries || p->lack_acks != p->acked_stamp || p->lack_ms == 0) {
		p->lack = count_lack(x, p);
		p->lack_entries = entries;
		p->lack_acks = p->acked_stamp;
		p->lack_ms = x->n->now_ms;
	}
	return p->lack;
}

/* A walk over a million records takes some 20 ms: it is made less often then. */
#define LACK_RECORDS_MS 1000

struct lack
exchange_lack_lately(const struct exchange *x, struct peer *p)
{
	const struct index *i = x->n->index;
	uint64_t age = EXCHANGE_LACK_MS + (i->files + i->tombstones) / LACK_RECORDS_MS;

	if (p->lack_ms == 0 || x->n->now_ms - p->lack_ms >= age ||
	    dotset_subset(&i->have, &p->acked))
		return exchange_lack(x, p);
	return p->lack;
}
