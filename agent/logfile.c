/* SPDX-License-Identifier: BSD-2-Clause */
/* The records in one file of the log. */
#include "config.h"

#include "agent/logfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/wal.h"

#define GENERATION_AT 24 /* in the header (proto/WAL.md) */
#define CREATED_AT 40

static ssize_t
read_at(void *arg, uint64_t off, void *buf, size_t len)
{
	const struct logfile *f = arg;
	ssize_t n;

	do
		n = pread(f->fd, buf, len, (off_t)off);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

void
logfile_init(struct logfile *f)
{
	*f = (struct logfile){.fd = -1, .ended = true};
}

int
logfile_open(struct logfile *f, const char *state, const char *name)
{
	char path[4200];
	uint8_t header[WAL_HEADER_BYTES];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", state, name);
	f->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (f->fd < 0 || fstat(f->fd, &st) < 0)
		return -errno;
	if (read_at(f, 0, header, sizeof(header)) != sizeof(header) ||
	    memcmp(header, "mimeoWAL", 8) != 0)
		return -EBADMSG;
	f->generation = bytes_get_u64(header + GENERATION_AT);
	f->created_ms = bytes_get_u64(header + CREATED_AT);
	f->at = WAL_HEADER_BYTES;
	f->ended = false;
	walscan_init(&f->scan, read_at, f);
	walscan_reset(&f->scan, (uint64_t)st.st_size);
	return 0;
}

void
logfile_close(struct logfile *f)
{
	walscan_free(&f->scan);
	buf_free(&f->one);
	if (f->fd >= 0)
		close(f->fd);
	logfile_init(f);
}

void
logfile_cut(struct logfile *f, uint64_t end)
{
	if (!f->ended && end < f->scan.end)
		walscan_reset(&f->scan, end);
}

/* 1; 0: it has no record that anybody logged, or is of a later version. */
static int
decode(const struct walframe *f, struct entry *e)
{
	uint8_t type = f->payload[0];
	int r;

	if (type != ENTRY_RECORD && type != ENTRY_KNOWN && type != ENTRY_KEPT)
		return 0;
	r = entry_decode(f->payload, f->len, e);
	if (r < 0)
		return r == -ENOMEM ? r : 0;
	if (type != ENTRY_KEPT || (e->flags & KEPT_RESCUED) == 0)
		return 1;
	entry_clear(e);
	return 0;
}

int
logfile_next(struct logfile *f, uint64_t upto, uint64_t *at, struct entry *e)
{
	struct walframe frame;
	int r = 0;

	while (r == 0 && !f->ended && f->at < upto) {
		r = walscan_frame(&f->scan, f->at, &frame);
		if (r == -EBADMSG) {
			f->ended = true;
			return 0;
		}
		if (r == 0) {
			*at = f->at;
			f->at += frame.size;
			r = decode(&frame, e);
		}
	}
	return r;
}

/* All of it, or an error. */
static int
read_all(struct logfile *f, uint64_t off, void *to, size_t len)
{
	ssize_t n = read_at(f, off, to, len);

	if (n < 0)
		return (int)n;
	return (size_t)n == len ? 0 : -EBADMSG;
}

int
logfile_entry(struct logfile *f, uint64_t at, struct entry *e)
{
	uint8_t header[WAL_ENTRY_HEADER_BYTES];
	struct walframe frame = {0};
	uint8_t *payload;
	int r = read_all(f, at, header, sizeof(header));

	if (r < 0)
		return r;
	frame.len = bytes_get_u32(header);
	buf_reset(&f->one);
	payload = frame.len > 0 && frame.len <= ENTRY_SMALL_BYTES_MAX ? buf_room(&f->one, frame.len)
								      : NULL;
	if (payload == NULL)
		return f->one.failed ? -ENOMEM : -EBADMSG;
	r = read_all(f, at + sizeof(header), payload, frame.len);
	if (r < 0)
		return r;
	frame.payload = payload;
	r = decode(&frame, e);
	return r == 0 ? -EBADMSG : r;
}
