/* SPDX-License-Identifier: BSD-2-Clause */
/* Frames: a window over the file, the checksum, and the search behind damage. */
#include "config.h"

#include "proto/walscan.h"

#include <assert.h>
#include <errno.h>

#include "proto/crc32c.h"
#include "proto/entry.h"
#include "proto/seeded.h"
#include "proto/wal.h"

#define WINDOW_KEEP_BYTES (4 * WALSCAN_CHUNK_BYTES) /* a larger window is given back */

void
walscan_init(struct walscan *s, ssize_t (*read_at)(void *, uint64_t, void *, size_t), void *arg)
{
	*s = (struct walscan){.read_at = read_at, .arg = arg};
}

void
walscan_free(struct walscan *s)
{
	buf_free(&s->window);
}

void
walscan_reset(struct walscan *s, uint64_t end)
{
	if (s->window.cap > WINDOW_KEEP_BYTES)
		buf_free(&s->window);
	buf_reset(&s->window);
	s->base = 0;
	s->end = end;
}

/* Bytes from off on that are in the window already. */
static size_t
overlap(const struct walscan *s, uint64_t off)
{
	if (off < s->base || off - s->base >= s->window.len)
		return 0;
	return s->window.len - (size_t)(off - s->base);
}

/*
 * How far to read for len bytes. Half as much again, so that a search through long candidates
 * moves the window's bytes a bounded number of times each.
 */
static size_t
ahead(const struct walscan *s, uint64_t off, size_t len)
{
	uint64_t want = len + len / 2;

	if (want < WALSCAN_CHUNK_BYTES)
		want = WALSCAN_CHUNK_BYTES;
	return (size_t)(want < s->end - off ? want : s->end - off);
}

/* Moves the window so that it begins at off and holds at least len bytes. */
static int
fill(struct walscan *s, uint64_t off, size_t len)
{
	struct buf *w = &s->window;
	size_t have = overlap(s, off), want = ahead(s, off, len);

	if (have > 0)
		buf_consume(w, w->len - have);
	else
		w->len = 0;
	s->base = off;
	if (!buf_room(w, want - w->len)) {
		buf_reset(w);
		return -ENOMEM;
	}
	while (w->len < want) {
		ssize_t n = s->read_at(s->arg, off + w->len, w->data + w->len, want - w->len);

		if (n < 0)
			return (int)n;
		if (n == 0)
			break;
		w->len += (size_t)n;
	}
	return w->len < len ? -EIO : 0;
}

int
walscan_bytes(struct walscan *s, uint64_t off, size_t len, const uint8_t **out)
{
	assert(off <= s->end && len <= s->end - off);
	if (overlap(s, off) < len) {
		int rc = fill(s, off, len);

		if (rc < 0)
			return rc;
	}
	*out = s->window.data + (size_t)(off - s->base);
	return 0;
}

/* Is a payload of that length possible at off: not empty, within the limit and the file. */
static bool
length_possible(const struct walscan *s, uint64_t off, size_t len)
{
	return len >= 1 && len <= ENTRY_BYTES_MAX && len <= s->end - off - WAL_ENTRY_HEADER_BYTES;
}

/* Length and type of what could be a frame at off; 0 length if it cannot. */
static int
peek(struct walscan *s, uint64_t off, size_t *len, uint8_t *type)
{
	const uint8_t *p;
	int rc;

	*len = 0;
	if (off >= s->end || s->end - off <= WAL_ENTRY_HEADER_BYTES)
		return 0;
	rc = walscan_bytes(s, off, WAL_ENTRY_HEADER_BYTES + 1, &p);
	if (rc < 0)
		return rc;
	*type = p[WAL_ENTRY_HEADER_BYTES];
	*len = bytes_get_u32(p);
	if (!length_possible(s, off, *len))
		*len = 0;
	return 0;
}

static uint32_t
checksum(const uint8_t *frame, size_t len)
{
	return crc32c(crc32c(0, frame, 4), frame + WAL_ENTRY_HEADER_BYTES, len);
}

/* Reads the whole frame, whose payload has that length. */
static int
take(struct walscan *s, uint64_t off, size_t len, struct walframe *f)
{
	const uint8_t *p;
	int rc = walscan_bytes(s, off, WAL_ENTRY_HEADER_BYTES + len, &p);

	if (rc == 0)
		*f = (struct walframe){p, WAL_ENTRY_HEADER_BYTES + len, p + WAL_ENTRY_HEADER_BYTES,
				       len};
	return rc;
}

static bool
sound(const struct walframe *f)
{
	return SEEDED(sum_unchecked) || bytes_get_u32(f->bytes + 4) == checksum(f->bytes, f->len);
}

int
walscan_frame(struct walscan *s, uint64_t off, struct walframe *f)
{
	uint8_t type;
	size_t len;
	int rc = peek(s, off, &len, &type);

	if (rc < 0)
		return rc;
	if (len == 0)
		return -EBADMSG;
	rc = take(s, off, len, f);
	if (rc < 0)
		return rc;
	return sound(f) ? 0 : -EBADMSG;
}

/* Does a payload of a known type decode? Says no to noise within a few fields. */
static int
decodes(const struct walframe *f)
{
	struct entry e;
	int rc = entry_decode(f->payload, f->len, &e);

	entry_clear(&e);
	return rc == -EPROTO ? 0 : rc < 0 ? rc : 1;
}

/*
 * Is there a frame at off: 1, 0, or an error. *left is how many bytes of unknown types may still
 * be summed; -E2BIG when that is not enough for this one.
 */
static int
candidate(struct walscan *s, uint64_t off, uint64_t *left)
{
	struct walframe f;
	uint8_t type;
	size_t len;
	bool known;
	int rc = peek(s, off, &len, &type);

	if (rc < 0 || len == 0 || !entry_length_ok(type, len))
		return rc;
	known = type <= ENTRY_TYPE_MAX;
	if (!known && len > *left)
		return -E2BIG;
	*left -= known ? 0 : len;
	rc = take(s, off, len, &f);
	if (rc == 0 && known)
		rc = decodes(&f);
	else if (rc == 0)
		rc = 1;
	return rc == 1 ? sound(&f) : rc;
}

int
walscan_find(struct walscan *s, uint64_t from, uint64_t *at)
{
	uint64_t left = WALSCAN_SEARCH_BYTES_MAX;
	int none = 0;

	for (uint64_t off = from; off < s->end; off++) {
		int rc = candidate(s, off, &left);

		if (rc == -E2BIG) {
			none = rc;
			continue;
		}
		if (rc == 0)
			continue;
		*at = off;
		return rc;
	}
	return none;
}

size_t
walscan_begin(struct buf *b)
{
	size_t begin = b->len;

	buf_put_u64(b, 0);
	return begin;
}

void
walscan_end(struct buf *b, size_t begin)
{
	uint8_t *frame;
	size_t len;

	if (b->failed)
		return;
	frame = b->data + begin;
	len = b->len - begin - WAL_ENTRY_HEADER_BYTES;
	bytes_set_u32(frame, (uint32_t)len);
	bytes_set_u32(frame + 4, checksum(frame, len));
}
