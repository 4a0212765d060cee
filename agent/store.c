/* SPDX-License-Identifier: BSD-2-Clause */
/* Expiry of trash, one look a minute, oldest first; and whether there is room for more. */
#include "config.h"

#include "agent/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/apply.h"
#include "agent/commit.h"

#define PURGE_TURN_MAX 1000 /* files a look: the rest waits for the next one */

struct store {
	struct node *n;
	uint64_t look_ms;
	uint64_t sum_ms;   /* when it was found to be full: so long it is believed */
	uint64_t trash;    /* bytes of what may go, then */
	uint64_t kept_sum; /* all bytes below work/kept, then */
	bool summed;
	bool full;  /* said */
	bool swept; /* leftovers of earlier runs were dealt with */
};

void
store_name(const struct kept *k, char out[48])
{
	if ((k->flags & KEPT_RESCUED) != 0)
		snprintf(out, 48, "rescued-%016llx", (unsigned long long)k->dot.seq);
	else
		dot_text(k->dot, out);
}

void
store_rescued_record(struct record *rec, const struct sig *sig)
{
	rec->kind = KIND_FILE;
	rec->op = OP_EDIT;
	rec->target_len = 0;
	rec->mode = sig->mode & RECORD_MODE_MASK;
	rec->size = sig->size;
	rec->mtime_ns = sig->mtime_ns;
	memset(rec->hash, 0, sizeof(rec->hash));
}

uint64_t
store_expires(const struct store *s, const struct kept *k)
{
	if (index_kept_conflict(s->n->index, k))
		return 0;
	return k->since_ms + s->n->conf->trash_keep_ms;
}

static void
put_purged(struct store *s, struct dot dot)
{
	commit_put(s->n->commit, &(struct entry){.type = ENTRY_PURGED, .dot = dot});
}

/* A writer that held the file open when it was displaced may have gone on: then nobody has logged
 * what is in it now. */
static bool
was_written(const struct record *r, const struct sig *now)
{
	return r->kind == KIND_FILE && !sig_shows(now, r);
}

/* Gives a kept file a name of its own, `to`, as content that nobody has logged. */
static int
set_aside(struct node *n, const char *from, const struct record *of, const struct sig *now,
	  char to[48])
{
	struct kept as = {.dot = {0, node_random(n)}, .flags = KEPT_RESCUED};
	struct record rec = *of;
	int e;

	store_name(&as, to);
	e = tree_kept_rename(n->tree, from, to);
	if (e < 0)
		return e;
	store_rescued_record(&rec, now);
	commit_put(n->commit, &(struct entry){.type = ENTRY_KEPT,
					      .dot = as.dot,
					      .num = n->wall_ms,
					      .flags = KEPT_RESCUED,
					      .rec = rec});
	return 0;
}

int
store_keep(struct node *n, const char *stage, const char *kept, const struct record *rec)
{
	struct sig now;
	char to[48];
	int e = tree_keep(n->tree, stage, kept);

	if (e != -EEXIST)
		return e;
	e = tree_kept_stat(n->tree, kept, &now);
	if (e < 0)
		return e;
	if (sig_shows(&now, rec)) {
		e = tree_kept_unlink(n->tree, kept);
	} else {
		e = set_aside(n, kept, rec, &now, to);
		if (e == 0)
			LOG(n->log, LOG_WARN, "store.rescued",
			    "something else had the name of a displaced version; both are kept",
			    log_b("path", rec->path, rec->path_len), log_s("kept", to));
	}
	return e < 0 ? e : tree_keep(n->tree, stage, kept);
}

static void
rescue(struct store *s, const struct kept *k, const struct sig *now)
{
	struct node *n = s->n;
	char from[48], to[48];

	store_name(k, from);
	if (set_aside(n, from, k->r, now, to) < 0)
		return;
	put_purged(s, k->dot);
	LOG(n->log, LOG_WARN, "trash.rescued",
	    "a file in the trash was written to after it was displaced; it is kept",
	    log_b("path", k->r->path, k->r->path_len), log_s("kept", to));
}

static void
purge(struct store *s, const struct kept *k)
{
	struct node *n = s->n;
	char name[48];
	struct sig now;
	int e;

	store_name(k, name);
	e = tree_kept_stat(n->tree, name, &now);
	if (e == 0 && was_written(k->r, &now)) {
		rescue(s, k, &now);
		return;
	}
	e = tree_kept_unlink(n->tree, name);
	if (e == 0 || e == -ENOENT)
		put_purged(s, k->dot);
	else
		LOG(n->log, LOG_WARN, "trash.purge", "a file in the trash could not be removed",
		    log_s("file", name), log_err(e));
}

int
store_drop(struct store *s, struct dot dot)
{
	const struct kept *k = index_kept(s->n->index, dot);
	char name[48];
	int e;

	if (k == NULL)
		return -ENOENT;
	store_name(k, name);
	e = tree_kept_unlink(s->n->tree, name);
	if (e < 0 && e != -ENOENT)
		return e;
	put_purged(s, dot);
	return 0;
}

static bool
due(const struct store *s, const struct kept *k, uint64_t over)
{
	uint64_t now = s->n->wall_ms, expires = store_expires(s, k);

	if (expires == 0)
		return false;
	return now >= expires || (over > 0 && now >= k->since_ms + STORE_YOUNG_MS);
}

/* What is too old; and, of what is old enough, the oldest until so many bytes are gone. */
static void
let_go(struct store *s, uint64_t over)
{
	struct kept *next;
	unsigned turn = 0;

	for (struct kept *k = s->n->index->kept_first; k != NULL && turn < PURGE_TURN_MAX;
	     k = next) {
		next = k->next;
		if (!due(s, k, over))
			continue;
		over -= k->r->size < over ? k->r->size : over;
		purge(s, k);
		turn++;
	}
}

static void
look(struct store *s)
{
	uint64_t bytes = s->n->index->kept_bytes, max = s->n->conf->trash_max_size;

	let_go(s, bytes > max ? bytes - max : 0);
}

/* ---- room for one more ---- */

/* Lets go what may, and counts what has to stay. */
static void
sum_up(struct store *s, uint64_t size)
{
	struct index *x = s->n->index;
	uint64_t max = s->n->conf->trash_max_size, more = x->kept_bytes + size;

	if (s->summed && s->n->now_ms - s->sum_ms < STORE_FULL_MS)
		return;
	let_go(s, more > max ? more - max : 0);
	s->trash = 0;
	for (const struct kept *k = x->kept_first; k != NULL; k = k->next)
		s->trash += index_kept_conflict(x, k) ? 0 : k->r->size;
	s->kept_sum = x->kept_bytes;
	s->sum_ms = s->n->now_ms;
	s->summed = true;
}

bool
store_room(struct store *s, uint64_t size, uint64_t coming)
{
	uint64_t kept = s->n->index->kept_bytes + coming, max = s->n->conf->trash_max_size, trash;
	bool room = size <= max && kept <= max - size;

	if (!room) {
		sum_up(s, coming + size);
		kept = s->n->index->kept_bytes;
		trash = s->trash + (kept > s->kept_sum ? kept - s->kept_sum : 0) + coming;
		room = trash == 0 || (size <= max && trash <= max - size);
	}
	if (!room && !s->full)
		LOG(s->n->log, LOG_WARN, "trash.full",
		    "what others replaced or deleted waits: the trash has trash.max_size, and all "
		    "of it is "
		    "younger than a day. Raise trash.max_size, and reload",
		    log_u("bytes", s->trash));
	s->full = !room;
	return room;
}

void
store_reconfigured(struct store *s)
{
	s->look_ms = 0;
	s->summed = false;
}

/* ---- leftovers in the stage ---- */

/* Is it of no use any more? Staged content is named by its record's dot and kept, for a later try,
 * until that record is dealt with. Other names are of work under way, or of an earlier run. "out-…"
 * is somebody's displaced file and never removed here: recovery has dealt with those it knows. */
static bool
leftover(const struct store *s, const char *name)
{
	const struct index *x = s->n->index;
	struct dot dot;

	if (strncmp(name, "out-", 4) == 0)
		return false;
	if (dot_parse(name, &dot) < 0)
		return !s->swept;
	if (apply_stages(s->n->apply, name)) /* a version that lost once may have won after all */
		return false;
	return dotset_has(&x->have, dot) ? dotset_has(&x->acked, dot) : !s->swept;
}

static int
sweep_one(void *arg, const char *name)
{
	struct store *s = arg;

	if (leftover(s, name))
		(void)!tree_stage_unlink(s->n->tree, name);
	return 0;
}

static void
sweep(struct store *s)
{
	int e = tree_stage_list(s->n->tree, sweep_one, s);

	if (e < 0)
		LOG(s->n->log, LOG_WARN, "stage.list", "the stage could not be read", log_err(e));
	s->swept = true;
}

void
store_tick(struct store *s)
{
	if (s->n->halted != 0 || s->n->now_ms < s->look_ms)
		return;
	if (s->swept || s->n->index->intents == NULL)
		sweep(s);
	s->look_ms = s->n->now_ms + STORE_LOOK_MS;
	look(s);
}

uint64_t
store_deadline(const struct store *s)
{
	return s->n->halted != 0 ? UINT64_MAX : s->look_ms;
}

struct store *
store_new(struct node *n)
{
	struct store *s = calloc(1, sizeof(*s));

	if (s != NULL)
		s->n = n;
	return s;
}

void
store_free(struct store *s)
{
	free(s);
}
