/* SPDX-License-Identifier: BSD-2-Clause */
/* Records: rank, bytes, and everything that is refused. */
#include "config.h"

#include "proto/record.h"

#include <errno.h>
#include <stdlib.h>

#include "proto/path.h"
#include "tests/tap.h"

#define SEED 20240121u

/* Where the path of an encoded record is. */
#define AT_PATH 77

static uint64_t
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

static void
set_path(struct record *r, const char *path)
{
	r->path = (const uint8_t *)path;
	r->path_len = (uint16_t)strlen(path);
}

static void
set_target(struct record *r, const char *target)
{
	r->target = (const uint8_t *)target;
	r->target_len = (uint16_t)strlen(target);
	r->size = r->target_len;
}

static void
set_owner(struct record *r, const char *owner, const char *group)
{
	r->owner = (const uint8_t *)owner;
	r->owner_len = (uint8_t)strlen(owner);
	r->group = (const uint8_t *)group;
	r->group_len = (uint8_t)strlen(group);
}

/* A valid record of that kind; its context is empty. */
static struct record
sample(enum record_kind kind)
{
	struct record r = {.dot = {0x1111, 5}, .hlc = 0x123456789abcdefu};

	r.kind = (uint8_t)kind;
	set_path(&r, "a/b.jpg");
	switch (kind) {
	case KIND_ABSENT:
		r.op = OP_DELETE;
		r.size = 12;
		memset(r.hash, 0xab, sizeof(r.hash));
		break;
	case KIND_FILE:
		r.op = OP_ADD;
		r.mode = 0644;
		r.size = 123456;
		r.mtime_ns = -1;
		memset(r.hash, 0xcd, sizeof(r.hash));
		set_owner(&r, "www-data", "media");
		break;
	case KIND_DIR:
		r.op = OP_MKDIR;
		r.mode = 0755;
		break;
	case KIND_SYMLINK:
		r.op = OP_SYMLINK;
		r.mtime_ns = 1700000000000000000;
		memset(r.hash, 0xef, sizeof(r.hash));
		set_target(&r, "../c");
		break;
	}
	return r;
}

static bool
same_str(const uint8_t *a, size_t alen, const uint8_t *b, size_t blen)
{
	return alen == blen && (alen == 0 || memcmp(a, b, alen) == 0);
}

/* Every field. */
static bool
same(const struct record *a, const struct record *b)
{
	return dot_eq(a->dot, b->dot) && a->hlc == b->hlc && a->kind == b->kind && a->op == b->op &&
	       a->flags == b->flags && a->mode == b->mode && a->size == b->size &&
	       a->mtime_ns == b->mtime_ns && memcmp(a->hash, b->hash, sizeof(a->hash)) == 0 &&
	       same_str(a->path, a->path_len, b->path, b->path_len) &&
	       same_str(a->target, a->target_len, b->target, b->target_len) &&
	       same_str(a->owner, a->owner_len, b->owner, b->owner_len) &&
	       same_str(a->group, a->group_len, b->group, b->group_len) && vv_eq(&a->ctx, &b->ctx);
}

static bool
all_zero(const struct record *r)
{
	const struct record zero = {0};

	return same(r, &zero) && !r->path && !r->ctx.e && r->path_len == 0 && r->owner_len == 0;
}

/* The bytes in memory of exactly that size; *copy is to be freed after the record was used. */
static int
decode_exact(const uint8_t *bytes, size_t len, struct record *r, uint8_t **copy)
{
	struct cur c;
	int rc;

	*copy = malloc(len ? len : 1);
	if (!*copy)
		abort();
	memcpy(*copy, bytes, len);
	c = cur_of(*copy, len);
	rc = record_decode(&c, r);
	return rc == 0 && c.left > 0 ? 1 : rc;
}

/* What decoding says of the bytes that encoding makes; nothing is kept. */
static int
verdict(const struct record *r)
{
	struct buf b = {0};
	struct record got;
	uint8_t *copy;
	int rc;

	record_encode(&b, r);
	rc = decode_exact(b.data, b.len, &got, &copy);
	if (rc < 0 && !all_zero(&got))
		rc = -EBADMSG;
	if (rc == 0 && !same(r, &got))
		rc = -EBADMSG;
	record_clear(&got);
	free(copy);
	buf_free(&b);
	return rc;
}

static void
test_kinds(void)
{
	for (int kind = KIND_ABSENT; kind <= KIND_SYMLINK; kind++) {
		struct record r = sample((enum record_kind)kind);

		is_int(verdict(&r), 0, "kind %d there and back", kind);
		must(vv_add(&r.ctx, (struct dot){0x1111, 4}));
		must(vv_add(&r.ctx, (struct dot){UINT64_MAX, DOT_SEQ_MAX}));
		is_int(verdict(&r), 0, "kind %d there and back, with a context", kind);
		vv_free(&r.ctx);
	}
}

static void
test_bytes(void)
{
	const char want[] = "\x11\x11\0\0\0\0\0\0\x05\0\0\0\0\0\0\0"
			    "\xef\xcd\xab\x89\x67\x45\x23\x01"
			    "\x03\x06\x01\0\0\x04\0\0\0\0\0\0\0"
			    "\0\0\x8a\xb1\xed\x9c\x97\x17"
			    "\xef\xef\xef\xef\xef\xef\xef\xef\xef\xef\xef\xef\xef\xef\xef\xef"
			    "\xef\xef\xef\xef\xef\xef\xef\xef\xef\xef\xef\xef\xef\xef\xef\xef"
			    "\x07\0a/b.jpg\x04\0../c\x01\0u\x01\0g"
			    "\x01\0\x02\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0";
	struct record r = sample(KIND_SYMLINK);
	struct buf b = {0};

	r.flags = RECORD_IMPORT;
	r.mtime_ns = 0x17979cedb18a0000;
	set_owner(&r, "u", "g");
	must(vv_add(&r.ctx, (struct dot){2, 9}));
	record_encode(&b, &r);
	is_int(b.len, sizeof(want) - 1, "the length");
	ok(b.len == sizeof(want) - 1 && memcmp(b.data, want, b.len) == 0, "the bytes");
	is_int(verdict(&r), 0, "and back");
	buf_free(&b);
	vv_free(&r.ctx);
}

static void
test_borrowing(void)
{
	struct record r = sample(KIND_FILE), got;
	struct buf b = {0};
	struct cur c;

	record_encode(&b, &r);
	record_encode(&b, &r);
	c = cur_of(b.data, b.len);
	must(record_decode(&c, &got));
	ok(got.path == b.data + AT_PATH + 2, "strings are borrowed from the bytes");
	ok(c.left == b.len / 2, "the cursor stands behind the first of two");
	record_clear(&got);
	must(record_decode(&c, &got));
	ok(same(&r, &got) && cur_done(&c), "and behind the second");
	record_clear(&got);
	buf_free(&b);
}

/* A record that uses every field. */
static struct record
full(enum record_kind kind)
{
	struct record r = sample(kind);

	set_owner(&r, "www-data", "media");
	r.flags = RECORD_IMPORT;
	for (uint64_t o = 1; o <= 3; o++)
		must(vv_add(&r.ctx, (struct dot){o << 40, o}));
	return r;
}

static void
test_truncations(void)
{
	for (int kind = KIND_ABSENT; kind <= KIND_SYMLINK; kind++) {
		struct record r = full((enum record_kind)kind), got;
		struct buf b = {0};
		uint8_t *copy;
		bool refused = true;

		record_encode(&b, &r);
		for (size_t n = 0; n < b.len; n++) {
			int rc = decode_exact(b.data, n, &got, &copy);

			refused = refused && rc == -EPROTO && all_zero(&got);
			free(copy);
		}
		ok(refused, "kind %d: each of %zu truncations is refused", kind, b.len);
		buf_free(&b);
		vv_free(&r.ctx);
	}
}

/* One damaged form: refused, or another record that encodes to just these bytes. */
static bool
damage_is_seen(const uint8_t *bytes, size_t len, const struct record *was)
{
	struct record got;
	struct buf again = {0};
	uint8_t *copy;
	int rc = decode_exact(bytes, len, &got, &copy);
	bool good = rc == -EPROTO && all_zero(&got);

	if (rc >= 0) {
		record_encode(&again, &got);
		good = !same(&got, was) && again.len <= len &&
		       memcmp(again.data, bytes, again.len) == 0 && (rc == 1) == (again.len < len);
	}
	buf_free(&again);
	record_clear(&got);
	free(copy);
	return good;
}

static void
test_flips(void)
{
	for (int kind = KIND_ABSENT; kind <= KIND_SYMLINK; kind++) {
		struct record r = full((enum record_kind)kind);
		struct buf b = {0};
		bool seen = true;

		record_encode(&b, &r);
		for (size_t i = 0; i < b.len; i++) {
			uint8_t byte = b.data[i];

			for (unsigned x = 1; x < 256; x++) {
				b.data[i] = byte ^ (uint8_t)x;
				seen = seen && damage_is_seen(b.data, b.len, &r);
			}
			b.data[i] = byte;
		}
		ok(seen, "kind %d: every other value of each of %zu bytes is seen", kind, b.len);
		buf_free(&b);
		vv_free(&r.ctx);
	}
}

static void
test_dots_refused(void)
{
	struct record r = sample(KIND_FILE);

	r.dot = (struct dot){0, 1};
	is_int(verdict(&r), -EPROTO, "origin 0");
	r.dot = (struct dot){1, 0};
	is_int(verdict(&r), -EPROTO, "number 0");
	r.dot = (struct dot){1, DOT_SEQ_MAX};
	is_int(verdict(&r), 0, "the highest number");
	r.dot = (struct dot){1, DOT_SEQ_MAX + 1};
	is_int(verdict(&r), -EPROTO, "one above");
}

/* Which of the ops 0..9 go with the kind, and do all kinds above the last one fail. */
static void
test_ops(void)
{
	const bool goes[4][10] = {
		[KIND_ABSENT] = {[OP_DELETE] = true, [OP_RMDIR] = true},
		[KIND_FILE] = {[OP_ADD] = true, [OP_EDIT] = true, [OP_META] = true},
		[KIND_DIR] = {[OP_MKDIR] = true, [OP_META] = true},
		[KIND_SYMLINK] = {[OP_SYMLINK] = true, [OP_META] = true},
	};

	for (int kind = KIND_ABSENT; kind <= KIND_SYMLINK; kind++) {
		struct record r = sample((enum record_kind)kind);

		for (uint8_t op = 0; op < 10; op++) {
			r.op = op;
			is_int(verdict(&r), goes[kind][op] ? 0 : -EPROTO, "kind %d, op %u", kind,
			       op);
		}
	}
	for (uint8_t kind = 4; kind != 0; kind++) {
		struct record r = sample(KIND_FILE);

		r.kind = kind;
		if (verdict(&r) != -EPROTO) {
			ok(false, "kind %u is refused", kind);
			return;
		}
	}
	ok(true, "unknown kinds are refused");
}

static void
test_flags_and_modes(void)
{
	struct record r = sample(KIND_FILE);

	for (unsigned bit = 0; bit < 8; bit++) {
		r.flags = (uint8_t)(1u << bit);
		is_int(verdict(&r), bit <= 1 ? 0 : -EPROTO, "flag bit %u", bit);
	}
	r.flags = 0;
	for (unsigned bit = 0; bit < 16; bit++) {
		r.mode = (uint16_t)(1u << bit);
		is_int(verdict(&r), bit < 9 ? 0 : -EPROTO, "mode bit %u", bit);
	}
}

static void
test_paths_refused(void)
{
	const char *bad[] = {"", "/a", "a/", "a//b", "../a", "a/./b", ".mimeo/x", ".mimeo-id"};
	struct record r = sample(KIND_FILE);

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		set_path(&r, bad[i]);
		is_int(verdict(&r), -EPROTO, "path '%s'", bad[i]);
	}
	r.path = (const uint8_t *)"a\0b";
	r.path_len = 3;
	is_int(verdict(&r), -EPROTO, "a zero byte in the path");
}

/* Each field that a kind does not have, set. */
/* What is wrong with a path is said in words; no words for what is sound or does not get so far. */
static void
test_problem(void)
{
	struct record r = sample(KIND_FILE);
	struct buf b = {0};

	record_encode(&b, &r);
	ok(record_problem(b.data, b.len) == NULL, "a sound record has no problem");
	ok(record_problem(b.data, AT_PATH + 1) == NULL, "nor has one that is cut off");
	b.data[AT_PATH + 2] = '/';
	ok(strstr(record_problem(b.data, b.len), "an empty name") != NULL,
	   "a path that is not allowed has one");
	buf_free(&b);
	record_clear(&r);
}

static void
test_fields_refused(void)
{
	struct record r = sample(KIND_ABSENT);

	r.mode = 0644;
	is_int(verdict(&r), -EPROTO, "absent with a mode");
	r = sample(KIND_ABSENT);
	r.mtime_ns = 1;
	is_int(verdict(&r), -EPROTO, "absent with an mtime");
	r = sample(KIND_ABSENT);
	set_target(&r, "c");
	is_int(verdict(&r), -EPROTO, "absent with a target");
	r = sample(KIND_ABSENT);
	r.size = 0;
	memset(r.hash, 0, sizeof(r.hash));
	is_int(verdict(&r), 0, "absent without what it deleted");

	r = sample(KIND_FILE);
	r.target = (const uint8_t *)"c";
	r.target_len = 1;
	is_int(verdict(&r), -EPROTO, "file with a target");
	r = sample(KIND_FILE);
	r.size = INT64_MAX;
	is_int(verdict(&r), 0, "the largest file there can be");
	r.size++;
	is_int(verdict(&r), -EPROTO, "file with a size that is negative elsewhere");
	r = sample(KIND_ABSENT);
	r.size = UINT64_MAX;
	is_int(verdict(&r), -EPROTO, "the same of what went");

	r = sample(KIND_DIR);
	r.size = 1;
	is_int(verdict(&r), -EPROTO, "directory with a size");
	r = sample(KIND_DIR);
	r.mtime_ns = 1;
	is_int(verdict(&r), -EPROTO, "directory with an mtime");
	r = sample(KIND_DIR);
	r.hash[31] = 1;
	is_int(verdict(&r), -EPROTO, "directory with a hash");
	r = sample(KIND_DIR);
	set_target(&r, "c");
	r.size = 0;
	is_int(verdict(&r), -EPROTO, "directory with a target");
}

static void
test_symlinks(void)
{
	static char target[RECORD_TARGET_BYTES_MAX + 2];
	struct record r = sample(KIND_SYMLINK);

	r.mode = 0777;
	is_int(verdict(&r), -EPROTO, "with a mode");
	r = sample(KIND_SYMLINK);
	r.size++;
	is_int(verdict(&r), -EPROTO, "with another size than its target");
	r = sample(KIND_SYMLINK);
	set_target(&r, "");
	is_int(verdict(&r), -EPROTO, "without a target");
	set_target(&r, "/etc");
	is_int(verdict(&r), -EPROTO, "to an absolute target");
	set_target(&r, "../../x");
	is_int(verdict(&r), -EPROTO, "out of the root");
	set_target(&r, "../x");
	is_int(verdict(&r), 0, "within the root");
	memset(target, 'a', RECORD_TARGET_BYTES_MAX);
	set_target(&r, target);
	is_int(verdict(&r), 0, "to the longest target");
	memset(target, 'a', RECORD_TARGET_BYTES_MAX + 1);
	set_target(&r, target);
	is_int(verdict(&r), -EPROTO, "one byte longer");
}

static void
test_owners(void)
{
	char name[RECORD_OWNER_BYTES_MAX + 2] = {0};
	struct record r = sample(KIND_FILE);

	memset(name, 'n', RECORD_OWNER_BYTES_MAX);
	set_owner(&r, name, name);
	is_int(verdict(&r), 0, "the longest owner and group");
	name[RECORD_OWNER_BYTES_MAX] = 'n';
	set_owner(&r, name, "g");
	is_int(verdict(&r), -EPROTO, "an owner one byte longer");
	set_owner(&r, "u", name);
	is_int(verdict(&r), -EPROTO, "a group one byte longer");
}

/* n origins, none of them the sample's. */
static struct vv
context(uint32_t n)
{
	struct vv v = {0};

	for (uint32_t i = 0; i < n; i++)
		must(vv_add(&v, (struct dot){0x100000u + i, i + 1}));
	return v;
}

static void
test_context(void)
{
	struct record r = sample(KIND_FILE), got;
	struct buf b = {0};
	uint8_t *copy;

	must(vv_add(&r.ctx, (struct dot){r.dot.origin, r.dot.seq - 1}));
	is_int(verdict(&r), 0, "up to just below its own dot");
	ok(record_covers(&r, (struct dot){r.dot.origin, r.dot.seq - 1}) &&
		   !record_covers(&r, r.dot),
	   "covers that, not itself");
	must(vv_add(&r.ctx, r.dot));
	is_int(verdict(&r), -EPROTO, "with its own dot");
	vv_free(&r.ctx);

	r.ctx = context(RECORD_CTX_MAX);
	is_int(verdict(&r), 0, "as many origins as are allowed");
	vv_free(&r.ctx);
	r.ctx = context(RECORD_CTX_MAX + 1);
	record_encode(&b, &r);
	ok(b.failed && b.len == 0, "one more is not written");
	buf_reset(&b);

	/* The same by hand, in place of an empty context. */
	vv_encode(&b, &r.ctx);
	vv_free(&r.ctx);
	{
		struct buf whole = {0};

		record_encode(&whole, &r);
		whole.len -= 2;
		buf_put(&whole, b.data, b.len);
		is_int(decode_exact(whole.data, whole.len, &got, &copy), -EPROTO, "nor read");
		ok(all_zero(&got), "and nothing is kept");
		free(copy);
		buf_free(&whole);
	}
	buf_free(&b);
}

/* The largest record there can be is below the limit that readers give it. */
static void
test_largest(void)
{
	static char path[PATH_BYTES_MAX + 1], target[RECORD_TARGET_BYTES_MAX + 1];
	char name[RECORD_OWNER_BYTES_MAX + 1] = {0};
	struct record r = sample(KIND_SYMLINK);
	struct buf b = {0};

	for (size_t i = 0; i < PATH_BYTES_MAX; i++)
		path[i] = i % 100 == 99 ? '/' : 'p';
	memset(target, 't', RECORD_TARGET_BYTES_MAX);
	memset(name, 'n', RECORD_OWNER_BYTES_MAX);
	set_path(&r, path);
	set_target(&r, target);
	set_owner(&r, name, name);
	r.ctx = context(RECORD_CTX_MAX);
	is_int(verdict(&r), 0, "the largest record there and back");
	record_encode(&b, &r);
	ok(b.len <= RECORD_BYTES_MAX, "its %zu bytes are within %d", b.len, RECORD_BYTES_MAX);
	buf_free(&b);
	vv_free(&r.ctx);
}

/* Few values each, so that ties at every level are common. */
static struct record
random_head(uint64_t *seed)
{
	struct record r = sample((enum record_kind)(draw(seed) % 4));

	r.flags = draw(seed) % 2 ? RECORD_IMPORT : 0;
	r.hlc = draw(seed) % 3 + (draw(seed) % 2 ? (uint64_t)1 << 63 : 0);
	r.dot = (struct dot){1 + draw(seed) % 3, 1 + draw(seed) % 3};
	return r;
}

static int
sign(int v)
{
	return (v > 0) - (v < 0);
}

static void
test_rank_laws(void)
{
	uint64_t seed = SEED;
	bool anti = true, total = true, transitive = true;

	for (unsigned i = 0; i < 50000; i++) {
		struct record a = random_head(&seed), b = random_head(&seed);
		struct record c = random_head(&seed);
		int ab = record_rank(&a, &b), bc = record_rank(&b, &c);

		anti = anti && sign(ab) == -sign(record_rank(&b, &a)) && record_rank(&a, &a) == 0;
		total = total && (dot_eq(a.dot, b.dot) || ab != 0);
		transitive = transitive && (ab <= 0 || bc <= 0 || record_rank(&a, &c) > 0) &&
			     (ab != 0 || sign(bc) == sign(record_rank(&a, &c)));
	}
	ok(anti, "antisymmetric, seed %u", SEED);
	ok(total, "total: only the same dot can tie");
	ok(transitive, "transitive");
}

static void
test_rank_order(void)
{
	/* Ascending; each step is decided by one rule, with all lower rules against it. */
	struct record asc[8];
	bool good = true;

	for (size_t i = 0; i < ARRAY_LEN(asc); i++) {
		asc[i] = sample(i % 4 < 2 ? KIND_ABSENT : KIND_FILE);
		asc[i].flags = i < 4 ? RECORD_IMPORT : 0;
		asc[i].hlc = i % 2 ? 200 : 100;
		asc[i].dot = (struct dot){100 - i, 100 - i};
	}
	for (size_t i = 0; i < ARRAY_LEN(asc); i++)
		for (size_t j = 0; j < ARRAY_LEN(asc); j++)
			good = good && sign(record_rank(&asc[i], &asc[j])) == (i > j) - (i < j);
	ok(good, "import, then live, then time, then dot");
	ok(record_rank(&asc[3], &asc[4]) < 0, "an imported file ranks below a delete");
	asc[1] = asc[0];
	asc[1].dot.seq++;
	ok(record_rank(&asc[1], &asc[0]) > 0, "the higher number");
	asc[1].dot = (struct dot){asc[0].dot.origin + 1, 1};
	ok(record_rank(&asc[1], &asc[0]) > 0, "the higher origin before the number");
	asc[0] = sample(KIND_DIR);
	asc[1] = sample(KIND_FILE);
	asc[0].hlc = asc[1].hlc + 1;
	ok(record_rank(&asc[0], &asc[1]) > 0, "all live kinds are alike");
}

static void
test_same_content(void)
{
	struct record a = sample(KIND_FILE), b = a;

	b.dot.seq++;
	b.hlc++;
	b.op = OP_META;
	b.mode = 0600;
	b.mtime_ns++;
	b.flags = RECORD_IMPORT;
	set_path(&b, "elsewhere");
	set_owner(&b, "", "");
	ok(record_same_content(&a, &b) && record_same_content(&b, &a), "metadata is no content");
	b.size++;
	ok(!record_same_content(&a, &b), "the size is");
	b = a;
	b.hash[31] ^= 1;
	ok(!record_same_content(&a, &b), "the hash is");
	b = a;
	b.kind = KIND_ABSENT;
	ok(!record_same_content(&a, &b), "the kind is");
	a = b = sample(KIND_SYMLINK);
	ok(record_same_content(&a, &b), "the same target");
	set_target(&b, "../d");
	ok(!record_same_content(&a, &b), "another of the same length");
}

static void
test_dup(void)
{
	struct record r = full(KIND_SYMLINK), empty = sample(KIND_DIR), got;
	struct buf b = {0};
	struct record *copy;
	uint8_t *bytes;

	record_encode(&b, &r);
	must(decode_exact(b.data, b.len, &got, &bytes));
	copy = record_dup(&got);
	if (!copy)
		abort();
	record_clear(&got);
	memset(bytes, 0xee, b.len);
	free(bytes);
	ok(same(copy, &r), "a copy outlives what it was made from");
	ok((uintptr_t)copy->ctx.e % _Alignof(struct dot) == 0, "its context is aligned");
	record_free(copy);
	vv_free(&r.ctx);
	buf_free(&b);

	copy = record_dup(&empty);
	ok(copy && same(copy, &empty) && copy->path != empty.path, "a copy of one without strings");
	record_free(copy);
	record_free(NULL);
}

static void
test_words(void)
{
	const char *name[] = {"?",     "add",     "edit", "delete", "mkdir",
			      "rmdir", "symlink", "meta", "?",      "?"};
	struct record r = sample(KIND_FILE);

	for (unsigned op = 0; op < ARRAY_LEN(name); op++)
		is_str(record_op_name((enum record_op)op), name[op], "op %u", op);
	ok(record_live(&r) && !record_import(&r), "a file is live and no import");
	r = full(KIND_ABSENT);
	ok(!record_live(&r) && record_import(&r), "an absent import is neither");
	vv_free(&r.ctx);
}

/* Random bytes behind a sound beginning: never more than refused. */
static void
test_noise(void)
{
	uint64_t seed = SEED + 1;
	struct record r = full(KIND_SYMLINK), got;
	struct buf b = {0};
	uint8_t *copy;
	bool good = true;

	record_encode(&b, &r);
	for (unsigned i = 0; i < 20000; i++) {
		uint8_t noise[400];
		size_t len = draw(&seed) % sizeof(noise), keep = draw(&seed) % (b.len + 1);
		int rc;

		for (size_t k = 0; k < len; k++)
			noise[k] = (uint8_t)draw(&seed);
		memcpy(noise, b.data, keep < len ? keep : len);
		rc = decode_exact(noise, len, &got, &copy);
		good = good && (rc == -EPROTO || rc >= 0);
		record_clear(&got);
		free(copy);
	}
	ok(good, "20000 times noise, seed %u", SEED + 1);
	buf_free(&b);
	vv_free(&r.ctx);
}

int
main(void)
{
	test_kinds();
	test_bytes();
	test_borrowing();
	test_truncations();
	test_flips();
	test_dots_refused();
	test_ops();
	test_flags_and_modes();
	test_paths_refused();
	test_problem();
	test_fields_refused();
	test_symlinks();
	test_owners();
	test_context();
	test_largest();
	test_rank_laws();
	test_rank_order();
	test_same_content();
	test_dup();
	test_words();
	test_noise();
	return tap_done();
}
