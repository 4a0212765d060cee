/* SPDX-License-Identifier: BSD-2-Clause */
/* conflicts and trash: what is kept on which members, and how it comes back. */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/keepers.h"
#include "agent/restore.h"
#include "agent/store.h"
#include "agent/verbs.h"
#include "conf/hash.h"

/* ---- asking the members ---- */

static void
begin(struct request *q, const struct keepers_want *w)
{
	int e = keepers_new(q->node, w, &q->keepers);

	if (e < 0)
		verb_end(q, e == -EINVAL ? CONTROL_USAGE : CONTROL_FAILED, "%s",
			 e == -EINVAL ? "not a path that can be replicated" : strerror(-e));
}

void
verb_silent(struct request *q, const char *(*silent)(void *arg), void *arg)
{
	char text[900] = "";
	size_t len = 0;
	const char *name;

	while (len < sizeof(text) - 1 && (name = silent(arg)) != NULL)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s", len > 0 ? ", " : "",
					name);
	if (len > 0)
		verb_note(q, "no answer from %s: what only these keep is missing here", text);
}

struct silent {
	const struct keepers *k;
	size_t i;
};

static const char *
next_silent(void *arg)
{
	struct silent *s = arg;

	return keepers_silent(s->k, &s->i);
}

/* Whoever did not answer may keep more. */
static void
name_silent(struct request *q)
{
	struct silent s = {q->keepers, 0};

	verb_silent(q, next_silent, &s);
}

/* ---- lists ---- */

static void
version_row(struct request *q, const struct keepers_found *f)
{
	const struct record *r = f->kept.r;
	char hash[HASH_HEX_BYTES], id[48];
	const char *name;
	struct json j;
	size_t i = 0;

	hash_hex(r->hash, hash);
	store_name(&f->kept, id);
	json_init(&j);
	json_obj_open(&j, NULL);
	json_str(&j, "id", id);
	json_bytes(&j, "path", r->path, r->path_len);
	verb_time(&j, "time", f->time_ms);
	json_str(&j, "node", f->node);
	json_uint(&j, "size", r->size);
	json_str(&j, "hash", hash);
	verb_time(&j, "expires", f->expires);
	json_bool(&j, "here", keepers_here(f));
	json_arr_open(&j, "on");
	while ((name = keepers_name(q->keepers, f, &i)) != NULL)
		json_str(&j, NULL, name);
	json_arr_close(&j);
	json_obj_close(&j);
	verb_row(q, &j);
}

static void
list(struct request *q)
{
	const struct keepers_found *f = NULL;

	while (!verb_full(q) && (f = keepers_at(q->keepers, q->i)) != NULL) {
		version_row(q, f);
		q->i++;
	}
	if (f != NULL || verb_full(q))
		return;
	if (keepers_cut(q->keepers))
		verb_note(q, "there is more than one list can hold: ask for one directory");
	name_silent(q);
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
	case -EREMOTE:
		return "content that nobody logged has no hash and cannot be sent: restore it on "
		       "the node that keeps it";
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

/* f: what is to come back; NULL: nothing was found. */
static void
restore_begin(struct request *q, const struct keepers_found *f, const char *to, const char *none)
{
	const void *path = to;
	size_t len = to != NULL ? strlen(to) : 0;
	int e;

	name_silent(q);
	if (f == NULL) {
		verb_end(q, CONTROL_FAILED, "%s", none);
		return;
	}
	if (to == NULL) {
		path = f->kept.r->path;
		len = f->kept.r->path_len;
	}
	e = restore_start(q->node, q->keepers, f, path, len, &q->restore);
	if (e < 0)
		verb_end(q, CONTROL_FAILED, "%s", restore_problem(e));
	else
		restore_turn(q);
}

/* ---- conflicts ---- */

static void
drop(struct request *q, struct dot dot)
{
	int e = store_drop(q->node->kept, dot);

	verb_end(q, e < 0 ? CONTROL_FAILED : CONTROL_OK, "%s",
		 e == -ENOENT ? "nothing is kept here under that id: \"on\" in the list says where"
		 : e < 0      ? strerror(-e)
			      : "");
}

static void
conflicts_begin(struct request *q)
{
	struct keepers_want w = {.kinds = KEEPERS_CONFLICTS};

	if (q->nwords == 1) {
		begin(q, &w);
		return;
	}
	if (!verb_may(q))
		return;
	w = (struct keepers_want){.kinds = KEEPERS_TRASH | KEEPERS_CONFLICTS, .how = KEEPERS_DOT};
	if (q->nwords < 3 || parse_id(q->words[2], &w.dot) < 0 || dot_none(w.dot))
		verb_end(q, CONTROL_USAGE,
			 "conflicts: restore ID [TO], or drop ID; an ID is what the list shows");
	else if (strcmp(q->words[1], "restore") == 0)
		begin(q, &w);
	else if (strcmp(q->words[1], "drop") == 0)
		drop(q, w.dot);
	else
		verb_end(q, CONTROL_USAGE, "conflicts: restore ID [TO], or drop ID");
}

void
verb_conflicts(struct request *q)
{
	if (q->keepers == NULL)
		conflicts_begin(q);
	if (q->ended || !keepers_done(q->keepers))
		return;
	if (q->nwords == 1)
		list(q);
	else if (q->restore != NULL)
		restore_turn(q);
	else
		restore_begin(q, keepers_at(q->keepers, 0), q->nwords > 3 ? q->words[3] : NULL,
			      "no version has that id");
}

/* ---- trash ---- */

static void
trash_begin(struct request *q)
{
	bool lists = q->nwords >= 2 && strcmp(q->words[1], "list") == 0;
	struct keepers_want w = {.kinds = KEEPERS_TRASH, .how = lists ? KEEPERS_BELOW : KEEPERS_AT};

	if (!lists && (q->nwords < 3 || strcmp(q->words[1], "restore") != 0 ||
		       (q->nwords > 3 && (q->nwords != 5 || strcmp(q->words[3], "--at") != 0)))) {
		verb_end(q, CONTROL_USAGE, "trash: list [PATH], or restore PATH [--at TIME]");
		return;
	}
	if (!lists && !verb_may(q))
		return;
	if (q->nwords > 2) {
		w.path = q->words[2];
		w.len = strlen(w.path);
		while (lists && w.len > 0 && w.path[w.len - 1] == '/')
			w.len--;
	}
	begin(q, &w);
}

/* The last one that was displaced before that time. */
static const struct keepers_found *
newest(const struct keepers *k, uint64_t before_ms)
{
	const struct keepers_found *best = NULL, *f;

	for (size_t i = 0; (f = keepers_at(k, i)) != NULL; i++)
		if (f->time_ms <= before_ms)
			best = f;
	return best;
}

void
verb_trash(struct request *q)
{
	bool at = q->nwords > 4;

	if (q->keepers == NULL)
		trash_begin(q);
	if (q->ended || !keepers_done(q->keepers))
		return;
	if (strcmp(q->words[1], "list") == 0)
		list(q);
	else if (q->restore != NULL)
		restore_turn(q);
	else
		restore_begin(
			q, newest(q->keepers, at ? strtoull(q->words[4], NULL, 10) : UINT64_MAX),
			NULL,
			at ? "no connected member keeps anything of that path from before that time"
			   : "no connected member keeps anything of that path");
}
