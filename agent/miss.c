/* SPDX-License-Identifier: BSD-2-Clause */
/* A file that somebody wants now and that may not be here yet. */
#include "config.h"

#include "agent/miss.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/apply.h"
#include "agent/commit.h"
#include "agent/fetch.h"
#include "agent/serve.h"
#include "proto/path.h"

/* One path that the members were asked for. */
struct inquiry {
	struct miss *m;
	enum { ASKING, FOUND, NOBODY, FAILED } state;
	unsigned open;     /* questions without an answer */
	bool failed;       /* somebody could not say */
	uint64_t until_ms; /* of this state */
	struct inquiry *next;
	size_t path_len;
	char path[];
};

struct asked {
	struct ask ask;
	struct inquiry *q;
};

/* What a member wants to know of a path that is there and not logged. */
struct question {
	struct link *link;
	uint32_t id;
	uint64_t barrier, until_ms;
	struct question *next;
	size_t path_len;
	char path[];
};

struct miss {
	struct node *n;
	struct map inquiries;
	struct inquiry *first;
	size_t ninquiries;
	struct question *questions;
	size_t nquestions;
	uint64_t seed;
	uint64_t barrier; /* asked of the watcher in turn barrier_ms: shared by all of that turn */
	uint64_t barrier_ms;
};

/* ---- what is known here ---- */

/* The version that the path should show, if that is a file. */
static const struct record *
wanted_file(const struct node *n, const char *path, size_t len, const struct pathent **ent)
{
	struct irec *i;

	*ent = index_find(n->index, path, len);
	if (*ent == NULL || index_want(*ent, &i) != WANT_RECORD || i->r->kind != KIND_FILE)
		return NULL;
	return i->r;
}

static bool
never(const struct node *n, const char *path, size_t len)
{
	return path_check(path, len) < 0 || node_ignored(n, path, len, false);
}

static int
open_here(struct node *n, const char *path, size_t len, struct miss_found *f)
{
	const struct pathent *e = index_find(n->index, path, len);
	struct sig sig;
	int r = tree_open_file(n->tree, path, len, &f->file);

	if (r < 0)
		return r;
	r = tfile_stat(f->file, &sig, NULL);
	if (r < 0) {
		tfile_close(f->file);
		f->file = NULL;
		return r;
	}
	f->size = sig.size;
	f->mtime_ns = sig.mtime_ns;
	f->hashed = e != NULL && e->shown != NULL && e->shown->r->kind == KIND_FILE &&
		    sig_eq_renamed(&sig, &e->sig);
	if (f->hashed)
		memcpy(f->hash, e->shown->r->hash, sizeof(f->hash));
	return 0;
}

static void
describe(struct miss_found *f, const struct record *r)
{
	f->size = r->size;
	f->mtime_ns = r->mtime_ns;
	f->hashed = true;
	memcpy(f->hash, r->hash, sizeof(f->hash));
	f->dot = r->dot;
}

/* A fetch of that version that has something to show. */
static const struct fetch_job *
fetch_of(const struct node *n, const struct pathent *e, struct dot dot)
{
	const struct fetch_job *j = apply_explain(n->apply, e).fetch;

	return j != NULL && dot_eq(j->rec->dot, dot) ? j : NULL;
}

static bool
worth_streaming(const struct fetch_job *j)
{
	return j != NULL && j->have_bytes > 0 && j->rec->size > 2 * MISS_HELD_BYTES;
}

static enum miss_result
look_at_record(struct miss *m, const struct pathent *e, const struct record *r,
	       struct miss_found *f)
{
	struct node *n = m->n;
	const struct fetch_job *j = fetch_of(n, e, r->dot);

	describe(f, r);
	if (serve_open(n, r->hash, r->size, &f->file, NULL) == 0)
		return MISS_HERE;
	if (!worth_streaming(j) || tree_stage_read(n->tree, j->stage, &f->file) < 0) {
		apply_hurry(n->apply, e);
		return MISS_WAIT;
	}
	f->job = j->serial;
	f->restarts = j->restarts;
	return MISS_COMING;
}

int64_t
miss_ready(struct miss *m, const char *path, size_t len, const struct miss_found *f, int64_t before)
{
	const struct pathent *e = index_find(m->n->index, path, len);
	const struct fetch_job *j;
	uint64_t may = f->size - MISS_HELD_BYTES;

	if (e == NULL)
		return -ECANCELED;
	if (e->shown != NULL && dot_eq(e->shown->r->dot, f->dot))
		return (int64_t)f->size;
	j = fetch_of(m->n, e, f->dot);
	if (j == NULL) /* it is verified and about to be put in its place, or it failed */
		return apply_applying(m->n->apply, e) ? before : -ECANCELED;
	if (j->serial != f->job || j->restarts != f->restarts)
		return -ECANCELED;
	return (int64_t)(j->have_bytes < may ? j->have_bytes : may);
}

/* ---- asking the members ---- */

struct key {
	const char *path;
	size_t len;
};

static bool
inquiry_match(const void *item, const void *key)
{
	const struct inquiry *q = item;
	const struct key *k = key;

	return q->path_len == k->len && memcmp(q->path, k->path, k->len) == 0;
}

static struct inquiry *
inquiry_find(const struct miss *m, const char *path, size_t len)
{
	struct key k = {path, len};

	return map_find(&m->inquiries, map_hash(m->seed, path, len), inquiry_match, &k);
}

static void
inquiry_free(struct miss *m, struct inquiry *q)
{
	struct inquiry **at = &m->first;

	while (*at != q)
		at = &(*at)->next;
	*at = q->next;
	map_del(&m->inquiries, map_hash(m->seed, q->path, q->path_len), q);
	m->ninquiries--;
	free(q);
}

static struct inquiry *
inquiry_new(struct miss *m, const char *path, size_t len)
{
	struct inquiry *q = m->ninquiries < MISS_INQUIRIES_MAX ? calloc(1, sizeof(*q) + len) : NULL;

	if (q == NULL)
		return NULL;
	q->m = m;
	q->path_len = len;
	memcpy(q->path, path, len);
	if (map_add(&m->inquiries, map_hash(m->seed, path, len), q) < 0) {
		free(q);
		return NULL;
	}
	q->next = m->first;
	m->first = q;
	m->ninquiries++;
	return q;
}

/* All have answered, or one that it has it. */
static void
conclude(struct inquiry *q, bool has_it)
{
	uint64_t now = q->m->n->now_ms;

	if (has_it && q->state != FOUND) {
		q->state = FOUND;
		q->until_ms = now + MISS_RECORD_MS;
	} else if (q->state == ASKING && q->open == 0) {
		q->state = q->failed ? FAILED : NOBODY;
		q->until_ms = now + (q->failed ? 0 : MISS_NOBODY_MS);
	}
}

static void
told(struct ask *a, uint8_t code, bool last, const uint8_t *blob, size_t len)
{
	struct asked *k = (struct asked *)((char *)a - offsetof(struct asked, ask));
	struct inquiry *q = k->q;

	(void)blob;
	(void)len;
	if (last) {
		q->open--;
		free(k);
	}
	if (code != CODE_OK && code != CODE_GONE)
		q->failed = true;
	conclude(q, code == CODE_OK);
}

static void
ask_one(struct inquiry *q, struct peer *p)
{
	struct asked *k = calloc(1, sizeof(*k));

	if (k != NULL) {
		k->q = q;
		k->ask = (struct ask){.tell = told, .again = true};
		if (exchange_ask(q->m->n->exchange, p, ASK_PATH, q->path, q->path_len, &k->ask) ==
		    0) {
			q->open++;
			return;
		}
	}
	free(k);
	q->failed = true;
}

static void
ask_all(struct inquiry *q)
{
	struct node *n = q->m->n;

	q->state = ASKING;
	q->failed = false;
	q->until_ms = n->now_ms + MISS_ASK_MS;
	n->counts.miss_asked++;
	for (struct peer *p = exchange_peers(n->exchange); p != NULL; p = p->next)
		if (p->link != NULL)
			ask_one(q, p);
	conclude(q, false);
}

/* An answer that is still good, or NULL. */
static struct inquiry *
inquiry_now(const struct miss *m, const char *path, size_t len)
{
	struct inquiry *q = inquiry_find(m, path, len);

	return q != NULL && (m->n->now_ms < q->until_ms || q->open > 0) ? q : NULL;
}

static enum miss_result
look_at_members(struct miss *m, const char *path, size_t len)
{
	struct inquiry *q = inquiry_now(m, path, len);

	if (q == NULL) {
		q = inquiry_find(m, path, len);
		if (q == NULL)
			q = inquiry_new(m, path, len);
		if (q == NULL)
			return MISS_LATE;
		ask_all(q);
	}
	switch (q->state) {
	case ASKING:
	case FOUND:
		return m->n->now_ms < q->until_ms ? MISS_WAIT : MISS_LATE;
	case NOBODY:
		return MISS_NOBODY;
	case FAILED:
		break;
	}
	return MISS_LATE;
}

enum miss_result
miss_look(struct miss *m, const char *path, size_t len, struct miss_found *f)
{
	const struct pathent *e;
	const struct record *r;
	int here;

	*f = (struct miss_found){0};
	if (never(m->n, path, len))
		return MISS_NEVER;
	if (m->n->halted != 0)
		return MISS_LATE;
	here = open_here(m->n, path, len, f);
	if (here == 0)
		return MISS_HERE;
	if (here != -ENOENT)
		return here == -EISDIR || here == -ELOOP || here == -EMEDIUMTYPE ||
				       here == -ENAMETOOLONG || here == -EXDEV
			       ? MISS_NEVER
			       : MISS_LATE;
	r = wanted_file(m->n, path, len, &e);
	if (r != NULL)
		return look_at_record(m, e, r, f);
	if (e != NULL && (e->strong_below > 0 || e->weak_below > 0))
		return MISS_NEVER; /* a directory on its way */
	return look_at_members(m, path, len);
}

bool
miss_over(struct miss *m, const char *path, size_t len)
{
	const struct pathent *e;
	const struct record *r = wanted_file(m->n, path, len, &e);
	const struct inquiry *q;

	if (m->n->halted != 0)
		return true;
	if (r != NULL)
		return (e->shown != NULL && dot_eq(e->shown->r->dot, r->dot)) ||
		       worth_streaming(fetch_of(m->n, e, r->dot));
	q = inquiry_find(m, path, len);
	return q == NULL || m->n->now_ms >= q->until_ms || q->state == NOBODY || q->state == FAILED;
}

/* ---- members that ask ---- */

/* CODE_OK: its record is here. CODE_GONE: it is not here. CODE_BUSY: it is, and is not logged. */
static uint8_t
judge(struct node *n, const char *path, size_t len)
{
	const struct pathent *e;
	struct sig sig;
	int r;

	if (node_ignored(n, path, len, false))
		return CODE_GONE;
	if (wanted_file(n, path, len, &e) != NULL)
		return CODE_OK;
	r = tree_stat(n->tree, path, len, &sig, NULL);
	if (r < 0)
		return r == -ENOENT || r == -ELOOP || r == -EXDEV ? CODE_GONE : CODE_ERROR;
	return sig.kind == KIND_FILE ? CODE_BUSY : CODE_GONE;
}

static uint64_t
barrier(struct miss *m)
{
	struct node *n = m->n;

	if (m->barrier == 0 || m->barrier_ms != n->now_ms || n->index->answered >= m->barrier) {
		m->barrier = node_barrier(n);
		m->barrier_ms = n->now_ms;
	}
	return m->barrier;
}

static bool
keep_question(struct miss *m, struct link *l, uint32_t id, const char *path, size_t len)
{
	struct question *k =
		m->nquestions < MISS_QUESTIONS_MAX ? calloc(1, sizeof(*k) + len) : NULL;

	if (k == NULL)
		return false;
	k->link = l;
	k->id = id;
	k->barrier = barrier(m);
	k->until_ms = m->n->now_ms + MISS_ASK_MS;
	k->path_len = len;
	memcpy(k->path, path, len);
	k->next = m->questions;
	m->questions = k;
	m->nquestions++;
	return true;
}

static void
on_asked(void *arg, struct link *l, uint32_t id, uint8_t what, const uint8_t *blob, size_t len)
{
	struct miss *m = arg;
	const char *path = (const char *)blob;
	uint8_t code;

	(void)what;
	code = path_check(path, len) < 0 ? CODE_REFUSED : judge(m->n, path, len);
	if (code == CODE_BUSY && keep_question(m, l, id, path, len))
		return;
	(void)!exchange_tell(l, id, code, true, NULL, 0);
}

static bool
answer(struct miss *m, const struct question *k)
{
	struct node *n = m->n;
	uint8_t code = judge(n, k->path, k->path_len);

	if (code == CODE_BUSY && n->index->answered >= k->barrier)
		code = CODE_GONE; /* still being written: nothing that can be had */
	else if (code == CODE_BUSY && n->now_ms < k->until_ms)
		return false;
	(void)!exchange_tell(k->link, k->id, code, true, NULL, 0);
	return true;
}

static void
drop_questions(struct miss *m, const struct link *l)
{
	struct question **at = &m->questions, *k;

	while ((k = *at) != NULL) {
		if (l != NULL ? k->link == l : answer(m, k)) {
			*at = k->next;
			m->nquestions--;
			free(k);
		} else {
			at = &k->next;
		}
	}
}

void
miss_link_closed(struct miss *m, struct link *l)
{
	drop_questions(m, l);
}

/* ---- life ---- */

void
miss_tick(struct miss *m)
{
	struct inquiry *next;

	drop_questions(m, NULL);
	for (struct inquiry *q = m->first; q != NULL; q = next) {
		next = q->next;
		if (q->open == 0 && m->n->now_ms >= q->until_ms)
			inquiry_free(m, q);
	}
}

uint64_t
miss_deadline(const struct miss *m)
{
	uint64_t at = UINT64_MAX;

	for (const struct question *k = m->questions; k != NULL; k = k->next)
		at = k->until_ms < at ? k->until_ms : at;
	for (const struct inquiry *q = m->first; q != NULL; q = q->next)
		if (q->open == 0 && q->until_ms < at)
			at = q->until_ms;
	return at;
}

struct miss *
miss_new(struct node *n)
{
	struct miss *m = calloc(1, sizeof(*m));

	if (m == NULL)
		return NULL;
	m->n = n;
	m->seed = node_random(n);
	exchange_on_question(n->exchange, ASK_PATH, on_asked, m);
	return m;
}

void
miss_free(struct miss *m)
{
	struct question *k;

	if (m == NULL)
		return;
	while ((k = m->questions) != NULL) {
		m->questions = k->next;
		free(k);
	}
	while (m->first != NULL)
		inquiry_free(m, m->first);
	map_free(&m->inquiries);
	free(m);
}
