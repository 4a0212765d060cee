/* SPDX-License-Identifier: BSD-2-Clause */
/* The HTTP side: libmicrohttpd in the agent's loop. */
#include "config.h"

#include "agent/http.h"

#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/commit.h"
#include "agent/metrics.h"
#include "agent/miss.h"
#include "agent/page.h"
#include "agent/range.h"
#include "agent/verbs.h"
#include "conf/hash.h"
#include "conf/random.h"

#define RUNS_MAX 64 /* rounds of libmicrohttpd in one turn: the others come in the next */
#define BACKLOG 512
#define BLOCK_BYTES (64u * 1024) /* a client gets so much of a file at a time */
#define LOOK_MS 1000             /* how often connections without a request are looked at */
#define RESUME_MS 200            /* requests that wait are looked at at least so often */

#define MEDIA "/media/"
#define TYPE_TEXT "text/plain; charset=utf-8"
#define TYPE_METRICS "text/plain; version=0.0.4; charset=utf-8"
#define TYPE_HTML "text/html; charset=utf-8"
#define TYPE_JSON "application/json"

enum what {
	WHAT_NOTHING,
	WHAT_METRICS,
	WHAT_STATUS,
	WHAT_HEALTH,
	WHAT_READY,
	WHAT_MEDIA,
	WHAT_PAGE
};

/* A connection: watched until its request is there. */
struct conn {
	int fd;
	bool asked; /* a whole request came, and is not answered to the end yet */
	uint64_t since_ms;
	struct conn *prev, *next;
};

/* A request that waits for something. */
struct call {
	struct http *h;
	struct MHD_Connection *mhd;
	struct conn *conn;
	enum what what;
	bool waiting; /* suspended, and in the list */
	uint64_t since_ms;
	uint64_t barrier; /* /sync/status: its question to the watcher; 0: none yet */
	char *path;       /* /media: below the root */
	size_t path_len;
	struct body *body; /* being sent: libmicrohttpd frees it with the response */
	struct call *prev, *next;
};

/* A file, or a part of it, on its way to a client. */
struct body {
	struct call *call; /* NULL: the request is over */
	struct node *n;
	struct miss_found found;
	struct sig sig;     /* of a file that is whole, when it was opened */
	uint64_t from, len; /* what is sent of it */
	int64_t ready;      /* bytes of the file that may be read; negative: it is to be cut */
	bool coming;
	uint64_t moved_ms; /* when `ready` last moved */
	size_t path_len;
	char path[];
};

struct http {
	struct node *n;
	struct loop *loop;
	struct links *links;
	struct metrics *metrics;
	struct MHD_Daemon *daemon;
	int epoll_fd;
	char listen[VALUE_HOST_BYTES_MAX + 16]; /* what was opened, or tried */
	uint64_t retry_ms, look_ms, run_ms;     /* when to open again, look, run again */
	bool told;                              /* that it cannot be opened */
	struct conn *conns;
	struct call *waiting;
	struct MHD_Response *text; /* the metrics, lately */
	struct MHD_Response *page; /* and the page */
	uint64_t text_ms, page_ms;
	uint64_t barrier, barrier_ms; /* the newest question to the watcher */
};

/* ---- answers ---- */

static void
header(struct MHD_Response *r, const char *name, const char *value)
{
	(void)MHD_add_response_header(r, name, value);
}

/* Takes the malloc'ed bytes. NULL: out of memory. */
static struct MHD_Response *
response(void *bytes, size_t len, const char *type)
{
	struct MHD_Response *r = MHD_create_response_from_buffer(len, bytes, MHD_RESPMEM_MUST_FREE);

	if (r == NULL) {
		free(bytes);
		return NULL;
	}
	header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	header(r, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	header(r, "X-Content-Type-Options", "nosniff");
	return r;
}

static enum MHD_Result
send_response(struct call *c, unsigned code, struct MHD_Response *r)
{
	enum MHD_Result ok;

	if (r == NULL)
		return MHD_NO; /* closes the connection */
	ok = MHD_queue_response(c->mhd, code, r);
	MHD_destroy_response(r);
	return ok;
}

static enum MHD_Result
send_text(struct call *c, unsigned code, const char *text)
{
	size_t len = strlen(text);
	char *line = malloc(len + 1);
	struct MHD_Response *r;

	if (line == NULL)
		return MHD_NO;
	memcpy(line, text, len);
	line[len] = '\n';
	r = response(line, len + 1, TYPE_TEXT);
	if (r != NULL && code == MHD_HTTP_SERVICE_UNAVAILABLE)
		header(r, MHD_HTTP_HEADER_RETRY_AFTER, "1");
	return send_response(c, code, r);
}

/* ---- waiting ---- */

static enum MHD_Result
suspend(struct call *c)
{
	MHD_suspend_connection(c->mhd);
	c->waiting = true;
	c->prev = NULL;
	c->next = c->h->waiting;
	if (c->next != NULL)
		c->next->prev = c;
	c->h->waiting = c;
	return MHD_YES;
}

static void
resume(struct call *c)
{
	struct http *h = c->h;

	if (c->prev != NULL)
		c->prev->next = c->next;
	else
		h->waiting = c->next;
	if (c->next != NULL)
		c->next->prev = c->prev;
	c->waiting = false;
	MHD_resume_connection(c->mhd);
	h->run_ms = 0;
}

/* ---- /sync/metrics ---- */

static enum MHD_Result
answer_metrics(struct call *c)
{
	struct http *h = c->h;
	struct buf b = {0};

	if (h->text == NULL || h->n->now_ms - h->text_ms >= HTTP_METRICS_MS) {
		if (h->text != NULL)
			MHD_destroy_response(h->text);
		h->text = NULL;
		metrics_text(h->metrics, &b);
		if (b.failed)
			buf_free(&b);
		else
			h->text = response(b.data, b.len, TYPE_METRICS);
		h->text_ms = h->n->now_ms;
	}
	return h->text != NULL ? MHD_queue_response(c->mhd, MHD_HTTP_OK, h->text) : MHD_NO;
}

/* ---- /sync/status ---- */

/* One question to the watcher serves everybody who came while it was open. */
static void
ask_watcher(struct http *h)
{
	const struct index *x = h->n->index;

	if (h->barrier > x->answered && h->n->now_ms - h->barrier_ms < HTTP_BARRIER_MS)
		return;
	h->barrier = node_barrier(h->n);
	h->barrier_ms = h->n->now_ms;
}

static bool
status_known(struct call *c)
{
	struct http *h = c->h;

	if (c->barrier == 0) {
		ask_watcher(h);
		c->barrier = h->barrier;
	}
	return h->n->index->answered >= c->barrier || h->n->halted != 0 ||
	       h->n->now_ms - c->since_ms >= HTTP_BARRIER_MS;
}

static enum MHD_Result
answer_status(struct call *c)
{
	struct http *h = c->h;
	const char *text;
	struct json j;
	enum MHD_Result ok = MHD_NO;
	size_t len;
	char *copy;

	if (!status_known(c))
		return suspend(c);
	json_init(&j);
	verb_status_json(h->n, h->n->index->answered >= c->barrier, &j);
	text = json_text(&j, &len);
	copy = json_failed(&j) ? NULL : malloc(len + 1);
	if (copy != NULL) {
		memcpy(copy, text, len);
		copy[len] = '\n';
		ok = send_response(c, MHD_HTTP_OK, response(copy, len + 1, TYPE_JSON));
	}
	json_free(&j);
	return ok;
}

/* ---- /healthz, /readyz ---- */

static const char *
not_ready(const struct http *h, char *text, size_t len)
{
	const struct node *n = h->n;
	const struct report *r = metrics_report(h->metrics);
	uint64_t behind = metrics_behind_ms(n);

	if (n->halted != 0) {
		snprintf(text, len, "halted: %s", n->halt_text);
		return text;
	}
	if (!r->fresh)
		return "mimeo-watcher does not report: does it run?";
	if (n->index->scanned_ms == 0)
		return "the first scan of the tree is not over";
	if (behind <= HTTP_READY_BEHIND_MS)
		return NULL;
	snprintf(text, len, "behind: the oldest change that is not applied here is %llu s old%s",
		 (unsigned long long)behind / 1000, n->index->paused ? " (paused)" : "");
	return text;
}

static enum MHD_Result
answer_ready(struct call *c)
{
	char text[400];
	const char *why = not_ready(c->h, text, sizeof(text));

	return why == NULL ? send_text(c, MHD_HTTP_OK, "ready")
			   : send_text(c, MHD_HTTP_SERVICE_UNAVAILABLE, why);
}

/* ---- / ---- */

static struct MHD_Response *
make_page(struct http *h)
{
	char nonce[PAGE_NONCE_BYTES], policy[300], why[400];
	struct MHD_Response *r;
	struct buf b = {0};

	snprintf(nonce, sizeof(nonce), "%016llx", (unsigned long long)random_u64());
	page_html(h->n, h->metrics, nonce, not_ready(h, why, sizeof(why)), &b);
	if (b.failed) {
		buf_free(&b);
		return NULL;
	}
	r = response(b.data, b.len, TYPE_HTML);
	if (r == NULL)
		return NULL;
	snprintf(policy, sizeof(policy),
		 "default-src 'none'; style-src 'nonce-%s'; script-src 'nonce-%s'; img-src data:; "
		 "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
		 nonce, nonce);
	header(r, "Content-Security-Policy", policy);
	header(r, "Referrer-Policy", "no-referrer");
	return r;
}

static enum MHD_Result
answer_page(struct call *c)
{
	struct http *h = c->h;

	if (h->page == NULL || h->n->now_ms - h->page_ms >= HTTP_PAGE_MS) {
		if (h->page != NULL)
			MHD_destroy_response(h->page);
		h->page = make_page(h);
		h->page_ms = h->n->now_ms;
	}
	return h->page != NULL ? MHD_queue_response(c->mhd, MHD_HTTP_OK, h->page) : MHD_NO;
}

/* ---- /media ---- */

/* How much may be read by now? Of a file that is whole, all. */
static void
look_at_body(struct body *b)
{
	int64_t now;

	if (!b->coming || b->ready < 0)
		return;
	now = miss_ready(b->n->miss, b->path, b->path_len, &b->found, b->ready);
	if (now != b->ready)
		b->moved_ms = b->n->now_ms;
	else if (b->n->now_ms - b->moved_ms > HTTP_IDLE_MS)
		now = -ETIMEDOUT;
	b->ready = now;
	b->coming = now < (int64_t)b->found.size;
}

static bool
unchanged(const struct body *b)
{
	struct sig now;

	return b->sig.kind == KIND_ABSENT ||
	       (tfile_stat(b->found.file, &now, NULL) == 0 && now.size == b->sig.size &&
		now.mtime_ns == b->sig.mtime_ns);
}

/* Bytes for libmicrohttpd, or a pause until there are some. The last one comes only when all is
 * verified, and of a file that is still the same: no answer ends well with wrong content. */
static ssize_t
read_body(void *arg, uint64_t pos, char *to, size_t max)
{
	struct body *b = arg;
	uint64_t at = b->from + pos, room, left;
	ssize_t got;

	look_at_body(b);
	if (b->ready < 0 || b->call == NULL)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	room = (uint64_t)b->ready > at ? (uint64_t)b->ready - at : 0;
	left = b->len - pos - (b->coming ? 1 : 0);
	room = room < left ? room : left;
	if (room == 0) {
		(void)suspend(b->call);
		return 0;
	}
	max = max < room ? max : (size_t)room;
	got = tfile_read_at(b->found.file, at, to, max);
	if (got <= 0 || (pos + (uint64_t)got == b->len && !unchanged(b)))
		return MHD_CONTENT_READER_END_WITH_ERROR;
	return got;
}

static void
free_body(void *arg)
{
	struct body *b = arg;

	if (b->call != NULL)
		b->call->body = NULL;
	tfile_close(b->found.file);
	free(b);
}

static struct body *
body_new(struct call *c, const struct miss_found *f, bool coming)
{
	struct body *b = calloc(1, sizeof(*b) + c->path_len);

	if (b == NULL)
		return NULL;
	b->call = c;
	b->n = c->h->n;
	b->found = *f;
	b->coming = coming;
	b->ready = coming ? 0 : (int64_t)f->size;
	b->len = f->size;
	b->moved_ms = b->n->now_ms;
	b->path_len = c->path_len;
	memcpy(b->path, c->path, c->path_len);
	if (!coming && tfile_stat(f->file, &b->sig, NULL) < 0)
		b->sig = (struct sig){0};
	return b;
}

static const char *
asked_for(struct call *c, const char *name)
{
	return MHD_lookup_connection_value(c->mhd, MHD_HEADER_KIND, name);
}

/* The answer's code, by what the client has and which part it wants. */
static unsigned
choose_part(struct call *c, struct body *b, const char *tag)
{
	const char *range = asked_for(c, MHD_HTTP_HEADER_RANGE);
	const char *if_range = asked_for(c, MHD_HTTP_HEADER_IF_RANGE);
	const char *have = asked_for(c, MHD_HTTP_HEADER_IF_NONE_MATCH);
	const char *since = asked_for(c, MHD_HTTP_HEADER_IF_MODIFIED_SINCE);
	int64_t changed = b->found.mtime_ns / 1000000000;

	if (have != NULL ? tag[0] != '\0' && range_tag_in(have, tag)
			 : since != NULL && range_not_newer(since, changed))
		return MHD_HTTP_NOT_MODIFIED;
	if (if_range != NULL && (tag[0] == '\0' || strcmp(if_range, tag) != 0))
		return MHD_HTTP_OK;
	switch (range_parse(range, b->found.size, &b->from, &b->len)) {
	case 0:
		return MHD_HTTP_PARTIAL_CONTENT;
	case -ERANGE:
		return MHD_HTTP_RANGE_NOT_SATISFIABLE;
	default:
		return MHD_HTTP_OK;
	}
}

static void
file_headers(struct MHD_Response *r, const struct body *b, unsigned code, const char *tag)
{
	char text[100];

	header(r, "X-Content-Type-Options", "nosniff");
	header(r, MHD_HTTP_HEADER_ACCEPT_RANGES, "bytes");
	range_date(text, b->found.mtime_ns / 1000000000);
	header(r, MHD_HTTP_HEADER_LAST_MODIFIED, text);
	if (tag[0] != '\0')
		header(r, MHD_HTTP_HEADER_ETAG, tag);
	if (code == MHD_HTTP_NOT_MODIFIED)
		return;
	header(r, MHD_HTTP_HEADER_CONTENT_TYPE, range_type(b->path, b->path_len));
	if (code == MHD_HTTP_PARTIAL_CONTENT)
		snprintf(text, sizeof(text), "bytes %llu-%llu/%llu", (unsigned long long)b->from,
			 (unsigned long long)(b->from + b->len - 1),
			 (unsigned long long)b->found.size);
	else
		snprintf(text, sizeof(text), "bytes */%llu", (unsigned long long)b->found.size);
	if (code != MHD_HTTP_OK)
		header(r, MHD_HTTP_HEADER_CONTENT_RANGE, text);
}

static enum MHD_Result
send_file(struct call *c, struct miss_found *f, bool coming)
{
	char tag[HASH_HEX_BYTES + 2] = "", hex[HASH_HEX_BYTES];
	struct body *b = body_new(c, f, coming);
	struct MHD_Response *r;
	unsigned code;

	if (b == NULL) {
		tfile_close(f->file);
		return MHD_NO;
	}
	if (f->hashed) {
		hash_hex(f->hash, hex);
		snprintf(tag, sizeof(tag), "\"%s\"", hex);
	}
	code = choose_part(c, b, tag);
	if (code == MHD_HTTP_NOT_MODIFIED || code == MHD_HTTP_RANGE_NOT_SATISFIABLE)
		b->len = 0;
	r = MHD_create_response_from_callback(b->len, BLOCK_BYTES, read_body, b, free_body);
	if (r == NULL) {
		free_body(b);
		return MHD_NO;
	}
	c->body = b;
	file_headers(r, b, code, tag);
	return send_response(c, code, r);
}

static enum MHD_Result
answer_media(struct call *c)
{
	struct node *n = c->h->n;
	struct counts *count = &n->counts;
	struct miss_found f;

	if (n->now_ms - c->since_ms > HTTP_MISS_MS) {
		count->miss_late++;
		return send_text(c, MHD_HTTP_SERVICE_UNAVAILABLE,
				 "it is known, and does not come in time");
	}
	switch (miss_look(n->miss, c->path, c->path_len, &f)) {
	case MISS_HERE:
		count->miss_here++;
		return send_file(c, &f, false);
	case MISS_COMING:
		count->miss_streamed++;
		return send_file(c, &f, true);
	case MISS_WAIT:
		return suspend(c);
	case MISS_NOBODY:
	case MISS_NEVER:
		count->miss_nobody++;
		return send_text(c, MHD_HTTP_NOT_FOUND, "no member has such a file");
	case MISS_LATE:
		break;
	}
	count->miss_late++;
	return send_text(c, MHD_HTTP_SERVICE_UNAVAILABLE,
			 n->halted != 0 ? "halted" : "the members do not say in time");
}

/* ---- requests ---- */

static enum what
what_of(const char *url)
{
	static const struct {
		const char *url;
		enum what what;
	} table[] = {
		{"/sync/metrics", WHAT_METRICS},
		{"/sync/status", WHAT_STATUS},
		{"/healthz", WHAT_HEALTH},
		{"/readyz", WHAT_READY},
		{"/", WHAT_PAGE},
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (strcmp(url, table[i].url) == 0)
			return table[i].what;
	if (strncmp(url, MEDIA, sizeof(MEDIA) - 1) == 0)
		return WHAT_MEDIA;
	return WHAT_NOTHING;
}

static enum MHD_Result
refuse_method(struct call *c)
{
	static const char text[] = "only GET and HEAD\n";
	struct MHD_Response *r = MHD_create_response_from_buffer(
		sizeof(text) - 1, (void *)(uintptr_t)text, MHD_RESPMEM_PERSISTENT);

	if (r != NULL) {
		header(r, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
		header(r, MHD_HTTP_HEADER_CONNECTION, "close");
	}
	return send_response(c, MHD_HTTP_METHOD_NOT_ALLOWED, r);
}

static enum MHD_Result
answer(struct call *c)
{
	switch (c->what) {
	case WHAT_METRICS:
		return answer_metrics(c);
	case WHAT_STATUS:
		return answer_status(c);
	case WHAT_HEALTH:
		return send_text(c, MHD_HTTP_OK, "alive");
	case WHAT_READY:
		return answer_ready(c);
	case WHAT_MEDIA:
		return answer_media(c);
	case WHAT_PAGE:
		return answer_page(c);
	case WHAT_NOTHING:
		break;
	}
	return send_text(c, MHD_HTTP_NOT_FOUND,
			 "nothing here: /, /sync/status, /sync/metrics, /healthz, /readyz, "
			 "/media/PATH");
}

static struct conn *
conn_of(struct MHD_Connection *mhd)
{
	const union MHD_ConnectionInfo *i =
		MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return i != NULL ? i->socket_context : NULL;
}

static struct call *
call_new(struct http *h, struct MHD_Connection *mhd, const char *url)
{
	struct call *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->h = h;
	c->mhd = mhd;
	c->conn = conn_of(mhd);
	c->since_ms = h->n->now_ms;
	c->what = what_of(url);
	if (c->what == WHAT_MEDIA) {
		c->path = strdup(url + sizeof(MEDIA) - 1);
		if (c->path == NULL) {
			free(c);
			return NULL;
		}
		c->path_len = strlen(c->path);
	}
	return c;
}

/* Called when the header is there, for each part of a body, and once more at the end; and again
 * after each wait. */
static enum MHD_Result
on_request(void *arg, struct MHD_Connection *mhd, const char *url, const char *method,
	   const char *version, const char *data, size_t *data_len, void **state)
{
	struct http *h = arg;
	struct call *c = *state;

	(void)version;
	(void)data;
	if (c == NULL) {
		c = *state = call_new(h, mhd, url);
		if (c == NULL)
			return MHD_NO;
		if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 &&
		    strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
			return refuse_method(c);
		return MHD_YES;
	}
	if (*data_len > 0) { /* read and forgotten, as long as HTTP_REQUEST_MS allows */
		*data_len = 0;
		return MHD_YES;
	}
	if (c->conn != NULL)
		c->conn->asked = true;
	return answer(c);
}

static void
on_completed(void *arg, struct MHD_Connection *mhd, void **state,
	     enum MHD_RequestTerminationCode code)
{
	struct http *h = arg;
	struct call *c = *state;

	(void)mhd;
	(void)code;
	if (c == NULL)
		return;
	if (c->conn != NULL) {
		c->conn->asked = false;
		c->conn->since_ms = h->n->now_ms;
	}
	if (c->body != NULL)
		c->body->call = NULL;
	free(c->path);
	free(c);
	*state = NULL;
}

/* ---- connections ---- */

static void
on_connection(void *arg, struct MHD_Connection *mhd, void **state,
	      enum MHD_ConnectionNotificationCode code)
{
	struct http *h = arg;
	struct conn *k = *state;

	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		k = *state = calloc(1, sizeof(*k));
		if (k == NULL)
			return;
		k->fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
		k->since_ms = h->n->now_ms;
		k->next = h->conns;
		if (k->next != NULL)
			k->next->prev = k;
		h->conns = k;
		return;
	}
	if (k == NULL)
		return;
	if (k->prev != NULL)
		k->prev->next = k->next;
	else
		h->conns = k->next;
	if (k->next != NULL)
		k->next->prev = k->prev;
	free(k);
	*state = NULL;
}

/* Who takes too long to ask is hung up on: what follows is libmicrohttpd's doing. */
static void
drop_slow(struct http *h)
{
	uint64_t now = h->n->now_ms;

	if (now < h->look_ms)
		return;
	h->look_ms = now + LOOK_MS;
	for (struct conn *k = h->conns; k != NULL; k = k->next)
		if (!k->asked && now - k->since_ms > HTTP_REQUEST_MS)
			(void)shutdown(k->fd, SHUT_RDWR);
}

/* ---- running ---- */

static void
run(struct http *h)
{
	MHD_UNSIGNED_LONG_LONG wait = 0;

	for (unsigned i = 0; i < RUNS_MAX; i++) {
		(void)MHD_run(h->daemon);
		if (MHD_get_timeout(h->daemon, &wait) != MHD_YES) {
			h->run_ms = UINT64_MAX;
			return;
		}
		if (wait > 0)
			break;
	}
	h->run_ms = h->n->now_ms + wait;
}

static void
on_ready(void *arg, uint32_t events)
{
	struct http *h = arg;

	(void)events;
	h->run_ms = 0; /* in the turn that follows: with the time of this turn */
}

/* Is there more to read than was, or an end? */
static bool
body_moves(struct body *b)
{
	int64_t before = b->ready;

	look_at_body(b);
	return b->ready != before;
}

static bool
may_go_on(struct call *c)
{
	struct node *n = c->h->n;

	if (c->what == WHAT_STATUS)
		return status_known(c);
	if (c->what != WHAT_MEDIA)
		return true;
	if (c->body == NULL)
		return n->now_ms - c->since_ms > HTTP_MISS_MS ||
		       miss_over(n->miss, c->path, c->path_len);
	return body_moves(c->body);
}

static void
wake(struct http *h)
{
	struct call *next;

	for (struct call *c = h->waiting; c != NULL; c = next) {
		next = c->next;
		if (may_go_on(c))
			resume(c);
	}
}

/* ---- opening ---- */

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* %XX in place; what is none stays, and so does %00, which would cut a path short. */
static size_t
unescape(void *arg, struct MHD_Connection *mhd, char *s)
{
	char *to = s;

	(void)arg;
	(void)mhd;
	for (const char *p = s; *p != '\0'; p++) {
		int high = *p == '%' ? hex_digit(p[1]) : -1;
		int low = high >= 0 ? hex_digit(p[2]) : -1;

		if (low >= 0 && high + low > 0) {
			*to++ = (char)(high * 16 + low);
			p += 2;
		} else {
			*to++ = *p;
		}
	}
	*to = '\0';
	return (size_t)(to - s);
}

static void on_log(void *arg, const char *fmt, va_list ap) PRINTF(2, 0);

static void
on_log(void *arg, const char *fmt, va_list ap)
{
	struct http *h = arg;
	char text[512];
	size_t len;

	vsnprintf(text, sizeof(text), fmt, ap);
	len = strlen(text);
	while (len > 0 && text[len - 1] == '\n')
		text[--len] = '\0';
	LOG(h->n->log, LOG_DEBUG, "http.note", text);
}

static int
listen_one(const struct addrinfo *a)
{
	int on = 1, fd, e;

	fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	e = errno;
	close(fd);
	return -e;
}

/* The descriptor, or -errno with why. */
static int
listen_at(const struct value_address *at, char *why, size_t len)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *list = NULL;
	char port[8];
	int fd = -EADDRNOTAVAIL, r;

	snprintf(port, sizeof(port), "%u", at->port);
	r = getaddrinfo(at->host, port, &hints, &list);
	if (r != 0) {
		snprintf(why, len, "%s: %s", at->text, gai_strerror(r));
		return -EADDRNOTAVAIL;
	}
	for (const struct addrinfo *a = list; fd < 0 && a != NULL; a = a->ai_next)
		fd = listen_one(a);
	freeaddrinfo(list);
	if (fd < 0)
		snprintf(why, len, "%s: %s", at->text, strerror(-fd));
	return fd;
}

static int
start_daemon(struct http *h, int fd)
{
	const union MHD_DaemonInfo *info;
	int r;

	h->daemon = MHD_start_daemon(
		MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL,
		on_request, h, MHD_OPTION_EXTERNAL_LOGGER, on_log, h, MHD_OPTION_LISTEN_SOCKET, fd,
		MHD_OPTION_UNESCAPE_CALLBACK, unescape, NULL, MHD_OPTION_CONNECTION_LIMIT,
		HTTP_CONNECTIONS_MAX, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		(size_t)HTTP_HEADER_BYTES_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
		(unsigned)(HTTP_IDLE_MS / 1000), MHD_OPTION_NOTIFY_COMPLETED, on_completed, h,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, h, MHD_OPTION_END);
	if (h->daemon == NULL) {
		close(fd);
		return -ENOMEM;
	}
	info = MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	h->epoll_fd = info->epoll_fd;
	r = loop_fd_add(h->loop, h->epoll_fd, EPOLLIN, on_ready, h);
	if (r < 0) {
		MHD_stop_daemon(h->daemon);
		h->daemon = NULL;
	}
	return r;
}

static void
cannot_listen(struct http *h, const char *why)
{
	struct node *n = h->n;

	h->retry_ms = n->now_ms + HTTP_RETRY_MS;
	if (h->told)
		return;
	h->told = true;
	LOG(n->log, LOG_ERROR, "http.refused",
	    "http.listen cannot be opened; it is tried again, the rest goes on", log_s("why", why));
	errors_add(n->errors, n->wall_ms, "", "http", NULL, 0, why);
}

static void
start(struct http *h)
{
	const struct value_address *at = &h->n->conf->http_listen;
	char why[400] = "";
	int fd;

	snprintf(h->listen, sizeof(h->listen), "%s", at->text != NULL ? at->text : "");
	if (at->text == NULL)
		return;
	fd = listen_at(at, why, sizeof(why));
	if (fd >= 0 && start_daemon(h, fd) < 0) {
		snprintf(why, sizeof(why), "%s: out of memory or descriptors", at->text);
		fd = -1;
	}
	if (fd < 0) {
		cannot_listen(h, why);
		return;
	}
	h->told = false;
	h->run_ms = 0;
	LOG(h->n->log, LOG_INFO, "http.open", "HTTP is served", log_s("at", at->text));
}

static void
stop(struct http *h)
{
	if (h->daemon != NULL) {
		while (h->waiting != NULL)
			resume(h->waiting);
		loop_fd_del(h->loop, h->epoll_fd);
		MHD_stop_daemon(h->daemon);
		h->daemon = NULL;
	}
	h->told = false;
	h->retry_ms = 0;
}

/* ---- turns ---- */

void
http_turn(struct http *h)
{
	const char *wanted = h->n->conf->http_listen.text;

	if (strcmp(wanted != NULL ? wanted : "", h->listen) != 0) {
		stop(h);
		start(h);
	}
	if (h->daemon == NULL) {
		if (wanted != NULL && h->n->now_ms >= h->retry_ms)
			start(h);
		return;
	}
	metrics_tick(h->metrics);
	drop_slow(h);
	wake(h);
	if (h->n->now_ms >= h->run_ms)
		run(h);
}

uint64_t
http_deadline(const struct http *h)
{
	uint64_t at = h->run_ms;

	if (h->daemon == NULL)
		return h->listen[0] != '\0' ? h->retry_ms : UINT64_MAX;
	if (metrics_deadline(h->metrics) < at)
		at = metrics_deadline(h->metrics);
	if (h->conns != NULL && h->look_ms < at)
		at = h->look_ms;
	if (h->waiting != NULL && h->n->now_ms + RESUME_MS < at)
		at = h->n->now_ms + RESUME_MS;
	return at;
}

int
http_open(struct node *n, struct loop *loop, struct links *links, struct http **out)
{
	struct http *h = calloc(1, sizeof(*h));

	*out = NULL;
	if (h == NULL)
		return -ENOMEM;
	*h = (struct http){.n = n, .loop = loop, .links = links, .epoll_fd = -1};
	h->metrics = metrics_new(n, links);
	if (h->metrics == NULL) {
		free(h);
		return -ENOMEM;
	}
	start(h);
	*out = h;
	return 0;
}

void
http_close(struct http *h)
{
	if (h == NULL)
		return;
	stop(h);
	if (h->text != NULL)
		MHD_destroy_response(h->text);
	if (h->page != NULL)
		MHD_destroy_response(h->page);
	metrics_free(h->metrics);
	free(h);
}
