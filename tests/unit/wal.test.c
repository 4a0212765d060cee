/* SPDX-License-Identifier: BSD-2-Clause */
/* The log over a disk that tears, flips bytes, fails, stops dead and is shared by two processes. */
#include "config.h"

#include "proto/wal.h"

#include <assert.h>

#include "proto/crc32c.h"
#include "tests/memwal.h"
#include "tests/tap.h"

#define STORE 0x1122334455667788u
#define SEEN_MAX 4096

/* One process: its device, its log, and what was folded: an id for each entry. */
struct proc {
	struct memdev dev;
	struct wal *wal;
	uint64_t seen[SEEN_MAX];
	size_t n;
	int fold_error;
	unsigned torn, damaged, refused; /* notes */
};

/* ---- entries that carry an id ---- */

/*
 * Entry number `id`, of the type and size that go with it. All ids that are 9 modulo 10 are
 * vectors, which a salvage leaves out.
 */
static void
put(struct buf *b, uint64_t id)
{
	static const uint8_t filler[200] = {0x5a, 0, 0, 0, 0x31, 0x32, 0, 0, 0, 9};
	struct entry e = {.type = ENTRY_BARRIER, .num = id};
	struct record r = {
		.dot = {7, id + 1},
		.kind = KIND_FILE,
		.op = OP_ADD,
		.mode = 0644,
		.path = (const uint8_t *)"a/file",
		.path_len = 6,
	};

	switch (id % 10) {
	case 1:
	case 2:
		e = (struct entry){.type = ENTRY_KNOWN, .rec = r};
		break;
	case 3:
		e = (struct entry){.type = ENTRY_PURGED, .dot = {1, id + 1}};
		break;
	case 4:
		e.type = ENTRY_ANSWER;
		e.blob = filler;
		e.blob_len = id % sizeof(filler);
		break;
	case 9:
		e.type = ENTRY_VECTOR;
		if (dotset_add(&e.set, (struct dot){1, id + 1}) < 0)
			abort();
		break;
	}
	wal_put(b, &e);
	entry_clear(&e);
}

static uint64_t
id_of(const struct entry *e)
{
	switch ((enum entry_type)e->type) {
	case ENTRY_KNOWN:
		return e->rec.dot.seq - 1;
	case ENTRY_PURGED:
		return e->dot.seq - 1;
	case ENTRY_VECTOR:
		return dotset_max(&e->set, 1) - 1;
	default:
		return e->num;
	}
}

static bool
is_vector(uint64_t id)
{
	return id % 10 == 9;
}

static struct buf
batch_of(uint64_t from, uint64_t to)
{
	struct buf b = {0};

	for (uint64_t id = from; id <= to; id++)
		put(&b, id);
	assert(!b.failed);
	return b;
}

/* ---- processes ---- */

static int
fold(void *arg, const struct entry *e)
{
	struct proc *p = arg;

	if (p->fold_error < 0)
		return p->fold_error;
	if (p->n == SEEN_MAX)
		abort();
	p->seen[p->n++] = id_of(e);
	return 0;
}

static void
note(void *arg, const char *event, const char *text)
{
	struct proc *p = arg;

	p->torn += strcmp(event, "wal.torn") == 0;
	p->damaged += strcmp(event, "wal.damaged") == 0;
	p->refused += strcmp(event, "wal.refused") == 0;
	if (strlen(text) < 10 || strpbrk(text, "#$"))
		abort();
}

static void
start(struct proc *p, struct memdisk *d)
{
	struct wal_user user = {p, fold, note};
	struct wal_dev dev;

	memset(p, 0, sizeof(*p));
	dev = mem_dev(&p->dev, d);
	p->wal = wal_new(&dev, &user);
	if (!p->wal)
		abort();
}

static void
end(struct proc *p)
{
	wal_free(p->wal);
	p->wal = NULL;
}

/* A new process that opens the log. */
static int
start_open(struct proc *p, struct memdisk *d)
{
	start(p, d);
	return wal_open(p->wal);
}

/* Is exactly from..to what it has folded, in order? */
static bool
saw(const struct proc *p, uint64_t from, uint64_t to)
{
	if (p->n != to + 1 - from)
		return false;
	for (size_t i = 0; i < p->n; i++)
		if (p->seen[i] != from + i)
			return false;
	return true;
}

/* Lock, catch up, append from..to, sync, unlock. The first error. */
static int
append(struct proc *p, uint64_t from, uint64_t to)
{
	struct buf b = batch_of(from, to);
	int rc = wal_lock(p->wal, true, true);

	if (rc < 0)
		goto out;
	rc = wal_catchup(p->wal);
	if (rc == 0)
		rc = wal_append(p->wal, &b);
	if (rc == 0)
		rc = wal_sync(p->wal);
	wal_unlock(p->wal);
out:
	buf_free(&b);
	return rc;
}

static int
catch_up(struct proc *p, bool exclusive)
{
	int rc = wal_lock(p->wal, exclusive, true);

	if (rc < 0)
		return rc;
	rc = wal_catchup(p->wal);
	wal_unlock(p->wal);
	return rc;
}

/* A disk with a log of entries 1..n, appended one by one. */
static void
disk_of(struct memdisk *d, uint64_t n)
{
	struct proc p;
	int rc;

	mem_disk_init(d);
	start(&p, d);
	rc = wal_create(p.wal, STORE, 1700000000000);
	if (rc == 0)
		rc = wal_open(p.wal);
	for (uint64_t id = 1; id <= n && rc == 0; id++)
		rc = append(&p, id, id);
	if (rc < 0 || !saw(&p, 1, n))
		abort();
	end(&p);
}

/* Where entry 1..n begin in the log of disk_of; at[n] is its end. */
static void
offsets(const struct buf *file, size_t n, size_t *at)
{
	at[0] = WAL_HEADER_BYTES;
	for (size_t i = 0; i < n; i++)
		at[i + 1] = at[i] + WAL_ENTRY_HEADER_BYTES + bytes_get_u32(file->data + at[i]);
	if (at[n] != file->len)
		abort();
}

/* A snapshot for compaction: entries from..to, in pieces. */
struct pieces {
	uint64_t next, to;
	unsigned per; /* entries in a piece, 0: 3 */
	int error;
	bool unreadable;
};

static int
snapshot(void *arg, struct buf *out)
{
	struct pieces *s = arg;

	if (s->error < 0)
		return s->error;
	for (unsigned i = 0; i < (s->per ? s->per : 3) && s->next <= s->to; i++)
		put(out, s->next++);
	if (s->unreadable) {
		s->unreadable = false;
		wal_put(out, &(struct entry){.type = ENTRY_ORIGIN, .num = 0});
	}
	return 0;
}

static int
compact(struct proc *p, uint64_t from, uint64_t to)
{
	struct pieces s = {.next = from, .to = to};
	int rc = wal_lock(p->wal, true, true);

	if (rc < 0)
		return rc;
	rc = wal_catchup(p->wal);
	if (rc == 0)
		rc = wal_compact(p->wal, 1700000001000, snapshot, &s);
	wal_unlock(p->wal);
	return rc;
}

/* ---- the format ---- */

/* The worked example of proto/WAL.md, byte for byte. */
static const uint8_t example[] = {
	0x6d, 0x69, 0x6d, 0x65, 0x6f, 0x57, 0x41, 0x4c, /* magic */
	0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* version, features */
	0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, /* store */
	0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* generation */
	0x40, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* snapshot end */
	0x00, 0x68, 0xe5, 0xcf, 0x8b, 0x01, 0x00, 0x00, /* created */
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* salvaged, reserved */
	0x00, 0x00, 0x00, 0x00, 0x15, 0xdf, 0x2b, 0x47, /* reserved, checksum */
	0x09, 0x00, 0x00, 0x00, 0xd7, 0x3d, 0xf8, 0xec, /* length 9, checksum */
	0x0e, 0x05, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* BARRIER */
	0x00,                                           /* of 5 */
	0x0a, 0x00, 0x00, 0x00, 0xa9, 0x90, 0x7d, 0x67, /* length 10, checksum */
	0x07, 0x07, 0x00, 0x61, 0x2f, 0x62, 0x2e, 0x6a, /* DROPPED, 7 bytes: a/b.j */
	0x70, 0x67,                                     /* pg */
};

static void
test_example(void)
{
	struct memdisk d;
	struct proc p;
	struct buf b = {0};
	int rc;

	mem_disk_init(&d);
	start(&p, &d);
	is_int(wal_open(p.wal), -ENOENT, "there is none");
	is_int(wal_create(p.wal, STORE, 1700000000000), 0, "created");
	is_int(wal_create(p.wal, STORE, 1), -EEXIST, "only once");
	is_int(wal_open(p.wal), 0, "opened");
	ok(p.n == 0 && p.torn + p.damaged + p.refused == 0, "empty, and nothing to say");
	wal_put(&b, &(struct entry){.type = ENTRY_BARRIER, .num = 5});
	wal_put(&b, &(struct entry){.type = ENTRY_DROPPED,
				    .path = (const uint8_t *)"a/b.jpg",
				    .path_len = 7});
	rc = wal_lock(p.wal, true, true);
	if (rc == 0)
		rc = wal_catchup(p.wal);
	if (rc == 0)
		rc = wal_append(p.wal, &b);
	if (rc == 0)
		rc = wal_sync(p.wal);
	is_int(rc, 0, "two entries");
	wal_unlock(p.wal);
	is_int(mem_wal(&d)->len, sizeof(example), "the length");
	ok(mem_wal(&d)->len == sizeof(example) &&
		   memcmp(mem_wal(&d)->data, example, sizeof(example)) == 0,
	   "the bytes");
	is_int(wal_info(p.wal)->store, STORE, "the store");
	ok(wal_info(p.wal)->generation == 1 && wal_info(p.wal)->snapshot_end == WAL_HEADER_BYTES &&
		   wal_info(p.wal)->size == sizeof(example) && wal_info(p.wal)->entries == 2,
	   "the rest of the info");
	end(&p);
	buf_free(&b);
	mem_disk_free(&d);
}

/* The log with its header changed at one place, and the checksum made right again. */
static int
open_with_header(size_t at, uint8_t byte, bool fix)
{
	struct memdisk d;
	struct proc p;
	struct buf *file;
	struct buf before = {0};
	int rc;

	disk_of(&d, 3);
	file = mem_wal(&d);
	file->data[at] = byte;
	if (fix)
		bytes_set_u32(file->data + 60, crc32c(0, file->data, 60));
	mem_set(&before, file->data, file->len);
	rc = start_open(&p, &d);
	if (rc == -EPROTO && (p.refused != 1 || p.n != 0 || mem_wal(&d)->len != before.len ||
			      memcmp(mem_wal(&d)->data, before.data, before.len) != 0))
		rc = -EBADE;
	end(&p);
	buf_free(&before);
	mem_disk_free(&d);
	return rc;
}

static void
test_header(void)
{
	struct memdisk d;
	struct proc p;
	bool refused = true;

	for (size_t at = 0; at < WAL_HEADER_BYTES; at++)
		for (unsigned bit = 0; bit < 8; bit++) {
			disk_of(&d, 1);
			refused = refused &&
				  open_with_header(at, mem_wal(&d)->data[at] ^ (uint8_t)(1u << bit),
						   false) == -EPROTO;
			mem_disk_free(&d);
		}
	ok(refused, "each flipped bit of the header is refused and nothing is changed");
	is_int(open_with_header(8, 2, true), -EPROTO, "version 2");
	is_int(open_with_header(12, 1, true), -EPROTO, "a feature");
	is_int(open_with_header(48, 2, true), -EPROTO, "salvaged 2");
	is_int(open_with_header(59, 1, true), -EPROTO, "a reserved byte");
	is_int(open_with_header(32, 63, true), -EPROTO, "a snapshot that ends in the header");
	is_int(open_with_header(24, 9, true), 0, "another generation is fine");
	for (size_t len = 0; len < WAL_HEADER_BYTES; len++) {
		mem_disk_with(&d, example, len);
		refused = refused && start_open(&p, &d) == -EPROTO && p.refused == 1;
		end(&p);
		mem_disk_free(&d);
	}
	ok(refused, "each truncated header is refused");
}

/* ---- torn tails ---- */

/*
 * Opens a log of 4 entries and a last append of 3 (5..7), of which `kept` bytes are there and then
 * `zeros` zero bytes. Checks what remains, and that appending goes on.
 */
static bool
torn_at(size_t kept, size_t zeros)
{
	struct buf b = batch_of(5, 7), *file;
	struct memdisk d;
	struct proc p;
	size_t at = 0, len = kept + zeros;
	uint64_t whole = 4;
	bool good, clean;

	disk_of(&d, 4);
	file = mem_wal(&d);
	buf_put(file, b.data, kept);
	for (size_t i = 0; i < zeros; i++)
		buf_put_u8(file, 0);
	/* An entry that ends in zeros may be whole all the same. */
	while (at < b.len) {
		size_t size = WAL_ENTRY_HEADER_BYTES + bytes_get_u32(b.data + at);

		if (size > len - at ||
		    memcmp(file->data + file->len - len + at, b.data + at, size) != 0)
			break;
		at += size;
		whole++;
	}
	clean = at == len;
	good = start_open(&p, &d) == 0 && saw(&p, 1, whole) && p.torn == !clean && p.damaged == 0;
	good = good && wal_info(p.wal)->size == mem_wal(&d)->len && d.live.ndamaged == 0;
	good = good && append(&p, whole + 1, 9) == 0 && saw(&p, 1, 9);
	end(&p);
	mem_restart(&d, true);
	good = good && start_open(&p, &d) == 0 && saw(&p, 1, 9) && p.torn == 0;
	end(&p);
	buf_free(&b);
	mem_disk_free(&d);
	return good;
}

static void
test_torn(void)
{
	struct buf b = batch_of(5, 7);

	for (size_t kept = 0; kept <= b.len; kept++)
		if (!torn_at(kept, 0) || !torn_at(kept, 1) || !torn_at(kept, 8) ||
		    !torn_at(kept, 4096)) {
			ok(false, "torn after %zu bytes", kept);
			return;
		}
	ok(true, "torn after each of %zu bytes, as it is and before zeros", b.len);
	ok(torn_at(11, 700000), "a preallocated tail");
	buf_free(&b);
}

/* Under the shared lock a torn tail stays where it is, and what was read stays read. */
static void
test_torn_shared(void)
{
	struct memdisk d;
	struct proc a, b;
	size_t len;

	disk_of(&d, 4);
	is_int(start_open(&a, &d), 0, "a reader");
	is_int(start_open(&b, &d), 0, "a writer");
	len = mem_wal(&d)->len;
	buf_put(mem_wal(&d), example, 30);
	is_int(catch_up(&a, false), 0, "reads up to the torn tail");
	ok(saw(&a, 1, 4) && a.torn == 0 && mem_wal(&d)->len == len + 30, "and leaves it alone");
	is_int(append(&b, 5, 6), 0, "the writer cuts it and appends");
	ok(b.torn == 1 && saw(&b, 1, 6), "once");
	is_int(catch_up(&a, false), 0, "the reader goes on");
	ok(saw(&a, 1, 6), "and misses nothing");
	end(&a);
	end(&b);
	mem_disk_free(&d);
}

/* ---- damage ---- */

/* Is it 1..n without the entries of the list (0: none), and without the vectors? */
static bool
saw_all_but(const struct proc *p, uint64_t n, uint64_t lost, uint64_t lost2)
{
	size_t at = 0;

	for (uint64_t id = 1; id <= n; id++) {
		if (id == lost || id == lost2 || is_vector(id))
			continue;
		if (at == p->n || p->seen[at++] != id)
			return false;
	}
	return at == p->n;
}

/* Opens a damaged log of 20, and once more; the damaged file must be kept as it was. */
static bool
salvages(struct memdisk *d, uint64_t lost, uint64_t lost2)
{
	struct buf before = {0};
	struct proc p;
	bool good;
	int was = d->live.wal;

	mem_set(&before, mem_wal(d)->data, mem_wal(d)->len);
	good = start_open(&p, d) == 0 && saw_all_but(&p, 20, lost, lost2) && p.torn == 0 &&
	       p.damaged > 0 && wal_info(p.wal)->salvaged && wal_info(p.wal)->store == STORE &&
	       wal_info(p.wal)->generation == 2;
	good = good && d->live.ndamaged == 1 && d->live.damaged[0] == was &&
	       d->files[was].live.len == before.len &&
	       memcmp(d->files[was].live.data, before.data, before.len) == 0;
	good = good && append(&p, 21, 21) == 0;
	end(&p);
	mem_restart(d, true);
	good = good && start_open(&p, d) == 0 && p.torn + p.damaged == 0 && p.seen[p.n - 1] == 21 &&
	       wal_info(p.wal)->salvaged;
	p.n -= p.n > 0;
	good = good && saw_all_but(&p, 20, lost, lost2);
	end(&p);
	buf_free(&before);
	return good;
}

static void
test_flips(void)
{
	static const uint8_t masks[] = {0xff, 0x01, 0x80, 0x10};
	struct memdisk d;
	struct proc p;
	size_t at[21], tried = 0;
	bool good = true;

	for (uint64_t id = 1; id <= 20 && good; id++) {
		disk_of(&d, 20);
		offsets(mem_wal(&d), 20, at);
		mem_disk_free(&d);
		for (size_t i = at[id - 1]; i < at[id] && good; i++)
			for (size_t m = 0; m < ARRAY_LEN(masks) && good; m++, tried++) {
				disk_of(&d, 20);
				mem_wal(&d)->data[i] ^= masks[m];
				if (id < 20) {
					good = salvages(&d, id, 0);
				} else {
					good = start_open(&p, &d) == 0 && saw(&p, 1, 19) &&
					       p.torn == 1 && mem_wal(&d)->len == at[19];
					end(&p);
				}
				if (!good)
					diag("byte %zu of entry %d, mask %#x", i - at[id - 1],
					     (int)id, masks[m]);
				mem_disk_free(&d);
			}
	}
	ok(good, "%zu flips: salvaged with exactly the others, or the last one cut", tried);
}

static void
test_holes(void)
{
	struct memdisk d;
	struct proc p;
	size_t at[21];

	disk_of(&d, 20);
	offsets(mem_wal(&d), 20, at);
	mem_wal(&d)->data[at[4] + 9] ^= 4;
	mem_wal(&d)->data[at[16] + 9] ^= 4;
	ok(salvages(&d, 5, 17), "two damaged entries");
	mem_disk_free(&d);

	disk_of(&d, 20);
	memset(mem_wal(&d)->data + at[6] + 3, 0, at[8] - at[6] - 6);
	ok(salvages(&d, 7, 8), "a hole of zeros over two");
	mem_disk_free(&d);

	/* Its length reaches over the next one, to where the one after that begins. */
	disk_of(&d, 20);
	bytes_set_u32(mem_wal(&d)->data + at[1], (uint32_t)(at[3] - at[1] - 8));
	ok(salvages(&d, 2, 0), "a length that hides the next one");
	mem_disk_free(&d);

	disk_of(&d, 20);
	memset(mem_wal(&d)->data + at[0], 0xff, at[20] - at[0]);
	is_int(start_open(&p, &d), 0, "nothing valid at all is a torn tail");
	ok(p.n == 0 && p.torn == 1, "and cut");
	end(&p);
	mem_disk_free(&d);
}

/* Damage found by a process that runs: it must stop, and its next start salvages. */
static void
test_damage_late(void)
{
	struct memdisk d;
	struct proc a, b, c;
	size_t at;

	for (int exclusive = 0; exclusive < 2; exclusive++) {
		disk_of(&d, 4);
		is_int(start_open(&a, &d), 0, "one reads");
		is_int(start_open(&b, &d), 0, "one writes");
		at = mem_wal(&d)->len;
		is_int(start_open(&c, &d), 0, "one reads later");
		is_int(append(&b, 5, 8), 0, "four more");
		mem_wal(&d)->data[at + 9] ^= 1;
		is_int(catch_up(&a, exclusive), -EIO, "damage ahead is an error");
		ok(a.damaged == 1 && a.torn == 0 && d.live.ndamaged == 0, "and only told");
		end(&a);
		is_int(start_open(&a, &d), 0, "the next start salvages");
		ok(saw_all_but(&a, 8, 5, 0) && wal_info(a.wal)->salvaged, "all the others");
		is_int(catch_up(&c, exclusive), -ESTALE, "who had not read the damage is stale");
		ok(c.damaged == 0 && c.torn == 0, "and leaves the old file alone");
		end(&c);
		is_int(catch_up(&b, exclusive), -ESTALE, "so is who had read all of it");
		is_int(catch_up(&b, exclusive), -ESTALE, "and remains so");
		b.n = 0;
		is_int(wal_open(b.wal), 0, "until it opens again");
		ok(saw_all_but(&b, 8, 5, 0) && wal_info(b.wal)->salvaged, "with the same");
		is_int(append(&b, 10, 11), 0, "then it appends");
		is_int(catch_up(&a, false), 0, "and the other reads");
		ok(a.n == b.n && memcmp(a.seen, b.seen, a.n * sizeof(a.seen[0])) == 0, "it all");
		end(&a);
		end(&b);
		mem_disk_free(&d);
	}
	disk_of(&d, 4);
	is_int(start_open(&a, &d), 0, "one reads");
	mem_wal(&d)->len--;
	is_int(catch_up(&a, false), -EIO, "a log that became shorter is damage");
	end(&a);
	mem_disk_free(&d);
}

/* An entry with a right checksum that this version cannot read: never cut, never skipped. */
static void
test_newer(void)
{
	const uint8_t payloads[][9] = {{63, 1, 2, 3, 4, 5, 6, 7, 8}, {ENTRY_PAUSE, 2}};
	const size_t lens[] = {9, 2};
	struct memdisk d;
	struct proc p, q;
	struct buf frame = {0};
	size_t len;

	for (size_t i = 0; i < 2; i++) {
		buf_reset(&frame);
		buf_put_u32(&frame, (uint32_t)lens[i]);
		buf_put_u32(&frame, crc32c(crc32c(0, frame.data, 4), payloads[i], lens[i]));
		buf_put(&frame, payloads[i], lens[i]);
		for (int damage = 0; damage < 3; damage++) {
			disk_of(&d, 3);
			is_int(start_open(&q, &d), 0, "a running process");
			if (damage == 1)
				mem_wal(&d)->data[70] ^= 1;
			buf_put(mem_wal(&d), frame.data, frame.len);
			if (damage == 2)
				buf_put(mem_wal(&d), frame.data, frame.len - 1);
			len = mem_wal(&d)->len;
			is_int(catch_up(&q, true), -EPROTO, "refuses to go on");
			is_int(start_open(&p, &d), -EPROTO, "nor does a new one start");
			ok(p.refused == 1 && p.torn == 0 && q.refused == 1 && q.torn == 0, "said");
			ok(mem_wal(&d)->len == len && d.live.ndamaged == 0, "nothing is changed");
			end(&p);
			end(&q);
			mem_disk_free(&d);
		}
	}
	/* Nothing but a newer entry behind the damage: it still is no torn tail. */
	disk_of(&d, 1);
	mem_wal(&d)->data[70] ^= 1;
	buf_reset(&frame);
	buf_put_u32(&frame, 9);
	buf_put_u32(&frame, crc32c(crc32c(0, frame.data, 4), payloads[0], 9));
	buf_put(mem_wal(&d), frame.data, frame.len);
	buf_put(mem_wal(&d), payloads[0], 9);
	is_int(start_open(&p, &d), -EPROTO, "a newer entry alone behind damage");
	ok(p.torn == 0 && d.live.ndamaged == 0, "is not cut");
	end(&p);
	buf_free(&frame);
	mem_disk_free(&d);
}

/* ---- large entries ---- */

/* A vector that takes many reads. */
static void
put_large(struct buf *b, uint64_t spans)
{
	struct entry e = {.type = ENTRY_VECTOR};

	for (uint64_t i = 1; i <= spans; i++)
		if (dotset_add(&e.set, (struct dot){1, 2 * i}) < 0)
			abort();
	wal_put(b, &e);
	entry_clear(&e);
}

static void
test_large(void)
{
	const uint64_t spans = 60000;
	const size_t tears[] = {7, 8, 9, 300000, 900000};
	struct memdisk d;
	struct proc p;
	struct buf b = {0};

	put_large(&b, spans);
	ok(!b.failed && b.len > 900000, "an entry of %zu bytes", b.len);
	for (size_t i = 0; i <= ARRAY_LEN(tears); i++) {
		bool whole = i == ARRAY_LEN(tears);

		disk_of(&d, 3);
		buf_put(mem_wal(&d), b.data, whole ? b.len : tears[i]);
		is_int(start_open(&p, &d), 0, "opens");
		ok(whole ? p.n == 4 && p.seen[3] == 2 * spans - 1 && p.torn == 0
			 : saw(&p, 1, 3) && p.torn == 1 && p.damaged == 0,
		   "%s", whole ? "and has it" : "and has cut a part of it");
		end(&p);
		mem_disk_free(&d);
	}
	disk_of(&d, 3);
	buf_put(mem_wal(&d), b.data, b.len);
	mem_wal(&d)->data[700000] ^= 1;
	put(mem_wal(&d), 4);
	is_int(start_open(&p, &d), 0, "damaged, with one behind it");
	ok(saw(&p, 1, 4) && p.damaged > 0 && p.torn == 0, "all the others are saved");
	end(&p);
	mem_disk_free(&d);
	buf_free(&b);
}

/* ---- failures ---- */

/* Entries beyond what was promised may be there, but only the attempted, and in order. */
static bool
between(const struct proc *p, uint64_t least, uint64_t most)
{
	return p->n >= least && p->n <= most && saw(p, 1, p->n);
}

/*
 * One device call after the other fails, or is the last one before a kill; afterwards nothing that
 * was confirmed is missing, with the memory there or after a power cut.
 */
static void
test_failures(void)
{
	const int errors[] = {-EIO, -ENOSPC};
	unsigned calls = 1, tried = 0;
	bool good = true;

	for (unsigned k = 1; k <= calls + 1 && good; k++)
		for (unsigned how = 0; how < 8 && good; how++, tried++) {
			struct memdisk d;
			struct proc p, q;
			uint64_t sure = 4;
			bool stop = how & 1, power = how & 2;

			disk_of(&d, 4);
			d.calls = 0;
			d.fail = errors[how >> 2];
			d.stop = stop;
			d.fail_at = k;
			if (start_open(&p, &d) == 0) {
				for (uint64_t id = 5; id <= 9; id += 2)
					if (append(&p, id, id + 1) == 0)
						sure = id + 1;
					else
						break;
			}
			calls = d.calls > calls ? d.calls : calls;
			good = (p.torn == 0 && p.damaged == 0 && d.live.ndamaged == 0);
			end(&p);
			mem_restart(&d, power);
			good = good && start_open(&q, &d) == 0 && between(&q, sure, 10) &&
			       q.damaged == 0 && append(&q, q.n + 1, 12) == 0 && saw(&q, 1, 12);
			end(&q);
			mem_disk_free(&d);
			if (!good)
				diag("call %u, case %u", k, how);
		}
	ok(good && calls > 15, "%u failures and kills at %u calls: nothing confirmed is lost",
	   tried, calls);
}

/* The disk is full: nothing happened, and when there is room it goes on. */
static void
test_nospace(void)
{
	struct memdisk d;
	struct proc p, q;
	struct buf b = batch_of(5, 8);
	size_t len;

	disk_of(&d, 4);
	is_int(start_open(&p, &d), 0, "opened");
	len = mem_wal(&d)->len;
	ok(wal_lock(p.wal, true, true) == 0 && wal_catchup(p.wal) == 0, "locked");
	d.fail = -ENOSPC;
	d.fail_at = d.calls + 1;
	is_int(wal_append(p.wal, &b), -ENOSPC, "no space");
	is_int(mem_wal(&d)->len, len, "what was written of it is cut off");
	ok(saw(&p, 1, 4) && wal_info(p.wal)->size == len, "nothing was folded");
	is_int(wal_append(p.wal, &b), 0, "the same again with space");
	is_int(wal_sync(p.wal), 0, "synced");
	wal_unlock(p.wal);
	is_int(start_open(&q, &d), 0, "opened by another");
	ok(saw(&q, 1, 8) && saw(&p, 1, 8), "all there");
	end(&q);
	end(&p);

	is_int(start_open(&p, &d), 0, "opened");
	ok(wal_lock(p.wal, true, true) == 0 && wal_catchup(p.wal) == 0, "locked");
	d.fail_at = d.calls + 1;
	d.no_truncate = true;
	is_int(wal_append(p.wal, &b), -ENOSPC, "no space, and it cannot be cut off");
	is_int(wal_append(p.wal, &b), -EIO, "then no append any more");
	is_int(wal_sync(p.wal), -EIO, "no sync");
	is_int(wal_catchup(p.wal), -EIO, "no reading");
	is_int(wal_compact(p.wal, 0, snapshot, NULL), -EIO, "no compaction");
	wal_unlock(p.wal);
	is_int(wal_lock(p.wal, true, true), -EIO, "no lock");
	is_int(wal_open(p.wal), -EIO, "no opening");
	is_int(wal_create(p.wal, 1, 1), -EIO, "no creating");
	end(&p);
	buf_free(&b);
	mem_disk_free(&d);
}

static void
test_sync_fails(void)
{
	struct memdisk d;
	struct proc p, q;
	struct buf b = batch_of(5, 8);

	disk_of(&d, 4);
	is_int(start_open(&q, &d), 0, "another");
	is_int(start_open(&p, &d), 0, "opened");
	ok(wal_lock(p.wal, true, true) == 0 && wal_catchup(p.wal) == 0, "locked");
	is_int(wal_append(p.wal, &b), 0, "appended");
	d.fail_at = d.calls + 1;
	is_int(wal_sync(p.wal), -EIO, "the sync fails");
	is_int(wal_sync(p.wal), -EIO, "and is not tried again");
	is_int(wal_append(p.wal, &b), -EIO, "nor is anything appended");
	wal_unlock(p.wal);
	is_int(catch_up(&q, false), 0, "the other reads");
	ok(saw(&q, 1, 4), "and sees nothing that is not durable");
	end(&p);
	end(&q);
	buf_free(&b);
	mem_disk_free(&d);
}

static void
test_refused_appends(void)
{
	struct memdisk d;
	struct proc p;
	struct buf b = {0};
	size_t len;

	disk_of(&d, 4);
	is_int(start_open(&p, &d), 0, "opened");
	len = mem_wal(&d)->len;
	ok(wal_lock(p.wal, true, true) == 0 && wal_catchup(p.wal) == 0, "locked");
	put(&b, 5);
	wal_put(&b, &(struct entry){
			    .type = ENTRY_DROPPED, .path = (const uint8_t *)"../x", .path_len = 4});
	is_int(wal_append(p.wal, &b), -EINVAL, "an entry that nobody could read");
	ok(p.refused == 1 && mem_wal(&d)->len == len && saw(&p, 1, 4), "is not written");
	buf_reset(&b);
	is_int(wal_append(p.wal, &b), 0, "an empty batch is nothing");
	b.failed = true;
	is_int(wal_append(p.wal, &b), -ENOMEM, "a failed batch");
	buf_reset(&b);
	put(&b, 5);
	p.fold_error = -ENOMEM;
	is_int(wal_append(p.wal, &b), -ENOMEM, "the owner is out of memory");
	is_int(mem_wal(&d)->len, len, "nothing stays");
	is_int(wal_append(p.wal, &b), -EIO, "that was final");
	wal_unlock(p.wal);
	end(&p);
	buf_free(&b);
	mem_disk_free(&d);
}

static void
test_put_limit(void)
{
	struct entry e = {.type = ENTRY_VECTOR};
	struct dotspan *span = calloc(ENTRY_BYTES_MAX / 16, sizeof(*span));
	struct dotspans one = {1, span, ENTRY_BYTES_MAX / 16, 0};
	struct buf b = {0};

	if (!span)
		abort();
	e.set = (struct dotset){&one, 1, 0};
	put(&b, 1);
	wal_put(&b, &e);
	ok(b.failed, "an entry over the limit fails the batch");
	free(span);
	buf_free(&b);
}

static void
test_locks(void)
{
	struct memdisk d;
	struct proc a, b;

	disk_of(&d, 1);
	ok(start_open(&a, &d) == 0 && start_open(&b, &d) == 0, "two");
	is_int(wal_lock(a.wal, true, true), 0, "one has the lock");
	is_int(wal_lock(b.wal, true, false), -EAGAIN, "the other has not");
	is_int(wal_lock(b.wal, false, false), -EAGAIN, "nor shared");
	wal_unlock(a.wal);
	is_int(wal_lock(b.wal, false, false), 0, "shared");
	is_int(wal_lock(a.wal, false, false), 0, "by both");
	wal_unlock(a.wal);
	is_int(wal_lock(a.wal, true, false), -EAGAIN, "exclusive waits for readers");
	wal_unlock(b.wal);
	is_int(wal_lock(a.wal, true, false), 0, "and comes after them");
	end(&a);
	is_int(wal_lock(b.wal, true, false), 0, "wal_free gives it up");
	end(&b);
	mem_disk_free(&d);
}

/* ---- two processes, generations ---- */

static void
test_turns(void)
{
	struct memdisk d;
	struct proc a, b;
	uint64_t id = 1;
	bool good = true;

	disk_of(&d, 0);
	ok(start_open(&a, &d) == 0 && start_open(&b, &d) == 0, "two open it");
	for (; id < 100 && good; id += 5)
		good = append(&a, id, id + 2) == 0 && append(&b, id + 3, id + 4) == 0;
	ok(good && saw(&b, 1, id - 1), "they append in turns and read each other");
	is_int(catch_up(&a, false), 0, "the first catches up");
	ok(saw(&a, 1, id - 1), "and has the same");
	end(&a);
	end(&b);
	mem_disk_free(&d);
}

static void
test_generations(void)
{
	struct memdisk d;
	struct proc a, b, c;

	disk_of(&d, 5);
	ok(start_open(&a, &d) == 0 && start_open(&b, &d) == 0 && start_open(&c, &d) == 0, "three");
	is_int(append(&a, 6, 8), 0, "one appends what the others have not read");
	is_int(compact(&a, 3, 8), 0, "and compacts");
	ok(wal_info(a.wal)->generation == 2 && !wal_info(a.wal)->salvaged &&
		   wal_info(a.wal)->snapshot_end == wal_info(a.wal)->size &&
		   wal_info(a.wal)->size == mem_wal(&d)->len,
	   "a new generation");
	is_int(d.live.prev, 0, "the old one is the previous");
	ok(saw(&a, 1, 8), "the snapshot is not folded by who wrote it");
	is_int(append(&a, 9, 10), 0, "and goes on");
	is_int(append(&b, 11, 12), 0, "the second notices when it appends");
	ok(saw(&b, 1, 12), "after it has read old and new");
	is_int(compact(&b, 3, 12), 0, "it compacts too");
	is_int(append(&b, 13, 13), 0, "and appends");
	is_int(catch_up(&a, false), 0, "the first follows");
	ok(saw(&a, 1, 13), "without a gap");
	is_int(catch_up(&c, true), -ESTALE, "the third missed two");
	c.n = 0;
	is_int(wal_open(c.wal), 0, "and starts over");
	ok(saw(&c, 3, 13), "with the snapshot and what came since");
	is_int(append(&c, 14, 14), 0, "then it appends");
	is_int(catch_up(&b, false), 0, "and the others read");
	ok(saw(&b, 1, 14), "that too");
	end(&a);
	end(&b);
	end(&c);
	mem_disk_free(&d);
}

static void
test_snapshot_damage(void)
{
	struct memdisk d;
	struct proc p;
	size_t len;

	for (int how = 0; how < 3; how++) {
		disk_of(&d, 8);
		is_int(start_open(&p, &d), 0, "opened");
		is_int(compact(&p, 1, 8), 0, "compacted");
		end(&p);
		len = mem_wal(&d)->len;
		if (how == 0)
			mem_wal(&d)->data[len - 1] ^= 1;
		else if (how == 1)
			mem_wal(&d)->len--;
		else
			mem_wal(&d)->len -= 17; /* as long as the last entry is */
		is_int(start_open(&p, &d), 0, "the end of a snapshot is missing");
		ok(saw(&p, 1, 7) && p.torn == 0 && p.damaged > 0 && wal_info(p.wal)->salvaged,
		   "that is damage: it was durable");
		is_int(compact(&p, 1, 8), 0, "a compaction");
		ok(!wal_info(p.wal)->salvaged, "ends that state");
		end(&p);
		mem_disk_free(&d);
	}
}

/* A snapshot that ends within an entry: nothing of ours wrote that, and nothing may go on there. */
static void
test_snapshot_across(void)
{
	struct memdisk d;
	struct proc p;

	disk_of(&d, 8);
	bytes_set_u64(mem_wal(&d)->data + 32, WAL_HEADER_BYTES + 20);
	bytes_set_u32(mem_wal(&d)->data + 60, crc32c(0, mem_wal(&d)->data, 60));
	is_int(start_open(&p, &d), 0, "a snapshot ends within an entry");
	ok(saw(&p, 1, 8) && wal_info(p.wal)->salvaged &&
		   wal_info(p.wal)->snapshot_end == mem_wal(&d)->len,
	   "that is damage, though every entry is there");
	end(&p);
	mem_disk_free(&d);
}

static void
test_compact_fails(void)
{
	struct memdisk d;
	struct proc p, q;
	struct pieces s = {.error = -ENOMEM};

	disk_of(&d, 4);
	is_int(start_open(&p, &d), 0, "opened");
	ok(wal_lock(p.wal, true, true) == 0 && wal_catchup(p.wal) == 0, "locked");
	is_int(wal_compact(p.wal, 1, snapshot, &s), -ENOMEM, "the snapshot fails");
	s = (struct pieces){.next = 1, .to = 4, .unreadable = true};
	is_int(wal_compact(p.wal, 1, snapshot, &s), -EIO, "it holds what nobody could read");
	s = (struct pieces){.next = 5, .to = 8, .per = 1};
	d.stale_write = true;
	is_int(wal_compact(p.wal, 1, snapshot, &s), -EIO, "the disk repeats a valid entry");
	d.stale_write = false;
	s = (struct pieces){.next = 1, .to = 4};
	d.bad_read_back = true;
	is_int(wal_compact(p.wal, 1, snapshot, &s), -EIO, "the disk gives back something else");
	d.bad_read_back = false;
	ok(wal_info(p.wal)->generation == 1 && d.live.wal == 0, "the old generation stays");
	wal_unlock(p.wal);
	is_int(append(&p, 5, 6), 0, "and is appended to");
	is_int(compact(&p, 1, 6), 0, "another try");
	is_int(start_open(&q, &d), 0, "opened by another");
	ok(saw(&q, 1, 6) && wal_info(q.wal)->generation == 2, "with everything");
	end(&p);
	end(&q);
	mem_disk_free(&d);
}

/* A kill or a failure in each device call of a compaction, and a reader that was behind. */
static void
test_compact_killed(void)
{
	unsigned calls = 1, tried = 0;
	bool good = true;

	for (unsigned k = 1; k <= calls + 1 && good; k++)
		for (unsigned how = 0; how < 4 && good; how++, tried++) {
			struct memdisk d;
			struct proc a, b, c;
			uint64_t sure = 8;
			int rc;

			disk_of(&d, 8);
			if (start_open(&a, &d) < 0 || start_open(&b, &d) < 0)
				abort();
			d.calls = 0;
			d.fail_at = k;
			d.stop = how & 1;
			rc = compact(&a, 1, 8);
			calls = d.calls > calls ? d.calls : calls;
			/* If it lives on: an append works, unless it is not sure which file stays.
			 */
			if (!d.stop) {
				bool unsure = rc < 0 && d.live.wal != 0;
				int again;

				d.fail_at = 0;
				again = append(&a, 9, 9);

				good = good && (again == 0) == !unsure;
				sure += again == 0;
			}
			end(&a);
			mem_restart(&d, how & 2);
			good = good && start_open(&c, &d) == 0 && saw(&c, 1, sure) &&
			       c.damaged == 0 && c.torn == 0;
			if (!(how & 2)) /* this one runs on */
				good = good && catch_up(&b, true) == 0 && saw(&b, 1, sure);
			end(&b);
			end(&c);
			mem_disk_free(&d);
			if (!good)
				diag("call %u, case %u", k, how);
		}
	ok(good && calls > 8, "%u kills and failures at %u calls of a compaction: nothing lost",
	   tried, calls);
}

/* A compaction in steps by a, while b, who shares the log, goes on appending: from..to. */
static int
compact_beside(struct proc *a, uint64_t live, struct proc *b, uint64_t from, uint64_t to)
{
	struct pieces s = {.next = 1, .to = live};
	struct buf piece = {0};
	int rc = wal_lock(a->wal, true, true);

	if (rc < 0)
		return rc;
	rc = wal_catchup(a->wal);
	if (rc == 0)
		rc = wal_compact_begin(a->wal, 1700000001000);
	wal_unlock(a->wal);
	for (uint64_t id = from; id <= to && rc == 0; id++) {
		rc = append(b, id, id);
		if (rc == 0 && (rc = snapshot(&s, &piece)) == 0)
			rc = wal_compact_put(a->wal, &piece);
	}
	while (rc == 0 && (rc = snapshot(&s, &piece)) == 0 && piece.len > 0)
		rc = wal_compact_put(a->wal, &piece);
	buf_free(&piece);
	if (rc == 0)
		rc = wal_compact_check(a->wal);
	if (rc < 0 || (rc = wal_lock(a->wal, true, true)) < 0)
		goto out;
	rc = wal_catchup(a->wal);
	if (rc == 0)
		rc = wal_compact_finish(a->wal);
	wal_unlock(a->wal);
out:
	wal_compact_abort(a->wal);
	return rc;
}

static void
test_compact_steps(void)
{
	struct memdisk d;
	struct proc a, b, c;

	disk_of(&d, 8);
	ok(start_open(&a, &d) == 0 && start_open(&b, &d) == 0 && start_open(&c, &d) == 0, "three");
	is_int(compact_beside(&a, 8, &b, 9, 11), 0, "one compacts while another appends");
	ok(saw(&a, 1, 11), "it has seen what the other appended");
	is_int(wal_info(a.wal)->generation, 2, "it is at the new generation");
	ok(append(&a, 12, 12) == 0 && append(&b, 13, 13) == 0 && append(&a, 14, 14) == 0,
	   "both go on in it");
	ok(saw(&a, 1, 14) && catch_up(&b, true) == 0 && saw(&b, 1, 14),
	   "nothing lost, nothing twice");
	ok(catch_up(&c, false) == 0 && saw(&c, 1, 14), "nor for one that was behind");
	end(&c);
	ok(start_open(&c, &d) == 0 && saw(&c, 1, 14), "nor for one that opens it");
	is_int(wal_compact_check(a.wal), -ECANCELED, "no step of what is over");
	is_int(wal_compact_finish(a.wal), -ECANCELED, "nor another end of it");
	end(&a);
	end(&b);
	end(&c);
	mem_disk_free(&d);
}

/* The file was set aside meanwhile: the new generation that was begun is void. */
static void
test_compact_overtaken(void)
{
	struct memdisk d;
	struct proc a, b;

	disk_of(&d, 8);
	ok(start_open(&a, &d) == 0 && start_open(&b, &d) == 0, "two");
	ok(wal_lock(a.wal, true, true) == 0 && wal_catchup(a.wal) == 0 &&
		   wal_compact_begin(a.wal, 1) == 0,
	   "one begins");
	wal_unlock(a.wal);
	is_int(compact(&b, 1, 8), 0, "the other is faster");
	ok(wal_lock(a.wal, true, true) == 0 && wal_catchup(a.wal) == 0, "the first moves over");
	is_int(wal_compact_finish(a.wal), -ESTALE, "and must not publish its own");
	wal_unlock(a.wal);
	ok(append(&a, 9, 9) == 0 && catch_up(&b, true) == 0 && saw(&b, 1, 9), "both go on");
	end(&a);
	end(&b);
	mem_disk_free(&d);
}

/* Whether the file is still the one with the name cannot be told: neither yes nor no. */
static void
test_blind(void)
{
	struct memdisk d;
	struct proc a, b;

	disk_of(&d, 4);
	ok(start_open(&a, &d) == 0 && start_open(&b, &d) == 0, "two");
	is_int(compact(&b, 1, 4), 0, "a new generation");
	d.blind = true;
	ok(wal_lock(a.wal, true, true) == 0 && wal_catchup(a.wal) == -EIO, "it says so");
	wal_unlock(a.wal);
	d.blind = false;
	ok(append(&a, 5, 5) == 0 && catch_up(&b, true) == 0 && saw(&b, 1, 5),
	   "and can go on once it can be told");
	end(&a);
	end(&b);
	mem_disk_free(&d);
}

/* A kill or a failure in each device call of either process. */
static void
test_compact_steps_killed(void)
{
	unsigned calls = 1, tried = 0;
	bool good = true;

	for (unsigned k = 1; k <= calls + 1 && good; k++)
		for (unsigned how = 0; how < 4 && good; how++, tried++) {
			struct memdisk d;
			struct proc a, b, c;

			disk_of(&d, 8);
			if (start_open(&a, &d) < 0 || start_open(&b, &d) < 0)
				abort();
			d.calls = 0;
			d.fail_at = k;
			d.stop = how & 1;
			(void)compact_beside(&a, 8, &b, 9, 10);
			calls = d.calls > calls ? d.calls : calls;
			end(&a);
			end(&b);
			mem_restart(&d, how & 2);
			good = start_open(&c, &d) == 0 && c.damaged == 0 && c.n >= 8 && c.n <= 10 &&
			       saw(&c, 1, c.n);
			end(&c);
			mem_disk_free(&d);
			if (!good)
				diag("call %u, case %u", k, how);
		}
	ok(good && calls > 20, "%u kills and failures at %u calls of one in steps: nothing lost",
	   tried, calls);
}

/* A salvage may itself be killed, and starts over. */
static void
test_salvage_killed(void)
{
	unsigned calls = 1, tried = 0;
	bool good = true;

	for (unsigned k = 1; k <= calls + 1 && good; k++)
		for (unsigned how = 0; how < 4 && good; how++, tried++) {
			struct memdisk d;
			struct proc a, b;

			disk_of(&d, 20);
			mem_wal(&d)->data[300] ^= 0x20;
			mem_set(&d.files[0].durable, mem_wal(&d)->data, mem_wal(&d)->len);
			d.calls = 0;
			d.fail_at = k;
			d.stop = how & 1;
			(void)start_open(&a, &d);
			calls = d.calls > calls ? d.calls : calls;
			end(&a);
			mem_restart(&d, how & 2);
			good = start_open(&b, &d) == 0 && wal_info(b.wal)->salvaged && b.n == 17 &&
			       b.torn == 0 && d.live.ndamaged == 1 && d.live.damaged[0] == 0;
			end(&b);
			mem_disk_free(&d);
			if (!good)
				diag("call %u, case %u: %zu entries", k, how, b.n);
		}
	ok(good && calls > 10,
	   "%u kills and failures at %u calls of a salvage: the same in the end", tried, calls);
}

/* A file that is gone, or another's, under a running process. */
static void
test_replaced(void)
{
	struct memdisk d, other;
	struct proc p, q;
	int f;

	disk_of(&d, 4);
	is_int(start_open(&p, &d), 0, "opened");
	f = d.live.wal;
	d.live.wal = -1;
	is_int(catch_up(&p, true), -ENOENT, "the name is gone");
	d.live.wal = f;
	is_int(catch_up(&p, true), -ESTALE, "and it must start over");
	end(&p);
	is_int(start_open(&p, &d), 0, "opened");
	mem_disk_init(&other);
	start(&q, &other);
	is_int(wal_create(q.wal, STORE + 1, 1), 0, "another store's");
	d.live.wal = mem_file(&d);
	bytes_set_u64(mem_wal(&other)->data + 24, 2);
	bytes_set_u32(mem_wal(&other)->data + 60, crc32c(0, mem_wal(&other)->data, 60));
	mem_set(mem_wal(&d), mem_wal(&other)->data, mem_wal(&other)->len);
	is_int(catch_up(&p, true), -ESTALE, "in its place");
	end(&p);
	end(&q);
	mem_disk_free(&other);
	mem_disk_free(&d);
}

int
main(void)
{
	test_example();
	test_header();
	test_torn();
	test_torn_shared();
	test_flips();
	test_holes();
	test_damage_late();
	test_newer();
	test_large();
	test_failures();
	test_nospace();
	test_sync_fails();
	test_refused_appends();
	test_put_limit();
	test_locks();
	test_turns();
	test_generations();
	test_snapshot_damage();
	test_snapshot_across();
	test_compact_fails();
	test_compact_killed();
	test_compact_steps();
	test_compact_overtaken();
	test_blind();
	test_compact_steps_killed();
	test_salvage_killed();
	test_replaced();
	return tap_done();
}
