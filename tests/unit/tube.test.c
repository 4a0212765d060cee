/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The SSH tube as a whole: dial, a real private sshd on loopback, attach. This program plays the
 * agent at both ends. MIMEO_LIBEXEC is the directory that dial and attach are in (default: the
 * current one); srcdir the top of the sources, whose sample sshd_config is the one that is tried.
 */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/attach.h"
#include "agent/dial.h"
#include "tests/tap.h"

#define SSHD "/usr/sbin/sshd"
#define TOO_LONG "a123456789012345678901234567890123456789012345678901234567890123" /* 64 */
#define BULK_BYTES ((uint64_t)64 * 1024 * 1024)
#define WAIT_MS 60000 /* for anything that must happen; only a broken program takes so long */

/* The programs were built the same way: then they are not filtered. For coverage neither. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define SANITIZED 1
#endif

struct lab {
	char dir[64];
	char dial[4096], attach[4096];
	char user[64];
	char sock[128];    /* the agent's socket at the called side */
	char hosts[128];   /* the right known_hosts */
	char key[128];     /* the right key */
	char hostkey[512]; /* kind and base64 of sshd's key */
	int port;
	int listener;
	pid_t sshd;
};

/* ---- small tools ---- */

__attribute__((format(printf, 3, 4))) static void
put(char *out, size_t size, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(out, size, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= size) {
		puts("Bail out! a path is too long");
		exit(1);
	}
}

static int64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* A pause between two looks at a condition. */
static void
pause_briefly(void)
{
	(void)poll(NULL, 0, 10);
}

static void
write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text) || close(fd) < 0) {
		printf("Bail out! cannot write %s\n", path);
		exit(1);
	}
}

static void
read_file(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);

	if (fd >= 0)
		close(fd);
	text[n < 0 ? 0 : n] = '\0';
}

/* Starts a program; its standard error goes to err. Every other descriptor closes at exec. */
static pid_t
start(char *const *argv, int in, int out, int err)
{
	pid_t pid = fork();

	if (pid == 0) {
		if ((in >= 0 && dup2(in, 0) < 0) || (out >= 0 && dup2(out, 1) < 0) ||
		    (err >= 0 && dup2(err, 2) < 0))
			_exit(126);
		execv(argv[0], argv);
		_exit(127);
	}
	return pid;
}

/* The exit status; 1000 + the signal; -1 if it does not end (then it is killed). */
static int
wait_exit(pid_t pid)
{
	int64_t until = now_ms() + WAIT_MS;
	int status = 0;

	while (waitpid(pid, &status, WNOHANG) == 0) {
		if (now_ms() > until) {
			kill(pid, SIGKILL);
			waitpid(pid, &status, 0);
			return -1;
		}
		pause_briefly();
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static int
run_quietly(char *const *argv)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), rc;

	rc = wait_exit(start(argv, null, null, null));
	close(null);
	return rc;
}

static bool
readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, WAIT_MS) > 0;
}

/* Does the stream end? What still comes is thrown away. */
static bool
ends(int fd)
{
	char buf[65536];
	ssize_t n;

	do {
		if (!readable(fd))
			return false;
		n = read(fd, buf, sizeof(buf));
	} while (n > 0 || (n < 0 && errno == EAGAIN));
	return n == 0 || errno == ECONNRESET;
}

/* ---- the lab ---- */

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static bool
make_key(const struct lab *l, const char *name, const char *type, const char *phrase)
{
	char path[128];
	char *argv[] = {(char[]){"/usr/bin/ssh-keygen"},
			(char[]){"-q"},
			(char[]){"-t"},
			strdup(type),
			(char[]){"-N"},
			strdup(phrase),
			(char[]){"-C"},
			(char[]){"tube"},
			(char[]){"-f"},
			path,
			NULL};
	int rc;

	put(path, sizeof(path), "%s/%s", l->dir, name);
	rc = run_quietly(argv);
	free(argv[3]);
	free(argv[5]);
	return rc == 0;
}

/* The first two words of a public key: its kind and its base64. */
static void
public_key(const struct lab *l, const char *name, char *out, size_t size)
{
	char path[128], text[1024], *end;

	put(path, sizeof(path), "%s/%s.pub", l->dir, name);
	read_file(path, text, sizeof(text));
	end = strchr(text, ' ');
	end = end ? strchr(end + 1, ' ') : NULL;
	if (end)
		*end = '\0';
	put(out, size, "%s", text);
}

static void
replace(char *text, size_t size, const char *from, const char *to)
{
	char *at;

	while ((at = strstr(text, from))) {
		char *rest = strdup(at + strlen(from));

		put(at, size - (size_t)(at - text), "%s%s", to, rest ? rest : "");
		free(rest);
	}
}

/* The sample, filled in; small rekey limits make sure that keys change in mid-transfer. */
static void
write_sshd_config(const struct lab *l)
{
	const char *top = getenv("srcdir");
	char path[4096], text[16384], port[8];

	put(path, sizeof(path), "%s/conf/sshd_config.sample", top ? top : ".");
	read_file(path, text, sizeof(text) / 2);
	put(port, sizeof(port), "%d", l->port);
	replace(text, sizeof(text), "@LISTEN@", "127.0.0.1");
	replace(text, sizeof(text), "@PORT@", port);
	replace(text, sizeof(text), "@USER@", l->user);
	replace(text, sizeof(text), "@STATE@", l->dir);
	/* The directory is below /tmp. */
	replace(text, sizeof(text), "\nStrictModes yes", "\nStrictModes no");
	put(path, sizeof(path), "%s/sshd_config", l->dir);
	put(text + strlen(text), sizeof(text) - strlen(text), "RekeyLimit 1M\n");
	write_file(path, text);
}

static void
write_authorized_keys(const struct lab *l)
{
	char path[128], text[16384], key[1024];

	public_key(l, "user", key, sizeof(key));
	put(text, sizeof(text), "restrict,command=\"%s --peer n2 --socket %s\" %s\n", l->attach,
	    l->sock, key);
	public_key(l, "noisy", key, sizeof(key));
	put(text + strlen(text), sizeof(text) - strlen(text),
	    "restrict,command=\"head -c 5000000 /dev/zero >&2; "
	    "exec %s --peer n3 --socket %s\" %s\n",
	    l->attach, l->sock, key);
	public_key(l, "lonely", key, sizeof(key));
	put(text + strlen(text), sizeof(text) - strlen(text),
	    "restrict,command=\"%s --peer n4 --socket %s/nobody\" %s\n", l->attach, l->dir, key);
	put(path, sizeof(path), "%s/authorized_keys", l->dir);
	write_file(path, text);
}

static int
free_port(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (bind(fd, (struct sockaddr *)&a, len) < 0 ||
	    getsockname(fd, (struct sockaddr *)&a, &len) < 0)
		a.sin_port = 0;
	close(fd);
	return ntohs(a.sin_port);
}

static bool
port_answers(int port)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_port = htons((uint16_t)port),
				.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool yes = connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0;

	close(fd);
	return yes;
}

static bool
start_sshd(struct lab *l)
{
	char config[128], log[128];
	char *argv[] = {(char[]){SSHD}, (char[]){"-D"}, (char[]){"-e"},
			(char[]){"-f"}, config,         NULL};
	int64_t until = now_ms() + WAIT_MS;
	int fd;

	/* sshd insists on it where it runs as root; the system's service makes it at its start. */
	if (geteuid() == 0)
		(void)mkdir("/run/sshd", 0755);
	put(config, sizeof(config), "%s/sshd_config", l->dir);
	put(log, sizeof(log), "%s/sshd.log", l->dir);
	fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	l->sshd = start(argv, -1, fd, fd);
	close(fd);
	while (!port_answers(l->port)) {
		if (now_ms() > until || waitpid(l->sshd, NULL, WNOHANG) != 0) {
			l->sshd = 0;
			return false;
		}
		pause_briefly();
	}
	return true;
}

static bool
listen_agent(struct lab *l)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	memcpy(a.sun_path, l->sock, strlen(l->sock));
	l->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return bind(l->listener, (struct sockaddr *)&a, sizeof(a)) == 0 &&
	       listen(l->listener, 16) == 0;
}

/* libssh2 1.10 loses the 51 bytes of the host key in each change of keys (one a GiB unless told
 * otherwise): not what a leak checker is to find here. */
static void
forgive_library(const struct lab *l)
{
	char path[128], text[256];

	put(path, sizeof(path), "%s/lsan", l->dir);
	write_file(path, "leak:libssh2.so\n");
	put(text, sizeof(text), "print_suppressions=0:suppressions=%s", path);
	setenv("LSAN_OPTIONS", text, 1);
}

/* NULL, or why it cannot be tried here. */
static const char *
lab_up(struct lab *l)
{
	const char *libexec = getenv("MIMEO_LIBEXEC");
	struct passwd *pw = getpwuid(geteuid());
	char path[4096], text[1024];

	put(path, sizeof(path), "%s/dial", libexec ? libexec : ".");
	if (access(SSHD, X_OK) < 0 || access("/usr/bin/ssh-keygen", X_OK) < 0 || !pw)
		return "no sshd or ssh-keygen on this machine";
	if (!realpath(path, l->dial))
		return "dial is not built";
	put(path, sizeof(path), "%s/attach", libexec ? libexec : ".");
	if (!realpath(path, l->attach))
		return "attach is not built";
	put(l->dir, sizeof(l->dir), "/tmp/mimeo-tube-XXXXXX");
	if (!mkdtemp(l->dir))
		return "no temporary directory";
	forgive_library(l);
	put(l->user, sizeof(l->user), "%s", pw->pw_name);
	put(l->sock, sizeof(l->sock), "%s/agent", l->dir);
	put(l->key, sizeof(l->key), "%s/user", l->dir);
	put(l->hosts, sizeof(l->hosts), "%s/known_hosts", l->dir);
	if (!make_key(l, "ssh_host_ed25519_key", "ed25519", "") ||
	    !make_key(l, "user", "ed25519", "") || !make_key(l, "noisy", "ed25519", "") ||
	    !make_key(l, "lonely", "ed25519", "") || !make_key(l, "stranger", "ed25519", "") ||
	    !make_key(l, "phrase", "ed25519", "secret") || !make_key(l, "rsa", "rsa", "") ||
	    !make_key(l, "ecdsa", "ecdsa", ""))
		return "ssh-keygen failed";
	l->port = free_port();
	public_key(l, "ssh_host_ed25519_key", l->hostkey, sizeof(l->hostkey));
	put(text, sizeof(text), "# pinned\n\n[127.0.0.1]:%d %s\n", l->port, l->hostkey);
	write_file(l->hosts, text);
	write_sshd_config(l);
	write_authorized_keys(l);
	if (!listen_agent(l))
		return "cannot listen";
	return start_sshd(l) ? NULL : "sshd does not start here";
}

/* Ends what lab_up started, and nothing else. */
static void
lab_down(struct lab *l)
{
	if (l->listener >= 0)
		close(l->listener);
	if (l->sshd > 0) {
		kill(l->sshd, SIGTERM);
		wait_exit(l->sshd);
	}
	if (l->dir[0])
		(void)nftw(l->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* ---- one call of dial ---- */

struct call {
	pid_t pid;
	int fd;  /* the caller's agent */
	int err; /* dial's standard error */
	int far; /* the called agent, once accepted; else -1 */
	pid_t attach;
	char line[2048]; /* what dial had said when it ended */
};

/* How a call differs from the right one; NULL and 0 where it does not. */
struct how {
	const char *host, *user, *key, *hosts, *more[4];
	int port;
};

static struct call
call_start(const struct lab *l, struct how h)
{
	struct call c = {.fd = -1, .err = -1, .far = -1};
	char port[8];
	const char *args[] = {l->dial,
			      "--host",
			      h.host ? h.host : "127.0.0.1",
			      "--port",
			      port,
			      "--user",
			      h.user ? h.user : l->user,
			      "--key",
			      h.key ? h.key : l->key,
			      "--known-hosts",
			      h.hosts ? h.hosts : l->hosts,
			      h.more[0],
			      h.more[1],
			      h.more[2],
			      h.more[3],
			      NULL};
	char *argv[sizeof(args) / sizeof(args[0])];
	int pair[2], err[2];

	put(port, sizeof(port), "%d", h.port ? h.port : l->port);
	/* execv does not write to its arguments, whatever its type says. */
	memcpy(argv, args, sizeof(argv));
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0 &&
	    pipe2(err, O_CLOEXEC) == 0) {
		c.pid = start(argv, pair[1], -1, err[1]);
		close(pair[1]);
		close(err[1]);
		c.fd = pair[0];
		c.err = err[0];
	}
	return c;
}

/* Waits for the connection and its header: "" if nobody came. The credentials say who it is. */
static void
call_accept(const struct lab *l, struct call *c, char *header, size_t size)
{
	struct ucred who = {0};
	socklen_t len = sizeof(who);
	size_t n = 0;

	header[0] = '\0';
	if (!readable(l->listener))
		return;
	c->far = accept4(l->listener, NULL, NULL, SOCK_CLOEXEC);
	if (getsockopt(c->far, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0)
		c->attach = who.pid;
	while (n + 1 < size && readable(c->far) && read(c->far, header + n, 1) == 1)
		if (header[n++] == '\n')
			break;
	header[n] = '\0';
}

/* Is the tube open in both directions? */
static bool
call_echo(struct call *c)
{
	char a[5] = "ping", b[5] = "";

	if (write(c->fd, a, 5) != 5 || !readable(c->far) || read(c->far, b, 5) != 5 ||
	    strcmp(a, b) != 0)
		return false;
	b[0] = '\0';
	return write(c->far, a, 5) == 5 && readable(c->fd) && read(c->fd, b, 5) == 5 &&
	       strcmp(a, b) == 0;
}

/* A call that must succeed, up to the first exchange of bytes. */
static struct call
call_right(const struct lab *l, struct how h, const char *want)
{
	struct call c = call_start(l, h);
	char header[128];

	call_accept(l, &c, header, sizeof(header));
	is_str(header, want, "the called agent sees who calls");
	ok(c.far >= 0 && call_echo(&c), "bytes go both ways");
	return c;
}

static int
call_end(struct call *c)
{
	ssize_t n;
	size_t have = 0;
	int status = wait_exit(c->pid);

	while (have + 1 < sizeof(c->line) &&
	       (n = read(c->err, c->line + have, sizeof(c->line) - 1 - have)) > 0)
		have += (size_t)n;
	c->line[have] = '\0';
	close(c->err);
	if (c->fd >= 0)
		close(c->fd);
	if (c->far >= 0)
		close(c->far);
	return status;
}

/* The caller's agent closes its end, and the called one follows. */
static void
hang_up(struct call *c)
{
	close(c->fd);
	c->fd = -1;
	ok(ends(c->far), "the called agent sees the end");
	close(c->far);
	c->far = -1;
}

static bool
is_one_line(const char *text)
{
	size_t n = strlen(text);

	return strncmp(text, "error: ", 7) == 0 && strchr(text, '\n') == text + n - 1;
}

/* A call that must fail with that status and one line that has these words. */
static void
call_wrong(const struct lab *l, struct how h, int want, const char *words, const char *what)
{
	struct call c = call_start(l, h);
	int got = call_end(&c);

	is_int(got, want, "%s: status", what);
	if (!ok(is_one_line(c.line) && strstr(c.line, words), "%s: one line, says %s", what, words))
		diag("  it was: %s", c.line);
}

/* ---- bulk ---- */

/* One direction: what was sent and what came is compared with the same sequence of numbers. */
struct bulk {
	int from, to;
	uint64_t state, sent, check, received;
	uint8_t out[65536];
	size_t head, tail;
	bool wrong, ended;
};

static uint64_t
next_number(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

/* Byte number n of the sequence is byte n mod 8 of number n / 8. */
static void
bulk_refill(struct bulk *b)
{
	for (size_t i = 0; i < sizeof(b->out); i += 8) {
		uint64_t v = next_number(&b->state);

		memcpy(b->out + i, &v, 8);
	}
	b->head = 0;
	b->tail = sizeof(b->out);
}

static void
bulk_send(struct bulk *b)
{
	ssize_t n;

	if (b->head == b->tail)
		bulk_refill(b);
	n = send(b->from, b->out + b->head, b->tail - b->head, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n > 0) {
		b->head += (size_t)n;
		b->sent += (uint64_t)n;
	} else if (n < 0 && errno != EAGAIN) {
		b->wrong = true;
		b->sent = BULK_BYTES;
	}
	if (b->sent == BULK_BYTES)
		shutdown(b->from, SHUT_WR);
}

static void
bulk_check(struct bulk *b, const uint8_t *p, size_t n)
{
	static const unsigned mask = 7;

	for (size_t i = 0; i < n; i++, b->received++) {
		unsigned at = (unsigned)b->received & mask;

		if (at == 0)
			next_number(&b->check);
		b->wrong = b->wrong || p[i] != ((const uint8_t *)&b->check)[at];
	}
}

static void
bulk_receive(struct bulk *b)
{
	static uint8_t buf[262144];
	ssize_t n = recv(b->to, buf, sizeof(buf), MSG_DONTWAIT);

	if (n > 0)
		bulk_check(b, buf, (size_t)n);
	else if (n == 0 || errno != EAGAIN)
		b->ended = true;
}

static bool
bulk_both(struct bulk *b)
{
	while (!b[0].ended || !b[1].ended) {
		struct pollfd p[4];

		for (int i = 0; i < 2; i++) {
			p[2 * i] = (struct pollfd){b[i].sent < BULK_BYTES ? b[i].from : -1, POLLOUT,
						   0};
			p[2 * i + 1] = (struct pollfd){b[i].ended ? -1 : b[i].to, POLLIN, 0};
		}
		if (poll(p, 4, WAIT_MS) <= 0)
			return false;
		for (int i = 0; i < 2; i++) {
			if (p[2 * i].revents)
				bulk_send(&b[i]);
			if (p[2 * i + 1].revents)
				bulk_receive(&b[i]);
		}
	}
	return true;
}

static void
test_bulk(const struct lab *l, const char *window)
{
	static struct bulk b[2];
	struct call c = call_right(l, (struct how){.more = {"--window", window}}, "attach 1 n2\n");
	int64_t began = now_ms();

	b[0] = (struct bulk){.from = c.fd, .to = c.far, .state = 1, .check = 1};
	b[1] = (struct bulk){.from = c.far, .to = c.fd, .state = 2, .check = 2};
	ok(bulk_both(b), "both directions end, window %s", window);
	for (int i = 0; i < 2; i++) {
		is_int(b[i].received, BULK_BYTES, "all bytes arrive, direction %d", i);
		ok(!b[i].wrong, "and are the bytes sent");
	}
	diag("64 MiB both ways at once: %lld ms", (long long)(now_ms() - began));
	is_int(call_end(&c), DIAL_CLOSED, "dial ends in order");
	is_str(c.line, "", "and has nothing to say");
}

/* The called side sends and the caller does not read for a while: nothing may be lost, and dial may
 * not keep more than its window and its buffers. */
static void
test_pressure(const struct lab *l)
{
	struct call c = call_right(l, (struct how){0}, "attach 1 n2\n");
	char buf[65536] = {0}, path[64], text[4096], *data;
	size_t sent = 0, got = 0;
	ssize_t n;
	int stuck = 0;

	/* Until nothing moves any more for a while. */
	while (stuck < 50) {
		n = send(c.far, buf, sizeof(buf), MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n > 0) {
			sent += (size_t)n;
			stuck = 0;
		} else {
			stuck++;
			pause_briefly();
		}
		if (sent > (size_t)256 * 1024 * 1024)
			break;
	}
	ok(sent < (size_t)16 * 1024 * 1024, "a reader that waits makes the sender wait");
	put(path, sizeof(path), "/proc/%d/status", (int)c.pid);
	read_file(path, text, sizeof(text));
	data = strstr(text, "VmData:");
	if (data)
		data[strcspn(data, "\n")] = '\0';
	diag("%zu bytes under way, dial: %s", sent, data ? data : "?");
	shutdown(c.far, SHUT_WR);
	while (readable(c.fd) && (n = read(c.fd, buf, sizeof(buf))) > 0)
		got += (size_t)n;
	is_int(got, sent, "then everything comes");
	hang_up(&c);
	is_int(call_end(&c), DIAL_CLOSED, "and dial ends in order");
}

/* ---- host keys ---- */

static void
use_hosts(const struct lab *l, char *path, size_t size, const char *text)
{
	put(path, size, "%s/hosts", l->dir);
	write_file(path, text);
}

static void
test_hosts_refused(const struct lab *l)
{
	char path[128], text[4096], other[1024], rsa[1024];
	struct how h = {.hosts = path};

	public_key(l, "stranger", other, sizeof(other));
	public_key(l, "rsa", rsa, sizeof(rsa));

	put(text, sizeof(text), "[127.0.0.1]:%d %s\n", l->port, other);
	use_hosts(l, path, sizeof(path), text);
	call_wrong(l, h, DIAL_HOSTKEY, "is not the one in", "another host key");

	put(text, sizeof(text), "127.0.0.1 %s\n[127.0.0.1]:%d0 %s\n[127.0.0.2]:%d %s\n", l->hostkey,
	    l->port / 10, l->hostkey, l->port, l->hostkey);
	use_hosts(l, path, sizeof(path), text);
	call_wrong(l, h, DIAL_HOSTKEY, "has no host key for", "only for another port or host");

	put(text, sizeof(text), "[127.0.0.1]:%d %s\n@revoked * %s\n", l->port, l->hostkey,
	    l->hostkey);
	use_hosts(l, path, sizeof(path), text);
	call_wrong(l, h, DIAL_HOSTKEY, "is revoked in", "a revoked host key");

	put(text, sizeof(text), "@cert-authority [127.0.0.1]:%d %s\n", l->port, l->hostkey);
	use_hosts(l, path, sizeof(path), text);
	call_wrong(l, h, DIAL_HOSTKEY, "has no host key for", "only an authority");

	put(text, sizeof(text), "* %s\n", l->hostkey);
	use_hosts(l, path, sizeof(path), text);
	call_wrong(l, h, DIAL_HOSTKEY, "has no host key for", "a pattern");

	put(text, sizeof(text), "[127.0.0.1]:%d %.20s\n", l->port, l->hostkey);
	use_hosts(l, path, sizeof(path), text);
	call_wrong(l, h, DIAL_HOSTKEY, "in", "half a key");

	put(text, sizeof(text), "[127.0.0.1]:%d %s\n", l->port, rsa);
	use_hosts(l, path, sizeof(path), text);
	call_wrong(l, h, DIAL_KEY, "no ed25519 host key", "an RSA host key");

	use_hosts(l, path, sizeof(path), "");
	call_wrong(l, h, DIAL_HOSTKEY, "has no host key for", "an empty file");
	h.hosts = "/nonexistent/known_hosts";
	call_wrong(l, h, DIAL_HOSTKEY, "cannot read", "no file");
	/* Refused without a connection: nobody listens at that port. */
	h.port = free_port();
	call_wrong(l, h, DIAL_HOSTKEY, "cannot read", "no file and no server");
}

static void
test_hosts_accepted(const struct lab *l)
{
	char path[128], text[4096], other[1024];
	char *hash[] = {(char[]){"/usr/bin/ssh-keygen"},
			(char[]){"-q"},
			(char[]){"-H"},
			(char[]){"-f"},
			path,
			NULL};
	struct call c;

	public_key(l, "stranger", other, sizeof(other));
	put(text, sizeof(text),
	    "junk\nxx\nab %s\n[127.0.0.1]:%d %s\n  a,[127.0.0.1]:%d,b %s host\n", other, l->port,
	    other, l->port, l->hostkey);
	use_hosts(l, path, sizeof(path), text);
	c = call_right(l, (struct how){.hosts = path}, "attach 1 n2\n");
	hang_up(&c);
	is_int(call_end(&c), DIAL_CLOSED, "one of several keys, in a list of names");

	put(text, sizeof(text), "[127.0.0.1]:%d %s\n", l->port, l->hostkey);
	use_hosts(l, path, sizeof(path), text);
	is_int(run_quietly(hash), 0, "names are hashed");
	c = call_right(l, (struct how){.hosts = path}, "attach 1 n2\n");
	hang_up(&c);
	is_int(call_end(&c), DIAL_CLOSED, "a hashed name");

	/* That the key is there is seen before the name is looked up; it does not exist. */
	put(text, sizeof(text), "no-such-host.invalid %s\n", l->hostkey);
	use_hosts(l, path, sizeof(path), text);
	c = call_start(l, (struct how){.host = "No-Such-Host.invalid", .hosts = path, .port = 22});
	is_int(call_end(&c), DIAL_CONNECT, "port 22 needs no brackets, and case does not matter");
	c = call_start(l, (struct how){.host = "no-such-host.invalid", .hosts = path, .port = 23});
	is_int(call_end(&c), DIAL_HOSTKEY, "any other port does");

	put(text, sizeof(text), "n2 %s\nn3 %s\n", l->hostkey, other);
	use_hosts(l, path, sizeof(path), text);
	c = call_right(l, (struct how){.hosts = path, .more = {"--bind-name", "n2"}},
		       "attach 1 n2\n");
	hang_up(&c);
	is_int(call_end(&c), DIAL_CLOSED, "the key of a name");
	call_wrong(l, (struct how){.hosts = path, .more = {"--bind-name", "n3"}}, DIAL_HOSTKEY,
		   "is not the one in", "the key of another name");
}

/* ---- user keys ---- */

static void
test_keys(const struct lab *l)
{
	char path[128], text[4096];
	struct how h = {.key = path};
	size_t whole;

	put(path, sizeof(path), "%s/stranger", l->dir);
	call_wrong(l, h, DIAL_AUTH, "does not accept key", "an unknown key");
	h.user = "nobody-of-that-name";
	call_wrong(l, h, DIAL_AUTH, "for user nobody-of-that-name", "an unknown user");

	/* All of these before a connection: nobody listens at that port. */
	h = (struct how){.key = path, .port = free_port(), .more = {"--bind-name", "n2"}};
	h.hosts = text;
	put(text, sizeof(text), "%s/hosts", l->dir);
	put(path, sizeof(path), "%s/rsa", l->dir);
	call_wrong(l, h, DIAL_KEY, "is an RSA key", "an RSA key");
	put(path, sizeof(path), "%s/ecdsa", l->dir);
	call_wrong(l, h, DIAL_KEY, "is not an ed25519 key", "an ECDSA key");
	put(path, sizeof(path), "%s/phrase", l->dir);
	call_wrong(l, h, DIAL_KEY, "passphrase", "a key with a passphrase");
	put(path, sizeof(path), "%s/user.pub", l->dir);
	chmod(path, 0600);
	call_wrong(l, h, DIAL_KEY, "is not a private key", "a public key");
	put(path, sizeof(path), "%s", l->dir);
	call_wrong(l, h, DIAL_KEY, "cannot read key", "a directory");
	put(path, sizeof(path), "%s/none\x1b[31m", l->dir);
	call_wrong(l, h, DIAL_KEY, "none\\x1b[31m: No such file", "no file; the name is escaped");
	put(path, sizeof(path), "%s/lonely", l->dir);
	chmod(path, 0640);
	call_wrong(l, h, DIAL_KEY, "can be read by others", "a key that others can read");
	chmod(path, 0600);

	/* Cut in its middle it still begins like a key; the library finds out. */
	read_file(l->key, text, sizeof(text));
	whole = strlen(text);
	put(path, sizeof(path), "%s/cut", l->dir);
	for (size_t n = 0; n < whole - 40; n += n < 100 ? 33 : 60) {
		char keep = text[n];
		struct call c;

		text[n] = '\0';
		write_file(path, text);
		text[n] = keep;
		c = call_start(l, (struct how){.key = path});
		is_int(call_end(&c), DIAL_KEY, "a key cut after %zu bytes", n);
		ok(is_one_line(c.line), "one line says so");
	}
}

/* ---- ends ---- */

static void
test_nobody(const struct lab *l)
{
	char path[128], hosts[128], text[4096];
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	struct how h = {.hosts = hosts, .more = {"--bind-name", "n2", "--connect-timeout", "300"}};
	struct call c;
	int fd, peer;

	put(path, sizeof(path), "%s/lonely", l->dir);
	call_wrong(l, (struct how){.key = path}, DIAL_PEER, "agent does not run",
		   "the called agent does not run");
	put(text, sizeof(text), "n2 %s\n", l->hostkey);
	use_hosts(l, hosts, sizeof(hosts), text);
	h.port = free_port();
	call_wrong(l, h, DIAL_CONNECT, "Connection refused", "nobody listens");
	h.host = "no-such-host.invalid";
	h.more[3] = "5000";
	c = call_start(l, h);
	is_int(call_end(&c), DIAL_CONNECT, "a host without an address");
	h.host = NULL;
	h.more[3] = "300";

	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(fd, (struct sockaddr *)&a, len) < 0 || listen(fd, 4) < 0 ||
	    getsockname(fd, (struct sockaddr *)&a, &len) < 0)
		return;
	h.port = ntohs(a.sin_port);
	call_wrong(l, h, DIAL_CONNECT, "no answer in time", "a server that says nothing");
	close(accept(fd, NULL, NULL));

	h.more[2] = NULL;
	c = call_start(l, h);
	peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	close(peer);
	is_int(call_end(&c), DIAL_CONNECT, "a server that hangs up");
	c = call_start(l, h);
	peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	ok(write(peer, "SSH-2.0-x\r\n\0\0\0\1\0\xff\xff\xff\xff\xff\xff\xff\xff", 25) == 25 &&
		   shutdown(peer, SHUT_WR) == 0,
	   "a server that talks nonsense");
	is_int(call_end(&c) > 2, 1, "is refused");
	ok(is_one_line(c.line), "with one line");
	close(peer);
	c = call_start(l, h);
	peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	close(c.fd);
	c.fd = -1;
	is_int(call_end(&c), DIAL_CONNECT, "the agent goes while dial waits");
	close(peer);
	close(fd);
}

static pid_t
parent_of(pid_t pid)
{
	char path[64], text[1024], *at;

	put(path, sizeof(path), "/proc/%d/stat", (int)pid);
	read_file(path, text, sizeof(text));
	at = strrchr(text, ')');
	return at ? (pid_t)strtol(at + 4, NULL, 10) : 0;
}

/* The processes of sshd that serve this call, from attach upwards, are killed. */
static void
kill_session(const struct lab *l, const struct call *c)
{
	pid_t up = parent_of(c->attach), all[8];
	int n = 0;

	for (; up > 1 && up != l->sshd && n < 8; up = parent_of(up))
		all[n++] = up;
	if (ok(up == l->sshd, "found the session among sshd's children"))
		while (n > 0)
			kill(all[--n], SIGKILL);
}

/* Fills the tube from the caller's side, so that the end comes in the middle of a transfer. */
static void
fill_tube(struct call *c)
{
	static const char zeros[65536];

	for (int i = 0; i < 20; i++)
		(void)send(c->fd, zeros, sizeof(zeros), MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void
test_kills(const struct lab *l)
{
	struct call c = call_right(l, (struct how){0}, "attach 1 n2\n");

	fill_tube(&c);
	kill_session(l, &c);
	ok(ends(c.far), "sshd killed: the called agent sees the end");
	ok(ends(c.fd), "the caller too");
	is_int(call_end(&c), DIAL_LOST, "dial says that the link is lost");
	ok(is_one_line(c.line), "in one line");

	c = call_right(l, (struct how){0}, "attach 1 n2\n");
	fill_tube(&c);
	kill(c.attach, SIGKILL);
	ok(ends(c.fd), "attach killed: the caller sees the end");
	is_int(call_end(&c), DIAL_PEER, "dial says that it was the peer's end");
	ok(is_one_line(c.line), "in one line");

	c = call_right(l, (struct how){0}, "attach 1 n2\n");
	fill_tube(&c);
	kill(c.pid, SIGKILL);
	ok(ends(c.far), "dial killed: the called agent sees the end");
	is_int(call_end(&c), 1000 + SIGKILL, "and the caller by what");
}

static void
test_closes(const struct lab *l)
{
	struct call c = call_right(l, (struct how){0}, "attach 1 n2\n");
	char text[16] = "";

	close(c.far);
	c.far = -1;
	ok(ends(c.fd), "the called agent closes: the caller sees the end");
	is_int(call_end(&c), DIAL_CLOSED, "and dial ends in order");
	is_str(c.line, "", "without a word");

	c = call_right(l, (struct how){0}, "attach 1 n2\n");
	ok(write(c.fd, "last words", 10) == 10, "the caller writes");
	close(c.fd);
	c.fd = -1;
	ok(readable(c.far) && read(c.far, text, 10) == 10 && !strcmp(text, "last words"),
	   "and closes at once: its bytes arrive");
	ok(ends(c.far), "then the end");
	close(c.far);
	c.far = -1;
	is_int(call_end(&c), DIAL_CLOSED, "and dial ends in order");

	c = call_right(l, (struct how){0}, "attach 1 n2\n");
	ok(shutdown(c.fd, SHUT_WR) == 0 && ends(c.far), "the caller's end of file is passed on");
	ok(write(c.far, "answer", 6) == 6 && readable(c.fd) && read(c.fd, text, 6) == 6,
	   "while the other direction still works");
	close(c.far);
	c.far = -1;
	ok(ends(c.fd), "until it ends too");
	is_int(call_end(&c), DIAL_CLOSED, "and dial ends in order");

	c = call_right(l, (struct how){0}, "attach 1 n2\n");
	kill(c.pid, SIGTERM);
	ok(ends(c.far), "dial is asked to stop: the called agent sees the end");
	is_int(call_end(&c), 1000 + SIGTERM, "at once");
}

/* What the peer's shell writes to its standard error neither arrives nor blocks. */
static void
test_noise(const struct lab *l)
{
	char path[128];
	struct call c;

	put(path, sizeof(path), "%s/noisy", l->dir);
	c = call_right(l, (struct how){.key = path}, "attach 1 n3\n");
	hang_up(&c);
	is_int(call_end(&c), DIAL_CLOSED, "5 MB of noise do no harm");
}

static bool
status_has(pid_t pid, const char *line)
{
	char path[64], text[8192];

	put(path, sizeof(path), "/proc/%d/status", (int)pid);
	read_file(path, text, sizeof(text));
	return strstr(text, line) != NULL;
}

static void
test_confined(const struct lab *l)
{
	struct call c = call_right(l, (struct how){0}, "attach 1 n2\n");
	pid_t both[2] = {c.pid, c.attach};

	for (int i = 0; i < 2; i++) {
		const char *who = i == 0 ? "dial" : "attach";

		ok(status_has(both[i], "\nNoNewPrivs:\t1\n"), "%s cannot gain privileges", who);
		ok(status_has(both[i], "\nCapEff:\t0000000000000000\n") &&
			   status_has(both[i], "\nCapPrm:\t0000000000000000\n"),
		   "%s has no capabilities", who);
#if defined(SANITIZED) || defined(COVERAGE)
		diag("built with a sanitizer or for coverage: no filter to look for");
#else
		ok(status_has(both[i], "\nSeccomp:\t2\n"), "%s is filtered", who);
#endif
	}
	hang_up(&c);
	is_int(call_end(&c), DIAL_CLOSED, "and ends in order");
}

/* ---- attach alone, and arguments ---- */

static int
attach_alone(const struct lab *l, const char *peer, const char *sock, const char *idle, int in)
{
	char *argv[] = {strdup(l->attach), (char[]){"--peer"}, strdup(peer), (char[]){"--socket"},
			strdup(sock),      (char[]){"--idle"}, strdup(idle), NULL};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), rc;

	rc = wait_exit(start(argv, in, null, null));
	close(null);
	free(argv[0]);
	free(argv[2]);
	free(argv[4]);
	free(argv[6]);
	return rc;
}

static void
test_attach(const struct lab *l)
{
	static const char *const names[] = {"",    "A",    "a b",  "a_b", "a.b",
					    "a\n", "../x", "\xc3", "a\"", TOO_LONG};
	char longest[ATTACH_NAME_MAX + 1], far[128] = "", want[128];
	int pair[2], fd;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		is_int(attach_alone(l, names[i], l->sock, "100", -1), ATTACH_USAGE,
		       "attach refuses name number %zu", i);
	is_int(attach_alone(l, "n2", l->sock, "0", -1), ATTACH_USAGE, "no idle time");
	is_int(attach_alone(l, "n2", l->sock, "1x", -1), ATTACH_USAGE, "a bad idle time");
	is_int(attach_alone(l, "n2", l->hosts, "100", -1), ATTACH_NO_AGENT, "no socket");
	is_int(attach_alone(l, "n2", "/nonexistent", "100", -1), ATTACH_NO_AGENT, "no agent");

	memset(longest, 'z', ATTACH_NAME_MAX);
	longest[ATTACH_NAME_MAX] = '\0';
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return;
	is_int(attach_alone(l, longest, l->sock, "100", pair[1]), ATTACH_FAILED,
	       "attach ends when its peer says nothing for the idle time");
	fd = accept4(l->listener, NULL, NULL, SOCK_CLOEXEC);
	put(want, sizeof(want), ATTACH_HEADER "%s\n", longest);
	is_int(read(fd, far, sizeof(far) - 1), ATTACH_HEADER_MAX, "the longest header");
	is_str(far, want, "is what was promised");
	close(fd);
	close(pair[0]);
	close(pair[1]);
}

static void
test_arguments(const struct lab *l)
{
	static const char *const bad[][2] = {{"--window", "65535"},
					     {"--window", "67108865"},
					     {"--window", "2M"},
					     {"--window", "-1"},
					     {"--connect-timeout", "0"},
					     {"--port", "65536"},
					     {"--port", "0"},
					     {"--host", "-x"},
					     {"--host", "a b"},
					     {"--user", ""},
					     {"--user", "a\nb"},
					     {"--bind-name", "a b"},
					     {"--bind-name", "a,b"},
					     {"--nonsense", "1"},
					     {"--window", NULL},
					     {"one-word-too-much", NULL}};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		call_wrong(l, (struct how){.more = {bad[i][0], bad[i][1]}}, DIAL_USAGE, "",
			   bad[i][0]);
}

int
main(void)
{
	struct lab l = {.listener = -1};
	const char *why;

	signal(SIGPIPE, SIG_IGN);
	why = lab_up(&l);
	if (why) {
		lab_down(&l);
		return skip_rest(why);
	}
	test_bulk(&l, "2097152");
	test_bulk(&l, "65536");
	test_pressure(&l);
	test_hosts_refused(&l);
	test_hosts_accepted(&l);
	test_keys(&l);
	test_nobody(&l);
	test_kills(&l);
	test_closes(&l);
	test_noise(&l);
	test_confined(&l);
	test_attach(&l);
	test_arguments(&l);
	lab_down(&l);
	return tap_done();
}
