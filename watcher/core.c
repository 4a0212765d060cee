/* SPDX-License-Identifier: BSD-2-Clause */
/* The watcher's parts and how they are wired: events in, dirty names, scans, rounds. */
#include "config.h"

#include "watcher/core.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "conf/home.h"
#include "proto/backoff.h"
#include "proto/hlc.h"
#include "proto/path.h"
#include "proto/seeded.h"
#include "watcher/rehash.h"
#include "watcher/rounds.h"
#include "watcher/scan.h"

#define UNSURE_MS 500 /* first delay before what could not be seen is looked for again */

struct core {
	struct core_opts o;
	const struct ignore *ignore;
	struct wal *wal;
	struct index *index;
	struct dirty *dirty;
	struct moves *moves;
	struct scan *scan;
	struct rounds *rounds;
	struct rehash *rehash; /* after a salvage, until all is hashed; else NULL */
	struct author author;
	uint64_t now_ms, wall_ms, started_ms, rescan_ms, guard_ms;
	struct backoff unsure;
	uint64_t events, overflows;
	bool salvaged; /* of the WAL records may be missing, and the files were not hashed since */
	bool started;  /* the first look may be logged */
	bool blind;    /* changes came about that no event told: known when a full scan is over */
	bool stopped;
	char err[4096];
};

/* Something was not seen: the next scan comes soon, or later and later if that does not help. */
static void
scan_soon(struct core *c)
{
	uint64_t at = c->now_ms + backoff_fail(&c->unsure);

	if (at < c->rescan_ms)
		c->rescan_ms = at;
}

/* ---- events ---- */

static void
dirty_or_scan(struct core *c, const void *path, size_t len)
{
	if (dirty_add(c->dirty, path, len, c->now_ms) < 0)
		scan_soon(c);
}

/* A directory went: what the index shows below it is looked at. */
static void
dirty_tree(struct core *c, const struct pathent *e)
{
	for (const struct pathent *k = e->child; k != NULL; k = k->sib_next) {
		if (k->shown != NULL || k->shown_dir)
			dirty_or_scan(c, k->path, k->path_len);
		dirty_tree(c, k);
	}
}

static void
dir_left(struct core *c, const char *path, size_t len)
{
	const struct pathent *e = index_find(c->index, path, len);

	watch_remove_below(c->o.watch, path, len);
	if (e != NULL)
		dirty_tree(c, e);
}

/* Until a scan has found what no event told, nobody is answered that all is logged. */
static void
blind(struct core *c, bool on)
{
	c->blind = on;
	rounds_blind(c->rounds, on);
}

static void
overflow(struct core *c)
{
	c->overflows++;
	LOG(c->o.log, LOG_WARN, "watch.overflow",
	    "the kernel's event queue overflowed: the tree is scanned again",
	    log_u("overflows", c->overflows));
	if (!SEEDED(overflow_ignored))
		scan_all(c->scan);
	blind(c, true);
	rounds_poke(c->rounds); /* the WAL's events were among them, perhaps */
}

static void
on_name(struct core *c, const struct notify_event *e, const char *path, size_t len)
{
	bool dir = (e->mask & NOTIFY_ISDIR) != 0;

	if ((e->mask & NOTIFY_MOVED_FROM) != 0)
		moves_from(c->moves, e->cookie, path, len, dirty_below(c->dirty, path, len),
			   c->now_ms);
	if ((e->mask & NOTIFY_MOVED_TO) != 0)
		moves_to(c->moves, e->cookie, path, len);
	if (path_check(path, len) < 0 || scan_ignored(c->scan, path, len, dir))
		return;
	if (dir && (e->mask & NOTIFY_MOVED_FROM) != 0)
		dir_left(c, path, len);
	dirty_or_scan(c, path, len);
	if ((e->mask & (NOTIFY_MOVED_FROM | NOTIFY_MOVED_TO)) == 0)
		dirty_touched(c->dirty, path, len);
	if (dir && (e->mask & (NOTIFY_CREATE | NOTIFY_MOVED_TO)) != 0)
		scan_below(c->scan, path, len);
}

void
core_event(struct core *c, const struct notify_event *e, uint64_t now_ms)
{
	char path[PATH_BYTES_MAX + PATH_NAME_BYTES_MAX + 2];
	const char *dir;
	size_t len;

	c->now_ms = now_ms;
	c->events++;
	if ((e->mask & NOTIFY_OVERFLOW) != 0) {
		overflow(c);
		return;
	}
	if ((e->mask & NOTIFY_IGNORED) != 0) {
		watch_gone(c->o.watch, e->wd);
		return;
	}
	dir = watch_path(c->o.watch, e->wd, &len);
	if (dir == NULL || e->name_len == 0 || len + 1 + e->name_len >= sizeof(path))
		return;
	memcpy(path, dir, len);
	if (len > 0)
		path[len++] = '/';
	memcpy(path + len, e->name, e->name_len);
	on_name(c, e, path, len + e->name_len);
}

void
core_wal_changed(struct core *c)
{
	rounds_poke(c->rounds);
}

/* ---- the WAL ---- */

/* The agent is not sure that what it put or found there is still there, unchanged (the entry may
 * have had to wait for room). The event that would tell may have come before the index knew. */
static bool
unsure(const struct entry *e)
{
	return e->type == ENTRY_APPLIED &&
	       (e->sig.provisional || ((e->flags & APPLIED_SHOWN) != 0 && e->sig.kind != KIND_DIR &&
				       e->sig.ctime_ns == 0));
}

/* A directory that the agent made, or whatever it put into one, may have been moved away with what
 * it lies in before that was watched: what the index shows where nothing is above it is not there.
 * No signature of a directory would ever tell. */
static bool
misplaced(const struct core *c, const struct entry *e)
{
	const struct pathent *ent;

	if (e->type != ENTRY_APPLIED || (e->flags & APPLIED_SHOWN) == 0)
		return false;
	if (e->sig.kind == KIND_DIR)
		return true;
	ent = index_find(c->index, e->path, e->path_len);
	return ent != NULL && ent->parent != NULL && ent->parent->parent != NULL &&
	       !ent->parent->shown_dir && ent->parent->shown == NULL;
}

/* What the agent does while the tree is scanned may be undone by a user before its directory is
 * watched, and be in the index only after the scan was there. */
static bool
unwatched(const struct core *c, const struct entry *e)
{
	return (e->type == ENTRY_APPLIED || e->type == ENTRY_INTENT) &&
	       (scan_running(c->scan) || rounds_scan_open(c->rounds));
}

static void
look_again(struct core *c, const void *path, size_t len)
{
	if (!scan_ignored(c->scan, path, len, false))
		dirty_or_scan(c, path, len);
}

static int
fold(void *arg, const struct entry *e)
{
	struct core *c = arg;
	const struct wal_info *info = wal_info(c->wal);
	int r = index_fold(c->index, e);

	if (e->type == ENTRY_SCANNED && e->num != 0 && info->size >= info->snapshot_end)
		c->salvaged = false;
	if (r < 0 || c->rounds == NULL || !(unsure(e) || misplaced(c, e) || unwatched(c, e)))
		return r;
	look_again(c, e->path, e->path_len);
	if (e->type == ENTRY_INTENT && e->action == ACTION_MOVE)
		look_again(c, e->from, e->from_len);
	return r;
}

static void
note(void *arg, const char *event, const char *text)
{
	struct core *c = arg;

	if (strcmp(event, "wal.torn") == 0)
		LOG(c->o.log, LOG_INFO, "wal.torn", text);
	else
		LOG(c->o.log, LOG_WARN, event, text);
}

static void
on_barrier(void *arg, uint64_t n)
{
	struct core *c = arg;

	if (c->rounds == NULL)
		return;
	c->o.drain(c->o.arg);
	rounds_barrier(c->rounds, n);
}

/* ---- what rounds ask ---- */

static void
on_fatal(void *arg, const char *what, int error)
{
	struct core *c = arg;

	LOG(c->o.log, LOG_ERROR, "fatal", what, log_err(error), log_s("root", c->o.conf->root),
	    log_s("state", c->o.conf->state));
	c->stopped = true;
	c->o.fatal(c->o.arg, what, error);
}

int
core_guard(struct core *c, char *err, size_t err_len)
{
	return home_guard(c->o.tree, wal_info(c->wal), c->o.conf->root, err, err_len);
}

static bool
may_log(void *arg)
{
	struct core *c = arg;
	int r = core_guard(c, c->err, sizeof(c->err));

	if (SEEDED(guard_off) || r == 0)
		return true;
	if (home_unsure(r)) {
		LOG(c->o.log, LOG_WARN, "guard.unsure",
		    "the root cannot be looked at now: nothing is logged until it can",
		    log_s("root", c->o.conf->root), log_err(r));
	} else if (!c->stopped) {
		LOG(c->o.log, LOG_ERROR, "guard.halted", c->err);
		c->stopped = true;
		c->o.halted(c->o.arg, c->err);
	}
	return false;
}

/*
 * The WAL may be an old copy, and the tree newer, with what others wrote and this log knows nothing
 * of. So what was found at a start is logged only when the peers' records are known; then it is
 * seen to be theirs. Without any peer it is logged a little later.
 */
static bool
knows_peers(struct core *c)
{
	uint64_t waited = c->now_ms - c->started_ms, last = hlc_ms(c->index->hlc);
	bool stale = c->wall_ms > last + CORE_STALE_MS;

	if (!c->started)
		c->started = (rounds_await(c->rounds) && c->index->exchanged) ||
			     waited >= (stale ? CORE_AWAIT_STALE_MS : CORE_AWAIT_MS);
	return c->started;
}

/* With peers, a first scan waits for one complete exchange, so that what the cluster has is adopted
 * and not added again; and so does the first one with a salvaged WAL. */
static bool
may_start(void *arg)
{
	struct core *c = arg;

	if (c->o.conf->peer_count == 0 && c->index->nmembers <= 1)
		return true;
	if (!c->author.import && !c->salvaged)
		return knows_peers(c);
	return (rounds_await(c->rounds) && c->index->exchanged) ||
	       c->now_ms - c->started_ms >= CORE_FIRST_EXCHANGE_MS;
}

/* ---- one turn ---- */

/* With a salvaged WAL a signature proves nothing: the record of what it was taken of may be lost.
 */
static void
hash_again(struct core *c)
{
	if (!c->salvaged || !may_start(c) || scan_running(c->scan) || c->author.import)
		return;
	if (c->rehash == NULL) {
		c->rehash = rehash_new(c->index, c->dirty, c->o.conf->scrub_rate);
		if (c->rehash == NULL) {
			on_fatal(c, "out of memory", -ENOMEM);
			return;
		}
		LOG(c->o.log, LOG_INFO, "rehash.start",
		    "the WAL was salvaged: every file is hashed again");
	}
	if (!rehash_turn(c->rehash, c->now_ms))
		return;
	rehash_free(c->rehash);
	c->rehash = NULL;
	c->salvaged = false;
	rounds_rehashed(c->rounds, c->index->files);
	LOG(c->o.log, LOG_INFO, "rehash.done", "every file was hashed again");
}

uint64_t
core_turn(struct core *c, uint64_t now_ms, uint64_t wall_ms, int64_t wall_ns)
{
	uint64_t at;
	bool more;

	c->now_ms = now_ms;
	c->wall_ms = wall_ms;
	if (c->stopped)
		return UINT64_MAX;
	if (now_ms >= c->guard_ms) {
		c->guard_ms = now_ms + CORE_GUARD_MS;
		if (!may_log(c) && c->stopped)
			return UINT64_MAX;
	}
	if (now_ms >= c->rescan_ms) {
		c->rescan_ms = now_ms + c->o.conf->rescan_ms;
		scan_all(c->scan);
	}
	more = scan_slice(c->scan, now_ms);
	if (scan_unsure(c->scan))
		scan_soon(c);
	if (scan_full_done(c->scan)) {
		if (c->rescan_ms - now_ms > c->o.conf->rescan_ms / 2)
			backoff_reset(&c->unsure);
		rounds_scanned(c->rounds, scan_done_names(c->scan));
		if (c->blind)
			blind(c, false);
	}
	rounds_scanning(c->rounds, scan_running(c->scan));
	hash_again(c);
	rounds_turn(c->rounds, now_ms, wall_ms, wall_ns);
	at = rounds_deadline(c->rounds);
	if (c->rehash != NULL && rehash_deadline(c->rehash) < at)
		at = rehash_deadline(c->rehash);
	at = at < c->guard_ms ? at : c->guard_ms;
	at = at < c->rescan_ms ? at : c->rescan_ms;
	return more ? now_ms : at;
}

void
core_reconfigured(struct core *c, const struct settings *conf)
{
	dirty_set_settle(c->dirty, conf->settle_ms);
	rounds_conf(c->rounds, conf);
	c->author.immutable = conf->immutable;
	c->author.node = conf->name;
	c->ignore = conf->ignore;
	c->o.conf = conf;
	scan_all(c->scan);
	blind(c, true); /* what was ignored until now gave no event that counted */
}

struct core_stats
core_stats(const struct core *c)
{
	uint64_t known = c->index->files + c->index->dirs;
	struct core_stats s = {
		.files = c->index->files,
		.done = scan_done_names(c->scan),
		.dirty = dirty_count(c->dirty),
		.held = rounds_held(c->rounds),
		.events = c->events,
		.overflows = c->overflows,
		.hashed = rounds_hashed_bytes(c->rounds),
		.records = c->author.records,
		.scanning = scan_running(c->scan),
		.idle = rounds_idle(c->rounds),
	};

	s.total = known > s.done ? known : s.done;
	return s;
}

/* ---- life ---- */

static int
open_wal(struct core *c)
{
	struct wal_user user = {c, fold, note};
	int r;

	c->index = index_new(c->o.seed, c->o.conf->name);
	c->wal = wal_new(c->o.dev, &user);
	c->salvaged = true; /* unless a scan that ended since is read */
	r = c->index != NULL && c->wal != NULL ? wal_open(c->wal) : -ENOMEM;
	c->salvaged = r == 0 && c->salvaged && wal_info(c->wal)->salvaged;
	return r;
}

static int
make_parts(struct core *c)
{
	struct scan_opts so = {c->o.tree, c->index, c->o.watch, NULL, c->o.log, &c->ignore};
	struct rounds_opts ro = {.conf = c->o.conf,
				 .tree = c->o.tree,
				 .index = c->index,
				 .wal = c->wal,
				 .work = c->o.work,
				 .log = c->o.log,
				 .author = &c->author,
				 .arg = c,
				 .fatal = on_fatal,
				 .may_log = may_log,
				 .may_start = may_start};

	c->dirty = dirty_new(c->o.conf->settle_ms, c->o.seed);
	c->moves = moves_new();
	so.dirty = ro.dirty = c->dirty;
	ro.moves = c->moves;
	c->scan = c->dirty != NULL ? scan_new(&so) : NULL;
	c->rounds = c->scan != NULL && c->moves != NULL ? rounds_new(&ro) : NULL;
	return c->rounds != NULL ? 0 : -ENOMEM;
}

/* Is the WAL an old copy: did the tree see one that knew more? What differs from it then is not
 * news: it ranks below all that the others have. Over once a scan was logged since. The log itself
 * says so from then on (ENTRY_SCANNED of time 0), as it may have grown beyond what the tree saw by
 * the next start. */
static bool
from_backup(struct core *c)
{
	const struct wal_info *i = wal_info(c->wal);
	struct tree_log here = {.store = i->store, .generation = i->generation, .size = i->size};

	if (SEEDED(backup_trusted) || c->o.seen.store == 0 || !tree_log_newer(&c->o.seen, &here) ||
	    (int64_t)c->index->scanned_ms > c->o.seen.when_ms)
		return false;
	LOG(c->o.log, LOG_WARN, "start.backup",
	    "the WAL is an older copy than the one the tree has seen: what differs is taken on as "
	    "in a first scan");
	return true;
}

static void
begin(struct core *c)
{
	bool backup = from_backup(c);

	if (backup && c->index->scanned_ms != 0)
		rounds_anew(c->rounds);
	c->index->arg = c;
	c->index->on_barrier = on_barrier;
	c->author = (struct author){.index = c->index,
				    .tree = c->o.tree,
				    .node = c->o.conf->name,
				    .store = wal_info(c->wal)->store,
				    .next_origin = c->o.random(c->o.arg),
				    .random = c->o.random,
				    .random_arg = c->o.arg,
				    .hlc = hlc_seen(0, c->index->hlc, c->o.wall_ms),
				    .import = (c->index->scanned_ms == 0 || backup) &&
					      !SEEDED(first_scan_wins),
				    .immutable = c->o.conf->immutable};
	blind(c, true);
	if (c->index->barrier > c->index->answered)
		rounds_barrier(c->rounds, c->index->barrier);
	for (const struct intent *in = c->index->intents; in != NULL; in = in->next) {
		look_again(c, in->ent->path, in->ent->path_len);
		if (in->from != NULL)
			look_again(c, in->from->path, in->from->path_len);
	}
}

int
core_open(const struct core_opts *o, struct core **out)
{
	struct core *c = calloc(1, sizeof(*c));
	int r;

	*out = NULL;
	if (c == NULL)
		return -ENOMEM;
	c->o = *o;
	c->ignore = o->conf->ignore;
	c->now_ms = c->started_ms = c->rescan_ms = o->now_ms;
	c->wall_ms = o->wall_ms;
	backoff_init(&c->unsure, UNSURE_MS, (uint32_t)o->conf->rescan_ms, o->seed);
	r = open_wal(c);
	if (r == 0)
		r = make_parts(c);
	if (r < 0) {
		core_close(c);
		return r;
	}
	begin(c);
	*out = c;
	return 0;
}

void
core_close(struct core *c)
{
	if (c == NULL)
		return;
	rounds_free(c->rounds);
	rehash_free(c->rehash);
	scan_free(c->scan);
	moves_free(c->moves);
	dirty_free(c->dirty);
	wal_free(c->wal);
	index_free(c->index);
	free(c);
}
