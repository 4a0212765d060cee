/* SPDX-License-Identifier: BSD-2-Clause */
/* The member table over the sessions. */
#include "config.h"

#include "agent/gossip.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/exchange_internal.h"
#include "agent/members.h"
#include "proto/admit.h"

#define MEMBERS_PER_PERIOD 32 /* so many members add GOSSIP_EVERY_MS to the period */

/* An entry on its way: taken from a peer or made here, not told to the neighbours yet. */
struct news {
	struct member m;
	char from[MEMBER_NAME_BYTES_MAX + 1]; /* empty: made here */
	bool folded;
	struct news *next;
};

struct gossip {
	struct node *n;
	struct news *news;
	size_t nnews;
	uint64_t beat;   /* ours */
	uint64_t digest; /* of the table; 0: to be computed */
	uint64_t table_ms, acks_ms;
};

/* ---- digest ---- */

static uint64_t
fnv(const uint8_t *p, size_t len)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * 0x100000001b3u;
	return h;
}

/* The sum over the entries' hashes: their order does not matter. */
static uint64_t
table_digest(struct gossip *g)
{
	const struct index *x = g->n->index;
	struct buf b = {0};

	if (g->digest != 0)
		return g->digest;
	g->digest = 1;
	for (size_t i = 0; i < x->nmembers; i++) {
		buf_reset(&b);
		member_encode(&b, &x->members[i]);
		if (!b.failed)
			g->digest += fnv(b.data, b.len);
	}
	buf_free(&b);
	return g->digest;
}

/* ---- whom a neighbour has sessions with ---- */

static bool
near(const struct link *l, const char *name)
{
	for (size_t i = 0; i < l->nnear; i++)
		if (strcmp(l->near[i], name) == 0)
			return true;
	return false;
}

static bool
speaks(const struct link *l)
{
	return l->open && !l->over && l->peer != NULL && l->peer->link == l;
}

static void
put_near(struct gossip *g, const struct link *to, struct msg *m, struct buf *b)
{
	for (const struct peer *p = exchange_peers(g->n->exchange); p != NULL; p = p->next) {
		if (p->link == NULL || p == to->peer || m->nnear == MEMBERS_MAX)
			continue;
		msg_put_near(b, p->name);
		m->nnear++;
	}
}

/* What we heard of those that the neighbour has no session with. */
static void
put_far(struct gossip *g, const struct link *to, struct msg *m, struct buf *b)
{
	for (const struct peer *p = exchange_peers(g->n->exchange); p != NULL; p = p->next) {
		if (p == to->peer || p->beat == 0 || near(to, p->name) || m->nfar == MEMBERS_MAX)
			continue;
		msg_put_far(b, p->name, p->beat);
		m->nfar++;
	}
}

static void
send_table(struct gossip *g, struct link *l)
{
	struct msg m = {.type = MSG_TABLE, .digest = table_digest(g), .time_ms = g->beat};
	struct buf near_names = {0}, far_names = {0};

	put_near(g, l, &m, &near_names);
	put_far(g, l, &m, &far_names);
	m.near_said = l->near_sent == 0 || l->near_sent != fnv(near_names.data, near_names.len);
	if (m.near_said)
		m.near = cur_of(near_names.data, near_names.len);
	else
		m.nnear = 0;
	m.far = cur_of(far_names.data, far_names.len);
	if (!near_names.failed && !far_names.failed && session_send(l->s, &m) == 0 && m.near_said)
		l->near_sent = fnv(near_names.data, near_names.len);
	buf_free(&near_names);
	buf_free(&far_names);
}

static uint64_t
period(const struct gossip *g)
{
	return GOSSIP_EVERY_MS * (1 + g->n->index->nmembers / MEMBERS_PER_PERIOD);
}

/* ---- telling ---- */

static int
send_member(struct link *l, const struct member *m)
{
	return session_send(l->s, &(struct msg){.type = MSG_MEMBER, .member = *m});
}

static void
send_all(struct gossip *g, struct link *l)
{
	const struct index *x = g->n->index;

	for (size_t i = 0; i < x->nmembers; i++)
		if (send_member(l, &x->members[i]) < 0)
			return; /* its output is full: the next TABLE shows what it lacks */
}

void
gossip_opened(struct gossip *g, struct link *l)
{
	g->table_ms = 0; /* the others learn soon that we are near */
	send_table(g, l);
}

/* One of its neighbours can reach it no more through us: say so soon. */
void
gossip_closed(struct gossip *g, struct link *l)
{
	struct acked_told *next;

	for (struct acked_told *t = l->acked_told; t != NULL; t = next) {
		next = t->next;
		dotset_free(&t->told);
		free(t);
	}
	l->acked_told = NULL;
	free(l->near);
	l->near = NULL;
	l->nnear = 0;
	if (l->open)
		g->table_ms = 0;
}

static struct link *
link_of(const struct gossip *g, const char *name)
{
	const struct peer *p = name[0] != '\0' ? exchange_peer(g->n->exchange, name) : NULL;

	return p != NULL ? p->link : NULL;
}

static void
tell(struct gossip *g, const struct news *w)
{
	const struct member *m = index_member(g->n->index, w->m.name);
	const struct link *from = link_of(g, w->from);

	for (struct link *l = g->n->exchange->links; m != NULL && l != NULL; l = l->next)
		if (speaks(l) && l != from && (from == NULL || !near(from, l->peer->name)))
			(void)!send_member(l, m);
}

/* ---- what happened to whom ---- */

static void
log_change(struct gossip *g, const struct member *old, const struct member *m, const char *from)
{
	struct log *log = g->n->log;
	const char *said = from[0] != '\0' ? from : g->n->conf->name;

	if (m->removed != 0 && (old == NULL || old->removed == 0))
		LOG(log, LOG_WARN, "member.removed",
		    strcmp(m->name, m->admitted_by) == 0 ? "it left" : "it was forgotten",
		    log_s("member", m->name), log_s("by", m->admitted_by), log_s("said", said));
	else if (m->removed == 0 && (old == NULL || old->removed != 0))
		LOG(log, LOG_INFO, "member.admitted", "a new member", log_s("member", m->name),
		    log_s("by", m->admitted_by), log_s("address", m->address), log_s("said", said));
	else if (old != NULL && m->removed == 0 && !member_same_keys(old, m))
		LOG(log, LOG_WARN, "member.rekeyed", "it was let in again, with other keys",
		    log_s("member", m->name), log_s("by", m->admitted_by), log_s("said", said));
	else if (old != NULL && strcmp(old->address, m->address) != 0)
		LOG(log, LOG_INFO, "member.moved", "it has other addresses",
		    log_s("member", m->name), log_s("address", m->address), log_s("said", said));
}

static struct news *
news_of(const struct gossip *g, const char *name)
{
	for (struct news *w = g->news; w != NULL; w = w->next)
		if (strcmp(w->m.name, name) == 0)
			return w;
	return NULL;
}

static struct news *
news_add(struct gossip *g, const struct member *m, const char *from)
{
	struct news *w = news_of(g, m->name);

	if (w == NULL) {
		w = calloc(1, sizeof(*w));
		if (w == NULL) {
			(void)exchange_must(g->n->exchange, -ENOMEM);
			return NULL;
		}
		w->next = g->news;
		g->news = w;
	}
	w->m = *m;
	w->folded = false;
	memset(w->from, 0, sizeof(w->from));
	snprintf(w->from, sizeof(w->from), "%s", from);
	return w;
}

void
gossip_put(struct gossip *g, const struct member *m)
{
	log_change(g, index_member(g->n->index, m->name), m, "");
	if (news_add(g, m, "") != NULL)
		members_put(g->n, m);
}

bool
gossip_coming(const struct gossip *g, const char *name)
{
	return news_of(g, name) != NULL;
}

void
gossip_folded(struct gossip *g, const struct member *m)
{
	struct news *w = news_of(g, m->name);

	g->digest = 0;
	if (w == NULL)
		w = news_add(g, m, "");
	if (w != NULL)
		w->folded = w->folded || member_compare(m, &w->m) >= 0;
}

/* The entry counts from now on: those who are out are told last, and their sessions end. */
void
gossip_durable(struct gossip *g)
{
	struct news **at = &g->news, *w;

	while ((w = *at) != NULL) {
		const struct member *m = index_member(g->n->index, w->m.name);

		if (!w->folded || m == NULL) {
			at = &w->next;
			continue;
		}
		*at = w->next;
		tell(g, w);
		if (m->removed != 0)
			exchange_member(g->n->exchange, m);
		free(w);
	}
}

/* ---- hearing ---- */

static void
refused(struct gossip *g, const char *from, const struct member *m, const char *why)
{
	struct node *n = g->n;
	char text[256];

	snprintf(text, sizeof(text), "what it says of member %s is refused: %s", m->name, why);
	LOG(n->log, LOG_WARN, "member.refused", why, log_s("peer", from), log_s("member", m->name));
	errors_add(n->errors, n->wall_ms, from, "identity", NULL, 0, text);
}

/* Somebody knows an older or another entry of this node: it says what is so, above that. */
static void
refute(struct gossip *g, const struct member *m)
{
	struct node *n = g->n;
	const struct member *old = index_member(n->index, n->conf->name);
	struct member me = *old;

	memcpy(me.admitted_by, m->admitted_by, sizeof(me.admitted_by));
	me.admitted = m->admitted;
	me.removed = 0;
	me.incarnation = m->incarnation;
	if (member_compare(&me, m) != 0)
		me.incarnation++;
	gossip_put(g, &me);
}

static void
take(struct gossip *g, const char *from, const struct member *m)
{
	log_change(g, index_member(g->n->index, m->name), m, from);
	if (news_add(g, m, from) != NULL)
		members_put(g->n, m);
}

/* Entries on their way that add to the table. */
static size_t
additions(const struct gossip *g)
{
	size_t n = 0;

	for (const struct news *w = g->news; w != NULL; w = w->next) {
		const struct member *old = index_member(g->n->index, w->m.name);

		n += old == NULL || (old->removed != 0 && w->m.removed == 0);
	}
	return n;
}

void
gossip_got_member(struct gossip *g, struct link *l, const struct msg *msg)
{
	struct node *n = g->n;
	const struct member *m = &msg->member;
	const struct admit_table t = {n->index->members, n->index->nmembers, n->conf->name,
				      additions(g)};
	const struct peer *named = exchange_peer(n->exchange, m->name);
	const struct news *coming = news_of(g, m->name);
	const char *why = NULL;

	if (l->peer == NULL || (coming != NULL && member_compare(m, &coming->m) == 0))
		return;
	if (!members_addresses_ok(m->address)) {
		refused(g, l->peer->name, m, "its address is not HOST:PORT");
		return;
	}
	switch (admit_judge(&t, l->peer->name, named != NULL && named->link != NULL, n->wall_ms, m,
			    &why)) {
	case ADMIT_KNOWN:
		break;
	case ADMIT_REFUSE:
		refused(g, l->peer->name, m, why);
		break;
	case ADMIT_REFUTE:
		if (coming == NULL || member_compare(m, &coming->m) > 0)
			refute(g, m);
		break;
	case ADMIT_TAKE:
		if (coming == NULL || member_compare(m, &coming->m) > 0)
			take(g, l->peer->name, m);
		break;
	}
}

/* ---- a node that the configuration names and nobody knows yet ---- */

#define INTRODUCTION_TABLES 5 /* it says so often who is near, and not who it is itself: enough */

void
gossip_introduce(struct gossip *g, struct link *l)
{
	send_table(g, l);
}

static void
own_word(struct gossip *g, struct link *l, const struct member *m)
{
	struct node *n = g->n;
	const struct admit_table t = {n->index->members, n->index->nmembers, n->conf->name,
				      additions(g)};
	const char *why = NULL;

	if (index_member(n->index, m->name) != NULL || gossip_coming(g, m->name))
		return;
	/* Nobody here has said who let it in: the configuration and the pinned key do. */
	if (!members_addresses_ok(m->address) || !members_pinned(n->conf, m->name, m->host_key))
		why = "its host key is not the one in known_hosts, or its address is none";
	else if (admit_judge(&t, "", false, n->wall_ms, m, &why) == ADMIT_TAKE)
		take(g, "", m);
	if (why != NULL)
		refused(g, m->name, m, why);
	session_bye(l->s, CODE_SHUTDOWN, "introduced");
}

void
gossip_introduced(struct gossip *g, struct link *l, const struct msg *m)
{
	if (m->type == MSG_TABLE && ++l->differed == INTRODUCTION_TABLES)
		session_bye(l->s, CODE_IDENTITY, "it does not say who it is");
	else if (m->type == MSG_MEMBER && m->member.removed == 0 &&
		 strcmp(m->member.name, session_peer(l->s)) == 0)
		own_word(g, l, &m->member);
}

static void
got_near(struct link *l, const struct msg *m)
{
	struct cur c = m->near;
	char(*names)[MEMBER_NAME_BYTES_MAX + 1];

	if (!m->near_said)
		return;
	names = calloc(m->nnear > 0 ? m->nnear : 1, sizeof(*names));
	if (names == NULL)
		return; /* it is relayed to once more than needed */
	for (unsigned i = 0; i < m->nnear; i++)
		msg_near(&c, names[i]);
	free(l->near);
	l->near = names;
	l->nnear = m->nnear;
}

static void
heard(struct gossip *g, struct peer *p, uint64_t beat)
{
	if (beat > g->n->wall_ms + ADMIT_AHEAD_MS)
		return; /* above it nothing would ever be news again */
	if (beat > p->beat) {
		p->beat = beat;
		p->beat_ms = g->n->now_ms;
	}
}

static void
got_far(struct gossip *g, const struct msg *m)
{
	struct cur c = m->far;
	char name[MEMBER_NAME_BYTES_MAX + 1];

	for (unsigned i = 0; i < m->nfar; i++) {
		uint64_t beat = msg_far(&c, name);
		struct peer *p = exchange_peer(g->n->exchange, name);

		if (p != NULL)
			heard(g, p, beat);
		else if (strcmp(name, g->n->conf->name) == 0 && beat > g->beat &&
			 beat <= g->n->wall_ms + ADMIT_AHEAD_MS)
			g->beat = beat; /* of before a restart, with another clock */
	}
}

void
gossip_got_table(struct gossip *g, struct link *l, const struct msg *m)
{
	uint64_t mine = table_digest(g);
	bool first = !l->table_heard;

	if (l->peer == NULL)
		return;
	l->table_heard = true;
	got_near(l, m);
	heard(g, l->peer, m->time_ms);
	got_far(g, m);
	if (m->digest == mine) {
		l->differed = 0;
		return;
	}
	if (++l->differed < 2 && !first)
		return; /* news is on its way */
	if (l->answered[0] == m->digest && l->answered[1] == mine)
		return;
	l->answered[0] = m->digest;
	l->answered[1] = mine;
	send_all(g, l);
}

/* ---- acknowledgements of nodes that are not the neighbour's neighbours ---- */

static struct acked_told *
told_of(struct link *l, const struct peer *p)
{
	struct acked_told *t;

	for (t = l->acked_told; t != NULL; t = t->next)
		if (strcmp(t->name, p->name) == 0)
			return t;
	t = calloc(1, sizeof(*t));
	if (t == NULL)
		return NULL;
	snprintf(t->name, sizeof(t->name), "%s", p->name);
	t->next = l->acked_told;
	l->acked_told = t;
	return t;
}

void
link_told_ack(struct link *l, const struct peer *p, const struct dotset *set)
{
	struct acked_told *t = told_of(l, p);

	if (t == NULL)
		return;
	if (t->store != p->store)
		dotset_clear(&t->told);
	t->store = p->store;
	(void)exchange_must(l->x, dotset_join(&t->told, set));
}

static void
relay_ack(struct gossip *g, struct link *l, const struct peer *p)
{
	struct exchange *x = g->n->exchange;
	struct acked_told *t = told_of(l, p);
	struct msg m = {.type = MSG_ACK, .store = p->store};
	struct dotset news = {0};

	if (t == NULL || (t->stamp == p->acked_stamp && t->store == p->store))
		return;
	if (t->store != p->store)
		dotset_clear(&t->told);
	memcpy(m.node, p->name, sizeof(m.node));
	if (exchange_must(x, dotset_copy(&news, &p->acked)) &&
	    exchange_must(x, dotset_minus(&news, &t->told)) &&
	    (dotset_empty(&news) || session_send_set(l->s, &m, &news) == 0)) {
		(void)exchange_must(x, dotset_join(&t->told, &news));
		t->stamp = p->acked_stamp;
		t->store = p->store;
	}
	dotset_free(&news);
}

static void
relay_acks(struct gossip *g)
{
	for (struct link *l = g->n->exchange->links; l != NULL; l = l->next) {
		if (!speaks(l) || !l->table_heard)
			continue; /* its near ones are not known yet */
		for (const struct peer *p = exchange_peers(g->n->exchange); p != NULL; p = p->next)
			if (p != l->peer && p->store != 0 && !dotset_empty(&p->acked) &&
			    !near(l, p->name))
				relay_ack(g, l, p);
	}
}

/* ---- states ---- */

static uint64_t
newer(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

enum peer_state
gossip_state(const struct gossip *g, const struct peer *p)
{
	uint64_t now = g->n->now_ms;

	if (p->link != NULL)
		return PEER_ALIVE;
	if (p->beat_ms > p->lost_ms && now - p->beat_ms < GOSSIP_ALIVE_MS + period(g))
		return PEER_ALIVE;
	if (now - newer(p->beat_ms, p->seen_ms) < GOSSIP_DEAD_MS + period(g))
		return PEER_SUSPECT;
	return PEER_DEAD;
}

void
gossip_doubt(struct gossip *g, struct peer *p)
{
	if (p->link == NULL)
		p->lost_ms = g->n->now_ms;
}

const char *
gossip_state_name(enum peer_state s)
{
	static const char *const names[] = {"dead", "suspect", "alive"};

	return names[s];
}

static void
watch_states(struct gossip *g)
{
	for (struct peer *p = exchange_peers(g->n->exchange); p != NULL; p = p->next) {
		enum peer_state s = gossip_state(g, p);

		if (s == p->state)
			continue;
		LOG(g->n->log, s == PEER_DEAD ? LOG_WARN : LOG_INFO, "member.state",
		    gossip_state_name(s), log_s("member", p->name),
		    log_s("was", gossip_state_name(p->state)));
		p->state = s;
	}
}

bool
gossip_expelled(const struct gossip *g, const char **by)
{
	const struct member *me = index_member(g->n->index, g->n->conf->name);

	if (me == NULL || me->removed == 0)
		return false;
	*by = me->admitted_by;
	return true;
}

/* ---- time ---- */

void
gossip_tick(struct gossip *g)
{
	uint64_t now = g->n->now_ms;

	watch_states(g);
	if (now >= g->acks_ms && (g->n->exchange->acked_moved || now >= g->table_ms)) {
		g->acks_ms = now + GOSSIP_ACK_MS;
		g->n->exchange->acked_moved = false;
		relay_acks(g);
	}
	if (now < g->table_ms)
		return;
	g->table_ms = now + period(g);
	g->beat = newer(g->beat + 1, g->n->wall_ms);
	for (struct link *l = g->n->exchange->links; l != NULL; l = l->next)
		if (speaks(l))
			send_table(g, l);
}

uint64_t
gossip_deadline(const struct gossip *g)
{
	const struct exchange *x = g->n->exchange;

	if (x->peers == NULL)
		return UINT64_MAX;
	return x->links != NULL && x->acked_moved && g->acks_ms < g->table_ms ? g->acks_ms
									      : g->table_ms;
}

struct gossip *
gossip_new(struct node *n)
{
	struct gossip *g = calloc(1, sizeof(*g));

	if (g != NULL)
		g->n = n;
	return g;
}

void
gossip_free(struct gossip *g)
{
	struct news *next;

	if (g == NULL)
		return;
	for (struct news *w = g->news; w != NULL; w = next) {
		next = w->next;
		free(w);
	}
	free(g);
}
