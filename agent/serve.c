/* SPDX-License-Identifier: BSD-2-Clause */
/* Content for peers that ask: a table of streams, each a file being read or a delta being made. */
#include "config.h"

#include "agent/serve.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/delta.h"
#include "agent/store.h"

#define RATE_WAIT_MS 10
#define DELTA_CHUNK_BYTES (256u * 1024)

enum served_state { SENDING, SIGNATURE, WAITING, DELTA };

struct served {
	struct serve *s;
	struct link *link; /* NULL: the link is gone, the worker is not done yet */
	uint32_t stream;
	enum served_state state;
	struct tfile *file;
	struct sig sig; /* at the beginning */
	uint64_t off, size;
	/* delta */
	uint64_t base_size;
	size_t signature_max;
	struct buf signature;
	struct delta_gen *gen;
	struct work_job job;
	bool busy;
	int error;
	bool last;
	uint8_t *chunk;
	size_t chunk_len, chunk_at;
	struct served *prev, *next;
};

struct serve {
	struct node *n;
	struct served *first, *last;
	unsigned streams, deltas;
	uint64_t rate_at; /* when a stream that waits for its rate may go on; 0: none waits */
};

/* ---- where the content is ---- */

static int
open_live(struct node *n, const uint8_t hash[RECORD_HASH_BYTES], uint64_t size, struct tfile **out,
	  struct pathent **from)
{
	struct pathent *e = index_content(n->index, hash, size);
	struct sig now;
	int r;

	if (e == NULL)
		return -ENOENT;
	r = tree_open_file(n->tree, e->path, e->path_len, out);
	if (r < 0)
		return -ENOENT;
	if (tfile_stat(*out, &now, NULL) < 0 || !sig_eq_renamed(&now, &e->sig)) {
		tfile_close(*out); /* changed since it was hashed */
		*out = NULL;
		return -ENOENT;
	}
	if (from != NULL)
		*from = e;
	return 0;
}

int
serve_open(struct node *n, const uint8_t hash[RECORD_HASH_BYTES], uint64_t size, struct tfile **out,
	   struct pathent **from)
{
	const struct kept *k;
	char name[48];

	*out = NULL;
	if (from != NULL)
		*from = NULL;
	if (open_live(n, hash, size, out, from) == 0)
		return 0;
	k = index_kept_content(n->index, hash, size);
	if (k == NULL)
		return -ENOENT;
	store_name(k, name);
	return tree_kept_open(n->tree, name, out) == 0 ? 0 : -ENOENT;
}

/* ---- streams ---- */

static struct served *
find(struct serve *s, const struct link *l, uint32_t stream)
{
	for (struct served *d = s->first; d != NULL; d = d->next)
		if (d->link == l && d->stream == stream)
			return d;
	return NULL;
}

static void
unlink_served(struct served *d)
{
	struct serve *s = d->s;

	if (d->prev != NULL)
		d->prev->next = d->next;
	else
		s->first = d->next;
	if (d->next != NULL)
		d->next->prev = d->prev;
	else
		s->last = d->prev;
	s->streams--;
}

static void
served_free(struct served *d)
{
	if (d->state == DELTA)
		d->s->deltas--;
	unlink_served(d);
	delta_gen_free(d->gen);
	tfile_close(d->file);
	buf_free(&d->signature);
	free(d->chunk);
	free(d);
}

static void
end(struct served *d, uint8_t code)
{
	if (d->link != NULL)
		(void)!session_end(link_session(d->link), d->stream, code);
	d->link = NULL;
	if (!d->busy)
		served_free(d);
}

static void
append(struct serve *s, struct served *d)
{
	d->next = NULL;
	d->prev = s->last;
	if (s->last != NULL)
		s->last->next = d;
	else
		s->first = d;
	s->last = d;
	s->streams++;
}

void
serve_get(struct serve *s, struct link *l, const struct msg *m)
{
	struct session *ss = link_session(l);
	struct served *d;
	int r;

	if (s->streams >= SERVE_STREAMS_MAX) {
		(void)!session_end(ss, m->stream, CODE_BUSY);
		return;
	}
	d = calloc(1, sizeof(*d));
	if (d == NULL) {
		(void)!session_end(ss, m->stream, CODE_BUSY);
		return;
	}
	*d = (struct served){.s = s,
			     .link = l,
			     .stream = m->stream,
			     .off = m->offset,
			     .size = m->size,
			     .base_size = m->offset};
	r = serve_open(s->n, m->hash, m->size, &d->file, NULL);
	if (r == 0)
		r = tfile_stat(d->file, &d->sig, NULL);
	append(s, d);
	if (r < 0) {
		end(d, CODE_GONE);
		return;
	}
	if (m->how == GET_DELTA) {
		d->state = SIGNATURE;
		d->signature_max = delta_sig_bytes_max(d->base_size);
		if (d->signature_max == 0 || d->signature_max > UINT32_MAX)
			end(d, CODE_USELESS);
		else
			(void)!session_credit(ss, m->stream, (uint32_t)d->signature_max);
		return;
	}
	d->state = SENDING;
	serve_pump(s, l);
}

/* ---- deltas ---- */

static ssize_t
read_at(void *arg, uint64_t off, void *buf, size_t len)
{
	return tfile_read_at(arg, off, buf, len);
}

static void
gen_run(struct work_job *j)
{
	struct served *d = (struct served *)((char *)j - offsetof(struct served, job));

	struct delta_file file = {read_at, d->file, d->size};
	struct delta_limits limits = {
		.spots = DELTA_PROBE_SPOTS, .hits = DELTA_PROBE_HITS, .out_max = d->size};
	ssize_t got;

	d->chunk_len = 0;
	d->chunk_at = 0;
	d->error = 0;
	if (d->gen == NULL)
		d->error = delta_gen_open(&d->gen, d->signature.data, d->signature.len,
					  d->base_size, &file, &limits);
	if (d->error < 0)
		return;
	got = delta_gen_pull(d->gen, d->chunk, DELTA_CHUNK_BYTES);
	d->error = got < 0 ? (int)got : 0;
	d->chunk_len = got > 0 ? (size_t)got : 0;
	d->last = got == 0;
}

static void start_waiting(struct serve *s);

static void
gen_done(struct work_job *j)
{
	struct served *d = (struct served *)((char *)j - offsetof(struct served, job));
	struct serve *s = d->s;

	d->busy = false;
	if (d->link == NULL)
		served_free(d);
	else if (d->error == -ERANGE)
		end(d, CODE_USELESS);
	else if (d->error < 0)
		end(d, d->error == -EPROTO ? CODE_REFUSED : CODE_USELESS);
	else
		serve_pump(s, d->link);
	start_waiting(s);
}

static void
gen_next(struct served *d)
{
	d->busy = true;
	d->job = (struct work_job){.run = gen_run, .done = gen_done};
	work_submit(d->s->n->work, &d->job);
}

static void
start_waiting(struct serve *s)
{
	for (struct served *d = s->first; d != NULL && s->deltas < SERVE_DELTAS_MAX; d = d->next) {
		if (d->state != WAITING)
			continue;
		d->state = DELTA;
		s->deltas++;
		gen_next(d);
	}
}

void
serve_data(struct serve *s, struct link *l, const struct msg *m)
{
	struct served *d = find(s, l, m->stream);

	if (d == NULL || d->state != SIGNATURE)
		return;
	if (m->len > d->signature_max - d->signature.len) {
		end(d, CODE_REFUSED);
		return;
	}
	buf_put(&d->signature, m->bytes, m->len);
}

void
serve_end(struct serve *s, struct link *l, const struct msg *m)
{
	struct served *d = find(s, l, m->stream);

	if (d == NULL || d->state != SIGNATURE)
		return;
	d->chunk = malloc(DELTA_CHUNK_BYTES);
	if (d->signature.failed || d->chunk == NULL || m->code != CODE_OK) {
		end(d, CODE_ERROR);
		return;
	}
	d->state = WAITING;
	start_waiting(s);
}

void
serve_cancel(struct serve *s, struct link *l, const struct msg *m)
{
	struct served *d = find(s, l, m->stream);

	if (d == NULL)
		return;
	end(d, CODE_GONE);
	start_waiting(s);
}

/* ---- sending ---- */

/* How much of `want` sync.rate_limit lets through now: a bucket of a tenth of a second's worth. */
static size_t
rate(struct served *d, size_t want)
{
	struct node *n = d->s->n;
	struct peer *p = link_peer(d->link);
	uint64_t limit = n->conf->rate_limit, depth = limit / 10 + MSG_DATA_BYTES_MAX;

	if (limit == 0)
		return want;
	p->rate_tokens += (n->now_ms - p->rate_ms) * limit / 1000;
	p->rate_ms = n->now_ms;
	p->rate_tokens = p->rate_tokens < depth ? p->rate_tokens : depth;
	if (p->rate_tokens < want) {
		d->s->rate_at = n->now_ms + RATE_WAIT_MS;
		return 0;
	}
	p->rate_tokens -= want;
	return want;
}

/* One slice of a file. Returns false when the stream is over or cannot go on now. */
static bool
send_slice(struct served *d)
{
	uint8_t slice[MSG_DATA_BYTES_MAX];
	struct session *ss = link_session(d->link);
	size_t room = session_room(ss, d->stream);
	struct sig now;
	ssize_t got;

	if (d->off == d->size) {
		bool same = tfile_stat(d->file, &now, NULL) == 0 && now.size == d->sig.size &&
			    now.mtime_ns == d->sig.mtime_ns;

		end(d, same ? CODE_OK : CODE_CHANGED);
		return false;
	}
	if (room == 0)
		return false;
	room = room < sizeof(slice) ? room : sizeof(slice);
	room = room < d->size - d->off ? room : (size_t)(d->size - d->off);
	if (rate(d, room) == 0)
		return false;
	got = tfile_read_at(d->file, d->off, slice, room);
	if (got <= 0 || session_data(ss, d->stream, slice, (size_t)got) < 0) {
		end(d, got < 0 ? CODE_ERROR : CODE_CHANGED);
		return false;
	}
	d->off += (uint64_t)got;
	link_peer(d->link)->whole_out += (uint64_t)got;
	return true;
}

static bool
send_delta(struct served *d)
{
	struct session *ss = link_session(d->link);
	size_t left = d->chunk_len - d->chunk_at, room = session_room(ss, d->stream);

	if (d->busy)
		return false;
	if (left == 0 && d->last) {
		struct serve *s = d->s;

		end(d, CODE_OK);
		start_waiting(s);
		return false;
	}
	if (left == 0) {
		gen_next(d);
		return false;
	}
	room = room < MSG_DATA_BYTES_MAX ? room : MSG_DATA_BYTES_MAX;
	room = room < left ? room : left;
	if (room == 0 || rate(d, room) == 0 ||
	    session_data(ss, d->stream, d->chunk + d->chunk_at, room) < 0)
		return false;
	d->chunk_at += room;
	link_peer(d->link)->delta_out += room;
	return true;
}

/* Every stream of the link gets one slice a turn, so that a large file does not keep small ones
 * waiting. */
void
serve_pump(struct serve *s, struct link *l)
{
	bool more = true;

	while (more && link_peer(l) != NULL) {
		struct served *next;

		more = false;
		for (struct served *d = s->first; d != NULL; d = next) {
			next = d->next;
			if (d->link != l)
				continue;
			if (d->state == SENDING)
				more = send_slice(d) || more;
			else if (d->state == DELTA)
				more = send_delta(d) || more;
		}
	}
}

void
serve_link_closed(struct serve *s, struct link *l)
{
	struct served *next;

	for (struct served *d = s->first; d != NULL; d = next) {
		next = d->next;
		if (d->link != l)
			continue;
		d->link = NULL;
		if (!d->busy)
			served_free(d);
	}
	start_waiting(s);
}

void
serve_tick(struct serve *s)
{
	if (s->rate_at == 0 || s->n->now_ms < s->rate_at)
		return;
	s->rate_at = 0;
	for (struct peer *p = exchange_peers(s->n->exchange); p != NULL; p = p->next)
		if (p->link != NULL)
			serve_pump(s, p->link);
}

uint64_t
serve_deadline(const struct serve *s)
{
	return s->rate_at != 0 ? s->rate_at : UINT64_MAX;
}

struct serve *
serve_new(struct node *n)
{
	struct serve *s = calloc(1, sizeof(*s));

	if (s != NULL)
		s->n = n;
	return s;
}

void
serve_free(struct serve *s)
{
	if (s == NULL)
		return;
	while (s->first != NULL)
		served_free(s->first);
	free(s);
}
