/* SPDX-License-Identifier: BSD-2-Clause */
/* Runs histories: one seed, one history. What it runs are the production objects. */
#include "config.h"

#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/apply.h"
#include "conf/clock.h"
#include "tests/simulator/sim.h"

#define CALM_NS (400 * SIM_S) /* after the last fault, everything is at rest by then */
#define STILL_NS (3 * SIM_S)  /* and stays as it is */
#define QUIET_LOOKS 10        /* 20 ms apart */
#define STILL_BRIEF_NS (1500 * SIM_MS)
#define SMALL_LENGTH 4
#define SMALL_SPREAD_NS (60 * SIM_MS)
#define SIM_SMALL_ACTS (2 * USER_SMALL_KINDS)
#define BEAR_NS (20 * SIM_S)
#define HEAL_NS (500 * SIM_MS)
#define STEPS_MAX 3000000
#define STEP_NS (40 * 1000) /* what a step costs, at most */

/* ---- what happened ---- */

static void
mix(struct sim *s, const char *text)
{
	for (; *text != '\0'; text++)
		s->hash = (s->hash ^ (uint8_t)*text) * 0x100000001b3u;
	s->hash = (s->hash ^ s->now_ns) * 0x100000001b3u;
}

void
sim_trace(struct sim *s, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	mix(s, line);
	if (s->verbose)
		printf("%10.6f %s\n", (double)s->now_ns / 1e9, line);
}

/* The same, of what makes the history what it is. */
void
sim_event(struct sim *s, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	sim_trace(s, "%s", line);
	if (s->tell && !s->calm)
		printf("%10.6f %s\n", (double)s->now_ns / 1e9, line);
}

bool
sim_happens(struct sim *s)
{
	uint64_t n = s->happened++;

	return s->skip == NULL || (n < s->nskip && !s->skip[n]);
}

void
sim_fail(struct sim *s, const char *fmt, ...)
{
	va_list ap;

	if (s->failed)
		return;
	s->failed = true;
	va_start(ap, fmt);
	vsnprintf(s->why, sizeof(s->why), fmt, ap);
	va_end(ap);
	sim_trace(s, "FAILED %s", s->why);
}

/* ---- time ---- */

static void
set_time(struct sim *s, uint64_t now_ns)
{
	s->now_ns = now_ns;
	for (unsigned i = 0; i < s->n; i++)
		s->host[i]->wall_ns = SIM_EPOCH_NS + (int64_t)now_ns + s->host[i]->wall_offset_ns;
}

static uint64_t
next_ns(const struct sim *s)
{
	uint64_t at = net_next_ns(s);

	for (unsigned i = 0; i < s->n; i++) {
		uint64_t h = host_next_ns(s->host[i]);

		at = h < at ? h : at;
	}
	return at;
}

/* One thing happens somewhere, or time passes, at most until `until`. */
static void
step(struct sim *s, uint64_t until)
{
	unsigned first = (unsigned)rng_below(&s->rng, s->n + 1);
	uint64_t at;

	s->steps++;
	set_time(s, s->now_ns + rng_below(&s->rng, STEP_NS));
	for (unsigned i = 0; i <= s->n; i++) {
		unsigned k = (first + i) % (s->n + 1);

		if (k == s->n ? net_step(s) : host_step(s->host[k]))
			return;
	}
	at = next_ns(s);
	at = at < until ? at : until;
	set_time(s, at > s->now_ns ? at : s->now_ns + STEP_NS);
}

/* ---- at rest ---- */

static bool
trees_equal(const struct disk *d, const struct inode *a, const struct inode *b, char *where,
	    size_t cap)
{
	size_t na = 0, nb = 0;

	if (a->kind != b->kind ||
	    (a->kind == KIND_FILE && (a->mode != b->mode || a->mtime_ns != b->mtime_ns)) ||
	    a->data.len != b->data.len ||
	    (a->data.len > 0 && memcmp(a->data.data, b->data.data, a->data.len) != 0)) {
		if (where != NULL)
			(void)disk_path(d, a, where, cap);
		return false;
	}
	for (const struct dent *e = b->dent; e != NULL; e = e->next)
		nb += e->live != NULL;
	for (const struct dent *e = a->dent; e != NULL; e = e->next) {
		const struct inode *other;

		if (e->live == NULL)
			continue;
		na++;
		other = disk_lookup(b, e->name, e->len);
		if (other == NULL) {
			if (where != NULL)
				(void)disk_path(d, e->live, where, cap);
			return false;
		}
		if (!trees_equal(d, e->live, other, where, cap))
			return false;
	}
	if (na != nb && where != NULL && !disk_path(d, a, where, cap))
		where[0] = '\0';
	return na == nb;
}

static bool
at_rest(struct sim *s)
{
	for (unsigned i = 0; i < s->n; i++) {
		const struct index *x;

		if (!host_quiet(s->host[i]))
			return false;
		x = s->host[i]->node->index;
		if (!dotset_eq(&x->have, &s->host[0]->node->index->have) ||
		    !dotset_eq(&x->have, &x->acked))
			return false;
	}
	return true;
}

/* Are all trees the same? If not, why says which are not, and where. */
static bool
all_equal(const struct sim *s, char *why, size_t cap)
{
	for (unsigned i = 1; i < s->n; i++) {
		const struct host *a = s->host[0], *b = s->host[i];
		char where[300] = "";

		if (trees_equal(a->disk, a->disk->root, b->disk->root, where, sizeof(where)))
			continue;
		if (why != NULL)
			snprintf(why, cap, "the trees of %s and %s differ: %s", a->name, b->name,
				 where);
		return false;
	}
	return true;
}

static void
check_rest(struct sim *s)
{
	char why[400];

	if (!all_equal(s, why, sizeof(why)))
		sim_fail(s, "%s", why);
	for (unsigned i = 1; i < s->n; i++) {
		const struct host *a = s->host[0], *b = s->host[i];

		if (memcmp(a->node->index->digest, b->node->index->digest, 16) != 0)
			sim_fail(s, "%s and %s have other digests", a->name, b->name);
	}
	if (!s->failed)
		ledger_check(s->ledger);
}

static void
why_not(struct sim *s)
{
	char text[700] = "";
	size_t len = 0;

	for (unsigned i = 0; i < s->n && len < sizeof(text) - 100; i++) {
		const struct host *h = s->host[i];
		const struct pathent *e;
		struct apply_state st;

		if (h->node == NULL || h->core == NULL) {
			len += (size_t)snprintf(text + len, sizeof(text) - len, " %s: down;",
						h->name);
			continue;
		}
		e = index_todo_first(h->node->index);
		if (e == NULL) {
			len += (size_t)snprintf(
				text + len, sizeof(text) - len,
				" %s: dirty %llu, quiet %d, all acked %d;", h->name,
				(unsigned long long)core_stats(h->core).dirty, host_quiet(h),
				dotset_eq(&h->node->index->have, &h->node->index->acked));
			continue;
		}
		st = apply_explain(h->node->apply, e);
		len += (size_t)snprintf(text + len, sizeof(text) - len,
					" %s: %zu unsettled, %.60s: %s %s;", h->name,
					h->node->index->todo_count, (const char *)e->path, st.state,
					st.reason != NULL ? st.reason : "");
	}
	sim_fail(s, "not at rest:%s", text);
}

static void
dump_tree(const struct inode *dir, int depth)
{
	for (const struct dent *e = dir->dent; e != NULL; e = e->next) {
		if (e->live == NULL)
			continue;
		printf("  tree %*s%.*s %s ino %llu mode %o mtime %lld size %zu %.12s\n", depth * 2,
		       "", (int)e->len, e->name,
		       e->live->kind == KIND_DIR    ? "dir"
		       : e->live->kind == KIND_FILE ? "file"
						    : "link",
		       (unsigned long long)e->live->ino, e->live->mode,
		       (long long)(e->live->mtime_ns - SIM_EPOCH_NS), e->live->data.len,
		       e->live->data.len > 0 ? (const char *)e->live->data.data : "");
		dump_tree(e->live, depth + 1);
	}
}

static void
dump_index(const struct pathent *e)
{
	char dot[DOT_TEXT_BYTES];
	struct irec *want;

	printf("  index %s%s%s want %d%s strong %u weak %u live %u\n", (const char *)e->path,
	       e->shown_dir       ? " implied"
	       : e->shown != NULL ? " shown"
				  : "",
	       e->todo ? " UNSETTLED" : "", (int)index_want(e, &want),
	       e->intent != NULL ? " INTENT" : "", e->strong_below, e->weak_below, e->live);
	for (const struct irec *i = e->recs; i != NULL; i = i->next) {
		dot_text(i->r->dot, dot);
		printf("        %s mtime %lld mode %o %s%s%s%s%s\n", dot,
		       (long long)(i->r->mtime_ns - SIM_EPOCH_NS), i->r->mode,
		       record_op_name((enum record_op)i->r->op), i->head ? " head" : "",
		       i->shown ? " shown" : "", index_applied(i) ? " applied" : "",
		       record_import(i->r) ? " import" : "");
	}
	for (const struct pathent *c = e->child; c != NULL; c = c->sib_next)
		dump_index(c);
}

static void
dump(const struct sim *s)
{
	for (unsigned i = 0; i < s->n; i++) {
		printf("%s:\n", s->host[i]->name);
		dump_tree(s->host[i]->disk->root, 0);
		printf(" stage\n");
		dump_tree(s->host[i]->disk->stage, 0);
		printf(" kept\n");
		dump_tree(s->host[i]->disk->kept, 0);
		if (s->host[i]->node != NULL)
			dump_index(s->host[i]->node->index->root);
	}
}

/* ---- one history ---- */

static volatile sig_atomic_t running; /* for whoever has to say at which seed it ended */

/* An assertion of the product failed. */
static void
on_abort(int sig)
{
	char text[] = "seed ########## aborted\n";
	uint64_t seed = (uint64_t)running;

	(void)sig;
	for (size_t i = 14; i > 4; i--, seed /= 10)
		text[i] = (char)('0' + seed % 10);
	(void)!write(STDOUT_FILENO, text, sizeof(text) - 1);
}

static void
draw_faults(struct sim *s, struct rng *r)
{
	static const size_t queues[] = {16384, 16384, 256, 16};
	static const int64_t grains[] = {2000000000, 1, 4000000, 10000000};
	struct faults *f = &s->faults;

	*f = (struct faults){
		.events_max = queues[rng_below(r, 4)],
		.slow_ns = SIM_MS << rng_below(r, 8),
		.latency_ns = SIM_MS << rng_below(r, 9),
	};
	if (rng_below(r, 2) == 0)
		f->race = 50 + (unsigned)rng_below(r, 500);
	if (rng_below(r, 2) == 0)
		f->cut_link = 20 + (unsigned)rng_below(r, 300);
	if (rng_below(r, 3) == 0)
		f->agent_kill = 30 + (unsigned)rng_below(r, 600);
	if (rng_below(r, 3) == 0)
		f->watcher_kill = 30 + (unsigned)rng_below(r, 600);
	if (rng_below(r, 3) == 0)
		f->power_cut = 5 + (unsigned)rng_below(r, 40);
	if (rng_below(r, 4) == 0)
		f->lose_sync = 5 + (unsigned)rng_below(r, 20);
	if (rng_below(r, 4) == 0)
		f->full = 3 + (unsigned)rng_below(r, 10);
	if (rng_below(r, 3) == 0)
		f->jump = 3 + (unsigned)rng_below(r, 20);
	f->grain_ns = grains[rng_below(r, 4)];
}

/* About as much goes wrong in it as in a longer one. */
static void
draw_brief(struct sim *s, struct rng *r, unsigned *actions, uint64_t *spread)
{
	static const unsigned machines[] = {2, 2, 2, 3, 3, 3, 4, 5};
	struct faults *f = &s->faults;
	unsigned *odds[] = {&f->agent_kill, &f->watcher_kill, &f->power_cut, &f->cut_link,
			    &f->race,       &f->lose_sync,    &f->full,      &f->jump};

	if (!s->brief)
		return;
	s->n = machines[rng_below(r, ARRAY_LEN(machines))];
	*actions = 5 + (unsigned)rng_below(r, 20);
	*spread = (20 * SIM_MS) << rng_below(r, 6);
	for (size_t i = 0; i < ARRAY_LEN(odds); i++)
		*odds[i] = (*odds[i] + 1) / 2;
}

/* Two machines, and nothing goes wrong but what is to. */
static void
draw_small(struct sim *s)
{
	s->n = 2;
	s->faults = (struct faults){.events_max = 16384,
				    .slow_ns = 4 * SIM_MS,
				    .latency_ns = 4 * SIM_MS,
				    .grain_ns = 1};
}

static void
draw_wild(struct sim *s)
{
	struct rng *r = &s->wild_rng;
	struct faults *f = &s->faults;

	if (!s->wild)
		return;
	f->wild = 2 + (unsigned)rng_below(r, 5);
	if (s->clash && f->grain_ns > 4000000)
		f->grain_ns = (int64_t)SIM_S;
	if (rng_below(r, 2) == 0)
		f->tombstones_s = 1 + (unsigned)rng_below(r, 20);
	if (rng_below(r, 2) == 0)
		f->deletes_max = 1 + (unsigned)rng_below(r, 3);
}

/* Sooner or later some sync fails: whoever finds out ends, and is started again. */
static void
lose_sync(struct host *h, struct rng *r)
{
	unsigned n = 1 + (unsigned)rng_below(r, 12);

	h->expect_fatal = h->lost_sync = true;
	if (rng_below(r, 2) == 0)
		h->disk->fsync_fails = n;
	else
		h->wal->fsync_fails = n;
	sim_event(h->sim, "%s a sync will fail", h->name);
}

static void
fill_disk(struct host *h, struct rng *r)
{
	bool full = rng_below(r, 3) != 0;

	h->disk->free_bytes = full ? rng_below(r, 100000) : 1u << 30;
	h->wal->free_bytes = full && rng_below(r, 2) == 0 ? rng_below(r, 400) : UINT64_MAX;
	sim_event(h->sim, "%s has room for %llu bytes", h->name,
		  (unsigned long long)h->disk->free_bytes);
}

static void
set_clock(struct host *h, struct rng *r)
{
	int64_t by = (int64_t)rng_below(r, 2 * SIM_S << rng_below(r, 28));

	h->wall_offset_ns += rng_below(r, 2) == 0 ? by : -by;
	sim_event(h->sim, "%s clock is off by %lld s", h->name,
		  (long long)(h->wall_offset_ns / (int64_t)SIM_S));
}

static bool
go_wrong(struct host *h, struct rng *r)
{
	const struct faults *f = &h->sim->faults;

	if (rng_once_in(r, f->power_cut))
		host_power_cut(h);
	else if (rng_once_in(r, f->lose_sync))
		lose_sync(h, r);
	else if (rng_once_in(r, f->full))
		fill_disk(h, r);
	else if (rng_once_in(r, f->jump))
		set_clock(h, r);
	else
		return false;
	return true;
}

static void
act(struct sim *s, uint64_t spread_ns)
{
	uint64_t until = s->now_ns + rng_delay(&s->user_rng, spread_ns);
	struct host *h = s->host[rng_below(&s->user_rng, s->n)];
	/* What is left out changes nothing of what comes later. */
	struct rng user = {rng_next(&s->user_rng)}, wild = {rng_next(&s->wild_rng)};

	while (s->now_ns < until && s->steps < STEPS_MAX && !s->failed)
		step(s, until);
	if (s->small.on) {
		unsigned what = s->small.code;

		s->small.code /= SIM_SMALL_ACTS;
		user_small(s->host[what % 2], what / 2 % USER_SMALL_KINDS, &user);
		return;
	}
	if (!sim_happens(s))
		return;
	if (rng_once_in(&wild, s->faults.wild))
		wild_act(h, rng_next(&wild), &wild);
	else if (!go_wrong(h, &user) && !h->root_gone)
		user_act(h, rng_next(&user), &user);
}

static void
settle(struct sim *s)
{
	uint64_t end = s->now_ns + CALM_NS, look = 0, heal = 0;
	unsigned quiet = 0; /* looks in a row */
	bool whole = !s->wild;

	s->calm = true;
	for (unsigned i = 0; i < s->n; i++) {
		struct host *h = s->host[i];

		user_close(h);
		h->disk->fsync_fails = h->wal->fsync_fails = 0;
		h->disk->free_bytes = 1u << 30;
		h->wal->free_bytes = UINT64_MAX;
	}
	while (!s->failed && s->now_ns < end && s->steps < STEPS_MAX) {
		step(s, end);
		if (s->now_ns < look)
			continue;
		look = s->now_ns + 20 * SIM_MS;
		if (s->wild && s->now_ns >= heal) {
			whole = wild_heal(s);
			heal = s->now_ns + HEAL_NS;
		}
		quiet = whole && at_rest(s) && all_equal(s, NULL, 0) ? quiet + 1 : 0;
		if (quiet == QUIET_LOOKS)
			return;
	}
	s->bereft = s->wild && s->restored && wild_bereft(s);
	if (!s->failed && !s->bereft && !at_rest(s))
		why_not(s);
}

/* Then nobody logs anything, but that deletes get old, whenever that is, and are forgotten. */
static void
stay(struct sim *s)
{
	uint64_t end = s->now_ns + (s->brief ? STILL_BRIEF_NS : STILL_NS);
	uint64_t news[SIM_HOSTS_MAX];

	for (unsigned i = 0; i < s->n; i++)
		news[i] = s->host[i]->news;
	while (!s->failed && s->now_ns < end)
		step(s, end);
	for (unsigned i = 0; i < s->n; i++)
		if (!s->wild && news[i] != s->host[i]->news)
			sim_fail(s, "%s: its WAL grows although nothing happens", s->host[i]->name);
}

/* With a liar among them the others need not agree: they lose nothing, and go on. */
static void
bear(struct sim *s)
{
	uint64_t end = s->now_ns + BEAR_NS;

	s->calm = true;
	for (unsigned i = 0; i < s->n; i++)
		user_close(s->host[i]);
	while (!s->failed && s->now_ns < end && s->steps < STEPS_MAX)
		step(s, end);
	ledger_check_honest(s->ledger);
}

static void
draw_liar(struct sim *s, bool liar)
{
	s->lie_rng.state = s->seed * 2 + 5;
	if (!liar)
		return;
	s->liar = s->host[rng_below(&s->lie_rng, s->n)];
	s->faults.jump = 0; /* what is kept would expire */
}

static void
run(struct sim *s, bool liar)
{
	struct rng r = {s->seed * 2 + 1};
	unsigned actions;
	uint64_t spread;

	s->hash = 0xcbf29ce484222325u;
	s->rng.state = rng_next(&r);
	s->user_rng.state = rng_next(&r);
	s->now_ns = 1000 * SIM_S;
	s->n = 2 + (unsigned)rng_below(&r, 2 + rng_below(&r, 5));
	if (s->n > SIM_HOSTS_MAX)
		s->n = SIM_HOSTS_MAX;
	draw_faults(s, &r);
	actions = 5 + (unsigned)rng_below(&r, 40);
	spread = (50 * SIM_MS) << rng_below(&r, 7);
	draw_brief(s, &r, &actions, &spread);
	if (s->small.on)
		draw_small(s);
	s->wild_rng.state = s->seed * 2 + 3;
	draw_wild(s);
	s->ledger = ledger_new(s);
	for (unsigned i = 0; i < s->n; i++) {
		s->host[i] = calloc(1, sizeof(*s->host[i]));
		if (s->host[i] == NULL)
			abort();
		host_init(s->host[i], s, i);
	}
	draw_liar(s, liar);
	set_time(s, s->now_ns);
	if (s->small.on) {
		actions = SMALL_LENGTH;
		spread = SMALL_SPREAD_NS;
	}
	for (unsigned i = 0; i < actions && !s->failed; i++)
		act(s, spread);
	if (!s->failed && s->liar != NULL)
		bear(s);
	else if (!s->failed)
		settle(s);
	for (unsigned i = 0; i < 2 && !s->failed && !s->bereft && s->liar == NULL; i++) {
		check_rest(s);
		if (i == 0 && !s->failed)
			stay(s);
	}
	if (s->failed && s->verbose)
		dump(s);
	for (unsigned i = 0; i < s->n; i++)
		host_free(s->host[i]);
	net_free(s);
	for (unsigned i = 0; i < s->n; i++)
		free(s->host[i]);
}

struct totals {
	bool brief, wild, clash, liar; /* what kind of histories */
	uint64_t seeds, failed, steps, events, records;
	uint64_t hash; /* of the last one */
	uint64_t all;  /* of all of them */
};

/* ---- everything that is small ---- */

/* One history. *effects: how many there were. */
static bool
small_one(unsigned code, bool power, uint64_t crash_at, uint64_t *effects)
{
	struct sim *s = calloc(1, sizeof(*s));
	bool good;

	if (s == NULL)
		abort();
	s->seed = code + 1;
	s->small = (struct small){.on = true, .power = power, .code = code, .crash_at = crash_at};
	run(s, false);
	*effects = s->small.effects;
	good = !s->failed;
	if (!good)
		printf("small history %u, %s before effect %llu: %s\n", code,
		       power ? "power cut" : "kill", (unsigned long long)crash_at, s->why);
	ledger_free(s->ledger);
	free(s);
	return good;
}

/* Two machines, one path, four things that users do; and at every `step'-th moment of that one
 * process is killed, or one machine loses its power. */
static int
small_all(uint64_t step, uint64_t seconds)
{
	uint64_t begun = clock_mono_ms(), n = 0, failed = 0, codes = 1, code;

	for (unsigned i = 0; i < SMALL_LENGTH; i++)
		codes *= SIM_SMALL_ACTS;
	for (code = 0; code < codes && clock_mono_ms() - begun < seconds * 1000; code++)
		for (unsigned power = 0; power < 2; power++) {
			uint64_t effects = UINT64_MAX;

			for (uint64_t at = 1 + code % step; at <= effects; at += step, n++) {
				uint64_t had;

				failed += !small_one((unsigned)code, power == 1, at, &had);
				effects = had < effects ? had : effects;
			}
		}
	printf("%llu of %llu small histories, crashed at %llu moments, %llu failed\n",
	       (unsigned long long)code, (unsigned long long)codes, (unsigned long long)n,
	       (unsigned long long)failed);
	return failed > 0 ? 1 : 0;
}

/* ---- shrinking ---- */

struct shrunk {
	const struct totals *kind;
	uint64_t seed;
	bool *skip;
	uint64_t n, runs;
};

/* Does the history fail without what is to be skipped? */
static bool
still_fails(struct shrunk *k, bool tell)
{
	struct sim *s = calloc(1, sizeof(*s));
	bool failed;

	if (s == NULL)
		abort();
	s->seed = k->seed;
	s->brief = k->kind->brief;
	s->wild = k->kind->wild;
	s->clash = k->kind->clash;
	s->skip = k->skip;
	s->nskip = k->n;
	s->tell = tell;
	run(s, k->kind->liar);
	failed = s->failed;
	if (tell)
		printf("then: %s\n", s->why);
	if (k->n == 0)
		k->n = s->happened;
	k->runs++;
	ledger_free(s->ledger);
	free(s);
	return failed;
}

/* Leaves out as much as can be left out, in pieces of that size. */
static void
leave_out(struct shrunk *k, uint64_t size)
{
	bool *before = calloc(k->n + 1, sizeof(*before));

	if (before == NULL)
		abort();
	for (uint64_t at = 0; at < k->n; at += size) {
		uint64_t end = at + size < k->n ? at + size : k->n;
		bool more = false;

		memcpy(before, k->skip, k->n * sizeof(*before));
		for (uint64_t i = at; i < end; i++) {
			more = more || !k->skip[i];
			k->skip[i] = true;
		}
		if (more && !still_fails(k, false))
			memcpy(k->skip, before, k->n * sizeof(*before));
	}
	free(before);
}

static int
shrink(uint64_t seed, const struct totals *kind)
{
	struct shrunk k = {.kind = kind, .seed = seed};
	uint64_t left = 0;

	if (!still_fails(&k, false)) {
		printf("seed %llu does not fail\n", (unsigned long long)seed);
		return 1;
	}
	k.skip = calloc(k.n + 1, sizeof(*k.skip));
	if (k.skip == NULL)
		abort();
	for (uint64_t size = k.n; size > 0; size /= 2)
		leave_out(&k, size);
	leave_out(&k, 1);
	for (uint64_t i = 0; i < k.n; i++)
		left += !k.skip[i];
	printf("%llu of %llu events are left, after %llu histories:\n", (unsigned long long)left,
	       (unsigned long long)k.n, (unsigned long long)k.runs);
	(void)still_fails(&k, true);
	free(k.skip);
	return 0;
}

static bool
one(uint64_t seed, bool verbose, struct totals *t)
{
	struct sim *s = calloc(1, sizeof(*s));
	bool good;

	if (s == NULL)
		abort();
	s->seed = seed;
	s->brief = t->brief;
	s->wild = t->wild;
	s->clash = t->clash;
	running = (sig_atomic_t)seed;
	s->verbose = verbose;
	run(s, t->liar);
	t->seeds++;
	t->failed += s->failed;
	t->steps += s->steps;
	t->events += s->events;
	t->records += ledger_records(s->ledger);
	t->hash = s->hash;
	t->all = (t->all ^ s->hash) * 0x100000001b3u;
	good = !s->failed;
	if (!good)
		printf("seed %llu failed: %s\n", (unsigned long long)seed, s->why);
	if (verbose)
		printf("hash %016llx\n", (unsigned long long)s->hash);
	ledger_free(s->ledger);
	free(s);
	return good;
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{"seed", required_argument, NULL, 's'},   {"seeds", required_argument, NULL, 'n'},
		{"first", required_argument, NULL, 'f'},  {"seconds", required_argument, NULL, 't'},
		{"twice", no_argument, NULL, '2'},        {"quiet", no_argument, NULL, 'q'},
		{"stop", no_argument, NULL, '1'},         {"brief", no_argument, NULL, 'b'},
		{"wild", no_argument, NULL, 'w'},         {"liar", no_argument, NULL, 'l'},
		{"shrink", required_argument, NULL, 'k'}, {"clash", no_argument, NULL, 'c'},
		{"small", required_argument, NULL, 'm'},  {0}};
	uint64_t n = 1000, first = 1, seed = 0, smaller = 0, small = 0, seconds = UINT32_MAX,
		 begun = clock_mono_ms();
	struct totals t = {0};
	bool quiet = false, twice = false, stop = false;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 's')
			seed = strtoull(optarg, NULL, 0);
		else if (c == 'n')
			n = strtoull(optarg, NULL, 0);
		else if (c == 'f')
			first = strtoull(optarg, NULL, 0);
		else if (c == 't')
			seconds = strtoull(optarg, NULL, 0);
		else if (c == '2')
			twice = true;
		else if (c == 'q')
			quiet = true;
		else if (c == '1')
			stop = true;
		else if (c == 'b')
			t.brief = true;
		else if (c == 'w')
			t.wild = true;
		else if (c == 'l')
			t.liar = true;
		else if (c == 'c')
			t.wild = t.clash = true;
		else if (c == 'm')
			small = strtoull(optarg, NULL, 0);
		else if (c == 'k')
			smaller = strtoull(optarg, NULL, 0);
		else
			return 2;
	}
	signal(SIGABRT, on_abort);
	if (small != 0)
		return small_all(small, seconds);
	if (smaller != 0)
		return shrink(smaller, &t);
	if (seed != 0)
		return one(seed, !quiet, &t) ? 0 : 1;
	for (uint64_t i = 0; i < n && clock_mono_ms() - begun < seconds * 1000; i++) {
		uint64_t hash;

		if (stop && t.failed > 0)
			break;

		(void)one(first + i, false, &t);
		hash = t.hash;
		if (!twice)
			continue;
		(void)one(first + i, false, &t);
		if (hash != t.hash) {
			printf("seed %llu is not the same twice\n",
			       (unsigned long long)first + (unsigned long long)i);
			t.failed++;
		}
	}
	printf("%llu histories, %llu failed; %llu records, %llu events, %llu steps, hash %016llx\n",
	       (unsigned long long)t.seeds, (unsigned long long)t.failed,
	       (unsigned long long)t.records, (unsigned long long)t.events,
	       (unsigned long long)t.steps, (unsigned long long)t.all);
	return t.failed > 0 ? 1 : 0;
}
