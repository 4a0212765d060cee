/* SPDX-License-Identifier: BSD-2-Clause */
/* restore and undo: what paths were comes back. */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/rewind.h"
#include "agent/verbs.h"
#include "conf/hash.h"
#include "proto/hlc.h"

#define ANSWER_MS 10000 /* of the watcher, what is closed by now */

struct rewinding {
	struct rewind_want want;
	const char *paths[CONTROL_WORDS_MAX];
	struct rewind *rewind;
	bool over, noted, progress;
	size_t counts[REWIND_FAILED + 1]; /* by state */
};

/* ---- the words ---- */

/* Takes "--at MS" or "--since MS", "--origin NODE", "--dry-run" and paths; false: something else.
 */
static bool
parse(struct request *q, struct rewinding *w, const char *time)
{
	for (size_t i = 1; i < q->nwords; i++) {
		const char *word = q->words[i];

		if (strcmp(word, "--dry-run") == 0)
			w->want.dry = true;
		else if (strcmp(word, "--progress") == 0)
			w->progress = true;
		else if (strcmp(word, time) == 0 && i + 1 < q->nwords)
			w->want.past.time_ms = strtoull(q->words[++i], NULL, 10);
		else if (strcmp(word, "--origin") == 0 && i + 1 < q->nwords)
			w->want.past.node = q->words[++i];
		else if (word[0] == '-' && word[1] == '-')
			return false;
		else
			w->paths[w->want.past.npaths++] = word;
	}
	w->want.past.paths = w->paths;
	return w->want.past.time_ms != 0;
}

static bool
known_node(const struct index *x, const char *name)
{
	for (size_t i = 0; i < x->norigins; i++)
		if (strcmp(x->origins[i].node, name) == 0)
			return true;
	return false;
}

static void
begin(struct request *q, const char *time, bool undo)
{
	struct rewinding *w = calloc(1, sizeof(*w));
	const struct node *n = q->node;

	q->rewinding = w;
	if (w == NULL)
		verb_end(q, CONTROL_FAILED, "out of memory");
	else if (!parse(q, w, time) || (w->want.past.node != NULL) != undo)
		verb_end(q, CONTROL_USAGE, "%s",
			 undo ? "undo: --origin NODE --since TIME [PATH...] [--dry-run]"
			      : "restore: --at TIME [PATH...] [--dry-run]");
	else if (w->want.past.time_ms > n->wall_ms)
		verb_end(q, CONTROL_USAGE, "%s: that time is still to come", q->words[0]);
	else if (undo && !known_node(n->index, w->want.past.node))
		verb_end(q, CONTROL_FAILED, "%s has written nothing that is known here",
			 w->want.past.node);
	else if (n->halted != 0)
		verb_end(q, CONTROL_HALTED, "%s", n->halt_text);
	else if (n->index->paused && !w->want.dry)
		verb_end(q, CONTROL_FAILED, "fetch and apply are paused: mimeo resume");
	else
		q->barrier = node_barrier(q->node);
}

/* ---- rows ---- */

static const char *
act_name(enum rewind_act act)
{
	static const char *const names[] = {"nothing", "restore", "delete",
					    "mkdir",   "rmdir",   "mode"};

	return names[act];
}

static const char *
state_name(enum rewind_state state)
{
	static const char *const names[] = {"planned", "planned", "planned", "done",
					    "left",    "unknown", "failed"};

	return names[state];
}

static void
row(struct request *q, const struct rewind_item *it)
{
	const struct record *was = it->was;
	const struct origin *o = was != NULL ? index_origin(q->node->index, was->dot.origin) : NULL;
	char hash[HASH_HEX_BYTES];
	struct json j;

	json_init(&j);
	json_obj_open(&j, NULL);
	json_str(&j, "act", act_name(it->act));
	json_str(&j, "state", state_name(it->state));
	json_bytes(&j, "path", it->path, it->len);
	verb_time(&j, "time", was != NULL ? hlc_ms(was->hlc) : 0);
	json_str(&j, "node", o != NULL ? o->node : "");
	if (was != NULL && was->kind != KIND_DIR) {
		hash_hex(was->hash, hash);
		json_uint(&j, "size", was->size);
		json_str(&j, "hash", hash);
	} else {
		json_null(&j, "size");
		json_null(&j, "hash");
	}
	json_str(&j, "reason", it->reason != NULL ? it->reason : "");
	json_obj_close(&j);
	verb_row(q, &j);
}

struct silent {
	const struct rewind *r;
	size_t k, i;
};

static const char *
next_silent(void *arg)
{
	struct silent *s = arg;

	return rewind_silent(s->r, &s->k, &s->i);
}

/* What a person must know before he believes the list. */
static void
notes(struct request *q, struct rewinding *w)
{
	struct silent s = {w->rewind, 0, 0};
	uint64_t begins = rewind_begins(w->rewind);
	char text[VERB_TIME_BYTES];

	w->noted = true;
	if (rewind_cut(w->rewind))
		verb_note(q, "more is kept than one list can hold: name a directory");
	verb_silent(q, next_silent, &s);
	if (w->want.past.time_ms >= begins)
		return;
	verb_time_text(begins, text);
	verb_note(q,
		  "this node's log knows all versions only since %s: of what was replaced before, "
		  "only what some member keeps can be found",
		  text);
}

static void
end(struct request *q, const struct rewinding *w)
{
	const size_t *n = w->counts;
	size_t bad = n[REWIND_UNKNOWN] + n[REWIND_FAILED];

	verb_note(q, "%zu %s, %zu left as they are, %zu cannot be found, %zu failed",
		  w->want.dry ? n[REWIND_PLANNED] : n[REWIND_DONE],
		  w->want.dry ? "would be changed" : "changed", n[REWIND_LEFT], n[REWIND_UNKNOWN],
		  n[REWIND_FAILED]);
	verb_end(q, bad > 0 ? CONTROL_FAILED : CONTROL_OK, "%s",
		 bad > 0 ? "not everything is what it was: the list says why" : "");
}

static void
rows(struct request *q, struct rewinding *w)
{
	const struct rewind_item *it = NULL;

	if (!w->noted)
		notes(q, w);
	while (!verb_full(q) && (it = rewind_at(w->rewind, q->i)) != NULL) {
		w->counts[it->state]++;
		row(q, it);
		q->i++;
	}
	if (it == NULL && !verb_full(q))
		end(q, w);
}

/* ---- turns ---- */

static const char *
problem(int e)
{
	if (e == -E2BIG)
		return "too many versions for one go: name a directory";
	return e == -EINVAL ? "not a path that can be replicated" : strerror(-e);
}

static void
turn(struct request *q, struct rewinding *w)
{
	uint64_t done, total;
	int e = w->rewind == NULL ? rewind_new(q->node, &w->want, &w->rewind) : 0;

	if (e == 0 && !w->over)
		e = rewind_turn(w->rewind);
	q->busy = e == 1;
	if (w->progress && e > 0 && rewind_progress(w->rewind, &done, &total))
		verb_progress(q, done, total);
	if (e < 0)
		verb_end(q, e == -EINVAL ? CONTROL_USAGE : CONTROL_FAILED, "%s", problem(e));
	else if (e == 0)
		w->over = true;
	if (e == 0)
		rows(q, w);
}

static void
step(struct request *q, const char *time, bool undo)
{
	const struct node *n = q->node;

	if (q->rewinding == NULL)
		begin(q, time, undo);
	if (q->ended)
		return;
	if (n->index->answered < q->barrier && q->rewinding->rewind == NULL) {
		if (n->now_ms - q->since_ms < ANSWER_MS)
			return;
		verb_end(q, CONTROL_FAILED,
			 "mimeo-watcher does not answer, and is needed to log what is changed: "
			 "does it run?");
		return;
	}
	turn(q, q->rewinding);
}

void
verb_restore(struct request *q)
{
	step(q, "--at", false);
}

void
verb_undo(struct request *q)
{
	step(q, "--since", true);
}

void
verb_rewind_clear(struct request *q)
{
	if (q->rewinding == NULL)
		return;
	rewind_free(q->rewinding->rewind);
	free(q->rewinding);
	q->rewinding = NULL;
}
