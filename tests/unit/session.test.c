/* SPDX-License-Identifier: BSD-2-Clause */
/* Sessions back to back in memory: every cut of the stream, broken peers, credit, time,
 * back-pressure. */
#include "config.h"

#include "proto/session.h"

#include <errno.h>

#include "tests/fold.h"
#include "tests/tap.h"

#define PING_MS 5000
#define TIMEOUT_MS 20000
#define WALL 1700000000000u

static struct session *
node_at(const char *self, const char *peer, uint64_t nonce, uint64_t now)
{
	struct session_opts o = {.self = self,
				 .peer = peer,
				 .store = nonce * 10,
				 .nonce = nonce,
				 .digest = 77,
				 .heads = {1, 2},
				 .ping_ms = PING_MS,
				 .timeout_ms = TIMEOUT_MS};
	struct session *s = session_new(&o, now, WALL + now);

	if (s == NULL)
		abort();
	return s;
}

static struct session *
node(const char *self, const char *peer, uint64_t nonce)
{
	return node_at(self, peer, nonce, 0);
}

/* What came out of one side, as text: one word a step. */
struct heard {
	struct session *s;
	char log[8192];
	size_t len;
	uint64_t data;   /* bytes of DATA surfaced */
	uint64_t sum;    /* over all bytes that messages borrow */
	uint32_t stream; /* of the last GET, DATA or END */
	uint8_t code;    /* of the last END */
};

static void
note(struct heard *h, const char *word)
{
	size_t n = strlen(word);

	if (h->len + n + 2 > sizeof(h->log))
		return;
	memcpy(h->log + h->len, word, n);
	h->log[h->len + n] = ' ';
	h->len += n + 1;
}

static void
hear(struct heard *h, const struct msg *m)
{
	note(h, msg_name(m->type));
	for (size_t i = 0; i < m->len; i++)
		h->sum = h->sum * 31 + m->bytes[i];
	for (uint32_t i = 0; i < m->nspans; i++)
		h->sum = h->sum * 31 + msg_span(m, i).hi;
	if (m->type == MSG_DATA)
		h->data += m->len;
	h->stream = m->stream != 0 ? m->stream : h->stream;
	h->code = m->type == MSG_END ? m->code : h->code;
}

static void
steps(struct heard *h)
{
	struct msg *m;

	for (;;) {
		switch (session_step(h->s, &m)) {
		case SESSION_OPENED:
			note(h, "opened");
			break;
		case SESSION_MSG:
			hear(h, m);
			break;
		case SESSION_CLOSED:
			note(h, "closed");
			break;
		case SESSION_IDLE:
			return;
		}
	}
}

/* Hands what one side has to say to the other, at most `piece` bytes at a time. Returns how many
 * went. */
static size_t
hand(struct session *from, struct heard *to, size_t piece, uint64_t now)
{
	size_t sum = 0, len, took;
	const uint8_t *out;

	for (out = session_output(from, &len); len > 0; out = session_output(from, &len)) {
		len = len < piece ? len : piece;
		took = session_input(to->s, out, len, now, WALL + now);
		session_consumed(from, took);
		sum += took;
		steps(to);
		if (took == 0)
			break;
	}
	return sum;
}

static void
talk(struct heard *a, struct heard *b, size_t piece, uint64_t now)
{
	while (hand(a->s, b, piece, now) + hand(b->s, a, piece, now) > 0)
		continue;
}

static void
over(struct heard *a, struct heard *b)
{
	session_free(a->s);
	session_free(b->s);
}

static void
pair(struct heard *a, struct heard *b)
{
	*a = (struct heard){.s = node("web1", "web2", 1)};
	*b = (struct heard){.s = node("web2", "web1", 2)};
	talk(a, b, SIZE_MAX, 0);
}

static bool
closed_with(const struct heard *h, uint8_t code, bool remote, const char *words)
{
	uint8_t got;
	bool by;
	const char *why = session_reason(h->s, &got, &by);
	bool good =
		!session_open(h->s) && got == code && by == remote && strstr(why, words) != NULL;

	if (!good)
		diag("  %s: code %u, %s: %s", session_open(h->s) ? "open" : "closed", got,
		     by ? "the peer" : "this side", why);
	return good;
}

/* ---- a conversation of everything, cut in every way ---- */

static void
say_everything(struct session *s)
{
	static const uint8_t zeros[3000];
	struct dotset set = {0};
	struct record r = rec("a/b", dot(3, 4), 5, KIND_FILE, 200);

	for (uint64_t i = 0; i < 3000; i++)
		must(dotset_add(&set, dot(1 + i % 2, 2 * i + 1)));
	after(&r, &(struct record){.dot = {9, 9}});
	must(session_send_set(s, &(struct msg){.type = MSG_SEEN}, &set));
	must(session_send_set(s, &(struct msg){.type = MSG_ACK, .reset = true}, &set));
	must(session_send(s, &(struct msg){.type = MSG_ORIGIN, .origin = 3, .node = "web1"}));
	must(session_send(s, &(struct msg){.type = MSG_RECORD,
					   .rec = r,
					   .inlined = true,
					   .bytes = zeros,
					   .len = 200}));
	must(session_send(s, &(struct msg){.type = MSG_RECORD, .rec = r}));
	must(session_send_set(s, &(struct msg){.type = MSG_UPTO}, &(struct dotset){0}));
	must(session_send(
		s,
		&(struct msg){.type = MSG_ASK, .what = 1, .bytes = zeros, .len = sizeof(zeros)}));
	must(session_send(s, &(struct msg){.type = MSG_TELL, .code = CODE_OK, .last = true}));
	dotset_free(&set);
	record_clear(&r);
}

static void
conversation(struct heard *a, struct heard *b, size_t piece)
{
	uint8_t bytes[70000];
	uint32_t stream;
	size_t n = sizeof(bytes);

	for (size_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)(i * 7);
	*a = (struct heard){.s = node("web1", "web2", 1)};
	*b = (struct heard){.s = node("web2", "web1", 2)};
	talk(a, b, piece, 0);
	say_everything(a->s);
	say_everything(b->s);
	must(session_get(a->s, &(struct msg){.how = GET_WHOLE, .size = n}, 100000, &stream));
	talk(a, b, piece, 1);
	must(session_data(b->s, stream, bytes, MSG_DATA_BYTES_MAX));
	must(session_data(b->s, stream, bytes + MSG_DATA_BYTES_MAX, n - MSG_DATA_BYTES_MAX));
	must(session_end(b->s, stream, CODE_OK));
	talk(a, b, piece, 2);
	session_bye(a->s, CODE_SHUTDOWN, "good night");
	steps(a);
	talk(a, b, piece, 3);
}

static void
every_cut(void)
{
	static const size_t pieces[] = {SIZE_MAX, 1, 2, 3, 7, 15, 4096, 65536};
	struct heard a[2], b[2];

	conversation(&a[0], &b[0], pieces[0]);
	is_str(a[0].log,
	       "opened SEEN SEEN ACK ACK ORIGIN RECORD RECORD UPTO ASK TELL DATA DATA END closed ",
	       "what one side hears");
	is_str(b[0].log, "opened SEEN SEEN ACK ACK ORIGIN RECORD RECORD UPTO ASK TELL GET closed ",
	       "what the other one hears");
	ok(closed_with(&b[0], CODE_SHUTDOWN, true, "good night") &&
		   closed_with(&a[0], CODE_SHUTDOWN, false, "good night"),
	   "both know why it ended");
	is_int(a[0].data, 70000, "all content came");
	is_int(session_stats(a[0].s)->data_in, 70200, "and is counted, with what was inlined");
	ok(session_stats(a[0].s)->bytes_in == session_stats(b[0].s)->bytes_out &&
		   session_stats(b[0].s)->bytes_in == session_stats(a[0].s)->bytes_out,
	   "every byte that went came");
	for (size_t i = 1; i < ARRAY_LEN(pieces); i++) {
		conversation(&a[1], &b[1], pieces[i]);
		ok(strcmp(a[0].log, a[1].log) == 0 && strcmp(b[0].log, b[1].log) == 0 &&
			   a[0].sum == a[1].sum && b[0].sum == b[1].sum,
		   "the same in pieces of %zu", pieces[i]);
		over(&a[1], &b[1]);
	}
	over(&a[0], &b[0]);
}

/* A surfaced message borrows from the input: more input may come at any time, also while one is
 * held. */
static void
borrowed(void)
{
	struct heard a, b;
	struct msg *m;
	const uint8_t *out;
	uint8_t big[5000];
	size_t len;

	pair(&a, &b);
	memset(big, 'x', sizeof(big));
	for (unsigned i = 0; i < 3; i++)
		must(session_send(
			a.s,
			&(struct msg){.type = MSG_ASK, .id = i, .bytes = big, .len = sizeof(big)}));
	must(session_send(a.s, &(struct msg){.type = MSG_RECORD,
					     .rec = {.dot = {1, 1},
						     .kind = KIND_FILE,
						     .op = OP_ADD,
						     .path = (const uint8_t *)"f",
						     .path_len = 1,
						     .ctx = {&(struct dot){2, 2}, 1, 1}}}));
	out = session_output(a.s, &len);
	is_int(session_input(b.s, out, 6000, 1, WALL), 6000, "a message and a part of the next");
	ok(session_step(b.s, &m) == SESSION_MSG && m->id == 0 && m->bytes[4999] == 'x',
	   "the first one");
	is_int(session_input(b.s, out + 6000, len - 6000, 1, WALL), len - 6000,
	       "more comes while it is held");
	ok(session_step(b.s, &m) == SESSION_MSG && m->id == 1 && m->len == sizeof(big) &&
		   m->bytes[0] == 'x',
	   "the second one is whole");
	ok(session_step(b.s, &m) == SESSION_MSG && m->id == 2, "the third");
	ok(session_step(b.s, &m) == SESSION_MSG && m->type == MSG_RECORD &&
		   vv_covers(&m->rec.ctx, dot(2, 2)),
	   "one that owns memory");
	(void)!session_input(b.s, "", 0, 1, WALL);
	ok(session_step(b.s, &m) == SESSION_IDLE && m == NULL,
	   "nothing more: it is given back once");
	over(&a, &b);
}

/* ---- broken streams ---- */

static void
feed(struct heard *h, const struct buf *b)
{
	for (size_t off = 0; off < b->len;) {
		size_t took = session_input(h->s, b->data + off, b->len - off, 1, WALL);

		steps(h);
		off += took;
		if (took == 0)
			break;
	}
}

/* A session that is open, alone: its peer is written by hand. */
static struct heard
alone(void)
{
	struct heard a = {.s = node("web1", "web2", 1)}, b = {.s = node("web2", "web1", 2)};

	hand(b.s, &a, SIZE_MAX, 0);
	session_free(b.s);
	return a;
}

/* What bytes do to an open session. words: the reason they end it for; NULL: it stays open. */
static bool
ends(const struct buf *b, const char *words)
{
	struct heard a = alone();
	bool good;

	feed(&a, b);
	good = words != NULL ? closed_with(&a, CODE_PROTOCOL, false, words) : session_open(a.s);
	session_free(a.s);
	return good;
}

static bool
breaks(const struct msg *m, const char *words)
{
	struct buf b = {0};
	bool good;

	msg_encode(&b, m);
	good = ends(&b, words);
	buf_free(&b);
	return good;
}

static bool
breaks_raw(const void *bytes, size_t len, const char *words)
{
	struct buf b = {0};
	bool good;

	buf_put(&b, bytes, len);
	good = ends(&b, words);
	buf_free(&b);
	return good;
}

static void
broken_frames(void)
{
	ok(breaks_raw("\0\0\0\0", 4, "empty or too long"), "an empty frame");
	ok(breaks_raw("\1\0\x10\0", 4, "empty or too long"), "a frame of a byte too much");
	ok(breaks_raw("\xff\xff\xff\xff", 4, "empty or too long"), "a frame of 4 GiB");
	ok(breaks_raw("\0\0\x10\0", 4, NULL), "a frame of 1 MiB is waited for");
	ok(breaks_raw("\1\0\0\0\xee", 5, "makes no sense"), "a type that is none");
	ok(breaks_raw("\1\0\0\0\x03", 5, "a PING message that makes no sense"),
	   "a message without its fields");
	ok(breaks(&(struct msg){.type = MSG_HELLO,
				.version_min = 1,
				.version_max = 1,
				.node = "web2",
				.nonce = 2},
		  "a second HELLO"),
	   "a second HELLO");
	ok(breaks(&(struct msg){.type = MSG_DATA, .stream = 1}, "not open"),
	   "DATA on a stream that was never asked for");
	ok(breaks(&(struct msg){.type = MSG_DATA, .stream = 2}, "not open"),
	   "and on one that the peer never opened");
	ok(breaks(&(struct msg){.type = MSG_DATA, .stream = 0}, "not open"), "and on none");
	ok(breaks(&(struct msg){.type = MSG_END, .stream = 1}, "not open"),
	   "END of what was never asked for");
	ok(breaks(&(struct msg){.type = MSG_GET, .stream = 1}, "not the peer's"),
	   "a GET under a number of ours");
	ok(breaks(&(struct msg){.type = MSG_GET, .stream = 0}, "not the peer's"),
	   "a GET under no number");
	ok(breaks(&(struct msg){.type = MSG_CREDIT, .stream = 2, .credit = 5}, NULL),
	   "credit that crossed our END is no crime");
	ok(breaks(&(struct msg){.type = MSG_CANCEL, .stream = 2}, NULL), "nor is a CANCEL");
	ok(breaks(&(struct msg){.type = MSG_PONG, .id = 99}, NULL),
	   "nor is a PONG that nobody waits for");
}

/* The HELLO of a peer, made by hand, to a session that waits for one. */
static struct heard
greeted(const struct msg *hello)
{
	struct heard a = {.s = node("web1", "web2", 1)};
	struct buf b = {0};

	msg_encode(&b, hello);
	feed(&a, &b);
	buf_free(&b);
	return a;
}

static void
greetings(void)
{
	struct msg hello = {.type = MSG_HELLO,
			    .version_min = 1,
			    .version_max = 1,
			    .features = UINT64_MAX,
			    .node = "web2",
			    .nonce = 2,
			    .store = 5};
	struct heard a = greeted(&hello);

	ok(session_open(a.s) && strcmp(a.log, "opened ") == 0,
	   "a HELLO opens; features that are unknown here do not matter");
	session_free(a.s);
	hello.version_max = 9;
	a = greeted(&hello);
	ok(session_open(a.s), "a later node that still speaks version 1");
	session_free(a.s);
	hello.version_min = 2;
	a = greeted(&hello);
	ok(closed_with(&a, CODE_VERSION, false, "the peer 2 to 9"), "one that does not");
	session_free(a.s);
	hello.version_min = hello.version_max = 0;
	a = greeted(&hello);
	ok(closed_with(&a, CODE_VERSION, false, "upgrade the older"), "an older one");
	session_free(a.s);
	hello.version_min = hello.version_max = 1;
	memcpy(hello.node, "web3", 5);
	a = greeted(&hello);
	ok(closed_with(&a, CODE_IDENTITY, false, "calls itself web3, but its key belongs to web2"),
	   "one under another name");
	session_free(a.s);
	memcpy(hello.node, "web2", 5);
	hello.nonce = 1;
	a = greeted(&hello);
	ok(closed_with(&a, CODE_IDENTITY, false, "connected to itself"), "ourselves");
	session_free(a.s);
	a = greeted(&(struct msg){.type = MSG_PING});
	ok(closed_with(&a, CODE_PROTOCOL, false, "not a HELLO"), "anything else first");
	session_free(a.s);
	a = greeted(&(struct msg){
		.type = MSG_BYE, .code = CODE_IDENTITY, .bytes = (const uint8_t *)"no", .len = 2});
	ok(closed_with(&a, CODE_IDENTITY, true, "no"), "a BYE is taken at once");
	session_free(a.s);
}

/* A session that talks to itself, both names the same. */
static void
mirror(void)
{
	struct heard a = {.s = node("web1", "web1", 1)};
	struct buf b = {0};
	const uint8_t *out;
	size_t len;

	out = session_output(a.s, &len);
	buf_put(&b, out, len);
	feed(&a, &b);
	ok(closed_with(&a, CODE_IDENTITY, false, "itself"), "a connection that leads back here");
	buf_free(&b);
	session_free(a.s);
}

/* Whatever is cut off or flipped: no crash, and what was closed stays closed. */
static void
noise(void)
{
	struct heard a = {.s = node("web1", "web2", 1)}, b = {.s = node("web2", "web1", 2)};
	struct buf all = {0};
	const uint8_t *out;
	size_t len;
	unsigned wrong = 0, shut = 0;

	hand(a.s, &b, SIZE_MAX, 0);
	must(session_send(b.s, &(struct msg){.type = MSG_RECORD,
					     .rec = rec("f", dot(1, 1), 1, KIND_FILE, 3),
					     .inlined = true,
					     .bytes = (const uint8_t *)"abc",
					     .len = 3}));
	must(session_send_set(b.s, &(struct msg){.type = MSG_UPTO}, &(struct dotset){0}));
	must(session_get(b.s, &(struct msg){.how = GET_WHOLE, .size = 5}, 5, &(uint32_t){0}));
	out = session_output(b.s, &len);
	buf_put(&all, out, len);
	over(&a, &b);
	for (size_t i = 0; i < len; i++) {
		struct buf part = {all.data, i, i, false};
		struct heard h = {.s = node("web1", "web2", 1)};

		feed(&h, &part);
		wrong += strstr(h.log, "closed") != NULL;
		session_free(h.s);
	}
	is_int(wrong, 0, "a stream that stops anywhere is only waited for");
	for (size_t i = 0; i < len; i++)
		for (unsigned bit = 0; bit < 8; bit++) {
			struct heard h = {.s = node("web1", "web2", 1)};

			all.data[i] ^= (uint8_t)(1u << bit);
			feed(&h, &all);
			shut += !session_open(h.s);
			feed(&h, &all);
			wrong += strstr(h.log, "closed") != NULL &&
				 strcmp(strstr(h.log, "closed"), "closed ") != 0;
			session_free(h.s);
			all.data[i] ^= (uint8_t)(1u << bit);
		}
	ok(wrong == 0 && shut > len, "a flipped bit is borne or ends it, once");
	buf_free(&all);
}

/* ---- streams ---- */

static void
credit(void)
{
	struct heard a, b;
	static const uint8_t bytes[MSG_DATA_BYTES_MAX];
	uint32_t stream, second;

	pair(&a, &b);
	must(session_get(a.s, &(struct msg){.size = 1000}, 100, &stream));
	must(session_get(b.s, &(struct msg){.size = 1000}, 0, &second));
	ok(stream % 2 == 1 && second % 2 == 0,
	   "the smaller nonce asks under odd numbers, the other under even ones");
	ok(session_mine(a.s, stream) && !session_mine(a.s, second) && session_mine(b.s, second),
	   "and both know whose is whose");
	ok(session_room(b.s, stream) == 0, "a GET that has not come opens nothing");
	talk(&a, &b, 5, 1);
	is_int(b.stream, stream, "the server knows the number");
	ok(session_room(b.s, stream) == 100 && session_room(a.s, stream) == 0 &&
		   session_room(a.s, second) == 0,
	   "each sends what the other granted");
	must(session_data(b.s, stream, bytes, 60));
	is_int(session_room(b.s, stream), 40, "credit is used up");
	must(session_data(b.s, stream, bytes, 40));
	is_int(session_room(b.s, stream), 0, "to nothing");
	must(session_credit(a.s, stream, 7));
	must(session_credit(b.s, stream, 50)); /* for the asker's signature */
	talk(&a, &b, 3, 2);
	ok(session_room(b.s, stream) == 7 && session_room(a.s, stream) == 50,
	   "more is granted, either way");
	ok(strcmp(a.log, "opened GET DATA DATA ") == 0 && strcmp(b.log, "opened GET ") == 0,
	   "credit never surfaces");
	must(session_data(a.s, stream, bytes, 50));
	must(session_end(a.s, stream, CODE_OK));
	ok(session_room(a.s, stream) == 0 && session_end(a.s, stream, CODE_OK) == -EINVAL,
	   "the asker's direction ends once");
	talk(&a, &b, 3, 3);
	is_int(b.data, 50, "the asker's bytes came");
	must(session_data(b.s, stream, bytes, 7));
	must(session_end(b.s, stream, CODE_CHANGED));
	is_int(session_end(b.s, stream, CODE_OK), -EINVAL,
	       "so does the server's, and with it the stream");
	talk(&a, &b, SIZE_MAX, 4);
	ok(a.data == 107 && a.code == CODE_CHANGED && session_open(a.s) && session_open(b.s),
	   "all of it came, and why it ended");
	is_int(session_room(a.s, stream), 0, "it is forgotten on both sides");
	must(session_credit(a.s, stream, 5));
	must(session_cancel(a.s, stream));
	talk(&a, &b, SIZE_MAX, 5);
	ok(session_open(a.s) && session_open(b.s), "late credit and a late cancel are nothing");
	over(&a, &b);
}

static void
overdrawn(void)
{
	struct heard a = alone();
	struct buf b = {0};
	uint32_t stream;
	static const uint8_t bytes[11];

	must(session_get(a.s, &(struct msg){.size = 100}, 10, &stream));
	msg_encode(&b,
		   &(struct msg){.type = MSG_DATA, .stream = stream, .bytes = bytes, .len = 10});
	feed(&a, &b);
	ok(session_open(a.s) && a.data == 10, "all that was granted");
	buf_reset(&b);
	msg_encode(&b, &(struct msg){.type = MSG_DATA, .stream = stream, .bytes = bytes, .len = 1});
	feed(&a, &b);
	ok(closed_with(&a, CODE_PROTOCOL, false, "more DATA than was granted"), "and a byte more");
	session_free(a.s);

	a = alone();
	buf_reset(&b);
	msg_encode(&b,
		   &(struct msg){.type = MSG_GET, .stream = 2, .size = 1, .credit = UINT32_MAX});
	feed(&a, &b);
	ok(session_open(a.s) && session_room(a.s, 2) > 0, "credit of 4 GiB");
	buf_reset(&b);
	msg_encode(&b, &(struct msg){.type = MSG_CREDIT, .stream = 2, .credit = 1});
	feed(&a, &b);
	ok(closed_with(&a, CODE_PROTOCOL, false, "beyond all bounds"), "and a byte more");
	session_free(a.s);

	a = alone();
	buf_reset(&b);
	msg_encode(&b, &(struct msg){.type = MSG_GET, .stream = 2, .size = 1});
	msg_encode(&b, &(struct msg){.type = MSG_GET, .stream = 2, .size = 1});
	feed(&a, &b);
	ok(closed_with(&a, CODE_PROTOCOL, false, "not the peer's"), "one number for two streams");
	session_free(a.s);

	a = alone();
	must(session_get(a.s, &(struct msg){.size = 100}, 10, &stream));
	buf_reset(&b);
	msg_encode(&b, &(struct msg){.type = MSG_END, .stream = stream});
	msg_encode(&b, &(struct msg){.type = MSG_END, .stream = stream});
	feed(&a, &b);
	ok(closed_with(&a, CODE_PROTOCOL, false, "END on a stream"), "two ENDs of one answer");
	session_free(a.s);
	buf_free(&b);
}

static void
many_streams(void)
{
	struct heard a, b;
	uint32_t stream = 0, more;

	pair(&a, &b);
	for (unsigned i = 0; i < SESSION_STREAMS_MAX; i++)
		must(session_get(a.s, &(struct msg){.size = 1}, 1, &stream));
	is_int(session_get(a.s, &(struct msg){.size = 1}, 1, &more), -ENOBUFS,
	       "one stream more than there may be is not opened");
	must(session_get(b.s, &(struct msg){.size = 1}, 1, &more));
	talk(&a, &b, SIZE_MAX, 1);
	ok(session_open(b.s), "each side may have as many of its own");
	must(session_end(b.s, stream, CODE_GONE));
	is_int(session_get(a.s, &(struct msg){.size = 1}, 1, &more), -ENOBUFS,
	       "one that ended counts until this side knows");
	talk(&a, &b, SIZE_MAX, 1);
	is_int(session_get(a.s, &(struct msg){.size = 1}, 1, &more), 0, "then there is room");
	ok(more > stream, "under a new number");
	talk(&a, &b, SIZE_MAX, 1);
	ok(session_open(b.s), "the other side has room, too");
	over(&a, &b);

	a = alone();
	for (uint32_t i = 0; i <= SESSION_STREAMS_MAX; i++) {
		struct buf get = {0};

		msg_encode(&get, &(struct msg){.type = MSG_GET, .stream = 2 + 2 * i, .size = 1});
		feed(&a, &get);
		buf_free(&get);
		if (i + 1 == SESSION_STREAMS_MAX)
			ok(session_open(a.s), "a peer may open all of them");
	}
	ok(closed_with(&a, CODE_PROTOCOL, false, "too many streams"), "and not one more");
	session_free(a.s);
}

static void
cancels(void)
{
	struct heard a, b;
	static const uint8_t bytes[100];
	uint32_t stream;

	pair(&a, &b);
	must(session_get(a.s, &(struct msg){.size = 1000}, 300, &stream));
	talk(&a, &b, SIZE_MAX, 1);
	must(session_data(b.s, stream, bytes, 100)); /* is on its way */
	must(session_cancel(a.s, stream));
	must(session_cancel(a.s, stream));
	talk(&a, &b, SIZE_MAX, 1);
	ok(a.data == 0 && strcmp(b.log, "opened GET CANCEL ") == 0,
	   "after a cancel nothing surfaces but END, and it is said once");
	must(session_data(b.s, stream, bytes, 100));
	must(session_end(b.s, stream, CODE_GONE));
	talk(&a, &b, SIZE_MAX, 1);
	ok(strcmp(a.log, "opened END ") == 0 && a.data == 0 && a.code == CODE_GONE, "END does");

	must(session_get(a.s, &(struct msg){.size = 1000}, 300, &stream));
	talk(&a, &b, SIZE_MAX, 1);
	must(session_end(b.s, stream, CODE_OK)); /* both at the same time */
	must(session_cancel(a.s, stream));
	talk(&a, &b, SIZE_MAX, 1);
	ok(session_open(a.s) && session_open(b.s) && strcmp(a.log, "opened END END ") == 0 &&
		   strcmp(b.log, "opened GET CANCEL GET ") == 0,
	   "a cancel that crosses END is nothing");
	over(&a, &b);
}

/* The server ends a stream while the asker's signature is on its way. */
static void
ends_crossing(void)
{
	struct heard a, b;
	static const uint8_t bytes[100];
	uint32_t stream;

	pair(&a, &b);
	must(session_get(a.s, &(struct msg){.how = GET_DELTA, .size = 1000, .offset = 900}, 300,
			 &stream));
	talk(&a, &b, SIZE_MAX, 1);
	must(session_credit(b.s, stream, 100));
	talk(&a, &b, SIZE_MAX, 1);
	must(session_data(a.s, stream, bytes, 100));
	must(session_end(a.s, stream, CODE_OK));
	must(session_end(b.s, stream, CODE_USELESS));
	talk(&a, &b, SIZE_MAX, 1);
	ok(session_open(a.s) && session_open(b.s), "nothing of it is a crime");
	ok(b.data == 0 && strcmp(b.log, "opened GET ") == 0 && a.code == CODE_USELESS,
	   "the server does not hear of what came too late");
	over(&a, &b);
}

/* ---- time ---- */

static void
pings(void)
{
	struct heard a = {.s = node("web1", "web2", 1)}, b = {.s = node("web2", "web1", 2)};
	const struct session_stats *st = session_stats(a.s);
	const uint8_t *out;
	size_t len, was;

	talk(&a, &b, SIZE_MAX, 0);
	is_int(st->rtt_ms, 0, "no round trip was measured yet");
	ok(session_deadline(a.s) <= PING_MS, "the first ping is due soon");
	session_tick(a.s, 1000, WALL + 1000);
	out = session_output(a.s, &len); /* 40 ms there; their clock is 5 s ahead */
	is_int(session_input(b.s, out, len, 1040, WALL + 6040), len, "it goes");
	session_consumed(a.s, len);
	steps(&b);
	out = session_output(b.s, &len);
	is_int(session_input(a.s, out, len, 1080, WALL + 1080), len, "its answer comes");
	session_consumed(b.s, len);
	steps(&a);
	is_int(st->rtt_ms, 80, "the round trip");
	is_int(st->clock_offset_ms, 5000, "the peer's clock");
	is_str(a.log, "opened ", "pings never surface");
	is_int(session_deadline(a.s), 1000 + PING_MS, "the next one is due");
	(void)session_output(a.s, &len);
	session_tick(a.s, 1000 + PING_MS - 1, WALL);
	(void)session_output(a.s, &was);
	is_int(was, len, "not earlier");
	session_tick(a.s, 1000 + PING_MS, WALL);
	(void)session_output(a.s, &len);
	is_int(len - was, 17, "a PING goes then");
	over(&a, &b);
}

/* A peer with a clock from hell, and answers to nothing. */
static void
absurd_clock(void)
{
	static const uint64_t times[] = {0, UINT64_MAX, (uint64_t)1 << 63,
					 ((uint64_t)1 << 63) + WALL + 1000, WALL};

	for (size_t i = 0; i < ARRAY_LEN(times); i++) {
		struct heard a = alone();
		struct buf b = {0};

		session_tick(a.s, 1000, WALL + 1000);
		msg_encode(&b, &(struct msg){.type = MSG_PONG, .id = 1, .time_ms = times[i]});
		(void)!session_input(a.s, b.data, b.len, 1100, WALL + 1100);
		steps(&a);
		is_int(session_stats(a.s)->rtt_ms, 100,
		       "a peer's clock does not matter for the round trip: %zu", i);
		buf_free(&b);
		session_free(a.s);
	}
}

static void
timeouts(void)
{
	struct heard a = {.s = node_at("web1", "web2", 1, 500)}, b;

	is_int(session_deadline(a.s), 500 + SESSION_HELLO_MS_MAX, "a HELLO is waited for");
	session_tick(a.s, 500 + SESSION_HELLO_MS_MAX - 1, WALL);
	steps(&a);
	is_int(a.len, 0, "to the last");
	session_tick(a.s, 500 + SESSION_HELLO_MS_MAX, WALL);
	steps(&a);
	ok(closed_with(&a, CODE_TIMEOUT, false, "no HELLO"), "and not longer");
	ok(session_deadline(a.s) == UINT64_MAX && strcmp(a.log, "closed ") == 0,
	   "after that there is nothing to wait for");
	session_free(a.s);

	pair(&a, &b);
	for (uint64_t now = 0; now < TIMEOUT_MS; now = session_deadline(a.s)) {
		session_tick(a.s, now, WALL + now);
		if (session_deadline(a.s) <= now)
			break;
	}
	ok(session_open(a.s) && session_deadline(a.s) == TIMEOUT_MS, "silence is borne so long");
	session_tick(a.s, TIMEOUT_MS, WALL);
	ok(closed_with(&a, CODE_TIMEOUT, false, "heard"), "and not longer");
	talk(&a, &b, SIZE_MAX, 1);
	ok(closed_with(&b, CODE_TIMEOUT, true, "heard"), "the peer is told");
	over(&a, &b);

	pair(&a, &b);
	for (uint64_t now = 0; now < 5 * TIMEOUT_MS; now += PING_MS) {
		session_tick(a.s, now, WALL + now);
		session_tick(b.s, now, WALL + now);
		talk(&a, &b, 10, now);
	}
	ok(session_open(a.s) && session_open(b.s), "pings keep a silent one alive");
	over(&a, &b);
}

/* ---- back-pressure ---- */

static void
full(void)
{
	struct heard a, b;
	static uint8_t blob[MSG_BLOB_BYTES_MAX];
	struct msg ask = {.type = MSG_ASK, .bytes = blob, .len = sizeof(blob)};
	struct buf ping = {0};
	unsigned sent = 0;
	size_t len;

	pair(&a, &b);
	while (session_send(a.s, &ask) == 0 && sent < 1000)
		sent++;
	(void)session_output(a.s, &len);
	ok(len > SESSION_OUT_BYTES_MAX && len <= SESSION_OUT_BYTES_MAX + 2 * sizeof(blob),
	   "so much is queued, and not more");
	is_int(session_send(a.s, &ask), -ENOBUFS, "then it says so");
	is_int(session_get(a.s, &(struct msg){.size = 1}, 1, &(uint32_t){0}), -ENOBUFS,
	       "a GET is not queued either");
	ok(!session_has_room(a.s), "and there is no room");
	msg_encode(&ping, &(struct msg){.type = MSG_PING, .id = 1});
	is_int(session_input(a.s, ping.data, ping.len, 1, WALL), ping.len,
	       "what comes is taken all the same");
	steps(&a);
	session_tick(a.s, 2 * PING_MS, WALL);
	ok(session_deadline(a.s) > 2 * PING_MS,
	   "a ping that finds no room is not due again at once");
	talk(&a, &b, SIZE_MAX, 2 * PING_MS);
	ok(session_send(a.s, &ask) == 0 && session_has_room(a.s) == false,
	   "drained: it goes on; one blob is more than bulk may queue");
	talk(&a, &b, 3000, 2 * PING_MS);
	ok(session_has_room(a.s) && session_open(a.s), "and drained again");
	buf_free(&ping);
	over(&a, &b);
}

/* As many blobs as it takes. */
static void
fill(struct session *s)
{
	static uint8_t blob[MSG_BLOB_BYTES_MAX];
	struct msg ask = {.type = MSG_ASK, .bytes = blob, .len = sizeof(blob)};

	while (session_send(s, &ask) == 0)
		continue;
}

/* Both sides have more to say than they may queue: neither waits for the other to read first. */
static void
both_full(void)
{
	struct heard a, b;
	size_t len;

	pair(&a, &b);
	fill(a.s);
	fill(b.s);
	talk(&a, &b, 3000, 1);
	(void)session_output(a.s, &len);
	is_int(len, 0, "one side gets rid of all it has to say");
	(void)session_output(b.s, &len);
	is_int(len, 0, "and so does the other");
	ok(session_open(a.s) && session_open(b.s), "and both are still open");
	over(&a, &b);
}

/* A peer that asks and never reads: its answers do not pile up without end. */
static void
never_reads(uint8_t type)
{
	struct heard a, b;
	struct msg m = {.type = type, .id = 1, .stream = 1};
	struct buf frames = {0};
	size_t before, after;

	pair(&a, &b);
	fill(a.s);
	(void)session_output(a.s, &before);
	msg_encode(&frames, &m);
	for (unsigned i = 0; i < SESSION_UNREAD_MAX; i++) {
		if (session_input(a.s, frames.data, frames.len, 1, WALL) != frames.len)
			break;
		steps(&a);
	}
	ok(session_open(a.s), "%s: so many are answered", msg_name(type));
	(void)!session_input(a.s, frames.data, frames.len, 1, WALL);
	steps(&a);
	ok(closed_with(&a, CODE_PROTOCOL, false, "does not read"), "%s: not one more",
	   msg_name(type));
	(void)session_output(a.s, &after);
	ok(after - before <= 64 * (SESSION_UNREAD_MAX + 1), "%s: and little was queued for it",
	   msg_name(type));
	buf_free(&frames);
	over(&a, &b);
}

/* What a stranger sends before HELLO is refused for that, whatever it is. */
static void
before_hello(void)
{
	static const uint8_t types[] = {MSG_RECORD, MSG_SEEN, MSG_GET, MSG_PING, 0, 99, 255};

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		struct heard a = {.s = node("web1", "web2", 1)};
		uint8_t frame[] = {2, 0, 0, 0, types[i], 'x'};

		(void)!session_input(a.s, frame, sizeof(frame), 1, WALL);
		steps(&a);
		ok(closed_with(&a, CODE_PROTOCOL, false, "the first frame is not a HELLO"),
		   "type %u before HELLO", types[i]);
		session_free(a.s);
	}
}

/* Input of which nothing is stepped is taken up to one frame. */
static void
unread(void)
{
	struct heard a = alone();
	static uint8_t zeros[65536];
	struct buf head = {0};
	size_t sum = 0, took;

	buf_put_u32(&head, FRAME_BYTES_MAX);
	sum += session_input(a.s, head.data, head.len, 1, WALL);
	while ((took = session_input(a.s, zeros, sizeof(zeros), 1, WALL)) > 0)
		sum += took;
	is_int(sum, FRAME_HEADER_BYTES + FRAME_BYTES_MAX, "so many bytes, and not more");
	steps(&a);
	ok(closed_with(&a, CODE_PROTOCOL, false, "makes no sense"),
	   "which are a frame of nonsense");
	is_int(session_input(a.s, zeros, 100, 1, WALL), 100, "a closed session swallows all");
	buf_free(&head);
	session_free(a.s);
}

static void
bulk(void)
{
	struct heard a, b;
	static const uint8_t bytes[MSG_DATA_BYTES_MAX];
	uint32_t stream;
	unsigned n = 0;
	size_t room;

	pair(&a, &b);
	must(session_get(a.s, &(struct msg){.size = 1u << 30}, 1u << 30, &stream));
	talk(&a, &b, SIZE_MAX, 1);
	while ((room = session_room(b.s, stream)) > 0 && n++ < 100)
		must(session_data(b.s, stream, bytes, room < sizeof(bytes) ? room : sizeof(bytes)));
	(void)session_output(b.s, &room);
	ok(room >= SESSION_BULK_BYTES_MAX && room < SESSION_BULK_BYTES_MAX + 100,
	   "bulk queues 256 KiB, whatever the credit");
	is_int(session_send(b.s, &(struct msg){.type = MSG_ASK}), 0, "and leaves room for control");
	over(&a, &b);
}

/* ---- the end ---- */

static void
byes(void)
{
	struct heard a, b;
	char text[MSG_TEXT_BYTES_MAX + 100];
	uint8_t code;
	bool remote;

	memset(text, 'y', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	pair(&a, &b);
	session_bye(a.s, CODE_DUPLICATE, text);
	session_bye(a.s, CODE_OK, "no");
	is_int(session_send(a.s, &(struct msg){.type = MSG_ASK}), -EPIPE,
	       "after a BYE nothing is sent");
	is_int(session_get(a.s, &(struct msg){.size = 1}, 1, &(uint32_t){0}), -EPIPE,
	       "nothing is asked");
	ok(session_data(a.s, 1, "", 0) == -EPIPE && session_end(a.s, 1, 0) == -EPIPE &&
		   session_credit(a.s, 1, 1) == -EPIPE && session_cancel(a.s, 1) == -EPIPE,
	   "and streams are no more");
	talk(&a, &b, 1, 1);
	is_int(strlen(session_reason(b.s, &code, &remote)), MSG_TEXT_BYTES_MAX,
	       "a long reason arrives as far as it may");
	ok(code == CODE_DUPLICATE && remote, "with its code");
	over(&a, &b);

	pair(&a, &b);
	session_bye(a.s, CODE_SHUTDOWN, "");
	talk(&a, &b, 1, 1);
	ok(closed_with(&b, CODE_SHUTDOWN, true, msg_code_text(CODE_SHUTDOWN)),
	   "without words the code has some");
	is_str(session_peer(b.s), "web1", "who it was");
	over(&a, &b);
}

int
main(void)
{
	every_cut();
	borrowed();
	broken_frames();
	greetings();
	mirror();
	noise();
	credit();
	overdrawn();
	many_streams();
	cancels();
	ends_crossing();
	pings();
	absurd_clock();
	timeouts();
	full();
	both_full();
	never_reads(MSG_PING);
	never_reads(MSG_CANCEL);
	before_hello();
	unread();
	bulk();
	byes();
	return tap_done();
}
