/* SPDX-License-Identifier: BSD-2-Clause */
/* The node's numbers as Prometheus text. */
#include "config.h"

#include "agent/metrics.h"

#include <stdlib.h>
#include <string.h>

#include "agent/exchange.h"
#include "agent/text.h"
#include "proto/hlc.h"

struct metrics {
	struct node *n;
	const struct links *links;
	struct history *history;
	struct report report;
	uint64_t free_bytes, free_inodes;
	uint64_t look_ms;
	uint64_t started_ms; /* wall clock */
};

struct metrics *
metrics_new(struct node *n, const struct links *links)
{
	struct metrics *m = calloc(1, sizeof(*m));

	if (m == NULL)
		return NULL;
	m->n = n;
	m->links = links;
	m->started_ms = n->wall_ms;
	m->history = history_new();
	if (m->history == NULL) {
		free(m);
		return NULL;
	}
	return m;
}

void
metrics_free(struct metrics *m)
{
	if (m == NULL)
		return;
	history_free(m->history);
	free(m);
}

const struct report *
metrics_report(const struct metrics *m)
{
	return &m->report;
}

const struct history *
metrics_history(const struct metrics *m)
{
	return m->history;
}

/* ---- looking ---- */

static double
age(const struct node *n, uint64_t wall_ms)
{
	return wall_ms != 0 && n->wall_ms > wall_ms ? (double)(n->wall_ms - wall_ms) / 1000 : 0;
}

static double
lag(const struct node *n, struct peer *p)
{
	return age(n, exchange_lack_lately(n->exchange, p).oldest_ms);
}

uint64_t
metrics_behind_ms(const struct node *n)
{
	const struct pathent *e = index_todo_first(n->index);
	const struct irec *w = e != NULL ? index_winner(e) : NULL;
	uint64_t ms = w != NULL ? hlc_ms(w->r->hlc) : 0;

	return ms != 0 && n->wall_ms > ms ? n->wall_ms - ms : 0;
}

void
metrics_tick(struct metrics *m)
{
	struct node *n = m->n;

	if (n->now_ms < m->look_ms)
		return;
	m->look_ms = n->now_ms + METRICS_LOOK_MS;
	report_read(n->conf->run, n->wall_ms, &m->report);
	if (tree_space(n->tree, &m->free_bytes, &m->free_inodes) < 0)
		m->free_bytes = m->free_inodes = 0;
	for (struct peer *p = exchange_peers(n->exchange); p != NULL; p = p->next) {
		if (p->contact_ms > p->whole_ms && dotset_subset(&n->index->have, &p->acked))
			p->whole_ms = p->contact_ms;
		history_add(m->history, p->name, n->now_ms, (float)lag(n, p));
		errors_expect(n->errors, p->name, "hash");
		errors_expect(n->errors, p->name, "connect");
	}
}

uint64_t
metrics_deadline(const struct metrics *m)
{
	return m->look_ms;
}

/* ---- writing ---- */

static void
head(struct buf *b, const char *name, const char *type, const char *help)
{
	text_put(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void
number(struct buf *b, double v)
{
	if (v > -1e15 && v < 1e15 && (double)(int64_t)v == v)
		text_put(b, " %.0f\n", v);
	else
		text_put(b, " %.3f\n", v);
}

/* One without labels. */
static void
one(struct buf *b, const char *name, const char *type, const char *help, double v)
{
	head(b, name, type, help);
	text_str(b, name);
	number(b, v);
}

/* Every peer's, from one function. */
static void
each_peer(const struct metrics *m, struct buf *b, const char *name, const char *type,
	  const char *help, double (*value)(const struct metrics *m, struct peer *p))
{
	head(b, name, type, help);
	for (struct peer *p = exchange_peers(m->n->exchange); p != NULL; p = p->next) {
		text_put(b, "%s{peer=\"%s\"}", name, p->name);
		number(b, value(m, p));
	}
}

static const struct session_stats *
stats(const struct peer *p)
{
	return p->link != NULL ? session_stats(link_session(p->link)) : NULL;
}

static double
peer_lag(const struct metrics *m, struct peer *p)
{
	return lag(m->n, p);
}

static double
peer_lacks(const struct metrics *m, struct peer *p)
{
	return (double)exchange_lack_lately(m->n->exchange, p).count;
}

static double
peer_lacks_bytes(const struct metrics *m, struct peer *p)
{
	return (double)exchange_lack_lately(m->n->exchange, p).bytes;
}

static double
peer_up(const struct metrics *m, struct peer *p)
{
	(void)m;
	return p->link != NULL;
}

static double
peer_rtt(const struct metrics *m, struct peer *p)
{
	const struct session_stats *st = stats(p);

	(void)m;
	return st != NULL ? (double)st->rtt_ms / 1000 : 0;
}

static double
peer_offset(const struct metrics *m, struct peer *p)
{
	return (double)exchange_clock_offset(m->n->exchange, p->name) / 1000;
}

static double
peer_reconnects(const struct metrics *m, struct peer *p)
{
	(void)m;
	return p->reconnects > 0 ? (double)(p->reconnects - 1) : 0;
}

static double
peer_backoff(const struct metrics *m, struct peer *p)
{
	return p->link == NULL ? (double)links_backoff_ms(m->links, p->name) / 1000 : 0;
}

static double
peer_heartbeat(const struct metrics *m, struct peer *p)
{
	return age(m->n, p->whole_ms != 0 ? p->whole_ms : m->started_ms);
}

static double
peer_silence(const struct metrics *m, struct peer *p)
{
	return age(m->n, p->contact_ms != 0 ? p->contact_ms : m->started_ms);
}

static void
given_names(struct metrics *m, struct buf *b)
{
	const struct error_counter *c;

	each_peer(m, b, "sync_lag_seconds", "gauge",
		  "Age of the oldest version held here that the peer has not applied; 0 if none.",
		  peer_lag);
	each_peer(m, b, "pending_changes_total", "gauge",
		  "Versions held here that the peer has not applied.", peer_lacks);
	head(b, "sync_errors_total", "counter",
	     "Errors by the member they have to do with (empty: this node alone) and reason.");
	for (size_t i = 0; (c = errors_counter(m->n->errors, i)) != NULL; i++)
		text_put(b, "sync_errors_total{peer=\"%s\",reason=\"%s\"} %llu\n", c->peer,
			 c->reason, (unsigned long long)c->n);
}

/* What each peer sent and got, by the way it travelled. */
static void
transferred(struct metrics *m, struct buf *b)
{
	static const char name[] = "mimeo_transferred_bytes_total";

	head(b, name, "counter",
	     "Content exchanged with the peer: inline with its record, as a delta, or whole.");
	for (const struct peer *p = exchange_peers(m->n->exchange); p != NULL; p = p->next) {
		const struct {
			const char *direction, *kind;
			uint64_t bytes;
		} rows[] = {
			{"in", "inline", p->inline_in}, {"in", "delta", p->delta_in},
			{"in", "whole", p->whole_in},   {"out", "inline", p->inline_out},
			{"out", "delta", p->delta_out}, {"out", "whole", p->whole_out},
		};

		for (size_t i = 0; i < ARRAY_LEN(rows); i++)
			text_put(b, "%s{peer=\"%s\",direction=\"%s\",kind=\"%s\"} %llu\n", name,
				 p->name, rows[i].direction, rows[i].kind,
				 (unsigned long long)rows[i].bytes);
	}
}

static void
stream_bytes(struct metrics *m, struct buf *b)
{
	static const char name[] = "mimeo_peer_stream_bytes_total";

	head(b, name, "counter", "Bytes of the conversation with the peer, as given to SSH.");
	for (const struct peer *p = exchange_peers(m->n->exchange); p != NULL; p = p->next) {
		const struct session_stats *st = stats(p);
		uint64_t in = p->bytes_in + (st != NULL ? st->bytes_in : 0);
		uint64_t out = p->bytes_out + (st != NULL ? st->bytes_out : 0);

		text_put(b, "%s{peer=\"%s\",direction=\"in\"} %llu\n", name, p->name,
			 (unsigned long long)in);
		text_put(b, "%s{peer=\"%s\",direction=\"out\"} %llu\n", name, p->name,
			 (unsigned long long)out);
	}
}

static void
peers(struct metrics *m, struct buf *b)
{
	each_peer(m, b, "mimeo_peer_connected", "gauge", "1: there is a session with the peer.",
		  peer_up);
	each_peer(m, b, "mimeo_peer_pending_bytes", "gauge",
		  "Content of the versions held here that the peer has not applied.",
		  peer_lacks_bytes);
	each_peer(m, b, "mimeo_peer_heartbeat_age_seconds", "gauge",
		  "Time since the peer was last heard while it lacked nothing: the lag that also "
		  "grows when nothing is written.",
		  peer_heartbeat);
	each_peer(m, b, "mimeo_peer_silence_seconds", "gauge",
		  "Time since the last byte from the peer.", peer_silence);
	each_peer(m, b, "mimeo_peer_round_trip_seconds", "gauge",
		  "Smoothed round trip; 0 if not connected.", peer_rtt);
	each_peer(m, b, "mimeo_peer_clock_offset_seconds", "gauge",
		  "The peer's wall clock minus this node's.", peer_offset);
	each_peer(m, b, "mimeo_peer_reconnects_total", "counter",
		  "Sessions with the peer after the first one.", peer_reconnects);
	each_peer(m, b, "mimeo_peer_backoff_seconds", "gauge",
		  "Time until the peer is dialled again; 0 if connected.", peer_backoff);
	stream_bytes(m, b);
	transferred(m, b);
}

static uint64_t
errors_of(const struct node *n, const char *reason)
{
	const struct error_counter *c;
	uint64_t sum = 0;

	for (size_t i = 0; (c = errors_counter(n->errors, i)) != NULL; i++)
		sum += strcmp(c->reason, reason) == 0 ? c->n : 0;
	return sum;
}

static void
spread(const struct counts *c, struct buf *b)
{
	static const uint32_t bounds[COUNTS_BOUNDS] = COUNTS_BOUNDS_MS;
	static const char name[] = "mimeo_propagation_seconds";
	uint64_t sum = 0;

	head(b, name, "histogram",
	     "From being logged at the author to being applied here, clocks corrected.");
	for (unsigned i = 0; i < COUNTS_BOUNDS; i++) {
		sum += c->spread[i];
		text_put(b, "%s_bucket{le=\"%g\"} %llu\n", name, (double)bounds[i] / 1000,
			 (unsigned long long)sum);
	}
	sum += c->spread[COUNTS_BOUNDS];
	text_put(b, "%s_bucket{le=\"+Inf\"} %llu\n%s_sum %.3f\n%s_count %llu\n", name,
		 (unsigned long long)sum, name, (double)c->spread_ms / 1000, name,
		 (unsigned long long)sum);
}

static void
work(struct metrics *m, struct buf *b)
{
	const struct node *n = m->n;
	const struct counts *c = &n->counts;

	one(b, "mimeo_applied_total", "counter", "Versions of other nodes applied here.",
	    (double)c->applied);
	spread(c, b);
	one(b, "mimeo_verify_failures_total", "counter",
	    "Content that came from a member and did not have its hash.",
	    (double)errors_of(n, "hash"));
	one(b, "mimeo_rot_found_total", "counter",
	    "Files whose content no longer had its hash although nobody wrote them.",
	    (double)c->rot_found);
	one(b, "mimeo_rot_repaired_total", "counter", "Of those, put right from a member.",
	    (double)c->rot_repaired);
	head(b, "mimeo_saved_bytes_total", "counter",
	     "Content that did not have to travel: it was here already, or a delta was enough.");
	text_put(b, "mimeo_saved_bytes_total{kind=\"local\"} %llu\n",
		 (unsigned long long)c->local_bytes);
	text_put(b, "mimeo_saved_bytes_total{kind=\"delta\"} %llu\n",
		 (unsigned long long)c->delta_saved_bytes);
	head(b, "mimeo_miss_requests_total", "counter",
	     "Requests to the miss handler by what became of them.");
	text_put(b,
		 "mimeo_miss_requests_total{result=\"here\"} %llu\n"
		 "mimeo_miss_requests_total{result=\"streamed\"} %llu\n"
		 "mimeo_miss_requests_total{result=\"nobody\"} %llu\n"
		 "mimeo_miss_requests_total{result=\"late\"} %llu\n",
		 (unsigned long long)c->miss_here, (unsigned long long)c->miss_streamed,
		 (unsigned long long)c->miss_nobody, (unsigned long long)c->miss_late);
	one(b, "mimeo_miss_asked_total", "counter", "Paths that the members were asked for.",
	    (double)c->miss_asked);
	one(b, "mimeo_hook_runs_total", "counter", "Batches that the hook was run for.",
	    (double)c->hook_runs);
	one(b, "mimeo_hook_failures_total", "counter",
	    "Batches for which the hook failed, or could not be run, or was ended.",
	    (double)c->hook_failed);
	one(b, "mimeo_hook_dropped_total", "counter",
	    "Paths that the hook was not told, as it was too slow.", (double)c->hook_dropped);
}

static void
state(struct metrics *m, struct buf *b)
{
	const struct node *n = m->n;
	const struct index *x = n->index;

	one(b, "mimeo_files", "gauge", "Files and symlinks shown.", (double)x->files);
	one(b, "mimeo_file_bytes", "gauge", "Their sizes.", (double)x->bytes);
	one(b, "mimeo_directories", "gauge", "Directories shown.", (double)x->dirs);
	one(b, "mimeo_tombstones", "gauge", "Deleted paths that are remembered.",
	    (double)x->tombstones);
	one(b, "mimeo_conflicts", "gauge", "Losing concurrent versions that are kept.",
	    (double)x->conflicts);
	one(b, "mimeo_pending_paths", "gauge", "Paths that this tree does not show as it should.",
	    (double)x->todo_count);
	one(b, "mimeo_behind_seconds", "gauge",
	    "Age of the oldest change known here and not shown yet.",
	    (double)metrics_behind_ms(n) / 1000);
	one(b, "mimeo_held_deletes", "gauge", "Deletes held by guard.max_delete.",
	    (double)dotset_count(&x->held));
	one(b, "mimeo_halted", "gauge", "1: halted by the root guard.", n->halted != 0);
	one(b, "mimeo_paused", "gauge", "1: paused by `mimeo pause`.", x->paused);
	one(b, "mimeo_wal_bytes", "gauge", "Size of the log.", (double)wal_info(n->wal)->size);
	one(b, "mimeo_wal_generation", "gauge", "How often the log was written anew.",
	    (double)wal_info(n->wal)->generation);
	one(b, "mimeo_kept_files", "gauge", "Replaced, deleted and losing versions kept.",
	    (double)x->kept_files);
	one(b, "mimeo_kept_bytes", "gauge", "Their sizes.", (double)x->kept_bytes);
	one(b, "mimeo_free_bytes", "gauge", "Room on the file system of the root.",
	    (double)m->free_bytes);
	one(b, "mimeo_free_inodes", "gauge", "Inodes left on it.", (double)m->free_inodes);
	one(b, "mimeo_min_free_bytes", "gauge", "guard.min_free: below it nothing is fetched.",
	    (double)n->conf->min_free);
}

static void
watcher(struct metrics *m, struct buf *b)
{
	const struct report *r = &m->report;

	one(b, "mimeo_watcher_up", "gauge", "1: mimeo-watcher reported within 10 seconds.",
	    r->fresh);
	one(b, "mimeo_watches", "gauge", "Directories watched.", (double)r->watches);
	one(b, "mimeo_watches_limit", "gauge", "fs.inotify.max_user_watches.",
	    (double)r->watch_limit);
	one(b, "mimeo_unwatched_directories", "gauge",
	    "Directories without a watch: polled every watch.rescan.", (double)r->unwatched);
	one(b, "mimeo_watch_queue", "gauge", "Changed names that wait to be looked at.",
	    (double)r->dirty);
	one(b, "mimeo_events_total", "counter", "Events of the kernel.", (double)r->events);
	one(b, "mimeo_overflows_total", "counter",
	    "Overflows of the kernel's queue, each followed by a scan.", (double)r->overflows);
	one(b, "mimeo_hashed_bytes_total", "counter", "Content hashed by the watcher.",
	    (double)r->hashed_bytes);
	one(b, "mimeo_scan_running", "gauge", "1: the tree is being scanned.", r->scan_running);
	one(b, "mimeo_scan_done", "gauge", "Names looked at by the scan.", (double)r->scan_done);
	one(b, "mimeo_scan_expected", "gauge", "Names expected.", (double)r->scan_total);
	one(b, "mimeo_scan_timestamp_seconds", "gauge", "End of the last full scan; 0: none yet.",
	    (double)m->n->index->scanned_ms / 1000);
	one(b, "mimeo_scan_interval_seconds", "gauge", "watch.rescan.",
	    (double)m->n->conf->rescan_ms / 1000);
}

void
metrics_text(struct metrics *m, struct buf *b)
{
	head(b, "mimeo_build_info", "gauge", "What runs here; always 1.");
	text_put(b, "mimeo_build_info{version=\"" PACKAGE_VERSION "\",node=\"%s\"} 1\n",
		 m->n->conf->name);
	one(b, "mimeo_start_timestamp_seconds", "gauge", "When the agent started.",
	    (double)m->started_ms / 1000);
	given_names(m, b);
	peers(m, b);
	state(m, b);
	work(m, b);
	watcher(m, b);
}
