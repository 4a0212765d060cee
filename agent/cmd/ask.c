/* SPDX-License-Identifier: BSD-2-Clause */
/* Asks the agent. */
#include "config.h"

#include "agent/cmd/cmd.h"
#include "agent/cmd/progress.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define FRAME_MAX (64u * 1024 * 1024)
#define QUIET_SECONDS 3 /* who is told nothing does not wait longer for a byte */

/* What to do about it. */
static const char *
advice(int error)
{
	switch (error) {
	case ENOENT:
	case ECONNREFUSED:
		return ": does it run? Its log's last lines say why it ended";
	case EACCES:
	case EPERM:
		return ": its own user, root, and members of its group may ask";
	default:
		return "";
	}
}

static int
connect_agent(struct command *c)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	const struct timeval patience = {.tv_sec = QUIET_SECONDS};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), n;

	n = snprintf(a.sun_path, sizeof(a.sun_path), "%s/%s", c->conf->run, CONTROL_SOCKET_NAME);
	if (fd < 0 || n >= (int)sizeof(a.sun_path) ||
	    connect(fd, (const struct sockaddr *)&a, sizeof(a)) < 0) {
		int e = errno;

		if (fd >= 0)
			close(fd);
		if (!c->quiet)
			cmd_fail(CONTROL_NO_AGENT, "%s/%s: mimeo-agent cannot be reached: %s%s",
				 c->conf->run, CONTROL_SOCKET_NAME, strerror(e), advice(e));
		return -1;
	}
	if (c->quiet)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return fd;
}

static bool
send_all(int fd, const void *bytes, size_t len)
{
	const char *p = bytes;

	while (len > 0) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

static bool
read_all(int fd, void *bytes, size_t len)
{
	char *p = bytes;

	while (len > 0) {
		ssize_t n = read(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

static bool
send_words(int fd, const char *const *words, size_t n)
{
	struct buf b = {0};
	bool sent;

	buf_put_u32(&b, 0);
	for (size_t i = 0; i < n; i++)
		buf_put(&b, words[i], strlen(words[i]) + 1);
	if (b.failed || b.len - 4 > CONTROL_REQUEST_BYTES_MAX) {
		buf_free(&b);
		return false;
	}
	bytes_set_u32(b.data, (uint32_t)(b.len - 4));
	sent = send_all(fd, b.data, b.len);
	buf_free(&b);
	return sent;
}

/* Where JSON is asked for, standard output has nothing else. */
static int
finish(const struct command *c, const char *frame, size_t len)
{
	int code = len > 0 ? (uint8_t)frame[0] : CONTROL_FAILED;

	if (len > 1 && !c->quiet)
		fprintf(code == 0 && !c->json ? stdout : stderr, code == 0 ? "%s\n" : "mimeo: %s\n",
			frame + 1);
	return code;
}

/* What waits meanwhile has a turn now and then. */
static void
await(struct command *c, int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	while (c->idle != NULL && poll(&p, 1, CMD_IDLE_MS) == 0)
		c->idle(c, c->idle_arg);
}

static void
show_progress(const struct command *c, const char *frame, size_t len)
{
	struct cur at = cur_of(frame, len);
	uint64_t done = cur_u64(&at), total = cur_u64(&at);

	if (cur_done(&at))
		progress_at(c->progress, done, total);
}

static int
read_answer(struct command *c, int fd, void (*row)(void *arg, const char *json, size_t len),
	    void *arg)
{
	uint8_t head[5];

	for (await(c, fd); read_all(fd, head, sizeof(head)); await(c, fd)) {
		uint32_t len = bytes_get_u32(head + 1);
		char *frame = len <= FRAME_MAX ? malloc((size_t)len + 1) : NULL;
		int code = -1;

		if (frame == NULL || !read_all(fd, frame, len)) {
			free(frame);
			break;
		}
		frame[len] = '\0';
		if (head[0] == CONTROL_PROGRESS)
			show_progress(c, frame, len);
		else
			progress_hide(c->progress);
		if (head[0] == CONTROL_ROW)
			row(arg, frame, len);
		else if (head[0] == CONTROL_NOTE && !c->quiet)
			fprintf(stderr, "mimeo: %s\n", frame);
		else if (head[0] == CONTROL_END)
			code = finish(c, frame, len);
		free(frame);
		if (code >= 0)
			return code;
	}
	if (c->quiet)
		return CONTROL_NO_AGENT;
	return cmd_fail(CONTROL_NO_AGENT, "the agent ended before it had answered");
}

int
cmd_ask(struct command *c, const char *const *words, size_t n,
	void (*row)(void *arg, const char *json, size_t len), void *arg)
{
	int fd = connect_agent(c), code;

	if (fd < 0)
		return CONTROL_NO_AGENT;
	code = send_words(fd, words, n) ? read_answer(c, fd, row, arg)
					: cmd_fail(CONTROL_NO_AGENT, "the agent does not listen");
	close(fd);
	return code;
}
