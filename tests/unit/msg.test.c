/* SPDX-License-Identifier: BSD-2-Clause */
/* Messages: every type there and back, every truncation and byte flip, every limit, and the bytes
 * that PROTOCOL.md shows. */
#include "config.h"

#include "proto/msg.h"

#include <errno.h>

#include "proto/hlc.h"
#include "tests/fold.h"
#include "tests/tap.h"

#define TYPES (MSG_TABLE + 1)

static const char text[] = "some bytes of no meaning";

/* Two ranges of two origins. */
static void
put_spans(struct buf *b)
{
	buf_put_u64(b, 5);
	buf_put_u64(b, 1);
	buf_put_u64(b, 9);
	buf_put_u64(b, 6);
	buf_put_u64(b, 3);
	buf_put_u64(b, DOT_SEQ_MAX);
}

/* One message of each type with nothing left at zero. */
static struct msg
sample(uint8_t type, const struct buf *spans)
{
	struct msg m = {.type = type,
			.id = 7,
			.stream = 9,
			.credit = 11,
			.last = true,
			.time_ms = 1700000000000,
			.node = "web1"};

	m.version_min = 1;
	m.version_max = 3;
	m.features = 0x8000000000000001u;
	m.nonce = 2;
	m.digest = 3;
	m.heads[0] = 4;
	m.heads[1] = 5;
	m.store = 6;
	m.origin = 8;
	m.code = CODE_BUSY;
	m.how = GET_WHOLE;
	m.what = 12;
	m.reset = true;
	m.spans = spans->data;
	m.nspans = (uint32_t)(spans->len / 24);
	memset(m.hash, 0xab, sizeof(m.hash));
	m.size = 100;
	m.offset = 40;
	m.rec = rec("a/b", dot(10, 2), 77, KIND_FILE, sizeof(text));
	m.inlined = true;
	m.bytes = (const uint8_t *)text;
	m.len = sizeof(text);
	m.near_said = true;
	m.nnear = 2;
	m.near = cur_of("\1\0a\1\0b", 6);
	m.nfar = 1;
	m.far = cur_of("\1\0c\1\2\3\4\5\6\7\10", 11);
	m.member = (struct member){
		.name = "web2", .address = "web2:22", .user = "mimeo", .incarnation = 3};
	return m;
}

static bool
same(const struct msg *m, const struct msg *got)
{
	struct buf a = {0}, b = {0};
	bool equal;

	msg_encode(&a, m);
	msg_encode(&b, got);
	equal = a.len == b.len && memcmp(a.data, b.data, a.len) == 0;
	buf_free(&a);
	buf_free(&b);
	return equal;
}

static void table(const struct buf *spans);
static int round_trip(const struct msg *m);

static void
there_and_back(const struct buf *spans)
{
	for (int t = 1; t < TYPES; t++) {
		uint8_t type = (uint8_t)t;

		struct msg m = sample(type, spans), got;
		struct buf b = {0};
		unsigned taken = 0;

		if (type == MSG_RECORD)
			must(vv_add(&m.rec.ctx, dot(3, 4)));
		msg_encode(&b, &m);
		is_int(bytes_get_u32(b.data), b.len - FRAME_HEADER_BYTES,
		       "%s: the length is that of type and payload", msg_name(type));
		is_int(msg_decode(b.data + 4, b.len - 4, &got), 0, "%s decodes", msg_name(type));
		ok(got.type == type && same(&m, &got), "%s is what it was", msg_name(type));
		msg_clear(&got);
		for (size_t len = 0; len < b.len - 4; len++) {
			uint8_t *copy =
				malloc(len > 0 ? len : 1); /* of its own size, so that a sanitizer
							      sees a read past it */

			if (copy == NULL)
				abort();
			memcpy(copy, b.data + 4, len);
			taken += msg_decode(copy, len, &got) == 0 && type != MSG_DATA &&
				 type != MSG_ASK && type != MSG_TELL;
			msg_clear(&got);
			free(copy);
		}
		is_int(taken, 0, "%s: no part of it is a whole one, unless its end is free",
		       msg_name(type));
		buf_put_u8(&b, 0);
		ok(msg_decode(b.data + 4, b.len - 4, &got) ==
			   (type == MSG_DATA || type == MSG_ASK || type == MSG_TELL ? 0 : -EPROTO),
		   "%s: nothing may follow", msg_name(type));
		msg_clear(&got);
		record_clear(&m.rec);
		buf_free(&b);
	}
}

/* Whatever a flipped byte makes of it: it is refused, or it is a message that encodes to those
 * bytes. */
static void
flips(const struct buf *spans)
{
	for (int t = 1; t < TYPES; t++) {
		uint8_t type = (uint8_t)t;

		struct msg m = sample(type, spans), got;
		struct buf b = {0};
		unsigned wrong = 0, refused = 0;

		msg_encode(&b, &m);
		for (size_t at_ = 4; at_ < b.len; at_++)
			for (unsigned v = 0; v < 256; v += at_ < 64 ? 1 : 5) {
				uint8_t was = b.data[at_];
				struct buf out = {0};
				int r;

				b.data[at_] = (uint8_t)v;
				r = msg_decode(b.data + 4, b.len - 4, &got);
				if (r == 0 && !(got.type == MSG_HELLO && got.version_min > 1)) {
					msg_encode(&out, &got);
					wrong += out.len != b.len ||
						 memcmp(out.data, b.data, b.len) != 0;
				}
				refused += r == -EPROTO;
				wrong += r != 0 && r != -EPROTO;
				msg_clear(&got);
				buf_free(&out);
				b.data[at_] = was;
			}
		ok(wrong == 0 && refused > 0,
		   "%s: a flipped byte is refused or makes another sound message", msg_name(type));
		buf_free(&b);
	}
}

static int
decoded(const struct buf *b)
{
	struct msg m;
	int r = msg_decode(b->data + FRAME_HEADER_BYTES, b->len - FRAME_HEADER_BYTES, &m);

	msg_clear(&m);
	return r;
}

static int
round_trip(const struct msg *m)
{
	struct buf b = {0};
	int r;

	msg_encode(&b, m);
	r = decoded(&b);
	buf_free(&b);
	return r;
}

/* A frame of a type with `len` bytes of zeros behind the fixed ones. */
static int
with_tail(uint8_t type, size_t fixed, size_t len)
{
	struct buf b = {0};
	int r;

	buf_put_u32(&b, 0);
	buf_put_u8(&b, type);
	memset(buf_room(&b, fixed + len), 0, fixed + len);
	b.len += fixed + len;
	r = decoded(&b);
	buf_free(&b);
	return r;
}

static void
limits(const struct buf *spans)
{
	struct msg m = sample(MSG_GET, spans), got;

	m.offset = m.size;
	is_int(round_trip(&m), 0, "GET: from the very end");
	m.offset++;
	is_int(round_trip(&m), -EPROTO, "GET: not from behind it");
	m.how = GET_DELTA;
	is_int(round_trip(&m), 0, "GET: a base may be larger");
	m.offset = (uint64_t)INT64_MAX + 1;
	is_int(round_trip(&m), -EPROTO, "GET: no base is so large");
	m.offset = 0;
	m.how = GET_DELTA + 1;
	is_int(round_trip(&m), -EPROTO, "GET: no other way to ask");
	m.how = GET_WHOLE;
	m.size = (uint64_t)INT64_MAX + 1;
	is_int(round_trip(&m), -EPROTO, "GET: no file is so large");

	is_int(with_tail(MSG_DATA, 4, MSG_DATA_BYTES_MAX), 0, "DATA: at most 64 KiB");
	is_int(with_tail(MSG_DATA, 4, MSG_DATA_BYTES_MAX + 1), -EPROTO,
	       "DATA: and not a byte more");
	is_int(with_tail(MSG_ASK, 5, MSG_BLOB_BYTES_MAX), 0, "ASK: at most 256 KiB");
	is_int(with_tail(MSG_ASK, 5, MSG_BLOB_BYTES_MAX + 1), -EPROTO, "ASK: and not a byte more");
	is_int(with_tail(MSG_TELL, 6, MSG_BLOB_BYTES_MAX + 1), -EPROTO, "TELL: not more either");

	m = sample(MSG_RECORD, spans);
	m.rec.size++;
	is_int(round_trip(&m), -EPROTO, "RECORD: content of another size");
	m = sample(MSG_RECORD, spans);
	m.inlined = false;
	is_int(round_trip(&m), 0, "RECORD: without content");
	m.rec = rec("a", dot(1, 1), 1, KIND_SYMLINK, 3);
	m.inlined = true;
	m.len = m.rec.size;
	is_int(round_trip(&m), -EPROTO, "RECORD: content of what is no file");
	m.rec = rec("../a", dot(1, 1), 1, KIND_FILE, 3);
	m.inlined = false;
	is_int(round_trip(&m), -EPROTO, "RECORD: a path that leaves the root");

	table(spans);
	m = sample(MSG_ACK, spans);
	m.node[0] = '\0';
	is_int(round_trip(&m), 0, "ACK: no name is the sender");
	memcpy(m.node, "WEB", 4);
	is_int(round_trip(&m), -EPROTO, "ACK: a name that is none");
	m = sample(MSG_ORIGIN, spans);
	m.node[0] = '\0';
	is_int(round_trip(&m), -EPROTO, "ORIGIN: somebody runs it");
	m = sample(MSG_ORIGIN, spans);
	m.origin = 0;
	is_int(round_trip(&m), -EPROTO, "ORIGIN: not 0");
	m = sample(MSG_HELLO, spans);
	m.version_min = 4;
	is_int(round_trip(&m), -EPROTO, "HELLO: versions the wrong way round");
	ok(msg_decode("", 0, &got) == -EPROTO && msg_decode("\0", 1, &got) == -EPROTO &&
		   msg_decode("\x12", 1, &got) == -EPROTO && msg_decode("\xff", 1, &got) == -EPROTO,
	   "no type, and types that are none");
}

/* A HELLO of a later version: whatever follows its numbers, it is refused by them. */
static void
later_hello(void)
{
	struct buf b = {0};
	struct msg m;

	buf_put_u8(&b, MSG_HELLO);
	buf_put(&b, "mimeo", 5);
	buf_put_u16(&b, 2);
	buf_put_u16(&b, 9);
	ok(msg_decode(b.data, b.len, &m) == 0 && m.version_min == 2 && m.version_max == 9,
	   "a later HELLO ends behind its versions");
	buf_put(&b, text, sizeof(text));
	ok(msg_decode(b.data, b.len, &m) == 0 && m.version_min == 2,
	   "or goes on in a way unknown today");
	b.data[1] = 'M';
	is_int(msg_decode(b.data, b.len, &m), -EPROTO, "but it begins with mimeo");
	buf_free(&b);
}

static void
bad_spans(void)
{
	static const uint64_t bad[][3] = {{0, 1, 1},
					  {1, 0, 1},
					  {1, 2, 1},
					  {1, 1, DOT_SEQ_MAX + 1},
					  {1, UINT64_MAX, UINT64_MAX}};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct buf s = {0};
		struct msg m = {.type = MSG_SEEN, .nspans = 1};

		for (size_t k = 0; k < 3; k++)
			buf_put_u64(&s, bad[i][k]);
		m.spans = s.data;
		is_int(round_trip(&m), -EPROTO, "a range that is none: %zu", i);
		buf_free(&s);
	}
	is_int(with_tail(MSG_UPTO, 5, 0), 0, "an empty set is a set");
	is_int(with_tail(MSG_UPTO, 5, 1), -EPROTO, "with bytes that belong to no range it is not");
}

/* Sets of every size around a frame's limit: in as many frames as needed, the last one marked,
 * reset in the first only. */
static void
sets(void)
{
	static const uint32_t sizes[] = {
		0, 1, MSG_SPANS_MAX - 1, MSG_SPANS_MAX, MSG_SPANS_MAX + 1, 3 * MSG_SPANS_MAX};

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct dotset set = {0}, back = {0};
		struct buf b = {0};
		unsigned frames = 0, last = 0, reset = 0;

		for (uint32_t k = 0; k < sizes[i]; k++)
			must(dotset_add(&set, dot(1 + k % 3, 2 * (uint64_t)k + 1)));
		msg_encode_set(&b, &(struct msg){.type = MSG_ACK, .node = "web1", .reset = true},
			       &set);
		for (size_t off = 0; off < b.len; frames++) {
			uint32_t len = bytes_get_u32(b.data + off);
			struct msg m;

			must(msg_decode(b.data + off + 4, len, &m));
			for (uint32_t k = 0; k < m.nspans; k++) {
				struct span3 s = msg_span(&m, k);

				must(dotset_add_range(&back, s.origin, s.lo, s.hi));
			}
			last += m.last && off + 4 + len == b.len;
			reset += m.reset ? frames + 1 : 0;
			off += 4 + len;
		}
		ok(dotset_eq(&set, &back) && last == 1 && reset == 1, "a set of %u ranges arrives",
		   sizes[i]);
		is_int(frames, sizes[i] == 0 ? 1 : (sizes[i] + MSG_SPANS_MAX - 1) / MSG_SPANS_MAX,
		       "in so many frames");
		dotset_free(&set);
		dotset_free(&back);
		buf_free(&b);
	}
}

/* Names near and far: read one by one, and as many as there may be members. */
static void
table(const struct buf *spans)
{
	char name[MEMBER_NAME_BYTES_MAX + 1];
	struct msg m = sample(MSG_TABLE, spans), got;
	struct buf b = {0}, names = {0};

	msg_encode(&b, &m);
	must(msg_decode(b.data + 4, b.len - 4, &got));
	msg_near(&got.near, name);
	is_str(name, "a", "TABLE: the first near one");
	msg_near(&got.near, name);
	ok(strcmp(name, "b") == 0 && cur_done(&got.near), "TABLE: and the last");
	ok(msg_far(&got.far, name) == 0x0807060504030201 && strcmp(name, "c") == 0 &&
		   cur_done(&got.far),
	   "TABLE: a far one and its beat");
	m.near = cur_of("\1\0a\1\0B", 6);
	is_int(round_trip(&m), -EPROTO, "TABLE: a name that is none");
	m = sample(MSG_TABLE, spans);
	m.nfar = 2;
	is_int(round_trip(&m), -EPROTO, "TABLE: fewer than it says");
	for (unsigned i = 0; i < MEMBERS_MAX; i++)
		msg_put_near(&names, "x");
	m = sample(MSG_TABLE, spans);
	m.nnear = MEMBERS_MAX;
	m.near = cur_of(names.data, names.len);
	is_int(round_trip(&m), 0, "TABLE: as many as there may be members");
	buf_reset(&b);
	m.nnear = 0;
	m.near = cur_of("", 0);
	msg_encode(&b, &m);
	bytes_set_u32(b.data, bytes_get_u32(b.data)); /* the count is behind digest, beat, bool */
	b.data[5 + 17] = (MEMBERS_MAX + 1) & 0xff;
	b.data[5 + 18] = (MEMBERS_MAX + 1) >> 8;
	is_int(msg_decode(b.data + 4, b.len - 4, &got), -EPROTO, "TABLE: not one more");
	buf_free(&b);
	buf_free(&names);
}

static void
words(void)
{
	unsigned named = 0, told = 0;

	for (unsigned i = 0; i < 256; i++) {
		named += strcmp(msg_name((uint8_t)i), "?") != 0;
		told += strcmp(msg_code_text((uint8_t)i), "an unknown reason") != 0;
	}
	ok(named == MSG_TABLE && told == CODE_TIMEOUT + 1, "every type and code has its words");
}

/* ---- the worked example of PROTOCOL.md, byte for byte ---- */

static const uint8_t example[] = {
	0x40, 0x00, 0x00, 0x00, 0x01, 0x6d, 0x69, 0x6d, 0x65, 0x6f, 0x01, 0x00, 0x01, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x04, 0x00, 0x77, 0x65, 0x62, 0x31, 0x08, 0x07,
	0x06, 0x05, 0x04, 0x03, 0x02, 0x01, 0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11, 0xf5,
	0x13, 0xce, 0x9d, 0x7f, 0x76, 0x25, 0x4d, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x61, 0x00, 0x00, 0x00, 0x07, 0xa1, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x68, 0xe5, 0xcf, 0x8b, 0x01, 0x01, 0x01, 0x00, 0xa4, 0x01, 0x03, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x2a, 0x36, 0xfe, 0x9c, 0x97, 0x17, 0x98, 0xea,
	0x6e, 0x4f, 0x21, 0x6f, 0x2f, 0xb4, 0xb6, 0x9f, 0xff, 0x9b, 0x3a, 0x44, 0x84, 0x2c, 0x38,
	0x68, 0x6c, 0xa6, 0x85, 0xf3, 0xf5, 0x5d, 0xc4, 0x8c, 0x5d, 0x3f, 0xb1, 0x10, 0x7b, 0xe4,
	0x05, 0x00, 0x61, 0x2e, 0x74, 0x78, 0x74, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x01, 0x68, 0x69, 0x0a, 0x1e, 0x00, 0x00, 0x00, 0x08, 0x01, 0x01, 0x00, 0x00, 0x00, 0xa1,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
};

static void
documented(void)
{
	struct msg hello = {.type = MSG_HELLO,
			    .version_min = 1,
			    .version_max = 1,
			    .node = "web1",
			    .store = 0x0102030405060708,
			    .nonce = 0x1112131415161718};
	struct msg r = {
		.type = MSG_RECORD, .inlined = true, .bytes = (const uint8_t *)"hi\n", .len = 3};
	static const uint8_t hash[RECORD_HASH_BYTES] = {
		0x98, 0xea, 0x6e, 0x4f, 0x21, 0x6f, 0x2f, 0xb4, 0xb6, 0x9f, 0xff,
		0x9b, 0x3a, 0x44, 0x84, 0x2c, 0x38, 0x68, 0x6c, 0xa6, 0x85, 0xf3,
		0xf5, 0x5d, 0xc4, 0x8c, 0x5d, 0x3f, 0xb1, 0x10, 0x7b, 0xe4};
	struct dotset set = {0};
	struct buf b = {0};
	struct index *x = fold_index();

	r.rec = rec("a.txt", dot(0xa1, 1), hlc_make(1700000000000, 0), KIND_FILE, 3);
	r.rec.mtime_ns = 1700000000000000000;
	memcpy(r.rec.hash, hash, sizeof(hash));
	hello.digest = dotset_digest(&set);
	msg_encode(&b, &hello);
	msg_encode(&b, &r);
	must(dotset_add(&set, r.rec.dot));
	msg_encode_set(&b, &(struct msg){.type = MSG_UPTO}, &set);
	if (!ok(b.len == sizeof(example) && memcmp(b.data, example, sizeof(example)) == 0,
		"HELLO, RECORD and UPTO are what PROTOCOL.md shows"))
		for (size_t i = 0; i < b.len; i += 16) {
			char line[64] = "";

			for (size_t k = i; k < b.len && k < i + 16; k++)
				snprintf(line + 3 * (k - i), 4, "%02x ", b.data[k]);
			diag("%s", line);
		}
	ok(dotset_digest(&set) == 0x3422b1e1aa73e1c4u,
	   "the digest of what is held then is what PROTOCOL.md says");
	fold_known(x, &r.rec);
	ok(x->digest[0] == 0x8041aae510e5d89du && x->digest[1] == 0x8191a92badd8fd4au,
	   "and so is that of the live heads");
	index_free(x);
	dotset_free(&set);
	buf_free(&b);
}

int
main(void)
{
	struct buf spans = {0};

	put_spans(&spans);
	there_and_back(&spans);
	flips(&spans);
	limits(&spans);
	later_hello();
	bad_spans();
	sets();
	words();
	documented();
	buf_free(&spans);
	return tap_done();
}
