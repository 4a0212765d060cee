/* SPDX-License-Identifier: BSD-2-Clause */
/* Content into the stage: which source, which peer, how much credit; the bytes themselves are
 * written by intake.c in workers. */
#include "config.h"

#include "agent/fetch.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/intake.h"
#include "agent/serve.h"
#include "agent/store.h"
#include "agent/syncer.h"

#define TRIED_MAX 8  /* peers that failed this content before it is given up for now */
#define LOOK_MS 1000 /* what waits is looked at so often, whatever events there were */
#define STALL_MS                                                                                   \
	30000 /* a stream that brings nothing for so long is given up and asked elsewhere */
/* Fetches that wait for a peer and keep what they have open meanwhile; others begin anew, from the
 * stage. */
#define PARKED_MAX 64
/* A fetch that waited so long for a peer, or was told so often that it is busy, is put off: paths
 * that others can serve take its place. */
#define WAIT_MS 10000
#define BUSY_MAX 3
#define BUSY_MS 250               /* a peer that is busy is not asked again before */
#define SMALL_BYTES (256u * 1024) /* a fetch that may overtake the large ones */
/*
 * Content is better waited for where it comes sooner, and moves there from where it is on its way,
 * if that takes less than half the time and saves this much: speeds are guesses.
 */
#define SAVES_MS 2000
/* One that has not been asked for anything yet is worth a try: it is taken for so many times as
 * fast as the fastest. */
#define UNKNOWN_TIMES 4
#define MOVES_MAX 3 /* so often a fetch changes its peer for that */

/* A fetch under way. */
struct active {
	struct fetch *f;
	struct fetch_job *j;
	struct intake *in; /* writes and hashes; NULL before the source is chosen */
	struct link *link; /* where it comes from; NULL: here, or still to be chosen */
	uint32_t stream;
	uint64_t granted; /* bytes of content that the peer may have sent in all */
	uint64_t arrived; /* of those */
	uint64_t offset;  /* where this stream began */
	bool ended;       /* END came, or the link went */
	bool good;        /* it was END with CODE_OK */
	enum { STAY, WAIT_PEER, NEXT_PEER } then; /* once everything that came is written */
	unsigned busy, moves;
	uint64_t wait_ms; /* since when it waits */
	bool started;     /* its source was looked for once: it needs a peer */
	bool parked;      /* waits with its stage file open */
	bool delta;
	bool no_delta; /* a delta failed or was useless: whole, from now on */
	bool large;
	uint64_t ask_ms;              /* not before: the peer was busy */
	uint64_t moved_ms;            /* when it was asked for, or bytes last came */
	bool wrong;                   /* some content came and had another hash */
	const char *tried[TRIED_MAX]; /* names of peers: fetch_peer_gone takes them out */
	unsigned ntried;
	struct active *prev, *next;
};

struct fetch_list {
	struct active *first, *last;
	size_t n;
};

struct fetch {
	struct node *n;
	struct fetch_list active, waiting,
		low; /* waiting: not begun, or no peer has it at the moment */
	unsigned parked;
	bool peers_changed;
	bool running;
	bool ends;       /* a stream ended: somebody may have nothing to do for us any more */
	uint64_t queued; /* bytes that wait, when last counted */
	uint64_t look_ms;
	uint64_t serials;
};

static void begin(struct active *a);

static void
list_add(struct fetch_list *l, struct active *a)
{
	a->next = NULL;
	a->prev = l->last;
	if (l->last != NULL)
		l->last->next = a;
	else
		l->first = a;
	l->last = a;
	l->n++;
}

static void
list_del(struct fetch_list *l, struct active *a)
{
	if (a->prev != NULL)
		a->prev->next = a->next;
	else
		l->first = a->next;
	if (a->next != NULL)
		a->next->prev = a->prev;
	else
		l->last = a->prev;
	l->n--;
}

/* ---- the end of a fetch ---- */

static void
active_free(struct active *a)
{
	a->f->parked -= a->parked;
	if (a->large)
		syncer_large(a->f->n->syncer, -1);
	intake_free(a->in);
	free(a);
}

/* Content that did not have to travel. */
static void
count_saved(const struct active *a)
{
	struct counts *c = &a->f->n->counts;
	uint64_t size = a->j->rec->size;

	if (a->j->state == FETCH_LOCAL)
		c->local_bytes += size;
	else if (a->delta && a->arrived < size)
		c->delta_saved_bytes += size - a->arrived;
}

static void
finish(struct active *a, int error)
{
	struct fetch *f = a->f;
	struct fetch_job *j = a->j;

	list_del(&f->active, a);
	if (a->link != NULL && !a->ended)
		(void)!session_cancel(link_session(a->link), a->stream);
	f->ends = true;
	j->private_ = NULL;
	if (error == 0)
		count_saved(a);
	j->state = error == 0 ? FETCH_STAGED : FETCH_IDLE;
	if (error == 0) {
		j->file = intake_take_file(a->in);
		j->sig = *intake_sig(a->in);
	}
	active_free(a);
	j->done(j, error);
}

/* ---- which peer ---- */

static bool
was_tried(const struct active *a, const char *name)
{
	for (unsigned i = 0; i < a->ntried; i++)
		if (a->tried[i] == name)
			return true;
	return false;
}

/* What a peer is busy with for us. */
struct load {
	uint64_t in_flight; /* bytes granted and not arrived */
	uint64_t left;      /* bytes that it was asked for and that have not arrived */
	unsigned streams;
};

static uint64_t
left(const struct active *a)
{
	uint64_t done = a->offset + a->arrived;

	return a->j->rec->size > done ? a->j->rec->size - done : 0;
}

static struct load
load(const struct fetch *f, const struct link *l)
{
	struct load sum = {0};

	for (const struct active *a = f->active.first; a != NULL; a = a->next)
		if (a->link == l && !a->ended) {
			sum.in_flight += a->granted - a->arrived;
			sum.left += left(a);
			sum.streams++;
		}
	return sum;
}

static uint64_t
window(struct link *l)
{
	const struct session_stats *st = session_stats(link_session(l));

	/* At 250 MB/s, 1 MiB is 4 ms of round trip; what is longer needs more in flight, up to 16
	 * MiB. */
	if (st->rtt_ms <= 4)
		return FETCH_WINDOW_BYTES;
	return st->rtt_ms >= 64 ? 16ull * FETCH_WINDOW_BYTES : FETCH_WINDOW_BYTES * st->rtt_ms / 4;
}

static bool
has_it(const struct node *n, const struct peer *p, const struct fetch_job *j)
{
	const struct record *rec = j->rec;
	const struct origin *o;

	if (j->keeps != NULL)
		return j->keeps(j, p);
	if (dotset_has(&p->acked, rec->dot))
		return true;
	o = index_origin(n->index, rec->dot.origin);
	return o != NULL && strcmp(o->node, p->name) == 0 && dotset_has(&p->seen, rec->dot);
}

static bool
may_be_asked(const struct active *a, const struct peer *p)
{
	return p->link != NULL && !was_tried(a, p->name) && has_it(a->f->n, p, a->j);
}

/* Has it room for a stream of that size? */
static bool
has_room(const struct load *now, struct link *l, uint64_t size)
{
	return now->streams < SERVE_PEER_STREAMS_MAX &&
	       (now->in_flight < window(l) || size <= SMALL_BYTES) &&
	       now->in_flight < 2 * window(l);
}

/* Who has not delivered yet is taken for as fast as the fastest: so it is found out. */
static uint64_t
fastest(const struct fetch *f)
{
	uint64_t rate = 0;

	for (const struct peer *p = exchange_peers(f->n->exchange); p != NULL; p = p->next)
		if (p->link != NULL && p->delivers.rate > rate)
			rate = p->delivers.rate;
	return rate > 0 ? rate : 1;
}

/* When it would have delivered so many bytes more, in ms from now. */
static uint64_t
time_from(const struct peer *p, const struct load *now, uint64_t bytes, uint64_t best_rate)
{
	return meter_time_ms(now->left + bytes,
			     p->delivers.rate > 0 ? p->delivers.rate : best_rate);
}

static uint64_t
least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static bool
much_sooner(uint64_t ms, uint64_t than_ms)
{
	return than_ms > SAVES_MS && ms < than_ms - SAVES_MS && ms < than_ms / 2;
}

/*
 * The connected peer that has it, has room, and would deliver it first. NULL: none has it (*exists
 * is false), none has room, or one that has none would still be much sooner.
 */
static struct peer *
choose(const struct active *a, bool *exists)
{
	struct fetch *f = a->f;
	struct peer *best = NULL;
	uint64_t size = a->j->rec->size, have = a->in != NULL ? intake_have(a->in) : 0;
	uint64_t rate = fastest(f), first_ms = UINT64_MAX, best_ms = UINT64_MAX;

	*exists = false;
	for (struct peer *p = exchange_peers(f->n->exchange); p != NULL; p = p->next) {
		struct load now;
		uint64_t ms;

		if (!may_be_asked(a, p))
			continue;
		*exists = true;
		now = load(f, p->link);
		ms = time_from(p, &now, size > have ? size - have : 0, rate);
		/* It would have to bring all else that waits, too. */
		first_ms = least(first_ms, ms + meter_time_ms(f->queued, rate));
		if (ms < best_ms && has_room(&now, p->link, size)) {
			best_ms = ms;
			best = p;
		}
	}
	return best != NULL && much_sooner(first_ms, best_ms) ? NULL : best;
}

/* ---- asking ---- */

static void
unpark(struct active *a)
{
	a->f->parked -= a->parked;
	a->parked = false;
}

/* Descriptors are for those under way, however many wait. */
static void
park(struct active *a)
{
	if (a->in == NULL)
		return;
	a->parked = intake_have(a->in) > 0 && a->f->parked < PARKED_MAX;
	a->f->parked += a->parked;
	if (a->parked)
		return;
	intake_free(a->in);
	a->in = NULL;
	if (a->large)
		syncer_large(a->f->n->syncer, -1);
	a->large = false;
}

static void
wait_for_peer(struct active *a)
{
	park(a);
	a->wait_ms = a->f->n->now_ms;
	list_del(&a->f->active, a);
	a->j->state = FETCH_WAITING;
	a->j->from[0] = '\0';
	list_add(a->j->low ? &a->f->low : &a->f->waiting, a);
}

static uint64_t
first_credit(const struct active *a, struct link *l, uint64_t want)
{
	uint64_t room = window(l), used = load(a->f, l).in_flight;

	room = used < room ? room - used : 0;
	room = room < SMALL_BYTES ? SMALL_BYTES : room;
	return want < room ? want : room;
}

static bool
wants_delta(const struct active *a)
{
	const struct pathent *base = a->j->base;

	return !a->no_delta && base != NULL && base->shown != NULL && intake_have(a->in) == 0 &&
	       intake_delta_worth(base->shown->r->size, a->j->rec->size, a->f->n->conf->delta_min);
}

static void
ask(struct active *a, struct peer *p)
{
	struct fetch_job *j = a->j;
	struct msg get = {.type = MSG_GET, .how = GET_WHOLE, .size = j->rec->size};
	uint64_t credit;

	memcpy(get.hash, j->rec->hash, sizeof(get.hash));
	a->delta = wants_delta(a);
	a->offset = a->delta ? 0 : intake_have(a->in);
	get.how = a->delta ? GET_DELTA : GET_WHOLE;
	get.offset = a->delta ? j->base->shown->r->size : a->offset;
	credit = first_credit(a, p->link, a->delta ? SMALL_BYTES : j->rec->size - a->offset);
	a->link = NULL;
	if (session_get(link_session(p->link), &get, (uint32_t)credit, &a->stream) < 0) {
		wait_for_peer(a);
		return;
	}
	a->link = p->link;
	a->granted = credit;
	a->arrived = 0;
	a->moved_ms = a->f->n->now_ms;
	meter_begin(&p->delivers, a->f->n->now_ms);
	a->ended = false;
	a->good = false;
	a->then = STAY;
	j->state = a->delta ? FETCH_DELTA : FETCH_WHOLE;
	snprintf(j->from, sizeof(j->from), "%s", p->name);
	if (a->delta)
		intake_begin_delta(a->in, j->base);
}

static void
find_peer(struct active *a)
{
	bool exists;
	struct peer *p = choose(a, &exists);

	if (p != NULL)
		ask(a, p);
	else if (exists)
		wait_for_peer(a);
	else
		finish(a, a->wrong ? -EBADMSG : -EHOSTUNREACH);
}

/* This peer could not give it: it is not asked again by this fetch. */
static void
mark_tried(struct active *a)
{
	struct peer *p = exchange_peer(a->f->n->exchange, a->j->from);

	if (p != NULL && a->ntried < TRIED_MAX)
		a->tried[a->ntried++] = p->name;
}

static void
next_peer(struct active *a)
{
	if (a->link != NULL && !a->ended)
		(void)!session_cancel(link_session(a->link), a->stream);
	mark_tried(a);
	a->link = NULL;
	find_peer(a);
}

/* The stream is over, one way or another, and all of it is written. */
static void
drained(struct active *a)
{
	int then = (int)a->then;

	a->then = STAY;
	if (then == NEXT_PEER)
		next_peer(a);
	else if (then == WAIT_PEER)
		wait_for_peer(a);
	else if (a->good)
		intake_finish(a->in);
}

static void
wrong_content(struct active *a)
{
	struct node *n = a->f->n;
	const struct record *r = a->j->rec;

	a->wrong = true;
	LOG(n->log, LOG_ERROR, "fetch.hash",
	    "content does not have the hash that its record says; it was thrown away",
	    log_b("path", r->path, r->path_len), log_s("peer", a->j->from));
	errors_add(n->errors, n->wall_ms, a->j->from, "hash", r->path, r->path_len,
		   "content did not have its hash and was thrown away");
}

static void
throw_away(struct active *a)
{
	a->j->restarts++;
	intake_restart(a->in);
}

/* ---- what the intake reports ---- */

static void
grant(struct active *a)
{
	uint64_t want, room, used;

	if (a->link == NULL || a->ended)
		return;
	room = window(a->link);
	want = a->delta ? a->j->rec->size + SMALL_BYTES : a->j->rec->size - a->offset;
	used = load(a->f, a->link).in_flight;
	if (a->granted >= want || (used >= room && a->granted > a->arrived) ||
	    a->granted - a->arrived >= room / 2)
		return;
	want -= a->granted;
	/* A stream that has nothing left on its way gets a little in any case, or nothing would
	 * ever wake it. */
	room = used < room ? room - used : MSG_DATA_BYTES_MAX;
	want = want < room ? want : room;
	if (session_credit(link_session(a->link), a->stream, (uint32_t)want) == 0)
		a->granted += want;
}

static void
complete(struct active *a, int error)
{
	if (error == 0) {
		finish(a, 0);
		return;
	}
	a->good = false;
	if (error == -EBADMSG && a->delta) { /* once the whole file instead */
		a->no_delta = true;
		error = -EAGAIN;
	} else if (error == -EBADMSG) {
		wrong_content(a);
	}
	if (error != -EBADMSG && error != -EAGAIN) {
		finish(a, error);
		return;
	}
	if (error == -EBADMSG && a->j->from[0] != '\0')
		mark_tried(a);
	if (a->link != NULL && !a->ended)
		(void)!session_cancel(link_session(a->link), a->stream);
	a->link = NULL;
	a->ended = true;
	throw_away(a); /* READY follows; what lay here was not what the index thought: then
				  a peer is asked */
}

static void
intake_event(void *arg, enum intake_event ev, int error)
{
	struct active *a = arg;

	a->j->have_bytes = intake_have(a->in);
	switch (ev) {
	case INTAKE_READY: /* what was left of an earlier try is hashed: go on behind it */
		if (error < 0)
			finish(a, error);
		else if (a->j->have_bytes == a->j->rec->size)
			intake_finish(a->in); /* all of it is there already */
		else
			find_peer(a);
		break;
	case INTAKE_SIGNATURE: /* our signature may be sent, if the peer still wants it */
		if (a->ended)
			drained(a);
		else
			fetch_pump(a->f, a->link);
		break;
	case INTAKE_WRITTEN:
		if (error < 0)
			complete(a, error);
		else if (a->ended && intake_idle(a->in))
			drained(a);
		else
			grant(a);
		break;
	case INTAKE_COMPLETE:
		complete(a, error);
		break;
	}
}

/* ---- beginning ---- */

static int
room_for(struct node *n, uint64_t size)
{
	uint64_t bytes, inodes;
	int r = tree_space(n->tree, &bytes, &inodes);

	if (r < 0)
		return r;
	if (inodes < 16 || bytes < n->conf->min_free || bytes - n->conf->min_free < size)
		return -ENOSPC;
	return 0;
}

/* Content of this node's store that the log does not speak of, as it is an older copy than the
 * store: maybe nobody else has it. */
static int
kept_open(struct node *n, const struct record *r, struct tfile **out)
{
	char kept[48];
	struct sig s;

	store_name(&(struct kept){.dot = r->dot}, kept);
	if (tree_kept_stat(n->tree, kept, &s) < 0 || !sig_shows(&s, r))
		return -ENOENT;
	return tree_kept_open(n->tree, kept, out);
}

static void
begin(struct active *a)
{
	struct node *n = a->f->n;
	const struct record *r = a->j->rec;
	struct tfile *here;
	uint8_t *bytes;
	size_t len;

	bytes = exchange_inlined(n->exchange, r->dot, &len);
	if (bytes != NULL && len == r->size) {
		intake_bytes(a->in, bytes, len);
		return;
	}
	free(bytes);
	if (serve_open(n, r->hash, r->size, &here, NULL) == 0 || kept_open(n, r, &here) == 0) {
		a->j->state = FETCH_LOCAL;
		intake_copy(a->in, here);
	} else {
		intake_resume(a->in);
	}
}

static void
start(struct active *a)
{
	struct node *n = a->f->n;
	struct intake_opts o = {n->tree,   n->work,   a->j->rec,    a->j->stage,
				a->j->uid, a->j->gid, intake_event, a};
	int e = room_for(n, a->j->rec->size);

	if (e == 0 && (a->in = intake_new(&o)) == NULL)
		e = -ENOMEM;
	if (e < 0) {
		finish(a, e);
		return;
	}
	a->started = true;
	if (a->j->rec->size > FETCH_LARGE_BYTES) {
		a->large = true;
		syncer_large(n->syncer, 1);
	}
	begin(a);
}

static bool
run_list(struct fetch *f, struct fetch_list *l)
{
	struct active *a, *next;
	size_t turns = l->n;

	for (a = l->first; a != NULL && turns-- > 0; a = next) {
		bool fresh = a->in == NULL;
		bool exists;

		next = a->next;
		if (f->active.n >= FETCH_ACTIVE_MAX)
			return false;
		if (a->started && f->n->now_ms - a->wait_ms >= WAIT_MS) {
			list_del(l, a);
			list_add(&f->active, a);
			finish(a, -EHOSTUNREACH);
			continue;
		}
		if (f->n->now_ms < a->ask_ms ||
		    (a->started && choose(a, &exists) == NULL && exists))
			continue;
		unpark(a);
		list_del(l, a);
		list_add(&f->active, a);
		if (fresh)
			start(a);
		else
			find_peer(a);
	}
	return true;
}

static uint64_t
bytes_in(const struct fetch_list *l)
{
	uint64_t sum = 0;

	for (const struct active *a = l->first; a != NULL; a = a->next)
		sum += a->j->rec->size;
	return sum;
}

static void
run(struct fetch *f)
{
	if (f->running)
		return;
	f->running = true;
	f->peers_changed = false;
	f->queued = bytes_in(&f->waiting);
	if (run_list(f, &f->waiting))
		(void)run_list(f, &f->low);
	f->running = false;
}

void
fetch_start(struct fetch *f, struct fetch_job *j)
{
	struct active *a = calloc(1, sizeof(*a));

	if (a == NULL) {
		j->done(j, -ENOMEM);
		return;
	}
	a->f = f;
	a->j = j;
	j->private_ = a;
	j->serial = ++f->serials;
	j->restarts = 0;
	j->have_bytes = 0;
	j->file = NULL;
	j->state = FETCH_WAITING;
	list_add(j->low ? &f->low : &f->waiting, a);
	f->peers_changed = true;
}

void
fetch_hurry(struct fetch *f, struct fetch_job *j)
{
	struct active *a = j->private_;
	struct fetch_list *l = j->low ? &f->low : &f->waiting;

	if (a == NULL || j->state != FETCH_WAITING || f->running)
		return;
	list_del(l, a);
	a->prev = NULL;
	a->next = f->waiting.first;
	if (a->next != NULL)
		a->next->prev = a;
	else
		f->waiting.last = a;
	f->waiting.first = a;
	f->waiting.n++;
	j->low = false;
}

void
fetch_stop(struct fetch *f, struct fetch_job *j)
{
	struct active *a = j->private_;

	if (a == NULL)
		return;
	j->private_ = NULL;
	if (j->state == FETCH_WAITING)
		list_del(j->low ? &f->low : &f->waiting, a);
	else
		list_del(&f->active, a);
	if (a->link != NULL && !a->ended)
		(void)!session_cancel(link_session(a->link), a->stream);
	active_free(a);
}

/* ---- messages ---- */

static struct active *
by_stream(struct fetch *f, const struct link *l, uint32_t stream)
{
	for (struct active *a = f->active.first; a != NULL; a = a->next)
		if (a->link == l && a->stream == stream && !a->ended)
			return a;
	return NULL;
}

void
fetch_data(struct fetch *f, struct link *l, const struct msg *m)
{
	struct active *a = by_stream(f, l, m->stream);
	struct peer *p = link_peer(l);

	if (a == NULL)
		return;
	a->arrived += m->len;
	a->moved_ms = f->n->now_ms;
	if (p != NULL)
		meter_took(&p->delivers, m->len, f->n->now_ms);
	if (p != NULL && a->delta)
		p->delta_in += m->len;
	else if (p != NULL)
		p->whole_in += m->len;
	intake_data(a->in, m->bytes, m->len);
}

void
fetch_end(struct fetch *f, struct link *l, const struct msg *m)
{
	struct active *a = by_stream(f, l, m->stream);

	if (a == NULL)
		return;
	a->ended = true;
	a->good = m->code == CODE_OK;
	a->link = NULL;
	f->ends = true;
	f->peers_changed = true;
	if (!a->good && a->delta) { /* half a delta is worth nothing: READY follows */
		if (m->code == CODE_GONE)
			mark_tried(a);
		else
			a->no_delta = true;
		throw_away(a);
		return;
	}
	if (!a->good)
		a->then = m->code == CODE_BUSY && ++a->busy < BUSY_MAX ? WAIT_PEER : NEXT_PEER;
	if (m->code == CODE_BUSY)
		a->ask_ms = f->n->now_ms + BUSY_MS;
	if (intake_idle(a->in))
		drained(a);
}

/* Sends what there is of our signature on delta streams. */
void
fetch_pump(struct fetch *f, struct link *l)
{
	for (struct active *a = f->active.first; a != NULL && l != NULL; a = a->next) {
		if (a->link != l || !a->delta || a->ended)
			continue;
		for (;;) {
			size_t room = session_room(link_session(l), a->stream), len;
			const uint8_t *bytes;
			bool last;

			room = room < MSG_DATA_BYTES_MAX ? room : MSG_DATA_BYTES_MAX;
			bytes = intake_signature(a->in, room, &len, &last);
			if (len > 0 && session_data(link_session(l), a->stream, bytes, len) < 0)
				break;
			if (last)
				(void)!session_end(link_session(l), a->stream, CODE_OK);
			if (len == 0)
				break;
		}
	}
}

void
fetch_link_closed(struct fetch *f, struct link *l)
{
	struct active *next;

	for (struct active *a = f->active.first; a != NULL; a = next) {
		next = a->next;
		if (a->link != l)
			continue;
		a->link = NULL;
		a->ended = true;
		a->good = false;
		if (a->delta) { /* half a delta is worth nothing: READY follows */
			throw_away(a);
			continue;
		}
		a->then = WAIT_PEER;
		if (intake_idle(a->in))
			drained(a);
	}
	f->ends = true;
	f->peers_changed = true;
}

void
fetch_peer_gone(struct fetch *f, const char *name)
{
	const struct fetch_list *lists[] = {&f->active, &f->waiting, &f->low};

	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		for (struct active *a = lists[i]->first; a != NULL; a = a->next)
			for (unsigned k = 0; k < a->ntried; k++)
				if (a->tried[k] == name)
					a->tried[k--] = a->tried[--a->ntried];
}

void
fetch_peers_changed(struct fetch *f)
{
	f->peers_changed = true;
}

/* The stream is given up in the middle; what came is kept, but of a delta, which is worth nothing
 * by half. Once all of it is written: then. */
static void
give_up(struct active *a, int then)
{
	(void)!session_cancel(link_session(a->link), a->stream);
	a->f->ends = true;
	a->link = NULL;
	a->ended = true;
	a->good = false;
	if (a->delta) {
		if (then == NEXT_PEER)
			mark_tried(a);
		throw_away(a); /* READY follows */
		return;
	}
	a->then = then == NEXT_PEER ? NEXT_PEER : WAIT_PEER;
	if (intake_idle(a->in))
		drained(a);
}

/* Streams that bring nothing. A delta may take its time over there. */
static void
give_up_stalled(struct fetch *f)
{
	struct active *next;

	for (struct active *a = f->active.first; a != NULL; a = next) {
		next = a->next;
		if (a->link == NULL || a->ended ||
		    f->n->now_ms - a->moved_ms < (a->delta ? 10 : 1) * STALL_MS)
			continue;
		LOG(f->n->log, LOG_INFO, "fetch.stalled",
		    "nothing came for too long: asked elsewhere", log_s("peer", a->j->from),
		    log_b("path", a->j->rec->path, a->j->rec->path_len));
		give_up(a, NEXT_PEER);
	}
}

/* Would the rest of it be here much sooner from another peer, that has room for it? */
static bool
better_elsewhere(const struct active *a)
{
	const struct fetch *f = a->f;
	const struct peer *here = link_peer(a->link);
	struct load now = load(f, a->link);
	uint64_t rest = left(a), rate = fastest(f), here_ms;

	if (here == NULL || here->delivers.rate == 0)
		return false;
	here_ms = time_from(here, &now, 0, rate);
	for (struct peer *p = exchange_peers(f->n->exchange); p != NULL; p = p->next) {
		struct load there;

		if (p == here || !may_be_asked(a, p))
			continue;
		there = load(f, p->link);
		if (has_room(&there, p->link, rest) &&
		    much_sooner(time_from(p, &there, rest + f->queued, UNKNOWN_TIMES * rate),
				here_ms))
			return true;
	}
	return false;
}

/* One at a time: it changes what all others would find. */
static void
move_one(struct fetch *f)
{
	for (struct active *a = f->active.first; a != NULL; a = a->next) {
		if (a->link == NULL || a->ended || a->delta || a->moves >= MOVES_MAX ||
		    !better_elsewhere(a))
			continue;
		a->moves++;
		LOG(f->n->log, LOG_DEBUG, "fetch.move", "the rest is asked for elsewhere",
		    log_s("peer", a->j->from), log_b("path", a->j->rec->path, a->j->rec->path_len));
		give_up(a, WAIT_PEER);
		return;
	}
}

static void
look_at_meters(struct fetch *f)
{
	f->ends = false;
	for (struct peer *p = exchange_peers(f->n->exchange); p != NULL; p = p->next)
		if (p->link == NULL || load(f, p->link).streams == 0)
			meter_end(&p->delivers, f->n->now_ms);
		else
			meter_look(&p->delivers, f->n->now_ms);
}

void
fetch_tick(struct fetch *f)
{
	if (f->n->now_ms >= f->look_ms) {
		f->look_ms = f->n->now_ms + LOOK_MS;
		f->queued = bytes_in(&f->waiting);
		f->peers_changed = f->peers_changed || f->waiting.n + f->low.n > 0;
		give_up_stalled(f);
		move_one(f);
		f->ends = true;
	}
	if (f->ends)
		look_at_meters(f);
	if (f->peers_changed)
		run(f);
}

uint64_t
fetch_deadline(const struct fetch *f)
{
	size_t waiting = f->waiting.n + f->low.n;

	if (f->peers_changed && f->active.n < FETCH_ACTIVE_MAX && waiting > 0)
		return 0;
	return f->active.n + waiting > 0 ? f->look_ms : UINT64_MAX;
}

struct fetch *
fetch_new(struct node *n)
{
	struct fetch *f = calloc(1, sizeof(*f));

	if (f != NULL)
		f->n = n;
	return f;
}

static void
list_free(struct fetch_list *l)
{
	while (l->first != NULL) {
		struct active *a = l->first;

		list_del(l, a);
		a->j->private_ = NULL;
		active_free(a);
	}
}

void
fetch_free(struct fetch *f)
{
	if (f == NULL)
		return;
	list_free(&f->active);
	list_free(&f->waiting);
	list_free(&f->low);
	free(f);
}
