/* SPDX-License-Identifier: BSD-2-Clause */
/* mimeo-watcher: reads the configuration, watches the tree, and logs what changes. */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/clock.h"
#include "conf/home.h"
#include "conf/json.h"
#include "conf/lifelock.h"
#include "conf/loop.h"
#include "conf/random.h"
#include "proto/hlc.h"
#include "proto/path.h"
#include "proto/walfile.h"
#include "watcher/rehash.h"
#include "watcher/rounds.h"
#include "watcher/scan.h"

#define WORKERS 3 /* two lanes and the lock */
#define FIRST_EXCHANGE_MS                                                                          \
	60000 /* a new node with peers waits so long for one of them before it takes its files on  \
	       */
#define AWAIT_MS 2000        /* at each start: so long for what the peers hold to be known */
#define AWAIT_STALE_MS 10000 /* the same when this node, or its log, is from another time */
#define STALE_MS 60000
#define REPORT_MS 1000
#define GUARD_MS 2000

enum exit_code { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_HALTED = 5 };

struct watcher {
	const char *file;
	struct settings *conf;
	const struct ignore *ignore;
	struct log *log;
	struct loop *loop;
	struct work *work;
	struct tree *tree;
	struct walfile *walfile;
	struct wal *wal;
	struct index *index;
	struct notify *notify;
	struct watch *watch;
	struct dirty *dirty;
	struct moves *moves;
	struct scan *scan;
	struct rounds *rounds;
	struct rehash *rehash; /* after a salvage, until all is hashed; else NULL */
	struct author author;
	struct loop_timer timer;
	int wal_wd, lock;
	uint64_t started_ms, rescan_ms, report_ms, guard_ms;
	uint64_t events, overflows;
	bool salvaged; /* of the WAL records may be missing, and the files were not hashed since */
	bool started;  /* the first look may be logged */
	bool stopping, polled_told;
	char err[4096 + SETTINGS_ERROR_BYTES_MAX];
};

/* ---- events ---- */

static void
dirty_or_scan(struct watcher *w, const void *path, size_t len)
{
	if (dirty_add(w->dirty, path, len, loop_now_ms(w->loop)) < 0 && !scan_running(w->scan))
		scan_all(w->scan);
}

/* A directory went: what the index shows below it is looked at. */
static void
dirty_tree(struct watcher *w, const struct pathent *e)
{
	for (const struct pathent *c = e->child; c != NULL; c = c->sib_next) {
		if (c->shown != NULL || c->shown_dir)
			dirty_or_scan(w, c->path, c->path_len);
		dirty_tree(w, c);
	}
}

static void
dir_left(struct watcher *w, const char *path, size_t len)
{
	const struct pathent *e = index_find(w->index, path, len);

	watch_remove_below(w->watch, path, len);
	if (e != NULL)
		dirty_tree(w, e);
}

static void
overflow(struct watcher *w)
{
	w->overflows++;
	LOG(w->log, LOG_WARN, "watch.overflow",
	    "the kernel's event queue overflowed: the tree is scanned again",
	    log_u("overflows", w->overflows));
	scan_all(w->scan);
}

static void
on_name(struct watcher *w, const struct notify_event *e, const char *path, size_t len)
{
	bool dir = (e->mask & NOTIFY_ISDIR) != 0;

	if ((e->mask & NOTIFY_MOVED_FROM) != 0)
		moves_from(w->moves, e->cookie, path, len, dirty_below(w->dirty, path, len),
			   loop_now_ms(w->loop));
	if ((e->mask & NOTIFY_MOVED_TO) != 0)
		moves_to(w->moves, e->cookie, path, len);
	if (path_check(path, len) < 0 || scan_ignored(w->scan, path, len, dir))
		return;
	if (dir && (e->mask & NOTIFY_MOVED_FROM) != 0)
		dir_left(w, path, len);
	dirty_or_scan(w, path, len);
	if (dir && (e->mask & (NOTIFY_CREATE | NOTIFY_MOVED_TO)) != 0)
		scan_below(w->scan, path, len);
}

static void
on_event(void *arg, const struct notify_event *e)
{
	struct watcher *w = arg;
	char path[PATH_BYTES_MAX + PATH_NAME_BYTES_MAX + 2];
	const char *dir;
	size_t len;

	w->events++;
	if ((e->mask & NOTIFY_OVERFLOW) != 0) {
		overflow(w);
		return;
	}
	if (e->wd == w->wal_wd) {
		rounds_poke(w->rounds);
		return;
	}
	if ((e->mask & NOTIFY_IGNORED) != 0) {
		watch_gone(w->watch, e->wd);
		return;
	}
	dir = watch_path(w->watch, e->wd, &len);
	if (dir == NULL || e->name_len == 0 || len + 1 + e->name_len >= sizeof(path))
		return;
	memcpy(path, dir, len);
	if (len > 0)
		path[len++] = '/';
	memcpy(path + len, e->name, e->name_len);
	on_name(w, e, path, len + e->name_len);
}

static void
on_notify(void *arg, uint32_t events)
{
	struct watcher *w = arg;

	(void)events;
	(void)notify_read(w->notify, on_event, w);
}

/* ---- the WAL ---- */

static int
fold(void *arg, const struct entry *e)
{
	struct watcher *w = arg;
	const struct wal_info *info = wal_info(w->wal);

	if (e->type == ENTRY_SCANNED && info->size >= info->snapshot_end)
		w->salvaged = false;
	return index_fold(w->index, e);
}

static void
note(void *arg, const char *event, const char *text)
{
	struct watcher *w = arg;

	LOG(w->log, LOG_WARN, event, text);
}

static void
on_barrier(void *arg, uint64_t n)
{
	struct watcher *w = arg;

	if (w->rounds != NULL)
		rounds_barrier(w->rounds, n);
}

/* The agent compacted: the name is another file now. */
static void
watch_wal(struct watcher *w)
{
	char path[4200];
	int wd;

	snprintf(path, sizeof(path), "%s/wal", w->conf->state);
	wd = notify_add(w->notify, path, NOTIFY_MODIFY);
	if (wd < 0 || wd == w->wal_wd)
		return;
	if (w->wal_wd >= 0)
		(void)notify_rm(w->notify, w->wal_wd);
	w->wal_wd = wd;
	if (w->rounds != NULL)
		rounds_poke(w->rounds); /* what came before the watch */
}

/* ---- what rounds ask ---- */

static void
on_fatal(void *arg, const char *what, int error)
{
	struct watcher *w = arg;

	LOG(w->log, LOG_ERROR, "fatal", what, log_err(error));
	w->stopping = true;
	loop_stop(w->loop, EXIT_FAILED);
}

static bool
may_log(void *arg)
{
	struct watcher *w = arg;
	int r = home_guard(w->tree, wal_info(w->wal), w->conf->root, w->err, sizeof(w->err));

	if (r == 0)
		return true;
	if (!w->stopping) {
		LOG(w->log, LOG_ERROR, "guard.halted", w->err);
		w->stopping = true;
		loop_stop(w->loop, EXIT_HALTED);
	}
	return false;
}

/*
 * The WAL may be an old copy, and the tree newer, with what others wrote and this log knows nothing
 * of. So what was found at a start is logged only when the peers' records are known; then it is
 * seen to be theirs. Without any peer it is logged a little later.
 */
static bool
knows_peers(struct watcher *w)
{
	uint64_t waited = loop_now_ms(w->loop) - w->started_ms, last = hlc_ms(w->index->hlc);
	bool stale = clock_wall_ms() > last + STALE_MS;

	if (!w->started)
		w->started = (rounds_await(w->rounds) && w->index->exchanged) ||
			     waited >= (stale ? AWAIT_STALE_MS : AWAIT_MS);
	return w->started;
}

/* With peers, a first scan waits for one complete exchange, so that what the cluster has is adopted
 * and not added again; and so does the first one with a salvaged WAL. */
static bool
may_start(void *arg)
{
	struct watcher *w = arg;

	if (w->conf->peer_count == 0 && w->index->nmembers <= 1)
		return true;
	if (!w->author.import && !w->salvaged)
		return knows_peers(w);
	return (rounds_await(w->rounds) && w->index->exchanged) ||
	       loop_now_ms(w->loop) - w->started_ms >= FIRST_EXCHANGE_MS;
}

/* ---- one turn ---- */

static void
report(struct watcher *w, uint64_t now)
{
	char path[4200], temp[4210];
	struct json j;
	const char *text;
	size_t len;
	FILE *f;

	if (now < w->report_ms)
		return;
	w->report_ms = now + REPORT_MS;
	json_init(&j);
	json_obj_open(&j, NULL);
	json_bool(&j, "running", scan_running(w->scan));
	json_uint(&j, "done", scan_done_names(w->scan));
	json_uint(&j, "total",
		  w->index->files + w->index->dirs > scan_done_names(w->scan)
			  ? w->index->files + w->index->dirs
			  : scan_done_names(w->scan));
	json_uint(&j, "pid", (uint64_t)getpid());
	json_uint(&j, "held", rounds_held(w->rounds));
	json_uint(&j, "dirty", dirty_count(w->dirty));
	json_uint(&j, "watches", watch_count(w->watch));
	json_uint(&j, "unwatched", watch_polled(w->watch));
	json_uint(&j, "events", w->events);
	json_uint(&j, "overflows", w->overflows);
	json_uint(&j, "hashed_bytes", rounds_hashed_bytes(w->rounds));
	json_obj_close(&j);
	text = json_text(&j, &len);
	snprintf(path, sizeof(path), "%s/watcher.json", w->conf->run);
	snprintf(temp, sizeof(temp), "%s.new", path);
	f = json_failed(&j) ? NULL : fopen(temp, "we");
	if (f != NULL) {
		bool good = fwrite(text, 1, len, f) == len;

		if (fclose(f) == 0 && good)
			(void)rename(temp, path);
	}
	json_free(&j);
}

static void
tell_polled(struct watcher *w)
{
	uint64_t max, queued, instances;

	if (watch_polled(w->watch) == 0 || w->polled_told)
		return;
	w->polled_told = true;
	notify_limits(&max, &queued, &instances);
	LOG(w->log, LOG_WARN, "watch.limit",
	    "more directories than inotify watches: the rest is polled every watch.rescan; raise "
	    "it with: sysctl fs.inotify.max_user_watches=524288",
	    log_u("needed", watch_count(w->watch) + watch_polled(w->watch)), log_u("limit", max));
}

/* With a salvaged WAL a signature proves nothing: the record of what it was taken of may be lost.
 */
static void
hash_again(struct watcher *w, uint64_t now)
{
	if (!w->salvaged || !may_start(w) || scan_running(w->scan) || w->author.import)
		return;
	if (w->rehash == NULL) {
		w->rehash = rehash_new(w->index, w->dirty, w->conf->scrub_rate);
		if (w->rehash == NULL) {
			on_fatal(w, "out of memory", -ENOMEM);
			return;
		}
		LOG(w->log, LOG_INFO, "rehash.start",
		    "the WAL was salvaged: every file is hashed again");
	}
	if (!rehash_turn(w->rehash, now))
		return;
	rehash_free(w->rehash);
	w->rehash = NULL;
	w->salvaged = false;
	rounds_rehashed(w->rounds, w->index->files);
	LOG(w->log, LOG_INFO, "rehash.done", "every file was hashed again");
}

static void
turn(void *arg)
{
	struct watcher *w = arg;
	uint64_t now = clock_mono_ms(), at;
	bool more;

	if (w->stopping)
		return;
	if (now >= w->guard_ms) {
		w->guard_ms = now + GUARD_MS;
		if (!may_log(w))
			return;
	}
	if (now >= w->rescan_ms) {
		w->rescan_ms = now + w->conf->rescan_ms;
		scan_all(w->scan);
	}
	more = scan_slice(w->scan, now);
	if (scan_full_done(w->scan)) {
		tell_polled(w);
		rounds_scanned(w->rounds, scan_done_names(w->scan));
	}
	rounds_scanning(w->rounds, scan_running(w->scan));
	hash_again(w, now);
	watch_wal(w);
	rounds_turn(w->rounds, now, clock_wall_ms(), clock_wall_ns());
	report(w, now);
	at = rounds_deadline(w->rounds);
	if (w->rehash != NULL && rehash_deadline(w->rehash) < at)
		at = rehash_deadline(w->rehash);
	at = at < now + GUARD_MS ? at : now + GUARD_MS;
	loop_timer_set(w->loop, &w->timer, more ? now : at);
}

static void
on_timer(void *arg)
{
	(void)arg; /* the turn that follows does the work */
}

static void
on_stop(void *arg, int signo)
{
	struct watcher *w = arg;

	LOG(w->log, LOG_INFO, "stop", signo == SIGTERM ? "SIGTERM" : "SIGINT");
	loop_stop(w->loop, EXIT_OK);
}

static void
on_reload(void *arg, int signo)
{
	struct watcher *w = arg;
	struct settings *fresh;

	(void)signo;
	if (settings_load(w->file, &fresh, w->err, sizeof(w->err)) < 0) {
		LOG(w->log, LOG_ERROR, "reload.refused", w->err);
		return;
	}
	log_set_level(w->log, fresh->log_level);
	dirty_set_settle(w->dirty, fresh->settle_ms);
	rounds_conf(w->rounds, fresh);
	w->author.immutable = fresh->immutable;
	w->author.node = fresh->name;
	w->ignore = fresh->ignore;
	settings_free(w->conf);
	w->conf = fresh;
	scan_all(w->scan);
	LOG(w->log, LOG_INFO, "reload.done",
	    "the configuration was read again, the tree is scanned");
}

/* ---- opening ---- */

static int
refuse(struct watcher *w, int code)
{
	LOG(w->log, LOG_ERROR, "start.refused", w->err);
	return code;
}

static int
take_lock(struct watcher *w)
{
	char path[4200];

	if (mkdir(w->conf->run, 0750) < 0 && errno != EEXIST) {
		snprintf(w->err, sizeof(w->err), "%s: cannot be made: %s (was `mimeo init` run?)",
			 w->conf->run, strerror(errno));
		return -errno;
	}
	snprintf(path, sizeof(path), "%s/watcher.lock", w->conf->state);
	w->lock = lifelock_take(path);
	if (w->lock == -EBUSY)
		snprintf(w->err, sizeof(w->err),
			 "%s: another mimeo-watcher runs on this state directory", path);
	else if (w->lock < 0)
		snprintf(w->err, sizeof(w->err), "%s: %s", path, strerror(-w->lock));
	return w->lock < 0 ? w->lock : 0;
}

static int
open_wal(struct watcher *w)
{
	struct wal_user user = {w, fold, note};
	struct wal_dev dev;
	int r = walfile_open(w->conf->state, &w->walfile);

	if (r < 0) {
		snprintf(w->err, sizeof(w->err), "%s: cannot be used as state directory: %s%s",
			 w->conf->state, strerror(-r),
			 r == -EPERM ? " (it must be this user's, mode 0700)" : "");
		return r;
	}
	dev = walfile_dev(w->walfile);
	r = home_prepare(w->conf->state, w->tree, &dev, clock_wall_ms(), w->err, sizeof(w->err));
	if (r < 0)
		return r;
	w->index = index_new(random_u64(), w->conf->name);
	w->wal = wal_new(&dev, &user);
	w->salvaged = true;
	r = w->index != NULL && w->wal != NULL ? wal_open(w->wal) : -ENOMEM;
	if (r < 0)
		snprintf(w->err, sizeof(w->err), "%s/wal: cannot be opened: %s", w->conf->state,
			 strerror(-r));
	else
		w->salvaged = w->salvaged && wal_info(w->wal)->salvaged;
	return r;
}

static int
open_watching(struct watcher *w)
{
	struct scan_opts so = {w->tree, w->index, NULL, NULL, w->log, &w->ignore};
	struct rounds_opts ro = {.conf = w->conf,
				 .tree = w->tree,
				 .index = w->index,
				 .wal = w->wal,
				 .work = w->work,
				 .log = w->log,
				 .author = &w->author,
				 .arg = w,
				 .fatal = on_fatal,
				 .may_log = may_log,
				 .may_start = may_start};

	w->notify = notify_new();
	if (w->notify == NULL) {
		snprintf(w->err, sizeof(w->err),
			 "no inotify instance: raise fs.inotify.max_user_instances");
		return -EMFILE;
	}
	w->dirty = dirty_new(w->conf->settle_ms, random_u64());
	w->moves = moves_new();
	w->watch = watch_new(w->tree, w->notify);
	so.watch = w->watch;
	so.dirty = ro.dirty = w->dirty;
	ro.moves = w->moves;
	w->scan = w->dirty != NULL && w->watch != NULL ? scan_new(&so) : NULL;
	w->rounds = w->scan != NULL && w->moves != NULL ? rounds_new(&ro) : NULL;
	if (w->rounds == NULL ||
	    loop_fd_add(w->loop, notify_fd(w->notify), EPOLLIN, on_notify, w) < 0) {
		snprintf(w->err, sizeof(w->err), "out of memory");
		return -ENOMEM;
	}
	watch_wal(w);
	return 0;
}

/* Is the WAL an old copy: did the tree see one that knew more? What differs from it then is not
 * news: it ranks below all that the others have. Over once a scan was logged since. */
static bool
from_backup(struct watcher *w)
{
	const struct wal_info *i = wal_info(w->wal);
	struct tree_log here = {.store = i->store, .generation = i->generation, .size = i->size},
			seen;

	if (tree_log_read(w->conf->work, &seen) < 0 || !tree_log_newer(&seen, &here) ||
	    (int64_t)w->index->scanned_ms > seen.when_ms)
		return false;
	LOG(w->log, LOG_WARN, "start.backup",
	    "the WAL is an older copy than the one the tree has seen: what differs is taken on as "
	    "in a first scan");
	return true;
}

static int
open_all(struct watcher *w)
{
	struct tree_opts to = {w->conf->root, NULL};
	int r;

	if (take_lock(w) < 0 || tree_open(&to, &w->tree, w->err, sizeof(w->err)) < 0)
		return refuse(w, EXIT_FAILED);
	r = open_wal(w);
	if (r < 0)
		return refuse(w, r == -ENOTRECOVERABLE ? EXIT_HALTED : EXIT_FAILED);
	if (home_guard(w->tree, wal_info(w->wal), w->conf->root, w->err, sizeof(w->err)) < 0)
		return refuse(w, EXIT_HALTED);
	w->work = work_new(w->loop, WORKERS);
	if (w->work == NULL || open_watching(w) < 0)
		return refuse(w, EXIT_FAILED);
	w->index->arg = w;
	w->index->on_barrier = on_barrier;
	w->author = (struct author){.index = w->index,
				    .tree = w->tree,
				    .node = w->conf->name,
				    .store = wal_info(w->wal)->store,
				    .next_origin = random_u64(),
				    .hlc = w->index->hlc_own,
				    .import = w->index->scanned_ms == 0 || from_backup(w),
				    .immutable = w->conf->immutable};
	if (w->index->barrier > w->index->answered)
		rounds_barrier(w->rounds, w->index->barrier);
	return EXIT_OK;
}

static void
close_all(struct watcher *w)
{
	work_free(w->work);
	rounds_free(w->rounds);
	rehash_free(w->rehash);
	scan_free(w->scan);
	watch_free(w->watch);
	moves_free(w->moves);
	dirty_free(w->dirty);
	if (w->notify != NULL) {
		loop_fd_del(w->loop, notify_fd(w->notify));
		notify_free(w->notify);
	}
	wal_free(w->wal);
	index_free(w->index);
	walfile_close(w->walfile);
	tree_close(w->tree);
	loop_free(w->loop);
	log_free(w->log);
	settings_free(w->conf);
	if (w->lock >= 0)
		close(w->lock);
}

static int
run(struct watcher *w)
{
	int code;

	w->loop = loop_new();
	if (w->loop == NULL || loop_signal(w->loop, SIGTERM, on_stop, w) < 0 ||
	    loop_signal(w->loop, SIGINT, on_stop, w) < 0 ||
	    loop_signal(w->loop, SIGHUP, on_reload, w) < 0) {
		snprintf(w->err, sizeof(w->err), "no event loop: %s", strerror(errno));
		return refuse(w, EXIT_FAILED);
	}
	code = open_all(w);
	if (code != EXIT_OK)
		return code;
	w->started_ms = clock_mono_ms();
	w->rescan_ms = w->started_ms;
	loop_timer_init(&w->timer, on_timer, w);
	loop_before_sleep(w->loop, turn, w);
	LOG(w->log, LOG_INFO, "start", "mimeo-watcher " PACKAGE_VERSION,
	    log_s("node", w->conf->name), log_s("root", w->conf->root),
	    log_u("files", w->index->files));
	return loop_run(w->loop);
}

/* ---- arguments ---- */

static const char help[] =
	"usage: mimeo-watcher [-c FILE]\n"
	"\n"
	"Watches the mirrored directory and logs what changes; mimeo-agent takes it from there. It "
	"never\n"
	"changes the directory. Runs in the foreground and logs to standard error.\n"
	"\n"
	"  -c FILE     configuration (else $MIMEO_CONF, else " SYSCONFDIR "/mimeo/mimeo.conf)\n"
	"  --help      this text\n"
	"  --version   the version\n"
	"\n"
	"example: mimeo-watcher -c /etc/mimeo/mimeo.conf\n";

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'V'}, {0}};
	struct watcher w = {.lock = -1, .wal_wd = -1};
	const char *env = getenv("MIMEO_CONF");
	int c, code;

	w.file = env != NULL && env[0] != '\0' ? env : SYSCONFDIR "/mimeo/mimeo.conf";
	while ((c = getopt_long(argc, argv, "c:", options, NULL)) != -1) {
		if (c == 'c') {
			w.file = optarg;
		} else if (c == 'h') {
			fputs(help, stdout);
			return EXIT_OK;
		} else if (c == 'V') {
			puts("mimeo-watcher " PACKAGE_VERSION);
			return EXIT_OK;
		} else {
			fputs(help, stderr);
			return EXIT_USAGE;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "mimeo-watcher: %s: no such argument\n%s", argv[optind], help);
		return EXIT_USAGE;
	}
	if (settings_load(w.file, &w.conf, w.err, sizeof(w.err)) < 0) {
		fprintf(stderr, "%s\n", w.err);
		return EXIT_USAGE;
	}
	w.ignore = w.conf->ignore;
	w.log = log_new(w.conf->log_format, w.conf->log_level, NULL, NULL);
	code = run(&w);
	close_all(&w);
	return code;
}
