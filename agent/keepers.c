/* SPDX-License-Identifier: BSD-2-Clause */
/* Who keeps what, asked of all members. */
#include "config.h"

#include "agent/keepers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/store.h"
#include "proto/hlc.h"
#include "proto/path.h"

#define SELF 0 /* this node's bit in `on` */
#define NOBODY SIZE_MAX
#define PAGES_MAX 10000 /* of one member: whoever has more to say says nothing */

/* A question on its way; the link knows it until the answer came. */
struct asked {
	struct ask ask;
	struct keepers *k; /* NULL: nobody waits for it any more */
	size_t i;
};

struct keeper {
	char name[MEMBER_NAME_BYTES_MAX + 1]; /* a member may be removed meanwhile */
	struct asked *asked;
	uint64_t until_ms;
	unsigned pages;
	bool answered; /* all of it */
};

struct keepers {
	struct node *n;
	struct keepers_want want;
	char *path;
	struct keeper keeper[MEMBERS_MAX];
	size_t nkeepers;
	uint64_t until_ms, seed;
	struct map dots;
	struct keepers_found **found;
	size_t nfound, cap;
	uint64_t bytes;
	bool cut, sorted;
};

/* Where a page ended. */
struct place {
	uint64_t since_ms;
	struct dot dot;
};

/* ---- what is asked for ---- */

static void
put_dot(struct buf *b, struct dot d)
{
	buf_put_u64(b, d.origin);
	buf_put_u64(b, d.seq);
}

static struct dot
get_dot(struct cur *c)
{
	uint64_t origin = cur_u64(c), seq = cur_u64(c);

	return (struct dot){origin, seq};
}

static void
put_place(struct buf *b, const struct place *p)
{
	buf_put_u64(b, p->since_ms);
	put_dot(b, p->dot);
}

static struct place
get_place(struct cur *c)
{
	uint64_t since = cur_u64(c);

	return (struct place){since, get_dot(c)};
}

static bool
want_ok(const struct keepers_want *w)
{
	if (w->kinds == 0 || (w->kinds & ~(KEEPERS_TRASH | KEEPERS_CONFLICTS)) != 0)
		return false;
	if (w->how == KEEPERS_DOT)
		return w->len == 0 && !dot_none(w->dot);
	if (w->how == KEEPERS_BELOW && w->len == 0)
		return true;
	return w->how <= KEEPERS_AT && path_check(w->path, w->len) == 0;
}

static void
want_encode(struct buf *b, const struct keepers_want *w, const struct place *after)
{
	buf_put_u8(b, w->kinds);
	buf_put_u8(b, w->how);
	put_place(b, after);
	put_dot(b, w->dot);
	buf_put_str(b, w->path, w->len);
}

static bool
want_decode(struct cur *c, struct keepers_want *w, struct place *after)
{
	w->kinds = cur_u8(c);
	w->how = cur_u8(c);
	*after = get_place(c);
	w->dot = get_dot(c);
	w->path = (const char *)cur_str(c, &w->len);
	return cur_done(c) && want_ok(w);
}

static bool
wanted(const struct keepers_want *w, struct dot dot, const struct record *r)
{
	if (w->how == KEEPERS_DOT)
		return dot_eq(w->dot, dot);
	if (w->len == 0)
		return true;
	return path_within(r->path, r->path_len, w->path, w->len) &&
	       (r->path_len == w->len || w->how == KEEPERS_BELOW);
}

/* Did it lose against another content? Directories and deletes lose nothing that can be kept. */
static bool
losing(const struct irec *i)
{
	const struct irec *w = index_winner(i->ent);

	return i->head && i != w && record_live(i->r) && i->r->kind != KIND_DIR &&
	       !record_same_content(i->r, w->r);
}

static bool
kept_wanted(const struct index *x, const struct keepers_want *w, const struct kept *k)
{
	const struct pathent *e;
	const struct irec *i;

	if (!wanted(w, k->dot, k->r))
		return false;
	if (w->kinds == (KEEPERS_TRASH | KEEPERS_CONFLICTS))
		return true;
	if (!index_kept_conflict(x, k))
		return (w->kinds & KEEPERS_TRASH) != 0;
	if ((w->kinds & KEEPERS_CONFLICTS) == 0)
		return false;
	e = index_find(x, k->r->path, k->r->path_len);
	i = e != NULL ? index_record(e, k->dot) : NULL;
	return (k->flags & KEPT_RESCUED) != 0 || (i != NULL && losing(i));
}

/* ---- answering ---- */

static const struct kept *
go_on_at(const struct index *x, const struct place *after)
{
	const struct kept *k = index_kept(x, after->dot);

	if (k != NULL)
		return k->next;
	for (k = x->kept_first; k != NULL && k->since_ms < after->since_ms; k = k->next)
		;
	return k;
}

static void
put_item(struct node *n, struct buf *b, const struct kept *k)
{
	const struct origin *o = index_origin(n->index, k->r->dot.origin);
	const char *node = o != NULL ? o->node : "";

	put_dot(b, k->dot);
	buf_put_u64(b, k->since_ms);
	buf_put_u64(b, store_expires(n->kept, k));
	buf_put_u8(b, k->flags & KEPT_RESCUED);
	buf_put_str(b, node, strlen(node));
	record_encode(b, k->r);
}

static void
make_page(struct node *n, const struct keepers_want *w, const struct place *after, struct buf *b)
{
	const struct kept *k =
		w->how == KEEPERS_DOT ? index_kept(n->index, w->dot) : go_on_at(n->index, after);
	struct place at = {0};
	struct buf items = {0};
	unsigned looked = 0;

	for (; k != NULL && looked < KEEPERS_LOOK_MAX && items.len < KEEPERS_PAGE_BYTES; looked++) {
		if (kept_wanted(n->index, w, k))
			put_item(n, &items, k);
		at = (struct place){k->since_ms, k->dot};
		k = w->how == KEEPERS_DOT ? NULL : k->next;
	}
	buf_put_u8(b, k != NULL);
	put_place(b, &at);
	buf_put(b, items.data, items.len);
	b->failed = b->failed || items.failed;
	buf_free(&items);
}

static void
on_asked(void *arg, struct link *l, uint32_t id, uint8_t what, const uint8_t *blob, size_t len)
{
	struct node *n = arg;
	struct cur c = cur_of(blob, len);
	struct keepers_want w;
	struct place after;
	struct buf page = {0};
	uint8_t code = CODE_REFUSED;

	(void)what;
	if (want_decode(&c, &w, &after)) {
		make_page(n, &w, &after, &page);
		code = page.failed ? CODE_ERROR : CODE_OK;
	}
	/* If there is no room for it the asker does not wait for long. */
	(void)!exchange_tell(l, id, code, true, page.data, code == CODE_OK ? page.len : 0);
	buf_free(&page);
}

void
keepers_listen(struct node *n)
{
	exchange_on_question(n->exchange, ASK_KEPT, on_asked, n);
}

/* ---- what was found ---- */

static uint64_t
dot_hash(const struct keepers *k, struct dot d)
{
	return map_hash(k->seed, &d, sizeof(d));
}

static bool
found_match(const void *item, const void *key)
{
	const struct keepers_found *f = item;
	const struct dot *d = key;

	return dot_eq(f->kept.dot, *d);
}

static void
found_free(struct keepers_found *f)
{
	if (f != NULL)
		record_free(f->kept.r);
	free(f);
}

static bool
room_for_one(struct keepers *k, const struct record *r)
{
	struct keepers_found **more;
	size_t cap = k->cap == 0 ? 64 : 2 * k->cap;
	uint64_t bytes = sizeof(struct keepers_found) + sizeof(*r) + r->path_len + r->target_len +
			 r->ctx.n * sizeof(struct dot);

	if (k->nfound == KEEPERS_FOUND_MAX || k->bytes + bytes > KEEPERS_FOUND_BYTES_MAX)
		return false;
	k->bytes += bytes;
	if (k->nfound < k->cap)
		return true;
	more = realloc(k->found, cap * sizeof(struct keepers_found *));
	if (more == NULL)
		return false;
	k->found = more;
	k->cap = cap;
	return true;
}

/* NULL: no room. */
static struct keepers_found *
found_add(struct keepers *k, const struct kept *as)
{
	struct keepers_found *f = room_for_one(k, as->r) ? calloc(1, sizeof(*f)) : NULL;

	if (f != NULL) {
		f->kept = (struct kept){.dot = as->dot,
					.r = record_dup(as->r),
					.since_ms = as->since_ms,
					.flags = as->flags};
		if (f->kept.r != NULL && map_add(&k->dots, dot_hash(k, as->dot), f) == 0) {
			k->found[k->nfound++] = f;
			return f;
		}
	}
	found_free(f);
	k->cut = true;
	return NULL;
}

/* One dot is one version: who tells something else of it is not believed. */
static bool
same(const struct kept *a, const struct kept *b)
{
	return a->flags == b->flags && record_same_content(a->r, b->r) &&
	       a->r->path_len == b->r->path_len &&
	       memcmp(a->r->path, b->r->path, a->r->path_len) == 0;
}

/* That member, or NOBODY, keeps it. node: who wrote it, as it says. */
static void
add(struct keepers *k, size_t by, const struct kept *as, uint64_t expires, const char *node)
{
	struct keepers_found *f = map_find(&k->dots, dot_hash(k, as->dot), found_match, &as->dot);
	const struct origin *o = index_origin(k->n->index, as->r->dot.origin);

	if (f == NULL) {
		f = found_add(k, as);
		if (f == NULL)
			return;
		snprintf(f->node, sizeof(f->node), "%s", o != NULL ? o->node : node);
	} else if (!same(&f->kept, as)) {
		return;
	}
	if (as->since_ms < f->kept.since_ms)
		f->kept.since_ms = as->since_ms;
	if (expires > f->expires)
		f->expires = expires;
	if ((k->want.kinds & KEEPERS_TRASH) != 0 || (as->flags & KEPT_RESCUED) != 0)
		f->time_ms = f->kept.since_ms;
	else
		f->time_ms = hlc_ms(f->kept.r->hlc);
	if (k->want.kinds == KEEPERS_CONFLICTS)
		f->expires = 0;
	if (by != NOBODY)
		f->on[by / 64] |= 1ull << (by % 64);
}

static void
add_own(struct keepers *k)
{
	const struct index *x = k->n->index;
	const struct kept *one = k->want.how == KEEPERS_DOT ? index_kept(x, k->want.dot) : NULL;

	if (k->want.how == KEEPERS_DOT) {
		if (one != NULL)
			add(k, SELF, one, store_expires(k->n->kept, one), "");
		return;
	}
	for (const struct kept *i = x->kept_first; i != NULL; i = i->next)
		if (kept_wanted(x, &k->want, i))
			add(k, SELF, i, store_expires(k->n->kept, i), "");
}

/* Versions that lost and whose content is still to come. */
static void
add_recorded(struct keepers *k)
{
	bool dot = k->want.how == KEEPERS_DOT;

	if ((k->want.kinds & KEEPERS_CONFLICTS) == 0)
		return;
	for (const struct irec *i = k->n->index->log_first; i != NULL; i = i->log_next) {
		struct kept as = {.dot = i->r->dot, .r = i->r, .since_ms = hlc_ms(i->r->hlc)};

		if (wanted(&k->want, i->r->dot, i->r) &&
		    (dot ? record_live(i->r) && i->r->kind != KIND_DIR : losing(i)))
			add(k, NOBODY, &as, 0, "");
	}
}

/* ---- asking ---- */

static void told(struct ask *a, uint8_t code, bool last, const uint8_t *blob, size_t len);

static void
ask_one(struct keepers *k, size_t i, const struct place *after)
{
	struct keeper *p = &k->keeper[i];
	struct peer *peer = exchange_peer(k->n->exchange, p->name);
	struct asked *a = peer != NULL ? calloc(1, sizeof(*a)) : NULL;
	struct buf b = {0};

	if (a == NULL)
		return;
	*a = (struct asked){.ask = {.tell = told, .again = true, .patience_ms = KEEPERS_ANSWER_MS},
			    .k = k,
			    .i = i};
	want_encode(&b, &k->want, after);
	if (!b.failed && ++p->pages <= PAGES_MAX &&
	    exchange_ask(k->n->exchange, peer, ASK_KEPT, b.data, b.len, &a->ask) == 0) {
		p->asked = a;
		p->until_ms = k->n->now_ms + KEEPERS_ANSWER_MS;
		if (peer->link == NULL)
			p->until_ms += KEEPERS_ANSWER_MS;
	} else {
		free(a);
	}
	buf_free(&b);
}

static bool
take_item(struct keepers *k, size_t i, struct cur *c)
{
	struct kept as = {.dot = get_dot(c)};
	uint64_t since = cur_u64(c), expires = cur_u64(c);
	uint8_t flags = cur_u8(c);
	size_t len;
	const uint8_t *node = cur_str(c, &len);
	char name[MEMBER_NAME_BYTES_MAX + 1] = "";
	struct record r;
	bool good;

	if (c->bad || len > MEMBER_NAME_BYTES_MAX || record_decode(c, &r) < 0)
		return false;
	if (len > 0)
		memcpy(name, node, len);
	as.r = &r;
	as.since_ms = since;
	as.flags = flags;
	good = (r.kind == KIND_FILE || r.kind == KIND_SYMLINK) && wanted(&k->want, as.dot, &r) &&
	       (flags == KEPT_RESCUED ? as.dot.origin == 0 : flags == 0 && dot_eq(as.dot, r.dot));
	if (good)
		add(k, i, &as, expires, name);
	record_clear(&r);
	return good;
}

static bool
take_page(struct keepers *k, size_t i, const uint8_t *blob, size_t len, struct place *after,
	  bool *more)
{
	struct cur c = cur_of(blob, len);

	*more = cur_u8(&c) != 0;
	*after = get_place(&c);
	while (c.left > 0)
		if (!take_item(k, i, &c))
			return false;
	return cur_done(&c);
}

static void
told(struct ask *ask, uint8_t code, bool last, const uint8_t *blob, size_t len)
{
	struct asked *a = (struct asked *)((char *)ask - offsetof(struct asked, ask));
	struct keepers *k = a->k;
	size_t i = a->i;
	struct place after;
	bool more;

	a->k = NULL;
	if (last)
		free(a);
	if (k == NULL)
		return;
	k->keeper[i].asked = NULL;
	if (!last || code != CODE_OK || !take_page(k, i, blob, len, &after, &more))
		return;
	if (more && !k->cut)
		ask_one(k, i, &after);
	else
		k->keeper[i].answered = true;
}

static void
ask_all(struct keepers *k)
{
	snprintf(k->keeper[SELF].name, sizeof(k->keeper[SELF].name), "%s", k->n->conf->name);
	k->keeper[SELF].answered = true;
	k->nkeepers = 1;
	for (struct peer *p = exchange_peers(k->n->exchange);
	     p != NULL && k->nkeepers < MEMBERS_MAX; p = p->next) {
		snprintf(k->keeper[k->nkeepers].name, sizeof(p->name), "%s", p->name);
		ask_one(k, k->nkeepers++, &(struct place){0});
	}
}

int
keepers_new(struct node *n, const struct keepers_want *want, struct keepers **out)
{
	struct keepers *k;

	*out = NULL;
	if (!want_ok(want))
		return -EINVAL;
	k = calloc(1, sizeof(*k));
	if (k == NULL)
		return -ENOMEM;
	k->n = n;
	k->want = *want;
	k->seed = node_random(n);
	k->until_ms = n->now_ms + KEEPERS_ALL_MS;
	k->path = malloc(want->len + 1);
	if (k->path == NULL) {
		keepers_free(k);
		return -ENOMEM;
	}
	memcpy(k->path, want->len > 0 ? want->path : "", want->len);
	k->want.path = k->path;
	add_own(k);
	add_recorded(k);
	ask_all(k);
	*out = k;
	return 0;
}

static void
leave(struct keeper *p)
{
	if (p->asked != NULL)
		p->asked->k = NULL;
	p->asked = NULL;
}

void
keepers_free(struct keepers *k)
{
	if (k == NULL)
		return;
	for (size_t i = 0; i < k->nkeepers; i++)
		leave(&k->keeper[i]);
	for (size_t i = 0; i < k->nfound; i++)
		found_free(k->found[i]);
	map_free(&k->dots);
	free(k->found);
	free(k->path);
	free(k);
}

/* ---- the answer ---- */

static int
older(const void *a, const void *b)
{
	const struct keepers_found *x = *(struct keepers_found *const *)a,
				   *y = *(struct keepers_found *const *)b;

	if (x->time_ms != y->time_ms)
		return x->time_ms < y->time_ms ? -1 : 1;
	return dot_cmp(x->kept.dot, y->kept.dot);
}

bool
keepers_done(struct keepers *k)
{
	uint64_t now = k->n->now_ms;
	bool open = false;

	for (size_t i = 0; i < k->nkeepers; i++) {
		struct keeper *p = &k->keeper[i];

		if (p->asked != NULL && (now >= p->until_ms || now >= k->until_ms))
			leave(p);
		open = open || p->asked != NULL;
	}
	if (!open && !k->sorted && k->nfound > 0)
		qsort(k->found, k->nfound, sizeof(struct keepers_found *), older);
	k->sorted = k->sorted || !open;
	return k->sorted;
}

const struct keepers_found *
keepers_at(const struct keepers *k, size_t i)
{
	return i < k->nfound ? k->found[i] : NULL;
}

bool
keepers_cut(const struct keepers *k)
{
	return k->cut;
}

static bool
on(const struct keepers_found *f, size_t i)
{
	return (f->on[i / 64] >> (i % 64) & 1) != 0;
}

bool
keepers_here(const struct keepers_found *f)
{
	return on(f, SELF);
}

bool
keepers_by(const struct keepers *k, const struct keepers_found *f, const struct peer *p)
{
	for (size_t i = 0; i < k->nkeepers; i++)
		if (on(f, i) && strcmp(k->keeper[i].name, p->name) == 0)
			return true;
	return false;
}

const char *
keepers_name(const struct keepers *k, const struct keepers_found *f, size_t *i)
{
	for (; *i < k->nkeepers; ++*i)
		if (on(f, *i))
			return k->keeper[(*i)++].name;
	return NULL;
}

const char *
keepers_silent(const struct keepers *k, size_t *i)
{
	for (; *i < k->nkeepers; ++*i)
		if (!k->keeper[*i].answered)
			return k->keeper[(*i)++].name;
	return NULL;
}
