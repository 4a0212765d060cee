/* SPDX-License-Identifier: BSD-2-Clause */
/* Every file is read again from time to time. */
#include "config.h"

#include "agent/scrub.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/commit.h"
#include "conf/hash.h"

#define FIRST_MS 60000 /* nothing is read so shortly after a start */

enum verdict { SAME, DIFFERS, SKIP };

struct asked {
	struct asked *next;
	size_t len;
	uint8_t path[];
};

/* The file that is read: a copy of what the index said when it was begun. */
struct reading {
	struct work_job job; /* first */
	struct tree *tree;
	struct tfile *file;
	struct record *rec;
	struct sig sig;
	struct hash *hash;
	uint8_t *chunk;
	uint64_t off, took; /* bytes of this job */
	bool again;         /* the second look */
	bool end;
	enum verdict verdict;
	struct scrub *s;
};

struct scrub {
	struct node *n;
	struct reading r;
	bool busy; /* a job runs, or a verdict waits for the lock */
	bool passing;
	struct index_cursor cursor;
	struct asked *asked;
	size_t nasked;
	int64_t tokens;
	uint64_t at_ms;  /* of the tokens */
	uint64_t due_ms; /* when the next pass begins; monotonic */
	struct commit_locked locked;
	struct commit_done done;
	struct scrub_state state;
};

/* ---- in a worker ---- */

static void
open_it(struct reading *r)
{
	struct sig now;
	int e = tree_open_file(r->tree, r->rec->path, r->rec->path_len, &r->file);

	if (e == 0)
		e = tfile_stat(r->file, &now, NULL);
	if (e == 0 && !sig_eq(&now, &r->sig))
		e = -EAGAIN;
	if (e == 0)
		e = tfile_lease(r->file);
	if (e == 0 || e == -EPERM)
		e = 0;
	if (e == 0)
		hash_reset(r->hash);
	if (e == 0 && r->again)
		tfile_forget_cached(r->file);
	r->verdict = SAME;
	r->end = e < 0;
	if (e < 0)
		r->verdict = SKIP;
}

static void
close_it(struct reading *r, int error)
{
	uint8_t hash[RECORD_HASH_BYTES];
	struct sig now;
	int e = error;

	r->end = true;
	if (e == 0)
		e = hash_final(r->hash, hash);
	if (e == 0)
		e = tfile_lease(r->file);
	if (e == -EPERM)
		e = 0;
	if (e == 0)
		e = tfile_stat(r->file, &now, NULL);
	if (e < 0 || !sig_eq(&now, &r->sig))
		r->verdict = error == -EIO ? DIFFERS : SKIP;
	else
		r->verdict = memcmp(hash, r->rec->hash, sizeof(hash)) == 0 ? SAME : DIFFERS;
}

static void
read_run(struct work_job *j)
{
	struct reading *r = (struct reading *)j;
	ssize_t got;

	r->took = 0;
	if (r->file == NULL)
		open_it(r);
	if (r->end)
		return;
	got = tfile_read_at(r->file, r->off, r->chunk, SCRUB_CHUNK_BYTES);
	if (got > 0) {
		hash_update(r->hash, r->chunk, (size_t)got);
		r->off += (uint64_t)got;
		r->took = (uint64_t)got;
	} else {
		close_it(r, (int)got);
	}
}

/* ---- one file after the other ---- */

static void
drop_file(struct scrub *s)
{
	tfile_close(s->r.file);
	s->r.file = NULL;
	s->r.off = 0;
	s->r.end = false;
}

static void
file_done(struct scrub *s)
{
	drop_file(s);
	record_free(s->r.rec);
	s->r.rec = NULL;
	s->r.again = false;
	s->busy = false;
}

static void
altered(struct commit_done *d)
{
	struct scrub *s = (struct scrub *)((char *)d - offsetof(struct scrub, done));

	file_done(s);
}

static void
under_lock(struct commit_locked *j)
{
	struct scrub *s = (struct scrub *)((char *)j - offsetof(struct scrub, locked));
	struct node *n = s->n;
	const struct record *rec = s->r.rec;
	const struct pathent *e = index_find(n->index, rec->path, rec->path_len);
	struct sig now;

	if (e == NULL || e->shown == NULL || e->intent != NULL || e->altered ||
	    !dot_eq(e->shown->r->dot, rec->dot) || !sig_eq(&e->sig, &s->r.sig) ||
	    tree_stat(n->tree, rec->path, rec->path_len, &now, NULL) < 0 ||
	    !sig_eq(&now, &s->r.sig)) {
		file_done(s);
		return;
	}
	s->state.rotten++;
	LOG(n->log, LOG_ERROR, "scrub.rotten",
	    "nobody wrote to this file, and its content is not what it was: it is put right",
	    log_b("path", rec->path, rec->path_len));
	errors_add(n->errors, n->wall_ms, "", "rot", rec->path, rec->path_len,
		   "nobody wrote to it, and its content is not what it was");
	commit_put(n->commit, &(struct entry){.type = ENTRY_ALTERED,
					      .path = rec->path,
					      .path_len = rec->path_len,
					      .sig = s->r.sig});
	s->done.done = altered;
	commit_then(n->commit, &s->done);
}

static void
read_done(struct work_job *j)
{
	struct reading *r = (struct reading *)j;
	struct scrub *s = r->s;

	s->tokens -= (int64_t)r->took;
	s->state.bytes += r->took;
	if (!r->end) {
		s->busy = false; /* the next chunk when it is time */
		return;
	}
	s->state.files++;
	if (r->verdict == DIFFERS && !r->again) {
		r->again = true;
		drop_file(s);
		s->busy = false;
	} else if (r->verdict == DIFFERS) {
		s->locked.run = under_lock;
		commit_under_lock(s->n->commit, &s->locked);
	} else {
		file_done(s);
	}
}

static bool
take_up(struct scrub *s, const struct pathent *e)
{
	if (e == NULL || e->shown == NULL || e->shown->r->kind != KIND_FILE || e->altered ||
	    e->intent != NULL)
		return false;
	s->r.rec = record_dup(e->shown->r);
	s->r.sig = e->sig;
	return s->r.rec != NULL;
}

static void
pass_begin(struct scrub *s)
{
	index_cursor_begin(s->n->index, &s->cursor);
	s->passing = true;
	s->state.running = true;
	s->state.files = s->state.bytes = 0;
	LOG(s->n->log, LOG_INFO, "scrub.start", "every file is read and compared");
}

/* So that a restart does not begin anew. A plain number of ms since 1970. */
static void
done_file(const struct scrub *s, char path[4200])
{
	snprintf(path, 4200, "%s/scrubbed", s->n->conf->state);
}

static void
pass_end(struct scrub *s)
{
	char path[4200];
	FILE *f;

	index_cursor_end(s->n->index, &s->cursor);
	s->passing = false;
	s->state.running = false;
	s->state.done_ms = s->n->wall_ms;
	s->due_ms = s->n->now_ms + s->n->conf->scrub_every_ms;
	done_file(s, path);
	f = fopen(path, "we");
	if (f != NULL) {
		(void)fprintf(f, "%llu\n", (unsigned long long)s->state.done_ms);
		(void)fclose(f);
	}
	LOG(s->n->log, LOG_INFO, "scrub.done", "every file was read and compared",
	    log_u("files", s->state.files), log_u("rotten", s->state.rotten));
}

/* The next file: one that was asked for, else the next one of the pass. */
static bool
next_file(struct scrub *s)
{
	const struct irec *i;

	while (s->asked != NULL) {
		struct asked *a = s->asked;
		bool taken = take_up(s, index_find(s->n->index, a->path, a->len));

		s->asked = a->next;
		s->nasked--;
		free(a);
		if (taken)
			return true;
	}
	while (s->passing) {
		i = index_cursor_next(s->n->index, &s->cursor);
		if (i == NULL)
			pass_end(s);
		else if (i->shown && take_up(s, i->ent))
			return true;
	}
	return false;
}

static void
earn(struct scrub *s)
{
	uint64_t now = s->n->now_ms, ms = now - s->at_ms < 1000 ? now - s->at_ms : 1000;
	int64_t most = (int64_t)s->n->conf->scrub_rate;

	s->at_ms = now;
	s->tokens += (int64_t)(s->n->conf->scrub_rate * ms / 1000);
	if (s->tokens > most)
		s->tokens = most;
}

void
scrub_tick(struct scrub *s)
{
	struct node *n = s->n;

	earn(s);
	if (s->busy || n->halted != 0 || n->index->intents != NULL)
		return;
	if (!s->passing && n->now_ms >= s->due_ms)
		pass_begin(s);
	if (s->tokens < 0 || (s->r.rec == NULL && !next_file(s)))
		return;
	s->busy = true;
	s->r.job = (struct work_job){.run = read_run, .done = read_done};
	work_submit(n->work, &s->r.job);
}

uint64_t
scrub_deadline(const struct scrub *s)
{
	if (s->busy || s->n->halted != 0)
		return UINT64_MAX;
	if (!s->passing && s->asked == NULL && s->r.rec == NULL)
		return s->due_ms;
	if (s->tokens >= 0)
		return s->n->index->intents != NULL ? s->n->now_ms + 100 : s->n->now_ms;
	return s->n->now_ms + 1 + (uint64_t)(-s->tokens) * 1000 / s->n->conf->scrub_rate;
}

void
scrub_now(struct scrub *s)
{
	if (!s->passing)
		s->due_ms = s->n->now_ms;
}

void
scrub_path(struct scrub *s, const void *path, size_t len)
{
	struct asked *a;

	if (s->nasked >= SCRUB_ASKED_MAX) {
		scrub_now(s);
		return;
	}
	a = malloc(sizeof(*a) + len);
	if (a == NULL)
		return;
	*a = (struct asked){s->asked, len};
	memcpy(a->path, path, len);
	s->asked = a;
	s->nasked++;
}

struct scrub_state
scrub_state(const struct scrub *s)
{
	return s->state;
}

/* ---- life ---- */

static void
remember_last(struct scrub *s)
{
	struct node *n = s->n;
	uint64_t ms = 0;
	char path[4200], text[32];
	uint64_t since;
	FILE *f;

	done_file(s, path);
	f = fopen(path, "re");
	if (f != NULL) {
		if (fgets(text, sizeof(text), f) != NULL)
			ms = strtoull(text, NULL, 10);
		(void)fclose(f);
	}
	/* One that never ended, or at a time that is still to come, counts as due. */
	s->state.done_ms = ms <= n->wall_ms ? ms : 0;
	since = n->wall_ms - s->state.done_ms;
	s->due_ms = n->now_ms + FIRST_MS;
	if (s->state.done_ms == 0) /* the first scan has just read everything */
		s->due_ms = n->now_ms + n->conf->scrub_every_ms;
	else if (since < n->conf->scrub_every_ms &&
		 s->due_ms < n->now_ms + n->conf->scrub_every_ms - since)
		s->due_ms = n->now_ms + n->conf->scrub_every_ms - since;
	if (n->conf->scrub_every_ms < FIRST_MS && s->due_ms > n->now_ms + n->conf->scrub_every_ms)
		s->due_ms = n->now_ms + n->conf->scrub_every_ms;
}

struct scrub *
scrub_new(struct node *n)
{
	struct scrub *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->n = n;
	s->at_ms = n->now_ms;
	s->r.s = s;
	s->r.tree = n->tree;
	s->r.hash = hash_new();
	s->r.chunk = malloc(SCRUB_CHUNK_BYTES);
	if (s->r.hash == NULL || s->r.chunk == NULL) {
		scrub_free(s);
		return NULL;
	}
	remember_last(s);
	return s;
}

void
scrub_free(struct scrub *s)
{
	if (s == NULL)
		return;
	if (s->passing)
		index_cursor_end(s->n->index, &s->cursor);
	while (s->asked != NULL) {
		struct asked *a = s->asked;

		s->asked = a->next;
		free(a);
	}
	tfile_close(s->r.file);
	record_free(s->r.rec);
	hash_free(s->r.hash);
	free(s->r.chunk);
	free(s);
}
