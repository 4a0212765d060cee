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
#include "proto/walfile.h"
#include "watcher/core.h"

#define WORKERS 3 /* two lanes and the lock */
#define REPORT_MS 1000

enum exit_code { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_HALTED = 5 };

struct watcher {
	const char *file;
	struct settings *conf;
	struct log *log;
	struct loop *loop;
	struct work *work;
	struct tree *tree;
	struct walfile *walfile;
	struct notify *notify;
	struct watch *watch;
	struct core *core;
	struct loop_timer timer;
	int wal_wd, lock;
	uint64_t report_ms;
	bool stopping, polled_told;
	char err[4096 + SETTINGS_ERROR_BYTES_MAX];
};

/* ---- events ---- */

static void
on_event(void *arg, const struct notify_event *e)
{
	struct watcher *w = arg;

	if (e->wd != w->wal_wd || (e->mask & NOTIFY_OVERFLOW) != 0)
		core_event(w->core, e, loop_now_ms(w->loop));
	else if (strcmp(e->name, "wal") == 0)
		core_wal_changed(w->core);
}

static void
on_notify(void *arg, uint32_t events)
{
	struct watcher *w = arg;

	(void)events;
	(void)notify_read(w->notify, on_event, w);
}

static void
drain(void *arg)
{
	struct watcher *w = arg;

	while (notify_read(w->notify, on_event, w) > 0)
		;
}

/* By its directory: the name is another file after each compaction. */
static void
watch_wal(struct watcher *w)
{
	if (w->wal_wd < 0)
		w->wal_wd = notify_add(w->notify, w->conf->state, NOTIFY_MODIFY | NOTIFY_MOVED_TO);
	if (w->wal_wd < 0 && w->core != NULL) /* no watch is left: it is looked at every turn */
		core_wal_changed(w->core);
}

/* ---- what the core tells ---- */

static void
on_fatal(void *arg, const char *what, int error)
{
	struct watcher *w = arg;

	(void)what;
	(void)error;
	w->stopping = true;
	loop_stop(w->loop, EXIT_FAILED);
}

static void
on_halted(void *arg, const char *text)
{
	struct watcher *w = arg;

	(void)text;
	w->stopping = true;
	loop_stop(w->loop, EXIT_HALTED);
}

static uint64_t
next_origin(void *arg)
{
	(void)arg;
	return random_u64();
}

/* ---- one turn ---- */

static void
report(struct watcher *w, uint64_t now)
{
	struct core_stats s = core_stats(w->core);
	char path[4200], temp[4210];
	uint64_t limit, queued, instances;
	struct json j;
	const char *text;
	size_t len;
	FILE *f;

	if (now < w->report_ms)
		return;
	w->report_ms = now + REPORT_MS;
	json_init(&j);
	json_obj_open(&j, NULL);
	json_bool(&j, "running", s.scanning);
	json_uint(&j, "done", s.done);
	json_uint(&j, "total", s.total);
	json_uint(&j, "pid", (uint64_t)getpid());
	json_uint(&j, "dirty", s.dirty);
	json_uint(&j, "held", s.held);
	json_uint(&j, "watches", watch_count(w->watch));
	json_uint(&j, "unwatched", watch_polled(w->watch));
	notify_limits(&limit, &queued, &instances);
	json_uint(&j, "watch_limit", limit);
	json_uint(&j, "events", s.events);
	json_uint(&j, "overflows", s.overflows);
	json_uint(&j, "hashed_bytes", s.hashed);
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

	if (watch_polled(w->watch) == 0 || w->polled_told || core_stats(w->core).scanning)
		return;
	w->polled_told = true;
	notify_limits(&max, &queued, &instances);
	LOG(w->log, LOG_WARN, "watch.limit",
	    "more directories than inotify watches: the rest is polled every watch.rescan; raise "
	    "it with: sysctl fs.inotify.max_user_watches=524288",
	    log_u("needed", watch_count(w->watch) + watch_polled(w->watch)), log_u("limit", max));
}

static void
turn(void *arg)
{
	struct watcher *w = arg;
	uint64_t now = clock_mono_ms(), at;

	if (w->stopping)
		return;
	watch_wal(w);
	at = core_turn(w->core, now, clock_wall_ms(), clock_wall_ns());
	if (w->stopping)
		return;
	tell_polled(w);
	report(w, now);
	loop_timer_set(w->loop, &w->timer, at);
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
	core_reconfigured(w->core, fresh);
	settings_free(w->conf);
	w->conf = fresh;
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
open_home(struct watcher *w)
{
	struct wal_dev dev;
	int r = walfile_open(w->conf->state, &w->walfile);

	if (r < 0) {
		snprintf(w->err, sizeof(w->err), "%s: cannot be used as state directory: %s%s",
			 w->conf->state, strerror(-r),
			 r == -EPERM ? " (it must be this user's, mode 0700)" : "");
		return r;
	}
	dev = walfile_dev(w->walfile);
	return home_prepare(w->conf->state, w->tree, &dev, clock_wall_ms(), w->err, sizeof(w->err));
}

static int
open_watching(struct watcher *w)
{
	int r;

	w->notify = notify_new();
	if (w->notify == NULL) {
		r = -errno;
		snprintf(w->err, sizeof(w->err), "no inotify instance: %s%s", strerror(-r),
			 r == -EMFILE ? "; raise it with: sysctl fs.inotify.max_user_instances=512"
				      : "");
		return r;
	}
	w->watch = watch_new(w->tree, w->notify);
	if (w->watch == NULL ||
	    loop_fd_add(w->loop, notify_fd(w->notify), EPOLLIN, on_notify, w) < 0) {
		snprintf(w->err, sizeof(w->err), "out of memory");
		return -ENOMEM;
	}
	return 0;
}

static int
open_core(struct watcher *w)
{
	struct wal_dev dev = walfile_dev(w->walfile);
	struct core_opts o = {.conf = w->conf,
			      .log = w->log,
			      .dev = &dev,
			      .tree = w->tree,
			      .work = w->work,
			      .watch = w->watch,
			      .seed = random_u64(),
			      .random = next_origin,
			      .now_ms = clock_mono_ms(),
			      .wall_ms = clock_wall_ms(),
			      .arg = w,
			      .fatal = on_fatal,
			      .drain = drain,
			      .halted = on_halted};
	int r;

	if (tree_log_read(w->conf->work, &o.seen) < 0)
		o.seen = (struct tree_log){0};
	watch_wal(w); /* before it is read: what comes after is told */
	r = core_open(&o, &w->core);
	if (r < 0)
		snprintf(w->err, sizeof(w->err), "%s/wal: cannot be opened: %s", w->conf->state,
			 strerror(-r));
	return r;
}

static int
open_all(struct watcher *w)
{
	struct tree_opts to = {w->conf->root, NULL};
	int r;

	if (take_lock(w) < 0 || tree_open(&to, &w->tree, w->err, sizeof(w->err)) < 0)
		return refuse(w, EXIT_FAILED);
	r = open_home(w);
	if (r < 0)
		return refuse(w, r == -ENOTRECOVERABLE ? EXIT_HALTED : EXIT_FAILED);
	w->work = work_new(w->loop, WORKERS);
	if (w->work == NULL || open_watching(w) < 0 || open_core(w) < 0)
		return refuse(w, EXIT_FAILED);
	r = core_guard(w->core, w->err, sizeof(w->err));
	if (r < 0)
		return refuse(w, home_unsure(r) ? EXIT_FAILED : EXIT_HALTED);
	return EXIT_OK;
}

static void
close_all(struct watcher *w)
{
	work_free(w->work);
	core_close(w->core);
	watch_free(w->watch);
	if (w->notify != NULL) {
		loop_fd_del(w->loop, notify_fd(w->notify));
		notify_free(w->notify);
	}
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
	loop_timer_init(&w->timer, on_timer, w);
	loop_before_sleep(w->loop, turn, w);
	LOG(w->log, LOG_INFO, "start", "mimeo-watcher " PACKAGE_VERSION,
	    log_s("node", w->conf->name), log_s("root", w->conf->root),
	    log_u("files", core_stats(w->core).files));
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
	w.log = log_new(w.conf->log_format, w.conf->log_level, NULL, NULL);
	code = run(&w);
	close_all(&w);
	return code;
}
