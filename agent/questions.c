/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Questions to peers and their answers (ASK, TELL). A question goes by the connection that is used
 * when it is asked, and ends with it. Only where two connections with one peer become one, those
 * that may be asked again move to the one that stays.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/exchange_internal.h"
#include "agent/merge.h"

/* ---- ours ---- */

static void
forget_words(struct ask *a)
{
	free(a->blob);
	a->blob = NULL;
	a->len = 0;
}

/* Takes the question from its list. */
static struct ask *
unlink_ask(struct ask **at)
{
	struct ask *a = *at;

	*at = a->next;
	a->next = NULL;
	return a;
}

static void
fail_all(struct ask **list)
{
	while (*list != NULL) {
		struct ask *a = unlink_ask(list);

		forget_words(a);
		a->tell(a, CODE_ERROR, true, NULL, 0);
	}
}

static int
put(struct link *l, struct ask *a, uint8_t what, const void *blob, size_t len)
{
	struct msg m = {.type = MSG_ASK, .what = what, .bytes = blob, .len = len};
	int r;

	m.id = a->id = ++l->ask_id;
	r = session_send(l->s, &m);
	if (r < 0)
		return r;
	a->next = l->asks;
	l->asks = a;
	return 0;
}

int
exchange_ask(struct peer *p, uint8_t what, const void *blob, size_t len, struct ask *a)
{
	int r = p->link != NULL ? put(p->link, a, what, blob, len) : -ENOTCONN;

	a->what = what;
	a->heard = false;
	a->blob = NULL;
	a->len = 0;
	if (r < 0 || !a->again || len == 0)
		return r;
	a->blob = malloc(len);
	if (a->blob == NULL) {
		a->again = false;
		return 0;
	}
	memcpy(a->blob, blob, len);
	a->len = len;
	return 0;
}

/* A part of an answer cannot be taken back, so nothing of it may have come. */
static void
keep_for_later(struct link *l)
{
	struct peer *p = l->peer;

	for (struct ask **at = &l->asks; *at != NULL;) {
		struct ask *a;

		if (!(*at)->again || (*at)->heard) {
			at = &(*at)->next;
			continue;
		}
		a = unlink_ask(at);
		a->next = p->waiting;
		p->waiting = a;
		p->waiting_ms = l->x->n->now_ms;
	}
}

void
link_asks_replaced(struct link *l)
{
	keep_for_later(l);
}

void
peer_asks_again(struct peer *p)
{
	struct ask *list = p->waiting;

	p->waiting = NULL;
	while (list != NULL) {
		struct ask *a = unlink_ask(&list);

		if (put(p->link, a, a->what, a->blob, a->len) == 0)
			continue;
		forget_words(a);
		a->tell(a, CODE_ERROR, true, NULL, 0);
	}
}

void
link_asks_closed(struct link *l)
{
	uint8_t code = CODE_OK;
	bool remote;

	(void)session_reason(l->s, &code, &remote);
	if (code == CODE_DUPLICATE && l->peer != NULL) {
		keep_for_later(l);
		if (l->peer->link != NULL)
			peer_asks_again(l->peer);
	}
	fail_all(&l->asks);
}

void
peer_asks_fail(struct peer *p)
{
	fail_all(&p->waiting);
}

void
exchange_asks_tick(struct exchange *x)
{
	for (struct peer *p = x->peers; p != NULL; p = p->next)
		if (p->waiting != NULL && x->n->now_ms - p->waiting_ms >= EXCHANGE_AGAIN_MS)
			fail_all(&p->waiting);
}

uint64_t
exchange_asks_deadline(const struct exchange *x)
{
	uint64_t at = UINT64_MAX;

	for (const struct peer *p = x->peers; p != NULL; p = p->next)
		if (p->waiting != NULL && p->waiting_ms + EXCHANGE_AGAIN_MS < at)
			at = p->waiting_ms + EXCHANGE_AGAIN_MS;
	return at;
}

void
link_got_tell(struct link *l, const struct msg *m)
{
	for (struct ask **at = &l->asks; *at != NULL; at = &(*at)->next) {
		struct ask *a = *at;

		if (a->id != m->id)
			continue;
		a->heard = true;
		if (m->last)
			forget_words(unlink_ask(at));
		a->tell(a, m->code, m->last, m->bytes, m->len);
		return;
	}
}

/* ---- theirs ---- */

int
exchange_tell(struct link *l, uint32_t id, uint8_t code, bool last, const void *blob, size_t len)
{
	return session_send(l->s, &(struct msg){.type = MSG_TELL,
						.id = id,
						.code = code,
						.last = last,
						.bytes = blob,
						.len = len});
}

void
exchange_on_question(struct exchange *x, uint8_t what, exchange_asked f, void *arg)
{
	assert(what <= ASK_WHAT_MAX);
	x->question[what].f = f;
	x->question[what].arg = arg;
}

void
link_got_ask(struct link *l, const struct msg *m)
{
	struct exchange *x = l->x;

	if (merge_asked(x->n->merge, l, m->id, m->what, m->bytes, m->len))
		return;
	if (m->what <= ASK_WHAT_MAX && x->question[m->what].f != NULL)
		x->question[m->what].f(x->question[m->what].arg, l, m->id, m->what, m->bytes,
				       m->len);
	else
		(void)!exchange_tell(l, m->id, CODE_REFUSED, true, NULL, 0);
}
