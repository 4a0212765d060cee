/* SPDX-License-Identifier: BSD-2-Clause */
/* dial: the end of a tube that connects. It copies bytes between descriptor 0 and a peer's sshd. */
#include "config.h"

#include "agent/dial.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
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
#include <time.h>
#include <unistd.h>

#include "agent/confine.h"
#include "agent/flow.h"
#include "agent/hostport.h"
#include "agent/ssh.h"

#define AGENT_FD STDIN_FILENO

/* Sent bytes that nobody acknowledges for so long end the link; the kernel alone would try for
 * about 15 minutes. A silent link is probed for as long. */
#define LINK_DEAD_MS 20000
#define PROBE_IDLE_S 10
#define PROBE_EVERY_S 5
#define PROBE_COUNT 2

#define RETRY_MS 1000  /* while bytes wait, everything is tried again this often */
#define LINGER_MS 5000 /* for the peer to close after the agent has gone */
#define DATA_WINDOWS 4 /* memory for the window: small packets cost more than they carry */

struct options {
	struct hostport hp;
	const char *user;
	const char *key;
	const char *hosts;
	const char *bind;
	uint32_t window;
	int connect_ms;
};

static int64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* The one line; returns status, for main to return. */
PRINTF(2, 3) static int
complain(enum dial_exit status, const char *fmt, ...)
{
	char raw[SSH_ERROR_MAX], line[SSH_ERROR_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(raw, sizeof(raw), fmt, ap);
	va_end(ap);
	ssh_escape(raw, line, sizeof(line));
	fprintf(stderr, "error: %s\n", line);
	return (int)status;
}

/* ---- arguments ---- */

static void
print_help(void)
{
	puts("usage: dial --host HOST --port PORT --user USER --key FILE --known-hosts FILE\n"
	     "            [--bind-name NAME] [--window BYTES] [--connect-timeout MS]\n"
	     "\n"
	     "Started by mimeo-agent. Connects to a peer's sshd and copies bytes between it and\n"
	     "descriptor 0, which must be a stream socket.\n"
	     "\n"
	     "  --host HOST            name or address of the peer\n"
	     "  --port PORT            port of its sshd\n"
	     "  --user USER            user to log in as\n"
	     "  --key FILE             private ed25519 key without a passphrase\n"
	     "  --known-hosts FILE     ed25519 host keys; only a match is accepted\n"
	     "  --bind-name NAME       look the host key up under NAME instead of [HOST]:PORT\n"
	     "  --window BYTES         receive window (2097152)\n"
	     "  --connect-timeout MS   until the connection stands (15000)\n"
	     "\n"
	     "example: dial --host web2.example.com --port 22 --user mimeo \\\n"
	     "    --key /var/lib/mimeo/id_ed25519 --known-hosts /var/lib/mimeo/known_hosts");
}

/* A decimal number from min to max. */
static int
parse_number(const char *text, unsigned long min, unsigned long max, unsigned long *value)
{
	unsigned long v;
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return -EINVAL;
	errno = 0;
	v = strtoul(text, &end, 10);
	if (errno || *end || v < min || v > max)
		return -EINVAL;
	*value = v;
	return 0;
}

static bool
is_plain_word(const char *text)
{
	return text[0] != '\0' && strlen(text) <= HOSTPORT_HOST_MAX &&
	       text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				 "._-[]:%@+")] == '\0';
}

static int
take_option(struct options *o, int c, const char *arg)
{
	unsigned long n = 0;

	switch (c) {
	case 'h':
		if (!hostport_host_ok(arg))
			return -EINVAL;
		snprintf(o->hp.host, sizeof(o->hp.host), "%s", arg);
		return 0;
	case 'p':
		if (parse_number(arg, 1, UINT16_MAX, &n) < 0)
			return -EINVAL;
		o->hp.port = (uint16_t)n;
		return 0;
	case 'u':
		o->user = arg;
		return is_plain_word(arg) ? 0 : -EINVAL;
	case 'k':
		o->key = arg;
		return 0;
	case 'n':
		o->hosts = arg;
		return 0;
	case 'b':
		o->bind = arg;
		return is_plain_word(arg) ? 0 : -EINVAL;
	case 'w':
		if (parse_number(arg, DIAL_WINDOW_MIN, DIAL_WINDOW_MAX, &n) < 0)
			return -EINVAL;
		o->window = (uint32_t)n;
		return 0;
	case 't':
		if (parse_number(arg, 1, DIAL_CONNECT_MS_MAX, &n) < 0)
			return -EINVAL;
		o->connect_ms = (int)n;
		return 0;
	default:
		return -EINVAL;
	}
}

/* 0: go on; 1: everything asked for is printed; else the line is printed: -EINVAL. */
static int
parse_options(struct options *o, int argc, char **argv)
{
	static const struct option longs[] = {
		{"host", required_argument, NULL, 'h'},
		{"port", required_argument, NULL, 'p'},
		{"user", required_argument, NULL, 'u'},
		{"key", required_argument, NULL, 'k'},
		{"known-hosts", required_argument, NULL, 'n'},
		{"bind-name", required_argument, NULL, 'b'},
		{"window", required_argument, NULL, 'w'},
		{"connect-timeout", required_argument, NULL, 't'},
		{"help", no_argument, NULL, 'H'},
		{"version", no_argument, NULL, 'V'},
		{NULL, 0, NULL, 0},
	};
	int c, at = 0;

	*o = (struct options){.window = DIAL_WINDOW_DEFAULT, .connect_ms = DIAL_CONNECT_MS_DEFAULT};
	opterr = 0;
	while ((c = getopt_long(argc, argv, "", longs, &at)) != -1) {
		if (c == 'H' || c == 'V') {
			if (c == 'H')
				print_help();
			else
				puts("dial (" PACKAGE_STRING ")");
			return 1;
		}
		if (c == '?') {
			complain(DIAL_USAGE, "unknown option, or one without its value: %s",
				 argv[optind - 1]);
			return -EINVAL;
		}
		if (take_option(o, c, optarg) < 0) {
			complain(DIAL_USAGE, "bad value of --%s: %s", longs[at].name, optarg);
			return -EINVAL;
		}
	}
	if (optind < argc || !o->hp.host[0] || !o->hp.port || !o->user || !o->key || !o->hosts) {
		complain(DIAL_USAGE, "--host, --port, --user, --key and --known-hosts are needed, "
				     "and nothing else: see --help");
		return -EINVAL;
	}
	return 0;
}

/* ---- connecting ---- */

/* The resolver has no deadline of its own; it may well take longer than ours. */
static void
on_alarm(int sig)
{
	static const char line[] = "error: the name of the host was not resolved in time\n";

	(void)sig;
	if (write(STDERR_FILENO, line, sizeof(line) - 1) < 0)
		_exit(DIAL_CONNECT);
	_exit(DIAL_CONNECT);
}

static int
resolve(const struct options *o, struct addrinfo **list)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
	struct itimerval off = {{0, 0}, {0, 0}}, on = off;
	char port[8];
	int rc;

	snprintf(port, sizeof(port), "%u", (unsigned)o->hp.port);
	on.it_value.tv_sec = o->connect_ms / 1000;
	on.it_value.tv_usec = o->connect_ms % 1000 * 1000;
	signal(SIGALRM, on_alarm);
	setitimer(ITIMER_REAL, &on, NULL);
	rc = getaddrinfo(o->hp.host, port, &hints, list);
	setitimer(ITIMER_REAL, &off, NULL);
	return rc;
}

static int
wait_connected(int fd, int64_t deadline)
{
	struct pollfd p[2] = {{.fd = fd, .events = POLLOUT}, {.fd = AGENT_FD}};
	socklen_t len = sizeof(int);
	int64_t left;
	int err = 0, n;

	do {
		left = deadline - now_ms();
		if (left <= 0)
			return -ETIMEDOUT;
		n = poll(p, 2, (int)left);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0 && (p[1].revents & (POLLHUP | POLLERR)))
			return -ECANCELED;
	} while (n <= 0 || !p[0].revents);
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
		return -errno;
	return -err;
}

static void
set_number(int fd, int level, int name, int value)
{
	/* Only ever a matter of speed, or of how soon a dead link is seen. */
	(void)setsockopt(fd, level, name, &value, sizeof(value));
}

static void
tune(int fd)
{
	set_number(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	set_number(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, LINK_DEAD_MS);
	set_number(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set_number(fd, IPPROTO_TCP, TCP_KEEPIDLE, PROBE_IDLE_S);
	set_number(fd, IPPROTO_TCP, TCP_KEEPINTVL, PROBE_EVERY_S);
	set_number(fd, IPPROTO_TCP, TCP_KEEPCNT, PROBE_COUNT);
}

/* A connected socket, or -errno. */
static int
connect_one(const struct addrinfo *a, int64_t deadline)
{
	int fd, rc = 0;

	fd = socket(a->ai_family, a->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, a->ai_protocol);
	if (fd < 0)
		return -errno;
	tune(fd);
	if (connect(fd, a->ai_addr, a->ai_addrlen) < 0)
		rc = errno == EINPROGRESS ? wait_connected(fd, deadline) : -errno;
	if (rc < 0) {
		close(fd);
		return rc;
	}
	return fd;
}

/* Tries the addresses in turn; each gets its share of the time that is left, so that one that
 * swallows packets does not use up all of it. */
static int
connect_any(const struct addrinfo *list, int64_t deadline)
{
	int fd = -EHOSTUNREACH;
	int count = 0;

	for (const struct addrinfo *a = list; a; a = a->ai_next)
		count++;
	for (const struct addrinfo *a = list; a; a = a->ai_next, count--) {
		int64_t now = now_ms();

		fd = connect_one(a, now + (deadline - now) / count);
		if (fd >= 0 || fd == -ECANCELED)
			break;
	}
	return fd;
}

/* Puts a connected socket into *fd and returns DIAL_CLOSED, or says why not. */
static int
open_link(const struct options *o, int64_t deadline, int *fd)
{
	struct addrinfo *list = NULL;
	int rc;

	rc = resolve(o, &list);
	if (rc != 0)
		return complain(DIAL_CONNECT, "cannot resolve %s: %s", o->hp.host,
				rc == EAI_SYSTEM ? strerror(errno) : gai_strerror(rc));
	*fd = connect_any(list, deadline);
	freeaddrinfo(list);
	if (*fd >= 0)
		return DIAL_CLOSED;
	if (*fd == -ECANCELED)
		return complain(DIAL_CONNECT, "the agent went away");
	return complain(DIAL_CONNECT, "cannot connect to [%s]:%u: %s", o->hp.host,
			(unsigned)o->hp.port, strerror(-*fd));
}

/* ---- the tube ---- */

struct tube {
	struct ssh *ssh;
	int fd;            /* the peer's sshd */
	struct flow up;    /* agent to peer */
	struct flow down;  /* peer to agent */
	bool agent_gone;   /* nobody reads at descriptor 0 any more */
	bool eof_sent;     /* the peer was told that up has ended */
	bool eof_passed;   /* the agent was told that down has ended */
	int64_t linger_ms; /* when waiting for the peer's close ends; 0: not waiting */
	struct ssh_end end;
	int error; /* -errno of the SSH side */
};

static void
agent_is_gone(struct tube *t)
{
	if (!t->agent_gone)
		t->linger_ms = now_ms() + LINGER_MS;
	t->agent_gone = true;
}

/* The four moves. Each makes what progress it can and says whether there was any. */

static bool
from_agent(struct tube *t)
{
	ssize_t n = flow_fill(&t->up, AGENT_FD);

	if (n == -EAGAIN)
		return false;
	if (n < 0) {
		/* ECONNRESET: it closed with bytes of ours unread. */
		t->up.eof = true;
		agent_is_gone(t);
	}
	return true;
}

static bool
to_peer(struct tube *t)
{
	bool moved = false;
	ssize_t n;
	int rc;

	while (flow_len(&t->up) > 0) {
		n = ssh_write(t->ssh, t->up.data + t->up.head, flow_len(&t->up));
		if (n == -EAGAIN)
			return moved;
		if (n < 0) {
			t->error = (int)n;
			return true;
		}
		flow_take(&t->up, (size_t)n);
		moved = true;
	}
	if (!t->up.eof || t->eof_sent)
		return moved;
	rc = ssh_send_eof(t->ssh);
	if (rc == -EAGAIN)
		return moved;
	t->eof_sent = true;
	t->error = rc;
	return true;
}

static bool
from_peer(struct tube *t)
{
	ssize_t n;

	if (t->down.eof || flow_room(&t->down) == 0)
		return false;
	n = ssh_read(t->ssh, t->down.data + t->down.tail, flow_room(&t->down));
	if (n == -EAGAIN)
		return false;
	if (n < 0)
		t->error = (int)n;
	else if (n == 0)
		t->down.eof = true;
	else
		flow_put(&t->down, (size_t)n);
	return true;
}

static bool
to_agent(struct tube *t)
{
	ssize_t n;

	if (t->agent_gone)
		flow_take(&t->down, flow_len(&t->down));
	n = flow_drain(&t->down, AGENT_FD);
	if (n < 0 && n != -EAGAIN)
		agent_is_gone(t);
	if (flow_done(&t->down) && !t->eof_passed) {
		/* Fails only where the agent has gone, which poll says too. */
		(void)shutdown(AGENT_FD, SHUT_WR);
		t->eof_passed = true;
		return true;
	}
	return n != -EAGAIN;
}

/* Has everything been passed on and the peer closed, or is there nobody left to wait for? */
static bool
is_over(struct tube *t)
{
	if (t->error)
		return true;
	if (t->linger_ms && now_ms() >= t->linger_ms)
		return true;
	if (!flow_done(&t->down))
		return false;
	t->error = ssh_finish(t->ssh, &t->end);
	return t->error || t->end.closed;
}

static void
wait_work(struct tube *t)
{
	struct pollfd p[2] = {{.fd = t->fd}, {.fd = AGENT_FD}};
	bool read_peer = flow_done(&t->down) || (!t->down.eof && flow_room(&t->down) > 0);
	bool write_peer = flow_len(&t->up) > 0 || (t->up.eof && !t->eof_sent);
	int timeout = write_peer || t->linger_ms ? RETRY_MS : -1;

	p[0].events = ssh_events(t->ssh, read_peer, write_peer);
	if (!t->up.eof && flow_room(&t->up) > 0)
		p[1].events |= POLLIN;
	if (flow_len(&t->down) > 0)
		p[1].events |= POLLOUT;
	/* A hang-up is reported unasked and for ever: look away while it cannot be acted on. */
	if (!p[0].events)
		p[0].fd = -1;
	if (t->agent_gone)
		p[1].fd = -1;
	if (poll(p, 2, timeout) < 0)
		return;
	/* What it wrote before it closed is still read: the hang-up counts after the end. */
	if ((p[1].revents & (POLLHUP | POLLERR)) && t->up.eof)
		agent_is_gone(t);
}

static void
pump(struct tube *t)
{
	while (!is_over(t)) {
		bool moved = from_agent(t);

		moved = to_peer(t) || moved;
		moved = !t->error && (from_peer(t) || moved);
		moved = to_agent(t) || moved;
		if (!moved && !t->error)
			wait_work(t);
	}
	/* What arrived before the link broke is the agent's, as far as it takes it at once. */
	while (flow_len(&t->down) > 0 && flow_drain(&t->down, AGENT_FD) > 0)
		continue;
}

/* ---- main ---- */

static enum dial_exit
exit_of(int err)
{
	static const struct {
		int err;
		enum dial_exit status;
	} table[] = {
		{-ENOKEY, DIAL_KEY},           {-ENOTSUP, DIAL_KEY},
		{-EKEYREJECTED, DIAL_HOSTKEY}, {-EACCES, DIAL_AUTH},
		{-ECONNABORTED, DIAL_CONNECT}, {-ETIMEDOUT, DIAL_CONNECT},
		{-ECANCELED, DIAL_CONNECT},    {-ECONNRESET, DIAL_LOST},
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (table[i].err == err)
			return table[i].status;
	return DIAL_PROTOCOL;
}

static int
report_end(const struct tube *t)
{
	if (t->error)
		return complain(exit_of(t->error), "%s", ssh_error(t->ssh));
	if (!t->end.closed || (t->end.status == 0 && !t->end.killed))
		return DIAL_CLOSED;
	if (t->end.killed)
		return complain(DIAL_PEER, "the peer's end of the tube was killed");
	if (t->end.status == 4)
		return complain(DIAL_PEER, "the peer's agent does not run");
	return complain(DIAL_PEER,
			"the peer's end of the tube ended with status %d: is its line "
			"in authorized_keys right?",
			t->end.status);
}

static int
run_tube(struct ssh *ssh, int fd)
{
	struct tube t = {.ssh = ssh, .fd = fd};
	int status;

	if (flow_init(&t.up) < 0 || flow_init(&t.down) < 0)
		status = complain(DIAL_PROTOCOL, "out of memory");
	else {
		pump(&t);
		status = report_end(&t);
	}
	flow_fini(&t.up);
	flow_fini(&t.down);
	return status;
}

/* Everything that opens a file comes before the confinement, the first byte of the peer after. */
static int
run(const struct options *o, struct ssh *ssh)
{
	int64_t deadline = now_ms() + o->connect_ms;
	int fd = -1, rc, status;

	if ((rc = ssh_load_key(ssh, o->key)) < 0 ||
	    (rc = ssh_load_hosts(ssh, o->hosts, &o->hp, o->bind)) < 0)
		return complain(exit_of(rc), "%s", ssh_error(ssh));
	if ((status = open_link(o, deadline, &fd)) != DIAL_CLOSED)
		return status;
	if ((rc = confine_streams((size_t)o->window * DATA_WINDOWS)) < 0)
		status = complain(DIAL_PROTOCOL, "cannot confine myself: %s", strerror(-rc));
	else if ((rc = ssh_open(ssh, fd, AGENT_FD, o->user, o->window, deadline)) < 0)
		status = complain(exit_of(rc), "%s", ssh_error(ssh));
	else
		status = run_tube(ssh, fd);
	return status;
}

static bool
is_stream_socket(int fd)
{
	socklen_t len = sizeof(int);
	int type = 0;

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM &&
	       fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK) == 0;
}

int
main(int argc, char **argv)
{
	struct options o;
	struct ssh *ssh;
	int rc, status;

	rc = parse_options(&o, argc, argv);
	if (rc != 0)
		return rc > 0 ? DIAL_CLOSED : DIAL_USAGE;
	signal(SIGPIPE, SIG_IGN);
	if (!is_stream_socket(AGENT_FD))
		return complain(DIAL_USAGE, "descriptor 0 is not a stream socket: mimeo-agent "
					    "starts this program, not you");
	if ((rc = confine_begin()) < 0)
		return complain(DIAL_PROTOCOL, "cannot confine myself: %s", strerror(-rc));
	ssh = ssh_new();
	if (!ssh)
		return complain(DIAL_PROTOCOL, "out of memory");
	status = run(&o, ssh);
	ssh_free(ssh);
	return status;
}
