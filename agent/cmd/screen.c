/* SPDX-License-Identifier: BSD-2-Clause */
/* The whole terminal, for a live view, and back to what it was. */
#include "config.h"

#include "agent/cmd/screen.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#define ROWS_IF_UNKNOWN 24
/* The other screen, no cursor, no wrapping; and back. */
#define ENTER "\033[?1049h\033[?25l\033[?7l\033[2J"
#define LEAVE "\033[?7h\033[?25h\033[?1049l"

struct screen {
	struct termios before;
	sigset_t mask;
	int signals;
};

bool
screen_can(void)
{
	const char *term = getenv("TERM");

	return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && term != NULL && term[0] != '\0' &&
	       strcmp(term, "dumb") != 0;
}

static int
write_all(const void *bytes, size_t len)
{
	const char *p = bytes;

	while (len > 0) {
		ssize_t n = write(STDOUT_FILENO, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* From now on they are read, not delivered: so no way out misses the terminal. */
static int
take_signals(struct screen *s)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGTSTP, SIGWINCH};
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		sigaddset(&set, numbers[i]);
	if (sigprocmask(SIG_BLOCK, &set, &s->mask) < 0)
		return -errno;
	s->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return s->signals < 0 ? -errno : 0;
}

static int
take_keys(struct screen *s)
{
	struct termios raw;

	if (tcgetattr(STDIN_FILENO, &s->before) < 0)
		return -errno;
	raw = s->before;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	return tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw) < 0 ? -errno : 0;
}

int
screen_open(struct screen **out)
{
	struct screen *s = calloc(1, sizeof(*s));
	int e;

	*out = NULL;
	if (s == NULL)
		return -ENOMEM;
	s->signals = -1;
	e = take_signals(s);
	if (e < 0) {
		free(s);
		return e;
	}
	e = take_keys(s);
	if (e == 0)
		e = write_all(ENTER, strlen(ENTER));
	if (e < 0) {
		screen_close(s);
		return e;
	}
	*out = s;
	return 0;
}

void
screen_close(struct screen *s)
{
	if (s == NULL)
		return;
	(void)!write_all(LEAVE, strlen(LEAVE));
	(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &s->before);
	if (s->signals >= 0)
		close(s->signals);
	(void)sigprocmask(SIG_SETMASK, &s->mask, NULL);
	free(s);
}

unsigned
screen_rows(const struct screen *s)
{
	struct winsize w = {0};

	(void)s;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) < 0 || w.ws_row == 0)
		return ROWS_IF_UNKNOWN;
	return w.ws_row;
}

int
screen_show(struct screen *s, const struct buf *text)
{
	struct buf out = {0};
	const char *p = (const char *)text->data, *end = p + text->len;
	int e;

	(void)s;
	buf_put(&out, "\033[H", 3);
	while (p < end) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		const char *stop = nl != NULL ? nl : end;

		buf_put(&out, p, (size_t)(stop - p));
		buf_put(&out, "\033[K", 3);
		if (nl != NULL && nl + 1 < end)
			buf_put(&out, "\r\n", 2);
		p = nl != NULL ? nl + 1 : end;
	}
	buf_put(&out, "\033[J", 3);
	e = out.failed ? -ENOMEM : write_all(out.data, out.len);
	buf_free(&out);
	return e;
}

static int
signalled(struct screen *s)
{
	struct signalfd_siginfo info;

	while (read(s->signals, &info, sizeof(info)) == sizeof(info))
		if (info.ssi_signo != SIGWINCH && info.ssi_signo != SIGTSTP)
			return -EINTR;
	return 0;
}

int
screen_wait(struct screen *s, int ms)
{
	struct pollfd p[] = {{.fd = s->signals, .events = POLLIN},
			     {.fd = STDIN_FILENO, .events = POLLIN}};
	unsigned char key;
	int n = poll(p, ARRAY_LEN(p), ms);

	if (n <= 0)
		return n == 0 || errno == EINTR ? 0 : -errno;
	if (p[0].revents != 0)
		return signalled(s);
	n = (int)read(STDIN_FILENO, &key, 1);
	return n == 1 ? key : n < 0 && errno == EINTR ? 0 : -EIO;
}
