/* SPDX-License-Identifier: BSD-2-Clause */
/* Sets of dots as sorted ranges an origin. */
#include "config.h"

#include "proto/dotset.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/seeded.h"

#define SPAN_BYTES 16       /* on the wire */
#define ORIGIN_BYTES_MIN 12 /* on the wire: an origin with no spans */
#define DECIMAL_DIGITS_MAX 20

/* The place of the first origin that is not below `origin`. */
static uint32_t
lower_origin(const struct dotset *s, uint64_t origin)
{
	uint32_t lo = 0, hi = s->n;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (s->o[mid].origin < origin)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static struct dotspans *
find(const struct dotset *s, uint64_t origin)
{
	uint32_t i = lower_origin(s, origin);

	return i < s->n && s->o[i].origin == origin ? &s->o[i] : NULL;
}

/* The place of the first span that ends at seq or above. The end first: most adds go there. */
static uint32_t
lower_span(const struct dotspans *o, uint64_t seq)
{
	uint32_t lo = 0, hi = o->n;

	if (hi > 0 && o->span[hi - 1].hi < seq)
		return hi;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (o->span[mid].hi < seq)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* The capacity after `cap` that holds n. 0: there is none. */
static uint32_t
grown(uint32_t cap, uint64_t n)
{
	uint64_t to = cap ? (uint64_t)cap + cap / 2 + 1 : 1;

	if (to < n)
		to = n;
	return to <= UINT32_MAX ? (uint32_t)to : 0;
}

/* Room for n spans in all. */
static int
reserve_spans(struct dotspans *o, uint64_t n)
{
	uint32_t cap;
	struct dotspan *span;

	if (n <= o->cap)
		return 0;
	cap = grown(o->cap, n);
	if (cap == 0)
		return -ENOMEM;
	span = realloc(o->span, cap * sizeof(*span));
	if (!span)
		return -ENOMEM;
	o->span = span;
	o->cap = cap;
	return 0;
}

/* The origin's ranges, made if there are none. NULL: out of memory. */
static struct dotspans *
obtain(struct dotset *s, uint64_t origin)
{
	uint32_t i = lower_origin(s, origin);
	uint32_t cap;
	struct dotspans *o;

	if (i < s->n && s->o[i].origin == origin)
		return &s->o[i];
	if (s->n == s->cap) {
		cap = grown(s->cap, (uint64_t)s->n + 1);
		o = cap ? realloc(s->o, cap * sizeof(*o)) : NULL;
		if (!o)
			return NULL;
		s->o = o;
		s->cap = cap;
	}
	memmove(s->o + i + 1, s->o + i, (s->n - i) * sizeof(*s->o));
	s->o[i] = (struct dotspans){.origin = origin};
	s->n++;
	return &s->o[i];
}

/* No origin is in the set without a range: so equal sets have equal bytes. */
static void
drop_if_empty(struct dotset *s, struct dotspans *o)
{
	uint32_t i = (uint32_t)(o - s->o);

	if (o->n > 0)
		return;
	free(o->span);
	s->n--;
	memmove(o, o + 1, (s->n - i) * sizeof(*o));
}

void
dotset_free(struct dotset *s)
{
	dotset_clear(s);
	free(s->o);
	*s = (struct dotset){0};
}

void
dotset_clear(struct dotset *s)
{
	for (uint32_t i = 0; i < s->n; i++)
		free(s->o[i].span);
	s->n = 0;
}

bool
dotset_has(const struct dotset *s, struct dot d)
{
	return d.seq != 0 && dotset_next(s, d.origin, d.seq) == d.seq;
}

uint64_t
dotset_prefix(const struct dotset *s, uint64_t origin)
{
	const struct dotspans *o = find(s, origin);

	return o && (o->span[0].lo == 1 || SEEDED(prefix_with_gap)) ? o->span[0].hi : 0;
}

uint64_t
dotset_max(const struct dotset *s, uint64_t origin)
{
	const struct dotspans *o = find(s, origin);

	return o ? o->span[o->n - 1].hi : 0;
}

uint64_t
dotset_next(const struct dotset *s, uint64_t origin, uint64_t from)
{
	const struct dotspans *o = find(s, origin);
	uint32_t i;

	if (!o)
		return 0;
	i = lower_span(o, from);
	if (i == o->n)
		return 0;
	return o->span[i].lo > from ? o->span[i].lo : from;
}

/* Replaces the spans [i, j) by one. */
static int
replace(struct dotspans *o, uint32_t i, uint32_t j, struct dotspan by)
{
	if (i == j && reserve_spans(o, (uint64_t)o->n + 1) < 0)
		return -ENOMEM;
	assert(o->span != NULL);
	if (j != i + 1)
		memmove(o->span + i + 1, o->span + j, (o->n - j) * sizeof(*o->span));
	o->span[i] = by;
	o->n = o->n - (j - i) + 1;
	return 0;
}

static int
add_span(struct dotspans *o, struct dotspan by)
{
	/* From the first span that overlaps or touches to the first one that is clear above. */
	uint32_t i = lower_span(o, by.lo - 1), j;

	if (i == o->n)
		return replace(o, i, i, by);
	assert(o->span != NULL);
	if (o->span[i].lo > by.hi + 1)
		return replace(o, i, i, by);
	j = lower_span(o, by.hi + 1);
	if (j < o->n && o->span[j].lo <= by.hi + 1)
		j++;
	if (o->span[i].lo < by.lo)
		by.lo = o->span[i].lo;
	if (o->span[j - 1].hi > by.hi)
		by.hi = o->span[j - 1].hi;
	return replace(o, i, j, by);
}

int
dotset_add_range(struct dotset *s, uint64_t origin, uint64_t lo, uint64_t hi)
{
	struct dotspans *o;
	int rc;

	if (lo > hi)
		return 0;
	if (origin == 0 || lo == 0 || hi > DOT_SEQ_MAX)
		return -EINVAL;
	o = obtain(s, origin);
	if (!o)
		return -ENOMEM;
	rc = add_span(o, (struct dotspan){lo, hi});
	drop_if_empty(s, o);
	return rc;
}

int
dotset_add(struct dotset *s, struct dot d)
{
	return dotset_add_range(s, d.origin, d.seq, d.seq);
}

int
dotset_del(struct dotset *s, struct dot d)
{
	struct dotspans *o = find(s, d.origin);
	struct dotspan *span, left;
	uint32_t i = o ? lower_span(o, d.seq) : 0;

	if (!o || i == o->n || o->span[i].lo > d.seq || d.seq == 0)
		return 0;
	span = &o->span[i];
	if (span->lo == span->hi) {
		o->n--;
		memmove(span, span + 1, (o->n - i) * sizeof(*span));
		drop_if_empty(s, o);
	} else if (span->lo == d.seq) {
		span->lo++;
	} else if (span->hi == d.seq) {
		span->hi--;
	} else {
		left = (struct dotspan){span->lo, d.seq - 1};
		if (replace(o, i, i, left) < 0)
			return -ENOMEM;
		o->span[i + 1].lo = d.seq + 1;
	}
	return 0;
}

/* The spans of o from i on become the n of `by`. */
static int
replace_tail(struct dotspans *o, uint32_t i, const struct dotspan *by, uint32_t n)
{
	if (reserve_spans(o, (uint64_t)i + n) < 0)
		return -ENOMEM;
	if (n > 0)
		memcpy(o->span + i, by, n * sizeof(*by));
	o->n = i + n;
	return 0;
}

/* Appends to out, joining with the last one where they touch or overlap. Ascending lo. */
static void
append(struct dotspan *out, uint32_t *n, struct dotspan by)
{
	struct dotspan *last = *n > 0 ? &out[*n - 1] : NULL;

	if (!last || by.lo > last->hi + 1)
		out[(*n)++] = by;
	else if (by.hi > last->hi)
		last->hi = by.hi;
}

/* Both sorted lists in one; returns how many are in out, which has room for an + bn. */
static uint32_t
merge(struct dotspan *out, const struct dotspan *a, uint32_t an, const struct dotspan *b,
      uint32_t bn)
{
	uint32_t n = 0, i = 0, j = 0;

	while (i < an || j < bn) {
		if (j == bn || (i < an && a[i].lo <= b[j].lo))
			append(out, &n, a[i++]);
		else
			append(out, &n, b[j++]);
	}
	return n;
}

/* What of a is not in b; returns how many are in out, which has room for an + bn. */
static uint32_t
subtract(struct dotspan *out, const struct dotspan *a, uint32_t an, const struct dotspan *b,
	 uint32_t bn)
{
	uint32_t n = 0, j = 0;

	for (uint32_t i = 0; i < an; i++) {
		uint64_t lo = a[i].lo;

		while (j < bn && b[j].hi < lo)
			j++;
		/* The last of these may reach into the next span of a: j stays. */
		for (uint32_t k = j; k < bn && b[k].lo <= a[i].hi; k++) {
			if (b[k].lo > lo)
				out[n++] = (struct dotspan){lo, b[k].lo - 1};
			lo = b[k].hi + 1;
		}
		if (lo <= a[i].hi)
			out[n++] = (struct dotspan){lo, a[i].hi};
	}
	return n;
}

typedef uint32_t combine(struct dotspan *out, const struct dotspan *a, uint32_t an,
			 const struct dotspan *b, uint32_t bn);

/*
 * o becomes how(o, other). Only the spans from the first one that other can touch are looked at:
 * joining what is new at the end costs only what is new.
 */
static int
combine_spans(struct dotspans *o, const struct dotspans *other, combine *how)
{
	uint32_t i = lower_span(o, other->span[0].lo - 1), n;
	uint64_t room = (uint64_t)(o->n - i) + other->n;
	struct dotspan *out;
	int rc;

	if (room > UINT32_MAX)
		return -ENOMEM;
	out = malloc(room * sizeof(*out));
	if (!out)
		return -ENOMEM;
	n = how(out, o->span + i, o->n - i, other->span, other->n);
	rc = replace_tail(o, i, out, n);
	free(out);
	return rc;
}

int
dotset_join(struct dotset *s, const struct dotset *other)
{
	int rc = 0;

	if (s == other)
		return 0;
	for (uint32_t i = 0; i < other->n && rc == 0; i++) {
		struct dotspans *o = obtain(s, other->o[i].origin);

		if (!o)
			return -ENOMEM;
		if (o->n == 0)
			rc = replace_tail(o, 0, other->o[i].span, other->o[i].n);
		else
			rc = combine_spans(o, &other->o[i], merge);
		drop_if_empty(s, o);
	}
	return rc;
}

int
dotset_minus(struct dotset *s, const struct dotset *other)
{
	int rc = 0;

	if (s == other) {
		dotset_clear(s);
		return 0;
	}
	for (uint32_t i = 0; i < other->n && rc == 0; i++) {
		struct dotspans *o = find(s, other->o[i].origin);

		if (!o)
			continue;
		rc = combine_spans(o, &other->o[i], subtract);
		drop_if_empty(s, o);
	}
	return rc;
}

int
dotset_copy(struct dotset *to, const struct dotset *from)
{
	struct dotset copy = {0};

	if (to == from)
		return 0;
	if (dotset_join(&copy, from) < 0) {
		dotset_free(&copy);
		return -ENOMEM;
	}
	dotset_free(to);
	*to = copy;
	return 0;
}

static bool
spans_subset(const struct dotspans *a, const struct dotspans *b)
{
	uint32_t j = lower_span(b, a->span[0].lo);

	for (uint32_t i = 0; i < a->n; i++) {
		while (j < b->n && b->span[j].hi < a->span[i].lo)
			j++;
		if (j == b->n || b->span[j].lo > a->span[i].lo || b->span[j].hi < a->span[i].hi)
			return false;
	}
	return true;
}

bool
dotset_subset(const struct dotset *a, const struct dotset *b)
{
	for (uint32_t i = 0; i < a->n; i++) {
		const struct dotspans *in = find(b, a->o[i].origin);

		if (!in || !spans_subset(&a->o[i], in))
			return false;
	}
	return true;
}

bool
dotset_eq(const struct dotset *a, const struct dotset *b)
{
	if (a->n != b->n)
		return false;
	for (uint32_t i = 0; i < a->n; i++) {
		const struct dotspans *p = &a->o[i], *q = &b->o[i];

		if (p->origin != q->origin || p->n != q->n ||
		    memcmp(p->span, q->span, p->n * sizeof(*p->span)) != 0)
			return false;
	}
	return true;
}

bool
dotset_empty(const struct dotset *s)
{
	return s->n == 0;
}

uint64_t
dotset_count(const struct dotset *s)
{
	uint64_t count = 0;

	for (uint32_t i = 0; i < s->n; i++) {
		for (uint32_t j = 0; j < s->o[i].n; j++) {
			const struct dotspan *span = &s->o[i].span[j];

			if (__builtin_add_overflow(count, span->hi - span->lo + 1, &count))
				return UINT64_MAX;
		}
	}
	return count;
}

uint64_t
dotset_spans(const struct dotset *s)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < s->n; i++)
		n += s->o[i].n;
	return n;
}

/* FNV-1a over the low `width` bytes of v, lowest first. */
static uint64_t
fnv(uint64_t h, uint64_t v, unsigned width)
{
	for (unsigned i = 0; i < width; i++)
		h = (h ^ (v >> (8 * i) & 255)) * 0x100000001b3u;
	return h;
}

uint64_t
dotset_digest(const struct dotset *s)
{
	uint64_t h = fnv(0xcbf29ce484222325u, s->n, 4);

	for (uint32_t i = 0; i < s->n; i++) {
		h = fnv(h, s->o[i].origin, 8);
		h = fnv(h, s->o[i].n, 4);
		for (uint32_t j = 0; j < s->o[i].n; j++) {
			h = fnv(h, s->o[i].span[j].lo, 8);
			h = fnv(h, s->o[i].span[j].hi, 8);
		}
	}
	return h;
}

static void
encode_spans(struct buf *b, const struct dotspans *o)
{
	buf_put_u64(b, o->origin);
	buf_put_u32(b, o->n);
	for (uint32_t i = 0; i < o->n; i++) {
		buf_put_u64(b, o->span[i].lo);
		buf_put_u64(b, o->span[i].hi);
	}
}

void
dotset_encode(struct buf *b, const struct dotset *s)
{
	buf_put_u32(b, s->n);
	for (uint32_t i = 0; i < s->n; i++)
		encode_spans(b, &s->o[i]);
}

void
dotset_encode_origin(struct buf *b, const struct dotset *s, uint64_t origin)
{
	const struct dotspans none = {.origin = origin};
	const struct dotspans *o = find(s, origin);

	buf_put_u32(b, 1);
	encode_spans(b, o ? o : &none);
}

/* Reads n spans to the end of o, which has none yet. */
static int
decode_spans(struct cur *c, struct dotspans *o, uint32_t n)
{
	uint64_t last = 0, lo, hi;

	if (n > c->left / SPAN_BYTES)
		return -EPROTO;
	if (reserve_spans(o, n) < 0)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++) {
		lo = cur_u64(c);
		hi = cur_u64(c);
		/* The first span may start at 1, every other one leaves a gap. */
		if (lo == 0 || (i > 0 && lo <= last + 1) || hi < lo || hi > DOT_SEQ_MAX)
			return -EPROTO;
		o->span[o->n++] = (struct dotspan){lo, hi};
		last = hi;
	}
	return 0;
}

/* Reads one origin above `last` with its spans; *budget is how many spans are still allowed. */
static int
decode_origin(struct cur *c, struct dotset *s, uint64_t *last, uint32_t *budget)
{
	uint64_t origin = cur_u64(c);
	uint32_t n = cur_u32(c);
	struct dotspans *o;
	int rc;

	if (c->bad || origin <= *last || n > *budget)
		return -EPROTO;
	*last = origin;
	*budget -= n;
	if (n == 0)
		return 0;
	o = obtain(s, origin);
	if (!o)
		return -ENOMEM;
	rc = decode_spans(c, o, n);
	drop_if_empty(s, o);
	return rc;
}

int
dotset_decode(struct cur *c, struct dotset *out)
{
	struct dotset s = {0};
	uint32_t origins = cur_u32(c), budget = DOTSET_SPANS_MAX;
	uint64_t last = 0;
	int rc = 0;

	*out = s;
	if (c->bad || origins > c->left / ORIGIN_BYTES_MIN)
		return -EPROTO;
	for (uint32_t i = 0; i < origins && rc == 0; i++)
		rc = decode_origin(c, &s, &last, &budget);
	if (rc < 0)
		dotset_free(&s);
	else
		*out = s;
	return rc;
}

static void
put_decimal(struct buf *b, uint64_t v)
{
	char digits[DECIMAL_DIGITS_MAX];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + v % 10);
		v /= 10;
	} while (v > 0);
	buf_put(b, digits + at, sizeof(digits) - at);
}

static void
put_hex(struct buf *b, uint64_t v)
{
	for (unsigned shift = 64; shift > 0; shift -= 4)
		buf_put_u8(b, (uint8_t) "0123456789abcdef"[v >> (shift - 4) & 15]);
}

void
dotset_text(struct buf *b, const struct dotset *s)
{
	for (uint32_t i = 0; i < s->n; i++) {
		if (i > 0)
			buf_put_u8(b, ';');
		put_hex(b, s->o[i].origin);
		for (uint32_t j = 0; j < s->o[i].n; j++) {
			const struct dotspan *span = &s->o[i].span[j];

			buf_put_u8(b, j == 0 ? ':' : ',');
			put_decimal(b, span->lo);
			if (span->hi == span->lo)
				continue;
			buf_put_u8(b, '-');
			put_decimal(b, span->hi);
		}
	}
}
