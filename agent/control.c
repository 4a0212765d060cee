/* SPDX-License-Identifier: BSD-2-Clause */
/* The control socket: clients, their requests, and bytes out. */
#include "config.h"

#include "agent/control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/verbs.h"

#define FOLLOW_MS 200        /* a request under way is looked at again at least so often */
#define ACCEPT_PAUSE_MS 1000 /* after descriptors or memory ran out */

struct client {
	struct control *c;
	int fd;
	bool all; /* root or our own user */
	bool running, gone;
	uint8_t in[4 + CONTROL_REQUEST_BYTES_MAX + 1];
	size_t in_len;
	uint64_t moved_ms; /* the last byte went in or out */
	uint32_t events;
	struct request q;
	struct client *next;
};

struct control {
	struct node *n;
	struct loop *loop;
	struct links *links;
	int fd;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	struct client *clients;
	unsigned nclients;
	uint64_t listen_ms; /* not before; 0: now */
};

static void
client_close(struct client *cl)
{
	struct control *c = cl->c;
	struct client **at = &c->clients;

	while (*at != cl)
		at = &(*at)->next;
	*at = cl->next;
	c->nclients--;
	verb_clear(&cl->q);
	loop_fd_del(c->loop, cl->fd);
	close(cl->fd);
	free(cl);
}

/* ---- requests ---- */

static void
begin(struct client *cl)
{
	struct request *q = &cl->q;
	const char *p = (const char *)cl->in + 4, *end = (const char *)cl->in + cl->in_len;

	q->node = cl->c->n;
	q->links = cl->c->links;
	q->since_ms = cl->c->n->now_ms;
	q->all = cl->all;
	cl->running = true;
	while (p < end && q->nwords < CONTROL_WORDS_MAX - 1) {
		q->words[q->nwords++] = p;
		p += strlen(p) + 1; /* the buffer ends with a zero */
	}
	q->verb = q->nwords > 0 ? verb_find(q->words[0]) : NULL;
	if (q->verb == NULL)
		verb_end(q, CONTROL_USAGE, "no such verb; see mimeo --help");
	else if (!q->verb->anyone)
		(void)verb_may(q);
}

static void
read_request(struct client *cl)
{
	uint32_t len;

	while (!cl->running && !cl->gone) {
		size_t want = cl->in_len < 4 ? 4 : 4 + (size_t)bytes_get_u32(cl->in);
		ssize_t n;

		if (want > 4 + CONTROL_REQUEST_BYTES_MAX) {
			cl->gone = true;
			return;
		}
		if (cl->in_len >= 4 && cl->in_len == want) {
			begin(cl);
			return;
		}
		n = recv(cl->fd, cl->in + cl->in_len, want - cl->in_len, MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			cl->gone = true;
			return;
		}
		cl->in_len += (size_t)n;
		len = cl->in_len >= 4 ? bytes_get_u32(cl->in) : 1;
		if (len == 0)
			cl->gone = true;
	}
}

static void
flush(struct client *cl)
{
	while (cl->q.out.len > 0) {
		ssize_t n =
			send(cl->fd, cl->q.out.data, cl->q.out.len, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			cl->gone = cl->gone || errno != EAGAIN;
			return;
		}
		buf_consume(&cl->q.out, (size_t)n);
		cl->moved_ms = cl->c->n->now_ms;
	}
}

static void
client_turn(struct client *cl)
{
	uint32_t want;

	if (cl->running && !cl->q.ended && !verb_full(&cl->q))
		cl->q.verb->step(&cl->q);
	flush(cl);
	if (cl->q.out.len > 0 && cl->c->n->now_ms - cl->moved_ms > CONTROL_STALL_MS)
		cl->gone = true;
	if (cl->gone || (cl->q.ended && cl->q.out.len == 0)) {
		client_close(cl);
		return;
	}
	want = EPOLLIN | (cl->q.out.len > 0 ? EPOLLOUT : 0u);
	if (want != cl->events && loop_fd_mod(cl->c->loop, cl->fd, want) == 0)
		cl->events = want;
}

static void
on_client(void *arg, uint32_t events)
{
	struct client *cl = arg;
	char c;

	read_request(cl);
	if (cl->running && (events & (EPOLLIN | EPOLLHUP)) != 0 &&
	    recv(cl->fd, &c, 1, MSG_DONTWAIT) == 0)
		cl->gone = true;
}

static void
on_listen(void *arg, uint32_t events)
{
	struct control *c = arg;
	int fd;

	(void)events;
	while ((fd = accept4(c->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
		struct client *cl =
			c->nclients < CONTROL_CLIENTS_MAX ? calloc(1, sizeof(*cl)) : NULL;
		struct ucred who;
		socklen_t len = sizeof(who);

		if (cl == NULL || loop_fd_add(c->loop, fd, EPOLLIN, on_client, cl) < 0) {
			free(cl);
			close(fd);
			continue;
		}
		cl->c = c;
		cl->fd = fd;
		cl->events = EPOLLIN;
		cl->moved_ms = c->n->now_ms;
		cl->all = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0 &&
			  (who.uid == 0 || who.uid == geteuid());
		cl->next = c->clients;
		c->clients = cl;
		c->nclients++;
	}
	if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
		return;
	LOG(c->n->log, LOG_WARN, "control.accept", "commands cannot be taken: tried again later",
	    log_s("path", c->path), log_err(errno));
	if (loop_fd_mod(c->loop, c->fd, 0) == 0)
		c->listen_ms = c->n->now_ms + ACCEPT_PAUSE_MS;
}

/* ---- turns ---- */

void
control_turn(struct control *c)
{
	struct client *next;

	for (struct client *cl = c->clients; cl != NULL; cl = next) {
		next = cl->next;
		client_turn(cl);
	}
	if (c->listen_ms != 0 && c->n->now_ms >= c->listen_ms &&
	    loop_fd_mod(c->loop, c->fd, EPOLLIN) == 0)
		c->listen_ms = 0;
}

uint64_t
control_deadline(const struct control *c)
{
	uint64_t at = c->listen_ms != 0 ? c->listen_ms : UINT64_MAX;
	uint64_t follow = c->clients != NULL ? c->n->now_ms + FOLLOW_MS : UINT64_MAX;

	for (const struct client *cl = c->clients; cl != NULL; cl = cl->next)
		if (cl->q.busy)
			return 0;
	return at < follow ? at : follow;
}

/* ---- life ---- */

static int
listen_at(struct control *c)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	mode_t old;
	int r;

	memcpy(a.sun_path, c->path, sizeof(c->path));
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->fd < 0)
		return -errno;
	(void)unlink(c->path);
	old = umask(0117);
	r = bind(c->fd, (const struct sockaddr *)&a, sizeof(a));
	umask(old);
	if (r < 0 || listen(c->fd, 64) < 0)
		return -errno;
	return loop_fd_add(c->loop, c->fd, EPOLLIN, on_listen, c);
}

int
control_open(struct node *n, struct loop *loop, struct links *links, const char *file,
	     struct control **out, char *err, size_t err_len)
{
	struct control *c = calloc(1, sizeof(*c));
	int r;

	(void)file;
	*out = NULL;
	if (c == NULL)
		return -ENOMEM;
	*c = (struct control){.n = n, .loop = loop, .links = links, .fd = -1};
	snprintf(c->path, sizeof(c->path), "%s/%s", n->conf->run, CONTROL_SOCKET_NAME);
	r = listen_at(c);
	if (r < 0) {
		snprintf(err, err_len, "%s: cannot listen: %s", c->path, strerror(-r));
		control_close(c);
		return r;
	}
	*out = c;
	return 0;
}

void
control_close(struct control *c)
{
	if (c == NULL)
		return;
	while (c->clients != NULL)
		client_close(c->clients);
	if (c->fd >= 0) {
		loop_fd_del(c->loop, c->fd);
		close(c->fd);
		(void)unlink(c->path);
	}
	free(c);
}
