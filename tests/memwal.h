/* SPDX-License-Identifier: BSD-2-Clause */
/* A WAL's device in memory, for tests: it tears, fails, stops dead and forgets what was not synced.
 */
#ifndef MIMEO_TESTS_MEMWAL_H
#define MIMEO_TESTS_MEMWAL_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/wal.h"

#define MEM_FILES_MAX 32
#define MEM_DAMAGED_MAX 8

/* What is in memory, and what would be there after a power cut. */
struct memfile {
	struct buf live, durable;
};

/* Indexes of files, -1: none. */
struct memnames {
	int wal, prev;
	int damaged[MEM_DAMAGED_MAX];
	int ndamaged;
};

/*
 * The disk. Every call that can fail counts. Call number fail_at (from 1) returns `fail` and does
 * half of its work; with `stop` all later ones fail too, as for a process that was killed in it.
 */
struct memdisk {
	struct memfile files[MEM_FILES_MAX];
	int nfiles;
	struct memnames live, durable;
	int readers;
	bool writer;
	unsigned calls;
	unsigned fail_at;
	int fail;
	bool stop, stopped;
	bool blind;         /* is_current cannot tell */
	bool no_truncate;   /* truncate fails */
	bool bad_read_back; /* next_read gives a byte that was not written */
	bool stale_write;   /* next_write repeats what it wrote before, if that is as long */
};

/* What one process has of it. */
struct memdev {
	struct memdisk *disk;
	int file, next;
	bool aside, exclusive, shared;
};

/* True when this call must fail; the caller then does half of its work. */
__attribute__((unused)) static bool
mem_fails(struct memdisk *d)
{
	if (d->stopped)
		return true;
	d->calls++;
	if (d->fail_at == 0 || d->calls != d->fail_at)
		return false;
	d->stopped = d->stop;
	return true;
}

__attribute__((unused)) static void
mem_set(struct buf *b, const void *bytes, size_t len)
{
	buf_reset(b);
	buf_put(b, bytes, len);
	if (b->failed)
		abort();
}

__attribute__((unused)) static int
mem_file(struct memdisk *d)
{
	if (d->nfiles == MEM_FILES_MAX)
		abort();
	return d->nfiles++;
}

static int
mem_lock(void *arg, bool exclusive, bool wait)
{
	struct memdev *v = arg;
	struct memdisk *d = v->disk;

	if (mem_fails(d))
		return d->fail;
	if (d->writer || (exclusive && d->readers > 0)) {
		if (wait)
			abort(); /* one thread: nobody would ever unlock */
		return -EAGAIN;
	}
	v->exclusive = d->writer = exclusive;
	v->shared = !exclusive;
	d->readers += !exclusive;
	return 0;
}

static void
mem_unlock(void *arg)
{
	struct memdev *v = arg;

	if (v->exclusive)
		v->disk->writer = false;
	if (v->shared)
		v->disk->readers--;
	v->exclusive = v->shared = false;
}

static int
mem_open_current(void *arg)
{
	struct memdev *v = arg;

	if (mem_fails(v->disk))
		return v->disk->fail;
	if (v->disk->live.wal < 0)
		return -ENOENT;
	v->file = v->disk->live.wal;
	v->disk->durable = v->disk->live;
	return 0;
}

static int
mem_is_current(void *arg)
{
	const struct memdev *v = arg;

	if (v->disk->blind)
		return -EIO;
	return v->file >= 0 && v->file == v->disk->live.wal;
}

static ssize_t
mem_read(const struct buf *b, uint64_t off, void *to, size_t len)
{
	size_t n;

	if (off >= b->len)
		return 0;
	n = b->len - (size_t)off < len ? b->len - (size_t)off : len;
	if (n > 0)
		memcpy(to, b->data + off, n);
	return (ssize_t)n;
}

/* Writes at off, after zeros if that is behind the end. */
static int
mem_write(struct buf *b, uint64_t off, const void *bytes, size_t len)
{
	while (b->len < off)
		buf_put_u8(b, 0);
	if (b->len < off + len && !buf_room(b, (size_t)off + len - b->len))
		return -ENOMEM;
	memcpy(b->data + off, bytes, len);
	if (b->len < off + len)
		b->len = (size_t)off + len;
	return 0;
}

static ssize_t
mem_read_at(void *arg, uint64_t off, void *to, size_t len)
{
	struct memdev *v = arg;

	if (mem_fails(v->disk))
		return v->disk->fail;
	return mem_read(&v->disk->files[v->file].live, off, to, len);
}

static int
mem_write_at(void *arg, uint64_t off, const void *bytes, size_t len)
{
	struct memdev *v = arg;
	struct memdisk *d = v->disk;
	bool was = d->stopped;

	if (!mem_fails(d))
		return mem_write(&d->files[v->file].live, off, bytes, len);
	if (!was && mem_write(&d->files[v->file].live, off, bytes, len / 2) < 0)
		abort();
	return d->fail;
}

static int
mem_size(void *arg, uint64_t *size)
{
	struct memdev *v = arg;

	if (mem_fails(v->disk))
		return v->disk->fail;
	*size = v->disk->files[v->file].live.len;
	return 0;
}

static int
mem_truncate(void *arg, uint64_t size)
{
	struct memdev *v = arg;
	struct buf *b = &v->disk->files[v->file].live;

	if (v->disk->no_truncate || mem_fails(v->disk))
		return -EIO;
	while (b->len < size)
		buf_put_u8(b, 0);
	b->len = (size_t)size;
	return 0;
}

static int
mem_sync_file(struct memdisk *d, int file)
{
	if (mem_fails(d))
		return d->fail;
	mem_set(&d->files[file].durable, d->files[file].live.data, d->files[file].live.len);
	return 0;
}

static int
mem_sync(void *arg)
{
	struct memdev *v = arg;

	return mem_sync_file(v->disk, v->file);
}

static int
mem_next_create(void *arg)
{
	struct memdev *v = arg;

	if (mem_fails(v->disk))
		return v->disk->fail;
	v->next = mem_file(v->disk);
	return 0;
}

static int
mem_next_write(void *arg, uint64_t off, const void *bytes, size_t len)
{
	struct memdev *v = arg;
	const struct buf *b = &v->disk->files[v->next].live;
	uint8_t *copy;
	int rc;

	if (mem_fails(v->disk))
		return v->disk->fail;
	if (!v->disk->stale_write || off < WAL_HEADER_BYTES + len)
		return mem_write(&v->disk->files[v->next].live, off, bytes, len);
	copy = malloc(len);
	if (!copy)
		abort();
	memcpy(copy, b->data + off - len, len);
	rc = mem_write(&v->disk->files[v->next].live, off, copy, len);
	free(copy);
	return rc;
}

static ssize_t
mem_next_read(void *arg, uint64_t off, void *to, size_t len)
{
	struct memdev *v = arg;
	ssize_t n;

	if (mem_fails(v->disk))
		return v->disk->fail;
	n = mem_read(&v->disk->files[v->next].live, off, to, len);
	if (n > 0 && v->disk->bad_read_back)
		((uint8_t *)to)[n - 1] ^= 1;
	return n;
}

static int
mem_next_publish(void *arg)
{
	struct memdev *v = arg;
	struct memdisk *d = v->disk;
	int rc = mem_sync_file(d, v->next);

	if (rc < 0)
		return rc;
	if (mem_fails(d))
		return d->fail;
	if (!v->aside && d->live.wal >= 0)
		d->live.prev = d->live.wal;
	if (mem_fails(d))
		return d->fail;
	d->live.wal = v->next;
	if (mem_fails(d))
		return d->fail;
	d->durable = d->live;
	v->file = v->next;
	v->next = -1;
	v->aside = false;
	return 0;
}

static void
mem_next_abort(void *arg)
{
	struct memdev *v = arg;

	v->next = -1;
	v->aside = false;
}

static int
mem_set_aside(void *arg, char *name, size_t name_len)
{
	struct memdev *v = arg;
	struct memnames *n = &v->disk->live;
	int i = 0;

	if (mem_fails(v->disk))
		return v->disk->fail;
	while (i < n->ndamaged && n->damaged[i] != v->file)
		i++;
	if (i == MEM_DAMAGED_MAX)
		abort();
	if (i == n->ndamaged)
		n->damaged[n->ndamaged++] = v->file;
	snprintf(name, name_len, "wal.damaged-%d", i + 1);
	v->aside = true;
	return 0;
}

__attribute__((unused)) static void
mem_disk_init(struct memdisk *d)
{
	memset(d, 0, sizeof(*d));
	d->live.wal = d->live.prev = d->durable.wal = d->durable.prev = -1;
	d->fail = -EIO;
}

__attribute__((unused)) static void
mem_disk_free(struct memdisk *d)
{
	for (int i = 0; i < d->nfiles; i++) {
		buf_free(&d->files[i].live);
		buf_free(&d->files[i].durable);
	}
}

/* A disk with one file, named wal, of these bytes. */
__attribute__((unused)) static void
mem_disk_with(struct memdisk *d, const void *bytes, size_t len)
{
	mem_disk_init(d);
	d->live.wal = d->durable.wal = mem_file(d);
	mem_set(&d->files[0].live, bytes, len);
	mem_set(&d->files[0].durable, bytes, len);
}

/* All processes are gone; after a power cut so is everything that was not synced. */
__attribute__((unused)) static void
mem_restart(struct memdisk *d, bool power_cut)
{
	d->stopped = d->stop = d->writer = false;
	d->fail_at = 0;
	d->readers = 0;
	if (!power_cut)
		return;
	d->live = d->durable;
	for (int i = 0; i < d->nfiles; i++)
		mem_set(&d->files[i].live, d->files[i].durable.data, d->files[i].durable.len);
}

/* What the file named wal holds. */
__attribute__((unused)) static struct buf *
mem_wal(struct memdisk *d)
{
	return &d->files[d->live.wal].live;
}

__attribute__((unused)) static struct wal_dev
mem_dev(struct memdev *v, struct memdisk *d)
{
	*v = (struct memdev){.disk = d, .file = -1, .next = -1};
	return (struct wal_dev){
		.arg = v,
		.lock = mem_lock,
		.unlock = mem_unlock,
		.open_current = mem_open_current,
		.is_current = mem_is_current,
		.read_at = mem_read_at,
		.write_at = mem_write_at,
		.size = mem_size,
		.truncate = mem_truncate,
		.sync = mem_sync,
		.next_create = mem_next_create,
		.next_write = mem_next_write,
		.next_read = mem_next_read,
		.next_publish = mem_next_publish,
		.next_abort = mem_next_abort,
		.set_aside = mem_set_aside,
	};
}

#endif
