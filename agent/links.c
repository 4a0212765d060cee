/* SPDX-License-Identifier: BSD-2-Clause */
/* Connections as descriptors. */
#include "config.h"

#include "agent/links.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/attach.h"
#include "agent/dial.h"
#include "agent/exchange.h"
#include "agent/hints.h"
#include "agent/hostport.h"
#include "agent/invites.h"
#include "agent/members.h"
#include "agent/welcome.h"
#include "conf/spawn.h"
#include "proto/backoff.h"

#define READ_BYTES (256u * 1024)
#define REDIAL_BASE_MS 250
#define HAND_ON_MS 1000
#define ACCEPT_PAUSE_MS 1000 /* after descriptors or memory ran out */
/* The larger name waits so much longer before each try, so that two nodes do not dial each other.
 */
#define COURTESY_MS 1000
#define STRANGER_MS 5000 /* so often known_hosts is looked at for one that is no member */
#define LASTING_MS 10000 /* a session that lasted so long was worth it: back-off begins anew */

/* Dials one member. */
struct dialler {
	char name[MEMBER_NAME_BYTES_MAX + 1];
	struct backoff backoff;
	uint64_t at_ms;    /* not before */
	unsigned next;     /* which of its addresses is next */
	struct tube *tube; /* while the child runs */
	struct dialler *later;
};

struct tube {
	struct links *k;
	int fd;
	uint32_t events;         /* what the loop watches for */
	struct link *link;       /* both NULL: the header line has not come */
	struct welcome *welcome; /* a newcomer's */
	char name[MEMBER_NAME_BYTES_MAX + 1];
	char header[ATTACH_HEADER_MAX];
	size_t header_len;
	uint64_t born_ms;
	uint8_t *held; /* read, but not taken by the session yet */
	size_t held_len, held_at;
	bool eof, shut;
	bool broken;      /* closed without waiting for the child */
	uint64_t shut_ms; /* BYE is out: the child gets so long to hand it on */
	struct dialler *dialler;
	pid_t pid;
	int pidfd; /* -1: not a child's, or it has ended */
	int said;  /* the child's standard error; -1: none */
	int status;
	bool reaped, opened;
	struct tube *next;
};

struct links {
	struct node *n;
	struct loop *loop;
	int listen_fd;
	uint64_t listen_ms; /* not before; 0: now */
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	struct tube *tubes;
	unsigned ntubes;
	struct dialler *diallers;
	struct member stranger; /* what is known of one that is dialled and no member */
};

/* A [peer NAME] that is no member and never was one: with its host key known it can tell who it is,
 * and who the others are. */
static const struct settings_peer *
stranger(const struct links *k, const char *name)
{
	const struct settings *c = k->n->conf;

	if (index_member(k->n->index, name) != NULL)
		return NULL;
	for (size_t i = 0; i < c->peer_count; i++)
		if (strcmp(c->peers[i].name, name) == 0 && c->peers[i].address.count > 0)
			return &c->peers[i];
	return NULL;
}

/* ---- closing ---- */

/* *with: it is worth saying what the dialling program said, too. */
static const char *
dial_reason(int status, const char **reason, bool *with)
{
	*reason = "connect";
	*with = false;
	if (!WIFEXITED(status))
		return "the dialling program was killed";
	switch (WEXITSTATUS(status)) {
	case DIAL_CLOSED:
		return "closed";
	case DIAL_HOSTKEY:
		*reason = "hostkey";
		*with = true;
		return "its host key is not the pinned one";
	case DIAL_AUTH:
		*reason = "auth";
		return "its sshd does not accept this node's key: if this node was forgotten, or "
		       "never let in, join (again): `mimeo invite` on a member, `mimeo join -` "
		       "here";
	case DIAL_KEY:
		*with = true;
		*reason = "auth";
		return "this node's key, or the pinned host key, is not a usable ed25519 key";
	case DIAL_PROTOCOL:
		*with = true;
		*reason = "protocol";
		return "no common SSH algorithm, or broken packets";
	case DIAL_LOST:
		*with = true;
		return "the connection was lost";
	case DIAL_PEER:
		return "the other side ended: does its agent run?";
	default:
		*with = true;
		return "it cannot be reached";
	}
}

#define SAID_BYTES 1024 /* one line; more only if the program is in trouble */

/*
 * The line behind "error: " with which the dialling program ended, or "". Anything else it wrote
 * (a sanitizer's report) goes where our own errors go.
 */
static void
dial_said(struct tube *t, char out[SAID_BYTES])
{
	static const char mark[] = "error: ";
	ssize_t n = t->said >= 0 ? read(t->said, out, SAID_BYTES - 1) : 0;

	if (n <= 0) {
		out[0] = '\0';
		return;
	}
	out[n] = '\0';
	if (strncmp(out, mark, strlen(mark)) == 0) {
		memmove(out, out + strlen(mark), strlen(out + strlen(mark)) + 1);
		out[strcspn(out, "\n")] = '\0';
		return;
	}
	while (n > 0) {
		(void)!write(STDERR_FILENO, out, (size_t)n);
		n = read(t->said, out, SAID_BYTES - 1);
	}
	out[0] = '\0';
}

static void
dial_failed(struct dialler *d, const char *why, const char *reason)
{
	struct node *n = d->tube->k->n;
	struct peer *p = exchange_peer(n->exchange, d->name);

	/* Once until it is another reason, or it was connected. */
	if (p == NULL || strncmp(p->last_error, why, sizeof(p->last_error) - 1) != 0)
		LOG(n->log, LOG_WARN, "peer.unreachable", why, log_s("peer", d->name));
	errors_add(n->errors, n->wall_ms, d->name, reason, NULL, 0, why);
	if (p != NULL)
		snprintf(p->last_error, sizeof(p->last_error), "%.*s",
			 (int)sizeof(p->last_error) - 1, why);
}

/* How long to leave it to the other side; nothing where that cannot dial us. */
static uint64_t
courtesy(const struct links *k, const char *name)
{
	const struct settings *c = k->n->conf;

	return c->address.count > 0 && strcmp(c->name, name) > 0 ? COURTESY_MS : 0;
}

static void
dial_over(struct tube *t)
{
	struct dialler *d = t->dialler;
	uint64_t now = t->k->n->now_ms;
	char said[SAID_BYTES], text[SAID_BYTES + 64];
	const char *reason, *why;
	bool with;

	dial_said(t, said);
	if (d == NULL)
		return;
	why = dial_reason(t->status, &reason, &with);
	with = with && said[0] != '\0';
	snprintf(text, sizeof(text), "%s%s%s", why, with ? ": " : "", with ? said : "");
	if (t->reaped && !t->opened &&
	    !(WIFEXITED(t->status) && WEXITSTATUS(t->status) == DIAL_CLOSED))
		dial_failed(d, text, reason);
	d->next++;
	if (t->opened)
		d->next = 0; /* in order again: the first one is the one to be preferred */
	if (t->opened && now - t->born_ms >= LASTING_MS)
		backoff_reset(&d->backoff);
	d->tube = NULL;
	d->at_ms = now + backoff_fail(&d->backoff) + courtesy(t->k, d->name);
}

static void
tube_close(struct tube *t, const char *why)
{
	struct links *k = t->k;
	struct tube **at = &k->tubes;

	while (*at != t)
		at = &(*at)->next;
	*at = t->next;
	k->ntubes--;
	if (t->link != NULL)
		exchange_closed(t->link, why);
	welcome_free(t->welcome);
	if (t->pidfd >= 0) {
		if (!t->reaped) {
			(void)spawn_kill(t->pidfd, SIGKILL);
			(void)waitpid(t->pid, &t->status, 0);
		}
		loop_fd_del(k->loop, t->pidfd);
		close(t->pidfd);
	}
	loop_fd_del(k->loop, t->fd);
	close(t->fd);
	dial_over(t);
	if (t->said >= 0)
		close(t->said);
	free(t->held);
	free(t);
}

/* ---- bytes: a session's, or a newcomer's ---- */

static size_t
give(struct tube *t, const uint8_t *bytes, size_t len)
{
	return t->link != NULL ? exchange_input(t->link, bytes, len)
			       : welcome_input(t->welcome, bytes, len);
}

static const uint8_t *
output(struct tube *t, size_t *len)
{
	return t->link != NULL ? exchange_output(t->link, len) : welcome_output(t->welcome, len);
}

static bool
wants_output(struct tube *t)
{
	size_t len;

	(void)output(t, &len);
	return len > 0;
}

static bool
is_over(struct tube *t, char *why, size_t why_len)
{
	uint8_t code;

	return t->link != NULL ? exchange_over(t->link, why, why_len, &code)
			       : welcome_over(t->welcome);
}

/* A program that only copies has closed its end, or the kernel cannot serve us: nothing more comes,
 * whether that program ends or not. */
static void
tube_broken(struct tube *t, int error)
{
	t->eof = true;
	if (error == EPIPE || error == ECONNRESET)
		return;
	t->broken = true;
	LOG(t->k->n->log, LOG_INFO, "peer.socket", "the connection's socket failed",
	    log_s("peer", t->name), log_s("path", t->k->path), log_err(error));
}

static void
flush(struct tube *t)
{
	for (;;) {
		size_t len;
		const uint8_t *bytes = output(t, &len);
		ssize_t n;

		if (len == 0)
			return;
		n = send(t->fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			if (errno != EAGAIN)
				tube_broken(t, errno);
			return;
		}
		if (t->link != NULL)
			exchange_consumed(t->link, (size_t)n);
		else
			welcome_consumed(t->welcome, (size_t)n);
	}
}

/* Gives the session what was read; keeps what it does not take. */
static void
feed(struct tube *t)
{
	while (t->held_at < t->held_len) {
		size_t took = give(t, t->held + t->held_at, t->held_len - t->held_at);

		if (took == 0)
			return;
		t->held_at += took;
	}
	t->held_len = t->held_at = 0;
}

static void
fill(struct tube *t)
{
	for (unsigned turn = 0; turn < 4 && t->held_len == 0; turn++) {
		ssize_t n = recv(t->fd, t->held, READ_BYTES, MSG_DONTWAIT);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n < 0)
			tube_broken(t, errno);
		if (n <= 0) {
			t->eof = true;
			return;
		}
		t->held_len = (size_t)n;
		feed(t);
	}
}

/* ---- the header line of an attached connection ---- */

static void
refused(struct node *n, const char *peer, const char *why)
{
	LOG(n->log, LOG_WARN, "attach.refused", why, log_s("peer", peer));
	errors_add(n->errors, n->wall_ms, peer, "identity", NULL, 0, why);
}

static void
invited(struct tube *t, const char *id, size_t len)
{
	struct node *n = t->k->n;
	unsigned others = 0;

	for (const struct tube *o = t->k->tubes; o != NULL; o = o->next)
		others += o->welcome != NULL;
	if (!invites_id_ok(id, len) || others >= WELCOMES_MAX) {
		refused(n, "",
			others >= WELCOMES_MAX ? "too many newcomers at once"
					       : "not an invitation");
		t->eof = true;
		return;
	}
	t->welcome = welcome_new(n, id);
	if (t->welcome == NULL)
		t->eof = true;
}

static void
header_done(struct tube *t)
{
	struct node *n = t->k->n;
	size_t skip = sizeof(ATTACH_HEADER) - 1;
	unsigned same = 0;

	if (t->header_len > skip && memcmp(t->header, ATTACH_INVITED, skip) == 0) {
		t->header[t->header_len] = '\0';
		invited(t, t->header + skip, t->header_len - skip);
		return;
	}
	if (t->header_len <= skip || memcmp(t->header, ATTACH_HEADER, skip) != 0 ||
	    !member_name_ok(t->header + skip, t->header_len - skip)) {
		refused(n, "", "not the header line of an attach program");
		t->eof = true;
		return;
	}
	memcpy(t->name, t->header + skip, t->header_len - skip);
	for (const struct tube *o = t->k->tubes; o != NULL; o = o->next)
		same += strcmp(o->name, t->name) == 0;
	if (exchange_peer(n->exchange, t->name) == NULL || same > LINKS_PEER_TUBES_MAX) {
		refused(n, t->name,
			same > LINKS_PEER_TUBES_MAX ? "too many connections of this peer"
						    : "its key is known, but it is not a member");
		t->eof = true;
		return;
	}
	t->link = exchange_connect(n->exchange, t->name, false);
	if (t->link == NULL)
		t->eof = true;
}

static void
read_header(struct tube *t)
{
	while (t->link == NULL && t->welcome == NULL && !t->eof) {
		char c;
		ssize_t n = recv(t->fd, &c, 1, MSG_DONTWAIT);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0 || t->header_len == sizeof(t->header))
			t->eof = true;
		else if (c == '\n')
			header_done(t);
		else
			t->header[t->header_len++] = c;
	}
}

/* ---- events ---- */

/* Our last words may still be in the child's hands: it ends by itself when it has passed them on.
 */
static bool
handing_on(struct tube *t)
{
	if (t->pidfd < 0 || t->reaped)
		return false;
	if (!t->shut) {
		t->shut = true;
		t->shut_ms = t->k->n->now_ms;
		(void)shutdown(t->fd, SHUT_WR);
	}
	return t->k->n->now_ms - t->shut_ms < HAND_ON_MS;
}

static void
tube_turn(struct tube *t)
{
	char why[256] = "the connection was closed";
	uint32_t want;

	if (t->link == NULL && t->welcome == NULL) {
		if (t->eof || t->k->n->now_ms - t->born_ms > LINKS_HEADER_MS)
			tube_close(t, why);
		return;
	}
	feed(t);
	if (t->welcome != NULL)
		welcome_turn(t->welcome);
	flush(t);
	t->opened = t->opened || t->link == NULL || session_open(link_session(t->link)) ||
		    (link_peer(t->link) == NULL && stranger(t->k, t->name) == NULL);
	if (is_over(t, why, sizeof(why)) && !wants_output(t)) {
		if (!handing_on(t))
			tube_close(t, why);
		return;
	}
	if (t->broken || (t->eof && t->held_len == 0 && (t->dialler == NULL || t->reaped))) {
		tube_close(t, why);
		return;
	}
	want = (t->held_len == 0 && !t->eof ? EPOLLIN : 0u) |
	       (wants_output(t) && !t->eof ? EPOLLOUT : 0u);
	if (want != t->events && loop_fd_mod(t->k->loop, t->fd, want) == 0)
		t->events = want;
}

static void
on_tube(void *arg, uint32_t events)
{
	struct tube *t = arg;

	if (t->link == NULL && t->welcome == NULL)
		read_header(t);
	if ((t->link != NULL || t->welcome != NULL) &&
	    (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && t->held_len == 0)
		fill(t);
}

static void
on_child(void *arg, uint32_t events)
{
	struct tube *t = arg;

	(void)events;
	if (spawn_reap(t->pid, &t->status) != 0)
		return;
	t->reaped = true;
	t->eof = t->eof || t->held_len == 0;
	loop_fd_del(t->k->loop, t->pidfd);
	if (t->link != NULL && t->held_len == 0)
		fill(t);
	t->eof = true;
}

static struct tube *
tube_new(struct links *k, int fd)
{
	struct tube *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	t->held = malloc(READ_BYTES);
	*t = (struct tube){.k = k,
			   .fd = fd,
			   .held = t->held,
			   .pidfd = -1,
			   .said = -1,
			   .born_ms = k->n->now_ms,
			   .events = EPOLLIN};
	if (t->held == NULL || loop_fd_add(k->loop, fd, EPOLLIN, on_tube, t) < 0) {
		free(t->held);
		free(t);
		return NULL;
	}
	t->next = k->tubes;
	k->tubes = t;
	k->ntubes++;
	return t;
}

static bool
trusted(int fd)
{
	struct ucred who;
	socklen_t len = sizeof(who);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0 &&
	       (who.uid == 0 || who.uid == geteuid());
}

static void
on_listen(void *arg, uint32_t events)
{
	struct links *k = arg;
	int fd;

	(void)events;
	while ((fd = accept4(k->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
		if (k->ntubes >= LINKS_TUBES_MAX || !trusted(fd) || tube_new(k, fd) == NULL) {
			refused(k->n, "", "too many connections, or not this user's");
			close(fd);
		}
	}
	if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
		return;
	LOG(k->n->log, LOG_WARN, "attach.accept", "connections cannot be taken: tried again later",
	    log_s("path", k->path), log_err(errno));
	if (loop_fd_mod(k->loop, k->listen_fd, 0) == 0)
		k->listen_ms = k->n->now_ms + ACCEPT_PAUSE_MS;
}

static void
listen_again(struct links *k)
{
	if (k->listen_ms != 0 && k->n->now_ms >= k->listen_ms &&
	    loop_fd_mod(k->loop, k->listen_fd, EPOLLIN) == 0)
		k->listen_ms = 0;
}

/* ---- dialling ---- */

/* The i-th address of a comma list, round and round. */
static int
pick_address(const char *list, unsigned i, struct hostport *hp)
{
	char text[HOSTPORT_TEXT_MAX + 1];
	unsigned n = 1;
	const char *p = list;
	size_t len;

	for (const char *c = list; *c != '\0'; c++)
		n += *c == ',';
	for (i %= n; i > 0; i--)
		p = strchr(p, ',') + 1;
	p += strspn(p, " ");
	len = strcspn(p, ", ");
	if (len == 0 || len >= sizeof(text))
		return -EINVAL;
	memcpy(text, p, len);
	text[len] = '\0';
	return hostport_parse(hp, text);
}

static int
start_child(struct links *k, struct dialler *d, const struct member *m, const struct hostport *hp,
	    int fd, struct tube *t)
{
	char path[4096], port[8];
	const struct settings *c = k->n->conf;
	const char *user = m->user[0] != '\0' ? m->user : c->ssh_user;
	const char *argv[] = {"dial",
			      "--host",
			      hp->host,
			      "--port",
			      port,
			      "--user",
			      user,
			      "--key",
			      c->ssh_key,
			      "--known-hosts",
			      c->ssh_known_hosts,
			      "--bind-name",
			      d->name,
			      NULL};
	int said[2], e;

	snprintf(path, sizeof(path), "%s/dial", spawn_libexec());
	snprintf(port, sizeof(port), "%u", hp->port);
	if (pipe2(said, O_CLOEXEC) < 0)
		return -errno;
	t->said = said[0];
	(void)fcntl(t->said, F_SETFL, O_NONBLOCK);
	e = spawn_child(path, (char **)(uintptr_t)argv, fd, said[1], &t->pid, &t->pidfd);
	close(said[1]);
	return e;
}

static void
dial(struct links *k, struct dialler *d, const struct member *m)
{
	char addresses[HINTS_TEXT_BYTES];
	struct hostport hp;
	struct tube *t;
	int pair[2], e;

	d->at_ms = k->n->now_ms + backoff_fail(&d->backoff);
	(void)hints_all(k->n->hints, m->name, m->address, addresses);
	if (pick_address(addresses, d->next, &hp) < 0 || k->ntubes >= LINKS_TUBES_MAX)
		return;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return;
	t = tube_new(k, pair[0]);
	if (t == NULL) {
		close(pair[0]);
		close(pair[1]);
		return;
	}
	snprintf(t->name, sizeof(t->name), "%s", d->name);
	e = start_child(k, d, m, &hp, pair[1], t);
	close(pair[1]);
	if (e == 0)
		t->link = exchange_connect(k->n->exchange, d->name, true);
	if (e < 0 || t->link == NULL || loop_fd_add(k->loop, t->pidfd, EPOLLIN, on_child, t) < 0) {
		LOG(k->n->log, LOG_ERROR, "dial.start", "the dialling program cannot be started",
		    log_s("dir", spawn_libexec()), log_err(e));
		tube_close(t, "the dialling program cannot be started");
		return;
	}
	t->dialler = d;
	d->tube = t;
}

static struct dialler *
dialler_of(struct links *k, const char *name)
{
	struct dialler *d;

	for (d = k->diallers; d != NULL; d = d->later)
		if (strcmp(d->name, name) == 0)
			return d;
	d = calloc(1, sizeof(*d));
	if (d == NULL)
		return NULL;
	snprintf(d->name, sizeof(d->name), "%s", name);
	backoff_init(&d->backoff, REDIAL_BASE_MS, (uint32_t)k->n->conf->retry_max_ms,
		     node_random(k->n));
	d->at_ms = k->n->now_ms + courtesy(k, name);
	d->later = k->diallers;
	k->diallers = d;
	return d;
}

static unsigned
dials_under_way(const struct links *k)
{
	unsigned n = 0;

	for (const struct tube *t = k->tubes; t != NULL; t = t->next)
		n += t->dialler != NULL && !t->opened;
	return n;
}

static bool
wanted(const struct links *k, const struct member *m)
{
	const struct peer *p = exchange_peer(k->n->exchange, m->name);

	if (p == NULL || m->removed != 0 || p->link != NULL)
		return false;
	for (int s = 0; s < HINT_SOURCES; s++)
		if (hints_of(k->n->hints, (enum hint_source)s, m->name)[0] != '\0')
			return true;
	return m->address[0] != '\0';
}

static bool
is_due(struct links *k, const char *name, const struct dialler *before, struct dialler **due)
{
	struct dialler *d = dialler_of(k, name);

	if (d == NULL || d->tube != NULL || k->n->now_ms < d->at_ms ||
	    (before != NULL && d->at_ms >= before->at_ms))
		return false;
	*due = d;
	return true;
}

/* The one whose turn came first. */
static const struct member *
most_due(struct links *k, struct dialler **due)
{
	const struct index *x = k->n->index;
	const struct settings *c = k->n->conf;
	const struct member *first = NULL;

	*due = NULL;
	for (size_t i = 0; i < x->nmembers; i++)
		if (wanted(k, &x->members[i]) && is_due(k, x->members[i].name, *due, due))
			first = &x->members[i];
	for (size_t i = 0; first == NULL && i < c->peer_count; i++) {
		const struct settings_peer *p = &c->peers[i];

		if (stranger(k, p->name) == NULL || !is_due(k, p->name, NULL, due))
			continue;
		if (!members_pinned(c, p->name, NULL)) {
			(*due)->at_ms = k->n->now_ms + STRANGER_MS;
			continue;
		}
		k->stranger = (struct member){0};
		snprintf(k->stranger.name, sizeof(k->stranger.name), "%s", p->name);
		snprintf(k->stranger.user, sizeof(k->stranger.user), "%s", p->user);
		first = &k->stranger;
	}
	return first;
}

static void
dial_members(struct links *k)
{
	const struct member *m;
	struct dialler *d = NULL;

	for (unsigned n = dials_under_way(k); n < LINKS_DIALS_MAX; n++) {
		m = most_due(k, &d);
		if (m == NULL)
			return;
		dial(k, d, m);
	}
}

static void
hint_configured(struct links *k, const struct settings_peer *p)
{
	struct node *n = k->n;
	const struct member *m = index_member(n->index, p->name);
	char list[MEMBER_ADDRESS_BYTES_MAX + 1] = "";
	size_t at = 0;

	for (size_t i = 0; i < p->address.count; i++) {
		const char *text = p->address.items[i].text;

		if (at + 1 + strlen(text) <= MEMBER_ADDRESS_BYTES_MAX)
			at += (size_t)snprintf(list + at, sizeof(list) - at, "%s%s",
					       at > 0 ? "," : "", text);
	}
	if (hints_put(n->hints, HINT_CONFIG, p->name, list) == -ENOMEM)
		n->fatal(n->arg, "out of memory", -ENOMEM);
	if (m != NULL && m->removed == 0)
		links_member(k, p->name);
	else if (m != NULL || !members_pinned(n->conf, p->name, NULL))
		LOG(n->log, LOG_WARN, "peer.stranger",
		    "it is in the configuration, but no member, and its host key is not in "
		    "known_hosts: `mimeo join -` here, or `mimeo authorize` with its line",
		    log_s("peer", p->name), log_s("known_hosts", n->conf->ssh_known_hosts));
}

void
links_configured(struct links *k)
{
	const struct settings *c = k->n->conf;

	hints_drop(k->n->hints, HINT_CONFIG);
	for (size_t i = 0; i < c->peer_count; i++)
		hint_configured(k, &c->peers[i]);
}

void
links_member(struct links *k, const char *name)
{
	for (struct dialler *d = k->diallers; d != NULL; d = d->later)
		if (strcmp(d->name, name) == 0) {
			d->at_ms = k->n->now_ms + courtesy(k, name);
			d->next = 0;
		}
}

void
links_turn(struct links *k)
{
	struct tube *next;

	for (struct tube *t = k->tubes; t != NULL; t = next) {
		next = t->next;
		tube_turn(t);
	}
	listen_again(k);
	dial_members(k);
}

uint64_t
links_deadline(const struct links *k)
{
	bool room = dials_under_way(k) < LINKS_DIALS_MAX; /* else the end of one wakes us */
	uint64_t at = k->listen_ms != 0 ? k->listen_ms : UINT64_MAX;

	for (const struct dialler *d = k->diallers; room && d != NULL; d = d->later) {
		const struct member *m = index_member(k->n->index, d->name);

		if (d->tube == NULL && d->at_ms < at &&
		    (m != NULL ? wanted(k, m) : stranger(k, d->name) != NULL))
			at = d->at_ms;
	}
	for (const struct tube *t = k->tubes; t != NULL; t = t->next) {
		if (t->shut && t->shut_ms + HAND_ON_MS < at)
			at = t->shut_ms + HAND_ON_MS;
		if (t->welcome != NULL && welcome_deadline(t->welcome) < at)
			at = welcome_deadline(t->welcome);
		if (t->link == NULL && t->welcome == NULL && t->born_ms + LINKS_HEADER_MS < at)
			at = t->born_ms + LINKS_HEADER_MS + 1;
	}
	return at;
}

uint64_t
links_backoff_ms(const struct links *k, const char *name)
{
	for (const struct dialler *d = k->diallers; d != NULL; d = d->later)
		if (strcmp(d->name, name) == 0)
			return d->tube == NULL && d->at_ms > k->n->now_ms ? d->at_ms - k->n->now_ms
									  : 0;
	return 0;
}

/* ---- life ---- */

static int
listen_at(struct links *k)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	mode_t old;
	int r;

	memcpy(a.sun_path, k->path, sizeof(k->path));
	k->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (k->listen_fd < 0)
		return -errno;
	(void)unlink(k->path); /* of an earlier run: the life lock says that it is over */
	old = umask(0177);
	r = bind(k->listen_fd, (const struct sockaddr *)&a, sizeof(a));
	umask(old);
	if (r < 0 || listen(k->listen_fd, 128) < 0)
		return -errno;
	return loop_fd_add(k->loop, k->listen_fd, EPOLLIN, on_listen, k);
}

int
links_open(struct node *n, struct loop *loop, struct links **out, char *err, size_t err_len)
{
	struct links *k = calloc(1, sizeof(*k));
	int r;

	*out = NULL;
	if (k == NULL)
		return -ENOMEM;
	*k = (struct links){.n = n, .loop = loop, .listen_fd = -1};
	snprintf(k->path, sizeof(k->path), "%s/%s", n->conf->run, LINKS_SOCKET_NAME);
	r = listen_at(k);
	if (r < 0) {
		snprintf(err, err_len, "%s: cannot listen: %s", k->path, strerror(-r));
		links_close(k);
		return r;
	}
	links_configured(k);
	*out = k;
	return 0;
}

void
links_close(struct links *k)
{
	if (k == NULL)
		return;
	while (k->tubes != NULL) {
		struct tube *t = k->tubes;

		if (t->link != NULL) {
			session_bye(link_session(t->link), CODE_SHUTDOWN, "shutting down");
			flush(t);
		}
		tube_close(t, "shutting down");
	}
	while (k->diallers != NULL) {
		struct dialler *d = k->diallers;

		k->diallers = d->later;
		free(d);
	}
	if (k->listen_fd >= 0) {
		loop_fd_del(k->loop, k->listen_fd);
		close(k->listen_fd);
		(void)unlink(k->path);
	}
	free(k);
}
