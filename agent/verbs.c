/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of verbs, and those that are a list or one entry in the WAL. */
#include "config.h"

#include "agent/heldback.h"
#include "agent/verbs.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/apply.h"
#include "agent/brake.h"
#include "agent/commit.h"
#include "agent/compare.h"
#include "agent/errors.h"
#include "agent/exchange.h"
#include "agent/fetch.h"
#include "agent/keepers.h"
#include "agent/restore.h"
#include "agent/scrub.h"
#include "conf/escape.h"
#include "conf/hash.h"
#include "proto/hlc.h"

/* ---- answers ---- */

static void
frame(struct request *q, uint8_t kind, const void *bytes, size_t len)
{
	buf_put_u8(&q->out, kind);
	buf_put_u32(&q->out, (uint32_t)len);
	buf_put(&q->out, bytes, len);
	if (q->out.failed)
		q->ended = true;
}

void
verb_row(struct request *q, struct json *j)
{
	size_t len;
	const char *text = json_text(j, &len);

	if (!json_failed(j))
		frame(q, CONTROL_ROW, text, len);
	json_free(j);
}

void
verb_end(struct request *q, int code, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	text[0] = (char)code;
	va_start(ap, fmt);
	vsnprintf(text + 1, sizeof(text) - 1, fmt, ap);
	va_end(ap);
	frame(q, CONTROL_END, text, 1 + strlen(text + 1));
	q->ended = true;
}

bool
verb_may(struct request *q)
{
	if (!q->all)
		verb_end(q, CONTROL_FAILED, "only root and the agent's own user may do that");
	return q->all;
}

void
verb_note(struct request *q, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	frame(q, CONTROL_NOTE, text, strlen(text));
}

#define PROGRESS_MS 200

void
verb_progress(struct request *q, uint64_t done, uint64_t total)
{
	struct buf b = {0};

	if (q->node->now_ms - q->progress_ms < PROGRESS_MS || verb_full(q))
		return;
	q->progress_ms = q->node->now_ms;
	buf_put_u64(&b, done);
	buf_put_u64(&b, total);
	if (!b.failed)
		frame(q, CONTROL_PROGRESS, b.data, b.len);
	buf_free(&b);
}

void
verb_time_text(uint64_t wall_ms, char out[VERB_TIME_BYTES])
{
	time_t sec = (time_t)(wall_ms / 1000);
	struct tm tm;
	char whole[32];

	gmtime_r(&sec, &tm);
	strftime(whole, sizeof(whole), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out, VERB_TIME_BYTES, "%s.%03uZ", whole, (unsigned)(wall_ms % 1000));
}

void
verb_time(struct json *j, const char *key, uint64_t wall_ms)
{
	char text[VERB_TIME_BYTES];

	if (wall_ms == 0) {
		json_null(j, key);
		return;
	}
	verb_time_text(wall_ms, text);
	json_str(j, key, text);
}

bool
verb_full(const struct request *q)
{
	return q->out.len > CONTROL_OUT_BYTES_MAX;
}

void
verb_clear(struct request *q)
{
	if (q->cursor_begun)
		index_cursor_end(q->node->index, &q->cursor);
	verb_rewind_clear(q);
	verb_log_clear(q);
	verb_history_clear(q);
	compare_free(q->compare);
	restore_free(q->restore);
	keepers_free(q->keepers);
	dotset_free(&q->target);
	buf_free(&q->out);
	*q = (struct request){0};
}

/* ---- records ---- */

void
verb_record_row(struct request *q, const struct record *r)
{
	const struct pathent *ent = index_find(q->node->index, r->path, r->path_len);
	const struct irec *i = ent != NULL ? index_record(ent, r->dot) : NULL;
	const struct origin *o = index_origin(q->node->index, r->dot.origin);
	char origin[17], hash[HASH_HEX_BYTES];
	struct json j;

	snprintf(origin, sizeof(origin), "%016llx", (unsigned long long)r->dot.origin);
	hash_hex(r->hash, hash);
	json_init(&j);
	json_obj_open(&j, NULL);
	verb_time(&j, "time", hlc_ms(r->hlc));
	json_str(&j, "node", o != NULL ? o->node : "");
	json_str(&j, "origin", origin);
	json_uint(&j, "seq", r->dot.seq);
	json_str(&j, "op", record_op_name(r->op));
	json_bytes(&j, "path", r->path, r->path_len);
	json_str(&j, "hash", hash);
	json_uint(&j, "size", r->size);
	json_bool(&j, "applied", i == NULL || index_applied(i)); /* it, or what superseded it */
	json_bool(&j, "head", i != NULL && i->head);
	json_obj_close(&j);
	verb_row(q, &j);
}

/* ---- pending, errors ---- */

static void
pending_row(struct request *q, const struct pathent *e)
{
	struct apply_state s = apply_explain(q->node->apply, e);
	struct json j;

	json_init(&j);
	json_obj_open(&j, NULL);
	json_bytes(&j, "path", e->path, e->path_len);
	json_str(&j, "state", s.state);
	json_str(&j, "reason", s.reason != NULL ? s.reason : "");
	json_uint(&j, "attempts", s.attempts);
	if (s.retry_ms > q->node->now_ms)
		json_uint(&j, "retry_in_ms", s.retry_ms - q->node->now_ms);
	else
		json_null(&j, "retry_in_ms");
	if (s.fetch != NULL) {
		json_str(&j, "from", s.fetch->from);
		json_uint(&j, "have", s.fetch->have_bytes);
		json_uint(&j, "size", s.fetch->rec->size);
	}
	json_obj_close(&j);
	verb_row(q, &j);
}

/* ---- what the watcher holds back ---- */

#define HELD_BACK_MS 4000 /* it answers by then, or does not run */

/* Its answer to a question of now is there, or will not come. Without one the last is used. */
static bool
held_back_known(struct request *q)
{
	struct node *n = q->node;

	if (q->barrier == 0)
		q->barrier = node_barrier(n);
	if (n->index->answered >= q->barrier)
		return true;
	if (n->halted == 0 && n->now_ms - q->since_ms < HELD_BACK_MS)
		return false;
	verb_note(q, "mimeo-watcher does not answer: what it holds back may be missing here");
	return true;
}

static bool
held_back_at(const struct node *n, const char *path, struct held_back *h)
{
	char shown[1024]; /* as the watcher writes it */
	size_t len = escape_print(shown, sizeof(shown), path, strlen(path)), at = 0;

	while (held_back_next(n, &at, h))
		if (h->path_len == len && memcmp(h->path, shown, len) == 0)
			return true;
	return false;
}

static void
held_back_row(struct request *q, const struct held_back *h)
{
	struct json j;

	json_init(&j);
	json_obj_open(&j, NULL);
	json_bytes(&j, "path", h->path, h->path_len);
	json_str(&j, "state", "not logged");
	json_bytes(&j, "reason", h->reason, h->reason_len);
	json_uint(&j, "attempts", 0);
	json_null(&j, "retry_in_ms");
	json_obj_close(&j);
	verb_row(q, &j);
}

#define PENDING_ROWS_MAX 1000 /* the list moves while it is read: one look, the oldest first */

static void
verb_pending(struct request *q)
{
	struct held_back h;
	size_t n = 0, at = 0;

	if (!held_back_known(q))
		return;
	for (const struct pathent *e = index_todo_first(q->node->index);
	     e != NULL && n < PENDING_ROWS_MAX; e = e->todo_next, n++)
		pending_row(q, e);
	while (n++ < PENDING_ROWS_MAX && held_back_next(q->node, &at, &h))
		held_back_row(q, &h);
	verb_end(q, CONTROL_OK, "%s", "");
}

#define TOP_ROWS_MAX 100

/* For a live view, so nothing is asked of the watcher, which would write to the log. */
static void
verb_top(struct request *q)
{
	size_t looked = 0, n = 0;
	struct json j;

	json_init(&j);
	verb_status_json(q->node, true, &j);
	verb_row(q, &j);
	for (const struct pathent *e = index_todo_first(q->node->index);
	     e != NULL && looked < PENDING_ROWS_MAX && n < TOP_ROWS_MAX; e = e->todo_next, looked++)
		if (apply_explain(q->node->apply, e).fetch != NULL) {
			pending_row(q, e);
			n++;
		}
	verb_end(q, CONTROL_OK, "%s", "");
}

static void
verb_errors(struct request *q)
{
	const struct error_row *r;

	for (size_t i = 0; (r = errors_row(q->node->errors, i)) != NULL; i++) {
		struct json j;

		json_init(&j);
		json_obj_open(&j, NULL);
		verb_time(&j, "time", r->wall_ms);
		json_str(&j, "peer", r->peer);
		json_str(&j, "reason", r->reason);
		json_bytes(&j, "path", r->path != NULL ? (const void *)r->path : "", r->path_len);
		json_str(&j, "text", r->text != NULL ? r->text : "");
		json_obj_close(&j);
		verb_row(q, &j);
	}
	verb_end(q, CONTROL_OK, "%s", "");
}

/* ---- whohas, explain ---- */

static void
whohas_row(struct request *q, const char *node, const struct irec *i, bool applied,
	   const char *error)
{
	char hash[HASH_HEX_BYTES], dot[DOT_TEXT_BYTES];
	struct json j;

	hash_hex(i->r->hash, hash);
	dot_text(i->r->dot, dot);
	json_init(&j);
	json_obj_open(&j, NULL);
	json_str(&j, "node", node);
	json_str(&j, "version", dot);
	json_str(&j, "hash", hash);
	json_str(&j, "state", applied ? "applied" : "pending");
	json_str(&j, "last_error", error);
	json_obj_close(&j);
	verb_row(q, &j);
}

static struct pathent *
named_path(struct request *q)
{
	struct pathent *e =
		q->nwords > 1 ? index_find(q->node->index, q->words[1], strlen(q->words[1])) : NULL;

	if (q->nwords < 2)
		verb_end(q, CONTROL_USAGE, "%s: which path?", q->words[0]);
	else if (e == NULL || e->recs == NULL)
		verb_end(q, CONTROL_FAILED,
			 "nothing is known of that path: it was never logged here%s",
			 node_ignored(q->node, q->words[1], strlen(q->words[1]), false)
				 ? " (it is ignored by configuration)"
				 : "");
	return q->ended ? NULL : e;
}

static void
verb_whohas(struct request *q)
{
	struct pathent *e = named_path(q);

	if (e == NULL)
		return;
	for (const struct irec *i = e->recs; i != NULL; i = i->next) {
		if (!i->head)
			continue;
		whohas_row(q, q->node->conf->name, i, index_applied(i), "");
		for (const struct peer *p = exchange_peers(q->node->exchange); p != NULL;
		     p = p->next)
			whohas_row(q, p->name, i, dotset_has(&p->acked, i->r->dot), p->last_error);
	}
	verb_end(q, CONTROL_OK, "%s", "");
}

static void
verb_explain(struct request *q)
{
	struct held_back h = {0};
	struct pathent *e;
	struct apply_state s;
	struct json j;
	bool held;

	if (!held_back_known(q))
		return;
	held = q->nwords > 1 && held_back_at(q->node, q->words[1], &h);
	if (held && index_find(q->node->index, q->words[1], strlen(q->words[1])) == NULL) {
		held_back_row(q, &h);
		verb_end(q, CONTROL_OK, "%s", "");
		return;
	}
	e = named_path(q);
	if (e == NULL)
		return;
	s = apply_explain(q->node->apply, e);
	json_init(&j);
	json_obj_open(&j, NULL);
	json_bytes(&j, "path", e->path, e->path_len);
	json_bool(&j, "ignored", node_ignored(q->node, e->path, e->path_len, false));
	json_bool(&j, "settled", !e->todo);
	json_str(&j, "state", held ? "not logged" : e->todo ? s.state : "in sync here");
	if (held)
		json_bytes(&j, "reason", h.reason, h.reason_len);
	else
		json_str(&j, "reason",
			 e->todo && s.reason != NULL ? s.reason
			 : e->left.seq != 0
				 ? "left as it is on purpose: ignored, or a directory that is not "
				   "empty"
				 : "");
	json_uint(&j, "attempts", e->todo ? s.attempts : 0);
	json_uint(&j, "heads", index_heads_at(e));
	json_uint(&j, "conflicts", index_conflicts_at(e));
	json_arr_open(&j, "lacking");
	for (const struct peer *p = exchange_peers(q->node->exchange); p != NULL; p = p->next)
		for (const struct irec *i = e->recs; i != NULL; i = i->next)
			if (i->head && !dotset_has(&p->acked, i->r->dot)) {
				json_str(&j, NULL, p->name);
				break;
			}
	json_arr_close(&j);
	json_obj_close(&j);
	verb_row(q, &j);
	verb_end(q, CONTROL_OK, "%s", "");
}

/* ---- what is shown: for verify in the command ---- */

static void
verb_shown(struct request *q)
{
	struct irec *i = NULL;

	if (!q->cursor_begun) {
		index_cursor_begin(q->node->index, &q->cursor);
		q->cursor_begun = true;
	}
	while (!verb_full(q) && (i = index_cursor_next(q->node->index, &q->cursor)) != NULL)
		if (i->shown && i->r->kind == KIND_FILE)
			verb_record_row(q, i->r);
	if (i == NULL && !verb_full(q))
		verb_end(q, CONTROL_OK, "%s", "");
}

/* ---- compare: for verify --peers in the command ---- */

static void
compare_end(struct request *q)
{
	char silent[512] = "";
	const char *name;
	size_t i = 0, at = 0;

	while (at < sizeof(silent) && (name = compare_silent(q->compare, &i)) != NULL)
		at += (size_t)snprintf(silent + at, sizeof(silent) - at, "%s%s", at > 0 ? ", " : "",
				       name);
	if (compare_cut(q->compare))
		verb_note(q, "there are more differences than are shown here");
	if (silent[0] != '\0')
		verb_end(q, CONTROL_FAILED, "not connected, or did not answer: %s", silent);
	else
		verb_end(q, CONTROL_OK, "compared with %zu member%s", compare_members(q->compare),
			 compare_members(q->compare) == 1 ? "" : "s");
}

/* rehash: the members are to read all their files again, too. */
static void
verb_compare(struct request *q)
{
	const struct compare_row *r = NULL;

	if (q->compare == NULL)
		q->compare = compare_new(q->node, strcmp(q->words[0], "rehash") == 0);
	if (q->compare == NULL) {
		verb_end(q, CONTROL_FAILED, "out of memory");
		return;
	}
	if (!compare_done(q->compare))
		return;
	while (!verb_full(q) && (r = compare_at(q->compare, q->i)) != NULL) {
		struct json j;

		json_init(&j);
		json_obj_open(&j, NULL);
		json_str(&j, "member", r->member);
		json_str(&j, "difference", r->what);
		json_bytes(&j, "path", r->path, r->len);
		json_obj_close(&j);
		verb_row(q, &j);
		q->i++;
	}
	if (r == NULL && !verb_full(q))
		compare_end(q);
}

/* ---- scrub: paths that somebody found to differ, or everything ---- */

static void
verb_scrub(struct request *q)
{
	for (size_t i = 1; i < q->nwords; i++)
		scrub_path(q->node->scrub, q->words[i], strlen(q->words[i]));
	if (q->nwords == 1)
		scrub_now(q->node->scrub);
	verb_end(q, CONTROL_OK, "%s", "");
}

/* ---- pause, resume, reload ---- */

static void
verb_pause(struct request *q)
{
	commit_put(q->node->commit, &(struct entry){.type = ENTRY_PAUSE, .num = 1});
	verb_end(q, CONTROL_OK, "paused: logging goes on, fetch and apply stop");
}

/* The frozen origin that a word names; 0: it names none. */
static uint64_t
frozen_origin(const struct index *x, const char *word)
{
	char *end;
	uint64_t id = strtoull(word, &end, 16);
	const struct origin *o = *end == '\0' ? index_origin(x, id) : NULL;

	return o != NULL && o->frozen ? id : 0;
}

/* A frozen origin is taken again. What made it say two things must be over, or it is frozen anew.
 */
static void
resume_origin(struct request *q)
{
	struct node *n = q->node;
	uint64_t id = q->nwords == 3 ? frozen_origin(n->index, q->words[2]) : 0;

	if (q->phase == 0 && id == 0) {
		verb_end(q, CONTROL_USAGE,
			 "resume --accept-origin: that is no frozen origin (`mimeo errors` names "
			 "it; 16 digits, as in `mimeo log --json`)");
		return;
	}
	if (q->phase == 0) {
		q->phase = 1;
		commit_put(n->commit, &(struct entry){.type = ENTRY_THAWED, .num = id});
		return;
	}
	if (!commit_idle(n->commit))
		return;
	exchange_thawed(n->exchange);
	verb_end(q, CONTROL_OK, "its records are taken again");
}

static void
verb_resume(struct request *q)
{
	struct node *n = q->node;

	if (q->nwords > 1 && strcmp(q->words[1], "--accept-origin") == 0) {
		resume_origin(q);
		return;
	}
	if (q->phase == 0) {
		q->phase = 1;
		commit_put(n->commit, &(struct entry){.type = ENTRY_PAUSE, .num = 0});
		if (q->nwords > 1 && strcmp(q->words[1], "--accept-deletes") == 0) {
			commit_put(n->commit, &(struct entry){.type = ENTRY_HELD});
			brake_accept(n->brake);
		}
		return;
	}
	if (!commit_idle(n->commit))
		return; /* what waits would find that it is still held */
	apply_kick(n->apply);
	verb_end(q, CONTROL_OK, "resumed");
}

static void
verb_reload(struct request *q)
{
	(void)kill(getpid(), SIGHUP);
	verb_end(q, CONTROL_OK, "%s", "");
}

/* ---- the table ---- */

static const struct verb verbs[] = {
	{"status", true, verb_status},
	{"wait", true, verb_wait},
	{"peers", true, verb_peers},
	{"log", true, verb_log},
	{"history", true, verb_history},
	{"pending", true, verb_pending},
	{"errors", true, verb_errors},
	{"whohas", true, verb_whohas},
	{"explain", true, verb_explain},
	{"shown", true, verb_shown},
	{"conflicts", true, verb_conflicts},
	{"trash", true, verb_trash},
	{"restore", false, verb_restore},
	{"undo", false, verb_undo},
	{"top", true, verb_top},
	{"compare", true, verb_compare},
	{"rehash", false, verb_compare},
	{"pause", false, verb_pause},
	{"resume", false, verb_resume},
	{"scrub", false, verb_scrub},
	{"reload", false, verb_reload},
	{"authorize", false, verb_authorize},
	{"invite", false, verb_invite},
	{"adopt", false, verb_adopt},
	{"forget", false, verb_forget},
	{"leave", false, verb_leave},
	{"authorized-keys", false, verb_authorized_keys},
};

const struct verb *
verb_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		if (strcmp(verbs[i].name, name) == 0)
			return &verbs[i];
	return NULL;
}
