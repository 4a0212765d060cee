/* SPDX-License-Identifier: BSD-2-Clause */
/* A scripted peer: queues, one poll for all, and what came. */
#include "config.h"

#include "tests/hostile/peer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define POLL_PEERS_MAX 2048
#define READ_BYTES 65536

uint64_t
peer_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void
must(int r)
{
	if (r < 0)
		abort();
}

/* ---- life ---- */

static int
dial(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&a, sizeof(a)) < 0) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	must(fcntl(fd, F_SETFL, O_NONBLOCK));
	return fd;
}

struct peer *
peer_new(struct peers *all, const char *path, const char *header)
{
	struct peer *p = calloc(1, sizeof(*p));

	if (p == NULL)
		abort();
	p->fd = dial(path);
	if (p->fd < 0) {
		free(p);
		return NULL;
	}
	if (header != NULL)
		peer_raw(p, header, strlen(header));
	p->next = all->first;
	all->first = p;
	return p;
}

struct peer *
peer_greet(struct peers *all, const char *path, const char *name, uint64_t nonce)
{
	char header[128];
	struct peer *p;

	snprintf(header, sizeof(header), "attach 1 %s\n", name);
	p = peer_new(all, path, header);
	if (p == NULL)
		return NULL;
	peer_hello(p, name, nonce);
	peer_spans(p, MSG_SEEN, NULL, 0, true);
	return p;
}

void
peer_close(struct peers *all, struct peer *p)
{
	struct peer **at = &all->first;

	if (p == NULL)
		return;
	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	if (p->fd >= 0)
		close(p->fd);
	buf_free(&p->out);
	buf_free(&p->in);
	buf_free(&p->content);
	dotset_free(&p->held);
	dotset_free(&p->acked);
	free(p);
}

/* ---- saying ---- */

void
peer_raw(struct peer *p, const void *bytes, size_t len)
{
	buf_put(&p->out, bytes, len);
}

void
peer_say(struct peer *p, const struct msg *m)
{
	msg_encode(&p->out, m);
}

void
peer_frame(struct peer *p, uint8_t type, const void *payload, size_t len)
{
	buf_put_u32(&p->out, (uint32_t)len + 1);
	buf_put_u8(&p->out, type);
	buf_put(&p->out, payload, len);
}

void
peer_hello(struct peer *p, const char *name, uint64_t nonce)
{
	struct msg m = {.type = MSG_HELLO,
			.version_min = 1,
			.version_max = 1,
			.store = 0x5707e,
			.nonce = nonce,
			.digest = 1};

	snprintf(m.node, sizeof(m.node), "%s", name);
	peer_say(p, &m);
}

void
peer_origin(struct peer *p, uint64_t origin, const char *node)
{
	struct msg m = {.type = MSG_ORIGIN, .origin = origin, .store = 1};

	snprintf(m.node, sizeof(m.node), "%s", node);
	peer_say(p, &m);
}

void
peer_spans(struct peer *p, uint8_t type, const struct span3 *s, uint32_t n, bool last)
{
	struct buf b = {0};

	if (type == MSG_ACK) {
		buf_put_u16(&b, 0);
		buf_put_u8(&b, 0);
	}
	buf_put_u8(&b, last);
	buf_put_u32(&b, n);
	for (uint32_t i = 0; i < n; i++) {
		buf_put_u64(&b, s[i].origin);
		buf_put_u64(&b, s[i].lo);
		buf_put_u64(&b, s[i].hi);
	}
	peer_frame(p, type, b.data, b.len);
	buf_free(&b);
}

/* ---- hearing ---- */

static void
heard_record(struct peer *p, const struct msg *m)
{
	p->records++;
	p->last_hlc = m->rec.hlc;
	p->last_seq = m->rec.dot.seq;
	p->last_origin = m->rec.dot.origin;
	memcpy(p->last_path, m->rec.path, m->rec.path_len);
	p->last_path[m->rec.path_len] = '\0';
}

static void
heard_spans(struct peer *p, const struct msg *m)
{
	struct dotset *set = m->type == MSG_ACK ? &p->acked : &p->held;

	if (m->type == MSG_ACK && m->node[0] != '\0')
		return;
	for (uint32_t i = 0; i < m->nspans; i++) {
		struct span3 s = msg_span(m, i);

		must(dotset_add_range(set, s.origin, s.lo, s.hi));
	}
}

static void
heard_bye(struct peer *p, const struct msg *m)
{
	p->bye = true;
	p->bye_code = m->code;
	memcpy(p->bye_text, m->bytes, m->len);
	p->bye_text[m->len] = '\0';
}

static void
heard(struct peer *p, const struct msg *m)
{
	switch ((enum msg_type)m->type) {
	case MSG_HELLO:
		p->hello = true;
		p->nonce = m->nonce;
		break;
	case MSG_BYE:
		heard_bye(p, m);
		break;
	case MSG_PING:
		peer_say(p, &(struct msg){.type = MSG_PONG, .id = m->id});
		break;
	case MSG_PONG:
		p->pongs++;
		break;
	case MSG_SEEN:
	case MSG_UPTO:
	case MSG_ACK:
		heard_spans(p, m);
		break;
	case MSG_ORIGIN:
		if (strcmp(m->node, "self") == 0)
			p->origin = m->origin;
		break;
	case MSG_RECORD:
		heard_record(p, m);
		break;
	case MSG_GET:
		p->gets++;
		p->last_get = m->stream;
		p->last_how = m->how;
		if (p->on_get != NULL)
			p->on_get(p, m);
		else
			peer_say(p, &(struct msg){.type = MSG_END,
						  .stream = m->stream,
						  .code = CODE_GONE});
		break;
	case MSG_DATA:
		buf_put(&p->content, m->bytes, m->len);
		break;
	case MSG_END:
		p->ends[m->code < ARRAY_LEN(p->ends) ? m->code : ARRAY_LEN(p->ends) - 1]++;
		if (p->on_end != NULL)
			p->on_end(p, m);
		break;
	case MSG_CREDIT:
		p->credits++;
		p->credit = m->credit;
		if (p->on_credit != NULL)
			p->on_credit(p, m);
		break;
	case MSG_ASK:
		if (m->what == ASK_KEPT && p->on_kept != NULL)
			p->on_kept(p, m);
		else if (m->what == ASK_KEPT)
			peer_say(p, &(struct msg){.type = MSG_TELL,
						  .id = m->id,
						  .code = CODE_REFUSED,
						  .last = true});
		break;
	case MSG_MEMBER:
	case MSG_TABLE:
	case MSG_CANCEL:
	case MSG_TELL:
		break;
	}
}

static void
decode(struct peer *p)
{
	size_t at = 0;

	while (p->in.len - at >= FRAME_HEADER_BYTES) {
		uint32_t len = bytes_get_u32(p->in.data + at);
		struct msg m;

		if (p->in.len - at - FRAME_HEADER_BYTES < len)
			break;
		must(msg_decode(p->in.data + at + FRAME_HEADER_BYTES, len, &m));
		heard(p, &m);
		msg_clear(&m);
		at += FRAME_HEADER_BYTES + len;
	}
	buf_consume(&p->in, at);
}

static void
lost(struct peer *p)
{
	close(p->fd);
	p->fd = -1;
	p->eof = true;
}

static void
take(struct peer *p)
{
	static uint8_t bytes[READ_BYTES];
	ssize_t n = recv(p->fd, bytes, sizeof(bytes), 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		lost(p);
		return;
	}
	buf_put(&p->in, bytes, (size_t)n);
	decode(p);
}

static void
give(struct peer *p)
{
	ssize_t n = send(p->fd, p->out.data, p->out.len, MSG_NOSIGNAL);

	if (n > 0)
		buf_consume(&p->out, (size_t)n);
	else if (n < 0 && errno != EAGAIN && errno != EINTR)
		buf_reset(&p->out); /* closed: what it said last may still be read */
}

void
peers_turn(struct peers *all, int ms)
{
	static struct pollfd fds[POLL_PEERS_MAX];
	static struct peer *who[POLL_PEERS_MAX];
	nfds_t n = 0;

	for (struct peer *p = all->first; p != NULL && n < POLL_PEERS_MAX; p = p->next) {
		if (p->fd < 0)
			continue;
		who[n] = p;
		fds[n++] = (struct pollfd){
			.fd = p->fd,
			.events = (short)((p->deaf ? 0 : POLLIN) | (p->out.len > 0 ? POLLOUT : 0))};
	}
	if (poll(fds, n, ms) <= 0)
		return;
	for (nfds_t i = 0; i < n; i++) {
		if (fds[i].revents != 0 && !who[i]->deaf)
			take(who[i]);
		if (who[i]->fd >= 0 && who[i]->out.len > 0 && fds[i].revents != 0)
			give(who[i]);
		if (who[i]->deaf && (fds[i].revents & POLLHUP) != 0)
			who[i]->eof = true;
	}
}

bool
peers_until(struct peers *all, bool (*f)(void *arg), void *arg, unsigned ms)
{
	uint64_t end = peer_now_ms() + ms;

	while (!f(arg)) {
		if (peer_now_ms() >= end)
			return false;
		peers_turn(all, 5);
	}
	return true;
}

static bool
flushed(void *arg)
{
	const struct peer *p = arg;

	return p->out.len == 0 || p->fd < 0 || p->eof;
}

bool
peer_flush(struct peers *all, struct peer *p, unsigned ms)
{
	return peers_until(all, flushed, p, ms);
}

static bool
is_over(void *arg)
{
	const struct peer *p = arg;

	return p->eof;
}

bool
peer_over(struct peers *all, struct peer *p, unsigned ms)
{
	return peers_until(all, is_over, p, ms);
}

struct answer {
	struct peer *p;
	unsigned pongs;
};

static bool
answered(void *arg)
{
	const struct answer *a = arg;

	return a->p->pongs > a->pongs || a->p->eof;
}

bool
peer_answers(struct peers *all, struct peer *p, unsigned ms)
{
	struct answer a = {p, p->pongs};

	if (p->fd < 0)
		return false;
	peer_say(p, &(struct msg){.type = MSG_PING, .id = 99});
	return peers_until(all, answered, &a, ms) && !p->eof;
}
