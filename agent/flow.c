/* SPDX-License-Identifier: BSD-2-Clause */
/* A bounded buffer between two descriptors. */
#include "config.h"

#include "agent/flow.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

int
flow_init(struct flow *f)
{
	*f = (struct flow){.data = malloc(FLOW_BYTES)};
	return f->data ? 0 : -ENOMEM;
}

void
flow_fini(struct flow *f)
{
	free(f->data);
	*f = (struct flow){0};
}

size_t
flow_len(const struct flow *f)
{
	return f->tail - f->head;
}

size_t
flow_room(const struct flow *f)
{
	return FLOW_BYTES - f->tail;
}

bool
flow_done(const struct flow *f)
{
	return f->eof && f->head == f->tail;
}

void
flow_put(struct flow *f, size_t n)
{
	assert(n <= flow_room(f));
	f->tail += n;
}

void
flow_take(struct flow *f, size_t n)
{
	assert(n <= flow_len(f));
	f->head += n;
	if (f->head == f->tail)
		f->head = f->tail = 0;
}

ssize_t
flow_fill(struct flow *f, int fd)
{
	ssize_t n;

	if (f->eof || flow_room(f) == 0)
		return -EAGAIN;
	do
		n = read(fd, f->data + f->tail, flow_room(f));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (n == 0)
		f->eof = true;
	flow_put(f, (size_t)n);
	return n;
}

ssize_t
flow_drain(struct flow *f, int fd)
{
	ssize_t n;

	if (flow_len(f) == 0)
		return -EAGAIN;
	do
		n = write(fd, f->data + f->head, flow_len(f));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	flow_take(f, (size_t)n);
	return n;
}
