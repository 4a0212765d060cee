/* SPDX-License-Identifier: BSD-2-Clause */
/* The log's rules over any device: what is cut, what is salvaged, who moves over, what is final. */
#include "config.h"

#include "proto/wal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/crc32c.h"
#include "proto/seeded.h"
#include "proto/walscan.h"

#define MAGIC "mimeoWAL"
#define MAGIC_BYTES 8
#define HEADER_SUM_AT 60
#define PIECE_BYTES (1u << 20) /* a new generation is written in about such pieces */
#define NOTE_BYTES 256
#define NAME_BYTES 64 /* of a file set aside */

enum held { NOT_HELD, HELD_SHARED, HELD_EXCLUSIVE };

struct header {
	uint64_t store;
	uint64_t generation;
	uint64_t snapshot_end;
	uint64_t created_ms;
	bool salvaged;
};

/* A new generation while it is written. */
struct next {
	uint64_t size;
	uint64_t entries;
	uint32_t sum;     /* of everything behind the header */
	uint64_t checked; /* read back so far */
	uint32_t back;    /* sum of that */
	struct buf piece;
};

struct wal {
	struct wal_dev dev;
	struct wal_user user;
	struct wal_info info; /* size is where the next entry is read or written */
	struct walscan scan;
	uint64_t durable; /* what of the file is known to be on the disk */
	enum held held;
	bool open;   /* wal_open has succeeded */
	bool caught; /* up, under the lock that is held */
	bool stale;  /* only wal_open helps */
	bool dead;   /* nothing helps: what is on the disk is not what was said to be there */
	bool compacting;
	struct next next; /* while compacting */
	struct header next_header;
	uint64_t next_from; /* where the live state was taken: what lies behind is copied */
};

struct wal *
wal_new(const struct wal_dev *dev, const struct wal_user *user)
{
	struct wal *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->dev = *dev;
	w->user = *user;
	walscan_init(&w->scan, dev->read_at, dev->arg);
	return w;
}

void
wal_free(struct wal *w)
{
	if (!w)
		return;
	wal_compact_abort(w);
	if (w->held != NOT_HELD)
		w->dev.unlock(w->dev.arg);
	walscan_free(&w->scan);
	free(w);
}

const struct wal_info *
wal_info(const struct wal *w)
{
	return &w->info;
}

/* Appends a word, or as much of it as there is room for. */
static size_t
add_word(char *text, size_t at, const char *word)
{
	while (*word != '\0' && at < NOTE_BYTES - 1)
		text[at++] = *word++;
	return at;
}

static size_t
add_number(char *text, size_t at, uint64_t n)
{
	char digits[21] = "";
	size_t i = sizeof(digits) - 1;

	do {
		digits[--i] = (char)('0' + n % 10);
		n /= 10;
	} while (n > 0);
	return add_word(text, at, digits + i);
}

/* Tells the owner: `form` with each $ replaced by the word and each # by the next number. */
static void
note(struct wal *w, const char *event, const char *form, const char *word, uint64_t a, uint64_t b)
{
	char text[NOTE_BYTES];
	size_t at = 0;

	for (; *form != '\0' && at < NOTE_BYTES - 1; form++) {
		if (*form == '$') {
			at = add_word(text, at, word);
		} else if (*form == '#') {
			at = add_number(text, at, a);
			a = b;
		} else {
			text[at++] = *form;
		}
	}
	text[at] = '\0';
	w->user.note(w->user.arg, event, text);
}

/* ---- the lock ---- */

int
wal_lock(struct wal *w, bool exclusive, bool wait)
{
	int rc;

	assert(w->held == NOT_HELD);
	if (w->dead)
		return -EIO;
	rc = w->dev.lock(w->dev.arg, exclusive, wait);
	if (rc == 0)
		w->held = exclusive ? HELD_EXCLUSIVE : HELD_SHARED;
	return rc;
}

void
wal_unlock(struct wal *w)
{
	assert(w->held != NOT_HELD);
	assert(w->dead || !w->caught || w->durable == w->info.size);
	w->caught = false;
	w->held = NOT_HELD;
	w->dev.unlock(w->dev.arg);
}

/* ---- the header ---- */

static void
header_encode(uint8_t p[WAL_HEADER_BYTES], const struct header *h)
{
	memset(p, 0, WAL_HEADER_BYTES);
	memcpy(p, MAGIC, MAGIC_BYTES);
	bytes_set_u32(p + 8, WAL_VERSION);
	bytes_set_u64(p + 16, h->store);
	bytes_set_u64(p + 24, h->generation);
	bytes_set_u64(p + 32, h->snapshot_end);
	bytes_set_u64(p + 40, h->created_ms);
	bytes_set_u32(p + 48, h->salvaged);
	bytes_set_u32(p + HEADER_SUM_AT, crc32c(0, p, HEADER_SUM_AT));
}

/* NULL, or why this version cannot read what begins like this. */
static const char *
header_decode(const uint8_t p[WAL_HEADER_BYTES], struct header *h)
{
	if (memcmp(p, MAGIC, MAGIC_BYTES) != 0)
		return "it does not begin like a WAL";
	if (bytes_get_u32(p + HEADER_SUM_AT) != crc32c(0, p, HEADER_SUM_AT))
		return "its header is damaged";
	if (bytes_get_u32(p + 8) != WAL_VERSION)
		return "it is of another format version";
	if (bytes_get_u32(p + 12) != 0 || bytes_get_u32(p + 48) > 1 || bytes_get_u64(p + 52) != 0)
		return "it uses features of a later version";
	*h = (struct header){
		.store = bytes_get_u64(p + 16),
		.generation = bytes_get_u64(p + 24),
		.snapshot_end = bytes_get_u64(p + 32),
		.created_ms = bytes_get_u64(p + 40),
		.salvaged = bytes_get_u32(p + 48) != 0,
	};
	return h->snapshot_end < WAL_HEADER_BYTES ? "its header makes no sense" : NULL;
}

static int
header_read(struct wal *w, struct header *h)
{
	uint8_t p[WAL_HEADER_BYTES];
	const char *problem = "it is shorter than a header";
	size_t have = 0;

	while (have < sizeof(p)) {
		ssize_t n = w->dev.read_at(w->dev.arg, have, p + have, sizeof(p) - have);

		if (n < 0)
			return (int)n;
		if (n == 0)
			break;
		have += (size_t)n;
	}
	if (have == sizeof(p))
		problem = header_decode(p, h);
	if (!problem)
		return 0;
	note(w, "wal.refused", "the WAL cannot be used: $", problem, 0, 0);
	return -EPROTO;
}

static void
header_take(struct wal *w, const struct header *h, uint64_t at)
{
	w->info.store = h->store;
	w->info.generation = h->generation;
	w->info.snapshot_end = h->snapshot_end;
	w->info.salvaged = h->salvaged;
	w->info.size = at;
}

/* ---- reading ---- */

static int
refuse_entry(struct wal *w, uint64_t off, uint8_t type)
{
	note(w, "wal.refused",
	     "the WAL cannot be used: this version cannot read the entry of type # at byte #", "",
	     type, off);
	return -EPROTO;
}

/* Decodes a payload whose checksum is right and hands it to the owner. */
static int
fold(struct wal *w, const uint8_t *payload, size_t len)
{
	struct entry e;
	int rc = entry_decode(payload, len, &e);

	if (rc < 0)
		return rc;
	rc = w->user.fold(w->user.arg, &e);
	entry_clear(&e);
	if (rc < 0)
		w->dead = true;
	else
		w->info.entries++;
	return rc;
}

/*
 * The frame at off, if it is one. The snapshot ends between two entries: one across that place is
 * as bad as none.
 */
static int
frame_at(struct wal *w, uint64_t off, struct walframe *f)
{
	int rc = walscan_frame(&w->scan, off, f);

	if (rc == 0 && off < w->info.snapshot_end && f->size > w->info.snapshot_end - off)
		rc = -EBADMSG;
	return rc;
}

/* Folds from where reading stopped to the end that the scan was given. -EBADMSG at a bad entry. */
static int
fold_on(struct wal *w)
{
	while (w->info.size < w->scan.end) {
		struct walframe f;
		int rc = frame_at(w, w->info.size, &f);

		if (rc < 0)
			return rc;
		rc = fold(w, f.payload, f.len);
		if (rc == -EPROTO)
			return refuse_entry(w, w->info.size, f.payload[0]);
		if (rc < 0)
			return rc;
		w->info.size += f.size;
	}
	return 0;
}

/* Goes over the frames from *at on without decoding; *at is where it stopped. */
static int
check_on(struct wal *w, uint64_t *at)
{
	while (*at < w->scan.end) {
		struct walframe f;
		int rc = frame_at(w, *at, &f);

		if (rc < 0)
			return rc;
		*at += f.size;
	}
	return 0;
}

enum verdict { TORN, DAMAGED };

/*
 * What a bad entry at `at` is. Each batch is durable before the next one is written, and a snapshot
 * before it gets its name: so behind an entry of a batch that never became durable no later batch
 * is found, and it does not lie in a snapshot. (Of its own batch a later page may be there: that is
 * taken for damage.) When the search could not look at everything, nothing is cut.
 */
static int
judge(struct wal *w, uint64_t at, enum verdict *v)
{
	uint64_t found;
	int rc;

	*v = SEEDED(damage_cut) ? TORN : DAMAGED;
	if (SEEDED(damage_cut) || at < w->info.snapshot_end)
		return 0;
	rc = walscan_find(&w->scan, at + 1, &found);
	if (rc == 0)
		*v = TORN;
	return rc < 0 && rc != -E2BIG ? rc : 0;
}

/* The file ends where reading stopped. Done before anything is appended, so that no bytes get
 * between. */
static int
cut(struct wal *w, uint64_t size)
{
	uint64_t at = w->info.size;
	int rc = w->dev.truncate(w->dev.arg, at);

	if (rc < 0) {
		w->dead = true;
		return rc;
	}
	walscan_reset(&w->scan, at);
	note(w, "wal.torn", "# bytes of an append that was not finished were cut at byte #", "",
	     size - at, at);
	return 0;
}

/* Folds what the open file has since; a torn tail is cut, or under the shared lock left alone. */
static int
follow(struct wal *w)
{
	enum verdict v;
	uint64_t size;
	int rc = w->dev.size(w->dev.arg, &size);

	if (rc < 0)
		return rc;
	if (size < w->info.size) {
		note(w, "wal.damaged", "the WAL has become shorter: # bytes, # were read", "", size,
		     w->info.size);
		return -EIO;
	}
	if (size == w->info.size)
		return 0;
	walscan_reset(&w->scan, size);
	rc = fold_on(w);
	if (rc != -EBADMSG)
		return rc;
	rc = judge(w, w->info.size, &v);
	if (rc < 0)
		return rc;
	if (v == TORN)
		return w->held == HELD_EXCLUSIVE ? cut(w, size) : 0;
	note(w, "wal.damaged", "the WAL is damaged at byte #; it is salvaged at the next start", "",
	     w->info.size, 0);
	return -EIO;
}

/* The open file is no longer the one with the name: reads it to its end, then goes to the new. */
static int
move_over(struct wal *w)
{
	struct header h;
	uint64_t size;
	int rc;

	w->stale = true; /* until it has worked out */
	rc = w->dev.size(w->dev.arg, &size);
	if (rc < 0)
		return rc;
	if (size < w->info.size)
		return -ESTALE;
	walscan_reset(&w->scan, size);
	rc = fold_on(w);
	if (rc < 0)
		return rc == -EBADMSG ? -ESTALE : rc;
	rc = w->dev.open_current(w->dev.arg);
	if (rc == 0)
		rc = header_read(w, &h);
	if (rc < 0)
		return rc;
	if (h.store != w->info.store || h.generation != w->info.generation + 1 || h.salvaged)
		return -ESTALE;
	header_take(w, &h, h.snapshot_end);
	w->stale = false;
	return 0;
}

int
wal_catchup(struct wal *w)
{
	int rc = 0;

	assert(w->held != NOT_HELD && w->open);
	if (w->dead)
		return -EIO;
	if (w->stale)
		return -ESTALE;
	/* What was appended under this lock and is not synced yet is not the disk's. */
	if (w->caught)
		return 0;
	rc = SEEDED(old_generation) ? 1 : w->dev.is_current(w->dev.arg);
	if (rc == 0)
		rc = move_over(w);
	if (rc >= 0)
		rc = follow(w);
	if (rc < 0)
		return rc;
	w->durable = w->info.size;
	w->caught = true;
	return 0;
}

/* ---- appending ---- */

void
wal_put(struct buf *batch, const struct entry *e)
{
	size_t begin = walscan_begin(batch);

	entry_encode(batch, e);
	if (!batch->failed && batch->len - begin - WAL_ENTRY_HEADER_BYTES > ENTRY_BYTES_MAX)
		batch->failed = true;
	if (batch->failed)
		batch->len = begin;
	else
		walscan_end(batch, begin);
}

/*
 * Calls `each` for every payload of a batch. The frames are our own work: that they fill the batch
 * is asserted.
 */
static int
each_payload(struct wal *w, const struct buf *batch,
	     int (*each)(struct wal *w, const uint8_t *payload, size_t len))
{
	size_t at = 0;

	while (at < batch->len) {
		size_t len;
		int rc;

		assert(batch->len - at > WAL_ENTRY_HEADER_BYTES);
		len = bytes_get_u32(batch->data + at);
		at += WAL_ENTRY_HEADER_BYTES;
		assert(len >= 1 && len <= batch->len - at);
		rc = each(w, batch->data + at, len);
		if (rc < 0)
			return rc;
		at += len;
	}
	return 0;
}

/* What could not be read back must not be written: every later start would refuse the file. */
static int
check_payload(struct wal *w, const uint8_t *payload, size_t len)
{
	struct entry e;
	int rc = entry_decode(payload, len, &e);

	entry_clear(&e);
	if (rc != -EPROTO)
		return rc;
	note(w, "wal.refused", "an entry of type $ that nobody could read was not written",
	     entry_type_name(payload[0]), 0, 0);
	return -EINVAL;
}

/* Takes back what an append may have left behind the end. */
static void
take_back(struct wal *w)
{
	if (w->dev.truncate(w->dev.arg, w->info.size) < 0)
		w->dead = true;
}

int
wal_append(struct wal *w, const struct buf *batch)
{
	uint64_t at = w->info.size;
	int rc;

	assert(w->dead || (w->held == HELD_EXCLUSIVE && w->caught));
	if (w->dead)
		return -EIO;
	if (batch->failed)
		return -ENOMEM;
	if (batch->len == 0)
		return 0;
	rc = each_payload(w, batch, check_payload);
	if (rc < 0)
		return rc;
	rc = w->dev.write_at(w->dev.arg, at, batch->data, batch->len);
	if (rc == 0)
		rc = each_payload(w, batch, fold);
	if (rc < 0) {
		take_back(w);
		return rc;
	}
	w->info.size = at + batch->len;
	return 0;
}

int
wal_sync(struct wal *w)
{
	int rc;

	assert(w->held != NOT_HELD);
	if (w->dead)
		return -EIO;
	rc = w->dev.sync(w->dev.arg);
	if (rc == 0) {
		w->durable = w->info.size;
		return 0;
	}
	w->dead = true;
	/* Others must not take for durable what they would find there once the lock is gone. */
	if (w->held == HELD_EXCLUSIVE && w->caught)
		(void)w->dev.truncate(w->dev.arg, w->durable);
	return rc;
}

/* ---- a new generation ---- */

static int
next_begin(struct wal *w, struct next *n)
{
	*n = (struct next){.size = WAL_HEADER_BYTES, .checked = WAL_HEADER_BYTES};
	return w->dev.next_create(w->dev.arg);
}

/* Writes the piece out and forgets it. */
static int
next_flush(struct wal *w, struct next *n)
{
	int rc;

	if (n->piece.failed)
		return -ENOMEM;
	if (n->piece.len == 0)
		return 0;
	rc = w->dev.next_write(w->dev.arg, n->size, n->piece.data, n->piece.len);
	if (rc < 0)
		return rc;
	n->sum = crc32c(n->sum, n->piece.data, n->piece.len);
	n->size += n->piece.len;
	buf_reset(&n->piece);
	return 0;
}

/* Does every entry that was added to the new file decode, and is it what was written? */
static int
next_check(struct wal *w, struct next *n)
{
	struct walscan s;
	int rc = 0;

	walscan_init(&s, w->dev.next_read, w->dev.arg);
	walscan_reset(&s, n->size);
	while (n->checked < n->size && rc == 0) {
		struct walframe f;
		struct entry e;

		rc = walscan_frame(&s, n->checked, &f);
		if (rc < 0)
			break;
		rc = entry_decode(f.payload, f.len, &e);
		entry_clear(&e);
		n->back = crc32c(n->back, f.bytes, f.size);
		n->checked += f.size;
	}
	walscan_free(&s);
	if (rc == 0 && n->back == n->sum)
		return 0;
	return rc == 0 || rc == -EBADMSG || rc == -EPROTO ? -EIO : rc;
}

static int
next_header(struct wal *w, const struct header *h)
{
	uint8_t p[WAL_HEADER_BYTES], back[WAL_HEADER_BYTES];
	ssize_t n;
	int rc;

	header_encode(p, h);
	rc = w->dev.next_write(w->dev.arg, 0, p, sizeof(p));
	if (rc < 0)
		return rc;
	n = w->dev.next_read(w->dev.arg, 0, back, sizeof(back));
	if (n < 0)
		return (int)n;
	return (size_t)n == sizeof(p) && memcmp(p, back, sizeof(p)) == 0 ? 0 : -EIO;
}

/*
 * Writes the header, reads everything back and gives the file its name. When that fails half-way,
 * so that the name is the new file's but perhaps not on the disk, nobody may append to either.
 */
static int
next_finish(struct wal *w, struct next *n, struct header *h)
{
	int rc = next_flush(w, n);

	h->snapshot_end = n->size;
	if (rc == 0)
		rc = next_header(w, h);
	if (rc == 0)
		rc = next_check(w, n);
	if (rc == 0 && h->salvaged) {
		char name[NAME_BYTES] = "";

		rc = w->dev.set_aside(w->dev.arg, name, sizeof(name));
		if (rc == 0)
			note(w, "wal.damaged", "the damaged WAL is kept as $", name, 0, 0);
	}
	if (rc < 0)
		return rc;
	rc = w->dev.next_publish(w->dev.arg);
	if (rc < 0 && h->generation > 1 && w->dev.is_current(w->dev.arg) != 1)
		w->dead = true;
	return rc;
}

/* The end of it, whichever way it went. */
static void
next_end(struct wal *w, struct next *n, int rc)
{
	buf_free(&n->piece);
	if (rc < 0)
		w->dev.next_abort(w->dev.arg);
}

int
wal_create(struct wal *w, uint64_t store, uint64_t wall_ms)
{
	struct header h = {.store = store, .generation = 1, .created_ms = wall_ms};
	struct next n = {0};
	int rc = wal_lock(w, true, true);

	if (rc < 0)
		return rc;
	rc = w->dev.open_current(w->dev.arg);
	if (rc != -ENOENT) {
		rc = rc == 0 ? -EEXIST : rc;
		goto out;
	}
	rc = next_begin(w, &n);
	if (rc == 0)
		rc = next_finish(w, &n, &h);
	next_end(w, &n, rc);
out:
	wal_unlock(w);
	return rc;
}

/* ---- compaction ---- */

void
wal_compact_abort(struct wal *w)
{
	if (!w->compacting)
		return;
	next_end(w, &w->next, -ECANCELED);
	w->compacting = false;
}

/* Ends it on an error. */
static int
compact_step(struct wal *w, int rc)
{
	if (rc < 0)
		wal_compact_abort(w);
	return rc;
}

int
wal_compact_begin(struct wal *w, uint64_t wall_ms)
{
	assert(!w->compacting && (w->dead || w->durable == w->info.size));
	if (w->dead || w->stale || !w->open)
		return -EIO;
	w->next_header = (struct header){
		.store = w->info.store,
		.generation = w->info.generation + 1,
		.created_ms = wall_ms,
	};
	w->next_from = w->info.size;
	w->compacting = true;
	return compact_step(w, next_begin(w, &w->next));
}

int
wal_compact_put(struct wal *w, struct buf *piece)
{
	struct buf mine = w->next.piece;
	int rc;

	if (!w->compacting)
		return -ECANCELED;
	w->next.piece = *piece;
	rc = next_flush(w, &w->next);
	*piece = w->next.piece;
	w->next.piece = mine;
	return compact_step(w, rc);
}

int
wal_compact_check(struct wal *w)
{
	return w->compacting ? compact_step(w, next_check(w, &w->next)) : -ECANCELED;
}

/* Copies what was appended since the live state was taken. */
static int
compact_tail(struct wal *w)
{
	uint64_t at = SEEDED(tail_not_copied) ? w->info.size : w->next_from;
	int rc = 0;

	while (at < w->info.size && rc == 0) {
		struct walframe f;

		rc = walscan_frame(&w->scan, at, &f);
		if (rc < 0)
			return rc == -EBADMSG ? -EIO : rc;
		buf_put(&w->next.piece, f.bytes, f.size);
		at += f.size;
		if (w->next.piece.len >= PIECE_BYTES || w->next.piece.failed)
			rc = next_flush(w, &w->next);
	}
	return rc;
}

int
wal_compact_finish(struct wal *w)
{
	struct header *h = &w->next_header;
	int rc;

	assert(w->dead || !w->compacting || (w->held == HELD_EXCLUSIVE && w->caught));
	if (!w->compacting)
		return -ECANCELED;
	if (w->dead || w->info.generation + 1 != h->generation)
		return compact_step(w, w->dead ? -EIO : -ESTALE);
	rc = compact_tail(w);
	if (rc == 0)
		rc = next_finish(w, &w->next, h);
	if (rc < 0)
		return compact_step(w, rc);
	next_end(w, &w->next, 0);
	w->compacting = false;
	header_take(w, h, h->snapshot_end);
	w->durable = h->snapshot_end;
	walscan_reset(&w->scan, h->snapshot_end);
	return 0;
}

int
wal_compact(struct wal *w, uint64_t wall_ms, int (*snapshot)(void *arg, struct buf *out), void *arg)
{
	struct buf piece = {0};
	int rc;

	assert(w->dead || (w->held == HELD_EXCLUSIVE && w->caught));
	rc = wal_compact_begin(w, wall_ms);
	while (rc == 0) {
		rc = compact_step(w, snapshot(arg, &piece));
		if (rc < 0 || (piece.len == 0 && !piece.failed))
			break;
		rc = wal_compact_put(w, &piece);
	}
	buf_free(&piece);
	return rc < 0 ? rc : wal_compact_finish(w);
}

/* ---- opening and salvage ---- */

/*
 * Copies one valid frame into the new generation. What vouches for dots whose records may be among
 * the lost ones stays behind: only then do the others send those records again.
 */
static int
salvage_frame(struct wal *w, struct next *n, uint64_t at, const struct walframe *f)
{
	uint8_t type = f->payload[0];
	struct entry e;
	int rc = entry_decode(f->payload, f->len, &e);

	entry_clear(&e);
	if (rc < 0)
		return rc == -EPROTO ? refuse_entry(w, at, type) : rc;
	if (type == ENTRY_VECTOR || type == ENTRY_FLOOR)
		return 0;
	buf_put(&n->piece, f->bytes, f->size);
	n->entries++;
	return n->piece.len >= PIECE_BYTES || n->piece.failed ? next_flush(w, n) : 0;
}

/* Copies all valid frames; *lost is how many bytes belonged to none. */
static int
salvage_frames(struct wal *w, struct next *n, uint64_t *lost)
{
	uint64_t at = WAL_HEADER_BYTES;

	*lost = 0;
	while (at < w->scan.end) {
		struct walframe f;
		uint64_t found = w->scan.end;
		int rc = walscan_frame(&w->scan, at, &f);

		if (rc == 0) {
			rc = salvage_frame(w, n, at, &f);
			at += f.size;
		} else if (rc == -EBADMSG) {
			rc = walscan_find(&w->scan, at + 1, &found);
			rc = rc == 1 || rc == -E2BIG ? 0 : rc;
			*lost += found - at;
			at = found;
		}
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int
salvage(struct wal *w, struct header *h)
{
	struct next n;
	uint64_t lost;
	int rc;

	h->generation++;
	h->salvaged = true;
	rc = next_begin(w, &n);
	if (rc == 0)
		rc = salvage_frames(w, &n, &lost);
	if (rc == 0)
		rc = next_finish(w, &n, h);
	if (rc == 0)
		note(w, "wal.damaged", "# entries were saved, # bytes are lost", "", n.entries,
		     lost);
	next_end(w, &n, rc);
	return rc;
}

/*
 * Looks at the open file from end to end, before anything of it is folded, and salvages what is
 * damaged. The scan then ends where sound entries do; *size is where the file does.
 */
static int
repair(struct wal *w, struct header *h, uint64_t *size)
{
	uint64_t at = WAL_HEADER_BYTES;
	enum verdict v = DAMAGED;
	int rc = w->dev.size(w->dev.arg, size);

	if (rc < 0)
		return rc;
	walscan_reset(&w->scan, *size);
	rc = check_on(w, &at);
	if (rc == 0 && at >= h->snapshot_end)
		return 0;
	if (rc == -EBADMSG)
		rc = judge(w, at, &v);
	if (rc < 0)
		return rc;
	if (v == DAMAGED) {
		note(w, "wal.damaged", "the WAL is damaged at byte #", "", at, 0);
		rc = salvage(w, h);
		*size = at = h->snapshot_end;
	}
	walscan_reset(&w->scan, at);
	return rc;
}

static int
open_locked(struct wal *w)
{
	struct header h;
	uint64_t size;
	int rc = w->dev.open_current(w->dev.arg);

	if (rc == 0)
		rc = header_read(w, &h);
	if (rc < 0)
		return rc;
	w->info = (struct wal_info){0};
	header_take(w, &h, WAL_HEADER_BYTES);
	rc = repair(w, &h, &size);
	if (rc < 0)
		return rc;
	header_take(w, &h, WAL_HEADER_BYTES);
	rc = fold_on(w);
	/* It was sound a moment ago: then the disk does not give twice what it has. */
	if (rc == -EBADMSG)
		return -EIO;
	/* A torn tail goes last: a file that is refused stays as it is. */
	return rc == 0 && size > w->info.size ? cut(w, size) : rc;
}

int
wal_open(struct wal *w)
{
	int rc = wal_lock(w, true, true);

	if (rc < 0)
		return rc;
	w->open = false;
	w->stale = false;
	rc = open_locked(w);
	w->open = rc == 0;
	wal_unlock(w);
	return rc;
}
