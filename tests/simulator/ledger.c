/* SPDX-License-Identifier: BSD-2-Clause */
/* The referee: reads what becomes durable in every WAL, and compares with what users did. It knows
 * records and contexts, and nothing of the index. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/exchange_internal.h"
#include "conf/hash.h"
#include "proto/crc32c.h"
#include "proto/path.h"
#include "tests/simulator/sim.h"

#define COLLECTED_DEPTH_MAX 4
#define APPENDS_MAX 64 /* remembered for each WAL */

struct content {
	uint8_t hash[HASH_BYTES];
};

/* One path on one machine. */
struct spot {
	unsigned touches, records;
	struct content *seen; /* what has ever lain there */
	size_t nseen;
	struct content stale; /* what lay there when the machine was new */
	size_t stale_from;    /* so many records had been logged by then */
	bool has_stale;
	struct content mine; /* what a user put there last, and nobody touched since */
	uint64_t mine_ino;   /* the file that has it */
	bool has_mine;
	struct content old; /* one of unlikely many old versions: waits for the operator */
	bool has_old;
	/* When a user or the agent changed it last, when a user did, and when one of our programs
	 * looked at it, the last time and the one before; the ledger's own time. */
	uint64_t moved, touched, looked, looked_before;
	uint64_t placed; /* when the agent did */
	uint64_t told;   /* when the log last said that users changed it */
	bool intent;     /* the log has an open one */
	/* What the log says durably of it, and nobody has changed since. */
	struct claim {
		bool made;
		uint8_t kind;
		struct dot dot; /* none: no record says so */
		struct content is;
	} claim;
};

struct place {
	char *path;
	struct spot spot[SIM_HOSTS_MAX];
};

struct logged {
	struct record *r;
	unsigned host;
};

struct ledger {
	struct sim *s;
	struct place *places;
	size_t nplaces;
	struct logged *logged;
	size_t nlogged, cap;
	uint64_t time; /* grows with everything that is noted */
	/* When the last appends of each WAL were made, and up to where they went. */
	struct append {
		size_t end;
		uint64_t time;
	} append[SIM_HOSTS_MAX][APPENDS_MAX];
	unsigned nappends[SIM_HOSTS_MAX];
};

static void *
grow(void *p, size_t n, size_t size)
{
	p = realloc(p, n * size);
	if (p == NULL)
		abort();
	return p;
}

static struct spot *
spot(struct ledger *l, const struct host *h, const char *path, size_t len)
{
	struct place *p;

	for (size_t i = 0; i < l->nplaces; i++)
		if (strlen(l->places[i].path) == len && memcmp(l->places[i].path, path, len) == 0)
			return &l->places[i].spot[h->index];
	l->places = grow(l->places, l->nplaces + 1, sizeof(*l->places));
	p = &l->places[l->nplaces++];
	*p = (struct place){.path = strndup(path, len)};
	return &p->spot[h->index];
}

static const struct logged *
find(const struct ledger *l, struct dot dot)
{
	for (size_t i = 0; i < l->nlogged; i++)
		if (dot_eq(l->logged[i].r->dot, dot))
			return &l->logged[i];
	return NULL;
}

static bool
same_path(const struct record *a, const struct record *b)
{
	return a->path_len == b->path_len && memcmp(a->path, b->path, a->path_len) == 0;
}

static const char *
show(const struct record *r)
{
	static char text[4][160];
	static unsigned turn;
	char dot[DOT_TEXT_BYTES], *out = text[turn++ % 4];

	dot_text(r->dot, dot);
	snprintf(out, sizeof(text[0]), "%s %.*s (%s%s, %02x%02x, %llu bytes)", dot,
		 (int)r->path_len, r->path, record_op_name((enum record_op)r->op),
		 record_import(r) ? ", import" : "", r->hash[0], r->hash[1],
		 (unsigned long long)r->size);
	return out;
}

/* ---- what users do ---- */

/* A user changed it: nothing that was said of it holds any more. */
static void
forget(struct ledger *l, struct spot *s)
{
	s->has_stale = s->has_mine = s->has_old = s->claim.made = false;
	s->moved = s->touched = ++l->time;
}

void
ledger_touch(struct ledger *l, const struct host *h, const char *path)
{
	struct spot *s = spot(l, h, path, strlen(path));
	size_t len = strlen(path);

	s->touches++;
	forget(l, s);
	for (size_t i = 0; i < l->nplaces; i++)
		if (path_below(l->places[i].path, strlen(l->places[i].path), path, len))
			forget(l, &l->places[i].spot[h->index]);
}

void
ledger_looked(struct ledger *l, const struct host *h, const char *path)
{
	struct spot *s = spot(l, h, path, strlen(path));

	s->looked_before = s->looked;
	s->looked = ++l->time;
}

void
ledger_moved(struct ledger *l, const struct host *h, const char *path)
{
	struct spot *s = spot(l, h, path, strlen(path));

	s->has_old = s->claim.made = false;
	s->placed = s->moved = ++l->time;
}

static bool
shows(const struct inode *i, const struct buf *data, const struct claim *c)
{
	uint8_t hash[HASH_BYTES];

	if (i == NULL || c->kind == KIND_ABSENT)
		return i == NULL && c->kind == KIND_ABSENT;
	return i->kind == c->kind &&
	       (i->kind == KIND_DIR || (hash_of(data->data, data->len, hash) == 0 &&
					memcmp(hash, c->is.hash, HASH_BYTES) == 0));
}

/* Does the tree show what the log says? */
static bool
claim_holds(const struct host *h, const struct place *p)
{
	struct inode *i;

	if (disk_find(h->disk, p->path, strlen(p->path), &i) < 0)
		i = NULL;
	return shows(i, i != NULL ? &i->data : NULL, &p->spot[h->index].claim);
}

/* And is that durable? What was done since somebody looked may, by chance, be on the disk, too,
 * after a power cut: that is no fault of the log. */
static bool
claim_durable(const struct host *h, const struct place *p)
{
	const struct inode *i = disk_durable(h->disk, p->path, strlen(p->path));
	const struct buf *data = NULL;

	if (i != NULL)
		data = i->kind == KIND_FILE ? &i->saved.data : &i->data;
	return shows(i, data, &p->spot[h->index].claim);
}

void
ledger_changed(struct ledger *l, struct host *h)
{
	for (size_t i = 0; i < l->nplaces; i++) {
		struct spot *s = &l->places[i].spot[h->index];

		s->touches++;
		forget(l, s);
	}
}

void
ledger_power(struct ledger *l, struct host *h)
{
	for (size_t i = 0; i < l->nplaces; i++)
		if (l->places[i].spot[h->index].claim.made && !h->lost_sync &&
		    !claim_durable(h, &l->places[i]))
			sim_fail(l->s, "%s: %s was not on the disk as the log says", h->name,
				 l->places[i].path);
}

static bool
has_seen(const struct spot *s, const uint8_t *hash)
{
	for (size_t i = 0; i < s->nseen; i++)
		if (memcmp(s->seen[i].hash, hash, HASH_BYTES) == 0)
			return true;
	return false;
}

static void
add_seen(struct spot *s, const uint8_t *hash)
{
	if (has_seen(s, hash))
		return;
	s->seen = grow(s->seen, s->nseen + 1, sizeof(*s->seen));
	memcpy(s->seen[s->nseen++].hash, hash, HASH_BYTES);
}

/* The agent moved a user's file to another path, as somebody's rename: the file is the same, and
 * what users do to it there, they do to what they had put here. */
static void
mine_moves(struct ledger *l, const struct host *h, struct spot *to, const struct inode *i)
{
	for (size_t k = 0; k < l->nplaces; k++) {
		struct spot *s = &l->places[k].spot[h->index];

		if (s == to || !s->has_mine || s->mine_ino != i->ino)
			continue;
		if (s->touched > s->told) /* what nobody has logged yet comes along */
			to->touches++;
		to->mine = s->mine;
		to->mine_ino = s->mine_ino;
		to->has_mine = true;
		s->has_mine = false;
	}
}

void
ledger_seen(struct ledger *l, const struct host *h, const char *path, const struct inode *i)
{
	struct spot *s = spot(l, h, path, strlen(path));
	uint8_t hash[HASH_BYTES];

	if (hash_of(i->data.data, i->data.len, hash) < 0)
		abort();
	add_seen(s, hash);
	if (!h->in_user) {
		mine_moves(l, h, s, i);
		return;
	}
	memcpy(s->mine.hash, hash, HASH_BYTES);
	s->mine_ino = i->ino;
	s->has_mine = i->kind == KIND_FILE && i->writers == 0;
}

bool
ledger_claimed(struct ledger *l, const struct host *h, const char *path)
{
	const struct claim *c = &spot(l, h, path, strlen(path))->claim;

	return c->made && c->kind == KIND_FILE;
}

void
ledger_old(struct ledger *l, const struct host *h, const char *path, const struct inode *i)
{
	struct spot *s = spot(l, h, path, strlen(path));

	if (hash_of(i->data.data, i->data.len, s->old.hash) < 0)
		abort();
	s->has_old = true;
}

void
ledger_accepted(struct ledger *l, const struct host *h)
{
	for (size_t i = 0; i < l->nplaces; i++)
		l->places[i].spot[h->index].has_old = false;
}

void
ledger_sent(struct ledger *l, const struct host *h, struct dot dot)
{
	if (find(l, dot) == NULL && l->s->liar == NULL)
		sim_fail(l->s, "%s: a record leaves before it is durable", h->name);
}

/* ---- what the agent does to the tree ---- */

static const struct record *
record_of(const struct ledger *l, const char *path, const uint8_t *hash, struct dot dot)
{
	for (size_t i = 0; i < l->nlogged; i++) {
		const struct record *r = l->logged[i].r;

		if (r->path_len == strlen(path) && memcmp(r->path, path, r->path_len) == 0 &&
		    memcmp(r->hash, hash, HASH_BYTES) == 0 && r->kind == KIND_FILE &&
		    !dot_eq(r->dot, dot))
			return r;
	}
	return NULL;
}

/* An exchange: was what comes out newer than all that what is put there can be? */
void
ledger_exchanged(struct ledger *l, const struct host *h, const char *path, const struct inode *in,
		 const struct inode *out)
{
	const struct spot *s = spot(l, h, path, strlen(path));
	const struct logged *new = s->claim.made ? find(l, s->claim.dot) : NULL;
	uint8_t hash[HASH_BYTES];
	bool older = false;

	if (l->s->liar != NULL || new == NULL || in->kind != KIND_FILE || out->kind != KIND_FILE ||
	    hash_of(out->data.data, out->data.len, hash) < 0 ||
	    memcmp(hash, new->r->hash, HASH_BYTES) != 0 ||
	    hash_of(in->data.data, in->data.len, hash) < 0)
		return;
	for (size_t i = 0; i < l->nlogged; i++) {
		const struct record *r = l->logged[i].r;

		if (!same_path(r, new->r) || memcmp(r->hash, hash, HASH_BYTES) != 0)
			continue;
		if (!record_covers(new->r, r->dot))
			return;
		older = true;
	}
	if (older)
		sim_fail(l->s, "%s: an older version was put over %s", h->name, show(new->r));
}

void
ledger_appended(struct ledger *l, const struct host *h, size_t end)
{
	unsigned n = l->nappends[h->index]++ % APPENDS_MAX;

	l->append[h->index][n] = (struct append){end, ++l->time};
}

/* When the bytes at that place of the WAL were written; 0: not known. */
static uint64_t
append_time(const struct ledger *l, const struct host *h, size_t at)
{
	uint64_t time = 0;
	size_t end = SIZE_MAX;

	for (unsigned k = 0; k < APPENDS_MAX; k++) {
		const struct append *a = &l->append[h->index][k];

		if (a->time != 0 && a->end > at && a->end <= end && a->time > time) {
			end = a->end;
			time = a->time;
		}
	}
	return time;
}

/* The log says durably what a path shows. It counts if it is so, and nobody has changed it since,
 * nor between the look that was hashed or synced and the one before it was logged: what a user
 * makes and removes in between may be on the disk, and nobody can know. */
static void
claim(struct ledger *l, struct host *h, const uint8_t *path, size_t len, const struct record *r,
      bool absent)
{
	struct spot *s = spot(l, h, (const char *)path, len);
	uint64_t time = append_time(l, h, h->parsed);
	struct place p = {.path = strndup((const char *)path, len)};
	struct claim *c = &p.spot[h->index].claim;

	s->claim.made = false;
	*c = (struct claim){.made = true, .kind = KIND_ABSENT};
	if (r != NULL && !absent) {
		c->kind = r->kind;
		c->dot = r->dot;
		memcpy(c->is.hash, r->hash, HASH_BYTES);
	}
	if (time != 0 && s->moved < time && s->touched < s->looked_before && claim_holds(h, &p))
		s->claim = *c;
	free(p.path);
}

void
ledger_replaced(struct ledger *l, struct host *h, size_t size)
{
	(void)l;
	(void)size;
	dotset_clear(&h->said_have);
	dotset_clear(&h->said_acked);
}

void
ledger_stale(struct ledger *l, const struct host *h, const char *path, const struct inode *i)
{
	struct spot *s = spot(l, h, path, strlen(path));

	if (hash_of(i->data.data, i->data.len, s->stale.hash) < 0)
		abort();
	s->stale_from = l->nlogged;
	s->has_stale = true;
}

void
ledger_cloned(struct ledger *l, const struct host *from, const struct host *to)
{
	for (size_t i = 0; i < l->nplaces; i++) {
		const struct spot *a = &l->places[i].spot[from->index];
		struct spot *b = &l->places[i].spot[to->index];

		for (size_t k = 0; k < a->nseen; k++)
			add_seen(b, a->seen[k].hash);
	}
}

/* ---- what is logged ---- */

static bool
kept_here(const struct host *h, const struct record *r)
{
	uint8_t hash[HASH_BYTES];

	for (const struct dent *e = h->disk->kept->dent; e != NULL; e = e->next)
		if (e->live != NULL && e->live->data.len == r->size &&
		    hash_of(e->live->data.data, e->live->data.len, hash) == 0 &&
		    memcmp(hash, r->hash, HASH_BYTES) == 0)
			return true;
	return false;
}

/* Was it collected, or what superseded it, or what superseded that? */
static bool
collected(const struct ledger *l, const struct index *x, const struct record *r, unsigned depth)
{
	if (dotset_has(&x->floor, r->dot))
		return true;
	for (size_t i = 0; i < l->nlogged && depth > 0; i++) {
		const struct record *k = l->logged[i].r;

		if (same_path(k, r) && record_covers(k, r->dot) && collected(l, x, k, depth - 1))
			return true;
	}
	return false;
}

/* A delete that covers it is forgotten by those who had applied it: whoever comes back after that
 * drops what he holds of it, and counts it as dealt with, without ever having shown it. */
static bool
long_gone(const struct ledger *l, const struct host *h, const struct record *old)
{
	for (unsigned k = 0; k < l->s->n; k++) {
		const struct host *o = l->s->host[k];

		if (o->node != NULL && (o == h || h->node == NULL) &&
		    collected(l, o->node->index, old, COLLECTED_DEPTH_MAX))
			return true;
	}
	return false;
}

/*
 * May a record of this machine say that it supersedes that one: was its content here? Or that of
 * one that supersedes it, or of a later one of the same run of a watcher at the same path: contexts
 * are vectors, and who wrote the later one had the earlier one, even if his log has forgotten it
 * since together with a delete in between.
 */
static bool
justified(struct ledger *l, struct host *h, const struct record *r, const struct logged *old)
{
	struct spot *s = spot(l, h, (const char *)r->path, r->path_len);

	if (old->host == h->index || old->r->kind == KIND_ABSENT || old->r->kind == KIND_DIR ||
	    has_seen(s, old->r->hash) || kept_here(h, old->r) || long_gone(l, h, old->r))
		return true;
	for (size_t i = 0; i < l->nlogged; i++) {
		const struct record *k = l->logged[i].r;

		if (same_path(k, r) && vv_covers(&r->ctx, k->dot) &&
		    (record_covers(k, old->r->dot) ||
		     (k->dot.origin == old->r->dot.origin && k->dot.seq > old->r->dot.seq)))
			return true;
	}
	return false;
}

static void
read_record(struct ledger *l, struct host *h, const struct record *r)
{
	struct spot *s = spot(l, h, (const char *)r->path, r->path_len);

	sim_trace(l->s, "%s logs %s", h->name, show(r));
	l->s->events++;
	if (find(l, r->dot) != NULL)
		sim_fail(l->s, "%s: the dot of %s was used before", h->name, show(r));
	s->told = ++l->time;
	if (++s->records > s->touches)
		sim_fail(l->s, "%s: %s was logged, and no user did that", h->name, show(r));
	for (size_t i = 0; i < l->nlogged; i++)
		if (l->s->liar == NULL && same_path(l->logged[i].r, r) &&
		    vv_covers(&r->ctx, l->logged[i].r->dot) && !justified(l, h, r, &l->logged[i]))
			sim_fail(l->s, "%s: %s supersedes %s, which was never there", h->name,
				 show(r), show(l->logged[i].r));
	if (l->nlogged == l->cap) {
		l->cap = l->cap * 2 + 64;
		l->logged = grow(l->logged, l->cap, sizeof(*l->logged));
	}
	l->logged[l->nlogged++] = (struct logged){record_dup(r), h->index};
	if (s->has_old && memcmp(s->old.hash, r->hash, HASH_BYTES) == 0)
		sim_fail(l->s, "%s: %s was logged, one of many that went back, and nobody agreed",
			 h->name, show(r));
	claim(l, h, r->path, r->path_len, r, r->kind == KIND_ABSENT);
}

static void
read_known(struct ledger *l, struct host *h, const struct record *r)
{
	const struct logged *o = find(l, r->dot);

	l->s->events++;
	if (l->s->liar != NULL)
		return; /* it may be anything */
	if (o == NULL)
		sim_fail(l->s, "%s: %s was sent before it was durable", h->name, show(r));
	else if (!same_path(o->r, r) || memcmp(o->r->hash, r->hash, HASH_BYTES) != 0 ||
		 o->r->kind != r->kind || o->r->mtime_ns != r->mtime_ns)
		sim_fail(l->s, "%s: %s is not what was logged", h->name, show(r));
}

/* It was here, even if the clock jumps a year now and the store lets go of it. */
static void
read_kept(struct ledger *l, struct host *h, struct dot dot)
{
	const struct logged *o = find(l, dot);

	if (o != NULL && kept_here(h, o->r))
		add_seen(spot(l, h, (const char *)o->r->path, o->r->path_len), o->r->hash);
}

/* What the agent says of its own doing is said of what it put there, whoever looked since. */
static void
read_applied(struct ledger *l, struct host *h, const struct entry *e)
{
	const struct logged *o = find(l, e->dot);
	struct spot *s = spot(l, h, (const char *)e->path, e->path_len);
	bool intent = s->intent;

	s->intent = false;
	if (intent && s->touched > s->placed)
		return;
	if ((e->flags & APPLIED_SHOWN) != 0 && o != NULL)
		claim(l, h, e->path, e->path_len, o->r, false);
	else if ((e->flags & APPLIED_ABSENT) != 0)
		claim(l, h, e->path, e->path_len, NULL, true);
}

/* A delete may be forgotten when every member has applied it. */
static void
read_collected(struct ledger *l, struct host *h, struct dot dot)
{
	const struct sim *s = l->s;

	for (unsigned k = 0; k < s->n; k++) {
		const struct host *o = s->host[k];
		const struct dotset *acked =
			o->node != NULL ? &o->node->index->acked : &o->said_acked;

		if (!s->expels && s->liar == NULL && !s->restored && !dotset_has(acked, dot))
			sim_fail(l->s, "%s: forgets a delete that %s has not applied", h->name,
				 o->name);
	}
}

static void
read_entry(struct ledger *l, struct host *h, const uint8_t *payload, size_t len)
{
	struct entry e;

	if (entry_decode(payload, len, &e) < 0)
		return;
	sim_trace(l->s, "%s wal %s %.*s %llx-%llx flags %u action %u", h->name,
		  entry_type_name(e.type), (int)e.path_len,
		  e.path != NULL ? (const char *)e.path : "", (unsigned long long)e.dot.origin,
		  (unsigned long long)e.dot.seq, e.flags, e.action);
	h->news += e.type != ENTRY_COLLECTED;
	if (e.type == ENTRY_RECORD)
		read_record(l, h, &e.rec);
	else if (e.type == ENTRY_KNOWN)
		read_known(l, h, &e.rec);
	else if (e.type == ENTRY_KEPT)
		read_kept(l, h, e.dot);
	else if (e.type == ENTRY_APPLIED && e.path != NULL)
		read_applied(l, h, &e);
	else if ((e.type == ENTRY_INTENT || e.type == ENTRY_DROPPED) && e.path != NULL)
		spot(l, h, (const char *)e.path, e.path_len)->intent = e.type == ENTRY_INTENT;
	else if (e.type == ENTRY_COLLECTED)
		read_collected(l, h, e.dot);
	entry_clear(&e);
}

void
ledger_read(struct ledger *l, struct host *h, const struct buf *file, int number)
{
	if (number != h->parsed_file) {
		h->parsed = h->parsed_file < 0 ? WAL_HEADER_BYTES
					       : (size_t)bytes_get_u64(file->data + 32);
		h->parsed_file = number;
	}
	while (h->parsed + WAL_ENTRY_HEADER_BYTES <= file->len) {
		const uint8_t *frame = file->data + h->parsed;
		size_t len = bytes_get_u32(frame);

		if (len == 0 || len > file->len - h->parsed - WAL_ENTRY_HEADER_BYTES ||
		    crc32c(crc32c(0, frame, 4), frame + WAL_ENTRY_HEADER_BYTES, len) !=
			    bytes_get_u32(frame + 4))
			break; /* torn: it will be cut */
		read_entry(l, h, file->data + h->parsed + WAL_ENTRY_HEADER_BYTES, len);
		h->parsed += WAL_ENTRY_HEADER_BYTES + len;
	}
}

/* ---- acknowledgements ---- */

/* Is that record dealt with here: applied, superseded by something that is, or collected? */
static bool
dealt_with(const struct ledger *l, const struct index *x, const struct record *r)
{
	const struct pathent *e = index_find(x, r->path, r->path_len);

	return (e != NULL && vv_covers(&e->actx, r->dot)) ||
	       collected(l, x, r, COLLECTED_DEPTH_MAX);
}

void
ledger_acks(struct ledger *l, const struct host *h)
{
	const struct index *x = h->node->index;

	for (size_t i = 0; i < l->nlogged && l->s->liar == NULL; i++)
		if (dotset_has(&x->acked, l->logged[i].r->dot) && !dealt_with(l, x, l->logged[i].r))
			sim_fail(l->s, "%s: %s is acknowledged, and not applied", h->name,
				 show(l->logged[i].r));
}

/* ---- restarts ---- */

void
ledger_said(struct ledger *l, struct host *h)
{
	(void)l;
	if (h->node->exchange == NULL)
		return;
	if (dotset_join(&h->said_have, &h->node->exchange->have) < 0 ||
	    dotset_join(&h->said_acked, &h->node->exchange->acked) < 0)
		abort();
}

void
ledger_back(struct ledger *l, struct host *h)
{
	if (!dotset_subset(&h->said_have, &h->node->index->have))
		sim_fail(l->s, "%s: came back and does not know what it had said it holds",
			 h->name);
	if (!dotset_subset(&h->said_acked, &h->node->index->acked))
		sim_fail(l->s, "%s: came back and does not know what it had said it applied",
			 h->name);
}

/* ---- at rest ---- */

/* Did it go with the WAL that had it? */
static bool
known_nowhere(const struct ledger *l, struct dot dot)
{
	if (!l->s->restored)
		return false;
	for (unsigned k = 0; k < l->s->n; k++)
		if (dotset_has(&l->s->host[k]->node->index->have, dot))
			return false;
	return true;
}

static bool
superseded(const struct ledger *l, const struct record *r)
{
	for (size_t i = 0; i < l->nlogged; i++)
		if (same_path(l->logged[i].r, r) && record_covers(l->logged[i].r, r->dot) &&
		    !known_nowhere(l, l->logged[i].r->dot))
			return true;
	return false;
}

static void
check_content(struct ledger *l, struct host *h, const struct irec *i)
{
	struct inode *f;
	uint8_t hash[HASH_BYTES];
	const struct irec *w = index_winner(i->ent);

	if (i->r->kind != KIND_FILE)
		return;
	if (i->shown) {
		if (disk_find(h->disk, i->r->path, i->r->path_len, &f) < 0 ||
		    hash_of(f->data.data, f->data.len, hash) < 0 ||
		    memcmp(hash, i->r->hash, HASH_BYTES) != 0)
			sim_fail(l->s, "%s: %s is said to be shown, and is not", h->name,
				 show(i->r));
		return;
	}
	if (i != w && record_same_content(i->r, w->r))
		return;
	if (!kept_here(h, i->r))
		sim_fail(l->s, "%s: the content of %s is neither shown nor in the store", h->name,
			 show(i->r));
}

static void
check_record(struct ledger *l, struct host *h, const struct record *r)
{
	bool head = !superseded(l, r);
	const struct pathent *e = index_find(h->node->index, r->path, r->path_len);
	const struct irec *i = e != NULL ? index_record(e, r->dot) : NULL;

	if (known_nowhere(l, r->dot))
		return;
	if (!dotset_has(&h->node->index->have, r->dot))
		sim_fail(l->s, "%s: never heard of %s", h->name, show(r));
	else if (r->kind == KIND_ABSENT && dotset_has(&h->node->index->floor, r->dot))
		return; /* collected */
	else if (head && (i == NULL || !i->head))
		sim_fail(l->s, "%s: %s is superseded by nothing, and no head", h->name, show(r));
	else if (!head && i != NULL && i->head)
		sim_fail(l->s, "%s: %s is superseded, and still a head", h->name, show(r));
	else if (head)
		check_content(l, h, i);
}

/* What is in the store under a version's name is that version, unless somebody wrote to it there.
 */
static void
check_kept(struct ledger *l, const struct host *h)
{
	for (const struct dent *e = h->disk->kept->dent; e != NULL; e = e->next) {
		const struct inode *i = e->live;
		uint8_t hash[HASH_BYTES];
		const struct logged *o;
		struct dot dot;

		if (i == NULL || i->kind != KIND_FILE || dot_parse(e->name, &dot) < 0 ||
		    (o = find(l, dot)) == NULL || o->r->kind != KIND_FILE || i->taken_open ||
		    i->taken_changes != i->changes)
			continue;
		if (hash_of(i->data.data, i->data.len, hash) < 0 ||
		    memcmp(hash, o->r->hash, HASH_BYTES) != 0)
			sim_fail(l->s, "%s: what is kept as %s is something else", h->name,
				 show(o->r));
	}
}

bool
ledger_hash_below(const struct inode *dir, const uint8_t *want)
{
	uint8_t hash[HASH_BYTES];

	for (const struct dent *e = dir->dent; e != NULL; e = e->next) {
		if (e->live == NULL)
			continue;
		if (e->live->kind == KIND_DIR && ledger_hash_below(e->live, want))
			return true;
		if (e->live->kind == KIND_FILE &&
		    hash_of(e->live->data.data, e->live->data.len, hash) == 0 &&
		    memcmp(hash, want, HASH_BYTES) == 0)
			return true;
	}
	return false;
}

/* What a user wrote and closed was logged, or is kept. */
static void
check_mine(struct ledger *l, const struct host *h, const struct place *p)
{
	const struct spot *s = &p->spot[h->index];

	if (s->has_mine && !ledger_hash_below(h->disk->kept, s->mine.hash) &&
	    record_of(l, p->path, s->mine.hash, (struct dot){0, 0}) == NULL)
		sim_fail(l->s, "%s: what a user wrote to %s is lost", h->name, p->path);
}

/* A file that was there when a machine was new ranks below whatever others said of the path. */
static void
check_stale(struct ledger *l, const struct host *h, const struct place *p)
{
	const struct spot *s = &p->spot[h->index];
	const struct pathent *e = index_find(h->node->index, p->path, strlen(p->path));
	const struct irec *w = e != NULL ? index_winner(e) : NULL;
	const struct logged *o = w != NULL ? find(l, w->r->dot) : NULL;

	/* What had been logged before, as the news that it was then, comes back from the others. */
	if (!s->has_stale || o == NULL || o->host != h->index ||
	    (size_t)(o - l->logged) < s->stale_from ||
	    memcmp(w->r->hash, s->stale.hash, HASH_BYTES) != 0)
		return;
	for (const struct irec *i = e->recs; i != NULL; i = i->next)
		if (i->head && i != w && !record_import(i->r))
			sim_fail(l->s, "%s: the stale %s won over %s", h->name, show(w->r),
				 show(i->r));
}

/* A member may say what it likes: what a user has on his own machine is still in the tree, or kept.
 */
void
ledger_check_honest(struct ledger *l)
{
	for (unsigned k = 0; k < l->s->n; k++) {
		const struct host *h = l->s->host[k];

		for (size_t i = 0; h != l->s->liar && i < l->nplaces; i++) {
			const struct spot *s = &l->places[i].spot[k];

			if (s->has_mine && !ledger_hash_below(h->disk->root, s->mine.hash) &&
			    !ledger_hash_below(h->disk->stage, s->mine.hash) &&
			    !ledger_hash_below(h->disk->kept, s->mine.hash))
				sim_fail(l->s, "%s: what a user wrote to %s is lost", h->name,
					 l->places[i].path);
		}
	}
}

struct dot
ledger_some_dot(const struct ledger *l, uint64_t luck)
{
	return l->nlogged > 0 ? l->logged[luck % l->nlogged].r->dot : (struct dot){0, 0};
}

void
ledger_check(struct ledger *l)
{
	for (unsigned k = 0; k < l->s->n; k++) {
		const struct host *h = l->s->host[k];

		check_kept(l, h);
		for (size_t i = 0; i < l->nplaces; i++) {
			check_mine(l, h, &l->places[i]);
			check_stale(l, h, &l->places[i]);
		}
	}
	for (unsigned k = 0; k < l->s->n; k++) {
		index_check(l->s->host[k]->node->index);
		for (size_t i = 0; i < l->nlogged; i++)
			check_record(l, l->s->host[k], l->logged[i].r);
	}
}

size_t
ledger_records(const struct ledger *l)
{
	return l->nlogged;
}

/* ---- life ---- */

struct ledger *
ledger_new(struct sim *s)
{
	struct ledger *l = calloc(1, sizeof(*l));

	if (l == NULL)
		abort();
	l->s = s;
	return l;
}

void
ledger_free(struct ledger *l)
{
	for (size_t i = 0; i < l->nplaces; i++) {
		free(l->places[i].path);
		for (unsigned k = 0; k < SIM_HOSTS_MAX; k++)
			free(l->places[i].spot[k].seen);
	}
	for (size_t i = 0; i < l->nlogged; i++)
		record_free(l->logged[i].r);
	free(l->places);
	free(l->logged);
	free(l);
}
