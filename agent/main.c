/* SPDX-License-Identifier: BSD-2-Clause */
/* mimeo-agent: reads the configuration, opens everything, and runs the loop. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/apply.h"
#include "agent/control.h"
#include "agent/hook.h"
#include "agent/http.h"
#include "agent/links.h"
#include "agent/members.h"
#include "agent/node.h"
#include "agent/scout.h"
#include "conf/clock.h"
#include "conf/home.h"
#include "conf/lifelock.h"
#include "conf/loop.h"
#include "conf/notify.h"
#include "conf/random.h"
#include "proto/walfile.h"

#define WORKERS 4
#define GUARD_MS 2000      /* how often the root is looked at */
#define POLL_MS 250        /* how often the log is, where there is no watch for it */
#define FILES_WANTED 65536 /* descriptors: staged files, peers, clients */

enum exit_code { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_HALTED = 5 };

struct agent {
	const char *file;
	struct settings *conf;
	struct log *log;
	struct loop *loop;
	struct work *work;
	struct tree *tree;
	struct walfile *walfile;
	struct notify *notify;
	struct node *node;
	struct links *links;
	struct scout *scout;
	struct control *control;
	struct http *http;
	struct hook *hook;
	struct loop_timer timer;
	uint64_t guard_ms;
	uint64_t poll_ms; /* 0: the log is watched */
	int lock;
	bool stopping;
	bool members_changed; /* sshd's files are to be written */
	char err[4096 + SETTINGS_ERROR_BYTES_MAX];
};

/* ---- one turn ---- */

static void
guard(struct agent *a)
{
	char text[256] = "";
	int r;

	if (a->node->now_ms < a->guard_ms)
		return;
	a->guard_ms = a->node->now_ms + GUARD_MS;
	r = home_guard(a->tree, wal_info(a->node->wal), a->conf->root, text, sizeof(text));
	if (r < 0 && r != a->node->halted)
		LOG(a->log, LOG_ERROR, "guard.halted", text);
	else if (r == 0 && a->node->halted != 0)
		LOG(a->log, LOG_INFO, "guard.released", "the root is as it should be again");
	node_halt(a->node, r, text);
}

static void
on_member(void *arg, const struct member *m)
{
	struct agent *a = arg;

	a->members_changed = true;
	if (a->links != NULL)
		links_member(a->links, m->name);
}

static void
on_applied(void *arg, const struct record *r, const char *origin)
{
	struct agent *a = arg;

	if (a->hook != NULL)
		hook_applied(a->hook, r, origin);
}

static void
follow_members(struct agent *a)
{
	const struct index *x = a->node->index;

	if (!a->members_changed)
		return;
	a->members_changed = false;
	if (members_write_files(a->conf, x->members, x->nmembers, a->err, sizeof(a->err)) < 0) {
		LOG(a->log, LOG_ERROR, "members.files", a->err);
		errors_add(a->node->errors, a->node->wall_ms, "", "io", NULL, 0, a->err);
	}
}

/* Without a watch. */
static void
poll_wal(struct agent *a)
{
	if (a->poll_ms == 0 || a->node->now_ms < a->poll_ms)
		return;
	a->poll_ms = a->node->now_ms + POLL_MS;
	node_wal_changed(a->node);
}

static void
turn(void *arg)
{
	struct agent *a = arg;
	uint64_t at;

	if (a->stopping)
		return;
	guard(a);
	poll_wal(a);
	node_tick(a->node, clock_mono_ms(), clock_wall_ms());
	follow_members(a);
	scout_turn(a->scout);
	links_turn(a->links);
	control_turn(a->control);
	http_turn(a->http);
	at = node_deadline(a->node);
	at = links_deadline(a->links) < at ? links_deadline(a->links) : at;
	at = scout_deadline(a->scout) < at ? scout_deadline(a->scout) : at;
	at = control_deadline(a->control) < at ? control_deadline(a->control) : at;
	at = http_deadline(a->http) < at ? http_deadline(a->http) : at;
	at = a->guard_ms < at ? a->guard_ms : at;
	at = a->poll_ms != 0 && a->poll_ms < at ? a->poll_ms : at;
	loop_timer_set(a->loop, &a->timer, at);
}

static void
on_timer(void *arg)
{
	struct agent *a = arg;

	a->node->now_ms = clock_mono_ms(); /* the turn that follows does the rest */
}

static void
on_notify_event(void *arg, const struct notify_event *e)
{
	struct agent *a = arg;

	if ((e->mask & NOTIFY_OVERFLOW) != 0 || strcmp(e->name, "wal") == 0)
		node_wal_changed(a->node);
}

static void
on_notify(void *arg, uint32_t events)
{
	struct agent *a = arg;

	(void)events;
	(void)notify_read(a->notify, on_notify_event, a);
}

static void
on_fatal(void *arg, const char *what, int error)
{
	struct agent *a = arg;

	LOG(a->log, LOG_ERROR, "fatal", what, log_err(error), log_s("root", a->conf->root),
	    log_s("work", a->conf->work), log_s("state", a->conf->state));
	a->stopping = true;
	loop_stop(a->loop, EXIT_FAILED);
}

static void
on_stop(void *arg, int signo)
{
	struct agent *a = arg;

	LOG(a->log, LOG_INFO, "stop", signo == SIGTERM ? "SIGTERM" : "SIGINT");
	loop_stop(a->loop, EXIT_OK);
}

static void
on_reload(void *arg, int signo)
{
	struct agent *a = arg;
	struct settings *fresh;

	(void)signo;
	if (settings_load(a->file, &fresh, a->err, sizeof(a->err)) < 0) {
		LOG(a->log, LOG_ERROR, "reload.refused", a->err);
		return;
	}
	log_set_level(a->log, fresh->log_level);
	a->node->conf = fresh;
	a->node->ignore = fresh->ignore;
	node_reconfigured(a->node);
	links_configured(a->links);
	scout_configured(a->scout);
	members_own(a->node); /* its address may be another one */
	settings_free(a->conf);
	a->conf = fresh;
	LOG(a->log, LOG_INFO, "reload.done", "the configuration was read again");
}

/* ---- opening ---- */

static int
refuse(struct agent *a, int code)
{
	LOG(a->log, LOG_ERROR, "start.refused", a->err);
	return code;
}

static int
make_dirs(struct agent *a)
{
	const struct settings *c = a->conf;

	if ((mkdir(c->run, 0750) < 0 && errno != EEXIST)) {
		snprintf(a->err, sizeof(a->err), "%s: cannot be made: %s", c->run, strerror(errno));
		return -errno;
	}
	return 0;
}

static int
take_lock(struct agent *a)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/agent.lock", a->conf->state);
	a->lock = lifelock_take(path);
	if (a->lock == -EBUSY)
		snprintf(a->err, sizeof(a->err),
			 "%s: another mimeo-agent runs on this state directory", path);
	else if (a->lock < 0)
		snprintf(a->err, sizeof(a->err), "%s: %s (was `mimeo init` run?)", path,
			 strerror(-a->lock));
	return a->lock < 0 ? a->lock : 0;
}

/*
 * By its directory: the name is another file after each compaction. Whoever has used up the watches
 * (a watcher with many directories, most likely) does not keep the agent from running.
 */
static int
watch_wal(struct agent *a)
{
	int r = -EMFILE;

	a->notify = notify_new();
	if (a->notify != NULL)
		r = notify_add(a->notify, a->conf->state, NOTIFY_MODIFY | NOTIFY_MOVED_TO);
	if (r == -EMFILE || r == -ENOSPC) {
		notify_free(a->notify);
		a->notify = NULL;
		a->poll_ms = a->node->now_ms + POLL_MS;
		LOG(a->log, LOG_WARN, "wal.unwatched",
		    "no inotify watch or instance is left: the log is looked at a few times a "
		    "second until the next start; raise it with: sysctl "
		    "fs.inotify.max_user_watches=524288 fs.inotify.max_user_instances=512",
		    log_s("state", a->conf->state), log_err(r));
		return 0;
	}
	if (r >= 0)
		r = loop_fd_add(a->loop, notify_fd(a->notify), EPOLLIN, on_notify, a);
	if (r < 0)
		snprintf(a->err, sizeof(a->err), "%s: cannot be watched: %s", a->conf->state,
			 strerror(-r));
	return r;
}

static int
open_tree(struct agent *a)
{
	struct tree_opts o = {a->conf->root, a->conf->work};

	return tree_open(&o, &a->tree, a->err, sizeof(a->err));
}

static int
open_node(struct agent *a)
{
	struct wal_dev dev = walfile_dev(a->walfile);
	struct node_opts o = {
		.conf = a->conf,
		.ignore = a->conf->ignore,
		.log = a->log,
		.dev = &dev,
		.tree = a->tree,
		.work = a->work,
		.seed = random_u64(),
		.now_ms = clock_mono_ms(),
		.wall_ms = clock_wall_ms(),
		.arg = a,
		.fatal = on_fatal,
	};
	int r;

	if (tree_log_read(a->conf->work, &o.seen) < 0)
		o.seen = (struct tree_log){0};
	r = node_open(&o, &a->node);
	if (r < 0)
		snprintf(a->err, sizeof(a->err), "%s/wal: cannot be opened: %s", a->conf->state,
			 strerror(-r));
	else
		a->node->member = on_member;
	if (r == 0)
		a->node->applied = on_applied;
	return r;
}

static int
open_home(struct agent *a)
{
	struct wal_dev dev;
	int r = walfile_open(a->conf->state, &a->walfile);

	if (r < 0) {
		snprintf(a->err, sizeof(a->err), "%s: cannot be used as state directory: %s%s",
			 a->conf->state, strerror(-r),
			 r == -EPERM ? " (it must be this user's, mode 0700)" : "");
		return r;
	}
	dev = walfile_dev(a->walfile);
	return home_prepare(a->conf->state, a->tree, &dev, clock_wall_ms(), a->err, sizeof(a->err));
}

static int
open_all(struct agent *a)
{
	int r;

	if (make_dirs(a) < 0 || take_lock(a) < 0)
		return refuse(a, EXIT_FAILED);
	if (open_tree(a) < 0)
		return refuse(a, EXIT_FAILED);
	r = open_home(a);
	if (r < 0)
		return refuse(a, r == -ENOTRECOVERABLE ? EXIT_HALTED : EXIT_FAILED);
	a->work = work_new(a->loop, WORKERS);
	if (a->work == NULL || open_node(a) < 0)
		return refuse(a, EXIT_FAILED);
	r = home_guard(a->tree, wal_info(a->node->wal), a->conf->root, a->err, sizeof(a->err));
	if (r < 0)
		return refuse(a, home_unsure(r) ? EXIT_FAILED : EXIT_HALTED);
	if (watch_wal(a) < 0 ||
	    links_open(a->node, a->loop, &a->links, a->err, sizeof(a->err)) < 0 ||
	    control_open(a->node, a->loop, a->links, a->file, &a->control, a->err, sizeof(a->err)) <
		    0)
		return refuse(a, EXIT_FAILED);
	a->hook = hook_new(a->node, a->loop);
	a->scout = scout_open(a->node, a->loop, a->links);
	if (a->hook == NULL || a->scout == NULL ||
	    http_open(a->node, a->loop, a->links, &a->http) < 0) {
		snprintf(a->err, sizeof(a->err), "out of memory");
		return refuse(a, EXIT_FAILED);
	}
	return members_start(a->node, a->err, sizeof(a->err)) < 0 ? refuse(a, EXIT_FAILED)
								  : EXIT_OK;
}

static void
close_all(struct agent *a)
{
	http_close(a->http);
	hook_free(a->hook);
	control_close(a->control);
	scout_close(a->scout);
	links_close(a->links);
	work_free(a->work);
	node_close(a->node);
	walfile_close(a->walfile);
	tree_close(a->tree);
	if (a->notify != NULL) {
		loop_fd_del(a->loop, notify_fd(a->notify));
		notify_free(a->notify);
	}
	loop_free(a->loop);
	log_free(a->log);
	settings_free(a->conf);
	if (a->lock >= 0)
		close(a->lock);
}

static void
raise_files(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) < 0)
		return;
	l.rlim_cur = l.rlim_max < FILES_WANTED ? l.rlim_max : FILES_WANTED;
	(void)setrlimit(RLIMIT_NOFILE, &l);
}

static int
run(struct agent *a)
{
	int code;

	a->loop = loop_new();
	if (a->loop == NULL || loop_signal(a->loop, SIGTERM, on_stop, a) < 0 ||
	    loop_signal(a->loop, SIGINT, on_stop, a) < 0 ||
	    loop_signal(a->loop, SIGHUP, on_reload, a) < 0) {
		snprintf(a->err, sizeof(a->err), "no event loop: %s", strerror(errno));
		return refuse(a, EXIT_FAILED);
	}
	(void)signal(SIGPIPE, SIG_IGN);
	raise_files();
	code = open_all(a);
	if (code != EXIT_OK)
		return code;
	loop_timer_init(&a->timer, on_timer, a);
	loop_before_sleep(a->loop, turn, a);
	LOG(a->log, LOG_INFO, "start", "mimeo-agent " PACKAGE_VERSION, log_s("node", a->conf->name),
	    log_s("root", a->conf->root), log_u("files", a->node->index->files));
	return loop_run(a->loop);
}

/* ---- arguments ---- */

static const char help[] =
	"usage: mimeo-agent [-c FILE]\n"
	"\n"
	"Keeps a directory the same on several servers: exchanges what mimeo-watcher logs with the "
	"other\n"
	"members, fetches content and applies it. Runs in the foreground and logs to standard "
	"error.\n"
	"\n"
	"  -c FILE     configuration (else $MIMEO_CONF, else " SYSCONFDIR "/mimeo/mimeo.conf)\n"
	"  --help      this text\n"
	"  --version   the version\n"
	"\n"
	"example: mimeo-agent -c /etc/mimeo/mimeo.conf\n";

static const char *
conf_file(const char *given)
{
	const char *env = getenv("MIMEO_CONF");

	if (given != NULL)
		return given;
	return env != NULL && env[0] != '\0' ? env : SYSCONFDIR "/mimeo/mimeo.conf";
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'V'}, {0}};
	struct agent a = {.lock = -1};
	const char *given = NULL;
	int c, code;

	while ((c = getopt_long(argc, argv, "c:", options, NULL)) != -1) {
		if (c == 'c') {
			given = optarg;
		} else if (c == 'h') {
			fputs(help, stdout);
			return EXIT_OK;
		} else if (c == 'V') {
			puts("mimeo-agent " PACKAGE_VERSION);
			return EXIT_OK;
		} else {
			fputs(help, stderr);
			return EXIT_USAGE;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "mimeo-agent: %s: no such argument\n%s", argv[optind], help);
		return EXIT_USAGE;
	}
	a.file = conf_file(given);
	if (settings_load(a.file, &a.conf, a.err, sizeof(a.err)) < 0) {
		fprintf(stderr, "%s\n", a.err);
		return EXIT_USAGE;
	}
	a.log = log_new(a.conf->log_format, a.conf->log_level, NULL, NULL);
	code = run(&a);
	close_all(&a);
	return code;
}
