/* SPDX-License-Identifier: BSD-2-Clause */
/* Fuzz target: any bytes as a log. It opens or is refused whole; repair loses nothing valid. */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/crc32c.h"
#include "tests/memwal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first byte of the input says what the others are. */
#define HOW_HEADER 1u /* they follow a sound header; else they are the whole file */
#define HOW_FRAMES 2u /* they are payloads, each behind a u8 length, to be framed rightly */
#define HOW_FLIP 4u   /* before them comes a u16: the place where one bit of the file is flipped */

/* A process: what it has folded, and what it was told. */
struct proc {
	struct memdev dev;
	struct wal *wal;
	struct buf seen; /* the entries, framed */
	unsigned torn, damaged, refused;
};

/* A broken promise ends the run, which is how a fuzzer learns of it. */
static void
check(bool held)
{
	if (!held)
		abort();
}

static int
fold(void *arg, const struct entry *e)
{
	struct proc *p = arg;

	wal_put(&p->seen, e);
	return 0;
}

static void
note(void *arg, const char *event, const char *text)
{
	struct proc *p = arg;

	check(text[0] != '\0');
	p->torn += strcmp(event, "wal.torn") == 0;
	p->damaged += strcmp(event, "wal.damaged") == 0;
	p->refused += strcmp(event, "wal.refused") == 0;
}

static void
start(struct proc *p, struct memdisk *d)
{
	struct wal_user user = {p, fold, note};
	struct wal_dev dev;

	memset(p, 0, sizeof(*p));
	dev = mem_dev(&p->dev, d);
	p->wal = wal_new(&dev, &user);
	check(p->wal);
}

static void
end(struct proc *p)
{
	wal_free(p->wal);
	buf_free(&p->seen);
}

static bool
same(const struct buf *a, const struct buf *b)
{
	return a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

/* ---- the file ---- */

static void
put_header(struct buf *f)
{
	buf_put(f, "mimeoWAL\1\0\0\0\0\0\0", 16);
	buf_put_u64(f, 1);
	buf_put_u64(f, 1);
	buf_put_u64(f, WAL_HEADER_BYTES);
	while (f->len < WAL_HEADER_BYTES - 4)
		buf_put_u8(f, 0);
	buf_put_u32(f, crc32c(0, f->data, f->len));
}

static void
put_frame(struct buf *f, const uint8_t *payload, size_t len)
{
	size_t at = f->len;

	buf_put_u32(f, (uint32_t)len);
	buf_put_u32(f, crc32c(crc32c(0, f->data + at, 4), payload, len));
	buf_put(f, payload, len);
}

static void
put_frames(struct buf *f, struct cur *c)
{
	while (c->left > 0) {
		size_t len = cur_u8(c);

		if (len > c->left)
			len = c->left;
		put_frame(f, cur_bytes(c, len), len);
	}
}

static struct buf
file_of(const uint8_t *data, size_t size)
{
	struct cur c = cur_of(data, size);
	struct buf f = {0};
	unsigned how = cur_u8(&c);
	size_t flip = how & HOW_FLIP ? cur_u16(&c) : 0;

	if (how & HOW_HEADER)
		put_header(&f);
	if (how & HOW_FRAMES)
		put_frames(&f, &c);
	else
		buf_put(&f, c.p, c.left);
	if (how & HOW_FLIP && flip / 8 < f.len)
		f.data[flip / 8] ^= (uint8_t)(1u << flip % 8);
	check(!f.failed);
	return f;
}

/*
 * The valid entries from the beginning up to the first bad one, in the form of `seen`; those that a
 * salvage leaves out only if told so. Written without the reader under test.
 */
static struct buf
beginning(const struct buf *f, bool salvaged)
{
	struct buf out = {0};
	size_t at = WAL_HEADER_BYTES;

	while (f->len > at && f->len - at > WAL_ENTRY_HEADER_BYTES) {
		const uint8_t *p = f->data + at;
		size_t len = bytes_get_u32(p);

		if (len > f->len - at - WAL_ENTRY_HEADER_BYTES || len == 0 ||
		    bytes_get_u32(p + 4) != crc32c(crc32c(0, p, 4), p + 8, len))
			break;
		if (!salvaged || (p[8] != ENTRY_VECTOR && p[8] != ENTRY_FLOOR))
			buf_put(&out, p, WAL_ENTRY_HEADER_BYTES + len);
		at += WAL_ENTRY_HEADER_BYTES + len;
	}
	return out;
}

/* ---- what must hold ---- */

static void
check_repair(struct memdisk *d, const struct buf *file, const struct proc *p)
{
	bool salvaged = d->live.ndamaged > 0;
	struct buf sure = beginning(file, salvaged);
	const struct buf *now = mem_wal(d);

	check(salvaged == (p->damaged > 0) && !(p->torn && p->damaged) && p->refused == 0);
	check(file->data && now->data); /* what opened has a header */
	check(sure.len <= p->seen.len);
	check(sure.len == 0 || memcmp(sure.data, p->seen.data, sure.len) == 0);
	check(wal_info(p->wal)->size == now->len);
	if (salvaged)
		check(same(&d->files[d->live.damaged[0]].live, file));
	else
		check(now->len <= file->len && memcmp(now->data, file->data, now->len) == 0 &&
		      (now->len < file->len) == (p->torn == 1) && same(&sure, &p->seen));
	buf_free(&sure);
}

/* Opened again it is what it was, and takes one entry more. */
static void
check_again(struct memdisk *d, const struct proc *before)
{
	struct buf b = {0};
	struct proc p;

	start(&p, d);
	check(wal_open(p.wal) == 0 && p.torn + p.damaged + p.refused == 0);
	check(same(&p.seen, &before->seen));
	check(wal_lock(p.wal, true, true) == 0 && wal_catchup(p.wal) == 0);
	wal_put(&b, &(struct entry){.type = ENTRY_BARRIER, .num = 1});
	check(wal_append(p.wal, &b) == 0 && wal_sync(p.wal) == 0);
	check(p.seen.len == before->seen.len + b.len);
	wal_unlock(p.wal);
	buf_free(&b);
	end(&p);
}

static void
check_open(const struct buf *file)
{
	struct memdisk d;
	struct proc p;
	int rc;

	mem_disk_with(&d, file->data, file->len);
	start(&p, &d);
	rc = wal_open(p.wal);
	check(rc == 0 || rc == -EPROTO);
	if (rc == 0) {
		check_repair(&d, file, &p);
		check_again(&d, &p);
	} else {
		check(p.refused == 1 && d.live.ndamaged == 0 && same(mem_wal(&d), file));
	}
	end(&p);
	mem_disk_free(&d);
}

/* A process that runs meets the same bytes behind what it has read. */
static void
check_catchup(const struct buf *file, bool exclusive)
{
	struct buf head = {0};
	struct memdisk d;
	struct proc p;
	int rc;

	put_header(&head);
	mem_disk_with(&d, head.data, head.len);
	start(&p, &d);
	check(wal_open(p.wal) == 0 && p.seen.len == 0);
	buf_put(mem_wal(&d), file->data, file->len);
	check(wal_lock(p.wal, exclusive, true) == 0);
	rc = wal_catchup(p.wal);
	check(rc == 0 || (rc == -EIO && p.damaged == 1) || (rc == -EPROTO && p.refused == 1));
	check(d.live.ndamaged == 0 && (exclusive || mem_wal(&d)->len == head.len + file->len));
	check(mem_wal(&d)->len == head.len + file->len || p.torn == 1);
	wal_unlock(p.wal);
	end(&p);
	buf_free(&head);
	mem_disk_free(&d);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf file = file_of(data, size);

	check_open(&file);
	check_catchup(&file, true);
	check_catchup(&file, false);
	buf_free(&file);
	return 0;
}
