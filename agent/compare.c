/* SPDX-License-Identifier: BSD-2-Clause */
/* Do this node and its peers show the same? Sums first, rows where those differ. */
#include "config.h"

#include "agent/compare.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/scrub.h"
#include "proto/crc32c.h"
#include "proto/path.h"

#define ALL_BUCKETS 0xffffu /* asked for in place of one: their sums */
#define FLAG_REHASH 1u
#define SUMS_BYTES (COMPARE_BUCKETS * 8u)
#define FNV_BASE UINT64_C(0xcbf29ce484222325)
#define FNV_PRIME UINT64_C(0x100000001b3)

struct member_state {
	char name[MEMBER_NAME_BYTES_MAX + 1];
	bool answered;
};

struct compare {
	struct node *n;
	struct member_state *members;
	size_t nmembers, at; /* the one that is asked */
	bool rehash, cut;
	struct asked *asked; /* a question is open */
	bool summed;         /* that member has told its sums */
	uint64_t until_ms;
	uint16_t differ[COMPARE_ASK_BUCKETS]; /* buckets still to be asked for */
	size_t ndiffer;
	uint16_t bucket; /* the one that is asked for */
	struct compare_row **rows;
	size_t nrows, cap;
};

/* A question under way: outlives its owner, who sets c to NULL. */
struct asked {
	struct ask ask;
	struct compare *c;
};

/* What one side shows at a path, as it travels. */
struct row {
	uint8_t kind;
	uint16_t mode;
	uint64_t size;
	int64_t mtime_ns;
	uint8_t hash[RECORD_HASH_BYTES];
	const uint8_t *path;
	size_t len;
	bool seen;
};

/* ---- what is shown here ---- */

static uint16_t
bucket_of(const uint8_t *path, size_t len)
{
	return (uint16_t)(crc32c(0, path, len) % COMPARE_BUCKETS);
}

static bool
compared(const struct node *n, const struct pathent *e)
{
	return e->shown != NULL &&
	       (e->shown->r->kind == KIND_FILE || e->shown->r->kind == KIND_SYMLINK) &&
	       !node_ignored(n, e->path, e->path_len, false);
}

static struct row
row_of(const struct pathent *e)
{
	const struct record *r = e->shown->r;
	struct row row = {.kind = r->kind,
			  .mode = r->mode,
			  .size = r->size,
			  .mtime_ns = r->mtime_ns,
			  .path = e->path,
			  .len = e->path_len};

	memcpy(row.hash, r->hash, sizeof(row.hash));
	return row;
}

static void
row_encode(struct buf *b, const struct row *r)
{
	buf_put_u8(b, r->kind);
	buf_put_u16(b, r->mode);
	buf_put_u64(b, r->size);
	buf_put_u64(b, (uint64_t)r->mtime_ns);
	buf_put(b, r->hash, sizeof(r->hash));
	buf_put_str(b, r->path, r->len);
}

static bool
row_decode(struct cur *c, struct row *r)
{
	const uint8_t *hash;

	*r = (struct row){.kind = cur_u8(c), .mode = cur_u16(c)};
	r->size = cur_u64(c);
	r->mtime_ns = (int64_t)cur_u64(c);
	hash = cur_bytes(c, sizeof(r->hash));
	r->path = cur_str(c, &r->len);
	if (c->bad || path_check(r->path, r->len) < 0)
		return false;
	memcpy(r->hash, hash, sizeof(r->hash));
	return true;
}

static uint64_t
row_sum(const struct row *r)
{
	struct buf b = {0};
	uint64_t sum = FNV_BASE;

	row_encode(&b, r);
	for (size_t i = 0; i < b.len; i++)
		sum = (sum ^ b.data[i]) * FNV_PRIME;
	buf_free(&b);
	return sum;
}

static void
sum_up(const struct node *n, uint64_t sums[COMPARE_BUCKETS])
{
	memset(sums, 0, COMPARE_BUCKETS * sizeof(sums[0]));
	for (struct pathent *e = n->index->root; e != NULL; e = index_walk(e)) {
		struct row r;

		if (!compared(n, e))
			continue;
		r = row_of(e);
		sums[bucket_of(r.path, r.len)] += row_sum(&r);
	}
}

/* ---- answering ---- */

static void
put_sums(const struct node *n, struct buf *b)
{
	uint64_t sums[COMPARE_BUCKETS];

	sum_up(n, sums);
	for (size_t i = 0; i < COMPARE_BUCKETS; i++)
		buf_put_u64(b, sums[i]);
}

/* more: not all of them found room. */
static void
put_rows(const struct node *n, uint16_t bucket, struct buf *b)
{
	struct buf rows = {0};
	bool more = false;

	for (struct pathent *e = n->index->root; e != NULL; e = index_walk(e)) {
		struct row r;

		if (!compared(n, e) || bucket_of(e->path, e->path_len) != bucket)
			continue;
		more = rows.len > COMPARE_ROWS_BYTES;
		if (more)
			break;
		r = row_of(e);
		row_encode(&rows, &r);
	}
	buf_put_u8(b, more);
	buf_put(b, rows.data, rows.len);
	b->failed = b->failed || rows.failed;
	buf_free(&rows);
}

static void
on_asked(void *arg, struct link *l, uint32_t id, uint8_t what, const uint8_t *blob, size_t len)
{
	struct node *n = arg;
	struct cur c = cur_of(blob, len);
	uint16_t bucket = cur_u16(&c);
	uint8_t flags = cur_u8(&c), code = CODE_REFUSED;
	struct buf page = {0};

	(void)what;
	if (cur_done(&c) && (bucket < COMPARE_BUCKETS || bucket == ALL_BUCKETS)) {
		if ((flags & FLAG_REHASH) != 0)
			scrub_now(n->scrub);
		if (bucket == ALL_BUCKETS)
			put_sums(n, &page);
		else
			put_rows(n, bucket, &page);
		code = page.failed ? CODE_ERROR : CODE_OK;
	}
	/* If there is no room for it the asker does not wait for long. */
	(void)!exchange_tell(l, id, code, true, page.data, code == CODE_OK ? page.len : 0);
	buf_free(&page);
}

void
compare_listen(struct node *n)
{
	exchange_on_question(n->exchange, ASK_SHOWN, on_asked, n);
}

/* ---- differences ---- */

static void
found(struct compare *c, const uint8_t *path, size_t len, const char *what)
{
	struct compare_row *r;

	if (c->nrows == COMPARE_FOUND_MAX) {
		c->cut = true;
		return;
	}
	if (c->nrows == c->cap) {
		size_t cap = c->cap * 2 + 64;
		struct compare_row **more = realloc(c->rows, cap * sizeof(struct compare_row *));

		if (more == NULL) {
			c->cut = true;
			return;
		}
		c->rows = more;
		c->cap = cap;
	}
	r = malloc(sizeof(*r) + len);
	if (r == NULL) {
		c->cut = true;
		return;
	}
	*r = (struct compare_row){c->members[c->at].name, what, len};
	memcpy(r->path, path, len);
	c->rows[c->nrows++] = r;
}

static int
by_path(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	return path_cmp(x->path, x->len, y->path, y->len);
}

static const char *
difference(const struct row *here, const struct row *there)
{
	if (here->kind != there->kind || here->size != there->size ||
	    memcmp(here->hash, there->hash, sizeof(here->hash)) != 0)
		return "other content";
	if (here->mode != there->mode || here->mtime_ns != there->mtime_ns)
		return "other metadata";
	return NULL;
}

/* theirs is sorted. */
static void
compare_rows(struct compare *c, struct row *theirs, size_t n)
{
	for (struct pathent *e = c->n->index->root; e != NULL; e = index_walk(e)) {
		struct row mine, *there;
		const char *what = "missing there";

		if (!compared(c->n, e) || bucket_of(e->path, e->path_len) != c->bucket)
			continue;
		mine = row_of(e);
		there = n > 0 ? bsearch(&mine, theirs, n, sizeof(*theirs), by_path) : NULL;
		if (there != NULL) {
			there->seen = true;
			what = difference(&mine, there);
		}
		if (what != NULL)
			found(c, e->path, e->path_len, what);
	}
	for (size_t i = 0; i < n; i++)
		if (!theirs[i].seen && !node_ignored(c->n, theirs[i].path, theirs[i].len, false))
			found(c, theirs[i].path, theirs[i].len, "missing here");
}

static bool
got_rows(struct compare *c, const uint8_t *blob, size_t len)
{
	/* The shortest row: no path is empty. */
	size_t max = len / (1 + 2 + 8 + 8 + RECORD_HASH_BYTES + 2 + 1) + 1, n = 0;
	struct row *rows = calloc(max, sizeof(*rows));
	struct cur cur = cur_of(blob, len);
	bool more = cur_u8(&cur) != 0, good = rows != NULL && !cur.bad;

	while (good && cur.left > 0 && n < max)
		good = row_decode(&cur, &rows[n++]);
	if (good && more)
		c->cut = true; /* of a list that is not whole nothing can be said */
	if (good && !more) {
		qsort(rows, n, sizeof(*rows), by_path);
		compare_rows(c, rows, n);
	}
	free(rows);
	return good;
}

static bool
got_sums(struct compare *c, const uint8_t *blob, size_t len)
{
	uint64_t sums[COMPARE_BUCKETS];

	if (len != SUMS_BYTES)
		return false;
	sum_up(c->n, sums);
	c->ndiffer = 0;
	for (uint16_t i = 0; i < COMPARE_BUCKETS; i++) {
		if (bytes_get_u64(blob + (size_t)i * 8) == sums[i])
			continue;
		if (c->ndiffer < COMPARE_ASK_BUCKETS)
			c->differ[c->ndiffer++] = i;
		else
			c->cut = true;
	}
	c->summed = true;
	return true;
}

/* ---- asking, one member after the other ---- */

static void
next_member(struct compare *c, bool answered)
{
	c->members[c->at++].answered = answered;
	c->summed = false;
	c->ndiffer = 0;
}

static void
told(struct ask *ask, uint8_t code, bool last, const uint8_t *blob, size_t len)
{
	struct asked *a = (struct asked *)((char *)ask - offsetof(struct asked, ask));
	struct compare *c = a->c;
	bool good;

	a->c = NULL;
	if (last)
		free(a);
	if (c == NULL)
		return;
	c->asked = NULL;
	good = last && code == CODE_OK &&
	       (c->summed ? got_rows(c, blob, len) : got_sums(c, blob, len));
	if (!good)
		next_member(c, false);
}

static void
ask(struct compare *c)
{
	struct peer *p = exchange_peer(c->n->exchange, c->members[c->at].name);
	struct asked *a = p != NULL ? calloc(1, sizeof(*a)) : NULL;
	struct buf b = {0};

	c->bucket = c->summed ? c->differ[--c->ndiffer] : (uint16_t)ALL_BUCKETS;
	buf_put_u16(&b, c->bucket);
	buf_put_u8(&b, c->rehash && !c->summed ? FLAG_REHASH : 0);
	if (a != NULL) {
		*a = (struct asked){
			.ask = {.tell = told, .again = true, .patience_ms = COMPARE_AWAIT_MS},
			.c = c};
		c->asked = a;
		c->until_ms = c->n->now_ms + COMPARE_ANSWER_MS;
	}
	if (a == NULL || b.failed ||
	    exchange_ask(c->n->exchange, p, ASK_SHOWN, b.data, b.len, &a->ask) < 0) {
		c->asked = NULL;
		free(a);
		next_member(c, false);
	}
	buf_free(&b);
}

bool
compare_done(struct compare *c)
{
	if (c->asked != NULL && c->n->now_ms >= c->until_ms) {
		c->asked->c = NULL;
		c->asked = NULL;
		next_member(c, false);
	}
	while (c->asked == NULL && c->at < c->nmembers) {
		if (c->summed && c->ndiffer == 0)
			next_member(c, true);
		else
			ask(c);
	}
	return c->at == c->nmembers;
}

const struct compare_row *
compare_at(const struct compare *c, size_t i)
{
	return i < c->nrows ? c->rows[i] : NULL;
}

bool
compare_cut(const struct compare *c)
{
	return c->cut;
}

size_t
compare_members(const struct compare *c)
{
	size_t n = 0;

	for (size_t i = 0; i < c->nmembers; i++)
		n += c->members[i].answered;
	return n;
}

const char *
compare_silent(const struct compare *c, size_t *i)
{
	for (; *i < c->nmembers; ++*i)
		if (!c->members[*i].answered)
			return c->members[(*i)++].name;
	return NULL;
}

struct compare *
compare_new(struct node *n, bool rehash)
{
	struct compare *c = calloc(1, sizeof(*c));
	size_t members = 1;

	for (const struct peer *p = exchange_peers(n->exchange); p != NULL; p = p->next)
		members++;
	if (c != NULL)
		c->members = calloc(members, sizeof(*c->members));
	if (c == NULL || c->members == NULL) {
		free(c);
		return NULL;
	}
	c->n = n;
	c->rehash = rehash;
	for (const struct peer *p = exchange_peers(n->exchange); p != NULL; p = p->next)
		snprintf(c->members[c->nmembers++].name, sizeof(c->members[0].name), "%s", p->name);
	return c;
}

void
compare_free(struct compare *c)
{
	if (c == NULL)
		return;
	if (c->asked != NULL)
		c->asked->c = NULL;
	for (size_t i = 0; i < c->nrows; i++)
		free(c->rows[i]);
	free(c->rows);
	free(c->members);
	free(c);
}
