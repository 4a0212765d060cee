/* SPDX-License-Identifier: BSD-2-Clause */
/* From dirty names to durable records. */
#include "config.h"

#include "watcher/rounds.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/escape.h"
#include "proto/path.h"
#include "proto/seeded.h"
#include "watcher/take.h"

#define RETRY_BUSY_MS                                                                              \
	1000 /* a close of the file is an event of its own; this is for what gives none */
#define RETRY_LATER_MS 5 /* the agent is at work on the path */
#define RETRY_ECHO_MS 100
#define RETRY_BELOW_MS 20
#define BELOW_TRIES 50
#define RETRY_ERROR_MS 5000
#define RETRY_SPACE_MS 1000
#define RETRY_SCAN_MS 100
#define RETRY_HELD_MS 2000
#define ANSWER_BYTES_MAX 60000

enum lane_state { LANE_IDLE, LANE_TAKING, LANE_READY };
enum commit_state { COMMIT_IDLE, COMMIT_LOCKING, COMMIT_SYNCING };

struct lane {
	struct take_batch batch; /* first */
	struct rounds *r;
	enum lane_state state;
};

struct rounds {
	struct rounds_opts o;
	struct lane *small, *large;
	enum commit_state state;
	struct work_job job;
	int job_error;
	struct buf batch;
	struct author before; /* as it was when the batch was empty */
	bool scanned_before, rehashed_before;
	bool poked, dead;
	uint64_t now_ms, wall_ms;
	int64_t wall_ns;
	uint64_t not_before_ms; /* after a full disk */
	uint64_t barrier, barrier_stamp;
	uint64_t answer; /* put into the round under way */
	bool scanned, rehashed;
	bool scanning, blind;
	bool anew; /* the log is to say that a first scan is due */
	enum { AWAIT_NOT, AWAIT_PUT, AWAIT_DONE } await;
	uint64_t reverts;  /* dirty names that went back to an older version */
	uint64_t accepted; /* the index's, as of the last look */
	bool accepting;    /* those that wait now may be logged */
	bool told;
	uint64_t scanned_stamp, scanned_files;
	uint64_t hashed_bytes;
	struct sig linked[TAKE_BATCH_MAX]; /* of files with several names, logged in this round */
	size_t nlinked;
};

static void
die(struct rounds *r, const char *what, int error)
{
	r->dead = true;
	r->o.fatal(r->o.arg, what, error);
}

/* ---- taking ---- */

static void
lane_done(struct work_job *j)
{
	struct lane *l = (struct lane *)j;

	l->state = LANE_READY;
	l->r->hashed_bytes += l->batch.hashed_bytes;
}

static void
lane_start(struct lane *l)
{
	l->batch.tree = l->r->o.tree;
	l->batch.wall_ns = l->r->wall_ns;
	l->batch.hashed_bytes = 0;
	l->batch.job = (struct work_job){.run = take_run, .done = lane_done};
	l->state = LANE_TAKING;
	work_submit(l->r->o.work, &l->batch.job);
}

/* A name that came by a rename and was not written since it was hashed keeps its hash. The rename
 * of a directory leaves the times of what is in it alone; that of the file itself moves its ctime,
 * but then an event tells if more was done to it. */
static void
trust_rename(struct rounds *r, struct take_item *it, const struct sig *now)
{
	char old[PATH_BYTES_MAX + 1];
	size_t len = moves_origin(r->o.moves, it->found.path, it->found.len, old, r->now_ms);
	const struct pathent *e = len > 0 ? index_find(r->o.index, old, len) : NULL;

	if (e == NULL || e->shown == NULL || e->shown->r->kind != KIND_FILE || e->sig.provisional ||
	    e->sig.ino != now->ino || e->sig.size != now->size || e->sig.mtime_ns != now->mtime_ns)
		return;
	if (it->name->touched ||
	    (e->sig.ctime_ns != now->ctime_ns &&
	     !moves_itself(r->o.moves, it->found.path, it->found.len, r->now_ms)))
		return;
	it->trusted = true;
	it->renamed = *now;
	it->found.moved = true;
	memcpy(it->hash, e->shown->r->hash, sizeof(it->hash));
}

/* The event may have come after its hash was taken over from its old name, and its signature taken
 * then may be that of afterwards. */
static bool
touched_since_move(const struct rounds *r, const struct dirty_name *n)
{
	return n->touched && moves_itself(r->o.moves, n->path, n->len, r->now_ms);
}

static void
item_init(struct rounds *r, struct take_item *it, struct dirty_name *n, const struct sig *now)
{
	const struct pathent *e = index_find(r->o.index, n->path, n->len);

	*it = (struct take_item){.name = n, .owners = r->o.conf->owner_mode == OWNER_PRESERVE};
	it->found.path = (const uint8_t *)n->path;
	it->found.len = n->len;
	it->found.unknown = e == NULL;
	if (e != NULL) {
		it->found.version = e->version;
		if (e->shown != NULL && e->shown->r->kind != KIND_DIR && !n->force &&
		    !touched_since_move(r, n))
			it->known = e->sig;
	}
	if (now->kind == KIND_FILE && (e == NULL || e->shown == NULL))
		trust_rename(r, it, now);
}

/* Puts the name into the lane it belongs to. False: that lane has no room now. */
static bool
place(struct rounds *r, struct dirty_name *n)
{
	struct sig now = {0};
	struct lane *l = r->small;

	if (tree_stat(r->o.tree, n->path, n->len, &now, NULL) < 0)
		now = (struct sig){0};
	if (now.kind == KIND_FILE && now.size > TAKE_LARGE_BYTES)
		l = r->large;
	if (l->state != LANE_IDLE || l->batch.n == (l == r->large ? 1 : TAKE_BATCH_MAX))
		return false;
	item_init(r, &l->batch.item[l->batch.n++], n, &now);
	return true;
}

static void
take_due(struct rounds *r)
{
	struct dirty_name *n;

	if (r->small->state != LANE_IDLE && r->large->state != LANE_IDLE)
		return;
	while (r->small->batch.n < TAKE_BATCH_MAX &&
	       (n = dirty_take(r->o.dirty, r->now_ms)) != NULL) {
		if (place(r, n))
			continue;
		n->again = true;
		dirty_done(r->o.dirty, n, r->now_ms, "its lane is busy", RETRY_LATER_MS);
		n->due_ms = r->now_ms + RETRY_LATER_MS;
		n->reason = NULL;
		if (r->small->state != LANE_IDLE || r->small->batch.n == TAKE_BATCH_MAX)
			break;
	}
	if (r->small->state == LANE_IDLE && r->small->batch.n > 0)
		lane_start(r->small);
	if (r->large->state == LANE_IDLE && r->large->batch.n > 0)
		lane_start(r->large);
}

/* ---- deciding, under the lock ---- */

static const char *
error_reason(int e)
{
	switch (e) {
	case -EAGAIN:
		return ENTRY_ANSWER_OPEN;
	case -EACCES:
	case -EPERM:
		return "it cannot be read: no permission";
	case -ELOOP:
		return "a symlink that leaves the root, or lies in its path";
	case -EMEDIUMTYPE:
		return "a device, FIFO or socket";
	case -EXDEV:
		return "another file system is mounted there";
	default:
		return "it cannot be read";
	}
}

/* Was it another reason at the last try, such as that it was open? Then this one was not said yet.
 */
static bool
is_news(const struct dirty_name *n, const char *why)
{
	return n->tries == 0 || n->reason == NULL || strcmp(n->reason, why) != 0;
}

static void
item_error(struct rounds *r, struct take_item *it)
{
	struct dirty_name *n = it->name;
	bool busy = it->error == -EAGAIN;

	if (it->error == -EMEDIUMTYPE) { /* nothing to do with it, ever */
		dirty_done(r->o.dirty, n, r->now_ms, NULL, 0);
		return;
	}
	if (!busy && is_news(n, error_reason(it->error)))
		LOG(r->o.log, LOG_WARN, "watch.unreadable", error_reason(it->error),
		    log_b("path", n->path, n->len), log_err(it->error));
	dirty_done(r->o.dirty, n, r->now_ms, error_reason(it->error),
		   busy ? (n->tries == 0 ? 20 : RETRY_BUSY_MS) : RETRY_ERROR_MS);
}

/* A full disk takes back everything that was decided since. */
static void
checkpoint(struct rounds *r)
{
	r->before = *r->o.author;
	r->scanned_before = r->scanned;
	r->rehashed_before = r->rehashed;
}

static void
roll_back(struct rounds *r)
{
	*r->o.author = r->before;
	r->scanned = r->scanned_before;
	r->rehashed = r->rehashed_before;
}

/* Appends what was decided so far, so that the next decision sees it. */
static bool
append(struct rounds *r)
{
	int e;

	if (r->batch.failed) {
		die(r, "out of memory for WAL entries", -ENOMEM);
		return false;
	}
	if (r->batch.len == 0)
		return true;
	e = wal_append(r->o.wal, &r->batch);
	buf_reset(&r->batch);
	if (e == 0) {
		checkpoint(r);
		return true;
	}
	roll_back(r);
	if (e != -ENOSPC && e != -EDQUOT) {
		die(r, "the WAL could not be written", e);
		return false;
	}
	LOG(r->o.log, LOG_ERROR, "wal.full", "no room for the WAL: changes wait",
	    log_s("state", r->o.conf->state), log_err(e));
	r->not_before_ms = r->now_ms + RETRY_SPACE_MS;
	return false;
}

static void
no_revert(struct rounds *r, struct dirty_name *n)
{
	r->reverts -= n->revert;
	n->revert = false;
	if (r->reverts == 0)
		r->accepting = r->told = false;
}

static uint64_t
revert_limit(const struct rounds *r)
{
	const struct settings *s = r->o.conf;
	uint64_t part = r->o.index->files * s->max_delete_percent / 100;

	return part > s->max_delete_count ? part : s->max_delete_count;
}

/* A whole tree that was restored from a backup must not roll everybody back. Is this name to wait?
 */
static bool
hold_revert(struct rounds *r, struct take_item *it)
{
	struct dirty_name *n = it->name;

	if (!author_revert(r->o.author, &it->found)) {
		no_revert(r, n);
		return false;
	}
	if (!n->revert && !r->scanning && !r->scanned)
		return false; /* it happened while we watched */
	r->reverts += !n->revert;
	n->revert = true;
	if (r->o.index->accepted != r->accepted) {
		r->accepted = r->o.index->accepted;
		r->accepting = true;
	}
	if (r->accepting)
		return false;
	if (r->scanning || r->scanned) {
		dirty_done(r->o.dirty, n, r->now_ms,
			   "it went back to an older version: waits for the end of the scan",
			   RETRY_SCAN_MS);
		return true;
	}
	if (r->reverts <= revert_limit(r) || SEEDED(reverts_logged))
		return false;
	if (!r->told)
		LOG(r->o.log, LOG_ERROR, "guard.held",
		    "unlikely many files went back to older versions: was a backup restored? They "
		    "are held; if it is meant, say `mimeo resume --accept-deletes`",
		    log_u("files", r->reverts), log_u("limit", revert_limit(r)));
	r->told = true;
	dirty_done(r->o.dirty, n, r->now_ms,
		   "held: one of many that went back to older versions; `mimeo resume "
		   "--accept-deletes` logs them",
		   RETRY_HELD_MS);
	return true;
}

/* A directory is gone, and with it all that was in it, which may not have been noticed. */
static void
look_below(struct rounds *r, const struct take_item *it)
{
	const struct pathent *e = index_find(r->o.index, it->found.path, it->found.len);

	for (const struct pathent *c = e != NULL ? e->child : NULL; c != NULL; c = c->sib_next)
		if ((c->shown != NULL || c->shown_dir) &&
		    !dirty_has(r->o.dirty, c->path, c->path_len))
			(void)!dirty_add_late(r->o.dirty, c->path, c->path_len, r->now_ms);
}

/* Is there a directory above that nobody has looked at yet? Then its name may not be durable, and
 * what is in it would go with it. */
static bool
below_unseen(const struct rounds *r, const struct take_item *it)
{
	size_t len = it->found.len;

	while ((len = path_parent(it->found.path, len)) > 0)
		if (dirty_unseen(r->o.dirty, it->found.path, len))
			return true;
	return false;
}

static void
item_decide(struct rounds *r, struct take_item *it)
{
	const char *why = NULL;
	enum verdict v;

	it->found.import = it->name->import_ctime_ns != 0 &&
			   it->name->import_ctime_ns == it->found.sig.ctime_ns;
	if (!it->unchanged && hold_revert(r, it)) {
		it->name = NULL;
		return;
	}
	if (it->unchanged) {
		no_revert(r, it->name);
		dirty_done(r->o.dirty, it->name, r->now_ms, NULL, 0);
		it->name = NULL;
		return;
	}
	if (it->found.state.kind != KIND_ABSENT && below_unseen(r, it))
		v = AUTHOR_LATER;
	else
		v = author_decide(r->o.author, &it->found, &r->batch, &why);
	if (v == AUTHOR_LOGGED && it->nlink > 1 && it->found.state.kind == KIND_FILE &&
	    r->nlinked < TAKE_BATCH_MAX)
		r->linked[r->nlinked++] = it->found.sig;
	if (v == AUTHOR_LATER) {
		dirty_done(r->o.dirty, it->name, r->now_ms, "", RETRY_LATER_MS);
		it->name->reason = NULL; /* soon, and no answer before */
	} else if (v == AUTHOR_BELOW) {
		if (!it->name->below)
			look_below(r, it);
		it->name->below = true;
		dirty_done(r->o.dirty, it->name, r->now_ms, "what was in it is logged first",
			   it->name->tries < BELOW_TRIES ? RETRY_BELOW_MS : RETRY_BUSY_MS);
		if (it->name->tries <= BELOW_TRIES)
			it->name->reason = NULL; /* soon, and no answer before */
	} else if (v == AUTHOR_ECHO) {
		/* Should the agent not come to it before the scan is over, it is no news still. */
		if (r->o.author->import)
			it->name->import_ctime_ns = it->found.sig.ctime_ns;
		dirty_done(r->o.dirty, it->name, r->now_ms,
			   "the same as a version that the agent is about to take on",
			   it->name->tries == 0 ? RETRY_ECHO_MS : RETRY_BUSY_MS);
	} else if (v == AUTHOR_REFUSED) {
		if (is_news(it->name, why))
			LOG(r->o.log, LOG_WARN, "watch.refused", why,
			    log_b("path", it->found.path, it->found.len));
		dirty_done(r->o.dirty, it->name, r->now_ms, why, RETRY_ERROR_MS);
	} else {
		it->logged = true; /* if there is room for it */
		return;
	}
	it->name = NULL;
}

/* What was decided is in the log. */
static void
lane_logged(struct rounds *r, struct lane *l)
{
	for (size_t i = 0; i < l->batch.n; i++) {
		struct take_item *it = &l->batch.item[i];
		char path[PATH_BYTES_MAX];
		bool again = it->found.sig.provisional && it->found.state.kind == KIND_FILE;

		if (it->name == NULL || !it->logged)
			continue;
		memcpy(path, it->found.path, it->found.len); /* the name's, which goes now */
		no_revert(r, it->name);
		dirty_done(r->o.dirty, it->name, r->now_ms, NULL, 0);
		it->name = NULL;
		if (again)
			(void)!dirty_add(r->o.dirty, path, it->found.len, r->now_ms);
	}
}

static bool
undecided(const struct take_item *it)
{
	return it->name != NULL && !it->logged;
}

static int
by_path(const void *a, const void *b)
{
	const struct take_item *x = a, *y = b;

	return path_cmp(x->found.path, x->found.len, y->found.path, y->found.len);
}

/* A rename is logged as a pair, the add and behind it its delete, so that a receiver serves both by
 * one rename. */
static void
decide_origin(struct rounds *r, struct lane *l, const struct take_item *added)
{
	char old[PATH_BYTES_MAX + 1];
	size_t len = moves_origin(r->o.moves, added->found.path, added->found.len, old, r->now_ms);

	for (size_t i = 0; len > 0 && i < l->batch.n; i++) {
		struct take_item *it = &l->batch.item[i];

		if (undecided(it) && it->error == 0 && it->found.state.kind == KIND_ABSENT &&
		    it->found.len == len && memcmp(it->found.path, old, len) == 0) {
			item_decide(r, it);
			return;
		}
	}
}

static bool
is_present(const struct take_item *it)
{
	return undecided(it) && it->error == 0 && it->found.state.kind != KIND_ABSENT;
}

/* A directory goes when what was in it has gone from the index. */
static bool
was_dir(const struct rounds *r, const struct take_item *it)
{
	const struct pathent *e = index_find(r->o.index, it->found.path, it->found.len);

	return e != NULL && e->child != NULL;
}

/* Adds from the top down, each with the delete it pairs with; then the deletes from the bottom up.
 */
static void
decide_lane(struct rounds *r, struct lane *l)
{
	qsort(l->batch.item, l->batch.n, sizeof(l->batch.item[0]), by_path);
	for (size_t i = 0; i < l->batch.n; i++)
		if (l->batch.item[i].error < 0) {
			item_error(r, &l->batch.item[i]);
			l->batch.item[i].name = NULL;
		}
	for (size_t i = 0; i < l->batch.n && r->not_before_ms <= r->now_ms && !r->dead; i++) {
		struct take_item *it = &l->batch.item[i];

		if (!is_present(it))
			continue;
		item_decide(r, it);
		if (it->found.state.kind == KIND_DIR && !append(r))
			break;
		if (it->trusted)
			decide_origin(r, l, it);
	}
	for (size_t i = l->batch.n; i-- > 0 && r->not_before_ms <= r->now_ms && !r->dead;) {
		struct take_item *it = &l->batch.item[i];

		if (!undecided(it))
			continue;
		if (was_dir(r, it) && !append(r))
			break;
		item_decide(r, it);
	}
}

static int
by_ino(const void *a, const void *b)
{
	const struct sig *x = a, *y = b;

	return x->ino < y->ino ? -1 : x->ino > y->ino;
}

/* A change of a file with several names is a change under each: those that the index knows by an
 * older signature are looked at. A first scan looks at everything anyway. */
static void
dirty_other_names(struct rounds *r)
{
	size_t n = r->nlinked;

	r->nlinked = 0;
	if (n == 0 || r->o.author->import)
		return;
	qsort(r->linked, n, sizeof(r->linked[0]), by_ino);
	for (struct pathent *e = r->o.index->root; e != NULL; e = index_walk(e)) {
		const struct sig *s;

		if (e->shown == NULL || e->shown->r->kind != KIND_FILE)
			continue;
		s = bsearch(&e->sig, r->linked, n, sizeof(r->linked[0]), by_ino);
		if (s != NULL && !sig_eq(s, &e->sig))
			(void)!dirty_add_late(r->o.dirty, e->path, e->path_len, r->now_ms);
	}
}

/* Whatever was not decided, or found no room in the log, goes back. */
static void
give_back(struct rounds *r, struct lane *l)
{
	for (size_t i = 0; i < l->batch.n; i++) {
		struct dirty_name *n = l->batch.item[i].name;

		if (n == NULL)
			continue;
		dirty_done(r->o.dirty, n, r->now_ms, "", RETRY_SPACE_MS);
		n->reason = NULL; /* it will be logged: no answer before, and no end of the scan */
	}
	take_clear(&l->batch);
	l->state = LANE_IDLE;
}

static bool
add_reason(void *arg, const struct dirty_name *n)
{
	struct buf *b = arg;
	char line[2048];
	int len;

	char shown[1024];

	escape_print(shown, sizeof(shown), n->path, n->len);
	len = snprintf(line, sizeof(line), "%s\t%s\n", shown, n->reason);
	if (len <= 0 || b->len + (size_t)len > ANSWER_BYTES_MAX)
		return false;
	buf_put(b, line, (size_t)len < sizeof(line) ? (size_t)len : sizeof(line) - 1);
	return true;
}

static void
answer_barrier(struct rounds *r)
{
	struct buf why = {0};

	if (r->blind || r->barrier <= r->o.index->answered ||
	    !dirty_clean_before(r->o.dirty, r->barrier_stamp))
		return;
	dirty_each_reason(r->o.dirty, add_reason, &why);
	if (!why.failed)
		wal_put(&r->batch,
			&(struct entry){.type = ENTRY_ANSWER,
					.num = r->barrier,
					.blob = why.data != NULL ? why.data : (const uint8_t *)"",
					.blob_len = why.len});
	buf_free(&why);
}

static void
end_scan(struct rounds *r)
{
	if (!r->scanned || !dirty_clean_before(r->o.dirty, r->scanned_stamp))
		return;
	r->scanned = false;
	if (r->o.index->scanned_ms != 0 && !r->o.author->import && !r->rehashed)
		return; /* only the first one matters to those who read the WAL */
	wal_put(&r->batch, &(struct entry){.type = ENTRY_SCANNED,
					   .num = r->wall_ms,
					   .num2 = r->scanned_files});
	r->o.author->import = false;
	r->rehashed = false;
}

/* Before anything else: whoever starts next with this log has a first scan before him, too. */
static bool
first_again(struct rounds *r)
{
	if (!r->anew)
		return true;
	wal_put(&r->batch, &(struct entry){.type = ENTRY_SCANNED});
	if (!append(r))
		return false;
	r->anew = false;
	return true;
}

static void
decide(struct rounds *r)
{
	struct lane *lanes[] = {r->small, r->large};

	r->o.author->wall_ms = r->wall_ms;
	checkpoint(r);
	if (!first_again(r))
		return;
	for (size_t i = 0; i < 2; i++) {
		struct lane *l = lanes[i];

		if (l->state != LANE_READY)
			continue;
		if (l->batch.sync_error < 0) {
			die(r, "files could not be synced to disk", l->batch.sync_error);
			return;
		}
		if (r->o.may_log(r->o.arg))
			decide_lane(r, l);
		else
			r->not_before_ms = r->now_ms + RETRY_SPACE_MS;
		if (!r->dead && r->not_before_ms <= r->now_ms && append(r)) {
			lane_logged(r, l);
			dirty_other_names(r);
		}
		give_back(r, l);
	}
	if (r->dead || r->not_before_ms > r->now_ms)
		return;
	if (r->await == AWAIT_PUT)
		wal_put(&r->batch, &(struct entry){.type = ENTRY_AWAIT, .num = r->wall_ms});
	end_scan(r);
	answer_barrier(r);
	if (append(r) && r->await == AWAIT_PUT)
		r->await = AWAIT_DONE;
}

/* ---- the committer ---- */

static void
sync_run(struct work_job *j)
{
	struct rounds *r = (struct rounds *)((char *)j - offsetof(struct rounds, job));

	r->job_error = wal_sync(r->o.wal);
}

static void
sync_done(struct work_job *j)
{
	struct rounds *r = (struct rounds *)((char *)j - offsetof(struct rounds, job));

	if (r->job_error < 0) {
		die(r, "the WAL could not be synced", r->job_error);
		return;
	}
	wal_unlock(r->o.wal);
	r->state = COMMIT_IDLE;
}

static void
lock_run(struct work_job *j)
{
	struct rounds *r = (struct rounds *)((char *)j - offsetof(struct rounds, job));

	r->job_error = wal_lock(r->o.wal, true, true);
}

static void
lock_done(struct work_job *j)
{
	struct rounds *r = (struct rounds *)((char *)j - offsetof(struct rounds, job));
	uint64_t before;

	if (r->job_error == 0)
		r->job_error = wal_catchup(r->o.wal);
	if (r->job_error < 0) {
		die(r, "the WAL could not be read", r->job_error);
		return;
	}
	r->poked = false;
	before = wal_info(r->o.wal)->size;
	decide(r);
	if (r->dead)
		return;
	if (wal_info(r->o.wal)->size == before) {
		wal_unlock(r->o.wal);
		r->state = COMMIT_IDLE;
		return;
	}
	r->state = COMMIT_SYNCING;
	r->job = (struct work_job){.run = sync_run, .done = sync_done};
	work_submit(r->o.work, &r->job);
}

static bool
wants_commit(const struct rounds *r)
{
	if (r->poked || r->await == AWAIT_PUT)
		return true;
	if (r->now_ms < r->not_before_ms)
		return false;
	if (r->anew)
		return true;
	if (r->small->state == LANE_READY || r->large->state == LANE_READY)
		return true;
	if (!r->blind && r->barrier > r->o.index->answered &&
	    dirty_clean_before(r->o.dirty, r->barrier_stamp))
		return true;
	return r->scanned && dirty_clean_before(r->o.dirty, r->scanned_stamp);
}

void
rounds_turn(struct rounds *r, uint64_t now_ms, uint64_t wall_ms, int64_t wall_ns)
{
	r->now_ms = now_ms;
	r->wall_ms = wall_ms;
	r->wall_ns = wall_ns;
	if (r->dead)
		return;
	if (r->o.may_start(r->o.arg) && r->now_ms >= r->not_before_ms)
		take_due(r);
	if (r->state != COMMIT_IDLE || !wants_commit(r))
		return;
	r->state = COMMIT_LOCKING;
	r->job = (struct work_job){.run = lock_run, .done = lock_done};
	work_submit(r->o.work, &r->job);
}

/* ---- the rest ---- */

void
rounds_poke(struct rounds *r)
{
	r->poked = true;
}

void
rounds_barrier(struct rounds *r, uint64_t n)
{
	r->barrier = n;
	r->barrier_stamp = dirty_ask(r->o.dirty, r->now_ms);
}

void
rounds_blind(struct rounds *r, bool blind)
{
	if (r->blind && !blind) /* what the scan has found was there before the question */
		r->barrier_stamp = dirty_stamp(r->o.dirty);
	r->blind = blind;
}

void
rounds_scanned(struct rounds *r, uint64_t files)
{
	r->scanned = true;
	r->scanned_files = files;
	r->scanned_stamp = dirty_stamp(r->o.dirty);
}

void
rounds_rehashed(struct rounds *r, uint64_t files)
{
	rounds_scanned(r, files);
	r->rehashed = true;
}

void
rounds_anew(struct rounds *r)
{
	r->anew = true;
}

void
rounds_scanning(struct rounds *r, bool scanning)
{
	r->scanning = scanning;
}

uint64_t
rounds_held(const struct rounds *r)
{
	return r->told ? r->reverts : 0;
}

bool
rounds_await(struct rounds *r)
{
	if (r->await == AWAIT_NOT)
		r->await = AWAIT_PUT;
	return r->await == AWAIT_DONE;
}

void
rounds_conf(struct rounds *r, const struct settings *conf)
{
	r->o.conf = conf;
}

bool
rounds_scan_open(const struct rounds *r)
{
	return r->scanned;
}

bool
rounds_idle(const struct rounds *r)
{
	return r->state == COMMIT_IDLE && r->small->state == LANE_IDLE &&
	       r->large->state == LANE_IDLE;
}

uint64_t
rounds_deadline(const struct rounds *r)
{
	uint64_t at = dirty_deadline(r->o.dirty);

	if (r->now_ms < r->not_before_ms)
		return r->not_before_ms;
	if (r->small->state != LANE_IDLE)
		return UINT64_MAX; /* its end wakes the loop */
	return at;
}

uint64_t
rounds_hashed_bytes(const struct rounds *r)
{
	return r->hashed_bytes;
}

struct rounds *
rounds_new(const struct rounds_opts *o)
{
	struct rounds *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return NULL;
	r->o = *o;
	r->small = calloc(1, sizeof(*r->small));
	r->large = calloc(1, sizeof(*r->large));
	if (r->small == NULL || r->large == NULL) {
		rounds_free(r);
		return NULL;
	}
	r->small->r = r->large->r = r;
	r->accepted = o->index->accepted;
	return r;
}

void
rounds_free(struct rounds *r)
{
	if (r == NULL)
		return;
	if (r->small != NULL)
		take_clear(&r->small->batch);
	if (r->large != NULL)
		take_clear(&r->large->batch);
	free(r->small);
	free(r->large);
	buf_free(&r->batch);
	free(r);
}
