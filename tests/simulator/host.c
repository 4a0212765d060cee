/* SPDX-License-Identifier: BSD-2-Clause */
/* One machine: its disk, its clock, a watcher and an agent that are started, killed, and started
 * again. */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/apply.h"
#include "agent/commit.h"
#include "conf/home.h"
#include "conf/settings.h"
#include "tests/simulator/sim.h"

#define RESTART_NS (500 * SIM_MS)
#define RACES_MAX 100 /* each makes work, and so more of them */

/* ---- what the processes meet ---- */

static struct host *
host_of(void *arg)
{
	return arg;
}

/* What an agent takes for durable after its end, nobody hears. */
static void
dies(struct host *h, struct proc *p)
{
	if (p->kind == PROC_AGENT && !p->dead && h->node != NULL)
		ledger_said(h->sim->ledger, h);
	p->dead = p->log.dead = true;
}

static void
happen(struct host *h, struct proc *p, const char *what)
{
	struct sim *s = h->sim;
	unsigned odds = p->kind == PROC_AGENT ? s->faults.agent_kill : s->faults.watcher_kill;
	struct rng mine;

	if (what[0] == '!')
		sim_fail(s, "%s: the %s %s", h->name, p->kind == PROC_AGENT ? "agent" : "watcher",
			 what + 1);
	if (s->small.on && ++s->small.effects == s->small.crash_at) {
		dies(h, p);
		h->power_due = s->small.power;
	}
	if (s->calm)
		return;
	mine = (struct rng){s->rng.state ^ s->steps};
	if (strcmp(what, "log") == 0) /* there are so many of them */
		odds *= 8;
	if (rng_once_in(&s->rng, odds) && sim_happens(s)) {
		sim_event(s, "%s %s killed before %s", h->name,
			  p->kind == PROC_AGENT ? "agent" : "watcher", what);
		dies(h, p);
	} else if (s->clash && !h->in_user && s->races < RACES_MAX && strcmp(what, "log") != 0 &&
		   rng_once_in(&s->wild_rng, s->faults.race / 4) && sim_happens(s)) {
		s->races++;
		sim_event(s, "%s user meets the %s at %s: %s", h->name,
			  p->kind == PROC_AGENT ? "agent" : "watcher", p->at, what);
		user_meet(h, p->at, &mine);
	} else if (!h->in_user && s->races < RACES_MAX && rng_once_in(&s->rng, s->faults.race) &&
		   sim_happens(s)) {
		s->races++;
		sim_event(s, "%s user is faster than %s of the %s", h->name, what,
			  p->kind == PROC_AGENT ? "agent" : "watcher");
		user_act(h, rng_next(&mine), &mine);
	}
}

static void
on_step(void *arg, struct proc *p, const char *what)
{
	struct host *h = host_of(arg);

	happen(h, p, what);
	if (strcmp(what, "look") == 0)
		ledger_looked(h->sim->ledger, h, p->at);
}

static bool
on_log_step(void *arg)
{
	struct proc *p = arg;

	if (!p->dead)
		on_step(p->arg, p, "log");
	return p->dead;
}

static void
on_shown(void *arg, struct proc *p, struct inode *i)
{
	struct host *h = host_of(arg);
	char path[512];

	(void)p;
	if (!disk_path(h->disk, i, path, sizeof(path)))
		return;
	ledger_seen(h->sim->ledger, h, path, i);
	memcpy(h->shown_path, path, sizeof(path));
	h->shown = i;
}

static void
on_taken(void *arg, struct proc *p, struct inode *i, const void *path, size_t len)
{
	struct host *h = host_of(arg);
	char text[512];

	(void)p;
	i->taken_open = i->writers > 0;
	i->taken_changes = i->changes;
	snprintf(text, sizeof(text), "%.*s", (int)len, (const char *)path);
	if (h->shown != NULL && strcmp(text, h->shown_path) == 0)
		ledger_exchanged(h->sim->ledger, h, text, h->shown, i);
	h->shown = NULL;
}

/* The agent has changed what lies at a path, or under a name there. */
static void
on_moved(void *arg, const void *path, size_t len)
{
	struct host *h = host_of(arg);
	char text[512];

	snprintf(text, sizeof(text), "%.*s", (int)len, (const char *)path);
	ledger_moved(h->sim->ledger, h, text);
	h->shown = NULL;
}

static void
on_appended(void *arg, struct logdev *by)
{
	struct host *h = host_of(arg);
	struct proc *both[] = {&h->agent, &h->watcher};

	if (by->file == h->wal->wal)
		ledger_appended(h->sim->ledger, h, h->wal->file[by->file]->live.len);
	for (unsigned k = 0; k < 2; k++) {
		uint64_t at = h->sim->now_ns + rng_delay(&h->sim->rng, h->sim->faults.slow_ns);

		if (both[k]->up && at < both[k]->poke_ns)
			both[k]->poke_ns = at;
	}
}

static void
on_durable(void *arg, struct logdev *by, const struct buf *file)
{
	struct host *h = host_of(arg);

	(void)by;
	ledger_read(h->sim->ledger, h, file, h->wal->wal);
	if (h->node != NULL && !h->agent.dead)
		ledger_acks(h->sim->ledger, h);
}

static void
on_event(void *arg, const struct disk_event *e)
{
	struct host *h = host_of(arg);

	if (!h->watcher.up)
		return;
	if (h->watcher.notify.n == 0)
		h->events_at_ns = h->sim->now_ns + rng_delay(&h->sim->rng, h->sim->faults.slow_ns);
	notify_push(&h->watcher.notify, e);
}

static void
on_fatal(void *arg, const char *what, int error)
{
	struct host *h = host_of(arg);
	struct proc *p = h->agent.up && !h->agent.dead ? &h->agent : NULL;

	sim_trace(h->sim, "%s agent stops: %s: %s", h->name, what, strerror(-error));
	if (p != NULL && !h->expect_fatal)
		sim_fail(h->sim, "%s: the agent stopped: %s: %s", h->name, what, strerror(-error));
	dies(h, &h->agent);
}

static void
on_watcher_fatal(void *arg, const char *what, int error)
{
	struct host *h = host_of(arg);

	sim_trace(h->sim, "%s watcher stops: %s: %s", h->name, what, strerror(-error));
	if (!h->watcher.dead && !h->expect_fatal && !(h->sim->wild && error == -ESTALE))
		sim_fail(h->sim, "%s: the watcher stopped: %s: %s", h->name, what,
			 strerror(-error));
	h->watcher.dead = h->watcher.log.dead = true;
}

static void
on_halted(void *arg, const char *text)
{
	struct host *h = host_of(arg);

	sim_trace(h->sim, "%s watcher halted: %s", h->name, text);
	if (!h->watcher.dead && !h->root_gone)
		sim_fail(h->sim, "%s: the watcher halted: %s", h->name, text);
	h->watcher.dead = h->watcher.log.dead = true;
}

/* ---- starting and ending ---- */

static void
proc_begin(struct host *h, struct proc *p)
{
	p->up = true;
	p->dead = false;
	p->poke_ns = NEVER;
	p->stirred = true;
	p->slow_ns = h->sim->faults.slow_ns;
	p->tree = (struct tree){h->disk, p, &h->root_gone, &h->marker, &h->noted, {{0}}};
	p->work = (struct work){.proc = p, .threads = p->kind == PROC_AGENT ? 4 : 3};
	logdev_init(&p->log, h->wal);
	p->log.step = on_log_step;
	p->log.arg = p;
}

static int
ignore_entry(void *arg, const struct entry *e)
{
	(void)arg;
	(void)e;
	return 0;
}

/* What `mimeo init` does. */
static void
make_home(struct host *h)
{
	struct logdev v;
	struct wal_dev dev;
	struct wal_user user = {.fold = ignore_entry};
	struct wal *w;

	logdev_init(&v, h->wal);
	dev = logdev_dev(&v);
	w = wal_new(&dev, &user);
	h->marker = rng_next(&h->sim->rng) | 1;
	if (w == NULL || wal_create(w, h->marker, 1) < 0)
		abort();
	wal_free(w);
}

static void
put_members(struct host *h)
{
	for (unsigned i = 0; i < h->sim->n; i++) {
		struct buf b = {0};
		struct member m = {.incarnation = 1};

		snprintf(m.name, sizeof(m.name), "%s", h->sim->host[i]->name);
		snprintf(m.user, sizeof(m.user), "mimeo");
		member_encode(&b, &m);
		commit_put(
			h->node->commit,
			&(struct entry){.type = ENTRY_MEMBER, .blob = b.data, .blob_len = b.len});
		buf_free(&b);
	}
}

static uint64_t
wall_ms(const struct host *h)
{
	return h->wall_ns > 0 ? (uint64_t)h->wall_ns / SIM_MS : 0;
}

static void
agent_start(struct host *h)
{
	struct sim *s = h->sim;
	struct wal_dev dev;
	struct node_opts o = {.conf = h->conf,
			      .log = h->log,
			      .ignore = h->conf->ignore,
			      .dev = &dev,
			      .tree = &h->agent.tree,
			      .work = &h->agent.work,
			      .seed = rng_next(&s->rng),
			      .now_ms = s->now_ns / SIM_MS,
			      .wall_ms = wall_ms(h),
			      .seen = h->noted,
			      .arg = h,
			      .fatal = on_fatal};
	int r;

	if (h->wal->holder != NULL)
		return;
	if (h->root_gone) { /* the program looks for the marker before anything else */
		h->agent_start_ns = s->now_ns + RESTART_NS;
		return;
	}
	if (h->wal->wal < 0)
		make_home(h);
	proc_begin(h, &h->agent);
	dev = logdev_dev(&h->agent.log);
	sim_trace(s, "%s agent starts", h->name);
	r = node_open(&o, &h->node);
	if (r < 0 && !h->agent.dead && !h->expect_fatal)
		sim_fail(s, "%s: the agent does not start: %s", h->name, strerror(-r));
	if (r < 0)
		h->agent.dead = true;
	if (r < 0)
		return;
	if (h->node->index->nmembers < s->n)
		put_members(h);
	ledger_back(s->ledger, h);
	h->agent_at_ns = 0;
}

static uint64_t
next_origin(void *arg)
{
	struct host *h = arg;

	return rng_next(&h->sim->rng) | 1;
}

static void
got_event(void *arg, const struct notify_event *e)
{
	struct host *h = host_of(arg);

	core_event(h->core, e, h->sim->now_ns / SIM_MS);
}

static void
drain(void *arg)
{
	struct host *h = arg;

	while (notify_read(&h->watcher.notify, got_event, h) > 0)
		;
}

static void
watcher_start(struct host *h)
{
	struct sim *s = h->sim;
	struct wal_dev dev;
	struct core_opts o = {.conf = h->conf,
			      .log = h->log,
			      .dev = &dev,
			      .tree = &h->watcher.tree,
			      .work = &h->watcher.work,
			      .seed = rng_next(&s->rng),
			      .now_ms = s->now_ns / SIM_MS,
			      .wall_ms = wall_ms(h),
			      .arg = h,
			      .random = next_origin,
			      .fatal = on_watcher_fatal,
			      .halted = on_halted,
			      .drain = drain};
	int r;

	if (h->wal->holder != NULL || h->wal->wal < 0)
		return;
	proc_begin(h, &h->watcher);
	notify_init(&h->watcher.notify, h->disk, s->faults.events_max);
	for (struct inode *i = h->disk->inodes; i != NULL; i = i->next)
		i->wd = -1;
	dev = logdev_dev(&h->watcher.log);
	sim_trace(s, "%s watcher starts", h->name);
	h->watch = watch_new(&h->watcher.tree, &h->watcher.notify);
	if (h->watch == NULL)
		abort();
	o.watch = h->watch;
	o.seen = h->noted;
	r = core_open(&o, &h->core);
	if (r < 0 && !h->watcher.dead && !h->expect_fatal)
		sim_fail(s, "%s: the watcher does not start: %s", h->name, strerror(-r));
	if (r < 0)
		h->watcher.dead = true;
	h->watcher_at_ns = 0;
}

static void
agent_end(struct host *h)
{
	dies(h, &h->agent);
	net_host_down(h);
	logdev_dead(&h->agent.log);
	work_drain(&h->agent.work);
	node_close(h->node);
	h->node = NULL;
	memset(h->peer, 0, sizeof(h->peer));
	tree_close_all(&h->agent);
	h->agent.up = false;
	h->agent_start_ns = h->sim->now_ns + rng_delay(&h->sim->rng, RESTART_NS);
}

static void
watcher_end(struct host *h)
{
	h->watcher.dead = true;
	logdev_dead(&h->watcher.log);
	work_drain(&h->watcher.work);
	core_close(h->core);
	h->core = NULL;
	tree_close_all(&h->watcher);
	watch_free(h->watch);
	h->watch = NULL;
	h->watcher.up = false;
	notify_drop(&h->watcher.notify);
	for (struct inode *i = h->disk->inodes; i != NULL; i = i->next)
		i->wd = -1;
	h->watcher_start_ns = h->sim->now_ns + rng_delay(&h->sim->rng, RESTART_NS);
}

void
host_kill(struct host *h, enum proc_kind kind)
{
	struct proc *p = kind == PROC_AGENT ? &h->agent : &h->watcher;

	if (!p->up)
		return;
	sim_trace(h->sim, "%s %s killed", h->name, kind == PROC_AGENT ? "agent" : "watcher");
	if (kind == PROC_AGENT)
		agent_end(h);
	else
		watcher_end(h);
}

void
host_stop(struct host *h)
{
	if (h->agent.up)
		agent_end(h);
	if (h->watcher.up)
		watcher_end(h);
}

void
host_power_cut(struct host *h)
{
	sim_event(h->sim, "%s power cut", h->name);
	host_stop(h);
	user_forget(h);
	ledger_power(h->sim->ledger, h);
	disk_power_cut(h->disk);
	logdisk_power_cut(h->wal);
	h->disk->fsync_fails = h->wal->fsync_fails = 0;
	h->expect_fatal = false;
	ledger_changed(h->sim->ledger, h);
	user_survey(h);
	if (h->wal->wal >= 0)
		ledger_read(h->sim->ledger, h, &h->wal->file[h->wal->wal]->durable, h->wal->wal);
}

/* ---- one thing ---- */

static bool
agent_turn(struct host *h)
{
	uint64_t at;

	if (!h->agent.stirred && h->sim->now_ns < h->agent_at_ns)
		return false;
	h->agent.stirred = false;
	node_tick(h->node, h->sim->now_ns / SIM_MS, wall_ms(h));
	at = node_deadline(h->node);
	h->agent_at_ns = at > NEVER / SIM_MS ? NEVER : at * SIM_MS;
	if (h->agent_at_ns <= h->sim->now_ns) /* the clock has milliseconds */
		h->agent_at_ns = h->sim->now_ns + SIM_MS / 4;
	return true;
}

static bool
agent_step(struct host *h)
{
	struct proc *p = &h->agent;

	if (!p->up) {
		if (h->sim->now_ns < h->agent_start_ns || h->wal->holder != NULL)
			return false;
		agent_start(h);
		return true;
	}
	if (p->dead) {
		agent_end(h);
		return true;
	}
	if (rng_below(&h->sim->rng, 2) == 0 && work_step(&p->work))
		return true;
	if (p->poke_ns <= h->sim->now_ns) {
		p->poke_ns = NEVER;
		p->stirred = true;
		node_wal_changed(h->node);
		return true;
	}
	return agent_turn(h) || work_step(&p->work);
}

static bool
watcher_turn(struct host *h)
{
	uint64_t at;

	if (!h->watcher.stirred && h->sim->now_ns < h->watcher_at_ns)
		return false;
	h->watcher.stirred = false;
	at = core_turn(h->core, h->sim->now_ns / SIM_MS, wall_ms(h), h->wall_ns);
	h->watcher_at_ns = at > NEVER / SIM_MS ? NEVER : at * SIM_MS;
	if (h->watcher_at_ns <= h->sim->now_ns)
		h->watcher_at_ns = h->sim->now_ns + SIM_MS / 4;
	return true;
}

static bool
watcher_events(struct host *h)
{
	unsigned n = 1 + (unsigned)rng_below(&h->sim->rng, 8);

	if (h->watcher.notify.n == 0 || h->sim->now_ns < h->events_at_ns)
		return false;
	while (n-- > 0 && notify_read(&h->watcher.notify, got_event, h) > 0)
		;
	h->events_at_ns = h->sim->now_ns + rng_delay(&h->sim->rng, h->sim->faults.slow_ns);
	h->watcher.stirred = true;
	return true;
}

static bool
watcher_step(struct host *h)
{
	struct proc *p = &h->watcher;

	if (!p->up) {
		if (h->sim->now_ns < h->watcher_start_ns || h->wal->holder != NULL ||
		    h->wal->wal < 0)
			return false;
		watcher_start(h);
		return true;
	}
	if (p->dead) {
		watcher_end(h);
		return true;
	}
	if (rng_below(&h->sim->rng, 2) == 0 && work_step(&p->work))
		return true;
	if (watcher_events(h))
		return true;
	if (p->poke_ns <= h->sim->now_ns) {
		p->poke_ns = NEVER;
		p->stirred = true;
		core_wal_changed(h->core);
		return true;
	}
	return watcher_turn(h) || work_step(&p->work);
}

bool
host_step(struct host *h)
{
	bool first = rng_below(&h->sim->rng, 2) == 0;

	if (h->power_due) {
		h->power_due = false;
		host_power_cut(h);
		return true;
	}

	return first ? agent_step(h) || watcher_step(h) : watcher_step(h) || agent_step(h);
}

static uint64_t
least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

uint64_t
host_next_ns(const struct host *h)
{
	uint64_t at = NEVER;

	if (h->agent.up)
		at = least(least(h->agent_at_ns, h->agent.poke_ns), work_next_ns(&h->agent.work));
	else
		at = h->agent_start_ns;
	if (!h->watcher.up)
		return least(at, h->watcher_start_ns);
	at = least(at, least(h->watcher_at_ns, h->watcher.poke_ns));
	if (h->watcher.notify.n > 0)
		at = least(at, h->events_at_ns);
	return least(at, work_next_ns(&h->watcher.work));
}

bool
host_quiet(const struct host *h)
{
	struct core_stats st;

	if (!h->agent.up || !h->watcher.up || h->agent.dead || h->watcher.dead)
		return false;
	st = core_stats(h->core);
	return st.dirty == 0 && st.idle && !st.scanning && h->watcher.notify.n == 0 &&
	       h->agent.poke_ns == NEVER && h->watcher.poke_ns == NEVER && h->agent.work.n == 0 &&
	       h->watcher.work.n == 0 && commit_idle(h->node->commit) &&
	       h->node->index->todo_count == 0 && h->node->index->intents == NULL &&
	       apply_active(h->node->apply) == 0 && h->agent.files == NULL &&
	       h->watcher.files == NULL;
}

/* ---- life ---- */

static struct settings *
settings_of(const char *name, const struct faults *f)
{
	struct settings *conf = NULL;
	char text[1024], err[SETTINGS_ERROR_BYTES_MAX];
	int len = snprintf(text, sizeof(text),
			   "[node]\nname = %s\nroot = /sim/%s\nstate = /var/%s\n"
			   "[watch]\nsettle = 100ms\nrescan = 1h\n"
			   "[sync]\ninterval = 1s\ninline_max = 300\ndelta_min = 1K\n"
			   "retry_max = 2s\nping = 2s\ntimeout = 10s\n[guard]\nmin_free = 64K\n",
			   name, name, name);

	if (f->deletes_max > 0)
		len += snprintf(text + len, sizeof(text) - (size_t)len, "max_delete = %u, 1%%\n",
				f->deletes_max);
	if (f->tombstones_s > 0)
		len += snprintf(text + len, sizeof(text) - (size_t)len,
				"[trash]\ntombstones = %us\n", f->tombstones_s);

	if (settings_parse("sim", text, (size_t)len, &conf, err, sizeof(err)) < 0) {
		fprintf(stderr, "%s\n", err);
		abort();
	}
	return conf;
}

static void
say(void *arg, const char *line, size_t len)
{
	const struct host *h = host_of(arg);

	printf("%10.6f %s says %.*s\n", (double)h->sim->now_ns / 1e9, h->name, (int)len, line);
}

static void
tell_time(void *arg, uint64_t *mono_ms, uint64_t *wall)
{
	const struct host *h = host_of(arg);

	*mono_ms = h->sim->now_ns / SIM_MS;
	*wall = wall_ms(h);
}

static void
open_log(struct host *h)
{
	h->log = log_new(LOG_TEXT, LOG_DEBUG, say, h);
	if (h->log == NULL)
		abort();
	log_set_clock(h->log, tell_time, h);
}

void
host_init(struct host *h, struct sim *s, unsigned index)
{
	*h = (struct host){.sim = s, .index = index, .parsed_file = -1};
	snprintf(h->name, sizeof(h->name), "n%u", index);
	h->conf = settings_of(h->name, &s->faults);
	if (s->verbose)
		open_log(h);
	h->wall_offset_ns = (int64_t)rng_below(&s->rng, 4 * SIM_S) - (int64_t)(2 * SIM_S);
	h->wall_ns = SIM_EPOCH_NS;
	h->disk = disk_new(&s->rng, &h->wall_ns, s->faults.grain_ns);
	h->disk->arg = h;
	h->disk->event = on_event;
	h->wal = logdisk_new(&s->rng);
	h->wal->arg = h;
	h->wal->appended = on_appended;
	h->wal->durable = on_durable;
	h->agent.kind = PROC_AGENT;
	h->watcher.kind = PROC_WATCHER;
	h->agent.now_ns = h->watcher.now_ns = &s->now_ns;
	h->agent.rng = h->watcher.rng = &s->rng;
	h->agent.arg = h->watcher.arg = h;
	h->agent.step = h->watcher.step = on_step;
	h->agent.shown = on_shown;
	h->agent.taken = on_taken;
	h->agent.moved = on_moved;
	h->agent_start_ns = s->now_ns + rng_delay(&s->rng, 50 * SIM_MS);
	h->watcher_start_ns = s->now_ns + rng_delay(&s->rng, 50 * SIM_MS);
}

void
host_free(struct host *h)
{
	h->sim->calm = true;
	if (h->agent.up)
		agent_end(h);
	if (h->watcher.up)
		watcher_end(h);
	user_forget(h);
	wild_free(h);
	dotset_free(&h->said_have);
	dotset_free(&h->said_acked);
	log_free(h->log);
	disk_free(h->disk);
	logdisk_free(h->wal);
	settings_free(h->conf);
}
