/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Questions to peers and their answers (ASK, TELL). A question goes by the connection that is used
 * when it is asked, and ends with it. Only where two connections with one peer become one, those
 * that may be asked again move to the one that stays; and one with patience waits for the next
 * connection if the last one was lost a moment ago.
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

static void
wait_for_link(struct exchange *x, struct peer *p, struct ask *a, uint64_t ms)
{
	a->until_ms = x->n->now_ms + ms;
	a->next = p->waiting;
	p->waiting = a;
}

/* Should the question have to be asked again. */
static int
keep_words(struct ask *a, const void *blob, size_t len)
{
	if (len == 0)
		return 0;
	a->blob = malloc(len);
	if (a->blob == NULL)
		return -ENOMEM;
	memcpy(a->blob, blob, len);
	a->len = len;
	return 0;
}

static int
ask_later(struct exchange *x, struct peer *p, const void *blob, size_t len, struct ask *a)
{
	int e;

	if (!a->again || a->patience_ms == 0 || x->n->now_ms - p->lost_ms >= EXCHANGE_LOST_MS)
		return -ENOTCONN;
	e = keep_words(a, blob, len);
	if (e == 0)
		wait_for_link(x, p, a, a->patience_ms);
	return e;
}

int
exchange_ask(struct exchange *x, struct peer *p, uint8_t what, const void *blob, size_t len,
	     struct ask *a)
{
	int r;

	a->what = what;
	a->heard = false;
	a->blob = NULL;
	a->len = 0;
	if (p->link == NULL)
		return ask_later(x, p, blob, len, a);
	r = put(p->link, a, what, blob, len);
	if (r == 0 && a->again && keep_words(a, blob, len) < 0)
		a->again = false;
	return r;
}

/* A part of an answer cannot be taken back, so nothing of it may have come. */
void
link_asks_replaced(struct link *l)
{
	struct peer *p = l->peer;

	for (struct ask **at = &l->asks; *at != NULL;) {
		struct ask *a;

		if (!(*at)->again || (*at)->heard) {
			at = &(*at)->next;
			continue;
		}
		a = unlink_ask(at);
		wait_for_link(l->x, p, a, EXCHANGE_AGAIN_MS);
	}
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
		link_asks_replaced(l);
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

/* Those that have waited long enough; who is told may ask again. */
static void
fail_late(struct peer *p, uint64_t now_ms)
{
	struct ask *late = NULL, **at = &p->waiting;

	while (*at != NULL) {
		struct ask *a;

		if (now_ms < (*at)->until_ms) {
			at = &(*at)->next;
			continue;
		}
		a = unlink_ask(at);
		a->next = late;
		late = a;
	}
	fail_all(&late);
}

void
exchange_asks_tick(struct exchange *x)
{
	for (struct peer *p = x->peers; p != NULL; p = p->next)
		fail_late(p, x->n->now_ms);
}

uint64_t
exchange_asks_deadline(const struct exchange *x)
{
	uint64_t at = UINT64_MAX;

	for (const struct peer *p = x->peers; p != NULL; p = p->next)
		for (const struct ask *a = p->waiting; a != NULL; a = a->next)
			at = a->until_ms < at ? a->until_ms : at;
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
