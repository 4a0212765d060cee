/* SPDX-License-Identifier: BSD-2-Clause */
/* What the tests of the index share: short ways to make records and to fold entries. Header only.
 */
#ifndef MIMEO_TESTS_FOLD_H
#define MIMEO_TESTS_FOLD_H

#include <stdlib.h>
#include <string.h>

#include "proto/index.h"

#define FOLD_SEED 7919u

__attribute__((unused)) static uint64_t
draw(uint64_t *seed)
{
	uint64_t z = *seed += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static void
must(int rc)
{
	if (rc < 0)
		abort();
}

__attribute__((unused)) static struct dot
dot(uint64_t origin, uint64_t seq)
{
	return (struct dot){origin, seq};
}

__attribute__((unused)) static struct index *
fold_index(void)
{
	struct index *x = index_new(FOLD_SEED, "self");

	if (x == NULL)
		abort();
	return x;
}

/* A record without a context. content: what its hash, size and, for a link, target are made of. */
__attribute__((unused)) static struct record
rec(const char *path, struct dot d, uint64_t hlc, uint8_t kind, uint8_t content)
{
	static const uint8_t ops[] = {OP_DELETE, OP_ADD, OP_MKDIR, OP_SYMLINK};
	static const uint8_t target[] = "0123456789abcdef";
	struct record r = {
		.dot = d,
		.hlc = hlc,
		.kind = kind,
		.op = ops[kind],
		.path = (const uint8_t *)path,
		.path_len = (uint16_t)strlen(path),
	};

	if (kind == KIND_FILE || kind == KIND_DIR)
		r.mode = kind == KIND_DIR ? 0755 : 0644;
	if (kind == KIND_DIR)
		return r;
	r.hash[0] = content;
	r.size = content;
	if (kind == KIND_FILE)
		r.mtime_ns = 1000 + content;
	if (kind == KIND_SYMLINK) {
		r.target = target;
		r.target_len = (uint16_t)(1 + content % 16);
		r.size = r.target_len;
	}
	return r;
}

__attribute__((unused)) static struct record
import(struct record r)
{
	r.flags |= RECORD_IMPORT;
	return r;
}

/* r's author had this one applied at the path. */
__attribute__((unused)) static void
after(struct record *r, const struct record *seen)
{
	must(vv_join(&r->ctx, &seen->ctx));
	must(vv_add(&r->ctx, seen->dot));
}

/* Every fold is followed by a check of everything that is derived. */
static void
fold(struct index *x, const struct entry *e)
{
	must(index_fold(x, e));
	index_check(x);
}

__attribute__((unused)) static void
fold_known(struct index *x, const struct record *r)
{
	fold(x, &(struct entry){.type = ENTRY_KNOWN, .rec = *r});
}

/* Own records need fold_origin(x, origin, "self") before. */
__attribute__((unused)) static void
fold_own(struct index *x, const struct record *r)
{
	struct sig sig = {
		.ino = r->dot.seq + 100, .size = r->size, .mtime_ns = r->mtime_ns, .kind = r->kind};

	fold(x, &(struct entry){.type = ENTRY_RECORD, .rec = *r, .sig = sig});
}

__attribute__((unused)) static void
fold_applied(struct index *x, const char *path, struct dot d, uint8_t flags)
{
	struct sig sig = {.ino = d.origin * 1000 + d.seq, .kind = KIND_FILE};

	fold(x, &(struct entry){.type = ENTRY_APPLIED,
				.path = (const uint8_t *)path,
				.path_len = strlen(path),
				.dot = d,
				.flags = flags,
				.sig = sig});
}

/* ENTRY_DROPPED, COLLECTED, REMOVED. */
__attribute__((unused)) static void
fold_at(struct index *x, uint8_t type, const char *path, struct dot d)
{
	fold(x, &(struct entry){.type = type,
				.path = (const uint8_t *)path,
				.path_len = strlen(path),
				.dot = d});
}

__attribute__((unused)) static void
fold_intent(struct index *x, const char *path, struct dot d, uint8_t action, uint64_t ino,
	    const char *from)
{
	fold(x, &(struct entry){.type = ENTRY_INTENT,
				.path = (const uint8_t *)path,
				.path_len = strlen(path),
				.dot = d,
				.action = action,
				.ino = ino,
				.from = (const uint8_t *)from,
				.from_len = from != NULL ? strlen(from) : 0});
}

__attribute__((unused)) static void
fold_set(struct index *x, uint8_t type, uint64_t origin, uint64_t lo, uint64_t hi)
{
	struct entry e = {.type = type};

	must(dotset_add_range(&e.set, origin, lo, hi));
	fold(x, &e);
	entry_clear(&e);
}

__attribute__((unused)) static void
fold_num(struct index *x, uint8_t type, uint64_t num)
{
	fold(x, &(struct entry){.type = type, .num = num});
}

__attribute__((unused)) static void
fold_origin(struct index *x, uint64_t origin, const char *node)
{
	fold(x, &(struct entry){.type = ENTRY_ORIGIN,
				.num = origin,
				.num2 = origin * 7,
				.name = (const uint8_t *)node,
				.name_len = strlen(node)});
}

__attribute__((unused)) static void
fold_kept(struct index *x, const struct record *r, uint64_t since)
{
	fold(x, &(struct entry){.type = ENTRY_KEPT, .dot = r->dot, .num = since, .rec = *r});
}

/* NULL: nothing is known of the path. */
__attribute__((unused)) static struct pathent *
at(const struct index *x, const char *path)
{
	return index_find(x, path, strlen(path));
}

__attribute__((unused)) static bool
is_head(const struct index *x, const char *path, struct dot d)
{
	struct pathent *e = at(x, path);
	struct irec *i = e != NULL ? index_record(e, d) : NULL;

	return i != NULL && i->head;
}

/* What should be shown: the dot of the record; {0, 1} an implied directory, {0, 0} nothing. */
__attribute__((unused)) static struct dot
wanted(const struct index *x, const char *path)
{
	struct pathent *e = at(x, path);
	struct irec *r;

	if (e == NULL)
		return dot(0, 0);
	switch (index_want(e, &r)) {
	case WANT_RECORD:
		return r->r->dot;
	case WANT_DIR:
		return dot(0, 1);
	default:
		return dot(0, 0);
	}
}

/* What the index says is shown, in the same form. */
__attribute__((unused)) static struct dot
shown(const struct index *x, const char *path)
{
	struct pathent *e = at(x, path);

	if (e == NULL || (e->shown == NULL && !e->shown_dir))
		return dot(0, 0);
	return e->shown != NULL ? e->shown->r->dot : dot(0, 1);
}

#endif
