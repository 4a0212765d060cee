/* SPDX-License-Identifier: BSD-2-Clause */
/* A WAL's device in memory, shared by two processes. */
#include "config.h"

#include "tests/simulator/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool
gone(struct logdev *v)
{
	if (!v->dead && v->step != NULL && v->step(v->arg))
		v->dead = true;
	return v->dead;
}

static struct log_file *
current(const struct logdev *v)
{
	return v->disk->file[v->file];
}

static void
put(struct buf *b, size_t off, const void *bytes, size_t len)
{
	while (b->len < off) /* the header of a new file is written last */
		buf_put_u8(b, 0);
	if (b->failed || (b->len < off + len && buf_room(b, off + len - b->len) == NULL))
		abort();
	memcpy(b->data + off, bytes, len);
	if (b->len < off + len)
		b->len = off + len;
}

static void
save(struct log_file *f)
{
	f->durable.len = f->same;
	if (f->live.len > f->same)
		put(&f->durable, f->same, f->live.data + f->same, f->live.len - f->same);
	f->same = f->live.len;
}

static int
dev_sync_file(struct logdev *v, int file)
{
	struct logdisk *d = v->disk;

	if (d->fsync_fails > 0 && --d->fsync_fails == 0)
		return -EIO;
	save(d->file[file]);
	if (file == d->wal && d->durable != NULL)
		d->durable(d->arg, v, &d->file[file]->durable);
	return 0;
}

/* What a killed holder left behind unsynced is synced by the next one. */
static int
dev_lock(void *arg, bool exclusive, bool wait)
{
	struct logdev *v = arg;
	struct logdisk *d = v->disk;

	(void)exclusive;
	if (gone(v))
		return -EIO;
	if (d->holder != NULL) {
		v->blocked = wait;
		return wait ? -EDEADLK : -EAGAIN;
	}
	d->holder = v;
	if (d->wal >= 0 && (d->file[d->wal]->same != d->file[d->wal]->live.len ||
			    d->file[d->wal]->durable.len != d->file[d->wal]->live.len))
		return dev_sync_file(v, d->wal);
	return 0;
}

static void
dev_unlock(void *arg)
{
	struct logdev *v = arg;

	if (v->disk->holder == v)
		v->disk->holder = NULL;
}

static int
dev_open_current(void *arg)
{
	struct logdev *v = arg;

	if (gone(v))
		return -EIO;
	if (v->disk->wal < 0)
		return -ENOENT;
	v->file = v->disk->wal;
	return 0;
}

static int
dev_is_current(void *arg)
{
	const struct logdev *v = arg;

	return v->file >= 0 && v->file == v->disk->wal;
}

static ssize_t
read_file(const struct log_file *f, uint64_t off, void *to, size_t len)
{
	size_t n;

	if (off >= f->live.len)
		return 0;
	n = f->live.len - (size_t)off < len ? f->live.len - (size_t)off : len;
	if (n > 0)
		memcpy(to, f->live.data + off, n);
	return (ssize_t)n;
}

static ssize_t
dev_read_at(void *arg, uint64_t off, void *to, size_t len)
{
	struct logdev *v = arg;

	return gone(v) ? -EIO : read_file(current(v), off, to, len);
}

static int
write_file(struct log_file *f, uint64_t off, const void *bytes, size_t len)
{
	put(&f->live, (size_t)off, bytes, len);
	if (f->same > off)
		f->same = (size_t)off;
	return 0;
}

static int
dev_write_at(void *arg, uint64_t off, const void *bytes, size_t len)
{
	struct logdev *v = arg;
	size_t room = v->disk->free_bytes < len ? (size_t)v->disk->free_bytes : len;

	if (v->dead)
		return -EIO;
	if (gone(v)) { /* killed in it: a part of it was written */
		write_file(current(v), off, bytes, (size_t)rng_below(v->disk->rng, len + 1));
		return -EIO;
	}
	write_file(current(v), off, bytes, room);
	if (v->disk->appended != NULL)
		v->disk->appended(v->disk->arg, v);
	return room < len ? -ENOSPC : 0;
}

static int
dev_size(void *arg, uint64_t *size)
{
	struct logdev *v = arg;

	if (gone(v))
		return -EIO;
	*size = current(v)->live.len;
	return 0;
}

static int
dev_truncate(void *arg, uint64_t size)
{
	struct logdev *v = arg;
	struct log_file *f = current(v);

	if (gone(v))
		return -EIO;
	if (size < f->live.len)
		f->live.len = (size_t)size;
	if (f->same > size)
		f->same = (size_t)size;
	return 0;
}

static int
dev_sync(void *arg)
{
	struct logdev *v = arg;

	return gone(v) ? -EIO : dev_sync_file(v, v->file);
}

static int
dev_next_create(void *arg)
{
	struct logdev *v = arg;

	if (gone(v))
		return -EIO;
	if (v->disk->nfiles == LOG_FILES_MAX)
		return -ENOSPC;
	v->next = v->disk->nfiles++;
	v->disk->file[v->next] = calloc(1, sizeof(struct log_file));
	if (v->disk->file[v->next] == NULL)
		abort();
	return 0;
}

static int
dev_next_write(void *arg, uint64_t off, const void *bytes, size_t len)
{
	struct logdev *v = arg;

	return gone(v) ? -EIO : write_file(v->disk->file[v->next], off, bytes, len);
}

static ssize_t
dev_next_read(void *arg, uint64_t off, void *to, size_t len)
{
	struct logdev *v = arg;

	return gone(v) ? -EIO : read_file(v->disk->file[v->next], off, to, len);
}

static int
dev_next_publish(void *arg)
{
	struct logdev *v = arg;
	struct logdisk *d = v->disk;

	if (gone(v))
		return -EIO;
	save(d->file[v->next]);
	d->wal = v->file = v->next;
	v->next = -1;
	v->aside = false;
	if (d->durable != NULL)
		d->durable(d->arg, v, &d->file[d->wal]->durable);
	return 0;
}

static void
dev_next_abort(void *arg)
{
	struct logdev *v = arg;

	v->next = -1;
	v->aside = false;
}

static int
dev_set_aside(void *arg, char *name, size_t name_len)
{
	struct logdev *v = arg;

	if (gone(v))
		return -EIO;
	snprintf(name, name_len, "wal.damaged-%u", ++v->disk->ndamaged);
	v->aside = true;
	return 0;
}

struct wal_dev
logdev_dev(struct logdev *v)
{
	return (struct wal_dev){
		.arg = v,
		.lock = dev_lock,
		.unlock = dev_unlock,
		.open_current = dev_open_current,
		.is_current = dev_is_current,
		.read_at = dev_read_at,
		.write_at = dev_write_at,
		.size = dev_size,
		.truncate = dev_truncate,
		.sync = dev_sync,
		.next_create = dev_next_create,
		.next_write = dev_next_write,
		.next_read = dev_next_read,
		.next_publish = dev_next_publish,
		.next_abort = dev_next_abort,
		.set_aside = dev_set_aside,
	};
}

void
logdev_init(struct logdev *v, struct logdisk *d)
{
	*v = (struct logdev){.disk = d, .file = -1, .next = -1};
}

void
logdev_dead(struct logdev *v)
{
	v->dead = true;
	dev_unlock(v);
}

/* Of what was not synced some first part stays, its last bytes perhaps as zeros. */
void
logdisk_power_cut(struct logdisk *d)
{
	struct log_file *f = d->wal >= 0 ? d->file[d->wal] : NULL;
	size_t extra, zeros;

	d->holder = NULL;
	if (f == NULL)
		return;
	extra = f->live.len > f->same ? f->live.len - f->same : 0;
	if (f->durable.len > f->same && extra == 0) { /* a cut that was not synced either */
		f->live.len = f->same;
		put(&f->live, f->same, f->durable.data + f->same, f->durable.len - f->same);
		f->same = f->live.len;
		return;
	}
	extra = (size_t)rng_below(d->rng, extra + 1);
	zeros = rng_once_in(d->rng, 3) ? (size_t)rng_below(d->rng, extra + 1) : 0;
	f->live.len = f->same + extra;
	if (zeros > 0)
		memset(f->live.data + f->live.len - zeros, 0, zeros);
	save(f);
}

struct logdisk *
logdisk_new(struct rng *rng)
{
	struct logdisk *d = calloc(1, sizeof(*d));

	if (d == NULL)
		abort();
	d->rng = rng;
	d->wal = -1;
	d->free_bytes = UINT64_MAX;
	return d;
}

void
logdisk_free(struct logdisk *d)
{
	if (d == NULL)
		return;
	for (int i = 0; i < d->nfiles; i++) {
		buf_free(&d->file[i]->live);
		buf_free(&d->file[i]->durable);
		free(d->file[i]);
	}
	free(d);
}
