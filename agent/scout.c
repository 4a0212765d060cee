/* SPDX-License-Identifier: BSD-2-Clause */
/* Asks others where members are: the connection to a Serf agent, and a child that asks the DNS. */
#include "config.h"

#include "agent/scout.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/exchange.h"
#include "agent/gossip.h"
#include "agent/hints.h"
#include "agent/lookup.h"
#include "agent/serf.h"
#include "agent/smallfile.h"
#include "conf/spawn.h"
#include "proto/backoff.h"

#define READ_BYTES (64u * 1024)
#define READS_MAX 4 /* in one turn */
#define RETRY_MS 1000

/* One question to the DNS. */
struct query {
	int fd, pidfd; /* -1: none is under way */
	pid_t pid;
	struct buf text, before;  /* what it says; what the last one said */
	uint64_t at_ms, until_ms; /* when the next one is due; when this one is given up */
	bool told;
	struct backoff backoff;
};

struct scout {
	struct node *n;
	struct loop *loop;
	struct links *links;
	/* Serf */
	int fd; /* -1: not connected, and not trying */
	bool connected;
	uint32_t events;
	struct serf *serf;
	struct backoff backoff;
	uint64_t at_ms;    /* when to try, or to ask for the list again */
	uint64_t until_ms; /* it has answered by then; 0: nothing is to come */
	uint64_t bad;      /* serf_bad, as said */
	uint64_t hurried_ms;
	bool told; /* that it answers */
	uint8_t *buffer;
	struct query dns;
};

/* ---- what is told ---- */

static void
complain(struct scout *s, const char *event, const char *what, const char *name)
{
	struct node *n = s->n;
	char text[256];

	snprintf(text, sizeof(text), "Serf at %s: %s", n->conf->serf.text, what);
	LOG(n->log, LOG_WARN, event, what, log_s("at", n->conf->serf.text), log_s("name", name));
	errors_add(n->errors, n->wall_ms, "", "serf", NULL, 0, text);
}

/* Not each time: who says it a thousand times a second shall not make us dial as often. */
static void
hurry(struct scout *s, const char *name)
{
	const struct peer *p = exchange_peer(s->n->exchange, name);

	if (p == NULL || p->link != NULL ||
	    (s->hurried_ms != 0 && s->n->now_ms - s->hurried_ms < SCOUT_HURRY_MS))
		return;
	s->hurried_ms = s->n->now_ms;
	links_member(s->links, name);
}

static void
found(struct scout *s, const struct serf_member *m)
{
	int r = hints_put(s->n->hints, HINT_SERF, m->name, m->address);

	if (r == -ENOMEM)
		s->n->fatal(s->n->arg, "out of memory", r);
	else if (r < 0)
		complain(s, "serf.refused",
			 r == -ENOSPC ? "it has more members than there may be"
				      : "its tag " SERF_TAG_SSH " is not HOST:PORT",
			 m->name);
	else if (r == 1 || m->news)
		hurry(s, m->name);
	if (r == 1)
		LOG(s->n->log, LOG_INFO, "serf.hint", "a member may be found there",
		    log_s("member", m->name), log_s("address", m->address));
}

static void
on_member(void *arg, const struct serf_member *m)
{
	struct scout *s = arg;
	struct peer *p = exchange_peer(s->n->exchange, m->name);

	if (strcmp(m->name, s->n->conf->name) == 0)
		return;
	if (m->fate == SERF_ALIVE)
		found(s, m);
	else if (m->fate == SERF_LEFT)
		(void)!hints_put(s->n->hints, HINT_SERF, m->name, "");
	else if (m->news && p != NULL)
		gossip_doubt(s->n->gossip, p);
}

/* ---- the connection ---- */

static void
hang_up(struct scout *s)
{
	if (s->fd >= 0) {
		loop_fd_del(s->loop, s->fd);
		close(s->fd);
	}
	serf_free(s->serf);
	s->fd = -1;
	s->serf = NULL;
	s->bad = 0;
	s->until_ms = 0;
}

static void
lost(struct scout *s, const char *what)
{
	complain(s, "serf.away", what, "");
	hang_up(s);
	s->at_ms = s->n->now_ms + backoff_fail(&s->backoff);
}

/* An answer came: whatever was to come by now has come. */
static void
heard(struct scout *s)
{
	if (serf_bad(s->serf) != s->bad) {
		s->bad = serf_bad(s->serf);
		complain(s, "serf.refused", "some of its members have no name that could be one",
			 "");
	}
	if (serf_waits(s->serf))
		return;
	if (!s->told) {
		s->told = true;
		LOG(s->n->log, LOG_INFO, "serf.connected", "it tells of its members",
		    log_s("at", s->n->conf->serf.text),
		    log_u("found", hints_count(s->n->hints, HINT_SERF)));
	}
	backoff_reset(&s->backoff);
	s->until_ms = 0;
	s->at_ms = s->n->now_ms + SCOUT_SERF_ASK_MS;
}

static void
read_some(struct scout *s)
{
	for (unsigned i = 0; i < READS_MAX; i++) {
		const char *what;
		ssize_t n = recv(s->fd, s->buffer, READ_BYTES, MSG_DONTWAIT);
		int r;

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			lost(s, n < 0 ? strerror(errno) : "it closed the connection");
			return;
		}
		r = serf_input(s->serf, s->buffer, (size_t)n, &what);
		if (r == -ENOMEM) {
			s->n->fatal(s->n->arg, "out of memory", r);
			return;
		}
		if (r < 0) {
			lost(s, what);
			return;
		}
		heard(s);
	}
}

static void
write_some(struct scout *s)
{
	size_t len;
	const uint8_t *bytes = serf_output(s->serf, &len);
	ssize_t n = len > 0 ? send(s->fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;

	if (n > 0)
		serf_consumed(s->serf, (size_t)n);
	else if (n < 0 && errno != EAGAIN && errno != EINTR)
		lost(s, strerror(errno));
}

static void
on_ready(void *arg, uint32_t events)
{
	struct scout *s = arg;
	int e = 0;
	socklen_t len = sizeof(e);

	if (!s->connected) {
		if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &e, &len) < 0)
			e = errno;
		if (e != 0) {
			lost(s, strerror(e));
			return;
		}
		s->connected = true;
	}
	if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0)
		read_some(s);
}

/* Numbers, as no name is looked up while everything else waits. */
static socklen_t
sockaddr_of(const struct value_address *a, struct sockaddr_storage *out)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(a->port)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(a->port)};
	const char *host = strcmp(a->host, "localhost") == 0 ? "127.0.0.1" : a->host;

	if (inet_pton(AF_INET, host, &v4.sin_addr) == 1) {
		memcpy(out, &v4, sizeof(v4));
		return sizeof(v4);
	}
	if (inet_pton(AF_INET6, host, &v6.sin6_addr) == 1) {
		memcpy(out, &v6, sizeof(v6));
		return sizeof(v6);
	}
	return 0;
}

/* The key's first line. What cannot be read is said; without it Serf says what it thinks of that.
 */
static void
read_key(struct scout *s, char key[SERF_KEY_BYTES_MAX + 1])
{
	const char *path = s->n->conf->serf_key;
	struct buf b = {0};
	int r;

	key[0] = '\0';
	if (path == NULL)
		return;
	r = smallfile_read(path, &b);
	if (r < 0)
		complain(s, "serf.key", "discovery.serf_key cannot be read", path);
	else
		snprintf(key, SERF_KEY_BYTES_MAX + 1, "%.*s",
			 (int)strcspn((const char *)b.data, "\r\n"), (const char *)b.data);
	if (b.data != NULL)
		explicit_bzero(b.data, b.len);
	buf_free(&b);
}

static int
connect_to(struct scout *s)
{
	struct sockaddr_storage a;
	socklen_t len = sockaddr_of(&s->n->conf->serf, &a);
	int r;

	if (len == 0)
		return -EADDRNOTAVAIL;
	s->fd = socket(a.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->fd < 0)
		return -errno;
	s->connected = false;
	s->events = EPOLLIN | EPOLLOUT;
	r = loop_fd_add(s->loop, s->fd, s->events, on_ready, s);
	if (r < 0)
		return r;
	if (connect(s->fd, (const struct sockaddr *)&a, len) < 0 && errno != EINPROGRESS)
		return -errno;
	return 0;
}

static void
begin(struct scout *s)
{
	char key[SERF_KEY_BYTES_MAX + 1];
	int r;

	s->told = false;
	read_key(s, key);
	s->serf = serf_new(key, on_member, s);
	explicit_bzero(key, sizeof(key));
	if (s->serf == NULL) {
		s->n->fatal(s->n->arg, "out of memory", -ENOMEM);
		return;
	}
	s->until_ms = s->n->now_ms + SCOUT_SERF_ANSWER_MS;
	r = connect_to(s);
	if (r < 0)
		lost(s, r == -EADDRNOTAVAIL ? "discovery.serf is not an IP address or localhost"
					    : strerror(-r));
}

/* ---- the DNS ---- */

static void
dns_complain(struct scout *s, const char *what)
{
	struct node *n = s->n;
	char text[512];

	snprintf(text, sizeof(text), LOOKUP_SERVICE "%.253s: %s", n->conf->dns, what);
	LOG(n->log, LOG_WARN, "dns.away", what, log_s("domain", n->conf->dns));
	errors_add(n->errors, n->wall_ms, "", "dns", NULL, 0, text);
}

static void
dns_end(struct scout *s)
{
	struct query *q = &s->dns;
	int status;

	if (q->pidfd >= 0) {
		(void)spawn_kill(q->pidfd, SIGKILL);
		(void)waitpid(q->pid, &status, 0);
		loop_fd_del(s->loop, q->pidfd);
		close(q->pidfd);
	}
	if (q->fd >= 0) {
		loop_fd_del(s->loop, q->fd);
		close(q->fd);
	}
	q->fd = q->pidfd = -1;
	buf_free(&q->text);
}

static void
dns_failed(struct scout *s, const char *what)
{
	dns_complain(s, what);
	dns_end(s);
	s->dns.told = false;
	s->dns.at_ms = s->n->now_ms + backoff_fail(&s->dns.backoff);
}

/* One line, "NAME HOST:PORT": behind what other lines said of that name. */
static void
dns_line(struct scout *s, const char *line, size_t len)
{
	char name[MEMBER_NAME_BYTES_MAX + 1], list[MEMBER_ADDRESS_BYTES_MAX + 1];
	const char *blank = memchr(line, ' ', len), *had;
	size_t n = blank != NULL ? (size_t)(blank - line) : 0, rest = len - n - 1;
	int put;

	if (n == 0 || n >= sizeof(name))
		return;
	memcpy(name, line, n);
	name[n] = '\0';
	had = hints_of(s->n->hints, HINT_DNS, name);
	put = snprintf(list, sizeof(list), "%s%s%.*s", had, had[0] != '\0' ? "," : "", (int)rest,
		       blank + 1);
	if (put > 0 && (size_t)put < sizeof(list) && strcmp(name, s->n->conf->name) != 0 &&
	    hints_put(s->n->hints, HINT_DNS, name, list) == 1)
		hurry(s, name);
}

static void
dns_answer(struct scout *s)
{
	struct query *q = &s->dns;
	const char *text = (const char *)q->text.data;
	size_t len = q->text.len;

	if (q->told && len == q->before.len && (len == 0 || memcmp(text, q->before.data, len) == 0))
		return;
	hints_drop(s->n->hints, HINT_DNS);
	for (size_t at = 0; at < len;) {
		const char *end = memchr(text + at, '\n', len - at);

		if (end == NULL)
			break;
		dns_line(s, text + at, (size_t)(end - text) - at);
		at = (size_t)(end - text) + 1;
	}
	LOG(s->n->log, LOG_INFO, "dns.hint", "members may be found there",
	    log_s("domain", s->n->conf->dns), log_u("found", hints_count(s->n->hints, HINT_DNS)));
	q->told = true;
	buf_free(&q->before);
	q->before = q->text;
	q->text = (struct buf){0};
}

/* It has ended, and all that it said is here. */
static void
dns_done(struct scout *s)
{
	struct query *q = &s->dns;
	int status;

	if (spawn_reap(q->pid, &status) != 0)
		return;
	loop_fd_del(s->loop, q->pidfd);
	close(q->pidfd);
	q->pidfd = -1;
	if (!WIFEXITED(status) ||
	    (WEXITSTATUS(status) != LOOKUP_OK && WEXITSTATUS(status) != LOOKUP_NONE)) {
		dns_failed(s, "it does not answer, or not in a way that makes sense");
		return;
	}
	dns_answer(s);
	dns_end(s);
	backoff_reset(&q->backoff);
	q->at_ms = s->n->now_ms + SCOUT_DNS_ASK_MS;
}

static void
on_text(void *arg, uint32_t events)
{
	struct scout *s = arg;
	struct query *q = &s->dns;
	ssize_t n;

	(void)events;
	while ((n = recv(q->fd, s->buffer, READ_BYTES, MSG_DONTWAIT)) > 0)
		if (q->text.len + (size_t)n <= LOOKUP_BYTES_MAX)
			buf_put(&q->text, s->buffer, (size_t)n);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	loop_fd_del(s->loop, q->fd);
	close(q->fd);
	q->fd = -1;
}

static void
on_end(void *arg, uint32_t events)
{
	struct scout *s = arg;

	(void)events;
	if (s->dns.fd >= 0)
		on_text(s, EPOLLIN);
	dns_done(s);
}

static int
dns_start(struct scout *s)
{
	const char *argv[] = {"lookup", s->n->conf->dns, NULL};
	struct query *q = &s->dns;
	char path[4200];
	int pair[2], r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	snprintf(path, sizeof(path), "%.4000s/lookup", spawn_libexec());
	q->fd = pair[0];
	r = spawn_child(path, (char **)(uintptr_t)argv, pair[1], -1, &q->pid, &q->pidfd);
	close(pair[1]);
	if (r == 0)
		r = loop_fd_add(s->loop, q->fd, EPOLLIN, on_text, s);
	if (r == 0)
		r = loop_fd_add(s->loop, q->pidfd, EPOLLIN, on_end, s);
	return r;
}

static void
dns_turn(struct scout *s)
{
	struct query *q = &s->dns;
	int r;

	if (q->pidfd >= 0 && s->n->now_ms >= q->until_ms) {
		dns_failed(s, "it takes too long");
		return;
	}
	if (q->pidfd >= 0 || s->n->conf->dns == NULL || s->n->now_ms < q->at_ms)
		return;
	q->until_ms = s->n->now_ms + SCOUT_DNS_ANSWER_MS;
	r = dns_start(s);
	if (r < 0)
		dns_failed(s, strerror(-r));
}

static uint64_t
dns_deadline(const struct scout *s)
{
	if (s->n->conf->dns == NULL)
		return UINT64_MAX;
	return s->dns.pidfd >= 0 ? s->dns.until_ms : s->dns.at_ms;
}

/* ---- time ---- */

static void
serf_turn(struct scout *s)
{
	uint32_t want;
	size_t len;

	if (s->fd < 0) {
		if (s->n->conf->serf.text != NULL && s->n->now_ms >= s->at_ms)
			begin(s);
		return;
	}
	if (s->until_ms != 0 && s->n->now_ms >= s->until_ms) {
		lost(s, "it does not answer");
		return;
	}
	if (s->until_ms == 0 && s->n->now_ms >= s->at_ms) {
		serf_ask(s->serf);
		s->until_ms = s->n->now_ms + SCOUT_SERF_ANSWER_MS;
	}
	if (s->connected)
		write_some(s);
	if (s->fd < 0)
		return;
	(void)serf_output(s->serf, &len);
	want = EPOLLIN | (len > 0 || !s->connected ? EPOLLOUT : 0u);
	if (want != s->events && loop_fd_mod(s->loop, s->fd, want) == 0)
		s->events = want;
}

void
scout_turn(struct scout *s)
{
	serf_turn(s);
	dns_turn(s);
}

static uint64_t
serf_deadline(const struct scout *s)
{
	if (s->n->conf->serf.text == NULL)
		return UINT64_MAX;
	return s->fd >= 0 && s->until_ms != 0 ? s->until_ms : s->at_ms;
}

uint64_t
scout_deadline(const struct scout *s)
{
	uint64_t serf = serf_deadline(s), dns = dns_deadline(s);

	return serf < dns ? serf : dns;
}

/* ---- life ---- */

static void
start(struct scout *s)
{
	hang_up(s);
	backoff_init(&s->backoff, RETRY_MS, (uint32_t)s->n->conf->retry_max_ms, node_random(s->n));
	s->at_ms = 0;
	if (s->n->conf->serf.text == NULL)
		hints_drop(s->n->hints, HINT_SERF);
	dns_end(s);
	backoff_init(&s->dns.backoff, RETRY_MS, (uint32_t)s->n->conf->retry_max_ms,
		     node_random(s->n));
	s->dns.at_ms = 0;
	s->dns.told = false;
	if (s->n->conf->dns == NULL)
		hints_drop(s->n->hints, HINT_DNS);
}

void
scout_configured(struct scout *s)
{
	start(s);
}

struct scout *
scout_open(struct node *n, struct loop *loop, struct links *links)
{
	struct scout *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	*s = (struct scout){
		.n = n, .loop = loop, .links = links, .fd = -1, .dns = {.fd = -1, .pidfd = -1}};
	s->buffer = malloc(READ_BYTES);
	if (s->buffer == NULL) {
		free(s);
		return NULL;
	}
	start(s);
	return s;
}

void
scout_close(struct scout *s)
{
	if (s == NULL)
		return;
	hang_up(s);
	dns_end(s);
	buf_free(&s->dns.before);
	free(s->buffer);
	free(s);
}
