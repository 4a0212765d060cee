/* SPDX-License-Identifier: BSD-2-Clause */
/* Dots and version vectors. */
#include "config.h"

#include "proto/vv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define VV_ENTRY_BYTES 16 /* on the wire */
#define DOT_ORIGIN_DIGITS 16
#define DOT_SEQ_DIGITS_MAX 16

bool
dot_eq(struct dot a, struct dot b)
{
	return a.origin == b.origin && a.seq == b.seq;
}

int
dot_cmp(struct dot a, struct dot b)
{
	if (a.origin != b.origin)
		return a.origin < b.origin ? -1 : 1;
	return (a.seq > b.seq) - (a.seq < b.seq);
}

bool
dot_none(struct dot d)
{
	return d.origin == 0 && d.seq == 0;
}

void
dot_text(struct dot d, char out[DOT_TEXT_BYTES])
{
	const char *hex = "0123456789abcdef";
	unsigned shift = 60;

	for (unsigned i = 0; i < DOT_ORIGIN_DIGITS; i++)
		*out++ = hex[d.origin >> (60 - 4 * i) & 15];
	*out++ = '-';
	while (shift > 0 && d.seq >> shift == 0)
		shift -= 4;
	for (;; shift -= 4) {
		*out++ = hex[d.seq >> shift & 15];
		if (shift == 0)
			break;
	}
	*out = '\0';
}

/* The value of one lower-case hexadecimal digit, or -1. */
static int
digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Reads at most `max` digits; returns how many there were. */
static size_t
digits(const char *text, size_t max, uint64_t *out)
{
	size_t n = 0;

	*out = 0;
	for (; n < max && digit(text[n]) >= 0; n++)
		*out = *out << 4 | (uint64_t)digit(text[n]);
	return n;
}

int
dot_parse(const char *text, struct dot *out)
{
	struct dot d;
	size_t n;

	if (digits(text, DOT_ORIGIN_DIGITS, &d.origin) != DOT_ORIGIN_DIGITS)
		return -EINVAL;
	text += DOT_ORIGIN_DIGITS;
	if (*text++ != '-')
		return -EINVAL;
	n = digits(text, DOT_SEQ_DIGITS_MAX, &d.seq);
	if (n == 0 || text[n] != '\0' || (n > 1 && text[0] == '0'))
		return -EINVAL;
	*out = d;
	return 0;
}

void
vv_free(struct vv *v)
{
	free(v->e);
	*v = (struct vv){0};
}

/* The place of the first entry whose origin is not below `origin`. */
static uint32_t
lower(const struct vv *v, uint64_t origin)
{
	uint32_t lo = 0, hi = v->n;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (v->e[mid].origin < origin)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

bool
vv_covers(const struct vv *v, struct dot d)
{
	return d.seq <= vv_get(v, d.origin);
}

uint64_t
vv_get(const struct vv *v, uint64_t origin)
{
	uint32_t i = lower(v, origin);

	return i < v->n && v->e[i].origin == origin ? v->e[i].seq : 0;
}

/* Room for one more entry. */
static int
reserve(struct vv *v)
{
	uint32_t cap = v->cap ? v->cap * 2 : 4;
	struct dot *e;

	if (v->n < v->cap)
		return 0;
	if (v->cap > UINT32_MAX / 2)
		return -ENOMEM;
	e = realloc(v->e, (size_t)cap * sizeof(*e));
	if (!e)
		return -ENOMEM;
	v->e = e;
	v->cap = cap;
	return 0;
}

int
vv_add(struct vv *v, struct dot d)
{
	uint32_t i = lower(v, d.origin);

	if (d.seq == 0)
		return 0;
	if (i < v->n && v->e[i].origin == d.origin) {
		if (v->e[i].seq < d.seq)
			v->e[i].seq = d.seq;
		return 0;
	}
	if (reserve(v) < 0)
		return -ENOMEM;
	memmove(v->e + i + 1, v->e + i, (v->n - i) * sizeof(*v->e));
	v->e[i] = d;
	v->n++;
	return 0;
}

int
vv_join(struct vv *v, const struct vv *other)
{
	for (uint32_t i = 0; i < other->n; i++)
		if (vv_add(v, other->e[i]) < 0)
			return -ENOMEM;
	return 0;
}

int
vv_copy(struct vv *to, const struct vv *from)
{
	struct dot *e;

	if (to == from)
		return 0;
	if (from->n > to->cap) {
		e = realloc(to->e, from->n * sizeof(*e));
		if (!e)
			return -ENOMEM;
		to->e = e;
		to->cap = from->n;
	}
	if (from->n > 0)
		memcpy(to->e, from->e, from->n * sizeof(*to->e));
	to->n = from->n;
	return 0;
}

bool
vv_leq(const struct vv *a, const struct vv *b)
{
	for (uint32_t i = 0; i < a->n; i++)
		if (!vv_covers(b, a->e[i]))
			return false;
	return true;
}

bool
vv_eq(const struct vv *a, const struct vv *b)
{
	if (a->n != b->n)
		return false;
	for (uint32_t i = 0; i < a->n; i++)
		if (!dot_eq(a->e[i], b->e[i]))
			return false;
	return true;
}

void
vv_encode(struct buf *b, const struct vv *v)
{
	if (v->n > VV_ENTRIES_MAX) {
		b->failed = true;
		return;
	}
	buf_put_u16(b, (uint16_t)v->n);
	for (uint32_t i = 0; i < v->n; i++) {
		buf_put_u64(b, v->e[i].origin);
		buf_put_u64(b, v->e[i].seq);
	}
}

/* Reads n entries into e; false unless they are sorted, not zero and not too large. */
static bool
decode_entries(struct cur *c, struct dot *e, uint32_t n)
{
	uint64_t last = 0;

	for (uint32_t i = 0; i < n; i++) {
		e[i].origin = cur_u64(c);
		e[i].seq = cur_u64(c);
		if (e[i].origin <= last || e[i].seq == 0 || e[i].seq > DOT_SEQ_MAX)
			return false;
		last = e[i].origin;
	}
	return true;
}

int
vv_decode(struct cur *c, struct vv *out)
{
	uint32_t n = cur_u16(c);
	struct vv v = {0};

	*out = v;
	if (c->bad || n > VV_ENTRIES_MAX || n > c->left / VV_ENTRY_BYTES)
		return -EPROTO;
	if (n == 0)
		return 0;
	v.e = malloc(n * sizeof(*v.e));
	if (!v.e)
		return -ENOMEM;
	v.n = v.cap = n;
	if (!decode_entries(c, v.e, n)) {
		vv_free(&v);
		return -EPROTO;
	}
	*out = v;
	return 0;
}
