/* SPDX-License-Identifier: BSD-2-Clause */
/* attach: the end of a tube that sshd starts. It copies bytes between its peer and the agent. */
#include "config.h"

#include "agent/attach.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "agent/confine.h"
#include "agent/flow.h"

struct options {
	const char *peer;
	const char *invite; /* instead of a peer */
	const char *path;
	int idle_ms;
};

static int64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

PRINTF(2, 3) static int
complain(enum attach_exit status, const char *fmt, ...)
{
	va_list ap;

	fputs("error: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return (int)status;
}

/* ---- arguments ---- */

static void
print_help(void)
{
	puts("usage: attach --peer NAME | --invite ID  --socket PATH [--idle MS]\n"
	     "\n"
	     "Started by sshd for the key of one peer. Copies bytes between standard input and\n"
	     "output and the agent's socket.\n"
	     "\n"
	     "  --peer NAME     whom the key belongs to\n"
	     "  --invite ID     the key is that of an invitation\n"
	     "  --socket PATH   where the agent listens\n"
	     "  --idle MS       ends when nothing came from the peer for so long (60000)\n"
	     "\n"
	     "example, in authorized_keys:\n"
	     "  restrict,command=\"/usr/libexec/mimeo/attach --peer web2 --socket "
	     "/run/mimeo/agent\" ssh-ed25519 ...");
}

static bool
is_name(const char *text)
{
	size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-");

	return n > 0 && n <= ATTACH_NAME_MAX && text[n] == '\0';
}

static int
parse_ms(const char *text, int *ms)
{
	char *end;
	long v;

	if (text[0] < '0' || text[0] > '9')
		return -EINVAL;
	errno = 0;
	v = strtol(text, &end, 10);
	if (errno || *end || v < 1 || v > ATTACH_IDLE_MS_MAX)
		return -EINVAL;
	*ms = (int)v;
	return 0;
}

/* 0: go on; 1: everything asked for is printed; else the line is printed: -EINVAL. */
static int
parse_options(struct options *o, int argc, char **argv)
{
	static const struct option longs[] = {
		{"peer", required_argument, NULL, 'p'},
		{"invite", required_argument, NULL, 'n'},
		{"socket", required_argument, NULL, 's'},
		{"idle", required_argument, NULL, 'i'},
		{"help", no_argument, NULL, 'H'},
		{"version", no_argument, NULL, 'V'},
		{NULL, 0, NULL, 0},
	};
	bool fine = true;
	int c;

	*o = (struct options){.idle_ms = ATTACH_IDLE_MS_DEFAULT};
	opterr = 0;
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case 'p':
			o->peer = optarg;
			break;
		case 'n':
			o->invite = optarg;
			break;
		case 's':
			o->path = optarg;
			break;
		case 'i':
			fine = fine && parse_ms(optarg, &o->idle_ms) == 0;
			break;
		case 'H':
			print_help();
			return 1;
		case 'V':
			puts("attach (" PACKAGE_STRING ")");
			return 1;
		default:
			fine = false;
		}
	}
	if (fine && optind == argc && !o->peer != !o->invite &&
	    is_name(o->peer ? o->peer : o->invite) && o->path)
		return 0;
	complain(ATTACH_USAGE,
		 "needs --peer NAME or --invite ID (1 to %d of a-z 0-9 -) and --socket PATH: see "
		 "--help",
		 ATTACH_NAME_MAX);
	return -EINVAL;
}

/* ---- the agent ---- */

static int
connect_agent(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	/* Where the agent's queue is full, connect waits for as long as a send may. */
	struct timeval wait = {.tv_sec = ATTACH_CONNECT_MS / 1000};
	int fd, rc;

	if (strlen(path) >= sizeof(a.sun_path))
		return -ENAMETOOLONG;
	memcpy(a.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)) == 0 &&
	    connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0)
		return fd;
	rc = -errno;
	close(fd);
	return rc;
}

static int
send_header(int fd, const struct options *o)
{
	char line[ATTACH_HEADER_MAX + 1];
	int n = snprintf(line, sizeof(line), "%s%s\n", o->peer ? ATTACH_HEADER : ATTACH_INVITED,
			 o->peer ? o->peer : o->invite);

	/* It fits into an empty socket's buffer as a whole. */
	return write(fd, line, (size_t)n) == n ? 0 : -EPIPE;
}

/* ---- the tube ---- */

struct tube {
	int fd;           /* the agent */
	struct flow in;   /* peer to agent */
	struct flow out;  /* agent to peer */
	bool in_passed;   /* the agent was told that the peer has ended */
	int64_t heard_ms; /* when the last byte came from the peer */
	int64_t moved_ms; /* when the last byte moved at all */
	int error;        /* -errno */
};

/* A side that has closed is an end like any other: nothing more comes of what flowed there. */
static bool
is_closed(ssize_t n)
{
	return n == -EPIPE || n == -ECONNRESET;
}

/* Fills or drains once. Says whether anything changed. */
static bool
step(struct tube *t, struct flow *f, ssize_t n)
{
	if (n == -EAGAIN)
		return false;
	if (is_closed(n))
		f->eof = true;
	else if (n < 0)
		t->error = (int)n;
	return true;
}

static bool
drain(struct tube *t, struct flow *f, int fd)
{
	ssize_t n = flow_drain(f, fd);

	if (is_closed(n))
		flow_take(f, flow_len(f));
	return step(t, f, n);
}

/* Makes what progress there can be, once in each direction at each end. */
static bool
move(struct tube *t)
{
	bool heard, moved;

	heard = step(t, &t->in, flow_fill(&t->in, STDIN_FILENO));
	moved = drain(t, &t->in, t->fd) || heard;
	moved = step(t, &t->out, flow_fill(&t->out, t->fd)) || moved;
	moved = drain(t, &t->out, STDOUT_FILENO) || moved;
	if (heard)
		t->heard_ms = now_ms();
	if (moved)
		t->moved_ms = now_ms();
	if (flow_done(&t->in) && !t->in_passed) {
		(void)shutdown(t->fd, SHUT_WR);
		t->in_passed = true;
	}
	return moved;
}

/* When to stop waiting: the idle time, or after one side's end the shorter time to finish. */
static int64_t
give_up_ms(const struct tube *t, const struct options *o)
{
	if (t->in.eof || t->out.eof)
		return t->moved_ms + ATTACH_LINGER_MS;
	return t->heard_ms + o->idle_ms;
}

static short
fill_events(const struct flow *f)
{
	return !f->eof && flow_room(f) > 0 ? POLLIN : 0;
}

static short
drain_events(const struct flow *f)
{
	return flow_len(f) > 0 ? POLLOUT : 0;
}

/* Whether the agent has closed its socket altogether. Descriptors with nothing to wait for are left
 * out where a hang-up would only wake us again and again. */
static bool
wait_work(struct tube *t, int64_t until)
{
	struct pollfd p[3] = {
		{.fd = STDIN_FILENO, .events = fill_events(&t->in)},
		{.fd = STDOUT_FILENO, .events = drain_events(&t->out)},
		{.fd = t->fd, .events = (short)(fill_events(&t->out) | drain_events(&t->in))},
	};
	int64_t left = until - now_ms();

	if (!p[0].events)
		p[0].fd = -1;
	if (!p[1].events)
		p[1].fd = -1;
	if (!p[2].events && !t->out.eof)
		p[2].fd = -1;
	if (left > 0)
		(void)poll(p, 3, left < INT32_MAX ? (int)left : INT32_MAX);
	return (p[2].revents & POLLHUP) && t->out.eof;
}

static int
pump(struct tube *t, const struct options *o)
{
	bool gone = false;

	t->heard_ms = t->moved_ms = now_ms();
	while (!t->error && !(flow_done(&t->in) && flow_done(&t->out))) {
		if (move(t))
			continue;
		/* The agent has gone: what it said last is out, nothing more can go in. */
		if (gone && flow_done(&t->out))
			return ATTACH_CLOSED;
		if (now_ms() >= give_up_ms(t, o))
			break;
		gone = wait_work(t, give_up_ms(t, o));
	}
	if (t->error)
		return complain(ATTACH_FAILED, "%s", strerror(-t->error));
	if (!t->in.eof && !t->out.eof)
		return complain(ATTACH_FAILED, "%s for %d ms",
				flow_room(&t->in) > 0 ? "nothing came from the peer"
						      : "the agent took nothing",
				o->idle_ms);
	return ATTACH_CLOSED;
}

static int
set_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 0;
}

static int
run(const struct options *o, int fd)
{
	struct tube t = {.fd = fd};
	int rc, status;

	if ((rc = set_nonblocking(STDIN_FILENO)) < 0 || (rc = set_nonblocking(STDOUT_FILENO)) < 0 ||
	    (rc = set_nonblocking(fd)) < 0 || (rc = flow_init(&t.in)) < 0 ||
	    (rc = flow_init(&t.out)) < 0 || (rc = confine_streams(0)) < 0)
		status = complain(ATTACH_FAILED, "cannot start: %s", strerror(-rc));
	else
		status = pump(&t, o);
	flow_fini(&t.in);
	flow_fini(&t.out);
	return status;
}

int
main(int argc, char **argv)
{
	struct options o;
	int fd, rc, status;

	rc = parse_options(&o, argc, argv);
	if (rc != 0)
		return rc > 0 ? ATTACH_CLOSED : ATTACH_USAGE;
	signal(SIGPIPE, SIG_IGN);
	if ((rc = confine_begin()) < 0)
		return complain(ATTACH_FAILED, "cannot confine myself: %s", strerror(-rc));
	fd = connect_agent(o.path);
	if (fd < 0)
		return complain(ATTACH_NO_AGENT, "no agent at %s: %s", o.path, strerror(-fd));
	if (send_header(fd, &o) < 0)
		status = complain(ATTACH_NO_AGENT, "the agent at %s hung up", o.path);
	else
		status = run(&o, fd);
	close(fd);
	return status;
}
