/* SPDX-License-Identifier: BSD-2-Clause */
/* Whole nodes in one process, and their users. */
#include "config.h"

#include "tests/unit/nodes.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/apply.h"
#include "agent/commit.h"
#include "agent/exchange.h"
#include "conf/hash.h"
#include "conf/work.h"
#include "tests/unit/nodes_fault.h"

#define NS_PER_MS 1000000
#define START_MS 1000000
#define RESTART_MS 500
#define WAL_ROOM_BYTES (4u << 20) /* so that the WAL's memory is there when there is none */
#define FEW 8                     /* only of so many is anything asked to fail */
#define TURNS_MAX 100000          /* without time going by: then something spins */
#define FILE_BYTES_MAX (16u << 20)

/* conf/work.h without threads: a job runs, and its end is told at once. */
struct work {
	struct work_job *first, **last;
	size_t n;
	struct logdev *log;
};

struct proc {
	bool up, dead, poked, stirred;
	uint64_t due_ms, start_ms;
	struct work work;
	struct logdev log;
	struct tree *tree;
};

struct machine {
	struct nodes *all;
	unsigned index;
	char name[8];
	char root[NODES_PATH_BYTES], work[NODES_PATH_BYTES], state[NODES_PATH_BYTES];
	struct settings *conf;
	struct log *log;
	struct buf said;
	struct rng rng;
	struct logdisk *wal;
	struct proc agent, watcher;
	struct notify *notify;
	struct watch *watch;
	struct core *core;
	struct node *node;
	uint64_t marker;
	bool stopped, mute;
	struct meets meets;
	bool armed;
	int fatal;
	char fatal_what[256];
	unsigned deaths;
	uint64_t sent;
};

struct conn {
	unsigned i, k;
	struct machine *m[2];
	struct link *link[2];
	struct buf under_way[2]; /* where there is latency: from that side, due at due_ms */
	uint64_t due_ms[2];
};

struct nodes {
	char dir[64];
	unsigned n;
	struct machine *machine; /* n */
	struct conn *conn;
	size_t nconn;
	unsigned latency_ms, members;
	bool agents_only, parted;
	uint64_t now_ms, epoch_ms;
};

static void
die(const char *what, const char *path)
{
	printf("Bail out! %s: %s: %s\n", what, path, strerror(errno));
	abort();
}

/* ---- workers ---- */

struct work *
work_new(struct loop *loop, unsigned threads)
{
	(void)loop;
	(void)threads;
	return NULL; /* each process has its own */
}

void
work_submit(struct work *w, struct work_job *job)
{
	job->next = NULL;
	*w->last = job;
	w->last = &job->next;
	w->n++;
}

size_t
work_pending(const struct work *w)
{
	return w->n;
}

static struct work_job *
work_take(struct work *w)
{
	struct work_job *job = w->first;

	w->first = job->next;
	if (w->first == NULL)
		w->last = &w->first;
	w->n--;
	return job;
}

/* One that waits for the WAL's lock goes to the end. */
static bool
work_step(struct work *w)
{
	struct work_job *job;

	if (w->n == 0)
		return false;
	job = work_take(w);
	w->log->blocked = false;
	job->run(job);
	if (w->log->blocked && !w->log->dead)
		work_submit(w, job);
	else if (job->done != NULL)
		job->done(job);
	return true;
}

void
work_free(struct work *w)
{
	while (w != NULL && work_step(w))
		;
}

/* ---- what the daemons call ---- */

static uint64_t
wall_ms(const struct nodes *all)
{
	return all->epoch_ms + all->now_ms;
}

static void
say(void *arg, const char *line, size_t len)
{
	struct machine *m = arg;

	fault_meets(NULL);
	buf_put(&m->said, line, len);
	buf_put_u8(&m->said, '\n');
	if (m->said.failed)
		abort();
	if (m->armed)
		fault_meets(&m->meets);
}

static void
tell_time(void *arg, uint64_t *mono_ms, uint64_t *wall)
{
	const struct machine *m = arg;

	*mono_ms = m->all->now_ms;
	*wall = wall_ms(m->all);
}

static void
agent_dies(struct machine *m)
{
	m->agent.dead = m->agent.log.dead = true;
}

static void
on_fatal(void *arg, const char *what, int error)
{
	struct machine *m = arg;

	if (m->agent.dead)
		return;
	m->fatal = error;
	snprintf(m->fatal_what, sizeof(m->fatal_what), "%s", what);
	agent_dies(m);
}

static void
on_watcher_fatal(void *arg, const char *what, int error)
{
	errno = -error;
	(void)arg;
	die("the watcher stopped", what);
}

static void
on_halted(void *arg, const char *text)
{
	(void)arg;
	die("the watcher halted", text);
}

static void
on_appended(void *arg, struct logdev *by)
{
	struct machine *m = arg;

	m->agent.poked = m->agent.poked || by != &m->agent.log;
	m->watcher.poked = m->watcher.poked || by != &m->watcher.log;
}

static uint64_t
next_origin(void *arg)
{
	struct machine *m = arg;

	return rng_next(&m->rng) | 1;
}

static void
got_event(void *arg, const struct notify_event *e)
{
	struct machine *m = arg;

	m->watcher.stirred = true;
	core_event(m->core, e, m->all->now_ms);
}

static void
drain(void *arg)
{
	struct machine *m = arg;

	(void)notify_read(m->notify, got_event, m);
}

/* ---- starting and ending ---- */

static struct tree *
open_tree(const struct machine *m, bool agent)
{
	struct tree_opts o = {m->root, agent ? m->work : NULL};
	struct tree *t = NULL;
	char err[512];

	if (tree_open(&o, &t, err, sizeof(err)) < 0)
		die("no tree", err);
	return t;
}

static void
proc_begin(struct machine *m, struct proc *p, bool agent)
{
	p->up = p->stirred = true;
	p->dead = p->poked = false;
	p->due_ms = 0;
	logdev_init(&p->log, m->wal);
	p->work = (struct work){.last = &p->work.first, .log = &p->log};
	p->tree = open_tree(m, agent);
}

static int
ignore_entry(void *arg, const struct entry *e)
{
	(void)arg;
	(void)e;
	return 0;
}

static void
make_home(struct machine *m)
{
	struct wal_user user = {.fold = ignore_entry};
	struct tree *t = open_tree(m, true);
	struct logdev v;
	struct wal_dev dev;
	struct wal *w;

	logdev_init(&v, m->wal);
	dev = logdev_dev(&v);
	w = wal_new(&dev, &user);
	m->marker = rng_next(&m->rng) | 1;
	if (w == NULL || wal_create(w, m->marker, 1) < 0 || tree_marker_write(t, m->marker) < 0)
		die("no home", m->name);
	wal_free(w);
	tree_close(t);
	if (m->all->n <= FEW && (buf_room(&m->wal->file[0]->live, WAL_ROOM_BYTES) == NULL ||
				 buf_room(&m->wal->file[0]->durable, WAL_ROOM_BYTES) == NULL))
		abort();
}

/* Whoever is no member yet knows all the same who the others are. */
static unsigned
members_of(const struct machine *m)
{
	return m->index < m->all->members ? m->all->members : m->all->n;
}

static void
put_members(struct machine *m)
{
	for (unsigned i = 0; i < members_of(m); i++) {
		struct member who = {.incarnation = 1};
		struct buf b = {0};

		snprintf(who.name, sizeof(who.name), "%s", m->all->machine[i].name);
		snprintf(who.user, sizeof(who.user), "mimeo");
		member_encode(&b, &who);
		commit_put(
			m->node->commit,
			&(struct entry){.type = ENTRY_MEMBER, .blob = b.data, .blob_len = b.len});
		buf_free(&b);
	}
}

static void
agent_start(struct machine *m)
{
	struct wal_dev dev;
	struct node_opts o = {.conf = m->conf,
			      .ignore = m->conf->ignore,
			      .log = m->log,
			      .dev = &dev,
			      .work = &m->agent.work,
			      .seed = rng_next(&m->rng),
			      .now_ms = m->all->now_ms,
			      .wall_ms = wall_ms(m->all),
			      .arg = m,
			      .fatal = on_fatal};
	int r;

	proc_begin(m, &m->agent, true);
	o.tree = m->agent.tree;
	if (tree_log_read(m->work, &o.seen) < 0)
		o.seen = (struct tree_log){0};
	dev = logdev_dev(&m->agent.log);
	if (m->armed)
		fault_meets(&m->meets);
	r = node_open(&o, &m->node);
	fault_meets(NULL);
	if (r < 0) {
		m->fatal = r;
		snprintf(m->fatal_what, sizeof(m->fatal_what), "it does not start");
		agent_dies(m);
	} else if (m->node->index->nmembers < members_of(m)) {
		put_members(m);
	}
}

static void
watcher_start(struct machine *m)
{
	struct wal_dev dev;
	struct core_opts o = {.conf = m->conf,
			      .log = m->log,
			      .dev = &dev,
			      .work = &m->watcher.work,
			      .seed = rng_next(&m->rng),
			      .now_ms = m->all->now_ms,
			      .wall_ms = wall_ms(m->all),
			      .arg = m,
			      .random = next_origin,
			      .fatal = on_watcher_fatal,
			      .halted = on_halted,
			      .drain = drain};

	proc_begin(m, &m->watcher, false);
	o.tree = m->watcher.tree;
	m->notify = notify_new();
	m->watch = m->notify != NULL ? watch_new(m->watcher.tree, m->notify) : NULL;
	o.watch = m->watch;
	dev = logdev_dev(&m->watcher.log);
	if (tree_log_read(m->work, &o.seen) < 0)
		o.seen = (struct tree_log){0};
	if (m->watch == NULL || core_open(&o, &m->core) < 0)
		die("the watcher does not start", m->name);
}

static void
side_close(struct conn *c, int side)
{
	struct link *l = c->link[side];

	c->link[side] = NULL;
	buf_free(&c->under_way[side]);
	if (l != NULL) {
		exchange_closed(l, "the connection was lost");
		c->m[side]->agent.stirred = true;
	}
}

static void
conn_close(struct conn *c)
{
	side_close(c, 0);
	side_close(c, 1);
}

static void
machine_cut(struct machine *m)
{
	for (size_t i = 0; i < m->all->nconn; i++)
		if (m->all->conn[i].link[0] != NULL || m->all->conn[i].link[1] != NULL)
			if (m->all->conn[i].m[0] == m || m->all->conn[i].m[1] == m)
				conn_close(&m->all->conn[i]);
}

static void
agent_end(struct machine *m)
{
	if (!m->agent.up)
		return;
	m->deaths += m->agent.dead;
	if (m->armed && m->agent.dead)
		fault_meets(&m->meets);
	machine_cut(m);
	if (m->agent.dead)
		logdev_dead(&m->agent.log);
	work_free(&m->agent.work);
	node_close(m->node);
	fault_meets(NULL);
	logdev_dead(&m->agent.log);
	m->node = NULL;
	tree_close(m->agent.tree);
	m->agent.up = false;
	m->agent.start_ms = m->all->now_ms + RESTART_MS;
}

static void
watcher_end(struct machine *m)
{
	if (!m->watcher.up)
		return;
	work_free(&m->watcher.work);
	core_close(m->core);
	m->core = NULL;
	watch_free(m->watch);
	notify_free(m->notify);
	tree_close(m->watcher.tree);
	logdev_dead(&m->watcher.log);
	m->watcher.up = false;
	m->watcher.start_ms = m->all->now_ms + RESTART_MS;
}

void
machine_stop(struct machine *m)
{
	m->stopped = true;
	agent_end(m);
	watcher_end(m);
}

void
machine_start(struct machine *m)
{
	m->stopped = false;
	m->agent.start_ms = m->watcher.start_ms = m->all->now_ms;
}

void
machine_kill_agent(struct machine *m)
{
	agent_dies(m);
	agent_end(m);
}

void
machine_mute(struct machine *m, bool mute)
{
	m->mute = mute;
}

/* ---- turns ---- */

static bool
worked(struct proc *p)
{
	if (!work_step(&p->work))
		return false;
	p->stirred = true;
	return true;
}

static bool
was_poked(struct proc *p)
{
	if (!p->poked)
		return false;
	p->poked = false;
	p->stirred = true;
	return true;
}

static bool
turn_due(const struct machine *m, struct proc *p)
{
	if (!p->stirred && m->all->now_ms < p->due_ms)
		return false;
	p->stirred = false;
	return true;
}

static void
next_turn(const struct machine *m, struct proc *p, uint64_t at_ms)
{
	p->due_ms = at_ms > m->all->now_ms ? at_ms : m->all->now_ms + 1;
}

static bool
may_start(const struct machine *m, const struct proc *p)
{
	return !m->stopped && m->all->now_ms >= p->start_ms;
}

static bool
agent_work(struct machine *m)
{
	struct proc *p = &m->agent;

	if (worked(p))
		return true;
	if (was_poked(p)) {
		node_wal_changed(m->node);
		return true;
	}
	if (!turn_due(m, p))
		return false;
	node_tick(m->node, m->all->now_ms, wall_ms(m->all));
	next_turn(m, p, node_deadline(m->node));
	return true;
}

static bool
agent_step(struct machine *m)
{
	struct proc *p = &m->agent;
	bool did;

	if (!p->up) {
		if (!may_start(m, p))
			return false;
		agent_start(m);
		return true;
	}
	if (p->dead || m->meets.killed) {
		agent_dies(m);
		agent_end(m);
		m->meets.killed = false;
		return true;
	}
	if (m->armed)
		fault_meets(&m->meets);
	did = agent_work(m);
	fault_meets(NULL);
	return did;
}

static bool
watcher_step(struct machine *m)
{
	struct proc *p = &m->watcher;

	if (m->all->agents_only)
		return false;
	if (!p->up) {
		if (!may_start(m, p))
			return false;
		watcher_start(m);
		return true;
	}
	if (notify_read(m->notify, got_event, m) > 0)
		return true;
	if (worked(p))
		return true;
	if (was_poked(p)) {
		core_wal_changed(m->core);
		return true;
	}
	if (!turn_due(m, p))
		return false;
	next_turn(m, p,
		  core_turn(m->core, m->all->now_ms, wall_ms(m->all),
			    (int64_t)wall_ms(m->all) * NS_PER_MS));
	return true;
}

/* ---- connections ---- */

static bool
ready(const struct machine *m)
{
	return m->agent.up && !m->agent.dead && m->node != NULL;
}

static bool
dial(struct nodes *all, struct conn *c)
{
	struct machine *a = &all->machine[c->i], *b = &all->machine[c->k];

	if (all->parted || c->link[0] != NULL || c->link[1] != NULL || !ready(a) || !ready(b) ||
	    exchange_peer(a->node->exchange, b->name) == NULL ||
	    exchange_peer(b->node->exchange, a->name) == NULL)
		return false;
	c->m[0] = a;
	c->m[1] = b;
	c->link[0] = exchange_connect(a->node->exchange, b->name, true);
	c->link[1] = exchange_connect(b->node->exchange, a->name, false);
	if (c->link[0] == NULL || c->link[1] == NULL)
		abort();
	a->agent.stirred = b->agent.stirred = true;
	return true;
}

static size_t
take_in(struct conn *c, int side, const uint8_t *bytes, size_t len)
{
	struct machine *to = c->m[1 - side];
	size_t took;

	if (to->armed)
		fault_meets(&to->meets);
	took = exchange_input(c->link[1 - side], bytes, len);
	fault_meets(NULL);
	c->m[side]->sent += took;
	c->m[0]->agent.stirred = c->m[1]->agent.stirred = true;
	return took;
}

/* With latency: one packet at a time, which is under way for so long. */
static bool
carry(struct nodes *all, struct conn *c, int side)
{
	struct buf *b = &c->under_way[side];
	const uint8_t *bytes;
	size_t len;

	if (b->len > 0) {
		if (all->now_ms < c->due_ms[side])
			return false;
		len = take_in(c, side, b->data, b->len);
		buf_consume(b, len);
		return len > 0;
	}
	bytes = exchange_output(c->link[side], &len);
	if (len == 0)
		return false;
	buf_put(b, bytes, len);
	if (b->failed)
		abort();
	exchange_consumed(c->link[side], len);
	c->due_ms[side] = all->now_ms + all->latency_ms;
	return true;
}

/* What one side has for the other, as if that were one packet. */
static bool
pump(struct nodes *all, struct conn *c, int side)
{
	const uint8_t *bytes;
	size_t len, took;

	if (c->link[side] == NULL || c->link[1 - side] == NULL || c->m[side]->mute ||
	    c->m[side]->agent.dead || c->m[1 - side]->agent.dead ||
	    !exchange_wants_input(c->link[1 - side]))
		return false;
	if (all->latency_ms > 0)
		return carry(all, c, side);
	bytes = exchange_output(c->link[side], &len);
	if (len == 0)
		return false;
	took = take_in(c, side, bytes, len);
	exchange_consumed(c->link[side], took);
	return took > 0;
}

static bool
settled(struct conn *c, int side)
{
	char why[256];
	uint8_t code;

	return c->link[side] != NULL && exchange_over(c->link[side], why, sizeof(why), &code) &&
	       !exchange_wants_output(c->link[side]);
}

static bool
net_step(struct nodes *all)
{
	bool did = false;

	for (size_t i = 0; i < all->nconn; i++) {
		struct conn *c = &all->conn[i];

		did |= dial(all, c);
		did |= pump(all, c, 0);
		did |= pump(all, c, 1);
		if (settled(c, 0) || settled(c, 1))
			conn_close(c);
	}
	return did;
}

void
nodes_part(struct nodes *all, bool parted)
{
	all->parted = parted;
	for (size_t i = 0; parted && i < all->nconn; i++)
		conn_close(&all->conn[i]);
}

/* ---- time ---- */

static bool
step(struct nodes *all)
{
	bool did = false;

	for (unsigned i = 0; i < all->n; i++) {
		did |= watcher_step(&all->machine[i]);
		did |= agent_step(&all->machine[i]);
	}
	return net_step(all) || did;
}

static uint64_t
least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t
next_ms(const struct nodes *all)
{
	uint64_t at = UINT64_MAX;

	for (unsigned i = 0; i < all->n; i++) {
		const struct machine *m = &all->machine[i];

		if (m->stopped)
			continue;
		at = least(at, m->agent.up ? m->agent.due_ms : m->agent.start_ms);
		if (!all->agents_only)
			at = least(at, m->watcher.up ? m->watcher.due_ms : m->watcher.start_ms);
	}
	for (size_t i = 0; i < all->nconn; i++)
		for (int side = 0; side < 2; side++)
			if (all->conn[i].under_way[side].len > 0)
				at = least(at, all->conn[i].due_ms[side]);
	return at;
}

/* Everything that is due now is done. */
static void
turn(struct nodes *all)
{
	for (unsigned i = 0; step(all); i++)
		if (i == TURNS_MAX) {
			errno = ELOOP;
			die("the nodes spin", all->machine[0].said.data != NULL
						      ? (char *)all->machine[0].said.data
						      : "");
		}
}

bool
nodes_until(struct nodes *all, bool (*f)(void *arg), void *arg, uint64_t ms)
{
	uint64_t end = all->now_ms + ms;

	for (;;) {
		uint64_t next;

		turn(all);
		if (f(arg))
			return true;
		if (all->now_ms >= end)
			return false;
		next = least(next_ms(all), end);
		all->now_ms = next > all->now_ms ? next : all->now_ms + 1;
	}
}

static bool
never(void *arg)
{
	(void)arg;
	return false;
}

void
nodes_run(struct nodes *all, uint64_t ms)
{
	(void)nodes_until(all, never, NULL, ms);
}

void
nodes_jump(struct nodes *all, uint64_t ms)
{
	for (size_t i = 0; i < all->nconn; i++)
		conn_close(&all->conn[i]);
	all->now_ms += ms;
}

uint64_t
nodes_wall(const struct nodes *all)
{
	return wall_ms(all);
}

static uint64_t
real_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / NS_PER_MS;
}

void
nodes_set_wall(struct nodes *all)
{
	all->epoch_ms = real_ms() - all->now_ms;
}

static bool
still(const struct machine *m)
{
	struct core_stats st;

	if (m->stopped)
		return true;
	if (!ready(m) || !m->watcher.up || !m->node->commit)
		return false;
	st = core_stats(m->core);
	return st.dirty == 0 && st.idle && !st.scanning && m->agent.work.n == 0 &&
	       m->watcher.work.n == 0 && commit_idle(m->node->commit) &&
	       m->node->index->todo_count == 0 && m->node->index->intents == NULL &&
	       apply_active(m->node->apply) == 0;
}

static bool
all_still(void *arg)
{
	const struct nodes *all = arg;
	const struct node *first = NULL;

	for (unsigned i = 0; i < all->n; i++)
		if (!still(&all->machine[i]))
			return false;
	for (unsigned i = 0; i < all->n && !all->parted; i++) {
		const struct node *n = all->machine[i].node;

		if (all->machine[i].stopped)
			continue;
		first = first != NULL ? first : n;
		if (dotset_digest(&first->index->have) != dotset_digest(&n->index->have) ||
		    first->index->digest[0] != n->index->digest[0])
			return false;
	}
	return true;
}

bool
nodes_settle(struct nodes *all, uint64_t ms)
{
	return nodes_until(all, all_still, all, ms);
}

uint64_t
nodes_now(const struct nodes *all)
{
	return all->now_ms;
}

/* ---- life ---- */

static struct settings *
settings_of(const struct machine *m, const char *more)
{
	struct settings *conf = NULL;
	char text[4096], err[SETTINGS_ERROR_BYTES_MAX];
	int len = snprintf(text, sizeof(text),
			   "[node]\nname = %s\nroot = %s\nstate = %s\nwork = %s\n"
			   "[watch]\nsettle = 100ms\nrescan = 1h\n"
			   "[sync]\ninterval = 1s\ninline_max = 300\ndelta_min = 1K\n"
			   "retry_max = 2s\nping = 2s\ntimeout = 10s\n%s",
			   m->name, m->root, m->state, m->work, more != NULL ? more : "");

	if (settings_parse("nodes", text, (size_t)len, &conf, err, sizeof(err)) < 0)
		die("configuration", err);
	return conf;
}

static void
make_dir(const char *path)
{
	if (mkdir(path, 0755) < 0)
		die("mkdir", path);
}

static void
machine_init(struct nodes *all, unsigned i, const struct nodes_opts *o)
{
	struct machine *m = &all->machine[i];
	char dir[80];

	m->all = all;
	m->index = i;
	m->rng = (struct rng){i + 1};
	m->agent.start_ms = m->watcher.start_ms = all->now_ms;
	snprintf(m->name, sizeof(m->name), "n%u", (i + 1) % 1000);
	snprintf(dir, sizeof(dir), "%s/%s", all->dir, m->name);
	make_dir(dir);
	snprintf(m->root, sizeof(m->root), "%s/media", dir);
	snprintf(m->work, sizeof(m->work), "%s/work", dir);
	snprintf(m->state, sizeof(m->state), "%s/state", dir);
	make_dir(m->root);
	make_dir(m->state);
	m->conf = settings_of(m, o->more);
	m->log = log_new(LOG_TEXT, LOG_INFO, say, m);
	if (m->log == NULL)
		abort();
	log_set_clock(m->log, tell_time, m);
	m->wal = logdisk_new(&m->rng);
	m->wal->arg = m;
	m->wal->appended = on_appended;
	make_home(m);
}

static void
make_conns(struct nodes *all, bool (*linked)(unsigned i, unsigned k))
{
	all->conn = calloc((size_t)all->n * all->n, sizeof(*all->conn));
	if (all->conn == NULL)
		abort();
	for (unsigned i = 0; i < all->n; i++)
		for (unsigned k = i + 1; k < all->n; k++)
			if (linked == NULL || linked(i, k))
				all->conn[all->nconn++] = (struct conn){.i = i, .k = k};
}

struct nodes *
nodes_new(const struct nodes_opts *o)
{
	struct nodes *all = calloc(1, sizeof(*all));
	const char *tmp = getenv("TMPDIR");

	if (all == NULL)
		abort();
	snprintf(all->dir, sizeof(all->dir), "%s/nodes.XXXXXX",
		 tmp != NULL && strlen(tmp) < 32 ? tmp : "/tmp");
	if (mkdtemp(all->dir) == NULL)
		die("mkdtemp", all->dir);
	all->n = o->n;
	all->members = o->members != 0 ? o->members : o->n;
	all->latency_ms = o->latency_ms;
	all->agents_only = o->agents_only;
	all->machine = calloc(o->n, sizeof(*all->machine));
	if (all->machine == NULL)
		abort();
	make_conns(all, o->linked);
	all->now_ms = START_MS;
	all->epoch_ms = real_ms() - START_MS + 1000; /* what is in a tree is never of the future */
	umask(022);
	for (unsigned i = 0; i < o->n; i++)
		machine_init(all, i, o);
	return all;
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)st;
	(void)type;
	(void)where;
	return remove(path);
}

void
nodes_free(struct nodes *all)
{
	for (unsigned i = 0; i < all->n; i++) {
		struct machine *m = &all->machine[i];

		machine_stop(m);
		log_free(m->log);
		buf_free(&m->said);
		logdisk_free(m->wal);
		settings_free(m->conf);
	}
	if (nftw(all->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS) < 0)
		die("remove", all->dir);
	free(all->conn);
	free(all->machine);
	free(all);
}

struct machine *
nodes_at(struct nodes *all, unsigned i)
{
	return &all->machine[i];
}

struct node *
machine_node(struct machine *m)
{
	return ready(m) ? m->node : NULL;
}

struct core *
machine_core(struct machine *m)
{
	return m->core;
}

struct logdisk *
machine_wal(struct machine *m)
{
	return m->wal;
}

uint64_t
machine_sent(const struct machine *m)
{
	return m->sent;
}

struct settings *
machine_conf(struct machine *m)
{
	return m->conf;
}

const char *
machine_root(const struct machine *m)
{
	return m->root;
}

const char *
machine_work(const struct machine *m)
{
	return m->work;
}

const struct buf *
machine_wal_bytes(const struct machine *m)
{
	return &m->wal->file[m->wal->wal]->live;
}

void
machine_save_wal(struct machine *m)
{
	const struct buf *b = machine_wal_bytes(m);
	char path[NODES_PATH_BYTES + 8];
	int fd;

	snprintf(path, sizeof(path), "%s/wal", m->state);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, b->data, b->len) != (ssize_t)b->len || close(fd) < 0)
		die("write", path);
}

void
machine_old_wal(struct machine *m, const struct buf *bytes)
{
	struct log_file *f = m->wal->file[m->wal->wal];

	buf_reset(&f->live);
	buf_reset(&f->durable);
	buf_put(&f->live, bytes->data, bytes->len);
	buf_put(&f->durable, bytes->data, bytes->len);
	if (f->live.failed || f->durable.failed)
		abort();
	f->same = bytes->len;
}

unsigned
machine_fault(struct machine *m, const struct fault *f)
{
	unsigned seen = m->meets.seen;

	m->armed = f != NULL;
	if (f != NULL)
		m->meets = (struct meets){.fault = *f, .machine = m, .log = &m->agent.log.dead};
	return seen;
}

void
machine_meets(struct machine *m, bool on)
{
	fault_meets(on && m->armed ? &m->meets : NULL);
}

bool
machine_faulted(const struct machine *m)
{
	return m->meets.happened;
}

const char *
machine_said(const struct machine *m)
{
	struct buf *b = (struct buf *)(uintptr_t)&m->said;

	buf_put_u8(b, 0);
	if (b->failed)
		abort();
	b->len--;
	return (const char *)b->data;
}

void
machine_forget(struct machine *m)
{
	buf_reset(&m->said);
	m->fatal = 0;
	m->fatal_what[0] = '\0';
}

int
machine_fatal(const struct machine *m, const char **what)
{
	if (what != NULL)
		*what = m->fatal_what;
	return m->fatal;
}

unsigned
machine_deaths(const struct machine *m)
{
	return m->deaths;
}

/* ---- users ---- */

static const char *
below(const struct machine *m, const char *path, char out[NODES_PATH_BYTES])
{
	if (snprintf(out, NODES_PATH_BYTES, "%s/%s", m->root, path) >= NODES_PATH_BYTES)
		abort();
	return out;
}

/* The kernel's clock has ticks: two changes in one would look like one. */
static void
wait_for_tick(const char *path)
{
	struct timespec now;
	struct stat st;

	if (lstat(path, &st) < 0)
		return;
	do
		clock_gettime(CLOCK_REALTIME_COARSE, &now);
	while (now.tv_sec < st.st_ctim.tv_sec ||
	       (now.tv_sec == st.st_ctim.tv_sec && now.tv_nsec <= st.st_ctim.tv_nsec));
}

void
user_write(struct machine *m, const char *path, const void *bytes, size_t len)
{
	char full[NODES_PATH_BYTES];
	int fd;

	wait_for_tick(below(m, path, full));
	fd = open(full, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0 || write(fd, bytes, len) != (ssize_t)len || close(fd) < 0)
		die("write", full);
}

static uint8_t *
fill(unsigned id, unsigned version, size_t size)
{
	struct rng r = {id * 1000003u};
	uint8_t *b = malloc(size + 1);

	if (b == NULL)
		abort();
	for (size_t i = 0; i < size; i++)
		b[i] = (uint8_t)rng_next(&r);
	for (size_t i = 0; version > 0 && i < 4 && i < size; i++)
		b[size / 2 + i < size ? size / 2 + i : i] ^= (uint8_t)(version * 37 + 1);
	return b;
}

void
user_fill(struct machine *m, const char *path, unsigned id, unsigned version, size_t size)
{
	uint8_t *b = fill(id, version, size);

	user_write(m, path, b, size);
	free(b);
}

void
user_mkdir(struct machine *m, const char *path)
{
	char full[NODES_PATH_BYTES];

	make_dir(below(m, path, full));
}

void
user_link(struct machine *m, const char *target, const char *path)
{
	char full[NODES_PATH_BYTES];

	if (symlink(target, below(m, path, full)) < 0)
		die("symlink", full);
}

void
user_move(struct machine *m, const char *from, const char *to)
{
	char a[NODES_PATH_BYTES], b[NODES_PATH_BYTES];

	if (rename(below(m, from, a), below(m, to, b)) < 0)
		die("rename", a);
}

void
user_remove(struct machine *m, const char *path)
{
	char full[NODES_PATH_BYTES];

	if (remove(below(m, path, full)) < 0)
		die("remove", full);
}

void
user_chmod(struct machine *m, const char *path, unsigned mode)
{
	char full[NODES_PATH_BYTES];

	wait_for_tick(below(m, path, full));
	if (chmod(full, mode) < 0)
		die("chmod", full);
}

void
user_touch(struct machine *m, const char *path, int64_t mtime_ns)
{
	const struct timespec ts[2] = {{.tv_nsec = UTIME_OMIT},
				       {mtime_ns / 1000000000, mtime_ns % 1000000000}};
	char full[NODES_PATH_BYTES];

	wait_for_tick(below(m, path, full));
	if (utimensat(AT_FDCWD, full, ts, AT_SYMLINK_NOFOLLOW) < 0)
		die("utimensat", full);
}

static bool
file_is(const char *full, const void *bytes, size_t len)
{
	uint8_t *b;
	struct stat st;
	bool same = false;
	int fd = open(full, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return false;
	b = malloc(len + 1);
	if (b == NULL)
		abort();
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (size_t)st.st_size == len)
		same = read(fd, b, len) == (ssize_t)len && (len == 0 || memcmp(b, bytes, len) == 0);
	free(b);
	close(fd);
	return same;
}

bool
user_sees(struct machine *m, const char *path, const void *bytes, size_t len)
{
	char full[NODES_PATH_BYTES];
	struct stat st;

	below(m, path, full);
	if (bytes == NULL)
		return lstat(full, &st) < 0 && (errno == ENOENT || errno == ENOTDIR);
	return file_is(full, bytes, len);
}

bool
user_sees_fill(struct machine *m, const char *path, unsigned id, unsigned version, size_t size)
{
	uint8_t *b = fill(id, version, size);
	bool same = user_sees(m, path, b, size);

	free(b);
	return same;
}

/* ---- looking at everything ---- */

/* nftw has no argument. */
static struct {
	const uint8_t *bytes;
	size_t len;
	bool found;
	struct buf *list;
	size_t skip;
	bool no_times;
} looking;

static int
look_at(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)where;
	if (type == FTW_F && S_ISREG(st->st_mode) && (size_t)st->st_size == looking.len &&
	    file_is(path, looking.bytes, looking.len))
		looking.found = true;
	return looking.found;
}

bool
nodes_have_fill(struct nodes *all, unsigned id, unsigned version, size_t size)
{
	uint8_t *b = fill(id, version, size);

	looking.bytes = b;
	looking.len = size;
	looking.found = false;
	(void)nftw(all->dir, look_at, 16, FTW_PHYS);
	free(b);
	return looking.found;
}

static void
list_hash(const char *path, char text[2 * HASH_BYTES + 1])
{
	static const char digits[] = "0123456789abcdef";
	uint8_t hash[HASH_BYTES], *b = malloc(FILE_BYTES_MAX);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 && b != NULL ? read(fd, b, FILE_BYTES_MAX) : -1;

	if (n < 0 || hash_of(b, (size_t)n, hash) < 0)
		die("read", path);
	for (size_t i = 0; i < HASH_BYTES; i++) {
		text[2 * i] = digits[hash[i] >> 4];
		text[2 * i + 1] = digits[hash[i] & 15];
	}
	text[sizeof(hash) * 2] = '\0';
	close(fd);
	free(b);
}

static int
list_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
	char line[3 * NODES_PATH_BYTES], hash[2 * HASH_BYTES + 1] = "", to[NODES_PATH_BYTES] = "";
	long long mtime = 0;
	unsigned mode = st->st_mode & 07777;
	ssize_t n;

	if (where->level == 0 || strcmp(path + looking.skip, "/.mimeo-id") == 0)
		return 0;
	if (type == FTW_F)
		list_hash(path, hash);
	if (type == FTW_F && !looking.no_times)
		mtime = (long long)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
	n = type == FTW_SL ? readlink(path, to, sizeof(to) - 1) : 0;
	if (n < 0)
		die("readlink", path);
	mode = type == FTW_SL ? 0 : mode;
	snprintf(line, sizeof(line), "%s %d %o %lld %s%s\n", path + looking.skip, type, mode, mtime,
		 hash, to);
	buf_put(looking.list, line, strlen(line));
	return 0;
}

static int
by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorted lines, one string. */
static char *
listing(const struct machine *m)
{
	struct buf b = {0};
	char **line, *text, *out, *save = NULL;
	size_t n = 0, len = 0;

	looking.list = &b;
	looking.skip = strlen(m->root);
	if (nftw(m->root, list_one, 16, FTW_PHYS) < 0)
		die("list", m->root);
	buf_put_u8(&b, 0);
	text = (char *)b.data;
	line = calloc(b.len, sizeof(*line));
	out = calloc(b.len + 1, 1);
	if (line == NULL || out == NULL)
		abort();
	for (char *l = strtok_r(text, "\n", &save); l != NULL; l = strtok_r(NULL, "\n", &save))
		line[n++] = l;
	qsort(line, n, sizeof(*line), by_text);
	for (size_t i = 0; i < n; i++)
		len += (size_t)sprintf(out + len, "%s\n", line[i]);
	free(line);
	buf_free(&b);
	return out;
}

char *
nodes_listing(const struct machine *m)
{
	char *text;

	looking.no_times = true;
	text = listing(m);
	looking.no_times = false;
	return text;
}

static void
say_lines(const char *name, const char *text)
{
	char *save = NULL, *copy = strdup(text);

	if (copy == NULL)
		abort();
	for (char *l = strtok_r(copy, "\n", &save); l != NULL; l = strtok_r(NULL, "\n", &save))
		printf("# %s: %s\n", name, l);
	free(copy);
}

bool
nodes_same(struct nodes *all)
{
	char *first = listing(&all->machine[0]);
	bool same = true;

	for (unsigned i = 1; i < all->n; i++) {
		char *other = listing(&all->machine[i]);

		if (strcmp(first, other) != 0) {
			same = false;
			say_lines("n1", first);
			say_lines(all->machine[i].name, other);
		}
		free(other);
	}
	free(first);
	return same;
}
