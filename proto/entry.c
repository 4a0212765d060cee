/* SPDX-License-Identifier: BSD-2-Clause */
/* WAL entries: one table says which fields each type has, and in which order. */
#include "config.h"

#include "proto/entry.h"

#include <assert.h>
#include <errno.h>

#include "proto/member.h"
#include "proto/path.h"

/* How a field lies in a payload, and what is allowed there. */
enum field {
	END,
	NUM,         /* u64 */
	NUM2,        /* u64 */
	INO,         /* u64 */
	ORIGIN,      /* num, u64, not 0 */
	SWITCH,      /* num, u8, 0 or 1 */
	ACTION,      /* u8, enum entry_action */
	FLAGS,       /* u8; which bits depends on the type */
	DOT,         /* origin u64, seq u64 */
	DOT_OR_NONE, /* the same, or twice 0 */
	KEPT_DOT,    /* the same, or origin 0 and what rescued content is named by */
	PATH,        /* str16 that path_check accepts */
	FROM,        /* the same, or empty */
	NAME,        /* str16 that is a member's name */
	BLOB,        /* str16, opaque */
	SIG,
	RECORD,
	CONTEXT, /* rec.ctx */
	SET,
};

#define FIELDS_MAX 5

static const struct shape {
	const char *name;
	enum field fields[FIELDS_MAX + 1]; /* ends with END */
} shapes[ENTRY_TYPE_MAX + 1] = {
	[ENTRY_ORIGIN] = {"ORIGIN", {ORIGIN, NUM2, NAME}},
	[ENTRY_RECORD] = {"RECORD", {RECORD, SIG}},
	[ENTRY_KNOWN] = {"KNOWN", {RECORD}},
	[ENTRY_SIG] = {"SIG", {PATH, SIG}},
	[ENTRY_INTENT] = {"INTENT", {PATH, DOT_OR_NONE, ACTION, INO, FROM}},
	[ENTRY_APPLIED] = {"APPLIED", {PATH, DOT_OR_NONE, FLAGS, SIG}},
	[ENTRY_DROPPED] = {"DROPPED", {PATH}},
	[ENTRY_VECTOR] = {"VECTOR", {SET}},
	[ENTRY_FLOOR] = {"FLOOR", {SET}},
	[ENTRY_HELD] = {"HELD", {SET}},
	[ENTRY_MEMBER] = {"MEMBER", {BLOB}},
	[ENTRY_KEPT] = {"KEPT", {KEPT_DOT, NUM, FLAGS, RECORD}},
	[ENTRY_PURGED] = {"PURGED", {KEPT_DOT}},
	[ENTRY_BARRIER] = {"BARRIER", {NUM}},
	[ENTRY_ANSWER] = {"ANSWER", {NUM, BLOB}},
	[ENTRY_CONTEXT] = {"CONTEXT", {PATH, CONTEXT}},
	[ENTRY_CLOCK] = {"CLOCK", {NUM}},
	[ENTRY_COLLECTED] = {"COLLECTED", {PATH, DOT}},
	[ENTRY_REMOVED] = {"REMOVED", {PATH, DOT}},
	[ENTRY_SCANNED] = {"SCANNED", {NUM, NUM2}},
	[ENTRY_PAUSE] = {"PAUSE", {SWITCH}},
	[ENTRY_ALTERED] = {"ALTERED", {PATH, SIG}},
	[ENTRY_FROZEN] = {"FROZEN", {ORIGIN}},
	[ENTRY_THAWED] = {"THAWED", {ORIGIN}},
	[ENTRY_AWAIT] = {"AWAIT", {NUM}},
};

static bool
type_known(uint8_t type)
{
	return type >= 1 && type <= ENTRY_TYPE_MAX;
}

const char *
entry_type_name(uint8_t type)
{
	return type_known(type) ? shapes[type].name : "?";
}

bool
entry_length_ok(uint8_t type, size_t len)
{
	if (type == 0 || type > ENTRY_TYPE_LIMIT || len == 0)
		return false;
	if (type == ENTRY_VECTOR || type == ENTRY_FLOOR || type == ENTRY_HELD)
		return len <= ENTRY_BYTES_MAX;
	return len <= ENTRY_SMALL_BYTES_MAX;
}

static void
put_field(struct buf *b, const struct entry *e, enum field field)
{
	switch (field) {
	case END:
		break;
	case NUM:
	case ORIGIN:
		buf_put_u64(b, e->num);
		break;
	case NUM2:
		buf_put_u64(b, e->num2);
		break;
	case INO:
		buf_put_u64(b, e->ino);
		break;
	case SWITCH:
		buf_put_u8(b, e->num != 0);
		break;
	case ACTION:
		buf_put_u8(b, e->action);
		break;
	case FLAGS:
		buf_put_u8(b, e->flags);
		break;
	case DOT:
	case DOT_OR_NONE:
	case KEPT_DOT:
		buf_put_u64(b, e->dot.origin);
		buf_put_u64(b, e->dot.seq);
		break;
	case PATH:
		buf_put_str(b, e->path, e->path_len);
		break;
	case FROM:
		buf_put_str(b, e->from, e->from_len);
		break;
	case NAME:
		buf_put_str(b, e->name, e->name_len);
		break;
	case BLOB:
		assert(e->blob_len <= ENTRY_BLOB_BYTES_MAX);
		buf_put_str(b, e->blob, e->blob_len);
		break;
	case SIG:
		sig_encode(b, &e->sig);
		break;
	case RECORD:
		record_encode(b, &e->rec);
		break;
	case CONTEXT:
		vv_encode(b, &e->rec.ctx);
		break;
	case SET:
		dotset_encode(b, &e->set);
		break;
	}
}

void
entry_encode(struct buf *b, const struct entry *e)
{
	assert(type_known(e->type));
	buf_put_u8(b, e->type);
	for (const enum field *f = shapes[e->type].fields; *f != END; f++)
		put_field(b, e, *f);
}

static int
fits(bool good)
{
	return good ? 0 : -EPROTO;
}

static bool
action_ok(const struct entry *e)
{
	return e->action >= ACTION_PLACE && e->action <= ACTION_META;
}

static bool
flags_ok(const struct entry *e)
{
	if (e->type == ENTRY_KEPT)
		return e->flags == (e->dot.origin == 0 ? KEPT_RESCUED : 0);
	return e->flags == 0 || e->flags == APPLIED_SHOWN || e->flags == APPLIED_ABSENT ||
	       e->flags == APPLIED_LEFT;
}

static bool
dot_ok(struct dot d, enum field field)
{
	if (d.origin == 0)
		return field == KEPT_DOT ? d.seq != 0 : field == DOT_OR_NONE && d.seq == 0;
	return d.seq >= 1 && d.seq <= DOT_SEQ_MAX;
}

/* Only a move has somewhere that it comes from. */
static bool
from_ok(const struct entry *e)
{
	if (e->action != ACTION_MOVE)
		return e->from_len == 0;
	return path_check(e->from, e->from_len) == 0;
}

static int
get_field(struct cur *c, struct entry *e, enum field field)
{
	switch (field) {
	case END:
		break;
	case NUM:
		e->num = cur_u64(c);
		break;
	case NUM2:
		e->num2 = cur_u64(c);
		break;
	case INO:
		e->ino = cur_u64(c);
		break;
	case ORIGIN:
		e->num = cur_u64(c);
		return fits(e->num != 0);
	case SWITCH:
		e->num = cur_u8(c);
		return fits(e->num <= 1);
	case ACTION:
		e->action = cur_u8(c);
		return fits(action_ok(e));
	case FLAGS:
		e->flags = cur_u8(c);
		return fits(flags_ok(e));
	case DOT:
	case DOT_OR_NONE:
	case KEPT_DOT:
		e->dot.origin = cur_u64(c);
		e->dot.seq = cur_u64(c);
		return fits(dot_ok(e->dot, field));
	case PATH:
		e->path = cur_str(c, &e->path_len);
		return fits(path_check(e->path, e->path_len) == 0);
	case FROM:
		e->from = cur_str(c, &e->from_len);
		return fits(from_ok(e));
	case NAME:
		e->name = cur_str(c, &e->name_len);
		return fits(member_name_ok((const char *)e->name, e->name_len));
	case BLOB:
		e->blob = cur_str(c, &e->blob_len);
		return fits(e->blob_len <= ENTRY_BLOB_BYTES_MAX);
	case SIG:
		e->sig = sig_decode(c);
		break;
	case RECORD:
		return record_decode(c, &e->rec);
	case CONTEXT:
		return vv_decode(c, &e->rec.ctx);
	case SET:
		return dotset_decode(c, &e->set);
	}
	return 0;
}

int
entry_decode(const void *bytes, size_t len, struct entry *e)
{
	struct cur c = cur_of(bytes, len);
	int rc = 0;

	*e = (struct entry){.type = cur_u8(&c)};
	if (!type_known(e->type) || !entry_length_ok(e->type, len))
		rc = -EPROTO;
	else
		for (const enum field *f = shapes[e->type].fields; *f != END && rc == 0; f++)
			rc = get_field(&c, e, *f);
	if (rc == 0 && !cur_done(&c))
		rc = -EPROTO;
	if (rc < 0) {
		entry_clear(e);
		*e = (struct entry){0};
	}
	return rc;
}

void
entry_clear(struct entry *e)
{
	record_clear(&e->rec);
	dotset_free(&e->set);
}
