/* SPDX-License-Identifier: BSD-2-Clause */
/* Links and peers: who is connected, what each holds and has applied, and where each message goes.
 */
#include "config.h"

#include "agent/exchange_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/apply.h"
#include "agent/fetch.h"
#include "agent/gossip.h"
#include "agent/merge.h"
#include "agent/miss.h"
#include "agent/serve.h"
#include "agent/witness.h"

/* Every allocation that fails in a set ends the process: the sets are what correctness rests on. */
bool
exchange_must(struct exchange *x, int r)
{
	if (r == 0)
		return true;
	x->n->fatal(x->n->arg, "out of memory for the sets of a peer", r);
	return false;
}

/* ---- peers ---- */

struct peer *
exchange_peers(const struct exchange *x)
{
	return x->peers;
}

struct peer *
exchange_peer(const struct exchange *x, const char *name)
{
	for (struct peer *p = x->peers; p != NULL; p = p->next)
		if (strcmp(p->name, name) == 0)
			return p;
	return NULL;
}

static struct peer *
peer_new(struct exchange *x, const char *name)
{
	struct peer *p = calloc(1, sizeof(*p)), **at = &x->peers;

	if (p == NULL)
		return NULL;
	snprintf(p->name, sizeof(p->name), "%s", name);
	p->seen_ms = p->lost_ms = x->n->now_ms; /* not known to be dead yet */
	p->state = PEER_SUSPECT;
	while (*at != NULL && strcmp((*at)->name, name) < 0)
		at = &(*at)->next;
	p->next = *at;
	*at = p;
	return p;
}

static void
peer_free(struct peer *p)
{
	peer_asks_fail(p);
	dotset_free(&p->acked);
	dotset_free(&p->seen);
	free(p);
}

static void
peer_drop(struct exchange *x, const char *name)
{
	struct peer **at = &x->peers, *p;

	while (*at != NULL && strcmp((*at)->name, name) != 0)
		at = &(*at)->next;
	p = *at;
	if (p == NULL)
		return;
	for (struct link *l = x->links; l != NULL; l = l->next) {
		if (l->peer != p)
			continue;
		session_bye(l->s, CODE_IDENTITY,
			    "no longer a member; to join again: `mimeo invite` on a member, `mimeo "
			    "join -` here");
		l->peer = NULL;
	}
	*at = p->next;
	fetch_peer_gone(x->n->fetch, p->name);
	peer_free(p);
}

int64_t
exchange_clock_offset(const struct exchange *x, const char *name)
{
	const struct peer *p = exchange_peer(x, name);

	return p != NULL && p->link != NULL ? session_stats(p->link->s)->clock_offset_ms : 0;
}

static void
peer_add(struct exchange *x, const struct member *m)
{
	struct peer *p = exchange_peer(x, m->name);

	if (p == NULL)
		p = peer_new(x, m->name);
	if (p == NULL) {
		(void)exchange_must(x, -ENOMEM);
		return;
	}
	if (m->store != 0 && m->store != p->store && p->link == NULL) {
		dotset_clear(&p->acked); /* of another store under this name */
		p->acked_stamp++;
		p->store = m->store;
	}
}

/* This node is a member, or is one no more: it has peers, or none. */
static void
self_member(struct exchange *x, const struct member *m)
{
	const struct index *i = x->n->index;

	while (m->removed != 0 && x->peers != NULL)
		peer_drop(x, x->peers->name);
	for (size_t k = 0; m->removed == 0 && k < i->nmembers; k++)
		if (i->members[k].removed == 0 && strcmp(i->members[k].name, m->name) != 0)
			peer_add(x, &i->members[k]);
}

void
exchange_member(struct exchange *x, const struct member *m)
{
	const struct member *self = index_member(x->n->index, x->n->conf->name);

	if (strcmp(m->name, x->n->conf->name) == 0)
		self_member(x, m);
	else if (m->removed != 0)
		peer_drop(x, m->name);
	else if (self == NULL || self->removed == 0)
		peer_add(x, m);
	fetch_peers_changed(x->n->fetch);
	if (x->n->acked != NULL)
		x->n->acked(x->n->arg);
}

/* ---- links ---- */

struct session *
link_session(struct link *l)
{
	return l->s;
}

struct peer *
link_peer(struct link *l)
{
	return l->peer;
}

static int
not_ours(void *arg, const char *name, size_t len, uint8_t type)
{
	(void)arg;
	(void)type;
	return len < sizeof(".mimeo") - 1 || memcmp(name, ".mimeo", sizeof(".mimeo") - 1) != 0;
}

/* Until the first scan is over, what lies in the tree is not known to anybody. */
static uint64_t
features(const struct exchange *x)
{
	return x->n->index->scanned_ms == 0 && tree_list(x->n->tree, "", 0, not_ours, NULL) == 1
		       ? SESSION_BARE
		       : 0;
}

struct link *
exchange_connect(struct exchange *x, const char *peer, bool dialled)
{
	struct link *l = calloc(1, sizeof(*l));
	struct session_opts o = {
		.self = x->n->conf->name,
		.peer = peer,
		.store = x->n->store,
		.nonce = node_random(x->n),
		.digest = dotset_digest(&x->have),
		.heads = {x->n->index->digest[0], x->n->index->digest[1]},
		.features = features(x),
		.ping_ms = (uint32_t)x->n->conf->ping_ms,
		.timeout_ms = (uint32_t)x->n->conf->timeout_ms,
		.hello_ms = dialled ? EXCHANGE_DIAL_MS : 0,
	};

	if (l == NULL)
		return NULL;
	l->x = x;
	l->dialled = dialled;
	l->digest = o.digest;
	l->peer = exchange_peer(x, peer);
	l->s = session_new(&o, x->n->now_ms, x->n->wall_ms);
	if (l->s == NULL || dotset_copy(&l->told, &x->have) < 0) {
		session_free(l->s);
		dotset_free(&l->told);
		free(l);
		return NULL;
	}
	index_cursor_begin(x->n->index, &l->own);
	index_cursor_begin(x->n->index, &l->relay);
	l->next = x->links;
	x->links = l;
	return l;
}

/* Its session is over. */
static void
peer_lost(struct link *l, const char *why)
{
	struct peer *p = l->peer;

	p->link = NULL;
	p->connected_ms = 0;
	p->lost_ms = l->x->n->now_ms;
	LOG(l->x->n->log, LOG_INFO, "peer.disconnected", "the session is over",
	    log_s("peer", p->name), log_s("why", why));
}

static void
peer_unlinked(struct link *l, const char *why)
{
	struct peer *p = l->peer;
	const struct session_stats *st = session_stats(l->s);

	if (p == NULL)
		return;
	p->bytes_in += st->bytes_in;
	p->bytes_out += st->bytes_out;
	/* One of two connections that was given up for the other is no error. */
	if (p->link == NULL || p->link == l)
		snprintf(p->last_error, sizeof(p->last_error), "%s", why);
	if (p->link == l)
		peer_lost(l, why);
}

void
exchange_closed(struct link *l, const char *why)
{
	struct exchange *x = l->x;
	struct link **at = &x->links;

	while (*at != l)
		at = &(*at)->next;
	*at = l->next;
	peer_unlinked(l, why);
	gossip_closed(x->n->gossip, l);
	link_asks_closed(l);
	merge_link_closed(x->n->merge, l);
	fetch_link_closed(x->n->fetch, l);
	serve_link_closed(x->n->serve, l);
	miss_link_closed(x->n->miss, l);
	index_cursor_end(x->n->index, &l->own);
	index_cursor_end(x->n->index, &l->relay);
	session_free(l->s);
	dotset_free(&l->told);
	dotset_free(&l->vouched);
	dotset_free(&l->told_acked);
	dotset_free(&l->upto);
	vv_free(&l->origins);
	free(l);
	if (x->n->acked != NULL)
		x->n->acked(x->n->arg);
}

bool
exchange_over(const struct link *l, char *why, size_t why_len, uint8_t *code)
{
	bool remote;
	const char *reason = session_reason(l->s, code, &remote);

	if (!l->over)
		return false;
	snprintf(why, why_len, "%s%s", remote ? "the peer says: " : "", reason);
	return true;
}

/* ---- HELLO ---- */

/* Of two connections between the same nodes both sides keep the one that the smaller name dialled;
 * of two from the same dialler the newer. */
static bool
keep_new(const struct link *mine, const struct link *other)
{
	const char *self = mine->x->n->conf->name;
	bool smaller = strcmp(self, mine->peer->name) < 0;

	if (mine->dialled == other->dialled)
		return true;
	return mine->dialled == smaller;
}

static void
opened(struct link *l, const struct msg *hello)
{
	struct exchange *x = l->x;
	struct peer *p = l->peer;

	if (p == NULL && l->dialled && index_member(x->n->index, session_peer(l->s)) == NULL) {
		l->open = true;
		gossip_introduce(x->n->gossip, l);
		return;
	}
	if (p == NULL) {
		session_bye(l->s, CODE_IDENTITY, "not a member");
		return;
	}
	if (p->link != NULL && !keep_new(l, p->link)) {
		session_bye(l->s, CODE_DUPLICATE, msg_code_text(CODE_DUPLICATE));
		return;
	}
	if (p->link != NULL) {
		link_asks_replaced(p->link);
		session_bye(p->link->s, CODE_DUPLICATE, msg_code_text(CODE_DUPLICATE));
	}
	if (p->store != hello->store) { /* another store under this name: what the old one had
					   applied is void */
		dotset_clear(&p->acked);
		p->acked_stamp++;
		p->store = hello->store;
	}
	dotset_clear(&p->seen);
	p->link = l;
	p->connected_ms = x->n->wall_ms;
	p->reconnects++;
	p->last_error[0] = '\0';
	l->open = true;
	l->bare = (hello->features & SESSION_BARE) != 0;
	LOG(x->n->log, LOG_INFO, "peer.connected", l->dialled ? "dialled" : "it dialled",
	    log_s("peer", p->name));
	p->seen_ms = x->n->now_ms;
	link_opened(l, hello->digest == l->digest);
	peer_asks_again(p);
	gossip_opened(x->n->gossip, l);
	merge_link_opened(x->n->merge, p);
	fetch_peers_changed(x->n->fetch);
	apply_peers_changed(x->n->apply);
}

/* ---- messages ---- */

static void
got(struct link *l, const struct msg *m)
{
	struct node *n = l->x->n;

	switch ((enum msg_type)m->type) {
	case MSG_SEEN:
		link_got_seen(l, m);
		break;
	case MSG_ORIGIN:
		link_got_origin(l, m);
		break;
	case MSG_RECORD:
		link_got_record(l, m);
		break;
	case MSG_UPTO:
		link_got_upto(l, m);
		break;
	case MSG_ACK:
		link_got_ack(l, m);
		break;
	case MSG_GET:
		serve_get(n->serve, l, m);
		break;
	case MSG_DATA:
		if (session_mine(l->s, m->stream))
			fetch_data(n->fetch, l, m);
		else
			serve_data(n->serve, l, m);
		break;
	case MSG_END:
		if (session_mine(l->s, m->stream))
			fetch_end(n->fetch, l, m);
		else
			serve_end(n->serve, l, m);
		break;
	case MSG_CANCEL:
		serve_cancel(n->serve, l, m);
		break;
	case MSG_ASK:
		link_got_ask(l, m);
		break;
	case MSG_TELL:
		link_got_tell(l, m);
		break;
	case MSG_MEMBER:
		gossip_got_member(n->gossip, l, m);
		break;
	case MSG_TABLE:
		gossip_got_table(n->gossip, l, m);
		break;
	default:
		break; /* the rest never surfaces */
	}
}

static void
over(struct link *l)
{
	uint8_t code;
	bool remote;
	const char *why = session_reason(l->s, &code, &remote);
	struct node *n = l->x->n;
	const char *name = session_peer(l->s);

	l->over = true;
	if (l->peer != NULL && l->peer->link == l)
		peer_lost(l, why);
	if (code == CODE_DUPLICATE || code == CODE_SHUTDOWN)
		return;
	LOG(n->log, LOG_WARN, "peer.closed", "a session was given up", log_s("peer", name),
	    log_s("by", remote ? "peer" : "this node"), log_s("why", why));
	errors_add(n->errors, n->wall_ms, name,
		   code == CODE_IDENTITY  ? "identity"
		   : code == CODE_TIMEOUT ? "timeout"
					  : "protocol",
		   NULL, 0, why);
}

/* Steps the session as far as its input and our limits allow. */
static void
service(struct link *l)
{
	struct msg *m;

	while (!l->over && !exchange_full(l->x)) {
		switch (session_step(l->s, &m)) {
		case SESSION_OPENED:
			opened(l, m);
			break;
		case SESSION_MSG:
			if (l->open && l->peer != NULL)
				got(l, m);
			else if (l->open && l->dialled)
				gossip_introduced(l->x->n->gossip, l, m);
			break;
		case SESSION_CLOSED:
			over(l);
			return;
		case SESSION_IDLE:
			return;
		}
	}
}

static void
pump(struct link *l)
{
	if (!l->open || l->over || l->peer == NULL)
		return;
	link_pump(l);
	fetch_pump(l->x->n->fetch, l);
	serve_pump(l->x->n->serve, l);
}

size_t
exchange_input(struct link *l, const void *bytes, size_t len)
{
	struct node *n = l->x->n;
	size_t took = session_input(l->s, bytes, len, n->now_ms, n->wall_ms);

	if (took > 0 && l->peer != NULL && l->open) {
		l->peer->contact_ms = n->wall_ms;
		l->peer->seen_ms = n->now_ms;
	}
	service(l);
	pump(l);
	return took;
}

const uint8_t *
exchange_output(struct link *l, size_t *len)
{
	return session_output(l->s, len);
}

void
exchange_consumed(struct link *l, size_t n)
{
	session_consumed(l->s, n);
	pump(l);
}

bool
exchange_wants_output(const struct link *l)
{
	size_t len;

	(void)session_output(l->s, &len);
	return len > 0;
}

bool
exchange_wants_input(const struct link *l)
{
	return !exchange_full(l->x);
}

/* The safety net: at the latest every sync.interval each peer hears what changed, whatever happened
 * to the announcement. */
static void
interval(struct exchange *x)
{
	if (x->n->now_ms < x->interval_ms)
		return;
	x->interval_ms = x->n->now_ms + x->n->conf->interval_ms;
	for (struct link *l = x->links; l != NULL; l = l->next)
		l->sets_due = l->open && !dotset_subset(&x->have, &l->told);
}

/* Once a session: clocks that differ decide which of two concurrent edits is shown. */
static void
look_at_clock(struct link *l)
{
	struct node *n = l->x->n;
	int64_t ms = session_stats(l->s)->clock_offset_ms;
	char text[160];

	if (l->told_clock || !l->open || l->peer == NULL ||
	    (ms < EXCHANGE_CLOCK_OFF_MS && ms > -EXCHANGE_CLOCK_OFF_MS))
		return;
	l->told_clock = true;
	snprintf(
		text, sizeof(text),
		"its clock is %lld s %s this node's: of two edits at once the later time wins; set "
		"the clock that is wrong",
		(long long)(ms > 0 ? ms : -ms) / 1000, ms > 0 ? "ahead of" : "behind");
	LOG(n->log, LOG_WARN, "peer.clock", text, log_s("peer", l->peer->name));
	errors_add(n->errors, n->wall_ms, l->peer->name, "clock", NULL, 0, text);
}

void
exchange_tick(struct exchange *x)
{
	exchange_mark(x);
	exchange_inbox_tick(x);
	exchange_asks_tick(x);
	interval(x);
	for (struct link *l = x->links; l != NULL; l = l->next) {
		session_tick(l->s, x->n->now_ms, x->n->wall_ms);
		look_at_clock(l);
		service(l);
		pump(l);
	}
}

uint64_t
exchange_deadline(const struct exchange *x)
{
	uint64_t at = exchange_inbox_deadline(x), again = exchange_asks_deadline(x);

	at = again < at ? again : at;
	for (const struct link *l = x->links; l != NULL; l = l->next) {
		uint64_t d = session_deadline(l->s), p = l->open ? link_deadline(l) : UINT64_MAX;

		at = d < at ? d : at;
		at = p < at ? p : at;
	}
	return at;
}

static void
take_frozen(struct exchange *x)
{
	const struct index *i = x->n->index;

	vv_free(&x->frozen);
	for (size_t k = 0; k < i->norigins; k++)
		if (i->origins[k].frozen)
			(void)exchange_must(x,
					    vv_add(&x->frozen, (struct dot){i->origins[k].id, 1}));
}

void
exchange_thawed(struct exchange *x)
{
	take_frozen(x);
	for (struct link *l = x->links; l != NULL; l = l->next)
		if (l->s != NULL)
			session_bye(l->s, CODE_SHUTDOWN, "an origin is taken again: begin anew");
}

struct exchange *
exchange_new(struct node *n)
{
	struct exchange *x = calloc(1, sizeof(*x));

	if (x == NULL)
		return NULL;
	x->n = n;
	x->seed = node_random(n);
	x->witness = witness_new(node_random(n));
	if (x->witness == NULL) {
		free(x);
		return NULL;
	}
	take_frozen(x);
	for (const struct irec *i = n->index->log_first; i != NULL; i = i->log_next)
		(void)witness_saw(x->witness, i->r);
	return x;
}

void
exchange_free(struct exchange *x)
{
	struct peer *next;

	if (x == NULL)
		return;
	while (x->links != NULL)
		exchange_closed(x->links, "shutting down");
	for (struct peer *p = x->peers; p != NULL; p = next) {
		next = p->next;
		peer_free(p);
	}
	exchange_inbox_free(x);
	dotset_free(&x->have);
	dotset_free(&x->acked);
	dotset_free(&x->incoming);
	vv_free(&x->frozen);
	witness_free(x->witness);
	vv_free(&x->origins_put);
	free(x);
}
