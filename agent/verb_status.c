/* SPDX-License-Identifier: BSD-2-Clause */
/* status, peers, wait: is everything everywhere? */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/commit.h"
#include "agent/exchange.h"
#include "agent/gossip.h"
#include "agent/heldback.h"
#include "agent/catchup.h"
#include "agent/report.h"
#include "agent/verbs.h"
#include "conf/escape.h"
#include "proto/path.h"

#define ASK_AGAIN_MS 100 /* `wait`, for a file that could not be logged */
#define ANSWER_MS 4000   /* the watcher answers a barrier by then, or does not run */

/* ---- the barrier: everything closed until now is logged ---- */

static void
ask_watcher(struct request *q)
{
	q->barrier = node_barrier(q->node);
}

static bool
answered(const struct request *q)
{
	return q->node->index->answered >= q->barrier;
}

/* ---- peers ---- */

const char *
verb_peer_state(const struct node *n, const struct peer *p)
{
	return gossip_state_name(gossip_state(n->gossip, p));
}

static void
peer_object(const struct node *n, struct peer *p, const char *key, struct json *j)
{
	const struct member *m = index_member(n->index, p->name);
	const struct session_stats *st =
		p->link != NULL ? session_stats(link_session(p->link)) : NULL;
	struct lack l = exchange_lack(n->exchange, p);

	json_obj_open(j, key);
	json_str(j, "name", p->name);
	json_str(j, "address", m != NULL ? m->address : "");
	json_str(j, "state", verb_peer_state(n, p));
	json_bool(j, "connected", p->link != NULL);
	json_uint(j, "pending", l.count);
	json_uint(j, "pending_bytes", l.bytes);
	json_double(j, "lag_seconds",
		    l.oldest_ms != 0 && n->wall_ms > l.oldest_ms
			    ? (double)(n->wall_ms - l.oldest_ms) / 1000
			    : 0,
		    3);
	json_uint(j, "rtt_ms", st != NULL ? st->rtt_ms : 0);
	json_double(j, "clock_offset_seconds", st != NULL ? (double)st->clock_offset_ms / 1000 : 0,
		    3);
	verb_time(j, "last_contact", p->contact_ms);
	json_uint(j, "bytes_in", p->bytes_in + (st != NULL ? st->bytes_in : 0));
	json_uint(j, "bytes_out", p->bytes_out + (st != NULL ? st->bytes_out : 0));
	json_uint(j, "inline_in", p->inline_in);
	json_uint(j, "delta_in", p->delta_in);
	json_uint(j, "whole_in", p->whole_in);
	json_uint(j, "received_bytes", p->inline_in + p->delta_in + p->whole_in);
	json_uint(j, "bytes_per_second", p->delivers.rate);
	json_uint(j, "sent_bytes", p->inline_out + p->delta_out + p->whole_out);
	json_str(j, "last_error", p->last_error);
	json_str(j, "admitted_by", m != NULL ? m->admitted_by : "");
	verb_time(j, "admitted", m != NULL ? m->admitted : 0);
	json_obj_close(j);
}

void
verb_peers(struct request *q)
{
	for (struct peer *p = exchange_peers(q->node->exchange); p != NULL; p = p->next) {
		struct json j;

		json_init(&j);
		peer_object(q->node, p, NULL, &j);
		verb_row(q, &j);
	}
	verb_end(q, CONTROL_OK, "%s", "");
}

/* ---- status ---- */

/* Files that the watcher holds back: they went back to older versions all at once. */
static uint64_t
held_by_watcher(const struct node *n)
{
	struct report r;

	report_read(n->conf->run, n->wall_ms, &r);
	return r.held;
}

static bool
scanning(const struct node *n)
{
	struct report r;

	report_read(n->conf->run, n->wall_ms, &r);
	return r.scan_running;
}

static void
scan_object(const struct node *n, struct json *j)
{
	struct report r;

	report_read(n->conf->run, n->wall_ms, &r);
	json_obj_open(j, "scan");
	json_bool(j, "running", r.scan_running);
	json_uint(j, "done", r.scan_done);
	json_uint(j, "total", r.scan_total);
	json_obj_close(j);
}

static void
catch_up_object(const struct node *n, struct json *j)
{
	struct catchup_now p = catchup_now(n->catchup);

	json_obj_open(j, "catch_up");
	json_bool(j, "running", p.running);
	json_uint(j, "done", p.paths_done);
	json_uint(j, "total", p.paths_total);
	json_uint(j, "bytes_done", p.bytes_done);
	json_uint(j, "bytes_total", p.bytes_total);
	json_uint(j, "bytes_per_second", p.bytes_per_second);
	json_uint(j, "seconds", p.seconds);
	if (p.known)
		json_uint(j, "seconds_left", p.seconds_left);
	else
		json_null(j, "seconds_left");
	json_obj_close(j);
}

static bool
peers_complete(const struct node *n)
{
	for (const struct peer *p = exchange_peers(n->exchange); p != NULL; p = p->next)
		if (!dotset_subset(&n->index->have, &p->acked))
			return false;
	return true;
}

static double
worst_lag(const struct node *n)
{
	double worst = 0;

	for (struct peer *p = exchange_peers(n->exchange); p != NULL; p = p->next) {
		struct lack l = exchange_lack(n->exchange, p);
		double lag = l.oldest_ms != 0 && n->wall_ms > l.oldest_ms
				     ? (double)(n->wall_ms - l.oldest_ms) / 1000
				     : 0;

		worst = lag > worst ? lag : worst;
	}
	return worst;
}

static void
vector_object(const struct index *x, struct json *j)
{
	json_obj_open(j, "vector");
	for (uint32_t i = 0; i < x->have.n; i++) {
		char origin[17];

		snprintf(origin, sizeof(origin), "%016llx",
			 (unsigned long long)x->have.o[i].origin);
		json_uint(j, origin, dotset_prefix(&x->have, x->have.o[i].origin));
	}
	json_obj_close(j);
}

static uint64_t
frozen_origins(const struct index *x)
{
	uint64_t n = 0;

	for (size_t i = 0; i < x->norigins; i++)
		n += x->origins[i].frozen;
	return n;
}

static void
frozen_list(const struct index *x, struct json *j)
{
	json_arr_open(j, "frozen");
	for (size_t i = 0; i < x->norigins; i++) {
		char origin[17];

		if (!x->origins[i].frozen)
			continue;
		snprintf(origin, sizeof(origin), "%016llx", (unsigned long long)x->origins[i].id);
		json_str(j, NULL, origin);
	}
	json_arr_close(j);
}

static bool
in_sync(const struct node *n, bool watcher)
{
	const char *by;

	return watcher && !gossip_expelled(n->gossip, &by) && n->index->todo_count == 0 &&
	       peers_complete(n) && dotset_empty(&n->index->held) && held_by_watcher(n) == 0 &&
	       frozen_origins(n->index) == 0;
}

const char *
verb_status_state(const struct node *n, bool watcher)
{
	if (n->halted != 0)
		return "halted";
	if (n->index->paused)
		return "paused";
	return in_sync(n, watcher) ? "ok" : "syncing";
}

void
verb_status_json(const struct node *n, bool watcher, struct json *j)
{
	const struct index *x = n->index;
	char digest[33];
	const char *by;

	snprintf(digest, sizeof(digest), "%016llx%016llx", (unsigned long long)x->digest[0],
		 (unsigned long long)x->digest[1]);
	json_obj_open(j, NULL);
	json_str(j, "node", n->conf->name);
	json_str(j, "root", n->conf->root);
	json_str(j, "work", n->conf->work);
	json_str(j, "state", verb_status_state(n, watcher));
	if (n->halted != 0)
		json_str(j, "halted", n->halt_text);
	if (gossip_expelled(n->gossip, &by))
		json_str(j, "expelled_by", by);
	json_uint(j, "files", x->files);
	json_uint(j, "bytes", x->bytes);
	json_uint(j, "directories", x->dirs);
	json_uint(j, "pending", x->todo_count);
	json_uint(j, "held", dotset_count(&x->held) + held_by_watcher(n));
	json_double(j, "lag_seconds", worst_lag(n), 3);
	json_uint(j, "errors", errors_total(n->errors));
	json_uint(j, "conflicts", x->conflicts);
	json_uint(j, "trash_files", x->kept_files);
	json_uint(j, "trash_bytes", x->kept_bytes);
	json_uint(j, "wal_bytes", wal_info(n->wal)->size);
	json_str(j, "digest", digest);
	json_uint(j, "frozen_origins", frozen_origins(x));
	frozen_list(x, j);
	json_bool(j, "watcher", watcher);
	vector_object(x, j);
	scan_object(n, j);
	catch_up_object(n, j);
	json_arr_open(j, "peers");
	for (struct peer *p = exchange_peers(n->exchange); p != NULL; p = p->next)
		peer_object(n, p, NULL, j);
	json_arr_close(j);
	json_obj_close(j);
}

void
verb_status(struct request *q)
{
	const struct node *n = q->node;
	const char *by;
	bool expelled = gossip_expelled(n->gossip, &by);
	struct json j;
	bool good;

	if (q->barrier == 0)
		ask_watcher(q);
	if (!answered(q) && n->halted == 0 && n->now_ms - q->since_ms < ANSWER_MS)
		return;
	json_init(&j);
	verb_status_json(n, answered(q), &j);
	verb_row(q, &j);
	good = in_sync(n, answered(q));
	if (n->halted != 0)
		verb_end(q, CONTROL_HALTED, "%s", n->halt_text);
	else if (expelled)
		verb_end(q, CONTROL_NOT_IN_SYNC,
			 "this node is no member any more (%s%s): to join again, `mimeo invite` on "
			 "a "
			 "member and `mimeo join -` here",
			 strcmp(by, n->conf->name) == 0 ? "it left" : "forgotten by ",
			 strcmp(by, n->conf->name) == 0 ? "" : by);
	else if (!answered(q))
		verb_end(q, CONTROL_NOT_IN_SYNC,
			 scanning(n) ? "mimeo-watcher scans the tree: what it finds is not logged "
				       "yet"
				     : "mimeo-watcher does not answer: does it run?");
	else
		verb_end(q, good ? CONTROL_OK : CONTROL_NOT_IN_SYNC, "%s", "");
}

/* ---- wait ---- */

static bool
parse_wait(struct request *q)
{
	q->timeout_ms = 60000;
	q->peers_wanted = SIZE_MAX;
	for (size_t i = 1; i < q->nwords; i++) {
		if (strcmp(q->words[i], "--timeout-ms") == 0 && i + 1 < q->nwords)
			q->timeout_ms = strtoull(q->words[++i], NULL, 10);
		else if (strcmp(q->words[i], "--peers") == 0 && i + 1 < q->nwords)
			q->peers_wanted = strcmp(q->words[++i], "all") == 0
						  ? SIZE_MAX
						  : (size_t)strtoull(q->words[i], NULL, 10);
	}
	return true;
}

/* The dots of all heads at and below a path. */
static int
add_below(struct dotset *set, const struct pathent *e)
{
	int r = 0;

	for (const struct irec *i = e->recs; r == 0 && i != NULL; i = i->next)
		if (i->head)
			r = dotset_add(set, i->r->dot);
	for (const struct pathent *c = e->child; r == 0 && c != NULL; c = c->sib_next)
		r = add_below(set, c);
	return r;
}

static bool
choose_target(struct request *q)
{
	const struct index *x = q->node->index;
	bool named = false;

	for (size_t i = 1; i < q->nwords; i++) {
		const struct pathent *e;

		if (q->words[i][0] == '-' && (strcmp(q->words[i], "--timeout-ms") == 0 ||
					      strcmp(q->words[i], "--peers") == 0)) {
			i++;
			continue;
		}
		named = true;
		e = index_find(x, q->words[i], strlen(q->words[i]));
		if (e == NULL) {
			verb_end(q, CONTROL_FAILED,
				 "nothing is known of that path: it was never logged here, or is "
				 "being written");
			return false;
		}
		if (add_below(&q->target, e) < 0)
			return false;
	}
	return named || dotset_copy(&q->target, &x->have) == 0;
}

static size_t
have_it(const struct request *q, size_t *members)
{
	size_t n = 0;

	*members = 0;
	for (const struct peer *p = exchange_peers(q->node->exchange); p != NULL; p = p->next) {
		(*members)++;
		n += dotset_subset(&q->target, &p->acked);
	}
	return n;
}

/* ---- what the watcher could not log ---- */

static bool
at_or_below(const struct held_back *h, const char *word)
{
	char shown[ESCAPE_BYTES_MAX(PATH_ENT_BYTES_MAX)];
	size_t len = escape_print(shown, sizeof(shown), word, strlen(word));

	return path_within(h->path, h->path_len, shown, len);
}

/*
 * Does the request have to wait for this one? It is one of its paths; or, where none are named, a
 * file that is not just being written: that was not closed yet.
 */
static bool
concerns(const struct request *q, const struct held_back *h)
{
	bool named = false;

	for (size_t i = 1; i < q->nwords; i++) {
		if (strcmp(q->words[i], "--timeout-ms") == 0 ||
		    strcmp(q->words[i], "--peers") == 0) {
			i++;
			continue;
		}
		named = true;
		if (at_or_below(h, q->words[i]))
			return true;
	}
	return !named && (h->reason_len != strlen(ENTRY_ANSWER_OPEN) ||
			  memcmp(h->reason, ENTRY_ANSWER_OPEN, h->reason_len) != 0);
}

static bool
anything_unlogged(const struct request *q, struct held_back *h)
{
	size_t at = 0;

	while (held_back_next(q->node, &at, h))
		if (concerns(q, h))
			return true;
	return false;
}

static void
wait_timed_out(struct request *q)
{
	char who[512] = "";
	size_t at = 0;
	struct held_back h;

	if (q->phase == 0 && anything_unlogged(q, &h)) {
		verb_end(q, CONTROL_NOT_IN_SYNC, "timed out: %.*s: not logged: %.*s",
			 (int)h.path_len, h.path, (int)h.reason_len, h.reason);
		return;
	}
	for (const struct peer *p = exchange_peers(q->node->exchange); p != NULL; p = p->next)
		if (!dotset_subset(&q->target, &p->acked) && at < sizeof(who))
			at += (size_t)snprintf(who + at, sizeof(who) - at, "%s%s%s",
					       at > 0 ? ", " : "", p->name,
					       p->link == NULL ? " (not connected)" : "");
	verb_end(q, CONTROL_NOT_IN_SYNC, "timed out: %s",
		 q->phase == 0 ? "mimeo-watcher has not logged everything yet" : who);
}

void
verb_wait(struct request *q)
{
	size_t members, n;
	struct held_back h;

	if (q->barrier == 0) {
		(void)parse_wait(q);
		ask_watcher(q);
		q->asked_ms = q->node->now_ms;
	}
	if (q->phase == 0 && answered(q) && anything_unlogged(q, &h)) {
		if (q->node->now_ms - q->asked_ms >= ASK_AGAIN_MS) {
			ask_watcher(q);
			q->asked_ms = q->node->now_ms;
		}
	} else if (q->phase == 0 && answered(q)) {
		if (!choose_target(q)) {
			if (!q->ended)
				verb_end(q, CONTROL_FAILED, "out of memory");
			return;
		}
		q->phase = 1;
	}
	if (q->phase == 1) {
		n = have_it(q, &members);
		if (n >= (q->peers_wanted < members ? q->peers_wanted : members)) {
			verb_end(q, CONTROL_OK, "%s", "");
			return;
		}
	}
	if (q->node->now_ms - q->since_ms >= q->timeout_ms)
		wait_timed_out(q);
}
