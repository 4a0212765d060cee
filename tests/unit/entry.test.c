/* SPDX-License-Identifier: BSD-2-Clause */
/* WAL entries: the bytes of each type, what is refused, every truncation and every flipped bit. */
#include "config.h"

#include "proto/entry.h"

#include <errno.h>
#include <stdlib.h>

#include "tests/tap.h"

static const uint8_t a_path[] = "d/f.jpg";
static const uint8_t a_blob[] = {0, 255, 10, 'x'};
static struct dot ctx[] = {{3, 9}, {4, 1}};
static struct dotspan spans[] = {{1, 5}, {7, 7}};
static struct dotspans origins[] = {{8, spans, 2, 0}};

static struct record
record(void)
{
	return (struct record){
		.dot = {0x0102030405060708, 9},
		.hlc = 77,
		.kind = KIND_FILE,
		.op = OP_EDIT,
		.mode = 0640,
		.size = 123456,
		.mtime_ns = -1,
		.hash = {1, 2, 3},
		.path = a_path,
		.path_len = sizeof(a_path) - 1,
		.ctx = {ctx, 2, 0},
	};
}

/* One entry of the type with every field set that it has, and none else. */
static struct entry
sample(uint8_t type)
{
	struct entry e = {.type = type};

	switch ((enum entry_type)type) {
	case ENTRY_ORIGIN:
		e.num = 0x1122334455667788;
		e.num2 = 5;
		e.name = (const uint8_t *)"web-1";
		e.name_len = 5;
		return e;
	case ENTRY_MEMBER:
	case ENTRY_ANSWER:
		e.num = type == ENTRY_ANSWER ? 3 : 0;
		e.blob = a_blob;
		e.blob_len = sizeof(a_blob);
		return e;
	case ENTRY_RECORD:
		e.sig = (struct sig){.ino = 6, .kind = KIND_FILE, .mode = 0644};
		e.rec = record();
		return e;
	case ENTRY_KNOWN:
		e.rec = record();
		return e;
	case ENTRY_KEPT:
		e.dot = (struct dot){0x0102030405060708, 9};
		e.num = 1700000000000;
		e.rec = record();
		return e;
	case ENTRY_VECTOR:
	case ENTRY_FLOOR:
	case ENTRY_HELD:
		e.set = (struct dotset){origins, 1, 0};
		return e;
	case ENTRY_FROZEN:
	case ENTRY_THAWED:
	case ENTRY_AWAIT:
		e.num = UINT64_MAX;
		return e;
	case ENTRY_BARRIER:
	case ENTRY_CLOCK:
		e.num = UINT64_MAX;
		return e;
	case ENTRY_SCANNED:
		e.num = 12;
		e.num2 = 34;
		return e;
	case ENTRY_PAUSE:
		e.num = 1;
		return e;
	case ENTRY_PURGED:
		e.dot = (struct dot){0, 15};
		return e;
	default:
		break;
	}
	/* The others begin with a path. */
	e.path = a_path;
	e.path_len = sizeof(a_path) - 1;
	e.dot = (struct dot){3, 4};
	switch ((enum entry_type)type) {
	case ENTRY_SIG:
	case ENTRY_ALTERED:
		e.dot = (struct dot){0, 0};
		e.sig = (struct sig){.ino = 6, .size = 7, .ctime_ns = 8, .provisional = true};
		break;
	case ENTRY_INTENT:
		e.action = ACTION_MOVE;
		e.ino = 99;
		e.from = (const uint8_t *)"from";
		e.from_len = 4;
		break;
	case ENTRY_APPLIED:
		e.flags = APPLIED_SHOWN;
		e.sig = (struct sig){.ino = 6, .kind = KIND_DIR};
		break;
	case ENTRY_DROPPED:
		e.dot = (struct dot){0, 0};
		break;
	case ENTRY_CONTEXT:
		e.dot = (struct dot){0, 0};
		e.rec.ctx = (struct vv){ctx, 2, 0};
		break;
	default:
		break;
	}
	return e;
}

/* Decodes a copy of its own size, so that a sanitizer sees a read past the end. *keep: the copy. */
static int
decode(const uint8_t *bytes, size_t len, struct entry *e, uint8_t **keep)
{
	*keep = malloc(len ? len : 1);
	if (!*keep)
		abort();
	if (len > 0)
		memcpy(*keep, bytes, len);
	return entry_decode(*keep, len, e);
}

static int
verdict(const uint8_t *bytes, size_t len)
{
	uint8_t *keep;
	struct entry e;
	int rc = decode(bytes, len, &e, &keep);

	if (rc < 0 && (e.type != 0 || e.path || e.rec.ctx.e || e.set.o))
		rc = -EBADE; /* an entry that was refused is all zero */
	entry_clear(&e);
	free(keep);
	return rc;
}

/* What the entry's own encoding decodes to. */
static int
allowed(const struct entry *e)
{
	struct buf b = {0};
	int rc;

	entry_encode(&b, e);
	rc = b.failed ? -ENOMEM : verdict(b.data, b.len);
	buf_free(&b);
	return rc;
}

static bool
same(const struct entry *a, const struct entry *b)
{
	return a->type == b->type && a->flags == b->flags && a->action == b->action &&
	       dot_eq(a->dot, b->dot) && a->num == b->num && a->num2 == b->num2 &&
	       a->ino == b->ino && sig_eq(&a->sig, &b->sig) &&
	       a->sig.provisional == b->sig.provisional && dot_eq(a->rec.dot, b->rec.dot) &&
	       vv_eq(&a->rec.ctx, &b->rec.ctx) && record_same_content(&a->rec, &b->rec) &&
	       dotset_eq(&a->set, &b->set) && a->path_len == b->path_len &&
	       a->from_len == b->from_len && a->name_len == b->name_len &&
	       a->blob_len == b->blob_len &&
	       (a->path_len == 0 || memcmp(a->path, b->path, a->path_len) == 0) &&
	       (a->from_len == 0 || memcmp(a->from, b->from, a->from_len) == 0) &&
	       (a->name_len == 0 || memcmp(a->name, b->name, a->name_len) == 0) &&
	       (a->blob_len == 0 || memcmp(a->blob, b->blob, a->blob_len) == 0);
}

static void
test_round_trip(void)
{
	for (uint8_t type = 1; type <= ENTRY_TYPE_MAX; type++) {
		struct entry e = sample(type), got;
		struct buf b = {0};
		uint8_t *keep;
		size_t n = 0;

		entry_encode(&b, &e);
		ok(decode(b.data, b.len, &got, &keep) == 0 && same(&e, &got) && b.data[0] == type,
		   "%s comes back", entry_type_name(type));
		entry_clear(&got);
		free(keep);
		while (n < b.len && verdict(b.data, n) == -EPROTO)
			n++;
		is_int(n, b.len, "%s: each truncation is refused", entry_type_name(type));
		buf_put_u8(&b, 0);
		is_int(verdict(b.data, b.len), -EPROTO, "%s: a byte too many",
		       entry_type_name(type));
		buf_free(&b);
	}
}

/* Each flipped bit is refused, or is another entry of the same length that encodes to itself. */
static void
test_flips(void)
{
	bool good = true;
	size_t tried = 0;

	for (uint8_t type = 1; type <= ENTRY_TYPE_MAX; type++) {
		struct entry e = sample(type);
		struct buf b = {0}, again = {0};

		entry_encode(&b, &e);
		for (size_t i = 0; i < b.len * 8 && good; i++, tried++) {
			struct entry got;
			uint8_t *keep;
			int rc;

			b.data[i / 8] ^= (uint8_t)(1u << i % 8);
			rc = decode(b.data, b.len, &got, &keep);
			buf_reset(&again);
			if (rc == 0)
				entry_encode(&again, &got);
			good = rc == -EPROTO || (rc == 0 && again.len == b.len &&
						 memcmp(again.data, b.data, b.len) == 0);
			entry_clear(&got);
			free(keep);
			b.data[i / 8] ^= (uint8_t)(1u << i % 8);
		}
		buf_free(&b);
		buf_free(&again);
	}
	ok(good, "%zu flipped bits: refused, or what was read is what was there", tried);
}

static void
is_bytes(const struct entry *e, const char *want, size_t len)
{
	struct buf b = {0};

	entry_encode(&b, e);
	ok(b.len == len && memcmp(b.data, want, len) == 0, "the bytes of %s",
	   entry_type_name(e->type));
	buf_free(&b);
}

#define DOT_3_4 "\3\0\0\0\0\0\0\0\4\0\0\0\0\0\0\0"
#define PATH_BYTES "\7\0d/f.jpg"
#define BYTES(e, s) is_bytes(&(e), (s), sizeof(s) - 1)

static void
test_bytes(void)
{
	struct entry e = sample(ENTRY_ORIGIN);

	BYTES(e, "\1\x88\x77\x66\x55\x44\x33\x22\x11\5\0\0\0\0\0\0\0\5\0web-1");
	e = sample(ENTRY_INTENT);
	BYTES(e, "\5" PATH_BYTES DOT_3_4 "\4\x63\0\0\0\0\0\0\0\4\0from");
	e = sample(ENTRY_APPLIED);
	BYTES(e,
	      "\6" PATH_BYTES DOT_3_4 "\1"
	      "\6\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
	      "\2\0");
	e = sample(ENTRY_DROPPED);
	BYTES(e, "\7" PATH_BYTES);
	e = sample(ENTRY_VECTOR);
	BYTES(e, "\10\1\0\0\0\10\0\0\0\0\0\0\0\2\0\0\0"
		 "\1\0\0\0\0\0\0\0\5\0\0\0\0\0\0\0\7\0\0\0\0\0\0\0\7\0\0\0\0\0\0\0");
	e = sample(ENTRY_MEMBER);
	BYTES(e, "\13\4\0\0\377\nx");
	e = sample(ENTRY_PURGED);
	BYTES(e, "\15\0\0\0\0\0\0\0\0\17\0\0\0\0\0\0\0");
	e = sample(ENTRY_ANSWER);
	BYTES(e, "\17\3\0\0\0\0\0\0\0\4\0\0\377\nx");
	e = sample(ENTRY_CONTEXT);
	BYTES(e, "\20" PATH_BYTES "\2\0\3\0\0\0\0\0\0\0\11\0\0\0\0\0\0\0"
		 "\4\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0");
	e = sample(ENTRY_COLLECTED);
	BYTES(e, "\22" PATH_BYTES DOT_3_4);
	e = sample(ENTRY_SCANNED);
	BYTES(e, "\24\14\0\0\0\0\0\0\0\42\0\0\0\0\0\0\0");
	e = sample(ENTRY_PAUSE);
	BYTES(e, "\25\1");
}

/* The record comes first in RECORD, and last in KEPT. */
static void
test_record_place(void)
{
	struct entry known = sample(ENTRY_KNOWN), e = sample(ENTRY_RECORD);
	struct buf k = {0}, b = {0};

	entry_encode(&k, &known);
	entry_encode(&b, &e);
	ok(b.len == k.len + 44 && memcmp(b.data + 1, k.data + 1, k.len - 1) == 0,
	   "RECORD is the record and 44 bytes of signature");
	e = sample(ENTRY_KEPT);
	buf_reset(&b);
	entry_encode(&b, &e);
	ok(b.len == k.len + 25 && memcmp(b.data + 26, k.data + 1, k.len - 1) == 0,
	   "KEPT is dot, time, flags and the record");
	buf_free(&k);
	buf_free(&b);
}

static void
test_paths(void)
{
	static const uint8_t types[] = {ENTRY_SIG,     ENTRY_INTENT,  ENTRY_APPLIED,
					ENTRY_DROPPED, ENTRY_CONTEXT, ENTRY_COLLECTED,
					ENTRY_REMOVED};

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		struct entry e = sample(types[i]);

		e.path_len = 0;
		is_int(allowed(&e), -EPROTO, "%s: no path", entry_type_name(types[i]));
		e.path = (const uint8_t *)"../x";
		e.path_len = 4;
		is_int(allowed(&e), -EPROTO, "%s: a path that leads out",
		       entry_type_name(types[i]));
	}
}

static void
test_dots(void)
{
	const struct {
		struct dot dot;
		int want;
		uint8_t type;
	} as[] = {
		{{0, 0}, 0, ENTRY_INTENT},
		{{0, 1}, -EPROTO, ENTRY_INTENT},
		{{1, 0}, -EPROTO, ENTRY_INTENT},
		{{1, DOT_SEQ_MAX}, 0, ENTRY_INTENT},
		{{1, DOT_SEQ_MAX + 1}, -EPROTO, ENTRY_INTENT},
		{{0, 0}, 0, ENTRY_APPLIED},
		{{0, 1}, -EPROTO, ENTRY_APPLIED},
		{{0, 0}, -EPROTO, ENTRY_COLLECTED},
		{{0, 0}, -EPROTO, ENTRY_REMOVED},
		{{1, 0}, -EPROTO, ENTRY_REMOVED},
		{{0, 0}, -EPROTO, ENTRY_PURGED},
		{{0, UINT64_MAX}, 0, ENTRY_PURGED},
		{{1, 1}, 0, ENTRY_PURGED},
		{{1, UINT64_MAX}, -EPROTO, ENTRY_PURGED},
	};

	for (size_t i = 0; i < ARRAY_LEN(as); i++) {
		struct entry e = sample(as[i].type);

		e.dot = as[i].dot;
		is_int(allowed(&e), as[i].want, "%s of %llx-%llx", entry_type_name(e.type),
		       (unsigned long long)e.dot.origin, (unsigned long long)e.dot.seq);
	}
}

static void
test_flags(void)
{
	struct entry e = sample(ENTRY_APPLIED);

	for (unsigned f = 0; f < 256; f++) {
		e.flags = (uint8_t)f;
		if (allowed(&e) != (f <= 2 || f == APPLIED_LEFT ? 0 : -EPROTO))
			break;
		if (f == 255)
			f = 999;
	}
	ok(e.flags == 255, "APPLIED: shown, absent, left or none of them");
	e = sample(ENTRY_KEPT);
	e.flags = KEPT_RESCUED;
	is_int(allowed(&e), -EPROTO, "KEPT: what has a dot is not rescued");
	e.dot.origin = 0;
	is_int(allowed(&e), 0, "what has none is");
	e.flags = 0;
	is_int(allowed(&e), -EPROTO, "and says so");
}

static void
test_actions(void)
{
	struct entry e = sample(ENTRY_INTENT);

	is_int(allowed(&e), 0, "a move from somewhere");
	e.from_len = 0;
	is_int(allowed(&e), -EPROTO, "a move from nowhere");
	for (unsigned action = 0; action <= ACTION_META + 1; action++) {
		bool good = action >= ACTION_PLACE && action <= ACTION_META;

		if (action == ACTION_MOVE)
			continue;
		e.action = (uint8_t)action;
		e.from_len = 0;
		is_int(allowed(&e), good ? 0 : -EPROTO, "action %u", action);
		e.from_len = 4;
		is_int(allowed(&e), -EPROTO, "action %u from somewhere", action);
	}
}

static void
test_others(void)
{
	struct entry e = sample(ENTRY_ORIGIN);
	uint8_t *blob = calloc(1, ENTRY_BLOB_BYTES_MAX + 3 + 9);
	uint8_t types[] = {0, ENTRY_TYPE_MAX + 1, 255};

	if (!blob)
		abort();
	e.num = 0;
	is_int(allowed(&e), -EPROTO, "origin 0");
	e = sample(ENTRY_ORIGIN);
	e.name_len = 0;
	is_int(allowed(&e), -EPROTO, "no name");
	e.name = (const uint8_t *)"Web";
	e.name_len = 3;
	is_int(allowed(&e), -EPROTO, "no member's name");
	is_int(verdict((const uint8_t *)"\25\0", 2), 0, "PAUSE 0");
	is_int(verdict((const uint8_t *)"\25\2", 2), -EPROTO, "PAUSE 2");
	e = sample(ENTRY_MEMBER);
	e.blob = blob;
	e.blob_len = ENTRY_BLOB_BYTES_MAX;
	is_int(allowed(&e), 0, "the longest blob");
	blob[0] = ENTRY_MEMBER;
	blob[1] = (ENTRY_BLOB_BYTES_MAX + 1) & 255;
	blob[2] = (ENTRY_BLOB_BYTES_MAX + 1) >> 8;
	is_int(verdict(blob, ENTRY_BLOB_BYTES_MAX + 4), -EPROTO, "a longer one");
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		is_int(verdict(&types[i], 1), -EPROTO, "type %u", types[i]);
	is_int(verdict(types, 0), -EPROTO, "nothing");
	is_str(entry_type_name(0), "?", "no name for 0");
	is_str(entry_type_name(ENTRY_TYPE_MAX + 1), "?", "nor for what comes after");
	is_str(entry_type_name(ENTRY_AWAIT), "AWAIT", "the last one's name");
	free(blob);
}

static void
test_lengths(void)
{
	ok(!entry_length_ok(0, 5) && !entry_length_ok(1, 0) && !entry_length_ok(64, 5),
	   "no type 0, nothing empty, no type 64");
	ok(entry_length_ok(63, ENTRY_SMALL_BYTES_MAX) &&
		   !entry_length_ok(63, ENTRY_SMALL_BYTES_MAX + 1),
	   "the limit of later types");
	ok(entry_length_ok(ENTRY_HELD, ENTRY_BYTES_MAX) &&
		   !entry_length_ok(ENTRY_HELD, ENTRY_BYTES_MAX + 1),
	   "the limit of sets");
}

int
main(void)
{
	test_round_trip();
	test_flips();
	test_bytes();
	test_record_place();
	test_paths();
	test_dots();
	test_flags();
	test_actions();
	test_others();
	test_lengths();
	return tap_done();
}
