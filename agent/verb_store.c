/* SPDX-License-Identifier: BSD-2-Clause */
/* conflicts and trash: what is kept, and how it comes back. */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/restore.h"
#include "agent/store.h"
#include "agent/verbs.h"
#include "conf/hash.h"
#include "proto/hlc.h"

/* ---- lists ---- */

static void
version_row(struct request *q, const char *id, const struct record *r, uint64_t time_ms,
	    uint64_t expires, bool here)
{
	const struct origin *o = index_origin(q->node->index, r->dot.origin);
	char hash[HASH_HEX_BYTES];
	struct json j;

	hash_hex(r->hash, hash);
	json_init(&j);
	json_obj_open(&j, NULL);
	json_str(&j, "id", id);
	json_bytes(&j, "path", r->path, r->path_len);
	verb_time(&j, "time", time_ms);
	json_str(&j, "node", o != NULL ? o->node : "");
	json_uint(&j, "size", r->size);
	json_str(&j, "hash", hash);
	if (expires != 0)
		verb_time(&j, "expires", expires);
	else
		json_null(&j, "expires");
	json_bool(&j, "here", here);
	json_obj_close(&j);
	verb_row(q, &j);
}

static void
kept_row(struct request *q, const struct kept *k)
{
	char id[48];

	store_name(k, id);
	version_row(q, id, k->r,
		    index_kept_conflict(q->node->index, k) ? hlc_ms(k->r->hlc) : k->since_ms,
		    store_expires(q->node->kept, k), true);
}

static bool
below(const struct record *r, const char *path)
{
	size_t len = path != NULL ? strlen(path) : 0;

	return len == 0 || (r->path_len >= len && memcmp(r->path, path, len) == 0 &&
			    (r->path_len == len || r->path[len] == '/'));
}

/* The heads that lose; kept here or still to be fetched. Rescued content is listed too: nobody has
 * logged it. */
static void
list_conflicts(struct request *q)
{
	const struct index *x = q->node->index;
	char id[DOT_TEXT_BYTES];

	for (const struct irec *i = x->log_first; i != NULL; i = i->log_next) {
		const struct irec *w = index_winner(i->ent);

		if (!i->head || i == w || !record_live(i->r) || i->r->kind == KIND_DIR ||
		    record_same_content(i->r, w->r))
			continue;
		dot_text(i->r->dot, id);
		version_row(q, id, i->r, hlc_ms(i->r->hlc), 0, index_kept(x, i->r->dot) != NULL);
	}
	for (const struct kept *k = x->kept_first; k != NULL; k = k->next)
		if ((k->flags & KEPT_RESCUED) != 0)
			kept_row(q, k);
	verb_end(q, CONTROL_OK, "%s", "");
}

static void
list_trash(struct request *q, const char *path)
{
	for (const struct kept *k = q->node->index->kept_first; k != NULL; k = k->next)
		if (!index_kept_conflict(q->node->index, k) && below(k->r, path))
			kept_row(q, k);
	verb_end(q, CONTROL_OK, "%s", "");
}

/* ---- restore and drop ---- */

static int
parse_id(const char *id, struct dot *dot)
{
	char *end;

	if (strncmp(id, "rescued-", 8) != 0)
		return dot_parse(id, dot);
	*dot = (struct dot){0, strtoull(id + 8, &end, 16)};
	return *end == '\0' && end != id + 8 ? 0 : -EINVAL;
}

static const char *
restore_problem(int e)
{
	switch (e) {
	case -EINVAL:
		return "not a path that can be replicated";
	case -EISDIR:
		return "a directory has that name";
	case -EHOSTUNREACH:
		return "no connected member keeps that content";
	case -EAGAIN:
		return "that path is being changed just now: try again";
	default:
		return strerror(-e);
	}
}

static void
restore_turn(struct request *q)
{
	int e = restore_state(q->restore);

	if (e > 0)
		return;
	if (e < 0)
		verb_end(q, CONTROL_FAILED, "%s", restore_problem(e));
	else
		verb_end(q, CONTROL_OK, "%s", "");
}

static void
restore_begin(struct request *q, const struct kept *k, const char *to)
{
	const void *path = to != NULL ? (const void *)to : k->r->path;
	size_t len = to != NULL ? strlen(to) : k->r->path_len;
	int e = restore_start(q->node, k, path, len, &q->restore);

	if (e < 0)
		verb_end(q, CONTROL_FAILED, "%s", restore_problem(e));
	else
		restore_turn(q);
}

/* A loser that is not in the store yet is described by its record alone: the content is fetched. */
static void
restore_conflict(struct request *q, struct dot dot, const char *to)
{
	const struct kept *k = index_kept(q->node->index, dot);
	struct kept made = {.dot = dot};

	for (const struct irec *i = q->node->index->log_first; k == NULL && i != NULL;
	     i = i->log_next)
		if (dot_eq(i->r->dot, dot)) {
			made.r = i->r;
			k = &made;
		}
	if (k == NULL)
		verb_end(q, CONTROL_FAILED, "no version has that id");
	else
		restore_begin(q, k, to);
}

void
verb_conflicts(struct request *q)
{
	struct dot dot;
	int e;

	if (q->restore != NULL) {
		restore_turn(q);
		return;
	}
	if (q->nwords == 1) {
		list_conflicts(q);
		return;
	}
	if (q->nwords < 3 || parse_id(q->words[2], &dot) < 0) {
		verb_end(q, CONTROL_USAGE,
			 "conflicts: restore ID [TO], or drop ID; an ID is what the list shows");
	} else if (strcmp(q->words[1], "restore") == 0) {
		restore_conflict(q, dot, q->nwords > 3 ? q->words[3] : NULL);
	} else if (strcmp(q->words[1], "drop") == 0) {
		e = store_drop(q->node->kept, dot);
		verb_end(q, e < 0 ? CONTROL_FAILED : CONTROL_OK, "%s",
			 e == -ENOENT ? "nothing is kept here under that id"
			 : e < 0      ? strerror(-e)
				      : "");
	} else {
		verb_end(q, CONTROL_USAGE, "conflicts: restore ID [TO], or drop ID");
	}
}

static const struct kept *
newest_kept(const struct index *x, const char *path, uint64_t before_ms)
{
	const struct kept *best = NULL;
	size_t len = strlen(path);

	for (const struct kept *k = x->kept_first; k != NULL; k = k->next)
		if (k->r->path_len == len && memcmp(k->r->path, path, len) == 0 &&
		    k->since_ms <= before_ms && !index_kept_conflict(x, k))
			best = k;
	return best;
}

void
verb_trash(struct request *q)
{
	const struct kept *k;

	if (q->restore != NULL) {
		restore_turn(q);
		return;
	}
	if (q->nwords >= 2 && strcmp(q->words[1], "list") == 0) {
		list_trash(q, q->nwords > 2 ? q->words[2] : NULL);
		return;
	}
	if (q->nwords < 3 || strcmp(q->words[1], "restore") != 0) {
		verb_end(q, CONTROL_USAGE, "trash: list [PATH], or restore PATH [--at TIME]");
		return;
	}
	k = newest_kept(q->node->index, q->words[2],
			q->nwords > 4 ? strtoull(q->words[4], NULL, 10) : UINT64_MAX);
	if (k == NULL)
		verb_end(q, CONTROL_FAILED, "nothing is kept of that path here%s",
			 q->nwords > 4 ? " from before that time" : "");
	else
		restore_begin(q, k, NULL);
}
